//! Terminals: `process.terminal` with `--console-socket`, or in the
//! foreground of `run` and `exec` (config.md, "Process").

use std::fs;
use std::io::{Seek, Write};
use std::process::Command;
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::sys::signal::Signal;
use serde_json::json;

use crate::harness::tty::{Slave, Socket, Terminal};
use crate::harness::{Bundle, Outcome, Running, ask, eventually, needs, tests, write_program};

tests![
    the_console_socket_receives_the_master,
    the_terminal_is_the_controlling_one,
    dev_console_is_the_terminal,
    console_size_is_set,
    the_terminal_belongs_to_the_user,
    run_in_the_foreground_copies_to_and_fro,
    run_in_the_foreground_restores_the_outer_terminal,
    run_in_the_foreground_has_the_window_size_from_the_start,
    run_in_the_foreground_follows_the_window_size,
    run_in_the_foreground_has_the_window_size_of_any_stream,
    run_on_a_terminal_without_a_size_has_that_of_the_config,
    raw_mode_begins_before_the_program,
    raw_mode_ends_when_the_container_is_killed,
    raw_mode_ends_when_the_container_cannot_be_made,
    raw_mode_ends_when_the_runtime_is_asked_to_end,
    a_program_that_does_not_read_holds_nothing_up,
    a_paste_arrives_whole,
    output_that_is_not_taken_holds_no_signal_up,
    output_that_is_not_taken_does_not_keep_the_runtime,
    a_terminal_that_was_closed_can_be_opened_again,
    input_that_is_no_terminal_ends,
    input_that_ends_amid_a_line_ends,
    input_has_ended_for_everyone_who_reads,
    a_shell_without_input_ends,
    a_terminal_hangs_up_when_nobody_takes_its_output,
    output_at_the_end_is_shown,
    exec_in_the_foreground_relays_alike,
    a_terminal_without_a_socket_is_refused_when_detached,
    a_socket_without_a_terminal_is_refused,
    a_socket_that_nobody_listens_on_is_refused,
];

/// A bundle with a terminal, running `script` once started.
fn with_terminal(script: &str) -> Bundle {
    Bundle::new().sh(script).set("/process/terminal", true)
}

/// Creates and starts with a console socket, and reads the terminal to the end.
fn seen_through_the_socket(bundle: Bundle) -> String {
    let socket = Socket::listen(bundle.sandbox().path());
    let container = bundle.create_with(&["--console-socket", socket.path()]);
    let (master, _) = socket.receive();
    container.start();
    Terminal::from_master(master).rest().replace("\r\n", "\n")
}

fn the_console_socket_receives_the_master() -> Outcome {
    let bundle = with_terminal("tty; read line; echo \"read $line\"");
    let socket = Socket::listen(bundle.sandbox().path());
    let container = bundle.create_with(&["--console-socket", socket.path()]);
    let (master, payload) = socket.receive();
    assert!(!payload.is_empty(), "engines drop a message without bytes");
    let mut terminal = Terminal::from_master(master);
    container.start();
    terminal.expect("/dev/");
    terminal.type_in("some words\n");
    terminal.expect("read some words");
    assert_eq!(container.wait(), 0);
    Ok(())
}

fn the_terminal_is_the_controlling_one() -> Outcome {
    let seen = seen_through_the_socket(with_terminal(
        "echo into the terminal >/dev/tty; for fd in 0 1 2; do test -t $fd && echo $fd; done",
    ));
    assert_eq!(seen, "into the terminal\n0\n1\n2\n");
    Ok(())
}

fn dev_console_is_the_terminal() -> Outcome {
    let seen =
        seen_through_the_socket(with_terminal("test -c /dev/console && echo here >/dev/console"));
    assert_eq!(seen, "here\n");
    let absent = Bundle::new().sh("test -e /dev/console || echo absent").output();
    assert_eq!(absent, "absent", "only with a terminal");
    Ok(())
}

fn console_size_is_set() -> Outcome {
    let bundle =
        with_terminal("stty size").set("/process/consoleSize", json!({"height": 43, "width": 132}));
    assert_eq!(seen_through_the_socket(bundle), "43 132\n");
    Ok(())
}

