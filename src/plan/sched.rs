//! When and where the process runs: scheduler, I/O priority, CPU affinity, and
//! NUMA memory policy, as arguments of their system calls.

use oci_spec::runtime as oci;
use oci_spec::runtime::{
    IOPriorityClass, LinuxSchedulerFlag, LinuxSchedulerPolicy, MemoryPolicyFlagType,
    MemoryPolicyModeType,
};
use thiserror::Error;

/// The fields of `struct sched_attr` (sched_setattr(2)); the clamps, for which
/// config.json has no values, are left to the caller as zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scheduler {
    /// `SCHED_*`
    pub policy: u32,
    /// `SCHED_FLAG_*`
    pub flags: u64,
    /// -20 (most) to 19.
    pub nice: i32,
    /// 1 to 99 for SCHED_FIFO and SCHED_RR, else 0.
    pub priority: u32,
    /// SCHED_DEADLINE: nanoseconds of each period.
    pub runtime: u64,
    /// SCHED_DEADLINE: nanoseconds from the start of a period.
    pub deadline: u64,
    /// SCHED_DEADLINE: nanoseconds; 0 is the deadline.
    pub period: u64,
}

/// The last argument of ioprio_set(2): class and level in one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IoPriority(pub u16);

/// A set of small numbers as the kernel's bitmaps have it: bit `n % 64` of
/// word `n / 64` stands for `n`. Never empty; the last word is not zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BitSet(pub Box<[u64]>);

/// Where processes that are executed into the container run. The container's
/// own process is not meant (config.md).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Affinity {
    /// The CPUs before the process enters the container's cgroup.
    pub initial: Option<BitSet>,
    /// The CPUs from then on; none leaves them to the kernel.
    pub last: Option<BitSet>,
}

/// Arguments of set_mempolicy(2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryPolicy {
    /// `MPOL_*`, with the `MPOL_F_*` flags in the upper bits.
    pub mode: u32,
    /// The nodes; none is a null mask.
    pub nodes: Option<BitSet>,
}

impl BitSet {
    /// `maxnode` of set_mempolicy(2), of which the kernel takes one off.
    pub fn max_node(&self) -> u64 {
        self.0.len() as u64 * 64 + 1
    }
}

/// A refused setting.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Error {
    /// Beyond setpriority(2).
    #[error("/process/scheduler/nice: {nice} is not between -20 and 19")]
    Nice {
        /// As given.
        nice: i32,
    },
    /// SCHED_FIFO and SCHED_RR need a priority, others cannot have one.
    #[error("/process/scheduler/priority: {priority} is not {expected} for {policy}")]
    Priority {
        /// As given, or 0.
        priority: i32,
        /// What it must be.
        expected: &'static str,
        /// The policy's name.
        policy: String,
    },
    /// Runtime, deadline and period are for SCHED_DEADLINE.
    #[error("/process/scheduler/{key}: is for SCHED_DEADLINE, not for {policy}")]
    NotDeadline {
        /// `runtime`, `deadline` or `period`.
        key: &'static str,
        /// The policy's name.
        policy: String,
    },
    /// sched(7): 1024 <= runtime <= deadline <= period < 2^63.
    #[error("/process/scheduler/{key}: {value} is {cause}")]
    Deadline {
        /// `runtime`, `deadline` or `period`.
        key: &'static str,
        /// As given, or 0.
        value: u64,
        /// What is wrong.
        cause: &'static str,
    },
    /// Levels are 0 to 7.
    #[error("/process/ioPriority/priority: {priority} is not between 0 and 7")]
    IoPriority {
        /// As given.
        priority: i64,
    },
    /// Not numbers and ranges with commas between them.
    #[error("{pointer}: {list:?} is not a list such as 0-3,7")]
    List {
        /// Where it stands in config.json.
        pointer: &'static str,
        /// The list as given.
        list: String,
    },
    /// A range that runs backwards.
    #[error("{pointer}: {first}-{last} runs backwards")]
    Backwards {
        /// Where it stands in config.json.
        pointer: &'static str,
        /// Start of the range.
        first: u32,
        /// End of the range.
        last: u32,
    },
    /// More than any kernel can be built for.
    #[error("{pointer}: {number} is above {max}, the largest that Linux knows")]
    TooLarge {
        /// Where it stands in config.json.
        pointer: &'static str,
        /// The number as given.
        number: u32,
        /// The largest possible.
        max: u32,
    },
    /// A mode that needs nodes has none.
    #[error("/linux/memoryPolicy/nodes: {mode} needs nodes")]
    NoNodes {
        /// The mode's name.
        mode: String,
    },
    /// A mode that takes no nodes has some.
    #[error("/linux/memoryPolicy/nodes: {mode} takes no nodes")]
    Nodes {
        /// The mode's name.
        mode: String,
    },
    /// A flag that does not go with the mode or another flag.
    #[error("/linux/memoryPolicy/flags/{index}: {flag} cannot be combined with {with}")]
    MemoryFlag {
        /// Position of the flag.
        index: usize,
        /// The flag's name.
        flag: String,
        /// The name of the mode or the flag that rules it out.
        with: String,
    },
}

