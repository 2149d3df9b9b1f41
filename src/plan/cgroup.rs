//! Where a container's cgroup lies and what is written to it.
//!
//! [`resolve`] turns `linux.cgroupsPath` and `linux.resources` into a [`CgroupPlan`]: the path of
//! the cgroup, known before anything is made, and tables of file [`Write`]s, one for the unified
//! (v2) hierarchy and one for the legacy (v1) ones. Nothing asked for is dropped in silence: it
//! becomes a write, a [`Warning`] or an [`Error`] that names its JSON pointer.
//!
//! Source: runtime-spec config-linux.md «Control groups»; the kernel's
//! Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/. Decisions: specs/40-cgroups.md.

pub mod delegation;
pub mod legacy;
pub mod path;
pub mod scope;
pub mod unified;

use super::device_filter::{self, Insn, Rule};
use crate::host::Privilege;
use crate::host::cgroup::CgroupFacts;
use oci_spec::runtime::{LinuxResources, Spec};
use path::CgroupPath;
use scope::Scope;
use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

/// Who makes the cgroup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ManagerChoice {
    /// The runtime itself, through the cgroup file systems.
    #[default]
    Cgroupfs,
    /// systemd, as a scope unit.
    Systemd,
    /// Nobody: the container stays in the caller's cgroup and cannot have limits.
    Disabled,
}

/// `linux.resources.pids.limit` as the config says it; 0 is a limit, absence is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PidsLimit {
    /// The member is absent.
    Absent,
    /// The member's value; negative means no limit.
    Said(i64),
}

/// What [`resolve`] needs to know beside the config.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The container's id, already checked: a single path component.
    pub id: &'a str,
    /// Who makes the cgroup.
    pub manager: ManagerChoice,
    /// What the caller may do.
    pub privilege: Privilege,
    /// `pids.limit`, which the typed config cannot tell apart from 0 when absent.
    pub pids_limit: PidsLimit,
    /// The host's cgroup hierarchies.
    pub facts: &'a CgroupFacts,
}

/// Everything that is to be done about a container's cgroup.
#[derive(Clone, Debug, PartialEq)]
pub struct CgroupPlan {
    /// Where the cgroup lies and who makes it.
    pub place: Place,
    /// The controllers of the unified hierarchy, which the cgroup is given where it can.
    pub controllers: Vec<String>,
    /// Writes to the cgroup in the unified hierarchy, in order.
    pub unified: Vec<Write>,
    /// Writes to the cgroups in the legacy hierarchies, in order.
    pub legacy: Vec<Write>,
    /// The device rules.
    pub devices: Devices,
    /// What to do when the cgroup cannot be made.
    pub need: Need,
    /// User id on the host to whom the cgroup is handed over, see [`delegation`].
    pub owner: Option<u32>,
    /// What was asked for and has no effect.
    pub warnings: Vec<Warning>,
}

/// The place of a container's cgroup.
#[derive(Clone, Debug, PartialEq)]
pub enum Place {
    /// A cgroup in the unified hierarchy, made by the runtime.
    Unified {
        /// Where the hierarchy is mounted.
        mount: PathBuf,
        /// The cgroup below the mount.
        path: CgroupPath,
    },
    /// Cgroups in each legacy hierarchy and, on a hybrid host, in the unified one.
    Legacy {
        /// One entry per mounted hierarchy.
        dirs: Vec<LegacyDir>,
        /// Mount point and path in the unified hierarchy of a hybrid host.
        unified: Option<(PathBuf, CgroupPath)>,
    },
    /// A systemd scope in the unified hierarchy.
    Scope(Box<Scope>),
    /// No cgroup of its own.
    Disabled,
}

/// A container's cgroup in one legacy hierarchy.
#[derive(Clone, Debug, PartialEq)]
pub struct LegacyDir {
    /// The controllers of the hierarchy, or `name=NAME`.
    pub controllers: Vec<String>,
    /// Where the hierarchy is mounted.
    pub mount: PathBuf,
    /// The cgroup below the mount.
    pub path: CgroupPath,
}

/// What to do when the cgroup cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Fail.
    Required,
    /// Go on without: an unprivileged caller asked neither for a place nor for a limit.
    IfPermitted,
}

