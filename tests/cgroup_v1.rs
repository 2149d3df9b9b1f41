//! Cgroups of this host's legacy hierarchies, as root; skipped where there are none.
#![cfg(feature = "cgroup-v1")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod cgroup_tools;

use cgroup_tools::{go, output_inside, path_of, plan, prepare_when_free, recreated, shell, soon};
use cloison::cgroup::{Error, Manager, Placement};
use cloison::host::Privilege;
use cloison::host::cgroup::{CgroupFacts, Own};
use cloison::plan::cgroup::{PidsLimit, Resources};
use cloison::sys::process;
use serde_json::json;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

fn v1_host(test: &str) -> Option<CgroupFacts> {
    let facts = CgroupFacts::probe(Own::Read).expect("probe");
    if process::geteuid() != 0 || facts.legacy.is_empty() {
        eprintln!("skipped {test}: needs root and cgroup v1 hierarchies");
        return None;
    }
    Some(facts)
}

/// The directory of a cgroup in the hierarchy of one controller.
fn dir(facts: &CgroupFacts, controller: &str, path: &str) -> Option<PathBuf> {
    let hierarchy = facts.legacy.iter().find(|l| l.controllers.iter().any(|c| c == controller))?;
    Some(hierarchy.mount.join(path.trim_start_matches('/')))
}

fn everywhere(facts: &CgroupFacts, path: &str) -> Vec<PathBuf> {
    let mut mounts: Vec<_> = facts.legacy.iter().map(|l| l.mount.clone()).collect();
    mounts.extend(facts.unified.as_ref().map(|u| u.mount.clone()));
    mounts.into_iter().map(|mount| mount.join(path.trim_start_matches('/'))).collect()
}

fn assert_gone(facts: &CgroupFacts, path: &str) {
    for dir in everywhere(facts, path) {
        assert!(!dir.exists(), "{} is left", dir.display());
    }
}

/// CG-40.
#[test]
fn a_container_is_limited_placed_killed_and_removed() {
    let Some(facts) = v1_host("life") else { return };
    let path = path_of("life");
    let resources = json!({
        "memory": { "limit": 67108864 },
        "cpu": { "shares": 512, "quota": 50000, "period": 100000 }
    });
    let plan = |resources| plan(&facts, &format!("{path}/in"), PidsLimit::Said(20), resources);
    let mut manager = Manager::from_plan(plan(resources)).unwrap();
    assert_gone(&facts, &path);
    let prepared = manager.prepare().unwrap();
    assert_eq!(prepared.placement, Placement::AfterClone);
    for (controller, file, text) in [
        ("memory", "memory.limit_in_bytes", "67108864\n"),
        ("cpu", "cpu.cfs_quota_us", "50000\n"),
        ("cpu", "cpu.shares", "512\n"),
        ("pids", "pids.max", "20\n"),
    ] {
        if let Some(dir) = dir(&facts, controller, &path) {
            assert_eq!(fs::read_to_string(dir.join("in").join(file)).unwrap(), text, "{file}");
        }
    }
    let mut child = shell("sleep 1000 & sleep 1000");
    manager.place(child.id() as i32).unwrap();
    go(&mut child);
    let own = fs::read_to_string(format!("/proc/{}/cgroup", child.id())).unwrap();
    let expected = facts.legacy.len() + usize::from(facts.unified.is_some());
    assert_eq!(own.lines().filter(|line| line.ends_with(&format!("{path}/in"))).count(), expected);
    let error = Manager::from_plan(plan(json!({}))).unwrap_err();
    assert!(matches!(error, Error::Occupied { .. }), "{error}");
    let again = recreated(&manager);
    again.kill_all(soon()).unwrap();
    child.wait().unwrap();
    assert!(again.pids().unwrap().is_empty());
    again.remove(soon()).unwrap();
    assert_gone(&facts, &path);
    again.remove(soon()).unwrap();
}

#[test]
fn remove_kills_and_takes_child_cgroups_along() {
    let Some(facts) = v1_host("nested") else { return };
    let path = path_of("nested");
    let mut manager =
        Manager::from_plan(plan(&facts, &path, PidsLimit::Absent, json!({}))).unwrap();
    manager.prepare().unwrap();
    let mut child = shell("while :; do sleep 1 & done");
    manager.place(child.id() as i32).unwrap();
    for dir in everywhere(&facts, &path) {
        fs::create_dir_all(dir.join("a/b")).unwrap();
    }
    if let Some(dir) = dir(&facts, "memory", &path) {
        fs::write(dir.join("a/b/cgroup.procs"), child.id().to_string()).unwrap();
    }
    go(&mut child);
    std::thread::sleep(Duration::from_millis(30));
    recreated(&manager).remove(soon()).unwrap();
    child.wait().unwrap();
    assert_gone(&facts, &path);
}

#[test]
fn freezing_and_thawing() {
    let Some(facts) = v1_host("freeze") else { return };
    let path = path_of("freeze");
    let plan = plan(&facts, &path, PidsLimit::Absent, json!({}));
    let mut manager = Manager::from_plan(plan).unwrap();
    manager.prepare().unwrap();
    let mut child = shell("while :; do :; done");
    manager.place(child.id() as i32).unwrap();
    go(&mut child);
    assert!(!manager.is_frozen().unwrap());
    manager.freeze(soon()).unwrap();
    assert!(recreated(&manager).is_frozen().unwrap());
    manager.thaw(soon()).unwrap();
    assert!(!manager.is_frozen().unwrap());
    manager.freeze(soon()).unwrap();
    manager.remove(soon()).unwrap();
    child.wait().unwrap();
    assert_gone(&facts, &path);
}

