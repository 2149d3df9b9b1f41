//! What the caller has and the container must not get: groups, capabilities,
//! keys, its terminal, the owners of its files.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::process::Stdio;

use serde_json::json;

use crate::harness::tty::Terminal;
use crate::harness::{
    Bundle, Finished, Outcome, copy_program, eventually, needs, runtime_path, tests,
};

tests![
    groups_of_the_caller_stay_outside,
    capabilities_of_the_caller_stay_outside,
    the_callers_terminal_takes_no_input_from_the_container,
    the_callers_terminal_does_not_become_the_containers,
    a_keyring_that_somebody_planted_is_not_joined,
    files_of_the_caller_keep_their_owner,
    a_pid_file_follows_no_link,
    a_pid_files_draft_follows_no_link,
];

/// A command of the runtime by setpriv(1), which gives it privileges.
fn with_privileges(bundle: &Bundle, privileges: &[&str], line: &[&str]) -> Finished {
    let (runtime, root) = (runtime_path(), bundle.sandbox().root());
    let mut all = privileges.to_vec();
    all.extend([runtime.to_str().expect("utf-8"), "--root", root.to_str().expect("utf-8")]);
    all.extend(line);
    bundle.sandbox().program(Path::new("/usr/bin/setpriv"), &all).finish()
}

