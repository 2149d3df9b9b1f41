//! The ledgers in specs/: tables whose last column names the tests that show what a row says. A
//! name that is nobody's is a fault.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    missing_docs
)]

mod names;
mod security;
mod specification;

use std::path::Path;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
