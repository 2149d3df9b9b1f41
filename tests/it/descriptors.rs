//! What travels between the caller and the program besides the standard
//! streams: descriptors of socket activation (sd_listen_fds(3)), preserved
//! ones, and the word that the program is ready (sd_notify(3)).

use std::io::IoSliceMut;
use std::os::fd::AsRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;

use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use serde_json::json;

use crate::harness::{
    Bundle, Container, Finished, Invocation, Outcome, PATIENCE, eventually, needs, tests,
};

tests![
    sockets_reach_a_created_container,
    sockets_reach_exec,
    sockets_come_first,
    the_number_is_that_of_the_programs_own_namespace,
    sockets_of_others_stay_with_the_caller,
    exec_preserves_descriptors,
    exec_misses_a_descriptor_that_is_not_open,
    a_descriptor_of_the_runtime_is_none_of_the_callers,
    without_a_manager_there_is_no_socket,
    start_waits_until_the_program_is_ready,
    start_ends_with_a_program_that_never_is,
    run_detached_waits_until_the_program_is_ready,
    run_in_the_foreground_stays_the_main_process,
    readiness_may_be_one_line_of_many,
    a_manager_may_have_a_name_without_a_path,
    a_manager_that_is_gone_is_a_warning,
    readiness_passes_a_user_namespace,
    readiness_leaves_nothing_behind,
];

/// A command of the runtime from a shell that opens descriptors first.
fn from_shell(bundle: &Bundle, prologue: &str, line: &str) -> Invocation {
    let sandbox = bundle.sandbox();
    let runtime = crate::harness::runtime_path();
    let root = sandbox.root();
    let script = format!("{prologue} exec {} --root {} {line}", runtime.display(), root.display());
    sandbox.program(Path::new("/bin/sh"), &["-c", &script])
}

/// Opens `names`, files that hold their names, from descriptor 3 on.
fn opened(bundle: &Bundle, names: &[&str]) -> String {
    let dir = bundle.host_dir("files");
    let open = names.iter().zip(3..).map(|(name, number)| {
        std::fs::write(dir.join(name), format!("{name}\n")).expect("write");
        format!("exec {number}<{}/{name};", dir.display())
    });
    open.collect()
}

fn exec_from_shell(container: &Container, prologue: &str, options: &str, script: &str) -> Finished {
    let line = format!("exec {options} {} sh -c '{script}'", container.id());
    from_shell(container.bundle(), prologue, &line).finish()
}

fn idle() -> Container {
    Bundle::new().sh("while :; do sleep 1; done").start()
}

const ACTIVATED: &str = "export LISTEN_FDS=1 LISTEN_PID=$$;";

// ---- descriptors

fn sockets_reach_a_created_container() -> Outcome {
    needs::other_than("crun", "hands on the caller's LISTEN_PID")?;
    let bundle = Bundle::new().sh("cat <&3; echo $LISTEN_FDS $LISTEN_PID; ls /proc/self/fd");
    let prologue = format!("{} {ACTIVATED}", opened(&bundle, &["one", "two"]));
    bundle.write();
    let line = format!("create --bundle {} {}", bundle.dir().display(), bundle.id());
    let output = bundle.dir().join("container");
    from_shell(&bundle, &prologue, &line).keeping_output_in(output).finish().ok();
    let container = bundle.adopt();
    container.start();
    container.says("one\n1 1\n0\n1\n2\n3\n4\n");
    assert!(!container.stdout().contains('5'), "the second one was not announced");
    Ok(())
}

fn sockets_reach_exec() -> Outcome {
    needs::cloison()?;
    let container = idle();
    let prologue = format!("{} {ACTIVATED}", opened(container.bundle(), &["one"]));
    let script = "cat <&3; echo $LISTEN_FDS; test $LISTEN_PID = $$ && echo mine";
    let finished = exec_from_shell(&container, &prologue, "", script).ok();
    assert_eq!(finished.stdout, "one\n1\nmine\n");
    Ok(())
}

