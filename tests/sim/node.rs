//! One node: the machines of one topic and what the runtime keeps beside them. What they are told and do is in the world.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Instant,
};

use maille::{
    PeerId,
    core::{
        catchup::{Catchup, InboundId, Question, RequestId, Responder},
        stream::{Inbox, Outbox, SigningKey},
    },
    store::{Budget, NODE_BYTES_MAX, Ring, RingLimits},
};

use super::{queue::Us, reader::Reader};

/// How honest a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Honesty {
    #[default]
    Honest,
    /// Denies the middle third of every run.
    HidesRange,
    /// Knows only the first half of every run.
    OldHead,
    /// Denies the publisher with the lowest id.
    HidesPublisher,
    /// Claims more of every run than there is.
    Boasts,
    /// Passes on forged copies of every frame, and nothing else.
    Forges,
    /// Remembers everything, to send it once more.
    Replays,
}

/// A question of another node that is being answered.
#[derive(Debug)]
pub(crate) struct Serving {
    pub(crate) asker: usize,
    pub(crate) request: RequestId,
    pub(crate) what: Question,
}

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) id: PeerId,
    pub(crate) key: SigningKey,
    /// How far its clock is ahead, in microseconds.
    pub(crate) clock: i64,
    pub(crate) honesty: Honesty,
    /// It has not left.
    pub(crate) here: bool,
    pub(crate) inbox: Option<Inbox>,
    pub(crate) catchup: Option<Catchup>,
    /// By its own clock.
    pub(crate) since_us: u64,
    pub(crate) responder: Responder,
    pub(crate) serving: BTreeMap<InboundId, Serving>,
    pub(crate) questions: u64,
    pub(crate) ring: Ring,
    pub(crate) sessions: u64,
    pub(crate) readers: Vec<Reader>,
    pub(crate) outbox: Option<Outbox>,
    pub(crate) neighbours: BTreeSet<usize>,
    /// Those of them to which it passes frames on.
    pub(crate) overlay: BTreeSet<usize>,
    /// Messages that came of late: gossip asks nobody about them.
    pub(crate) known: HashMap<[u8; 16], Us>,
    /// Bad frames that each neighbour passed on.
    pub(crate) rejected: BTreeMap<usize, u32>,
    /// Neighbours let go for them.
    pub(crate) evicted: BTreeSet<usize>,
    /// Members that it blames for what they answered.
    pub(crate) blamed: BTreeSet<PeerId>,
    /// Members that told of less than others gave.
    pub(crate) lacking: BTreeSet<PeerId>,
    /// When it will be woken.
    pub(crate) wake: Option<Us>,
}

impl Node {
    pub(crate) fn new(key: SigningKey) -> Self {
        Self {
            id: key.publisher(),
            key,
            clock: 0,
            honesty: Honesty::Honest,
            here: true,
            inbox: None,
            catchup: None,
            since_us: 0,
            responder: Responder::default(),
            serving: BTreeMap::new(),
            questions: 0,
            ring: Ring::new(RingLimits::default(), Budget::new(NODE_BYTES_MAX)),
            sessions: 0,
            readers: vec![],
            outbox: None,
            neighbours: BTreeSet::new(),
            overlay: BTreeSet::new(),
            known: HashMap::new(),
            rejected: BTreeMap::new(),
            evicted: BTreeSet::new(),
            blamed: BTreeSet::new(),
            lacking: BTreeSet::new(),
            wake: None,
        }
    }

    pub(crate) fn is_subscribed(&self) -> bool {
        self.inbox.is_some()
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let inbox = self.inbox.as_ref().and_then(Inbox::next_deadline);
        let outbox = self.outbox.as_ref().and_then(Outbox::next_deadline);
        let catchup = self.catchup.as_ref().and_then(Catchup::next_deadline);
        inbox.into_iter().chain(outbox).chain(catchup).min()
    }
}
