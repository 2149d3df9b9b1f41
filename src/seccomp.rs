//! Compiling a seccomp profile to the BPF program that the kernel runs.
//!
//! libseccomp makes the program; this module decides what it is told, and puts
//! a [prologue](self#the-prologue) in front. Installing is not done here, for
//! libseccomp knows neither every flag nor when the listener must be taken.
//!
//! What a program consists of depends on the [`Profile`] and on libseccomp's
//! version alone: no file, no environment and nothing of the running kernel is
//! looked at. A cache of programs therefore is keyed by the profile's content
//! and that version, and holds a [`Program`] and its warnings ([`identity`],
//! [`encode`], [`decode`]).
//!
//! # The prologue
//!
//! A C library tries a new system call and falls back to an old one when it
//! gets ENOSYS. A profile that was written before the call existed answers
//! EPERM, and the program fails for no reason that anybody intended. So when
//! the default action refuses calls (an errno other than ENOSYS, or killing),
//! each call whose number is above the largest one that the profile names on
//! that architecture, whatever for, gets ENOSYS: its author cannot have meant
//! it. Calls below are refused as the profile says. Numbers of new calls have
//! grown alike on all architectures since Linux 5.0, which makes "newer than
//! the profile" a comparison. Tracing, trapping, logging and allowing defaults
//! see every call, as somebody is there who decides. An architecture of which
//! the profile names no call at all is left alone.
//!
//! The prologue also holds the rules for calls that are newer than libseccomp
//! (`NEWER`): a profile that names them means them, whichever library it was
//! compiled with.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::iter;
use std::os::fd::OwnedFd;
use std::str::FromStr;

use libseccomp::error::{SeccompErrno, SeccompError};
use libseccomp::{
    ScmpAction, ScmpArch, ScmpArgCompare, ScmpCompareOp, ScmpFilterContext, ScmpSyscall,
};
use thiserror::Error;

use crate::plan::seccomp::{
    ARCHITECTURES, Action, Architecture, Comparison, Operator, Profile, Rule,
};
use crate::sys::seccomp::SockFilter;
use crate::sys::{self, Errno};

/// The largest program that the kernel takes (BPF_MAXINSNS), in instructions.
const MAX_LENGTH: usize = 4096;

/// libseccomp's API level that knows every action: set, so that the library
/// does not probe the running kernel for it. Level 6 came with 2.5.0.
const API_LEVEL: u32 = 6;

/// libseccomp's attribute for the shape of programs: a binary tree.
const BINARY_TREE: u32 = 2;

const ENOSYS: u16 = 38;

/// A program for seccomp(2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// The instructions.
    pub filter: Vec<SockFilter>,
    /// The flags: `SECCOMP_FILTER_FLAG_*`.
    pub flags: u32,
}

/// A part of the profile that has no effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// Processes of this architecture cannot run under this kernel, or
    /// libseccomp does not know it.
    Architecture {
        /// Position in `/linux/seccomp/architectures`.
        index: usize,
        /// The architecture's name.
        name: &'static str,
    },
    /// No architecture has a system call of this name, as far as is known.
    Unknown {
        /// Position in `/linux/seccomp/syscalls`.
        index: usize,
        /// The name.
        name: String,
    },
    /// Another rule for the call has no conditions and another action: that one
    /// decides, whichever comes first (libseccomp).
    Shadowed {
        /// Position in `/linux/seccomp/syscalls`.
        index: usize,
        /// The name of the call.
        name: String,
        /// Position of the rule that decides.
        by: usize,
    },
    /// libseccomp does not know the call, and only unconditional rules can be
    /// made without it.
    Conditional {
        /// Position in `/linux/seccomp/syscalls`.
        index: usize,
        /// The name of the call.
        name: String,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Architecture { index, name } => {
                write!(
                    f,
                    "/linux/seccomp/architectures/{index}: {name} ignored: no process of it can run here"
                )
            }
            Self::Unknown { index, name } => {
                write!(
                    f,
                    "/linux/seccomp/syscalls/{index}/names: {name:?} ignored: no such system call is known"
                )
            }
            Self::Shadowed { index, name, by } => write!(
                f,
                "/linux/seccomp/syscalls/{index}: rule for {name:?} ignored: /linux/seccomp/syscalls/{by} has another action for every call of it"
            ),
            Self::Conditional { index, name } => write!(
                f,
                "/linux/seccomp/syscalls/{index}/args: rule for {name:?} ignored: libseccomp is too old to compare its arguments"
            ),
        }
    }
}

