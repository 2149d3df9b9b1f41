use super::abi::*;
use super::*;
use crate::plan;
use crate::sys;
use libseccomp::{ScmpArch, ScmpSyscall};
use serde_json::{Value, json};

const X86_64: u32 = 0xc000_003e;
const X86: u32 = 0x4000_0003;
const ALLOW: u32 = 0x7fff_0000;
const KILL_THREAD: u32 = 0;
const KILL_PROCESS: u32 = 0x8000_0000;

fn errno(number: u32) -> u32 {
    0x0005_0000 | number
}

/// Runs a program on the `struct seccomp_data` of one call, as the kernel does.
fn run(filter: &[SockFilter], arch: u32, number: u32, args: [u64; 6]) -> u32 {
    let word = |offset: u32| match offset {
        0 => number,
        4 => arch,
        8 | 12 => 0,
        _ => {
            let value = args[(offset as usize - 16) / 8];
            if offset.is_multiple_of(8) { value as u32 } else { (value >> 32) as u32 }
        }
    };
    let (mut at, mut a) = (0, 0u32);
    loop {
        let SockFilter { code, jt, jf, k } = filter[at];
        at += 1;
        let mut branch = |taken: bool| at += usize::from(if taken { jt } else { jf });
        match code {
            0x20 => a = word(k),
            0x05 => at += k as usize,
            0x15 => branch(a == k),
            0x25 => branch(a > k),
            0x35 => branch(a >= k),
            0x45 => branch(a & k != 0),
            0x54 => a &= k,
            0x06 => return k,
            other => panic!("instruction {other:#x} at {}", at - 1),
        }
    }
}

/// What the kernel checks of jumps: all of them end within the program.
fn assert_sound(filter: &[SockFilter]) {
    for (at, instruction) in filter.iter().enumerate() {
        let far = match instruction.code {
            0x05 => instruction.k as usize,
            0x15 | 0x25 | 0x35 | 0x45 => instruction.jt.max(instruction.jf).into(),
            _ => 0,
        };
        assert!(instruction.code == 0x06 || at + 1 + far < filter.len(), "at {at}");
    }
}

/// A call's own number, also where it can be multiplexed.
fn own(name: &str, arch: ScmpArch) -> Option<u32> {
    let of = |number: u32| ScmpSyscall::from_raw_syscall(i32::try_from(number).unwrap());
    let newer = NEWER.iter().find(|(newer, _)| *newer == name);
    let mut known = base(arch)..base(arch) + 600;
    newer.map(|(_, number)| base(arch) + number).or_else(|| {
        known.find(|number| of(*number).get_name_by_arch(arch).is_ok_and(|found| found == name))
    })
}

fn profile(value: Value) -> Profile {
    let asked = serde_json::from_value(value).unwrap();
    plan::seccomp::resolve(Some(&asked), false).unwrap().unwrap()
}

struct Compiled {
    filter: Vec<SockFilter>,
    flags: u32,
    warnings: Vec<String>,
}

impl Compiled {
    fn native(&self, name: &str, args: [u64; 6]) -> u32 {
        self.on(ScmpArch::X8664, X86_64, name, args)
    }

    fn on(&self, arch: ScmpArch, audit: u32, name: &str, args: [u64; 6]) -> u32 {
        run(&self.filter, audit, own(name, arch).unwrap(), args)
    }

    fn call(&self, name: &str) -> u32 {
        self.native(name, [0; 6])
    }

    fn first(&self, name: &str, value: u64) -> u32 {
        self.native(name, [value, 0, 0, 0, 0, 0])
    }
}

fn compiled(value: Value) -> Compiled {
    let (program, warnings) = compile(&profile(value)).unwrap();
    assert_sound(&program.filter);
    Compiled {
        filter: program.filter,
        flags: program.flags,
        warnings: warnings.iter().map(ToString::to_string).collect(),
    }
}

fn allow(names: &[&str]) -> Value {
    json!({ "names": names, "action": "SCMP_ACT_ALLOW" })
}

#[test]
fn an_allow_list() {
    let filter = compiled(json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "syscalls": [allow(&["read", "write", "exit_group"])],
    }));
    for name in ["read", "write", "exit_group"] {
        assert_eq!(filter.call(name), ALLOW, "{name}");
    }
    for name in ["open", "close", "fork"] {
        assert_eq!(filter.call(name), errno(1), "{name}");
    }
    assert!(filter.warnings.is_empty());
}

