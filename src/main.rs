//! The command: argv in, exit status out.
//!
//! The C library calls `main` directly: what the standard library does before it (signal stacks,
//! polls of the standard streams) costs more than some verbs and serves none of them
//! (specs/70-budgets.md). So the arguments are those of `main`, `std::env::args` knows none;
//! output is flushed where it is written.

#![no_main]
#![allow(unsafe_code)] // for the one exported name

use cloison::cli;
use std::ffi::{CStr, OsStr, c_char};
use std::os::unix::ffi::OsStrExt;

/// musl has one that asks the kernel for a page at a time. Debug builds watch it
/// ([`cloison::sys::noalloc`]).
#[cfg(not(debug_assertions))]
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

/// Entry point.
///
/// # Safety
/// The C library calls it, with what it says of `main`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn main(argc: i32, argv: *const *const c_char) -> i32 {
    // A reader that closes its pipe is told as an error, not by our death.
    cloison::sys::signal::ignore_sigpipe();
    let args = (0..usize::try_from(argc).unwrap_or(0)).map(|index| {
        // SAFETY: argv holds argc strings, which live as long as the process (C11, 5.1.2.2.1).
        let arg = unsafe { CStr::from_ptr(*argv.add(index)) };
        OsStr::from_bytes(arg.to_bytes()).to_owned()
    });
    i32::from(cli::run(args, cli::Caller::Command))
}
