//! `exec`: another program in a container that is there.

use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::harness::tty::{Socket, Terminal};
use crate::harness::{
    Bundle, Container, Finished, Outcome, eventually, needs, tests, write_program,
};

tests![
    exec_is_in_every_namespace_of_the_container,
    exec_is_in_the_cgroup_of_the_container,
    exec_returns_the_status_of_the_process,
    exec_returns_128_and_the_signal,
    exec_returns_255_when_it_fails_itself,
    exec_passes_the_standard_streams,
    exec_forwards_signals,
    exec_detached_returns_at_once,
    exec_works_in_a_created_container,
    exec_needs_a_living_container,
    the_template_is_that_of_create,
    environment_is_added,
    the_working_directory_is_given,
    a_working_directory_that_is_missing_is_an_error,
    the_user_is_given_by_numbers,
    the_user_is_nothing_but_numbers,
    groups_are_added,
    capabilities_are_those_of_the_template,
    capabilities_are_added_and_never_inheritable,
    no_new_privileges_can_be_asked_for,
    home_is_looked_up,
    the_program_is_searched_in_path,
    a_missing_program_is_an_error,
    a_file_describes_the_process,
    what_the_file_leaves_out_is_the_templates,
    a_file_that_makes_no_sense_is_refused,
    a_terminal_is_the_controlling_one,
    a_terminal_goes_over_the_socket,
    a_terminal_follows_the_callers,
    a_terminal_needs_a_socket_when_detached,
    a_socket_needs_a_terminal_and_detachment,
    the_console_is_the_first_process_own,
    the_pid_file_is_written_when_the_program_runs,
    no_pid_file_is_written_when_the_program_cannot_run,
    the_pidfd_goes_over_the_socket,
    nothing_of_the_host_stays_open,
    the_runtime_cannot_be_looked_at_from_inside,
    signals_have_their_defaults,
    limits_apply,
    oom_score_and_scheduling_apply,
    cpus_are_those_for_exec,
    the_filter_applies,
    the_filter_is_the_one_of_create,
    the_session_keyring_is_the_containers,
    user_namespaces_work,
    ordinary_users_work,
    root_of_a_user_namespace_works,
    shared_namespaces_stay_shared,
    a_container_without_a_mount_namespace_has_its_root,
    joined_namespaces_are_joined,
    a_paused_container_is_refused,
    a_paused_container_is_waited_for,
    a_cgroup_below_is_entered,
    a_cgroup_with_children_is_entered_beside_the_first_process,
    cgroup_v1_is_entered,
    a_hundred_at_once_succeed,
    a_deleted_container_ends_what_was_executed,
];

/// A container that does nothing for a while.
fn idle(bundle: Bundle) -> Container {
    bundle.sh("while :; do sleep 1; done").start()
}

/// `exec [options] ID program…`, as it ends.
fn exec(container: &Container, options: &[&str], program: &[&str]) -> Finished {
    container.verb("exec", options, program)
}

/// What a script prints in the container, without white space at the ends.
#[track_caller]
fn said(container: &Container, options: &[&str], script: &str) -> String {
    exec(container, options, &["sh", "-c", script]).ok().stdout.trim().to_owned()
}

fn capability_field(container: &Container, options: &[&str], name: &str) -> String {
    said(container, options, &format!("sed -n 's/^{name}:\\t*//p' /proc/self/status"))
}

/// Where a process of the container is in the unified hierarchy, as it sees it itself.
#[track_caller]
fn place(container: &Container, options: &[&str]) -> String {
    said(container, options, "sed -n 's/^0:://p' /proc/self/cgroup")
}

/// A program that was executed and left alone. Nobody but its parent can take it away when it has
/// ended, and until then the container's pid namespace does not end: so does this, before the
/// container goes.
struct Detached {
    pid: i32,
}

impl Detached {
    #[track_caller]
    fn exec(container: &Container, options: &[&str], program: &[&str]) -> Self {
        let file = container.bundle().dir().join("detached.pid");
        let mut line = vec!["--detach", "--pid-file", file.to_str().expect("utf-8")];
        line.extend(options);
        exec(container, &line, program).ok();
        let text = std::fs::read_to_string(&file).expect("a pid file");
        Self { pid: text.parse().expect("a number and nothing else") }
    }

    fn proc(&self, file: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.pid)).expect("a process")
    }
}

impl Drop for Detached {
    fn drop(&mut self) {
        let pid = nix::unistd::Pid::from_raw(self.pid);
        let _ = nix::sys::signal::kill(pid, Signal::SIGKILL);
        let _ = nix::sys::wait::waitpid(pid, None);
    }
}

// ---- where it runs

fn exec_is_in_every_namespace_of_the_container() -> Outcome {
    let container = idle(Bundle::new());
    for kind in ["pid", "net", "ipc", "uts", "mnt", "cgroup", "user"] {
        let inside = said(&container, &[], &format!("readlink /proc/self/ns/{kind}"));
        assert_eq!(inside, container.namespace(kind), "{kind}");
    }
    assert_eq!(said(&container, &[], "hostname; ls -d /bin; ls /usr 2>&1 | wc -l"), "box\n/bin\n1");
    assert_eq!(said(&container, &[], "test $$ -gt 1 && echo second"), "second");
    Ok(())
}