#[test]
fn a_deny_list_keeps_new_calls() {
    let filter = compiled(json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [
            { "names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13 },
            { "names": ["chmod"], "action": "SCMP_ACT_KILL_PROCESS" },
            { "names": ["chown"], "action": "SCMP_ACT_KILL" },
            { "names": ["rmdir"], "action": "SCMP_ACT_TRAP" },
            { "names": ["link"], "action": "SCMP_ACT_TRACE", "errnoRet": 7 },
            { "names": ["unlink"], "action": "SCMP_ACT_LOG" },
        ],
    }));
    assert_eq!(filter.call("mkdir"), errno(13));
    assert_eq!(filter.call("chmod"), KILL_PROCESS);
    assert_eq!(filter.call("chown"), KILL_THREAD);
    assert_eq!(filter.call("rmdir"), 0x0003_0000);
    assert_eq!(filter.call("link"), 0x7ff0_0007);
    assert_eq!(filter.call("unlink"), 0x7ffc_0000);
    assert_eq!(filter.call("read"), ALLOW);
    assert_eq!(run(&filter.filter, X86_64, 9999, [0; 6]), ALLOW);
}

#[test]
fn notifying() {
    let filter = compiled(json!({
        "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/run/l",
        "syscalls": [{ "names": ["mkdir"], "action": "SCMP_ACT_NOTIFY" }],
    }));
    assert_eq!(filter.call("mkdir"), 0x7fc0_0000);
    assert_eq!(filter.flags, plan::seccomp::SPEC_ALLOW | plan::seccomp::NEW_LISTENER);
}

#[test]
fn every_operator_compares_64_bits() {
    const V: u64 = 0x1_0000_0005;
    type Holds = fn(u64) -> bool;
    let operators: [(&str, Holds); 6] = [
        ("SCMP_CMP_NE", |x| x != V),
        ("SCMP_CMP_LT", |x| x < V),
        ("SCMP_CMP_LE", |x| x <= V),
        ("SCMP_CMP_EQ", |x| x == V),
        ("SCMP_CMP_GE", |x| x >= V),
        ("SCMP_CMP_GT", |x| x > V),
    ];
    for (name, holds) in operators {
        let filter = compiled(json!({
            "defaultAction": "SCMP_ACT_ERRNO",
            "syscalls": [{
                "names": ["personality"], "action": "SCMP_ACT_ALLOW",
                "args": [{ "index": 0, "value": V, "op": name }],
            }],
        }));
        let values = [0, 5, 4, 6, V - 1, V, V + 1, V | 1 << 40, u64::MAX, 1 << 32, 2 << 32];
        for value in values {
            let expected = if holds(value) { ALLOW } else { errno(1) };
            assert_eq!(filter.first("personality", value), expected, "{name} {value:#x}");
        }
    }
}

#[test]
fn masked_equality() {
    const NAMESPACES: u64 = 0x7e02_0000;
    let filter = compiled(json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "syscalls": [{
            "names": ["clone"], "action": "SCMP_ACT_ALLOW",
            "args": [
                { "index": 0, "value": NAMESPACES, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ" },
            ],
        }],
    }));
    assert_eq!(filter.first("clone", 17), ALLOW);
    assert_eq!(filter.first("clone", 17 | 0x2000_0000), errno(1));
    assert_eq!(filter.first("clone", 17 | 0x0002_0000), errno(1));
    assert_eq!(filter.first("clone", 1 << 40), ALLOW);
}

#[test]
fn conditions_of_a_rule_hold_together() {
    let filter = compiled(json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "syscalls": [{
            "names": ["socket"], "action": "SCMP_ACT_ALLOW",
            "args": [
                { "index": 0, "value": 1, "op": "SCMP_CMP_EQ" },
                { "index": 2, "value": 5, "op": "SCMP_CMP_LT" },
                { "index": 5, "value": 9, "op": "SCMP_CMP_NE" },
            ],
        }],
    }));
    assert_eq!(filter.native("socket", [1, 0, 4, 0, 0, 0]), ALLOW);
    assert_eq!(filter.native("socket", [2, 0, 4, 0, 0, 0]), errno(1));
    assert_eq!(filter.native("socket", [1, 0, 5, 0, 0, 0]), errno(1));
    assert_eq!(filter.native("socket", [1, 0, 4, 0, 0, 9]), errno(1));
}

