//! The plan: what the neighbourhood lacks, and which candidates to approach for it.

use std::{cmp::Reverse, collections::BTreeMap, time::Instant};

use libp2p::PeerId;
use rand::{RngExt, seq::IndexedRandom};

use super::{
    Action, Neighbours,
    approaches::{Blocked, Reason},
    budget::{Dial, Guess},
    candidates::{Candidate, Candidates},
    lookups::Need,
    marks::{self, LOW, TARGET, TOPIC_MIN, TOPIC_TARGET},
};
use crate::types::TopicHint;

/// What candidates are good for now.
#[derive(Debug)]
struct Wants {
    alone: bool,
    /// Below the high mark.
    room: bool,
    /// Neighbours lacking, on whatever topic.
    fill: usize,
    /// Own topics that lack neighbours, and how many.
    topics: BTreeMap<TopicHint, usize>,
}

impl Wants {
    /// Why to approach a candidate, if there is a reason, and how many lacking topics it serves.
    fn reason(&self, candidate: &Candidate, now: Instant) -> Option<(Reason, usize)> {
        let topics = if self.topics.is_empty() {
            &[][..]
        } else {
            &candidate.topics
        };
        let served = topics.iter().filter(|topic| self.topics.contains_key(topic)).count();
        let reason = match () {
            () if candidate.is_duty(self.alone, now) && (self.room || !candidate.reached) => Reason::Duty,
            () if served > 0 => Reason::Topic,
            () if self.fill > 0 => Reason::Fill,
            () => return None,
        };
        Some((reason, served))
    }

    /// A candidate is being approached: others are wanted less.
    fn count(&mut self, candidates: &Candidates, peer: &PeerId) {
        let Some(candidate) = candidates.get(peer) else { return };
        self.fill = self.fill.saturating_sub(1);
        for topic in &candidate.topics {
            if let Some(lacking) = self.topics.get_mut(topic) {
                *lacking -= 1;
                if *lacking == 0 {
                    self.topics.remove(topic);
                }
            }
        }
    }
}

impl Neighbours {
    /// Begins the approaches that are wanted and allowed now; returns when there may be more to begin.
    pub(super) fn plan(&mut self, now: Instant, out: &mut Vec<Action>) -> Option<Instant> {
        while let Some(peer) = self.approaches.overdue(now) {
            self.failed(peer, true, now);
        }
        let mut wants = self.wants();
        let mut again_at: Option<Instant> = None;
        let mut sooner = |at: Instant| again_at = Some(again_at.map_or(at, |earliest| earliest.min(at)));
        let mut ready = Vec::new();
        for (peer, candidate) in self.candidates.iter() {
            let Some(ready_at) = candidate.ready_at() else { continue };
            let Some((reason, served)) = wants.reason(candidate, now) else {
                continue;
            };
            if ready_at > now {
                sooner(ready_at);
            } else {
                let rank = (candidate.troubles(), Reverse(served), self.rng.random::<u32>());
                ready.push(((reason, rank), *peer));
            }
        }
        ready.sort_unstable();
        for (_, peer) in ready {
            // Those before it may have been enough.
            let Some(candidate) = self.candidates.get(&peer) else {
                continue;
            };
            let Some((reason, _)) = wants.reason(candidate, now) else {
                continue;
            };
            match self.approach(peer, reason, now, out) {
                Ok(()) => wants.count(&self.candidates, &peer),
                Err(Blocked::Until(at)) => sooner(at),
                Err(Blocked::Busy) => {}
            }
        }
        again_at
    }