/// `process.scheduler`: what is absent is 0 (config.md).
///
/// Checked is what sched_setattr(2) would answer with EINVAL, but SCHED_ISO,
/// which config.md lists and Linux never had, is left to the kernel. A nice
/// value is accepted with any policy, as the kernel does.
pub fn scheduler(asked: Option<&oci::Scheduler>) -> Result<Option<Scheduler>, Error> {
    let Some(asked) = asked else { return Ok(None) };
    let scheduler = Scheduler {
        policy: policy(*asked.policy()),
        flags: asked.flags().iter().flatten().fold(0, |bits, flag| bits | scheduler_flag(*flag)),
        nice: nice(asked.nice().unwrap_or(0))?,
        priority: priority(*asked.policy(), asked.priority().unwrap_or(0))?,
        runtime: asked.runtime().unwrap_or(0),
        deadline: asked.deadline().unwrap_or(0),
        period: asked.period().unwrap_or(0),
    };
    match asked.policy() {
        LinuxSchedulerPolicy::SchedDeadline => check_deadline(&scheduler)?,
        policy => check_no_deadline(&scheduler, *policy)?,
    }
    Ok(Some(scheduler))
}

/// include/uapi/linux/sched.h
fn policy(policy: LinuxSchedulerPolicy) -> u32 {
    match policy {
        LinuxSchedulerPolicy::SchedOther => 0,
        LinuxSchedulerPolicy::SchedFifo => 1,
        LinuxSchedulerPolicy::SchedRr => 2,
        LinuxSchedulerPolicy::SchedBatch => 3,
        LinuxSchedulerPolicy::SchedIso => 4,
        LinuxSchedulerPolicy::SchedIdle => 5,
        LinuxSchedulerPolicy::SchedDeadline => 6,
    }
}

/// include/uapi/linux/sched.h
fn scheduler_flag(flag: LinuxSchedulerFlag) -> u64 {
    match flag {
        LinuxSchedulerFlag::SchedResetOnFork => 0x01,
        LinuxSchedulerFlag::SchedFlagReclaim => 0x02,
        LinuxSchedulerFlag::SchedFlagDLOverrun => 0x04,
        LinuxSchedulerFlag::SchedFlagKeepPolicy => 0x08,
        LinuxSchedulerFlag::SchedFlagKeepParams => 0x10,
        LinuxSchedulerFlag::SchedFlagUtilClampMin => 0x20,
        LinuxSchedulerFlag::SchedFlagUtilClampMax => 0x40,
    }
}

fn nice(nice: i32) -> Result<i32, Error> {
    if (-20..=19).contains(&nice) { Ok(nice) } else { Err(Error::Nice { nice }) }
}

