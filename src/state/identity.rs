//! Who a process is, whatever becomes of its number.

use crate::sys::{Errno, fd, process};
use serde::{Deserialize, Serialize};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// What tells a process from a later one with the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Identity {
    /// Inode of its pidfd, never used twice while the machine runs (Linux 6.9, pidfs).
    Pidfd(u64),
    /// Start time in clock ticks since boot (proc_pid_stat(5), field 22).
    StartTime(u64),
}

impl Identity {
    /// The identity of a process, by its pidfd and number.
    ///
    /// # Errors
    /// Those of fstat(2), or of reading /proc/PID/stat on older kernels.
    pub fn of(pid: i32, pidfd: BorrowedFd<'_>) -> Result<Self, Errno> {
        if fd::fs_magic(pidfd)? == fd::PID_FS_MAGIC {
            return fd::fstat(pidfd).map(|stat| Self::Pidfd(stat.ino));
        }
        start_time(pid).map(Self::StartTime)
    }

    /// A pidfd of the process when it is still this one and has not ended.
    ///
    /// # Errors
    /// Those of pidfd_open(2) but `ESRCH`.
    pub fn find(self, pid: i32) -> Result<Option<OwnedFd>, Errno> {
        let pidfd = match process::pidfd_open(pid) {
            Ok(pidfd) => pidfd,
            // EINVAL: the number is now that of a thread.
            Err(Errno::ESRCH | Errno::EINVAL) => return Ok(None),
            Err(errno) => return Err(errno),
        };
        let same = match self {
            Self::Pidfd(inode) => fd::fstat(pidfd.as_fd())?.ino == inode,
            Self::StartTime(ticks) => start_time(pid) == Ok(ticks),
        };
        // A pidfd is readable once its process has ended, reaped or not.
        let [ended] = fd::poll_in([pidfd.as_fd()], Some(0))?;
        Ok(Some(pidfd).filter(|_| same && !ended))
    }
}

fn start_time(pid: i32) -> Result<u64, Errno> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .map_err(|e| e.raw_os_error().map_or(Errno::EIO, Errno::from_raw))?;
    // The second field is the name in parentheses and may hold anything.
    text.rsplit_once(')')
        .and_then(|(_, rest)| rest.split_ascii_whitespace().nth(19)?.parse().ok())
        .ok_or(Errno::EIO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_living_process_is_found_and_a_stranger_is_not() {
        let pid = process::getpid();
        let pidfd = process::pidfd_open(pid).unwrap();
        let identity = Identity::of(pid, pidfd.as_fd()).unwrap();
        assert!(identity.find(pid).unwrap().is_some());
        assert!(Identity::StartTime(start_time(pid).unwrap()).find(pid).unwrap().is_some());
        assert!(Identity::StartTime(1).find(pid).unwrap().is_none());
        let mut child = std::process::Command::new("/bin/true").spawn().unwrap();
        let id = child.id() as i32;
        let pidfd = process::pidfd_open(id).unwrap();
        let identity = Identity::of(id, pidfd.as_fd()).unwrap();
        child.wait().unwrap();
        assert!(identity.find(id).unwrap().is_none());
    }
}
