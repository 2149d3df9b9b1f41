//! Bad input: a malformed or contradictory configuration, or command line,
//! gets a non-zero exit and one clear sentence, on stderr and in the log, that
//! names the place in the JSON document or the file; and it leaves nothing
//! behind, before anybody deletes.
//!
//! One row of [`configurations`] is one test; [`ACCEPTED`] lists what other
//! runtimes let pass.

use std::fs;

use nix::sys::stat::Mode;
use serde_json::{Value, json};

use crate::harness::{Bundle, Finished, Namespace, Outcome, Sandbox, Test, needs};

/// A spoilt configuration.
struct Row {
    name: &'static str,
    /// What cloison's sentence must contain: a JSON pointer or a file.
    names: &'static str,
    spoil: Box<dyn Fn(Bundle) -> Bundle + Send + Sync>,
}

fn row(
    name: &'static str,
    names: &'static str,
    spoil: impl Fn(Bundle) -> Bundle + Send + Sync + 'static,
) -> Row {
    Row { name, names, spoil: Box::new(spoil) }
}

/// A row that sets one field.
fn set(name: &'static str, names: &'static str, pointer: &'static str, value: Value) -> Row {
    row(name, names, move |bundle| bundle.set(pointer, value.clone()))
}

/// A row that appends to one array.
fn push(name: &'static str, names: &'static str, pointer: &'static str, value: Value) -> Row {
    row(name, names, move |bundle| bundle.push(pointer, value.clone()))
}

/// A row that removes one field.
fn unset(name: &'static str, names: &'static str, pointer: &'static str) -> Row {
    row(name, names, move |bundle| bundle.unset(pointer))
}

/// A row that is no configuration at all.
fn text(name: &'static str, names: &'static str, text: &'static [u8]) -> Row {
    row(name, names, move |bundle| bundle.text(text))
}

fn configurations() -> Vec<Row> {
    [documents(), processes(), roots_and_mounts(), namespaces(), linux(), hooks()]
        .into_iter()
        .flatten()
        .collect()
}

fn documents() -> Vec<Row> {
    vec![
        row("no_file", "config.json", |bundle| {
            std::os::unix::fs::symlink("nowhere", bundle.dir().join("config.json"))
                .expect("symlink");
            bundle
        }),
        row("file_is_a_directory", "config.json", |bundle| {
            fs::create_dir(bundle.dir().join("config.json")).expect("mkdir");
            bundle
        }),
        row("file_is_a_pipe", "config.json", |bundle| {
            let pipe = bundle.dir().join("config.json");
            nix::unistd::mkfifo(&pipe, Mode::from_bits_truncate(0o600)).expect("mkfifo");
            bundle
        }),
        text("empty_file", "config.json", b""),
        text("not_json", "config.json", b"ociVersion: 1.0.2\n"),
        text("an_array", "config.json", b"[]"),
        text("not_utf8", "config.json", b"{\"ociVersion\": \"\xff\"}"),
        row("cut_short", "config.json", |bundle| {
            let mut whole = bundle.config().to_string();
            whole.truncate(whole.len() / 2);
            bundle.text(whole)
        }),
        row("followed_by_more", "config.json", |bundle| {
            let whole = bundle.config().to_string();
            bundle.text(whole + "}")
        }),
        row("nested_without_end", "config.json", |bundle| bundle.text("[".repeat(1_000_000))),
        row("nested_in_an_unknown_field", "config.json", |bundle| {
            let deep = "[".repeat(100_000) + &"]".repeat(100_000);
            let whole = bundle.config().to_string();
            bundle.text(whole.replacen('{', &format!("{{\"noSuchField\":{deep},"), 1))
        }),
        row("number_without_end", "config.json", |bundle| {
            let whole = bundle.config().to_string();
            let limit = format!(
                "\"linux\":{{\"resources\":{{\"pids\":{{\"limit\":1e{}}}}},",
                "9".repeat(100)
            );
            bundle.text(whole.replacen("\"linux\":{", &limit, 1))
        }),
        unset("no_version", "ociVersion", "/ociVersion"),
        set("empty_version", "/ociVersion", "/ociVersion", json!("")),
        set("later_major_version", "/ociVersion", "/ociVersion", json!("2.0.0")),
        set("version_is_no_version", "/ociVersion", "/ociVersion", json!("latest")),
        set("version_is_a_number", "/ociVersion", "/ociVersion", json!(1)),
    ]
}

