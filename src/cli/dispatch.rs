//! From options to requests, and from answers to text.

use std::borrow::Cow;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::options::{self, Globals, ListFormat, Options, Verb};
use super::output::{self, Layout};
use super::report::Reporter;
use super::{Caller, Error, root, signal, usage};
use crate::deadlines::Deadlines;
use crate::id::ContainerId;
use crate::launch::seal;
use crate::sys::process::{getegid, geteuid};
use crate::verbs::events::Pace;
use crate::verbs::gc::Mode as GcMode;
use crate::verbs::ps::{Listing, Process};
use crate::verbs::{
    self, Context, CreateRequest, DeleteRequest, EventsRequest, ExplainRequest, Keep, Keyring,
    KillRequest, KillScope, ManagerChoice, Mode, PsRequest, RootSwitch, Rootless, RunRequest,
    StateReport, Subreaper, UpdateRequest,
};

/// Carries out one command and gives its exit status.
///
/// `sealing` is what came of it, where it has been tried already.
pub fn dispatch(
    options: Options,
    caller: Caller,
    sealing: Option<Result<(), seal::Error>>,
    reporter: &mut Reporter,
) -> Result<u8, Error> {
    let Options { globals, verb } = options;
    if globals.version {
        return output::text(&version()).map(|()| 0);
    }
    let Some(verb) = verb else {
        let sentence = "no command given, see cloison --help".to_owned();
        return Err(Error::Usage { sentence });
    };
    if verb.enters() {
        match (sealing, caller) {
            (Some(tried), _) => tried?,
            (None, Caller::Command) => seal::ensure()?,
            (None, Caller::Guest) => {}
        }
    }
    reporter.debug(&format_args!("cloison {}: {verb:?}", verbs::features::VERSION));
    match verb {
        Verb::Run(run) => return self::run(&globals, run, reporter),
        Verb::Exec(exec) => {
            let request = super::exec::request(*exec)?;
            return Ok(verbs::exec::exec(&context(&globals)?, &request, &mut warn(reporter))?);
        }
        Verb::Create(create) => self::create(&globals, create, reporter),
        Verb::Start(start) => {
            Ok(verbs::start::start(&context(&globals)?, &id(&start.id)?, &mut warn(reporter))?)
        }
        Verb::State(state) => self::state(&globals, &state.id),
        Verb::Kill(kill) => self::kill(&globals, &kill),
        Verb::Delete(delete) => {
            let request = DeleteRequest { id: id(&delete.id)?, force: delete.force };
            Ok(verbs::delete::delete(&context(&globals)?, &request, &mut warn(reporter))?)
        }
        Verb::Pause(pause) => Ok(verbs::pause::pause(&context(&globals)?, &id(&pause.id)?)?),
        Verb::Resume(resume) => Ok(verbs::pause::resume(&context(&globals)?, &id(&resume.id)?)?),
        Verb::Update(update) => self::update(&globals, &update, reporter),
        Verb::Events(events) => self::events(&globals, &events, reporter),
        Verb::Ps(ps) => self::ps(&globals, ps),
        Verb::List(list) => self::list(&globals, &list, reporter),
        Verb::Gc(gc) => return self::gc(&globals, &gc, reporter),
        Verb::Spec(spec) => self::spec(&spec),
        Verb::Features => output::json(&verbs::features::features(), Layout::Indented),
        Verb::Explain(explain) => self::explain(&globals, explain),
        Verb::Help(help) => output::text(&usage::help(help.verb)?),
    }?;
    Ok(0)
}

/// What `--version` prints: engines read the first line up to the word `version`, and what follows
/// `commit:`.
fn version() -> String {
    let (version, commit) = (verbs::features::VERSION, verbs::features::commit());
    format!("cloison version {version}\ncommit: {commit}\nspec: {}\n", crate::spec::VERSION)
}

fn context(globals: &Globals) -> Result<Context, Error> {
    context_at(globals, root::choose(globals.root.as_deref())?)
}

