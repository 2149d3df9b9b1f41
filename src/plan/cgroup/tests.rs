//! Tables, places and errors, without a host.

use super::*;
use crate::host::cgroup::{Legacy, Unified};
use serde_json::json;
use std::path::Path;

const ALL: [&str; 7] = ["cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma"];

fn v2() -> CgroupFacts {
    CgroupFacts {
        unified: Some(Unified {
            mount: "/sys/fs/cgroup".into(),
            controllers: ALL.map(str::to_owned).to_vec(),
            own: Some("user.slice/session.scope".into()),
        }),
        legacy: vec![],
    }
}

fn v1() -> CgroupFacts {
    let names = ["cpuset", "cpu,cpuacct", "blkio", "memory", "devices", "pids", "net_cls,net_prio"];
    let hierarchy = |list: &str| Legacy {
        controllers: list.split(',').map(str::to_owned).collect(),
        mount: Path::new("/sys/fs/cgroup").join(list),
        own: Some("own".into()),
    };
    CgroupFacts { unified: None, legacy: names.map(hierarchy).to_vec() }
}

fn hybrid() -> CgroupFacts {
    let unified = Unified {
        mount: "/sys/fs/cgroup/unified".into(),
        controllers: vec!["hugetlb".into()],
        own: Some(String::new()),
    };
    CgroupFacts { unified: Some(unified), ..v1() }
}

fn spec(linux: serde_json::Value) -> Spec {
    serde_json::from_value(json!({ "ociVersion": "1.3.0", "linux": linux })).unwrap()
}

fn request(facts: &CgroupFacts) -> Request<'_> {
    Request {
        id: "c1",
        manager: ManagerChoice::Cgroupfs,
        privilege: Privilege::Full,
        pids_limit: PidsLimit::Absent,
        facts,
    }
}

fn plan_on(facts: &CgroupFacts, linux: serde_json::Value) -> Result<CgroupPlan, Error> {
    resolve(&spec(linux), &request(facts))
}

fn lines(writes: &[Write]) -> Vec<String> {
    writes.iter().map(Write::to_string).collect()
}

fn v2_lines(resources: serde_json::Value) -> Vec<String> {
    lines(&plan_on(&v2(), json!({ "resources": resources })).unwrap().unified)
}

fn v1_lines(resources: serde_json::Value) -> Vec<String> {
    lines(&plan_on(&v1(), json!({ "resources": resources })).unwrap().legacy)
}

fn error(facts: &CgroupFacts, resources: serde_json::Value) -> String {
    plan_on(facts, json!({ "resources": resources })).unwrap_err().to_string()
}

fn path_on(facts: &CgroupFacts, path: Option<&str>) -> Result<Place, Error> {
    let linux = path.map_or(json!({}), |path| json!({ "cgroupsPath": path }));
    plan_on(facts, linux).map(|plan| plan.place)
}

fn v2_path(path: Option<&str>) -> String {
    match path_on(&v2(), path).unwrap() {
        Place::Unified { path, .. } => path.to_string(),
        other => panic!("{other:?}"),
    }
}

/// CG-1, CG-2.
#[test]
fn places_in_the_unified_hierarchy() {
    assert_eq!(v2_path(None), "cloison-c1");
    assert_eq!(v2_path(Some("/a/b")), "a/b");
    assert_eq!(v2_path(Some("//a/./b/")), "a/b");
    assert_eq!(v2_path(Some("a/b")), "user.slice/a/b");
    for (bad, reason) in [
        ("/a/../b", path::Reason::DotDot),
        ("../x", path::Reason::DotDot),
        ("/", path::Reason::Root),
        ("a\0b", path::Reason::Text),
    ] {
        let path = bad.to_owned();
        assert_eq!(path_on(&v2(), Some(bad)), Err(Error::Path { path, reason }), "{bad:?}");
    }
}

/// CG-2.
#[test]
fn a_relative_path_needs_the_own_cgroup() {
    let mut facts = v2();
    for own in [None, Some("../../elsewhere".to_owned())] {
        facts.unified.as_mut().unwrap().own = own;
        assert!(matches!(path_on(&facts, Some("x")), Err(Error::NoOwnCgroup { .. })));
        assert!(path_on(&facts, Some("/x")).is_ok());
    }
}

