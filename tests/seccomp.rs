//! Programs of whole profiles beside those of libseccomp's compiler, call by call. Random profiles
//! are compared by the fuzz target `seccomp`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "fuzz/targets/cbpf.rs"]
mod cbpf;
#[path = "fuzz/targets/oracle.rs"]
mod oracle;

use cloison::plan::seccomp::{Profile, resolve};
use cloison::seccomp::{Error, compile};
use cloison::sys::seccomp::SockFilter;
use libseccomp::{ScmpArch, ScmpSyscall};
use serde_json::{Value, json};

const X86_64: u32 = 0xc000_003e;
const X86: u32 = 0x4000_0003;
const AARCH64: u32 = 0xc000_00b7;
const X32_BIT: u32 = 0x4000_0000;

const ENOSYS: u32 = 0x0005_0000 | 38;

/// Every name that libseccomp has a number for.
fn names() -> Vec<String> {
    let of = |arch| {
        let name = move |n| ScmpSyscall::from_raw_syscall(n).get_name_by_arch(arch).ok();
        (-10_400..600).filter_map(name)
    };
    let mut names: Vec<String> = of(ScmpArch::X8664).chain(of(ScmpArch::X86)).collect();
    names.sort();
    names.dedup();
    assert!(names.len() > 450, "{}", names.len());
    names
}

fn when(index: u32, op: &str, value: u64, second: u64) -> Value {
    json!({ "index": index, "op": op, "value": value, "valueTwo": second })
}

