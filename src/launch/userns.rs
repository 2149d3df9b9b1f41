//! The ids of user namespaces: those of containers, and those that only map a mount.

use super::{Error, hooks};
use crate::deadlines::milliseconds;
use crate::error::describe;
use crate::init::first_executable;
use crate::plan::Plan;
use crate::plan::caps;
use crate::plan::idmap::{IdMaps, Range, map_file};
use crate::plan::mounts::{Content, Mount};
use crate::plan::namespaces::Kind;
use crate::plan::process::in_path;
use crate::sys::mount::{self, Reach};
use crate::sys::process::{self, Block, Cloned, Exit, StringArray, Who, ns};
use crate::sys::spawn::{self, Outcome, Program, Tail};
use crate::sys::{Errno, cred, fd, socket};
use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// The kernel takes maps of less than a page of text (user_namespaces(7)).
const PAGE: usize = 4096;

/// Whether ids are users or groups: their files, their JSON pointer, who maps them for those
/// without the privilege.
struct Ids<'a> {
    ranges: &'a [Range],
    file: &'static str,
    list: &'static str,
    helper: &'static str,
    /// The caller's own id, which anybody may map.
    own: u32,
    capability: u8,
}

impl Ids<'_> {
    fn only_own(&self) -> bool {
        matches!(self.ranges, [range] if range.count == 1 && range.outside == self.own)
    }
}

/// Writes the id maps of the user namespace that process `pid` is in; `parent` is the JSON
/// pointer that holds them.
pub(super) fn write_maps(
    pid: i32,
    maps: &IdMaps,
    parent: &str,
    deadline: Duration,
) -> Result<(), Error> {
    let held = cred::capget().map_or(0, |sets| sets.effective);
    // Groups before users, as engines' tools do; as root the order makes no difference.
    let both = [
        Ids {
            ranges: &maps.gids,
            file: "gid_map",
            list: "gidMappings",
            helper: "newgidmap",
            own: process::getegid(),
            capability: caps::SETGID,
        },
        Ids {
            ranges: &maps.uids,
            file: "uid_map",
            list: "uidMappings",
            helper: "newuidmap",
            own: process::geteuid(),
            capability: caps::SETUID,
        },
    ];
    for ids in both {
        let pointer = format!("{parent}/{}", ids.list);
        if held & (1 << ids.capability) != 0 {
            write_map(pid, &ids, pointer)?;
        } else if ids.only_own() {
            if ids.capability == caps::SETGID {
                // Who may leave groups may get past permissions that a group is denied
                // (user_namespaces(7)).
                write_file(pid, "setgroups", "deny", &pointer, None)?;
            }
            write_map(pid, &ids, pointer)?;
        } else {
            map_by_helper(pid, &ids, pointer, deadline)?;
        }
    }
    Ok(())
}

fn write_map(pid: i32, ids: &Ids<'_>, pointer: String) -> Result<(), Error> {
    let text = map_file(ids.ranges);
    let hint = (text.len() >= PAGE).then_some("the kernel takes less than 4096 bytes of ranges");
    write_file(pid, ids.file, &text, &pointer, hint)
}

fn write_file(
    pid: i32,
    file: &str,
    text: &str,
    pointer: &str,
    hint: Option<&'static str>,
) -> Result<(), Error> {
    write_proc(pid, file, text).map_err(|source| Error::IdMaps {
        pointer: pointer.to_owned(),
        path: format!("/proc/{pid}/{file}"),
        source,
        hint,
    })
}

/// Has ids mapped that the administrator has given to the caller (subuid(5)).
fn map_by_helper(
    pid: i32,
    ids: &Ids<'_>,
    pointer: String,
    deadline: Duration,
) -> Result<(), Error> {
    let helper = ids.helper;
    let numbers = ids.ranges.iter().flat_map(|range| [range.inside, range.outside, range.count]);
    let numbers = numbers.map(|number| number.to_string());
    let args = [helper.to_owned(), pid.to_string()].into_iter().chain(numbers);
    match run_helper(helper, args, deadline) {
        Ok(()) => Ok(()),
        Err(Unmapped::NotFound) => Err(Error::NoIdHelper { pointer, helper, own: ids.own }),
        Err(Unmapped::Refused(why)) => Err(Error::IdHelper { pointer, helper, why }),
    }
}

/// Why a helper has mapped nothing.
enum Unmapped {
    NotFound,
    Refused(String),
}

/// Runs a program that is looked for in PATH, but no longer than `deadline`.
fn run_helper(
    name: &str,
    args: impl Iterator<Item = String>,
    deadline: Duration,
) -> Result<(), Unmapped> {
    let refused = |errno| Unmapped::Refused(describe(errno));
    let path = std::env::var_os("PATH").map(|path| path.to_string_lossy().into_owned());
    let candidates: Vec<_> =
        in_path(name, path.as_deref()).filter_map(|file| CString::new(file).ok()).collect();
    let file = first_executable(&candidates).map_err(|errno| match errno {
        Errno::ENOENT => Unmapped::NotFound,
        other => refused(other),
    })?;
    let nothing = fd::openat(fd::cwd(), c"/dev/null", fd::O_RDONLY, 0).map_err(refused)?;
    let program = Program {
        path: file,
        args: &StringArray::new(args.filter_map(|arg| CString::new(arg).ok()).collect(), 0),
        env: &StringArray::new(hooks::own_environment(), 0),
        input: nothing.as_fd(),
        timeout: Some(milliseconds(deadline)),
    };
    let mut tail = Tail::<512>::default();
    let why = match spawn::run(&program, &mut tail).map_err(refused)? {
        Outcome::Exited(Exit::Code(0)) => return Ok(()),
        Outcome::Exited(exit) => hooks::ended(exit),
        Outcome::TimedOut => {
            format!("not done within {} s (see --deadline hook)", deadline.as_secs())
        }
        Outcome::NotExecuted(errno) => describe(errno),
    };
    Err(Unmapped::Refused(hooks::with_last_words(why, &tail)))
}

