//! Signals: masks, synchronous reception, dispositions, names (signal(7)).

use super::fd::own;
use super::{Result, check};
use std::mem::MaybeUninit;
use std::ops::RangeInclusive;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

/// All signals, also those that the C library counts as its own: they are none of ours to judge.
fn full_set() -> libc::sigset_t {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigset_t is plain data for which any bits are valid.
    unsafe {
        set.as_mut_ptr().write_bytes(0xff, 1);
        set.assume_init()
    }
}

fn set_mask(set: &libc::sigset_t) -> Result<()> {
    // SAFETY: `set` outlives the call; a null pointer asks for no old mask.
    check(unsafe { libc::sigprocmask(libc::SIG_SETMASK, set, std::ptr::null_mut()) }.into())
        .map(drop)
}

/// Blocks every signal and returns a descriptor from which they are read (signalfd(2)).
///
/// # Errors
/// Those of sigprocmask(2) and signalfd(2).
pub fn block_all_and_listen() -> Result<OwnedFd> {
    let set = full_set();
    set_mask(&set)?;
    // SAFETY: `set` outlives the call.
    own(unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) }
        .into())
}

/// Unblocks every signal.
///
/// # Errors
/// Those of sigprocmask(2).
pub fn unblock_all() -> Result<()> {
    // SAFETY: sigset_t is plain data for which all zeroes is valid, and means the empty set.
    let set: libc::sigset_t = unsafe { std::mem::zeroed() };
    set_mask(&set)
}

/// The next pending signal of [`block_all_and_listen`]; `None` when there is none.
///
/// # Errors
/// Those of read(2) but `EAGAIN`.
pub fn next(listener: BorrowedFd<'_>) -> Result<Option<i32>> {
    // SAFETY: signalfd_siginfo is plain data for which all zeroes is valid.
    let mut info: libc::signalfd_siginfo = unsafe { std::mem::zeroed() };
    // SAFETY: the buffer is as long as one record.
    let ret = unsafe {
        libc::read(
            listener.as_raw_fd(),
            (&raw mut info).cast(),
            size_of::<libc::signalfd_siginfo>(),
        )
    };
    match check(ret as libc::c_long) {
        Ok(_) => Ok(Some(info.ssi_signo as i32)),
        Err(super::Errno::EAGAIN | super::Errno::EINTR) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Gives every signal its default disposition back, so that a program starts as from init(1).
///
/// Only signals that are ignored survive execve(2); their list is short and known, but asking
/// the kernel for each costs as much as setting it.
pub fn reset_dispositions() {
    // struct sigaction as the kernel has it, all zeroes: SIG_DFL, no flags, an empty mask. The C
    // library's function leaves out the signals that it counts as its own.
    let default = [0_u64; 4];
    let mask_size = size_of::<u64>();
    for signal in 1..=LAST {
        // SAFETY: `default` outlives the call. It fails for SIGKILL and SIGSTOP alone.
        unsafe {
            libc::syscall(libc::SYS_rt_sigaction, signal, &raw const default, 0, mask_size);
        }
    }
}

/// Makes writes to a closed pipe fail with `EPIPE` instead of killing the process.
pub fn ignore_sigpipe() {
    // SAFETY: SIG_IGN is valid for SIGPIPE.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
}

/// The signals by name, without `SIG`, for kill(1)-like commands (signal(7)).
pub const NAMES: &[(&str, i32)] = &[
    ("HUP", libc::SIGHUP),
    ("INT", libc::SIGINT),
    ("QUIT", libc::SIGQUIT),
    ("ILL", libc::SIGILL),
    ("TRAP", libc::SIGTRAP),
    ("ABRT", libc::SIGABRT),
    ("IOT", libc::SIGIOT),
    ("BUS", libc::SIGBUS),
    ("FPE", libc::SIGFPE),
    ("KILL", libc::SIGKILL),
    ("USR1", libc::SIGUSR1),
    ("SEGV", libc::SIGSEGV),
    ("USR2", libc::SIGUSR2),
    ("PIPE", libc::SIGPIPE),
    ("ALRM", libc::SIGALRM),
    ("TERM", libc::SIGTERM),
    ("STKFLT", libc::SIGSTKFLT),
    ("CHLD", libc::SIGCHLD),
    ("CLD", libc::SIGCHLD),
    ("CONT", libc::SIGCONT),
    ("STOP", libc::SIGSTOP),
    ("TSTP", libc::SIGTSTP),
    ("TTIN", libc::SIGTTIN),
    ("TTOU", libc::SIGTTOU),
    ("URG", libc::SIGURG),
    ("XCPU", libc::SIGXCPU),
    ("XFSZ", libc::SIGXFSZ),
    ("VTALRM", libc::SIGVTALRM),
    ("PROF", libc::SIGPROF),
    ("WINCH", libc::SIGWINCH),
    ("IO", libc::SIGIO),
    ("POLL", libc::SIGPOLL),
    ("PWR", libc::SIGPWR),
    ("SYS", libc::SIGSYS),
];

/// Highest number of a signal (signal(7)).
const LAST: i32 = 64;

/// The real-time signals as kill(1), systemd and engines count them, which is as the GNU C library
/// does (signal(7)): SIGRTMIN+3, which asks systemd to halt, is 37, whatever library we have.
pub const REALTIME: RangeInclusive<i32> = 34..=LAST;

/// Signals that a foreground launcher handles itself.
pub mod number {
    pub use libc::{SIGCHLD, SIGCONT, SIGKILL, SIGPIPE, SIGTERM, SIGURG, SIGWINCH};
}
