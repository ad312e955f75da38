//! Hashes of states: of this node, and of one other. Whether they agree.

use std::collections::BTreeMap;

use super::HASHES_KEPT;

/// The newest hashes of somebody, by tick.
#[derive(Debug, Default)]
pub(super) struct Hashes {
    newest: BTreeMap<u32, u64>,
    /// A difference was told; what follows from it is not news.
    pub(super) differs: bool,
}

impl Hashes {
    pub(super) fn add(&mut self, tick: u32, hash: u64) {
        self.newest.insert(tick, hash);
        if self.newest.len() > HASHES_KEPT {
            self.newest.pop_first();
        }
    }

    pub(super) fn of(&self, tick: u32) -> Option<u64> {
        self.newest.get(&tick).copied()
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The newest that follow each other: the tick of the last one, and all.
    pub(super) fn last(&self, count_max: usize) -> (u32, Vec<u64>) {
        let last = self.newest.last_key_value().map_or(0, |(tick, _)| *tick);
        let newest = self.newest.iter().rev().zip((0..=last).rev());
        let gapless = newest.take_while(|((tick, _), expected)| *tick == expected);
        let mut hashes: Vec<u64> = gapless.map(|((_, hash), _)| *hash).take(count_max).collect();
        hashes.reverse();
        (last, hashes)
    }
}
