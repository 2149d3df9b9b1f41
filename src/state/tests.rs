use super::*;
use crate::cgroup::CgroupRecord;
use crate::plan::namespaces::Kind;
use crate::sys::process;
use crate::sys::seccomp::SockFilter;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::new(dir.path().join("deep/root"));
    (dir, store)
}

fn id(name: &str) -> ContainerId {
    ContainerId::new(name).unwrap()
}

fn record() -> Record {
    Record {
        oci_version: "1.3.0".into(),
        bundle: "/bundle".into(),
        rootfs: "/bundle/rootfs".into(),
        created: "2026-01-01T00:00:00Z".into(),
        boot: None,
        owner: 0,
        annotations: [("k".to_owned(), "v".to_owned())].into(),
        cgroup: CgroupRecord::Disabled,
        resctrl: None,
        device_rules: None,
        own_pids: true,
        root_mount_before: None,
        namespaces: vec![Kind::Pid, Kind::Mount],
        users: None,
        keyring: true,
        seccomp: Some(4),
        program: Some("sh".into()),
        listener: None,
        init: None,
        past_gate: false,
        start_hooks: None,
        poststart: Vec::new(),
        poststop: vec![HookRecord {
            path: "/bin/true".into(),
            args: vec!["true".into()],
            env: None,
            timeout: Some(1500),
        }],
    }
}

/// The record of a container whose first process is this one.
fn living(boot: Option<&str>) -> Record {
    let pid = process::getpid();
    let pidfd = process::pidfd_open(pid).unwrap();
    let identity = Identity::of(pid, pidfd.as_fd()).unwrap();
    let init = Some(InitRecord { pid, identity });
    Record { init, boot: boot.map(str::to_owned), ..record() }
}

#[test]
fn an_id_is_claimed_once() {
    let (_dir, store) = store();
    let entry = store.claim(&id("a")).unwrap();
    assert!(matches!(store.claim(&id("a")), Err(Error::Exists { .. })));
    entry.remove().unwrap();
    assert!(matches!(store.open(&id("a")), Err(Error::Missing { .. })));
    store.claim(&id("a")).unwrap();
}

#[test]
fn a_record_comes_back_as_it_was_written() {
    let (_dir, store) = store();
    let entry = store.claim(&id("a")).unwrap();
    assert_eq!(entry.record().unwrap(), None);
    entry.commit(&record()).unwrap();
    assert_eq!(entry.record().unwrap(), Some(record()));
    let identity = Identity::Pidfd(77);
    let created = Record { init: Some(InitRecord { pid: 5, identity }), ..record() };
    entry.commit(&created).unwrap();
    assert_eq!(entry.record().unwrap(), Some(created));
}

#[test]
fn a_glance_tells_what_the_record_does() {
    let (_dir, store) = store();
    let entry = store.claim(&id("a")).unwrap();
    assert!(entry.view().brief(|brief| Ok::<_, Error>(brief.is_none())).unwrap());
    let cgroup = serde_json::from_value(serde_json::json!({
        "manager": "systemd", "unit": "a.scope", "bus": "System",
        "mount": "/cg", "path": "system-\\x2d.slice/ä\"b", "kept": 0,
    }));
    for record in [
        record(),
        living(Some("some boot")),
        Record { past_gate: true, ..living(boot::id()) },
        Record { bundle: "/with \"quotes\"\n".into(), created: String::new(), ..record() },
        Record { cgroup: cgroup.unwrap(), annotations: BTreeMap::new(), owner: 7, ..record() },
    ] {
        entry.commit(&record).unwrap();
        let told = |brief: Option<Brief<'_>>| {
            let brief = brief.unwrap();
            assert_eq!(brief.oci_version, record.oci_version);
            assert_eq!(Path::new(&*brief.bundle), record.bundle);
            assert_eq!(Path::new(&*brief.rootfs), record.rootfs);
            assert_eq!(brief.created, record.created);
            assert_eq!((brief.owner, &brief.annotations), (record.owner, &record.annotations));
            let signs = |signs: &dyn Signs| {
                (
                    signs.init(),
                    signs.is_past_gate(),
                    signs.is_of_this_boot(),
                    signs.is_frozen().unwrap(),
                )
            };
            assert_eq!(signs(&brief), signs(&record));
            Ok::<_, Error>(())
        };
        entry.view().brief(told).unwrap();
    }
}

#[test]
fn damage_is_told_with_the_file() {
    let (_dir, store) = store();
    let entry = store.claim(&id("a")).unwrap();
    std::fs::write(entry.path().join("record"), "{\"ociVersion\":").unwrap();
    let error = entry.record().unwrap_err().to_string();
    assert!(error.contains("/a/record"), "{error}");
    std::fs::write(entry.path().join("record"), "").unwrap();
    assert!(matches!(entry.record(), Err(Error::Damaged { .. })));
    let glance = entry.view().brief(|_| Ok::<_, Error>(()));
    assert!(matches!(glance, Err(Error::Damaged { .. })));
    assert_eq!(entry.view().salvage(), None);
}

