//! `features`: what this runtime supports, as runtime-spec's features.md describes it.
//!
//! Names come out of the tables that the code itself looks into. A member that is absent means
//! «unknown», so lists that are known to be empty are written as such.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::plan::hooks::Point;
use crate::plan::namespaces::Kind;
use crate::plan::{annotations, caps, mounts, sched, seccomp};

/// The version of this crate.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit that was built, as the environment variable `CLOISON_COMMIT` named it then.
pub fn commit() -> &'static str {
    option_env!("CLOISON_COMMIT").filter(|commit| !commit.is_empty()).unwrap_or("unknown")
}

/// The object of features.md. Serializes without nulls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Features {
    /// Oldest version of runtime-spec that is understood.
    pub oci_version_min: &'static str,
    /// Newest version of runtime-spec that is understood.
    pub oci_version_max: &'static str,
    /// Keys of `/hooks`.
    pub hooks: Vec<&'static str>,
    /// Mount options that are not left to the file system.
    pub mount_options: &'static [&'static str],
    /// What is special to Linux.
    pub linux: Linux,
    /// Name and version of the implementation.
    pub annotations: BTreeMap<&'static str, &'static str>,
    /// Annotations that an engine should not take from strangers.
    pub potentially_unsafe_config_annotations: Vec<&'static str>,
}

/// features-linux.md.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Linux {
    /// Types of `/linux/namespaces`.
    pub namespaces: Vec<&'static str>,
    /// Names for `/process/capabilities`.
    pub capabilities: &'static [&'static str],
    /// Ways of `/linux/resources` into the kernel.
    pub cgroup: Cgroup,
    /// What `/linux/seccomp` may hold.
    pub seccomp: Seccomp,
    /// `/process/apparmorProfile`
    pub apparmor: Enabled,
    /// `/process/selinuxLabel`
    pub selinux: Enabled,
    /// `/linux/intelRdt`
    pub intel_rdt: IntelRdt,
    /// `/linux/memoryPolicy`
    pub memory_policy: MemoryPolicy,
    /// Mounts beyond mount(2).
    pub mount_extensions: MountExtensions,
    /// `/linux/netDevices`
    pub net_devices: Enabled,
}

/// Whether a part of config.json is carried out, on a host that supports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Enabled {
    /// Yes or no.
    pub enabled: bool,
}

/// Ways of `/linux/resources` into the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cgroup {
    /// Legacy and hybrid hierarchies.
    pub v1: bool,
    /// The unified hierarchy.
    pub v2: bool,
    /// Scopes of the system's systemd.
    pub systemd: bool,
    /// Scopes of a user's systemd.
    pub systemd_user: bool,
    /// `/linux/resources/rdma`
    pub rdma: bool,
}

/// What `/linux/seccomp` may hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Seccomp {
    /// Whether filters are installed at all.
    pub enabled: bool,
    /// Names for `action` and `defaultAction`.
    pub actions: &'static [&'static str],
    /// Names for `op`.
    pub operators: &'static [&'static str],
    /// Names for `architectures` for which filters can be made.
    pub archs: Vec<&'static str>,
    /// Names for `flags`.
    pub known_flags: Vec<&'static str>,
    /// Those of them that are carried out, on a kernel that has them.
    pub supported_flags: Vec<&'static str>,
}

/// `/linux/intelRdt`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct IntelRdt {
    /// Whether it is carried out at all.
    pub enabled: bool,
    /// `schemata`
    pub schemata: bool,
    /// `enableMonitoring`
    pub monitoring: bool,
}

/// `/linux/memoryPolicy`
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MemoryPolicy {
    /// Names for `mode`.
    pub modes: Vec<String>,
    /// Names for `flags`.
    pub flags: Vec<String>,
}

/// Mounts beyond mount(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct MountExtensions {
    /// `uidMappings` and `gidMappings` of a mount.
    pub idmap: Enabled,
}

/// What this build supports, whatever the host.
pub fn features() -> Features {
    Features {
        oci_version_min: crate::spec::VERSION_MIN,
        oci_version_max: crate::spec::VERSION,
        hooks: Point::ALL.iter().map(|point| point.name()).collect(),
        mount_options: mounts::OPTIONS,
        linux: linux(),
        annotations: BTreeMap::from([("cloison.version", VERSION), ("cloison.commit", commit())]),
        potentially_unsafe_config_annotations: annotations::acted_on(),
    }
}

