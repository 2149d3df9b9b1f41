//! No verb waits for ever: each wait has a deadline, and its end says what was waited for.

use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::ptrace;
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket,
};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use serde_json::json;

use crate::harness::{
    Bundle, Container, Finished, Outcome, Skip, eventually, needs, on_host_hierarchies,
    write_program,
};

super::harness::tests![
    another_command_at_work,
    a_hook_without_a_timeout,
    a_hook_in_the_container_without_a_timeout,
    a_console_socket_that_nobody_serves,
    a_pidfd_socket_that_nobody_serves,
    a_seccomp_agent_that_does_not_answer,
    an_init_that_does_not_go_on,
    a_gate_that_others_crowd,
    an_ancestor_that_stays_frozen,
    a_process_that_cannot_be_frozen,
    a_signal_to_all_beside_one_that_cannot_be_frozen,
    the_end_below_an_ancestor_that_stays_frozen,
    v1_the_end_below_an_ancestor_that_stays_frozen,
    a_process_that_does_not_die,
    a_program_that_is_never_ready,
    a_service_manager_that_does_not_read,
    a_log_that_nobody_reads,
    a_process_that_nobody_reaps,
    deadlines_are_named_and_positive,
];

/// A socket on which connections wait for ever, as its queue is full.
struct Deaf {
    _listener: std::os::fd::OwnedFd,
    _waiting: Vec<UnixStream>,
    path: PathBuf,
}

impl Deaf {
    fn at(path: PathBuf) -> Self {
        let listener = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)
            .expect("socket");
        bind(listener.as_raw_fd(), &UnixAddr::new(&path).expect("an address")).expect("bind");
        listen(&listener, Backlog::new(0).expect("a length")).expect("listen");
        let waiting = vec![UnixStream::connect(&path).expect("fill the queue")];
        Self { _listener: listener, _waiting: waiting, path }
    }

    fn path(&self) -> &str {
        self.path.to_str().expect("utf-8")
    }
}

/// Runs a verb that has to give up soon, and says so.
#[track_caller]
fn gives_up(bundle: &Bundle, line: &[&str], complaint: &str) -> Finished {
    bundle.write();
    let began = Instant::now();
    let ended = bundle.sandbox().runtime(line).finish().refused();
    assert!(began.elapsed() < Duration::from_secs(8), "took {:?}: {ended}", began.elapsed());
    ended.complains(complaint)
}

#[track_caller]
fn create_gives_up(bundle: &Bundle, global: &str, options: &[&str], complaint: &str) {
    let dir = bundle.dir();
    let mut line = vec!["--deadline", global, "create"];
    line.extend(options);
    line.extend(["--bundle", dir.to_str().expect("utf-8"), bundle.id()]);
    gives_up(bundle, &line, complaint);
    let left = bundle.sandbox().leftovers();
    assert!(left.is_empty(), "{left:?}");
}

fn another_command_at_work() -> Outcome {
    needs::cloison()?;
    let container = Bundle::new().create();
    let directory = container.bundle().sandbox().root().join(container.id());
    let file = std::fs::File::open(directory).expect("open");
    let lock = Flock::lock(file, FlockArg::LockExclusive).expect("lock");
    for verb in ["start", "pause", "delete"] {
        let line = ["--deadline", "lock=0.3", verb, container.id()];
        gives_up(container.bundle(), &line, "busy: another command has been working on it");
    }
    drop(lock);
    assert_eq!(container.status(), "created");
    Ok(())
}

fn a_hook_without_a_timeout() -> Outcome {
    needs::cloison()?;
    let bundle = Bundle::new().hook("createRuntime", "exec sleep 60");
    create_gives_up(&bundle, "hook=0.3", &[], "killed after its timeout of 300 ms");
    Ok(())
}

fn a_hook_in_the_container_without_a_timeout() -> Outcome {
    needs::cloison()?;
    let bundle = Bundle::new().hook("createContainer", "exec sleep 60");
    create_gives_up(&bundle, "hook=0.3", &[], "createContainer");
    let bundle = Bundle::new().hook("startContainer", "exec sleep 60");
    let line = ["--deadline", "hook=0.3", "run", "--bundle"];
    let dir = bundle.dir();
    let rest = [dir.to_str().expect("utf-8"), bundle.id()];
    gives_up(&bundle, &[&line[..], &rest[..]].concat(), "startContainer");
    Ok(())
}

fn a_console_socket_that_nobody_serves() -> Outcome {
    needs::cloison()?;
    let bundle = Bundle::new().set("/process/terminal", true);
    let deaf = Deaf::at(bundle.host_dir("sockets").join("console"));
    create_gives_up(&bundle, "socket=0.3", &["--console-socket", deaf.path()], deaf.path());
    Ok(())
}

