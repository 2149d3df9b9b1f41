//! The pure half of reading a config: bytes in, [`Loaded`] or one error out.

use oci_spec::runtime::{
    IOPriorityClass, Linux, LinuxBlockIo, LinuxIdMapping, LinuxResources, Process, Spec,
};
use serde_json::Value;
use serde_path_to_error::Segment;

use super::{Extras, Limits, Loaded, ParseError, json, normalise, shape, version};

/// Reads the text of a config.json.
///
/// # Errors
/// [`ParseError`], with the JSON pointer of the value, or line and column where the text is no
/// JSON.
pub fn parse(text: &[u8]) -> Result<Loaded, ParseError> {
    let text = check_start(text)?;
    match at_once(text) {
        Some(spec) => {
            let resources = spec.linux().as_ref().and_then(|linux| linux.resources().as_ref());
            let pids = resources.and_then(|resources| resources.pids().as_ref());
            let extras = Extras { pids_limit: pids.map(|pids| pids.limit()) };
            finish(spec, extras, Vec::new())
        }
        None => parse_again(text),
    }
}

/// Reads a `/linux/resources` that stands alone, as it is given to change a container's limits.
/// Its members are named as in a config.
///
/// # Errors
/// [`ParseError`], as [`parse`].
pub fn limits(text: &[u8]) -> Result<Limits, ParseError> {
    let text = check_start(text)?;
    // Faults are found where they are in the text itself.
    json::read(text)?;
    let head = format!("{{\"ociVersion\":\"{}\",\"linux\":{{\"resources\":", super::VERSION);
    let loaded = parse(&[head.as_bytes(), text, b"}}"].concat())?;
    let linux = loaded.spec.linux().as_ref();
    let resources = linux.and_then(|linux| linux.resources().clone()).unwrap_or_default();
    Ok(Limits { resources, extras: loaded.extras })
}

/// The config, if the typed parse takes it and loses nothing.
fn at_once(text: &[u8]) -> Option<Spec> {
    let spec = serde_json::from_slice(text).ok()?;
    Some(spec).filter(|spec| !ambiguous(spec) && !shape::suspicious(text))
}

fn finish(spec: Spec, extras: Extras, warnings: Vec<super::Warning>) -> Result<Loaded, ParseError> {
    version::check(spec.version())?;
    Ok(Loaded { spec, warnings, extras })
}

