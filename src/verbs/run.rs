//! `run`: create, start, and in the foreground wait and delete.

use super::create::{Attachment, make};
use super::foreground::Foreground;
use super::readiness::Readiness;
use super::{Context, CreateRequest, Error, Warn};
use crate::launch::Until;
use crate::sys::{process, signal};
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
    let create = &request.create;
    if request.mode == Mode::Detached {
        let mut launched = make(context, create, Until::Started, Attachment::Detached, warn)?;
        super::start::poststart(&launched.entry, &launched.record, warn)?;
        if let Some(readiness) = Readiness::of(launched.readiness.take()) {
            // Others may work on the container meanwhile.
            launched.entry.unlock();
            readiness.pass_on(launched.pid, launched.pidfd.as_fd(), warn)?;
        }
        return Ok(0);
    }
    if request.subreaper == Subreaper::Set {
        process::set_child_subreaper(true).map_err(Error::system("become a subreaper"))?;
    }
    // Before the container exists: a signal that comes meanwhile is forwarded once it does.
    let signals = signal::block_all_and_listen().map_err(Error::system("listen for signals"))?;
    let mut launched = make(context, create, Until::Started, Attachment::Attached, warn)?;
    super::start::poststart(&launched.entry, &launched.record, warn)?;
    // Others may work on the container while it runs.
    launched.entry.unlock();
    let terminal = launched.terminal.take();
    let foreground = Foreground {
        pid: launched.pid,
        pidfd: &launched.pidfd,
        signals: &signals,
        terminal: terminal.as_ref(),
        readiness: Readiness::of(launched.readiness.take()),
    };
    let exit = foreground.attend(warn);
    if request.keep == Keep::Remove {
        let request = super::DeleteRequest { id: create.id.clone(), force: true };
        super::delete::delete(context, &request, warn)?;
    }
    Ok(exit?.status())
}
