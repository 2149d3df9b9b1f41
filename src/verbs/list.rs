//! `list`: the state of all containers.

use super::state::{Owners, report};
use super::{Context, Error, StateReport, Warn};

/// Tells the state of every container, sorted by name. One that cannot be read is a warning; one
/// that goes away meanwhile is left out.
///
/// # Errors
/// When the directory of all containers cannot be read.
pub fn list(context: &Context, warn: Warn<'_>) -> Result<Vec<StateReport>, Error> {
    let store = context.store();
    let mut owners = Owners::default();
    let mut reports = Vec::new();
    for id in store.ids()? {
        match store.open(&id).map_err(Error::from).and_then(|entry| report(&entry, &mut owners)) {
            Ok(report) => reports.push(report),
            Err(Error::State(crate::state::Error::Missing { .. })) => {}
            Err(error) => warn(&crate::error::sentence(&error)),
        }
    }
    Ok(reports)
}
