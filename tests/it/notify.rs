//! `notify`: system calls that somebody outside answers for
//! (config-linux.md, "Seccomp" and "The Container Process State").

// SAFETY of the whole module: ioctl(2) with the structures of linux/seccomp.h.
#![allow(unsafe_code)]

use std::io::IoSliceMut;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use nix::errno::Errno;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use serde_json::{Value, json};

use crate::harness::{Bundle, Outcome, needs, tests};

tests![
    the_agent_gets_the_state_and_the_listener,
    the_agent_answers_for_the_call,
    it_works_without_no_new_privileges,
    it_works_for_another_user,
    it_works_in_a_user_namespace,
    the_runtime_needs_no_call_of_the_profile_before_the_agent_is_there,
    a_process_that_joins_has_a_listener_of_its_own,
    an_agent_that_is_not_there_is_an_error,
    the_path_is_ignored_where_nothing_is_notified,
];

const GETCWD: &str = "79";
const EXECVE: i32 = 59;

/// struct seccomp_notif
#[repr(C)]
#[derive(Default)]
struct Notification {
    id: u64,
    pid: u32,
    flags: u32,
    nr: i32,
    arch: u32,
    instruction_pointer: u64,
    args: [u64; 6],
}

/// struct seccomp_notif_resp
#[repr(C)]
struct Response {
    id: u64,
    val: i64,
    error: i32,
    flags: u32,
}

const RECV: u64 = 0xc050_2100;
const SEND: u64 = 0xc018_2101;
const CONTINUE: u32 = 1;

/// Receives one process state and answers calls until nobody is left to make
/// any; getcwd fails with EXDEV, all others are let through.
fn agent(path: &Path) -> JoinHandle<(Value, Vec<i32>)> {
    let socket = UnixListener::bind(path).unwrap();
    std::thread::spawn(move || {
        let (stream, _) = socket.accept().unwrap();
        let mut text = vec![0; 65_536];
        let mut space = nix::cmsg_space!([i32; 2]);
        let mut buffers = [IoSliceMut::new(&mut text)];
        let message = recvmsg::<()>(
            stream.as_raw_fd(),
            &mut buffers,
            Some(&mut space),
            MsgFlags::MSG_CMSG_CLOEXEC,
        )
        .unwrap();
        let ControlMessageOwned::ScmRights(fds) = message.cmsgs().unwrap().next().unwrap() else {
            panic!("no descriptor came")
        };
        let len = message.bytes;
        assert_eq!(fds.len(), 1);
        // SAFETY: just received, and nobody else's.
        let listener = unsafe { OwnedFd::from_raw_fd(fds[0]) };
        let state = serde_json::from_slice(&text[..len]).unwrap();
        (state, answer(&listener))
    })
}

fn answer(listener: &OwnedFd) -> Vec<i32> {
    let mut calls = Vec::new();
    loop {
        let mut notification = Notification::default();
        // SAFETY: see the head of the module.
        let got = unsafe { libc::ioctl(listener.as_raw_fd(), RECV as _, &raw mut notification) };
        match Errno::result(got) {
            Ok(_) => {}
            Err(Errno::EINTR) => continue,
            // The last process with this filter has ended.
            Err(_) => return calls,
        }
        calls.push(notification.nr);
        let refuse = notification.nr.to_string() == GETCWD;
        let response = Response {
            id: notification.id,
            val: 0,
            error: if refuse { -(Errno::EXDEV as i32) } else { 0 },
            flags: if refuse { 0 } else { CONTINUE },
        };
        // SAFETY: see the head of the module.
        unsafe { libc::ioctl(listener.as_raw_fd(), SEND as _, &raw const response) };
    }
}

fn notifying(bundle: Bundle, path: &Path, names: &[&str]) -> Bundle {
    bundle.set(
        "/linux/seccomp",
        json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "listenerPath": path,
            "listenerMetadata": "over to you",
            "syscalls": [{"names": names, "action": "SCMP_ACT_NOTIFY"}],
        }),
    )
}

fn calling_getcwd() -> (Bundle, PathBuf) {
    let bundle = Bundle::new().with_probe().args(&["/probe", "syscall", GETCWD, "0", "0"]);
    let path = bundle.host_dir("agent").join("socket");
    (notifying(bundle, &path, &["getcwd"]), path)
}

