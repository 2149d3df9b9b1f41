//! `create`: a container that waits to be started (runtime.md, Create).

use super::{Context, Error, Rootless, Warn};
use crate::deadlines::{Deadlines, milliseconds};
use crate::host::cgroup::Own;
use crate::host::{Host, Privilege, Wanted};
use crate::id::ContainerId;
use crate::launch::{self, Handover, Launched, Until, Wish};
use crate::log::{Precision, rfc3339};
use crate::plan::cgroup::ManagerChoice;
use crate::plan::{self, Plan, rootfs::Switch};
use crate::spec::{self, Loaded};
use crate::sys::{Errno, socket};
use crate::timing::{Phase, Timing};
use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What is to be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateRequest {
    /// Name of the container.
    pub id: ContainerId,
    /// The bundle, absolute.
    pub bundle: PathBuf,
    /// Another file than the bundle's config.json.
    pub config: Option<PathBuf>,
    /// Local socket that gets the terminal's master.
    pub console_socket: Option<PathBuf>,
    /// Local socket that gets a pidfd of the container's process.
    pub pidfd_socket: Option<PathBuf>,
    /// File that gets the process id.
    pub pid_file: Option<PathBuf>,
    /// How the root directory is changed.
    pub root_switch: RootSwitch,
    /// Which session keyring the container has.
    pub keyring: Keyring,
    /// Descriptors from 3 on that the program gets.
    pub preserve_fds: u32,
}

impl CreateRequest {
    /// A container of the bundle at `bundle` (absolute), as the command makes it without options.
    pub fn new(id: ContainerId, bundle: impl Into<PathBuf>) -> Self {
        Self {
            id,
            bundle: bundle.into(),
            config: None,
            console_socket: None,
            pidfd_socket: None,
            pid_file: None,
            root_switch: RootSwitch::PivotRoot,
            keyring: Keyring::New,
            preserve_fds: 0,
        }
    }
}

/// How the root directory is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RootSwitch {
    /// By pivot_root(2).
    PivotRoot,
    /// By moving the mount (`--no-pivot`).
    MoveMount,
}

/// Which session keyring the container has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keyring {
    /// A new one.
    New,
    /// The caller's (`--no-new-keyring`).
    Inherit,
}

/// Whether the command stays with the container's terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attachment {
    Attached,
    Detached,
}

