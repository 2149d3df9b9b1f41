//! `rootless`: containers of ordinary users, and of those who are root in a
//! user namespace alone (user_namespaces(7)).

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::harness::{
    Bundle, Finished, Outcome, copy_program, needs, replace_by_link, runtime_path, tests,
    write_program,
};

tests![
    a_user_runs_a_container,
    a_user_goes_through_all_verbs,
    one_id_needs_no_helper,
    the_hosts_devices_are_bound,
    the_root_of_the_container_may_have_another_number,
    other_ids_need_a_helper,
    a_helper_has_a_deadline,
    of_what_a_helper_says_the_end_is_kept,
    a_helper_maps_other_ids,
    the_administrators_helpers_map_subordinate_ids,
    supplementary_groups_are_refused,
    the_default_state_lies_in_the_run_time_directory,
    root_of_a_user_namespace_runs_a_container,
    a_users_image_does_not_lead_outside,
    the_cgroup_view_of_a_user_is_read_only_where_asked,
    the_configuration_of_spec_runs,
    it_runs_on_hosts_with_v1_hierarchies,
    a_delegated_cgroup_is_used,
    without_a_cgroup_the_callers_is_shown,
    flags_of_the_hosts_mounts_are_kept,
    a_flag_of_the_hosts_mount_cannot_be_taken_away,
    proc_and_sysfs_of_the_caller_stand_in_for_new_ones,
    a_proc_that_cannot_be_had_is_told,
    a_user_namespace_of_ones_own_is_joined,
    root_of_a_user_namespace_joins_a_pid_namespace,
    sysctls_are_written_where_no_procfs_is_to_be_had,
    user_namespaces_may_be_nested,
];

const USER: u32 = 12_345;

fn bundle() -> Bundle {
    Bundle::new().for_user(USER)
}

fn run(bundle: &Bundle) -> Finished {
    bundle.invoke("run", &[]).user(USER).finish()
}

fn user_namespaces() -> Outcome {
    let limit = fs::read_to_string("/proc/sys/user/max_user_namespaces").unwrap_or_default();
    if limit.trim() == "0" { needs::path("/user namespaces for ordinary users") } else { Ok(()) }
}

/// NS-8
fn a_user_runs_a_container() -> Outcome {
    user_namespaces()?;
    assert_eq!(run(&bundle().args(&["id", "-u"])).ok().stdout, "0\n");
    Ok(())
}

fn a_user_goes_through_all_verbs() -> Outcome {
    user_namespaces()?;
    let bundle = bundle().args(&["sleep", "100"]);
    let verb = |line: &[&str]| bundle.sandbox().runtime(line).user(USER).finish().ok();
    let output = bundle.dir().join("container");
    bundle.invoke("create", &[]).user(USER).keeping_output_in(output).finish().ok();
    let id = bundle.id();
    let status = || {
        let state: serde_json::Value = serde_json::from_str(&verb(&["state", id]).stdout).unwrap();
        state["status"].as_str().unwrap().to_owned()
    };
    assert_eq!(status(), "created");
    verb(&["start", id]);
    assert_eq!(status(), "running");
    verb(&["kill", id, "KILL"]);
    assert!(crate::harness::eventually(|| status() == "stopped"));
    verb(&["delete", id]);
    Ok(())
}

/// NS-9
fn one_id_needs_no_helper() -> Outcome {
    user_namespaces()?;
    let bundle = bundle().args(&["cat", "/proc/self/setgroups", "/proc/self/uid_map"]);
    let output = bundle.invoke("run", &[]).user(USER).env("PATH", "/nonexistent").finish().ok();
    let words: Vec<&str> = output.stdout.split_whitespace().collect();
    assert_eq!(words, ["deny", "0", "12345", "1"]);
    // CG-6
    assert_eq!(output.stderr, "", "nothing is left out that was asked for");
    Ok(())
}

fn the_hosts_devices_are_bound() -> Outcome {
    user_namespaces()?;
    let script = "echo x >/dev/null && head -c 1 /dev/zero | wc -c && stat -c %t:%T /dev/full";
    assert_eq!(run(&bundle().sh(script)).ok().stdout, "1\n1:7\n");
    Ok(())
}

