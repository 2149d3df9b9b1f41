//! What is done to whom: a verb on a container of some shape, from its
//! preparation to the question whether all is as it should be.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::harness::{Bundle, Finished, Sandbox, runtime_path};

/// The verbs that are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Create,
    Start,
    Run,
    Exec,
    Update,
    Pause,
    Resume,
    Kill,
    Delete,
}

/// What the container is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// As engines ask for it, on cgroup v2.
    Plain,
    /// A user namespace, hooks, seccomp, masks, limits, on cgroup v2.
    Rich,
    /// With limits, on the hierarchies that the host has.
    Host,
}

/// The scenes, in the order of the table.
pub const SCENES: &[(Verb, Shape)] = &[
    (Verb::Create, Shape::Plain),
    (Verb::Create, Shape::Rich),
    (Verb::Create, Shape::Host),
    (Verb::Start, Shape::Plain),
    (Verb::Start, Shape::Rich),
    (Verb::Run, Shape::Plain),
    (Verb::Run, Shape::Rich),
    (Verb::Exec, Shape::Plain),
    (Verb::Exec, Shape::Rich),
    (Verb::Update, Shape::Host),
    (Verb::Pause, Shape::Plain),
    (Verb::Pause, Shape::Host),
    (Verb::Resume, Shape::Plain),
    (Verb::Kill, Shape::Plain),
    (Verb::Delete, Shape::Plain),
    (Verb::Delete, Shape::Rich),
    (Verb::Delete, Shape::Host),
];

impl Verb {
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Start => "start",
            Self::Run => "run",
            Self::Exec => "exec",
            Self::Update => "update",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Kill => "kill",
            Self::Delete => "delete",
        }
    }

    /// The status by which it says that it has done what it was asked for.
    pub fn success(self) -> i32 {
        match self {
            Self::Run | Self::Exec => PROGRAM_STATUS,
            _ => 0,
        }
    }
}

impl Shape {
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Rich => "rich",
            Self::Host => "host",
        }
    }
}

/// What the program of `run` and `exec` ends with, unlike any runtime.
const PROGRAM_STATUS: i32 = 7;

/// Tells everything that confines the process that runs it.
const TELL: &str = r#"
grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs|Seccomp:|SigBlk|SigIgn|Cpus_allowed:)' /proc/self/status
cat /proc/self/limits /proc/self/oom_score_adj
for kind in cgroup ipc mnt net pid user uts time; do readlink /proc/self/ns/$kind; done
cut -d' ' -f4- /proc/self/mountinfo
ls -l /dev | awk '{print $1, $3, $4, $5, $6, $NF}'
ls /proc/self/fd
hostname; pwd; umask; env | sort
head -c 10 /proc/keys | wc -c
cat /proc/sys/net/ipv4/ip_forward
(echo x >/proc/sys/kernel/hostname) 2>&1
echo told
"#;

/// A container in a scene, and its surroundings.
pub struct Stage {
    pub bundle: Bundle,
    verb: Verb,
    shape: Shape,
}

impl Stage {
    pub fn new(verb: Verb, shape: Shape) -> Self {
        let sandbox = Sandbox::new();
        let bundle = match shape {
            Shape::Plain => Bundle::in_sandbox(&sandbox, "a"),
            Shape::Rich => rich(&sandbox),
            Shape::Host => Bundle::in_sandbox(&sandbox, "a").set(
                "/linux/resources",
                json!({
                    "pids": {"limit": 50},
                    "memory": {"limit": 64 << 20},
                    "devices": [{"allow": false, "access": "rwm"}],
                }),
            ),
        };
        let end = match verb {
            Verb::Run => format!("exit {PROGRAM_STATUS}"),
            _ => "exec sleep 600".to_owned(),
        };
        let bundle = bundle.sh(&format!("{TELL}{end}"));
        bundle.write();
        Self { bundle, verb, shape }
    }