/// The device rules of a container.
#[derive(Clone, Debug, PartialEq)]
pub struct Devices {
    /// All rules, from "deny everything" to the default devices.
    pub rules: Vec<Rule>,
    /// The rules as a program for the unified hierarchy.
    pub program: Vec<Insn>,
    /// What to do when the program cannot be loaded for want of privilege.
    pub need: Need,
}

/// One write to one cgroup file.
#[derive(Clone, Debug, PartialEq)]
pub struct Write {
    /// Controller that owns the file; `cgroup` for the files every cgroup has.
    pub controller: Cow<'static, str>,
    /// File name in the cgroup's directory.
    pub file: Cow<'static, str>,
    /// The text to write.
    pub value: String,
    /// JSON pointer of the value that asks for it.
    pub pointer: String,
    /// What an absent file means.
    pub missing: Missing,
    /// What `EINVAL` means.
    pub invalid: Invalid,
    /// A condition to check before writing.
    pub guard: Option<Guard>,
}

/// What an absent file means for a [`Write`].
#[derive(Clone, Debug, PartialEq)]
pub enum Missing {
    /// The limit cannot be applied: an error.
    Refuse,
    /// Nothing is lost: the kernel lacks the feature and the value asks for no use of it.
    Ignore,
    /// Another file of the same controller serves.
    Instead {
        /// File name.
        file: &'static str,
        /// Value in the other file's terms.
        value: String,
    },
}

/// What `EINVAL` means for a [`Write`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalid {
    /// The value is wrong: an error.
    Refuse,
    /// The value may only be wrong beside the old value of a file that a later write of the same
    /// controller changes: try once more after it.
    Later,
}

/// A condition on the cgroup's state (`memory.checkBeforeUpdate`): the number in `file` must be
/// below `limit`. An unreadable file fulfils it.
#[derive(Clone, Debug, PartialEq)]
pub struct Guard {
    /// File with a number.
    pub file: &'static str,
    /// What the number must be below.
    pub limit: u64,
}

impl Write {
    /// A plain write: an absent file and `EINVAL` are errors.
    fn new(
        controller: &'static str,
        file: impl Into<Cow<'static, str>>,
        value: impl fmt::Display,
        pointer: &str,
    ) -> Self {
        Self {
            controller: Cow::Borrowed(controller),
            file: file.into(),
            value: value.to_string(),
            pointer: format!("/linux/resources/{pointer}"),
            missing: Missing::Refuse,
            invalid: Invalid::Refuse,
            guard: None,
        }
    }

    fn if_missing(mut self, missing: Missing) -> Self {
        self.missing = missing;
        self
    }

    fn retried(mut self) -> Self {
        self.invalid = Invalid::Later;
        self
    }

    fn guarded(mut self, guard: Option<Guard>) -> Self {
        self.guard = guard;
        self
    }
}

impl fmt::Display for Write {
    /// `memory.max = 67108864`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {}", self.file, self.value)
    }
}

/// Something asked for that has no effect on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// JSON pointer of the value.
    pub pointer: String,
    /// Why it has no effect.
    pub reason: &'static str,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ignored: {}", self.pointer, self.reason)
    }
}

fn warning(pointer: &str, reason: &'static str) -> Warning {
    Warning { pointer: format!("/linux/resources/{pointer}"), reason }
}