fn context_at(globals: &Globals, root: PathBuf) -> Result<Context, Error> {
    let manager = match (globals.systemd_cgroup, globals.cgroup_manager) {
        (true, _) | (_, Some(options::CgroupManager::Systemd)) => ManagerChoice::Systemd,
        (_, Some(options::CgroupManager::Disabled)) => ManagerChoice::Disabled,
        (_, Some(options::CgroupManager::Cgroupfs) | None) => ManagerChoice::Cgroupfs,
    };
    let rootless = match globals.rootless {
        options::Rootless::Auto => Rootless::Auto,
        options::Rootless::True => Rootless::True,
        options::Rootless::False => Rootless::False,
    };
    let mut deadlines = Deadlines::default();
    for (name, wait) in &globals.deadline {
        if let Some(deadline) = deadlines.named(name) {
            *deadline = *wait;
        }
    }
    Ok(Context { root, manager, rootless, deadlines, timing: globals.stopwatch.clone() })
}

/// Warnings of a verb, to where the caller wants to see them.
fn warn(reporter: &mut Reporter) -> impl FnMut(&dyn std::fmt::Display) {
    |warning| reporter.warning(warning)
}

fn id(text: &str) -> Result<ContainerId, Error> {
    Ok(text.parse()?)
}

fn absolute(path: &Path) -> Result<PathBuf, Error> {
    std::path::absolute(path).map_err(Error::WorkingDirectory)
}

fn create_request(create: options::Create) -> Result<CreateRequest, Error> {
    Ok(CreateRequest {
        id: id(&create.id)?,
        bundle: absolute(&create.bundle.bundle)?,
        config: create.bundle.config,
        console_socket: create.console_socket,
        pidfd_socket: create.pidfd_socket,
        pid_file: create.pid_file,
        root_switch: if create.no_pivot { RootSwitch::MoveMount } else { RootSwitch::PivotRoot },
        keyring: if create.no_new_keyring { Keyring::Inherit } else { Keyring::New },
        preserve_fds: create.preserve_fds,
    })
}

fn create(
    globals: &Globals,
    create: options::Create,
    reporter: &mut Reporter,
) -> Result<(), Error> {
    let request = create_request(create)?;
    Ok(verbs::create::create(&context(globals)?, &request, &mut warn(reporter))?)
}

fn run(globals: &Globals, run: options::Run, reporter: &mut Reporter) -> Result<u8, Error> {
    let request = RunRequest {
        create: create_request(run.create)?,
        mode: if run.detach { Mode::Detached } else { Mode::Foreground },
        keep: if run.keep { Keep::Keep } else { Keep::Remove },
        subreaper: if run.no_subreaper { Subreaper::Leave } else { Subreaper::Set },
    };
    Ok(verbs::run::run(&context(globals)?, &request, &mut warn(reporter))?)
}

fn state(globals: &Globals, name: &str) -> Result<(), Error> {
    let report = verbs::state::state(&context(globals)?, &id(name)?)?;
    output::json(&report, Layout::Indented)
}

fn kill(globals: &Globals, kill: &options::Kill) -> Result<(), Error> {
    let request = KillRequest {
        id: id(&kill.id)?,
        signal: signal::parse(&kill.signal)?,
        scope: if kill.all { KillScope::All } else { KillScope::Init },
    };
    Ok(verbs::kill::kill(&context(globals)?, &request)?)
}

fn list(globals: &Globals, list: &options::List, reporter: &mut Reporter) -> Result<(), Error> {
    let context = context_at(globals, root::existing(globals.root.as_deref())?)?;
    let reports = verbs::list::list(&context, &mut warn(reporter))?;
    match (list.quiet, list.format) {
        (true, _) => output::lines(reports.iter().map(|report| report.id.as_str())),
        (false, ListFormat::Json) => output::json(&reports, Layout::Compact),
        (false, ListFormat::Table) => output::table(rows_of(&reports)),
    }
}

