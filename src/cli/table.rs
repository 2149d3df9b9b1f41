//! Columns of text.

/// Narrowest column, and the space after it, as runc's list has them: scripts cut by these.
const WIDTH: usize = 12;
const GAP: usize = 3;

/// Lays out `rows` in columns that are as wide as their widest cell; the last one is not padded.
pub fn table<const N: usize>(rows: &[[impl AsRef<str>; N]]) -> String {
    let width = |column: usize| {
        let longest =
            rows.iter().map(|row| row[column].as_ref().chars().count()).max().unwrap_or(0);
        WIDTH.max(longest + GAP)
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut text = String::new();
    for row in rows {
        for (column, cell) in row.iter().map(AsRef::as_ref).enumerate() {
            text.push_str(cell);
            if column + 1 < N {
                let pad = widths[column] - cell.chars().count();
                text.extend(std::iter::repeat_n(' ', pad));
            }
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RES-3
    #[test]
    fn columns_are_twelve_wide_or_three_more_than_their_text() {
        let row = |a: &str, b: &str, c: &str| [a.to_owned(), b.to_owned(), c.to_owned()];
        assert_eq!(
            table(&[row("ID", "PID", "OWNER"), row("a-long-name", "1", "root")]),
            "ID            PID         OWNER\na-long-name   1           root\n"
        );
        assert_eq!(table(&[row("ID", "PID", "OWNER")]), "ID          PID         OWNER\n");
    }
}
