//! A container's directory as it is seen by who only looks.

use super::{
    Brief, ContainerId, Error, GATE, PAST_GATE, RECORD, Record, Signs, Status, c_path, read_all,
    record,
};
use crate::sys::socket::{self, AtOnce};
use crate::sys::{Errno, fd};
use serde::Deserialize;
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// The files of a container's directory, found from that directory or from the one of all.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// Name of the container.
    pub id: &'a ContainerId,
    root: &'a Path,
    base: BorrowedFd<'a>,
    base_is: Base,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Base {
    /// The directory of all containers.
    Root,
    /// The container's.
    Own {
        /// Whether this command works on the container.
        holds_lock: bool,
    },
}

impl<'a> View<'a> {
    /// Of a container's open directory.
    pub(super) fn of_directory(
        dir: BorrowedFd<'a>,
        root: &'a Path,
        id: &'a ContainerId,
        holds_lock: bool,
    ) -> Self {
        Self { id, root, base: dir, base_is: Base::Own { holds_lock } }
    }

    /// Of a container in the open directory of all, which nobody else can go into.
    pub(super) fn below(dir: BorrowedFd<'a>, root: &'a Path, id: &'a ContainerId) -> Self {
        Self { id, root, base: dir, base_is: Base::Root }
    }

    /// Whether another command is changing the container right now. Asking leaves no lock
    /// behind, and gives none back that this command holds.
    pub fn is_locked(&self) -> bool {
        if self.base_is == (Base::Own { holds_lock: true }) {
            return false;
        }
        // Through a description of its own, so that closing it takes the answer back.
        let flags = fd::O_RDONLY | fd::O_DIRECTORY | fd::O_NOFOLLOW;
        let probe = self.within(c".", |dir| fd::openat(self.base, dir, flags, 0));
        probe.is_ok_and(|probe| fd::try_lock(probe.as_fd()) == Err(Errno::EWOULDBLOCK))
    }

    /// The record; `None` when the container's creation has not come that far.
    ///
    /// # Errors
    /// [`Error::Missing`] when there is no such container (any more), [`Error::File`] when the
    /// record cannot be read, [`Error::Damaged`] when it makes no sense.
    pub fn record(&self) -> Result<Option<Record>, Error> {
        let Some((text, past_gate)) = self.text()? else { return Ok(None) };
        let record: Record = self.parse(&text)?;
        Ok(Some(Record { past_gate, ..record }))
    }