fn exec_is_in_the_cgroup_of_the_container() -> Outcome {
    let container = idle(Bundle::new());
    assert_eq!(place(&container, &[]), "/");
    let second = Detached::exec(&container, &[], &["sleep", "60"]);
    assert_eq!(second.proc("cgroup"), container.proc("cgroup"));
    Ok(())
}

// ---- how it ends

fn exec_returns_the_status_of_the_process() -> Outcome {
    let container = idle(Bundle::new());
    for code in [0, 1, 7, 126, 255] {
        exec(&container, &[], &["sh", "-c", &format!("exit {code}")]).exits(code);
    }
    Ok(())
}

fn exec_returns_128_and_the_signal() -> Outcome {
    let container = idle(Bundle::new());
    for (signal, code) in [("TERM", 143), ("KILL", 137)] {
        exec(&container, &[], &["sh", "-c", &format!("kill -{signal} $$; sleep 9")]).exits(code);
    }
    Ok(())
}

/// As runc: callers tell by it that no program ran.
fn exec_returns_255_when_it_fails_itself() -> Outcome {
    needs::other_than("crun", "returns 1")?;
    let container = idle(Bundle::new());
    exec(&container, &[], &["no-such-program"]).exits(255);
    exec(&container, &["--cwd", "/no/such/directory"], &["true"]).exits(255);
    container
        .bundle()
        .sandbox()
        .runtime(&["exec", "no-such-container", "true"])
        .finish()
        .exits(255);
    Ok(())
}

fn exec_passes_the_standard_streams() -> Outcome {
    let container = idle(Bundle::new());
    let line = ["exec", container.id(), "sh", "-c", "cat; echo to stderr >&2"];
    let sandbox = container.bundle().sandbox();
    let finished = sandbox.runtime(&line).input("from stdin\n").finish().ok();
    assert_eq!(finished.stdout, "from stdin\n");
    assert_eq!(finished.stderr, "to stderr\n");
    Ok(())
}

fn exec_forwards_signals() -> Outcome {
    let container = idle(Bundle::new());
    let script = "trap 'echo got it; exit 5' TERM; echo ready; while :; do sleep 0.05; done";
    let line = ["exec", container.id(), "sh", "-c", script];
    let running = container.bundle().sandbox().runtime(&line).spawn();
    assert!(eventually(|| running.stdout().contains("ready")));
    running.signal(Signal::SIGTERM);
    assert_eq!(running.finish().exits(5).stdout, "ready\ngot it\n");
    assert!(container.alive(), "the signal was for the one process");
    Ok(())
}

fn exec_detached_returns_at_once() -> Outcome {
    let container = idle(Bundle::new());
    let script = "echo here >/tmp/seen; sleep 60";
    let _second = Detached::exec(&container, &[], &["sh", "-c", script]);
    let seen = container.bundle().rootfs().join("tmp/seen");
    assert!(eventually(|| std::fs::read_to_string(&seen).is_ok_and(|text| text == "here\n")));
    Ok(())
}

fn exec_works_in_a_created_container() -> Outcome {
    needs::root()?;
    let container = Bundle::new().args(&["true"]).create();
    assert_eq!(said(&container, &[], "hostname"), "box");
    assert_eq!(container.status(), "created");
    container.start();
    Ok(())
}

fn exec_needs_a_living_container() -> Outcome {
    let container = Bundle::new().args(&["true"]).start();
    container.becomes("stopped");
    let refusal = exec(&container, &[], &["true"]).refused();
    if needs::runtime_name() != "crun" {
        refusal.complains("cannot exec in a stopped container");
    }
    Ok(())
}

// ---- what it is

/// LIFE-9: config.json is read by create alone.
fn the_template_is_that_of_create() -> Outcome {
    needs::other_than("crun", "goes to / where no directory is given")?;
    needs::other_than("runc", "reads config.json again")?;
    let container = idle(Bundle::new().env("FROM", "create").set("/process/cwd", "/tmp"));
    let file = container.bundle().dir().join("config.json");
    let text = std::fs::read_to_string(&file).expect("read").replace("FROM=create", "FROM=later");
    std::fs::write(&file, text).expect("write");
    assert_eq!(said(&container, &[], "echo $FROM; pwd"), "create\n/tmp");
    std::fs::remove_file(&file).expect("remove");
    assert_eq!(said(&container, &[], "echo $FROM; pwd"), "create\n/tmp");
    Ok(())
}

fn environment_is_added() -> Outcome {
    needs::other_than("crun", "replaces the environment")?;
    let container = idle(Bundle::new().env("A", "1").env("B", "2"));
    let options = ["-e", "B=3", "-e", "C=4 5"];
    assert_eq!(said(&container, &options, "echo $A $B $C"), "1 3 4 5");
    Ok(())
}

fn the_working_directory_is_given() -> Outcome {
    let container = idle(Bundle::new());
    assert_eq!(said(&container, &["--cwd", "/etc"], "pwd"), "/etc");
    needs::other_than("crun", "takes a relative one from /")?;
    exec(&container, &["--cwd", "etc"], &["pwd"]).refused();
    Ok(())
}

fn a_working_directory_that_is_missing_is_an_error() -> Outcome {
    let container = idle(Bundle::new());
    let refusal = exec(&container, &["--cwd", "/no/such"], &["pwd"]).refused();
    assert!(refusal.stderr.to_lowercase().contains("no such file or directory"), "{refusal}");
    assert!(!container.bundle().rootfs().join("no").exists(), "nor is it made");
    Ok(())
}

