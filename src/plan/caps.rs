//! `process.capabilities` as the five masks of capabilities(7).
//!
//! The specification wants a warning, not a refusal, for a capability that
//! cannot be granted (config.md, "Linux Process"), so resolving never fails:
//! what the kernel would refuse with EPERM is taken out of the set, and each
//! such case is a [`Warning`]. A set can only shrink on the way, never grow.

use std::fmt;

use crate::host::Grantable;
use caps::Capability as Number;
use oci_spec::runtime::{Capabilities, Capability, LinuxCapabilities};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as ValueError, StrDeserializer};

/// Number of the last capability that is known.
pub const LAST: u8 = NAMES.len() as u8 - 1;
/// Number of `CAP_SYS_ADMIN` (capabilities(7)).
pub const SYS_ADMIN: u8 = 21;
/// Number of `CAP_SETGID`.
pub const SETGID: u8 = 6;
/// Number of `CAP_SETUID`.
pub const SETUID: u8 = 7;
/// `CAP_SYS_CHROOT`, to change the root directory, and to enter mount namespaces.
pub const SYS_CHROOT: u8 = 18;
/// Number of `CAP_SYS_PTRACE`.
pub const SYS_PTRACE: u8 = 19;
/// Number of `CAP_SYS_RESOURCE` (capabilities(7)).
pub const SYS_RESOURCE: u8 = 24;

/// Every capability this program knows, in the order of the kernel's numbers:
/// `NAMES[n]` is the name of capability `n` (linux/capability.h).
pub const NAMES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// The five sets of a process: bit `n` stands for capability `n`.
///
/// [`resolve`] and [`Caps::limit`] keep `effective` within `permitted`,
/// `inheritable` within `bounding`, and `ambient` within both `permitted` and
/// `inheritable`, so that capset(2) and `PR_CAP_AMBIENT_RAISE` accept them
/// after the bounding set was dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caps {
    /// What stays in the bounding set; everything else is dropped from it.
    pub bounding: u64,
    /// The effective set.
    pub effective: u64,
    /// The permitted set.
    pub permitted: u64,
    /// The inheritable set.
    pub inheritable: u64,
    /// The ambient set; everything else is cleared from it.
    pub ambient: u64,
}

impl Grantable {
    /// Everything that this program has a name for, as a container has it that gets a new user
    /// namespace.
    pub const ALL: Self =
        Self { bounding: (1 << NAMES.len()) - 1, permitted: (1 << NAMES.len()) - 1 };
}

/// One of the five sets, by its key in config.json.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Set {
    /// `bounding`
    Bounding,
    /// `effective`
    Effective,
    /// `permitted`
    Permitted,
    /// `inheritable`
    Inheritable,
    /// `ambient`
    Ambient,
}

impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bounding => "bounding",
            Self::Effective => "effective",
            Self::Permitted => "permitted",
            Self::Inheritable => "inheritable",
            Self::Ambient => "ambient",
        })
    }
}

/// Why a capability was taken out of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The launching process does not hold it.
    NotGrantable,
    /// The kernel keeps this set within the other, which does not list it.
    NotIn(Set),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotGrantable => f.write_str("the runtime does not hold it"),
            Self::NotIn(set) => write!(f, "it is not in the {set} set"),
        }
    }
}

/// A capability that was asked for and will not be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The capability's name, such as `CAP_KILL`.
    pub name: &'static str,
    /// The set it was taken out of.
    pub set: Set,
    /// Why.
    pub cause: Cause,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, set, cause } = self;
        write!(f, "/process/capabilities/{set}: {name} ignored: {cause}")
    }
}

/// The masks that the configuration asks for, within what can be granted.
///
/// An absent `capabilities`, like an absent set, is an empty set: a process
/// that lists nothing gets nothing, and its bounding set is emptied as well,
/// which is what runc and crun do.
pub fn resolve(asked: Option<&LinuxCapabilities>, grantable: Grantable) -> (Caps, Vec<Warning>) {
    let Some(asked) = asked else {
        return (Caps::default(), Vec::new());
    };
    let caps = Caps {
        bounding: mask(asked.bounding().as_ref()),
        effective: mask(asked.effective().as_ref()),
        permitted: mask(asked.permitted().as_ref()),
        inheritable: mask(asked.inheritable().as_ref()),
        ambient: mask(asked.ambient().as_ref()),
    };
    caps.limit(grantable)
}

