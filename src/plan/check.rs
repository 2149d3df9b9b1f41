//! Rules across the parts of a configuration.

use super::idmap;
use super::mounts::{Content, Mount};
use super::namespaces::{Kind, Namespaces};
use super::{Plan, ProcessPlan};
use oci_spec::runtime::Spec;
use std::ffi::CString;

/// Why parts of a configuration do not go together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A setting of a namespace that the container shares with the host.
    #[error("{pointer}: needs a {kind} namespace of the container's own")]
    NeedsNamespace {
        /// JSON pointer of the setting.
        pointer: &'static str,
        /// Name of the kind.
        kind: &'static str,
    },
    /// A new user namespace without ids has no root.
    #[error("/linux/uidMappings: missing, a new user namespace needs id mappings")]
    NoIdMaps,
    /// Ids for a user namespace that is not made.
    #[error("/linux/uidMappings: given, but there is no user namespace")]
    StrayIdMaps,
    /// Nothing would be left.
    #[error("/linux/maskedPaths/{index}: \"/\" is all that there is")]
    MasksRoot {
        /// Index of the path.
        index: usize,
    },
    /// An id that the container's user namespace does not know.
    #[error("{pointer}: {id} is not mapped in /linux/{list}")]
    NotMapped {
        /// JSON pointer of the id.
        pointer: String,
        /// The id.
        id: u32,
        /// `uidMappings` or `gidMappings`.
        list: &'static str,
    },
    /// Other groups than those that are to be kept.
    #[error("/process/user/additionalGids: contradicts /annotations/run.oci.keep_original_groups")]
    GroupsKept,
    /// No kernel interface can take such a string.
    #[error("{pointer}: {value:?} contains a NUL byte")]
    Nul {
        /// JSON pointer of the string.
        pointer: &'static str,
        /// The value as given.
        value: String,
    },
    /// Longer than the kernel keeps (sethostname(2)).
    #[error("{pointer}: {len} bytes are more than the 64 that the kernel takes")]
    TooLong {
        /// JSON pointer of the string.
        pointer: &'static str,
        /// Its length.
        len: usize,
    },
}

/// `/hostname` and `/domainname`, ready for the kernel.
pub struct HostNames {
    /// Host name.
    pub hostname: Option<CString>,
    /// NIS domain name.
    pub domainname: Option<CString>,
}

/// Checks the names of the host; an empty one counts as absent.
///
/// # Errors
/// A name without a UTS namespace, with a NUL, or too long.
pub fn host_names(spec: &Spec, namespaces: &Namespaces) -> Result<HostNames, Error> {
    let name = |pointer, value: &Option<String>| {
        let Some(value) = value.as_deref().filter(|value| !value.is_empty()) else {
            return Ok(None);
        };
        if !namespaces.has(Kind::Uts) {
            return Err(Error::NeedsNamespace { pointer, kind: Kind::Uts.name() });
        }
        if value.len() > 64 {
            return Err(Error::TooLong { pointer, len: value.len() });
        }
        let nul = |_| Error::Nul { pointer, value: value.to_owned() };
        CString::new(value).map(Some).map_err(nul)
    };
    Ok(HostNames {
        hostname: name("/hostname", spec.hostname())?,
        domainname: name("/domainname", spec.domainname())?,
    })
}

/// Ids are for a user namespace; one that is joined has its own already, and engines repeat them.
///
/// # Errors
/// Id mappings without any user namespace.
pub fn stray_id_maps(spec: &Spec, namespaces: &Namespaces) -> Result<(), Error> {
    let given = spec.linux().as_ref().is_some_and(|linux| {
        let any = |maps: &Option<Vec<_>>| maps.as_ref().is_some_and(|maps| !maps.is_empty());
        any(linux.uid_mappings()) || any(linux.gid_mappings())
    });
    if given && !namespaces.has(Kind::User) { Err(Error::StrayIdMaps) } else { Ok(()) }
}

/// Whether /dev belongs to the container: unless it is a bind mount of somebody else's.
pub fn has_own_dev(mounts: &[Mount]) -> bool {
    let dev = mounts.iter().rev().find(|mount| mount.destination.as_bytes() == b"/dev");
    !dev.is_some_and(|mount| matches!(mount.content, Content::Bind { .. }))
}

/// What only the whole plan shows.
///
/// # Errors
/// The first contradiction.
pub fn across(plan: &Plan) -> Result<(), Error> {
    let namespaces = &plan.namespaces;
    if namespaces.is_new(Kind::User) && plan.id_maps.is_none() {
        return Err(Error::NoIdMaps);
    }
    if namespaces.is_new(Kind::User) {
        ids_are_mapped(plan)?;
    }
    if let Some(wanted) = &plan.process
        && wanted.keep_groups
        && !wanted.process.additional_gids.is_empty()
    {
        return Err(Error::GroupsKept);
    }
    if let Some(index) = plan.masked_paths.iter().position(|path| path.as_bytes() == b"/") {
        return Err(Error::MasksRoot { index });
    }
    let restricted = [
        ("/linux/maskedPaths", !plan.masked_paths.is_empty()),
        ("/linux/readonlyPaths", !plan.readonly_paths.is_empty()),
        ("/root/readonly", plan.rootfs.readonly),
    ];
    for (pointer, given) in restricted {
        if given && !namespaces.has(Kind::Mount) {
            return Err(Error::NeedsNamespace { pointer, kind: Kind::Mount.name() });
        }
    }
    Ok(())
}

/// Every id that the kernel would answer with a bare EINVAL, in the order of the configuration.
/// The maps of a joined user namespace are not known here.
fn ids_are_mapped(plan: &Plan) -> Result<(), Error> {
    let Some(maps) = &plan.id_maps else { return Ok(()) };
    let check =
        |ranges: &[idmap::Range], list, id, pointer: &dyn Fn() -> String| match idmap::outside(
            ranges, id,
        ) {
            Some(_) => Ok(()),
            None => Err(Error::NotMapped { pointer: pointer(), id, list }),
        };
    let uid = |id, pointer: &dyn Fn() -> String| check(&maps.uids, "uidMappings", id, pointer);
    let gid = |id, pointer: &dyn Fn() -> String| check(&maps.gids, "gidMappings", id, pointer);
    if let Some(ProcessPlan { process, .. }) = &plan.process {
        uid(process.uid, &|| "/process/user/uid".to_owned())?;
        gid(process.gid, &|| "/process/user/gid".to_owned())?;
        for (index, group) in process.additional_gids.iter().enumerate() {
            gid(*group, &|| format!("/process/user/additionalGids/{index}"))?;
        }
    }
    for mount in &plan.mounts {
        let Content::FileSystem(fs) = &mount.content else { continue };
        for parameter in &fs.parameters {
            let value = parameter.value.as_ref().and_then(|value| value.to_str().ok());
            let Some(id) = value.and_then(|value| value.parse().ok()) else { continue };
            let pointer = || format!("/mounts/{}/options", mount.index);
            match parameter.key.to_bytes() {
                b"uid" => uid(id, &pointer)?,
                b"gid" => gid(id, &pointer)?,
                _ => {}
            }
        }
    }
    Ok(())
}
