//! `linux.seccomp`: what the container's program may ask of the kernel
//! (config-linux.md, "Seccomp").

use serde_json::{Value, json};

use crate::harness::{Bundle, Outcome, needs, tests};

tests![
    a_filter_is_installed_where_there_is_one,
    errno_is_eperm_unless_told,
    errno_can_be_chosen,
    the_default_action_has_an_errno_too,
    allow_lists_work,
    kill_process_ends_it_with_sigsys,
    trap_raises_sigsys,
    log_lets_pass,
    trace_without_a_tracer_is_enosys,
    arguments_are_compared,
    all_conditions_of_a_rule_must_hold,
    rules_of_one_call_are_alternatives,
    unknown_system_calls_are_left_out,
    architectures_are_accepted,
    a_32_bit_call_is_filtered,
    flags_are_accepted,
    it_works_without_no_new_privileges,
    it_works_for_another_user,
    the_filter_does_not_hinder_the_setup,
    children_inherit_the_filter,
    a_profile_is_compiled_once,
];

// Numbers of system calls (x86_64) that a test can make with plain numbers.
const UMASK: &str = "95";
const GETCWD: &str = "79";

/// A bundle whose process makes one system call by number and prints the result.
fn calling(seccomp: &Value, call: &[&str]) -> Bundle {
    let mut args = vec!["/probe", "syscall"];
    args.extend(call);
    Bundle::new().with_probe().args(&args).set("/linux/seccomp", seccomp.clone())
}

/// A filter that allows all but what one rule says.
fn rule(rule: Value) -> Value {
    json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]})
}

fn a_filter_is_installed_where_there_is_one() -> Outcome {
    let mode = |bundle: Bundle| bundle.args(&["grep", "^Seccomp:", "/proc/self/status"]).output();
    assert_eq!(mode(Bundle::new()), "Seccomp:\t0");
    let filter = rule(json!({"names": ["swapon"], "action": "SCMP_ACT_ERRNO"}));
    assert_eq!(mode(Bundle::new().set("/linux/seccomp", filter)), "Seccomp:\t2");
    Ok(())
}

fn errno_is_eperm_unless_told() -> Outcome {
    let filter = rule(json!({"names": ["umask"], "action": "SCMP_ACT_ERRNO"}));
    assert_eq!(calling(&filter, &[UMASK, "0"]).output(), "EPERM");
    Ok(())
}

fn errno_can_be_chosen() -> Outcome {
    for (number, name) in [(1, "EPERM"), (38, "ENOSYS"), (13, "EACCES")] {
        let filter =
            rule(json!({"names": ["umask"], "action": "SCMP_ACT_ERRNO", "errnoRet": number}));
        assert_eq!(calling(&filter, &[UMASK, "0"]).output(), name);
    }
    Ok(())
}

/// What a static program needs to start, print and end.
const ENOUGH: [&str; 60] = [
    "read",
    "write",
    "writev",
    "open",
    "openat",
    "close",
    "stat",
    "fstat",
    "lstat",
    "newfstatat",
    "poll",
    "ppoll",
    "lseek",
    "mmap",
    "mprotect",
    "munmap",
    "brk",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sigaltstack",
    "ioctl",
    "access",
    "faccessat",
    "faccessat2",
    "pipe",
    "pipe2",
    "dup",
    "dup2",
    "dup3",
    "getpid",
    "gettid",
    "exit",
    "exit_group",
    "execve",
    "execveat",
    "uname",
    "fcntl",
    "getcwd",
    "chdir",
    "readlink",
    "readlinkat",
    "arch_prctl",
    "prctl",
    "capset",
    "capget",
    "set_tid_address",
    "set_robust_list",
    "rseq",
    "prlimit64",
    "getrandom",
    "futex",
    "getuid",
    "geteuid",
    "getgid",
    "getegid",
    "setuid",
    "setgid",
    "setgroups",
    "getppid",
];

/// And what Go's and C's runtimes want while they are still around.
const MORE: [&str; 32] = [
    "clone",
    "clone3",
    "nanosleep",
    "clock_nanosleep",
    "clock_gettime",
    "epoll_create1",
    "epoll_ctl",
    "epoll_wait",
    "epoll_pwait",
    "eventfd2",
    "getdents64",
    "kill",
    "madvise",
    "sched_getaffinity",
    "sched_yield",
    "statfs",
    "fstatfs",
    "tgkill",
    "timer_create",
    "timer_settime",
    "timer_delete",
    "wait4",
    "waitid",
    "setresuid",
    "setresgid",
    "close_range",
    "fchdir",
    "fchown",
    "umask",
    "getpgrp",
    "getrusage",
    "statx",
];

fn allow_list(more: &Value) -> Value {
    let names: Vec<&str> =
        ENOUGH.iter().chain(&MORE).copied().filter(|name| *name != "umask").collect();
    let mut filter = json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "syscalls": [{"names": names, "action": "SCMP_ACT_ALLOW"}],
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        filter[key] = value.clone();
    }
    filter
}

