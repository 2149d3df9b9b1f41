//! cloison, a daemonless OCI container runtime.
#![cfg_attr(test, allow(clippy::unwrap_used))]
pub mod cgroup;
pub mod cli;
pub mod error;
pub mod host;
pub mod id;
pub mod log;
pub mod plan;
pub mod seccomp;
pub mod spec;
pub mod sys;
pub mod verbs;
pub mod wire;
