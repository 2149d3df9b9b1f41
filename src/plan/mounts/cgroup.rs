//! Mounts of type `cgroup`: what the container may see of its own cgroups.

use super::{Content, CopyUp, Entry, Error, FileSystem, Links, Mount, Options, Parameter, attr};
use crate::host::cgroup::CgroupFacts;
use crate::plan::cgroup::path::CgroupPath;
use crate::plan::cgroup::{CgroupPlan, LegacyDir, Place};
use crate::plan::paths::ContainerPath;
use crate::sys::mount::AttrChange;
use std::ffi::{CStr, CString};
use std::path::Path;

/// How the host's cgroups can be shown to a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CgroupView {
    /// There are none.
    None,
    /// One v2 hierarchy, shown through the container's cgroup namespace.
    Unified,
    /// One v2 hierarchy, of which a container without a cgroup namespace sees its own directory.
    UnifiedBind(OwnCgroup),
    /// v1 hierarchies below a tmpfs, as legacy and hybrid hosts mount them.
    Legacy(Vec<Hierarchy>),
}

/// One v1 hierarchy, or the v2 one of a hybrid host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchy {
    /// Directory below the mount point, such as `cpu,cpuacct`.
    pub name: String,
    /// Further names by which controllers are looked up, such as `cpu`.
    pub aliases: Vec<String>,
    /// How it gets there.
    pub source: Source,
}

/// How a hierarchy gets into the container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Mounted through the container's cgroup namespace: type and parameters.
    Mount {
        /// `cgroup` or `cgroup2`.
        fstype: &'static CStr,
        /// Controllers, or `none` and `name=…`.
        parameters: Vec<Parameter>,
    },
    /// Bound.
    Bind(OwnCgroup),
}

/// The directory that a container is in, absolute on the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnCgroup {
    /// The one that is to be made for it.
    pub made: Option<CString>,
    /// The caller's, which it stays in where none may be made.
    pub callers: CString,
}

impl OwnCgroup {
    fn of(mount: &Path, made: Option<&CgroupPath>, callers: Option<&str>) -> Self {
        Self {
            made: made.map(|path| host_path(mount, path.as_str())),
            callers: host_path(mount, callers.unwrap_or_default()),
        }
    }

    /// The directory, once it is known whether the container has a cgroup of its own.
    pub fn path(&self, has_own: bool) -> &CStr {
        self.made.as_deref().filter(|_| has_own).unwrap_or(&self.callers)
    }
}

impl CgroupView {
    /// How a container with that cgroup sees it on that host; `own` tells whether it has a cgroup
    /// namespace.
    pub fn of(plan: &CgroupPlan, facts: &CgroupFacts, own: bool) -> Self {
        let callers = facts.unified.as_ref().and_then(|unified| unified.own.as_deref());
        match &plan.place {
            Place::Unified { .. } | Place::Scope(_) | Place::Disabled if own => Self::Unified,
            Place::Unified { mount, path } => {
                Self::UnifiedBind(OwnCgroup::of(mount, Some(path), callers))
            }
            Place::Scope(scope) => {
                Self::UnifiedBind(OwnCgroup::of(&scope.mount, Some(&scope.path), callers))
            }
            Place::Disabled => Self::of_caller(facts),
            Place::Legacy { dirs, unified } => {
                let found = |dir: &LegacyDir| facts.legacy.iter().find(|l| l.mount == dir.mount);
                let mut hierarchies: Vec<_> = dirs
                    .iter()
                    .map(|dir| {
                        let callers = found(dir).and_then(|legacy| legacy.own.as_deref());
                        let bound = OwnCgroup::of(&dir.mount, Some(&dir.path), callers);
                        Hierarchy::legacy(&dir.controllers, (!own).then_some(bound))
                    })
                    .collect();
                if let Some((mount, path)) = unified {
                    let bound = OwnCgroup::of(mount, Some(path), callers);
                    hierarchies.push(Hierarchy::unified((!own).then_some(bound)));
                }
                Self::Legacy(hierarchies)
            }
        }
    }

    /// What a container sees that stays in its caller's cgroup and has no cgroup namespace.
    fn of_caller(facts: &CgroupFacts) -> Self {
        let unified = facts.unified.as_ref();
        let unified = unified.map(|u| OwnCgroup::of(&u.mount, None, u.own.as_deref()));
        match unified {
            Some(own) if facts.legacy.is_empty() => Self::UnifiedBind(own),
            None if facts.legacy.is_empty() => Self::None,
            unified => {
                let legacy = facts.legacy.iter().map(|legacy| {
                    let own = OwnCgroup::of(&legacy.mount, None, legacy.own.as_deref());
                    Hierarchy::legacy(&legacy.controllers, Some(own))
                });
                let unified = unified.map(|own| Hierarchy::unified(Some(own)));
                Self::Legacy(legacy.chain(unified).collect())
            }
        }
    }
}

