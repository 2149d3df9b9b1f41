//! Floor 4, inside: what happens between clone3 and execve, as one story.
//!
//! Init allocates nothing, formats nothing and decides nothing: the plan holds what to do, the
//! [`Input`] what was opened for it, and [`run`] the order. Each step is numbered; a failure is
//! the step, the item and what the kernel answered, from which the launcher writes the sentence
//! (specs/22-init.md says for each step why it stands where it stands).

mod apart;
mod devices;
pub mod enter;
mod exec;
mod hooks;
mod mounts;
mod namespaces;
mod paths;
mod process;
mod rootfs;
mod tty;

use apart::Apart;
pub use exec::first_executable;
pub use hooks::{Fault, Hook, StateText};
pub use namespaces::Sight;
use namespaces::Turn;

use crate::plan::Plan;
use crate::plan::namespaces::Kind;
use crate::sys::seccomp::SockFilter;
use crate::sys::{self, Errno, fd, noalloc};
use crate::wire::{Failure, Step, ToInit, ToLauncher};
use std::convert::Infallible;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// Everything that init needs and cannot make itself, prepared by the launcher.
#[derive(Debug)]
pub struct Input {
    /// The connection to the launcher.
    pub link: OwnedFd,
    /// Where the start operation connects; none when the launcher itself starts the program.
    pub gate: Option<OwnedFd>,
    /// Who may look into it until it is root of its user namespace.
    pub sight: Sight,
    /// What has to be waited for.
    pub waits: Waits,
    /// Namespaces that can be made only after the first wait (`CLONE_NEW*`).
    pub unshare: u64,
    /// What it takes to be born in a user namespace that was joined; none where clone3 has done
    /// it all.
    pub birth: Option<Birth>,
    /// What it takes to enter a new time namespace; none without one.
    pub clocks: Option<Clocks>,
    /// Namespaces to join, parallel to the plan's list; none where the launcher has seen to it.
    pub namespaces: Vec<Option<OwnedFd>>,
    /// The mount namespace to enter; none where init is born in its own, which begins with the
    /// host's mounts.
    pub apart: Option<OwnedFd>,
    /// Detached copies of bind sources, parallel to the plan's mounts; none for other mounts.
    pub sources: Vec<Option<OwnedFd>>,
    /// Whether the container has a cgroup of its own, and not its caller's.
    pub has_cgroup: bool,
    /// createContainer hooks and the state that they read.
    pub create_container: (Vec<Hook>, StateText),
    /// startContainer hooks and the state that they read.
    pub start_container: (Vec<Hook>, StateText),
    /// The program's arguments and environment, and its seccomp filter.
    pub program: Option<Program>,
}

/// What only a stage can make init with: namespaces that have to belong to a user namespace given by
/// path, as only a process in it can make them so; a pid namespace to join, where the launcher could
/// not return to its own. No process can be moved to another pid namespace.
#[derive(Debug)]
pub struct Birth {
    /// Those that init is born in (`CLONE_NEW*`).
    pub namespaces: u64,
    /// The pid namespace to join.
    pub pids: Option<OwnedFd>,
}

/// A new time namespace.
#[derive(Debug)]
pub struct Clocks {
    /// The host's /proc, as a joined mount namespace may have none.
    pub procfs: OwnedFd,
    /// Text for `timens_offsets`; empty when no clock is offset.
    pub offsets: Vec<u8>,
}

/// What the kernel needs to execute the program.
#[derive(Debug)]
pub struct Program {
    /// Arguments.
    pub args: sys::process::StringArray,
    /// Environment, with room for `HOME` and `LISTEN_PID`.
    pub env: sys::process::StringArray,
    /// The compiled filter and the flags of seccomp(2).
    pub seccomp: Option<(Vec<SockFilter>, u32)>,
}

/// Entries of the environment that only the process itself can tell: `HOME` is in the image's
/// passwd, `LISTEN_PID` its own number.
pub const MORE_ENVIRONMENT: usize = 2;

/// Which waits the launcher answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waits {
    /// For id maps or a place in a cgroup.
    pub placement: bool,
    /// For prestart and createRuntime hooks, and network devices.
    pub hooks: bool,
}

/// A result whose error can be given the step that it happened in.
trait At<T> {
    /// Names the step and the item.
    fn at(self, step: Step, item: usize) -> Result<T, Failure>;
}

impl<T> At<T> for sys::Result<T> {
    fn at(self, step: Step, item: usize) -> Result<T, Failure> {
        noalloc::forbid(step as u8);
        self.map_err(|errno| Failure::new(step, item as u32, errno))
    }
}

/// Becomes the container's process, or reports why not and ends.
pub fn run(plan: &Plan, input: &mut Input) -> ! {
    noalloc::forbid(Step::Tether as u8);
    let mut link = Link::Launcher(fd::borrow(input.link.as_raw_fd()));
    let failure = match story(plan, input, &mut link) {
        Ok(never) => match never {},
        Err(failure) => failure,
    };
    // Nobody is left to tell when this fails, and the exit status says the same.
    let _ = ToLauncher::Failed(failure).send(link.as_fd(), None);
    sys::process::exit_now(1)
}

