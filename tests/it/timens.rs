//! `timens`: clocks of the container's own (config-linux.md, "Namespaces" and
//! "timeOffsets"; time_namespaces(7)).

use std::fs;

use serde_json::json;

use crate::harness::{Bundle, Container, Outcome, Skip, needs, tests};

tests![
    a_new_time_namespace_is_not_the_hosts,
    clocks_are_ahead_by_their_offsets,
    clocks_may_be_behind,
    clocks_are_set_in_a_user_namespace,
    an_existing_time_namespace_is_joined,
    the_hooks_see_the_hosts_clocks,
    offsets_without_a_new_namespace_are_refused,
    a_clock_that_would_run_below_zero_is_an_error,
];

const DAY: i64 = 86_400;

/// Needs a kernel and a runtime that know time namespaces.
fn known() -> Result<(), Skip> {
    needs::since("runc", "1.2", "knows time namespaces")?;
    needs::other_than("crun", "fails to join one, and to write its offsets")?;
    needs::path("/proc/self/ns/time")
}

fn in_time_namespace(bundle: Bundle) -> Bundle {
    bundle.push("/linux/namespaces", json!({"type": "time"}))
}

fn uptime(text: &str) -> i64 {
    let seconds = text.split('.').next().and_then(|digits| digits.parse().ok());
    seconds.unwrap_or_else(|| panic!("{text:?} is no /proc/uptime"))
}

fn uptime_here() -> i64 {
    uptime(&fs::read_to_string("/proc/uptime").unwrap())
}

fn namespace_of(pid: i32) -> String {
    fs::read_link(format!("/proc/{pid}/ns/time")).unwrap().display().to_string()
}

#[track_caller]
fn ahead(container: &str, offset: i64) {
    let off = uptime(container) - uptime_here() - offset;
    assert!(off.abs() <= 30, "{container} here {}", uptime_here());
}

fn a_new_time_namespace_is_not_the_hosts() -> Outcome {
    known()?;
    let container = in_time_namespace(Bundle::new().args(&["sleep", "100"])).start();
    assert_ne!(namespace_of(container.pid), namespace_of(std::process::id().cast_signed()));
    ahead(&in_time_namespace(Bundle::new().args(&["cat", "/proc/uptime"])).output(), 0);
    Ok(())
}

/// NS-4
fn clocks_are_ahead_by_their_offsets() -> Outcome {
    known()?;
    let bundle = in_time_namespace(Bundle::new().args(&["cat", "/proc/uptime"])).set(
        "/linux/timeOffsets",
        json!({"boottime": {"secs": 30 * DAY, "nanosecs": 5}, "monotonic": {"secs": 7}}),
    );
    ahead(&bundle.output(), 30 * DAY);
    let offsets = bundle.args(&["cat", "/proc/self/timens_offsets"]).output();
    let fields: Vec<Vec<&str>> =
        offsets.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(fields, [["monotonic", "7", "0"], ["boottime", "2592000", "5"]]);
    Ok(())
}

/// More than [`ahead`] lets pass, and less than the machine has been up: no clock may show a time
/// before 0.
const BEHIND: i64 = 40;

fn clocks_may_be_behind() -> Outcome {
    known()?;
    let bundle = in_time_namespace(Bundle::new().args(&["cat", "/proc/uptime"]));
    ahead(
        &bundle.set("/linux/timeOffsets", json!({"boottime": {"secs": -BEHIND}})).output(),
        -BEHIND,
    );
    Ok(())
}

fn clocks_are_set_in_a_user_namespace() -> Outcome {
    known()?;
    let bundle = in_time_namespace(Bundle::new().args(&["cat", "/proc/uptime"]))
        .in_user_namespace(100_000)
        .set("/linux/timeOffsets", json!({"boottime": {"secs": DAY}}));
    ahead(&bundle.output(), DAY);
    Ok(())
}

fn an_existing_time_namespace_is_joined() -> Outcome {
    needs::root()?;
    known()?;
    let first: Container = in_time_namespace(Bundle::new().args(&["sleep", "100"]))
        .set("/linux/timeOffsets", json!({"boottime": {"secs": DAY}}))
        .start();
    let path = format!("/proc/{}/ns/time", first.pid);
    let joining = |bundle: Bundle| bundle.join_namespace("time", &path);
    ahead(&joining(Bundle::new().args(&["cat", "/proc/uptime"])).output(), DAY);
    let offsets = json!({"boottime": {"secs": 1}});
    joining(Bundle::new()).set("/linux/timeOffsets", offsets).is_refused();
    Ok(())
}

fn the_hooks_see_the_hosts_clocks() -> Outcome {
    known()?;
    let bundle = in_time_namespace(Bundle::new())
        .set("/linux/timeOffsets", json!({"boottime": {"secs": DAY}}));
    let seen = bundle.host_dir("seen").join("uptime");
    let bundle = bundle.hook("createRuntime", &format!("cat /proc/uptime >{}", seen.display()));
    bundle.output();
    ahead(&fs::read_to_string(seen).unwrap(), 0);
    Ok(())
}

fn offsets_without_a_new_namespace_are_refused() -> Outcome {
    needs::cloison()?;
    let offsets = json!({"boottime": {"secs": 1}});
    Bundle::new()
        .set("/linux/timeOffsets", offsets)
        .is_refused()
        .complains("/linux/timeOffsets: needs a new time namespace");
    Ok(())
}

fn a_clock_that_would_run_below_zero_is_an_error() -> Outcome {
    known()?;
    let refusal = in_time_namespace(Bundle::new())
        .set("/linux/timeOffsets", json!({"monotonic": {"secs": -1_000_000_000}}))
        .is_refused();
    needs::cloison()?;
    refusal.complains("/linux/timeOffsets: set the clocks");
    Ok(())
}
