//! What `run` and `exec` do while their process runs: forward signals and the terminal.

use super::readiness::Readiness;
use super::{Error, Warn};
use crate::sys::process::{self, Block, Exit, Who, pidfd_signal};
use crate::sys::signal::{self, number};
use crate::sys::tty::{self, RawMode};
use crate::sys::{Errno, fd};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A command that attends a process that it has started.
#[derive(Debug)]
pub(super) struct Foreground<'a> {
    /// Number of the process.
    pub pid: i32,
    /// A pidfd of it.
    pub pidfd: &'a OwnedFd,
    /// Where the command's signals are read; they are blocked.
    pub signals: &'a OwnedFd,
    /// The master of the process's terminal, when it has one.
    pub terminal: Option<&'a OwnedFd>,
    /// To whom it is told that the process is ready, when somebody wants to know; the command
    /// itself is the main process.
    pub readiness: Option<Readiness>,
}

/// The directions of the terminal that are still open, each by the master.
#[derive(Default)]
struct Streams<'a> {
    output: Option<&'a OwnedFd>,
    input: Option<&'a OwnedFd>,
}

impl Foreground<'_> {
    /// Forwards signals and the terminal until the process has ended; how it did.
    pub(super) fn attend(mut self, warn: Warn<'_>) -> Result<Exit, Error> {
        let _raw = self.terminal.and_then(|_| RawMode::enter(fd::borrow(0)).ok());
        self.resize();
        let mut open = Streams { output: self.terminal, input: self.terminal };
        loop {
            let [signalled, ended, written, typed, told] = self.wait(&open)?;
            if signalled {
                self.forward_signals()?;
            }
            if let Some(readiness) = self.readiness.take_if(|one| told && one.is_told()) {
                readiness.tell_or_warn(process::getpid(), &mut *warn);
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
        let reaped = process::wait(Who::Pidfd(self.pidfd.as_fd()), Block::Yes)
            .map_err(Error::system("wait for the container's process"))?;
        Ok(reaped.map_or(Exit::Code(255), |(_, exit)| exit))
    }

    /// Which of signals, the process, its terminal, our input and its readiness have something
    /// to say.
    fn wait(&self, open: &Streams<'_>) -> Result<[bool; 5], Error> {
        let (signals, pidfd) = (self.signals.as_fd(), self.pidfd.as_fd());
        let input = open.input.map(|_| fd::borrow(fd::STDIO[0]));
        let others =
            [open.output.map(AsFd::as_fd), input, self.readiness.as_ref().map(Readiness::as_fd)];
        // Where there is nothing to listen to, signals are asked for twice.
        let [output, typed, told] = others.map(|one| one.unwrap_or(signals));
        let mut ready = fd::poll_in([signals, pidfd, output, typed, told], None)
            .map_err(Error::system("wait for the container"))?;
        for (ready, other) in ready[2..].iter_mut().zip(others) {
            *ready &= other.is_some();
        }
        Ok(ready)
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
                _ => drop(pidfd_signal(self.pidfd.as_fd(), number)),
            }
        }
        Ok(())
    }

    /// Reaps what the container has left to us, but not its first process: its status is wanted.
    fn reap_orphans(&self) {
        while let Ok(Some(pid)) = process::peek_ended_child() {
            if pid == self.pid || process::reap(pid).is_err() {
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