fn a_pidfd_socket_that_nobody_serves() -> Outcome {
    needs::cloison()?;
    let bundle = Bundle::new();
    let deaf = Deaf::at(bundle.host_dir("sockets").join("pidfd"));
    create_gives_up(&bundle, "socket=0.3", &["--pidfd-socket", deaf.path()], deaf.path());
    Ok(())
}

fn a_seccomp_agent_that_does_not_answer() -> Outcome {
    needs::cloison()?;
    let bundle = Bundle::new();
    let deaf = Deaf::at(bundle.host_dir("sockets").join("agent"));
    let profile = json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": deaf.path(),
        "syscalls": [{"names": ["swapon"], "action": "SCMP_ACT_NOTIFY"}]});
    let container = bundle.set("/linux/seccomp", profile).create();
    let line = ["--deadline", "socket=0.3", "start", container.id()];
    gives_up(container.bundle(), &line, deaf.path());
    container.becomes("stopped");
    Ok(())
}

fn an_init_that_does_not_go_on() -> Outcome {
    needs::cloison()?;
    let container: Container = Bundle::new().create();
    kill(Pid::from_raw(container.pid), Signal::SIGSTOP).expect("stop init");
    let line = ["--deadline", "setup=0.3", "start", container.id()];
    let wanted = format!("wait for process {} to execute its program", container.pid);
    gives_up(container.bundle(), &line, &wanted);
    container.becomes("stopped");
    Ok(())
}

/// Whoever asks for the state stands in the queue, too.
fn a_gate_that_others_crowd() -> Outcome {
    needs::cloison()?;
    let container = Bundle::new().create();
    let init = Pid::from_raw(container.pid);
    kill(init, Signal::SIGSTOP).expect("stop init");
    for _ in 0..40 {
        assert_eq!(container.status(), "created");
    }
    let line = ["--deadline", "setup=0.3", "start", container.id()];
    gives_up(container.bundle(), &line, "has accepted nobody at its gate");
    kill(init, Signal::SIGCONT).expect("let init go on");
    assert_eq!(container.status(), "created");
    container.start();
    Ok(())
}

fn an_ancestor_that_stays_frozen() -> Outcome {
    needs::root()?;
    needs::cgroupfs()?;
    needs::cloison()?;
    let bundle = Bundle::new().args(&["sleep", "60"]);
    let parent = format!("{}-parent", bundle.id());
    let bundle = bundle.set("/linux/cgroupsPath", format!("/{parent}/in"));
    let container = bundle.start();
    let freeze = |how: &str| {
        let file = format!("/sys/fs/cgroup/{parent}/cgroup.freeze");
        std::fs::write(file, how).expect("freeze or thaw");
    };
    container.verb("pause", &[], &[]).ok();
    freeze("1");
    let line = ["--deadline", "freeze=0.3", "resume", container.id()];
    gives_up(container.bundle(), &line, "/in");
    freeze("0");
    assert_eq!(container.status(), "running");
    Ok(())
}

/// A process that waits for a file system that does not answer, deaf to everything but its death.
struct Stuck {
    process: std::process::Child,
    place: PathBuf,
    _device: std::fs::File,
}

impl Stuck {
    fn below(dir: PathBuf) -> Result<Self, Skip> {
        needs::root()?;
        let device = std::fs::File::options().read(true).write(true).open("/dev/fuse");
        let device = device.map_err(|why| Skip(format!("/dev/fuse: {why}")))?;
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", device.as_raw_fd());
        mount(Some("deaf"), &dir, Some("fuse"), MsFlags::empty(), Some(options.as_str()))
            .expect("mount a file system");
        let process = Command::new("/bin/ls").arg(&dir).stderr(Stdio::null()).spawn();
        let stuck = Self { process: process.expect("start ls"), place: dir, _device: device };
        assert!(eventually(|| stuck.waits_for_good()), "{}", stuck.status());
        Ok(stuck)
    }

    /// On its way there it waits for the disk now and then.
    fn waits_for_good(&self) -> bool {
        (0..5).all(|_| {
            std::thread::sleep(Duration::from_millis(20));
            self.status().contains("State:\tD")
        })
    }

    fn status(&self) -> String {
        std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap_or_default()
    }

    /// Makes it a process of the container, as far as cgroups are concerned.
    fn join(&self, container: &Container) {
        let list = cgroup_of(container).join("cgroup.procs");
        std::fs::write(list, self.process.id().to_string()).expect("join");
    }
}

impl Drop for Stuck {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = umount2(&self.place, MntFlags::MNT_DETACH);
    }
}

fn cgroup_of(container: &Container) -> PathBuf {
    let cgroup = container.bundle().cgroup().expect("a cgroup");
    Path::new("/sys/fs/cgroup").join(cgroup.trim_start_matches('/'))
}

