//! Birth: tied to the launcher, in every namespace, leading a session, with a name.

use super::{At, Input};
use crate::plan::idmap::IdMaps;
use crate::plan::namespaces::Kind;
use crate::plan::{Keyring, Plan};
use crate::sys::process::{Cloned, ns};
use crate::sys::{self, Errno, fd, keyring, process};
use crate::wire::{Failure, Step, ToLauncher};
use std::ffi::CStr;
use std::os::fd::AsFd;

/// Who may look into a process at its birth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// Nobody without privilege.
    Hidden,
    /// Its user, who is the launcher's and has to write below its /proc/PID.
    Open,
}

/// Dies with the launcher from now on. A launcher that is dead already is seen by the first
/// frame, which finds no receiver.
pub(super) fn tether(sight: Sight) -> Result<(), Failure> {
    process::die_with_parent().at(Step::Tether, 0)?;
    if sight == Sight::Hidden {
        process::set_undumpable().at(Step::Tether, 0)?;
    }
    // The name is for people; a kernel that refuses it loses nothing.
    let _ = process::set_name(c"cloison:init");
    // As from init(1): nothing blocked or ignored, whatever the launcher or its caller did.
    sys::signal::reset_dispositions();
    sys::signal::unblock_all().at(Step::Tether, 0)?;
    // Modes of devices, mount points and directories are given exactly.
    process::umask(0);
    Ok(())
}

/// Joins the user namespace given by path: it gives the privilege for all others.
///
/// Until then init is its launcher's user and has no privilege over the container nor the
/// container over it: the launcher may write below /proc/PID, and needs not be root for that.
pub(super) fn enter_users(plan: &Plan, input: &Input) -> Result<(), Failure> {
    if plan.namespaces.joined(Kind::User).is_some() {
        process::set_undumpable().at(Step::Tether, 0)?;
    }
    join_those(plan, input, |kind| kind == Kind::User)
}

/// Makes a time namespace, sets its clocks, and enters it. The kernel moves only children into a
/// new one by itself, but a process without threads may follow them (setns(2)).
pub(super) fn enter_time(input: &Input) -> Result<(), Failure> {
    let Some(clocks) = &input.clocks else { return Ok(()) };
    let open = |path, flags| fd::openat(clocks.procfs.as_fd(), path, flags, 0);
    process::unshare(ns::TIME).at(Step::TimeNamespace, 0)?;
    if !clocks.offsets.is_empty() {
        let file = open(c"self/timens_offsets", fd::O_WRONLY).at(Step::TimeOffsets, 0)?;
        fd::write_once(file.as_fd(), &clocks.offsets).at(Step::TimeOffsets, 0)?;
    }
    let own = open(c"self/ns/time_for_children", fd::O_RDONLY).at(Step::TimeNamespace, 0)?;
    process::setns(own.as_fd(), ns::TIME).at(Step::TimeNamespace, 0)
}

/// Takes the ids that the user namespace gives to its root.
pub(super) fn become_root(plan: &Plan) -> Result<(), Failure> {
    if !plan.namespaces.has(Kind::User) {
        return Ok(());
    }
    if !plan.keeps_groups() {
        leave_groups()?;
    }
    take_ids(plan.id_maps.as_ref().map_or((0, 0), IdMaps::root))
}

/// Leaves the supplementary groups of the caller.
pub(super) fn leave_groups() -> Result<(), Failure> {
    match sys::cred::setgroups(&[]) {
        // Denied in namespaces that an ordinary user made (user_namespaces(7)).
        Ok(()) | Err(Errno::EPERM) => Ok(()),
        other => other.at(Step::BecomeRoot, 0),
    }
}

/// Becomes that user and group of the user namespace.
pub(super) fn take_ids((uid, gid): (u32, u32)) -> Result<(), Failure> {
    sys::cred::setresgid(gid).at(Step::BecomeRoot, 0)?;
    sys::cred::setresuid(uid).at(Step::BecomeRoot, 0)?;
    // A change of ids clears both (prctl(2)).
    process::die_with_parent().at(Step::Tether, 0)?;
    process::set_undumpable().at(Step::Tether, 0)
}

