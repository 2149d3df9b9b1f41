//! Device rules compiled to a program for the kernel's cgroup device hook.
//!
//! The rules form a list that starts from "everything is denied"; each rule decides the accesses
//! that it covers, for the devices that it covers, and a later rule overrides an earlier one.
//! Every access bit (read, write, mknod) is decided on its own, so that `deny w` after
//! `allow rwm` leaves `r` and `m` allowed whatever the process asks for at once.
//!
//! Source: runtime-spec config-linux.md «Allowed Device list»; the kernel's
//! `BPF_PROG_TYPE_CGROUP_DEVICE` and `struct bpf_cgroup_dev_ctx` (linux/bpf.h).

use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType};
use std::fmt;
use std::ops::{BitAnd, BitOr, Not};

/// A set of device accesses, in the bits of the kernel's `BPF_DEVCG_ACC_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access(u8);

impl Access {
    /// Create a device node.
    pub const MKNOD: Self = Self(1);
    /// Open for reading.
    pub const READ: Self = Self(2);
    /// Open for writing.
    pub const WRITE: Self = Self(4);
    /// All three.
    pub const ALL: Self = Self(7);

    /// The accesses whose `BPF_DEVCG_ACC_*` bits are set in `bits`; other bits are dropped.
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits & Self::ALL.0)
    }

    /// The `BPF_DEVCG_ACC_*` bits.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether no access is in the set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Reads letters out of `rwm`, each at most once, in any order.
    fn parse(text: &str) -> Option<Self> {
        let mut set = Self(0);
        for letter in text.chars() {
            let one = match letter {
                'r' => Self::READ,
                'w' => Self::WRITE,
                'm' => Self::MKNOD,
                _ => return None,
            };
            set = set | one;
        }
        (!set.is_empty()).then_some(set)
    }
}

impl BitOr for Access {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitAnd for Access {
    type Output = Self;
    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl Not for Access {
    type Output = Self;
    fn not(self) -> Self {
        Self(!self.0 & Self::ALL.0)
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (bit, letter) in [(Self::READ, "r"), (Self::WRITE, "w"), (Self::MKNOD, "m")] {
            if !(*self & bit).is_empty() {
                f.write_str(letter)?;
            }
        }
        Ok(())
    }
}

/// The kind of device node that a rule covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Block and character devices.
    Any,
    /// Block devices.
    Block,
    /// Character devices (also written `u`).
    Char,
}

/// One rule: which accesses to which devices are allowed or denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Whether the accesses are allowed.
    pub allow: bool,
    /// The kind of device.
    pub kind: Kind,
    /// Major number; `None` covers all.
    pub major: Option<u32>,
    /// Minor number; `None` covers all.
    pub minor: Option<u32>,
    /// The accesses that the rule decides.
    pub access: Access,
}

impl Rule {
    const fn allow(kind: Kind, major: Option<u32>, minor: Option<u32>, access: Access) -> Self {
        Self { allow: true, kind, major, minor, access }
    }

    /// Whether the rule decides every access to every device.
    pub fn covers_everything(&self) -> bool {
        self.kind == Kind::Any
            && self.major.is_none()
            && self.minor.is_none()
            && self.access == Access::ALL
    }
}

impl fmt::Display for Rule {
    /// `allow c 1:3 rwm`, with `*` for any number: the words of cgroup v1's devices.allow.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.allow { "allow " } else { "deny " })?;
        f.write_str(match self.kind {
            Kind::Any => "a ",
            Kind::Block => "b ",
            Kind::Char => "c ",
        })?;
        number(self.major, f)?;
        f.write_str(":")?;
        number(self.minor, f)?;
        write!(f, " {}", self.access)
    }
}

fn number(number: Option<u32>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match number {
        Some(n) => write!(f, "{n}"),
        None => f.write_str("*"),
    }
}