fn processes() -> Vec<Row> {
    vec![
        set("process_is_a_string", "/process", "/process", json!("sh")),
        unset("no_args", "/process/args", "/process/args"),
        set("empty_args", "/process/args", "/process/args", json!([])),
        set("args_is_a_string", "/process/args", "/process/args", json!("sh")),
        set("empty_program", "/process/args/0", "/process/args", json!([""])),
        set("argument_is_a_number", "/process/args/1", "/process/args", json!(["sh", 1])),
        set("nul_in_argument", "/process/args/1", "/process/args", json!(["echo", "a\0b"])),
        set("env_is_an_object", "/process/env", "/process/env", json!({"PATH": "/bin"})),
        push("nul_in_environment", "/process/env/2", "/process/env", json!("A=b\0c")),
        unset("no_cwd", "/process/cwd", "/process/cwd"),
        set("empty_cwd", "/process/cwd", "/process/cwd", json!("")),
        set("relative_cwd", "/process/cwd", "/process/cwd", json!("tmp")),
        set("cwd_is_a_file", "/process/cwd", "/process/cwd", json!("/etc/passwd")),
        set("uid_is_negative", "/process/user/uid", "/process/user/uid", json!(-1)),
        set("uid_is_a_string", "/process/user/uid", "/process/user/uid", json!("root")),
        set("uid_is_too_big", "/process/user/uid", "/process/user/uid", json!(4_294_967_296_u64)),
        set(
            "uid_is_the_invalid_one",
            "/process/user/uid",
            "/process/user/uid",
            json!(4_294_967_295_u64),
        ),
        set("umask_is_too_big", "/process/user/umask", "/process/user/umask", json!(0o1000)),
        set(
            "additional_gid_is_negative",
            "/process/user/additionalGids/1",
            "/process/user/additionalGids",
            json!([1, -1]),
        ),
        set("terminal_is_a_string", "/process/terminal", "/process/terminal", json!("yes")),
        set(
            "capabilities_are_a_list",
            "/process/capabilities",
            "/process/capabilities",
            json!(["CAP_KILL"]),
        ),
        set(
            "capability_is_a_number",
            "/process/capabilities/bounding/0",
            "/process/capabilities/bounding",
            json!([5]),
        ),
        set(
            "unknown_limit",
            "/process/rlimits/0/type",
            "/process/rlimits",
            json!([{"type": "RLIMIT_NOSUCH", "soft": 1, "hard": 1}]),
        ),
        set(
            "limit_given_twice",
            "/process/rlimits/1",
            "/process/rlimits",
            json!([{"type": "RLIMIT_CORE", "soft": 0, "hard": 0}, {"type": "RLIMIT_CORE", "soft": 1, "hard": 1}]),
        ),
        set(
            "soft_limit_above_hard",
            "/process/rlimits/0",
            "/process/rlimits",
            json!([{"type": "RLIMIT_CORE", "soft": 2, "hard": 1}]),
        ),
        set(
            "negative_limit",
            "/process/rlimits/0/soft",
            "/process/rlimits",
            json!([{"type": "RLIMIT_CORE", "soft": -1, "hard": 1}]),
        ),
        set("oom_score_out_of_range", "/process/oomScoreAdj", "/process/oomScoreAdj", json!(1001)),
        set("oom_score_is_a_fraction", "/process/oomScoreAdj", "/process/oomScoreAdj", json!(0.5)),
        set(
            "unknown_io_class",
            "/process/ioPriority/class",
            "/process/ioPriority",
            json!({"class": "IOPRIO_CLASS_NOSUCH", "priority": 1}),
        ),
        set(
            "unknown_scheduler",
            "/process/scheduler/policy",
            "/process/scheduler",
            json!({"policy": "SCHED_NOSUCH"}),
        ),
    ]
}

/// A mount with this and that.
fn mount(name: &'static str, names: &'static str, mount: Value) -> Row {
    push(name, names, "/mounts", mount)
}

