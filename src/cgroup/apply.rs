//! Carrying out a table of writes, and undoing it.

use super::Error;
use super::tree::{read_file, write_file};
use crate::plan::cgroup::path::c_string;
use crate::plan::cgroup::{Guard, Invalid, Missing, Write};
use crate::sys::Errno;
use std::os::fd::BorrowedFd;
use std::path::Path;

/// The directories that hold a container's cgroup files.
pub(super) trait Files {
    /// The directory of a controller, open and by name.
    fn dir(&self, controller: &str) -> Option<(BorrowedFd<'_>, &Path)>;
}

/// A single directory for every controller, as in the unified hierarchy.
pub(super) struct OneDir<'a> {
    pub(super) fd: BorrowedFd<'a>,
    pub(super) path: &'a Path,
}

impl Files for OneDir<'_> {
    fn dir(&self, _controller: &str) -> Option<(BorrowedFd<'_>, &Path)> {
        Some((self.fd, self.path))
    }
}

/// Carries out writes in order. A write that may only be wrong beside another one's old value is
/// tried again after each later write.
///
/// # Errors
/// The first write that fails; those before it stay.
pub(super) fn apply(files: &impl Files, writes: &[Write]) -> Result<(), Error> {
    run(files, writes, &mut |_| {})
}

/// Carries out writes, and then `rest`; when any of it fails, the writes are undone in reverse
/// order.
///
/// # Errors
/// What failed, in [`Error::NotUndone`] when undoing failed as well.
pub(super) fn apply_or_undo(
    files: &impl Files,
    writes: &[Write],
    rest: impl FnOnce() -> Result<(), Error>,
) -> Result<(), Error> {
    let mut undo = Vec::new();
    let result = run(files, writes, &mut |write| undo.extend(before(files, write)));
    let Err(cause) = result.and_then(|()| rest()) else { return Ok(()) };
    // A write that failed is among them; putting back its old value is harmless.
    undo.reverse();
    undone(files, &undo, cause)
}

/// What [`apply_or_undo`] would do to undo writes that have not been carried out.
pub(super) fn undoing(files: &impl Files, writes: &[Write]) -> Vec<Write> {
    writes.iter().rev().filter_map(|write| before(files, write)).collect()
}

/// Carries out what undoes an update.
///
/// # Errors
/// Always: `cause`, in [`Error::NotUndone`] when undoing failed.
pub(super) fn undone(files: &impl Files, writes: &[Write], cause: Error) -> Result<(), Error> {
    let left: Vec<Error> =
        writes.iter().filter_map(|write| put_back(files, write, writes).err()).collect();
    if left.is_empty() {
        Err(cause)
    } else {
        Err(Error::NotUndone { cause: Box::new(cause), left })
    }
}

/// Undoing meets the same orders as doing: a refused value may pass once its partner is back.
fn put_back(files: &impl Files, write: &Write, all: &[Write]) -> Result<(), Error> {
    let Err(first) = one(files, write) else { return Ok(()) };
    for partner in all.iter().filter(|other| other.controller == write.controller) {
        let _ = one(files, partner);
        if one(files, write).is_ok() {
            return Ok(());
        }
    }
    Err(first)
}

fn run(
    files: &impl Files,
    writes: &[Write],
    about_to: &mut impl FnMut(&Write),
) -> Result<(), Error> {
    let mut waiting: Vec<(&Write, Error)> = Vec::new();
    for write in writes {
        check(files, write)?;
        about_to(write);
        match one(files, write) {
            Ok(()) => waiting.retain(|(earlier, _)| {
                earlier.controller != write.controller || one(files, earlier).is_err()
            }),
            Err(error @ Error::Write { errno: Errno::EINVAL, .. })
                if write.invalid == Invalid::Later =>
            {
                waiting.push((write, error));
            }
            Err(error) => return Err(error),
        }
    }
    match waiting.into_iter().next() {
        Some((_, error)) => Err(error),
        None => Ok(()),
    }
}

/// Checks the conditions of writes.
///
/// # Errors
/// [`Error::InUse`].
pub(super) fn check_all(files: &impl Files, writes: &[Write]) -> Result<(), Error> {
    writes.iter().try_for_each(|write| check(files, write))
}

fn check(files: &impl Files, write: &Write) -> Result<(), Error> {
    let Some(Guard { file, limit }) = write.guard else { return Ok(()) };
    let Some((dir, _)) = files.dir(&write.controller) else { return Ok(()) };
    let usage = read_file(dir, &c_string(file)).ok().and_then(|text| text.trim().parse().ok());
    match usage {
        Some(usage) if usage >= limit => {
            Err(Error::InUse { pointer: write.pointer.clone(), limit, usage })
        }
        _ => Ok(()),
    }
}

