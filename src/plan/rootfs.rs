//! `/root` and `/linux/rootfsPropagation`.

use super::mounts::{Content, Mount, root_propagation};
use super::namespaces::Kind;
use super::{Plan, caps};
use crate::host::Privilege;
use crate::sys::mount::{Reach, propagation};
use oci_spec::runtime::Spec;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The root file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rootfs {
    /// Absolute path on the host.
    pub path: CString,
    /// Whether the root mount is read-only.
    pub readonly: bool,
    /// Propagation of the root mount, when it is asked for.
    pub propagation: Option<(u64, Reach)>,
    /// How it becomes the root directory.
    pub switch: Switch,
    /// What a mount namespace of its own begins with.
    pub beginning: Beginning,
}

/// What a new mount namespace begins with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Beginning {
    /// A copy of the host's mounts, which are let go once the root is in their place.
    #[default]
    HostsMounts,
    /// The root file system and what is mounted below it, where the kernel can make such a
    /// namespace (Linux 7.0).
    RootAlone,
}

/// Mounts that are made before the first is attached, each held by a descriptor: a process may
/// have 1024 of these.
const MAX_HELD: usize = 256;

impl Beginning {
    /// What the container's mount namespace can begin with; `held` are the caller's capabilities.
    pub fn of(plan: &Plan, privilege: Privilege, held: u64) -> Self {
        const NEEDED: u64 = 1 << caps::SYS_ADMIN | 1 << caps::SYS_CHROOT;
        let may = privilege == Privilege::Full && held & NEEDED == NEEDED;
        let new = plan.namespaces.is_new(Kind::Mount) && plan.rootfs.switch == Switch::PivotRoot;
        // A user namespace gets a new procfs only where it sees one (mount_namespaces(7)).
        let own_users = plan.namespaces.has(Kind::User);
        // These run when the container is mounted, and find it and the host by the host's paths.
        let hooks = &plan.hooks;
        let hooks = [&hooks.prestart, &hooks.create_runtime, &hooks.create_container];
        let seen = hooks.into_iter().any(|hooks| !hooks.is_empty());
        // What is mounted in the root is to be found again at its path on the host.
        let loops = plan.mounts.iter().any(|mount| is_within(mount, &plan.rootfs));
        let ahead = plan.mounts.len() <= MAX_HELD && plan.mounts.iter().all(is_made_ahead);
        if may && new && ahead && !own_users && !seen && !loops && !plan.rootfs.shares_binds() {
            Self::RootAlone
        } else {
            Self::HostsMounts
        }
    }
}

/// Whether a mount can be made before its target is there.
fn is_made_ahead(mount: &Mount) -> bool {
    !matches!(&mount.content, Content::FileSystem(fs) if fs.text.is_some())
}

/// Whether the source of a bind lies in the root file system, as far as the paths tell.
fn is_within(mount: &Mount, rootfs: &Rootfs) -> bool {
    let Content::Bind { source, .. } = &mount.content else { return false };
    let [source, root] =
        [source, &rootfs.path].map(|path| Path::new(std::ffi::OsStr::from_bytes(path.to_bytes())));
    source.starts_with(root)
}

/// How the root directory is changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Switch {
    /// pivot_root(2): the old root is gone afterwards.
    #[default]
    PivotRoot,
    /// Moving the mount to / and chroot(2), for roots on a ramfs, which cannot be pivoted from.
    MoveMount,
}

impl Rootfs {
    /// What every bind mount gets before its own options: the propagation that the root would
    /// have handed on, so that nothing travels back to the host unless it was asked for.
    pub fn bind_propagation(&self) -> Option<(u64, Reach)> {
        match self.propagation {
            Some((propagation::SHARED, _)) => None,
            Some((propagation::SLAVE, _)) | None => Some((propagation::SLAVE, Reach::Tree)),
            // An unbindable source could not be bound in the first place.
            Some(_) => Some((propagation::PRIVATE, Reach::Tree)),
        }
    }

    /// Whether binds stay peers of the host's mounts, which only the launcher can copy so.
    pub fn shares_binds(&self) -> bool {
        self.bind_propagation().is_none()
    }
}

