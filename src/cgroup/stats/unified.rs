//! The counters of the unified hierarchy.
//!
//! Source: the kernel's Documentation/admin-guide/cgroup-v2.rst.

use super::{
    Blkio, Cpu, CpuSet, CpuUsage, HugePages, IoCount, Memory, MemoryUse, Pids, Reader, Stats,
    Throttling, list,
};
use crate::cgroup::Error;
use crate::cgroup::apply::Files;
use std::collections::BTreeMap;

const NANOS_PER_MICRO: u64 = 1000;

/// Reads what the controllers of a cgroup have counted; `sizes` are those of huge pages.
pub(in crate::cgroup) fn unified(files: &impl Files, sizes: &[String]) -> Result<Stats, Error> {
    let of = |controller| Reader { files, controller };
    Ok(Stats {
        cpu: cpu(&of("cpu"))?,
        cpuset: cpuset(&of("cpuset"))?,
        memory: memory(&of("memory"))?,
        pids: pids(&of("pids"))?,
        blkio: blkio(&of("io"))?,
        hugetlb: hugetlb(&of("hugetlb"), sizes)?,
        ..Stats::default()
    })
}

fn cpu<F: Files>(files: &Reader<'_, F>) -> Result<Cpu, Error> {
    let counts = files.pairs("cpu.stat")?;
    let get = |name: &str| counts.get(name).copied().unwrap_or(0);
    let nanos = |name: &str| get(name).saturating_mul(NANOS_PER_MICRO);
    Ok(Cpu {
        usage: CpuUsage {
            total: nanos("usage_usec"),
            kernel: nanos("system_usec"),
            user: nanos("user_usec"),
            ..CpuUsage::default()
        },
        throttling: Throttling {
            periods: get("nr_periods"),
            throttled_periods: get("nr_throttled"),
            throttled_time: nanos("throttled_usec"),
        },
        psi: files.pressure("cpu.pressure")?,
    })
}

fn cpuset<F: Files>(files: &Reader<'_, F>) -> Result<CpuSet, Error> {
    let effective =
        |file| files.text(file).map(|text| text.as_deref().map(list).unwrap_or_default());
    Ok(CpuSet {
        cpus: effective("cpuset.cpus.effective")?,
        mems: effective("cpuset.mems.effective")?,
        ..CpuSet::default()
    })
}

fn memory<F: Files>(files: &Reader<'_, F>) -> Result<Memory, Error> {
    let raw = files.pairs("memory.stat")?;
    let events = files.pairs("memory.events")?;
    let usage = MemoryUse {
        limit: files.number("memory.max")?,
        usage: files.number("memory.current")?,
        max: files.number("memory.peak")?,
        failcnt: events.get("max").copied().unwrap_or(0),
    };
    let (swap_limit, swap_usage) =
        (files.number("memory.swap.max")?, files.number("memory.swap.current")?);
    let swap_failures = files.pairs("memory.swap.events")?.get("max").copied().unwrap_or(0);
    Ok(Memory {
        cache: raw.get("file").copied().unwrap_or(0),
        usage,
        swap: MemoryUse {
            limit: swap_limit.saturating_add(usage.limit),
            usage: swap_usage.saturating_add(usage.usage),
            // The two need not have been highest at the same time.
            max: 0,
            failcnt: swap_failures,
        },
        raw,
        psi: files.pressure("memory.pressure")?,
        events,
        ..Memory::default()
    })
}

fn pids<F: Files>(files: &Reader<'_, F>) -> Result<Pids, Error> {
    let limit = files.number("pids.max")?;
    let limit = if limit == u64::MAX { 0 } else { limit };
    Ok(Pids { current: files.number("pids.current")?, limit })
}

fn blkio<F: Files>(files: &Reader<'_, F>) -> Result<Blkio, Error> {
    let mut found = Blkio { psi: files.pressure("io.pressure")?, ..Blkio::default() };
    for line in files.text("io.stat")?.unwrap_or_default().lines() {
        let mut words = line.split_ascii_whitespace();
        let device = words.next().and_then(|number| number.split_once(':'));
        let Some((Ok(major), Ok(minor))) = device.map(|(a, b)| (a.parse(), b.parse())) else {
            continue;
        };
        for (key, value) in words.filter_map(|word| word.split_once('=')) {
            let (table, op) = match key {
                "rbytes" => (&mut found.io_service_bytes_recursive, "Read"),
                "wbytes" => (&mut found.io_service_bytes_recursive, "Write"),
                "dbytes" => (&mut found.io_service_bytes_recursive, "Discard"),
                "rios" => (&mut found.io_serviced_recursive, "Read"),
                "wios" => (&mut found.io_serviced_recursive, "Write"),
                "dios" => (&mut found.io_serviced_recursive, "Discard"),
                _ => continue,
            };
            let Ok(value) = value.parse() else { continue };
            table.push(IoCount { major, minor, op: op.to_owned(), value });
        }
    }
    Ok(found)
}

fn hugetlb<F: Files>(
    files: &Reader<'_, F>,
    sizes: &[String],
) -> Result<BTreeMap<String, HugePages>, Error> {
    let mut found = BTreeMap::new();
    for size in sizes {
        let Some(usage) = files.text(&format!("hugetlb.{size}.current"))? else { continue };
        let events = files.pairs(&format!("hugetlb.{size}.events"))?;
        let failcnt = events.get("max").copied().unwrap_or(0);
        let usage = usage.trim().parse().unwrap_or(0);
        found.insert(size.clone(), HugePages { usage, max: 0, failcnt });
    }
    Ok(found)
}
