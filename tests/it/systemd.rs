//! Containers in scopes of systemd, the system's or a user's (specs/40-cgroups.md, «systemd»).
//! With `MANAGER=systemd` all other tests run in scopes as well; these ask systemd about them.

use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::limits::directory;
use crate::harness::{Bundle, Container, Manager, Outcome, Sandbox, ask, eventually, needs, tests};

tests![
    limits_are_properties_of_the_scope,
    the_scope_is_delegated_and_described,
    limits_survive_a_reload,
    idle_survives_a_reload,
    an_update_is_told_to_systemd,
    annotations_are_properties,
    a_property_that_systemd_refuses_leaves_nothing,
    slices_are_made_on_the_way,
    a_scope_ends_with_its_container,
    a_failed_unit_of_the_name_is_no_obstacle,
    a_unit_that_runs_is_not_taken_over,
    a_silent_bus_is_not_waited_for_for_ever,
    an_absent_bus_is_an_error_at_once,
];

fn sleeping() -> Bundle {
    Bundle::new().args(&["sleep", "60"])
}

/// systemctl or systemd-run, aimed at the caller's instance.
fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    if needs::root().is_err() {
        command.arg("--user");
    }
    command
}

fn unit(container: &Container) -> String {
    let directory = directory(container, "");
    directory.file_name().expect("a name").to_str().expect("utf-8").to_owned()
}

