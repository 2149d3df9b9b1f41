//! `/linux/devices`, the devices and links that every container has, and /dev itself.

use super::paths::{self, ContainerPath};
use crate::sys::fd::{S_IFBLK, S_IFCHR, S_IFIFO, makedev};
use oci_spec::runtime::{LinuxDevice, LinuxDeviceType};
use std::ffi::CStr;

/// A device to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Index in `/linux/devices`; `None` for one that every container has.
    pub index: Option<u32>,
    /// Where.
    pub path: ContainerPath,
    /// File type and permissions.
    pub mode: u32,
    /// Device number; 0 for a FIFO.
    pub number: u64,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// Everything that is made in /dev.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Devices {
    /// Whether /dev is the container's own, to be filled with what the specification demands.
    pub own_dev: bool,
    /// Devices, the default ones first.
    pub devices: Vec<Device>,
    /// Entries that would be made in somebody else's /dev: index and path.
    pub left_out: Vec<(u32, ContainerPath)>,
}

/// A symbolic link of /dev that every container has (config-linux.md, Default Devices and
/// Dev symbolic links): name in /dev and target.
pub const LINKS: [(&CStr, &CStr); 5] = [
    (c"fd", c"/proc/self/fd"),
    (c"stdin", c"/proc/self/fd/0"),
    (c"stdout", c"/proc/self/fd/1"),
    (c"stderr", c"/proc/self/fd/2"),
    (c"ptmx", c"pts/ptmx"),
];

/// Devices that every container has: name, major, minor (config-linux.md, Default Devices).
const DEFAULTS: [(&str, u32, u32); 6] = [
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
];

/// Why an entry of `/linux/devices` cannot be carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The path is none.
    #[error(transparent)]
    Path(#[from] paths::Error),
    /// `a` is for cgroup rules only.
    #[error("/linux/devices/{index}/type: \"a\" names no device")]
    Type {
        /// Index of the entry.
        index: usize,
    },
    /// A device number has 12 and 20 bits.
    #[error("/linux/devices/{index}/{half}: {number} is no device number")]
    Number {
        /// Index of the entry.
        index: usize,
        /// `major` or `minor`.
        half: &'static str,
        /// The number as given.
        number: i64,
    },
    /// Two entries make the same file.
    #[error("/linux/devices/{index}/path: {path} is given twice, first at index {first}")]
    Duplicate {
        /// Index of the second entry.
        index: usize,
        /// Index of the first entry.
        first: usize,
        /// The path.
        path: ContainerPath,
    },
}

/// Resolves `/linux/devices`; `own_dev` tells whether /dev belongs to the container, which gives
/// it the default devices, unless an entry replaces one of them.
///
/// # Errors
/// The first entry that cannot be carried out.
pub fn resolve(asked: &[LinuxDevice], own_dev: bool) -> Result<Devices, Error> {
    let mut given: Vec<Device> = Vec::with_capacity(asked.len());
    for (index, device) in asked.iter().enumerate() {
        let device = one(index, device)?;
        if let Some(first) = given.iter().position(|d| d.path == device.path) {
            return Err(Error::Duplicate { index, first, path: device.path });
        }
        given.push(device);
    }
    let mut devices = Vec::new();
    if own_dev {
        for (path, major, minor) in DEFAULTS {
            let path = ContainerPath::new("", path.as_ref())?;
            if given.iter().any(|device| device.path == path) {
                continue;
            }
            let mode = S_IFCHR | 0o666;
            let number = makedev(major, minor);
            devices.push(Device { index: None, path, mode, number, uid: 0, gid: 0 });
        }
    }
    let (made, foreign): (Vec<_>, Vec<_>) =
        given.into_iter().partition(|device| own_dev || !device.path.is_below("/dev"));
    devices.extend(made);
    let left_out =
        foreign.into_iter().map(|device| (device.index.unwrap_or_default(), device.path)).collect();
    Ok(Devices { own_dev, devices, left_out })
}

