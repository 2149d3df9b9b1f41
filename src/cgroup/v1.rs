//! Cgroups in the legacy hierarchies, and on a hybrid host in the unified one beside them.
//!
//! The crate cgroups-rs inherits cpusets, keeps device lists and freezes; directories, limits and
//! processes go through the same code as in the unified hierarchy, for the sake of its errors.

use super::apply::{Files, apply, apply_or_undo};
use super::events::{Waited, poll_until};
use super::oom::Watch;
use super::stats::{self, Stats};
use super::tree::{Found, Tree, is_busy, kill_each};
use super::v2::Unified;
use super::{
    CgroupRecord, DirRecord, Error, LegacyRecord, Placement, Prepared, devices, huge_page_sizes,
};
use crate::plan::cgroup::path::CgroupPath;
use crate::plan::cgroup::{CgroupPlan, Change, Devices, LegacyDir, Need, Present};
use crate::plan::device_filter::{self, Access, Exceptions, Kind, Rule};
use crate::sys::Errno;
use cgroups_rs::cgroup::Cgroup;
use cgroups_rs::cpuset::CpuSetController;
use cgroups_rs::devices::{DevicePermissions, DeviceType, DevicesController};
use cgroups_rs::freezer::{FreezerController, FreezerState};
use cgroups_rs::{DeviceResource, Hierarchy, Subsystem};
use std::collections::BTreeSet;
use std::error::Error as _;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// A container's cgroups on a host with legacy hierarchies.
#[derive(Debug)]
pub(super) struct Legacy {
    dirs: Vec<Dir>,
    unified: Option<Unified>,
}

/// A container's cgroup in one legacy hierarchy.
#[derive(Debug)]
struct Dir {
    controllers: Vec<String>,
    tree: Tree,
}

impl Dir {
    fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|name| name == controller)
    }
}

/// The open directories of a container's cgroups.
struct OpenDirs<'a>(Vec<(&'a Dir, OwnedFd, PathBuf)>);

impl Files for OpenDirs<'_> {
    fn dir(&self, controller: &str) -> Option<(BorrowedFd<'_>, &Path)> {
        let (_, fd, path) = self.0.iter().find(|(dir, _, _)| dir.has(controller))?;
        Some((fd.as_fd(), path))
    }
}

/// The cpuset hierarchy alone, as cgroups-rs wants to see it.
#[derive(Debug)]
struct CpusetHierarchy(PathBuf);

impl Hierarchy for CpusetHierarchy {
    fn subsystems(&self) -> Vec<Subsystem> {
        vec![Subsystem::CpuSet(CpuSetController::new(self.0.clone(), false))]
    }

    fn root(&self) -> PathBuf {
        self.0.clone()
    }

    fn root_control_group(&self) -> Cgroup {
        Cgroup::load(Box::new(Self(self.0.clone())), "")
    }

    fn parent_control_group(&self, path: &str) -> Cgroup {
        let parent = Path::new(path).parent().unwrap_or(Path::new(""));
        Cgroup::load(Box::new(Self(self.0.clone())), parent)
    }

    fn v2(&self) -> bool {
        false
    }
}

impl Legacy {
    pub(super) fn survey(
        dirs: &[LegacyDir],
        unified: Option<&(PathBuf, CgroupPath)>,
    ) -> Result<Self, Error> {
        let dirs = dirs
            .iter()
            .map(|dir| {
                let (tree, found) = Tree::survey(&dir.mount, &dir.path)?;
                let dir = Dir { controllers: dir.controllers.clone(), tree };
                if found == Found::Empty && dir.has("freezer") && is_frozen(&dir)? {
                    return Err(Error::Frozen { path: dir.tree.path() });
                }
                Ok(dir)
            })
            .collect::<Result<_, Error>>()?;
        let unified = unified.map(|(mount, path)| Unified::survey(mount, path)).transpose()?;
        Ok(Self { dirs, unified })
    }

    pub(super) fn new(dirs: Vec<LegacyRecord>, unified: Option<DirRecord>) -> Self {
        let dirs = dirs
            .into_iter()
            .map(|record| Dir {
                controllers: record.controllers,
                tree: Tree { record: record.dir },
            })
            .collect();
        Self { dirs, unified: unified.map(Unified::new) }
    }

