//! Descriptors, files and directory entries, by descriptor and name (openat2(2), statx(2), …).

use super::{Errno, Result, check, retry};
use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

pub use libc::{
    O_APPEND, O_CLOEXEC, O_CREAT, O_DIRECTORY, O_EXCL, O_NOCTTY, O_NOFOLLOW, O_NONBLOCK, O_PATH,
    O_RDONLY, O_RDWR, O_TMPFILE, O_TRUNC, O_WRONLY, RESOLVE_BENEATH, RESOLVE_IN_ROOT,
    RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, RESOLVE_NO_XDEV, S_IFBLK, S_IFCHR, S_IFDIR,
    S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK,
};

/// The working directory as a directory descriptor.
///
/// # Safety of use
/// `AT_FDCWD` is not a descriptor that can be closed, so borrowing it is always valid.
pub fn cwd() -> BorrowedFd<'static> {
    // SAFETY: AT_FDCWD is a constant that every *at call accepts and that is never closed.
    unsafe { BorrowedFd::borrow_raw(libc::AT_FDCWD) }
}

/// A descriptor known by number only: one that this process inherited or laid out itself.
///
/// # Panics
/// Never; a closed number yields `EBADF` from the call that uses it.
pub fn borrow(fd: RawFd) -> BorrowedFd<'static> {
    // SAFETY: every wrapper in this crate passes the number to the kernel, which checks it.
    unsafe { BorrowedFd::borrow_raw(fd) }
}

/// Takes ownership of a descriptor that the kernel just returned.
pub(super) fn own(ret: libc::c_long) -> Result<OwnedFd> {
    let fd = check(ret)?;
    // SAFETY: the kernel returned a new descriptor, which nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// Standard input, output and error.
pub const STDIO: [RawFd; 3] = [0, 1, 2];

/// openat(2), with `O_CLOEXEC` always added.
///
/// # Errors
/// Those of openat(2).
pub fn openat(dir: BorrowedFd<'_>, path: &CStr, flags: i32, mode: u32) -> Result<OwnedFd> {
    retry(|| {
        // SAFETY: `path` is NUL-terminated and outlives the call.
        own(libc::c_long::from(unsafe {
            libc::openat(dir.as_raw_fd(), path.as_ptr(), flags | O_CLOEXEC, mode)
        }))
    })
}

/// openat2(2) with the given `RESOLVE_*` flags, with `O_CLOEXEC` always added.
///
/// `EAGAIN` (a rename raced with a scoped resolution) is retried a bounded number of times.
///
/// # Errors
/// Those of openat2(2).
pub fn openat2(
    dir: BorrowedFd<'_>,
    path: &CStr,
    flags: i32,
    mode: u32,
    resolve: u64,
) -> Result<OwnedFd> {
    // SAFETY: open_how is plain data for which all zeroes is valid.
    let mut how: libc::open_how = unsafe { std::mem::zeroed() };
    how.flags = (flags | O_CLOEXEC) as u64;
    how.mode = u64::from(mode);
    how.resolve = resolve;
    let mut tries = 0;
    loop {
        // SAFETY: `path` and `how` outlive the call and the size is that of `how`.
        let ret = own(unsafe {
            libc::syscall(
                libc::SYS_openat2,
                dir.as_raw_fd(),
                path.as_ptr(),
                &raw const how,
                size_of::<libc::open_how>(),
            )
        });
        match ret {
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) if tries < 128 => tries += 1,
            other => return other,
        }
    }
}

/// What stat(2) tells that a runtime needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// File type and permissions (`st_mode`).
    pub mode: u32,
    /// Device that holds the inode.
    pub dev: u64,
    /// Inode number.
    pub ino: u64,
    /// Device number of a device node.
    pub rdev: u64,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Size in bytes.
    pub size: u64,
}

impl Stat {
    /// The file type bits (`S_IFDIR`, …).
    pub fn kind(&self) -> u32 {
        self.mode & S_IFMT
    }

    /// Whether this is a directory.
    pub fn is_dir(&self) -> bool {
        self.kind() == S_IFDIR
    }

    /// Whether this is a character device with that number.
    pub fn is_char(&self, major: u32, minor: u32) -> bool {
        self.kind() == S_IFCHR && self.rdev == makedev(major, minor)
    }
}

