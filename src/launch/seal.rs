//! The runtime's own file is out of reach of what runs in containers (CVE-2019-5736).
//!
//! A process of ours that enters a container can be reached there as /proc/PID/exe. Through that
//! link the file could be written once the process has gone on, so before a process enters a
//! container, this one moves to a place that can never be written. [`crate::sys::entry`] does so
//! before anything else, by mapping itself anew; what is here executes the program again.

use crate::sys::mount::{self, AttrChange, Reach, attr};
use crate::sys::process::{StringArray, execve_fd, geteuid};
use crate::sys::{Errno, entry, errno_of, fd};
use std::ffi::{CStr, CString, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;

const EXE: &CStr = c"/proc/self/exe";

/// The own file could not be sealed.
#[derive(Debug, thiserror::Error)]
#[error("seal the runtime's own file against containers")]
pub struct Error {
    /// The cause.
    #[source]
    pub source: Errno,
}

/// Returns when this program runs from a file that no container can write; until then it
/// executes itself again from one, with the same arguments and environment.
///
/// The first choice is a detached read-only bind mount, which copies nothing; the second, where
/// mounting is not permitted, a sealed copy in memory.
///
/// # Errors
/// When neither can be made.
pub fn ensure() -> Result<(), Error> {
    if entry::is_sealed() || is_out_of_reach() {
        return Ok(());
    }
    let sealed = read_only_bind().or_else(|_| sealed_copy());
    match sealed.and_then(|file| again(&file)) {
        Err(source) => Err(Error { source }),
        Ok(never) => match never {},
    }
}

/// On a read-only mount, in sealed memory, or owned by root while no process of the container
/// can be it.
fn is_out_of_reach() -> bool {
    if fd::is_readonly(EXE).unwrap_or(false) {
        return true;
    }
    let Ok(exe) = fd::openat(fd::cwd(), EXE, fd::O_RDONLY, 0) else { return false };
    if fd::is_sealed(exe.as_fd()).unwrap_or(false) {
        return true;
    }
    let stat = fd::fstat(exe.as_fd());
    geteuid() != 0 && stat.is_ok_and(|stat| stat.uid == 0 && stat.mode & 0o022 == 0)
}

fn read_only_bind() -> Result<OwnedFd, Errno> {
    let tree = mount::clone_tree(fd::cwd(), EXE, Reach::Single)?;
    let readonly = AttrChange { set: attr::RDONLY, clear: 0 };
    mount::set_attributes(tree.as_fd(), Reach::Single, readonly)?;
    Ok(tree)
}

fn sealed_copy() -> Result<OwnedFd, Errno> {
    let exe = fd::openat(fd::cwd(), EXE, fd::O_RDONLY, 0)?;
    let copy = fd::memfd(c"cloison")?;
    fd::copy(exe.as_fd(), copy.as_fd())?;
    fd::seal(copy.as_fd())?;
    Ok(copy)
}

fn again(file: &OwnedFd) -> Result<std::convert::Infallible, Errno> {
    // The kernel's lists: what the standard library knows of arguments depends on how the program
    // was started (src/main.rs).
    let args = StringArray::new(kernel_list("/proc/self/cmdline")?, 0);
    // What the kernel handed over holds no NUL inside.
    let c = |text: OsString| CString::new(text.into_vec()).unwrap_or_default();
    let entry = |(mut name, value): (OsString, OsString)| {
        name.push("=");
        name.push(value);
        c(name)
    };
    let env = StringArray::new(std::env::vars_os().map(entry).collect(), 0);
    execve_fd(file.as_fd(), &args, &env)
}

/// The strings of a file that lists them with a NUL behind each (proc_pid_cmdline(5)).
fn kernel_list(path: &str) -> Result<Vec<CString>, Errno> {
    let bytes = std::fs::read(path).map_err(|error| errno_of(&error))?;
    let strings = bytes.split_inclusive(|&byte| byte == 0);
    Ok(strings.filter_map(|s| CStr::from_bytes_with_nul(s).ok()).map(CStr::to_owned).collect())
}
