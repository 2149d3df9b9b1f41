//! Where a container stands (runtime.md, State).

use super::{Entry, Error, Record};
use crate::cgroup;
use std::os::fd::OwnedFd;

/// The states of runtime.md, and paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// A create operation is at work.
    Creating,
    /// Waits to be started.
    Created,
    /// The program runs.
    Running,
    /// Its cgroup is frozen.
    Paused,
    /// The program has ended, or never began and never will.
    Stopped,
}

impl Status {
    /// The lower-case name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}

impl Entry {
    /// The status, and a pidfd of the first process while it lives. The kernel is asked; the
    /// record only tells whom to ask for.
    ///
    /// # Errors
    /// Those of asking.
    pub fn status(&self, record: Option<&Record>) -> Result<(Status, Option<OwnedFd>), Error> {
        let Some(init) = record.and_then(|record| record.init) else {
            let status = if self.is_locked() { Status::Creating } else { Status::Stopped };
            return Ok((status, None));
        };
        let found = init.identity.find(init.pid);
        let found = found.map_err(self.failed("look for the process in", "record"))?;
        // Numbers and identities begin anew with each boot.
        let Some(pidfd) = found.filter(|_| record.is_some_and(Record::is_of_this_boot)) else {
            return Ok((Status::Stopped, None));
        };
        // Before the gate is asked: who is frozen behind it does not answer.
        let frozen = record.map_or(Ok(false), |record| cgroup::is_frozen(&record.cgroup));
        let frozen = frozen
            .map_err(|source| Error::Paused { id: self.id.clone(), source: Box::new(source) })?;
        if frozen {
            return Ok((Status::Paused, Some(pidfd)));
        }
        // The file alone could be left over from a start that was killed; whether init still
        // listens behind it is the truth.
        if self.has_gate()? && self.is_waited_at_gate()? {
            return Ok((Status::Created, Some(pidfd)));
        }
        Ok((Status::Running, Some(pidfd)))
    }
}
