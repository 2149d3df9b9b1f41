//! Being told of OOM kills.
//!
//! Source: the kernel's Documentation/admin-guide/cgroup-v2.rst (memory.events) and
//! cgroup-v1/memory.rst («OOM Control»).

use super::Error;
use super::tree::reread;
#[cfg(feature = "cgroup-v1")]
use super::tree::{read_file, write_file};
use crate::sys::notify::News;
use crate::sys::{Errno, fd};
use std::collections::BTreeMap;
#[cfg(feature = "cgroup-v1")]
use std::os::fd::AsRawFd;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

/// The counters that tell of OOM, by the names of memory.events.
pub type Counters = BTreeMap<String, u64>;

/// A watch over a cgroup's memory.
#[derive(Debug)]
pub struct Watch {
    path: PathBuf,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// memory.events, and what it last said of kills.
    Unified { file: OwnedFd, kills: u64 },
    /// An eventfd that counts, and the cgroup to look at then.
    #[cfg(feature = "cgroup-v1")]
    Legacy { counter: OwnedFd, dir: OwnedFd },
}

impl Watch {
    pub(super) fn unified(dir: BorrowedFd<'_>, path: PathBuf) -> Result<Option<Self>, Error> {
        let file = match fd::openat(dir, c"memory.events", fd::O_RDONLY | fd::O_NOFOLLOW, 0) {
            Ok(file) => file,
            Err(Errno::ENOENT) => return Ok(None),
            Err(errno) => return Err(Error::Watch { path, errno }),
        };
        let kills = match reread(file.as_fd()) {
            Ok(text) => kills(&counters(&text)),
            Err(errno) => return Err(Error::Watch { path, errno }),
        };
        Ok(Some(Self { path, kind: Kind::Unified { file, kills } }))
    }

    #[cfg(feature = "cgroup-v1")]
    pub(super) fn legacy(dir: BorrowedFd<'_>, path: &std::path::Path) -> Result<Self, Error> {
        let path = path.join("memory.oom_control");
        let register = || {
            let counter = crate::sys::notify::counter()?;
            let control = fd::openat(dir, c"memory.oom_control", fd::O_RDONLY | fd::O_NOFOLLOW, 0)?;
            let line = format!("{} {}", counter.as_raw_fd(), control.as_raw_fd());
            write_file(dir, c"cgroup.event_control", &line)?;
            Ok(Kind::Legacy { counter, dir: dir.try_clone_to_owned().map_err(|_| Errno::EMFILE)? })
        };
        match register() {
            Ok(kind) => Ok(Self { path, kind }),
            Err(errno) => Err(Error::Watch { path, errno }),
        }
    }

    /// The descriptor to wait for, and how.
    pub fn source(&self) -> (BorrowedFd<'_>, News) {
        match &self.kind {
            Kind::Unified { file, .. } => (file.as_fd(), News::Change),
            #[cfg(feature = "cgroup-v1")]
            Kind::Legacy { counter, .. } => (counter.as_fd(), News::Input),
        }
    }

    /// Whether there was an OOM kill since the last time, and the counters now. A cgroup that is
    /// gone has no news.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn news(&mut self) -> Result<Option<Counters>, Error> {
        let failed = |errno| Error::Read { path: self.path.clone(), errno };
        match &mut self.kind {
            Kind::Unified { file, kills: before } => {
                let now = match reread(file.as_fd()) {
                    Ok(text) => counters(&text),
                    Err(Errno::ENODEV) => return Ok(None),
                    Err(errno) => return Err(failed(errno)),
                };
                let grown = kills(&now) > *before;
                *before = kills(&now);
                Ok(grown.then_some(now))
            }
            #[cfg(feature = "cgroup-v1")]
            Kind::Legacy { counter, dir } => {
                match fd::read(counter.as_fd(), &mut [0; 8]) {
                    Ok(_) => {}
                    Err(Errno::EAGAIN) => return Ok(None),
                    Err(errno) => return Err(failed(errno)),
                }
                // The removal of the cgroup counts as well.
                match read_file(dir.as_fd(), c"memory.oom_control") {
                    Ok(text) => Ok(Some(kill_count(&text))),
                    Err(Errno::ENOENT | Errno::ENODEV) => Ok(None),
                    Err(errno) => Err(failed(errno)),
                }
            }
        }
    }
}

fn counters(text: &str) -> Counters {
    let pair = |line: &str| {
        let (name, count) = line.split_once(' ')?;
        Some((name.to_owned(), count.trim().parse().ok()?))
    };
    text.lines().filter_map(pair).collect()
}

fn kills(counters: &Counters) -> u64 {
    counters.get("oom_kill").copied().unwrap_or(0)
}

#[cfg(feature = "cgroup-v1")]
fn kill_count(text: &str) -> Counters {
    let mut all = counters(text);
    all.retain(|name, _| name == "oom_kill");
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CG-71.
    #[test]
    fn a_kill_is_told_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("memory.events");
        let text = |kills| format!("low 0\nmax 3\noom 1\noom_kill {kills}\n");
        std::fs::write(&path, text(1)).unwrap();
        let fd = std::fs::File::open(dir.path()).unwrap();
        let mut watch = Watch::unified(fd.as_fd(), path.clone()).unwrap().unwrap();
        assert_eq!(watch.news().unwrap(), None);
        std::fs::write(&path, text(2)).unwrap();
        assert_eq!(watch.news().unwrap().unwrap()["oom_kill"], 2);
        assert_eq!(watch.news().unwrap(), None);
    }

    #[test]
    fn without_a_memory_controller_nothing_is_watched() {
        let dir = tempfile::tempdir().unwrap();
        let fd = std::fs::File::open(dir.path()).unwrap();
        assert!(Watch::unified(fd.as_fd(), dir.path().join("memory.events")).unwrap().is_none());
    }
}
