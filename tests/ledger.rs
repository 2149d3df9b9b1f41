//! The ledger of the runtime-spec (specs/52-ledger.md): each row names a module and tests that
//! exist, and a row without a test gives its reason.
//!
//! `make ledger` prints the counts.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    missing_docs
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// One row of a table.
struct Row {
    /// The document of the specification.
    document: String,
    section: String,
    level: String,
    module: String,
    tests: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rows() -> Vec<Row> {
    let text = fs::read_to_string(root().join("specs/52-ledger.md")).expect("read the ledger");
    let mut document = String::new();
    let mut rows = Vec::new();
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            document = heading.to_owned();
        }
        let Some(cells) = line.strip_prefix("| ") else { continue };
        let cells: Vec<&str> = cells.trim_end_matches(" |").split(" | ").collect();
        let [section, level, _, module, tests] = cells[..] else {
            panic!("not five cells: {line}")
        };
        if section == "section" {
            continue;
        }
        rows.push(Row {
            document: document.clone(),
            section: section.to_owned(),
            level: level.to_owned(),
            module: module.to_owned(),
            tests: tests.to_owned(),
        });
    }
    assert!(rows.len() > 100, "the ledger is not where it was");
    rows
}

impl Row {
    fn place(&self) -> String {
        format!("{}, {}", self.document, self.section)
    }

    fn tests(&self) -> impl Iterator<Item = &str> {
        self.tests.split(", ").filter(|_| !self.is_open())
    }

    /// Whether it says why there is no test.
    fn is_open(&self) -> bool {
        self.tests.starts_with("none: ")
    }
}

/// The file of a module below src, named as in code.
fn module_file(module: &str) -> Option<PathBuf> {
    let base = root().join("src").join(module.replace("::", "/"));
    [base.with_extension("rs"), base.join("mod.rs")].into_iter().find(|file| file.is_file())
}

/// Whether a file of tests/it has the function and names it a second time, in its list.
fn lists(file: &Path, name: &str) -> bool {
    let text = fs::read_to_string(file).unwrap_or_default();
    let words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
    text.contains(&format!("fn {name}(")) && words.filter(|word| *word == name).count() > 1
}

/// Whether a file of src has the function and marks it as a test.
fn marks(file: &Path, name: &str) -> bool {
    let text = fs::read_to_string(file).unwrap_or_default();
    let at = text.find(&format!("fn {name}("));
    at.is_some_and(|at| text[..at].trim_end().ends_with("#[test]"))
}

/// Whether a test of that name, as the suites print it, is in the sources.
fn exists(test: &str) -> bool {
    let Some((module, name)) = test.rsplit_once("::") else { return false };
    match module {
        "configuration" | "command_line" => {
            let file = root().join("tests/it/bad_input.rs");
            let text = fs::read_to_string(file).unwrap_or_default();
            text.contains(&format!("\"{name}\""))
        }
        "golden" => root().join("tests/golden/cases").join(name).with_extension("txt").is_file(),
        _ => {
            let integration = root().join("tests/it").join(module).with_extension("rs");
            let own = module_file(module);
            let beside = root().join("src").join(module.replace("::", "/")).join("tests.rs");
            let unit = own.is_some_and(|file| marks(&file, name)) || marks(&beside, name);
            unit || lists(&integration, name)
        }
    }
}

#[test]
fn every_module_exists() {
    let missing: Vec<_> = rows()
        .iter()
        .filter(|row| module_file(&row.module).is_none())
        .map(|row| format!("{}: {}", row.place(), row.module))
        .collect();
    assert!(missing.is_empty(), "no such module:\n{}", missing.join("\n"));
}

#[test]
fn every_test_exists() {
    let missing: Vec<_> = rows()
        .iter()
        .flat_map(|row| {
            let tests = row.tests().filter(|test| !exists(test));
            tests.map(|test| format!("{}: {test}", row.place())).collect::<Vec<_>>()
        })
        .collect();
    assert!(missing.is_empty(), "no such test:\n{}", missing.join("\n"));
}

#[test]
fn levels_are_those_of_rfc_2119() {
    for row in rows() {
        let known = ["MUST", "MUST NOT", "SHOULD", "SHOULD NOT"];
        assert!(known.contains(&row.level.as_str()), "{}: {}", row.place(), row.level);
    }
}

#[test]
fn a_name_that_is_nobodys_is_found_out() {
    assert!(exists("hooks::each_kind_runs_in_its_operation"));
    assert!(exists("plan::hooks::absent_is_empty"));
    assert!(!exists("hooks::nobody") && !exists("nowhere::absent_is_empty"));
    assert!(!exists("configuration::nobody") && !exists("plan::hooks::resolve"));
    assert_eq!(module_file("plan::nowhere"), None);
}

#[test]
fn counts() {
    let mut counts: BTreeMap<String, [usize; 4]> = BTreeMap::new();
    let mut open = Vec::new();
    let mut tests = std::collections::BTreeSet::new();
    let rows = rows();
    for row in &rows {
        let count = counts.entry(row.document.clone()).or_default();
        count[0] += 1;
        count[1] += usize::from(row.level.starts_with("MUST"));
        count[2] += usize::from(row.level.starts_with("SHOULD"));
        count[3] += usize::from(!row.is_open());
        if row.is_open() {
            open.push(format!("  {}: {}", row.place(), row.tests));
        }
        tests.extend(row.tests().map(str::to_owned));
    }
    println!("{:<20} {:>5} {:>6} {:>7} {:>7}", "document", "rows", "MUST", "SHOULD", "tested");
    let mut all = [0; 4];
    for (document, count) in &counts {
        let [rows, must, should, tested] = count;
        println!("{document:<20} {rows:>5} {must:>6} {should:>7} {tested:>7}");
        all.iter_mut().zip(count).for_each(|(sum, one)| *sum += one);
    }
    let [rows, must, should, tested] = all;
    println!("{:<20} {rows:>5} {must:>6} {should:>7} {tested:>7}", "all");
    println!("{} tests; rows without one:\n{}", tests.len(), open.join("\n"));
}
