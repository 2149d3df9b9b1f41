//! `run`: create, start, wait and delete in one command, in the foreground or
//! not, and what all commands that make a container share: standard streams,
//! pid file, preserved descriptors, where options may stand.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nix::sys::signal::Signal;

use crate::harness::{Bundle, Container, Outcome, eventually, needs, tests, write_program};

tests![
    run_returns_the_status_of_the_process,
    run_returns_128_and_the_signal,
    run_leaves_nothing,
    run_keep_leaves_a_stopped_container,
    run_forwards_signals,
    run_passes_the_standard_streams,
    run_ends_with_init_not_with_its_children,
    run_detach_returns_at_once,
    pid_file_has_the_pid_and_nothing_else,
    pid_file_that_cannot_be_written_refuses_the_container,
    a_missing_program_is_an_error,
    a_program_that_is_not_executable_is_an_error,
    a_program_that_is_a_directory_is_an_error,
    a_program_is_searched_in_path,
    the_bundle_is_the_working_directory_unless_told,
    options_may_follow_the_id,
    the_config_file_may_have_another_name,
    preserved_descriptors_reach_the_process,
    a_preserved_descriptor_that_is_not_open_is_an_error,
    socket_activation_reaches_the_process,
    no_pivot_is_accepted,
    the_session_keyring_is_new_unless_told,
];

fn run_returns_the_status_of_the_process() -> Outcome {
    for code in [0, 1, 7, 126, 127, 255] {
        Bundle::new().sh(&format!("exit {code}")).run().exits(code);
    }
    Ok(())
}

fn run_returns_128_and_the_signal() -> Outcome {
    needs::root()?;
    for (signal, code) in [("TERM", 143), ("KILL", 137), ("ABRT", 134)] {
        let bundle = Bundle::new().without_namespace("pid");
        bundle.sh(&format!("kill -{signal} $$; sleep 60")).run().exits(code);
    }
    Ok(())
}

fn run_leaves_nothing() -> Outcome {
    let bundle = Bundle::new().args(&["true"]);
    bundle.invoke("run", &[]).finish().ok();
    let left = bundle.sandbox().leftovers();
    assert!(left.is_empty(), "{left:?}");
    let failing = bundle.args(&["false"]);
    failing.invoke("run", &[]).finish().exits(1);
    let left = failing.sandbox().leftovers();
    assert!(left.is_empty(), "{left:?}");
    Ok(())
}

fn run_keep_leaves_a_stopped_container() -> Outcome {
    needs::option("run", "--keep")?;
    let bundle = Bundle::new().args(&["true"]);
    bundle.invoke("run", &["--keep"]).finish().ok();
    let container = bundle.adopt();
    assert_eq!(container.status(), "stopped");
    container.delete();
    Ok(())
}

fn run_forwards_signals() -> Outcome {
    for (signal, name) in [(Signal::SIGTERM, "TERM"), (Signal::SIGUSR1, "USR1")] {
        let script = format!(
            "trap 'echo got {name}; exit 5' {name}; echo ready; while :; do sleep 0.05; done"
        );
        let bundle = Bundle::new().sh(&script);
        let running = bundle.invoke("run", &[]).spawn();
        assert!(eventually(|| running.stdout().contains("ready")));
        running.signal(signal);
        let finished = running.finish().exits(5);
        assert_eq!(finished.stdout, format!("ready\ngot {name}\n"));
    }
    Ok(())
}

fn run_passes_the_standard_streams() -> Outcome {
    let bundle = Bundle::new().sh("cat; echo to stderr >&2");
    let finished = bundle.invoke("run", &[]).input("from stdin\n").finish().ok();
    assert_eq!(finished.stdout, "from stdin\n");
    assert_eq!(finished.stderr, "to stderr\n");
    Ok(())
}

fn run_ends_with_init_not_with_its_children() -> Outcome {
    let bundle = Bundle::new().sh("sleep 60 & sleep 60 & echo done");
    assert_eq!(bundle.output(), "done");
    Ok(())
}

/// The container of a detached `run`.
fn detached(bundle: Bundle, options: &[&str]) -> Container {
    let mut line = vec!["--detach"];
    line.extend(options);
    let output = bundle.dir().join("container");
    bundle.invoke("run", &line).keeping_output_in(output).finish().ok();
    bundle.adopt()
}

