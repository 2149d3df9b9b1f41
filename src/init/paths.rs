//! Kernel parameters, and the paths that the container may not change or see.

use super::mounts::KernelViews;
use super::{Apart, At};
use crate::plan::Plan;
use crate::sys::mount::{self, AttrChange, FsContext, Reach, attr, propagation};
use crate::sys::resolve::open_in_root;
use crate::sys::{self, Errno, fd};
use crate::wire::{Failure, Step};
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Opens a file of a procfs for writing so that nothing but that procfs can answer: no link, no
/// other mount on the way (CVE-2025-52881).
pub(super) fn write_proc(procfs: BorrowedFd<'_>, path: &CStr, value: &[u8]) -> sys::Result<()> {
    let resolve = fd::RESOLVE_BENEATH | fd::RESOLVE_NO_SYMLINKS | fd::RESOLVE_NO_XDEV;
    let file = fd::openat2(procfs, path, fd::O_WRONLY | fd::O_NOFOLLOW, 0, resolve)?;
    fd::write_once(file.as_fd(), value)
}

/// Writes the kernel parameters of the container's namespaces.
pub(super) fn write_sysctls(plan: &Plan, procfs: Option<&OwnedFd>) -> Result<(), Failure> {
    let Some(procfs) = procfs else { return Ok(()) };
    for (index, sysctl) in plan.sysctls.iter().enumerate() {
        let path =
            fd::PathBuffer::join(&[b"sys/", sysctl.path.as_bytes()]).at(Step::Sysctl, index)?;
        write_proc(procfs.as_fd(), path.as_c_str(), sysctl.value.as_bytes())
            .at(Step::Sysctl, index)?;
    }
    Ok(())
}

/// A mount that covers many paths.
pub(super) struct Cover {
    tree: OwnedFd,
    attached: bool,
}

impl Cover {
    fn new(tree: OwnedFd) -> Self {
        Self { tree, attached: false }
    }

    /// Covers a path: the first by the mount itself, the others by copies of it, as a mount can
    /// be copied only once it belongs to the namespace (open_tree(2) before Linux 6.15).
    fn over(&mut self, target: BorrowedFd<'_>) -> sys::Result<()> {
        if self.attached {
            let copy = mount::clone_tree(self.tree.as_fd(), c"", Reach::Single)?;
            return mount::attach(copy.as_fd(), target);
        }
        self.attached = true;
        mount::attach(self.tree.as_fd(), target)
    }
}

/// The host's /dev/null, which covers masked files: never a link, and the device itself
/// (CVE-2025-31133). It is copied before the root changes, when it is still there.
pub(super) fn copy_null_if_needed(
    plan: &Plan,
    apart: Option<&Apart>,
) -> Result<Option<Cover>, Failure> {
    if plan.masked_paths.is_empty() {
        return Ok(None);
    }
    let copy = || {
        let null = fd::openat(fd::cwd(), c"/dev/null", fd::O_PATH | fd::O_NOFOLLOW, 0)?;
        if !fd::fstat(null.as_fd())?.is_char(1, 3) {
            return Err(Errno::ENODEV);
        }
        let cover = mount::clone_tree(null.as_fd(), c"", Reach::Single)?;
        if apart.is_some() {
            // Of a mount in the host's namespace, where nothing that is mounted on it may appear.
            mount::set_propagation(cover.as_fd(), Reach::Single, propagation::SLAVE)?;
        }
        // The device itself can still be written to: it lies beyond the mount.
        let set = attr::RDONLY | attr::NOSUID | attr::NOEXEC;
        mount::set_attributes(cover.as_fd(), Reach::Single, AttrChange { set, clear: 0 })?;
        Ok(Cover::new(cover))
    };
    copy().at(Step::NullDevice, 0).map(Some)
}

/// Makes paths read-only and hides others; what is not there needs neither.
pub(super) fn restrict(
    plan: &Plan,
    root: BorrowedFd<'_>,
    views: &KernelViews,
    null: Option<Cover>,
) -> Result<(), Failure> {
    let find = |path: &CStr| {
        let (start, path) = views.mount_of(path).unwrap_or((root, path));
        find(start, path)
    };
    for (index, path) in plan.readonly_paths.iter().enumerate() {
        if let Some(target) = find(path.as_c_str()).at(Step::ReadonlyPath, index)? {
            make_readonly(target.as_fd()).at(Step::ReadonlyPath, index)?;
        }
    }
    let Some(mut null) = null else { return Ok(()) };
    let mut empty = None;
    for (index, path) in plan.masked_paths.iter().enumerate() {
        if let Some(target) = find(path.as_c_str()).at(Step::MaskedPath, index)? {
            mask(target.as_fd(), &mut null, &mut empty).at(Step::MaskedPath, index)?;
        }
    }
    Ok(())
}

fn find(root: BorrowedFd<'_>, path: &CStr) -> sys::Result<Option<OwnedFd>> {
    match open_in_root(root, path, 0) {
        Ok(target) => Ok(Some(target)),
        Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Covers a file or directory by a read-only copy of its own mount: one descriptor from the
/// look-up to the mount (GHSA-3q8j-pf29-vwv8).
fn make_readonly(target: BorrowedFd<'_>) -> sys::Result<()> {
    let tree = mount::clone_tree(target, c"", Reach::Tree)?;
    let readonly = AttrChange { set: attr::RDONLY, clear: 0 };
    mount::set_attributes(tree.as_fd(), Reach::Single, readonly)?;
    mount::attach(tree.as_fd(), target)
}

/// Covers a directory by an empty one, which all share, and anything else by /dev/null.
fn mask(target: BorrowedFd<'_>, null: &mut Cover, empty: &mut Option<Cover>) -> sys::Result<()> {
    if !fd::fstat(target)?.is_dir() {
        return null.over(target);
    }
    match empty {
        Some(empty) => empty.over(target),
        None => empty.insert(Cover::new(empty_directory()?)).over(target),
    }
}

/// A read-only tmpfs with nothing in it.
fn empty_directory() -> sys::Result<OwnedFd> {
    let context = FsContext::open(c"tmpfs")?;
    context.set_string(c"source", c"tmpfs")?;
    context.set_string(c"size", c"0")?;
    context.set_string(c"nr_inodes", c"1")?;
    context.set_flag(c"ro")?;
    context.create()?;
    context.mount(attr::RDONLY | attr::NOSUID | attr::NODEV | attr::NOEXEC)
}
