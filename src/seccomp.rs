//! Compiling a seccomp profile to the BPF program that the kernel runs.
//!
//! libseccomp makes the program; this module decides what it is told, and puts
//! a [`prologue`] in front. Installing is not done here, for libseccomp knows
//! neither every flag nor when the listener must be taken.
//!
//! What a program consists of depends on the [`Profile`] and on libseccomp's
//! version alone: no file, no environment and nothing of the running kernel is
//! looked at. A cache of programs therefore is keyed by the profile's content
//! and that version, and holds a [`Program`] and its warnings ([`cache`]).

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek};
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

pub mod cache;
mod prologue;

/// The largest program that the kernel takes (BPF_MAXINSNS), in instructions.
const MAX_LENGTH: usize = 4096;

/// libseccomp's API level that knows every action: set, so that the library
/// does not probe the running kernel for it. Level 6 came with 2.5.0.
const API_LEVEL: u32 = 6;

/// libseccomp's attribute for the shape of programs: a binary tree.
const BINARY_TREE: u32 = 2;

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
    /// The configuration wants to know (`run.oci.seccomp_fail_unknown_syscall`).
    #[error("/linux/seccomp/syscalls/{index}: {name:?} is no system call that is known")]
    Unknown {
        /// Position in `/linux/seccomp/syscalls`.
        index: usize,
        /// The name.
        name: String,
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
/// warning, as runc and crun do. An unconditional rule decides all of its call,
/// whichever comes first; that others of the call have no effect is not worth a
/// warning, for the default profiles of engines have such rules.
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
    if profile.refuse_unknown
        && let Some(Warning::Unknown { index, name }) =
            warnings.iter().find(|warning| matches!(warning, Warning::Unknown { .. }))
    {
        return Err(Error::Unknown { index: *index, name: name.clone() });
    }
    let mut filter = prologue::of(profile, &architectures);
    filter.extend(export(&context)?);
    if filter.len() > MAX_LENGTH {
        return Err(Error::TooLong { length: filter.len() });
    }
    Ok((Program { filter, flags: profile.flags }, warnings))
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
    match prologue::newer(&name) {
        None => Some(Warning::Unknown { index, name }),
        Some(_) if is_unconditional(rule) => None,
        Some(_) => Some(Warning::Conditional { index, name }),
    }
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

#[cfg(test)]
mod tests;
