//! The bytes of a state record.

use cloison::cgroup::Manager;
use cloison::state::Record;

/// Never panics; what is read can be written and read again; no cgroup of it
/// leads out of its hierarchy.
pub fn hold(data: &[u8]) {
    let Ok(record) = serde_json::from_slice::<Record>(data) else { return };
    let text = serde_json::to_vec(&record).expect("a record");
    assert_eq!(serde_json::from_slice::<Record>(&text).expect("a record"), record);
    assert!(!format!("{:?}", record.cgroup).contains("\"..\""));
    drop(Manager::from_record(record.cgroup));
}
