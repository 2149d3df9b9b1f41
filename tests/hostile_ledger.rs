//! The ledgers in specs/: tables whose last column, `tests`, names the tests
//! that show what a row says. A name is a path as the suites print it:
//! `hostile::NAME` for an integration test, `sys::resolve::tests::NAME` for a
//! unit test, `golden::NAME` for another file of `tests/`.
//!
//! Names that are wrong, rows without a test or a reason, and tests of hostile
//! input that no row names are faults.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What a row says that no test can show; a reason follows.
const EXEMPT: &str = "nothing to test: ";

/// Modules of integration tests that exist for the ledger.
const WHOLE: [&str; 5] = ["hostile", "hostile_exec", "exchange", "sight", "leaks"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The Rust files below a directory.
fn sources(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).expect("list").map(|entry| entry.expect("entry").path());
    let (dirs, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let below = dirs.iter().flat_map(|dir| sources(dir));
    files
        .into_iter()
        .filter(|path| path.extension().is_some_and(|e| e == "rs"))
        .chain(below)
        .collect()
}

/// A row of a ledger: its first cell and its last.
struct Row {
    what: String,
    tests: String,
}

/// The rows of all tables of a paper whose last column is called `tests`.
fn rows(paper: &str) -> Vec<Row> {
    let text = read(&root().join("specs").join(paper));
    let mut rows = Vec::new();
    let mut within = false;
    for line in text.lines() {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        match (line.starts_with('|'), cells.last()) {
            (false, _) => within = false,
            (true, Some(&"tests")) => within = true,
            (true, Some(tests)) if within && !line.starts_with("|---") => {
                rows.push(Row { what: cells[0].to_owned(), tests: (*tests).to_owned() });
            }
            _ => {}
        }
    }
    rows
}

/// The names in `tests![…]`, and those of tables that are tests row by row.
fn integration_tests() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for file in sources(&root().join("tests/it")) {
        let module = file.file_stem().expect("a name").to_string_lossy().into_owned();
        let text = read(&file);
        if let Some((_, list)) = text.split_once("\ntests![") {
            let (list, _) = list.split_once("];").expect("an end");
            let listed = list.split(',').map(str::trim).filter(|name| !name.is_empty());
            names.extend(listed.map(|name| format!("{module}::{name}")));
        } else if text.contains("pub fn tests() -> Vec<Test>") {
            let quoted = text.split('"').skip(1).step_by(2).filter(|word| is_name(word));
            for name in quoted {
                for group in ["", "configuration::", "command_line::"] {
                    names.insert(format!("{module}::{group}{name}"));
                }
            }
        }
    }
    names
}

fn is_name(word: &str) -> bool {
    word.contains('_')
        && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// Functions marked `#[test]`, by the path that libtest prints, those of
/// `tests/` after the name of their program.
fn unit_tests() -> BTreeSet<String> {
    let src = root().join("src");
    let own = sources(&src).into_iter().map(|file| {
        let path = file.strip_prefix(&src).expect("below src").with_extension("");
        let mut parts: Vec<_> =
            path.iter().map(|part| part.to_string_lossy().into_owned()).collect();
        parts.retain(|part| part != "mod" && part != "lib");
        if parts.last().is_none_or(|last| last != "tests") {
            parts.push("tests".to_owned());
        }
        (parts.join("::"), file)
    });
    let entries = fs::read_dir(root().join("tests")).expect("list").flatten().map(|e| e.path());
    let programs = entries.filter_map(|path| {
        let name = path.file_stem()?.to_string_lossy().into_owned();
        let file = if path.is_dir() { path.join("main.rs") } else { path };
        (file.exists() && file.extension().is_some_and(|e| e == "rs")).then_some((name, file))
    });
    let mut names = BTreeSet::new();
    for (module, file) in own.chain(programs) {
        let text = read(&file);
        for (at, _) in text.match_indices("#[test]") {
            let name = text[at..].split_once("fn ").and_then(|(_, rest)| rest.split_once('('));
            names.extend(name.map(|(name, _)| format!("{module}::{name}")));
        }
    }
    names
}

fn known() -> BTreeSet<String> {
    let mut known = integration_tests();
    known.extend(unit_tests());
    assert!(known.len() > 500, "the tests are not where they were: {}", known.len());
    known
}

/// What is wrong with the ledgers of a paper.
fn faults(paper: &str) -> Vec<String> {
    let (known, rows) = (known(), rows(paper));
    assert!(!rows.is_empty(), "{paper} has no ledger");
    let mut faults = Vec::new();
    for Row { what, tests } in &rows {
        if tests.strip_prefix(EXEMPT).is_some_and(|reason| !reason.is_empty()) {
            continue;
        }
        let missing = tests.split(", ").filter(|name| !known.contains(*name));
        faults.extend(missing.map(|name| format!("{paper}: {what}: no such test: {name:?}")));
    }
    faults
}

#[track_caller]
fn none(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn every_row_of_the_security_ledgers_names_tests_that_exist() {
    none(&faults("60-security.md"));
}

#[test]
fn every_test_of_hostile_input_is_named_in_a_ledger() {
    let rows = rows("60-security.md");
    let named: BTreeSet<&str> = rows.iter().flat_map(|row| row.tests.split(", ")).collect();
    let tests = integration_tests();
    let ours = tests
        .iter()
        .filter(|name| name.split_once("::").is_some_and(|(module, _)| WHOLE.contains(&module)));
    let lost = ours.filter(|name| !named.contains(name.as_str()));
    none(&lost.map(|name| format!("no ledger names {name}")).collect::<Vec<_>>());
}
