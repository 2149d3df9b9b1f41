//! Hostile images: the root file system and what runs in it may be anything;
//! nothing outside the root may be read, made or changed through it, and the
//! runtime itself must be out of reach.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::path::Path;

use serde_json::json;

use crate::harness::tty::{Socket, Terminal};
use crate::harness::{
    Bundle, Outcome, Outside, needs, replace_by_link, runtime_path, tests, write_program,
};

tests![
    proc_as_a_link_is_refused,
    proc_as_a_file_is_refused,
    sys_as_a_link_is_refused,
    a_volume_over_proc_is_refused,
    a_volume_inside_proc_is_refused,
    a_link_into_proc_is_no_way_in,
    a_false_proc_gets_nothing_written,
    dev_as_a_link_does_not_lead_outside,
    links_in_a_plain_dev_do_not_lead_outside,
    a_null_that_is_a_link_masks_nothing_else,
    a_console_that_is_a_link_does_not_lead_outside,
    mount_targets_do_not_lead_outside,
    the_working_directory_does_not_lead_outside,
    the_working_directory_is_no_leaked_descriptor,
    masked_and_read_only_paths_do_not_lead_outside,
    links_to_the_hosts_proc_are_not_followed,
    only_the_standard_streams_are_open,
    no_directory_of_the_host_is_open_in_init,
    the_runtime_cannot_be_written_through_init,
    the_runtime_cannot_be_written_through_the_memory_of_init,
    the_runtime_is_not_run_for_the_container,
    passwd_may_be_anything,
    passwd_does_not_lead_outside,
    a_program_path_does_not_lead_outside,
    tmpcopyup_does_not_follow_links,
    a_null_that_is_a_link_changes_no_owner,
];

fn proc_as_a_link_is_refused() -> Outcome {
    for inside in [true, false] {
        let bundle = Bundle::new();
        let outside = Outside::of(&bundle);
        let target = if inside { Path::new("/tmp") } else { outside.dir.as_path() };
        replace_by_link(&bundle, "proc", target);
        bundle.try_create().refused();
        outside.is_untouched();
    }
    Ok(())
}

fn proc_as_a_file_is_refused() -> Outcome {
    let bundle = Bundle::new();
    fs::remove_dir(bundle.rootfs().join("proc")).expect("rmdir");
    fs::write(bundle.rootfs().join("proc"), "").expect("write");
    bundle.try_create().refused();
    Ok(())
}

fn sys_as_a_link_is_refused() -> Outcome {
    let bundle = Bundle::new();
    let outside = Outside::of(&bundle);
    replace_by_link(&bundle, "sys", &outside.dir);
    bundle.try_create().refused();
    outside.is_untouched();
    Ok(())
}

/// A directory of the host that looks like a procfs.
fn false_proc(bundle: &Bundle) -> std::path::PathBuf {
    let dir = bundle.host_dir("false-proc");
    make_false_proc(&dir);
    dir
}

/// The files of procfs that a runtime writes.
const WRITTEN: [&str; 7] = [
    "self/attr/exec",
    "self/attr/apparmor/exec",
    "self/oom_score_adj",
    "1/attr/exec",
    "1/oom_score_adj",
    "sys/kernel/msgmax",
    "sys/net/ipv4/ip_forward",
];

fn make_false_proc(dir: &Path) {
    for file in WRITTEN {
        let file = dir.join(file);
        fs::create_dir_all(file.parent().expect("a directory")).expect("mkdir");
        fs::write(file, "untouched").expect("write");
    }
}

#[track_caller]
fn was_not_written(dir: &Path) {
    for file in WRITTEN {
        assert_eq!(fs::read_to_string(dir.join(file)).expect("read"), "untouched", "{file}");
    }
}

/// Asks for everything that is written to a procfs on the way.
fn writing_to_proc(bundle: Bundle) -> Bundle {
    bundle
        .set("/linux/sysctl", json!({"kernel.msgmax": "9000", "net.ipv4.ip_forward": "1"}))
        .set("/process/oomScoreAdj", 123)
}