/// Ends the stage with the birth of init, which goes on from here once the launcher knows it: what
/// it says would else overtake its stage's last word.
pub(super) fn be_born(plan: &Plan, input: &Input) -> Result<(), Failure> {
    let Some(birth) = &input.birth else { return Ok(()) };
    if let Some(pids) = &birth.pids {
        let index = plan.namespaces.join.iter().position(|join| join.kind == Kind::Pid);
        process::setns(pids.as_fd(), ns::PID).at(Step::JoinNamespace, index.unwrap_or(0))?;
    }
    match process::clone3_sibling(birth.namespaces).at(Step::Birth, 0)? {
        Cloned::Child => {
            process::die_with_parent().at(Step::Tether, 0)?;
            super::await_go(input.link.as_fd(), Step::Birth)
        }
        Cloned::Parent { pid, pidfd } => {
            ToLauncher::Born(pid)
                .send(input.link.as_fd(), Some(pidfd.as_fd()))
                .at(Step::Birth, 0)?;
            process::exit_now(0)
        }
    }
}

/// Joins the other namespaces given by path.
pub(super) fn join(plan: &Plan, input: &Input) -> Result<(), Failure> {
    join_those(plan, input, |kind| kind != Kind::User)
}

fn join_those(plan: &Plan, input: &Input, which: fn(Kind) -> bool) -> Result<(), Failure> {
    for (index, (join, namespace)) in plan.namespaces.join.iter().zip(&input.namespaces).enumerate()
    {
        if let Some(namespace) = namespace.as_ref().filter(|_| which(join.kind)) {
            process::setns(namespace.as_fd(), join.kind.flag()).at(Step::JoinNamespace, index)?;
        }
    }
    Ok(())
}

/// Makes the namespaces that had to wait for id maps or for a place in a cgroup.
pub(super) fn unshare(kinds: u64) -> Result<(), Failure> {
    if kinds == 0 {
        return Ok(());
    }
    process::unshare(kinds).at(Step::UnshareNamespaces, 0)
}

/// Which process of its container this one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// The first.
    First,
    /// One that enters later.
    Later,
}

/// A session and a keyring of its own: neither the caller's terminal (TIOCSTI) nor its keys are
/// within reach.
pub(super) fn start_session(keyring: &Keyring, turn: Turn) -> Result<(), Failure> {
    process::setsid().at(Step::Session, 0)?;
    let Keyring::New(name) = keyring else { return Ok(()) };
    match join_keyring(name, turn) {
        // Kernels without keyrings have nothing to leak; a full quota is worth telling.
        Err(Errno::ENOSYS) => Ok(()),
        other => other.at(Step::Keyring, 0),
    }
}

/// Joins the container's keyring. Anybody may have made one with the name of a container that is
/// yet to come, for all to find: whoever joined it would share his keys with its maker.
fn join_keyring(name: &CStr, turn: Turn) -> sys::Result<()> {
    let serial = keyring::join_session(name)?;
    let found = keyring::describe(serial)?;
    let ours = match turn {
        Turn::First => !found.findable,
        Turn::Later => found.uid == process::geteuid(),
    };
    if !ours {
        return keyring::join_nameless_session();
    }
    // For processes that enter the container later; else they get one of their own.
    let _ = keyring::let_user_find(serial);
    Ok(())
}

/// What identifies a host: its name, its domain, its loopback interface.
pub(super) fn name_host(plan: &Plan) -> Result<(), Failure> {
    if plan.namespaces.is_new(Kind::Network) {
        sys::net::loopback_up().at(Step::Loopback, 0)?;
    }
    if let Some(name) = &plan.hostname {
        process::set_hostname(name.as_bytes()).at(Step::Hostname, 0)?;
    }
    if let Some(name) = &plan.domainname {
        process::set_domainname(name.as_bytes()).at(Step::Domainname, 0)?;
    }
    Ok(())
}
