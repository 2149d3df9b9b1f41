//! Verbs and options, as runc has them (specs/50-compat.md, CLI-1).

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use super::quantity;
use crate::deadlines::Deadlines;
use crate::timing::Timing;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

/// A whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "cloison",
    about = "Runs OCI containers without a daemon",
    disable_version_flag = true,
    disable_help_subcommand = true,
    // Callers put their own options behind those that they were configured with.
    args_override_self = true,
    override_usage = "cloison [GLOBAL OPTIONS] COMMAND [OPTIONS] [ARGUMENTS]"
)]
pub struct Options {
    #[command(flatten)]
    pub globals: Globals,
    #[command(subcommand)]
    pub verb: Option<Verb>,
}

/// Options in front of the verb.
#[derive(Debug, Args)]
pub struct Globals {
    /// Directory for the state of containers, best on a tmpfs
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// File for errors, besides standard error
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
    /// Format of the log
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,
    /// What to log
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<LogLevel>,
    /// Log everything
    #[arg(long)]
    pub debug: bool,
    /// Say on standard error, as JSON, how many microseconds each phase took
    #[arg(long)]
    pub timing: bool,
    /// What measures them.
    #[arg(skip)]
    pub stopwatch: Timing,
    /// Leave cgroups to systemd; linux.cgroupsPath is SLICE:PREFIX:NAME
    #[arg(long, conflicts_with = "cgroup_manager")]
    pub systemd_cgroup: bool,
    /// Who makes cgroups
    #[arg(long, value_name = "MANAGER")]
    pub cgroup_manager: Option<CgroupManager>,
    /// Whether to go on where cgroups cannot be changed for want of permission
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub rootless: Rootless,
    /// Longest wait for one of lock, end, freeze, setup, hook, systemd, socket, ready
    #[arg(long, value_name = "WHAT=SECONDS", value_parser = deadline)]
    pub deadline: Vec<(String, Duration)>,
    /// Print the version
    #[arg(short = 'v', short_alias = 'V', long)]
    pub version: bool,
}

/// `WHAT=SECONDS`, with a fraction if need be.
fn deadline(text: &str) -> Result<(String, Duration), String> {
    let (name, value) = text.split_once('=').ok_or("WHAT=SECONDS is wanted")?;
    if Deadlines::default().named(name).is_none() {
        return Err(format!("nothing is waited for that is called {name:?}"));
    }
    let seconds = value.parse::<f64>().ok().filter(|seconds| *seconds > 0.0);
    let wait = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    // More would overflow the clock.
    let wait = wait.filter(|wait| *wait <= Duration::from_secs(u32::MAX.into()));
    Ok((name.to_owned(), wait.ok_or_else(|| format!("{value:?} is no number of seconds"))?))
}

/// Format of the log.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

/// What to log.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum LogLevel {
    Error,
    #[value(alias = "warn", alias = "info")]
    Warning,
    Debug,
}

/// Who makes cgroups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CgroupManager {
    Cgroupfs,
    Systemd,
    Disabled,
}

/// Whether to tolerate missing permissions on cgroups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Rootless {
    Auto,
    True,
    False,
}

/// The verbs that exist. Only the options of the one that is called are ever defined, as defining
/// all takes longer than most verbs.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum Verb {
    /// Create a container, whose process waits for start
    Create(Create),
    /// Create a container, start it and wait for its process
    Run(Run),
    /// Let the process of a created container go
    Start(Start),
    /// Execute another program in a container
    Exec(Box<Exec>),
    /// Print the state of a container as JSON
    State(State),
    /// Send a signal to a container's process
    Kill(Kill),
    /// Remove a container that has stopped
    Delete(Delete),
    /// Stop every process of a container where it is
    Pause(Pause),
    /// Let the processes of a paused container go on
    Resume(Resume),
    /// Change the limits of a container
    Update(Box<Update>),
    /// Print what a container uses, and OOM kills in it, as JSON
    Events(Events),
    /// List the processes of a container
    Ps(Ps),
    /// List the containers below the root directory
    List(List),
    /// Remove what commands that were killed, and reboots, have left
    Gc(Gc),
    /// Write a config.json to start from
    Spec(Spec),
    /// Print what this runtime supports as JSON
    Features,
    /// Print what create would do, without doing it
    Explain(Explain),
    /// Print what the options of a command are
    #[command(alias = "h")]
    Help(Help),
}

/// Names of the verbs that [enter](Verb::enters) a container.
const ENTERING: [&str; 3] = ["create", "exec", "run"];