/// A device number from its two halves (makedev(3)).
pub const fn makedev(major: u32, minor: u32) -> u64 {
    let (major, minor) = (major as u64, minor as u64);
    ((major & 0xffff_f000) << 32)
        | ((major & 0x0000_0fff) << 8)
        | ((minor & 0xffff_ff00) << 12)
        | (minor & 0x0000_00ff)
}

fn stat_of(st: &libc::stat) -> Stat {
    Stat {
        mode: st.st_mode,
        dev: st.st_dev,
        ino: st.st_ino,
        rdev: st.st_rdev,
        uid: st.st_uid,
        gid: st.st_gid,
        size: st.st_size as u64,
    }
}

/// fstat(2).
///
/// # Errors
/// Those of fstat(2).
pub fn fstat(fd: BorrowedFd<'_>) -> Result<Stat> {
    // SAFETY: stat is plain data for which all zeroes is valid.
    let mut st: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: `st` is valid for writes during the call.
    check(unsafe { libc::fstat(fd.as_raw_fd(), &raw mut st) }.into())?;
    Ok(stat_of(&st))
}

/// fstatat(2); a symbolic link in the last component is followed.
///
/// # Errors
/// Those of fstatat(2).
pub fn stat_at(dir: BorrowedFd<'_>, path: &CStr) -> Result<Stat> {
    fstatat(dir, path, 0)
}

/// fstatat(2) with `AT_SYMLINK_NOFOLLOW`.
///
/// # Errors
/// Those of fstatat(2).
pub fn lstat_at(dir: BorrowedFd<'_>, path: &CStr) -> Result<Stat> {
    fstatat(dir, path, libc::AT_SYMLINK_NOFOLLOW)
}

fn fstatat(dir: BorrowedFd<'_>, path: &CStr, flags: i32) -> Result<Stat> {
    // SAFETY: stat is plain data for which all zeroes is valid.
    let mut st: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: `path` is NUL-terminated, `st` is valid for writes during the call.
    check(unsafe { libc::fstatat(dir.as_raw_fd(), path.as_ptr(), &raw mut st, flags) }.into())?;
    Ok(stat_of(&st))
}

/// Magic number of procfs (statfs(2)).
pub const PROC_SUPER_MAGIC: i64 = 0x9fa0;
/// Magic number of cgroup v2 (statfs(2)).
pub const CGROUP2_SUPER_MAGIC: i64 = 0x6367_7270;
/// Magic number of pidfs, the file system behind pidfds since Linux 6.9.
pub const PID_FS_MAGIC: i64 = 0x5049_4446;

/// The magic number of the file system that holds the file behind `fd`.
///
/// # Errors
/// Those of fstatfs(2).
pub fn fs_magic(fd: BorrowedFd<'_>) -> Result<i64> {
    // SAFETY: `st` is valid for writes during the call.
    magic(|st| unsafe { libc::fstatfs(fd.as_raw_fd(), st) })
}

/// As [`fs_magic`], by a path.
///
/// # Errors
/// Those of statfs(2).
pub fn fs_magic_of(path: &CStr) -> Result<i64> {
    // SAFETY: `path` is NUL-terminated, and `st` is valid for writes during the call.
    magic(|st| unsafe { libc::statfs(path.as_ptr(), st) })
}

fn magic(fill_in: impl FnOnce(*mut libc::statfs) -> i32) -> Result<i64> {
    // SAFETY: statfs is plain data for which all zeroes is valid.
    let mut st: libc::statfs = unsafe { std::mem::zeroed() };
    check(fill_in(&raw mut st).into())?;
    #[allow(clippy::unnecessary_cast)] // the type of this field differs between architectures
    Ok(st.f_type as i64)
}

/// Whether the mount that holds `path`, or its file system, is read-only (statvfs(3)).
///
/// # Errors
/// Those of statvfs(3).
pub fn is_readonly(path: &CStr) -> Result<bool> {
    // SAFETY: statvfs is plain data for which all zeroes is valid.
    let mut st: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: `path` is NUL-terminated and `st` is valid for writes during the call.
    check(unsafe { libc::statvfs(path.as_ptr(), &raw mut st) }.into())?;
    Ok(st.f_flag & libc::ST_RDONLY != 0)
}