/// CG-2.
#[test]
fn places_in_the_legacy_hierarchies() {
    let Place::Legacy { dirs, unified } = path_on(&hybrid(), Some("x")).unwrap() else {
        panic!("not legacy")
    };
    assert_eq!(unified.unwrap().1.as_str(), "x");
    assert_eq!(dirs.len(), 7);
    assert!(dirs.iter().all(|dir| dir.path.as_str() == "own/x"));
    assert_eq!(dirs[1].mount, Path::new("/sys/fs/cgroup/cpu,cpuacct"));
}

/// CG-6, CG-32.
#[test]
fn an_unprivileged_caller_stays_beside_its_own_cgroup_and_may_go_without() {
    let facts = v2();
    let confined = Request { privilege: Privilege::Confined { uid: 1000 }, ..request(&facts) };
    let plan = resolve(&spec(json!({})), &confined).unwrap();
    assert!(
        matches!(plan.place, Place::Unified { path, .. } if path.as_str() == "user.slice/cloison-c1")
    );
    assert_eq!(plan.need, Need::IfPermitted);
    assert_eq!(plan.devices.need, Need::IfPermitted);
    let limited = spec(json!({ "resources": { "memory": { "limit": 4096 } } }));
    assert_eq!(resolve(&limited, &confined).unwrap().need, Need::Required);
    let denying = spec(json!({ "resources": { "devices": [
        { "allow": false, "access": "rwm" }, { "allow": false, "type": "c", "access": "w" }
    ] } }));
    assert_eq!(resolve(&denying, &confined).unwrap().devices.need, Need::Required);
    assert_eq!(resolve(&denying, &request(&facts)).unwrap().need, Need::Required);
}

/// CG-3.
#[test]
fn systemd_places() {
    let facts = v2();
    let scope = |path: Option<&str>, privilege| {
        let linux = path.map_or(json!({}), |path| json!({ "cgroupsPath": path }));
        let request = Request { manager: ManagerChoice::Systemd, privilege, ..request(&facts) };
        match resolve(&spec(linux), &request).map(|plan| plan.place) {
            Ok(Place::Scope(scope)) => Ok((scope.path.to_string(), scope.slice.clone(), scope.bus)),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error),
        }
    };
    assert_eq!(
        scope(None, Privilege::Full).unwrap(),
        ("system.slice/cloison-c1.scope".into(), "system.slice".into(), scope::Bus::System)
    );
    assert_eq!(
        scope(Some("a-b.slice:crio:x"), Privilege::Full).unwrap().0,
        "a.slice/a-b.slice/crio-x.scope"
    );
    assert_eq!(
        scope(None, Privilege::Confined { uid: 7 }).unwrap().0,
        "user.slice/user-7.slice/user@7.service/user.slice/cloison-c1.scope"
    );
    for bad in ["/a/b", "a:b", "x.slice:p:n:m", "x:p:n", "x.slice:p:", "x.slice:a/b:n"] {
        assert!(matches!(scope(Some(bad), Privilege::Full), Err(Error::Path { .. })), "{bad}");
    }
    let old = v1();
    let on_v1 = Request { manager: ManagerChoice::Systemd, ..request(&old) };
    assert_eq!(resolve(&spec(json!({})), &on_v1), Err(Error::SystemdNeedsV2));
}

/// CG-51, CG-52.
#[test]
fn systemd_hears_of_the_limits_that_it_manages() {
    let facts = v2();
    let request = Request {
        manager: ManagerChoice::Systemd,
        pids_limit: PidsLimit::Said(0),
        ..request(&facts)
    };
    let mut spec = spec(json!({ "resources": {
        "memory": { "limit": 4096 }, "cpu": { "quota": 50000 }, "pids": { "limit": 0 },
        "blockIO": { "weight": 190 }
    } }));
    let annotation = ("org.systemd.property.CollectMode".into(), "'inactive'".into());
    spec.set_annotations(Some([annotation].into()));
    let plan = resolve(&spec, &request).unwrap();
    let Place::Scope(scope) = plan.place else { panic!("no scope") };
    let value =
        |name: &str| scope.properties.iter().find(|p| p.name == name).map(|p| p.value.clone());
    assert_eq!(value("MemoryMax"), Some(scope::Value::U64(4096)));
    assert_eq!(value("CPUQuotaPerSecUSec"), Some(scope::Value::U64(500_000)));
    assert_eq!(value("Delegate"), Some(scope::Value::Bool(true)));
    assert_eq!(value("CollectMode"), Some(scope::Value::Text("inactive".into())));
    assert_eq!(value("TasksMax"), Some(scope::Value::U64(1)));
    assert_eq!(value("IOWeight"), Some(scope::Value::U64(1090)));
    assert_eq!(
        lines(&plan.unified),
        ["memory.max = 4096", "cpu.max = 50000 100000", "pids.max = 0", "io.bfq.weight = 190"]
    );
}

