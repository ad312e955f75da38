//! The reorder buffer of one run: frames come in any order and leave in sequence, or what is missing is given up. Not
//! several runs, and not acknowledgements.

use std::{
    collections::BTreeMap,
    ops::Range,
    time::{Duration, Instant},
};

use libp2p::PeerId;

use super::frame::Frame;

/// How long the first frames of a run met in its middle are kept back, in case earlier ones are still under way. What
/// lies before the first one delivered is history.
pub const SETTLE: Duration = Duration::from_millis(250);
/// The same for a run with little in it, which may have been opened before anybody listened and used since: its very first
/// frames may have missed an overlay that was still being built, and then come with the gossip of the next heartbeats. They
/// must not be taken for history.
pub const SETTLE_YOUNG: Duration = Duration::from_secs(3);
/// A run is young while its sequence numbers are below this: a publisher's window.
pub const YOUNG_SEQUENCES: u64 = 256;
/// How long a missing frame may just be late, overtaken on another path, before members are asked for it.
pub const REPAIR_DELAY: Duration = Duration::from_millis(500);
/// How long a missing frame is waited for, counted from when the frame after it came; shorter if it turns out that nobody
/// has it. Where all are slow, a frame may be that late.
pub const GAP_TIMEOUT: Duration = Duration::from_secs(120);
/// Gaps of one run that are known to be beyond repair before their turn comes.
pub const LOST_MAX: usize = 64;
/// Missing sequence numbers that are worth waiting for.
pub const GAP_MAX: u64 = 65_536;
/// Frames of one run that wait for an earlier one.
pub const HELD_FRAMES_MAX: usize = 16_384;
/// Bytes of those frames.
pub const HELD_BYTES_MAX: usize = 16 * 1024 * 1024;
/// What a frame takes beside its bytes, about.
const FRAME_OVERHEAD_BYTES: usize = 384;

/// What leaves the buffer, in order.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "almost all are frames")]
pub(super) enum Released {
    Frame(Held),
    /// These sequence numbers did not come in time.
    Gap(Range<u64>),
    /// These are to be asked for.
    Missing(Range<u64>),
}

/// A frame and how it came.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) frame: Frame,
    pub(super) deliverer: PeerId,
    arrived: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    /// Nothing leaves before [`Reorder::begin`], or before the buffer is full.
    Kept,
    /// Nothing leaves before this time, unless the run's very first frame comes.
    Settling(Instant),
    /// This is the next sequence number to leave.
    Begun(u64),
}

/// The frames of one run that wait for others.
#[derive(Debug)]
pub(super) struct Reorder {
    start: Start,
    /// By first sequence number; once begun, all above the next to leave.
    held: BTreeMap<u64, Held>,
    held_bytes: usize,
    /// When the lowest gap is given up.
    gap_due: Option<Instant>,
    /// Up to here the run is known to go, by a head, and since when.
    known: Option<(u64, Instant)>,
    /// Gaps below this were asked for.
    asked: u64,
    /// When gaps are asked for.
    ask_due: Option<Instant>,
    /// Gaps that nobody can fill, by their start.
    lost: BTreeMap<u64, u64>,
}

impl Reorder {
    /// A run met for the first time, by a frame with this first sequence number.
    pub(super) fn met(first_sequence: u64, now: Instant) -> Self {
        let settle = if first_sequence < YOUNG_SEQUENCES {
            SETTLE_YOUNG
        } else {
            SETTLE
        };
        Self::new(Start::Settling(now + settle))
    }

    /// A run of which everything below this left by another way.
    pub(super) fn begun(next: u64) -> Self {
        Self::new(Start::Begun(next))
    }

    /// A run that is kept back until the one before it has ended. What is missing is asked for meanwhile.
    pub(super) fn kept() -> Self {
        Self::new(Start::Kept)
    }

    fn new(start: Start) -> Self {
        Self {
            start,
            held: BTreeMap::new(),
            held_bytes: 0,
            gap_due: None,
            known: None,
            asked: 0,
            ask_due: None,
            lost: BTreeMap::new(),
        }
    }