/// A number for the mount that holds the file behind `fd` (statx(2), `STATX_MNT_ID`).
///
/// # Errors
/// Those of statx(2).
pub fn mount_id(fd: BorrowedFd<'_>) -> Result<u64> {
    // SAFETY: statx is plain data for which all zeroes is valid.
    let mut st: libc::statx = unsafe { std::mem::zeroed() };
    let (fd, empty, mask) = (fd.as_raw_fd(), c"".as_ptr(), libc::STATX_MNT_ID);
    // SAFETY: the path is static and `st` is valid for writes during the call.
    let ret = unsafe { libc::statx(fd, empty, libc::AT_EMPTY_PATH, mask, &raw mut st) };
    check(ret.into())?;
    Ok(st.stx_mnt_id)
}

/// readlinkat(2) into `buf`.
///
/// # Errors
/// Those of readlinkat(2); `ENAMETOOLONG` when the target does not fit with room for a NUL.
pub fn readlinkat<'b>(dir: BorrowedFd<'_>, path: &CStr, buf: &'b mut [u8]) -> Result<&'b [u8]> {
    // SAFETY: `path` is NUL-terminated and the buffer is writable for the length given.
    let len = check(unsafe {
        libc::readlinkat(dir.as_raw_fd(), path.as_ptr(), buf.as_mut_ptr().cast(), buf.len())
    } as libc::c_long)? as usize;
    if len >= buf.len() { Err(Errno::ENAMETOOLONG) } else { Ok(&buf[..len]) }
}

/// mkdirat(2).
///
/// # Errors
/// Those of mkdirat(2).
pub fn mkdirat(dir: BorrowedFd<'_>, path: &CStr, mode: u32) -> Result<()> {
    // SAFETY: `path` is NUL-terminated and outlives the call.
    check(unsafe { libc::mkdirat(dir.as_raw_fd(), path.as_ptr(), mode) }.into()).map(drop)
}

/// mknodat(2); `mode` holds the file type.
///
/// # Errors
/// Those of mknodat(2).
pub fn mknodat(dir: BorrowedFd<'_>, path: &CStr, mode: u32, dev: u64) -> Result<()> {
    // SAFETY: `path` is NUL-terminated and outlives the call.
    check(unsafe { libc::mknodat(dir.as_raw_fd(), path.as_ptr(), mode, dev) }.into()).map(drop)
}

/// symlinkat(2).
///
/// # Errors
/// Those of symlinkat(2).
pub fn symlinkat(target: &CStr, dir: BorrowedFd<'_>, path: &CStr) -> Result<()> {
    // SAFETY: both strings are NUL-terminated and outlive the call.
    check(unsafe { libc::symlinkat(target.as_ptr(), dir.as_raw_fd(), path.as_ptr()) }.into())
        .map(drop)
}

/// unlinkat(2) of a file.
///
/// # Errors
/// Those of unlinkat(2).
pub fn unlinkat(dir: BorrowedFd<'_>, path: &CStr) -> Result<()> {
    // SAFETY: `path` is NUL-terminated and outlives the call.
    check(unsafe { libc::unlinkat(dir.as_raw_fd(), path.as_ptr(), 0) }.into()).map(drop)
}

/// unlinkat(2) of an empty directory.
///
/// # Errors
/// Those of unlinkat(2) with `AT_REMOVEDIR`.
pub fn rmdirat(dir: BorrowedFd<'_>, path: &CStr) -> Result<()> {
    // SAFETY: `path` is NUL-terminated and outlives the call.
    check(unsafe { libc::unlinkat(dir.as_raw_fd(), path.as_ptr(), libc::AT_REMOVEDIR) }.into())
        .map(drop)
}

/// renameat(2).
///
/// # Errors
/// Those of renameat(2).
pub fn renameat(
    from_dir: BorrowedFd<'_>,
    from: &CStr,
    to_dir: BorrowedFd<'_>,
    to: &CStr,
) -> Result<()> {
    // SAFETY: both strings are NUL-terminated and outlive the call.
    check(
        unsafe {
            libc::renameat(from_dir.as_raw_fd(), from.as_ptr(), to_dir.as_raw_fd(), to.as_ptr())
        }
        .into(),
    )
    .map(drop)
}