#[test]
fn values_of_one_argument_are_alternatives() {
    let arg = |value: u64| json!({ "index": 0, "value": value, "op": "SCMP_CMP_EQ" });
    let filter = compiled(json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "syscalls": [{
            "names": ["personality"], "action": "SCMP_ACT_ALLOW",
            "args": [arg(0), arg(8), arg(0xffff_ffff)],
        }],
    }));
    for value in [0, 8, 0xffff_ffff] {
        assert_eq!(filter.first("personality", value), ALLOW);
    }
    for value in [1, 9, u64::MAX] {
        assert_eq!(filter.first("personality", value), errno(1));
    }
}

#[test]
fn a_call_with_conditions_in_several_rules() {
    let filter = compiled(json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "syscalls": [
            { "names": ["socket"], "action": "SCMP_ACT_ALLOW",
              "args": [{ "index": 0, "value": 1, "op": "SCMP_CMP_EQ" }] },
            { "names": ["socket"], "action": "SCMP_ACT_ERRNO", "errnoRet": 22,
              "args": [{ "index": 0, "value": 16, "op": "SCMP_CMP_EQ" }] },
        ],
    }));
    assert_eq!(filter.first("socket", 1), ALLOW);
    assert_eq!(filter.first("socket", 16), errno(22));
    assert_eq!(filter.first("socket", 2), errno(1));
}

#[test]
fn the_same_rule_twice_is_one() {
    let filter = compiled(json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "syscalls": [allow(&["read", "read"]), allow(&["read"])],
    }));
    assert_eq!(filter.call("read"), ALLOW);
}

#[test]
fn rules_that_do_what_is_done_anyhow_add_nothing() {
    let filter = compiled(json!({
        "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1,
        "syscalls": [
            allow(&["read"]),
            { "names": ["mkdir"], "action": "SCMP_ACT_ERRNO" },
            { "names": ["rmdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 2 },
        ],
    }));
    assert_eq!(filter.call("mkdir"), errno(1));
    assert_eq!(filter.call("rmdir"), errno(2));
}

#[test]
fn calls_newer_than_the_profile_do_not_exist() {
    let filter = compiled(json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "syscalls": [
            allow(&["read", "openat2"]),
            { "names": ["faccessat2"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13 },
        ],
    }));
    assert_eq!(filter.call("openat2"), ALLOW);
    assert_eq!(filter.call("pidfd_getfd"), errno(1));
    assert_eq!(filter.call("faccessat2"), errno(13));
    assert_eq!(filter.call("process_madvise"), errno(38));
    assert_eq!(filter.call("fchmodat2"), errno(38));
    assert_eq!(run(&filter.filter, X86_64, 9999, [0; 6]), errno(38));
    assert_eq!(run(&filter.filter, X86, 9999, [0; 6]), KILL_THREAD);
}

#[test]
fn calls_with_two_numbers_are_as_new_as_the_larger() {
    let filter = compiled(json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": ["SCMP_ARCH_X86"],
        "syscalls": [allow(&["read", "socket", "recv"])],
    }));
    let (socketcall, socket) = (102, 359);
    let first = |value| [value, 0, 0, 0, 0, 0];
    assert_eq!(run(&filter.filter, X86, socket, [0; 6]), ALLOW);
    assert_eq!(run(&filter.filter, X86, socketcall, first(1)), ALLOW);
    assert_eq!(run(&filter.filter, X86, socketcall, first(10)), ALLOW);
    assert_eq!(run(&filter.filter, X86, socketcall, first(2)), errno(1));
    assert_eq!(run(&filter.filter, X86, socket - 1, [0; 6]), errno(1));
    assert_eq!(run(&filter.filter, X86, socket + 1, [0; 6]), errno(38));
}

#[test]
fn x32_calls_of_its_own_have_no_age() {
    let filter = compiled(json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": ["SCMP_ARCH_X32"],
        "syscalls": [allow(&["read", "execve", "rt_sigaction"])],
    }));
    let decision = |number| run(&filter.filter, X86_64, X32_BIT + number, [0; 6]);
    assert_eq!((decision(512), decision(513), decision(520)), (ALLOW, errno(1), ALLOW));
    assert_eq!((decision(0), decision(1)), (ALLOW, errno(38)));
    assert_eq!(run(&filter.filter, X86_64, 59, [0; 6]), ALLOW);
    assert_eq!(run(&filter.filter, X86_64, 60, [0; 6]), errno(38));
}

