//! Floor 5: the operations, one file each. The command line and embedders call the same functions.

mod all;
pub mod create;
pub mod delete;
mod descriptors;
pub mod events;
pub mod exec;
pub mod explain;
mod facts;
pub mod features;
mod foreground;
pub mod gc;
mod keyboard;
pub mod kill;
pub mod list;
pub mod pause;
pub mod ps;
mod readiness;
mod relay;
pub mod run;
pub mod spec;
pub mod start;
pub mod state;
pub mod update;

pub use crate::plan::cgroup::ManagerChoice;
pub use create::{CreateRequest, Keyring, RootSwitch};
pub use delete::DeleteRequest;
pub use events::EventsRequest;
pub use exec::ExecRequest;
pub use explain::ExplainRequest;
pub use kill::{KillRequest, KillScope};
pub use ps::PsRequest;
pub use run::{Keep, Mode, RunRequest, Subreaper};
pub use state::StateReport;
pub use update::UpdateRequest;

use crate::deadlines::Deadlines;
use crate::state::{Entry, Status, Store};
use crate::timing::Timing;
use crate::{cgroup, host, launch, plan};
use std::path::PathBuf;

/// What all operations have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// Directory that holds the state of all containers, absolute.
    pub root: PathBuf,
    /// Who makes the cgroups of containers.
    pub manager: ManagerChoice,
    /// Whether to take the caller for an ordinary user.
    pub rootless: Rootless,
    /// Is told which phases took how long.
    pub timing: Timing,
    /// How long anything is waited for.
    pub deadlines: Deadlines,
}

/// Whether to take the caller for an ordinary user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rootless {
    /// Find out.
    Auto,
    /// Yes.
    True,
    /// No.
    False,
}

impl Context {
    /// State below `root` (absolute, made when missing), cgroups made by the library itself, as
    /// the command has it without options.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            manager: ManagerChoice::Cgroupfs,
            rootless: Rootless::Auto,
            timing: Timing::default(),
            deadlines: Deadlines::default(),
        }
    }

    fn store(&self) -> Store {
        Store::new(&self.root)
    }
}

/// Receives what went wrong without consequence.
pub type Warn<'a> = &'a mut dyn FnMut(&dyn std::fmt::Display);

/// Why an operation failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration cannot be read.
    #[error(transparent)]
    Spec(#[from] crate::spec::Error),
    /// The host cannot be looked at.
    #[error(transparent)]
    Host(#[from] host::Error),
    /// The configuration cannot be carried out.
    #[error(transparent)]
    Plan(#[from] plan::Error),
    /// The container could not be made.
    #[error(transparent)]
    Launch(#[from] launch::Error),
    /// Its state.
    #[error(transparent)]
    State(#[from] crate::state::Error),
    /// Its cgroup.
    #[error(transparent)]
    Cgroup(#[from] cgroup::Error),
    /// What the caller asks for does not go with the configuration.
    #[error(transparent)]
    Request(#[from] create::RequestError),
    /// Its class of service.
    #[error(transparent)]
    Resctrl(#[from] crate::resctrl::Error),
    /// The processes of a container cannot be listed.
    #[error(transparent)]
    Ps(#[from] ps::Error),
    /// The program could not be executed.
    #[error(transparent)]
    Start(#[from] start::StartError),
    /// A hook failed.
    #[error(transparent)]
    Hook(#[from] launch::HookError),
    /// The container is in a state that the operation is not for.
    #[error("{sentence}")]
    Status {
        /// What is wrong, in the words that engines look for.
        sentence: String,
    },
    /// A call of the operation itself.
    #[error("{action}")]
    System {
        /// What was tried.
        action: String,
        /// The cause.
        source: crate::sys::Errno,
    },
}

impl Error {
    fn status(sentence: impl Into<String>) -> Self {
        Self::Status { sentence: sentence.into() }
    }

    fn system(action: impl Into<String>) -> impl FnOnce(crate::sys::Errno) -> Self {
        let action = action.into();
        move |source| Self::System { action, source }
    }
}

/// The record of a container that has been created; what to say when there is none.
fn created_record(entry: &Entry) -> Result<crate::state::Record, Error> {
    entry.record()?.ok_or_else(|| {
        let state = if entry.is_locked() { Status::Creating } else { Status::Stopped };
        Error::status(format!("container {} is {}", entry.id, state.name()))
    })
}

/// What engines look for when there is nothing to work on.
fn not_running() -> Error {
    Error::status("container not running")
}
