//! Which boot a record is of.

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

/// Whether a record is of the present boot, which names its own; nothing where it does not.
pub fn is_present(named: &str) -> bool {
    // A record of a version that did not write it down, or nobody can tell.
    named.is_empty() || id().is_none_or(|present| present == named)
}
