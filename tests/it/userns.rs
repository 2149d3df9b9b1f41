//! `userns`: ids of the container's own (config-linux.md, "User namespace
//! mappings"; user_namespaces(7)).

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use crate::harness::{Bundle, Outcome, needs, tests};

tests![
    ids_are_mapped,
    many_ranges_are_mapped,
    neighbouring_ranges_are_joined_where_they_are_too_many,
    everything_in_the_container_is_owned_by_its_root,
    the_oom_score_is_set,
    hard_limits_rise,
    the_host_keeps_its_ids,
    binds_come_from_where_only_the_caller_may_look,
    an_existing_user_namespace_is_joined,
    ids_that_are_not_mapped_are_refused_by_name,
];

const FIRST: u32 = 100_000;

/// NS-5
fn ids_are_mapped() -> Outcome {
    let bundle = Bundle::new().in_user_namespace(FIRST);
    let map = bundle.args(&["cat", "/proc/self/uid_map", "/proc/self/gid_map"]).lines();
    assert_eq!(map.len(), 2);
    for line in map {
        let fields: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(fields, ["0", "100000", "65536"]);
    }
    Ok(())
}

fn many_ranges_are_mapped() -> Outcome {
    // Root and the group of terminals, then ranges as scattered and as short as can be: the
    // kernel takes less than 4096 bytes.
    let ranges: Vec<_> = (0..340)
        .map(|n| match n {
            0 => json!({"containerID": 0, "hostID": FIRST, "size": 100}),
            n => json!({"containerID": 99 + n, "hostID": 2 * n, "size": 1}),
        })
        .collect();
    let bundle = Bundle::new()
        .in_user_namespace(FIRST)
        .set("/linux/uidMappings", ranges.clone())
        .set("/linux/gidMappings", ranges);
    assert_eq!(bundle.args(&["wc", "-l", "/proc/self/uid_map"]).output(), "340 /proc/self/uid_map");
    Ok(())
}

/// NS-5
fn neighbouring_ranges_are_joined_where_they_are_too_many() -> Outcome {
    needs::cloison()?;
    let ranges: Vec<_> =
        (0..400).map(|n| json!({"containerID": n, "hostID": FIRST + n, "size": 1})).collect();
    let bundle = Bundle::new()
        .in_user_namespace(FIRST)
        .set("/linux/uidMappings", ranges.clone())
        .set("/linux/gidMappings", ranges);
    let map = bundle.args(&["cat", "/proc/self/uid_map"]).output();
    assert_eq!(map.split_whitespace().collect::<Vec<_>>(), ["0", &FIRST.to_string(), "400"]);
    Ok(())
}

fn everything_in_the_container_is_owned_by_its_root() -> Outcome {
    let bundle = Bundle::new().in_user_namespace(FIRST);
    let owners = bundle
        .args(&["stat", "-c", "%u %n", "/dev/mqueue", "/sys/class/net/lo/", "/dev/pts"])
        .output();
    assert_eq!(owners.lines().count(), 3, "{owners}");
    for line in owners.lines() {
        assert!(line.starts_with("0 "), "{owners}");
    }
    Ok(())
}

fn the_oom_score_is_set() -> Outcome {
    let bundle = Bundle::new().in_user_namespace(FIRST).set("/process/oomScoreAdj", 321);
    assert_eq!(bundle.args(&["cat", "/proc/self/oom_score_adj"]).output(), "321");
    Ok(())
}