/// The size and shape of what engines ask for: nearly everything by name, and the conditions that
/// Docker, podman and containerd put on the rest.
fn engine(default: &Value) -> Value {
    const CONDITIONAL: [&str; 5] = ["clone", "clone3", "personality", "socket", "ptrace"];
    const REFUSED: [&str; 12] = [
        "acct",
        "add_key",
        "bpf",
        "iopl",
        "kexec_load",
        "mount",
        "move_mount",
        "pivot_root",
        "reboot",
        "setns",
        "swapon",
        "userfaultfd",
    ];
    let is_allowed =
        |name: &String| !CONDITIONAL.contains(&name.as_str()) && !REFUSED.contains(&name.as_str());
    let allowed: Vec<_> = names().into_iter().filter(is_allowed).collect();
    let rule = |name: &str, args: Value| json!({ "names": [name], "action": "SCMP_ACT_ALLOW", "args": args });
    let mut rules = vec![json!({ "names": allowed, "action": "SCMP_ACT_ALLOW" })];
    for persona in [0, 8, 0x20000, 0x20008, 0xffff_ffff] {
        rules.push(rule("personality", json!([when(0, "SCMP_CMP_EQ", persona, 0)])));
    }
    rules.push(rule("clone", json!([when(0, "SCMP_CMP_MASKED_EQ", 0x7e02_0000, 0)])));
    rules.push(json!({ "names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38 }));
    rules.push(json!({
        "names": ["socket"], "action": "SCMP_ACT_ERRNO", "errnoRet": 22,
        "args": [when(0, "SCMP_CMP_EQ", 16, 0), when(2, "SCMP_CMP_EQ", 9, 0)],
    }));
    rules.push(rule("socket", json!([when(2, "SCMP_CMP_NE", 9, 0)])));
    rules.push(rule("ptrace", json!([when(0, "SCMP_CMP_LE", 0x1_0000_0010, 0)])));
    let mut profile = json!({
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_AARCH64"],
        "syscalls": rules,
    });
    profile.as_object_mut().unwrap().extend(default.as_object().unwrap().clone());
    profile
}

fn profile(value: Value) -> Profile {
    resolve(Some(&serde_json::from_value(value).unwrap()), false).unwrap().unwrap()
}

fn compiled(profile: &Profile) -> Vec<SockFilter> {
    let (program, _) = compile(profile).unwrap();
    cbpf::verify(&program.filter);
    program.filter
}

/// All numbers that a kernel may have, and those at the edges of ABIs.
fn numbers() -> impl Iterator<Item = u32> {
    let near = |number: u32| number.saturating_sub(2)..=number.saturating_add(2);
    let edges = [X32_BIT, 0x7fff_ffff, 0x8000_0000, 0xc000_0000, u32::MAX];
    (0..=600).flat_map(|n| [n, X32_BIT + n]).chain(edges.into_iter().flat_map(near))
}

/// Values on both sides of all that the profiles compare with, in one argument and in two.
fn arguments() -> Vec<[u64; 6]> {
    let compared =
        [0u64, 1, 5, 8, 9, 16, 21, 0x20000, 0x20008, 0x7e02_0000, 0xffff_ffff, 0x1_0000_0010];
    let near = |value: u64| [value.wrapping_sub(1), value, value + 1, value | 1 << 40];
    let firsts = compared.into_iter().flat_map(near).chain([17, 0x1000_0011, u64::MAX]);
    firsts.flat_map(|first| [0, 9, 1 << 32 | 9].map(|third| [first, 7, third, 0, 0, 0])).collect()
}

/// Fails at the first call that they decide differently, but for those that are `excepted`.
fn assert_alike(ours: &[SockFilter], theirs: &[SockFilter], excepted: impl Fn(u32) -> bool) {
    let arguments = arguments();
    let alike = |architecture: u32, number: u32, args: [u64; 6]| {
        let decision = cbpf::run(ours, architecture, number, args);
        let expected = cbpf::run(theirs, architecture, number, args);
        assert!(
            decision == expected || excepted(decision),
            "{architecture:x} {number:#x} {args:x?}: {decision:x}, libseccomp {expected:x}"
        );
    };
    for number in numbers() {
        for architecture in [X86_64, X86] {
            arguments.iter().for_each(|args| alike(architecture, number, *args));
        }
        for architecture in [AARCH64, 0, X86_64 ^ 1] {
            alike(architecture, number, [0; 6]);
        }
    }
}

#[test]
fn an_engines_profile_decides_as_libseccomps_program_does() {
    let defaults = [
        json!({ "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38 }),
        json!({ "defaultAction": "SCMP_ACT_TRAP" }),
    ];
    for default in defaults {
        let profile = profile(engine(&default));
        let (ours, theirs) = (compiled(&profile), oracle::compile(&profile).unwrap());
        assert_alike(&ours, &theirs, |_| false);
        assert!(ours.len() * 3 < theirs.len(), "{} and {}", ours.len(), theirs.len());
    }
}

/// Of calls that the profile cannot have meant libseccomp knows nothing.
#[test]
fn beside_libseccomps_program_there_is_only_enosys_for_newer_calls() {
    let profile = profile(engine(&json!({ "defaultAction": "SCMP_ACT_ERRNO" })));
    let (ours, theirs) = (compiled(&profile), oracle::compile(&profile).unwrap());
    assert_alike(&ours, &theirs, |decision| decision == ENOSYS);
    let number = |name: &String| {
        let syscall = ScmpSyscall::from_name_by_arch(name, ScmpArch::X8664).ok()?;
        u32::try_from(syscall.as_raw_syscall()).ok()
    };
    let newest = names().iter().filter_map(number).max().unwrap();
    for (architecture, base) in [(X86_64, 0), (X86, 0), (X86_64, X32_BIT)] {
        for number in 0..512 {
            let is_enosys = cbpf::run(&ours, architecture, base + number, [0; 6]) == ENOSYS;
            // clone3 is refused so.
            let expected = number > newest || number == 435;
            assert_eq!(is_enosys, expected, "{architecture:x} {base:x} {number}");
        }
    }
}

#[test]
fn a_deny_list_decides_as_libseccomps_program_does() {
    let refused = |names: &[&str], errno: u32| json!({ "names": names, "action": "SCMP_ACT_ERRNO", "errnoRet": errno });
    let profile = profile(json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86"],
        "syscalls": [
            refused(&["mount", "umount2", "bind", "shmget", "_llseek"], 13),
            { "names": ["ptrace"], "action": "SCMP_ACT_KILL_PROCESS" },
            { "names": ["socket"], "action": "SCMP_ACT_LOG", "args": [when(0, "SCMP_CMP_GE", 16, 0)] },
            refused(&["socketcall", "read", "write", "close"], 1),
        ],
    }));
    assert_alike(&compiled(&profile), &oracle::compile(&profile).unwrap(), |_| false);
}

/// Every call with a condition of its own.
fn conditional(names: &[String], conditions: u64) -> Profile {
    let rule = |(number, name): (u64, &String)| {
        let args: Vec<_> = (0..conditions)
            .map(|index| when(index as u32, "SCMP_CMP_EQ", number << 20 | index, 0))
            .collect();
        json!({ "names": [name], "action": "SCMP_ACT_ALLOW", "args": args })
    };
    let rules: Vec<_> = (0..).zip(names).map(rule).collect();
    profile(json!({
        "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38, "syscalls": rules,
    }))
}

/// Branches reach 255 instructions.
#[test]
fn long_programs_decide_as_libseccomps_do() {
    let names = names();
    let count = names.len() as u64;
    let profile = conditional(&names, 2);
    let ours = compiled(&profile);
    assert!(ours.len() > 2000, "{}", ours.len());
    let theirs = oracle::compile(&profile).unwrap();
    for number in 0..=460 {
        for place in (0..count).step_by(3) {
            for second in [0, 1] {
                let args = [place << 20, place << 20 | second, 0, 0, 0, 0];
                let decision = cbpf::run(&ours, X86_64, number, args);
                assert_eq!(decision, cbpf::run(&theirs, X86_64, number, args), "{number} {args:?}");
            }
        }
    }
}

#[test]
fn a_program_beyond_the_kernels_limit_is_refused() {
    let Err(error @ Error::TooLong { length }) = compile(&conditional(&names(), 3)) else {
        panic!("it is not refused");
    };
    assert_eq!(
        error.to_string(),
        format!("/linux/seccomp: the profile makes {length} instructions, the kernel takes 4096")
    );
}