    fn sandbox(&self) -> &Arc<Sandbox> {
        self.bundle.sandbox()
    }

    /// What is there before the verb.
    pub fn prepare(&self) {
        let _ = std::fs::remove_file(self.output("container", "stdout"));
        if matches!(self.verb, Verb::Create | Verb::Run) {
            return;
        }
        let output = self.bundle.dir().join("container");
        self.bundle.invoke("create", &[]).keeping_output_in(output).finish().ok();
        if self.verb == Verb::Start {
            return;
        }
        self.plainly("start", &[]).ok();
        self.told_by_container().expect("the program runs");
        if self.verb == Verb::Resume {
            self.plainly("pause", &[]).ok();
        }
    }

    /// Processes that have a part in the verb and live already.
    pub fn others(&self) -> Vec<i32> {
        match self.verb {
            Verb::Start => self.state().map(|state| pid_of(&state)).into_iter().collect(),
            _ => Vec::new(),
        }
    }

    /// Starts the verb behind a shell that has stopped itself; its pid.
    pub fn spawn(&self) -> i32 {
        let (id, dir) = (self.bundle.id(), self.bundle.dir());
        let dir = dir.to_str().expect("utf-8");
        let pid_file = self.pid_file();
        let pid_file = pid_file.to_str().expect("utf-8");
        let tell = format!("{TELL}exit {PROGRAM_STATUS}");
        let line: Vec<&str> = match self.verb {
            Verb::Create => vec!["create", "--pid-file", pid_file, "--bundle", dir, id],
            Verb::Run => vec!["run", "--pid-file", pid_file, "--bundle", dir, id],
            Verb::Start => vec!["start", id],
            Verb::Exec => vec!["exec", id, "sh", "-c", &tell],
            Verb::Update => {
                vec!["update", "--pids-limit", "77", "--memory", "67108863", id]
            }
            Verb::Pause => vec!["pause", id],
            Verb::Resume => vec!["resume", id],
            Verb::Kill => vec!["kill", id, "KILL"],
            Verb::Delete => vec!["delete", "--force", id],
        };
        let (runtime, root) = (runtime_path(), self.sandbox().root());
        let mut words = vec!["-c", "kill -STOP $$; exec \"$@\"", "sh"];
        words.extend([runtime.to_str().expect("utf-8"), "--root", root.to_str().expect("utf-8")]);
        words.extend(line);
        // The container of a create or a run has the streams of the command.
        let output = if matches!(self.verb, Verb::Create) { "container" } else { "traced" };
        let output = self.bundle.dir().join(output);
        let program = self.sandbox().program("/bin/sh".as_ref(), &words);
        program.keeping_output_in(output).spawn().pid().cast_signed()
    }

    pub fn output(&self, which: &str, end: &str) -> PathBuf {
        self.bundle.dir().join(which).with_extension(end)
    }

    /// What the verb has said to people.
    pub fn stderr(&self) -> String {
        let which = if self.verb == Verb::Create { "container" } else { "traced" };
        std::fs::read_to_string(self.output(which, "stderr")).unwrap_or_default()
    }

    fn pid_file(&self) -> PathBuf {
        self.bundle.dir().join("pid")
    }

    /// A verb without any harm.
    pub fn plainly(&self, verb: &str, options: &[&str]) -> Finished {
        let mut line = vec![verb];
        line.extend(options);
        line.push(self.bundle.id());
        self.sandbox().runtime(&line).finish()
    }

    /// The state; none when there is no such container.
    pub fn state(&self) -> Option<Value> {
        let told = self.plainly("state", &[]);
        (told.code == 0).then(|| serde_json::from_str(&told.stdout).unwrap_or_default())
    }

    /// What `list` says the status is.
    pub fn listed(&self) -> Option<String> {
        let told = self.sandbox().runtime(&["list", "--format", "json"]).finish();
        let all: Value = serde_json::from_str(&told.stdout).unwrap_or_default();
        let mine = all.as_array()?.iter().find(|one| one["id"] == self.bundle.id())?;
        Some(mine["status"].as_str()?.to_owned())
    }

