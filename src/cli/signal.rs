//! Signals as people and engines write them.

use crate::sys::signal::{NAMES, REALTIME};

/// A word that is no signal.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("unknown signal {0:?}")]
pub struct Error(String);

/// The number of `TERM`, `SIGTERM`, `sigterm`, `15`, `RTMIN+1` or `SIGRTMAX-1`; 0 only asks whether
/// one could be sent.
pub fn parse(word: &str) -> Result<i32, Error> {
    let upper = word.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let known = NAMES.iter().find(|(known, _)| *known == name).map(|(_, number)| *number);
    known.or_else(|| number(word)).or_else(|| realtime(name)).ok_or_else(|| Error(word.to_owned()))
}

fn number(word: &str) -> Option<i32> {
    let digits = word.bytes().all(|byte| byte.is_ascii_digit());
    word.parse().ok().filter(|number| digits && (0..=*REALTIME.end()).contains(number))
}

fn realtime(name: &str) -> Option<i32> {
    let (base, sign, rest) = match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
        (Some(rest), _) => (REALTIME.start(), '+', rest),
        (_, Some(rest)) => (REALTIME.end(), '-', rest),
        (None, None) => return None,
    };
    let distance = if rest.is_empty() { 0 } else { number(rest.strip_prefix(sign)?)? };
    let signal = if sign == '+' { base + distance } else { base - distance };
    Some(signal).filter(|signal| REALTIME.contains(signal))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CLI-3
    #[test]
    fn names_in_any_case_with_or_without_sig() {
        for word in ["TERM", "SIGTERM", "sigterm", "Term", "15"] {
            assert_eq!(parse(word), Ok(15), "{word}");
        }
        assert_eq!(parse("KILL"), Ok(9));
        assert_eq!(parse("0"), Ok(0));
        assert_eq!(parse("64"), Ok(64));
    }

    /// CLI-3
    #[test]
    fn realtime_signals_count_from_both_ends() {
        assert_eq!(parse("RTMIN"), Ok(34));
        assert_eq!(parse("SIGRTMIN+3"), Ok(37));
        assert_eq!(parse("rtmax-1"), Ok(63));
        assert_eq!(parse("SIGRTMAX"), Ok(64));
    }

    #[test]
    fn the_rest_is_refused() {
        for word in [
            "",
            "SIG",
            "FOO",
            "-9",
            "+9",
            "65",
            "9x",
            "99999999999",
            "RTMIN-1",
            "RTMIN+99",
            "RTMAX+1",
            "RTMIN+",
            "RTMIN+-1",
        ] {
            assert_eq!(parse(word), Err(Error(word.to_owned())), "{word}");
        }
    }
}
