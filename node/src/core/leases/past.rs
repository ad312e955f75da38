//! The numbers under which keys were claimed: what a new claim must be higher than. Not who holds anything.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;

/// Keys of one author whose numbers are remembered; then those that it claimed longest ago are forgotten.
pub const PAST_MAX: usize = 1_024;

/// The highest number of each key of one author.
#[derive(Debug, Default)]
pub(super) struct Past {
    numbers: HashMap<Bytes, u64>,
    /// By when they were first claimed.
    order: VecDeque<Bytes>,
}

impl Past {
    pub(super) fn note(&mut self, key: &Bytes, number: u64) {
        if let Some(highest) = self.numbers.get_mut(key) {
            *highest = number.max(*highest);
            return;
        }
        if self.order.len() >= PAST_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.numbers.remove(&oldest);
        }
        self.numbers.insert(key.clone(), number);
        self.order.push_back(key.clone());
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    pub(super) fn highest(&self, key: &Bytes) -> u64 {
        self.numbers.get(key).copied().unwrap_or_default()
    }
}