fn roots_and_mounts() -> Vec<Row> {
    vec![
        unset("no_root", "/root", "/root"),
        unset("no_root_path", "/root/path", "/root/path"),
        set("empty_root_path", "/root/path", "/root/path", json!("")),
        set("missing_root", "/root/path", "/root/path", json!("no-such-rootfs")),
        set("root_is_a_file", "/root/path", "/root/path", json!("rootfs/etc/passwd")),
        set("nul_in_root_path", "/root/path", "/root/path", json!("rootfs\0")),
        set("readonly_is_a_number", "/root/readonly", "/root/readonly", json!(1)),
        row("hostname_of_the_host", "/hostname", |bundle| bundle.without_namespace("uts")),
        row("domainname_of_the_host", "/domainname", |bundle| {
            bundle.without_namespace("uts").unset("/hostname").set("/domainname", "example")
        }),
        set("hostname_is_too_long", "/hostname", "/hostname", json!("x".repeat(65))),
        mount(
            "mount_without_destination",
            "/mounts/6/destination",
            json!({"type": "tmpfs", "source": "t"}),
        ),
        mount(
            "bind_without_source",
            "/mounts/6/source",
            json!({"destination": "/m", "options": ["bind"]}),
        ),
        mount(
            "missing_bind_source",
            "/mounts/6/source",
            json!({"destination": "/m", "source": "/no/such/source", "options": ["bind"]}),
        ),
        mount(
            "unknown_file_system",
            "/mounts/6",
            json!({"destination": "/m", "type": "nosuchfs", "source": "x"}),
        ),
        mount(
            "unknown_mount_option",
            "/mounts/6",
            json!({"destination": "/m", "type": "tmpfs", "source": "t", "options": ["nosuchoption"]}),
        ),
        mount(
            "mount_option_is_a_number",
            "/mounts/6/options/0",
            json!({"destination": "/m", "type": "tmpfs", "source": "t", "options": [1]}),
        ),
        mount(
            "nul_in_mount_option",
            "/mounts/6/options",
            json!({"destination": "/m", "type": "tmpfs", "source": "t", "options": ["size=1\0k"]}),
        ),
        mount(
            "nul_in_destination",
            "/mounts/6/destination",
            json!({"destination": "/m\0n", "type": "tmpfs", "source": "t"}),
        ),
        mount(
            "mount_inside_proc",
            "/mounts/6/destination",
            json!({"destination": "/proc/sys", "type": "tmpfs", "source": "t"}),
        ),
        mount(
            "mount_over_proc",
            "/mounts/6/destination",
            json!({"destination": "/proc", "type": "tmpfs", "source": "t"}),
        ),
        mount(
            "idmap_without_mappings",
            "/mounts/",
            json!({"destination": "/m", "source": "/tmp", "options": ["bind", "idmap"]}),
        ),
        mount(
            "uid_mappings_alone",
            "/mounts/",
            json!({"destination": "/m", "source": "/tmp", "options": ["bind", "idmap"],
                   "uidMappings": [{"containerID": 0, "hostID": 1000, "size": 1}]}),
        ),
        row("directory_bound_on_a_file", "/mounts/6", |bundle| {
            bundle.mount("/etc/passwd", "bind", "/tmp", &["bind"])
        }),
        row("file_bound_on_a_directory", "/mounts/6", |bundle| {
            bundle.mount("/etc", "bind", "/bin/busybox", &["bind"])
        }),
    ]
}

/// The path of a namespace of a type that is not asked for.
fn foreign_namespace() -> String {
    format!("/proc/{}/ns/ipc", std::process::id())
}

fn namespaces() -> Vec<Row> {
    vec![
        push(
            "namespace_given_twice",
            "/linux/namespaces/6",
            "/linux/namespaces",
            json!({"type": "pid"}),
        ),
        push(
            "unknown_namespace",
            "/linux/namespaces/6",
            "/linux/namespaces",
            json!({"type": "nosuch"}),
        ),
        push(
            "namespace_without_type",
            "/linux/namespaces/6",
            "/linux/namespaces",
            json!({"path": "/x"}),
        ),
        row("missing_namespace", "/linux/namespaces/5/path", |bundle| {
            bundle.join_namespace("network", "/no/such/namespace")
        }),
        row("relative_namespace", "/linux/namespaces/5/path", |bundle| {
            bundle.join_namespace("network", "ns/net")
        }),
        row("namespace_is_a_file", "/linux/namespaces/5/path", |bundle| {
            bundle.join_namespace("network", "/etc/passwd")
        }),
        row("namespace_is_a_pipe", "/linux/namespaces/5/path", |bundle| {
            let pipe = bundle.sandbox().path().join("pipe");
            nix::unistd::mkfifo(&pipe, Mode::from_bits_truncate(0o600)).expect("mkfifo");
            bundle.join_namespace("network", pipe.to_str().expect("utf-8"))
        }),
        row("namespace_of_another_type", "/linux/namespaces/5/path", |bundle| {
            bundle.join_namespace("network", &foreign_namespace())
        }),
        row("masked_paths_in_the_hosts_namespace", "/linux/maskedPaths", |bundle| {
            bundle.without_namespace("mount").set("/linux/maskedPaths", json!(["/proc/kcore"]))
        }),
        set(
            "time_offsets_without_namespace",
            "/linux/timeOffsets",
            "/linux/timeOffsets",
            json!({"monotonic": {"secs": 1, "nanosecs": 0}}),
        ),
        row("unknown_clock", "/linux/timeOffsets", |bundle| {
            bundle
                .push("/linux/namespaces", json!({"type": "time"}))
                .set("/linux/timeOffsets", json!({"realtime": {"secs": 1, "nanosecs": 0}}))
        }),
        set(
            "mappings_without_user_namespace",
            "/linux/uidMappings",
            "/linux/uidMappings",
            json!([{"containerID": 0, "hostID": 0, "size": 1}]),
        ),
    ]
}

