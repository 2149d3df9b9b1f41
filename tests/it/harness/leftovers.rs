//! The search for what a runtime left on the host: state directories, cgroups,
//! mounts and processes.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use nix::mount::{MntFlags, umount2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Mounts at or below `dir`, as the calling thread sees them.
pub fn mounts_below(dir: &Path) -> Vec<String> {
    mount_points(dir).iter().map(|point| format!("mount {}", point.display())).collect()
}

fn mount_points(dir: &Path) -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/thread-self/mountinfo").expect("read mountinfo");
    table
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(PathBuf::from)
        .filter(|point| point.starts_with(dir))
        .collect()
}

/// Living processes whose environment carries `mark=token`.
pub fn processes_marked(mark: &str, token: &str) -> Vec<String> {
    marked(mark, token)
        .into_iter()
        .map(|pid| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            format!("process {pid}: {line}")
        })
        .collect()
}

/// The host's own processes, which are not worth a look after every test: their numbers are given
/// anew only when all others have been.
static EARLIER: LazyLock<BTreeSet<i32>> = LazyLock::new(|| processes().collect());

/// To be called before a test starts anything.
pub fn know_earlier_processes() {
    LazyLock::force(&EARLIER);
}

fn processes() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").expect("list /proc");
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

fn marked(mark: &str, token: &str) -> Vec<i32> {
    let wanted = format!("{mark}={token}");
    processes()
        .filter(|pid| !EARLIER.contains(pid))
        .filter(|pid| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|pair| pair == wanted.as_bytes())
        })
        .collect()
}

/// The state directory of container `id`, if there still is one.
pub fn state_of(root: &Path, id: &str) -> Option<String> {
    let dir = root.join(id);
    dir.symlink_metadata().is_ok().then(|| format!("state directory {}", dir.display()))
}

/// The cgroups at `path` in every hierarchy that the calling thread sees.
pub fn cgroups(path: &str) -> Vec<String> {
    cgroup_dirs(path).iter().map(|dir| format!("cgroup {}", dir.display())).collect()
}

/// The directories that exist at `path` in the mounted hierarchies.
pub fn cgroup_dirs(path: &str) -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/thread-self/mountinfo").expect("read mountinfo");
    table
        .lines()
        .filter(|line| line.contains(" - cgroup"))
        .filter_map(|line| line.split(' ').nth(4))
        .map(|point| Path::new(point).join(path.trim_start_matches('/')))
        .filter(|dir| dir.is_dir())
        .collect()
}

/// Removes what a failed test left, so that it harms no other test.
pub fn clear(dir: &Path, mark: &str, token: &str, cgroups: &[String]) {
    for pid in marked(mark, token) {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
    for point in mount_points(dir).iter().rev() {
        let _ = umount2(point, MntFlags::MNT_DETACH);
    }
    for cgroup in cgroups.iter().flat_map(|path| cgroup_dirs(path)) {
        // A runtime that hangs has children without the mark.
        let pids = fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
        // A process of another pid namespace is listed as 0, which would mean the suite's own group.
        let pids = pids.lines().filter_map(|pid| pid.parse().ok()).filter(|&pid| pid > 1);
        for pid in pids {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        for _ in 0..50 {
            if fs::remove_dir(&cgroup).is_ok() {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
