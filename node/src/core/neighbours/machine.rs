//! The machine: inputs change the neighbourhood, then it plans what it lacks. The rules of each part are in its own file.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use libp2p::{Multiaddr, PeerId};
use rand::rngs::StdRng;

use super::{
    Action, Input, MemberRecord, Source, Status,
    approaches::{Approaches, Reason},
    backoff::jittered,
    book::Book,
    candidates::{Candidate, Candidates},
    lookups::{LookUps, Need},
    marks::{self, HARD, LOW, TARGET},
    records::SAMPLE_RECORDS_MAX,
};
use crate::types::TopicHint;

/// Topics of its own that a node steers by.
const OWN_TOPICS_MAX: usize = 64;
/// Between swaps that we begin.
const SWAP_INTERVAL: Duration = Duration::from_secs(30);
/// Between exchanges of a neighbour for a member never met.
const ROTATE_INTERVAL: Duration = Duration::from_secs(300);
/// Between writes of the peer cache.
const REMEMBER_INTERVAL_MIN: Duration = Duration::from_secs(30);
/// Failures after which hearsay is no longer passed on.
const STRIKE_AFTER: u32 = 3;
/// Peers counted that refused.
const REFUSERS_MAX: usize = 1_024;
/// A newcomer has told its topics by then.
const INTRODUCTION: Duration = Duration::from_secs(10);

/// One admitted neighbour.
#[derive(Debug)]
pub(super) struct Neighbour {
    pub(super) since: Instant,
    /// What it told, and until then what was said of it.
    pub(super) topics: BTreeSet<TopicHint>,
    pub(super) introduced: bool,
    pub(super) record: Option<MemberRecord>,
    /// What it becomes again when it goes.
    candidate: Candidate,
    pub(super) farewell: bool,
    pub(super) asked: bool,
    pub(super) answered_at: Option<Instant>,
}

impl Neighbour {
    pub(super) fn is_on(&self, topic: TopicHint) -> bool {
        self.topics.contains(&topic)
    }

    /// Whether its topics are known: it told some, or had time to.
    pub(super) fn has_introduced_itself(&self, now: Instant) -> bool {
        self.introduced || now.saturating_duration_since(self.since) >= INTRODUCTION
    }
}

/// The neighbourhood of this node in one mesh.
#[derive(Debug)]
pub struct Neighbours {
    pub(super) me: PeerId,
    pub(super) rng: StdRng,
    pub(super) own_topics: Vec<TopicHint>,
    /// Topics were added since the last look at the need.
    new_topics: bool,
    /// Neighbours on each of `own_topics`, as of the last change.
    pub(super) on_own: Vec<usize>,
    pub(super) neighbours: BTreeMap<PeerId, Neighbour>,
    pub(super) candidates: Candidates,
    pub(super) approaches: Approaches,
    pub(super) book: Book,
    /// Set below the low mark, until the target is reached.
    pub(super) filling: bool,
    /// As of the last change.
    pub(super) need: Need,
    /// Peers named for this mesh that refused.
    refusers: BTreeSet<PeerId>,
    ever_joined: bool,
    reported: Status,
    look_ups: LookUps,
    swap_at: Option<Instant>,
    rotate_at: Option<Instant>,
    remember_at: Option<Instant>,
    pub(super) to_remember: bool,
    plan_at: Option<Instant>,
    /// Whether something changed that the need or the plan depends on.
    pub(super) dirty: bool,
}

impl Neighbours {
    /// A node without neighbours. Give it an input to set its clocks.
    pub fn new(me: PeerId, rng: StdRng) -> Self {
        Neighbours {
            me,
            rng,
            own_topics: Vec::new(),
            new_topics: false,
            on_own: Vec::new(),
            neighbours: BTreeMap::new(),
            candidates: Candidates::default(),
            approaches: Approaches::new(),
            book: Book::default(),
            filling: true,
            need: Need::Alone,
            refusers: BTreeSet::new(),
            ever_joined: false,
            reported: Status::Alone,
            look_ups: LookUps::default(),
            swap_at: None,
            rotate_at: None,
            remember_at: None,
            to_remember: false,
            plan_at: None,
            dirty: true,
        }
    }

