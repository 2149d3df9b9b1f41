//! The ledgers of hostile input (specs/60-security.md): each row names tests that exist, or says
//! why there is none; and no test of hostile input is without a row.

use std::collections::BTreeSet;
use std::fs;

use super::names::exists;
use super::root;

/// Modules of integration tests that exist for the ledger.
const WHOLE: [&str; 5] = ["hostile", "hostile_exec", "exchange", "sight", "leaks"];

/// A row: its first cell and its last.
struct Row {
    what: String,
    tests: String,
}

/// The rows of all tables whose last column is called `tests`.
fn rows() -> Vec<Row> {
    let text = fs::read_to_string(root().join("specs/60-security.md")).expect("read the ledgers");
    let mut rows = Vec::new();
    let mut within = false;
    for line in text.lines() {
        let Some(cells) = line.strip_prefix("| ") else {
            within &= line.starts_with("|---");
            continue;
        };
        let cells: Vec<&str> = cells.trim_end_matches(" |").split(" | ").collect();
        let tests = cells.last().expect("a cell");
        if *tests == "tests" {
            within = true;
        } else if within {
            rows.push(Row { what: cells[0].to_owned(), tests: (*tests).to_owned() });
        }
    }
    assert!(rows.len() > 50, "the ledgers are not where they were");
    rows
}

impl Row {
    fn tests(&self) -> impl Iterator<Item = &str> {
        let reason = self.tests.strip_prefix("none: ").is_some_and(|reason| !reason.is_empty());
        self.tests.split(", ").filter(move |_| !reason)
    }
}

#[test]
fn every_test_exists() {
    let rows = rows();
    let missing: Vec<_> = rows
        .iter()
        .flat_map(|row| {
            let tests = row.tests().filter(|test| !exists(test));
            tests.map(|test| format!("{}: {test}", row.what)).collect::<Vec<_>>()
        })
        .collect();
    assert!(missing.is_empty(), "no such test:\n{}", missing.join("\n"));
}

/// The names in `tests![…]` of a file of tests/it.
fn listed(module: &str) -> Vec<String> {
    let file = root().join("tests/it").join(module).with_extension("rs");
    let text = fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let (_, list) = text.split_once("\ntests![").expect("a list");
    let (list, _) = list.split_once("];").expect("its end");
    let names = list.split(',').map(str::trim).filter(|name| !name.is_empty());
    names.map(|name| format!("{module}::{name}")).collect()
}

#[test]
fn every_test_of_hostile_input_has_a_row() {
    let rows = rows();
    let named: BTreeSet<&str> = rows.iter().flat_map(Row::tests).collect();
    let all = WHOLE.iter().flat_map(|module| listed(module));
    let lost: Vec<_> = all.filter(|name| !named.contains(name.as_str())).collect();
    assert!(lost.is_empty(), "without a row:\n{}", lost.join("\n"));
}

#[test]
fn counts() {
    let rows = rows();
    let open = rows.iter().filter(|row| row.tests().next().is_none()).count();
    let tests: BTreeSet<&str> = rows.iter().flat_map(Row::tests).collect();
    println!("hostile input: {} rows, {} tests, {open} rows without one", rows.len(), tests.len());
}
