//! `linux.namespaces`: new ones, the runtime's own, and those given by path;
//! and what lives in them: host name, loopback. Users and clocks have modules of their own.

use nix::sched::CloneFlags;
use serde_json::json;

use crate::harness::{Bundle, Namespace, Outcome, needs, tests};

tests![
    a_listed_namespace_is_new,
    an_unlisted_namespace_is_the_runtimes,
    an_empty_path_means_a_new_one,
    a_namespace_is_joined_by_path,
    a_joined_namespace_keeps_its_settings,
    a_pid_namespace_is_joined_by_path,
    a_mount_namespace_is_joined_by_path,
    the_cgroup_namespace_is_rooted_in_the_containers_cgroup,
    host_and_domain_name_are_set,
    the_hosts_name_is_left_alone,
    loopback_is_up_and_alone,
    ipc_objects_are_the_containers_own,
    a_namespace_of_another_type_is_an_error,
    a_namespace_given_twice_is_an_error,
];

/// Name in config.json and file below /proc/PID/ns.
const KINDS: [(&str, &str); 6] = [
    ("pid", "pid"),
    ("network", "net"),
    ("ipc", "ipc"),
    ("uts", "uts"),
    ("mount", "mnt"),
    ("cgroup", "cgroup"),
];

/// The suite's own namespace.
fn own(file: &str) -> String {
    let link = std::fs::read_link(format!("/proc/self/ns/{file}")).expect("read the link");
    link.display().to_string()
}

fn a_listed_namespace_is_new() -> Outcome {
    let first = Bundle::new().args(&["sleep", "60"]).start();
    let second = Bundle::new().args(&["sleep", "60"]).start();
    for (kind, file) in KINDS {
        assert_ne!(first.namespace(file), own(file), "{kind}");
        assert_ne!(first.namespace(file), second.namespace(file), "{kind}");
    }
    Ok(())
}

fn an_unlisted_namespace_is_the_runtimes() -> Outcome {
    needs::root()?;
    for (kind, file) in KINDS.into_iter().filter(|(kind, _)| *kind != "mount") {
        let mut bundle = Bundle::new().without_namespace(kind).args(&["sleep", "60"]);
        if kind == "uts" {
            bundle = bundle.unset("/hostname");
        }
        if kind == "network" {
            // The host's sysfs is shown as the host's only.
            bundle = bundle.set(
                "/mounts",
                json!([{"destination": "/proc", "type": "proc", "source": "proc"}]),
            );
        }
        let container = bundle.start();
        assert_eq!(container.namespace(file), own(file), "{kind}");
    }
    Ok(())
}

fn an_empty_path_means_a_new_one() -> Outcome {
    needs::other_than("crun", "takes it for a path")?;
    let container = Bundle::new().join_namespace("network", "").args(&["sleep", "60"]).start();
    assert_ne!(container.namespace("net"), own("net"));
    Ok(())
}

fn a_namespace_is_joined_by_path() -> Outcome {
    for (kind, file, flag) in [
        ("network", "net", CloneFlags::CLONE_NEWNET),
        ("ipc", "ipc", CloneFlags::CLONE_NEWIPC),
        ("uts", "uts", CloneFlags::CLONE_NEWUTS),
        ("cgroup", "cgroup", CloneFlags::CLONE_NEWCGROUP),
    ] {
        let namespace = Namespace::new(flag, file);
        let mut bundle =
            Bundle::new().join_namespace(kind, &namespace.path()).args(&["sleep", "60"]);
        if kind == "uts" {
            bundle = bundle.unset("/hostname");
        }
        let container = bundle.start();
        assert_eq!(container.namespace(file), namespace.identity(), "{kind}");
    }
    Ok(())
}

fn a_joined_namespace_keeps_its_settings() -> Outcome {
    needs::root()?;
    let first = Bundle::new().set("/hostname", "first").args(&["sleep", "60"]).start();
    let path = |file| format!("/proc/{}/ns/{file}", first.pid);
    let second = Bundle::new()
        .unset("/hostname")
        .join_namespace("uts", &path("uts"))
        .join_namespace("network", &path("net"))
        .join_namespace("ipc", &path("ipc"))
        .args(&["hostname"]);
    assert_eq!(second.output(), "first");
    Ok(())
}

