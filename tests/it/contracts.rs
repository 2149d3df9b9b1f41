//! What engines parse: version, list, features, log, and other words that are
//! part of the command line's contract.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::harness::{Bundle, Outcome, Sandbox, needs, tests};

tests![
    version_has_the_lines_that_engines_split,
    list_has_a_table,
    list_has_json,
    list_has_ids_alone,
    list_is_empty_without_containers,
    the_last_of_two_equal_options_counts,
    help_is_a_verb_too,
    list_survives_a_broken_entry,
    features_are_json_with_versions,
    features_name_what_engines_look_for,
    features_agree_with_what_is_accepted,
    every_feature_can_be_used,
    spec_makes_a_configuration_that_runs,
    spec_does_not_overwrite,
    the_log_is_json_where_asked,
    the_log_is_text_unless_asked,
    the_log_is_empty_on_success,
    the_log_tells_what_failed,
    the_log_is_appended_to,
    a_log_that_nobody_reads_is_an_error,
    an_environment_of_one_variable_is_enough,
    what_is_not_there_is_not_announced,
    debug_says_more,
    errors_exit_with_one,
    long_options_may_have_one_dash,
    global_options_of_runc_are_accepted,
    the_state_root_is_private,
    a_state_root_of_others_is_refused,
    help_is_success,
    output_to_a_closed_pipe_is_no_crash,
];

/// A command of the runtime, in a fresh sandbox with an empty state root.
fn fresh() -> std::sync::Arc<Sandbox> {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.root()).expect("make the root");
    sandbox
}

fn version_has_the_lines_that_engines_split() -> Outcome {
    let text = Sandbox::new().bare_runtime(&["--version"]).finish().ok().stdout;
    let mut lines = text.lines();
    let words: Vec<&str> = lines.next().expect("a line").split(' ').collect();
    assert_eq!((words.len(), words[1]), (3, "version"), "{text}");
    assert!(words[2].starts_with(|c: char| c.is_ascii_digit()), "{text}");
    assert!(text.lines().any(|line| line.starts_with("commit: ")), "{text}");
    let spec = text.lines().find_map(|line| line.strip_prefix("spec: ")).expect("a spec line");
    assert!(spec.starts_with("1."), "{text}");
    if needs::cloison().is_ok() {
        assert_eq!(Sandbox::new().bare_runtime(&["-v"]).finish().ok().stdout, text);
    }
    Ok(())
}

fn list_has_a_table() -> Outcome {
    needs::other_than("crun", "has other columns")?;
    let container = Bundle::new().args(&["sleep", "60"]).create();
    let list = container.bundle().sandbox().runtime(&["list"]).finish().ok().stdout;
    let lines: Vec<Vec<&str>> =
        list.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]);
    assert_eq!(lines[1][0], container.id());
    assert_eq!(lines[1][1], container.pid.to_string());
    assert_eq!(lines[1][2], "created");
    assert_eq!(lines[1][3], container.bundle().dir().display().to_string());
    assert_eq!(lines[1].len(), 6, "{list}");
    assert_eq!(lines.len(), 2, "{list}");
    Ok(())
}

fn list_has_json() -> Outcome {
    let running = Bundle::new().args(&["sleep", "60"]).start();
    let stopped = Bundle::in_sandbox(running.bundle().sandbox(), "b").args(&["true"]).start();
    stopped.wait();
    let list =
        running.bundle().sandbox().runtime(&["list", "--format", "json"]).finish().ok().stdout;
    let list: Value = serde_json::from_str(&list).unwrap_or_else(|e| panic!("{e}: {list}"));
    let entries = list.as_array().expect("an array");
    assert_eq!(entries.len(), 2, "{list}");
    for (container, status) in [(&running, "running"), (&stopped, "stopped")] {
        let entry = entries.iter().find(|entry| entry["id"] == container.id()).expect("an entry");
        assert_eq!(entry["status"], status);
        assert_eq!(entry["bundle"], container.bundle().dir().display().to_string());
        assert!(
            entry["pid"].is_i64() && entry["created"].is_string() && entry["owner"].is_string(),
            "{entry}"
        );
    }
    Ok(())
}

fn list_has_ids_alone() -> Outcome {
    let container = Bundle::new().args(&["sleep", "60"]).create();
    for option in ["--quiet", "-q"] {
        let list = container.bundle().sandbox().runtime(&["list", option]).finish().ok().stdout;
        assert_eq!(list, format!("{}\n", container.id()));
    }
    Ok(())
}

