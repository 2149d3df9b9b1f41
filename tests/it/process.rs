//! `process`: what the container's program finds itself to be (config.md,
//! "Process", "POSIX process", "Linux Process").

use std::fs;

use serde_json::{Value, json};

use crate::harness::{Bundle, Outcome, Skip, eventually, needs, runtime_path, tests};

tests![
    the_waiting_init_is_shown_as_it_was_called,
    arguments_arrive_as_they_are,
    the_environment_is_the_one_given,
    the_working_directory_is_set,
    the_working_directory_is_made_where_it_is_missing,
    the_working_directory_may_be_the_users_alone,
    it_is_process_1_and_leads_its_session,
    signals_have_their_defaults,
    user_and_group_are_set,
    additional_groups_are_exactly_those_given,
    umask_is_set,
    home_comes_from_the_images_passwd,
    home_is_kept_where_it_is_given,
    a_number_is_a_uid_never_a_name,
    capability_sets_are_exactly_those_given,
    no_capabilities_means_none,
    a_user_keeps_only_ambient_capabilities,
    ambient_capabilities_survive_the_change_of_user,
    an_ambient_capability_that_is_not_inheritable_is_left_out,
    an_unknown_capability_is_a_warning,
    no_new_privileges_is_set,
    set_uid_programs_work_unless_forbidden,
    resource_limits_are_set,
    a_resource_limit_may_be_infinite,
    oom_score_adjustment_is_set,
    personality_is_set,
    scheduler_is_set,
    io_priority_is_set,
    a_deadline_can_be_given,
    memory_policy_is_set,
    exec_cpu_affinity_is_for_exec_alone,
];

/// SEC-10 moves the program without executing it again: what ps(1) tells of it stays.
fn the_waiting_init_is_shown_as_it_was_called() -> Outcome {
    needs::root()?;
    needs::other_than("runc", "names its init anew")?;
    needs::other_than("crun", "names its init anew")?;
    let container = Bundle::new().args(&["sleep", "60"]).create();
    let of = |name: &str| fs::read(format!("/proc/{}/{name}", container.pid)).expect("read");
    let words = of("cmdline");
    let words: Vec<_> = words.split(|&byte| byte == 0).collect();
    assert_eq!(words[0], runtime_path().as_os_str().as_encoded_bytes());
    assert!(words.contains(&&b"create"[..]), "{words:?}");
    assert_eq!(*words.last().expect("an end"), b"", "each word ends, and nothing follows");
    let environ = of("environ");
    let has_path = environ.split(|&byte| byte == 0).any(|entry| entry.starts_with(b"PATH="));
    assert!(has_path, "{}", String::from_utf8_lossy(&environ));
    Ok(())
}

fn arguments_arrive_as_they_are() -> Outcome {
    let args = ["printf", "[%s]", "", "two words", "\"quoted\"", "$HOME", "*", "ünïcode", "a\nb"];
    let expected = "[][two words][\"quoted\"][$HOME][*][ünïcode][a\nb]";
    assert_eq!(Bundle::new().args(&args).output(), expected);
    Ok(())
}

fn the_environment_is_the_one_given() -> Outcome {
    let bundle = Bundle::new().args(&["env"]).set(
        "/process/env",
        json!(["PATH=/bin", "HOME=/nowhere", "EMPTY=", "EQUALS=a=b", "SPACE= x "]),
    );
    let finished = bundle.invoke("run", &[]).env("FROM_THE_HOST", "1").finish().ok();
    let mut seen: Vec<&str> = finished.stdout.lines().collect();
    seen.sort_unstable();
    assert_eq!(seen, ["EMPTY=", "EQUALS=a=b", "HOME=/nowhere", "PATH=/bin", "SPACE= x "]);
    Ok(())
}

fn the_working_directory_is_set() -> Outcome {
    let bundle = Bundle::new().args(&["pwd"]).set("/process/cwd", "/etc");
    assert_eq!(bundle.output(), "/etc");
    let bundle = Bundle::new().args(&["pwd"]).set("/process/cwd", "/bin/../tmp//");
    assert_eq!(bundle.output(), "/tmp");
    Ok(())
}

