//! Directories of a cgroup hierarchy: looking, making, reading, writing and removing by
//! descriptor.

use super::events::{Waited, poll_until};
use super::{DirRecord, Error, Survivor, processes};
use crate::plan::cgroup::path::{CgroupPath, c_string};
pub(super) use crate::sys::fd::{read_file, read_value};
use crate::sys::{self, Errno, fd, notify};
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// A reference to a directory: enough for *at calls, and for `CLONE_INTO_CGROUP`.
const DIRECTORY: i32 = fd::O_PATH | fd::O_DIRECTORY | fd::O_NOFOLLOW;

/// A hierarchy's mount point, and the cgroup of a container below it.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    pub(super) record: DirRecord,
}

/// What a survey finds at the place of a cgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    /// A directory that nobody uses.
    Empty,
}

impl Tree {
    /// Looks which part of the path is there. The cgroup itself may be there if nobody uses it.
    pub(super) fn survey(mount: &Path, path: &CgroupPath) -> Result<(Self, Found), Error> {
        let record = DirRecord { mount: mount.to_owned(), path: path.clone(), kept: 0 };
        let mut tree = Self { record };
        let root = tree.open_mount()?;
        let parts: Vec<&str> = path.components().collect();
        let exists = |len: usize| {
            let prefix = parts[..len].join("/");
            match fd::lstat_at(root.as_fd(), &c_string(&prefix)) {
                Ok(stat) if stat.is_dir() => Ok(true),
                Ok(_) => Err(Error::Open { path: mount.join(prefix), errno: Errno::ENOTDIR }),
                Err(Errno::ENOENT) => Ok(false),
                Err(errno) => Err(Error::Open { path: mount.join(prefix), errno }),
            }
        };
        if exists(parts.len())? {
            tree.record.kept = parts.len() - 1;
            let leaf = tree.open_leaf(root.as_fd())?;
            tree.refuse_used(leaf.as_fd())?;
            return Ok((tree, Found::Empty));
        }
        let mut kept = parts.len() - 1;
        while kept > 0 && !exists(kept)? {
            kept -= 1;
        }
        tree.record.kept = kept;
        Ok((tree, Found::Nothing))
    }

    /// The full path of the cgroup, for messages.
    pub(super) fn path(&self) -> PathBuf {
        self.record.mount.join(self.record.path.as_str())
    }

    fn file(&self, name: &CStr) -> PathBuf {
        self.path().join(&*name.to_string_lossy())
    }

    pub(super) fn open_mount(&self) -> Result<OwnedFd, Error> {
        let path = &self.record.mount;
        let open = |path: &CStr| fd::openat(fd::cwd(), path, fd::O_PATH | fd::O_DIRECTORY, 0);
        fd::with_path(&[path.as_os_str().as_encoded_bytes()], open)
            .map_err(|errno| Error::Open { path: path.clone(), errno })
    }

    fn open_leaf(&self, root: BorrowedFd<'_>) -> Result<OwnedFd, Error> {
        self.open_leaf_with(root, DIRECTORY)
    }

    fn open_leaf_with(&self, root: BorrowedFd<'_>, flags: i32) -> Result<OwnedFd, Error> {
        fd::openat(root, &self.record.path.to_c_string(), flags, 0)
            .map_err(|errno| Error::Open { path: self.path(), errno })
    }

