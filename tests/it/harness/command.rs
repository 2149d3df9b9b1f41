//! One command of the runtime under test: bounded in time, its output kept.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{LazyLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// No command may take longer; a hang is a failure with a name.
///
/// `PATIENCE=5` makes that five times as long, for machines that are emulated.
pub static PATIENCE: LazyLock<Duration> = LazyLock::new(|| {
    let times = std::env::var("PATIENCE").ok().and_then(|times| times.parse().ok());
    Duration::from_secs(20) * times.unwrap_or(1)
});

/// A process that is born while a program is being written holds it open, and
/// the program is then too busy to be run: writers lock out births.
pub static BIRTHS: RwLock<()> = RwLock::new(());

/// Starts a program; nothing in the suite does it in another way.
fn give_birth(command: &mut Command) -> std::io::Result<Child> {
    let _others_may_too = BIRTHS.read().unwrap_or_else(PoisonError::into_inner);
    command.spawn()
}

/// Runs a program of the host to its end; what it has said.
pub fn ask(command: &mut Command) -> std::io::Result<Output> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    give_birth(command)?.wait_with_output()
}

/// A command line to be started.
///
/// Output goes to files, not pipes: a container that outlives the command
/// keeps its stdio open, and nobody may wait for that.
pub struct Invocation {
    command: Command,
    shown: String,
    output: PathBuf,
    /// Whether stdout and stderr are ours to read.
    captured: bool,
}

impl Invocation {
    /// `program` with `arguments`; its output is kept in `output`.{stdout,stderr}.
    pub fn new<A: AsRef<OsStr>>(program: &Path, arguments: &[A], output: PathBuf) -> Self {
        let arguments: Vec<OsString> = arguments.iter().map(|a| a.as_ref().to_owned()).collect();
        let mut shown = program.display().to_string();
        for argument in &arguments {
            shown.push(' ');
            shown.push_str(&argument.to_string_lossy());
        }
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null());
        Self { command, shown, output, captured: true }
    }

    pub fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    /// Gives the command no variable but those that are set after this.
    pub fn without_environment(mut self) -> Self {
        self.command.env_clear();
        self
    }

    pub fn dir(mut self, dir: &Path) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// Keeps the output in `path`.{stdout,stderr} in place of the default.
    pub fn keeping_output_in(mut self, path: PathBuf) -> Self {
        self.output = path;
        self
    }

    /// Runs the command as an ordinary user whose group has the same number.
    pub fn user(mut self, id: u32) -> Self {
        super::needs::demand_root();
        std::os::unix::process::CommandExt::uid(&mut self.command, id);
        std::os::unix::process::CommandExt::gid(&mut self.command, id);
        self
    }

    /// Feeds `text` to the command.
    pub fn input(mut self, text: &str) -> Self {
        let path = self.output.with_extension("stdin");
        std::fs::write(&path, text).expect("write the input");
        self.command.stdin(File::open(path).expect("open the input"));
        self
    }

    /// Gives the command these three files in place of the captured ones.
    pub fn stdio(mut self, stdin: Stdio, stdout: Stdio, stderr: Stdio) -> Self {
        self.command.stdin(stdin).stdout(stdout).stderr(stderr);
        self.captured = false;
        self
    }

    /// Starts the command and leaves it running.
    pub fn spawn(mut self) -> Running {
        if self.captured {
            let file = |end: &str| File::create(self.output.with_extension(end)).expect("create");
            self.command.stdout(file("stdout")).stderr(file("stderr"));
        }
        let child = give_birth(&mut self.command).unwrap_or_else(|e| panic!("{}: {e}", self.shown));
        Running { child, shown: self.shown, output: self.output, captured: self.captured }
    }

    /// Runs the command to its end.
    pub fn finish(self) -> Finished {
        self.spawn().finish()
    }
}

/// A command on its way.
pub struct Running {
    child: Child,
    shown: String,
    output: PathBuf,
    captured: bool,
}

impl Running {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = nix::unistd::Pid::from_raw(self.child.id().cast_signed());
        nix::sys::signal::kill(pid, signal).expect("signal the runtime");
    }

    /// What the command has written to stdout so far.
    pub fn stdout(&self) -> String {
        read(&self.output.with_extension("stdout"))
    }

    /// Whether the command has ended by now.
    pub fn ended(&mut self) -> bool {
        self.child.try_wait().expect("wait").is_some()
    }

    pub fn finish(mut self) -> Finished {
        let deadline = Instant::now() + *PATIENCE;
        let mut pause = Duration::from_micros(500);
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("wait") {
                break status;
            }
            if Instant::now() > deadline {
                let _ = self.child.kill();
                let _ = self.child.wait();
                panic!("{} did not end within {:?}", self.shown, *PATIENCE);
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(8));
        };
        let output = |end| {
            if self.captured { read(&self.output.with_extension(end)) } else { String::new() }
        };
        Finished {
            code: code(status),
            stdout: output("stdout"),
            stderr: output("stderr"),
            shown: self.shown.clone(),
        }
    }
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
}

/// A shell's view of an end: the exit code, or 128 and the signal's number.
pub fn code(status: ExitStatus) -> i32 {
    status.code().or_else(|| status.signal().map(|s| 128 + s)).unwrap_or(-1)
}

/// A command that has ended.
#[derive(Debug)]
pub struct Finished {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
    shown: String,
}

impl Finished {
    /// Fails the test unless the command exited with `code`.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert!(self.code == code, "expected status {code}: {self}");
        self
    }

    /// Fails the test unless the command succeeded.
    #[track_caller]
    pub fn ok(self) -> Self {
        self.exits(0)
    }

    /// Fails the test unless the command refused, by an exit code of its own
    /// (not by dying of a signal).
    #[track_caller]
    pub fn refused(self) -> Self {
        let by_signal = (128..=192).contains(&self.code);
        assert!(self.code > 0 && !by_signal, "expected a refusal: {self}");
        self
    }

    /// Fails the test unless stderr contains `text`.
    #[track_caller]
    pub fn complains(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "expected stderr to contain {text:?}: {self}");
        self
    }
}

impl std::fmt::Display for Finished {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { code, stdout, stderr, shown } = self;
        write!(f, "{shown}\nstatus {code}\n-- stdout\n{stdout}\n-- stderr\n{stderr}")
    }
}
