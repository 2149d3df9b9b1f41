//! `linux.resources` as writes to the files of the unified (v2) hierarchy.
//!
//! Source: the kernel's Documentation/admin-guide/cgroup-v2.rst.

use super::{
    Error, Guard, Invalid, Missing, PidsLimit, Present, Resources, Table, Topic, Warning, Write,
    invalid, warning,
};
use oci_spec::runtime::{LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxResources};
use std::borrow::Cow;

/// The writes of one topic.
///
/// # Errors
/// A value outside of its range, or one that cgroup v2 cannot express.
pub(super) fn table(topic: Topic, resources: Resources<'_>) -> Result<Table, Error> {
    let typed = resources.typed;
    let writes_only = |writes| Ok(Table { writes, warnings: Vec::new() });
    match topic {
        Topic::Memory => match typed.memory() {
            Some(asked) => memory(asked, resources.present),
            None => Ok(Table::default()),
        },
        Topic::Cpu => match typed.cpu() {
            Some(asked) => cpu(asked, resources.present),
            None => Ok(Table::default()),
        },
        Topic::Cpuset => writes_only(typed.cpu().as_ref().map(cpuset).unwrap_or_default()),
        Topic::Pids => writes_only(pids(resources.pids_limit)),
        Topic::BlockIo => typed.block_io().as_ref().map_or_else(|| Ok(Table::default()), block_io),
        Topic::Hugetlb => writes_only(hugetlb(typed, "rsvd.max", "max")?),
        Topic::Rdma => writes_only(rdma(typed)?),
        Topic::NetClass | Topic::NetPriority => network(topic, typed),
    }
}

/// A number of bytes: 0 asks for nothing, -1 for no limit.
pub(super) fn bytes(pointer: &str, value: Option<i64>) -> Result<Option<i64>, Error> {
    match value {
        None | Some(0) => Ok(None),
        Some(n) if n >= -1 => Ok(Some(n)),
        Some(n) => Err(invalid(pointer, n, "a number of bytes, or -1 for no limit")),
    }
}

/// `max` for -1.
fn limit(value: i64) -> String {
    if value < 0 { "max".to_owned() } else { value.to_string() }
}

fn memory(memory: &LinuxMemory, present: Present) -> Result<Table, Error> {
    let hard = bytes("memory/limit", memory.limit())?;
    let swap = bytes("memory/swap", memory.swap())?;
    let swap_max = swap_max(hard, swap, present)?;
    let checked = memory.check_before_update() == Some(true);
    let guard = |limit: Option<i64>| {
        let limit = limit.filter(|_| checked).and_then(|limit| u64::try_from(limit).ok())?;
        Some(Guard { file: "memory.current", limit })
    };
    let mut writes = Vec::new();
    if let Some(hard) = hard {
        let write = Write::new("memory", "memory.max", limit(hard), "memory/limit");
        writes.push(write.guarded(guard(Some(hard))));
    }
    if let Some(low) = bytes("memory/reservation", memory.reservation())? {
        writes.push(Write::new("memory", "memory.low", limit(low), "memory/reservation"));
    }
    if let Some(swap_max) = swap_max {
        let pointer = if swap.is_some() { "memory/swap" } else { "memory/limit" };
        // Without swap accounting, no swap and any swap are what the container gets.
        let missing = if swap_max <= 0 { Missing::Ignore } else { Missing::Refuse };
        let write = Write::new("memory", "memory.swap.max", limit(swap_max), pointer);
        writes.push(write.if_missing(missing).guarded(guard(swap)));
    }
    Ok(Table { writes, warnings: memory_warnings(memory) })
}

/// The v2 limit of swap alone, from a limit of memory and swap together.
fn swap_max(hard: Option<i64>, swap: Option<i64>, present: Present) -> Result<Option<i64>, Error> {
    let pointer = "memory/swap";
    match (hard.or(present.memory_max.filter(|_| swap.is_some())), swap) {
        (Some(-1), None) => Ok(Some(-1)),
        (_, None) => Ok(None),
        (_, Some(-1)) => Ok(Some(-1)),
        (None | Some(-1), Some(swap)) => {
            Err(invalid(pointer, swap, "it includes memory, so memory/limit must be set as well"))
        }
        (Some(hard), Some(swap)) if swap < hard => {
            Err(invalid(pointer, swap, "it includes memory, so it must not be below memory/limit"))
        }
        (Some(hard), Some(swap)) => Ok(Some(swap - hard)),
    }
}

