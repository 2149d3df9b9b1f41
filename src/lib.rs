//! cloison, a daemonless OCI container runtime.
#![cfg_attr(test, allow(clippy::unwrap_used))]
pub mod id;
pub mod plan;
pub mod seccomp;
pub mod sys;
pub mod wire;
