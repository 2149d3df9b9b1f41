//! AppArmor and SELinux: the bytes that are written and the labels of mounts.
//!
//! Whether the host runs the module is the host's answer, not judged here.
//! Both may be asked for: each module has files of its own below
//! /proc/self/attr, and one of them usually is not there.

use std::ffi::CString;

use oci_spec::runtime::Process;
use thiserror::Error;

/// The item of a failure of [`crate::wire::Step::Label`]: the profile of AppArmor.
pub const APPARMOR: usize = 0;
/// As [`APPARMOR`], the label of SELinux.
pub const SELINUX: usize = 1;

/// What is written for a program that AppArmor is to leave alone.
pub const UNCONFINED: &[u8] = b"exec unconfined";

/// Where the text of an item stands in config.json.
pub fn pointer(item: usize) -> &'static str {
    if item == SELINUX { SELINUX_POINTER } else { APPARMOR_POINTER }
}

const APPARMOR_POINTER: &str = "/process/apparmorProfile";
const SELINUX_POINTER: &str = "/process/selinuxLabel";
const MOUNT_POINTER: &str = "/linux/mountLabel";

/// proc_pid_attr_write (fs/proc/base.c) refuses a page or more.
const ATTR_MAX: usize = 4095;

/// What the security modules are told. An empty string in the configuration
/// means the same as an absent one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lsm {
    /// Written as they are, in one write, to /proc/self/attr/apparmor/exec
    /// (attr/exec before Linux 5.8): `exec NAME`.
    pub apparmor: Option<Box<[u8]>>,
    /// Written as it is to /proc/self/attr/exec.
    pub selinux: Option<CString>,
    /// The SELinux context of mounts: the value of the `context` option of
    /// file systems made for the container (tmpfs, mqueue, ...), unquoted.
    pub mount_label: Option<CString>,
}

/// A name or label that no kernel takes.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Error {
    /// A control character, NUL among them.
    #[error("{pointer}: {value:?} contains a control character")]
    Control {
        /// Where it stands in config.json.
        pointer: &'static str,
        /// The refused text.
        value: String,
    },
    /// Longer than one write below /proc/self/attr may be.
    #[error("{pointer}: {length} bytes are more than the kernel takes ({ATTR_MAX})")]
    TooLong {
        /// Where it stands in config.json.
        pointer: &'static str,
        /// Length of what would be written, in bytes.
        length: usize,
    },
}

/// The words for the modules, from `process` and `linux.mountLabel`.
pub fn resolve(process: Option<&Process>, mount_label: Option<&str>) -> Result<Lsm, Error> {
    let profile = process.and_then(|process| process.apparmor_profile().as_deref());
    let label = process.and_then(|process| process.selinux_label().as_deref());
    Ok(Lsm {
        apparmor: text(APPARMOR_POINTER, profile, "exec ")?
            .map(|profile| profile.into_bytes().into_boxed_slice()),
        selinux: text(SELINUX_POINTER, label, "")?,
        mount_label: text(MOUNT_POINTER, mount_label, "")?,
    })
}

fn text(
    pointer: &'static str,
    value: Option<&str>,
    prefix: &str,
) -> Result<Option<CString>, Error> {
    let Some(value) = value.filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    let control = || Error::Control { pointer, value: value.to_owned() };
    if value.contains(|c: char| c.is_control()) {
        return Err(control());
    }
    let words = format!("{prefix}{value}");
    if words.len() > ATTR_MAX {
        return Err(Error::TooLong { pointer, length: words.len() });
    }
    CString::new(words).map(Some).map_err(|_| control())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn process(key: &str, value: &str) -> Process {
        serde_json::from_value(json!({
            "cwd": "/", "user": { "uid": 0, "gid": 0 }, key: value,
        }))
        .unwrap()
    }

    #[test]
    fn nothing_asked() {
        assert_eq!(resolve(None, None), Ok(Lsm::default()));
        let empty = process("apparmorProfile", "");
        assert_eq!(resolve(Some(&empty), Some("")), Ok(Lsm::default()));
    }

    #[test]
    fn apparmor_is_one_command() {
        let lsm = resolve(Some(&process("apparmorProfile", "acme//sub")), None).unwrap();
        assert_eq!(lsm.apparmor.as_deref(), Some(&b"exec acme//sub"[..]));
        assert_eq!(lsm.selinux, None);
    }

    #[test]
    fn selinux_labels_are_kept_as_they_are() {
        let label = "system_u:system_r:container_t:s0:c124,c675";
        let lsm = resolve(Some(&process("selinuxLabel", label)), Some(label)).unwrap();
        assert_eq!(lsm.selinux.unwrap().to_str(), Ok(label));
        assert_eq!(lsm.mount_label.unwrap().to_str(), Ok(label));
    }

    #[test]
    fn control_characters_are_refused_with_their_place() {
        for (key, bad) in [("apparmorProfile", "a\nb"), ("selinuxLabel", "a\0b")] {
            assert_eq!(
                resolve(Some(&process(key, bad)), None).unwrap_err().to_string(),
                format!("/process/{key}: {bad:?} contains a control character")
            );
        }
        assert_eq!(
            resolve(None, Some("a\0")).unwrap_err().to_string(),
            "/linux/mountLabel: \"a\\0\" contains a control character"
        );
    }

    #[test]
    fn one_write_has_a_limit() {
        let name = "x".repeat(4091);
        assert_eq!(
            resolve(Some(&process("apparmorProfile", &name)), None).unwrap_err().to_string(),
            "/process/apparmorProfile: 4096 bytes are more than the kernel takes (4095)"
        );
        assert!(resolve(Some(&process("apparmorProfile", &name[1..])), None).is_ok());
    }
}
