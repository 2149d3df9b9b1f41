//! What a bus and the service manager behind it answer.

use std::fmt::Write as _;
use std::io::Write;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use cloison::cgroup::{BusError, ServiceManager};
use cloison::error;
use cloison::plan::cgroup::path::CgroupPath;
use cloison::plan::cgroup::scope::{Bus, Property, Scope, Value};
use cloison::sys::noalloc;

use super::machine::printable;

/// So many bytes may be in use for each that came: a message is read, taken apart and kept.
const EACH: usize = 64;

/// What an exchange takes whatever is said.
const AT_LEAST: usize = 64 << 10;

/// Any bytes are an answer or a typed error, at once and twice the same, and take memory in their
/// own order of size. The first byte chooses what is asked for.
pub fn hold(data: &[u8]) {
    let (first, answers) = data.split_first().unwrap_or((&0, &[]));
    // So much a socket takes before anybody reads.
    let answers = &answers[..answers.len().min(64 << 10)];
    let (told, most) = noalloc::most_in_use(|| exchange(*first, answers));
    assert!(most <= AT_LEAST + EACH * answers.len(), "{most} bytes for {}", answers.len());
    assert_eq!(told, exchange(*first, answers));
}

fn exchange(verb: u8, answers: &[u8]) -> String {
    let (client, mut bus) = UnixStream::pair().expect("a socket pair");
    bus.write_all(answers).expect("room for all answers");
    bus.shutdown(Shutdown::Write).expect("shut down");
    let late = Instant::now() + Duration::from_secs(10);
    let mut said = String::new();
    let ended = ServiceManager::new(client, late).and_then(|mut manager| match verb % 3 {
        0 => manager.start(&scope(), 42, late).map(|result| said = result),
        1 => manager.stop("c-1.scope", late),
        _ => manager.set("c-1.scope", &scope().properties, late),
    });
    if let Err(cause) = ended {
        // The answers have come to their end, so nothing is waited for.
        assert!(!matches!(cause, BusError::Late { .. }), "{cause:?}");
        printable(&error::sentence(&cause));
        write!(said, "{cause:?}").expect("a text");
    }
    said
}

fn scope() -> Scope {
    Scope {
        mount: "/sys/fs/cgroup".into(),
        path: CgroupPath::new(Path::new("system.slice/c-1.scope")).expect("a path"),
        slice: "system.slice".to_owned(),
        unit: "c-1.scope".to_owned(),
        bus: Bus::System,
        properties: vec![Property { name: "MemoryMax".to_owned(), value: Value::U64(4096) }],
    }
}
