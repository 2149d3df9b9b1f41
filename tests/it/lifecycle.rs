//! Life cycle: what `create`, `start`, `kill`, `delete` and `state` do in each
//! status of a container (runtime.md, "Lifecycle" and "Operations").

use std::fs;
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::Signal;
use serde_json::json;

use crate::harness::{Bundle, Outcome, Sandbox, eventually, needs, tests};

tests![
    create_prepares_and_does_not_start,
    start_runs_the_program,
    a_container_stops_with_its_process,
    later_changes_of_the_configuration_do_not_matter,
    an_id_is_given_once,
    an_id_is_free_again_after_delete,
    containers_under_different_roots_do_not_know_each_other,
    start_of_a_running_container_is_an_error,
    start_of_a_stopped_container_is_an_error,
    an_init_that_lacks_descriptors_goes_on_waiting,
    of_two_starts_one_wins,
    of_two_creates_one_wins,
    kill_sends_sigterm_unless_told,
    kill_takes_names_and_numbers,
    kill_ends_a_created_container,
    kill_of_a_stopped_container_is_an_error,
    kill_refuses_unknown_signals,
    kill_all_reaches_every_process,
    delete_of_a_stopped_container_removes_it,
    delete_of_a_running_container_is_an_error,
    delete_ends_a_created_container,
    delete_force_ends_a_running_container,
    delete_force_is_idempotent,
    delete_force_makes_the_best_of_a_damaged_record,
    deletes_may_race,
    run_deletes_no_later_container_of_its_name,
    delete_leaves_no_process_of_a_shared_pid_namespace,
    verbs_on_a_missing_container_are_errors,
    a_killed_create_can_be_deleted,
];

fn create_prepares_and_does_not_start() -> Outcome {
    let container = Bundle::new().sh("echo started").create();
    assert_eq!(container.status(), "created");
    assert!(container.alive());
    assert_eq!(container.stdout(), "");
    assert_eq!(container.creation.stdout, "", "create is silent");
    Ok(())
}

fn start_runs_the_program() -> Outcome {
    let container = Bundle::new().sh("echo started; sleep 60").create();
    let start = container.start();
    assert_eq!((start.stdout.as_str(), start.stderr.as_str()), ("", ""), "start is silent");
    container.says("started");
    assert_eq!(container.status(), "running");
    Ok(())
}

fn a_container_stops_with_its_process() -> Outcome {
    let container = Bundle::new().args(&["true"]).start();
    assert_eq!(container.wait(), 0);
    assert_eq!(container.status(), "stopped");
    Ok(())
}

fn later_changes_of_the_configuration_do_not_matter() -> Outcome {
    let container = Bundle::new().sh("echo before; sleep 60").create();
    let changed = container.bundle().config().to_string().replace("echo before", "echo after");
    fs::write(container.bundle().dir().join("config.json"), changed).expect("rewrite");
    container.start();
    container.says("before");
    Ok(())
}

fn an_id_is_given_once() -> Outcome {
    let container = Bundle::new().sh("echo first; sleep 60").create();
    container.bundle().try_create().refused().complains("exist");
    assert_eq!(container.status(), "created", "the first is untouched");
    container.start();
    container.says("first");
    container.bundle().try_create().refused().complains("exist");
    assert_eq!(container.status(), "running");
    Ok(())
}

fn an_id_is_free_again_after_delete() -> Outcome {
    let container = Bundle::new().sh("sleep 60").create();
    container.delete();
    container.bundle().try_create().ok();
    assert_eq!(container.status(), "created");
    Ok(())
}

fn containers_under_different_roots_do_not_know_each_other() -> Outcome {
    let container = Bundle::new().sh("sleep 60").create();
    let other = Sandbox::new();
    fs::create_dir(other.root()).expect("make the root");
    other.runtime(&["state", container.id()]).finish().refused();
    Ok(())
}

fn start_of_a_running_container_is_an_error() -> Outcome {
    let container = Bundle::new().sh("sleep 60").start();
    container.verb("start", &[], &[]).refused();
    assert_eq!(container.status(), "running");
    Ok(())
}

fn start_of_a_stopped_container_is_an_error() -> Outcome {
    let container = Bundle::new().args(&["true"]).start();
    container.wait();
    container.verb("start", &[], &[]).refused();
    assert_eq!(container.status(), "stopped");
    Ok(())
}

/// What it lacks in this moment is no reason to end, when nobody could be told why.
fn an_init_that_lacks_descriptors_goes_on_waiting() -> Outcome {
    needs::cloison()?;
    let container = Bundle::new().sh("echo started; sleep 60").create();
    let allow = |soft: &str| {
        let pid = container.pid.to_string();
        let limit = format!("--nofile={soft}:");
        let status = std::process::Command::new("prlimit").args(["--pid", &pid, &limit]).status();
        assert!(status.expect("run prlimit").success());
    };
    allow("0");
    let start = container.bundle().sandbox().runtime(&["start", container.id()]).spawn();
    std::thread::sleep(Duration::from_millis(200));
    assert!(container.alive());
    allow("1024");
    start.finish().ok();
    container.says("started");
    Ok(())
}

