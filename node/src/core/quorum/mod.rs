//! Quorums: which of several answers to one question is taken, and who said otherwise. Counting, and no more: who may vote, and
//! how votes travel, is the application's.

#[cfg(test)]
mod tests;
mod trust;

use std::collections::BTreeMap;

use libp2p::PeerId;

pub use self::trust::{AUDIT_ONE_IN, CLEAN_MIN, HOSTS_MAX, Trust};

/// Replicas of one question.
pub const REPLICAS_MAX: usize = 15;
/// Voters that count; of more, those with the lowest PeerIds, whoever came first.
pub const VOTERS_MAX: usize = 64;

/// The votes on one question: members answer it independently, and the answer that more than half of them give is accepted.
///
/// What is accepted follows from the set of votes alone, in whatever order they came: all who hear the same votes accept the same,
/// also after a partition. Never the larger of two minorities: without a majority more votes are wanted, up to twice the replicas
/// and one, and then there is no quorum. Voters that give two answers are liars, and neither counts. A vote is as good as
/// its voter's name is costly: let only those vote who were asked to.
///
/// ```
/// use maille::{PeerId, Quorum, Verdict};
///
/// let [alice, bob, carol] = [PeerId::random(), PeerId::random(), PeerId::random()];
/// let mut quorum = Quorum::new(3);
/// quorum.vote(alice, "42");
/// quorum.vote(bob, "41");
/// assert_eq!(quorum.verdict(), Verdict::Open { missing: 1 });
/// quorum.vote(carol, "42");
/// assert_eq!(quorum.verdict(), Verdict::Accepted(&"42"));
/// assert_eq!(quorum.liars(), [bob]);
/// ```
#[derive(Clone, Debug)]
pub struct Quorum<D> {
    replicas: usize,
    /// None: the voter gave two answers.
    votes: BTreeMap<PeerId, Option<D>>,
}

/// What the votes say so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict<D> {
    /// So many more votes are wanted.
    Open {
        /// How many.
        missing: usize,
    },
    /// More than half, and more than half of the replicas, gave this answer.
    Accepted(D),
    /// As many as are asked voted, and there is no majority. Further votes may still make one.
    NoQuorum,
}

impl<D: Ord> Quorum<D> {
    /// Of so many replicas: 1 to 15, and what is beyond is taken as the nearest.
    #[must_use]
    pub fn new(replicas: usize) -> Self {
        Self {
            replicas: replicas.clamp(1, REPLICAS_MAX),
            votes: BTreeMap::new(),
        }
    }

    /// Counts a vote. Whether anything is other than before.
    pub fn vote(&mut self, voter: PeerId, answer: D) -> bool {
        if let Some(before) = self.votes.get_mut(&voter) {
            let contradicts = before.as_ref().is_some_and(|before| *before != answer);
            if contradicts {
                *before = None;
            }
            return contradicts;
        }
        self.votes.insert(voter, Some(answer));
        if self.votes.len() <= VOTERS_MAX {
            return true;
        }
        self.votes.pop_last().is_some_and(|(last, _)| last != voter)
    }

    /// What the votes say so far.
    #[must_use]
    pub fn verdict(&self) -> Verdict<&D> {
        let (leading, lead, votes) = self.count();
        let majority = self.replicas / 2 + 1;
        match leading {
            Some(answer) if lead >= majority && 2 * lead > votes => Verdict::Accepted(answer),
            _ if votes >= self.asked_max() => Verdict::NoQuorum,
            _ => {
                // Enough for the leading answer, if all of them give it.
                let enough = (majority - lead.min(majority)).max((votes + 1).saturating_sub(2 * lead));
                let missing = enough.max(self.replicas.saturating_sub(votes));
                Verdict::Open {
                    missing: missing.min(self.asked_max() - votes),
                }
            }
        }
    }

    /// Votes that are asked for at most.
    #[must_use]
    pub fn asked_max(&self) -> usize {
        2 * self.replicas + 1
    }

    /// Who voted, and what; nothing for those who gave two answers.
    pub fn votes(&self) -> impl Iterator<Item = (PeerId, Option<&D>)> {
        self.votes.iter().map(|(voter, answer)| (*voter, answer.as_ref()))
    }

    /// Who gave two answers, or another than the accepted one. While none is accepted, nobody is called a liar for being alone.
    #[must_use]
    pub fn liars(&self) -> Vec<PeerId> {
        let accepted = match self.verdict() {
            Verdict::Accepted(answer) => Some(answer),
            Verdict::Open { .. } | Verdict::NoQuorum => None,
        };
        let lied = |answer: &Option<D>| match answer {
            None => true,
            Some(answer) => accepted.is_some_and(|accepted| accepted != answer),
        };
        let liars = self.votes.iter().filter(|(_, answer)| lied(answer));
        liars.map(|(voter, _)| *voter).collect()
    }

    /// The answer with most votes, how many it has, and how many there are.
    fn count(&self) -> (Option<&D>, usize, usize) {
        let mut counts: BTreeMap<&D, usize> = BTreeMap::new();
        for answer in self.votes.values().flatten() {
            *counts.entry(answer).or_default() += 1;
        }
        let votes = counts.values().sum();
        let leading = counts.into_iter().max_by_key(|(_, count)| *count);
        let (answer, lead) = leading.unzip();
        (answer, lead.unwrap_or_default(), votes)
    }
}
