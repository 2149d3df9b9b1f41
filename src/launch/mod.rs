//! Floor 4, outside: the launcher's story.
//!
//! [`launch`] claims the id, writes down what it is about to make, makes the cgroup, opens what
//! init cannot open, clones, answers init's frames until it is ready, and commits the record.
//! Whatever fails on the way, nothing is left behind (specs/20-launch.md).

mod drive;
pub mod enter;
mod hooks;
mod listener;
mod net_devices;
mod pid_file;
pub mod seal;
mod sentence;
mod spawn;
mod stage;
mod userns;

pub use hooks::{HookError, run_poststart, run_poststop};
pub use sentence::{InitError, start_error};

pub(crate) use drive::await_start;

use crate::cgroup::{self, Manager, Rules};
use crate::deadlines::Deadlines;
use crate::init::StateText;
use crate::plan::Plan;
use crate::plan::namespaces::Kind;
use crate::resctrl;
use crate::state::{self, Entry, Identity, InitRecord, Record, Status, Store};
use crate::sys::process::{self, Block, Exit, Who};
use crate::sys::signal::number::SIGKILL;
use crate::sys::{Errno, fd, mount};
use crate::timing::{Phase, Timing};
use crate::wire::ToInit;
use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Instant;

/// How the launcher leaves the container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Waiting for a start operation.
    Created,
    /// Running its program.
    Started,
}

/// What the caller wants beside the plan.
#[derive(Debug)]
pub struct Wish {
    /// How far to go.
    pub until: Until,
    /// Who is to be told of the process.
    pub handover: Handover,
    /// What later processes of the container are made from ([`crate::spec::template`]).
    pub template: Vec<u8>,
    /// When the container is made, RFC 3339.
    pub now: String,
    /// Is told which phases took how long.
    pub timing: Timing,
    /// How long anything is waited for.
    pub deadlines: Deadlines,
}

/// What is handed to others when a process has been made.
#[derive(Debug, Default)]
pub struct Handover {
    /// Where the terminal's master goes; none keeps it for the caller.
    pub console_socket: Option<OwnedFd>,
    /// File that gets the process id.
    pub pid_file: Option<PathBuf>,
    /// Socket that gets a pidfd of the process.
    pub pidfd_socket: Option<OwnedFd>,
}

/// A container that was made.
#[derive(Debug)]
pub struct Launched {
    /// Its first process.
    pub pid: i32,
    /// A pidfd of it.
    pub pidfd: OwnedFd,
    /// The terminal's master, when the caller keeps it.
    pub terminal: Option<OwnedFd>,
    /// Where it tells that it is ready, when it was started and somebody wants to know.
    pub readiness: Option<OwnedFd>,
    /// Its state directory, locked.
    pub entry: Entry,
    /// What is on record.
    pub record: Record,
    /// What went wrong without consequence.
    pub warnings: Vec<String>,
}

