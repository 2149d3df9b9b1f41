//! `exec`: another program in a container that is there.

use super::create::{Attachment, RequestError, check_terminal, handover};
use super::foreground::{Attended, Foreground};
use super::{Context, Error, Mode, Warn, created_record, descriptors};
use crate::cgroup::Below;
use crate::host;
use crate::id::ContainerId;
use crate::launch::enter::{self, Container, EnterWish};
use crate::plan::exec::{Changes, ExecPlan, Surroundings, complete};
use crate::plan::{self, Descriptors};
use crate::spec::{self, Loaded};
use crate::state::{Entry, Record, Status};
use crate::timing::Phase;
use std::path::PathBuf;

/// What is to be executed where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecRequest {
    /// Name of the container.
    pub id: ContainerId,
    /// The process.
    pub process: Asked,
    /// Whether to wait for its end.
    pub mode: Mode,
    /// Local socket that gets the terminal's master.
    pub console_socket: Option<PathBuf>,
    /// Local socket that gets a pidfd of the process.
    pub pidfd_socket: Option<PathBuf>,
    /// File that gets the process id, once the program was executed.
    pub pid_file: Option<PathBuf>,
    /// Descriptors from 3 on that the program gets.
    pub preserve_fds: u32,
    /// Places below the container's cgroup where it goes, instead of that itself.
    pub below: Vec<Below>,
    /// What to do when the container is paused.
    pub paused: Paused,
}

/// Which process is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// The container's template with changes.
    Changed(Changes),
    /// One that a file describes in full.
    Described {
        /// The file.
        file: PathBuf,
        /// Whether it gets a terminal whatever the file says.
        terminal: bool,
    },
}

/// What to do when a container is paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paused {
    /// Nothing: the process would only run when it is resumed.
    Refuse,
    /// Wait until it is resumed (`--ignore-paused`).
    Wait,
}

/// Executes a program in a container; the exit status of the program, or 128 + signal; 0 when
/// detached.
///
/// # Errors
/// Whatever stands in its way; no process is left then, and no pid file was written.
pub fn exec(context: &Context, request: &ExecRequest, warn: Warn<'_>) -> Result<u8, Error> {
    let entry = context.store().open(&request.id)?;
    let record = created_record(&entry)?;
    let container = living(&entry, &record, request.paused)?;
    let descriptors = descriptors::of_caller(request.preserve_fds);
    context.timing.done(Phase::State);
    let plan = resolve(&entry, &record, request, descriptors)?;
    for warning in &plan.warnings {
        warn(warning);
    }
    let attachment = match request.mode {
        Mode::Foreground => Attachment::Attached,
        Mode::Detached => Attachment::Detached,
    };
    let terminal = plan.wanted.process.terminal.is_some();
    check_terminal(terminal, attachment, request.console_socket.as_deref())?;
    descriptors::check(descriptors)?;
    let wish = EnterWish {
        handover: handover(
            request.console_socket.as_ref(),
            request.pidfd_socket.as_ref(),
            request.pid_file.as_deref(),
            context.deadlines.socket,
        )?,
        below: request.below.clone(),
        deadlines: context.deadlines,
    };
    context.timing.done(Phase::Plan);
    if request.mode == Mode::Detached {
        enter(container, &plan, wish, warn)?;
        context.timing.done(Phase::Start);
        return Ok(0);
    }
    let foreground = Foreground::begin(terminal)?;
    let aside: Warn<'_> = &mut |warning| foreground.warn(warn, warning);
    let entered = enter(container, &plan, wish, aside)?;
    context.timing.done(Phase::Start);
    let attended = Attended {
        pid: entered.pid,
        pidfd: entered.pidfd,
        terminal: entered.terminal,
        readiness: None,
    };
    let exit = foreground.attend(attended, warn);
    context.timing.done(Phase::Program);
    Ok(exit?.status())
}

fn enter(
    container: Container<'_>,
    plan: &ExecPlan,
    wish: EnterWish,
    warn: Warn<'_>,
) -> Result<enter::Entered, Error> {
    let entered = enter::enter(container, plan, wish)?;
    for warning in &entered.warnings {
        warn(warning);
    }
    Ok(entered)
}

/// The container with its first process, in a state that takes another one.
fn living<'a>(
    entry: &'a Entry,
    record: &'a Record,
    paused: Paused,
) -> Result<Container<'a>, Error> {
    let (status, pidfd) = entry.status(Some(record))?;
    if status == Status::Paused && paused == Paused::Refuse {
        return Err(Error::status(
            "cannot exec in a paused container (use --ignore-paused to override)",
        ));
    }
    match (record.init, pidfd) {
        (Some(init), Some(pidfd)) => Ok(Container { entry, record, pid: init.pid, pidfd }),
        _ => Err(Error::status("cannot exec in a stopped container")),
    }
}

fn resolve(
    entry: &Entry,
    record: &Record,
    request: &ExecRequest,
    descriptors: Descriptors,
) -> Result<ExecPlan, Error> {
    let template = spec::parse(&entry.template()?).map_err(RequestError::KeptTemplate)?;
    let loaded = asked(&template, &request.process)?;
    let around = Surroundings {
        id: &request.id,
        users: record.users,
        within_users: host::outer_uid().is_some(),
        own_keyring: record.keyring,
        grantable: host::grantable()?,
        selinux: host::selinux(),
        descriptors,
    };
    Ok(plan::exec::resolve(&loaded, around)?)
}

/// The process that is asked for, in the place of the template's.
fn asked(template: &Loaded, asked: &Asked) -> Result<Loaded, Error> {
    let own = template.spec.process().clone();
    let (process, warnings) = match asked {
        Asked::Changed(changes) => (own.map(|own| changes.clone().apply(own)), Vec::new()),
        Asked::Described { file, terminal } => {
            let given = spec::load_process(file)?;
            let mut process = given.spec.process().clone();
            if let (Some(process), Some(own)) = (&mut process, &own) {
                *process = complete(process.clone(), own);
            }
            if let Some(process) = process.as_mut().filter(|_| *terminal) {
                process.set_terminal(Some(true));
            }
            (process, given.warnings)
        }
    };
    let mut loaded = Loaded { warnings, ..template.clone() };
    loaded.spec.set_process(process);
    Ok(loaded)
}
