//! The root file system: a mount of its own, then the root directory.

use super::{Apart, At};
use crate::plan::Plan;
use crate::plan::namespaces::Kind;
use crate::plan::rootfs::Switch;
use crate::sys::mount::{self, AttrChange, Reach, attr, propagation};
use crate::sys::resolve::{self, Missing};
use crate::sys::{Errno, fd};
use crate::wire::{Failure, Step};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

const DIRECTORY: i32 = fd::O_PATH | fd::O_DIRECTORY;

/// Makes the root file system a mount among the host's and returns a descriptor of it; none where
/// it is one in a namespace apart.
pub(super) fn make(plan: &Plan, apart: Option<&Apart>) -> Result<Option<OwnedFd>, Failure> {
    if apart.is_some() {
        return Ok(None);
    }
    if plan.namespaces.has(Kind::Mount) {
        // Before anything is mounted: on most hosts / is shared, and what is mounted below it
        // here would appear there.
        mount::make_root_slave().at(Step::IsolateMounts, 0)?;
    }
    let path = plan.rootfs.path.as_c_str();
    let target = fd::openat(fd::cwd(), path, DIRECTORY, 0).at(Step::RootTree, 0)?;
    let tree = mount::clone_tree(target.as_fd(), c"", Reach::Tree).at(Step::RootTree, 0)?;
    if !plan.namespaces.has(Kind::Mount) {
        // All mounts of the container hang on this one, which the launcher takes away again.
        mount::set_propagation(tree.as_fd(), Reach::Tree, propagation::PRIVATE)
            .at(Step::RootTree, 0)?;
    }
    mount::attach(tree.as_fd(), target.as_fd()).at(Step::RootTree, 0)?;
    Ok(Some(tree))
}

/// A descriptor of the root file system's mount, from which every path of the container is
/// resolved. Where it stands apart nothing of the host can be found by its path from now on.
pub(super) fn enter(made: Option<OwnedFd>, apart: Option<&Apart>) -> Result<OwnedFd, Failure> {
    if let Some(apart) = apart {
        apart.enter().at(Step::EnterMounts, 0)?;
        // It was copied from a mount that may be shared with the host.
        mount::make_root_slave().at(Step::IsolateMounts, 0)?;
    }
    match made {
        Some(tree) => Ok(tree),
        None => fd::openat(fd::cwd(), c"/", DIRECTORY, 0).at(Step::RootTree, 0),
    }
}

/// The working directory is made where the image lacks it, as engines expect. A failure is not
/// told here but by the attempt to enter it.
pub(super) fn make_working_directory(plan: &Plan, root: BorrowedFd<'_>) {
    if let Some(wanted) = &plan.process {
        let _ = resolve::open_or_create(root, &wanted.process.cwd, Missing::Directory);
    }
}

/// Makes the new root the root directory and lets go of the old one.
pub(super) fn switch(
    plan: &Plan,
    apart: Option<&Apart>,
    root: BorrowedFd<'_>,
) -> Result<(), Failure> {
    if apart.is_some() {
        return Ok(());
    }
    fd::fchdir(root).at(Step::PivotRoot, 0)?;
    if !plan.namespaces.has(Kind::Mount) {
        fd::chroot(c".").at(Step::PivotRoot, 0)?;
        return fd::chdir(c"/").at(Step::PivotRoot, 0);
    }
    match plan.rootfs.switch {
        Switch::PivotRoot => {
            mount::pivot_here().at(Step::PivotRoot, 0)?;
            // The working directory is still in the new root, below the old one: this detaches
            // the old root, which lies on top (pivot_root(2), notes).
            mount::detach_here().at(Step::PivotRoot, 0)?;
        }
        Switch::MoveMount => {
            mount::move_here_to_root().at(Step::PivotRoot, 0)?;
            fd::chroot(c".").at(Step::PivotRoot, 0)?;
        }
    }
    fd::chdir(c"/").at(Step::PivotRoot, 0)
}

/// The last changes of the root mount: after every mount point and device was made in it.
pub(super) fn finish(plan: &Plan, root: BorrowedFd<'_>) -> Result<(), Failure> {
    if let Some((kind, reach)) = plan.rootfs.propagation {
        mount::set_propagation(root, reach, kind).at(Step::RootPropagation, 0)?;
    }
    if plan.rootfs.readonly {
        let readonly = AttrChange { set: attr::RDONLY, clear: 0 };
        mount::set_attributes(root, Reach::Single, readonly).at(Step::RootReadonly, 0)?;
    }
    if !fd::cwd_is_reachable().at(Step::PivotRoot, 0)? {
        return Err(Failure::new(Step::PivotRoot, 0, Errno::ENOENT));
    }
    Ok(())
}
