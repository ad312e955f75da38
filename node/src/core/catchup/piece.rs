//! One range of one run on its way in: what of it is there, who was asked, and what nobody has. Not whom to ask.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::Arc,
    time::Instant,
};

use libp2p::PeerId;

use super::{RequestId, Run, reader::Read, repair::round_delay, spans::Spans};
use crate::core::stream::Frame;

/// When a peer is in so much trouble, it counts as one that does not have what it is asked for.
const TROUBLE_MAX: u32 = 8;
/// What a failed request adds.
pub(super) const TROUBLE_FAILED: u32 = 4;
/// What a busy answer adds.
pub(super) const TROUBLE_BUSY: u32 = 1;

#[derive(Debug)]
pub(super) struct Held {
    pub(super) frame: Arc<Frame>,
    pub(super) from: PeerId,
}

impl Held {
    pub(super) fn end(&self) -> u64 {
        self.frame.sequences().end
    }
}

#[derive(Debug)]
pub(super) struct Piece {
    pub(super) run: Run,
    /// The next to leave.
    pub(super) cursor: u64,
    end: u64,
    held: BTreeMap<u64, Held>,
    given_up: Spans,
    asked: Option<(RequestId, PeerId)>,
    /// Who does not have the sequence number below; forgotten as soon as another one is looked for.
    tried: BTreeSet<PeerId>,
    trouble: BTreeMap<PeerId, u32>,
    looked_for: u64,
    rounds: u32,
    /// When all are asked once more.
    pub(super) round_at: Option<Instant>,
}

/// When all are asked once more for what nobody had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Round {
    Now,
    Later,
    Never,
}

