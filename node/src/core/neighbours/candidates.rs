//! Candidates: peers that some source named and that are not neighbours now, with what is known of each and when it may
//! be approached. Which of them is wanted is for the machine.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use libp2p::{Multiaddr, PeerId};
use rand::{RngExt, rngs::StdRng};

use super::{Source, backoff::Backoff};
use crate::types::TopicHint;

/// Candidates of one mesh.
pub const CANDIDATES_MAX: usize = 1_024;
/// Multiaddrs kept of one peer, the last ones named.
pub const PEER_MULTIADDRS_MAX: usize = 8;
/// Topics kept of one candidate.
const CANDIDATE_TOPICS_MAX: usize = 64;
/// Candidates that a user or a cache named and that are therefore never forgotten.
const STICKY_MAX: usize = 256;

/// For those that must not be missed: named by the user or the cache, or lost just now.
const STICKY_BACKOFF: Backoff = Backoff {
    first: Duration::from_secs(1),
    max: Duration::from_secs(15),
};
/// For those that were neighbours once.
const MET_BACKOFF: Backoff = Backoff {
    first: Duration::from_secs(1),
    max: Duration::from_secs(60),
};
/// For hearsay.
const HEARSAY_BACKOFF: Backoff = Backoff {
    first: Duration::from_secs(1),
    max: Duration::from_secs(300),
};
/// A peer that Kademlia names again is tried again after this, however often it failed: it may be back.
const RENAMED_PAUSE: Duration = Duration::from_secs(60);
/// After a refusal: the peer may join the mesh later.
const REFUSED_BACKOFF: Backoff = Backoff {
    first: Duration::from_secs(15),
    max: Duration::from_secs(300),
};
/// A lost neighbour is redialled so long, even by a content node.
const LOST_FOR: Duration = Duration::from_secs(600);
/// A neighbour that stayed so long begins again at the shortest delay when it is lost.
const STEADY_AFTER: Duration = Duration::from_secs(30);
/// A neighbour let go, by us or by itself, is left alone so long.
const LET_GO_PAUSE: Duration = Duration::from_secs(60);
/// A peer that cannot be a neighbour is not dialled again before, once its connection closed.
const HUSHED_PAUSE: Duration = Duration::from_secs(15);
/// The same for a node that has neighbours.
const HUSHED_PAUSE_JOINED: Duration = Duration::from_secs(300);
/// A peer that begins to speak admission is asked within this, by each of those who wait for it.
const SPEAKS_PAUSE_MAX: Duration = Duration::from_millis(250);
/// Hearsay that failed this often and was not named again for `STALE_AFTER` is forgotten.
const STALE_FAILURES: u32 = 3;
const STALE_AFTER: Duration = Duration::from_secs(900);

/// The sources that named a peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sources(u8);

impl Sources {
    fn insert(&mut self, source: Source) {
        self.0 |= 1 << source as u8;
    }

    fn any(self, is: impl Fn(Source) -> bool) -> bool {
        Source::ALL
            .into_iter()
            .any(|source| self.0 & (1 << source as u8) != 0 && is(source))
    }
}

/// What is known of one peer.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) multiaddrs: Vec<Multiaddr>,
    /// Topics that records and look-ups name; hints.
    pub(super) topics: Vec<TopicHint>,
    /// The sequence number of the record that `topics` came from.
    sequence: u64,
    sources: Sources,
    named_at: Instant,
    /// In a row: not reached, or not answered.
    failures: u32,
    /// In a row: answered, and not let in.
    refusals: u32,
    retry_at: Instant,
    failed_at: Option<Instant>,
    lost_until: Option<Instant>,
    /// Was a neighbour once: it knows the password.
    pub(super) met: bool,
    /// Was connected once.
    pub(super) reached: bool,
    /// Asked on this connection in vain; not again before it closes.
    hushed: bool,
    /// It did not speak admission when it was asked last.
    mute: bool,
    /// Let go by us, or left us for others: no reason to call it back.
    let_go: bool,
    /// An approach is under way.
    pub(super) busy: bool,
}

impl Candidate {
    pub(super) fn new(now: Instant) -> Self {
        Candidate {
            multiaddrs: Vec::new(),
            topics: Vec::new(),
            sequence: 0,
            sources: Sources::default(),
            named_at: now,
            failures: 0,
            refusals: 0,
            retry_at: now,
            failed_at: None,
            lost_until: None,
            met: false,
            reached: false,
            hushed: false,
            mute: false,
            let_go: false,
            busy: false,
        }
    }

    /// A source named the peer. Says whether that may change what to do.
    pub(super) fn found(&mut self, source: Source, multiaddrs: Vec<Multiaddr>, now: Instant) -> bool {
        let was_named = self.is_named();
        let before = self.sources;
        self.sources.insert(source);
        self.named_at = now;
        let learnt = self.learn_multiaddrs(multiaddrs);
        if !was_named && self.is_named() && (self.refusals > 0 || self.hushed) {
            // It did not know the mesh when we asked; since then it was named for it, so it may have joined.
            self.hushed = false;
            self.retry_at = self.retry_at.min(now + STICKY_BACKOFF.first);
        }
        let mut hastened = false;
        if source == Source::Kademlia
            && let Some(failed_at) = self.failed_at
            && failed_at + RENAMED_PAUSE < self.retry_at
        {
            self.retry_at = failed_at + RENAMED_PAUSE;
            hastened = true;
        }
        learnt || hastened || before != self.sources
    }

