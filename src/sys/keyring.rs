//! Session keyrings (keyctl(2)).

use super::{Result, check};
use std::ffi::CStr;

const KEYCTL_JOIN_SESSION_KEYRING: libc::c_int = 1;

/// Joins a new session keyring of that name, so that the caller's keys stay out of reach.
///
/// # Errors
/// Those of keyctl(2); `ENOSYS` where the kernel has no keyrings.
pub fn join_session(name: &CStr) -> Result<()> {
    // SAFETY: `name` is NUL-terminated and outlives the call.
    check(unsafe {
        libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name.as_ptr(), 0, 0, 0)
    })
    .map(drop)
}
