//! The order of the crate: which module may name which, and who may name the
//! kernel, the file system, the clock (specs: the layout of the crate).
//!
//! It reads the sources as text: `crate::` paths and the names of crates, in
//! code but not in comments, strings or unit tests.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Each floor may name those below it, and its own as long as nothing goes in
/// a circle.
const FLOORS: &[&[&str]] = &[
    &["sys"],
    &["deadlines", "error", "host", "id", "log", "spec", "timing", "wire"],
    &["plan"],
    &["cgroup", "resctrl", "seccomp", "state"],
    &["init", "launch", "checkpoint"],
    &["verbs"],
    &["cli"],
];

/// Crates that belong to one part of the tree.
const CRATES: &[(&str, &str)] = &[
    ("libc", "sys"),
    ("nix", "sys"),
    ("libseccomp", "seccomp"),
    ("cgroups_rs", "cgroup/v1.rs"),
    ("clap", "cli"),
    ("serde_path_to_error", "spec"),
];

/// What of the standard library a floor must not name: everything that asks
/// the machine.
const IMPURE: &[&str] = &[
    "std::fs",
    "std::env",
    "std::process",
    "std::net",
    "std::thread",
    "std::io",
    "std::os::unix::net",
    "std::time::SystemTime",
    "std::time::Instant",
];

struct Source {
    /// Below `src/`.
    path: PathBuf,
    /// Code alone.
    code: String,
}

impl Source {
    /// The module directly below the crate's root that this file belongs to.
    fn module(&self) -> String {
        let first = self.path.iter().next().expect("a component").to_string_lossy();
        first.trim_end_matches(".rs").to_owned()
    }

