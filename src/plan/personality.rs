//! `linux.personality` as the argument of personality(2).

use oci_spec::runtime::{LinuxPersonality, LinuxPersonalityDomain};
use thiserror::Error;

const PER_LINUX: u64 = 0x0000;
const PER_LINUX32: u64 = 0x0008;

/// A refused personality.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Error {
    /// config-linux.md defines no flags.
    #[error(
        "/linux/personality/flags/0: flag {flag:?} is not supported: the specification defines no personality flags"
    )]
    Flag {
        /// The first flag asked for.
        flag: String,
    },
}

/// The persona to set, or none when the configuration does not ask.
pub fn resolve(asked: Option<&LinuxPersonality>) -> Result<Option<u64>, Error> {
    let Some(asked) = asked else { return Ok(None) };
    if let Some(flag) = asked.flags().iter().flatten().next() {
        return Err(Error::Flag { flag: flag.clone() });
    }
    Ok(Some(match asked.domain() {
        LinuxPersonalityDomain::PerLinux => PER_LINUX,
        LinuxPersonalityDomain::PerLinux32 => PER_LINUX32,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(value: serde_json::Value) -> LinuxPersonality {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn domains_are_personas() {
        assert_eq!(resolve(None), Ok(None));
        let linux = parse(json!({ "domain": "LINUX" }));
        assert_eq!(resolve(Some(&linux)), Ok(Some(0)));
        let linux32 = parse(json!({ "domain": "LINUX32", "flags": [] }));
        assert_eq!(resolve(Some(&linux32)), Ok(Some(8)));
    }

    #[test]
    fn flags_are_refused() {
        let asked = parse(json!({ "domain": "LINUX", "flags": ["ADDR_NO_RANDOMIZE"] }));
        assert_eq!(
            resolve(Some(&asked)).unwrap_err().to_string(),
            "/linux/personality/flags/0: flag \"ADDR_NO_RANDOMIZE\" is not supported: \
             the specification defines no personality flags"
        );
    }
}