/// Whether a container's cgroup is to be frozen.
fn freezer(container: &Container) -> String {
    std::fs::read_to_string(cgroup_of(container).join("cgroup.freeze")).expect("read the freezer")
}

/// CG-43. The freezer of cgroup v1 takes such a process for frozen (Linux 6.18).
fn a_process_that_cannot_be_frozen() -> Outcome {
    needs::cloison()?;
    let container = Bundle::new().sh("while :; do echo tick; sleep 0.01; done").start();
    let stuck = Stuck::below(container.bundle().host_dir("deaf"))?;
    stuck.join(&container);
    let cgroup = container.bundle().cgroup().expect("a cgroup");
    let began = Instant::now();
    let line = ["--deadline", "freeze=0.5", "pause", container.id()];
    gives_up(container.bundle(), &line, "freeze cgroup").complains(&cgroup).complains("--deadline");
    assert!(began.elapsed() >= Duration::from_millis(500), "took {:?}", began.elapsed());
    assert_eq!(freezer(&container), "0\n");
    assert_eq!(container.status(), "running");
    let before = container.stdout().len();
    assert!(eventually(|| container.stdout().len() > before), "it goes on");
    drop(stuck);
    container.verb("pause", &[], &[]).ok();
    assert_eq!(container.status(), "paused");
    Ok(())
}

/// CG-44: it is sent without standing still.
fn a_signal_to_all_beside_one_that_cannot_be_frozen() -> Outcome {
    needs::cloison()?;
    let script = "trap 'echo caught' TERM; echo ready; while :; do sleep 0.01; done";
    let container = Bundle::new().sh(script).start();
    container.says("ready");
    let stuck = Stuck::below(container.bundle().host_dir("deaf"))?;
    stuck.join(&container);
    let began = Instant::now();
    container.verb("kill", &["--all"], &["TERM"]).ok();
    assert!(began.elapsed() < Duration::from_secs(8), "took {:?}", began.elapsed());
    container.says("caught");
    assert_eq!(freezer(&container), "0\n");
    assert_eq!(container.status(), "running");
    Ok(())
}

fn below_a_parent() -> (Container, String) {
    let bundle = Bundle::new().args(&["sleep", "60"]);
    let parent = format!("{}-parent", bundle.id());
    let container = bundle.set("/linux/cgroupsPath", format!("/{parent}/in")).start();
    (container, parent)
}

/// CG-43: SIGKILL reaches the frozen.
fn the_end_below_an_ancestor_that_stays_frozen() -> Outcome {
    needs::root()?;
    needs::cgroupfs()?;
    needs::cloison()?;
    let (container, parent) = below_a_parent();
    let file = format!("/sys/fs/cgroup/{parent}/cgroup.freeze");
    std::fs::write(file, "1").expect("freeze");
    container.verb("kill", &["--all"], &["KILL"]).ok();
    container.becomes("stopped");
    container.verb("delete", &["--force"], &[]).ok();
    let left = container.bundle().sandbox().leftovers();
    assert!(left.is_empty(), "{left:?}");
    Ok(())
}

/// There it does not, and nobody but whoever has frozen the ancestor can do anything about it.
fn v1_the_end_below_an_ancestor_that_stays_frozen() -> Outcome {
    needs::cloison()?;
    needs::v1_controller("freezer")?;
    on_host_hierarchies(|| {
        let (container, parent) = below_a_parent();
        let freezer = needs::v1_mount("freezer").expect("a freezer");
        let file = format!("{freezer}/{parent}/freezer.state");
        std::fs::write(&file, "FROZEN").expect("freeze");
        let (bundle, id) = (container.bundle(), container.id());
        let wanted = format!("{}", container.pid);
        gives_up(bundle, &["--deadline", "end=0.3", "kill", "--all", id, "KILL"], &wanted);
        gives_up(bundle, &["--deadline", "end=0.3", "delete", "--force", id], &wanted);
        std::fs::write(&file, "THAWED").expect("thaw");
        container.verb("delete", &["--force"], &[]).ok();
        let left = bundle.sandbox().leftovers();
        assert!(left.is_empty(), "{left:?}");
    });
    Ok(())
}

/// Its tracer holds it at its end, where not even SIGKILL reaches it any more.
fn a_process_that_does_not_die() -> Outcome {
    needs::cloison()?;
    let container = Bundle::new().args(&["sleep", "60"]).start();
    let init = Pid::from_raw(container.pid);
    ptrace::seize(init, ptrace::Options::PTRACE_O_TRACEEXIT).expect("seize");
    let line = ["--deadline", "end=0.3", "delete", "--force", container.id()];
    let wanted = format!("process {init} of the container has not ended");
    gives_up(container.bundle(), &line, &wanted);
    waitpid(init, Some(WaitPidFlag::__WALL)).expect("wait for its stop");
    ptrace::detach(init, None).expect("detach");
    container.verb("delete", &["--force"], &[]).ok();
    Ok(())
}

