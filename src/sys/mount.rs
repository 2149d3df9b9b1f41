//! Mounts by descriptor: fsopen(2), fsmount(2), open_tree(2), move_mount(2), mount_setattr(2).

use super::fd::own;
use super::{Result, check, retry};
use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

/// Attributes of a mount (`MOUNT_ATTR_*`, mount_setattr(2)).
pub mod attr {
    /// Read-only.
    pub const RDONLY: u64 = 0x1;
    /// Set-user-ID bits have no effect.
    pub const NOSUID: u64 = 0x2;
    /// Device nodes cannot be opened.
    pub const NODEV: u64 = 0x4;
    /// Programs cannot be executed.
    pub const NOEXEC: u64 = 0x8;
    /// Mask of the access time modes; must be cleared when one of them is set.
    pub const ATIME_MASK: u64 = 0x70;
    /// Update access times relative to the modification time (the kernel's default).
    pub const RELATIME: u64 = 0x0;
    /// Never update access times.
    pub const NOATIME: u64 = 0x10;
    /// Always update access times.
    pub const STRICTATIME: u64 = 0x20;
    /// Never update access times of directories.
    pub const NODIRATIME: u64 = 0x80;
    /// The mount is id-mapped.
    pub const IDMAP: u64 = 0x0010_0000;
    /// Symbolic links are not followed.
    pub const NOSYMFOLLOW: u64 = 0x0020_0000;
}

/// Propagation types (`MS_SHARED`, …).
pub mod propagation {
    /// Share mount events with the peer group.
    pub const SHARED: u64 = libc::MS_SHARED;
    /// Receive events only.
    pub const SLAVE: u64 = libc::MS_SLAVE;
    /// No propagation.
    pub const PRIVATE: u64 = libc::MS_PRIVATE;
    /// No propagation and no bind mounts of it.
    pub const UNBINDABLE: u64 = libc::MS_UNBINDABLE;
}

/// Whether a call covers one mount or the tree below it (`AT_RECURSIVE`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reach {
    /// The one mount.
    Single,
    /// The mount and all below it.
    Tree,
}

impl Reach {
    fn flag(self) -> libc::c_uint {
        match self {
            Self::Single => 0,
            Self::Tree => libc::AT_RECURSIVE as libc::c_uint,
        }
    }
}

const OPEN_TREE_CLONE: libc::c_uint = 1;
const OPEN_TREE_NAMESPACE: libc::c_uint = 2;
const OPEN_TREE_CLOEXEC: libc::c_uint = libc::O_CLOEXEC as libc::c_uint;
const FSOPEN_CLOEXEC: libc::c_uint = 1;
const FSMOUNT_CLOEXEC: libc::c_uint = 1;
const FSCONFIG_SET_FLAG: libc::c_uint = 0;
const FSCONFIG_SET_STRING: libc::c_uint = 1;
const FSCONFIG_CMD_CREATE: libc::c_uint = 6;
const MOVE_MOUNT_F_EMPTY_PATH: libc::c_uint = 0x04;
const MOVE_MOUNT_T_EMPTY_PATH: libc::c_uint = 0x40;

/// A detached copy of the mount or tree at `path` (open_tree(2) with `OPEN_TREE_CLONE`).
///
/// A trailing symbolic link is followed. An empty path names `dir` itself.
///
/// # Errors
/// Those of open_tree(2).
pub fn clone_tree(dir: BorrowedFd<'_>, path: &CStr, reach: Reach) -> Result<OwnedFd> {
    open_tree(dir, path, OPEN_TREE_CLONE | reach.flag())
}

/// A new mount namespace that holds nothing but a copy of the tree at `path`, which is its root
/// directory (open_tree(2) with `OPEN_TREE_NAMESPACE`, Linux 7.0). Mounts that keep a mount
/// namespace alive are left out.
///
/// A trailing symbolic link is followed. An empty path names `dir` itself.
///
/// # Errors
/// `EINVAL` on older kernels; others of open_tree(2).
pub fn namespace_of(dir: BorrowedFd<'_>, path: &CStr) -> Result<OwnedFd> {
    open_tree(dir, path, OPEN_TREE_NAMESPACE | Reach::Tree.flag())
}