fn the_terminal_belongs_to_the_user() -> Outcome {
    let bundle = with_terminal("stat -L -c %u /proc/self/fd/0; echo written >/proc/self/fd/1")
        .set("/process/user", json!({"uid": 1000, "gid": 1000}));
    assert_eq!(seen_through_the_socket(bundle), "1000\nwritten\n");
    Ok(())
}

fn run_in_the_foreground_copies_to_and_fro() -> Outcome {
    let bundle = with_terminal("tty; read line; echo \"read $line\"; exit 3");
    let (mut outer, inner) = Terminal::open();
    let run = bundle.invoke("run", &[]).stdio(inner.stdio(), inner.stdio(), inner.stdio()).spawn();
    outer.expect("/dev/");
    outer.type_in("some words\r");
    outer.expect("read some words");
    run.finish().exits(3);
    Ok(())
}

fn run_in_the_foreground_restores_the_outer_terminal() -> Outcome {
    let bundle = with_terminal("echo ready; read line");
    let (mut outer, inner) = Terminal::open();
    let before = inner.stty(&["-g"]);
    let run = bundle.invoke("run", &[]).stdio(inner.stdio(), inner.stdio(), inner.stdio()).spawn();
    outer.expect("ready");
    assert_ne!(inner.stty(&["-g"]), before, "raw: control characters are the container's");
    outer.type_in("\r");
    run.finish().ok();
    assert_eq!(inner.stty(&["-g"]), before);
    Ok(())
}

fn run_in_the_foreground_has_the_window_size_from_the_start() -> Outcome {
    needs::other_than("crun", "sets the size after the program has started")?;
    needs::other_than("runc", "sets the size after the program has started")?;
    let bundle = with_terminal("stty size");
    let (mut outer, inner) = Terminal::open();
    inner.stty(&["rows", "30", "cols", "100"]);
    let run = bundle.invoke("run", &[]).stdio(inner.stdio(), inner.stdio(), inner.stdio()).spawn();
    outer.expect("30 100");
    run.finish().ok();
    Ok(())
}

fn run_in_the_foreground_follows_the_window_size() -> Outcome {
    needs::other_than("crun", "loses a change that comes early")?;
    let bundle = with_terminal("echo ready; while :; do stty size; sleep 0.1; done");
    let (mut outer, inner) = Terminal::open();
    inner.stty(&["rows", "30", "cols", "100"]);
    let run = bundle.invoke("run", &[]).stdio(inner.stdio(), inner.stdio(), inner.stdio()).spawn();
    outer.expect("ready");
    inner.stty(&["rows", "40", "cols", "120"]);
    run.signal(Signal::SIGWINCH);
    outer.expect("40 120");
    bundle.sandbox().runtime(&["delete", "--force", bundle.id()]).finish();
    run.finish();
    Ok(())
}

/// Runs the bundle on a terminal of its own.
fn on_a_terminal(bundle: &Bundle, verb: &[&str]) -> (Terminal, Slave, Running) {
    let (outer, inner) = Terminal::open();
    let run = bundle.invoke(verb[0], &verb[1..]);
    let run = run.stdio(inner.stdio(), inner.stdio(), inner.stdio()).spawn();
    (outer, inner, run)
}

/// The mode of a terminal that nobody has changed.
fn cooked() -> String {
    let (_outer, inner) = Terminal::open();
    inner.stty(&["-g"])
}

fn run_in_the_foreground_has_the_window_size_of_any_stream() -> Outcome {
    needs::other_than("crun", "asks the standard input alone")?;
    needs::other_than("runc", "sets the size after the program has started")?;
    let bundle = with_terminal("stty size");
    let (mut outer, inner) = Terminal::open();
    inner.stty(&["rows", "31", "cols", "101"]);
    let null = std::process::Stdio::null();
    let run = bundle.invoke("run", &[]).stdio(null, inner.stdio(), inner.stdio()).spawn();
    outer.expect("31 101");
    run.finish().ok();
    Ok(())
}

/// TERM-1
fn run_on_a_terminal_without_a_size_has_that_of_the_config() -> Outcome {
    needs::other_than("runc", "takes over that there is none")?;
    let bundle =
        with_terminal("stty size").set("/process/consoleSize", json!({"height": 43, "width": 132}));
    let (mut outer, _inner, run) = on_a_terminal(&bundle, &["run"]);
    outer.expect("43 132");
    run.finish().ok();
    Ok(())
}

