//! The views of cgroups and mounts that tests run in.
//!
//! Machines that still mount cgroup v1 hierarchies give the suite a private
//! mount namespace in which `/sys/fs/cgroup` is the pure v2 hierarchy, so most
//! tests look the same everywhere; the host is not touched. The tests of
//! cgroup v1 step back into the host's own view.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::OnceLock;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, TMPFS_MAGIC, statfs};
use nix::unistd::geteuid;

use super::needs;
use super::runner::take_panic;

const CGROUP: &str = "/sys/fs/cgroup";

/// The mount namespace that the suite was started in.
static HOST: OnceLock<File> = OnceLock::new();

/// Where the suite's own tmpfs is mounted.
static MEMORY: OnceLock<PathBuf> = OnceLock::new();

/// Moves this (still single-threaded) process into a mount namespace of its
/// own with cgroup v2 at `/sys/fs/cgroup`. An ordinary user has to take the
/// machine as it is.
pub fn enter_unified_view() {
    if !geteuid().is_root() {
        return;
    }
    let host = File::open("/proc/self/ns/mnt").expect("open /proc/self/ns/mnt");
    unshare(CloneFlags::CLONE_NEWNS).expect("unshare the mount namespace");
    remount_root(MsFlags::MS_PRIVATE);
    if !is_unified() {
        mount(Some("cgroup2"), CGROUP, Some("cgroup2"), MsFlags::empty(), None::<&str>)
            .expect("mount cgroup2 on /sys/fs/cgroup");
    }
    HOST.set(host).expect("entered once");
    mount_memory();
}

/// Hundreds of bundles are made and removed: in memory that costs no time.
fn mount_memory() {
    let dir = std::env::temp_dir().join(format!("it-{}", std::process::id()));
    std::fs::create_dir(&dir).expect("make a mount point");
    mount(Some("it"), &dir, Some("tmpfs"), MsFlags::empty(), Some("mode=755"))
        .expect("mount tmpfs");
    MEMORY.set(dir).expect("entered once");
}

/// Gives back what [`enter_unified_view`] made outside of its namespace.
pub fn leave() {
    if let Some(dir) = MEMORY.get() {
        let _ = umount2(dir, MntFlags::MNT_DETACH);
        let _ = std::fs::remove_dir(dir);
    }
}

/// Where a sandbox is best made: in memory, if the calling thread sees that.
pub fn sandboxes() -> PathBuf {
    let memory = MEMORY
        .get()
        .filter(|dir| statfs(dir.as_path()).is_ok_and(|fs| fs.filesystem_type() == TMPFS_MAGIC));
    memory.cloned().unwrap_or_else(std::env::temp_dir)
}

/// Whether `/sys/fs/cgroup`, as the calling thread sees it, is cgroup v2.
pub fn is_unified() -> bool {
    statfs(CGROUP).is_ok_and(|fs| fs.filesystem_type() == CGROUP2_SUPER_MAGIC)
}

/// Runs `body` on a thread that sees the host's own cgroup hierarchies.
pub fn on_host_hierarchies<T: Send>(body: impl FnOnce() -> T + Send) -> T {
    let Some(host) = HOST.get() else { return body() };
    on_own_thread(|| {
        unshare(CloneFlags::CLONE_FS).expect("unshare the working directory");
        setns(host, CloneFlags::CLONE_NEWNS).expect("return to the host's mount namespace");
        body()
    })
}

/// Runs `body` on a thread in a mount namespace of its own, whose mounts have
/// the given propagation among themselves.
pub fn in_private_mounts<T: Send>(propagation: MsFlags, body: impl FnOnce() -> T + Send) -> T {
    needs::demand_root();
    on_own_thread(|| {
        unshare(CloneFlags::CLONE_FS | CloneFlags::CLONE_NEWNS).expect("unshare mounts");
        remount_root(MsFlags::MS_PRIVATE);
        if propagation != MsFlags::MS_PRIVATE {
            remount_root(propagation);
        }
        body()
    })
}

fn remount_root(propagation: MsFlags) {
    mount(None::<&str>, "/", None::<&str>, propagation | MsFlags::MS_REC, None::<&str>)
        .expect("set the propagation of /");
}

fn on_own_thread<T: Send>(body: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).map_err(|_| take_panic())
        });
        match thread.join().expect("a caught panic") {
            Ok(value) => value,
            Err(message) => panic!("{message}"),
        }
    })
}

/// A namespace that is kept alive by an open file, for joining by path.
pub struct Namespace(File);

impl Namespace {
    /// Makes a namespace; `file` is its name below `/proc/self/ns`.
    pub fn new(flag: CloneFlags, file: &str) -> Self {
        needs::demand_root();
        on_own_thread(|| {
            unshare(CloneFlags::CLONE_FS | flag).expect("unshare a namespace");
            Self(File::open(format!("/proc/thread-self/ns/{file}")).expect("open the namespace"))
        })
    }

    /// A path that any process of this machine can open.
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }

    /// What `readlink /proc/self/ns/…` prints inside it: `net:[4026531840]`.
    pub fn identity(&self) -> String {
        std::fs::read_link(self.path()).expect("read the link").display().to_string()
    }
}
