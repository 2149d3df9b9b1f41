//! `mounts`: what is mounted where, with which options (config.md, "Mounts"
//! and "Linux mount options").

use std::fs;
use std::os::unix::fs::symlink;

use nix::mount::{MsFlags, mount};
use serde_json::json;

use crate::harness::mountinfo::{self, Mount};
use crate::harness::{Bundle, Outcome, Skip, in_private_mounts, needs, tests, write_closed};

tests![
    only_what_is_listed_is_mounted,
    the_host_does_not_see_the_containers_mounts,
    mounts_happen_in_the_order_of_the_list,
    mount_points_are_made,
    a_relative_destination_is_below_the_root,
    flags_are_set_one_by_one,
    options_may_be_longer_than_fsconfig_takes,
    options_longer_than_a_page_are_refused,
    the_last_of_two_opposites_counts,
    defaults_and_empty_options_change_nothing,
    access_times_follow_the_option,
    superblock_options_reach_the_file_system,
    unknown_options_reach_the_file_system,
    tmpfs_has_the_mode_and_size_asked_for,
    tmpcopyup_copies_what_was_there,
    a_read_only_tmpfs_takes_what_belongs_in_it,
    a_bind_shows_a_directory,
    a_bind_shows_a_file,
    a_bind_needs_no_type,
    a_bind_source_may_be_relative_to_the_bundle,
    a_read_only_bind_leaves_the_host_writable,
    bind_flags_are_set_one_by_one,
    a_bind_shows_one_file_system,
    an_rbind_shows_the_mounts_below,
    a_read_only_rbind_is_not_recursive,
    recursive_attributes_reach_the_mounts_below,
    recursive_access_times_reach_the_mounts_below,
    recursive_attributes_can_be_cleared,
    propagation_is_set,
    a_slave_receives_what_the_host_mounts,
    a_remount_changes_what_is_there,
    proc_is_the_containers_own,
    sysfs_is_read_only_where_asked,
    devpts_is_an_instance_of_its_own,
    mqueue_is_the_containers_own,
    cgroup_shows_the_containers_own_group,
    cgroup_is_read_only_where_asked,
    links_in_a_destination_are_followed,
    links_in_a_destination_do_not_lead_outside,
    a_missing_bind_source_is_an_error,
    a_directory_cannot_be_bound_on_a_file,
    a_refused_mount_leaves_nothing,
];

/// The mount table that the bundle's process sees.
#[track_caller]
fn table(bundle: Bundle) -> String {
    bundle.args(&["cat", "/proc/self/mountinfo"]).output()
}

/// A tmpfs at /m with these options, as it is in the table.
#[track_caller]
fn tmpfs(options: &[&str]) -> Mount {
    mountinfo::at(&table(Bundle::new().mount("/m", "tmpfs", "tmpfs", options)), "/m")
}

/// A directory of the host bound to /m with these options, as it is in the table.
#[track_caller]
fn bound(options: &[&str]) -> Mount {
    let bundle = Bundle::new();
    let source = bundle.host_dir("source");
    mountinfo::at(&table(bundle.bind(&source, "/m", options)), "/m")
}

fn only_what_is_listed_is_mounted() -> Outcome {
    needs::root()?;
    let table = table(Bundle::new());
    let mut points: Vec<String> = mountinfo::parse(&table).into_iter().map(|m| m.point).collect();
    points.sort();
    let listed = ["/", "/dev", "/dev/mqueue", "/dev/pts", "/dev/shm", "/proc", "/sys"];
    assert_eq!(points, listed, "nothing of the host, no old root:\n{table}");
    Ok(())
}

fn the_host_does_not_see_the_containers_mounts() -> Outcome {
    let container = Bundle::new().sh("echo ready; sleep 60").start();
    container.says("ready");
    let here = container.bundle().sandbox().mounts();
    assert!(here.is_empty(), "{here:?}");
    Ok(())
}

