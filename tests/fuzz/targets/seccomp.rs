//! Seccomp profiles as programs for the kernel, and their kept form.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use cloison::plan::seccomp::{Action, Comparison, Operator, Profile, Rule, resolve};
use cloison::seccomp::cache;
use cloison::seccomp::{Error, Program, compile};
use cloison::sys::seccomp::SockFilter;
use serde_json::{Value, json};

use super::bytes::Bytes;
use super::{cbpf, oracle};

/// A calling convention of x86-64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abi {
    X86_64,
    X86,
    X32,
}

impl Abi {
    pub const ALL: [Self; 3] = [Self::X86_64, Self::X86, Self::X32];

    pub fn audit(self) -> u32 {
        if self == Self::X86 { 0x4000_0003 } else { 0xc000_003e }
    }

    pub fn base(self) -> u32 {
        if self == Self::X32 { X32_BIT } else { 0 }
    }

    fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "SCMP_ARCH_X86_64",
            Self::X86 => "SCMP_ARCH_X86",
            Self::X32 => "SCMP_ARCH_X32",
        }
    }

    /// The numbers of a call, each with the operation if it is one of many calls that have it.
    fn ways(self, name: &str) -> impl Iterator<Item = (u32, Option<u64>)> {
        let (_, own, multiplexed) = CALLS.iter().find(|(known, ..)| *known == name).expect("known");
        let own = own[self as usize].map(|number| (self.base() + number, None));
        let through = multiplexed.filter(|_| self == Self::X86);
        own.into_iter().chain(through.map(|(number, operation)| (number, Some(operation))))
    }

    /// What of an argument is compared.
    fn bits(self) -> u64 {
        if self == Self::X86_64 { u64::MAX } else { u32::MAX.into() }
    }
}

const X32_BIT: u32 = 0x4000_0000;

/// Where x32's own calls begin.
const X32_OWN: u32 = X32_BIT + 512;

/// Calls with their numbers on x86_64, x86 and x32 (without its bit), and as an operation of
/// socketcall(2) or ipc(2) on x86. The last ones are newer than libseccomp.
type Call = (&'static str, [Option<u32>; 3], Option<(u32, u64)>);
const CALLS: [Call; 16] = [
    ("read", [Some(0), Some(3), Some(0)], None),
    ("write", [Some(1), Some(4), Some(1)], None),
    ("mmap", [Some(9), Some(90), Some(9)], None),
    ("ioctl", [Some(16), Some(54), Some(514)], None),
    ("socket", [Some(41), Some(359), Some(41)], Some((102, 1))),
    ("accept", [Some(43), None, Some(43)], Some((102, 5))),
    ("shmat", [Some(30), Some(397), Some(30)], Some((117, 21))),
    ("socketcall", [None, Some(102), None], None),
    ("clone", [Some(56), Some(120), Some(56)], None),
    ("personality", [Some(135), Some(136), Some(135)], None),
    ("prctl", [Some(157), Some(172), Some(157)], None),
    ("openat", [Some(257), Some(295), Some(257)], None),
    ("clone3", [Some(435), Some(435), Some(435)], None),
    ("faccessat2", [Some(439), Some(439), Some(439)], None),
    ("fchmodat2", [Some(452), Some(452), Some(452)], None),
    ("mseal", [Some(462), Some(462), Some(462)], None),
];

/// Numbers that not every libseccomp knows.
const NEWER: Range<u32> = 451..600;

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
const VALUES: [u64; 10] = [
    0,
    1,
    2,
    0xff,
    0x7fff_ffff,
    0xffff_ffff,
    0x1_0000_0000,
    0x1_0000_0001,
    0x2_0000_0001,
    u64::MAX,
];

/// The program passes the kernel's checks, decides as the profile reads, and as libseccomp's
/// does where that is sound.
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
    let readings = Abi::ALL.map(|abi| Reading::new(&profile, abi));
    let theirs = theirs(&profile, &readings);
    for abi in Abi::ALL {
        for (number, args) in points(abi) {
            let reading = of(&readings, abi.audit(), number);
            let expected = reading.decides(number, args);
            let answer = cbpf::run(&program.filter, abi.audit(), number, args);
            assert_eq!(answer, expected, "{abi:?} {number} {args:x?}: {asked}");
            if let Some(theirs) = &theirs
                && reading.is_libseccomps(number)
            {
                let answer = cbpf::run(theirs, abi.audit(), number, args);
                assert_eq!(answer, expected, "libseccomp: {abi:?} {number} {args:x?}: {asked}");
            }
        }
    }
}

/// Who decides a call. What no ABI has is x86_64's, as is the number by which tracers have a call
/// skipped, -1.
fn of<'a, 'b>(readings: &'a [Reading<'b>; 3], audit: u32, number: u32) -> &'a Reading<'b> {
    let [x86_64, x86, x32] = readings;
    match audit {
        audit if audit == Abi::X86.audit() => x86,
        _ if number == u32::MAX && !x32.covered => x86_64,
        _ if number >= X32_BIT => x32,
        _ => x86_64,
    }
}

