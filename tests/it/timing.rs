//! `--timing`: where the time of a verb goes (specs/70-budgets.md).

use serde_json::Value;

use crate::harness::{Bundle, Outcome, needs, tests};

tests![
    every_verb_says_what_its_phases_took,
    a_slow_hook_is_told_from_the_runtime,
    a_refusal_is_timed_too,
    nothing_is_said_unasked,
];

/// The line that is said on standard error, behind whatever else is.
fn times(stderr: &str) -> Value {
    let line = stderr.lines().last().expect("a line");
    let times: Value = serde_json::from_str(line).expect("JSON");
    let phases = times["phases"].as_object().expect("phases");
    let sum: u64 = phases.values().map(|time| time.as_u64().expect("microseconds")).sum();
    let total = times["total"].as_u64().expect("a total");
    // Each phase is cut to whole microseconds.
    assert!(total >= sum && total <= sum + phases.len() as u64, "{times}");
    times
}

fn every_verb_says_what_its_phases_took() -> Outcome {
    needs::cloison()?;
    let bundle = Bundle::new().args(&["sleep", "60"]);
    bundle.write();
    let (dir, id) = (bundle.dir(), bundle.id().to_owned());
    let dir = dir.to_str().expect("utf-8");
    for (words, phases) in [
        (vec!["create", "--bundle", dir, &id], vec!["options", "config", "plan", "clone", "init"]),
        (vec!["state", &id], vec!["options", "rest"]),
        (vec!["start", &id], vec!["options", "state", "start"]),
        (vec!["exec", &id, "true"], vec!["options", "plan", "start", "program"]),
        (vec!["delete", "--force", &id], vec!["options", "state", "kill", "remove"]),
    ] {
        let line = [vec!["--timing"], words].concat();
        let said = bundle.sandbox().runtime(&line).finish().ok();
        let times = times(&said.stderr);
        for phase in phases {
            assert!(times["phases"].get(phase).is_some(), "{line:?} without {phase}: {times}");
        }
    }
    Ok(())
}

fn a_slow_hook_is_told_from_the_runtime() -> Outcome {
    needs::cloison()?;
    let bundle = Bundle::new().args(&["true"]).hook("createRuntime", "sleep 0.2");
    bundle.write();
    let dir = bundle.dir();
    let line = ["--timing", "run", "--bundle", dir.to_str().expect("utf-8"), bundle.id()];
    let said = bundle.sandbox().runtime(&line).finish().ok();
    let hooks = times(&said.stderr)["phases"]["hooks"].as_u64().expect("hooks");
    assert!(hooks >= 200_000, "{hooks}");
    Ok(())
}

fn a_refusal_is_timed_too() -> Outcome {
    needs::cloison()?;
    let bundle = Bundle::new();
    let said = bundle.sandbox().runtime(&["--timing", "state", "nobody"]).finish().refused();
    times(&said.stderr);
    Ok(())
}

fn nothing_is_said_unasked() -> Outcome {
    let said = Bundle::new().args(&["true"]).run().ok();
    assert_eq!(said.stderr, "");
    Ok(())
}
