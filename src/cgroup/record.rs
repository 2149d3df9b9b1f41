//! Reading a [`CgroupRecord`].

use super::{CgroupRecord, DirRecord, Error, LegacyRecord, Manager, v2};
use crate::plan::cgroup::path::CgroupPath;
use crate::plan::cgroup::scope::Bus;
use serde::Deserialize;
use std::borrow::Cow;
use std::path::{Path, PathBuf};

/// A cgroup on record, as far as it takes to ask whether it is frozen. Text is borrowed from that
/// of the record, where nothing in it is escaped.
#[derive(Debug, Deserialize)]
pub struct Glance<'t> {
    manager: Name,
    #[serde(borrow, default)]
    mount: Cow<'t, str>,
    #[serde(borrow, default)]
    path: Cow<'t, str>,
    #[serde(default)]
    dirs: Vec<LegacyRecord>,
    #[serde(default)]
    unified: Option<DirRecord>,
}

impl Glance<'_> {
    /// As [`Manager::is_frozen`].
    ///
    /// # Errors
    /// Its state cannot be read; the build lacks the manager.
    pub fn is_frozen(&self) -> Result<bool, Error> {
        match self.manager {
            Name::Disabled => Ok(false),
            Name::Unified | Name::Systemd => v2::is_frozen(Path::new(&*self.mount), &self.path),
            Name::Legacy => {
                let (dirs, unified) = (self.dirs.clone(), self.unified.clone());
                Manager::from_record(CgroupRecord::Legacy { dirs, unified })?.is_frozen()
            }
        }
    }
}

/// The members of every kind of record side by side. As an enum with a tag each would first be
/// read as anything.
#[derive(Deserialize)]
pub(super) struct Members {
    manager: Name,
    mount: Option<PathBuf>,
    path: Option<CgroupPath>,
    kept: Option<usize>,
    unit: Option<String>,
    bus: Option<Bus>,
    dirs: Option<Vec<LegacyRecord>>,
    unified: Option<DirRecord>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Name {
    Disabled,
    Unified,
    Legacy,
    Systemd,
}

/// A member that a manager's record must have.
#[derive(Debug, thiserror::Error)]
#[error("missing field `{0}`")]
pub(super) struct Missing(&'static str);

impl TryFrom<Members> for CgroupRecord {
    type Error = Missing;

    fn try_from(members: Members) -> Result<Self, Missing> {
        let Members { manager, mount, path, kept, unit, bus, dirs, unified } = members;
        let dir = || {
            Ok(DirRecord {
                mount: mount.ok_or(Missing("mount"))?,
                path: path.ok_or(Missing("path"))?,
                kept: kept.ok_or(Missing("kept"))?,
            })
        };
        Ok(match manager {
            Name::Disabled => Self::Disabled,
            Name::Unified => Self::Unified(dir()?),
            Name::Legacy => Self::Legacy { dirs: dirs.ok_or(Missing("dirs"))?, unified },
            Name::Systemd => Self::Systemd {
                unit: unit.ok_or(Missing("unit"))?,
                bus: bus.ok_or(Missing("bus"))?,
                dir: dir()?,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_of_each_manager_is_read_again() {
        let path = || CgroupPath::new("a/b".as_ref()).unwrap();
        let dir = || DirRecord { mount: "/cg".into(), path: path(), kept: 1 };
        let legacy = LegacyRecord { controllers: vec!["cpu".to_owned()], dir: dir() };
        for record in [
            CgroupRecord::Disabled,
            CgroupRecord::Unified(dir()),
            CgroupRecord::Legacy { dirs: vec![legacy.clone()], unified: None },
            CgroupRecord::Legacy { dirs: vec![legacy], unified: Some(dir()) },
            CgroupRecord::Systemd { unit: "a.scope".to_owned(), bus: Bus::System, dir: dir() },
        ] {
            let text = serde_json::to_string(&record).unwrap();
            assert_eq!(serde_json::from_str::<CgroupRecord>(&text).unwrap(), record, "{text}");
        }
    }

    #[test]
    fn a_glance_asks_the_cgroup_that_is_on_record() {
        let mount = tempfile::tempdir().unwrap();
        let file = mount.path().join("a\\x2d/b/cgroup.freeze");
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        let path = CgroupPath::new(r"a\x2d/b".as_ref()).unwrap();
        let dir = DirRecord { mount: mount.path().to_owned(), path, kept: 1 };
        let unit = CgroupRecord::Systemd {
            unit: "a.scope".to_owned(),
            bus: Bus::System,
            dir: dir.clone(),
        };
        for record in [CgroupRecord::Unified(dir), unit] {
            let text = serde_json::to_string(&record).unwrap();
            for (value, frozen) in [("1\n", true), ("0\n", false)] {
                std::fs::write(&file, value).unwrap();
                let glance: Glance<'_> = serde_json::from_str(&text).unwrap();
                assert_eq!(glance.is_frozen().unwrap(), frozen);
                let manager = Manager::from_record(record.clone()).unwrap();
                assert_eq!(manager.is_frozen().unwrap(), frozen);
            }
        }
        let text = serde_json::to_string(&CgroupRecord::Disabled).unwrap();
        assert!(!serde_json::from_str::<Glance<'_>>(&text).unwrap().is_frozen().unwrap());
    }

    #[test]
    fn a_member_that_is_missing_is_named() {
        for (text, member) in [
            (r#"{"mount":"/cg"}"#, "manager"),
            (r#"{"manager":"unified","mount":"/cg","path":"a"}"#, "kept"),
            (r#"{"manager":"legacy"}"#, "dirs"),
            (r#"{"manager":"systemd","unit":"a.scope"}"#, "bus"),
        ] {
            let error = serde_json::from_str::<CgroupRecord>(text).unwrap_err().to_string();
            assert!(error.contains(&format!("missing field `{member}`")), "{error}");
        }
    }
}
