//! The processes of a cgroup, for people and for signals.

use crate::sys::{Errno, process};
use std::fmt;
use std::os::fd::AsFd;

/// A process that is where none should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survivor {
    /// Its id.
    pub pid: i32,
    /// Its name (`comm`); empty when it cannot be read.
    pub name: String,
    /// Its state, such as `D` (uninterruptible); `?` when it cannot be read.
    pub state: char,
}

impl Survivor {
    /// What /proc/PID/stat tells of a process (proc_pid_stat(5)).
    pub(super) fn of(pid: i32) -> Self {
        let stat = std::fs::read(format!("/proc/{pid}/stat")).unwrap_or_default();
        let stat = String::from_utf8_lossy(&stat);
        let parsed = stat.split_once('(').and_then(|(_, rest)| rest.rsplit_once(") "));
        match parsed {
            Some((name, rest)) => {
                Self { pid, name: name.to_owned(), state: rest.chars().next().unwrap_or('?') }
            }
            None => Self { pid, name: String::new(), state: '?' },
        }
    }
}

impl fmt::Display for Survivor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {}", self.pid)?;
        if !self.name.is_empty() {
            write!(f, " ({}, state {})", self.name, self.state)?;
        }
        Ok(())
    }
}

const SIGKILL: i32 = 9;

/// Kills a process; one that is gone is no error.
pub(super) fn kill(pid: i32) -> Result<(), Errno> {
    let sent = process::pidfd_open(pid).and_then(|fd| process::pidfd_signal(fd.as_fd(), SIGKILL));
    match sent {
        Err(Errno::ESRCH) => Ok(()),
        other => other,
    }
}

/// Reads the numbers of a cgroup.procs file. 0 stands for a process of another pid namespace,
/// which has no number here.
pub(super) fn parse(text: &str, into: &mut Vec<i32>) {
    let numbers = text.lines().filter_map(|line| line.trim().parse::<i32>().ok());
    into.extend(numbers.filter(|pid| *pid > 0));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_named_with_its_state() {
        let own = Survivor::of(std::process::id() as i32);
        assert!(!own.name.is_empty() && own.state != '?', "{own:?}");
        let gone = Survivor::of(i32::MAX);
        assert_eq!(gone.to_string(), format!("process {}", i32::MAX));
        let stuck = Survivor { pid: 7, name: "dd".into(), state: 'D' };
        assert_eq!(stuck.to_string(), "process 7 (dd, state D)");
    }

    #[test]
    fn foreign_processes_have_no_number() {
        let mut pids = Vec::new();
        parse("3\n0\n12\n", &mut pids);
        assert_eq!(pids, [3, 12]);
    }

    #[test]
    fn killing_a_process_that_is_gone_is_no_error() {
        assert_eq!(kill(i32::MAX), Ok(()));
    }
}
