//! Mounts of type `cgroup`: what the container may see of its own cgroups.

use super::{Content, CopyUp, Entry, Error, FileSystem, Links, Mount, Options, Parameter, attr};
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
    UnifiedBind,
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
    /// Bound: the container's directory in the hierarchy, absolute on the host.
    Bind(CString),
}

impl CgroupView {
    /// How a container with that cgroup sees it; `own` tells whether it has a cgroup namespace.
    pub fn of(plan: &CgroupPlan, own: bool) -> Self {
        match &plan.place {
            // Without a cgroup of its own there is nothing smaller to show than what the
            // namespace, the caller's or a new one, is rooted in.
            Place::Disabled => Self::Unified,
            Place::Unified { .. } | Place::Scope(_) if own => Self::Unified,
            Place::Unified { .. } | Place::Scope(_) => Self::UnifiedBind,
            Place::Legacy { dirs, unified } => {
                let mut hierarchies: Vec<_> =
                    dirs.iter().map(|dir| Hierarchy::legacy(dir, own)).collect();
                if let Some((mount, path)) = unified {
                    hierarchies.push(Hierarchy {
                        name: "unified".to_owned(),
                        aliases: Vec::new(),
                        source: if own {
                            Source::Mount { fstype: c"cgroup2", parameters: Vec::new() }
                        } else {
                            Source::Bind(host_path(mount, path))
                        },
                    });
                }
                Self::Legacy(hierarchies)
            }
        }
    }
}

impl Hierarchy {
    fn legacy(dir: &LegacyDir, own: bool) -> Self {
        let name = match dir.controllers.as_slice() {
            [only] => only.strip_prefix("name=").unwrap_or(only).to_owned(),
            several => several.join(","),
        };
        let aliases = if dir.controllers.len() > 1 { dir.controllers.clone() } else { Vec::new() };
        let source = if own {
            Source::Mount { fstype: c"cgroup", parameters: legacy_parameters(&dir.controllers) }
        } else {
            Source::Bind(host_path(&dir.mount, &dir.path))
        };
        Self { name, aliases, source }
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

fn host_path(mount: &Path, path: &CgroupPath) -> CString {
    // Both were checked for NUL where they come from.
    let path = mount.join(path.as_str().trim_start_matches('/'));
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
        CgroupView::UnifiedBind => mounts.push(make(destination, Content::OwnCgroup)),
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
        copy_up: CopyUp::No,
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
            Source::Bind(source) => {
                Content::Bind { source: source.clone(), reach: crate::sys::mount::Reach::Single }
            }
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
