//! Decisions as a BPF program.
//!
//! The program finds the architecture, then the number by a binary search over ranges, then looks
//! at arguments. Jumps lead forward only, so it is written from its end to its beginning, when
//! all that an instruction can lead to is there.

use super::rules::{Decision, Table};
use crate::plan::seccomp::{Action, Comparison, Operator};
use crate::sys::seccomp::SockFilter;

/// Offsets in struct seccomp_data (linux/seccomp.h).
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const JUMP: u16 = 0x05;
const EQUAL: u16 = 0x15;
const GREATER: u16 = 0x25;
const GREATER_OR_EQUAL: u16 = 0x35;
const RETURN: u16 = 0x06;

/// How far a branch may lead. It reaches 255, of which one is left for what may still come
/// between.
const REACH: usize = 254;

/// The program for all tables. A call of another architecture ends its thread, which is
/// libseccomp's and so every runtime's default.
pub(super) fn of(tables: &[Table]) -> Vec<SockFilter> {
    let mut code = Code::default();
    let mut entries = Vec::new();
    for table in tables.iter().rev() {
        let search = code.search(&table.ranges);
        entries.push((table.audit, code.load(NUMBER, search)));
    }
    let mut next = code.answer(Action::KillThread);
    for (audit, entry) in entries {
        next = code.branch(EQUAL, audit, entry, next);
    }
    code.load(ARCHITECTURE, next);
    code.backwards.reverse();
    code.backwards
}

/// An instruction, as the number of instructions from it to the end of the program.
type Label = usize;

/// A program that is being written.
#[derive(Default)]
struct Code {
    /// Its last instruction first.
    backwards: Vec<SockFilter>,
    /// For each answer the latest instruction that gives it.
    answers: Vec<(u32, Label)>,
    /// Decisions by arguments that are there.
    decided: Vec<(Decision, Label)>,
}

impl Code {
    fn put(&mut self, code: u16, jt: u8, jf: u8, k: u32) -> Label {
        self.backwards.push(SockFilter { code, jt, jf, k });
        self.backwards.len()
    }

    /// How many instructions the next one would jump over.
    fn distance(&self, target: Label) -> usize {
        self.backwards.len() - target
    }

    /// The target, or one within reach that comes to the same.
    fn near(&mut self, target: Label) -> Label {
        let SockFilter { code, k, .. } = self.backwards[target - 1];
        if code == RETURN {
            return self.give(k);
        }
        match self.distance(target) {
            0..=REACH => target,
            far => self.put(JUMP, 0, 0, far as u32),
        }
    }

    /// An instruction within reach that gives an answer.
    fn give(&mut self, answer: u32) -> Label {
        let known = self.answers.iter().position(|(known, _)| *known == answer);
        match known.map(|at| self.answers[at].1) {
            Some(label) if self.distance(label) <= REACH => label,
            _ => {
                let label = self.put(RETURN, 0, 0, answer);
                match known {
                    Some(at) => self.answers[at].1 = label,
                    None => self.answers.push((answer, label)),
                }
                label
            }
        }
    }

    fn branch(&mut self, test: u16, k: u32, yes: Label, no: Label) -> Label {
        let (yes, no) = (self.near(yes), self.near(no));
        let (jt, jf) = (self.distance(yes), self.distance(no));
        self.put(test, jt as u8, jf as u8, k)
    }

    /// Loads a word and goes on at the label.
    fn load(&mut self, offset: u32, then: Label) -> Label {
        match self.distance(then) {
            0 => {}
            far => drop(self.put(JUMP, 0, 0, far as u32)),
        }
        self.put(LOAD, 0, 0, offset)
    }

    fn answer(&mut self, action: Action) -> Label {
        self.give(answer(action))
    }

    /// Finds the range that a number is in.
    fn search(&mut self, ranges: &[(u32, Decision)]) -> Label {
        match ranges {
            [(_, decision)] => self.decide(decision),
            _ => {
                let (below, above) = ranges.split_at(ranges.len() / 2);
                let (no, yes) = (self.search(below), self.search(above));
                self.branch(GREATER_OR_EQUAL, above[0].0, yes, no)
            }
        }
    }

    fn decide(&mut self, decision: &Decision) -> Label {
        if let Some((_, known)) = self.decided.iter().find(|(known, _)| known == decision) {
            return *known;
        }
        let mut next = self.answer(decision.otherwise);
        for clause in decision.clauses.iter().rev() {
            let mut holds = self.answer(clause.action);
            for condition in clause.conditions.iter().rev() {
                holds = self.compare(condition, decision.wide, holds, next);
            }
            next = holds;
        }
        if !decision.clauses.is_empty() {
            self.decided.push((decision.clone(), next));
        }
        next
    }

    fn compare(&mut self, comparison: &Comparison, wide: bool, yes: Label, no: Label) -> Label {
        let Comparison { argument, operator, value } = *comparison;
        let argument = Argument { index: argument.into(), wide };
        match operator {
            Operator::Equal => self.equal(argument, u64::MAX, value, yes, no),
            Operator::NotEqual => self.equal(argument, u64::MAX, value, no, yes),
            Operator::MaskedEqual { mask } => self.equal(argument, mask, value, yes, no),
            Operator::Greater => self.above(argument, GREATER, value, yes, no),
            Operator::GreaterOrEqual => self.above(argument, GREATER_OR_EQUAL, value, yes, no),
            Operator::LessOrEqual => self.above(argument, GREATER, value, no, yes),
            Operator::Less => self.above(argument, GREATER_OR_EQUAL, value, no, yes),
        }
    }

    /// Looks at those halves of an argument of which the mask has bits.
    fn equal(&mut self, argument: Argument, mask: u64, value: u64, yes: Label, no: Label) -> Label {
        let mut holds = yes;
        if low(mask) != 0 {
            holds = self.equal_word(argument.low(), low(mask), low(value), holds, no);
        }
        if argument.wide && high(mask) != 0 {
            holds = self.equal_word(argument.high(), high(mask), high(value), holds, no);
        }
        holds
    }

    fn equal_word(&mut self, offset: u32, mask: u32, value: u32, yes: Label, no: Label) -> Label {
        let mut label = self.branch(EQUAL, value, yes, no);
        if mask != u32::MAX {
            label = self.put(AND, 0, 0, mask);
        }
        self.load(offset, label)
    }

    /// The lower halves count where the upper ones are equal.
    fn above(&mut self, argument: Argument, test: u16, value: u64, yes: Label, no: Label) -> Label {
        let lower = self.branch(test, low(value), yes, no);
        let lower = self.load(argument.low(), lower);
        if !argument.wide {
            return lower;
        }
        let equal = self.branch(EQUAL, high(value), lower, no);
        let upper = self.branch(GREATER, high(value), yes, equal);
        self.load(argument.high(), upper)
    }
}

/// An argument of a system call, as a pair of words.
#[derive(Clone, Copy)]
struct Argument {
    index: u32,
    wide: bool,
}

impl Argument {
    fn low(self) -> u32 {
        ARGUMENTS + 8 * self.index + if cfg!(target_endian = "little") { 0 } else { 4 }
    }

    fn high(self) -> u32 {
        ARGUMENTS + 8 * self.index + if cfg!(target_endian = "little") { 4 } else { 0 }
    }
}

fn low(value: u64) -> u32 {
    value as u32
}

fn high(value: u64) -> u32 {
    (value >> 32) as u32
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
