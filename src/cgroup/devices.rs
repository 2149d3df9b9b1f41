//! Putting device rules in force in the unified hierarchy.

use super::Error;
use crate::plan::cgroup::{Devices, Need};
use crate::sys::{Errno, bpf};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

/// The name that the programs of this runtime bear, as `bpftool cgroup` shows it.
const NAME: &[u8] = b"cloison_dev";

fn failed(action: &'static str, path: &Path) -> impl Fn(Errno) -> Error {
    move |errno| Error::Filter { action, path: path.to_owned(), errno }
}

/// Loads the rules and attaches them to a new cgroup. The kernel keeps them as long as the cgroup.
///
/// # Errors
/// The kernel's refusal, but for want of privilege when the rules are not needed.
pub(super) fn attach(cgroup: BorrowedFd<'_>, path: &Path, devices: &Devices) -> Result<(), Error> {
    let program = match bpf::load_device_program(&devices.program, NAME) {
        Err(Errno::EPERM | Errno::EACCES) if devices.need == Need::IfPermitted => return Ok(()),
        other => other.map_err(failed("load", path))?,
    };
    bpf::attach_device_program(cgroup, program.as_fd(), None).map_err(failed("attach", path))
}

/// Puts new rules in the place of those that [`attach`] put in force, without a moment in which
/// neither are.
///
/// # Errors
/// As [`attach`].
pub(super) fn replace(cgroup: BorrowedFd<'_>, path: &Path, devices: &Devices) -> Result<(), Error> {
    let mut old = match bpf::attached(cgroup, NAME) {
        Err(Errno::EPERM | Errno::EACCES) if devices.need == Need::IfPermitted => return Ok(()),
        other => other.map_err(failed("find", path))?,
    };
    let program = bpf::load_device_program(&devices.program, NAME).map_err(failed("load", path))?;
    let replaced = old.pop();
    let replaced = replaced.as_ref().map(AsFd::as_fd);
    match bpf::attach_device_program(cgroup, program.as_fd(), replaced) {
        // Before Linux 5.6 programs cannot be replaced: the old one goes after the new one came.
        Err(Errno::EINVAL) if replaced.is_some() => {
            bpf::attach_device_program(cgroup, program.as_fd(), None)
                .map_err(failed("attach", path))?;
            if let Some(old) = replaced {
                bpf::detach_device_program(cgroup, old).map_err(failed("detach", path))?;
            }
        }
        other => other.map_err(failed("attach", path))?,
    }
    for old in &old {
        bpf::detach_device_program(cgroup, old.as_fd()).map_err(failed("detach", path))?;
    }
    Ok(())
}
