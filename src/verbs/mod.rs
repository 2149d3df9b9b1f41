//! Development copy; replaced by the real one.
#![allow(missing_docs)]
use crate::id::ContainerId;
use std::path::PathBuf;
pub mod features;
pub mod spec;
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ManagerChoice {
    Cgroupfs,
    Systemd,
    Disabled,
}
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rootless {
    Auto,
    True,
    False,
}
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    pub root: PathBuf,
    pub manager: ManagerChoice,
    pub rootless: Rootless,
}
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RootSwitch {
    PivotRoot,
    MoveMount,
}
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keyring {
    New,
    Inherit,
}
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateRequest {
    pub id: ContainerId,
    pub bundle: PathBuf,
    pub config: Option<PathBuf>,
    pub console_socket: Option<PathBuf>,
    pub pidfd_socket: Option<PathBuf>,
    pub pid_file: Option<PathBuf>,
    pub root_switch: RootSwitch,
    pub keyring: Keyring,
    pub preserve_fds: u32,
}
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Foreground,
    Detached,
}
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    Remove,
    Keep,
}
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subreaper {
    Set,
    Leave,
}
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRequest {
    pub create: CreateRequest,
    pub mode: Mode,
    pub keep: Keep,
    pub subreaper: Subreaper,
}
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KillScope {
    Init,
    All,
}
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KillRequest {
    pub id: ContainerId,
    pub signal: i32,
    pub scope: KillScope,
}
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteRequest {
    pub id: ContainerId,
    pub force: bool,
}
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExplainRequest {
    pub bundle: PathBuf,
    pub config: Option<PathBuf>,
    pub id: ContainerId,
}
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("container does not exist")]
    Unfinished,
    #[error(transparent)]
    Spec(#[from] crate::spec::Error),
}
impl crate::error::Report for Error {
    fn facts(&self) -> crate::error::Facts {
        match self {
            Self::Spec(e) => e.facts(),
            Self::Unfinished => Default::default(),
        }
    }
}
#[derive(Debug, Clone, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StateReport {
    pub oci_version: String,
    pub id: String,
    pub pid: i32,
    pub status: String,
    pub bundle: PathBuf,
    pub rootfs: PathBuf,
    pub created: String,
    #[serde(skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub annotations: std::collections::BTreeMap<String, String>,
    pub owner: String,
}
pub type Warnings = Vec<String>;
pub mod create {
    use super::*;
    pub fn create(_: &Context, r: &CreateRequest) -> Result<Warnings, Error> {
        crate::spec::load(&r.bundle, r.config.as_deref())?;
        Err(Error::Unfinished)
    }
}
pub mod start {
    use super::*;
    pub fn start(_: &Context, _: &ContainerId) -> Result<(), Error> {
        Err(Error::Unfinished)
    }
}
pub mod run {
    use super::*;
    pub fn run(_: &Context, _: &RunRequest) -> Result<u8, Error> {
        Err(Error::Unfinished)
    }
}
pub mod kill {
    use super::*;
    pub fn kill(_: &Context, _: &KillRequest) -> Result<(), Error> {
        Err(Error::Unfinished)
    }
}
pub mod delete {
    use super::*;
    pub fn delete(_: &Context, _: &DeleteRequest) -> Result<(), Error> {
        Err(Error::Unfinished)
    }
}
pub mod state {
    use super::*;
    pub fn state(_: &Context, _: &ContainerId) -> Result<StateReport, Error> {
        Err(Error::Unfinished)
    }
}
pub mod list {
    use super::*;
    pub fn list(_: &Context) -> Result<Vec<StateReport>, Error> {
        Ok(vec![])
    }
}
pub mod explain {
    use super::*;
    pub fn explain(_: &Context, _: &ExplainRequest) -> Result<String, Error> {
        Err(Error::Unfinished)
    }
}
