//! Containers that make cgroups of their own: systemd as the first process, and this runtime
//! inside of itself.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::limits::directory;
use crate::harness::{
    Bundle, Container, Outcome, ask, base_config, copy_program, eventually, needs, runtime_path,
    tests,
};

tests![
    systemd_is_a_first_process,
    the_runtime_runs_inside_of_itself,
    a_limit_needs_an_empty_cgroup_above,
];

const ALL: [&str; 16] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_ADMIN",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_ADMIN",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_RESOURCE",
];

/// A container that sees its cgroup writable and may do what it takes to make others.
fn maker(bundle: Bundle) -> Bundle {
    let sets = ["bounding", "effective", "permitted"];
    let sets: serde_json::Map<String, Value> =
        sets.into_iter().map(|set| (set.to_owned(), json!(ALL))).collect();
    bundle
        .set("/process/capabilities", sets)
        .mount("/sys/fs/cgroup", "cgroup", "cgroup", &["rw", "nosuid", "noexec", "nodev"])
        .mount("/run", "tmpfs", "tmpfs", &["nosuid", "nodev", "mode=755"])
        .mount("/tmp", "tmpfs", "tmpfs", &["nosuid", "nodev"])
}

/// The tree of this machine, under a writable layer, is the container's.
fn systemd_is_a_first_process() -> Outcome {
    needs::root()?;
    needs::path("/run/systemd/system")?;
    let bundle = maker(Bundle::new());
    let layers = bundle.host_dir("layers");
    let dir = |name: &str| {
        let dir = layers.join(name);
        std::fs::create_dir_all(&dir).expect("make a directory");
        dir.to_str().expect("utf-8").to_owned()
    };
    let (upper, work, root) = (dir("upper"), dir("work"), dir("root"));
    let options = format!("lowerdir=/,upperdir={upper},workdir={work}");
    let mount = |args: &[&str]| {
        let done = ask(Command::new("mount").args(args)).expect("run mount");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    mount(&["-t", "overlay", "-o", &options, "overlay", &root]);
    let container = bundle
        .set("/root/path", root.clone())
        .set("/linux/resources", json!({"devices": [{"allow": true, "access": "rwm"}]}))
        .env("container", "oci")
        .args(&["/usr/lib/systemd/systemd", "--unit=basic.target", "--log-target=console"])
        .start();
    let is_up = || {
        let state = container.verb("exec", &[], &["/usr/bin/systemctl", "is-system-running"]);
        ["running", "degraded"].contains(&state.stdout.trim())
    };
    let up = (0..4).any(|_| eventually(is_up));
    assert!(up, "{}", container.stdout());
    let below = directory(&container, "");
    let own = below.parent().filter(|_| below.ends_with("init.scope")).expect("init.scope");
    assert!(own.join("system.slice").is_dir(), "it divides its cgroup");
    // SIGRTMIN+3, by which systemd is asked to end (systemd(1)).
    container.verb("kill", &[], &["37"]).ok();
    assert!(eventually(|| !container.alive()), "{}", container.stdout());
    container.verb("delete", &["--force"], &[]).ok();
    let left = container.bundle().sandbox().leftovers();
    mount_is_taken_away(&root);
    assert!(!own.exists(), "{}", own.display());
    let left: Vec<_> = left.iter().filter(|what| !what.contains("layers")).collect();
    assert!(left.is_empty(), "{left:?}");
    Ok(())
}

fn mount_is_taken_away(root: &str) {
    nix::mount::umount2(root, nix::mount::MntFlags::MNT_DETACH).expect("unmount");
}

/// A container with the runtime and a bundle for it.
fn outer(inner: &Value, script: &str) -> Container {
    let bundle = maker(Bundle::new());
    let program = bundle.rootfs().join("runtime");
    copy_program(&runtime_path(), &program);
    let dir = bundle.rootfs().join("inner");
    std::fs::create_dir_all(dir.join("rootfs")).expect("make a directory");
    std::fs::write(dir.join("config.json"), inner.to_string()).expect("write");
    copy_tree(&bundle.rootfs().join("bin"), &dir.join("rootfs/bin"));
    for name in ["proc", "sys", "dev", "etc", "tmp"] {
        std::fs::create_dir(dir.join("rootfs").join(name)).expect("make a directory");
    }
    let rules = json!([{"allow": true, "access": "rwm"}]);
    bundle
        .set("/linux/resources/devices", rules)
        .sh(&format!("{script}; echo ended; sleep 60"))
        .start()
}

fn copy_tree(from: &Path, to: &Path) {
    let copied = ask(Command::new("cp").arg("-a").args([from, to])).expect("run cp");
    assert!(copied.status.success());
}

fn inner(resources: Value, script: &str) -> Value {
    let mut config = base_config();
    config["process"]["args"] = json!(["sh", "-c", script]);
    config["linux"]["cgroupsPath"] = json!("/inner");
    config["linux"]["resources"] = resources;
    config["mounts"].as_array_mut().expect("an array").push(json!(
        {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro"]}
    ));
    config
}

const RUN: &str = "/runtime --root /run/inner run --bundle /inner inner";

/// The first process goes to a cgroup of its own before, as a service with a delegated cgroup
/// does.
fn the_runtime_runs_inside_of_itself() -> Outcome {
    needs::root()?;
    needs::cloison()?;
    let limited = needs::controller("pids").is_ok();
    let resources = if limited { json!({"pids": {"limit": 9}}) } else { json!({}) };
    let show = "cat /proc/self/cgroup; cat /sys/fs/cgroup/pids.max 2>/dev/null || echo 9";
    let script = format!(
        "mkdir /sys/fs/cgroup/self && echo $$ >/sys/fs/cgroup/self/cgroup.procs && {RUN}; echo status $?"
    );
    let container = outer(&inner(resources, show), &script);
    container.says("ended");
    let said = container.stdout();
    assert!(said.contains("0::/\n9\nstatus 0\n"), "{said}");
    let own = directory(&container, "");
    let own = own.parent().filter(|_| own.ends_with("self")).expect("its own cgroup");
    assert!(!own.join("inner").exists(), "the inner one is removed");
    container.verb("delete", &["--force"], &[]).ok();
    assert!(!own.exists());
    Ok(())
}

/// The error names the cgroup that has processes, which keeps its children from controllers.
fn a_limit_needs_an_empty_cgroup_above() -> Outcome {
    needs::root()?;
    needs::cloison()?;
    needs::controller("pids")?;
    let container = outer(
        &inner(json!({"pids": {"limit": 9}}), "true"),
        &format!("{RUN} 2>&1; echo status $?"),
    );
    container.says("ended");
    let said = container.stdout();
    assert!(said.contains("controller pids is not available"), "{said}");
    assert!(said.contains("processes lie in that cgroup itself"), "{said}");
    Ok(())
}