impl Caps {
    /// Takes out of each set what the kernel would refuse, and says what.
    pub fn limit(mut self, grantable: Grantable) -> (Self, Vec<Warning>) {
        use Cause::{NotGrantable, NotIn};
        let mut warnings = Vec::new();
        let mut within = |mask: &mut u64, limit: u64, set, cause| {
            warnings.extend(names(*mask & !limit).map(|name| Warning { name, set, cause }));
            *mask &= limit;
        };
        within(&mut self.bounding, grantable.bounding, Set::Bounding, NotGrantable);
        within(&mut self.permitted, grantable.permitted, Set::Permitted, NotGrantable);
        within(&mut self.inheritable, self.bounding, Set::Inheritable, NotIn(Set::Bounding));
        within(&mut self.effective, self.permitted, Set::Effective, NotIn(Set::Permitted));
        within(&mut self.ambient, self.permitted, Set::Ambient, NotIn(Set::Permitted));
        within(&mut self.ambient, self.inheritable, Set::Ambient, NotIn(Set::Inheritable));
        (self, warnings)
    }
}

/// The capability of that name, in any case and with or without `CAP_`.
pub fn find(name: &str) -> Option<Capability> {
    let name: StrDeserializer<'_, ValueError> = name.into_deserializer();
    Capability::deserialize(name).ok()
}

/// The names of the capabilities in a mask, by number; bits without a name
/// are passed over.
pub fn names(mask: u64) -> impl Iterator<Item = &'static str> {
    NAMES
        .into_iter()
        .enumerate()
        .filter(move |(number, _)| mask & (1 << number) != 0)
        .map(|(_, name)| name)
}

fn mask(set: Option<&Capabilities>) -> u64 {
    set.into_iter().flatten().fold(0, |mask, capability| mask | number(*capability).bitmask())
}