impl Verb {
    /// Whether it puts a process into a container.
    pub fn enters(&self) -> bool {
        matches!(self, Self::Create(_) | Self::Exec(_) | Self::Run(_))
    }
}

/// Whether the verb could be one that enters a container: a look that defines no options. Some
/// other word may be taken for the verb, but no such verb is missed.
pub fn may_enter(args: &[OsString]) -> bool {
    args.iter().any(|arg| ENTERING.iter().any(|name| arg == name))
}

#[derive(Debug, Args)]
pub struct Start {
    #[arg(value_name = "CONTAINER_ID")]
    pub id: String,
}

#[derive(Debug, Args)]
pub struct State {
    #[arg(value_name = "CONTAINER_ID")]
    pub id: String,
}

// Which config to read. In the comments of a group of options clap would see the description of
// every verb that has them.
#[derive(Debug, Args)]
pub struct Bundle {
    /// Directory that holds config.json
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    pub bundle: PathBuf,
    /// Another file than the bundle's config.json
    #[arg(short = 'f', long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Create {
    /// Name of the container, unique below the root directory
    #[arg(value_name = "CONTAINER_ID")]
    pub id: String,
    #[command(flatten)]
    pub bundle: Bundle,
    /// Unix socket that is sent the terminal's master side
    #[arg(long, value_name = "SOCKET")]
    pub console_socket: Option<PathBuf>,
    /// Unix socket that is sent a pidfd of the container's process
    #[arg(long, value_name = "SOCKET")]
    pub pidfd_socket: Option<PathBuf>,
    /// File for the process id
    #[arg(long, value_name = "FILE")]
    pub pid_file: Option<PathBuf>,
    /// Move the root file system over / instead of pivot_root(2), for hosts on a ramdisk
    #[arg(long)]
    pub no_pivot: bool,
    /// Keep the caller's session keyring
    #[arg(long)]
    pub no_new_keyring: bool,
    /// Pass this many descriptors after the three standard ones and $LISTEN_FDS
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub preserve_fds: u32,
}

#[derive(Debug, Args)]
pub struct Run {
    #[command(flatten)]
    pub create: Create,
    /// Do not wait for the process
    #[arg(short, long)]
    pub detach: bool,
    /// Do not delete the container when its process has ended
    #[arg(long)]
    pub keep: bool,
    /// Do not adopt the container's orphans
    #[arg(long)]
    pub no_subreaper: bool,
}

#[derive(Debug, Args)]
pub struct Exec {
    #[arg(value_name = "CONTAINER_ID")]
    pub id: String,
    /// Program and arguments, unless --process names a file
    #[arg(
        value_name = "PROGRAM",
        trailing_var_arg = true,
        allow_hyphen_values = true,
        conflicts_with = "process",
        required_unless_present = "process"
    )]
    pub args: Vec<String>,
    /// File that describes the process as config.json does
    #[arg(
        short,
        long,
        value_name = "FILE",
        conflicts_with_all = [
            "cwd", "env", "user", "additional_gids", "process_label", "apparmor", "no_new_privs",
            "cap",
        ]
    )]
    pub process: Option<PathBuf>,
    /// Working directory in the container
    #[arg(long, value_name = "DIR")]
    pub cwd: Option<PathBuf>,
    /// One more variable
    #[arg(short, long, value_name = "NAME=VALUE")]
    pub env: Vec<String>,
    /// User id, and group id if it is to be another one
    #[arg(short, long, value_name = "UID[:GID]")]
    pub user: Option<String>,
    /// One more supplementary group
    #[arg(short = 'g', long, value_name = "GID")]
    pub additional_gids: Vec<String>,
    /// Give it a terminal
    #[arg(short, long)]
    pub tty: bool,
    /// Do not wait for the process
    #[arg(short, long)]
    pub detach: bool,
    /// Unix socket that is sent the terminal's master side
    #[arg(long, value_name = "SOCKET")]
    pub console_socket: Option<PathBuf>,
    /// Unix socket that is sent a pidfd of the process
    #[arg(long, value_name = "SOCKET")]
    pub pidfd_socket: Option<PathBuf>,
    /// File for the process id, written once the program runs
    #[arg(long, value_name = "FILE")]
    pub pid_file: Option<PathBuf>,
    /// SELinux label
    #[arg(long, value_name = "LABEL")]
    pub process_label: Option<String>,
    /// AppArmor profile
    #[arg(long, value_name = "PROFILE")]
    pub apparmor: Option<String>,
    /// Gain no privileges by execve
    #[arg(long)]
    pub no_new_privs: bool,
    /// One more capability
    #[arg(short, long, value_name = "CAPABILITY")]
    pub cap: Vec<String>,
    /// Pass this many descriptors after the three standard ones and $LISTEN_FDS
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub preserve_fds: u32,
    /// Do not refuse a paused container but wait until it is resumed
    #[arg(long)]
    pub ignore_paused: bool,
    /// Go to a cgroup below the container's, on v1 to a different one for each controller
    #[arg(long, value_name = "[CONTROLLER,...:]PATH")]
    pub cgroup: Vec<String>,
}

