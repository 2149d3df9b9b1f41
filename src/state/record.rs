//! What is written about a container.

use super::Identity;
use crate::cgroup::CgroupRecord;
use crate::plan::hooks::{Environment, Hook};
use crate::plan::idmap::IdMaps;
use crate::plan::namespaces::Kind;
use crate::plan::{Keyring, Plan, ProcessPlan, device_filter};
use crate::resctrl::{self, ResctrlRecord};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::ffi::CString;
use std::path::PathBuf;

/// A container, as later commands need to know it. Nothing of config.json is read again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Version of the runtime-spec that the configuration was written for.
    pub oci_version: String,
    /// The bundle, absolute.
    pub bundle: PathBuf,
    /// The root file system, absolute.
    pub rootfs: PathBuf,
    /// When it was created, RFC 3339.
    pub created: String,
    /// The boot in which it was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot: Option<String>,
    /// User who created it.
    pub owner: u32,
    /// Annotations of the configuration.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Its cgroup.
    pub cgroup: CgroupRecord,
    /// Its class in resctrl.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resctrl: Option<ResctrlRecord>,
    /// [`crate::plan::device_filter::digest`] of the device rules in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_rules: Option<u64>,
    /// Whether it has a pid namespace of its own, so that the end of init ends all.
    pub own_pids: bool,
    /// For a container whose mounts lie in the namespace of the caller: the number of the mount
    /// that held `rootfs` before them. Another one there is the container's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_mount_before: Option<u64>,
    /// Namespaces of the container that are not the host's, as far as its configuration tells.
    #[serde(default)]
    pub namespaces: Vec<Kind>,
    /// User and group that set up processes in its own user namespace, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub users: Option<(u32, u32)>,
    /// Whether it has a session keyring of its own.
    #[serde(default)]
    pub keyring: bool,
    /// Flags of seccomp(2) for its filter, whose program is kept beside the record; none when it
    /// has no filter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seccomp: Option<u32>,
    /// The program to start, as `args[0]` names it; none when the configuration has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// Who answers for its seccomp filter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listener: Option<ListenerRecord>,
    /// Its first process; none until it is created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<InitRecord>,
    /// Whether it is known that nobody waits at its gate: a start has gone through, or there never
    /// was one. The file's permissions say so, not its text.
    #[serde(skip)]
    pub past_gate: bool,
    /// How long its startContainer hooks may take in all, in milliseconds; none without any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_hooks: Option<u64>,
    /// poststart hooks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub poststart: Vec<HookRecord>,
    /// poststop hooks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub poststop: Vec<HookRecord>,
}

/// Where the listener of a notifying seccomp filter is sent when the program is started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerRecord {
    /// Path of a listening stream socket.
    pub path: String,
    /// Handed on as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<String>,
}

/// The first process of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InitRecord {
    /// Its number in the caller's pid namespace.
    pub pid: i32,
    /// What tells it from a later process with that number.
    pub identity: Identity,
}

/// A hook that runs after create.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookRecord {
    /// Program.
    pub path: String,
    /// Arguments, the program's name first.
    pub args: Vec<String>,
    /// Environment; none is that of the command that runs it.
    pub env: Option<Vec<String>>,
    /// Deadline in milliseconds.
    pub timeout: Option<u32>,
}

impl Record {
    /// The record of a plan, before anything of it has been made.
    pub fn of_plan(plan: &Plan, cgroup: CgroupRecord, created: String, owner: u32) -> Self {
        let environment = plan.process.as_ref();
        let hooks = |hooks: &[Hook]| {
            hooks.iter().map(|hook| HookRecord::of_plan(hook, environment)).collect()
        };
        Self {
            oci_version: plan.oci_version.clone(),
            bundle: plan.bundle.clone(),
            rootfs: PathBuf::from(plan.rootfs.path.to_string_lossy().as_ref()),
            created,
            boot: super::boot::id().map(str::to_owned),
            owner,
            annotations: plan.annotations.clone(),
            cgroup,
            resctrl: plan.resctrl.as_ref().map(resctrl::survey),
            device_rules: Some(device_filter::digest(&plan.cgroup.devices.rules)),
            own_pids: plan.namespaces.is_new(Kind::Pid),
            root_mount_before: None,
            namespaces: Kind::ALL.into_iter().filter(|k| plan.namespaces.has(*k)).collect(),
            users: plan
                .namespaces
                .has(Kind::User)
                .then(|| plan.id_maps.as_ref().map_or((0, 0), IdMaps::root)),
            keyring: matches!(plan.keyring, Keyring::New(_)),
            seccomp: None,
            program: program(plan),
            listener: plan.seccomp.as_ref().and_then(|profile| profile.listener.as_ref()).map(
                |listener| ListenerRecord {
                    path: listener.path.to_string_lossy().into_owned(),
                    metadata: listener.metadata.clone(),
                },
            ),
            init: None,
            past_gate: false,
            start_hooks: None,
            poststart: hooks(&plan.hooks.poststart),
            poststop: hooks(&plan.hooks.poststop),
        }
    }
}

/// The members of a damaged record that make sense by themselves, with nothing in the place of the
/// others; `None` when there is too little to delete by.
pub(super) fn salvage(text: &[u8]) -> Option<Record> {
    let found: Map<String, Value> = serde_json::from_slice(text).ok()?;
    let mut sound = json!({
        "ociVersion": "", "bundle": "", "rootfs": "", "created": "", "owner": 0,
        "cgroup": CgroupRecord::Disabled, "ownPids": false,
    });
    let mut kept = Vec::new();
    for (name, value) in found {
        let mut tried = sound.clone();
        tried[&name] = value;
        if Record::deserialize(&tried).is_ok() {
            sound = tried;
            kept.push(name);
        }
    }
    let mut record: Record = serde_json::from_value(sound).ok()?;
    let has = |name: &str| kept.iter().any(|kept| kept == name);
    if !has("rootfs") {
        // Mounts are only told by both.
        record.root_mount_before = None;
    }
    has("cgroup").then_some(record)
}

fn program(plan: &Plan) -> Option<String> {
    let args = &plan.process.as_ref()?.process.args;
    args.first().map(|name| name.to_string_lossy().into_owned())
}

impl HookRecord {
    /// A hook of the plan, its environment settled.
    pub fn of_plan(hook: &Hook, process: Option<&ProcessPlan>) -> Self {
        // Everything here was a JSON string, so nothing is lost on the way back to one.
        let text = |c: &CString| c.to_string_lossy().into_owned();
        let texts = |list: &[CString]| list.iter().map(text).collect();
        let env = match &hook.env {
            Environment::Given(env) => Some(texts(env)),
            Environment::OfRuntime => None,
            Environment::OfProcess => {
                Some(process.map_or_else(Vec::new, |p| texts(&p.process.env)))
            }
        };
        let timeout = hook.timeout.map(|t| u32::try_from(t.as_millis()).unwrap_or(u32::MAX));
        Self { path: text(&hook.path), args: texts(&hook.args), env, timeout }
    }
}