/// LAUNCH-18
fn the_agent_gets_the_state_and_the_listener() -> Outcome {
    let (bundle, path) = calling_getcwd();
    let agent = agent(&path);
    let container = bundle.set("/annotations", json!({"a": "b"})).create();
    let pid = container.pid;
    container.start();
    container.says("EXDEV");
    container.wait();
    let (state, _) = agent.join().unwrap();
    assert_eq!(state["fds"], json!(["seccompFd"]));
    assert_eq!(state["metadata"], "over to you");
    assert_eq!(state["pid"], pid);
    // (Others name the version that they know, not that of the configuration.)
    if needs::cloison().is_ok() {
        assert_eq!(state["ociVersion"], "1.0.2");
    }
    let inner = &state["state"];
    assert_eq!(inner["id"], container.id());
    assert_eq!(inner["pid"], pid);
    assert_eq!(inner["annotations"]["a"], "b");
    assert_eq!(inner["bundle"], container.bundle().dir().to_str().unwrap());
    Ok(())
}

fn the_agent_answers_for_the_call() -> Outcome {
    let (bundle, path) = calling_getcwd();
    let agent = agent(&path);
    assert_eq!(bundle.output(), "EXDEV");
    assert!(agent.join().unwrap().1.contains(&79));
    Ok(())
}

fn it_works_without_no_new_privileges() -> Outcome {
    needs::other_than("runc", "looks at the working directory under the filter")?;
    let (bundle, path) = calling_getcwd();
    let agent = agent(&path);
    assert_eq!(bundle.set("/process/noNewPrivileges", false).output(), "EXDEV");
    agent.join().unwrap();
    Ok(())
}

fn it_works_for_another_user() -> Outcome {
    let (bundle, path) = calling_getcwd();
    let agent = agent(&path);
    assert_eq!(bundle.set("/process/user", json!({"uid": 1000, "gid": 1000})).output(), "EXDEV");
    agent.join().unwrap();
    Ok(())
}

fn it_works_in_a_user_namespace() -> Outcome {
    let (bundle, path) = calling_getcwd();
    let agent = agent(&path);
    assert_eq!(bundle.in_user_namespace(100_000).output(), "EXDEV");
    agent.join().unwrap();
    Ok(())
}

/// LAUNCH-18
fn the_runtime_needs_no_call_of_the_profile_before_the_agent_is_there() -> Outcome {
    needs::other_than("runc", "needs read, close and futex itself")?;
    let bundle = Bundle::new().with_probe().args(&["/probe", "syscall", GETCWD, "0", "0"]);
    let path = bundle.host_dir("agent").join("socket");
    let names = ["getcwd", "execve", "sendmsg", "recvmsg", "read", "close", "futex", "prctl"];
    let bundle = notifying(bundle, &path, &names);
    let agent = agent(&path);
    assert_eq!(bundle.output(), "EXDEV");
    let (_, calls) = agent.join().unwrap();
    assert!(calls.contains(&EXECVE), "{calls:?}");
    Ok(())
}

/// LAUNCH-24
fn a_process_that_joins_has_a_listener_of_its_own() -> Outcome {
    needs::other_than("crun", "tells no process of the container")?;
    let (bundle, path) = calling_getcwd();
    let first = agent(&path);
    let container = bundle.args(&["sleep", "60"]).start();
    std::fs::remove_file(&path).unwrap();
    let second = agent(&path);
    let program = ["/probe", "syscall", GETCWD, "0", "0"];
    assert_eq!(container.verb("exec", &[], &program).ok().stdout, "EXDEV\n");
    let (state, _) = second.join().unwrap();
    assert_ne!(state["pid"], container.pid);
    assert_eq!(
        (&state["state"]["pid"], &state["state"]["status"]),
        (&json!(container.pid), &json!("running"))
    );
    container.kill("KILL");
    container.wait();
    first.join().unwrap();
    Ok(())
}

/// LAUNCH-19
fn an_agent_that_is_not_there_is_an_error() -> Outcome {
    let (bundle, path) = calling_getcwd();
    let refusal = bundle.run().refused();
    if needs::cloison().is_ok() {
        let text = format!("/linux/seccomp/listenerPath: send the listener to {}", path.display());
        refusal.complains(&text);
    }
    let container = bundle.try_create();
    if container.code != 0 {
        return Ok(());
    }
    let container = bundle.adopt();
    container.verb("start", &[], &[]).refused();
    assert_eq!(container.status(), "stopped");
    Ok(())
}

fn the_path_is_ignored_where_nothing_is_notified() -> Outcome {
    needs::other_than("crun", "looks for the agent all the same")?;
    let filter = json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/nonexistent"});
    Bundle::new().set("/linux/seccomp", filter).output();
    Ok(())
}