/// Gives a file that was opened without a name (`O_TMPFILE`) the name `path`.
///
/// # Errors
/// `EEXIST` when something has that name; others of linkat(2).
pub fn name_file(file: BorrowedFd<'_>, dir: BorrowedFd<'_>, path: &CStr) -> Result<()> {
    let from = proc_path(file)?;
    // SAFETY: both strings are NUL-terminated and outlive the call.
    check(
        unsafe {
            libc::linkat(
                libc::AT_FDCWD,
                from.as_c_str().as_ptr(),
                dir.as_raw_fd(),
                path.as_ptr(),
                libc::AT_SYMLINK_FOLLOW,
            )
        }
        .into(),
    )
    .map(drop)
}

/// fchownat(2) without following a link in the last component.
///
/// # Errors
/// Those of fchownat(2).
pub fn lchown_at(dir: BorrowedFd<'_>, path: &CStr, uid: u32, gid: u32) -> Result<()> {
    // SAFETY: `path` is NUL-terminated and outlives the call.
    check(
        unsafe {
            libc::fchownat(dir.as_raw_fd(), path.as_ptr(), uid, gid, libc::AT_SYMLINK_NOFOLLOW)
        }
        .into(),
    )
    .map(drop)
}

/// fchown(2); also works on an `O_PATH` descriptor.
///
/// # Errors
/// Those of fchownat(2) with `AT_EMPTY_PATH`.
pub fn fchown(fd: BorrowedFd<'_>, uid: u32, gid: u32) -> Result<()> {
    // SAFETY: the empty string is NUL-terminated and static.
    check(
        unsafe { libc::fchownat(fd.as_raw_fd(), c"".as_ptr(), uid, gid, libc::AT_EMPTY_PATH) }
            .into(),
    )
    .map(drop)
}

/// fchmod(2).
///
/// # Errors
/// Those of fchmod(2).
pub fn fchmod(fd: BorrowedFd<'_>, mode: u32) -> Result<()> {
    // SAFETY: no memory is passed.
    check(unsafe { libc::fchmod(fd.as_raw_fd(), mode) }.into()).map(drop)
}

/// Whether the effective ids may execute `path` (faccessat2(2) with `X_OK` and `AT_EACCESS`).
///
/// # Errors
/// Those of faccessat2(2).
pub fn may_execute(path: &CStr) -> Result<()> {
    // SAFETY: `path` is NUL-terminated and outlives the call.
    check(unsafe {
        libc::syscall(
            libc::SYS_faccessat2,
            libc::AT_FDCWD,
            path.as_ptr(),
            libc::X_OK,
            libc::AT_EACCESS,
        )
    })
    .map(drop)
}

/// read(2) once.
///
/// # Errors
/// Those of read(2) but `EINTR`.
pub fn read(fd: BorrowedFd<'_>, buf: &mut [u8]) -> Result<usize> {
    retry(|| {
        // SAFETY: the buffer is writable for the length given.
        let ret = unsafe { libc::read(fd.as_raw_fd(), buf.as_mut_ptr().cast(), buf.len()) };
        check(ret as libc::c_long).map(|n| n as usize)
    })
}

/// Sets the position of a file to its start.
///
/// # Errors
/// Those of lseek(2).
pub fn rewind(fd: BorrowedFd<'_>) -> Result<()> {
    // SAFETY: no memory is passed.
    check(unsafe { libc::lseek(fd.as_raw_fd(), 0, libc::SEEK_SET) }).map(drop)
}

/// write(2) once; how many bytes were taken.
///
/// # Errors
/// Those of write(2) but `EINTR`.
pub fn write_some(fd: BorrowedFd<'_>, data: &[u8]) -> Result<usize> {
    retry(|| {
        // SAFETY: the buffer is readable for the length given.
        let ret = unsafe { libc::write(fd.as_raw_fd(), data.as_ptr().cast(), data.len()) };
        check(ret as libc::c_long).map(|n| n as usize)
    })
}

/// write(2) until all is written.
///
/// # Errors
/// Those of write(2) but `EINTR`; `EIO` when the kernel takes nothing.
pub fn write_all(fd: BorrowedFd<'_>, mut data: &[u8]) -> Result<()> {
    while !data.is_empty() {
        match write_some(fd, data)? {
            0 => return Err(Errno::EIO),
            n => data = &data[n..],
        }
    }
    Ok(())
}

/// Writes `data` by one write(2), as kernel files (procfs, cgroupfs, sysctl) ask for.
///
/// # Errors
/// Those of write(2) but `EINTR`; `EIO` when only a part was taken.
pub fn write_once(fd: BorrowedFd<'_>, data: &[u8]) -> Result<()> {
    if write_some(fd, data)? == data.len() { Ok(()) } else { Err(Errno::EIO) }
}

