//! Where cache and memory bandwidth are shared out (resctrl, Documentation/filesystems/resctrl.rst).

use super::Error;
use super::mountinfo::mounts;
use crate::sys::errno_of;
use std::path::PathBuf;

/// Where the resctrl file system is mounted.
pub(super) fn mount_point() -> Result<Option<PathBuf>, Error> {
    let table = std::fs::read_to_string("/proc/self/mountinfo")
        .map_err(|error| Error::Mounts { errno: errno_of(&error) })?;
    let found = mounts(&table, "resctrl").next_back();
    Ok(found.map(|mount| mount.point))
}
