//! `/linux/namespaces`: which partitions are new, joined by path, or shared with the host.

use crate::sys::process::ns;
use oci_spec::runtime::{LinuxNamespace, LinuxNamespaceType};
use serde::{Deserialize, Serialize};
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;

/// A kind of namespace (namespaces(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// User and group ids, capabilities.
    User,
    /// Process ids.
    Pid,
    /// Network devices, addresses, routes, ports.
    Network,
    /// Mounts.
    Mount,
    /// System V IPC and POSIX message queues.
    Ipc,
    /// Host and domain name.
    Uts,
    /// The root of the cgroup tree as seen from inside.
    Cgroup,
    /// Boot and monotonic clocks.
    Time,
}

impl Kind {
    /// Every kind, in the order in which they are joined: the user namespace first, as it gives
    /// the privilege for the others (user_namespaces(7)); the mount namespace last, as the
    /// descriptors of the others were found by paths in the old one.
    pub const ALL: [Self; 8] = [
        Self::User,
        Self::Pid,
        Self::Network,
        Self::Ipc,
        Self::Uts,
        Self::Cgroup,
        Self::Time,
        Self::Mount,
    ];

    /// The name that config.json uses.
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Pid => "pid",
            Self::Network => "network",
            Self::Mount => "mount",
            Self::Ipc => "ipc",
            Self::Uts => "uts",
            Self::Cgroup => "cgroup",
            Self::Time => "time",
        }
    }

    /// The `CLONE_NEW*` flag.
    pub fn flag(self) -> u64 {
        match self {
            Self::User => ns::USER,
            Self::Pid => ns::PID,
            Self::Network => ns::NETWORK,
            Self::Mount => ns::MOUNT,
            Self::Ipc => ns::IPC,
            Self::Uts => ns::UTS,
            Self::Cgroup => ns::CGROUP,
            Self::Time => ns::TIME,
        }
    }

    /// The kind of a `CLONE_NEW*` flag.
    pub fn of_flag(flag: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.flag() == flag)
    }

    fn of(kind: LinuxNamespaceType) -> Self {
        match kind {
            LinuxNamespaceType::User => Self::User,
            LinuxNamespaceType::Pid => Self::Pid,
            LinuxNamespaceType::Network => Self::Network,
            LinuxNamespaceType::Mount => Self::Mount,
            LinuxNamespaceType::Ipc => Self::Ipc,
            LinuxNamespaceType::Uts => Self::Uts,
            LinuxNamespaceType::Cgroup => Self::Cgroup,
            LinuxNamespaceType::Time => Self::Time,
        }
    }
}

/// A namespace that exists already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Join {
    /// Its kind.
    pub kind: Kind,
    /// Absolute path of its file on the host.
    pub path: CString,
    /// Index in `/linux/namespaces`.
    pub index: u32,
}

/// Where each namespace of the container comes from; what is neither is the host's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespaces {
    /// `CLONE_NEW*` flags of those to make.
    pub new: u64,
    /// Those to join, in the order of [`Kind::ALL`].
    pub join: Vec<Join>,
}

impl Namespaces {
    /// Whether a namespace of that kind is made.
    pub fn is_new(&self, kind: Kind) -> bool {
        self.new & kind.flag() != 0
    }

    /// The one to join of that kind.
    pub fn joined(&self, kind: Kind) -> Option<&Join> {
        self.join.iter().find(|join| join.kind == kind)
    }

    /// Whether the container has one that is not the host's, as far as the configuration tells.
    pub fn has(&self, kind: Kind) -> bool {
        self.is_new(kind) || self.joined(kind).is_some()
    }

    /// `CLONE_NEW*` flags of all that are not the host's.
    pub fn own(&self) -> u64 {
        self.join.iter().fold(self.new, |flags, join| flags | join.kind.flag())
    }
}

/// Why `/linux/namespaces` cannot be carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The specification forbids two entries of a kind.
    #[error("/linux/namespaces/{index}: duplicate {kind} namespace, first at index {first}")]
    Duplicate {
        /// Index of the second entry.
        index: usize,
        /// Index of the first entry.
        first: usize,
        /// Name of the kind.
        kind: &'static str,
    },
    /// The specification asks for an absolute path.
    #[error("/linux/namespaces/{index}/path: {path:?} is not an absolute path")]
    Relative {
        /// Index of the entry.
        index: usize,
        /// The path as given.
        path: String,
    },
    /// No kernel interface can take such a path.
    #[error("/linux/namespaces/{index}/path: {path:?} contains a NUL byte")]
    Nul {
        /// Index of the entry.
        index: usize,
        /// The path as given.
        path: String,
    },
}

/// Sorts the entries of `/linux/namespaces`.
///
/// # Errors
/// Duplicates and paths that no kernel interface takes (config-linux.md, Namespaces). An empty
/// path counts as absent, as engines write it.
pub fn resolve(asked: &[LinuxNamespace]) -> Result<Namespaces, Error> {
    let mut seen: [Option<usize>; 8] = [None; 8];
    let mut namespaces = Namespaces::default();
    for (index, namespace) in asked.iter().enumerate() {
        let kind = Kind::of(namespace.typ());
        if let Some(first) = seen[kind as usize].replace(index) {
            return Err(Error::Duplicate { index, first, kind: kind.name() });
        }
        match namespace.path().as_deref().filter(|path| !path.as_os_str().is_empty()) {
            None => namespaces.new |= kind.flag(),
            Some(path) => {
                let text = || path.display().to_string();
                if !path.is_absolute() {
                    return Err(Error::Relative { index, path: text() });
                }
                let path = CString::new(path.as_os_str().as_bytes())
                    .map_err(|_| Error::Nul { index, path: text() })?;
                namespaces.join.push(Join { kind, path, index: index as u32 });
            }
        }
    }
    let rank = |kind: Kind| Kind::ALL.iter().position(|&k| k == kind);
    namespaces.join.sort_by_key(|join| rank(join.kind));
    Ok(namespaces)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<Namespaces, Error> {
        resolve(&serde_json::from_str::<Vec<LinuxNamespace>>(json).unwrap())
    }

    #[test]
    fn new_and_joined_are_told_apart() {
        let namespaces = parse(
            r#"[{"type":"mount"},{"type":"network","path":"/run/netns/x"},
                {"type":"user","path":"/proc/1/ns/user"},{"type":"pid","path":""}]"#,
        )
        .unwrap();
        assert_eq!(namespaces.new, ns::MOUNT | ns::PID);
        let kinds: Vec<_> = namespaces.join.iter().map(|join| join.kind).collect();
        assert_eq!(kinds, [Kind::User, Kind::Network]);
        assert!(namespaces.has(Kind::Network) && !namespaces.has(Kind::Ipc));
    }

    #[test]
    fn a_second_entry_of_a_kind_is_refused() {
        let error = parse(r#"[{"type":"pid"},{"type":"uts"},{"type":"pid"}]"#).unwrap_err();
        assert_eq!(
            error.to_string(),
            "/linux/namespaces/2: duplicate pid namespace, first at index 0"
        );
    }

    #[test]
    fn paths_must_be_absolute_and_without_nul() {
        let error = parse(r#"[{"type":"pid","path":"ns/pid"}]"#).unwrap_err();
        assert_eq!(
            error.to_string(),
            r#"/linux/namespaces/0/path: "ns/pid" is not an absolute path"#
        );
        assert!(matches!(
            parse(r#"[{"type":"pid","path":"/a\u0000b"}]"#),
            Err(Error::Nul { index: 0, .. })
        ));
    }
}