/// What the caller asks for does not go with the configuration.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// Nobody would hold the terminal.
    #[error(
        "/process/terminal: cannot allocate tty if cloison will detach without setting console socket"
    )]
    NoConsoleSocket,
    /// There is nothing to run.
    #[error("/process: missing, there is no program to start")]
    NoProgram,
    /// There is no terminal to send.
    #[error("cannot use console socket if cloison will not detach or allocate tty")]
    StrayConsoleSocket,
    /// The state of a container is JSON, which is UTF-8.
    #[error("bundle path {path:?} is not UTF-8")]
    BundleEncoding {
        /// The path.
        path: PathBuf,
    },
    /// A socket that does not answer.
    #[error("connect to {option} {path}")]
    Socket {
        /// The option.
        option: &'static str,
        /// The path.
        path: PathBuf,
        /// The cause.
        source: Errno,
    },
    /// A descriptor that was promised and is not there.
    #[error(
        "unable to stat preserved-fd {fd}: --preserve-fds or LISTEN_FDS promise it, but it is not open"
    )]
    MissingDescriptor {
        /// Its number.
        fd: i32,
    },
    /// What was kept for later processes makes no sense any more.
    #[error("read the configuration that was kept for later processes")]
    KeptTemplate(#[source] spec::ParseError),
    /// Later processes need what cannot be kept.
    #[error("keep the configuration for later processes")]
    Template(#[source] serde_json::Error),
}

/// Creates a container.
///
/// # Errors
/// Whatever stands in its way; nothing of it is left then.
pub fn create(context: &Context, request: &CreateRequest, warn: Warn<'_>) -> Result<(), Error> {
    let prepared = prepare(context, request, Until::Created, Attachment::Detached, warn)?;
    prepared.launch(context, warn).map(drop)
}

/// A container that can be made.
#[derive(Debug)]
pub(super) struct Prepared {
    pub plan: Plan,
    wish: Wish,
}

/// Everything that can be found out before anything is made.
pub(super) fn prepare(
    context: &Context,
    request: &CreateRequest,
    until: Until,
    attachment: Attachment,
    warn: Warn<'_>,
) -> Result<Prepared, Error> {
    if request.bundle.to_str().is_none() {
        return Err(RequestError::BundleEncoding { path: request.bundle.clone() }.into());
    }
    let loaded = spec::load(&request.bundle, request.config.as_deref())?;
    context.timing.done(Phase::Config);
    let readiness = super::readiness::directory(context, &request.id);
    let (plan, _) = resolve(context, request, &loaded, readiness.as_deref())?;
    for warning in &plan.warnings {
        warn(warning);
    }
    if until == Until::Started && plan.process.is_none() {
        return Err(RequestError::NoProgram.into());
    }
    let mut wish = wish(request, &loaded, &plan, until, attachment, context.deadlines)?;
    wish.timing = context.timing.clone();
    context.timing.done(Phase::Plan);
    Ok(Prepared { plan, wish })
}

impl Prepared {
    /// Makes the container and goes as far as asked.
    pub(super) fn launch(self, context: &Context, warn: Warn<'_>) -> Result<Launched, Error> {
        let launched = launch::launch(&context.store(), &self.plan, self.wish)?;
        for warning in &launched.warnings {
            warn(warning);
        }
        Ok(launched)
    }
}

/// The plan of a request on this host.
pub(super) fn resolve(
    context: &Context,
    request: &CreateRequest,
    loaded: &Loaded,
    readiness: Option<&Path>,
) -> Result<(Plan, Host), Error> {
    let linux = loaded.spec.linux().as_ref();
    let host = Host::probe(Wanted {
        own_cgroup: whose_cgroup(context.manager, loaded),
        resctrl: linux.is_some_and(|linux| linux.intel_rdt().is_some()),
    })?;
    let request = plan::Request {
        id: &request.id,
        bundle: &request.bundle,
        manager: context.manager,
        privilege: match context.rootless {
            Rootless::Auto => host.privilege(),
            Rootless::True => Privilege::Confined { uid: host.outer_uid.unwrap_or(host.euid) },
            Rootless::False => Privilege::Full,
        },
        root_switch: match request.root_switch {
            RootSwitch::PivotRoot => Switch::PivotRoot,
            RootSwitch::MoveMount => Switch::MoveMount,
        },
        new_keyring: request.keyring == Keyring::New,
        readiness,
        descriptors: super::descriptors::of_caller(request.preserve_fds),
    };
    let plan = plan::resolve(loaded, &request, &host)?;
    Ok((plan, host))
}

/// Only a relative cgroup lies near the caller's own, and only who may be refused one of their own
/// stays in it.
fn whose_cgroup(manager: ManagerChoice, loaded: &Loaded) -> Own {
    if manager == ManagerChoice::Disabled || !crate::host::is_root() {
        return Own::Read;
    }
    let linux = loaded.spec.linux().as_ref();
    let path = linux.and_then(|linux| linux.cgroups_path().as_deref());
    match path.filter(|path| !path.as_os_str().is_empty()) {
        Some(path) if !path.is_absolute() => Own::Read,
        _ => Own::Skip,
    }
}

fn wish(
    request: &CreateRequest,
    loaded: &Loaded,
    plan: &Plan,
    until: Until,
    attachment: Attachment,
    deadlines: Deadlines,
) -> Result<Wish, RequestError> {
    check_terminal(plan.has_terminal(), attachment, request.console_socket.as_deref())?;
    super::descriptors::check(plan.descriptors)?;
    Ok(Wish {
        until,
        handover: handover(
            request.console_socket.as_ref(),
            request.pidfd_socket.as_ref().or(plan.pidfd_receiver.as_ref()),
            request.pid_file.as_deref(),
            deadlines.socket,
        )?,
        timing: Timing::default(),
        template: spec::template(&loaded.spec).map_err(RequestError::Template)?,
        now: rfc3339(std::time::SystemTime::now(), Precision::Nanoseconds),
        deadlines,
    })
}

/// A terminal goes either to the caller's own, or over a socket to whoever detaches.
pub(super) fn check_terminal(
    terminal: bool,
    attachment: Attachment,
    socket: Option<&Path>,
) -> Result<(), RequestError> {
    match (terminal, attachment, socket) {
        (true, Attachment::Detached, None) => Err(RequestError::NoConsoleSocket),
        (true, Attachment::Detached, Some(_)) | (_, _, None) => Ok(()),
        (_, _, Some(_)) => Err(RequestError::StrayConsoleSocket),
    }
}

/// Connects to everybody who is to be told of the process.
pub(super) fn handover(
    console: Option<&PathBuf>,
    pidfd: Option<&PathBuf>,
    pid_file: Option<&Path>,
    patience: Duration,
) -> Result<Handover, RequestError> {
    let connect = |option, path: Option<&PathBuf>| {
        path.map(|path| connect(option, path, patience)).transpose()
    };
    Ok(Handover {
        console_socket: connect("--console-socket", console)?,
        pid_file: pid_file.map(Path::to_owned),
        pidfd_socket: connect("--pidfd-socket", pidfd)?,
    })
}

fn connect(option: &'static str, path: &Path, patience: Duration) -> Result<OwnedFd, RequestError> {
    let failed = |source| RequestError::Socket { option, path: path.to_owned(), source };
    let c_path = CString::new(path.as_os_str().as_bytes()).map_err(|_| failed(Errno::EINVAL))?;
    socket::connect_within(&c_path, socket::Kind::Stream, milliseconds(patience)).map_err(failed)
}
