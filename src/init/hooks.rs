//! Hooks that run in the container (runtime.md, Lifecycle; config.md, POSIX-platform Hooks).

use crate::sys::process::{Exit, StringArray, getpid};
use crate::sys::spawn::{self, Outcome, Program, Tail};
use crate::sys::{self, Errno, fd};
use crate::wire::{Failure, REMARK, Step};
use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};

/// A hook, ready to be executed without allocation.
#[derive(Debug)]
pub struct Hook {
    /// Program to execute.
    pub path: CString,
    /// Arguments, the program's name first.
    pub args: StringArray,
    /// Environment.
    pub env: StringArray,
    /// Deadline in milliseconds.
    pub timeout: Option<u32>,
}

/// The state that a hook reads, as JSON, cut where the process id belongs: it differs between
/// the pid namespaces in which hooks run.
#[derive(Clone, Debug, Default)]
pub struct StateText {
    /// What comes before the id.
    pub before: Vec<u8>,
    /// What comes after it.
    pub after: Vec<u8>,
}

impl StateText {
    /// The state with this process id.
    pub fn json(&self, pid: i32) -> serde_json::Value {
        let text = [&self.before, pid.to_string().as_bytes(), &self.after].concat();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// A file that holds the state with this process id, to be read from its start. Being a
    /// file, it never blocks the writer, whether or not the hook reads it.
    ///
    /// # Errors
    /// Those of memfd_create(2) and write(2).
    pub fn file(&self, pid: i32) -> sys::Result<OwnedFd> {
        let file = fd::memfd(c"state")?;
        fd::write_all(file.as_fd(), &self.before)?;
        fd::write_all(file.as_fd(), fd::Decimal::new(pid as u64).as_bytes())?;
        fd::write_all(file.as_fd(), &self.after)?;
        fd::rewind(file.as_fd())?;
        Ok(file)
    }
}

/// Why a hook counts as failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The machinery around it failed.
    Errno(Errno),
    /// It was never executed.
    NotExecuted(Errno),
    /// It ended with another status than 0.
    Exited(Exit),
    /// It was killed at its deadline.
    TimedOut,
}

impl Hook {
    /// Runs the hook and waits for it; the last of its output comes back in `tail`.
    ///
    /// # Errors
    /// Why it counts as failed.
    pub fn run<const N: usize>(
        &self,
        state: &StateText,
        pid: i32,
        tail: &mut Tail<N>,
    ) -> Result<(), Fault> {
        let input = state.file(pid).map_err(Fault::Errno)?;
        let program = Program {
            path: &self.path,
            args: &self.args,
            env: &self.env,
            input: input.as_fd(),
            timeout: self.timeout,
        };
        match spawn::run(&program, tail).map_err(Fault::Errno)? {
            Outcome::Exited(Exit::Code(0)) => Ok(()),
            Outcome::Exited(exit) => Err(Fault::Exited(exit)),
            Outcome::TimedOut => Err(Fault::TimedOut),
            Outcome::NotExecuted(errno) => Err(Fault::NotExecuted(errno)),
        }
    }
}

/// Runs the hooks one after the other; the first that fails ends it.
pub(super) fn run_all((hooks, state): &(Vec<Hook>, StateText), step: Step) -> Result<(), Failure> {
    for (index, hook) in hooks.iter().enumerate() {
        let mut tail = Tail::<{ REMARK - 16 }>::default();
        hook.run(state, getpid(), &mut tail).map_err(|fault| {
            let (errno, prefix, number) = match fault {
                Fault::Errno(errno) | Fault::NotExecuted(errno) => (errno, &b""[..], None),
                Fault::TimedOut => (Errno::ETIMEDOUT, &b""[..], None),
                Fault::Exited(Exit::Code(code)) => {
                    (Errno::ECHILD, &b"exit status "[..], Some(code))
                }
                Fault::Exited(Exit::Signal(signal)) => {
                    (Errno::ECHILD, &b"signal "[..], Some(signal))
                }
            };
            let mut remark = fd::PathBuffer::default();
            let digits = number.map(|n| fd::Decimal::new(u64::from(n)));
            let digits = digits.as_ref().map_or(&b""[..], |d| d.as_bytes());
            let said = tail.as_bytes();
            let separator: &[u8] = if number.is_some() && !said.is_empty() { b": " } else { b"" };
            for part in [prefix, digits, separator, said] {
                // A NUL in the hook's output cuts the remark short, nothing else.
                if remark.push(part).is_err() {
                    break;
                }
            }
            Failure::new(step, index as u32, errno).with_remark(remark.as_bytes())
        })?;
    }
    Ok(())
}
