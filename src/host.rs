//! What the host is like: facts that decisions rest on, each looked up at most once.

pub mod cgroup;

use crate::plan::caps::Grantable;
use crate::plan::cgroup::Privilege;
use crate::sys::{Errno, cred, process};
use cgroup::{CgroupFacts, Own};

/// The facts.
#[derive(Clone, Debug)]
pub struct Host {
    /// Effective user id of the caller.
    pub euid: u32,
    /// Capabilities that the caller can hand on.
    pub grantable: Grantable,
    /// Cgroup hierarchies.
    pub cgroups: CgroupFacts,
    /// Whether SELinux is on.
    pub selinux: bool,
}

/// Why the facts cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller's capabilities.
    #[error("read the capabilities of the runtime: {errno}")]
    Capabilities {
        /// The cause.
        errno: Errno,
    },
    /// The cgroup hierarchies.
    #[error(transparent)]
    Cgroups(#[from] cgroup::Error),
}

impl Host {
    /// Looks at the host; `own` tells whether the container's cgroup lies relative to the
    /// caller's.
    ///
    /// # Errors
    /// What cannot be told.
    pub fn probe(own: Own) -> Result<Self, Error> {
        Ok(Self {
            euid: process::geteuid(),
            grantable: grantable()?,
            cgroups: CgroupFacts::probe(own)?,
            selinux: selinux(),
        })
    }

    /// What the caller may do.
    pub fn privilege(&self) -> Privilege {
        match self.euid {
            0 => Privilege::Full,
            uid => Privilege::Confined { uid },
        }
    }
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

/// Whether SELinux is on.
pub fn selinux() -> bool {
    std::path::Path::new("/sys/fs/selinux/enforce").exists()
}
