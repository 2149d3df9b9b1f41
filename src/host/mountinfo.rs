//! The mount table of this process (proc_pid_mountinfo(5)).

use std::path::PathBuf;

/// What one line of /proc/self/mountinfo tells (proc_pid_mountinfo(5)).
#[derive(Debug)]
pub(super) struct Mount {
    /// The directory of the file system that is mounted.
    pub root: String,
    /// Where it is mounted.
    pub point: PathBuf,
    /// Options of the file system.
    pub options: String,
}

/// The mounts of file systems of a kind, in the order of the table.
pub(super) fn mounts<'a>(
    mountinfo: &'a str,
    kind: &'a str,
) -> impl DoubleEndedIterator<Item = Mount> + 'a {
    mountinfo.lines().filter_map(move |line| {
        let (left, right) = line.split_once(" - ")?;
        let mut right = right.split(' ');
        if right.next()? != kind {
            return None;
        }
        let options = right.nth(1).unwrap_or_default().to_owned();
        let mut left = left.split(' ').skip(3);
        let root = unescape(left.next()?);
        let point = PathBuf::from(unescape(left.next()?));
        Some(Mount { root, point, options })
    })
}

/// Undoes the octal escapes of space, tab, newline and backslash.
fn unescape(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .into_iter()
        .fold(text.to_owned(), |text, (code, plain)| text.replace(code, plain))
}