fn the_user_is_given_by_numbers() -> Outcome {
    needs::other_than("crun", "starts from root")?;
    let bundle = Bundle::new().set("/process/user", json!({"uid": 3, "gid": 4}));
    let container = idle(bundle);
    assert_eq!(said(&container, &[], "id -u; id -g"), "3\n4");
    assert_eq!(said(&container, &["--user", "1000:1001"], "id -u; id -g"), "1000\n1001");
    assert_eq!(said(&container, &["-u", "7"], "id -u"), "7");
    Ok(())
}

/// CVE-2026-30892
fn the_user_is_nothing_but_numbers() -> Outcome {
    needs::cloison()?;
    let container = idle(Bundle::new());
    for user in ["root", "1x", "1:", ":1", "1:2:3", "4294967295", "4294967296", "-1", "0x1", ""] {
        exec(&container, &[&format!("--user={user}")], &["id"]).refused();
    }
    Ok(())
}

fn groups_are_added() -> Outcome {
    needs::option("exec", "--additional-gids")?;
    let bundle =
        Bundle::new().set("/process/user", json!({"uid": 3, "gid": 4, "additionalGids": [5]}));
    let container = idle(bundle);
    let options = ["-g", "6", "-g", "7"];
    assert_eq!(said(&container, &options, "id -G"), "4 5 6 7");
    Ok(())
}

fn capabilities_are_those_of_the_template() -> Outcome {
    let container = idle(Bundle::new());
    for name in ["CapBnd", "CapEff", "CapPrm", "CapInh", "CapAmb"] {
        assert_eq!(capability_field(&container, &[], name), container.status_field(name), "{name}");
    }
    Ok(())
}

/// CVE-2022-29162
fn capabilities_are_added_and_never_inheritable() -> Outcome {
    needs::other_than("crun", "replaces the sets")?;
    let container = idle(Bundle::new());
    let options = ["--cap", "CAP_NET_RAW"];
    let field = |name| capability_field(&container, &options, name);
    // AUDIT_WRITE, KILL and NET_BIND_SERVICE, and now NET_RAW.
    for name in ["CapBnd", "CapEff", "CapPrm"] {
        assert_eq!(field(name), "0000000020002420", "{name}");
    }
    assert_eq!((field("CapInh"), field("CapAmb")), ("0".repeat(16), "0".repeat(16)));
    Ok(())
}

fn no_new_privileges_can_be_asked_for() -> Outcome {
    let container = idle(Bundle::new().set("/process/noNewPrivileges", false));
    let field = |options: &[&str]| capability_field(&container, options, "NoNewPrivs");
    assert_eq!((field(&[]).as_str(), field(&["--no-new-privs"]).as_str()), ("0", "1"));
    Ok(())
}

fn home_is_looked_up() -> Outcome {
    let container = idle(Bundle::new());
    assert_eq!(said(&container, &["--user", "1000:1000"], "echo $HOME"), "/home/user");
    needs::other_than("crun", "replaces the environment")?;
    assert_eq!(said(&container, &["--env", "HOME=/h"], "echo $HOME"), "/h");
    Ok(())
}

fn the_program_is_searched_in_path() -> Outcome {
    let container = idle(Bundle::new());
    let dir = container.bundle().rootfs().join("opt");
    std::fs::create_dir(&dir).expect("mkdir");
    write_program(&dir.join("found"), "#!/bin/sh\necho $0\n");
    let finished = exec(&container, &["--env", "PATH=/bin:/opt"], &["found"]).ok();
    assert_eq!(finished.stdout, "/opt/found\n");
    Ok(())
}

/// Engines turn these words into the shell's 127 and 126.
fn a_missing_program_is_an_error() -> Outcome {
    let container = idle(Bundle::new());
    let refusal = exec(&container, &[], &["no-such-program"]).refused();
    assert!(refusal.stderr.contains("executable file"), "{refusal}");
    assert!(refusal.stderr.contains("not found in $PATH"), "{refusal}");
    let refusal = exec(&container, &[], &["/no/such"]).refused();
    assert!(refusal.stderr.to_lowercase().contains("no such file or directory"), "{refusal}");
    let refusal = exec(&container, &[], &["/etc/passwd"]).refused();
    let known = ["permission denied", "operation not permitted"];
    let text = refusal.stderr.to_lowercase();
    assert!(known.iter().any(|words| text.contains(words)), "{refusal}");
    Ok(())
}

// ---- a file in place of options

/// Writes a process file beside the bundle.
fn process_file(container: &Container, process: &Value) -> PathBuf {
    let file = container.bundle().dir().join("process.json");
    std::fs::write(&file, process.to_string()).expect("write");
    file
}

fn exec_file(container: &Container, options: &[&str], process: &Value) -> Finished {
    let file = process_file(container, process);
    let mut line = options.to_vec();
    line.extend(["--process", file.to_str().expect("utf-8")]);
    exec(container, &line, &[])
}