/// dup3(2) onto `target` without close-on-exec, also when both numbers are the same.
///
/// # Errors
/// Those of dup2(2) and fcntl(2).
pub fn dup_onto(fd: BorrowedFd<'_>, target: RawFd) -> Result<()> {
    if fd.as_raw_fd() == target {
        return clear_cloexec(fd);
    }
    // SAFETY: no memory is passed; `target` is a number that the caller lays out.
    retry(|| check(unsafe { libc::dup2(fd.as_raw_fd(), target) }.into())).map(drop)
}

/// Lets a descriptor survive execve(2).
///
/// # Errors
/// Those of fcntl(2).
pub fn clear_cloexec(fd: BorrowedFd<'_>) -> Result<()> {
    // SAFETY: no memory is passed.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFD, 0) }.into()).map(drop)
}

/// Duplicates a descriptor to the lowest number at or above `min`, close-on-exec.
///
/// # Errors
/// Those of fcntl(2).
pub fn dup_above(fd: BorrowedFd<'_>, min: RawFd) -> Result<OwnedFd> {
    // SAFETY: no memory is passed.
    own(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, min) }.into())
}

/// Whether the number is a descriptor that survives execve(2), which none does that was opened
/// by this crate.
pub fn is_inherited(fd: RawFd) -> bool {
    // SAFETY: no memory is passed.
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFD) };
    flags != -1 && flags & libc::FD_CLOEXEC == 0
}

/// fchmodat(2) on an entry that the caller has just made where nobody else can make one: a link
/// in the last component would be followed, as the call has no other form before Linux 6.6.
///
/// # Errors
/// Those of fchmodat(2).
pub fn chmod_at(dir: BorrowedFd<'_>, path: &CStr, mode: u32) -> Result<()> {
    // SAFETY: `path` is NUL-terminated and outlives the call.
    check(unsafe { libc::fchmodat(dir.as_raw_fd(), path.as_ptr(), mode, 0) }.into()).map(drop)
}

/// Both ends of a new pipe, the one to read first, close-on-exec (pipe2(2)).
///
/// # Errors
/// Those of pipe2(2).
pub fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)
}

/// Marks every descriptor from `first` on close-on-exec (close_range(2)).
///
/// # Errors
/// Those of close_range(2).
pub fn cloexec_from(first: u32) -> Result<()> {
    // SAFETY: no memory is passed.
    check(unsafe {
        libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC)
    })
    .map(drop)
}

/// Closes every descriptor from `first` on but those in `keep`, which must be sorted.
///
/// Whoever owns one of the closed numbers must not use or drop it afterwards: this is for a
/// process that goes on to execve(2) or _exit(2).
///
/// # Errors
/// Those of close_range(2).
pub fn close_from_except(first: RawFd, keep: &[RawFd]) -> Result<()> {
    let close = |from: RawFd, to: u32| {
        if from as u32 > to {
            return Ok(());
        }
        // SAFETY: no memory is passed; the caller answers for the owners of these numbers.
        check(unsafe { libc::syscall(libc::SYS_close_range, from as u32, to, 0) }).map(drop)
    };
    let mut from = first;
    for &fd in keep.iter().filter(|&&fd| fd >= first) {
        close(from, (fd as u32).saturating_sub(1))?;
        from = fd + 1;
    }
    close(from, u32::MAX)
}

/// fchdir(2).
///
/// # Errors
/// Those of fchdir(2).
pub fn fchdir(fd: BorrowedFd<'_>) -> Result<()> {
    // SAFETY: no memory is passed.
    check(unsafe { libc::fchdir(fd.as_raw_fd()) }.into()).map(drop)
}

/// chdir(2).
///
/// # Errors
/// Those of chdir(2).
pub fn chdir(path: &CStr) -> Result<()> {
    // SAFETY: `path` is NUL-terminated and outlives the call.
    check(unsafe { libc::chdir(path.as_ptr()) }.into()).map(drop)
}

/// chroot(2).
///
/// # Errors
/// Those of chroot(2).
pub fn chroot(path: &CStr) -> Result<()> {
    // SAFETY: `path` is NUL-terminated and outlives the call.
    check(unsafe { libc::chroot(path.as_ptr()) }.into()).map(drop)
}

