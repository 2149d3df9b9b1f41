//! Seccomp profiles as programs for the kernel, and their kept form.

use cloison::plan::seccomp::{Action, Comparison, Operator, Profile, Rule, resolve};
use cloison::seccomp::cache;
use cloison::seccomp::{Error, Program, compile};
use serde_json::{Value, json};

use super::bytes::Bytes;
use super::cbpf;

const X86_64: u32 = 0xc000_003e;

/// Calls with their numbers on x86_64, the last ones newer than libseccomp.
const CALLS: [(&str, u32); 13] = [
    ("read", 0),
    ("write", 1),
    ("mmap", 9),
    ("ioctl", 16),
    ("socket", 41),
    ("clone", 56),
    ("personality", 135),
    ("prctl", 157),
    ("openat", 257),
    ("clone3", 435),
    ("faccessat2", 439),
    ("fchmodat2", 452),
    ("mseal", 462),
];

/// The first number that no table knows.
const LATER: u32 = 1000;

const ACTIONS: [&str; 8] = [
    "SCMP_ACT_ALLOW",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_TRAP",
    "SCMP_ACT_LOG",
    "SCMP_ACT_TRACE",
    "SCMP_ACT_NOTIFY",
];

const OPERATORS: [&str; 7] = [
    "SCMP_CMP_NE",
    "SCMP_CMP_LT",
    "SCMP_CMP_LE",
    "SCMP_CMP_EQ",
    "SCMP_CMP_GE",
    "SCMP_CMP_GT",
    "SCMP_CMP_MASKED_EQ",
];

/// Numbers that arguments are compared with, and given.
const VALUES: [u64; 9] =
    [0, 1, 2, 0xff, 0x7fff_ffff, 0xffff_ffff, 0x1_0000_0000, 0x1_0000_0001, u64::MAX];

/// The program passes the kernel's checks and decides as the profile reads.
pub fn hold(data: &[u8]) {
    let asked = profile(&mut Bytes::new(data));
    let parsed = serde_json::from_value(asked.clone()).expect("a profile");
    let Ok(Some(profile)) = resolve(Some(&parsed), false) else { return };
    let (program, _) = match compile(&profile) {
        Ok(compiled) => compiled,
        Err(Error::Conflict { .. } | Error::TooLong { .. }) => return,
        Err(error) => panic!("{error}: {asked}"),
    };
    cbpf::verify(&program.filter);
    assert_eq!(program, compile(&profile).expect("again").0, "two programs of one profile");
    let kept = cache::encode(&program, &[]);
    assert_eq!(cache::decode(&kept).expect("what was kept").0, program);
    for (name, number) in CALLS.iter().chain(&[("", LATER)]) {
        for first in VALUES {
            for second in [0, u64::MAX, 0x1_0000_0000] {
                let args = [first, second, 1, 0, 0, 0];
                let Some(expected) = decided(&profile, name, *number, args) else { continue };
                let answer = cbpf::run(&program.filter, X86_64, *number, args);
                assert_eq!(answer, expected, "{name} {number} {args:x?}: {asked}");
            }
        }
    }
}

fn profile(bytes: &mut Bytes<'_>) -> Value {
    let mut rules = Vec::new();
    let default = bytes.of(&ACTIONS[..7]);
    while !bytes.is_empty() && rules.len() < 8 {
        let names: Vec<&str> = (0..1 + bytes.byte() % 3).map(|_| bytes.of(&CALLS).0).collect();
        let args: Vec<Value> = (0..bytes.byte() % 4)
            .map(|_| {
                let (index, op) = (bytes.below(3), bytes.of(&OPERATORS));
                let (value, second) = (bytes.of(&VALUES), bytes.of(&VALUES));
                // Under an empty mask everything is equal, and which rule then stands is the
                // library's affair.
                let value = if op == "SCMP_CMP_MASKED_EQ" { value.max(1) } else { value };
                json!({"index": index, "op": op, "value": value, "valueTwo": second})
            })
            .collect();
        rules.push(json!({"names": names, "action": bytes.of(&ACTIONS), "args": args}));
    }
    json!({"defaultAction": default, "syscalls": rules, "listenerPath": "/agent"})
}

