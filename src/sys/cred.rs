//! Ids and capabilities of the calling process.

use super::{Result, check};

const CAPABILITY_VERSION_3: u32 = 0x2008_0522;

#[repr(C)]
struct CapHeader {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct CapData {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Three of the five capability sets of a process, as masks by capability number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CapSets {
    /// What the kernel checks.
    pub effective: u64,
    /// What may become effective.
    pub permitted: u64,
    /// What survives execve(2) of a file with inheritable capabilities.
    pub inheritable: u64,
}

/// The capability sets of the calling process (capget(2)).
///
/// # Errors
/// Those of capget(2).
pub fn capget() -> Result<CapSets> {
    let mut header = CapHeader { version: CAPABILITY_VERSION_3, pid: 0 };
    let mut data = [CapData::default(); 2];
    // SAFETY: both outlive the call and have the layout of capability version 3.
    check(unsafe { libc::syscall(libc::SYS_capget, &raw mut header, data.as_mut_ptr()) })?;
    let join = |f: fn(&CapData) -> u32| u64::from(f(&data[0])) | u64::from(f(&data[1])) << 32;
    Ok(CapSets {
        effective: join(|d| d.effective),
        permitted: join(|d| d.permitted),
        inheritable: join(|d| d.inheritable),
    })
}

/// Sets the capability sets of the calling process (capset(2)).
///
/// # Errors
/// `EPERM` when a set would grow beyond what is permitted.
pub fn capset(sets: CapSets) -> Result<()> {
    let mut header = CapHeader { version: CAPABILITY_VERSION_3, pid: 0 };
    let half = |shift: u32| CapData {
        effective: (sets.effective >> shift) as u32,
        permitted: (sets.permitted >> shift) as u32,
        inheritable: (sets.inheritable >> shift) as u32,
    };
    let data = [half(0), half(32)];
    // SAFETY: both outlive the call and have the layout of capability version 3.
    check(unsafe { libc::syscall(libc::SYS_capset, &raw mut header, data.as_ptr()) }).map(drop)
}

/// Removes one capability from the bounding set.
///
/// # Errors
/// `EINVAL` when the kernel does not know the number, `EPERM` without `CAP_SETPCAP`.
pub fn drop_bounding(capability: u8) -> Result<()> {
    // SAFETY: the option takes integers only.
    check(unsafe { libc::prctl(libc::PR_CAPBSET_DROP, u64::from(capability), 0, 0, 0) }.into())
        .map(drop)
}

/// Empties the ambient set.
///
/// # Errors
/// Those of prctl(2).
pub fn clear_ambient() -> Result<()> {
    ambient(libc::PR_CAP_AMBIENT_CLEAR_ALL, 0)
}

/// Adds one capability to the ambient set.
///
/// # Errors
/// `EPERM` when it is not both permitted and inheritable.
pub fn raise_ambient(capability: u8) -> Result<()> {
    ambient(libc::PR_CAP_AMBIENT_RAISE, capability)
}

fn ambient(operation: i32, capability: u8) -> Result<()> {
    // SAFETY: the option takes integers only.
    check(
        unsafe { libc::prctl(libc::PR_CAP_AMBIENT, operation as u64, u64::from(capability), 0, 0) }
            .into(),
    )
    .map(drop)
}

/// Keeps the permitted set over the next change of all ids from 0 to others.
///
/// # Errors
/// Those of prctl(2).
pub fn keep_capabilities() -> Result<()> {
    // SAFETY: the option takes integers only.
    check(unsafe { libc::prctl(libc::PR_SET_KEEPCAPS, 1, 0, 0, 0) }.into()).map(drop)
}

/// Replaces the supplementary groups.
///
/// # Errors
/// `EPERM` without `CAP_SETGID` or where setgroups is denied (user_namespaces(7)).
pub fn setgroups(gids: &[u32]) -> Result<()> {
    // SAFETY: the slice is readable for its length. The raw call is used because the C
    // library's wrapper would signal the other threads of a process that has none.
    check(unsafe { libc::syscall(libc::SYS_setgroups, gids.len(), gids.as_ptr()) }).map(drop)
}

/// Sets real, effective and saved group id.
///
/// # Errors
/// Those of setresgid(2).
pub fn setresgid(gid: u32) -> Result<()> {
    // SAFETY: takes no memory; raw for the reason given at `setgroups`.
    check(unsafe { libc::syscall(libc::SYS_setresgid, gid, gid, gid) }).map(drop)
}

/// Sets real, effective and saved user id.
///
/// # Errors
/// Those of setresuid(2).
pub fn setresuid(uid: u32) -> Result<()> {
    // SAFETY: takes no memory; raw for the reason given at `setgroups`.
    check(unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) }).map(drop)
}
