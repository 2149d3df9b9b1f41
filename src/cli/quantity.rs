//! Amounts as people write them: bytes with a unit, and spans of time as Go prints them.

use std::time::Duration;

/// Units of bytes, each 1024 times the one before.
const UNITS: &str = "kmgtp";

/// Reads a number of bytes such as `67108864`, `64M`, `1.5GiB` or `-1`.
pub fn bytes(text: &str) -> Result<i64, String> {
    let bad = || "not a number of bytes, such as 67108864, 64M or -1".to_owned();
    if text == "-1" {
        return Ok(-1);
    }
    let lower = text.to_ascii_lowercase();
    let bare = lower.strip_suffix('b').unwrap_or(&lower);
    let bare = bare.strip_suffix('i').unwrap_or(bare);
    let (number, power) = match bare.chars().last().and_then(|unit| UNITS.find(unit)) {
        Some(at) => (&bare[..bare.len() - 1], at as u32 + 1),
        None => (bare, 0),
    };
    let number = number.trim_end();
    if !number.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(bad());
    }
    let factor = 1024_i64.pow(power);
    if let Ok(whole) = number.parse::<i64>() {
        return whole.checked_mul(factor).ok_or_else(bad);
    }
    let only_digits = number.chars().all(|c| c.is_ascii_digit() || c == '.');
    match number.parse::<f64>() {
        Ok(value) if only_digits && value * (factor as f64) < i64::MAX as f64 => {
            Ok((value * factor as f64) as i64)
        }
        _ => Err(bad()),
    }
}

/// Reads a span of time such as `5s`, `500ms` or `1m30s`; it must not be zero.
pub fn interval(text: &str) -> Result<Duration, String> {
    let bad = || "not a span of time, such as 5s, 500ms or 1m30s".to_owned();
    let mut rest = text;
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(bad)?;
        let (number, tail) = rest.split_at(digits);
        let unit = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit);
        let seconds = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return Err(bad()),
        };
        total += number.parse::<f64>().map_err(|_| bad())? * seconds;
        rest = tail;
    }
    match Duration::try_from_secs_f64(total) {
        Ok(span) if !span.is_zero() => Ok(span),
        _ => Err("the interval must be greater than 0".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CLI-8
    #[test]
    fn bytes_may_have_a_unit() {
        for (text, expected) in [
            ("0", 0),
            ("-1", -1),
            ("67108864", 67_108_864),
            ("64M", 67_108_864),
            ("64mb", 67_108_864),
            ("64 MiB", 67_108_864),
            ("1.5k", 1536),
            ("7b", 7),
        ] {
            assert_eq!(bytes(text), Ok(expected), "{text}");
        }
        for text in ["", "x", "M", "-2", "64X", "1e3", "9999999P", "1..5k", "inf"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }

    /// CLI-8
    #[test]
    fn intervals_are_written_as_in_go() {
        let millis = |text| interval(text).map(|span| span.as_millis());
        assert_eq!(millis("5s"), Ok(5000));
        assert_eq!(millis("1m30s"), Ok(90_000));
        assert_eq!(millis("1.5s"), Ok(1500));
        assert_eq!(millis("250ms"), Ok(250));
        for text in ["", "0s", "5", "s", "-1s", "5x", "1s5"] {
            assert!(interval(text).is_err(), "{text}");
        }
    }
}
