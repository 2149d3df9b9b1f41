//! `kill`: sends a signal (runtime.md, Kill).

use super::{Context, Error, created_record};
use crate::cgroup::Manager;
use crate::id::ContainerId;
use crate::state::Status;
use crate::sys::process::{pidfd_open, pidfd_signal};
use crate::sys::signal::number::SIGKILL;
use crate::sys::{Errno, fd};
use std::os::fd::AsFd;

/// What to send to whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KillRequest {
    /// Name of the container.
    pub id: ContainerId,
    /// Number of the signal.
    pub signal: i32,
    /// Who gets it.
    pub scope: KillScope,
}

/// Who gets a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KillScope {
    /// The first process.
    Init,
    /// Every process of the container (`--all`).
    All,
}

/// Sends a signal to a container.
///
/// # Errors
/// When it is not there or has stopped, in words that engines look for; for `--all` a container
/// without processes is no error.
pub fn kill(context: &Context, request: &KillRequest) -> Result<(), Error> {
    let entry = context.store().open(&request.id)?;
    let record = created_record(&entry)?;
    let (status, pidfd) = entry.status(Some(&record))?;
    // In a shared pid namespace the death of the first process ends no other.
    let everybody =
        request.scope == KillScope::All || (request.signal == SIGKILL && !record.own_pids);
    let stopped = || Error::status("container not running");
    if everybody {
        let manager = Manager::from_record(record.cgroup.clone())?;
        let pids = manager.pids()?;
        for pid in &pids {
            signal_member(&manager, *pid, request.signal)?;
        }
        if !pids.is_empty() || request.scope == KillScope::All {
            return Ok(());
        }
    }
    if status == Status::Stopped {
        return Err(stopped());
    }
    let pidfd = pidfd.ok_or_else(stopped)?;
    match pidfd_signal(pidfd.as_fd(), request.signal) {
        Err(Errno::ESRCH) => Err(stopped()),
        other => other.map_err(Error::system(format!("send signal {}", request.signal))),
    }
}

/// Signals a process that was a member of the cgroup a moment ago, if it still is: by the time
/// its number is used it may be a stranger's.
fn signal_member(manager: &Manager, pid: i32, signal: i32) -> Result<(), Error> {
    let Ok(pidfd) = pidfd_open(pid) else { return Ok(()) };
    let [ended] = fd::poll_in([pidfd.as_fd()], Some(0)).map_err(Error::system("poll"))?;
    if ended || !manager.pids()?.contains(&pid) {
        return Ok(());
    }
    match pidfd_signal(pidfd.as_fd(), signal) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(source) => Err(Error::system(format!("send signal {signal} to {pid}"))(source)),
    }
}