fn open_tree(dir: BorrowedFd<'_>, path: &CStr, flags: libc::c_uint) -> Result<OwnedFd> {
    let empty = if path.is_empty() { libc::AT_EMPTY_PATH as libc::c_uint } else { 0 };
    retry(|| {
        // SAFETY: `path` is NUL-terminated and outlives the call.
        own(unsafe {
            libc::syscall(
                libc::SYS_open_tree,
                dir.as_raw_fd(),
                path.as_ptr(),
                OPEN_TREE_CLOEXEC | empty | flags,
            )
        })
    })
}

/// Attaches a detached mount or tree on top of the file or directory behind `target`.
///
/// # Errors
/// Those of move_mount(2).
pub fn attach(tree: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Result<()> {
    // SAFETY: both paths are static empty strings; descriptors are borrowed for the call.
    check(unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            tree.as_raw_fd(),
            c"".as_ptr(),
            target.as_raw_fd(),
            c"".as_ptr(),
            MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH,
        )
    })
    .map(drop)
}

/// A file system context (fsopen(2)).
#[derive(Debug)]
pub struct FsContext(OwnedFd);

impl FsContext {
    /// Opens a context for a file system type.
    ///
    /// # Errors
    /// `ENODEV` when the kernel does not know the type; others of fsopen(2).
    pub fn open(fstype: &CStr) -> Result<Self> {
        // SAFETY: `fstype` is NUL-terminated and outlives the call.
        own(unsafe { libc::syscall(libc::SYS_fsopen, fstype.as_ptr(), FSOPEN_CLOEXEC) }).map(Self)
    }

    /// Sets a parameter that has no value, such as `ro`.
    ///
    /// # Errors
    /// Those of fsconfig(2); see [`FsContext::message`].
    pub fn set_flag(&self, key: &CStr) -> Result<()> {
        self.config(FSCONFIG_SET_FLAG, key.as_ptr(), std::ptr::null())
    }

    /// Sets a parameter to a string, such as `size` to `64k`.
    ///
    /// # Errors
    /// Those of fsconfig(2); see [`FsContext::message`].
    pub fn set_string(&self, key: &CStr, value: &CStr) -> Result<()> {
        self.config(FSCONFIG_SET_STRING, key.as_ptr(), value.as_ptr())
    }

    /// Makes (or finds) the superblock.
    ///
    /// # Errors
    /// Those of fsconfig(2); see [`FsContext::message`].
    pub fn create(&self) -> Result<()> {
        retry(|| self.config(FSCONFIG_CMD_CREATE, std::ptr::null(), std::ptr::null()))
    }

    /// A detached mount of the superblock with those attributes.
    ///
    /// # Errors
    /// Those of fsmount(2).
    pub fn mount(&self, attributes: u64) -> Result<OwnedFd> {
        // SAFETY: no memory is passed.
        own(unsafe {
            libc::syscall(libc::SYS_fsmount, self.0.as_raw_fd(), FSMOUNT_CLOEXEC, attributes)
        })
    }

    /// The kernel's own words about the last failure, such as `tmpfs: Unknown parameter 'x'`,
    /// without their level prefix; empty when it said nothing.
    pub fn message<'b>(&self, buf: &'b mut [u8]) -> &'b [u8] {
        let Ok(len) = super::fd::read(std::os::fd::AsFd::as_fd(&self.0), buf) else {
            return &[];
        };
        // Messages look like "e tmpfs: Unknown parameter 'x'\n".
        let text = &buf[..len];
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        match text {
            [_, b' ', rest @ ..] => rest,
            other => other,
        }
    }

    fn config(
        &self,
        command: libc::c_uint,
        key: *const libc::c_char,
        value: *const libc::c_char,
    ) -> Result<()> {
        // SAFETY: the callers pass null or NUL-terminated strings that outlive the call.
        check(unsafe {
            libc::syscall(libc::SYS_fsconfig, self.0.as_raw_fd(), command, key, value, 0)
        })
        .map(drop)
    }
}

/// A change of mount attributes (struct mount_attr).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct AttrChange {
    /// Attributes to set.
    pub set: u64,
    /// Attributes to clear.
    pub clear: u64,
}

impl AttrChange {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.set == 0 && self.clear == 0
    }
}

#[repr(C)]
struct RawMountAttr {
    attr_set: u64,
    attr_clr: u64,
    propagation: u64,
    userns_fd: u64,
}

fn mount_setattr(mount: BorrowedFd<'_>, reach: Reach, attr: &RawMountAttr) -> Result<()> {
    // SAFETY: the path is a static empty string, `attr` outlives the call, the size is its own.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH as libc::c_uint | reach.flag(),
            std::ptr::from_ref(attr),
            size_of::<RawMountAttr>(),
        )
    })
    .map(drop)
}