    /// What the container's program has told, made comparable.
    fn told_by_container(&self) -> Result<String, String> {
        let path = self.output("container", "stdout");
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            if text.contains("\ntold\n") {
                return Ok(self.normal(&text));
            }
            if Instant::now() > deadline {
                return Err(format!("the program has told nothing but {text:?}"));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// What the verb has done, when it says that it has done it: comparable
    /// between two times.
    pub fn done(&self) -> Result<String, String> {
        match self.verb {
            Verb::Create => {
                let state = self.state().ok_or("created, but there is no state")?;
                let wrote = std::fs::read_to_string(self.pid_file()).unwrap_or_default();
                if wrote != pid_of(&state).to_string() {
                    return Err(format!("the pid file says {wrote:?}, the state {state}"));
                }
                let start = self.plainly("start", &[]);
                if start.code != 0 {
                    return Err(format!("created, but: {start}"));
                }
                Ok(format!("{}\n{}", self.told_by_container()?, self.limits()))
            }
            Verb::Start => Ok(format!("{}\n{}", self.told_by_container()?, self.limits())),
            Verb::Run | Verb::Exec => {
                let text = std::fs::read_to_string(self.output("traced", "stdout"));
                let text = text.unwrap_or_default();
                if !text.ends_with("\ntold\n") {
                    return Err(format!("the program has told nothing but {text:?}"));
                }
                Ok(self.normal(&text))
            }
            Verb::Update | Verb::Pause | Verb::Resume => Ok(self.limits()),
            Verb::Kill => match settled(|| self.sandbox().processes()) {
                left if left.is_empty() => Ok(String::new()),
                left => Err(format!("killed, but there are {left:?}")),
            },
            Verb::Delete => match settled(|| self.left()) {
                left if left.is_empty() => Ok(String::new()),
                left => Err(format!("deleted, but there are {left:?}")),
            },
        }
    }

    /// What must hold when the verb says that it has failed.
    pub fn undone(&self) -> Result<(), String> {
        let status = self.state().map(|state| state["status"].as_str().unwrap_or("").to_owned());
        let status = status.as_deref();
        match self.verb {
            // It has been made and has run, and is on record for delete.
            Verb::Run if status == Some("stopped") => Ok(()),
            Verb::Create | Verb::Run => match settled(|| self.left()) {
                left if left.is_empty() => Ok(()),
                left => Err(format!("refused, but it left {left:?}")),
            },
            Verb::Pause if status != Some("running") => {
                Err(format!("not paused, but the container is {status:?}"))
            }
            Verb::Exec | Verb::Update if status != Some("running") => {
                Err(format!("the container is {status:?}"))
            }
            Verb::Update if !self.limits().contains("pids.max 50") => {
                Err(format!("refused, but changed: {}", self.limits()))
            }
            _ => Ok(()),
        }
    }

    /// The limits in force.
    fn limits(&self) -> String {
        let mut text = String::new();
        let cgroup = self.bundle.cgroup().expect("a cgroup");
        for dir in super::harness::leftovers::cgroup_dirs(&cgroup) {
            for name in ["pids.max", "memory.limit_in_bytes", "cgroup.freeze", "freezer.state"] {
                if let Ok(value) = std::fs::read_to_string(dir.join(name)) {
                    text.push_str(&format!("{name} {}\n", value.trim()));
                }
            }
        }
        text
    }

    /// What there is of the container on the host.
    pub fn left(&self) -> Vec<String> {
        let mut left = self.sandbox().leftovers();
        let keys = std::fs::read_to_string("/proc/keys").unwrap_or_default();
        let own = keys.lines().filter(|line| line.contains(self.bundle.id()));
        left.extend(own.map(|line| format!("keyring {line}")));
        if self.verb == Verb::Create || self.verb == Verb::Run {
            let draft = self.pid_file().with_file_name(".pid");
            left.extend(draft.exists().then(|| "a draft of the pid file".to_owned()));
        }
        left
    }

    pub fn processes(&self) -> Vec<String> {
        self.sandbox().processes()
    }

    /// Takes out of a text what differs from time to time.
    fn normal(&self, text: &str) -> String {
        let host = |kind: &str| std::fs::read_link(format!("/proc/self/ns/{kind}"));
        let mut lines = Vec::new();
        let place = self.sandbox().path().file_name().unwrap_or_default().to_string_lossy();
        let text = text.replace(&*place, "SANDBOX").replace(self.sandbox().token(), "TOKEN");
        for line in text.lines() {
            if let Some((kind, _)) = line.split_once(":[") {
                let shared = host(kind).is_ok_and(|link| link.as_os_str() == line);
                lines.push(format!("{kind} {}", if shared { "the host's" } else { "its own" }));
            } else {
                let words = line.split(' ').map(|word| match word.split_once(':') {
                    Some(("shared" | "master" | "propagate_from", _)) => {
                        word.split(':').next().unwrap_or_default()
                    }
                    _ => word,
                });
                lines.push(words.collect::<Vec<_>>().join(" "));
            }
        }
        lines.join("\n")
    }

    pub fn describe(&self) -> String {
        format!("{} {}", self.verb.name(), self.shape.name())
    }
}

/// A container with about everything that is set up in steps of its own.
fn rich(sandbox: &Arc<Sandbox>) -> Bundle {
    let denied = json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [{"names": ["swapon", "reboot"], "action": "SCMP_ACT_ERRNO"}]});
    let bundle = Bundle::in_sandbox(sandbox, "a");
    let data = bundle.host_dir("data");
    bundle
        .in_user_namespace(100_000)
        .bind(&data, "/data", &["ro", "nosuid"])
        .mount("/scratch", "tmpfs", "tmpfs", &["size=64k", "nodev"])
        .hook("prestart", ":")
        .hook("createRuntime", ":")
        .hook("createContainer", ":")
        .hook("startContainer", ":")
        .hook("poststart", ":")
        .hook("poststop", ":")
        .set("/linux/seccomp", denied)
        .set("/linux/maskedPaths", json!(["/proc/keys", "/proc/timer_list", "/sys/firmware"]))
        .set("/linux/readonlyPaths", json!(["/proc/sys", "/proc/irq", "/proc/bus"]))
        .set("/linux/sysctl", json!({"net.ipv4.ip_forward": "1"}))
        .set("/process/rlimits", json!([{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 100}]))
        .set("/process/oomScoreAdj", 100)
        .set("/process/user", json!({"uid": 7, "gid": 8, "additionalGids": [9], "umask": 7}))
        .set("/process/cwd", "/tmp")
}

fn pid_of(state: &Value) -> i32 {
    state["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()).unwrap_or(0)
}

/// What is left once killed processes had a moment to vanish.
pub fn settled(mut left: impl FnMut() -> Vec<String>) -> Vec<String> {
    let deadline = Instant::now() + Duration::from_secs(2);
    loop {
        reap();
        let found = left();
        if found.is_empty() || Instant::now() > deadline {
            return found;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Takes away the zombies of containers, which this process is the reaper of, and lets go of
/// processes that were born while the tracer was at its end.
pub fn reap() {
    use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG | WaitPidFlag::__WALL)) {
            Ok(WaitStatus::Exited(..) | WaitStatus::Signaled(..)) => {}
            Ok(
                WaitStatus::Stopped(pid, _)
                | WaitStatus::PtraceEvent(pid, ..)
                | WaitStatus::PtraceSyscall(pid),
            ) => drop(nix::sys::ptrace::detach(pid, None)),
            _ => return,
        }
    }
}
