//! The steps on a directory tree that stands for a hierarchy.

use super::*;
use crate::plan::cgroup::{Invalid, Missing};
use std::borrow::Cow;

/// A tree of directories with the files that the kernel would make.
struct Fake(tempfile::TempDir);

impl Fake {
    /// Cgroups by path, each with its `cgroup.controllers` and `cgroup.subtree_control`.
    fn new(cgroups: &[(&str, &str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (path, controllers, subtree) in cgroups {
            let at = dir.path().join(path);
            std::fs::create_dir_all(&at).unwrap();
            for (file, text) in [
                ("cgroup.controllers", *controllers),
                ("cgroup.subtree_control", *subtree),
                ("cgroup.procs", ""),
                ("cgroup.freeze", "0\n"),
                ("memory.max", ""),
            ] {
                std::fs::write(at.join(file), text).unwrap();
            }
        }
        Self(dir)
    }

    fn unified(&self, path: &str) -> Unified {
        let path = CgroupPath::new(Path::new(path)).unwrap();
        Unified::survey(self.0.path(), &path).unwrap()
    }

    fn text(&self, file: &str) -> String {
        std::fs::read_to_string(self.0.path().join(file)).unwrap()
    }
}

fn limit() -> Write {
    Write {
        controller: Cow::Borrowed("memory"),
        file: Cow::Borrowed("memory.max"),
        value: "4096".into(),
        pointer: "/linux/resources/memory/limit".into(),
        missing: Missing::Refuse,
        invalid: Invalid::Refuse,
        guard: None,
    }
}

fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(|name| (*name).to_owned()).collect()
}

fn soon() -> Instant {
    Instant::now() + Duration::from_millis(50)
}

/// CG-12.
#[test]
fn missing_controllers_are_enabled_in_one_write_per_level() {
    let fake = Fake::new(&[("", "cpu memory pids", "pids"), ("a", "pids", ""), ("a/b", "", "")]);
    let unified = fake.unified("a/b");
    let dir = unified.tree.require().unwrap();
    unified.limit(dir.as_fd(), &names(&["cpu", "memory", "pids"]), &[limit()]).unwrap();
    assert_eq!(fake.text("cgroup.subtree_control"), "+cpu +memory");
    assert_eq!(fake.text("a/cgroup.subtree_control"), "+cpu +memory +pids");
    assert_eq!(fake.text("a/b/memory.max"), "4096");
}

/// CG-12.
#[test]
fn nothing_is_enabled_that_is_there() {
    let fake = Fake::new(&[("", "memory", ""), ("a", "memory", "")]);
    let unified = fake.unified("a");
    let dir = unified.tree.require().unwrap();
    unified.limit(dir.as_fd(), &names(&["memory"]), &[limit()]).unwrap();
    assert_eq!(fake.text("cgroup.subtree_control"), "");
}

/// CG-5.
#[test]
fn the_survey_tells_what_was_there() {
    let fake = Fake::new(&[("", "", ""), ("a", "", ""), ("a/b", "", "")]);
    assert_eq!(fake.unified("a/b").record().kept, 1);
    assert_eq!(fake.unified("a/x").record().kept, 1);
    assert_eq!(fake.unified("a/x/y/z").record().kept, 1);
    assert_eq!(fake.unified("x").record().kept, 0);
}

/// CG-4.
#[test]
fn a_cgroup_in_use_is_refused() {
    let fake =
        Fake::new(&[("", "", ""), ("a", "", ""), ("b", "", ""), ("b/c", "", ""), ("d", "", "")]);
    std::fs::write(fake.0.path().join("a/cgroup.procs"), format!("{}\n", std::process::id()))
        .unwrap();
    std::fs::write(fake.0.path().join("d/cgroup.freeze"), "1\n").unwrap();
    let survey = |path: &str| {
        Unified::survey(fake.0.path(), &CgroupPath::new(Path::new(path)).unwrap()).unwrap_err()
    };
    let error = survey("a");
    assert!(matches!(&error, Error::Occupied { processes, .. } if processes.len() == 1));
    assert!(error.to_string().contains(&format!("process {} (", std::process::id())), "{error}");
    assert!(survey("b").to_string().ends_with("not empty: child cgroups"));
    assert!(matches!(survey("d"), Error::Frozen { .. }));
}

#[test]
fn making_and_removing_leaves_what_was_there() {
    let fake = Fake::new(&[("", "", ""), ("a", "", "")]);
    let unified = fake.unified("a/x/y/z");
    unified.make().unwrap();
    assert!(fake.0.path().join("a/x/y/z").is_dir());
    let again = Unified::new(unified.record().clone());
    again.remove(soon()).unwrap();
    assert!(!fake.0.path().join("a/x").exists());
    assert!(fake.0.path().join("a").is_dir());
    again.remove(soon()).unwrap();
}

/// CG-5.
#[test]
fn ancestors_that_others_use_stay() {
    let fake = Fake::new(&[("", "", "")]);
    let first = fake.unified("pod/one");
    first.make().unwrap();
    fake.unified("pod/two").make().unwrap();
    first.remove(soon()).unwrap();
    assert!(fake.0.path().join("pod/two").is_dir());
}

#[test]
fn what_is_not_there_is_empty_and_not_frozen() {
    let fake = Fake::new(&[("", "", "")]);
    let unified = fake.unified("a");
    unified.kill_all(soon()).unwrap();
    assert!(unified.pids().unwrap().is_empty());
    assert!(!unified.is_frozen().unwrap());
    let error = unified.freeze(soon()).unwrap_err();
    assert!(matches!(error, Error::Open { errno: Errno::ENOENT, .. }));
}

#[test]
fn a_failed_preparation_takes_its_directories_back() {
    let fake = Fake::new(&[("", "memory", "")]);
    let unified = fake.unified("a/b");
    let plan = CgroupPlan {
        place: crate::plan::cgroup::Place::Disabled,
        controllers: names(&["memory"]),
        unified: vec![limit()],
        legacy: vec![],
        devices: Devices {
            rules: vec![],
            program: vec![],
            need: crate::plan::cgroup::Need::Required,
        },
        need: crate::plan::cgroup::Need::Required,
        owner: None,
        warnings: vec![],
    };
    // A plain directory has no cgroup.controllers, so the first look fails.
    let error = unified.prepare(Some(&plan)).unwrap_err();
    assert!(matches!(error, Error::Read { .. }), "{error}");
    assert!(!fake.0.path().join("a").exists());
}

/// CG-43.
#[test]
fn freezing_that_is_late_is_taken_back() {
    let fake = Fake::new(&[("", "", ""), ("a", "", "")]);
    let unified = fake.unified("a");
    std::fs::write(fake.0.path().join("a/cgroup.events"), "populated 1\nfrozen 0\n").unwrap();
    let error = unified.freeze(soon()).unwrap_err();
    assert!(matches!(error, Error::Late { action: "freeze", .. }), "{error}");
    assert_eq!(fake.text("a/cgroup.freeze"), "0\n");
}

/// CG-41.
#[test]
fn a_cgroup_that_lists_nobody_is_empty() {
    let fake = Fake::new(&[("", "", ""), ("a", "", "")]);
    let unified = fake.unified("a");
    let place = fake.0.path().join("a");
    std::fs::write(place.join("cgroup.events"), "populated 1\nfrozen 0\n").unwrap();
    std::fs::write(place.join("cgroup.kill"), "").unwrap();
    let later = Instant::now() + Duration::from_secs(60);
    unified.kill_all(later).unwrap();
    // One of another pid namespace has no number here.
    std::fs::write(place.join("cgroup.procs"), "0\n").unwrap();
    let error = unified.kill_all(soon()).unwrap_err();
    assert!(matches!(error, Error::Survivors { .. }), "{error}");
}
