use super::*;
use crate::error::{Report, sentence};
use oci_spec::runtime::{Capability, LinuxSchedulerFlag};
use serde_json::{Value, json};
use std::fs;

fn base() -> Value {
    json!({
        "ociVersion": "1.3.0",
        "process": {"cwd": "/", "user": {"uid": 0, "gid": 0}, "args": ["sh"]},
        "root": {"path": "rootfs"},
        "linux": {"resources": {}}
    })
}

/// The base config with the value at `pointer` (whose parent exists) set.
fn with(pointer: &str, value: Value) -> Value {
    let mut config = base();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    config.pointer_mut(parent).unwrap()[name] = value;
    config
}

fn parsed(config: &Value) -> Result<Loaded, ParseError> {
    parse(config.to_string().as_bytes())
}

fn fault(config: &Value) -> String {
    sentence(&parsed(config).unwrap_err())
}

fn text_fault(text: &[u8]) -> String {
    sentence(&parse(text).unwrap_err())
}

#[test]
fn a_plain_config_is_typed_without_warnings() {
    let loaded = parsed(&base()).unwrap();
    assert_eq!(loaded.spec.version(), "1.3.0");
    assert!(loaded.warnings.is_empty());
    assert_eq!(loaded.extras, Extras::default());
}

#[test]
fn the_smallest_config_is_a_version() {
    assert!(parse(br#"{"ociVersion":"1.0.0"}"#).is_ok());
}

/// CFG-2
#[test]
fn versions() {
    let mut config = base();
    config.as_object_mut().unwrap().remove("ociVersion");
    assert_eq!(fault(&config), "/ociVersion: is missing");
    assert_eq!(
        fault(&with("/ociVersion", "2.0.0".into())),
        "/ociVersion: version 2.0.0 is not supported, only 1.0.0 and later 1.x"
    );
    assert_eq!(
        fault(&with("/ociVersion", "one".into())),
        "/ociVersion: \"one\" is not a version of the form 1.3.0 (SemVer 2.0.0)"
    );
    assert_eq!(
        fault(&with("/ociVersion", 1.into())),
        "/ociVersion: invalid type: integer `1`, expected a string"
    );
}

/// CFG-4
#[test]
fn unknown_capabilities_are_listed_and_dropped() {
    let sets = json!({
        "bounding": ["CAP_KILL", "CAP_NEW", "CAP_CHOWN"],
        "ambient": ["CAP_OTHER"],
        "effective": []
    });
    let loaded = parsed(&with("/process/capabilities", sets)).unwrap();
    assert_eq!(
        loaded.warnings[0].to_string(),
        "ignoring unknown capabilities: CAP_NEW (/process/capabilities/bounding/1), \
         CAP_OTHER (/process/capabilities/ambient/0)"
    );
    assert_eq!(loaded.warnings.len(), 1);
    let process = loaded.spec.process().as_ref().unwrap();
    let sets = process.capabilities().as_ref().unwrap();
    let bounding = sets.bounding().as_ref().unwrap();
    assert_eq!(bounding.len(), 2);
    assert!(bounding.contains(&Capability::Kill) && bounding.contains(&Capability::Chown));
    assert!(sets.ambient().as_ref().unwrap().is_empty());
    assert!(sets.permitted().is_none());
}

/// CFG-4
#[test]
fn names_out_of_a_list_are_errors_with_their_pointer() {
    let seccomp = |member: &str, value: Value| {
        let mut seccomp = json!({"defaultAction": "SCMP_ACT_ALLOW"});
        seccomp[member] = value;
        with("/linux/seccomp", seccomp)
    };
    let rlimits = json!([{"type": "RLIMIT_X", "soft": 1, "hard": 1}]);
    for (config, expected) in [
        (
            with("/process/rlimits", rlimits),
            "/process/rlimits/0/type: unknown rlimit type \"RLIMIT_X\"",
        ),
        (
            seccomp("flags", json!(["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_X"])),
            "/linux/seccomp/flags/1: unknown seccomp flag \"SECCOMP_FILTER_FLAG_X\"",
        ),
        (
            seccomp("defaultAction", "SCMP_ACT_X".into()),
            "/linux/seccomp/defaultAction: unknown seccomp action \"SCMP_ACT_X\"",
        ),
        (
            seccomp("architectures", json!(["SCMP_ARCH_Z80"])),
            "/linux/seccomp/architectures/0: unknown seccomp architecture \"SCMP_ARCH_Z80\"",
        ),
        (
            seccomp("syscalls", json!([{"names": ["read"], "action": "DENY"}])),
            "/linux/seccomp/syscalls/0/action: unknown seccomp action \"DENY\"",
        ),
        (
            with("/linux/namespaces", json!([{"type": "mnt"}])),
            "/linux/namespaces/0/type: unknown namespace type \"mnt\"",
        ),
        (
            with("/process/scheduler", json!({"policy": "SCHED_FAST"})),
            "/process/scheduler/policy: unknown scheduler policy \"SCHED_FAST\"",
        ),
    ] {
        assert_eq!(fault(&config), expected);
    }
}

/// CFG-3
#[test]
fn required_members_are_named() {
    for (config, expected) in [
        (with("/process", json!({"args": ["sh"]})), "/process/cwd: is missing"),
        (with("/mounts", json!([{"type": "tmpfs"}])), "/mounts/0/destination: is missing"),
        (with("/root", json!({"readonly": true})), "/root/path: is missing"),
        (
            with("/process/rlimits", json!([{"type": "RLIMIT_CORE", "soft": 0}])),
            "/process/rlimits/0/hard: is missing",
        ),
        (
            with("/process/ioPriority", json!({"priority": 1})),
            "/process/ioPriority/class: is missing",
        ),
        (
            with("/linux/uidMappings", json!([{"containerID": 0, "size": 1}])),
            "/linux/uidMappings/0/hostID: is missing",
        ),
        (
            with("/linux/resources/hugepageLimits", json!([{"pageSize": "2MB"}])),
            "/linux/resources/hugepageLimits/0/limit: is missing",
        ),
        (
            with(
                "/linux/resources/blockIO",
                json!({"throttleReadBpsDevice": [{"major": 8, "rate": 1}]}),
            ),
            "/linux/resources/blockIO/throttleReadBpsDevice/0/minor: is missing",
        ),
        (with("/linux/seccomp", json!({})), "/linux/seccomp/defaultAction: is missing"),
    ] {
        assert_eq!(fault(&config), expected);
    }
}

#[test]
fn values_that_look_absent_but_are_given_are_accepted() {
    let rlimits = json!([{"type": "RLIMIT_CORE", "soft": 0, "hard": 0}]);
    assert!(parsed(&with("/process/rlimits", rlimits)).is_ok());
    let priority = json!({"class": "IOPRIO_CLASS_BE", "priority": 0});
    assert!(parsed(&with("/process/ioPriority", priority)).is_ok());
    let mappings = json!([{"containerID": 0, "hostID": 0, "size": 1}]);
    assert!(parsed(&with("/linux/uidMappings", mappings)).is_ok());
    let size = json!({"height": 0, "width": 0});
    assert!(parsed(&with("/process/consoleSize", size)).is_ok());
}

#[test]
fn pids_limit_is_told_from_its_absence() {
    let limit =
        |pids: Value| parsed(&with("/linux/resources/pids", pids)).unwrap().extras.pids_limit;
    assert_eq!(limit(json!({"limit": 0})), Some(0));
    assert_eq!(limit(json!({"limit": -1})), Some(-1));
    assert_eq!(limit(json!({"limit": 7})), Some(7));
    assert_eq!(limit(json!({})), None);
    assert_eq!(limit(json!({"limit": null})), None);
    assert_eq!(parsed(&base()).unwrap().extras.pids_limit, None);
}

/// CFG-5
#[test]
fn hugepage_limits_may_have_all_64_bits() {
    let limits = json!([
        {"pageSize": "2MB", "limit": 4096},
        {"pageSize": "1GB", "limit": u64::MAX}
    ]);
    let loaded = parsed(&with("/linux/resources/hugepageLimits", limits)).unwrap();
    let resources = loaded.spec.linux().as_ref().unwrap().resources().as_ref().unwrap();
    let limits = resources.hugepage_limits().iter().flatten().map(|page| page.limit());
    assert_eq!(limits.collect::<Vec<_>>(), [4096, i64::MAX]);
    let limits = json!([{"pageSize": "2MB", "limit": -1}]);
    assert_eq!(
        fault(&with("/linux/resources/hugepageLimits", limits)),
        "/linux/resources/hugepageLimits/0/limit: -1 is below zero"
    );
}

#[test]
fn scheduler_flags_have_the_names_of_the_specification() {
    let flags = [
        ("SCHED_FLAG_RESET_ON_FORK", LinuxSchedulerFlag::SchedResetOnFork),
        ("SCHED_FLAG_RECLAIM", LinuxSchedulerFlag::SchedFlagReclaim),
        ("SCHED_FLAG_DL_OVERRUN", LinuxSchedulerFlag::SchedFlagDLOverrun),
        ("SCHED_FLAG_KEEP_POLICY", LinuxSchedulerFlag::SchedFlagKeepPolicy),
        ("SCHED_FLAG_KEEP_PARAMS", LinuxSchedulerFlag::SchedFlagKeepParams),
        ("SCHED_FLAG_UTIL_CLAMP_MIN", LinuxSchedulerFlag::SchedFlagUtilClampMin),
        ("SCHED_FLAG_UTIL_CLAMP_MAX", LinuxSchedulerFlag::SchedFlagUtilClampMax),
    ];
    for (name, flag) in flags {
        let scheduler = json!({"policy": "SCHED_DEADLINE", "flags": [name]});
        let loaded = parsed(&with("/process/scheduler", scheduler)).unwrap();
        let process = loaded.spec.process().as_ref().unwrap();
        let scheduler = process.scheduler().as_ref().unwrap();
        assert_eq!(scheduler.flags().as_ref().unwrap(), &[flag], "{name}");
    }
}

#[test]
fn every_name_of_the_schema_is_read() {
    let archs = [
        "X86",
        "X86_64",
        "X32",
        "ARM",
        "AARCH64",
        "LOONGARCH64",
        "M68K",
        "MIPS",
        "MIPS64",
        "MIPS64N32",
        "MIPSEL",
        "MIPSEL64",
        "MIPSEL64N32",
        "PPC",
        "PPC64",
        "PPC64LE",
        "S390",
        "S390X",
        "SH",
        "SHEB",
        "PARISC",
        "PARISC64",
        "RISCV64",
    ];
    let archs: Vec<String> = archs.iter().map(|arch| format!("SCMP_ARCH_{arch}")).collect();
    let seccomp = json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": archs,
        "flags": [
            "SECCOMP_FILTER_FLAG_TSYNC",
            "SECCOMP_FILTER_FLAG_LOG",
            "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
            "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"
        ]
    });
    assert!(parsed(&with("/linux/seccomp", seccomp)).is_ok());
    for action in
        ["KILL", "KILL_PROCESS", "KILL_THREAD", "TRAP", "ERRNO", "TRACE", "ALLOW", "LOG", "NOTIFY"]
    {
        let seccomp = json!({"defaultAction": format!("SCMP_ACT_{action}")});
        assert!(parsed(&with("/linux/seccomp", seccomp)).is_ok(), "{action}");
    }
    for op in ["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"] {
        let args = json!([{"index": 0, "value": u64::MAX, "op": format!("SCMP_CMP_{op}")}]);
        let syscalls = json!([{"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": args}]);
        let seccomp = json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": syscalls});
        assert!(parsed(&with("/linux/seccomp", seccomp)).is_ok(), "{op}");
    }
    for policy in ["OTHER", "FIFO", "RR", "BATCH", "ISO", "IDLE", "DEADLINE"] {
        let scheduler = json!({"policy": format!("SCHED_{policy}")});
        assert!(parsed(&with("/process/scheduler", scheduler)).is_ok(), "{policy}");
    }
    for kind in ["mount", "pid", "network", "uts", "ipc", "user", "cgroup", "time"] {
        assert!(parsed(&with("/linux/namespaces", json!([{"type": kind}]))).is_ok(), "{kind}");
    }
}

