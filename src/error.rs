//! How an error becomes one line for a person and one object for a program.
//!
//! Every error type of the crate is an enum beside its code; its `Display` says what that level
//! knows and its `source` says why. [`sentence`] joins the chain. What a program wants to switch on
//! travels in [`Facts`].

use std::error::Error;
use std::fmt::{self, Write as _};
use std::path::PathBuf;

use serde::Serialize;

use crate::sys::Errno;

/// Exit status of every verb that fails before a container process could give its own.
pub const FAILURE: u8 = 1;

/// Operands of an error, for the JSON log (specs/50-compat.md, LOG-4). Each is optional; absent
/// ones are not written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// Stable class of the error in upper snake case, such as `CONFIG_INVALID`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'static str>,
    /// Part of the launch that failed, as named in specs/20-launch.md.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<&'static str>,
    /// Errno of the refused system call, as the running kernel numbers it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errno: Option<i32>,
    /// File on the host that the error is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// JSON pointer (RFC 6901) into config.json.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<String>,
    /// What the reader may do about it, as a sentence without full stop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// An error that can say more than its sentence.
pub trait Report: Error {
    /// The operands that are known; none unless a type says otherwise.
    fn facts(&self) -> Facts {
        Facts::default()
    }
}

/// The whole chain of `error` as one line: each level, then why, joined with `: `.
///
/// A level whose text already ends with its source's text is not repeated. Control characters are
/// escaped, so that a name out of a config can neither break the line nor drive a terminal.
pub fn sentence(error: &(dyn Error + 'static)) -> String {
    let mut line = Cause(error).to_string();
    let mut level = error.source();
    while let Some(cause) = level {
        let text = Cause(cause).to_string();
        if !text.is_empty() && !line.ends_with(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        level = cause.source();
    }
    one_line(&line)
}

/// `facts`, completed with the errno that the chain of `error` carries.
pub fn complete(mut facts: Facts, error: &(dyn Error + 'static)) -> Facts {
    if facts.errno.is_none() {
        facts.errno = errno(error);
    }
    facts
}

fn errno(error: &(dyn Error + 'static)) -> Option<i32> {
    let mut level = Some(error);
    while let Some(current) = level {
        if let Some(errno) = current.downcast_ref::<Errno>() {
            return Some(*errno as i32);
        }
        if let Some(io) = current.downcast_ref::<std::io::Error>() {
            return io.raw_os_error();
        }
        level = current.source();
    }
    None
}

/// The text of an I/O error in the crate's style: lower case first letter, no `(os error 2)`.
pub fn reason(error: &std::io::Error) -> String {
    match error.raw_os_error() {
        Some(errno) => describe(Errno::from_raw(errno)),
        None => error.to_string(),
    }
}

/// The words of strerror(3), but for a capital that starts no name: `no such file or directory`,
/// `I/O error`.
pub fn describe(errno: Errno) -> String {
    let text = errno.desc();
    let mut letters = text.chars();
    match (letters.next(), letters.next()) {
        (Some(first), Some(second)) if second.is_lowercase() => {
            first.to_lowercase().chain(text.chars().skip(1)).collect()
        }
        _ => text.to_owned(),
    }
}

/// One level of a chain; what the kernel answered is rewritten, as its types print it in another
/// style.
struct Cause<'a>(&'a (dyn Error + 'static));

impl fmt::Display for Cause<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(errno) = self.0.downcast_ref::<Errno>() {
            return out.write_str(&describe(*errno));
        }
        match self.0.downcast_ref::<std::io::Error>() {
            Some(io) => out.write_str(&reason(io)),
            None => fmt::Display::fmt(self.0, out),
        }
    }
}

/// The text with control characters escaped.
pub fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.trim_end().chars() {
        if c.is_control() {
            // Writing to a String cannot fail.
            let _ = write!(line, "{}", c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[derive(Debug, thiserror::Error)]
    enum Sample {
        #[error("open {path}")]
        Open { path: String, source: io::Error },
        #[error("read config: {source}")]
        Twice { source: Inner },
        #[error(transparent)]
        Transparent(Inner),
    }

    #[derive(Debug, thiserror::Error)]
    #[error("no such thing")]
    struct Inner;

    fn not_found(path: &str) -> Sample {
        Sample::Open { path: path.into(), source: io::Error::from_raw_os_error(2) }
    }

    /// LOG-5
    #[test]
    fn joins_the_chain_in_lower_case() {
        assert_eq!(sentence(&not_found("/x")), "open /x: no such file or directory");
    }

    #[test]
    fn a_source_already_in_the_text_is_not_repeated() {
        assert_eq!(sentence(&Sample::Twice { source: Inner }), "read config: no such thing");
        assert_eq!(sentence(&Sample::Transparent(Inner)), "no such thing");
    }

    /// LOG-1
    #[test]
    fn control_characters_cannot_break_the_line() {
        assert_eq!(
            sentence(&not_found("/a\n\u{1b}[31mb")),
            "open /a\\n\\u{1b}[31mb: no such file or directory"
        );
    }

    #[test]
    fn errno_is_found_in_the_chain() {
        assert_eq!(complete(Facts::default(), &not_found("/x")).errno, Some(2));
        assert_eq!(complete(Facts::default(), &Inner).errno, None);
        let known = Facts { errno: Some(13), ..Facts::default() };
        assert_eq!(complete(known, &not_found("/x")).errno, Some(13));
    }

    #[test]
    fn reasons_keep_names_in_capitals() {
        assert_eq!(reason(&io::Error::other("EOF inside")), "EOF inside");
        assert_eq!(reason(&io::Error::from_raw_os_error(13)), "permission denied");
        assert_eq!(describe(Errno::EIO), "I/O error");
        assert_eq!(sentence(&Errno::ENOENT), "no such file or directory");
    }
}