fn run_detach_returns_at_once() -> Outcome {
    let container = detached(Bundle::new().sh("echo here; sleep 60"), &[]);
    container.says("here");
    assert_eq!(container.status(), "running");
    container.kill("KILL");
    container.wait();
    assert_eq!(container.status(), "stopped", "nobody deletes it but us");
    Ok(())
}

fn pid_file_has_the_pid_and_nothing_else() -> Outcome {
    let bundle = Bundle::new().sh("sleep 60");
    let file = bundle.dir().join("pid");
    let container = bundle.create_with(&["--pid-file", file.to_str().expect("utf-8")]);
    let text = std::fs::read_to_string(&file).expect("read the pid file");
    assert_eq!(text, container.pid.to_string(), "no newline: engines parse the bare bytes");

    let bundle = Bundle::new().sh("sleep 60");
    let file = bundle.dir().join("pid");
    std::fs::write(&file, "an older and longer text").expect("write");
    let container = detached(bundle, &["--pid-file", file.to_str().expect("utf-8")]);
    let text = std::fs::read_to_string(&file).expect("read the pid file");
    assert_eq!(text, container.pid.to_string());
    Ok(())
}

fn pid_file_that_cannot_be_written_refuses_the_container() -> Outcome {
    let bundle = Bundle::new().sh("sleep 60");
    let file = bundle.dir().join("no/such/directory/pid");
    bundle.invoke("create", &["--pid-file", file.to_str().expect("utf-8")]).finish().refused();
    let left = bundle.sandbox().leftovers();
    assert!(left.is_empty(), "{left:?}");
    Ok(())
}

/// Engines turn these words into the shell's 127 and 126.
fn a_missing_program_is_an_error() -> Outcome {
    for program in ["no-such-program", "/no/such/program"] {
        let bundle = Bundle::new().args(&[program]);
        let refusal = bundle.run().refused();
        let known = ["executable file not found in", "no such file or directory"];
        let text = refusal.stderr.to_lowercase();
        assert!(known.iter().any(|words| text.contains(words)), "{refusal}");
    }
    Ok(())
}

fn a_program_that_is_not_executable_is_an_error() -> Outcome {
    let bundle = Bundle::new().args(&["/bin/plain"]);
    let file = bundle.rootfs().join("bin/plain");
    std::fs::write(&file, "#!/bin/sh\n").expect("write");
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).expect("chmod");
    let refusal = bundle.run().refused();
    let text = refusal.stderr.to_lowercase();
    let known = ["permission denied", "operation not permitted"];
    assert!(known.iter().any(|words| text.contains(words)), "{refusal}");
    Ok(())
}

fn a_program_that_is_a_directory_is_an_error() -> Outcome {
    let refusal = Bundle::new().args(&["/bin"]).run().refused();
    let text = refusal.stderr.to_lowercase();
    let known = ["permission denied", "is a directory", "operation not permitted"];
    assert!(known.iter().any(|words| text.contains(words)), "{refusal}");
    Ok(())
}

fn a_program_is_searched_in_path() -> Outcome {
    let bundle = Bundle::new().args(&["found"]).set("/process/env/0", "PATH=/missing:/a:/b");
    for (dir, mode) in [("a", 0o644), ("b", 0o755)] {
        let dir = bundle.rootfs().join(dir);
        std::fs::create_dir(&dir).expect("mkdir");
        write_program(&dir.join("found"), "#!/bin/sh\necho $0\n");
        std::fs::set_permissions(dir.join("found"), PermissionsExt::from_mode(mode))
            .expect("chmod");
    }
    assert_eq!(bundle.output(), "/b/found", "the first is not executable");
    Ok(())
}

fn the_bundle_is_the_working_directory_unless_told() -> Outcome {
    let bundle = Bundle::new().args(&["hostname"]);
    bundle.write();
    let line = ["run", bundle.id()];
    let finished = bundle.sandbox().runtime(&line).dir(&bundle.dir()).finish().ok();
    assert_eq!(finished.stdout, "box\n");
    let relative = bundle.dir().file_name().expect("a name").to_string_lossy().into_owned();
    let line = ["run", "-b", &relative, bundle.id()];
    let finished = bundle.sandbox().runtime(&line).dir(bundle.sandbox().path()).finish().ok();
    assert_eq!(finished.stdout, "box\n");
    Ok(())
}

