//! `hooks`: which run when, where, with what on their standard input, and
//! what becomes of the container when one fails (config.md, "POSIX-platform
//! Hooks"; runtime.md, "Lifecycle").

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Bundle, Outcome, eventually, needs, tests};

tests![
    each_kind_runs_in_its_operation,
    hooks_of_a_kind_run_in_the_order_of_the_list,
    every_hook_reads_the_state,
    a_hook_gets_its_own_arguments_and_environment,
    runtime_hooks_run_outside_and_container_hooks_inside,
    a_create_runtime_hook_may_change_the_containers_network,
    a_create_container_hook_may_mount_into_the_root,
    a_failing_hook_refuses_the_container,
    poststop_runs_for_a_refused_container,
    a_failing_start_container_hook_stops_the_container,
    a_failing_poststart_hook_stops_the_container,
    a_failing_poststop_hook_is_a_warning,
    a_hook_that_takes_too_long_is_killed,
    a_timeout_that_is_kept_does_no_harm,
    a_hook_need_not_read_its_input,
    a_hooks_children_are_not_waited_for,
    a_hooks_error_is_shown,
    a_hook_may_write_as_much_as_it_likes,
    a_hook_that_writes_for_ever_is_killed,
];

/// All kinds, in the order in which they run.
const KINDS: [&str; 6] =
    ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

/// A bundle whose directory `hooks` on the host is `/hooks` inside, for what
/// hooks have to say.
fn with_notes() -> (Bundle, PathBuf) {
    let bundle = Bundle::new();
    let notes = bundle.host_dir("hooks");
    (bundle.bind(&notes, "/hooks", &[]), notes)
}

/// The notes' directory as a hook of this kind sees it.
fn seen_by(kind: &str, notes: &std::path::Path) -> String {
    if kind == "startContainer" { "/hooks".to_owned() } else { notes.display().to_string() }
}

fn notes_in(file: PathBuf) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn each_kind_runs_in_its_operation() -> Outcome {
    let (mut bundle, notes) = with_notes();
    for kind in KINDS {
        bundle = bundle.hook(kind, &format!("echo {kind} >>{}/order", seen_by(kind, &notes)));
    }
    let container = bundle.sh("echo process >>/hooks/order; sleep 60").create();
    let order = || notes_in(notes.join("order"));
    if needs::other_than("runc", "").is_ok() {
        assert_eq!(order(), ["prestart", "createRuntime", "createContainer"], "create");
    }
    container.start();
    assert!(eventually(|| order().len() == 6), "{:?}", order());
    // (crun and runc start poststart hooks before the others have ended.)
    if needs::cloison().is_ok() {
        assert_eq!(order()[3], "startContainer");
        let mut last = order()[4..].to_vec();
        // The process may be faster or slower than a poststart hook.
        last.sort();
        assert_eq!(last, ["poststart", "process"], "start");
    }
    container.kill("KILL");
    container.wait();
    assert_eq!(order().len(), 6, "kill runs none");
    container.delete();
    assert_eq!(order()[6..], ["poststop"], "delete");
    Ok(())
}

fn hooks_of_a_kind_run_in_the_order_of_the_list() -> Outcome {
    let (mut bundle, notes) = with_notes();
    for kind in KINDS {
        for number in 1..=3 {
            let dir = seen_by(kind, &notes);
            bundle = bundle.hook(kind, &format!("echo {number} >>{dir}/{kind}"));
        }
    }
    bundle.run().ok();
    for kind in KINDS {
        assert_eq!(notes_in(notes.join(kind)), ["1", "2", "3"], "{kind}");
    }
    Ok(())
}