fn one(index: usize, device: &LinuxDevice) -> Result<Device, Error> {
    let path = ContainerPath::absolute(format_args!("/linux/devices/{index}/path"), device.path())?;
    let kind = match device.typ() {
        LinuxDeviceType::C | LinuxDeviceType::U => S_IFCHR,
        LinuxDeviceType::B => S_IFBLK,
        LinuxDeviceType::P => S_IFIFO,
        LinuxDeviceType::A => return Err(Error::Type { index }),
    };
    let half = |half, number: i64, bits: u32| {
        u32::try_from(number).ok().filter(|n| n >> bits == 0).ok_or(Error::Number {
            index,
            half,
            number,
        })
    };
    let number = match kind {
        // A FIFO has no device number; what stands there is not looked at.
        S_IFIFO => 0,
        _ => makedev(half("major", device.major(), 12)?, half("minor", device.minor(), 20)?),
    };
    Ok(Device {
        index: Some(index as u32),
        path,
        mode: kind | (device.file_mode().unwrap_or(0o666) & 0o777),
        number,
        uid: device.uid().unwrap_or(0),
        gid: device.gid().unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str, own_dev: bool) -> Result<Devices, Error> {
        resolve(&serde_json::from_str::<Vec<LinuxDevice>>(json).unwrap(), own_dev)
    }

    fn names(devices: &Devices) -> Vec<String> {
        devices.devices.iter().map(|d| d.path.to_string()).collect()
    }

    #[test]
    fn a_container_with_its_own_dev_has_the_default_devices() {
        let devices = parse("[]", true).unwrap();
        assert_eq!(
            names(&devices),
            ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"]
        );
        assert!(parse("[]", false).unwrap().devices.is_empty());
    }

    #[test]
    fn nothing_is_made_in_a_dev_that_belongs_to_somebody_else() {
        let json = r#"[{"path":"/dev/x","type":"p"},{"path":"/y","type":"p"}]"#;
        let devices = parse(json, false).unwrap();
        assert_eq!(names(&devices), ["/y"]);
        assert_eq!(devices.left_out[0].1.to_string(), "/dev/x");
    }

    #[test]
    fn an_entry_replaces_a_default_device() {
        // 2432 has the bit for set-user-ID, which no device can have a use for.
        let json =
            r#"[{"path":"/dev/tty","type":"c","major":5,"minor":0,"fileMode":2432,"uid":7}]"#;
        let devices = parse(json, true).unwrap().devices;
        let tty: Vec<_> = devices.iter().filter(|d| d.path.to_string() == "/dev/tty").collect();
        assert_eq!((tty.len(), tty[0].mode, tty[0].uid), (1, S_IFCHR | 0o600, 7));
    }

    #[test]
    fn a_fifo_needs_no_number() {
        let fifo = parse(r#"[{"path":"/dev/p","type":"p","major":-1,"minor":9}]"#, true).unwrap();
        assert_eq!((fifo.devices[6].mode, fifo.devices[6].number), (S_IFIFO | 0o666, 0));
    }

    #[test]
    fn entries_that_name_no_device_are_refused() {
        for (json, text) in [
            (r#"{"path":"/dev/x","type":"a"}"#, "/linux/devices/0/type: \"a\" names no device"),
            (
                r#"{"path":"/dev/x","type":"c","major":4096,"minor":0}"#,
                "/linux/devices/0/major: 4096 is no device number",
            ),
            (r#"{"path":"x","type":"p"}"#, "/linux/devices/0/path: \"x\" is not an absolute path"),
        ] {
            assert_eq!(parse(&format!("[{json}]"), true).unwrap_err().to_string(), text);
        }
        let twice = r#"[{"path":"/dev/p","type":"p"},{"path":"/dev/./p","type":"p"}]"#;
        assert!(matches!(parse(twice, true), Err(Error::Duplicate { index: 1, first: 0, .. })));
    }
}
