//! Commands that meet: each race ends with one winner, nothing is lost, and no
//! answer is wrong (specs/10-lifecycle.md, section 4).
//!
//! `make races` (`RACES=full`) repeats them and takes the numbers of busy
//! hosts; the suite takes a few of each.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::harness::{
    Bundle, Container, Finished, Outcome, Running, Sandbox, eventually, needs, on_host_hierarchies,
    scale,
};

super::harness::tests![
    create_against_delete,
    create_against_create_in_one_cgroup,
    v1_create_against_create_in_one_cgroup,
    start_against_kill,
    start_against_delete,
    two_forced_deletes,
    exec_against_delete,
    update_against_pause,
    pause_against_resume,
    many_containers_at_once,
    many_processes_enter_at_once,
    many_live_containers_are_listed,
];

/// Moments by which one command is ahead of the other, so that they meet at
/// different places.
fn head_starts(rounds: usize) -> impl Iterator<Item = Duration> {
    (0..rounds).map(|round| Duration::from_micros((round as u64 * 1_700) % 23_000))
}

fn command(container: &Bundle, line: &[&str]) -> Running {
    container.sandbox().runtime(line).spawn()
}

/// The two commands, the second one `ahead` later; how they ended.
fn meet(bundle: &Bundle, one: &[&str], other: &[&str], ahead: Duration) -> (Finished, Finished) {
    let one = command(bundle, one);
    std::thread::sleep(ahead);
    let other = command(bundle, other);
    (one.finish(), other.finish())
}

/// An end of a command's own, and if it is a failure, one with a sentence.
#[track_caller]
fn is_sound(ended: &Finished) {
    assert!(ended.code < 128 || ended.code == 255, "ended by a signal: {ended}");
    assert!(ended.code == 0 || !ended.stderr.trim().is_empty(), "without a word: {ended}");
    assert!(!ended.stderr.contains("panicked"), "{ended}");
}

fn create_against_delete() -> Outcome {
    needs::other_than("runc", "deletes what is being created and leaves its cgroup")?;
    needs::other_than("crun", "deletes what is being created and leaves its cgroup")?;
    for ahead in head_starts(scale(6, 60)) {
        let bundle = Bundle::new();
        bundle.write();
        let (dir, id) = (bundle.dir(), bundle.id().to_owned());
        let create = ["create", "--bundle", dir.to_str().expect("utf-8"), &id];
        let (create, delete) = meet(&bundle, &create, &["delete", "--force", &id], ahead);
        is_sound(&create);
        delete.ok();
        let state = bundle.sandbox().runtime(&["state", &id]).finish();
        // Either delete came first and there is a container, or last and there is none.
        if state.code == 0 {
            assert!(create.code == 0 && state.stdout.contains("\"created\""), "{create}\n{state}");
        } else {
            let left = bundle.sandbox().leftovers();
            assert!(left.is_empty(), "{left:?} after\n{create}");
        }
    }
    Ok(())
}

/// Two containers that ask for the same cgroup: one gets it, and the end of
/// the other does it no harm.
fn create_against_create_in_one_cgroup() -> Outcome {
    needs::other_than("runc", "lets two containers share a cgroup")?;
    needs::other_than("crun", "lets two containers share a cgroup")?;
    creates_meet_in_one_cgroup();
    Ok(())
}

fn v1_create_against_create_in_one_cgroup() -> Outcome {
    needs::cloison()?;
    needs::v1_controller("pids")?;
    on_host_hierarchies(creates_meet_in_one_cgroup);
    Ok(())
}