/// A profile that could not be compiled.
#[derive(Debug, Error)]
pub enum Error {
    /// libseccomp refused a rule.
    #[error("/linux/seccomp/syscalls/{index}: add rule for {name:?}")]
    Rule {
        /// Position in `/linux/seccomp/syscalls`.
        index: usize,
        /// The name of the call.
        name: String,
        /// What the library says.
        source: SeccompError,
    },
    /// Two rules disagree on the same calls with the same conditions.
    #[error("/linux/seccomp/syscalls/{index}: {name:?} has another action in an earlier rule")]
    Conflict {
        /// Position of the later rule in `/linux/seccomp/syscalls`.
        index: usize,
        /// The name of the call.
        name: String,
    },
    /// libseccomp failed otherwise.
    #[error("/linux/seccomp: compile profile")]
    Library(#[from] SeccompError),
    /// No memory file to receive the program.
    #[error("/linux/seccomp: create memory file")]
    Memory(#[from] Errno),
    /// The memory file could not be read.
    #[error("/linux/seccomp: read compiled program")]
    Read(#[from] io::Error),
    /// More than BPF_MAXINSNS.
    #[error(
        "/linux/seccomp: the profile makes {length} instructions, the kernel takes {MAX_LENGTH}"
    )]
    TooLong {
        /// Length of the program in instructions.
        length: usize,
    },
}

/// Compiles a profile.
///
/// Calls of architectures that are not filtered kill their thread, which is
/// libseccomp's and so every runtime's default. A rule with the action that
/// is the default anyhow adds nothing. Unknown names are skipped with a
/// warning, as runc and crun do.
///
/// # Errors
/// Rules that contradict each other, a program that is too long, and failures
/// of libseccomp.
pub fn compile(profile: &Profile) -> Result<(Program, Vec<Warning>), Error> {
    libseccomp::set_api(API_LEVEL)?;
    let mut context = ScmpFilterContext::new(scmp_action(profile.default))?;
    context.set_ctl_optimize(BINARY_TREE)?;
    let mut warnings = Vec::new();
    let architectures = add_architectures(&mut context, profile, &mut warnings)?;
    for rule in &profile.rules {
        add_rule(&mut context, profile.default, rule, &mut warnings)?;
    }
    warnings.extend(shadowed(profile));
    let mut filter = prologue(profile, &architectures);
    filter.extend(export(&context)?);
    if filter.len() > MAX_LENGTH {
        return Err(Error::TooLong { length: filter.len() });
    }
    Ok((Program { filter, flags: profile.flags }, warnings))
}

/// Changes whenever [`compile`] makes another program of the same profile.
const GENERATION: u32 = 1;

/// All that a program depends on, as text: the same text, the same program.
pub fn identity(profile: &Profile) -> String {
    // Where the listener goes is not in the program.
    let profile = Profile { listener: None, ..profile.clone() };
    let library = libseccomp::ScmpVersion::current().map_or_else(
        |_| "unknown".to_owned(),
        |version| format!("{}.{}.{}", version.major, version.minor, version.micro),
    );
    format!(
        "cloison {} generation {GENERATION} libseccomp {library} {}\n{profile:?}",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::ARCH
    )
}

/// A program and its warnings as bytes, for [`decode`].
pub fn encode(program: &Program, warnings: &[String]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(16 + program.filter.len() * 8);
    for number in [program.flags, program.filter.len() as u32, warnings.len() as u32] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    for SockFilter { code, jt, jf, k } in &program.filter {
        bytes.extend_from_slice(&code.to_le_bytes());
        bytes.extend_from_slice(&[*jt, *jf]);
        bytes.extend_from_slice(&k.to_le_bytes());
    }
    for warning in warnings {
        bytes.extend_from_slice(&(warning.len() as u32).to_le_bytes());
        bytes.extend_from_slice(warning.as_bytes());
    }
    bytes
}

/// What [`encode`] was given; `None` for anything else.
pub fn decode(bytes: &[u8]) -> Option<(Program, Vec<String>)> {
    let mut rest = bytes;
    let [flags, length, count] = [word(&mut rest)?, word(&mut rest)?, word(&mut rest)?];
    let length = usize::try_from(length).ok().filter(|length| (1..=MAX_LENGTH).contains(length))?;
    let (code, mut rest) = rest.split_at_checked(length * 8)?;
    let (instructions, _) = code.as_chunks::<8>();
    let filter = instructions.iter().map(|&[c0, c1, jt, jf, k0, k1, k2, k3]| SockFilter {
        code: u16::from_le_bytes([c0, c1]),
        jt,
        jf,
        k: u32::from_le_bytes([k0, k1, k2, k3]),
    });
    let mut warnings = Vec::new();
    for _ in 0..count {
        let length = usize::try_from(word(&mut rest)?).ok()?;
        let (warning, after) = rest.split_at_checked(length)?;
        warnings.push(String::from_utf8(warning.to_vec()).ok()?);
        rest = after;
    }
    rest.is_empty().then(|| (Program { filter: filter.collect(), flags }, warnings))
}

fn word(bytes: &mut &[u8]) -> Option<u32> {
    let (word, rest) = bytes.split_first_chunk::<4>()?;
    *bytes = rest;
    Some(u32::from_le_bytes(*word))
}

/// The architectures for which filters can be made here, for `features`.
pub fn architectures() -> Vec<&'static str> {
    let can = |architecture: &Architecture| {
        scmp_arch(architecture)
            .is_some_and(|arch| ScmpSyscall::from_name_by_arch("read", arch).is_ok())
    };
    ARCHITECTURES.iter().filter(|known| can(known)).map(|known| known.name).collect()
}

