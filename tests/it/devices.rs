//! Devices: those that every container has, and those of `linux.devices`
//! (config-linux.md, "Devices" and "Default Devices").

use std::fs;

use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use serde_json::json;

use crate::harness::{Bundle, Outcome, needs, tests};

tests![
    default_devices_are_there,
    default_devices_work_for_any_user,
    default_links_are_there,
    default_devices_are_made_in_a_plain_dev_too,
    devices_have_the_type_and_numbers_asked_for,
    devices_have_the_owner_and_mode_asked_for,
    devices_may_lie_anywhere,
    a_pipe_needs_no_numbers,
    a_default_device_may_be_listed_again,
    a_matching_file_is_kept,
    a_wrong_file_is_an_error,
    a_plain_dev_serves_a_user_namespace_again_and_again,
    dev_of_the_host_is_left_alone,
];

fn default_devices_are_there() -> Outcome {
    let bundle = Bundle::new().sh(
        "for d in null zero full random urandom tty; do stat -c '%n %F %t:%T %a' /dev/$d; done",
    );
    let expected = [
        "/dev/null character special file 1:3 666",
        "/dev/zero character special file 1:5 666",
        "/dev/full character special file 1:7 666",
        "/dev/random character special file 1:8 666",
        "/dev/urandom character special file 1:9 666",
        "/dev/tty character special file 5:0 666",
    ];
    assert_eq!(bundle.lines(), expected);
    Ok(())
}

