//! The end of the story: the program is found, init waits to be started, and executes it.

use super::{At, Link, Program, process};
use crate::plan::{Descriptors, ProcessPlan};
use crate::sys::seccomp::{self, NEW_LISTENER};
use crate::sys::{self, Errno, cred, fd, socket};
use crate::wire::{Failure, Step, ToInit, ToLauncher};
use std::convert::Infallible;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

/// The first candidate that the program's user may execute. The search is done at create, so
/// that create can tell what start could not do.
pub(super) fn find(wanted: &ProcessPlan) -> Result<&CStr, Failure> {
    first_executable(&wanted.process.candidates).at(Step::FindExecutable, 0)
}

/// The first file that the caller may execute.
///
/// # Errors
/// As execvp(3): a refusal is only told when nothing else is found, else `ENOENT`.
pub fn first_executable(candidates: &[CString]) -> sys::Result<&CStr> {
    let mut refused = Errno::ENOENT;
    for candidate in candidates {
        match executable(candidate) {
            Ok(()) => return Ok(candidate),
            Err(Errno::ENOENT | Errno::ENOTDIR) if candidates.len() > 1 => {}
            Err(errno) => refused = errno,
        }
    }
    Err(refused)
}

fn executable(path: &CStr) -> sys::Result<()> {
    match fd::stat_at(fd::cwd(), path)?.kind() {
        fd::S_IFDIR => Err(Errno::EISDIR),
        _ => fd::may_execute(path),
    }
}

/// Lets go of every descriptor but the program's and those that are still needed: none of the
/// host's may be open in a process that can be seen from inside the container (CVE-2016-9962,
/// CVE-2024-21626).
pub(super) fn let_go<const N: usize>(
    descriptors: Descriptors,
    mut keep: [Option<RawFd>; N],
) -> Result<(), Failure> {
    keep.sort_unstable();
    let keep = keep.map(|fd| fd.unwrap_or(-1));
    fd::close_from_except(descriptors.end(), &keep).at(Step::CloseDescriptors, 0)
}

/// Says over the link, the only tie to the launcher from now on, that all is ready: a death
/// signal would come when the launcher has done its work, too.
pub(super) fn report_ready(link: BorrowedFd<'_>) -> Result<(), Failure> {
    sys::process::outlive_parent().at(Step::Ready, 0)?;
    ToLauncher::Ready.send(link, None).at(Step::Ready, 0)
}

/// How long a connection to the gate may say nothing, in milliseconds.
const SILENCE: u32 = 1000;

/// How long init waits before it tries to accept a connection again, in milliseconds.
const PAUSE: u32 = 20;

/// Waits until somebody starts the program, and leaves in `link` whom to tell when that fails.
pub(super) fn await_start(
    launcher: BorrowedFd<'_>,
    gate: Option<&OwnedFd>,
    link: &mut Link,
) -> Result<(), Failure> {
    let step = Step::AwaitStart;
    match ToInit::receive(launcher).at(step, 0)? {
        // The launcher is gone before the container was on record: nobody will start it.
        None => sys::process::exit_now(1),
        Some(ToInit::Start) => return Ok(()),
        Some(ToInit::Committed) => {}
        Some(ToInit::Go) => return Err(Failure::new(step, 0, Errno::EBADMSG)),
    }
    let Some(gate) = gate else { return Err(Failure::new(step, 0, Errno::EBADF)) };
    // While nobody has come in, nobody could be told why init has ended. The link, all that there is
    // to be closed, is close-on-exec.
    let _ = fd::close_from_except(launcher.as_raw_fd(), &[gate.as_raw_fd()]);
    loop {
        // What it lacks now (descriptors, memory) it may have in a moment, and whoever starts it
        // has a deadline.
        let Ok(connection) = socket::accept(gate.as_fd()) else {
            // A wait for nothing; that it fails is no reason not to try again.
            let _ = fd::poll_in([], Some(PAUSE));
            continue;
        };
        // A connection without a word only asks whether init is still waiting; one that stays
        // silent keeps nobody else out for long.
        if let Ok([false]) = fd::poll_in([connection.as_fd()], Some(SILENCE)) {
            continue;
        }
        if let Ok(Some(ToInit::Start)) = ToInit::receive(connection.as_fd()) {
            *link = Link::Starter(connection);
            return Ok(());
        }
    }
}

fn install_filter(program: &Program, link: BorrowedFd<'_>) -> Result<(), Failure> {
    let Some((filter, flags)) = &program.seccomp else { return Ok(()) };
    if flags & NEW_LISTENER == 0 {
        return seccomp::install(filter, *flags).at(Step::Seccomp, 0).map(drop);
    }
    seccomp::install_and_give(filter, *flags, &|listener| give(link, listener))
        .at(Step::Listener, 0)
}

/// Sends the listener to whoever starts the program, and waits until the agent has it.
fn give(link: BorrowedFd<'_>, listener: BorrowedFd<'_>) -> sys::Result<()> {
    ToLauncher::Listener.send(link, Some(listener))?;
    match ToInit::receive(link)? {
        Some(ToInit::Go) => Ok(()),
        None => Err(Errno::EPIPE),
        Some(_) => Err(Errno::EBADMSG),
    }
}

/// The last steps. Everything that a filter could forbid is behind us but execve, the
/// report of a failure and, without no_new_privs, the last narrowing of the capabilities.
pub(super) fn execute(
    wanted: &ProcessPlan,
    program: &Program,
    path: &CStr,
    link: BorrowedFd<'_>,
) -> Result<Infallible, Failure> {
    process::lower_limits(wanted)?;
    if wanted.process.no_new_privileges {
        sys::process::set_no_new_privileges().at(Step::NoNewPrivileges, 0)?;
        process::narrow(wanted)?;
        install_filter(program, link)?;
    } else {
        // A filter then needs CAP_SYS_ADMIN, which the program may not have.
        if program.seccomp.is_some() {
            cred::capset(wanted.filter_caps()).at(Step::Capabilities, 0)?;
            install_filter(program, link)?;
        }
        process::narrow(wanted)?;
    }
    match sys::process::execve(path, &program.args, &program.env) {
        Err(errno) => Err(Failure::new(Step::Exec, 0, errno)),
        Ok(never) => match never {},
    }
}
