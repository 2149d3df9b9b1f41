//! What a container remembers of its config for processes that come later, and processes that a
//! caller describes in a file of their own.

use std::path::Path;

use oci_spec::runtime::Spec;
use serde::Serialize;

use super::{Error, Loaded, file, parse};

/// The part of a config that holds for every process of the container.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Template<'a> {
    oci_version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    process: Option<&'a oci_spec::runtime::Process>,
    linux: Linux<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Linux<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    personality: Option<&'a oci_spec::runtime::LinuxPersonality>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_policy: Option<&'a oci_spec::runtime::LinuxMemoryPolicy>,
}

/// A config.json that holds nothing but what later processes need; [`super::parse`] reads it.
///
/// # Errors
/// A path that is no UTF-8.
pub fn template(spec: &Spec) -> serde_json::Result<Vec<u8>> {
    let linux = spec.linux().as_ref();
    serde_json::to_vec(&Template {
        oci_version: spec.version(),
        process: spec.process().as_ref(),
        linux: Linux {
            personality: linux.and_then(|linux| linux.personality().as_ref()),
            memory_policy: linux.and_then(|linux| linux.memory_policy().as_ref()),
        },
    })
}

/// Reads a file that holds one process, as in `/process` of a config.json.
///
/// # Errors
/// [`Error`], naming the file.
pub fn load_process(path: &Path) -> Result<Loaded, Error> {
    let text = file::read(path)?;
    parse::parse_process(&text).map_err(|source| Error::Parse { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_keeps_the_process_as_it_was_read() {
        let config = br#"{
            "ociVersion": "1.3.0", "hostname": "x", "root": {"path": "r"},
            "process": {
                "cwd": "/w", "args": ["a"], "env": ["A=1"],
                "user": {"uid": 1, "gid": 2, "umask": 0, "additionalGids": [3]},
                "capabilities": {"bounding": ["CAP_KILL"], "ambient": []},
                "rlimits": [{"type": "RLIMIT_CORE", "soft": 0, "hard": 0}],
                "ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 3},
                "scheduler": {"policy": "SCHED_BATCH", "nice": 1,
                              "flags": ["SCHED_FLAG_RESET_ON_FORK"]},
                "execCPUAffinity": {"initial": "0-1", "final": "0"},
                "noNewPrivileges": true, "oomScoreAdj": -5, "selinuxLabel": "l"
            },
            "linux": {"personality": {"domain": "LINUX32"},
                      "memoryPolicy": {"mode": "MPOL_BIND", "nodes": "0"},
                      "namespaces": [{"type": "pid"}]}
        }"#;
        let before = parse(config).unwrap().spec;
        let after = parse(&template(&before).unwrap()).unwrap().spec;
        assert_eq!(after.process(), before.process());
        let linux = |spec: &Spec| spec.linux().clone().unwrap();
        assert_eq!(linux(&after).personality(), linux(&before).personality());
        assert_eq!(linux(&after).memory_policy(), linux(&before).memory_policy());
        assert_eq!(after.hostname(), &None);
    }

    #[test]
    fn a_process_of_its_own_is_judged_as_in_a_config() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("process.json");
        let load = |text: &str| {
            std::fs::write(&path, text).unwrap();
            load_process(&path)
        };
        let loaded = load(r#"{"cwd": "/", "args": ["x"], "env": null}"#).unwrap();
        let process = loaded.spec.process().as_ref().unwrap();
        assert_eq!(process.args().as_deref().unwrap(), ["x"]);
        assert_eq!(process.user().uid(), 0);
        for (text, fault) in [
            ("", "the file is empty"),
            ("[]", "/process: is an array, not an object"),
            ("{}", "/process/cwd: is missing"),
            (r#"{"cwd": "/", "cwd": "/"}"#, "/process/cwd: given twice"),
            (r#"{"cwd": 1}"#, "/process/cwd"),
            (
                r#"{"cwd": "/", "rlimits": [{"type": "X", "soft": 1, "hard": 1}]}"#,
                "/process/rlimits/0/type: unknown rlimit type \"X\"",
            ),
            (r#"{"cwd": "/"}, "linux": {}"#, "not JSON: trailing characters at line 1 column 13"),
        ] {
            match load(text) {
                Err(Error::Parse { source, .. }) => assert_eq!(source.to_string(), fault),
                other => panic!("{text}: {other:?}"),
            }
        }
    }
}
