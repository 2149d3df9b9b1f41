//! Between clone and commit: the launcher answers what init says.

use super::spawn::Child;
use super::{
    Error, Handover, Undo, Wish, hooks, listener, net_devices, sentence, state_text, userns,
};
use crate::cgroup::{Manager, Prepared};
use crate::deadlines::{Deadlines, milliseconds};
use crate::plan::Plan;
use crate::plan::namespaces::Kind;
use crate::resctrl;
use crate::state::{EarlyEnd, Record, Status, end_before_program};
use crate::sys::process::{self, Block, Who};
use crate::sys::{Errno, fd, socket, tty};
use crate::timing::Phase;
use crate::wire::{Failure, Step, ToInit, ToLauncher};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// What the launcher knows while init is being set up.
pub(super) struct Driver<'a, 'u> {
    pub plan: &'a Plan,
    pub record: &'a Record,
    pub manager: &'a Manager,
    pub cgroup: &'a Prepared,
    pub wish: &'a Wish,
    pub undo: &'a mut Undo<'u>,
}

impl Driver<'_, '_> {
    /// Answers frames until init is ready; the terminal's master, when the caller keeps it.
    pub(super) fn drive(&mut self, child: &mut Child) -> Result<Option<OwnedFd>, Error> {
        let mut terminal = None;
        let deadlines = self.wish.deadlines;
        let inside = hooks::patience(&self.plan.hooks.create_container, deadlines.hook);
        let patience = deadlines.setup + inside;
        loop {
            let frame = receive(child.link.as_fd(), child.pid, SET_UP, patience)?;
            let Some((message, fd)) = frame else { return Err(ended(child)) };
            match message {
                ToLauncher::Waiting(step) => self.answer(step, child)?,
                ToLauncher::Terminal => terminal = hand_on(&self.wish.handover, fd)?,
                ToLauncher::Listener => return Err(Error::Link { source: Errno::EBADMSG }),
                ToLauncher::Born(pid) => self.replace(child, pid, fd)?,
                ToLauncher::Ready => return Ok(terminal),
                ToLauncher::Failed(failure) => {
                    // runtime.md, Lifecycle: once hooks may have run, those of the end run too.
                    self.undo.stop_hooks |= failure.step as u8 >= Step::CreateContainerHook as u8;
                    return Err(sentence::of(self.plan, &failure));
                }
            }
        }
    }

    /// The stage has made init, which waits to be known, and ended.
    fn replace(
        &mut self,
        child: &mut Child,
        pid: i32,
        pidfd: Option<OwnedFd>,
    ) -> Result<(), Error> {
        let pidfd = pidfd.ok_or(Error::Link { source: Errno::EBADMSG })?;
        self.undo.pidfd = pidfd.try_clone().ok();
        let stage = std::mem::replace(&mut child.pidfd, pidfd);
        child.pid = pid;
        process::wait(Who::Pidfd(stage.as_fd()), Block::Yes)
            .map_err(|source| Error::Own { action: "reap the stage", source })?;
        ToInit::Go.send(child.link.as_fd()).map_err(|source| Error::Link { source })
    }

    fn answer(&mut self, step: Step, child: &Child) -> Result<(), Error> {
        self.wish.timing.done(Phase::Init);
        match step {
            Step::AwaitPlacement => self.place(child)?,
            Step::AwaitHooks => self.run_hooks(child.pid)?,
            _ => return Err(Error::Link { source: Errno::EBADMSG }),
        }
        self.wish.timing.done(match step {
            Step::AwaitPlacement => Phase::Placement,
            _ => Phase::Hooks,
        });
        ToInit::Go.send(child.link.as_fd()).map_err(|source| Error::Link { source })
    }

    fn place(&mut self, child: &Child) -> Result<(), Error> {
        let pid = child.pid;
        if !self.cgroup.is_placed() {
            let placed = self.manager.place(pid);
            self.undo.cgroup &= !placed.as_ref().is_err_and(|error| error.is_anothers());
            placed?;
        }
        if let Some(class) = &self.record.resctrl {
            resctrl::place(class, pid)?;
        }
        if let (Some(maps), true) = (&self.plan.id_maps, self.plan.namespaces.is_new(Kind::User)) {
            userns::write_maps(pid, maps, "/linux", self.wish.deadlines.hook)?;
            userns::map_as_container(self.plan, pid, &child.unmapped)?;
        }
        if let Some(score) = self.plan.launcher_scores() {
            userns::write_proc(pid, "oom_score_adj", &score.to_string())
                .map_err(|source| Error::OomScore { score, source })?;
        }
        for limit in self.plan.launcher_limits() {
            // Init finds out what is missing, and can name the entry.
            let _ = process::raise_rlimit(pid, limit.resource, limit.hard);
        }
        Ok(())
    }

