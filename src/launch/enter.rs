//! The launcher's second story: another process for a container that is there.
//!
//! One clone, made inside the container's pid namespace and cgroup; the process joins the other
//! namespaces by itself. Nothing is written down: the process belongs to the container's cgroup,
//! and ends with it (specs/20-launch.md).

use super::spawn::Child;
use super::{Error, Handover, drive, hand_over, sentence};
use crate::cgroup::{Below, Manager};
use crate::deadlines::{Deadlines, milliseconds};
use crate::host;
use crate::init::enter::{self, Rights};
use crate::init::{MORE_ENVIRONMENT, Program};
use crate::plan::exec::ExecPlan;
use crate::plan::namespaces::Kind;
use crate::resctrl;
use crate::state::{Entry, Record};
use crate::sys::process::{self, Block, Cloned, StringArray, Who, ns};
use crate::sys::signal::number::SIGKILL;
use crate::sys::{Errno, errno_of, fd, sched, socket};
use crate::wire::{Step, ToInit, ToLauncher};
use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};

/// A container with a living first process.
#[derive(Debug)]
pub struct Container<'a> {
    /// Its state directory.
    pub entry: &'a Entry,
    /// What is on record.
    pub record: &'a Record,
    /// Number of its first process.
    pub pid: i32,
    /// A pidfd of it.
    pub pidfd: OwnedFd,
}

/// What the caller wants beside the plan.
#[derive(Debug)]
pub struct EnterWish {
    /// Who is to be told of the process.
    pub handover: Handover,
    /// Places below the container's cgroup, instead of that itself.
    pub below: Vec<Below>,
    /// How long anything is waited for.
    pub deadlines: Deadlines,
}

/// What a process is to do until it reports Ready.
const ENTER: &str = "enter the container";

/// A process that entered a container and executes its program.
#[derive(Debug)]
pub struct Entered {
    /// Its number.
    pub pid: i32,
    /// A pidfd of it.
    pub pidfd: OwnedFd,
    /// The terminal's master, when the caller keeps it.
    pub terminal: Option<OwnedFd>,
    /// What was done otherwise than usual.
    pub warnings: Vec<String>,
}

/// Executes a program in a container.
///
/// # Errors
/// Whatever failed first; no process is left then, and no pid file was written.
pub fn enter(container: Container<'_>, plan: &ExecPlan, wish: EnterWish) -> Result<Entered, Error> {
    let mut warnings = Vec::new();
    let record = container.record.cgroup.clone().below(&wish.below)?;
    let cgroup = Cgroup {
        manager: Manager::from_record(record)?,
        // A place that was asked for is meant, also when it is the container's cgroup itself.
        may_stray: wish.below.is_empty(),
    };
    let (child, placement) = spawn(&container, plan, &cgroup, &mut warnings)?;
    let placer = (placement == Placement::Open).then_some(&cgroup.manager);
    let terminal = drive(&container, &child, plan, placer, &wish).inspect_err(|_| {
        end(&child, wish.deadlines);
    })?;
    Ok(Entered { pid: child.pid, pidfd: child.pidfd, terminal, warnings })
}

/// Where the process goes.
struct Cgroup {
    manager: Manager,
    may_stray: bool,
}

/// Whether a process is in its cgroup.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Placement {
    /// From birth.
    Done,
    /// Not yet.
    Open,
}

