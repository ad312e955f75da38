//! The pace of a replay: when each tick is due. Only arithmetic; waiting is the caller's.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::tick::{Kind, MarketTime, Tick};

/// How long a day of a daily file takes at speed 1: twenty a second can be followed, and a year passes in 13 s.
const DAY: Duration = Duration::from_millis(50);
/// Slowest and fastest factor; beyond these a replay would never move, or `max` is meant.
const FACTOR_MIN: f64 = 0.001;
const FACTOR_MAX: f64 = 1_000_000.0;

/// How fast to replay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Speed {
    /// So many times the market's time; daily files: so many times twenty days a second.
    Times(f64),
    /// As fast as the window of the publisher lets.
    Max,
}

impl FromStr for Speed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "max" {
            return Ok(Self::Max);
        }
        match text.parse::<f64>() {
            Ok(factor) if (FACTOR_MIN..=FACTOR_MAX).contains(&factor) => Ok(Self::Times(factor)),
            _ => Err(format!("give `max` or a factor from {FACTOR_MIN} to {FACTOR_MAX}")),
        }
    }
}

impl fmt::Display for Speed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Times(factor) => write!(f, "{factor}"),
            Self::Max => f.write_str("max"),
        }
    }
}

/// Turns market time into replay time.
#[derive(Debug)]
pub(crate) struct Pace {
    speed: Speed,
    /// The last tick, and when it was due at speed 1.
    last: Option<(MarketTime, Duration)>,
    /// When the day of the last tick began, at speed 1.
    day_began: Duration,
}

impl Pace {
    /// Starts a replay.
    pub(crate) fn new(speed: Speed) -> Self {
        Self {
            speed,
            last: None,
            day_began: Duration::ZERO,
        }
    }

    /// How long after the replay's start this tick is due. Never earlier than the one before, even where market time goes
    /// back; days without a market take no time.
    pub(crate) fn due(&mut self, tick: &Tick) -> Duration {
        let Speed::Times(factor) = self.speed else {
            return Duration::ZERO;
        };
        let time = tick.time();
        let at = match (time, self.last) {
            (MarketTime::Day(_), None) => phase(tick),
            (MarketTime::Day(_), Some((before, due))) => {
                if time != before {
                    self.day_began = if matches!(before, MarketTime::Day(_)) {
                        self.day_began + DAY
                    } else {
                        due
                    };
                }
                due.max(self.day_began + phase(tick))
            }
            (MarketTime::Moment(_), None) => Duration::ZERO,
            (MarketTime::Moment(now), Some((before, due))) => {
                let elapsed_ns = match before {
                    MarketTime::Moment(before) => u64::try_from(now.saturating_sub(before)).unwrap_or(0),
                    MarketTime::Day(_) => 0,
                };
                due.saturating_add(Duration::from_nanos(elapsed_ns))
            }
        };
        self.last = Some((time, at));
        Duration::try_from_secs_f64(at.as_secs_f64() / factor).unwrap_or(Duration::MAX)
    }
}

/// Where in its day a tick of a daily file stands: the open at its beginning, the close at two thirds.
fn phase(tick: &Tick) -> Duration {
    match Kind::try_from(tick.kind) {
        Ok(Kind::High | Kind::Low) => DAY / 3,
        Ok(Kind::Close) => DAY * 2 / 3,
        _ => Duration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Source;

    fn at(time: &str, kind: Kind) -> Tick {
        Tick::priced("AAPL", kind, &"1".parse().unwrap(), MarketTime::parse(time).unwrap())
    }

    fn dues(speed: Speed, ticks: &[Tick]) -> Vec<u128> {
        let mut pace = Pace::new(speed);
        ticks.iter().map(|tick| pace.due(tick).as_millis()).collect()
    }

    #[test]
    fn moments_keep_market_time() {
        let ticks = [
            "2024-08-09T00:00:00Z",
            "2024-08-09T00:00:01.5Z",
            "2024-08-09T00:00:01Z",
            "2024-08-09T00:00:03Z",
        ]
        .map(|time| at(time, Kind::Trade));
        assert_eq!(dues(Speed::Times(1.0), &ticks), [0, 1_500, 1_500, 3_500]);
        assert_eq!(dues(Speed::Times(10.0), &ticks), [0, 150, 150, 350]);
        assert_eq!(dues(Speed::Times(0.5), &ticks), [0, 3_000, 3_000, 7_000]);
        assert_eq!(dues(Speed::Max, &ticks), [0; 4]);
    }

    #[test]
    fn days_follow_each_other_without_weekends() {
        let ticks = [
            at("2000-03-03", Kind::Open),
            at("2000-03-03", Kind::High),
            at("2000-03-03", Kind::Close),
            at("2000-03-06", Kind::Open),
            at("2000-03-06", Kind::Close),
        ];
        assert_eq!(dues(Speed::Times(1.0), &ticks), [0, 16, 33, 50, 83]);
        assert_eq!(dues(Speed::Times(2.0), &ticks), [0, 8, 16, 25, 41]);
    }

    #[test]
    fn twenty_days_a_second_over_the_whole_file() {
        let mut source = Source::built_in().unwrap();
        let mut pace = Pace::new(Speed::Times(1.0));
        let mut last = Duration::ZERO;
        while let Some(tick) = source.next_tick().unwrap() {
            let due = pace.due(&tick);
            assert!(due >= last);
            last = due;
        }
        assert_eq!(last, DAY * 3_269 + DAY * 2 / 3);
    }

    #[test]
    fn extreme_times_do_not_overflow() {
        let mut pace = Pace::new(Speed::Times(FACTOR_MIN));
        for time_ns in [i64::MIN, i64::MAX, i64::MIN, i64::MAX] {
            pace.due(&Tick {
                time_ns,
                ..at("2000-01-01", Kind::Trade)
            });
            pace.due(&Tick {
                time_ns,
                day: false,
                ..at("2000-01-01", Kind::Trade)
            });
        }
    }

    #[test]
    fn speeds_parse() {
        assert_eq!("max".parse(), Ok(Speed::Max));
        assert_eq!("1".parse(), Ok(Speed::Times(1.0)));
        assert_eq!("0.5".parse(), Ok(Speed::Times(0.5)));
        for text in ["0", "-1", "fast", "", "inf", "NaN", "1e300"] {
            assert!(text.parse::<Speed>().is_err(), "{text}");
        }
    }
}
