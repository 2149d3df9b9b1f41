//! A mount namespace that begins with the root file system alone, and the host's beside it.

use crate::sys::mount::{self, Reach, propagation};
use crate::sys::process::{self, ns};
use crate::sys::{self, fd};
use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};

/// The container's mount namespace, which init enters once it has what it needs of the host, and
/// the way back for what turns out to be missing.
#[derive(Debug)]
pub(super) struct Apart {
    /// It holds the root file system and what is mounted below that.
    namespace: OwnedFd,
    /// The launcher's mount namespace, in which init is born.
    host: OwnedFd,
    /// The launcher's root directory.
    host_root: OwnedFd,
}

impl Apart {
    /// The namespace, seen from the host's.
    pub(super) fn beside(namespace: OwnedFd) -> sys::Result<Self> {
        Ok(Self {
            namespace,
            host: fd::openat(fd::cwd(), c"/proc/thread-self/ns/mnt", fd::O_RDONLY, 0)?,
            host_root: fd::openat(fd::cwd(), c"/", fd::O_PATH | fd::O_DIRECTORY, 0)?,
        })
    }

    /// Enters it: root and working directory are the root file system's.
    pub(super) fn enter(&self) -> sys::Result<()> {
        process::setns(self.namespace.as_fd(), ns::MOUNT)
    }

    /// A detached mount of the host's, made where its paths lead, and back. An error can leave
    /// init on the host's side, so it must end init.
    pub(super) fn fetch(
        &self,
        copy: impl FnOnce() -> sys::Result<OwnedFd>,
    ) -> sys::Result<OwnedFd> {
        process::setns(self.host.as_fd(), ns::MOUNT)?;
        fd::fchdir(self.host_root.as_fd())?;
        fd::chroot(c".")?;
        let tree = copy()?;
        // What is mounted on it later is not to appear on the host.
        mount::set_propagation(tree.as_fd(), Reach::Tree, propagation::SLAVE)?;
        self.enter()?;
        Ok(tree)
    }
}

/// A copy of all that is mounted at a directory, without the mount namespaces that are kept there
/// by mounts: none of them can be attached in a younger one. Leaves the present mount namespace.
pub(super) fn without_namespaces(path: &CStr) -> sys::Result<OwnedFd> {
    let copy = mount::namespace_of(fd::cwd(), path)?;
    process::setns(copy.as_fd(), ns::MOUNT)?;
    mount::clone_tree(fd::cwd(), c"/", Reach::Tree)
}
