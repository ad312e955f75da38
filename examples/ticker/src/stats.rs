//! Latency percentiles, exact over the samples that are kept. Not a histogram: nothing is rounded into buckets.

use std::collections::VecDeque;
use std::time::Duration;

/// Most samples kept, the newest; the whole stock file has 36,462 ticks.
pub(crate) const SAMPLES_MAX: usize = 65_536;

/// Latencies of one subscriber.
#[derive(Debug, Default)]
pub(crate) struct Latencies {
    samples_us: VecDeque<u32>,
}

impl Latencies {
    /// Adds one sample. Beyond [`SAMPLES_MAX`] the oldest goes.
    pub(crate) fn add(&mut self, latency: Duration) {
        if self.samples_us.len() == SAMPLES_MAX {
            self.samples_us.pop_front();
        }
        self.samples_us
            .push_back(u32::try_from(latency.as_micros()).unwrap_or(u32::MAX));
    }

    /// The smallest latency that is not below `percent` % of the samples (nearest rank), in milliseconds; none without
    /// samples.
    pub(crate) fn percentile_ms(&self, percent: u8) -> Option<f64> {
        let mut sorted: Vec<u32> = self.samples_us.iter().copied().collect();
        let rank = (sorted.len() * usize::from(percent.min(100))).div_ceil(100).max(1);
        if sorted.is_empty() {
            return None;
        }
        let (_, value_us, _) = sorted.select_nth_unstable(rank - 1);
        Some(f64::from(*value_us) / 1_000.0)
    }
}

/// A latency as it is shown, or a dash.
pub(crate) fn shown_ms(latency_ms: Option<f64>) -> String {
    latency_ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.1} ms"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn latencies(values_us: impl IntoIterator<Item = u64>) -> Latencies {
        let mut all = Latencies::default();
        values_us.into_iter().for_each(|us| all.add(Duration::from_micros(us)));
        all
    }

    #[test]
    fn percentiles_are_the_nearest_rank() {
        let hundred = latencies((1..=100).rev().map(|n| n * 1_000));
        assert_eq!(hundred.percentile_ms(50), Some(50.0));
        assert_eq!(hundred.percentile_ms(99), Some(99.0));
        assert_eq!(hundred.percentile_ms(100), Some(100.0));
        assert_eq!(hundred.percentile_ms(0), Some(1.0));
        assert_eq!(latencies([7]).percentile_ms(99), Some(0.007));
        assert_eq!(latencies([1_000, 2_000]).percentile_ms(50), Some(1.0));
        assert_eq!(latencies([1_000, 2_000, 3_000]).percentile_ms(50), Some(2.0));
        assert_eq!(latencies([]).percentile_ms(50), None);
    }

    #[test]
    fn one_slow_tick_in_a_hundred_is_not_hidden_by_the_next() {
        let tail = latencies((0..200).map(|n| if n < 197 { 1_000 } else { 90_000 }));
        assert_eq!(
            (tail.percentile_ms(50), tail.percentile_ms(99)),
            (Some(1.0), Some(90.0))
        );
    }

    #[test]
    fn memory_is_bounded_and_the_newest_count() {
        let many = latencies((0..SAMPLES_MAX as u64 * 3).map(|n| if n < SAMPLES_MAX as u64 * 2 { 9 } else { 1_000 }));
        assert_eq!(many.samples_us.len(), SAMPLES_MAX);
        assert_eq!(many.percentile_ms(0), Some(1.0));
        let forever = latencies([u64::MAX]);
        assert_eq!(forever.percentile_ms(50), Some(f64::from(u32::MAX) / 1_000.0));
    }

    #[test]
    fn shown_with_its_unit() {
        assert_eq!(shown_ms(Some(1.26)), "1.3 ms");
        assert_eq!(shown_ms(None), "-");
    }
}
