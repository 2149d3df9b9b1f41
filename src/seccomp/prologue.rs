//! What the program does before libseccomp's part.
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

use libseccomp::{ScmpArch, ScmpSyscall};

use super::{Covered, is_unconditional};
use crate::plan::seccomp::{Action, Profile, Rule};
use crate::sys::seccomp::SockFilter;

pub(super) const ENOSYS: u16 = 38;

/// System calls that came after Linux 5.17, which libseccomp 2.5.4 knows up
/// to, with the numbers they have on every architecture (but for the ABI's
/// own base, see [`base`]): include/uapi/asm-generic/unistd.h of Linux 7.0.
pub(super) const NEWER: [(&str, u32); 21] = [
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
pub(super) const NEWER_LAST: u32 = 471;

pub(super) fn newer(name: &str) -> Option<u32> {
    NEWER.iter().find(|(newer, _)| *newer == name).map(|(_, number)| *number)
}

/// The bit that tells the numbers of x32 calls from those of x86_64.
pub(super) const X32_BIT: u32 = 0x4000_0000;

/// x32 has calls of its own from here on, of whatever age (syscall_64.tbl).
pub(super) const X32_OWN: u32 = X32_BIT + 512;

/// What an ABI adds to every number (asm/unistd.h of x86 and mips).
pub(super) fn base(arch: ScmpArch) -> u32 {
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
pub(super) enum Number {
    /// Its own number.
    Own(u32),
    /// The number of socketcall(2) or ipc(2), through which it can be made.
    Multiplexed(u32),
    /// Its own number, which libseccomp does not know.
    Newer(u32),
}

pub(super) fn number(name: &str, arch: ScmpArch) -> Option<Number> {
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
pub(super) fn of(profile: &Profile, covered: &[Covered]) -> Vec<SockFilter> {
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
