//! A container's cgroup as a systemd scope: its unit, its place and its properties.
//!
//! Source: org.freedesktop.systemd1(5), systemd.resource-control(5).

use super::path::{CgroupPath, Reason};
use super::{Request, Write};
use crate::host::Privilege;
use crate::host::cgroup::Unified;
use oci_spec::runtime::Spec;
use std::path::{Path, PathBuf};

/// A transient scope unit.
#[derive(Clone, Debug, PartialEq)]
pub struct Scope {
    /// Where cgroup v2 is mounted.
    pub mount: PathBuf,
    /// The cgroup that systemd makes for the unit.
    pub path: CgroupPath,
    /// The slice unit that holds it.
    pub slice: String,
    /// The unit's name.
    pub unit: String,
    /// The service manager to ask.
    pub bus: Bus,
    /// What to set beside the slice and the processes.
    pub properties: Vec<Property>,
}

/// Which systemd instance makes the scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Bus {
    /// The system's.
    System,
    /// The user's.
    User {
        /// User id.
        uid: u32,
    },
}

/// A unit property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Property {
    /// Its name, such as `MemoryMax`.
    pub name: String,
    /// Its value.
    pub value: Value,
}

/// A value in the types of D-Bus that unit properties use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// `b`
    Bool(bool),
    /// `i`
    I32(i32),
    /// `u`
    U32(u32),
    /// `x`
    I64(i64),
    /// `t`
    U64(u64),
    /// `s`
    Text(String),
    /// `as`
    Texts(Vec<String>),
    /// `ay`
    Bytes(Vec<u8>),
    /// `au`
    U32s(Vec<u32>),
}

/// Why a scope cannot be described.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// The value of an `org.systemd.property.NAME` annotation.
    #[error(
        "{pointer}: invalid value {text:?}: use true, false, a quoted string, \
         a number (int32, or after its type: uint32, int64, uint64) or a list of strings"
    )]
    Value {
        /// JSON pointer of the annotation.
        pointer: String,
        /// The value.
        text: String,
    },
    /// The name in an `org.systemd.property.NAME` annotation.
    #[error("{pointer}: {name:?} is not the name of a systemd property")]
    Name {
        /// JSON pointer of the annotation.
        pointer: String,
        /// The name.
        name: String,
    },
}

use crate::plan::annotations::SYSTEMD_PROPERTY as ANNOTATION;

/// The scope for `asked` (`slice:prefix:name`), by default `system.slice:cloison:ID`
/// (`user.slice` in a user's instance).
///
/// # Errors
/// A path of another form, or a wrong annotation.
pub(super) fn resolve(
    spec: &Spec,
    asked: Option<&Path>,
    request: &Request<'_>,
    unified: &Unified,
    writes: &[Write],
) -> Result<Scope, super::Error> {
    let (bus, default_slice) = match request.privilege {
        Privilege::Full => (Bus::System, "system.slice"),
        Privilege::Confined { uid } => (Bus::User { uid }, "user.slice"),
    };
    let text = match asked {
        Some(path) => path.to_string_lossy().into_owned(),
        // The one character of ids that unit names do not take, as systemd-escape(1) writes it.
        None => format!("{default_slice}:cloison:{}", request.id.replace('+', "\\x2b")),
    };
    let bad = |reason| super::Error::Path { path: text.clone(), reason };
    let mut parts = text.split(':');
    let (Some(slice), Some(prefix), Some(name), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(bad(Reason::Triple));
    };
    let slice = if slice.is_empty() { default_slice } else { slice };
    let unit = unit(prefix, name).ok_or_else(|| bad(Reason::UnitName))?;
    let slice_path = expand(slice).ok_or_else(|| bad(Reason::Slice))?;
    let top = match bus {
        Bus::System => String::new(),
        Bus::User { uid } => format!("user.slice/user-{uid}.slice/user@{uid}.service/"),
    };
    let path = CgroupPath::new(Path::new(&format!("{top}{slice_path}{unit}"))).map_err(bad)?;
    let mut properties = base(request.id);
    properties.extend(of_writes(writes));
    properties.extend(annotated(spec)?);
    Ok(Scope { mount: unified.mount.clone(), path, slice: slice.to_owned(), unit, bus, properties })
}

/// Characters that systemd allows in unit names (systemd.unit(5)), but for the colon.
fn is_unit_text(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.@\\".contains(&b))
}

fn unit(prefix: &str, name: &str) -> Option<String> {
    let ok = !name.is_empty() && is_unit_text(prefix) && is_unit_text(name);
    let unit =
        if prefix.is_empty() { format!("{name}.scope") } else { format!("{prefix}-{name}.scope") };
    // systemd's UNIT_NAME_MAX.
    (ok && unit.len() < 256).then_some(unit)
}

/// The cgroup of a slice: `a-b.slice` lies in `a.slice/a-b.slice/`; `-.slice` is the top.
fn expand(slice: &str) -> Option<String> {
    let name = slice.strip_suffix(".slice").filter(|_| is_unit_text(slice))?;
    if name == "-" {
        return Some(String::new());
    }
    let mut path = String::new();
    let mut prefix = String::new();
    for part in name.split('-') {
        if part.is_empty() {
            return None;
        }
        prefix.push_str(part);
        path.push_str(&format!("{prefix}.slice/"));
        prefix.push('-');
    }
    Some(path)
}

