//! eBPF programs of the cgroup device hook (bpf(2)).

use super::fd::own;
use super::{Errno, Result, check};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

const BPF_PROG_LOAD: i32 = 5;
const BPF_PROG_ATTACH: i32 = 8;
const BPF_PROG_DETACH: i32 = 9;
const BPF_PROG_GET_FD_BY_ID: i32 = 13;
const BPF_OBJ_GET_INFO_BY_FD: i32 = 15;
const BPF_PROG_QUERY: i32 = 16;

const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const BPF_CGROUP_DEVICE: u32 = 6;
const BPF_F_ALLOW_MULTI: u32 = 2;
const BPF_F_REPLACE: u32 = 4;

/// Length of a program's name with its NUL (linux/bpf.h, `BPF_OBJ_NAME_LEN`).
const NAME_LEN: usize = 16;

/// Most programs that [`attached`] can tell of: the kernel's own limit per cgroup.
const MOST_PROGRAMS: usize = 64;

/// The start of `union bpf_attr` for BPF_PROG_LOAD, up to what this use needs.
#[repr(C)]
#[derive(Default)]
struct LoadAttr {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; NAME_LEN],
}

/// `union bpf_attr` for BPF_PROG_ATTACH and BPF_PROG_DETACH.
#[repr(C)]
#[derive(Default)]
struct AttachAttr {
    target_fd: u32,
    attach_bpf_fd: u32,
    attach_type: u32,
    attach_flags: u32,
    replace_bpf_fd: u32,
}

/// `union bpf_attr` for BPF_PROG_QUERY.
#[repr(C)]
#[derive(Default)]
struct QueryAttr {
    target_fd: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    prog_ids: u64,
    prog_cnt: u32,
    padding: u32,
}

/// `union bpf_attr` for BPF_PROG_GET_FD_BY_ID.
#[repr(C)]
#[derive(Default)]
struct IdAttr {
    prog_id: u32,
    next_id: u32,
    open_flags: u32,
}

/// `union bpf_attr` for BPF_OBJ_GET_INFO_BY_FD.
#[repr(C)]
#[derive(Default)]
struct InfoAttr {
    bpf_fd: u32,
    info_len: u32,
    info: u64,
}

/// The start of `struct bpf_prog_info`, up to the name.
#[repr(C)]
#[derive(Default)]
struct ProgInfo {
    before_name: [u64; 8],
    name: [u8; NAME_LEN],
}

fn bpf<T>(command: i32, attr: &mut T) -> Result<libc::c_long> {
    // SAFETY: `attr` is the start of a union bpf_attr as the command wants it, with its size; the
    // kernel takes what follows as zero. Memory that it points to is kept alive by the callers.
    check(unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *attr, size_of::<T>()) })
}

/// Loads a program of the cgroup device hook. `I` must be laid out as `struct bpf_insn` (8 bytes).
///
/// # Errors
/// `EPERM` without CAP_BPF or CAP_SYS_ADMIN in the initial user namespace; `EINVAL` for a program
/// that the verifier refuses, and for an `I` of another size; others of bpf(2).
pub fn load_device_program<I: Copy>(program: &[I], name: &[u8]) -> Result<OwnedFd> {
    if size_of::<I>() != 8 {
        return Err(Errno::EINVAL);
    }
    let mut attr = LoadAttr {
        prog_type: BPF_PROG_TYPE_CGROUP_DEVICE,
        insn_cnt: u32::try_from(program.len()).map_err(|_| Errno::E2BIG)?,
        insns: program.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        prog_name: name_of(name),
        ..LoadAttr::default()
    };
    match own_of(bpf(BPF_PROG_LOAD, &mut attr)) {
        // Before Linux 5.11, programs count against the limit on locked memory.
        Err(Errno::EPERM) if raise_locked_memory() => own_of(bpf(BPF_PROG_LOAD, &mut attr)),
        other => other,
    }
}

fn name_of(name: &[u8]) -> [u8; NAME_LEN] {
    let mut padded = [0; NAME_LEN];
    let len = name.len().min(NAME_LEN - 1);
    padded[..len].copy_from_slice(&name[..len]);
    padded
}

