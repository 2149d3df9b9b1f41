//! `linux.cgroupsPath` and `linux.resources`: where the container's processes
//! are counted, and which limits are in force. The v1 tests run on the host's
//! own hierarchies, all others on cgroup v2.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::harness::{
    Bundle, Container, Outcome, Sandbox, Skip, eventually, needs, on_host_hierarchies, tests,
};

tests![
    the_cgroup_lies_where_it_is_asked_for,
    directories_on_the_way_are_made,
    a_default_path_is_found_and_removed,
    a_relative_path_is_found_and_removed,
    the_process_is_in_the_cgroup_from_the_start,
    children_of_the_container_are_in_the_cgroup,
    cgroups_made_inside_are_removed,
    without_a_namespace_the_mount_shows_the_containers_own_cgroup,
    a_frozen_container_can_be_deleted,
    unified_writes_any_file,
    unified_writes_nothing_for_an_unknown_file,
    a_limit_without_its_controller_is_an_error,
    devices_are_denied_and_allowed,
    the_last_device_rule_counts,
    default_devices_can_be_used_whatever_the_rules,
    memory_limits_are_set,
    memory_limits_are_enforced,
    cpu_limits_are_set,
    cpuset_is_set,
    pids_limit_is_set,
    io_limits_are_set,
    hugetlb_limits_are_set,
    the_cgroup_manager_can_be_disabled,
    v1_paths_are_the_same_in_every_hierarchy,
    v1_memory_limits_are_set,
    v1_cpu_limits_are_set,
    v1_cpuset_is_set,
    v1_pids_limit_is_set,
    v1_blkio_weight_is_set,
    v1_devices_are_denied_and_allowed,
    v1_cgroup_mount_shows_the_containers_own_groups,
    v1_children_end_with_the_container,
];

/// The v2 directory of a process.
pub fn directory_of(pid: i32) -> PathBuf {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("read");
    let path = text.lines().find_map(|line| line.strip_prefix("0::")).expect("a v2 line");
    Path::new("/sys/fs/cgroup").join(path.trim_start_matches('/'))
}

/// A file of the container's cgroup, trimmed.
#[track_caller]
fn file(container: &Container, name: &str) -> String {
    let path = directory_of(container.pid).join(name);
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    text.trim().to_owned()
}

fn sleeping() -> Bundle {
    Bundle::new().args(&["sleep", "60"])
}

fn the_cgroup_lies_where_it_is_asked_for() -> Outcome {
    needs::scope_of_its_own()?;
    let container = sleeping().create();
    let expected = format!("/sys/fs/cgroup{}", container.bundle().cgroup().expect("a path"));
    assert_eq!(directory_of(container.pid), Path::new(&expected));
    Ok(())
}

fn directories_on_the_way_are_made() -> Outcome {
    needs::root()?;
    needs::cgroupfs()?;
    let sandbox = Sandbox::new();
    let path = format!("/{}-above/middle/below", sandbox.token());
    let container = Bundle::in_sandbox(&sandbox, "a")
        .set("/linux/cgroupsPath", path.clone())
        .args(&["sleep", "60"])
        .create();
    let directory = directory_of(container.pid);
    assert_eq!(directory, Path::new(&format!("/sys/fs/cgroup{path}")));
    container.verb("delete", &["--force"], &[]).ok();
    assert!(!directory.exists());
    // Whether the parents stay is the runtime's choice; they are not ours to keep.
    for above in directory.ancestors().skip(1).take(2) {
        let _ = fs::remove_dir(above);
    }
    Ok(())
}

/// Creates, looks, deletes, and expects the directory to be gone.
fn found_and_removed(bundle: Bundle) {
    let container = bundle.create();
    let directory = directory_of(container.pid);
    assert_ne!(directory, directory_of(std::process::id().cast_signed()), "not the caller's own");
    assert!(directory.is_dir());
    container.start();
    container.verb("delete", &["--force"], &[]).ok();
    assert!(!directory.exists(), "{}", directory.display());
}

fn a_default_path_is_found_and_removed() -> Outcome {
    found_and_removed(sleeping().unset("/linux/cgroupsPath"));
    Ok(())
}

fn a_relative_path_is_found_and_removed() -> Outcome {
    needs::cgroupfs()?;
    let bundle = sleeping();
    let path = format!("{}-relative", bundle.id());
    found_and_removed(bundle.set("/linux/cgroupsPath", path));
    Ok(())
}