fn memory_warnings(memory: &LinuxMemory) -> Vec<Warning> {
    let mut warnings = kernel_memory_warnings(memory);
    if memory.swappiness().is_some() {
        warnings.push(warning("memory/swappiness", "cgroup v2 has no swappiness of its own"));
    }
    if memory.disable_oom_killer() == Some(true) {
        let reason = "cgroup v2 cannot disable the OOM killer";
        warnings.push(warning("memory/disableOOMKiller", reason));
    }
    if memory.use_hierarchy() == Some(false) {
        warnings.push(warning("memory/useHierarchy", "cgroup v2 always accounts hierarchically"));
    }
    warnings
}

/// Limits that current kernels have for neither version.
pub(super) fn kernel_memory_warnings(memory: &LinuxMemory) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let reason = "the kernel no longer limits kernel memory apart from the rest";
    if memory.kernel().is_some_and(|n| n != 0) {
        warnings.push(warning("memory/kernel", reason));
    }
    if memory.kernel_tcp().is_some_and(|n| n != 0) {
        warnings.push(warning("memory/kernelTCP", reason));
    }
    warnings
}

/// The weight (1 to 10000) that stands for a number of cpu shares (2 to 262144).
///
/// The curve is quadratic in the logarithm and maps the minimum, the default (1024 to 100) and
/// the maximum of one range onto those of the other.
pub fn weight_of_shares(shares: u64) -> u64 {
    match shares {
        0..=2 => 1,
        262_144.. => 10_000,
        1024 => 100,
        _ => {
            let l = (shares as f64).log2();
            let exponent = (l * l + 125.0 * l) / 612.0 - 7.0 / 34.0;
            (10f64.powf(exponent).ceil() as u64).clamp(1, 10_000)
        }
    }
}

/// The kernel's default period of cpu.max in microseconds.
const DEFAULT_PERIOD: u64 = 100_000;

fn cpu(cpu: &LinuxCpu, present: Present) -> Result<Table, Error> {
    for (pointer, asked) in [
        ("cpu/realtimeRuntime", cpu.realtime_runtime().is_some_and(|n| n != 0)),
        ("cpu/realtimePeriod", cpu.realtime_period().is_some_and(|n| n != 0)),
    ] {
        if asked {
            return Err(Error::OnlyV1 {
                pointer: format!("/linux/resources/{pointer}"),
                hint: "remove it; real-time scheduling is set by process.scheduler",
            });
        }
    }
    let mut table = Table::default();
    let idle = idle(cpu)?;
    if let Some(idle) = idle {
        table.writes.push(Write::new("cpu", "cpu.idle", idle, "cpu/idle"));
    }
    match cpu.shares().filter(|n| *n != 0) {
        Some(_) if idle == Some(1) => {
            table.warnings.push(warning("cpu/shares", "an idle cgroup has the lowest weight"));
        }
        Some(shares) => {
            let weight = weight_of_shares(shares);
            table.writes.push(Write::new("cpu", "cpu.weight", weight, "cpu/shares"));
        }
        None => {}
    }
    let burst = cpu.burst();
    if let Some(mut write) = cpu_max(cpu, present) {
        if burst.is_some() {
            write.invalid = Invalid::Later;
        }
        table.writes.push(write);
    }
    if let Some(burst) = burst {
        // Kernels before 5.14 have no bursts, which is what 0 asks for.
        let missing = if burst == 0 { Missing::Ignore } else { Missing::Refuse };
        let write = Write::new("cpu", "cpu.max.burst", burst, "cpu/burst");
        table.writes.push(write.if_missing(missing));
    }
    Ok(table)
}

pub(super) fn idle(cpu: &LinuxCpu) -> Result<Option<i64>, Error> {
    match cpu.idle() {
        Some(n) if !(0..=1).contains(&n) => Err(invalid("cpu/idle", n, "0 or 1")),
        other => Ok(other),
    }
}

fn cpu_max(cpu: &LinuxCpu, present: Present) -> Option<Write> {
    let quota = cpu.quota().filter(|n| *n != 0);
    let period = cpu.period().filter(|n| *n != 0);
    let pointer = if quota.is_some() { "cpu/quota" } else { "cpu/period" };
    if quota.is_none() && period.is_none() {
        return None;
    }
    let (old_quota, old_period) = present.cpu_max.unwrap_or((-1, DEFAULT_PERIOD));
    let value = format!("{} {}", limit(quota.unwrap_or(old_quota)), period.unwrap_or(old_period));
    Some(Write::new("cpu", "cpu.max", value, pointer))
}