/// Why a container could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its state.
    #[error(transparent)]
    State(#[from] state::Error),
    /// Its cgroup.
    #[error(transparent)]
    Cgroup(#[from] cgroup::Error),
    /// Its class of service.
    #[error(transparent)]
    Resctrl(#[from] resctrl::Error),
    /// Its seccomp filter.
    #[error(transparent)]
    Seccomp(#[from] crate::seccomp::Error),
    /// Something that has to exist on the host.
    #[error("{pointer}: open {path}")]
    Open {
        /// JSON pointer of the path, or what it is for.
        pointer: String,
        /// The path.
        path: String,
        /// The cause.
        source: Errno,
    },
    /// A namespace of another kind.
    #[error("/linux/namespaces/{index}/path: {path} is {found}, not a {wanted} namespace")]
    NamespaceKind {
        /// Index of the entry.
        index: u32,
        /// The path.
        path: String,
        /// What it is.
        found: String,
        /// What was asked for.
        wanted: &'static str,
    },
    /// A pid namespace cannot be joined for children.
    #[error("/linux/namespaces/{index}: join the pid namespace")]
    JoinPid {
        /// Index of the entry.
        index: u32,
        /// The cause.
        source: Errno,
    },
    /// A new process was refused.
    #[error("clone3 with new {namespaces} namespaces")]
    Clone {
        /// Names of the namespaces.
        namespaces: String,
        /// The cause.
        source: Errno,
        /// What to do about it.
        hint: Option<&'static str>,
    },
    /// A mount namespace of the root file system alone was refused.
    #[error("/root/path: make a mount namespace of {path}")]
    MountNamespace {
        /// The path.
        path: String,
        /// The cause.
        source: Errno,
        /// What to do about it.
        hint: Option<&'static str>,
    },
    /// A process could not get into the container.
    #[error("{action} the container")]
    Enter {
        /// What was tried.
        action: &'static str,
        /// The cause.
        source: Errno,
        /// What to do about it.
        hint: Option<&'static str>,
    },
    /// The CPUs on which a process is to enter the container.
    #[error("/process/execCPUAffinity/initial: set the CPU affinity")]
    Affinity {
        /// The cause.
        source: Errno,
    },
    /// Id maps of the new user namespace.
    #[error("{pointer}: write {path}")]
    IdMaps {
        /// JSON pointer of the maps.
        pointer: String,
        /// The file.
        path: String,
        /// The cause.
        source: Errno,
        /// What to do about it.
        hint: Option<&'static str>,
    },
    /// Only a program of the administrator's may map other ids than the caller's own.
    #[error("{pointer}: {helper} is not installed, and without it only id {own} can be mapped")]
    NoIdHelper {
        /// JSON pointer of the maps.
        pointer: String,
        /// The program.
        helper: &'static str,
        /// The caller's own id.
        own: u32,
    },
    /// That program has refused.
    #[error("{pointer}: {helper}: {why}")]
    IdHelper {
        /// JSON pointer of the maps.
        pointer: String,
        /// The program.
        helper: &'static str,
        /// What it said.
        why: String,
    },
    /// The OOM score of a container in a user namespace.
    #[error("/process/oomScoreAdj: write {score} to oom_score_adj")]
    OomScore {
        /// The value.
        score: i32,
        /// The cause.
        source: Errno,
    },
    /// A network device that cannot become the container's.
    #[error("{pointer}: {action}")]
    NetDevice {
        /// JSON pointer of its entry.
        pointer: String,
        /// What was tried, with the kernel's own words.
        action: String,
        /// The cause.
        source: Errno,
        /// What to do about it.
        hint: Option<&'static str>,
    },
    /// A namespace whose only purpose is to map the ids of a mount.
    #[error("/mounts/{index}: make a user namespace for the id mappings")]
    MountUsers {
        /// Index of the entry.
        index: u32,
        /// The cause.
        source: Errno,
    },
    /// A mount whose ids cannot be mapped.
    #[error("/mounts/{index}: map the ids of {path}")]
    IdMappedMount {
        /// Index of the entry.
        index: u32,
        /// What is mounted.
        path: String,
        /// The cause.
        source: Errno,
        /// What to do about it.
        hint: Option<&'static str>,
    },
    /// The connection to init.
    #[error("talk to init")]
    Link {
        /// The cause.
        source: Errno,
    },
    /// The agent that answers for the seccomp filter.
    #[error("/linux/seccomp/listenerPath: send the listener to {path}")]
    Agent {
        /// Path of its socket.
        path: String,
        /// The cause.
        source: Errno,
    },
    /// Init has ended without a word.
    #[error("init ended during set-up with {how}")]
    InitEnded {
        /// How.
        how: String,
    },
    /// It takes too long.
    #[error("wait for process {pid} to {what}: not within {seconds} s (see --deadline setup)")]
    Late {
        /// The process.
        pid: i32,
        /// What it is to do.
        what: &'static str,
        /// How long was waited.
        seconds: u64,
    },
    /// The process has ended on its way to the program.
    #[error("process {pid} ended before it executed its program{}", how(.exit))]
    NotExecuted {
        /// The process.
        pid: i32,
        /// How, where that is known.
        exit: Option<Exit>,
    },
    /// Init has reported a failure.
    #[error(transparent)]
    Init(#[from] Box<InitError>),
    /// A hook has failed.
    #[error(transparent)]
    Hook(#[from] HookError),
    /// The terminal or the pidfd could not be handed over.
    #[error("send the {what} over {option}")]
    Send {
        /// What was sent.
        what: &'static str,
        /// The option that named the socket.
        option: &'static str,
        /// The cause.
        source: Errno,
    },
    /// The pid file.
    #[error("write pid file {path}")]
    PidFile {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: Errno,
    },
    /// Something the launcher needs for itself.
    #[error("{action}")]
    Own {
        /// What was tried.
        action: &'static str,
        /// The cause.
        source: Errno,
    },
}

/// How a process ended, after a sentence that says that it did.
fn how(exit: &Option<Exit>) -> String {
    exit.map_or_else(String::new, |exit| format!(": {exit}"))
}

/// Makes the container of a plan.
///
/// # Errors
/// Whatever failed first; everything that was made before it is gone again, but for what the
/// warnings of the attempt name.
pub fn launch(store: &Store, plan: &Plan, wish: Wish) -> Result<Launched, Error> {
    let entry = store.claim(&plan.id)?;
    let mut manager = match Manager::from_plan(plan.cgroup.clone()) {
        Ok(manager) => manager.patient(wish.deadlines.systemd),
        Err(error) => {
            let _ = entry.remove();
            return Err(error.into());
        }
    };
    let owner = process::geteuid();
    let mut record = Record::of_plan(plan, manager.record(), wish.now.clone(), owner);
    let start_hooks = hooks::patience(&plan.hooks.start_container, wish.deadlines.hook);
    record.start_hooks = u64::try_from(start_hooks.as_millis()).ok().filter(|wait| *wait > 0);
    if !plan.namespaces.has(Kind::Mount) {
        let before =
            open_root(plan.rootfs.path.as_bytes()).and_then(|root| fd::mount_id(root.as_fd()));
        // Without it nobody could tell the container's mounts from the caller's.
        let before = before.map_err(|source| Error::Open {
            pointer: "/root/path".to_owned(),
            path: plan.rootfs.path.to_string_lossy().into_owned(),
            source,
        });
        record.root_mount_before = Some(before.inspect_err(|_| drop(entry.remove()))?);
    }
    let mut undo = Undo {
        entry: &entry,
        record: &record,
        cgroup: false,
        resctrl: false,
        pidfd: None,
        net_devices: None,
        pid_file: None,
        stop_hooks: false,
        deadlines: wish.deadlines,
    };
    match make(&entry, plan, &mut manager, &record, wish, &mut undo) {
        Ok(Made { child, terminal, readiness, record, warnings }) => Ok(Launched {
            pid: child.pid,
            pidfd: child.pidfd,
            terminal,
            readiness,
            entry,
            record,
            warnings,
        }),
        Err(error) => {
            undo.carry_out(&manager);
            Err(error)
        }
    }
}

/// What [`make`] has made.
struct Made {
    child: spawn::Child,
    terminal: Option<OwnedFd>,
    readiness: Option<OwnedFd>,
    record: Record,
    warnings: Vec<String>,
}

fn make(
    entry: &Entry,
    plan: &Plan,
    manager: &mut Manager,
    record: &Record,
    wish: Wish,
    undo: &mut Undo<'_>,
) -> Result<Made, Error> {
    entry.commit(record)?;
    if plan.readiness.is_some() {
        entry.make_readiness()?;
    }
    wish.timing.done(Phase::State);
    let readiness = match wish.until {
        Until::Started if plan.readiness.is_some() => entry.listen_for_readiness()?,
        // Where there is something to listen for, whoever starts the program does.
        Until::Started | Until::Created => None,
    };
    // On failure it has undone its own work, and what is there then belongs to somebody else.
    let mut cgroup = manager.prepare_without_rules()?;
    undo.cgroup = true;
    wish.timing.done(Phase::Cgroup);
    let record = &Record { cgroup: manager.record(), ..record.clone() };
    if let (Some(class), Some(place)) = (&plan.resctrl, &record.resctrl) {
        resctrl::prepare(class, place)?;
        undo.resctrl = true;
    }
    let mut warnings = Vec::new();
    let states = stage::HookStates {
        creating: state_text(plan, record, Status::Creating),
        created: state_text(plan, record, Status::Created),
    };
    let staged =
        stage::stage(entry, plan, &cgroup, manager.has_cgroup(), &wish, states, &mut warnings)?;
    let filter = staged.input.program.as_ref().and_then(|program| program.seccomp.as_ref());
    if let Some((filter, _)) = filter {
        entry.keep_filter(filter)?;
    }
    let record = &Record { seccomp: filter.map(|(_, flags)| *flags), ..record.clone() };
    if !plan.hooks.create_container.is_empty() {
        // Init runs these without asking, and they are not ours.
        manager.enforce(&cgroup)?;
        cgroup.rules = Rules::Done;
    }
    wish.timing.done(Phase::Stage);
    let mut child = spawn::spawn(plan, staged, &cgroup)?;
    undo.pidfd = child.pidfd.try_clone().ok();
    wish.timing.done(Phase::Clone);
    // While init works.
    manager.enforce(&cgroup)?;
    wish.timing.done(Phase::Rules);
    entry.keep_template(&wish.template)?;

    let mut driver = drive::Driver { plan, record, manager, cgroup: &cgroup, wish: &wish, undo };
    let terminal = driver.drive(&mut child)?;
    wish.timing.done(Phase::Init);
    let identity = Identity::of(child.pid, child.pidfd.as_fd())
        .map_err(|source| Error::Own { action: "identify init", source })?;
    let init = Some(InitRecord { pid: child.pid, identity });
    let past_gate = wish.until == Until::Started;
    let created = Record { init, past_gate, ..record.clone() };
    entry.commit(&created)?;
    wish.timing.done(Phase::State);
    undo.pid_file.clone_from(&wish.handover.pid_file);
    hand_over(&wish.handover, &child)?;
    match wish.until {
        Until::Created => send(&child, ToInit::Committed)?,
        Until::Started => {
            send(&child, ToInit::Start)?;
            drive::await_exec(plan, &created, &child, wish.deadlines)?;
        }
    }
    wish.timing.done(Phase::Start);
    Ok(Made { child, terminal, readiness, record: created, warnings })
}

fn send(child: &spawn::Child, word: ToInit) -> Result<(), Error> {
    word.send(child.link.as_fd()).map_err(|source| Error::Link { source })
}

/// The pid file and the pidfd, both before the caller may count on the container.
fn hand_over(handover: &Handover, child: &spawn::Child) -> Result<(), Error> {
    if let Some(socket) = &handover.pidfd_socket {
        crate::sys::socket::send(socket.as_fd(), b"pidfd", Some(child.pidfd.as_fd()))
            .map_err(|source| Error::Send { what: "pidfd", option: "--pidfd-socket", source })?;
    }
    if let Some(path) = &handover.pid_file {
        pid_file::write(path, child.pid)
            .map_err(|source| Error::PidFile { path: path.clone(), source })?;
    }
    Ok(())
}

/// The state of runtime.md for hooks, open where the process id goes.
pub(crate) fn state_text(plan: &Plan, record: &Record, status: Status) -> StateText {
    state_of(plan.id.as_str(), record, status)
}

/// As [`state_text`], from the record alone.
pub(crate) fn state_of(id: &str, record: &Record, status: Status) -> StateText {
    #[derive(serde::Serialize)]
    #[serde(rename_all = "camelCase")]
    struct State<'a> {
        oci_version: &'a str,
        id: &'a str,
        status: Status,
        bundle: &'a std::path::Path,
        #[serde(skip_serializing_if = "std::collections::BTreeMap::is_empty")]
        annotations: &'a std::collections::BTreeMap<String, String>,
    }
    let state = State {
        oci_version: &record.oci_version,
        id,
        status,
        bundle: &record.bundle,
        annotations: &record.annotations,
    };
    // Only a bundle path that is no UTF-8 could fail, and the command line is checked for that.
    let mut before = serde_json::to_vec(&state).unwrap_or_else(|_| b"{}".to_vec());
    before.pop();
    before.extend_from_slice(b",\"pid\":");
    StateText { before, after: b"}".to_vec() }
}

/// What has to be undone when a container cannot be made.
pub(crate) struct Undo<'a> {
    entry: &'a Entry,
    record: &'a Record,
    /// Whether the cgroup is ours.
    cgroup: bool,
    /// Whether its class of service is made.
    resctrl: bool,
    pidfd: Option<OwnedFd>,
    /// Network devices that are in its namespace.
    net_devices: Option<net_devices::Moved>,
    /// The pid file, once it is written.
    pid_file: Option<PathBuf>,
    /// Whether hooks have been run, so that their counterparts have to be.
    stop_hooks: bool,
    deadlines: Deadlines,
}

impl Undo<'_> {
    /// Ends and removes everything. Failures here are not told: the first error is what the
    /// caller has to know, and `delete --force` tells what is left.
    fn carry_out(&mut self, manager: &Manager) {
        let deadline = Instant::now() + self.deadlines.end;
        if let Some(pidfd) = &self.pidfd {
            let _ = process::pidfd_signal(pidfd.as_fd(), SIGKILL);
        }
        // A frozen process of cgroup v1 dies only by what this does besides killing.
        let killed = if self.cgroup { manager.kill_all(deadline) } else { Ok(()) };
        let reaped = self.pidfd.as_ref().is_none_or(|pidfd| reap_until(pidfd, deadline));
        let ended = killed.and_then(|()| match self.cgroup {
            true => manager.remove(deadline),
            false => Ok(()),
        });
        if let (true, Some(place)) = (self.resctrl, &self.record.resctrl) {
            let _ = resctrl::remove(place);
        }
        if let Some(devices) = &mut self.net_devices {
            devices.give_back();
        }
        unmount(self.record);
        if let Some(path) = &self.pid_file {
            let _ = std::fs::remove_file(path);
        }
        if self.stop_hooks {
            let _ = run_poststop(self.entry.id.as_str(), self.record, self.deadlines.hook);
        }
        // What still lives can be found by its record.
        if ended.is_ok() && reaped {
            let _ = self.entry.remove();
        }
    }
}

/// Waits for a killed child's end and reaps it; `false` when it has not ended by then.
fn reap_until(pidfd: &OwnedFd, deadline: Instant) -> bool {
    let patience = deadline.saturating_duration_since(Instant::now()).as_millis();
    let patience = u32::try_from(patience).unwrap_or(u32::MAX);
    let ended = fd::poll_in([pidfd.as_fd()], Some(patience)).is_ok_and(|[ended]| ended);
    if ended {
        let _ = process::wait(Who::Pidfd(pidfd.as_fd()), Block::No);
    }
    ended
}

/// Takes away the mounts of a container that has no mount namespace of its own: all of them lie
/// below one that covers its root file system.
pub(crate) fn unmount(record: &Record) {
    let Some(before) = record.root_mount_before else { return };
    let root = open_root(record.rootfs.as_os_str().as_bytes());
    if let Ok(root) = root
        && fd::mount_id(root.as_fd()).is_ok_and(|now| now != before)
    {
        // What cannot be detached now is told by the next create, which finds it in its way.
        let _ = mount::detach(root.as_fd());
    }
}

fn open_root(path: &[u8]) -> Result<OwnedFd, Errno> {
    let path = CString::new(path).map_err(|_| Errno::EINVAL)?;
    fd::openat(fd::cwd(), &path, fd::O_PATH | fd::O_DIRECTORY, 0)
}
