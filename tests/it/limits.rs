//! Limits at work: each field of `linux.resources` in its file, and what a limit does to a
//! container that runs against it, seen from inside and from the host. All on cgroup v2.

use std::fs;
use std::os::linux::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::limits::directory;
use crate::harness::{Bundle, Container, Outcome, Skip, eventually, needs, tests};

tests![
    memory_fields_are_in_their_files,
    cpu_fields_are_in_their_files,
    shares_become_weights,
    idle_is_in_its_file,
    pids_fields_are_in_their_files,
    throttles_are_in_their_file,
    weights_of_io_are_in_the_schedulers_file,
    cpusets_are_in_their_files,
    huge_pages_are_limited_by_reservation_and_use,
    unified_comes_last,
    usage_is_checked_before_an_update,
    a_process_that_takes_too_much_memory_is_killed,
    a_fork_bomb_meets_the_limit_on_tasks,
    a_busy_process_gets_its_quota,
    a_writer_is_throttled,
    a_denied_device_stays_shut_during_updates,
    an_ignored_limit_is_warned_of_once,
];

fn with(resources: Value) -> Bundle {
    Bundle::new().set("/linux/resources", resources).args(&["sleep", "60"])
}

fn path(container: &Container, name: &str) -> PathBuf {
    directory(container, "").join(name)
}

#[track_caller]
fn file(container: &Container, name: &str) -> String {
    let path = path(container, name);
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    text.trim().to_owned()
}

/// The number after a key of a flat keyed file.
#[track_caller]
fn count(container: &Container, name: &str, key: &str) -> u64 {
    let text = file(container, name);
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.trim().parse().ok());
    value.unwrap_or_else(|| panic!("no {key} in {text}"))
}

/// Creates a container with limits and expects files of its cgroup to say what they mean.
#[track_caller]
fn are_written(resources: Value, files: &[(&str, &str)]) {
    let container = with(resources.clone()).create();
    for (name, value) in files {
        assert_eq!(file(&container, name), *value, "{name} for {resources}");
    }
}

fn memory_fields_are_in_their_files() -> Outcome {
    needs::controller("memory")?;
    let memory = |fields: Value| json!({ "memory": fields });
    are_written(
        memory(json!({"limit": 64 << 20, "reservation": 32 << 20})),
        &[("memory.max", "67108864"), ("memory.low", "33554432")],
    );
    are_written(memory(json!({"limit": -1})), &[("memory.max", "max")]);
    if needs::other_than("crun", "takes 0 for a limit").is_ok() {
        // 0 is how engines say that they ask for nothing.
        are_written(memory(json!({"limit": 0})), &[("memory.max", "max")]);
    }
    let container = with(json!({})).create();
    if !path(&container, "memory.swap.max").exists() {
        return Err(Skip("swap is not counted here".to_owned()));
    }
    for (limit, swap, expected) in
        [(64 << 20, 80 << 20, "16777216"), (64 << 20, 64 << 20, "0"), (64 << 20, -1, "max")]
    {
        are_written(
            memory(json!({"limit": limit, "swap": swap})),
            &[("memory.swap.max", expected)],
        );
    }
    Ok(())
}

fn cpu_fields_are_in_their_files() -> Outcome {
    needs::controller("cpu")?;
    let cpu = |fields: Value| json!({ "cpu": fields });
    are_written(cpu(json!({"quota": 33_333, "period": 66_000})), &[("cpu.max", "33333 66000")]);
    are_written(cpu(json!({"quota": -1, "period": 50_000})), &[("cpu.max", "max 50000")]);
    are_written(cpu(json!({"period": 50_000})), &[("cpu.max", "max 50000")]);
    are_written(cpu(json!({"quota": 50_000})), &[("cpu.max", "50000 100000")]);
    needs::since("runc", "1.2", "knows bursts")?;
    needs::since("crun", "1.9", "knows bursts")?;
    are_written(
        cpu(json!({"quota": 50_000, "period": 100_000, "burst": 20_000})),
        &[("cpu.max", "50000 100000"), ("cpu.max.burst", "20000")],
    );
    Ok(())
}

/// CG-16
fn shares_become_weights() -> Outcome {
    needs::controller("cpu")?;
    needs::since("runc", "1.4", "has the newer formula")?;
    needs::since("crun", "1.23", "has the newer formula")?;
    for (shares, weight) in [(2, "1"), (1024, "100"), (262_144, "10000"), (512, "59")] {
        are_written(json!({"cpu": {"shares": shares}}), &[("cpu.weight", weight)]);
    }
    are_written(json!({"cpu": {"shares": 0}}), &[("cpu.weight", "100")]);
    Ok(())
}

fn idle_is_in_its_file() -> Outcome {
    needs::controller("cpu")?;
    needs::since("runc", "1.2", "knows idle")?;
    needs::since("crun", "1.9", "knows idle")?;
    are_written(json!({"cpu": {"idle": 1}}), &[("cpu.idle", "1")]);
    are_written(json!({"cpu": {"idle": 0}}), &[("cpu.idle", "0")]);
    Ok(())
}