/// Faults that a JSON parser would only call an unexpected character.
fn check_start(text: &[u8]) -> Result<&[u8], ParseError> {
    let mark = |encoding| Err(ParseError::ByteOrderMark { encoding });
    match text {
        [0xef, 0xbb, 0xbf, ..] => mark("UTF-8"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => mark("UTF-16"),
        _ if text.trim_ascii().is_empty() => Err(ParseError::Empty),
        _ => Ok(text),
    }
}

/// The long way: as plain JSON, checked, rewritten, and only then typed.
fn parse_again(text: &[u8]) -> Result<Loaded, ParseError> {
    parse_document(json::read(text)?)
}

/// Reads the text of a process alone, as in `/process` of a config.json.
///
/// # Errors
/// As [`parse`]; pointers are those that the values have in a config.json.
pub fn parse_process(text: &[u8]) -> Result<Loaded, ParseError> {
    let json::Document { value, duplicates } = json::read(check_start(text)?)?;
    let duplicates = duplicates.iter().map(|pointer| format!("/process{pointer}")).collect();
    let value = serde_json::json!({"ociVersion": super::VERSION, "process": value});
    parse_document(json::Document { value, duplicates })
}

fn parse_document(document: json::Document) -> Result<Loaded, ParseError> {
    let json::Document { value: mut config, duplicates } = document;
    if let Some(fault) = shape::duplicate(&duplicates) {
        return Err(fault);
    }
    let mut warnings = Vec::new();
    normalise::normalise(&mut config, &mut warnings);
    shape::check(&config)?;
    let pids_limit = config.pointer("/linux/resources/pids/limit").and_then(Value::as_i64);
    check_hugepages(&config)?;
    let spec = typed(&config)?;
    finish(spec, Extras { pids_limit }, warnings)
}

fn typed(config: &Value) -> Result<Spec, ParseError> {
    serde_path_to_error::deserialize(config).map_err(|error| {
        let pointer = pointer(error.path());
        let value = config.pointer(&pointer).and_then(Value::as_str);
        match (shape::name_of(&pointer), value) {
            (Some(what), Some(value)) => {
                ParseError::UnknownName { value: value.to_owned(), what, pointer }
            }
            _ => ParseError::Type { pointer, source: error.into_inner() },
        }
    })
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    path.iter().fold(String::new(), |pointer, segment| match segment {
        Segment::Seq { index } => json::join(&pointer, index),
        Segment::Map { key } => json::join(&pointer, key),
        // An enum's variant is no step in the text.
        Segment::Enum { .. } | Segment::Unknown => pointer,
    })
}

fn check_hugepages(config: &Value) -> Result<(), ParseError> {
    let mut fault = Ok(());
    let pattern = "/linux/resources/hugepageLimits/*/limit";
    json::each(config, pattern, &mut |pointer, limit| {
        if let Some(value) = limit.as_i64().filter(|value| *value < 0) {
            let pointer = pointer.to_owned();
            fault = Err(ParseError::Negative { pointer, value });
        }
    });
    fault
}

/// Whether some value of `spec` is what the type makes of an absent required member, or is not in
/// its range.
fn ambiguous(spec: &Spec) -> bool {
    let root = spec.root().as_ref();
    let mut mounts = spec.mounts().iter().flatten();
    spec.version().is_empty()
        || root.is_some_and(|root| root.path().as_os_str().is_empty())
        || spec.process().as_ref().is_some_and(ambiguous_process)
        || mounts.any(|mount| incomplete(mount.uid_mappings()) || incomplete(mount.gid_mappings()))
        || spec.linux().as_ref().is_some_and(ambiguous_linux)
}

fn ambiguous_process(process: &Process) -> bool {
    let mut rlimits = process.rlimits().iter().flatten();
    let priority = process.io_priority().as_ref();
    rlimits.any(|limit| limit.soft() == 0 || limit.hard() == 0)
        || process.console_size().is_some_and(|size| size.height() == 0 || size.width() == 0)
        || priority.is_some_and(|priority| priority.class() == IOPriorityClass::IoprioClassBe)
}

fn ambiguous_linux(linux: &Linux) -> bool {
    let mut devices = linux.devices().iter().flatten();
    devices.any(|device| device.path().as_os_str().is_empty())
        || incomplete(linux.uid_mappings())
        || incomplete(linux.gid_mappings())
        || linux.resources().as_ref().is_some_and(ambiguous_resources)
}

fn ambiguous_resources(resources: &LinuxResources) -> bool {
    let mut hugepages = resources.hugepage_limits().iter().flatten();
    let network = resources.network().as_ref();
    resources.pids().as_ref().is_some_and(|pids| pids.limit() == 0)
        || hugepages.any(|hugepages| hugepages.limit() <= 0 || hugepages.page_size().is_empty())
        || network.is_some_and(|network| network.priorities().is_some())
        || resources.block_io().as_ref().is_some_and(names_devices)
}

/// Device numbers of which a part is zero are common, so any is worth a second look.
fn names_devices(block_io: &LinuxBlockIo) -> bool {
    block_io.weight_device().is_some()
        || block_io.throttle_read_bps_device().is_some()
        || block_io.throttle_write_bps_device().is_some()
        || block_io.throttle_read_iops_device().is_some()
        || block_io.throttle_write_iops_device().is_some()
}

fn incomplete(mappings: &Option<Vec<LinuxIdMapping>>) -> bool {
    let mut mappings = mappings.iter().flatten();
    mappings
        .any(|mapping| mapping.host_id() == 0 || mapping.container_id() == 0 || mapping.size() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CONFIG: &str = include_str!("../verbs/default-config.json");

    /// Pointers of all values of the config but itself.
    fn pointers(value: &Value, pointer: &str, found: &mut Vec<String>) {
        let members: Vec<(String, &Value)> = match value {
            Value::Object(members) => members.iter().map(|(name, v)| (name.clone(), v)).collect(),
            Value::Array(items) => {
                items.iter().enumerate().map(|(at, v)| (at.to_string(), v)).collect()
            }
            _ => Vec::new(),
        };
        for (name, member) in members {
            let pointer = json::join(pointer, name);
            pointers(member, &pointer, found);
            found.push(pointer);
        }
    }

    fn replacements() -> Vec<Value> {
        vec![
            Value::Null,
            serde_json::json!(0),
            serde_json::json!(-1),
            serde_json::json!(u64::MAX),
            serde_json::json!(""),
            serde_json::json!([]),
            serde_json::json!({}),
            serde_json::json!([[]]),
            serde_json::json!(true),
        ]
    }

    /// UPD-1.
    #[test]
    fn limits_may_stand_alone() {
        let limits = |text: &str| limits(text.as_bytes());
        let found = limits("{\"pids\": {\"limit\": 0}, \"memory\": null}").unwrap();
        assert_eq!(found.extras.pids_limit, Some(0));
        assert_eq!(limits("{\"cpu\": {\"shares\": 7}}").unwrap().extras.pids_limit, None);
        assert_eq!(limits("{}").unwrap().resources, LinuxResources::default());
        let refusal = |text| limits(text).unwrap_err().to_string();
        assert!(
            refusal("{\n \"cpu\": }").contains("line 2 column 9"),
            "{}",
            refusal("{\n \"cpu\": }")
        );
        assert!(
            refusal("{\"cpu\": {\"shares\": \"x\"}}").starts_with("/linux/resources/cpu/shares")
        );
        assert!(refusal("[]").starts_with("/linux/resources"));
        assert!(limits("{}}, \"hostname\": {\"x\": {}").is_err());
    }

    #[test]
    fn an_ordinary_config_is_read_in_one_pass() {
        assert!(at_once(CONFIG.as_bytes()).is_some());
    }

    #[test]
    fn both_ways_agree_whatever_value_is_changed() {
        let config: Value = serde_json::from_str(CONFIG).unwrap();
        let mut all = Vec::new();
        pointers(&config, "", &mut all);
        for pointer in &all {
            for replacement in replacements() {
                let mut changed = config.clone();
                *changed.pointer_mut(pointer).unwrap() = replacement.clone();
                let text = changed.to_string();
                let whole = parse(text.as_bytes());
                let long = parse_again(text.as_bytes());
                let (whole, long) =
                    (whole.map_err(|e| e.to_string()), long.map_err(|e| e.to_string()));
                assert_eq!(whole, long, "{pointer} = {replacement}");
            }
        }
    }

    #[test]
    fn both_ways_agree_whatever_member_is_missing() {
        let config: Value = serde_json::from_str(CONFIG).unwrap();
        let mut all = Vec::new();
        pointers(&config, "", &mut all);
        for pointer in &all {
            let mut changed = config.clone();
            let (parent, name) = pointer.rsplit_once('/').unwrap();
            if let Some(Value::Object(members)) = changed.pointer_mut(parent) {
                members.remove(name);
            }
            let text = changed.to_string();
            let whole = parse(text.as_bytes()).map_err(|e| e.to_string());
            let long = parse_again(text.as_bytes()).map_err(|e| e.to_string());
            assert_eq!(whole, long, "{pointer}");
        }
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_reader(text in any::<Vec<u8>>()) {
            let _ = parse(&text);
        }

        #[test]
        fn no_damage_to_a_config_breaks_the_reader(
            at in 0..CONFIG.len(),
            length in 0usize..40,
            patch in "[\\[\\]{}\",:0-9a-zA-Z \\\\-]{0,8}",
        ) {
            let mut text = CONFIG.as_bytes().to_vec();
            let end = (at + length).min(text.len());
            text.splice(at..end, patch.bytes());
            if let Err(error) = parse(&text) {
                prop_assert!(!error.to_string().is_empty());
            }
        }
    }
}
