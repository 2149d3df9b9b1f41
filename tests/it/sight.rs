//! Who can look into the runtime's own processes while they make a container
//! or enter one: nobody without privilege (ptrace(2), "Ptrace access mode
//! checking").

use std::path::Path;

use serde_json::json;

use crate::harness::{Bundle, Container, Outcome, needs, tests};

tests![
    a_waiting_init_cannot_be_looked_into_by_its_user,
    other_processes_of_a_joined_pid_namespace_see_nothing_of_init,
    other_processes_of_a_joined_pid_namespace_see_nothing_of_a_mapped_init,
    processes_of_a_container_see_nothing_of_one_that_enters,
];

const USER: u32 = 1000;

/// bubblewrap's CVE-2016-8659 and its like: whose ids a process has may trace
/// it, were it not hidden.
fn a_waiting_init_cannot_be_looked_into_by_its_user() -> Outcome {
    needs::other_than("crun", "can be looked into")?;
    let bundle = Bundle::new()
        .set("/process/user", json!({"uid": USER, "gid": USER}))
        .unset("/process/capabilities")
        .args(&["sleep", "60"]);
    let container = bundle.create();
    let look = |script: &str| {
        let script = format!("cd /proc/{} && {script}", container.pid);
        let sandbox = container.bundle().sandbox();
        sandbox.program(Path::new("/bin/sh"), &["-c", &script]).user(USER).finish()
    };
    let looks = ["readlink exe", "readlink root", "cat environ", "cat maps", "ls fd", "cat auxv"];
    for script in looks {
        look(script).refused();
    }
    container.start();
    container.becomes("running");
    for script in looks {
        look(script).ok();
    }
    Ok(())
}

/// A container whose process looks into everything that it can find.
fn watcher() -> Container {
    let container = Bundle::new().with_probe().args(&["/probe", "watch"]).start();
    container.says("watching");
    container
}

/// What the container's own programs show of themselves is no secret.
#[track_caller]
fn saw_nothing(watcher: &Container) {
    let stdout = watcher.stdout();
    let foreign = |line: &&str| {
        let runtime = crate::harness::runtime_path();
        let runtime = runtime.file_name().expect("a name").to_string_lossy().into_owned();
        line.contains(&runtime)
    };
    let seen: Vec<&str> = stdout.lines().filter(foreign).collect();
    assert!(seen.is_empty(), "{seen:#?}");
}

fn make_many_in_the_pid_namespace_of(watcher: &Container, dress: impl Fn(Bundle) -> Bundle) {
    let path = format!("/proc/{}/ns/pid", watcher.pid);
    let bundle = dress(Bundle::new().join_namespace("pid", &path)).args(&["true"]);
    for _ in 0..15 {
        bundle.run().ok();
    }
}

/// CVE-2016-9962.
fn other_processes_of_a_joined_pid_namespace_see_nothing_of_init() -> Outcome {
    needs::root()?;
    needs::other_than("crun", "can be seen")?;
    let watcher = watcher();
    make_many_in_the_pid_namespace_of(&watcher, |bundle| bundle);
    saw_nothing(&watcher);
    Ok(())
}

/// The owner of a user namespace has every capability in it: root of a container without one is
/// the same user as the launcher.
fn other_processes_of_a_joined_pid_namespace_see_nothing_of_a_mapped_init() -> Outcome {
    needs::other_than("crun", "can be seen")?;
    needs::other_than("runc", "can be seen")?;
    let watcher = watcher();
    make_many_in_the_pid_namespace_of(&watcher, |bundle| {
        // procfs belongs to the owner of the pid namespace, whom a mapped root is not.
        bundle.in_user_namespace(100_000).set("/mounts", json!([]))
    });
    saw_nothing(&watcher);
    Ok(())
}

fn processes_of_a_container_see_nothing_of_one_that_enters() -> Outcome {
    needs::other_than("crun", "can be seen")?;
    let watcher = watcher();
    for _ in 0..15 {
        watcher.verb("exec", &[], &["true"]).ok();
    }
    saw_nothing(&watcher);
    Ok(())
}