fn priority(policy: LinuxSchedulerPolicy, priority: i32) -> Result<u32, Error> {
    let (range, expected) = match policy {
        LinuxSchedulerPolicy::SchedFifo | LinuxSchedulerPolicy::SchedRr => {
            (1..=99, "between 1 and 99")
        }
        _ => (0..=0, "0"),
    };
    match u32::try_from(priority) {
        Ok(number) if range.contains(&number) => Ok(number),
        _ => Err(Error::Priority { priority, expected, policy: policy.to_string() }),
    }
}

fn check_no_deadline(scheduler: &Scheduler, policy: LinuxSchedulerPolicy) -> Result<(), Error> {
    let fields = [
        ("runtime", scheduler.runtime),
        ("deadline", scheduler.deadline),
        ("period", scheduler.period),
    ];
    match fields.into_iter().find(|(_, value)| *value != 0) {
        Some((key, _)) => Err(Error::NotDeadline { key, policy: policy.to_string() }),
        None => Ok(()),
    }
}

/// kernel/sched/deadline.c, `__checkparam_dl`.
fn check_deadline(scheduler: &Scheduler) -> Result<(), Error> {
    let Scheduler { runtime, deadline, period, .. } = *scheduler;
    let refuse = |key, value, cause| Err(Error::Deadline { key, value, cause });
    if deadline == 0 {
        return refuse("deadline", deadline, "not greater than zero");
    }
    if runtime < 1024 {
        return refuse("runtime", runtime, "below 1024 ns, the kernel's resolution");
    }
    if runtime > deadline {
        return refuse("runtime", runtime, "above the deadline");
    }
    if deadline > i64::MAX as u64 {
        return refuse("deadline", deadline, "2^63 or more");
    }
    if period > i64::MAX as u64 {
        return refuse("period", period, "2^63 or more");
    }
    if period != 0 && deadline > period {
        return refuse("deadline", deadline, "above the period");
    }
    Ok(())
}

/// `process.ioPriority` (include/uapi/linux/ioprio.h). A level is accepted
/// with IOPRIO_CLASS_IDLE, which has none, for config.md's example has one.
pub fn io_priority(asked: Option<&oci::LinuxIOPriority>) -> Result<Option<IoPriority>, Error> {
    let Some(asked) = asked else { return Ok(None) };
    let class: u16 = match asked.class() {
        IOPriorityClass::IoprioClassRt => 1,
        IOPriorityClass::IoprioClassBe => 2,
        IOPriorityClass::IoprioClassIdle => 3,
    };
    let priority = asked.priority();
    match u16::try_from(priority) {
        Ok(level @ 0..=7) => Ok(Some(IoPriority(class << 13 | level))),
        _ => Err(Error::IoPriority { priority }),
    }
}

/// CPUs of the largest kernels (CONFIG_NR_CPUS) and nodes (MAX_NUMNODES).
const CPU_MAX: u32 = 8191;
const NODE_MAX: u32 = 1023;

/// `process.execCPUAffinity`: an empty list is an absent one (config.md).
pub fn affinity(asked: Option<&oci::ExecCPUAffinity>) -> Result<Affinity, Error> {
    let Some(asked) = asked else { return Ok(Affinity::default()) };
    let (initial, last) = (asked.initial(), asked.cpu_affinity_final());
    Ok(Affinity {
        initial: list("/process/execCPUAffinity/initial", initial.as_deref(), CPU_MAX)?,
        last: list("/process/execCPUAffinity/final", last.as_deref(), CPU_MAX)?,
    })
}