/// CFG-5
#[test]
fn cpu_affinity_may_be_empty_or_hold_spaces() {
    let affinity = |value: Value| parsed(&with("/process/execCPUAffinity", value));
    let initial = |loaded: Loaded| {
        let process = loaded.spec.process().clone().unwrap();
        process.exec_cpu_affinity().as_ref().and_then(|affinity| affinity.initial().clone())
    };
    assert_eq!(initial(affinity(json!({"initial": "", "final": "1"})).unwrap()), None);
    assert_eq!(initial(affinity(json!({"initial": "0-3, 7"})).unwrap()).as_deref(), Some("0-3,7"));
    let error = affinity(json!({"final": "one"})).unwrap_err();
    assert_eq!(error.pointer(), Some("/process/execCPUAffinity/final"));
}

/// CFG-3
#[test]
fn what_encoders_write_for_nothing_is_nothing() {
    let config = json!({
        "ociVersion": "1.0.2",
        "process": {"cwd": "/", "args": null, "rlimits": null},
        "mounts": null,
        "hooks": {"poststop": null},
        "windows": {"layerFolders": 1},
        "vm": [],
        "linux": {"resources": {"devices": [{"allow": false, "type": "", "access": "rwm"}]}}
    });
    let loaded = parsed(&config).unwrap();
    assert!(loaded.spec.mounts().is_none());
    let process = loaded.spec.process().as_ref().unwrap();
    assert_eq!((process.user().uid(), process.user().gid()), (0, 0));
    let linux = loaded.spec.linux().as_ref().unwrap();
    let resources = linux.resources().as_ref().unwrap();
    assert!(resources.devices().as_ref().unwrap()[0].typ().is_none());
}

