//! `ps`: the processes of a container.

use super::state::Owners;
use super::{Context, created_record};
use crate::cgroup::Manager;
use crate::id::ContainerId;
use crate::state::Status;
use std::collections::BTreeMap;
use std::process::Command;

/// What is to be listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PsRequest {
    /// Name of the container.
    pub id: ContainerId,
    /// Options for ps(1); none for a table that needs no such program.
    pub options: Vec<String>,
}

/// A list for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listing {
    /// As this runtime makes it.
    Own(Vec<Process>),
    /// Lines of ps(1), its head first.
    Ps(String),
}

/// A process, as seen from the caller's pid namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Name of its effective user on the host, or the number.
    pub user: String,
    /// Its id.
    pub pid: i32,
    /// That of its parent; 0 when that is out of sight.
    pub parent: i32,
    /// Its state, such as `S` (proc_pid_stat(5)).
    pub state: char,
    /// Processor time in seconds.
    pub time: u64,
    /// Its command line, or its name in brackets when it has none.
    pub command: String,
}

/// Why processes cannot be listed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no ps(1), or it cannot be executed.
    #[error("execute ps, which options need")]
    Execute {
        /// The cause.
        source: std::io::Error,
    },
    /// ps(1) does not take the options.
    #[error("ps {options}: {message}")]
    Refused {
        /// The options.
        options: String,
        /// The first line of what it said.
        message: String,
    },
    /// The table has no process ids, so nobody can tell which lines are the container's.
    #[error("ps {options}: its table has no column PID")]
    NoPids {
        /// The options.
        options: String,
    },
}

/// The ids of a container's processes in the caller's pid namespace, in ascending order.
///
/// None when nothing is left of it.
///
/// # Errors
/// When there is no such container, or it is still being created.
pub fn pids(context: &Context, id: &ContainerId) -> Result<Vec<i32>, super::Error> {
    let entry = context.store().open(id)?;
    let record = created_record(&entry)?;
    let (status, _) = entry.status(Some(&record))?;
    let manager = Manager::from_record(record.cgroup)?;
    Ok(match record.init {
        Some(init) if !manager.has_cgroup() && status != Status::Stopped => descendants(init.pid),
        // What shares its pid namespace with others may outlive its first process.
        _ => manager.pids()?,
    })
}

/// Lists a container's processes.
///
/// # Errors
/// As [`pids`]; what ps(1) refuses.
pub fn list(context: &Context, request: &PsRequest) -> Result<Listing, super::Error> {
    let pids = pids(context, &request.id)?;
    let options = match request.options.as_slice() {
        // Engines pass all options in one word.
        [all] => all.split_ascii_whitespace().map(str::to_owned).collect(),
        several => several.to_vec(),
    };
    if options.is_empty() {
        let mut owners = Owners::default();
        return Ok(Listing::Own(pids.iter().filter_map(|pid| read(*pid, &mut owners)).collect()));
    }
    Ok(Listing::Ps(select(&run(&options)?, &pids, &options)?))
}

fn run(options: &[String]) -> Result<String, Error> {
    let output = Command::new("ps").args(options).output();
    let output = output.map_err(|source| Error::Execute { source })?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        let mut lines = text.lines().filter(|line| !line.trim().is_empty());
        let message = lines.next().unwrap_or("it failed without a word").to_owned();
        return Err(Error::Refused { options: options.join(" "), message });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The head of a table, and its lines about some processes.
fn select(table: &str, pids: &[i32], options: &[String]) -> Result<String, Error> {
    let head = table.lines().next().unwrap_or_default();
    let column = head.split_ascii_whitespace().position(|name| name == "PID");
    let column = column.ok_or_else(|| Error::NoPids { options: options.join(" ") })?;
    let wanted = |line: &&str| {
        let pid = line.split_ascii_whitespace().nth(column).and_then(|word| word.parse().ok());
        pid.is_some_and(|pid: i32| pids.contains(&pid))
    };
    let lines = table.lines().skip(1).filter(wanted);
    Ok(std::iter::once(head).chain(lines).map(|line| format!("{line}\n")).collect())
}

/// What /proc tells of a process; `None` when it is gone.
fn read(pid: i32, owners: &mut Owners) -> Option<Process> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let uids = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    let uid = uids.split_ascii_whitespace().nth(1)?.parse().ok()?;
    let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let Stat { name, state, parent, ticks } = Stat::parse(&String::from_utf8_lossy(&stat))?;
    let line = String::from_utf8_lossy(&line).replace('\0', " ");
    let line: String =
        line.trim_end().chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    Some(Process {
        user: owners.name(uid),
        pid,
        parent,
        state,
        time: ticks / TICKS_PER_SECOND,
        command: if line.is_empty() { format!("[{name}]") } else { line },
    })
}

/// USER_HZ (proc_pid_stat(5)).
const TICKS_PER_SECOND: u64 = 100;

/// A part of /proc/PID/stat (proc_pid_stat(5)).
struct Stat {
    name: String,
    state: char,
    parent: i32,
    ticks: u64,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        let (name, rest) = text.split_once('(')?.1.rsplit_once(") ")?;
        let mut fields = rest.split_ascii_whitespace();
        let state = fields.next()?.chars().next()?;
        let parent = fields.next()?.parse().ok()?;
        let (user, system) = (fields.nth(9)?, fields.next()?);
        let ticks = user.parse::<u64>().ok()?.saturating_add(system.parse().ok()?);
        Some(Self { name: name.to_owned(), state, parent, ticks })
    }
}

/// A process and all that descend from it, in ascending order: those of a container without a
/// cgroup, as far as their parents live.
fn descendants(first: i32) -> Vec<i32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let parents: BTreeMap<i32, i32> = entries
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let stat = std::fs::read(entry.path().join("stat")).ok()?;
            Some((pid, Stat::parse(&String::from_utf8_lossy(&stat))?.parent))
        })
        .collect();
    let mut found = vec![first];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        found.extend(parents.iter().filter(|(_, of)| **of == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    found.sort_unstable();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_chosen_by_the_column_of_ids() {
        let table = "USER  PID CMD\nroot  12 a 7\nroot   7 b\nroot 712 c\n";
        let chosen = |pids: &[i32]| select(table, pids, &[]).unwrap();
        assert_eq!(chosen(&[7]), "USER  PID CMD\nroot   7 b\n");
        assert_eq!(chosen(&[]), "USER  PID CMD\n");
        let refused = select("CMD\na\n", &[7], &["-o".into(), "cmd".into()]).unwrap_err();
        assert_eq!(refused.to_string(), "ps -o cmd: its table has no column PID");
    }

    #[test]
    fn names_may_hold_anything() {
        let stat = Stat::parse("7 (a) S) R 1 2 3 4 5 6 7 8 9 10 250 50 0 0").unwrap();
        assert_eq!(
            (stat.name.as_str(), stat.state, stat.parent, stat.ticks),
            ("a) S", 'R', 1, 300)
        );
    }

    #[test]
    fn this_process_is_told_and_is_among_the_descendants_of_its_parent() {
        let own = read(std::process::id() as i32, &mut Owners::default()).unwrap();
        assert!(!own.command.is_empty() && own.parent > 0, "{own:?}");
        assert!(descendants(own.parent).contains(&own.pid));
    }
}