/// NS-12
fn the_root_of_the_container_may_have_another_number() -> Outcome {
    needs::since("runc", "1.2", "knows users without a root")?;
    user_namespaces()?;
    let ids = json!([{"containerID": 1000, "hostID": USER, "size": 1}]);
    let bundle = bundle()
        .set("/linux/uidMappings", ids.clone())
        .set("/linux/gidMappings", ids)
        .set("/process/user", json!({"uid": 1000, "gid": 1000}));
    assert_eq!(run(&bundle.args(&["id", "-u"])).ok().stdout, "1000\n");
    Ok(())
}

fn of_two_ranges(bundle: Bundle) -> Bundle {
    let ids = json!([
        {"containerID": 0, "hostID": USER, "size": 1},
        {"containerID": 1, "hostID": 200_000, "size": 1000},
    ]);
    bundle.set("/linux/uidMappings", ids.clone()).set("/linux/gidMappings", ids)
}

/// NS-10
fn other_ids_need_a_helper() -> Outcome {
    user_namespaces()?;
    needs::cloison()?;
    let bundle = of_two_ranges(bundle());
    let refusal = bundle.invoke("run", &[]).user(USER).env("PATH", "/nonexistent").finish();
    refusal
        .refused()
        .complains("/linux/gidMappings: newgidmap is not installed")
        .complains("12345");
    Ok(())
}

fn a_helper_has_a_deadline() -> Outcome {
    user_namespaces()?;
    needs::cloison()?;
    let bundle = of_two_ranges(bundle());
    bundle.write();
    let helpers = bundle.host_dir("helpers");
    write_program(&helpers.join("newgidmap"), "#!/bin/sh\nexec /bin/sleep 60\n");
    let dir = bundle.dir();
    let line = ["--deadline", "hook=0.3", "run", "--bundle", dir.to_str().unwrap(), bundle.id()];
    let refusal = bundle.sandbox().runtime(&line).user(USER).env("PATH", &helpers).finish();
    refusal.refused().complains("newgidmap").complains("--deadline hook");
    assert!(bundle.sandbox().leftovers().is_empty());
    Ok(())
}

fn of_what_a_helper_says_the_end_is_kept() -> Outcome {
    user_namespaces()?;
    needs::cloison()?;
    let bundle = of_two_ranges(bundle());
    let helpers = bundle.host_dir("helpers");
    let script = "#!/bin/sh\nPATH=/usr/bin:/bin\nhead -c 3000000 /dev/zero | tr '\\0' x >&2\n\
        echo \"in a file of $(stat -L -c %s /proc/$$/fd/2) bytes\" >&2\nexit 3\n";
    write_program(&helpers.join("newgidmap"), script);
    let refusal = bundle.invoke("run", &[]).user(USER).env("PATH", &helpers).finish().refused();
    let refusal = refusal
        .complains("/linux/gidMappings: newgidmap: exit status 3: xxx")
        .complains("xxxin a file of 0 bytes");
    assert!(refusal.stderr.len() < 1000, "{} bytes", refusal.stderr.len());
    assert!(bundle.sandbox().leftovers().is_empty());
    Ok(())
}

/// Programs that map any ids for anybody, as long as the directory is there.
fn helpers(bundle: &Bundle) -> PathBuf {
    let dir = bundle.host_dir("helpers");
    for name in ["newuidmap", "newgidmap"] {
        let file = dir.join(name);
        copy_program(&std::env::current_exe().unwrap(), &file);
        fs::set_permissions(&file, PermissionsExt::from_mode(0o4755)).unwrap();
    }
    dir
}

fn a_helper_maps_other_ids() -> Outcome {
    needs::other_than("runc", "gives an ordinary user no groups")?;
    user_namespaces()?;
    let bundle = of_two_ranges(bundle())
        .args(&["cat", "/proc/self/uid_map", "/proc/self/gid_map"])
        .set("/process/user/additionalGids", json!([5, 7]));
    let path = helpers(&bundle);
    let output = bundle.invoke("run", &[]).user(USER).env("PATH", &path).finish().ok();
    let words: Vec<&str> = output.stdout.split_whitespace().collect();
    let map = ["0", "12345", "1", "1", "200000", "1000"];
    assert_eq!(words, [map, map].concat());
    Ok(())
}