fn the_working_directory_is_made_where_it_is_missing() -> Outcome {
    let bundle = Bundle::new().args(&["pwd"]).set("/process/cwd", "/srv/made/here");
    assert_eq!(bundle.output(), "/srv/made/here");
    Ok(())
}

fn the_working_directory_may_be_the_users_alone() -> Outcome {
    let bundle = Bundle::new()
        .args(&["pwd"])
        .set("/process/cwd", "/mine")
        .set("/process/user", json!({"uid": 1000, "gid": 1000}))
        .unset("/process/capabilities");
    let mine = bundle.rootfs().join("mine");
    fs::create_dir(&mine).expect("mkdir");
    fs::set_permissions(&mine, std::os::unix::fs::PermissionsExt::from_mode(0o700)).expect("chmod");
    std::os::unix::fs::chown(&mine, Some(1000), Some(1000)).expect("chown");
    assert_eq!(bundle.output(), "/mine");
    Ok(())
}

fn it_is_process_1_and_leads_its_session() -> Outcome {
    // pid, comm, state, ppid, pgrp, session
    let stat = Bundle::new().args(&["cat", "/proc/self/stat"]).output();
    let fields: Vec<&str> = stat.split(' ').take(6).collect();
    assert_eq!(fields, ["1", "(cat)", "R", "0", "1", "1"]);
    Ok(())
}

fn signals_have_their_defaults() -> Outcome {
    let status = Bundle::new().args(&["grep", "^Sig[BIC]", "/proc/self/status"]).output();
    assert_eq!(status.lines().count(), 3, "blocked, ignored, caught");
    for line in status.lines() {
        let (_, set) = line.split_once('\t').expect("a set");
        let set = u64::from_str_radix(set, 16).expect("hexadecimal");
        // Signals from 32 on are the C libraries' own and may be inherited.
        assert_eq!(set & 0x7fff_ffff, 0, "{status}");
    }
    Ok(())
}

fn user_and_group_are_set() -> Outcome {
    let bundle = Bundle::new()
        .args(&["grep", "-E", "^(Uid|Gid|Groups)", "/proc/self/status"])
        .set("/process/user", json!({"uid": 1234, "gid": 5678}));
    let seen = bundle.lines();
    assert_eq!(seen[0], "Uid:\t1234\t1234\t1234\t1234");
    assert_eq!(seen[1], "Gid:\t5678\t5678\t5678\t5678");
    Ok(())
}