    /// Takes a fact, and says what to do.
    pub fn handle(&mut self, input: Input, now: Instant, out: &mut Vec<Action>) {
        match input {
            Input::Found {
                peer,
                multiaddrs,
                source,
                topics,
            } => self.found(peer, multiaddrs, source, &topics, now),
            Input::DialFailed { peer } => self.failed(peer, false, now),
            Input::Unanswered { peer, guessed } => self.failed(peer, guessed, now),
            Input::NotSpeaking { peer } => self.not_speaking(peer, now),
            Input::Speaks { peer } => self.speaks(&peer, now),
            Input::Refused { peer } => self.refused(peer, now),
            Input::Admitted { peer, multiaddr } => self.admitted(peer, multiaddr, now, out),
            Input::Left { peer } => self.left(peer, now),
            Input::Disconnected { peer } => self.disconnected(peer, now),
            Input::Profiled { record } => self.profiled(record),
            Input::TopicsOf { peer, topics } => self.set_topics_of(&peer, &topics),
            Input::OwnTopics(topics) => self.set_own_topics(topics, now, out),
            Input::Swapped { peer, records, answer } => self.swapped(peer, records, answer, now, out),
            Input::Farewell { peer, records } => self.farewell(&peer, records, now),
            Input::Sample { records } => self.learn(records, now),
            Input::Wanted { peer } => self.wanted(peer, now, out),
            Input::LookedUp => self.look_ups.looked_up(),
            Input::TimedOut => {}
        }
        self.run_clocks(now, out);
        let status = self.status();
        if status != self.reported {
            self.reported = status;
            out.push(Action::Report(status));
        }
    }

    /// When to hand in `TimedOut`; `None` only before the first input.
    pub fn next_deadline(&self) -> Option<Instant> {
        let remember_at = self.remember_at.filter(|_| self.to_remember);
        let deadlines = [
            self.look_ups.deadline(),
            self.swap_at,
            self.rotate_at,
            remember_at,
            self.plan_at,
            self.approaches.deadline(),
        ];
        deadlines.into_iter().flatten().min()
    }

    /// The admitted neighbours.
    pub fn neighbours(&self) -> impl ExactSizeIterator<Item = PeerId> {
        self.neighbours.keys().copied()
    }

    /// How this node stands with the mesh.
    pub fn status(&self) -> Status {
        match (self.neighbours.len(), self.refusers.len()) {
            (0, peers) if peers > 0 && !self.ever_joined => Status::Refused { peers },
            (0, _) => Status::Alone,
            (neighbours, _) => Status::Joined { neighbours },
        }
    }

    // Peers found, and how approaches ended.

    pub(super) fn found(
        &mut self,
        peer: PeerId,
        multiaddrs: Vec<Multiaddr>,
        source: Source,
        topics: &[TopicHint],
        now: Instant,
    ) {
        if peer == self.me {
            return;
        }
        if let Some(neighbour) = self.neighbours.get_mut(&peer) {
            neighbour.candidate.found(source, multiaddrs, now);
            return;
        }
        if let Some(candidate) = self.candidates.get_mut(&peer) {
            self.dirty |= candidate.found(source, multiaddrs, now);
            self.dirty |= candidate.add_topics(topics);
            if candidate.is_named() && candidate.has_refused() {
                self.count_refuser(peer);
            }
            return;
        }
        let mut candidate = Candidate::new(now);
        candidate.found(source, multiaddrs, now);
        candidate.add_topics(topics);
        self.candidates.put(peer, candidate, &mut self.rng);
        self.dirty = true;
        if source.named() {
            self.look_ups.found_new();
        }
    }

