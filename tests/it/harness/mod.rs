//! What every test is written with.
//!
//! A test is a function that returns [`Outcome`]: it fails by panicking (any
//! `assert!`), and is skipped, with its reason counted in the summary, by
//! returning a [`Skip`] through `?` from one of the checks in [`needs`].
//!
//! ```text
//! Bundle::new()                    a bundle on disk: busybox rootfs + config.json
//!     .set("/hostname", "box")     any field, by JSON pointer
//!     .sh("hostname")              what runs inside
//!     .output()                    run it, expect status 0, take its stdout
//! ```
//!
//! Each bundle lives in a [`Sandbox`]: a directory of its own with a private
//! `--root`. When the last user of the sandbox is gone, every container in it
//! is force-deleted and the host is searched for what the runtime may have
//! left behind; a leftover fails the test.

mod bundle;
mod command;
mod container;
pub mod hierarchies;
pub mod leftovers;
pub mod limits;
pub mod manager;
pub mod mountinfo;
pub mod needs;
mod outside;
pub mod probe;
mod rootfs;
pub mod runner;
mod sandbox;
pub mod trace;
pub mod tty;

/// How often something is tried that depends on the moment: `few` times in the suite, `many` where
/// numbers are asked for (`make races`).
pub fn scale(few: usize, many: usize) -> usize {
    if std::env::var_os("RACES").is_some_and(|how| how == "full") { many } else { few }
}

pub use bundle::{Bundle, base_config};
pub use command::{Finished, Invocation, PATIENCE, Running, ask};
pub use container::{Container, eventually};
pub use hierarchies::{
    Namespace, enter_unified_view, in_private_mounts, leave, on_host_hierarchies,
};
pub use manager::Manager;
pub use outside::{Outside, replace_by_link};
pub use rootfs::{copy_program, write_closed, write_program};
pub use sandbox::{Sandbox, runtime_path};

/// Why a test could not be carried out on this machine or with this runtime.
#[derive(Debug)]
pub struct Skip(pub String);

/// A test's end when it did not fail.
pub type Outcome = Result<(), Skip>;

/// A named test.
pub struct Test {
    pub name: String,
    pub body: Box<dyn Fn() -> Outcome + Send + Sync>,
}

/// Lists a module's tests; the compiler reports a function that is forgotten.
macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        pub fn tests() -> Vec<crate::harness::Test> {
            vec![$(crate::harness::Test {
                name: stringify!($name).to_owned(),
                body: Box::new($name),
            }),*]
        }
    };
}
pub(crate) use tests;