#[test]
fn unknown_members_are_ignored() {
    let mut config = base();
    config["somethingNew"] = json!([[1]]);
    config["process"]["alsoNew"] = json!({"a": 1});
    assert!(parsed(&config).is_ok());
}

#[test]
fn wrong_types_are_named() {
    for (config, expected) in [
        (
            with("/process/cwd", 3.into()),
            "/process/cwd: invalid type: integer `3`, expected path string",
        ),
        (
            with("/process/user", json!({"uid": -1})),
            "/process/user/uid: invalid value: integer `-1`, expected u32",
        ),
        (
            with("/annotations", json!({"a/b": 1})),
            "/annotations/a~1b: invalid type: integer `1`, expected a string",
        ),
        (
            with("/linux/resources/memory", json!({"limit": 1.5})),
            "/linux/resources/memory/limit: invalid type: floating point `1.5`, expected i64",
        ),
        (with("/linux", json!([])), "/linux: is an array, not an object"),
        (with("/mounts", json!([["/proc"]])), "/mounts/0: is an array, not an object"),
        (with("/root", "rootfs".into()), "/root: is a string, not an object"),
        (json!(["1.0.0"]), "the config: is an array, not an object"),
        (json!("x"), "the config: is a string, not an object"),
    ] {
        assert_eq!(fault(&config), expected);
    }
}

