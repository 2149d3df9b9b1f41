//! What the program may do: limits, labels, ids and capabilities.

use super::At;
use super::paths::write_proc;
use crate::plan::{Descriptors, ProcessPlan, lsm};
use crate::sys::cred::{self, CapSets};
use crate::sys::fd::{self, Decimal, PathBuffer};
use crate::sys::mount::FsContext;
use crate::sys::{self, Errno, process, sched};
use crate::wire::{Failure, Step};
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A procfs that nobody else can reach, for the steps that write to one. Where the kernel gives none,
/// as the pid namespace is another user namespace's, it is the one at /proc.
pub(super) fn procfs_if(needed: bool) -> Result<Option<OwnedFd>, Failure> {
    if !needed {
        return Ok(None);
    }
    let open = || {
        let context = FsContext::open(c"proc")?;
        context.create()?;
        context.mount(0)
    };
    match open() {
        Err(Errno::EPERM) => shared_procfs().ok_or(Errno::EPERM),
        other => other,
    }
    .at(Step::Procfs, 0)
    .map(Some)
}

/// What is mounted at /proc, if it is a procfs, and shows this process by its own number.
fn shared_procfs() -> Option<OwnedFd> {
    let flags = fd::O_PATH | fd::O_DIRECTORY;
    let found = fd::openat2(fd::cwd(), c"/proc", flags, 0, fd::RESOLVE_NO_SYMLINKS).ok()?;
    let own = Decimal::new(process::getpid() as u64);
    let is_own = fd::fs_magic(found.as_fd()) == Ok(fd::PROC_SUPER_MAGIC)
        && fd::readlinkat(found.as_fd(), c"self", &mut [0; 20]) == Ok(own.as_bytes());
    is_own.then_some(found)
}

/// Restricts the process to the CPUs that are meant for those that join a container (config.md,
/// execCPUAffinity), once it is in the container's cgroup.
pub(super) fn choose_cpus(wanted: &ProcessPlan) -> Result<(), Failure> {
    match &wanted.affinity.last {
        Some(cpus) => sched::set_affinity(&cpus.0).at(Step::Affinity, 0),
        None => Ok(()),
    }
}

/// Limits, priorities, execution domain and labels: what has to be said while still privileged.
///
/// In a user namespace the file of `score` belongs to nobody there: the launcher sees to it, and to
/// hard limits that rise.
pub(super) fn limit(
    wanted: &ProcessPlan,
    score: Option<i32>,
    procfs: Option<&OwnedFd>,
) -> Result<(), Failure> {
    if let (Some(value), Some(procfs)) = (score, procfs) {
        write_oom_score(procfs.as_fd(), value).at(Step::OomScore, 0)?;
    }
    if let Some(procfs) = procfs {
        write_labels(wanted, procfs.as_fd())?;
    }
    for limit in &wanted.rlimits {
        // Raised while that is still permitted, lowered by `lower_limits`: init itself opens
        // files, writes them and runs hooks until then.
        process::raise_rlimit(0, limit.resource, limit.hard).at(Step::Rlimit, limit.index)?;
    }
    if let Some(policy) = &wanted.scheduler {
        sched::set_policy(&sched::Policy {
            policy: policy.policy,
            flags: policy.flags,
            nice: policy.nice,
            priority: policy.priority,
            runtime: policy.runtime,
            deadline: policy.deadline,
            period: policy.period,
        })
        .at(Step::Scheduler, 0)?;
    }
    if let Some(priority) = &wanted.io_priority {
        sched::set_io_priority(priority.0).at(Step::IoPriority, 0)?;
    }
    if let Some(policy) = &wanted.memory_policy {
        let nodes = policy.nodes.as_ref().map(|nodes| &*nodes.0);
        sched::set_memory_policy(policy.mode, nodes).at(Step::MemoryPolicy, 0)?;
    }
    if let Some(persona) = wanted.personality {
        process::personality(persona).at(Step::Personality, 0)?;
    }
    Ok(())
}

/// `LISTEN_PID=` with the number that this process has in its own pid namespace, when descriptors
/// come with it (sd_listen_fds(3)).
pub(super) fn name_listener(descriptors: Descriptors) -> Result<Option<PathBuffer>, Failure> {
    if descriptors.activation == 0 {
        return Ok(None);
    }
    let pid = Decimal::new(process::getpid() as u64);
    PathBuffer::join(&[b"LISTEN_PID=", pid.as_bytes()]).at(Step::Exec, 0).map(Some)
}

/// Sets the limits as they are asked for, when nothing is left to be done.
pub(super) fn lower_limits(wanted: &ProcessPlan) -> Result<(), Failure> {
    for limit in &wanted.rlimits {
        process::set_rlimit(0, limit.resource, limit.soft, limit.hard)
            .at(Step::Rlimit, limit.index)?;
    }
    Ok(())
}

