//! When a feed is asked again: politely. A pure machine; the clock is its caller's.

use std::time::Duration;

/// However long a feed's own wish, it is asked once a day.
const WISH_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Longest pause that failures alone lead to.
const BACKOFF_MAX: Duration = Duration::from_secs(6 * 60 * 60);
/// Doublings that reach beyond [`BACKOFF_MAX`] from any interval.
const DOUBLINGS_MAX: u32 = 20;
/// Feeds are asked up to this part of a pause later, so that not all readers of the world ask at the same moment.
const JITTER: f64 = 0.1;

/// The pace of one feed.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    interval: Duration,
    failures: u32,
}

impl Pace {
    /// Every `interval`, if all goes well.
    pub(crate) fn new(interval: Duration) -> Self {
        Self { interval, failures: 0 }
    }

    /// How long to wait after an answer. `ttl` is how long the feed says that it is good for; `random` is in `0.0..1.0`.
    pub(crate) fn answered(&mut self, ttl: Option<Duration>, random: f64) -> Duration {
        self.failures = 0;
        let wish = ttl.unwrap_or_default().min(WISH_MAX);
        later(self.interval.max(wish), random)
    }

    /// How long to wait after a failure. `retry_after` is how long the server asked for.
    pub(crate) fn failed(&mut self, retry_after: Option<Duration>, random: f64) -> Duration {
        self.failures = (self.failures + 1).min(DOUBLINGS_MAX);
        let doubled = self.interval.saturating_mul(1 << self.failures);
        let pause = doubled.min(BACKOFF_MAX).max(self.interval);
        later(pause.max(retry_after.unwrap_or_default().min(WISH_MAX)), random)
    }
}

fn later(pause: Duration, random: f64) -> Duration {
    pause + pause.mul_f64(JITTER * random.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn failures_double_the_pause_and_an_answer_ends_that() {
        let mut pace = Pace::new(5 * MINUTE);
        assert_eq!(pace.answered(None, 0.0), 5 * MINUTE);
        let pauses: Vec<u64> = (0..10).map(|_| pace.failed(None, 0.0).as_secs() / 60).collect();
        assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 360, 360, 360, 360]);
        assert_eq!(pace.answered(None, 0.0), 5 * MINUTE);
        assert_eq!(pace.failed(None, 0.0), 10 * MINUTE);
        let mut rare = Pace::new(WISH_MAX);
        assert_eq!(
            (0..40).map(|_| rare.failed(None, 0.0)).max(),
            Some(WISH_MAX),
            "never sooner than asked to"
        );
    }

    #[test]
    fn a_servers_wish_is_heard_within_reason() {
        let mut pace = Pace::new(5 * MINUTE);
        assert_eq!(pace.answered(Some(60 * MINUTE), 0.0), 60 * MINUTE);
        assert_eq!(pace.answered(Some(MINUTE), 0.0), 5 * MINUTE);
        assert_eq!(pace.answered(Some(Duration::MAX), 0.0), WISH_MAX);
        assert_eq!(pace.failed(Some(3 * 60 * MINUTE), 0.0), 180 * MINUTE);
        assert_eq!(pace.failed(Some(MINUTE), 0.0), 20 * MINUTE);
        assert_eq!(pace.failed(Some(Duration::MAX), 0.0), WISH_MAX);
    }

    #[test]
    fn chance_only_delays() {
        let mut pace = Pace::new(100 * MINUTE);
        assert_eq!(pace.answered(None, 1.0), 110 * MINUTE);
        assert_eq!(pace.answered(None, -3.0), 100 * MINUTE);
    }
}
