//! What a profile decides for every number that a system call can have.
//!
//! Where several rules of one call match, libseccomp's order says which one stands, so that a
//! profile means the same under every runtime (LAUNCH-26): an unconditional rule before all
//! others; else by [`rank`].
//!
//! A C library tries a new system call and falls back to an old one when it gets ENOSYS. A profile
//! that was written before the call existed answers EPERM, and the program fails for no reason
//! that anybody intended. So when the default action refuses calls (an errno other than ENOSYS, or
//! killing), each call whose number is above the largest one that the profile names on that
//! architecture, whatever for, gets ENOSYS: its author cannot have meant it. Calls below are
//! refused as the profile says. Numbers of new calls have grown alike on all architectures since
//! Linux 5.0, which makes "newer than the profile" a comparison. Tracing, trapping, logging and
//! allowing defaults see every call, as somebody is there who decides. An architecture of which the
//! profile names no call at all is left alone.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use libseccomp::ScmpArch;

use super::abi::{AUDIT_X86_64, Abi, Call, X32_BIT, X32_OWN, is_call};
use super::{Error, Warning};
use crate::plan::seccomp::{Action, Comparison, Operator, Profile, Rule};

const ENOSYS: u16 = 38;

/// What is done with a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Decision {
    /// The first one that matches decides.
    pub clauses: Vec<Clause>,
    /// Whether they compare 64 bits, not the lower 32.
    pub wide: bool,
    /// What is done when none matches.
    pub otherwise: Action,
}

/// A rule as far as it concerns one call on one ABI.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Clause {
    /// All of them must hold; at least one, in the order of the arguments.
    pub conditions: Vec<Comparison>,
    pub action: Action,
}

impl Decision {
    fn always(action: Action) -> Self {
        Self { clauses: Vec::new(), wide: false, otherwise: action }
    }
}

/// What is decided for calls with one value of audit's, which x86_64 and x32 share.
pub(super) struct Table {
    pub audit: u32,
    /// Each decision with the first number that it is for, up to the next one's; from 0 on.
    pub ranges: Vec<(u32, Decision)>,
}

/// A call of an ABI that a rule names.
#[derive(Clone, Copy)]
struct Named<'a> {
    call: Call,
    rule: &'a Rule,
    name: &'a str,
}

/// The tables of a profile for the ABIs that it covers.
pub(super) fn tables(
    profile: &Profile,
    abis: &[Abi],
    warnings: &mut Vec<Warning>,
) -> Result<Vec<Table>, Error> {
    let named = named(profile, abis, warnings);
    let mut tables: Vec<Table> = Vec::new();
    for (abi, mut named) in abis.iter().zip(named) {
        by_number(abi, &mut named);
        let background = background(profile, abi, &named);
        let ranges = overlay(&background, decisions(profile, abi, &named)?);
        match tables.iter_mut().find(|table| table.audit == abi.audit) {
            Some(table) => table.ranges.extend(ranges),
            None => tables.push(Table { audit: abi.audit, ranges }),
        }
    }
    if let Some(table) = tables.iter_mut().find(|table| table.audit == AUDIT_X86_64) {
        table.ranges.extend(uncovered(profile, abis));
        table.ranges.sort_by_key(|(first, _)| *first);
    }
    Ok(tables)
}

/// What is named for each ABI, in the order of the rules.
fn named<'a>(
    profile: &'a Profile,
    abis: &[Abi],
    warnings: &mut Vec<Warning>,
) -> Vec<Vec<Named<'a>>> {
    let mut named: Vec<Vec<Named<'a>>> = abis.iter().map(|_| Vec::new()).collect();
    for rule in &profile.rules {
        for name in &rule.names {
            let mut known = false;
            for (abi, named) in abis.iter().zip(&mut named) {
                if let Some(call) = abi.call(name) {
                    named.push(Named { call, rule, name });
                    known = true;
                }
            }
            if !known && !is_call(name) {
                warnings.push(Warning::Unknown { index: rule.index, name: name.clone() });
            }
        }
    }
    named
}

/// Puts what is named in the order of numbers, and adds the calls that are multiplexed by
/// numbers of their own.
fn by_number(abi: &Abi, named: &mut Vec<Named<'_>>) {
    named.sort_by_key(|named| named.call.number);
    let multiplexed: Vec<_> =
        named.iter().filter(|named| named.call.operation.is_some()).copied().collect();
    if multiplexed.is_empty() {
        return;
    }
    let is_free = |number: &u32| named.binary_search_by_key(number, |n| n.call.number).is_err();
    let free: Vec<u32> = abi.numbers().filter(is_free).collect();
    for number in free {
        let Some(name) = abi.name(number) else { continue };
        let same = multiplexed.iter().filter(|named| named.name == name);
        let call = Call { number, operation: None };
        named.extend(same.map(|named| Named { call, ..*named }));
    }
    named.sort_by_key(|named| named.call.number);
}

