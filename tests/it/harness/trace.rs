//! What a command asks of the kernel, counted by strace.

use std::path::Path;
use std::sync::Arc;

use nix::sys::signal::Signal;

use super::Skip;
use super::container::eventually;
use super::sandbox::{Sandbox, runtime_path};

/// Numbers of system calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Calls {
    /// Those of the command's own process.
    pub command: usize,
    /// Those of all processes that it has started, until it ended.
    pub others: usize,
}

/// For tests that count: strace has to be there.
pub fn strace() -> Result<(), Skip> {
    let found = std::process::Command::new("strace").arg("-V").output().is_ok();
    if found { Ok(()) } else { Err(Skip("needs strace".to_owned())) }
}

impl Sandbox {
    /// Runs a command of the runtime, which has to succeed, and counts. What outlives the
    /// command is let go.
    #[track_caller]
    pub fn count_calls(self: &Arc<Self>, arguments: &[&str]) -> Calls {
        count(&self.trace_calls(arguments))
    }

    /// The same calls as strace writes them.
    #[track_caller]
    pub fn trace_calls(self: &Arc<Self>, arguments: &[&str]) -> String {
        let log = self.path().join("strace");
        let _ = std::fs::remove_file(&log);
        let (root, runtime) = (self.root(), runtime_path());
        let mut line = vec!["-f", "-q", "-I2", "-o", utf8(&log), utf8(&runtime), "--root"];
        line.push(utf8(&root));
        line.extend(arguments);
        let mut strace = self.program(Path::new("strace"), &line).spawn();
        let mut text = String::new();
        let told = eventually(|| {
            text = std::fs::read_to_string(&log).unwrap_or_default();
            end_of_first(&text).is_some() || strace.ended()
        });
        if told && !strace.ended() {
            strace.signal(Signal::SIGINT);
        }
        let finished = strace.finish();
        text = std::fs::read_to_string(&log).unwrap_or_default();
        let end = end_of_first(&text);
        assert!(
            end == Some("+++ exited with 0 +++"),
            "{arguments:?} ended with {end:?}: {finished}"
        );
        text
    }
}

fn utf8(path: &Path) -> &str {
    path.to_str().expect("utf-8")
}

/// A line of the log: the process, and what it did.
fn split(line: &str) -> Option<(&str, &str)> {
    line.split_once(' ').map(|(pid, deed)| (pid, deed.trim_start()))
}

/// How the first process has ended, if it has.
fn end_of_first(log: &str) -> Option<&str> {
    let (first, _) = log.lines().next().and_then(split)?;
    log.lines()
        .filter_map(split)
        .find(|(pid, deed)| *pid == first && deed.starts_with("+++"))
        .map(|(_, deed)| deed)
}

fn count(log: &str) -> Calls {
    // A call that another process interrupted has two lines; the second begins with a bracket.
    // Most machines tell the time without a call (vdso(7)), so that one is not counted on others.
    let is_call = |deed: &str| {
        deed.starts_with(|c: char| c.is_ascii_lowercase()) && !deed.starts_with("clock_gettime(")
    };
    let callers: Vec<&str> = log
        .lines()
        .filter_map(split)
        .filter(|(_, deed)| is_call(deed))
        .map(|(pid, _)| pid)
        .collect();
    let command = callers.iter().filter(|pid| **pid == callers[0]).count();
    Calls { command, others: callers.len() - command }
}