    /// Whether the file is, or lies below, a part of the tree.
    fn within(&self, part: &str) -> bool {
        self.path.starts_with(part) || self.path == Path::new(&format!("{part}.rs"))
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut waiting = vec![root.clone()];
    while let Some(dir) = waiting.pop() {
        for entry in fs::read_dir(&dir).expect("list").map(|entry| entry.expect("entry").path()) {
            let name = entry.file_name().expect("a name").to_string_lossy().into_owned();
            if entry.is_dir() {
                waiting.push(entry);
            } else if name.ends_with(".rs") && name != "tests.rs" {
                let text = fs::read_to_string(&entry).expect("read");
                let path = entry.strip_prefix(&root).expect("below src").to_owned();
                found.push(Source { path, code: code_of(&text) });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(found.len() > 50, "the sources are not where they were");
    found
}

/// The text without comments, the contents of strings, and unit tests.
fn code_of(text: &str) -> String {
    without_tests(&without_comments_and_strings(text))
}

fn without_comments_and_strings(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let skip = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(length) = raw_string(rest) {
            length
        } else if c == '"' {
            string(rest)
        } else if rest.starts_with("'\"'") {
            3
        } else if let Some(escape) = rest.strip_prefix("'\\") {
            escape.find('\'').map_or(1, |end| end + 3)
        } else {
            out.push(c);
            c.len_utf8()
        };
        rest = &rest[skip..];
    }
    out
}

/// The length of the string literal that the text begins with.
fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of the raw string literal that the text begins with, if it does.
fn raw_string(text: &str) -> Option<usize> {
    let hashes = text.strip_prefix('r')?;
    let count = hashes.len() - hashes.trim_start_matches('#').len();
    hashes[count..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(count));
    let start = 1 + count + 1;
    text[start..].find(&end).map(|at| start + at + end.len())
}

/// Drops the item after each `#[cfg(test)]`.
fn without_tests(code: &str) -> String {
    let mut out = String::new();
    let mut rest = code;
    while let Some(at) = rest.find("#[cfg(test)]") {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let end = match (rest.find('{'), rest.find(';')) {
            (Some(brace), semicolon) if semicolon.is_none_or(|s| brace < s) => {
                brace + block(&rest[brace..])
            }
            (_, Some(semicolon)) => semicolon + 1,
            _ => rest.len(),
        };
        rest = &rest[end..];
    }
    out + rest
}

/// The length of the block in braces that the text begins with.
fn block(text: &str) -> usize {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => return at + 1,
            '}' => depth -= 1,
            _ => {}
        }
    }
    text.len()
}

/// All paths that begin with `head::` in code, groups in braces spelt out:
/// `head::{a, b::{c, d}}` is `a`, `b::c` and `b::d`.
fn paths(code: &str, head: &str) -> Vec<String> {
    let head = format!("{head}::");
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(at) = code[from..].find(&head).map(|at| at + from) {
        from = at + head.len();
        let before = code[..at].chars().next_back();
        if !before.is_some_and(|c| is_word(c) || c == ':') {
            spell_out(&code[from..], "", &mut found);
        }
    }
    found
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Spells out one path and returns how much of the text it took.
fn spell_out(text: &str, prefix: &str, found: &mut Vec<String>) -> usize {
    if !text.starts_with('{') {
        let length = text.find(|c| !is_word(c) && c != '*').unwrap_or(text.len());
        let path = format!("{prefix}{}", &text[..length]);
        if text[length..].starts_with("::") {
            return length + 2 + spell_out(&text[length + 2..], &format!("{path}::"), found);
        }
        found.push(path);
        return length;
    }
    let mut at = 1;
    while let Some(c) = text[at..].chars().next() {
        match c {
            '}' => return at + 1,
            c if is_word(c) || c == '*' || c == '{' => at += spell_out(&text[at..], prefix, found),
            c => at += c.len_utf8(),
        }
    }
    text.len()
}

fn floor(module: &str) -> Option<usize> {
    FLOORS.iter().position(|modules| modules.contains(&module))
}

#[track_caller]
fn none(faults: &[String]) {
    assert!(faults.is_empty(), "\n  {}\n", faults.join("\n  "));
}

#[test]
fn every_module_has_a_floor() {
    let modules = sources().into_iter().map(|source| source.module());
    let lost: Vec<String> =
        modules.filter(|m| !matches!(m.as_str(), "lib" | "main") && floor(m).is_none()).collect();
    none(&lost);
}

#[test]
fn imports_point_down() {
    let mut faults = Vec::new();
    for source in sources() {
        let module = source.module();
        let Some(own) = floor(&module) else { continue };
        for path in paths(&source.code, "crate") {
            let named = path.split("::").next().unwrap_or_default();
            if floor(named).is_some_and(|floor| floor > own) {
                faults.push(format!("{} names {path}", source.path.display()));
            }
        }
    }
    none(&faults);
}

#[test]
fn modules_do_not_go_in_circles() {
    let mut graph: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for source in sources() {
        let module = source.module();
        for path in paths(&source.code, "crate") {
            let named = path.split("::").next().unwrap_or_default().to_owned();
            if named != module && floor(&named).is_some() {
                graph.entry(module.clone()).or_default().push(named);
            }
        }
    }
    // Take away what names nothing that is left, until only circles remain.
    while let Some(free) = graph
        .iter()
        .find(|(_, named)| named.iter().all(|name| !graph.contains_key(name)))
        .map(|(module, _)| module.clone())
    {
        graph.remove(&free);
    }
    assert!(graph.is_empty(), "a circle among {:?}", graph.keys());
}

#[test]
fn crates_stay_where_they_belong() {
    let mut faults = Vec::new();
    for source in sources() {
        for (name, home) in CRATES {
            let names = !paths(&source.code, name).is_empty();
            if names && !source.within(home) {
                faults.push(format!("{} names {name}, which is for {home}", source.path.display()));
            }
        }
    }
    none(&faults);
}

/// The plan decides and does nothing; the child has no standard library to
/// speak of, since it must not allocate, and every path is the kernel's.
#[test]
fn plan_and_init_do_not_ask_the_machine() {
    let mut faults = Vec::new();
    for source in sources().iter().filter(|s| s.within("plan") || s.within("init")) {
        for path in paths(&source.code, "std") {
            let path = format!("std::{path}");
            if IMPURE.iter().any(|word| path == *word || path.starts_with(&format!("{word}::"))) {
                faults.push(format!("{} names {path}", source.path.display()));
            }
        }
    }
    none(&faults);
}

/// Of the kernel's floor the plan takes words alone: types, constants, and the
/// modules that hold nothing else.
#[test]
fn plan_calls_nothing_of_the_kernel() {
    let words = ["attr", "propagation", "ns", "makedev"];
    let mut faults = Vec::new();
    for source in sources().iter().filter(|s| s.within("plan")) {
        for path in paths(&source.code, "crate").iter().filter(|path| path.starts_with("sys::")) {
            let is_word = path
                .split("::")
                .any(|part| words.contains(&part) || part.starts_with(char::is_uppercase));
            if !is_word {
                faults.push(format!("{} names {path}", source.path.display()));
            }
        }
    }
    none(&faults);
}

/// The child knows the kernel, the wire, and the plan's types.
#[test]
fn init_knows_only_what_it_must() {
    let mut faults = Vec::new();
    for source in sources().iter().filter(|s| s.within("init")) {
        for path in paths(&source.code, "crate") {
            let named = path.split("::").next().unwrap_or_default();
            if !matches!(named, "sys" | "wire" | "plan" | "init") {
                faults.push(format!("{} names {path}", source.path.display()));
            }
        }
    }
    none(&faults);
}

/// Attributes that are called unsafe are the compiler's own affair.
#[test]
fn unsafe_code_is_in_one_place() {
    let mut faults = Vec::new();
    for source in sources().iter().filter(|s| !s.within("sys")) {
        let code = source.code.replace("#[unsafe(", "#[(");
        if code.split(|c| !is_word(c)).any(|word| word == "unsafe") {
            faults.push(source.path.display().to_string());
        }
    }
    none(&faults);
}

/// The reading itself.
#[test]
fn code_is_told_from_words_about_code() {
    let text = r##"
        use crate::{plan, sys::{fd, mount::{self, attr}}}; // crate::no
        /* crate::neither */ const A: &str = "crate::nor \" crate::this"; const B: &str = r#"crate::"that"#;
        const Q: char = '"'; const E: char = '\''; fn f() { crate::wire::go(); mycrate::x(); }
        #[cfg(test)]
        mod tests { use crate::cli; fn g() { {} } }
        #[cfg(test)] use crate::verbs;
        use crate::id;
    "##;
    let found = paths(&code_of(text), "crate");
    assert_eq!(
        found,
        ["plan", "sys::fd", "sys::mount::self", "sys::mount::attr", "wire::go", "id"]
    );
}