#[test]
fn only_defaults_that_refuse_have_newer_calls() {
    let newest = |default: Value| {
        let mut value = json!({ "syscalls": [{ "names": ["read"], "action": "SCMP_ACT_LOG" }] });
        for (key, setting) in default.as_object().unwrap() {
            value[key] = setting.clone();
        }
        run(&compiled(value).filter, X86_64, 9999, [0; 6])
    };
    for refusing in ["SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS"] {
        assert_eq!(newest(json!({ "defaultAction": refusing })), errno(38), "{refusing}");
    }
    for (other, answer) in
        [("SCMP_ACT_ALLOW", ALLOW), ("SCMP_ACT_TRAP", 0x0003_0000), ("SCMP_ACT_TRACE", 0x7ff0_0001)]
    {
        assert_eq!(newest(json!({ "defaultAction": other })), answer, "{other}");
    }
    let own = json!({ "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 95 });
    assert_eq!(newest(own), errno(38));
}

#[test]
fn a_profile_without_names_refuses_everything_alike() {
    let filter = compiled(json!({ "defaultAction": "SCMP_ACT_ERRNO" }));
    assert_eq!(filter.call("read"), errno(1));
    assert_eq!(run(&filter.filter, X86_64, 9999, [0; 6]), errno(1));
}

#[test]
fn calls_newer_than_libseccomp_are_filtered_too() {
    let filter = compiled(json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "syscalls": [
            allow(&["read", "fchmodat2"]),
            { "names": ["mseal"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13 },
        ],
    }));
    for (arch, audit) in [(ScmpArch::X8664, X86_64), (ScmpArch::X86, X86), (ScmpArch::X32, X86_64)]
    {
        assert_eq!(filter.on(arch, audit, "read", [0; 6]), ALLOW);
        assert_eq!(filter.on(arch, audit, "fchmodat2", [0; 6]), ALLOW);
        assert_eq!(filter.on(arch, audit, "mseal", [0; 6]), errno(13));
        assert_eq!(filter.on(arch, audit, "cachestat", [0; 6]), errno(1));
        assert_eq!(filter.on(arch, audit, "setxattrat", [0; 6]), errno(38));
    }
    let filter = compiled(json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{ "names": ["listmount"], "action": "SCMP_ACT_ERRNO" }],
    }));
    assert_eq!(filter.call("listmount"), errno(1));
    assert_eq!(filter.call("statmount"), ALLOW);
    assert!(filter.warnings.is_empty());
}

#[test]
fn numbers_of_newer_calls_follow_those_of_the_library() {
    for (index, (name, number)) in NEWER.into_iter().enumerate() {
        assert_eq!(number as usize, 451 + index, "{name}");
    }
    let known = |arch| ScmpSyscall::from_name_by_arch("futex_waitv", arch).unwrap();
    for arch in [
        ScmpArch::X8664,
        ScmpArch::X86,
        ScmpArch::X32,
        ScmpArch::Aarch64,
        ScmpArch::Arm,
        ScmpArch::Mips,
        ScmpArch::Mipsel64,
        ScmpArch::Mips64N32,
        ScmpArch::S390X,
        ScmpArch::Ppc64Le,
        ScmpArch::Riscv64,
    ] {
        assert_eq!(known(arch).as_raw_syscall(), (base(arch) + 449) as i32, "{arch:?}");
    }
}

#[test]
fn each_architecture_has_its_own_numbers() {
    let filter = compiled(json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "syscalls": [allow(&["read", "_llseek", "openat2"])],
    }));
    assert_eq!(filter.call("read"), ALLOW);
    assert_eq!(filter.on(ScmpArch::X86, X86, "read", [0; 6]), ALLOW);
    assert_eq!(filter.on(ScmpArch::X86, X86, "_llseek", [0; 6]), ALLOW);
    assert_eq!(filter.on(ScmpArch::X32, X86_64, "read", [0; 6]), ALLOW);
    assert_eq!(filter.on(ScmpArch::X86, X86, "write", [0; 6]), errno(1));
    assert_eq!(filter.on(ScmpArch::X32, X86_64, "write", [0; 6]), errno(1));
    for (audit, base) in [(X86_64, 0), (X86, 0), (X86_64, X32_BIT)] {
        assert_eq!(run(&filter.filter, audit, base + 436, [0; 6]), errno(1));
        assert_eq!(run(&filter.filter, audit, base + 437, [0; 6]), ALLOW);
        assert_eq!(run(&filter.filter, audit, base + 500, [0; 6]), errno(38));
    }
}

