//! What the host is like: facts that decisions rest on, each looked up at most once.

pub mod cgroup;
mod mountinfo;
mod resctrl;

use crate::sys::{Errno, cred, fd, process};
use cgroup::{CgroupFacts, Own};
use std::path::PathBuf;
use std::sync::OnceLock;

/// The facts.
#[derive(Clone, Debug)]
pub struct Host {
    /// Effective user id of the caller.
    pub euid: u32,
    /// Whom root of the caller's user namespace is outside of it; none in the first one.
    pub outer_uid: Option<u32>,
    /// Capabilities that the caller can hand on.
    pub grantable: Grantable,
    /// Cgroup hierarchies.
    pub cgroups: CgroupFacts,
    /// Whether SELinux is on.
    pub selinux: bool,
    /// Where the resctrl file system is mounted; none where it is not, or was not asked for.
    pub resctrl: Option<PathBuf>,
}

/// What the caller is able to hand on: the masks `CapBnd` and `CapPrm` of /proc/self/status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grantable {
    /// Capabilities that the bounding set can keep.
    pub bounding: u64,
    /// Capabilities that the permitted set can keep.
    pub permitted: u64,
}

/// What the caller may do on this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privilege {
    /// Root in the initial user namespace.
    Full,
    /// Any other user; `uid` is the effective user id.
    Confined {
        /// Effective user id, which selects the user's systemd instance.
        uid: u32,
    },
}

/// Why the facts cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller's capabilities.
    #[error("read the capabilities of the runtime")]
    Capabilities {
        /// The cause.
        #[source]
        errno: Errno,
    },
    /// The cgroup hierarchies.
    #[error(transparent)]
    Cgroups(#[from] cgroup::Error),
    /// The table of mounts.
    #[error("read /proc/self/mountinfo: {errno}")]
    Mounts {
        /// The cause.
        errno: Errno,
    },
}

/// What is to be found out that costs something and is not always needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Whether the container's cgroup lies relative to the caller's.
    pub own_cgroup: Own,
    /// Whether the container has a class of resctrl.
    pub resctrl: bool,
}

impl Host {
    /// Looks at the host.
    ///
    /// # Errors
    /// What cannot be told.
    pub fn probe(wanted: Wanted) -> Result<Self, Error> {
        Ok(Self {
            euid: process::geteuid(),
            outer_uid: outer_uid(),
            grantable: grantable()?,
            cgroups: CgroupFacts::probe(wanted.own_cgroup)?,
            selinux: selinux(),
            resctrl: if wanted.resctrl { resctrl::mount_point()? } else { None },
        })
    }

    /// What the caller may do.
    pub fn privilege(&self) -> Privilege {
        match self.euid {
            0 => self.outer_uid.map_or(Privilege::Full, |uid| Privilege::Confined { uid }),
            uid => Privilege::Confined { uid },
        }
    }
}

/// The inode of the first user namespace (PROC_USER_INIT_INO of linux/proc_ns.h).
const FIRST_USER_NAMESPACE: u64 = 0xefff_fffd;

/// Whether the caller is root of the machine, not only of a user namespace.
pub fn is_root() -> bool {
    process::geteuid() == 0 && outer_uid().is_none()
}

/// Whom root of this user namespace is outside of it; none in the first one. It is asked once.
pub fn outer_uid() -> Option<u32> {
    static OUTER: OnceLock<Option<u32>> = OnceLock::new();
    *OUTER.get_or_init(ask_for_outer_uid)
}

fn ask_for_outer_uid() -> Option<u32> {
    let own = fd::stat_at(fd::cwd(), c"/proc/self/ns/user").ok()?;
    if own.ino == FIRST_USER_NAMESPACE {
        return None;
    }
    let map = std::fs::read_to_string("/proc/self/uid_map").ok()?;
    let outer = map.lines().find_map(|line| {
        let mut numbers = line.split_ascii_whitespace().map(str::parse::<u32>);
        (numbers.next()? == Ok(0)).then(|| numbers.next()?.ok())?
    });
    // Without a map nothing is known but that root is not the machine's.
    Some(outer.unwrap_or(u32::MAX))
}

/// Capabilities that the caller can hand on.
///
/// # Errors
/// [`Error::Capabilities`].
pub fn grantable() -> Result<Grantable, Error> {
    let held = cred::capget().map_err(|errno| Error::Capabilities { errno })?.permitted;
    // A runtime's bounding set is as wide as what it is permitted; what is not in it is lost at
    // execve, as the kernel decides.
    Ok(Grantable { bounding: held, permitted: held })
}

/// Whether SELinux is on and knows labels: until a policy is loaded everything is called `kernel`.
pub fn selinux() -> bool {
    std::path::Path::new("/sys/fs/selinux/enforce").exists()
        && std::fs::read("/proc/self/attr/current")
            .is_ok_and(|label| !matches!(&label[..], b"kernel" | b"kernel\0"))
}
