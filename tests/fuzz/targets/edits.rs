//! A config that asks for nearly everything, with a few values exchanged for
//! others that may be wrong.

use std::sync::OnceLock;

use cloison::{error, spec};
use serde_json::{Value, json};

use super::bytes::Bytes;
use super::config;
use super::machine::{Circumstances, planned, printable};

/// As for [`config::hold`]; and a NUL anywhere but in free text is refused.
pub fn hold(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let circumstances = Circumstances::of(bytes.byte());
    let mut config = full().clone();
    for _ in 0..6 {
        if bytes.is_empty() {
            break;
        }
        let pointers = pointers(&config);
        let pointer = &pointers[bytes.below(pointers.len())];
        let value = config.pointer(pointer).cloned().unwrap_or_default();
        let value = exchanged(&mut bytes, &config, value);
        match value {
            Some(value) => *config.pointer_mut(pointer).expect("there") = value,
            None => remove(&mut config, pointer),
        }
    }
    let text = config.to_string();
    config::hold(text.as_bytes());
    match spec::parse(text.as_bytes()) {
        Ok(loaded) => {
            let plan = planned(&loaded, circumstances);
            assert!(plan.is_none() || !text_with_nul(&config, ""), "a NUL got through: {text}");
        }
        Err(refusal) => printable(&error::sentence(&refusal)),
    }
}

/// What nothing interprets.
const FREE: [&str; 3] = ["/annotations", "/linux/seccomp/listenerMetadata", "/linux/intelRdt"];

/// Whether a text that is interpreted holds a NUL byte.
fn text_with_nul(value: &Value, pointer: &str) -> bool {
    if FREE.iter().any(|free| pointer.starts_with(free)) || !known(pointer) {
        return false;
    }
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => {
            items.iter().enumerate().any(|(at, v)| text_with_nul(v, &format!("{pointer}/{at}")))
        }
        Value::Object(members) => {
            members.iter().any(|(name, v)| text_with_nul(v, &format!("{pointer}/{name}")))
        }
        _ => false,
    }
}

/// Whether the full config has a value there: what is elsewhere may be unknown, and ignored.
fn known(pointer: &str) -> bool {
    full().pointer(pointer).is_some()
}

/// Golden cases that go together.
const CASES: [&str; 14] = [
    include_str!("../../golden/cases/args-and-environment.json"),
    include_str!("../../golden/cases/binds.json"),
    include_str!("../../golden/cases/capabilities.json"),
    include_str!("../../golden/cases/device-rules.json"),
    include_str!("../../golden/cases/devices.json"),
    include_str!("../../golden/cases/hooks.json"),
    include_str!("../../golden/cases/labels.json"),
    include_str!("../../golden/cases/limits-of-the-process.json"),
    include_str!("../../golden/cases/mounts.json"),
    include_str!("../../golden/cases/paths-and-sysctls.json"),
    include_str!("../../golden/cases/resources.json"),
    include_str!("../../golden/cases/seccomp.json"),
    include_str!("../../golden/cases/terminal.json"),
    include_str!("../../golden/cases/user-namespace.json"),
];

/// They in one.
fn full() -> &'static Value {
    static FULL: OnceLock<Value> = OnceLock::new();
    FULL.get_or_init(|| {
        let read = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
        let mut config = read(include_str!("../../golden/base.json"));
        CASES.iter().for_each(|case| merge(&mut config, &read(case)["config"]));
        config
    })
}

fn merge(target: &mut Value, patch: &Value) {
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => {
            for (name, value) in patch {
                merge(target.entry(name.clone()).or_insert(Value::Null), value);
            }
        }
        (Value::Array(target), Value::Array(patch)) => target.extend(patch.iter().cloned()),
        (target, patch) => *target = patch.clone(),
    }
}

/// The places of all values but the whole.
fn pointers(config: &Value) -> Vec<String> {
    let mut found = Vec::new();
    collect(config, String::new(), &mut found);
    found
}

fn collect(value: &Value, pointer: String, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let token = name.replace('~', "~0").replace('/', "~1");
                collect(value, format!("{pointer}/{token}"), found);
            }
        }
        Value::Array(items) => {
            for (at, value) in items.iter().enumerate() {
                collect(value, format!("{pointer}/{at}"), found);
            }
        }
        _ => {}
    }
    if !pointer.is_empty() {
        found.push(pointer);
    }
}

fn remove(config: &mut Value, pointer: &str) {
    let (parent, token) = pointer.rsplit_once('/').expect("a pointer");
    match config.pointer_mut(parent) {
        Some(Value::Object(members)) => {
            members.remove(&token.replace("~1", "/").replace("~0", "~"));
        }
        Some(Value::Array(items)) => drop(items.remove(token.parse().expect("an index"))),
        _ => {}
    }
}

/// Texts at which rules change.
const TEXTS: [&str; 36] = [
    "",
    "/",
    ".",
    "..",
    "a",
    "/a",
    "a\0b",
    "\0",
    "/../x",
    "/a/../../b",
    "//",
    "/proc",
    "/proc/self/fd/3",
    "/sys",
    "/dev",
    "net.ipv4.ip_forward",
    "kernel/../x",
    "rwm",
    "rwx",
    "c",
    "u",
    "b",
    "p",
    "rbind",
    "idmap",
    "ridmap",
    "ro",
    "size=1k",
    "mode=",
    "=",
    "private",
    "remount",
    "MPOL_BIND",
    "0-3,9",
    "\u{1b}[31m",
    "ü\u{2028}\u{85}",
];

/// Another value; none for no value at all.
fn exchanged(bytes: &mut Bytes<'_>, config: &Value, old: Value) -> Option<Value> {
    Some(match bytes.byte() % 12 {
        0 => return None,
        1 => json!(bytes.of(&TEXTS)),
        2 => json!(bytes.number()),
        3 => json!(bytes.number() as i64),
        4 => json!(bytes.flag()),
        5 => Value::Null,
        6 => json!([old.clone(), old]),
        7 => json!({ "a": old }),
        8 => json!(f64::from_bits(bytes.u64())),
        9 => match old {
            Value::String(text) => json!(format!("{text}{}", bytes.of(&TEXTS))),
            Value::Array(mut items) => {
                items.extend(items.first().cloned());
                Value::Array(items)
            }
            other => other,
        },
        10 => json!(bytes.text()),
        _ => {
            let pointers = pointers(config);
            config.pointer(&pointers[bytes.below(pointers.len())]).cloned()?
        }
    })
}
