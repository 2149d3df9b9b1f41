//! config.json: from bytes to a typed [`Spec`], unjudged.
//!
//! A config that the typed parse takes and fully represents costs one pass. Only where it refuses,
//! or where a value could stand for an absent one, the text is read again as plain JSON: what
//! runtime-spec 1.3 allows and the type does not is rewritten (`normalise`), required members are
//! looked for (`shape`), and errors get their JSON pointer. What the type cannot hold is kept in
//! [`Extras`].

mod file;
mod json;
mod normalise;
mod parse;
mod shape;
mod template;
mod version;

use std::io;
use std::path::{Path, PathBuf};

use oci_spec::runtime::{LinuxResources, Spec};

pub use file::LIMIT;
pub use parse::{limits, parse, parse_process};
pub use template::{load_process, template};

/// Version of runtime-spec that this crate implements.
pub const VERSION: &str = "1.3.0";
/// Oldest version of runtime-spec whose configs are read.
pub const VERSION_MIN: &str = "1.0.0";

/// A config as it was asked for, with what the typed form cannot say.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The typed config.
    pub spec: Spec,
    /// What was left out of `spec` on the way, in the order of the file.
    pub warnings: Vec<Warning>,
    /// Values that `spec` cannot represent.
    pub extras: Extras,
}

/// What the typed config loses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extras {
    /// `/linux/resources/pids/limit`; `None` if it is absent, for which the typed config says 0.
    pub pids_limit: Option<i64>,
}

/// Limits that stand alone, to be put in the place of what a container has.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Limits {
    /// `/linux/resources`.
    pub resources: LinuxResources,
    /// Values that `resources` cannot represent.
    pub extras: Extras,
}

/// Something in the config that is not carried out, which runtime-spec wants to be said.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    /// Names that no kernel interface is known for (runtime-spec config.md, `capabilities`).
    #[error("ignoring unknown capabilities: {}", listed(.0))]
    UnknownCapabilities(Vec<UnknownCapability>),
}

/// One entry of a capability set that was dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownCapability {
    /// JSON pointer of the entry.
    pub pointer: String,
    /// The name as written.
    pub name: String,
}

fn listed(dropped: &[UnknownCapability]) -> String {
    let entries: Vec<String> =
        dropped.iter().map(|entry| format!("{} ({})", entry.name, entry.pointer)).collect();
    entries.join(", ")
}

/// Why a config could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bundle directory is missing or out of reach.
    #[error("open bundle {path}")]
    Bundle {
        /// The directory asked for.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The bundle is not a directory.
    #[error("open bundle {path}: not a directory")]
    BundleNotDirectory {
        /// What was asked for.
        path: PathBuf,
    },
    /// config.json is missing or out of reach.
    #[error("open {path}")]
    Open {
        /// The file.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// config.json is a directory, fifo, socket or device.
    #[error("open {path}: {kind}, not a regular file")]
    NotRegular {
        /// The file.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
    },
    /// config.json is larger than [`LIMIT`].
    #[error("read {path}: larger than {} MiB", LIMIT >> 20)]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// Reading failed.
    #[error("read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The file was read, its content is refused.
    #[error("parse {path}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: ParseError,
    },
}