fn mounts_happen_in_the_order_of_the_list() -> Outcome {
    let bundle = Bundle::new()
        .mount("/m", "tmpfs", "first", &[])
        .mount("/m/below", "tmpfs", "second", &[])
        .mount("/n/below", "tmpfs", "third", &[])
        .mount("/n", "tmpfs", "fourth", &[])
        .sh("ls -d /m/below; ls -d /n/below; cat /proc/self/mountinfo");
    let seen = bundle.output();
    assert!(seen.starts_with("/m/below\n"), "a later mount lies on an earlier one: {seen}");
    assert!(!seen.contains("\n/n/below\n"), "and covers what was there: {seen}");
    Ok(())
}

fn mount_points_are_made() -> Outcome {
    needs::other_than("crun", "makes the first directory sticky")?;
    let bundle = Bundle::new();
    let file = bundle.host_dir("files").join("file");
    fs::write(&file, "text\n").expect("write");
    let bundle = bundle
        .mount("/a/deep/directory", "tmpfs", "tmpfs", &[])
        .bind(&file, "/another/deep/file", &[])
        .sh("test -d /a/deep/directory && test -f /another/deep/file && stat -c %a /a /another/deep");
    assert_eq!(bundle.lines(), ["755", "755"]);
    Ok(())
}

fn a_relative_destination_is_below_the_root() -> Outcome {
    let table =
        table(Bundle::new().set("/process/cwd", "/tmp").mount("rel/ative", "tmpfs", "t", &[]));
    mountinfo::at(&table, "/rel/ative");
    Ok(())
}

/// Mount attributes: the option, its opposite, and the word in the table.
const FLAGS: [(&str, &str, &str); 4] = [
    ("ro", "rw", "ro"),
    ("nosuid", "suid", "nosuid"),
    ("nodev", "dev", "nodev"),
    ("noexec", "exec", "noexec"),
];

fn flags_are_set_one_by_one() -> Outcome {
    for (option, opposite, word) in FLAGS {
        let mount = tmpfs(&[option]);
        assert!(mount.has(word), "{option}: {mount:?}");
        for (_, _, other) in FLAGS.iter().filter(|(_, _, other)| *other != word) {
            assert!(!mount.has(other), "{option} does not mean {other}: {mount:?}");
        }
        assert!(!tmpfs(&[opposite]).has(word), "{opposite}");
    }
    Ok(())
}

fn the_last_of_two_opposites_counts() -> Outcome {
    needs::other_than("crun", "takes ro,rw for ro, and noatime,atime for noatime")?;
    for (option, opposite, word) in FLAGS {
        assert!(tmpfs(&[opposite, option]).has(word), "{opposite},{option}");
        assert!(!tmpfs(&[option, opposite]).has(word), "{option},{opposite}");
    }
    for (option, opposite) in [("noatime", "atime"), ("nodiratime", "diratime")] {
        assert!(!tmpfs(&[option, opposite]).has(option), "{option},{opposite}");
        assert!(tmpfs(&[opposite, option]).has(option), "{opposite},{option}");
    }
    Ok(())
}

fn defaults_and_empty_options_change_nothing() -> Outcome {
    needs::other_than("runc", "passes defaults to the file system")?;
    let plain = tmpfs(&[]);
    for nothing in [["defaults"], [""]] {
        assert_eq!(plain.options, tmpfs(&nothing).options, "{nothing:?}");
    }
    for (_, _, word) in FLAGS {
        assert!(!plain.has(word), "{plain:?}");
    }
    Ok(())
}

fn access_times_follow_the_option() -> Outcome {
    needs::root()?;
    let rows: [(&[&str], &[&str], &[&str]); 5] = [
        (&[], &["relatime"], &["noatime"]),
        (&["relatime"], &["relatime"], &["noatime"]),
        (&["noatime"], &["noatime"], &["relatime"]),
        (&["strictatime"], &[], &["relatime", "noatime"]),
        (&["nodiratime"], &["nodiratime"], &[]),
    ];
    for (options, present, absent) in rows {
        for (kind, mount) in [("tmpfs", tmpfs(options)), ("bind", bound(options))] {
            for word in present {
                assert!(mount.has(word), "{kind} {options:?} means {word}: {mount:?}");
            }
            for word in absent {
                assert!(!mount.has(word), "{kind} {options:?} does not mean {word}: {mount:?}");
            }
        }
    }
    Ok(())
}