fn a_file_describes_the_process() -> Outcome {
    let container = idle(Bundle::new().env("OLD", "1"));
    let process = json!({
        "args": ["sh", "-c", "pwd; id -u; id -g; id -G; umask; echo $OLD $NEW"],
        "cwd": "/etc", "env": ["PATH=/bin", "NEW=2"],
        "user": {"uid": 8, "gid": 9, "additionalGids": [10], "umask": 0o27},
    });
    let finished = exec_file(&container, &[], &process).ok();
    let expected = match needs::runtime_name() {
        // runc has one mask for all processes.
        "runc" => "/etc\n8\n9\n9 10\n0022\n2\n",
        _ => "/etc\n8\n9\n9 10\n0027\n2\n",
    };
    assert_eq!(finished.stdout, expected);
    Ok(())
}

fn what_the_file_leaves_out_is_the_templates() -> Outcome {
    needs::other_than("crun", "gives it no capabilities and no limits")?;
    needs::other_than("runc", "gives it no limits")?;
    let bundle = Bundle::new()
        .push("/process/rlimits", json!({"type": "RLIMIT_CORE", "soft": 11, "hard": 12}));
    let container = idle(bundle);
    let process = json!({
        "args": ["sh", "-c", "grep CapBnd /proc/self/status; grep core /proc/self/limits"],
        "cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0},
    });
    let words: Vec<String> = exec_file(&container, &[], &process)
        .ok()
        .stdout
        .split_whitespace()
        .map(str::to_owned)
        .collect();
    assert_eq!(words[1], container.status_field("CapBnd"));
    assert_eq!(words[6..8], ["11", "12"]);
    Ok(())
}

fn a_file_that_makes_no_sense_is_refused() -> Outcome {
    needs::cloison()?;
    let container = idle(Bundle::new());
    let bare = |text: &str| {
        let file = container.bundle().dir().join("process.json");
        std::fs::write(&file, text).expect("write");
        exec(&container, &["--process", file.to_str().expect("utf-8")], &[]).exits(255)
    };
    bare("").complains("the file is empty");
    bare("{}").complains("/process/cwd: is missing");
    bare("{\"cwd\": \"/\"}").complains("/process/args: no program");
    bare("{\"cwd\": \"/\", \"args\": [\"true\"], \"env\": 3}").complains("/process/env");
    bare("{\"cwd\": \"/\"}, \"linux\": {}").complains("not JSON");
    exec(&container, &["--process", "/no/such"], &[]).exits(255).complains("/no/such");
    Ok(())
}

// ---- terminals

fn a_terminal_is_the_controlling_one() -> Outcome {
    needs::other_than("crun", "writes to the terminal itself now and then")?;
    let container = idle(Bundle::new());
    let (outer, inner) = Terminal::open();
    let script = "echo into the terminal >/dev/tty; test -t 0 && test -t 1 && echo both";
    let line = ["exec", "--tty", container.id(), "sh", "-c", script];
    let run = container.bundle().sandbox().runtime(&line);
    run.stdio(inner.stdio(), inner.stdio(), inner.stdio()).finish().ok();
    drop(inner);
    assert_eq!(outer.rest().replace('\r', ""), "into the terminal\nboth\n");
    Ok(())
}

fn a_terminal_goes_over_the_socket() -> Outcome {
    needs::other_than("crun", "leaves the terminal to root")?;
    let container = idle(Bundle::new());
    let socket = Socket::listen(container.bundle().sandbox().path());
    let options = ["--tty", "--user", "1000:1000", "--console-socket", socket.path()];
    let script = "stat -L -c %u /proc/self/fd/0; read line; echo \"read $line\"; sleep 60";
    let _second = Detached::exec(&container, &options, &["sh", "-c", script]);
    let (master, payload) = socket.receive();
    assert!(!payload.is_empty(), "engines drop a message without bytes");
    let mut terminal = Terminal::from_master(master);
    terminal.expect("1000");
    terminal.type_in("some words\n");
    terminal.expect("read some words");
    Ok(())
}

fn a_terminal_follows_the_callers() -> Outcome {
    needs::other_than("runc", "changes the mode after the program has started")?;
    needs::other_than("crun", "sets the size after the program has started")?;
    let container = idle(Bundle::new());
    let (mut outer, inner) = Terminal::open();
    inner.stty(&["rows", "30", "cols", "100"]);
    let before = inner.stty(&["-g"]);
    let script =
        "stty size; trap 'stty size; exit 3' WINCH; echo ready; while :; do sleep 0.05; done";
    let line = ["exec", "-t", container.id(), "sh", "-c", script];
    let run = container.bundle().sandbox().runtime(&line);
    let run = run.stdio(inner.stdio(), inner.stdio(), inner.stdio()).spawn();
    outer.expect("30 100");
    outer.expect("ready");
    assert!(
        eventually(|| inner.stty(&["-g"]) != before),
        "raw: control characters are the program's"
    );
    inner.stty(&["rows", "40", "cols", "120"]);
    run.signal(Signal::SIGWINCH);
    outer.expect("40 120");
    run.finish().exits(3);
    assert_eq!(inner.stty(&["-g"]), before);
    Ok(())
}

fn a_terminal_needs_a_socket_when_detached() -> Outcome {
    needs::other_than("crun", "makes a terminal that nobody holds")?;
    let container = idle(Bundle::new());
    exec(&container, &["--tty", "--detach"], &["true"]).refused().complains("cannot allocate tty");
    Ok(())
}