fn device(name: &'static str, names: &'static str, device: Value) -> Row {
    push(name, names, "/linux/devices", device)
}

fn seccomp(name: &'static str, names: &'static str, seccomp: Value) -> Row {
    set(name, names, "/linux/seccomp", seccomp)
}

/// The value is the host's own: a runtime that lets this pass does no harm.
fn sysctl(name: &'static str, key: &'static str) -> Row {
    row(name, "/linux/sysctl", move |bundle| {
        let value = fs::read_to_string("/proc/sys/kernel/panic").expect("read");
        bundle.set("/linux/sysctl", json!({key: value.trim()}))
    })
}

fn linux() -> Vec<Row> {
    let allow = |rule: Value| json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]});
    vec![
        set("linux_is_a_list", "/linux", "/linux", json!([])),
        set("cgroup_that_climbs", "/linux/cgroupsPath", "/linux/cgroupsPath", json!("/../../x")),
        set("cgroup_beside_ours", "/linux/cgroupsPath", "/linux/cgroupsPath", json!("a/../../x")),
        set("nul_in_cgroup", "/linux/cgroupsPath", "/linux/cgroupsPath", json!("/a\0b")),
        set(
            "memory_limit_is_too_big",
            "/linux/resources/memory/limit",
            "/linux/resources",
            json!({"memory": {"limit": 9_223_372_036_854_775_808_u64}}),
        ),
        set(
            "cpu_shares_are_too_big",
            "/linux/resources/cpu/shares",
            "/linux/resources",
            json!({"cpu": {"shares": 1e30}}),
        ),
        device(
            "device_without_path",
            "/linux/devices/0/path",
            json!({"type": "c", "major": 1, "minor": 3}),
        ),
        device(
            "device_without_type",
            "/linux/devices/0/type",
            json!({"path": "/dev/x", "major": 1, "minor": 3}),
        ),
        device(
            "unknown_device_type",
            "/linux/devices/0/type",
            json!({"path": "/dev/x", "type": "z", "major": 1, "minor": 3}),
        ),
        device(
            "relative_device",
            "/linux/devices/0",
            json!({"path": "dev/x", "type": "c", "major": 1, "minor": 3}),
        ),
        device(
            "device_number_is_negative",
            "/linux/devices/0/major",
            json!({"path": "/dev/x", "type": "c", "major": -5, "minor": 3}),
        ),
        row("device_given_twice", "/linux/devices/1/path", |bundle| {
            let device = json!({"path": "/dev/x", "type": "c", "major": 1, "minor": 3});
            let other = json!({"path": "/dev/x", "type": "c", "major": 1, "minor": 5});
            bundle.push("/linux/devices", device).push("/linux/devices", other)
        }),
        row("device_on_another_file", "/linux/devices/0", |bundle| {
            fs::write(bundle.rootfs().join("file"), "text").expect("write");
            bundle.push(
                "/linux/devices",
                json!({"path": "/file", "type": "c", "major": 1, "minor": 3}),
            )
        }),
        set(
            "masked_path_is_relative",
            "/linux/maskedPaths/0",
            "/linux/maskedPaths",
            json!(["proc/kcore"]),
        ),
        set(
            "read_only_path_is_relative",
            "/linux/readonlyPaths/0",
            "/linux/readonlyPaths",
            json!(["proc/sys"]),
        ),
        set(
            "unknown_root_propagation",
            "/linux/rootfsPropagation",
            "/linux/rootfsPropagation",
            json!("sideways"),
        ),
        set(
            "unknown_personality",
            "/linux/personality/domain",
            "/linux/personality",
            json!({"domain": "BSD"}),
        ),
        sysctl("sysctl_of_the_host", "kernel.panic"),
        sysctl("sysctl_that_climbs", "net/../kernel/panic"),
        sysctl("unknown_sysctl", "net.no.such.parameter"),
        row("sysctl_without_its_namespace", "/linux/sysctl", |bundle| {
            bundle
                .without_namespace("network")
                .set("/linux/sysctl", json!({"net.ipv4.ip_forward": "1"}))
        }),
        row("sysctl_is_a_number", "/linux/sysctl", |bundle| {
            bundle.set("/linux/sysctl", json!({"net.ipv4.ip_forward": 1}))
        }),
        seccomp("seccomp_without_default", "/linux/seccomp/defaultAction", json!({"syscalls": []})),
        seccomp(
            "unknown_seccomp_default",
            "/linux/seccomp/defaultAction",
            json!({"defaultAction": "SCMP_ACT_MAYBE"}),
        ),
        seccomp(
            "unknown_seccomp_action",
            "/linux/seccomp/syscalls/0/action",
            allow(json!({"names": ["getcwd"], "action": "SCMP_ACT_MAYBE"})),
        ),
        seccomp(
            "unknown_seccomp_operator",
            "/linux/seccomp/syscalls/0/args/0/op",
            allow(json!({"names": ["getcwd"], "action": "SCMP_ACT_ERRNO",
                         "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_MAYBE"}]})),
        ),
        seccomp(
            "seccomp_argument_beyond_the_last",
            "/linux/seccomp/syscalls/0/args/0/index",
            allow(json!({"names": ["getcwd"], "action": "SCMP_ACT_ERRNO",
                         "args": [{"index": 6, "value": 1, "op": "SCMP_CMP_EQ"}]})),
        ),
        seccomp(
            "unknown_seccomp_architecture",
            "/linux/seccomp/architectures/0",
            json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_PDP11"]}),
        ),
        seccomp(
            "unknown_seccomp_flag",
            "/linux/seccomp/flags/0",
            json!({"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_MAYBE"]}),
        ),
        seccomp(
            "seccomp_rule_without_names",
            "/linux/seccomp/syscalls/0/names",
            allow(json!({"names": [], "action": "SCMP_ACT_ERRNO"})),
        ),
        seccomp(
            "seccomp_notify_by_default",
            "/linux/seccomp/defaultAction",
            json!({"defaultAction": "SCMP_ACT_NOTIFY"}),
        ),
        seccomp(
            "seccomp_notify_without_listener",
            "/linux/seccomp/listenerPath",
            allow(json!({"names": ["getcwd"], "action": "SCMP_ACT_NOTIFY"})),
        ),
        set(
            "unknown_device_rule_type",
            "/linux/resources/devices/0/type",
            "/linux/resources",
            json!({"devices": [{"allow": true, "type": "z", "access": "rwm"}]}),
        ),
        set(
            "unknown_device_access",
            "/linux/resources/devices/0/access",
            "/linux/resources",
            json!({"devices": [{"allow": true, "type": "c", "major": 1, "minor": 3, "access": "rwx"}]}),
        ),
        set(
            "cgroup_file_in_another_directory",
            "/linux/resources/unified",
            "/linux/resources",
            json!({"unified": {"../cgroup.procs": "0"}}),
        ),
        set(
            "memory_limit_is_a_string",
            "/linux/resources/memory/limit",
            "/linux/resources",
            json!({"memory": {"limit": "64M"}}),
        ),
    ]
}

