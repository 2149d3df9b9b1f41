//! The log that engines read, and the time format they read it in.
//!
//! An error makes exactly one line in the log file, as text or as a JSON object
//! `{"level","msg","time"}` with more members where more is known. Some readers decode the whole
//! file as one object, so nothing else is written unless a lower level was asked for
//! (specs/50-compat.md, LOG-2).

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::error::Facts;
use crate::sys::fd;

/// How grave a line is. A log keeps the lines of its own level and of the graver ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// The verb failed.
    Error,
    /// The verb went on, but not quite as the config asked.
    Warning,
    /// What the verb does.
    Debug,
}

impl Level {
    const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Debug => "debug",
        }
    }
}

/// Shape of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// `time="…" level=error msg="…"`
    #[default]
    Text,
    /// One JSON object.
    Json,
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file could not be opened for appending.
    #[error("open log {path}")]
    Open {
        /// The file named by `--log`.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A log service instead of a file was named.
    #[error("open log {destination}: only files are supported")]
    Destination {
        /// The value of `--log`.
        destination: PathBuf,
    },
}

impl Error {
    /// The value of `--log`.
    pub fn path(&self) -> &Path {
        match self {
            Self::Open { path, .. } => path,
            Self::Destination { destination } => destination,
        }
    }
}

/// How long the reader of a full FIFO is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// The file behind `--log`.
#[derive(Debug)]
pub struct Log {
    file: File,
    format: Format,
    level: Level,
}

/// Destinations that another runtime takes for services; a file of such a name is never meant.
const SERVICES: [&str; 2] = ["journald:", "syslog:"];

