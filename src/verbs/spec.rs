//! `spec`: a config.json to start from.
//!
//! The config of this verb is a file of the source tree, so that it reads as what it is; what
//! differs for a user who is not root are edits of that text.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::error::{Facts, Report};

const DEFAULT: &str = include_str!("default-config.json");

/// A private cgroup namespace is of use where the container's /sys/fs/cgroup is the one hierarchy.
const MOUNT_NAMESPACE: &str = "{\n\t\t\t\t\"type\": \"mount\"\n\t\t\t}";
const CGROUP_NAMESPACE: &str = "{\n\t\t\t\t\"type\": \"cgroup\"\n\t\t\t}";
const NETWORK_NAMESPACE: &str = "{\n\t\t\t\t\"type\": \"network\"\n\t\t\t},\n\t\t\t";
const USER_NAMESPACE: &str = "{\n\t\t\t\t\"type\": \"user\"\n\t\t\t}";

/// A group that a one-entry id map does not contain cannot own a terminal.
const PTS_GROUP: &str = ",\n\t\t\t\t\"gid=5\"";

/// A new sysfs needs a network namespace of one's own; the host's is bound instead.
const SYSFS: &str = "\"type\": \"sysfs\",\n\t\t\t\"source\": \"sysfs\",\n\t\t\t\"options\": [";
const SYSFS_BIND: &str =
    "\"type\": \"none\",\n\t\t\t\"source\": \"/sys\",\n\t\t\t\"options\": [\n\t\t\t\t\"rbind\",";

/// Limits need a cgroup that is delegated to the user, so none are set.
const RESOURCES: &str = "\"resources\": {\n\t\t\t\"devices\": [\n\t\t\t\t{\n\t\t\t\t\t\"allow\": false,\
                         \n\t\t\t\t\t\"access\": \"rwm\"\n\t\t\t\t}\n\t\t\t]\n\t\t}";

/// Which config is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// For root.
    Root,
    /// For a user without privileges, who becomes root in a user namespace.
    Rootless {
        /// The user's id, mapped to 0.
        uid: u32,
        /// The user's group, mapped to 0.
        gid: u32,
    },
}

/// Whether the container gets a cgroup namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CgroupNamespace {
    /// A new one.
    New,
    /// The host's.
    Host,
}

/// Why there is no new config.json.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is one already.
    #[error("create {path}: file exists, remove it first")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// It could not be created or written.
    #[error("create {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
}

impl Report for Error {
    fn facts(&self) -> Facts {
        let (code, path) = match self {
            Self::Exists { path } => ("EXISTS", path),
            Self::Write { path, .. } => ("OUTPUT_FAILED", path),
        };
        Facts { code: Some(code), path: Some(path.clone()), ..Facts::default() }
    }
}

/// Writes config.json into `bundle`, which must not hold one.
///
/// # Errors
/// [`Error`], naming the file.
pub fn write(bundle: &Path, form: Form) -> Result<(), Error> {
    let path = bundle.join("config.json");
    let file = OpenOptions::new().write(true).create_new(true).open(&path);
    let written = file.and_then(|mut file| file.write_all(text(form, host_form()).as_bytes()));
    written.map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => Error::Exists { path },
        _ => Error::Write { path, source },
    })
}

/// The text of the config, indented with tabs.
pub fn text(form: Form, cgroup: CgroupNamespace) -> String {
    let mut namespaces = vec![MOUNT_NAMESPACE];
    if cgroup == CgroupNamespace::New {
        namespaces.push(CGROUP_NAMESPACE);
    }
    let mut text = DEFAULT.to_owned();
    if let Form::Rootless { uid, gid } = form {
        namespaces.push(USER_NAMESPACE);
        text = text
            .replacen(PTS_GROUP, "", 1)
            .replacen(SYSFS, SYSFS_BIND, 1)
            .replacen(NETWORK_NAMESPACE, "", 1)
            .replacen(RESOURCES, &mappings(uid, gid), 1);
    }
    text.replacen(MOUNT_NAMESPACE, &namespaces.join(",\n\t\t\t"), 1)
}

fn mappings(uid: u32, gid: u32) -> String {
    let mapping = |name: &str, id: u32| {
        format!(
            "\"{name}\": [\n\t\t\t{{\n\t\t\t\t\"containerID\": 0,\n\t\t\t\t\"hostID\": {id},\
             \n\t\t\t\t\"size\": 1\n\t\t\t}}\n\t\t]"
        )
    };
    format!("{},\n\t\t{}", mapping("uidMappings", uid), mapping("gidMappings", gid))
}

/// The root of a pure v2 host has this file (cgroups(7)).
fn host_form() -> CgroupNamespace {
    match fs::exists("/sys/fs/cgroup/cgroup.controllers") {
        Ok(true) => CgroupNamespace::New,
        _ => CgroupNamespace::Host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const ROOTLESS: Form = Form::Rootless { uid: 1000, gid: 100 };

    fn value(form: Form, cgroup: CgroupNamespace) -> Value {
        let text = text(form, cgroup);
        let loaded = crate::spec::parse(text.as_bytes()).unwrap();
        assert!(loaded.warnings.is_empty());
        assert_eq!(loaded.spec.version(), crate::spec::VERSION);
        serde_json::from_str(&text).unwrap()
    }

    fn namespaces(config: &Value) -> Vec<&str> {
        let namespaces = config["linux"]["namespaces"].as_array().unwrap();
        namespaces.iter().map(|namespace| namespace["type"].as_str().unwrap()).collect()
    }

    #[test]
    fn the_default_is_the_file_of_the_source_tree() {
        assert_eq!(text(Form::Root, CgroupNamespace::Host), DEFAULT);
        let config = value(Form::Root, CgroupNamespace::New);
        assert_eq!(namespaces(&config), ["pid", "network", "ipc", "uts", "mount", "cgroup"]);
    }

    /// RES-5
    #[test]
    fn the_rootless_form_differs_only_where_it_must() {
        let mut expected = value(Form::Root, CgroupNamespace::Host);
        let linux = expected["linux"].as_object_mut().unwrap();
        linux.remove("resources");
        linux["namespaces"] = json!([
            {"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}, {"type": "user"}
        ]);
        linux.insert("uidMappings".into(), json!([{"containerID": 0, "hostID": 1000, "size": 1}]));
        linux.insert("gidMappings".into(), json!([{"containerID": 0, "hostID": 100, "size": 1}]));
        let mounts = expected["mounts"].as_array_mut().unwrap();
        mounts[2]["options"].as_array_mut().unwrap().pop();
        mounts[5] = json!({
            "destination": "/sys",
            "type": "none",
            "source": "/sys",
            "options": ["rbind", "nosuid", "noexec", "nodev", "ro"]
        });
        assert_eq!(value(ROOTLESS, CgroupNamespace::Host), expected);
        let config = value(ROOTLESS, CgroupNamespace::New);
        assert_eq!(namespaces(&config), ["pid", "ipc", "uts", "mount", "cgroup", "user"]);
    }

    /// RES-5
    #[test]
    fn an_existing_config_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        write(dir.path(), ROOTLESS).unwrap();
        let before = fs::read(&path).unwrap();
        let error = write(dir.path(), Form::Root).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("create {}: file exists, remove it first", path.display())
        );
        assert_eq!(fs::read(&path).unwrap(), before);
    }

    #[test]
    fn a_missing_bundle_is_named() {
        let error = write(Path::new("/nonexistent"), Form::Root).unwrap_err();
        assert_eq!(
            crate::error::sentence(&error),
            "create /nonexistent/config.json: no such file or directory"
        );
    }
}