/// What systemctl or systemd-run says, which has to succeed.
#[track_caller]
fn said(program: &str, arguments: &[&str]) -> String {
    let output = ask(command(program).args(arguments)).expect("run it");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A property of a unit as systemctl shows it.
#[track_caller]
fn shown(unit: &str, property: &str) -> String {
    said("systemctl", &["show", "--value", "--property", property, "--", unit])
}

fn reload() {
    said("systemctl", &["daemon-reload"]);
}

fn file(container: &Container, name: &str) -> String {
    std::fs::read_to_string(directory(container, "").join(name)).expect("read").trim().to_owned()
}

/// CG-51
fn limits_are_properties_of_the_scope() -> Outcome {
    needs::scope_of_its_own()?;
    needs::systemd()?;
    for controller in ["memory", "cpu", "pids"] {
        needs::controller(controller)?;
    }
    let limits = json!({
        "memory": {"limit": 64 << 20, "reservation": 32 << 20},
        "cpu": {"shares": 1024, "quota": 25_000, "period": 100_000},
        "pids": {"limit": 20},
    });
    let container = sleeping().set("/linux/resources", limits).create();
    let unit = unit(&container);
    for (property, value) in [
        ("MemoryMax", "67108864"),
        ("MemoryLow", "33554432"),
        ("CPUWeight", "100"),
        ("CPUQuotaPerSecUSec", "250ms"),
        ("TasksMax", "20"),
    ] {
        if property == "CPUWeight" && needs::cloison().is_err() {
            continue;
        }
        assert_eq!(shown(&unit, property), value, "{property}");
    }
    Ok(())
}

fn the_scope_is_delegated_and_described() -> Outcome {
    needs::scope_of_its_own()?;
    needs::systemd()?;
    let container = sleeping().create();
    let unit = unit(&container);
    assert_eq!(unit, format!("it-{}.scope", container.id()));
    assert_eq!(shown(&unit, "Delegate"), "yes");
    assert_eq!(shown(&unit, "ActiveState"), "active");
    assert!(shown(&unit, "Description").contains(container.id()));
    Ok(())
}

/// Also those that no property can say.
fn limits_survive_a_reload() -> Outcome {
    needs::systemd()?;
    needs::cloison()?;
    needs::controller("memory")?;
    needs::controller("cpu")?;
    let limits = json!({
        "memory": {"limit": 64 << 20, "swap": 64 << 20},
        "cpu": {"quota": 33_333, "period": 66_000},
        "pids": {"limit": 0},
        "unified": {"memory.oom.group": "1"},
    });
    // Alone in its slice, for now.
    let slice = format!("it{}reload.slice", std::process::id());
    let bundle = sleeping().set("/linux/resources", limits);
    let path = format!("{slice}:it:{}", bundle.id());
    let container = bundle.set("/linux/cgroupsPath", path).create();
    let files = ["memory.max", "cpu.max", "cpu.weight", "pids.max", "memory.oom.group"];
    let read = || files.map(|name| file(&container, name));
    let before = read();
    assert_eq!(before, ["67108864", "33333 66000", "100", "0", "1"]);
    reload();
    assert_eq!(read(), before);
    // A unit that is started beside it after a reload has systemd write what it was told.
    said("systemd-run", &["--scope", "--quiet", "--slice", &slice, "true"]);
    assert_eq!(read()[..4], ["67108864", "33660 66000", "100", "1"]);
    drop(container);
    said("systemctl", &["stop", &slice]);
    Ok(())
}

fn idle_survives_a_reload() -> Outcome {
    needs::systemd()?;
    needs::cloison()?;
    needs::controller("cpu")?;
    let container = sleeping().set("/linux/resources/cpu", json!({"idle": 1})).create();
    assert_eq!(shown(&unit(&container), "CPUWeight"), "idle");
    reload();
    assert_eq!(file(&container, "cpu.idle"), "1");
    Ok(())
}

/// CG-54
fn an_update_is_told_to_systemd() -> Outcome {
    needs::scope_of_its_own()?;
    needs::systemd()?;
    needs::controller("memory")?;
    needs::controller("pids")?;
    let container = sleeping().set("/linux/resources/memory/limit", 64 << 20).start();
    container.verb("update", &["--memory", "128M", "--pids-limit", "33"], &[]).ok();
    let unit = unit(&container);
    assert_eq!(shown(&unit, "MemoryMax"), "134217728");
    assert_eq!(shown(&unit, "TasksMax"), "33");
    assert_eq!(file(&container, "memory.max"), "134217728");
    reload();
    assert_eq!(file(&container, "memory.max"), "134217728");
    Ok(())
}

/// CG-52
fn annotations_are_properties() -> Outcome {
    needs::scope_of_its_own()?;
    needs::systemd()?;
    let container = sleeping()
        .set(
            "/annotations",
            json!({
                "org.systemd.property.TimeoutStopUSec": "uint64 7000000",
                "org.systemd.property.CollectMode": "'inactive-or-failed'",
                "org.systemd.property.SendSIGHUP": "true",
            }),
        )
        .create();
    let unit = unit(&container);
    assert_eq!(shown(&unit, "TimeoutStopUSec"), "7s");
    assert_eq!(shown(&unit, "CollectMode"), "inactive-or-failed");
    assert_eq!(shown(&unit, "SendSIGHUP"), "yes");
    Ok(())
}

fn a_property_that_systemd_refuses_leaves_nothing() -> Outcome {
    needs::systemd()?;
    needs::cloison()?;
    let bundle = sleeping().set("/annotations/org.systemd.property.NoSuchThing", "true");
    bundle.is_refused().complains("NoSuchThing");
    Ok(())
}

/// CG-3
fn slices_are_made_on_the_way() -> Outcome {
    needs::scope_of_its_own()?;
    needs::systemd()?;
    let bundle = sleeping();
    let slice = format!("it{}-below.slice", std::process::id());
    let path = format!("{slice}:made:{}", bundle.id());
    let container = bundle.set("/linux/cgroupsPath", path).create();
    let place =
        format!("it{0}.slice/it{0}-below.slice/made-{1}.scope", std::process::id(), container.id());
    let directory = directory(&container, "");
    assert!(directory.ends_with(place), "{}", directory.display());
    container.verb("delete", &["--force"], &[]).ok();
    assert!(!directory.exists());
    said("systemctl", &["stop", &slice]);
    Ok(())
}

/// CG-53: by itself when its processes end, and wholly with the container.
fn a_scope_ends_with_its_container() -> Outcome {
    needs::scope_of_its_own()?;
    needs::systemd()?;
    let container = Bundle::new().sh("read go < /go").create();
    let pipe = container.bundle().rootfs().join("go");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("make a pipe");
    let unit = unit(&container);
    container.start();
    assert_eq!(shown(&unit, "ActiveState"), "active");
    std::fs::write(&pipe, "go\n").expect("write");
    container.wait();
    container.verb("delete", &[], &[]).ok();
    assert_eq!(shown(&unit, "LoadState"), "not-found");
    Ok(())
}

/// CG-50
fn a_failed_unit_of_the_name_is_no_obstacle() -> Outcome {
    needs::systemd()?;
    let bundle = sleeping();
    let unit = format!("it-{}.scope", bundle.id());
    let slice = if needs::root().is_ok() { "system.slice" } else { "user.slice" };
    let mut failing = command("systemd-run");
    failing.args(["--scope", "--quiet", "--property=RuntimeMaxSec=1", "--slice", slice]);
    failing.args(["--unit", &unit, "sleep", "30"]);
    ask(&mut failing).expect("run systemd-run");
    assert!(eventually(|| shown(&unit, "ActiveState") == "failed"));
    let container = bundle.create();
    assert_eq!(shown(&unit, "ActiveState"), "active");
    container.verb("delete", &["--force"], &[]).ok();
    assert_eq!(shown(&unit, "LoadState"), "not-found");
    Ok(())
}

/// CG-4
fn a_unit_that_runs_is_not_taken_over() -> Outcome {
    needs::systemd()?;
    needs::cloison()?;
    let first = sleeping().create();
    let path = first.bundle().config()["linux"]["cgroupsPath"].clone();
    let second = Bundle::in_sandbox(first.bundle().sandbox(), "b").set("/linux/cgroupsPath", path);
    second.try_create().refused().complains("it exists and is not empty");
    assert!(first.alive());
    first.start();
    assert_eq!(first.status(), "running");
    Ok(())
}

/// A bundle for systemd on a machine that need not have any, and the bus it is to ask.
fn with_bus(socket: &Path, test: impl FnOnce(crate::harness::Invocation, &Bundle)) {
    let sandbox = Sandbox::new();
    sandbox.use_manager(Manager::Systemd);
    let bundle = Bundle::in_sandbox(&sandbox, "a").args(&["sleep", "60"]);
    let address = format!("unix:path={}", socket.display());
    let create = bundle
        .invoke("create", &[])
        .env("DBUS_SYSTEM_BUS_ADDRESS", &address)
        .env("DBUS_SESSION_BUS_ADDRESS", &address);
    test(create, &bundle);
    assert!(sandbox.leftovers().is_empty(), "{:?}", sandbox.leftovers());
}

/// CG-50: somebody listens and never answers.
fn a_silent_bus_is_not_waited_for_for_ever() -> Outcome {
    needs::cloison()?;
    let dir = tempfile::tempdir().expect("tempdir");
    let socket = dir.path().join("bus");
    let _silent = UnixListener::bind(&socket).expect("listen");
    with_bus(&socket, |create, bundle| {
        let started = Instant::now();
        let refusal = create.finish().refused();
        refusal.complains("no answer at the deadline").complains(bundle.id());
        assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
    });
    Ok(())
}

fn an_absent_bus_is_an_error_at_once() -> Outcome {
    needs::cloison()?;
    with_bus(Path::new("/nonexistent/bus"), |create, _| {
        let refusal = create.finish().refused();
        refusal.complains("connect to the bus").complains("/nonexistent/bus");
    });
    Ok(())
}
