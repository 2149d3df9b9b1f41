//! Descriptors that the caller hands through to the program.

use super::create::RequestError;
use crate::plan::Descriptors;
use crate::sys::{fd, process};

/// Those that socket activation has announced to this process (sd_listen_fds(3)), and as many
/// more as are asked for.
pub(super) fn of_caller(preserved: u32) -> Descriptors {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u32>().ok());
    let ours = number("LISTEN_PID").is_some_and(|pid| pid == process::getpid().unsigned_abs());
    let activation = number("LISTEN_FDS").filter(|_| ours).unwrap_or(0);
    Descriptors { activation, preserved }
}

/// Refuses descriptors that the caller did not leave open: a number that is in use here is only
/// meant when it came through execve.
pub(super) fn check(descriptors: Descriptors) -> Result<(), RequestError> {
    match (3..descriptors.end()).find(|&fd| !fd::is_inherited(fd)) {
        Some(fd) => Err(RequestError::MissingDescriptor { fd }),
        None => Ok(()),
    }
}
