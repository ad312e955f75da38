//! The machine: inputs change the neighbourhood, then it plans what it lacks. The rules of each part are in its own file.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use libp2p::{Multiaddr, PeerId};
use rand::{
    rngs::StdRng,
    seq::{IteratorRandom, SliceRandom},
};

use super::{
    Action, Input, MemberRecord, Source, Status,
    approaches::{Approaches, Reason},
    backoff::jittered,
    book::{BOOK_RECORDS_MAX, Book},
    candidates::{Candidate, Candidates},
    lookups::{LookUps, Need},
    marks::{self, HARD, LOW, TARGET},
};
use crate::types::TopicHint;

/// Topics of its own that a node steers by.
const OWN_TOPICS_MAX: usize = 64;
/// Topics kept of a neighbour.
const NEIGHBOUR_TOPICS_MAX: usize = 1_024;
/// Records in a welcome, a farewell, or taken from any message.
const SAMPLE_RECORDS_MAX: usize = 16;
/// Records in a swap.
const SWAP_RECORDS: usize = 8;
/// Between swaps that we begin.
const SWAP_INTERVAL: Duration = Duration::from_secs(30);
/// Between swaps that one neighbour may begin.
const SWAP_ANSWER_INTERVAL_MIN: Duration = Duration::from_secs(10);
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
    since: Instant,
    /// What it told, and until then what was said of it.
    topics: BTreeSet<TopicHint>,
    introduced: bool,
    record: Option<MemberRecord>,
    /// What it becomes again when it goes.
    candidate: Candidate,
    farewell: bool,
    asked: bool,
    answered_at: Option<Instant>,
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
    me: PeerId,
    pub(super) rng: StdRng,
    pub(super) own_topics: Vec<TopicHint>,
    /// Topics were added since the last look at the need.
    new_topics: bool,
    /// Neighbours on each of `own_topics`, as of the last change.
    pub(super) on_own: Vec<usize>,
    pub(super) neighbours: BTreeMap<PeerId, Neighbour>,
    pub(super) candidates: Candidates,
    pub(super) approaches: Approaches,
    book: Book,
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
    to_remember: bool,
    plan_at: Option<Instant>,
    /// Whether something changed that the need or the plan depends on.
    dirty: bool,
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
            Input::DialFailed { peer } | Input::Unanswered { peer } => self.failed(peer, now),
            Input::NotSpeaking { peer } => self.not_speaking(peer, now),
            Input::Refused { peer } => self.refused(peer, now),
            Input::Admitted { peer, multiaddr } => self.admitted(peer, multiaddr, now, out),
            Input::Left { peer } => self.left(peer, now),
            Input::Disconnected { peer } => self.disconnected(peer, now),
            Input::Profiled { record } => self.profiled(record),
            Input::TopicsOf { peer, topics } => self.set_topics_of(&peer, &topics),
            Input::OwnTopics(topics) => self.set_own_topics(topics, now, out),
            Input::Swapped { peer, records, answer } => self.swapped(peer, records, answer, now, out),
            Input::Farewell { peer, records } => self.farewell(&peer, records, now),
            Input::Sample { peer: _, records } => self.learn(records, now),
            Input::LookedUp { found: _ } => self.look_ups.looked_up(),
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

    /// Up to `n` (at most 16) members for a welcome: up to half of them on one of `for_topics`; neighbours, whom we know
    /// to be alive, before hearsay.
    pub fn sample(&mut self, n: usize, for_topics: &[TopicHint]) -> Vec<MemberRecord> {
        self.sample_without(None, n, for_topics)
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

    // Peers found, and how approaches ended.

    fn found(&mut self, peer: PeerId, multiaddrs: Vec<Multiaddr>, source: Source, topics: &[TopicHint], now: Instant) {
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

    pub(super) fn failed(&mut self, peer: PeerId, now: Instant) {
        self.approach_ended(&peer, true);
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

    // What neighbours tell.

    fn profiled(&mut self, record: MemberRecord) {
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

    fn set_topics_of(&mut self, peer: &PeerId, topics: &[TopicHint]) {
        let Some(neighbour) = self.neighbours.get_mut(peer) else {
            return;
        };
        let topics: BTreeSet<TopicHint> = topics.iter().copied().take(NEIGHBOUR_TOPICS_MAX).collect();
        self.dirty |= neighbour.topics != topics;
        neighbour.topics = topics;
        neighbour.introduced = true;
    }

    fn set_own_topics(&mut self, mut topics: Vec<TopicHint>, now: Instant, out: &mut Vec<Action>) {
        topics.truncate(OWN_TOPICS_MAX);
        topics.sort_unstable();
        topics.dedup();
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

    fn swapped(&mut self, peer: PeerId, records: Vec<MemberRecord>, answer: bool, now: Instant, out: &mut Vec<Action>) {
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

    fn farewell(&mut self, peer: &PeerId, records: Vec<MemberRecord>, now: Instant) {
        if let Some(neighbour) = self.neighbours.get_mut(peer) {
            neighbour.farewell = true;
        }
        self.learn(records, now);
    }

    /// Records are hints: they make candidates, and are passed on.
    fn learn(&mut self, records: Vec<MemberRecord>, now: Instant) {
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

    fn sample_without(&mut self, without: Option<PeerId>, n: usize, for_topics: &[TopicHint]) -> Vec<MemberRecord> {
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
            let topics = if self.need == Need::None {
                Vec::new()
            } else {
                self.topics_in_need()
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

    /// Offers records to a random neighbour.
    fn swap(&mut self, out: &mut Vec<Action>) {
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
}
