//! Golden files: what a configuration becomes, as text.
//!
//! Each `cases/NAME.json` holds a merge patch (RFC 7396) on `base.json`, and
//! `cases/NAME.txt` the plan that `explain` prints for it on a host that is the
//! same everywhere, but for what the case says of `host`, `manager` and `uid`. `refusals.json` holds patches that
//! are refused, `refusals.txt` the sentences.
//!
//! `UPDATE_GOLDEN=1 cargo test --test golden` writes the texts anew; what has
//! changed is then for `git diff` to show and for a reader to judge.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use cloison::host::cgroup::{CgroupFacts, Legacy, Unified};
use cloison::host::{Grantable, Host, Privilege};
use cloison::id::ContainerId;
use cloison::plan::cgroup::ManagerChoice;
use cloison::plan::rootfs::Switch;
use cloison::plan::{self, explain};
use cloison::{error, spec};
use serde_json::Value;

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn json(file: &Path) -> Value {
    let text = fs::read(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    serde_json::from_slice(&text).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
}

/// RFC 7396: objects are merged, null removes, all else replaces.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let target = target.as_object_mut().expect("an object");
    for (key, value) in patch {
        if value.is_null() {
            target.remove(key);
        } else {
            merge(target.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

fn patched(patch: &Value) -> Value {
    let mut config = json(&here().join("base.json"));
    merge(&mut config, patch);
    config
}

/// A host that never changes: root, with every capability and controller.
fn host(kind: Option<&str>) -> Host {
    let cgroups = match kind {
        None => CgroupFacts { unified: Some(unified()), legacy: Vec::new() },
        Some("legacy") => CgroupFacts { unified: None, legacy: legacy() },
        Some(other) => panic!("no such host: {other}"),
    };
    Host {
        euid: 0,
        outer_uid: None,
        grantable: Grantable::ALL,
        cgroups,
        selinux: true,
        resctrl: Some("/sys/fs/resctrl".into()),
    }
}

fn unified() -> Unified {
    let controllers = ["cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma", "misc"];
    Unified {
        mount: "/sys/fs/cgroup".into(),
        controllers: controllers.map(str::to_owned).into(),
        own: Some("system.slice/caller.service".to_owned()),
    }
}

fn legacy() -> Vec<Legacy> {
    let names = [
        "cpu,cpuacct",
        "cpuset",
        "memory",
        "devices",
        "freezer",
        "blkio",
        "pids",
        "hugetlb",
        "name=systemd",
    ];
    let hierarchy = |name: &str| Legacy {
        controllers: name.split(',').map(str::to_owned).collect(),
        mount: format!("/sys/fs/cgroup/{}", name.trim_start_matches("name=")).into(),
        own: Some("caller".to_owned()),
    };
    names.map(hierarchy).into()
}

fn manager(name: Option<&str>) -> ManagerChoice {
    match name {
        None => ManagerChoice::Cgroupfs,
        Some("systemd") => ManagerChoice::Systemd,
        Some("disabled") => ManagerChoice::Disabled,
        Some(other) => panic!("no such manager: {other}"),
    }
}

/// The plan as text, or the sentence that refuses it.
fn explained(config: &Value, host: &Host, manager: ManagerChoice) -> Result<String, String> {
    let privilege = match host.euid {
        0 => Privilege::Full,
        uid => Privilege::Confined { uid },
    };
    let loaded = spec::parse(config.to_string().as_bytes()).map_err(|e| error::sentence(&e))?;
    let id: ContainerId = "a".parse().expect("an id");
    let request = plan::Request {
        id: &id,
        bundle: Path::new("/bundle"),
        manager,
        privilege,
        root_switch: Switch::PivotRoot,
        new_keyring: true,
        readiness: None,
        descriptors: plan::Descriptors::default(),
    };
    let plan = plan::resolve(&loaded, &request, host).map_err(|e| error::sentence(&e))?;
    Ok(explain::text(&plan))
}

/// Compares with a golden file, or writes it where that is asked for.
fn check(file: &Path, text: &str) -> Result<(), String> {
    if std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
        fs::write(file, text).expect("write");
        return Ok(());
    }
    let golden = fs::read_to_string(file).unwrap_or_default();
    if golden == text { Ok(()) } else { Err(difference(file, &golden, text)) }
}

/// The lines that are on one side alone.
fn difference(file: &Path, golden: &str, text: &str) -> String {
    let (golden, text): (Vec<&str>, Vec<&str>) = (golden.lines().collect(), text.lines().collect());
    let gone = golden.iter().filter(|line| !text.contains(line)).map(|line| format!("  - {line}"));
    let new = text.iter().filter(|line| !golden.contains(line)).map(|line| format!("  + {line}"));
    let lines: Vec<String> = gone.chain(new).collect();
    let lines = if lines.is_empty() {
        "  the same lines in another order".to_owned()
    } else {
        lines.join("\n")
    };
    format!("{}\n{lines}", file.display())
}

#[track_caller]
fn none(faults: &[String]) {
    let remedy = "UPDATE_GOLDEN=1 cargo test --test golden writes them anew";
    assert!(faults.is_empty(), "\n{}\n\n{remedy}\n", faults.join("\n"));
}

fn files(extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(here().join("cases")).expect("list");
    let paths = entries.map(|entry| entry.expect("entry").path());
    let mut found: Vec<_> =
        paths.filter(|p| p.extension().is_some_and(|e| e == extension)).collect();
    found.sort();
    found
}

#[test]
fn cases_are_explained_as_written() {
    let mut faults = Vec::new();
    for file in files("json") {
        let case = json(&file);
        let manager = manager(case["manager"].as_str());
        let mut host = host(case["host"].as_str());
        host.euid = case["uid"].as_u64().map_or(0, |uid| uid.try_into().expect("a uid"));
        match explained(&patched(&case["config"]), &host, manager) {
            Ok(text) => faults.extend(check(&file.with_extension("txt"), &text).err()),
            Err(sentence) => faults.push(format!("{}\n  refused: {sentence}", file.display())),
        }
    }
    none(&faults);
}

#[test]
fn refusals_are_worded_as_written() {
    let patches: BTreeMap<String, Value> =
        serde_json::from_value(json(&here().join("refusals.json"))).expect("an object");
    let mut text = String::new();
    for (name, patch) in patches {
        let said = match explained(&patched(&patch), &host(None), ManagerChoice::Cgroupfs) {
            Ok(_) => "is not refused".to_owned(),
            Err(sentence) => sentence,
        };
        text.push_str(&format!("{name}\n    {said}\n"));
    }
    none(&Vec::from_iter(check(&here().join("refusals.txt"), &text).err()));
}

#[test]
fn every_text_has_its_case() {
    let lost = files("txt").into_iter().filter(|file| !file.with_extension("json").exists());
    none(&lost.map(|file| format!("{} has no case", file.display())).collect::<Vec<_>>());
}
