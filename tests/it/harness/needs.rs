//! What a test asks of the machine, or of the runtime. An unmet need skips
//! the test and gives the reason, which the summary counts.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use super::Skip;
use super::command::ask;
use super::hierarchies;
use super::manager::{Manager, own_cgroup};
use super::sandbox::runtime_path;

fn unless(met: bool, reason: impl Into<String>) -> Result<(), Skip> {
    if met { Ok(()) } else { Err(Skip(reason.into())) }
}

/// The first line of `RUNTIME --version`: name, the word "version", number.
fn version_line() -> &'static str {
    static LINE: OnceLock<String> = OnceLock::new();
    LINE.get_or_init(|| {
        let output = ask(Command::new(runtime_path()).arg("--version"));
        let text = output.map(|o| String::from_utf8_lossy(&o.stdout).into_owned());
        text.unwrap_or_default().lines().next().unwrap_or_default().to_owned()
    })
}

/// The name of the runtime under test.
pub fn runtime_name() -> &'static str {
    version_line().split(' ').next().unwrap_or_default()
}

/// The numbers of a version: major, minor, patch.
fn numbers(version: &str) -> Vec<u32> {
    version.split(['.', '-', '+']).map_while(|number| number.parse().ok()).take(3).collect()
}

/// For what the named runtime has learnt in a version.
pub fn since(runtime: &str, version: &str, lesson: &str) -> Result<(), Skip> {
    let here = numbers(version_line().rsplit(' ').next().unwrap_or_default());
    unless(
        runtime_name() != runtime || here >= numbers(version),
        format!("{runtime} {lesson} since {version}"),
    )
}

/// For what is cloison's own: its sentences, its log, its explain verb.
pub fn cloison() -> Result<(), Skip> {
    unless(runtime_name() == "cloison", "asks for what is cloison's own")
}

/// For a behaviour in which the named runtime (in the version that Debian
/// packages) is known to depart from the specification, or from the others.
pub fn other_than(runtime: &str, departure: &str) -> Result<(), Skip> {
    unless(runtime_name() != runtime, format!("{runtime} {departure}"))
}

/// An option of one of the runtime's verbs, as its help shows it.
pub fn option(verb: &str, option: &str) -> Result<(), Skip> {
    let output = ask(Command::new(runtime_path()).args([verb, "--help"]));
    let help = output.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default();
    unless(
        runtime_name() == "cloison" || help.contains(option),
        format!("{verb} has no {option} in this version of {}", runtime_name()),
    )
}

/// An effective capability of the test process itself.
pub fn capability(number: u32, name: &str) -> Result<(), Skip> {
    let status = fs::read_to_string("/proc/self/status").expect("read status");
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .expect("a CapEff line");
    unless(effective & (1 << number) != 0, format!("this root lacks {name}"))
}

/// `CAP_SYS_RESOURCE`, for raising limits.
pub fn sys_resource() -> Result<(), Skip> {
    capability(24, "CAP_SYS_RESOURCE")
}

/// A controller on the v2 hierarchy.
pub fn controller(name: &str) -> Result<(), Skip> {
    let lists = |place: &Path| {
        let all = fs::read_to_string(place.join("cgroup.controllers")).unwrap_or_default();
        all.split_whitespace().any(|controller| controller == name)
    };
    let top = Path::new("/sys/fs/cgroup");
    unless(lists(top), format!("no {name} controller on cgroup v2 here"))?;
    // What a user can hand down is what their service was given.
    let own = own_cgroup().map(|own| top.join(own.trim_start_matches('/')));
    let given = own.as_deref().and_then(Path::parent).is_some_and(lists);
    unless(
        nix::unistd::geteuid().is_root() || given,
        format!("no {name} controller is delegated to this user"),
    )
}

/// A controller on a v1 hierarchy of the host.
pub fn v1_controller(name: &str) -> Result<(), Skip> {
    let host_is_unified = hierarchies::on_host_hierarchies(hierarchies::is_unified);
    unless(
        !host_is_unified && hierarchies::on_host_hierarchies(|| v1_mount(name).is_some()),
        format!("no cgroup v1 hierarchy for {name} here"),
    )
}

/// Where the v1 hierarchy of a controller is mounted.
pub fn v1_mount(name: &str) -> Option<String> {
    let table = fs::read_to_string("/proc/thread-self/mountinfo").ok()?;
    table.lines().find_map(|line| {
        let (mount, filesystem) = line.split_once(" - cgroup ")?;
        let options = filesystem.split(' ').nth(1)?;
        let mine = options.split(',').any(|option| option == name);
        mine.then(|| mount.split(' ').nth(4).map(str::to_owned))?
    })
}

/// Loading an eBPF program in the way of runtimes that raise `RLIMIT_MEMLOCK` first.
pub fn memlock_for_crun() -> Result<(), Skip> {
    if runtime_name() == "crun" { sys_resource() } else { Ok(()) }
}

/// The suite's cgroups made by the runtime itself.
pub fn cgroupfs() -> Result<(), Skip> {
    unless(Manager::chosen() == Manager::Cgroupfs, "asks for the cgroupfs manager")
}

/// The suite's cgroups made by systemd.
pub fn systemd() -> Result<(), Skip> {
    unless(Manager::chosen() == Manager::Systemd, "asks for the systemd manager")
}

/// A container whose cgroup is that of its scope, where it has one.
pub fn scope_of_its_own() -> Result<(), Skip> {
    let below = runtime_name() == "crun" && Manager::chosen() == Manager::Systemd;
    unless(!below, "departs: crun has a cgroup and its limits below the scope")
}

/// A file of the machine.
pub fn path(path: &str) -> Result<(), Skip> {
    unless(Path::new(path).exists(), format!("{path} is not here"))
}

/// A Linux version, for features that cannot be probed without using them.
pub fn kernel(major: u32, minor: u32) -> Result<(), Skip> {
    unless(is_kernel(major, minor), format!("Linux {major}.{minor} or later"))
}

/// A kernel that outlives the death of processes that fork: User Mode Linux before 7 panics at
/// about one in a hundred (tests/vm/README.md, "Kernels that die").
pub fn deaths_amid_forks() -> Result<(), Skip> {
    let processor = fs::read_to_string("/proc/cpuinfo").expect("read cpuinfo");
    let dies = processor.contains("User Mode Linux") && !is_kernel(7, 0);
    unless(!dies, "this kernel panics when a process is killed that forks")
}

fn is_kernel(major: u32, minor: u32) -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").expect("read osrelease");
    let mut numbers = release.split(['.', '-']).map_while(|n| n.trim().parse::<u32>().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (major, minor)
}

/// The superuser.
pub fn root() -> Result<(), Skip> {
    unless(nix::unistd::geteuid().is_root(), "needs root")
}

/// [`root`] for the harness's own tools, from whatever depth: ends the test as skipped.
pub fn demand_root() {
    if let Err(skip) = root() {
        std::panic::panic_any(skip);
    }
}