/// Writes a file below /proc/PID by one write(2).
pub(super) fn write_proc(pid: i32, file: &str, text: &str) -> Result<(), Errno> {
    let path = CString::new(format!("/proc/{pid}/{file}")).map_err(|_| Errno::EINVAL)?;
    fd::openat(fd::cwd(), &path, fd::O_WRONLY, 0)
        .and_then(|file| fd::write_once(file.as_fd(), text.as_bytes()))
}

/// A user namespace with these maps that no process is in: mounts take their ids from it.
pub(super) fn of_maps(index: u32, maps: &IdMaps, deadline: Duration) -> Result<OwnedFd, Error> {
    let failed = |source| Error::MountUsers { index, source };
    let (keep, wait) = socket::packet_pair().map_err(failed)?;
    let (pid, pidfd) = match process::clone3(ns::USER, None).map_err(failed)? {
        Cloned::Child => {
            // Lives until the launcher, in life or death, closes its end.
            drop(keep);
            let _ = fd::read(wait.as_fd(), &mut [0]);
            process::exit_now(0)
        }
        Cloned::Parent { pid, pidfd } => (pid, pidfd),
    };
    drop(wait);
    let users = write_maps(pid, maps, &format!("/mounts/{index}"), deadline).and_then(|()| {
        let path = CString::new(format!("/proc/{pid}/ns/user")).unwrap_or_default();
        fd::openat(fd::cwd(), &path, fd::O_RDONLY, 0).map_err(failed)
    });
    drop(keep);
    let _ = process::wait(Who::Pidfd(pidfd.as_fd()), Block::Yes);
    users
}

/// Maps the ids of mounts, but for those that need the user namespace that is yet to be made.
pub(super) fn map_mounts(
    plan: &Plan,
    namespaces: &[Option<OwnedFd>],
    sources: &mut [Option<OwnedFd>],
    deadline: Duration,
) -> Result<(), Error> {
    let joined = plan.namespaces.join.iter().zip(namespaces);
    let joined = joined.into_iter().find(|(join, _)| join.kind == Kind::User);
    let joined = joined.and_then(|(_, namespace)| namespace.as_ref());
    // Engines give all mounts of a container the same mappings.
    let mut made: Vec<(&IdMaps, OwnedFd)> = Vec::new();
    for (mount, tree) in plan.mounts.iter().zip(sources) {
        let (Some(idmap), Some(tree)) = (&mount.idmap, tree) else { continue };
        let users = match &idmap.maps {
            None => joined,
            Some(maps) => {
                if !made.iter().any(|(known, _)| *known == maps) {
                    made.push((maps, of_maps(mount.index, maps, deadline)?));
                }
                made.iter().find(|(known, _)| *known == maps).map(|(_, users)| users)
            }
        };
        if let Some(users) = users {
            map(mount, tree, idmap.reach, users)?;
        }
    }
    Ok(())
}

/// The mounts that the container's new user namespace maps, for [`map_as_container`].
pub(super) fn still_unmapped(
    plan: &Plan,
    sources: &[Option<OwnedFd>],
) -> Result<Vec<(usize, OwnedFd)>, Error> {
    if !plan.namespaces.is_new(Kind::User) {
        return Ok(Vec::new());
    }
    let trees = plan.mounts.iter().zip(sources).enumerate().filter_map(|(index, (mount, tree))| {
        mount.idmap.as_ref().filter(|idmap| idmap.maps.is_none())?;
        Some((index, tree.as_ref()?))
    });
    let copy = |(index, tree): (usize, &OwnedFd)| {
        let copy = fd::dup_above(tree.as_fd(), 3);
        copy.map(|copy| (index, copy))
            .map_err(|source| Error::Own { action: "duplicate a descriptor", source })
    };
    trees.map(copy).collect()
}

/// Maps mounts as the user namespace of process `pid` does, whose maps are written.
pub(super) fn map_as_container(
    plan: &Plan,
    pid: i32,
    trees: &[(usize, OwnedFd)],
) -> Result<(), Error> {
    if trees.is_empty() {
        return Ok(());
    }
    let path = CString::new(format!("/proc/{pid}/ns/user")).unwrap_or_default();
    let users = fd::openat(fd::cwd(), &path, fd::O_RDONLY, 0)
        .map_err(|source| Error::Own { action: "open the new user namespace", source })?;
    for (index, tree) in trees {
        let Some(mount) = plan.mounts.get(*index) else { continue };
        let Some(idmap) = &mount.idmap else { continue };
        map(mount, tree, idmap.reach, &users)?;
    }
    Ok(())
}

fn map(mount: &Mount, tree: &OwnedFd, reach: Reach, users: &OwnedFd) -> Result<(), Error> {
    mount::set_idmap(tree.as_fd(), reach, users.as_fd()).map_err(|source| {
        let path = match &mount.content {
            Content::Bind { source, .. } => source.to_string_lossy().into_owned(),
            _ => mount.destination.to_string(),
        };
        let hint = match source {
            Errno::EINVAL => Some("its file system cannot map ids, or one mounted below it cannot"),
            Errno::EPERM => Some(
                "mapping ids needs CAP_SYS_ADMIN over the file system, or it is mapped already",
            ),
            _ => None,
        };
        Error::IdMappedMount { index: mount.index, path, source, hint }
    })
}
