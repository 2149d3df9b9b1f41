//! Names of tests, as the suites print them, and of modules.

use std::fs;
use std::path::{Path, PathBuf};

use super::root;

/// The file of a module below src, named as in code.
pub fn module_file(module: &str) -> Option<PathBuf> {
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
pub fn exists(test: &str) -> bool {
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
fn a_name_that_is_nobodys_is_found_out() {
    assert!(exists("hooks::each_kind_runs_in_its_operation"));
    assert!(exists("plan::hooks::absent_is_empty"));
    assert!(!exists("hooks::nobody") && !exists("nowhere::absent_is_empty"));
    assert!(!exists("configuration::nobody") && !exists("plan::hooks::resolve"));
    assert_eq!(module_file("plan::nowhere"), None);
}