/// A user that the administrator has given ids to: number, first user id, first group id
/// (subuid(5)).
fn with_subordinate_ids() -> Option<(u32, u32, u32)> {
    let line_of = |file: &str, name: &str| {
        let text = fs::read_to_string(file).ok()?;
        let line = text.lines().find(|line| line.split(':').next() == Some(name))?;
        Some(line.split(':').map(str::to_owned).collect::<Vec<_>>())
    };
    let users = fs::read_to_string("/etc/passwd").ok()?;
    users.lines().find_map(|line| {
        let name = line.split(':').next()?;
        let first = |file| line_of(file, name)?.get(1)?.parse::<u32>().ok();
        let id = line.split(':').nth(2)?.parse().ok().filter(|id| *id != 0)?;
        Some((id, first("/etc/subuid")?, first("/etc/subgid")?))
    })
}

/// NS-10
fn the_administrators_helpers_map_subordinate_ids() -> Outcome {
    needs::other_than("runc", "refuses additional groups beside such maps")?;
    user_namespaces()?;
    needs::path("/usr/bin/newuidmap")?;
    needs::path("/usr/bin/newgidmap")?;
    let Some((id, uids, gids)) = with_subordinate_ids() else {
        return Err(crate::harness::Skip("nobody has subordinate ids here".to_owned()));
    };
    let map = |first| {
        json!([
            {"containerID": 0, "hostID": id, "size": 1},
            {"containerID": 1, "hostID": first, "size": 1000},
        ])
    };
    let bundle = Bundle::new()
        .for_user(id)
        .set("/linux/uidMappings", map(uids))
        .set("/linux/gidMappings", map(gids))
        .set("/process/user", json!({"uid": 7, "gid": 8, "additionalGids": [9]}))
        .args(&["sh", "-c", "id -u; id -g; grep Groups /proc/self/status; cat /proc/self/uid_map"]);
    let output = bundle.invoke("run", &[]).user(id).env("PATH", "/usr/bin:/bin").finish().ok();
    let words: Vec<&str> = output.stdout.split_whitespace().collect();
    let (id, uids) = (id.to_string(), uids.to_string());
    let map = ["0", &id, "1", "1", &uids, "1000"];
    assert_eq!(words, [&["7", "8", "Groups:", "9"], &map[..]].concat());
    Ok(())
}

fn supplementary_groups_are_refused() -> Outcome {
    needs::other_than("crun", "leaves them out in silence")?;
    user_namespaces()?;
    let refusal = run(&bundle().set("/process/user/additionalGids", json!([0]))).refused();
    needs::cloison()?;
    refusal.complains("/process/user/additionalGids");
    Ok(())
}

/// CLI-5
fn the_default_state_lies_in_the_run_time_directory() -> Outcome {
    user_namespaces()?;
    needs::cloison()?;
    let bundle = bundle().args(&["sleep", "100"]);
    bundle.write();
    let dir = bundle.host_dir("run");
    std::os::unix::fs::chown(&dir, Some(USER), Some(USER)).unwrap();
    let verb = |line: &[&str]| {
        let command = bundle.sandbox().bare_runtime(line).user(USER);
        command.env("XDG_RUNTIME_DIR", &dir).finish().ok()
    };
    verb(&["create", "--bundle", bundle.dir().to_str().unwrap(), bundle.id()]);
    assert!(dir.join("cloison").join(bundle.id()).is_dir());
    verb(&["delete", "--force", bundle.id()]);
    Ok(())
}

/// NS-11
fn root_of_a_user_namespace_runs_a_container() -> Outcome {
    user_namespaces()?;
    needs::path("/usr/bin/unshare")?;
    for own_users in [false, true] {
        let mut bundle = bundle().args(&["id", "-u"]);
        if own_users {
            let ids = json!([{"containerID": 0, "hostID": 0, "size": 1}]);
            bundle = bundle.set("/linux/uidMappings", ids.clone()).set("/linux/gidMappings", ids);
        } else {
            bundle = bundle
                .without_namespace("user")
                .unset("/linux/uidMappings")
                .unset("/linux/gidMappings");
        }
        bundle.write();
        let (root, dir, runtime) = (bundle.sandbox().root(), bundle.dir(), runtime_path());
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let line = [
            "--user",
            "--map-root-user",
            "--mount",
            &text(&runtime),
            "--root",
            &text(&root),
            "run",
            "--bundle",
            &text(&dir),
            bundle.id(),
        ];
        let nested = bundle.sandbox().program(Path::new("/usr/bin/unshare"), &line);
        assert_eq!(nested.user(USER).finish().ok().stdout, "0\n");
    }
    Ok(())
}