/// CG-14, CG-15.
#[test]
fn memory_on_v2() {
    let memory = |value| v2_lines(json!({ "memory": value }));
    assert_eq!(
        memory(json!({ "limit": 100, "reservation": 50, "swap": 150 })),
        ["memory.max = 100", "memory.low = 50", "memory.swap.max = 50"]
    );
    assert_eq!(
        memory(json!({ "limit": 100, "swap": 100 })),
        ["memory.max = 100", "memory.swap.max = 0"]
    );
    assert_eq!(
        memory(json!({ "limit": 100, "swap": -1 })),
        ["memory.max = 100", "memory.swap.max = max"]
    );
    assert_eq!(memory(json!({ "limit": -1 })), ["memory.max = max", "memory.swap.max = max"]);
    assert_eq!(memory(json!({ "swap": -1 })), ["memory.swap.max = max"]);
    assert_eq!(memory(json!({ "limit": 0, "swap": 0, "reservation": 0 })), [""; 0]);
    for (value, pointer) in [
        (json!({ "limit": -2 }), "limit"),
        (json!({ "limit": 100, "swap": 99 }), "swap"),
        (json!({ "swap": 99 }), "swap"),
        (json!({ "limit": -1, "swap": 99 }), "swap"),
        (json!({ "reservation": -7 }), "reservation"),
    ] {
        let text = error(&v2(), json!({ "memory": value }));
        assert!(
            text.starts_with(&format!("/linux/resources/memory/{pointer}: invalid value")),
            "{text}"
        );
    }
}

/// CG-10.
#[test]
fn check_before_update_guards_the_limit() {
    let memory = json!({ "limit": 100, "swap": 150, "checkBeforeUpdate": true });
    let guards = |writes: Vec<Write>| {
        let guards = writes.into_iter().map(|write| write.guard.map(|g| (g.file, g.limit)));
        guards.collect::<Vec<_>>()
    };
    let linux = json!({ "resources": { "memory": memory } });
    let both = [Some(("memory.current", 100)), Some(("memory.current", 150))];
    assert_eq!(guards(plan_on(&v2(), linux.clone()).unwrap().unified), both);
    let one = [Some(("memory.usage_in_bytes", 100)), None];
    assert_eq!(guards(plan_on(&v1(), linux).unwrap().legacy), one);
}

/// CG-13.
#[test]
fn v1_only_fields_are_warned_of_on_v2() {
    let resources = json!({
        "memory": { "kernel": 1, "kernelTCP": 1, "swappiness": 0, "disableOOMKiller": true,
                    "useHierarchy": false },
        "blockIO": { "leafWeight": 10,
                     "weightDevice": [{ "major": 8, "minor": 0, "leafWeight": 10 }] }
    });
    let plan = plan_on(&v2(), json!({ "resources": resources })).unwrap();
    assert_eq!(plan.unified, []);
    let pointers: Vec<_> =
        plan.warnings.iter().map(|w| &w.pointer["/linux/resources/".len()..]).collect();
    assert_eq!(
        pointers,
        [
            "memory/kernel",
            "memory/kernelTCP",
            "memory/swappiness",
            "memory/disableOOMKiller",
            "memory/useHierarchy",
            "blockIO/leafWeight",
            "blockIO/weightDevice/0/leafWeight"
        ]
    );
}

