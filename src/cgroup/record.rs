//! Reading a [`CgroupRecord`].

use super::{CgroupRecord, DirRecord, LegacyRecord};
use crate::plan::cgroup::path::CgroupPath;
use crate::plan::cgroup::scope::Bus;
use serde::Deserialize;
use std::path::PathBuf;

/// The members of every kind of record side by side. As an enum with a tag each would first be
/// read as anything, and `list` reads a record of every container.
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

#[derive(Deserialize)]
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
