//! One blob that is wanted: who says to hold what of it, what was asked of whom, and what to ask next.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use libp2p::PeerId;
use rand::{RngExt, rngs::StdRng};

use super::{ChunkSet, Claim, Progress, Question, Reply};

/// When what was asked of one member is asked of another as well.
const ASK_ANOTHER: Duration = Duration::from_secs(2);
/// Members that are asked for the same at once: that many may be silent together.
const ASKED_MAX: usize = 4;
/// Who holds a part is asked again which, after this.
const REASK: Duration = Duration::from_secs(2);
/// Who holds nothing, or did not answer, is asked again after 1, 2, 4, 5, 5 … s.
const BACK_OFF: Duration = Duration::from_secs(1);
const BACK_OFF_MAX: Duration = Duration::from_secs(5);
/// Who is busy, after 0.2, 0.4 … 3.2 s.
const BUSY: Duration = Duration::from_millis(200);
/// Doublings of these.
const DOUBLINGS_MAX: u32 = 4;
/// When others are looked for while nobody known holds anything; then after twice as long, up to 60 s.
const LOOK_UP: Duration = Duration::from_secs(2);
const LOOK_UP_MAX: Duration = Duration::from_secs(60);

/// A member as a source of the blob.
#[derive(Debug)]
struct Source {
    claim: Option<Claim>,
    /// When to ask what it holds; nothing while it is asked, or once it holds all.
    ask_at: Option<Instant>,
    /// Answers in a row that were of no use.
    failures: u32,
    /// It is asked for nothing before.
    paused_until: Instant,
}

#[derive(Debug)]
struct Asked {
    peer: PeerId,
    at: Instant,
}

/// A blob that is wanted.
#[derive(Debug)]
pub(super) struct Fetch {
    /// What is held of it, once there is an outline.
    held: Option<ChunkSet>,
    /// Outline and chunks that were asked for, at most [`ASKED_MAX`] times each.
    asked: BTreeMap<Question, Vec<Asked>>,
    /// As many as there are members.
    sources: BTreeMap<PeerId, Source>,
    look_up_at: Instant,
    look_ups: u32,
}

impl Fetch {
    pub(super) fn new(held: Option<ChunkSet>, now: Instant) -> Self {
        Self {
            held,
            asked: BTreeMap::new(),
            sources: BTreeMap::new(),
            look_up_at: now + LOOK_UP,
            look_ups: 0,
        }
    }

    pub(super) fn is_finished(&self) -> bool {
        self.held.as_ref().is_some_and(ChunkSet::is_full)
    }

    pub(super) fn progress(&self) -> Progress {
        Progress {
            chunks: self.held.as_ref().map(|held| (held.held(), held.chunks())),
            holders: self.sources.values().filter(|source| source.claim.is_some()).count(),
        }
    }

    pub(super) fn joined(&mut self, peer: PeerId, now: Instant) {
        self.sources.entry(peer).or_insert(Source {
            claim: None,
            ask_at: Some(now),
            failures: 0,
            paused_until: now,
        });
    }

    pub(super) fn left(&mut self, peer: PeerId) {
        self.sources.remove(&peer);
        self.asked.retain(|_, asked| {
            asked.retain(|asked| asked.peer != peer);
            !asked.is_empty()
        });
    }

    /// Notes an answer; how long it took, if it was waited for.
    pub(super) fn answered(
        &mut self,
        peer: PeerId,
        question: Question,
        reply: Reply,
        now: Instant,
    ) -> Option<Duration> {
        let took = self.take_asked(peer, question, now);
        // What was stored counts, even if its giver has left since.
        match (&mut self.held, &reply, question) {
            (held @ None, Reply::Opened(stored), _) => *held = Some(stored.clone()),
            (Some(held), Reply::Stored, Question::Chunk(index)) => {
                held.insert(index);
            }
            _ => {}
        }
        let source = self.sources.get_mut(&peer)?;
        let doublings = source.failures.min(DOUBLINGS_MAX);
        let wait = match reply {
            Reply::Holding(claim) => {
                source.ask_at = (claim != Claim::All).then_some(now + REASK);
                source.claim = Some(claim);
                return took;
            }
            Reply::Opened(_) | Reply::Stored | Reply::Wrong => {
                source.failures = 0;
                return took;
            }
            Reply::Missing => {
                source.claim = None;
                (BACK_OFF * (1 << doublings)).min(BACK_OFF_MAX)
            }
            Reply::Busy => BUSY * (1 << doublings),
            Reply::Failed => (BACK_OFF * (1 << doublings)).min(BACK_OFF_MAX),
        };
        // Several questions that failed together count once.
        if source.paused_until <= now {
            source.failures += 1;
            source.paused_until = now + wait;
        }
        if question == Question::Have || source.claim.is_none() {
            source.ask_at = Some(now + wait);
        }
        took
    }