    pub(super) fn record(&self) -> CgroupRecord {
        let dirs = self.dirs.iter().map(|dir| LegacyRecord {
            controllers: dir.controllers.clone(),
            dir: dir.tree.record.clone(),
        });
        CgroupRecord::Legacy {
            dirs: dirs.collect(),
            unified: self.unified.as_ref().map(|unified| unified.record().clone()),
        }
    }

    fn path(&self) -> PathBuf {
        self.dirs.first().map(|dir| dir.tree.path()).unwrap_or_default()
    }

    fn dir_of(&self, controller: &str) -> Option<&Dir> {
        self.dirs.iter().find(|dir| dir.has(controller))
    }

    pub(super) fn prepare(&self, plan: Option<&CgroupPlan>) -> Result<Prepared, Error> {
        let mut made = Vec::new();
        let mut born = None;
        let result = self.make(plan, &mut made, &mut born);
        match result {
            Ok(()) => {
                let birth = born.map(|(dir, _)| dir);
                let claims = made.into_iter().map(|(_, claim, _)| claim).collect();
                Ok(Prepared { _claims: claims, ..Prepared::new(birth, Placement::AfterClone) })
            }
            Err(error) => {
                for (dir, _, found) in &made {
                    if *found == Found::Nothing {
                        unmake(dir);
                    }
                }
                if let (Some(unified), Some((_, found))) = (&self.unified, born) {
                    unified.unmake(found);
                }
                Err(error)
            }
        }
    }

    /// All in the same order, so that of two that want the same cgroup one is first everywhere.
    fn make<'a>(
        &'a self,
        plan: Option<&CgroupPlan>,
        made: &mut Vec<(&'a Dir, OwnedFd, Found)>,
        born: &mut Option<(OwnedFd, Found)>,
    ) -> Result<(), Error> {
        for dir in &self.dirs {
            let root = dir.tree.open_mount()?;
            let (claim, found) = dir.tree.make(root.as_fd()).inspect_err(|_| {
                dir.tree.remove_ancestors(root.as_fd());
            })?;
            made.push((dir, claim, found));
            if dir.has("cpuset") {
                inherit_cpuset(&dir.tree.record);
            }
        }
        if let Some(unified) = &self.unified {
            *born = Some(unified.make()?);
        }
        let Some(plan) = plan else { return Ok(()) };
        apply(&self.open()?, &plan.legacy)?;
        if let (Some(unified), Some((dir, _))) = (&self.unified, born.as_ref()) {
            unified.limit(dir.as_fd(), &plan.controllers, &plan.unified)?;
        }
        self.restrict(&plan.devices, born.as_ref().map(|(dir, _)| dir.as_fd()))
    }