/// What is done with calls that no rule is for.
fn background(profile: &Profile, abi: &Abi, named: &[Named<'_>]) -> Vec<(u32, Decision)> {
    let default = Decision::always(profile.default);
    let is_x32 = abi.arch == ScmpArch::X32;
    let (first, end) = if is_x32 { (X32_BIT, X32_OWN) } else { (0, u32::MAX) };
    let mut background = vec![(first, default.clone())];
    let numbers = named.iter().map(|named| named.call.number).filter(|number| *number < end);
    if refuses(profile.default)
        && let Some(newest) = numbers.max()
    {
        background.push((newest + 1, Decision::always(Action::Errno(ENOSYS))));
    }
    if is_x32 {
        background.push((X32_OWN, default));
    }
    background
}

fn refuses(default: Action) -> bool {
    match default {
        Action::Errno(errno) => errno != ENOSYS,
        Action::KillThread | Action::KillProcess => true,
        _ => false,
    }
}

/// The half of x86_64's numbers, or x32's, that is not covered. A tracer makes
/// a call be skipped by the number -1, which is not to kill.
fn uncovered(profile: &Profile, abis: &[Abi]) -> Vec<(u32, Decision)> {
    let covers = |arch| abis.iter().any(|abi| abi.arch == arch);
    let kill = Decision::always(Action::KillThread);
    let mut uncovered = Vec::new();
    if !covers(ScmpArch::X8664) {
        uncovered.push((0, kill.clone()));
    }
    if !covers(ScmpArch::X32) {
        uncovered.push((X32_BIT, kill));
        uncovered.push((u32::MAX, Decision::always(profile.default)));
    }
    uncovered
}

/// The decisions for numbers of their own, from `named` in the order of numbers.
fn decisions(
    profile: &Profile,
    abi: &Abi,
    named: &[Named<'_>],
) -> Result<Vec<(u32, Decision)>, Error> {
    let mut decisions = Vec::new();
    for same in named.chunk_by(|a, b| a.call.number == b.call.number) {
        // Rules that do what is done anyhow are none.
        let mut rules = same.iter().filter(|named| named.rule.action != profile.default).peekable();
        if rules.peek().is_some() {
            let number = same[0].call.number;
            decisions.push((number, decision(rules, profile.default, abi.wide)?));
        }
    }
    Ok(decisions)
}

fn decision<'a>(
    rules: impl Iterator<Item = &'a Named<'a>>,
    default: Action,
    wide: bool,
) -> Result<Decision, Error> {
    let mut known: BTreeMap<Vec<Comparison>, Action> = BTreeMap::new();
    let mut clauses = Vec::new();
    let mut contradicts = None;
    for Named { call, rule, name } in rules {
        for alternative in &rule.alternatives {
            let conditions = conditions(alternative, *call, wide);
            if conditions.is_empty() {
                return Ok(Decision::always(rule.action));
            }
            match known.insert(conditions.clone(), rule.action) {
                None => clauses.push(Clause { conditions, action: rule.action }),
                Some(action) if action == rule.action => {}
                Some(_) => contradicts = contradicts.or(Some((rule.index, *name))),
            }
        }
    }
    if let Some((index, name)) = contradicts {
        return Err(Error::Conflict { index, name: name.to_owned() });
    }
    clauses.sort_by(|a, b| rank(&a.conditions, &b.conditions));
    Ok(Decision { clauses, wide, otherwise: default })
}

/// The conditions of a rule on one ABI. Where arguments have 32 bits, so have the numbers that
/// they are compared with. What socketcall(2) and ipc(2) have as arguments is behind a pointer,
/// but for the first one, which says what they are to do.
fn conditions(alternative: &[Comparison], call: Call, wide: bool) -> Vec<Comparison> {
    let bits = if wide { u64::MAX } else { u32::MAX.into() };
    let operation =
        call.operation.map(|value| Comparison { argument: 0, operator: Operator::Equal, value });
    let own = alternative.iter().filter(|c| operation.is_none() || c.argument != 0);
    let cut = own.filter_map(|comparison| {
        let (operator, mask) = match comparison.operator {
            Operator::MaskedEqual { mask } => {
                (Operator::MaskedEqual { mask: mask & bits }, mask & bits)
            }
            other => (other, bits),
        };
        // Under an empty mask everything is equal.
        (mask != 0).then_some(Comparison {
            operator,
            value: comparison.value & mask,
            ..*comparison
        })
    });
    let mut conditions: Vec<_> = operation.into_iter().chain(cut).collect();
    conditions.sort_by_key(|comparison| comparison.argument);
    conditions
}

/// The order in which libseccomp tries rules: that on the later argument first; then
/// equality, below, above; then the tighter limit, or the larger number. Of rules that begin
/// alike the shorter one comes first, which leaves the longer one nothing to decide.
fn rank(a: &[Comparison], b: &[Comparison]) -> Ordering {
    let key = |comparison: &Comparison| {
        let (kind, number) = match comparison.operator {
            Operator::Equal | Operator::NotEqual | Operator::MaskedEqual { .. } => {
                (0, !comparison.value)
            }
            Operator::Less | Operator::LessOrEqual => (1, comparison.value),
            Operator::Greater | Operator::GreaterOrEqual => (2, !comparison.value),
        };
        (!comparison.argument, kind, number)
    };
    a.iter().map(key).cmp(b.iter().map(key))
}

/// Decisions for single numbers, laid over what is decided around them.
fn overlay(background: &[(u32, Decision)], single: Vec<(u32, Decision)>) -> Vec<(u32, Decision)> {
    let around = |number: u32| {
        background.iter().rev().find(|(first, _)| *first <= number).map(|(_, decision)| decision)
    };
    let after = |(number, _): &(u32, Decision)| {
        let next = number.checked_add(1)?;
        Some((next, around(next)?.clone()))
    };
    let mut layers = background.to_vec();
    layers.extend(single.iter().filter_map(after));
    layers.extend(single);
    // A stable sort: of one number the upper layer comes last.
    layers.sort_by_key(|(first, _)| *first);
    let mut ranges: Vec<(u32, Decision)> = Vec::new();
    for (first, decision) in layers {
        ranges.pop_if(|(last, _)| *last == first);
        if ranges.last().is_none_or(|(_, last)| *last != decision) {
            ranges.push((first, decision));
        }
    }
    ranges
}