    /// Takes a frame; whether it had use for it. One that lies before what has left is history, or was reported missing.
    pub(super) fn accept(&mut self, frame: Frame, deliverer: PeerId, now: Instant, out: &mut Vec<Released>) -> bool {
        let first = frame.sequences().start;
        if self.next().is_some_and(|next| first < next) || self.held.contains_key(&first) {
            return false;
        }
        self.held_bytes += held_bytes(&frame);
        let held = Held {
            frame,
            deliverer,
            arrived: now,
        };
        self.held.insert(first, held);
        match self.start {
            Start::Settling(_) if first == 0 => self.begin(0, out),
            Start::Begun(_) => self.drain(out),
            Start::Kept => self.plan_to_ask(),
            Start::Settling(_) => {}
        }
        true
    }

    /// The run is known to go up to `next`: a head said so.
    pub(super) fn expect(&mut self, next: u64, now: Instant, out: &mut Vec<Released>) {
        if self.known.is_none_or(|(known, _)| known < next) {
            self.known = Some((next, now));
        }
        if self.start == Start::Kept {
            self.plan_to_ask();
        }
        self.drain(out);
    }

    /// Nobody has these: there is nothing to wait for.
    pub(super) fn lose(&mut self, lost: Range<u64>, out: &mut Vec<Released>) {
        self.lost.insert(lost.start, lost.end);
        if self.lost.len() > LOST_MAX {
            self.lost.pop_last();
        }
        self.drain(out);
    }

    /// Forgets what is held: nothing of the run is believed any more.
    pub(super) fn clear(&mut self) {
        *self = Self::new(Start::Begun(self.next().unwrap_or_default()));
    }

    /// Whether something must be given up before anything else is taken.
    pub(super) fn is_full(&self) -> bool {
        self.held.len() > HELD_FRAMES_MAX || self.held_bytes > HELD_BYTES_MAX
    }

    /// Gives up what is due.
    pub(super) fn expire(&mut self, now: Instant, out: &mut Vec<Released>) {
        while self.patience_ends().is_some_and(|due| due <= now) {
            self.give_up(out);
        }
        if self.ask_due.is_some_and(|due| due <= now) {
            self.ask(now, out);
        }
    }

    /// Gives up the lowest gap, or begins with the lowest frame. Does nothing only if nothing is held or known.
    pub(super) fn give_up(&mut self, out: &mut Vec<Released>) {
        let Some(lowest) = self.above_the_gap() else {
            return;
        };
        match self.start {
            Start::Begun(next) => {
                out.push(Released::Gap(next..lowest));
                self.start = Start::Begun(lowest);
                self.drain(out);
            }
            Start::Kept | Start::Settling(_) => self.begin(lowest, out),
        }
    }

    /// What is next after what is missing: the lowest frame held, or the end that is known.
    fn above_the_gap(&self) -> Option<u64> {
        let known = self.known.map(|(known, _)| known);
        let known = known.filter(|known| self.next().is_none_or(|next| next < *known));
        self.held.keys().next().copied().or(known)
    }

    /// Asks for every gap that is old enough and was not asked for.
    fn ask(&mut self, now: Instant, out: &mut Vec<Released>) {
        self.ask_due = None;
        let mut next = match self.start {
            Start::Begun(next) => next,
            Start::Kept => 0,
            Start::Settling(_) => return,
        };
        let frames = self.held.values().map(|held| (held.frame.sequences(), held.arrived));
        let end = self.known.map(|(known, since)| (known..known, since));
        for (sequences, since) in frames.chain(end) {
            let gap = next.max(self.asked)..sequences.start;
            next = next.max(sequences.end);
            if gap.is_empty() {
                continue;
            }
            if since + REPAIR_DELAY > now {
                self.ask_due = Some(since + REPAIR_DELAY);
                self.asked = self.asked.max(gap.start);
                return;
            }
            out.push(Released::Missing(gap));
        }
        self.asked = self.asked.max(next);
    }