fn a_socket_needs_a_terminal_and_detachment() -> Outcome {
    needs::other_than("crun", "ignores the socket")?;
    let container = idle(Bundle::new());
    let socket = Socket::listen(container.bundle().sandbox().path());
    for more in ["--detach", "--tty"] {
        exec(&container, &[more, "--console-socket", socket.path()], &["true"])
            .refused()
            .complains("cannot use console socket");
    }
    Ok(())
}

fn the_console_is_the_first_process_own() -> Outcome {
    needs::other_than("crun", "writes to the terminal itself now and then")?;
    let container = idle(Bundle::new());
    let (outer, inner) = Terminal::open();
    let line = ["exec", "--tty", container.id(), "sh", "-c", "test -e /dev/console || echo absent"];
    let run = container.bundle().sandbox().runtime(&line);
    run.stdio(inner.stdio(), inner.stdio(), inner.stdio()).finish().ok();
    drop(inner);
    assert_eq!(outer.rest().trim(), "absent");
    Ok(())
}

// ---- what the caller learns

fn the_pid_file_is_written_when_the_program_runs() -> Outcome {
    needs::other_than("runc", "writes it before the program is executed")?;
    let container = idle(Bundle::new());
    let second = Detached::exec(&container, &[], &["sleep", "60"]);
    assert_eq!(second.proc("comm"), "sleep\n", "no newline in the file: engines parse bare bytes");
    Ok(())
}

/// Engines tell by it whether the program ran.
fn no_pid_file_is_written_when_the_program_cannot_run() -> Outcome {
    let container = idle(Bundle::new());
    let file = container.bundle().dir().join("pid");
    let options = ["--detach", "--pid-file", file.to_str().expect("utf-8")];
    exec(&container, &options, &["no-such-program"]).refused();
    assert!(!file.exists());
    needs::other_than("runc", "does not wait for execve")?;
    needs::other_than("crun", "does not wait for execve")?;
    let script = container.bundle().rootfs().join("bin/broken");
    write_program(&script, "#!/no/such/interpreter\n");
    exec(&container, &options, &["broken"]).refused();
    assert!(!file.exists());
    assert_eq!(
        std::fs::read_dir(container.bundle().dir())
            .expect("read")
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().contains("pid"))
            .count(),
        0
    );
    Ok(())
}

fn the_pidfd_goes_over_the_socket() -> Outcome {
    needs::option("exec", "--pidfd-socket")?;
    let container = idle(Bundle::new());
    let socket = Socket::listen(container.bundle().sandbox().path());
    let second = Detached::exec(&container, &["--pidfd-socket", socket.path()], &["sleep", "60"]);
    let (pidfd, _) = socket.receive();
    let number = std::os::fd::AsRawFd::as_raw_fd(&pidfd);
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}")).expect("fdinfo");
    let line = info.lines().find_map(|line| line.strip_prefix("Pid:")).expect("a pidfd");
    assert_eq!(line.trim(), second.pid.to_string());
    Ok(())
}

// ---- what it must not be

/// CVE-2016-9962, CVE-2024-21626
fn nothing_of_the_host_stays_open() -> Outcome {
    let container = idle(Bundle::new());
    // The last one is ls's own.
    assert_eq!(said(&container, &[], "ls /proc/self/fd"), "0\n1\n2\n3");
    let seen = exec(&container, &["--cwd", "/proc/self/fd"], &["ls"]).ok().stdout;
    assert_eq!(seen, "0\n1\n2\n3\n");
    for fd in 3..10 {
        exec(&container, &["--cwd", &format!("/proc/self/fd/{fd}")], &["ls"]).refused();
    }
    Ok(())
}

/// CVE-2019-5736: no process in the container ever shows a runtime that could be written.
fn the_runtime_cannot_be_looked_at_from_inside() -> Outcome {
    needs::cloison()?;
    let bundle = Bundle::new();
    let script = bundle.rootfs().join("bin/self");
    write_program(&script, "#!/proc/self/exe\n");
    let container = idle(bundle);
    let runtime = crate::harness::runtime_path();
    let before = std::fs::metadata(&runtime).expect("the runtime").modified().expect("a time");
    exec(&container, &[], &["self"]);
    assert_eq!(
        std::fs::metadata(&runtime).expect("the runtime").modified().expect("a time"),
        before
    );
    Ok(())
}

fn signals_have_their_defaults() -> Outcome {
    let container = idle(Bundle::new());
    let sets = |text: &str| {
        for line in text.lines().filter(|line| {
            line.starts_with("SigBlk") || line.starts_with("SigIgn") || line.starts_with("SigCgt")
        }) {
            let (_, set) = line.split_once('\t').expect("a set");
            let set = u64::from_str_radix(set, 16).expect("hexadecimal");
            // Signals from 32 on are the C libraries' own and may be inherited.
            assert_eq!(set & 0x7fff_ffff, 0, "{text}");
        }
    };
    sets(&exec(&container, &[], &["grep", "^Sig", "/proc/self/status"]).ok().stdout);
    needs::other_than("runc", "does not wait for execve")?;
    sets(&Detached::exec(&container, &[], &["sleep", "60"]).proc("status"));
    Ok(())
}

// ---- limits and filters

