//! The command: argv in, exit status out.
//!
//! The C library calls `main` directly: what the standard library does before it (signal stacks,
//! polls of the standard streams) costs more than some verbs and serves none of them. Arguments
//! are known without it; output is flushed where it is written (specs/70-budgets.md).

#![no_main]
#![allow(unsafe_code)] // for the one exported name

use cloison::cli;

/// Entry point, as the C library calls it.
#[unsafe(no_mangle)]
pub extern "C" fn main(_argc: i32, _argv: *const *const u8) -> i32 {
    // A reader that closes its pipe is told as an error, not by our death.
    cloison::sys::signal::ignore_sigpipe();
    i32::from(cli::run(std::env::args_os(), cli::Caller::Command))
}