fn scmp_action(action: Action) -> ScmpAction {
    match action {
        Action::KillThread => ScmpAction::KillThread,
        Action::KillProcess => ScmpAction::KillProcess,
        Action::Trap => ScmpAction::Trap,
        Action::Errno(errno) => ScmpAction::Errno(errno.into()),
        Action::Trace(message) => ScmpAction::Trace(message),
        Action::Log => ScmpAction::Log,
        Action::Notify => ScmpAction::Notify,
        Action::Allow => ScmpAction::Allow,
    }
}

fn scmp_compare(comparison: &Comparison) -> ScmpArgCompare {
    let operator = match comparison.operator {
        Operator::NotEqual => ScmpCompareOp::NotEqual,
        Operator::Less => ScmpCompareOp::Less,
        Operator::LessOrEqual => ScmpCompareOp::LessOrEqual,
        Operator::Equal => ScmpCompareOp::Equal,
        Operator::GreaterOrEqual => ScmpCompareOp::GreaterEqual,
        Operator::Greater => ScmpCompareOp::Greater,
        Operator::MaskedEqual { mask } => ScmpCompareOp::MaskedEqual(mask),
    };
    ScmpArgCompare::new(comparison.argument.into(), operator, comparison.value)
}

fn scmp_arch(architecture: &Architecture) -> Option<ScmpArch> {
    ScmpArch::from_str(architecture.name).ok()
}

/// An architecture that the filter covers.
struct Covered {
    architecture: Architecture,
    arch: ScmpArch,
}

/// All architectures of the filter: the native one, which a new context has,
/// and those of the profile. One that libseccomp does not know, or whose byte
/// order is another, cannot have processes under this kernel.
fn add_architectures(
    context: &mut ScmpFilterContext,
    profile: &Profile,
    warnings: &mut Vec<Warning>,
) -> Result<Vec<Covered>, Error> {
    let native = ScmpArch::native();
    let mut covered: Vec<Covered> = ARCHITECTURES
        .iter()
        .filter(|known| scmp_arch(known) == Some(native))
        .map(|known| Covered { architecture: *known, arch: native })
        .collect();
    for (index, architecture) in &profile.architectures {
        let unusable = Warning::Architecture { index: *index, name: architecture.name };
        let Some(arch) = scmp_arch(architecture) else {
            warnings.push(unusable);
            continue;
        };
        if arch == native {
            continue;
        }
        match context.add_arch(arch) {
            Ok(_) => covered.push(Covered { architecture: *architecture, arch }),
            Err(error) => match error.errno() {
                Some(SeccompErrno::EDOM | SeccompErrno::EINVAL) => warnings.push(unusable),
                _ => return Err(error.into()),
            },
        }
    }
    Ok(covered)
}