/// TERM-1
fn raw_mode_begins_before_the_program() -> Outcome {
    needs::other_than("runc", "changes the mode after the program has started")?;
    needs::other_than("crun", "changes the mode after the program has started")?;
    let bundle = with_terminal("true");
    let seen = bundle.dir().join("mode");
    let hook = bundle.dir().join("hook");
    let script = format!("#!/bin/sh\nstty -g </proc/$PPID/fd/0 >{}\n", seen.display());
    write_program(&hook, &script);
    let bundle = bundle.set("/hooks/createRuntime", json!([{"path": hook}]));
    let (_outer, inner) = Terminal::open();
    let before = inner.stty(&["-g"]);
    let run = bundle.invoke("run", &[]).stdio(inner.stdio(), inner.stdio(), inner.stdio());
    run.spawn().finish().ok();
    let during = fs::read_to_string(seen).expect("read the mode");
    assert_ne!(during.trim(), before, "nothing that is typed meanwhile is echoed or a signal");
    assert_eq!(inner.stty(&["-g"]), before);
    Ok(())
}

fn raw_mode_ends_when_the_container_is_killed() -> Outcome {
    let bundle = with_terminal("echo ready; sleep 60");
    let (mut outer, inner, run) = on_a_terminal(&bundle, &["run"]);
    outer.expect("ready");
    assert_ne!(inner.stty(&["-g"]), cooked());
    bundle.sandbox().runtime(&["kill", bundle.id(), "KILL"]).finish().ok();
    run.finish().exits(137);
    assert_eq!(inner.stty(&["-g"]), cooked());
    Ok(())
}

fn raw_mode_ends_when_the_container_cannot_be_made() -> Outcome {
    let hook = json!([{"path": "/bin/false"}]);
    let bundle = with_terminal("true").set("/hooks/createRuntime", hook);
    let missing = with_terminal("true").args(&["/missing"]);
    for bundle in [bundle, missing] {
        let (_outer, inner, run) = on_a_terminal(&bundle, &["run"]);
        assert_ne!(run.finish().code, 0);
        assert_eq!(inner.stty(&["-g"]), cooked());
    }
    Ok(())
}

fn raw_mode_ends_when_the_runtime_is_asked_to_end() -> Outcome {
    let bundle = with_terminal("trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done");
    let (mut outer, inner, run) = on_a_terminal(&bundle, &["run"]);
    outer.expect("ready");
    run.signal(Signal::SIGTERM);
    run.finish().exits(9);
    assert_eq!(inner.stty(&["-g"]), cooked());
    Ok(())
}

/// TERM-2
fn a_program_that_does_not_read_holds_nothing_up() -> Outcome {
    needs::other_than("crun", "waits for a program that does not read")?;
    let bundle = with_terminal(
        "stty raw -echo; trap 'echo; exit 9' TERM; n=0
        while :; do n=$((n + 1)); echo tick $n.; sleep 0.02; done",
    );
    let (mut outer, _inner, run) = on_a_terminal(&bundle, &["run"]);
    outer.expect("tick 1.");
    let pasted = outer.paste(&"x".repeat(1 << 20));
    assert!(pasted < 1 << 20, "no buffer is without bounds");
    let seen = outer.expect("tick 1.").to_owned();
    let next = seen.matches("tick").count() + 20;
    outer.expect(&format!("tick {next}."));
    run.signal(Signal::SIGTERM);
    run.finish().exits(9);
    Ok(())
}

/// TERM-2
fn a_paste_arrives_whole() -> Outcome {
    // What is typed before the first word is kept too.
    let bundle = with_terminal("stty raw -echo; echo ready; sleep 0.2; head -c 300000 | md5sum");
    let text: String = (0..30_000).map(|n| format!("{n:010}")).collect();
    let (mut outer, _inner, run) = on_a_terminal(&bundle, &["run"]);
    outer.expect("ready");
    outer.paste_all(&text);
    outer.expect(&md5sum(&text));
    run.finish().ok();
    Ok(())
}

/// What md5sum(1) says of a text.
fn md5sum(text: &str) -> String {
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(text.as_bytes()).and_then(|()| file.rewind()).expect("write");
    let output = ask(Command::new("md5sum").stdin(file)).expect("run md5sum");
    String::from_utf8(output.stdout).expect("utf-8").trim().to_owned()
}

