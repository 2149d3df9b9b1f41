//! `kill`: sends a signal (runtime.md, Kill).

use super::{Context, Error, created_record, not_running};
use crate::cgroup::Manager;
use crate::deadlines::Deadlines;
use crate::id::ContainerId;
use crate::state::Status;
use crate::sys::process::{pidfd_open, pidfd_signal};
use crate::sys::signal::number::SIGKILL;
use crate::sys::{Errno, fd};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

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
    let manager = Manager::from_record(record.cgroup.clone())?;
    if everybody && manager.has_cgroup() {
        let found = !manager.pids()?.is_empty();
        match request.signal {
            SIGKILL => manager.kill_all(Instant::now() + context.deadlines.end)?,
            signal => signal_all(&manager, status, signal, context.deadlines)?,
        }
        if found || request.scope == KillScope::All {
            return Ok(());
        }
    }
    if status == Status::Stopped {
        return Err(not_running());
    }
    let pidfd = pidfd.ok_or_else(not_running)?;
    match pidfd_signal(pidfd.as_fd(), request.signal) {
        Err(Errno::ESRCH) => return Err(not_running()),
        other => other.map_err(Error::system(format!("send signal {}", request.signal)))?,
    }
    if request.signal == SIGKILL && status == Status::Paused {
        // On cgroup v1 the frozen do not even die. The signal has been sent, whatever comes of it.
        let _ = manager.thaw(Instant::now() + context.deadlines.freeze);
    }
    Ok(())
}

/// Signals every member of a cgroup while it stands still, so that none is born unseen. Where
/// that cannot be had, those who are there get the signal.
fn signal_all(
    manager: &Manager,
    status: Status,
    signal: i32,
    deadlines: Deadlines,
) -> Result<(), Error> {
    let frozen = match status {
        // Whoever has paused the container will resume it.
        Status::Paused => false,
        _ => signal != 0 && manager.freeze(Instant::now() + STILL).is_ok(),
    };
    let sent = signal_members(manager, signal);
    if frozen {
        manager.thaw(Instant::now() + deadlines.freeze)?;
    }
    sent
}

/// How long members of a cgroup may take to stand still for a signal.
const STILL: Duration = Duration::from_secs(1);

/// Signals those who are members both before and after their pidfd was opened: a number alone
/// may be a stranger's by the time it is used.
fn signal_members(manager: &Manager, signal: i32) -> Result<(), Error> {
    let open = |pid: i32| Some((pid, pidfd_open(pid).ok()?));
    let found: Vec<(i32, OwnedFd)> = manager.pids()?.into_iter().filter_map(open).collect();
    let members = manager.pids()?;
    for (pid, pidfd) in found {
        let [ended] = fd::poll_in([pidfd.as_fd()], Some(0)).map_err(Error::system("poll"))?;
        if ended || members.binary_search(&pid).is_err() {
            continue;
        }
        match pidfd_signal(pidfd.as_fd(), signal) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(source) => {
                return Err(Error::system(format!("send signal {signal} to {pid}"))(source));
            }
        }
    }
    Ok(())
}