fn superblock_options_reach_the_file_system() -> Outcome {
    for (option, word) in [("sync", "sync"), ("dirsync", "dirsync"), ("async", "rw")] {
        let mount = tmpfs(&[option]);
        assert!(mount.superblock.iter().any(|o| o == word), "{option}: {mount:?}");
    }
    for option in
        ["nosymfollow", "lazytime", "nolazytime", "iversion", "noiversion", "silent", "loud"]
    {
        needs::other_than("crun", "lacks nosymfollow, lazytime, iversion, silent and loud")?;
        needs::since("runc", "1.2", "has nosymfollow, lazytime, silent and loud")?;
        tmpfs(&[option]);
    }
    assert!(tmpfs(&["nosymfollow"]).has("nosymfollow"));
    assert!(tmpfs(&["lazytime"]).has("lazytime"));
    assert!(!tmpfs(&["nosymfollow", "symfollow"]).has("nosymfollow"));
    Ok(())
}

fn unknown_options_reach_the_file_system() -> Outcome {
    let mount = tmpfs(&["nr_inodes=77"]);
    assert!(mount.has("nr_inodes=77"), "{mount:?}");
    let bundle = Bundle::new().mount("/m", "tmpfs", "tmpfs", &["no-such-option"]);
    bundle.is_refused();
    Ok(())
}

fn tmpfs_has_the_mode_and_size_asked_for() -> Outcome {
    let bundle = Bundle::new()
        .mount("/m", "tmpfs", "tmpfs", &["mode=0710", "size=64k", "uid=7", "gid=8"])
        .sh("stat -c '%a %u %g' /m; df -k /m | tail -1 | awk '{print $2}'");
    assert_eq!(bundle.lines(), ["710 7 8", "64"]);
    Ok(())
}

