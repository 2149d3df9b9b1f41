//! Before the clone: everything that init needs and can only be got from the host's side.

use super::{Error, Until, Wish, hooks, userns};
use crate::cgroup::Prepared;
use crate::host;
use crate::init::{self, Birth, Clocks, Input, Program, Sight, StateText, Waits};
use crate::plan::cgroup::Place;
use crate::plan::mounts::Content;
use crate::plan::namespaces::{Join, Kind};
use crate::plan::rootfs::Beginning;
use crate::plan::seccomp::Profile;
use crate::plan::{Plan, caps, clocks};
use crate::seccomp;
use crate::state::Entry;
use crate::sys::mount::{self, Reach};
use crate::sys::process::{self, StringArray};
use crate::sys::{Errno, cred, fd, socket};
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// What init gets, and the launcher's end of the link.
#[derive(Debug)]
pub(super) struct Staged {
    pub input: Input,
    pub link: OwnedFd,
    /// The pid namespace that the clone is made in; none for a new one or the launcher's.
    pub pid_namespace: Option<(u32, OwnedFd)>,
}

/// The states that hooks in the container read.
#[derive(Debug)]
pub(super) struct HookStates {
    pub creating: StateText,
    pub created: StateText,
}

/// Opens and compiles everything.
pub(super) fn stage(
    entry: &Entry,
    plan: &Plan,
    cgroup: &Prepared,
    has_cgroup: bool,
    wish: &Wish,
    states: HookStates,
    warnings: &mut Vec<String>,
) -> Result<Staged, Error> {
    let own = |action| move |source| Error::Own { action, source };
    let sight = sight(plan);
    if sight == Sight::Hidden {
        // What is cloned from this process is like it from its first moment, also where it is
        // born among the processes of another container.
        process::set_undumpable().map_err(own("become undumpable"))?;
    }
    let root = open_directory("/root/path", &plan.rootfs.path)?;
    let (namespaces, mut pid_namespace) = open_namespaces(plan)?;
    let (waits, unshare) = waits(plan, cgroup);
    // Who is not root of the machine does not own the pid namespace that it would return to.
    let needs_stage =
        plan.namespaces.joined(Kind::User).is_some() || pid_namespace.is_some() && !host::is_root();
    let birth = needs_stage.then(|| Birth {
        namespaces: plan.namespaces.new & !unshare & !Kind::Time.flag(),
        pids: pid_namespace.take().map(|(_, namespace)| namespace),
    });
    let (link, init_link) = socket::packet_pair().map_err(own("make a socket pair"))?;
    let gate = match wish.until {
        Until::Created => Some(entry.listen_at_gate()?),
        Until::Started => None,
    };
    let input = Input {
        link: init_link,
        gate,
        sight,
        waits,
        unshare,
        birth,
        clocks: open_clocks(plan)?,
        apart: open_apart(plan, root.as_fd())?,
        sources: open_sources(plan, cgroup, &namespaces, wish.deadlines.hook)?,
        has_cgroup,
        namespaces,
        create_container: (
            hooks::prepare(&plan.hooks.create_container, plan, wish.deadlines.hook),
            states.creating,
        ),
        start_container: (
            hooks::prepare(&plan.hooks.start_container, plan, wish.deadlines.hook),
            states.created,
        ),
        program: prepare_program(entry, plan, warnings)?,
    };
    Ok(Staged { input, link, pid_namespace })
}

/// Below the /proc/PID of a process that nobody may look into only root can write id maps, and
/// only who may trace it can open its namespaces.
fn sight(plan: &Plan) -> Sight {
    const NEEDED: u64 = 1 << caps::SYS_PTRACE | 1 << caps::SETUID | 1 << caps::SETGID;
    let may = || {
        process::geteuid() == 0
            && cred::capget().is_ok_and(|held| held.effective & NEEDED == NEEDED)
    };
    if plan.namespaces.has(Kind::User) && !may() { Sight::Open } else { Sight::Hidden }
}

