//! `delete`: ends what is left of a container and gives its name back (runtime.md, Delete).

use super::{Context, Error, Warn};
use crate::cgroup::Manager;
use crate::id::ContainerId;
use crate::launch;
use crate::resctrl;
use crate::state::{self, Entry, Record, Signs, Status};
use crate::sys::fd;
use crate::sys::process::pidfd_signal;
use crate::sys::signal::number::SIGKILL;
use crate::timing::Phase;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// What is to be deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteRequest {
    /// Name of the container.
    pub id: ContainerId,
    /// Kill it when it runs, and do not mind when it is not there.
    pub force: bool,
}

/// Deletes a container. Can be called again after it was interrupted, from any point.
///
/// # Errors
/// When it runs and `force` was not asked for, or something of it cannot be ended or removed.
pub fn delete(context: &Context, request: &DeleteRequest, warn: Warn<'_>) -> Result<(), Error> {
    match context.store().open(&request.id) {
        Err(state::Error::Missing { .. }) if request.force => Ok(()),
        other => delete_found(context, &other?, request.force, warn),
    }
}

/// Deletes the container that a directory is of, which is not locked. Another one that has its
/// name by now is left alone.
///
/// # Errors
/// As for [`delete`].
pub(super) fn delete_found(
    context: &Context,
    entry: &Entry,
    force: bool,
    warn: Warn<'_>,
) -> Result<(), Error> {
    let deadlines = context.deadlines;
    let mut locked = entry.lock(if force { Duration::ZERO } else { deadlines.lock });
    if force && matches!(locked, Err(state::Error::Busy { .. })) {
        // A start that waits for a hook ends with the process that it starts. A create has none
        // on record yet and is waited for.
        if let Ok(Some(record)) = entry.record() {
            end_init(&record, deadlines.end)?;
        }
        locked = entry.lock(deadlines.lock);
    }
    match locked {
        Err(state::Error::Missing { .. }) if force => return Ok(()),
        other => other?,
    }
    let record = match entry.record() {
        // The name is given back in any case.
        Err(state::Error::Damaged { path, cause }) if force => {
            warn(&format_args!("{}: damaged, {cause}", path.display()));
            let salvaged = entry.view().salvage();
            if salvaged.is_none() {
                warn(&format_args!(
                    "nothing tells the cgroup of {id} any more: processes that are left may be in \
                     one named cloison-{id}",
                    id = entry.id
                ));
            }
            salvaged
        }
        other => other?,
    };
    let status = match entry.status(record.as_ref()) {
        // What cannot be asked is found out by ending it.
        Err(_) if force => Status::Stopped,
        other => other?.0,
    };
    if !force && matches!(status, Status::Running | Status::Paused) {
        return Err(Error::status(format!(
            "cannot delete container {} that is not stopped: {}",
            entry.id,
            status.name()
        )));
    }
    context.timing.done(Phase::State);
    destroy(context, entry, record.as_ref(), warn)
}

/// Ends every process, undoes everything on record, runs the poststop hooks, and removes the
/// directory last.
pub(super) fn destroy(
    context: &Context,
    entry: &Entry,
    record: Option<&Record>,
    warn: Warn<'_>,
) -> Result<(), Error> {
    let Context { deadlines, timing, .. } = context;
    if let Some(record) = record {
        if record.is_of_this_boot() {
            let deadline = Instant::now() + deadlines.end;
            end_init(record, deadlines.end)?;
            timing.done(Phase::Kill);
            // Whoever is left is in the way of that, and killed.
            Manager::from_record(record.cgroup.clone())?.remove(deadline)?;
            if let Some(class) = &record.resctrl {
                resctrl::remove(class)?;
            }
            launch::unmount(record);
            timing.done(Phase::Remove);
        }
        // A failing hook is a warning and the others still run (runtime.md, Lifecycle, step 13).
        for failure in launch::run_poststop(entry.id.as_str(), record, deadlines.hook) {
            warn(&failure);
        }
        timing.done(Phase::Hooks);
    }
    entry.remove()?;
    timing.done(Phase::Remove);
    Ok(())
}

/// How long the end of a process is waited for between two looks at what it waits for.
const GLANCE: Duration = Duration::from_millis(50);

/// Whether nobody is left in the container's cgroup.
fn is_deserted(record: &Record) -> bool {
    let manager = Manager::from_record(record.cgroup.clone());
    manager.and_then(|manager| manager.pids()).is_ok_and(|pids| pids.is_empty())
}

/// Kills the first process and waits for its end.
pub(super) fn end_init(record: &Record, patience: Duration) -> Result<(), Error> {
    let deadline = Instant::now() + patience;
    let Some(init) = record.init else { return Ok(()) };
    let found = init.identity.find(init.pid);
    let Some(pidfd) = found.map_err(Error::system("look for the container's process"))? else {
        return Ok(());
    };
    // It may end by itself in this moment.
    let _ = pidfd_signal(pidfd.as_fd(), SIGKILL);
    if let Ok(manager) = Manager::from_record(record.cgroup.clone())
        && manager.is_frozen().unwrap_or(false)
    {
        // On cgroup v1 the frozen do not even die.
        let _ = manager.thaw(deadline);
    }
    loop {
        let left = deadline.saturating_duration_since(Instant::now()).min(GLANCE);
        let [ended] = fd::poll_in([pidfd.as_fd()], Some(left.as_millis() as u32))
            .map_err(Error::system("wait for the container's process"))?;
        // The first of a pid namespace stays until the last of the others was reaped, by whoever
        // has started that one. There is nothing left to be ended then.
        if ended || (state::is_ending(init.pid, pidfd.as_fd()) && is_deserted(record)) {
            return Ok(());
        }
        if left.is_zero() {
            break;
        }
    }
    Err(Error::status(format!(
        "process {} of the container has not ended {} s after SIGKILL (see --deadline end)",
        init.pid,
        patience.as_secs()
    )))
}
