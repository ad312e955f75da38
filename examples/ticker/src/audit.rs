//! The demo's bookkeeping for one subscriber: was every tick delivered, once, in order and unaltered? Not a counter of
//! events: each tick is compared with what was published.

use std::sync::Arc;

use crate::tick::Tick;

/// Follows one subscriber through the ticks that were to be published.
#[derive(Debug)]
pub(crate) struct Audit {
    expected: Arc<[Tick]>,
    next: usize,
    delivered: u64,
    strange: u64,
}

impl Audit {
    /// Expects these ticks, in this order.
    pub(crate) fn new(expected: Arc<[Tick]>) -> Self {
        Self {
            expected,
            next: 0,
            delivered: 0,
            strange: 0,
        }
    }

    /// Takes a delivered tick. Gives its place among the published ones; none if it was altered, repeated, out of order,
    /// or never published.
    pub(crate) fn delivered(&mut self, tick: &Tick) -> Option<usize> {
        let rest = self.expected.get(self.next..).unwrap_or_default();
        let Some(skipped) = rest.iter().position(|expected| expected == tick) else {
            self.strange += 1;
            return None;
        };
        let place = self.next + skipped;
        self.next = place + 1;
        self.delivered += 1;
        Some(place)
    }

    /// How many arrived as they were published.
    pub(crate) fn delivered_count(&self) -> u64 {
        self.delivered
    }

    /// How many arrived that should not have: altered, repeated or out of order.
    pub(crate) fn strange_count(&self) -> u64 {
        self.strange
    }

    /// How many were followed by a later one before they arrived: lost for good, since order is kept.
    pub(crate) fn jumped_over(&self) -> u64 {
        self.next as u64 - self.delivered
    }

    /// How many of the first `published` did not arrive.
    pub(crate) fn lost(&self, published: u64) -> u64 {
        published.saturating_sub(self.delivered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tick::{Kind, MarketTime};

    fn ticks(count: i64) -> Arc<[Tick]> {
        let tick = |n| Tick::priced("AAPL", Kind::Trade, &"1.5".parse().unwrap(), MarketTime::Moment(n));
        (0..count).map(tick).collect()
    }

    #[test]
    fn a_complete_stream_loses_nothing() {
        let all = ticks(100);
        let mut audit = Audit::new(all.clone());
        for (place, tick) in all.iter().enumerate() {
            assert_eq!(audit.delivered(tick), Some(place));
        }
        assert_eq!(
            (audit.delivered_count(), audit.lost(100), audit.strange_count()),
            (100, 0, 0)
        );
    }

    #[test]
    fn what_is_missing_is_lost() {
        let all = ticks(10);
        let mut audit = Audit::new(all.clone());
        for place in [0, 1, 4, 9] {
            assert_eq!(audit.delivered(&all[place]), Some(place));
        }
        assert_eq!(
            (audit.delivered_count(), audit.lost(10), audit.jumped_over()),
            (4, 6, 6)
        );
    }

    #[test]
    fn altered_repeated_and_late_ticks_do_not_count_as_delivered() {
        let all = ticks(10);
        let mut audit = Audit::new(all.clone());
        audit.delivered(&all[5]);
        for wrong in [
            all[5].clone(),
            all[3].clone(),
            Tick {
                price: "1.6".to_owned(),
                ..all[6].clone()
            },
            Tick::bell(),
        ] {
            assert_eq!(audit.delivered(&wrong), None);
        }
        assert_eq!(
            (audit.delivered_count(), audit.strange_count(), audit.lost(10)),
            (1, 4, 9)
        );
        assert_eq!(audit.delivered(&all[6]), Some(6));
    }
}
