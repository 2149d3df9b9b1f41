//! Terminals: `process.terminal` with `--console-socket`, or in the
//! foreground of `run` (config.md, "Process").

use serde_json::json;

use crate::harness::tty::{Socket, Terminal};
use crate::harness::{Bundle, Outcome, needs, tests};

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
    run.signal(nix::sys::signal::Signal::SIGWINCH);
    outer.expect("40 120");
    bundle.sandbox().runtime(&["delete", "--force", bundle.id()]).finish();
    run.finish();
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
