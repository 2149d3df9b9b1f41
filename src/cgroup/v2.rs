//! A cgroup in the unified hierarchy.

use super::apply::{OneDir, apply, apply_or_undo, check_all, undoing};
use super::events::{Waited, poll_until, wait};
use super::oom::Watch;
use super::stats::{self, Stats};
use super::tree::{Found, Tree, is_busy, kill_each, read_file, read_value, write_file};
use super::{
    DirRecord, Error, Hint, Placement, Prepared, Rules, delegation, devices, huge_page_sizes,
};
use crate::plan::cgroup::path::{CgroupPath, c_string};
use crate::plan::cgroup::{CgroupPlan, Devices, Present, Write};
use crate::sys::{Errno, errno_of, fd};
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How soon the processes of a cgroup are looked at that does not become empty; later ones have
/// twice as long each.
const FIRST_LOOK: Duration = Duration::from_millis(50);

/// A container's cgroup in the unified hierarchy.
#[derive(Debug)]
pub(super) struct Unified {
    tree: Tree,
}

/// The controllers that are asked for, and whether each must be had.
#[derive(Debug)]
struct Wanted<'a> {
    all: Vec<&'a str>,
    writes: &'a [Write],
}

impl<'a> Wanted<'a> {
    fn new(available: &'a [String], writes: &'a [Write]) -> Self {
        let mut all: Vec<&str> = available.iter().map(String::as_str).collect();
        for write in writes {
            let name = write.controller.as_ref();
            if name != "cgroup" && !all.contains(&name) {
                all.push(name);
            }
        }
        Self { all, writes }
    }

    /// The first write that needs the controller.
    fn need(&self, controller: &str) -> Option<&'a Write> {
        self.writes.iter().find(|write| write.controller == controller)
    }
}

/// What a level of the hierarchy refused to hand down.
#[derive(Debug)]
struct Lost<'a> {
    controller: &'a str,
    level: usize,
    hint: Hint,
}

impl Unified {
    pub(super) fn survey(mount: &Path, path: &CgroupPath) -> Result<Self, Error> {
        Ok(Self { tree: Tree::survey(mount, path)?.0 })
    }

    pub(super) fn new(record: DirRecord) -> Self {
        Self { tree: Tree { record } }
    }

    pub(super) fn record(&self) -> &DirRecord {
        &self.tree.record
    }

    pub(super) fn is_frozen(&self) -> Result<bool, Error> {
        is_frozen(&self.record().mount, self.record().path.as_str())
    }

    #[cfg(feature = "cgroup-v1")]
    pub(super) fn path(&self) -> PathBuf {
        self.tree.path()
    }

    /// The cgroup's directory.
    pub(super) fn require(&self) -> Result<OwnedFd, Error> {
        self.tree.require()
    }

    pub(super) fn prepare(&self, plan: Option<&CgroupPlan>) -> Result<Prepared, Error> {
        let (dir, found) = self.make()?;
        let Some(plan) = plan else { return Ok(born(dir)) };
        self.fill(dir, plan).inspect_err(|_| self.unmake(found))
    }

    /// Controllers and limits; device rules where the process does not wait for them.
    fn fill(&self, dir: OwnedFd, plan: &CgroupPlan) -> Result<Prepared, Error> {
        self.furnish_without_rules(dir.as_fd(), plan)?;
        if admits_none(&plan.unified) {
            self.enforce(dir.as_fd(), plan)?;
            return Ok(Prepared::new(None, Placement::AfterClone));
        }
        Ok(Prepared { rules: Rules::Due, ..born(dir) })
    }

    /// Makes the cgroup alone.
    pub(super) fn make(&self) -> Result<(OwnedFd, Found), Error> {
        let root = self.tree.open_mount()?;
        let made = self.tree.make(root.as_fd());
        if made.is_err() {
            self.tree.remove_ancestors(root.as_fd());
        }
        made
    }

