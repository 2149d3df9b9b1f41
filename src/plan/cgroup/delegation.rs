//! Whether a container's cgroup is handed over to a user, so that the container can divide it
//! among cgroups of its own.
//!
//! Source: the kernel's Documentation/admin-guide/cgroup-v2.rst, «Delegation».

use super::Place;
use crate::plan::idmap::{self, IdMaps};
use crate::plan::mounts::{Content, Mount};
use crate::plan::namespaces::{Kind, Namespaces};
use crate::sys::mount::attr;

/// Where programs look for the hierarchy.
const MOUNT_POINT: &[u8] = b"/sys/fs/cgroup";

/// Whose the cgroup becomes: that of the container's user, as the host numbers it, when the
/// container has a cgroup namespace of its own and sees the unified hierarchy writable there.
///
/// In any other container nobody could make use of it. A user that no map has is nobody, as are
/// those of a user namespace that is joined, whose maps are not known.
pub fn owner(
    place: &Place,
    namespaces: &Namespaces,
    mounts: &[Mount],
    user: u32,
    maps: Option<&IdMaps>,
) -> Option<u32> {
    let alone = matches!(place, Place::Unified { .. } | Place::Scope(_));
    if !alone || !namespaces.is_new(Kind::Cgroup) || !mounts.iter().any(shows_writable) {
        return None;
    }
    match maps {
        Some(maps) => idmap::outside(&maps.uids, user),
        None => (!namespaces.has(Kind::User)).then_some(user),
    }
}

fn shows_writable(mount: &Mount) -> bool {
    let readonly = (mount.attributes.set | mount.tree_attributes.set) & attr::RDONLY != 0;
    let shown = matches!(&mount.content, Content::FileSystem(fs) if fs.is(c"cgroup2"));
    shown && !readonly && mount.destination.as_bytes() == MOUNT_POINT
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::cgroup::path::CgroupPath;
    use crate::plan::idmap::Range;
    use crate::plan::mounts::{self, CgroupView, Surroundings};
    use serde_json::json;
    use std::path::Path;

    fn mounts(destination: &str, options: &[&str]) -> Vec<Mount> {
        let asked = json!([{
            "destination": destination, "type": "cgroup", "source": "cgroup", "options": options,
        }]);
        let asked: Vec<oci_spec::runtime::Mount> = serde_json::from_value(asked).unwrap();
        let around = Surroundings {
            bundle: Path::new("/b"),
            cgroups: &CgroupView::Unified,
            own_users: false,
            id_maps: None,
            label: None,
            namespaces: &Namespaces::default(),
        };
        mounts::resolve(&asked, around).unwrap().0
    }

    fn place() -> Place {
        Place::Unified { mount: "/m".into(), path: CgroupPath::new(Path::new("/c")).unwrap() }
    }

    /// CG-60.
    #[test]
    fn a_writable_view_through_an_own_namespace_is_handed_over() {
        let own = Namespaces { new: Kind::Cgroup.flag(), join: vec![] };
        let writable = mounts("/sys/fs/cgroup", &["rw", "nosuid"]);
        assert_eq!(owner(&place(), &own, &writable, 7, None), Some(7));
        assert_eq!(owner(&Place::Disabled, &own, &writable, 7, None), None);
        assert_eq!(owner(&place(), &Namespaces::default(), &writable, 7, None), None);
        let readonly = mounts("/sys/fs/cgroup", &["ro"]);
        assert_eq!(owner(&place(), &own, &readonly, 7, None), None);
        assert_eq!(owner(&place(), &own, &mounts("/elsewhere", &[]), 7, None), None);
        assert_eq!(owner(&place(), &own, &[], 7, None), None);
    }

    /// CG-60.
    #[test]
    fn users_of_a_namespace_are_named_as_the_host_knows_them() {
        let own = Namespaces { new: Kind::Cgroup.flag() | Kind::User.flag(), join: vec![] };
        let writable = mounts("/sys/fs/cgroup", &[]);
        let range = Range { inside: 0, outside: 100_000, count: 10 };
        let maps = IdMaps { uids: vec![range], gids: vec![range] };
        assert_eq!(owner(&place(), &own, &writable, 7, Some(&maps)), Some(100_007));
        assert_eq!(owner(&place(), &own, &writable, 10, Some(&maps)), None);
        assert_eq!(owner(&place(), &own, &writable, 0, None), None);
    }
}