fn allow_lists_work() -> Outcome {
    let filter = allow_list(&json!({}));
    assert_eq!(calling(&filter, &[UMASK, "0"]).output(), "EPERM");
    assert!(calling(&filter, &["39"]).output().parse::<i32>().is_ok(), "getpid");
    Ok(())
}

fn the_default_action_has_an_errno_too() -> Outcome {
    let filter = allow_list(&json!({"defaultErrnoRet": 38}));
    assert_eq!(calling(&filter, &[UMASK, "0"]).output(), "ENOSYS");
    Ok(())
}

/// 128 and SIGSYS.
const KILLED: i32 = 159;

fn kill_process_ends_it_with_sigsys() -> Outcome {
    for action in ["SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_KILL"] {
        let filter = rule(json!({"names": ["umask"], "action": action}));
        calling(&filter, &[UMASK, "0"]).run().exits(KILLED);
    }
    Ok(())
}

fn trap_raises_sigsys() -> Outcome {
    let filter = rule(json!({"names": ["umask"], "action": "SCMP_ACT_TRAP"}));
    calling(&filter, &[UMASK, "0"]).run().exits(KILLED);
    Ok(())
}

fn log_lets_pass() -> Outcome {
    let filter = rule(json!({"names": ["umask"], "action": "SCMP_ACT_LOG"}));
    assert_eq!(calling(&filter, &[UMASK, "0"]).output(), "18", "the umask was 022");
    Ok(())
}

fn trace_without_a_tracer_is_enosys() -> Outcome {
    let filter = rule(json!({"names": ["umask"], "action": "SCMP_ACT_TRACE"}));
    assert_eq!(calling(&filter, &[UMASK, "0"]).output(), "ENOSYS");
    Ok(())
}

/// Whether umask(`argument`) is stopped by a rule with these conditions.
fn stopped(conditions: &Value, argument: &str) -> bool {
    let filter = rule(json!({"names": ["umask"], "action": "SCMP_ACT_ERRNO", "args": conditions}));
    calling(&filter, &[UMASK, argument]).output() == "EPERM"
}

fn arguments_are_compared() -> Outcome {
    // operator, value, second value, an argument that meets it, one that does not
    let rows = [
        ("SCMP_CMP_EQ", 5, 0, "5", "6"),
        ("SCMP_CMP_NE", 5, 0, "6", "5"),
        ("SCMP_CMP_LT", 5, 0, "4", "5"),
        ("SCMP_CMP_LE", 5, 0, "5", "6"),
        ("SCMP_CMP_GE", 5, 0, "5", "4"),
        ("SCMP_CMP_GT", 5, 0, "6", "5"),
        // The mask comes first, then what the masked argument must be.
        ("SCMP_CMP_MASKED_EQ", 6, 2, "3", "6"),
    ];
    for (operator, value, second, meets, misses) in rows {
        let condition = json!([{"index": 0, "value": value, "valueTwo": second, "op": operator}]);
        assert!(stopped(&condition, meets), "{operator} {meets}");
        assert!(!stopped(&condition, misses), "{operator} {misses}");
    }
    Ok(())
}

fn all_conditions_of_a_rule_must_hold() -> Outcome {
    // setpriority(which, who, prio) with values that change nothing of interest.
    let filter = rule(
        json!({"names": ["setpriority"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38, "args": [
            {"index": 0, "value": 0, "op": "SCMP_CMP_EQ"},
            {"index": 2, "value": 7, "op": "SCMP_CMP_EQ"},
        ]}),
    );
    assert_eq!(calling(&filter, &["141", "0", "0", "7"]).output(), "ENOSYS");
    assert_eq!(calling(&filter, &["141", "0", "0", "6"]).output(), "0");
    Ok(())
}

fn rules_of_one_call_are_alternatives() -> Outcome {
    let one = |value: u32| {
        json!({"names": ["umask"], "action": "SCMP_ACT_ERRNO",
               "args": [{"index": 0, "value": value, "op": "SCMP_CMP_EQ"}]})
    };
    let filter = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [one(1), one(2)]});
    for (argument, result) in [("1", "EPERM"), ("2", "EPERM"), ("3", "18")] {
        assert_eq!(calling(&filter, &[UMASK, argument]).output(), result);
    }
    Ok(())
}

/// Profiles list calls that came later, or belong to other machines.
fn unknown_system_calls_are_left_out() -> Outcome {
    let filter = rule(
        json!({"names": ["no_such_call", "umask", "s390_runtime_instr"], "action": "SCMP_ACT_ERRNO"}),
    );
    assert_eq!(calling(&filter, &[UMASK, "0"]).output(), "EPERM");
    Ok(())
}

fn architectures_are_accepted() -> Outcome {
    let mut filter = rule(json!({"names": ["umask"], "action": "SCMP_ACT_ERRNO"}));
    filter["architectures"] = json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]);
    assert_eq!(calling(&filter, &[UMASK, "0"]).output(), "EPERM");
    Ok(())
}