/// What every container may do, after and above the rules of its config: make any node, and use
/// the default devices (runtime-spec config-linux.md «Default Devices») and its terminals.
pub const DEFAULT_RULES: [Rule; 10] = [
    Rule::allow(Kind::Char, None, None, Access::MKNOD),
    Rule::allow(Kind::Block, None, None, Access::MKNOD),
    Rule::allow(Kind::Char, Some(1), Some(3), Access::ALL),
    Rule::allow(Kind::Char, Some(1), Some(5), Access::ALL),
    Rule::allow(Kind::Char, Some(1), Some(7), Access::ALL),
    Rule::allow(Kind::Char, Some(1), Some(8), Access::ALL),
    Rule::allow(Kind::Char, Some(1), Some(9), Access::ALL),
    Rule::allow(Kind::Char, Some(5), Some(0), Access::ALL),
    Rule::allow(Kind::Char, Some(5), Some(2), Access::ALL),
    Rule::allow(Kind::Char, Some(136), None, Access::ALL),
];

/// Why a device rule cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The access string is absent or holds something other than `r`, `w` and `m`.
    #[error("{pointer}: device access {access:?} is not a combination of r, w and m")]
    Access {
        /// JSON pointer of the value.
        pointer: String,
        /// The string, empty when absent.
        access: String,
    },
    /// A device number that no device can have.
    #[error("{pointer}: device number {number} is neither -1 (any) nor between 0 and {max}", max = i32::MAX)]
    Number {
        /// JSON pointer of the value.
        pointer: String,
        /// The number.
        number: i64,
    },
    /// Cgroup v1 cannot take back a part of a wider rule.
    #[error(
        "/linux/resources/devices: cgroup v1 cannot hold both \"{wide}\" and the narrower \
         \"{rule}\": list only what is allowed, or use cgroup v2"
    )]
    Narrow {
        /// The narrower rule, which comes later.
        rule: Rule,
        /// The wider rule.
        wide: Rule,
    },
    /// A type that the device cgroup does not know.
    #[error("{pointer}: a device rule cannot be about type {kind}; use a, b, c or u")]
    Kind {
        /// JSON pointer of the value.
        pointer: String,
        /// The type's name in the config.
        kind: &'static str,
    },
}

/// The full rule list of a container: deny everything, then the config's rules in order, then
/// [`DEFAULT_RULES`].
///
/// # Errors
/// A rule that cannot be expressed, with the JSON pointer of the offending value.
pub fn resolve(rules: &[LinuxDeviceCgroup]) -> Result<Vec<Rule>, Error> {
    let mut list = Vec::with_capacity(1 + rules.len() + DEFAULT_RULES.len());
    list.push(Rule { allow: false, ..Rule::allow(Kind::Any, None, None, Access::ALL) });
    for (index, rule) in rules.iter().enumerate() {
        list.push(rule_of(index, rule)?);
    }
    list.extend(DEFAULT_RULES);
    Ok(list)
}

fn rule_of(index: usize, rule: &LinuxDeviceCgroup) -> Result<Rule, Error> {
    let pointer = |field: &str| format!("/linux/resources/devices/{index}/{field}");
    let kind = match rule.typ() {
        None | Some(LinuxDeviceType::A) => Kind::Any,
        Some(LinuxDeviceType::B) => Kind::Block,
        Some(LinuxDeviceType::C | LinuxDeviceType::U) => Kind::Char,
        Some(LinuxDeviceType::P) => {
            return Err(Error::Kind { pointer: pointer("type"), kind: "p" });
        }
    };
    let text = rule.access().as_deref().unwrap_or_default();
    let access = Access::parse(text)
        .ok_or_else(|| Error::Access { pointer: pointer("access"), access: text.to_owned() })?;
    Ok(Rule {
        allow: rule.allow(),
        kind,
        major: number_of(rule.major(), || pointer("major"))?,
        minor: number_of(rule.minor(), || pointer("minor"))?,
        access,
    })
}

fn number_of(value: Option<i64>, pointer: impl FnOnce() -> String) -> Result<Option<u32>, Error> {
    match value {
        None | Some(-1) => Ok(None),
        Some(number) => match i32::try_from(number) {
            Ok(n) if n >= 0 => Ok(Some(n as u32)),
            _ => Err(Error::Number { pointer: pointer(), number }),
        },
    }
}