/// CFG-3
#[test]
fn members_given_twice_are_refused_where_they_are_read() {
    assert_eq!(
        text_fault(br#"{"ociVersion":"1.0.0","ociVersion":"1.0.1"}"#),
        "/ociVersion: given twice"
    );
    assert_eq!(
        text_fault(br#"{"ociVersion":"1.0.0","linux":{"sysctl":{"a":"1","a":"2"},"sysctl":{}}}"#),
        "/linux/sysctl: given twice"
    );
    assert!(parse(br#"{"ociVersion":"1.0.0","annotations":{"a":"1","a":"2"}}"#).is_ok());
}

/// CFG-1
#[test]
fn broken_texts_get_one_clear_sentence() {
    assert_eq!(text_fault(b""), "the file is empty");
    assert_eq!(text_fault(b" \n\t"), "the file is empty");
    assert_eq!(
        text_fault(b"\xef\xbb\xbf{}"),
        "the file starts with a byte order mark (UTF-8); save it as UTF-8 without one"
    );
    assert_eq!(
        text_fault(b"\xff\xfe{\0}\0"),
        "the file starts with a byte order mark (UTF-16); save it as UTF-8 without one"
    );
    assert_eq!(
        text_fault(br#"{"ociVersion":"1.0.0"} x"#),
        "not JSON: trailing characters at line 1 column 24"
    );
    assert_eq!(
        text_fault(b"{\"ociVersion\":\n"),
        "not JSON: EOF while parsing a value at line 2 column 0"
    );
    assert_eq!(text_fault(b"{'ociVersion'}"), "not JSON: key must be a string at line 1 column 2");
    assert_eq!(
        text_fault(b"{\"ociVersion\":\"\xff\"}"),
        "not JSON: invalid unicode code point at line 1 column 16"
    );
}

/// CFG-1
#[test]
fn deep_nesting_is_refused_whether_read_or_not() {
    for member in ["annotations", "somethingNew"] {
        let nested = "[".repeat(5000) + &"]".repeat(5000);
        let text = format!("{{\"ociVersion\":\"1.0.0\",\"{member}\":{nested}}}");
        let fault = text_fault(text.as_bytes());
        assert!(fault.starts_with("nested deeper than 127 levels at line 1"), "{fault}");
    }
}

/// CFG-1
#[test]
fn files_that_are_not_files_do_not_hold_the_reader_up() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("config.json");
    let shown = config.display().to_string();
    let load_fault = || load(dir.path(), None).unwrap_err();

    assert_eq!(sentence(&load_fault()), format!("open {shown}: no such file or directory"));

    fs::create_dir(&config).unwrap();
    assert_eq!(load_fault().to_string(), format!("open {shown}: a directory, not a regular file"));
    fs::remove_dir(&config).unwrap();

    let made = std::process::Command::new("mkfifo").arg(&config).status().unwrap();
    assert!(made.success());
    assert_eq!(load_fault().to_string(), format!("open {shown}: a fifo, not a regular file"));
    fs::remove_file(&config).unwrap();

    std::os::unix::fs::symlink("/dev/zero", &config).unwrap();
    assert_eq!(
        load_fault().to_string(),
        format!("open {shown}: a character device, not a regular file")
    );
}

/// CFG-1
#[test]
fn large_files_are_refused_before_they_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let file = fs::File::create(dir.path().join("config.json")).unwrap();
    file.set_len(LIMIT + 1).unwrap();
    let error = load(dir.path(), None).unwrap_err();
    assert!(error.to_string().ends_with("config.json: larger than 64 MiB"), "{error}");
}

#[test]
fn a_missing_bundle_is_named_before_its_config() {
    let dir = tempfile::tempdir().unwrap();
    let bundle = dir.path().join("nope");
    let error = load(&bundle, None).unwrap_err();
    assert_eq!(
        sentence(&error),
        format!("open bundle {}: no such file or directory", bundle.display())
    );
    fs::write(&bundle, "").unwrap();
    let error = load(&bundle, None).unwrap_err();
    assert_eq!(sentence(&error), format!("open bundle {}: not a directory", bundle.display()));
}

#[test]
fn another_config_may_be_named() {
    let dir = tempfile::tempdir().unwrap();
    let other = dir.path().join("other.json");
    fs::write(&other, base().to_string()).unwrap();
    assert!(load(dir.path(), Some(&other)).is_ok());
}

#[test]
fn the_facts_of_a_fault_name_file_and_pointer() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.json");
    fs::write(&path, with("/process/cwd", 3.into()).to_string()).unwrap();
    let error = load(dir.path(), None).unwrap_err();
    assert_eq!(
        sentence(&error),
        format!(
            "parse {}: /process/cwd: invalid type: integer `3`, expected path string",
            path.display()
        )
    );
    let facts = error.facts();
    assert_eq!(facts.code, Some("CONFIG_INVALID"));
    assert_eq!(facts.config.as_deref(), Some("/process/cwd"));
    assert_eq!(facts.path, Some(path));
}