/// A file below the calling process's own directory, by number: `self` is a link.
fn own_file(name: &[u8]) -> sys::Result<PathBuffer> {
    let pid = Decimal::new(process::getpid() as u64);
    PathBuffer::join(&[pid.as_bytes(), b"/", name])
}

fn write_oom_score(procfs: BorrowedFd<'_>, value: i32) -> sys::Result<()> {
    let digits = Decimal::new(u64::from(value.unsigned_abs()));
    let sign: &[u8] = if value < 0 { b"-" } else { b"" };
    let text = PathBuffer::join(&[sign, digits.as_bytes()])?;
    write_proc(procfs, own_file(b"oom_score_adj")?.as_c_str(), text.as_bytes())
}

fn write_labels(wanted: &ProcessPlan, procfs: BorrowedFd<'_>) -> Result<(), Failure> {
    let write = |path: &[u8], label: &[u8]| {
        own_file(path).and_then(|path| write_proc(procfs, path.as_c_str(), label))
    };
    if let Some(profile) = &wanted.lsm.apparmor {
        match write(b"attr/apparmor/exec", profile) {
            // Before Linux 5.8 the module has no directory of its own.
            Err(Errno::ENOENT) => write(b"attr/exec", profile),
            other => other,
        }
        .or_else(|errno| match errno {
            // Where AppArmor is off everything is.
            Errno::EINVAL | Errno::ENOENT if **profile == *lsm::UNCONFINED => Ok(()),
            errno => Err(errno),
        })
        .at(Step::Label, lsm::APPARMOR)?;
    }
    if let Some(label) = &wanted.lsm.selinux {
        write(b"attr/exec", label.to_bytes()).at(Step::Label, lsm::SELINUX)?;
    }
    Ok(())
}

/// Becomes the program's user with the program's capabilities, but keeps the permitted set
/// until the filter is installed. Enters the working directory, before or after the change of
/// user, whichever may.
pub(super) fn change_identity(wanted: &ProcessPlan) -> Result<(), Failure> {
    let (process, caps) = (&wanted.process, &wanted.caps);
    let entered = enter(&process.cwd)?;
    // Also those that this program has no name for, as far as the kernel counts.
    for number in 0..64 {
        if caps.bounding & (1 << number) == 0 {
            match cred::drop_bounding(number) {
                Ok(()) => {}
                // capabilities are numbered without gaps: this is the end.
                Err(Errno::EINVAL) => break,
                other => return other.at(Step::Bounding, usize::from(number)),
            }
        }
    }
    cred::keep_capabilities().at(Step::Capabilities, 0)?;
    if !wanted.keep_groups {
        match cred::setgroups(&process.additional_gids) {
            // Where setgroups is denied there are no groups to get rid of.
            Err(Errno::EPERM) if wanted.setgroups_denied && process.additional_gids.is_empty() => {}
            other => other.at(Step::Groups, 0)?,
        }
    }
    cred::setresgid(process.gid).at(Step::Gid, 0)?;
    cred::setresuid(process.uid).at(Step::Uid, 0)?;
    // A change of ids makes the process dumpable again where the administrator wants dumps of
    // such programs (suid_dumpable in proc(5)).
    process::set_undumpable().at(Step::Uid, 0)?;
    cred::capset(wanted.waiting_caps()).at(Step::Capabilities, 0)?;
    if !entered {
        fd::chdir(&process.cwd).at(Step::WorkingDirectory, 0)?;
    }
    if !fd::cwd_is_reachable().at(Step::WorkingDirectory, 0)? {
        // A magic link has led outside of the root (CVE-2024-21626).
        return Err(Failure::new(Step::WorkingDirectory, 0, Errno::EXDEV));
    }
    process::umask(process.umask);
    Ok(())
}

/// Tries to enter the working directory; `false` when only the program's user may.
fn enter(cwd: &CStr) -> Result<bool, Failure> {
    match fd::chdir(cwd) {
        Ok(()) => Ok(true),
        Err(Errno::EACCES) => Ok(false),
        Err(errno) => Err(errno).at(Step::WorkingDirectory, 0),
    }
}

/// The last narrowing, after which nothing is left but execve.
pub(super) fn narrow(wanted: &ProcessPlan) -> Result<(), Failure> {
    let caps = &wanted.caps;
    cred::capset(CapSets {
        effective: caps.effective,
        permitted: caps.permitted,
        inheritable: caps.inheritable,
    })
    .at(Step::Capabilities, 0)?;
    cred::clear_ambient().at(Step::Capabilities, 0)?;
    for number in 0..=crate::plan::caps::LAST {
        if caps.ambient & (1 << number) != 0 {
            cred::raise_ambient(number).at(Step::Capabilities, usize::from(number))?;
        }
    }
    Ok(())
}