/// CG-13.
#[test]
fn v1_only_limits_are_refused_on_v2() {
    for (resources, pointer) in [
        (json!({ "cpu": { "realtimeRuntime": 1 } }), "cpu/realtimeRuntime"),
        (json!({ "cpu": { "realtimePeriod": 1 } }), "cpu/realtimePeriod"),
        (json!({ "network": { "classID": 7 } }), "network/classID"),
        (
            json!({ "network": { "priorities": [{ "name": "eth0", "priority": 1 }] } }),
            "network/priorities",
        ),
    ] {
        let text = error(&v2(), resources);
        assert!(
            text.starts_with(&format!("/linux/resources/{pointer}: cgroup v2 has no")),
            "{text}"
        );
    }
    let zero = json!({ "cpu": { "realtimeRuntime": 0 }, "network": { "classID": 0 } });
    assert_eq!(v2_lines(zero), [""; 0]);
}

/// CG-16.
#[test]
fn shares_become_weights_on_a_quadratic_curve() {
    let weight = unified::weight_of_shares;
    let known = [
        (0, 1),
        (1, 1),
        (2, 1),
        (3, 2),
        (10, 4),
        (512, 59),
        (1024, 100),
        (1025, 101),
        (2048, 174),
        (262_143, 10_000),
        (262_144, 10_000),
        (u64::MAX, 10_000),
    ];
    for (shares, expected) in known {
        assert_eq!(weight(shares), expected, "{shares}");
    }
    assert!((2..262_144).all(|shares| weight(shares) <= weight(shares + 1)));
}

/// CG-16.
#[test]
fn cpu_on_v2() {
    let cpu = |value| v2_lines(json!({ "cpu": value }));
    assert_eq!(
        cpu(json!({ "shares": 1024, "quota": 50000, "period": 200000, "burst": 10, "idle": 0,
                    "cpus": "0-1", "mems": "0" })),
        [
            "cpu.idle = 0",
            "cpu.weight = 100",
            "cpu.max = 50000 200000",
            "cpu.max.burst = 10",
            "cpuset.cpus = 0-1",
            "cpuset.mems = 0"
        ]
    );
    assert_eq!(cpu(json!({ "quota": -1 })), ["cpu.max = max 100000"]);
    assert_eq!(cpu(json!({ "period": 5000 })), ["cpu.max = max 5000"]);
    assert_eq!(cpu(json!({ "shares": 0, "quota": 0, "period": 0, "cpus": "" })), [""; 0]);
    let idle =
        plan_on(&v2(), json!({ "resources": { "cpu": { "idle": 1, "shares": 5 } } })).unwrap();
    assert_eq!(lines(&idle.unified), ["cpu.idle = 1"]);
    assert_eq!(idle.warnings[0].pointer, "/linux/resources/cpu/shares");
    assert!(error(&v2(), json!({ "cpu": { "idle": 2 } })).contains("/cpu/idle: invalid value 2"));
}

/// CG-19.
#[test]
fn a_quota_below_the_old_burst_is_tried_again() {
    let resources = json!({ "cpu": { "quota": 1000, "burst": 10 } });
    let plan = plan_on(&v2(), json!({ "resources": resources })).unwrap();
    assert_eq!(plan.unified[0].invalid, Invalid::Later);
    assert_eq!(plan.unified[1].invalid, Invalid::Refuse);
}

/// CG-14.
#[test]
fn a_pids_limit_of_zero_is_a_limit() {
    let facts = v2();
    let pids = |limit| {
        let request = Request { pids_limit: limit, ..request(&facts) };
        lines(&resolve(&spec(json!({})), &request).unwrap().unified)
    };
    assert_eq!(pids(PidsLimit::Said(0)), ["pids.max = 0"]);
    assert_eq!(pids(PidsLimit::Said(-1)), ["pids.max = max"]);
    assert_eq!(pids(PidsLimit::Said(5)), ["pids.max = 5"]);
    assert_eq!(pids(PidsLimit::Absent), [""; 0]);
}

