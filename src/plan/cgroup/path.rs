//! The rules of `linux.cgroupsPath`.

use super::Error;
use crate::host::Privilege;
use crate::host::cgroup::{Legacy, Unified};
use serde::{Deserialize, Serialize};
use std::ffi::CString;
use std::fmt;
use std::path::{Component, Path};

/// A cgroup below the mount point of a hierarchy: one or more normal path components, joined by
/// `/`, without a leading one. Never empty: the root is no container's cgroup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CgroupPath(String);

/// What is wrong with a cgroup path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// A component is `..`.
    #[error("it must not contain \"..\"")]
    DotDot,
    /// Nothing is left after the mount point.
    #[error("it names the root of the hierarchy")]
    Root,
    /// It is not UTF-8 or holds a NUL byte.
    #[error("it must be UTF-8 text without NUL bytes")]
    Text,
    /// The systemd manager wants three parts.
    #[error("the systemd cgroup manager wants \"slice:prefix:name\"")]
    Triple,
    /// The slice is not one.
    #[error("its first part is not the name of a slice unit (such as \"machine.slice\")")]
    Slice,
    /// Prefix or name cannot be part of a unit name.
    #[error("its prefix or name cannot be part of a unit name")]
    UnitName,
}

impl CgroupPath {
    /// Reads a path, absolute or not, as one below a mount point; `.` and double slashes vanish.
    ///
    /// # Errors
    /// See [`Reason`].
    pub fn new(path: &Path) -> Result<Self, Reason> {
        let mut parts = Vec::new();
        for component in path.components() {
            match component {
                Component::RootDir | Component::CurDir => {}
                Component::ParentDir => return Err(Reason::DotDot),
                Component::Normal(name) => {
                    let name = name.to_str().filter(|name| !name.contains('\0'));
                    parts.push(name.ok_or(Reason::Text)?);
                }
                Component::Prefix(_) => return Err(Reason::Text),
            }
        }
        if parts.is_empty() {
            return Err(Reason::Root);
        }
        Ok(Self(parts.join("/")))
    }

    /// The path with `/` between its components.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The components from the top.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/')
    }

    /// The path of the parent (empty for the mount point itself) and the last component.
    pub fn split(&self) -> (&str, &str) {
        self.0.rsplit_once('/').unwrap_or(("", &self.0))
    }

    /// The path for the kernel.
    pub fn to_c_string(&self) -> CString {
        c_string(&self.0)
    }
}

/// A path that is known to hold no NUL byte.
pub(crate) fn c_string(text: &str) -> CString {
    CString::new(text).unwrap_or_default()
}

impl fmt::Display for CgroupPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for CgroupPath {
    type Error = Reason;
    fn try_from(text: String) -> Result<Self, Reason> {
        Self::new(Path::new(&text))
    }
}

impl From<CgroupPath> for String {
    fn from(path: CgroupPath) -> Self {
        path.0
    }
}

/// A place asked for, before it is known what it is relative to.
#[derive(Debug)]
pub(super) enum Wanted {
    /// Below the mount point.
    Absolute(CgroupPath),
    /// Below the caller's own cgroup (v1), or beside it (v2).
    Relative(CgroupPath),
}

impl Wanted {
    /// `cloison-ID` when nothing is asked for: at the top for root, and for anyone else relative
    /// to the caller's own cgroup, which may have been delegated.
    pub(super) fn new(asked: Option<&Path>, id: &str, privilege: Privilege) -> Result<Self, Error> {
        let default = format!("cloison-{id}");
        let (path, absolute) = match asked {
            Some(path) => (path, path.is_absolute()),
            None => (Path::new(&default), privilege == Privilege::Full),
        };
        let checked = CgroupPath::new(path)
            .map_err(|reason| Error::Path { path: path.display().to_string(), reason })?;
        Ok(if absolute { Self::Absolute(checked) } else { Self::Relative(checked) })
    }

    /// Beside the caller's cgroup: below it no controller can be enabled, as it holds the caller
    /// (the kernel's rule against processes in inner nodes).
    pub(super) fn in_unified(&self, unified: &Unified) -> Result<CgroupPath, Error> {
        match self {
            Self::Absolute(path) => Ok(path.clone()),
            Self::Relative(path) => {
                let own = own_cgroup(path, unified.own.as_deref())?;
                let parent = own.rsplit_once('/').map_or("", |(parent, _)| parent);
                below(parent, path)
            }
        }
    }

    /// Below the caller's cgroup in that hierarchy.
    pub(super) fn in_legacy(&self, hierarchy: &Legacy) -> Result<CgroupPath, Error> {
        match self {
            Self::Absolute(path) => Ok(path.clone()),
            Self::Relative(path) => below(own_cgroup(path, hierarchy.own.as_deref())?, path),
        }
    }
}

fn own_cgroup<'a>(path: &CgroupPath, own: Option<&'a str>) -> Result<&'a str, Error> {
    let reason = match own {
        Some(own) if own.split('/').any(|part| part == "..") => {
            "the caller's own cgroup lies outside of its cgroup namespace"
        }
        Some(own) => return Ok(own),
        None => "the caller's own cgroup is not below the mounted hierarchy",
    };
    Err(Error::NoOwnCgroup { path: path.to_string(), reason })
}

fn below(parent: &str, path: &CgroupPath) -> Result<CgroupPath, Error> {
    CgroupPath::new(&Path::new(parent).join(&path.0))
        .map_err(|reason| Error::Path { path: path.to_string(), reason })
}
