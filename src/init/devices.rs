//! Devices and the links of /dev, all by descriptors of directories inside the root.

use super::{Apart, At};
use crate::plan::Plan;
use crate::plan::devices::{Device, LINKS};
use crate::plan::namespaces::Kind;
use crate::sys::fd::{self, S_IFMT, Stat};
use crate::sys::mount::{self, Reach};
use crate::sys::resolve;
use crate::sys::{self, Errno};
use crate::wire::{Failure, Step};
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Makes the plan's devices and, in a /dev of the container's own, its links.
pub(super) fn make_all(
    plan: &Plan,
    apart: Option<&Apart>,
    root: BorrowedFd<'_>,
) -> Result<(), Failure> {
    let dev = if plan.devices.own_dev { Some(open_dev(root)?) } else { None };
    for (index, device) in plan.devices.devices.iter().enumerate() {
        let path = device.path.as_c_str();
        let direct = dev.as_ref().zip(name_in_dev(path));
        let made = match direct {
            Some((dev, name)) => make(plan, apart, dev.as_fd(), name, device),
            None => resolve::open_parent(root, path)
                .and_then(|(parent, name)| make(plan, apart, parent.as_fd(), name, device)),
        };
        made.at(Step::Device, index)?;
    }
    if let Some(dev) = &dev {
        for (index, (name, target)) in LINKS.iter().enumerate() {
            link(dev.as_fd(), name, target).at(Step::DevLink, index)?;
        }
    }
    Ok(())
}

/// The container's /dev; a link that the image put there is followed inside the root only
/// (CVE-2026-41579, CVE-2026-47766).
pub(super) fn open_dev(root: BorrowedFd<'_>) -> Result<OwnedFd, Failure> {
    resolve::open_or_create(root, c"/dev", resolve::Missing::Directory).at(Step::DevDirectory, 0)
}

/// The name of a file that lies directly in /dev.
fn name_in_dev(path: &CStr) -> Option<&CStr> {
    let name = path.to_bytes_with_nul().strip_prefix(b"/dev/")?;
    CStr::from_bytes_with_nul(name).ok().filter(|name| !name.to_bytes().contains(&b'/'))
}

fn make(
    plan: &Plan,
    apart: Option<&Apart>,
    parent: BorrowedFd<'_>,
    name: &CStr,
    device: &Device,
) -> sys::Result<()> {
    match fd::mknodat(parent, name, device.mode, device.number) {
        Ok(()) if (device.uid, device.gid) == (0, 0) => Ok(()),
        Ok(()) => give(parent, name, device),
        Err(Errno::EEXIST) => match expect_same(parent, name, device) {
            // What an earlier container had its device bound over.
            Err(_) if plan.namespaces.has(Kind::User) && is_empty_file(parent, name)? => {
                bind(apart, parent, name, device)
            }
            other => other,
        },
        // In a user namespace devices cannot be made: the host's is bound instead.
        Err(Errno::EPERM) => bind(apart, parent, name, device),
        Err(errno) => Err(errno),
    }
}

/// Gives the new device its owner; by then another process may have put something else there.
fn give(parent: BorrowedFd<'_>, name: &CStr, device: &Device) -> sys::Result<()> {
    let made = fd::openat(parent, name, fd::O_PATH | fd::O_NOFOLLOW, 0)?;
    if !is(&fd::fstat(made.as_fd())?, device) {
        return Err(Errno::ESTALE);
    }
    fd::fchown(made.as_fd(), device.uid, device.gid)
}

/// config-linux.md: a file that exists and is not the device is an error.
fn expect_same(parent: BorrowedFd<'_>, name: &CStr, device: &Device) -> sys::Result<()> {
    if is(&fd::lstat_at(parent, name)?, device) { Ok(()) } else { Err(Errno::EEXIST) }
}

fn is(file: &Stat, device: &Device) -> bool {
    let same_kind = file.kind() == device.mode & S_IFMT;
    same_kind && (file.kind() == fd::S_IFIFO || file.rdev == device.number)
}

fn is_empty_file(parent: BorrowedFd<'_>, name: &CStr) -> sys::Result<bool> {
    let file = fd::lstat_at(parent, name)?;
    Ok(file.kind() == fd::S_IFREG && file.size == 0)
}

fn bind(
    apart: Option<&Apart>,
    parent: BorrowedFd<'_>,
    name: &CStr,
    device: &Device,
) -> sys::Result<()> {
    let copy = || mount::clone_tree(fd::cwd(), device.path.as_c_str(), Reach::Single);
    let tree = match apart {
        Some(apart) => apart.fetch(copy)?,
        None => copy()?,
    };
    let stat = fd::fstat(tree.as_fd())?;
    if !is(&stat, device) {
        return Err(Errno::ENODEV);
    }
    let target = placeholder(parent, name)?;
    mount::attach(tree.as_fd(), target.as_fd())
}

/// An empty file to mount a device over, never through a link (CVE-2026-88264).
pub(super) fn placeholder(parent: BorrowedFd<'_>, name: &CStr) -> sys::Result<OwnedFd> {
    let flags = fd::O_WRONLY | fd::O_CREAT | fd::O_EXCL | fd::O_NOFOLLOW;
    match fd::openat(parent, name, flags, 0o644) {
        Ok(_) | Err(Errno::EEXIST) => {}
        Err(errno) => return Err(errno),
    }
    let target = fd::openat(parent, name, fd::O_PATH | fd::O_NOFOLLOW, 0)?;
    match fd::fstat(target.as_fd())?.kind() {
        fd::S_IFREG | fd::S_IFCHR => Ok(target),
        _ => Err(Errno::EEXIST),
    }
}

fn link(dev: BorrowedFd<'_>, name: &CStr, target: &CStr) -> sys::Result<()> {
    match fd::symlinkat(target, dev, name) {
        Err(Errno::EEXIST) if name == c"ptmx" && !leads_to(dev, name, target)? => {
            // Only the multiplexer of the container's own devpts may answer here.
            fd::unlinkat(dev, name)?;
            fd::symlinkat(target, dev, name)
        }
        Err(Errno::EEXIST) => Ok(()),
        other => other,
    }
}

fn leads_to(dev: BorrowedFd<'_>, name: &CStr, target: &CStr) -> sys::Result<bool> {
    let mut buf = [0; 64];
    match fd::readlinkat(dev, name, &mut buf) {
        Ok(found) => Ok(found == target.to_bytes()),
        // No link at all, or one that is too long to be this one.
        Err(Errno::EINVAL | Errno::ENAMETOOLONG) => Ok(false),
        Err(errno) => Err(errno),
    }
}