/// CG-17.
#[test]
fn block_io_on_v2() {
    let resources = json!({ "blockIO": {
        "weight": 10,
        "weightDevice": [{ "major": 8, "minor": 0, "weight": 1000 }],
        "throttleReadBpsDevice": [{ "major": 8, "minor": 0, "rate": 600 }],
        "throttleWriteBpsDevice": [{ "major": 8, "minor": 0, "rate": 0 }],
        "throttleReadIOPSDevice": [{ "major": 8, "minor": 16, "rate": 1 }],
        "throttleWriteIOPSDevice": [{ "major": 8, "minor": 16, "rate": 2 }]
    } });
    let plan = plan_on(&v2(), json!({ "resources": resources })).unwrap();
    assert_eq!(
        lines(&plan.unified),
        [
            "io.bfq.weight = 10",
            "io.bfq.weight = 8:0 1000",
            "io.max = 8:0 rbps=600",
            "io.max = 8:0 wbps=max",
            "io.max = 8:16 riops=1",
            "io.max = 8:16 wiops=2"
        ]
    );
    let instead = |value: &str| Missing::Instead { file: "io.weight", value: value.into() };
    assert_eq!(plan.unified[0].missing, instead("1"));
    assert_eq!(plan.unified[1].missing, instead("8:0 10000"));
    assert_eq!(plan.unified[5].pointer, "/linux/resources/blockIO/throttleWriteIOPSDevice/0");
    let text = error(&v2(), json!({ "blockIO": { "weight": 9 } }));
    assert_eq!(
        text,
        "/linux/resources/blockIO/weight: invalid value 9: a weight between 10 and 1000"
    );
}

/// CG-10, CG-11.
#[test]
fn huge_pages_are_limited_by_reservation_first() {
    let limits = json!([{ "pageSize": "2MB", "limit": 4096 }]);
    let resources = json!({ "resources": { "hugepageLimits": limits } });
    let plan = plan_on(&v2(), resources.clone()).unwrap();
    assert_eq!(lines(&plan.unified), ["hugetlb.2MB.rsvd.max = 4096", "hugetlb.2MB.max = 4096"]);
    assert_eq!(plan.unified[0].missing, Missing::Ignore);
    assert_eq!(plan.unified[1].missing, Missing::Refuse);
    // A hybrid host may have the controller in its unified hierarchy only.
    let plan = plan_on(&hybrid(), resources).unwrap();
    assert_eq!((plan.unified.len(), plan.legacy.len()), (2, 0));
    for bad in ["2M", "MB", "02MB", "../MB", "2mb"] {
        let text = error(&v2(), json!({ "hugepageLimits": [{ "pageSize": bad, "limit": 1 }] }));
        assert!(text.starts_with("/linux/resources/hugepageLimits/0/pageSize: "), "{text}");
    }
}

#[test]
fn rdma_devices_come_in_order() {
    let rdma = json!({ "rdma": { "mlx5_1": { "hcaHandles": 3, "hcaObjects": 10000 },
                                 "mlx4_0": { "hcaObjects": 1000 } } });
    let expected =
        ["rdma.max = mlx4_0 hca_object=1000", "rdma.max = mlx5_1 hca_handle=3 hca_object=10000"];
    assert_eq!(v2_lines(rdma), expected);
    assert!(
        error(&v2(), json!({ "rdma": { "a/b": {} } })).starts_with("/linux/resources/rdma/a~1b: ")
    );
}

/// CG-18.
#[test]
fn unified_entries_are_written_as_they_are_and_last() {
    let resources = json!({
        "pids": { "limit": 1 },
        "unified": { "memory.high": "7", "io.max": "8:0 rbps=1\n8:16 rbps=2\n", "cgroup.max.depth": "3" }
    });
    assert_eq!(
        v2_lines(resources),
        ["cgroup.max.depth = 3", "io.max = 8:0 rbps=1", "io.max = 8:16 rbps=2", "memory.high = 7"]
    );
    for bad in ["a/b.c", "", "..", "memory", ".hidden", "memory."] {
        let text = error(&v2(), json!({ "unified": { bad: "1" } }));
        assert!(text.contains("a cgroup file name such as memory.high"), "{text}");
    }
    let text = error(&v2(), json!({ "unified": { "misc.max": "1" } }));
    assert!(
        text.starts_with("/linux/resources/unified/misc.max: controller misc is not available"),
        "{text}"
    );
    assert!(
        error(&v1(), json!({ "unified": { "memory.high": "1" } }))
            .contains("unified needs cgroup v2")
    );
}

