//! Cgroups of the kernel's unified hierarchy: as root, in mount namespaces of their own that show
//! cgroup v2 alone, whatever layout the host has.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod cgroup_tools;

use cgroup_tools::{go, output_inside, path_of, prepare_when_free, recreated, shell, soon};
use cloison::cgroup::{Error, Manager, Placement};
use cloison::host::Privilege;
use cloison::host::cgroup::{CgroupFacts, Own};
use cloison::plan::cgroup::{CgroupPlan, PidsLimit, Resources};
use cloison::sys::{bpf, process};
use serde_json::{Value, json};
use std::fs;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

const MOUNT: &str = "/sys/fs/cgroup";

/// A view of cgroup v2 for this test's thread, or `None` where that takes more privilege.
fn v2_host(test: &str) -> Option<CgroupFacts> {
    if process::geteuid() != 0 {
        eprintln!("skipped {test}: needs root");
        return None;
    }
    process::unshare(process::ns::MOUNT).expect("unshare the mount namespace");
    let run = |args: &[&str]| {
        let status = Command::new("mount").args(args).status().expect("run mount");
        assert!(status.success(), "mount {args:?}");
    };
    run(&["--make-rprivate", "/"]);
    let pure = CgroupFacts::probe(Own::Skip).is_ok_and(|facts| facts.legacy.is_empty());
    if !pure {
        run(&["-t", "cgroup2", "cgroup2", MOUNT]);
    }
    Some(CgroupFacts::probe(Own::Read).expect("probe"))
}

fn plan(facts: &CgroupFacts, path: &str, resources: Value) -> CgroupPlan {
    cgroup_tools::plan(facts, path, PidsLimit::Absent, resources)
}

fn dir(path: &str) -> PathBuf {
    PathBuf::from(format!("{MOUNT}{path}"))
}

/// CG-5, CG-41, CG-42.
#[test]
fn a_container_is_placed_killed_and_removed_from_the_record_alone() {
    let Some(facts) = v2_host("life") else { return };
    let path = path_of("life");
    let mut manager =
        Manager::from_plan(plan(&facts, &format!("{path}/inner"), json!({}))).unwrap();
    assert!(!dir(&path).exists(), "looking makes nothing");
    let prepared = manager.prepare().unwrap();
    assert!(prepared.birth.is_some());
    assert_eq!(prepared.placement, Placement::Done);
    let mut child = shell("sleep 1000 & sleep 1000");
    manager.place(child.id() as i32).unwrap();
    go(&mut child);
    assert!(manager.pids().unwrap().contains(&(child.id() as i32)));
    let again = recreated(&manager);
    let error = Manager::from_plan(plan(&facts, &format!("{path}/inner"), json!({}))).unwrap_err();
    assert!(matches!(error, Error::Occupied { .. }), "{error}");
    again.kill_all(soon()).unwrap();
    assert!(again.pids().unwrap().is_empty());
    child.wait().unwrap();
    again.remove(soon()).unwrap();
    assert!(!dir(&path).exists(), "the ancestor that was made is removed too");
    again.remove(soon()).unwrap();
    again.kill_all(soon()).unwrap();
}

/// CG-42.
#[test]
fn what_the_container_made_below_is_removed_with_it() {
    let Some(facts) = v2_host("nested") else { return };
    let path = path_of("nested");
    let mut manager = Manager::from_plan(plan(&facts, &path, json!({}))).unwrap();
    manager.prepare().unwrap();
    fs::create_dir_all(dir(&path).join("a/b")).unwrap();
    fs::create_dir(dir(&path).join("c")).unwrap();
    let mut child = shell("sleep 1000");
    fs::write(dir(&path).join("a/b/cgroup.procs"), child.id().to_string()).unwrap();
    assert_eq!(manager.pids().unwrap(), [child.id() as i32]);
    recreated(&manager).remove(soon()).unwrap();
    assert!(!dir(&path).exists());
    child.wait().unwrap();
}

