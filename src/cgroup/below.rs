//! Cgroups that a container has made inside of its own, for processes that are to run there.

use super::{CgroupRecord, DirRecord, Error};
use crate::plan::cgroup::path::{CgroupPath, Reason};
use std::path::Path;

/// A place below a container's cgroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Below {
    /// The legacy hierarchies that it is meant for, by their controllers; none means all.
    pub controllers: Vec<String>,
    /// The path below the container's cgroup; `None` is that cgroup itself.
    pub path: Option<CgroupPath>,
}

impl Below {
    /// Reads `PATH` or `CONTROLLER[,CONTROLLER…]:PATH`. A leading slash means the container's
    /// cgroup.
    ///
    /// # Errors
    /// A path that leads elsewhere.
    pub fn parse(text: &str) -> Result<Self, Reason> {
        let (controllers, path) = match text.split_once(':') {
            Some((controllers, path)) => {
                (controllers.split(',').map(str::to_owned).collect(), path)
            }
            None => (Vec::new(), text),
        };
        let path = match CgroupPath::new(Path::new(path)) {
            Ok(path) => Some(path),
            Err(Reason::Root) => None,
            Err(reason) => return Err(reason),
        };
        Ok(Self { controllers, path })
    }

    fn is_for(&self, controllers: &[String]) -> bool {
        self.controllers.is_empty() || self.controllers.iter().any(|c| controllers.contains(c))
    }

    fn enter(&self, dir: &mut DirRecord) {
        if let Some(path) = &self.path {
            // Two paths that are one each are one together.
            if let Ok(joined) = CgroupPath::new(&Path::new(dir.path.as_str()).join(path.as_str())) {
                dir.path = joined;
            }
        }
    }
}

impl CgroupRecord {
    /// The record of cgroups below this one, of which only the existing ones can be entered.
    ///
    /// # Errors
    /// The container has no cgroup; controllers are named where there is one hierarchy for all,
    /// or that have none.
    pub fn below(mut self, places: &[Below]) -> Result<Self, Error> {
        for place in places {
            match &mut self {
                Self::Disabled => return Err(Error::NoCgroup { action: "enter a part of the" }),
                Self::Unified(dir) | Self::Systemd { dir, .. } => {
                    if let Some(name) = place.controllers.first() {
                        return Err(Error::NoHierarchy { controller: name.clone() });
                    }
                    place.enter(dir);
                }
                Self::Legacy { dirs, unified } => {
                    if let Some(name) = place
                        .controllers
                        .iter()
                        .find(|name| !dirs.iter().any(|dir| dir.controllers.contains(name)))
                    {
                        return Err(Error::NoHierarchy { controller: name.clone() });
                    }
                    for dir in dirs.iter_mut().filter(|dir| place.is_for(&dir.controllers)) {
                        place.enter(&mut dir.dir);
                    }
                    if let Some(dir) = unified.as_mut().filter(|_| place.controllers.is_empty()) {
                        place.enter(dir);
                    }
                }
            }
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::super::LegacyRecord;
    use super::*;

    fn dir(path: &str) -> DirRecord {
        let path = CgroupPath::new(Path::new(path)).unwrap();
        DirRecord { mount: "/sys/fs/cgroup".into(), path, kept: 0 }
    }

    fn places(texts: &[&str]) -> Vec<Below> {
        texts.iter().map(|text| Below::parse(text).unwrap()).collect()
    }

    #[test]
    fn one_hierarchy_takes_one_path() {
        let record = CgroupRecord::Unified(dir("a"));
        assert_eq!(
            record.clone().below(&places(&["/b/c"])).unwrap(),
            CgroupRecord::Unified(dir("a/b/c"))
        );
        assert_eq!(record.clone().below(&places(&["/"])).unwrap(), record);
        let refused = record.below(&places(&["cpu:b"])).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "--cgroup: controller cpu has no hierarchy of its own on this host"
        );
    }

    #[test]
    fn many_hierarchies_take_a_path_each() {
        let legacy = |name: &str, path: &str| LegacyRecord {
            controllers: vec![name.to_owned()],
            dir: dir(path),
        };
        let record = |cpu: &str, memory: &str, unified: &str| CgroupRecord::Legacy {
            dirs: vec![legacy("cpu", cpu), legacy("memory", memory)],
            unified: Some(dir(unified)),
        };
        let before = record("a", "a", "a");
        assert_eq!(before.clone().below(&places(&["b"])).unwrap(), record("a/b", "a/b", "a/b"));
        assert_eq!(
            before.clone().below(&places(&["cpu:b", "memory:c"])).unwrap(),
            record("a/b", "a/c", "a")
        );
        assert!(before.below(&places(&["rdma:b"])).is_err());
    }

    #[test]
    fn nothing_leads_out() {
        assert_eq!(Below::parse("../b"), Err(Reason::DotDot));
        assert_eq!(Below::parse("a/../../b"), Err(Reason::DotDot));
    }
}
