//! What the kernel has counted for a container's cgroup.
//!
//! [`Stats`] has the shape and the key names of runc's `events`, which engines decode, so both
//! versions of cgroups are told in the words of v1: memory+swap is one number, times are in
//! nanoseconds, I/O is listed per device and operation. What runc does not tell, and only that, has
//! names of its own: `memory.events`.

#[cfg(feature = "cgroup-v1")]
mod legacy;
mod unified;

#[cfg(feature = "cgroup-v1")]
pub(super) use legacy::legacy;
pub(super) use unified::unified;

use super::Error;
use super::apply::Files;
use super::tree::read_file;
use crate::plan::cgroup::path::c_string;
use crate::sys::Errno;
use serde::Serialize;
use std::collections::BTreeMap;

/// The counters of a cgroup. What a hierarchy does not count is 0 or empty.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Stats {
    /// Processor time.
    pub cpu: Cpu,
    /// Processors and memory nodes.
    pub cpuset: CpuSet,
    /// Memory.
    pub memory: Memory,
    /// Tasks.
    pub pids: Pids,
    /// Block I/O.
    pub blkio: Blkio,
    /// Huge pages, by page size (`2MB`).
    pub hugetlb: BTreeMap<String, HugePages>,
    /// Intel RDT: nothing is known of it.
    pub intel_rdt: IntelRdt,
    /// Network interfaces of the container but the loopback one.
    pub network_interfaces: Vec<Interface>,
}

/// Processor time.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Cpu {
    /// How much was used.
    pub usage: CpuUsage,
    /// How often the quota was used up.
    pub throttling: Throttling,
    /// Pressure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Pressure>,
}

/// Used processor time in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct CpuUsage {
    /// In all.
    pub total: u64,
    /// For each processor.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu: Vec<u64>,
    /// For each processor, in the kernel.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu_kernel: Vec<u64>,
    /// For each processor, outside of the kernel.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu_user: Vec<u64>,
    /// In the kernel.
    pub kernel: u64,
    /// Outside of the kernel.
    pub user: u64,
}

/// How often the quota was used up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Throttling {
    /// Periods in which there was something to run.
    pub periods: u64,
    /// Periods in which the quota was used up.
    pub throttled_periods: u64,
    /// Nanoseconds that tasks had to wait.
    pub throttled_time: u64,
}

/// Stalls (the kernel's Documentation/accounting/psi.rst).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Pressure {
    /// Some task stalled.
    pub some: Stall,
    /// All tasks stalled.
    pub full: Stall,
}

/// Shares of time in percent, and the total in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Stall {
    /// Over the last 10 seconds.
    pub avg10: f64,
    /// Over the last minute.
    pub avg60: f64,
    /// Over the last five minutes.
    pub avg300: f64,
    /// Since the beginning.
    pub total: u64,
}

/// Processors and memory nodes.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct CpuSet {
    /// Processors in use.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cpus: Vec<u16>,
    /// v1: cpuset.cpu_exclusive
    pub cpu_exclusive: u64,
    /// Memory nodes in use.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mems: Vec<u16>,
    /// v1: cpuset.mem_hardwall
    pub mem_hardwall: u64,
    /// v1: cpuset.mem_exclusive
    pub mem_exclusive: u64,
    /// v1: cpuset.memory_migrate
    pub memory_migrate: u64,
    /// v1: cpuset.memory_spread_page
    pub memory_spread_page: u64,
    /// v1: cpuset.memory_spread_slab
    pub memory_spread_slab: u64,
    /// v1: cpuset.memory_pressure
    pub memory_pressure: u64,
    /// v1: cpuset.sched_load_balance
    pub sched_load_balance: u64,
    /// v1: cpuset.sched_relax_domain_level
    pub sched_relax_domain_level: i64,
}

/// Memory.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Memory {
    /// Bytes of page cache.
    pub cache: u64,
    /// Memory.
    pub usage: MemoryUse,
    /// Memory and swap together.
    pub swap: MemoryUse,
    /// v1: kernel memory.
    pub kernel: MemoryUse,
    /// v1: buffers of TCP.
    #[serde(rename = "kernelTCP")]
    pub kernel_tcp: MemoryUse,
    /// memory.stat as it is.
    pub raw: BTreeMap<String, u64>,
    /// Pressure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Pressure>,
    /// memory.events as it is; of v1's memory.oom_control the number of kills.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub events: BTreeMap<String, u64>,
}

/// A limit on bytes and how near to it the use has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct MemoryUse {
    /// Bytes; 2^64 - 1, or what v1 makes of it, is no limit.
    pub limit: u64,
    /// Bytes in use.
    pub usage: u64,
    /// Most bytes that were ever in use.
    pub max: u64,
    /// How often the limit was met.
    pub failcnt: u64,
}

/// Tasks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Pids {
    /// How many there are.
    pub current: u64,
    /// How many there may be; 0 is no limit.
    pub limit: u64,
}

