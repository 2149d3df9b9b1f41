//! `pause` and `resume`: stop every process of a container where it is, and let them go on.

use super::{Context, Error, created_record, not_running};
use crate::cgroup::Manager;
use crate::id::ContainerId;
use crate::state::{Entry, Status};
use std::time::Instant;

/// Stops every process of a container.
///
/// # Errors
/// When it is not running or is paused already, in words that engines look for; when not all
/// processes have stopped at the deadline, and then they all go on.
pub fn pause(context: &Context, id: &ContainerId) -> Result<(), Error> {
    let (_entry, status, manager) = open(context, id)?;
    match status {
        Status::Created | Status::Running => {
            Ok(manager.freeze(Instant::now() + context.deadlines.freeze)?)
        }
        Status::Paused => Err(Error::status("container paused: it is so already")),
        Status::Stopped | Status::Creating => Err(not_running()),
    }
}

/// Lets the processes of a paused container go on.
///
/// # Errors
/// When it is not paused, in words that engines look for; when a process has not gone on at
/// the deadline, as an ancestor of the cgroup is frozen.
pub fn resume(context: &Context, id: &ContainerId) -> Result<(), Error> {
    let (_entry, status, manager) = open(context, id)?;
    match status {
        Status::Paused => Ok(manager.thaw(Instant::now() + context.deadlines.freeze)?),
        Status::Stopped => Err(not_running()),
        _ => Err(Error::status("container not paused")),
    }
}

/// The container, locked as long as the entry lives.
fn open(context: &Context, id: &ContainerId) -> Result<(Entry, Status, Manager), Error> {
    let entry = context.store().open(id)?;
    entry.lock(context.deadlines.lock)?;
    let record = created_record(&entry)?;
    let (status, _) = entry.status(Some(&record))?;
    let manager = Manager::from_record(record.cgroup)?;
    Ok((entry, status, manager))
}