#[test]
fn a_frozen_container_stands_still_and_dies_when_killed() {
    let Some(facts) = v2_host("freeze") else { return };
    let path = path_of("freeze");
    let mut manager = Manager::from_plan(plan(&facts, &path, json!({}))).unwrap();
    manager.prepare().unwrap();
    let mut child = shell("while :; do :; done");
    manager.place(child.id() as i32).unwrap();
    go(&mut child);
    assert!(!manager.is_frozen().unwrap());
    manager.freeze(soon()).unwrap();
    assert!(recreated(&manager).is_frozen().unwrap());
    let ticks = || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
        stat.rsplit(' ').nth(38).map(str::to_owned)
    };
    let before = ticks();
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(ticks(), before);
    manager.thaw(soon()).unwrap();
    assert!(!manager.is_frozen().unwrap());
    manager.freeze(soon()).unwrap();
    manager.remove(soon()).unwrap();
    child.wait().unwrap();
    assert!(!dir(&path).exists());
}

const PROBE: &str = "
for dev in zero kmsg; do
  if (exec 3</dev/$dev) 2>/dev/null; then echo $dev yes; else echo $dev no; fi
done";

/// CG-31.
#[test]
fn device_rules_hold_and_are_replaced_at_once() {
    let Some(facts) = v2_host("devices") else { return };
    let path = path_of("devices");
    let denied = json!({ "devices": [{ "allow": false, "access": "rwm" }] });
    let plan_denied = plan(&facts, &path, denied);
    let mut manager = Manager::from_plan(plan_denied.clone()).unwrap();
    manager.prepare().unwrap();
    assert_eq!(output_inside(&manager, PROBE), "zero yes\nkmsg no\n");
    let allowed = json!({ "devices": [
        { "allow": false, "access": "rwm" },
        { "allow": true, "type": "c", "major": 1, "minor": 11, "access": "r" }
    ] });
    let later = recreated(&manager);
    later.set_devices(&plan(&facts, &format!("{path}-other"), allowed).devices).unwrap();
    assert_eq!(output_inside(&manager, PROBE), "zero yes\nkmsg yes\n");
    let script = "(exec 3>/dev/kmsg) 2>/dev/null && echo yes || echo no";
    assert_eq!(output_inside(&manager, script), "no\n");
    later.set_devices(&plan_denied.devices).unwrap();
    assert_eq!(output_inside(&manager, PROBE), "zero yes\nkmsg no\n");
    let cgroup = fs::File::open(dir(&path)).unwrap();
    assert_eq!(bpf::attached(cgroup.as_fd(), b"cloison_dev").unwrap().len(), 1);
    manager.remove(soon()).unwrap();
}

#[test]
fn a_failed_preparation_leaves_nothing() {
    let Some(facts) = v2_host("failure") else { return };
    let path = path_of("failure");
    let resources = json!({ "unified": { "cgroup.max.depth": "3", "cgroup.nonsense": "1" } });
    let mut manager = Manager::from_plan(plan(&facts, &format!("{path}/a/b"), resources)).unwrap();
    let error = manager.prepare().unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("/linux/resources/unified/cgroup.nonsense: controller cgroup has no "),
        "{error}"
    );
    assert!(!dir(&path).exists());
}

/// CG-4: both have found it empty.
#[test]
fn of_two_containers_one_gets_the_cgroup() {
    let Some(facts) = v2_host("claim") else { return };
    let path = path_of("claim");
    let mut managers =
        [(); 2].map(|()| Manager::from_plan(plan(&facts, &path, json!({}))).unwrap());
    let prepared = managers[0].prepare().unwrap();
    assert!(matches!(managers[1].prepare(), Err(Error::Claimed { .. })));
    drop(prepared);
    prepare_when_free(&mut managers[1]);
    managers[0].remove(soon()).unwrap();
    assert!(!dir(&path).exists());
}

