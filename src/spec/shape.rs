//! What runtime-spec 1.3 requires of the shape of a config and the typed parse does not: objects
//! where it has objects, required members, and names out of a list.

use serde_json::Value;

use super::ParseError;
use super::json::{each, join};

/// An object and its required members, from schema/config-schema.json and schema/config-linux.json.
/// A member whose absence the typed parse cannot tell and that is required here must be asked for
/// in `parse::ambiguous`, so that both ways give one answer; `allow` of a device rule is not, as
/// absence denies.
struct Object {
    pattern: &'static str,
    required: &'static [&'static str],
}

const fn object(pattern: &'static str, required: &'static [&'static str]) -> Object {
    Object { pattern, required }
}

const OBJECTS: &[Object] = &[
    object("", &["ociVersion"]),
    object("/root", &["path"]),
    object("/mounts/*", &["destination"]),
    object("/mounts/*/uidMappings/*", ID_MAPPING),
    object("/mounts/*/gidMappings/*", ID_MAPPING),
    object("/process", &["cwd"]),
    object("/process/consoleSize", &["height", "width"]),
    object("/process/user", &[]),
    object("/process/capabilities", &[]),
    object("/process/rlimits/*", &["type", "soft", "hard"]),
    object("/process/ioPriority", &["class"]),
    object("/process/scheduler", &["policy"]),
    object("/process/execCPUAffinity", &[]),
    object("/hooks", &[]),
    object("/hooks/*/*", &["path"]),
    object("/annotations", &[]),
    object("/linux", &[]),
    object("/linux/namespaces/*", &["type"]),
    object("/linux/uidMappings/*", ID_MAPPING),
    object("/linux/gidMappings/*", ID_MAPPING),
    object("/linux/devices/*", &["type", "path"]),
    object("/linux/netDevices", &[]),
    object("/linux/netDevices/*", &[]),
    object("/linux/sysctl", &[]),
    object("/linux/timeOffsets", &[]),
    object("/linux/timeOffsets/*", &[]),
    object("/linux/personality", &["domain"]),
    object("/linux/memoryPolicy", &["mode"]),
    object("/linux/intelRdt", &[]),
    object("/linux/seccomp", &["defaultAction"]),
    object("/linux/seccomp/syscalls/*", &["names", "action"]),
    object("/linux/seccomp/syscalls/*/args/*", &["index", "value", "op"]),
    object("/linux/resources", &[]),
    object("/linux/resources/devices/*", &[]),
    object("/linux/resources/memory", &[]),
    object("/linux/resources/cpu", &[]),
    object("/linux/resources/pids", &[]),
    object("/linux/resources/blockIO", &[]),
    object("/linux/resources/blockIO/weightDevice/*", DEVICE_NUMBER),
    object("/linux/resources/blockIO/throttleReadBpsDevice/*", DEVICE_NUMBER),
    object("/linux/resources/blockIO/throttleWriteBpsDevice/*", DEVICE_NUMBER),
    object("/linux/resources/blockIO/throttleReadIOPSDevice/*", DEVICE_NUMBER),
    object("/linux/resources/blockIO/throttleWriteIOPSDevice/*", DEVICE_NUMBER),
    object("/linux/resources/hugepageLimits/*", &["pageSize", "limit"]),
    object("/linux/resources/network", &[]),
    object("/linux/resources/network/priorities/*", &["name", "priority"]),
    object("/linux/resources/rdma", &[]),
    object("/linux/resources/rdma/*", &[]),
    object("/linux/resources/unified", &[]),
];

const ID_MAPPING: &[&str] = &["containerID", "hostID", "size"];
const DEVICE_NUMBER: &[&str] = &["major", "minor"];

/// Strings out of a closed list, and what to call them.
pub const NAMES: &[(&str, &str)] = &[
    ("/process/rlimits/*/type", "rlimit type"),
    ("/process/ioPriority/class", "I/O priority class"),
    ("/process/scheduler/policy", "scheduler policy"),
    ("/process/scheduler/flags/*", "scheduler flag"),
    ("/linux/namespaces/*/type", "namespace type"),
    ("/linux/devices/*/type", "device type"),
    ("/linux/resources/devices/*/type", "device type"),
    ("/linux/seccomp/defaultAction", "seccomp action"),
    ("/linux/seccomp/architectures/*", "seccomp architecture"),
    ("/linux/seccomp/flags/*", "seccomp flag"),
    ("/linux/seccomp/syscalls/*/action", "seccomp action"),
    ("/linux/seccomp/syscalls/*/args/*/op", "seccomp operator"),
    ("/linux/personality/domain", "personality domain"),
    ("/linux/memoryPolicy/mode", "memory policy mode"),
    ("/linux/memoryPolicy/flags/*", "memory policy flag"),
];

/// Objects whose members are the user's own words, of which the last one counts, as every JSON
/// reader here does.
const DICTIONARIES: &[&str] = &[
    "/annotations",
    "/linux/sysctl",
    "/linux/netDevices",
    "/linux/timeOffsets",
    "/linux/resources/rdma",
    "/linux/resources/unified",
];

/// Sections for other platforms, which nothing here reads.
pub const FOREIGN: &[&str] = &["solaris", "windows", "vm", "zos", "freebsd"];

/// Checks objects and required members.
pub fn check(config: &Value) -> Result<(), ParseError> {
    for object in OBJECTS {
        let mut fault = None;
        each(config, object.pattern, &mut |pointer, value| {
            if fault.is_none() {
                fault = object_fault(pointer, value, object.required);
            }
        });
        if let Some(fault) = fault {
            return Err(fault);
        }
    }
    Ok(())
}

fn object_fault(pointer: &str, value: &Value, required: &[&str]) -> Option<ParseError> {
    let Some(members) = value.as_object() else {
        return Some(ParseError::NotObject {
            pointer: if pointer.is_empty() { "the config" } else { pointer }.to_owned(),
            found: kind(value),
        });
    };
    let absent = required.iter().find(|name| !members.contains_key(**name))?;
    Some(ParseError::Missing { pointer: join(pointer, absent) })
}

/// The first member given twice that cloison would read.
pub fn duplicate(duplicates: &[String]) -> Option<ParseError> {
    let read = duplicates.iter().find(|pointer| {
        let parent = pointer.rsplit_once('/').map_or("", |(parent, _)| parent);
        !DICTIONARIES.contains(&parent)
    })?;
    Some(ParseError::Duplicate { pointer: read.clone() })
}

const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// What to call the string at `pointer`, if it is out of a closed list.
pub fn name_of(pointer: &str) -> Option<&'static str> {
    let matching = |pattern: &str| {
        let mut tokens = pointer.split('/');
        let all = pattern.split('/').all(|token| {
            let found = tokens.next();
            found.is_some_and(|found| token == "*" || token == found)
        });
        all && tokens.next().is_none()
    };
    NAMES.iter().find(|(pattern, _)| matching(pattern)).map(|(_, what)| *what)
}

