//! `events`: what a container uses, and what happens to it.

use super::{Context, Error, Warn, created_record, not_running};
use crate::cgroup::stats::{self, Interface};
use crate::cgroup::{self, Manager, Stats, Watch};
use crate::id::ContainerId;
use crate::state::Status;
use crate::sys::Errno;
use crate::sys::notify::{self, News};
use serde::Serialize;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

/// What is to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventsRequest {
    /// Name of the container.
    pub id: ContainerId,
    /// How often.
    pub pace: Pace,
}

/// How often statistics are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Once, and nothing else.
    Once,
    /// Now and at this interval, and OOM kills between, until the container ends.
    Every(Duration),
}

/// One event, in runc's form.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Event {
    /// `stats` or `oom`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Name of the container.
    pub id: String,
    /// What it is about.
    pub data: Data,
}

/// What an event is about.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Data {
    /// Of `stats`.
    Stats(Box<Stats>),
    /// Of `oom`: a part of the statistics.
    Oom {
        /// The counters that tell of OOM.
        memory: OomMemory,
    },
}

/// The counters that tell of OOM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OomMemory {
    /// As in the statistics.
    pub events: BTreeMap<String, u64>,
}

/// Receives events; it may have enough.
pub type Sink<'a> = &'a mut dyn FnMut(&Event) -> ControlFlow<()>;

/// Tells what a container uses, and of OOM kills, until it ends or the sink has enough.
///
/// # Errors
/// When the container is not running, or its cgroup cannot be read.
pub fn events(
    context: &Context,
    request: &EventsRequest,
    sink: Sink<'_>,
    warn: Warn<'_>,
) -> Result<(), Error> {
    let entry = context.store().open(&request.id)?;
    let record = created_record(&entry)?;
    let (status, pidfd) = entry.status(Some(&record))?;
    let (Some(pidfd), false) = (pidfd, status == Status::Stopped) else {
        return Err(not_running());
    };
    let source = Source {
        id: request.id.to_string(),
        pid: record.init.map_or(0, |init| init.pid),
        pidfd,
        manager: Manager::from_record(record.cgroup)?,
    };
    match request.pace {
        Pace::Once => {
            let _ = sink(&source.stats()?);
            Ok(())
        }
        Pace::Every(interval) => source.follow(interval, sink, warn),
    }
}

/// A container that is watched.
struct Source {
    id: String,
    pid: i32,
    pidfd: OwnedFd,
    manager: Manager,
}

impl Source {
    fn stats(&self) -> Result<Event, Error> {
        let mut stats = self.manager.stats()?;
        stats.network_interfaces = interfaces(self.pid);
        Ok(Event { kind: "stats", id: self.id.clone(), data: Data::Stats(Box::new(stats)) })
    }

    fn follow(&self, interval: Duration, sink: Sink<'_>, warn: Warn<'_>) -> Result<(), Error> {
        // Before the first statistics: who reads those may count on the watch.
        let mut watch = self.manager.watch_oom()?;
        if watch.is_none() {
            warn(&"no controller counts the container's memory, so OOM kills are not told");
        }
        let mut due = Instant::now();
        loop {
            if due <= Instant::now() {
                match self.stats() {
                    Ok(event) if sink(&event).is_break() => return Ok(()),
                    Ok(_) => {}
                    // The container is just being deleted.
                    Err(Error::Cgroup(cgroup::Error::Open { errno: Errno::ENOENT, .. })) => {
                        return Ok(());
                    }
                    Err(error) => return Err(error),
                }
                due = Instant::now() + interval;
            }
            let ended = self.wait(watch.as_ref(), due)?;
            if let Some(events) = watch.as_mut().map(Watch::news).transpose()?.flatten() {
                let data = Data::Oom { memory: OomMemory { events } };
                if sink(&Event { kind: "oom", id: self.id.clone(), data }).is_break() {
                    return Ok(());
                }
            }
            if ended {
                return Ok(());
            }
        }
    }

    /// Waits for the end of the container, an OOM kill, or the next statistics; whether it has
    /// ended.
    fn wait(&self, watch: Option<&Watch>, until: Instant) -> Result<bool, Error> {
        let left = until.saturating_duration_since(Instant::now()).as_millis() + 1;
        let left = Some(u32::try_from(left).unwrap_or(u32::MAX));
        let init = (self.pidfd.as_fd(), News::Input);
        let [ended, _] = notify::any([Some(init), watch.map(Watch::source)], left)
            .map_err(Error::system("wait for events"))?;
        Ok(ended)
    }
}

/// The interfaces of a container that has a network namespace of its own.
fn interfaces(pid: i32) -> Vec<Interface> {
    let namespace = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/net")).ok();
    let (own, others) = (namespace("self"), namespace(&pid.to_string()));
    if others.is_none() || own == others {
        return Vec::new();
    }
    let text = std::fs::read_to_string(format!("/proc/{pid}/net/dev")).unwrap_or_default();
    stats::interfaces(&text)
}
