//! `run`: create, start, and in the foreground wait and delete.

use super::create::{Attachment, prepare};
use super::foreground::{Attended, Foreground};
use super::readiness::Readiness;
use super::{Context, CreateRequest, Error, Warn};
use crate::launch::Until;
use crate::sys::process;
use crate::timing::Phase;
use std::os::fd::AsFd;

/// What is to be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRequest {
    /// The container.
    pub create: CreateRequest,
    /// Whether to wait for its end.
    pub mode: Mode,
    /// Whether to delete it when it has ended.
    pub keep: Keep,
    /// Whether to reap what it leaves.
    pub subreaper: Subreaper,
}

/// Whether to wait for a container's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Yes, with signals and the terminal forwarded.
    Foreground,
    /// No.
    Detached,
}

/// Whether a container is deleted when it has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Yes.
    Remove,
    /// No, its state is kept (`--keep`).
    Keep,
}

/// Whether orphans of the container become children of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subreaper {
    /// Yes.
    Set,
    /// No (`--no-subreaper`).
    Leave,
}

/// Runs a container; the exit status of its program, or 128 + signal; 0 when detached.
///
/// # Errors
/// Whatever stands in its way; nothing of the container is left then.
pub fn run(context: &Context, request: &RunRequest, warn: Warn<'_>) -> Result<u8, Error> {
    match request.mode {
        Mode::Detached => run_detached(context, request, warn).map(|()| 0),
        Mode::Foreground => run_in_foreground(context, request, warn),
    }
}

fn run_detached(context: &Context, request: &RunRequest, warn: Warn<'_>) -> Result<(), Error> {
    let create = &request.create;
    let prepared = prepare(context, create, Until::Started, Attachment::Detached, warn)?;
    let mut launched = prepared.launch(context, warn)?;
    super::start::poststart(context, &launched.entry, &launched.record, warn)?;
    if let Some(readiness) = Readiness::of(launched.readiness.take(), context.deadlines) {
        // Others may work on the container meanwhile.
        launched.entry.unlock();
        readiness.pass_on(launched.pid, launched.pidfd.as_fd(), warn)?;
    }
    Ok(())
}

fn run_in_foreground(context: &Context, request: &RunRequest, warn: Warn<'_>) -> Result<u8, Error> {
    let create = &request.create;
    let prepared = prepare(context, create, Until::Started, Attachment::Attached, warn)?;
    if request.subreaper == Subreaper::Set {
        process::set_child_subreaper(true).map_err(Error::system("become a subreaper"))?;
    }
    let foreground = Foreground::begin(prepared.plan.has_terminal())?;
    let aside: Warn<'_> = &mut |warning| foreground.warn(warn, warning);
    let mut launched = prepared.launch(context, aside)?;
    super::start::poststart(context, &launched.entry, &launched.record, aside)?;
    // Others may work on the container while it runs.
    launched.entry.unlock();
    let attended = Attended {
        pid: launched.pid,
        pidfd: launched.pidfd,
        terminal: launched.terminal.take(),
        readiness: Readiness::of(launched.readiness.take(), context.deadlines),
    };
    let exit = foreground.attend(attended, warn);
    context.timing.done(Phase::Program);
    if request.keep == Keep::Remove {
        super::delete::delete_found(context, &launched.entry, true, warn)?;
    }
    Ok(exit?.status())
}
