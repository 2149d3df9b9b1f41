//! Who owns a container's cgroup (specs/40-cgroups.md, CG-60).

use std::os::unix::fs::MetadataExt;

use serde_json::json;

use crate::harness::limits::directory;
use crate::harness::{Bundle, Container, Outcome, needs, tests};

tests![
    a_user_with_a_writable_view_owns_it,
    limits_stay_the_makers,
    a_readonly_view_changes_nothing,
    without_a_namespace_nothing_is_handed_over,
    a_mapped_user_owns_it_as_the_host_knows_him,
];

fn bundle(options: &[&str]) -> Bundle {
    Bundle::new()
        .mount("/sys/fs/cgroup", "cgroup", "cgroup", options)
        .set("/process/user", json!({"uid": 1000, "gid": 1000}))
}

/// Owners of the directory and of some files in it.
fn owners(container: &Container) -> Vec<u32> {
    let dir = directory(container, "");
    let names = [".", "cgroup.procs", "cgroup.subtree_control", "cgroup.max.depth"];
    names.map(|name| dir.join(name).metadata().expect("stat").uid()).to_vec()
}

fn own() -> Outcome {
    needs::other_than("runc", "does it with systemd alone")?;
    needs::other_than("crun", "has rules of its own")
}

fn a_user_with_a_writable_view_owns_it() -> Outcome {
    needs::root()?;
    own()?;
    let script = "cd /sys/fs/cgroup && mkdir child && echo $$ > child/cgroup.procs && \
                  cat /proc/self/cgroup && echo divided; sleep 60";
    let container = bundle(&["rw", "nosuid", "noexec", "nodev"]).sh(script).start();
    container.says("divided");
    assert!(container.stdout().contains("0::/child"), "{}", container.stdout());
    container.verb("delete", &["--force"], &[]).ok();
    let left = container.bundle().sandbox().leftovers();
    assert!(left.is_empty(), "{left:?}");
    Ok(())
}

fn limits_stay_the_makers() -> Outcome {
    needs::root()?;
    own()?;
    let container = bundle(&["rw"]).args(&["sleep", "60"]).create();
    assert_eq!(owners(&container), [1000, 1000, 1000, 0]);
    Ok(())
}

fn a_readonly_view_changes_nothing() -> Outcome {
    needs::root()?;
    let container = bundle(&["ro"]).args(&["sleep", "60"]).create();
    assert_eq!(owners(&container), [0, 0, 0, 0]);
    Ok(())
}

fn without_a_namespace_nothing_is_handed_over() -> Outcome {
    needs::root()?;
    let container = bundle(&["rw"]).without_namespace("cgroup").args(&["sleep", "60"]).create();
    assert_eq!(owners(&container), [0, 0, 0, 0]);
    Ok(())
}

fn a_mapped_user_owns_it_as_the_host_knows_him() -> Outcome {
    needs::root()?;
    own()?;
    let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
    let container = bundle(&["rw"])
        .push("/linux/namespaces", json!({"type": "user"}))
        .set("/linux/uidMappings", map.clone())
        .set("/linux/gidMappings", map)
        .args(&["sleep", "60"])
        .create();
    assert_eq!(owners(&container), [101_000, 101_000, 101_000, 0]);
    Ok(())
}
