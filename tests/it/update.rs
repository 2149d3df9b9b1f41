//! `update`: limits of a container that exists (specs/40-cgroups.md, UPD).

use serde_json::json;

use crate::harness::limits::{Hierarchy, directory, where_controllers_are};
use crate::harness::{Bundle, Container, Outcome, Sandbox, needs, tests};

tests![
    options_change_limits,
    what_is_not_named_stays,
    memory_and_swap_rise_and_fall,
    minus_one_takes_a_limit_away,
    a_file_and_standard_input_are_read,
    created_and_paused_containers_are_updated,
    a_failed_update_changes_nothing,
    a_failed_update_of_files_changes_nothing,
    a_broken_document_changes_nothing,
    zero_is_a_limit_on_tasks,
    device_rules_are_replaced,
    kernel_memory_is_warned_of,
    schemas_without_rdt_are_an_error,
    a_file_and_options_exclude_each_other,
    a_stopped_container_is_not_updated,
    an_update_of_nothing_succeeds,
];

const QUOTA: (&str, &str) = ("cpu", "cpu.cfs_quota_us");
const PERIOD: (&str, &str) = ("cpu", "cpu.cfs_period_us");
const MEMORY: (&str, &str) = ("memory", "memory.limit_in_bytes");
const TASKS: (&str, &str) = ("pids", "pids.max");

fn sleeping() -> Bundle {
    Bundle::new().args(&["sleep", "60"])
}

/// Quota and period.
#[track_caller]
fn bandwidth(container: &Container, on: Hierarchy) -> String {
    match on {
        Hierarchy::V2 => on.read(container, "cpu.max", QUOTA),
        Hierarchy::V1 => [QUOTA, PERIOD].map(|file| on.read(container, "cpu.max", file)).join(" "),
    }
}

fn options_change_limits() -> Outcome {
    needs::other_than("crun", "takes no units")?;
    where_controllers_are(&["memory", "cpu", "pids"], |on| {
        let container = sleeping().start();
        let options = [
            "--memory",
            "64M",
            "--pids-limit",
            "20",
            "--cpu-quota",
            "50000",
            "--cpu-period",
            "100000",
            "--cpu-share",
            "2048",
        ];
        let done = container.verb("update", &options, &[]).ok();
        assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("", ""), "update is silent");
        assert_eq!(on.read(&container, "memory.max", MEMORY), "67108864");
        assert_eq!(on.read(&container, "pids.max", TASKS), "20");
        assert_eq!(bandwidth(&container, on), "50000 100000");
        if on == Hierarchy::V1 {
            assert_eq!(on.read(&container, "", ("cpu", "cpu.shares")), "2048");
        }
    })
}

/// UPD-2: whoever names one number of a file does not change the other.
fn what_is_not_named_stays() -> Outcome {
    needs::other_than("crun", "writes quota and period anew")?;
    where_controllers_are(&["cpu", "pids"], |on| {
        let container = sleeping()
            .set("/linux/resources/cpu", json!({"quota": 40000, "period": 80000}))
            .set("/linux/resources/pids/limit", 33)
            .start();
        container.verb("update", &["--cpu-period", "100000"], &[]).ok();
        assert_eq!(bandwidth(&container, on), "40000 100000");
        container.verb("update", &["--cpu-quota", "30000"], &[]).ok();
        assert_eq!(bandwidth(&container, on), "30000 100000");
        assert_eq!(on.read(&container, "pids.max", TASKS), "33");
    })
}

fn memory_and_swap_rise_and_fall() -> Outcome {
    needs::other_than("crun", "takes no units")?;
    where_controllers_are(&["memory"], |on| {
        let container = sleeping().set("/linux/resources/memory/limit", 64 << 20).start();
        for (memory, swap) in [("256M", "512M"), ("32M", "48M"), ("128M", "128M")] {
            container.verb("update", &["--memory", memory, "--memory-swap", swap], &[]).ok();
            let bytes = |text: &str| text.trim_end_matches('M').parse::<u64>().unwrap() << 20;
            let (memory, swap) = (bytes(memory), bytes(swap));
            assert_eq!(on.read(&container, "memory.max", MEMORY), memory.to_string());
            let both = ("memory", "memory.memsw.limit_in_bytes");
            let expected = if on == Hierarchy::V2 { swap - memory } else { swap };
            assert_eq!(on.read(&container, "memory.swap.max", both), expected.to_string());
        }
    })
}