/// As the conformance suite calls runtimes.
fn options_may_follow_the_id() -> Outcome {
    needs::other_than("runc", "takes options before the id only")?;
    needs::other_than("crun", "takes options before the id only")?;
    let bundle = Bundle::new().args(&["hostname"]);
    bundle.write();
    let dir = bundle.dir();
    let line = ["run", bundle.id(), "--bundle", dir.to_str().expect("utf-8")];
    assert_eq!(bundle.sandbox().runtime(&line).finish().ok().stdout, "box\n");
    Ok(())
}

fn the_config_file_may_have_another_name() -> Outcome {
    needs::option("run", "--config")?;
    let bundle = Bundle::new().args(&["hostname"]);
    let changed = bundle.config().to_string().replace("\"box\"", "\"other\"");
    let file = bundle.dir().join("other.json");
    std::fs::write(&file, changed).expect("write");
    let finished = bundle.invoke("run", &["--config", file.to_str().expect("utf-8")]).finish().ok();
    assert_eq!(finished.stdout, "other\n");
    Ok(())
}

/// Runs the container from a shell that opens descriptors first.
fn run_from_shell(bundle: &Bundle, prologue: &str, options: &str) -> crate::harness::Finished {
    bundle.write();
    let sandbox = bundle.sandbox();
    let script = format!(
        "{prologue} exec {} --root {} run {options} --bundle {} {}",
        crate::harness::runtime_path().display(),
        sandbox.root().display(),
        bundle.dir().display(),
        bundle.id()
    );
    sandbox.program(Path::new("/bin/sh"), &["-c", &script]).finish()
}

fn preserved_descriptors_reach_the_process() -> Outcome {
    let bundle = Bundle::new().sh("cat <&3; cat <&4; ls /proc/self/fd");
    let dir = bundle.host_dir("files");
    std::fs::write(dir.join("one"), "first\n").expect("write");
    std::fs::write(dir.join("two"), "second\n").expect("write");
    let prologue = format!("exec 3<{0}/one 4<{0}/two 5<{0}/one;", dir.display());
    let finished = run_from_shell(&bundle, &prologue, "--preserve-fds 2").ok();
    // The last one is ls's own.
    assert_eq!(finished.stdout, "first\nsecond\n0\n1\n2\n3\n4\n5\n");
    Ok(())
}

fn a_preserved_descriptor_that_is_not_open_is_an_error() -> Outcome {
    needs::other_than("crun", "does not look")?;
    needs::other_than("runc", "leaves its state directory behind in version 1.3")?;
    let bundle = Bundle::new().args(&["true"]);
    run_from_shell(&bundle, "", "--preserve-fds 9").refused();
    let left = bundle.sandbox().leftovers();
    assert!(left.is_empty(), "{left:?}");
    Ok(())
}

fn socket_activation_reaches_the_process() -> Outcome {
    needs::other_than("crun", "hands on the caller's LISTEN_PID")?;
    let bundle = Bundle::new().sh("cat <&3; echo $LISTEN_FDS $LISTEN_PID");
    let dir = bundle.host_dir("files");
    std::fs::write(dir.join("one"), "first\n").expect("write");
    let prologue = format!("exec 3<{0}/one; export LISTEN_FDS=1 LISTEN_PID=$$;", dir.display());
    let finished = run_from_shell(&bundle, &prologue, "").ok();
    assert_eq!(finished.stdout, "first\n1 1\n");
    Ok(())
}

fn no_pivot_is_accepted() -> Outcome {
    let bundle = Bundle::new().sh("hostname; ls -d /bin; ls -d /usr /var 2>/dev/null");
    let finished = bundle.invoke("run", &["--no-pivot"]).finish().exits(1);
    assert_eq!(finished.stdout, "box\n/bin\n");
    Ok(())
}

/// The serial number of the session keyring, by keyctl(2).
const KEYCTL_GET_SESSION: &[&str] = &["/probe", "syscall", "250", "0", "-3", "0"];

fn the_session_keyring_is_new_unless_told() -> Outcome {
    let serial = |options: &[&str]| {
        let bundle = Bundle::new().with_probe().args(KEYCTL_GET_SESSION);
        bundle.invoke("run", options).finish().ok().stdout
    };
    let inherited = serial(&["--no-new-keyring"]);
    assert_ne!(serial(&[]), inherited);
    assert_eq!(serial(&["--no-new-keyring"]), inherited);
    Ok(())
}