fn every_hook_reads_the_state() -> Outcome {
    needs::other_than("crun", "says 1.0 for the version and starting for the status")?;
    let (mut bundle, notes) = with_notes();
    bundle = bundle.set("/annotations", json!({"com.example.key": "value"})).args(&["sleep", "60"]);
    for kind in KINDS {
        bundle = bundle.hook(kind, &format!("cat >{}/{kind}", seen_by(kind, &notes)));
    }
    let dir = bundle.dir();
    let container = bundle.start();
    let pid = container.pid;
    for kind in ["startContainer", "poststart"] {
        assert!(eventually(|| !notes_in(notes.join(kind)).is_empty()), "{kind}");
    }
    container.verb("delete", &["--force"], &[]).ok();
    let statuses = [
        // Older than the state creating: to it the container has always been created.
        ("prestart", "created"),
        ("createRuntime", "creating"),
        ("createContainer", "creating"),
        ("startContainer", "created"),
        ("poststart", "running"),
        ("poststop", "stopped"),
    ];
    for (kind, status) in statuses {
        let text = fs::read_to_string(notes.join(kind)).expect("read");
        let state: Value =
            serde_json::from_str(&text).unwrap_or_else(|e| panic!("{kind}: {e}: {text}"));
        assert_eq!(state["id"], container.id(), "{kind}");
        assert_eq!(state["bundle"], dir.display().to_string(), "{kind}");
        // (runc names the version that it knows, not that of the configuration.)
        assert!(state["ociVersion"].as_str().is_some_and(|v| v.starts_with("1.")), "{text}");
        assert_eq!(state["annotations"]["com.example.key"], "value", "{kind}");
        if needs::other_than("runc", "").is_ok() {
            assert_eq!(state["status"], status, "{kind}");
        }
        match kind {
            "prestart" | "createRuntime" | "poststart" => assert_eq!(state["pid"], pid, "{kind}"),
            _ => {}
        }
    }
    Ok(())
}

fn a_hook_gets_its_own_arguments_and_environment() -> Outcome {
    let (bundle, notes) = with_notes();
    let script = format!("env >{0}/env; echo \"$0 $1\" >{0}/args", notes.display());
    let bundle = bundle.push(
        "/hooks/createRuntime",
        json!({"path": "/bin/sh", "args": ["a-name", "-c", script, "zero", "one"], "env": ["KEY=a value", "PATH=/bin"]}),
    );
    let run = bundle.invoke("run", &[]).env("FROM_THE_HOST", "1").finish();
    run.ok();
    assert_eq!(notes_in(notes.join("args")), ["zero one"]);
    let environment = notes_in(notes.join("env"));
    assert!(environment.contains(&"KEY=a value".to_owned()), "{environment:?}");
    assert!(!environment.iter().any(|pair| pair.starts_with("FROM_THE_HOST")), "{environment:?}");
    Ok(())
}

fn runtime_hooks_run_outside_and_container_hooks_inside() -> Outcome {
    let (mut bundle, notes) = with_notes();
    for kind in KINDS {
        let dir = seen_by(kind, &notes);
        bundle = bundle.hook(
            kind,
            &format!("for n in mnt net uts; do readlink /proc/self/ns/$n; done >{dir}/{kind}"),
        );
    }
    let container = bundle.args(&["sleep", "60"]).start();
    let inside: Vec<String> = ["mnt", "net", "uts"].map(|file| container.namespace(file)).into();
    let outside: Vec<String> = ["mnt", "net", "uts"]
        .map(|file| {
            fs::read_link(format!("/proc/thread-self/ns/{file}"))
                .expect("read")
                .display()
                .to_string()
        })
        .into();
    assert!(eventually(|| notes_in(notes.join("poststart")).len() == 3));
    container.verb("delete", &["--force"], &[]).ok();
    for kind in KINDS {
        let expected = if kind.ends_with("Container") { &inside } else { &outside };
        assert_eq!(&notes_in(notes.join(kind)), expected, "{kind}");
    }
    Ok(())
}

