//! What commands that were killed, and reboots, have left is found and removed.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::harness::{Bundle, Finished, Outcome, eventually, needs};

super::harness::tests![
    a_killed_create_is_listed_and_then_removed,
    a_claim_without_a_record_is_removed,
    containers_that_somebody_owns_are_left_alone,
    a_create_that_is_at_work_is_left_alone,
    after_a_reboot_everything_is_removed_and_nobody_is_harmed,
    a_damaged_record_is_listed_and_kept,
];

fn gc(bundle: &Bundle, options: &[&str]) -> Finished {
    let mut line = vec!["gc", "--format", "json"];
    line.extend(options);
    bundle.sandbox().runtime(&line).finish()
}

#[track_caller]
fn found(told: &Finished) -> Vec<Value> {
    serde_json::from_str(&told.stdout).unwrap_or_else(|e| panic!("{e}: {told}"))
}

/// As the runtime does, whatever the umask: it refuses state that others can write to.
fn make_private(dir: &Path) {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).expect("mkdir");
}

fn edit(bundle: &Bundle, change: impl Fn(&mut Value)) {
    let mut record: Value =
        serde_json::from_slice(&fs::read(bundle.record()).expect("read")).expect("a record");
    change(&mut record);
    bundle.write_record(serde_json::to_vec(&record).expect("serialise"));
}

fn a_killed_create_is_listed_and_then_removed() -> Outcome {
    needs::cloison()?;
    let bundle = Bundle::new().hook("createRuntime", "exec sleep 60");
    let create = bundle.invoke("create", &[]).spawn();
    let cgroup = bundle.cgroup().expect("a cgroup");
    assert!(eventually(|| !bundle.sandbox().processes().is_empty()
        && !crate::harness::leftovers::cgroups(&cgroup).is_empty()));
    create.signal(Signal::SIGKILL);
    let _ = create.finish();
    let listed = || found(&gc(&bundle, &["--dry-run"]).ok());
    // Init dies with it, and lets go of the lock.
    assert!(eventually(|| listed().len() == 1));
    let remnant = &listed()[0];
    assert_eq!(
        (&remnant["id"], &remnant["why"], &remnant["removed"]),
        (&json!(bundle.id()), &json!("unfinished"), &json!(false))
    );
    // A scope ends with its process.
    if needs::cgroupfs().is_ok() {
        assert!(remnant["cgroups"][0].as_str().is_some_and(|path| path.ends_with(&cgroup)));
    }
    assert!(bundle.record().exists(), "a dry run removes nothing");
    let removed = found(&gc(&bundle, &[]).ok());
    assert_eq!(removed[0]["removed"], true);
    assert_eq!(crate::harness::leftovers::cgroups(&cgroup), Vec::<String>::new());
    assert!(!bundle.record().exists());
    assert_eq!(found(&gc(&bundle, &[]).ok()).len(), 0);
    Ok(())
}

fn a_claim_without_a_record_is_removed() -> Outcome {
    needs::cloison()?;
    let bundle = Bundle::new();
    let claim = bundle.sandbox().root().join("lost");
    make_private(&claim);
    fs::write(claim.join("record.new"), "{").expect("write");
    assert_eq!(found(&gc(&bundle, &[]).ok())[0]["removed"], true);
    assert!(!claim.exists());
    Ok(())
}

fn containers_that_somebody_owns_are_left_alone() -> Outcome {
    needs::cloison()?;
    let sandbox = crate::harness::Sandbox::new();
    let created = Bundle::in_sandbox(&sandbox, "created").create();
    let running = Bundle::in_sandbox(&sandbox, "running").args(&["sleep", "60"]).start();
    let stopped = Bundle::in_sandbox(&sandbox, "stopped").start();
    stopped.becomes("stopped");
    assert_eq!(found(&gc(created.bundle(), &[]).ok()), Vec::<Value>::new());
    for (container, status) in [(created, "created"), (running, "running"), (stopped, "stopped")] {
        assert_eq!(container.status(), status);
    }
    Ok(())
}

fn a_create_that_is_at_work_is_left_alone() -> Outcome {
    needs::cloison()?;
    let bundle = Bundle::new();
    let at_work = bundle.host_dir("out").join("at-work");
    let script = format!("touch {0}; while test -e {0}; do sleep 0.05; done", at_work.display());
    let bundle = bundle.hook("createRuntime", &script);
    let create = bundle.invoke("create", &[]).spawn();
    assert!(eventually(|| at_work.exists()));
    assert_eq!(found(&gc(&bundle, &[]).ok()), Vec::<Value>::new());
    fs::remove_file(&at_work).expect("let the hook end");
    create.finish().ok();
    assert_eq!(bundle.adopt().status(), "created");
    Ok(())
}

/// The container lives on here, as a stranger would after a reboot.
fn after_a_reboot_everything_is_removed_and_nobody_is_harmed() -> Outcome {
    needs::cloison()?;
    let container = Bundle::new().args(&["sleep", "60"]).start();
    let bundle = container.bundle();
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("read");
    edit(bundle, |record| {
        assert_eq!(record["boot"], boot.trim());
        record["boot"] = json!("11111111-2222-3333-4444-555555555555");
    });
    assert_eq!(container.status(), "stopped");
    container.verb("kill", &[], &["KILL"]).refused();
    assert_eq!(found(&gc(bundle, &["--dry-run"]).ok())[0]["why"], "rebooted");
    let kept = fs::read(bundle.record()).expect("read");
    for way in [["gc", "--format=table"], ["delete", container.id()]] {
        bundle.sandbox().runtime(&way).finish().ok();
        assert!(!bundle.record().exists(), "{way:?}");
        assert!(container.alive(), "{way:?} has ended a process of another boot");
        assert!(!crate::harness::leftovers::cgroups(&bundle.cgroup().expect("one")).is_empty());
        // Back, for the other way and for the end.
        make_private(bundle.record().parent().expect("a directory"));
        bundle.write_record(&kept);
    }
    edit(bundle, |record| record["boot"] = json!(boot.trim()));
    Ok(())
}

fn a_damaged_record_is_listed_and_kept() -> Outcome {
    needs::cloison()?;
    let container = Bundle::new().create();
    let whole = fs::read(container.bundle().record()).expect("read");
    container.bundle().write_record(&whole[..20]);
    let told = gc(container.bundle(), &[]).exits(1);
    assert_eq!(
        (&found(&told)[0]["why"], &found(&told)[0]["removed"]),
        (&json!("damaged"), &json!(false))
    );
    container.bundle().write_record(&whole);
    assert_eq!(container.status(), "created");
    Ok(())
}