/// CG-10.
#[test]
fn a_limit_without_its_controller_is_an_error() {
    let mut facts = v2();
    facts.unified.as_mut().unwrap().controllers.retain(|name| name != "memory");
    let text = error(&facts, json!({ "memory": { "limit": 1 } }));
    assert!(
        text.starts_with(
            "/linux/resources/memory/limit: controller memory is not available on this host: "
        ),
        "{text}"
    );
    let none = CgroupFacts::default();
    let text = error(&none, json!({ "memory": { "limit": 1 } }));
    assert!(text.contains("no cgroup file system is mounted"), "{text}");
    let text = error(&v1(), json!({ "hugepageLimits": [{ "pageSize": "2MB", "limit": 1 }] }));
    assert!(text.contains("controller hugetlb is not available"), "{text}");
}

/// CG-6.
#[test]
fn the_disabled_manager_takes_no_limit() {
    let facts = v2();
    let request = Request { manager: ManagerChoice::Disabled, ..request(&facts) };
    let limited = spec(json!({ "resources": { "cpu": { "shares": 5 } } }));
    let pointer = "/linux/resources/cpu/shares".to_owned();
    assert_eq!(resolve(&limited, &request), Err(Error::Disabled { pointer }));
    let devices =
        spec(json!({ "resources": { "devices": [{ "allow": false, "access": "rwm" }] } }));
    let plan = resolve(&devices, &request).unwrap();
    assert_eq!((plan.place, plan.warnings.len()), (Place::Disabled, 1));
}

#[test]
fn memory_on_v1() {
    let memory = |value| v1_lines(json!({ "memory": value }));
    assert_eq!(
        memory(json!({ "limit": 100, "reservation": 50, "swap": 150, "swappiness": 0,
                       "disableOOMKiller": true })),
        [
            "memory.limit_in_bytes = 100",
            "memory.memsw.limit_in_bytes = 150",
            "memory.soft_limit_in_bytes = 50",
            "memory.swappiness = 0",
            "memory.oom_control = 1"
        ]
    );
    assert_eq!(
        memory(json!({ "limit": -1 })),
        ["memory.limit_in_bytes = -1", "memory.memsw.limit_in_bytes = -1"]
    );
    assert!(error(&v1(), json!({ "memory": { "limit": 9, "swap": 5 } })).contains("memory/swap"));
    assert!(error(&v1(), json!({ "memory": { "swappiness": 101 } })).contains("memory/swappiness"));
}

#[test]
fn cpu_and_network_on_v1() {
    let resources = json!({
        "cpu": { "shares": 512, "quota": -1, "period": 100000, "realtimePeriod": 10,
                 "realtimeRuntime": 5, "cpus": "0", "burst": 0 },
        "network": { "classID": 1048577, "priorities": [{ "name": "eth0", "priority": 3 }] }
    });
    assert_eq!(
        v1_lines(resources),
        [
            "cpu.shares = 512",
            "cpu.rt_period_us = 10",
            "cpu.rt_runtime_us = 5",
            "cpu.cfs_period_us = 100000",
            "cpu.cfs_quota_us = -1",
            "cpu.cfs_burst_us = 0",
            "cpuset.cpus = 0",
            "net_cls.classid = 1048577",
            "net_prio.ifpriomap = eth0 3"
        ]
    );
}

#[test]
fn block_io_on_v1() {
    let resources = json!({ "blockIO": {
        "weight": 100, "leafWeight": 50,
        "weightDevice": [{ "major": 8, "minor": 0, "weight": 10, "leafWeight": 20 }],
        "throttleWriteBpsDevice": [{ "major": 8, "minor": 0, "rate": 9 }]
    } });
    assert_eq!(
        v1_lines(resources),
        [
            "blkio.bfq.weight = 100",
            "blkio.leaf_weight = 50",
            "blkio.bfq.weight_device = 8:0 10",
            "blkio.leaf_weight_device = 8:0 20",
            "blkio.throttle.write_bps_device = 8:0 9"
        ]
    );
}

#[test]
fn paths_survive_their_serialised_form() {
    let path = CgroupPath::new(Path::new("/a/b")).unwrap();
    let text = serde_json::to_string(&path).unwrap();
    assert_eq!(text, "\"a/b\"");
    assert_eq!(serde_json::from_str::<CgroupPath>(&text).unwrap(), path);
    assert!(serde_json::from_str::<CgroupPath>("\"a/../b\"").is_err());
}