    /// The cgroup's directory, or `None` when it is not there.
    pub(super) fn open(&self) -> Result<Option<OwnedFd>, Error> {
        match self.open_mount().and_then(|root| self.open_leaf(root.as_fd())) {
            Ok(dir) => Ok(Some(dir)),
            Err(Error::Open { errno: Errno::ENOENT, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The cgroup's directory.
    pub(super) fn require(&self) -> Result<OwnedFd, Error> {
        let missing = || Error::Open { path: self.path(), errno: Errno::ENOENT };
        self.open()?.ok_or_else(missing)
    }

    fn refuse_used(&self, leaf: BorrowedFd<'_>) -> Result<(), Error> {
        let mut pids = Vec::new();
        collect_pids(leaf, &mut pids).map_err(|errno| Error::Read { path: self.path(), errno })?;
        let has_children =
            !children(leaf).map_err(|errno| Error::Read { path: self.path(), errno })?.is_empty();
        if !pids.is_empty() || has_children {
            let processes = pids.into_iter().map(Survivor::of).collect();
            return Err(Error::Occupied { path: self.path(), processes });
        }
        match read_value(leaf, c"cgroup.freeze") {
            Ok(text) if text.trim() == "1" => Err(Error::Frozen { path: self.path() }),
            _ => Ok(()),
        }
    }

    /// Nobody else makes a container in this cgroup as long as the directory is open here: it is
    /// empty for a moment, and two could find it so.
    fn claim(&self, root: BorrowedFd<'_>) -> Result<OwnedFd, Error> {
        // Descriptors that are but a place in the tree cannot be locked.
        let leaf = self.open_leaf_with(root, DIRECTORY & !fd::O_PATH)?;
        match fd::try_lock(leaf.as_fd()) {
            Ok(()) => Ok(leaf),
            Err(Errno::EWOULDBLOCK) => Err(Error::Claimed { path: self.path() }),
            Err(errno) => Err(Error::Open { path: self.path(), errno }),
        }
    }

    /// Makes the cgroup and its missing ancestors. A cgroup that is there is taken if nobody uses
    /// it, or is about to.
    pub(super) fn make(&self, root: BorrowedFd<'_>) -> Result<(OwnedFd, Found), Error> {
        let path = self.record.path.to_c_string();
        let failed = |errno| Error::Create { path: self.path(), errno };
        // An ancestor that another container made may vanish with that one between two calls.
        const TRIES: usize = 8;
        let mut last = Errno::ENOENT;
        for _ in 0..TRIES {
            match fd::mkdirat(root, &path, 0o755) {
                Ok(()) => {
                    let leaf = self.claim(root).inspect_err(|error| {
                        // Nobody knows that it was made, unless another has taken it.
                        if !matches!(error, Error::Claimed { .. }) {
                            let _ = self.try_remove(root);
                        }
                    })?;
                    return Ok((leaf, Found::Nothing));
                }
                Err(Errno::EEXIST) => {
                    let leaf = self.claim(root)?;
                    self.refuse_used(leaf.as_fd())?;
                    return Ok((leaf, Found::Empty));
                }
                Err(Errno::ENOENT) => {
                    last = Errno::ENOENT;
                    self.make_ancestors(root).map_err(failed)?;
                }
                Err(errno) => return Err(failed(errno)),
            }
        }
        Err(failed(last))
    }

    fn make_ancestors(&self, root: BorrowedFd<'_>) -> Result<(), Errno> {
        let parts: Vec<&str> = self.record.path.components().collect();
        for len in 1..parts.len() {
            match fd::mkdirat(root, &c_string(&parts[..len].join("/")), 0o755) {
                Ok(()) | Err(Errno::EEXIST) => {}
                // The next round begins again from the top.
                Err(Errno::ENOENT) => return Ok(()),
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }

    /// One try at removing the cgroup: `EBUSY` when it has processes or children.
    pub(super) fn try_remove(&self, root: BorrowedFd<'_>) -> Result<(), Errno> {
        match fd::rmdirat(root, &self.record.path.to_c_string()) {
            Err(Errno::ENOENT) => Ok(()),
            other => other,
        }
    }

    /// Removes what lies below the cgroup and the cgroup itself, again and again: the kernel may
    /// take a moment to let go of a cgroup whose processes have just ended.
    pub(super) fn remove_whole(
        &self,
        root: BorrowedFd<'_>,
        dir: BorrowedFd<'_>,
        deadline: Instant,
    ) -> Result<(), Error> {
        let waited = poll_until(deadline, || {
            match remove_children(dir).and_then(|()| self.try_remove(root)) {
                Ok(()) => Ok(true),
                Err(errno) if is_busy(errno) => Ok(false),
                Err(errno) => Err(Error::Remove { path: self.path(), errno }),
            }
        })?;
        match waited {
            Waited::Reached => Ok(()),
            Waited::Late => Err(self.survivors(dir)),
        }
    }

    /// Removes the ancestors that were made for the cgroup, as far as nobody else uses them.
    pub(super) fn remove_ancestors(&self, root: BorrowedFd<'_>) {
        let parts: Vec<&str> = self.record.path.components().collect();
        for len in (self.record.kept + 1..parts.len()).rev() {
            match fd::rmdirat(root, &c_string(&parts[..len].join("/"))) {
                Ok(()) | Err(Errno::ENOENT) => {}
                Err(_) => return,
            }
        }
    }

    pub(super) fn read(&self, dir: BorrowedFd<'_>, name: &CStr) -> Result<String, Error> {
        read_file(dir, name).map_err(|errno| Error::Read { path: self.file(name), errno })
    }

    pub(super) fn read_value(&self, dir: BorrowedFd<'_>, name: &CStr) -> Result<String, Error> {
        read_value(dir, name).map_err(|errno| Error::Read { path: self.file(name), errno })
    }

    pub(super) fn control(
        &self,
        dir: BorrowedFd<'_>,
        name: &CStr,
        value: &str,
    ) -> Result<(), Error> {
        write_file(dir, name, value).map_err(|errno| Error::Control {
            path: self.file(name),
            value: value.to_owned(),
            errno,
        })
    }

    pub(super) fn place(&self, dir: BorrowedFd<'_>, pid: i32) -> Result<(), Error> {
        write_file(dir, c"cgroup.procs", &pid.to_string()).map_err(|errno| Error::Place {
            pid,
            path: self.path(),
            errno,
        })
    }

    /// All processes in the cgroup and below.
    pub(super) fn pids(&self, dir: BorrowedFd<'_>) -> Result<Vec<i32>, Error> {
        let mut pids = Vec::new();
        collect_pids(dir, &mut pids)
            .map_err(|errno| Error::Read { path: self.file(c"cgroup.procs"), errno })?;
        pids.sort_unstable();
        pids.dedup();
        Ok(pids)
    }

    /// Whether a process is in the cgroup or below, be it one of another pid namespace.
    pub(super) fn has_processes(&self, dir: BorrowedFd<'_>) -> Result<bool, Error> {
        let mut found = false;
        lists_below(dir, &mut |text| found |= !text.is_empty())
            .map_err(|errno| Error::Read { path: self.file(c"cgroup.procs"), errno })?;
        Ok(found)
    }

    pub(super) fn survivors(&self, dir: BorrowedFd<'_>) -> Error {
        let pids = self.pids(dir).unwrap_or_default();
        let processes = pids.into_iter().map(Survivor::of).collect();
        Error::Survivors { path: self.path(), processes }
    }
}

/// Whether rmdir(2) met processes or children.
pub(super) fn is_busy(errno: Errno) -> bool {
    matches!(errno, Errno::EBUSY | Errno::ENOTEMPTY)
}

/// Sends SIGKILL to every process in a cgroup and below. Returns how many there were.
pub(super) fn kill_each(dir: BorrowedFd<'_>) -> Result<usize, Errno> {
    let mut pids = Vec::new();
    collect_pids(dir, &mut pids)?;
    for pid in &pids {
        processes::kill(*pid)?;
    }
    Ok(pids.len())
}

/// One write to a file of a cgroup that must be there.
pub(super) fn write_file(dir: BorrowedFd<'_>, name: &CStr, value: &str) -> Result<(), Errno> {
    let file = fd::openat(dir, name, fd::O_WRONLY | fd::O_NOFOLLOW, 0)?;
    fd::write_once(file.as_fd(), value.as_bytes())
}

/// The names of the cgroups directly below one; one that was removed after it was opened, as
/// systemd removes those of scopes, has none.
pub(super) fn children(dir: BorrowedFd<'_>) -> Result<Vec<CString>, Errno> {
    let mut names = Vec::new();
    let listed = fd::openat(dir, c".", fd::O_RDONLY | fd::O_DIRECTORY, 0).and_then(|list| {
        fd::for_each_entry(list.as_fd(), &mut [0; 4096], |entry| {
            if entry.kind == fd::DT_DIR {
                names.push(entry.name.to_owned());
            }
            Ok(())
        })
    });
    match listed {
        Ok(()) => Ok(names),
        Err(Errno::ENOENT | Errno::ENODEV) => Ok(Vec::new()),
        Err(errno) => Err(errno),
    }
}

fn collect_pids(dir: BorrowedFd<'_>, into: &mut Vec<i32>) -> Result<(), Errno> {
    lists_below(dir, &mut |text| processes::parse(text, into))
}

/// Hands `take` the list of processes of a cgroup and of each below.
fn lists_below(dir: BorrowedFd<'_>, take: &mut impl FnMut(&str)) -> Result<(), Errno> {
    match read_file(dir, c"cgroup.procs") {
        Ok(text) => take(&text),
        // A threaded cgroup lists its processes in its domain; one being removed has none.
        Err(Errno::EOPNOTSUPP | Errno::ENODEV | Errno::ENOENT) => {}
        Err(errno) => return Err(errno),
    }
    for name in children(dir)? {
        match fd::openat(dir, &name, DIRECTORY, 0) {
            Ok(child) => lists_below(child.as_fd(), take)?,
            Err(Errno::ENOENT) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Removes the cgroups below one, the deepest first; `EBUSY` when one has processes.
fn remove_children(dir: BorrowedFd<'_>) -> Result<(), Errno> {
    for name in children(dir)? {
        match fd::rmdirat(dir, &name) {
            Ok(()) | Err(Errno::ENOENT) => continue,
            Err(Errno::EBUSY | Errno::ENOTEMPTY) => {}
            Err(errno) => return Err(errno),
        }
        match fd::openat(dir, &name, DIRECTORY, 0) {
            Ok(child) => remove_children(child.as_fd())?,
            Err(Errno::ENOENT) => continue,
            Err(errno) => return Err(errno),
        }
        match fd::rmdirat(dir, &name) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Reads a small file again from its start.
pub(super) fn reread(file: BorrowedFd<'_>) -> sys::Result<String> {
    let mut buf = [0; 1024];
    let len = notify::read_anew(file, &mut buf)?;
    Ok(String::from_utf8_lossy(&buf[..len]).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_was_removed_has_neither_processes_nor_children() {
        let above = tempfile::tempdir().unwrap();
        let path = above.path().join("scope");
        std::fs::create_dir(&path).unwrap();
        let dir = std::fs::File::open(&path).unwrap();
        std::fs::create_dir(path.join("child")).unwrap();
        assert_eq!(children(dir.as_fd()).unwrap(), [c"child".to_owned()]);
        std::fs::remove_dir_all(&path).unwrap();
        assert_eq!(children(dir.as_fd()).unwrap(), [] as [CString; 0]);
        assert_eq!(kill_each(dir.as_fd()), Ok(0));
        assert_eq!(remove_children(dir.as_fd()), Ok(()));
    }
}