fn the_process_is_in_the_cgroup_from_the_start() -> Outcome {
    let container = sleeping().create();
    assert_eq!(file(&container, "cgroup.procs"), container.pid.to_string());
    Ok(())
}

fn children_of_the_container_are_in_the_cgroup() -> Outcome {
    let container = Bundle::new().sh("sleep 60 & sleep 60 & wait").start();
    assert!(eventually(|| file(&container, "cgroup.procs").lines().count() == 3));
    Ok(())
}

fn cgroups_made_inside_are_removed() -> Outcome {
    let container = Bundle::new()
        .mount("/sys/fs/cgroup", "cgroup", "cgroup", &["rw"])
        .sh("mkdir -p /sys/fs/cgroup/a/b /sys/fs/cgroup/c && sleep 60 & sleep 0.1; echo $! >/sys/fs/cgroup/a/b/cgroup.procs; echo ready; wait")
        .start();
    container.says("ready");
    let directory = directory_of(container.pid);
    container.verb("delete", &["--force"], &[]).ok();
    assert!(!directory.exists());
    Ok(())
}

fn without_a_namespace_the_mount_shows_the_containers_own_cgroup() -> Outcome {
    needs::other_than("runc", "shows the whole hierarchy")?;
    needs::other_than("crun", "shows the whole hierarchy")?;
    let container = Bundle::new()
        .without_namespace("cgroup")
        .mount("/sys/fs/cgroup", "cgroup", "cgroup", &["ro"])
        .sh("cat /sys/fs/cgroup/cgroup.procs; echo seen; sleep 60")
        .start();
    container.says("seen");
    let seen = container.stdout();
    assert_eq!(seen.lines().next(), Some("1"), "{seen}");
    Ok(())
}

fn a_frozen_container_can_be_deleted() -> Outcome {
    let container = sleeping().start();
    let directory = directory_of(container.pid);
    fs::write(directory.join("cgroup.freeze"), "1").expect("freeze");
    let frozen = || {
        fs::read_to_string(directory.join("cgroup.events")).is_ok_and(|e| e.contains("frozen 1"))
    };
    assert!(eventually(frozen));
    container.verb("delete", &["--force"], &[]).ok();
    assert!(!directory.exists());
    Ok(())
}

fn with_resources(resources: Value) -> Bundle {
    sleeping().set("/linux/resources", resources)
}

fn unified_writes_any_file() -> Outcome {
    let container = with_resources(
        json!({"unified": {"cgroup.max.depth": "5", "cgroup.max.descendants": "7"}}),
    )
    .create();
    assert_eq!(file(&container, "cgroup.max.depth"), "5");
    assert_eq!(file(&container, "cgroup.max.descendants"), "7");
    Ok(())
}

fn unified_writes_nothing_for_an_unknown_file() -> Outcome {
    needs::other_than("crun", "leaves its cgroup behind")?;
    with_resources(json!({"unified": {"nosuch.file": "5"}})).is_refused();
    Ok(())
}

fn a_limit_without_its_controller_is_an_error() -> Outcome {
    needs::other_than("runc", "leaves a limit without a controller out in silence")?;
    needs::other_than("crun", "leaves its cgroup behind")?;
    let rows = [
        ("memory", json!({"memory": {"limit": 64 << 20}})),
        ("pids", json!({"pids": {"limit": 10}})),
        ("cpu", json!({"cpu": {"quota": 50_000, "period": 100_000}})),
        ("cpuset", json!({"cpu": {"cpus": "0"}})),
        ("io", json!({"blockIO": {"weight": 500}})),
    ];
    for (controller, resources) in rows {
        if needs::controller(controller).is_ok() {
            continue;
        }
        let refusal = with_resources(resources).is_refused();
        if needs::cloison().is_ok() {
            refusal.complains(controller).complains("/linux/resources");
        }
    }
    Ok(())
}

/// Tries to open devices and tells of each whether it may.
const TRY: &str = "for d in null zero full fuse loop-control; do
    (: </dev/$d) 2>/tmp/error; grep -q 'not permitted' /tmp/error && echo $d refused
    done; echo done";

