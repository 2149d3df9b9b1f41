//! `idmap`: mounts that show other owners than their file system has
//! (config.md, "Mounts": uidMappings, gidMappings, idmap, ridmap).

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount, umount};
use serde_json::{Value, json};

use crate::harness::{Bundle, Outcome, Skip, in_private_mounts, needs, tests};

tests![
    mappings_of_the_mount_are_used,
    mappings_are_used_without_the_option,
    mappings_may_be_said_by_the_option,
    the_users_of_the_container_are_used,
    mappings_of_the_mount_come_before_those_of_the_container,
    what_the_container_writes_has_the_mapped_owner,
    idmap_leaves_the_mounts_below_alone,
    ridmap_reaches_the_mounts_below,
    an_option_without_mappings_and_users_is_an_error,
    one_sided_mappings_are_an_error,
    a_file_system_that_cannot_is_an_error,
];

/// Needs a kernel whose tmpfs can be mapped, and a runtime that maps mounts.
fn known() -> Result<(), Skip> {
    needs::since("runc", "1.2", "maps the ids of mounts")?;
    needs::kernel(6, 3)
}

fn ids(inside: u32, outside: u32, size: u32) -> Value {
    json!([{"containerID": inside, "hostID": outside, "size": size}])
}

/// A directory of the host with a file of user and group `owner`.
fn source(bundle: &Bundle, owner: u32) -> PathBuf {
    let dir = bundle.host_dir("source");
    let file = dir.join("file");
    fs::write(&file, "x").unwrap();
    for path in [&dir, &file] {
        chown(path, Some(owner), Some(owner)).unwrap();
    }
    dir
}

fn mapped(bundle: Bundle, source: &Path, options: &[&str], ids: &Value) -> Bundle {
    bundle.push(
        "/mounts",
        json!({
            "destination": "/m", "source": source, "options": options,
            "uidMappings": ids, "gidMappings": ids,
        }),
    )
}

fn with_idmap(bundle: Bundle, owner: u32, ids: &Value) -> Bundle {
    let source = source(&bundle, owner);
    mapped(bundle, &source, &["bind", "idmap"], ids)
}

const OWNER: &[&str] = &["stat", "-c", "%u:%g", "/m/file"];

/// IDM-1
fn mappings_of_the_mount_are_used() -> Outcome {
    needs::root()?;
    known()?;
    let bundle = with_idmap(Bundle::new().args(OWNER), 0, &ids(0, 4321, 10));
    assert_eq!(bundle.output(), "4321:4321");
    Ok(())
}

fn mappings_are_used_without_the_option() -> Outcome {
    needs::root()?;
    known()?;
    let bundle = Bundle::new().args(OWNER);
    let source = source(&bundle, 3);
    assert_eq!(mapped(bundle, &source, &["bind"], &ids(0, 500, 10)).output(), "503:503");
    Ok(())
}

/// IDM-7: as podman and crun write them, with ids of the host and of the container.
fn mappings_may_be_said_by_the_option() -> Outcome {
    needs::root()?;
    known()?;
    needs::other_than("runc", "knows no such option")?;
    let bundle = Bundle::new().args(OWNER);
    let source_of_all = source(&bundle, 3);
    let option = "idmap=uids=0-500-10;gids=3-700-1";
    let bundle = bundle.bind(&source_of_all, "/m", &["bind", option]);
    assert_eq!(bundle.output(), "503:700");
    let bundle = Bundle::new().args(OWNER).in_user_namespace(100_000);
    let source = source(&bundle, 3);
    let bundle = bundle.bind(&source, "/m", &["bind", "idmap=uids=@3-8-1;gids=@3-9-1"]);
    assert_eq!(bundle.output(), "8:9");
    Ok(())
}

/// IDM-2
fn the_users_of_the_container_are_used() -> Outcome {
    known()?;
    let bundle = Bundle::new().args(OWNER).in_user_namespace(100_000);
    let source = source(&bundle, 7);
    let bundle = bundle.bind(&source, "/m", &["idmap"]);
    assert_eq!(bundle.output(), "7:7");
    Ok(())
}

fn mappings_of_the_mount_come_before_those_of_the_container() -> Outcome {
    known()?;
    let bundle = Bundle::new().args(OWNER).in_user_namespace(100_000);
    assert_eq!(with_idmap(bundle, 7, &ids(0, 100_010, 100)).output(), "17:17");
    Ok(())
}

fn what_the_container_writes_has_the_mapped_owner() -> Outcome {
    known()?;
    let bundle = Bundle::new().args(&["touch", "/m/new"]).in_user_namespace(100_000);
    let bundle = with_idmap(bundle, 0, &ids(0, 100_000, 100));
    bundle.output();
    let made = fs::metadata(bundle.host_dir("source").join("new")).unwrap();
    assert_eq!((made.uid(), made.gid()), (0, 0));
    Ok(())
}

#[track_caller]
fn owners_of_tree(option: &'static str) -> String {
    in_private_mounts(MsFlags::MS_PRIVATE, move || {
        let bundle = Bundle::new().sh("stat -c %u /m/file /m/below/file");
        let source = source(&bundle, 0);
        let below = source.join("below");
        fs::create_dir(&below).unwrap();
        mount(Some("tmpfs"), &below, Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
        fs::write(below.join("file"), "x").unwrap();
        let bundle = mapped(bundle, &source, &["rbind", option], &ids(0, 77, 10));
        let owners = bundle.output();
        umount(&below).unwrap();
        owners
    })
}

fn idmap_leaves_the_mounts_below_alone() -> Outcome {
    needs::since("crun", "1.9", "keeps the mounts below")?;
    known()?;
    assert_eq!(owners_of_tree("idmap"), "77\n0");
    Ok(())
}

fn ridmap_reaches_the_mounts_below() -> Outcome {
    needs::since("crun", "1.9", "keeps the mounts below")?;
    known()?;
    assert_eq!(owners_of_tree("ridmap"), "77\n77");
    Ok(())
}

/// IDM-3
fn an_option_without_mappings_and_users_is_an_error() -> Outcome {
    needs::root()?;
    known()?;
    needs::other_than("crun", "leaves its cgroup behind")?;
    for option in ["idmap", "ridmap"] {
        let bundle = Bundle::new();
        let source = source(&bundle, 0);
        bundle.bind(&source, "/m", &[option]).is_refused();
    }
    Ok(())
}

/// IDM-4
fn one_sided_mappings_are_an_error() -> Outcome {
    needs::root()?;
    known()?;
    needs::other_than("crun", "leaves its cgroup behind")?;
    let bundle = Bundle::new();
    let source = source(&bundle, 0);
    let mount = json!({
        "destination": "/m", "source": source, "options": ["bind", "idmap"],
        "uidMappings": ids(0, 1, 1),
    });
    bundle.push("/mounts", mount).is_refused();
    Ok(())
}

/// IDM-5
fn a_file_system_that_cannot_is_an_error() -> Outcome {
    needs::root()?;
    known()?;
    needs::other_than("crun", "leaves its cgroup behind")?;
    let refusal = mapped(Bundle::new(), Path::new("/proc/sys"), &["bind", "idmap"], &ids(0, 1, 1))
        .is_refused();
    needs::cloison()?;
    refusal.complains("/mounts/6: map the ids of /proc/sys: invalid argument");
    Ok(())
}
