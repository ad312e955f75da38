//! The subscribed neighbours of one publisher and what they acknowledged. Not what follows from it for the next frame.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use libp2p::PeerId;

use super::NEIGHBOURS_MAX;

/// Of so many neighbours, how many may be slow without slowing the others: a quarter, and of two already one.
fn stragglers(neighbours: usize) -> usize {
    (neighbours / 4).max(usize::from(neighbours > 1))
}

/// How far a neighbour is.
#[derive(Debug, Clone, Copy)]
struct Progress {
    /// What was next when it subscribed: before that it owes nothing.
    baseline: u64,
    acked: u64,
}

impl Progress {
    fn is_satisfied(&self, sent: u64) -> bool {
        self.acked == sent && self.acked > self.baseline
    }
}

/// All of them. `sent` is everywhere how many records left.
#[derive(Debug, Default)]
pub(super) struct Audience {
    neighbours: BTreeMap<PeerId, Progress>,
    /// Those that left after they had acknowledged all there was, and nothing was sent since.
    satisfied: BTreeSet<PeerId>,
    /// Those that left before they had, and nothing was sent since: their last acknowledgement may still be on its way.
    departed: BTreeMap<PeerId, Progress>,
    /// What all but a few stragglers have acknowledged.
    pace: Option<u64>,
    /// What the fastest has acknowledged.
    lead: Option<u64>,
}

impl Audience {
    pub(super) fn len(&self) -> usize {
        self.neighbours.len()
    }

    /// What all but a few stragglers have acknowledged; `None` without neighbours.
    pub(super) fn pace(&self) -> Option<u64> {
        self.pace
    }

    /// What the fastest has acknowledged; `None` without neighbours.
    pub(super) fn lead(&self) -> Option<u64> {
        self.lead
    }

    /// How far each is: what it did not miss by coming late, and below what it acknowledged.
    pub(super) fn acknowledged(&self) -> impl Iterator<Item = Range<u64>> {
        let gone = self.departed.values();
        let progress = self.neighbours.values().chain(gone);
        progress.map(|progress| progress.baseline..progress.acked)
    }

    /// Records that not every neighbour has acknowledged. With no neighbour there is nobody to wait for.
    pub(super) fn unacked(&self, sent: u64) -> u64 {
        let slowest = self.neighbours.values().map(|progress| progress.acked).min();
        sent - slowest.unwrap_or(sent)
    }

    /// How many got records and acknowledged all up to the last one, those among them that left since included.
    pub(super) fn acked_by(&self, sent: u64) -> usize {
        let here = self
            .neighbours
            .iter()
            .filter(|(_, progress)| progress.is_satisfied(sent));
        here.filter(|(peer, _)| !self.satisfied.contains(peer)).count() + self.satisfied.len()
    }

    /// More was sent: who left is not asked for it.
    pub(super) fn sent(&mut self) {
        self.satisfied.clear();
        self.departed.clear();
    }

    /// A neighbour acknowledged everything below `next`; whether that can be true.
    pub(super) fn acked(&mut self, peer: PeerId, next: u64, sent: u64) -> bool {
        let progress = match self.neighbours.get_mut(&peer) {
            None => self.departed.get_mut(&peer),
            here => here,
        };
        // Never clamped: who acknowledges what was not sent would open the window.
        let Some(progress) = progress.filter(|progress| (progress.acked..=sent).contains(&next)) else {
            return false;
        };
        progress.acked = next;
        if let Some(progress) = self.departed.remove(&peer) {
            self.depart(peer, progress, sent);
        }
        self.measure();
        true
    }

    pub(super) fn subscribed(&mut self, peer: PeerId, sent: u64) {
        self.departed.remove(&peer);
        if self.neighbours.len() < NEIGHBOURS_MAX {
            self.neighbours.entry(peer).or_insert(Progress {
                baseline: sent,
                acked: sent,
            });
        }
        self.measure();
    }

    pub(super) fn gone(&mut self, peer: PeerId, sent: u64) {
        if let Some(progress) = self.neighbours.remove(&peer) {
            self.depart(peer, progress, sent);
        }
        self.measure();
    }

    fn depart(&mut self, peer: PeerId, progress: Progress, sent: u64) {
        if progress.is_satisfied(sent) && self.satisfied.len() < NEIGHBOURS_MAX {
            self.satisfied.insert(peer);
        } else if self.departed.len() < NEIGHBOURS_MAX {
            self.departed.insert(peer, progress);
        }
    }

    fn measure(&mut self) {
        let mut acked: Vec<u64> = self.neighbours.values().map(|progress| progress.acked).collect();
        self.lead = acked.iter().copied().max();
        // Ascending: the slowest come first.
        let stragglers = stragglers(acked.len());
        self.pace = (!acked.is_empty()).then(|| *acked.select_nth_unstable(stragglers).1);
    }
}