/// SECCOMP_RET_* of linux/seccomp.h.
fn answer(action: Action) -> u32 {
    match action {
        Action::KillThread => 0,
        Action::KillProcess => 0x8000_0000,
        Action::Trap => 0x0003_0000,
        Action::Errno(errno) => 0x0005_0000 | u32::from(errno),
        Action::Notify => 0x7fc0_0000,
        Action::Trace(message) => 0x7ff0_0000 | u32::from(message),
        Action::Log => 0x7ffc_0000,
        Action::Allow => 0x7fff_0000,
    }
}

fn refuses(action: Action) -> bool {
    matches!(action, Action::Errno(_) | Action::KillThread | Action::KillProcess)
}

/// What the profile says of a call; none where several rules with different
/// actions match, of which libseccomp takes one.
fn decided(profile: &Profile, name: &str, number: u32, args: [u64; 6]) -> Option<u32> {
    let named = |rule: &&Rule| rule.names.iter().any(|named| named == name);
    let effective = |rule: &&Rule| rule.action != profile.default;
    let always = |rule: &&Rule| rule.alternatives.iter().any(Vec::is_empty);
    let rules: Vec<&Rule> = profile.rules.iter().filter(named).filter(effective).collect();
    let newest = profile.rules.iter().flat_map(|rule| &rule.names).filter_map(|name| {
        CALLS.iter().find(|(known, _)| known == name).map(|(_, number)| *number)
    });
    if let Some(rule) = rules.iter().find(|rule| always(rule)) {
        return Some(answer(rule.action));
    }
    if newest.max().is_some_and(|newest| number > newest) && refuses(profile.default) {
        return Some(answer(Action::Errno(38)));
    }
    // What an older library does not know it cannot compare.
    let uncertain = number > 450 && !rules.is_empty();
    if uncertain || rules.iter().any(|rule| rule.action != rules[0].action) {
        return None;
    }
    if rules.iter().map(|rule| rule.alternatives.len()).sum::<usize>() > 1
        && rules.iter().any(|rule| rule.alternatives.iter().flatten().any(orders))
    {
        return None;
    }
    let matching = rules
        .iter()
        .find(|rule| rule.alternatives.iter().any(|all| all.iter().all(|one| holds(one, args))));
    Some(answer(matching.map_or(profile.default, |rule| rule.action)))
}

/// libseccomp 2.5 compares 64 bits in two halves, and where several such comparisons of one call
/// come together it may take the answer of one for that of the other: of `a >= 1 << 32` and
/// `a < u32::MAX` it finds u32::MAX to match. What it makes of them is only checked to be sound.
fn orders(comparison: &Comparison) -> bool {
    let equality = [Operator::Equal, Operator::NotEqual].contains(&comparison.operator);
    !equality && !matches!(comparison.operator, Operator::MaskedEqual { .. })
}

fn holds(comparison: &Comparison, args: [u64; 6]) -> bool {
    let (argument, value) = (args[usize::from(comparison.argument)], comparison.value);
    match comparison.operator {
        Operator::NotEqual => argument != value,
        Operator::Less => argument < value,
        Operator::LessOrEqual => argument <= value,
        Operator::Equal => argument == value,
        Operator::GreaterOrEqual => argument >= value,
        Operator::Greater => argument > value,
        Operator::MaskedEqual { mask } => argument & mask == value & mask,
    }
}

/// A kept program is read as it was kept, or not at all.
pub fn cache(data: &[u8]) {
    let Some((Program { filter, flags }, warnings)) = cache::decode(data) else { return };
    assert_eq!(cache::encode(&Program { filter, flags }, &warnings), data);
}