fn add_rule(
    context: &mut ScmpFilterContext,
    default: Action,
    rule: &Rule,
    warnings: &mut Vec<Warning>,
) -> Result<(), Error> {
    for name in &rule.names {
        let Ok(syscall) = ScmpSyscall::from_name(name) else {
            warnings.extend(without_library(rule, name));
            continue;
        };
        if rule.action == default {
            continue;
        }
        for alternative in &rule.alternatives {
            add_alternative(context, rule, name, syscall, alternative)?;
        }
    }
    Ok(())
}

fn add_alternative(
    context: &mut ScmpFilterContext,
    rule: &Rule,
    name: &str,
    syscall: ScmpSyscall,
    alternative: &[Comparison],
) -> Result<(), Error> {
    let comparisons: Vec<_> = alternative.iter().map(scmp_compare).collect();
    let added = context.add_rule_conditional(scmp_action(rule.action), syscall, &comparisons);
    let Err(source) = added else { return Ok(()) };
    let (index, name) = (rule.index, name.to_owned());
    match source.errno() {
        Some(SeccompErrno::EEXIST) => Err(Error::Conflict { index, name }),
        _ => Err(Error::Rule { index, name, source }),
    }
}

/// What to say of a name that libseccomp does not know.
fn without_library(rule: &Rule, name: &str) -> Option<Warning> {
    let (index, name) = (rule.index, name.to_owned());
    match newer(&name) {
        None => Some(Warning::Unknown { index, name }),
        Some(_) if is_unconditional(rule) => None,
        Some(_) => Some(Warning::Conditional { index, name }),
    }
}

/// Rules that have no effect because another one decides all of the call.
fn shadowed(profile: &Profile) -> Vec<Warning> {
    let named = || profile.rules.iter().flat_map(|rule| rule.names.iter().zip(iter::repeat(rule)));
    let mut deciding: HashMap<&str, &Rule> = HashMap::new();
    for (name, rule) in named().filter(|(_, rule)| is_unconditional(rule)) {
        if rule.action != profile.default {
            deciding.entry(name).or_insert(rule);
        }
    }
    named()
        .filter_map(|(name, rule)| {
            let decides = deciding.get(name.as_str())?;
            (decides.action != rule.action).then(|| Warning::Shadowed {
                index: rule.index,
                name: name.clone(),
                by: decides.index,
            })
        })
        .collect()
}

fn is_unconditional(rule: &Rule) -> bool {
    rule.alternatives.iter().all(Vec::is_empty)
}

fn export(context: &ScmpFilterContext) -> Result<Vec<SockFilter>, Error> {
    let memory: OwnedFd = sys::fd::memfd(c"seccomp")?;
    let mut file = File::from(memory);
    context.export_bpf(&file)?;
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(bytes.as_chunks::<8>().0.iter().map(instruction).collect())
}

/// struct sock_filter of linux/filter.h, in the byte order of the machine.
fn instruction(bytes: &[u8; 8]) -> SockFilter {
    let [c0, c1, jt, jf, k0, k1, k2, k3] = *bytes;
    SockFilter {
        code: u16::from_ne_bytes([c0, c1]),
        jt,
        jf,
        k: u32::from_ne_bytes([k0, k1, k2, k3]),
    }
}