fn minus_one_takes_a_limit_away() -> Outcome {
    needs::other_than("crun", "does nothing for a quota of -1")?;
    where_controllers_are(&["cpu", "pids"], |on| {
        let container = sleeping()
            .set("/linux/resources/cpu", json!({"quota": 40000, "period": 80000}))
            .set("/linux/resources/pids/limit", 33)
            .start();
        container.verb("update", &["--cpu-quota", "-1", "--pids-limit", "-1"], &[]).ok();
        let none = if on == Hierarchy::V2 { "max 80000" } else { "-1 80000" };
        assert_eq!(bandwidth(&container, on), none);
        assert_eq!(on.read(&container, "pids.max", TASKS), "max");
    })
}

/// As containerd, Docker and CRI-O update.
fn a_file_and_standard_input_are_read() -> Outcome {
    where_controllers_are(&["pids"], |on| {
        let container = sleeping().start();
        let sandbox = container.bundle().sandbox();
        let limits = |n: u32| json!({"pids": {"limit": n}}).to_string();
        let line = ["update", "--resources=-", container.id()];
        sandbox.runtime(&line).input(&limits(21)).finish().ok();
        assert_eq!(on.read(&container, "pids.max", TASKS), "21");
        let file = sandbox.path().join("limits.json");
        std::fs::write(&file, limits(22)).expect("write");
        container.verb("update", &["-r", file.to_str().expect("utf-8")], &[]).ok();
        assert_eq!(on.read(&container, "pids.max", TASKS), "22");
    })
}

fn created_and_paused_containers_are_updated() -> Outcome {
    where_controllers_are(&["pids"], |on| {
        let container = sleeping().create();
        container.verb("update", &["--pids-limit", "21"], &[]).ok();
        assert_eq!(on.read(&container, "pids.max", TASKS), "21");
        container.start();
        container.verb("pause", &[], &[]).ok();
        container.verb("update", &["--pids-limit", "22"], &[]).ok();
        assert_eq!(on.read(&container, "pids.max", TASKS), "22");
        assert_eq!(container.status(), "paused");
    })
}

/// CG-20: the kernel takes the first value and refuses the second.
fn a_failed_update_changes_nothing() -> Outcome {
    needs::cloison()?;
    where_controllers_are(&["memory", "pids"], |on| {
        let container = sleeping().set("/linux/resources/memory/limit", 64 << 20).start();
        let tasks = on.read(&container, "pids.max", TASKS);
        let options = ["--memory", "128M", "--pids-limit", "999999999999"];
        let refusal = container.verb("update", &options, &[]).refused();
        refusal.complains("/linux/resources/pids/limit");
        assert_eq!(on.read(&container, "memory.max", MEMORY), "67108864");
        assert_eq!(on.read(&container, "pids.max", TASKS), tasks);
    })
}

/// CG-20, with files that every v2 cgroup has.
fn a_failed_update_of_files_changes_nothing() -> Outcome {
    needs::cloison()?;
    let container = sleeping().start();
    let update = |unified: serde_json::Value| {
        let line = ["update", "--resources", "-", container.id()];
        let text = json!({"unified": unified}).to_string();
        container.bundle().sandbox().runtime(&line).input(&text).finish()
    };
    let depth = || Hierarchy::V2.read(&container, "cgroup.max.depth", ("", ""));
    update(json!({"cgroup.max.depth": "5"})).ok();
    assert_eq!(depth(), "5");
    let bad = json!({"cgroup.max.depth": "6", "cgroup.max.descendants": "many"});
    update(bad).refused().complains("/linux/resources/unified/cgroup.max.descendants");
    assert_eq!(depth(), "5");
    Ok(())
}

