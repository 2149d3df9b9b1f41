//! What is fuzzed: functions from bytes, which panic when a promise is broken.
//! `tests/fuzz` calls them with a fixed set of inputs, `make fuzz` with whatever
//! reaches new code.

mod bus;
mod bytes;
mod cbpf;
mod config;
mod device_rules;
mod ebpf;
mod edits;
mod limits;
mod machine;
mod oracle;
mod paths;
mod process;
mod records;
mod seccomp;
mod wire;

/// A function that holds promises against bytes.
pub struct Target {
    pub name: &'static str,
    pub hold: fn(&[u8]),
    /// Files of the repository to begin with, besides those of its corpus.
    pub seeds: &'static [&'static str],
}

const fn target(name: &'static str, hold: fn(&[u8])) -> Target {
    Target { name, hold, seeds: &[] }
}

pub const TARGETS: &[Target] = &[
    Target { seeds: &["tests/golden/base.json"], ..target("config", config::hold) },
    target("edits", edits::hold),
    target("process", process::hold),
    target("limits", limits::hold),
    target("mount_options", paths::mount_options),
    target("cgroup_paths", paths::cgroup_paths),
    target("device_rules", device_rules::hold),
    target("seccomp", seccomp::hold),
    target("seccomp_cache", seccomp::cache),
    target("wire", wire::hold),
    target("records", records::hold),
    target("bus", bus::hold),
];
