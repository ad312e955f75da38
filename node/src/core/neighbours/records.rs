//! What neighbours tell and are told: profiles, topics, swaps, samples. Records are hints: a peer is what it proves.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use libp2p::PeerId;
use rand::seq::{IteratorRandom, SliceRandom};

use super::{Action, MemberRecord, Neighbours, Source, book::BOOK_RECORDS_MAX};
use crate::types::TopicHint;

/// Records in a welcome, a farewell, or taken from any message.
pub(super) const SAMPLE_RECORDS_MAX: usize = 16;
/// Records in a swap.
const SWAP_RECORDS: usize = 8;
/// Between swaps that one neighbour may begin.
const SWAP_ANSWER_INTERVAL_MIN: Duration = Duration::from_secs(10);
/// Topics kept of a neighbour.
const NEIGHBOUR_TOPICS_MAX: usize = 1_024;

impl Neighbours {
    /// Up to `n` (at most 16) members for a welcome: up to half of them on one of `for_topics`; neighbours, whom we know
    /// to be alive, before hearsay.
    pub fn sample(&mut self, n: usize, for_topics: &[TopicHint]) -> Vec<MemberRecord> {
        self.sample_without(None, n, for_topics)
    }

    /// Members beside the neighbours whose record names the topic or service.
    pub fn others_on(&self, hint: TopicHint) -> Vec<PeerId> {
        let on = self.book.records().filter(|record| record.topics.contains(&hint));
        on.map(|record| record.peer).collect()
    }

    /// What the peer cache should hold now: neighbours, the oldest friendship first, then those met before.
    pub fn to_remember(&self) -> Vec<MemberRecord> {
        let mut neighbours: Vec<_> = self
            .neighbours
            .values()
            .filter_map(|neighbour| Some((neighbour.since, neighbour.record.as_ref()?)))
            .collect();
        neighbours.sort_by_key(|(since, _)| *since);
        let records = neighbours.into_iter().map(|(_, record)| record).chain(self.book.met());
        records.take(BOOK_RECORDS_MAX).cloned().collect()
    }

    pub(super) fn profiled(&mut self, record: MemberRecord) {
        let topics = record.topics.clone();
        self.set_topics_of(&record.peer, &topics);
        let Some(neighbour) = self.neighbours.get_mut(&record.peer) else {
            return;
        };
        if neighbour
            .record
            .as_ref()
            .is_some_and(|known| known.sequence > record.sequence)
        {
            return;
        }
        neighbour.record = Some(record);
        self.to_remember = true;
    }

    pub(super) fn set_topics_of(&mut self, peer: &PeerId, topics: &[TopicHint]) {
        let Some(neighbour) = self.neighbours.get_mut(peer) else {
            return;
        };
        let topics: BTreeSet<TopicHint> = topics.iter().copied().take(NEIGHBOUR_TOPICS_MAX).collect();
        self.dirty |= neighbour.topics != topics;
        neighbour.topics = topics;
        neighbour.introduced = true;
    }

    pub(super) fn swapped(
        &mut self,
        peer: PeerId,
        records: Vec<MemberRecord>,
        answer: bool,
        now: Instant,
        out: &mut Vec<Action>,
    ) {
        let Some(neighbour) = self.neighbours.get_mut(&peer) else {
            return;
        };
        if answer {
            if !std::mem::take(&mut neighbour.asked) {
                return;
            }
        } else {
            if neighbour
                .answered_at
                .is_some_and(|at| now < at + SWAP_ANSWER_INTERVAL_MIN)
            {
                return;
            }
            neighbour.answered_at = Some(now);
            let topics: Vec<TopicHint> = neighbour.topics.iter().copied().collect();
            let records = self.sample_without(Some(peer), SWAP_RECORDS, &topics);
            out.push(Action::Swap {
                peer,
                records,
                answer: true,
            });
        }
        self.learn(records, now);
    }

    pub(super) fn farewell(&mut self, peer: &PeerId, records: Vec<MemberRecord>, now: Instant) {
        if let Some(neighbour) = self.neighbours.get_mut(peer) {
            neighbour.farewell = true;
        }
        self.learn(records, now);
    }

    /// Records are hints: they make candidates, and are passed on.
    pub(super) fn learn(&mut self, records: Vec<MemberRecord>, now: Instant) {
        for record in records.into_iter().take(SAMPLE_RECORDS_MAX) {
            if record.peer == self.me {
                continue;
            }
            // What a neighbour said of itself counts more than what others say.
            if let Some(neighbour) = self.neighbours.get_mut(&record.peer) {
                neighbour.record.get_or_insert(record);
                continue;
            }
            self.found(record.peer, record.multiaddrs.clone(), Source::Record, &[], now);
            if let Some(candidate) = self.candidates.get_mut(&record.peer) {
                self.dirty |= candidate.set_topics(&record.topics, record.sequence);
            }
            self.book.insert(record, &mut self.rng);
        }
    }

    /// Offers records to a random neighbour.
    pub(super) fn swap(&mut self, out: &mut Vec<Action>) {
        let Some(peer) = self.neighbours.keys().copied().choose(&mut self.rng) else {
            return;
        };
        let Some(neighbour) = self.neighbours.get_mut(&peer) else {
            return;
        };
        neighbour.asked = true;
        let topics: Vec<TopicHint> = neighbour.topics.iter().copied().collect();
        let records = self.sample_without(Some(peer), SWAP_RECORDS, &topics);
        out.push(Action::Swap {
            peer,
            records,
            answer: false,
        });
    }

    pub(super) fn sample_without(
        &mut self,
        without: Option<PeerId>,
        n: usize,
        for_topics: &[TopicHint],
    ) -> Vec<MemberRecord> {
        let n = n.min(SAMPLE_RECORDS_MAX);
        let known = self
            .neighbours
            .values()
            .filter_map(|neighbour| neighbour.record.as_ref());
        let mut known: Vec<&MemberRecord> = known.filter(|record| Some(record.peer) != without).collect();
        let mut hearsay: Vec<&MemberRecord> = self
            .book
            .records()
            .filter(|record| Some(record.peer) != without)
            .collect();
        known.shuffle(&mut self.rng);
        hearsay.shuffle(&mut self.rng);
        let shares = |record: &&&MemberRecord| record.topics.iter().any(|topic| for_topics.contains(topic));
        let mut picked: Vec<&MemberRecord> = known
            .iter()
            .chain(&hearsay)
            .filter(shares)
            .take(n / 2)
            .copied()
            .collect();
        let hearsay_min = (n - picked.len()) / 3;
        let is_new = |picked: &[&MemberRecord], record: &MemberRecord| picked.iter().all(|p| p.peer != record.peer);
        // A third of the rest is hearsay, so that records travel further than one hop; the rest is known to be alive.
        for (records, most) in [(&known, n.saturating_sub(hearsay_min)), (&hearsay, n), (&known, n)] {
            for record in records {
                if picked.len() < most && is_new(&picked, record) {
                    picked.push(record);
                }
            }
        }
        picked.into_iter().cloned().collect()
    }
}