fn own_of(ret: Result<libc::c_long>) -> Result<OwnedFd> {
    own(ret?)
}

fn raise_locked_memory() -> bool {
    let all = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: `all` outlives the call.
    unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const all) == 0 }
}

/// Attaches a device program to a cgroup beside those that are attached, or in the place of one.
///
/// # Errors
/// Those of bpf(2): `EINVAL` for replacing before Linux 5.6, `ENOENT` when `replaced` is not
/// attached, `EPERM` when an ancestor's program forbids others.
pub fn attach_device_program(
    cgroup: BorrowedFd<'_>,
    program: BorrowedFd<'_>,
    replaced: Option<BorrowedFd<'_>>,
) -> Result<()> {
    let mut attr = AttachAttr {
        target_fd: cgroup.as_raw_fd() as u32,
        attach_bpf_fd: program.as_raw_fd() as u32,
        attach_type: BPF_CGROUP_DEVICE,
        attach_flags: BPF_F_ALLOW_MULTI,
        replace_bpf_fd: 0,
    };
    if let Some(replaced) = replaced {
        attr.attach_flags |= BPF_F_REPLACE;
        attr.replace_bpf_fd = replaced.as_raw_fd() as u32;
    }
    bpf(BPF_PROG_ATTACH, &mut attr).map(drop)
}

/// Detaches a device program from a cgroup.
///
/// # Errors
/// `ENOENT` when it is not attached; others of bpf(2).
pub fn detach_device_program(cgroup: BorrowedFd<'_>, program: BorrowedFd<'_>) -> Result<()> {
    let mut attr = AttachAttr {
        target_fd: cgroup.as_raw_fd() as u32,
        attach_bpf_fd: program.as_raw_fd() as u32,
        attach_type: BPF_CGROUP_DEVICE,
        ..AttachAttr::default()
    };
    bpf(BPF_PROG_DETACH, &mut attr).map(drop)
}

/// The device programs that are attached to a cgroup itself and bear that name.
///
/// # Errors
/// Those of bpf(2); a program that vanishes meanwhile is left out.
pub fn attached(cgroup: BorrowedFd<'_>, name: &[u8]) -> Result<Vec<OwnedFd>> {
    let mut ids = [0u32; MOST_PROGRAMS];
    let mut attr = QueryAttr {
        target_fd: cgroup.as_raw_fd() as u32,
        attach_type: BPF_CGROUP_DEVICE,
        prog_ids: ids.as_mut_ptr() as u64,
        prog_cnt: MOST_PROGRAMS as u32,
        ..QueryAttr::default()
    };
    bpf(BPF_PROG_QUERY, &mut attr)?;
    let mut found = Vec::new();
    for id in ids.iter().take(attr.prog_cnt as usize) {
        let mut attr = IdAttr { prog_id: *id, ..IdAttr::default() };
        let program = match own_of(bpf(BPF_PROG_GET_FD_BY_ID, &mut attr)) {
            Ok(program) => program,
            Err(Errno::ENOENT) => continue,
            Err(errno) => return Err(errno),
        };
        if program_name(&program)? == name_of(name) {
            found.push(program);
        }
    }
    Ok(found)
}

fn program_name(program: &OwnedFd) -> Result<[u8; NAME_LEN]> {
    let mut info = ProgInfo::default();
    let mut attr = InfoAttr {
        bpf_fd: program.as_raw_fd() as u32,
        info_len: size_of::<ProgInfo>() as u32,
        info: (&raw mut info) as u64,
    };
    bpf(BPF_OBJ_GET_INFO_BY_FD, &mut attr)?;
    Ok(info.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cut_and_padded() {
        assert_eq!(&name_of(b"abc")[..4], b"abc\0");
        assert_eq!(name_of(&[b'x'; 20])[14..], [b'x', 0]);
    }

    #[test]
    fn the_name_lies_where_the_kernel_puts_it() {
        assert_eq!(std::mem::offset_of!(ProgInfo, name), 64);
        assert_eq!(std::mem::offset_of!(LoadAttr, prog_name), 48);
        assert_eq!(size_of::<AttachAttr>(), 20);
    }
}