/// Why the cgroup part of a config cannot be carried out on this host.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// `linux.cgroupsPath` is not a path that a container may have.
    #[error("/linux/cgroupsPath: invalid cgroup path {path:?}: {reason}")]
    Path {
        /// The value.
        path: String,
        /// What is wrong with it.
        reason: path::Reason,
    },
    /// A relative path was asked for and the caller's own cgroup is out of reach.
    #[error("/linux/cgroupsPath: no place for relative path {path:?}: {reason}")]
    NoOwnCgroup {
        /// The value.
        path: String,
        /// What is in the way.
        reason: &'static str,
    },
    /// The systemd manager needs a pure cgroup v2 host.
    #[error(
        "use the systemd cgroup manager: this host does not mount cgroup v2 alone: \
         boot it with systemd.unified_cgroup_hierarchy=1, or use the cgroupfs manager"
    )]
    SystemdNeedsV2,
    /// No cgroup file system is mounted, and the config needs one.
    #[error(
        "{pointer}: no cgroup file system is mounted on this host: mount cgroup2 on /sys/fs/cgroup"
    )]
    NoHierarchy {
        /// JSON pointer of what needs it.
        pointer: String,
    },
    /// A limit was asked for with the manager that makes no cgroup.
    #[error(
        "{pointer}: the cgroup manager is disabled, so no limit can be applied: remove it, or choose another manager"
    )]
    Disabled {
        /// JSON pointer of the limit.
        pointer: String,
    },
    /// No mounted hierarchy has the controller of a limit.
    #[error("{pointer}: controller {controller} is not available on this host: {hint}")]
    NoController {
        /// JSON pointer of the limit.
        pointer: String,
        /// The controller.
        controller: String,
        /// What to do.
        hint: &'static str,
    },
    /// A value is outside of what the kernel or the spec takes.
    #[error("{pointer}: invalid value {value}: {rule}")]
    Value {
        /// JSON pointer of the value.
        pointer: String,
        /// The value.
        value: String,
        /// The rule it breaks.
        rule: &'static str,
    },
    /// A field that cgroup v2 cannot express.
    #[error("{pointer}: cgroup v2 has no such limit: {hint}")]
    OnlyV1 {
        /// JSON pointer of the field.
        pointer: String,
        /// What to do.
        hint: &'static str,
    },
    /// `unified` on a host without the unified hierarchy.
    #[error(
        "{pointer}: unified needs cgroup v2, and this host mounts cgroup v1: use the named fields instead"
    )]
    OnlyV2 {
        /// JSON pointer of the entry.
        pointer: String,
    },
    /// A device rule is wrong.
    #[error(transparent)]
    Device(#[from] device_filter::Error),
    /// An annotation or property for systemd is wrong.
    #[error(transparent)]
    Scope(#[from] scope::Error),
}

fn invalid(pointer: &str, value: impl fmt::Display, rule: &'static str) -> Error {
    Error::Value { pointer: format!("/linux/resources/{pointer}"), value: value.to_string(), rule }
}

/// A group of limits that one controller carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Topic {
    Memory,
    Cpu,
    Cpuset,
    Pids,
    BlockIo,
    Hugetlb,
    Rdma,
    NetClass,
    NetPriority,
}

impl Topic {
    const ALL: [Self; 9] = [
        Self::Memory,
        Self::Cpu,
        Self::Cpuset,
        Self::Pids,
        Self::BlockIo,
        Self::Hugetlb,
        Self::Rdma,
        Self::NetClass,
        Self::NetPriority,
    ];

    /// The controller's name in the unified hierarchy.
    fn unified(self) -> Option<&'static str> {
        Some(match self {
            Self::Memory => "memory",
            Self::Cpu => "cpu",
            Self::Cpuset => "cpuset",
            Self::Pids => "pids",
            Self::BlockIo => "io",
            Self::Hugetlb => "hugetlb",
            Self::Rdma => "rdma",
            Self::NetClass | Self::NetPriority => return None,
        })
    }

    /// The controller's name in the legacy hierarchies.
    fn legacy(self) -> &'static str {
        match self {
            Self::BlockIo => "blkio",
            Self::NetClass => "net_cls",
            Self::NetPriority => "net_prio",
            Self::Memory => "memory",
            Self::Cpu => "cpu",
            Self::Cpuset => "cpuset",
            Self::Pids => "pids",
            Self::Hugetlb => "hugetlb",
            Self::Rdma => "rdma",
        }
    }
}

/// The `linux.resources` of a config beside what the typed config cannot say.
#[derive(Clone, Copy, Debug)]
pub struct Resources<'a> {
    /// The typed config.
    pub typed: &'a LinuxResources,
    /// `pids.limit`.
    pub pids_limit: PidsLimit,
    /// What the cgroup says now; nothing for one that is to be made.
    pub present: Present,
}

/// Limits of a cgroup in the unified hierarchy that share a file, or a field of the config, with
/// another limit: who changes only the one has to know the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Present {
    /// Quota, negative for none, and period of cpu.max, in microseconds.
    pub cpu_max: Option<(i64, u64)>,
    /// Bytes of memory.max, negative for no limit.
    pub memory_max: Option<i64>,
}