fn spawn(
    container: &Container<'_>,
    plan: &ExecPlan,
    cgroup: &Cgroup,
    warnings: &mut Vec<String>,
) -> Result<(Child, Placement), Error> {
    let own = |action| move |source| Error::Own { action, source };
    let prepared = cgroup.manager.entrance()?;
    let birth = prepared.birth.as_ref().map(AsFd::as_fd);
    let passage = Passage::of(container.record);
    let (link, entry_link) = socket::packet_pair().map_err(own("make a socket pair"))?;
    let mut entry = enter::Entry {
        link: entry_link,
        container: fd::dup_above(container.pidfd.as_fd(), 0)
            .map_err(own("duplicate the pidfd of the container's process"))?,
        namespaces: passage.process,
        rights: passage.rights,
        root: open_root(container)?,
        placement: !prepared.is_placed() || container.record.resctrl.is_some(),
        program: program(container, plan)?,
    };
    if let (Rights::Inside, Some(score)) = (passage.rights, plan.wanted.process.oom_score_adj) {
        // Inherited: once the process is out of others' sight its file is out of our reach.
        std::fs::write("/proc/self/oom_score_adj", score.to_string()).map_err(|error| {
            let source = errno_of(&error);
            Error::OomScore { score, source }
        })?;
    }
    // Seen from inside from its first moment, and a copy of this process.
    process::set_undumpable().map_err(own("become undumpable"))?;
    let cpus = CpusBefore::change(plan)?;
    let home = passage.begin(container.pidfd.as_fd())?;
    let mut cloned = process::clone3(0, birth);
    if let Err(errno @ (Errno::EBUSY | Errno::EOPNOTSUPP)) = cloned
        && cgroup.may_stray
        && let Ok(Some((dir, path))) = cgroup.manager.cgroup_of(container.pid)
    {
        let why = crate::error::describe(errno);
        warnings.push(format!(
            "the container's cgroup takes no process ({why}), so this one joins the first in {}",
            path.display()
        ));
        cloned = process::clone3(0, Some(dir.as_fd()));
    }
    if let Ok(Cloned::Child) = cloned {
        enter::run(plan, &mut entry);
    }
    passage.end(home, &cloned)?;
    cpus.restore();
    match cloned {
        Ok(Cloned::Parent { pid, pidfd }) => {
            let placement = if prepared.is_placed() { Placement::Done } else { Placement::Open };
            Ok((Child { pid, pidfd, link, unmapped: Vec::new() }, placement))
        }
        // The process never returns.
        Ok(Cloned::Child) => process::exit_now(1),
        Err(source) => {
            Err(Error::Enter { action: "start a process in", source, hint: hint(source) })
        }
    }
}

fn hint(errno: Errno) -> Option<&'static str> {
    match errno {
        Errno::EBUSY => Some(
            "its cgroup has children with controllers and therefore takes no process itself: \
             name one of them with --cgroup",
        ),
        Errno::EAGAIN => Some("a limit on processes is reached: ulimit -u, pids.max, pid_max"),
        Errno::ENOMEM => Some("the container's first process may have ended in this moment"),
        Errno::ENODEV => Some("the container may have been deleted in this moment"),
        Errno::EACCES => Some("entering a cgroup needs write access to its cgroup.procs"),
        _ => None,
    }
}

/// Who joins which namespaces.
struct Passage {
    /// By this process, for its children.
    launcher: u64,
    /// By the new process.
    process: u64,
    rights: Rights,
}

impl Passage {
    fn of(record: &Record) -> Self {
        let all = record.namespaces.iter().fold(0, |flags, kind| flags | kind.flag());
        let rights = if host::is_root() { Rights::Outside } else { Rights::Inside };
        // Without privileges of its own the launcher has them in the user namespace that it owns,
        // and can join the pid namespace only from there.
        let launcher = match rights {
            Rights::Outside => all & ns::PID,
            Rights::Inside => all & (ns::PID | ns::USER),
        };
        Self { launcher, process: all & !launcher, rights }
    }

    /// Sets the pid namespace of the next child and returns the present one.
    fn begin(&self, container: std::os::fd::BorrowedFd<'_>) -> Result<Option<OwnedFd>, Error> {
        if self.launcher == 0 {
            return Ok(None);
        }
        let join =
            |source| Error::Enter { action: "join the pid namespace of", source, hint: None };
        let home = fd::openat(fd::cwd(), c"/proc/self/ns/pid", fd::O_RDONLY, 0).map_err(join)?;
        process::setns(container, self.launcher).map_err(join)?;
        Ok(Some(home))
    }

    /// Returns to the own pid namespace. Who is not root of the machine cannot, as the namespace is
    /// somebody else's, and makes no more children.
    fn end(&self, home: Option<OwnedFd>, cloned: &Result<Cloned, Errno>) -> Result<(), Error> {
        let Some(home) = home.filter(|_| self.rights == Rights::Outside) else { return Ok(()) };
        process::setns(home.as_fd(), ns::PID).map_err(|source| {
            if let Ok(Cloned::Parent { pidfd, .. }) = cloned {
                let _ = process::pidfd_signal(pidfd.as_fd(), SIGKILL);
            }
            Error::Own { action: "return to the own pid namespace", source }
        })
    }
}

