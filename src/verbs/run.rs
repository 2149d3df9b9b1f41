//! `run`: create, start, and in the foreground wait and delete.

use super::create::{Attachment, make};
use super::{Context, CreateRequest, Error, Warn};
use crate::launch::{Launched, Until};
use crate::sys::process::{self, Block, Exit, Who, pidfd_signal};
use crate::sys::signal::{self, number};
use crate::sys::tty::{self, RawMode};
use crate::sys::{Errno, fd};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

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
        let launched = make(context, create, Until::Started, Attachment::Detached, warn)?;
        super::start::poststart(&launched.entry, &launched.record, warn)?;
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
    let exit =
        Foreground { launched: &launched, signals: &signals, terminal: terminal.as_ref() }.attend();
    if request.keep == Keep::Remove {
        let request = super::DeleteRequest { id: create.id.clone(), force: true };
        super::delete::delete(context, &request, warn)?;
    }
    Ok(exit?.status())
}

/// A launcher that attends its container.
struct Foreground<'a> {
    launched: &'a Launched,
    signals: &'a OwnedFd,
    terminal: Option<&'a OwnedFd>,
}

/// The directions of the terminal that are still open, each by the master.
#[derive(Default)]
struct Streams<'a> {
    output: Option<&'a OwnedFd>,
    input: Option<&'a OwnedFd>,
}

impl Foreground<'_> {
    fn attend(&self) -> Result<Exit, Error> {
        let _raw = self.terminal.and_then(|_| RawMode::enter(fd::borrow(0)).ok());
        self.resize();
        let mut open = Streams { output: self.terminal, input: self.terminal };
        loop {
            let [signalled, ended, written, typed] = self.wait(&open)?;
            if signalled {
                self.forward_signals()?;
            }
            if let Some(master) = open.output.filter(|_| written)
                && !pump(master.as_fd(), fd::borrow(1))
            {
                // Nobody has the terminal open any more.
                open = Streams::default();
            }
            if let Some(master) = open.input.filter(|_| typed)
                && !pump(fd::borrow(0), master.as_fd())
            {
                open.input = None;
            }
            // What the program wrote last is still read.
            if ended && (open.output.is_none() || !written) {
                break;
            }
        }
        let reaped = process::wait(Who::Pidfd(self.launched.pidfd.as_fd()), Block::Yes)
            .map_err(Error::system("wait for the container's process"))?;
        Ok(reaped.map_or(Exit::Code(255), |(_, exit)| exit))
    }

    /// Which of signals, the process, its terminal and our input have something to say.
    fn wait(&self, open: &Streams<'_>) -> Result<[bool; 4], Error> {
        let (signals, pidfd) = (self.signals.as_fd(), self.launched.pidfd.as_fd());
        let ready = match (open.output, open.input) {
            (Some(master), Some(_)) => {
                fd::poll_in([signals, pidfd, master.as_fd(), fd::borrow(0)], None)
            }
            (Some(master), None) => fd::poll_in([signals, pidfd, master.as_fd()], None)
                .map(|[s, p, m]| [s, p, m, false]),
            (None, _) => fd::poll_in([signals, pidfd], None).map(|[s, p]| [s, p, false, false]),
        };
        ready.map_err(Error::system("wait for the container"))
    }

    fn forward_signals(&self) -> Result<(), Error> {
        let next = || signal::next(self.signals.as_fd()).map_err(Error::system("read a signal"));
        while let Some(number) = next()? {
            match number {
                number::SIGCHLD => self.reap_orphans(),
                number::SIGWINCH => self.resize(),
                // Nothing to forward: this one is about our own pipes, that one about our threads.
                number::SIGPIPE | number::SIGURG => {}
                // The process may have ended in this moment.
                _ => drop(pidfd_signal(self.launched.pidfd.as_fd(), number)),
            }
        }
        Ok(())
    }

    /// Reaps what the container has left to us, but not its first process: its status is wanted.
    fn reap_orphans(&self) {
        while let Ok(Some(pid)) = process::peek_ended_child() {
            if pid == self.launched.pid || process::reap(pid).is_err() {
                return;
            }
        }
    }

    fn resize(&self) {
        if let Some(master) = self.terminal
            && let Ok(size) = tty::window_size(fd::borrow(0))
        {
            // A terminal that is gone will be told by its end of file.
            let _ = tty::set_window_size(master.as_fd(), size);
        }
    }
}

/// Moves what can be read; `false` at the end of file or when the other side is gone.
fn pump(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> bool {
    let mut buf = [0; 8192];
    match fd::read(from, &mut buf) {
        Ok(0) => false,
        Ok(n) => write_patiently(to, &buf[..n]).is_ok(),
        Err(Errno::EAGAIN) => true,
        Err(_) => false,
    }
}

/// The master does not block: a program that reads slowly is waited for.
fn write_patiently(to: BorrowedFd<'_>, mut data: &[u8]) -> Result<(), Errno> {
    while !data.is_empty() {
        match fd::write_some(to, data) {
            Ok(n) => data = &data[n..],
            Err(Errno::EAGAIN) => fd::wait_writable(to)?,
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
