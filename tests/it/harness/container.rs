//! A container that exists, and the verbs on it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use serde_json::Value;

use super::bundle::Bundle;
use super::command::{Finished, PATIENCE};

/// Waits, up to the harness's patience, for a condition to hold; says whether it did.
pub fn eventually(mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + *PATIENCE / 4;
    let mut pause = Duration::from_millis(1);
    while !condition() {
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
    true
}

/// A created container. It is deleted with the sandbox it lives in.
pub struct Container {
    bundle: Bundle,
    /// Host pid of its init.
    pub pid: i32,
    /// How `create` ended.
    pub creation: Finished,
}

impl Container {
    pub(super) fn created(bundle: Bundle, creation: Finished) -> Self {
        let mut container = Self { bundle, pid: 0, creation };
        container.pid = container.state()["pid"].as_i64().expect("a pid in the state") as i32;
        container
    }

    pub fn bundle(&self) -> &Bundle {
        &self.bundle
    }

    pub fn id(&self) -> &str {
        self.bundle.id()
    }

    /// `VERB [options] ID [more]`, as it ends.
    pub fn verb(&self, verb: &str, options: &[&str], more: &[&str]) -> Finished {
        let mut line = vec![verb];
        line.extend(options);
        line.push(self.id());
        line.extend(more);
        self.bundle.sandbox().runtime(&line).finish()
    }

    /// The document that `state` prints.
    #[track_caller]
    pub fn state(&self) -> Value {
        let output = self.verb("state", &[], &[]).ok();
        serde_json::from_str(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output}"))
    }

    #[track_caller]
    pub fn status(&self) -> String {
        self.state()["status"].as_str().expect("a status").to_owned()
    }

    #[track_caller]
    pub fn start(&self) -> Finished {
        self.verb("start", &[], &[]).ok()
    }

    #[track_caller]
    pub fn kill(&self, signal: &str) -> Finished {
        self.verb("kill", &[], &[signal]).ok()
    }

    #[track_caller]
    pub fn delete(&self) -> Finished {
        self.verb("delete", &[], &[]).ok()
    }

    /// Waits for init's end as its reaper; the code is 128 and the signal's
    /// number where a signal ended it.
    #[track_caller]
    pub fn wait(&self) -> i32 {
        let mut code = None;
        eventually(|| {
            code = match waitpid(Pid::from_raw(self.pid), Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(_, code)) => Some(code),
                Ok(WaitStatus::Signaled(_, signal, _)) => Some(128 + signal as i32),
                Ok(_) => None,
                Err(error) => panic!("cannot wait for init, pid {}: {error}", self.pid),
            };
            code.is_some()
        });
        code.unwrap_or_else(|| panic!("init, pid {}, is still alive", self.pid))
    }

    fn output_file(&self, end: &str) -> PathBuf {
        self.bundle.dir().join("container").with_extension(end)
    }

    /// What the container has written to stdout so far.
    pub fn stdout(&self) -> String {
        std::fs::read_to_string(self.output_file("stdout")).expect("read the output")
    }

    /// Waits until the container has written `text` to stdout.
    #[track_caller]
    pub fn says(&self, text: &str) {
        assert!(
            eventually(|| self.stdout().contains(text)),
            "waited for {text:?}, saw {:?}, stderr {:?}",
            self.stdout(),
            std::fs::read_to_string(self.output_file("stderr")),
        );
    }

    /// Whether init is there and not a zombie.
    pub fn alive(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
    }

    /// The processes that run in or for this container, in words.
    pub fn processes(&self) -> Vec<String> {
        self.bundle.sandbox().processes()
    }

    /// Waits until `state` reports a status.
    #[track_caller]
    pub fn becomes(&self, status: &str) {
        let mut seen = String::new();
        let met = eventually(|| {
            seen = self.status();
            seen == status
        });
        assert!(met, "waited for {status}, still {seen}");
    }

    /// A file of init's directory in the host's /proc.
    #[track_caller]
    pub fn proc(&self, file: &str) -> String {
        let path = format!("/proc/{}/{file}", self.pid);
        std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"))
    }

    /// A field of init's /proc/PID/status.
    #[track_caller]
    pub fn status_field(&self, name: &str) -> String {
        let status = self.proc("status");
        let prefix = format!("{name}:");
        let value = status.lines().find_map(|line| line.strip_prefix(&prefix));
        value.unwrap_or_else(|| panic!("no {name} in {status}")).trim().to_owned()
    }

    /// The identity of one of init's namespaces.
    #[track_caller]
    pub fn namespace(&self, file: &str) -> String {
        let path = format!("/proc/{}/ns/{file}", self.pid);
        std::fs::read_link(path).expect("read the link").display().to_string()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // A delete that hangs must not become a panic within a panic.
        let delete = || drop(self.verb("delete", &["--force"], &[]));
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(delete));
        // As its reaper by inheritance, take the zombie away.
        // (A container that had ended before it was adopted has no pid; 0 would mean any child.)
        if self.pid > 0 {
            let _ = waitpid(Pid::from_raw(self.pid), Some(WaitPidFlag::WNOHANG));
        }
    }
}