/// The classes of CVE-2021-30465, CVE-2026-41579 and CVE-2025-31133, where devices are bound.
fn a_users_image_does_not_lead_outside() -> Outcome {
    user_namespaces()?;
    needs::since("runc", "1.3.6", "has CVE-2026-41579 mended")?;
    needs::since("crun", "1.30", "has CVE-2026-88264 mended")?;
    let plain = json!([{"destination": "/proc", "type": "proc", "source": "proc"}]);
    for (name, target) in [
        ("dev", "outside"),
        ("dev/null", "outside/file"),
        ("dev/tty", "outside/file"),
        ("dev/pts", "outside"),
        ("dev/ptmx", "outside/file"),
        ("data", "outside"),
    ] {
        let bundle = bundle().set("/mounts", plain.clone());
        let outside = bundle.host_dir("outside");
        fs::write(outside.join("file"), "untouched").expect("write");
        for path in [&outside, &outside.join("file")] {
            std::os::unix::fs::chown(path, Some(USER), Some(USER)).expect("chown");
        }
        replace_by_link(&bundle, name, &bundle.sandbox().path().join(target));
        let bundle = bundle
            .mount("/data/made", "tmpfs", "tmpfs", &[])
            .set("/linux/maskedPaths", json!(["/proc/keys"]))
            .sh("echo written >/dev/null; echo written >/dev/ptmx; true");
        let _ = run(&bundle);
        let names: Vec<_> = fs::read_dir(&outside).expect("list").flatten().collect();
        assert_eq!(names.len(), 1, "{name}: something was made outside");
        assert_eq!(fs::read_to_string(outside.join("file")).expect("read"), "untouched", "{name}");
    }
    Ok(())
}

/// CVE-2023-25809: without a cgroup namespace a user sees cgroups that are his outside, too.
fn the_cgroup_view_of_a_user_is_read_only_where_asked() -> Outcome {
    user_namespaces()?;
    for own_view in [true, false] {
        let bundle = bundle()
            .mount("/sys/fs/cgroup", "cgroup", "cgroup", &["ro", "nosuid", "noexec", "nodev"])
            .sh("grep -c ' /sys/fs/cgroup ro,' /proc/self/mountinfo; \
                 mkdir /sys/fs/cgroup/made 2>/dev/null && echo made; true");
        let bundle = if own_view { bundle } else { bundle.without_namespace("cgroup") };
        let ran = run(&bundle);
        // Whoever cannot show it so has to refuse.
        if ran.code == 0 {
            assert_eq!(ran.stdout, "1\n", "{ran}");
        }
    }
    Ok(())
}

/// The bundle with the configuration that `spec --rootless` writes, for a program without a terminal.
fn of_spec(args: &[&str]) -> Result<Bundle, crate::harness::Skip> {
    needs::cloison()?;
    let bundle = bundle();
    let dir = bundle.dir();
    let line = ["spec", "--rootless", "--bundle", dir.to_str().unwrap()];
    bundle.sandbox().bare_runtime(&line).user(USER).finish().ok();
    let text = fs::read(dir.join("config.json")).unwrap();
    let mut config: serde_json::Value = serde_json::from_slice(&text).unwrap();
    config["process"]["terminal"] = json!(false);
    config["process"]["args"] = json!(args);
    config["process"]["env"]
        .as_array_mut()
        .unwrap()
        .extend(bundle.config()["process"]["env"].as_array().unwrap().iter().cloned());
    Ok(bundle.text(serde_json::to_vec(&config).unwrap()))
}

const VIEW: &str = "id -u; ls /sys/fs/cgroup | wc -l; test -d /sys/class; cat /proc/self/cgroup";