fn sockets_come_first() -> Outcome {
    needs::other_than("crun", "hands on the caller's LISTEN_PID")?;
    let bundle = Bundle::new().sh("cat <&3; cat <&4; echo $LISTEN_FDS; ls /proc/self/fd");
    let prologue = format!("{} {ACTIVATED}", opened(&bundle, &["one", "two", "three"]));
    bundle.write();
    let line = format!("run --preserve-fds 1 --bundle {} {}", bundle.dir().display(), bundle.id());
    let finished = from_shell(&bundle, &prologue, &line).finish().ok();
    assert_eq!(finished.stdout, "one\ntwo\n1\n0\n1\n2\n3\n4\n5\n");
    Ok(())
}

fn the_number_is_that_of_the_programs_own_namespace() -> Outcome {
    needs::root()?;
    needs::cloison()?;
    let bundle = Bundle::new()
        .without_namespace("pid")
        .set("/process/env", json!(["PATH=/bin", "LISTEN_PID=7", "LISTEN_FDS=8"]))
        .sh("test $LISTEN_PID = $$ && echo mine $LISTEN_FDS");
    let prologue = format!("{} {ACTIVATED}", opened(&bundle, &["one"]));
    bundle.write();
    let line = format!("run --bundle {} {}", bundle.dir().display(), bundle.id());
    assert_eq!(from_shell(&bundle, &prologue, &line).finish().ok().stdout, "mine 1\n");
    Ok(())
}

fn sockets_of_others_stay_with_the_caller() -> Outcome {
    needs::other_than("crun", "does not look at LISTEN_PID")?;
    let bundle = Bundle::new().sh("echo \"[$LISTEN_FDS]\"; ls /proc/self/fd");
    let prologue = format!("{} export LISTEN_FDS=1 LISTEN_PID=1;", opened(&bundle, &["one"]));
    bundle.write();
    let line = format!("run --bundle {} {}", bundle.dir().display(), bundle.id());
    let finished = from_shell(&bundle, &prologue, &line).finish().ok();
    assert_eq!(finished.stdout, "[]\n0\n1\n2\n3\n", "the last one is that of ls");
    Ok(())
}

fn exec_preserves_descriptors() -> Outcome {
    let container = idle();
    let prologue = opened(container.bundle(), &["one", "two", "three"]);
    let script = "cat <&3; cat <&4; ls /proc/self/fd";
    let finished = exec_from_shell(&container, &prologue, "--preserve-fds 2", script).ok();
    assert_eq!(finished.stdout, "one\ntwo\n0\n1\n2\n3\n4\n5\n");
    let finished = exec_from_shell(&container, &prologue, "", "ls /proc/self/fd").ok();
    assert_eq!(finished.stdout, "0\n1\n2\n3\n");
    Ok(())
}

fn exec_misses_a_descriptor_that_is_not_open() -> Outcome {
    needs::other_than("crun", "does not look")?;
    let container = idle();
    exec_from_shell(&container, "", "--preserve-fds 5", "true").refused().complains("preserved-fd");
    Ok(())
}

/// The log is open by then, under the first number that is free.
fn a_descriptor_of_the_runtime_is_none_of_the_callers() -> Outcome {
    needs::cloison()?;
    let container = idle();
    let log = container.bundle().dir().join("log");
    let line = format!("--log {} exec --preserve-fds 1 {} true", log.display(), container.id());
    from_shell(container.bundle(), "", &line).finish().exits(255).complains("preserved-fd 3");
    Ok(())
}

// ---- readiness

/// A service manager: what it is told.
struct Manager {
    socket: UnixDatagram,
    name: String,
}

impl Manager {
    fn listen(bundle: &Bundle) -> Self {
        let path = bundle.sandbox().path().join("manager.sock");
        let socket = UnixDatagram::bind(&path).expect("bind");
        Self { socket, name: path.to_str().expect("utf-8").to_owned() }
    }

    fn listen_without_path(bundle: &Bundle) -> Self {
        let name = format!("cloison-{}", bundle.id());
        let address = SocketAddr::from_abstract_name(&name).expect("a name");
        let socket = UnixDatagram::bind_addr(&address).expect("bind");
        Self { socket, name: format!("@{name}") }
    }