    /// Takes back [`Unified::make`], on the way of an error that matters more.
    pub(super) fn unmake(&self, found: Found) {
        let Ok(root) = self.tree.open_mount() else { return };
        if found == Found::Nothing && self.tree.try_remove(root.as_fd()).is_ok() {
            self.tree.remove_ancestors(root.as_fd());
        }
    }

    /// Controllers, limits, the owner and device rules.
    pub(super) fn furnish(&self, dir: BorrowedFd<'_>, plan: &CgroupPlan) -> Result<(), Error> {
        self.furnish_without_rules(dir, plan)?;
        self.enforce(dir, plan)
    }

    /// Device rules alone.
    pub(super) fn enforce(&self, dir: BorrowedFd<'_>, plan: &CgroupPlan) -> Result<(), Error> {
        devices::attach(dir, &self.tree.path(), &plan.devices)
    }

    fn furnish_without_rules(&self, dir: BorrowedFd<'_>, plan: &CgroupPlan) -> Result<(), Error> {
        self.limit(dir, &plan.controllers, &plan.unified)?;
        match plan.owner {
            Some(owner) => delegation::hand_over(dir, &self.tree.path(), owner),
            None => Ok(()),
        }
    }

    /// Controllers and limits.
    pub(super) fn limit(
        &self,
        dir: BorrowedFd<'_>,
        available: &[String],
        writes: &[Write],
    ) -> Result<(), Error> {
        self.enable(dir, &Wanted::new(available, writes))?;
        apply(&OneDir { fd: dir, path: &self.tree.path() }, writes)
    }

    /// Sees to it that the cgroup has the wanted controllers: one look at the cgroup when it has
    /// them, else one look and at most one write per ancestor.
    fn enable(&self, dir: BorrowedFd<'_>, wanted: &Wanted<'_>) -> Result<(), Error> {
        let has = self.tree.read_value(dir, c"cgroup.controllers")?;
        if wanted.all.iter().all(|name| lists(&has, name)) {
            return Ok(());
        }
        let lost = self.hand_down(wanted)?;
        for Lost { controller, level, hint } in lost {
            if let Some(write) = wanted.need(controller) {
                return Err(Error::NoController {
                    pointer: write.pointer.clone(),
                    controller: controller.to_owned(),
                    path: self.ancestor(level),
                    hint,
                });
            }
        }
        Ok(())
    }

    /// The ancestor `level` components below the mount point.
    fn ancestor(&self, level: usize) -> PathBuf {
        let parts = self.tree.record.path.components().take(level);
        parts.fold(self.tree.record.mount.clone(), |path, part| path.join(part))
    }

