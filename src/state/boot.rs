//! Which boot a record is of.

use super::Record;
use crate::sys::fd;
use std::ffi::CStr;
use std::sync::OnceLock;

const BOOT_ID: &CStr = c"/proc/sys/kernel/random/boot_id";

/// What the kernel calls the present boot (random(4)); none where it does not tell. It is asked
/// once.
pub fn id() -> Option<&'static str> {
    static ID: OnceLock<Option<String>> = OnceLock::new();
    let ask = || fd::read_value(fd::cwd(), BOOT_ID).ok().map(|text| text.trim().to_owned());
    ID.get_or_init(ask).as_deref()
}

impl Record {
    /// Whether what the record names can still be there. After a reboot its numbers are those of
    /// other processes, and its cgroup, should there be one of that name, is somebody else's.
    pub fn is_of_this_boot(&self) -> bool {
        match (&self.boot, id()) {
            (Some(then), Some(now)) => then == now,
            // Of a version that did not write it down, or nobody can tell.
            _ => true,
        }
    }
}
