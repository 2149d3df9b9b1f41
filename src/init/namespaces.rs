//! Birth: tied to the launcher, in every namespace, leading a session, with a name.

use super::{At, Input};
use crate::plan::namespaces::Kind;
use crate::plan::{Keyring, Plan};
use crate::sys::{self, Errno, process};
use crate::wire::{Failure, Step};
use std::os::fd::AsFd;

/// Dies with the launcher from now on. A launcher that is dead already is seen by the first
/// frame, which finds no receiver.
pub(super) fn tether() -> Result<(), Failure> {
    process::die_with_parent().at(Step::Tether, 0)?;
    process::set_undumpable().at(Step::Tether, 0)?;
    // The name is for people; a kernel that refuses it loses nothing.
    let _ = process::set_name(c"cloison:init");
    // As from init(1): nothing blocked or ignored, whatever the launcher or its caller did.
    sys::signal::reset_dispositions();
    sys::signal::unblock_all().at(Step::Tether, 0)?;
    // Modes of devices, mount points and directories are given exactly.
    process::umask(0);
    Ok(())
}

/// Takes the ids that the new user namespace gives to its root.
pub(super) fn become_root() -> Result<(), Failure> {
    match sys::cred::setgroups(&[]) {
        // Denied in namespaces that an ordinary user made (user_namespaces(7)).
        Ok(()) | Err(Errno::EPERM) => {}
        other => return other.at(Step::BecomeRoot, 0),
    }
    sys::cred::setresgid(0).at(Step::BecomeRoot, 0)?;
    sys::cred::setresuid(0).at(Step::BecomeRoot, 0)?;
    // A change of ids clears both (prctl(2)).
    tether()
}

/// Joins the namespaces given by path.
pub(super) fn join(input: &Input) -> Result<(), Failure> {
    for (index, namespace) in input.namespaces.iter().enumerate() {
        if let Some(namespace) = namespace {
            // Any kind: the launcher has checked which one it is.
            process::setns(namespace.as_fd(), 0).at(Step::JoinNamespace, index)?;
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

/// A session and a keyring of its own: neither the caller's terminal (TIOCSTI) nor its keys are
/// within reach.
pub(super) fn start_session(keyring: &Keyring) -> Result<(), Failure> {
    process::setsid().at(Step::Session, 0)?;
    if let Keyring::New(name) = keyring {
        match sys::keyring::join_session(name) {
            // Kernels without keyrings have nothing to leak; a full quota is worth telling.
            Ok(()) | Err(Errno::ENOSYS) => {}
            other => return other.at(Step::Keyring, 0),
        }
    }
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