/// Whether the working directory can be reached from the root directory.
///
/// The raw call answers `(unreachable)/…` for a directory outside of the root, which the C
/// library would hide (getcwd(2), CVE-2024-21626).
///
/// # Errors
/// Those of getcwd(2); a path too long for the buffer counts as reachable.
pub fn cwd_is_reachable() -> Result<bool> {
    let mut buf = [0u8; libc::PATH_MAX as usize];
    // SAFETY: the buffer is writable for the length given.
    match check(unsafe { libc::syscall(libc::SYS_getcwd, buf.as_mut_ptr(), buf.len()) }) {
        Ok(_) => Ok(buf[0] == b'/'),
        Err(e) => Err(e),
    }
}

/// An exclusive advisory lock on an open file or directory, held until the descriptor closes.
///
/// # Errors
/// `EWOULDBLOCK` when another process holds it; others of flock(2).
pub fn try_lock(fd: BorrowedFd<'_>) -> Result<()> {
    // SAFETY: no memory is passed.
    retry(|| check(unsafe { libc::flock(fd.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) }.into()))
        .map(drop)
}

/// Gives a lock of [`try_lock`] back.
///
/// # Errors
/// Those of flock(2).
pub fn unlock(fd: BorrowedFd<'_>) -> Result<()> {
    // SAFETY: no memory is passed.
    retry(|| check(unsafe { libc::flock(fd.as_raw_fd(), libc::LOCK_UN) }.into())).map(drop)
}

/// One entry of a directory.
#[derive(Clone, Copy, Debug)]
pub struct DirEntry<'b> {
    /// The entry's name.
    pub name: &'b CStr,
    /// `DT_*` type as the file system tells it; `DT_UNKNOWN` is possible.
    pub kind: u8,
}

/// Calls `f` for each entry of a directory but `.` and `..`, reading through `buf` with
/// getdents64(2) so that nothing is allocated. `buf` should hold at least 1 KiB.
///
/// # Errors
/// Those of getdents64(2), and the first error of `f`.
pub fn for_each_entry(
    dir: BorrowedFd<'_>,
    buf: &mut [u8],
    mut f: impl FnMut(DirEntry<'_>) -> Result<()>,
) -> Result<()> {
    // Offsets in struct linux_dirent64: d_reclen at 16, d_type at 18, d_name at 19.
    loop {
        // SAFETY: the buffer is writable for the length given.
        let len = check(unsafe {
            libc::syscall(libc::SYS_getdents64, dir.as_raw_fd(), buf.as_mut_ptr(), buf.len())
        })? as usize;
        if len == 0 {
            return Ok(());
        }
        let mut at = 0;
        while at + 19 < len {
            let reclen = usize::from(u16::from_ne_bytes([buf[at + 16], buf[at + 17]]));
            if reclen < 20 || at + reclen > len {
                return Err(Errno::EIO);
            }
            let name =
                CStr::from_bytes_until_nul(&buf[at + 19..at + reclen]).map_err(|_| Errno::EIO)?;
            if name != c"." && name != c".." {
                f(DirEntry { name, kind: buf[at + 18] })?;
            }
            at += reclen;
        }
    }
}

/// [`DirEntry::kind`] of a directory.
pub const DT_DIR: u8 = libc::DT_DIR;
/// [`DirEntry::kind`] where the file system does not tell.
pub const DT_UNKNOWN: u8 = libc::DT_UNKNOWN;

/// Copies `len` bytes from one file to another, or until the end (sendfile(2)).
///
/// # Errors
/// Those of sendfile(2).
pub fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<()> {
    loop {
        let n = retry(|| {
            // SAFETY: a null offset means the file's own position; no other memory is passed.
            check(unsafe {
                libc::sendfile(to.as_raw_fd(), from.as_raw_fd(), std::ptr::null_mut(), 0x7fff_f000)
            } as libc::c_long)
        })?;
        if n == 0 {
            return Ok(());
        }
    }
}

/// Waits until one of the descriptors has input or a peer that hung up.
///
/// `timeout` is in milliseconds; `None` waits without limit. Returns one flag per descriptor.
///
/// # Errors
/// Those of poll(2) but `EINTR`.
pub fn poll_in<const N: usize>(
    fds: [BorrowedFd<'_>; N],
    timeout: Option<u32>,
) -> Result<[bool; N]> {
    let mut set =
        fds.map(|fd| libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 });
    let timeout = timeout.map_or(-1, |ms| i32::try_from(ms).unwrap_or(i32::MAX));
    retry(|| {
        // SAFETY: the array is writable and its length is given.
        check(unsafe { libc::poll(set.as_mut_ptr(), N as libc::nfds_t, timeout) }.into())
    })?;
    Ok(set.map(|p| p.revents != 0))
}

/// An anonymous memory file, close-on-exec, that can be sealed (memfd_create(2)).
///
/// # Errors
/// Those of memfd_create(2).
pub fn memfd(name: &CStr) -> Result<OwnedFd> {
    // SAFETY: `name` is NUL-terminated and outlives the call.
    own(libc::c_long::from(unsafe {
        libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING)
    }))
}