fn one(files: &impl Files, write: &Write) -> Result<(), Error> {
    let (dir, path) = directory(files, write)?;
    let refused = |file: &str, value: &str, errno| Error::Write {
        pointer: write.pointer.clone(),
        file: path.join(file),
        value: value.to_owned(),
        errno,
    };
    match write_made(dir, write) {
        Ok(()) => Ok(()),
        Err(Errno::ENOENT) => match &write.missing {
            Missing::Ignore => Ok(()),
            Missing::Refuse => Err(no_file(write, path, &write.file)),
            Missing::Instead { file, value } => match write_file(dir, &c_string(file), value) {
                Ok(()) => Ok(()),
                Err(Errno::ENOENT) => Err(no_file(write, path, file)),
                Err(errno) => Err(refused(file, value, errno)),
            },
        },
        Err(errno) => Err(refused(&write.file, &write.value, errno)),
    }
}

/// Writes a file that may still be on its way: cgroup.controllers names a controller before its
/// files are there. The kernel takes nobody's word about it until all are
/// (cgroup_subtree_control_write, kernel/cgroup/cgroup.c), also not one that changes nothing.
fn write_made(dir: BorrowedFd<'_>, write: &Write) -> Result<(), Errno> {
    let file = c_string(&write.file);
    let first = write_file(dir, &file, &write.value);
    if first != Err(Errno::ENOENT) {
        return first;
    }
    // Where the parent is not the caller's, or the hierarchy is of version 1, nobody waits.
    let word = format!("+{}", write.controller);
    let _ = write_file(dir, c"../cgroup.subtree_control", &word);
    write_file(dir, &file, &write.value)
}

fn directory<'f>(
    files: &'f impl Files,
    write: &Write,
) -> Result<(BorrowedFd<'f>, &'f Path), Error> {
    files.dir(&write.controller).ok_or_else(|| no_file(write, Path::new(""), &write.file))
}

fn no_file(write: &Write, path: &Path, file: &str) -> Error {
    Error::NoFile {
        pointer: write.pointer.clone(),
        controller: write.controller.clone().into_owned(),
        file: path.join(file),
    }
}

/// The write that restores what a file says now about the subject of `write`; `None` when there
/// is nothing to restore or the file cannot be read.
fn before(files: &impl Files, write: &Write) -> Option<Write> {
    let (dir, _) = files.dir(&write.controller)?;
    let mut old = write.clone();
    old.guard = None;
    old.invalid = Invalid::Refuse;
    let text = match (read_file(dir, &c_string(&write.file)), &write.missing) {
        (Ok(text), _) => text,
        (Err(Errno::ENOENT), Missing::Instead { file, value }) => {
            old.file = (*file).into();
            old.value = value.clone();
            read_file(dir, &c_string(file)).ok()?
        }
        _ => return None,
    };
    old.missing = Missing::Ignore;
    old.value = restoring(&old.file, &old.value, &text)?;
    Some(old)
}

/// The text that brings `file` back to `content`, as far as writing `value` changes it.
fn restoring(file: &str, value: &str, content: &str) -> Option<String> {
    match file {
        "memory.oom_control" => {
            let line = content.lines().find_map(|line| line.strip_prefix("oom_kill_disable "))?;
            Some(line.to_owned())
        }
        _ => match value.split_once(' ') {
            Some((key, _)) if is_keyed(file) => Some(keyed(file, key, value, content)),
            _ => {
                let first = content.lines().next().unwrap_or_default();
                let first = first.strip_prefix("default ").unwrap_or(first);
                Some(if first.is_empty() { "\n".to_owned() } else { first.to_owned() })
            }
        },
    }
}

/// Files with one line per device, as opposed to `cpu.max`, whose line has two numbers.
fn is_keyed(file: &str) -> bool {
    file == "io.max"
        || file == "rdma.max"
        || file == "io.latency"
        || file == "net_prio.ifpriomap"
        || file.ends_with("weight")
        || file.ends_with("_device")
}

