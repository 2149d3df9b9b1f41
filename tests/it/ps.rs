//! `ps`: the processes of a container, numbered as the host does.

use crate::harness::limits::directory;
use crate::harness::{Bundle, Container, Finished, Outcome, Sandbox, eventually, needs, tests};

tests![
    json_is_an_array_of_numbers,
    the_table_has_a_column_of_ids,
    the_table_needs_no_program,
    options_are_for_ps,
    all_options_may_be_one_word,
    wrong_options_are_told,
    a_created_container_has_its_init,
    a_stopped_container_has_none,
    control_characters_are_not_printed,
];

/// A shell with two children.
fn family() -> Container {
    let container = Bundle::new().sh("sleep 61 & sleep 62 & echo ready; wait").start();
    container.says("ready");
    assert!(eventually(|| members(&container).len() == 3));
    container
}

fn members(container: &Container) -> Vec<i32> {
    let file = directory(container, "").join("cgroup.procs");
    let text = std::fs::read_to_string(file).expect("read");
    let mut pids: Vec<i32> = text.lines().map(|line| line.parse().expect("a number")).collect();
    pids.sort_unstable();
    pids
}

#[track_caller]
fn numbers(output: &Finished) -> Vec<i32> {
    let mut pids: Vec<i32> =
        serde_json::from_str(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output}"));
    pids.sort_unstable();
    pids
}

/// The column under PID.
#[track_caller]
fn column(output: &Finished) -> Vec<i32> {
    let mut lines = output.stdout.lines();
    let head = lines.next().unwrap_or_else(|| panic!("{output}"));
    let at = head.split_ascii_whitespace().position(|name| name == "PID").expect("a column PID");
    let pid = |line: &str| line.split_ascii_whitespace().nth(at)?.parse().ok();
    let mut pids: Vec<i32> = lines.map(|line| pid(line).expect("a number")).collect();
    pids.sort_unstable();
    pids
}

fn json_is_an_array_of_numbers() -> Outcome {
    let container = family();
    for options in [["--format", "json"], ["-f", "json"]] {
        assert_eq!(numbers(&container.verb("ps", &options, &[]).ok()), members(&container));
    }
    Ok(())
}

fn the_table_has_a_column_of_ids() -> Outcome {
    let container = family();
    let table = container.verb("ps", &[], &[]).ok();
    assert_eq!(column(&table), members(&container));
    if needs::other_than("crun", "prints numbers alone").is_ok() {
        assert!(table.stdout.contains("sleep 62"), "{table}");
    }
    assert_eq!(
        column(&container.verb("ps", &["--format", "table"], &[]).ok()),
        members(&container)
    );
    Ok(())
}

/// PS-2
fn the_table_needs_no_program() -> Outcome {
    needs::other_than("runc", "runs ps(1)")?;
    let container = family();
    let ps = |more: &[&str]| {
        let mut line = vec!["ps", container.id()];
        line.extend(more);
        container.bundle().sandbox().runtime(&line).env("PATH", "/nonexistent").finish()
    };
    assert_eq!(column(&ps(&[]).ok()), members(&container));
    if needs::cloison().is_ok() {
        ps(&["-ef"]).refused().complains("ps");
    }
    Ok(())
}

fn options_are_for_ps() -> Outcome {
    needs::other_than("crun", "takes no options for ps(1)")?;
    needs::path("/usr/bin/ps")?;
    let container = family();
    for options in [&["-ef"][..], &["-e", "-o", "pid,comm"], &["aux"]] {
        let table = container.verb("ps", &[], options).ok();
        assert_eq!(column(&table), members(&container), "{options:?}: {table}");
    }
    Ok(())
}

/// PS-3: as containerd calls.
fn all_options_may_be_one_word() -> Outcome {
    needs::cloison()?;
    needs::path("/usr/bin/ps")?;
    let container = family();
    let line = ["ps", "--format", "table", container.id(), "-e -o comm,pid"];
    let table = container.bundle().sandbox().runtime(&line).finish().ok();
    assert!(table.stdout.starts_with("COMMAND"), "{table}");
    assert_eq!(column(&table), members(&container));
    Ok(())
}

fn wrong_options_are_told() -> Outcome {
    needs::other_than("crun", "takes no options for ps(1)")?;
    needs::path("/usr/bin/ps")?;
    let container = family();
    container.verb("ps", &[], &["-e", "-o", "nonsense"]).refused();
    container.verb("ps", &[], &["-e", "-o", "comm"]).refused().complains("PID");
    Ok(())
}

fn a_created_container_has_its_init() -> Outcome {
    let container = Bundle::new().args(&["sleep", "60"]).create();
    let output = container.verb("ps", &["--format", "json"], &[]).ok();
    assert_eq!(numbers(&output), [container.pid]);
    Ok(())
}

fn a_stopped_container_has_none() -> Outcome {
    needs::scope_of_its_own()?;
    let container = Bundle::new().args(&["true"]).start();
    container.wait();
    let json = container.verb("ps", &["--format", "json"], &[]).ok();
    let json: serde_json::Value = serde_json::from_str(&json.stdout).expect("json");
    assert!(json.is_null() || json.as_array().is_some_and(Vec::is_empty), "{json}");
    assert_eq!(container.verb("ps", &[], &[]).ok().stdout.lines().count(), 1, "the head");
    assert_ne!(Sandbox::new().runtime(&["ps", "nobody"]).finish().code, 0);
    Ok(())
}

/// What a container names its processes must not drive the terminal of who looks at them.
fn control_characters_are_not_printed() -> Outcome {
    needs::cloison()?;
    let container =
        Bundle::new().args(&["sh", "-c", "echo ready; sleep 60 # \u{1b}[31m", "\n1 2 3"]).start();
    container.says("ready");
    let table = container.verb("ps", &[], &[]).ok();
    assert!(!table.stdout.contains('\u{1b}'), "{table}");
    assert_eq!(column(&table), members(&container));
    Ok(())
}
