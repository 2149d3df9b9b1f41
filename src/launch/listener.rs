//! The seccomp listener on its way to the agent (config-linux.md, The Container Process State).

use super::{Error, state_of};
use crate::deadlines::milliseconds;
use crate::state::{Record, Status};
use crate::sys::socket::{self, Kind};
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct ProcessState<'a> {
    oci_version: &'a str,
    fds: [&'static str; 1],
    pid: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a str>,
    state: serde_json::Value,
}

/// Sends the listener and the state of the container's process over a connection of their own.
pub(super) fn give(
    id: &str,
    record: &Record,
    pid: i32,
    listener: BorrowedFd<'_>,
    patience: Duration,
) -> Result<(), Error> {
    let Some(agent) = &record.listener else {
        return Err(Error::Link { source: crate::sys::Errno::EBADMSG });
    };
    let failed = |source| Error::Agent { path: agent.path.clone(), source };
    // The container's own process is on its way; one that joins finds it running.
    let init = record.init.map_or(0, |init| init.pid);
    let status = if pid == init { Status::Created } else { Status::Running };
    let message = ProcessState {
        oci_version: &record.oci_version,
        fds: ["seccompFd"],
        pid,
        metadata: agent.metadata.as_deref(),
        state: state_of(id, record, status).json(init),
    };
    // Strings and numbers only: nothing that could fail.
    let message = serde_json::to_vec(&message).unwrap_or_default();
    let path = CString::new(agent.path.as_str()).unwrap_or_default();
    let connection =
        socket::connect_within(&path, Kind::Stream, milliseconds(patience)).map_err(failed)?;
    socket::send(connection.as_fd(), &message, Some(listener)).map_err(failed)
}
