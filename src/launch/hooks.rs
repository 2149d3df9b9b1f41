//! Hooks that run on the host (runtime.md, Lifecycle).

use super::state_of;
use crate::deadlines::milliseconds;
use crate::error::describe;
use crate::init::{Fault, Hook, StateText};
use crate::plan::Plan;
use crate::plan::hooks::{Hook as Planned, Point, Pointer};
use crate::state::{HookRecord, Record, Status};
use crate::sys::process::{Exit, StringArray};
use crate::sys::spawn::Tail;
use std::ffi::CString;
use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

/// A hook that failed.
#[derive(Debug, thiserror::Error)]
#[error("/hooks/{point}/{index}: {path}: {why}", point = pointer.point.name(), index = pointer.index)]
pub struct HookError {
    /// Which hook.
    pub pointer: Pointer,
    /// Its program.
    pub path: String,
    /// What happened, with the end of what it wrote.
    pub why: String,
}

/// Hooks of the plan, ready to be executed.
pub(super) fn prepare(hooks: &[Planned], plan: &Plan, deadline: Duration) -> Vec<Hook> {
    let of_plan = |hook| ready(&HookRecord::of_plan(hook, plan.process.as_ref()), deadline);
    hooks.iter().map(of_plan).collect()
}

/// How long hooks may take in all; those that name no timeout have `deadline`.
pub(super) fn patience(hooks: &[Planned], deadline: Duration) -> Duration {
    hooks.iter().map(|hook| hook.timeout.unwrap_or(deadline)).sum()
}

fn ready(hook: &HookRecord, deadline: Duration) -> Hook {
    // The plan has refused NUL bytes, and the environment of a process holds none.
    let c = |text: &String| CString::new(text.as_str()).unwrap_or_default();
    let env = match &hook.env {
        Some(env) => env.iter().map(c).collect(),
        None => own_environment(),
    };
    let mut args: Vec<_> = hook.args.iter().map(c).collect();
    if args.is_empty() {
        args.push(c(&hook.path));
    }
    Hook {
        path: c(&hook.path),
        args: StringArray::new(args, 0),
        env: StringArray::new(env, 0),
        timeout: Some(hook.timeout.unwrap_or(milliseconds(deadline))),
    }
}

/// The environment of this process, which a program of the host's inherits.
pub(super) fn own_environment() -> Vec<CString> {
    let entries = std::env::vars_os().map(|(name, value)| (name.into_vec(), value.into_vec()));
    entries.filter_map(|(name, value)| CString::new([name, value].join(&b'=')).ok()).collect()
}

/// Runs hooks of the plan one after the other; the first that fails ends it.
pub(super) fn run_all(
    hooks: &[Planned],
    plan: &Plan,
    state: &StateText,
    pid: i32,
    deadline: Duration,
) -> Result<(), HookError> {
    for (planned, hook) in hooks.iter().zip(prepare(hooks, plan, deadline)) {
        run(&hook, planned.pointer, state, pid)?;
    }
    Ok(())
}

fn run(hook: &Hook, pointer: Pointer, state: &StateText, pid: i32) -> Result<(), HookError> {
    let mut tail = Tail::<1024>::default();
    hook.run(state, pid, &mut tail).map_err(|fault| {
        let why = match fault {
            Fault::Errno(errno) => format!("run the hook: {}", describe(errno)),
            Fault::NotExecuted(errno) => format!("execute the hook: {}", describe(errno)),
            Fault::Exited(exit) => ended(exit),
            Fault::TimedOut => {
                format!("killed after its timeout of {} ms", hook.timeout.unwrap_or_default())
            }
        };
        let why = with_last_words(why, &tail);
        HookError { pointer, path: hook.path.to_string_lossy().into_owned(), why }
    })
}

/// How a program has ended.
pub(super) fn ended(exit: Exit) -> String {
    match exit {
        Exit::Code(code) => format!("exit status {code}"),
        Exit::Signal(signal) => format!("killed by signal {signal}"),
    }
}

/// What happened to a program, and the end of what it wrote.
pub(super) fn with_last_words<const N: usize>(why: String, tail: &Tail<N>) -> String {
    let output = String::from_utf8_lossy(tail.as_bytes());
    match output.trim() {
        "" => why,
        words => format!("{why}: {words}"),
    }
}

/// Runs the poststart hooks of a record; the first that fails ends it.
///
/// # Errors
/// The hook that failed.
pub fn run_poststart(id: &str, record: &Record, deadline: Duration) -> Result<(), HookError> {
    let state = state_of(id, record, Status::Running);
    let pid = record.init.map_or(0, |init| init.pid);
    for (index, hook) in record.poststart.iter().enumerate() {
        let pointer = Pointer { point: Point::Poststart, index };
        run(&ready(hook, deadline), pointer, &state, pid)?;
    }
    Ok(())
}

/// Runs all poststop hooks of a record, whether or not one fails; the failures.
pub fn run_poststop(id: &str, record: &Record, deadline: Duration) -> Vec<HookError> {
    let state = state_of(id, record, Status::Stopped);
    let hooks = record.poststop.iter().enumerate();
    hooks
        .filter_map(|(index, hook)| {
            let pointer = Pointer { point: Point::Poststop, index };
            run(&ready(hook, deadline), pointer, &state, 0).err()
        })
        .collect()
}
