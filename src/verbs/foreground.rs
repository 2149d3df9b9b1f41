//! What `run` and `exec` do while their process runs: forward signals and the terminal.

use super::keyboard::Keyboard;
use super::readiness::Readiness;
use super::relay::{Relay, Round};
use super::{Error, Warn};
use crate::sys::notify::{self, News};
use crate::sys::process::{self, Block, Exit, Who, pidfd_signal};
use crate::sys::signal::{self, number};
use std::fmt::Display;
use std::os::fd::{AsFd, OwnedFd};

/// A command that stays with its process. It begins before the process exists: a signal that
/// comes meanwhile is forwarded once it does, and nothing that is typed is echoed or lost.
#[derive(Debug)]
pub(super) struct Foreground {
    /// Where the command's signals are read; they are blocked.
    signals: OwnedFd,
    keyboard: Keyboard,
}

/// The process that is attended.
#[derive(Debug)]
pub(super) struct Attended {
    /// Its number.
    pub pid: i32,
    /// A pidfd of it.
    pub pidfd: OwnedFd,
    /// The master of its terminal, when it has one.
    pub terminal: Option<OwnedFd>,
    /// To whom it is told that it is ready, when somebody wants to know; the command itself is the
    /// main process.
    pub readiness: Option<Readiness>,
}

impl Foreground {
    /// Blocks signals and, for a process with a terminal, takes the keys.
    pub(super) fn begin(terminal: bool) -> Result<Self, Error> {
        let signals =
            signal::block_all_and_listen().map_err(Error::system("listen for signals"))?;
        let keyboard = if terminal { Keyboard::take() } else { Keyboard::unused() };
        Ok(Self { signals, keyboard })
    }

    /// Warns on the caller's terminal as it was.
    pub(super) fn warn(&self, warn: Warn<'_>, warning: &dyn Display) {
        self.keyboard.aside(|| warn(warning));
    }

    /// Forwards signals and the terminal until the process has ended; how it did.
    pub(super) fn attend(mut self, process: Attended, warn: Warn<'_>) -> Result<Exit, Error> {
        let Attended { pid, pidfd, terminal, mut readiness } = process;
        let relay = terminal.map(Relay::of).transpose();
        let mut relay = relay.map_err(Error::system("watch the terminal"))?;
        let to = Recipient { pid, pidfd };
        relay.iter().for_each(Relay::resize);
        let mut ended = false;
        let mut round = Round::Rest;
        loop {
            let news = [
                Some((self.signals.as_fd(), News::Input)),
                (!ended).then(|| (to.pidfd.as_fd(), News::Input)),
                readiness.as_ref().map(|one| (one.as_fd(), News::Input)),
            ];
            let terminal = relay.as_ref().map_or([None; 3], |one| one.interests(&self.keyboard));
            let ([a, b, c], [d, e, f]) = (news, terminal);
            let patience = (round == Round::Busy).then_some(0);
            let [signalled, over, told, news, typed, room] =
                notify::any([a, b, c, d, e, f], patience)
                    .map_err(Error::system("wait for the container"))?;
            ended |= over;
            if signalled && self.pass_on_signals(&to, relay.as_ref())? && ended {
                // Whoever takes the output is slow, and nobody is left to pass this on to.
                break;
            }
            if let Some(readiness) = readiness.take_if(|one| told && one.is_told()) {
                self.keyboard.aside(|| readiness.tell_or_warn(process::getpid(), &mut *warn));
            }
            if let Some(one) = &mut relay {
                if ended {
                    one.wind_up();
                }
                round = one.round([news, typed, room], &mut self.keyboard);
            }
            if round == Round::Deaf {
                // As a terminal does whose user has closed it.
                (relay, round) = (None, Round::Rest);
            }
            if ended && relay.as_ref().is_none_or(Relay::is_done) {
                break;
            }
        }
        let reaped = process::wait(Who::Pidfd(to.pidfd.as_fd()), Block::Yes)
            .map_err(Error::system("wait for the container's process"))?;
        Ok(reaped.map_or(Exit::Code(255), |(_, exit)| exit))
    }

    /// Whether one of the signals was for the process.
    fn pass_on_signals(&mut self, to: &Recipient, relay: Option<&Relay>) -> Result<bool, Error> {
        let mut passed = false;
        while let Some(number) =
            signal::next(self.signals.as_fd()).map_err(Error::system("read a signal"))?
        {
            match number {
                number::SIGCHLD => to.reap_orphans(),
                number::SIGWINCH => relay.into_iter().for_each(Relay::resize),
                // Nothing to forward: this one is about our own pipes, that one about our threads.
                number::SIGPIPE | number::SIGURG => {}
                _ => {
                    if number == number::SIGCONT && relay.is_some() {
                        self.keyboard.resume();
                    }
                    // The process may have ended in this moment.
                    let _ = pidfd_signal(to.pidfd.as_fd(), number);
                    passed |= number != number::SIGCONT;
                }
            }
        }
        Ok(passed)
    }
}

/// To whom signals go.
struct Recipient {
    pid: i32,
    pidfd: OwnedFd,
}

impl Recipient {
    /// Reaps what the container has left to us, but not its first process: its status is wanted.
    fn reap_orphans(&self) {
        while let Ok(Some(pid)) = process::peek_ended_child() {
            if pid == self.pid || process::reap(pid).is_err() {
                return;
            }
        }
    }
}
