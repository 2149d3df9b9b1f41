//! Floor 3: what is known of a container on disk (specs/30-state-dir.md).
//!
//! `<root>/<id>/` is the claim on the id: made first, removed last. In it lie `record`, there
//! before anything outside of the directory exists and replaced when the container is created,
//! both by rename; `process` and `seccomp.bpf`, from which every later process of the container is
//! made; and `gate`, the socket on which a created container waits to be started.

mod boot;
mod brief;
mod cache;
mod identity;
mod kept;
mod readiness;
mod record;
mod status;
mod view;

pub use brief::{Brief, Signs};
pub use cache::Cache;
pub use identity::{EarlyEnd, Identity, end_before_program, is_ending};
pub use readiness::readiness_directory;
pub use record::{HookRecord, InitRecord, ListenerRecord, Record};
pub use status::Status;
pub use view::View;

use crate::id::ContainerId;
use crate::sys::socket::{self, AtOnce};
use crate::sys::{Errno, errno_of, fd, process};
use std::cell::Cell;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

const RECORD: &CStr = c"record";
const RECORD_NEW: &CStr = c"record.new";
const GATE: &CStr = c"gate";
/// Permissions of a record that was started, [`Record::past_gate`]: nothing has to be written for
/// it, and whoever reads the record can be told by fstat(2).
const PAST_GATE: u32 = 0o400;

/// How long somebody who only looks may hold the lock of what was just claimed.
const LOOK: Duration = Duration::from_secs(30);

/// The directory that holds the state of all containers.
#[derive(Clone, Debug)]
pub struct Store {
    root: Arc<Path>,
}

/// All containers of a store, for a look at each: they are found from the directory of all, which
/// is open, and not from the top of the file system.
#[derive(Debug)]
pub struct Containers {
    /// Their names, sorted.
    pub ids: Vec<ContainerId>,
    store: Store,
    dir: OwnedFd,
    user: u32,
    /// Nobody else can go into the directory of all, and so none of theirs can lie there.
    closed: bool,
}

/// The state directory of one container.
#[derive(Debug)]
pub struct Entry {
    /// Name of the container.
    pub id: ContainerId,
    root: Arc<Path>,
    dir: OwnedFd,
    holds_lock: Cell<bool>,
}

/// Why state cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The id is taken.
    #[error("container with given ID already exists: {id}")]
    Exists {
        /// Name of the container.
        id: ContainerId,
    },
    /// There is no such container.
    #[error("container does not exist: {id}")]
    Missing {
        /// Name of the container.
        id: ContainerId,
    },
    /// The directory of all containers.
    #[error("{action} state directory {path}")]
    Root {
        /// What was tried.
        action: &'static str,
        /// The directory.
        path: PathBuf,
        /// The cause.
        source: Errno,
    },
    /// A directory that somebody else could have put there.
    #[error(
        "state directory {path} can be changed by others: it must belong to root or to user \
         {user}, and nobody else may write to it"
    )]
    Exposed {
        /// The directory.
        path: PathBuf,
        /// Id of the user who asks.
        user: u32,
    },
    /// A file of a container's directory.
    #[error("{action} {path}")]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: Errno,
    },
    /// A record that cannot be understood.
    #[error("read {path}: {cause}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// The first process does not look who is at the gate.
    #[error(
        "start container {id}: its first process has accepted nobody at its gate for {seconds} s \
         (see --deadline setup)"
    )]
    Crowded {
        /// Name of the container.
        id: ContainerId,
        /// How long was waited.
        seconds: u64,
    },
    /// Whether the container is paused.
    #[error("container {id}: ask whether it is paused")]
    Paused {
        /// Name of the container.
        id: ContainerId,
        /// The cause.
        source: Box<crate::cgroup::Error>,
    },
    /// Another command works on the container and does not come to an end.
    #[error("container {id} is busy: another command has been working on it for {seconds} s")]
    Busy {
        /// Name of the container.
        id: ContainerId,
        /// How long was waited.
        seconds: u64,
    },
}

