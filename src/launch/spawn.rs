//! One clone3, in the right namespaces and the right cgroup.

use super::Error;
use super::stage::Staged;
use crate::cgroup::Prepared;
use crate::init;
use crate::plan::Plan;
use crate::plan::namespaces::Kind;
use crate::sys::process::{self, Block, Cloned, Who, ns};
use crate::sys::signal::number::SIGKILL;
use crate::sys::{Errno, fd};
use std::os::fd::{AsFd, OwnedFd};

/// Init as the launcher knows it.
#[derive(Debug)]
pub(super) struct Child {
    pub pid: i32,
    pub pidfd: OwnedFd,
    pub link: OwnedFd,
    /// Mounts that are still to be mapped as the new user namespace: index in the plan's, tree.
    pub unmapped: Vec<(usize, OwnedFd)>,
}

/// Clones init.
pub(super) fn spawn(plan: &Plan, mut staged: Staged, cgroup: &Prepared) -> Result<Child, Error> {
    let new = match staged.input.birth {
        Some(_) => 0,
        None => plan.namespaces.new & !staged.input.unshare & !ns::TIME,
    };
    let new = if staged.input.apart.is_some() { new & !ns::MOUNT } else { new };
    let birth = cgroup.birth.as_ref().filter(|_| cgroup.is_placed());
    let unmapped = super::userns::still_unmapped(plan, &staged.input.sources)?;
    let home = staged.pid_namespace.as_ref().map(enter).transpose()?;
    let cloned = process::clone3(new, birth.map(AsFd::as_fd));
    if let Ok(Cloned::Child) = cloned {
        // With a copy of the launcher's end init would never see the end of the link.
        drop(staged.link);
        init::run(plan, &mut staged.input);
    }
    let returned = home.map_or(Ok(()), |home| process::setns(home.as_fd(), ns::PID));
    let (pid, pidfd) = match cloned {
        Ok(Cloned::Parent { pid, pidfd }) => (pid, pidfd),
        // Init never returns.
        Ok(Cloned::Child) => process::exit_now(1),
        Err(source) => return Err(refused(new, source)),
    };
    match returned {
        Ok(()) => Ok(Child { pid, pidfd, link: staged.link, unmapped }),
        Err(source) => {
            // It waits for frames that nobody will send; its end needs no deadline.
            let _ = process::pidfd_signal(pidfd.as_fd(), SIGKILL);
            let _ = process::wait(Who::Pidfd(pidfd.as_fd()), Block::Yes);
            Err(Error::Own { action: "return to the own pid namespace", source })
        }
    }
}

/// Sets the pid namespace of the next child and returns the present one.
fn enter((index, namespace): &(u32, OwnedFd)) -> Result<OwnedFd, Error> {
    let join = |source| Error::JoinPid { index: *index, source };
    let home = fd::openat(fd::cwd(), c"/proc/self/ns/pid", fd::O_RDONLY, 0).map_err(join)?;
    process::setns(namespace.as_fd(), ns::PID).map_err(join)?;
    Ok(home)
}

fn refused(namespaces: u64, source: Errno) -> Error {
    let names: Vec<_> = Kind::ALL
        .into_iter()
        .filter(|kind| namespaces & kind.flag() != 0)
        .map(Kind::name)
        .collect();
    let hint = match source {
        Errno::EPERM if namespaces & ns::USER != 0 => Some(
            "user namespaces may be restricted: see kernel.unprivileged_userns_clone and \
             kernel.apparmor_restrict_unprivileged_userns",
        ),
        Errno::EPERM => Some("making namespaces needs CAP_SYS_ADMIN or a user namespace"),
        Errno::ENOSPC => Some("a limit below /proc/sys/user/max_*_namespaces is reached"),
        Errno::EAGAIN => Some("a limit on processes is reached: ulimit -u, pids.max, pid_max"),
        Errno::EBUSY => Some("the parent cgroup holds processes itself or is not a domain"),
        _ => None,
    };
    Error::Clone { namespaces: names.join(", "), source, hint }
}
