//! Who a process is, whatever becomes of its number.

use crate::sys::process::Exit;
use crate::sys::signal::number::SIGKILL;
use crate::sys::{Errno, fd, process};
use serde::{Deserialize, Serialize};
use std::ffi::CString;
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

/// Flags of a task (include/linux/sched.h): it is ending, and has closed or will close all.
const PF_EXITING: u64 = 0x4;
/// It was forked and has not executed a program since.
const PF_FORKNOEXEC: u64 = 0x40;

/// Whether a process has begun to end, though not all of it may be gone: the first of a pid
/// namespace waits for the others to be reaped, which nobody may be in a hurry to do.
pub fn is_ending(pid: i32, pidfd: BorrowedFd<'_>) -> bool {
    fields(pid, pidfd, [9]).is_none_or(|[flags]| flags & PF_EXITING != 0)
}

/// How a process ended that has let go of its descriptors, if that was not by executing its
/// program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EarlyEnd {
    /// Where the kernel tells (the caller may trace the process, proc_pid_stat(5)).
    pub exit: Option<Exit>,
}

/// Whether a process that has let go of its descriptors did so by ending, instead of executing
/// its program. One that was reaped meanwhile counts when SIGKILL has ended it, where the kernel
/// still tells (Linux 6.15): nothing else ends who waits to be started.
pub fn end_before_program(pid: i32, pidfd: BorrowedFd<'_>) -> Option<EarlyEnd> {
    let mut looks = 1000;
    loop {
        let Some([flags, status]) = fields(pid, pidfd, [9, 52]) else {
            let exit = process::exit_of(pidfd);
            return (exit == Some(Exit::Signal(SIGKILL as u8))).then_some(EarlyEnd { exit });
        };
        if flags & PF_FORKNOEXEC == 0 {
            return None;
        }
        looks -= 1;
        if flags & PF_EXITING != 0 || looks == 0 {
            let exit = (status != 0).then(|| Exit::of_wait_status(status as i32));
            return Some(EarlyEnd { exit });
        }
        // A busy User Mode Linux shows descriptors gone before either flag has changed.
        let _ = fd::poll_in([pidfd], Some(1));
    }
}

/// Numbers of the process behind a pidfd (proc_pid_stat(5)); none once it was reaped.
fn fields<const N: usize>(pid: i32, pidfd: BorrowedFd<'_>, wanted: [usize; N]) -> Option<[u64; N]> {
    let fields = stat_fields(pid, wanted).ok()?;
    // Asked afterwards: what was read is that of the process if it is still there, ended or not.
    process::pidfd_signal(pidfd, 0).ok().map(|()| fields)
}

fn start_time(pid: i32) -> Result<u64, Errno> {
    stat_fields(pid, [22]).map(|[time]| time)
}

/// Numeric fields of proc_pid_stat(5) behind the name, counted from 1 as there.
fn stat_fields<const N: usize>(pid: i32, wanted: [usize; N]) -> Result<[u64; N], Errno> {
    let path = CString::new(format!("/proc/{pid}/stat")).map_err(|_| Errno::EINVAL)?;
    // Every start asks for it: one read, which is always enough for these numbers.
    let mut buf = [0; 1024];
    let file = fd::openat(fd::cwd(), &path, fd::O_RDONLY, 0)?;
    let len = fd::read(file.as_fd(), &mut buf)?;
    let text = String::from_utf8_lossy(&buf[..len]);
    // The second field is the name in parentheses and may hold anything.
    let (_, rest) = text.rsplit_once(')').ok_or(Errno::EIO)?;
    let field = |number: usize| rest.split_ascii_whitespace().nth(number - 3)?.parse().ok();
    let mut found = [0; N];
    for (place, number) in found.iter_mut().zip(wanted) {
        *place = field(number).ok_or(Errno::EIO)?;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::process::{Block, Cloned, Who};

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

    #[test]
    fn a_process_that_was_executed_is_told_from_one_that_was_killed_before() {
        let mut program = std::process::Command::new("/bin/sleep").arg("60").spawn().unwrap();
        let pid = program.id() as i32;
        let pidfd = process::pidfd_open(pid).unwrap();
        assert_eq!(end_before_program(pid, pidfd.as_fd()), None);
        assert!(!is_ending(pid, pidfd.as_fd()));
        program.kill().unwrap();
        while !fd::poll_in([pidfd.as_fd()], Some(100)).unwrap()[0] {}
        assert_eq!(end_before_program(pid, pidfd.as_fd()), None, "killed after execve");
        assert!(is_ending(pid, pidfd.as_fd()));
        program.wait().unwrap();
        assert!(is_ending(pid, pidfd.as_fd()));
        // Reaped, so that only the way of its end is known.
        let told = process::exit_of(pidfd.as_fd());
        assert!(matches!(told, None | Some(Exit::Signal(9))), "{told:?}");
    }

    #[test]
    fn a_process_that_was_killed_before_it_was_executed_says_how() {
        let (pid, pidfd) = match process::clone3(0, None).unwrap() {
            Cloned::Child => {
                let _ = fd::poll_in([], Some(60_000));
                process::exit_now(0)
            }
            Cloned::Parent { pid, pidfd } => (pid, pidfd),
        };
        process::pidfd_signal(pidfd.as_fd(), SIGKILL).unwrap();
        while !fd::poll_in([pidfd.as_fd()], Some(100)).unwrap()[0] {}
        let how = EarlyEnd { exit: Some(Exit::Signal(SIGKILL as u8)) };
        assert_eq!(end_before_program(pid, pidfd.as_fd()), Some(how));
        process::wait(Who::Pidfd(pidfd.as_fd()), Block::Yes).unwrap();
    }
}