/// Writes and warnings of one topic.
#[derive(Debug, Default, PartialEq)]
pub struct Table {
    /// In order.
    pub writes: Vec<Write>,
    /// What has no effect.
    pub warnings: Vec<Warning>,
}

/// The writes for `linux.resources` alone, for a container whose cgroup exists: each goes to the
/// hierarchy that has its controller.
#[derive(Debug, Default, PartialEq)]
pub struct Tables {
    /// Writes to the unified hierarchy.
    pub unified: Vec<Write>,
    /// Writes to the legacy hierarchies.
    pub legacy: Vec<Write>,
    /// What has no effect.
    pub warnings: Vec<Warning>,
}

/// What is to be changed about the cgroup of a container that exists.
#[derive(Debug, Default, PartialEq)]
pub struct Change {
    /// The limits.
    pub tables: Tables,
    /// The device rules; none leaves them as they are.
    pub devices: Option<Devices>,
}

/// Computes what has to be done to a container's cgroup so that `resources` hold: nothing that
/// they do not name is touched.
///
/// # Errors
/// As [`tables`], and a wrong device rule.
pub fn change(
    resources: Resources<'_>,
    privilege: Privilege,
    facts: &CgroupFacts,
) -> Result<Change, Error> {
    let asked = resources.typed.devices().as_deref().unwrap_or_default();
    let devices = match asked {
        [] => None,
        asked => Some(devices(device_filter::resolve(asked)?, privilege)),
    };
    Ok(Change { tables: tables(resources, facts)?, devices })
}

fn devices(rules: Vec<Rule>, privilege: Privilege) -> Devices {
    let skippable = privilege != Privilege::Full && device_filter::is_skippable(&rules);
    Devices {
        program: device_filter::compile(&rules),
        need: if skippable { Need::IfPermitted } else { Need::Required },
        rules,
    }
}

/// Computes the tables of file writes for `resources` on a host.
///
/// # Errors
/// A value that is wrong, or a limit whose controller the host lacks.
pub fn tables(resources: Resources<'_>, facts: &CgroupFacts) -> Result<Tables, Error> {
    let mut tables = Tables::default();
    for topic in Topic::ALL {
        if facts.has_legacy(topic.legacy()) {
            let table = legacy::table(topic, resources)?;
            tables.legacy.extend(table.writes);
            tables.warnings.extend(table.warnings);
            continue;
        }
        let table = unified::table(topic, resources)?;
        let reachable = topic.unified().is_some_and(|name| facts.has_unified(name));
        if let (false, Some(write)) = (reachable, table.writes.first()) {
            return Err(unavailable(write.pointer.clone(), &write.controller, facts));
        }
        tables.unified.extend(table.writes);
        tables.warnings.extend(table.warnings);
    }
    tables.unified.extend(raw(resources.typed, facts)?);
    Ok(tables)
}

fn raw(resources: &LinuxResources, facts: &CgroupFacts) -> Result<Vec<Write>, Error> {
    let writes = unified::raw(resources)?;
    for write in &writes {
        if facts.unified.is_none() {
            return Err(Error::OnlyV2 { pointer: write.pointer.clone() });
        }
        if facts.has_legacy(&write.controller) {
            return Err(Error::OnlyV2 { pointer: write.pointer.clone() });
        }
        if write.controller != "cgroup" && !facts.has_unified(&write.controller) {
            return Err(unavailable(write.pointer.clone(), &write.controller, facts));
        }
    }
    Ok(writes)
}

fn unavailable(pointer: String, controller: &str, facts: &CgroupFacts) -> Error {
    if facts.unified.is_none() && facts.legacy.is_empty() {
        return Error::NoHierarchy { pointer };
    }
    let hint = if facts.legacy.is_empty() {
        "cgroup.controllers of the root does not list it: enable it in the kernel \
         (cgroup_disable= on its command line, or its configuration), or remove the limit"
    } else {
        "no mounted cgroup v1 or v2 hierarchy has it: mount one that does, or remove the limit"
    };
    Error::NoController { pointer, controller: controller.to_owned(), hint }
}

