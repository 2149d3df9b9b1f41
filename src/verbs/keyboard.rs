//! The caller's terminal, from which its keys are taken for a container's.

use crate::sys::{fd, tty};

/// The caller's standard input while a process of a container has a terminal: in raw mode if it
/// is one itself, so that control characters reach the container. The earlier mode comes back
/// with the end of this value.
#[derive(Debug)]
pub(super) struct Keyboard {
    raw: Option<tty::RawMode>,
    /// Whether what is typed is for another job of the caller's shell.
    taken: bool,
}

impl Keyboard {
    /// Nothing is typed for the process.
    pub(super) fn unused() -> Self {
        Self { raw: None, taken: false }
    }

    /// Takes the keys, unless they are another job's.
    pub(super) fn take() -> Self {
        let mut keyboard = Self::unused();
        keyboard.resume();
        keyboard
    }

    /// Takes them again: this process was stopped, or moved to the foreground.
    pub(super) fn resume(&mut self) {
        let stdin = fd::borrow(fd::STDIO[0]);
        self.taken = tty::is_in_background(stdin);
        match &self.raw {
            _ if self.taken => {}
            Some(raw) => raw.enter(),
            // Without a terminal there is nothing to change.
            None => self.raw = tty::RawMode::of_input().ok(),
        }
    }

    /// Whether what is typed is for this process.
    pub(super) fn is_ours(&self) -> bool {
        !self.taken
    }

    /// Looks whether the keys have become another job's.
    pub(super) fn is_taken(&mut self) -> bool {
        self.taken = tty::is_in_background(fd::borrow(fd::STDIO[0]));
        self.taken
    }

    /// Does something with the terminal as it was, such as writing lines to it.
    pub(super) fn aside(&self, action: impl FnOnce()) {
        match &self.raw {
            Some(raw) => {
                raw.leave();
                action();
                raw.enter();
            }
            None => action(),
        }
    }
}