fn hook(name: &'static str, names: &'static str, hook: Value) -> Row {
    push(name, names, "/hooks/createRuntime", hook)
}

fn hooks() -> Vec<Row> {
    vec![
        set("hooks_are_a_list", "/hooks", "/hooks", json!([])),
        hook("hook_without_path", "/hooks/createRuntime/0/path", json!({"args": ["true"]})),
        hook("relative_hook", "/hooks/createRuntime/0/path", json!({"path": "bin/true"})),
        hook("missing_hook", "/hooks/createRuntime/0", json!({"path": "/no/such/hook"})),
        hook(
            "hook_timeout_is_zero",
            "/hooks/createRuntime/0/timeout",
            json!({"path": "/bin/true", "timeout": 0}),
        ),
        hook(
            "hook_timeout_is_negative",
            "/hooks/createRuntime/0/timeout",
            json!({"path": "/bin/true", "timeout": -1}),
        ),
        hook(
            "hook_env_is_a_string",
            "/hooks/createRuntime/0/env",
            json!({"path": "/bin/true", "env": "A=b"}),
        ),
    ]
}

/// What other runtimes accept, or refuse without tidying up.
const ACCEPTED: [(&str, &[&str]); 2] = [
    (
        "runc",
        &[
            "limit_given_twice",
            "cgroup_that_climbs",
            "cgroup_beside_ours",
            "namespace_is_a_file",
            "namespace_of_another_type",
            "followed_by_more",
            "no_version",
            "later_major_version",
            "empty_version",
            "version_is_no_version",
            "nul_in_argument",
            "umask_is_too_big",
            "unknown_io_class",
            "unknown_scheduler",
            "domainname_of_the_host",
            "bind_without_source",
            "mount_inside_proc",
            "uid_mappings_alone",
            "idmap_without_mappings",
            "time_offsets_without_namespace",
            "mappings_without_user_namespace",
            "device_without_path",
            "relative_device",
            "device_number_is_negative",
            "device_on_another_file",
            "device_given_twice",
            "masked_path_is_relative",
            "read_only_path_is_relative",
            "unknown_personality",
            "seccomp_without_default",
            "seccomp_rule_without_names",
            "unknown_device_access",
            "hook_timeout_is_zero",
            "file_is_a_pipe",
            "namespace_is_a_pipe",
        ],
    ),
    (
        "crun",
        &[
            "nested_in_an_unknown_field",
            "followed_by_more",
            "empty_version",
            "later_major_version",
            "process_is_a_string",
            "version_is_no_version",
            "masked_paths_in_the_hosts_namespace",
            "no_args",
            "args_is_a_string",
            "argument_is_a_number",
            "nul_in_argument",
            "nul_in_environment",
            "relative_cwd",
            "uid_is_a_string",
            "uid_is_the_invalid_one",
            "umask_is_too_big",
            "terminal_is_a_string",
            "capabilities_are_a_list",
            "capability_is_a_number",
            "unknown_limit",
            "limit_given_twice",
            "soft_limit_above_hard",
            "oom_score_out_of_range",
            "negative_limit",
            "unknown_io_class",
            "unknown_scheduler",
            "nul_in_root_path",
            "readonly_is_a_number",
            "nul_in_mount_option",
            "mount_option_is_a_number",
            "nul_in_destination",
            "mount_over_proc",
            "mount_inside_proc",
            "idmap_without_mappings",
            "uid_mappings_alone",
            "namespace_given_twice",
            "unknown_namespace",
            "relative_namespace",
            "missing_namespace",
            "namespace_is_a_file",
            "namespace_of_another_type",
            "time_offsets_without_namespace",
            "unknown_clock",
            "mappings_without_user_namespace",
            "unknown_device_type",
            "device_given_twice",
            "device_on_another_file",
            "masked_path_is_relative",
            "read_only_path_is_relative",
            "unknown_root_propagation",
            "unknown_seccomp_flag",
            "seccomp_rule_without_names",
            "seccomp_notify_by_default",
            "seccomp_notify_without_listener",
            "unknown_device_rule_type",
            "unknown_device_access",
            "cgroup_file_in_another_directory",
            "memory_limit_is_a_string",
            "hooks_are_a_list",
            "hook_timeout_is_zero",
            "hook_env_is_a_string",
            "file_is_a_pipe",
            "namespace_is_a_pipe",
        ],
    ),
];