impl Store {
    /// The state below `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into().into() }
    }

    /// Claims an id: from here on nobody else can create it. The caller holds its lock.
    ///
    /// # Errors
    /// [`Error::Exists`] when it is taken; [`Error::Root`] when the root cannot be written.
    pub fn claim(&self, id: &ContainerId) -> Result<Entry, Error> {
        let root = self.open_or_make_root()?;
        loop {
            match self.try_claim(id, &root) {
                // Between mkdir and lock it looked like something that was left by a crash.
                Err(Error::Missing { .. }) => {}
                other => return other,
            }
        }
    }

    fn try_claim(&self, id: &ContainerId, root: &OwnedFd) -> Result<Entry, Error> {
        let name = id.to_c_string();
        match fd::mkdirat(root.as_fd(), &name, 0o700) {
            Ok(()) => {}
            Err(Errno::EEXIST) => return Err(Error::Exists { id: id.clone() }),
            Err(source) => return Err(self.root_error("write to", source)),
        }
        let locked = self
            .open_at(root.as_fd(), &name, id, process::geteuid())
            .and_then(|entry| entry.lock(LOOK).map(|()| entry));
        locked.inspect_err(|error| {
            if !matches!(error, Error::Missing { .. }) {
                // Nobody would own what was just made.
                let _ = fd::rmdirat(root.as_fd(), &name);
            }
        })
    }

    /// Opens the state of a container, without a lock.
    ///
    /// # Errors
    /// [`Error::Missing`] when there is none.
    pub fn open(&self, id: &ContainerId) -> Result<Entry, Error> {
        self.open_at(fd::cwd(), &c_path(&self.root.join(id)), id, process::geteuid())
    }

    /// Opens what `path` leads to from `base` as the state of a container, for a user.
    fn open_at(
        &self,
        base: BorrowedFd<'_>,
        path: &CStr,
        id: &ContainerId,
        user: u32,
    ) -> Result<Entry, Error> {
        let flags = fd::O_RDONLY | fd::O_DIRECTORY | fd::O_NOFOLLOW;
        match fd::openat(base, path, flags, 0) {
            Ok(dir) => {
                expect_private(&dir, user, || self.root.join(id))?;
                let holds_lock = Cell::new(false);
                Ok(Entry { id: id.clone(), root: self.root.clone(), dir, holds_lock })
            }
            Err(Errno::ENOENT) => Err(Error::Missing { id: id.clone() }),
            Err(source) => Err(Error::File { action: "open", path: self.root.join(id), source }),
        }
    }

    /// All containers; `None` when the root does not exist.
    ///
    /// # Errors
    /// [`Error::Root`] when the root cannot be read.
    pub fn all(&self) -> Result<Option<Containers>, Error> {
        let dir = match fd::openat(fd::cwd(), &c_path(&self.root), fd::O_DIRECTORY, 0) {
            Ok(dir) => dir,
            Err(Errno::ENOENT) => return Ok(None),
            Err(source) => return Err(self.root_error("read", source)),
        };
        let failed = |source| self.root_error("read", source);
        let ids = ids_in(dir.as_fd()).map_err(failed)?;
        let user = process::geteuid();
        let closed = is_closed(&fd::fstat(dir.as_fd()).map_err(failed)?, user);
        Ok(Some(Containers { ids, store: self.clone(), dir, user, closed }))
    }

    fn open_or_make_root(&self) -> Result<OwnedFd, Error> {
        let path = c_path(&self.root);
        let flags = fd::O_PATH | fd::O_DIRECTORY;
        match fd::openat(fd::cwd(), &path, flags, 0) {
            Err(Errno::ENOENT) => {
                use std::os::unix::fs::DirBuilderExt;
                let made =
                    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.root);
                made.map_err(|e| self.root_error("make", errno_of(&e)))?;
                fd::openat(fd::cwd(), &path, flags, 0)
            }
            other => other,
        }
        .map_err(|source| self.root_error("open", source))
        .and_then(|root| {
            expect_private(&root, process::geteuid(), || self.root.to_path_buf()).map(|()| root)
        })
    }

    fn root_error(&self, action: &'static str, source: Errno) -> Error {
        Error::Root { action, path: self.root.to_path_buf(), source }
    }
}