/// Lists what was found. The status is that of an error when it could not all be removed.
fn gc(globals: &Globals, gc: &options::Gc, reporter: &mut Reporter) -> Result<u8, Error> {
    let context = context_at(globals, root::existing(globals.root.as_deref())?)?;
    let mode = if gc.dry_run { GcMode::List } else { GcMode::Remove };
    let remnants = verbs::gc::gc(&context, mode, &mut warn(reporter))?;
    match gc.format {
        ListFormat::Json => output::json(&remnants, Layout::Compact)?,
        ListFormat::Table => {
            let head = ["ID", "WHY", "PROCESSES", "REMOVED", "CGROUP"].map(Cow::from);
            let rows = remnants.iter().map(|remnant| {
                let cgroups = remnant.cgroups.iter().map(|path| path.display().to_string());
                [
                    Cow::from(&remnant.id),
                    remnant.why.name().into(),
                    remnant.pids.len().to_string().into(),
                    if remnant.removed { "yes" } else { "no" }.into(),
                    cgroups.collect::<Vec<_>>().join(" ").into(),
                ]
            });
            output::table(std::iter::once(head).chain(rows))?;
        }
    }
    let left = mode == GcMode::Remove && remnants.iter().any(|remnant| !remnant.removed);
    Ok(if left { crate::error::FAILURE } else { 0 })
}

fn rows_of(reports: &[StateReport]) -> impl Iterator<Item = [Cow<'_, str>; 6]> + Clone {
    let head = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(Cow::from);
    let rows = reports.iter().map(|report| {
        [
            Cow::from(&report.id),
            report.pid.to_string().into(),
            report.status.into(),
            report.bundle.to_string_lossy(),
            (&report.created).into(),
            (&report.owner).into(),
        ]
    });
    std::iter::once(head).chain(rows)
}

fn update(
    globals: &Globals,
    update: &options::Update,
    reporter: &mut Reporter,
) -> Result<(), Error> {
    let request = UpdateRequest {
        id: id(&update.id)?,
        limits: super::update::limits(update)?,
        l3_cache_schema: update.l3_cache_schema.clone(),
        mem_bw_schema: update.mem_bw_schema.clone(),
    };
    Ok(verbs::update::update(&context(globals)?, &request, &mut warn(reporter))?)
}