/// Expects `create` to refuse the spoilt bundle, and to say so well.
fn is_refused(row: &Row) -> Outcome {
    for (runtime, rows) in ACCEPTED {
        if rows.contains(&row.name) {
            needs::other_than(runtime, "accepts this, or leaves something behind")?;
        }
    }
    if row.names.starts_with("/linux/namespaces/") {
        // An ordinary user's containers have one more, which shifts the numbers.
        needs::root()?;
    }
    let bundle = (row.spoil)(Bundle::new());
    bundle.write();
    let log = bundle.sandbox().path().join("log");
    let dir = bundle.dir();
    let refusal = bundle
        .sandbox()
        .runtime(&[
            "--log",
            log.to_str().expect("utf-8"),
            "--log-format",
            "json",
            "create",
            "--bundle",
            dir.to_str().expect("utf-8"),
            bundle.id(),
        ])
        .finish()
        .refused();
    nothing_is_left(bundle.sandbox(), &refusal);
    if needs::cloison().is_ok() {
        says_one_thing(&refusal, row.names);
        is_logged(&fs::read_to_string(&log).unwrap_or_default(), row.names);
    }
    Ok(())
}

#[track_caller]
fn nothing_is_left(sandbox: &Sandbox, refusal: &Finished) {
    let left = sandbox.leftovers();
    assert!(left.is_empty(), "left behind: {left:?}\n{refusal}");
    let ids = fs::read_dir(sandbox.root()).map(|entries| {
        entries
            .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
            .filter(|name| !name.starts_with('.'))
            .collect::<Vec<_>>()
    });
    assert_eq!(ids.unwrap_or_default(), [] as [&str; 0], "in the state root\n{refusal}");
}

