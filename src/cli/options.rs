//! Verbs and options, as runc has them (specs/50-compat.md, CLI-1).

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

/// A whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "cloison",
    about = "Runs OCI containers without a daemon",
    disable_version_flag = true,
    disable_help_subcommand = true,
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
    /// Leave cgroups to systemd; linux.cgroupsPath is SLICE:PREFIX:NAME
    #[arg(long, conflicts_with = "cgroup_manager")]
    pub systemd_cgroup: bool,
    /// Who makes cgroups
    #[arg(long, value_name = "MANAGER")]
    pub cgroup_manager: Option<CgroupManager>,
    /// Whether to go on where cgroups cannot be changed for want of permission
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub rootless: Rootless,
    /// Print the version
    #[arg(short = 'v', long)]
    pub version: bool,
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

/// The verbs that exist.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Create a container, whose process waits for start
    Create(Create),
    /// Create a container, start it and wait for its process
    Run(Run),
    /// Let the process of a created container go
    Start(Start),
    /// Print the state of a container as JSON
    State(State),
    /// Send a signal to a container's process
    Kill(Kill),
    /// Remove a container that has stopped
    Delete(Delete),
    /// List the containers below the root directory
    List(List),
    /// Write a config.json to start from
    Spec(Spec),
    /// Print what this runtime supports as JSON
    Features,
    /// Print what create would do, without doing it
    Explain(Explain),
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

/// Which config to read.
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
pub struct List {
    /// Format of the list
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    pub format: ListFormat,
    /// Print names only
    #[arg(short, long)]
    pub quiet: bool,
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

/// The definitions as data.
pub fn command() -> clap::Command {
    Options::command()
}

/// Reads a command line that [`super::normalise`] has been over.
pub fn parse(args: &[OsString]) -> Result<Options, clap::Error> {
    let matches = command().try_get_matches_from(args)?;
    Options::from_arg_matches(&matches)
}