/// Seals a memory file against every change, for ever (fcntl(2), `F_ADD_SEALS`).
///
/// # Errors
/// Those of fcntl(2).
pub fn seal(fd: BorrowedFd<'_>) -> Result<()> {
    let seals = libc::F_SEAL_SEAL | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_WRITE;
    // SAFETY: no memory is passed.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_ADD_SEALS, seals) }.into()).map(drop)
}

/// The seals of a memory file, or `EINVAL` for any other file.
///
/// # Errors
/// Those of fcntl(2).
pub fn is_sealed(fd: BorrowedFd<'_>) -> Result<bool> {
    // SAFETY: no memory is passed.
    let seals = check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GET_SEALS) }.into())?;
    Ok(seals & libc::c_long::from(libc::F_SEAL_WRITE) != 0)
}

/// A decimal number as text, made without allocation: for names such as `/proc/self/fd/7`.
#[derive(Clone, Copy, Debug)]
pub struct Decimal {
    buf: [u8; 20],
    start: usize,
}

impl Decimal {
    /// The digits of `n`.
    pub fn new(mut n: u64) -> Self {
        let mut buf = [0; 20];
        let mut start = buf.len();
        loop {
            start -= 1;
            buf[start] = b'0' + (n % 10) as u8;
            n /= 10;
            if n == 0 {
                return Self { buf, start };
            }
        }
    }

    /// The digits, most significant first.
    pub fn as_bytes(&self) -> &[u8] {
        &self.buf[self.start..]
    }
}

/// A NUL-terminated path put together on the stack.
pub type PathBuffer = TextBuffer<{ libc::PATH_MAX as usize }>;

/// One component of a path, which file systems bound to `NAME_MAX` bytes.
pub type NameBuffer = TextBuffer<256>;

/// NUL-terminated text on the stack, of less than `N` bytes.
#[derive(Clone, Copy)]
pub struct TextBuffer<const N: usize> {
    /// Bytes up to and including the one at `len`, which is NUL, are initialised. Not all of it:
    /// clearing as much takes longer than many a call that gets the path.
    buf: [MaybeUninit<u8>; N],
    len: usize,
}

impl<const N: usize> Default for TextBuffer<N> {
    fn default() -> Self {
        let mut buf = [MaybeUninit::uninit(); N];
        buf[0] = MaybeUninit::new(0);
        Self { buf, len: 0 }
    }
}

impl<const N: usize> TextBuffer<N> {
    /// The parts one after another.
    ///
    /// # Errors
    /// `ENAMETOOLONG` for what does not fit, `EINVAL` for an embedded NUL.
    pub fn join(parts: &[&[u8]]) -> Result<Self> {
        let mut text = Self::default();
        text.extend(parts)?;
        Ok(text)
    }