/// A number that tells lists of rules apart, of use beyond the life of a program: FNV-1a of their
/// text.
pub fn digest(rules: &[Rule]) -> u64 {
    let bytes = rules.iter().flat_map(|rule| format!("{rule}\n").into_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Rules in the form that cgroup v1 keeps: what holds for everything, and the exceptions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exceptions {
    /// Whether what no exception covers is allowed.
    pub allow: bool,
    /// Rules of the opposite kind, about block or character devices, no two about the same ones.
    pub list: Vec<Rule>,
}

/// Reduces a rule list to the form of cgroup v1, which forgets a rule that takes back only a part
/// of what an earlier one covers.
///
/// # Errors
/// [`Error::Narrow`] when the rules cannot be said in that form.
pub fn exceptions(rules: &[Rule]) -> Result<Exceptions, Error> {
    let mut state = Exceptions { allow: false, list: Vec::new() };
    for rule in rules {
        if rule.covers_everything() {
            state = Exceptions { allow: rule.allow, list: Vec::new() };
            continue;
        }
        let kinds: &[Kind] = match rule.kind {
            Kind::Any => &[Kind::Block, Kind::Char],
            Kind::Block => &[Kind::Block],
            Kind::Char => &[Kind::Char],
        };
        for kind in kinds {
            let rule = Rule { kind: *kind, ..*rule };
            if rule.allow == state.allow { state.withdraw(&rule)? } else { state.add(rule) }
        }
    }
    Ok(state)
}

impl Exceptions {
    fn add(&mut self, rule: Rule) {
        let same = |old: &&mut Rule| {
            (old.kind, old.major, old.minor) == (rule.kind, rule.major, rule.minor)
        };
        match self.list.iter_mut().find(same) {
            Some(old) => old.access = old.access | rule.access,
            None => self.list.push(rule),
        }
    }

    fn withdraw(&mut self, rule: &Rule) -> Result<(), Error> {
        for old in &mut self.list {
            let meet = |a: Option<u32>, b: Option<u32>| a.is_none() || b.is_none() || a == b;
            if old.kind != rule.kind
                || !meet(old.major, rule.major)
                || !meet(old.minor, rule.minor)
                || (old.access & rule.access).is_empty()
            {
                continue;
            }
            let within = |wide: Option<u32>, one: Option<u32>| wide.is_none() || wide == one;
            if !within(rule.major, old.major) || !within(rule.minor, old.minor) {
                return Err(Error::Narrow { rule: *rule, wide: *old });
            }
            old.access = old.access & !rule.access;
        }
        self.list.retain(|old| !old.access.is_empty());
        Ok(())
    }
}

/// One eBPF instruction, laid out as the kernel's `struct bpf_insn`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Insn {
    /// Operation code.
    pub code: u8,
    /// Destination register in the low four bits, source register in the high four.
    pub regs: u8,
    /// Signed jump or memory offset.
    pub off: i16,
    /// Signed immediate value.
    pub imm: i32,
}

const BPF_LDX_MEM_W: u8 = 0x61;
const BPF_ALU64_MOV_X: u8 = 0xbf;
const BPF_ALU64_MOV_K: u8 = 0xb7;
const BPF_ALU64_AND_K: u8 = 0x57;
const BPF_ALU64_RSH_K: u8 = 0x77;
const BPF_ALU64_LSH_X: u8 = 0x6f;
const BPF_JMP_JEQ_K: u8 = 0x15;
const BPF_JMP_JGT_K: u8 = 0x25;
const BPF_JMP_JNE_K: u8 = 0x55;
const BPF_JMP_JSET_K: u8 = 0x45;
const BPF_JMP_JA: u8 = 0x05;
const BPF_JMP_EXIT: u8 = 0x95;

/// The verdict register.
const VERDICT: u8 = 0;
/// On entry, the address of `struct bpf_cgroup_dev_ctx`.
const CONTEXT: u8 = 1;
/// The accesses that no rule has decided yet.
const WANTED: u8 = 2;
const KIND: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;
/// A bit for the minor number.
const BIT: u8 = 6;

const DEV_BLOCK: i32 = 1;
const DEV_CHAR: i32 = 2;

fn insn(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> Insn {
    Insn { code, regs: dst | (src << 4), off, imm }
}

fn load(dst: u8, off: i16) -> Insn {
    insn(BPF_LDX_MEM_W, dst, CONTEXT, off, 0)
}

fn verdict(allow: bool) -> [Insn; 2] {
    [insn(BPF_ALU64_MOV_K, VERDICT, 0, 0, i32::from(allow)), insn(BPF_JMP_EXIT, 0, 0, 0, 0)]
}

/// Compiles rules to a program that returns 1 to allow and 0 to deny.
///
/// The program walks the rules from the last to the first. An access that a deny rule covers
/// ends it with 0; what an allow rule covers is taken off the wanted set, and an empty set ends it
/// with 1. Neighbours that share a kind or a major number share its test, and so do small minor
/// numbers that lead to the same end: what the kernel takes to check a program grows with its tests
/// (specs/70-budgets.md).
pub fn compile(rules: &[Rule]) -> Vec<Insn> {
    let mut program = vec![
        load(WANTED, 0),
        insn(BPF_ALU64_MOV_X, KIND, WANTED, 0, 0),
        insn(BPF_ALU64_AND_K, KIND, 0, 0, 0xffff),
        insn(BPF_ALU64_RSH_K, WANTED, 0, 0, 16),
        load(MAJOR, 4),
        load(MINOR, 8),
    ];
    let body = by_kind(&last_first(rules));
    program.extend(body.code);
    if !body.ends {
        program.extend(verdict(false));
    }
    program
}

/// The rules from the last to the first, neighbours that say the same of both kinds as one.
fn last_first(rules: &[Rule]) -> Vec<Rule> {
    let mut list: Vec<Rule> = Vec::with_capacity(rules.len());
    for rule in rules.iter().rev() {
        match list.last_mut() {
            Some(last) if is_other_half(last, rule) => last.kind = Kind::Any,
            _ => list.push(*rule),
        }
    }
    list
}

/// Whether two rules differ in their kind alone, and leave none out.
fn is_other_half(one: &Rule, other: &Rule) -> bool {
    let kinds = (one.kind, other.kind);
    matches!(kinds, (Kind::Block, Kind::Char) | (Kind::Char, Kind::Block))
        && *one == Rule { kind: one.kind, ..*other }
}

/// Some instructions.
#[derive(Default)]
struct Block {
    code: Vec<Insn>,
    /// Whether nothing behind them is ever reached. The verifier refuses what cannot be.
    ends: bool,
}

impl Block {
    /// All of them, one after the other, up to one that ends.
    fn sequence(parts: impl Iterator<Item = Self>) -> Self {
        let mut whole = Self::default();
        for part in parts {
            whole.code.extend(part.code);
            if part.ends {
                whole.ends = true;
                break;
            }
        }
        whole
    }

    /// Done only where the minor number is one of these, each below [`SMALL`].
    fn only_if_one_of(self, minors: impl Iterator<Item = u32>) -> Self {
        let mask = minors.fold(0_i32, |mask, minor| mask | 1 << minor);
        let over = self.code.len() as i16;
        let tests = [
            // A shift by as much would mean nothing.
            insn(BPF_JMP_JGT_K, MINOR, 0, 4 + over, SMALL as i32 - 1),
            insn(BPF_ALU64_MOV_K, BIT, 0, 0, 1),
            insn(BPF_ALU64_LSH_X, BIT, MINOR, 0, 0),
            insn(BPF_ALU64_AND_K, BIT, 0, 0, mask),
            insn(BPF_JMP_JEQ_K, BIT, 0, over, 0),
        ];
        Self { code: tests.into_iter().chain(self.code).collect(), ends: false }
    }

    /// Done only where the register has the value; anywhere without one.
    fn only_if(self, register: u8, value: Option<i32>) -> Self {
        let Some(value) = value else { return self };
        let over = self.code.len() as i16;
        let test = insn(BPF_JMP_JNE_K, register, 0, over, value);
        Self { code: std::iter::once(test).chain(self.code).collect(), ends: false }
    }
}

/// Rules behind one test, so that the jump over them fits its field.
const MOST_ALIKE: usize = 1000;

fn by_kind(rules: &[Rule]) -> Block {
    let groups = rules.chunk_by(|a, b| a.kind == b.kind).flat_map(|alike| alike.chunks(MOST_ALIKE));
    Block::sequence(groups.map(|alike| {
        let kind = match alike[0].kind {
            Kind::Any => None,
            Kind::Block => Some(DEV_BLOCK),
            Kind::Char => Some(DEV_CHAR),
        };
        by_major(alike).only_if(KIND, kind)
    }))
}

fn by_major(rules: &[Rule]) -> Block {
    Block::sequence(rules.chunk_by(|a, b| a.major == b.major).map(|alike| {
        let minors = alike.chunk_by(lead_to_one_end).flat_map(by_minor);
        Block::sequence(minors).only_if(MAJOR, number_in(alike[0].major))
    }))
}

/// Minor numbers below this have a bit each in an immediate value, which is extended by its sign.
const SMALL: u32 = 31;

/// So many tests of their own take more than one for all.
const WORTH_ONE_TEST: usize = 3;

/// Whether two rules about all accesses to a device each decide the same.
fn lead_to_one_end(a: &Rule, b: &Rule) -> bool {
    let is_small = |rule: &Rule| rule.minor.is_some_and(|minor| minor < SMALL);
    let ends = |rule: &Rule| rule.access == Access::ALL && is_small(rule);
    a.allow == b.allow && ends(a) && ends(b)
}

fn by_minor(alike: &[Rule]) -> Vec<Block> {
    if alike.len() >= WORTH_ONE_TEST {
        let minors = alike.iter().filter_map(|rule| rule.minor);
        return vec![decide(&alike[0]).only_if_one_of(minors)];
    }
    alike.iter().map(|rule| decide(rule).only_if(MINOR, number_in(rule.minor))).collect()
}

/// Numbers are at most i32::MAX, so the sign extension of the immediate changes nothing.
fn number_in(number: Option<u32>) -> Option<i32> {
    number.map(|number| number as i32)
}

fn decide(rule: &Rule) -> Block {
    if rule.access == Access::ALL {
        // Something is still wanted, or the program would have ended.
        return Block { code: verdict(rule.allow).into(), ends: true };
    }
    let covered = i32::from(rule.access.bits());
    let mut code = Vec::with_capacity(4);
    if rule.allow {
        code.push(insn(BPF_ALU64_AND_K, WANTED, 0, 0, i32::from((!rule.access).bits())));
        code.push(insn(BPF_JMP_JNE_K, WANTED, 0, 2, 0));
    } else {
        code.push(insn(BPF_JMP_JSET_K, WANTED, 0, 1, covered));
        code.push(insn(BPF_JMP_JA, 0, 0, 2, 0));
    }
    code.extend(verdict(rule.allow));
    Block { code, ends: false }
}

/// Whether the rules only ever allow, apart from denying everything at once: then a container
/// that can neither make nor open foreign device nodes loses nothing by having no filter.
pub fn is_skippable(rules: &[Rule]) -> bool {
    rules.iter().all(|rule| rule.allow || rule.covers_everything())
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::runtime::LinuxDeviceCgroupBuilder;
    use proptest::prelude::*;

    /// Runs a program as the kernel's interpreter would; panics on anything it does not know.
    fn run(program: &[Insn], kind: Kind, major: u32, minor: u32, access: Access) -> bool {
        let kind = if kind == Kind::Block { 1 } else { 2 };
        let context = [(u32::from(access.bits()) << 16) | kind, major, minor];
        let mut regs = [0u64; 11];
        let mut at = 0usize;
        for _ in 0..100_000 {
            let i = program[at];
            let (dst, src) = (usize::from(i.regs & 15), usize::from(i.regs >> 4));
            let imm = i64::from(i.imm) as u64;
            let mut jump = false;
            match i.code {
                BPF_LDX_MEM_W => {
                    assert_eq!(src, usize::from(CONTEXT));
                    regs[dst] = u64::from(context[i.off as usize / 4]);
                }
                BPF_ALU64_MOV_X => regs[dst] = regs[src],
                BPF_ALU64_MOV_K => regs[dst] = imm,
                BPF_ALU64_AND_K => regs[dst] &= imm,
                BPF_ALU64_RSH_K => regs[dst] >>= imm,
                BPF_ALU64_LSH_X => regs[dst] <<= u32::try_from(regs[src]).unwrap(),
                BPF_JMP_JEQ_K => jump = regs[dst] == imm,
                BPF_JMP_JGT_K => jump = regs[dst] > imm,
                BPF_JMP_JNE_K => jump = regs[dst] != imm,
                BPF_JMP_JSET_K => jump = regs[dst] & imm != 0,
                BPF_JMP_JA => jump = true,
                BPF_JMP_EXIT => return regs[0] == 1,
                other => panic!("unknown instruction {other:#x}"),
            }
            at = at + 1 + if jump { usize::try_from(i.off).unwrap() } else { 0 };
        }
        panic!("the program does not end")
    }

    /// What the rules say about one access, by the definition: each wanted access is decided by the
    /// last rule that covers it, and denied if there is none.
    fn evaluate(rules: &[Rule], kind: Kind, major: u32, minor: u32, wanted: Access) -> bool {
        [Access::READ, Access::WRITE, Access::MKNOD]
            .into_iter()
            .filter(|one| !(wanted & *one).is_empty())
            .all(|one| {
                rules
                    .iter()
                    .rev()
                    .find(|rule| {
                        (rule.kind == Kind::Any || rule.kind == kind)
                            && rule.major.is_none_or(|n| n == major)
                            && rule.minor.is_none_or(|n| n == minor)
                            && !(rule.access & one).is_empty()
                    })
                    .is_some_and(|rule| rule.allow)
            })
    }

    fn any_rule() -> impl Strategy<Value = Rule> {
        let number =
            || prop_oneof![Just(None), (0u32..4).prop_map(Some), Just(Some(i32::MAX as u32))];
        (any::<bool>(), 0..3u8, number(), number(), 1u8..8).prop_map(
            |(allow, kind, major, minor, access)| Rule {
                allow,
                kind: [Kind::Any, Kind::Block, Kind::Char][usize::from(kind)],
                major,
                minor,
                access: Access::from_bits(access),
            },
        )
    }

    #[test]
    fn small_minor_numbers_that_lead_to_one_end_share_a_test() {
        let rule = |allow, minor| Rule {
            allow,
            ..Rule::allow(Kind::Char, Some(1), Some(minor), Access::ALL)
        };
        for allow in [true, false] {
            let rest = Rule { allow: !allow, ..Rule::allow(Kind::Any, None, None, Access::ALL) };
            let mut rules = vec![rest];
            rules.extend([0, 3, 5, 30, 31, 64].map(|minor| rule(allow, minor)));
            let program = compile(&rules);
            for minor in (0..200).chain([i32::MAX as u32, u32::MAX]) {
                for (kind, major) in [(Kind::Char, 1), (Kind::Char, 2), (Kind::Block, 1)] {
                    assert_eq!(
                        run(&program, kind, major, minor, Access::READ),
                        evaluate(&rules, kind, major, minor, Access::READ),
                        "{kind:?} {major}:{minor}"
                    );
                }
            }
        }
        assert_eq!(compile(&resolve(&[]).unwrap()).len(), 31, "the default rules");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn program_agrees_with_the_definition(rules in prop::collection::vec(any_rule(), 0..12)) {
            let program = compile(&rules);
            for kind in [Kind::Block, Kind::Char] {
                for major in [0, 1, 3, 4, i32::MAX as u32] {
                    for minor in [0, 2, 5, i32::MAX as u32] {
                        for access in 1..8 {
                            let access = Access::from_bits(access);
                            prop_assert_eq!(
                                run(&program, kind, major, minor, access),
                                evaluate(&rules, kind, major, minor, access),
                                "{:?} {}:{} {}", kind, major, minor, access
                            );
                        }
                    }
                }
            }
        }
    }

    fn spec_rule(allow: bool, access: &str) -> LinuxDeviceCgroupBuilder {
        LinuxDeviceCgroupBuilder::default().allow(allow).access(access)
    }

    /// CG-30.
    #[test]
    fn default_devices_survive_deny_all() {
        let rules = resolve(&[spec_rule(false, "rwm").build().unwrap()]).unwrap();
        let program = compile(&rules);
        assert!(run(&program, Kind::Char, 1, 3, Access::ALL));
        assert!(run(&program, Kind::Char, 136, 7, Access::READ | Access::WRITE));
        assert!(run(&program, Kind::Block, 8, 0, Access::MKNOD));
        assert!(!run(&program, Kind::Block, 8, 0, Access::READ));
        assert!(!run(&program, Kind::Char, 10, 200, Access::READ));
    }

    /// CG-30.
    #[test]
    fn denial_of_one_access_holds_for_combined_opens() {
        let allow = spec_rule(true, "rwm").typ(LinuxDeviceType::B).major(8).minor(0);
        let deny = spec_rule(false, "w").typ(LinuxDeviceType::B).major(8).minor(0);
        let rules = resolve(&[allow.build().unwrap(), deny.build().unwrap()]).unwrap();
        let program = compile(&rules);
        assert!(run(&program, Kind::Block, 8, 0, Access::READ));
        assert!(!run(&program, Kind::Block, 8, 0, Access::READ | Access::WRITE));
    }

    /// CG-31.
    #[test]
    fn exceptions_are_what_is_left_of_the_rules() {
        let rule =
            |allow, major, minor, access| Rule { allow, kind: Kind::Char, major, minor, access };
        let deny_all = Rule { kind: Kind::Any, ..rule(false, None, None, Access::ALL) };
        let one = rule(true, Some(5), Some(6), Access::ALL);
        let taken = rule(false, Some(5), None, Access::WRITE);
        let left = exceptions(&[deny_all, one, taken]).unwrap();
        assert!(!left.allow);
        assert_eq!(left.list, [rule(true, Some(5), Some(6), Access::READ | Access::MKNOD)]);
        let wide = rule(true, Some(5), None, Access::ALL);
        let narrow = rule(false, Some(5), Some(6), Access::WRITE);
        let error = exceptions(&[deny_all, wide, narrow]).unwrap_err();
        assert!(error.to_string().contains("\"allow c 5:* rwm\""), "{error}");
        assert!(exceptions(&[deny_all, one, wide, deny_all]).unwrap().list.is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn exceptions_agree_with_the_definition_bit_by_bit(
            rules in prop::collection::vec(any_rule(), 0..8)
        ) {
            let Ok(state) = exceptions(&rules) else { return Ok(()) };
            let start = Rule { allow: state.allow, ..Rule::allow(Kind::Any, None, None, Access::ALL) };
            let reduced: Vec<Rule> = [start].into_iter().chain(state.list).collect();
            for (kind, major, minor) in [(Kind::Block, 0, 2), (Kind::Char, 3, 3), (Kind::Char, 1, 1)] {
                for one in [Access::READ, Access::WRITE, Access::MKNOD] {
                    prop_assert_eq!(
                        evaluate(&reduced, kind, major, minor, one),
                        evaluate(&rules, kind, major, minor, one)
                    );
                }
            }
        }
    }

    #[test]
    fn no_rules_at_all_deny_everything() {
        assert!(!run(&compile(&[]), Kind::Char, 1, 3, Access::READ));
    }

    #[test]
    fn nothing_follows_a_rule_that_decides_everything() {
        let rules = resolve(&[spec_rule(true, "rwm").build().unwrap()]).unwrap();
        let program = compile(&rules);
        let longer = resolve(&[
            spec_rule(true, "r").major(9).build().unwrap(),
            spec_rule(true, "rwm").build().unwrap(),
        ]);
        assert_eq!(compile(&longer.unwrap()), program);
        assert!(run(&program, Kind::Block, 8, 0, Access::ALL));
    }

    #[test]
    fn bad_rules_name_their_place() {
        let bad = spec_rule(true, "rx").build().unwrap();
        assert_eq!(
            resolve(&[spec_rule(true, "r").build().unwrap(), bad]).unwrap_err().to_string(),
            "/linux/resources/devices/1/access: device access \"rx\" is not a combination of r, w and m"
        );
        let bad = spec_rule(true, "r").minor(-2).build().unwrap();
        assert_eq!(
            resolve(&[bad]),
            Err(Error::Number { pointer: "/linux/resources/devices/0/minor".into(), number: -2 })
        );
        let bad = spec_rule(true, "r").typ(LinuxDeviceType::P).build().unwrap();
        assert!(matches!(resolve(&[bad]), Err(Error::Kind { .. })));
    }

    #[test]
    fn rules_print_as_the_words_of_cgroup_v1() {
        assert_eq!(DEFAULT_RULES[2].to_string(), "allow c 1:3 rwm");
        assert_eq!(DEFAULT_RULES[1].to_string(), "allow b *:* m");
    }
}