fn of_two_starts_one_wins() -> Outcome {
    needs::other_than("runc", "lets the loser of two starts wait for ever")?;
    for _ in 0..5 {
        let container = Bundle::new().sh("echo once; sleep 60").create();
        let line = ["start", container.id()];
        let racers = [(); 2].map(|()| container.bundle().sandbox().runtime(&line).spawn());
        let mut codes = racers.map(|racer| racer.finish().code);
        codes.sort_unstable();
        assert_eq!(codes[0], 0, "one wins");
        assert_ne!(codes[1], 0, "and one is told that it lost");
        container.says("once");
        assert_eq!(container.status(), "running");
    }
    Ok(())
}

fn of_two_creates_one_wins() -> Outcome {
    needs::other_than("runc", "refuses both now and then")?;
    for _ in 0..3 {
        let bundle = Bundle::new().sh("echo here; sleep 60");
        let racers = [(); 2].map(|()| bundle.invoke("create", &[]).spawn());
        let mut codes = racers.map(|racer| racer.finish().code);
        codes.sort_unstable();
        assert_eq!(codes[0], 0, "one wins");
        assert_ne!(codes[1], 0, "and one is told that it lost");
        let winner = bundle.adopt();
        assert_eq!(winner.status(), "created");
        winner.start();
        winner.becomes("running");
    }
    Ok(())
}

/// Says which signal it got; a shell is init here and ignores none of these.
const TRAPS: &str = "for s in HUP INT USR1 TERM; do trap \"echo got $s; exit\" $s; done
    echo ready; while :; do sleep 0.05; done";

fn kill_sends_sigterm_unless_told() -> Outcome {
    let container = Bundle::new().sh(TRAPS).start();
    container.says("ready");
    container.verb("kill", &[], &[]).ok();
    container.says("got TERM");
    container.wait();
    Ok(())
}

fn kill_takes_names_and_numbers() -> Outcome {
    for (signal, got) in [("HUP", "HUP"), ("SIGINT", "INT"), ("10", "USR1"), ("15", "TERM")] {
        let container = Bundle::new().sh(TRAPS).start();
        container.says("ready");
        container.kill(signal);
        container.says(&format!("got {got}"));
        container.wait();
    }
    Ok(())
}

fn kill_ends_a_created_container() -> Outcome {
    let container = Bundle::new().sh("echo started").create();
    container.kill("KILL");
    container.wait();
    assert_eq!(container.status(), "stopped");
    container.verb("start", &[], &[]).refused();
    assert_eq!(container.stdout(), "", "the program never ran");
    Ok(())
}

fn kill_of_a_stopped_container_is_an_error() -> Outcome {
    let container = Bundle::new().args(&["true"]).start();
    container.wait();
    container.verb("kill", &[], &["TERM"]).refused();
    container.verb("kill", &[], &["0"]).refused();
    assert_eq!(container.status(), "stopped");
    Ok(())
}

fn kill_refuses_unknown_signals() -> Outcome {
    needs::other_than("crun", "takes an unknown signal for 0")?;
    let container = Bundle::new().sh("sleep 60").start();
    for signal in ["NOSUCH", "SIG", "KILLS", "9x", "-1", "65"] {
        container.verb("kill", &[], &[signal]).refused();
    }
    assert_eq!(container.status(), "running");
    Ok(())
}

fn kill_all_reaches_every_process() -> Outcome {
    needs::root()?;
    let bundle = Bundle::new().without_namespace("pid").sh("sleep 61 & sleep 62; true");
    let container = bundle.start();
    let processes = || container.processes();
    assert!(eventually(|| processes().len() == 3), "a shell and two sleeps: {:?}", processes());
    container.verb("kill", &["--all"], &["KILL"]).ok();
    assert!(eventually(|| processes().is_empty()), "still there: {:?}", processes());
    container.wait();
    Ok(())
}

fn delete_of_a_stopped_container_removes_it() -> Outcome {
    let container = Bundle::new().args(&["true"]).start();
    container.wait();
    container.delete();
    let left = container.bundle().sandbox().leftovers();
    assert!(left.is_empty(), "{left:?}");
    container.verb("state", &[], &[]).refused();
    Ok(())
}

fn delete_of_a_running_container_is_an_error() -> Outcome {
    let container = Bundle::new().sh("sleep 60").start();
    container.verb("delete", &[], &[]).refused();
    assert_eq!(container.status(), "running", "and changes nothing");
    Ok(())
}

/// The specification asks for an error; engines rely on what all runtimes do.
fn delete_ends_a_created_container() -> Outcome {
    let container = Bundle::new().sh("echo started").create();
    container.delete();
    assert!(!container.alive());
    let left = container.bundle().sandbox().leftovers();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(container.stdout(), "", "the program never ran");
    Ok(())
}

