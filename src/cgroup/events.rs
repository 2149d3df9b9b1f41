//! Waiting for a state of a cgroup, as cgroup.events announces it.

use super::tree::reread;
use crate::sys::{Errno, fd, notify};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

/// What came of waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waited {
    Reached,
    Late,
}

/// Waits until cgroup.events says `key value`. A cgroup that is gone has reached any state.
pub(super) fn wait(
    dir: BorrowedFd<'_>,
    key: &str,
    value: &str,
    deadline: Instant,
) -> Result<Waited, Errno> {
    let file = match fd::openat(dir, c"cgroup.events", fd::O_RDONLY | fd::O_NOFOLLOW, 0) {
        Ok(file) => file,
        Err(Errno::ENOENT | Errno::ENODEV) => return Ok(Waited::Reached),
        Err(errno) => return Err(errno),
    };
    loop {
        let text = match reread(file.as_fd()) {
            Ok(text) => text,
            Err(Errno::ENODEV) => return Ok(Waited::Reached),
            Err(errno) => return Err(errno),
        };
        if says(&text, key, value) {
            return Ok(Waited::Reached);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(Waited::Late);
        }
        notify::changed(file.as_fd(), millis(left))?;
    }
}

/// At least one, so that the wait never spins.
fn millis(left: Duration) -> u32 {
    u32::try_from(left.as_millis()).unwrap_or(u32::MAX).max(1)
}

/// Whether a flat keyed file has the line `key value`.
pub(super) fn says(text: &str, key: &str, value: &str) -> bool {
    text.lines().any(|line| line.split_once(' ') == Some((key, value)))
}

/// Asks `done` again, at growing intervals, until it is true or the deadline passes.
pub(super) fn poll_until<E>(
    deadline: Instant,
    mut done: impl FnMut() -> Result<bool, E>,
) -> Result<Waited, E> {
    let mut pause = Duration::from_micros(200);
    loop {
        if done()? {
            return Ok(Waited::Reached);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(Waited::Late);
        }
        std::thread::sleep(pause.min(left));
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_matched_whole() {
        let text = "populated 0\nfrozen 1\n";
        assert!(says(text, "populated", "0"));
        assert!(says(text, "frozen", "1"));
        assert!(!says(text, "froze", "1"));
        assert!(!says(text, "populated", "1"));
    }

    #[test]
    fn waiting_ends_at_the_deadline() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("cgroup.events"), "populated 1\n").unwrap();
        let fd = std::fs::File::open(dir.path()).unwrap();
        let soon = Instant::now() + Duration::from_millis(30);
        assert_eq!(wait(fd.as_fd(), "populated", "0", soon), Ok(Waited::Late));
        assert_eq!(wait(fd.as_fd(), "populated", "1", soon), Ok(Waited::Reached));
        let mut asked = 0;
        let never = poll_until(Instant::now() + Duration::from_millis(5), || {
            asked += 1;
            Ok::<_, Errno>(false)
        });
        assert_eq!(never, Ok(Waited::Late));
        assert!(asked > 1);
    }

    #[test]
    fn a_cgroup_that_is_gone_is_in_any_state() {
        let dir = tempfile::tempdir().unwrap();
        let fd = std::fs::File::open(dir.path()).unwrap();
        let now = Instant::now();
        assert_eq!(wait(fd.as_fd(), "populated", "0", now), Ok(Waited::Reached));
    }
}
