//! Paths inside the container: made absolute, cleaned, and never used before they are
//! resolved in the root (`sys::resolve`).

use std::ffi::CString;
use std::fmt;
use std::path::{Component, Path};

/// An absolute path as the container sees it, without `.`, `..`, double or trailing slashes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ContainerPath(CString);

/// Why a string cannot be a path inside the container.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No path at all.
    #[error("{pointer}: an empty path")]
    Empty {
        /// JSON pointer of the path.
        pointer: String,
    },
    /// No kernel interface can take such a path.
    #[error("{pointer}: {path:?} contains a NUL byte")]
    Nul {
        /// JSON pointer of the path.
        pointer: String,
        /// The path as given.
        path: String,
    },
    /// The specification asks for an absolute path.
    #[error("{pointer}: {path:?} is not an absolute path")]
    Relative {
        /// JSON pointer of the path.
        pointer: String,
        /// The path as given.
        path: String,
    },
}

impl ContainerPath {
    /// Cleans a path; a relative one is taken from `/`. `..` is resolved by name only, as the
    /// root is not there to ask, and stops at `/`.
    ///
    /// # Errors
    /// An empty path and one with a NUL byte.
    pub fn new(pointer: impl fmt::Display, path: &Path) -> Result<Self, Error> {
        use std::os::unix::ffi::OsStrExt;
        if path.as_os_str().is_empty() {
            return Err(Error::Empty { pointer: pointer.to_string() });
        }
        let mut clean: Vec<&[u8]> = Vec::new();
        for component in path.components() {
            match component {
                Component::Normal(name) => clean.push(name.as_bytes()),
                Component::ParentDir => {
                    clean.pop();
                }
                Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
            }
        }
        let bytes = [b"/", clean.join(&b'/').as_slice()].concat();
        CString::new(bytes).map(Self).map_err(|_| Error::Nul {
            pointer: pointer.to_string(),
            path: path.display().to_string(),
        })
    }

    /// As [`ContainerPath::new`], refusing relative paths.
    ///
    /// # Errors
    /// Those of [`ContainerPath::new`] and a relative path.
    pub fn absolute(pointer: impl fmt::Display, path: &Path) -> Result<Self, Error> {
        if path.is_relative() && !path.as_os_str().is_empty() {
            return Err(Error::Relative {
                pointer: pointer.to_string(),
                path: path.display().to_string(),
            });
        }
        Self::new(pointer, path)
    }

    /// The path with its NUL.
    pub fn as_c_str(&self) -> &std::ffi::CStr {
        &self.0
    }

    /// The path's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// Whether this is the path or lies below it.
    pub fn is_below(&self, ancestor: &str) -> bool {
        self.as_bytes()
            .strip_prefix(ancestor.as_bytes())
            .is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
    }
}

impl fmt::Display for ContainerPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_string_lossy())
    }
}

impl fmt::Debug for ContainerPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_by_name() {
        for (given, clean) in [
            ("/proc", "/proc"),
            ("dev//pts/", "/dev/pts"),
            ("/a/../../b/./c", "/b/c"),
            ("/", "/"),
            ("..", "/"),
        ] {
            let path = ContainerPath::new("/x", Path::new(given)).unwrap();
            assert_eq!(path.to_string(), clean);
        }
    }

    #[test]
    fn what_is_below_a_path_is_told_by_component() {
        let path = |text| ContainerPath::new("/x", Path::new(text)).unwrap();
        assert!(path("/proc").is_below("/proc") && path("/proc/sys").is_below("/proc"));
        assert!(!path("/process").is_below("/proc"));
    }

    #[test]
    fn errors_name_the_pointer() {
        let error = ContainerPath::absolute("/linux/maskedPaths/2", Path::new("proc/kcore"));
        assert_eq!(
            error.unwrap_err().to_string(),
            r#"/linux/maskedPaths/2: "proc/kcore" is not an absolute path"#
        );
    }
}