/// All of the devices that [`TRY`] tries, with rules for the cgroup.
fn with_device_rules(rules: Value) -> Bundle {
    let device = |name: &str, major: u32, minor: u32| json!({"path": format!("/dev/{name}"), "type": "c", "major": major, "minor": minor, "fileMode": 0o666});
    Bundle::new()
        .sh(TRY)
        .push("/linux/devices", device("fuse", 10, 229))
        .push("/linux/devices", device("loop-control", 10, 237))
        .set("/linux/resources", json!({"devices": rules}))
}

fn devices_are_denied_and_allowed() -> Outcome {
    needs::root()?;
    needs::memlock_for_crun()?;
    let deny = json!({"allow": false, "access": "rwm"});
    let other = json!({"allow": true, "type": "c", "major": 10, "minor": 237, "access": "rw"});
    assert_eq!(
        with_device_rules(json!([deny])).lines(),
        ["fuse refused", "loop-control refused", "done"]
    );
    assert_eq!(with_device_rules(json!([deny, other])).lines(), ["fuse refused", "done"]);
    Ok(())
}

fn the_last_device_rule_counts() -> Outcome {
    needs::scope_of_its_own()?;
    needs::root()?;
    needs::memlock_for_crun()?;
    let deny = json!({"allow": false, "access": "rwm"});
    let misc = |allow: bool| json!({"allow": allow, "type": "c", "major": 10, "access": "rwm"});
    let one = json!({"allow": false, "type": "c", "major": 10, "minor": 229, "access": "r"});
    let refused =
        |rules: Value| with_device_rules(rules).lines().contains(&"fuse refused".to_owned());
    assert!(!refused(json!([deny, misc(true)])));
    assert!(refused(json!([deny, misc(true), misc(false)])));
    needs::other_than("runc", "cannot take one access from a wildcard")?;
    assert!(refused(json!([deny, misc(true), one])));
    Ok(())
}

/// Engines list them, but a configuration that only denies must still be able to start.
fn default_devices_can_be_used_whatever_the_rules() -> Outcome {
    needs::memlock_for_crun()?;
    let bundle = Bundle::new()
        .set("/linux/resources", json!({"devices": [{"allow": false, "access": "rwm"}]}))
        .sh("echo x >/dev/null && head -c 1 /dev/zero | wc -c && head -c 1 /dev/urandom | wc -c");
    assert_eq!(bundle.lines(), ["1", "1"]);
    Ok(())
}

fn memory_limits_are_set() -> Outcome {
    needs::controller("memory")?;
    let limits = json!({"memory": {"limit": 64 << 20, "reservation": 32 << 20, "swap": 80 << 20}});
    let container = with_resources(limits).create();
    assert_eq!(file(&container, "memory.max"), (64 << 20).to_string());
    assert_eq!(file(&container, "memory.low"), (32 << 20).to_string());
    if directory_of(container.pid).join("memory.swap.max").exists() {
        assert_eq!(
            file(&container, "memory.swap.max"),
            (16 << 20).to_string(),
            "memory is counted apart"
        );
    }
    let container = with_resources(json!({"memory": {"limit": -1}})).create();
    assert_eq!(file(&container, "memory.max"), "max");
    Ok(())
}

fn memory_limits_are_enforced() -> Outcome {
    needs::controller("memory")?;
    let bundle = Bundle::new()
        .set("/linux/resources", json!({"memory": {"limit": 16 << 20, "swap": 16 << 20}}))
        .sh("dd if=/dev/zero of=/dev/shm/file bs=1M count=40 2>/dev/null");
    let finished = bundle.run();
    assert!(finished.code == 137 || finished.code == 1, "killed: {finished}");
    Ok(())
}

fn cpu_limits_are_set() -> Outcome {
    needs::controller("cpu")?;
    let container =
        with_resources(json!({"cpu": {"quota": 50_000, "period": 100_000, "shares": 1024}}))
            .create();
    assert_eq!(file(&container, "cpu.max"), "50000 100000");
    let weight: u32 = file(&container, "cpu.weight").parse().expect("a number");
    assert!((39..=100).contains(&weight), "1024 shares are {weight}: linear 39, by powers 100");
    let container = with_resources(json!({"cpu": {"quota": -1}})).create();
    assert!(file(&container, "cpu.max").starts_with("max "));
    Ok(())
}

fn cpuset_is_set() -> Outcome {
    needs::controller("cpuset")?;
    let container = with_resources(json!({"cpu": {"cpus": "0", "mems": "0"}})).create();
    assert_eq!(file(&container, "cpuset.cpus"), "0");
    assert_eq!(file(&container, "cpuset.mems"), "0");
    Ok(())
}