fn events(
    globals: &Globals,
    events: &options::Events,
    reporter: &mut Reporter,
) -> Result<(), Error> {
    let pace = if events.stats { Pace::Once } else { Pace::Every(events.interval) };
    let request = EventsRequest { id: id(&events.id)?, pace };
    let mut written = Ok(());
    let mut sink = |event: &verbs::events::Event| {
        written = output::json(event, Layout::Compact);
        if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    verbs::events::events(&context(globals)?, &request, &mut sink, &mut warn(reporter))?;
    written
}

fn ps(globals: &Globals, ps: options::Ps) -> Result<(), Error> {
    let context = context(globals)?;
    let id = id(&ps.id)?;
    if ps.format == ListFormat::Json {
        return output::json(&verbs::ps::pids(&context, &id)?, Layout::Compact);
    }
    match verbs::ps::list(&context, &PsRequest { id, options: ps.options })? {
        Listing::Ps(text) => output::text(&text),
        Listing::Own(processes) => output::table(rows_of_processes(&processes)),
    }
}

fn rows_of_processes(processes: &[Process]) -> impl Iterator<Item = [Cow<'_, str>; 6]> + Clone {
    let head = ["UID", "PID", "PPID", "S", "TIME", "CMD"].map(Cow::from);
    let rows = processes.iter().map(|process| {
        let (minutes, seconds) = (process.time / 60, process.time % 60);
        [
            Cow::from(&process.user),
            process.pid.to_string().into(),
            process.parent.to_string().into(),
            process.state.to_string().into(),
            format!("{:02}:{:02}:{seconds:02}", minutes / 60, minutes % 60).into(),
            (&process.command).into(),
        ]
    });
    std::iter::once(head).chain(rows)
}

fn spec(spec: &options::Spec) -> Result<(), Error> {
    let form = if spec.rootless {
        verbs::spec::Form::Rootless { uid: geteuid(), gid: getegid() }
    } else {
        verbs::spec::Form::Root
    };
    Ok(verbs::spec::write(&spec.bundle, form)?)
}

fn explain(globals: &Globals, explain: options::Explain) -> Result<(), Error> {
    let request = ExplainRequest {
        bundle: absolute(&explain.bundle.bundle)?,
        config: explain.bundle.config,
        id: id(&explain.id)?,
    };
    output::text(&verbs::explain::explain(&context(globals)?, &request)?)
}

#[cfg(test)]
mod tests {
    use super::super::table;
    use super::*;
    use std::ffi::OsString;

    fn options(line: &str) -> Options {
        let args = line.split(' ').map(OsString::from).collect();
        let mut command = options::command();
        let args = super::super::normalise::normalise(args, &mut command);
        options::parse(&args, command).unwrap()
    }

    fn created(line: &str) -> CreateRequest {
        match options(line).verb {
            Some(Verb::Create(create)) => create_request(create).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    /// CLI-7
    #[test]
    fn the_version_has_three_lines_that_engines_split() {
        let text = version();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], format!("cloison version {}", env!("CARGO_PKG_VERSION")));
        assert!(lines[1].starts_with("commit: "));
        assert_eq!(lines[2..], ["spec: 1.3.0"]);
    }

    /// CLI-1: as containerd's shim, conmon and a person call.
    #[test]
    fn options_of_a_verb_may_stand_on_both_sides_of_the_id() {
        let before = created("c create --bundle /b --pid-file p --no-pivot --preserve-fds 2 x");
        let after = created("c create x -b /b -pid-file=p -no-pivot --preserve-fds=2");
        assert_eq!(before, after);
        assert_eq!(before.bundle, Path::new("/b"));
        assert_eq!(before.pid_file.as_deref(), Some(Path::new("p")));
        assert_eq!(before.root_switch, RootSwitch::MoveMount);
        assert_eq!(before.keyring, Keyring::New);
        assert_eq!(before.preserve_fds, 2);
    }

    /// CLI-4
    #[test]
    fn the_bundle_is_absolute_and_other_files_are_as_given() {
        let request = created("c create x -f other.json --console-socket s");
        assert_eq!(request.bundle, std::env::current_dir().unwrap());
        assert_eq!(request.config.as_deref(), Some(Path::new("other.json")));
        assert_eq!(request.console_socket.as_deref(), Some(Path::new("s")));
    }

    /// CLI-1
    #[test]
    fn the_manager_of_cgroups_is_named_once() {
        let manager = |line: &str| context_at(&options(line).globals, "/r".into()).unwrap().manager;
        assert_eq!(manager("c list"), ManagerChoice::Cgroupfs);
        assert_eq!(manager("c --systemd-cgroup list"), ManagerChoice::Systemd);
        assert_eq!(manager("c --cgroup-manager systemd list"), ManagerChoice::Systemd);
        assert_eq!(manager("c --cgroup-manager=disabled list"), ManagerChoice::Disabled);
        let both = "c --systemd-cgroup --cgroup-manager cgroupfs list";
        let args: Vec<OsString> = both.split(' ').map(OsString::from).collect();
        assert!(options::parse(&args, options::command()).is_err());
    }

    /// RES-3
    #[test]
    fn an_empty_table_is_its_head() {
        let mut text = Vec::new();
        table::write(rows_of(&[]), &mut text).unwrap();
        assert_eq!(
            String::from_utf8(text).unwrap(),
            "ID          PID         STATUS      BUNDLE      CREATED     OWNER\n"
        );
    }
}
