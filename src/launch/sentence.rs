//! From a step, an item and an errno to a sentence: the launcher owns the plan, so it can name
//! what init was about.

use super::Error;
use crate::error::describe;
use crate::plan::exec::ExecPlan;
use crate::plan::process::Search;
use crate::plan::{Plan, ProcessPlan, lsm, mounts::Content, mounts::Mount};
use crate::state::Record;
use crate::sys::Errno;
use crate::wire::{Failure, Step};

/// A failure that init has reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitError {
    /// Where.
    pub step: Step,
    /// What the kernel answered.
    pub errno: Errno,
    /// The sentence without the kernel's answer.
    pub what: String,
    /// What the kernel answered, in words.
    pub why: String,
    /// JSON pointer into config.json of what could not be done.
    pub config: Option<String>,
    /// What the reader may do about it.
    pub hint: Option<&'static str>,
}

impl std::fmt::Display for InitError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let (Some(config), false) = (&self.config, self.what.starts_with('/')) {
            write!(f, "{config}: ")?;
        }
        write!(f, "{}: {}", self.what, self.why)
    }
}

impl std::error::Error for InitError {}

/// The error of a failure.
pub(super) fn of(plan: &Plan, failure: &Failure) -> Error {
    Box::new(render(plan, failure)).into()
}

/// The error of a failure of a process that was to enter a container.
pub(super) fn of_exec(plan: &ExecPlan, failure: &Failure) -> Error {
    let error = match failure.step {
        Step::FindExecutable | Step::Exec => program(Some(&plan.wanted), failure),
        step => {
            let (what, config) = of_process(Some(&plan.wanted), step, failure.item as usize);
            finish(failure, what, config)
        }
    };
    Box::new(error).into()
}

/// The sentence of a failure.
pub(super) fn render(plan: &Plan, failure: &Failure) -> InitError {
    let item = failure.item as usize;
    let (what, config) = match failure.step {
        Step::FindExecutable | Step::Exec => return program(plan.process.as_ref(), failure),
        step @ (Step::MountTarget
        | Step::MountSource
        | Step::MountOption
        | Step::MountCreate
        | Step::MountAttributes
        | Step::MountPropagation
        | Step::MountCopyUp
        | Step::MountAttach) => mount(plan, step, item),
        Step::JoinNamespace => named(failure.step, plan.namespaces.join.get(item), |join| {
            (
                format!("{} {:?}", join.kind.name(), join.path),
                pointer("/linux/namespaces", join.index),
            )
        }),
        Step::Device => named(failure.step, plan.devices.devices.get(item), |device| {
            (
                device.path.to_string(),
                device.index.map_or_else(String::new, |i| pointer("/linux/devices", i)),
            )
        }),
        Step::DevLink => named(failure.step, crate::plan::devices::LINKS.get(item), |(name, _)| {
            (format!("/dev/{}", name.to_string_lossy()), String::new())
        }),
        Step::Sysctl => named(failure.step, plan.sysctls.get(item), |sysctl| {
            (sysctl.name.clone(), format!("/linux/sysctl/{}", sysctl.name.replace('/', "~1")))
        }),
        Step::ReadonlyPath => named(failure.step, plan.readonly_paths.get(item), |path| {
            (path.to_string(), pointer("/linux/readonlyPaths", item as u32))
        }),
        Step::MaskedPath => named(failure.step, plan.masked_paths.get(item), |path| {
            (path.to_string(), pointer("/linux/maskedPaths", item as u32))
        }),
        Step::CreateContainerHook => {
            named(failure.step, plan.hooks.create_container.get(item), |hook| {
                (hook.path.to_string_lossy().into_owned(), hook.pointer.to_string())
            })
        }
        Step::StartContainerHook => {
            named(failure.step, plan.hooks.start_container.get(item), |hook| {
                (hook.path.to_string_lossy().into_owned(), hook.pointer.to_string())
            })
        }
        step => simple(plan, step, item),
    };
    finish(failure, what, config)
}

fn finish(failure: &Failure, what: String, config: Option<String>) -> InitError {
    let remark = failure.remark();
    let words = describe(failure.errno);
    let why = match (failure.errno, remark.is_empty()) {
        (Errno::ECHILD, false) => remark,
        (_, true) => words,
        _ => format!("{remark}: {words}"),
    };
    InitError {
        step: failure.step,
        errno: failure.errno,
        what,
        why,
        config: config.filter(|pointer| !pointer.is_empty()),
        hint: hint(failure),
    }
}

