//! Another process exchanges names of the image while the container is made
//! (renameat2(2) with `RENAME_EXCHANGE`): what was looked at and what is used
//! must be the same file, and none outside the root. `make races` tries it more often.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use serde_json::json;

use crate::harness::tty::{Socket, Terminal};
use crate::harness::{Bundle, Outcome, Outside, needs, scale, tests};

tests![
    mount_targets_may_be_exchanged_all_the_time,
    dev_may_be_exchanged_all_the_time,
    the_console_may_be_exchanged_all_the_time,
    the_working_directory_may_be_exchanged_all_the_time,
    restricted_paths_may_be_exchanged_all_the_time,
    proc_may_be_exchanged_all_the_time,
];

/// Calls `work` over and over while `name` of the image and a link to
/// `target` exchange their places.
fn exchanging(bundle: &Bundle, name: &str, target: &Path, work: impl Fn()) {
    let (here, there) = (bundle.rootfs().join(name), bundle.rootfs().join("other"));
    symlink(target, &there).expect("symlink");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let exchange = RenameFlags::RENAME_EXCHANGE;
                renameat2(AT_FDCWD, &here, AT_FDCWD, &there, exchange).expect("exchange");
                // On one CPU the others would see but what a time slice ends with.
                std::thread::yield_now();
            }
        });
        let tried = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            (0..scale(10, 100)).for_each(|_| work());
        }));
        stop.store(true, Ordering::Relaxed);
        if let Err(cause) = tried {
            std::panic::resume_unwind(cause);
        }
    });
}

/// Runs it to whatever end: what counts is what happened outside.
fn run_anyhow(bundle: &Bundle) {
    let _ = bundle.run();
}

/// A bundle with a directory of that name in its image.
fn with_directory(name: &str) -> Bundle {
    let bundle = Bundle::new();
    fs::create_dir_all(bundle.rootfs().join(name)).expect("mkdir");
    bundle
}

/// CVE-2021-30465, CVE-2024-45310.
fn mount_targets_may_be_exchanged_all_the_time() -> Outcome {
    needs::since("runc", "1.1.14", "has CVE-2024-45310 mended")?;
    let bundle = with_directory("race");
    let outside = Outside::of(&bundle);
    let source = bundle.host_dir("source");
    fs::write(source.join("file"), "source").expect("write");
    let bundle = bundle
        .bind(&source, "/race/made", &[])
        .bind(&source.join("file"), "/race/file-made", &[])
        .mount("/race/deep/made", "tmpfs", "tmpfs", &[])
        .push("/linux/devices", json!({"path": "/race/null", "type": "c", "major": 1, "minor": 3}));
    exchanging(&bundle, "race", &outside.dir, || run_anyhow(&bundle));
    outside.is_untouched();
    Ok(())
}

/// Without a mount at /dev, devices and links are made in the image's.
fn plain_dev(bundle: Bundle) -> Bundle {
    bundle.set("/mounts", json!([{"destination": "/proc", "type": "proc", "source": "proc"}]))
}

/// CVE-2026-41579, CVE-2026-47766, CVE-2025-31133.
fn dev_may_be_exchanged_all_the_time() -> Outcome {
    needs::since("runc", "1.3.6", "has CVE-2026-41579 mended")?;
    needs::since("crun", "1.28", "has CVE-2026-47766 mended")?;
    let bundle = plain_dev(Bundle::new()).set("/linux/maskedPaths", json!(["/proc/keys"]));
    let outside = Outside::of(&bundle);
    exchanging(&bundle, "dev", &outside.dir, || run_anyhow(&bundle));
    outside.is_untouched();
    Ok(())
}

/// CVE-2025-52565, CVE-2026-88264.
fn the_console_may_be_exchanged_all_the_time() -> Outcome {
    needs::since("crun", "1.30", "has CVE-2026-88264 mended")?;
    let bundle = plain_dev(Bundle::new())
        .mount("/dev/pts", "devpts", "devpts", &["newinstance", "ptmxmode=0666", "mode=0620"])
        .set("/process/terminal", true)
        .sh("echo into the console >/dev/console; true");
    let outside = Outside::of(&bundle);
    fs::write(bundle.rootfs().join("dev/console"), "").expect("write");
    let turn = std::cell::Cell::new(0);
    exchanging(&bundle, "dev/console", &outside.dir.join("file"), || {
        turn.set(turn.get() + 1);
        let socket = Socket::listen(&bundle.host_dir(&format!("turn-{}", turn.get())));
        let options = ["--console-socket", socket.path()];
        let created = bundle.invoke("create", &options).finish();
        if created.code == 0 {
            let (master, _) = socket.receive();
            let sandbox = bundle.sandbox();
            let _ = sandbox.runtime(&["start", bundle.id()]).finish();
            let _ = Terminal::from_master(master).rest();
            sandbox.runtime(&["delete", "--force", bundle.id()]).finish().ok();
        }
    });
    outside.is_untouched();
    Ok(())
}

/// CVE-2024-21626, CVE-2024-45310.
fn the_working_directory_may_be_exchanged_all_the_time() -> Outcome {
    let bundle = with_directory("work").set("/process/cwd", "/work/made").args(&["ls", "."]);
    let outside = Outside::of(&bundle);
    exchanging(&bundle, "work", &outside.dir, || {
        let ran = bundle.run();
        assert!(!ran.stdout.contains("file"), "it works outside: {ran}");
    });
    outside.is_untouched();
    Ok(())
}

/// GHSA-3q8j-pf29-vwv8: whatever is found under the name is what is covered;
/// the mount of nothing else becomes read-only or vanishes.
fn restricted_paths_may_be_exchanged_all_the_time() -> Outcome {
    for list in ["readonlyPaths", "maskedPaths"] {
        let bundle = with_directory("race/deep")
            .set(&format!("/linux/{list}"), json!(["/race", "/race/deep"]))
            .sh("touch /tmp/written && echo whole; cat /etc/passwd | head -n 1");
        let outside = Outside::of(&bundle);
        exchanging(&bundle, "race", Path::new("/tmp"), || {
            let ran = bundle.run();
            // Where the link was in place /tmp itself is what was asked for.
            let whole = ran.code == 0 && ran.stdout.contains("root:x:0:0");
            assert!(whole, "something else was covered: {ran}");
        });
        outside.is_untouched();
    }
    Ok(())
}

/// Masks and kernel parameters hold for the procfs that was mounted, wherever its mount point
/// has gone meanwhile.
fn proc_may_be_exchanged_all_the_time() -> Outcome {
    needs::cloison()?;
    let bundle = Bundle::new()
        .set("/linux/maskedPaths", json!(["/proc/timer_list", "/proc/keys"]))
        .set("/linux/readonlyPaths", json!(["/proc/sys"]))
        .sh("for dir in /proc /other; do \
                 if test -e $dir/self/status; then \
                     head -c 1 $dir/keys; cd $dir/sys/kernel && echo 1 >msgmax && echo written; \
                 fi; \
             done 2>/dev/null; true");
    exchanging(&bundle, "proc", Path::new("/tmp"), || {
        let ran = bundle.run();
        assert_eq!(ran.stdout, "", "open to the container: {ran}");
    });
    Ok(())
}
