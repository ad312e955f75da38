//! The marks: how many neighbours are few, right, many; which topics lack some; whom the neighbourhood can spare.

use std::{collections::BTreeMap, time::Instant};

use libp2p::PeerId;
use rand::{rngs::StdRng, seq::IndexedRandom};

use super::machine::Neighbour;
use crate::types::TopicHint;

/// Below it a node looks for neighbours.
pub const LOW: usize = 8;
/// Looking for neighbours, it stops here.
pub const TARGET: usize = 12;
/// The least value of the high mark, see [`high`].
pub const HIGH_MIN: usize = 24;
/// Above it even a newcomer that nobody can make room for is let go.
pub const HARD: usize = 64;
/// Neighbours on each own topic that a node insists on.
pub const TOPIC_MIN: usize = 4;
/// What each own topic adds to the high mark.
const HIGH_PER_TOPIC: usize = 6;
/// Neighbours on each own topic that a node aims at, where there is room: as many as a publisher may wait for.
pub const TOPIC_TARGET: usize = 8;

/// The high mark of a node on `topics` topics: no more neighbours are kept.
pub fn high(topics: usize) -> usize {
    topics.saturating_mul(HIGH_PER_TOPIC).clamp(HIGH_MIN, HARD)
}

/// How many of `neighbours` are on each of `own` topics, in the order of `own`.
pub(super) fn on_topics(own: &[TopicHint], neighbours: &BTreeMap<PeerId, Neighbour>) -> Vec<usize> {
    own.iter()
        .map(|topic| neighbours.values().filter(|neighbour| neighbour.is_on(*topic)).count())
        .collect()
}

/// A random neighbour other than `newcomer` that can go: best one that shares no topic with us (it does not need us for
/// one either), else one whose topics stay at their target, else one whose topics stay above the least.
pub(super) fn spare(
    own: &[TopicHint],
    neighbours: &BTreeMap<PeerId, Neighbour>,
    newcomer: Option<PeerId>,
    now: Instant,
    rng: &mut StdRng,
) -> Option<PeerId> {
    let on = on_topics(own, neighbours);
    let mut tiers = [const { Vec::new() }; 3];
    for (peer, neighbour) in neighbours.iter().filter(|(peer, _)| Some(**peer) != newcomer) {
        let scarcest = own
            .iter()
            .zip(&on)
            .filter(|(topic, _)| neighbour.is_on(**topic))
            .map(|(_, on)| *on)
            .min();
        let tier = match scarcest {
            None if neighbour.has_introduced_itself(now) => 0,
            Some(on) if on <= TOPIC_MIN => continue,
            Some(on) if on <= TOPIC_TARGET => 2,
            _ => 1,
        };
        tiers[tier].push(*peer);
    }
    tiers.iter().find(|tier| !tier.is_empty())?.choose(rng).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_high_mark_follows_the_topics_up_to_the_hard_one() {
        let marks: Vec<usize> = [0, 1, 4, 5, 10, 11, usize::MAX].map(high).to_vec();
        assert_eq!(marks, [24, 24, 24, 30, 60, 64, 64]);
    }
}