impl Log {
    /// Opens `path`, which `file:` may stand before, for appending, and makes it if needed with
    /// mode 0644.
    ///
    /// Symbolic links are followed: whoever may choose `--log` may write there anyway, and
    /// `/dev/stderr` is one. Opening does not wait for the reader of a FIFO.
    ///
    /// # Errors
    /// [`Error::Open`] if the kernel refuses, or a FIFO has no reader (`ENXIO`);
    /// [`Error::Destination`] for `journald:…` and `syslog:…`.
    pub fn open(path: &Path, format: Format, level: Level) -> Result<Self, Error> {
        let text = path.to_string_lossy();
        if SERVICES.iter().any(|service| text.starts_with(service)) {
            return Err(Error::Destination { destination: path.to_owned() });
        }
        let path = match path.as_os_str().as_bytes().strip_prefix(b"file:") {
            Some(rest) => Path::new(OsStr::from_bytes(rest)),
            None => path,
        };
        let failed = |source| Error::Open { path: path.to_owned(), source };
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o644)
            .custom_flags(fd::O_NONBLOCK)
            .open(path)
            .map_err(failed)?;
        Ok(Self { file, format, level })
    }

    /// Appends one line if the log keeps `level`.
    ///
    /// # Errors
    /// Whatever write(2) answers, `EAGAIN` when the reader of a FIFO has not made room within
    /// [`PATIENCE`]; the line is handed over in one write, so that lines of several runtimes do
    /// not mix.
    pub fn write(&mut self, level: Level, message: &str, facts: &Facts) -> io::Result<()> {
        if level > self.level {
            return Ok(());
        }
        let line = line(self.format, level, message, facts, SystemTime::now());
        let mut rest = line.as_bytes();
        let deadline = Instant::now() + PATIENCE;
        while !rest.is_empty() {
            match self.file.write(rest) {
                Ok(written) => rest = &rest[written..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error)
                    if error.kind() == io::ErrorKind::WouldBlock && Instant::now() < deadline =>
                {
                    std::thread::sleep(PATIENCE / 200);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// One line with its newline.
pub fn line(format: Format, level: Level, message: &str, facts: &Facts, now: SystemTime) -> String {
    let time = rfc3339(now, Precision::Seconds);
    match format {
        Format::Text => format!("time=\"{time}\" level={} msg={}\n", level.name(), quoted(message)),
        Format::Json => json_line(level, message, facts, &time),
    }
}

fn json_line(level: Level, message: &str, facts: &Facts, time: &str) -> String {
    #[derive(Serialize)]
    struct Line<'a> {
        level: Level,
        msg: &'a str,
        time: &'a str,
        #[serde(flatten)]
        facts: &'a Facts,
    }
    let entry = Line { level, msg: message, time, facts };
    // Only a path that is not UTF-8 can fail here; the three members that engines read always can
    // be written.
    let mut line = serde_json::to_string(&entry).unwrap_or_else(|_| {
        format!(
            "{{\"level\":\"{}\",\"msg\":{},\"time\":\"{time}\"}}",
            level.name(),
            quoted(message)
        )
    });
    line.push('\n');
    line
}

fn quoted(message: &str) -> String {
    serde_json::Value::from(message).to_string()
}

/// Digits after the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// None: `2026-01-02T03:04:05Z`
    Seconds,
    /// Nine: `2026-01-02T03:04:05.000000006Z`
    Nanoseconds,
}

/// `time` in UTC as RFC 3339 with the suffix `Z`. Times before 1970 are given as 1970, as no clock
/// here can mean them.
pub fn rfc3339(time: SystemTime, precision: Precision) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = civil_from_days(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let fraction = match precision {
        Precision::Seconds => String::new(),
        Precision::Nanoseconds => format!(".{:09}", since.subsec_nanos()),
    };
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z")
}

/// Year, month and day of the Gregorian calendar, `days` after 1970-01-01.
///
/// The year is counted from March, so that a leap day is the last of its year and no month needs a
/// table: the first day of month m after March is day (153 m + 2) / 5.
const fn civil_from_days(days: u64) -> (u64, u64, u64) {
    const DAYS_BEFORE_1970: u64 = 719_468; // since 0000-03-01
    const DAYS_PER_ERA: u64 = 146_097; // 400 years
    let days = days + DAYS_BEFORE_1970;
    let (era, day_of_era) = (days / DAYS_PER_ERA, days % DAYS_PER_ERA);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = era * 400 + year_of_era + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(seconds: u64, nanos: u32) -> SystemTime {
        UNIX_EPOCH + Duration::new(seconds, nanos)
    }

    /// RES-4
    #[test]
    fn known_dates() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_799, "2000-02-29T23:59:59Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_709_164_800, "2024-02-29T00:00:00Z"),
            (1_795_368_928, "2026-11-22T17:35:28Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(rfc3339(at(seconds, 0), Precision::Seconds), text);
        }
    }

    #[test]
    fn every_day_follows_the_day_before() {
        const LENGTHS: [u64; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        let mut expected = (1970, 1, 1);
        for days in 0..300_000 {
            assert_eq!(civil_from_days(days), expected);
            let (year, month, day) = expected;
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let length = LENGTHS[month as usize - 1] + u64::from(leap && month == 2);
            expected = match (day < length, month < 12) {
                (true, _) => (year, month, day + 1),
                (false, true) => (year, month + 1, 1),
                (false, false) => (year + 1, 1, 1),
            };
        }
    }

    /// RES-4
    #[test]
    fn nanoseconds_have_nine_digits() {
        assert_eq!(
            rfc3339(at(1, 20_000_003), Precision::Nanoseconds),
            "1970-01-01T00:00:01.020000003Z"
        );
    }

    /// LOG-4
    #[test]
    fn a_json_error_has_what_engines_read_and_no_nulls() {
        let facts = Facts {
            code: Some("CONFIG_INVALID"),
            config: Some("/process/cwd".into()),
            ..Facts::default()
        };
        assert_eq!(
            line(Format::Json, Level::Error, "a \"b\"", &facts, at(0, 5)),
            "{\"level\":\"error\",\"msg\":\"a \\\"b\\\"\",\"time\":\"1970-01-01T00:00:00Z\",\
             \"code\":\"CONFIG_INVALID\",\"config\":\"/process/cwd\"}\n"
        );
    }

    #[test]
    fn a_path_that_is_not_utf8_costs_only_the_facts() {
        use std::os::unix::ffi::OsStringExt;
        let facts = Facts {
            path: Some(PathBuf::from(std::ffi::OsString::from_vec(vec![0xff]))),
            ..Facts::default()
        };
        assert_eq!(
            line(Format::Json, Level::Error, "x", &facts, at(0, 0)),
            "{\"level\":\"error\",\"msg\":\"x\",\"time\":\"1970-01-01T00:00:00Z\"}\n"
        );
    }

    /// LOG-4
    #[test]
    fn a_text_error_quotes_its_message() {
        assert_eq!(
            line(Format::Text, Level::Error, "a \"b\"", &Facts::default(), at(0, 0)),
            "time=\"1970-01-01T00:00:00Z\" level=error msg=\"a \\\"b\\\"\"\n"
        );
    }

    /// LOG-2
    #[test]
    fn the_file_is_appended_to_and_keeps_only_its_level() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        std::fs::write(&path, "before\n").unwrap();
        let mut log = Log::open(&path, Format::Json, Level::Error).unwrap();
        log.write(Level::Warning, "quiet", &Facts::default()).unwrap();
        log.write(Level::Error, "loud", &Facts::default()).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("before\n{"));
        assert_eq!(text.lines().count(), 2);
    }

    /// LOG-2
    #[test]
    fn a_file_may_be_called_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut named = std::ffi::OsString::from("file:");
        named.push(&path);
        let mut log = Log::open(Path::new(&named), Format::Text, Level::Error).unwrap();
        log.write(Level::Error, "heard", &Facts::default()).unwrap();
        assert!(std::fs::read_to_string(&path).unwrap().contains("heard"));
    }

    /// LOG-2
    #[test]
    fn a_log_that_cannot_be_opened_names_itself() {
        let error =
            Log::open(Path::new("/nonexistent/log"), Format::Text, Level::Error).unwrap_err();
        assert_eq!(
            crate::error::sentence(&error),
            "open log /nonexistent/log: no such file or directory"
        );
        let error = Log::open(Path::new("journald:x"), Format::Text, Level::Error).unwrap_err();
        assert_eq!(error.to_string(), "open log journald:x: only files are supported");
    }
}