    /// Enables the wanted controllers for the children of each ancestor, from the top.
    fn hand_down<'a>(&self, wanted: &Wanted<'a>) -> Result<Vec<Lost<'a>>, Error> {
        let root = self.tree.open_mount()?;
        let depth = self.tree.record.path.components().count();
        let parts: Vec<&str> = self.tree.record.path.components().collect();
        let mut names = wanted.all.clone();
        let mut lost = Vec::new();
        for level in 0..depth {
            let opened;
            let dir = if level == 0 {
                root.as_fd()
            } else {
                let flags = fd::O_PATH | fd::O_DIRECTORY;
                opened = fd::openat(root.as_fd(), &c_string(&parts[..level].join("/")), flags, 0)
                    .map_err(|errno| Error::Open { path: self.ancestor(level), errno })?;
                opened.as_fd()
            };
            let refused = hand_down_from(dir, &names)
                .map_err(|errno| Error::Read { path: self.ancestor(level), errno })?;
            names.retain(|name| !refused.iter().any(|(other, _)| other == name));
            lost.extend(refused.into_iter().map(|(controller, errno)| Lost {
                controller,
                level,
                hint: Hint::of_enable(errno),
            }));
        }
        Ok(lost)
    }

    /// The cgroup of a process, when it lies below this one, and its path.
    pub(super) fn of_member(&self, pid: i32) -> Result<Option<(OwnedFd, PathBuf)>, Error> {
        let path = PathBuf::from(format!("/proc/{pid}/cgroup"));
        let text = std::fs::read_to_string(&path)
            .map_err(|error| Error::Read { path, errno: errno_of(&error) })?;
        let line = text.lines().find_map(|line| line.strip_prefix("0::/"));
        let Some(place) = line.and_then(|line| CgroupPath::new(Path::new(line)).ok()) else {
            return Ok(None);
        };
        // A process can be moved anywhere by whoever may write there; only what lies below the
        // container's own cgroup has its limits.
        let below = Path::new(place.as_str()).starts_with(self.tree.record.path.as_str());
        if !below {
            return Ok(None);
        }
        let tree = Tree { record: DirRecord { path: place, ..self.tree.record.clone() } };
        Ok(Some((tree.require()?, tree.path())))
    }

    pub(super) fn place(&self, pid: i32) -> Result<(), Error> {
        let dir = self.tree.require()?;
        self.tree.place(dir.as_fd(), pid)
    }

    pub(super) fn kill_all(&self, deadline: Instant) -> Result<(), Error> {
        match self.tree.open()? {
            Some(dir) => self.kill_in(dir.as_fd(), deadline),
            None => Ok(()),
        }
    }

    fn kill_in(&self, dir: BorrowedFd<'_>, deadline: Instant) -> Result<(), Error> {
        // Most have ended by themselves, and to ask costs less than to kill nobody.
        if matches!(wait(dir, "populated", "0", Instant::now()), Ok(Waited::Reached)) {
            return Ok(());
        }
        match write_file(dir, c"cgroup.kill", "1") {
            Ok(()) => self.wait_empty(dir, deadline),
            // Either the cgroup is gone, or the kernel is older than 5.14.
            Err(Errno::ENOENT | Errno::ENODEV) => self.kill_one_by_one(dir, deadline),
            Err(errno) => Err(Error::Control {
                path: self.tree.path().join("cgroup.kill"),
                value: "1".to_owned(),
                errno,
            }),
        }
    }

    /// Waits until no process is left. Since Linux 6.19 `populated` also counts those that have
    /// ended as far as they can, such as the first process of a pid namespace in which nobody has
    /// reaped another one; they are in the way of nothing, and `cgroup.procs` does not list them.
    fn wait_empty(&self, dir: BorrowedFd<'_>, deadline: Instant) -> Result<(), Error> {
        let path = || self.tree.path().join("cgroup.events");
        let mut patience = FIRST_LOOK;
        loop {
            let next = deadline.min(Instant::now() + patience);
            match wait(dir, "populated", "0", next) {
                Ok(Waited::Reached) => return Ok(()),
                Ok(Waited::Late) if !self.tree.has_processes(dir)? => return Ok(()),
                Ok(Waited::Late) if next == deadline => return Err(self.tree.survivors(dir)),
                Ok(Waited::Late) => patience *= 2,
                Err(errno) => return Err(Error::Read { path: path(), errno }),
            }
        }
    }

    /// Processes that fork meanwhile are met in the next round; a frozen cgroup is let go so that
    /// its processes can die.
    fn kill_one_by_one(&self, dir: BorrowedFd<'_>, deadline: Instant) -> Result<(), Error> {
        let failed = |errno| Error::Read { path: self.tree.path().join("cgroup.procs"), errno };
        let _ = write_file(dir, c"cgroup.freeze", "0");
        let waited =
            poll_until(deadline, || kill_each(dir).map(|count| count == 0).map_err(failed))?;
        match waited {
            Waited::Reached => self.wait_empty(dir, deadline),
            Waited::Late => Err(self.tree.survivors(dir)),
        }
    }

    pub(super) fn remove(&self, deadline: Instant) -> Result<(), Error> {
        let root = match self.tree.open_mount() {
            Ok(root) => root,
            Err(Error::Open { errno: Errno::ENOENT, .. }) => return Ok(()),
            Err(error) => return Err(error),
        };
        match self.tree.try_remove(root.as_fd()) {
            Ok(()) => {}
            Err(errno) if is_busy(errno) => self.empty_and_remove(root.as_fd(), deadline)?,
            Err(errno) => return Err(Error::Remove { path: self.tree.path(), errno }),
        }
        self.tree.remove_ancestors(root.as_fd());
        Ok(())
    }

    fn empty_and_remove(&self, root: BorrowedFd<'_>, deadline: Instant) -> Result<(), Error> {
        let Some(dir) = self.tree.open()? else { return Ok(()) };
        self.kill_in(dir.as_fd(), deadline)?;
        self.tree.remove_whole(root, dir.as_fd(), deadline)
    }

    pub(super) fn freeze(&self, deadline: Instant) -> Result<(), Error> {
        let dir = self.tree.require()?;
        self.tree.control(dir.as_fd(), c"cgroup.freeze", "1")?;
        let waited = self.wait_frozen(dir.as_fd(), "1", deadline);
        if matches!(waited, Ok(Waited::Reached)) {
            return Ok(());
        }
        self.tree.control(dir.as_fd(), c"cgroup.freeze", "0")?;
        waited?;
        Err(Error::Late { action: "freeze", path: self.tree.path() })
    }

    pub(super) fn thaw(&self, deadline: Instant) -> Result<(), Error> {
        let dir = self.tree.require()?;
        self.tree.control(dir.as_fd(), c"cgroup.freeze", "0")?;
        match self.wait_frozen(dir.as_fd(), "0", deadline)? {
            Waited::Reached => Ok(()),
            Waited::Late => Err(Error::Late { action: "thaw", path: self.tree.path() }),
        }
    }

    fn wait_frozen(
        &self,
        dir: BorrowedFd<'_>,
        value: &str,
        deadline: Instant,
    ) -> Result<Waited, Error> {
        wait(dir, "frozen", value, deadline)
            .map_err(|errno| Error::Read { path: self.tree.path().join("cgroup.events"), errno })
    }

    pub(super) fn pids(&self) -> Result<Vec<i32>, Error> {
        match self.tree.open()? {
            Some(dir) => self.tree.pids(dir.as_fd()),
            None => Ok(Vec::new()),
        }
    }

    /// The writes that undo others, as the files are now.
    pub(super) fn undoing(&self, writes: &[Write]) -> Result<Vec<Write>, Error> {
        let dir = self.tree.require()?;
        Ok(undoing(&OneDir { fd: dir.as_fd(), path: &self.tree.path() }, writes))
    }

    /// Checks the conditions of writes that another will carry out.
    pub(super) fn check(&self, writes: &[Write]) -> Result<(), Error> {
        let dir = self.tree.require()?;
        check_all(&OneDir { fd: dir.as_fd(), path: &self.tree.path() }, writes)
    }

    /// Carries out writes that an earlier [`Unified::undoing`] gave.
    pub(super) fn undo(&self, writes: &[Write]) -> Result<(), Error> {
        let dir = self.tree.require()?;
        apply(&OneDir { fd: dir.as_fd(), path: &self.tree.path() }, writes)
    }

    pub(super) fn present(&self) -> Result<Present, Error> {
        let dir = self.tree.require()?;
        let read = |name: &CStr| match read_file(dir.as_fd(), name) {
            Ok(text) => Ok(Some(text)),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => {
                let path = self.tree.path().join(&*name.to_string_lossy());
                Err(Error::Read { path, errno })
            }
        };
        let number = |text: &str| if text == "max" { Some(-1) } else { text.parse().ok() };
        let cpu_max = read(c"cpu.max")?.and_then(|text| {
            let (quota, period) = text.trim().split_once(' ')?;
            Some((number(quota)?, period.parse().ok()?))
        });
        let memory_max = read(c"memory.max")?.and_then(|text| number(text.trim()));
        Ok(Present { cpu_max, memory_max })
    }

    pub(super) fn stats(&self) -> Result<Stats, Error> {
        let dir = self.tree.require()?;
        stats::unified(&OneDir { fd: dir.as_fd(), path: &self.tree.path() }, &huge_page_sizes())
    }

    /// Watches for OOM kills; `None` where the cgroup has no memory controller.
    pub(super) fn watch(&self) -> Result<Option<Watch>, Error> {
        let dir = self.tree.require()?;
        Watch::unified(dir.as_fd(), self.tree.path().join("memory.events"))
    }

    /// Changes limits and then does `rest`; when any of it fails, the limits are as before.
    pub(super) fn update_with(
        &self,
        writes: &[Write],
        rest: impl FnOnce() -> Result<(), Error>,
    ) -> Result<(), Error> {
        if writes.is_empty() {
            return rest();
        }
        let dir = self.tree.require()?;
        self.enable(dir.as_fd(), &Wanted::new(&[], writes))?;
        apply_or_undo(&OneDir { fd: dir.as_fd(), path: &self.tree.path() }, writes, rest)
    }

    pub(super) fn set_devices(&self, devices: &Devices) -> Result<(), Error> {
        let dir = self.tree.require()?;
        devices::replace(dir.as_fd(), &self.tree.path(), devices)
    }
}

