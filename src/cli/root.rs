//! Where the state of containers lies when `--root` does not say it.

use std::io;
use std::path::{Path, PathBuf};

use crate::sys::process::geteuid;

/// The directory's name below the run-time directory.
const NAME: &str = "cloison";

/// Why there is no state directory to look into.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A user without privileges has no run-time directory.
    #[error(
        "find the state directory: XDG_RUNTIME_DIR is not set to an absolute path; name one with --root"
    )]
    NoRuntimeDir,
    /// The file system's root cannot hold state.
    #[error("open state directory /: not allowed, name another with --root")]
    Slash,
    /// `--root` is relative and the working directory is gone.
    #[error("find the state directory {path}")]
    Relative {
        /// The value of `--root`.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// `--root` names what is not there.
    #[error("open state directory {path}")]
    Missing {
        /// The value of `--root`.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
}

impl Error {
    /// The directory in question.
    pub fn path(&self) -> Option<PathBuf> {
        match self {
            Self::NoRuntimeDir => None,
            Self::Slash => Some("/".into()),
            Self::Relative { path, .. } | Self::Missing { path, .. } => Some(path.clone()),
        }
    }
}

/// The absolute path of the state directory, which need not exist.
pub fn choose(asked: Option<&Path>) -> Result<PathBuf, Error> {
    let Some(path) = asked else {
        return default(&Caller::probe());
    };
    let absolute = std::path::absolute(path)
        .map_err(|source| Error::Relative { path: path.to_owned(), source })?;
    if absolute.parent().is_none() { Err(Error::Slash) } else { Ok(absolute) }
}

/// The state directory for reading: a default one may be missing, one that was named may not.
pub fn existing(asked: Option<&Path>) -> Result<PathBuf, Error> {
    let path = choose(asked)?;
    match (asked, std::fs::metadata(&path)) {
        (Some(_), Err(source)) => Err(Error::Missing { path, source }),
        _ => Ok(path),
    }
}

/// What the default depends on.
struct Caller {
    euid: u32,
    runtime_dir: Option<PathBuf>,
    /// Whether euid 0 is that of the machine, or of a user namespace that keeps the user's
    /// environment.
    mapped: bool,
}

impl Caller {
    fn probe() -> Self {
        let runtime_dir = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let euid = geteuid();
        let user = std::env::var_os("USER");
        let mapped = euid == 0
            && runtime_dir.is_some()
            && user.is_none_or(|user| user != "root")
            && in_user_namespace();
        Self { euid, runtime_dir, mapped }
    }
}

/// The first user namespace maps every id to itself (user_namespaces(7)).
fn in_user_namespace() -> bool {
    let Ok(map) = std::fs::read_to_string("/proc/self/uid_map") else {
        return false;
    };
    !map.split_ascii_whitespace().eq(["0", "0", "4294967295"])
}

fn default(caller: &Caller) -> Result<PathBuf, Error> {
    if caller.euid == 0 && !caller.mapped {
        return Ok(Path::new("/run").join(NAME));
    }
    let absolute = caller.runtime_dir.as_ref().filter(|dir| dir.is_absolute());
    absolute.map(|dir| dir.join(NAME)).ok_or(Error::NoRuntimeDir)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(euid: u32, runtime_dir: Option<&str>, mapped: bool) -> Option<PathBuf> {
        let runtime_dir = runtime_dir.map(PathBuf::from);
        default(&Caller { euid, runtime_dir, mapped }).ok()
    }

    /// CLI-5
    #[test]
    fn root_has_one_place_and_users_their_own() {
        let run = Some(PathBuf::from("/run/cloison"));
        let user = Some(PathBuf::from("/run/user/1000/cloison"));
        assert_eq!(chosen(0, None, false), run);
        assert_eq!(chosen(0, Some("/run/user/1000"), false), run);
        assert_eq!(chosen(0, Some("/run/user/1000"), true), user);
        assert_eq!(chosen(1000, Some("/run/user/1000"), false), user);
        assert_eq!(chosen(1000, None, false), None);
        assert_eq!(chosen(1000, Some(""), false), None);
        assert_eq!(chosen(1000, Some("run"), false), None);
    }

    /// CLI-5
    #[test]
    fn a_named_directory_becomes_absolute() {
        let here = std::env::current_dir().unwrap();
        assert_eq!(choose(Some(Path::new("x"))).unwrap(), here.join("x"));
        assert!(matches!(choose(Some(Path::new("/"))), Err(Error::Slash)));
        assert!(matches!(choose(Some(Path::new("//."))), Err(Error::Slash)));
    }

    /// CLI-5
    #[test]
    fn a_named_directory_that_is_missing_is_an_error() {
        let error = existing(Some(Path::new("/nonexistent/r"))).unwrap_err();
        assert_eq!(
            crate::error::sentence(&error),
            "open state directory /nonexistent/r: no such file or directory"
        );
    }
}