fn set(name: &str, value: Value) -> Property {
    Property { name: name.to_owned(), value }
}

/// The container owns its cgroup below the unit (Delegate), and the unit neither waits for nor is
/// stopped by the ordering of the rest of the system.
fn base(id: &str) -> Vec<Property> {
    let mut list = vec![
        set("Description", Value::Text(format!("cloison container {id}"))),
        set("DefaultDependencies", Value::Bool(false)),
        set("Delegate", Value::Bool(true)),
    ];
    for accounting in ["MemoryAccounting", "CPUAccounting", "IOAccounting", "TasksAccounting"] {
        list.push(set(accounting, Value::Bool(true)));
    }
    list
}

/// What systemd must know of writes, so that it does not undo them when it reloads.
pub fn of_writes(writes: &[Write]) -> Vec<Property> {
    writes.iter().flat_map(property).collect()
}

/// CGROUP_WEIGHT_IDLE of systemd, `CPUWeight=idle`.
const IDLE: u64 = 0;

/// What systemd must know of a write, so that it does not undo it when it writes all limits of a
/// slice again (CG-51). Files that it does not manage stay with the write alone.
fn property(write: &Write) -> Vec<Property> {
    let number = || match write.value.as_str() {
        "max" => Some(u64::MAX),
        text => text.parse().ok(),
    };
    let one = |name: &str| number().map(|n| set(name, Value::U64(n))).into_iter().collect();
    match write.file.as_ref() {
        "memory.max" => one("MemoryMax"),
        "memory.high" => one("MemoryHigh"),
        "memory.low" => one("MemoryLow"),
        "memory.min" => one("MemoryMin"),
        "memory.swap.max" => one("MemorySwapMax"),
        "cpu.weight" => one("CPUWeight"),
        // systemd's weight of an idle unit, since its version 252.
        "cpu.idle" if write.value == "1" => vec![set("CPUWeight", Value::U64(IDLE))],
        // systemd takes 0 for "not set"; beside the first process both let nobody be born.
        "pids.max" if write.value == "0" => vec![set("TasksMax", Value::U64(1))],
        "pids.max" => one("TasksMax"),
        "io.weight" => {
            io_weight(write.value.strip_prefix("default ").unwrap_or(&write.value), |n| n)
        }
        "io.bfq.weight" => io_weight(&write.value, wide_of_bfq),
        "cpu.max" => quota(&write.value).unwrap_or_default(),
        "cpuset.cpus" => mask("AllowedCPUs", &write.value),
        "cpuset.mems" => mask("AllowedMemoryNodes", &write.value),
        _ => Vec::new(),
    }
}

/// The weight for all devices; one for a single device is not told.
fn io_weight(text: &str, scale: fn(u64) -> u64) -> Vec<Property> {
    text.parse().map(|n| set("IOWeight", Value::U64(scale(n)))).into_iter().collect()
}

/// The weight on the scale of io.weight that systemd writes as `weight` to io.bfq.weight
/// (systemd's BFQ_WEIGHT: the same up to 100, then 100 to 10000 for 100 to 1000).
fn wide_of_bfq(weight: u64) -> u64 {
    weight + weight.saturating_sub(100).saturating_mul(10)
}

/// systemd wants the quota per second, in steps of 10 ms; the exact one is written afterwards.
fn quota(value: &str) -> Option<Vec<Property>> {
    const STEP: u64 = 10_000;
    let (quota, period) = value.split_once(' ')?;
    let period: u64 = period.parse().ok().filter(|period| *period > 0)?;
    let per_second = match quota {
        "max" => u64::MAX,
        quota => {
            let exact = quota.parse::<u64>().ok()?.checked_mul(1_000_000)? / period;
            exact.checked_next_multiple_of(STEP)?.max(STEP)
        }
    };
    Some(vec![
        set("CPUQuotaPerSecUSec", Value::U64(per_second)),
        set("CPUQuotaPeriodUSec", Value::U64(period)),
    ])
}

/// A list such as `0-3,7` as a bit mask, lowest first.
fn mask(name: &str, list: &str) -> Vec<Property> {
    const HIGHEST: usize = 8191;
    let mut bytes = Vec::new();
    for range in list.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let bounds = (first.trim().parse::<usize>(), last.trim().parse::<usize>());
        let (Ok(first), Ok(last @ ..=HIGHEST)) = bounds else { return Vec::new() };
        for bit in first..=last {
            if bytes.len() <= bit / 8 {
                bytes.resize(bit / 8 + 1, 0u8);
            }
            bytes[bit / 8] |= 1 << (bit % 8);
        }
    }
    vec![set(name, Value::Bytes(bytes))]
}