/// TERM-2
fn output_that_is_not_taken_holds_no_signal_up() -> Outcome {
    needs::other_than("crun", "waits for whoever takes the output")?;
    let bundle = with_terminal(
        "stty raw -echo; trap 'echo >/told' TERM; echo ready
        while ! test -e /told; do echo 0123456789012345678901234567890123456789; done; exit 9",
    );
    let told = bundle.rootfs().join("told");
    let (mut outer, _inner, run) = on_a_terminal(&bundle, &["run"]);
    outer.expect("ready");
    outer.paste(&"x".repeat(100_000));
    // Long enough to fill what the kernel keeps, so that the program waits in write(2).
    std::thread::sleep(Duration::from_millis(300));
    run.signal(Signal::SIGTERM);
    // The trap is carried out when the program has written on.
    outer.drain_until(|| told.exists());
    outer.drain_in_background();
    run.finish().exits(9);
    Ok(())
}

/// TERM-5
fn output_that_is_not_taken_does_not_keep_the_runtime() -> Outcome {
    needs::cloison()?;
    // Until it stands still, as there is no more room.
    let bundle = with_terminal(
        "echo ready; seq 1 20000 & sleep 0.3
        until grep -q '^State:.S' /proc/$!/status; do sleep 0.1; done; exit 9",
    );
    let (mut outer, _inner, mut run) = on_a_terminal(&bundle, &["run"]);
    outer.expect("ready");
    let state = || bundle.sandbox().runtime(&["state", bundle.id()]).finish().ok().stdout;
    assert!(eventually(|| state().contains("stopped")), "{}", state());
    assert!(!run.ended(), "somebody may yet read what was written last");
    run.signal(Signal::SIGTERM);
    run.finish().exits(9);
    Ok(())
}

/// TERM-4
fn a_terminal_that_was_closed_can_be_opened_again() -> Outcome {
    needs::other_than("crun", "gives a terminal up that was closed once")?;
    let bundle = with_terminal(
        "echo first; exec </dev/null >/dev/null 2>&1; sleep 0.5
        echo second >/dev/console; sleep 0.1
        read line </dev/console; echo third $line >/dev/console",
    );
    let (mut outer, _inner, run) = on_a_terminal(&bundle, &["run"]);
    outer.expect("first");
    let before = ticks(run.pid());
    std::thread::sleep(Duration::from_millis(300));
    assert!(ticks(run.pid()) - before < 10, "nothing turns in a circle");
    outer.expect("second");
    outer.type_in("words\r");
    outer.expect("third words");
    run.finish().ok();
    Ok(())
}

/// Hundredths of a second that a process has used (proc_pid_stat(5)).
fn ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("read stat");
    let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
    fields[11..13].iter().map(|field| field.parse::<u64>().expect("a number")).sum()
}

/// TERM-3
fn input_that_is_no_terminal_ends() -> Outcome {
    needs::other_than("runc", "wants a terminal in the foreground")?;
    needs::other_than("crun", "wants a terminal in the foreground")?;
    let bundle = with_terminal("cat >/seen");
    bundle.invoke("run", &[]).input("some words\n").finish().ok();
    assert_eq!(fs::read_to_string(bundle.rootfs().join("seen")).expect("read"), "some words\n");
    Ok(())
}

/// TERM-3
fn input_that_ends_amid_a_line_ends() -> Outcome {
    needs::other_than("runc", "wants a terminal in the foreground")?;
    needs::other_than("crun", "wants a terminal in the foreground")?;
    let bundle = with_terminal("cat >/seen");
    bundle.invoke("run", &[]).input("some words").finish().ok();
    assert_eq!(fs::read_to_string(bundle.rootfs().join("seen")).expect("read"), "some words");
    Ok(())
}

/// TERM-3
fn input_has_ended_for_everyone_who_reads() -> Outcome {
    needs::other_than("runc", "wants a terminal in the foreground")?;
    needs::other_than("crun", "wants a terminal in the foreground")?;
    let bundle = with_terminal("cat >/seen; echo first; cat >>/seen; echo second; cat >>/seen");
    let seen = bundle.invoke("run", &[]).input("some words\n").finish().ok().stdout;
    assert_eq!(fs::read_to_string(bundle.rootfs().join("seen")).expect("read"), "some words\n");
    assert!(seen.ends_with("first\r\nsecond\r\n"), "{seen:?}");
    Ok(())
}

