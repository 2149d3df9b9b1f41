//! Installing a seccomp filter (seccomp(2)).

use super::{Result, check};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

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
/// `EACCES` without `CAP_SYS_ADMIN` and no_new_privs; others of seccomp(2).
pub fn install(filter: &[SockFilter], flags: u32) -> Result<Option<OwnedFd>> {
    let program = libc::sock_fprog {
        len: filter.len() as libc::c_ushort,
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
