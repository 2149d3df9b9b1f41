//! Waiting for news of descriptors: input, room for output, a change of a kernel file (poll(2) with
//! `POLLPRI`, as cgroup.events offers it), or of anything at all (epoll(7)).

use super::fd::own;
use super::{Result, check, retry};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// What of a descriptor is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// Input, or the end of what a pidfd stands for.
    Input,
    /// Room for output.
    Room,
    /// A change of a kernel file since it was last read.
    Change,
}

impl News {
    fn events(self) -> libc::c_short {
        match self {
            Self::Input => libc::POLLIN,
            Self::Room => libc::POLLOUT,
            Self::Change => libc::POLLPRI,
        }
    }
}

/// Waits until there is news of one of the descriptors, at most `timeout` milliseconds. Returns
/// one flag per descriptor; of those that are not there there is none.
///
/// # Errors
/// Those of poll(2) but `EINTR`.
pub fn any<const N: usize>(
    of: [Option<(BorrowedFd<'_>, News)>; N],
    timeout: Option<u32>,
) -> Result<[bool; N]> {
    // The kernel passes over negative numbers.
    let mut set = of.map(|one| libc::pollfd {
        fd: one.map_or(-1, |(fd, _)| fd.as_raw_fd()),
        events: one.map_or(0, |(_, news)| news.events()),
        revents: 0,
    });
    let timeout = timeout.map_or(-1, |ms| i32::try_from(ms).unwrap_or(i32::MAX));
    retry(|| {
        // SAFETY: the array is writable and its length is given.
        check(unsafe { libc::poll(set.as_mut_ptr(), N as libc::nfds_t, timeout) }.into())
    })?;
    Ok(set.map(|one| one.revents != 0))
}

/// Tells whenever the state of a descriptor may have changed, once each time (`EPOLLET`), where
/// poll(2) would go on telling what lasts: that a terminal has nobody at its other side.
#[derive(Debug)]
pub struct Edges(OwnedFd);

impl Edges {
    /// Watches one descriptor; the first news is its present state.
    ///
    /// # Errors
    /// Those of epoll_create1(2) and epoll_ctl(2).
    pub fn of(fd: BorrowedFd<'_>) -> Result<Self> {
        // SAFETY: takes no memory.
        let epoll = own(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) }.into())?;
        let mut event = libc::epoll_event {
            events: (libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLET) as u32,
            u64: 0,
        };
        let (epoll_fd, add) = (epoll.as_raw_fd(), libc::EPOLL_CTL_ADD);
        // SAFETY: the event is readable during the call.
        check(unsafe { libc::epoll_ctl(epoll_fd, add, fd.as_raw_fd(), &raw mut event) }.into())?;
        Ok(Self(epoll))
    }

    /// What to poll for input.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Takes the news, if there is any.
    ///
    /// # Errors
    /// Those of epoll_wait(2) but `EINTR`.
    pub fn take(&self) -> Result<()> {
        let mut event = libc::epoll_event { events: 0, u64: 0 };
        retry(|| {
            // SAFETY: there is room for the one event that is asked for.
            check(unsafe { libc::epoll_wait(self.0.as_raw_fd(), &raw mut event, 1, 0) }.into())
        })
        .map(drop)
    }
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