    /// `guessed`: the peer may have judged our proof before the end.
    pub(super) fn failed(&mut self, peer: PeerId, guessed: bool, now: Instant) {
        self.approach_ended(&peer, !guessed);
        let alone = self.neighbours.is_empty();
        let Some(candidate) = self.candidates.get_mut(&peer) else {
            return;
        };
        candidate.failed(alone, now, &mut self.rng);
        if candidate.troubles() >= STRIKE_AFTER {
            self.book.strike(&peer);
        }
    }

    fn not_speaking(&mut self, peer: PeerId, now: Instant) {
        self.approach_ended(&peer, true);
        let Some(candidate) = self.candidates.get_mut(&peer) else {
            return;
        };
        let first_contact = !candidate.reached;
        candidate.does_not_speak(now, &mut self.rng);
        self.book.strike(&peer);
        self.contacted(first_contact, now);
    }

    fn speaks(&mut self, peer: &PeerId, now: Instant) {
        if let Some(candidate) = self.candidates.get_mut(peer) {
            self.dirty |= candidate.speaks(now, &mut self.rng);
        }
    }

    fn refused(&mut self, peer: PeerId, now: Instant) {
        self.approach_ended(&peer, false);
        let Some(candidate) = self.candidates.get_mut(&peer) else {
            return;
        };
        let first_contact = !candidate.reached;
        candidate.refused(now, &mut self.rng);
        if candidate.is_named() {
            self.count_refuser(peer);
        }
        self.book.strike(&peer);
        self.contacted(first_contact, now);
    }

    /// A first connection may be what Kademlia waited for.
    fn contacted(&mut self, first: bool, now: Instant) {
        if first && self.neighbours.is_empty() {
            self.look_ups.hurry(now);
        }
    }

    fn approach_ended(&mut self, peer: &PeerId, refund: bool) -> Option<Reason> {
        self.dirty = true;
        if let Some(candidate) = self.candidates.get_mut(peer) {
            candidate.busy = false;
        }
        self.approaches.end(peer, refund)
    }

    fn count_refuser(&mut self, peer: PeerId) {
        if self.refusers.len() < REFUSERS_MAX {
            self.refusers.insert(peer);
        }
    }

    // Neighbours come and go.

    fn admitted(&mut self, peer: PeerId, multiaddr: Option<Multiaddr>, now: Instant, out: &mut Vec<Action>) {
        let rotating = self.approach_ended(&peer, true) == Some(Reason::Rotate);
        if peer == self.me {
            return;
        }
        if let Some(neighbour) = self.neighbours.get_mut(&peer) {
            neighbour.candidate.learn_multiaddrs(multiaddr.into_iter().collect());
            return;
        }
        let mut candidate = self.candidates.take(&peer).unwrap_or_else(|| Candidate::new(now));
        candidate.learn_multiaddrs(multiaddr.into_iter().collect());
        candidate.admitted();
        let record = self.book.take(&peer);
        self.to_remember |= record.is_some();
        let neighbour = Neighbour {
            since: now,
            topics: candidate.topics.iter().copied().collect(),
            introduced: false,
            record,
            candidate,
            farewell: false,
            asked: false,
            answered_at: None,
        };
        self.neighbours.insert(peer, neighbour);
        self.ever_joined = true;
        self.refusers.clear();
        let count = self.neighbours.len();
        if count > self.high() || (rotating && count > LOW) {
            match marks::spare(&self.own_topics, &self.neighbours, Some(peer), now, &mut self.rng) {
                Some(spare) => self.let_go(spare, now, out),
                None if count > HARD => self.let_go(peer, now, out),
                None => {}
            }
        }
        if self.neighbours.len() >= TARGET {
            self.filling = false;
        }
    }

    fn left(&mut self, peer: PeerId, now: Instant) {
        let Some(neighbour) = self.remove(&peer, now) else {
            return;
        };
        let mut candidate = neighbour.candidate;
        if neighbour.farewell {
            candidate.let_go(now);
        } else {
            candidate.lost(now.saturating_duration_since(neighbour.since), now, &mut self.rng);
        }
        self.candidates.put(peer, candidate, &mut self.rng);
        if self.neighbours.is_empty() {
            self.candidates.hasten(now, &mut self.rng);
        }
    }

