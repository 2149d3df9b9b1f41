//! Columns of text.

use std::borrow::Cow;
use std::io::{self, Write};

/// Narrowest column, and the space after it, as runc's list has them: scripts cut by these.
const WIDTH: usize = 12;
const GAP: usize = 3;

/// Writes rows in columns that are as wide as their widest cell; the last one is not padded.
pub fn write<'a, const N: usize>(
    rows: impl Iterator<Item = [Cow<'a, str>; N]> + Clone,
    out: &mut impl Write,
) -> io::Result<()> {
    let mut widths = [WIDTH; N];
    for row in rows.clone() {
        for (width, cell) in widths.iter_mut().zip(&row) {
            *width = (*width).max(cell.chars().count() + GAP);
        }
    }
    // The format's own padding counts characters, too (std::fmt, Width).
    widths[N - 1] = 0;
    for row in rows {
        for (cell, width) in row.iter().zip(widths) {
            write!(out, "{cell:<width$}")?;
        }
        out.write_all(b"\n")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text<const N: usize>(rows: &[[&'static str; N]]) -> String {
        let mut text = Vec::new();
        write(rows.iter().map(|row| row.map(Cow::from)), &mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    /// RES-3
    #[test]
    fn columns_are_twelve_wide_or_three_more_than_their_text() {
        assert_eq!(
            text(&[["ID", "PID", "OWNER"], ["a-long-name", "1", "root"]]),
            "ID            PID         OWNER\na-long-name   1           root\n"
        );
        assert_eq!(text(&[["ID", "PID", "OWNER"]]), "ID          PID         OWNER\n");
        assert_eq!(text(&[["ä-long-name", "1"], ["b", "2"]]), "ä-long-name   1\nb             2\n");
    }
}