fn a_pid_namespace_is_joined_by_path() -> Outcome {
    needs::root()?;
    let first = Bundle::new().args(&["sleep", "61"]).start();
    let path = format!("/proc/{}/ns/pid", first.pid);
    let second = Bundle::new()
        .join_namespace("pid", &path)
        .sh("cat /proc/1/cmdline | tr '\\0' ' '; test $$ -gt 1 && echo not first");
    assert_eq!(second.output(), "sleep 61 not first");
    let third = Bundle::new().join_namespace("pid", &path).args(&["sleep", "62"]).start();
    third.verb("delete", &["--force"], &[]).ok();
    assert_eq!(first.status(), "running", "the owner of the namespace lives on");
    Ok(())
}

fn a_mount_namespace_is_joined_by_path() -> Outcome {
    let namespace = Namespace::new(CloneFlags::CLONE_NEWNS, "mnt");
    let container = Bundle::new()
        .join_namespace("mount", &namespace.path())
        .set("/mounts", json!([{"destination": "/proc", "type": "proc", "source": "proc"}]))
        .sh("ls -d /usr /bin; sleep 60")
        .start();
    container.says("/bin\n");
    assert!(!container.stdout().contains("/usr"), "it still has a root of its own");
    assert_eq!(container.namespace("mnt"), namespace.identity());
    Ok(())
}

fn the_cgroup_namespace_is_rooted_in_the_containers_cgroup() -> Outcome {
    needs::scope_of_its_own()?;
    let bundle = Bundle::new().sh("grep ^0: /proc/self/cgroup");
    assert_eq!(bundle.output(), "0::/");
    let bundle = Bundle::new().without_namespace("cgroup").sh("grep ^0: /proc/self/cgroup");
    let seen = bundle.output();
    assert!(seen.ends_with(&bundle.cgroup().expect("a path")), "{seen}");
    Ok(())
}

fn host_and_domain_name_are_set() -> Outcome {
    let bundle =
        Bundle::new().set("/hostname", "a-host").sh("hostname; cat /proc/sys/kernel/domainname");
    assert_eq!(bundle.lines(), ["a-host", "(none)"]);
    needs::since("runc", "1.2", "knows domainname")?;
    let bundle = bundle.set("/domainname", "a.domain");
    assert_eq!(bundle.lines(), ["a-host", "a.domain"]);
    Ok(())
}

fn the_hosts_name_is_left_alone() -> Outcome {
    let name = || std::fs::read_to_string("/proc/sys/kernel/hostname").expect("read");
    let before = name();
    let container = Bundle::new().set("/hostname", "another").args(&["sleep", "60"]).start();
    assert_eq!(name(), before);
    drop(container);
    Ok(())
}

/// Nothing in the specification says so, but every image expects it.
fn loopback_is_up_and_alone() -> Outcome {
    let bundle = Bundle::new().sh("ls /sys/class/net; cat /sys/class/net/lo/flags");
    let lines = bundle.lines();
    assert_eq!(lines[0], "lo");
    assert_eq!(lines.len(), 2, "{lines:?}");
    let flags = u32::from_str_radix(lines[1].trim_start_matches("0x"), 16).expect("flags");
    assert_eq!(flags & 1, 1, "IFF_UP");
    Ok(())
}

fn ipc_objects_are_the_containers_own() -> Outcome {
    let first = Bundle::new().sh("touch /dev/mqueue/queue && echo ready; sleep 60").start();
    first.says("ready");
    assert_eq!(Bundle::new().sh("ls /dev/mqueue").output(), "");
    Ok(())
}

fn a_namespace_of_another_type_is_an_error() -> Outcome {
    needs::other_than("runc", "leaves its cgroup behind now and then")?;
    needs::other_than("crun", "leaves its cgroup behind")?;
    for (kind, wrong) in
        [("network", "uts"), ("uts", "ipc"), ("ipc", "net"), ("pid", "mnt"), ("cgroup", "pid")]
    {
        let path = format!("/proc/{}/ns/{wrong}", std::process::id());
        let mut bundle = Bundle::new().join_namespace(kind, &path);
        if kind == "uts" {
            bundle = bundle.unset("/hostname");
        }
        bundle.is_refused();
    }
    Ok(())
}

fn a_namespace_given_twice_is_an_error() -> Outcome {
    needs::other_than("crun", "takes the last")?;
    for (kind, _) in KINDS {
        Bundle::new().push("/linux/namespaces", json!({"type": kind})).is_refused();
    }
    Ok(())
}