/// CVE-2019-16884: a volume of the image where procfs belongs.
fn a_volume_over_proc_is_refused() -> Outcome {
    needs::other_than("crun", "mounts anything over /proc")?;
    for without_procfs in [true, false] {
        let bundle = writing_to_proc(Bundle::new());
        let volume = false_proc(&bundle);
        let bundle = if without_procfs { bundle.set("/mounts", json!([])) } else { bundle };
        for (kind, options) in [("bind", &["bind"][..]), ("bind", &["rbind"]), ("", &["rbind"])] {
            let mut mounts = bundle.config()["mounts"].as_array().expect("an array").clone();
            mounts.push(json!({"destination": "/proc", "type": kind,
                               "source": volume, "options": options}));
            let bundle = Bundle::new().set("/mounts", mounts);
            writing_to_proc(bundle).try_create().refused();
        }
        was_not_written(&volume);
    }
    Ok(())
}

/// CVE-2025-52881: a volume, which another container may change, below /proc.
fn a_volume_inside_proc_is_refused() -> Outcome {
    needs::other_than("crun", "mounts anything below /proc")?;
    needs::other_than("runc", "mounts anything below /proc/sys and /proc/PID")?;
    let places = [
        ("sys", "/proc/sys"),
        ("sys/kernel", "/proc/sys/kernel"),
        ("sys/kernel/msgmax", "/proc/sys/kernel/msgmax"),
        ("self", "/proc/self"),
        ("1", "/proc/1"),
        ("1/attr", "/proc/thread-self/attr"),
        ("sys", "//proc/./sys/"),
        ("sys", "/bin/../proc/sys"),
    ];
    for (part, destination) in places {
        let bundle = writing_to_proc(Bundle::new());
        let volume = false_proc(&bundle);
        let bundle = bundle.bind(&volume.join(part), destination, &["rshared"]);
        bundle.try_create().refused();
        was_not_written(&volume);
    }
    Ok(())
}

/// A destination that looks harmless, in an image whose link makes it /proc's.
fn a_link_into_proc_is_no_way_in() -> Outcome {
    needs::other_than("crun", "follows it")?;
    for (target, part) in [
        ("/proc/sys", "sys"),
        ("../proc/sys/kernel", "sys/kernel"),
        ("/proc/1/attr", "1/attr"),
        ("/proc", "."),
    ] {
        let bundle = writing_to_proc(Bundle::new());
        let volume = false_proc(&bundle);
        replace_by_link(&bundle, "data", Path::new(target));
        let bundle = bundle.bind(&volume.join(part), "/data", &[]);
        bundle.try_create().refused();
        was_not_written(&volume);
    }
    Ok(())
}

/// Without a mount at /proc the image's own directory is there.
fn a_false_proc_gets_nothing_written() -> Outcome {
    needs::root()?;
    needs::other_than("crun", "writes to it")?;
    needs::other_than("runc", "refuses it")?;
    let bundle = writing_to_proc(Bundle::new())
        .set("/mounts", json!([]))
        .set("/linux/maskedPaths", json!(["/proc/kcore"]))
        .set("/linux/readonlyPaths", json!(["/proc/sys"]))
        .args(&["sleep", "60"]);
    let dir = bundle.rootfs().join("proc");
    make_false_proc(&dir);
    let container = bundle.create();
    assert_eq!(container.proc("oom_score_adj").trim(), "123", "it went to the real one");
    container.start();
    let said = container.verb("exec", &[], &["cat", "/proc/self/oom_score_adj"]).ok();
    assert_eq!(said.stdout, "untouched");
    was_not_written(&dir);
    Ok(())
}

/// Mounts without one at /dev, so that devices are made in the image itself.
fn plain_dev(bundle: Bundle) -> Bundle {
    bundle.set("/mounts", json!([{"destination": "/proc", "type": "proc", "source": "proc"}]))
}

/// Runs it to whatever end: what counts is what happened outside.
fn run_anyhow(bundle: &Bundle) {
    let _ = bundle.run();
}

