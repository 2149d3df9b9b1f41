//! `linux.intelRdt`: classes of service. Few machines have the hardware, so the tests bring a tree of
//! plain files, and a mount table for the runtime that says it is resctrl.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::harness::{Bundle, Finished, Invocation, Outcome, Skip, needs, runtime_path, tests};

tests![
    the_process_is_in_a_class_of_its_own,
    the_class_goes_with_the_container,
    schemata_are_written_in_order,
    without_schemata_nothing_is_written,
    a_named_class_is_made_and_stays,
    a_named_class_that_has_other_shares_is_an_error,
    a_named_class_has_to_be_there,
    the_default_class_is_the_root,
    a_monitoring_group_is_made_and_removed,
    a_monitoring_group_that_cannot_be_made_is_an_error,
    later_processes_are_in_the_class_too,
    schemas_can_be_updated,
    without_a_mounted_resctrl_it_is_an_error,
];

/// A bundle, and a directory that passes for a mounted resctrl.
struct Host {
    bundle: Bundle,
    tree: PathBuf,
}

impl Host {
    fn new(class: Value) -> Result<Self, Skip> {
        needs::root()?;
        needs::cloison()?;
        let bundle = Bundle::new().set("/linux/intelRdt", class).args(&["sleep", "100"]);
        let tree = bundle.host_dir("resctrl");
        fs::write(tree.join("tasks"), "").unwrap();
        fs::write(tree.join("schemata"), "    L3:0=ffff\n").unwrap();
        fs::create_dir(tree.join("mon_groups")).unwrap();
        Ok(Self { bundle, tree })
    }

    /// A class as the kernel makes one.
    fn with_class(self, name: &str, schemata: &str) -> Self {
        let class = self.tree.join(name);
        fs::create_dir_all(class.join("mon_groups")).unwrap();
        fs::write(class.join("schemata"), schemata).unwrap();
        fs::write(class.join("tasks"), "").unwrap();
        self
    }

    /// A command of the runtime that finds the tree in its mount table.
    fn invoke(&self, verb: &[&str]) -> Invocation {
        self.bundle.write();
        let table = self.bundle.dir().join("mountinfo");
        let line =
            format!("999 1 0:99 / {} rw,relatime - resctrl resctrl rw\n", self.tree.display());
        fs::write(&table, fs::read_to_string("/proc/thread-self/mountinfo").unwrap() + &line)
            .unwrap();
        let script = format!("mount --bind {} /proc/$$/mountinfo && exec \"$@\"", table.display());
        let root = self.bundle.sandbox().root();
        let runtime = runtime_path();
        let mut all = vec!["--mount", "sh", "-c", &script, "sh"];
        all.extend([runtime.to_str().unwrap(), "--root", root.to_str().unwrap()]);
        all.extend(verb);
        self.bundle.sandbox().program(Path::new("/usr/bin/unshare"), &all)
    }

    fn try_create(&self) -> Finished {
        let dir = self.bundle.dir();
        let output = dir.join("container");
        let line = ["create", "--bundle", dir.to_str().unwrap(), self.bundle.id()];
        self.invoke(&line).keeping_output_in(output).finish()
    }

    fn create(&self) -> i64 {
        self.try_create().ok();
        let state = self.verb(&["state"]).ok().stdout;
        serde_json::from_str::<Value>(&state).unwrap()["pid"].as_i64().unwrap()
    }

    fn verb(&self, words: &[&str]) -> Finished {
        let line = [words, &[self.bundle.id()]].concat();
        self.bundle.sandbox().runtime(&line).finish()
    }

