//! Mount options and cgroup paths, in a config that is right otherwise.

use cloison::spec;
use serde_json::{Value, json};

use super::bytes::Bytes;
use super::machine::{Circumstances, planned};

fn config() -> Value {
    json!({
        "ociVersion": "1.2.0", "root": {"path": "/r"},
        "process": {"cwd": "/", "args": ["a"], "user": {"uid": 0, "gid": 0}},
        "linux": {"namespaces": [{"type": "mount"}, {"type": "pid"}]},
    })
}

fn plan_of(config: &Value, circumstances: Circumstances) {
    let text = config.to_string();
    let loaded = spec::parse(text.as_bytes()).unwrap_or_else(|e| panic!("{e}: {text}"));
    planned(&loaded, circumstances);
}

pub fn mount_options(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let circumstances = Circumstances::of(bytes.byte());
    let known = cloison::plan::mounts::OPTIONS;
    let kinds =
        ["", "bind", "tmpfs", "proc", "sysfs", "cgroup", "cgroup2", "devpts", "mqueue", "x"];
    let destinations = ["/m", "/proc", "/sys", "/dev", "/proc/sys", "m", "/../m", "/m/./n//"];
    let mut config = config();
    let mut mounts = Vec::new();
    for _ in 0..bytes.byte() % 4 {
        let options: Vec<String> = (0..bytes.byte() % 8)
            .map(|_| match bytes.flag() {
                true => bytes.of(known).to_owned(),
                false => bytes.text(),
            })
            .collect();
        let kind = bytes.of(&kinds);
        let destination = bytes.of(&destinations);
        mounts.push(json!({
            "type": kind, "destination": destination, "source": "/s", "options": options,
        }));
    }
    config["mounts"] = json!(mounts);
    plan_of(&config, circumstances);
}

pub fn cgroup_paths(data: &[u8]) {
    let (first, rest) = data.split_first().unwrap_or((&0, &[]));
    let mut config = config();
    config["linux"]["cgroupsPath"] = json!(String::from_utf8_lossy(rest));
    plan_of(&config, Circumstances::of(*first));
}
