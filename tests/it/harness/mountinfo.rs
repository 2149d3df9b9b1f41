//! The mount table as a container sees it.

/// One line of `/proc/self/mountinfo`.
#[derive(Debug, Clone)]
pub struct Mount {
    /// The part of the file system that is mounted.
    pub root: String,
    pub point: String,
    /// Per mount: `ro`, `nosuid`, `noatime`, …
    pub options: Vec<String>,
    /// `shared:N`, `master:N`, `unbindable`.
    pub propagation: Vec<String>,
    pub kind: String,
    /// Per file system: `ro`, `size=64k`, …
    pub superblock: Vec<String>,
}

impl Mount {
    /// Whether a per-mount or per-file-system option is in force.
    pub fn has(&self, option: &str) -> bool {
        self.options.iter().chain(&self.superblock).any(|o| o == option)
    }

    /// The kinds of propagation, without the numbers of peer groups.
    pub fn propagates(&self) -> Vec<&str> {
        self.propagation.iter().map(|tag| tag.split(':').next().unwrap_or_default()).collect()
    }
}

/// Parses a whole table, in the order of mounting.
pub fn parse(table: &str) -> Vec<Mount> {
    table.lines().map(line).collect()
}

/// The topmost mount at `point`.
#[track_caller]
pub fn at(table: &str, point: &str) -> Mount {
    let found = parse(table).into_iter().rfind(|mount| mount.point == point);
    found.unwrap_or_else(|| panic!("nothing is mounted at {point}:\n{table}"))
}

fn line(line: &str) -> Mount {
    let list = |text: &str| text.split(',').map(str::to_owned).collect();
    let (mount, filesystem) = line.split_once(" - ").expect("a separator");
    let mount: Vec<&str> = mount.split(' ').collect();
    let filesystem: Vec<&str> = filesystem.split(' ').collect();
    Mount {
        root: mount[3].to_owned(),
        point: mount[4].to_owned(),
        options: list(mount[5]),
        propagation: mount[6..].iter().map(|tag| (*tag).to_owned()).collect(),
        kind: filesystem[0].to_owned(),
        superblock: list(filesystem[2]),
    }
}
