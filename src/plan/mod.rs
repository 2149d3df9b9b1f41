//! Floor 2: judgement. What config.json, the caller and the host say, as the kernel's words.
//!
//! [`resolve`] is the table of contents of the runtime-spec: one line for each part of
//! config.json, each in a module of its own. It performs no I/O; the same input gives the same
//! plan. A refusal names the JSON pointer of what is refused.

pub mod annotations;
pub mod caps;
pub mod cgroup;
pub mod check;
pub mod clocks;
pub mod device_filter;
pub mod devices;
pub mod exec;
pub mod explain;
pub mod hooks;
pub mod idmap;
pub mod lsm;
pub mod mounts;
pub mod namespaces;
pub mod net_devices;
pub mod paths;
pub mod personality;
pub mod process;
pub mod readiness;
pub mod resctrl;
pub mod rlimits;
pub mod rootfs;
pub mod sched;
pub mod seccomp;
pub mod sysctl;

use crate::host::{Grantable, Host, Privilege};
use crate::id::ContainerId;
use crate::spec::Loaded;
use crate::sys::cred::CapSets;
use namespaces::{Kind, Namespaces};
use oci_spec::runtime::Spec;
use paths::ContainerPath;
use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Everything that is to be done to make a container.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Its name.
    pub id: ContainerId,
    /// The bundle as the caller named it, absolute.
    pub bundle: PathBuf,
    /// Version of the runtime-spec that the configuration was written for.
    pub oci_version: String,
    /// The configuration's annotations.
    pub annotations: BTreeMap<String, String>,
    /// Its partitions.
    pub namespaces: Namespaces,
    /// Ids of a new user namespace.
    pub id_maps: Option<idmap::IdMaps>,
    /// Clocks of a new time namespace; none leaves them at the host's time.
    pub time_offsets: Vec<clocks::Offset>,
    /// Network devices of the host that move into the container.
    pub net_devices: Vec<net_devices::NetDevice>,
    /// Host name; none keeps what the namespace has.
    pub hostname: Option<CString>,
    /// NIS domain name; none keeps what the namespace has.
    pub domainname: Option<CString>,
    /// Session keyring.
    pub keyring: Keyring,
    /// Root file system.
    pub rootfs: rootfs::Rootfs,
    /// What is mounted in it, in order.
    pub mounts: Vec<mounts::Mount>,
    /// Devices and /dev.
    pub devices: devices::Devices,
    /// Kernel parameters.
    pub sysctls: Vec<sysctl::Sysctl>,
    /// Paths that become read-only.
    pub readonly_paths: Vec<ContainerPath>,
    /// Paths that are hidden.
    pub masked_paths: Vec<ContainerPath>,
    /// The program and what it may do; none can be created but not started.
    pub process: Option<ProcessPlan>,
    /// The seccomp profile, still in names.
    pub seccomp: Option<seccomp::Profile>,
    /// Hooks.
    pub hooks: hooks::Hooks,
    /// The cgroup, its limits and its device rules.
    pub cgroup: cgroup::CgroupPlan,
    /// Its class of service in caches and memory bandwidth.
    pub resctrl: Option<resctrl::Resctrl>,
    /// Descriptors above the standard streams that the program gets.
    pub descriptors: Descriptors,
    /// Directory on the host of the socket on which the program tells that it is ready.
    pub readiness: Option<PathBuf>,
    /// A listening local socket that gets a pidfd of the first process.
    pub pidfd_receiver: Option<PathBuf>,
    /// What was asked for and means nothing.
    pub warnings: Vec<String>,
}

/// The program and what it may do.
#[derive(Clone, Debug)]
pub struct ProcessPlan {
    /// What is executed, where and as whom.
    pub process: process::Process,
    /// Capability sets.
    pub caps: caps::Caps,
    /// Resource limits.
    pub rlimits: Vec<rlimits::Rlimit>,
    /// Execution domain.
    pub personality: Option<u64>,
    /// Scheduling policy.
    pub scheduler: Option<sched::Scheduler>,
    /// I/O priority.
    pub io_priority: Option<sched::IoPriority>,
    /// CPUs for processes that join the container.
    pub affinity: sched::Affinity,
    /// NUMA memory policy.
    pub memory_policy: Option<sched::MemoryPolicy>,
    /// Security labels.
    pub lsm: lsm::Lsm,
    /// What the runtime itself may hand on.
    pub grantable: Grantable,
    /// Whether setgroups(2) may be denied, as in user namespaces that ordinary users make.
    pub setgroups_denied: bool,
    /// Whether it keeps the supplementary groups of the caller.
    pub keep_groups: bool,
}