    /// Looks at what [`View::record`] would say, as far as `state` tells it.
    ///
    /// # Errors
    /// Those of [`View::record`], and of looking.
    pub fn brief<T, E: From<Error>>(
        &self,
        look: impl FnOnce(Option<Brief<'_>>) -> Result<T, E>,
    ) -> Result<T, E> {
        let Some((text, past_gate)) = self.text()? else { return look(None) };
        let mut brief: Brief<'_> = self.parse(&text)?;
        brief.past_gate = past_gate;
        look(Some(brief))
    }

    /// The text of the record and whether it is marked [`Record::past_gate`].
    fn text(&self) -> Result<Option<(Vec<u8>, bool)>, Error> {
        let file = match self.open_record() {
            Ok(file) => file,
            Err(Errno::ENOENT) => return self.expect_directory().map(|()| None),
            Err(source) => return Err(self.failed("open", "record")(source)),
        };
        let failed = || self.failed("read", "record");
        let stat = fd::fstat(file.as_fd()).map_err(failed())?;
        let text = read_all(&file).map_err(failed())?;
        Ok(Some((text, stat.mode & 0o777 == PAST_GATE)))
    }

    fn parse<'t, T: Deserialize<'t>>(&self, text: &'t [u8]) -> Result<T, Error> {
        // Checked once, and not again for each of its strings.
        let text = std::str::from_utf8(text).map_err(|e| self.damaged(e.to_string()))?;
        serde_json::from_str(text).map_err(|e| self.damaged(e.to_string()))
    }

    /// What can still be understood of a damaged record, member by member; `None` when its cgroup
    /// is not among that.
    pub fn salvage(&self) -> Option<Record> {
        record::salvage(&read_all(&self.open_record().ok()?).ok()?)
    }

    /// The status, and a pidfd of the first process while it lives. The kernel is asked; the
    /// record only tells whom to ask for.
    ///
    /// # Errors
    /// Those of asking.
    pub fn status(&self, signs: Option<&dyn Signs>) -> Result<(Status, Option<OwnedFd>), Error> {
        let Some((signs, init)) = signs.and_then(|signs| Some((signs, signs.init()?))) else {
            let status = if self.is_locked() { Status::Creating } else { Status::Stopped };
            return Ok((status, None));
        };
        let found = init.identity.find(init.pid);
        let found = found.map_err(self.failed("look for the process in", "record"))?;
        // Numbers and identities begin anew with each boot.
        let Some(pidfd) = found.filter(|_| signs.is_of_this_boot()) else {
            return Ok((Status::Stopped, None));
        };
        // Before the gate is asked: who is frozen behind it does not answer.
        let frozen = signs
            .is_frozen()
            .map_err(|source| Error::Paused { id: self.id.clone(), source: Box::new(source) })?;
        if frozen {
            return Ok((Status::Paused, Some(pidfd)));
        }
        // A start that was killed has not written down that it went through: whether init still
        // listens behind the gate is the truth.
        if !signs.is_past_gate() && self.is_waited_at_gate()? {
            return Ok((Status::Created, Some(pidfd)));
        }
        Ok((Status::Running, Some(pidfd)))
    }

    /// Whether somebody waits behind the gate, without going through it.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn is_waited_at_gate(&self) -> Result<bool, Error> {
        // Where there is a queue, somebody waits.
        Ok(!matches!(self.ask_at_gate()?, AtOnce::Nobody))
    }

    pub(super) fn ask_at_gate(&self) -> Result<AtOnce, Error> {
        self.gate_path()
            .and_then(|path| socket::connect_at_once(path.as_c_str()))
            .map_err(self.failed("connect to", "gate"))
    }

    /// A path short enough for a socket address, whatever the length of the root's.
    pub(super) fn gate_path(&self) -> Result<fd::PathBuffer, Errno> {
        let mut path = fd::proc_path(self.base)?;
        path.push(b"/")?;
        self.within(GATE, |gate| path.push(gate.to_bytes()))?;
        Ok(path)
    }

    pub(super) fn failed(
        self,
        action: &'static str,
        name: &'a str,
    ) -> impl FnOnce(Errno) -> Error + use<'a> {
        move |source| Error::File { action, path: self.path().join(name), source }
    }

    pub(super) fn damaged(&self, cause: String) -> Error {
        Error::Damaged { path: self.path().join("record"), cause }
    }

    fn path(&self) -> PathBuf {
        self.root.join(self.id)
    }

    fn open_record(&self) -> Result<OwnedFd, Errno> {
        let flags = fd::O_RDONLY | fd::O_NOFOLLOW | fd::O_NONBLOCK;
        self.within(RECORD, |record| fd::openat(self.base, record, flags, 0))
    }

    /// A directory without a record may be one that was removed meanwhile.
    fn expect_directory(&self) -> Result<(), Error> {
        match fd::lstat_at(fd::cwd(), &c_path(&self.path())) {
            Ok(_) => Ok(()),
            Err(Errno::ENOENT) => Err(Error::Missing { id: self.id.clone() }),
            Err(source) => Err(Error::File { action: "look for", path: self.path(), source }),
        }
    }

    /// Makes a call with the path of a file of the container's directory from the open one.
    fn within<T>(
        &self,
        name: &CStr,
        call: impl FnOnce(&CStr) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        match self.base_is {
            Base::Root => {
                fd::with_path(&[self.id.as_str().as_bytes(), b"/", name.to_bytes()], call)
            }
            Base::Own { .. } => call(name),
        }
    }
}