/// STATE-11
#[test]
fn what_makes_sense_of_a_damaged_record_is_salvaged() {
    let (_dir, store) = store();
    let entry = store.claim(&id("a")).unwrap();
    let whole = Record { root_mount_before: Some(7), ..record() };
    let damaged = |name: &str| {
        let mut text = serde_json::to_value(&whole).unwrap();
        text[name] = serde_json::json!({"not": "this"});
        std::fs::write(entry.path().join("record"), text.to_string()).unwrap();
        assert!(matches!(entry.record(), Err(Error::Damaged { .. })));
        entry.view().salvage()
    };
    let owner = damaged("owner").unwrap();
    assert_eq!(owner, Record { owner: 0, ..whole.clone() });
    assert_eq!(damaged("rootfs").unwrap().root_mount_before, None);
    assert_eq!(damaged("cgroup"), None);
}

/// STATE-3
#[test]
fn a_reader_sees_a_whole_record_or_none() {
    let (_dir, store) = store();
    let entry = store.claim(&id("a")).unwrap();
    let annotations = (0..20_000).map(|n| (format!("key {n}"), "v".repeat(40))).collect();
    let large = Record { annotations, ..record() };
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let entry = store.open(&id("a")).unwrap();
            while entry.record().unwrap().is_none() {}
        });
        entry.commit(&large).unwrap();
        reader.join().unwrap();
    });
}

/// STATE-4
#[test]
fn asking_for_a_lock_takes_none_and_gives_none_back() {
    let (_dir, store) = store();
    drop(store.claim(&id("a")).unwrap());
    let [first, second] = [(); 2].map(|()| store.open(&id("a")).unwrap());
    assert!(!first.is_locked() && !second.is_locked());
    first.lock(Duration::ZERO).unwrap();
    assert!(!first.is_locked() && second.is_locked());
    assert!(matches!(second.lock(Duration::ZERO), Err(Error::Busy { .. })));
    first.unlock();
    assert!(!second.is_locked());
}

#[test]
fn the_lock_has_a_deadline_and_sees_a_removal() {
    let (_dir, store) = store();
    let first = store.claim(&id("a")).unwrap();
    let second = store.open(&id("a")).unwrap();
    assert!(matches!(second.lock(Duration::from_millis(5)), Err(Error::Busy { .. })));
    first.remove().unwrap();
    drop(first);
    assert!(matches!(second.lock(Duration::from_millis(5)), Err(Error::Missing { .. })));
}

#[test]
fn ids_are_listed_in_order() {
    let (dir, store) = store();
    assert!(store.all().unwrap().is_none());
    for name in ["b", "a"] {
        store.claim(&id(name)).unwrap();
    }
    let root = dir.path().join("deep/root");
    std::fs::create_dir(root.join(".cache")).unwrap();
    std::fs::write(root.join("file"), "").unwrap();
    let all = store.all().unwrap().unwrap();
    assert_eq!(all.ids, [id("a"), id("b")]);
}

/// STATE-1: from the directory of all where nobody else can go into that, else from its own.
#[test]
fn a_container_looks_the_same_from_wherever_it_is_seen() {
    let (dir, store) = store();
    let root = dir.path().join("deep/root");
    let [bare, whole, made] = ["bare", "whole", "made"].map(|name| store.claim(&id(name)).unwrap());
    whole.commit(&record()).unwrap();
    made.commit(&living(None)).unwrap();
    let _gate = made.listen_at_gate().unwrap();
    drop(whole);
    for mode in [0o700, 0o711] {
        std::fs::set_permissions(&root, std::fs::Permissions::from_mode(mode)).unwrap();
        let all = store.all().unwrap().unwrap();
        assert_eq!(all.closed, mode == 0o700);
        let seen = |name: &str| {
            all.look(&id(name), |view| {
                let record = view.record()?;
                let (status, _) =
                    view.status(record.as_ref().map(|record| record as &dyn Signs))?;
                Ok::<_, Error>((record, status, view.is_locked()))
            })
        };
        assert_eq!(seen("bare").unwrap(), (None, Status::Creating, true), "{mode:o}");
        assert_eq!(seen("whole").unwrap(), (Some(record()), Status::Stopped, false), "{mode:o}");
        assert_eq!(seen("made").unwrap(), (Some(living(None)), Status::Created, true), "{mode:o}");
        assert!(matches!(seen("none"), Err(Error::Missing { .. })), "{mode:o}");
        std::fs::write(root.join("whole/record"), "{").unwrap();
        let error = seen("whole").unwrap_err().to_string();
        assert!(error.contains("root/whole/record"), "{mode:o}: {error}");
        store.open(&id("whole")).unwrap().commit(&record()).unwrap();
    }
    drop(bare);
}

/// STATE-1
#[test]
fn a_directory_that_others_can_write_to_is_not_looked_at_where_they_can_reach_it() {
    let (dir, store) = store();
    store.claim(&id("a")).unwrap();
    let root = dir.path().join("deep/root");
    let allow = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    allow(&root.join("a"), 0o777);
    allow(&root, 0o755);
    let all = store.all().unwrap().unwrap();
    let seen = all.look(&id("a"), |view| view.record());
    assert!(matches!(seen, Err(Error::Exposed { .. })), "{seen:?}");
}