/// The CPUs of this process before it took those that a new one starts on.
struct CpusBefore(Option<Vec<u64>>);

impl CpusBefore {
    fn change(plan: &ExecPlan) -> Result<Self, Error> {
        let Some(cpus) = &plan.wanted.affinity.initial else { return Ok(Self(None)) };
        let before = sched::affinity()
            .map_err(|source| Error::Own { action: "read the CPU affinity", source })?;
        sched::set_affinity(&cpus.0).map_err(|source| Error::Affinity { source })?;
        Ok(Self(Some(before)))
    }

    fn restore(self) {
        if let Some(before) = self.0 {
            // Where this process runs matters to nobody but itself.
            let _ = sched::set_affinity(&before);
        }
    }
}

/// The root directory of a container that shares the mount namespace of its creator.
fn open_root(container: &Container<'_>) -> Result<Option<OwnedFd>, Error> {
    if container.record.namespaces.contains(&Kind::Mount) {
        return Ok(None);
    }
    let failed = |source| Error::Enter { action: "open the root directory of", source, hint: None };
    let path = CString::new(format!("/proc/{}/root", container.pid)).unwrap_or_default();
    let root = fd::openat(fd::cwd(), &path, fd::O_PATH | fd::O_DIRECTORY, 0).map_err(failed)?;
    // The number could have been given to another process meanwhile.
    match fd::poll_in([container.pidfd.as_fd()], Some(0)).map_err(failed)? {
        [true] => Err(failed(Errno::ESRCH)),
        [false] => Ok(Some(root)),
    }
}

fn program(container: &Container<'_>, plan: &ExecPlan) -> Result<Program, Error> {
    let process = &plan.wanted.process;
    Ok(Program {
        args: StringArray::new(process.args.clone(), 0),
        env: StringArray::new(process.env.clone(), MORE_ENVIRONMENT),
        seccomp: container.entry.filter(container.record)?,
    })
}

/// Answers the process until its program is executed, and only then tells others of it.
fn drive(
    container: &Container<'_>,
    child: &Child,
    plan: &ExecPlan,
    placer: Option<&Manager>,
    EnterWish { handover, deadlines, .. }: &EnterWish,
) -> Result<Option<OwnedFd>, Error> {
    let deadlines = *deadlines;
    let link = |source| Error::Link { source };
    let mut terminal = None;
    loop {
        let frame = drive::receive(child.link.as_fd(), child.pid, ENTER, deadlines.setup)?;
        let Some((message, fd)) = frame else { return Err(drive::ended(child)) };
        match message {
            ToLauncher::Waiting(Step::AwaitPlacement) => {
                if let Some(manager) = placer {
                    manager.place(child.pid)?;
                }
                if let Some(class) = &container.record.resctrl {
                    resctrl::place(class, child.pid)?;
                }
                ToInit::Go.send(child.link.as_fd()).map_err(link)?;
            }
            ToLauncher::Terminal => terminal = drive::hand_on(handover, fd)?,
            ToLauncher::Ready => break,
            ToLauncher::Failed(failure) => return Err(sentence::of_exec(plan, &failure)),
            ToLauncher::Waiting(_) | ToLauncher::Listener | ToLauncher::Born(_) => {
                return Err(link(Errno::EBADMSG));
            }
        }
    }
    let (id, record) = (container.entry.id.as_str(), container.record);
    if let Some(failure) =
        drive::answer(id, record, (child.pid, child.pidfd.as_fd()), child.link.as_fd(), deadlines)?
    {
        return Err(sentence::of_exec(plan, &failure));
    }
    hand_over(handover, child)?;
    Ok(terminal)
}

/// Ends a process that is of no use, for as long as somebody would wait for it.
fn end(child: &Child, deadlines: Deadlines) {
    let _ = process::pidfd_signal(child.pidfd.as_fd(), SIGKILL);
    // In a cgroup that is frozen (v1) it ends when that is thawed.
    if let Ok([true]) = fd::poll_in([child.pidfd.as_fd()], Some(milliseconds(deadlines.end))) {
        let _ = process::wait(Who::Pidfd(child.pidfd.as_fd()), Block::Yes);
    }
}
