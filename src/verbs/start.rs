//! `start`: lets a created container execute its program (runtime.md, Start).

use super::readiness::Readiness;
use super::{Context, Error, Warn, created_record};
use crate::id::ContainerId;
use crate::launch::{self, InitError};
use crate::state::{Entry, Record, Status};
use crate::sys::Errno;
use crate::timing::Phase;
use crate::wire::{Step, ToInit};
use std::os::fd::AsFd;

/// Why a program could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Init has reported a failure.
    #[error(transparent)]
    Init(Box<InitError>),
    /// The connection to init.
    #[error("talk to init")]
    Link {
        /// The cause.
        source: Errno,
    },
}

/// Starts a created container; returns once its program has been executed.
///
/// # Errors
/// When it is not created, has no program, or the program cannot be executed; when a poststart
/// hook fails, which stops the container.
pub fn start(context: &Context, id: &ContainerId, warn: Warn<'_>) -> Result<(), Error> {
    let entry = context.store().open(id)?;
    entry.lock(context.deadlines.lock)?;
    let record = created_record(&entry)?;
    let (status, pidfd) = entry.status(Some(&record))?;
    match status {
        Status::Created => {}
        Status::Stopped => return Err(Error::status("cannot start a container that has stopped")),
        Status::Creating => return Err(Error::status("container is still being created")),
        Status::Paused => {
            return Err(Error::status("container paused: it has to be resumed before anything"));
        }
        Status::Running => {
            return Err(Error::status("cannot start an already running container"));
        }
    }
    if record.program.is_none() {
        return Err(Error::status("/process: missing, there is no program to start"));
    }
    context.timing.done(Phase::State);
    let (Some(gate), Some(pidfd)) = (entry.connect_to_gate(context.deadlines.setup)?, pidfd) else {
        return Err(Error::status("cannot start a container that has stopped"));
    };
    let readiness = Readiness::listen(&entry, context.deadlines)?;
    let link = |source| StartError::Link { source };
    ToInit::Start.send(gate.as_fd()).map_err(link)?;
    let answer =
        launch::await_start(id.as_str(), &record, pidfd.as_fd(), gate.as_fd(), context.deadlines);
    drop(gate);
    entry.mark_past_gate();
    context.timing.done(Phase::Start);
    if !matches!(answer, Ok(None)) {
        // It ends by itself in a moment, unless its filter keeps it from seeing that it will not
        // be started; when start returns it has ended.
        if let Err(error) = super::delete::end_init(&record, context.deadlines.end) {
            warn(&crate::error::sentence(&error));
        }
    }
    if let Some(failure) = answer? {
        if failure.step == Step::StartContainerHook {
            // runtime.md, Lifecycle, step 8: the container is stopped and destroyed.
            super::delete::destroy(context, &entry, Some(&record), warn)?;
        }
        return Err(StartError::Init(Box::new(launch::start_error(&record, &failure))).into());
    }
    poststart(context, &entry, &record, warn)?;
    if let (Some(readiness), Some(init)) = (readiness, record.init) {
        // Others may work on the container meanwhile.
        entry.unlock();
        readiness.pass_on(init.pid, pidfd.as_fd(), warn)?;
    }
    Ok(())
}

/// poststart hooks run after the program; one that fails stops the container (runtime.md,
/// Lifecycle, step 10).
pub(super) fn poststart(
    context: &Context,
    entry: &Entry,
    record: &Record,
    warn: Warn<'_>,
) -> Result<(), Error> {
    let done = launch::run_poststart(entry.id.as_str(), record, context.deadlines.hook);
    context.timing.done(Phase::Hooks);
    let Err(error) = done else { return Ok(()) };
    if let Err(ended) = super::delete::destroy(context, entry, Some(record), warn) {
        warn(&crate::error::sentence(&ended));
    }
    Err(error.into())
}
