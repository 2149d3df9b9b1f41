//! `pause` and `resume`.

use std::time::Duration;

use crate::harness::{
    Bundle, Container, Outcome, Sandbox, eventually, needs, on_host_hierarchies, tests,
};

tests![
    a_paused_container_stands_still,
    children_stand_still_too,
    a_created_container_can_be_paused,
    pausing_twice_is_an_error,
    resuming_what_runs_is_an_error,
    a_stopped_container_is_neither_paused_nor_resumed,
    a_paused_container_can_be_killed,
    a_paused_container_can_be_deleted,
    signals_wait_for_the_resumption,
    v1_a_paused_container_stands_still,
    v1_a_paused_container_can_be_killed,
];

/// Writes on and on.
const COUNT: &str = "while :; do echo tick; sleep 0.01; done";

fn counting() -> Container {
    let container = Bundle::new().sh(COUNT).start();
    container.says("tick");
    container
}

/// How much a container writes in a while.
fn progress(container: &Container) -> usize {
    let before = container.stdout().len();
    std::thread::sleep(Duration::from_millis(150));
    container.stdout().len() - before
}

fn stands_still_until_resumed() {
    let container = counting();
    let pause = container.verb("pause", &[], &[]).ok();
    assert_eq!((pause.stdout.as_str(), pause.stderr.as_str()), ("", ""), "pause is silent");
    assert_eq!(container.status(), "paused");
    assert_eq!(progress(&container), 0);
    assert_eq!(container.state()["pid"].as_i64(), Some(container.pid.into()));
    container.verb("resume", &[], &[]).ok();
    assert_eq!(container.status(), "running");
    assert!(eventually(|| progress(&container) > 0));
}

fn a_paused_container_stands_still() -> Outcome {
    needs::memlock_for_crun()?;
    stands_still_until_resumed();
    Ok(())
}

fn children_stand_still_too() -> Outcome {
    let script = format!(
        "mkdir /sys/fs/cgroup/below || exit; ({COUNT}) & echo $! > /sys/fs/cgroup/below/cgroup.procs; wait"
    );
    let container =
        Bundle::new().mount("/sys/fs/cgroup", "cgroup", "cgroup", &["rw"]).sh(&script).start();
    container.says("tick");
    container.verb("pause", &[], &[]).ok();
    assert_eq!(progress(&container), 0);
    container.verb("resume", &[], &[]).ok();
    assert!(eventually(|| progress(&container) > 0));
    Ok(())
}

fn a_created_container_can_be_paused() -> Outcome {
    let container = Bundle::new().sh(COUNT).create();
    container.verb("pause", &[], &[]).ok();
    if needs::cloison().is_ok() {
        assert_eq!(container.status(), "paused");
        container.verb("start", &[], &[]).refused().complains("container paused");
    }
    container.verb("resume", &[], &[]).ok();
    assert_eq!(container.status(), "created");
    container.start();
    container.says("tick");
    Ok(())
}

fn pausing_twice_is_an_error() -> Outcome {
    needs::other_than("crun", "takes it for done")?;
    let container = counting();
    container.verb("pause", &[], &[]).ok();
    container.verb("pause", &[], &[]).refused();
    assert_eq!(container.status(), "paused");
    Ok(())
}

fn resuming_what_runs_is_an_error() -> Outcome {
    needs::other_than("crun", "takes it for done")?;
    let container = counting();
    container.verb("resume", &[], &[]).refused().complains("container not paused");
    assert_eq!(container.status(), "running");
    Ok(())
}

fn a_stopped_container_is_neither_paused_nor_resumed() -> Outcome {
    let container = Bundle::new().args(&["true"]).start();
    container.wait();
    for verb in ["pause", "resume"] {
        let refusal = container.verb(verb, &[], &[]).refused();
        if needs::cloison().is_ok() {
            refusal.complains("container not running");
        }
        Sandbox::new().runtime(&[verb, "nobody"]).finish().refused();
    }
    assert_eq!(container.status(), "stopped");
    Ok(())
}

fn dies_while_paused() {
    let container = counting();
    container.verb("pause", &[], &[]).ok();
    container.kill("KILL");
    assert_eq!(container.wait(), 137);
    assert_eq!(container.status(), "stopped");
}

fn a_paused_container_can_be_killed() -> Outcome {
    dies_while_paused();
    Ok(())
}

fn a_paused_container_can_be_deleted() -> Outcome {
    let container = counting();
    container.verb("pause", &[], &[]).ok();
    container.verb("delete", &[], &[]).refused();
    assert_eq!(container.status(), "paused");
    container.verb("delete", &["--force"], &[]).ok();
    assert!(!container.alive());
    let left = container.bundle().sandbox().leftovers();
    assert!(left.is_empty(), "{left:?}");
    Ok(())
}

/// A signal to all must not let go of what somebody has paused.
fn signals_wait_for_the_resumption() -> Outcome {
    needs::other_than("runc", "lets it go on")?;
    needs::other_than("crun", "lets it go on")?;
    let container = Bundle::new()
        .sh("trap 'echo caught; exit 0' TERM; echo ready; while :; do sleep 0.01; done")
        .start();
    container.says("ready");
    container.verb("pause", &[], &[]).ok();
    container.verb("kill", &["--all"], &["TERM"]).ok();
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(container.status(), "paused");
    assert!(!container.stdout().contains("caught"));
    container.verb("resume", &[], &[]).ok();
    container.says("caught");
    Ok(())
}

fn v1_a_paused_container_stands_still() -> Outcome {
    needs::other_than("crun", "refuses hybrid hierarchies")?;
    needs::v1_controller("freezer")?;
    on_host_hierarchies(stands_still_until_resumed);
    Ok(())
}

fn v1_a_paused_container_can_be_killed() -> Outcome {
    needs::other_than("crun", "refuses hybrid hierarchies")?;
    needs::v1_controller("freezer")?;
    on_host_hierarchies(dies_while_paused);
    Ok(())
}