fn list_is_empty_without_containers() -> Outcome {
    let sandbox = fresh();
    assert_eq!(sandbox.runtime(&["list", "-q"]).finish().ok().stdout, "");
    assert_eq!(sandbox.runtime(&["list"]).finish().ok().stdout.lines().count(), 1, "the head");
    let json = sandbox.runtime(&["list", "-f", "json"]).finish().ok().stdout;
    let json: Value = serde_json::from_str(&json).expect("json");
    assert!(json.is_null() || json.as_array().is_some_and(Vec::is_empty), "{json}");
    Ok(())
}

/// CLI-2: engines put their own options behind those that they were configured with.
fn the_last_of_two_equal_options_counts() -> Outcome {
    let bundle = Bundle::new().args(&["sleep", "60"]);
    bundle.write();
    let dir = bundle.dir();
    let dir = dir.to_str().expect("utf-8");
    let line = ["create", "--bundle", "/no/such/bundle", "--bundle", dir, bundle.id()];
    bundle.sandbox().runtime(&line).finish().ok();
    let line = ["delete", "--force", "--force", bundle.id()];
    bundle.sandbox().runtime(&line).finish().ok();
    Ok(())
}

/// CLI-6
fn help_is_a_verb_too() -> Outcome {
    needs::other_than("crun", "has no such verb")?;
    let sandbox = Sandbox::new();
    assert!(sandbox.runtime(&["help"]).finish().ok().stdout.contains("create"));
    assert!(sandbox.runtime(&["help", "create"]).finish().ok().stdout.contains("--bundle"));
    assert!(sandbox.runtime(&["h", "create"]).finish().ok().stdout.contains("--bundle"));
    Ok(())
}

fn list_survives_a_broken_entry() -> Outcome {
    needs::other_than("crun", "fails at the first broken entry")?;
    let container = Bundle::new().args(&["sleep", "60"]).create();
    let sandbox = container.bundle().sandbox();
    fs::create_dir(sandbox.root().join("broken")).expect("mkdir");
    let list = sandbox.runtime(&["list", "-q"]).finish();
    assert!(list.stdout.lines().any(|line| line == container.id()), "{list}");
    Ok(())
}

fn features() -> Result<Value, crate::harness::Skip> {
    let output = Sandbox::new().bare_runtime(&["features"]).finish();
    if needs::cloison().is_err() && output.code != 0 {
        return Err(crate::harness::Skip("this version has no features verb".to_owned()));
    }
    Ok(serde_json::from_str(&output.ok().stdout).expect("json"))
}

fn features_are_json_with_versions() -> Outcome {
    let features = features()?;
    for key in ["ociVersionMin", "ociVersionMax"] {
        assert!(
            features[key].as_str().is_some_and(|version| version.starts_with("1.")),
            "{features}"
        );
    }
    Ok(())
}