fn dev_as_a_link_does_not_lead_outside() -> Outcome {
    needs::since("runc", "1.3.6", "has CVE-2026-41579 mended")?;
    needs::since("crun", "1.28", "has CVE-2026-47766 mended")?;
    for with_mount in [true, false] {
        let mut bundle = Bundle::new();
        let outside = Outside::of(&bundle);
        if !with_mount {
            bundle = plain_dev(bundle);
        }
        replace_by_link(&bundle, "dev", &outside.dir);
        run_anyhow(&bundle);
        outside.is_untouched();
        replace_by_link(&bundle, "dev", Path::new("../../outside"));
        run_anyhow(&bundle);
        outside.is_untouched();
    }
    Ok(())
}

fn links_in_a_plain_dev_do_not_lead_outside() -> Outcome {
    for name in ["null", "zero", "tty", "ptmx", "fd", "stdin", "core", "pts", "shm"] {
        let bundle = plain_dev(Bundle::new());
        let outside = Outside::of(&bundle);
        replace_by_link(&bundle, &format!("dev/{name}"), &outside.dir.join("file"));
        run_anyhow(&bundle);
        outside.is_untouched();
    }
    for path in ["/dev/net/tun", "/dev/x"] {
        let bundle = plain_dev(Bundle::new()).push(
            "/linux/devices",
            json!({"path": path, "type": "c", "major": 10, "minor": 200, "fileMode": 0o666, "uid": 7, "gid": 7}),
        );
        let outside = Outside::of(&bundle);
        replace_by_link(&bundle, "dev/net", &outside.dir);
        replace_by_link(&bundle, "dev/x", &outside.dir.join("file"));
        run_anyhow(&bundle);
        outside.is_untouched();
    }
    Ok(())
}

fn a_null_that_is_a_link_masks_nothing_else() -> Outcome {
    needs::since("runc", "1.2.8", "has CVE-2025-31133 mended")?;
    let bundle = plain_dev(Bundle::new())
        .set("/linux/maskedPaths", json!(["/proc/keys", "/etc/passwd"]))
        .sh("echo written >>/proc/keys; echo written >>/etc/passwd; true");
    let outside = Outside::of(&bundle);
    fs::write(bundle.rootfs().join("victim"), "untouched").expect("write");
    replace_by_link(&bundle, "dev/null", Path::new("/victim"));
    run_anyhow(&bundle);
    assert_eq!(fs::read_to_string(bundle.rootfs().join("victim")).expect("read"), "untouched");
    replace_by_link(&bundle, "dev/null", &outside.dir.join("file"));
    run_anyhow(&bundle);
    outside.is_untouched();
    // Also where the container's own /dev lies over it, and the masks are made: they show nothing.
    let masked = Bundle::new()
        .set("/linux/maskedPaths", json!(["/proc/keys", "/etc/passwd"]))
        .sh("cat /proc/keys /etc/passwd");
    replace_by_link(&masked, "dev/null", &outside.dir.join("file"));
    assert_eq!(masked.run().ok().stdout, "");
    Ok(())
}

fn a_console_that_is_a_link_does_not_lead_outside() -> Outcome {
    needs::since("crun", "1.28", "stays inside")?;
    // One that is there could be written to, one that is not could be made.
    for target in ["file", "made"] {
        let bundle = plain_dev(Bundle::new())
            .mount("/dev/pts", "devpts", "devpts", &["newinstance", "ptmxmode=0666"])
            .set("/process/terminal", true)
            .sh("echo into the console >/dev/console; true");
        let outside = Outside::of(&bundle);
        replace_by_link(&bundle, "dev/console", &outside.dir.join(target));
        let socket = Socket::listen(bundle.sandbox().path());
        let created = bundle.invoke("create", &["--console-socket", socket.path()]).finish();
        if created.code == 0 {
            let (master, _) = socket.receive();
            let container = bundle.adopt();
            let _ = container.verb("start", &[], &[]);
            let _ = Terminal::from_master(master).rest();
        }
        outside.is_untouched();
    }
    Ok(())
}