/// The story, one step after the other.
fn story(plan: &Plan, input: &mut Input, link: &mut Link) -> Result<Infallible, Failure> {
    let joins_users = plan.namespaces.joined(Kind::User).is_some();
    namespaces::tether(input.sight)?;
    if !joins_users {
        namespaces::be_born(plan, input)?;
    }
    if input.waits.placement {
        wait_for_launcher(input.link.as_fd(), Step::AwaitPlacement)?;
    }
    namespaces::enter_users(plan, input)?;
    namespaces::enter_time(input)?;
    namespaces::become_root(plan)?;
    if joins_users {
        namespaces::be_born(plan, input)?;
    }
    namespaces::join(plan, input)?;
    namespaces::unshare(input.unshare)?;
    namespaces::start_session(&plan.keyring, Turn::First)?;
    namespaces::name_host(plan)?;

    let apart = input.apart.take().map(Apart::beside).transpose().at(Step::EnterMounts, 0)?;
    let apart = ManuallyDrop::new(apart);
    let own_mount = rootfs::make(plan, apart.as_ref())?;
    let null = paths::copy_null_if_needed(plan, apart.as_ref())?;
    mounts::make_ahead(plan, input, apart.as_ref())?;
    // Never dropped: `let_go` closes all descriptors by number, and a second close could hit
    // one that is new under the same number.
    let root = ManuallyDrop::new(rootfs::enter(own_mount, apart.as_ref())?);
    let views = mounts::mount_all(plan, input, apart.as_ref(), root.as_fd())?;
    devices::make_all(plan, apart.as_ref(), root.as_fd())?;
    let terminal = ManuallyDrop::new(tty::open(plan, input, root.as_fd())?);
    rootfs::make_working_directory(plan, root.as_fd());

    if input.waits.hooks {
        wait_for_launcher(input.link.as_fd(), Step::AwaitHooks)?;
    }
    hooks::run_all(&input.create_container, Step::CreateContainerHook)?;
    rootfs::switch(plan, apart.as_ref(), root.as_fd())?;

    let procfs = ManuallyDrop::new(process::procfs_if(plan.writes_procfs())?);
    paths::write_sysctls(plan, procfs.as_ref())?;
    paths::restrict(plan, root.as_fd(), &views, null)?;
    mounts::seal(plan, input)?;
    rootfs::finish(plan, root.as_fd())?;

    let kept = [Some(input.link.as_raw_fd()), input.gate.as_ref().map(AsRawFd::as_raw_fd)];
    if let (Some(wanted), Some(program)) = (&plan.process, &mut input.program) {
        let score = wanted.process.oom_score_adj.filter(|_| !plan.namespaces.has(Kind::User));
        process::limit(wanted, score, procfs.as_ref())?;
        tty::become_standard_streams(wanted, terminal.as_ref())?;
        process::change_identity(wanted)?;
        let (home, listener) =
            (process::find_home(wanted)?, process::name_listener(plan.descriptors)?);
        for entry in [&home, &listener].into_iter().flatten() {
            program.env.push(entry.as_c_str());
        }
        let path = exec::find(wanted)?;
        exec::let_go(plan.descriptors, kept)?;
        exec::report_ready(input.link.as_fd())?;
        exec::await_start(input.link.as_fd(), input.gate.as_ref(), link)?;
        hooks::run_all(&input.start_container, Step::StartContainerHook)?;
        return exec::execute(wanted, program, path, link.as_fd());
    }
    exec::let_go(plan.descriptors, kept)?;
    exec::report_ready(input.link.as_fd())?;
    exec::await_start(input.link.as_fd(), input.gate.as_ref(), link)?;
    // start refuses a container without a process, so nobody gets here but by mistake.
    Err(Failure::new(Step::Exec, 0, Errno::ENOENT))
}

/// To whom a failure is told: the launcher until it has committed, then whoever starts.
enum Link {
    Launcher(BorrowedFd<'static>),
    Starter(OwnedFd),
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Launcher(fd) => *fd,
            Self::Starter(fd) => fd.as_fd(),
        }
    }
}

/// Tells the launcher that its turn has come and waits until it is done.
fn wait_for_launcher(link: BorrowedFd<'_>, step: Step) -> Result<(), Failure> {
    ToLauncher::Waiting(step).send(link, None).at(step, 0)?;
    await_go(link, step)
}

/// Waits for the launcher's word to go on.
fn await_go(link: BorrowedFd<'_>, step: Step) -> Result<(), Failure> {
    match ToInit::receive(link).at(step, 0)? {
        Some(ToInit::Go) => Ok(()),
        // Without a launcher nobody wants this container any more.
        None => sys::process::exit_now(1),
        Some(_) => Err(Failure::new(step, 0, Errno::EBADMSG)),
    }
}
