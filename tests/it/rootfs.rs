//! `root`: what the container's program sees as `/` (config.md, "Root";
//! config-linux.md, "Rootfs Mount Propagation").

use std::fs;

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::harness::{Bundle, Outcome, in_private_mounts, mountinfo, needs, tests};

tests![
    the_root_is_the_bundles_directory,
    nothing_lies_above_the_root,
    the_path_may_be_absolute,
    two_containers_may_share_a_root,
    a_read_only_root_cannot_be_written,
    mounts_on_a_read_only_root_can_be_written,
    a_read_only_root_stays_writable_for_the_host,
    a_read_only_root_keeps_the_flags_of_its_mount,
    propagation_of_the_root_is_set,
    propagation_of_the_root_is_slave_unless_told,
    the_host_keeps_its_own_propagation,
];

fn the_root_is_the_bundles_directory() -> Outcome {
    let bundle = Bundle::new().sh("cat /marker; echo from inside >/made");
    fs::write(bundle.rootfs().join("marker"), "in the image\n").expect("write");
    assert_eq!(bundle.output(), "in the image");
    assert_eq!(fs::read_to_string(bundle.rootfs().join("made")).expect("read"), "from inside\n");
    Ok(())
}

fn nothing_lies_above_the_root() -> Outcome {
    let bundle = Bundle::new().sh("cd /../../..; pwd; ls -d usr var; ls /proc/1/root/../usr");
    let seen = bundle.run();
    assert_eq!(seen.stdout, "/\n", "{seen}");
    Ok(())
}

fn the_path_may_be_absolute() -> Outcome {
    let bundle = Bundle::new().args(&["hostname"]);
    let root = bundle.rootfs().display().to_string();
    assert_eq!(bundle.set("/root/path", root).output(), "box");
    Ok(())
}

fn two_containers_may_share_a_root() -> Outcome {
    let first = Bundle::new().sh("echo ready; sleep 60");
    let root = first.rootfs().display().to_string();
    let first = first.start();
    first.says("ready");
    let second = Bundle::in_sandbox(first.bundle().sandbox(), "b").args(&["hostname"]);
    assert_eq!(second.set("/root/path", root).output(), "box");
    Ok(())
}

fn a_read_only_root_cannot_be_written() -> Outcome {
    let bundle = Bundle::new().sh("touch /made || echo refused").set("/root/readonly", true);
    let seen = bundle.run().ok();
    assert_eq!(seen.stdout, "refused\n");
    assert!(seen.stderr.contains("Read-only file system"), "{seen}");
    Ok(())
}

fn mounts_on_a_read_only_root_can_be_written() -> Outcome {
    let bundle = Bundle::new()
        .sh("touch /dev/shm/made /data/made && echo written")
        .mount("/data", "tmpfs", "tmpfs", &[])
        .set("/root/readonly", true);
    assert_eq!(bundle.output(), "written");
    Ok(())
}

fn a_read_only_root_stays_writable_for_the_host() -> Outcome {
    let bundle = Bundle::new().sh("echo ready; sleep 60").set("/root/readonly", true);
    let file = bundle.rootfs().join("later");
    let container = bundle.start();
    container.says("ready");
    fs::write(file, "").expect("the host still writes");
    Ok(())
}

fn a_read_only_root_keeps_the_flags_of_its_mount() -> Outcome {
    needs::other_than("runc", "drops them")?;
    needs::other_than("crun", "drops them")?;
    in_private_mounts(MsFlags::MS_PRIVATE, || {
        let bundle =
            Bundle::new().args(&["cat", "/proc/self/mountinfo"]).set("/root/readonly", true);
        let root = bundle.rootfs();
        mount(Some(&root), &root, None::<&str>, MsFlags::MS_BIND, None::<&str>).expect("bind");
        let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        mount(None::<&str>, &root, None::<&str>, flags, None::<&str>).expect("remount");
        let table = bundle.output();
        let mount = mountinfo::at(&table, "/");
        for word in ["ro", "nosuid", "nodev"] {
            assert!(mount.has(word), "{mount:?}");
        }
        umount2(&root, MntFlags::MNT_DETACH).expect("umount");
    });
    Ok(())
}

/// The propagation of `/` in a container whose host has shared mounts.
fn root_propagation(value: Option<&str>) -> Vec<String> {
    in_private_mounts(MsFlags::MS_SHARED, || {
        let mut bundle = Bundle::new().args(&["cat", "/proc/self/mountinfo"]);
        if let Some(value) = value {
            bundle = bundle.set("/linux/rootfsPropagation", value);
        }
        let root = mountinfo::at(&bundle.output(), "/");
        root.propagates().into_iter().map(str::to_owned).collect()
    })
}

fn propagation_of_the_root_is_set() -> Outcome {
    needs::since("runc", "1.2", "makes the root shared")?;
    let none = [] as [&str; 0];
    assert_eq!(root_propagation(Some("private")), none);
    assert_eq!(root_propagation(Some("rprivate")), none);
    for value in ["shared", "rshared"] {
        let seen = root_propagation(Some(value));
        assert!(seen.contains(&"shared".to_owned()), "{value}: {seen:?}");
    }
    assert_eq!(root_propagation(Some("unbindable")), ["unbindable"]);
    Ok(())
}

fn propagation_of_the_root_is_slave_unless_told() -> Outcome {
    for value in [None, Some("slave"), Some("rslave")] {
        let seen = root_propagation(value);
        assert!(!seen.contains(&"shared".to_owned()), "{value:?}: {seen:?}");
    }
    Ok(())
}

fn the_host_keeps_its_own_propagation() -> Outcome {
    needs::other_than("runc", "makes the parent mount of the root private in its own namespace")?;
    in_private_mounts(MsFlags::MS_SHARED, || {
        let own = || fs::read_to_string("/proc/thread-self/mountinfo").expect("read");
        let before = own();
        Bundle::new().set("/linux/rootfsPropagation", "private").run().ok();
        assert_eq!(own(), before);
    });
    Ok(())
}
