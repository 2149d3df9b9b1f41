//! `linux.resources` as writes to the files of the legacy (v1) hierarchies.
//!
//! Source: the kernel's Documentation/admin-guide/cgroup-v1/.

use super::unified::{
    bytes, cpuset, device_number, escape, hugetlb, idle, io_weight, kernel_memory_warnings, pids,
    rdma, throttles,
};
use super::{Error, Guard, Missing, Resources, Table, Topic, Write, invalid, warning};
use oci_spec::runtime::{LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxResources};

/// The writes of one topic.
///
/// # Errors
/// A value outside of its range.
pub(super) fn table(topic: Topic, resources: Resources<'_>) -> Result<Table, Error> {
    let typed = resources.typed;
    let writes_only = |writes| Ok(Table { writes, warnings: Vec::new() });
    match topic {
        Topic::Memory => typed.memory().as_ref().map_or_else(|| Ok(Table::default()), memory),
        Topic::Cpu => writes_only(match typed.cpu() {
            Some(settings) => cpu(settings)?,
            None => Vec::new(),
        }),
        Topic::Cpuset => writes_only(typed.cpu().as_ref().map(cpuset).unwrap_or_default()),
        Topic::Pids => writes_only(pids(resources.pids_limit)),
        Topic::BlockIo => writes_only(match typed.block_io() {
            Some(io) => block_io(io)?,
            None => Vec::new(),
        }),
        Topic::Hugetlb => writes_only(hugetlb(typed, "rsvd.limit_in_bytes", "limit_in_bytes")?),
        Topic::Rdma => writes_only(rdma(typed)?),
        Topic::NetClass => writes_only(class(typed)),
        Topic::NetPriority => writes_only(priorities(typed)?),
    }
}

fn memory(memory: &LinuxMemory) -> Result<Table, Error> {
    let hard = bytes("memory/limit", memory.limit())?;
    let swap = bytes("memory/swap", memory.swap())?;
    if let (Some(hard), Some(swap)) = (hard, swap)
        && hard > 0
        && swap > 0
        && swap < hard
    {
        let rule = "it includes memory, so it must not be below memory/limit";
        return Err(invalid("memory/swap", swap, rule));
    }
    // No limit on memory takes that on memory and swap along.
    let implied = if hard == Some(-1) { swap.or(Some(-1)) } else { swap };
    let checked = memory.check_before_update() == Some(true);
    let guard = |limit: i64| {
        let limit = u64::try_from(limit).ok().filter(|_| checked)?;
        Some(Guard { file: "memory.usage_in_bytes", limit })
    };
    let mut writes = Vec::new();
    if let Some(hard) = hard {
        let write = Write::new("memory", "memory.limit_in_bytes", hard, "memory/limit");
        let write = write.guarded(guard(hard));
        writes.push(if implied.is_some() { write.retried() } else { write });
    }
    if let Some(both) = implied {
        let pointer = if swap.is_some() { "memory/swap" } else { "memory/limit" };
        let write = Write::new("memory", "memory.memsw.limit_in_bytes", both, pointer);
        let missing = if both < 0 { Missing::Ignore } else { Missing::Refuse };
        writes.push(write.if_missing(missing));
    }
    if let Some(soft) = bytes("memory/reservation", memory.reservation())? {
        let file = "memory.soft_limit_in_bytes";
        writes.push(Write::new("memory", file, soft, "memory/reservation"));
    }
    if let Some(n) = memory.swappiness() {
        if n > 100 {
            return Err(invalid("memory/swappiness", n, "a number between 0 and 100"));
        }
        writes.push(Write::new("memory", "memory.swappiness", n, "memory/swappiness"));
    }
    if memory.disable_oom_killer() == Some(true) {
        writes.push(Write::new("memory", "memory.oom_control", 1, "memory/disableOOMKiller"));
    }
    let mut warnings = kernel_memory_warnings(memory);
    if memory.use_hierarchy() == Some(false) {
        let reason = "current kernels always account hierarchically";
        warnings.push(warning("memory/useHierarchy", reason));
    }
    Ok(Table { writes, warnings })
}

