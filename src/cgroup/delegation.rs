//! Handing a cgroup over to a user.
//!
//! Source: the kernel's Documentation/admin-guide/cgroup-v2.rst, «Delegation»; cgroups(7).

use super::Error;
use crate::sys::{Errno, fd};
use std::ffi::CString;
use std::os::fd::BorrowedFd;
use std::path::Path;

/// The kernel's list of files that go with a delegated cgroup (Linux 4.15).
const LIST: &str = "/sys/kernel/cgroup/delegate";

/// The list of kernels that do not tell.
const FILES: &str = "cgroup.procs\ncgroup.threads\ncgroup.subtree_control\n";

/// Leaves the group as it is (chown(2)).
const SAME_GROUP: u32 = u32::MAX;

/// Makes a user the owner of a cgroup's directory, and of those of its files by which it can be
/// divided. Its limits stay the maker's.
pub(super) fn hand_over(dir: BorrowedFd<'_>, path: &Path, owner: u32) -> Result<(), Error> {
    let failed = |errno| Error::HandOver { path: path.to_owned(), owner, errno };
    fd::fchown(dir, owner, SAME_GROUP).map_err(failed)?;
    let list = std::fs::read_to_string(LIST).unwrap_or_else(|_| FILES.to_owned());
    for name in list.lines().filter(|name| !name.is_empty() && !name.contains('/')) {
        // The kernel prints names without NUL.
        let name = CString::new(name).unwrap_or_default();
        match fd::lchown_at(dir, &name, owner, SAME_GROUP) {
            // Of a controller that is not enabled here.
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(errno) => return Err(failed(errno)),
        }
    }
    Ok(())
}
