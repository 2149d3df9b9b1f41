//! `explain`: a dry run. It says what `create` would do, does none of it, and
//! refuses what `create` would refuse, in the same words.

use serde_json::json;

use crate::harness::{Bundle, Finished, Outcome, needs, tests};

tests![
    it_prints_a_plan,
    it_prints_the_same_plan_twice,
    it_does_nothing,
    it_names_what_the_configuration_asks_for,
    it_refuses_what_create_refuses,
];

fn explain(bundle: &Bundle) -> Result<Finished, crate::harness::Skip> {
    needs::cloison()?;
    Ok(bundle.invoke("explain", &[]).finish())
}

fn it_prints_a_plan() -> Outcome {
    let bundle = Bundle::new();
    let plan = explain(&bundle)?.ok();
    assert_eq!(plan.stderr, "");
    assert!(plan.stdout.lines().count() > 10, "{plan}");
    Ok(())
}

fn it_prints_the_same_plan_twice() -> Outcome {
    let bundle = Bundle::new()
        .set(
            "/linux/sysctl",
            json!({"net.ipv4.ip_forward": "1", "kernel.msgmax": "8000", "kernel.shmmni": "9"}),
        )
        .set("/annotations", json!({"a": "1", "b": "2", "c": "3"}));
    assert_eq!(explain(&bundle)?.ok().stdout, explain(&bundle)?.ok().stdout);
    Ok(())
}

fn it_does_nothing() -> Outcome {
    let bundle = Bundle::new()
        .set("/process/cwd", "/made/by/create")
        .mount("/mounted/by/create", "tmpfs", "tmpfs", &[])
        .hook("createRuntime", "exit 3");
    explain(&bundle)?.ok();
    let left = bundle.sandbox().leftovers();
    assert!(left.is_empty(), "{left:?}");
    assert!(!bundle.rootfs().join("made").exists() && !bundle.rootfs().join("mounted").exists());
    assert!(!bundle.sandbox().root().join(bundle.id()).exists());
    Ok(())
}

fn it_names_what_the_configuration_asks_for() -> Outcome {
    let bundle = Bundle::new()
        .set("/hostname", "a-host-name")
        .set("/process/cwd", "/some/where")
        .set("/process/args", json!(["the-program", "its-argument"]))
        .set("/process/oomScoreAdj", 77)
        .push("/process/rlimits", json!({"type": "RLIMIT_CORE", "soft": 0, "hard": 0}))
        .mount("/mounted/here", "tmpfs", "tmpfs", &["nosuid", "size=1m"])
        .set("/linux/sysctl", json!({"net.ipv4.ip_forward": "1"}))
        .set("/linux/maskedPaths", json!(["/proc/kcore"]))
        .set("/linux/readonlyPaths", json!(["/proc/sys"]))
        .push(
            "/linux/devices",
            json!({"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229}),
        )
        .hook("createRuntime", "a-hooks-script");
    let plan = explain(&bundle)?.ok().stdout;
    let words = [
        "a-host-name",
        "/some/where",
        "the-program",
        "its-argument",
        "77",
        "/mounted/here",
        "size=1m",
        "ip_forward",
        "/proc/kcore",
        "/proc/sys",
        "/dev/fuse",
        "a-hooks-script",
        "CAP_KILL",
        "/dev/mqueue",
    ];
    for word in words {
        assert!(plan.contains(word), "no {word} in\n{plan}");
    }
    Ok(())
}

fn it_refuses_what_create_refuses() -> Outcome {
    for bundle in [
        Bundle::new().set("/process/cwd", "relative"),
        Bundle::new().push("/linux/namespaces", json!({"type": "pid"})),
        Bundle::new().text("{}"),
        Bundle::new().text("no json"),
    ] {
        let refusal = explain(&bundle)?.refused();
        assert_eq!(refusal.stderr, bundle.try_create().refused().stderr);
    }
    Ok(())
}
