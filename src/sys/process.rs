//! Processes and their namespaces: clone3(2), pidfds, setns(2), execve(2), prctl(2).

use super::fd::own;
use super::{Errno, Result, check, retry};
use std::convert::Infallible;
use std::ffi::{CStr, CString};
use std::fmt;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Namespace flags of clone(2).
pub mod ns {
    /// User namespace.
    pub const USER: u64 = libc::CLONE_NEWUSER as u64;
    /// Process id namespace.
    pub const PID: u64 = libc::CLONE_NEWPID as u64;
    /// Network namespace.
    pub const NETWORK: u64 = libc::CLONE_NEWNET as u64;
    /// Mount namespace.
    pub const MOUNT: u64 = libc::CLONE_NEWNS as u64;
    /// System V IPC and POSIX message queue namespace.
    pub const IPC: u64 = libc::CLONE_NEWIPC as u64;
    /// Host name namespace.
    pub const UTS: u64 = libc::CLONE_NEWUTS as u64;
    /// Cgroup namespace.
    pub const CGROUP: u64 = libc::CLONE_NEWCGROUP as u64;
    /// Time namespace.
    pub const TIME: u64 = libc::CLONE_NEWTIME as u64;
}

/// Which side of a clone the caller finds itself on.
#[derive(Debug)]
pub enum Cloned {
    /// The calling process; the new one's id and a pidfd of it.
    Parent {
        /// Process id as seen by the caller.
        pid: i32,
        /// Refers to the process, whatever becomes of its id.
        pidfd: OwnedFd,
    },
    /// The new process.
    Child,
}

/// Not `libc`'s constant, which does not fit its type.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// clone3(2) without shared memory: a fork into new namespaces and, when given, a cgroup.
///
/// The caller must have one thread: the new process may otherwise find the C library's locks
/// taken for ever.
///
/// # Errors
/// Those of clone3(2).
pub fn clone3(namespaces: u64, cgroup: Option<BorrowedFd<'_>>) -> Result<Cloned> {
    clone_with(namespaces, cgroup)
}

/// As [`clone3`], but the new process is a child of the caller's parent (`CLONE_PARENT`).
///
/// # Errors
/// `EINVAL` for the first process of a pid namespace; others of clone3(2).
pub fn clone3_sibling(namespaces: u64) -> Result<Cloned> {
    clone_with(namespaces | libc::CLONE_PARENT as u64, None)
}

fn clone_with(flags: u64, cgroup: Option<BorrowedFd<'_>>) -> Result<Cloned> {
    let mut pidfd: i32 = -1;
    // SAFETY: clone_args is plain data for which all zeroes is valid.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = flags | libc::CLONE_PIDFD as u64;
    args.pidfd = (&raw mut pidfd) as u64;
    if flags & libc::CLONE_PARENT as u64 == 0 {
        // A sibling ends with the same signal as the caller, and the kernel takes no other.
        args.exit_signal = libc::SIGCHLD as u64;
    }
    if let Some(fd) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = fd.as_raw_fd() as u64;
    }
    // SAFETY: no stack is passed, so the child continues here on a copy of this address space,
    // as after fork(2); `args` and `pidfd` outlive the call.
    let pid = check(unsafe {
        libc::syscall(libc::SYS_clone3, &raw const args, size_of::<libc::clone_args>())
    })?;
    if pid == 0 {
        return Ok(Cloned::Child);
    }
    // SAFETY: CLONE_PIDFD stored a new descriptor that nobody else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Cloned::Parent { pid: pid as i32, pidfd })
}

/// A descriptor for a process (pidfd_open(2)).
///
/// # Errors
/// `ESRCH` when there is no such process; others of pidfd_open(2).
pub fn pidfd_open(pid: i32) -> Result<OwnedFd> {
    // SAFETY: no memory is passed.
    own(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })
}

/// Sends a signal to the process behind a pidfd (pidfd_send_signal(2)).
///
/// # Errors
/// `ESRCH` when it has ended and was reaped; others of pidfd_send_signal(2).
pub fn pidfd_signal(pidfd: BorrowedFd<'_>, signal: i32) -> Result<()> {
    // SAFETY: a null siginfo asks for the default one.
    check(unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    })
    .map(drop)
}