fn creates_meet_in_one_cgroup() {
    for ahead in head_starts(scale(4, 40)) {
        let sandbox = Sandbox::new();
        let cgroup = sandbox.manager().cgroups_path(&format!("{}-shared", sandbox.token()));
        let bundles = ["a", "b"].map(|name| {
            let bundle = Bundle::in_sandbox(&sandbox, name);
            bundle.set("/linux/cgroupsPath", cgroup.as_str()).args(&["sleep", "60"])
        });
        bundles.iter().for_each(Bundle::write);
        let dirs = bundles.each_ref().map(|bundle| bundle.dir().display().to_string());
        let line = |n: usize| ["create", "--bundle", dirs[n].as_str(), bundles[n].id()];
        let (one, other) = meet(&bundles[0], &line(0), &line(1), ahead);
        is_sound(&one);
        is_sound(&other);
        let won = [one.code, other.code].iter().filter(|code| **code == 0).count();
        assert_eq!(won, 1, "{one}\n{other}");
        let winner = usize::from(one.code != 0);
        let state = |n: usize| sandbox.runtime(&["state", bundles[n].id()]).finish();
        state(1 - winner).refused();
        sandbox.runtime(&["start", bundles[winner].id()]).finish().ok();
        assert!(state(winner).ok().stdout.contains("running"));
    }
}

fn start_against_kill() -> Outcome {
    for ahead in head_starts(scale(6, 60)) {
        let container = Bundle::new().args(&["sleep", "60"]).create();
        let id = container.id();
        let (start, kill) = meet(container.bundle(), &["start", id], &["kill", id, "KILL"], ahead);
        is_sound(&start);
        is_sound(&kill);
        assert!(kill.code == 0, "{kill}\n{start}");
        container.becomes("stopped");
        container.verb("delete", &[], &[]).ok();
    }
    Ok(())
}

fn start_against_delete() -> Outcome {
    needs::other_than("crun", "waits for an init that was deleted")?;
    for ahead in head_starts(scale(6, 60)) {
        let container = Bundle::new().args(&["sleep", "60"]).create();
        let id = container.id();
        let (start, delete) = meet(container.bundle(), &["start", id], &["delete", id], ahead);
        is_sound(&start);
        is_sound(&delete);
        let state = container.verb("state", &[], &[]);
        match (start.code, delete.code) {
            (0, 0) => panic!("started and deleted:\n{start}\n{delete}"),
            (0, _) => assert!(state.stdout.contains("running"), "{state}"),
            _ => drop(state.refused()),
        }
    }
    Ok(())
}

fn two_forced_deletes() -> Outcome {
    needs::other_than("crun", "fails where another was faster")?;
    for ahead in head_starts(scale(6, 60)) {
        let container = Bundle::new().args(&["sleep", "60"]).start();
        let line = ["delete", "--force", container.id()];
        let (one, other) = meet(container.bundle(), &line, &line, ahead / 10);
        one.ok();
        other.ok();
        let left = container.bundle().sandbox().leftovers();
        assert!(left.is_empty(), "{left:?}");
    }
    Ok(())
}

fn exec_against_delete() -> Outcome {
    needs::other_than("runc", "gives up while init still ends")?;
    for ahead in head_starts(scale(6, 60)) {
        let container = Bundle::new().args(&["sleep", "60"]).start();
        let id = container.id();
        let exec = command(container.bundle(), &["exec", id, "sleep", "60"]);
        std::thread::sleep(ahead);
        container.verb("delete", &["--force"], &[]).ok();
        let exec = exec.finish();
        assert!(exec.code != 0, "{exec}");
        assert!(eventually(|| container.bundle().sandbox().leftovers().is_empty()));
    }
    Ok(())
}

fn update_against_pause() -> Outcome {
    for ahead in head_starts(scale(4, 40)) {
        let container = Bundle::new().args(&["sleep", "60"]).start();
        let id = container.id();
        let limits = container.bundle().sandbox().path().join("limits");
        std::fs::write(&limits, "{}").expect("write");
        let update = ["update", "-r", limits.to_str().expect("utf-8"), id];
        let (update, pause) = meet(container.bundle(), &update, &["pause", id], ahead / 4);
        update.ok();
        pause.ok();
        assert_eq!(container.status(), "paused");
        container.verb("resume", &[], &[]).ok();
    }
    Ok(())
}

