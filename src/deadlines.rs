//! How long anything is waited for (specs/20-launch.md, section 9). No verb waits for ever.

use std::time::Duration;

/// The longest wait for each kind of thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// Another command that changes the same container.
    pub lock: Duration,
    /// The end of processes that were killed, and of what they leave.
    pub end: Duration,
    /// A cgroup to stand still, or to go on.
    pub freeze: Duration,
    /// A process of the container: between its birth and its program, without hooks.
    pub setup: Duration,
    /// A hook whose configuration names no timeout.
    pub hook: Duration,
    /// An answer of systemd.
    pub systemd: Duration,
    /// Somebody behind a socket to take what is sent: terminal, pidfd, seccomp listener, word to
    /// the service manager.
    pub socket: Duration,
    /// A program that was started to say that it is ready, where a service manager wants to know.
    pub ready: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            lock: seconds(30),
            end: seconds(10),
            freeze: seconds(10),
            setup: seconds(300),
            hook: seconds(300),
            systemd: seconds(30),
            socket: seconds(10),
            ready: seconds(600),
        }
    }
}

impl Deadlines {
    /// The deadline of a name; `None` for a name that is none.
    pub fn named(&mut self, name: &str) -> Option<&mut Duration> {
        match name {
            "lock" => Some(&mut self.lock),
            "end" => Some(&mut self.end),
            "freeze" => Some(&mut self.freeze),
            "setup" => Some(&mut self.setup),
            "hook" => Some(&mut self.hook),
            "systemd" => Some(&mut self.systemd),
            "socket" => Some(&mut self.socket),
            "ready" => Some(&mut self.ready),
            _ => None,
        }
    }
}

/// A wait in milliseconds, as poll(2) counts; one that is too long for that is the longest.
pub fn milliseconds(wait: Duration) -> u32 {
    u32::try_from(wait.as_millis()).unwrap_or(u32::MAX).min(i32::MAX as u32)
}