fn born(dir: OwnedFd) -> Prepared {
    Prepared::new(Some(dir), Placement::Done)
}

/// Whether a cgroup itself was frozen. By its whole path, as every look at a container asks.
pub(super) fn is_frozen(mount: &Path, path: &str) -> Result<bool, Error> {
    let file = "cgroup.freeze";
    let top = mount.as_os_str().as_encoded_bytes();
    let parts = [top, b"/", path.as_bytes(), b"/", file.as_bytes()];
    let is_one = |path: &CStr| {
        let file = fd::openat(fd::cwd(), path, fd::O_RDONLY | fd::O_NOFOLLOW, 0)?;
        let mut value = [0; 8];
        fd::read(file.as_fd(), &mut value).map(|len| value[..len].starts_with(b"1"))
    };
    match fd::with_path(&parts, is_one) {
        Ok(frozen) => Ok(frozen),
        Err(Errno::ENOENT | Errno::ENODEV) => Ok(false),
        Err(errno) => Err(Error::Read { path: mount.join(path).join(file), errno }),
    }
}

/// Whether no process can be born in the cgroup; one can still be moved there.
fn admits_none(writes: &[Write]) -> bool {
    writes.iter().rfind(|write| write.file == "pids.max").is_some_and(|write| write.value == "0")
}

