//! Members of every kind around one machine, in virtual time.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use libp2p::PeerId;
use rand::{SeedableRng, rngs::StdRng};

use crate::core::blobs::{Action, ChunkSet, Claim, Fetcher, Input, Question, Reply};
use crate::types::BlobId;

/// When the stream below gives up.
const TIMEOUT: Duration = Duration::from_secs(20);
const QUICK: Duration = Duration::from_millis(10);

#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// Holds all, and takes so long.
    Honest(Duration),
    /// Holds the chunks of which the bit at their number modulo 64 is set.
    Part(u64),
    /// Says it holds all, and gives other bytes.
    Liar,
    /// Says it holds all, and then nothing.
    Silent,
    /// Leaves after so many answers.
    Vanishing(usize),
    /// Never has time.
    Busy,
    /// Says it holds all, and then that it does not.
    Boaster,
    /// Holds nothing.
    Empty,
}

pub(super) struct World {
    fetcher: Fetcher,
    start: Instant,
    now: Instant,
    held: BTreeMap<BlobId, Option<ChunkSet>>,
    chunks: u32,
    blob: BlobId,
    members: Vec<(PeerId, Kind)>,
    here: BTreeSet<PeerId>,
    due: BTreeMap<(Instant, u64), (PeerId, BlobId, Question, Reply)>,
    next: u64,
    finished: bool,
    pub(super) given: BTreeMap<PeerId, usize>,
    pub(super) blamed: Vec<PeerId>,
    pub(super) again: usize,
    pub(super) lies: usize,
    pub(super) asked: usize,
    pub(super) look_ups: usize,
    pub(super) chunks_most: usize,
    pub(super) outlines_most: usize,
    pub(super) member_most: usize,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:?} after {:?}: given {:?}, blamed {:?}, {} again, {} lies, {} asked, most {} {} {}",
            self.members,
            self.now - self.start,
            self.given,
            self.blamed,
            self.again,
            self.lies,
            self.asked,
            self.chunks_most,
            self.outlines_most,
            self.member_most
        )
    }
}

impl World {
    pub(super) fn new(seed: u64, chunks: u32, members: Vec<Kind>) -> Self {
        Self::begun(seed, chunks, None, members)
    }

    pub(super) fn resumed(seed: u64, held: ChunkSet, members: Vec<Kind>) -> Self {
        Self::begun(seed, held.chunks(), Some(held), members)
    }

    fn begun(seed: u64, chunks: u32, held: Option<ChunkSet>, members: Vec<Kind>) -> Self {
        let now = Instant::now();
        let blob = BlobId::of(b"the one");
        let mut world = Self {
            fetcher: Fetcher::new(StdRng::seed_from_u64(seed)),
            start: now,
            now,
            held: BTreeMap::from([(blob, held.clone())]),
            chunks,
            blob,
            members: Vec::new(),
            here: BTreeSet::new(),
            due: BTreeMap::new(),
            next: 0,
            finished: false,
            given: BTreeMap::new(),
            blamed: Vec::new(),
            again: 0,
            lies: 0,
            asked: 0,
            look_ups: 0,
            chunks_most: 0,
            outlines_most: 0,
            member_most: 0,
        };
        members.into_iter().for_each(|kind| world.add(kind));
        world.hear(Input::Wanted { blob, held });
        world
    }

    pub(super) fn more_blobs(&mut self, count: u32, chunks: u32) {
        assert_eq!(chunks, self.chunks);
        for number in 0..count {
            let blob = BlobId::of(&number.to_le_bytes());
            self.held.insert(blob, None);
            self.hear(Input::Wanted { blob, held: None });
        }
    }

    pub(super) fn add(&mut self, kind: Kind) {
        self.members.push((PeerId::random(), kind));
        self.join(self.members.len() - 1);
    }

    pub(super) fn join(&mut self, at: usize) {
        let peer = self.members[at].0;
        self.here.insert(peer);
        self.hear(Input::Joined { peer });
    }

    pub(super) fn leave(&mut self, at: usize) {
        let peer = self.members[at].0;
        self.here.remove(&peer);
        self.due.retain(|_, (from, ..)| *from != peer);
        self.hear(Input::Left { peer });
    }

    pub(super) fn kind(&self, peer: &PeerId) -> Kind {
        self.members.iter().find(|(known, _)| known == peer).unwrap().1
    }

