//! What was computed once and can be used again: `<root>/.cache/seccomp/`.
//!
//! A cache may be lost, full or damaged at any time: then the work is done again. What is read is
//! used only if it was made from the very same input, which lies next to it in full.

use super::{c_path, read_all};
use crate::sys::{Errno, fd, process};
use std::ffi::{CStr, CString};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Most files that are kept. Hosts have a handful of profiles.
const CAPACITY: usize = 64;

/// Largest file that is read or written.
const MAX_LEN: usize = 1 << 20;

const MAGIC: &[u8] = b"cloison cache 1\n";

/// The cache of compiled filters; none where it cannot be had.
#[derive(Debug)]
pub struct Cache(Option<OwnedFd>);

impl Cache {
    /// The cache below a state root, made where it is missing.
    pub fn of_filters(root: &Path) -> Self {
        let open = || {
            let root = fd::openat(fd::cwd(), &c_path(root), fd::O_PATH | fd::O_DIRECTORY, 0)?;
            let all = open_or_make(root.as_fd(), c".cache")?;
            open_or_make(all.as_fd(), c"seccomp")
        };
        Self(open().ok())
    }

    /// The result that was kept for `input`.
    pub fn get(&self, input: &[u8]) -> Option<Vec<u8>> {
        let flags = fd::O_RDONLY | fd::O_NOFOLLOW | fd::O_NONBLOCK;
        let file = fd::openat(self.0.as_ref()?.as_fd(), &name(input), flags, 0).ok()?;
        let stat = fd::fstat(file.as_fd()).ok()?;
        if stat.kind() != fd::S_IFREG || !is_ours(&stat) || stat.size > MAX_LEN as u64 {
            return None;
        }
        decode(&read_all(&file).ok()?, input)
    }

    /// Keeps a result, all at once (rename(2)). A failure loses nothing but time.
    pub fn put(&self, input: &[u8], result: &[u8]) {
        let Some(dir) = &self.0 else { return };
        let bytes = encode(input, result);
        if bytes.len() > MAX_LEN {
            return;
        }
        let draft = CString::new(format!("{}.new", process::getpid())).unwrap_or_default();
        let write = || {
            make_room(dir)?;
            let flags = fd::O_WRONLY | fd::O_CREAT | fd::O_TRUNC | fd::O_NOFOLLOW;
            let file = fd::openat(dir.as_fd(), &draft, flags, 0o600)?;
            fd::write_all(file.as_fd(), &bytes)?;
            fd::renameat(dir.as_fd(), &draft, dir.as_fd(), &name(input))
        };
        if write().is_err() {
            let _ = fd::unlinkat(dir.as_fd(), &draft);
        }
    }
}

/// Empties a cache that is full: profiles come back by themselves, and the order in which they
/// were last used is not worth a write at each use.
fn make_room(dir: &OwnedFd) -> Result<(), Errno> {
    let mut names: Vec<CString> = Vec::new();
    fd::rewind(dir.as_fd())?;
    fd::for_each_entry(dir.as_fd(), &mut [0; 4096], |entry| {
        names.push(entry.name.to_owned());
        Ok(())
    })?;
    if names.len() < CAPACITY {
        return Ok(());
    }
    names.iter().try_for_each(|name| match fd::unlinkat(dir.as_fd(), name) {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(errno),
    })
}

fn open_or_make(parent: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = fd::O_RDONLY | fd::O_DIRECTORY | fd::O_NOFOLLOW;
    let dir = match fd::openat(parent, name, flags, 0) {
        Err(Errno::ENOENT) => {
            match fd::mkdirat(parent, name, 0o700) {
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(errno) => return Err(errno),
            }
            fd::openat(parent, name, flags, 0)?
        }
        other => other?,
    };
    if is_ours(&fd::fstat(dir.as_fd())?) { Ok(dir) } else { Err(Errno::EPERM) }
}

/// Nobody else could have written it.
fn is_ours(stat: &fd::Stat) -> bool {
    stat.uid == process::geteuid() && stat.mode & 0o022 == 0
}

fn digest(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

/// A name for an input. Two inputs with one name drive each other out, nothing worse.
fn name(input: &[u8]) -> CString {
    CString::new(format!("{:016x}", digest(input))).unwrap_or_default()
}

fn encode(input: &[u8], result: &[u8]) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    for part in [input, result] {
        bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
        bytes.extend_from_slice(part);
    }
    let digest = digest(&bytes);
    bytes.extend_from_slice(&digest.to_le_bytes());
    bytes
}

fn decode(bytes: &[u8], input: &[u8]) -> Option<Vec<u8>> {
    let (body, sum) = bytes.split_last_chunk::<8>()?;
    if digest(body) != u64::from_le_bytes(*sum) {
        return None;
    }
    let (kept, rest) = part(body.strip_prefix(MAGIC)?)?;
    let (result, rest) = part(rest)?;
    (kept == input && rest.is_empty()).then(|| result.to_vec())
}

fn part(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<8>()?;
    rest.split_at_checked(usize::try_from(u64::from_le_bytes(*len)).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(root: &Path) -> Vec<std::path::PathBuf> {
        let dir = std::fs::read_dir(root.join(".cache/seccomp")).unwrap();
        dir.map(|entry| entry.unwrap().path()).collect()
    }

    #[test]
    fn what_was_put_is_got_for_the_same_input_alone() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::of_filters(root.path());
        assert_eq!(cache.get(b"in"), None);
        cache.put(b"in", b"out");
        assert_eq!(Cache::of_filters(root.path()).get(b"in").unwrap(), b"out");
        assert_eq!(cache.get(b"other"), None);
        assert_eq!(decode(&encode(b"in", b"out"), b"other"), None);
    }

    #[test]
    fn damaged_files_and_those_of_others_are_no_answer() {
        use std::os::unix::fs::PermissionsExt;
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::of_filters(root.path());
        cache.put(b"in", b"out");
        let file = &files(root.path())[0];
        let whole = std::fs::read(file).unwrap();
        for cut in 0..whole.len() {
            std::fs::write(file, &whole[..cut]).unwrap();
            assert_eq!(cache.get(b"in"), None, "{cut}");
            let mut turned = whole.clone();
            turned[cut] ^= 1;
            std::fs::write(file, &turned).unwrap();
            assert_eq!(cache.get(b"in"), None, "{cut}");
        }
        std::fs::write(file, &whole).unwrap();
        std::fs::set_permissions(file, PermissionsExt::from_mode(0o622)).unwrap();
        assert_eq!(cache.get(b"in"), None);
        cache.put(b"in", b"out");
        assert_eq!(cache.get(b"in").unwrap(), b"out");
    }

    #[test]
    fn a_cache_does_not_grow_without_end() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::of_filters(root.path());
        for n in 0..200u32 {
            cache.put(&n.to_le_bytes(), b"x");
            assert!(files(root.path()).len() <= CAPACITY);
        }
        cache.put(b"big", &vec![0; MAX_LEN]);
        assert_eq!(cache.get(b"big"), None);
    }

    #[test]
    fn a_link_in_its_place_is_not_followed() {
        let root = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), root.path().join(".cache")).unwrap();
        let cache = Cache::of_filters(root.path());
        cache.put(b"in", b"out");
        assert_eq!(cache.get(b"in"), None);
        assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 0);
    }
}