/// Whether a cgroup other than the root has processes. Some controllers could be enabled for its
/// children nevertheless, but then those would be invalid domains, in which no process can be.
fn holds_processes(dir: BorrowedFd<'_>) -> bool {
    read_value(dir, c"cgroup.type").is_ok()
        && read_file(dir, c"cgroup.procs").is_ok_and(|pids| !pids.is_empty())
}

fn lists(text: &str, name: &str) -> bool {
    text.split_ascii_whitespace().any(|other| other == name)
}

/// Enables controllers for the children of one cgroup, in one write where the kernel takes it.
/// Returns those that it refused.
fn hand_down_from<'a>(
    dir: BorrowedFd<'_>,
    names: &[&'a str],
) -> Result<Vec<(&'a str, Errno)>, Errno> {
    let enabled = read_value(dir, c"cgroup.subtree_control")?;
    let missing: Vec<&str> = names.iter().copied().filter(|name| !lists(&enabled, name)).collect();
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    if holds_processes(dir) {
        return Ok(missing.into_iter().map(|name| (name, Errno::EBUSY)).collect());
    }
    let all: Vec<String> = missing.iter().map(|name| format!("+{name}")).collect();
    if write_file(dir, c"cgroup.subtree_control", &all.join(" ")).is_ok() {
        return Ok(Vec::new());
    }
    // One refusal takes the others along, so each is tried for itself.
    Ok(missing
        .into_iter()
        .filter_map(|name| {
            let tried = write_file(dir, c"cgroup.subtree_control", &format!("+{name}"));
            tried.err().map(|errno| (name, errno))
        })
        .collect())
}

#[cfg(test)]
mod tests;
