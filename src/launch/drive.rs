//! Between clone and commit: the launcher answers what init says.

use super::spawn::Child;
use super::{Error, Handover, Undo, Wish, hooks, sentence, state_text};
use crate::cgroup::{Manager, Prepared};
use crate::plan::Plan;
use crate::plan::idmap::map_file;
use crate::state::{Record, Status};
use crate::sys::process::{self, Block, Exit, Who};
use crate::sys::{Errno, fd, socket, tty};
use crate::wire::{Failure, Step, ToInit, ToLauncher};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

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
        loop {
            let frame =
                ToLauncher::receive(child.link.as_fd()).map_err(|source| Error::Link { source })?;
            let Some((message, fd)) = frame else { return Err(ended(child)) };
            match message {
                ToLauncher::Waiting(step) => self.answer(step, child)?,
                ToLauncher::Terminal => terminal = hand_on(&self.wish.handover, fd)?,
                ToLauncher::Listener => {}
                ToLauncher::Ready => return Ok(terminal),
                ToLauncher::Failed(failure) => return Err(sentence::of(self.plan, &failure)),
            }
        }
    }

    fn answer(&mut self, step: Step, child: &Child) -> Result<(), Error> {
        match step {
            Step::AwaitPlacement => self.place(child.pid)?,
            Step::AwaitHooks => self.run_hooks(child.pid)?,
            _ => return Err(Error::Link { source: Errno::EBADMSG }),
        }
        ToInit::Go.send(child.link.as_fd()).map_err(|source| Error::Link { source })
    }

    fn place(&self, pid: i32) -> Result<(), Error> {
        if !self.cgroup.is_placed() {
            self.manager.place(pid)?;
        }
        let Some(maps) = &self.plan.id_maps else { return Ok(()) };
        // Groups before users, as engines' tools do; as root the order makes no difference.
        write_map(pid, "gid_map", "/linux/gidMappings", &map_file(&maps.gids))?;
        write_map(pid, "uid_map", "/linux/uidMappings", &map_file(&maps.uids))
    }

    fn run_hooks(&mut self, pid: i32) -> Result<(), Error> {
        self.undo.stop_hooks = true;
        // To prestart hooks, which are older than the state creating, the container has always
        // been created.
        let created = state_text(self.plan, self.record, Status::Created);
        let creating = state_text(self.plan, self.record, Status::Creating);
        hooks::run_all(&self.plan.hooks.prestart, self.plan, &created, pid)?;
        hooks::run_all(&self.plan.hooks.create_runtime, self.plan, &creating, pid)?;
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
        if let Ok(size) = tty::window_size(fd::borrow(fd::STDIO[0])) {
            // A size that cannot be set is no reason to end a process.
            let _ = tty::set_window_size(master.as_fd(), size);
        }
        return Ok(Some(master));
    };
    // Engines want at least one byte and take it for a name.
    socket::send(socket.as_fd(), b"/dev/ptmx", Some(master.as_fd())).map_err(|source| {
        Error::Send { what: "terminal", option: "--console-socket", source }
    })?;
    Ok(None)
}

fn write_map(pid: i32, file: &str, pointer: &'static str, text: &str) -> Result<(), Error> {
    let path = format!("/proc/{pid}/{file}");
    let failed = |source| Error::IdMaps { pointer, path: path.clone(), source };
    let c_path = std::ffi::CString::new(path.as_str()).map_err(|_| failed(Errno::EINVAL))?;
    fd::openat(fd::cwd(), &c_path, fd::O_WRONLY, 0)
        .and_then(|map| fd::write_once(map.as_fd(), text.as_bytes()))
        .map_err(failed)
}

/// Waits until the program is executed, which closes the link, or the failure comes.
pub(super) fn await_exec(plan: &Plan, child: &Child) -> Result<(), Error> {
    match answer(child.link.as_fd()).map_err(|source| Error::Link { source })? {
        Some(failure) => Err(sentence::of(plan, &failure)),
        None => Ok(()),
    }
}

/// As the launcher waits, on a connection to the gate: the start operation has no plan, so the
/// sentence names what the failure itself can tell.
pub(crate) fn await_start(gate: BorrowedFd<'_>) -> Result<Option<Failure>, Errno> {
    answer(gate)
}

pub(super) fn answer(link: BorrowedFd<'_>) -> Result<Option<Failure>, Errno> {
    match ToLauncher::receive(link) {
        // Close-on-exec: the other end is gone because execve has succeeded.
        Ok(None) | Err(Errno::ECONNRESET) => Ok(None),
        Ok(Some((ToLauncher::Failed(failure), _))) => Ok(Some(failure)),
        Ok(Some(_)) => Err(Errno::EBADMSG),
        Err(errno) => Err(errno),
    }
}

pub(super) fn ended(child: &Child) -> Error {
    let how = match process::wait(Who::Pidfd(child.pidfd.as_fd()), Block::Yes) {
        Ok(Some((_, Exit::Code(code)))) => format!("status {code}"),
        Ok(Some((_, Exit::Signal(signal)))) => format!("signal {signal}"),
        Ok(None) | Err(_) => "unknown status".to_owned(),
    };
    Error::InitEnded { how }
}
