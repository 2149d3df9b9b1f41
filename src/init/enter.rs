//! The second story: a process that enters a container that is there.

use super::namespaces::{self, Sight, Turn};
use super::{At, Program, exec, process, tty, wait_for_launcher};
use crate::plan::exec::ExecPlan;
use crate::sys::{self, fd, noalloc};
use crate::wire::{Failure, Step, ToLauncher};
use std::convert::Infallible;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// Everything that the process needs and cannot make itself, prepared by the launcher.
#[derive(Debug)]
pub struct Entry {
    /// The connection to the launcher.
    pub link: OwnedFd,
    /// A pidfd of the container's first process.
    pub container: OwnedFd,
    /// `CLONE_NEW*` flags of the namespaces to join; the launcher has seen to the others.
    pub namespaces: u64,
    /// Where the rights are that limits and labels ask for.
    pub rights: Rights,
    /// The root directory of a container without a mount namespace.
    pub root: Option<OwnedFd>,
    /// Whether the launcher has to place the process in its cgroup first.
    pub placement: bool,
    /// The program's arguments and environment, and its seccomp filter.
    pub program: Program,
}

/// Where a process has the rights that limits and labels ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    /// In the launcher's user namespace, which it therefore leaves last.
    Outside,
    /// Only in the container's, whose owner the launcher is.
    Inside,
}

/// Becomes a process of the container, or reports why not and ends.
pub fn run(plan: &ExecPlan, entry: &mut Entry) -> ! {
    noalloc::forbid(Step::Tether as u8);
    let link = fd::borrow(entry.link.as_raw_fd());
    let failure = match story(plan, entry) {
        Ok(never) => match never {},
        Err(failure) => failure,
    };
    // Nobody is left to tell when this fails, and the exit status says the same.
    let _ = ToLauncher::Failed(failure).send(link, None);
    sys::process::exit_now(1)
}

/// The story, one step after the other. Owners of descriptors are never dropped, for the reason
/// that the first story gives.
fn story(plan: &ExecPlan, entry: &mut Entry) -> Result<Infallible, Failure> {
    let (wanted, link) = (&plan.wanted, fd::borrow(entry.link.as_raw_fd()));
    namespaces::tether(Sight::Hidden)?;
    // This process can be seen from inside the container since its birth.
    let root = entry.root.as_ref().map(AsRawFd::as_raw_fd);
    let needed = [Some(entry.link.as_raw_fd()), Some(entry.container.as_raw_fd()), root];
    exec::let_go(plan.descriptors, needed)?;
    if entry.placement {
        wait_for_launcher(link, Step::AwaitPlacement)?;
    }
    process::choose_cpus(wanted)?;

    if entry.rights == Rights::Outside {
        let procfs = ManuallyDrop::new(process::procfs_if(wanted.writes_procfs())?);
        process::limit(wanted, wanted.process.oom_score_adj, procfs.as_ref())?;
    }
    sys::process::setns(entry.container.as_fd(), entry.namespaces).at(Step::EnterNamespaces, 0)?;
    if let Some(ids) = plan.users {
        namespaces::leave_groups()?;
        namespaces::take_ids(ids)?;
    }
    if let Some(root) = &entry.root {
        fd::fchdir(root.as_fd()).at(Step::EnterRoot, 0)?;
        fd::chroot(c".").at(Step::EnterRoot, 0)?;
    }
    if entry.rights == Rights::Inside {
        let procfs = ManuallyDrop::new(process::procfs_if(wanted.writes_procfs())?);
        // The score came with the birth.
        process::limit(wanted, None, procfs.as_ref())?;
    }
    namespaces::start_session(&plan.keyring, Turn::Later)?;

    let terminal = ManuallyDrop::new(open_terminal(plan, entry)?);
    tty::become_standard_streams(wanted, terminal.as_ref())?;
    process::change_identity(wanted)?;
    let (home, listener) = (process::find_home(wanted)?, process::name_listener(plan.descriptors)?);
    for more in [&home, &listener].into_iter().flatten() {
        entry.program.env.push(more.as_c_str());
    }
    let path = exec::find(wanted)?;
    exec::let_go(plan.descriptors, [Some(link.as_raw_fd())])?;
    exec::report_ready(link)?;
    exec::execute(wanted, &entry.program, path, link)
}

/// A terminal of the container's own devpts; /dev/console stays the first process's.
fn open_terminal(plan: &ExecPlan, entry: &Entry) -> Result<Option<OwnedFd>, Failure> {
    let Some(terminal) = &plan.wanted.process.terminal else { return Ok(None) };
    let flags = fd::O_PATH | fd::O_DIRECTORY;
    let root = ManuallyDrop::new(fd::openat(fd::cwd(), c"/", flags, 0).at(Step::Terminal, 0)?);
    let (master, slave) = tty::pair(terminal, root.as_fd())?;
    tty::hand_over(master, entry.link.as_fd())?;
    Ok(Some(slave))
}
