//! Where errors, warnings and debug lines go (specs/50-compat.md, LOG-1 to LOG-3).

use std::fmt::Display;
use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use super::Error;
use super::options::{Globals, LogFormat, LogLevel};
use crate::error::{FAILURE, Facts, Report, complete, one_line, sentence};
use crate::log::{self, Format, Level, Log};
use crate::timing::{Phase, Timing};

/// The log file, if there is one, and standard error.
#[derive(Debug)]
pub struct Reporter {
    log: Option<Log>,
    format: Format,
    level: Level,
}

impl Reporter {
    /// Plain text on standard error, for as long as there is nothing else.
    pub fn stderr() -> Self {
        Self { log: None, format: Format::Text, level: Level::Warning }
    }

    /// What the command line asks for.
    pub fn open(globals: &Globals) -> Result<Self, log::Error> {
        let format = match globals.log_format {
            LogFormat::Text => Format::Text,
            LogFormat::Json => Format::Json,
        };
        let asked = match (globals.debug, globals.log_level) {
            (true, _) | (_, Some(LogLevel::Debug)) => Some(Level::Debug),
            (_, Some(LogLevel::Warning)) => Some(Level::Warning),
            (_, Some(LogLevel::Error)) => Some(Level::Error),
            (false, None) => None,
        };
        // A person sees warnings; a file that engines decode as one object holds the error alone.
        let level = asked.unwrap_or(match globals.log {
            Some(_) => Level::Error,
            None => Level::Warning,
        });
        let log = globals.log.as_deref().map(|path| Log::open(path, format, level)).transpose()?;
        Ok(Self { log, format, level })
    }

    /// Says why the command failed, once on each side, and gives the exit status for it.
    pub fn failure(&mut self, error: &Error) -> u8 {
        let facts = complete(error.facts(), error);
        let message = sentence(error);
        let logged = match &mut self.log {
            Some(log) => log.write(Level::Error, &message, &facts),
            None => Ok(()),
        };
        match (&self.log, self.format) {
            (None, Format::Json) => self.line(Level::Error, &message, &facts),
            _ => to_stderr(&person(Level::Error, &message, &facts)),
        }
        if let Err(unwritten) = logged {
            let message = format!("write log: {}", crate::error::reason(&unwritten));
            to_stderr(&person(Level::Warning, &message, &Facts::default()));
        }
        FAILURE
    }

    /// Says what the command did not do quite as asked.
    pub fn warning(&mut self, warning: &dyn Display) {
        self.note(Level::Warning, &one_line(&warning.to_string()));
    }

    /// Says what the command is about to do.
    pub fn debug(&mut self, line: &dyn Display) {
        if self.level >= Level::Debug {
            self.note(Level::Debug, &line.to_string());
        }
    }

    /// Says what each phase took, in whole microseconds, when somebody asked.
    pub fn timing(&mut self, timing: &Timing) {
        let taken = timing.taken();
        if !taken.is_empty() {
            to_stderr(&microseconds(&taken));
        }
    }

    fn note(&mut self, level: Level, message: &str) {
        if level > self.level {
            return;
        }
        let facts = Facts::default();
        match (&mut self.log, self.format) {
            // A note that cannot be written does not make the verb fail; an error still reaches
            // standard error.
            (Some(log), _) => drop(log.write(level, message, &facts)),
            (None, Format::Json) => self.line(level, message, &facts),
            (None, Format::Text) => to_stderr(&person(level, message, &facts)),
        }
    }

    fn line(&self, level: Level, message: &str, facts: &Facts) {
        to_stderr(&log::line(self.format, level, message, facts, SystemTime::now()));
    }
}

/// The phases and their sum as one line of JSON.
fn microseconds(taken: &[(Phase, Duration)]) -> String {
    let name = |phase: &Phase| serde_json::to_string(phase).unwrap_or_default();
    let phases: Vec<String> =
        taken.iter().map(|(phase, time)| format!("{}:{}", name(phase), time.as_micros())).collect();
    let total = taken.iter().map(|(_, time)| *time).sum::<Duration>().as_micros();
    format!("{{\"phases\":{{{}}},\"total\":{total}}}\n", phases.join(","))
}

/// A line for a person.
fn person(level: Level, message: &str, facts: &Facts) -> String {
    let word = match level {
        Level::Error => "error",
        Level::Warning => "warning",
        Level::Debug => "debug",
    };
    match &facts.hint {
        Some(hint) => format!("cloison: {word}: {message} ({hint})\n"),
        None => format!("cloison: {word}: {message}\n"),
    }
}

/// There is nowhere left to complain if this fails.
fn to_stderr(line: &str) {
    drop(io::stderr().write_all(line.as_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn reporter(words: &[&str]) -> Reporter {
        let words = std::iter::once("c").chain(words.iter().copied());
        Reporter::open(&super::super::options::Options::parse_from(words).globals).unwrap()
    }

    /// LOG-1
    #[test]
    fn a_person_gets_one_line_with_the_hint_behind() {
        let mut facts = Facts::default();
        assert_eq!(person(Level::Error, "x", &facts), "cloison: error: x\n");
        facts.hint = Some("do y".into());
        assert_eq!(person(Level::Error, "x", &facts), "cloison: error: x (do y)\n");
    }

    /// LOG-3
    #[test]
    fn warnings_are_for_people_and_for_logs_that_ask() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let log = log.to_str().unwrap();
        assert_eq!(reporter(&[]).level, Level::Warning);
        assert_eq!(reporter(&["--log-level", "error"]).level, Level::Error);
        assert_eq!(reporter(&["--debug"]).level, Level::Debug);
        assert_eq!(reporter(&["--log", log]).level, Level::Error);
        assert_eq!(reporter(&["--log", log, "--log-level", "warning"]).level, Level::Warning);
        assert_eq!(reporter(&["--log", log, "--debug"]).level, Level::Debug);
    }

    /// LOG-2
    #[test]
    fn a_log_holds_the_error_alone() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let mut reporter = reporter(&["--log", log.to_str().unwrap(), "--log-format", "json"]);
        reporter.warning(&"careful");
        reporter.debug(&"detail");
        let sentence = "no such verb".to_owned();
        assert_eq!(reporter.failure(&Error::Usage { sentence }), FAILURE);
        let text = std::fs::read_to_string(&log).unwrap();
        assert_eq!(text.lines().count(), 1);
        serde_json::from_str::<serde_json::Value>(&text).unwrap();
    }
}