fn additional_groups_are_exactly_those_given() -> Outcome {
    let groups = |additional: Value| {
        let bundle = Bundle::new()
            .sh("grep ^Groups /proc/self/status")
            .set("/process/user", json!({"uid": 0, "gid": 0, "additionalGids": additional}));
        let line = bundle.output();
        line.trim_start_matches("Groups:").split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(groups(json!([7, 1000, 65_000])), ["7", "1000", "65000"]);
    assert_eq!(groups(json!([])), [] as [&str; 0], "none of the caller's");
    Ok(())
}

fn umask_is_set() -> Outcome {
    for (umask, shown) in [(0o077, "0077"), (0, "0000"), (0o027, "0027")] {
        let bundle = Bundle::new().sh("umask").set("/process/user/umask", umask);
        assert_eq!(bundle.output(), shown);
    }
    Ok(())
}

fn home_comes_from_the_images_passwd() -> Outcome {
    let unknown = (4242, "/");
    let known = [(0, "/root"), (1000, "/home/user")];
    let crun = needs::other_than("crun", "").is_err();
    for (uid, home) in known.into_iter().chain((!crun).then_some(unknown)) {
        let bundle =
            Bundle::new().sh("echo $HOME").set("/process/user", json!({"uid": uid, "gid": 0}));
        assert_eq!(bundle.output(), home, "uid {uid}");
    }
    Ok(())
}

fn home_is_kept_where_it_is_given() -> Outcome {
    assert_eq!(Bundle::new().sh("echo $HOME").env("HOME", "/given").output(), "/given");
    Ok(())
}

fn a_number_is_a_uid_never_a_name() -> Outcome {
    let bundle = Bundle::new()
        .sh("id -u; echo $HOME")
        .set("/process/user", json!({"uid": 1000, "gid": 1000}));
    let passwd =
        "root:x:0:0::/root:/bin/sh\n1000:x:0:0::/trap:/bin/sh\nuser:x:1000:1000::/right:/bin/sh\n";
    fs::write(bundle.rootfs().join("etc/passwd"), passwd).expect("write");
    assert_eq!(bundle.lines(), ["1000", "/right"]);
    Ok(())
}

/// The capability sets that /proc shows, as numbers, in the order of the file:
/// inheritable, permitted, effective, bounding, ambient.
fn capability_sets(bundle: Bundle) -> [u64; 5] {
    let lines = bundle.args(&["grep", "^Cap", "/proc/self/status"]).lines();
    let sets: Vec<u64> = lines
        .iter()
        .map(|line| line.split_once(":\t").expect("a field").1)
        .map(|hex| u64::from_str_radix(hex, 16).expect("a set"))
        .collect();
    sets.try_into().expect("five sets")
}

const CHOWN: u64 = 1;
const KILL: u64 = 1 << 5;
const NET_BIND_SERVICE: u64 = 1 << 10;
const AUDIT_WRITE: u64 = 1 << 29;

fn capability_sets_are_exactly_those_given() -> Outcome {
    let base = CHOWN | KILL | NET_BIND_SERVICE;
    let bundle = Bundle::new().set(
        "/process/capabilities",
        json!({
            "bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_BIND_SERVICE", "CAP_AUDIT_WRITE"],
            "permitted": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_BIND_SERVICE"],
            "effective": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_BIND_SERVICE"],
            "inheritable": ["CAP_KILL", "CAP_NET_BIND_SERVICE"],
            "ambient": ["CAP_NET_BIND_SERVICE"],
        }),
    );
    // The set-uid-root rule of execve(2) gives a uid of 0 all that the bounding
    // and inheritable sets allow, except where there are ambient capabilities:
    // so the sets are looked at as another user.
    let bundle = bundle.set("/process/user", json!({"uid": 1000, "gid": 1000}));
    let [inheritable, permitted, effective, bounding, ambient] = capability_sets(bundle);
    assert_eq!(inheritable, KILL | NET_BIND_SERVICE);
    assert_eq!(bounding, base | AUDIT_WRITE);
    assert_eq!(ambient, NET_BIND_SERVICE);
    assert_eq!(permitted, NET_BIND_SERVICE);
    assert_eq!(effective, NET_BIND_SERVICE);

    let sets = capability_sets(Bundle::new());
    let given = AUDIT_WRITE | KILL | NET_BIND_SERVICE;
    assert_eq!(sets, [0, given, given, given, 0], "nothing inheritable unless asked");
    Ok(())
}

fn no_capabilities_means_none() -> Outcome {
    assert_eq!(capability_sets(Bundle::new().set("/process/capabilities", json!({}))), [0; 5]);
    Ok(())
}

fn a_user_keeps_only_ambient_capabilities() -> Outcome {
    let bundle = Bundle::new().set("/process/user", json!({"uid": 1000, "gid": 1000}));
    let given = AUDIT_WRITE | KILL | NET_BIND_SERVICE;
    assert_eq!(capability_sets(bundle), [0, 0, 0, given, 0]);
    Ok(())
}

fn ambient_capabilities_survive_the_change_of_user() -> Outcome {
    let list = json!(["CAP_CHOWN"]);
    let bundle = Bundle::new()
        .set("/process/user", json!({"uid": 1000, "gid": 1000}))
        .set(
            "/process/capabilities",
            json!({"bounding": list, "permitted": list, "effective": list, "inheritable": list, "ambient": list}),
        );
    assert_eq!(capability_sets(bundle), [CHOWN; 5]);
    Ok(())
}

/// The kernel keeps ambient within inheritable; what breaks that is left out.
fn an_ambient_capability_that_is_not_inheritable_is_left_out() -> Outcome {
    let bundle = Bundle::new().set("/process/capabilities/ambient", json!(["CAP_KILL"]));
    let given = AUDIT_WRITE | KILL | NET_BIND_SERVICE;
    assert_eq!(capability_sets(bundle), [0, given, given, given, 0]);
    Ok(())
}