/// Whether `text` may hold an array where an object belongs, which the typed parse would take for
/// the members in order. Looks at each `[` only: no array of runtime-spec lies in an array, and no
/// object is named like these.
pub fn suspicious(text: &[u8]) -> bool {
    let before = |end: usize| {
        let head = text[..end].trim_ascii_end();
        head.split_last().map(|(last, head)| (*last, head))
    };
    let mut brackets = text.iter().enumerate().filter(|(_, byte)| **byte == b'[');
    brackets.any(|(at, _)| match before(at) {
        Some((b':', head)) => named_like_an_object(head.trim_ascii_end()),
        // Text inside a string lands here as well, and costs a second reading at most.
        Some((b',' | b'[', _)) | None => true,
        Some(_) => false,
    })
}

fn named_like_an_object(head: &[u8]) -> bool {
    let Some(head) = head.strip_suffix(b"\"") else {
        return false;
    };
    let start = head.iter().rposition(|byte| *byte == b'"').map_or(0, |at| at + 1);
    let name = &head[start..];
    OBJECTS.iter().any(|object| {
        let last = object.pattern.rsplit('/').next().unwrap_or_default();
        // `devices` and `flags` are arrays wherever they occur, and `*` is no name.
        last.as_bytes() == name
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn patterns_name_what_they_match_whole() {
        assert_eq!(name_of("/process/rlimits/3/type"), Some("rlimit type"));
        assert_eq!(name_of("/process/rlimits/3"), None);
        assert_eq!(name_of("/process/rlimits/3/type/x"), None);
    }

    #[test]
    fn arrays_for_objects_are_suspected_and_ordinary_ones_are_not() {
        for text in [
            r#"["1.0.0"]"#,
            r#"{"linux":[]}"#,
            r#"{"linux" : []}"#,
            r#"{"mounts":[["/proc"]]}"#,
            r#"{"mounts":[{}, [1]]}"#,
        ] {
            assert!(suspicious(text.as_bytes()), "{text}");
        }
        for text in [
            r#"{"mounts":[{"options":["ro"]}],"process":{"args":["a:[b"]}}"#,
            r#"{"linux":{"devices":[]}}"#,
        ] {
            assert!(!suspicious(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn every_required_member_is_missed() {
        let fault = |config| check(&config).unwrap_err().to_string();
        assert_eq!(fault(json!({})), "/ociVersion: is missing");
        assert_eq!(
            fault(json!({"ociVersion": "1.0.0", "process": {"cwd": "/", "ioPriority": {}}})),
            "/process/ioPriority/class: is missing"
        );
        assert_eq!(
            fault(json!({"ociVersion": "1.0.0", "hooks": {"poststop": [{"args": []}]}})),
            "/hooks/poststop/0/path: is missing"
        );
        assert_eq!(fault(json!([])), "the config: is an array, not an object");
    }

    #[test]
    fn dictionaries_may_repeat_a_word() {
        assert!(duplicate(&["/linux/sysctl/net.x".into()]).is_none());
        assert!(duplicate(&["/linux/sysctl".into()]).is_some());
    }
}
