//! Where a subscriber begins on a topic. Not how the past is fetched.

use std::time::{SystemTime, UNIX_EPOCH};

use super::Position;

/// Where a subscriber begins on a topic.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Start {
    /// With what is published from now on.
    #[default]
    Now,
    /// With the newest record of every publisher and key.
    Latest,
    /// With the newest records of the topic by sent time, this many: at most [`Start::LAST_MAX`].
    Last(u32),
    /// With records sent at this time or later, by their publishers' clocks.
    Since(SystemTime),
    /// With the records after a saved position. Records after it that nobody has any more are reported as gaps.
    After(Position),
    /// With the oldest record that anyone holds.
    All,
}

impl Start {
    /// The most records that [`Start::Last`] begins with; more are as good as this many.
    pub const LAST_MAX: u32 = maille_proto::CATCHUP_LAST_MAX;
}

/// Microseconds since the Unix epoch, as frames say it; 0 for times before it.
#[must_use]
pub(crate) fn unix_us(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_are_those_of_frames() {
        assert_eq!(unix_us(UNIX_EPOCH + Duration::from_millis(1_500)), 1_500_000);
        assert_eq!(unix_us(UNIX_EPOCH - Duration::from_secs(1)), 0);
        assert_eq!(Start::LAST_MAX, 10_000);
    }
}
