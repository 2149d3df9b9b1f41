//! Paths below a root that somebody else controls.
//!
//! Every path inside a container's root file system is turned into a descriptor here, once, and
//! used through that descriptor only. Symbolic links are followed as the container would follow
//! them (an absolute one starts at the container's root, `..` stops there); magic links of
//! procfs never are.

use super::fd::{self, NameBuffer, PathBuffer, Stat};
use super::{Errno, Result};
use std::ffi::CStr;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// As many symbolic links as the kernel follows in one path (path_resolution(7)).
const MAX_LINKS: u32 = 40;

/// Permissions of directories and files that are made as mount points.
const DIR_MODE: u32 = 0o755;
const FILE_MODE: u32 = 0o644;

/// What to make where nothing is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// A directory.
    Directory,
    /// An empty regular file, and the directories above it.
    File,
}

/// An `O_PATH` descriptor of `path` as seen from `root`, plus `flags` (`O_NOFOLLOW`, …).
///
/// # Errors
/// `ENOENT` and others of openat2(2); `ELOOP` for a magic link.
pub fn open_in_root(root: BorrowedFd<'_>, path: &CStr, flags: i32) -> Result<OwnedFd> {
    let resolve = fd::RESOLVE_IN_ROOT | fd::RESOLVE_NO_MAGICLINKS;
    fd::openat2(root, path, fd::O_PATH | flags, 0, resolve)
}

/// As [`open_in_root`], making what is missing: each directory on the way, dangling links
/// followed to where they point inside the root.
///
/// # Errors
/// Those of openat2(2) and mkdirat(2); `ELOOP` after 40 links.
pub fn open_or_create(root: BorrowedFd<'_>, path: &CStr, missing: Missing) -> Result<OwnedFd> {
    match open_in_root(root, path, 0) {
        Err(Errno::ENOENT) => {
            let mut walk = Walk {
                root,
                here: Walk::reopen(root, c"/")?,
                done: PathBuffer::default(),
                rest: PathBuffer::default(),
                at: 0,
                links: 0,
            };
            walk.rest.push(path.to_bytes())?;
            walk.run(missing)?;
            Ok(walk.here)
        }
        other => other,
    }
}

/// The directory that holds the last component of `path`, made where missing, and that
/// component's name. Links above it are followed in the root; the last component is not looked at.
///
/// # Errors
/// Those of [`open_or_create`]; `EINVAL` for a path that ends in `/`, `.` or `..`.
pub fn open_parent<'p>(root: BorrowedFd<'_>, path: &'p CStr) -> Result<(OwnedFd, &'p CStr)> {
    let bytes = path.to_bytes_with_nul();
    let start = path.to_bytes().iter().rposition(|&b| b == b'/').map_or(0, |at| at + 1);
    let name = CStr::from_bytes_with_nul(&bytes[start..]).map_err(|_| Errno::EINVAL)?;
    if matches!(name.to_bytes(), b"" | b"." | b"..") {
        return Err(Errno::EINVAL);
    }
    let open = |parent: &CStr| open_or_create(root, parent, Missing::Directory);
    let dir = fd::with_path(&[b"/", &path.to_bytes()[..start]], open)?;
    Ok((dir, name))
}

/// A resolution by hand, one component at a time, each opened with `O_NOFOLLOW` from the
/// descriptor of the one before, so that a rename in between can never lead outside.
struct Walk<'r> {
    root: BorrowedFd<'r>,
    /// Where the walk stands.
    here: OwnedFd,
    /// Path of `here` from the root, without links; only `..` needs it.
    done: PathBuffer,
    /// What is to be resolved, of which the first `at` bytes have been.
    rest: PathBuffer,
    at: usize,
    links: u32,
}

impl<'r> Walk<'r> {
    fn reopen(root: BorrowedFd<'_>, path: &CStr) -> Result<OwnedFd> {
        let resolve = fd::RESOLVE_IN_ROOT | fd::RESOLVE_NO_SYMLINKS;
        fd::openat2(root, path, fd::O_PATH | fd::O_DIRECTORY, 0, resolve)
    }

    fn run(&mut self, missing: Missing) -> Result<()> {
        while let Some(place) = next_component(self.rest.as_bytes(), self.at) {
            self.at = place.end;
            let last = next_component(self.rest.as_bytes(), self.at).is_none();
            match &self.rest.as_bytes()[place] {
                b"." => {}
                b".." => self.ascend()?,
                name => {
                    let name = NameBuffer::join(&[name])?;
                    let missing = if last { missing } else { Missing::Directory };
                    self.descend(name.as_c_str(), missing)?;
                }
            }
        }
        Ok(())
    }

    fn ascend(&mut self) -> Result<()> {
        let parent = self.done.as_bytes().iter().rposition(|&b| b == b'/').unwrap_or(0);
        self.done.truncate(parent);
        let reopen = |path: &CStr| Self::reopen(self.root, path);
        self.here = fd::with_path(&[b"/", self.done.as_bytes()], reopen)?;
        Ok(())
    }

