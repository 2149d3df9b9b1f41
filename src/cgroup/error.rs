//! What can go wrong with a cgroup.

use super::{Survivor, systemd};
use crate::error::sentence;
use crate::plan::cgroup::Write;
use crate::sys::Errno;
use std::fmt;
use std::path::{Path, PathBuf};

/// Why something about a cgroup failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The program was built without a manager.
    #[error("use cgroup manager {manager}: this build has no support for it")]
    NotBuilt {
        /// The manager.
        manager: &'static str,
    },
    /// The container has no cgroup of its own.
    #[error("{action} container: it has no cgroup of its own")]
    NoCgroup {
        /// What was asked for.
        action: &'static str,
    },
    /// A place is named by a controller that shares its hierarchy with all others, or has none.
    #[error("--cgroup: controller {controller} has no hierarchy of its own on this host")]
    NoHierarchy {
        /// The controller.
        controller: String,
    },
    /// A directory cannot be opened or looked at.
    #[error("open cgroup {path}")]
    Open {
        /// The directory.
        path: PathBuf,
        /// The cause.
        #[source]
        errno: Errno,
    },
    /// A cgroup cannot be made.
    #[error("create cgroup {path}")]
    Create {
        /// The directory.
        path: PathBuf,
        /// The cause.
        #[source]
        errno: Errno,
    },
    /// The cgroup is there already and in use.
    #[error("create cgroup {path}: it exists and is not empty: {}", list(.processes))]
    Occupied {
        /// The directory.
        path: PathBuf,
        /// Processes in it or below.
        processes: Vec<Survivor>,
    },
    /// Another container is just being made in the cgroup.
    #[error("create cgroup {path}: another container is being made in it")]
    Claimed {
        /// The directory.
        path: PathBuf,
    },
    /// The cgroup is there already and frozen.
    #[error("create cgroup {path}: it exists and is frozen: thaw or remove it first")]
    Frozen {
        /// The directory.
        path: PathBuf,
    },
    /// A controller that a limit needs cannot be had in the cgroup.
    #[error("{pointer}: controller {controller} is not available in cgroup {path}")]
    NoController {
        /// JSON pointer of the limit.
        pointer: String,
        /// The controller.
        controller: String,
        /// The highest cgroup that lacks it, or that cannot hand it down.
        path: PathBuf,
        /// What to do.
        hint: Hint,
    },
    /// The cgroup that limits need cannot be made by this caller.
    #[error(
        "{pointer}: create cgroup {path}, which takes Delegate={controllers} in the caller's \
         systemd unit"
    )]
    NotDelegated {
        /// JSON pointer of the first limit.
        pointer: String,
        /// What the limits need, with blanks between.
        controllers: String,
        /// The directory.
        path: PathBuf,
        /// The cause.
        #[source]
        errno: Errno,
    },
    /// The file of a limit is absent.
    #[error(
        "{pointer}: controller {controller} has no {file} on this host: \
         its kernel lacks the feature: remove the limit or update the kernel"
    )]
    NoFile {
        /// JSON pointer of the limit.
        pointer: String,
        /// The controller.
        controller: String,
        /// The file.
        file: PathBuf,
    },
    /// A value was refused.
    #[error("{pointer}: write {value:?} to {file}")]
    Write {
        /// JSON pointer of the limit.
        pointer: String,
        /// The file.
        file: PathBuf,
        /// The value.
        value: String,
        /// The cause.
        #[source]
        errno: Errno,
    },
    /// `memory.checkBeforeUpdate`: the limit is not above what is in use.
    #[error("{pointer}: refuse limit {limit}: {usage} bytes are in use")]
    InUse {
        /// JSON pointer of the limit.
        pointer: String,
        /// The limit.
        limit: u64,
        /// What is in use.
        usage: u64,
    },
    /// A file cannot be read.
    #[error("read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        errno: Errno,
    },
    /// A file of the cgroup's own mechanism cannot be written.
    #[error("write {value:?} to {path}")]
    Control {
        /// The file.
        path: PathBuf,
        /// The value.
        value: String,
        /// The cause.
        #[source]
        errno: Errno,
    },
    /// A process cannot be moved.
    #[error("move process {pid} to cgroup {path}")]
    Place {
        /// The process.
        pid: i32,
        /// The cgroup.
        path: PathBuf,
        /// The cause.
        #[source]
        errno: Errno,
    },
    /// Processes outlived the deadline.
    #[error("empty cgroup {path}: still alive at the deadline: {}", list(.processes))]
    Survivors {
        /// The cgroup.
        path: PathBuf,
        /// The processes.
        processes: Vec<Survivor>,
    },
    /// The cgroup cannot be removed.
    #[error("remove cgroup {path}")]
    Remove {
        /// The directory.
        path: PathBuf,
        /// The cause.
        #[source]
        errno: Errno,
    },
    /// Not all processes stopped, or went on, in time.
    #[error("{action} cgroup {path}: not done at the deadline (see --deadline freeze)")]
    Late {
        /// `freeze` or `thaw`.
        action: &'static str,
        /// The cgroup.
        path: PathBuf,
    },
    /// The host offers no way to freeze.
    #[error("{action} cgroup {path}: the host mounts neither a freezer hierarchy nor cgroup v2")]
    NoFreezer {
        /// `freeze` or `thaw`.
        action: &'static str,
        /// The cgroup.
        path: PathBuf,
    },
    /// The device rules cannot be put in force.
    #[error("/linux/resources/devices: {action} device filter for cgroup {path}")]
    Filter {
        /// What failed.
        action: &'static str,
        /// The cgroup.
        path: PathBuf,
        /// The cause.
        #[source]
        errno: Errno,
    },
    /// The cgroup cannot be handed over.
    #[error("hand cgroup {path} over to user {owner}")]
    HandOver {
        /// The cgroup.
        path: PathBuf,
        /// User id.
        owner: u32,
        /// The cause.
        #[source]
        errno: Errno,
    },
    /// The kernel does not tell of OOM kills.
    #[error("watch {path} for OOM kills")]
    Watch {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        errno: Errno,
    },
    /// systemd cannot be asked.
    #[error(
        "ask systemd about {unit}: {cause}: is systemd running and its bus reachable? \
         the cgroupfs manager needs neither"
    )]
    Bus {
        /// The unit.
        unit: String,
        /// The cause.
        cause: super::BusError,
    },
    /// systemd did not carry out a job.
    #[error("{action} {unit}: systemd's job ended as {result:?}: see systemctl status {unit}")]
    Job {
        /// What was asked for.
        action: &'static str,
        /// The unit.
        unit: String,
        /// The job's result.
        result: String,
    },
    /// The device rules cannot be said in the host's terms.
    #[error(transparent)]
    Devices(#[from] crate::plan::device_filter::Error),
    /// An update failed, and what it had changed could not all be undone.
    #[error("{}; put back earlier values: {}", sentence(cause.as_ref()), joined(.left))]
    NotUndone {
        /// Why the update failed.
        cause: Box<Error>,
        /// Why values could not be put back.
        left: Vec<Error>,
    },
}

