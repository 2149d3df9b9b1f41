//! A directory of a test's own: bundles, state root, logs; emptied and
//! inspected at the end.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;

use super::command::Invocation;
use super::hierarchies;
use super::leftovers;
use super::manager::Manager;

/// The environment variable that marks each process a test starts, directly
/// or through the runtime, so that a survivor can be found and attributed.
pub const MARK: &str = "CLOISON_TEST";

/// The binary under test: `$RUNTIME`, or the one cargo built.
pub fn runtime_path() -> PathBuf {
    std::env::var_os("RUNTIME").map_or_else(|| env!("CARGO_BIN_EXE_cloison").into(), PathBuf::from)
}

/// See the module's description.
pub struct Sandbox {
    dir: TempDir,
    token: String,
    claims: Mutex<Vec<Claim>>,
    commands: AtomicUsize,
    manager: Mutex<Manager>,
}

/// A container that a test may have made, and where its cgroup would be.
struct Claim {
    id: String,
    cgroup: Option<String>,
}

impl Sandbox {
    pub fn new() -> Arc<Self> {
        leftovers::know_earlier_processes();
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let token = format!("it-{}-{number}", std::process::id());
        let dir = tempfile::Builder::new()
            .prefix(&format!("{token}-"))
            .tempdir_in(hierarchies::sandboxes())
            .expect("tempdir");
        // Programs inside containers and hooks with other uids reach through.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(dir.path(), open).expect("open the directory to all");
        Arc::new(Self {
            dir,
            token,
            claims: Mutex::default(),
            commands: AtomicUsize::new(0),
            manager: Mutex::new(Manager::chosen()),
        })
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Unique to this sandbox on this machine; usable as a container id.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The value of `--root`.
    pub fn root(&self) -> PathBuf {
        self.path().join("state")
    }

    /// Announces a container id, to be deleted at the end at the latest.
    pub fn claim(&self, id: &str, cgroup: Option<String>) {
        // What lies there is emptied by force in the end: never what is not ours alone.
        let cgroup = cgroup.filter(|path| path.contains(&self.token));
        let mut claims = self.claims.lock().unwrap();
        claims.retain(|claim| claim.id != id);
        claims.push(Claim { id: id.to_owned(), cgroup });
    }

    /// Who makes the cgroups of its containers.
    pub fn manager(&self) -> Manager {
        *self.manager.lock().unwrap()
    }

    /// Has the cgroups made by another manager than the suite's.
    pub fn use_manager(&self, manager: Manager) {
        *self.manager.lock().unwrap() = manager;
    }

    /// A command of the runtime with this sandbox's `--root` and manager.
    pub fn runtime(&self, arguments: &[&str]) -> Invocation {
        let root = self.root();
        let mut line = vec!["--root", root.to_str().expect("utf-8")];
        line.extend(self.manager().options());
        line.extend(arguments);
        self.bare_runtime(&line)
    }

    /// A command of the runtime, word for word.
    pub fn bare_runtime(&self, arguments: &[&str]) -> Invocation {
        self.program(&runtime_path(), arguments)
    }

    /// Any program, with its output kept here and its processes marked.
    pub fn program(&self, program: &Path, arguments: &[&str]) -> Invocation {
        let number = self.commands.fetch_add(1, Ordering::Relaxed);
        let output = self.path().join(format!("command-{number}"));
        Invocation::new(program, arguments, output).env(MARK, &self.token)
    }

    fn delete_all(&self) {
        for claim in self.claims.lock().unwrap().iter() {
            if self.root().join(&claim.id).exists() {
                self.runtime(&["delete", "--force", &claim.id]).finish();
            }
        }
    }

    /// The living processes that this sandbox's commands have started, in words.
    pub fn processes(&self) -> Vec<String> {
        leftovers::processes_marked(MARK, &self.token)
    }

    /// The mounts in this sandbox that the calling thread sees, in words.
    pub fn mounts(&self) -> Vec<String> {
        leftovers::mounts_below(self.path())
    }

    /// What is left of this sandbox's containers, in words. Empty is right.
    pub fn leftovers(&self) -> Vec<String> {
        let mut found = leftovers::mounts_below(self.path());
        found.extend(leftovers::processes_marked(MARK, &self.token));
        for claim in self.claims.lock().unwrap().iter() {
            found.extend(leftovers::state_of(&self.root(), &claim.id));
            if let Some(cgroup) = &claim.cgroup {
                found.extend(leftovers::cgroups(cgroup));
            }
        }
        found
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The failure is being told already; only tidy up.
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.delete_all()));
            leftovers::clear(self.path(), MARK, &self.token, &self.cgroups());
            return;
        }
        self.delete_all();
        let mut left = self.leftovers();
        if !left.is_empty() {
            // A killed process takes a moment to vanish.
            super::container::eventually(|| {
                left = self.leftovers();
                left.is_empty()
            });
        }
        if !left.is_empty() {
            leftovers::clear(self.path(), MARK, &self.token, &self.cgroups());
            panic!("left behind after delete --force:\n  {}", left.join("\n  "));
        }
    }
}

impl Sandbox {
    fn cgroups(&self) -> Vec<String> {
        self.claims.lock().unwrap().iter().filter_map(|claim| claim.cgroup.clone()).collect()
    }
}
