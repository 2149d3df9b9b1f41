//! Installing a seccomp filter (seccomp(2)).

use super::{Errno, Result, check};
use std::ffi::{c_int, c_void};
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicI32, Ordering};

/// One instruction of classic BPF, as the kernel lays it out (struct sock_filter).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SockFilter {
    /// Operation.
    pub code: u16,
    /// Jump when true.
    pub jt: u8,
    /// Jump when false.
    pub jf: u8,
    /// Operand.
    pub k: u32,
}

/// Flag that makes [`install`] return a listener for `SECCOMP_RET_USER_NOTIF`.
pub const NEW_LISTENER: u32 = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER as u32;

/// Installs a filter for the calling process; the listener when [`NEW_LISTENER`] was asked for.
///
/// # Errors
/// `EACCES` without `CAP_SYS_ADMIN` and no_new_privs; `E2BIG` for more instructions than the call
/// can be told of; others of seccomp(2).
pub fn install(filter: &[SockFilter], flags: u32) -> Result<Option<OwnedFd>> {
    let program = libc::sock_fprog {
        // Cut short it would be another program.
        len: libc::c_ushort::try_from(filter.len()).map_err(|_| Errno::E2BIG)?,
        filter: filter.as_ptr().cast_mut().cast(),
    };
    // SAFETY: the program points to `len` instructions of the kernel's layout, which it copies.
    let ret = check(unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program)
    })?;
    if flags & NEW_LISTENER == 0 {
        return Ok(None);
    }
    // SAFETY: with this flag the kernel returns a new descriptor that nobody else owns.
    Ok(Some(unsafe { OwnedFd::from_raw_fd(ret as RawFd) }))
}

/// Flags that spread a filter to the other threads of the caller.
const TSYNC: u32 = (libc::SECCOMP_FILTER_FLAG_TSYNC | libc::SECCOMP_FILTER_FLAG_TSYNC_ESRCH) as u32;

/// What the caller of [`install_and_give`] and its second thread share. 0 and above are answers.
struct Exchange<'a> {
    listener: AtomicI32,
    outcome: AtomicI32,
    /// Not 0 while the second thread is there; the kernel clears it (`CLONE_CHILD_CLEARTID`).
    thread: AtomicI32,
    give: &'a (dyn Fn(BorrowedFd<'_>) -> Result<()> + Sync),
}

const PENDING: i32 = -1;
const NOT_INSTALLED: i32 = -2;

/// Installs a filter that notifies and has its listener given away before it returns.
///
/// Once the filter is there, the caller can be sure of no system call: it may be denied, or
/// wait for an answer of him who is yet to get the listener. So `give` runs on a second thread
/// that was made before and has no filter, while this one looks at memory until it is done. The
/// flags for other threads are left out: there are none that should have the filter. `give` must
/// not allocate, and is run alone: the threads share the C library's `errno`, too.
///
/// # Errors
/// As [`install`], those of clone(2), and whatever `give` answers.
pub fn install_and_give(
    filter: &[SockFilter],
    flags: u32,
    give: &(dyn Fn(BorrowedFd<'_>) -> Result<()> + Sync),
) -> Result<()> {
    #[repr(align(16))]
    struct Stack([u8; 64 << 10]);
    let mut stack = Stack([0; 64 << 10]);
    let exchange = Exchange {
        listener: AtomicI32::new(PENDING),
        outcome: AtomicI32::new(PENDING),
        thread: AtomicI32::new(1),
        give,
    };
    let kind = libc::CLONE_VM
        | libc::CLONE_FS
        | libc::CLONE_FILES
        | libc::CLONE_SIGHAND
        | libc::CLONE_THREAD
        | libc::CLONE_SYSVSEM
        | libc::CLONE_CHILD_CLEARTID;
    // SAFETY: the stack and the exchange outlive the thread, whose end is waited for below; the
    // thread touches nothing else but what `give`, which is Sync, refers to.
    let ret = unsafe {
        libc::clone(
            hand_over,
            stack.0.as_mut_ptr().add(stack.0.len()).cast(),
            kind,
            (&raw const exchange).cast_mut().cast(),
            std::ptr::null_mut::<c_void>(),
            std::ptr::null_mut::<c_void>(),
            exchange.thread.as_ptr(),
        )
    };
    check(ret.into())?;
    let installed = install(filter, (flags & !TSYNC) | NEW_LISTENER);
    let number = match &installed {
        Ok(Some(listener)) => std::os::fd::AsRawFd::as_raw_fd(listener),
        _ => NOT_INSTALLED,
    };
    exchange.listener.store(number, Ordering::Release);
    while exchange.thread.load(Ordering::Acquire) != 0 {
        std::hint::spin_loop();
    }
    // Its copy here closes with execve(2); close(2) is a system call as any other.
    std::mem::forget(installed?);
    match exchange.outcome.load(Ordering::Acquire) {
        0 => Ok(()),
        errno => Err(Errno::from_raw(errno)),
    }
}

/// The second thread's work.
extern "C" fn hand_over(exchange: *mut c_void) -> c_int {
    // SAFETY: the pointer is that of `install_and_give`, which keeps it alive.
    let exchange = unsafe { &*exchange.cast::<Exchange<'_>>() };
    let listener = loop {
        match exchange.listener.load(Ordering::Acquire) {
            // SAFETY: takes no memory and cannot fail, so `errno` stays untouched.
            PENDING => drop(unsafe { libc::sched_yield() }),
            number => break number,
        }
    };
    if listener >= 0 {
        // SAFETY: the other thread has opened it and keeps it open until this one has ended.
        let given = (exchange.give)(unsafe { BorrowedFd::borrow_raw(listener) });
        let outcome = given.map_or_else(|errno| errno as i32, |()| 0);
        exchange.outcome.store(outcome, Ordering::Release);
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_never_cut_short() {
        let allow = SockFilter { code: 0x06, jt: 0, jf: 0, k: 0x7fff_0000 };
        assert_eq!(install(&vec![allow; 65537], 0).err(), Some(Errno::E2BIG));
    }
}