fn number(capability: Capability) -> Number {
    match capability {
        Capability::AuditControl => Number::CAP_AUDIT_CONTROL,
        Capability::AuditRead => Number::CAP_AUDIT_READ,
        Capability::AuditWrite => Number::CAP_AUDIT_WRITE,
        Capability::BlockSuspend => Number::CAP_BLOCK_SUSPEND,
        Capability::Bpf => Number::CAP_BPF,
        Capability::CheckpointRestore => Number::CAP_CHECKPOINT_RESTORE,
        Capability::Chown => Number::CAP_CHOWN,
        Capability::DacOverride => Number::CAP_DAC_OVERRIDE,
        Capability::DacReadSearch => Number::CAP_DAC_READ_SEARCH,
        Capability::Fowner => Number::CAP_FOWNER,
        Capability::Fsetid => Number::CAP_FSETID,
        Capability::IpcLock => Number::CAP_IPC_LOCK,
        Capability::IpcOwner => Number::CAP_IPC_OWNER,
        Capability::Kill => Number::CAP_KILL,
        Capability::Lease => Number::CAP_LEASE,
        Capability::LinuxImmutable => Number::CAP_LINUX_IMMUTABLE,
        Capability::MacAdmin => Number::CAP_MAC_ADMIN,
        Capability::MacOverride => Number::CAP_MAC_OVERRIDE,
        Capability::Mknod => Number::CAP_MKNOD,
        Capability::NetAdmin => Number::CAP_NET_ADMIN,
        Capability::NetBindService => Number::CAP_NET_BIND_SERVICE,
        Capability::NetBroadcast => Number::CAP_NET_BROADCAST,
        Capability::NetRaw => Number::CAP_NET_RAW,
        Capability::Perfmon => Number::CAP_PERFMON,
        Capability::Setgid => Number::CAP_SETGID,
        Capability::Setfcap => Number::CAP_SETFCAP,
        Capability::Setpcap => Number::CAP_SETPCAP,
        Capability::Setuid => Number::CAP_SETUID,
        Capability::SysAdmin => Number::CAP_SYS_ADMIN,
        Capability::SysBoot => Number::CAP_SYS_BOOT,
        Capability::SysChroot => Number::CAP_SYS_CHROOT,
        Capability::SysModule => Number::CAP_SYS_MODULE,
        Capability::SysNice => Number::CAP_SYS_NICE,
        Capability::SysPacct => Number::CAP_SYS_PACCT,
        Capability::SysPtrace => Number::CAP_SYS_PTRACE,
        Capability::SysRawio => Number::CAP_SYS_RAWIO,
        Capability::SysResource => Number::CAP_SYS_RESOURCE,
        Capability::SysTime => Number::CAP_SYS_TIME,
        Capability::SysTtyConfig => Number::CAP_SYS_TTY_CONFIG,
        Capability::Syslog => Number::CAP_SYSLOG,
        Capability::WakeAlarm => Number::CAP_WAKE_ALARM,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const KILL: u64 = 1 << 5;
    const NET_BIND: u64 = 1 << 10;
    const RESOURCE: u64 = 1 << 24;

    fn parse(value: serde_json::Value) -> LinuxCapabilities {
        serde_json::from_value(value).unwrap()
    }

    fn texts(warnings: &[Warning]) -> Vec<String> {
        warnings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn names_and_numbers_agree_with_the_caps_crate() {
        for (index, name) in NAMES.into_iter().enumerate() {
            let number: Number = name.parse().unwrap();
            assert_eq!(usize::from(number.index()), index, "{name}");
            let spec: Capability = serde_json::from_value(json!(name)).unwrap();
            assert_eq!(super::number(spec), number, "{name}");
        }
        assert_eq!(caps::all().len(), NAMES.len());
    }

    #[test]
    fn each_set_becomes_its_mask() {
        let asked = parse(json!({
            "bounding": ["CAP_KILL", "CAP_NET_BIND_SERVICE", "CAP_CHECKPOINT_RESTORE"],
            "permitted": ["CAP_KILL", "CAP_NET_BIND_SERVICE"],
            "effective": ["CAP_KILL"],
            "inheritable": ["CAP_NET_BIND_SERVICE"],
            "ambient": ["CAP_NET_BIND_SERVICE"],
        }));
        let (caps, warnings) = resolve(Some(&asked), Grantable::ALL);
        assert_eq!(
            caps,
            Caps {
                bounding: KILL | NET_BIND | 1 << 40,
                permitted: KILL | NET_BIND,
                effective: KILL,
                inheritable: NET_BIND,
                ambient: NET_BIND,
            }
        );
        assert!(warnings.is_empty());
    }

    #[test]
    fn nothing_asked_is_nothing_given() {
        assert_eq!(resolve(None, Grantable::ALL), (Caps::default(), Vec::new()));
        let empty = parse(json!({}));
        assert_eq!(resolve(Some(&empty), Grantable::ALL), (Caps::default(), Vec::new()));
    }

    #[test]
    fn a_set_left_out_does_not_follow_another() {
        let asked = parse(json!({ "bounding": ["CAP_KILL"], "permitted": ["CAP_KILL"] }));
        let (caps, _) = resolve(Some(&asked), Grantable::ALL);
        assert_eq!((caps.inheritable, caps.ambient, caps.effective), (0, 0, 0));
    }

    #[test]
    fn ambient_needs_permitted_and_inheritable() {
        let asked = parse(json!({
            "bounding": ["CAP_KILL", "CAP_NET_RAW"],
            "permitted": ["CAP_KILL"],
            "inheritable": ["CAP_NET_RAW"],
            "ambient": ["CAP_KILL", "CAP_NET_RAW"],
        }));
        let (caps, warnings) = resolve(Some(&asked), Grantable::ALL);
        assert_eq!(caps.ambient, 0);
        assert_eq!(
            texts(&warnings),
            [
                "/process/capabilities/ambient: CAP_NET_RAW ignored: it is not in the permitted set",
                "/process/capabilities/ambient: CAP_KILL ignored: it is not in the inheritable set",
            ]
        );
    }

    #[test]
    fn effective_needs_permitted_and_inheritable_needs_bounding() {
        let asked = parse(json!({
            "effective": ["CAP_KILL"],
            "inheritable": ["CAP_KILL"],
        }));
        let (caps, warnings) = resolve(Some(&asked), Grantable::ALL);
        assert_eq!(caps, Caps::default());
        assert_eq!(
            texts(&warnings),
            [
                "/process/capabilities/inheritable: CAP_KILL ignored: it is not in the bounding set",
                "/process/capabilities/effective: CAP_KILL ignored: it is not in the permitted set",
            ]
        );
    }

    #[test]
    fn permitted_may_exceed_bounding() {
        let asked = parse(json!({ "permitted": ["CAP_KILL"], "effective": ["CAP_KILL"] }));
        let (caps, warnings) = resolve(Some(&asked), Grantable::ALL);
        assert_eq!((caps.permitted, caps.effective, caps.bounding), (KILL, KILL, 0));
        assert!(warnings.is_empty());
    }

    #[test]
    fn what_the_runtime_lacks_is_a_warning() {
        let asked = parse(json!({
            "bounding": ["CAP_KILL", "CAP_SYS_RESOURCE"],
            "permitted": ["CAP_KILL", "CAP_SYS_RESOURCE"],
            "effective": ["CAP_SYS_RESOURCE"],
        }));
        let grantable = Grantable { bounding: !RESOURCE, permitted: !RESOURCE };
        let (caps, warnings) = resolve(Some(&asked), grantable);
        assert_eq!(caps.bounding | caps.permitted | caps.effective, KILL);
        assert_eq!(
            texts(&warnings),
            [
                "/process/capabilities/bounding: CAP_SYS_RESOURCE ignored: the runtime does not hold it",
                "/process/capabilities/permitted: CAP_SYS_RESOURCE ignored: the runtime does not hold it",
                "/process/capabilities/effective: CAP_SYS_RESOURCE ignored: it is not in the permitted set",
            ]
        );
    }

    #[test]
    fn names_of_a_mask_come_by_number() {
        assert_eq!(
            names(RESOURCE | KILL | 1 << 63).collect::<Vec<_>>(),
            ["CAP_KILL", "CAP_SYS_RESOURCE"]
        );
    }
}
