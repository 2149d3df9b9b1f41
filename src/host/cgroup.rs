//! Which cgroup hierarchies this host mounts, and where.

use super::mountinfo::{Mount, mounts};
use crate::sys::{Errno, errno_of, fd};
use std::path::{Path, PathBuf};

/// Where every distribution mounts cgroups.
const MOUNT_POINT: &str = "/sys/fs/cgroup";

/// The cgroup hierarchies of the host as this process sees them.
///
/// `unified` alone is a cgroup v2 host, `legacy` alone a cgroup v1 host, both together a hybrid
/// one, and neither a host without cgroups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CgroupFacts {
    /// The cgroup v2 hierarchy.
    pub unified: Option<Unified>,
    /// The cgroup v1 hierarchies, in the order of /proc/self/cgroup.
    pub legacy: Vec<Legacy>,
}

/// The cgroup v2 hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unified {
    /// Where it is mounted.
    pub mount: PathBuf,
    /// The controllers of its root (cgroup.controllers).
    pub controllers: Vec<String>,
    /// The caller's own cgroup below the mount, without a leading slash; `None` when it was not
    /// asked for or does not lie below the mount.
    pub own: Option<String>,
}

/// One cgroup v1 hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Legacy {
    /// Its controllers, or `name=NAME` for a hierarchy without.
    pub controllers: Vec<String>,
    /// Where it is mounted.
    pub mount: PathBuf,
    /// The caller's own cgroup below the mount, without a leading slash; `None` when it does not
    /// lie below the mount.
    pub own: Option<String>,
}

/// Whether the caller's own cgroup is needed: it costs a look at the mount table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Own {
    /// Only a relative place will ask for it.
    Read,
    /// No.
    Skip,
}

/// Why the hierarchies cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        errno: Errno,
    },
}

impl CgroupFacts {
    /// Whether the unified hierarchy has the controller.
    pub fn has_unified(&self, controller: &str) -> bool {
        self.unified.as_ref().is_some_and(|u| u.controllers.iter().any(|c| c == controller))
    }

    /// Whether a legacy hierarchy has the controller.
    pub fn has_legacy(&self, controller: &str) -> bool {
        self.legacy.iter().any(|l| l.controllers.iter().any(|c| c == controller))
    }

    /// Looks at the host: on a cgroup v2 host the mount point's type and one file.
    ///
    /// # Errors
    /// A file of /proc or the cgroup file system cannot be read.
    pub fn probe(own: Own) -> Result<Self, Error> {
        let pure = is_cgroup2(Path::new(MOUNT_POINT));
        if pure && own == Own::Skip {
            return Ok(Self {
                unified: Some(unified(Path::new(MOUNT_POINT), None)?),
                legacy: vec![],
            });
        }
        let mounts = read(Path::new("/proc/self/mountinfo"))?;
        let cgroups = read(Path::new("/proc/self/cgroup"))?;
        if pure {
            let own = last_mount(&mounts, "cgroup2", Some(MOUNT_POINT))
                .and_then(|mount| own_below(&cgroups, "", &mount.root));
            return Ok(Self {
                unified: Some(unified(Path::new(MOUNT_POINT), own)?),
                legacy: vec![],
            });
        }
        let legacy = legacy(&mounts, &cgroups);
        let unified = match last_mount(&mounts, "cgroup2", None) {
            Some(mount) => {
                let own = own_below(&cgroups, "", &mount.root);
                Some(unified(&mount.point, own)?)
            }
            None => None,
        };
        Ok(Self { unified, legacy })
    }
}

fn unified(mount: &Path, own: Option<String>) -> Result<Unified, Error> {
    let name = [mount.as_os_str().as_encoded_bytes(), b"/cgroup.controllers"];
    let controllers = fd::with_path(&name, |path| fd::read_value(fd::cwd(), path))
        .map_err(|errno| Error::Read { path: mount.join("cgroup.controllers"), errno })?;
    let controllers = controllers.split_ascii_whitespace().map(str::to_owned).collect();
    Ok(Unified { mount: mount.to_owned(), controllers, own })
}

