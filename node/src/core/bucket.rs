//! A token bucket that is one instant: the moment it will be full again. Not a queue; it says yes or no, and when.

use std::time::{Duration, Instant};

/// How much may happen at once, and how soon one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    /// Tokens in a full bucket.
    pub(crate) burst: u32,
    /// Time in which one token comes back.
    pub(crate) interval: Duration,
}

impl Rate {
    /// `burst` at once, then `per_minute` a minute.
    pub(crate) const fn new(burst: u32, per_minute: u32) -> Self {
        Rate {
            burst,
            interval: Duration::from_nanos(60_000_000_000 / per_minute as u64),
        }
    }
}

/// A bucket of one [`Rate`]; starts full. Exact: durations are integers, so no drift lets an extra token through.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    rate: Rate,
    full_at: Option<Instant>,
}

impl Bucket {
    pub(crate) fn full(rate: Rate) -> Self {
        Bucket { rate, full_at: None }
    }

    /// Takes one token, or says when there will be one.
    pub(crate) fn take(&mut self, now: Instant) -> Result<(), Instant> {
        self.check(now)?;
        self.full_at = Some(self.full_at.map_or(now, |at| at.max(now)) + self.rate.interval);
        Ok(())
    }

    /// Whether [`take`](Self::take) would succeed, or when it will.
    pub(crate) fn check(&self, now: Instant) -> Result<(), Instant> {
        // One token is there as soon as all but `burst - 1` intervals of the debt have passed.
        let slack = self.rate.interval * self.rate.burst.saturating_sub(1);
        match self.full_at.and_then(|full_at| full_at.checked_sub(slack)) {
            Some(ready_at) if ready_at > now => Err(ready_at),
            _ => Ok(()),
        }
    }

    /// Gives one token back; a full bucket stays full.
    pub(crate) fn refund(&mut self) {
        self.full_at = self.full_at.and_then(|at| at.checked_sub(self.rate.interval));
    }

    /// A full bucket says nothing that a new one would not say.
    pub(crate) fn is_full(&self, now: Instant) -> bool {
        self.full_at.is_none_or(|at| at <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn burst_then_rate_and_not_one_more() {
        let start = Instant::now();
        let mut bucket = Bucket::full(Rate::new(10, 6));
        let mut taken = 0;
        for ms in 0..=60_000 {
            taken += u32::from(bucket.take(start + Duration::from_millis(ms)).is_ok());
        }
        assert_eq!(taken, 16, "10 at once, then 6 in the minute");
    }

    #[test]
    fn the_promised_instant_is_the_earliest() {
        let start = Instant::now();
        let mut bucket = Bucket::full(Rate::new(3, 60));
        for _ in 0..3 {
            bucket.take(start).unwrap();
        }
        let at = bucket.take(start).unwrap_err();
        assert_eq!(at, start + Duration::from_secs(1));
        assert_eq!(bucket.check(at - Duration::from_nanos(1)), Err(at));
        assert_eq!(bucket.take(at), Ok(()));
        assert!(bucket.take(at).is_err());
    }

    #[test]
    fn refunds_never_fill_above_the_burst() {
        let start = Instant::now();
        let mut bucket = Bucket::full(Rate::new(2, 60));
        bucket.take(start).unwrap();
        for _ in 0..5 {
            bucket.refund();
        }
        assert!(bucket.is_full(start));
        assert_eq!((0..5).filter(|_| bucket.take(start).is_ok()).count(), 2);
        assert!(!bucket.is_full(start + Duration::from_millis(1_999)));
        assert!(bucket.is_full(start + Duration::from_secs(2)));
    }
}
