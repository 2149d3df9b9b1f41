//! Session keyrings (keyctl(2)).

use super::{Result, check};
use std::ffi::CStr;

const KEYCTL_JOIN_SESSION_KEYRING: libc::c_int = 1;

/// Joins the session keyring of that name, and makes it when there is none that its user could
/// find, so that the caller's keys stay out of reach; its serial number.
///
/// # Errors
/// Those of keyctl(2); `ENOSYS` where the kernel has no keyrings.
pub fn join_session(name: &CStr) -> Result<i32> {
    // SAFETY: `name` is NUL-terminated and outlives the call.
    let serial = check(unsafe {
        libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name.as_ptr(), 0, 0, 0)
    })?;
    Ok(serial as i32)
}

/// Lets later processes of its user find a keyring by name, which a new session keyring does not;
/// its possessors have all rights, and its user those to view, read, search and link.
///
/// # Errors
/// Those of keyctl(2).
pub fn let_user_find(serial: i32) -> Result<()> {
    const KEYCTL_SETPERM: libc::c_int = 5;
    const POSSESSOR_ALL: u32 = 0x3f00_0000;
    const USER_VIEW_READ_SEARCH_LINK: u32 = 0x001b_0000;
    let permissions = POSSESSOR_ALL | USER_VIEW_READ_SEARCH_LINK;
    // SAFETY: takes no memory.
    check(unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_SETPERM, serial, permissions, 0, 0) })
        .map(drop)
}