fn a_broken_document_changes_nothing() -> Outcome {
    needs::other_than("crun", "takes an empty document for no limits")?;
    let container = sleeping().start();
    for text in ["", "{", "[]", "{\"cpu\": {\"shares\": \"x\"}}"] {
        let line = ["update", "-r", "-", container.id()];
        container.bundle().sandbox().runtime(&line).input(text).finish().refused();
    }
    container.verb("update", &["-r", "/nonexistent"], &[]).refused();
    assert_eq!(container.status(), "running");
    Ok(())
}

fn zero_is_a_limit_on_tasks() -> Outcome {
    needs::cloison()?;
    where_controllers_are(&["pids"], |on| {
        let container = sleeping().start();
        container.verb("update", &["--pids-limit", "0"], &[]).ok();
        assert_eq!(on.read(&container, "pids.max", TASKS), "0");
    })
}

/// Tells, again and again, whether a device can be opened.
const TRY: &str = "while :; do
    if (exec 3</dev/probe) 2>/dev/null; then echo open; else echo shut; fi; sleep 0.05
done";

/// UPD-4
fn device_rules_are_replaced() -> Outcome {
    needs::root()?;
    needs::cloison()?;
    let rule =
        |allow: bool| json!({"allow": allow, "type": "c", "major": 1, "minor": 11, "access": "r"});
    let container = Bundle::new()
        .push("/linux/devices", json!({"path": "/dev/probe", "type": "c", "major": 1, "minor": 11}))
        .set("/linux/resources/devices", json!([{"allow": false, "access": "rwm"}]))
        .push("/process/capabilities/bounding", "CAP_SYSLOG")
        .push("/process/capabilities/permitted", "CAP_SYSLOG")
        .push("/process/capabilities/effective", "CAP_SYSLOG")
        .sh(TRY)
        .start();
    container.says("shut");
    let update = |devices: serde_json::Value| {
        let line = ["update", "-r", "-", container.id()];
        let text = json!({"devices": devices}).to_string();
        container.bundle().sandbox().runtime(&line).input(&text).finish()
    };
    update(json!([])).ok();
    update(json!([{"allow": false, "access": "rwm"}, rule(true)])).ok();
    container.says("open");
    update(json!([{"allow": false, "access": "rwx"}])).refused();
    update(json!([{"allow": false, "access": "rwm"}, rule(false)])).ok();
    container.says("open\nshut");
    Ok(())
}

fn kernel_memory_is_warned_of() -> Outcome {
    needs::cloison()?;
    let container = sleeping().start();
    for option in ["--kernel-memory", "--kernel-memory-tcp"] {
        container.verb("update", &[option, "1M"], &[]).ok().complains("ignored");
    }
    Ok(())
}

fn schemas_without_rdt_are_an_error() -> Outcome {
    needs::other_than("crun", "says nothing")?;
    let container = sleeping().start();
    container.verb("update", &["--l3-cache-schema", "L3:0=f"], &[]).refused();
    container.verb("update", &["--mem-bw-schema", "MB:0=50"], &[]).refused();
    Ok(())
}

fn a_file_and_options_exclude_each_other() -> Outcome {
    needs::cloison()?;
    let container = sleeping().start();
    container.verb("update", &["-r", "-", "--pids-limit", "3"], &[]).refused();
    Ok(())
}

fn a_stopped_container_is_not_updated() -> Outcome {
    needs::other_than("crun", "takes it for done")?;
    let container = Bundle::new().args(&["true"]).start();
    container.wait();
    let refusal = container.verb("update", &["--cpu-share", "512"], &[]).refused();
    if needs::cloison().is_ok() {
        refusal.complains("container not running");
    }
    Sandbox::new().runtime(&["update", "--cpu-share", "512", "nobody"]).finish().refused();
    Ok(())
}

fn an_update_of_nothing_succeeds() -> Outcome {
    let container = sleeping().start();
    container.verb("update", &[], &[]).ok();
    assert!(directory(&container, "").exists());
    Ok(())
}