    /// The next lines; descriptors that come along are closed at once, as managers do.
    fn hears(&self) -> Option<String> {
        self.socket.set_read_timeout(Some(*PATIENCE)).expect("a timeout");
        let mut buffer = [0; 256];
        let mut space = nix::cmsg_space!([i32; 4]);
        let mut slices = [IoSliceMut::new(&mut buffer)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        // With a time-out it is not taken up again after a signal (signal(7)), such as those by
        // which the threads of the suite change ids together.
        let message = loop {
            match recvmsg::<()>(self.socket.as_raw_fd(), &mut slices, Some(&mut space), flags) {
                Err(nix::errno::Errno::EINTR) => {}
                other => break other.ok()?,
            }
        };
        for part in message.cmsgs().expect("ancillary data") {
            if let ControlMessageOwned::ScmRights(numbers) = part {
                for number in numbers {
                    let _ = nix::unistd::close(number);
                }
            }
        }
        let length = message.bytes;
        Some(String::from_utf8_lossy(&buffer[..length]).trim().to_owned())
    }

    fn hears_nothing(&self) -> bool {
        self.socket.set_nonblocking(true).expect("not to block");
        let heard = self.socket.recv(&mut [0; 8]).is_ok();
        self.socket.set_nonblocking(false).expect("to block");
        !heard
    }
}

/// Says nothing for a moment, then something else, then that it is ready.
fn telling() -> Bundle {
    let script = "sleep 0.3; /probe tell STATUS=soon; /probe tell READY=1; sleep 60";
    Bundle::new().with_probe().sh(script)
}

/// The same, but waits until [`let_tell`].
fn telling_when_let() -> Bundle {
    let script = "while ! test -e /go; do sleep 0.02; done; /probe tell READY=1; sleep 60";
    Bundle::new().with_probe().sh(script)
}

fn let_tell(container: &Container) {
    std::fs::write(container.bundle().rootfs().join("go"), "").expect("write");
}

fn without_a_manager_there_is_no_socket() -> Outcome {
    let bundle = Bundle::new().sh("echo \"[$NOTIFY_SOCKET]\"; ls -d /run/notify 2>/dev/null");
    assert_eq!(bundle.run().stdout, "[]\n");
    Ok(())
}

/// A created container, and the start of it on its way.
fn started(manager: &Manager, bundle: Bundle) -> (Container, crate::harness::Running) {
    let output = bundle.dir().join("container");
    let create = bundle.invoke("create", &[]).env("NOTIFY_SOCKET", &manager.name);
    create.keeping_output_in(output).finish().ok();
    let container = bundle.adopt();
    let line = ["start", container.id()];
    let start = container.bundle().sandbox().runtime(&line).env("NOTIFY_SOCKET", &manager.name);
    (container, start.spawn())
}

fn start_waits_until_the_program_is_ready() -> Outcome {
    needs::since("runc", "1.2", "tells managers to the end")?;
    needs::other_than("crun", "sends no MAINPID")?;
    let bundle = telling_when_let();
    let manager = Manager::listen(&bundle);
    let (container, mut start) = started(&manager, bundle);
    assert!(eventually(|| container.status() == "running"));
    assert!(!start.ended() && manager.hears_nothing(), "not before it is ready");
    let_tell(&container);
    assert_eq!(manager.hears().as_deref(), Some("READY=1"));
    assert_eq!(manager.hears(), Some(format!("MAINPID={}", container.pid)));
    assert_eq!(manager.hears().as_deref(), Some("BARRIER=1"));
    start.finish().ok();
    Ok(())
}

fn readiness_may_be_one_line_of_many() -> Outcome {
    needs::other_than("runc", "looks at the first line alone")?;
    needs::other_than("crun", "sends no MAINPID")?;
    let script = "/probe tell \"$(printf 'STATUS=now\\nREADY=1\\nX=1')\"; sleep 60";
    let bundle = Bundle::new().with_probe().sh(script);
    let manager = Manager::listen(&bundle);
    let (_container, start) = started(&manager, bundle);
    assert_eq!(manager.hears().as_deref(), Some("READY=1"));
    assert!(manager.hears().is_some() && manager.hears().is_some());
    start.finish().ok();
    Ok(())
}

fn start_ends_with_a_program_that_never_is() -> Outcome {
    needs::other_than("runc", "waits until the process is reaped")?;
    let bundle = Bundle::new().sh("sleep 0.2");
    let manager = Manager::listen(&bundle);
    let (container, start) = started(&manager, bundle);
    start.finish().ok();
    container.becomes("stopped");
    assert!(manager.hears_nothing());
    Ok(())
}

fn run_detached_waits_until_the_program_is_ready() -> Outcome {
    needs::since("runc", "1.2", "tells managers to the end")?;
    needs::other_than("crun", "sends no MAINPID")?;
    let bundle = telling();
    let manager = Manager::listen(&bundle);
    let output = bundle.dir().join("container");
    let run = bundle.invoke("run", &["--detach"]).env("NOTIFY_SOCKET", &manager.name);
    let run = run.keeping_output_in(output).spawn();
    assert_eq!(manager.hears().as_deref(), Some("READY=1"));
    let pid = manager.hears().expect("a main process");
    assert_eq!(manager.hears().as_deref(), Some("BARRIER=1"));
    run.finish().ok();
    assert_eq!(pid, format!("MAINPID={}", bundle.adopt().pid));
    Ok(())
}

fn run_in_the_foreground_stays_the_main_process() -> Outcome {
    needs::since("runc", "1.2", "tells managers to the end")?;
    let bundle = Bundle::new().with_probe().sh("/probe tell READY=1; read line; exit 4");
    let manager = Manager::listen(&bundle);
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().expect("a pair");
    let run = bundle.invoke("run", &[]).env("NOTIFY_SOCKET", &manager.name);
    let null = std::process::Stdio::null;
    let run = run.stdio(std::os::fd::OwnedFd::from(theirs).into(), null(), null()).spawn();
    assert_eq!(manager.hears().as_deref(), Some("READY=1"));
    if needs::runtime_name() != "crun" {
        assert_eq!(manager.hears(), Some(format!("MAINPID={}", run.pid())));
    }
    assert_eq!(manager.hears().as_deref(), Some("BARRIER=1"));
    drop(ours);
    run.finish().exits(4);
    assert!(manager.hears_nothing());
    Ok(())
}

fn a_manager_may_have_a_name_without_a_path() -> Outcome {
    needs::since("runc", "1.2", "tells managers to the end")?;
    needs::other_than("crun", "sends no MAINPID")?;
    let bundle = telling();
    let manager = Manager::listen_without_path(&bundle);
    let (_container, start) = started(&manager, bundle);
    assert_eq!(manager.hears().as_deref(), Some("READY=1"));
    assert!(manager.hears().is_some_and(|line| line.starts_with("MAINPID=")));
    assert_eq!(manager.hears().as_deref(), Some("BARRIER=1"));
    start.finish().ok();
    Ok(())
}

fn a_manager_that_is_gone_is_a_warning() -> Outcome {
    needs::cloison()?;
    let bundle = telling_when_let();
    let manager = Manager::listen(&bundle);
    let (container, start) = started(&manager, bundle);
    std::fs::remove_file(&manager.name).expect("remove");
    drop(manager);
    let_tell(&container);
    start.finish().ok().complains("that the program is ready");
    assert_eq!(container.status(), "running");
    Ok(())
}

fn readiness_passes_a_user_namespace() -> Outcome {
    needs::since("runc", "1.2", "tells managers to the end")?;
    needs::other_than("crun", "sends no MAINPID")?;
    let bundle =
        telling().in_user_namespace(100_000).set("/process/user", json!({"uid": 5, "gid": 5}));
    let manager = Manager::listen(&bundle);
    let (_container, start) = started(&manager, bundle);
    assert_eq!(manager.hears().as_deref(), Some("READY=1"));
    assert!(manager.hears().is_some() && manager.hears().is_some());
    start.finish().ok();
    Ok(())
}

fn readiness_leaves_nothing_behind() -> Outcome {
    let bundle = Bundle::new().with_probe().sh("/probe tell READY=1");
    let manager = Manager::listen(&bundle);
    let run = bundle.invoke("run", &[]).env("NOTIFY_SOCKET", &manager.name).spawn();
    while manager.hears().is_some_and(|line| line != "BARRIER=1") {}
    run.finish().ok();
    let left = bundle.sandbox().leftovers();
    assert!(left.is_empty(), "{left:?}");
    Ok(())
}