/// What is wrong with the content of a config. Each names the JSON pointer, or the line where there
/// is none yet.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// No JSON at all.
    #[error("the file is empty")]
    Empty,
    /// A byte order mark, which RFC 8259 does not allow.
    #[error("the file starts with a byte order mark ({encoding}); save it as UTF-8 without one")]
    ByteOrderMark {
        /// The encoding that the mark announces.
        encoding: &'static str,
    },
    /// Not JSON.
    #[error("not JSON: {what} at line {line} column {column}")]
    Syntax {
        /// The parser's words.
        what: String,
        /// From 1.
        line: usize,
        /// From 1, in bytes.
        column: usize,
    },
    /// Nested deeper than the parser goes.
    #[error("nested deeper than {} levels at line {line} column {column}", json::DEPTH)]
    TooDeep {
        /// From 1.
        line: usize,
        /// From 1, in bytes.
        column: usize,
    },
    /// One member of an object is given twice.
    #[error("{pointer}: given twice")]
    Duplicate {
        /// The member.
        pointer: String,
    },
    /// A required member is absent.
    #[error("{pointer}: is missing")]
    Missing {
        /// Where it should be.
        pointer: String,
    },
    /// An array or a scalar where runtime-spec has an object.
    #[error("{pointer}: is {found}, not an object")]
    NotObject {
        /// The value.
        pointer: String,
        /// What it is.
        found: &'static str,
    },
    /// A name that is not in its list.
    #[error("{pointer}: unknown {what} {value:?}")]
    UnknownName {
        /// The value.
        pointer: String,
        /// What kind of name it should be.
        what: &'static str,
        /// The value as written.
        value: String,
    },
    /// A number below zero where runtime-spec has an unsigned one.
    #[error("{pointer}: {value} is below zero")]
    Negative {
        /// The value.
        pointer: String,
        /// The value as written.
        value: i64,
    },
    /// A value of another type or range than runtime-spec says.
    #[error("{pointer}")]
    Type {
        /// The value.
        pointer: String,
        /// What was expected.
        source: serde_json::Error,
    },
    /// `ociVersion` is not a version.
    #[error("/ociVersion: {version:?} is not a version of the form 1.3.0 (SemVer 2.0.0)")]
    VersionFormat {
        /// The value as written.
        version: String,
    },
    /// `ociVersion` is of another major version.
    #[error("/ociVersion: version {version} is not supported, only {VERSION_MIN} and later 1.x")]
    Version {
        /// The value as written.
        version: String,
    },
}

impl ParseError {
    /// JSON pointer (RFC 6901) of the refused value; `None` where the text is no JSON.
    pub fn pointer(&self) -> Option<&str> {
        match self {
            Self::Empty
            | Self::ByteOrderMark { .. }
            | Self::Syntax { .. }
            | Self::TooDeep { .. } => None,
            Self::VersionFormat { .. } | Self::Version { .. } => Some("/ociVersion"),
            Self::Duplicate { pointer }
            | Self::Missing { pointer }
            | Self::NotObject { pointer, .. }
            | Self::UnknownName { pointer, .. }
            | Self::Negative { pointer, .. }
            | Self::Type { pointer, .. } => Some(pointer),
        }
    }
}

impl crate::error::Report for Error {
    fn facts(&self) -> crate::error::Facts {
        let (code, path, config) = match self {
            Self::Bundle { path, .. } | Self::BundleNotDirectory { path } => {
                ("BUNDLE_UNREADABLE", path, None)
            }
            Self::Open { path, .. }
            | Self::NotRegular { path, .. }
            | Self::TooLarge { path }
            | Self::Read { path, .. } => ("CONFIG_UNREADABLE", path, None),
            Self::Parse { path, source } => {
                let pointer = source.pointer().map(str::to_owned);
                ("CONFIG_INVALID", path, pointer)
            }
        };
        crate::error::Facts {
            code: Some(code),
            path: Some(path.clone()),
            config,
            ..crate::error::Facts::default()
        }
    }
}

/// Reads the config of `bundle`: `config`, or config.json in the bundle if there is none.
///
/// A relative `config` is relative to the working directory, as the caller's shell would take it.
///
/// # Errors
/// [`Error`], naming the file.
pub fn load(bundle: &Path, config: Option<&Path>) -> Result<Loaded, Error> {
    let path = match config {
        Some(path) => path.to_owned(),
        None => bundle.join("config.json"),
    };
    let bytes = match file::read(&path) {
        Ok(bytes) => bytes,
        // The cause nearest to the root of the path is the helpful one.
        Err(error) => return Err(file::bundle_fault(bundle).unwrap_or(error)),
    };
    parse(&bytes).map_err(|source| Error::Parse { path, source })
}

#[cfg(test)]
mod tests;