fn default_devices_work_for_any_user() -> Outcome {
    let bundle = Bundle::new()
        .sh("echo x >/dev/null; head -c 3 /dev/zero | wc -c; head -c 5 /dev/urandom | wc -c
            echo x >/dev/full || echo full")
        .set("/process/user", json!({"uid": 1000, "gid": 1000}));
    assert_eq!(bundle.lines(), ["3", "5", "full"]);
    Ok(())
}

fn default_links_are_there() -> Outcome {
    let bundle = Bundle::new()
        .sh("for l in fd stdin stdout stderr ptmx; do echo $l $(readlink /dev/$l); done");
    let expected = [
        "fd /proc/self/fd",
        "stdin /proc/self/fd/0",
        "stdout /proc/self/fd/1",
        "stderr /proc/self/fd/2",
        "ptmx pts/ptmx",
    ];
    assert_eq!(bundle.lines(), expected);
    Ok(())
}

fn default_devices_are_made_in_a_plain_dev_too() -> Outcome {
    let bundle = Bundle::new()
        .sh("stat -c '%F %t:%T' /dev/null; readlink /dev/fd")
        .set("/mounts", json!([{"destination": "/proc", "type": "proc", "source": "proc"}]));
    assert_eq!(bundle.lines(), ["character special file 1:3", "/proc/self/fd"]);
    Ok(())
}

/// A bundle with one device, which its process describes.
fn described(device: serde_json::Value) -> String {
    let path = device["path"].as_str().expect("a path").to_owned();
    let bundle = Bundle::new().args(&["stat", "-c", "%F|%t:%T|%a|%u:%g", &path]);
    bundle.push("/linux/devices", device).output()
}

fn devices_have_the_type_and_numbers_asked_for() -> Outcome {
    needs::root()?;
    // stat prints hexadecimal: 10:229 is /dev/fuse.
    let fuse =
        json!({"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 0o666});
    assert!(described(fuse).starts_with("character special file|a:e5|666|"));
    let unbuffered =
        json!({"path": "/dev/u", "type": "u", "major": 1, "minor": 5, "fileMode": 0o600});
    assert!(described(unbuffered).starts_with("character special file|1:5|600|"));
    let block =
        json!({"path": "/dev/loop7", "type": "b", "major": 7, "minor": 7, "fileMode": 0o660});
    assert!(described(block).starts_with("block special file|7:7|660|"));
    Ok(())
}

fn devices_have_the_owner_and_mode_asked_for() -> Outcome {
    needs::root()?;
    let device = json!({"path": "/dev/mine", "type": "c", "major": 1, "minor": 3,
                        "fileMode": 0o642, "uid": 33, "gid": 44});
    assert!(described(device).ends_with("|642|33:44"));
    Ok(())
}

fn devices_may_lie_anywhere() -> Outcome {
    needs::root()?;
    for path in ["/dev/net/tun", "/srv/made/null"] {
        let device = json!({"path": path, "type": "c", "major": 1, "minor": 3, "fileMode": 0o666});
        assert!(described(device).starts_with("character special file|1:3|666"), "{path}");
    }
    Ok(())
}

fn a_pipe_needs_no_numbers() -> Outcome {
    let pipe = json!({"path": "/dev/pipe", "type": "p", "fileMode": 0o640, "uid": 5, "gid": 6});
    assert_eq!(described(pipe), "fifo|0:0|640|5:6");
    Ok(())
}

fn a_default_device_may_be_listed_again() -> Outcome {
    needs::root()?;
    needs::other_than("runc", "asks for a rule that allows it then")?;
    let null = json!({"path": "/dev/null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o666, "uid": 0, "gid": 0});
    assert_eq!(described(null), "character special file|1:3|666|0:0");
    Ok(())
}

/// Makes a character device in the image.
fn image_device(bundle: &Bundle, path: &str, major: u64, minor: u64) {
    let file = bundle.rootfs().join(path.trim_start_matches('/'));
    mknod(&file, SFlag::S_IFCHR, Mode::from_bits_truncate(0o600), makedev(major, minor))
        .expect("mknod");
}

fn a_matching_file_is_kept() -> Outcome {
    needs::root()?;
    needs::other_than("runc", "changes nothing of an existing device in 1.1")?;
    needs::other_than("crun", "changes nothing of an existing device")?;
    let bundle = Bundle::new()
        .args(&["stat", "-c", "%F|%t:%T|%a|%u:%g", "/there"])
        .push(
            "/linux/devices",
            json!({"path": "/there", "type": "c", "major": 1, "minor": 3, "fileMode": 0o666, "uid": 1, "gid": 2}),
        );
    image_device(&bundle, "/there", 1, 3);
    assert!(bundle.output().starts_with("character special file|1:3|"));
    Ok(())
}

fn a_wrong_file_is_an_error() -> Outcome {
    needs::root()?;
    needs::other_than("runc", "takes whatever file is there")?;
    needs::other_than("crun", "takes whatever file is there")?;
    let device = json!({"path": "/there", "type": "c", "major": 1, "minor": 3, "fileMode": 0o666});
    let bundle = Bundle::new().push("/linux/devices", device.clone());
    image_device(&bundle, "/there", 1, 5);
    bundle.is_refused();
    let bundle = Bundle::new().push("/linux/devices", device.clone());
    fs::create_dir(bundle.rootfs().join("there")).expect("mkdir");
    bundle.is_refused();
    let bundle = Bundle::new().push("/linux/devices", device);
    std::os::unix::fs::symlink("/dev/zero", bundle.rootfs().join("there")).expect("symlink");
    bundle.is_refused();
    Ok(())
}

/// Devices are bound there, over files that stay in the image.
fn a_plain_dev_serves_a_user_namespace_again_and_again() -> Outcome {
    let bundle = Bundle::new()
        .in_user_namespace(100_000)
        .set("/mounts", json!([{"destination": "/proc", "type": "proc", "source": "proc"}]))
        .sh("echo x >/dev/null && head -c 1 /dev/zero | wc -c");
    for _ in 0..2 {
        assert_eq!(bundle.output(), "1");
    }
    Ok(())
}

/// Where /dev is the host's, bound, nothing is made in it.
fn dev_of_the_host_is_left_alone() -> Outcome {
    needs::other_than("crun", "mounts something over it")?;
    let bundle = Bundle::new();
    let dev = bundle.host_dir("dev");
    for file in ["null", "zero"] {
        fs::write(dev.join(file), "").expect("write");
    }
    let bundle = bundle
        .set("/mounts", json!([{"destination": "/proc", "type": "proc", "source": "proc"}]))
        .bind(&dev, "/dev", &[])
        .args(&["ls", "/dev"]);
    assert_eq!(bundle.lines(), ["null", "zero"]);
    Ok(())
}
