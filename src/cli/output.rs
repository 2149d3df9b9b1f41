//! Standard output. A reader that has gone away is an error like any other, not a panic.

use std::io::{self, Write};

use serde::Serialize;

use super::Error;

/// Writes `text` as it is.
pub fn text(text: &str) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Error::Output)
}

/// Whether JSON is for people or for one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// On one line.
    Compact,
    /// Indented by two spaces.
    Indented,
}

/// Writes `value` as JSON with a newline.
pub fn json(value: &impl Serialize, layout: Layout) -> Result<(), Error> {
    let written = match layout {
        Layout::Compact => serde_json::to_string(value),
        Layout::Indented => serde_json::to_string_pretty(value),
    };
    let mut line = written.map_err(|error| Error::Output(error.into()))?;
    line.push('\n');
    text(&line)
}
