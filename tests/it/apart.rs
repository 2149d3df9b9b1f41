//! A mount namespace that begins with the root alone, which Linux 7.0 can make: nothing that a
//! container sees tells it from one that begins with a copy of the host's mounts (NS-17).

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::CloneFlags;
use serde_json::json;

use crate::harness::trace::strace;
use crate::harness::{
    Bundle, Namespace, Outcome, in_private_mounts, mountinfo, needs, runtime_path, tests,
};

tests![
    no_mount_of_the_host_is_copied,
    the_mount_table_is_the_same_either_way,
    nothing_mounted_inside_reaches_the_host,
    a_source_may_hold_a_mount_namespace,
    devices_that_cannot_be_made_are_bound,
    layers_of_an_overlay_are_the_hosts,
    a_source_within_the_root_shows_what_is_mounted_there,
];

fn kernel_makes_them() -> Outcome {
    needs::cloison()?;
    needs::root()?;
    needs::kernel(7, 0)
}

/// What engines ask for: binds, masked and read-only paths.
fn usual() -> Bundle {
    let bundle = Bundle::new();
    let (dir, file) = (bundle.host_dir("dir"), bundle.host_dir("files").join("file"));
    fs::write(&file, "").expect("write");
    bundle
        .mount("/m", "tmpfs", "first", &["ro"])
        .bind(&dir, "/bound", &["rbind", "ro"])
        .bind(&file, "/m/file", &["rprivate"])
        .mount("/m/below", "tmpfs", "second", &["nosuid"])
        .bind(&dir, "/shared", &["rshared"])
        .set("/linux/maskedPaths", json!(["/proc/kcore", "/proc/keys", "/sys/firmware"]))
        .set("/linux/readonlyPaths", json!(["/proc/sys", "/proc/bus"]))
        .set("/root/readonly", true)
        .args(&["cat", "/proc/self/mountinfo"])
}

fn no_mount_of_the_host_is_copied() -> Outcome {
    kernel_makes_them()?;
    strace()?;
    let bundle = usual();
    bundle.write();
    let dir = bundle.dir();
    let words = ["create", "--bundle", dir.to_str().expect("utf-8"), bundle.id()];
    let calls = bundle.sandbox().trace_calls(&words);
    for call in ["CLONE_NEWNS", "pivot_root(", "umount2("] {
        let made = calls.lines().filter(|line| line.contains(call) && !line.contains("setns("));
        assert_eq!(made.count(), 0, "{call}:\n{calls}");
    }
    let container = bundle.adopt();
    let inside = mountinfo::parse(&container.proc("mountinfo"));
    let root = &inside[0];
    assert_eq!(root.point, "/");
    assert!(root.root.ends_with("/rootfs"), "{root:?}");
    Ok(())
}

fn the_mount_table_is_the_same_either_way() -> Outcome {
    kernel_makes_them()?;
    in_private_mounts(MsFlags::MS_SHARED, || {
        let bundle = usual();
        let root = bundle.rootfs();
        mount(Some(&root), &root, None::<&str>, MsFlags::MS_BIND, None::<&str>).expect("bind");
        let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_NOSUID;
        mount(None::<&str>, &root, None::<&str>, flags, None::<&str>).expect("remount");
        fs::create_dir_all(root.join("below")).expect("mkdir");
        mount(Some("t"), &root.join("below"), Some("tmpfs"), MsFlags::empty(), None::<&str>)
            .expect("mount");
        for propagation in ["", "slave", "private", "unbindable"] {
            let table = |bundle: &Bundle| {
                let lines = mountinfo::parse(&bundle.output()).into_iter();
                let lines = lines.map(|mount| {
                    let kinds: Vec<_> = mount.propagates().into_iter().map(str::to_owned).collect();
                    (mount.point, mount.root, mount.options, mount.kind, mount.superblock, kinds)
                });
                lines.collect::<Vec<_>>()
            };
            let bundle = usual_again(&bundle, propagation);
            let alone = table(&bundle);
            // A hook that could look at the host's mounts.
            let copied = table(&bundle.hook("createContainer", "true"));
            assert_eq!(alone, copied, "rootfsPropagation {propagation:?}");
        }
        umount2(&root, MntFlags::MNT_DETACH).expect("umount");
    });
    Ok(())
}

/// The same bundle under another name, on the same root file system.
fn usual_again(bundle: &Bundle, propagation: &str) -> Bundle {
    let mut again =
        Bundle::in_sandbox(bundle.sandbox(), &format!("again-{propagation}")).args(&["true"]);
    for field in ["/mounts", "/linux/maskedPaths", "/linux/readonlyPaths", "/process/args"] {
        again = again.set(field, bundle.config().pointer(field).expect("the field").clone());
    }
    again
        .set("/root", json!({"path": bundle.rootfs().display().to_string(), "readonly": true}))
        .set("/linux/rootfsPropagation", propagation)
}