/// System calls that came after Linux 5.17, which libseccomp 2.5.4 knows up
/// to, with the numbers they have on every architecture (but for the ABI's
/// own base, see [`base`]): include/uapi/asm-generic/unistd.h of Linux 7.0.
const NEWER: [(&str, u32); 21] = [
    ("cachestat", 451),
    ("fchmodat2", 452),
    ("map_shadow_stack", 453),
    ("futex_wake", 454),
    ("futex_wait", 455),
    ("futex_requeue", 456),
    ("statmount", 457),
    ("listmount", 458),
    ("lsm_get_self_attr", 459),
    ("lsm_set_self_attr", 460),
    ("lsm_list_modules", 461),
    ("mseal", 462),
    ("setxattrat", 463),
    ("getxattrat", 464),
    ("listxattrat", 465),
    ("removexattrat", 466),
    ("open_tree_attr", 467),
    ("file_getattr", 468),
    ("file_setattr", 469),
    ("listns", 470),
    ("rseq_slice_yield", 471),
];

/// The largest number in [`NEWER`].
const NEWER_LAST: u32 = 471;

fn newer(name: &str) -> Option<u32> {
    NEWER.iter().find(|(newer, _)| *newer == name).map(|(_, number)| *number)
}

/// The bit that tells the numbers of x32 calls from those of x86_64.
const X32_BIT: u32 = 0x4000_0000;

/// x32 has calls of its own from here on, of whatever age (syscall_64.tbl).
const X32_OWN: u32 = X32_BIT + 512;

/// What an ABI adds to every number (asm/unistd.h of x86 and mips).
fn base(arch: ScmpArch) -> u32 {
    match arch {
        ScmpArch::X32 => X32_BIT,
        ScmpArch::Mips | ScmpArch::Mipsel => 4000,
        ScmpArch::Mips64 | ScmpArch::Mipsel64 => 5000,
        ScmpArch::Mips64N32 | ScmpArch::Mipsel64N32 => 6000,
        _ => 0,
    }
}

/// linux/audit.h: x32 has the value of x86_64.
fn audit_value(covered: &Covered) -> u32 {
    match covered.arch {
        ScmpArch::X32 => 0xc000_003e,
        _ => covered.architecture.token,
    }
}

/// What the prologue does for one ABI.
#[derive(Debug, PartialEq, Eq)]
struct Section {
    audit: u32,
    x32: bool,
    /// Numbers that are answered at once, each with its answer.
    answers: Vec<(u32, Action)>,
    /// Numbers above this one get ENOSYS.
    newest: Option<u32>,
}

fn section(profile: &Profile, covered: &Covered) -> Section {
    Section {
        audit: audit_value(covered),
        x32: covered.arch == ScmpArch::X32,
        answers: answers(profile, covered.arch),
        newest: if refuses(profile.default) { newest(profile, covered.arch) } else { None },
    }
}

fn refuses(default: Action) -> bool {
    match default {
        Action::Errno(errno) => errno != ENOSYS,
        Action::KillThread | Action::KillProcess => true,
        _ => false,
    }
}

/// Unconditional rules for calls that libseccomp does not know. As with those
/// it knows, the first one stands, and one with the default action is none.
fn answers(profile: &Profile, arch: ScmpArch) -> Vec<(u32, Action)> {
    let mut answers: Vec<(u32, Action)> = Vec::new();
    let effective = |rule: &&Rule| is_unconditional(rule) && rule.action != profile.default;
    for rule in profile.rules.iter().filter(effective) {
        for name in &rule.names {
            if let Some(Number::Newer(number)) = number(name, arch)
                && answers.iter().all(|(earlier, _)| *earlier != number)
            {
                answers.push((number, rule.action));
            }
        }
    }
    answers
}

/// The largest number among the calls that the profile names.
///
/// A call that can be made through socketcall(2) or ipc(2) has a number of its
/// own as well, which libseccomp tells only of the number: so those numbers
/// that would be the largest are asked for their names.
fn newest(profile: &Profile, arch: ScmpArch) -> Option<u32> {
    let mut newest = None;
    let mut multiplexed: Vec<&str> = Vec::new();
    for name in profile.rules.iter().flat_map(|rule| &rule.names) {
        match number(name, arch) {
            Some(Number::Own(number)) if arch == ScmpArch::X32 && number >= X32_OWN => {}
            Some(Number::Own(number) | Number::Newer(number)) => newest = newest.max(Some(number)),
            Some(Number::Multiplexed(number)) => {
                newest = newest.max(Some(number));
                multiplexed.push(name);
            }
            None => {}
        }
    }
    let is_named = |number: &u32| {
        i32::try_from(*number)
            .ok()
            .and_then(|number| ScmpSyscall::from_raw_syscall(number).get_name_by_arch(arch).ok())
            .is_some_and(|name| multiplexed.contains(&name.as_str()))
    };
    if multiplexed.is_empty() {
        return newest;
    }
    let above = newest.map_or(0, |newest| newest + 1)..=base(arch) + NEWER_LAST;
    above.rev().find(is_named).or(newest)
}

