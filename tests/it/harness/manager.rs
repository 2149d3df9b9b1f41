//! Who makes the cgroups of the containers: the runtime itself, or systemd.
//!
//! `MANAGER=systemd` gives every command `--systemd-cgroup` and every bundle a
//! `cgroupsPath` of systemd's form; `MANAGER=cgroupfs` is the default.

use nix::unistd::geteuid;

/// A cgroup manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manager {
    Cgroupfs,
    Systemd,
}

impl Manager {
    /// What the environment asks for.
    pub fn chosen() -> Self {
        match std::env::var("MANAGER").as_deref() {
            Err(_) | Ok("" | "cgroupfs") => Self::Cgroupfs,
            Ok("systemd") => Self::Systemd,
            Ok(other) => panic!("MANAGER={other}: cgroupfs or systemd"),
        }
    }

    /// The runtime's global options for it.
    pub fn options(self) -> &'static [&'static str] {
        match self {
            Self::Cgroupfs => &[],
            Self::Systemd => &["--systemd-cgroup"],
        }
    }

    /// The `cgroupsPath` for a container.
    pub fn cgroups_path(self, id: &str) -> String {
        // Unit names do not take every character that ids do.
        let unit = id.replace('+', "\\x2b");
        match (self, geteuid().is_root()) {
            (Self::Cgroupfs, true) => format!("/{id}"),
            // Beside the caller's own cgroup, which a user may have been given.
            (Self::Cgroupfs, false) => id.to_owned(),
            (Self::Systemd, true) => format!("system.slice:it:{unit}"),
            (Self::Systemd, false) => format!("user.slice:it:{unit}"),
        }
    }

    /// Where the cgroup that a `cgroupsPath` names lies below `/sys/fs/cgroup`; nothing for a
    /// relative path, whose place is the runtime's choice for root.
    pub fn place(self, asked: &str) -> Option<String> {
        match self {
            Self::Cgroupfs if asked.starts_with('/') => Some(asked.to_owned()),
            Self::Cgroupfs if geteuid().is_root() => None,
            Self::Cgroupfs => {
                let own = own_cgroup()?;
                let (parent, _) = own.rsplit_once('/')?;
                Some(format!("{parent}/{asked}"))
            }
            Self::Systemd => {
                let (slice, unit) = scope(asked)?;
                let uid = geteuid();
                let top = match uid.is_root() {
                    true => String::new(),
                    false => format!("/user.slice/user-{uid}.slice/user@{uid}.service"),
                };
                Some(format!("{top}/{slice}{unit}"))
            }
        }
    }
}

/// The path of the slice and the unit of a `slice:prefix:name`: `a-b.slice` is in `a.slice`.
fn scope(asked: &str) -> Option<(String, String)> {
    let mut parts = asked.split(':');
    let (slice, prefix, name) = (parts.next()?, parts.next()?, parts.next()?);
    let stem = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}-{name}") };
    let slice = slice.strip_suffix(".slice")?;
    let ends = slice.match_indices('-').map(|(end, _)| end).chain([slice.len()]);
    let slices = ends.map(|end| format!("{}.slice/", &slice[..end])).collect();
    Some((slices, format!("{stem}.scope")))
}

/// The v2 cgroup of the suite itself.
pub fn own_cgroup() -> Option<String> {
    let text = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    text.lines().find_map(|line| line.strip_prefix("0::").map(str::to_owned))
}