/// CG-12: what one has the kernel make, the other may find said but not yet made.
#[test]
fn two_that_are_first_below_a_cgroup_find_their_files() {
    let Some(facts) = v2_host("first") else { return };
    let controllers = facts.unified.as_ref().map_or(&[][..], |unified| &unified.controllers);
    let limit = match controllers {
        some if some.iter().any(|name| name == "pids") => json!({ "pids": { "limit": 9 } }),
        some if some.iter().any(|name| name == "hugetlb") => {
            json!({ "hugepageLimits": [{ "pageSize": "2MB", "limit": 2 << 20 }] })
        }
        _ => {
            eprintln!("skipped first: neither pids nor hugetlb on cgroup v2 here");
            return;
        }
    };
    for round in 0..100 {
        let parent = format!("{}/{round}", path_of("first"));
        std::thread::scope(|scope| {
            for name in ["a", "b"] {
                let plan = plan(&facts, &format!("{parent}/{name}"), limit.clone());
                scope.spawn(|| {
                    let mut manager = Manager::from_plan(plan).unwrap();
                    let prepared = manager.prepare();
                    manager.remove(soon()).unwrap();
                    prepared.map(drop).unwrap();
                });
            }
        });
        // Whose it was could not remove it beside the other.
        let _ = fs::remove_dir(dir(&parent));
    }
    let _ = fs::remove_dir(dir(&path_of("first")));
    assert!(!dir(&path_of("first")).exists());
}

#[test]
fn a_refused_value_is_named_with_its_file() {
    let Some(facts) = v2_host("refused") else { return };
    let path = path_of("refused");
    let resources = json!({ "unified": { "cgroup.max.depth": "many" } });
    let mut manager = Manager::from_plan(plan(&facts, &path, resources)).unwrap();
    let error = manager.prepare().unwrap_err();
    assert_eq!(
        cloison::error::sentence(&error),
        format!(
            "/linux/resources/unified/cgroup.max.depth: write \"many\" to \
             {MOUNT}{path}/cgroup.max.depth: invalid argument"
        )
    );
    assert!(!dir(&path).exists());
}

/// CG-20.
#[test]
fn an_update_changes_all_or_nothing() {
    let Some(facts) = v2_host("update") else { return };
    let path = path_of("update");
    let start = json!({ "unified": { "cgroup.max.depth": "5" } });
    let mut manager = Manager::from_plan(plan(&facts, &path, start)).unwrap();
    manager.prepare().unwrap();
    let file = || fs::read_to_string(dir(&path).join("cgroup.max.depth")).unwrap();
    let change = |unified: Value| {
        let typed = serde_json::from_value(json!({ "unified": unified })).unwrap();
        let present = recreated(&manager).present().unwrap();
        let resources = Resources { typed: &typed, pids_limit: PidsLimit::Absent, present };
        let change = cloison::plan::cgroup::change(resources, Privilege::Full, &facts).unwrap();
        recreated(&manager).update(&change)
    };
    change(json!({ "cgroup.max.depth": "6" })).unwrap();
    assert_eq!(file(), "6\n");
    let bad = json!({ "cgroup.max.depth": "7", "cgroup.max.descendants": "none" });
    let error = change(bad).unwrap_err();
    assert!(matches!(&error, Error::Write { value, .. } if value == "none"), "{error}");
    assert_eq!(file(), "6\n");
    manager.remove(soon()).unwrap();
}

/// CG-41.
#[test]
fn fork_bombs_end_in_time() {
    let Some(facts) = v2_host("forks") else { return };
    let path = path_of("forks");
    let mut manager = Manager::from_plan(plan(&facts, &path, json!({}))).unwrap();
    manager.prepare().unwrap();
    let mut child = shell("while :; do sleep 1 & done");
    manager.place(child.id() as i32).unwrap();
    go(&mut child);
    std::thread::sleep(Duration::from_millis(30));
    manager.remove(soon()).unwrap();
    child.wait().unwrap();
    assert!(!dir(&path).exists());
}
