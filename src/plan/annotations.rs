//! `/annotations` that ask for something. Those of this project's neighbours are either acted on,
//! refused by name, or known to mean nothing here (specs/50-compat.md, section 9); all others are
//! handed on and mean nothing (config.md, Annotations).

use std::collections::HashMap;
use std::ffi::CStr;
use std::path::PathBuf;

/// What annotations ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wishes {
    /// The program keeps the supplementary groups of the caller.
    pub keep_groups: bool,
    /// A listening local socket that gets a pidfd of the first process.
    pub pidfd_receiver: Option<PathBuf>,
    /// A system call of the seccomp profile that is not known is an error.
    pub refuse_unknown_calls: bool,
    /// The mount option that `/linux/mountLabel` is the value of.
    pub context: &'static CStr,
}

/// What becomes of an annotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It is acted on.
    Done,
    /// It asks for what is not done here: the reason, and what to write instead.
    Refused(&'static str),
    /// It means nothing here, and its user loses nothing that a container needs: the reason.
    Idle(&'static str),
}

const KEEP_GROUPS: &str = "run.oci.keep_original_groups";
const PIDFD_RECEIVER: &str = "run.oci.pidfd_receiver";
const REFUSE_UNKNOWN: &str = "run.oci.seccomp_fail_unknown_syscall";
const CONTEXT: &str = "run.oci.mount_context_type";

/// Each annotation that is known by its name.
const KNOWN: [(&str, Fate); 15] = [
    (KEEP_GROUPS, Fate::Done),
    (PIDFD_RECEIVER, Fate::Done),
    (REFUSE_UNKNOWN, Fate::Done),
    (CONTEXT, Fate::Done),
    ("run.oci.handler", Fate::Refused("there are no handlers, only processes")),
    ("run.oci.seccomp.plugins", Fate::Refused("no foreign code is loaded")),
    ("run.oci.seccomp.receiver", Fate::Refused("/linux/seccomp/listenerPath says the same")),
    ("run.oci.seccomp_bpf_data", Fate::Refused("a filter is made from /linux/seccomp alone")),
    ("run.oci.timens_offset", Fate::Refused("/linux/timeOffsets says the same")),
    ("run.oci.delegate-cgroup", Fate::Refused("the container's own cgroup is handed over")),
    ("run.oci.systemd.subgroup", Fate::Refused("the process is in the scope itself")),
    (
        "run.oci.systemd.force_cgroup_v1",
        Fate::Refused("a hierarchy that the host does not mount is not made"),
    ),
    ("run.oci.hooks.stdout", Fate::Idle("the output of a hook that fails is in the error")),
    ("run.oci.hooks.stderr", Fate::Idle("the output of a hook that fails is in the error")),
    ("org.criu.config", Fate::Idle("there are no checkpoints yet")),
];

/// The prefix of annotations that become properties of the systemd unit.
pub const SYSTEMD_PROPERTY: &str = "org.systemd.property.";

/// Annotations that are acted on, and prefixes of such (features.md).
pub fn acted_on() -> Vec<&'static str> {
    let done = KNOWN.iter().filter(|(_, fate)| *fate == Fate::Done).map(|(name, _)| *name);
    [SYSTEMD_PROPERTY].into_iter().chain(done).collect()
}

/// Why annotations cannot be heeded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// config.md: keys must not be empty.
    #[error("/annotations/: an empty key")]
    EmptyKey,
    /// Something that is not done here.
    #[error("/annotations/{key}: not supported: {reason}")]
    Refused {
        /// The key.
        key: &'static str,
        /// Why.
        reason: &'static str,
    },
    /// A value of another kind.
    #[error("/annotations/{key}: {value:?} is {wanted}")]
    Value {
        /// The key.
        key: &'static str,
        /// The value as given.
        value: String,
        /// What it should have been.
        wanted: &'static str,
    },
}

/// Something that means nothing here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("/annotations/{key}: no effect: {reason}")]
pub struct Warning {
    key: &'static str,
    reason: &'static str,
}