/// One line on stderr, which contains the place.
#[track_caller]
fn says_one_thing(refusal: &Finished, place: &str) {
    let lines: Vec<&str> = refusal.stderr.lines().collect();
    let [line] = lines[..] else { panic!("not one line: {refusal}") };
    assert!(line.contains(place), "does not name {place}: {refusal}");
    assert!(line.to_lowercase().contains("error"), "drivers look for the word error: {refusal}");
    assert_eq!(refusal.stdout, "", "{refusal}");
}

/// The last object in the log is an error, and contains the place.
#[track_caller]
fn is_logged(log: &str, place: &str) {
    let last = log.lines().last().unwrap_or_default();
    let entry: Value = serde_json::from_str(last).unwrap_or_else(|e| panic!("{e}: {log:?}"));
    assert_eq!(entry["level"], "error", "{log}");
    let message = entry["msg"].as_str().unwrap_or_default();
    assert!(message.contains(place), "the log does not name {place}: {log}");
}

/// Command lines that are refused; cloison's sentence contains the second.
const COMMAND_LINES: [(&str, &[&str], &str); 12] = [
    ("unknown_verb", &["no-such-verb"], "no-such-verb"),
    ("unknown_global_option", &["--no-such-option", "list"], "--no-such-option"),
    ("unknown_option", &["state", "--no-such-option", "x"], "--no-such-option"),
    ("state_without_id", &["state"], "ID"),
    ("start_without_id", &["start"], "ID"),
    ("kill_without_id", &["kill"], "ID"),
    ("delete_without_id", &["delete"], "ID"),
    ("too_many_arguments", &["state", "one", "two"], "two"),
    ("unknown_log_format", &["--log-format", "xml", "list"], "xml"),
    ("option_without_value", &["create", "id", "--bundle"], "--bundle"),
    ("missing_bundle", &["create", "--bundle", "/no/such/bundle", "id"], "/no/such/bundle"),
    ("bundle_is_a_file", &["create", "--bundle", "/etc/passwd", "id"], "/etc/passwd"),
];

fn command_line_is_refused(name: &str, line: &[&str], names: &str) -> Outcome {
    for (runtime, rows) in ACCEPTED {
        if rows.contains(&name) {
            needs::other_than(runtime, "accepts this, or leaves something behind")?;
        }
    }
    let sandbox = Sandbox::new();
    let refusal = sandbox.runtime(line).finish().refused();
    nothing_is_left(&sandbox, &refusal);
    if needs::cloison().is_ok() {
        assert!(refusal.stderr.contains(names), "does not name {names}: {refusal}");
    }
    Ok(())
}

/// Container ids that are refused before anything else is looked at.
fn bad_ids_are_refused() -> Outcome {
    needs::other_than("crun", "accepts spaces in an id")?;
    let long = "x".repeat(1025);
    let ids = ["", ".", "..", "a/b", "../a", "a b", "a\nb", "ü", "a*", "%", &long];
    for id in ids {
        let bundle = Bundle::new();
        bundle.write();
        let dir = bundle.dir();
        let line = ["create", "--bundle", dir.to_str().expect("utf-8"), "--", id];
        let refusal = bundle.sandbox().runtime(&line).finish().refused();
        nothing_is_left(bundle.sandbox(), &refusal);
        for verb in ["state", "start", "kill", "delete"] {
            bundle.sandbox().runtime(&[verb, "--", id]).finish().refused();
        }
    }
    Ok(())
}

fn good_ids_are_accepted() -> Outcome {
    for suffix in ["A.b_c+d-e", "0", "x.", "..x"] {
        let bundle = Bundle::in_sandbox(&Sandbox::new(), suffix).args(&["hostname"]);
        assert_eq!(bundle.output(), "box", "{suffix}");
    }
    Ok(())
}

fn a_state_root_that_cannot_be_made_is_refused() -> Outcome {
    let bundle = Bundle::new();
    bundle.write();
    let dir = bundle.dir();
    let root = bundle.rootfs().join("etc/passwd/root");
    let root = root.to_str().expect("utf-8");
    let line = ["--root", root, "create", "--bundle", dir.to_str().expect("utf-8"), bundle.id()];
    let refusal = bundle.sandbox().bare_runtime(&line).finish().refused();
    nothing_is_left(bundle.sandbox(), &refusal);
    if needs::cloison().is_ok() {
        says_one_thing(&refusal, "etc/passwd");
    }
    Ok(())
}