/// The same in both versions.
pub(super) fn cpuset(cpu: &LinuxCpu) -> Vec<Write> {
    let files = [("cpuset.cpus", "cpu/cpus", cpu.cpus()), ("cpuset.mems", "cpu/mems", cpu.mems())];
    files
        .into_iter()
        .filter_map(|(file, pointer, value)| {
            let value = value.as_deref().filter(|value| !value.is_empty())?;
            Some(Write::new("cpuset", file, value, pointer))
        })
        .collect()
}

/// The same in both versions; 0 is a limit.
pub(super) fn pids(asked: PidsLimit) -> Vec<Write> {
    match asked {
        PidsLimit::Absent => Vec::new(),
        PidsLimit::Said(n) => vec![Write::new("pids", "pids.max", limit(n), "pids/limit")],
    }
}

/// The range of blockIO weights.
const WEIGHTS: std::ops::RangeInclusive<u16> = 10..=1000;

/// A blockIO weight: 0 asks for nothing.
pub(super) fn io_weight(pointer: &str, value: Option<u16>) -> Result<Option<u16>, Error> {
    match value {
        None | Some(0) => Ok(None),
        Some(n) if WEIGHTS.contains(&n) => Ok(Some(n)),
        Some(n) => Err(invalid(pointer, n, "a weight between 10 and 1000")),
    }
}

/// A weight on io.weight's scale of 1 to 10000, from one between 10 and 1000.
fn wide_weight(weight: u16) -> u64 {
    1 + (u64::from(weight) - 10) * 9999 / 990
}

fn block_io(io: &LinuxBlockIo) -> Result<Table, Error> {
    let mut table = Table::default();
    if io.leaf_weight().is_some_and(|n| n != 0) {
        table.warnings.push(warning("blockIO/leafWeight", "cgroup v2 has no leaf weights"));
    }
    if let Some(weight) = io_weight("blockIO/weight", io.weight())? {
        let write = Write::new("io", "io.bfq.weight", weight, "blockIO/weight");
        let value = wide_weight(weight).to_string();
        table.writes.push(write.if_missing(Missing::Instead { file: "io.weight", value }));
    }
    for (index, device) in io.weight_device().iter().flatten().enumerate() {
        let pointer = format!("blockIO/weightDevice/{index}/weight");
        if device.leaf_weight().is_some_and(|n| n != 0) {
            let pointer = format!("blockIO/weightDevice/{index}/leafWeight");
            table.warnings.push(warning(&pointer, "cgroup v2 has no leaf weights"));
        }
        let Some(weight) = io_weight(&pointer, device.weight())? else { continue };
        let device = device_number(&pointer, device.major(), device.minor())?;
        let write = Write::new("io", "io.bfq.weight", format!("{device} {weight}"), &pointer);
        let value = format!("{device} {}", wide_weight(weight));
        table.writes.push(write.if_missing(Missing::Instead { file: "io.weight", value }));
    }
    for (field, key, devices) in throttles(io) {
        for (index, device) in devices.iter().flatten().enumerate() {
            let pointer = format!("blockIO/{field}/{index}");
            let number = device_number(&pointer, device.major(), device.minor())?;
            // The kernel refuses 0; as in cgroup v1, it means no limit.
            let rate = match device.rate() {
                0 => "max".to_owned(),
                rate => rate.to_string(),
            };
            table.writes.push(Write::new(
                "io",
                "io.max",
                format!("{number} {key}={rate}"),
                &pointer,
            ));
        }
    }
    Ok(table)
}