fn mount_targets_do_not_lead_outside() -> Outcome {
    let bundle = Bundle::new();
    let outside = Outside::of(&bundle);
    let source = bundle.host_dir("source");
    fs::write(source.join("file"), "source").expect("write");
    let bundle = bundle
        .bind(&source, "/link/made", &[])
        .bind(&source.join("file"), "/link/file-made", &[])
        .mount("/climbing/made", "tmpfs", "tmpfs", &[])
        .mount("/../../outside/made", "tmpfs", "tmpfs", &[]);
    replace_by_link(&bundle, "link", &outside.dir);
    replace_by_link(&bundle, "climbing", Path::new("../../../outside"));
    run_anyhow(&bundle);
    outside.is_untouched();
    Ok(())
}

fn the_working_directory_does_not_lead_outside() -> Outcome {
    let bundle = Bundle::new().set("/process/cwd", "/link/made").args(&["true"]);
    let outside = Outside::of(&bundle);
    replace_by_link(&bundle, "link", &outside.dir);
    run_anyhow(&bundle);
    outside.is_untouched();
    Ok(())
}

/// CVE-2024-21626.
fn the_working_directory_is_no_leaked_descriptor() -> Outcome {
    let mut bundle = Bundle::new().sh(WHERE);
    for number in 3..16 {
        let link = format!("/proc/self/fd/{number}");
        replace_by_link(&bundle, "link", Path::new(&link));
        for cwd in ["/link", &link, &format!("{link}/../..")] {
            bundle = bundle.set("/process/cwd", cwd);
            let ran = bundle.run();
            assert!(ran.code != 0 || ran.stdout == "inside\n", "{ran}");
        }
    }
    Ok(())
}

/// Says whether the working directory is on a mount that the process can see. (No name is a sign:
/// a descriptor of the runtime's leads to whatever that had open.)
pub const WHERE: &str = "exec 5<. && id=$(sed -n 's/mnt_id:[[:space:]]*//p' /proc/self/fdinfo/5)
    cut -d' ' -f1 /proc/self/mountinfo | grep -qx \"$id\" && echo inside || echo outside";

fn masked_and_read_only_paths_do_not_lead_outside() -> Outcome {
    let bundle = Bundle::new()
        .set("/linux/maskedPaths", json!(["/masked/file", "/masked-file"]))
        .set("/linux/readonlyPaths", json!(["/read-only", "/read-only/file"]))
        .sh("echo ready; sleep 60");
    let outside = Outside::of(&bundle);
    replace_by_link(&bundle, "masked", &outside.dir);
    replace_by_link(&bundle, "masked-file", &outside.dir.join("file"));
    replace_by_link(&bundle, "read-only", &outside.dir);
    if bundle.try_create().code == 0 {
        let container = bundle.adopt();
        let _ = container.verb("start", &[], &[]);
        fs::write(outside.dir.join("file"), "untouched").expect("not read-only for the host");
    }
    outside.is_untouched();
    Ok(())
}

/// Magic links name objects, not paths: an image may hold one to what the
/// runtime has open.
fn links_to_the_hosts_proc_are_not_followed() -> Outcome {
    for target in ["/proc/self/root", "/proc/self/cwd", "/proc/1/root", "/proc/self/fd/5"] {
        let bundle = Bundle::new();
        let bundle = bundle.mount("/link/tmp/made-through-a-magic-link", "tmpfs", "tmpfs", &[]);
        replace_by_link(&bundle, "link", Path::new(target));
        run_anyhow(&bundle);
        assert!(!Path::new("/tmp/made-through-a-magic-link").exists(), "{target}");
    }
    Ok(())
}

fn only_the_standard_streams_are_open() -> Outcome {
    let bundle = Bundle::new().args(&["ls", "/proc/self/fd"]);
    bundle.write();
    let script = format!(
        "exec 7</ 8</etc 9<>/dev/null; exec {} --root {} run --bundle {} {}",
        runtime_path().display(),
        bundle.sandbox().root().display(),
        bundle.dir().display(),
        bundle.id()
    );
    let seen = bundle.sandbox().program(Path::new("/bin/sh"), &["-c", &script]).finish().ok();
    let numbers: Vec<&str> = seen.stdout.lines().collect();
    // 3 is the directory that ls itself reads.
    assert_eq!(numbers, ["0", "1", "2", "3"], "{seen}");
    Ok(())
}