/// How the process behind a pidfd ended, also when it is no child and was reaped already; `None`
/// while it lives, and where the kernel does not tell (before Linux 6.15).
pub fn exit_of(pidfd: BorrowedFd<'_>) -> Option<Exit> {
    /// struct pidfd_info in its first version, of which only two members matter here.
    #[repr(C)]
    #[derive(Default)]
    struct PidfdInfo {
        mask: u64,
        cgroup: u64,
        ids: [u32; 11],
        exit_code: i32,
    }
    const PIDFD_INFO_EXIT: u64 = 1 << 3;
    // _IOWR(0xFF, 11, 64 bytes)
    const PIDFD_GET_INFO: libc::c_ulong = 0xC040_FF0B;
    let mut info = PidfdInfo { mask: PIDFD_INFO_EXIT, ..PidfdInfo::default() };
    // SAFETY: the request names the size of the structure, which is writable.
    check(unsafe { libc::ioctl(pidfd.as_raw_fd(), PIDFD_GET_INFO as _, &raw mut info) }.into())
        .ok()?;
    if info.mask & PIDFD_INFO_EXIT == 0 {
        return None;
    }
    Some(Exit::of_wait_status(info.exit_code))
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with a status.
    Code(u8),
    /// By a signal.
    Signal(u8),
}

impl Exit {
    /// What wait(2) and the kernel's tables have it in.
    pub fn of_wait_status(status: i32) -> Self {
        match status & 0x7f {
            0 => Self::Code((status >> 8) as u8),
            signal => Self::Signal(signal as u8),
        }
    }

    /// The status that a shell would report: the code, or 128 + signal.
    pub fn status(self) -> u8 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => signal.saturating_add(128),
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "status {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// Which children [`wait`] looks at.
#[derive(Clone, Copy, Debug)]
pub enum Who<'f> {
    /// The child behind a pidfd.
    Pidfd(BorrowedFd<'f>),
}

/// Whether [`wait`] may block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block {
    /// Until a child ends.
    Yes,
    /// Not at all.
    No,
}

/// Reaps a child: its id and how it ended; `None` when none has ended and blocking was not asked.
///
/// # Errors
/// `ECHILD` when there is no such child; others of waitid(2).
pub fn wait(who: Who<'_>, block: Block) -> Result<Option<(i32, Exit)>> {
    let (kind, id) = match who {
        Who::Pidfd(fd) => (libc::P_PIDFD, fd.as_raw_fd() as libc::id_t),
    };
    let flags = libc::WEXITED | if block == Block::No { libc::WNOHANG } else { 0 };
    // SAFETY: siginfo is plain data for which all zeroes is valid.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    retry(|| {
        // SAFETY: `info` is writable during the call.
        check(unsafe { libc::waitid(kind, id, &raw mut info, flags) }.into())
    })?;
    // SAFETY: waitid filled these fields, or left the zeroes.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    if pid == 0 {
        return Ok(None);
    }
    let exit = match info.si_code {
        libc::CLD_EXITED => Exit::Code(status as u8),
        _ => Exit::Signal(status as u8),
    };
    Ok(Some((pid, exit)))
}

/// A child that has ended and was not reaped yet, which it stays; `None` when there is none.
///
/// # Errors
/// `ECHILD` when there are no children at all; others of waitid(2).
pub fn peek_ended_child() -> Result<Option<i32>> {
    // SAFETY: siginfo is plain data for which all zeroes is valid.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: `info` is writable during the call.
    check(unsafe { libc::waitid(libc::P_ALL, 0, &raw mut info, flags) }.into())?;
    // SAFETY: waitid filled this field, or left the zero.
    let pid = unsafe { info.si_pid() };
    Ok(Some(pid).filter(|&pid| pid != 0))
}

/// Reaps a child that has ended.
///
/// # Errors
/// `ECHILD` when there is no such child; others of waitid(2).
pub fn reap(pid: i32) -> Result<()> {
    // SAFETY: a null status is allowed.
    check(unsafe { libc::waitpid(pid, std::ptr::null_mut(), libc::WNOHANG) }.into()).map(drop)
}

/// setns(2): joins the namespaces `kinds` of the process or namespace behind `fd`.
///
/// # Errors
/// `EINVAL` when the descriptor is of another kind; others of setns(2).
pub fn setns(fd: BorrowedFd<'_>, kinds: u64) -> Result<()> {
    // SAFETY: no memory is passed.
    check(unsafe { libc::setns(fd.as_raw_fd(), kinds as i32) }.into()).map(drop)
}