type What = (String, Option<String>);

fn named<T>(step: Step, item: Option<&T>, tell: impl FnOnce(&T) -> (String, String)) -> What {
    match item.map(tell) {
        Some((name, config)) => (format!("{} {name}", step.action()), Some(config)),
        None => (step.action().to_owned(), None),
    }
}

fn pointer(list: &str, index: u32) -> String {
    format!("{list}/{index}")
}

fn mount(plan: &Plan, step: Step, item: usize) -> What {
    let Some(mount) = plan.mounts.get(item) else { return (step.action().to_owned(), None) };
    let what = format!("mount {} at {}: {}", source_of(mount), mount.destination, step.action());
    let member = match step {
        Step::MountSource => "/source",
        Step::MountTarget => "/destination",
        Step::MountOption | Step::MountAttributes | Step::MountPropagation => "/options",
        _ => "",
    };
    (what, Some(pointer("/mounts", mount.index) + member))
}

fn source_of(mount: &Mount) -> String {
    match &mount.content {
        Content::Bind { source, .. } => source.to_string_lossy().into_owned(),
        Content::FileSystem(fs) => fs.fstype.to_string_lossy().into_owned(),
        Content::OwnCgroup(_) => "the container's cgroup".to_owned(),
        Content::Existing => "again".to_owned(),
        Content::Link { target } => target.to_string_lossy().into_owned(),
    }
}

/// Steps that the plan has one value for.
fn simple(plan: &Plan, step: Step, item: usize) -> What {
    let value = |config: &str, value: Option<String>| {
        let value = value.map_or_else(String::new, |value| format!(" {value}"));
        (format!("{}{value}", step.action()), Some(config.to_owned()))
    };
    let path = || Some(plan.rootfs.path.to_string_lossy().into_owned());
    match step {
        Step::RootTree | Step::PivotRoot => value("/root/path", path()),
        Step::RootReadonly => value("/root/readonly", None),
        Step::RootPropagation => value("/linux/rootfsPropagation", None),
        Step::TimeNamespace => value("/linux/namespaces", None),
        Step::TimeOffsets => value("/linux/timeOffsets", None),
        Step::Hostname => value("/hostname", plan.hostname.as_ref().map(text)),
        Step::Domainname => value("/domainname", plan.domainname.as_ref().map(text)),
        step => of_process(plan.process.as_ref(), step, item),
    }
}

/// Steps that the program's rights have one value for.
fn of_process(wanted: Option<&ProcessPlan>, step: Step, item: usize) -> What {
    let process = wanted.map(|wanted| &wanted.process);
    let value = |config: &str, value: Option<String>| {
        let value = value.map_or_else(String::new, |value| format!(" {value}"));
        (format!("{}{value}", step.action()), Some(config.to_owned()))
    };
    match step {
        Step::Affinity => value("/process/execCPUAffinity/final", None),
        Step::OomScore => value(
            "/process/oomScoreAdj",
            process.and_then(|p| p.oom_score_adj).map(|score| score.to_string()),
        ),
        Step::Rlimit => value(&format!("/process/rlimits/{item}"), None),
        Step::Scheduler => value("/process/scheduler", None),
        Step::IoPriority => value("/process/ioPriority", None),
        Step::MemoryPolicy => value("/linux/memoryPolicy", None),
        Step::Personality => value("/linux/personality", None),
        Step::Label => value(lsm::pointer(item), None),
        Step::Groups => value("/process/user/additionalGids", None),
        Step::Gid => value("/process/user/gid", process.map(|p| p.gid.to_string())),
        Step::Uid => value("/process/user/uid", process.map(|p| p.uid.to_string())),
        Step::Capabilities | Step::Bounding => value("/process/capabilities", None),
        Step::WorkingDirectory => value("/process/cwd", process.map(|p| text(&p.cwd))),
        Step::Seccomp => value("/linux/seccomp", None),
        _ => (step.action().to_owned(), None),
    }
}

fn text(c: impl AsRef<std::ffi::CStr>) -> String {
    c.as_ref().to_string_lossy().into_owned()
}