fn limits_apply() -> Outcome {
    needs::since("runc", "1.1.13", "keeps the Go runtime from changing RLIMIT_NOFILE")?;
    needs::other_than("crun", "sets no limits")?;
    let bundle = Bundle::new()
        .push("/process/rlimits", json!({"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}))
        .push("/process/rlimits", json!({"type": "RLIMIT_CORE", "soft": 7, "hard": 9}));
    let container = idle(bundle);
    assert_eq!(said(&container, &[], "ulimit -n; ulimit -Hn"), "100\n200");
    let limits = said(&container, &[], "grep core /proc/self/limits");
    assert_eq!(limits.split_whitespace().collect::<Vec<_>>()[4..6], ["7", "9"]);
    Ok(())
}

fn oom_score_and_scheduling_apply() -> Outcome {
    needs::since("runc", "1.2", "knows scheduler and ioPriority")?;
    needs::other_than("crun", "leaves oom_score_adj as the caller's")?;
    let bundle = Bundle::new()
        .set("/process/oomScoreAdj", 321)
        .set("/process/scheduler", json!({"policy": "SCHED_BATCH", "nice": 7}))
        .set("/process/ioPriority", json!({"class": "IOPRIO_CLASS_IDLE", "priority": 0}));
    let container = idle(bundle);
    assert_eq!(said(&container, &[], "cat /proc/self/oom_score_adj"), "321");
    assert_eq!(said(&container, &[], "cut -d' ' -f19,41 /proc/self/stat"), "7 3");
    Ok(())
}

/// config.md, execCPUAffinity: the last word has `final`.
fn cpus_are_those_for_exec() -> Outcome {
    let affinity = |initial: &str, last: &str| {
        let affinity = json!({"initial": initial, "final": last});
        idle(Bundle::new().set("/process/execCPUAffinity", affinity))
    };
    let allowed = "sed -n 's/^Cpus_allowed_list:\\t*//p' /proc/self/status";
    if std::thread::available_parallelism().map_or(1, usize::from) < 2 {
        return Err(crate::harness::Skip("needs two CPUs".to_owned()));
    }
    needs::other_than("crun", "does not know execCPUAffinity in this version")?;
    needs::since("runc", "1.3", "knows execCPUAffinity")?;
    let container = affinity("0", "1");
    assert_eq!(said(&container, &[], allowed), "1");
    assert_ne!(container.status_field("Cpus_allowed_list"), "1", "not for the first process");
    let container = idle(Bundle::new().set("/process/execCPUAffinity", json!({"initial": "0"})));
    assert_eq!(said(&container, &[], allowed), "0");
    Ok(())
}

/// mkdir and mkdirat are refused, with an errno of their own.
fn no_mkdir() -> Value {
    json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95}],
    })
}

fn the_filter_applies() -> Outcome {
    for no_new_privileges in [true, false] {
        let bundle = Bundle::new()
            .set("/linux/seccomp", no_mkdir())
            .set("/process/noNewPrivileges", no_new_privileges);
        let container = idle(bundle);
        let refusal = exec(&container, &[], &["mkdir", "/tmp/x"]).exits(1);
        assert!(refusal.stderr.contains("not supported"), "{refusal}");
        assert_eq!(capability_field(&container, &[], "Seccomp"), "2");
        let refusal = exec(&container, &["--user", "1000:1000"], &["mkdir", "/tmp/x"]).exits(1);
        assert!(refusal.stderr.contains("not supported"), "{refusal}");
    }
    Ok(())
}

fn the_filter_is_the_one_of_create() -> Outcome {
    needs::cloison()?;
    let container = idle(Bundle::new().set("/linux/seccomp", no_mkdir()));
    std::fs::remove_file(container.bundle().dir().join("config.json")).expect("remove");
    exec(&container, &[], &["mkdir", "/tmp/x"]).exits(1);
    let kept = container.bundle().sandbox().root().join(container.id()).join("seccomp.bpf");
    std::fs::remove_file(kept).expect("remove the filter");
    exec(&container, &[], &["mkdir", "/tmp/x"]).exits(255).complains("seccomp.bpf");
    assert!(!container.bundle().rootfs().join("tmp/x").exists(), "never without the filter");
    Ok(())
}

/// keyctl(KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, no)
const SESSION: &[&str] = &["/probe", "syscall", "250", "0", "-3", "0"];

fn the_session_keyring_is_the_containers() -> Outcome {
    needs::other_than("crun", "leaves the caller's keyring")?;
    let container = idle(Bundle::new().with_probe());
    let first = exec(&container, &[], SESSION).ok().stdout;
    assert_eq!(exec(&container, &[], SESSION).ok().stdout, first);
    assert!(first.trim().parse::<i32>().is_ok_and(|serial| serial > 0), "{first}");
    let inherited = Bundle::new().with_probe().sh("while :; do sleep 1; done");
    let container = inherited.create_with(&["--no-new-keyring"]);
    container.start();
    assert_ne!(exec(&container, &[], SESSION).ok().stdout, first);
    Ok(())
}

// ---- namespaces that are not all its own