    fn run_hooks(&mut self, pid: i32) -> Result<(), Error> {
        if !self.plan.net_devices.is_empty() {
            self.undo.net_devices = Some(net_devices::move_all(&self.plan.net_devices, pid)?);
        }
        self.undo.stop_hooks = true;
        // To prestart hooks, which are older than the state creating, the container has always
        // been created.
        let created = state_text(self.plan, self.record, Status::Created);
        let creating = state_text(self.plan, self.record, Status::Creating);
        let deadline = self.wish.deadlines.hook;
        hooks::run_all(&self.plan.hooks.prestart, self.plan, &created, pid, deadline)?;
        hooks::run_all(&self.plan.hooks.create_runtime, self.plan, &creating, pid, deadline)?;
        Ok(())
    }
}

/// Sends the master to whoever waits for it; without a socket the caller keeps it, and it has the
/// size of the caller's own terminal from the start.
pub(super) fn hand_on(
    handover: &Handover,
    master: Option<OwnedFd>,
) -> Result<Option<OwnedFd>, Error> {
    let master = master.ok_or(Error::Link { source: Errno::EBADMSG })?;
    let Some(socket) = &handover.console_socket else {
        if let Some(size) = tty::window_size_of_caller() {
            // A size that cannot be set is no reason to end a process.
            let _ = tty::set_window_size(master.as_fd(), size);
        }
        return Ok(Some(master));
    };
    // Engines want at least one byte and take it for a name.
    socket::send(socket.as_fd(), b"/dev/ptmx", Some(master.as_fd()))
        .map_err(|source| Error::Send { what: "terminal", option: "--console-socket", source })?;
    Ok(None)
}

/// Waits until the program is executed, which closes the link, or the failure comes.
pub(super) fn await_exec(
    plan: &Plan,
    record: &Record,
    child: &Child,
    deadlines: Deadlines,
) -> Result<(), Error> {
    let (pidfd, link) = (child.pidfd.as_fd(), child.link.as_fd());
    match await_start(plan.id.as_str(), record, pidfd, link, deadlines)? {
        Some(failure) => Err(sentence::of(plan, &failure)),
        None => Ok(()),
    }
}

/// As the launcher waits, on a connection to the gate: the start operation has no plan, so the
/// sentence names what the failure itself can tell.
pub(crate) fn await_start(
    id: &str,
    record: &Record,
    pidfd: BorrowedFd<'_>,
    gate: BorrowedFd<'_>,
    mut deadlines: Deadlines,
) -> Result<Option<Failure>, Error> {
    deadlines.setup += Duration::from_millis(record.start_hooks.unwrap_or(0));
    answer(id, record, (record.init.map_or(0, |init| init.pid), pidfd), gate, deadlines)
}

/// Waits until process `pid` of the container has executed its program; the failure, if it
/// failed. On the way its seccomp listener goes to the agent.
pub(super) fn answer(
    id: &str,
    record: &Record,
    (pid, pidfd): (i32, BorrowedFd<'_>),
    link: BorrowedFd<'_>,
    deadlines: Deadlines,
) -> Result<Option<Failure>, Error> {
    let broken = |source| Error::Link { source };
    loop {
        match receive(link, pid, "execute its program", deadlines.setup) {
            // Close-on-exec: the other end is gone because execve has succeeded, or else it died.
            Ok(None) | Err(Error::Link { source: Errno::ECONNRESET }) => {
                return match end_before_program(pid, pidfd) {
                    None => Ok(None),
                    Some(EarlyEnd { exit }) => Err(Error::NotExecuted { pid, exit }),
                };
            }
            Ok(Some((ToLauncher::Failed(failure), _))) => return Ok(Some(failure)),
            Ok(Some((ToLauncher::Listener, Some(listener)))) => {
                listener::give(id, record, pid, listener.as_fd(), deadlines.socket)?;
                ToInit::Go.send(link).map_err(broken)?;
            }
            Ok(Some(_)) => return Err(broken(Errno::EBADMSG)),
            Err(error) => return Err(error),
        }
    }
}

/// What init is to do until it reports Ready.
pub(super) const SET_UP: &str = "set up the container";

/// The next frame; none at the end of the link.
pub(super) fn receive(
    link: BorrowedFd<'_>,
    pid: i32,
    what: &'static str,
    patience: Duration,
) -> Result<Option<(ToLauncher, Option<OwnedFd>)>, Error> {
    let failed = |source| Error::Link { source };
    match fd::poll_in([link], Some(milliseconds(patience))).map_err(failed)? {
        [true] => ToLauncher::receive(link).map_err(failed),
        [false] => Err(Error::Late { pid, what, seconds: patience.as_secs() }),
    }
}

pub(super) fn ended(child: &Child) -> Error {
    let how = match process::wait(Who::Pidfd(child.pidfd.as_fd()), Block::Yes) {
        Ok(Some((_, exit))) => exit.to_string(),
        Ok(None) | Err(_) => "unknown status".to_owned(),
    };
    Error::InitEnded { how }
}