fn the_configuration_of_spec_runs() -> Outcome {
    user_namespaces()?;
    let output = run(&of_spec(&["sh", "-c", VIEW])?).ok().stdout;
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(lines[0], "0");
    assert_ne!(lines[1], "0", "{output}");
    Ok(())
}

/// NS-14
fn it_runs_on_hosts_with_v1_hierarchies() -> Outcome {
    user_namespaces()?;
    needs::v1_controller("memory")?;
    crate::harness::on_host_hierarchies(|| {
        let bundle = of_spec(&["sh", "-c", "ls /sys/fs/cgroup; ls /sys/fs/cgroup/memory | wc -l"])?;
        let output = run(&bundle).ok().stdout;
        let lines: Vec<&str> = output.lines().collect();
        assert!(lines.contains(&"memory"), "{output}");
        assert_ne!(lines.last(), Some(&"0"), "{output}");
        Ok(())
    })
}

/// Runs a command as the user, from a cgroup that has been made the user's own.
fn delegated(bundle: &Bundle, line: &[&str]) -> (PathBuf, Finished) {
    let cgroup = PathBuf::from("/sys/fs/cgroup").join(format!("{}-user", bundle.id()));
    let own = cgroup.join("session");
    fs::create_dir_all(&own).unwrap();
    for dir in [&cgroup, &own] {
        for file in ["", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"] {
            std::os::unix::fs::chown(dir.join(file), Some(USER), Some(USER)).unwrap();
        }
    }
    let script = format!(
        "echo $$ >{}/cgroup.procs && exec setpriv --reuid {USER} --regid {USER} --clear-groups \"$@\"",
        own.display()
    );
    let mut all = vec!["-c", &script, "sh"];
    all.extend(line);
    let output = bundle.sandbox().program(Path::new("/bin/sh"), &all).finish();
    (cgroup, output)
}

/// CG-2
fn a_delegated_cgroup_is_used() -> Outcome {
    user_namespaces()?;
    needs::path("/usr/bin/setpriv")?;
    needs::other_than("runc", "makes cgroups for ordinary users through systemd alone")?;
    needs::other_than("crun", "makes cgroups for ordinary users through systemd alone")?;
    let bundle = bundle().without_namespace("cgroup").args(&["cat", "/proc/self/cgroup"]);
    bundle.write();
    let (root, dir, runtime) = (bundle.sandbox().root(), bundle.dir(), runtime_path());
    let (root, dir, runtime) =
        (root.to_str().unwrap(), dir.to_str().unwrap(), runtime.to_str().unwrap());
    let line = [runtime, "--root", root, "run", "--bundle", dir, bundle.id()];
    let (cgroup, output) = delegated(&bundle, &line);
    let left = fs::read_dir(&cgroup).unwrap().flatten();
    let left: Vec<_> = left.filter(|entry| entry.path().is_dir()).collect();
    fs::remove_dir(cgroup.join("session")).unwrap();
    let removed = fs::remove_dir(&cgroup);
    let wanted = format!("{}-user/cloison-{}", bundle.id(), bundle.id());
    assert!(output.stdout.contains(&wanted), "{output}");
    assert_eq!(left.len(), 1, "its cgroup has to be gone: {left:?}");
    removed.unwrap();
    Ok(())
}

/// NS-14
fn without_a_cgroup_the_callers_is_shown() -> Outcome {
    user_namespaces()?;
    needs::cloison()?;
    let bundle = bundle()
        .without_namespace("cgroup")
        .mount("/sys/fs/cgroup", "cgroup", "cgroup", &["ro", "nosuid", "noexec", "nodev"])
        .args(&["test", "-e", "/sys/fs/cgroup/cgroup.procs"]);
    run(&bundle).ok();
    Ok(())
}

/// A directory of the user's on a mount with these flags, seen by the calling thread alone.
fn with_flags(bundle: &Bundle, flags: nix::mount::MsFlags) -> PathBuf {
    let dir = bundle.host_dir("flagged");
    nix::mount::mount(Some("f"), &dir, Some("tmpfs"), flags, Some("mode=777")).unwrap();
    dir
}