/// Properties from `org.systemd.property.NAME` annotations, in the order of their names. A name
/// that ends in `Sec` but not in `USec` gives seconds, as in unit files.
fn annotated(spec: &Spec) -> Result<Vec<Property>, Error> {
    let mut list: Vec<_> = spec
        .annotations()
        .iter()
        .flatten()
        .filter_map(|(key, text)| Some((key.strip_prefix(ANNOTATION)?, text)))
        .collect();
    list.sort();
    list.into_iter().map(|(name, text)| annotation(name, text)).collect()
}

fn annotation(name: &str, text: &str) -> Result<Property, Error> {
    let pointer = || format!("/annotations/{ANNOTATION}{}", super::unified::escape(name));
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphabetic()) {
        return Err(Error::Name { pointer: pointer(), name: name.to_owned() });
    }
    let bad = || Error::Value { pointer: pointer(), text: text.to_owned() };
    let value = variant(text.trim()).ok_or_else(bad)?;
    match name.strip_suffix("Sec").filter(|stem| !stem.ends_with('U')) {
        Some(stem) => {
            let seconds = match value {
                Value::I32(n) => u64::try_from(n).ok(),
                Value::I64(n) => u64::try_from(n).ok(),
                Value::U32(n) => Some(u64::from(n)),
                Value::U64(n) => Some(n),
                _ => None,
            };
            let micros = seconds.and_then(|n| n.checked_mul(1_000_000)).ok_or_else(bad)?;
            Ok(set(&format!("{stem}USec"), Value::U64(micros)))
        }
        None => Ok(set(name, value)),
    }
}

/// Reads a value in GVariant's text form, as far as unit properties need it.
fn variant(text: &str) -> Option<Value> {
    match text {
        "true" => return Some(Value::Bool(true)),
        "false" => return Some(Value::Bool(false)),
        _ => {}
    }
    if let Some(list) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let items = list.split(',').map(str::trim).filter(|item| !item.is_empty());
        return items.map(quoted).collect::<Option<_>>().map(Value::Texts);
    }
    if let Some(text) = quoted(text) {
        return Some(Value::Text(text));
    }
    match text.split_once(' ') {
        None => text.parse().ok().map(Value::I32),
        Some(("int32", n)) => n.trim().parse().ok().map(Value::I32),
        Some(("uint32", n)) => n.trim().parse().ok().map(Value::U32),
        Some(("int64", n)) => n.trim().parse().ok().map(Value::I64),
        Some(("uint64", n)) => n.trim().parse().ok().map(Value::U64),
        Some(_) => None,
    }
}

fn quoted(text: &str) -> Option<String> {
    ['\'', '"'].into_iter().find_map(|quote| {
        let inner = text.strip_prefix(quote)?.strip_suffix(quote)?;
        (!inner.contains([quote, '\\'])).then(|| inner.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_expand_to_their_ancestors() {
        assert_eq!(expand("a-b-c.slice").unwrap(), "a.slice/a-b.slice/a-b-c.slice/");
        assert_eq!(expand("-.slice").unwrap(), "");
        for bad in ["a", "-a.slice", "a--b.slice", "a/b.slice", ".slice", "a-.slice"] {
            assert_eq!(expand(bad), None, "{bad}");
        }
    }

    #[test]
    fn units_are_named_after_prefix_and_name() {
        assert_eq!(unit("crio", "abc").unwrap(), "crio-abc.scope");
        assert_eq!(unit("", "abc").unwrap(), "abc.scope");
        assert_eq!(unit("p", ""), None);
        assert_eq!(unit("p", "a/b"), None);
        assert_eq!(unit("p", "a+b"), None);
        assert_eq!(unit("p", &"x".repeat(260)), None);
    }

    #[test]
    fn annotations_become_typed_properties() {
        let value = |text| variant(text).unwrap();
        assert_eq!(value("true"), Value::Bool(true));
        assert_eq!(value("'inactive-or-failed'"), Value::Text("inactive-or-failed".into()));
        assert_eq!(value("uint64 7"), Value::U64(7));
        assert_eq!(value("7"), Value::I32(7));
        assert_eq!(
            value("['a.service', \"b\"]"),
            Value::Texts(vec!["a.service".into(), "b".into()])
        );
        assert_eq!(variant("uint8"), None);
        assert_eq!(
            annotation("TimeoutStopSec", "uint32 3").unwrap(),
            set("TimeoutStopUSec", Value::U64(3_000_000))
        );
        assert!(matches!(annotation("TimeoutStopSec", "'x'"), Err(Error::Value { .. })));
        assert!(matches!(annotation("Bad-Name", "1"), Err(Error::Name { .. })));
    }

    #[test]
    fn lists_become_masks() {
        assert_eq!(mask("A", "0-3,9"), [set("A", Value::Bytes(vec![0x0f, 0x02]))]);
        assert_eq!(mask("A", "x"), []);
        assert_eq!(mask("A", "0-999999999"), []);
    }

    #[test]
    fn quotas_are_per_second_in_steps() {
        let per_second = |text| match &quota(text).unwrap()[0].value {
            Value::U64(n) => *n,
            other => panic!("{other:?}"),
        };
        assert_eq!(per_second("50000 100000"), 500_000);
        assert_eq!(per_second("33333 100000"), 340_000);
        assert_eq!(per_second("max 100000"), u64::MAX);
    }
}
