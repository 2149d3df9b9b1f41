//! The name of a container, checked once.

use std::ffi::CString;
use std::fmt;
use std::path::Path;

/// Longest id: with it every file name made from it (a scope, a directory) stays below 255 bytes.
pub const MAX_LEN: usize = 200;

/// A container id: letters, digits and `_ + - .`, not `.`, `..` or `.cache`, not starting with `-`.
///
/// The state directory and the default cgroup carry it, so it can never name another directory.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContainerId(String);

/// Why a string is no container id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Empty.
    #[error("invalid container ID format: the id is empty")]
    Empty,
    /// Longer than [`MAX_LEN`].
    #[error("invalid container ID format: {len} bytes are more than {MAX_LEN}")]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// A character outside of the set.
    #[error(
        "invalid container ID format: {id:?} has {character:?}, \
         only letters, digits and _ + - . are allowed"
    )]
    Character {
        /// The id as given.
        id: String,
        /// The first character that is not allowed.
        character: char,
    },
    /// `.`, `..`, `.cache`, or a leading `-`.
    #[error("invalid container ID format: {id:?} cannot be used as a directory name")]
    Reserved {
        /// The id as given.
        id: String,
    },
}

impl ContainerId {
    /// Checks a string.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn new(id: &str) -> Result<Self, Error> {
        if id.is_empty() {
            return Err(Error::Empty);
        }
        if id.len() > MAX_LEN {
            return Err(Error::TooLong { len: id.len() });
        }
        let allowed = |c: &char| c.is_ascii_alphanumeric() || "_+-.".contains(*c);
        if let Some(character) = id.chars().find(|c| !allowed(c)) {
            return Err(Error::Character { id: id.to_owned(), character });
        }
        // The last one lies beside the directories of containers.
        if id == "." || id == ".." || id.starts_with('-') || id == ".cache" {
            return Err(Error::Reserved { id: id.to_owned() });
        }
        Ok(Self(id.to_owned()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id as a NUL-terminated file name.
    pub fn to_c_string(&self) -> CString {
        // The allowed characters leave no room for a NUL.
        CString::new(self.0.as_str()).unwrap_or_default()
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<Path> for ContainerId {
    fn as_ref(&self) -> &Path {
        Path::new(&self.0)
    }
}

impl std::str::FromStr for ContainerId {
    type Err = Error;

    fn from_str(id: &str) -> Result<Self, Error> {
        Self::new(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engine_ids_are_accepted() {
        for id in ["a", "0123456789abcdef", "k8s_pod+x-1.2", "_x", "+", ".hidden", "..."] {
            assert_eq!(ContainerId::new(id).unwrap().as_str(), id);
        }
    }

    #[test]
    fn ids_that_name_another_directory_are_refused() {
        for id in ["", ".", "..", "-x", "a/b", "a b", "a\0", "ü", "a\n"] {
            assert!(ContainerId::new(id).is_err(), "{id:?}");
        }
        assert!(ContainerId::new(&"x".repeat(MAX_LEN + 1)).is_err());
    }
}