/// What is known of a call's number on an architecture.
enum Number {
    /// Its own number.
    Own(u32),
    /// The number of socketcall(2) or ipc(2), through which it can be made.
    Multiplexed(u32),
    /// Its own number, which libseccomp does not know.
    Newer(u32),
}

fn number(name: &str, arch: ScmpArch) -> Option<Number> {
    // libseccomp has negative numbers for calls without one of their own.
    let positive = |syscall: ScmpSyscall| u32::try_from(syscall.as_raw_syscall()).ok();
    match ScmpSyscall::from_name_by_arch(name, arch) {
        Ok(syscall) => match positive(syscall) {
            Some(number) => Some(Number::Own(number)),
            None => ScmpSyscall::from_name_by_arch_rewrite(name, arch)
                .ok()
                .and_then(positive)
                .map(Number::Multiplexed),
        },
        Err(_) => newer(name).map(|number| Number::Newer(base(arch) + number)),
    }
}

/// Offsets in struct seccomp_data.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;

fn load(offset: u32) -> SockFilter {
    SockFilter { code: 0x20, jt: 0, jf: 0, k: offset }
}

/// A jump's distance. The longest is that over a whole section.
fn skip(instructions: usize) -> u8 {
    const { assert!(2 * NEWER.len() + 5 <= u8::MAX as usize) };
    u8::try_from(instructions).unwrap_or(u8::MAX)
}

fn jump(code: u16, k: u32, jt: u8, jf: u8) -> SockFilter {
    SockFilter { code, jt, jf, k }
}

const JUMP_EQUAL: u16 = 0x15;
const JUMP_GREATER: u16 = 0x25;
const JUMP_GREATER_OR_EQUAL: u16 = 0x35;

/// SECCOMP_RET_* of linux/seccomp.h.
fn answer(action: Action) -> SockFilter {
    let k = match action {
        Action::KillThread => 0,
        Action::KillProcess => 0x8000_0000,
        Action::Trap => 0x0003_0000,
        Action::Errno(errno) => 0x0005_0000 | u32::from(errno),
        Action::Notify => 0x7fc0_0000,
        Action::Trace(message) => 0x7ff0_0000 | u32::from(message),
        Action::Log => 0x7ffc_0000,
        Action::Allow => 0x7fff_0000,
    };
    SockFilter { code: 0x06, jt: 0, jf: 0, k }
}

/// The instructions before libseccomp's, which begin by loading what they
/// need; empty when there is nothing to add.
///
/// For each section: skip it unless the architecture (and for x86, the x32
/// bit) is its own; answer; leave for libseccomp's part.
fn prologue(profile: &Profile, covered: &[Covered]) -> Vec<SockFilter> {
    let sections: Vec<_> = covered
        .iter()
        .map(|covered| section(profile, covered))
        .filter(|section| section.newest.is_some() || !section.answers.is_empty())
        .collect();
    let mut program = Vec::new();
    for section in &sections {
        program.extend(instructions(section));
    }
    program
}

