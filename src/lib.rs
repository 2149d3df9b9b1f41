//! cloison, a daemonless OCI container runtime.
#![cfg_attr(test, allow(clippy::unwrap_used))]
pub mod plan;
pub mod seccomp;
pub mod sys;
