//! Durations as people write them, `30s`, `5m`, `1d`, and as they are told. Not dates.

use std::time::Duration;

const MINUTE_S: u64 = 60;
const HOUR_S: u64 = 60 * MINUTE_S;
const DAY_S: u64 = 24 * HOUR_S;

/// `500ms`, `30s`, `5m`, `2h`, `1d`, or a plain number of seconds.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let example = || "give a duration such as 30s, 5m, 2h or 1d".to_owned();
    let digits = text
        .bytes()
        .take_while(|byte| byte.is_ascii_digit() || *byte == b'.')
        .count();
    let (number, unit) = text.split_at(digits);
    let unit_ms = match unit {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" => MINUTE_S * 1_000,
        "h" => HOUR_S * 1_000,
        "d" => DAY_S * 1_000,
        _ => return Err(example()),
    };
    let number: f64 = number.parse().map_err(|_| example())?;
    let unit = Duration::from_millis(unit_ms);
    Duration::try_from_secs_f64(number * unit.as_secs_f64()).map_err(|_| "too long a duration".to_owned())
}

/// The same, rounded to what a person cares about.
pub(crate) fn told(duration: Duration) -> String {
    let s = duration.as_secs();
    match s {
        0 => format!("{} ms", duration.as_millis()),
        1..MINUTE_S => format!("{s} s"),
        MINUTE_S..HOUR_S => format!("{} min", s / MINUTE_S),
        HOUR_S..DAY_S => format!("{} h", s / HOUR_S),
        _ => format!("{} d", s / DAY_S),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_and_told() {
        for (text, ms, words) in [
            ("500ms", 500, "500 ms"),
            ("30", 30_000, "30 s"),
            ("1.5m", 90_000, "1 min"),
            ("2h", 7_200_000, "2 h"),
            ("1d", 86_400_000, "1 d"),
        ] {
            let duration = parse(text).unwrap();
            assert_eq!(duration, Duration::from_millis(ms), "{text}");
            assert_eq!(told(duration), words);
        }
        for text in ["", "x", "1y", "-1s", "1e9s", "99999999999999999999d", "m", "1..2s"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