#[derive(Debug, Args)]
pub struct Kill {
    #[arg(value_name = "CONTAINER_ID")]
    pub id: String,
    /// Name or number
    #[arg(value_name = "SIGNAL", default_value = "SIGTERM")]
    pub signal: String,
    /// Send it to every process of the container
    #[arg(short, long)]
    pub all: bool,
}

#[derive(Debug, Args)]
pub struct Delete {
    #[arg(value_name = "CONTAINER_ID")]
    pub id: String,
    /// Kill what still runs; no container at all is no error
    #[arg(short, long)]
    pub force: bool,
}

#[derive(Debug, Args)]
pub struct Pause {
    #[arg(value_name = "CONTAINER_ID")]
    pub id: String,
}

#[derive(Debug, Args)]
pub struct Resume {
    #[arg(value_name = "CONTAINER_ID")]
    pub id: String,
}

#[derive(Debug, Args)]
pub struct Update {
    #[arg(value_name = "CONTAINER_ID")]
    pub id: String,
    /// Take all limits from a file with a linux.resources object, - for standard input
    #[arg(short, long, value_name = "FILE", conflicts_with = "limits")]
    pub resources: Option<PathBuf>,
    #[command(flatten)]
    pub limits: Limits,
    /// Schema of the L3 cache (Intel RDT)
    #[arg(long, value_name = "SCHEMA")]
    pub l3_cache_schema: Option<String>,
    /// Schema of memory bandwidth (Intel RDT)
    #[arg(long, value_name = "SCHEMA")]
    pub mem_bw_schema: Option<String>,
}

// Limits by name; those that are not given stay.
#[derive(Debug, Default, Args)]
#[group(id = "limits", multiple = true)]
pub struct Limits {
    /// Weight of block I/O, 10 to 1000
    #[arg(long, value_name = "WEIGHT")]
    pub blkio_weight: Option<u16>,
    /// Microseconds of the period of --cpu-quota
    #[arg(long, value_name = "USECS")]
    pub cpu_period: Option<u64>,
    /// Microseconds of processor time in each period, -1 for no limit
    #[arg(long, value_name = "USECS")]
    pub cpu_quota: Option<i64>,
    /// Microseconds that may be saved up beyond the quota
    #[arg(long, value_name = "USECS")]
    pub cpu_burst: Option<u64>,
    /// 1 to run only when nothing else does, 0 not to
    #[arg(long, value_name = "0|1")]
    pub cpu_idle: Option<i64>,
    /// Share of processor time beside other containers, 2 to 262144
    #[arg(long, value_name = "SHARES")]
    pub cpu_share: Option<u64>,
    /// Microseconds of the period of --cpu-rt-runtime (cgroup v1)
    #[arg(long, value_name = "USECS")]
    pub cpu_rt_period: Option<u64>,
    /// Microseconds of real-time scheduling in each period (cgroup v1)
    #[arg(long, value_name = "USECS")]
    pub cpu_rt_runtime: Option<i64>,
    /// Processors, such as 0-3,7
    #[arg(long, value_name = "LIST")]
    pub cpuset_cpus: Option<String>,
    /// Memory nodes, such as 0
    #[arg(long, value_name = "LIST")]
    pub cpuset_mems: Option<String>,
    /// Has no effect
    #[arg(long, value_name = "BYTES", hide = true, value_parser = quantity::bytes)]
    pub kernel_memory: Option<i64>,
    /// Has no effect
    #[arg(long, value_name = "BYTES", hide = true, value_parser = quantity::bytes)]
    pub kernel_memory_tcp: Option<i64>,
    /// Bytes of memory, such as 64M, -1 for no limit
    #[arg(long, value_name = "BYTES", value_parser = quantity::bytes)]
    pub memory: Option<i64>,
    /// Bytes of memory that are left to the container as long as possible
    #[arg(long, value_name = "BYTES", value_parser = quantity::bytes)]
    pub memory_reservation: Option<i64>,
    /// Bytes of memory and swap together, -1 for unlimited swap
    #[arg(long, value_name = "BYTES", value_parser = quantity::bytes)]
    pub memory_swap: Option<i64>,
    /// Number of tasks, -1 for no limit
    #[arg(long, value_name = "N")]
    pub pids_limit: Option<i64>,
}

