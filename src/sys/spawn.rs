//! A program run to its end, with a deadline: how hooks are executed.

use super::process::{self, Block, Cloned, Exit, StringArray, Who};
use super::{Errno, Result, check, fd};
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

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
    /// After so many milliseconds the program and its process group are killed.
    pub timeout: Option<u32>,
}

/// The last of what a program writes, as much as there is room for.
#[derive(Debug)]
pub struct Tail<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Default for Tail<N> {
    fn default() -> Self {
        Self { bytes: [0; N], len: 0 }
    }
}

impl<const N: usize> Tail<N> {
    /// What was kept.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn push(&mut self, new: &[u8]) {
        let new = &new[new.len().saturating_sub(N)..];
        let kept = self.len.min(N - new.len());
        self.bytes.copy_within(self.len - kept..self.len, 0);
        self.len = kept + new.len();
        self.bytes[kept..self.len].copy_from_slice(new);
    }
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

/// So much output is looked through after the end of a program: what a pipe holds that nobody has
/// enlarged.
const LAST_WORDS: usize = 64 << 10;

/// Runs a program in a process group of its own and waits for it. It may write as much as it likes
/// to its standard output and error, of which `tail` keeps the last.
///
/// Only the program itself is waited for: what it leaves in the background goes on, but nobody
/// reads any more what that writes.
///
/// # Errors
/// Those of pipe2(2), clone3(2), poll(2), read(2) and waitid(2).
pub fn run<const N: usize>(program: &Program<'_>, tail: &mut Tail<N>) -> Result<Outcome> {
    let (report, report_writer) = fd::pipe()?;
    let (output, output_writer) = fd::pipe()?;
    let parent = process::getpid();
    let (pid, pidfd) = match process::clone3(0, None)? {
        Cloned::Child => {
            let errno = execute(program, output_writer.as_fd(), parent);
            let _ = fd::write_all(report_writer.as_fd(), &(errno as i32).to_ne_bytes());
            process::exit_now(127)
        }
        Cloned::Parent { pid, pidfd } => (pid, pidfd),
    };
    drop(report_writer);
    drop(output_writer);
    let deadline = Deadline::after(program.timeout);
    let mut errno = [0; 4];
    // A file system that does not answer holds up execve itself.
    let [executed] = fd::poll_in([report.as_fd()], deadline.left())?;
    if executed && fd::read(report.as_fd(), &mut errno)? == errno.len() {
        process::wait(Who::Pidfd(pidfd.as_fd()), Block::Yes)?;
        return Ok(Outcome::NotExecuted(Errno::from_raw(i32::from_ne_bytes(errno))));
    }
    let outcome = match executed && attend(pidfd.as_fd(), &output, &deadline, tail)? {
        true => match process::wait(Who::Pidfd(pidfd.as_fd()), Block::Yes)? {
            Some((_, exit)) => Outcome::Exited(exit),
            None => Outcome::TimedOut,
        },
        false => {
            kill_group(pid, pidfd.as_fd());
            // One that cannot even be killed is left to whoever reaps after us.
            if let [true] = fd::poll_in([pidfd.as_fd()], Some(LAST_MOMENT))? {
                process::wait(Who::Pidfd(pidfd.as_fd()), Block::Yes)?;
            }
            Outcome::TimedOut
        }
    };
    if outcome != Outcome::Exited(Exit::Code(0)) {
        listen_once_more(&output, tail)?;
    }
    Ok(outcome)
}

/// A moment to be through with something, or none.
struct Deadline(Option<Instant>);

impl Deadline {
    fn after(timeout: Option<u32>) -> Self {
        let wait = timeout.map(|ms| Duration::from_millis(ms.into()));
        Self(wait.and_then(|wait| Instant::now().checked_add(wait)))
    }

    /// Milliseconds that are left, as poll(2) counts: none may be left while the moment is near.
    fn left(&self) -> Option<u32> {
        let left = self.0?.saturating_duration_since(Instant::now());
        Some(u32::try_from(left.as_micros().div_ceil(1000)).unwrap_or(u32::MAX))
    }
}

/// Reads what a program writes until it has ended; `false` at the deadline.
fn attend<const N: usize>(
    program: BorrowedFd<'_>,
    output: &OwnedFd,
    deadline: &Deadline,
    tail: &mut Tail<N>,
) -> Result<bool> {
    loop {
        let left = deadline.left();
        let [ended, wrote] = fd::poll_in([program, output.as_fd()], left)?;
        if ended || left == Some(0) {
            return Ok(ended);
        }
        if wrote && read_some(output, tail)? == 0 {
            // It has closed both streams and goes on.
            return fd::poll_in([program], deadline.left()).map(|[ended]| ended);
        }
    }
}

