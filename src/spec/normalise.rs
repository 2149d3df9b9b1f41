//! Rewrites what runtime-spec 1.3 allows and the typed parse refuses.

use oci_spec::runtime::Capability;
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as ValueError, StrDeserializer};
use serde_json::Value;

use super::json::join;
use super::shape::FOREIGN;
use super::{UnknownCapability, Warning};

/// Rewrites `config` in place.
pub fn normalise(config: &mut Value, warnings: &mut Vec<Warning>) {
    drop_nulls(config);
    if let Some(members) = config.as_object_mut() {
        members.retain(|name, _| !FOREIGN.contains(&name.as_str()));
    }
    default_user(config);
    unknown_capabilities(config, warnings);
    scheduler_flags(config);
    cpu_affinity(config);
    device_rule_types(config);
    hugepage_limits(config);
}

/// A member that is null is an absent one: encoders write it for an empty list.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// The schema does not require `user`, nor any of its members; all zero is what the others take it
/// for.
fn default_user(config: &mut Value) {
    if let Some(process) = config.pointer_mut("/process").and_then(Value::as_object_mut) {
        let empty = || Value::Object(serde_json::Map::new());
        process.entry("user").or_insert_with(empty);
    }
}

/// config.md, `capabilities`: what cannot be mapped to a kernel interface is warned of, not
/// refused.
fn unknown_capabilities(config: &mut Value, warnings: &mut Vec<Warning>) {
    const SETS: [&str; 5] = ["bounding", "effective", "inheritable", "permitted", "ambient"];
    let mut dropped = Vec::new();
    for set in SETS {
        let set = join("/process/capabilities", set);
        let Some(names) = config.pointer_mut(&set).and_then(Value::as_array_mut) else {
            continue;
        };
        let mut index = 0;
        names.retain(|name| {
            let pointer = join(&set, index);
            index += 1;
            let Some(name) = name.as_str().filter(|name| !is_capability(name)) else {
                return true;
            };
            let name = name.to_owned();
            dropped.push(UnknownCapability { pointer, name });
            false
        });
    }
    if !dropped.is_empty() {
        warnings.push(Warning::UnknownCapabilities(dropped));
    }
}

fn is_capability(name: &str) -> bool {
    let name: StrDeserializer<'_, ValueError> = name.into_deserializer();
    Capability::deserialize(name).is_ok()
}

/// The type has other names for two of the flags of config.md, `scheduler`.
fn scheduler_flags(config: &mut Value) {
    let flags = config.pointer_mut("/process/scheduler/flags");
    for flag in flags.and_then(Value::as_array_mut).into_iter().flatten() {
        match flag.as_str() {
            Some("SCHED_FLAG_RESET_ON_FORK") => *flag = "SCHED_RESET_ON_FORK".into(),
            Some("SCHED_FLAG_DL_OVERRUN") => *flag = "SCHED_FLAG_D_L_OVERRUN".into(),
            _ => {}
        }
    }
}

/// The schema has `^[0-9, -]*$`, the type takes neither spaces nor an empty list; the latter means
/// no change.
fn cpu_affinity(config: &mut Value) {
    let affinity = config.pointer_mut("/process/execCPUAffinity");
    let Some(members) = affinity.and_then(Value::as_object_mut) else {
        return;
    };
    for name in ["initial", "final"] {
        let Some(Value::String(list)) = members.get_mut(name) else {
            continue;
        };
        list.retain(|c| c != ' ');
        if list.is_empty() {
            members.remove(name);
        }
    }
}

/// config-linux.md, allowed device list: an unset type means all devices, and encoders write it as
/// an empty string.
fn device_rule_types(config: &mut Value) {
    let rules = config.pointer_mut("/linux/resources/devices");
    for rule in rules.and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(rule) = rule.as_object_mut() {
            rule.retain(|name, value| name != "type" || value != "");
        }
    }
}

/// The schema has uint64, the type int64; no machine has memory for the difference.
fn hugepage_limits(config: &mut Value) {
    let limits = config.pointer_mut("/linux/resources/hugepageLimits");
    let limits = limits.and_then(Value::as_array_mut);
    for entry in limits.into_iter().flatten() {
        let Some(limit) = entry.get_mut("limit") else {
            continue;
        };
        if limit.as_i64().is_none() && limit.is_u64() {
            *limit = i64::MAX.into();
        }
    }
}
