//! Making, limiting, freezing, emptying and removing a container's cgroup.
//!
//! A [`Manager`] is made from a plan, or from the [`CgroupRecord`] of an earlier one: the record
//! alone is enough to find the container's processes, to end them and to remove what was made. It
//! is known before anything is made, so that a caller can put it on disk first.

mod apply;
mod below;
mod dbus;
mod delegation;
mod devices;
mod error;
mod events;
mod oom;
mod processes;
mod record;
pub mod stats;
mod systemd;
mod tree;
mod v2;

#[cfg(feature = "cgroup-v1")]
mod v1;

pub use below::Below;
pub use dbus::Error as BusError;
pub use error::{Error, Hint};
pub use oom::Watch;
pub use processes::Survivor;
pub use record::Glance;
pub use stats::Stats;
pub use systemd::ServiceManager;

use crate::plan::cgroup::path::CgroupPath;
use crate::plan::cgroup::scope::Bus;
use crate::plan::cgroup::{CgroupPlan, Change, Devices, Need, Place, Present};
use serde::{Deserialize, Serialize};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// What is needed to find a container's cgroup again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "manager", rename_all = "lowercase", try_from = "record::Members")]
pub enum CgroupRecord {
    /// The container has none.
    Disabled,
    /// One in the unified hierarchy.
    Unified(DirRecord),
    /// One in each legacy hierarchy, and on a hybrid host one in the unified hierarchy.
    Legacy {
        /// The legacy hierarchies.
        dirs: Vec<LegacyRecord>,
        /// The unified hierarchy.
        unified: Option<DirRecord>,
    },
    /// A systemd scope and its cgroup.
    Systemd {
        /// The unit's name.
        unit: String,
        /// The service manager.
        bus: Bus,
        /// The cgroup.
        #[serde(flatten)]
        dir: DirRecord,
    },
}

/// A cgroup in one hierarchy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirRecord {
    /// Where the hierarchy is mounted.
    pub mount: PathBuf,
    /// The cgroup below the mount.
    pub path: CgroupPath,
    /// How many leading components of the path were there before: they are not removed.
    pub kept: usize,
}

/// A cgroup in one legacy hierarchy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LegacyRecord {
    /// The controllers of the hierarchy, or `name=NAME`.
    pub controllers: Vec<String>,
    /// The cgroup.
    #[serde(flatten)]
    pub dir: DirRecord,
}

/// A cgroup that is ready for a container's first process.
#[derive(Debug)]
pub struct Prepared {
    /// The directory in the unified hierarchy, for `CLONE_INTO_CGROUP`.
    pub birth: Option<OwnedFd>,
    /// Whether the process has to be placed as well.
    pub placement: Placement,
    /// Whether device rules are in force.
    pub rules: Rules,
    /// The locked directories in other hierarchies: as long as they are open, nobody else makes a
    /// container there (CG-4).
    _claims: Vec<OwnedFd>,
}

impl Prepared {
    /// One that needs no rules.
    fn new(birth: Option<OwnedFd>, placement: Placement) -> Self {
        Self { birth, placement, rules: Rules::Done, _claims: Vec::new() }
    }

    /// Whether a process that was born in [`Prepared::birth`] needs no [`Manager::place`].
    pub fn is_placed(&self) -> bool {
        self.placement == Placement::Done
    }
}

/// Whether the device rules of a cgroup are in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rules {
    /// Yes, or they will be with [`Manager::place`], or there are none.
    Done,
    /// Not before [`Manager::enforce`].
    Due,
}

/// Whether a process that was born in [`Prepared::birth`] is where it belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// Yes.
    Done,
    /// Not before [`Manager::place`].
    AfterClone,
}

/// A container's cgroup, wherever it lies.
#[derive(Debug)]
pub struct Manager {
    kind: Kind,
    plan: Option<CgroupPlan>,
}

