//! The state document and the annotations in it (runtime.md, "State"), as
//! engines decode it.

use serde_json::json;

use crate::harness::{Bundle, Outcome, needs, tests};

tests![
    the_state_names_what_it_is_about,
    the_pid_is_zero_without_a_process,
    annotations_are_handed_on,
    annotations_may_be_missing_or_empty,
    the_bundle_is_absolute,
    created_is_a_time,
];

fn the_state_names_what_it_is_about() -> Outcome {
    needs::other_than("crun", "shows the rootfs as it is configured")?;
    let container = Bundle::new().args(&["sleep", "60"]).create();
    let state = container.state();
    assert_eq!(state["id"], container.id());
    assert_eq!(state["status"], "created");
    assert_eq!(state["bundle"], container.bundle().dir().display().to_string());
    assert_eq!(state["rootfs"], container.bundle().rootfs().display().to_string());
    assert!(
        state["ociVersion"].as_str().is_some_and(|version| version.starts_with("1.")),
        "{state}"
    );
    let pid = state["pid"].as_i64().expect("a pid");
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it is alive");
    assert!(status.contains("\t1\n"), "it is the first of its own pid namespace: {status}");
    Ok(())
}

fn the_pid_is_zero_without_a_process() -> Outcome {
    let container = Bundle::new().args(&["true"]).start();
    container.wait();
    assert_eq!(container.state()["pid"], 0);
    Ok(())
}

fn annotations_are_handed_on() -> Outcome {
    let annotations = json!({"com.example.key": "value", "empty": "", "ünï": "cödé \" \\ \n"});
    let container =
        Bundle::new().set("/annotations", annotations.clone()).args(&["sleep", "60"]).create();
    assert_eq!(container.state()["annotations"], annotations);
    container.start();
    assert_eq!(container.state()["annotations"], annotations);
    Ok(())
}

fn annotations_may_be_missing_or_empty() -> Outcome {
    for bundle in [Bundle::new(), Bundle::new().set("/annotations", json!({}))] {
        let state = bundle.args(&["sleep", "60"]).create().state();
        let annotations = &state["annotations"];
        assert!(annotations.is_null() || annotations == &json!({}), "{state}");
    }
    Ok(())
}

fn the_bundle_is_absolute() -> Outcome {
    let bundle = Bundle::new().args(&["sleep", "60"]);
    bundle.write();
    let dir = bundle.dir();
    let line = ["create", "--bundle", ".", bundle.id()];
    let output = bundle.dir().join("container");
    bundle.sandbox().runtime(&line).keeping_output_in(output).dir(&dir).finish().ok();
    assert_eq!(bundle.adopt().state()["bundle"], dir.display().to_string());
    Ok(())
}

/// RFC 3339 in UTC: `2026-01-31T12:34:56.789Z`.
fn created_is_a_time() -> Outcome {
    let state = Bundle::new().args(&["sleep", "60"]).create().state();
    let created = state["created"].as_str().expect("a string").to_owned();
    let shape: String =
        created.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).take(19).collect();
    assert_eq!(shape, "0000-00-00T00:00:00", "{created}");
    assert!(created.ends_with('Z'), "{created}");
    if needs::cloison().is_ok() {
        let owner = &state["owner"];
        assert!(owner.is_string() || owner.is_null(), "{state}");
    }
    Ok(())
}
