//! The bytes of the document that `update` reads.

use cloison::plan::cgroup::{PidsLimit, Present, Resources, change};
use cloison::{error, spec};

use super::machine::{Circumstances, printable};

/// Never panics; the same bytes make the same writes, none of them outside its cgroup.
pub fn hold(data: &[u8]) {
    let limits = match spec::limits(data) {
        Ok(limits) => limits,
        Err(refusal) => return printable(&error::sentence(&refusal)),
    };
    let circumstances = Circumstances::of(data.len() as u8);
    let facts = circumstances.cgroups();
    let changed = || {
        let pids_limit = limits.extras.pids_limit.map_or(PidsLimit::Absent, PidsLimit::Said);
        let typed = &limits.resources;
        let resources = Resources { typed, pids_limit, present: Present::default() };
        change(resources, circumstances.privilege(), &facts)
    };
    match (changed(), changed()) {
        (Ok(first), Ok(second)) => {
            assert_eq!(format!("{first:?}"), format!("{second:?}"));
            let writes = first.tables.unified.iter().chain(&first.tables.legacy);
            for write in writes {
                assert!(!write.file.contains('/') && !write.file.contains('\0'), "{write}");
                assert!(!write.value.contains('\0'), "{write}");
            }
        }
        (Err(first), Err(second)) => {
            assert_eq!(error::sentence(&first), error::sentence(&second));
            printable(&error::sentence(&first));
        }
        (first, second) => panic!("{first:?} and then {second:?}"),
    }
}