impl Piece {
    pub(super) fn new(run: Run, wanted: Range<u64>) -> Self {
        Self {
            run,
            cursor: wanted.start,
            end: wanted.end,
            held: BTreeMap::new(),
            given_up: Spans::default(),
            asked: None,
            tried: BTreeSet::new(),
            trouble: BTreeMap::new(),
            looked_for: wanted.start,
            rounds: 0,
            round_at: None,
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.cursor >= self.end
    }

    pub(super) fn is_asking(&self) -> bool {
        self.asked.is_some()
    }

    pub(super) fn asked_as(&self, request: RequestId) -> Option<PeerId> {
        self.asked.filter(|(asked, _)| *asked == request).map(|(_, peer)| peer)
    }

    pub(super) fn asking(&mut self, request: RequestId, peer: PeerId) {
        self.asked = Some((request, peer));
    }

    /// There is nothing at or after this.
    pub(super) fn cut(&mut self, end: u64) {
        self.end = self.end.min(end.max(self.cursor));
    }

    /// Takes frames; how many bytes they hold.
    pub(super) fn answered(&mut self, peer: PeerId, frames: Vec<Frame>) -> usize {
        self.asked = None;
        let mut bytes = 0;
        for frame in frames {
            let sequences = frame.sequences();
            if sequences.end <= self.cursor || sequences.start >= self.end || self.held.contains_key(&sequences.start) {
                continue;
            }
            bytes += frame.wire.len();
            let held = Held {
                frame: Arc::new(frame),
                from: peer,
            };
            self.held.insert(sequences.start, held);
        }
        if self.holding(self.looked_for).is_none() {
            self.tried.insert(peer);
        }
        bytes
    }

    pub(super) fn failed(&mut self, peer: PeerId, trouble: u32) {
        self.asked = None;
        let known = self.trouble.entry(peer).or_default();
        *known += trouble;
        if *known >= TROUBLE_MAX {
            self.tried.insert(peer);
        }
    }

    /// What is neither held nor given up, first of all; `elsewhere` knows what else is held.
    pub(super) fn hole(&self, elsewhere: impl Fn(u64, u64) -> Option<Range<u64>>) -> Option<Range<u64>> {
        let mut at = self.cursor;
        while at < self.end {
            let lost = self.given_up.run_from(at).map(|span| span.end);
            let here = self.holding(at).map(Held::end);
            let there = elsewhere(at, at + 1).map(|span| span.end);
            if let Some(end) = lost.max(here).max(there) {
                at = end;
                continue;
            }
            let next = self.held.range(at..).next().map(|(first, _)| *first);
            let next = next.into_iter().chain(self.given_up.next_from(at));
            let next = next.chain(elsewhere(at, self.end).map(|span| span.start)).min();
            return Some(at..next.unwrap_or(self.end).min(self.end));
        }
        None
    }

    /// Whether something lies before this that is still to leave.
    pub(super) fn holds_before(&self, sequence: u64) -> bool {
        self.held.range(..sequence).next().is_some()
    }

    /// When the first frame behind this was sent, of those that are here.
    pub(super) fn sent_after(&self, sequence: u64) -> Option<u64> {
        self.held.range(sequence..).next().map(|(_, held)| held.frame.sent_us)
    }

    /// Whether this peer does not have what is looked for.
    pub(super) fn is_tried(&self, peer: &PeerId) -> bool {
        self.tried.contains(peer)
    }

    pub(super) fn trouble(&self, peer: &PeerId) -> u32 {
        self.trouble.get(peer).copied().unwrap_or(0)
    }

    /// Whether all were asked for what is looked for before.
    pub(super) fn is_asked_again(&self) -> bool {
        self.rounds > 0
    }

    /// Nobody has what is looked for, but it exists: all are asked again some times before it is given up.
    pub(super) fn next_round(&mut self, rounds_max: u32, now: Instant) -> Round {
        match self.round_at {
            Some(at) if at > now => Round::Later,
            Some(_) => {
                self.round_at = None;
                self.tried.clear();
                self.trouble.clear();
                Round::Now
            }
            None if self.rounds < rounds_max => {
                self.round_at = Some(now + round_delay(self.rounds));
                self.rounds += 1;
                Round::Later
            }
            None => Round::Never,
        }
    }

    /// Nobody has these.
    pub(super) fn give_up(&mut self, sequences: Range<u64>) {
        self.given_up.insert(sequences);
    }

    /// The frame that leaves next, if it is there.
    pub(super) fn next_frame<'a>(&'a self, spare: Option<&'a Held>) -> Option<&'a Frame> {
        self.holding(self.cursor).or(spare).map(|held| &*held.frame)
    }

    /// What leaves next, and how many bytes are held no longer.
    pub(super) fn release(&mut self, spare: Option<&Held>) -> Option<(Read, usize)> {
        if let Some(held) = self.holding(self.cursor).or(spare) {
            let wanted = self.cursor..held.end().min(self.end);
            let read = Read::Frame {
                frame: held.frame.clone(),
                from: held.from,
                wanted: wanted.clone(),
            };
            self.cursor = wanted.end;
            return Some((read, self.forget_past()));
        }
        let lost = self.given_up.run_from(self.cursor)?;
        let sequences = self.cursor..lost.end.min(self.end);
        self.cursor = sequences.end;
        let run = self.run;
        Some((Read::Hole { run, sequences }, self.forget_past()))
    }

    /// Holds nothing any more; how many bytes it held.
    pub(super) fn clear(&mut self) -> usize {
        std::mem::take(&mut self.held)
            .values()
            .map(|held| held.frame.wire.len())
            .sum()
    }

    fn forget_past(&mut self) -> usize {
        let mut freed = 0;
        while let Some(entry) = self.held.first_entry() {
            if entry.get().end() > self.cursor {
                break;
            }
            freed += entry.remove().frame.wire.len();
        }
        freed
    }

    /// From now on this sequence number is looked for.
    pub(super) fn look_for(&mut self, sequence: u64) {
        if sequence != self.looked_for {
            self.looked_for = sequence;
            (self.rounds, self.round_at) = (0, None);
            self.tried.clear();
            self.trouble.clear();
        }
    }

    fn holding(&self, sequence: u64) -> Option<&Held> {
        let from = sequence.saturating_sub(maille_proto::FRAME_RECORDS_MAX as u64 - 1);
        let mut before = self.held.range(from..=sequence).rev();
        before.find(|(_, held)| held.end() > sequence).map(|(_, held)| held)
    }
}
