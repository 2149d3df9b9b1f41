//! The container's terminal: opened from its own devpts, handed over by descriptor.

use super::devices::{open_dev, placeholder};
use super::{At, Input};
use crate::plan::process::Terminal;
use crate::plan::{Plan, ProcessPlan};
use crate::sys::mount::{self, Reach};
use crate::sys::{self, Errno, fd, tty};
use crate::wire::{Failure, Step, ToLauncher};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// Opens a pseudo-terminal, binds it over /dev/console and sends its master to the launcher.
pub(super) fn open(
    plan: &Plan,
    input: &Input,
    root: BorrowedFd<'_>,
) -> Result<Option<OwnedFd>, Failure> {
    let Some(terminal) = plan.process.as_ref().and_then(|p| p.process.terminal.as_ref()) else {
        return Ok(None);
    };
    let (master, slave) = pair(terminal, root)?;
    if plan.devices.own_dev {
        bind_console(root, slave.as_fd())?;
    }
    hand_over(master, input.link.as_fd())?;
    Ok(Some(slave))
}

/// Both sides of a new pseudo-terminal of the container.
pub(super) fn pair(
    terminal: &Terminal,
    root: BorrowedFd<'_>,
) -> Result<(OwnedFd, OwnedFd), Failure> {
    let master = open_multiplexer(root).at(Step::Terminal, 0)?;
    tty::unlock(master.as_fd()).at(Step::Terminal, 0)?;
    // By ioctl, not by the name in /dev/pts, which the image could have replaced
    // (CVE-2025-52565).
    let slave = tty::peer(master.as_fd()).at(Step::Terminal, 0)?;
    // Without a size of its own it has the caller's from the start: the standard streams are still
    // the caller's here.
    let size = match terminal.size {
        Some(size) => Some(tty::WindowSize { height: size.rows, width: size.columns }),
        None => tty::window_size_of_caller(),
    };
    if let Some(size) = size {
        tty::set_window_size(slave.as_fd(), size).at(Step::Terminal, 0)?;
    }
    Ok((master, slave))
}

/// Sends the master to the launcher.
pub(super) fn hand_over(master: OwnedFd, link: BorrowedFd<'_>) -> Result<(), Failure> {
    ToLauncher::Terminal.send(link, Some(master.as_fd())).at(Step::SendTerminal, 0)
}

/// The multiplexer of the container's devpts, proven to be one.
fn open_multiplexer(root: BorrowedFd<'_>) -> sys::Result<OwnedFd> {
    let flags = fd::O_RDWR | fd::O_NOCTTY | fd::O_NONBLOCK;
    let resolve = fd::RESOLVE_IN_ROOT | fd::RESOLVE_NO_MAGICLINKS;
    let master = fd::openat2(root, c"/dev/pts/ptmx", flags, 0, resolve)
        .or_else(|_| fd::openat2(root, c"/dev/ptmx", flags, 0, resolve))?;
    if fd::fstat(master.as_fd())?.is_char(5, 2) { Ok(master) } else { Err(Errno::ENODEV) }
}

fn bind_console(root: BorrowedFd<'_>, slave: BorrowedFd<'_>) -> Result<(), Failure> {
    let dev = open_dev(root)?;
    let target = placeholder(dev.as_fd(), c"console").at(Step::Console, 0)?;
    let tree = mount::clone_tree(slave, c"", Reach::Single).at(Step::Console, 0)?;
    mount::attach(tree.as_fd(), target.as_fd()).at(Step::Console, 0)
}

/// Gives the standard streams to the program's user, and the terminal to its session.
pub(super) fn become_standard_streams(
    wanted: &ProcessPlan,
    terminal: Option<&OwnedFd>,
) -> Result<(), Failure> {
    let step = Step::StandardStreams;
    if let Some(slave) = terminal {
        tty::set_controlling(slave.as_fd()).at(step, 0)?;
        for number in fd::STDIO {
            fd::dup_onto(slave.as_fd(), number).at(step, number as usize)?;
        }
    }
    let process = &wanted.process;
    for number in fd::STDIO {
        let stream = fd::borrow(number);
        let Ok(stat) = fd::fstat(stream) else { continue };
        // Only what belongs to this container alone: a pipe, a socket or its terminal. Anything
        // else (/dev/null, a file of the caller) keeps its owner (CVE-2026-88265).
        let own = matches!(stat.kind(), fd::S_IFIFO | fd::S_IFSOCK)
            || terminal.is_some_and(|t| t.as_raw_fd() != number);
        if own && stat.uid != process.uid {
            // Some file systems keep owners; the program then reopens its streams in vain, as
            // with every other runtime.
            let _ = fd::fchown(stream, process.uid, stat.gid);
        }
    }
    Ok(())
}