impl Hierarchy {
    /// Bound from that directory, or mounted.
    fn legacy(controllers: &[String], bound: Option<OwnCgroup>) -> Self {
        let name = match controllers {
            [only] => only.strip_prefix("name=").unwrap_or(only).to_owned(),
            several => several.join(","),
        };
        let aliases = if controllers.len() > 1 { controllers.to_owned() } else { Vec::new() };
        let mounted =
            || Source::Mount { fstype: c"cgroup", parameters: legacy_parameters(controllers) };
        Self { name, aliases, source: bound.map_or_else(mounted, Source::Bind) }
    }

    /// The v2 hierarchy of a hybrid host, as [`Hierarchy::legacy`].
    fn unified(bound: Option<OwnCgroup>) -> Self {
        let mounted = || Source::Mount { fstype: c"cgroup2", parameters: Vec::new() };
        Self {
            name: "unified".to_owned(),
            aliases: Vec::new(),
            source: bound.map_or_else(mounted, Source::Bind),
        }
    }
}

/// Controllers are flags; a hierarchy without any is found by its name (cgroups(7)).
fn legacy_parameters(controllers: &[String]) -> Vec<Parameter> {
    // The names come from /proc/self/cgroup, which holds no NUL.
    let c = |text: &str| CString::new(text).unwrap_or_default();
    let mut parameters = Vec::new();
    for controller in controllers {
        match controller.strip_prefix("name=") {
            Some(name) => {
                parameters.push(Parameter { key: c"none".to_owned(), value: None });
                parameters.push(Parameter { key: c"name".to_owned(), value: Some(c(name)) });
            }
            None => parameters.push(Parameter { key: c(controller), value: None }),
        }
    }
    parameters
}

fn host_path(mount: &Path, path: &str) -> CString {
    // Both were checked for NUL where they come from.
    let path: std::path::PathBuf = mount.join(path.trim_start_matches('/')).components().collect();
    CString::new(path.as_os_str().as_encoded_bytes()).unwrap_or_default()
}

/// Makes the mounts of one entry of type `cgroup`.
pub(super) fn expand(
    entry: &Entry<'_>,
    destination: ContainerPath,
    options: &Options,
    mounts: &mut Vec<Mount>,
) -> Result<(), Error> {
    let make = |destination, content| entry.mount(destination, Links::Follow, content, options);
    match entry.around.cgroups {
        CgroupView::None => return Err(Error::NoCgroups { index: entry.index }),
        CgroupView::Unified => {
            let fs = file_system(c"cgroup2", c"cgroup", Vec::new());
            mounts.push(make(destination, fs));
        }
        CgroupView::UnifiedBind(own) => {
            mounts.push(make(destination, Content::OwnCgroup(own.clone())));
        }
        CgroupView::Legacy(hierarchies) => {
            legacy(entry, &destination, options, hierarchies, mounts)?;
        }
    }
    Ok(())
}

fn file_system(fstype: &CStr, source: &CStr, parameters: Vec<Parameter>) -> Content {
    Content::FileSystem(FileSystem {
        fstype: fstype.to_owned(),
        source: source.to_owned(),
        parameters,
        text: None,
        copy_up: CopyUp::No,
        stand_in: None,
    })
}

/// A tmpfs that holds the hierarchies, made read-only when everything is in it.
fn legacy(
    entry: &Entry<'_>,
    destination: &ContainerPath,
    options: &Options,
    hierarchies: &[Hierarchy],
    mounts: &mut Vec<Mount>,
) -> Result<(), Error> {
    let below = |name: &str| {
        let path = Path::new(&destination.to_string()).join(name);
        ContainerPath::new(format_args!("/mounts/{}/destination", entry.index), &path)
    };
    let mode = Parameter { key: c"mode".to_owned(), value: Some(c"755".to_owned()) };
    let mut base = entry.mount(
        destination.clone(),
        Links::Follow,
        file_system(c"tmpfs", c"tmpfs", vec![mode]),
        options,
    );
    base.attributes.set &= !attr::RDONLY;
    mounts.push(base);
    for hierarchy in hierarchies {
        let content = match &hierarchy.source {
            Source::Mount { fstype, parameters } => {
                file_system(fstype, c"cgroup", parameters.clone())
            }
            Source::Bind(own) => Content::OwnCgroup(own.clone()),
        };
        mounts.push(entry.mount(below(&hierarchy.name)?, Links::Follow, content, options));
        for alias in &hierarchy.aliases {
            let target = entry.c_string("destination", hierarchy.name.as_bytes())?;
            let link = Content::Link { target };
            mounts.push(entry.mount(below(alias)?, Links::Follow, link, options));
        }
    }
    if options.readonly {
        let seal = Mount {
            attributes: AttrChange { set: attr::RDONLY, clear: 0 },
            ..entry.mount(
                destination.clone(),
                Links::Follow,
                Content::Existing,
                &Options::default(),
            )
        };
        mounts.push(seal);
    }
    Ok(())
}
