//! Standard output. A reader that has gone away is an error like any other, not a panic.

use std::borrow::Cow;
use std::io::{self, BufWriter, Write};

use serde::Serialize;

use super::{Error, table};

/// Writes `text` as it is.
pub fn text(text: &str) -> Result<(), Error> {
    write(|out| out.write_all(text.as_bytes()))
}

/// Writes each of the texts on a line of its own.
pub fn lines<'a>(mut texts: impl Iterator<Item = &'a str>) -> Result<(), Error> {
    write(|out| texts.try_for_each(|text| writeln!(out, "{text}")))
}

/// Writes rows in columns, as [`table::write`] does.
pub fn table<'a, const N: usize>(
    rows: impl Iterator<Item = [Cow<'a, str>; N]> + Clone,
) -> Result<(), Error> {
    write(|out| table::write(rows, out))
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
    write(|out| {
        match layout {
            Layout::Compact => serde_json::to_writer(&mut *out, value)?,
            Layout::Indented => serde_json::to_writer_pretty(&mut *out, value)?,
        }
        out.write_all(b"\n")
    })
}

/// What is told of thousands of containers is not put together before it is written.
fn write(
    tell: impl FnOnce(&mut BufWriter<io::StdoutLock<'_>>) -> io::Result<()>,
) -> Result<(), Error> {
    let mut out = BufWriter::new(io::stdout().lock());
    tell(&mut out).and_then(|()| out.flush()).map_err(Error::Output)
}