/// NS-15
fn flags_of_the_hosts_mounts_are_kept() -> Outcome {
    needs::other_than("runc", "fails where a flag is locked")?;
    use nix::mount::MsFlags;
    user_namespaces()?;
    crate::harness::in_private_mounts(MsFlags::MS_PRIVATE, || {
        let bundle = bundle();
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        let dir = with_flags(&bundle, flags);
        let bundle = bundle
            .bind(&dir, "/data", &["rbind", "ro"])
            .set("/linux/readonlyPaths", json!(["/data"]))
            .args(&["grep", " /data ", "/proc/self/mounts"]);
        let output = run(&bundle);
        nix::mount::umount(&dir).unwrap();
        let output = output.ok().stdout;
        for flag in ["ro,", "nosuid", "nodev", "noexec"] {
            assert!(output.lines().all(|line| line.contains(flag)), "{flag}: {output}");
        }
        Ok(())
    })
}

/// NS-15
fn a_flag_of_the_hosts_mount_cannot_be_taken_away() -> Outcome {
    use nix::mount::MsFlags;
    user_namespaces()?;
    needs::other_than("runc", "keeps the flag without a word")?;
    needs::other_than("crun", "keeps the flag without a word")?;
    crate::harness::in_private_mounts(MsFlags::MS_PRIVATE, || {
        let bundle = bundle();
        let dir = with_flags(&bundle, MsFlags::MS_NOEXEC);
        let bundle = bundle.bind(&dir, "/data", &["exec"]);
        let output = run(&bundle);
        nix::mount::umount(&dir).unwrap();
        output.refused().complains("/mounts/6/options");
        Ok(())
    })
}

/// NS-16
fn proc_and_sysfs_of_the_caller_stand_in_for_new_ones() -> Outcome {
    user_namespaces()?;
    needs::cloison()?;
    let bundle = bundle().without_namespace("network").without_namespace("pid").sh(
        "test -d /sys/class/net/lo && test -d /proc/$$ && grep -c ' /sys sysfs ro' /proc/mounts",
    );
    assert_eq!(run(&bundle).ok().stdout, "1\n");
    Ok(())
}

