//! Where the time of a verb goes, for `--timing`.
//!
//! A [`Timing`] is handed down with the request; whoever has finished a part says which
//! [`Phase`] the time since the last such word belongs to. One that is off costs a comparison.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A part of a verb, in the order of a `run`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Reading the command line.
    Options,
    /// Reading and parsing config.json, or what was kept of it.
    Config,
    /// Looking at the host and deciding what to do.
    Plan,
    /// The state directory and its lock, and the record in it.
    State,
    /// Making the cgroup and writing its limits.
    Cgroup,
    /// Compiling or finding the seccomp filter and opening what init needs.
    Stage,
    /// clone3(2) with the new namespaces.
    Clone,
    /// Having device rules checked, beside init's work.
    Rules,
    /// Waiting for init, which makes the container from inside.
    Init,
    /// Placing the process by the cgroup manager, which may be systemd, and writing id maps.
    Placement,
    /// Hooks that run on the host, of whatever kind.
    Hooks,
    /// Telling others of the process, until its program is executed.
    Start,
    /// The container's program, while it is waited for.
    Program,
    /// Ending processes.
    Kill,
    /// Removing the cgroup and the state directory.
    Remove,
    /// All of a verb that is not told apart.
    Rest,
}

/// A stopwatch with many hands, or none. Copies are the same one.
#[derive(Clone, Debug, Default)]
pub struct Timing(Option<Arc<Mutex<Laps>>>);

#[derive(Debug)]
struct Laps {
    last: Instant,
    taken: Vec<(Phase, Duration)>,
}

impl Timing {
    /// One that is on, and runs from `start`.
    pub fn since(start: Instant) -> Self {
        Self(Some(Arc::new(Mutex::new(Laps { last: start, taken: Vec::new() }))))
    }

    /// The time since the last call went to `phase`.
    pub fn done(&self, phase: Phase) {
        let Some(laps) = &self.0 else { return };
        let mut laps = laps.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let time = now.duration_since(laps.last);
        laps.last = now;
        match laps.taken.iter_mut().find(|(other, _)| *other == phase) {
            Some((_, sum)) => *sum += time,
            None => laps.taken.push((phase, time)),
        }
    }

    /// What each phase took, in the order of their first end; nothing from one that is off.
    pub fn taken(&self) -> Vec<(Phase, Duration)> {
        let Some(laps) = &self.0 else { return Vec::new() };
        laps.lock().unwrap_or_else(PoisonError::into_inner).taken.clone()
    }
}

/// Two are equal when they are the same one.
impl PartialEq for Timing {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (a, b) => a.is_none() && b.is_none(),
        }
    }
}

impl Eq for Timing {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_add_up_to_the_time_since_the_start() {
        let start = Instant::now();
        let timing = Timing::since(start);
        timing.done(Phase::Init);
        timing.clone().done(Phase::Hooks);
        timing.done(Phase::Init);
        let (taken, all) = (timing.taken(), start.elapsed());
        assert_eq!(
            taken.iter().map(|(phase, _)| *phase).collect::<Vec<_>>(),
            [Phase::Init, Phase::Hooks]
        );
        assert!(taken.iter().map(|(_, time)| *time).sum::<Duration>() <= all);
    }

    #[test]
    fn one_that_is_off_says_nothing() {
        let timing = Timing::default();
        timing.done(Phase::Init);
        assert!(timing.taken().is_empty());
    }
}