#[derive(Debug, Args)]
pub struct Events {
    #[arg(value_name = "CONTAINER_ID")]
    pub id: String,
    /// Time between statistics
    #[arg(long, value_name = "SPAN", default_value = "5s", value_parser = quantity::interval)]
    pub interval: Duration,
    /// Print statistics once
    #[arg(long)]
    pub stats: bool,
}

#[derive(Debug, Args)]
pub struct Ps {
    /// Format of the list
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    pub format: ListFormat,
    #[arg(value_name = "CONTAINER_ID")]
    pub id: String,
    /// Options for ps(1), in one word or several
    #[arg(value_name = "PS_OPTIONS", trailing_var_arg = true, allow_hyphen_values = true)]
    pub options: Vec<String>,
}

#[derive(Debug, Args)]
pub struct List {
    /// Format of the list
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    pub format: ListFormat,
    /// Print names only
    #[arg(short, long)]
    pub quiet: bool,
}

#[derive(Debug, Args)]
pub struct Gc {
    /// Only list it
    #[arg(long)]
    pub dry_run: bool,
    /// Format of the list
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    pub format: ListFormat,
}

/// Format of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ListFormat {
    Table,
    Json,
}

#[derive(Debug, Args)]
pub struct Spec {
    /// Directory for config.json
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    pub bundle: PathBuf,
    /// For a user without privileges
    #[arg(long)]
    pub rootless: bool,
}

#[derive(Debug, Args)]
pub struct Explain {
    /// Name that the container would have
    #[arg(value_name = "CONTAINER_ID", default_value = "example")]
    pub id: String,
    #[command(flatten)]
    pub bundle: Bundle,
}

#[derive(Debug, Args)]
pub struct Help {
    /// Command to be described; all of them in short if none is named
    #[arg(value_name = "COMMAND")]
    pub verb: Option<OsString>,
}

/// The definitions as data.
pub fn command() -> clap::Command {
    Options::command()
}

/// Reads a command line that [`super::normalise`] has been over, with the same definitions.
pub fn parse(args: &[OsString], mut command: clap::Command) -> Result<Options, clap::Error> {
    let mut matches = command.try_get_matches_from_mut(args)?;
    Options::from_arg_matches_mut(&mut matches)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The comment of a group of options does not take the place of the verb's.
    #[test]
    fn the_help_of_a_verb_begins_with_its_description() {
        for verb in command().get_subcommands() {
            let line = ["cloison", verb.get_name(), "--help"].map(OsString::from);
            let help = parse(&line, command()).unwrap_err().render().to_string();
            let about = verb.get_about().unwrap().to_string();
            assert_eq!(help.lines().next(), Some(about.as_str()));
        }
    }

    /// CLI-2
    #[test]
    fn the_last_of_two_equal_options_counts() {
        let line = "c --root /a --debug --root /b --debug create -b /a --bundle /b --no-pivot \
                    --no-pivot x";
        let args: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        let options = parse(&args, command()).unwrap();
        assert_eq!(options.globals.root.as_deref(), Some("/b".as_ref()));
        assert!(options.globals.debug);
        match options.verb {
            Some(Verb::Create(create)) => assert_eq!(create.bundle.bundle, PathBuf::from("/b")),
            other => panic!("{other:?}"),
        }
    }

    /// SEC-10
    #[test]
    fn every_verb_that_enters_a_container_is_seen_without_parsing() {
        for verb in command().get_subcommands() {
            let line = ["cloison", verb.get_name(), "x", "y"].map(OsString::from);
            let [name, verb, id, _] = &line;
            let parsed = parse(&line, command())
                .or_else(|_| parse(&[name.clone(), verb.clone(), id.clone()], command()))
                .or_else(|_| parse(&[name.clone(), verb.clone()], command()));
            let enters = parsed.unwrap().verb.unwrap().enters();
            assert_eq!(may_enter(&line), enters, "{verb:?}");
        }
    }

    /// SEC-10
    #[cfg(target_arch = "x86_64")]
    #[test]
    fn what_begins_before_the_c_library_knows_the_same_verbs() {
        let words = ENTERING.map(|name| {
            let mut word = [0; 8];
            word[..name.len()].copy_from_slice(name.as_bytes());
            u64::from_le_bytes(word)
        });
        assert_eq!(words, crate::sys::entry::VERBS);
    }
}