/// NS-16
fn a_proc_that_cannot_be_had_is_told() -> Outcome {
    use nix::mount::{MsFlags, mount, umount};
    user_namespaces()?;
    crate::harness::in_private_mounts(MsFlags::MS_PRIVATE, || {
        let bundle = bundle();
        let file = bundle.dir().join("uptime");
        fs::write(&file, "").unwrap();
        mount(Some(&file), "/proc/uptime", None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
        let output = run(&bundle);
        umount("/proc/uptime").unwrap();
        let output = output.refused();
        needs::cloison()?;
        output.complains("/mounts/0: mount proc at /proc").complains("covers");
        Ok(())
    })
}

/// NS-3
/// SEC-7. As podman does it for an ordinary user's `--pid host`.
fn sysctls_are_written_where_no_procfs_is_to_be_had() -> Outcome {
    needs::other_than("crun", "fails where procfs cannot be mounted")?;
    needs::other_than("runc", "fails where procfs cannot be mounted")?;
    user_namespaces()?;
    needs::path("/usr/bin/unshare")?;
    let bundle = bundle()
        .without_namespace("user")
        .without_namespace("pid")
        .unset("/linux/uidMappings")
        .unset("/linux/gidMappings")
        .set("/linux/sysctl", json!({"net.ipv4.ip_forward": "1"}))
        .args(&["cat", "/proc/sys/net/ipv4/ip_forward"]);
    bundle.write();
    let (root, runtime) = (bundle.sandbox().root(), runtime_path());
    let (root, runtime) = (root.to_str().unwrap(), runtime.to_str().unwrap());
    let dir = bundle.dir();
    let mut line = vec!["--user", "--map-root-user", "--mount", runtime, "--root", root];
    line.extend(["run", "--bundle", dir.to_str().unwrap(), bundle.id()]);
    let nested = bundle.sandbox().program(Path::new("/usr/bin/unshare"), &line);
    assert_eq!(nested.user(USER).finish().ok().stdout, "1\n");
    Ok(())
}

/// LAUNCH-4. As podman does it for an ordinary user's `--pid container:ID`; hooks of the second
/// container stay outside.
fn root_of_a_user_namespace_joins_a_pid_namespace() -> Outcome {
    user_namespaces()?;
    needs::path("/usr/bin/unshare")?;
    let shared = |bundle: Bundle| {
        let bundle = bundle.without_namespace("user");
        bundle.unset("/linux/uidMappings").unset("/linux/gidMappings")
    };
    let first = shared(bundle().args(&["sleep", "100"]));
    let second = Bundle::in_sandbox(first.sandbox(), "b").for_user(USER);
    let told = second.dir().join("told");
    let hook = format!("readlink /proc/self/ns/pid >{}", told.display());
    let second = shared(second)
        .join_namespace("pid", "/proc/PID/ns/pid")
        .push("/hooks/createRuntime", json!({"path": "/bin/sh", "args": ["sh", "-c", hook]}))
        .args(&["readlink", "/proc/self/ns/pid"]);
    first.write();
    second.write();
    let script = format!(
        "runtime='{runtime} --root {root}'; cd {first}
         $runtime run --detach --pid-file pid first >/dev/null 2>&1 </dev/null || exit
         sed -i s,/proc/PID,/proc/$(cat pid), {second}/config.json
         readlink /proc/$(cat pid)/ns/pid
         $runtime run --bundle {second} second; status=$?
         $runtime delete --force first; exit $status",
        runtime = runtime_path().display(),
        root = first.sandbox().root().display(),
        first = first.dir().display(),
        second = second.dir().display(),
    );
    let line = ["--user", "--map-root-user", "--mount", "sh", "-c", &script];
    let nested = first.sandbox().program(Path::new("/usr/bin/unshare"), &line);
    let output = nested.user(USER).finish().ok().stdout;
    let namespaces: Vec<&str> = output.lines().collect();
    assert!(matches!(namespaces[..], [a, b] if a == b), "{output}");
    let outside = fs::read_link("/proc/self/ns/pid").unwrap();
    assert_eq!(fs::read_to_string(told).unwrap().trim(), outside.to_str().unwrap());
    Ok(())
}

fn a_user_namespace_of_ones_own_is_joined() -> Outcome {
    user_namespaces()?;
    needs::cloison()?;
    let first = bundle().args(&["sleep", "100"]);
    let output = first.dir().join("container");
    first.invoke("create", &[]).user(USER).keeping_output_in(output).finish().ok();
    // Nobody looks into an init that waits, nor into its namespaces.
    first.sandbox().runtime(&["start", first.id()]).user(USER).finish().ok();
    let state = first.sandbox().runtime(&["state", first.id()]).user(USER).finish().ok().stdout;
    let state: serde_json::Value = serde_json::from_str(&state).unwrap();
    let path = format!("/proc/{}/ns/user", state["pid"]);
    let second = Bundle::in_sandbox(first.sandbox(), "b").for_user(USER);
    let second = second.join_namespace("user", &path).args(&["readlink", "/proc/self/ns/user"]);
    let inside = run(&second).ok().stdout;
    let outside = fs::read_link(path).unwrap();
    first.sandbox().runtime(&["delete", "--force", first.id()]).user(USER).finish().ok();
    assert_eq!(inside.trim(), outside.to_str().unwrap());
    Ok(())
}

/// NS-11
fn user_namespaces_may_be_nested() -> Outcome {
    user_namespaces()?;
    needs::path("/usr/bin/unshare")?;
    let ids = json!([{"containerID": 0, "hostID": 0, "size": 1}]);
    let bundle = bundle()
        .set("/linux/uidMappings", ids.clone())
        .set("/linux/gidMappings", ids)
        .args(&["id", "-u"]);
    bundle.write();
    let (root, dir, runtime) = (bundle.sandbox().root(), bundle.dir(), runtime_path());
    let unshare = ["--user", "--map-root-user", "--mount"];
    let line = [
        &unshare[..],
        &["/usr/bin/unshare"],
        &unshare[..],
        &[runtime.to_str().unwrap(), "--root", root.to_str().unwrap()],
        &["run", "--bundle", dir.to_str().unwrap(), bundle.id()],
    ]
    .concat();
    let nested = bundle.sandbox().program(Path::new("/usr/bin/unshare"), &line);
    assert_eq!(nested.user(USER).finish().ok().stdout, "0\n");
    Ok(())
}
