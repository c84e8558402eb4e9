//! Durations and sizes as a command line gives them.

use std::time::Duration;

/// A number and its unit, the last character.
fn split(text: &str) -> Option<(u64, char)> {
    let unit = text.chars().next_back()?;
    let number = text.strip_suffix(unit)?.parse().ok()?;
    Some((number, unit))
}

/// A duration: `30s`, `10m`, `2h`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let seconds = split(text).and_then(|(number, unit)| match unit {
        's' => Some(number),
        'm' => number.checked_mul(60),
        'h' => number.checked_mul(60 * 60),
        _ => None,
    });
    seconds
        .map(Duration::from_secs)
        .ok_or_else(|| format!("'{text}' is not a duration: write 30s, 10m or 2h"))
}

/// A size in bytes: `64M`, `1G`.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let bytes = split(text).and_then(|(number, unit)| match unit {
        'M' => number.checked_mul(1 << 20),
        'G' => number.checked_mul(1 << 30),
        _ => None,
    });
    match bytes {
        Some(0) => Err("must be greater than zero".to_owned()),
        Some(bytes) => Ok(bytes),
        None => Err(format!("'{text}' is not a size: write 64M or 1G")),
    }
}

/// A duration that something may take.
pub(crate) fn parse_limit(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        Duration::ZERO => Err("must be greater than zero".to_owned()),
        limit => Ok(limit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantity_is_a_number_and_a_unit() {
        assert_eq!(parse_duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(parse_duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(parse_duration("1h"), Ok(Duration::from_secs(3600)));
        assert_eq!(parse_size("64M"), Ok(64 << 20));
        assert_eq!(parse_size("1G"), Ok(1 << 30));
    }

    #[test]
    fn anything_else_is_refused_with_an_example() {
        for text in [
            "",
            "s",
            "30",
            "-1s",
            "1.5m",
            "3d",
            "30 s",
            "30\u{df}",
            "18446744073709551615h",
        ] {
            let error = parse_duration(text).expect_err(text);
            assert!(
                error.ends_with("is not a duration: write 30s, 10m or 2h"),
                "{error}"
            );
        }
        for text in ["", "G", "64", "64k", "-1G", "18446744073709551615G"] {
            let error = parse_size(text).expect_err(text);
            assert!(error.ends_with("is not a size: write 64M or 1G"), "{error}");
        }
    }

    #[test]
    fn no_limit_and_no_size_is_zero() {
        for error in [
            parse_limit("0s").unwrap_err(),
            parse_size("0G").unwrap_err(),
        ] {
            assert_eq!(error, "must be greater than zero");
        }
    }
}