/// umask of the 32-bit table, by the door that is for it.
fn a_32_bit_call_is_filtered() -> Outcome {
    if !cfg!(target_arch = "x86_64") || !crate::harness::probe::has_32_bit_calls() {
        return Err(crate::harness::Skip("this machine has no 32-bit system calls".to_owned()));
    }
    let calling = |architectures: &[&str]| {
        let mut filter = rule(json!({"names": ["umask"], "action": "SCMP_ACT_ERRNO"}));
        filter["architectures"] = json!(architectures);
        let bundle = Bundle::new().with_probe().args(&["/probe", "syscall32", "60", "0"]);
        bundle.set("/linux/seccomp", filter).run()
    };
    assert_eq!(calling(&["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]).ok().stdout, "EPERM\n");
    // A filter for other architectures only ends whoever uses this one.
    calling(&["SCMP_ARCH_X86_64"]).exits(128 + 31);
    Ok(())
}

fn flags_are_accepted() -> Outcome {
    needs::since("runc", "1.2", "knows seccomp flags")?;
    for flags in
        [json!([]), json!(["SECCOMP_FILTER_FLAG_LOG"]), json!(["SECCOMP_FILTER_FLAG_SPEC_ALLOW"])]
    {
        let mut filter = rule(json!({"names": ["umask"], "action": "SCMP_ACT_ERRNO"}));
        filter["flags"] = flags;
        assert_eq!(calling(&filter, &[UMASK, "0"]).output(), "EPERM");
    }
    Ok(())
}

fn it_works_without_no_new_privileges() -> Outcome {
    let filter = rule(json!({"names": ["umask"], "action": "SCMP_ACT_ERRNO"}));
    let bundle = calling(&filter, &[UMASK, "0"]).set("/process/noNewPrivileges", false);
    assert_eq!(bundle.output(), "EPERM");
    Ok(())
}

fn it_works_for_another_user() -> Outcome {
    let filter = rule(json!({"names": ["umask"], "action": "SCMP_ACT_ERRNO"}));
    for privileges in [true, false] {
        let bundle = calling(&filter, &[UMASK, "0"])
            .set("/process/user", json!({"uid": 1000, "gid": 1000}))
            .set("/process/noNewPrivileges", privileges);
        assert_eq!(bundle.output(), "EPERM");
    }
    Ok(())
}

/// With noNewPrivileges the filter is the last thing before the program.
fn the_filter_does_not_hinder_the_setup() -> Outcome {
    needs::other_than("runc", "looks at the working directory under the filter")?;
    let names = [
        "getcwd",
        "chdir",
        "fchdir",
        "setresuid",
        "setresgid",
        "setgroups",
        "capset",
        "mount",
        "pivot_root",
        "unshare",
        "setns",
        "sethostname",
        "umount2",
        "openat2",
        "mknodat",
        "setsid",
        "dup3",
    ];
    let filter = rule(json!({"names": names, "action": "SCMP_ACT_ERRNO"}));
    assert_eq!(calling(&filter, &[GETCWD, "0", "0"]).output(), "EPERM");
    Ok(())
}

fn children_inherit_the_filter() -> Outcome {
    let filter = rule(json!({"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}));
    let bundle =
        Bundle::new().set("/linux/seccomp", filter).sh("sh -c 'mkdir /made || echo refused'");
    assert_eq!(bundle.output(), "refused");
    Ok(())
}

/// LAUNCH-20
fn a_profile_is_compiled_once() -> Outcome {
    needs::cloison()?;
    let filter = rule(json!({
        "names": ["umask", "no_such_call"], "action": "SCMP_ACT_ERRNO", "errnoRet": 7,
    }));
    let bundle = calling(&filter, &[UMASK, "0"]);
    let cache = bundle.sandbox().root().join(".cache/seccomp");
    let files = || -> Vec<_> {
        let dir = std::fs::read_dir(&cache).unwrap();
        dir.map(|entry| entry.unwrap().path()).collect()
    };
    let first = bundle.run().ok();
    let [file] = &files()[..] else { panic!("one file for one profile") };
    let made = std::fs::metadata(file).unwrap().modified().unwrap();
    let second = bundle.run().ok();
    assert_eq!((&first.stdout, &first.stderr), (&second.stdout, &second.stderr));
    assert!(first.stderr.contains("no_such_call"), "{first}");
    assert_eq!(std::fs::metadata(file).unwrap().modified().unwrap(), made, "written again");
    // What is damaged is made again.
    std::fs::write(file, "x").unwrap();
    assert_eq!(bundle.output(), "E2BIG");
    assert!(std::fs::metadata(file).unwrap().len() > 100);
    let other = rule(json!({"names": ["umask"], "action": "SCMP_ACT_ERRNO", "errnoRet": 9}));
    let bundle = bundle.set("/linux/seccomp", other);
    assert_eq!(bundle.output(), "EBADF");
    assert_eq!(files().len(), 2);
    Ok(())
}