/// `linux.memoryPolicy`: checked is what set_mempolicy(2) would answer with
/// EINVAL on every machine.
pub fn memory_policy(
    asked: Option<&oci::LinuxMemoryPolicy>,
) -> Result<Option<MemoryPolicy>, Error> {
    let Some(asked) = asked else { return Ok(None) };
    let mode = asked.mode();
    let flags = memory_flags(mode, asked.flags().as_deref().unwrap_or_default())?;
    let nodes = list("/linux/memoryPolicy/nodes", asked.nodes().as_deref(), NODE_MAX)?;
    let name = || mode.to_string();
    match mode {
        MemoryPolicyModeType::MpolDefault | MemoryPolicyModeType::MpolLocal if nodes.is_some() => {
            return Err(Error::Nodes { mode: name() });
        }
        MemoryPolicyModeType::MpolDefault | MemoryPolicyModeType::MpolLocal => {}
        // Without nodes it means the local one; a flag about nodes then has no sense.
        MemoryPolicyModeType::MpolPreferred if flags & (STATIC_NODES | RELATIVE_NODES) == 0 => {}
        _ if nodes.is_none() => return Err(Error::NoNodes { mode: name() }),
        _ => {}
    }
    Ok(Some(MemoryPolicy { mode: number(&MEMORY_MODES, mode) | flags, nodes }))
}

/// Every memory policy with its number (include/uapi/linux/mempolicy.h).
pub const MEMORY_MODES: [(MemoryPolicyModeType, u32); 7] = [
    (MemoryPolicyModeType::MpolDefault, 0),
    (MemoryPolicyModeType::MpolPreferred, 1),
    (MemoryPolicyModeType::MpolBind, 2),
    (MemoryPolicyModeType::MpolInterleave, 3),
    (MemoryPolicyModeType::MpolLocal, 4),
    (MemoryPolicyModeType::MpolPreferredMany, 5),
    (MemoryPolicyModeType::MpolWeightedInterleave, 6),
];

/// Every flag of memory policies with its bit (include/uapi/linux/mempolicy.h).
pub const MEMORY_FLAGS: [(MemoryPolicyFlagType, u32); 3] = [
    (MemoryPolicyFlagType::MpolFNumaBalancing, NUMA_BALANCING),
    (MemoryPolicyFlagType::MpolFRelativeNodes, RELATIVE_NODES),
    (MemoryPolicyFlagType::MpolFStaticNodes, STATIC_NODES),
];

const STATIC_NODES: u32 = 1 << 15;
const RELATIVE_NODES: u32 = 1 << 14;
const NUMA_BALANCING: u32 = 1 << 13;

/// The number of a name in a table that has them all.
fn number<T: Copy + PartialEq>(table: &[(T, u32)], name: T) -> u32 {
    table.iter().find(|(known, _)| *known == name).map_or(0, |(_, number)| *number)
}

fn memory_flags(mode: MemoryPolicyModeType, asked: &[MemoryPolicyFlagType]) -> Result<u32, Error> {
    let mut bits = 0;
    for (index, flag) in asked.iter().enumerate() {
        let refuse = |with: String| Err(Error::MemoryFlag { index, flag: flag.to_string(), with });
        let local = mode == MemoryPolicyModeType::MpolLocal;
        let (excludes, excluded) = match flag {
            MemoryPolicyFlagType::MpolFStaticNodes => {
                (RELATIVE_NODES, MemoryPolicyFlagType::MpolFRelativeNodes)
            }
            MemoryPolicyFlagType::MpolFRelativeNodes => {
                (STATIC_NODES, MemoryPolicyFlagType::MpolFStaticNodes)
            }
            MemoryPolicyFlagType::MpolFNumaBalancing => (0, *flag),
        };
        let bit = number(&MEMORY_FLAGS, *flag);
        let balances = matches!(
            mode,
            MemoryPolicyModeType::MpolBind | MemoryPolicyModeType::MpolPreferredMany
        );
        if local || (bit == NUMA_BALANCING && !balances) {
            return refuse(mode.to_string());
        }
        if bits & excludes != 0 {
            return refuse(excluded.to_string());
        }
        bits |= bit;
    }
    Ok(bits)
}

