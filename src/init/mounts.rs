//! `/mounts`, in order: each is made detached, dressed, and attached to a descriptor.

use super::apart::{self, Apart};
use super::{At, Input};
use crate::plan::Plan;
use crate::plan::mounts::{Content, CopyUp, FileSystem, Links, Mount, may_cover};
use crate::sys::fd::{self, PathBuffer};
use crate::sys::mount::{self, AttrChange, FsContext, Reach, attr};
use crate::sys::resolve::{self, Missing};
use crate::sys::{self, Errno};
use crate::wire::{Failure, REMARK, Step};
use std::ffi::CStr;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The kernel's file systems at /proc and /sys. Paths below them start here: by renaming a mount
/// point another process could have moved the mount under another name.
#[derive(Default)]
pub(super) struct KernelViews {
    proc: ManuallyDrop<Option<OwnedFd>>,
    sys: ManuallyDrop<Option<OwnedFd>>,
}

impl KernelViews {
    /// The mount that a path of the container is below, and the rest of the path.
    pub(super) fn mount_of<'p>(&self, path: &'p CStr) -> Option<(BorrowedFd<'_>, &'p CStr)> {
        [(&self.proc, b"/proc/".as_slice()), (&self.sys, b"/sys/")].into_iter().find_map(
            |(mount, prefix)| {
                let rest = path.to_bytes_with_nul().strip_prefix(prefix)?;
                Some((mount.as_ref()?.as_fd(), CStr::from_bytes_with_nul(rest).ok()?))
            },
        )
    }
}

/// Makes every mount of the plan, in order, but attaches none: in a namespace apart the paths of
/// the host lead nowhere, and mountinfo lists mounts in the order in which they were made.
pub(super) fn make_ahead(
    plan: &Plan,
    input: &mut Input,
    apart: Option<&Apart>,
) -> Result<(), Failure> {
    if apart.is_none() {
        return Ok(());
    }
    for (index, (mount, made)) in plan.mounts.iter().zip(&mut input.sources).enumerate() {
        let has_cgroup = input.has_cgroup;
        let item = Item { plan, mount, index, apart, has_cgroup };
        if made.is_none() {
            *made = item.make()?;
        }
    }
    Ok(())
}

/// Makes every mount of the plan below `root`. Those to be sealed are kept in the place of their
/// source, of which they have none.
pub(super) fn mount_all(
    plan: &Plan,
    input: &mut Input,
    apart: Option<&Apart>,
    root: BorrowedFd<'_>,
) -> Result<KernelViews, Failure> {
    let mut views = KernelViews::default();
    for (index, (mount, source)) in plan.mounts.iter().zip(&mut input.sources).enumerate() {
        let item = Item { plan, mount, index, apart, has_cgroup: input.has_cgroup };
        let made = item.carry_out(root, source.take())?;
        match mount.destination.as_bytes() {
            _ if mount.sealed => *source = made,
            b"/proc" if made.is_some() => views.proc = ManuallyDrop::new(made),
            b"/sys" if made.is_some() => views.sys = ManuallyDrop::new(made),
            _ => {}
        }
    }
    Ok(views)
}

/// Makes those mounts read-only that have waited for it.
pub(super) fn seal(plan: &Plan, input: &Input) -> Result<(), Failure> {
    for (index, (mount, made)) in plan.mounts.iter().zip(&input.sources).enumerate() {
        if let (true, Some(tree)) = (mount.sealed, made) {
            let readonly = AttrChange { set: attr::RDONLY, clear: 0 };
            mount::set_attributes(tree.as_fd(), Reach::Single, readonly)
                .at(Step::MountAttributes, index)?;
        }
    }
    Ok(())
}

/// Where mount(2) mounts, in a tmpfs that nobody knows.
const ROOM: &CStr = c"room";

/// One mount on its way.
struct Item<'a> {
    plan: &'a Plan,
    mount: &'a Mount,
    index: usize,
    apart: Option<&'a Apart>,
    has_cgroup: bool,
}