/// The way to the files by which init sets its clocks.
fn open_clocks(plan: &Plan) -> Result<Option<Clocks>, Error> {
    if !plan.namespaces.is_new(Kind::Time) {
        return Ok(None);
    }
    let procfs = open_directory("/linux/namespaces", c"/proc")?;
    Ok(Some(Clocks { procfs, offsets: clocks::file(&plan.time_offsets).into_bytes() }))
}

/// A mount namespace that holds the root file system alone, where the container may have one and
/// the kernel can make it.
fn open_apart(plan: &Plan, root: BorrowedFd<'_>) -> Result<Option<OwnedFd>, Error> {
    if plan.rootfs.beginning == Beginning::HostsMounts {
        return Ok(None);
    }
    match mount::namespace_of(root, c"") {
        Ok(namespace) => Ok(Some(namespace)),
        // Before Linux 7.0.
        Err(Errno::EINVAL) => Ok(None),
        Err(source) => Err(Error::MountNamespace {
            path: plan.rootfs.path.to_string_lossy().into_owned(),
            source,
            hint: (source == Errno::ENOSPC)
                .then_some("the limit /proc/sys/user/max_mnt_namespaces is reached"),
        }),
    }
}

/// What init has to wait for, and which namespaces it makes only then.
fn waits(plan: &Plan, cgroup: &Prepared) -> (Waits, u64) {
    let new_users = plan.namespaces.is_new(Kind::User);
    let late_cgroup = cgroup.birth.is_none() || !cgroup.is_placed();
    let mut unshare = 0;
    if new_users {
        // Made at birth they would belong to ids that are not mapped yet: /dev/mqueue and
        // /sys/class/net would be owned by nobody.
        unshare |= Kind::Network.flag() | Kind::Ipc.flag();
    }
    if late_cgroup {
        // The namespace is rooted in the cgroup that its maker is in.
        unshare |= Kind::Cgroup.flag();
    }
    let hooks = &plan.hooks;
    let waits = Waits {
        placement: new_users
            || plan.launcher_scores().is_some()
            || !plan.launcher_limits().is_empty()
            || plan.resctrl.is_some()
            || !cgroup.is_placed(),
        hooks: !hooks.prestart.is_empty()
            || !hooks.create_runtime.is_empty()
            || !plan.net_devices.is_empty(),
    };
    if plan.namespaces.joined(Kind::User).is_some() {
        // Init is born after all waits of its stage.
        unshare = 0;
    }
    (waits, unshare & plan.namespaces.new)
}

fn open_directory(pointer: &str, path: &CStr) -> Result<OwnedFd, Error> {
    fd::openat(fd::cwd(), path, fd::O_PATH | fd::O_DIRECTORY, 0)
        .map_err(|source| open_error(pointer, path, source))
}

fn open_error(pointer: impl Into<String>, path: &CStr, source: Errno) -> Error {
    Error::Open { pointer: pointer.into(), path: path.to_string_lossy().into_owned(), source }
}

/// The namespaces to join, checked; the pid namespace apart, as only children can be in it.
type Namespaces = (Vec<Option<OwnedFd>>, Option<(u32, OwnedFd)>);

fn open_namespaces(plan: &Plan) -> Result<Namespaces, Error> {
    let mut pid_namespace = None;
    let mut others = Vec::with_capacity(plan.namespaces.join.len());
    for join in &plan.namespaces.join {
        let namespace = open_namespace(join)?;
        if join.kind == Kind::Pid {
            pid_namespace = Some((join.index, namespace));
            others.push(None);
        } else {
            others.push(Some(namespace));
        }
    }
    Ok((others, pid_namespace))
}

fn open_namespace(join: &Join) -> Result<OwnedFd, Error> {
    // Without blocking: the path could name a FIFO.
    let namespace =
        fd::openat(fd::cwd(), &join.path, fd::O_RDONLY | fd::O_NONBLOCK, 0).map_err(|source| {
            open_error(format!("/linux/namespaces/{}/path", join.index), &join.path, source)
        })?;
    let found = process::namespace_type(namespace.as_fd()).ok();
    if found == Some(join.kind.flag()) {
        return Ok(namespace);
    }
    let found = match found.and_then(Kind::of_flag) {
        Some(kind) => format!("a {} namespace", kind.name()),
        None => "no namespace".to_owned(),
    };
    Err(Error::NamespaceKind {
        index: join.index,
        path: join.path.to_string_lossy().into_owned(),
        found,
        wanted: join.kind.name(),
    })
}