fn cpu(cpu: &LinuxCpu) -> Result<Vec<Write>, Error> {
    let mut writes = Vec::new();
    let mut push = |file: &'static str, pointer, value: Option<String>| {
        writes.extend(value.map(|value| Write::new("cpu", file, value, pointer)));
    };
    let some = |n: Option<u64>| n.filter(|n| *n != 0).map(|n| n.to_string());
    let signed = |n: Option<i64>| n.filter(|n| *n != 0).map(|n| n.to_string());
    push("cpu.shares", "cpu/shares", some(cpu.shares()));
    push("cpu.rt_period_us", "cpu/realtimePeriod", some(cpu.realtime_period()));
    push("cpu.rt_runtime_us", "cpu/realtimeRuntime", signed(cpu.realtime_runtime()));
    push("cpu.cfs_period_us", "cpu/period", some(cpu.period()));
    push("cpu.cfs_quota_us", "cpu/quota", signed(cpu.quota()));
    push("cpu.cfs_burst_us", "cpu/burst", cpu.burst().map(|n| n.to_string()));
    push("cpu.idle", "cpu/idle", idle(cpu)?.map(|n| n.to_string()));
    let last = writes.len();
    for (at, write) in writes.iter_mut().enumerate() {
        let paired = matches!(
            write.file.as_ref(),
            "cpu.rt_period_us" | "cpu.cfs_period_us" | "cpu.cfs_quota_us"
        );
        if paired && at + 1 < last {
            *write = write.clone().retried();
        }
        // Kernels without the file do what 0 asks for.
        if matches!(write.file.as_ref(), "cpu.cfs_burst_us" | "cpu.idle") && write.value == "0" {
            *write = write.clone().if_missing(Missing::Ignore);
        }
    }
    Ok(writes)
}

fn block_io(io: &LinuxBlockIo) -> Result<Vec<Write>, Error> {
    let mut writes = Vec::new();
    let weight = |file: &'static str, other, value: String, pointer: &str| {
        let write = Write::new("blkio", file, &value, pointer);
        write.if_missing(Missing::Instead { file: other, value })
    };
    if let Some(n) = io_weight("blockIO/weight", io.weight())? {
        let n = n.to_string();
        writes.push(weight("blkio.bfq.weight", "blkio.weight", n, "blockIO/weight"));
    }
    if let Some(n) = io_weight("blockIO/leafWeight", io.leaf_weight())? {
        writes.push(Write::new("blkio", "blkio.leaf_weight", n, "blockIO/leafWeight"));
    }
    for (index, device) in io.weight_device().iter().flatten().enumerate() {
        let pointer = format!("blockIO/weightDevice/{index}");
        let number = device_number(&pointer, device.major(), device.minor())?;
        let at = format!("{pointer}/weight");
        if let Some(n) = io_weight(&at, device.weight())? {
            let value = format!("{number} {n}");
            writes.push(weight("blkio.bfq.weight_device", "blkio.weight_device", value, &at));
        }
        let at = format!("{pointer}/leafWeight");
        if let Some(n) = io_weight(&at, device.leaf_weight())? {
            let value = format!("{number} {n}");
            writes.push(Write::new("blkio", "blkio.leaf_weight_device", value, &at));
        }
    }
    for (field, key, devices) in throttles(io) {
        let file = match key {
            "rbps" => "blkio.throttle.read_bps_device",
            "wbps" => "blkio.throttle.write_bps_device",
            "riops" => "blkio.throttle.read_iops_device",
            _ => "blkio.throttle.write_iops_device",
        };
        for (index, device) in devices.iter().flatten().enumerate() {
            let pointer = format!("blockIO/{field}/{index}");
            let number = device_number(&pointer, device.major(), device.minor())?;
            writes.push(Write::new("blkio", file, format!("{number} {}", device.rate()), &pointer));
        }
    }
    Ok(writes)
}

fn class(resources: &LinuxResources) -> Vec<Write> {
    let id = resources.network().as_ref().and_then(|network| network.class_id());
    id.filter(|id| *id != 0)
        .map(|id| Write::new("net_cls", "net_cls.classid", id, "network/classID"))
        .into_iter()
        .collect()
}

fn priorities(resources: &LinuxResources) -> Result<Vec<Write>, Error> {
    let list = resources.network().as_ref().and_then(|network| network.priorities().as_ref());
    list.into_iter()
        .flatten()
        .enumerate()
        .map(|(index, interface)| {
            let pointer = format!("network/priorities/{index}");
            let name = interface.name();
            if name.is_empty() || name.contains(char::is_whitespace) {
                let pointer = format!("{pointer}/{}", escape("name"));
                return Err(invalid(&pointer, format!("{name:?}"), "the name of an interface"));
            }
            let value = format!("{name} {}", interface.priority());
            Ok(Write::new("net_prio", "net_prio.ifpriomap", value, &pointer))
        })
        .collect()
}