    fn disconnected(&mut self, peer: PeerId, now: Instant) {
        self.left(peer, now);
        let alone = self.neighbours.is_empty();
        if let Some(candidate) = self.candidates.get_mut(&peer) {
            candidate.disconnected(alone, now);
            self.dirty = true;
        }
    }

    fn let_go(&mut self, peer: PeerId, now: Instant, out: &mut Vec<Action>) {
        let topics: Vec<TopicHint> = self
            .neighbours
            .get(&peer)
            .into_iter()
            .flat_map(|n| n.topics.iter().copied())
            .collect();
        let sample = self.sample_without(Some(peer), SAMPLE_RECORDS_MAX, &topics);
        let Some(neighbour) = self.remove(&peer, now) else {
            return;
        };
        let mut candidate = neighbour.candidate;
        candidate.let_go(now);
        self.candidates.put(peer, candidate, &mut self.rng);
        out.push(Action::Drop { peer, sample });
    }

    /// Takes a neighbour out, and keeps what it told us.
    fn remove(&mut self, peer: &PeerId, now: Instant) -> Option<Neighbour> {
        let mut neighbour = self.neighbours.remove(peer)?;
        self.dirty = true;
        self.filling |= self.neighbours.len() < LOW;
        let topics: Vec<TopicHint> = neighbour.topics.iter().copied().collect();
        let sequence = neighbour.record.as_ref().map_or(0, |record| record.sequence);
        neighbour.candidate.set_topics_told(&topics, sequence);
        if let Some(record) = neighbour.record.take() {
            neighbour.candidate.learn_multiaddrs(record.multiaddrs.clone());
            self.book.insert_met(record, now, &mut self.rng);
        }
        Some(neighbour)
    }

    fn set_own_topics(&mut self, mut topics: Vec<TopicHint>, now: Instant, out: &mut Vec<Action>) {
        topics.sort_unstable();
        topics.dedup();
        topics.truncate(OWN_TOPICS_MAX);
        let is_new = topics.iter().any(|topic| !self.own_topics.contains(topic));
        self.own_topics = topics;
        self.dirty = true;
        self.new_topics |= is_new;
        while self.neighbours.len() > self.high() {
            let Some(spare) = marks::spare(&self.own_topics, &self.neighbours, None, now, &mut self.rng) else {
                break;
            };
            self.let_go(spare, now, out);
        }
    }

    // What is due.

    fn run_clocks(&mut self, now: Instant, out: &mut Vec<Action>) {
        if self.dirty {
            self.on_own = marks::on_topics(&self.own_topics, &self.neighbours);
            let need = self.need_now();
            let has_new_topics = std::mem::take(&mut self.new_topics);
            if need != Need::None && (need != self.need || has_new_topics) {
                self.look_ups.hurry(now);
            }
            self.need = need;
        }
        if self.look_ups.deadline() <= Some(now) {
            let in_need = self.need != Need::None;
            let topics = if in_need {
                self.topics_in_need()
            } else {
                self.own_topics.clone()
            };
            self.look_ups.start(self.need, &topics, now, &mut self.rng, out);
        }
        if self.swap_at.is_none_or(|at| at <= now) {
            if self.swap_at.is_some() {
                self.swap(out);
            }
            self.swap_at = Some(now + jittered(SWAP_INTERVAL, &mut self.rng));
        }
        if self.rotate_at.is_none_or(|at| at <= now) {
            if self.rotate_at.is_some() {
                self.rotate(now, out);
            }
            self.rotate_at = Some(now + jittered(ROTATE_INTERVAL, &mut self.rng));
        }
        if self.to_remember && self.remember_at.is_none_or(|at| at <= now) {
            self.to_remember = false;
            self.remember_at = Some(now + REMEMBER_INTERVAL_MIN);
            out.push(Action::Remember(self.to_remember()));
        }
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if self.dirty || due(self.plan_at) || due(self.approaches.deadline()) {
            self.plan_at = self.plan(now, out);
            self.dirty = false;
        }
    }
}