#[test]
fn the_native_architecture_is_always_filtered_and_others_kill() {
    let filter = compiled(json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86"],
        "syscalls": [{ "names": ["mkdir"], "action": "SCMP_ACT_ERRNO" }],
    }));
    assert_eq!(filter.call("mkdir"), errno(1));
    assert_eq!(filter.on(ScmpArch::X86, X86, "mkdir", [0; 6]), errno(1));
    assert_eq!(run(&filter.filter, 0xc000_00b7, 0, [0; 6]), KILL_THREAD);
    assert_eq!(run(&filter.filter, X86_64, X32_BIT, [0; 6]), KILL_THREAD);
}

#[test]
fn architectures_that_cannot_run_are_warnings() {
    let filter = compiled(json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_AARCH64", "SCMP_ARCH_S390X"],
    }));
    assert_eq!(
        filter.warnings,
        ["/linux/seccomp/architectures/1: SCMP_ARCH_S390X ignored: no process of it can run here"]
    );
    assert!(architectures().contains(&"SCMP_ARCH_X86_64"));
}

#[test]
fn unknown_names_are_warnings() {
    let filter = compiled(json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "syscalls": [allow(&["read", "frobnicate", "nul\0", &"x".repeat(100)])],
    }));
    assert_eq!(filter.call("read"), ALLOW);
    assert_eq!(filter.warnings.len(), 3);
    assert_eq!(
        filter.warnings[0],
        "/linux/seccomp/syscalls/0/names: \"frobnicate\" ignored: no such system call is known"
    );
}

#[test]
fn arguments_of_calls_newer_than_libseccomp_are_compared() {
    let filter = compiled(json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "syscalls": [{
            "names": ["mseal"], "action": "SCMP_ACT_ALLOW",
            "args": [{ "index": 0, "value": 1, "op": "SCMP_CMP_LE" }],
        }],
    }));
    assert_eq!((filter.first("mseal", 1), filter.first("mseal", 2)), (ALLOW, errno(1)));
    assert!(filter.warnings.is_empty());
}

#[test]
fn an_unconditional_rule_stands_and_others_are_nothing() {
    let when = json!([{ "index": 0, "value": 1, "op": "SCMP_CMP_EQ" }]);
    let filter = compiled(json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "syscalls": [
            { "names": ["socket"], "action": "SCMP_ACT_KILL", "args": when },
            allow(&["read", "socket"]),
            { "names": ["read"], "action": "SCMP_ACT_KILL" },
            { "names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": when },
            { "names": ["socket"], "action": "SCMP_ACT_ERRNO" },
        ],
    }));
    assert_eq!(filter.call("read"), ALLOW);
    assert_eq!(filter.first("socket", 1), ALLOW);
    assert!(filter.warnings.is_empty(), "{:?}", filter.warnings);
}

