//! Signals: masks, synchronous reception, dispositions, names (signal(7)).

use super::fd::own;
use super::{Result, check};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

fn full_set() -> libc::sigset_t {
    // SAFETY: sigset_t is plain data for which all zeroes is valid.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` is writable.
    unsafe { libc::sigfillset(&raw mut set) };
    set
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
    for signal in 1..=libc::SIGRTMAX() {
        // SAFETY: SIG_DFL is valid for every signal; failures for SIGKILL, SIGSTOP and the two
        // that the C library keeps for itself are what is wanted.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
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

/// The first and the last real-time signal that programs may use.
pub fn realtime_range() -> (i32, i32) {
    (libc::SIGRTMIN(), libc::SIGRTMAX())
}

/// Signals that a foreground launcher handles itself.
pub mod number {
    pub use libc::{SIGCHLD, SIGCONT, SIGKILL, SIGPIPE, SIGTERM, SIGURG, SIGWINCH};
}