    /// Keeps the multiaddrs named last. Says whether there was a new one.
    pub(super) fn learn_multiaddrs(&mut self, multiaddrs: Vec<Multiaddr>) -> bool {
        let mut learnt = false;
        for multiaddr in multiaddrs.into_iter().take(PEER_MULTIADDRS_MAX).rev() {
            match self.multiaddrs.iter().position(|known| *known == multiaddr) {
                Some(known) => self.multiaddrs[..=known].rotate_right(1),
                None => {
                    self.multiaddrs.insert(0, multiaddr);
                    learnt = true;
                }
            }
        }
        self.multiaddrs.truncate(PEER_MULTIADDRS_MAX);
        learnt
    }

    /// Adds topics that a look-up named. Says whether there was a new one.
    pub(super) fn add_topics(&mut self, topics: &[TopicHint]) -> bool {
        let before = self.topics.len();
        for topic in topics {
            if self.topics.len() < CANDIDATE_TOPICS_MAX && !self.topics.contains(topic) {
                self.topics.push(*topic);
            }
        }
        self.topics.len() > before
    }

    /// Takes the topics of a record, unless a newer record named others. Says whether they changed.
    pub(super) fn set_topics(&mut self, topics: &[TopicHint], sequence: u64) -> bool {
        let topics = &topics[..topics.len().min(CANDIDATE_TOPICS_MAX)];
        if sequence < self.sequence || (sequence == self.sequence && self.met) || self.topics == topics {
            return false;
        }
        self.sequence = sequence;
        self.topics = topics.to_vec();
        true
    }

    /// Takes the topics that the peer itself told us as a neighbour, in its record `sequence`.
    pub(super) fn set_topics_told(&mut self, topics: &[TopicHint], sequence: u64) {
        self.topics = topics[..topics.len().min(CANDIDATE_TOPICS_MAX)].to_vec();
        self.sequence = self.sequence.max(sequence);
    }

    /// Whether a source named the peer for this mesh.
    pub(super) fn is_named(&self) -> bool {
        self.sources.any(Source::named)
    }

    /// Whether the user named the peer.
    pub(super) fn is_given(&self) -> bool {
        self.sources
            .any(|source| matches!(source, Source::Bootstrap | Source::Ticket))
    }

    /// Whether the peer is kept however often it fails.
    fn is_sticky(&self) -> bool {
        self.is_given() || self.sources.any(|source| source == Source::Cache)
    }

    /// Whether the dial budget is not for this peer: the user asked for it, or there is nobody else.
    pub(super) fn dials_freely(&self, alone: bool) -> bool {
        self.is_given() || (alone && self.is_sticky())
    }

    pub(super) fn has_refused(&self) -> bool {
        self.refusals > 0
    }

    /// Whether the peer is to be approached even by a node that lacks nothing.
    pub(super) fn is_duty(&self, alone: bool, now: Instant) -> bool {
        !self.let_go
            && (self.is_given() || (alone && self.is_sticky()) || self.lost_until.is_some_and(|until| until > now))
    }

    /// When the peer may be approached; never, if it was asked in vain on a connection that stands.
    pub(super) fn ready_at(&self) -> Option<Instant> {
        (!self.busy && !self.hushed).then_some(self.retry_at)
    }

    /// Failures and refusals in a row: those with fewer come first.
    pub(super) fn troubles(&self) -> u32 {
        self.failures.saturating_add(self.refusals)
    }

    /// Not reached, or no answer.
    pub(super) fn failed(&mut self, alone: bool, now: Instant, rng: &mut StdRng) {
        self.failures = self.failures.saturating_add(1);
        self.failed_at = Some(now);
        let lost = self.lost_until.is_some_and(|until| until > now);
        let backoff = match () {
            () if self.is_sticky() || lost => STICKY_BACKOFF,
            () if self.met || alone => MET_BACKOFF,
            () => HEARSAY_BACKOFF,
        };
        self.retry_at = now + backoff.delay(self.failures, rng);
    }

    /// Answered, and did not let us in.
    pub(super) fn refused(&mut self, now: Instant, rng: &mut StdRng) {
        self.hushed = !self.is_named() && !self.is_given();
        self.knocked_in_vain(now, rng);
    }

    /// Does not speak admission.
    pub(super) fn does_not_speak(&mut self, now: Instant, rng: &mut StdRng) {
        self.hushed = !self.is_named();
        self.knocked_in_vain(now, rng);
        self.mute = true;
    }

