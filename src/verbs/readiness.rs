//! Between a container's program that says it is ready and a service manager that wants to know
//! (sd_notify(3)).

use super::{Context, Error, Warn};
use crate::deadlines::{Deadlines, milliseconds};
use crate::id::ContainerId;
use crate::plan::readiness::VARIABLE;
use crate::state::{self, Entry};
use crate::sys::{Errno, fd, socket};
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::Instant;

/// The line by which a program says that it is ready.
const READY: &[u8] = b"READY=1";

/// Where the container's socket will lie, when the caller's manager wants to know.
pub(super) fn directory(context: &Context, id: &ContainerId) -> Option<PathBuf> {
    manager().map(|_| state::readiness_directory(&context.root, id))
}

/// The manager's socket, by the name that it gives to its services.
fn manager() -> Option<CString> {
    let name = std::env::var_os(VARIABLE).filter(|name| !name.is_empty())?;
    // An environment holds no NUL.
    CString::new(name.into_vec()).ok()
}

/// The way from the one to the other.
#[derive(Debug)]
pub(super) struct Readiness {
    manager: CString,
    listener: OwnedFd,
    deadlines: Deadlines,
}

impl Readiness {
    /// Listens for the program, when the caller's manager wants to know and the container was made
    /// for it.
    pub(super) fn listen(entry: &Entry, deadlines: Deadlines) -> Result<Option<Self>, Error> {
        let Some(manager) = manager() else { return Ok(None) };
        let listener = entry.listen_for_readiness()?;
        Ok(listener.map(|listener| Self { manager, listener, deadlines }))
    }

    /// The same for a program that runs already.
    pub(super) fn of(listener: Option<OwnedFd>, deadlines: Deadlines) -> Option<Self> {
        Some(Self { manager: manager()?, listener: listener?, deadlines })
    }

    /// What to poll.
    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }

    /// Reads one message; whether the program is ready.
    pub(super) fn is_told(&self) -> bool {
        let mut buf = [0; 4096];
        let len = socket::receive(self.listener.as_fd(), &mut buf).map_or(0, |(len, _)| len);
        buf[..len].split(|&byte| byte == b'\n').any(|line| line == READY)
    }

    /// Waits until the program is ready, or has ended, and passes the word on: from then on it is
    /// the service's main process. A manager that does not listen is a warning.
    pub(super) fn pass_on(
        &self,
        pid: i32,
        pidfd: BorrowedFd<'_>,
        warn: Warn<'_>,
    ) -> Result<(), Error> {
        let deadline = Instant::now() + self.deadlines.ready;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let [ended, told] = fd::poll_in([pidfd, self.as_fd()], Some(milliseconds(left)))
                .map_err(Error::system("wait for the program to be ready"))?;
            if told && self.is_told() {
                self.tell_or_warn(pid, warn);
                return Ok(());
            }
            if ended && !told {
                return Ok(());
            }
            if left.is_zero() {
                let seconds = self.deadlines.ready.as_secs();
                return Err(Error::status(format!(
                    "wait for process {pid} to say {VARIABLE} READY=1: not within {seconds} s (see \
                     --deadline ready)"
                )));
            }
        }
    }

    /// As [`Readiness::tell`]; that nobody listens is a warning.
    pub(super) fn tell_or_warn(&self, main_pid: i32, warn: Warn<'_>) {
        if let Err(errno) = self.tell(main_pid) {
            let (manager, why) = (self.manager.to_string_lossy(), crate::error::describe(errno));
            warn(&format_args!("tell {manager} that the program is ready: {why}"));
        }
    }

    /// Tells the manager that the program is ready, and which process is the service's from now
    /// on; returns once it has read that.
    fn tell(&self, main_pid: i32) -> Result<(), Errno> {
        let patience = milliseconds(self.deadlines.socket);
        let manager = socket::connect_by_name(&self.manager, socket::Kind::Datagram, patience)?;
        socket::send(manager.as_fd(), READY, None)?;
        socket::send(manager.as_fd(), format!("MAINPID={main_pid}").as_bytes(), None)?;
        // A manager must not find the sender gone before it has looked whose message it is: it
        // closes its copy of the pipe when it comes to this one (sd_notify_barrier(3)).
        let (barrier, copy) = fd::pipe()?;
        socket::send(manager.as_fd(), b"BARRIER=1", Some(copy.as_fd()))?;
        drop(copy);
        fd::poll_in([barrier.as_fd()], Some(patience)).map(drop)
    }
}
