//! The options that config.md and config-linux.md define for mounts: one table, read by the
//! plan and by `features`.

use crate::sys::mount::{Reach, attr, propagation};
use std::ffi::CStr;

/// What an option does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// States the default, or asks for what the mount API has no word for (see the table).
    Nothing,
    /// Sets a `MOUNT_ATTR_*` bit.
    Set(u64, Reach),
    /// Clears a `MOUNT_ATTR_*` bit.
    Clear(u64, Reach),
    /// Chooses the access time mode.
    Atime(u64, Reach),
    /// Sets a superblock parameter; the second name is its opposite.
    Superblock(&'static CStr, &'static CStr),
    /// Changes propagation.
    Propagation(u64, Reach),
    /// Makes it a bind mount.
    Bind(Reach),
    /// Maps the ids of its files.
    IdMap(Reach),
    /// Changes what is mounted already.
    Remount,
    /// Starts a tmpfs with what it covers.
    CopyUp,
}

use Effect::{Atime, Bind, Clear, CopyUp, IdMap, Nothing, Propagation, Remount, Set, Superblock};
use Reach::{Single, Tree};

/// Options of crun after which a mount is another one, and which no file system would refuse as
/// it never sees them.
const FOREIGN: [&str; 3] = ["copy-symlink", "dest-nofollow", "src-nofollow"];

/// Whether the option is one that is refused by its name.
pub(super) fn is_foreign(name: &str) -> bool {
    FOREIGN.contains(&name)
}

/// Every option by name, in the order in which `features` lists them.
///
/// `silent`, `loud`, `iversion` and `noiversion` have no counterpart in the kernel's mount API:
/// file systems report to the caller instead of the log, and keep change counters by their own
/// rules since Linux 5.17. They are accepted and change nothing (specs/50-compat.md).
const TABLE: &[(&str, Effect)] = &[
    ("async", Superblock(c"async", c"sync")),
    ("atime", Atime(attr::RELATIME, Single)),
    ("bind", Bind(Single)),
    ("defaults", Nothing),
    ("dev", Clear(attr::NODEV, Single)),
    ("diratime", Clear(attr::NODIRATIME, Single)),
    ("dirsync", Superblock(c"dirsync", c"dirsync")),
    ("exec", Clear(attr::NOEXEC, Single)),
    ("idmap", IdMap(Single)),
    ("iversion", Nothing),
    ("lazytime", Superblock(c"lazytime", c"nolazytime")),
    ("loud", Nothing),
    ("mand", Superblock(c"mand", c"nomand")),
    ("noatime", Atime(attr::NOATIME, Single)),
    ("nodev", Set(attr::NODEV, Single)),
    ("nodiratime", Set(attr::NODIRATIME, Single)),
    ("noexec", Set(attr::NOEXEC, Single)),
    ("noiversion", Nothing),
    ("nolazytime", Superblock(c"nolazytime", c"lazytime")),
    ("nomand", Superblock(c"nomand", c"mand")),
    ("norelatime", Atime(attr::RELATIME, Single)),
    ("nostrictatime", Atime(attr::RELATIME, Single)),
    ("nosuid", Set(attr::NOSUID, Single)),
    ("nosymfollow", Set(attr::NOSYMFOLLOW, Single)),
    ("private", Propagation(propagation::PRIVATE, Single)),
    ("ratime", Atime(attr::RELATIME, Tree)),
    ("rbind", Bind(Tree)),
    ("rdev", Clear(attr::NODEV, Tree)),
    ("rdiratime", Clear(attr::NODIRATIME, Tree)),
    ("relatime", Atime(attr::RELATIME, Single)),
    ("remount", Remount),
    ("rexec", Clear(attr::NOEXEC, Tree)),
    ("ridmap", IdMap(Tree)),
    ("rnoatime", Atime(attr::NOATIME, Tree)),
    ("rnodev", Set(attr::NODEV, Tree)),
    ("rnodiratime", Set(attr::NODIRATIME, Tree)),
    ("rnoexec", Set(attr::NOEXEC, Tree)),
    ("rnorelatime", Atime(attr::RELATIME, Tree)),
    ("rnostrictatime", Atime(attr::RELATIME, Tree)),
    ("rnosuid", Set(attr::NOSUID, Tree)),
    ("rnosymfollow", Set(attr::NOSYMFOLLOW, Tree)),
    ("ro", Set(attr::RDONLY, Single)),
    ("rprivate", Propagation(propagation::PRIVATE, Tree)),
    ("rrelatime", Atime(attr::RELATIME, Tree)),
    ("rro", Set(attr::RDONLY, Tree)),
    ("rrw", Clear(attr::RDONLY, Tree)),
    ("rshared", Propagation(propagation::SHARED, Tree)),
    ("rslave", Propagation(propagation::SLAVE, Tree)),
    ("rstrictatime", Atime(attr::STRICTATIME, Tree)),
    ("rsuid", Clear(attr::NOSUID, Tree)),
    ("rsymfollow", Clear(attr::NOSYMFOLLOW, Tree)),
    ("runbindable", Propagation(propagation::UNBINDABLE, Tree)),
    ("rw", Clear(attr::RDONLY, Single)),
    ("shared", Propagation(propagation::SHARED, Single)),
    ("silent", Nothing),
    ("slave", Propagation(propagation::SLAVE, Single)),
    ("strictatime", Atime(attr::STRICTATIME, Single)),
    ("suid", Clear(attr::NOSUID, Single)),
    ("symfollow", Clear(attr::NOSYMFOLLOW, Single)),
    ("sync", Superblock(c"sync", c"async")),
    ("tmpcopyup", CopyUp),
    ("unbindable", Propagation(propagation::UNBINDABLE, Single)),
];

const fn names() -> [&'static str; TABLE.len()] {
    let mut names = [""; TABLE.len()];
    let mut i = 0;
    while i < names.len() {
        names[i] = TABLE[i].0;
        i += 1;
    }
    names
}

/// The names of all options, sorted.
pub const OPTIONS: &[&str] = &names();

/// The effect of an option; `None` for one that only a file system can know.
pub(super) fn effect(name: &str) -> Option<Effect> {
    let at = TABLE.binary_search_by(|(known, _)| known.cmp(&name)).ok()?;
    Some(TABLE[at].1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_for_the_search() {
        assert!(TABLE.is_sorted_by(|a, b| a.0 < b.0));
        assert_eq!(effect("rro"), Some(Set(attr::RDONLY, Tree)));
        assert_eq!(effect("size=64k"), None);
    }

    #[test]
    fn every_option_that_config_md_demands_is_known() {
        let demanded = "async atime bind defaults dev diratime dirsync exec iversion lazytime loud \
            mand noatime nodev nodiratime noexec noiversion nolazytime nomand norelatime \
            nostrictatime nosuid nosymfollow private ratime rbind rdev rdiratime relatime remount \
            rexec rnoatime rnodiratime rnoexec rnorelatime rnostrictatime rnosuid rnosymfollow ro \
            rprivate rrelatime rro rrw rshared rslave rstrictatime rsuid rsymfollow runbindable rw \
            shared silent slave strictatime suid symfollow sync tmpcopyup unbindable rnodev";
        for option in demanded.split_whitespace() {
            assert!(effect(option).is_some(), "{option}");
        }
    }
}
