//! Looking at every container.

use super::{Context, Error, Warn};
use crate::id::ContainerId;
use crate::state::{self, Containers, Entry};
use crate::sys::sched;
use std::thread::{Builder, scope};

/// So many containers that another thread is worth what it costs, which is a look at three.
const ENOUGH: usize = 64;
/// Where more threads would only wait for each other in the kernel.
const MOST_THREADS: usize = 8;
/// Nothing of a look is deep.
const STACK: usize = 256 << 10;

/// What `look` finds of every container, in the order of their names. One that cannot be looked at
/// is a warning; one that goes away meanwhile is left out. Where there are many, the CPUs share
/// them: nearly all of the time is the kernel's, which looks up a name for each.
///
/// # Errors
/// When the directory of all containers cannot be read.
pub(super) fn look_at_all<T: Send>(
    context: &Context,
    look: impl Fn(&Entry) -> Result<T, Error> + Sync,
    warn: Warn<'_>,
) -> Result<Vec<T>, Error> {
    let Some(containers) = context.store().all()? else { return Ok(Vec::new()) };
    let look_at = |ids: &[ContainerId]| -> Vec<_> {
        ids.iter().filter_map(|id| look_at_one(&containers, id, &look)).collect()
    };
    let mut found = Vec::with_capacity(containers.ids.len());
    let mut take = |part: Vec<Result<T, String>>| {
        for one in part {
            match one {
                Ok(one) => found.push(one),
                Err(warning) => warn(&warning),
            }
        }
    };
    let share = containers.ids.len().div_ceil(threads(containers.ids.len())).max(1);
    let mut parts = containers.ids.chunks(share);
    let own = parts.next().unwrap_or_default();
    scope(|scope| {
        let look_at = &look_at;
        let others: Vec<_> = parts
            .map(|part| {
                let thread = Builder::new().stack_size(STACK);
                (part, thread.spawn_scoped(scope, move || look_at(part)))
            })
            .collect();
        take(look_at(own));
        for (part, thread) in others {
            // Where no thread could be had, it is done here.
            take(
                thread.ok().and_then(|thread| thread.join().ok()).unwrap_or_else(|| look_at(part)),
            );
        }
    });
    Ok(found)
}

/// How many threads look at so many containers.
fn threads(containers: usize) -> usize {
    let most = (containers / ENOUGH).min(MOST_THREADS);
    if most < 2 {
        return 1;
    }
    most.min(sched::cpus() as usize).max(1)
}

/// What is found of one container, or a warning.
fn look_at_one<T>(
    containers: &Containers,
    id: &ContainerId,
    look: impl Fn(&Entry) -> Result<T, Error>,
) -> Option<Result<T, String>> {
    match containers.open(id).map_err(Error::from).and_then(|entry| look(&entry)) {
        Err(Error::State(state::Error::Missing { .. })) => None,
        found => Some(found.map_err(|error| crate::error::sentence(&error))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::list::list;
    use super::*;
    use std::fs;

    #[test]
    fn many_are_found_in_order_and_each_damaged_one_is_told() {
        let root = tempfile::tempdir().unwrap();
        let names: Vec<String> = (0..300).map(|n| format!("c{n:03}")).collect();
        for (n, name) in names.iter().enumerate() {
            let dir = root.path().join(name);
            fs::create_dir(&dir).unwrap();
            if n % 100 == 99 {
                fs::write(dir.join("record"), "{").unwrap();
            }
        }
        let mut warnings = Vec::new();
        let found =
            list(&Context::at(root.path()), &mut |warning| warnings.push(warning.to_string()))
                .unwrap();
        let sound: Vec<_> =
            names.iter().enumerate().filter(|(n, _)| n % 100 != 99).map(|(_, name)| name).collect();
        assert_eq!(found.iter().map(|report| &report.id).collect::<Vec<_>>(), sound);
        let damaged = ["c099", "c199", "c299"];
        assert_eq!(warnings.len(), damaged.len(), "{warnings:?}");
        for (warning, name) in warnings.iter().zip(damaged) {
            assert!(warning.contains(&format!("/{name}/record")), "{warning}");
        }
    }

    #[test]
    fn few_are_looked_at_without_threads() {
        assert_eq!([0, 1, ENOUGH, 2 * ENOUGH - 1].map(threads), [1; 4]);
        assert!((1..=MOST_THREADS).contains(&threads(100_000)));
    }
}