fn pids_fields_are_in_their_files() -> Outcome {
    needs::controller("pids")?;
    are_written(json!({"pids": {"limit": 12}}), &[("pids.max", "12")]);
    are_written(json!({"pids": {"limit": -1}}), &[("pids.max", "max")]);
    needs::cloison()?;
    // What is there already does not count: a container of one process runs.
    are_written(json!({"pids": {"limit": 0}}), &[("pids.max", "0")]);
    Ok(())
}

/// A disk of this machine that a file system is on, and a directory there.
fn disk() -> Result<(String, PathBuf), Skip> {
    for dir in ["/var/tmp", "/home", "/"] {
        let Ok(meta) = fs::metadata(dir) else { continue };
        let number = format!(
            "{}:{}",
            nix::sys::stat::major(meta.st_dev()),
            nix::sys::stat::minor(meta.st_dev())
        );
        // A whole disk, not a partition: only those are throttled.
        let block = PathBuf::from(format!("/sys/dev/block/{number}"));
        if block.exists() && !block.join("partition").exists() {
            return Ok((number, PathBuf::from(dir)));
        }
    }
    Err(Skip("no file system on a whole disk here".to_owned()))
}

fn entry(number: &str, field: &str, value: u64) -> Value {
    let (major, minor) = number.split_once(':').expect("two numbers");
    let number = |text: &str| text.parse::<u64>().expect("a number");
    json!({"major": number(major), "minor": number(minor), field: value})
}

fn throttles_are_in_their_file() -> Outcome {
    needs::controller("io")?;
    let (disk, _) = disk()?;
    let limits = json!({"blockIO": {
        "throttleReadBpsDevice": [entry(&disk, "rate", 1_048_576)],
        "throttleWriteBpsDevice": [entry(&disk, "rate", 2_097_152)],
        "throttleReadIOPSDevice": [entry(&disk, "rate", 300)],
        "throttleWriteIOPSDevice": [entry(&disk, "rate", 400)],
    }});
    let expected = format!("{disk} rbps=1048576 wbps=2097152 riops=300 wiops=400");
    are_written(limits, &[("io.max", &expected)]);
    Ok(())
}

/// CG-17
fn weights_of_io_are_in_the_schedulers_file() -> Outcome {
    needs::controller("io")?;
    let probe = with(json!({})).create();
    let has = |name: &str| path(&probe, name).exists();
    let (file, of_500) = match (has("io.bfq.weight"), has("io.weight")) {
        (true, _) => ("io.bfq.weight", "default 500"),
        (false, true) => ("io.weight", "default 4950"),
        (false, false) => return Err(Skip("no weights of io here".to_owned())),
    };
    needs::cloison()?;
    are_written(json!({"blockIO": {"weight": 500}}), &[(file, of_500)]);
    Ok(())
}

fn cpusets_are_in_their_files() -> Outcome {
    needs::controller("cpuset")?;
    are_written(
        json!({"cpu": {"cpus": "0", "mems": "0"}}),
        &[("cpuset.cpus", "0"), ("cpuset.mems", "0"), ("cpuset.cpus.effective", "0")],
    );
    Ok(())
}

fn huge_pages_are_limited_by_reservation_and_use() -> Outcome {
    needs::controller("hugetlb")?;
    needs::path("/sys/kernel/mm/hugepages/hugepages-2048kB")?;
    are_written(
        json!({"hugepageLimits": [{"pageSize": "2MB", "limit": 4_194_304}]}),
        &[("hugetlb.2MB.max", "4194304"), ("hugetlb.2MB.rsvd.max", "4194304")],
    );
    Ok(())
}

/// CG-18
fn unified_comes_last() -> Outcome {
    needs::controller("memory")?;
    are_written(
        json!({
            "memory": {"limit": 64 << 20},
            "unified": {"memory.max": "33554432", "memory.high": "16777216", "cgroup.max.depth": "4"},
        }),
        &[("memory.max", "33554432"), ("memory.high", "16777216"), ("cgroup.max.depth", "4")],
    );
    needs::other_than("crun", "leaves its cgroup behind")?;
    with(json!({"unified": {"../memory.max": "1"}})).is_refused();
    Ok(())
}

fn usage_is_checked_before_an_update() -> Outcome {
    needs::controller("memory")?;
    needs::cloison()?;
    let container = Bundle::new()
        .set("/linux/resources/memory/limit", 128 << 20)
        .sh("dd if=/dev/zero of=/dev/shm/file bs=1M count=24 2>/dev/null; echo used; sleep 60")
        .start();
    container.says("used");
    let update = |check: bool| {
        let limits = json!({"memory": {"limit": 8 << 20, "checkBeforeUpdate": check}}).to_string();
        let line = ["update", "-r", "-", container.id()];
        container.bundle().sandbox().runtime(&line).input(&limits).finish()
    };
    update(true).refused().complains("/linux/resources/memory/limit");
    assert_eq!(file(&container, "memory.max"), "134217728");
    assert!(container.alive());
    Ok(())
}