impl Error {
    /// Whether the caller lacks permission, so that a container that needs no cgroup can go
    /// without.
    pub(super) fn is_refusal(&self) -> bool {
        let errno = match self {
            Self::Open { errno, .. } | Self::Create { errno, .. } => *errno,
            _ => return false,
        };
        matches!(errno, Errno::EACCES | Errno::EPERM | Errno::EROFS | Errno::ENOENT)
    }

    /// The same with what would give the caller the controllers of `writes`, where a cgroup may
    /// not be made.
    pub(super) fn with_delegation(self, writes: &[Write]) -> Self {
        let mut names: Vec<&str> = Vec::new();
        for write in writes.iter().filter(|write| write.controller != "cgroup") {
            if !names.contains(&write.controller.as_ref()) {
                names.push(&write.controller);
            }
        }
        match (self, writes.first()) {
            (Self::Create { path, errno: errno @ (Errno::EACCES | Errno::EPERM) }, Some(first))
                if !names.is_empty() =>
            {
                let (pointer, controllers) = (first.pointer.clone(), names.join(" "));
                Self::NotDelegated { pointer, controllers, path, errno }
            }
            (other, _) => other,
        }
    }

    /// Whether the cgroup is another container's, which was first.
    pub fn is_anothers(&self) -> bool {
        matches!(self, Self::Bus { cause, .. } if cause.is_called(systemd::UNIT_EXISTS))
    }

