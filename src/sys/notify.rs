//! Waiting for a change of a kernel file (poll(2) with `POLLPRI`, as cgroup.events offers it).

use super::{Result, check, retry};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// What of a descriptor is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// Input, or the end of what a pidfd stands for.
    Input,
    /// A change of a kernel file since it was last read.
    Change,
}

/// Waits until there is news of one of the descriptors, at most `timeout` milliseconds. Returns
/// one flag per descriptor.
///
/// # Errors
/// Those of poll(2) but `EINTR`.
pub fn any<const N: usize>(
    of: [(BorrowedFd<'_>, News); N],
    timeout: Option<u32>,
) -> Result<[bool; N]> {
    let mut set = of.map(|(fd, news)| libc::pollfd {
        fd: fd.as_raw_fd(),
        events: if news == News::Input { libc::POLLIN } else { libc::POLLPRI },
        revents: 0,
    });
    let timeout = timeout.map_or(-1, |ms| i32::try_from(ms).unwrap_or(i32::MAX));
    retry(|| {
        // SAFETY: the array is writable and its length is given.
        check(unsafe { libc::poll(set.as_mut_ptr(), N as libc::nfds_t, timeout) }.into())
    })?;
    Ok(set.map(|one| one.revents != 0))
}

/// A counter that the kernel adds to when something happens (eventfd(2)), as cgroup v1 announces
/// OOM kills. Reading it does not block.
///
/// # Errors
/// Those of eventfd(2).
pub fn counter() -> Result<OwnedFd> {
    // SAFETY: no memory is passed.
    let fd = check(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) }.into())?;
    // SAFETY: the kernel has just given us the descriptor, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Waits until the kernel announces a change of the file since it was last read, at most
/// `timeout` milliseconds. Returns whether it did.
///
/// # Errors
/// Those of poll(2) but `EINTR`.
pub fn changed(fd: BorrowedFd<'_>, timeout: u32) -> Result<bool> {
    let mut set = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLPRI, revents: 0 };
    let timeout = i32::try_from(timeout).unwrap_or(i32::MAX);
    retry(|| {
        // SAFETY: one pollfd is passed and it is writable during the call.
        check(unsafe { libc::poll(&raw mut set, 1, timeout) }.into())
    })?;
    Ok(set.revents != 0)
}

/// Reads from the start of a file (pread(2) at offset 0): kernel files are made anew by that.
///
/// # Errors
/// Those of pread(2) but `EINTR`.
pub fn read_anew(fd: BorrowedFd<'_>, buf: &mut [u8]) -> Result<usize> {
    retry(|| {
        // SAFETY: the buffer is writable for the length given.
        let ret = unsafe { libc::pread(fd.as_raw_fd(), buf.as_mut_ptr().cast(), buf.len(), 0) };
        check(ret as libc::c_long).map(|n| n as usize)
    })
}