/// Block I/O.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Blkio {
    /// Bytes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_service_bytes_recursive: Vec<IoCount>,
    /// Operations.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_serviced_recursive: Vec<IoCount>,
    /// v1: operations that wait.
    #[serde(rename = "ioQueueRecursive", skip_serializing_if = "Vec::is_empty")]
    pub io_queued_recursive: Vec<IoCount>,
    /// v1: nanoseconds in service.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_service_time_recursive: Vec<IoCount>,
    /// v1: nanoseconds in queues.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_wait_time_recursive: Vec<IoCount>,
    /// v1: merged operations.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_merged_recursive: Vec<IoCount>,
    /// v1: milliseconds of the device's time.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_time_recursive: Vec<IoCount>,
    /// v1: sectors.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sectors_recursive: Vec<IoCount>,
    /// Pressure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Pressure>,
}

/// One counter of one device.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct IoCount {
    /// Major number of the device.
    pub major: u64,
    /// Minor number.
    pub minor: u64,
    /// Operation, such as `Read`; empty for counters of all together.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub op: String,
    /// The count.
    pub value: u64,
}

/// Huge pages of one size, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct HugePages {
    /// In use.
    pub usage: u64,
    /// v1: most that were ever in use.
    pub max: u64,
    /// How often the limit was met.
    pub failcnt: u64,
}

/// Intel RDT: nothing is known of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct IntelRdt {}

/// A network interface; the keys are those of runc, which has them in capitals.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Interface {
    /// Name in the container.
    pub name: String,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Packets received.
    pub rx_packets: u64,
    /// Errors of receiving.
    pub rx_errors: u64,
    /// Packets dropped on receiving.
    pub rx_dropped: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Errors of sending.
    pub tx_errors: u64,
    /// Packets dropped on sending.
    pub tx_dropped: u64,
}

/// Reads /proc/PID/net/dev (proc_pid_net(5)), without the loopback interface.
pub fn interfaces(text: &str) -> Vec<Interface> {
    text.lines().filter_map(interface).filter(|found| found.name != "lo").collect()
}

fn interface(line: &str) -> Option<Interface> {
    let (name, counts) = line.split_once(':')?;
    let mut counts = counts.split_ascii_whitespace().map_while(|count| count.parse().ok());
    let mut next = || counts.next();
    let [rx_bytes, rx_packets, rx_errors, rx_dropped] = [next()?, next()?, next()?, next()?];
    // fifo, frame, compressed, multicast
    let _ = [next()?, next()?, next()?, next()?];
    let [tx_bytes, tx_packets, tx_errors, tx_dropped] = [next()?, next()?, next()?, next()?];
    Some(Interface {
        name: name.trim().to_owned(),
        rx_bytes,
        rx_packets,
        rx_errors,
        rx_dropped,
        tx_bytes,
        tx_packets,
        tx_errors,
        tx_dropped,
    })
}

/// Reads files of a cgroup, those of one controller.
struct Reader<'f, F: Files> {
    files: &'f F,
    controller: &'static str,
}

impl<F: Files> Reader<'_, F> {
    /// The file's text; `None` where the kernel has no such file, or nothing to say in it.
    fn text(&self, file: &str) -> Result<Option<String>, Error> {
        let Some((dir, path)) = self.files.dir(self.controller) else { return Ok(None) };
        match read_file(dir, &c_string(file)) {
            Ok(text) => Ok(Some(text)),
            // Pressure may be switched off, and a cgroup may go away under the reader's hands.
            Err(Errno::ENOENT | Errno::EOPNOTSUPP | Errno::ENODEV) => Ok(None),
            Err(errno) => Err(Error::Read { path: path.join(file), errno }),
        }
    }

    /// The file's number; `max` is the largest.
    fn number(&self, file: &str) -> Result<u64, Error> {
        Ok(self.text(file)?.and_then(|text| number(text.trim())).unwrap_or(0))
    }

    /// A flat keyed file: one name and number per line.
    fn pairs(&self, file: &str) -> Result<BTreeMap<String, u64>, Error> {
        Ok(pairs(&self.text(file)?.unwrap_or_default()))
    }

    fn pressure(&self, file: &str) -> Result<Option<Pressure>, Error> {
        Ok(self.text(file)?.as_deref().and_then(pressure))
    }
}

fn number(text: &str) -> Option<u64> {
    if text == "max" { Some(u64::MAX) } else { text.parse().ok() }
}

fn pairs(text: &str) -> BTreeMap<String, u64> {
    let pair = |line: &str| {
        let (key, value) = line.split_once(' ')?;
        Some((key.to_owned(), value.trim().parse().ok()?))
    };
    text.lines().filter_map(pair).collect()
}

fn pressure(text: &str) -> Option<Pressure> {
    let stall = |kind: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(kind))?;
        let field = |name: &str| {
            let mut fields = line.split_ascii_whitespace().filter_map(|f| f.split_once('='));
            fields.find(|(key, _)| *key == name).map(|(_, value)| value)
        };
        let share = |name: &str| field(name)?.parse().ok();
        let (avg10, avg60) = (share("avg10")?, share("avg60")?);
        Some(Stall { avg10, avg60, avg300: share("avg300")?, total: field("total")?.parse().ok()? })
    };
    // Older kernels have no `full` line for processors.
    Some(Pressure { some: stall("some ")?, full: stall("full ").unwrap_or_default() })
}

/// A list such as `0-3,7`.
fn list(text: &str) -> Vec<u16> {
    let range = |range: &str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(first.trim().parse::<u16>().ok()?..=last.trim().parse::<u16>().ok()?)
    };
    text.trim().split(',').filter_map(range).flatten().collect()
}

#[cfg(test)]
mod tests;