/// unshare(2).
///
/// # Errors
/// Those of unshare(2).
pub fn unshare(kinds: u64) -> Result<()> {
    // SAFETY: no memory is passed.
    check(unsafe { libc::unshare(kinds as i32) }.into()).map(drop)
}

/// The `CLONE_NEW*` flag of a namespace descriptor (ioctl_ns(2), `NS_GET_NSTYPE`).
///
/// # Errors
/// `ENOTTY` when the file is no namespace.
pub fn namespace_type(fd: BorrowedFd<'_>) -> Result<u64> {
    // SAFETY: the request takes no argument.
    let kind = check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::NS_GET_NSTYPE) }.into())?;
    Ok(kind as u64)
}

/// A NULL-terminated array of C strings, as execve(2) takes it, with room for more entries.
#[derive(Debug)]
pub struct StringArray {
    // Keeps what `pointers` points to alive.
    _strings: Vec<CString>,
    pointers: Vec<*const libc::c_char>,
    len: usize,
}

impl StringArray {
    /// The strings, with `spare` more places that [`StringArray::push`] can fill.
    pub fn new(strings: Vec<CString>, spare: usize) -> Self {
        let len = strings.len();
        let mut pointers: Vec<_> = strings.iter().map(|s| s.as_ptr()).collect();
        pointers.resize(len + spare + 1, std::ptr::null());
        Self { _strings: strings, pointers, len }
    }

    /// Adds a string without allocating; `false` when there is no room left.
    ///
    /// Only its address is kept: the string has to live until execve(2), which the kernel reads
    /// it in. A string that is gone by then gives the program garbage or `EFAULT`, nothing else.
    pub fn push(&mut self, string: &CStr) -> bool {
        if self.len + 1 >= self.pointers.len() {
            return false;
        }
        self.pointers[self.len] = string.as_ptr();
        self.len += 1;
        true
    }
}

/// execve(2).
///
/// # Errors
/// Those of execve(2); it does not return otherwise.
pub fn execve(path: &CStr, args: &StringArray, env: &StringArray) -> Result<Infallible> {
    let (args, env) = (args.pointers.as_ptr(), env.pointers.as_ptr());
    // SAFETY: `path` is NUL-terminated, both arrays end with NULL and own their strings.
    check(unsafe { libc::execve(path.as_ptr(), args, env) }.into())?;
    Err(Errno::EINVAL)
}