impl Containers {
    /// Looks at one of them. Where nobody else can go into the directory of all, its own is not
    /// opened, which would be half of the work.
    ///
    /// # Errors
    /// Those of [`Store::open`], and of looking.
    pub fn look<T, E: From<Error>>(
        &self,
        id: &ContainerId,
        look: impl FnOnce(View<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        if self.closed {
            return look(View::below(self.dir.as_fd(), &self.store.root, id));
        }
        look(self.store.open_at(self.dir.as_fd(), &id.to_c_string(), id, self.user)?.view())
    }
}

/// The directories in one whose names are ids, sorted.
fn ids_in(dir: BorrowedFd<'_>) -> Result<Vec<ContainerId>, Errno> {
    let mut ids = Vec::new();
    fd::for_each_entry(dir, &mut vec![0; 1 << 15], |entry| {
        let is_dir = match entry.kind {
            fd::DT_UNKNOWN => fd::lstat_at(dir, entry.name).is_ok_and(|stat| stat.is_dir()),
            kind => kind == fd::DT_DIR,
        };
        if let (true, Ok(name)) = (is_dir, entry.name.to_str()) {
            ids.extend(ContainerId::new(name));
        }
        Ok(())
    })?;
    ids.sort_unstable();
    Ok(ids)
}

impl Entry {
    /// Path of the directory.
    pub fn path(&self) -> PathBuf {
        self.root.join(&self.id)
    }

    /// What was compiled for other containers of the same root.
    pub fn filters(&self) -> Cache {
        Cache::of_filters(&self.root)
    }

    /// Takes the lock that every change of the container holds, waiting for its present holder.
    ///
    /// # Errors
    /// [`Error::Busy`] at the deadline; [`Error::Missing`] when the holder has removed the
    /// container meanwhile.
    pub fn lock(&self, patience: Duration) -> Result<(), Error> {
        let deadline = Instant::now() + patience;
        let mut pause = Duration::from_micros(200);
        loop {
            match fd::try_lock(self.dir.as_fd()) {
                Ok(()) => break,
                Err(Errno::EWOULDBLOCK) if Instant::now() < deadline => std::thread::sleep(pause),
                Err(Errno::EWOULDBLOCK) => {
                    let seconds = patience.as_secs();
                    return Err(Error::Busy { id: self.id.clone(), seconds });
                }
                Err(source) => {
                    return Err(Error::File { action: "lock", path: self.path(), source });
                }
            }
            pause = (pause * 2).min(Duration::from_millis(20));
        }
        self.holds_lock.set(true);
        // A removed directory can still be locked by those who had it open.
        match self.is_linked() {
            Ok(true) => Ok(()),
            Ok(false) | Err(Errno::ENOENT) => Err(Error::Missing { id: self.id.clone() }),
            Err(source) => Err(Error::File { action: "look for", path: self.path(), source }),
        }
    }

    /// Lets others take the lock.
    pub fn unlock(&self) {
        // Unlocking what is locked cannot fail.
        let _ = fd::unlock(self.dir.as_fd());
        self.holds_lock.set(false);
    }

    fn is_linked(&self) -> Result<bool, Errno> {
        let named = fd::lstat_at(fd::cwd(), &c_path(&self.path()))?;
        Ok(named.ino == fd::fstat(self.dir.as_fd())?.ino)
    }

    /// What can be seen of the container without changing it.
    pub fn view(&self) -> View<'_> {
        View::of_directory(self.dir.as_fd(), &self.root, &self.id, self.holds_lock.get())
    }

    /// As [`View::is_locked`].
    pub fn is_locked(&self) -> bool {
        self.view().is_locked()
    }

    /// As [`View::record`].
    ///
    /// # Errors
    /// Those of [`View::record`].
    pub fn record(&self) -> Result<Option<Record>, Error> {
        self.view().record()
    }

    /// As [`View::status`].
    ///
    /// # Errors
    /// Those of [`View::status`].
    pub fn status(&self, record: Option<&Record>) -> Result<(Status, Option<OwnedFd>), Error> {
        self.view().status(record.map(|record| record as &dyn Signs))
    }

