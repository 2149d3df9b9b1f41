//! A bundle on disk and the commands that take one.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::unistd::{getegid, geteuid};
use serde_json::{Value, json};

use super::command::{Finished, Invocation};
use super::container::Container;
use super::manager::Manager;
use super::needs;
use super::rootfs;
use super::sandbox::{MARK, Sandbox};

/// A busybox root file system with a config.json that is written when a
/// command first needs it.
pub struct Bundle {
    sandbox: Arc<Sandbox>,
    id: String,
    config: Value,
    /// In place of `config`, for what is no JSON or should not be.
    text: Option<Vec<u8>>,
}

impl Bundle {
    /// A bundle in a sandbox of its own.
    pub fn new() -> Self {
        Self::in_sandbox(&Sandbox::new(), "a")
    }

    /// A bundle beside others; `name` tells their ids apart.
    pub fn in_sandbox(sandbox: &Arc<Sandbox>, name: &str) -> Self {
        let id = format!("{}-{name}", sandbox.token());
        let mut config = base_config();
        config["linux"]["cgroupsPath"] = json!(sandbox.manager().cgroups_path(&id));
        let bundle = Self { sandbox: Arc::clone(sandbox), id, config, text: None };
        fs::create_dir(bundle.dir()).expect("make the bundle's directory");
        rootfs::populate(&bundle.rootfs());
        bundle.for_suites_user().env(MARK, sandbox.token())
    }

    // ---- what is in it

    /// Sets the field at a JSON pointer, making the objects on the way.
    pub fn set(mut self, pointer: &str, value: impl Into<Value>) -> Self {
        *self.field(pointer) = value.into();
        self
    }

    /// Appends to the array at a JSON pointer, making it where it is missing.
    pub fn push(mut self, pointer: &str, value: impl Into<Value>) -> Self {
        let field = self.field(pointer);
        if field.is_null() {
            *field = json!([]);
        }
        field.as_array_mut().expect("an array").push(value.into());
        self
    }

    /// Removes the field at a JSON pointer.
    pub fn unset(mut self, pointer: &str) -> Self {
        let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
        let parent = self.config.pointer_mut(parent).expect("an object to remove from");
        parent.as_object_mut().expect("an object").remove(key);
        self
    }

    /// Makes config.json these bytes.
    pub fn text(mut self, text: impl Into<Vec<u8>>) -> Self {
        self.text = Some(text.into());
        self
    }

    fn field(&mut self, pointer: &str) -> &mut Value {
        let mut at = &mut self.config;
        for key in pointer.trim_start_matches('/').split('/') {
            at = match key.parse::<usize>() {
                Ok(index) if at.is_array() => &mut at[index],
                _ => &mut at[key],
            };
        }
        at
    }

    /// The program and its arguments.
    pub fn args(self, args: &[&str]) -> Self {
        self.set("/process/args", json!(args))
    }

    /// A shell script as the container's process.
    pub fn sh(self, script: &str) -> Self {
        self.args(&["sh", "-c", script])
    }

    pub fn env(self, key: &str, value: &str) -> Self {
        self.push("/process/env", format!("{key}={value}"))
    }

    /// Appends a mount.
    pub fn mount(self, destination: &str, kind: &str, source: &str, options: &[&str]) -> Self {
        self.push(
            "/mounts",
            json!({"destination": destination, "type": kind, "source": source, "options": options}),
        )
    }

    /// Appends a bind mount.
    pub fn bind(self, source: &Path, destination: &str, options: &[&str]) -> Self {
        let mut all = vec!["bind"];
        all.extend(options);
        self.mount(destination, "bind", source.to_str().expect("utf-8"), &all)
    }

    /// Appends a hook that runs a shell script on the host (or, for
    /// startContainer, in the container) and reads what is left of its input.
    pub fn hook(self, kind: &str, script: &str) -> Self {
        self.push(
            &format!("/hooks/{kind}"),
            json!({"path": "/bin/sh", "args": ["sh", "-c", format!("{script}\ncat >/dev/null")]}),
        )
    }

    /// Takes a namespace out of the list: the container shares the runtime's.
    pub fn without_namespace(mut self, kind: &str) -> Self {
        let list = self.field("/linux/namespaces").as_array_mut().expect("an array");
        list.retain(|namespace| namespace["type"] != kind);
        self
    }

    /// Asks for the namespace at `path` in place of a new one.
    pub fn join_namespace(self, kind: &str, path: &str) -> Self {
        self.without_namespace(kind).push("/linux/namespaces", json!({"type": kind, "path": path}))
    }