/// The fields of /proc/self/status of a program of a container that a caller
/// with these privileges makes, and of one that it executes there.
fn status_with(privileges: &[&str], fields: &str) -> Vec<String> {
    let show = ["grep", "-E", fields, "/proc/self/status"];
    let bundle = Bundle::new().args(&show);
    bundle.write();
    let dir = bundle.dir();
    let run = ["run", "--bundle", dir.to_str().expect("utf-8"), bundle.id()];
    let made = with_privileges(&bundle, privileges, &run).ok().stdout;
    let container = Bundle::new().sh("while :; do sleep 1; done").start();
    let mut exec = vec!["exec", container.id()];
    exec.extend(show);
    let executed = with_privileges(container.bundle(), privileges, &exec).ok().stdout;
    let lines = made.lines().chain(executed.lines());
    lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

fn groups_of_the_caller_stay_outside() -> Outcome {
    needs::root()?;
    assert_eq!(status_with(&["--groups", "1234,5678"], "^Groups:"), ["Groups:", "Groups:"]);
    Ok(())
}

/// CVE-2022-29162, from the caller's side.
fn capabilities_of_the_caller_stay_outside() -> Outcome {
    needs::root()?;
    needs::other_than("crun", "hands on ambient capabilities in version 1.28")?;
    let privileges =
        ["--inh-caps", "+net_raw,+sys_ptrace", "--ambient-caps", "+net_raw,+sys_ptrace"];
    let lines = status_with(&privileges, "^Cap(Inh|Amb):");
    let none = "0000000000000000";
    let expected = [format!("CapInh: {none}"), format!("CapAmb: {none}")];
    assert_eq!(lines, [expected.clone(), expected].concat());
    let lines = status_with(&privileges, "^Cap(Prm|Eff|Bnd):");
    assert!(lines.iter().all(|line| line.ends_with(" 0000000020000420")), "{lines:?}");
    Ok(())
}

const TIOCSTI: &str = "21522";
const TIOCSCTTY: &str = "21518";
const IOCTL: &str = "16";

/// What an ioctl(2) on the standard input answers to the container's program,
/// when that input is the terminal of the caller's session.
fn on_the_callers_terminal(request: &str, argument: &str) -> String {
    let bundle =
        Bundle::new().with_probe().args(&["/probe", "syscall", IOCTL, "0", request, argument]);
    bundle.write();
    let (runtime, root, dir) = (runtime_path(), bundle.sandbox().root(), bundle.dir());
    let [runtime, root, dir] = [&runtime, &root, &dir].map(|path| path.to_str().expect("utf-8"));
    let line = ["--ctty", "--wait", runtime, "--root", root, "run", "--bundle", dir, bundle.id()];
    let (_terminal, slave) = Terminal::open();
    let answer = bundle.host_dir("out").join("answer");
    let file = fs::File::create(&answer).expect("create");
    let setsid = bundle.sandbox().program(Path::new("/usr/bin/setsid"), &line);
    setsid.stdio(slave.stdio(), file.into(), Stdio::null()).finish().ok();
    fs::read_to_string(answer).expect("read").trim().to_owned()
}

/// CVE-2016-10124, CVE-2017-5226. The address is none: where input were
/// taken, the answer would be EFAULT.
fn the_callers_terminal_takes_no_input_from_the_container() -> Outcome {
    needs::other_than("runc", "has pipes between the terminal and the program")?;
    let answer = on_the_callers_terminal(TIOCSTI, "0");
    assert!(["EPERM", "EIO"].contains(&answer.as_str()), "{answer}");
    Ok(())
}

/// A session leader may not take the terminal of another session, and steal it only with
/// CAP_SYS_ADMIN.
fn the_callers_terminal_does_not_become_the_containers() -> Outcome {
    needs::other_than("runc", "has pipes between the terminal and the program")?;
    for force in ["0", "1"] {
        assert_eq!(on_the_callers_terminal(TIOCSCTTY, force), "EPERM");
    }
    Ok(())
}

/// keyctl(KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, no)
const SESSION: [&str; 6] = ["/probe", "syscall", "250", "0", "-3", "0"];

/// Session keyrings are found by name, and anybody may have made one.
fn a_keyring_that_somebody_planted_is_not_joined() -> Outcome {
    needs::other_than("runc", "joins it")?;
    needs::other_than("crun", "joins it")?;
    for planter in [0, 1000] {
        let bundle = Bundle::new().with_probe();
        let _sandbox = std::sync::Arc::clone(bundle.sandbox());
        let probe = bundle.sandbox().path().join("probe");
        copy_program(&bundle.rootfs().join("probe"), &probe);
        let name = format!("_ses.{}", bundle.id());
        let planting = bundle.sandbox().program(&probe, &["plant", &name]);
        let planting = if planter == 0 { planting } else { planting.user(planter) }.spawn();
        assert!(eventually(|| planting.stdout().contains("planted")), "not planted");
        let planted = planting.stdout().lines().next().expect("a number").to_owned();

        let bundle = bundle.args(&SESSION);
        assert_ne!(bundle.output(), planted, "of {planter}");
        if planter != 0 {
            let container = bundle.sh("while :; do sleep 1; done").start();
            assert_ne!(container.verb("exec", &[], &SESSION).ok().stdout.trim(), planted, "exec");
        }
        planting.signal(nix::sys::signal::Signal::SIGKILL);
        planting.finish();
    }
    Ok(())
}

/// CVE-2026-88265: only pipes, sockets and its own terminal go to the program's user.
fn files_of_the_caller_keep_their_owner() -> Outcome {
    needs::since("crun", "1.28", "leaves it")?;
    needs::root()?;
    let bundle =
        Bundle::new().set("/process/user", json!({"uid": 1000, "gid": 1000})).sh("echo x; true");
    let dir = bundle.host_dir("files");
    let open = |name: &str| -> Stdio {
        let options = fs::File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(dir.join(name));
        options.expect("open").into()
    };
    let (_terminal, slave) = Terminal::open();
    bundle.invoke("run", &[]).stdio(open("in"), open("out"), open("err")).finish().ok();
    let null = || Stdio::from(fs::File::options().write(true).open("/dev/null").expect("open"));
    bundle.invoke("run", &[]).stdio(slave.stdio(), null(), null()).finish().ok();
    for name in ["in", "out", "err"] {
        assert_eq!(fs::metadata(dir.join(name)).expect("stat").uid(), 0, "{name}");
    }
    assert_eq!(fs::metadata("/dev/null").expect("stat").uid(), 0);
    assert_eq!(slave.owner(), 0, "the caller's terminal");
    Ok(())
}

/// The pid file of a container in a directory where others may write.
fn pid_file_beside(name: &str) -> (Bundle, std::path::PathBuf) {
    let bundle = Bundle::new().args(&["sleep", "60"]);
    let victim = bundle.host_dir("elsewhere").join("victim");
    fs::write(&victim, "untouched").expect("write");
    let dir = bundle.host_dir("shared");
    symlink(&victim, dir.join(name)).expect("symlink");
    (bundle, victim)
}

fn a_pid_file_follows_no_link() -> Outcome {
    needs::other_than("crun", "follows it")?;
    let (bundle, victim) = pid_file_beside("pid");
    let file = bundle.host_dir("shared").join("pid");
    let container = bundle.create_with(&["--pid-file", file.to_str().expect("utf-8")]);
    assert_eq!(fs::read_to_string(victim).expect("read"), "untouched");
    assert_eq!(fs::read_to_string(file).expect("read"), container.pid.to_string());
    Ok(())
}

/// CVE-2015-1331: a name that can be foreseen in a directory that others can write.
fn a_pid_files_draft_follows_no_link() -> Outcome {
    needs::other_than("runc", "has one draft, and fails where it is taken")?;
    for draft in [".pid", ".pid.tmp", "pid.tmp", "pid.new"] {
        let (bundle, victim) = pid_file_beside(draft);
        let file = bundle.host_dir("shared").join("pid");
        let container = bundle.create_with(&["--pid-file", file.to_str().expect("utf-8")]);
        assert_eq!(fs::read_to_string(victim).expect("read"), "untouched");
        assert_eq!(fs::read_to_string(&file).expect("read"), container.pid.to_string());
    }
    Ok(())
}