impl Item<'_> {
    /// What is to be attached, detached yet; none where nothing is.
    fn make(&self) -> Result<Option<OwnedFd>, Failure> {
        let copy = |path, reach| {
            mount::clone_tree(fd::cwd(), path, reach).at(Step::MountSource, self.index)
        };
        match &self.mount.content {
            Content::Bind { source, reach } => copy(source, *reach).map(Some),
            Content::OwnCgroup(own) => copy(own.path(self.has_cgroup), Reach::Single).map(Some),
            Content::FileSystem(fs) => self.make_file_system(fs, None).map(Some),
            Content::Existing | Content::Link { .. } => Ok(None),
        }
    }

    /// Makes the mount, if that has not been done before, and attaches it; a new file system is
    /// returned.
    fn carry_out(
        &self,
        root: BorrowedFd<'_>,
        made: Option<OwnedFd>,
    ) -> Result<Option<OwnedFd>, Failure> {
        match &self.mount.content {
            Content::Bind { .. } | Content::OwnCgroup(_) => {
                // Made before, it was made by the launcher, or in the host's mount namespace;
                // else it is made here, in this namespace's copy of the same mounts.
                let tree = match made {
                    Some(tree) => Some(tree),
                    None => self.make()?,
                };
                if let Some(tree) = tree {
                    self.bind(root, tree)?;
                }
            }
            Content::FileSystem(fs) => return self.file_system(root, fs, made).map(Some),
            Content::Existing => {
                let target = self.target(root, Missing::Directory)?;
                self.dress(target.as_fd())?;
            }
            Content::Link { target } => self.link(root, target)?,
        }
        Ok(None)
    }

    fn bind(&self, root: BorrowedFd<'_>, tree: OwnedFd) -> Result<(), Failure> {
        match (self.bind_tree(root, tree.as_fd()), self.apart, &self.mount.content) {
            (
                Err(Failure { step: Step::MountAttach, errno: Errno::ELOOP, .. }),
                Some(apart),
                Content::Bind { source, reach: Reach::Tree },
            ) if self.mount.idmap.is_none() => {
                let tree = apart
                    .fetch(|| apart::without_namespaces(source))
                    .at(Step::MountSource, self.index)?;
                self.bind_tree(root, tree.as_fd())
            }
            (done, ..) => done,
        }
    }

    fn bind_tree(&self, root: BorrowedFd<'_>, tree: BorrowedFd<'_>) -> Result<(), Failure> {
        let is_dir = fd::fstat(tree).at(Step::MountSource, self.index)?.is_dir();
        if let Some((kind, _)) = self.plan.rootfs.bind_propagation() {
            mount::set_propagation(tree, Reach::Tree, kind)
                .at(Step::MountPropagation, self.index)?;
        }
        let target = self.target(root, if is_dir { Missing::Directory } else { Missing::File })?;
        self.check_target(target.as_fd(), tree)?;
        if is_dir != fd::fstat(target.as_fd()).at(Step::MountTarget, self.index)?.is_dir() {
            return Err(Failure::new(Step::MountAttach, self.index as u32, Errno::ENOTDIR));
        }
        self.dress(tree)?;
        mount::attach(tree, target.as_fd()).at(Step::MountAttach, self.index)
    }

    /// What mount(2) has to make is made at its target.
    fn make_file_system(
        &self,
        fs: &FileSystem,
        target: Option<BorrowedFd<'_>>,
    ) -> Result<OwnedFd, Failure> {
        // A copy has to be written before the mount may become read-only.
        let at_once = if fs.copy_up == CopyUp::No { self.mount.attributes.set } else { 0 };
        let created = match (&fs.text, target) {
            (Some(text), Some(target)) => self.create_by_text(fs, text, target, at_once),
            _ => self.create(fs, at_once),
        };
        match (created, fs.stand_in) {
            (Err(failure), Some(path)) if failure.errno == Errno::EPERM => self.stand_in(path),
            (made, _) => made,
        }
    }

    fn file_system(
        &self,
        root: BorrowedFd<'_>,
        fs: &FileSystem,
        made: Option<OwnedFd>,
    ) -> Result<OwnedFd, Failure> {
        let target = self.target(root, Missing::Directory)?;
        let tree = match made {
            Some(tree) => tree,
            None => self.make_file_system(fs, Some(target.as_fd()))?,
        };
        self.check_target(target.as_fd(), tree.as_fd())?;
        if fs.copy_up == CopyUp::Yes {
            copy_up(target.as_fd(), tree.as_fd()).at(Step::MountCopyUp, self.index)?;
        }
        if fs.copy_up == CopyUp::Yes || !self.mount.tree_attributes.is_empty() {
            self.dress(tree.as_fd())?;
        } else {
            self.propagate(tree.as_fd())?;
        }
        mount::attach(tree.as_fd(), target.as_fd()).at(Step::MountAttach, self.index)?;
        Ok(tree)
    }

    /// A detached mount of a new file system. On failure the kernel's own words come along:
    /// they name the parameter that it did not take.
    fn create(&self, fs: &FileSystem, attributes: u64) -> Result<OwnedFd, Failure> {
        let context = FsContext::open(&fs.fstype).at(Step::MountCreate, self.index)?;
        let told = |step: Step, result: sys::Result<()>| {
            result
                .at(step, self.index)
                .map_err(|failure| failure.with_remark(context.message(&mut [0; REMARK])))
        };
        told(Step::MountOption, context.set_string(c"source", &fs.source))?;
        for parameter in &fs.parameters {
            let set = match &parameter.value {
                Some(value) => context.set_string(&parameter.key, value),
                None => context.set_flag(&parameter.key),
            };
            told(Step::MountOption, set)?;
        }
        told(Step::MountCreate, context.create())?;
        context.mount(attributes).at(Step::MountCreate, self.index)
    }

    /// The same by mount(2), which makes no detached mounts: in a room of its own, which covers the
    /// target for that long, as no path may lead elsewhere meanwhile.
    fn create_by_text(
        &self,
        fs: &FileSystem,
        text: &CStr,
        target: BorrowedFd<'_>,
        attributes: u64,
    ) -> Result<OwnedFd, Failure> {
        let flags = fd::O_PATH | fd::O_DIRECTORY;
        let make_room = || {
            let here = fd::openat(fd::cwd(), c".", flags, 0)?;
            let context = FsContext::open(c"tmpfs")?;
            context.create()?;
            let room = context.mount(0)?;
            mount::attach(room.as_fd(), target)?;
            fd::mkdirat(room.as_fd(), ROOM, 0o700)?;
            fd::fchdir(room.as_fd())?;
            Ok((here, room))
        };
        let take = |here: &OwnedFd, room: &OwnedFd| {
            let made = fd::openat(room.as_fd(), ROOM, flags, 0)?;
            let tree = mount::clone_tree(made.as_fd(), c"", Reach::Single)?;
            mount::detach_here()?;
            fd::fchdir(here.as_fd())?;
            let change = AttrChange { set: attributes, clear: 0 };
            mount::set_attributes(tree.as_fd(), Reach::Single, change)?;
            Ok(tree)
        };
        let (here, room) = make_room().at(Step::MountTarget, self.index)?;
        mount::mount_text(&fs.source, ROOM, &fs.fstype, text).at(Step::MountCreate, self.index)?;
        take(&here, &room).at(Step::MountAttributes, self.index)
    }

    /// A copy of what the caller sees there, with the attributes of the mount.
    fn stand_in(&self, path: &CStr) -> Result<OwnedFd, Failure> {
        let tree =
            mount::clone_tree(fd::cwd(), path, Reach::Tree).at(Step::MountSource, self.index)?;
        if let Some((kind, _)) = self.plan.rootfs.bind_propagation() {
            mount::set_propagation(tree.as_fd(), Reach::Tree, kind)
                .at(Step::MountPropagation, self.index)?;
        }
        self.change(tree.as_fd(), self.mount.attributes, Reach::Tree)?;
        Ok(tree)
    }

    /// Attributes and propagation, before the mount can be seen by anybody. What is said of the
    /// mount alone was said after what is said of the tree.
    fn dress(&self, tree: BorrowedFd<'_>) -> Result<(), Failure> {
        self.change(tree, self.mount.tree_attributes, Reach::Tree)?;
        self.change(tree, self.mount.attributes, Reach::Single)?;
        self.propagate(tree)
    }

    fn propagate(&self, tree: BorrowedFd<'_>) -> Result<(), Failure> {
        for &(kind, reach) in &self.mount.propagation {
            mount::set_propagation(tree, reach, kind).at(Step::MountPropagation, self.index)?;
        }
        Ok(())
    }

    fn change(
        &self,
        tree: BorrowedFd<'_>,
        change: AttrChange,
        reach: Reach,
    ) -> Result<(), Failure> {
        if change.is_empty() {
            return Ok(());
        }
        mount::set_attributes(tree, reach, change).at(Step::MountAttributes, self.index)
    }

    fn target(&self, root: BorrowedFd<'_>, missing: Missing) -> Result<OwnedFd, Failure> {
        let path = self.mount.destination.as_c_str();
        if self.mount.links == Links::Refuse {
            let straight = || {
                let resolve = fd::RESOLVE_IN_ROOT | fd::RESOLVE_NO_SYMLINKS;
                fd::openat2(root, path, fd::O_PATH | fd::O_DIRECTORY, 0, resolve)
            };
            return match straight() {
                Err(Errno::ENOENT) => {
                    resolve::open_or_create(root, path, missing)
                        .at(Step::MountTarget, self.index)?;
                    straight()
                }
                other => other,
            }
            .at(Step::MountTarget, self.index);
        }
        resolve::open_or_create(root, path, missing).at(Step::MountTarget, self.index)
    }

    /// Links of the image may have led into procfs, where only a few files may be covered, and
    /// onto /proc itself nothing goes but procfs (CVE-2019-16884, CVE-2025-52881).
    fn check_target(&self, target: BorrowedFd<'_>, tree: BorrowedFd<'_>) -> Result<(), Failure> {
        let at = |result: sys::Result<i64>| result.at(Step::MountTarget, self.index);
        let over_proc = self.mount.destination.as_bytes() == b"/proc";
        let covers_proc = at(fd::fs_magic(target))? == fd::PROC_SUPER_MAGIC;
        if !over_proc && (!covers_proc || may_cover(&self.mount.destination)) {
            return Ok(());
        }
        if over_proc && at(fd::fs_magic(tree))? == fd::PROC_SUPER_MAGIC {
            return Ok(());
        }
        Err(Failure::new(Step::MountTarget, self.index as u32, Errno::EPERM))
    }

    fn link(&self, root: BorrowedFd<'_>, target: &CStr) -> Result<(), Failure> {
        let (dir, name) = resolve::open_parent(root, self.mount.destination.as_c_str())
            .at(Step::MountTarget, self.index)?;
        match fd::symlinkat(target, dir.as_fd(), name) {
            Err(Errno::EEXIST) => Ok(()),
            other => other.at(Step::MountTarget, self.index),
        }
    }
}