/// What container networking does: act on the namespace by the pid in the state.
fn a_create_runtime_hook_may_change_the_containers_network() -> Outcome {
    needs::path("/usr/bin/nsenter")?;
    let bundle = Bundle::new()
        .hook(
            "createRuntime",
            "pid=$(sed 's/.*\"pid\": *\\([0-9]*\\).*/\\1/' | head -1)
            nsenter -t $pid -u hostname changed-by-hook",
        )
        .sh("hostname");
    let seen = bundle.output();
    // The hook and the runtime both set the name; the hook runs while the container is being made.
    assert!(seen == "changed-by-hook" || seen == "box", "{seen}");
    Ok(())
}

/// What GPU runtimes do: mount from the host into the root before it is entered.
fn a_create_container_hook_may_mount_into_the_root() -> Outcome {
    let (bundle, notes) = with_notes();
    fs::write(notes.join("file"), "mounted by a hook\n").expect("write");
    let target = bundle.rootfs().join("injected");
    fs::create_dir(&target).expect("mkdir");
    let bundle = bundle
        .hook("createContainer", &format!("mount --bind {} {}", notes.display(), target.display()))
        .args(&["cat", "/injected/file"]);
    assert_eq!(bundle.output(), "mounted by a hook");
    Ok(())
}

fn a_failing_hook_refuses_the_container() -> Outcome {
    needs::other_than("crun", "leaves its cgroup behind")?;
    for kind in ["prestart", "createRuntime", "createContainer"] {
        Bundle::new().hook(kind, "exit 3").is_refused();
    }
    Ok(())
}

fn poststop_runs_for_a_refused_container() -> Outcome {
    needs::other_than("runc", "runs none after a failed create")?;
    needs::other_than("crun", "runs none after a failed create")?;
    let (bundle, notes) = with_notes();
    let bundle = bundle
        .hook("createRuntime", "exit 3")
        .hook("poststop", &format!("echo ran >>{}/poststop", notes.display()));
    bundle.try_create().refused();
    assert_eq!(notes_in(notes.join("poststop")), ["ran"]);
    Ok(())
}

fn a_failing_start_container_hook_stops_the_container() -> Outcome {
    let bundle = Bundle::new().hook("startContainer", "exit 3").sh("echo started");
    let container = bundle.create();
    let start = container.verb("start", &[], &[]);
    if needs::other_than("runc", "").is_ok() && needs::other_than("crun", "").is_ok() {
        start.refused();
    }
    assert!(eventually(
        || container.verb("state", &[], &[]).code != 0 || container.status() == "stopped"
    ));
    assert_eq!(container.stdout(), "", "the program never ran");
    Ok(())
}

fn a_failing_poststart_hook_stops_the_container() -> Outcome {
    needs::other_than("runc", "runs poststart hooks in create")?;
    needs::other_than("crun", "goes on after a failed poststart hook")?;
    let (bundle, notes) = with_notes();
    let bundle = bundle
        .hook("poststart", "exit 3")
        .hook("poststop", &format!("echo ran >>{}/poststop", notes.display()))
        .args(&["sleep", "60"]);
    let container = bundle.create();
    container.verb("start", &[], &[]).refused();
    assert!(eventually(|| !container.alive()), "the container is stopped");
    let _ = container.verb("delete", &["--force"], &[]);
    assert_eq!(notes_in(notes.join("poststop")), ["ran"], "once");
    Ok(())
}

fn a_failing_poststop_hook_is_a_warning() -> Outcome {
    needs::other_than("crun", "dies of SIGPIPE now and then")?;
    needs::other_than("runc", "fails, and skips the hooks that follow")?;
    let (bundle, notes) = with_notes();
    let container = bundle
        .hook("poststop", "echo one; echo two; exit 3")
        .hook("poststop", &format!("echo ran >>{}/poststop", notes.display()))
        .args(&["true"])
        .start();
    container.wait();
    let delete = container.delete();
    assert_eq!(notes_in(notes.join("poststop")), ["ran"], "the next hook runs");
    container.verb("state", &[], &[]).refused();
    if needs::cloison().is_ok() {
        let delete = delete.complains("/hooks/poststop/0");
        assert!(delete.stderr.ends_with("one\\ntwo\n"), "one line: {delete}");
    }
    Ok(())
}