/// NS-5. Engines ask for higher limits than they have themselves; inside nobody may raise any.
fn hard_limits_rise() -> Outcome {
    needs::sys_resource()?;
    let limits = fs::read_to_string("/proc/self/limits").unwrap();
    let own = limits.lines().find_map(|line| line.strip_prefix("Max msgqueue size")).unwrap();
    let own: u64 = own.split_whitespace().nth(1).unwrap().parse().unwrap();
    let limit = json!({"type": "RLIMIT_MSGQUEUE", "soft": own + 1, "hard": own + 2});
    let first = Bundle::new().in_user_namespace(FIRST).push("/process/rlimits", limit.clone());
    let first = first.args(&["sleep", "100"]).start();
    let joining = Bundle::in_sandbox(first.bundle().sandbox(), "b")
        .in_user_namespace(FIRST)
        .unset("/linux/uidMappings")
        .unset("/linux/gidMappings")
        .join_namespace("user", &format!("/proc/{}/ns/user", first.pid))
        .push("/process/rlimits", limit)
        .args(&["cat", "/proc/self/limits"]);
    let wanted = [(own + 1).to_string(), (own + 2).to_string()];
    let of_first = fs::read_to_string(format!("/proc/{}/limits", first.pid)).unwrap();
    for limits in [of_first, joining.output()] {
        let line = limits.lines().find(|line| line.starts_with("Max msgqueue size")).unwrap();
        assert_eq!(line.split_whitespace().skip(3).take(2).collect::<Vec<_>>(), wanted);
    }
    Ok(())
}

fn the_host_keeps_its_ids() -> Outcome {
    let container = Bundle::new().in_user_namespace(FIRST).args(&["sleep", "100"]).start();
    let status = fs::read_to_string(format!("/proc/{}/status", container.pid)).unwrap();
    let uids = status.lines().find(|line| line.starts_with("Uid:")).unwrap().to_owned();
    assert_eq!(
        uids.split_whitespace().collect::<Vec<_>>(),
        ["Uid:", "100000", "100000", "100000", "100000"]
    );
    Ok(())
}

fn binds_come_from_where_only_the_caller_may_look() -> Outcome {
    let bundle = Bundle::new().in_user_namespace(FIRST);
    let source = bundle.host_dir("private");
    fs::write(source.join("file"), "shown\n").unwrap();
    fs::set_permissions(&source, fs::Permissions::from_mode(0o700)).unwrap();
    let bundle = bundle.bind(&source.join("file"), "/file", &["ro"]);
    assert_eq!(bundle.args(&["cat", "/file"]).output(), "shown");
    Ok(())
}

/// NS-6
fn an_existing_user_namespace_is_joined() -> Outcome {
    needs::since("runc", "1.2", "joins user namespaces without mappings")?;
    let first = Bundle::new().in_user_namespace(FIRST).args(&["sleep", "100"]).start();
    let second = Bundle::in_sandbox(first.bundle().sandbox(), "b");
    let second = second.in_user_namespace(FIRST).args(&["readlink", "/proc/self/ns/user"]);
    let joining = second
        .unset("/linux/uidMappings")
        .unset("/linux/gidMappings")
        .set("/process/oomScoreAdj", 100)
        .join_namespace("user", &format!("/proc/{}/ns/user", first.pid));
    let here = fs::read_link(format!("/proc/{}/ns/user", first.pid)).unwrap();
    assert_eq!(joining.output(), here.display().to_string());
    let with_net = joining.join_namespace("network", &format!("/proc/{}/ns/net", first.pid));
    assert_eq!(with_net.output(), here.display().to_string());
    let with_pid = with_net.join_namespace("pid", &format!("/proc/{}/ns/pid", first.pid));
    assert_eq!(with_pid.output(), here.display().to_string());
    Ok(())
}

/// NS-7
fn ids_that_are_not_mapped_are_refused_by_name() -> Outcome {
    needs::other_than("crun", "leaves its cgroup behind")?;
    for (pointer, value) in [
        ("/process/user/uid", json!(70_000)),
        ("/process/user/gid", json!(70_000)),
        ("/process/user/additionalGids", json!([5, 70_000])),
    ] {
        let refusal = Bundle::new().in_user_namespace(FIRST).set(pointer, value).is_refused();
        if needs::cloison().is_ok() {
            refusal.complains(pointer).complains("70000 is not mapped");
        }
    }
    Ok(())
}