    /// Gives it a new user namespace whose 65536 ids begin at `first` on the
    /// host, and the root file system to its root.
    pub fn in_user_namespace(self, first: u32) -> Self {
        rootfs::give(&self.rootfs(), first);
        let ids = json!([{"containerID": 0, "hostID": first, "size": 65536}]);
        self.push("/linux/namespaces", json!({"type": "user"}))
            .set("/linux/uidMappings", ids.clone())
            .set("/linux/gidMappings", ids)
    }

    /// Where the suite is an ordinary user's, containers are theirs as well: in a user namespace
    /// with all ids that they have.
    fn for_suites_user(self) -> Self {
        if geteuid().is_root() {
            return self;
        }
        self.push("/linux/namespaces", json!({"type": "user"}))
            .set("/linux/uidMappings", own_ids(geteuid().as_raw(), "/etc/subuid"))
            .set("/linux/gidMappings", own_ids(getegid().as_raw(), "/etc/subgid"))
    }

    /// Makes it one that user `id` can run: in a user namespace with this
    /// one id as root, and in a sandbox that is the user's.
    pub fn for_user(self, id: u32) -> Self {
        rootfs::give(&self.rootfs(), id);
        for dir in [self.sandbox.path(), &self.dir()] {
            std::os::unix::fs::chown(dir, Some(id), Some(id)).expect("change the owner");
        }
        // The user has no systemd of their own.
        self.sandbox.use_manager(Manager::Cgroupfs);
        let ids = json!([{"containerID": 0, "hostID": id, "size": 1}]);
        let terminals = json!(["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]);
        self.push("/linux/namespaces", json!({"type": "user"}))
            .set("/linux/uidMappings", ids.clone())
            .set("/linux/gidMappings", ids)
            .set("/mounts/2/options", terminals)
            .unset("/linux/cgroupsPath")
    }

    /// Puts the suite's own static binary at `/probe` (see [`super::probe`]).
    pub fn with_probe(self) -> Self {
        let exe = std::env::current_exe().expect("own path");
        rootfs::copy_program(&exe, &self.rootfs().join("probe"));
        self
    }

    // ---- where it is

    pub fn id(&self) -> &str {
        &self.id
    }

    pub fn sandbox(&self) -> &Arc<Sandbox> {
        &self.sandbox
    }

    pub fn dir(&self) -> PathBuf {
        self.sandbox.path().join(&self.id)
    }

    pub fn rootfs(&self) -> PathBuf {
        self.dir().join("rootfs")
    }

    /// Makes a directory beside the bundle, for bind mounts and hook output.
    pub fn host_dir(&self, name: &str) -> PathBuf {
        let dir = self.sandbox.path().join(name);
        fs::create_dir_all(&dir).expect("make a directory");
        dir
    }

    /// What the runtime has written about the container.
    pub fn record(&self) -> PathBuf {
        self.sandbox.root().join(self.id()).join("record")
    }

    /// Puts other text in its place, with the permissions that it had; those of a started
    /// container's let nobody write to it.
    pub fn write_record(&self, text: impl AsRef<[u8]>) {
        let record = self.record();
        let before = fs::metadata(&record).map(|about| about.permissions());
        let _ = fs::remove_file(&record);
        fs::write(&record, text).expect("write the record");
        if let Ok(permissions) = before {
            fs::set_permissions(&record, permissions).expect("chmod the record");
        }
    }

    /// Where its cgroup will lie below `/sys/fs/cgroup`, as far as the configuration says it.
    pub fn cgroup(&self) -> Option<String> {
        let asked = self.config.pointer("/linux/cgroupsPath")?.as_str()?;
        self.sandbox.manager().place(asked)
    }

    pub fn config(&self) -> &Value {
        &self.config
    }

    /// Writes config.json and tells the sandbox what to look for afterwards.
    pub fn write(&self) {
        let text = self.text.clone();
        let text =
            text.unwrap_or_else(|| serde_json::to_vec_pretty(&self.config).expect("serialise"));
        let file = self.dir().join("config.json");
        // What a test has put there, be it a directory or a pipe, stays.
        if file.symlink_metadata().is_ok_and(|there| !there.is_file()) {
            return self.sandbox.claim(&self.id, self.cgroup());
        }
        fs::write(file, text).expect("write config.json");
        self.sandbox.claim(&self.id, self.cgroup());
    }

    // ---- what is done with it

    /// `VERB [options] --bundle DIR ID`, config.json written.
    pub fn invoke(&self, verb: &str, options: &[&str]) -> Invocation {
        self.write();
        let dir = self.dir();
        let mut line = vec![verb];
        line.extend(options);
        line.extend(["--bundle", dir.to_str().expect("utf-8"), &self.id]);
        self.sandbox.runtime(&line)
    }

    /// Runs it in the foreground to its end.
    pub fn run(&self) -> Finished {
        self.invoke("run", &[]).finish()
    }

    /// Runs it to its end, expects success, and returns what it printed,
    /// without white space at the ends.
    #[track_caller]
    pub fn output(&self) -> String {
        self.run().ok().stdout.trim().to_owned()
    }

    /// Runs it to its end and returns the lines it printed.
    #[track_caller]
    pub fn lines(&self) -> Vec<String> {
        self.output().lines().map(str::to_owned).collect()
    }

    /// `create`, as it ends.
    pub fn try_create(&self) -> Finished {
        self.invoke("create", &[]).finish()
    }

    /// `create`, expected to succeed.
    #[track_caller]
    pub fn create(self) -> Container {
        self.create_with(&[])
    }

    /// `create` with options, expected to succeed.
    #[track_caller]
    pub fn create_with(self, options: &[&str]) -> Container {
        let stdout = self.dir().join("container");
        let running = self.invoke("create", options).keeping_output_in(stdout).finish().ok();
        Container::created(self, running)
    }

    /// Takes charge of a container that was created without the harness.
    #[track_caller]
    pub fn adopt(self) -> Container {
        let state = self.sandbox.runtime(&["state", &self.id]).finish().ok();
        Container::created(self, state)
    }

    /// `create` and `start`, both expected to succeed.
    #[track_caller]
    pub fn start(self) -> Container {
        let container = self.create();
        container.start();
        container
    }

    /// Expects `create` and `run` to refuse this bundle and to leave nothing
    /// behind before anyone deletes; returns the refusal of `create`.
    #[track_caller]
    pub fn is_refused(&self) -> Finished {
        let refusal = self.try_create().refused();
        if needs::cloison().is_ok() {
            let lines: Vec<&str> = refusal.stderr.lines().collect();
            assert!(
                matches!(lines[..], [line] if line.starts_with("cloison: error: ")),
                "one sentence is wanted: {refusal}"
            );
        }
        let left = self.sandbox.leftovers();
        assert!(left.is_empty(), "a refused create left: {left:?}\n{refusal}");
        self.invoke("run", &[]).finish().refused();
        let left = self.sandbox.leftovers();
        assert!(left.is_empty(), "a refused run left: {left:?}");
        refusal
    }
}

/// A map of a user's own id to 0, and of their subordinate ids (subuid(5)) to what follows.
fn own_ids(own: u32, file: &str) -> Value {
    let table = fs::read_to_string(file).unwrap_or_default();
    let name = std::env::var("USER").unwrap_or_default();
    let below = table.lines().find_map(|line| {
        let (user, range) = line.split_once(':')?;
        let (first, count) = range.split_once(':')?;
        let range = (first.parse::<u32>().ok()?, count.parse::<u32>().ok()?);
        (user == name || user == own.to_string()).then_some(range)
    });
    let mut map = vec![json!({"containerID": 0, "hostID": own, "size": 1})];
    map.extend(
        below.map(|(first, count)| json!({"containerID": 1, "hostID": first, "size": count})),
    );
    Value::Array(map)
}

/// A container as engines ask for it, without a terminal and without limits.
pub fn base_config() -> Value {
    let capabilities = json!(["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]);
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": ["true"],
            "env": ["PATH=/bin"],
            "cwd": "/",
            "capabilities": {
                "bounding": capabilities, "effective": capabilities, "permitted": capabilities,
            },
            "noNewPrivileges": true,
        },
        "root": {"path": "rootfs"},
        "hostname": "box",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
             "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
             "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
            {"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
             "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]},
            {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue",
             "options": ["nosuid", "noexec", "nodev"]},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs",
             "options": ["nosuid", "noexec", "nodev", "ro"]},
        ],
        "linux": {
            "namespaces": [
                {"type": "pid"}, {"type": "network"}, {"type": "ipc"},
                {"type": "uts"}, {"type": "mount"}, {"type": "cgroup"},
            ],
        },
    })
}