/// `HOME=` with the directory of the user's entry in the container's /etc/passwd, or `/`; none
/// when the environment has it already.
pub(super) fn find_home(wanted: &ProcessPlan) -> Result<Option<PathBuffer>, Failure> {
    if !wanted.process.home_missing {
        return Ok(None);
    }
    let mut home = PathBuffer::join(&[b"HOME="]).at(Step::Home, 0)?;
    let flags = fd::O_RDONLY | fd::O_NONBLOCK | fd::O_NOCTTY;
    // The image's link to a descriptor of init would lead to the host.
    let resolve = fd::RESOLVE_NO_MAGICLINKS;
    let found =
        fd::openat2(fd::cwd(), c"/etc/passwd", flags, 0, resolve).and_then(|file| match fd::fstat(
            file.as_fd(),
        )?
        .kind()
        {
            fd::S_IFREG => push_home(&mut home, &file, wanted.process.uid),
            _ => Ok(false),
        });
    let found = match found {
        // A missing, unreadable or damaged file is the image's own affair.
        Err(errno) if is_of_the_image(errno) => false,
        other => other.at(Step::Home, 0)?,
    };
    if !found {
        home.truncate(b"HOME=".len());
        home.push(b"/").at(Step::Home, 0)?;
    }
    Ok(Some(home))
}

/// Whether an error comes from what lies in the image, not from the state of the machine.
fn is_of_the_image(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::ENOENT
            | Errno::ENOTDIR
            | Errno::EISDIR
            | Errno::ELOOP
            | Errno::EACCES
            | Errno::EXDEV
            | Errno::ENXIO
            | Errno::ENODEV
            | Errno::ENAMETOOLONG
    )
}

/// Reads passwd(5) line by line through a small buffer; lines that do not fit are skipped.
fn push_home(home: &mut PathBuffer, file: &OwnedFd, uid: u32) -> sys::Result<bool> {
    let mut buf = [0; 4096];
    let mut filled = 0;
    let mut skipping = false;
    loop {
        let n = fd::read(file.as_fd(), &mut buf[filled..])?;
        let end = n == 0;
        filled += n;
        let mut start = 0;
        while let Some(len) = buf[start..filled].iter().position(|&b| b == b'\n') {
            let line = &buf[start..start + len];
            start += len + 1;
            if !std::mem::take(&mut skipping)
                && let Some(dir) = home_in(line, uid)
            {
                home.push(dir)?;
                return Ok(true);
            }
        }
        if end {
            let line = &buf[start..filled];
            return match home_in(line, uid) {
                Some(dir) if !skipping => home.push(dir).map(|()| true),
                _ => Ok(false),
            };
        }
        buf.copy_within(start..filled, 0);
        filled -= start;
        if filled == buf.len() {
            skipping = true;
            filled = 0;
        }
    }
}

/// The sixth field of a line whose third is `uid` in decimal.
fn home_in(line: &[u8], uid: u32) -> Option<&[u8]> {
    let mut fields = line.split(|&b| b == b':');
    let number = fields.nth(2)?;
    if number != Decimal::new(u64::from(uid)).as_bytes() {
        return None;
    }
    fields.nth(2).filter(|dir| !dir.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Seek, Write};

    fn home_of(passwd: &[u8], uid: u32) -> Option<Vec<u8>> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(passwd).unwrap();
        file.rewind().unwrap();
        let mut home = PathBuffer::default();
        let found = push_home(&mut home, &OwnedFd::from(file), uid).unwrap();
        found.then(|| home.as_bytes().to_vec())
    }

    #[test]
    fn the_home_directory_is_the_sixth_field() {
        let passwd = b"root:x:0:0:root:/root:/bin/sh\nu:x:1000:1000::/home/u:/bin/sh";
        assert_eq!(home_of(passwd, 0).unwrap(), b"/root");
        assert_eq!(home_of(passwd, 1000).unwrap(), b"/home/u");
        assert_eq!(home_of(passwd, 7), None);
    }

    #[test]
    fn lines_longer_than_the_buffer_are_skipped() {
        let long = [b"x:x:1000:0:".as_slice(), &[b'y'; 9000], b":/no:\n"].concat();
        let passwd = [&long, b"u:x:1000:1000::/yes:\n".as_slice()].concat();
        assert_eq!(home_of(&passwd, 1000).unwrap(), b"/yes");
    }

    #[test]
    fn an_empty_or_short_line_is_no_home() {
        assert_eq!(home_of(b"u:x:5:5:::\nv:x:6\n", 5), None);
        assert_eq!(home_of(b"u:x:5:5:::\nv:x:6\n", 6), None);
    }
}