#[test]
fn a_container_that_was_removed_while_it_is_looked_at_is_missing() {
    let (_dir, store) = store();
    let entry = store.claim(&id("a")).unwrap();
    let seen = store.open(&id("a")).unwrap();
    let all = store.all().unwrap().unwrap();
    entry.remove().unwrap();
    assert!(matches!(seen.record(), Err(Error::Missing { .. })));
    let seen = all.look(&id("a"), |view| view.record());
    assert!(matches!(seen, Err(Error::Missing { .. })), "{seen:?}");
}

/// Longer than anything here takes.
const SOON: Duration = Duration::from_secs(10);

#[test]
fn a_gate_answers_only_while_somebody_listens() {
    let (_dir, store) = store();
    let entry = store.claim(&id("a")).unwrap();
    assert!(entry.connect_to_gate(SOON).unwrap().is_none());
    let gate = entry.listen_at_gate().unwrap();
    assert!(entry.connect_to_gate(SOON).unwrap().is_some());
    drop(gate);
    assert!(entry.connect_to_gate(SOON).unwrap().is_none());
}

/// STATE-6
#[test]
fn once_it_is_on_record_that_a_start_went_through_nobody_is_asked() {
    let (_dir, store) = store();
    let entry = store.claim(&id("a")).unwrap();
    entry.commit(&living(None)).unwrap();
    let status = || entry.status(entry.record().unwrap().as_ref()).unwrap().0;
    assert_eq!(status(), Status::Running, "no gate");
    let gate = entry.listen_at_gate().unwrap();
    assert_eq!(status(), Status::Created);
    entry.mark_past_gate();
    assert_eq!(status(), Status::Running, "though somebody listens");
    let past = Record { past_gate: true, ..living(None) };
    assert_eq!(entry.record().unwrap(), Some(past.clone()));
    entry.commit(&past).unwrap();
    assert_eq!(entry.record().unwrap(), Some(past), "kept in the next record");
    entry.commit(&living(None)).unwrap();
    assert_eq!(status(), Status::Created);
    drop(gate);
    assert_eq!(status(), Status::Running, "a start that was killed wrote nothing");
}

/// STATE-6
#[test]
fn asking_at_a_gate_never_waits() {
    let (_dir, store) = store();
    let entry = store.claim(&id("a")).unwrap();
    assert!(!entry.view().is_waited_at_gate().unwrap());
    let gate = entry.listen_at_gate().unwrap();
    // Nobody accepts: far more ask than fit into the queue of connections.
    for _ in 0..64 {
        assert!(entry.view().is_waited_at_gate().unwrap());
    }
    let crowded = entry.connect_to_gate(Duration::from_millis(50));
    assert!(matches!(crowded, Err(Error::Crowded { .. })), "{crowded:?}");
    drop(gate);
    assert!(!entry.view().is_waited_at_gate().unwrap());
}

#[test]
fn whoever_sees_the_directory_can_tell_that_it_is_ready() {
    let (_dir, store) = store();
    let entry = store.claim(&id("a")).unwrap();
    assert!(entry.listen_for_readiness().unwrap().is_none());
    entry.make_readiness().unwrap();
    let directory = readiness_directory(entry.path().parent().unwrap(), &id("a"));
    for _ in 0..2 {
        let listener = entry.listen_for_readiness().unwrap().unwrap();
        let program = std::os::unix::net::UnixDatagram::unbound().unwrap();
        program.send_to(b"READY=1", directory.join("notify.sock")).unwrap();
        let mut buf = [0; 64];
        let (len, _) = socket::receive(listener.as_fd(), &mut buf).unwrap();
        assert_eq!(&buf[..len], b"READY=1");
    }
    entry.remove().unwrap();
    assert!(!entry.path().exists());
}

#[test]
fn a_filter_comes_back_or_is_missed() {
    let (_dir, store) = store();
    let entry = store.claim(&id("a")).unwrap();
    let filter = vec![SockFilter { code: 0x6, jt: 1, jf: 2, k: 0x7fff_0000 }];
    entry.keep_filter(&filter).unwrap();
    assert_eq!(entry.filter(&record()).unwrap(), Some((filter, 4)));
    assert_eq!(entry.filter(&Record { seccomp: None, ..record() }).unwrap(), None);
    std::fs::write(entry.path().join("seccomp.bpf"), "damage").unwrap();
    assert!(matches!(entry.filter(&record()), Err(Error::Damaged { .. })));
    std::fs::remove_file(entry.path().join("seccomp.bpf")).unwrap();
    assert!(matches!(entry.filter(&record()), Err(Error::File { .. })), "never without");
}

#[test]
fn after_a_reboot_a_number_is_no_process_of_the_container() {
    let (_dir, store) = store();
    let entry = store.claim(&id("a")).unwrap();
    for (boot, status) in
        [(None, Status::Running), (boot::id(), Status::Running), (Some("another"), Status::Stopped)]
    {
        let record = living(boot);
        assert_eq!(entry.status(Some(&record)).unwrap().0, status, "{:?}", record.boot);
    }
}