    /// What a person can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        let hint = match self {
            Self::Create { errno, .. } | Self::NotDelegated { errno, .. } => {
                Hint::of_create(*errno)
            }
            Self::Write { errno, .. } => Hint::of_write(*errno),
            Self::Place { errno, .. } => Hint::of_place(*errno),
            Self::Filter { errno, .. } => Hint::of_filter(*errno),
            Self::NoController { hint, .. } => *hint,
            Self::NotUndone { cause, .. } => return cause.hint(),
            _ => Hint::None,
        };
        Some(hint.text()).filter(|text| !text.is_empty())
    }

    /// The file or directory that it is about.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Open { path, .. }
            | Self::Create { path, .. }
            | Self::NotDelegated { path, .. }
            | Self::Occupied { path, .. }
            | Self::Frozen { path }
            | Self::Claimed { path }
            | Self::NoController { path, .. }
            | Self::Read { path, .. }
            | Self::Control { path, .. }
            | Self::Place { path, .. }
            | Self::Survivors { path, .. }
            | Self::Remove { path, .. }
            | Self::Late { path, .. }
            | Self::NoFreezer { path, .. }
            | Self::Filter { path, .. }
            | Self::HandOver { path, .. }
            | Self::Watch { path, .. } => Some(path),
            Self::NoFile { file, .. } | Self::Write { file, .. } => Some(file),
            Self::NotUndone { cause, .. } => cause.path(),
            _ => None,
        }
    }
}

fn list(processes: &[Survivor]) -> String {
    if processes.is_empty() {
        return "child cgroups".to_owned();
    }
    let names: Vec<_> = processes.iter().map(Survivor::to_string).collect();
    names.join(", ")
}

fn joined(errors: &[Error]) -> String {
    let texts: Vec<_> = errors.iter().map(|error| sentence(error)).collect();
    texts.join("; ")
}

/// What a person can do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hint {
    /// Nothing that is known.
    None,
    /// The parent's owner has to delegate the cgroup.
    Delegate,
    /// Processes in an inner cgroup keep its children from having controllers.
    InnerProcesses,
    /// An ancestor does not hand the controller down.
    NotHandedDown,
    /// A limit of the parent is in the way.
    Descendants,
    /// The file system is read-only.
    ReadOnly,
    /// No device has that number.
    NoDevice,
    /// bpf(2) is not permitted.
    BpfPrivilege,
}

impl Hint {
    fn of_create(errno: Errno) -> Self {
        match errno {
            Errno::EACCES | Errno::EPERM => Self::Delegate,
            Errno::EROFS => Self::ReadOnly,
            Errno::EAGAIN => Self::Descendants,
            _ => Self::None,
        }
    }

    pub(super) fn of_enable(errno: Errno) -> Self {
        match errno {
            Errno::EACCES | Errno::EPERM => Self::Delegate,
            Errno::EROFS => Self::ReadOnly,
            Errno::EBUSY | Errno::EOPNOTSUPP => Self::InnerProcesses,
            _ => Self::NotHandedDown,
        }
    }

    fn of_write(errno: Errno) -> Self {
        match errno {
            Errno::ENODEV | Errno::ENXIO => Self::NoDevice,
            Errno::EACCES | Errno::EPERM => Self::Delegate,
            Errno::EROFS => Self::ReadOnly,
            _ => Self::None,
        }
    }

    fn of_place(errno: Errno) -> Self {
        match errno {
            Errno::EBUSY | Errno::EOPNOTSUPP => Self::InnerProcesses,
            Errno::EACCES | Errno::EPERM => Self::Delegate,
            _ => Self::None,
        }
    }

    fn of_filter(errno: Errno) -> Self {
        match errno {
            Errno::EPERM | Errno::EACCES => Self::BpfPrivilege,
            _ => Self::None,
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Delegate => {
                "the caller does not own the parent cgroup: have it delegated \
                 (Delegate=yes, or Delegate= with the controllers, in the systemd unit it runs in)"
            }
            Self::InnerProcesses => {
                "processes lie in that cgroup itself, so its children cannot have controllers: \
                 move them to a child cgroup"
            }
            Self::NotHandedDown => {
                "its parent does not hand it down: add it to the parent's cgroup.subtree_control \
                 (Delegate= with the controller in the systemd unit, such as user@.service)"
            }
            Self::Descendants => {
                "cgroup.max.descendants or cgroup.max.depth of an ancestor is reached"
            }
            Self::ReadOnly => "the cgroup file system is mounted read-only here",
            Self::NoDevice => "no such device on this host",
            Self::BpfPrivilege => "it takes CAP_BPF in the initial user namespace",
        }
    }
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}
