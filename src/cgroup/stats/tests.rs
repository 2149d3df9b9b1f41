use super::*;
use crate::cgroup::apply::OneDir;
use std::os::fd::AsFd;

struct Fake(tempfile::TempDir, std::fs::File);

impl Fake {
    fn new(files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        let fd = std::fs::File::open(dir.path()).unwrap();
        Self(dir, fd)
    }

    fn files(&self) -> OneDir<'_> {
        OneDir { fd: self.1.as_fd(), path: self.0.path() }
    }
}

/// CG-70.
#[test]
fn the_unified_hierarchy_is_told_in_the_words_of_the_legacy_ones() {
    let fake = Fake::new(&[
        (
            "cpu.stat",
            "usage_usec 30\nuser_usec 20\nsystem_usec 10\nnr_periods 4\nnr_throttled 2\nthrottled_usec 7\n",
        ),
        ("cpu.pressure", "some avg10=1.50 avg60=0.00 avg300=0.00 total=12\n"),
        ("memory.max", "1000\n"),
        ("memory.current", "600\n"),
        ("memory.peak", "900\n"),
        ("memory.swap.max", "max\n"),
        ("memory.swap.current", "50\n"),
        ("memory.stat", "anon 1\nfile 2\n"),
        ("memory.events", "low 0\nhigh 0\nmax 5\noom 1\noom_kill 1\noom_group_kill 0\n"),
        ("pids.current", "3\n"),
        ("pids.max", "max\n"),
        ("io.stat", "8:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n252:1 \n"),
        ("hugetlb.2MB.current", "4096\n"),
        ("hugetlb.2MB.events", "max 3\n"),
        ("cpuset.cpus.effective", "0-1,4\n"),
    ]);
    let stats = unified(&fake.files(), &["2MB".to_owned(), "1GB".to_owned()]).unwrap();
    let usage = &stats.cpu.usage;
    assert_eq!((usage.total, usage.user, usage.kernel), (30_000, 20_000, 10_000));
    assert_eq!(stats.cpu.throttling.throttled_time, 7000);
    assert_eq!(stats.cpu.psi.unwrap().some.avg10, 1.5);
    assert_eq!(stats.memory.usage, MemoryUse { limit: 1000, usage: 600, max: 900, failcnt: 5 });
    assert_eq!((stats.memory.swap.limit, stats.memory.swap.usage), (u64::MAX, 650));
    assert_eq!((stats.memory.cache, stats.memory.events["oom_kill"]), (2, 1));
    assert_eq!(stats.memory.psi, None);
    assert_eq!(stats.pids, Pids { current: 3, limit: 0 });
    let bytes = &stats.blkio.io_service_bytes_recursive;
    assert_eq!(bytes[1], IoCount { major: 8, minor: 0, op: "Write".into(), value: 20 });
    assert_eq!(stats.hugetlb["2MB"], HugePages { usage: 4096, max: 0, failcnt: 3 });
    assert!(!stats.hugetlb.contains_key("1GB"));
    assert_eq!(stats.cpuset.cpus, [0, 1, 4]);
}

/// CG-70.
#[cfg(feature = "cgroup-v1")]
#[test]
fn legacy_counters_are_told_as_they_are() {
    let fake = Fake::new(&[
        ("cpuacct.usage", "123\n"),
        ("cpuacct.usage_percpu", "100 23 \n"),
        ("cpuacct.usage_all", "cpu user system\n0 60 40\n1 20 3\n"),
        ("cpuacct.stat", "user 2\nsystem 1\n"),
        ("cpu.stat", "nr_periods 4\nnr_throttled 2\nthrottled_time 9\n"),
        ("memory.limit_in_bytes", "1000\n"),
        ("memory.usage_in_bytes", "10\n"),
        ("memory.max_usage_in_bytes", "20\n"),
        ("memory.failcnt", "1\n"),
        ("memory.stat", "cache 7\n"),
        ("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"),
        ("pids.max", "9\n"),
        ("blkio.throttle.io_service_bytes_recursive", "8:0 Read 5\n8:0 Total 5\nTotal 5\n"),
        ("blkio.bfq.sectors_recursive", "8:0 17\n"),
        ("cpuset.sched_relax_domain_level", "-1\n"),
    ]);
    let stats = legacy(&fake.files(), &[]).unwrap();
    assert_eq!((stats.cpu.usage.total, stats.cpu.usage.user), (123, 20_000_000));
    assert_eq!(stats.cpu.usage.percpu, [100, 23]);
    assert_eq!((stats.cpu.usage.percpu_user[1], stats.cpu.usage.percpu_kernel[0]), (20, 40));
    assert_eq!(stats.memory.usage, MemoryUse { limit: 1000, usage: 10, max: 20, failcnt: 1 });
    assert_eq!((stats.memory.cache, &stats.memory.events), (7, &[("oom_kill".into(), 2)].into()));
    assert_eq!(stats.pids.limit, 9);
    assert_eq!(stats.blkio.io_service_bytes_recursive.len(), 2);
    assert_eq!(stats.blkio.sectors_recursive[0].value, 17);
    assert_eq!(stats.cpuset.sched_relax_domain_level, -1);
}

/// CG-70: the names that engines decode, with their oddities.
#[test]
fn the_keys_are_those_of_runc() {
    let mut stats = Stats::default();
    stats.blkio.io_queued_recursive.push(IoCount::default());
    stats.network_interfaces.push(Interface::default());
    stats.cpu.psi = Some(Pressure::default());
    let value = serde_json::to_value(&stats).unwrap();
    for pointer in [
        "/cpu/usage/total",
        "/cpu/throttling/throttledPeriods",
        "/cpu/psi/full/avg300",
        "/cpuset/sched_relax_domain_level",
        "/memory/kernelTCP/failcnt",
        "/memory/usage/limit",
        "/pids/current",
        "/blkio/ioQueueRecursive/0/value",
        "/hugetlb",
        "/intel_rdt",
        "/network_interfaces/0/Name",
        "/network_interfaces/0/RxBytes",
    ] {
        assert!(value.pointer(pointer).is_some(), "{pointer}: {value}");
    }
    assert!(value.pointer("/memory/psi").is_none());
}

#[test]
fn interfaces_are_read_without_the_loopback_one() {
    let text = "Inter-|   Receive\n face |bytes\n    lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n  \
                eth0:10 11 12 13 0 0 0 0 20 21 22 23 0 0 0 0\n";
    let found = interfaces(text);
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].name.as_str(), found[0].rx_packets, found[0].tx_dropped),
        ("eth0", 11, 23)
    );
}
