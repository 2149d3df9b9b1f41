//! Session keyrings (keyctl(2)).

use super::{Errno, Result, check};
use std::ffi::CStr;

const KEYCTL_JOIN_SESSION_KEYRING: libc::c_int = 1;
const KEYCTL_DESCRIBE: libc::c_int = 6;

/// The right to find a keyring, of its user, its group and anybody.
const SEARCH: u32 = 0x0008_0808;

/// Longest description that is read: the longest name and four numbers.
const DESCRIPTION: usize = 2048;

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

/// Joins a new session keyring without a name, which nobody can find.
///
/// # Errors
/// Those of keyctl(2).
pub fn join_nameless_session() -> Result<()> {
    // SAFETY: a null name asks for a new keyring; no memory is passed.
    check(unsafe {
        libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, std::ptr::null::<u8>(), 0, 0)
    })
    .map(drop)
}

/// Whose a keyring is and who may find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Described {
    /// The user that it belongs to.
    pub uid: u32,
    /// Whether any but its possessors may find it, as is the case for none that was just made.
    pub findable: bool,
}

/// Describes a keyring.
///
/// # Errors
/// Those of keyctl(2); `EBADMSG` for a description that cannot be read.
pub fn describe(serial: i32) -> Result<Described> {
    let mut text = [0u8; DESCRIPTION];
    // SAFETY: the buffer is writable for the length given.
    let len = check(unsafe {
        libc::syscall(libc::SYS_keyctl, KEYCTL_DESCRIBE, serial, text.as_mut_ptr(), text.len(), 0)
    })?;
    text.get(..len as usize).and_then(read_description).ok_or(Errno::EBADMSG)
}

/// Reads `TYPE;UID;GID;PERMISSIONS;NAME`, the permissions in hexadecimal.
fn read_description(text: &[u8]) -> Option<Described> {
    let mut fields = text.splitn(5, |&b| b == b';').map(|field| str::from_utf8(field).ok());
    let uid = fields.nth(1)??.parse().ok()?;
    let permissions = u32::from_str_radix(fields.nth(1)??, 16).ok()?;
    Some(Described { uid, findable: permissions & SEARCH != 0 })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_tells_owner_and_rights() {
        let new = Described { uid: 7, findable: false };
        assert_eq!(read_description(b"keyring;7;0;3f030000;_ses;x\0"), Some(new));
        let open = Described { uid: 0, findable: true };
        assert_eq!(read_description(b"keyring;0;0;3f1b0000;_ses\0"), Some(open));
        assert_eq!(
            read_description(b"keyring;0;0;3f00000"),
            Some(Described { uid: 0, findable: false })
        );
        for wrong in [b"keyring;0;0".as_slice(), b"", b"keyring;-1;0;3f;x", b"keyring;0;0;x;y"] {
            assert_eq!(read_description(wrong), None);
        }
    }
}
