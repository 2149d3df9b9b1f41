//! The socket on which a container's program tells that it is ready (sd_notify(3)).

use super::{Entry, Error};
use crate::plan::readiness::SOCKET;
use crate::sys::{self, Errno, fd, socket};
use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

const DIRECTORY: &str = "notify";
const DIRECTORY_C: &CStr = c"notify";

/// Where the directory of that socket will lie.
pub fn readiness_directory(root: &Path, id: &crate::id::ContainerId) -> PathBuf {
    root.join(id).join(DIRECTORY)
}

impl Entry {
    /// Makes the directory of the socket, which the container gets to see: a socket can be bound
    /// again there by every command, while a mount of the socket itself would keep the first one.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn make_readiness(&self) -> Result<(), Error> {
        let dir = self.dir.as_fd();
        fd::mkdirat(dir, DIRECTORY_C, 0o700)
            // Whatever the caller's mask: the program's user has to pass.
            .and_then(|()| fd::chmod_at(dir, DIRECTORY_C, 0o755))
            .map_err(self.failed("make", DIRECTORY))
    }

    /// Binds the socket, for anybody to write to who can see it; `None` when the container was
    /// made without its directory.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn listen_for_readiness(&self) -> Result<Option<OwnedFd>, Error> {
        let flags = fd::O_RDONLY | fd::O_DIRECTORY | fd::O_NOFOLLOW;
        let listen = || {
            let dir = match fd::openat(self.dir.as_fd(), DIRECTORY_C, flags, 0) {
                Ok(dir) => dir,
                Err(Errno::ENOENT) => return Ok(None),
                Err(errno) => return Err(errno),
            };
            match fd::unlinkat(dir.as_fd(), SOCKET) {
                Ok(()) | Err(Errno::ENOENT) => {}
                Err(errno) => return Err(errno),
            }
            let mut path = fd::proc_path(&dir)?;
            path.push(b"/")?;
            path.push(SOCKET.to_bytes())?;
            let listener = socket::bind_datagram(path.as_c_str())?;
            // The container has the directory read-only, so this is the file that was just made.
            fd::chmod_at(dir.as_fd(), SOCKET, 0o777)?;
            Ok(Some(listener))
        };
        listen().map_err(self.failed("listen in", DIRECTORY))
    }

    pub(super) fn remove_readiness(&self, name: &CStr) -> sys::Result<()> {
        let dir = self.dir.as_fd();
        let flags = fd::O_PATH | fd::O_DIRECTORY | fd::O_NOFOLLOW;
        let inner = fd::openat(dir, name, flags, 0)?;
        match fd::unlinkat(inner.as_fd(), SOCKET) {
            Ok(()) | Err(Errno::ENOENT) => fd::rmdirat(dir, name),
            other => other,
        }
    }
}