fn a_log_that_cannot_be_written_is_refused() -> Outcome {
    let bundle = Bundle::new();
    bundle.write();
    let log = bundle.rootfs().join("etc/passwd/log");
    let dir = bundle.dir();
    let line = [
        "--log",
        log.to_str().expect("utf-8"),
        "create",
        "--bundle",
        dir.to_str().expect("utf-8"),
        bundle.id(),
    ];
    let refusal = bundle.sandbox().runtime(&line).finish().refused();
    nothing_is_left(bundle.sandbox(), &refusal);
    Ok(())
}

/// `process` may be missing until start.
fn start_without_a_process_is_refused() -> Outcome {
    needs::other_than("crun", "starts nothing, and says nothing, in version 1.28")?;
    let bundle = Bundle::new().unset("/process");
    let created = bundle.try_create();
    if created.code == 0 {
        bundle.sandbox().runtime(&["start", bundle.id()]).finish().refused();
    } else {
        nothing_is_left(bundle.sandbox(), &created.refused());
    }
    Ok(())
}

fn run_without_a_process_is_refused() -> Outcome {
    needs::other_than("crun", "leaves its cgroup behind")?;
    let bundle = Bundle::new().unset("/process");
    let refusal = bundle.invoke("run", &[]).finish().refused();
    nothing_is_left(bundle.sandbox(), &refusal);
    if needs::cloison().is_ok() {
        says_one_thing(&refusal, "/process: missing");
    }
    Ok(())
}

/// Fields that a later version may bring are no error.
fn unknown_fields_are_ignored() -> Outcome {
    let bundle = Bundle::new()
        .set("/noSuchField", json!({"a": [1]}))
        .set("/process/noSuchField", "x")
        .set("/linux/noSuchField", 1)
        .args(&["hostname"]);
    assert_eq!(bundle.output(), "box");
    Ok(())
}

fn later_minor_versions_are_accepted() -> Outcome {
    needs::other_than("crun", "knows no version after 1.1")?;
    for version in ["1.0.0", "1.0.2-dev", "1.1.0", "1.2.1", "1.3.0", "1.9.0"] {
        let bundle = Bundle::new().set("/ociVersion", version).args(&["hostname"]);
        assert_eq!(bundle.output(), "box", "{version}");
    }
    Ok(())
}

fn a_large_document_is_accepted() -> Outcome {
    let bundle = Bundle::new()
        .set("/annotations", json!({"large": "x".repeat(2 << 20)}))
        .set("/noSuchField", "x".repeat(8 << 20))
        .args(&["hostname"]);
    assert_eq!(bundle.output(), "box");
    Ok(())
}

/// `run` refuses as `create` does.
fn run_refuses_as_well() -> Outcome {
    Bundle::new().set("/root/path", "no-such-rootfs").is_refused();
    Ok(())
}

/// A namespace that is gone by the time is refused, not waited for.
fn a_namespace_of_a_dead_process_is_refused() -> Outcome {
    needs::other_than("crun", "leaves its cgroup behind")?;
    let path = {
        let namespace = Namespace::new(nix::sched::CloneFlags::CLONE_NEWNET, "net");
        namespace.path()
    };
    Bundle::new().join_namespace("network", &path).is_refused();
    Ok(())
}

pub fn tests() -> Vec<Test> {
    let named =
        |name: &str, body: fn() -> Outcome| Test { name: name.to_owned(), body: Box::new(body) };
    let mut tests = vec![
        named("bad_ids_are_refused", bad_ids_are_refused),
        named("good_ids_are_accepted", good_ids_are_accepted),
        named(
            "a_state_root_that_cannot_be_made_is_refused",
            a_state_root_that_cannot_be_made_is_refused,
        ),
        named("a_log_that_cannot_be_written_is_refused", a_log_that_cannot_be_written_is_refused),
        named("start_without_a_process_is_refused", start_without_a_process_is_refused),
        named("run_without_a_process_is_refused", run_without_a_process_is_refused),
        named("unknown_fields_are_ignored", unknown_fields_are_ignored),
        named("later_minor_versions_are_accepted", later_minor_versions_are_accepted),
        named("a_large_document_is_accepted", a_large_document_is_accepted),
        named("run_refuses_as_well", run_refuses_as_well),
        named("a_namespace_of_a_dead_process_is_refused", a_namespace_of_a_dead_process_is_refused),
    ];
    for (name, line, names) in COMMAND_LINES {
        tests.push(Test {
            name: format!("command_line::{name}"),
            body: Box::new(move || command_line_is_refused(name, line, names)),
        });
    }
    for row in configurations() {
        tests.push(Test {
            name: format!("configuration::{}", row.name),
            body: Box::new(move || is_refused(&row)),
        });
    }
    tests
}