    fn open<'a>(&'a self) -> Result<OpenDirs<'a>, Error> {
        let open = |dir: &'a Dir| Ok((dir, dir.tree.require()?, dir.tree.path()));
        self.dirs.iter().map(open).collect::<Result<_, Error>>().map(OpenDirs)
    }

    /// Device rules by the devices hierarchy, else by a program in the unified one.
    fn restrict(&self, rules: &Devices, unified: Option<BorrowedFd<'_>>) -> Result<(), Error> {
        if let Some(dir) = self.dir_of("devices") {
            return restrict(dir, &rules.rules);
        }
        match (unified, &self.unified) {
            (Some(fd), Some(unified)) => devices::attach(fd, &unified.path(), rules),
            _ if rules.need == Need::IfPermitted => Ok(()),
            _ => Err(Error::Filter { action: "find", path: self.path(), errno: Errno::ENOENT }),
        }
    }

    pub(super) fn place(&self, pid: i32) -> Result<(), Error> {
        for dir in &self.dirs {
            let fd = dir.tree.require()?;
            dir.tree.place(fd.as_fd(), pid)?;
        }
        match &self.unified {
            Some(unified) => unified.place(pid),
            None => Ok(()),
        }
    }

    pub(super) fn pids(&self) -> Result<Vec<i32>, Error> {
        let mut pids = BTreeSet::new();
        for dir in &self.dirs {
            if let Some(fd) = dir.tree.open()? {
                pids.extend(dir.tree.pids(fd.as_fd())?);
            }
        }
        if let Some(unified) = &self.unified {
            pids.extend(unified.pids()?);
        }
        Ok(pids.into_iter().collect())
    }

    /// Killed in the unified hierarchy at one stroke where there is one; what is left is stopped
    /// and killed one by one, so that nothing forks away.
    pub(super) fn kill_all(&self, deadline: Instant) -> Result<(), Error> {
        if self.pids()?.is_empty() {
            return Ok(());
        }
        self.let_go();
        if let Some(unified) = &self.unified {
            unified.kill_all(deadline)?;
        }
        let waited = poll_until(deadline, || self.kill_round().map(|count| count == 0))?;
        if waited == Waited::Reached {
            return Ok(());
        }
        for dir in &self.dirs {
            if let Some(fd) = dir.tree.open()?
                && !dir.tree.pids(fd.as_fd())?.is_empty()
            {
                return Err(dir.tree.survivors(fd.as_fd()));
            }
        }
        Ok(())
    }

    /// A frozen process does not die.
    fn let_go(&self) {
        if let Some(dir) = self.dir_of("freezer") {
            let _ = freezer(dir).thaw();
        }
    }

    fn kill_round(&self) -> Result<usize, Error> {
        let mut count = 0;
        for dir in &self.dirs {
            let Some(fd) = dir.tree.open()? else { continue };
            if dir.tree.pids(fd.as_fd())?.is_empty() {
                continue;
            }
            if let Some(dir) = self.dir_of("freezer") {
                let _ = freezer(dir).freeze();
            }
            let killed = kill_each(fd.as_fd());
            self.let_go();
            count += killed.map_err(|errno| Error::Read { path: dir.tree.path(), errno })?;
        }
        Ok(count)
    }

    pub(super) fn remove(&self, deadline: Instant) -> Result<(), Error> {
        for dir in &self.dirs {
            self.remove_from(&dir.tree, deadline)?;
        }
        match &self.unified {
            Some(unified) => unified.remove(deadline),
            None => Ok(()),
        }
    }

    fn remove_from(&self, tree: &Tree, deadline: Instant) -> Result<(), Error> {
        let root = match tree.open_mount() {
            Ok(root) => root,
            Err(Error::Open { errno: Errno::ENOENT, .. }) => return Ok(()),
            Err(error) => return Err(error),
        };
        match tree.try_remove(root.as_fd()) {
            Ok(()) => {}
            Err(errno) if is_busy(errno) => {
                self.kill_all(deadline)?;
                if let Some(dir) = tree.open()? {
                    tree.remove_whole(root.as_fd(), dir.as_fd(), deadline)?;
                }
            }
            Err(errno) => return Err(Error::Remove { path: tree.path(), errno }),
        }
        tree.remove_ancestors(root.as_fd());
        Ok(())
    }

    pub(super) fn freeze(&self, deadline: Instant) -> Result<(), Error> {
        let Some(dir) = self.dir_of("freezer") else {
            return self.unified_for("freeze")?.freeze(deadline);
        };
        dir.tree.require()?;
        let frozen = freezer(dir).freeze().map_err(|error| freezer_error(dir, "FROZEN", &error));
        let waited = frozen.and_then(|()| poll_until(deadline, || is_frozen(dir)));
        if matches!(waited, Ok(Waited::Reached)) {
            return Ok(());
        }
        self.let_go();
        waited?;
        Err(Error::Late { action: "freeze", path: dir.tree.path() })
    }

    pub(super) fn thaw(&self, deadline: Instant) -> Result<(), Error> {
        let Some(dir) = self.dir_of("freezer") else {
            return self.unified_for("thaw")?.thaw(deadline);
        };
        dir.tree.require()?;
        freezer(dir).thaw().map_err(|error| freezer_error(dir, "THAWED", &error))?;
        match poll_until(deadline, || is_thawed(dir))? {
            Waited::Reached => Ok(()),
            Waited::Late => Err(Error::Late { action: "thaw", path: dir.tree.path() }),
        }
    }

    fn unified_for(&self, action: &'static str) -> Result<&Unified, Error> {
        self.unified.as_ref().ok_or_else(|| Error::NoFreezer { action, path: self.path() })
    }

    pub(super) fn is_frozen(&self) -> Result<bool, Error> {
        match (self.dir_of("freezer"), &self.unified) {
            (Some(dir), _) => match dir.tree.open()? {
                Some(_) => is_thawed(dir).map(|thawed| !thawed),
                None => Ok(false),
            },
            (None, Some(unified)) => unified.is_frozen(),
            (None, None) => Ok(false),
        }
    }

    pub(super) fn update(&self, change: &Change) -> Result<(), Error> {
        let devices = || match &change.devices {
            Some(rules) => self.set_devices(rules),
            None => Ok(()),
        };
        let legacy = || apply_or_undo(&self.open()?, &change.tables.legacy, devices);
        match &self.unified {
            Some(unified) => unified.update_with(&change.tables.unified, legacy),
            None => legacy(),
        }
    }

    pub(super) fn present(&self) -> Result<Present, Error> {
        match &self.unified {
            Some(unified) => unified.present(),
            None => Ok(Present::default()),
        }
    }

    /// Each group of counters from the hierarchy that has its controller.
    pub(super) fn stats(&self) -> Result<Stats, Error> {
        let sizes = huge_page_sizes();
        let mut stats = stats::legacy(&self.open()?, &sizes)?;
        let Some(unified) = &self.unified else { return Ok(stats) };
        let other = unified.stats()?;
        // Pressure is counted in the unified hierarchy alone, for whatever is in it.
        stats.cpu.psi = other.cpu.psi;
        stats.memory.psi = other.memory.psi;
        stats.blkio.psi = other.blkio.psi;
        let has = |name| self.dir_of(name).is_some();
        if !has("cpuacct") && !has("cpu") {
            stats.cpu = other.cpu;
        }
        if !has("cpuset") {
            stats.cpuset = other.cpuset;
        }
        if !has("memory") {
            stats.memory = other.memory;
        }
        if !has("pids") {
            stats.pids = other.pids;
        }
        if !has("blkio") {
            stats.blkio = other.blkio;
        }
        if !has("hugetlb") {
            stats.hugetlb = other.hugetlb;
        }
        Ok(stats)
    }

    pub(super) fn watch(&self) -> Result<Option<Watch>, Error> {
        match (self.dir_of("memory"), &self.unified) {
            (Some(dir), _) => {
                Watch::legacy(dir.tree.require()?.as_fd(), &dir.tree.path()).map(Some)
            }
            (None, Some(unified)) => unified.watch(),
            (None, None) => Ok(None),
        }
    }

    pub(super) fn set_devices(&self, rules: &Devices) -> Result<(), Error> {
        match (self.dir_of("devices"), &self.unified) {
            (Some(dir), _) => replace(dir, &rules.rules),
            (None, Some(unified)) => unified.set_devices(rules),
            (None, None) => self.restrict(rules, None),
        }
    }
}

