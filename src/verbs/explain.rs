//! `explain`: the plan of a bundle on this host, as text. Nothing is done.

use super::create::resolve;
use super::{Context, CreateRequest, Error, Keyring, RootSwitch};
use crate::id::ContainerId;
use crate::plan::explain;
use crate::spec;
use std::path::PathBuf;

/// What is to be explained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExplainRequest {
    /// The bundle, absolute.
    pub bundle: PathBuf,
    /// Another file than the bundle's config.json.
    pub config: Option<PathBuf>,
    /// Name that the container would have.
    pub id: ContainerId,
}

/// Tells what `create` would do.
///
/// # Errors
/// Those of the configuration that `create` would find before it does anything.
pub fn explain(context: &Context, request: &ExplainRequest) -> Result<String, Error> {
    let create = CreateRequest {
        id: request.id.clone(),
        bundle: request.bundle.clone(),
        config: request.config.clone(),
        console_socket: None,
        pidfd_socket: None,
        pid_file: None,
        root_switch: RootSwitch::PivotRoot,
        keyring: Keyring::New,
        preserve_fds: 0,
    };
    let loaded = spec::load(&request.bundle, request.config.as_deref())?;
    let (plan, _) = resolve(context, &create, &loaded, None)?;
    Ok(explain::text(&plan))
}