/// libseccomp's program, if it is to be had: some profiles it refuses, and some keep it busy
/// without end.
fn theirs(profile: &Profile, readings: &[Reading<'_>; 3]) -> Option<Vec<SockFilter>> {
    let sound = readings.iter().all(|reading| {
        let wide = reading.abi == Abi::X86_64;
        reading.clauses.values().all(|clauses| is_sound(clauses, wide))
    });
    if sound { oracle::compile(profile).ok() } else { None }
}

/// Calls to try: all numbers, and those that may be named with many arguments.
pub fn points(abi: Abi) -> impl Iterator<Item = (u32, [u64; 6])> {
    let edges = [X32_BIT - 1, X32_BIT, X32_OWN, 0x7fff_ffff, 0x8000_0000, u32::MAX - 1, u32::MAX];
    let all = (0..=600).map(move |number| abi.base() + number).chain(edges);
    let ways = CALLS.iter().flat_map(move |(name, ..)| abi.ways(name)).map(|(number, _)| number);
    let args = VALUES
        .iter()
        .chain(&[5, 21])
        .flat_map(|first| [0, u64::MAX, 0x1_0000_0000].map(|second| [*first, second, 1, 0, 0, 0]));
    let args: Vec<_> = args.collect();
    let named = ways.flat_map(move |number| args.clone().into_iter().map(move |a| (number, a)));
    all.map(|number| (number, [0; 6])).chain(named)
}

fn profile(bytes: &mut Bytes<'_>) -> Value {
    let mut rules = Vec::new();
    let default = bytes.of(&ACTIONS[..7]);
    let architectures: Vec<_> =
        Abi::ALL.iter().filter(|_| bytes.flag()).map(|abi| abi.name()).collect();
    while !bytes.is_empty() && rules.len() < 8 {
        let names: Vec<&str> = (0..1 + bytes.byte() % 3).map(|_| bytes.of(&CALLS).0).collect();
        let args: Vec<Value> = (0..bytes.byte() % 4)
            .map(|_| {
                let (index, op) = (bytes.below(3), bytes.of(&OPERATORS));
                let (value, second) = (bytes.of(&VALUES), bytes.of(&VALUES));
                json!({"index": index, "op": op, "value": value, "valueTwo": second})
            })
            .collect();
        rules.push(json!({"names": names, "action": bytes.of(&ACTIONS), "args": args}));
    }
    json!({
        "defaultAction": default, "architectures": architectures, "syscalls": rules,
        "listenerPath": "/agent",
    })
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

/// One alternative of a rule, for one number.
#[derive(Clone, Debug)]
struct Clause {
    conditions: Vec<Comparison>,
    action: Action,
}

/// The alternatives of a rule, for a call or an operation of a call.
fn of_rule(rule: &Rule, abi: Abi, operation: Option<u64>) -> impl Iterator<Item = Clause> {
    let (bits, action) = (abi.bits(), rule.action);
    rule.alternatives.iter().map(move |all| {
        let operation =
            operation.map(|value| Comparison { argument: 0, operator: Operator::Equal, value });
        let own = all.iter().filter(|one| operation.is_none() || one.argument != 0);
        let own = own.map(|one| match one.operator {
            Operator::MaskedEqual { mask } => {
                let mask = mask & bits;
                let operator = Operator::MaskedEqual { mask };
                Comparison { operator, value: one.value & mask, ..*one }
            }
            _ => Comparison { value: one.value & bits, ..*one },
        });
        let empty = Operator::MaskedEqual { mask: 0 };
        let mut conditions: Vec<_> =
            operation.into_iter().chain(own).filter(|one| one.operator != empty).collect();
        conditions.sort_by_key(|one| one.argument);
        Clause { conditions, action }
    })
}

/// A profile, read as it is written.
struct Reading<'a> {
    profile: &'a Profile,
    abi: Abi,
    /// Whether calls of this ABI are filtered at all.
    covered: bool,
    /// What rules say of each number that is named, in libseccomp's order.
    clauses: BTreeMap<u32, Vec<Clause>>,
}

impl<'a> Reading<'a> {
    fn new(profile: &'a Profile, abi: Abi) -> Self {
        let asked = profile.architectures.iter().any(|(_, known)| known.name == abi.name());
        let covered = asked || abi == Abi::X86_64;
        let mut reading = Self { profile, abi, covered, clauses: BTreeMap::new() };
        for rule in &profile.rules {
            for (number, operation) in rule.names.iter().flat_map(|name| abi.ways(name)) {
                let clauses = reading.clauses.entry(number).or_default();
                if rule.action != profile.default {
                    clauses.extend(of_rule(rule, abi, operation));
                }
            }
        }
        let places = |clause: &Clause| clause.conditions.iter().map(place).collect::<Vec<_>>();
        reading.clauses.values_mut().for_each(|clauses| clauses.sort_by_key(places));
        reading
    }

    fn decides(&self, number: u32, args: [u64; 6]) -> u32 {
        if !self.covered {
            return answer(Action::KillThread);
        }
        // A rule without conditions comes first.
        let clauses = self.clauses.get(&number).map_or(&[][..], Vec::as_slice);
        let holds = |one: &Comparison| self.holds(one, args);
        if let Some(first) = clauses.iter().find(|clause| clause.conditions.iter().all(holds)) {
            return answer(first.action);
        }
        answer(if self.is_newer(number) { Action::Errno(38) } else { self.profile.default })
    }

    /// Whether the call cannot have been thought of.
    fn is_newer(&self, number: u32) -> bool {
        let newest = self.clauses.keys().rfind(|number| !self.is_ageless(**number));
        newest.is_some_and(|newest| number > *newest)
            && refuses(self.profile.default)
            && !self.is_ageless(number)
    }

    fn is_ageless(&self, number: u32) -> bool {
        match self.abi {
            Abi::X86_64 => number == u32::MAX,
            Abi::X86 => false,
            Abi::X32 => number >= X32_OWN,
        }
    }

    fn holds(&self, comparison: &Comparison, args: [u64; 6]) -> bool {
        let argument = args[usize::from(comparison.argument)] & self.abi.bits();
        let value = comparison.value;
        match comparison.operator {
            Operator::NotEqual => argument != value,
            Operator::Less => argument < value,
            Operator::LessOrEqual => argument <= value,
            Operator::Equal => argument == value,
            Operator::GreaterOrEqual => argument >= value,
            Operator::Greater => argument > value,
            Operator::MaskedEqual { mask } => argument & mask == value,
        }
    }

    /// Whether libseccomp's part of the decision is all of it.
    fn is_libseccomps(&self, number: u32) -> bool {
        !self.is_newer(number) && !NEWER.contains(&(number & !self.abi.base()))
    }
}

/// Where libseccomp puts a condition among those on the same call (specs, LAUNCH-26).
fn place(comparison: &Comparison) -> (Reverse<u8>, u8, Reverse<u64>) {
    let (kind, value) = match comparison.operator {
        Operator::Equal | Operator::NotEqual | Operator::MaskedEqual { .. } => {
            (0, comparison.value)
        }
        Operator::Less | Operator::LessOrEqual => (1, !comparison.value),
        Operator::Greater | Operator::GreaterOrEqual => (2, comparison.value),
    };
    (Reverse(comparison.argument), kind, Reverse(value))
}

/// Whether libseccomp 2.5 makes of the rules of one call what they say. What it gets wrong:
///
/// - Several ordering comparisons of one 64-bit argument: it takes the answer of one for that of
///   another. Of `a >= 1 << 32` and `a < u32::MAX` it finds u32::MAX to match.
/// - Several rules, one of which has several conditions and with them `!=`, `<` or `<=`: they
///   share branches, or one is taken for part of another and left out. Of `b == 0` and `a == 2 &&
///   b != 0` the second never matches. With some of these it does not come to an end.
/// - Rules with different actions: it mixes up those of `a != 1` and `a != 2` where the upper
///   halves differ, has `a >= 2` where `a < 2` is in its order, and does not look at lower halves
///   for the order of masks.
fn is_sound(clauses: &[Clause], wide: bool) -> bool {
    let all = || clauses.iter().flat_map(|clause| &clause.conditions);
    let most = |counts: &dyn Fn(&Comparison) -> bool| {
        let of = |argument| all().filter(move |one| one.argument == argument);
        let distinct = |argument| of(argument).filter(|one| counts(one)).collect::<BTreeSet<_>>();
        (0..6).map(|argument| distinct(argument).len()).max().unwrap_or(0)
    };
    let orders = most(&|one| place(one).1 > 0);
    let masks = most(&|one| matches!(one.operator, Operator::MaskedEqual { .. }));
    let unequal = most(&|one| one.operator == Operator::NotEqual);
    let negates = |one: &Comparison| {
        [Operator::NotEqual, Operator::Less, Operator::LessOrEqual].contains(&one.operator)
    };
    let shares = clauses.len() > 1
        && clauses.iter().any(|all| all.conditions.len() > 1 && all.conditions.iter().any(negates));
    let agree = clauses.iter().all(|clause| clause.action == clauses[0].action);
    !(shares || wide && orders > 1) && (agree || orders + masks == 0 && unequal <= 1)
}

/// A kept program is read as it was kept, or not at all.
pub fn cache(data: &[u8]) {
    let Some((Program { filter, flags }, warnings)) = cache::decode(data) else { return };
    assert_eq!(cache::encode(&Program { filter, flags }, &warnings), data);
}