fn unmake(dir: &Dir) {
    let Ok(root) = dir.tree.open_mount() else { return };
    if dir.tree.try_remove(root.as_fd()).is_ok() {
        dir.tree.remove_ancestors(root.as_fd());
    }
}

/// A new cpuset is empty, and so useless, until it has what its nearest ancestor with any has.
/// A failure shows when the process is placed.
fn inherit_cpuset(record: &DirRecord) {
    let hierarchy = Box::new(CpusetHierarchy(record.mount.clone()));
    let cgroup = Cgroup::load(hierarchy, record.path.as_str());
    for subsystem in cgroup.subsystems() {
        subsystem.to_controller().create();
    }
}

fn errno_of(error: &cgroups_rs::error::Error) -> Errno {
    error
        .source()
        .and_then(|cause| cause.downcast_ref::<std::io::Error>())
        .and_then(std::io::Error::raw_os_error)
        .map_or(Errno::EIO, Errno::from_raw)
}

fn freezer(dir: &Dir) -> FreezerController {
    FreezerController::new(dir.tree.path(), false)
}

fn freezer_error(dir: &Dir, value: &str, error: &cgroups_rs::error::Error) -> Error {
    Error::Control {
        path: dir.tree.path().join("freezer.state"),
        value: value.to_owned(),
        errno: errno_of(error),
    }
}

fn freezer_state(dir: &Dir) -> Result<FreezerState, Error> {
    freezer(dir).state().map_err(|error| Error::Read {
        path: dir.tree.path().join("freezer.state"),
        errno: errno_of(&error),
    })
}

fn is_frozen(dir: &Dir) -> Result<bool, Error> {
    Ok(matches!(freezer_state(dir)?, FreezerState::Frozen))
}

fn is_thawed(dir: &Dir) -> Result<bool, Error> {
    Ok(matches!(freezer_state(dir)?, FreezerState::Thawed))
}

/// Puts rules in the place of others; when one is refused, the others are in force again.
fn replace(dir: &Dir, rules: &[Rule]) -> Result<(), Error> {
    let old = present_rules(dir)?;
    let Err(cause) = restrict(dir, rules) else { return Ok(()) };
    match enforce(dir, &old) {
        Ok(()) => Err(cause),
        Err(error) => Err(Error::NotUndone { cause: Box::new(cause), left: vec![error] }),
    }
}