/// Numbers and ranges with commas between them: `0-3,7`. Absent and empty are none.
fn list(pointer: &'static str, list: Option<&str>, max: u32) -> Result<Option<BitSet>, Error> {
    let Some(list) = list.filter(|list| !list.is_empty()) else { return Ok(None) };
    let malformed = || Error::List { pointer, list: list.to_owned() };
    let number = |digits: &str| {
        let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        if plain { digits.parse::<u32>().map_err(|_| malformed()) } else { Err(malformed()) }
    };
    let mut words: Vec<u64> = Vec::new();
    for range in list.split(',') {
        let (first, last) = match range.split_once('-') {
            Some((first, last)) => (number(first)?, number(last)?),
            None => (number(range)?, number(range)?),
        };
        if first > last {
            return Err(Error::Backwards { pointer, first, last });
        }
        if last > max {
            return Err(Error::TooLarge { pointer, number: last, max });
        }
        let length = last as usize / 64 + 1;
        words.resize(words.len().max(length), 0);
        for member in first..=last {
            if let Some(word) = words.get_mut(member as usize / 64) {
                *word |= 1 << (member % 64);
            }
        }
    }
    Ok(Some(BitSet(words.into_boxed_slice())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn plan(value: Value) -> Scheduler {
        scheduler(Some(&serde_json::from_value(value).unwrap())).unwrap().unwrap()
    }

    fn refusal(value: Value) -> String {
        scheduler(Some(&serde_json::from_value(value).unwrap())).unwrap_err().to_string()
    }

    #[test]
    fn absent_is_none() {
        assert_eq!(scheduler(None), Ok(None));
        assert_eq!(io_priority(None), Ok(None));
        assert_eq!(affinity(None), Ok(Affinity::default()));
        assert_eq!(memory_policy(None), Ok(None));
    }

    #[test]
    fn policies_have_the_kernels_numbers() {
        let policies = ["OTHER", "FIFO", "RR", "BATCH", "ISO", "IDLE"];
        for (number, name) in policies.into_iter().enumerate() {
            let priority = if ["FIFO", "RR"].contains(&name) { 1 } else { 0 };
            let scheduler =
                plan(json!({ "policy": format!("SCHED_{name}"), "priority": priority }));
            assert_eq!(
                scheduler,
                Scheduler { policy: number as u32, priority, ..Scheduler::default() }
            );
        }
    }

    #[test]
    fn flags_have_the_kernels_bits() {
        use LinuxSchedulerFlag::*;
        let flags = [
            SchedResetOnFork,
            SchedFlagReclaim,
            SchedFlagDLOverrun,
            SchedFlagKeepPolicy,
            SchedFlagKeepParams,
            SchedFlagUtilClampMin,
            SchedFlagUtilClampMax,
        ];
        for (index, flag) in flags.into_iter().enumerate() {
            assert_eq!(scheduler_flag(flag), 1 << index);
        }
        let mut asked = oci::Scheduler::default();
        asked.set_flags(Some(flags.to_vec()));
        assert_eq!(scheduler(Some(&asked)).unwrap().unwrap().flags, 0x7f);
    }

    #[test]
    fn nice_has_a_range() {
        for nice in [-20, 19] {
            assert_eq!(plan(json!({ "policy": "SCHED_BATCH", "nice": nice })).nice, nice);
        }
        for nice in [-21, 20] {
            assert_eq!(
                refusal(json!({ "policy": "SCHED_BATCH", "nice": nice })),
                format!("/process/scheduler/nice: {nice} is not between -20 and 19")
            );
        }
    }

    #[test]
    fn priorities_are_for_fifo_and_rr() {
        for priority in [0, 100, -1] {
            assert_eq!(
                refusal(json!({ "policy": "SCHED_FIFO", "priority": priority })),
                format!(
                    "/process/scheduler/priority: {priority} is not between 1 and 99 for SCHED_FIFO"
                )
            );
        }
        assert_eq!(
            refusal(json!({ "policy": "SCHED_OTHER", "priority": 1 })),
            "/process/scheduler/priority: 1 is not 0 for SCHED_OTHER"
        );
    }

    #[test]
    fn deadlines() {
        let value = |runtime: u64, deadline: u64, period: u64| {
            json!({
                "policy": "SCHED_DEADLINE",
                "runtime": runtime, "deadline": deadline, "period": period,
            })
        };
        assert_eq!(
            plan(value(10_000, 20_000, 30_000)),
            Scheduler {
                policy: 6,
                runtime: 10_000,
                deadline: 20_000,
                period: 30_000,
                ..Scheduler::default()
            }
        );
        plan(value(1024, 1024, 0));
        for (value, text) in [
            (value(2000, 0, 0), "deadline: 0 is not greater than zero"),
            (value(1023, 2000, 0), "runtime: 1023 is below 1024 ns, the kernel's resolution"),
            (value(3000, 2000, 0), "runtime: 3000 is above the deadline"),
            (value(2000, 4000, 3000), "deadline: 4000 is above the period"),
            (value(2000, 1 << 63, 0), "deadline: 9223372036854775808 is 2^63 or more"),
            (value(2000, 2000, 1 << 63), "period: 9223372036854775808 is 2^63 or more"),
        ] {
            assert_eq!(refusal(value), format!("/process/scheduler/{text}"));
        }
        for key in ["runtime", "deadline", "period"] {
            assert_eq!(
                refusal(json!({ "policy": "SCHED_IDLE", key: 1 })),
                format!("/process/scheduler/{key}: is for SCHED_DEADLINE, not for SCHED_IDLE")
            );
        }
    }

    #[test]
    fn io_priorities_are_class_and_level() {
        let of = |class: &str, priority: i64| {
            let value = json!({ "class": format!("IOPRIO_CLASS_{class}"), "priority": priority });
            io_priority(Some(&serde_json::from_value(value).unwrap()))
        };
        assert_eq!(of("RT", 0), Ok(Some(IoPriority(0x2000))));
        assert_eq!(of("BE", 7), Ok(Some(IoPriority(0x4007))));
        assert_eq!(of("IDLE", 4), Ok(Some(IoPriority(0x6004))));
        for priority in [-1, 8, 1 << 40] {
            assert_eq!(
                of("BE", priority).unwrap_err().to_string(),
                format!("/process/ioPriority/priority: {priority} is not between 0 and 7")
            );
        }
    }

    const POINTER: &str = "/p";

    fn words(text: &str) -> Vec<u64> {
        list(POINTER, Some(text), CPU_MAX).unwrap().unwrap().0.into_vec()
    }

    #[test]
    fn lists_are_bits() {
        assert_eq!(words("0"), [1]);
        assert_eq!(words("0-3,7"), [0b1000_1111]);
        assert_eq!(words("7,0-3,2"), [0b1000_1111]);
        assert_eq!(words("63-64"), [1 << 63, 1]);
        assert_eq!(words("128"), [0, 0, 1]);
        assert_eq!(words("0-63"), [u64::MAX]);
        assert_eq!(words("8191").len(), 128);
        assert_eq!(list(POINTER, Some(""), 9), Ok(None));
    }

    #[test]
    fn lists_that_are_none() {
        for bad in [",", "1,", ",1", "a", "1-", "-1", "1-2-3", " 1", "1 ", "+1", "4294967296"] {
            assert_eq!(
                list(POINTER, Some(bad), CPU_MAX).unwrap_err().to_string(),
                format!("/p: {bad:?} is not a list such as 0-3,7")
            );
        }
        assert_eq!(
            list(POINTER, Some("3-2"), CPU_MAX).unwrap_err().to_string(),
            "/p: 3-2 runs backwards"
        );
        assert_eq!(
            list(POINTER, Some("1,0-8192"), CPU_MAX).unwrap_err().to_string(),
            "/p: 8192 is above 8191, the largest that Linux knows"
        );
    }

    #[test]
    fn affinity_has_two_lists() {
        let asked = serde_json::from_value(json!({ "initial": "7", "final": "0-3,7" })).unwrap();
        let affinity = affinity(Some(&asked)).unwrap();
        assert_eq!(affinity.initial, Some(BitSet([0x80].into())));
        assert_eq!(affinity.last, Some(BitSet([0x8f].into())));
    }

    fn policy_of(mode: &str, nodes: Option<&str>, flags: &[&str]) -> Result<MemoryPolicy, String> {
        let value = json!({ "mode": mode, "nodes": nodes, "flags": flags });
        memory_policy(Some(&serde_json::from_value(value).unwrap()))
            .map(Option::unwrap)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn memory_policies_have_the_kernels_words() {
        for (mode, number) in [
            ("MPOL_PREFERRED", 1),
            ("MPOL_BIND", 2),
            ("MPOL_INTERLEAVE", 3),
            ("MPOL_PREFERRED_MANY", 5),
            ("MPOL_WEIGHTED_INTERLEAVE", 6),
        ] {
            assert_eq!(
                policy_of(mode, Some("0-1"), &[]),
                Ok(MemoryPolicy { mode: number, nodes: Some(BitSet([3].into())) }),
            );
        }
        for (mode, number) in [("MPOL_DEFAULT", 0), ("MPOL_LOCAL", 4), ("MPOL_PREFERRED", 1)] {
            assert_eq!(policy_of(mode, None, &[]), Ok(MemoryPolicy { mode: number, nodes: None }));
        }
        let flags = ["MPOL_F_STATIC_NODES", "MPOL_F_NUMA_BALANCING"];
        let policy = policy_of("MPOL_BIND", Some("64"), &flags).unwrap();
        assert_eq!(policy.mode, 2 | 1 << 15 | 1 << 13);
        assert_eq!(policy.nodes.unwrap().max_node(), 129);
        let policy = policy_of("MPOL_BIND", Some("0"), &["MPOL_F_RELATIVE_NODES"]).unwrap();
        assert_eq!(policy.mode, 2 | 1 << 14);
    }

    #[test]
    fn modes_need_or_refuse_nodes() {
        for mode in ["MPOL_DEFAULT", "MPOL_LOCAL"] {
            assert_eq!(
                policy_of(mode, Some("0"), &[]).unwrap_err(),
                format!("/linux/memoryPolicy/nodes: {mode} takes no nodes")
            );
        }
        for mode in
            ["MPOL_BIND", "MPOL_INTERLEAVE", "MPOL_PREFERRED_MANY", "MPOL_WEIGHTED_INTERLEAVE"]
        {
            for nodes in [None, Some("")] {
                assert_eq!(
                    policy_of(mode, nodes, &[]).unwrap_err(),
                    format!("/linux/memoryPolicy/nodes: {mode} needs nodes")
                );
            }
        }
        assert_eq!(
            policy_of("MPOL_PREFERRED", None, &["MPOL_F_STATIC_NODES"]).unwrap_err(),
            "/linux/memoryPolicy/nodes: MPOL_PREFERRED needs nodes"
        );
        assert_eq!(
            policy_of("MPOL_BIND", Some("1024"), &[]).unwrap_err(),
            "/linux/memoryPolicy/nodes: 1024 is above 1023, the largest that Linux knows"
        );
    }

    #[test]
    fn flags_that_do_not_go_together() {
        let refused = |mode: &str, flags: &[&str]| policy_of(mode, Some("0"), flags).unwrap_err();
        assert_eq!(
            refused("MPOL_BIND", &["MPOL_F_STATIC_NODES", "MPOL_F_RELATIVE_NODES"]),
            "/linux/memoryPolicy/flags/1: MPOL_F_RELATIVE_NODES cannot be combined with MPOL_F_STATIC_NODES"
        );
        assert_eq!(
            refused("MPOL_INTERLEAVE", &["MPOL_F_NUMA_BALANCING"]),
            "/linux/memoryPolicy/flags/0: MPOL_F_NUMA_BALANCING cannot be combined with MPOL_INTERLEAVE"
        );
        assert_eq!(
            refused("MPOL_LOCAL", &["MPOL_F_STATIC_NODES"]),
            "/linux/memoryPolicy/flags/0: MPOL_F_STATIC_NODES cannot be combined with MPOL_LOCAL"
        );
    }
}