/// Takes what has been written and not been read yet, also when others go on writing.
fn listen_once_more<const N: usize>(output: &OwnedFd, tail: &mut Tail<N>) -> Result<()> {
    let mut len = 0;
    while len < LAST_WORDS
        && let [true] = fd::poll_in([output.as_fd()], Some(0))?
    {
        match read_some(output, tail)? {
            0 => break,
            n => len += n,
        }
    }
    Ok(())
}

fn read_some<const N: usize>(output: &OwnedFd, tail: &mut Tail<N>) -> Result<usize> {
    let mut buf = [0; 4096];
    let len = fd::read(output.as_fd(), &mut buf)?;
    tail.push(&buf[..len]);
    Ok(len)
}

/// Never returns but with the reason why the program could not be executed.
fn execute(program: &Program<'_>, output: BorrowedFd<'_>, parent: i32) -> Errno {
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
        fd::dup_onto(output, 1)?;
        fd::dup_onto(output, 2)?;
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
    use std::ffi::CString;

    fn sh(script: &str, timeout: u32) -> (Outcome, String) {
        let input = fd::openat(fd::cwd(), c"/dev/null", fd::O_RDONLY, 0).unwrap();
        let args = [c"sh".to_owned(), c"-c".to_owned(), CString::new(script).unwrap()].into();
        let mut tail = Tail::<64>::default();
        let program = Program {
            path: c"/bin/sh",
            args: &StringArray::new(args, 0),
            env: &StringArray::new(vec![c"PATH=/usr/bin:/bin".to_owned()], 0),
            input: input.as_fd(),
            timeout: Some(timeout),
        };
        let outcome = run(&program, &mut tail).unwrap();
        (outcome, String::from_utf8(tail.as_bytes().to_vec()).unwrap())
    }

    /// LIFE-11
    #[test]
    fn a_program_starts_with_no_signal_ignored() {
        super::super::signal::ignore_sigpipe();
        // What one that succeeds has said is of no interest, and need not be there.
        let (outcome, text) = sh("grep SigIgn /proc/self/status && exit 3", 10_000);
        assert_eq!(outcome, Outcome::Exited(Exit::Code(3)), "{text}");
        let ignored = u64::from_str_radix(text.split_whitespace().nth(1).unwrap(), 16).unwrap();
        assert_eq!(ignored, 0, "{text}");
    }

    /// LIFE-11
    #[test]
    fn the_last_of_what_a_program_writes_is_kept() {
        let exited = |code| Outcome::Exited(Exit::Code(code));
        assert_eq!(sh("echo one; echo two >&2; exit 3", 10_000), (exited(3), "one\ntwo\n".into()));
        let (outcome, text) = sh("head -c 300000 /dev/zero | tr '\\0' x; echo end; exit 3", 10_000);
        assert_eq!((outcome, text), (exited(3), "x".repeat(60) + "end\n"));
        // Whoever has no more to say may go on.
        assert_eq!(
            sh("echo x; exec >&- 2>&-; sleep 0.1; exit 3", 10_000),
            (exited(3), "x\n".into())
        );
    }

    /// LIFE-11
    #[test]
    fn nothing_that_is_left_in_the_background_is_waited_for() {
        let began = Instant::now();
        let (outcome, text) = sh("(trap '' PIPE; sleep 5; echo late) & echo soon; exit 3", 10_000);
        assert_eq!((outcome, text.as_str()), (Outcome::Exited(Exit::Code(3)), "soon\n"));
        let (outcome, text) = sh("yes no & sleep 0.1; exit 3", 10_000);
        assert_eq!(outcome, Outcome::Exited(Exit::Code(3)));
        assert!(text.contains("no\nno\n"), "{text:?}");
        assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    }

    /// LIFE-11
    #[test]
    fn a_program_that_writes_for_ever_is_killed_at_its_timeout() {
        let began = Instant::now();
        let (outcome, text) = sh("exec yes no", 300);
        assert_eq!(outcome, Outcome::TimedOut);
        assert!(text.contains("no\nno\n"), "{text:?}");
        assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    }

    #[test]
    fn a_tail_keeps_the_end() {
        let mut tail = Tail::<4>::default();
        for (new, kept) in [("", ""), ("ab", "ab"), ("c", "abc"), ("de", "bcde"), ("12345", "2345")]
        {
            tail.push(new.as_bytes());
            assert_eq!(tail.as_bytes(), kept.as_bytes());
        }
    }
}
