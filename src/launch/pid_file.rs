//! The file that gets a process id.

use crate::sys::{Errno, fd};
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Writes the id, decimal without a newline, as engines parse it. The file is there at once or
/// not at all: it gets its name when it is complete, and a death before leaves nothing. Whatever
/// has the name already gives way; it is not followed and not written.
///
/// # Errors
/// Those of open(2), write(2), linkat(2).
pub(super) fn write(path: &Path, pid: i32) -> Result<(), Errno> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (dir, path) = (c_path(dir)?, c_path(path)?);
    match fd::openat(fd::cwd(), &dir, fd::O_WRONLY | fd::O_TMPFILE, 0o666) {
        Ok(file) => {
            fd::write_all(file.as_fd(), pid.to_string().as_bytes())?;
            name(&file, &path)
        }
        // Where the file system has no files without a name.
        Err(Errno::EOPNOTSUPP | Errno::EISDIR) => write_named(&path, pid),
        Err(errno) => Err(errno),
    }
}

fn name(file: &OwnedFd, path: &CStr) -> Result<(), Errno> {
    match fd::name_file(file.as_fd(), fd::cwd(), path) {
        Err(Errno::EEXIST) => {
            fd::unlinkat(fd::cwd(), path)?;
            fd::name_file(file.as_fd(), fd::cwd(), path)
        }
        other => other,
    }
}

/// As [`write`], but a death meanwhile can leave an incomplete file.
fn write_named(path: &CStr, pid: i32) -> Result<(), Errno> {
    match fd::unlinkat(fd::cwd(), path) {
        Ok(()) | Err(Errno::ENOENT) => {}
        Err(errno) => return Err(errno),
    }
    let flags = fd::O_WRONLY | fd::O_CREAT | fd::O_EXCL | fd::O_NOFOLLOW;
    let file = fd::openat(fd::cwd(), path, flags, 0o666)?;
    fd::write_all(file.as_fd(), pid.to_string().as_bytes()).inspect_err(|_| {
        let _ = fd::unlinkat(fd::cwd(), path);
    })
}

fn c_path(path: &Path) -> Result<CString, Errno> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::EINVAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_by_every_way_and_replaces_what_was_there() {
        let dir = tempfile::tempdir().unwrap();
        let victim = dir.path().join("victim");
        std::fs::write(&victim, "untouched").unwrap();
        let path = dir.path().join("pid");
        let named = |path: &Path, pid| write_named(&c_path(path).unwrap(), pid);
        for (pid, write) in [(7, &write as &dyn Fn(&Path, i32) -> _), (123_456, &named)] {
            let _ = std::fs::remove_file(&path);
            write(&path, pid).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), pid.to_string());
            write(&path, pid + 1).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), (pid + 1).to_string());
            std::fs::remove_file(&path).unwrap();
            std::os::unix::fs::symlink(&victim, &path).unwrap();
            write(&path, pid).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), pid.to_string());
            assert_eq!(std::fs::read_to_string(&victim).unwrap(), "untouched");
        }
        // Two names, and none besides.
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
        assert_eq!(write(&dir.path().join("no/pid"), 1), Err(Errno::ENOENT));
    }
}
