//! What the tests of cgroups have in common, whichever version of the kernel's they look at.

use cloison::cgroup::{CgroupRecord, Error, Manager};
use cloison::host::Privilege;
use cloison::host::cgroup::CgroupFacts;
use cloison::plan::cgroup::{CgroupPlan, ManagerChoice, PidsLimit, Request, resolve};
use oci_spec::runtime::Spec;
use serde_json::{Value, json};
use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub fn plan(facts: &CgroupFacts, path: &str, pids: PidsLimit, resources: Value) -> CgroupPlan {
    let spec: Spec = serde_json::from_value(json!({
        "ociVersion": "1.3.0",
        "linux": { "cgroupsPath": path, "resources": resources }
    }))
    .unwrap();
    let request = Request {
        id: "test",
        manager: ManagerChoice::Cgroupfs,
        privilege: Privilege::Full,
        pids_limit: pids,
        facts,
    };
    resolve(&spec, &request).unwrap()
}

/// A cgroup path that no other test and no other run uses.
pub fn path_of(test: &str) -> String {
    format!("/cloison-test-{}-{test}", std::process::id())
}

pub fn soon() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

/// A shell that waits for a line before it runs `script`.
pub fn shell(script: &str) -> Child {
    Command::new("sh")
        .args(["-c", &format!("read line; {script}")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("run sh")
}

pub fn go(child: &mut Child) {
    child.stdin.take().unwrap().write_all(b"go\n").unwrap();
}

/// What a script prints when it runs in the cgroup.
pub fn output_inside(manager: &Manager, script: &str) -> String {
    let mut child = shell(script);
    manager.place(child.id() as i32).unwrap();
    go(&mut child);
    let output = child.wait_with_output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// Another manager for the same cgroup, by way of the record's text.
pub fn recreated(manager: &Manager) -> Manager {
    let text = serde_json::to_string(&manager.record()).unwrap();
    let record: CgroupRecord = serde_json::from_str(&text).unwrap();
    Manager::from_record(record).unwrap()
}

/// Prepares a cgroup whose claim was just given up: a child of another test may hold the lock
/// until it executes its program.
pub fn prepare_when_free(manager: &mut Manager) {
    let late = soon();
    while let Err(error) = manager.prepare() {
        assert!(matches!(error, Error::Claimed { .. }) && Instant::now() < late, "{error}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
