//! Waiting for a change of a kernel file (poll(2) with `POLLPRI`, as cgroup.events offers it).

use super::{Result, check, retry};
use std::os::fd::{AsRawFd, BorrowedFd};

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
