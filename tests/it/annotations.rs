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
    groups_of_the_caller_can_be_kept,
    a_pidfd_goes_to_its_receiver,
    unknown_system_calls_can_be_refused,
    a_handler_is_refused_by_name,
    what_has_no_effect_is_told,
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

fn known() -> Outcome {
    needs::other_than("runc", "does not know run.oci annotations")
}

/// ANN-1
fn groups_of_the_caller_can_be_kept() -> Outcome {
    needs::root()?;
    known()?;
    needs::path("/usr/bin/setpriv")?;
    let groups = |bundle: Bundle| {
        bundle.write();
        let (root, dir, runtime) =
            (bundle.sandbox().root(), bundle.dir(), crate::harness::runtime_path());
        let line = [
            "--groups",
            "7,8",
            runtime.to_str().unwrap(),
            "--root",
            root.to_str().unwrap(),
            "run",
            "--bundle",
            dir.to_str().unwrap(),
            bundle.id(),
        ];
        let setpriv = std::path::Path::new("/usr/bin/setpriv");
        bundle.sandbox().program(setpriv, &line).finish().ok().stdout
    };
    let bundle = || Bundle::new().args(&["grep", "^Groups:", "/proc/self/status"]);
    assert_eq!(groups(bundle()).trim(), "Groups:");
    let kept = bundle().set("/annotations", json!({"run.oci.keep_original_groups": "1"}));
    assert_eq!(groups(kept).trim(), "Groups:\t7 8");
    Ok(())
}

/// ANN-1
fn a_pidfd_goes_to_its_receiver() -> Outcome {
    known()?;
    let bundle = Bundle::new().args(&["sleep", "60"]);
    let path = bundle.host_dir("sockets").join("pidfd");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let path = path.to_str().unwrap().to_owned();
    let container = bundle.set("/annotations", json!({"run.oci.pidfd_receiver": path})).create();
    let (mut stream, _) = listener.accept().unwrap();
    let mut text = Vec::new();
    std::io::Read::read_to_end(&mut stream, &mut text).unwrap();
    assert!(!text.is_empty());
    container.delete();
    Ok(())
}

/// ANN-1
fn unknown_system_calls_can_be_refused() -> Outcome {
    known()?;
    let filter = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["no_such_call"], "action": "SCMP_ACT_ERRNO"}],
    });
    let bundle = Bundle::new().set("/linux/seccomp", filter);
    bundle.run().ok();
    let strict = json!({"run.oci.seccomp_fail_unknown_syscall": "1"});
    let refusal = bundle.set("/annotations", strict).run().refused();
    needs::cloison()?;
    refusal.complains("/linux/seccomp/syscalls/0: \"no_such_call\"");
    Ok(())
}

/// ANN-2
fn a_handler_is_refused_by_name() -> Outcome {
    needs::cloison()?;
    let bundle = Bundle::new().set("/annotations", json!({"run.oci.handler": "krun"}));
    bundle.is_refused().complains("/annotations/run.oci.handler: not supported");
    Ok(())
}

/// ANN-3
fn what_has_no_effect_is_told() -> Outcome {
    needs::cloison()?;
    let bundle = Bundle::new().set("/annotations", json!({"run.oci.hooks.stdout": "/x"}));
    bundle.run().ok().complains("/annotations/run.oci.hooks.stdout: no effect");
    Ok(())
}
