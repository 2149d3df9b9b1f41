//! cloison, a daemonless OCI container runtime, as a library.
//!
//! The command `cloison` is a thin layer over [`verbs`]: one function for each operation on a
//! container. A Rust program may call the same functions:
//!
//! ```no_run
//! use cloison::id::ContainerId;
//! use cloison::verbs::{self, Context, CreateRequest, DeleteRequest};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let context = Context::at("/run/example");
//!     let id = ContainerId::new("first")?;
//!     // What goes wrong without consequence comes here, as text.
//!     let mut warn = |warning: &dyn std::fmt::Display| eprintln!("{warning}");
//!
//!     let request = CreateRequest::new(id.clone(), "/srv/bundle");
//!     verbs::create::create(&context, &request, &mut warn)?;
//!     verbs::start::start(&context, &id, &mut warn)?;
//!     println!("{}", verbs::state::state(&context, &id)?.status);
//!     verbs::delete::delete(&context, &DeleteRequest { id, force: true }, &mut warn)?;
//!     Ok(())
//! }
//! ```
//!
//! `examples/run_container.rs` runs a bundle in the foreground. Operations that make a process
//! want a caller with one thread; specs/90-library.md says what else they expect and promise.
//!
//! # The map
//!
//! *Decide, then do*: what a configuration means is settled by one pure function,
//! [`plan::resolve`], before anything is made. The rest carries its result out. Modules stand on
//! floors and use what is below them, never what is above:
//!
//! | floor | modules | |
//! |---|---|---|
//! | 0 | [`sys`] | the kernel, and nothing but; the only unsafe code |
//! | 1 | [`id`], [`spec`], [`host`], [`wire`], [`deadlines`] | words shared by all: names, configs, facts, frames, waits |
//! | 2 | [`plan`] | judgement: from (config, request, facts) to a plan, without I/O |
//! |   | [`seccomp`] | from a profile to the kernel's filter program |
//! | 3 | [`state`], [`cgroup`], [`resctrl`] | what outlives a command: records on disk, cgroups, classes of service |
//! | 4 | [`launch`], [`init`] | the two processes of a create: launcher and container |
//! | 5 | [`verbs`] | the operations |
//! | 6 | [`cli`] | the command line |
//! | beside | [`error`], [`log`] | how errors become one line, and what engines read |
//! |   | [`timing`] | where the time of a verb goes |
//!
//! # Reading order
//!
//! 1. [`verbs::create`], then [`plan::resolve`]: what is asked and what is made of it.
//! 2. [`launch::launch`]: the outer story, from the claim on the id to the record.
//! 3. [`init::run`]: the inner story, from clone3(2) to execve(2), on one page.
//! 4. [`state`]: what is on disk at each moment. [`wire`]: what the two processes say.
//! 5. One field from end to end, such as `maskedPaths`: its resolution in [`plan`], its step in
//!    [`init`], its sentence in [`launch`], its line in [`plan::explain`], its test.
//!
//! The papers in `specs/` say how all of it must behave and why; 00-overview comes first.
#![cfg_attr(test, allow(clippy::unwrap_used))]
pub mod cgroup;
pub mod cli;
pub mod deadlines;
pub mod error;
pub mod host;
pub mod id;
pub mod init;
pub mod launch;
pub mod log;
pub mod plan;
pub mod resctrl;
pub mod seccomp;
pub mod spec;
pub mod state;
pub mod sys;
pub mod timing;
pub mod verbs;
pub mod wire;