fn an_unknown_capability_is_a_warning() -> Outcome {
    let bundle = Bundle::new()
        .push("/process/capabilities/bounding", "CAP_NO_SUCH")
        .push("/process/capabilities/permitted", "CAP_NO_SUCH");
    let given = AUDIT_WRITE | KILL | NET_BIND_SERVICE;
    assert_eq!(capability_sets(bundle), [0, given, given, given, 0]);
    Ok(())
}

fn no_new_privileges_is_set() -> Outcome {
    for (flag, shown) in [(true, "NoNewPrivs:\t1"), (false, "NoNewPrivs:\t0")] {
        let bundle = Bundle::new()
            .args(&["grep", "^NoNewPrivs", "/proc/self/status"])
            .set("/process/noNewPrivileges", flag);
        assert_eq!(bundle.output(), shown);
    }
    Ok(())
}

fn set_uid_programs_work_unless_forbidden() -> Outcome {
    for (forbidden, ids) in [(false, "1000 0"), (true, "1000 1000")] {
        let bundle = Bundle::new()
            .with_probe()
            .args(&["/probe", "ids"])
            .set("/process/user", json!({"uid": 1000, "gid": 1000}))
            .set("/process/noNewPrivileges", forbidden)
            .push("/process/capabilities/bounding", "CAP_SETUID");
        let program = bundle.rootfs().join("probe");
        fs::set_permissions(program, std::os::unix::fs::PermissionsExt::from_mode(0o4755))
            .expect("chmod");
        assert_eq!(bundle.output(), ids, "noNewPrivileges {forbidden}");
    }
    Ok(())
}

/// A line of /proc/self/limits: soft and hard limit.
fn limit(limits: &str, name: &str) -> (String, String) {
    let line = limits.lines().find(|line| line.starts_with(name)).expect("a limit");
    let mut columns = line[26..].split_whitespace().map(str::to_owned);
    (columns.next().expect("soft"), columns.next().expect("hard"))
}

fn resource_limits_are_set() -> Outcome {
    let rlimits = [
        ("RLIMIT_NOFILE", 100, 200, "Max open files"),
        ("RLIMIT_CORE", 0, 0, "Max core file size"),
        ("RLIMIT_STACK", 1_048_576, 2_097_152, "Max stack size"),
        ("RLIMIT_FSIZE", 1_000_000, 1_000_001, "Max file size"),
        ("RLIMIT_CPU", 60, 120, "Max cpu time"),
        ("RLIMIT_AS", 1_000_000_000, 2_000_000_000, "Max address space"),
        ("RLIMIT_MEMLOCK", 4096, 8192, "Max locked memory"),
        ("RLIMIT_SIGPENDING", 10, 11, "Max pending signals"),
        ("RLIMIT_MSGQUEUE", 1000, 1001, "Max msgqueue size"),
        ("RLIMIT_NICE", 0, 0, "Max nice priority"),
        ("RLIMIT_RTPRIO", 0, 0, "Max realtime priority"),
    ];
    let mut bundle = Bundle::new().args(&["cat", "/proc/self/limits"]);
    for (kind, soft, hard, _) in rlimits {
        bundle = bundle.push("/process/rlimits", json!({"type": kind, "soft": soft, "hard": hard}));
    }
    let limits = bundle.output();
    for (kind, soft, hard, name) in rlimits {
        assert_eq!(limit(&limits, name), (soft.to_string(), hard.to_string()), "{kind}");
    }
    Ok(())
}

fn a_resource_limit_may_be_infinite() -> Outcome {
    let infinite = u64::MAX;
    let bundle = Bundle::new()
        .args(&["cat", "/proc/self/limits"])
        .push("/process/rlimits", json!({"type": "RLIMIT_CPU", "soft": 50, "hard": infinite}));
    let hard = limit(&fs::read_to_string("/proc/self/limits").expect("read"), "Max cpu time").1;
    if hard != "unlimited" {
        return Err(Skip("the hard limit of CPU time is finite here".to_owned()));
    }
    assert_eq!(limit(&bundle.output(), "Max cpu time"), ("50".to_owned(), hard));
    Ok(())
}