    /// Speaks admission now: it joined its first mesh, which may be ours. Says whether that changes what to do.
    pub(super) fn speaks(&mut self, now: Instant, rng: &mut StdRng) -> bool {
        if !std::mem::take(&mut self.mute) {
            return false;
        }
        self.hushed = false;
        self.refusals = 0;
        // All its peers hear of it at once.
        self.retry_at = now + SPEAKS_PAUSE_MAX.mul_f64(rng.random_range(0.0..=1.0));
        true
    }

    fn knocked_in_vain(&mut self, now: Instant, rng: &mut StdRng) {
        self.mute = false;
        self.reached = true;
        self.failures = 0;
        self.failed_at = None;
        self.refusals = self.refusals.saturating_add(1);
        self.lost_until = None;
        self.retry_at = now + REFUSED_BACKOFF.delay(self.refusals, rng);
    }

    /// Its last connection closed.
    pub(super) fn disconnected(&mut self, alone: bool, now: Instant) {
        if !std::mem::take(&mut self.hushed) {
            return;
        }
        self.retry_at = match () {
            // A helper: without it a lonely node may find nobody.
            () if alone && self.is_given() => now + HUSHED_PAUSE,
            () if alone => self.retry_at.max(now + HUSHED_PAUSE),
            () => self.retry_at.max(now + HUSHED_PAUSE_JOINED),
        };
    }

    /// Became a neighbour.
    pub(super) fn admitted(&mut self) {
        self.met = true;
        self.reached = true;
        self.hushed = false;
        self.mute = false;
        self.let_go = false;
        self.busy = false;
        self.failed_at = None;
        self.refusals = 0;
        self.lost_until = None;
    }

    /// Was a neighbour for `stay`, and is gone.
    pub(super) fn lost(&mut self, stay: Duration, now: Instant, rng: &mut StdRng) {
        self.failures = if stay >= STEADY_AFTER {
            1
        } else {
            self.failures.saturating_add(1)
        };
        self.lost_until = Some(now + LOST_FOR);
        self.retry_at = now + STICKY_BACKOFF.delay(self.failures, rng);
    }

    /// Was a neighbour, and one of us let the other go.
    pub(super) fn let_go(&mut self, now: Instant) {
        self.failures = 0;
        self.let_go = true;
        self.retry_at = now + LET_GO_PAUSE;
    }

    /// The node is alone: do not wait longer than `delay` for a peer that may be back.
    fn hasten(&mut self, delay: Duration, now: Instant) {
        if self.refusals == 0 {
            self.retry_at = self.retry_at.min(now + delay);
        }
    }

    fn is_stale(&self, now: Instant) -> bool {
        !self.is_sticky()
            && !self.met
            && self.troubles() >= STALE_FAILURES
            && now.saturating_duration_since(self.named_at) >= STALE_AFTER
    }

    /// How dispensable: former neighbours least, hearsay that failed most; what outsiders can put into Kademlia before
    /// what members say.
    fn dispensability(&self) -> (bool, u32, bool) {
        (
            !self.met,
            self.troubles(),
            !self.sources.any(|source| source.named() && source != Source::Kademlia),
        )
    }
}

/// All candidates of one mesh.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    peers: BTreeMap<PeerId, Candidate>,
}

impl Candidates {
    pub(super) fn get(&self, peer: &PeerId) -> Option<&Candidate> {
        self.peers.get(peer)
    }

    pub(super) fn get_mut(&mut self, peer: &PeerId) -> Option<&mut Candidate> {
        self.peers.get_mut(peer)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&PeerId, &Candidate)> {
        self.peers.iter()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.peers.len()
    }

    pub(super) fn take(&mut self, peer: &PeerId) -> Option<Candidate> {
        self.peers.remove(peer)
    }

    /// Puts in a candidate; when there are too many the most dispensable one goes, which may be the new one.
    pub(super) fn put(&mut self, peer: PeerId, candidate: Candidate, rng: &mut StdRng) {
        self.peers.insert(peer, candidate);
        if self.peers.len() <= CANDIDATES_MAX {
            return;
        }
        let sticky = self.peers.values().filter(|candidate| candidate.is_sticky()).count();
        let gone = self
            .peers
            .iter()
            .filter(|(_, candidate)| !candidate.busy && (sticky > STICKY_MAX || !candidate.is_sticky()))
            .max_by_key(|(_, candidate)| (candidate.dispensability(), rng.random::<u32>()))
            .map(|(peer, _)| *peer);
        // Approaches and sticky peers are far fewer than candidates, so that there is always one to go.
        if let Some(gone) = gone {
            self.peers.remove(&gone);
        }
    }

    /// The node has become alone: try all again within the longest delay of a sticky one.
    pub(super) fn hasten(&mut self, now: Instant, rng: &mut StdRng) {
        for candidate in self.peers.values_mut() {
            let delay = STICKY_BACKOFF.max.mul_f64(rng.random());
            candidate.hasten(delay, now);
        }
    }

    /// Forgets hearsay that leads nowhere.
    pub(super) fn forget_stale(&mut self, now: Instant) {
        self.peers
            .retain(|_, candidate| candidate.busy || !candidate.is_stale(now));
    }
}
