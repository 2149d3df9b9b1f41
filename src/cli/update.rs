//! `update`: limits from options or from a file.

use std::io::Read;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::Error;
use super::options;
use crate::spec::{self, Limits};

/// The limits that a command line asks for.
pub fn limits(update: &options::Update) -> Result<Limits, Error> {
    let (name, text) = match &update.resources {
        Some(path) => (path.display().to_string(), read(path)?),
        None => ("options".to_owned(), document(&update.limits).to_string().into_bytes()),
    };
    spec::limits(&text).map_err(|source| Error::LimitsText { name, source })
}

/// Where a file has `-`, standard input is read.
fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let mut text = Vec::new();
    let limit = spec::LIMIT;
    let done = if path == Path::new("-") {
        std::io::stdin().take(limit).read_to_end(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut text))
    };
    match done {
        Ok(_) => Ok(text),
        Err(source) => Err(Error::Limits { name: path.display().to_string(), source }),
    }
}

/// The options as `linux.resources`; a member that was not given is absent.
fn document(limits: &options::Limits) -> Value {
    let object = |members: Vec<(&str, Value)>| {
        let given = members.into_iter().filter(|(_, value)| !value.is_null());
        given.map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>()
    };
    let parts = [
        ("blockIO", object(vec![("weight", json!(limits.blkio_weight))])),
        (
            "cpu",
            object(vec![
                ("shares", json!(limits.cpu_share)),
                ("quota", json!(limits.cpu_quota)),
                ("burst", json!(limits.cpu_burst)),
                ("period", json!(limits.cpu_period)),
                ("realtimeRuntime", json!(limits.cpu_rt_runtime)),
                ("realtimePeriod", json!(limits.cpu_rt_period)),
                ("cpus", json!(limits.cpuset_cpus)),
                ("mems", json!(limits.cpuset_mems)),
                ("idle", json!(limits.cpu_idle)),
            ]),
        ),
        (
            "memory",
            object(vec![
                ("limit", json!(limits.memory)),
                ("reservation", json!(limits.memory_reservation)),
                ("swap", json!(limits.memory_swap)),
                ("kernel", json!(limits.kernel_memory)),
                ("kernelTCP", json!(limits.kernel_memory_tcp)),
            ]),
        ),
        ("pids", object(vec![("limit", json!(limits.pids_limit))])),
    ];
    let given = parts.into_iter().filter(|(_, part)| !part.is_empty());
    Value::Object(given.map(|(name, part)| (name.to_owned(), Value::Object(part))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// UPD-1
    #[test]
    fn only_what_is_given_is_asked_for() {
        let none = options::Limits::default();
        assert_eq!(document(&none), json!({}));
        let some = options::Limits {
            cpu_period: Some(7),
            memory: Some(-1),
            pids_limit: Some(0),
            ..options::Limits::default()
        };
        let expected = json!({"cpu": {"period": 7}, "memory": {"limit": -1}, "pids": {"limit": 0}});
        assert_eq!(document(&some), expected);
        let limits = spec::limits(document(&some).to_string().as_bytes()).unwrap();
        assert_eq!(limits.extras.pids_limit, Some(0));
        assert_eq!(limits.resources.cpu().as_ref().unwrap().period(), Some(7));
    }
}