fn user_namespaces_work() -> Outcome {
    needs::other_than("crun", "leaves oom_score_adj as the caller's")?;
    let bundle = Bundle::new()
        .in_user_namespace(100_000)
        .set("/process/oomScoreAdj", 100)
        .push("/process/rlimits", json!({"type": "RLIMIT_CORE", "soft": 7, "hard": 9}));
    let container = idle(bundle);
    let script = "id -u; id -g; cat /proc/self/oom_score_adj; cat /proc/self/uid_map; \
                  touch /tmp/mine && stat -c %u /tmp/mine; readlink /proc/self/ns/user";
    let words = said(&container, &[], script);
    let words: Vec<&str> = words.split_whitespace().collect();
    let own = container.namespace("user");
    assert_eq!(words, ["0", "0", "100", "0", "100000", "65536", "0", own.as_str()]);
    assert_eq!(
        said(&container, &["--user", "1000:1001"], "id -u; id -g; id -G"),
        "1000\n1001\n1001"
    );
    for name in ["CapBnd", "CapEff", "CapPrm", "CapInh", "CapAmb"] {
        assert_eq!(capability_field(&container, &[], name), container.status_field(name), "{name}");
    }
    let (outer, inner) = Terminal::open();
    let line =
        ["exec", "--tty", container.id(), "sh", "-c", "test -t 0 && stat -L -c %u /proc/self/fd/0"];
    let run = container.bundle().sandbox().runtime(&line);
    run.stdio(inner.stdio(), inner.stdio(), inner.stdio()).finish().ok();
    drop(inner);
    assert_eq!(outer.rest().trim(), "0");
    Ok(())
}

const USER: u32 = 12_345;

/// In a container of an ordinary user: root there, that user outside.
fn ordinary_users_work() -> Outcome {
    let bundle = Bundle::new().for_user(USER).sh("while :; do sleep 1; done");
    let output = bundle.dir().join("container");
    bundle.invoke("create", &[]).user(USER).keeping_output_in(output).finish().ok();
    let verb = |line: &[&str]| bundle.sandbox().runtime(line).user(USER).finish();
    let id = bundle.id();
    verb(&["start", id]).ok();
    let script = "id -u; readlink /proc/self/ns/pid | wc -l; hostname; \
                  grep -h ^Cap[EP] /proc/1/status /proc/self/status | sort | uniq | wc -l";
    assert_eq!(verb(&["exec", id, "sh", "-c", script]).ok().stdout, "0\n1\nbox\n2\n");
    verb(&["exec", id, "no-such-program"]).refused();
    let process = json!({
        "args": ["cat", "/proc/self/oom_score_adj"], "cwd": "/", "env": ["PATH=/bin"],
        "user": {"uid": 0, "gid": 0}, "oomScoreAdj": 500,
    });
    let file = bundle.dir().join("process.json");
    std::fs::write(&file, process.to_string()).expect("write");
    let described = verb(&["exec", "-p", file.to_str().expect("utf-8"), id]);
    if needs::cloison().is_ok() {
        assert_eq!(described.ok().stdout, "500\n");
    }
    verb(&["delete", "--force", id]).ok();
    Ok(())
}

fn root_of_a_user_namespace_works() -> Outcome {
    needs::path("/usr/bin/unshare")?;
    for own_users in [false, true] {
        let mut bundle = Bundle::new().for_user(USER).sh("while :; do sleep 1; done");
        if own_users {
            let ids = json!([{"containerID": 0, "hostID": 0, "size": 1}]);
            bundle = bundle.set("/linux/uidMappings", ids.clone()).set("/linux/gidMappings", ids);
        } else {
            bundle = bundle
                .without_namespace("user")
                .unset("/linux/uidMappings")
                .unset("/linux/gidMappings");
        }
        bundle.write();
        let runtime = crate::harness::runtime_path();
        let root = bundle.sandbox().root();
        let script = format!(
            "set -e; r='{} --root {}'; $r create --bundle {dir} {id} >/dev/null 2>&1 </dev/null; \
             $r start {id}; $r exec {id} sh -c 'id -u; hostname'; $r delete --force {id}",
            runtime.display(),
            root.display(),
            dir = bundle.dir().display(),
            id = bundle.id(),
        );
        let line = ["--user", "--map-root-user", "--mount", "sh", "-c", &script];
        let nested = bundle.sandbox().program(Path::new("/usr/bin/unshare"), &line).user(USER);
        assert_eq!(nested.finish().ok().stdout, "0\nbox\n", "{own_users}");
    }
    Ok(())
}

fn shared_namespaces_stay_shared() -> Outcome {
    needs::other_than("runc", "leaves a cgroup behind where pids are shared")?;
    needs::root()?;
    let bundle = Bundle::new().without_namespace("pid").without_namespace("network");
    // sysfs of a network namespace that is not its own cannot be mounted by everybody.
    let container = idle(bundle);
    for kind in ["pid", "net", "uts", "mnt"] {
        let inside = said(&container, &[], &format!("readlink /proc/self/ns/{kind}"));
        assert_eq!(inside, container.namespace(kind), "{kind}");
    }
    Ok(())
}

fn a_container_without_a_mount_namespace_has_its_root() -> Outcome {
    needs::root()?;
    needs::cloison()?;
    let bundle = Bundle::new().without_namespace("mount").set("/mounts", json!([]));
    let container = idle(bundle);
    assert_eq!(said(&container, &[], "test -d /usr || echo none; pwd; hostname"), "none\n/\nbox");
    Ok(())
}