#[derive(Debug)]
enum Kind {
    Disabled,
    Unified(v2::Unified),
    Scope(systemd::Unit),
    #[cfg(feature = "cgroup-v1")]
    Legacy(v1::Legacy),
}

impl Manager {
    /// Looks at the place that a plan names, and makes nothing.
    ///
    /// # Errors
    /// The cgroup is there already and holds processes, child cgroups or is frozen; the hierarchy
    /// cannot be read; the build lacks the manager.
    pub fn from_plan(plan: CgroupPlan) -> Result<Self, Error> {
        let kind = match &plan.place {
            Place::Disabled => Kind::Disabled,
            Place::Unified { mount, path } => Kind::Unified(v2::Unified::survey(mount, path)?),
            #[cfg(feature = "cgroup-v1")]
            Place::Legacy { dirs, unified } => {
                Kind::Legacy(v1::Legacy::survey(dirs, unified.as_ref())?)
            }
            #[cfg(not(feature = "cgroup-v1"))]
            Place::Legacy { .. } => return Err(Error::NotBuilt { manager: "cgroup-v1" }),
            Place::Scope(scope) => Kind::Scope(systemd::Unit::survey(scope)?),
        };
        Ok(Self { kind, plan: Some(plan) })
    }

    /// A manager for a cgroup that may or may not have been made.
    ///
    /// # Errors
    /// The build lacks the manager.
    pub fn from_record(record: CgroupRecord) -> Result<Self, Error> {
        let kind = match record {
            CgroupRecord::Disabled => Kind::Disabled,
            CgroupRecord::Unified(dir) => Kind::Unified(v2::Unified::new(dir)),
            CgroupRecord::Systemd { unit, bus, dir } => {
                Kind::Scope(systemd::Unit::new(unit, bus, v2::Unified::new(dir)))
            }
            #[cfg(feature = "cgroup-v1")]
            CgroupRecord::Legacy { dirs, unified } => Kind::Legacy(v1::Legacy::new(dirs, unified)),
            #[cfg(not(feature = "cgroup-v1"))]
            CgroupRecord::Legacy { .. } => return Err(Error::NotBuilt { manager: "cgroup-v1" }),
        };
        Ok(Self { kind, plan: None })
    }

    /// The same manager, which waits so long for an answer of systemd.
    #[must_use]
    pub fn patient(mut self, patience: Duration) -> Self {
        if let Kind::Scope(unit) = &mut self.kind {
            unit.patience = patience;
        }
        self
    }

    /// What [`Manager::from_record`] needs.
    pub fn record(&self) -> CgroupRecord {
        match &self.kind {
            Kind::Disabled => CgroupRecord::Disabled,
            Kind::Unified(unified) => CgroupRecord::Unified(unified.record().clone()),
            Kind::Scope(unit) => CgroupRecord::Systemd {
                unit: unit.name.clone(),
                bus: unit.bus,
                dir: unit.unified.record().clone(),
            },
            #[cfg(feature = "cgroup-v1")]
            Kind::Legacy(legacy) => legacy.record(),
        }
    }

    /// Makes the cgroup, gives it controllers and writes the limits. On failure everything that it
    /// made is removed again. With the systemd manager there is nothing to do before
    /// [`Manager::place`].
    ///
    /// Device rules are in force as well.
    ///
    /// A manager without a plan ([`Manager::from_record`]) only makes the cgroup.
    ///
    /// # Errors
    /// The first step that failed.
    pub fn prepare(&mut self) -> Result<Prepared, Error> {
        let mut prepared = self.prepare_without_rules()?;
        if let Err(error) = self.enforce(&prepared) {
            // On the way of an error that matters more.
            let _ = self.remove(Instant::now());
            return Err(error);
        }
        prepared.rules = Rules::Done;
        Ok(prepared)
    }