    /// Appends the parts one after another.
    ///
    /// # Errors
    /// As [`TextBuffer::join`].
    pub fn extend(&mut self, parts: &[&[u8]]) -> Result<()> {
        parts.iter().try_for_each(|part| self.push(part))
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// As [`TextBuffer::join`].
    pub fn push(&mut self, part: &[u8]) -> Result<()> {
        if part.contains(&0) {
            return Err(Errno::EINVAL);
        }
        let end = self.len + part.len();
        if end >= self.buf.len() {
            return Err(Errno::ENAMETOOLONG);
        }
        self.buf[self.len..end].write_copy_of_slice(part);
        self.end_at(end);
        Ok(())
    }

    /// Shortens to `len` bytes.
    pub fn truncate(&mut self, len: usize) {
        if len < self.len {
            self.end_at(len);
        }
    }

    /// Of `len` bytes all are initialised.
    fn end_at(&mut self, len: usize) {
        self.buf[len] = MaybeUninit::new(0);
        self.len = len;
    }

    /// The bytes without the NUL.
    pub fn as_bytes(&self) -> &[u8] {
        self.as_c_str().to_bytes()
    }

    /// The bytes as a C string.
    pub fn as_c_str(&self) -> &CStr {
        // SAFETY: bytes up to and including the one at `len` are initialised.
        let bytes = unsafe { self.buf[..=self.len].assume_init_ref() };
        // `push` refuses NUL bytes and keeps the terminator, so this never takes the fallback.
        CStr::from_bytes_with_nul(bytes).unwrap_or(c"")
    }
}

/// Makes a call with the parts, one after another, as its path. The path is put together where it
/// stays: moving one costs as much as many a call.
///
/// # Errors
/// Those of [`TextBuffer::push`] and of the call.
pub fn with_path<T>(parts: &[&[u8]], call: impl FnOnce(&CStr) -> Result<T>) -> Result<T> {
    let mut path = PathBuffer::default();
    path.extend(parts)?;
    call(path.as_c_str())
}

/// The text of a file of procfs, sysfs or cgroupfs that may come in pieces, as one with a line for
/// each of many things.
///
/// # Errors
/// Those of openat(2) and read(2); `EILSEQ` for text that is not UTF-8.
pub fn read_file(dir: BorrowedFd<'_>, path: &CStr) -> Result<String> {
    read_to_end(dir, path, |len| len == 0)
}

/// As [`read_file`], of a file that holds one value or line: it comes whole, so that a part of the
/// room for it is left over at its end only.
///
/// # Errors
/// Those of [`read_file`].
pub fn read_value(dir: BorrowedFd<'_>, path: &CStr) -> Result<String> {
    read_to_end(dir, path, |len| len < BLOCK)
}

const BLOCK: usize = 4096;

/// A file up to the first read that `is_last` says is the last.
fn read_to_end(
    dir: BorrowedFd<'_>,
    path: &CStr,
    is_last: impl Fn(usize) -> bool,
) -> Result<String> {
    let file = openat(dir, path, O_RDONLY | O_NOFOLLOW, 0)?;
    let mut text = Vec::new();
    let mut buf = [0; BLOCK];
    loop {
        let len = read(file.as_fd(), &mut buf)?;
        text.extend_from_slice(&buf[..len]);
        if is_last(len) {
            return String::from_utf8(text).map_err(|_| Errno::EILSEQ);
        }
    }
}

/// `/proc/self/fd/N`: the name by which path-based calls reach an open descriptor.
///
/// # Errors
/// None in practice; see [`TextBuffer::join`].
pub fn proc_path(fd: impl AsFd) -> Result<PathBuffer> {
    let number = Decimal::new(fd.as_fd().as_raw_fd() as u64);
    PathBuffer::join(&[b"/proc/self/fd/", number.as_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn makedev_agrees_with_the_c_library() {
        for (major, minor) in [(1, 3), (5, 0), (136, 255), (4095, 1_048_575), (511, 256)] {
            assert_eq!(makedev(major, minor), libc::makedev(major, minor));
        }
    }

    #[test]
    fn decimal_prints_every_digit() {
        for n in [0, 7, 10, 4096, u64::MAX] {
            assert_eq!(Decimal::new(n).as_bytes(), n.to_string().as_bytes());
        }
    }

    #[test]
    fn path_buffer_refuses_what_the_kernel_would_cut() {
        assert_eq!(PathBuffer::join(&[b"/a", b"/b"]).unwrap().as_c_str(), c"/a/b");
        assert_eq!(PathBuffer::join(&[b"a\0b"]).err(), Some(Errno::EINVAL));
        let long = [b'x'; libc::PATH_MAX as usize];
        assert_eq!(PathBuffer::join(&[&long]).err(), Some(Errno::ENAMETOOLONG));
    }

    #[test]
    fn directory_entries_are_listed_without_dots() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), "x").unwrap();
        let fd = OwnedFd::from(std::fs::File::open(dir.path()).unwrap());
        let mut names = Vec::new();
        for_each_entry(fd.as_fd(), &mut [0; 1024], |e| {
            names.push(e.name.to_owned());
            Ok(())
        })
        .unwrap();
        assert_eq!(names, [c"file".to_owned()]);
    }
}