fn pids_limit_is_set() -> Outcome {
    needs::controller("pids")?;
    let container = with_resources(json!({"pids": {"limit": 12}})).create();
    assert_eq!(file(&container, "pids.max"), "12");
    let container = with_resources(json!({"pids": {"limit": -1}})).create();
    assert_eq!(file(&container, "pids.max"), "max");
    Ok(())
}

fn io_limits_are_set() -> Outcome {
    needs::controller("io")?;
    let Some(disk) = first_disk() else {
        return Err(Skip("no block device here".to_owned()));
    };
    let limits = json!({"blockIO": {"throttleReadBpsDevice": [{"major": disk.0, "minor": disk.1, "rate": 1_048_576}]}});
    let container = with_resources(limits).create();
    let line = file(&container, "io.max");
    assert!(
        line.starts_with(&format!("{}:{} ", disk.0, disk.1)) && line.contains("rbps=1048576"),
        "{line}"
    );
    Ok(())
}

/// Numbers of a disk of this machine.
fn first_disk() -> Option<(u32, u32)> {
    fs::read_dir("/sys/block").ok()?.find_map(|entry| {
        let entry = entry.ok()?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let real = ["sd", "vd", "nvme", "ubd", "xvd"].iter().any(|prefix| name.starts_with(prefix));
        let numbers = fs::read_to_string(entry.path().join("dev")).ok()?;
        let (major, minor) = numbers.trim().split_once(':')?;
        real.then_some((major.parse().ok()?, minor.parse().ok()?))
    })
}

fn hugetlb_limits_are_set() -> Outcome {
    needs::controller("hugetlb")?;
    needs::path("/sys/kernel/mm/hugepages/hugepages-2048kB")?;
    let container =
        with_resources(json!({"hugepageLimits": [{"pageSize": "2MB", "limit": 4_194_304}]}))
            .create();
    assert_eq!(file(&container, "hugetlb.2MB.max"), "4194304");
    Ok(())
}

fn the_cgroup_manager_can_be_disabled() -> Outcome {
    needs::other_than("runc", "has no --cgroup-manager")?;
    let bundle = sleeping();
    bundle.write();
    let (root, dir) = (bundle.sandbox().root(), bundle.dir());
    let line = [
        "--root",
        root.to_str().expect("utf-8"),
        "--cgroup-manager",
        "disabled",
        "create",
        "--bundle",
        dir.to_str().expect("utf-8"),
        bundle.id(),
    ];
    bundle.sandbox().bare_runtime(&line).keeping_output_in(dir.join("container")).finish().ok();
    let container = bundle.adopt();
    assert_eq!(directory_of(container.pid), directory_of(std::process::id().cast_signed()));
    Ok(())
}

// ---- cgroup v1

/// Runs a test on the host's own hierarchies.
pub fn on_v1(controllers: &[&str], test: fn()) -> Outcome {
    needs::other_than("crun", "refuses hybrid hierarchies")?;
    for controller in controllers {
        needs::v1_controller(controller)?;
    }
    on_host_hierarchies(test);
    Ok(())
}

/// The directory of a container in the hierarchy of a v1 controller.
#[track_caller]
pub fn v1_directory(container: &Container, controller: &str) -> PathBuf {
    let text = container.proc("cgroup");
    let path = text.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let mine = fields.next()?.split(',').any(|name| name == controller);
        mine.then(|| fields.next().map(str::to_owned))?
    });
    let path = path.unwrap_or_else(|| panic!("no {controller} in {text}"));
    let mount = needs::v1_mount(controller).expect("it is mounted");
    Path::new(&mount).join(path.trim_start_matches('/'))
}

#[track_caller]
fn v1_file(container: &Container, controller: &str, name: &str) -> String {
    let path = v1_directory(container, controller).join(name);
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    text.trim().to_owned()
}

fn v1_paths_are_the_same_in_every_hierarchy() -> Outcome {
    on_v1(&["memory", "cpu", "pids"], || {
        let container = sleeping().create();
        let expected = container.bundle().cgroup().expect("a path");
        let mut directories = Vec::new();
        for controller in
            ["memory", "cpu", "cpuacct", "pids", "devices", "freezer", "blkio", "cpuset"]
        {
            if needs::v1_mount(controller).is_some() {
                let directory = v1_directory(&container, controller);
                assert!(
                    directory.ends_with(expected.trim_start_matches('/')),
                    "{}",
                    directory.display()
                );
                directories.push(directory);
            }
        }
        container.start();
        container.verb("delete", &["--force"], &[]).ok();
        for directory in directories {
            assert!(!directory.exists(), "{}", directory.display());
        }
    })
}

