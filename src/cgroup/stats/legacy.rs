//! The counters of the legacy hierarchies.
//!
//! Source: the kernel's Documentation/admin-guide/cgroup-v1/.

use super::{
    Blkio, Cpu, CpuSet, CpuUsage, HugePages, IoCount, Memory, MemoryUse, Pids, Reader, Stats,
    Throttling, list,
};
use crate::cgroup::Error;
use crate::cgroup::apply::Files;
use std::collections::BTreeMap;

/// cpuacct.stat counts in units of USER_HZ, which is 100 (proc_stat(5)).
const NANOS_PER_TICK: u64 = 10_000_000;

/// Reads what the controllers of a cgroup have counted; `sizes` are those of huge pages.
pub(in crate::cgroup) fn legacy(files: &impl Files, sizes: &[String]) -> Result<Stats, Error> {
    let of = |controller| Reader { files, controller };
    Ok(Stats {
        cpu: Cpu { usage: usage(&of("cpuacct"))?, throttling: throttling(&of("cpu"))?, psi: None },
        cpuset: cpuset(&of("cpuset"))?,
        memory: memory(&of("memory"))?,
        pids: pids(&of("pids"))?,
        blkio: blkio(&of("blkio"))?,
        hugetlb: hugetlb(&of("hugetlb"), sizes)?,
        ..Stats::default()
    })
}

fn usage<F: Files>(files: &Reader<'_, F>) -> Result<CpuUsage, Error> {
    let ticks = files.pairs("cpuacct.stat")?;
    let nanos = |name| ticks.get(name).copied().unwrap_or(0).saturating_mul(NANOS_PER_TICK);
    let percpu = files.text("cpuacct.usage_percpu")?.unwrap_or_default();
    let all = files.text("cpuacct.usage_all")?.unwrap_or_default();
    let column = |at| {
        let rows = all.lines().skip(1);
        rows.filter_map(|row| row.split(' ').nth(at)?.parse().ok()).collect()
    };
    Ok(CpuUsage {
        total: files.number("cpuacct.usage")?,
        percpu: percpu.split_ascii_whitespace().filter_map(|n| n.parse().ok()).collect(),
        percpu_user: column(1),
        percpu_kernel: column(2),
        kernel: nanos("system"),
        user: nanos("user"),
    })
}

fn throttling<F: Files>(files: &Reader<'_, F>) -> Result<Throttling, Error> {
    let counts = files.pairs("cpu.stat")?;
    let get = |name| counts.get(name).copied().unwrap_or(0);
    Ok(Throttling {
        periods: get("nr_periods"),
        throttled_periods: get("nr_throttled"),
        throttled_time: get("throttled_time"),
    })
}

fn cpuset<F: Files>(files: &Reader<'_, F>) -> Result<CpuSet, Error> {
    let members = |file| files.text(file).map(|text| text.as_deref().map(list).unwrap_or_default());
    let level = files.text("cpuset.sched_relax_domain_level")?;
    Ok(CpuSet {
        cpus: members("cpuset.cpus")?,
        cpu_exclusive: files.number("cpuset.cpu_exclusive")?,
        mems: members("cpuset.mems")?,
        mem_hardwall: files.number("cpuset.mem_hardwall")?,
        mem_exclusive: files.number("cpuset.mem_exclusive")?,
        memory_migrate: files.number("cpuset.memory_migrate")?,
        memory_spread_page: files.number("cpuset.memory_spread_page")?,
        memory_spread_slab: files.number("cpuset.memory_spread_slab")?,
        memory_pressure: files.number("cpuset.memory_pressure")?,
        sched_load_balance: files.number("cpuset.sched_load_balance")?,
        sched_relax_domain_level: level.and_then(|text| text.trim().parse().ok()).unwrap_or(0),
    })
}

fn memory<F: Files>(files: &Reader<'_, F>) -> Result<Memory, Error> {
    let raw = files.pairs("memory.stat")?;
    let mut events = files.pairs("memory.oom_control")?;
    events.retain(|name, _| name == "oom_kill");
    let used = |kind: &str| -> Result<MemoryUse, Error> {
        Ok(MemoryUse {
            limit: files.number(&format!("{kind}.limit_in_bytes"))?,
            usage: files.number(&format!("{kind}.usage_in_bytes"))?,
            max: files.number(&format!("{kind}.max_usage_in_bytes"))?,
            failcnt: files.number(&format!("{kind}.failcnt"))?,
        })
    };
    Ok(Memory {
        cache: raw.get("cache").copied().unwrap_or(0),
        usage: used("memory")?,
        swap: used("memory.memsw")?,
        kernel: used("memory.kmem")?,
        kernel_tcp: used("memory.kmem.tcp")?,
        raw,
        psi: None,
        events,
    })
}

fn pids<F: Files>(files: &Reader<'_, F>) -> Result<Pids, Error> {
    let limit = files.number("pids.max")?;
    let limit = if limit == u64::MAX { 0 } else { limit };
    Ok(Pids { current: files.number("pids.current")?, limit })
}

/// A scheduler with proportional shares counts more than throttling does.
fn blkio<F: Files>(files: &Reader<'_, F>) -> Result<Blkio, Error> {
    let table = |names: &[&str]| -> Result<Vec<IoCount>, Error> {
        for name in names {
            let counts =
                counts(&files.text(&format!("blkio.{name}_recursive"))?.unwrap_or_default());
            if !counts.is_empty() {
                return Ok(counts);
            }
        }
        Ok(Vec::new())
    };
    Ok(Blkio {
        io_service_bytes_recursive: table(&["bfq.io_service_bytes", "throttle.io_service_bytes"])?,
        io_serviced_recursive: table(&["bfq.io_serviced", "throttle.io_serviced"])?,
        io_queued_recursive: table(&["bfq.io_queued"])?,
        io_service_time_recursive: table(&["bfq.io_service_time"])?,
        io_wait_time_recursive: table(&["bfq.io_wait_time"])?,
        io_merged_recursive: table(&["bfq.io_merged"])?,
        io_time_recursive: table(&["bfq.time"])?,
        sectors_recursive: table(&["bfq.sectors"])?,
        psi: None,
    })
}

/// Lines such as `8:0 Read 4096` and `8:0 17`; the sum over all devices has no number.
fn counts(text: &str) -> Vec<IoCount> {
    let count = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let (major, minor) = words.next()?.split_once(':')?;
        let second = words.next()?;
        let (op, value) = match words.next() {
            Some(value) => (second, value),
            None => ("", second),
        };
        Some(IoCount {
            major: major.parse().ok()?,
            minor: minor.parse().ok()?,
            op: op.to_owned(),
            value: value.parse().ok()?,
        })
    };
    text.lines().filter_map(count).collect()
}

fn hugetlb<F: Files>(
    files: &Reader<'_, F>,
    sizes: &[String],
) -> Result<BTreeMap<String, HugePages>, Error> {
    let mut found = BTreeMap::new();
    for size in sizes {
        let Some(usage) = files.text(&format!("hugetlb.{size}.usage_in_bytes"))? else { continue };
        found.insert(
            size.clone(),
            HugePages {
                usage: usage.trim().parse().unwrap_or(0),
                max: files.number(&format!("hugetlb.{size}.max_usage_in_bytes"))?,
                failcnt: files.number(&format!("hugetlb.{size}.failcnt"))?,
            },
        );
    }
    Ok(found)
}
