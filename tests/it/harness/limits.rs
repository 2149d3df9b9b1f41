//! Tests of limits, wherever this machine has the controllers.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Container, Outcome, Skip, needs, on_host_hierarchies};

/// Which files a limit is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hierarchy {
    V1,
    V2,
}

/// Runs a test where all of `controllers`, in their names of v2, are: on cgroup v2, or else on the
/// v1 hierarchies of the host.
pub fn where_controllers_are(controllers: &[&str], test: fn(Hierarchy)) -> Outcome {
    let missing: Vec<Skip> =
        controllers.iter().filter_map(|name| needs::controller(name).err()).collect();
    if missing.is_empty() {
        needs::memlock_for_crun()?;
        test(Hierarchy::V2);
        return Ok(());
    }
    needs::other_than("crun", "refuses hybrid hierarchies")?;
    for name in controllers {
        needs::v1_controller(name)?;
    }
    on_host_hierarchies(|| test(Hierarchy::V1));
    Ok(())
}

impl Hierarchy {
    /// A file of the container's cgroup: its name on v2, and its controller and name on v1.
    #[track_caller]
    pub fn read(self, container: &Container, v2: &str, v1: (&str, &str)) -> String {
        let (controller, name) = if self == Self::V2 { ("", v2) } else { v1 };
        let path = directory(container, controller).join(name);
        let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        text.trim().to_owned()
    }
}

/// The directory of a living container in the hierarchy of a v1 controller, or with an empty name
/// on v2.
#[track_caller]
pub fn directory(container: &Container, controller: &str) -> PathBuf {
    let text = container.proc("cgroup");
    let path = text.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let mine = fields.next()?.split(',').any(|name| name == controller);
        mine.then(|| fields.next().map(str::to_owned))?
    });
    let path = path.unwrap_or_else(|| panic!("no {controller:?} in {text}"));
    let mount = match controller {
        "" => "/sys/fs/cgroup".to_owned(),
        name => needs::v1_mount(name).expect("it is mounted"),
    };
    Path::new(&mount).join(path.trim_start_matches('/'))
}