    fn descend(&mut self, name: &CStr, missing: Missing) -> Result<()> {
        let found = match self.enter(name) {
            Err(Errno::ENOENT) => {
                self.create(name, missing)?;
                self.enter(name)
            }
            other => other,
        };
        let (next, stat) = found?;
        if stat.kind() == fd::S_IFLNK {
            return self.follow(next.as_fd());
        }
        self.here = next;
        self.done.push(b"/")?;
        self.done.push(name.to_bytes())
    }

    fn enter(&self, name: &CStr) -> Result<(OwnedFd, Stat)> {
        let next = fd::openat(self.here.as_fd(), name, fd::O_PATH | fd::O_NOFOLLOW, 0)?;
        let stat = fd::fstat(next.as_fd())?;
        Ok((next, stat))
    }

    fn create(&self, name: &CStr, missing: Missing) -> Result<()> {
        let made = match missing {
            Missing::Directory => fd::mkdirat(self.here.as_fd(), name, DIR_MODE),
            Missing::File => {
                let flags = fd::O_CREAT | fd::O_EXCL | fd::O_NOFOLLOW | fd::O_WRONLY;
                fd::openat(self.here.as_fd(), name, flags, FILE_MODE).map(drop)
            }
        };
        match made {
            // Somebody else was faster; what it is will be seen on entering it.
            Err(Errno::EEXIST) => Ok(()),
            other => other,
        }
    }

    fn follow(&mut self, link: BorrowedFd<'_>) -> Result<()> {
        self.links += 1;
        if self.links > MAX_LINKS || fd::fs_magic(link)? == fd::PROC_SUPER_MAGIC {
            // procfs holds magic links, whose text is not where they lead.
            return Err(Errno::ELOOP);
        }
        let mut buf = [0; libc::PATH_MAX as usize];
        let target = fd::readlinkat(link, c"", &mut buf)?;
        if target.first() == Some(&b'/') {
            self.done.truncate(0);
            self.here = Self::reopen(self.root, c"/")?;
        }
        let mut rest = PathBuffer::default();
        rest.extend(&[target, b"/", &self.rest.as_bytes()[self.at..]])?;
        (self.rest, self.at) = (rest, 0);
        Ok(())
    }
}

/// Where the first component of a path is at or after a place; `None` when only slashes are left.
fn next_component(path: &[u8], at: usize) -> Option<Range<usize>> {
    let start = at + path[at..].iter().position(|&b| b != b'/')?;
    let len = path[start..].iter().position(|&b| b == b'/').unwrap_or(path.len() - start);
    Some(start..start + len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    fn root() -> (tempfile::TempDir, OwnedFd) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("root")).unwrap();
        let fd = OwnedFd::from(std::fs::File::open(dir.path().join("root")).unwrap());
        (dir, fd)
    }

    fn same(fd: &OwnedFd, path: &Path) -> bool {
        use std::os::unix::fs::MetadataExt;
        fd::fstat(fd.as_fd()).unwrap().ino == std::fs::metadata(path).unwrap().ino()
    }

    #[test]
    fn missing_directories_are_made() {
        let (dir, root) = root();
        let made = open_or_create(root.as_fd(), c"/a/b/../c/./d", Missing::Directory).unwrap();
        assert!(same(&made, &dir.path().join("root/a/c/d")));
    }

    #[test]
    fn a_missing_file_is_made_with_its_directories() {
        let (dir, root) = root();
        open_or_create(root.as_fd(), c"a/file", Missing::File).unwrap();
        assert!(dir.path().join("root/a/file").is_file());
    }

    #[test]
    fn links_stay_inside_the_root() {
        let (dir, root) = root();
        let inside = dir.path().join("root");
        symlink("../../../escape", inside.join("up")).unwrap();
        symlink("/abs/olute", inside.join("link")).unwrap();
        open_or_create(root.as_fd(), c"/up/x", Missing::Directory).unwrap();
        open_or_create(root.as_fd(), c"/link/y", Missing::Directory).unwrap();
        assert!(inside.join("escape/x").is_dir() && inside.join("abs/olute/y").is_dir());
        assert!(!dir.path().join("escape").exists());
    }

    #[test]
    fn a_loop_of_links_is_refused() {
        let (dir, root) = root();
        symlink("loop", dir.path().join("root/loop")).unwrap();
        let error = open_or_create(root.as_fd(), c"/loop/x", Missing::Directory).unwrap_err();
        assert_eq!(error, Errno::ELOOP);
    }

    #[test]
    fn a_file_in_the_way_is_not_a_directory() {
        let (dir, root) = root();
        std::fs::write(dir.path().join("root/file"), "").unwrap();
        let error = open_or_create(root.as_fd(), c"/file/x", Missing::Directory).unwrap_err();
        assert_eq!(error, Errno::ENOTDIR);
    }

    #[test]
    fn the_parent_of_a_name_is_found_or_made() {
        let (dir, root) = root();
        let (parent, name) = open_parent(root.as_fd(), c"/dev/fuse").unwrap();
        assert!(same(&parent, &dir.path().join("root/dev")));
        assert_eq!(name, c"fuse");
        assert_eq!(open_parent(root.as_fd(), c"/dev/..").unwrap_err(), Errno::EINVAL);
    }
}