/// CVE-2016-9962: a process in the container could look into a joining init.
fn no_directory_of_the_host_is_open_in_init() -> Outcome {
    needs::root()?;
    needs::other_than("runc", "keeps descriptors of its own open until exec")?;
    needs::other_than("crun", "keeps the host's root open in version 1.28")?;
    let container = Bundle::new().args(&["sleep", "60"]).create();
    let fds = format!("/proc/{}/fd", container.pid);
    for entry in fs::read_dir(&fds).expect("list") {
        let path = entry.expect("entry").path();
        let Ok(meta) = fs::metadata(&path) else { continue };
        let target = fs::read_link(&path).expect("read the link");
        let container_root = fs::metadata(format!("/proc/{}/root", container.pid)).expect("stat");
        assert!(
            !meta.is_dir() || meta.ino() == container_root.ino(),
            "{} is {}",
            path.display(),
            target.display()
        );
        assert!(!meta.file_type().is_block_device(), "{}", target.display());
    }
    Ok(())
}

/// CVE-2019-5736: whoever opens /proc/PID/exe of the waiting init must not be
/// able to write to it later, when it is no longer running.
fn the_runtime_cannot_be_written_through_init() -> Outcome {
    needs::root()?;
    let container = Bundle::new().args(&["sleep", "60"]).create();
    let held = fs::File::open(format!("/proc/{}/exe", container.pid)).expect("open");
    container.start();
    container.verb("delete", &["--force"], &[]).ok();
    let (its, own) = (held.metadata().expect("stat"), fs::metadata(runtime_path()).expect("stat"));
    if (its.dev(), its.ino()) != (own.dev(), own.ino()) {
        return Ok(()); // a copy
    }
    assert!(is_on_readonly_mount(&held), "the binary can be written");
    Ok(())
}

/// Trying to write would only say that the binary is busy: other tests run it.
fn is_on_readonly_mount(file: &fs::File) -> bool {
    let flags = nix::sys::statvfs::fstatvfs(file).expect("statvfs").flags();
    flags.contains(nix::sys::statvfs::FsFlags::ST_RDONLY)
}

/// CVE-2019-5736: nor through /proc/PID/map_files, which leads to the same file.
fn the_runtime_cannot_be_written_through_the_memory_of_init() -> Outcome {
    needs::root()?;
    needs::other_than("runc", "has its own memory mapped from its file")?;
    needs::other_than("crun", "has its own memory mapped from its file")?;
    let container = Bundle::new().args(&["sleep", "60"]).create();
    let own = fs::metadata(runtime_path()).expect("stat");
    let mut seen = 0;
    for mapping in fs::read_dir(format!("/proc/{}/map_files", container.pid)).expect("mappings") {
        let held = fs::File::open(mapping.expect("a mapping").path()).expect("open");
        let its = held.metadata().expect("stat");
        if (its.dev(), its.ino()) == (own.dev(), own.ino()) {
            seen += 1;
            assert!(is_on_readonly_mount(&held), "the binary can be written");
        }
    }
    assert!(seen > 0, "the program is mapped from some file");
    Ok(())
}

/// `#!/proc/self/exe` and a program that is a link to it.
fn the_runtime_is_not_run_for_the_container() -> Outcome {
    let before = fs::metadata(runtime_path()).expect("stat");
    for script in [true, false] {
        let bundle = Bundle::new().args(&["/program"]);
        let program = bundle.rootfs().join("program");
        if script {
            write_program(&program, "#!/proc/self/exe\n");
        } else {
            symlink("/proc/self/exe", &program).expect("symlink");
        }
        run_anyhow(&bundle);
    }
    let after = fs::metadata(runtime_path()).expect("stat");
    assert_eq!(
        (before.ino(), before.len(), before.mtime()),
        (after.ino(), after.len(), after.mtime())
    );
    Ok(())
}