impl ProcessPlan {
    /// Whether a step needs a procfs to write to.
    pub fn writes_procfs(&self) -> bool {
        self.process.oom_score_adj.is_some()
            || self.lsm.apparmor.is_some()
            || self.lsm.selinux.is_some()
    }

    /// The sets that init waits with: everything permitted, so that a filter can still be
    /// installed, but nothing more effective than the program gets.
    pub fn waiting_caps(&self) -> CapSets {
        CapSets {
            effective: self.caps.effective,
            permitted: self.grantable.permitted,
            inheritable: self.caps.inheritable,
        }
    }

    /// The sets with which a filter is installed without no_new_privs (seccomp(2)).
    pub fn filter_caps(&self) -> CapSets {
        let waiting = self.waiting_caps();
        let admin = 1 << caps::SYS_ADMIN;
        CapSets { effective: waiting.effective | (admin & waiting.permitted), ..waiting }
    }
}

/// Descriptors above the standard streams that the program gets, numbered from 3 on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Descriptors {
    /// Sockets of socket activation, which come first (sd_listen_fds(3)).
    pub activation: u32,
    /// Others (`--preserve-fds`).
    pub preserved: u32,
}

impl Descriptors {
    /// The first number that the program does not get.
    pub fn end(self) -> i32 {
        let count = self.activation.saturating_add(self.preserved);
        i32::try_from(count).unwrap_or(i32::MAX).saturating_add(3)
    }
}

/// The session keyring of the container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keyring {
    /// A new one of that name.
    New(CString),
    /// The caller's (`--no-new-keyring`).
    Inherit,
}

impl Keyring {
    fn of(id: &ContainerId, own: bool) -> Self {
        match CString::new(format!("_ses.{id}")) {
            Ok(name) if own => Self::New(name),
            _ => Self::Inherit,
        }
    }
}

impl Plan {
    /// Whether a step needs a procfs to write to.
    pub fn writes_procfs(&self) -> bool {
        !self.sysctls.is_empty() || self.process.as_ref().is_some_and(ProcessPlan::writes_procfs)
    }

    /// Whether the program keeps the supplementary groups of the caller.
    pub fn keeps_groups(&self) -> bool {
        self.process.as_ref().is_some_and(|wanted| wanted.keep_groups)
    }

    /// The OOM score that the launcher writes: in a user namespace init may not.
    pub fn launcher_scores(&self) -> Option<i32> {
        let wanted = self.process.as_ref().filter(|_| self.namespaces.has(Kind::User))?;
        wanted.process.oom_score_adj
    }

    /// The limits that the launcher raises, as far as it may: in a user namespace nobody may.
    pub fn launcher_limits(&self) -> &[rlimits::Rlimit] {
        match &self.process {
            Some(wanted) if self.namespaces.has(Kind::User) => &wanted.rlimits,
            _ => &[],
        }
    }

    /// Whether a path is that of the directory for its readiness, which lies where root of a user
    /// namespace may not look.
    pub fn is_readiness(&self, path: &CStr) -> bool {
        let directory = self.readiness.as_deref().map(|path| path.as_os_str().as_bytes());
        directory == Some(path.to_bytes())
    }

    /// Whether the program gets a terminal.
    pub fn has_terminal(&self) -> bool {
        self.process.as_ref().is_some_and(|wanted| wanted.process.terminal.is_some())
    }
}

/// What the caller asks for beside the configuration.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// Name of the container.
    pub id: &'a ContainerId,
    /// The bundle, absolute.
    pub bundle: &'a Path,
    /// Who makes the cgroup.
    pub manager: cgroup::ManagerChoice,
    /// What the caller may do.
    pub privilege: Privilege,
    /// How the root directory is changed.
    pub root_switch: rootfs::Switch,
    /// Whether the session keyring is a new one.
    pub new_keyring: bool,
    /// Directory on the host for the socket on which the program tells that it is ready, when
    /// somebody wants to know.
    pub readiness: Option<&'a Path>,
    /// Descriptors above the standard streams that the program gets.
    pub descriptors: Descriptors,
}

