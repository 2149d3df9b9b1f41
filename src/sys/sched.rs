//! Scheduling: policy, I/O priority, CPU affinity, NUMA memory (sched(7), ioprio_set(2),
//! set_mempolicy(2)).

use super::{Result, check};

/// The fields of struct sched_attr.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// `SCHED_*`.
    pub policy: u32,
    /// `SCHED_FLAG_*`.
    pub flags: u64,
    /// Nice value.
    pub nice: i32,
    /// Static priority.
    pub priority: u32,
    /// Runtime of a deadline policy in nanoseconds.
    pub runtime: u64,
    /// Deadline in nanoseconds.
    pub deadline: u64,
    /// Period in nanoseconds.
    pub period: u64,
}

#[repr(C)]
struct SchedAttr {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

/// Sets the scheduling policy of the calling process (sched_setattr(2)).
///
/// # Errors
/// Those of sched_setattr(2).
pub fn set_policy(policy: &Policy) -> Result<()> {
    let attr = SchedAttr {
        size: size_of::<SchedAttr>() as u32,
        policy: policy.policy,
        flags: policy.flags,
        nice: policy.nice,
        priority: policy.priority,
        runtime: policy.runtime,
        deadline: policy.deadline,
        period: policy.period,
    };
    // SAFETY: `attr` outlives the call and begins with its size.
    check(unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attr, 0) }).map(drop)
}

/// Sets the I/O priority of the calling process: class and level in one number (ioprio_set(2)).
///
/// # Errors
/// Those of ioprio_set(2).
pub fn set_io_priority(priority: u16) -> Result<()> {
    const IOPRIO_WHO_PROCESS: libc::c_int = 1;
    // SAFETY: takes no memory.
    check(unsafe {
        libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, libc::c_int::from(priority))
    })
    .map(drop)
}

/// Sets the NUMA memory policy of the calling process (set_mempolicy(2)).
///
/// # Errors
/// Those of set_mempolicy(2).
pub fn set_memory_policy(mode: u32, nodes: Option<&[u64]>) -> Result<()> {
    // The kernel takes one off the number of bits.
    let (mask, bits) = match nodes {
        Some(nodes) => (nodes.as_ptr(), nodes.len() * 64 + 1),
        None => (std::ptr::null(), 0),
    };
    // SAFETY: the mask is null or readable for the number of bits given.
    check(unsafe { libc::syscall(libc::SYS_set_mempolicy, mode, mask, bits) }).map(drop)
}

/// The CPUs that the calling process may run on, as a bit set (sched_getaffinity(2)).
///
/// # Errors
/// Those of sched_getaffinity(2).
pub fn affinity() -> Result<Vec<u64>> {
    // CONFIG_NR_CPUS is at most 8192.
    let mut cpus = vec![0; 8192 / 64];
    // SAFETY: the mask is writable for the length given.
    let bytes = check(unsafe {
        libc::syscall(
            libc::SYS_sched_getaffinity,
            0,
            size_of_val(cpus.as_slice()),
            cpus.as_mut_ptr(),
        )
    })?;
    cpus.truncate(bytes as usize / size_of::<u64>());
    Ok(cpus)
}

/// Restricts the calling process to CPUs, given as a bit set (sched_setaffinity(2)).
///
/// # Errors
/// Those of sched_setaffinity(2).
pub fn set_affinity(cpus: &[u64]) -> Result<()> {
    // SAFETY: the mask is readable for the length given.
    check(unsafe {
        libc::syscall(libc::SYS_sched_setaffinity, 0, size_of_val(cpus), cpus.as_ptr())
    })
    .map(drop)
}
