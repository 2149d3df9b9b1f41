//! libFuzzer on the target that `FUZZ_TARGET` names (tests/fuzz/targets).
#![no_main]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

// Whatever it begins with, libFuzzer takes from files.
#[allow(dead_code)]
#[path = "../../tests/fuzz/targets/mod.rs"]
mod targets;

use std::sync::OnceLock;

fn hold(data: &[u8]) {
    static TARGET: OnceLock<fn(&[u8])> = OnceLock::new();
    let hold = TARGET.get_or_init(|| {
        let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
        let target = targets::TARGETS.iter().find(|target| target.name == name);
        target.unwrap_or_else(|| panic!("no such target: {name:?}")).hold
    });
    hold(data);
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| hold(data));