/// Copies of bind sources where init could not make them: of mounts that are to stay peers of
/// the host's, which in init's mount namespace are only receivers, of those whose ids are mapped,
/// for which the privilege over their file system is needed, of all of them where init's root is
/// another user than the caller, as it may be kept out of a directory on the way, and of its own
/// cgroup.
fn open_sources(
    plan: &Plan,
    cgroup: &Prepared,
    namespaces: &[Option<OwnedFd>],
    deadline: Duration,
) -> Result<Vec<Option<OwnedFd>>, Error> {
    let held = cred::capget().map_or(0, |sets| sets.effective);
    let outranks = plan.namespaces.has(Kind::User) && held & (1 << caps::SYS_ADMIN) != 0;
    let all = plan.rootfs.shares_binds() || outranks;
    let copy = |mount: &crate::plan::mounts::Mount| match &mount.content {
        Content::Bind { source, reach }
            if all || mount.idmap.is_some() || plan.is_readiness(source) =>
        {
            let pointer = format!("/mounts/{}/source", mount.index);
            match mount::clone_tree(fd::cwd(), source, *reach) {
                Ok(tree) => Ok(Some(tree)),
                // An ordinary user copies no mounts here, but what is theirs init can reach.
                Err(Errno::EPERM) if plan.is_readiness(source) => Ok(None),
                Err(errno) => Err(open_error(pointer, source, errno)),
            }
        }
        // In a joined mount namespace its path may lead nowhere; who may not copy it here can
        // only have a mount namespace of their own.
        Content::OwnCgroup(_) if matches!(plan.cgroup.place, Place::Unified { .. }) => {
            let Some(birth) = &cgroup.birth else { return Ok(None) };
            let pointer = format!("/mounts/{}", mount.index);
            match mount::clone_tree(birth.as_fd(), c"", Reach::Single) {
                Err(Errno::EPERM) => Ok(None),
                other => other
                    .map(Some)
                    .map_err(|errno| open_error(pointer, c"the container's cgroup", errno)),
            }
        }
        _ => Ok(None),
    };
    let mut sources: Vec<_> = plan.mounts.iter().map(copy).collect::<Result<_, _>>()?;
    userns::map_mounts(plan, namespaces, &mut sources, deadline)?;
    Ok(sources)
}

fn prepare_program(
    entry: &Entry,
    plan: &Plan,
    warnings: &mut Vec<String>,
) -> Result<Option<Program>, Error> {
    let Some(wanted) = &plan.process else { return Ok(None) };
    let seccomp = match &plan.seccomp {
        Some(profile) => {
            let (program, told) = compile(entry, profile)?;
            warnings.extend(told);
            Some((program.filter, program.flags))
        }
        None => None,
    };
    Ok(Some(Program {
        args: StringArray::new(wanted.process.args.clone(), 0),
        env: StringArray::new(wanted.process.env.clone(), init::MORE_ENVIRONMENT),
        seccomp,
    }))
}

/// Compiles a profile, unless that has been done before.
fn compile(entry: &Entry, profile: &Profile) -> Result<(seccomp::Program, Vec<String>), Error> {
    let cache = entry.filters();
    let key = seccomp::cache::identity(profile);
    let known = cache.get(key.as_bytes());
    if let Some(known) = known.and_then(|bytes| seccomp::cache::decode(&bytes)) {
        return Ok(known);
    }
    let (program, told) = seccomp::compile(profile)?;
    let told: Vec<_> = told.iter().map(ToString::to_string).collect();
    cache.put(key.as_bytes(), &seccomp::cache::encode(&program, &told));
    Ok((program, told))
}