/// Why the root file system cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// config.md: root is required on Linux.
    #[error("/root: missing")]
    Missing,
    /// An empty path would be the bundle itself by accident.
    #[error("/root/path: an empty path")]
    Empty,
    /// No kernel interface can take such a path.
    #[error("/root/path: {path:?} contains a NUL byte")]
    Nul {
        /// The path as given.
        path: String,
    },
    /// Containers do not get the host's own root.
    #[error("/root/path: \"/\" is the root of the host")]
    HostRoot,
    /// None of the names that config-linux.md lists.
    #[error("/linux/rootfsPropagation: {value:?} is none of shared, slave, private, unbindable")]
    Propagation {
        /// The value as given.
        value: String,
    },
}

/// Resolves `/root` and `/linux/rootfsPropagation`; a relative path is taken from the bundle.
///
/// # Errors
/// What is missing or is no path.
pub fn resolve(spec: &Spec, bundle: &Path, switch: Switch) -> Result<Rootfs, Error> {
    let root = spec.root().as_ref().ok_or(Error::Missing)?;
    if root.path().as_os_str().is_empty() {
        return Err(Error::Empty);
    }
    let path = clean(&bundle.join(root.path()));
    if path == Path::new("/") {
        return Err(Error::HostRoot);
    }
    let propagation = spec.linux().as_ref().and_then(|linux| linux.rootfs_propagation().as_ref());
    let propagation = propagation.filter(|name| !name.is_empty()).map(|name| {
        root_propagation(name).ok_or_else(|| Error::Propagation { value: name.clone() })
    });
    let text = || path.display().to_string();
    Ok(Rootfs {
        path: CString::new(path.as_os_str().as_bytes()).map_err(|_| Error::Nul { path: text() })?,
        readonly: root.readonly().unwrap_or(false),
        propagation: propagation.transpose()?,
        switch,
        beginning: Beginning::default(),
    })
}

/// The path without `.` and double slashes; `..` stays, as only the file system can resolve it.
fn clean(path: &Path) -> std::path::PathBuf {
    path.components().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<Rootfs, Error> {
        let spec: Spec = serde_json::from_str(json).unwrap();
        resolve(&spec, Path::new("/bundle"), Switch::PivotRoot)
    }

    #[test]
    fn a_relative_root_lies_in_the_bundle() {
        let root = parse(r#"{"ociVersion":"1.3.0","root":{"path":"./rootfs","readonly":true}}"#);
        let root = root.unwrap();
        assert_eq!(root.path.as_c_str(), c"/bundle/rootfs");
        assert!(root.readonly);
        let bundle = parse(r#"{"ociVersion":"1.3.0","root":{"path":"."}}"#).unwrap();
        assert_eq!(bundle.path.as_c_str(), c"/bundle");
    }

    #[test]
    fn roots_that_are_none_are_refused() {
        for (json, text) in [
            (r#"{"ociVersion":"1.3.0"}"#, "/root: missing"),
            (r#"{"ociVersion":"1.3.0","root":{"path":""}}"#, "/root/path: an empty path"),
            (
                r#"{"ociVersion":"1.3.0","root":{"path":"/"}}"#,
                "/root/path: \"/\" is the root of the host",
            ),
            (
                r#"{"ociVersion":"1.3.0","root":{"path":"r"},"linux":{"rootfsPropagation":"x"}}"#,
                "/linux/rootfsPropagation: \"x\" is none of shared, slave, private, unbindable",
            ),
        ] {
            assert_eq!(parse(json).unwrap_err().to_string(), text);
        }
    }

    #[test]
    fn binds_are_cut_off_unless_sharing_is_asked_for() {
        let with = |kind| Rootfs {
            path: c"/r".to_owned(),
            readonly: false,
            propagation: Some((kind, Reach::Tree)),
            switch: Switch::PivotRoot,
            beginning: Beginning::HostsMounts,
        };
        assert!(with(propagation::SHARED).shares_binds());
        let private = Some((propagation::PRIVATE, Reach::Tree));
        assert_eq!(with(propagation::UNBINDABLE).bind_propagation(), private);
    }
}
