//! A program run to its end, with a deadline: how hooks are executed.

use super::process::{self, Block, Cloned, Exit, StringArray, Who};
use super::{Errno, Result, check, fd};
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};

/// A program to run.
#[derive(Debug)]
pub struct Program<'a> {
    /// Path of the file to execute.
    pub path: &'a CStr,
    /// Arguments, the program's name first.
    pub args: &'a StringArray,
    /// Environment.
    pub env: &'a StringArray,
    /// Standard input, read from where the descriptor stands.
    pub input: BorrowedFd<'a>,
    /// Standard output and error.
    pub output: BorrowedFd<'a>,
    /// After so many milliseconds the program and its process group are killed.
    pub timeout: Option<u32>,
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// By itself or by a signal that was not ours.
    Exited(Exit),
    /// Killed at its deadline.
    TimedOut,
    /// It was never executed.
    NotExecuted(Errno),
}

/// How long the end of a killed program is waited for, in milliseconds.
const LAST_MOMENT: u32 = 5000;

/// Runs a program in a process group of its own and waits for it.
///
/// Only the program itself is waited for: what it leaves in the background goes on.
///
/// # Errors
/// Those of pipe2(2), clone3(2), poll(2) and waitid(2).
pub fn run(program: &Program<'_>) -> Result<Outcome> {
    let (report, report_writer) = fd::pipe()?;
    let parent = process::getpid();
    let (pid, pidfd) = match process::clone3(0, None)? {
        Cloned::Child => {
            let errno = execute(program, parent);
            let _ = fd::write_all(report_writer.as_fd(), &(errno as i32).to_ne_bytes());
            process::exit_now(127)
        }
        Cloned::Parent { pid, pidfd } => (pid, pidfd),
    };
    drop(report_writer);
    let mut errno = [0; 4];
    // A file system that does not answer holds up execve itself.
    let [executed] = fd::poll_in([report.as_fd()], program.timeout)?;
    if executed && fd::read(report.as_fd(), &mut errno)? == errno.len() {
        process::wait(Who::Pidfd(pidfd.as_fd()), Block::Yes)?;
        return Ok(Outcome::NotExecuted(Errno::from_raw(i32::from_ne_bytes(errno))));
    }
    let [ended] = match executed {
        true => fd::poll_in([pidfd.as_fd()], program.timeout)?,
        false => [false],
    };
    if ended {
        return Ok(match process::wait(Who::Pidfd(pidfd.as_fd()), Block::Yes)? {
            Some((_, exit)) => Outcome::Exited(exit),
            None => Outcome::TimedOut,
        });
    }
    kill_group(pid, pidfd.as_fd());
    // One that cannot even be killed is left to whoever reaps after us.
    if let [true] = fd::poll_in([pidfd.as_fd()], Some(LAST_MOMENT))? {
        process::wait(Who::Pidfd(pidfd.as_fd()), Block::Yes)?;
    }
    Ok(Outcome::TimedOut)
}

/// Never returns but with the reason why the program could not be executed.
fn execute(program: &Program<'_>, parent: i32) -> Errno {
    let set_up = || -> Result<()> {
        // Nobody would wait for it, or keep to its timeout.
        process::die_with_parent()?;
        if process::getppid() != parent {
            // It was dead before, and sends no signal any more.
            return Err(Errno::ESRCH);
        }
        // SAFETY: takes no memory.
        check(unsafe { libc::setpgid(0, 0) }.into())?;
        fd::dup_onto(program.input, 0)?;
        fd::dup_onto(program.output, 1)?;
        fd::dup_onto(program.output, 2)?;
        fd::cloexec_from(3)?;
        // What a command ignores or blocks for itself is not its hooks' affair.
        super::signal::reset_dispositions();
        super::signal::unblock_all()
    };
    match set_up() {
        Err(errno) => errno,
        Ok(()) => match process::execve(program.path, program.args, program.env) {
            Err(errno) => errno,
            Ok(never) => match never {},
        },
    }
}

/// Kills a child and the group that it leads. The number is safe to use: the child has not been
/// waited for, so it cannot have been given to another.
fn kill_group(pid: i32, pidfd: BorrowedFd<'_>) {
    // SAFETY: takes no memory.
    unsafe { libc::kill(-pid, libc::SIGKILL) };
    // The group does not exist when the child was not that far yet.
    let _ = process::pidfd_signal(pidfd, libc::SIGKILL);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// LIFE-11
    #[test]
    fn a_program_starts_with_no_signal_ignored() {
        super::super::signal::ignore_sigpipe();
        let input = fd::openat(fd::cwd(), c"/dev/null", fd::O_RDONLY, 0).unwrap();
        let output = fd::memfd(c"output").unwrap();
        let args = [c"grep", c"SigIgn", c"/proc/self/status"].map(CStr::to_owned).into();
        let outcome = run(&Program {
            path: c"/bin/grep",
            args: &StringArray::new(args, 0),
            env: &StringArray::new(Vec::new(), 0),
            input: input.as_fd(),
            output: output.as_fd(),
            timeout: Some(10_000),
        });
        assert_eq!(outcome, Ok(Outcome::Exited(Exit::Code(0))));
        let mut text = [0; 64];
        let len = fd::read_tail(output.as_fd(), &mut text).unwrap();
        let text = std::str::from_utf8(&text[..len]).unwrap();
        let ignored = u64::from_str_radix(text.split_whitespace().nth(1).unwrap(), 16).unwrap();
        assert_eq!(ignored, 0, "{text}");
    }
}