    /// Once in a while a neighbour makes room for a member never met, or for one that could not be reached when last
    /// tried: it may be what is left of a part that was cut off long ago. Every other time for one on an own topic: a
    /// topic may be in pieces while the mesh is not.
    pub(super) fn rotate(&mut self, now: Instant, out: &mut Vec<Action>) {
        self.candidates.forget_stale(now);
        if self.filling || self.neighbours.len() <= LOW {
            return;
        }
        let other = self.candidates.iter().filter(|(_, candidate)| {
            candidate.is_named()
                && (!candidate.met || candidate.troubles() > 0)
                && candidate.ready_at().is_some_and(|at| at <= now)
        });
        let (on_own, elsewhere): (Vec<_>, Vec<_>) =
            other.partition(|(_, candidate)| self.own_topics.iter().any(|topic| candidate.topics.contains(topic)));
        let prefers_own = elsewhere.is_empty() || (!on_own.is_empty() && self.rng.random());
        let some = if prefers_own { on_own } else { elsewhere };
        if let Some(peer) = some.choose(&mut self.rng).map(|(peer, _)| **peer) {
            // If it cannot be paid for now, the next turn will do.
            let _ = self.approach(peer, Reason::Rotate, now, out);
        }
    }

    /// Somebody waits for this peer: it is approached whatever the neighbourhood lacks, but not beyond the budgets.
    pub(super) fn wanted(&mut self, peer: PeerId, now: Instant, out: &mut Vec<Action>) {
        if peer == self.me || self.neighbours.contains_key(&peer) {
            return;
        }
        if self.candidates.get(&peer).is_none() {
            self.candidates.put(peer, Candidate::new(now), &mut self.rng);
        }
        // A full house of candidates may have sent it away again. One that failed just now is left alone for a while; a
        // former neighbour is not: it may have been let go for others, and it knows the password.
        let may = |candidate: &Candidate| candidate.met || candidate.ready_at().is_some_and(|at| at <= now);
        if self
            .candidates
            .get(&peer)
            .is_some_and(|candidate| !candidate.busy && may(candidate))
        {
            // If it cannot be paid for now, whoever waits hears that it cannot be reached.
            let _ = self.approach(peer, Reason::Duty, now, out);
        }
    }

    /// Whether an approach to the peer is under way.
    pub fn is_approaching(&self, peer: &PeerId) -> bool {
        self.candidates.get(peer).is_some_and(|candidate| candidate.busy)
    }

    /// What the node lacks, as far as it makes look-ups urgent.
    pub(super) fn need_now(&self) -> Need {
        match self.neighbours.len() {
            0 => Need::Alone,
            count if count < LOW || !self.topics_in_need().is_empty() => Need::Few,
            _ => Need::None,
        }
    }

    /// Own topics with fewer neighbours than the least.
    pub(super) fn topics_in_need(&self) -> Vec<TopicHint> {
        let own = self.own_topics.iter().zip(&self.on_own);
        own.filter(|(_, on)| **on < TOPIC_MIN)
            .map(|(topic, _)| *topic)
            .collect()
    }

    /// The high mark now.
    pub(super) fn high(&self) -> usize {
        marks::high(self.own_topics.len())
    }

    fn wants(&self) -> Wants {
        let count = self.neighbours.len();
        let room = count < self.high();
        // At the high mark only a topic in need is worth exchanging a neighbour for.
        let aim = if room { TOPIC_TARGET } else { TOPIC_MIN };
        let lacking = self.own_topics.iter().zip(&self.on_own).filter(|(_, on)| **on < aim);
        let mut wants = Wants {
            alone: count == 0,
            room,
            fill: if self.filling { TARGET.saturating_sub(count) } else { 0 },
            topics: lacking.map(|(topic, on)| (*topic, aim - on)).collect(),
        };
        for peer in self.approaches.peers() {
            wants.count(&self.candidates, peer);
        }
        wants
    }

    fn approach(&mut self, peer: PeerId, reason: Reason, now: Instant, out: &mut Vec<Action>) -> Result<(), Blocked> {
        let alone = self.neighbours.is_empty();
        let candidate = self.candidates.get_mut(&peer).expect("only candidates are approached");
        let guess = match () {
            () if candidate.met => Guess::Free,
            () if candidate.is_named() => Guess::Named,
            () => Guess::Other,
        };
        let dial = match () {
            () if candidate.dials_freely(alone) => Dial::Free,
            () if alone => Dial::Alone,
            () => Dial::Joined,
        };
        self.approaches.begin(peer, reason, guess, dial, alone, now)?;
        candidate.busy = true;
        out.push(Action::Approach {
            peer,
            multiaddrs: candidate.multiaddrs.clone(),
        });
        Ok(())
    }
}