/// LAUNCH-26
#[test]
fn of_rules_that_match_the_one_on_the_later_argument_decides() {
    let rule = |errno: u32, args: &[(u32, &str, u64)]| {
        let args: Vec<_> = args
            .iter()
            .map(|(index, op, value)| json!({ "index": index, "op": op, "value": value }))
            .collect();
        json!({ "names": ["socket"], "action": "SCMP_ACT_ERRNO", "errnoRet": errno, "args": args })
    };
    // In the order in which they are tried.
    let rules = [
        rule(11, &[(2, "SCMP_CMP_EQ", 9)]),
        rule(12, &[(1, "SCMP_CMP_EQ", 7)]),
        rule(13, &[(1, "SCMP_CMP_NE", 5)]),
        rule(14, &[(0, "SCMP_CMP_EQ", 3)]),
        rule(15, &[(0, "SCMP_CMP_EQ", 3), (1, "SCMP_CMP_EQ", 5)]),
        rule(16, &[(0, "SCMP_CMP_LT", 10)]),
        rule(17, &[(0, "SCMP_CMP_LE", 20)]),
        rule(18, &[(0, "SCMP_CMP_GE", 40)]),
        rule(19, &[(0, "SCMP_CMP_GT", 30)]),
    ];
    let calls = [
        ([3, 7, 9, 0, 0, 0], 11),
        ([3, 7, 0, 0, 0, 0], 12),
        ([3, 6, 0, 0, 0, 0], 13),
        ([3, 5, 0, 0, 0, 0], 14),
        ([4, 5, 0, 0, 0, 0], 16),
        ([10, 5, 0, 0, 0, 0], 17),
        ([41, 5, 0, 0, 0, 0], 18),
        ([31, 5, 0, 0, 0, 0], 19),
        ([30, 5, 0, 0, 0, 0], 0),
    ];
    for turned in 0..rules.len() {
        let mut rules = rules.clone();
        rules.rotate_left(turned);
        let filter = compiled(json!({
            "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 0, "syscalls": rules,
        }));
        for (args, expected) in calls {
            assert_eq!(filter.native("socket", args), errno(expected), "{args:?} {turned}");
        }
    }
}

/// libseccomp 2.5.4 takes the lower half of one for that of the other.
#[test]
fn limits_of_one_argument_do_not_mix() {
    let limit = |op: &str, value: u64| {
        json!({
            "names": ["personality"], "action": "SCMP_ACT_ALLOW",
            "args": [{ "index": 0, "op": op, "value": value }],
        })
    };
    let filter = compiled(json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "syscalls": [limit("SCMP_CMP_GE", 1 << 32), limit("SCMP_CMP_LT", 0xffff_ffff)],
    }));
    for value in [0, 0xffff_fffe, 1 << 32, u64::MAX] {
        assert_eq!(filter.first("personality", value), ALLOW, "{value:#x}");
    }
    assert_eq!(filter.first("personality", 0xffff_ffff), errno(1));
}

/// libseccomp 2.5.4 does not come to an end on it.
#[test]
fn two_rules_with_differing_conditions_on_the_same_arguments() {
    let condition =
        |index: u32, op: &str, value: u64| json!({ "index": index, "op": op, "value": value });
    let filter = compiled(json!({
        "defaultAction": "SCMP_ACT_KILL",
        "syscalls": [
            { "names": ["shmat"], "action": "SCMP_ACT_ERRNO",
              "args": [condition(0, "SCMP_CMP_NE", 0), condition(1, "SCMP_CMP_GT", 1 << 32)] },
            { "names": ["shmat"], "action": "SCMP_ACT_ALLOW",
              "args": [condition(0, "SCMP_CMP_NE", 0), condition(1, "SCMP_CMP_NE", 5)] },
        ],
    }));
    let decisions = [
        ([0, 1 << 40], KILL_THREAD),
        ([1, 1 << 32], ALLOW),
        ([1, 5], KILL_THREAD),
        ([1, 1 << 33], ALLOW),
    ];
    for ([first, second], expected) in decisions {
        assert_eq!(
            filter.native("shmat", [first, second, 0, 0, 0, 0]),
            expected,
            "{first} {second}"
        );
    }
}

/// An argument of a 32-bit call is no larger.
#[test]
fn values_for_32_bit_calls_are_cut() {
    let filter = compiled(json!({
        "defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86"],
        "syscalls": [{
            "names": ["personality"], "action": "SCMP_ACT_ALLOW",
            "args": [{ "index": 0, "op": "SCMP_CMP_EQ", "value": u64::MAX }],
        }],
    }));
    let on_x86 = |value| filter.on(ScmpArch::X86, X86, "personality", [value, 0, 0, 0, 0, 0]);
    assert_eq!((on_x86(0xffff_ffff), on_x86(0)), (ALLOW, errno(1)));
    let native = |value| filter.first("personality", value);
    assert_eq!((native(u64::MAX), native(0xffff_ffff)), (ALLOW, errno(1)));
}

#[test]
fn rules_that_contradict_each_other_are_refused() {
    let rule = |action: &str| {
        json!({
            "names": ["socket"], "action": action,
            "args": [{ "index": 0, "value": 1, "op": "SCMP_CMP_EQ" }],
        })
    };
    let error = compile(&profile(json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "syscalls": [rule("SCMP_ACT_ALLOW"), rule("SCMP_ACT_KILL")],
    })))
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        "/linux/seccomp/syscalls/1: \"socket\" has another action in an earlier rule"
    );
}

