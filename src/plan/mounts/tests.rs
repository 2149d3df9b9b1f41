use super::*;

fn parse_with(json: &str, cgroups: CgroupView) -> Result<(Vec<Mount>, Vec<Warning>), Error> {
    let asked: Vec<oci_spec::runtime::Mount> = serde_json::from_str(json).unwrap();
    let around = Surroundings {
        bundle: Path::new("/bundle"),
        cgroups: &cgroups,
        own_users: false,
        id_maps: None,
        label: Some((c"context", c"s0:c1")),
        namespaces: &Namespaces { new: Kind::Pid.flag(), join: Vec::new() },
    };
    resolve(&asked, around)
}

fn one(json: &str) -> Mount {
    parse_with(&format!("[{json}]"), CgroupView::None).unwrap().0.remove(0)
}

fn error(json: &str) -> String {
    parse_with(&format!("[{json}]"), CgroupView::None).unwrap_err().to_string()
}

fn fs(mount: &Mount) -> &FileSystem {
    let Content::FileSystem(fs) = &mount.content else { panic!("{mount:?}") };
    fs
}

#[test]
fn a_bind_takes_its_source_from_the_bundle() {
    let mount = one(r#"{"destination":"/data","source":"data","options":["rbind","ro","rslave"]}"#);
    let source = c"/bundle/data".to_owned();
    assert_eq!(mount.content, Content::Bind { source, reach: Reach::Tree });
    assert_eq!(mount.attributes, AttrChange { set: attr::RDONLY, clear: 0 });
    assert_eq!(mount.propagation, [(propagation::SLAVE, Reach::Tree)]);
}

#[test]
fn a_tmpfs_keeps_its_parameters_in_order() {
    let mount =
        one(r#"{"destination":"/t","type":"tmpfs","options":["size=1m","noswap","nodev"]}"#);
    let keys: Vec<_> = fs(&mount).parameters.iter().map(|p| p.key.to_str().unwrap()).collect();
    assert_eq!(keys, ["size", "noswap", "context"]);
    assert_eq!(mount.attributes.set, attr::NODEV);
}

#[test]
fn the_last_option_wins() {
    let mount = one(
        r#"{"destination":"/t","type":"tmpfs","options":["ro","rw","noatime","strictatime","sync","async"]}"#,
    );
    let set = attr::STRICTATIME;
    let clear = attr::ATIME_MASK | attr::RDONLY;
    assert_eq!(mount.attributes, AttrChange { set, clear });
    assert_eq!(fs(&mount).parameters[0].key.as_c_str(), c"async");
    assert!(!fs(&mount).parameters.iter().any(|p| p.key.as_c_str() == c"ro"));
}

#[test]
fn kernel_file_systems_are_read_only_by_mount_alone() {
    let sysfs = one(r#"{"destination":"/sys","type":"sysfs","options":["ro"]}"#);
    assert!(fs(&sysfs).parameters.is_empty() && sysfs.links == Links::Refuse);
    let ext4 = one(r#"{"destination":"/t","type":"ext4","source":"/dev/x","options":["ro"]}"#);
    assert!(fs(&ext4).parameters.iter().any(|p| p.key.as_c_str() == c"ro"));
    assert!(ext4.attributes.set & attr::RDONLY != 0 && !ext4.sealed);
}

#[test]
fn a_tmpfs_becomes_read_only_in_the_end() {
    for option in ["ro", "rro"] {
        let entry = format!(r#"{{"destination":"/t","type":"tmpfs","options":["{option}",""]}}"#);
        let tmpfs = one(&entry);
        assert!(tmpfs.sealed);
        assert!(fs(&tmpfs).parameters.iter().all(|p| p.key.as_c_str() == c"context"));
        assert!(tmpfs.attributes.is_empty() && tmpfs.tree_attributes.is_empty());
    }
    assert!(!one(r#"{"destination":"/t","type":"tmpfs","options":["ro","rw"]}"#).sealed);
}

#[test]
fn recursive_attributes_reach_the_tree() {
    let mount = one(r#"{"destination":"/d","source":"/d","options":["rbind","rro","rnoexec"]}"#);
    assert_eq!(mount.tree_attributes.set, attr::RDONLY | attr::NOEXEC);
    assert!(mount.attributes.is_empty());
}

/// MNT: the last of two options about the same attribute counts, for the mount and for the tree.
#[test]
fn the_last_word_about_an_attribute_counts() {
    let with = |options: &str| {
        one(&format!(r#"{{"destination":"/d","source":"/d","options":["rbind",{options}]}}"#))
    };
    let writable_in_readonly = with(r#""rro","rw""#);
    assert_eq!(writable_in_readonly.tree_attributes.set, attr::RDONLY);
    assert_eq!(writable_in_readonly.attributes.clear, attr::RDONLY);
    let readonly = with(r#""rw","rro""#);
    assert_eq!(readonly.tree_attributes.set, attr::RDONLY);
    assert!(readonly.attributes.is_empty());
    let readonly_in_writable = with(r#""rrw","ro""#);
    assert_eq!(readonly_in_writable.tree_attributes.clear, attr::RDONLY);
    assert_eq!(readonly_in_writable.attributes.set, attr::RDONLY);
}

#[test]
fn only_known_files_of_proc_are_covered() {
    let bind = |to: &str| {
        format!(r#"{{"destination":"{to}","type":"bind","source":"/x","options":["bind"]}}"#)
    };
    one(&bind("/proc/uptime"));
    one(&bind("/proc"));
    let expected = "/mounts/0/destination: /proc/sys is inside /proc and cannot be covered";
    assert_eq!(error(&bind("/proc/sys")), expected);
    assert_eq!(error(&bind("/x/../proc/sys")), expected);
    assert!(error(r#"{"destination":"/proc","type":"tmpfs"}"#).contains("inside /proc"));
}

/// What crun makes of them is no mount of the same thing.
#[test]
fn options_of_crun_are_refused_by_name() {
    for name in ["copy-symlink", "dest-nofollow", "src-nofollow"] {
        assert_eq!(
            error(&format!(r#"{{"destination":"/d","source":"/s","options":["bind","{name}"]}}"#)),
            format!("/mounts/0/options/1: {name:?} is an option of crun and not known here")
        );
    }
}

/// IDM-7
#[test]
fn an_option_may_say_the_mappings() {
    let maps = |option: &str, more: &str| {
        format!(r#"{{"destination":"/d","source":"/s","options":["bind","{option}"]{more}}}"#)
    };
    let mount = one(&maps("ridmap=uids=0-7-2;gids=1-9-1", ""));
    let idmap = mount.idmap.unwrap();
    assert_eq!(idmap.reach, Reach::Tree);
    let maps_of_it = idmap.maps.unwrap();
    assert_eq!(idmap::map_file(&maps_of_it.uids), "0 7 2\n");
    assert_eq!(idmap::map_file(&maps_of_it.gids), "1 9 1\n");
    assert_eq!(
        error(&maps("idmap=uids=0", "")),
        "/mounts/0/options/1: \"idmap=uids=0\" is not idmap=uids=FROM-TO-COUNT#…;gids=…, \
         or the container has no such ids"
    );
    assert!(error(&maps("idmap=uids=0-7-2", "")).contains("gidMappings: missing"));
    let ids = r#"[{"containerID":0,"hostID":0,"size":1}]"#;
    let both = format!(r#","uidMappings":{ids},"gidMappings":{ids}"#);
    assert_eq!(
        error(&maps("idmap=uids=0-7-2;gids=0-7-2", &both)),
        "/mounts/0/options/1: contradicts uidMappings and gidMappings"
    );
}

#[test]
fn incomplete_entries_are_refused_by_name() {
    assert_eq!(
        error(r#"{"destination":"/d","options":["bind"]}"#),
        "/mounts/0/source: missing, a bind mount needs one"
    );
    assert_eq!(
        error(r#"{"destination":"/d"}"#),
        "/mounts/0/type: missing, only bind mounts need none"
    );
    assert_eq!(
        error(r#"{"destination":"/","type":"tmpfs"}"#),
        "/mounts/0/destination: \"/\" is given by /root"
    );
    assert_eq!(
        error(r#"{"destination":"/d","type":"proc","options":["ro","tmpcopyup"]}"#),
        "/mounts/0/options/1: \"tmpcopyup\" is for tmpfs only"
    );
    assert!(error(r#"{"destination":"/d","type":"tmpfs","options":["a\u0000b"]}"#).contains("NUL"));
}

#[test]
fn useless_options_of_a_bind_are_told() {
    let json = r#"[{"destination":"d","source":"/d","options":["bind","size=3"]}]"#;
    let (_, warnings) = parse_with(json, CgroupView::None).unwrap();
    let texts: Vec<_> = warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            "/mounts/0/destination: \"d\" is relative, taken from /",
            "/mounts/0/options/1: \"size=3\" has no effect on a mount that exists",
        ]
    );
}

fn own_cgroup() -> OwnCgroup {
    OwnCgroup { made: Some(c"/cg/made".to_owned()), callers: c"/cg/callers".to_owned() }
}

#[test]
fn a_container_that_got_no_cgroup_sees_its_callers() {
    assert_eq!(own_cgroup().path(true), c"/cg/made");
    assert_eq!(own_cgroup().path(false), c"/cg/callers");
}

const CGROUP: &str = r#"[{"destination":"/cg","type":"cgroup","options":["ro","nosuid"]}]"#;

#[test]
fn a_unified_hierarchy_is_one_mount() {
    let (mounts, _) = parse_with(CGROUP, CgroupView::Unified).unwrap();
    assert!(mounts.len() == 1 && fs(&mounts[0]).is(c"cgroup2"));
    assert_eq!(mounts[0].attributes.set, attr::RDONLY | attr::NOSUID);
    let (mounts, _) = parse_with(CGROUP, CgroupView::UnifiedBind(own_cgroup())).unwrap();
    assert_eq!(mounts[0].content, Content::OwnCgroup(own_cgroup()));
}

#[test]
fn legacy_hierarchies_lie_in_a_sealed_tmpfs() {
    let cpu = Hierarchy {
        name: "cpu,cpuacct".into(),
        aliases: vec!["cpu".into()],
        source: cgroup::Source::Bind(own_cgroup()),
    };
    let (mounts, _) = parse_with(CGROUP, CgroupView::Legacy(vec![cpu])).unwrap();
    let paths: Vec<_> = mounts.iter().map(|m| m.destination.to_string()).collect();
    assert_eq!(paths, ["/cg", "/cg/cpu,cpuacct", "/cg/cpu", "/cg"]);
    assert_eq!(mounts[0].attributes.set & attr::RDONLY, 0);
    assert_eq!(mounts[3].content, Content::Existing);
    assert_eq!(mounts[3].attributes.set, attr::RDONLY);
}

#[test]
fn a_host_without_cgroups_is_told() {
    assert!(parse_with(CGROUP, CgroupView::None).unwrap_err().to_string().contains("no cgroup"));
}

#[test]
fn mappings_make_a_bind_id_mapped() {
    let maps = r#""uidMappings":[{"containerID":0,"hostID":9,"size":1}],
        "gidMappings":[{"containerID":0,"hostID":8,"size":1}]"#;
    let bind = |options: &str| {
        one(&format!(r#"{{"destination":"/d","source":"/s","options":[{options}],{maps}}}"#))
    };
    for (options, reach) in [
        (r#""bind""#, Reach::Single),
        (r#""rbind","idmap""#, Reach::Single),
        (r#""rbind","ridmap""#, Reach::Tree),
    ] {
        let idmap = bind(options).idmap.unwrap();
        assert_eq!(idmap.reach, reach, "{options}");
        assert_eq!(idmap.maps.unwrap().uids[0].outside, 9);
    }
    assert_eq!(
        error(&format!(r#"{{"destination":"/d","type":"tmpfs","options":["idmap"],{maps}}}"#)),
        "/mounts/0/options/0: \"idmap\" is for bind mounts only"
    );
}

#[test]
fn an_id_mapped_mount_needs_ids() {
    assert_eq!(
        error(r#"{"destination":"/d","source":"/s","options":["rbind","ridmap"]}"#),
        "/mounts/0/options/1: \"ridmap\" needs uidMappings and gidMappings, of the mount or of a user namespace"
    );
    assert_eq!(
        error(
            r#"{"destination":"/d","source":"/s","options":["bind","idmap"],
            "uidMappings":[{"containerID":0,"hostID":9,"size":1}]}"#
        ),
        "/mounts/0/gidMappings: missing, but the other of uidMappings and gidMappings is given"
    );
}

#[test]
fn a_label_is_the_context_of_new_file_systems() {
    let label = |kind: &str| {
        let mount = one(&format!(r#"{{"destination":"/d","type":"{kind}"}}"#));
        let found = fs(&mount).parameters.iter().find(|p| p.key.as_c_str() == c"context").cloned();
        found.and_then(|parameter| parameter.value)
    };
    for kind in ["tmpfs", "devpts", "ext4"] {
        assert_eq!(label(kind).as_deref(), Some(c"s0:c1"), "{kind}");
    }
    for kind in ["proc", "sysfs", "mqueue"] {
        assert_eq!(label(kind), None, "{kind}");
    }
}

#[test]
fn what_shows_the_callers_own_may_be_stood_in_for() {
    let stand_in =
        |kind: &str| fs(&one(&format!(r#"{{"destination":"/{kind}","type":"{kind}"}}"#))).stand_in;
    assert_eq!(stand_in("sysfs"), Some(c"/sys"));
    assert_eq!(stand_in("proc"), None, "the numbers would be those of others");
    assert_eq!(stand_in("tmpfs"), None);
}