fn joined_namespaces_are_joined() -> Outcome {
    needs::other_than("runc", "leaves a cgroup behind where pids are shared")?;
    needs::root()?;
    let first = idle(Bundle::new());
    let bundle = ["network", "ipc", "pid"].iter().zip(["net", "ipc", "pid"]).fold(
        Bundle::in_sandbox(first.bundle().sandbox(), "b"),
        |bundle, (kind, file)| {
            bundle.join_namespace(kind, &format!("/proc/{}/ns/{file}", first.pid))
        },
    );
    let second = idle(bundle);
    for kind in ["net", "ipc", "pid", "uts"] {
        let inside = said(&second, &[], &format!("readlink /proc/self/ns/{kind}"));
        assert_eq!(inside, second.namespace(kind), "{kind}");
        assert_eq!(inside == first.namespace(kind), kind != "uts", "{kind}");
    }
    Ok(())
}

// ---- cgroups

/// The directory of the container's cgroup.
fn cgroup(container: &Container) -> PathBuf {
    let path = container.bundle().cgroup().expect("a cgroup");
    Path::new("/sys/fs/cgroup").join(path.trim_start_matches('/'))
}

fn a_paused_container_is_refused() -> Outcome {
    let container = idle(Bundle::new());
    container.verb("pause", &[], &[]).ok();
    let refusal = exec(&container, &[], &["true"]).refused();
    if needs::runtime_name() != "crun" {
        refusal.complains("cannot exec in a paused container (use --ignore-paused to override)");
    }
    container.verb("resume", &[], &[]).ok();
    exec(&container, &[], &["true"]).ok();
    Ok(())
}

fn a_paused_container_is_waited_for() -> Outcome {
    needs::option("exec", "--ignore-paused")?;
    let container = idle(Bundle::new());
    container.verb("pause", &[], &[]).ok();
    let line = ["exec", "--ignore-paused", container.id(), "echo", "now"];
    let mut running = container.bundle().sandbox().runtime(&line).spawn();
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert!(!running.ended() && running.stdout().is_empty());
    container.verb("resume", &[], &[]).ok();
    assert_eq!(running.finish().ok().stdout, "now\n");
    Ok(())
}

fn a_cgroup_below_is_entered() -> Outcome {
    needs::option("exec", "--cgroup")?;
    needs::other_than("crun", "takes it for a path from the root")?;
    let container = idle(Bundle::new());
    std::fs::create_dir(cgroup(&container).join("below")).expect("mkdir");
    assert_eq!(place(&container, &["--cgroup", "below"]), "/below");
    assert_eq!(place(&container, &["--cgroup", "/"]), "/");
    exec(&container, &["--cgroup", "missing"], &["true"]).refused();
    exec(&container, &["--cgroup", "below/../.."], &["true"]).refused();
    Ok(())
}

/// On cgroup v2 an inner node that hands controllers down takes no processes.
fn a_cgroup_with_children_is_entered_beside_the_first_process() -> Outcome {
    needs::other_than("crun", "takes no options for it")?;
    needs::controller("hugetlb")?;
    let container = idle(Bundle::new());
    let dir = cgroup(&container);
    std::fs::create_dir(dir.join("init")).expect("mkdir");
    for pid in std::fs::read_to_string(dir.join("cgroup.procs")).expect("read").lines() {
        // A sleep may end meanwhile.
        let _ = std::fs::write(dir.join("init/cgroup.procs"), pid);
    }
    if std::fs::write(dir.join("cgroup.subtree_control"), "+hugetlb").is_err() {
        return Err(crate::harness::Skip("hugetlb cannot be handed down here".to_owned()));
    }
    let program = ["sed", "-n", "s/^0:://p", "/proc/self/cgroup"];
    let finished = exec(&container, &[], &program).ok();
    assert_eq!(finished.stdout, "/init\n");
    if needs::cloison().is_ok() {
        finished.complains("takes no process");
    }
    exec(&container, &["--cgroup", "/"], &["true"]).refused();
    Ok(())
}

fn cgroup_v1_is_entered() -> Outcome {
    needs::other_than("crun", "refuses hybrid hierarchies")?;
    needs::v1_controller("pids")?;
    crate::harness::on_host_hierarchies(|| {
        let container = idle(Bundle::new());
        let lines = |text: &str| {
            let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        let second = Detached::exec(&container, &[], &["sleep", "60"]);
        assert_eq!(lines(&second.proc("cgroup")), lines(&container.proc("cgroup")));
    });
    Ok(())
}

// ---- many, and the end

fn a_hundred_at_once_succeed() -> Outcome {
    let container = idle(Bundle::new());
    let sandbox = container.bundle().sandbox();
    let script = |n: usize| format!("echo {n}; exit {}", n % 7);
    let running: Vec<_> = (0..100)
        .map(|n| sandbox.runtime(&["exec", container.id(), "sh", "-c", &script(n)]).spawn())
        .collect();
    for (n, running) in running.into_iter().enumerate() {
        let finished = running.finish().exits((n % 7) as i32);
        assert_eq!(finished.stdout, format!("{n}\n"));
    }
    assert_eq!(container.status(), "running");
    Ok(())
}

fn a_deleted_container_ends_what_was_executed() -> Outcome {
    needs::other_than("runc", "leaves its cgroup behind now and then")?;
    needs::root()?;
    let container = idle(Bundle::new().without_namespace("pid"));
    let line = ["exec", container.id(), "sh", "-c", "echo up; sleep 60"];
    let running = container.bundle().sandbox().runtime(&line).spawn();
    assert!(eventually(|| running.stdout().contains("up")));
    container.verb("delete", &["--force"], &[]).ok();
    running.finish().exits(137);
    Ok(())
}