/// Decides where the container's cgroup lies and what is written to it.
///
/// # Errors
/// Anything in `linux.cgroupsPath` or `linux.resources` that is wrong or that this host cannot
/// do, with its JSON pointer.
pub fn resolve(spec: &Spec, request: &Request<'_>) -> Result<CgroupPlan, Error> {
    let linux = spec.linux().as_ref();
    let empty = LinuxResources::default();
    let typed = linux.and_then(|linux| linux.resources().as_ref()).unwrap_or(&empty);
    let asked = linux.and_then(|linux| linux.cgroups_path().as_ref());
    let asked = asked.map(PathBuf::as_path).filter(|path| !path.as_os_str().is_empty());
    let pids_limit = request.pids_limit;
    let resources = Resources { typed, pids_limit, present: Present::default() };
    let rules = device_filter::resolve(typed.devices().as_deref().unwrap_or_default())?;

    if request.manager == ManagerChoice::Disabled {
        return disabled(resources, rules);
    }
    let tables = tables(resources, request.facts)?;
    let no_limits = tables.unified.is_empty() && tables.legacy.is_empty();
    let confined = request.privilege != Privilege::Full;
    let need =
        if confined && asked.is_none() && no_limits && request.manager == ManagerChoice::Cgroupfs {
            Need::IfPermitted
        } else {
            Need::Required
        };
    let devices = devices(rules, request.privilege);
    let place = place(spec, asked, request, &tables)?;
    let Tables { unified, legacy, warnings } = tables;
    let controllers = request
        .facts
        .unified
        .as_ref()
        .map(|unified| unified.controllers.clone())
        .unwrap_or_default();
    Ok(CgroupPlan { place, controllers, unified, legacy, devices, need, owner: None, warnings })
}

/// With no cgroup, device rules are the only part of the resources that may be left out: engines
/// send them always, and the container still holds only the nodes it was given.
fn disabled(resources: Resources<'_>, rules: Vec<Rule>) -> Result<CgroupPlan, Error> {
    let mut writes = Vec::new();
    for topic in Topic::ALL {
        writes.extend(unified::table(topic, resources)?.writes);
    }
    writes.extend(unified::raw(resources.typed)?);
    if let Some(write) = writes.into_iter().next() {
        return Err(Error::Disabled { pointer: write.pointer });
    }
    let asked = resources.typed.devices().as_ref().is_some_and(|rules| !rules.is_empty());
    let warnings =
        if asked { vec![warning("devices", "the cgroup manager is disabled")] } else { Vec::new() };
    Ok(CgroupPlan {
        place: Place::Disabled,
        controllers: Vec::new(),
        unified: Vec::new(),
        legacy: Vec::new(),
        devices: Devices { rules, program: Vec::new(), need: Need::IfPermitted },
        need: Need::Required,
        owner: None,
        warnings,
    })
}

fn place(
    spec: &Spec,
    asked: Option<&std::path::Path>,
    request: &Request<'_>,
    tables: &Tables,
) -> Result<Place, Error> {
    let facts = request.facts;
    if request.manager == ManagerChoice::Systemd {
        let Some(unified) = facts.unified.as_ref().filter(|_| facts.legacy.is_empty()) else {
            return Err(Error::SystemdNeedsV2);
        };
        let scope = scope::resolve(spec, asked, request, unified, &tables.unified)?;
        return Ok(Place::Scope(Box::new(scope)));
    }
    let wanted = path::Wanted::new(asked, request.id, request.privilege)?;
    let unified = match &facts.unified {
        Some(unified) => Some((unified.mount.clone(), wanted.in_unified(unified)?)),
        None => None,
    };
    if facts.legacy.is_empty() {
        return Ok(match unified {
            Some((mount, path)) => Place::Unified { mount, path },
            None => Place::Disabled,
        });
    }
    let dirs = facts
        .legacy
        .iter()
        .map(|hierarchy| {
            Ok(LegacyDir {
                controllers: hierarchy.controllers.clone(),
                mount: hierarchy.mount.clone(),
                path: wanted.in_legacy(hierarchy)?,
            })
        })
        .collect::<Result<_, Error>>()?;
    Ok(Place::Legacy { dirs, unified })
}

#[cfg(test)]
mod tests;
