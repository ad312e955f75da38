//! All blobs of a mesh that are wanted: who is asked for which of them, within what each member and this node may have under
//! way; who is slow; who lies. It looks at no bytes.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use libp2p::PeerId;
use rand::{RngExt, rngs::StdRng};

use super::{Action, FETCHES_MAX, Input, Progress, Question, Reply, fetch::Fetch, serving::SERVING_MEMBER_MAX};
use crate::types::BlobId;

/// Outlines and chunks that one member is asked for at once, to begin with; more while it is fast, fewer while it is not.
const WINDOW: usize = 4;
const WINDOW_MAX: usize = 8;
/// A member is slow whose answers take longer.
const SLOW: Duration = Duration::from_secs(1);
/// All questions under way with one member: as many as it answers at once.
const MEMBER_QUESTIONS_MAX: usize = SERVING_MEMBER_MAX;
/// Chunks under way, of all members: 12 MiB.
const CHUNKS_MAX: usize = 96;
/// Outlines under way, of all members: 9 MiB, if they are the largest.
const OUTLINES_MAX: usize = 8;
/// Liars that are remembered.
const LIARS_MAX: usize = 1_024;

/// A member that can be asked.
#[derive(Debug)]
struct Member {
    window: usize,
    /// What of [`Fetcher::asked`] is its, and asks what it holds.
    claims: usize,
    /// The rest.
    gifts: usize,
}

/// The blobs that are wanted.
#[derive(Debug)]
pub struct Fetcher {
    rng: StdRng,
    members: BTreeMap<PeerId, Member>,
    /// At most [`FETCHES_MAX`].
    fetches: BTreeMap<BlobId, Fetch>,
    /// Questions under way.
    asked: BTreeSet<(PeerId, BlobId, Question)>,
    /// What of them are outlines, and chunks.
    outlines: usize,
    chunks: usize,
    liars: VecDeque<PeerId>,
    deadline: Option<Instant>,
}

impl Fetcher {
    /// Nothing is wanted, and nobody known. The randomness has those who fetch together begin with different chunks.
    #[must_use]
    pub fn new(rng: StdRng) -> Self {
        Self {
            rng,
            members: BTreeMap::new(),
            fetches: BTreeMap::new(),
            asked: BTreeSet::new(),
            outlines: 0,
            chunks: 0,
            liars: VecDeque::new(),
            deadline: None,
        }
    }

    /// Takes in what happened and says what to do.
    pub fn handle(&mut self, input: Input, now: Instant, out: &mut Vec<Action>) {
        match input {
            Input::Wanted { blob, held } => {
                if self.fetches.len() >= FETCHES_MAX || self.fetches.contains_key(&blob) {
                    return;
                }
                let mut fetch = Fetch::new(held, now);
                let honest = self.members.keys().filter(|peer| !self.liars.contains(peer));
                honest.for_each(|peer| fetch.joined(*peer, now));
                self.fetches.insert(blob, fetch);
            }
            Input::Unwanted { blob } => drop(self.fetches.remove(&blob)),
            Input::Joined { peer } => {
                let window = WINDOW;
                self.members.entry(peer).or_insert(Member {
                    window,
                    claims: 0,
                    gifts: 0,
                });
                if !self.liars.contains(&peer) {
                    self.fetches.values_mut().for_each(|fetch| fetch.joined(peer, now));
                }
            }
            Input::Left { peer } => {
                let (of_peer, others) = std::mem::take(&mut self.asked)
                    .into_iter()
                    .partition(|(asked, ..)| *asked == peer);
                self.asked = others;
                for (.., question) in BTreeSet::into_iter(of_peer) {
                    self.count(peer, question, |count| *count -= 1);
                }
                self.members.remove(&peer);
                self.fetches.values_mut().for_each(|fetch| fetch.left(peer));
            }
            Input::Answered {
                blob,
                peer,
                question,
                reply,
            } => self.answered(blob, peer, question, reply, now, out),
            Input::TimedOut => {}
        }
        self.run(now, out);
    }