fn a_hook_that_takes_too_long_is_killed() -> Outcome {
    needs::other_than("runc", "waits for the children of a hook that it has killed")?;
    needs::other_than("crun", "leaves its cgroup behind")?;
    let started = Instant::now();
    let bundle = Bundle::new().push(
        "/hooks/createRuntime",
        json!({"path": "/bin/sh", "args": ["sh", "-c", "sleep 60; true"], "timeout": 1}),
    );
    let refusal = bundle.try_create().refused();
    assert!(started.elapsed() < Duration::from_secs(10), "{refusal}");
    let clean = || bundle.sandbox().leftovers().is_empty();
    if needs::cloison().is_ok() {
        assert!(eventually(clean), "the hook's children too: {:?}", bundle.sandbox().leftovers());
    }
    Ok(())
}

fn a_timeout_that_is_kept_does_no_harm() -> Outcome {
    let started = Instant::now();
    let hook = json!({"path": "/bin/sh", "args": ["sh", "-c", "true"], "timeout": 30});
    let mut bundle = Bundle::new().args(&["hostname"]);
    for kind in KINDS {
        bundle = bundle.push(&format!("/hooks/{kind}"), hook.clone());
    }
    assert_eq!(bundle.output(), "box");
    assert!(started.elapsed() < Duration::from_secs(15));
    Ok(())
}

fn a_hook_need_not_read_its_input() -> Outcome {
    needs::other_than("crun", "dies of SIGPIPE now and then")?;
    // More than a pipe holds.
    let large = "x".repeat(200_000);
    let mut bundle = Bundle::new().set("/annotations", json!({"large": large})).args(&["hostname"]);
    for kind in KINDS {
        bundle = bundle.push(&format!("/hooks/{kind}"), json!({"path": "/bin/true"}));
    }
    assert_eq!(bundle.output(), "box");
    Ok(())
}

fn a_hooks_children_are_not_waited_for() -> Outcome {
    needs::other_than("runc", "waits until the hook's output is closed")?;
    needs::other_than("crun", "waits for them")?;
    let started = Instant::now();
    let bundle = Bundle::new().hook("createRuntime", "sleep 15 & exit 0").args(&["hostname"]);
    assert_eq!(bundle.output(), "box");
    assert!(started.elapsed() < Duration::from_secs(10));
    for process in bundle.sandbox().processes() {
        let pid = process.split([' ', ':']).nth(1).and_then(|pid| pid.parse().ok()).expect("a pid");
        let _ = nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(pid),
            nix::sys::signal::Signal::SIGKILL,
        );
    }
    Ok(())
}

fn a_hooks_error_is_shown() -> Outcome {
    needs::other_than("crun", "sends a hook's output to /dev/null")?;
    let bundle = Bundle::new().hook("createRuntime", "echo what went wrong >&2; exit 7");
    bundle.try_create().refused().complains("what went wrong").complains("7");
    Ok(())
}

/// LIFE-11: nothing that could fill up takes it.
fn a_hook_may_write_as_much_as_it_likes() -> Outcome {
    needs::cloison()?;
    for kind in ["createRuntime", "createContainer", "startContainer"] {
        let script = "[ -p /dev/stdout ] && head -c 5000000 /dev/zero || exit 9";
        Bundle::new().hook(kind, script).run().ok();
    }
    Ok(())
}

fn a_hook_that_writes_for_ever_is_killed() -> Outcome {
    needs::cloison()?;
    for kind in ["createRuntime", "createContainer"] {
        let hook =
            json!({"path": "/bin/sh", "args": ["sh", "-c", "exec yes output"], "timeout": 1});
        let bundle = Bundle::new().push(&format!("/hooks/{kind}"), hook);
        let began = Instant::now();
        bundle.is_refused();
        assert!(began.elapsed() < Duration::from_secs(8), "{kind} took {:?}", began.elapsed());
    }
    Ok(())
}