    fn take_asked(&mut self, peer: PeerId, question: Question, now: Instant) -> Option<Duration> {
        let asked = self.asked.get_mut(&question)?;
        let at = asked.iter().position(|asked| asked.peer == peer)?;
        let took = now.saturating_duration_since(asked.swap_remove(at).at);
        if asked.is_empty() {
            self.asked.remove(&question);
        }
        Some(took)
    }

    /// Whether a member is to be asked what it holds.
    pub(super) fn wants_claim(&self, peer: &PeerId, now: Instant) -> bool {
        let source = self.sources.get(peer);
        source.and_then(|source| source.ask_at).is_some_and(|at| at <= now)
    }

    /// What a member is to be asked for, if anything.
    pub(super) fn wants(&self, peer: &PeerId, now: Instant, rng: &mut StdRng) -> Option<Question> {
        let source = self.sources.get(peer).filter(|source| source.paused_until <= now)?;
        let claim = source.claim.as_ref()?;
        // Whoever owes an answer for long gets no more to hold up.
        let mut owed = self.asked.values().flatten().filter(|asked| asked.peer == *peer);
        if owed.any(|asked| asked.at + ASK_ANOTHER <= now) {
            return None;
        }
        let Some(held) = &self.held else {
            return self.may_ask(Question::Outline, peer, now).then_some(Question::Outline);
        };
        // The last chunk came with the outline. The others in any order, so that those who fetch together hold different ones.
        let before_last = held.chunks() - 1;
        let start = rng.random_range(0..held.chunks());
        let missing = held.missing_from(start).filter(|index| *index < before_last);
        let mut fresh = missing.filter(|index| claim.contains(*index)).map(Question::Chunk);
        let fresh = fresh.find(|question| !self.asked.contains_key(question));
        fresh.or_else(|| {
            let mut late = self.asked.keys().filter(|question| match question {
                Question::Chunk(index) => claim.contains(*index) && !held.contains(*index),
                _ => false,
            });
            late.find(|question| self.may_ask(**question, peer, now)).copied()
        })
    }

    fn may_ask(&self, question: Question, peer: &PeerId, now: Instant) -> bool {
        let Some(asked) = self.asked.get(&question) else {
            return true;
        };
        asked.len() < ASKED_MAX
            && asked
                .iter()
                .all(|asked| asked.peer != *peer && asked.at + ASK_ANOTHER <= now)
    }

    pub(super) fn ask(&mut self, peer: PeerId, question: Question, now: Instant) {
        if question != Question::Have {
            return self.asked.entry(question).or_default().push(Asked { peer, at: now });
        }
        if let Some(source) = self.sources.get_mut(&peer) {
            source.ask_at = None;
        }
    }

    /// Whether to look for other members now.
    pub(super) fn looks_up(&mut self, now: Instant) -> bool {
        let looks_up = self.look_up_at <= now;
        if looks_up {
            self.look_ups += 1;
            let wait = LOOK_UP * (1 << self.look_ups.min(DOUBLINGS_MAX + 1));
            self.look_up_at = now + wait.min(LOOK_UP_MAX);
        }
        looks_up && self.sources.values().all(|source| source.claim.is_none())
    }

    /// When time alone will change what is asked. What waits for an answer is not in it.
    pub(super) fn next_deadline(&self, now: Instant) -> Option<Instant> {
        let sources = self.sources.values();
        let sources = sources.flat_map(|source| [source.ask_at, source.claim.as_ref().map(|_| source.paused_until)]);
        let another = self.asked.values().flatten().map(|asked| asked.at + ASK_ANOTHER);
        let all = sources.flatten().chain(another).chain([self.look_up_at]);
        all.filter(|at| *at > now).min()
    }
}