    /// As [`Manager::prepare`], but device rules may be due ([`Prepared::rules`]): the kernel takes
    /// longer to check them than for all else here, so the launcher lets init begin meanwhile, and
    /// [enforces](Manager::enforce) them before anything runs in the container that is not this
    /// runtime.
    ///
    /// # Errors
    /// The first step that failed.
    pub fn prepare_without_rules(&mut self) -> Result<Prepared, Error> {
        let plan = self.plan.as_ref();
        let prepared = match &self.kind {
            Kind::Disabled => Ok(Prepared::new(None, Placement::Done)),
            Kind::Unified(unified) => unified.prepare(plan),
            Kind::Scope(unit) => Ok(unit.prepare()),
            #[cfg(feature = "cgroup-v1")]
            Kind::Legacy(legacy) => legacy.prepare(plan),
        };
        let optional = plan.is_some_and(|plan| plan.need == Need::IfPermitted);
        if optional && prepared.as_ref().is_err_and(Error::is_refusal) {
            self.kind = Kind::Disabled;
            return Ok(Prepared::new(None, Placement::Done));
        }
        let Some(plan) = plan else { return prepared };
        prepared.map_err(|error| error.with_delegation(&plan.unified))
    }

    /// Puts the device rules of a cgroup in force, where they are due.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn enforce(&self, prepared: &Prepared) -> Result<(), Error> {
        match (&self.kind, &self.plan, &prepared.birth, prepared.rules) {
            (Kind::Unified(unified), Some(plan), Some(dir), Rules::Due) => {
                unified.enforce(dir.as_fd(), plan)
            }
            _ => Ok(()),
        }
    }

    /// The cgroup as it is, for another process of the container.
    ///
    /// # Errors
    /// It is not there.
    pub fn entrance(&self) -> Result<Prepared, Error> {
        match &self.kind {
            Kind::Disabled => Ok(Prepared::new(None, Placement::Done)),
            Kind::Unified(unified) | Kind::Scope(systemd::Unit { unified, .. }) => {
                Ok(Prepared::new(Some(unified.require()?), Placement::Done))
            }
            // Its part in the unified hierarchy comes with the placement.
            #[cfg(feature = "cgroup-v1")]
            Kind::Legacy(_) => Ok(Prepared::new(None, Placement::AfterClone)),
        }
    }

    /// The cgroup below this one that a member is in, in the unified hierarchy: where another
    /// process may go when this one has become an inner node, which holds none. `None` when the
    /// process is not below it.
    ///
    /// # Errors
    /// It cannot be found out or opened.
    pub fn cgroup_of(&self, pid: i32) -> Result<Option<(OwnedFd, PathBuf)>, Error> {
        match &self.kind {
            Kind::Unified(unified) | Kind::Scope(systemd::Unit { unified, .. }) => {
                unified.of_member(pid)
            }
            _ => Ok(None),
        }
    }

    /// Moves a process into the cgroup, in every hierarchy. With the systemd manager, and a plan,
    /// this makes the cgroup around the process, with its limits and device rules.
    ///
    /// # Errors
    /// The kernel's or systemd's refusal, with the hierarchy or the unit. A scope whose limits
    /// cannot be set is stopped again, and the process with it.
    pub fn place(&self, pid: i32) -> Result<(), Error> {
        match &self.kind {
            Kind::Disabled => Ok(()),
            Kind::Unified(unified) => unified.place(pid),
            Kind::Scope(unit) => match &self.plan {
                Some(plan) => unit.start(plan, pid),
                None => unit.unified.place(pid),
            },
            #[cfg(feature = "cgroup-v1")]
            Kind::Legacy(legacy) => legacy.place(pid),
        }
    }

    /// Kills every process in the cgroup and below, and waits until none is left. A cgroup that
    /// is not there counts as empty.
    ///
    /// # Errors
    /// Processes that live on at the deadline, by name.
    pub fn kill_all(&self, deadline: Instant) -> Result<(), Error> {
        match &self.kind {
            Kind::Disabled => Ok(()),
            Kind::Unified(unified) | Kind::Scope(systemd::Unit { unified, .. }) => {
                unified.kill_all(deadline)
            }
            #[cfg(feature = "cgroup-v1")]
            Kind::Legacy(legacy) => legacy.kill_all(deadline),
        }
    }

    /// Removes the cgroup, what the container made below it, and the ancestors that were made for
    /// it and are empty. Processes that are left are killed. What is not there is not missed.
    ///
    /// # Errors
    /// Processes that live on at the deadline, by name; the kernel's refusal.
    pub fn remove(&self, deadline: Instant) -> Result<(), Error> {
        match &self.kind {
            Kind::Disabled => Ok(()),
            Kind::Unified(unified) => unified.remove(deadline),
            Kind::Scope(unit) => unit.remove(deadline),
            #[cfg(feature = "cgroup-v1")]
            Kind::Legacy(legacy) => legacy.remove(deadline),
        }
    }

    /// Stops every process in the cgroup and below. When not all stop in time, they are let go.
    ///
    /// # Errors
    /// The deadline passed; the kernel's refusal.
    pub fn freeze(&self, deadline: Instant) -> Result<(), Error> {
        match &self.kind {
            Kind::Disabled => Err(Error::NoCgroup { action: "freeze" }),
            Kind::Unified(unified) | Kind::Scope(systemd::Unit { unified, .. }) => {
                unified.freeze(deadline)
            }
            #[cfg(feature = "cgroup-v1")]
            Kind::Legacy(legacy) => legacy.freeze(deadline),
        }
    }

    /// Lets the processes of a frozen cgroup go on.
    ///
    /// # Errors
    /// The deadline passed (an ancestor is frozen); the kernel's refusal.
    pub fn thaw(&self, deadline: Instant) -> Result<(), Error> {
        match &self.kind {
            Kind::Disabled => Err(Error::NoCgroup { action: "thaw" }),
            Kind::Unified(unified) | Kind::Scope(systemd::Unit { unified, .. }) => {
                unified.thaw(deadline)
            }
            #[cfg(feature = "cgroup-v1")]
            Kind::Legacy(legacy) => legacy.thaw(deadline),
        }
    }

    /// Whether the cgroup itself was frozen; a cgroup that is not there is not.
    ///
    /// # Errors
    /// Its state cannot be read.
    pub fn is_frozen(&self) -> Result<bool, Error> {
        match &self.kind {
            Kind::Disabled => Ok(false),
            Kind::Unified(unified) | Kind::Scope(systemd::Unit { unified, .. }) => {
                unified.is_frozen()
            }
            #[cfg(feature = "cgroup-v1")]
            Kind::Legacy(legacy) => legacy.is_frozen(),
        }
    }

    /// The cgroup's directories that are there, one for each hierarchy.
    pub fn directories(&self) -> Vec<PathBuf> {
        let records: Vec<DirRecord> = match self.record() {
            CgroupRecord::Disabled => Vec::new(),
            CgroupRecord::Unified(dir) | CgroupRecord::Systemd { dir, .. } => vec![dir],
            CgroupRecord::Legacy { dirs, unified } => {
                dirs.into_iter().map(|legacy| legacy.dir).chain(unified).collect()
            }
        };
        let path = |dir: DirRecord| dir.path.components().fold(dir.mount, |at, part| at.join(part));
        records.into_iter().map(path).filter(|path| path.is_dir()).collect()
    }

    /// The processes in the cgroup and below, as numbered in the caller's pid namespace, in
    /// ascending order.
    ///
    /// # Errors
    /// A list cannot be read.
    pub fn pids(&self) -> Result<Vec<i32>, Error> {
        match &self.kind {
            Kind::Disabled => Ok(Vec::new()),
            Kind::Unified(unified) | Kind::Scope(systemd::Unit { unified, .. }) => unified.pids(),
            #[cfg(feature = "cgroup-v1")]
            Kind::Legacy(legacy) => legacy.pids(),
        }
    }

    /// Changes limits and device rules: all of them or none. When a write fails, those before it
    /// are undone. systemd is told of what it manages.
    ///
    /// # Errors
    /// The write that failed, and with it any that could not be undone.
    pub fn update(&self, change: &Change) -> Result<(), Error> {
        let tables = &change.tables;
        let devices = |unified: &v2::Unified| match &change.devices {
            Some(rules) => unified.set_devices(rules),
            None => Ok(()),
        };
        match &self.kind {
            Kind::Disabled => {
                match (tables.unified.first().or(tables.legacy.first()), &change.devices) {
                    (None, None) => Ok(()),
                    _ => Err(Error::NoCgroup { action: "update" }),
                }
            }
            Kind::Unified(unified) => unified.update_with(&tables.unified, || devices(unified)),
            Kind::Scope(unit) => unit.update(&tables.unified, || devices(&unit.unified)),
            #[cfg(feature = "cgroup-v1")]
            Kind::Legacy(legacy) => legacy.update(change),
        }
    }

    /// What a change has to know of the cgroup as it is.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn present(&self) -> Result<Present, Error> {
        match &self.kind {
            Kind::Disabled => Ok(Present::default()),
            Kind::Unified(unified) | Kind::Scope(systemd::Unit { unified, .. }) => {
                unified.present()
            }
            #[cfg(feature = "cgroup-v1")]
            Kind::Legacy(legacy) => legacy.present(),
        }
    }

    /// What the kernel has counted.
    ///
    /// # Errors
    /// The cgroup is not there, or a file cannot be read.
    pub fn stats(&self) -> Result<Stats, Error> {
        match &self.kind {
            Kind::Disabled => Err(Error::NoCgroup { action: "read the statistics of" }),
            Kind::Unified(unified) | Kind::Scope(systemd::Unit { unified, .. }) => unified.stats(),
            #[cfg(feature = "cgroup-v1")]
            Kind::Legacy(legacy) => legacy.stats(),
        }
    }

    /// Watches for OOM kills from now on; `None` where no controller counts memory.
    ///
    /// # Errors
    /// The cgroup is not there, or the kernel's refusal.
    pub fn watch_oom(&self) -> Result<Option<Watch>, Error> {
        match &self.kind {
            Kind::Disabled => Ok(None),
            Kind::Unified(unified) | Kind::Scope(systemd::Unit { unified, .. }) => unified.watch(),
            #[cfg(feature = "cgroup-v1")]
            Kind::Legacy(legacy) => legacy.watch(),
        }
    }

    /// Whether the container has a cgroup of its own.
    pub fn has_cgroup(&self) -> bool {
        !matches!(self.kind, Kind::Disabled)
    }

    /// Replaces the device rules; at no moment are there none.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn set_devices(&self, devices: &Devices) -> Result<(), Error> {
        match &self.kind {
            Kind::Disabled => Err(Error::NoCgroup { action: "set the device rules of" }),
            Kind::Unified(unified) | Kind::Scope(systemd::Unit { unified, .. }) => {
                unified.set_devices(devices)
            }
            #[cfg(feature = "cgroup-v1")]
            Kind::Legacy(legacy) => legacy.set_devices(devices),
        }
    }
}

/// Sizes of the huge pages of this machine as cgroups name them: `64KB`, `2MB`, `1GB`.
fn huge_page_sizes() -> Vec<String> {
    let Ok(entries) = std::fs::read_dir("/sys/kernel/mm/hugepages") else { return Vec::new() };
    let size = |entry: std::fs::DirEntry| {
        let name = entry.file_name();
        let kilobytes = name.to_str()?.strip_prefix("hugepages-")?.strip_suffix("kB")?;
        Some(match kilobytes.parse::<u64>().ok()? {
            n if n.is_multiple_of(1 << 20) => format!("{}GB", n >> 20),
            n if n.is_multiple_of(1 << 10) => format!("{}MB", n >> 10),
            n => format!("{n}KB"),
        })
    };
    entries.flatten().filter_map(size).collect()
}