fn passwd_may_be_anything() -> Outcome {
    needs::other_than("runc", "waits for ever on a pipe")?;
    needs::other_than("crun", "waits for ever on a pipe")?;
    let user = json!({"uid": 1000, "gid": 1000});
    let passwd = |bundle: &Bundle| bundle.rootfs().join("etc/passwd");
    #[allow(clippy::type_complexity)] // a table, read once
    let cases: [(&str, &dyn Fn(&Path)); 6] = [
        ("a pipe", &|path| {
            nix::unistd::mkfifo(path, nix::sys::stat::Mode::from_bits_truncate(0o644))
                .expect("mkfifo");
        }),
        ("a directory", &|path| fs::create_dir(path).expect("mkdir")),
        ("missing", &|_| {}),
        ("endless", &|path| symlink("/dev/zero", path).expect("symlink")),
        ("binary", &|path| fs::write(path, [b'\xff', 0, b':', b'\n'].repeat(1000)).expect("write")),
        ("one long line", &|path| fs::write(path, "x".repeat(1 << 20)).expect("write")),
    ];
    for (what, make) in cases {
        let bundle = Bundle::new().sh("echo \"<$HOME>\"").set("/process/user", user.clone());
        fs::remove_file(passwd(&bundle)).expect("rm");
        make(&passwd(&bundle));
        let ran = bundle.run();
        assert!(ran.code != 0 || ran.stdout.starts_with("</"), "{what}: {ran}");
    }
    Ok(())
}

fn passwd_does_not_lead_outside() -> Outcome {
    let bundle =
        Bundle::new().sh("echo $HOME").set("/process/user", json!({"uid": 4321, "gid": 0}));
    let outside = bundle.host_dir("outside");
    fs::write(outside.join("passwd"), "stranger:x:4321:0::/from-outside:/bin/sh\n").expect("write");
    replace_by_link(&bundle, "etc/passwd", &outside.join("passwd"));
    let seen = bundle.run();
    assert!(!seen.stdout.contains("from-outside"), "{seen}");
    Ok(())
}

fn a_program_path_does_not_lead_outside() -> Outcome {
    let bundle = Bundle::new().args(&["/program"]);
    let outside = bundle.host_dir("outside");
    write_program(&outside.join("program"), "#!/bin/sh\necho outside\n");
    replace_by_link(&bundle, "program", &outside.join("program"));
    bundle.run().refused();
    Ok(())
}

fn tmpcopyup_does_not_follow_links() -> Outcome {
    let bundle = Bundle::new()
        .mount("/data", "tmpfs", "tmpfs", &["tmpcopyup"])
        .sh("readlink /data/link; ls /data");
    let outside = Outside::of(&bundle);
    fs::create_dir(bundle.rootfs().join("data")).expect("mkdir");
    symlink(&outside.dir, bundle.rootfs().join("data/link")).expect("symlink");
    let lines = bundle.lines();
    assert_eq!(lines, [outside.dir.display().to_string(), "link".to_owned()]);
    outside.is_untouched();
    Ok(())
}

/// CVE-2026-88265: a false null device, in whose place a file of a volume gets
/// the program's standard streams and its owner.
fn a_null_that_is_a_link_changes_no_owner() -> Outcome {
    needs::other_than("runc", "writes where the link leads")?;
    needs::since("crun", "1.30", "has CVE-2026-88265 mended")?;
    let bundle = plain_dev(Bundle::new())
        .set("/process/user", json!({"uid": 1000, "gid": 1000}))
        .sh("echo into the void; echo more >&2; cat");
    let outside = Outside::of(&bundle);
    let bundle = bundle.bind(&outside.dir, "/volume", &[]);
    replace_by_link(&bundle, "dev/null", Path::new("/volume/file"));
    let null = || std::process::Stdio::null();
    let _ = bundle.invoke("run", &[]).stdio(null(), null(), null()).finish();
    outside.is_untouched();
    let owner = fs::metadata("/dev/null").expect("stat");
    assert!(owner.uid() == 0 && owner.file_type().is_char_device(), "{owner:?}");
    Ok(())
}