/// What an engine asks for: nearly everything by name, a few calls by
/// their arguments, three ABIs. The names are the library's own.
fn engine_profile() -> (Value, Vec<String>) {
    const REFUSED: [&str; 24] = [
        "acct",
        "add_key",
        "bpf",
        "clock_settime",
        "clone",
        "clone3",
        "delete_module",
        "finit_module",
        "init_module",
        "ioperm",
        "iopl",
        "kexec_file_load",
        "kexec_load",
        "mount",
        "move_mount",
        "perf_event_open",
        "personality",
        "pivot_root",
        "ptrace",
        "reboot",
        "setns",
        "swapon",
        "unshare",
        "userfaultfd",
    ];
    let mut names: Vec<String> = (0..451)
        .filter_map(|n| ScmpSyscall::from_raw_syscall(n).get_name_by_arch(ScmpArch::X8664).ok())
        .filter(|name| !REFUSED.contains(&name.as_str()))
        .collect();
    names.extend(
        ["socketcall", "ipc", "_llseek", "mmap2", "fcntl64", "waitpid", "statmount", "mseal"]
            .map(str::to_owned),
    );
    let persona = |value: u64| json!({ "index": 0, "value": value, "op": "SCMP_CMP_EQ" });
    let value = json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 1,
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "syscalls": [
            { "names": names, "action": "SCMP_ACT_ALLOW" },
            { "names": ["personality"], "action": "SCMP_ACT_ALLOW",
              "args": [persona(0), persona(8), persona(0x20000), persona(0xffff_ffff)] },
            { "names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": [
                { "index": 0, "value": 0x7e02_0000u32, "op": "SCMP_CMP_MASKED_EQ" },
            ] },
            { "names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38 },
        ],
    });
    (value, names)
}

#[test]
fn a_large_profile_decides_as_it_reads() {
    let (value, names) = engine_profile();
    assert!(names.len() > 300, "{}", names.len());
    let filter = compiled(value);
    assert!(filter.warnings.is_empty(), "{:?}", filter.warnings);
    for (arch, audit) in [(ScmpArch::X8664, X86_64), (ScmpArch::X86, X86), (ScmpArch::X32, X86_64)]
    {
        let numbers = |name: &str| own(name, arch);
        let allowed: Vec<_> = names.iter().filter_map(|name| numbers(name)).collect();
        for call in base(arch)..base(arch) + 600 {
            let expected = match call {
                call if allowed.contains(&call) => ALLOW,
                call if Some(call) == numbers("clone3") => errno(38),
                call if arch == ScmpArch::X32 && call >= X32_OWN => errno(1),
                call if call > base(arch) + 462 => errno(38),
                call if Some(call) == numbers("personality") => ALLOW,
                call if Some(call) == numbers("clone") => ALLOW,
                _ => errno(1),
            };
            let decision = run(&filter.filter, audit, call, [0; 6]);
            assert_eq!(decision, expected, "{arch:?} {call}");
        }
    }
    assert_eq!(filter.first("clone", 0x1000_0011), errno(1));
    assert_eq!(filter.first("personality", 8), ALLOW);
    assert_eq!(filter.first("personality", 7), errno(1));
    assert_eq!(filter.call("ptrace"), errno(1));
}

#[test]
fn one_profile_makes_one_program() {
    let (value, _) = engine_profile();
    let profile = profile(value);
    assert_eq!(compile(&profile).unwrap(), compile(&profile).unwrap());
}

#[test]
fn the_kernel_takes_the_program() {
    let (mut value, _) = engine_profile();
    value["syscalls"][0]["names"].as_array_mut().unwrap().retain(|name| name != "mkdir");
    value["syscalls"]
        .as_array_mut()
        .unwrap()
        .push(json!({ "names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 122 }));
    let filter = compiled(value);
    let refused = std::thread::spawn(move || {
        sys::process::set_no_new_privileges().unwrap();
        sys::seccomp::install(&filter.filter, filter.flags).unwrap();
        std::fs::create_dir("/proc/none").unwrap_err().raw_os_error()
    });
    assert_eq!(refused.join().unwrap(), Some(122));
}
