//! Looking at every container.

use super::{Context, Error, Warn};
use crate::state::{self, View};
use crate::sys::{sched, thread};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// What `look` finds of every container, in the order of their names. One that cannot be looked at
/// is a warning; one that goes away meanwhile is left out.
///
/// # Errors
/// When the directory of all containers cannot be read.
pub(super) fn look_at_all<T: Send>(
    context: &Context,
    look: impl Fn(View<'_>) -> Result<T, Error> + Sync,
    warn: Warn<'_>,
) -> Result<Vec<T>, Error> {
    let Some(containers) = context.store().all()? else { return Ok(Vec::new()) };
    let mut found = Vec::with_capacity(containers.ids.len());
    for one in of_each(&containers.ids, |id| containers.look(id, &look)) {
        match one {
            Ok(one) => found.push(one),
            Err(Error::State(state::Error::Missing { .. })) => {}
            Err(error) => warn(&crate::error::sentence(&error)),
        }
    }
    Ok(found)
}

/// From how many things on another thread is worth what it takes to begin and to end: it takes the
/// kernel as long as to look at two or three containers.
const WORTH_A_THREAD: usize = 64;
/// So many are taken at a time. Who comes late, as a thread whose CPU was busy, finds less to do,
/// and nobody waits for its share.
const CHUNK: usize = 8;

/// What `look` finds of each thing, in their order. Nearly all of the time is the kernel's: it
/// goes on as many CPUs as this process may use.
fn of_each<I: Sync, T: Send>(
    things: &[I],
    look: impl Fn(&I) -> T + Sync,
) -> impl Iterator<Item = T> {
    let helpers = match things.len() / WORTH_A_THREAD {
        0 => 0,
        worth => worth.min(cpus() - 1),
    };
    let (next, found) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::together(helpers, &|| {
        let mut own = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(chunk) = things.chunks(CHUNK).nth(at) else { break };
            own.push((at, chunk.iter().map(&look).collect::<Vec<T>>()));
        }
        // Nobody panics with the lock: a panic ends the process (Cargo.toml).
        found.lock().unwrap_or_else(PoisonError::into_inner).append(&mut own);
    });
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.sort_unstable_by_key(|(at, _)| *at);
    found.into_iter().flat_map(|(_, chunk)| chunk)
}

/// How many CPUs this process may use, as far as they help: all meet at the same locks of tmpfs and
/// cgroupfs.
fn cpus() -> usize {
    let mask = sched::affinity().unwrap_or_default();
    let cpus: u32 = mask.iter().map(|word| word.count_ones()).sum();
    cpus.clamp(1, 8) as usize
}

#[cfg(test)]
mod tests {
    use super::super::list::list;
    use super::*;
    use std::fs;
    use std::os::unix::fs::DirBuilderExt;

    #[test]
    fn threads_put_everything_in_its_place_and_do_nothing_twice() {
        for len in [0, 1, WORTH_A_THREAD - 1, WORTH_A_THREAD, 10 * WORTH_A_THREAD + 5] {
            let things: Vec<usize> = (0..len).collect();
            let looks = AtomicUsize::new(0);
            let found = of_each(&things, |thing| {
                looks.fetch_add(1, Ordering::Relaxed);
                thing * 2
            });
            assert_eq!(
                found.collect::<Vec<_>>(),
                things.iter().map(|thing| thing * 2).collect::<Vec<_>>()
            );
            assert_eq!(looks.into_inner(), len);
        }
    }

    #[test]
    fn many_are_found_in_order_and_each_damaged_one_is_told() {
        let root = tempfile::tempdir().unwrap();
        let names: Vec<String> = (0..100).map(|n| format!("c{n:02}")).collect();
        for (n, name) in names.iter().enumerate() {
            let dir = root.path().join(name);
            fs::DirBuilder::new().mode(0o700).create(&dir).unwrap();
            if n % 40 == 9 {
                fs::write(dir.join("record"), "{").unwrap();
            }
        }
        let mut warnings = Vec::new();
        let found =
            list(&Context::at(root.path()), &mut |warning| warnings.push(warning.to_string()))
                .unwrap();
        let sound: Vec<_> =
            names.iter().enumerate().filter(|(n, _)| n % 40 != 9).map(|(_, name)| name).collect();
        assert_eq!(found.iter().map(|report| &report.id).collect::<Vec<_>>(), sound);
        let damaged = ["c09", "c49", "c89"];
        assert_eq!(warnings.len(), damaged.len(), "{warnings:?}");
        for (warning, name) in warnings.iter().zip(damaged) {
            assert!(warning.contains(&format!("/{name}/record")), "{warning}");
        }
    }
}
