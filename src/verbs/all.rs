//! Looking at every container.

use super::{Context, Error, Warn};
use crate::state::{self, View};

/// What `look` finds of every container, in the order of their names. One that cannot be looked at
/// is a warning; one that goes away meanwhile is left out.
///
/// # Errors
/// When the directory of all containers cannot be read.
pub(super) fn look_at_all<T>(
    context: &Context,
    mut look: impl FnMut(View<'_>) -> Result<T, Error>,
    warn: Warn<'_>,
) -> Result<Vec<T>, Error> {
    let Some(containers) = context.store().all()? else { return Ok(Vec::new()) };
    let mut found = Vec::with_capacity(containers.ids.len());
    for id in &containers.ids {
        match containers.look(id, &mut look) {
            Ok(one) => found.push(one),
            Err(Error::State(state::Error::Missing { .. })) => {}
            Err(error) => warn(&crate::error::sentence(&error)),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::super::list::list;
    use super::*;
    use std::fs;
    use std::os::unix::fs::DirBuilderExt;

    #[test]
    fn many_are_found_in_order_and_each_damaged_one_is_told() {
        let root = tempfile::tempdir().unwrap();
        let names: Vec<String> = (0..30).map(|n| format!("c{n:02}")).collect();
        for (n, name) in names.iter().enumerate() {
            let dir = root.path().join(name);
            fs::DirBuilder::new().mode(0o700).create(&dir).unwrap();
            if n % 10 == 9 {
                fs::write(dir.join("record"), "{").unwrap();
            }
        }
        let mut warnings = Vec::new();
        let found =
            list(&Context::at(root.path()), &mut |warning| warnings.push(warning.to_string()))
                .unwrap();
        let sound: Vec<_> =
            names.iter().enumerate().filter(|(n, _)| n % 10 != 9).map(|(_, name)| name).collect();
        assert_eq!(found.iter().map(|report| &report.id).collect::<Vec<_>>(), sound);
        let damaged = ["c09", "c19", "c29"];
        assert_eq!(warnings.len(), damaged.len(), "{warnings:?}");
        for (warning, name) in warnings.iter().zip(damaged) {
            assert!(warning.contains(&format!("/{name}/record")), "{warning}");
        }
    }
}
