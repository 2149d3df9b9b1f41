//! `update`: changes the limits of a container (specs/40-cgroups.md, section 8).

use super::{Context, Error, Warn, created_record, not_running};
use crate::cgroup::Manager;
use crate::host::cgroup::Own;
use crate::host::{Host, Wanted};
use crate::id::ContainerId;
use crate::plan;
use crate::plan::cgroup::{PidsLimit, Resources};
use crate::plan::device_filter;
use crate::plan::resctrl::Schema;
use crate::resctrl;
use crate::spec::Limits;
use crate::state::{Record, Status};

/// What is to be changed.
#[derive(Debug, Clone, PartialEq)]
pub struct UpdateRequest {
    /// Name of the container.
    pub id: ContainerId,
    /// The limits; what they do not name stays.
    pub limits: Limits,
    /// Schema of the L3 cache for Intel RDT.
    pub l3_cache_schema: Option<String>,
    /// Schema of memory bandwidth for Intel RDT.
    pub mem_bw_schema: Option<String>,
}

/// Changes limits and device rules of a container that has not stopped: all of them or none.
///
/// # Errors
/// The limit that is wrong, or that the host refuses, by its JSON pointer; nothing has changed
/// then, but for what the error itself names.
pub fn update(context: &Context, request: &UpdateRequest, warn: Warn<'_>) -> Result<(), Error> {
    let entry = context.store().open(&request.id)?;
    entry.lock(context.deadlines.lock)?;
    let record = created_record(&entry)?;
    if entry.status(Some(&record))?.0 == Status::Stopped {
        return Err(not_running());
    }
    let shares = shares(request, &record)?;
    let manager = Manager::from_record(record.cgroup.clone())?.patient(context.deadlines.systemd);
    let host = Host::probe(Wanted { own_cgroup: Own::Skip, resctrl: false })?;
    let resources = Resources {
        typed: &request.limits.resources,
        pids_limit: request.limits.extras.pids_limit.map_or(PidsLimit::Absent, PidsLimit::Said),
        present: manager.present()?,
    };
    let mut change = plan::cgroup::change(resources, host.privilege(), &host.cgroups)
        .map_err(plan::Error::from)?;
    let asked = change.devices.as_ref().map(|devices| device_filter::digest(&devices.rules));
    if asked == record.device_rules {
        // Engines send the rules of old along; hooks may have let in further devices since.
        change.devices = None;
    }
    for warning in &change.tables.warnings {
        warn(warning);
    }
    let before = match (&record.resctrl, &shares[..]) {
        (None, _) | (_, []) => None,
        (Some(class), shares) => Some(resctrl::update(class, shares)?),
    };
    manager.update(&change).inspect_err(|_| {
        if let Some(before) = &before {
            before.restore();
        }
    })?;
    if change.devices.is_some() {
        entry.commit(&Record { device_rules: asked, ..record })?;
    }
    Ok(())
}

/// The schemas of caches and bandwidth that are asked for.
fn shares(request: &UpdateRequest, record: &Record) -> Result<Vec<Schema>, Error> {
    let options = [
        ("--l3-cache-schema", &request.l3_cache_schema),
        ("--mem-bw-schema", &request.mem_bw_schema),
    ];
    let asked = options.iter().find(|(_, asked)| asked.is_some());
    if let (Some((option, _)), None) = (asked, &record.resctrl) {
        return Err(Error::status(format!("{option}: Intel RDT is not enabled for container")));
    }
    plan::resctrl::change(request.l3_cache_schema.as_deref(), request.mem_bw_schema.as_deref())
        .map_err(|error| plan::Error::from(error).into())
}
