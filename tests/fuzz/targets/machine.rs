//! Hosts that are the same everywhere, and what every plan promises on them.

use std::ffi::CStr;
use std::path::Path;

use cloison::host::cgroup::{CgroupFacts, Legacy, Unified};
use cloison::host::{Grantable, Host, Privilege};
use cloison::id::ContainerId;
use cloison::plan::cgroup::{ManagerChoice, Place};
use cloison::plan::rootfs::Switch;
use cloison::plan::{self, Plan, explain};
use cloison::spec::Loaded;
use cloison::state::Record;
use cloison::{cgroup, error, seccomp};

/// One way to be asked: by whom, where, through which manager.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances {
    pub euid: u32,
    pub legacy: bool,
    pub systemd: bool,
}

impl Circumstances {
    pub fn of(byte: u8) -> Self {
        let euid = if byte & 1 == 0 { 0 } else { 1000 };
        Self { euid, legacy: byte & 2 != 0, systemd: byte & 4 != 0 }
    }

    pub fn host(self) -> Host {
        let grantable = Grantable::ALL;
        let cgroups = self.cgroups();
        let resctrl = Some("/sys/fs/resctrl".into());
        Host { euid: self.euid, outer_uid: None, grantable, cgroups, selinux: true, resctrl }
    }

    pub fn privilege(self) -> Privilege {
        if self.euid == 0 { Privilege::Full } else { Privilege::Confined { uid: self.euid } }
    }

    pub fn cgroups(self) -> CgroupFacts {
        if self.legacy {
            return CgroupFacts {
                unified: None,
                legacy: vec![
                    hierarchy("memory"),
                    hierarchy("cpu,cpuacct"),
                    hierarchy("devices"),
                    hierarchy("pids"),
                    hierarchy("name=systemd"),
                ],
            };
        }
        let controllers = ["cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma", "misc"];
        let unified = Unified {
            mount: "/sys/fs/cgroup".into(),
            controllers: controllers.map(str::to_owned).into(),
            own: Some("user.slice/caller.service".to_owned()),
        };
        CgroupFacts { unified: Some(unified), legacy: Vec::new() }
    }
}

fn hierarchy(names: &str) -> Legacy {
    Legacy {
        controllers: names.split(',').map(str::to_owned).collect(),
        mount: format!("/sys/fs/cgroup/{}", names.trim_start_matches("name=")).into(),
        own: Some("caller".to_owned()),
    }
}

/// The plan, twice the same, sound, or a refusal in one line.
pub fn planned(loaded: &Loaded, circumstances: Circumstances) -> Option<Plan> {
    let id: ContainerId = "a".parse().expect("an id");
    let request = plan::Request {
        id: &id,
        bundle: Path::new("/bundle"),
        manager: if circumstances.systemd {
            ManagerChoice::Systemd
        } else {
            ManagerChoice::Cgroupfs
        },
        privilege: circumstances.privilege(),
        root_switch: Switch::PivotRoot,
        new_keyring: true,
        readiness: None,
        descriptors: plan::Descriptors::default(),
    };
    let host = circumstances.host();
    let (first, second) =
        (plan::resolve(loaded, &request, &host), plan::resolve(loaded, &request, &host));
    match (first, second) {
        (Ok(first), Ok(second)) => {
            assert_eq!(format!("{first:?}"), format!("{second:?}"), "two plans of one config");
            sound(&first);
            Some(first)
        }
        (Err(first), Err(second)) => {
            let line = error::sentence(&first);
            assert_eq!(line, error::sentence(&second), "two refusals of one config");
            printable(&line);
            None
        }
        (first, second) => panic!("{first:?} and then {second:?}"),
    }
}

/// One line that cannot drive a terminal.
pub fn printable(line: &str) {
    assert!(!line.is_empty() && !line.chars().any(char::is_control), "{line:?}");
}

/// What holds for every plan.
fn sound(plan: &Plan) {
    let text = explain::text(plan);
    assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
    for mount in &plan.mounts {
        normal(mount.destination.as_c_str());
        assert_ne!(mount.destination.as_bytes(), b"/", "a mount over the root");
        let ambiguous = mount.attributes.set & mount.attributes.clear;
        assert_eq!(ambiguous & !0x70, 0, "set and cleared: {mount:?}");
    }
    plan.masked_paths.iter().chain(&plan.readonly_paths).for_each(|path| normal(path.as_c_str()));
    plan.devices.devices.iter().for_each(|device| normal(device.path.as_c_str()));
    for sysctl in &plan.sysctls {
        let path = sysctl.path.as_bytes();
        assert!(path.split(|b| *b == b'/').all(|part| ![&b".."[..], b".", b""].contains(&part)));
    }
    if let Some(process) = &plan.process {
        let caps = &process.caps;
        assert_eq!(caps.effective & !caps.permitted, 0, "effective beyond permitted: {caps:?}");
        assert_eq!(caps.ambient & !(caps.permitted & caps.inheritable), 0, "{caps:?}");
        assert_eq!(caps.inheritable & !(caps.bounding | caps.permitted), 0, "{caps:?}");
        assert_eq!(process.process.cwd.to_bytes().first(), Some(&b'/'));
        assert!(!process.process.args.is_empty());
        assert!(process.rlimits.iter().all(|limit| limit.soft <= limit.hard));
    }
    let places: Vec<_> = match &plan.cgroup.place {
        Place::Disabled => Vec::new(),
        Place::Unified { path, .. } => vec![path],
        Place::Scope(scope) => vec![&scope.path],
        Place::Legacy { dirs, unified } => {
            dirs.iter().map(|dir| &dir.path).chain(unified.iter().map(|(_, path)| path)).collect()
        }
    };
    for place in places {
        assert!(place.components().all(|part| !part.is_empty() && part != "." && part != ".."));
    }
    for write in plan.cgroup.unified.iter() {
        assert!(!write.file.contains('/') && !write.file.contains('\0'), "{write}");
    }
    recorded(plan);
}

/// Absolute, without `..` and without anything superfluous.
fn normal(path: &CStr) {
    let path = path.to_str().unwrap_or("/not-utf-8");
    let parts = path.strip_prefix('/').unwrap_or_else(|| panic!("relative: {path:?}"));
    let normal = parts.is_empty() || parts.split('/').all(|part| !["", ".", ".."].contains(&part));
    assert!(normal, "not normal: {path:?}");
}

/// What is written about it reads as it was written.
fn recorded(plan: &Plan) {
    let record =
        Record::of_plan(plan, cgroup::CgroupRecord::Disabled, "2026-01-01T00:00:00Z".into(), 0);
    let text = serde_json::to_vec(&record).expect("a record");
    assert_eq!(serde_json::from_slice::<Record>(&text).expect("a record"), record);
    if let Some(profile) = &plan.seccomp {
        assert!(!seccomp::cache::identity(profile).is_empty());
    }
}
