//! The command line: runc's verbs and options, over the functions of [`crate::verbs`].
//!
//! specs/50-compat.md says what is accepted, what is printed and where, and with which status the
//! command ends.

mod dispatch;
mod exec;
mod normalise;
mod options;
mod output;
mod quantity;
mod report;
mod root;
mod signal;
mod table;
mod update;
mod usage;

use std::ffi::OsString;
use std::time::Instant;

use crate::launch::seal;
use crate::timing::{Phase, Timing};

/// Whether the calling process may execute itself again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// It is the command and nothing else: it does, where [`crate::launch::seal`] asks for it.
    Command,
    /// It has a life of its own; it has to see to its sealing before.
    Guest,
}

/// Carries out the command line `args` (with the name of the command in front) and gives its exit
/// status.
pub fn run(args: impl IntoIterator<Item = OsString>, caller: Caller) -> u8 {
    let start = Instant::now();
    let args: Vec<OsString> = args.into_iter().collect();
    // It starts all over, so it comes before any other work, even that of finding the verb.
    let sealing = (caller == Caller::Command && options::may_enter(&args)).then(seal::ensure);
    let mut command = options::command();
    let args = normalise::normalise(args, &mut command);
    let mut options = match options::parse(&args, command) {
        Ok(options) => options,
        Err(refused) => return usage::answer(&refused, &args),
    };
    let mut reporter = match report::Reporter::open(&options.globals) {
        Ok(reporter) => reporter,
        Err(error) => return report::Reporter::stderr().failure(&error.into()),
    };
    let failure = match options.verb {
        Some(options::Verb::Exec(_)) => exec::FAILURE,
        _ => crate::error::FAILURE,
    };
    let timing = if options.globals.timing { Timing::since(start) } else { Timing::default() };
    timing.done(Phase::Options);
    options.globals.stopwatch = timing.clone();
    let status =
        dispatch::dispatch(options, caller, sealing, &mut reporter).unwrap_or_else(|error| {
            reporter.failure(&error);
            failure
        });
    timing.done(Phase::Rest);
    reporter.timing(&timing);
    status
}

/// The definitions of verbs and options, for those who describe them elsewhere.
pub fn command() -> clap::Command {
    let mut command = options::command();
    // Those of the verbs are made when they are wanted.
    command.build();
    command
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("{sentence}")]
    Usage { sentence: String },
    #[error(transparent)]
    Log(#[from] crate::log::Error),
    #[error(transparent)]
    Root(#[from] root::Error),
    #[error(transparent)]
    Id(#[from] crate::id::Error),
    #[error(transparent)]
    Signal(#[from] signal::Error),
    #[error(transparent)]
    Verb(#[from] crate::verbs::Error),
    #[error(transparent)]
    Spec(#[from] crate::verbs::spec::Error),
    #[error(transparent)]
    Seal(#[from] seal::Error),
    #[error("write standard output")]
    Output(#[source] std::io::Error),
    #[error("read limits from {name}")]
    Limits { name: String, source: std::io::Error },
    #[error("parse {name}")]
    LimitsText { name: String, source: crate::spec::ParseError },
    #[error("find the working directory")]
    WorkingDirectory(#[source] std::io::Error),
}

impl crate::error::Report for Error {
    fn facts(&self) -> crate::error::Facts {
        use crate::error::Facts;
        let code = |code| Facts { code: Some(code), ..Facts::default() };
        match self {
            Self::Verb(error) => error.facts(),
            Self::Spec(error) => error.facts(),
            Self::Usage { .. } | Self::Id(_) | Self::Signal(_) => code("USAGE"),
            Self::Log(error) => Facts { path: Some(error.path().to_owned()), ..code("LOG_FAILED") },
            Self::Root(error) => Facts { path: error.path(), ..code("STATE_FAILED") },
            Self::LimitsText { source, .. } => Facts {
                code: Some("CONFIG_INVALID"),
                config: source.pointer().map(str::to_owned),
                ..Facts::default()
            },
            Self::Limits { name, .. } => {
                Facts { path: Some(name.into()), ..code("CONFIG_UNREADABLE") }
            }
            Self::Output(_) => code("OUTPUT_FAILED"),
            Self::Seal(_) | Self::WorkingDirectory(_) => code("SYSTEM_FAILED"),
        }
    }
}

#[cfg(test)]
mod tests;
