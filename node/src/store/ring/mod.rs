//! The memory ring: recent history of a mesh, bounded by bytes, records and time, the oldest going first. It is gone with
//! the process.

mod budget;
mod newest;
mod topic;

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, ops::Range};

use bytes::Bytes;
use libp2p::PeerId;

use crate::types::{Selector, TopicName};

use self::topic::TopicRing;
use super::history::{Held, Kept, Store, StoreError};

pub use self::budget::{Budget, NODE_BYTES_MAX};

/// Topics of which a ring keeps history: as many as a peer may be subscribed to.
pub const TOPICS_MAX: usize = 1_024;

/// What a ring holds of one topic, at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RingLimits {
    /// Memory, with what it costs to find the frames again.
    pub bytes_max: usize,
    /// Records.
    pub records_max: usize,
    /// Microseconds since a frame came.
    pub age_us_max: u64,
    /// How much of `bytes_max` frames may take that are only kept on for the newest record of a key. They are no longer
    /// part of their run, and have no age; the oldest go first.
    pub newest_bytes_max: usize,
    /// How many of `records_max` may be in such frames.
    pub newest_records_max: usize,
}

impl Default for RingLimits {
    fn default() -> Self {
        Self {
            bytes_max: 64 * 1024 * 1024,
            records_max: 200_000,
            age_us_max: 3_600_000_000,
            newest_bytes_max: 16 * 1024 * 1024,
            newest_records_max: 50_000,
        }
    }
}

impl RingLimits {
    /// Whether a frame that was sent then, and came at once, would be forgotten by now.
    #[must_use]
    pub fn forgets(&self, sent_us: u64, now_us: u64) -> bool {
        sent_us.saturating_add(self.age_us_max) <= now_us
    }
}

/// Recent history of one mesh, in memory.
#[derive(Debug)]
pub struct Ring {
    limits: RingLimits,
    budget: Budget,
    topics: BTreeMap<TopicName, TopicRing>,
}

impl Ring {
    /// An empty ring that counts what it uses in `budget`.
    #[must_use]
    pub fn new(limits: RingLimits, budget: Budget) -> Self {
        Self {
            limits,
            budget,
            topics: BTreeMap::new(),
        }
    }

    /// While the node's memory is used up, the largest topics here shrink to their share.
    fn share_memory(&mut self) {
        while self.budget.is_exceeded() {
            let Some(largest) = self.topics.values_mut().max_by_key(|topic| topic.bytes()) else {
                return;
            };
            let before = largest.bytes();
            if before <= self.budget.share() {
                return;
            }
            largest.drop_oldest(&self.limits);
            self.budget.change(before, largest.bytes());
        }
    }

    fn forget_empty_topics(&mut self) {
        let budget = &self.budget;
        self.topics.retain(|_, topic| {
            let empty = topic.is_empty();
            if empty {
                budget.remove_topic();
            }
            !empty
        });
    }
}

impl Store for Ring {
    fn append(&mut self, topic: &TopicName, kept: &Kept, now_us: u64) -> Result<(), StoreError> {
        kept.check()?;
        if !self.topics.contains_key(topic) {
            if self.topics.len() >= TOPICS_MAX {
                return Err(StoreError::TooManyTopics { topics_max: TOPICS_MAX });
            }
            self.topics.insert(topic.clone(), TopicRing::default());
            self.budget.add_topic();
        }
        let Some(ring) = self.topics.get_mut(topic) else {
            return Ok(());
        };
        let before = ring.bytes();
        ring.append(kept, now_us);
        ring.shed(&self.limits, now_us);
        self.budget.change(before, ring.bytes());
        self.share_memory();
        Ok(())
    }

    fn runs(&self, topic: &TopicName, selector: Selector) -> Result<Vec<Held>, StoreError> {
        Ok(self
            .topics
            .get(topic)
            .map(|ring| ring.runs(selector))
            .unwrap_or_default())
    }

    fn range(
        &self,
        topic: &TopicName,
        publisher: &PeerId,
        incarnation: u64,
        sequences: Range<u64>,
        bytes_max: usize,
    ) -> Result<Vec<Bytes>, StoreError> {
        let ring = self.topics.get(topic);
        Ok(ring
            .map(|ring| ring.range((*publisher, incarnation), sequences, bytes_max))
            .unwrap_or_default())
    }

    fn latest(&self, topic: &TopicName, skip: usize, bytes_max: usize) -> Result<(Vec<Bytes>, bool), StoreError> {
        let ring = self.topics.get(topic);
        Ok(ring.map(|ring| ring.latest(skip, bytes_max)).unwrap_or_default())
    }

    fn topics(&self) -> Result<Vec<TopicName>, StoreError> {
        Ok(self.topics.keys().cloned().collect())
    }

    fn trim(&mut self, now_us: u64) -> Result<(), StoreError> {
        for ring in self.topics.values_mut() {
            let before = ring.bytes();
            ring.shed(&self.limits, now_us);
            self.budget.change(before, ring.bytes());
        }
        self.share_memory();
        self.forget_empty_topics();
        Ok(())
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        for ring in self.topics.values() {
            self.budget.change(ring.bytes(), 0);
            self.budget.remove_topic();
        }
    }
}