fn a_read_only_tmpfs_takes_what_belongs_in_it() -> Outcome {
    let bundle = Bundle::new()
        .mount("/dev", "tmpfs", "tmpfs", &["mode=755", "ro"])
        .mount("/dev/pts", "devpts", "devpts", &["newinstance", "ptmxmode=0666"])
        .mount("/m", "tmpfs", "tmpfs", &["ro"])
        .mount("/m/below", "tmpfs", "tmpfs", &[])
        .sh("echo x >/dev/null && test -c /dev/ptmx && echo devices
            touch /m/below/file && echo below
            for dir in /dev /m; do touch $dir/file 2>/dev/null || echo $dir; done");
    assert_eq!(bundle.lines(), ["devices", "below", "/dev", "/m"]);
    Ok(())
}

fn tmpcopyup_copies_what_was_there() -> Outcome {
    needs::root()?;
    let bundle = Bundle::new()
        .mount("/data", "tmpfs", "tmpfs", &["tmpcopyup", "mode=755"])
        .sh("cat /data/file /data/dir/file; readlink /data/link; stat -c '%a %u' /data/owned
            echo new >/data/file");
    let data = bundle.rootfs().join("data");
    fs::create_dir_all(data.join("dir")).expect("mkdir");
    fs::write(data.join("file"), "old\n").expect("write");
    fs::write(data.join("dir/file"), "older\n").expect("write");
    fs::write(data.join("owned"), "").expect("write");
    fs::set_permissions(data.join("owned"), std::os::unix::fs::PermissionsExt::from_mode(0o640))
        .expect("chmod");
    std::os::unix::fs::chown(data.join("owned"), Some(33), Some(33)).expect("chown");
    symlink("/etc/passwd", data.join("link")).expect("symlink");
    let finished = bundle.run().ok();
    assert_eq!(
        fs::read_to_string(data.join("file")).expect("read"),
        "old\n",
        "the image keeps its own"
    );
    let seen: Vec<&str> = finished.stdout.lines().collect();
    assert_eq!(seen, ["old", "older", "/etc/passwd", "640 33"], "{finished}");
    Ok(())
}

fn a_bind_shows_a_directory() -> Outcome {
    let bundle = Bundle::new();
    let source = bundle.host_dir("source");
    fs::write(source.join("file"), "from the host\n").expect("write");
    let bundle = bundle.bind(&source, "/m", &[]).sh("cat /m/file; echo from inside >/m/other");
    assert_eq!(bundle.output(), "from the host");
    assert_eq!(fs::read_to_string(source.join("other")).expect("read"), "from inside\n");
    Ok(())
}

fn a_bind_shows_a_file() -> Outcome {
    let bundle = Bundle::new();
    let source = bundle.host_dir("source").join("file");
    fs::write(&source, "from the host\n").expect("write");
    let bundle = bundle.bind(&source, "/etc/passwd", &[]).args(&["cat", "/etc/passwd"]);
    assert_eq!(bundle.output(), "from the host");
    Ok(())
}

fn a_bind_needs_no_type() -> Outcome {
    for kind in [json!(null), json!("none"), json!("bind"), json!("dummy")] {
        let bundle = Bundle::new();
        let source = bundle.host_dir("source");
        fs::write(source.join("file"), "from the host\n").expect("write");
        let mut entry = json!({"destination": "/m", "source": source, "options": ["bind"]});
        if !kind.is_null() {
            entry["type"] = kind;
        }
        let bundle = bundle.push("/mounts", entry).args(&["cat", "/m/file"]);
        assert_eq!(bundle.output(), "from the host");
    }
    Ok(())
}

fn a_bind_source_may_be_relative_to_the_bundle() -> Outcome {
    let bundle = Bundle::new().mount("/m", "bind", "beside", &["bind"]).args(&["cat", "/m/file"]);
    let source = bundle.dir().join("beside");
    fs::create_dir(&source).expect("mkdir");
    fs::write(source.join("file"), "from the bundle\n").expect("write");
    assert_eq!(bundle.output(), "from the bundle");
    Ok(())
}

fn a_read_only_bind_leaves_the_host_writable() -> Outcome {
    let bundle = Bundle::new();
    let source = bundle.host_dir("source");
    let container =
        bundle.bind(&source, "/m", &["ro"]).sh("touch /m/x || echo refused; sleep 60").start();
    container.says("refused");
    fs::write(source.join("file"), "still ours").expect("the host's own view stays writable");
    Ok(())
}

fn bind_flags_are_set_one_by_one() -> Outcome {
    for (option, _, word) in FLAGS {
        let mount = bound(&[option]);
        assert!(mount.has(word), "{option}: {mount:?}");
        for (_, _, other) in FLAGS.iter().filter(|(_, _, other)| *other != word) {
            assert!(
                !mount.options.iter().any(|o| o == other),
                "{option} is not {other}: {mount:?}"
            );
        }
    }
    Ok(())
}

/// Runs `test` with a mounted directory that has another one mounted below it,
/// `tree/sub`, in a mount namespace of the test's own.
fn with_tree(propagation: MsFlags, test: impl FnOnce(Bundle, &std::path::Path) + Send) -> Outcome {
    in_private_mounts(propagation, || {
        let bundle = Bundle::new();
        let sandbox = bundle.sandbox().clone();
        let tree = bundle.host_dir("tree");
        let mount_at =
            |dir| mount(Some("tree"), dir, Some("tmpfs"), MsFlags::empty(), None::<&str>);
        mount_at(&tree).expect("mount the tree");
        let sub = bundle.host_dir("tree/sub");
        mount_at(&sub).expect("mount below the tree");
        // A mount with a file that is open for writing cannot be made read-only.
        write_closed(&sub.join("file"), "below\n");
        test(bundle, &tree);
        for dir in [&sub, &tree] {
            nix::mount::umount2(dir, nix::mount::MntFlags::MNT_DETACH).expect("umount");
        }
        drop(sandbox);
    });
    Ok(())
}

fn a_bind_shows_one_file_system() -> Outcome {
    with_tree(MsFlags::MS_PRIVATE, |bundle, tree| {
        let bundle = bundle.bind(tree, "/m", &[]).sh("ls -d /m/sub; ls /m/sub");
        assert_eq!(bundle.output(), "/m/sub");
    })
}

fn an_rbind_shows_the_mounts_below() -> Outcome {
    with_tree(MsFlags::MS_PRIVATE, |bundle, tree| {
        let source = tree.to_str().expect("utf-8");
        let bundle = bundle.mount("/m", "bind", source, &["rbind"]).args(&["cat", "/m/sub/file"]);
        assert_eq!(bundle.output(), "below");
    })
}

/// The tree at /m with these options: its own mount, and the one below it.
fn tree_mounts(bundle: Bundle, tree: &std::path::Path, options: &[&str]) -> (Mount, Mount) {
    let mut all = vec!["rbind"];
    all.extend(options);
    let table = table(bundle.mount("/m", "bind", tree.to_str().expect("utf-8"), &all));
    (mountinfo::at(&table, "/m"), mountinfo::at(&table, "/m/sub"))
}

fn a_read_only_rbind_is_not_recursive() -> Outcome {
    with_tree(MsFlags::MS_PRIVATE, |bundle, tree| {
        let (top, below) = tree_mounts(bundle, tree, &["ro"]);
        assert!(top.has("ro") && !below.has("ro"), "{top:?} {below:?}");
    })
}

fn recursive_attributes_reach_the_mounts_below() -> Outcome {
    needs::kernel(5, 12)?;
    for (option, word) in
        [("rro", "ro"), ("rnosuid", "nosuid"), ("rnodev", "nodev"), ("rnoexec", "noexec")]
    {
        with_tree(MsFlags::MS_PRIVATE, |bundle, tree| {
            let (top, below) = tree_mounts(bundle, tree, &[option]);
            assert!(top.has(word) && below.has(word), "{option}: {top:?} {below:?}");
        })?;
    }
    Ok(())
}

fn recursive_access_times_reach_the_mounts_below() -> Outcome {
    needs::kernel(5, 12)?;
    needs::other_than("crun", "gets EINVAL for rnoatime")?;
    for option in ["rnoatime", "rnodiratime", "rrelatime", "rstrictatime"] {
        with_tree(MsFlags::MS_PRIVATE, |bundle, tree| {
            let (top, below) = tree_mounts(bundle, tree, &[option]);
            for mount in [top, below] {
                let shown = mount.has(&option[1..]);
                // strictatime is the absence of the others.
                let strict = !mount.has("relatime") && !mount.has("noatime");
                assert!(shown || (option == "rstrictatime" && strict), "{option}: {mount:?}");
            }
        })?;
    }
    Ok(())
}

fn recursive_attributes_can_be_cleared() -> Outcome {
    needs::kernel(5, 12)?;
    for (option, word) in
        [("rrw", "ro"), ("rsuid", "nosuid"), ("rdev", "nodev"), ("rexec", "noexec")]
    {
        with_tree(MsFlags::MS_PRIVATE, |bundle, tree| {
            let flags =
                MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
            let remount = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | flags;
            mount(None::<&str>, &tree.join("sub"), None::<&str>, remount, None::<&str>)
                .expect("remount");
            let (_, below) = tree_mounts(bundle, tree, &[option]);
            for (_, _, flag) in FLAGS {
                assert_eq!(
                    below.options.iter().any(|o| o == flag),
                    flag != word,
                    "{option}: {below:?}"
                );
            }
        })?;
    }
    Ok(())
}

fn propagation_is_set() -> Outcome {
    needs::other_than("crun", "gives all mounts the propagation of the root")?;
    let rows: [(&str, &[&str]); 8] = [
        ("private", &[]),
        ("rprivate", &[]),
        ("shared", &["shared"]),
        ("rshared", &["shared"]),
        ("unbindable", &["unbindable"]),
        ("runbindable", &["unbindable"]),
        ("slave", &["master"]),
        ("rslave", &["master"]),
    ];
    for (option, tags) in rows {
        // To be a slave there has to be a master: the host's mounts are shared here.
        with_tree(MsFlags::MS_SHARED, |bundle, tree| {
            let (top, below) = tree_mounts(bundle, tree, &[option]);
            let shared_further = |mount: &Mount| {
                mount
                    .propagates()
                    .into_iter()
                    .filter(|t| *t != "propagate_from")
                    .map(str::to_owned)
                    .collect::<Vec<_>>()
            };
            assert!(
                tags.iter().all(|tag| shared_further(&top).contains(&(*tag).to_owned())),
                "{option}: {top:?}"
            );
            if tags.is_empty() {
                assert!(shared_further(&top).is_empty(), "{option}: {top:?}");
            }
            if option.starts_with('r') {
                assert!(
                    tags.iter().all(|tag| shared_further(&below).contains(&(*tag).to_owned())),
                    "{option}: {below:?}"
                );
            }
        })?;
    }
    Ok(())
}

fn a_slave_receives_what_the_host_mounts() -> Outcome {
    with_tree(MsFlags::MS_SHARED, |bundle, tree| {
        let later = tree.join("later");
        fs::create_dir(&later).expect("mkdir");
        let container = bundle
            .set("/linux/rootfsPropagation", "rslave")
            .mount("/m", "bind", tree.to_str().expect("utf-8"), &["rbind", "rslave"])
            .sh("echo ready; until test -e /m/later/file; do sleep 0.02; done; echo arrived")
            .start();
        container.says("ready");
        mount(Some("later"), &later, Some("tmpfs"), MsFlags::empty(), None::<&str>).expect("mount");
        fs::write(later.join("file"), "").expect("write");
        container.says("arrived");
        nix::mount::umount2(&later, nix::mount::MntFlags::MNT_DETACH).expect("umount");
    })
}

fn a_remount_changes_what_is_there() -> Outcome {
    let bundle = Bundle::new().mount("/m", "tmpfs", "tmpfs", &["mode=755"]).mount(
        "/m",
        "tmpfs",
        "tmpfs",
        &["remount", "ro"],
    );
    let table = table(bundle);
    assert!(mountinfo::at(&table, "/m").has("ro"), "{table}");
    let count = mountinfo::parse(&table).iter().filter(|mount| mount.point == "/m").count();
    assert_eq!(count, 1, "{table}");
    Ok(())
}

fn proc_is_the_containers_own() -> Outcome {
    let bundle = Bundle::new().sh("ls /proc | grep -c '^[0-9]'; cat /proc/1/comm; true");
    let seen = bundle.lines();
    assert_eq!(seen[1], "sh");
    assert!(seen[0].parse::<u32>().expect("a number") <= 3, "{seen:?}");
    let mount = mountinfo::at(&table(Bundle::new()), "/proc");
    assert_eq!((mount.kind.as_str(), mount.root.as_str()), ("proc", "/"));
    Ok(())
}

fn sysfs_is_read_only_where_asked() -> Outcome {
    let mount = mountinfo::at(&table(Bundle::new()), "/sys");
    assert_eq!(mount.kind, "sysfs");
    for word in ["ro", "nosuid", "noexec", "nodev"] {
        assert!(mount.has(word), "{mount:?}");
    }
    let interfaces = Bundle::new().args(&["ls", "/sys/class/net"]).output();
    assert_eq!(interfaces, "lo", "of the container's own network namespace");
    Ok(())
}

fn devpts_is_an_instance_of_its_own() -> Outcome {
    let bundle = Bundle::new().sh("ls /dev/pts; stat -c %a /dev/pts/ptmx; readlink /dev/ptmx");
    assert_eq!(bundle.lines(), ["ptmx", "666", "pts/ptmx"]);
    Ok(())
}

fn mqueue_is_the_containers_own() -> Outcome {
    let mount = mountinfo::at(&table(Bundle::new()), "/dev/mqueue");
    assert_eq!(mount.kind, "mqueue");
    assert!(mount.has("noexec"));
    Ok(())
}

fn cgroup_shows_the_containers_own_group() -> Outcome {
    let bundle = Bundle::new()
        .mount("/sys/fs/cgroup", "cgroup", "cgroup", &["rw", "nosuid", "nodev"])
        .sh("cat /proc/self/cgroup | grep ^0; cat /sys/fs/cgroup/cgroup.procs | head -1; mkdir /sys/fs/cgroup/inner && rmdir /sys/fs/cgroup/inner && echo writable");
    assert_eq!(bundle.lines(), ["0::/", "1", "writable"]);
    Ok(())
}

fn cgroup_is_read_only_where_asked() -> Outcome {
    let bundle = Bundle::new().mount(
        "/sys/fs/cgroup",
        "cgroup",
        "cgroup",
        &["ro", "nosuid", "noexec", "nodev", "relatime"],
    );
    let mount = mountinfo::at(&table(bundle), "/sys/fs/cgroup");
    assert_eq!(mount.kind, "cgroup2");
    assert!(mount.options.iter().any(|option| option == "ro"), "{mount:?}");
    Ok(())
}

fn links_in_a_destination_are_followed() -> Outcome {
    let bundle = Bundle::new().mount("/var/run/data", "tmpfs", "tmpfs", &[]).mount(
        "/relative/data",
        "tmpfs",
        "tmpfs",
        &[],
    );
    let root = bundle.rootfs();
    for dir in ["var", "run", "srv"] {
        fs::create_dir_all(root.join(dir)).expect("mkdir");
    }
    symlink("/run", root.join("var/run")).expect("symlink");
    symlink("../../srv", root.join("relative")).expect("symlink");
    let table = table(bundle);
    mountinfo::at(&table, "/run/data");
    mountinfo::at(&table, "/srv/data");
    Ok(())
}

fn links_in_a_destination_do_not_lead_outside() -> Outcome {
    needs::other_than("crun", "refuses links that dangle inside the root")?;
    let bundle = Bundle::new();
    let outside = bundle.host_dir("outside");
    symlink(&outside, bundle.rootfs().join("outside")).expect("symlink");
    let bundle = bundle
        .mount("/outside/data", "tmpfs", "tmpfs", &[])
        .sh("grep -c /outside/data /proc/self/mountinfo; ls -d /outside/data");
    assert_eq!(bundle.lines(), ["1", "/outside/data"]);
    assert_eq!(fs::read_dir(&outside).expect("list").count(), 0, "nothing was made on the host");
    Ok(())
}

/// INIT-3. Layers of overlays have long names.
fn options_may_be_longer_than_fsconfig_takes() -> Outcome {
    let known = fs::read_to_string("/proc/filesystems").unwrap();
    if !known.lines().any(|line| line.ends_with("\toverlay")) {
        return Err(Skip("no overlay file system in this kernel".to_owned()));
    }
    let bundle = Bundle::new();
    let layers = ["u", "l"].map(|name| bundle.host_dir(&name.repeat(200)));
    fs::write(layers[0].join("upper"), "").unwrap();
    fs::write(layers[1].join("lower"), "").unwrap();
    let layers = format!("lowerdir={}:{}", layers[0].display(), layers[1].display());
    let script = "pwd; ls /m; grep ' /m ' /proc/mounts; grep -c '/m ' /proc/self/mountinfo";
    let bundle = bundle.mount("/m", "overlay", "overlay", &[&layers, "ro", "nodev", "noexec"]);
    let lines = bundle.sh(script).lines();
    assert_eq!(lines[..3], ["/", "lower", "upper"]);
    assert!(lines[3].starts_with("overlay /m overlay ro,nodev,noexec,"), "{}", lines[3]);
    assert_eq!(lines[4], "1");
    Ok(())
}

fn options_longer_than_a_page_are_refused() -> Outcome {
    needs::cloison()?;
    let value = format!("lowerdir={}", "x".repeat(4090));
    let refusal = Bundle::new().mount("/m", "overlay", "overlay", &[&value]).is_refused();
    refusal.complains("/options: 4099 bytes are more than the 4095");
    Ok(())
}

fn a_missing_bind_source_is_an_error() -> Outcome {
    let bundle = Bundle::new();
    let missing = bundle.sandbox().path().join("missing");
    let refusal = bundle.bind(&missing, "/m", &[]).is_refused();
    assert!(refusal.stderr.contains("missing"), "names the source: {refusal}");
    Ok(())
}

fn a_directory_cannot_be_bound_on_a_file() -> Outcome {
    let bundle = Bundle::new();
    let source = bundle.host_dir("source");
    bundle.bind(&source, "/etc/passwd", &[]).is_refused();
    Ok(())
}

fn a_refused_mount_leaves_nothing() -> Outcome {
    Bundle::new().mount("/m", "no-such-fs", "none", &[]).is_refused();
    Ok(())
}