/// Seen inside as the end of a process, on the host as a count.
fn a_process_that_takes_too_much_memory_is_killed() -> Outcome {
    needs::controller("memory")?;
    let container = Bundle::new()
        .set("/linux/resources/memory", json!({"limit": 16 << 20, "swap": 16 << 20}))
        .sh("dd if=/dev/zero of=/dev/null bs=64M count=1 2>/dev/null; echo status $?; sleep 60")
        .start();
    container.says("status 137");
    assert!(count(&container, "memory.events", "oom_kill ") >= 1);
    assert!(container.alive(), "the others go on");
    assert!(count(&container, "memory.peak", "") <= 16 << 20);
    Ok(())
}

fn a_fork_bomb_meets_the_limit_on_tasks() -> Outcome {
    needs::controller("pids")?;
    const LIMIT: u64 = 15;
    let container = Bundle::new()
        .set("/linux/resources/pids/limit", LIMIT)
        .sh("(while :; do sleep 60 & done) 2>/said; read line </said; echo $line; exec sleep 60")
        .start();
    container.says("fork");
    assert!(count(&container, "pids.events", "max ") >= 1);
    assert!(count(&container, "pids.current", "") <= LIMIT);
    container.verb("delete", &["--force"], &[]).ok();
    let left = container.bundle().sandbox().leftovers();
    assert!(left.is_empty(), "{left:?}");
    Ok(())
}

fn a_busy_process_gets_its_quota() -> Outcome {
    needs::controller("cpu")?;
    let container = Bundle::new()
        .set("/linux/resources/cpu", json!({"quota": 10_000, "period": 50_000}))
        .mount("/sys/fs/cgroup", "cgroup", "cgroup", &["ro"])
        .sh("until grep -q 'nr_throttled [1-9]' /sys/fs/cgroup/cpu.stat; do :; done
             echo throttled; while :; do :; done")
        .start();
    container.says("throttled");
    let (before, started) = (count(&container, "cpu.stat", "usage_usec "), Instant::now());
    std::thread::sleep(Duration::from_millis(1000));
    let used = count(&container, "cpu.stat", "usage_usec ") - before;
    let share = used as f64 / started.elapsed().as_micros() as f64;
    assert!(share < 0.3, "a fifth is allowed, it took {share:.2}");
    assert!(count(&container, "cpu.stat", "nr_throttled ") >= 1);
    Ok(())
}

fn a_writer_is_throttled() -> Outcome {
    needs::controller("io")?;
    needs::root()?;
    let (disk, dir) = disk()?;
    let dir = tempfile::Builder::new().prefix("it-throttle-").tempdir_in(dir).expect("make");
    let container = Bundle::new()
        .set("/linux/resources/blockIO/throttleWriteBpsDevice", json!([entry(&disk, "rate", 1 << 20)]))
        .bind(dir.path(), "/data", &["rw"])
        .sh("dd if=/dev/zero of=/data/file bs=256k count=8 conv=fsync 2>/dev/null && echo written; sleep 60")
        .create();
    let started = Instant::now();
    container.start();
    container.says("written");
    let took = started.elapsed();
    assert!(took > Duration::from_millis(900), "2 MiB at 1 MiB/s in {took:?}");
    let text = file(&container, "io.stat");
    let written = text.split_whitespace().find_map(|word| word.strip_prefix("wbytes="));
    assert!(written.is_some_and(|n| n.parse::<u64>().expect("a number") >= 2 << 20), "{text}");
    Ok(())
}

/// UPD-4: the new rules take the place of the old ones in one step.
fn a_denied_device_stays_shut_during_updates() -> Outcome {
    needs::root()?;
    needs::cloison()?;
    let probe = "while :; do (exec 3</dev/probe) 2>/dev/null && echo open; echo tried; done";
    let container = Bundle::new()
        .push("/linux/devices", json!({"path": "/dev/probe", "type": "c", "major": 1, "minor": 11}))
        .set("/linux/resources/devices", json!([{"allow": false, "access": "rwm"}]))
        .push("/process/capabilities/bounding", "CAP_SYSLOG")
        .push("/process/capabilities/permitted", "CAP_SYSLOG")
        .push("/process/capabilities/effective", "CAP_SYSLOG")
        .sh(probe)
        .start();
    container.says("tried");
    for minor in 0..20 {
        let rules = json!({"devices": [
            {"allow": false, "access": "rwm"},
            {"allow": true, "type": "c", "major": 10, "minor": minor, "access": "rw"},
        ]});
        let line = ["update", "-r", "-", container.id()];
        container.bundle().sandbox().runtime(&line).input(&rules.to_string()).finish().ok();
    }
    let so_far = container.stdout().len();
    assert!(eventually(|| container.stdout().len() > so_far));
    assert!(!container.stdout().contains("open"));
    Ok(())
}

/// LOG-3
fn an_ignored_limit_is_warned_of_once() -> Outcome {
    needs::cloison()?;
    let bundle = Bundle::new().set("/linux/resources/memory/kernel", 1 << 30).args(&["true"]);
    let run = bundle.invoke("run", &[]).finish().ok();
    assert_eq!(run.stderr.matches("/linux/resources/memory/kernel").count(), 1, "{run}");
    Ok(())
}