/// TERM-3. Such a shell edits lines, and drops what was typed before it began to.
fn a_shell_without_input_ends() -> Outcome {
    needs::other_than("runc", "wants a terminal in the foreground")?;
    needs::other_than("crun", "wants a terminal in the foreground")?;
    let bundle = with_terminal("sleep 0.2; exec sh -i");
    bundle.invoke("run", &[]).input("").finish();
    Ok(())
}

/// TERM-6
fn a_terminal_hangs_up_when_nobody_takes_its_output() -> Outcome {
    needs::other_than("runc", "wants a terminal in the foreground")?;
    needs::other_than("crun", "wants a terminal in the foreground")?;
    let bundle = with_terminal("while echo more; do :; done 2>/dev/null; exit 9");
    let (reader, writer) = nix::unistd::pipe2(OFlag::O_CLOEXEC).expect("a pipe");
    let run = bundle.invoke("run", &[]);
    let null = std::process::Stdio::null;
    let run = run.stdio(null(), writer.into(), null()).spawn();
    drop(reader);
    run.finish().exits(9);
    Ok(())
}

fn output_at_the_end_is_shown() -> Outcome {
    needs::other_than("runc", "wants a terminal in the foreground")?;
    needs::other_than("crun", "wants a terminal in the foreground")?;
    for _ in 0..10 {
        let bundle = with_terminal("seq 1 500; echo the end");
        let finished = bundle.invoke("run", &[]).finish().ok();
        assert!(finished.stdout.ends_with("500\r\nthe end\r\n"), "{:?}", finished.stdout);
    }
    Ok(())
}

fn exec_in_the_foreground_relays_alike() -> Outcome {
    needs::other_than("crun", "waits for a program that does not read")?;
    let container = Bundle::new().args(&["sleep", "100"]).start();
    let bundle = container.bundle();
    let (mut outer, inner) = Terminal::open();
    let before = inner.stty(&["-g"]);
    let script = "stty raw -echo; echo ready; n=0
        while ! test -e /enough; do n=$((n + 1)); echo tick $n.; sleep 0.02; done
        head -c 50000 | md5sum; exit 9";
    let line = ["exec", "--tty", container.id(), "sh", "-c", script];
    let run = bundle.sandbox().runtime(&line);
    let run = run.stdio(inner.stdio(), inner.stdio(), inner.stdio()).spawn();
    outer.expect("ready");
    let text: String = (0..5_000).map(|n| format!("{n:010}")).collect();
    let rest = &text[outer.paste(&text)..];
    let ticks = outer.expect("ready").matches("tick").count();
    outer.expect(&format!("tick {}.", ticks + 10));
    fs::write(bundle.rootfs().join("enough"), "").expect("write");
    outer.paste_all(rest);
    outer.expect(&md5sum(&text));
    run.finish().exits(9);
    assert!(eventually(|| inner.stty(&["-g"]) == before));
    Ok(())
}

fn a_terminal_without_a_socket_is_refused_when_detached() -> Outcome {
    needs::other_than("crun", "makes a terminal that nobody holds")?;
    let bundle = with_terminal("true");
    bundle.try_create().refused();
    bundle.invoke("run", &["--detach"]).finish().refused();
    let left = bundle.sandbox().leftovers();
    assert!(left.is_empty(), "{left:?}");
    Ok(())
}

fn a_socket_without_a_terminal_is_refused() -> Outcome {
    needs::other_than("crun", "ignores the socket")?;
    let bundle = Bundle::new().args(&["true"]);
    let socket = Socket::listen(bundle.sandbox().path());
    bundle.invoke("create", &["--console-socket", socket.path()]).finish().refused();
    let left = bundle.sandbox().leftovers();
    assert!(left.is_empty(), "{left:?}");
    Ok(())
}

fn a_socket_that_nobody_listens_on_is_refused() -> Outcome {
    let bundle = with_terminal("true");
    let path = bundle.dir().join("nobody.sock");
    bundle
        .invoke("create", &["--console-socket", path.to_str().expect("utf-8")])
        .finish()
        .refused();
    let left = bundle.sandbox().leftovers();
    assert!(left.is_empty(), "{left:?}");
    Ok(())
}
