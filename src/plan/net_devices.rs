//! `/linux/netDevices`: network devices of the host that become the container's.

use super::namespaces::{Kind, Namespaces};
use oci_spec::runtime::LinuxNetDevice;
use std::collections::{BTreeMap, HashMap};
use std::ffi::CString;

/// A device that moves into the container's network namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetDevice {
    /// Its name where the caller is.
    pub host_name: CString,
    /// Its name in the container.
    pub name: Name,
    /// JSON pointer of its entry.
    pub pointer: String,
}

/// What a device is called in the container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// This; nothing there may have the name.
    Exact(CString),
    /// This, with the first free number in place of `%d`.
    Template(CString),
}

impl Name {
    /// As the configuration has it.
    pub fn text(&self) -> &CString {
        match self {
            Self::Exact(name) | Self::Template(name) => name,
        }
    }
}

/// Size of a device name with its NUL (linux/if.h, `IFNAMSIZ`).
const IFNAMSIZ: usize = 16;

/// Why devices cannot be moved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is nowhere to move them.
    #[error("/linux/netDevices: needs a network namespace of the container's own")]
    NoNamespace,
    /// No device can be called that.
    #[error("{pointer}: {name:?} is no name for a network device")]
    Name {
        /// JSON pointer of the name, or of the entry that it is the key of.
        pointer: String,
        /// The name as given.
        name: String,
    },
    /// Two devices that want one name.
    #[error("{pointer}: {name:?} is already the name of {first} in the container")]
    Twice {
        /// JSON pointer of the second entry.
        pointer: String,
        /// The name.
        name: String,
        /// JSON pointer of the first entry.
        first: String,
    },
}

/// Checks the names; sorted by that on the host. An empty `name` counts as absent.
///
/// # Errors
/// Names that no kernel takes, names that are given twice, and devices without a network
/// namespace of the container's own (config-linux.md, Network Devices).
pub fn resolve(
    asked: Option<&HashMap<String, LinuxNetDevice>>,
    namespaces: &Namespaces,
) -> Result<Vec<NetDevice>, Error> {
    let asked: BTreeMap<_, _> = asked.into_iter().flatten().collect();
    if !asked.is_empty() && !namespaces.has(Kind::Network) {
        return Err(Error::NoNamespace);
    }
    let mut devices: Vec<NetDevice> = Vec::with_capacity(asked.len());
    for (key, device) in asked {
        let pointer = format!("/linux/netDevices/{}", key.replace('~', "~0").replace('/', "~1"));
        let refused = |pointer: &String, name: &String| Error::Name {
            pointer: pointer.clone(),
            name: name.clone(),
        };
        let host_name = exact(key).ok_or_else(|| refused(&pointer, key))?;
        let name = match device.name().as_ref().filter(|name| !name.is_empty()) {
            None => Name::Exact(host_name.clone()),
            Some(name) => {
                own_name(name).ok_or_else(|| refused(&format!("{pointer}/name"), name))?
            }
        };
        let same = |other: &&NetDevice| matches!(name, Name::Exact(_)) && other.name == name;
        if let Some(first) = devices.iter().find(same) {
            let name = name.text().to_string_lossy().into_owned();
            return Err(Error::Twice { pointer, name, first: first.pointer.clone() });
        }
        devices.push(NetDevice { host_name, name, pointer });
    }
    Ok(devices)
}

fn own_name(name: &str) -> Option<Name> {
    match name.split_once('%') {
        None => exact(name).map(Name::Exact),
        // dev_alloc_name (net/core/dev.c): one %d and no other percent sign.
        Some((before, after)) => {
            let rest = after.strip_prefix('d').filter(|rest| !rest.contains('%'))?;
            exact(&format!("{before}0{rest}"))?;
            Some(Name::Template(exact(name)?))
        }
    }
}

/// dev_valid_name (net/core/dev.c).
fn exact(name: &str) -> Option<CString> {
    let plain = |c: char| !matches!(c, '/' | ':' | '\0') && !c.is_ascii_whitespace() && c != '\x0b';
    let valid =
        !matches!(name, "" | "." | "..") && name.len() < IFNAMSIZ && name.chars().all(plain);
    valid.then(|| CString::new(name).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::namespaces;

    fn parse(devices: &str) -> Result<Vec<NetDevice>, Error> {
        let own = serde_json::from_str::<Vec<_>>(r#"[{"type":"network"}]"#).unwrap();
        resolve(Some(&serde_json::from_str(devices).unwrap()), &namespaces::resolve(&own).unwrap())
    }

    #[test]
    fn a_device_keeps_its_name_unless_it_gets_another() {
        let devices = parse(r#"{"eth1":{"name":"wan%d"},"eth0":{},"eth2":{"name":""}}"#).unwrap();
        let names: Vec<_> = devices.iter().map(|d| (&*d.host_name, &d.name)).collect();
        assert_eq!(
            names,
            [
                (c"eth0", &Name::Exact(c"eth0".to_owned())),
                (c"eth1", &Name::Template(c"wan%d".to_owned())),
                (c"eth2", &Name::Exact(c"eth2".to_owned())),
            ]
        );
    }

    #[test]
    fn two_devices_may_change_names_but_not_share_one() {
        parse(r#"{"a":{"name":"b"},"b":{"name":"a"}}"#).unwrap();
        parse(r#"{"a":{"name":"n%d"},"b":{"name":"n%d"}}"#).unwrap();
        assert_eq!(
            parse(r#"{"a":{"name":"b"},"b":{}}"#).unwrap_err().to_string(),
            r#"/linux/netDevices/b: "b" is already the name of /linux/netDevices/a in the container"#
        );
    }

    #[test]
    fn names_that_the_kernel_refuses_are_refused() {
        for name in ["sixteen-letters-", "a b", "a/b", "a:b", "..", "a%", "a%s", "%d%d", "a\u{b}"] {
            let json = serde_json::json!({ "eth0": { "name": name } }).to_string();
            assert_eq!(
                parse(&json).unwrap_err(),
                Error::Name { pointer: "/linux/netDevices/eth0/name".into(), name: name.into() }
            );
        }
        assert_eq!(
            parse(r#"{"a/b":{}}"#).unwrap_err().to_string(),
            r#"/linux/netDevices/a~1b: "a/b" is no name for a network device"#
        );
    }

    #[test]
    fn the_hosts_network_takes_no_devices() {
        let none = Namespaces::default();
        let asked = serde_json::from_str(r#"{"eth0":{}}"#).unwrap();
        assert_eq!(resolve(Some(&asked), &none), Err(Error::NoNamespace));
        assert_eq!(resolve(Some(&HashMap::new()), &none), Ok(Vec::new()));
    }
}
