//! `ociVersion`: SemVer 2.0.0, compatible within a major version (runtime-spec config.md).

use super::ParseError;

/// The major version that is understood.
const MAJOR: &str = "1";

/// Accepts any 1.x.
pub fn check(version: &str) -> Result<(), ParseError> {
    if !is_semver(version) {
        return Err(ParseError::VersionFormat { version: version.to_owned() });
    }
    match version.split('.').next() {
        Some(MAJOR) => Ok(()),
        _ => Err(ParseError::Version { version: version.to_owned() }),
    }
}

fn is_semver(version: &str) -> bool {
    let (rest, build) = split(version, '+');
    let (core, pre) = split(rest, '-');
    let mut numbers = core.split('.');
    let three = numbers.by_ref().take(3).filter(|n| is_number(n)).count() == 3;
    three
        && numbers.next().is_none()
        && build.is_none_or(|build| build.split('.').all(is_identifier))
        && pre.is_none_or(|pre| pre.split('.').all(is_pre_release))
}

fn split(text: &str, at: char) -> (&str, Option<&str>) {
    match text.split_once(at) {
        Some((before, after)) => (before, Some(after)),
        None => (text, None),
    }
}

/// Digits without leading zeros (SemVer 2.0.0, item 2).
fn is_number(text: &str) -> bool {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits && (text == "0" || !text.starts_with('0'))
}

/// Items 9 and 10: `[0-9A-Za-z-]+`.
fn is_identifier(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// Item 9: an identifier, without leading zeros if it is a number.
fn is_pre_release(text: &str) -> bool {
    let numeric = text.bytes().all(|b| b.is_ascii_digit());
    is_identifier(text) && (!numeric || is_number(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_1_x_is_accepted() {
        for version in [
            "1.0.0",
            "1.3.0",
            "1.99.0",
            "1.0.2-dev",
            "1.0.0-rc5",
            "1.1.0-rc.2",
            "1.3.0+dev",
            "1.0.0-a-b.1+x.001",
        ] {
            assert!(check(version).is_ok(), "{version}");
        }
    }

    #[test]
    fn other_majors_are_refused_by_name() {
        for version in ["0.1.0", "2.0.0", "10.0.0", "0.9.0-rc1"] {
            let error = check(version).unwrap_err();
            assert!(matches!(error, ParseError::Version { .. }), "{version}");
            assert!(error.to_string().contains(version));
        }
    }

    #[test]
    fn what_is_no_version_is_refused() {
        for version in [
            "",
            "1",
            "1.0",
            "1.0.0.0",
            "v1.0.0",
            "01.0.0",
            "1.0.00",
            "1.0.0-",
            "1.0.0+",
            "1.0.0-01",
            "1.0.0-a..b",
            " 1.0.0",
            "1.0.x",
            "1..0",
        ] {
            let error = check(version).unwrap_err();
            assert!(matches!(error, ParseError::VersionFormat { .. }), "{version}");
        }
    }
}