/// Reads the annotations that are known; an empty value asks for nothing.
///
/// # Errors
/// The first, in the order of the table, that asks for what is not done.
pub fn resolve(
    annotations: Option<&HashMap<String, String>>,
) -> Result<(Wishes, Vec<Warning>), Error> {
    let mut wishes = Wishes {
        keep_groups: false,
        pidfd_receiver: None,
        refuse_unknown_calls: false,
        context: c"context",
    };
    let mut warnings = Vec::new();
    let Some(annotations) = annotations else { return Ok((wishes, warnings)) };
    if annotations.contains_key("") {
        return Err(Error::EmptyKey);
    }
    for (key, fate) in KNOWN {
        let Some(value) = annotations.get(key).filter(|value| !value.is_empty()) else { continue };
        match fate {
            Fate::Refused(reason) => return Err(Error::Refused { key, reason }),
            Fate::Idle(reason) => warnings.push(Warning { key, reason }),
            Fate::Done => wishes.add(key, value)?,
        }
    }
    Ok((wishes, warnings))
}

impl Wishes {
    fn add(&mut self, key: &'static str, value: &str) -> Result<(), Error> {
        match key {
            KEEP_GROUPS => self.keep_groups = switch(key, value)?,
            REFUSE_UNKNOWN => self.refuse_unknown_calls = switch(key, value)?,
            PIDFD_RECEIVER => self.pidfd_receiver = Some(absolute(key, value)?),
            _ => self.context = context(key, value)?,
        }
        Ok(())
    }
}

fn refused(key: &'static str, value: &str, wanted: &'static str) -> Error {
    Error::Value { key, value: value.to_owned(), wanted }
}

fn switch(key: &'static str, value: &str) -> Result<bool, Error> {
    match value {
        "1" | "true" => Ok(true),
        "0" | "false" => Ok(false),
        _ => Err(refused(key, value, "neither 1 nor 0")),
    }
}

fn absolute(key: &'static str, value: &str) -> Result<PathBuf, Error> {
    let path = PathBuf::from(value);
    if path.is_absolute() { Ok(path) } else { Err(refused(key, value, "not an absolute path")) }
}

/// SELinux' mount options (mount(8)).
fn context(key: &'static str, value: &str) -> Result<&'static CStr, Error> {
    let known = [c"context", c"fscontext", c"defcontext", c"rootcontext"];
    let found = known.into_iter().find(|option| option.to_bytes() == value.as_bytes());
    found.ok_or_else(|| {
        refused(key, value, "none of context, fscontext, defcontext and rootcontext")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(key: &str, value: &str) -> Result<(Wishes, Vec<Warning>), Error> {
        resolve(Some(&[(key.to_owned(), value.to_owned())].into()))
    }

    #[test]
    fn an_empty_key_is_refused() {
        assert_eq!(parse("", "x"), Err(Error::EmptyKey));
    }

    #[test]
    fn wishes_are_read() {
        assert!(parse(KEEP_GROUPS, "1").unwrap().0.keep_groups);
        assert!(!parse(KEEP_GROUPS, "0").unwrap().0.keep_groups);
        assert!(parse(REFUSE_UNKNOWN, "true").unwrap().0.refuse_unknown_calls);
        assert_eq!(parse(CONTEXT, "rootcontext").unwrap().0.context, c"rootcontext");
        let receiver = parse(PIDFD_RECEIVER, "/run/x").unwrap().0.pidfd_receiver;
        assert_eq!(receiver, Some(PathBuf::from("/run/x")));
    }

    #[test]
    fn values_of_another_kind_are_refused() {
        for (key, value, text) in [
            (KEEP_GROUPS, "yes", "\"yes\" is neither 1 nor 0"),
            (PIDFD_RECEIVER, "x", "\"x\" is not an absolute path"),
            (CONTEXT, "x", "\"x\" is none of context, fscontext, defcontext and rootcontext"),
        ] {
            let error = parse(key, value).unwrap_err().to_string();
            assert_eq!(error, format!("/annotations/{key}: {text}"));
        }
    }

    #[test]
    fn what_is_not_done_is_refused_by_name_or_told() {
        let error = parse("run.oci.handler", "krun").unwrap_err().to_string();
        assert!(error.starts_with("/annotations/run.oci.handler: not supported"), "{error}");
        assert!(parse("run.oci.systemd.subgroup", "").unwrap().1.is_empty());
        let (_, warnings) = parse("run.oci.hooks.stdout", "/x").unwrap();
        assert!(
            warnings[0].to_string().starts_with("/annotations/run.oci.hooks.stdout: no effect")
        );
    }

    #[test]
    fn annotations_of_others_mean_nothing() {
        let (wishes, warnings) = parse("run.oci.something.new", "1").unwrap();
        assert_eq!((wishes, warnings), resolve(None).unwrap());
    }
}
