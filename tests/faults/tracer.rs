//! One command under ptrace(2): every system call of the launcher and of the
//! processes that it makes is counted, and at one of them something happens.

use std::collections::BTreeMap;
use std::sync::mpsc;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::errors;

/// Longest time that a command may take. Longer than every deadline that a
/// verb has for ends and locks: what takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// What happens at a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blow {
    /// The process is killed before the call is carried out.
    Kill,
    /// The call is not carried out and fails. (A close(2) closes all the same.)
    Fail(Errno),
}

/// Where it happens: the `n`-th call, from 0, of a process. Processes count in
/// the order of their birth; 0 is the command itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    pub process: usize,
    pub n: usize,
    pub blow: Blow,
}

/// A system call that was made.
#[derive(Clone, Debug)]
pub struct Call {
    pub number: i64,
    /// The first two arguments that point to text, as far as they could be read.
    pub path: Option<String>,
}

/// What was seen.
#[derive(Debug, Default)]
pub struct Trace {
    /// Calls of each process.
    pub calls: Vec<Vec<Call>>,
    /// The call that was hit.
    pub hit: Option<Call>,
    /// Exit status of the command, unless a signal has ended it.
    pub code: Option<i32>,
    /// Whether it had to be ended.
    pub hung: bool,
}

/// A process that is being traced.
struct Tracee {
    process: usize,
    /// Whether the call that it is in is to fail when it returns.
    failing: Option<Errno>,
}

struct Tracer {
    main: Pid,
    target: Option<Target>,
    tracees: BTreeMap<Pid, Tracee>,
    /// By thread group.
    processes: BTreeMap<i32, usize>,
    trace: Trace,
    /// Whether the command has begun: what its shell did before does not count.
    begun: bool,
}

/// Traces a process that has stopped itself and will then execute the command,
/// together with `others` that live already, until it ends; all others are let
/// go then.
pub fn trace(main: i32, others: &[i32], target: Option<Target>) -> Trace {
    let main = Pid::from_raw(main);
    let mut tracer = Tracer {
        main,
        target,
        tracees: BTreeMap::new(),
        processes: BTreeMap::new(),
        trace: Trace::default(),
        begun: false,
    };
    waitpid(main, Some(WaitPidFlag::WUNTRACED)).expect("wait for the shell to stop");
    for pid in std::iter::once(main).chain(others.iter().map(|pid| Pid::from_raw(*pid))) {
        ptrace::seize(pid, options()).expect("seize");
        tracer.adopt(pid, pid.as_raw());
        if pid != main {
            ptrace::interrupt(pid).expect("interrupt");
        }
    }
    kill(main, Signal::SIGCONT).expect("continue the shell");
    let dog = Watchdog::watch(main);
    while tracer.step() {}
    tracer.trace.hung = dog.call_off();
    tracer.let_go();
    tracer.trace
}

fn options() -> Options {
    Options::PTRACE_O_TRACESYSGOOD
        | Options::PTRACE_O_TRACEFORK
        | Options::PTRACE_O_TRACEVFORK
        | Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_TRACEEXEC
}

impl Tracer {
    fn adopt(&mut self, pid: Pid, group: i32) {
        let next = self.processes.len();
        let process = *self.processes.entry(group).or_insert(next);
        self.trace.calls.resize_with(self.processes.len(), Vec::new);
        self.tracees.insert(pid, Tracee { process, failing: None });
    }

    /// Handles one stop or end; whether the command still runs.
    fn step(&mut self) -> bool {
        match waitpid(None, Some(WaitPidFlag::__WALL)) {
            Ok(WaitStatus::Exited(pid, code)) => !self.ended(pid, Some(code)),
            Ok(WaitStatus::Signaled(pid, ..)) => !self.ended(pid, None),
            Ok(status) => {
                if let Some(pid) = status.pid() {
                    self.stopped(pid, status);
                }
                true
            }
            Err(Errno::EINTR) => true,
            Err(Errno::ECHILD) => false,
            Err(errno) => panic!("wait: {errno}"),
        }
    }

    fn ended(&mut self, pid: Pid, code: Option<i32>) -> bool {
        self.tracees.remove(&pid);
        if pid == self.main {
            self.trace.code = code;
        }
        pid == self.main
    }

    fn stopped(&mut self, pid: Pid, status: WaitStatus) {
        match status {
            WaitStatus::PtraceSyscall(_) => self.at_call(pid),
            WaitStatus::PtraceEvent(_, signal, event) => self.at_event(pid, signal, event),
            WaitStatus::Stopped(_, signal) => {
                let _ = ptrace::syscall(pid, signal);
            }
            _ => {}
        }
    }

    fn at_event(&mut self, pid: Pid, signal: Signal, event: i32) {
        if !self.tracees.contains_key(&pid) {
            self.adopt(pid, group_of(pid));
        }
        match event {
            libc::PTRACE_EVENT_EXEC if pid == self.main => self.begun = true,
            // A program of the container's or a hook: no longer the runtime.
            libc::PTRACE_EVENT_EXEC => {
                self.tracees.remove(&pid);
                let _ = ptrace::detach(pid, None);
                return;
            }
            // A group-stop is over as soon as the process is continued.
            libc::PTRACE_EVENT_STOP if signal != Signal::SIGTRAP => {}
            _ => {}
        }
        let _ = ptrace::syscall(pid, None);
    }