/// Deepest tree that is copied: more would not fit init's stack.
const MAX_DEPTH: u32 = 64;

/// Copies a directory of the image into a fresh tmpfs. `from` may be an `O_PATH` descriptor.
fn copy_up(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> sys::Result<()> {
    let stat = fd::fstat(from)?;
    let from = open_dir(from, c".")?;
    let to = open_dir(to, c".")?;
    adopt(&to, &stat)?;
    copy_tree(from.as_fd(), to.as_fd(), 0)
}

fn open_dir(dir: BorrowedFd<'_>, name: &CStr) -> sys::Result<OwnedFd> {
    fd::openat(dir, name, fd::O_RDONLY | fd::O_DIRECTORY | fd::O_NOFOLLOW, 0)
}

fn adopt(copy: &OwnedFd, stat: &fd::Stat) -> sys::Result<()> {
    fd::fchown(copy.as_fd(), stat.uid, stat.gid)?;
    fd::fchmod(copy.as_fd(), stat.mode & 0o7777)
}

/// Apart from its caller, whose frame is on the stack once for each level of the tree.
#[inline(never)]
fn copy_link(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    name: &CStr,
    stat: &fd::Stat,
) -> sys::Result<()> {
    let mut buf = [0; 4096];
    let target = PathBuffer::join(&[fd::readlinkat(from, name, &mut buf)?])?;
    fd::symlinkat(target.as_c_str(), to, name)?;
    fd::lchown_at(to, name, stat.uid, stat.gid)
}

fn copy_tree(from: BorrowedFd<'_>, to: BorrowedFd<'_>, depth: u32) -> sys::Result<()> {
    if depth > MAX_DEPTH {
        return Err(Errno::ELOOP);
    }
    let mut entries = [0; 2048];
    fd::for_each_entry(from, &mut entries, |entry| {
        let stat = fd::lstat_at(from, entry.name)?;
        match stat.kind() {
            fd::S_IFDIR => {
                fd::mkdirat(to, entry.name, 0o700)?;
                let (inner, copy) = (open_dir(from, entry.name)?, open_dir(to, entry.name)?);
                adopt(&copy, &stat)?;
                copy_tree(inner.as_fd(), copy.as_fd(), depth + 1)
            }
            fd::S_IFREG => {
                let flags = fd::O_WRONLY | fd::O_CREAT | fd::O_EXCL;
                // Without blocking: the image could exchange it for a FIFO meanwhile.
                let read = fd::O_RDONLY | fd::O_NOFOLLOW | fd::O_NONBLOCK;
                let source = fd::openat(from, entry.name, read, 0)?;
                if fd::fstat(source.as_fd())?.kind() != fd::S_IFREG {
                    return Err(Errno::ESTALE);
                }
                let copy = fd::openat(to, entry.name, flags, 0o600)?;
                fd::copy(source.as_fd(), copy.as_fd())?;
                adopt(&copy, &stat)
            }
            fd::S_IFLNK => copy_link(from, to, entry.name, &stat),
            _ => {
                fd::mknodat(to, entry.name, stat.mode, stat.rdev)?;
                fd::lchown_at(to, entry.name, stat.uid, stat.gid)
            }
        }
    })
}
