//! How much of its blobs this node gives to whom: questions a second, and answers on their way, of one member and of all. Not
//! the answers.

use std::{
    collections::{BTreeMap, HashMap},
    time::Instant,
};

use libp2p::PeerId;

use crate::core::bucket::{Bucket, Rate};

/// Questions of one member: as many at once, then 200 a second, or 25 MiB of chunks.
const MEMBER_QUESTIONS: Rate = Rate::new(256, 12_000);
/// Questions of all members: then 600 a second, or 75 MiB of chunks.
const QUESTIONS: Rate = Rate::new(1_024, 36_000);
/// Answers to one member that are read, or on their way.
pub(super) const SERVING_MEMBER_MAX: usize = 12;
/// Answers to all members likewise: 12 MiB of chunks.
pub(super) const SERVING_MAX: usize = 96;
/// Members that are remembered.
const MEMBERS_MAX: usize = 256;

/// The number of a question from outside; the caller's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Served(pub u64);

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServingInput {
    /// A member asks something.
    Asked {
        /// The number of the question.
        request: Served,
        /// Who asks.
        peer: PeerId,
    },
    /// The answer left whole, or never will.
    Ended {
        /// The number of the question.
        request: Served,
    },
    /// A member left, and with it all answers to it.
    Left {
        /// Who.
        peer: PeerId,
    },
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServingAction {
    /// Answer it.
    Serve {
        /// The number of the question.
        request: Served,
    },
    /// Answer that it is too much now.
    Refuse {
        /// The number of the question.
        request: Served,
    },
}

/// The limits, for all blobs of a mesh.
#[derive(Debug)]
pub struct Serving {
    questions: Bucket,
    members: HashMap<PeerId, Bucket>,
    serving: BTreeMap<Served, PeerId>,
}

impl Default for Serving {
    fn default() -> Self {
        Self {
            questions: Bucket::full(QUESTIONS),
            members: HashMap::new(),
            serving: BTreeMap::new(),
        }
    }
}

impl Serving {
    /// Takes in what happened and says what to do.
    pub fn handle(&mut self, input: ServingInput, now: Instant, out: &mut Vec<ServingAction>) {
        match input {
            ServingInput::Asked { request, peer } => out.push(if self.admits(peer, now) {
                self.serving.insert(request, peer);
                ServingAction::Serve { request }
            } else {
                ServingAction::Refuse { request }
            }),
            ServingInput::Ended { request } => drop(self.serving.remove(&request)),
            ServingInput::Left { peer } => self.serving.retain(|_, served| *served != peer),
        }
    }

    /// There is no deadline: whoever is refused asks again.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        None
    }

    fn admits(&mut self, peer: PeerId, now: Instant) -> bool {
        if !self.members.contains_key(&peer) {
            self.members.retain(|_, questions| !questions.is_full(now));
            if self.members.len() >= MEMBERS_MAX {
                return false;
            }
        }
        let of_member = self.serving.values().filter(|served| **served == peer).count();
        let questions = self
            .members
            .entry(peer)
            .or_insert_with(|| Bucket::full(MEMBER_QUESTIONS));
        // What is refused costs nobody a token.
        self.serving.len() < SERVING_MAX
            && of_member < SERVING_MEMBER_MAX
            && self.questions.check(now).is_ok()
            && questions.take(now).is_ok()
            && self.questions.take(now).is_ok()
    }
}
