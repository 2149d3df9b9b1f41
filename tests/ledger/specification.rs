//! The ledger of the runtime-spec (specs/52-ledger.md): each row names a module and tests that
//! exist, and a row without a test gives its reason.
//!
//! `make ledger` prints the counts.

use std::collections::BTreeMap;
use std::fs;

use super::names::{exists, module_file};
use super::root;

/// One row of a table.
struct Row {
    /// The document of the specification.
    document: String,
    section: String,
    level: String,
    module: String,
    tests: String,
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
