//! Terminals: pseudo-terminal pairs, window sizes, raw mode (pty(7), ioctl_tty(2)).

use super::fd::{self, own};
use super::{Result, check};
use nix::sys::termios::{self, SetArg, Termios};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

/// A window size in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WindowSize {
    /// Rows.
    pub height: u16,
    /// Columns.
    pub width: u16,
}

/// Allows the other side of a fresh multiplexer descriptor to be opened (`TIOCSPTLCK`).
///
/// # Errors
/// Those of ioctl_tty(2).
pub fn unlock(master: BorrowedFd<'_>) -> Result<()> {
    let unlocked: libc::c_int = 0;
    // SAFETY: the request reads one int.
    check(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSPTLCK, &raw const unlocked) }.into())
        .map(drop)
}

/// Opens the other side of a pseudo-terminal without a path lookup (`TIOCGPTPEER`).
///
/// # Errors
/// Those of ioctl_tty(2).
pub fn peer(master: BorrowedFd<'_>) -> Result<OwnedFd> {
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: the request takes an integer.
    own(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER, flags) }.into())
}

/// Makes a terminal the controlling one of the calling session leader (`TIOCSCTTY`).
///
/// # Errors
/// Those of ioctl_tty(2).
pub fn set_controlling(terminal: BorrowedFd<'_>) -> Result<()> {
    // SAFETY: the request takes an integer.
    check(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSCTTY, 0) }.into()).map(drop)
}

/// Sets the window size.
///
/// # Errors
/// Those of ioctl_tty(2).
pub fn set_window_size(terminal: BorrowedFd<'_>, size: WindowSize) -> Result<()> {
    let size =
        libc::winsize { ws_row: size.height, ws_col: size.width, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the request reads one winsize.
    check(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) }.into())
        .map(drop)
}

/// The window size.
///
/// # Errors
/// `ENOTTY` when the descriptor is no terminal.
pub fn window_size(terminal: BorrowedFd<'_>) -> Result<WindowSize> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the request writes one winsize.
    check(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) }.into())?;
    Ok(WindowSize { height: size.ws_row, width: size.ws_col })
}

/// The window size of the caller's terminal, which is the first of its standard streams that is
/// one and has a size: serial lines and terminals of programs often have none.
pub fn window_size_of_caller() -> Option<WindowSize> {
    let mut sizes = fd::STDIO.into_iter().filter_map(|number| window_size(fd::borrow(number)).ok());
    sizes.find(|size| size.height != 0 && size.width != 0)
}

/// Whether a descriptor is a terminal.
pub fn is_terminal(descriptor: BorrowedFd<'_>) -> bool {
    // SAFETY: takes no memory.
    unsafe { libc::isatty(descriptor.as_raw_fd()) == 1 }
}

/// Whether a terminal's keys are for another process group than the calling one.
pub fn is_in_background(terminal: BorrowedFd<'_>) -> bool {
    // SAFETY: takes no memory.
    let group = unsafe { libc::tcgetpgrp(terminal.as_raw_fd()) };
    // SAFETY: takes no memory and cannot fail.
    group >= 0 && group != unsafe { libc::getpgrp() }
}

/// Opens a terminal once more, so that it does not block here and stays as it is for others who
/// have the same open file.
///
/// # Errors
/// Those of open(2), as the terminal may belong to another user by now; `ENOENT` without /proc.
pub fn reopen(terminal: BorrowedFd<'_>, flags: i32) -> Result<OwnedFd> {
    let path = fd::proc_path(terminal)?;
    fd::openat(fd::cwd(), path.as_c_str(), flags | libc::O_NONBLOCK | libc::O_NOCTTY, 0)
}

/// What ends the input of a program behind a terminal when it is typed at the start of a line.
#[derive(Clone, Copy, Debug)]
pub struct EndOfInput {
    /// termios(3), VEOF; the usual one where a program that edits lines by itself has taken the
    /// meaning away.
    pub character: u8,
    /// Whether it comes back as output.
    pub is_echoed: bool,
}

/// What that is just now. May be asked of either side.
///
/// # Errors
/// `ENOTTY` when the descriptor is no terminal.
pub fn end_of_input(terminal: BorrowedFd<'_>) -> Result<EndOfInput> {
    let mode = termios::tcgetattr(terminal)?;
    let by_lines = mode.local_flags.contains(termios::LocalFlags::ICANON);
    let own = mode.control_chars[termios::SpecialCharacterIndices::VEOF as usize];
    Ok(EndOfInput {
        character: if by_lines { own } else { CONTROL_D },
        is_echoed: !by_lines && mode.local_flags.contains(termios::LocalFlags::ECHO),
    })
}

const CONTROL_D: u8 = 4;

/// A terminal in raw mode; dropping it puts the earlier mode back.
#[derive(Debug)]
pub struct RawMode {
    terminal: BorrowedFd<'static>,
    before: Termios,
    raw: Termios,
}

impl RawMode {
    /// Switches the standard input to raw mode (cfmakeraw(3)).
    ///
    /// # Errors
    /// `ENOTTY` when it is no terminal.
    pub fn of_input() -> Result<Self> {
        let terminal = fd::borrow(fd::STDIO[0]);
        let before = termios::tcgetattr(terminal)?;
        let mut raw = before.clone();
        termios::cfmakeraw(&mut raw);
        let mode = Self { terminal, before, raw };
        mode.enter();
        Ok(mode)
    }

    /// Switches to raw mode again, whoever has changed it.
    pub fn enter(&self) {
        self.set(&self.raw);
    }

    /// Puts the earlier mode back for a while.
    pub fn leave(&self) {
        self.set(&self.before);
    }

    /// Nothing is left to do when the terminal itself is gone.
    fn set(&self, mode: &Termios) {
        let _ = termios::tcsetattr(self.terminal, SetArg::TCSANOW, mode);
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        self.leave();
    }
}