fn linux() -> Linux {
    let mut namespaces: Vec<_> = Kind::ALL.iter().map(|kind| kind.name()).collect();
    namespaces.sort_unstable();
    Linux {
        namespaces,
        capabilities: &caps::NAMES,
        cgroup: Cgroup {
            v1: cfg!(feature = "cgroup-v1"),
            v2: true,
            systemd: true,
            systemd_user: true,
            rdma: true,
        },
        seccomp: seccomp_features(),
        apparmor: Enabled { enabled: true },
        selinux: Enabled { enabled: true },
        intel_rdt: IntelRdt { enabled: true, schemata: true, monitoring: true },
        memory_policy: MemoryPolicy {
            modes: sched::MEMORY_MODES.iter().map(|(mode, _)| mode.to_string()).collect(),
            flags: sched::MEMORY_FLAGS.iter().map(|(flag, _)| flag.to_string()).collect(),
        },
        mount_extensions: MountExtensions {
            idmap: Enabled { enabled: mounts::OPTIONS.contains(&"idmap") },
        },
        net_devices: Enabled { enabled: true },
    }
}

fn seccomp_features() -> Seccomp {
    let flags: Vec<_> = seccomp::FLAGS.iter().map(|(name, _)| *name).collect();
    Seccomp {
        enabled: true,
        actions: &seccomp::ACTIONS,
        operators: &seccomp::OPERATORS,
        archs: crate::seccomp::architectures(),
        known_flags: flags.clone(),
        supported_flags: flags,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn nulls(value: &Value) -> bool {
        match value {
            Value::Null => true,
            Value::Array(items) => items.iter().any(nulls),
            Value::Object(members) => members.values().any(nulls),
            _ => false,
        }
    }

    /// FEA-1
    #[test]
    fn the_object_is_that_of_the_specification() {
        let text = serde_json::to_string(&features()).unwrap();
        let value: Value = serde_json::from_str(&text).unwrap();
        assert!(!nulls(&value));
        serde_json::from_str::<oci_spec::runtime::Features>(&text).unwrap();
        assert_eq!(value["ociVersionMin"], "1.0.0");
        assert_eq!(value["ociVersionMax"], "1.3.0");
        assert_eq!(value["hooks"].as_array().unwrap().len(), 6);
        assert_eq!(value["linux"]["namespaces"][0], "cgroup");
        assert!(value["linux"]["cgroup"]["systemdUser"].is_boolean());
    }

    /// FEA-2
    #[test]
    fn engines_find_recursive_read_only_mounts() {
        assert!(features().mount_options.contains(&"rro"));
    }

    /// FEA-1: each name that is listed must be one that a config can use.
    #[test]
    fn what_is_listed_can_be_parsed() {
        let features = features();
        let reads = |config: Value| {
            let loaded = crate::spec::parse(config.to_string().as_bytes()).unwrap();
            assert!(loaded.warnings.is_empty(), "{config}");
        };
        let linux = |linux: Value| reads(json!({"ociVersion": "1.3.0", "linux": linux}));
        for name in &features.linux.namespaces {
            linux(json!({"namespaces": [{"type": name}]}));
        }
        for name in features.linux.seccomp.actions {
            linux(json!({"seccomp": {"defaultAction": name}}));
        }
        linux(json!({"seccomp": {
            "defaultAction": "SCMP_ACT_ALLOW",
            "architectures": features.linux.seccomp.archs,
            "flags": features.linux.seccomp.known_flags,
        }}));
        for mode in &features.linux.memory_policy.modes {
            linux(json!({"memoryPolicy": {"mode": mode}}));
        }
        linux(json!({"memoryPolicy": {
            "mode": "MPOL_BIND", "nodes": "0", "flags": features.linux.memory_policy.flags,
        }}));
        let capabilities = json!({"bounding": features.linux.capabilities});
        let process = json!({"cwd": "/", "user": {}, "capabilities": capabilities});
        reads(json!({"ociVersion": "1.3.0", "process": process}));
    }

    /// FEA-1
    #[test]
    fn annotations_that_are_acted_on_are_listed() {
        let listed = features().potentially_unsafe_config_annotations;
        assert!(listed.contains(&"org.systemd.property."), "a prefix ends with a dot");
        assert!(listed.contains(&"run.oci.keep_original_groups"));
        assert!(!listed.contains(&"run.oci.handler"));
    }

    /// FEA-2: what is left to the file system is in no table of ours.
    #[test]
    fn no_option_is_left_to_the_file_system() {
        for option in features().mount_options {
            assert!(!option.contains('='), "{option}");
        }
        for option in ["size", "mode", "uid", "gid", "lowerdir", "hidepid"] {
            assert!(!features().mount_options.contains(&option), "{option}");
        }
    }

    #[test]
    fn both_versions_are_accepted() {
        let features = features();
        for version in [features.oci_version_min, features.oci_version_max] {
            crate::spec::parse(json!({"ociVersion": version}).to_string().as_bytes()).unwrap();
        }
        assert!(features.oci_version_min <= features.oci_version_max);
    }

    /// FEA-3: each section that is claimed stands for a config that is carried out.
    #[test]
    fn what_is_claimed_can_be_planned() {
        let linux = features().linux;
        assert!(linux.mount_extensions.idmap.enabled && linux.net_devices.enabled);
        assert!(linux.intel_rdt.enabled && linux.intel_rdt.schemata && linux.intel_rdt.monitoring);
    }
}
