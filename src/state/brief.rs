//! What is told of a container at a glance, without reading all that is written about it.

use super::{InitRecord, Record, boot};
use crate::cgroup;
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The members of a [`Record`] that say what a container is and whether it lives. Text is borrowed
/// from that of the record, where nothing in it is escaped: `list` reads one of every container,
/// by several threads that meet at the allocator.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Brief<'t> {
    /// As [`Record::oci_version`].
    #[serde(borrow)]
    pub oci_version: Cow<'t, str>,
    /// As [`Record::bundle`].
    #[serde(borrow)]
    pub bundle: Cow<'t, str>,
    /// As [`Record::rootfs`].
    #[serde(borrow)]
    pub rootfs: Cow<'t, str>,
    /// As [`Record::created`].
    #[serde(borrow)]
    pub created: Cow<'t, str>,
    /// As [`Record::boot`]; empty for none.
    #[serde(borrow, default)]
    boot: Cow<'t, str>,
    /// As [`Record::owner`].
    pub owner: u32,
    /// As [`Record::annotations`].
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    #[serde(borrow)]
    cgroup: cgroup::Glance<'t>,
    /// As [`Record::init`].
    #[serde(default)]
    pub init: Option<InitRecord>,
    #[serde(skip)]
    pub(super) past_gate: bool,
}

/// What tells whether a container lives.
pub trait Signs {
    /// As [`Record::init`].
    fn init(&self) -> Option<InitRecord>;

    /// As [`Record::past_gate`].
    fn is_past_gate(&self) -> bool;

    /// Whether what the record names can still be there. After a reboot its numbers are those of
    /// other processes, and its cgroup, should there be one of that name, is somebody else's.
    fn is_of_this_boot(&self) -> bool;

    /// Whether its cgroup is frozen.
    ///
    /// # Errors
    /// It cannot be found out.
    fn is_frozen(&self) -> Result<bool, cgroup::Error>;
}

impl Signs for Record {
    fn init(&self) -> Option<InitRecord> {
        self.init
    }

    fn is_past_gate(&self) -> bool {
        self.past_gate
    }

    fn is_of_this_boot(&self) -> bool {
        boot::is_present(self.boot.as_deref().unwrap_or_default())
    }

    fn is_frozen(&self) -> Result<bool, cgroup::Error> {
        cgroup::Manager::from_record(self.cgroup.clone())?.is_frozen()
    }
}

impl Signs for Brief<'_> {
    fn init(&self) -> Option<InitRecord> {
        self.init
    }

    fn is_past_gate(&self) -> bool {
        self.past_gate
    }

    fn is_of_this_boot(&self) -> bool {
        boot::is_present(&self.boot)
    }

    fn is_frozen(&self) -> Result<bool, cgroup::Error> {
        self.cgroup.is_frozen()
    }
}