    /// Runs until the first blob is whole, and says how long it took; nothing if not within this time.
    pub(super) fn run(&mut self, patience: Duration) -> Option<Duration> {
        let (start, end) = (self.now, self.now + patience);
        while !self.finished {
            let answer = self.due.keys().next().map(|(at, _)| *at);
            let deadline = self.fetcher.next_deadline();
            let at = answer.into_iter().chain(deadline).min().filter(|at| *at <= end);
            let Some(at) = at else {
                self.now = end;
                return None;
            };
            assert!(
                deadline.is_none_or(|deadline| deadline > self.now),
                "a deadline that has passed"
            );
            self.now = at;
            match self.due.first_entry().filter(|entry| entry.key().0 == at) {
                Some(entry) => {
                    let (peer, blob, question, reply) = entry.remove();
                    self.answer(peer, blob, question, reply);
                }
                None => self.hear(Input::TimedOut),
            }
        }
        assert!(self.held[&self.blob].as_ref().is_some_and(ChunkSet::is_full));
        Some(self.now - start)
    }

    fn answer(&mut self, peer: PeerId, blob: BlobId, question: Question, mut reply: Reply) {
        let held = self.held.get_mut(&blob).unwrap();
        match (&mut reply, question) {
            (Reply::Opened(set), _) => {
                let held = held.get_or_insert_with(|| ChunkSet::none(self.chunks));
                held.insert(self.chunks - 1);
                *set = held.clone();
            }
            (Reply::Stored, Question::Chunk(index)) => {
                self.again += usize::from(!held.as_mut().unwrap().insert(index));
                *self.given.entry(peer).or_default() += 1;
            }
            _ => {}
        }
        self.lies += usize::from(reply == Reply::Wrong);
        self.hear(Input::Answered {
            blob,
            peer,
            question,
            reply,
        });
        let at = self.members.iter().position(|(known, _)| *known == peer).unwrap();
        if let Kind::Vanishing(left) = &mut self.members[at].1 {
            if *left == 0 {
                return self.leave(at);
            }
            *left -= 1;
        }
    }

    fn hear(&mut self, input: Input) {
        let mut out = Vec::new();
        self.fetcher.handle(input, self.now, &mut out);
        for action in out {
            match action {
                Action::Ask { blob, peer, question } => self.ask(blob, peer, question),
                Action::Blame { peer, .. } => self.blamed.push(peer),
                Action::Finished { blob } => self.finished |= blob == self.blob,
                Action::LookUp { .. } => self.look_ups += 1,
            }
        }
        let of =
            |wanted: fn(&Question) -> bool| self.due.values().filter(|(_, _, question, _)| wanted(question)).count();
        self.chunks_most = self
            .chunks_most
            .max(of(|question| matches!(question, Question::Chunk(_))));
        self.outlines_most = self.outlines_most.max(of(|question| *question == Question::Outline));
        for (peer, _) in &self.members {
            let of_peer = self.due.values().filter(|(asked, ..)| asked == peer).count();
            self.member_most = self.member_most.max(of_peer);
        }
    }

    fn ask(&mut self, blob: BlobId, peer: PeerId, question: Question) {
        assert!(self.here.contains(&peer), "only who is there is asked");
        assert!(!self.blamed.contains(&peer), "a liar is not asked");
        self.asked += 1;
        let good = || match question {
            Question::Have => Reply::Holding(Claim::All),
            Question::Outline => Reply::Opened(ChunkSet::none(self.chunks)),
            Question::Chunk(index) => {
                assert!(index < self.chunks - 1, "the last comes with the outline");
                Reply::Stored
            }
        };
        let (after, reply) = match (self.kind(&peer), question) {
            (Kind::Honest(delay), _) => (delay, good()),
            (Kind::Vanishing(_), _) => (QUICK, good()),
            (Kind::Part(mask), Question::Have) => {
                let mut part = ChunkSet::none(self.chunks);
                for index in (0..self.chunks).filter(|index| mask >> (index % 64) & 1 == 1) {
                    part.insert(index);
                }
                part.insert(self.chunks - 1);
                (QUICK, Reply::Holding(part.to_claim()))
            }
            (Kind::Part(mask), Question::Chunk(index)) if mask >> (index % 64) & 1 == 0 => (QUICK, Reply::Missing),
            (Kind::Part(_), _) => (QUICK, good()),
            (Kind::Liar | Kind::Silent | Kind::Boaster, Question::Have) => (QUICK, good()),
            (Kind::Liar, _) => (QUICK, Reply::Wrong),
            (Kind::Silent, _) => (TIMEOUT, Reply::Failed),
            (Kind::Boaster, _) | (Kind::Empty, _) => (QUICK, Reply::Missing),
            (Kind::Busy, _) => (QUICK, Reply::Busy),
        };
        self.next += 1;
        self.due
            .insert((self.now + after, self.next), (peer, blob, question, reply));
    }
}
