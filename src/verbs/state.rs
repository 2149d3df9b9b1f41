//! `state`: what is known of a container (runtime.md, Query State).

use super::{Context, Error};
use crate::id::ContainerId;
use crate::state::{Brief, Signs, Status, View};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::OnceLock;

/// The state of runtime.md, with what engines read besides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StateReport {
    /// Version of the runtime-spec that the configuration was written for.
    pub oci_version: String,
    /// Name.
    pub id: String,
    /// First process as seen by the caller; 0 when there is none.
    pub pid: i32,
    /// `creating`, `created`, `running`, `paused` or `stopped`.
    pub status: &'static str,
    /// The bundle, absolute.
    pub bundle: PathBuf,
    /// The root file system, absolute.
    pub rootfs: PathBuf,
    /// When it was created, RFC 3339.
    pub created: String,
    /// Annotations of the configuration.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Name of the user who created it, or the number.
    pub owner: String,
}

/// Tells the state of a container.
///
/// # Errors
/// When there is no such container, or its record cannot be read.
pub fn state(context: &Context, id: &ContainerId) -> Result<StateReport, Error> {
    report(context.store().open(id)?.view(), &Owners::default())
}

/// Tells the state of a container that is looked at.
pub(super) fn report(view: View<'_>, owners: &Owners) -> Result<StateReport, Error> {
    view.brief(|brief| tell(view, brief, owners))
}

fn tell(view: View<'_>, brief: Option<Brief<'_>>, owners: &Owners) -> Result<StateReport, Error> {
    let (status, _) = view.status(brief.as_ref().map(|brief| brief as &dyn Signs))?;
    let id = view.id.to_string();
    let Some(brief) = brief else {
        return Ok(StateReport {
            oci_version: crate::spec::VERSION.to_owned(),
            id,
            pid: 0,
            status: status.name(),
            bundle: PathBuf::new(),
            rootfs: PathBuf::new(),
            created: String::new(),
            annotations: BTreeMap::new(),
            owner: String::new(),
        });
    };
    let pid = match status {
        Status::Stopped | Status::Creating => 0,
        _ => brief.init.map_or(0, |init| init.pid),
    };
    Ok(StateReport {
        oci_version: brief.oci_version.into_owned(),
        id,
        pid,
        status: status.name(),
        bundle: brief.bundle.into_owned().into(),
        rootfs: brief.rootfs.into_owned().into(),
        created: brief.created.into_owned(),
        annotations: brief.annotations,
        owner: owners.name(brief.owner),
    })
}

/// Names of users, each looked up once.
#[derive(Default)]
pub(super) struct Owners {
    passwd: OnceLock<String>,
}

impl Owners {
    /// The name of a user in the host's /etc/passwd; the number where there is none.
    pub(super) fn name(&self, uid: u32) -> String {
        if uid == 0 {
            return "root".to_owned();
        }
        let passwd =
            self.passwd.get_or_init(|| std::fs::read_to_string("/etc/passwd").unwrap_or_default());
        let number = uid.to_string();
        let line = passwd.lines().find(|line| line.split(':').nth(2) == Some(&number));
        line.and_then(|line| line.split(':').next()).map_or(number.clone(), str::to_owned)
    }
}