/// Executes the file behind a descriptor (execveat(2) with `AT_EMPTY_PATH`).
///
/// # Errors
/// Those of execveat(2); it does not return otherwise.
pub fn execve_fd(fd: BorrowedFd<'_>, args: &StringArray, env: &StringArray) -> Result<Infallible> {
    // SAFETY: the path is a static empty string, both arrays end with NULL and own their strings.
    check(unsafe {
        libc::syscall(
            libc::SYS_execveat,
            fd.as_raw_fd(),
            c"".as_ptr(),
            args.pointers.as_ptr(),
            env.pointers.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    })?;
    Err(Errno::EINVAL)
}

/// Ends this process at once, without running anything of the C library or of Rust.
pub fn exit_now(status: u8) -> ! {
    // SAFETY: takes no memory and does not return.
    unsafe { libc::_exit(i32::from(status)) }
}

/// The calling process's id, as its own pid namespace counts.
pub fn getpid() -> i32 {
    // SAFETY: takes no memory and cannot fail; the raw call is right after clone3 too.
    unsafe { libc::syscall(libc::SYS_getpid) as i32 }
}

/// The parent's process id; another one than before once the parent has ended.
pub fn getppid() -> i32 {
    // SAFETY: takes no memory and cannot fail.
    unsafe { libc::getppid() }
}

/// The effective user id.
pub fn geteuid() -> u32 {
    // SAFETY: takes no memory and cannot fail.
    unsafe { libc::geteuid() }
}

/// The effective group id.
pub fn getegid() -> u32 {
    // SAFETY: takes no memory and cannot fail.
    unsafe { libc::getegid() }
}

/// A new session without a controlling terminal (setsid(2)).
///
/// # Errors
/// Those of setsid(2).
pub fn setsid() -> Result<()> {
    // SAFETY: takes no memory.
    check(unsafe { libc::setsid() }.into()).map(drop)
}

/// Sets the file mode creation mask and returns the old one.
pub fn umask(mask: u32) -> u32 {
    // SAFETY: takes no memory and cannot fail.
    unsafe { libc::umask(mask) }
}

/// personality(2).
///
/// # Errors
/// Those of personality(2).
pub fn personality(persona: u64) -> Result<()> {
    // SAFETY: takes no memory.
    check(unsafe { libc::personality(persona) }.into()).map(drop)
}

/// Raises a hard limit of process `pid`, 0 for the calling one, unless it is that high already; the
/// soft one stays (prlimit(2)).
///
/// # Errors
/// `EINVAL` when the kernel does not know the resource, `EPERM` without `CAP_SYS_RESOURCE` on the
/// machine.
pub fn raise_rlimit(pid: i32, resource: i32, hard: u64) -> Result<()> {
    let mut now = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
    let name = resource as libc::__rlimit_resource_t;
    // SAFETY: `now` is writable during the call; a null pointer sets no new value.
    check(unsafe { libc::prlimit64(pid, name, std::ptr::null(), &raw mut now) }.into())?;
    if hard > now.rlim_max { set_rlimit(pid, resource, now.rlim_cur, hard) } else { Ok(()) }
}

/// Sets a resource limit of process `pid`, 0 for the calling one (prlimit(2)).
///
/// # Errors
/// `EPERM` when the hard limit would rise without `CAP_SYS_RESOURCE` on the machine.
pub fn set_rlimit(pid: i32, resource: i32, soft: u64, hard: u64) -> Result<()> {
    let limit = libc::rlimit64 { rlim_cur: soft, rlim_max: hard };
    // SAFETY: `limit` outlives the call; a null pointer asks for no old value.
    check(
        unsafe {
            libc::prlimit64(
                pid,
                resource as libc::__rlimit_resource_t,
                &raw const limit,
                std::ptr::null_mut(),
            )
        }
        .into(),
    )
    .map(drop)
}

/// sethostname(2).
///
/// # Errors
/// Those of sethostname(2).
pub fn set_hostname(name: &[u8]) -> Result<()> {
    // SAFETY: the buffer is readable for the length given.
    check(unsafe { libc::sethostname(name.as_ptr().cast(), name.len()) }.into()).map(drop)
}

/// setdomainname(2).
///
/// # Errors
/// Those of setdomainname(2).
pub fn set_domainname(name: &[u8]) -> Result<()> {
    // SAFETY: the buffer is readable for the length given.
    check(unsafe { libc::setdomainname(name.as_ptr().cast(), name.len()) }.into()).map(drop)
}

fn prctl(option: i32, a: u64, b: u64) -> Result<libc::c_long> {
    // SAFETY: the options used here take integers, or in `set_name` a static string.
    check(unsafe { libc::prctl(option, a, b, 0, 0) }.into())
}

/// Asks the kernel to kill this process when its parent dies; cleared by a change of ids.
///
/// # Errors
/// Those of prctl(2).
pub fn die_with_parent() -> Result<()> {
    prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as u64, 0).map(drop)
}

/// Takes [`die_with_parent`] back.
///
/// # Errors
/// Those of prctl(2).
pub fn outlive_parent() -> Result<()> {
    prctl(libc::PR_SET_PDEATHSIG, 0, 0).map(drop)
}

/// Hides this process from ptrace(2), core dumps and /proc/PID links of those without
/// privilege, until it executes another program.
///
/// # Errors
/// Those of prctl(2).
pub fn set_undumpable() -> Result<()> {
    prctl(libc::PR_SET_DUMPABLE, 0, 0).map(drop)
}

/// The name shown by ps(1); 15 bytes at most.
///
/// # Errors
/// Those of prctl(2).
pub fn set_name(name: &'static CStr) -> Result<()> {
    prctl(libc::PR_SET_NAME, name.as_ptr() as u64, 0).map(drop)
}

/// Gains no privileges by execve(2), for ever.
///
/// # Errors
/// Those of prctl(2).
pub fn set_no_new_privileges() -> Result<()> {
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0).map(drop)
}

/// Whether orphaned descendants become children of this process.
///
/// # Errors
/// Those of prctl(2).
pub fn set_child_subreaper(on: bool) -> Result<()> {
    prctl(libc::PR_SET_CHILD_SUBREAPER, u64::from(on), 0).map(drop)
}
