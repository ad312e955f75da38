//! What there was before this node listened: from where on a run is wanted that is met. Not what becomes of its frames.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use libp2p::PeerId;

use super::{frame::Frame, reorder::GAP_MAX};

/// Runs of which it is remembered where members said that they ended.
pub const CLAIMED_MAX: usize = 4_096;

#[derive(Debug)]
pub(super) struct Before {
    /// When this node began to listen; unless some publishers were forgotten.
    since: Option<Instant>,
    /// Where members say that runs stood which were not met yet.
    ends: BTreeMap<(PeerId, u64), u64>,
    /// What is not named there began later.
    others_are_new: bool,
}

/// How much is wanted of a publisher that is met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// What comes: what lies before is history.
    Coming,
    /// What comes, and what lies between this place of a run, the same or an earlier one, and that.
    From { incarnation: u64, next: u64 },
    /// All runs after this one, which may be none.
    RunsAfter { incarnation: u64 },
}

impl Before {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            since: Some(now),
            ends: BTreeMap::new(),
            others_are_new: false,
        }
    }

    /// Members say that a run that was not met yet stands there.
    pub(super) fn claim(&mut self, run: (PeerId, u64), next: u64) {
        if self.ends.len() < CLAIMED_MAX {
            self.ends.entry(run).or_insert(next);
        } else {
            self.others_are_new = false;
        }
    }

    /// They named all there is.
    pub(super) fn others_are_new(&mut self) {
        self.others_are_new = true;
    }

    /// A publisher was forgotten: one that comes back must not begin at its start again.
    pub(super) fn forget(&mut self) {
        (self.since, self.others_are_new) = (None, false);
        self.ends.clear();
    }

    /// How much is wanted of a publisher that is met by this frame.
    pub(super) fn wanted(&self, frame: &Frame, now: Instant) -> Wanted {
        let (id, run, at) = (frame.publisher, frame.incarnation, frame.sequences().start);
        let listened = self.since.map(|since| now.saturating_duration_since(since));
        let is_young = || listened.is_some_and(|listened| age(frame) <= listened);
        match self.ends.range((id, 0)..=(id, run)).next_back() {
            Some((&(_, incarnation), &next)) if is_near(if incarnation == run { next } else { 0 }, at) => {
                Wanted::From { incarnation, next }
            }
            None if is_near(0, at) && (self.others_are_new || is_young()) => Wanted::RunsAfter {
                incarnation: run_before(frame, listened.unwrap_or_default()),
            },
            _ => Wanted::Coming,
        }
    }
}

/// Whether records from `first` to what came are worth waiting for.
pub(super) fn is_near(first: u64, came: u64) -> bool {
    first <= came && came - first <= GAP_MAX
}

/// How long ago the run of a frame began when it was sent. Its publisher says so by its own clock, right or not: a run is
/// named after the time when it began. A frame that was long on its way makes its run seem younger than it is.
fn age(frame: &Frame) -> Duration {
    let began_us = frame.incarnation.saturating_mul(1_000);
    Duration::from_micros(frame.sent_us.saturating_sub(began_us))
}

/// How a run would be named that began so long before the frame was sent, and before its own run.
fn run_before(frame: &Frame, ago: Duration) -> u64 {
    let ago_ms = u64::try_from(ago.as_millis()).unwrap_or(u64::MAX);
    let then = (frame.sent_us / 1_000).saturating_sub(ago_ms);
    then.min(frame.incarnation.saturating_sub(1))
}
