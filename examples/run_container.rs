//! Runs the container of a bundle in the foreground and ends with its status:
//!
//!     cargo build --example run_container
//!     run_container BUNDLE
//!
//! It does what `cloison run` does, without a command line: signals are forwarded, the terminal is
//! passed on, and nothing is left when the program has ended.

use cloison::error::sentence;
use cloison::id::ContainerId;
use cloison::launch::seal;
use cloison::verbs::run::run;
use cloison::verbs::{Context, CreateRequest, Keep, Mode, RunRequest, Subreaper};
use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    match run_bundle() {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            say(&sentence(&*error));
            ExitCode::FAILURE
        }
    }
}

fn run_bundle() -> Result<u8, Box<dyn Error>> {
    // First of all, as it starts this program again from a file that no container can write.
    seal::ensure()?;

    let bundle = std::env::args_os().nth(1).ok_or("usage: run_container BUNDLE")?;
    let id = ContainerId::new(&format!("example-{}", std::process::id()))?;
    let request = RunRequest {
        create: CreateRequest::new(id, std::path::absolute(Path::new(&bundle))?),
        mode: Mode::Foreground,
        keep: Keep::Remove,
        subreaper: Subreaper::Set,
    };
    let context = Context::at("/run/cloison-example");
    Ok(run(&context, &request, &mut |warning| say(warning))?)
}

/// A line on standard error; there is nowhere left to complain if it cannot be written.
fn say(line: &dyn std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "run_container: {line}");
}
