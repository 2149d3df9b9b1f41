//! `linux.maskedPaths` and `linux.readonlyPaths`.

use std::fs;

use serde_json::json;

use crate::harness::{Bundle, Outcome, mountinfo, needs, tests};

tests![
    a_masked_file_reads_empty,
    a_masked_directory_is_empty_and_read_only,
    a_masked_path_of_the_image_is_masked_too,
    a_missing_path_is_left_out,
    masks_do_not_touch_the_image,
    a_read_only_path_cannot_be_written,
    a_read_only_path_keeps_its_other_flags,
    a_read_only_file_cannot_be_written,
    a_read_only_root_cannot_be_written,
    masking_the_root_is_refused,
    the_list_that_engines_send_works,
];

fn masked(paths: serde_json::Value) -> Bundle {
    Bundle::new().set("/linux/maskedPaths", paths)
}

fn a_masked_file_reads_empty() -> Outcome {
    let bundle = masked(json!(["/proc/kallsyms", "/proc/cpuinfo"]))
        .sh("wc -c </proc/kallsyms; wc -c </proc/cpuinfo; stat -c '%t:%T' /proc/cpuinfo");
    assert_eq!(bundle.lines(), ["0", "0", "1:3"]);
    Ok(())
}

fn a_masked_directory_is_empty_and_read_only() -> Outcome {
    let bundle = masked(json!(["/proc/irq", "/sys/kernel"]))
        .sh("ls -A /proc/irq /sys/kernel; touch /proc/irq/made || echo refused");
    assert_eq!(bundle.lines(), ["/proc/irq:", "", "/sys/kernel:", "refused"]);
    Ok(())
}

fn a_masked_path_of_the_image_is_masked_too() -> Outcome {
    let bundle = masked(json!(["/etc/passwd", "/secret"])).sh("wc -c </etc/passwd; ls -A /secret");
    fs::create_dir(bundle.rootfs().join("secret")).expect("mkdir");
    fs::write(bundle.rootfs().join("secret/file"), "secret").expect("write");
    assert_eq!(bundle.lines(), ["0"]);
    Ok(())
}

fn a_missing_path_is_left_out() -> Outcome {
    let bundle = masked(json!(["/proc/no-such-file", "/no/such/directory"]))
        .set("/linux/readonlyPaths", json!(["/proc/neither-this"]))
        .sh("ls -d /no; echo done");
    assert_eq!(bundle.output(), "done", "and not made");
    Ok(())
}

fn masks_do_not_touch_the_image() -> Outcome {
    let bundle = masked(json!(["/etc/passwd"])).sh("echo x >>/etc/passwd; wc -c </etc/passwd");
    let file = bundle.rootfs().join("etc/passwd");
    let before = fs::read(&file).expect("read");
    assert_eq!(bundle.output(), "0");
    assert_eq!(fs::read(&file).expect("read"), before);
    Ok(())
}

fn a_read_only_path_cannot_be_written() -> Outcome {
    let bundle = Bundle::new()
        .set("/linux/readonlyPaths", json!(["/proc/sys", "/etc"]))
        .sh("echo x >/proc/sys/kernel/msgmax || echo refused; touch /etc/made || echo refused; touch /made && echo written");
    assert_eq!(bundle.lines(), ["refused", "refused", "written"]);
    Ok(())
}

fn a_read_only_path_keeps_its_other_flags() -> Outcome {
    needs::other_than("crun", "drops them")?;
    let bundle = Bundle::new()
        .mount("/data", "tmpfs", "tmpfs", &["nosuid", "nodev", "noexec"])
        .set("/linux/readonlyPaths", json!(["/data", "/bin"]))
        .args(&["cat", "/proc/self/mountinfo"]);
    let table = bundle.output();
    let data = mountinfo::at(&table, "/data");
    for word in ["ro", "nosuid", "nodev", "noexec"] {
        assert!(data.options.iter().any(|o| o == word), "{data:?}");
    }
    let bin = mountinfo::at(&table, "/bin");
    assert!(bin.options.iter().any(|o| o == "ro"), "{bin:?}");
    for word in ["nosuid", "nodev", "noexec"] {
        assert!(!bin.options.iter().any(|o| o == word), "programs still run: {bin:?}");
    }
    Ok(())
}

fn a_read_only_file_cannot_be_written() -> Outcome {
    let bundle = Bundle::new()
        .set("/linux/readonlyPaths", json!(["/etc/passwd"]))
        .sh("echo x >>/etc/passwd || echo refused; head -c 5 /etc/passwd");
    assert_eq!(bundle.lines(), ["refused", "root:"]);
    Ok(())
}

/// CFG-6
fn a_read_only_root_cannot_be_written() -> Outcome {
    needs::other_than("crun", "leaves the root writable")?;
    let bundle = Bundle::new()
        .set("/linux/readonlyPaths", json!(["/"]))
        .sh("touch /made || echo refused; echo x >/dev/null && echo written");
    assert_eq!(bundle.lines(), ["refused", "written"]);
    Ok(())
}

/// CFG-6
fn masking_the_root_is_refused() -> Outcome {
    needs::other_than("runc", "masks nothing then")?;
    needs::other_than("crun", "leaves its cgroup behind")?;
    let refusal = masked(json!(["/"])).args(&["true"]).try_create().refused();
    if needs::cloison().is_ok() {
        refusal.complains("/linux/maskedPaths/0");
    }
    Ok(())
}

fn the_list_that_engines_send_works() -> Outcome {
    let bundle = masked(json!([
        "/proc/acpi",
        "/proc/asound",
        "/proc/kcore",
        "/proc/keys",
        "/proc/latency_stats",
        "/proc/timer_list",
        "/proc/timer_stats",
        "/proc/sched_debug",
        "/proc/scsi",
        "/sys/firmware",
        "/sys/devices/virtual/powercap",
    ]))
    .set(
        "/linux/readonlyPaths",
        json!(["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]),
    )
    .sh("wc -c </proc/keys; ls -A /sys/firmware; (: >/proc/sysrq-trigger) 2>/dev/null || echo refused");
    assert_eq!(bundle.lines(), ["0", "refused"]);
    Ok(())
}
