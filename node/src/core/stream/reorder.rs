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
/// The same for a run that seems to have begun just now: its very first frames may have missed an overlay that was still
/// being built, and then come with the gossip of the next heartbeats. They must not be taken for history.
pub const SETTLE_YOUNG: Duration = Duration::from_secs(3);
/// A run is young while its sequence numbers are below this: a publisher's window.
pub const YOUNG_SEQUENCES: u64 = 256;
/// How long a missing frame is waited for, counted from when the frame after it came. Where all are slow, a frame that was
/// overtaken on another path may be that late; where its only path was cut, nobody resends it and waiting is in vain.
pub const GAP_TIMEOUT: Duration = Duration::from_secs(30);
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

    /// A run that is kept back until the one before it has ended.
    pub(super) fn kept() -> Self {
        Self::new(Start::Kept)
    }

    fn new(start: Start) -> Self {
        Self {
            start,
            held: BTreeMap::new(),
            held_bytes: 0,
            gap_due: None,
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
            Start::Settling(_) | Start::Kept => {}
        }
        true
    }

    /// Whether something must be given up before anything else is taken.
    pub(super) fn is_full(&self) -> bool {
        self.held.len() > HELD_FRAMES_MAX || self.held_bytes > HELD_BYTES_MAX
    }

    /// Gives up what is due.
    pub(super) fn expire(&mut self, now: Instant, out: &mut Vec<Released>) {
        while self.deadline().is_some_and(|due| due <= now) {
            self.give_up(out);
        }
    }

    /// Gives up the lowest gap, or begins with the lowest frame. Does nothing only if nothing is held.
    pub(super) fn give_up(&mut self, out: &mut Vec<Released>) {
        let Some(&lowest) = self.held.keys().next() else {
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

    /// Releases everything, with the gaps in it; `end`, where known, is the sequence number that would have been next.
    pub(super) fn finish(&mut self, end: Option<u64>, out: &mut Vec<Released>) {
        while !self.held.is_empty() {
            self.give_up(out);
        }
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

    pub(super) fn held_frames(&self) -> usize {
        self.held.len()
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.start {
            Start::Settling(until) if !self.held.is_empty() => Some(until),
            Start::Begun(_) => self.gap_due,
            Start::Settling(_) | Start::Kept => None,
        }
    }

    /// Releases what is next, and reports gaps that are too wide to wait for.
    fn drain(&mut self, out: &mut Vec<Released>) {
        let Start::Begun(before) = self.start else {
            return;
        };
        let mut next = before;
        while let Some(lowest) = self.held.first_entry() {
            let first = *lowest.key();
            if first > next && first - next <= GAP_MAX {
                break;
            }
            let held = lowest.remove();
            self.held_bytes -= held_bytes(&held.frame);
            if first < next {
                // Overlaps what has left: a publisher that cuts its records into frames in two ways.
                continue;
            }
            if first > next {
                out.push(Released::Gap(next..first));
            }
            next = held.frame.sequences().end;
            out.push(Released::Frame(held));
        }
        self.start = Start::Begun(next);
        // The frame right after the gap stands for all later ones. While the gap stays, frames that come into it must not
        // prolong the wait.
        if next != before || self.gap_due.is_none() || self.held.is_empty() {
            self.gap_due = self.held.values().next().map(|after| after.arrived + GAP_TIMEOUT);
        }
    }
}

fn held_bytes(frame: &Frame) -> usize {
    // The bytes that travelled, and about as many of the records decoded from them.
    2 * frame.wire.len() + FRAME_OVERHEAD_BYTES
}
