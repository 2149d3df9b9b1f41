//! Floor 2: judgement.
pub mod caps;
pub mod devices;
pub mod hooks;
pub mod idmap;
pub mod lsm;
pub mod mounts;
pub mod namespaces;
pub mod paths;
pub mod personality;
pub mod process;
pub mod rlimits;
pub mod sched;
pub mod seccomp;
pub mod sysctl;