/// What devices.list says. It does not show the exceptions from a list that allows everything.
fn present_rules(dir: &Dir) -> Result<Exceptions, Error> {
    let fd = dir.tree.require()?;
    if dir.tree.read(fd.as_fd(), c"devices.list")?.trim() == "a *:* rwm" {
        return Ok(Exceptions { allow: true, list: Vec::new() });
    }
    let list = allowed(dir, &DevicesController::new(dir.tree.path()))?;
    Ok(Exceptions { allow: false, list })
}

fn restrict(dir: &Dir, rules: &[Rule]) -> Result<(), Error> {
    enforce(dir, &device_filter::exceptions(rules)?)
}

fn allowed(dir: &Dir, controller: &DevicesController) -> Result<Vec<Rule>, Error> {
    let devices = controller.allowed_devices().map_err(|error| Error::Read {
        path: dir.tree.path().join("devices.list"),
        errno: errno_of(&error),
    })?;
    Ok(devices.iter().map(rule_of).collect())
}

/// Writes the rules in the form that the kernel keeps them. A list of what is allowed is changed
/// entry by entry, so that a running container never loses what it keeps.
fn enforce(dir: &Dir, target: &Exceptions) -> Result<(), Error> {
    let fd = dir.tree.require()?;
    let controller = DevicesController::new(dir.tree.path());
    let list = dir.tree.read(fd.as_fd(), c"devices.list")?;
    let open = list.trim() == "a *:* rwm";
    if open || target.allow {
        let all = Rule {
            allow: target.allow,
            kind: Kind::Any,
            major: None,
            minor: None,
            access: Access::ALL,
        };
        write_rule(dir, &controller, &all)?;
    } else {
        for old in allowed(dir, &controller)? {
            withdraw(dir, &controller, &old, &target.list)?;
        }
    }
    target.list.iter().try_for_each(|rule| write_rule(dir, &controller, rule))
}

/// Denies what `old` allows and no rule of `kept` for the same devices does.
fn withdraw(
    dir: &Dir,
    controller: &DevicesController,
    old: &Rule,
    kept: &[Rule],
) -> Result<(), Error> {
    let same =
        |rule: &&Rule| (rule.kind, rule.major, rule.minor) == (old.kind, old.major, old.minor);
    let stays = kept.iter().find(same).map_or(Access::from_bits(0), |rule| rule.access);
    let access = old.access & !stays;
    if access.is_empty() {
        return Ok(());
    }
    write_rule(dir, controller, &Rule { allow: false, access, ..*old })
}

fn rule_of(device: &DeviceResource) -> Rule {
    let number = |n: i64| u32::try_from(n).ok();
    let access = device.access.iter().map(|one| match one {
        DevicePermissions::Read => Access::READ,
        DevicePermissions::Write => Access::WRITE,
        DevicePermissions::MkNod => Access::MKNOD,
    });
    Rule {
        allow: true,
        kind: match device.devtype {
            DeviceType::All => Kind::Any,
            DeviceType::Block => Kind::Block,
            DeviceType::Char => Kind::Char,
        },
        major: number(device.major),
        minor: number(device.minor),
        access: access.fold(Access::from_bits(0), |all, one| all | one),
    }
}

fn write_rule(dir: &Dir, controller: &DevicesController, rule: &Rule) -> Result<(), Error> {
    let kind = match rule.kind {
        Kind::Any => DeviceType::All,
        Kind::Block => DeviceType::Block,
        Kind::Char => DeviceType::Char,
    };
    let letters = [
        (Access::READ, DevicePermissions::Read),
        (Access::WRITE, DevicePermissions::Write),
        (Access::MKNOD, DevicePermissions::MkNod),
    ];
    let access: Vec<_> = letters
        .into_iter()
        .filter(|(one, _)| !(rule.access & *one).is_empty())
        .map(|(_, letter)| letter)
        .collect();
    let number = |n: Option<u32>| n.map_or(-1, i64::from);
    let (major, minor) = (number(rule.major), number(rule.minor));
    let (file, written) = if rule.allow {
        ("devices.allow", controller.allow_device(kind, major, minor, &access))
    } else {
        ("devices.deny", controller.deny_device(kind, major, minor, &access))
    };
    written.map_err(|error| Error::Control {
        path: dir.tree.path().join(file),
        value: rule.to_string(),
        errno: errno_of(&error),
    })
}
