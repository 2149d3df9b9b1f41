//! The bytes of a config.json.

use cloison::{error, spec};

use super::machine::{Circumstances, planned, printable};

/// Never panics; the same bytes make the same plan; a config that the quick reading takes means
/// the same when it is read the long way.
pub fn hold(data: &[u8]) {
    let circumstances = Circumstances::of(data.len() as u8);
    match spec::parse(data) {
        Ok(loaded) => {
            let plan = planned(&loaded, circumstances);
            // Texts that nothing reads are not looked into by the quick reading.
            let Ok(long) = spec::parse(&the_long_way(data)) else { return };
            let again = planned(&long, circumstances);
            assert_eq!(format!("{plan:?}"), format!("{again:?}"), "read the long way");
        }
        Err(refusal) => printable(&error::sentence(&refusal)),
    }
}

/// The same document with a member that nothing reads and that forbids the quick reading.
fn the_long_way(text: &[u8]) -> Vec<u8> {
    let start = text.iter().position(|byte| *byte == b'{').expect("an object") + 1;
    let empty = text[start..].trim_ascii_start().starts_with(b"}");
    let member: &[u8] = if empty { br#""noSuchMember":[[]]"# } else { br#""noSuchMember":[[]],"# };
    [&text[..start], member, &text[start..]].concat()
}
