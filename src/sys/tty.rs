//! Terminals: pseudo-terminal pairs, window sizes, raw mode (pty(7), ioctl_tty(2)).

use super::fd::own;
use super::{Result, check};
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

/// A terminal in raw mode; dropping it puts the earlier mode back.
#[derive(Debug)]
pub struct RawMode<'f> {
    terminal: BorrowedFd<'f>,
    before: nix::sys::termios::Termios,
}

impl<'f> RawMode<'f> {
    /// Switches the terminal to raw mode (cfmakeraw(3)).
    ///
    /// # Errors
    /// `ENOTTY` when the descriptor is no terminal.
    pub fn enter(terminal: BorrowedFd<'f>) -> Result<Self> {
        use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};
        let before = tcgetattr(terminal)?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(terminal, SetArg::TCSANOW, &raw)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for RawMode<'_> {
    fn drop(&mut self) {
        use nix::sys::termios::{SetArg, tcsetattr};
        // Nothing is left to do when the terminal itself is gone.
        let _ = tcsetattr(self.terminal, SetArg::TCSANOW, &self.before);
    }
}