/// Why a configuration cannot be carried out.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // each is the error of the module of that name
pub enum Error {
    #[error(transparent)]
    Annotations(#[from] annotations::Error),
    #[error(transparent)]
    Namespaces(#[from] namespaces::Error),
    #[error(transparent)]
    IdMaps(#[from] idmap::Error),
    #[error(transparent)]
    Clocks(#[from] clocks::Error),
    #[error(transparent)]
    NetDevices(#[from] net_devices::Error),
    #[error(transparent)]
    Rootfs(#[from] rootfs::Error),
    #[error(transparent)]
    Mounts(#[from] mounts::Error),
    #[error(transparent)]
    Devices(#[from] devices::Error),
    #[error(transparent)]
    Paths(#[from] paths::Error),
    #[error(transparent)]
    Sysctl(#[from] sysctl::Error),
    #[error(transparent)]
    Process(#[from] process::Error),
    #[error(transparent)]
    Rlimits(#[from] rlimits::Error),
    #[error(transparent)]
    Personality(#[from] personality::Error),
    #[error(transparent)]
    Sched(#[from] sched::Error),
    #[error(transparent)]
    Lsm(#[from] lsm::Error),
    #[error(transparent)]
    Seccomp(#[from] seccomp::Error),
    #[error(transparent)]
    Hooks(#[from] hooks::Error),
    #[error(transparent)]
    Cgroup(#[from] cgroup::Error),
    #[error(transparent)]
    Resctrl(#[from] resctrl::Error),
    #[error(transparent)]
    Check(#[from] check::Error),
}

/// Turns a configuration into a plan for this host.
///
/// # Errors
/// The first part that is malformed, contradictory, or cannot be carried out on this host.
pub fn resolve(loaded: &Loaded, request: &Request<'_>, host: &Host) -> Result<Plan, Error> {
    let spec = &loaded.spec;
    let linux = spec.linux().as_ref();
    let mut warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();

    let (wishes, told) = annotations::resolve(spec.annotations().as_ref())?;
    warnings.extend(told.iter().map(ToString::to_string));
    let namespaces =
        namespaces::resolve(linux.and_then(|l| l.namespaces().as_deref()).unwrap_or_default())?;
    check::stray_id_maps(spec, &namespaces)?;
    let id_maps = idmap::resolve(
        "/linux",
        linux.and_then(|l| l.uid_mappings().as_deref()),
        linux.and_then(|l| l.gid_mappings().as_deref()),
    )?;
    let time_offsets = clocks::resolve(linux.and_then(|l| l.time_offsets().as_ref()), &namespaces)?;
    let net_devices =
        net_devices::resolve(linux.and_then(|l| l.net_devices().as_ref()), &namespaces)?;
    let names = check::host_names(spec, &namespaces)?;
    let mut rootfs = rootfs::resolve(spec, request.bundle, request.root_switch)?;
    let readonly_paths =
        path_list("/linux/readonlyPaths", linux.and_then(|l| l.readonly_paths().as_deref()))?;
    // A copy over the root would be beyond what is seen through it.
    rootfs.readonly |= readonly_paths.iter().any(|path| path.as_bytes() == b"/");
    let mut cgroup = cgroup::resolve(
        spec,
        &cgroup::Request {
            id: request.id.as_str(),
            manager: request.manager,
            privilege: request.privilege,
            pids_limit: match loaded.extras.pids_limit {
                Some(limit) => cgroup::PidsLimit::Said(limit),
                None => cgroup::PidsLimit::Absent,
            },
            facts: &host.cgroups,
        },
    )?;
    warnings.extend(cgroup.warnings.iter().map(ToString::to_string));

    let (resctrl, told) = resctrl::resolve(
        linux.and_then(|l| l.intel_rdt().as_ref()),
        request.id.as_str(),
        host.resctrl.as_deref(),
    )?;
    warnings.extend(told.iter().map(ToString::to_string));

    let means = Means {
        grantable: host.grantable,
        selinux: host.selinux,
        own_users: namespaces.has(Kind::User),
        within_users: host.outer_uid.is_some(),
        descriptors: request.descriptors,
        keep_groups: wishes.keep_groups,
    };
    let mut process = resolve_process(spec, means, &mut warnings)?;
    if let (Some(wanted), Some(_)) = (&mut process, request.readiness) {
        readiness::announce(&mut wanted.process.env);
    }
    let label = lsm::resolve(None, linux.and_then(|l| l.mount_label().as_deref()))?.mount_label;
    let around = mounts::Surroundings {
        bundle: request.bundle,
        cgroups: &mounts::CgroupView::of(&cgroup, &host.cgroups, namespaces.has(Kind::Cgroup)),
        own_users: namespaces.has(Kind::User),
        id_maps: id_maps.as_ref(),
        label: label.as_deref().filter(|_| host.selinux).map(|label| (wishes.context, label)),
        namespaces: &namespaces,
    };
    let mut asked = spec.mounts().clone().unwrap_or_default();
    asked.extend(request.readiness.map(readiness::mount));
    let (mounts, told) = mounts::resolve(&asked, around)?;
    warnings.extend(told.iter().map(ToString::to_string));

    let user = process.as_ref().map_or(0, |wanted| wanted.process.uid);
    // What an ordinary user makes is theirs, and so the container's root's, already; giving files
    // away takes root.
    cgroup.owner = match request.privilege {
        Privilege::Full => {
            cgroup::delegation::owner(&cgroup.place, &namespaces, &mounts, user, id_maps.as_ref())
        }
        Privilege::Confined { .. } => None,
    };
    let own_dev = check::has_own_dev(&mounts);
    let devices = linux.and_then(|l| l.devices().as_deref()).unwrap_or_default();
    let devices = devices::resolve(devices, own_dev)?;
    warnings.extend(devices.left_out.iter().map(|(index, path)| {
        format!("/linux/devices/{index}: {path} is not made: /dev belongs to somebody else")
    }));
    let sysctls = sysctl::resolve(
        linux.and_then(|l| l.sysctl().as_ref()),
        sysctl::Surroundings { own: namespaces.own(), domainname: spec.domainname().as_deref() },
    )?;
    let mut plan = Plan {
        id: request.id.clone(),
        bundle: request.bundle.to_owned(),
        oci_version: spec.version().clone(),
        annotations: spec
            .annotations()
            .iter()
            .flatten()
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect(),
        id_maps,
        time_offsets,
        net_devices,
        hostname: names.hostname,
        domainname: names.domainname,
        keyring: Keyring::of(request.id, request.new_keyring),
        rootfs,
        mounts,
        devices,
        sysctls,
        readonly_paths,
        masked_paths: path_list(
            "/linux/maskedPaths",
            linux.and_then(|l| l.masked_paths().as_deref()),
        )?,
        process,
        seccomp: seccomp::resolve(
            linux.and_then(|l| l.seccomp().as_ref()),
            wishes.refuse_unknown_calls,
        )?,
        hooks: hooks::resolve(spec.hooks().as_ref())?,
        cgroup,
        resctrl,
        descriptors: request.descriptors,
        readiness: request.readiness.map(Path::to_owned),
        pidfd_receiver: wishes.pidfd_receiver,
        namespaces,
        warnings,
    };
    check::across(&plan)?;
    plan.rootfs.beginning =
        rootfs::Beginning::of(&plan, request.privilege, host.grantable.permitted);
    Ok(plan)
}

/// What a process can be given, whatever the configuration asks for.
#[derive(Clone, Copy, Debug)]
struct Means {
    /// Capabilities that the caller can hand on.
    grantable: Grantable,
    /// Whether SELinux is on.
    selinux: bool,
    /// Whether the container has a user namespace of its own.
    own_users: bool,
    /// Whether the caller is in a user namespace that is not the machine's.
    within_users: bool,
    /// Descriptors above the standard streams.
    descriptors: Descriptors,
    /// Whether the program keeps the caller's supplementary groups.
    keep_groups: bool,
}

fn resolve_process(
    spec: &Spec,
    means: Means,
    warnings: &mut Vec<String>,
) -> Result<Option<ProcessPlan>, Error> {
    let asked = spec.process().as_ref();
    let (process, told) = process::resolve(asked)?;
    warnings.extend(told.iter().map(ToString::to_string));
    let Some(mut process) = process else { return Ok(None) };
    process.announce(means.descriptors.activation);
    // A user namespace gives whoever enters it from outside every capability in it.
    let grantable = if means.own_users { Grantable::ALL } else { means.grantable };
    let (caps, told) = caps::resolve(asked.and_then(|p| p.capabilities().as_ref()), grantable);
    warnings.extend(told.iter().map(ToString::to_string));
    let personality = spec.linux().as_ref().and_then(|linux| linux.personality().as_ref());
    let mut lsm = lsm::resolve(asked, None)?;
    if lsm.selinux.is_some() && !means.selinux {
        // As every runtime: labels of a module that is off mean nothing, and engines send them.
        warnings.push("/process/selinuxLabel: ignored: SELinux is off on this host".to_owned());
        lsm.selinux = None;
    }
    Ok(Some(ProcessPlan {
        process,
        caps,
        rlimits: rlimits::resolve(asked.and_then(|p| p.rlimits().as_deref()))?,
        personality: personality::resolve(personality)?,
        scheduler: sched::scheduler(asked.and_then(|p| p.scheduler().as_ref()))?,
        io_priority: sched::io_priority(asked.and_then(|p| p.io_priority().as_ref()))?,
        affinity: sched::affinity(asked.and_then(|p| p.exec_cpu_affinity().as_ref()))?,
        memory_policy: sched::memory_policy(
            spec.linux().as_ref().and_then(|linux| linux.memory_policy().as_ref()),
        )?,
        lsm,
        grantable,
        setgroups_denied: means.own_users || means.within_users,
        keep_groups: means.keep_groups,
    }))
}

fn path_list(pointer: &str, asked: Option<&[String]>) -> Result<Vec<ContainerPath>, paths::Error> {
    let asked = asked.unwrap_or_default().iter().enumerate();
    asked
        .map(|(index, path)| {
            ContainerPath::absolute(format_args!("{pointer}/{index}"), Path::new(path))
        })
        .collect()
}
