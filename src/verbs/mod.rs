//! Floor 5: the operations, one file each. The command line and embedders call the same functions.

pub mod create;
pub mod delete;
mod descriptors;
pub mod events;
pub mod exec;
pub mod explain;
pub mod features;
mod foreground;
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

use crate::error::{Facts, Report};
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

impl Report for Error {
    fn facts(&self) -> Facts {
        match self {
            Self::Spec(error) => error.facts(),
            Self::Plan(error) => Facts {
                code: Some("CONFIG_INVALID"),
                phase: Some("plan"),
                config: pointer_of(&error.to_string()),
                ..Facts::default()
            },
            Self::Launch(launch::Error::Init(error)) => init_facts(error),
            Self::Launch(launch::Error::Enter { hint, .. }) => Facts {
                code: Some("ENTER_FAILED"),
                phase: Some("namespaces"),
                hint: hint.map(str::to_owned),
                ..Facts::default()
            },
            Self::Launch(launch::Error::Clone { hint, .. }) => Facts {
                code: Some("CLONE_FAILED"),
                phase: Some("namespaces"),
                hint: hint.map(str::to_owned),
                ..Facts::default()
            },
            Self::Launch(launch::Error::IdMaps { pointer, hint, .. }) => Facts {
                code: Some("LAUNCH_FAILED"),
                phase: Some("namespaces"),
                config: Some(pointer.clone()),
                hint: hint.map(str::to_owned),
                ..Facts::default()
            },
            Self::Launch(launch::Error::NetDevice { pointer, hint, .. }) => Facts {
                code: Some("LAUNCH_FAILED"),
                phase: Some("namespaces"),
                config: Some(pointer.clone()),
                hint: hint.map(str::to_owned),
                ..Facts::default()
            },
            Self::Launch(launch::Error::IdMappedMount { index, hint, .. }) => Facts {
                code: Some("LAUNCH_FAILED"),
                phase: Some("rootfs"),
                config: Some(format!("/mounts/{index}")),
                hint: hint.map(str::to_owned),
                ..Facts::default()
            },
            Self::Launch(launch::Error::State(error)) | Self::State(error) => state_facts(error),
            Self::Launch(launch::Error::Hook(error)) | Self::Hook(error) => Facts {
                code: Some("HOOK_FAILED"),
                phase: Some("hooks"),
                config: Some(error.pointer.to_string()),
                ..Facts::default()
            },
            Self::Launch(launch::Error::Cgroup(_)) | Self::Cgroup(_) => Facts {
                code: Some("CGROUP_FAILED"),
                phase: Some("cgroup"),
                config: pointer_of(&self.to_string()),
                ..Facts::default()
            },
            Self::Launch(launch::Error::Resctrl(_)) | Self::Resctrl(_) => Facts {
                code: Some("RESCTRL_FAILED"),
                phase: Some("cgroup"),
                config: pointer_of(&self.to_string()),
                ..Facts::default()
            },
            Self::Launch(_) => Facts {
                code: Some("LAUNCH_FAILED"),
                config: pointer_of(&self.to_string()),
                ..Facts::default()
            },
            Self::Start(start::StartError::Init(error)) => init_facts(error),
            Self::Start(_) => Facts { code: Some("START_FAILED"), ..Facts::default() },
            Self::Request(_) => Facts { code: Some("USAGE"), ..Facts::default() },
            Self::Status { .. } => Facts { code: Some("WRONG_STATUS"), ..Facts::default() },
            Self::Host(_) | Self::System { .. } | Self::Ps(_) => Facts::default(),
        }
    }
}

fn init_facts(error: &launch::InitError) -> Facts {
    Facts {
        code: Some(match error.step {
            crate::wire::Step::FindExecutable => "EXECUTABLE_NOT_FOUND",
            crate::wire::Step::Exec => "EXEC_FAILED",
            crate::wire::Step::CreateContainerHook | crate::wire::Step::StartContainerHook => {
                "HOOK_FAILED"
            }
            _ => "INIT_FAILED",
        }),
        phase: Some(error.step.phase().name()),
        errno: Some(error.errno as i32),
        config: error.config.clone(),
        hint: error.hint.map(str::to_owned),
        ..Facts::default()
    }
}

fn state_facts(error: &crate::state::Error) -> Facts {
    use crate::state::Error;
    let (code, path) = match error {
        Error::Exists { .. } => ("EXISTS", None),
        Error::Missing { .. } => ("NOT_FOUND", None),
        Error::Root { path, .. } | Error::File { path, .. } => ("STATE_FAILED", Some(path.clone())),
        Error::Damaged { path, .. } => ("STATE_DAMAGED", Some(path.clone())),
        Error::Busy { .. } => ("BUSY", None),
    };
    Facts { code: Some(code), path, ..Facts::default() }
}

/// The JSON pointer that a sentence begins with, as those of the plan do.
fn pointer_of(sentence: &str) -> Option<String> {
    let (pointer, _) = sentence.split_once(": ")?;
    (pointer.starts_with('/') && !pointer.contains(' ')).then(|| pointer.to_owned())
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