/// The error of a failure that came after create, when there is only the record to ask.
pub fn start_error(record: &Record, failure: &Failure) -> InitError {
    if failure.step == Step::Exec {
        let name = record.program.clone().unwrap_or_default();
        return program_error(name, Search::Direct, failure);
    }
    let (what, config) = match failure.step {
        Step::StartContainerHook => {
            (failure.step.action().to_owned(), Some(pointer("/hooks/startContainer", failure.item)))
        }
        Step::Rlimit => {
            (failure.step.action().to_owned(), Some(pointer("/process/rlimits", failure.item)))
        }
        Step::Seccomp => (failure.step.action().to_owned(), Some("/linux/seccomp".to_owned())),
        step => (step.action().to_owned(), None),
    };
    finish(failure, what, config)
}

/// The program that cannot be found or executed, in the words that engines look for.
fn program(wanted: Option<&ProcessPlan>, failure: &Failure) -> InitError {
    let process = wanted.map(|wanted| &wanted.process);
    let name = process.and_then(|p| p.args.first()).map_or_else(String::new, text);
    program_error(name, process.map_or(Search::Direct, |p| p.search), failure)
}

fn program_error(name: String, search: Search, failure: &Failure) -> InitError {
    let missing = matches!(failure.errno, Errno::ENOENT | Errno::ENOTDIR);
    let (what, why) = match search {
        Search::Path | Search::DefaultPath if missing && failure.step == Step::FindExecutable => {
            (format!("exec: {name:?}"), "executable file not found in $PATH".to_owned())
        }
        Search::Direct if failure.step == Step::FindExecutable && missing => {
            (format!("exec: {name:?}: stat {name}"), describe(failure.errno))
        }
        _ => (format!("exec: {name:?}"), describe(failure.errno)),
    };
    InitError {
        step: failure.step,
        errno: failure.errno,
        what,
        why,
        config: Some("/process/args/0".to_owned()),
        hint: exec_hint(failure),
    }
}

fn exec_hint(failure: &Failure) -> Option<&'static str> {
    match (failure.step, failure.errno) {
        (Step::Exec, Errno::ENOENT) => {
            Some("the file is there, so its interpreter or dynamic loader is missing")
        }
        (_, Errno::ENOEXEC) => Some("a binary of another architecture, or a script without #!"),
        _ => None,
    }
}

/// What a person can do about the errnos that mean more than they say.
fn hint(failure: &Failure) -> Option<&'static str> {
    match (failure.step, failure.errno) {
        (Step::MountAttach, Errno::ENOTDIR) => {
            Some("are you trying to mount a directory onto a file, or a file onto a directory?")
        }
        (Step::MountTarget, Errno::EPERM) => {
            Some("the destination lies inside procfs, where only a few files may be covered")
        }
        (Step::MountTarget, Errno::ELOOP | Errno::ENOTDIR) => {
            Some("the image has a link or a file there")
        }
        (Step::MountCreate, Errno::ENODEV) => Some("the kernel does not know this file system"),
        (Step::MountCreate, Errno::EPERM) => Some(
            "in a user namespace a file system is given to the owner of the namespace that it \
             shows, and proc and sysfs only where nothing covers a part of the caller's own",
        ),
        (Step::Rlimit, Errno::EPERM) => {
            Some("raising a hard limit needs CAP_SYS_RESOURCE, which the runtime lacks")
        }
        (Step::OomScore, Errno::EACCES) => {
            Some("lowering the score needs CAP_SYS_RESOURCE, which the runtime lacks")
        }
        (Step::TimeNamespace, Errno::EINVAL) => {
            Some("this kernel is built without time namespaces")
        }
        (Step::TimeOffsets, Errno::ERANGE) => {
            Some("no clock of the container may show a time before 0 or after 146 years")
        }
        (Step::TimeOffsets, Errno::EPERM | Errno::EACCES) => {
            Some("setting clocks needs CAP_SYS_TIME in the container's user namespace")
        }
        (Step::Keyring, Errno::EDQUOT) => {
            Some("the quota of keys is used up: see kernel.keys.maxkeys, or use --no-new-keyring")
        }
        (Step::Label, Errno::ENOENT | Errno::EINVAL) => {
            Some("the profile is not loaded, or the security module is off on this host")
        }
        (Step::PivotRoot, Errno::EINVAL) => {
            Some("a root on a ramfs cannot be pivoted from: use --no-pivot")
        }
        (Step::WorkingDirectory, Errno::EXDEV) => {
            Some("the working directory leads outside of the container")
        }
        (Step::Device, Errno::EEXIST) => Some("another file is there already"),
        (Step::StartContainerHook | Step::CreateContainerHook, Errno::ETIMEDOUT) => {
            Some("the hook was killed at its timeout")
        }
        _ => None,
    }
}
