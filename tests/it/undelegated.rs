//! Ordinary users who were given no cgroup, as in a service without `Delegate=`: what they ask for
//! is had from systemd, or refused with what would give it (specs/40-cgroups.md, CG-6 and CG-12).

use serde_json::json;

use crate::harness::limits::directory;
use crate::harness::manager::own_cgroup;
use crate::harness::{Bundle, Manager, Outcome, Sandbox, Skip, needs, tests};

tests![
    containers_without_limits_stay_in_the_callers_cgroup,
    a_limit_is_refused_by_name,
    a_place_is_refused,
    the_users_systemd_has_what_the_service_has_not,
];

/// A user's bundle with that manager, wherever the suite's other containers are.
fn bundle(manager: Manager) -> Result<Bundle, Skip> {
    if needs::root().is_ok() {
        return Err(Skip("asks for an ordinary user".to_owned()));
    }
    let own = own_cgroup().unwrap_or_default();
    let parent = own.rsplit_once('/').map_or("", |(parent, _)| parent);
    let parent = format!("/sys/fs/cgroup{parent}");
    if nix::unistd::access(parent.as_str(), nix::unistd::AccessFlags::W_OK).is_ok() {
        return Err(Skip("this user's cgroup is delegated".to_owned()));
    }
    let sandbox = Sandbox::new();
    sandbox.use_manager(manager);
    Ok(Bundle::in_sandbox(&sandbox, "a").args(&["sleep", "60"]))
}

fn containers_without_limits_stay_in_the_callers_cgroup() -> Outcome {
    let container = bundle(Manager::Cgroupfs)?.unset("/linux/cgroupsPath").start();
    let own = own_cgroup().expect("cgroup v2");
    assert!(directory(&container, "").ends_with(own.trim_start_matches('/')));
    container.verb("delete", &["--force"], &[]).ok();
    assert!(!container.alive());
    Ok(())
}

fn a_limit_is_refused_by_name() -> Outcome {
    let limits = json!({"memory": {"limit": 64 << 20}, "pids": {"limit": 20}});
    let bundle = bundle(Manager::Cgroupfs)?.set("/linux/resources", limits);
    needs::cloison()?;
    let refusal = bundle.unset("/linux/cgroupsPath").is_refused();
    refusal.complains("/linux/resources/memory/limit").complains("Delegate=memory pids");
    Ok(())
}

fn a_place_is_refused() -> Outcome {
    let bundle = bundle(Manager::Cgroupfs)?;
    needs::cloison()?;
    bundle.is_refused().complains("Delegate=yes");
    Ok(())
}

/// Its manager moves the process for its user, and has controllers to give.
fn the_users_systemd_has_what_the_service_has_not() -> Outcome {
    let bundle = bundle(Manager::Systemd)?;
    let container = bundle.set("/linux/resources/pids/limit", 20).start();
    let limit = std::fs::read_to_string(directory(&container, "").join("pids.max"));
    assert_eq!(limit.expect("read"), "20\n");
    container.verb("delete", &["--force"], &[]).ok();
    Ok(())
}