/// Changes the attributes of the mount behind a descriptor (mount_setattr(2)).
///
/// # Errors
/// Those of mount_setattr(2).
pub fn set_attributes(mount: BorrowedFd<'_>, reach: Reach, change: AttrChange) -> Result<()> {
    let attr =
        RawMountAttr { attr_set: change.set, attr_clr: change.clear, propagation: 0, userns_fd: 0 };
    mount_setattr(mount, reach, &attr)
}

/// Changes the propagation type of the mount behind a descriptor (mount_setattr(2)).
///
/// # Errors
/// Those of mount_setattr(2).
pub fn set_propagation(mount: BorrowedFd<'_>, reach: Reach, propagation: u64) -> Result<()> {
    let attr = RawMountAttr { attr_set: 0, attr_clr: 0, propagation, userns_fd: 0 };
    mount_setattr(mount, reach, &attr)
}

/// Maps the ids of a detached mount through a user namespace (`MOUNT_ATTR_IDMAP`).
///
/// # Errors
/// `EINVAL` when the file system cannot be id-mapped; others of mount_setattr(2).
pub fn set_idmap(mount: BorrowedFd<'_>, reach: Reach, userns: BorrowedFd<'_>) -> Result<()> {
    let attr = RawMountAttr {
        attr_set: attr::IDMAP,
        attr_clr: 0,
        propagation: 0,
        userns_fd: userns.as_raw_fd() as u64,
    };
    mount_setattr(mount, reach, &attr)
}

/// Makes everything below the root directory receive mount events but send none, so that
/// nothing done in this mount namespace reaches the one it was copied from.
///
/// # Errors
/// Those of mount(2).
pub fn make_root_slave() -> Result<()> {
    // SAFETY: strings are static; a null source, type and data are allowed for this operation.
    check(
        unsafe {
            libc::mount(
                std::ptr::null(),
                c"/".as_ptr(),
                std::ptr::null(),
                libc::MS_REC | libc::MS_SLAVE,
                std::ptr::null(),
            )
        }
        .into(),
    )
    .map(drop)
}

/// pivot_root(".", "."): the working directory becomes the root, the old root lies on top of
/// it and is reached by the working directory (pivot_root(2), notes).
///
/// # Errors
/// Those of pivot_root(2).
pub fn pivot_here() -> Result<()> {
    // SAFETY: both strings are static.
    check(unsafe { libc::syscall(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr()) }).map(drop)
}

/// Mounts a new file system on a path (mount(2)), with all its parameters as one text, which may be
/// longer than a value of fsconfig(2).
///
/// # Errors
/// Those of mount(2).
pub fn mount_text(source: &CStr, path: &CStr, fstype: &CStr, text: &CStr) -> Result<()> {
    // SAFETY: all strings are NUL-terminated and outlive the call.
    check(
        unsafe {
            libc::mount(source.as_ptr(), path.as_ptr(), fstype.as_ptr(), 0, text.as_ptr().cast())
        }
        .into(),
    )
    .map(drop)
}

/// Detaches the mount at the working directory and all below it (umount2(2), `MNT_DETACH`).
///
/// # Errors
/// Those of umount2(2).
pub fn detach_here() -> Result<()> {
    // SAFETY: the string is static.
    check(unsafe { libc::umount2(c".".as_ptr(), libc::MNT_DETACH) }.into()).map(drop)
}

/// Detaches the mount behind a descriptor and all below it (umount2(2), `MNT_DETACH`).
///
/// # Errors
/// `EINVAL` when the descriptor is not the root of a mount; others of umount2(2).
pub fn detach(mount: BorrowedFd<'_>) -> Result<()> {
    let path = super::fd::proc_path(mount)?;
    // SAFETY: the path is NUL-terminated and outlives the call.
    check(unsafe { libc::umount2(path.as_c_str().as_ptr(), libc::MNT_DETACH) }.into()).map(drop)
}

/// Moves the mount at the working directory onto the root directory (mount(2), `MS_MOVE`).
///
/// # Errors
/// Those of mount(2).
pub fn move_here_to_root() -> Result<()> {
    // SAFETY: strings are static; a null type and data are allowed for this operation.
    check(
        unsafe {
            libc::mount(
                c".".as_ptr(),
                c"/".as_ptr(),
                std::ptr::null(),
                libc::MS_MOVE,
                std::ptr::null(),
            )
        }
        .into(),
    )
    .map(drop)
}