fn oom_score_adjustment_is_set() -> Outcome {
    let score = |bundle: Bundle| bundle.args(&["cat", "/proc/self/oom_score_adj"]).output();
    assert_eq!(score(Bundle::new().set("/process/oomScoreAdj", 100)), "100");
    let own = fs::read_to_string("/proc/self/oom_score_adj").expect("read");
    assert_eq!(score(Bundle::new()), own.trim(), "not touched unless asked");
    Ok(())
}

fn personality_is_set() -> Outcome {
    needs::since("runc", "1.2", "knows personality")?;
    let domain = |name: &str| {
        let bundle = Bundle::new().set("/linux/personality/domain", name);
        bundle.args(&["cat", "/proc/self/personality"]).output()
    };
    assert_eq!(domain("LINUX32"), "00000008");
    assert_eq!(domain("LINUX"), "00000000");
    Ok(())
}

/// Fields that came with runtime-spec 1.1 and later.
fn knows_scheduling() -> Result<(), Skip> {
    needs::since("runc", "1.2", "knows scheduler and ioPriority")?;
    needs::since("crun", "1.9", "knows ioPriority")
}

fn scheduler_is_set() -> Outcome {
    knows_scheduling()?;
    let container = Bundle::new()
        .args(&["sleep", "60"])
        .set("/process/scheduler", json!({"policy": "SCHED_BATCH", "nice": 5}))
        .start();
    // nice and policy: fields 19 and 41 of proc_pid_stat(5).
    let found = eventually(|| {
        let stat = container.proc("stat");
        let (_, rest) = stat.rsplit_once(") ").expect("a name");
        let fields: Vec<&str> = rest.split(' ').collect();
        (fields[16], fields[38]) == ("5", "3")
    });
    assert!(found, "{}", container.proc("stat"));
    Ok(())
}

fn a_deadline_can_be_given() -> Outcome {
    needs::other_than("crun", "resets its affinity, which such a process may not")?;
    knows_scheduling()?;
    needs::capability(23, "CAP_SYS_NICE")?;
    let scheduler = json!({
        "policy": "SCHED_DEADLINE", "runtime": 1_000_000, "deadline": 50_000_000,
        "period": 50_000_000,
    });
    // A deadline binds a process to all CPUs of its domain, and allows it no children.
    let container = Bundle::new().args(&["sleep", "60"]).set("/process/scheduler", scheduler);
    let container = container.start();
    let found = eventually(|| {
        let stat = container.proc("stat");
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.split(' ').nth(38) == Some("6"))
    });
    assert!(found, "{}", container.proc("stat"));
    Ok(())
}

fn memory_policy_is_set() -> Outcome {
    needs::path("/proc/self/numa_maps")?;
    needs::since("runc", "1.4", "knows memoryPolicy")?;
    needs::since("crun", "1.24", "knows memoryPolicy")?;
    let bundle = Bundle::new()
        .args(&["cat", "/proc/self/numa_maps"])
        .set("/linux/memoryPolicy", json!({"mode": "MPOL_BIND", "nodes": "0"}));
    let output = bundle.output();
    assert!(output.contains(" bind:0 "), "{output}");
    Ok(())
}

fn io_priority_is_set() -> Outcome {
    knows_scheduling()?;
    let bundle = Bundle::new()
        .args(&["ionice"])
        .set("/process/ioPriority", json!({"class": "IOPRIO_CLASS_BE", "priority": 6}));
    assert_eq!(bundle.output(), "best-effort: prio 6");
    Ok(())
}

fn exec_cpu_affinity_is_for_exec_alone() -> Outcome {
    let own = fs::read_to_string("/proc/self/status").expect("read");
    let own =
        own.lines().find(|line| line.starts_with("Cpus_allowed:")).expect("a field").to_owned();
    let bundle = Bundle::new()
        .args(&["grep", "^Cpus_allowed:", "/proc/self/status"])
        .set("/process/execCPUAffinity", json!({"initial": "0", "final": "0"}));
    assert_eq!(bundle.output(), own);
    Ok(())
}