fn nothing_mounted_inside_reaches_the_host() -> Outcome {
    kernel_makes_them()?;
    in_private_mounts(MsFlags::MS_SHARED, || {
        let own = || fs::read_to_string("/proc/thread-self/mountinfo").expect("read");
        let before = own();
        let admin = json!(["CAP_SYS_ADMIN"]);
        let bundle = usual()
            .set("/process/capabilities", json!({"bounding": admin, "effective": admin, "permitted": admin}))
            .set("/root/readonly", false)
            .sh("mkdir -p /made && mount -t tmpfs t /made && mount -t tmpfs t /bound &&
                 mount --bind /m/file /proc/kcore && mount --bind /m/file /dev/null && echo done; sleep 60");
        let container = bundle.start();
        container.says("done");
        assert_eq!(own(), before);
    });
    Ok(())
}

/// NS-18
fn a_source_may_hold_a_mount_namespace() -> Outcome {
    kernel_makes_them()?;
    in_private_mounts(MsFlags::MS_PRIVATE, || {
        let bundle = Bundle::new();
        // Until nothing is mounted there any more.
        let _sandbox = Arc::clone(bundle.sandbox());
        let source = bundle.host_dir("source");
        let (kept, below) = (source.join("kept"), source.join("below"));
        File::create(&kept).expect("make a file");
        fs::create_dir(&below).expect("mkdir");
        mount(Some("t"), &below, Some("tmpfs"), MsFlags::empty(), None::<&str>).expect("mount");
        fs::write(below.join("seen"), "").expect("write");
        let namespace = Namespace::new(CloneFlags::CLONE_NEWNS, "mnt");
        mount(
            Some(Path::new(&namespace.path())),
            &kept,
            None::<&str>,
            MsFlags::MS_BIND,
            None::<&str>,
        )
        .expect("keep a mount namespace");
        let table = bundle
            .bind(&source, "/source", &["rbind", "ro"])
            .sh("ls /source/below; cat /proc/self/mountinfo")
            .output();
        for path in [&kept, &below] {
            umount2(path, MntFlags::MNT_DETACH).expect("umount");
        }
        let (listed, table) = table.split_once('\n').expect("two parts");
        assert_eq!(listed, "seen", "what else is mounted there comes along");
        assert!(mountinfo::at(table, "/source").has("ro"), "{table}");
        assert!(!table.contains(" nsfs "), "{table}");
    });
    Ok(())
}

/// NS-18
fn devices_that_cannot_be_made_are_bound() -> Outcome {
    kernel_makes_them()?;
    in_private_mounts(MsFlags::MS_SHARED, || {
        let bundle = Bundle::new().args(&["cat", "/proc/self/mountinfo"]);
        bundle.write();
        let sandbox = bundle.sandbox();
        let (root, dir, runtime) = (sandbox.root(), bundle.dir(), runtime_path());
        let [root, dir, runtime] = [&root, &dir, &runtime].map(|p| p.to_str().expect("utf-8"));
        let mut line = vec!["--bounding-set=-mknod", runtime, "--root", root];
        line.extend(sandbox.manager().options());
        line.extend(["run", "--bundle", dir, bundle.id()]);
        let table = sandbox.program(Path::new("setpriv"), &line).finish().ok().stdout;
        let null = mountinfo::at(&table, "/dev/null");
        assert_eq!(null.propagates(), ["master"], "the host's device, cut off:\n{table}");
    });
    Ok(())
}

fn layers_of_an_overlay_are_the_hosts() -> Outcome {
    kernel_makes_them()?;
    let bundle = Bundle::new();
    let layers = ["lower", "upper", "work"].map(|name| bundle.host_dir(name));
    fs::write(layers[0].join("file"), "of the host\n").expect("write");
    let [lower, upper, work] = layers.map(|path| path.display().to_string());
    let options =
        [&format!("lowerdir={lower}"), &format!("upperdir={upper}"), &format!("workdir={work}")];
    let options = options.map(String::as_str);
    let seen = bundle.mount("/o", "overlay", "overlay", &options).sh("cat /o/file; echo x >/o/new");
    assert_eq!(seen.output(), "of the host");
    assert!(Path::new(&upper).join("new").exists());
    Ok(())
}

fn a_source_within_the_root_shows_what_is_mounted_there() -> Outcome {
    kernel_makes_them()?;
    let bundle = Bundle::new();
    let source = bundle.rootfs().join("m");
    let bundle = bundle.mount("/m", "tmpfs", "first", &[]).bind(&source, "/again", &[]);
    let table = bundle.args(&["cat", "/proc/self/mountinfo"]).output();
    assert_eq!(mountinfo::at(&table, "/again").kind, "tmpfs");
    Ok(())
}
