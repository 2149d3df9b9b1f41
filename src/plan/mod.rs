//! Judgement: what config.json asks, as the kernel's words. Nothing here does I/O.
pub mod caps;
pub mod hooks;
pub mod lsm;
pub mod personality;
pub mod process;
pub mod rlimits;
pub mod seccomp;
pub mod sysctl;