fn a_program_that_is_never_ready() -> Outcome {
    needs::cloison()?;
    let bundle = Bundle::new().args(&["sleep", "60"]);
    let path = bundle.host_dir("sockets").join("manager");
    let _manager = UnixDatagram::bind(&path).expect("bind");
    let create = bundle.invoke("create", &[]).env("NOTIFY_SOCKET", &path);
    create.keeping_output_in(bundle.dir().join("container")).finish().ok();
    let container = bundle.adopt();
    let line = ["--deadline", "ready=0.3", "start", container.id()];
    let start = container.bundle().sandbox().runtime(&line).env("NOTIFY_SOCKET", &path);
    start.finish().refused().complains("READY=1");
    assert_eq!(container.status(), "running");
    Ok(())
}

fn a_service_manager_that_does_not_read() -> Outcome {
    needs::cloison()?;
    let bundle = Bundle::new().with_probe().sh("/probe tell READY=1; exec sleep 60");
    let path = bundle.host_dir("sockets").join("manager");
    let _manager = UnixDatagram::bind(&path).expect("bind");
    let create = bundle.invoke("create", &[]).env("NOTIFY_SOCKET", &path);
    create.keeping_output_in(bundle.dir().join("container")).finish().ok();
    let container = bundle.adopt();
    let line = ["--deadline", "socket=0.3", "start", container.id()];
    let start = container.bundle().sandbox().runtime(&line).env("NOTIFY_SOCKET", &path);
    start.finish().ok();
    assert_eq!(container.status(), "running");
    Ok(())
}

fn a_log_that_nobody_reads() -> Outcome {
    needs::cloison()?;
    let bundle = Bundle::new();
    let path = bundle.host_dir("logs").join("fifo");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::from_bits_truncate(0o600)).expect("mkfifo");
    let log = path.to_str().expect("utf-8");
    bundle.sandbox().runtime(&["--log", log, "list"]).finish().refused().complains(log);
    // One that is open at the other end and full loses lines, not time.
    let (reader, writer) = open_both_ends(&path);
    while nix::unistd::write(&writer, &[b'x'; 4096]).is_ok() {}
    bundle.sandbox().runtime(&["--log", log, "--debug", "features"]).finish().ok();
    drop(reader);
    Ok(())
}

fn open_both_ends(path: &Path) -> (std::fs::File, std::fs::File) {
    use std::os::unix::fs::OpenOptionsExt;
    let open = |write: bool| {
        let mut options = std::fs::OpenOptions::new();
        options.read(!write).write(write).custom_flags(nix::fcntl::OFlag::O_NONBLOCK.bits());
        options.open(path).expect("open the FIFO")
    };
    (open(false), open(true))
}

/// Whoever has started `exec` may not be in a hurry to reap its process, and the first process of
/// the container cannot be gone before.
fn a_process_that_nobody_reaps() -> Outcome {
    needs::other_than("runc", "waits for what others have to reap, in vain")?;
    let container = Bundle::new().args(&["sleep", "60"]).start();
    let bundle = container.bundle();
    let name = format!("forgotten-{}", bundle.id());
    // It stays without a child: "Kernels that die" (tests/vm/README.md).
    write_program(&bundle.rootfs().join(&name), "#!/bin/sh\nkill -STOP $$\n");
    let program = format!("/{name}");
    let exec = bundle.sandbox().runtime(&["exec", container.id(), &program]).spawn();
    let inside = || {
        let found = container.processes();
        found.into_iter().find(|process| process.contains(&name) && !process.contains("exec "))
    };
    assert!(eventually(|| inside().is_some()), "{:?}", container.processes());
    // Its zombie is now this process's to reap.
    exec.signal(Signal::SIGKILL);
    let _ = exec.finish();
    let began = Instant::now();
    container.verb("delete", &["--force"], &[]).ok();
    assert!(began.elapsed() < Duration::from_secs(5), "took {:?}", began.elapsed());
    Ok(())
}

fn deadlines_are_named_and_positive() -> Outcome {
    needs::cloison()?;
    let bundle = Bundle::new();
    for wrong in ["lock", "lock=", "lock=-1", "lock=0", "lock=x", "lock=1e99", "locks=1", "=1"] {
        bundle.sandbox().runtime(&["--deadline", wrong, "list"]).finish().refused();
    }
    let all = ["lock", "end", "freeze", "setup", "hook", "systemd", "socket", "ready"];
    let all = all.map(|name| format!("--deadline={name}=1.5"));
    let mut line: Vec<&str> = all.iter().map(String::as_str).collect();
    line.push("features");
    bundle.sandbox().runtime(&line).finish().ok();
    Ok(())
}