    /// When to hand in `TimedOut`.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Whether one more blob can be wanted.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.fetches.len() < FETCHES_MAX
    }

    /// How far a blob is that is wanted.
    #[must_use]
    pub fn progress(&self, blob: &BlobId) -> Option<Progress> {
        self.fetches.get(blob).map(Fetch::progress)
    }

    fn answered(
        &mut self,
        blob: BlobId,
        peer: PeerId,
        question: Question,
        reply: Reply,
        now: Instant,
        out: &mut Vec<Action>,
    ) {
        if self.asked.remove(&(peer, blob, question)) {
            self.count(peer, question, |count| *count -= 1);
        }
        let is_lie = reply == Reply::Wrong;
        let is_good = matches!(reply, Reply::Opened(_) | Reply::Stored);
        let is_lost = reply == Reply::Failed;
        let fetch = self.fetches.get_mut(&blob);
        let took = fetch.and_then(|fetch| fetch.answered(peer, question, reply, now));
        if let (Some(took), Some(member)) = (took, self.members.get_mut(&peer)) {
            match is_good && took <= SLOW {
                true => member.window = WINDOW_MAX.min(member.window + 1),
                false if is_good || is_lost => member.window = 1.max(member.window / 2),
                false => {}
            }
        }
        if is_lie && !self.liars.contains(&peer) {
            if self.liars.len() == LIARS_MAX {
                self.liars.pop_front();
            }
            self.liars.push_back(peer);
            self.fetches.values_mut().for_each(|fetch| fetch.left(peer));
            out.push(Action::Blame { blob, peer });
        }
    }

    fn run(&mut self, now: Instant, out: &mut Vec<Action>) {
        self.fetches.retain(|blob, fetch| {
            let is_finished = fetch.is_finished();
            out.extend(is_finished.then_some(Action::Finished { blob: *blob }));
            !is_finished
        });
        // In another order each time: none of them waits for all the others.
        let mut blobs: Vec<BlobId> = self.fetches.keys().copied().collect();
        let mut peers: Vec<PeerId> = self.members.keys().copied().collect();
        if !blobs.is_empty() && !peers.is_empty() {
            let turn = self.rng.random_range(0..blobs.len());
            blobs.rotate_left(turn);
            let turn = self.rng.random_range(0..peers.len());
            peers.rotate_left(turn);
        }
        for blob in blobs {
            for peer in &peers {
                while let Some(question) = self.next_question(&blob, peer, now) {
                    self.asked.insert((*peer, blob, question));
                    self.count(*peer, question, |count| *count += 1);
                    if let Some(fetch) = self.fetches.get_mut(&blob) {
                        fetch.ask(*peer, question, now);
                    }
                    out.push(Action::Ask {
                        blob,
                        peer: *peer,
                        question,
                    });
                }
            }
            if self.fetches.get_mut(&blob).is_some_and(|fetch| fetch.looks_up(now)) {
                out.push(Action::LookUp { blob });
            }
        }
        self.deadline = self.fetches.values().filter_map(|fetch| fetch.next_deadline(now)).min();
    }

    fn next_question(&mut self, blob: &BlobId, peer: &PeerId, now: Instant) -> Option<Question> {
        let (fetch, member) = (self.fetches.get(blob)?, self.members.get(peer)?);
        if member.claims + member.gifts >= MEMBER_QUESTIONS_MAX {
            return None;
        }
        let question = if fetch.wants_claim(peer, now) {
            Question::Have
        } else if member.gifts < member.window {
            fetch.wants(peer, now, &mut self.rng)?
        } else {
            return None;
        };
        let has_room = match question {
            Question::Have => true,
            Question::Outline => self.outlines < OUTLINES_MAX,
            Question::Chunk(_) => self.chunks < CHUNKS_MAX,
        };
        // One who wanted the blob before, and gave up, may have asked the same just now.
        (has_room && !self.asked.contains(&(*peer, *blob, question))).then_some(question)
    }

    /// Changes the counts that a question is in.
    fn count(&mut self, peer: PeerId, question: Question, change: impl Fn(&mut usize)) {
        match question {
            Question::Have => {}
            Question::Outline => change(&mut self.outlines),
            Question::Chunk(_) => change(&mut self.chunks),
        }
        if let Some(member) = self.members.get_mut(&peer) {
            change(match question {
                Question::Have => &mut member.claims,
                _ => &mut member.gifts,
            });
        }
    }
}
