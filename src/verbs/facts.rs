//! What a program can switch on when an operation has failed (specs/50-compat.md, LOG-4).

use super::create::RequestError;
use super::start::StartError;
use super::{Error, ps};
use crate::error::{Facts, Report};
use crate::wire::Step;
use crate::{cgroup, launch, resctrl, state};
use std::path::{Path, PathBuf};

impl Report for Error {
    fn facts(&self) -> Facts {
        match self {
            Self::Spec(error) => error.facts(),
            Self::Host(_) => code("HOST_UNREADABLE"),
            Self::Plan(error) => Facts {
                phase: Some("plan"),
                config: pointer_of(&error.to_string()),
                ..code("CONFIG_INVALID")
            },
            Self::Launch(error) => of_launch(error),
            Self::State(error) => of_state(error),
            Self::Hook(error) => of_hook(error),
            Self::Cgroup(error) => of_cgroup(error),
            Self::Resctrl(error) => of_resctrl(error),
            Self::Start(StartError::Init(error)) => of_init(error),
            Self::Start(StartError::Link { .. }) => code("START_FAILED"),
            Self::Request(error) => of_request(error),
            Self::Status { .. } => code("WRONG_STATUS"),
            Self::Ps(ps::Error::Execute { .. } | ps::Error::NoPids { .. }) => code("PS_FAILED"),
            Self::Ps(ps::Error::Refused { .. }) => code("USAGE"),
            Self::System { .. } => code("SYSTEM_FAILED"),
        }
    }
}

fn code(code: &'static str) -> Facts {
    Facts { code: Some(code), ..Facts::default() }
}

fn of_launch(error: &launch::Error) -> Facts {
    use launch::Error;
    let text = |hint: &Option<&'static str>| hint.map(str::to_owned);
    let failed = |phase| Facts {
        phase: Some(phase),
        config: pointer_of(&error.to_string()),
        ..code("LAUNCH_FAILED")
    };
    match error {
        Error::State(error) => of_state(error),
        Error::Cgroup(error) => of_cgroup(error),
        Error::Resctrl(error) => of_resctrl(error),
        Error::Hook(error) => of_hook(error),
        Error::Init(error) => of_init(error),
        Error::Enter { hint, .. } => {
            Facts { phase: Some("namespaces"), hint: text(hint), ..code("ENTER_FAILED") }
        }
        Error::Clone { hint, .. } => {
            Facts { phase: Some("namespaces"), hint: text(hint), ..code("CLONE_FAILED") }
        }
        Error::Open { pointer, path, .. } => Facts {
            config: Some(pointer.clone()).filter(|pointer| pointer.starts_with('/')),
            path: Some(PathBuf::from(path)),
            ..failed("rootfs")
        },
        Error::NamespaceKind { path, .. } => {
            Facts { path: Some(PathBuf::from(path)), ..failed("namespaces") }
        }
        Error::IdMaps { path, hint, .. } => {
            Facts { path: Some(PathBuf::from(path)), hint: text(hint), ..failed("namespaces") }
        }
        Error::NetDevice { hint, .. } => Facts { hint: text(hint), ..failed("namespaces") },
        Error::JoinPid { .. }
        | Error::NoIdHelper { .. }
        | Error::IdHelper { .. }
        | Error::MountUsers { .. } => failed("namespaces"),
        Error::MountNamespace { path, hint, .. } | Error::IdMappedMount { path, hint, .. } => {
            Facts { path: Some(PathBuf::from(path)), hint: text(hint), ..failed("rootfs") }
        }
        Error::Agent { path, .. } => Facts { path: Some(PathBuf::from(path)), ..failed("exec") },
        Error::Seccomp(_) | Error::Affinity { .. } | Error::OomScore { .. } => failed("process"),
        Error::PidFile { path, .. } => Facts { path: Some(path.clone()), ..code("LAUNCH_FAILED") },
        Error::Late { .. } => code("LATE"),
        Error::Link { .. }
        | Error::InitEnded { .. }
        | Error::NotExecuted { .. }
        | Error::Send { .. }
        | Error::Own { .. } => code("LAUNCH_FAILED"),
    }
}

fn of_hook(error: &launch::HookError) -> Facts {
    Facts {
        phase: Some("hooks"),
        path: Some(PathBuf::from(&error.path)),
        config: Some(error.pointer.to_string()),
        ..code("HOOK_FAILED")
    }
}

fn of_cgroup(error: &cgroup::Error) -> Facts {
    Facts {
        phase: Some("cgroup"),
        path: error.path().map(Path::to_owned),
        config: pointer_of(&error.to_string()),
        hint: error.hint().map(str::to_owned),
        ..code("CGROUP_FAILED")
    }
}

fn of_resctrl(error: &resctrl::Error) -> Facts {
    Facts {
        phase: Some("cgroup"),
        path: Some(error.path().to_owned()),
        config: pointer_of(&error.to_string()),
        ..code("RESCTRL_FAILED")
    }
}

fn of_init(error: &launch::InitError) -> Facts {
    Facts {
        phase: Some(error.step.phase().name()),
        errno: Some(error.errno as i32),
        config: error.config.clone(),
        hint: error.hint.map(str::to_owned),
        ..code(match error.step {
            Step::FindExecutable => "EXECUTABLE_NOT_FOUND",
            Step::Exec => "EXEC_FAILED",
            Step::CreateContainerHook | Step::StartContainerHook => "HOOK_FAILED",
            _ => "INIT_FAILED",
        })
    }
}

fn of_state(error: &state::Error) -> Facts {
    use state::Error;
    match error {
        Error::Exists { .. } => code("EXISTS"),
        Error::Missing { .. } => code("NOT_FOUND"),
        Error::Root { path, .. } | Error::File { path, .. } => {
            Facts { path: Some(path.clone()), ..code("STATE_FAILED") }
        }
        Error::Damaged { path, .. } => Facts { path: Some(path.clone()), ..code("STATE_DAMAGED") },
        Error::Exposed { path, .. } => Facts { path: Some(path.clone()), ..code("STATE_EXPOSED") },
        Error::Paused { source, .. } => of_cgroup(source),
        Error::Busy { .. } => code("BUSY"),
        Error::Crowded { .. } => code("LATE"),
    }
}

fn of_request(error: &RequestError) -> Facts {
    match error {
        RequestError::Socket { path, .. } | RequestError::BundleEncoding { path } => {
            Facts { path: Some(path.clone()), ..code("USAGE") }
        }
        RequestError::NoConsoleSocket => {
            Facts { config: Some("/process/terminal".to_owned()), ..code("USAGE") }
        }
        RequestError::NoProgram => Facts { config: Some("/process".to_owned()), ..code("USAGE") },
        RequestError::StrayConsoleSocket | RequestError::MissingDescriptor { .. } => code("USAGE"),
        RequestError::KeptTemplate(_) | RequestError::Template(_) => code("STATE_DAMAGED"),
    }
}

/// The JSON pointer that a sentence begins with, as those of the plan do.
fn pointer_of(sentence: &str) -> Option<String> {
    let (pointer, _) = sentence.split_once(": ")?;
    (pointer.starts_with('/') && !pointer.contains(' ')).then(|| pointer.to_owned())
}