    fn read(&self, file: &str) -> String {
        let path = self.tree.join(file);
        fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    /// Takes away what the kernel would with the directory.
    fn without_files(&self, dir: &str) {
        for file in fs::read_dir(self.tree.join(dir)).unwrap() {
            fs::remove_file(file.unwrap().path()).unwrap();
        }
    }
}

/// RDT-1, RDT-2
fn the_process_is_in_a_class_of_its_own() -> Outcome {
    let host = Host::new(json!({}))?;
    let pid = host.create();
    assert_eq!(host.read(&format!("{}/tasks", host.bundle.id())), pid.to_string());
    host.without_files(host.bundle.id());
    Ok(())
}

/// RDT-4
fn the_class_goes_with_the_container() -> Outcome {
    let host = Host::new(json!({}))?;
    host.create();
    host.without_files(host.bundle.id());
    host.verb(&["delete", "--force"]).ok();
    assert!(!host.tree.join(host.bundle.id()).exists());
    Ok(())
}

/// RDT-3
fn schemata_are_written_in_order() -> Outcome {
    let host = Host::new(json!({
        "schemata": ["L2:0=f", "L3:1=3"], "memBwSchema": "MB:0=20", "l3CacheSchema": "L3:0=7f0",
    }))?;
    host.create();
    let written = host.read(&format!("{}/schemata", host.bundle.id()));
    assert_eq!(written, "L3:0=7f0\nMB:0=20\nL2:0=f\nL3:1=3\n");
    host.without_files(host.bundle.id());
    Ok(())
}

/// RDT-3
fn without_schemata_nothing_is_written() -> Outcome {
    let host = Host::new(json!({"closID": "gold"}))?.with_class("gold", "    L3:0=f\n");
    host.create();
    assert_eq!(host.read("gold/schemata"), "    L3:0=f\n");
    assert_eq!(host.read("schemata"), "    L3:0=ffff\n");
    Ok(())
}

/// RDT-2, RDT-4
fn a_named_class_is_made_and_stays() -> Outcome {
    let host = Host::new(json!({"closID": "gold", "l3CacheSchema": "L3:0=f"}))?;
    let pid = host.create();
    assert_eq!(host.read("gold/schemata"), "L3:0=f\n");
    assert_eq!(host.read("gold/tasks"), pid.to_string());
    host.verb(&["delete", "--force"]).ok();
    assert!(host.tree.join("gold").exists());
    Ok(())
}

/// RDT-2
fn a_named_class_that_has_other_shares_is_an_error() -> Outcome {
    let host = Host::new(json!({"closID": "gold", "l3CacheSchema": "L3:0=f0"}))?;
    let host = host.with_class("gold", "    L3:0=000f;1=000f\n");
    host.try_create().refused().complains("/linux/intelRdt/l3CacheSchema: \"L3:0=f0\" is not what");
    assert_eq!(host.bundle.sandbox().leftovers(), Vec::<String>::new());
    Ok(())
}

/// RDT-2
fn a_named_class_has_to_be_there() -> Outcome {
    let host = Host::new(json!({"closID": "gold"}))?;
    host.try_create().refused().complains("/linux/intelRdt/closID");
    assert!(!host.tree.join("gold").exists());
    Ok(())
}

/// RDT-2
fn the_default_class_is_the_root() -> Outcome {
    let host = Host::new(json!({"closID": "/"}))?;
    let pid = host.create();
    assert_eq!(host.read("tasks"), pid.to_string());
    host.verb(&["delete", "--force"]).ok();
    assert!(host.tree.exists());
    Ok(())
}

/// RDT-5
fn a_monitoring_group_is_made_and_removed() -> Outcome {
    let host = Host::new(json!({"closID": "gold", "enableMonitoring": true}))?;
    let host = host.with_class("gold", "");
    let pid = host.create();
    let group = format!("gold/mon_groups/{}", host.bundle.id());
    assert_eq!(host.read(&format!("{group}/tasks")), pid.to_string());
    host.without_files(&group);
    host.verb(&["delete", "--force"]).ok();
    assert!(!host.tree.join(group).exists() && host.tree.join("gold").exists());
    Ok(())
}

/// RDT-5
fn a_monitoring_group_that_cannot_be_made_is_an_error() -> Outcome {
    let host = Host::new(json!({"closID": "/", "enableMonitoring": true}))?;
    fs::create_dir(host.tree.join("mon_groups").join(host.bundle.id())).unwrap();
    host.try_create().refused().complains("/linux/intelRdt/enableMonitoring: make");
    assert_eq!(host.bundle.sandbox().leftovers(), Vec::<String>::new());
    Ok(())
}

/// RDT-6
fn later_processes_are_in_the_class_too() -> Outcome {
    let host = Host::new(json!({"closID": "gold"}))?.with_class("gold", "");
    let pid = host.create();
    host.verb(&["start"]).ok();
    let id = host.bundle.id();
    host.bundle.sandbox().runtime(&["exec", id, "true"]).finish().ok();
    let tasks = host.read("gold/tasks");
    assert!(!tasks.is_empty() && tasks != pid.to_string(), "{tasks}");
    Ok(())
}

/// UPD-5
fn schemas_can_be_updated() -> Outcome {
    let host = Host::new(json!({"closID": "gold"}))?.with_class("gold", "");
    host.create();
    let options = ["--l3-cache-schema", "L3:0=3", "--mem-bw-schema", "MB:0=10"];
    host.verb(&[&["update"], &options[..]].concat()).ok();
    assert_eq!(host.read("gold/schemata"), "L3:0=3\nMB:0=10\n");
    Ok(())
}

/// RDT-1
fn without_a_mounted_resctrl_it_is_an_error() -> Outcome {
    if fs::read_to_string("/proc/thread-self/mountinfo").unwrap().contains(" - resctrl ") {
        return Err(Skip("resctrl is mounted here".to_owned()));
    }
    let bundle = Bundle::new().set("/linux/intelRdt", json!({"closID": "/"}));
    let refusal = bundle.is_refused();
    needs::cloison()?;
    refusal.complains("/linux/intelRdt: no resctrl file system is mounted");
    Ok(())
}