    fn at_call(&mut self, pid: Pid) {
        let Ok(info) = ptrace::syscall_info(pid) else { return };
        if info.op == libc::PTRACE_SYSCALL_INFO_ENTRY {
            self.enter(pid);
        } else {
            self.leave(pid);
        }
        let _ = ptrace::syscall(pid, None);
    }

    fn enter(&mut self, pid: Pid) {
        let (Ok(mut regs), Some(tracee)) = (ptrace::getregs(pid), self.tracees.get_mut(&pid))
        else {
            return;
        };
        if !self.begun {
            return;
        }
        let calls = &mut self.trace.calls[tracee.process];
        let number = regs.orig_rax.cast_signed();
        let hit = self.target.is_some_and(|target| {
            // Not every time the same call is the n-th.
            let fits = match target.blow {
                Blow::Kill => true,
                Blow::Fail(errno) => errors::fitting(number).contains(&errno),
            };
            let here = target.process == tracee.process && target.n == calls.len();
            here && fits && self.trace.hit.is_none()
        });
        let call = Call { number, path: if hit { path_of(pid, &regs) } else { None } };
        calls.push(call.clone());
        let Some(target) = self.target.filter(|_| hit) else { return };
        self.trace.hit = Some(call.clone());
        match target.blow {
            Blow::Kill => {
                let _ = kill(Pid::from_raw(group_of(pid)), Signal::SIGKILL);
            }
            Blow::Fail(errno) => {
                tracee.failing = Some(errno);
                if call.number != libc::SYS_close {
                    regs.orig_rax = u64::MAX;
                    let _ = ptrace::setregs(pid, regs);
                }
            }
        }
    }

    fn leave(&mut self, pid: Pid) {
        let failing = self.tracees.get_mut(&pid).and_then(|tracee| tracee.failing.take());
        if let (Some(errno), Ok(mut regs)) = (failing, ptrace::getregs(pid)) {
            regs.rax = i64::from(-(errno as i32)).cast_unsigned();
            let _ = ptrace::setregs(pid, regs);
        }
    }

    /// Leaves all that still live to themselves. A detach needs a stop.
    fn let_go(&mut self) {
        for pid in self.tracees.keys() {
            let _ = ptrace::interrupt(*pid);
        }
        while !self.tracees.is_empty() {
            match waitpid(None, Some(WaitPidFlag::__WALL)) {
                Ok(WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, _, _)) => {
                    self.tracees.remove(&pid);
                }
                Ok(status) => {
                    let Some(pid) = status.pid() else { continue };
                    let signal = match status {
                        WaitStatus::Stopped(_, signal) => Some(signal),
                        _ => None,
                    };
                    self.leave(pid);
                    self.tracees.remove(&pid);
                    let _ = ptrace::detach(pid, signal);
                }
                Err(Errno::EINTR) => {}
                Err(_) => return,
            }
        }
    }
}

/// The process that a thread belongs to.
fn group_of(thread: Pid) -> i32 {
    let status = std::fs::read_to_string(format!("/proc/{thread}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Tgid:"));
    line.and_then(|number| number.trim().parse().ok()).unwrap_or(thread.as_raw())
}

/// What the call names, for calls that take a path or a name.
fn path_of(pid: Pid, regs: &libc::user_regs_struct) -> Option<String> {
    let address = match regs.orig_rax.cast_signed() {
        libc::SYS_open
        | libc::SYS_mkdir
        | libc::SYS_chdir
        | libc::SYS_rmdir
        | libc::SYS_unlink
        | libc::SYS_execve
        | libc::SYS_umount2 => regs.rdi,
        libc::SYS_openat
        | libc::SYS_openat2
        | libc::SYS_mkdirat
        | libc::SYS_mknodat
        | libc::SYS_unlinkat
        | libc::SYS_renameat
        | libc::SYS_renameat2
        | libc::SYS_mount
        | libc::SYS_symlinkat => regs.rsi,
        _ => return None,
    };
    let memory = std::fs::File::open(format!("/proc/{pid}/mem")).ok()?;
    let mut text = vec![0; 256];
    let n = std::os::unix::fs::FileExt::read_at(&memory, &mut text, address).ok()?;
    let text = text.get(..n)?.split(|byte| *byte == 0).next()?;
    Some(String::from_utf8_lossy(text).into_owned())
}

/// Ends a command that does not end.
struct Watchdog {
    off: mpsc::Sender<()>,
    thread: std::thread::JoinHandle<bool>,
}

impl Watchdog {
    fn watch(pid: Pid) -> Self {
        let (off, called_off) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let late = called_off.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout);
            late && kill(pid, Signal::SIGKILL).is_ok()
        });
        Self { off, thread }
    }

    /// Whether it has struck.
    fn call_off(self) -> bool {
        let _ = self.off.send(());
        self.thread.join().unwrap_or(false)
    }
}