/// The strings in an array.
fn strings(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

fn features_name_what_engines_look_for() -> Outcome {
    let features = features()?;
    let hooks = strings(&features["hooks"]);
    for hook in
        ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"]
    {
        assert!(hooks.contains(&hook), "{hook} in {hooks:?}");
    }
    let options = strings(&features["mountOptions"]);
    for option in ["ro", "rbind", "rro", "nosuid", "rprivate"] {
        assert!(options.contains(&option), "{option} in {options:?}");
    }
    let linux = &features["linux"];
    for namespace in ["cgroup", "ipc", "mount", "network", "pid", "uts"] {
        assert!(strings(&linux["namespaces"]).contains(&namespace), "{namespace}");
    }
    assert!(strings(&linux["capabilities"]).contains(&"CAP_CHOWN"));
    assert_eq!(linux["cgroup"]["v2"], true);
    assert_eq!(linux["seccomp"]["enabled"], true);
    Ok(())
}

/// Every option that is announced can be used.
fn features_agree_with_what_is_accepted() -> Outcome {
    needs::cloison()?;
    let features = features()?;
    let mut bundle = Bundle::new().args(&["true"]);
    for (n, option) in strings(&features["mountOptions"]).into_iter().enumerate() {
        if matches!(option, "remount" | "idmap" | "ridmap" | "bind" | "rbind" | "mand") {
            continue;
        }
        bundle = bundle.mount(&format!("/{n}-{option}"), "tmpfs", "tmpfs", &[option]);
    }
    bundle.run().ok();
    Ok(())
}

/// FEA-1: what `features` lists is what `create` takes.
fn every_feature_can_be_used() -> Outcome {
    use serde_json::json;
    needs::cloison()?;
    let features = features()?;
    let linux = &features["linux"];
    let all = strings(&linux["capabilities"]);
    let seccomp = &linux["seccomp"];
    let calls = [
        "swapon",
        "swapoff",
        "reboot",
        "acct",
        "syslog",
        "vhangup",
        "quotactl",
        "init_module",
        "delete_module",
        "kexec_load",
    ];
    // Notifying needs an agent (tests of notify).
    let actions = strings(&seccomp["actions"]).into_iter().filter(|a| *a != "SCMP_ACT_NOTIFY");
    let mut rules: Vec<_> = actions
        .zip(calls)
        .map(|(action, call)| json!({"names": [call], "action": action}))
        .collect();
    for (value, operator) in strings(&seccomp["operators"]).into_iter().enumerate() {
        let args = json!([{"index": 0, "value": value, "op": operator}]);
        rules.push(json!({"names": ["ioperm"], "action": "SCMP_ACT_ERRNO", "args": args}));
    }
    let mut bundle =
        Bundle::new().set("/process/capabilities", json!({"bounding": all, "permitted": all})).set(
            "/linux/seccomp",
            json!({
                "defaultAction": "SCMP_ACT_ALLOW", "architectures": seccomp["archs"],
                "flags": seccomp["supportedFlags"], "syscalls": rules,
            }),
        );
    for hook in strings(&features["hooks"]) {
        bundle = bundle.push(&format!("/hooks/{hook}"), json!({"path": "/bin/true"}));
    }
    let ran = bundle.run().ok();
    assert!(!ran.stderr.contains("unknown"), "{ran}");

    let planned = |bundle: Bundle| {
        bundle.write();
        let dir = bundle.dir();
        let line = ["explain", "--bundle", dir.to_str().expect("utf-8"), bundle.id()];
        bundle.sandbox().runtime(&line).finish().ok();
    };
    let kinds = strings(&linux["namespaces"]).into_iter().map(|kind| json!({"type": kind}));
    let devices = json!({"eth0": {"name": "wan"}});
    let everything = Bundle::new().in_user_namespace(100_000).set("/linux/netDevices", devices);
    planned(everything.set("/linux/namespaces", kinds.collect::<Vec<_>>()));
    for mode in strings(&linux["memoryPolicy"]["modes"]) {
        let nodes = if matches!(mode, "MPOL_DEFAULT" | "MPOL_LOCAL") { "" } else { "0" };
        planned(Bundle::new().set("/linux/memoryPolicy", json!({"mode": mode, "nodes": nodes})));
    }
    for flag in strings(&linux["memoryPolicy"]["flags"]) {
        let policy = json!({"mode": "MPOL_BIND", "nodes": "0", "flags": [flag]});
        planned(Bundle::new().set("/linux/memoryPolicy", policy));
    }
    for option in ["bind", "rbind", "idmap", "ridmap", "remount", "mand"] {
        assert!(strings(&features["mountOptions"]).contains(&option), "{option}");
        let kind = if option == "mand" { "tmpfs" } else { "bind" };
        let options: &[&str] = if option == "remount" { &["bind", option] } else { &[option] };
        let bundle = Bundle::new().in_user_namespace(100_000);
        planned(bundle.mount("/m", kind, "/tmp", options));
    }
    Ok(())
}

fn spec_makes_a_configuration_that_runs() -> Outcome {
    needs::root()?;
    let bundle = Bundle::new();
    let dir = bundle.dir();
    bundle.sandbox().runtime(&["spec", "--bundle", dir.to_str().expect("utf-8")]).finish().ok();
    let file = dir.join("config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&file).expect("read")).expect("json");
    assert_eq!(config["process"]["terminal"], true);
    assert_eq!(config["process"]["args"], serde_json::json!(["sh"]));
    config["process"]["terminal"] = false.into();
    config["process"]["args"] = serde_json::json!(["hostname"]);
    config["process"]["rlimits"] = Value::Null;
    config["linux"]["resources"] = serde_json::json!({});
    let hostname = config["hostname"].as_str().expect("a host name").to_owned();
    let bundle = bundle.text(config.to_string());
    assert_eq!(bundle.output(), hostname);
    Ok(())
}

fn spec_does_not_overwrite() -> Outcome {
    let bundle = Bundle::new();
    bundle.write();
    let file = bundle.dir().join("config.json");
    let before = fs::read(&file).expect("read");
    bundle
        .sandbox()
        .runtime(&["spec"])
        .dir(&bundle.dir())
        .finish()
        .refused()
        .complains("config.json");
    assert_eq!(fs::read(&file).expect("read"), before);
    Ok(())
}

/// Runs a command with `--log`, which fails if it is about nobody, and returns
/// what the log holds afterwards.
fn logged(sandbox: &Sandbox, options: &[&str], verb: &[&str]) -> String {
    let log = sandbox.path().join("log");
    let mut line = vec!["--log", log.to_str().expect("utf-8")];
    line.extend(options);
    line.extend(verb);
    let finished = sandbox.runtime(&line).finish();
    assert!(verb.contains(&"nobody") != (finished.code == 0), "{finished}");
    fs::read_to_string(log).unwrap_or_default()
}

fn the_log_is_json_where_asked() -> Outcome {
    let sandbox = fresh();
    let log = logged(&sandbox, &["--log-format", "json"], &["state", "nobody"]);
    let entry: Value =
        serde_json::from_str(&log).unwrap_or_else(|e| panic!("one object: {e}: {log}"));
    assert_eq!(entry["level"], "error");
    assert!(entry["msg"].as_str().is_some_and(|text| !text.is_empty()), "{log}");
    let time = entry["time"].as_str().expect("a time");
    assert!(time.len() >= 20 && &time[10..11] == "T", "RFC 3339: {time}");
    Ok(())
}

fn the_log_is_text_unless_asked() -> Outcome {
    needs::other_than("crun", "writes text in a form of its own")?;
    let sandbox = fresh();
    let log = logged(&sandbox, &[], &["state", "nobody"]);
    assert!(log.starts_with("time=\"") && log.contains(" level=error msg="), "{log}");
    assert_eq!(log.lines().count(), 1, "{log}");
    Ok(())
}

/// podman reads the whole file as one object: nothing but an error may be in it.
fn the_log_is_empty_on_success() -> Outcome {
    needs::other_than("runc", "logs its warnings too")?;
    let bundle = Bundle::new()
        .push("/process/capabilities/bounding", "CAP_NO_SUCH")
        .push("/process/capabilities/permitted", "CAP_NO_SUCH")
        .args(&["true"]);
    bundle.write();
    let dir = bundle.dir();
    let verb = ["run", "--bundle", dir.to_str().expect("utf-8"), bundle.id()];
    assert_eq!(logged(bundle.sandbox(), &["--log-format", "json"], &verb), "");
    Ok(())
}

/// LOG-4: what went wrong, and what the log has of it besides the sentence.
fn the_log_tells_what_failed() -> Outcome {
    needs::cloison()?;
    let told = |bundle: &Bundle| {
        bundle.write();
        let log = bundle.dir().join("log");
        let options = ["--log", log.to_str().expect("utf-8"), "--log-format", "json"];
        let dir = bundle.dir();
        let verb = ["run", "--bundle", dir.to_str().expect("utf-8"), bundle.id()];
        let finished = bundle.sandbox().runtime(&[&options[..], &verb].concat()).finish().exits(1);
        let log = fs::read_to_string(log).expect("read");
        let mut entry: Value = serde_json::from_str(&log).expect("one object");
        let msg = entry["msg"].as_str().expect("a sentence").to_owned();
        assert!(finished.stderr.contains(&msg), "the same sentence: {log} {finished}");
        let object = entry.as_object_mut().expect("an object");
        for read in ["level", "msg", "time"] {
            object.remove(read).expect("what every engine reads");
        }
        entry
    };
    let hook = || json!([{"path": "/bin/false"}]);
    let rows = [
        (
            Bundle::new().args(&["/missing"]),
            json!({"code": "EXECUTABLE_NOT_FOUND", "phase": "exec", "errno": 2,
                   "config": "/process/args/0"}),
        ),
        (
            Bundle::new().set("/hostname", 3),
            json!({"code": "CONFIG_INVALID", "path": "config.json", "config": "/hostname"}),
        ),
        (
            Bundle::new().set("/process/cwd", "relative"),
            json!({"code": "CONFIG_INVALID", "phase": "plan", "config": "/process/cwd"}),
        ),
        (
            Bundle::new().set("/root/path", "nowhere"),
            json!({"code": "LAUNCH_FAILED", "phase": "rootfs", "errno": 2, "path": "nowhere",
                   "config": "/root/path"}),
        ),
        (
            Bundle::new().set("/hooks/createRuntime", hook()),
            json!({"code": "HOOK_FAILED", "phase": "hooks", "path": "/bin/false",
                   "config": "/hooks/createRuntime/0"}),
        ),
        (
            Bundle::new().set("/hooks/createContainer", hook()).args(&["true"]),
            json!({"code": "HOOK_FAILED", "phase": "hooks", "config": "/hooks/createContainer/0"}),
        ),
        (
            Bundle::new().mount("/m", "tmpfs", "tmpfs", &["size=many"]),
            json!({"code": "INIT_FAILED", "phase": "rootfs", "errno": 22,
                   "config": "/mounts/6/options"}),
        ),
        (
            Bundle::new().set("/linux/resources", json!({"unified": {"cgroup.max.depth": "x"}})),
            json!({"code": "CGROUP_FAILED", "phase": "cgroup", "errno": 22,
                   "path": "cgroup.max.depth",
                   "config": "/linux/resources/unified/cgroup.max.depth"}),
        ),
    ];
    for (bundle, wanted) in rows {
        let told = told(&bundle);
        for (member, value) in wanted.as_object().expect("an object") {
            let is_there = match (member.as_str(), told[member].as_str(), value.as_str()) {
                ("path", Some(path), Some(end)) => path.starts_with('/') && path.ends_with(end),
                _ => told[member] == *value,
            };
            assert!(is_there, "{member} of {told}, not {wanted}");
        }
    }
    Ok(())
}

/// LOG-2
fn a_log_that_nobody_reads_is_an_error() -> Outcome {
    needs::cloison()?;
    let sandbox = fresh();
    let fifo = sandbox.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("make a fifo");
    let line = ["--log", fifo.to_str().expect("utf-8"), "list"];
    sandbox.runtime(&line).finish().exits(1).complains("open log");
    Ok(())
}

/// As podman calls.
fn an_environment_of_one_variable_is_enough() -> Outcome {
    // It is by this variable that a user's systemd is found.
    needs::root().or_else(|_| needs::cgroupfs())?;
    let bundle = Bundle::new().sh("sleep 60");
    bundle.write();
    let sandbox = bundle.sandbox();
    let output = bundle.dir().join("container");
    let call = |line: &[&str]| {
        let runtime = sandbox.path().to_str().expect("utf-8").to_owned();
        sandbox.runtime(line).without_environment().env("XDG_RUNTIME_DIR", runtime)
    };
    let create = call(&["create", "--bundle", bundle.dir().to_str().expect("utf-8"), bundle.id()]);
    create.keeping_output_in(output).finish().ok();
    for verb in ["state", "start", "pause", "resume"] {
        call(&[verb, bundle.id()]).finish().ok();
    }
    call(&["ps", "--format", "json", bundle.id()]).finish().ok();
    call(&["exec", bundle.id(), "true"]).finish().ok();
    call(&["kill", bundle.id(), "KILL"]).finish().ok();
    call(&["delete", "--force", bundle.id()]).finish().ok();
    let left = sandbox.leftovers();
    assert!(left.is_empty(), "{left:?}");
    Ok(())
}

/// As engines probe: podman and CRI-O turn checkpoints on by the status of the
/// one and by the words of the other.
fn what_is_not_there_is_not_announced() -> Outcome {
    needs::cloison()?;
    let sandbox = Sandbox::new();
    sandbox.bare_runtime(&["checkpoint", "--help"]).finish().exits(1);
    let probe = sandbox.bare_runtime(&["restore", "--lsm-mount-context"]).finish().exits(1);
    for words in ["flag needs an argument", "requires an argument"] {
        assert!(!probe.stderr.contains(words) && !probe.stdout.contains(words), "{probe}");
    }
    Ok(())
}

fn the_log_is_appended_to() -> Outcome {
    let sandbox = fresh();
    let log = sandbox.path().join("log");
    fs::write(&log, "before\n").expect("write");
    logged(&sandbox, &[], &["state", "nobody"]);
    let log = logged(&sandbox, &[], &["state", "nobody"]);
    assert!(log.starts_with("before\n"), "{log}");
    assert!(log.lines().count() >= 3, "{log}");
    Ok(())
}

fn debug_says_more() -> Outcome {
    let sandbox = fresh();
    let log = logged(&sandbox, &["--debug", "--log-format", "json"], &["list"]);
    for entry in serde_json::Deserializer::from_str(&log).into_iter::<Value>() {
        let entry = entry.unwrap_or_else(|e| panic!("{e}: {log}"));
        assert!(entry["level"].is_string() && entry["msg"].is_string(), "{log}");
    }
    if needs::cloison().is_ok() {
        assert!(log.contains("\"debug\""), "{log}");
    }
    Ok(())
}

fn errors_exit_with_one() -> Outcome {
    let sandbox = fresh();
    sandbox.runtime(&["state", "nobody"]).finish().exits(1);
    let bundle = Bundle::new().set("/root/path", "no-such-rootfs");
    bundle.try_create().exits(1);
    Ok(())
}

fn long_options_may_have_one_dash() -> Outcome {
    needs::other_than("crun", "takes two dashes only")?;
    let bundle = Bundle::new().args(&["hostname"]);
    bundle.write();
    let (root, dir) = (bundle.sandbox().root(), bundle.dir());
    let bundle_option = format!("-bundle={}", dir.display());
    let line = [
        "-root",
        root.to_str().expect("utf-8"),
        "run",
        "-no-subreaper",
        &bundle_option,
        bundle.id(),
    ];
    assert_eq!(bundle.sandbox().bare_runtime(&line).finish().ok().stdout, "box\n");
    Ok(())
}

fn global_options_of_runc_are_accepted() -> Outcome {
    let sandbox = fresh();
    for options in [
        &["--rootless", "false"][..],
        &["--rootless=auto"],
        &["--debug=false"],
        &["--systemd-cgroup=false"],
    ] {
        if needs::cloison().is_err() && needs::other_than("crun", "").is_err() {
            continue;
        }
        let mut line = options.to_vec();
        line.push("list");
        sandbox.runtime(&line).finish().ok();
    }
    Ok(())
}

/// Who can write there decides what the runtime signals, enters and removes.
fn a_state_root_of_others_is_refused() -> Outcome {
    needs::root()?;
    needs::cloison()?;
    use std::os::unix::fs::{PermissionsExt, chown};
    for (owner, mode) in [(1000, 0o755), (0, 0o777), (0, 0o775)] {
        let bundle = Bundle::new().args(&["true"]);
        let root = bundle.sandbox().root();
        fs::create_dir(&root).expect("mkdir");
        fs::set_permissions(&root, PermissionsExt::from_mode(mode)).expect("chmod");
        chown(&root, Some(owner), None).expect("chown");
        bundle.run().refused().complains(root.to_str().expect("utf-8"));
        assert_eq!(fs::read_dir(&root).expect("list").count(), 0);
        // An entry that was put there is no container either.
        let entry = root.join(bundle.id());
        fs::create_dir(&entry).expect("mkdir");
        chown(&entry, Some(1000), None).expect("chown");
        for verb in ["state", "kill", "start", "delete"] {
            bundle.sandbox().runtime(&[verb, bundle.id()]).finish().refused();
        }
        fs::remove_dir(entry).expect("rmdir");
    }
    Ok(())
}

fn the_state_root_is_private() -> Outcome {
    needs::cloison()?;
    let container = Bundle::new().args(&["sleep", "60"]).create();
    let root = container.bundle().sandbox().root();
    for dir in [root.clone(), root.join(container.id())] {
        let mode = fs::metadata(&dir).expect("stat").permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}: {mode:o}", dir.display());
    }
    Ok(())
}

fn help_is_success() -> Outcome {
    let sandbox = Sandbox::new();
    for line in [&["--help"][..], &["create", "--help"], &["list", "--help"]] {
        let help = sandbox.bare_runtime(line).finish().ok();
        assert!(!help.stdout.is_empty());
    }
    Ok(())
}

fn output_to_a_closed_pipe_is_no_crash() -> Outcome {
    let container = Bundle::new().args(&["sleep", "60"]).create();
    let sandbox = container.bundle().sandbox();
    for verb in ["list", "features"] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let (null, errors) = (std::process::Stdio::null(), sandbox.path().join("errors"));
        let stderr = fs::File::create(&errors).expect("create");
        sandbox.runtime(&[verb]).stdio(null, writer.into(), stderr.into()).finish();
        let errors = fs::read_to_string(&errors).expect("read");
        assert!(!errors.contains("panicked") && !errors.contains("goroutine"), "{errors}");
    }
    assert_eq!(container.status(), "created");
    Ok(())
}