/// CG-31.
#[test]
fn device_rules_hold_and_change() {
    let Some(facts) = v1_host("devices") else { return };
    let path = path_of("devices");
    let probe = "for dev in zero kmsg; do
        if (exec 3</dev/$dev) 2>/dev/null; then echo $dev yes; else echo $dev no; fi
    done";
    let denied = json!({ "devices": [{ "allow": false, "access": "rwm" }] });
    let denied = plan(&facts, &path, PidsLimit::Absent, denied);
    let mut manager = Manager::from_plan(denied.clone()).unwrap();
    manager.prepare().unwrap();
    assert_eq!(output_inside(&manager, probe), "zero yes\nkmsg no\n");
    let allowed = json!({ "devices": [
        { "allow": false, "access": "rwm" },
        { "allow": true, "type": "c", "major": 1, "minor": 11, "access": "r" }
    ] });
    let allowed = plan(&facts, &format!("{path}-other"), PidsLimit::Absent, allowed);
    recreated(&manager).set_devices(&allowed.devices).unwrap();
    assert_eq!(output_inside(&manager, probe), "zero yes\nkmsg yes\n");
    recreated(&manager).set_devices(&denied.devices).unwrap();
    assert_eq!(output_inside(&manager, probe), "zero yes\nkmsg no\n");
    manager.remove(soon()).unwrap();
    assert_gone(&facts, &path);
}

/// CG-19, CG-20.
#[test]
fn limits_rise_and_fall_together_and_all_or_nothing() {
    let Some(facts) = v1_host("update") else { return };
    let Some(memory) = dir(&facts, "memory", &path_of("update")) else {
        eprintln!("skipped update: no memory hierarchy");
        return;
    };
    let path = path_of("update");
    let start = json!({ "memory": { "limit": 67108864, "swap": 134217728 } });
    let mut manager = Manager::from_plan(plan(&facts, &path, PidsLimit::Absent, start)).unwrap();
    manager.prepare().unwrap();
    let read = |file: &str| fs::read_to_string(memory.join(file)).unwrap();
    let limits = || (read("memory.limit_in_bytes"), read("memory.memsw.limit_in_bytes"));
    let update = |limit: i64, swap: i64, pids: PidsLimit| {
        let typed = json!({ "memory": { "limit": limit, "swap": swap } });
        let typed = serde_json::from_value(typed).unwrap();
        let present = recreated(&manager).present().unwrap();
        let resources = Resources { typed: &typed, pids_limit: pids, present };
        let change = cloison::plan::cgroup::change(resources, Privilege::Full, &facts).unwrap();
        recreated(&manager).update(&change)
    };
    update(268435456, 536870912, PidsLimit::Absent).unwrap();
    assert_eq!(limits(), ("268435456\n".into(), "536870912\n".into()));
    update(33554432, 33554432, PidsLimit::Absent).unwrap();
    assert_eq!(limits(), ("33554432\n".into(), "33554432\n".into()));
    // More pids than any kernel numbers: the last write fails, the first ones are taken back.
    update(67108864, 134217728, PidsLimit::Said(i64::MAX)).unwrap_err();
    assert_eq!(limits(), ("33554432\n".into(), "33554432\n".into()));
    manager.remove(soon()).unwrap();
    assert_gone(&facts, &path);
}

#[test]
fn a_failed_preparation_leaves_nothing() {
    let Some(facts) = v1_host("failure") else { return };
    let path = path_of("failure");
    let resources = json!({ "cpu": { "quota": 5, "period": 100000 } });
    let plan = plan(&facts, &format!("{path}/x"), PidsLimit::Absent, resources);
    let mut manager = Manager::from_plan(plan).unwrap();
    let error = manager.prepare().unwrap_err().to_string();
    assert!(error.starts_with("/linux/resources/cpu/quota: write \"5\" to "), "{error}");
    assert_gone(&facts, &path);
}

/// CG-4: both have found it empty, in every hierarchy.
#[test]
fn of_two_containers_one_gets_the_cgroup() {
    let Some(facts) = v1_host("claim") else { return };
    // As on a host that mounts no v2 hierarchy: there only the v1 ones can be claimed.
    let facts = CgroupFacts { unified: None, ..facts };
    let path = path_of("claim");
    let mut managers = [(); 2]
        .map(|()| Manager::from_plan(plan(&facts, &path, PidsLimit::Absent, json!({}))).unwrap());
    let prepared = managers[0].prepare().unwrap();
    assert!(matches!(managers[1].prepare(), Err(Error::Claimed { .. })));
    for dir in everywhere(&facts, &path) {
        assert!(dir.exists(), "{} was taken away", dir.display());
    }
    drop(prepared);
    prepare_when_free(&mut managers[1]);
    managers[0].remove(soon()).unwrap();
    assert_gone(&facts, &path);
}
