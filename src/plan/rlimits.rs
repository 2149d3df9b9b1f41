//! `process.rlimits` as arguments of prlimit(2).

use oci_spec::runtime::{PosixRlimit, PosixRlimitType};
use thiserror::Error;

/// One limit to set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rlimit {
    /// The kernel's number of the resource (asm-generic/resource.h).
    pub resource: i32,
    /// `rlim_cur`; `u64::MAX` is no limit. Units as in getrlimit(2).
    pub soft: u64,
    /// `rlim_max`; `u64::MAX` is no limit.
    pub hard: u64,
    /// Position in `/process/rlimits`.
    pub index: usize,
}

/// A refused list of limits.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Error {
    /// Two entries name one resource, which config.md forbids.
    #[error("/process/rlimits/{index}/type: {name} is already set by /process/rlimits/{first}")]
    Duplicate {
        /// Position of the later entry.
        index: usize,
        /// Position of the earlier entry.
        first: usize,
        /// The resource, such as `RLIMIT_NOFILE`.
        name: String,
    },
    /// setrlimit(2) refuses this with EINVAL.
    #[error("/process/rlimits/{index}/soft: {name}: soft limit {soft} is above hard limit {hard}")]
    SoftAboveHard {
        /// Position of the entry.
        index: usize,
        /// The resource, such as `RLIMIT_NOFILE`.
        name: String,
        /// The soft limit asked for.
        soft: u64,
        /// The hard limit asked for.
        hard: u64,
    },
}

/// The limits in the order of the configuration.
pub fn resolve(asked: Option<&[PosixRlimit]>) -> Result<Vec<Rlimit>, Error> {
    let mut limits: Vec<Rlimit> = Vec::new();
    for (index, entry) in asked.into_iter().flatten().enumerate() {
        let limit =
            Rlimit { resource: number(entry.typ()), soft: entry.soft(), hard: entry.hard(), index };
        let name = || entry.typ().to_string();
        if let Some(first) = limits.iter().find(|set| set.resource == limit.resource) {
            return Err(Error::Duplicate { index, first: first.index, name: name() });
        }
        if limit.soft > limit.hard {
            return Err(Error::SoftAboveHard {
                index,
                name: name(),
                soft: limit.soft,
                hard: limit.hard,
            });
        }
        limits.push(limit);
    }
    Ok(limits)
}

/// Numbers of asm-generic/resource.h; alpha, mips and sparc swap five of them.
fn number(resource: PosixRlimitType) -> i32 {
    match resource {
        PosixRlimitType::RlimitCpu => 0,
        PosixRlimitType::RlimitFsize => 1,
        PosixRlimitType::RlimitData => 2,
        PosixRlimitType::RlimitStack => 3,
        PosixRlimitType::RlimitCore => 4,
        PosixRlimitType::RlimitRss => 5,
        PosixRlimitType::RlimitNproc => 6,
        PosixRlimitType::RlimitNofile => 7,
        PosixRlimitType::RlimitMemlock => 8,
        PosixRlimitType::RlimitAs => 9,
        PosixRlimitType::RlimitLocks => 10,
        PosixRlimitType::RlimitSigpending => 11,
        PosixRlimitType::RlimitMsgqueue => 12,
        PosixRlimitType::RlimitNice => 13,
        PosixRlimitType::RlimitRtprio => 14,
        PosixRlimitType::RlimitRttime => 15,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(value: serde_json::Value) -> Vec<PosixRlimit> {
        serde_json::from_value(value).unwrap()
    }

    fn refusal(value: serde_json::Value) -> String {
        resolve(Some(&parse(value))).unwrap_err().to_string()
    }

    #[test]
    fn absent_is_none() {
        assert_eq!(resolve(None), Ok(Vec::new()));
        assert_eq!(resolve(Some(&[])), Ok(Vec::new()));
    }

    #[test]
    fn numbers_are_the_kernels() {
        let names = [
            "CPU",
            "FSIZE",
            "DATA",
            "STACK",
            "CORE",
            "RSS",
            "NPROC",
            "NOFILE",
            "MEMLOCK",
            "AS",
            "LOCKS",
            "SIGPENDING",
            "MSGQUEUE",
            "NICE",
            "RTPRIO",
            "RTTIME",
        ];
        let asked: Vec<_> = names
            .iter()
            .map(|name| json!({ "type": format!("RLIMIT_{name}"), "soft": 1, "hard": 2 }))
            .collect();
        let limits = resolve(Some(&parse(json!(asked)))).unwrap();
        for (index, limit) in limits.iter().enumerate() {
            assert_eq!((limit.resource, limit.index), (index as i32, index));
        }
        assert_eq!(limits.len(), 16);
    }

    #[test]
    fn values_are_kept_to_the_last_bit() {
        let asked = parse(json!([{ "type": "RLIMIT_CORE", "soft": 0, "hard": u64::MAX }]));
        assert_eq!(
            resolve(Some(&asked)).unwrap(),
            [Rlimit { resource: 4, soft: 0, hard: u64::MAX, index: 0 }]
        );
    }

    #[test]
    fn a_resource_named_twice_is_refused() {
        assert_eq!(
            refusal(json!([
                { "type": "RLIMIT_NOFILE", "soft": 10, "hard": 10 },
                { "type": "RLIMIT_CORE", "soft": 0, "hard": 0 },
                { "type": "RLIMIT_NOFILE", "soft": 10, "hard": 10 },
            ])),
            "/process/rlimits/2/type: RLIMIT_NOFILE is already set by /process/rlimits/0"
        );
    }

    #[test]
    fn soft_above_hard_is_refused() {
        assert_eq!(
            refusal(json!([{ "type": "RLIMIT_NOFILE", "soft": 11, "hard": 10 }])),
            "/process/rlimits/0/soft: RLIMIT_NOFILE: soft limit 11 is above hard limit 10"
        );
    }
}
