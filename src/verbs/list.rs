//! `list`: the state of all containers.

use super::all::look_at_all;
use super::state::{Owners, report};
use super::{Context, Error, StateReport, Warn};

/// Tells the state of every container, sorted by name. One that cannot be read is a warning; one
/// that goes away meanwhile is left out.
///
/// # Errors
/// When the directory of all containers cannot be read.
pub fn list(context: &Context, warn: Warn<'_>) -> Result<Vec<StateReport>, Error> {
    let owners = Owners::default();
    look_at_all(context, |view| report(view, &owners), warn)
}
