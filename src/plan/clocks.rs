//! `/linux/timeOffsets`: what the clocks of a new time namespace show (time_namespaces(7)).

use super::namespaces::{Kind, Namespaces};
use oci_spec::runtime::LinuxTimeOffset;
use std::collections::HashMap;
use std::fmt::Write;

/// How far a clock of the container is ahead of the host's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offset {
    /// `boottime` or `monotonic`.
    pub clock: &'static str,
    /// Seconds.
    pub secs: i64,
    /// Nanoseconds on top of them.
    pub nanosecs: u32,
}

/// The clocks that can be offset.
const CLOCKS: [&str; 2] = ["boottime", "monotonic"];

const SECOND: u32 = 1_000_000_000;

/// Why the clocks cannot be set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The kernel offsets no other clock.
    #[error("/linux/timeOffsets/{clock}: no such clock, there are boottime and monotonic")]
    Clock {
        /// The name as given.
        clock: String,
    },
    /// More than a second in nanoseconds.
    #[error("/linux/timeOffsets/{clock}/nanosecs: {nanosecs} is a second or more")]
    Nanoseconds {
        /// The clock.
        clock: &'static str,
        /// The value as given.
        nanosecs: u32,
    },
    /// The host's clocks cannot be changed.
    #[error("/linux/timeOffsets: needs a new time namespace")]
    NoNamespace,
    /// The clocks of a namespace that others are in cannot be changed.
    #[error(
        "/linux/timeOffsets: cannot be set in the existing time namespace of /linux/namespaces/{index}"
    )]
    Joined {
        /// Index of the entry in `/linux/namespaces`.
        index: u32,
    },
}

/// Checks the offsets; sorted by the name of the clock.
///
/// # Errors
/// Unknown clocks, values that the kernel does not take, and a time namespace that is not new.
pub fn resolve(
    asked: Option<&HashMap<String, LinuxTimeOffset>>,
    namespaces: &Namespaces,
) -> Result<Vec<Offset>, Error> {
    let asked = match asked {
        Some(asked) if !asked.is_empty() => asked,
        _ => return Ok(Vec::new()),
    };
    if let Some(join) = namespaces.joined(Kind::Time) {
        return Err(Error::Joined { index: join.index });
    }
    if !namespaces.is_new(Kind::Time) {
        return Err(Error::NoNamespace);
    }
    if let Some(clock) = asked.keys().filter(|name| !CLOCKS.contains(&name.as_str())).min() {
        return Err(Error::Clock { clock: clock.clone() });
    }
    let given = CLOCKS.into_iter().filter_map(|clock| Some((clock, asked.get(clock)?)));
    given
        .map(|(clock, offset)| {
            let nanosecs = offset.nanosecs().unwrap_or(0);
            if nanosecs >= SECOND {
                return Err(Error::Nanoseconds { clock, nanosecs });
            }
            Ok(Offset { clock, secs: offset.secs().unwrap_or(0), nanosecs })
        })
        .collect()
}

/// The text that goes into /proc/PID/timens_offsets.
pub fn file(offsets: &[Offset]) -> String {
    offsets.iter().fold(String::new(), |mut text, offset| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{} {} {}", offset.clock, offset.secs, offset.nanosecs);
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::namespaces;

    fn parse(offsets: &str, namespaces: &str) -> Result<String, Error> {
        let namespaces = namespaces::resolve(&serde_json::from_str::<Vec<_>>(namespaces).unwrap());
        let offsets = serde_json::from_str(offsets).unwrap();
        resolve(Some(&offsets), &namespaces.unwrap()).map(|offsets| file(&offsets))
    }

    const NEW: &str = r#"[{"type":"time"}]"#;

    #[test]
    fn offsets_become_the_kernels_text() {
        let json = r#"{"monotonic":{"secs":-5},"boottime":{"secs":7,"nanosecs":9}}"#;
        assert_eq!(parse(json, NEW).unwrap(), "boottime 7 9\nmonotonic -5 0\n");
        assert_eq!(parse("{}", "[]").unwrap(), "");
    }

    #[test]
    fn offsets_need_a_namespace_that_is_new() {
        let json = r#"{"monotonic":{"secs":1}}"#;
        assert_eq!(parse(json, "[]"), Err(Error::NoNamespace));
        let joined = r#"[{"type":"pid"},{"type":"time","path":"/proc/1/ns/time"}]"#;
        assert_eq!(parse(json, joined), Err(Error::Joined { index: 1 }));
    }

    #[test]
    fn clocks_and_values_that_the_kernel_does_not_take_are_refused() {
        let error = parse(r#"{"realtime":{"secs":1}}"#, NEW).unwrap_err();
        assert_eq!(
            error.to_string(),
            "/linux/timeOffsets/realtime: no such clock, there are boottime and monotonic"
        );
        let error = parse(r#"{"boottime":{"nanosecs":1000000000}}"#, NEW).unwrap_err();
        assert_eq!(
            error.to_string(),
            "/linux/timeOffsets/boottime/nanosecs: 1000000000 is a second or more"
        );
    }
}
