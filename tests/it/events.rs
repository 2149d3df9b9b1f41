//! `events`: statistics and OOM kills as engines read them (specs/40-cgroups.md, CG-70 and CG-71).

use serde_json::Value;

use crate::harness::limits::{Hierarchy, where_controllers_are};
use crate::harness::{Bundle, Finished, Outcome, Sandbox, eventually, needs, tests};

tests![
    statistics_are_one_object_on_one_line,
    statistics_count_what_the_container_does,
    statistics_come_at_an_interval_until_the_container_ends,
    without_a_memory_controller_statistics_still_come,
    pressure_is_told,
    interfaces_are_those_of_the_container,
    an_oom_kill_is_told,
    a_stopped_container_has_no_statistics,
    intervals_are_checked,
];

fn has_events() -> Outcome {
    needs::other_than("crun", "has no events")
}

fn objects(text: &str) -> Vec<Value> {
    // The last line may still be on its way.
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

#[track_caller]
fn only(output: &Finished) -> Value {
    assert_eq!(output.stdout.lines().count(), 1, "{output}");
    serde_json::from_str(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output}"))
}

fn statistics_are_one_object_on_one_line() -> Outcome {
    has_events()?;
    let container = Bundle::new().args(&["sleep", "60"]).start();
    let event = only(&container.verb("events", &["--stats"], &[]).ok());
    assert_eq!(
        (event["type"].as_str(), event["id"].as_str()),
        (Some("stats"), Some(container.id()))
    );
    for pointer in [
        "/data/cpu/usage/kernel",
        "/data/cpu/throttling",
        "/data/cpuset/cpu_exclusive",
        "/data/memory/usage/limit",
        "/data/memory/kernelTCP/failcnt",
        "/data/pids",
        "/data/blkio",
        "/data/hugetlb",
        "/data/intel_rdt",
        "/data/network_interfaces",
    ] {
        assert!(event.pointer(pointer).is_some(), "no {pointer} in {event}");
    }
    Ok(())
}

fn statistics_count_what_the_container_does() -> Outcome {
    has_events()?;
    where_controllers_are(&["memory", "cpu", "pids"], |on| {
        let container = Bundle::new()
            .set("/linux/resources/memory/limit", 64 << 20)
            .set("/linux/resources/pids/limit", 20)
            .sh("i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo done; sleep 60")
            .start();
        container.says("done");
        let event = only(&container.verb("events", &["--stats"], &[]).ok());
        let number = |pointer: &str| event.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
        assert_eq!(number("/data/memory/usage/limit"), 64 << 20);
        assert!(number("/data/memory/usage/usage") > 0);
        assert_eq!(number("/data/pids/limit"), 20);
        assert!((1..=2).contains(&number("/data/pids/current")), "{event}");
        assert!(number("/data/cpu/usage/total") > 1_000_000, "{event}");
        assert!(number("/data/memory/raw/pgfault") > 0);
        if needs::cloison().is_ok() {
            let counter = event.pointer("/data/memory/events/oom_kill");
            assert_eq!(counter.and_then(Value::as_u64), Some(0), "{on:?}");
        }
    })
}

fn statistics_come_at_an_interval_until_the_container_ends() -> Outcome {
    has_events()?;
    where_controllers_are(&["memory"], |_| {
        let container = Bundle::new().args(&["sleep", "60"]).start();
        let line = ["events", "--interval", "50ms", container.id()];
        let events = container.bundle().sandbox().runtime(&line).spawn();
        assert!(eventually(|| objects(&events.stdout()).len() >= 3), "{:?}", events.stdout());
        container.kill("KILL");
        container.wait();
        if needs::cloison().is_ok() {
            events.finish().ok();
        } else {
            events.signal(nix::sys::signal::Signal::SIGTERM);
            events.finish();
        }
    })
}

/// CG-71
fn without_a_memory_controller_statistics_still_come() -> Outcome {
    needs::cloison()?;
    if needs::controller("memory").is_ok() {
        return Err(crate::harness::Skip("this machine has a memory controller".to_owned()));
    }
    let container = Bundle::new().args(&["sleep", "60"]).start();
    let line = ["events", "--interval", "50ms", container.id()];
    let events = container.bundle().sandbox().runtime(&line).spawn();
    assert!(eventually(|| objects(&events.stdout()).len() >= 2), "{:?}", events.stdout());
    container.kill("KILL");
    container.wait();
    events.finish().ok().complains("OOM kills are not told");
    Ok(())
}

fn pressure_is_told() -> Outcome {
    needs::cloison()?;
    let container = Bundle::new().args(&["sleep", "60"]).start();
    let readable = std::fs::read_to_string(
        crate::harness::limits::directory(&container, "").join("cpu.pressure"),
    );
    if readable.is_err() {
        return Err(crate::harness::Skip("no pressure is counted here".to_owned()));
    }
    let event = only(&container.verb("events", &["--stats"], &[]).ok());
    for pointer in
        ["/data/cpu/psi/some/avg10", "/data/memory/psi/full/total", "/data/blkio/psi/some/total"]
    {
        assert!(event.pointer(pointer).is_some_and(Value::is_number), "no {pointer} in {event}");
    }
    Ok(())
}

fn interfaces_are_those_of_the_container() -> Outcome {
    needs::root()?;
    needs::cloison()?;
    for bundle in [Bundle::new(), Bundle::new().without_namespace("network")] {
        let container = bundle.args(&["sleep", "60"]).start();
        let event = only(&container.verb("events", &["--stats"], &[]).ok());
        assert_eq!(event["data"]["network_interfaces"], serde_json::json!([]), "loopback is none");
    }
    Ok(())
}

/// CG-71: seen from inside as the end of a process, from outside as an event.
fn an_oom_kill_is_told() -> Outcome {
    has_events()?;
    where_controllers_are(&["memory"], |on| {
        let container = Bundle::new()
            .with_probe()
            .set("/linux/resources/memory", serde_json::json!({"limit": 16 << 20, "swap": 16 << 20}))
            .sh("read go < /go; dd if=/dev/zero of=/dev/null bs=64M count=1; echo status $?; sleep 60")
            .create();
        let pipe = container.bundle().rootfs().join("go");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("make a pipe");
        container.start();
        let line = ["events", "--interval", "100ms", container.id()];
        let events = container.bundle().sandbox().runtime(&line).spawn();
        assert!(eventually(|| !objects(&events.stdout()).is_empty()), "the watch is on");
        std::fs::write(&pipe, "go\n").expect("write");
        container.says("status 137");
        let told = || objects(&events.stdout()).into_iter().find(|event| event["type"] == "oom");
        assert!(eventually(|| told().is_some()), "{:?}: {:?}", on, events.stdout());
        let oom = told().expect("it was there");
        assert_eq!(oom["id"].as_str(), Some(container.id()));
        if needs::cloison().is_ok() && on == Hierarchy::V2 {
            assert_eq!(oom["data"]["memory"]["events"]["oom_kill"], 1);
        }
        container.kill("KILL");
        container.wait();
        if needs::cloison().is_err() {
            events.signal(nix::sys::signal::Signal::SIGTERM);
        }
        events.finish();
    })
}

fn a_stopped_container_has_no_statistics() -> Outcome {
    has_events()?;
    let container = Bundle::new().args(&["true"]).start();
    container.wait();
    container.verb("events", &["--stats"], &[]).refused().complains("not running");
    Sandbox::new().runtime(&["events", "--stats", "nobody"]).finish().refused();
    Ok(())
}

fn intervals_are_checked() -> Outcome {
    has_events()?;
    let container = Bundle::new().args(&["sleep", "60"]).start();
    for interval in ["0s", "5", "soon"] {
        container.verb("events", &["--interval", interval], &[]).refused();
    }
    Ok(())
}