    /// Puts a record in the place of the one before, or of none, at once (rename(2)): readers
    /// take no lock and see the one or the other, whole.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn commit(&self, record: &Record) -> Result<(), Error> {
        let text = serde_json::to_vec(record).map_err(|e| self.damaged(e.to_string()))?;
        let flags = fd::O_WRONLY | fd::O_CREAT | fd::O_TRUNC | fd::O_NOFOLLOW;
        let dir = self.dir.as_fd();
        fd::openat(dir, RECORD_NEW, flags, 0o600)
            .and_then(|file| fd::write_all(file.as_fd(), &text).map(|()| file))
            .and_then(|file| fd::renameat(dir, RECORD_NEW, dir, RECORD).map(|()| file))
            .map(|file| {
                if record.past_gate {
                    let _ = fd::fchmod(file.as_fd(), PAST_GATE);
                }
            })
            .map_err(self.failed("write", "record"))
    }

    /// Listens on the gate: the socket on which a start operation will connect.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn listen_at_gate(&self) -> Result<OwnedFd, Error> {
        self.view()
            .gate_path()
            .and_then(|path| socket::listen(path.as_c_str()))
            .map_err(self.failed("listen on", "gate"))
    }

    /// Connects to the gate; `None` when nobody waits behind it.
    ///
    /// # Errors
    /// [`Error::Crowded`] when others are before it all the time; [`Error::File`].
    pub fn connect_to_gate(&self, patience: Duration) -> Result<Option<OwnedFd>, Error> {
        let deadline = Instant::now() + patience;
        loop {
            match self.view().ask_at_gate()? {
                AtOnce::Connected(connection) => return Ok(Some(connection)),
                AtOnce::Nobody => return Ok(None),
                AtOnce::Full if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                AtOnce::Full => {
                    let seconds = patience.as_secs();
                    return Err(Error::Crowded { id: self.id.clone(), seconds });
                }
            }
        }
    }

    /// Writes down that nobody waits at the gate any more: a start has gone through. It is
    /// [`Record::past_gate`] from now on; where that cannot be written, who wants to know has to
    /// ask at the gate, and finds the same.
    pub fn mark_past_gate(&self) {
        let _ = fd::chmod_at(self.dir.as_fd(), RECORD, PAST_GATE);
    }

    /// Removes the directory and all in it: the last act of a delete.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn remove(&self) -> Result<(), Error> {
        let failed = |source| Error::File { action: "remove", path: self.path(), source };
        let dir = self.dir.as_fd();
        let mut names: Vec<CString> = Vec::new();
        fd::rewind(dir).map_err(failed)?;
        fd::for_each_entry(dir, &mut [0; 4096], |entry| {
            names.push(entry.name.to_owned());
            Ok(())
        })
        .map_err(failed)?;
        for name in names {
            match fd::unlinkat(dir, &name) {
                Ok(()) | Err(Errno::ENOENT) => {}
                Err(Errno::EISDIR) => self.remove_readiness(&name).map_err(failed)?,
                Err(source) => return Err(failed(source)),
            }
        }
        match fd::rmdirat(fd::cwd(), &c_path(&self.path())) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(source) => Err(failed(source)),
        }
    }

    fn failed<'a>(
        &'a self,
        action: &'static str,
        name: &'a str,
    ) -> impl FnOnce(Errno) -> Error + use<'a> {
        self.view().failed(action, name)
    }

    fn damaged(&self, cause: String) -> Error {
        self.view().damaged(cause)
    }
}

/// Whether a directory lets nobody in but its owner, who is root or a user.
fn is_closed(dir: &fd::Stat, user: u32) -> bool {
    const OTHERS: u32 = 0o077;
    is_ours(dir, user) && dir.mode & OTHERS == 0
}

/// Whether a directory belongs to root or to the user who asks.
fn is_ours(dir: &fd::Stat, user: u32) -> bool {
    dir.uid == 0 || dir.uid == user
}

/// Whoever can write to a directory of ours decides what we signal, enter and remove.
fn expect_private(dir: &OwnedFd, user: u32, path: impl Fn() -> PathBuf) -> Result<(), Error> {
    const OTHERS_WRITE: u32 = 0o022;
    const STICKY: u32 = 0o1000;
    let stat = fd::fstat(dir.as_fd()).map_err(|source| Error::File {
        action: "look at",
        path: path(),
        source,
    })?;
    // What others make in a sticky directory they cannot put in the place of ours.
    let shared = stat.mode & OTHERS_WRITE != 0 && stat.mode & STICKY == 0;
    if is_ours(&stat, user) && !shared {
        Ok(())
    } else {
        Err(Error::Exposed { path: path(), user })
    }
}

fn read_all(file: &OwnedFd) -> Result<Vec<u8>, Errno> {
    let mut text = vec![0; 4096];
    let mut len = 0;
    loop {
        len += fd::read(file.as_fd(), &mut text[len..])?;
        // Of a regular file less is read than was asked for only at its end.
        if len < text.len() {
            text.truncate(len);
            return Ok(text);
        }
        text.resize(len * 2, 0);
    }
}

/// A path for the kernel; one with a NUL names nothing, as the empty path does.
fn c_path(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
