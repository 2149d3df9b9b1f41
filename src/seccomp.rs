//! Compiling a seccomp profile to the BPF program that the kernel runs.
//!
//! From names to numbers ([`abi`]), from numbers to decisions ([`rules`]), from decisions to
//! instructions ([`program`]). libseccomp has the names and numbers; its compiler is what the
//! tests compare with. Installing is not done here.
//!
//! What a program consists of depends on the [`Profile`] and on libseccomp's
//! version alone: no file, no environment and nothing of the running kernel is
//! looked at. A cache of programs therefore is keyed by the profile's content
//! and that version, and holds a [`Program`] and its warnings ([`cache`]).

use std::fmt;

use thiserror::Error;

use crate::plan::seccomp::Profile;
use crate::sys::seccomp::SockFilter;

mod abi;
pub mod cache;
mod program;
mod rules;

pub use abi::architectures;

/// The largest program that the kernel takes (BPF_MAXINSNS), in instructions.
const MAX_LENGTH: usize = 4096;

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
        }
    }
}

/// A profile that could not be compiled.
#[derive(Debug, Error)]
pub enum Error {
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
/// A rule with the action that is the default anyhow adds nothing. Unknown
/// names are skipped with a warning, as runc and crun do. That a rule has no
/// effect beside another one of the same call is not worth a warning, for the
/// default profiles of engines have such rules.
///
/// # Errors
/// Rules that contradict each other, a program that is too long, and unknown
/// names where the profile refuses them.
pub fn compile(profile: &Profile) -> Result<(Program, Vec<Warning>), Error> {
    let mut warnings = Vec::new();
    let abis = abi::covered(profile, &mut warnings);
    let tables = rules::tables(profile, &abis, &mut warnings)?;
    if profile.refuse_unknown
        && let Some(Warning::Unknown { index, name }) =
            warnings.iter().find(|warning| matches!(warning, Warning::Unknown { .. }))
    {
        return Err(Error::Unknown { index: *index, name: name.clone() });
    }
    let filter = program::of(&tables);
    if filter.len() > MAX_LENGTH {
        return Err(Error::TooLong { length: filter.len() });
    }
    Ok((Program { filter, flags: profile.flags }, warnings))
}

#[cfg(test)]
mod tests;