fn instructions(section: &Section) -> Vec<SockFilter> {
    let mut body = vec![load(NUMBER)];
    let mut answers = Vec::new();
    for (number, action) in &section.answers {
        answers.push(jump(JUMP_EQUAL, *number, 0, 1));
        answers.push(answer(*action));
    }
    if let Some(newest) = section.newest {
        if section.x32 {
            answers.push(jump(JUMP_GREATER_OR_EQUAL, X32_OWN, 2, 0));
        }
        answers.push(jump(JUMP_GREATER, newest, 0, 1));
        answers.push(answer(Action::Errno(ENOSYS)));
    }
    let all = skip(answers.len());
    if section.x32 {
        body.push(jump(JUMP_GREATER_OR_EQUAL, X32_BIT, 0, all));
    } else if section.audit == 0xc000_003e {
        body.push(jump(JUMP_GREATER_OR_EQUAL, X32_BIT, all, 0));
    }
    body.extend(answers);
    let mut program =
        vec![load(ARCHITECTURE), jump(JUMP_EQUAL, section.audit, 0, skip(body.len()))];
    program.extend(body);
    program
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan;
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
        match number(name, arch)? {
            Number::Own(number) | Number::Newer(number) => Some(number),
            Number::Multiplexed(_) => (0..NEWER_LAST).find(|number| {
                let syscall = ScmpSyscall::from_raw_syscall(*number as i32);
                syscall.get_name_by_arch(arch).is_ok_and(|found| found == name)
            }),
        }
    }

    fn profile(value: Value) -> Profile {
        let asked = serde_json::from_value(value).unwrap();
        plan::seccomp::resolve(Some(&asked)).unwrap().unwrap()
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
            let mut value =
                json!({ "syscalls": [{ "names": ["read"], "action": "SCMP_ACT_LOG" }] });
            for (key, setting) in default.as_object().unwrap() {
                value[key] = setting.clone();
            }
            run(&compiled(value).filter, X86_64, 9999, [0; 6])
        };
        for refusing in ["SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS"] {
            assert_eq!(newest(json!({ "defaultAction": refusing })), errno(38), "{refusing}");
        }
        for (other, answer) in [
            ("SCMP_ACT_ALLOW", ALLOW),
            ("SCMP_ACT_TRAP", 0x0003_0000),
            ("SCMP_ACT_TRACE", 0x7ff0_0001),
        ] {
            assert_eq!(newest(json!({ "defaultAction": other })), answer, "{other}");
        }
        let own = json!({ "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 95 });
        assert_eq!(newest(own), errno(38));
    }

    #[test]
    fn a_default_of_enosys_needs_no_prologue() {
        let value = |errno: u32| {
            profile(json!({
                "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": errno,
                "syscalls": [allow(&["read"])],
            }))
        };
        let length = |errno| compile(&value(errno)).unwrap().0.filter.len();
        assert_eq!(length(1) - length(38), 6);
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
        for (arch, audit) in
            [(ScmpArch::X8664, X86_64), (ScmpArch::X86, X86), (ScmpArch::X32, X86_64)]
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
        assert_eq!(NEWER[NEWER.len() - 1].1, NEWER_LAST);
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
            [
                "/linux/seccomp/architectures/1: SCMP_ARCH_S390X ignored: no process of it can run here"
            ]
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
    fn conditions_on_calls_newer_than_libseccomp_are_warnings() {
        let filter = compiled(json!({
            "defaultAction": "SCMP_ACT_ERRNO",
            "syscalls": [{
                "names": ["mseal"], "action": "SCMP_ACT_ALLOW",
                "args": [{ "index": 0, "value": 0, "op": "SCMP_CMP_EQ" }],
            }],
        }));
        assert_eq!(filter.call("mseal"), errno(1));
        assert_eq!(
            filter.warnings,
            ["/linux/seccomp/syscalls/0/args: rule for \"mseal\" ignored: \
              libseccomp is too old to compare its arguments"]
        );
    }

    #[test]
    fn an_unconditional_rule_stands_and_others_are_warnings() {
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
        let shadowed = |index: usize, name: &str| {
            format!(
                "/linux/seccomp/syscalls/{index}: rule for {name:?} ignored: \
                 /linux/seccomp/syscalls/1 has another action for every call of it"
            )
        };
        assert_eq!(
            filter.warnings,
            [shadowed(0, "socket"), shadowed(2, "read"), shadowed(4, "socket")]
        );
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
        for (arch, audit) in
            [(ScmpArch::X8664, X86_64), (ScmpArch::X86, X86), (ScmpArch::X32, X86_64)]
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
}