type Throttle<'a> =
    (&'static str, &'static str, &'a Option<Vec<oci_spec::runtime::LinuxThrottleDevice>>);

/// Each throttle with its name in the config and its key in io.max.
pub(super) fn throttles(io: &LinuxBlockIo) -> [Throttle<'_>; 4] {
    [
        ("throttleReadBpsDevice", "rbps", io.throttle_read_bps_device()),
        ("throttleWriteBpsDevice", "wbps", io.throttle_write_bps_device()),
        ("throttleReadIOPSDevice", "riops", io.throttle_read_iops_device()),
        ("throttleWriteIOPSDevice", "wiops", io.throttle_write_iops_device()),
    ]
}

/// `MAJOR:MINOR`.
pub(super) fn device_number(pointer: &str, major: i64, minor: i64) -> Result<String, Error> {
    match (u32::try_from(major), u32::try_from(minor)) {
        (Ok(major), Ok(minor)) => Ok(format!("{major}:{minor}")),
        _ => Err(invalid(pointer, format!("{major}:{minor}"), "a device number")),
    }
}

/// Two limits per page size: on reservations where the kernel has it (5.7), and on use.
pub(super) fn hugetlb(
    resources: &LinuxResources,
    reserved: &str,
    used: &str,
) -> Result<Vec<Write>, Error> {
    let mut writes = Vec::new();
    for (index, page) in resources.hugepage_limits().iter().flatten().enumerate() {
        let size = page.page_size();
        if !is_page_size(size) {
            let pointer = format!("hugepageLimits/{index}/pageSize");
            return Err(invalid(&pointer, size, "a size such as 64KB, 2MB or 1GB"));
        }
        let pointer = format!("hugepageLimits/{index}/limit");
        let bytes = u64::try_from(page.limit())
            .map_err(|_| invalid(&pointer, page.limit(), "a number of bytes"))?;
        let write = Write::new("hugetlb", format!("hugetlb.{size}.{reserved}"), bytes, &pointer);
        writes.push(write.if_missing(Missing::Ignore));
        writes.push(Write::new("hugetlb", format!("hugetlb.{size}.{used}"), bytes, &pointer));
    }
    Ok(writes)
}

/// Digits and a unit, as in the names of the kernel's files.
fn is_page_size(size: &str) -> bool {
    let digits = ["KB", "MB", "GB"].iter().find_map(|unit| size.strip_suffix(unit));
    digits.is_some_and(|digits| {
        !digits.starts_with('0') && !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
    })
}

/// The same in both versions; devices in the order of their names.
pub(super) fn rdma(resources: &LinuxResources) -> Result<Vec<Write>, Error> {
    let Some(devices) = resources.rdma() else { return Ok(Vec::new()) };
    let mut names: Vec<_> = devices.keys().collect();
    names.sort();
    names
        .into_iter()
        .map(|name| {
            let pointer = format!("rdma/{}", escape(name));
            if name.is_empty() || name.contains(char::is_whitespace) {
                return Err(invalid(&pointer, format!("{name:?}"), "the name of an RDMA device"));
            }
            let device = &devices[name];
            let mut value = name.clone();
            if let Some(n) = device.hca_handles() {
                value.push_str(&format!(" hca_handle={n}"));
            }
            if let Some(n) = device.hca_objects() {
                value.push_str(&format!(" hca_object={n}"));
            }
            if value == *name {
                let rule = "at least one of hcaHandles and hcaObjects must be set";
                return Err(invalid(&pointer, format!("{name:?}"), rule));
            }
            Ok(Write::new("rdma", "rdma.max", value, &pointer))
        })
        .collect()
}

/// A member name as part of a JSON pointer (RFC 6901).
pub(super) fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn network(topic: Topic, resources: &LinuxResources) -> Result<Table, Error> {
    let Some(network) = resources.network() else { return Ok(Table::default()) };
    let (field, asked) = match topic {
        Topic::NetClass => ("classID", network.class_id().is_some_and(|id| id != 0)),
        _ => ("priorities", network.priorities().as_ref().is_some_and(|p| !p.is_empty())),
    };
    if asked {
        return Err(Error::OnlyV1 {
            pointer: format!("/linux/resources/network/{field}"),
            hint: "remove it, and match the container's cgroup by path in nftables instead",
        });
    }
    Ok(Table::default())
}

/// The entries of `unified`, in the order of their names, after everything else so that they win.
///
/// # Errors
/// A key that is not a plain file name.
pub(super) fn raw(resources: &LinuxResources) -> Result<Vec<Write>, Error> {
    let Some(entries) = resources.unified() else { return Ok(Vec::new()) };
    let mut keys: Vec<_> = entries.keys().collect();
    keys.sort();
    let mut writes = Vec::new();
    for key in keys {
        let pointer = format!("unified/{}", escape(key));
        let Some((controller, _)) = key.split_once('.').filter(|_| is_file_name(key)) else {
            let rule = "a cgroup file name such as memory.high, without slashes";
            return Err(invalid(&pointer, format!("{key:?}"), rule));
        };
        // The kernel takes one record per write, so each line is a write of its own.
        let value = &entries[key];
        let lines = value.split('\n').filter(|line| !line.is_empty());
        let lines: Vec<_> = if value.is_empty() { vec![""] } else { lines.collect() };
        for line in lines {
            let mut write = Write::new("cgroup", key.clone(), line, &pointer);
            write.controller = Cow::Owned(controller.to_owned());
            writes.push(write);
        }
    }
    Ok(writes)
}

fn is_file_name(key: &str) -> bool {
    !key.contains(['/', '\0']) && !key.starts_with('.') && !key.ends_with('.')
}