fn v1_memory_limits_are_set() -> Outcome {
    on_v1(&["memory"], || {
        let container =
            with_resources(json!({"memory": {"limit": 64 << 20, "reservation": 32 << 20}}))
                .create();
        assert_eq!(v1_file(&container, "memory", "memory.limit_in_bytes"), (64 << 20).to_string());
        assert_eq!(
            v1_file(&container, "memory", "memory.soft_limit_in_bytes"),
            (32 << 20).to_string()
        );
    })
}

fn v1_cpu_limits_are_set() -> Outcome {
    on_v1(&["cpu"], || {
        let limits = json!({"cpu": {"shares": 512, "quota": 50_000, "period": 100_000}});
        let container = with_resources(limits).create();
        assert_eq!(v1_file(&container, "cpu", "cpu.shares"), "512");
        assert_eq!(v1_file(&container, "cpu", "cpu.cfs_quota_us"), "50000");
        assert_eq!(v1_file(&container, "cpu", "cpu.cfs_period_us"), "100000");
    })
}

fn v1_cpuset_is_set() -> Outcome {
    on_v1(&["cpuset"], || {
        let container = with_resources(json!({"cpu": {"cpus": "0", "mems": "0"}})).create();
        assert_eq!(v1_file(&container, "cpuset", "cpuset.cpus"), "0");
        assert_eq!(v1_file(&container, "cpuset", "cpuset.mems"), "0");
    })
}

fn v1_pids_limit_is_set() -> Outcome {
    on_v1(&["pids"], || {
        let container = with_resources(json!({"pids": {"limit": 12}})).create();
        assert_eq!(v1_file(&container, "pids", "pids.max"), "12");
    })
}

fn v1_blkio_weight_is_set() -> Outcome {
    needs::v1_controller("blkio")?;
    if v1_weight_file().is_none() {
        return Err(Skip("no weights in the blkio hierarchy here".to_owned()));
    }
    on_v1(&["blkio"], || {
        let container = with_resources(json!({"blockIO": {"weight": 500}})).create();
        let name = v1_weight_file().expect("it was there");
        assert_eq!(v1_file(&container, "blkio", name), "500");
    })
}

/// What the weight is called by the scheduler that this machine has.
fn v1_weight_file() -> Option<&'static str> {
    let names = ["blkio.weight", "blkio.bfq.weight"];
    on_host_hierarchies(|| {
        let mount = needs::v1_mount("blkio")?;
        names.into_iter().find(|name| Path::new(&mount).join(name).exists())
    })
}

fn v1_devices_are_denied_and_allowed() -> Outcome {
    on_v1(&["devices"], || {
        let deny = json!({"allow": false, "access": "rwm"});
        let fuse = json!({"allow": true, "type": "c", "major": 10, "minor": 229, "access": "rw"});
        assert_eq!(
            with_device_rules(json!([deny])).lines(),
            ["fuse refused", "loop-control refused", "done"]
        );
        assert_eq!(
            with_device_rules(json!([deny, fuse])).lines(),
            ["loop-control refused", "done"]
        );
    })
}

fn v1_cgroup_mount_shows_the_containers_own_groups() -> Outcome {
    on_v1(&["memory", "pids"], || {
        let bundle = Bundle::new()
            .mount("/sys/fs/cgroup", "cgroup", "cgroup", &["ro", "nosuid", "nodev", "noexec"])
            .sh("cat /sys/fs/cgroup/pids/cgroup.procs | head -1; mkdir /sys/fs/cgroup/memory/x || echo refused");
        let seen = bundle.lines();
        assert_eq!(seen, ["1", "refused"]);
    })
}

fn v1_children_end_with_the_container() -> Outcome {
    on_v1(&["freezer"], || {
        let container = Bundle::new()
            .without_namespace("pid")
            .sh("sleep 66 & setsid sleep 67 & echo ready; exec sleep 68")
            .start();
        container.says("ready");
        container.verb("delete", &["--force"], &[]).ok();
        assert!(eventually(|| container.processes().is_empty()), "{:?}", container.processes());
    })
}