fn pause_against_resume() -> Outcome {
    needs::other_than("crun", "says that it was resumed when it was paused")?;
    for ahead in head_starts(scale(4, 40)) {
        let container = Bundle::new().args(&["sleep", "60"]).start();
        let id = container.id();
        let (pause, resume) = meet(container.bundle(), &["pause", id], &["resume", id], ahead / 8);
        pause.ok();
        is_sound(&resume);
        // Whoever resumed a container that was not paused yet was told so.
        let wanted = if resume.code == 0 { "running" } else { "paused" };
        assert_eq!(container.status(), wanted, "{resume}");
        container.verb("delete", &["--force"], &[]).ok();
    }
    Ok(())
}

/// From nothing to nothing, eight at a time.
fn many_containers_at_once() -> Outcome {
    let next = AtomicUsize::new(0);
    let all = scale(16, 200);
    let sandbox = Sandbox::new();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= all {
                        return;
                    }
                    let name = format!("n{number}");
                    let bundle = Bundle::in_sandbox(&sandbox, &name);
                    let container = bundle.sh(&format!("echo {name}; sleep 60")).start();
                    container.says(&format!("{name}\n"));
                    assert_eq!(container.status(), "running");
                    container.kill("KILL");
                    container.becomes("stopped");
                    container.delete();
                    let _ = std::fs::remove_dir_all(container.bundle().rootfs());
                }
            });
        }
    });
    assert_eq!(listed(&sandbox).len(), 0);
    let left = sandbox.leftovers();
    assert!(left.is_empty(), "{left:?}");
    Ok(())
}

fn many_processes_enter_at_once() -> Outcome {
    let container = Bundle::new().args(&["sleep", "60"]).start();
    let all = scale(16, 100);
    let execs: Vec<(usize, Running)> = (0..all)
        .map(|n| {
            let script = format!("echo {n}; exit {}", n % 100);
            let out = container.bundle().sandbox().path().join(format!("exec-{n}"));
            let line = ["exec", container.id(), "sh", "-c", &script];
            let exec = container.bundle().sandbox().runtime(&line).keeping_output_in(out);
            (n, exec.spawn())
        })
        .collect();
    for (n, exec) in execs {
        let ended = exec.finish().exits((n % 100) as i32);
        assert_eq!(ended.stdout.trim(), n.to_string());
    }
    assert_eq!(container.status(), "running");
    Ok(())
}

fn listed(sandbox: &Sandbox) -> Vec<Value> {
    let told = sandbox.runtime(&["list", "--format", "json"]).finish().ok();
    let all: Option<Vec<Value>> = serde_json::from_str(&told.stdout).expect("a list");
    all.unwrap_or_default()
}

/// While half of them go away, the others are never missing.
fn many_live_containers_are_listed() -> Outcome {
    let sandbox = Sandbox::new();
    let all = scale(12, 500);
    let shared = Bundle::in_sandbox(&sandbox, "image");
    let containers: Vec<Container> = (0..all).map(|n| one_of(&sandbox, &shared, n)).collect();
    assert_eq!(listed(&sandbox).len(), all);
    let (going, staying) = containers.split_at(all / 2);
    std::thread::scope(|scope| {
        let deletes = scope.spawn(|| {
            for container in going {
                container.verb("delete", &["--force"], &[]).ok();
            }
        });
        while !deletes.is_finished() {
            let list = listed(&sandbox);
            for container in staying {
                let mine = list.iter().find(|one| one["id"] == container.id());
                let status = mine.map(|one| one["status"].as_str().unwrap_or_default());
                assert_eq!(status, Some("created"), "{}", container.id());
            }
        }
    });
    assert_eq!(listed(&sandbox).len(), staying.len());
    Ok(())
}

/// A container of an image that many share, which therefore is read-only.
fn one_of(sandbox: &Arc<Sandbox>, image: &Bundle, number: usize) -> Container {
    let bundle = Bundle::in_sandbox(sandbox, &format!("n{number}"));
    std::fs::remove_dir_all(bundle.rootfs()).expect("remove its own image");
    let rootfs = image.rootfs();
    bundle.set("/root/path", rootfs.to_str().expect("utf-8")).args(&["sleep", "60"]).create()
}
