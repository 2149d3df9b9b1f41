//! The short run of what `make fuzz` does for longer: every kept input and the
//! same few thousand mutations of them each time, against the promises of
//! [`targets`].

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod mutation;
mod targets;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mutation::Mutation;
use targets::{TARGETS, Target};

/// Enough for each target to leave its beginnings, and a second in all.
const TURNS: usize = 400;

/// A target that is slow on a busy machine ends early.
const PATIENCE: Duration = Duration::from_secs(4);

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten();
    let mut files: Vec<_> = entries.map(|entry| entry.expect("entry").path()).collect();
    files.sort();
    files
}

/// The inputs to begin with: kept ones in the order of their names.
fn seeds(target: &Target) -> Vec<Vec<u8>> {
    let kept = files(&root().join("tests/fuzz/corpus").join(target.name));
    let named = target.seeds.iter().map(|seed| root().join(seed));
    let read =
        |path: PathBuf| fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let all: Vec<_> = named.chain(kept).map(read).collect();
    if all.is_empty() { vec![Vec::new()] } else { all }
}

/// Fails with the input that broke a promise, as a line of shell that keeps it.
fn hold(target: &Target, input: &[u8]) {
    let held = catch_unwind(AssertUnwindSafe(|| (target.hold)(input)));
    if held.is_err() {
        let name = target.name;
        let shown: String = input.iter().map(|byte| format!("\\x{byte:02x}")).collect();
        panic!(
            "{name} breaks on this input; keep it: printf '{shown}' >tests/fuzz/corpus/{name}/NAME"
        );
    }
}

fn short_run(target: &Target) {
    let started = Instant::now();
    let seeds = seeds(target);
    seeds.iter().for_each(|seed| hold(target, seed));
    let mut mutation = Mutation::new(target.name);
    for _ in 0..TURNS {
        if started.elapsed() > PATIENCE {
            break;
        }
        hold(target, &mutation.of(&seeds));
    }
}

#[test]
fn every_target_keeps_its_promises() {
    std::thread::scope(|scope| {
        for target in TARGETS {
            std::thread::Builder::new()
                .name(target.name.to_owned())
                .stack_size(8 << 20)
                .spawn_scoped(scope, || short_run(target))
                .expect("a thread");
        }
    });
}

#[test]
fn every_corpus_has_its_target() {
    for dir in files(&root().join("tests/fuzz/corpus")) {
        let name = dir.file_name().expect("a name").to_string_lossy().into_owned();
        let known = TARGETS.iter().any(|target| target.name == name);
        assert!(known, "no target is called {name}");
    }
}
