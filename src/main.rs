//! The command: argv in, exit status out.
//!
//! The C library calls `main` directly: what the standard library does before it (signal stacks,
//! polls of the standard streams) costs more than some verbs and serves none of them
//! (specs/70-budgets.md). So `std::env::args` knows no arguments, and output is flushed where it is
//! written.

#![no_main]
#![allow(unsafe_code)] // for the one exported name

use cloison::cli;

/// musl has one that asks the kernel for a page at a time. Debug builds watch it
/// ([`cloison::sys::noalloc`]).
#[cfg(not(debug_assertions))]
#[global_allocator]
static ALLOCATOR: cloison::sys::heap::Heap = cloison::sys::heap::Heap;

/// Entry point, as the C library calls it.
#[unsafe(no_mangle)]
pub extern "C" fn main() -> i32 {
    // A reader that closes its pipe is told as an error, not by our death.
    cloison::sys::signal::ignore_sigpipe();
    i32::from(cli::run(cloison::sys::entry::arguments(), cli::Caller::Command))
}