fn keyed(file: &str, key: &str, value: &str, content: &str) -> String {
    let old =
        content.lines().find(|line| line.split_once(' ').is_some_and(|(first, _)| first == key));
    if let Some(line) = old {
        return line.to_owned();
    }
    if value.contains('=') {
        let fields = value.split(' ').skip(1).filter_map(|field| field.split_once('='));
        return fields.fold(key.to_owned(), |text, (name, _)| format!("{text} {name}=max"));
    }
    let none = if file.starts_with("io.") { "default" } else { "0" };
    format!("{key} {none}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::borrow::Cow;
    use std::os::fd::AsFd;

    struct Fake {
        dir: tempfile::TempDir,
        fd: std::fs::File,
    }

    impl Fake {
        fn new(files: &[(&str, &str)]) -> Self {
            let dir = tempfile::tempdir().unwrap();
            for (name, text) in files {
                std::fs::write(dir.path().join(name), text).unwrap();
            }
            let fd = std::fs::File::open(dir.path()).unwrap();
            Self { dir, fd }
        }

        fn files(&self) -> OneDir<'_> {
            OneDir { fd: self.fd.as_fd(), path: self.dir.path() }
        }

        fn text(&self, name: &str) -> String {
            std::fs::read_to_string(self.dir.path().join(name)).unwrap()
        }
    }

    fn write(file: &'static str, value: &str) -> Write {
        Write {
            controller: Cow::Borrowed(file.split('.').next().unwrap()),
            file: Cow::Borrowed(file),
            value: value.to_owned(),
            pointer: format!("/test/{file}"),
            missing: Missing::Refuse,
            invalid: Invalid::Refuse,
            guard: None,
        }
    }

    #[test]
    fn writes_go_to_their_files() {
        let fake = Fake::new(&[("memory.max", ""), ("pids.max", "")]);
        let table = [write("memory.max", "4096"), write("pids.max", "7")];
        apply(&fake.files(), &table).unwrap();
        assert_eq!((fake.text("memory.max"), fake.text("pids.max")), ("4096".into(), "7".into()));
    }

    #[test]
    fn an_absent_file_is_an_error_unless_nothing_is_lost() {
        let fake = Fake::new(&[("io.weight", "")]);
        let refused = apply(&fake.files(), &[write("memory.max", "1")]).unwrap_err();
        assert!(matches!(&refused, Error::NoFile { controller, .. } if controller == "memory"));
        assert!(refused.to_string().starts_with("/test/memory.max: controller memory has no "));
        let mut ignored = write("hugetlb.2MB.rsvd.max", "1");
        ignored.missing = Missing::Ignore;
        apply(&fake.files(), &[ignored]).unwrap();
        let mut other = write("io.bfq.weight", "10");
        other.missing = Missing::Instead { file: "io.weight", value: "1".into() };
        apply(&fake.files(), &[other.clone()]).unwrap();
        assert_eq!(fake.text("io.weight"), "1");
        let bare = Fake::new(&[]);
        let refused = apply(&bare.files(), &[other]).unwrap_err();
        assert!(matches!(refused, Error::NoFile { file, .. } if file.ends_with("io.weight")));
    }

    #[test]
    fn usage_above_the_limit_refuses_a_guarded_write() {
        let fake = Fake::new(&[("memory.max", "max"), ("memory.current", "5000\n")]);
        let mut guarded = write("memory.max", "4096");
        guarded.guard = Some(Guard { file: "memory.current", limit: 4096 });
        let refused = apply(&fake.files(), &[guarded.clone()]).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "/test/memory.max: refuse limit 4096: 5000 bytes are in use"
        );
        assert_eq!(fake.text("memory.max"), "max");
        guarded.guard = Some(Guard { file: "memory.current", limit: 5001 });
        apply(&fake.files(), &[guarded]).unwrap();
    }

    /// CG-20.
    #[test]
    fn a_failed_update_puts_back_what_it_changed() {
        let fake = Fake::new(&[("memory.max", "9000\n"), ("cpu.max", "max 100000\n")]);
        let table =
            [write("memory.max", "4096"), write("cpu.max", "50000 100000"), write("pids.max", "1")];
        let error = apply_or_undo(&fake.files(), &table, || Ok(())).unwrap_err();
        assert!(matches!(error, Error::NoFile { .. }), "{error}");
        assert!(fake.text("memory.max").starts_with("9000"));
        assert!(fake.text("cpu.max").starts_with("max 100000"));
    }

    #[test]
    fn old_values_are_put_in_the_words_of_their_file() {
        let io_max = "8:0 rbps=100 wbps=max riops=max wiops=max\n";
        let text = |file, value, content| restoring(file, value, content).unwrap();
        assert_eq!(text("io.max", "8:0 rbps=5", io_max), io_max.trim_end());
        assert_eq!(text("io.max", "8:16 rbps=5 wiops=6", io_max), "8:16 rbps=max wiops=max");
        assert_eq!(text("io.weight", "200", "default 100\n8:0 50\n"), "100");
        assert_eq!(text("io.weight", "8:16 200", "default 100\n8:0 50\n"), "8:16 default");
        assert_eq!(text("rdma.max", "mlx hca_handle=2", ""), "mlx hca_handle=max");
        assert_eq!(text("blkio.throttle.read_bps_device", "8:0 5", ""), "8:0 0");
        assert_eq!(text("memory.oom_control", "1", "oom_kill_disable 0\nunder_oom 0\n"), "0");
        assert_eq!(text("cpu.max", "1 2", "max 100000\n"), "max 100000");
        assert_eq!(text("cpuset.cpus", "0-1", "\n"), "\n");
    }
}
