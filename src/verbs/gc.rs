//! `gc`: finds and removes what a crash or a reboot has left (specs/30-state-dir.md, section 4).

use super::all::look_at_all;
use super::{Context, Error, Warn};
use crate::cgroup::Manager;
use crate::id::ContainerId;
use crate::state::{self, Record, Signs, View};
use serde::Serialize;
use std::time::Duration;

/// Whether to remove what is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Yes.
    Remove,
    /// No, only tell (`--dry-run`).
    List,
}

/// Why something belongs to nobody any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Why {
    /// Its create or run has died before the container was on record.
    Unfinished,
    /// It was made before the machine was started last.
    Rebooted,
    /// Its record cannot be understood. Not removed: what it named could not be found any more.
    Damaged,
}

impl Why {
    /// The lower-case name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unfinished => "unfinished",
            Self::Rebooted => "rebooted",
            Self::Damaged => "damaged",
        }
    }
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Remnant {
    /// Name of what would have been a container.
    pub id: String,
    /// Why nobody owns it.
    pub why: Why,
    /// Processes that still live in its cgroup.
    pub pids: Vec<i32>,
    /// Directories of its cgroup, as far as they are there.
    pub cgroups: Vec<std::path::PathBuf>,
    /// Whether it was removed.
    pub removed: bool,
}

/// Finds what commands that were killed, and reboots, have left, sorted by name, and removes it
/// unless only the list is wanted. A container that another command works on is left alone, and
/// so is one that was created and has ended: its engine will delete it.
///
/// What cannot be looked at or removed is a warning, and the rest goes on.
///
/// # Errors
/// When the directory of all containers cannot be read; when something was found that is to be
/// removed and could not be.
pub fn gc(context: &Context, mode: Mode, warn: Warn<'_>) -> Result<Vec<Remnant>, Error> {
    let found = look_at_all(context, look, warn)?;
    let mut remnants: Vec<_> = found.into_iter().flatten().collect();
    for (id, remnant) in &mut remnants {
        if mode == Mode::Remove && remnant.why != Why::Damaged {
            match remove(context, id, warn) {
                Ok(removed) => remnant.removed = removed,
                Err(error) => warn(&crate::error::sentence(&error)),
            }
        }
    }
    Ok(remnants.into_iter().map(|(_, remnant)| remnant).collect())
}

fn look(view: View<'_>) -> Result<Option<(ContainerId, Remnant)>, Error> {
    // Asked before the record is read: a create that ends meanwhile has one with a process.
    if view.is_locked() {
        return Ok(None);
    }
    let (why, record) = match view.record() {
        Err(state::Error::Damaged { .. }) => (Some(Why::Damaged), None),
        other => {
            let record = other?;
            (why(record.as_ref()), record)
        }
    };
    let Some(why) = why else { return Ok(None) };
    let manager = match record {
        // Whatever has that name now is not its own.
        Some(record) if why == Why::Unfinished => Some(Manager::from_record(record.cgroup)?),
        _ => None,
    };
    let (pids, cgroups) = match &manager {
        Some(manager) => (manager.pids()?, manager.directories()),
        None => (Vec::new(), Vec::new()),
    };
    let id = view.id.clone();
    Ok(Some((id.clone(), Remnant { id: id.to_string(), why, pids, cgroups, removed: false })))
}

fn why(record: Option<&Record>) -> Option<Why> {
    match record {
        None => Some(Why::Unfinished),
        Some(record) if !record.is_of_this_boot() => Some(Why::Rebooted),
        Some(record) if record.init.is_none() => Some(Why::Unfinished),
        Some(_) => None,
    }
}

/// Removes it, if nobody has taken it up meanwhile; whether it did.
fn remove(context: &Context, id: &ContainerId, warn: Warn<'_>) -> Result<bool, Error> {
    let entry = context.store().open(id)?;
    match entry.lock(Duration::ZERO) {
        Err(state::Error::Busy { .. } | state::Error::Missing { .. }) => return Ok(false),
        other => other?,
    }
    let record = entry.record()?;
    if why(record.as_ref()).is_none() {
        return Ok(false);
    }
    super::delete::destroy(context, &entry, record.as_ref(), warn)?;
    Ok(true)
}
