//! Hostile containers: what runs in one may have changed everything below its
//! root before another program enters it.

use std::fs;
use std::path::Path;

use serde_json::json;

use super::hostile::WHERE;
use crate::harness::{
    Bundle, Container, Outcome, Outside, eventually, needs, replace_by_link, tests, write_program,
};

tests![
    the_working_directory_of_exec_is_no_leaked_descriptor,
    the_runtime_is_not_run_for_exec,
    a_false_proc_gets_nothing_written_by_exec,
    a_false_multiplexer_is_no_terminal,
    passwd_may_be_anything_for_exec,
    a_program_of_exec_does_not_lead_outside,
];

fn idle(bundle: Bundle) -> Container {
    bundle.sh("while :; do sleep 1; done").start()
}

/// CVE-2024-21626.
fn the_working_directory_of_exec_is_no_leaked_descriptor() -> Outcome {
    let container = idle(Bundle::new());
    replace_by_link(container.bundle(), "link", Path::new("/proc/self/fd/7"));
    let numbers = (3..16).map(|number| format!("/proc/self/fd/{number}"));
    for cwd in numbers.chain(["/link".to_owned(), "/proc/self/fd/3/../..".to_owned()]) {
        let ran = container.verb("exec", &["--cwd", &cwd], &["sh", "-c", WHERE]);
        assert!(ran.code != 0 || ran.stdout == "inside\n", "{cwd}: {ran}");
    }
    Ok(())
}

/// CVE-2019-5736.
fn the_runtime_is_not_run_for_exec() -> Outcome {
    let runtime = crate::harness::runtime_path();
    let before = fs::read(&runtime).expect("read");
    let container = idle(Bundle::new());
    let program = container.bundle().rootfs().join("program");
    write_program(&program, "#!/proc/self/exe\n");
    let _ = container.verb("exec", &[], &["/program"]);
    replace_by_link(container.bundle(), "program", Path::new("/proc/self/exe"));
    let _ = container.verb("exec", &[], &["/program"]);
    assert!(fs::read(&runtime).expect("read") == before, "the runtime was written to");
    Ok(())
}

/// CVE-2015-1334, CVE-2025-52881: a container that may mount puts a directory in procfs's place.
fn a_false_proc_gets_nothing_written_by_exec() -> Outcome {
    needs::other_than("crun", "trusts it")?;
    needs::other_than("runc", "refuses it")?;
    let sets = json!(["CAP_SYS_ADMIN"]);
    let bundle = Bundle::new()
        .set(
            "/process/capabilities",
            json!({"bounding": sets, "effective": sets, "permitted": sets}),
        )
        .sh("mount -t tmpfs false /proc && mkdir -p /proc/self/attr /proc/1/attr && \
             for file in self/oom_score_adj 1/oom_score_adj self/attr/exec 1/attr/exec; do \
                 echo untouched >/proc/$file; \
             done; echo ready; sleep 60");
    let container = bundle.start();
    container.says("ready");
    let file = container.bundle().dir().join("process.json");
    let show = "cat /proc/self/oom_score_adj /proc/1/oom_score_adj /proc/self/attr/exec; sleep 60";
    let process = json!({
        "user": {"uid": 0, "gid": 0}, "cwd": "/", "args": ["sh", "-c", show], "env": ["PATH=/bin"],
        "oomScoreAdj": 123,
    });
    fs::write(&file, process.to_string()).expect("write");
    let pid_file = container.bundle().dir().join("exec.pid");
    let line = [
        "exec",
        "--pid-file",
        pid_file.to_str().expect("utf-8"),
        "--process",
        file.to_str().expect("utf-8"),
        container.id(),
    ];
    let entered = container.bundle().sandbox().runtime(&line).spawn();
    let expected = "untouched\n".repeat(3);
    assert!(eventually(|| entered.stdout() == expected), "{}", entered.stdout());
    let written = || fs::read_to_string(&pid_file).unwrap_or_default();
    assert!(eventually(|| !written().is_empty()), "no pid file");
    let pid = written();
    let score = fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).expect("read");
    assert_eq!(score.trim(), "123", "it went to the real one");
    container.kill("KILL");
    entered.finish();
    Ok(())
}

/// CVE-2025-52565: what answers at /dev/ptmx may be a file of a volume.
fn a_false_multiplexer_is_no_terminal() -> Outcome {
    needs::other_than("crun", "opens terminals of the host's")?;
    let bundle = Bundle::new()
        .set("/mounts", json!([{"destination": "/proc", "type": "proc", "source": "proc"}]));
    let outside = Outside::of(&bundle);
    let bundle = bundle
        .bind(&outside.dir, "/volume", &[])
        .sh("rm -rf /dev/ptmx /dev/pts; mkdir /dev/pts; ln -s /volume/file /dev/ptmx; \
         ln -s ../../volume/file /dev/pts/ptmx; echo ready; sleep 60");
    let container = bundle.start();
    container.says("ready");
    let refused = container.verb("exec", &["--tty"], &["true"]).refused();
    outside.is_untouched();
    if needs::cloison().is_ok() {
        refused.complains("terminal");
    }
    Ok(())
}

fn passwd_may_be_anything_for_exec() -> Outcome {
    needs::other_than("runc", "waits for ever on a pipe")?;
    needs::other_than("crun", "waits for ever on a pipe")?;
    let container = idle(Bundle::new());
    let passwd = container.bundle().rootfs().join("etc/passwd");
    for make in ["mkfifo", "mkdir", "ln -s /dev/zero", "ln -s /proc/self/fd/0", "ln -s passwd"] {
        let script = format!("rm -rf /etc/passwd; {make} /etc/passwd");
        container.verb("exec", &[], &["sh", "-c", &script]).ok();
        assert!(passwd.symlink_metadata().is_ok(), "{make}");
        let home = ["sh", "-c", "echo $HOME"];
        let said = container.verb("exec", &["--user", "1000"], &home).ok().stdout;
        assert_eq!(said, "/\n", "{make}");
    }
    Ok(())
}

fn a_program_of_exec_does_not_lead_outside() -> Outcome {
    let container = idle(Bundle::new());
    let outside = container.bundle().host_dir("outside");
    write_program(&outside.join("program"), "#!/bin/sh\necho outside\n");
    let program = outside.join("program");
    replace_by_link(container.bundle(), "program", &program);
    container.verb("exec", &[], &["/program"]).refused();
    replace_by_link(container.bundle(), "program", Path::new("/proc/1/root/../program"));
    container.verb("exec", &[], &["/program"]).refused();
    Ok(())
}