    /// Releases everything, with the gaps in it; `end`, where known, is the sequence number that would have been next. A head
    /// may have told as well.
    pub(super) fn finish(&mut self, end: Option<u64>, out: &mut Vec<Released>) {
        while !self.held.is_empty() {
            self.give_up(out);
        }
        let end = end.max(self.known.map(|(known, _)| known));
        if let (Start::Begun(next), Some(end)) = (self.start, end)
            && next < end
        {
            out.push(Released::Gap(next..end));
            self.start = Start::Begun(end);
        }
    }

    /// From now on frames leave, this sequence number first.
    pub(super) fn begin(&mut self, first: u64, out: &mut Vec<Released>) {
        self.start = Start::Begun(first);
        self.drain(out);
    }

    /// The next sequence number to leave, once the run has begun.
    pub(super) fn next(&self) -> Option<u64> {
        match self.start {
            Start::Begun(next) => Some(next),
            Start::Kept | Start::Settling(_) => None,
        }
    }

    /// What leaves next: the lowest that has come, if the run has not begun.
    pub(super) fn position(&self) -> Option<u64> {
        self.next().or_else(|| self.above_the_gap())
    }

    pub(super) fn held_frames(&self) -> usize {
        self.held.len()
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.patience_ends().into_iter().chain(self.ask_due).min()
    }

    fn patience_ends(&self) -> Option<Instant> {
        match self.start {
            Start::Settling(until) if self.above_the_gap().is_some() => Some(until),
            Start::Begun(_) => self.gap_due,
            Start::Settling(_) | Start::Kept => None,
        }
    }

    /// Releases what is next, and reports gaps that are too wide to wait for, or in vain.
    fn drain(&mut self, out: &mut Vec<Released>) {
        let Start::Begun(before) = self.start else {
            return;
        };
        let mut next = before;
        while let Some(above) = self.held.keys().next().copied().or(self.known.map(|(known, _)| known)) {
            if above > next {
                let lost = self.lost_from(next).unwrap_or(next).min(above);
                let given_up = if above - next > GAP_MAX { above } else { lost };
                if given_up == next {
                    break;
                }
                out.push(Released::Gap(next..given_up));
                next = given_up;
                continue;
            }
            let Some((_, held)) = self.held.pop_first() else { break };
            self.held_bytes -= held_bytes(&held.frame);
            if above < next {
                // Overlaps what has left: a publisher that cuts its records into frames in two ways.
                continue;
            }
            next = held.frame.sequences().end;
            out.push(Released::Frame(held));
        }
        self.start = Start::Begun(next);
        self.lost.retain(|_, end| *end > next);
        // The frame right after the gap stands for all later ones. While the gap stays, frames that come into it must not
        // prolong the wait.
        let waits_since = match self.held.values().next() {
            Some(after) => Some(after.arrived),
            None => self.known.filter(|(known, _)| *known > next).map(|(_, since)| since),
        };
        if next != before || self.gap_due.is_none() || waits_since.is_none() {
            self.gap_due = waits_since.map(|since| since + GAP_TIMEOUT);
        }
        if waits_since.is_none() {
            self.ask_due = None;
        } else {
            self.plan_to_ask();
        }
    }

    fn plan_to_ask(&mut self) {
        if self.ask_due.is_none() {
            self.ask_due = self.newest().map(|since| since + REPAIR_DELAY);
        }
    }

    /// When the highest frame came, or the head above it, if gaps below it were not looked at yet.
    fn newest(&self) -> Option<Instant> {
        let highest = self.held.last_key_value().map(|(first, held)| (*first, held.arrived));
        let (above, since) = highest.into_iter().chain(self.known).max()?;
        (above > self.asked).then_some(since)
    }

    /// Where the gaps that nobody can fill end, if one of them begins at `next` or before.
    fn lost_from(&self, next: u64) -> Option<u64> {
        let (_, end) = self.lost.range(..=next).next_back()?;
        Some(*end).filter(|end| *end > next)
    }
}

fn held_bytes(frame: &Frame) -> usize {
    // The bytes that travelled, and about as many of the records decoded from them.
    2 * frame.wire.len() + FRAME_OVERHEAD_BYTES
}
