//! One question put to the local store and three members who know more than what they published themselves, each page after
//! page. Not what the answers mean.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use libp2p::PeerId;
use rand::{rngs::StdRng, seq::IteratorRandom as _};

use super::{
    ASKED_MEMBERS, Action, Question, RequestId, Run,
    asker::{Asker, Owner},
};

/// Members that are asked, until three told of more than their own.
const ASKED_MAX: usize = 16;
/// Answers that one member may spread what it knows over.
pub const PAGES_MAX: usize = 256;
/// Frames of which it is remembered who gave them, but for one page.
pub const GIVEN_MAX: usize = 65_536;
/// How often a busy member is asked again.
const BUSY_MAX: u32 = 5;
/// Pages without anything new: some, because pages shift where something is published meanwhile.
const REPEATS_MAX: u32 = 8;

#[derive(Debug)]
pub(super) struct Inquiry {
    /// Peers to ask as soon as they are free, and what.
    todo: BTreeMap<PeerId, Question>,
    pending: BTreeMap<RequestId, PeerId>,
    asked: BTreeSet<PeerId>,
    pages: BTreeMap<PeerId, usize>,
    busy: BTreeMap<PeerId, u32>,
    repeats: BTreeMap<PeerId, u32>,
    answered: BTreeSet<PeerId>,
    /// Of those: who told of what others published. A publisher that does not listen knows nobody but itself.
    informed: BTreeSet<PeerId>,
    first: Question,
    /// Frames that were given already: who goes round in circles is found out.
    pub(super) given: BTreeSet<(PeerId, Run, u64)>,
}

impl Inquiry {
    pub(super) fn new(me: PeerId, first: Question) -> Self {
        Self {
            todo: BTreeMap::from([(me, first.clone())]),
            pending: BTreeMap::new(),
            asked: BTreeSet::from([me]),
            pages: BTreeMap::new(),
            busy: BTreeMap::new(),
            repeats: BTreeMap::new(),
            answered: BTreeSet::new(),
            informed: BTreeSet::new(),
            first,
            given: BTreeSet::new(),
        }
    }

    /// Asks whom it can; whether all have answered who will.
    pub(super) fn step(
        &mut self,
        owner: &Owner,
        asker: &mut Asker,
        rng: &mut StdRng,
        now: Instant,
        out: &mut Vec<Action>,
    ) -> bool {
        let me = asker.me();
        self.todo.retain(|peer, _| asker.usable(peer));
        let engaged: BTreeSet<PeerId> = self.todo.keys().chain(self.pending.values()).copied().collect();
        let members = engaged.union(&self.informed).filter(|peer| **peer != me).count();
        let left = (ASKED_MAX + 1).saturating_sub(self.asked.len());
        for _ in (members..ASKED_MEMBERS).take(left) {
            let Some(peer) = asker.members().filter(|peer| !self.asked.contains(peer)).choose(rng) else {
                break;
            };
            self.asked.insert(peer);
            self.todo.insert(peer, self.first.clone());
        }
        let free: Vec<PeerId> = self.todo.keys().filter(|peer| asker.free(peer, now)).copied().collect();
        for peer in free {
            if let Some(what) = self.todo.remove(&peer) {
                let request = asker.ask(peer, owner.clone(), what, now, out);
                self.pending.insert(request, peer);
            }
        }
        self.todo.is_empty() && self.pending.is_empty()
    }

    pub(super) fn owns(&self, request: RequestId) -> bool {
        self.pending.contains_key(&request)
    }

    /// A page came; `next` asks for the one after it. `false` if there is no end of them.
    pub(super) fn answered(&mut self, request: RequestId, next: Option<Question>) -> bool {
        let Some(peer) = self.pending.remove(&request) else {
            return true;
        };
        self.answered.insert(peer);
        let Some(next) = next else { return true };
        let pages = self.pages.entry(peer).or_insert(1);
        *pages += 1;
        if *pages > PAGES_MAX {
            return false;
        }
        self.todo.insert(peer, next);
        true
    }

    /// It knows of more than what it published itself.
    pub(super) fn tells_of_others(&mut self, peer: PeerId) {
        self.informed.insert(peer);
    }

    /// Whether one more page may be asked of it.
    pub(super) fn has_pages_left(&self, peer: &PeerId) -> bool {
        self.pages.get(peer).is_none_or(|pages| *pages < PAGES_MAX)
    }

    /// All of a page was known from this peer; whether that happened too often.
    pub(super) fn repeated(&mut self, peer: PeerId) -> bool {
        let repeats = self.repeats.entry(peer).or_default();
        *repeats += 1;
        *repeats > REPEATS_MAX
    }

    /// It will be asked the same again.
    pub(super) fn busy(&mut self, request: RequestId, what: Question) {
        if let Some(peer) = self.pending.remove(&request) {
            let busy = self.busy.entry(peer).or_default();
            *busy += 1;
            if *busy <= BUSY_MAX {
                self.todo.insert(peer, what);
            }
        }
    }

    pub(super) fn failed(&mut self, request: RequestId) {
        self.pending.remove(&request);
    }

    pub(super) fn drop_peer(&mut self, peer: &PeerId) {
        self.todo.remove(peer);
        self.pending.retain(|_, asked| asked != peer);
        self.answered.remove(peer);
        self.informed.remove(peer);
    }

    /// Who answered at least once.
    pub(super) fn who_answered(&self) -> &BTreeSet<PeerId> {
        &self.answered
    }
}