fn is_cgroup2(path: &Path) -> bool {
    fd::with_path(&[path.as_os_str().as_encoded_bytes()], fd::fs_magic_of)
        .is_ok_and(|magic| magic == fd::CGROUP2_SUPER_MAGIC)
}

fn read(path: &Path) -> Result<String, Error> {
    std::fs::read_to_string(path)
        .map_err(|error| Error::Read { path: path.to_owned(), errno: errno_of(&error) })
}

fn last_mount(mountinfo: &str, kind: &str, point: Option<&str>) -> Option<Mount> {
    mounts(mountinfo, kind).rfind(|m| point.is_none_or(|point| m.point == Path::new(point)))
}

/// The path in the line of /proc/self/cgroup whose controller list is `controllers`.
fn own_below(cgroups: &str, controllers: &str, root: &str) -> Option<String> {
    let path = cgroups.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        (parts.next()? == controllers).then(|| parts.next()).flatten()
    })?;
    let below = match root {
        "/" => path,
        root => path.strip_prefix(root).filter(|rest| rest.is_empty() || rest.starts_with('/'))?,
    };
    Some(below.trim_start_matches('/').to_owned())
}

fn legacy(mountinfo: &str, cgroups: &str) -> Vec<Legacy> {
    let mounts: Vec<Mount> = mounts(mountinfo, "cgroup").collect();
    cgroups
        .lines()
        .rev()
        .filter_map(|line| {
            let list = line.split(':').nth(1).filter(|list| !list.is_empty())?;
            let has = |m: &Mount| list.split(',').all(|c| m.options.split(',').any(|o| o == c));
            let mount = mounts.iter().find(|m| has(m))?;
            Some(Legacy {
                controllers: list.split(',').map(str::to_owned).collect(),
                mount: mount.point.clone(),
                own: own_below(cgroups, list, &mount.root),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTINFO: &str = "\
25 1 0:22 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
30 25 0:26 / /sys/fs/cgroup/systemd rw shared:10 - cgroup cgroup rw,xattr,name=systemd
31 25 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
32 25 0:28 /docker/abc /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
33 25 0:29 / /sys/fs/cgroup/with\\040space rw - cgroup2 cgroup2 rw,nsdelegate
";
    const CGROUPS: &str = "\
4:memory:/docker/abc/inner
3:cpu,cpuacct:/a
2:name=systemd:/
0::/user.slice/x
";

    #[test]
    fn legacy_hierarchies_are_matched_by_their_controllers() {
        let found = legacy(MOUNTINFO, CGROUPS);
        let names: Vec<_> = found.iter().map(|l| l.controllers.join(",")).collect();
        assert_eq!(names, ["name=systemd", "cpu,cpuacct", "memory"]);
        assert_eq!(found[1].own.as_deref(), Some("a"));
        assert_eq!(found[2].own.as_deref(), Some("inner"));
        assert_eq!(found[1].mount, Path::new("/sys/fs/cgroup/cpu,cpuacct"));
    }

    #[test]
    fn the_unified_mount_point_is_unescaped() {
        let mount = last_mount(MOUNTINFO, "cgroup2", None).unwrap();
        assert_eq!(mount.point, Path::new("/sys/fs/cgroup/with space"));
        assert_eq!(own_below(CGROUPS, "", &mount.root).as_deref(), Some("user.slice/x"));
    }

    #[test]
    fn an_own_cgroup_outside_of_the_mount_is_unknown() {
        assert_eq!(own_below(CGROUPS, "memory", "/docker/ab"), None);
        assert_eq!(own_below(CGROUPS, "memory", "/docker/abc/inner").as_deref(), Some(""));
        assert_eq!(own_below(CGROUPS, "pids", "/"), None);
    }

    #[test]
    fn this_host_can_be_probed() {
        let facts = CgroupFacts::probe(Own::Read).unwrap();
        assert!(facts.unified.is_some() || !facts.legacy.is_empty());
    }
}