fn delete_force_ends_a_running_container() -> Outcome {
    let container = Bundle::new().sh("trap '' TERM; sleep 60").start();
    container.verb("delete", &["--force"], &[]).ok();
    assert!(!container.alive());
    let left = container.bundle().sandbox().leftovers();
    assert!(left.is_empty(), "{left:?}");
    Ok(())
}

fn delete_force_is_idempotent() -> Outcome {
    let container = Bundle::new().sh("sleep 60").start();
    for _ in 0..3 {
        container.verb("delete", &["--force"], &[]).ok();
    }
    container.verb("delete", &["-f"], &[]).ok();
    container.verb("delete", &[], &[]).refused();
    Ok(())
}

/// STATE-11
fn delete_force_makes_the_best_of_a_damaged_record() -> Outcome {
    needs::cloison()?;
    let container = Bundle::new().sh("sleep 60").start();
    let sandbox = container.bundle().sandbox();
    let text = fs::read_to_string(container.bundle().record()).expect("read");
    container.bundle().write_record(text.replace("\"ociVersion\":", "\"ociVersion\":3,\"x\":"));
    container.verb("delete", &[], &[]).refused().complains("/record");
    container.verb("delete", &["--force"], &[]).ok().complains("damaged");
    assert!(!container.alive());
    let left = sandbox.leftovers();
    assert!(left.is_empty(), "{left:?}");
    Ok(())
}

fn deletes_may_race() -> Outcome {
    for _ in 0..3 {
        let container = Bundle::new().sh("sleep 60").start();
        let line = ["delete", "--force", container.id()];
        let racers = [(); 3].map(|()| container.bundle().sandbox().runtime(&line).spawn());
        let codes = racers.map(|racer| racer.finish().code);
        assert!(codes.contains(&0), "{codes:?}");
        container.verb("state", &[], &[]).refused();
        let left = container.bundle().sandbox().leftovers();
        assert!(left.is_empty(), "{left:?}");
    }
    Ok(())
}

/// By the time that `run` has seen the end of its container, another one may have the name.
fn run_deletes_no_later_container_of_its_name() -> Outcome {
    needs::cloison()?;
    let bundle = Bundle::new().sh("echo up; exec sleep 60");
    let run = bundle.invoke("run", &[]).spawn();
    assert!(eventually(|| run.stdout().contains("up")), "{}", run.stdout());
    // STATE-4: the program may be there before `run` has let go of the container.
    let directory = bundle.sandbox().root().join(bundle.id());
    let is_free = || {
        let directory = fs::File::open(&directory).expect("open the state directory");
        Flock::lock(directory, FlockArg::LockExclusiveNonblock).is_ok()
    };
    assert!(eventually(is_free), "run works on it still");
    run.signal(Signal::SIGSTOP);
    bundle.sandbox().runtime(&["delete", "--force", bundle.id()]).finish().ok();
    let later = bundle.create();
    run.signal(Signal::SIGCONT);
    run.finish().exits(137);
    assert_eq!(later.status(), "created");
    Ok(())
}

fn delete_leaves_no_process_of_a_shared_pid_namespace() -> Outcome {
    needs::root()?;
    needs::other_than("runc", "leaves the cgroup of a container that shares the pid namespace")?;
    let container = Bundle::new()
        .without_namespace("pid")
        .sh("sleep 63 & setsid sleep 64 & echo ready; exec sleep 65")
        .start();
    container.says("ready");
    container.verb("delete", &["--force"], &[]).ok();
    assert!(eventually(|| container.processes().is_empty()), "{:?}", container.processes());
    let left = container.bundle().sandbox().leftovers();
    assert!(left.is_empty(), "{left:?}");
    Ok(())
}

fn verbs_on_a_missing_container_are_errors() -> Outcome {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.root()).expect("make the root");
    for line in [
        &["state", "nobody"][..],
        &["start", "nobody"],
        &["kill", "nobody", "TERM"],
        &["delete", "nobody"],
    ] {
        let refusal = sandbox.runtime(line).finish().refused();
        if needs::cloison().is_ok() {
            // What containerd looks for.
            refusal.complains("does not exist");
        }
    }
    sandbox.runtime(&["delete", "--force", "nobody"]).finish().ok();
    Ok(())
}

/// The state directory is the claim, and a half-made init dies with its
/// maker: whatever a killed `create` has done can be deleted.
fn a_killed_create_can_be_deleted() -> Outcome {
    needs::cloison()?;
    needs::deaths_amid_forks()?;
    for step in 0..24 {
        let bundle = Bundle::new().set("/linux/maskedPaths", json!(["/proc/kcore"])).sh("sleep 60");
        let create = bundle.invoke("create", &[]).spawn();
        std::thread::sleep(Duration::from_micros(400 * step));
        create.signal(Signal::SIGKILL);
        create.finish();
        bundle.sandbox().runtime(&["delete", "--force", bundle.id()]).finish().ok();
        let mut left = Vec::new();
        eventually(|| {
            left = bundle.sandbox().leftovers();
            left.is_empty()
        });
        assert!(left.is_empty(), "killed after {} µs: {left:?}", 400 * step);
    }
    Ok(())
}
