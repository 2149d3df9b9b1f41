//! Integration tests: the built binary on real bundles, one module per
//! capability, each of which reads as a description of what is promised.
//!
//! `RUNTIME=/usr/sbin/runc cargo test --test it` aims them at another runtime,
//! to find out what a test is worth. See [`harness`] for how a test is written.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    missing_docs
)]

use std::process::ExitCode;

mod harness;

mod annotations;
mod apart;
mod bad_input;
mod budgets;
mod cgroups;
mod contracts;
mod deadlines;
mod delegation;
mod descriptors;
mod devices;
mod events;
mod exchange;
mod exec;
mod explain;
mod gc;
mod hooks;
mod hostile;
mod hostile_exec;
mod idmap;
mod leaks;
mod lifecycle;
mod limits;
mod lsm;
mod mounts;
mod namespaces;
mod nesting;
mod net_devices;
mod notify;
mod paths;
mod pause;
mod process;
mod ps;
mod races;
mod resctrl;
mod rootfs;
mod rootless;
mod run;
mod seccomp;
mod sight;
mod sysctl;
mod systemd;
mod terminal;
mod timens;
mod timing;
mod undelegated;
mod update;
mod userns;

fn main() -> ExitCode {
    if let Some(code) = harness::probe::main() {
        return code;
    }
    let options = harness::runner::Options::from_args();
    harness::enter_unified_view();
    // Containers outlive `create`; as their reaper the suite learns how they end.
    nix::sys::prctl::set_child_subreaper(true).expect("become a subreaper");
    let code = harness::runner::run(&options, all());
    harness::leave();
    code
}

fn all() -> Vec<harness::Test> {
    let modules = [
        ("lifecycle", lifecycle::tests()),
        ("deadlines", deadlines::tests()),
        ("delegation", delegation::tests()),
        ("budgets", budgets::tests()),
        ("events", events::tests()),
        ("pause", pause::tests()),
        ("ps", ps::tests()),
        ("update", update::tests()),
        ("run", run::tests()),
        ("exec", exec::tests()),
        ("descriptors", descriptors::tests()),
        ("terminal", terminal::tests()),
        ("process", process::tests()),
        ("races", races::tests()),
        ("rootfs", rootfs::tests()),
        ("resctrl", resctrl::tests()),
        ("mounts", mounts::tests()),
        ("apart", apart::tests()),
        ("devices", devices::tests()),
        ("namespaces", namespaces::tests()),
        ("hooks", hooks::tests()),
        ("sysctl", sysctl::tests()),
        ("paths", paths::tests()),
        ("seccomp", seccomp::tests()),
        ("lsm", lsm::tests()),
        ("notify", notify::tests()),
        ("net_devices", net_devices::tests()),
        ("cgroups", cgroups::tests()),
        ("limits", limits::tests()),
        ("systemd", systemd::tests()),
        ("nesting", nesting::tests()),
        ("undelegated", undelegated::tests()),
        ("annotations", annotations::tests()),
        ("hostile", hostile::tests()),
        ("hostile_exec", hostile_exec::tests()),
        ("exchange", exchange::tests()),
        ("sight", sight::tests()),
        ("leaks", leaks::tests()),
        ("timens", timens::tests()),
        ("timing", timing::tests()),
        ("idmap", idmap::tests()),
        ("userns", userns::tests()),
        ("rootless", rootless::tests()),
        ("bad_input", bad_input::tests()),
        ("contracts", contracts::tests()),
        ("explain", explain::tests()),
        ("gc", gc::tests()),
    ];
    modules
        .into_iter()
        .flat_map(|(module, tests)| {
            tests
                .into_iter()
                .map(move |test| harness::Test { name: format!("{module}::{}", test.name), ..test })
        })
        .collect()
}
