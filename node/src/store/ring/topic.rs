//! The ring of one topic: frames by run, by arrival and by newest key. Bounds are given by whoever calls.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    ops::{Bound, Range},
};

use bytes::Bytes;
use libp2p::PeerId;

use crate::{
    store::{
        history::{Held, Kept, SPANS_MAX, fill},
        select::{self, Place},
    },
    types::Selector,
};

use super::{RingLimits, newest::Newest};

/// What a frame costs besides its bytes: its description and three places in trees.
const FRAME_BYTES: usize = 320;
/// What a record costs besides its payload: a handle on its key.
const RECORD_BYTES: usize = 32;

type RunId = (PeerId, u64);

/// Recent history of one topic.
#[derive(Debug, Default)]
pub(super) struct TopicRing {
    runs: BTreeMap<RunId, Run>,
    /// Frames and heads of the runs, in the order they came.
    frames: BTreeMap<u64, Stored>,
    /// Frames that are only kept on for the newest record of a key, in the order they came.
    pinned: BTreeMap<u64, Stored>,
    newest: Newest,
    arrivals: u64,
    frame_bytes: usize,
    records: usize,
    pinned_bytes: usize,
    pinned_records: usize,
}

#[derive(Debug, Default)]
struct Run {
    /// First sequence numbers and what number the frame came as.
    frames: BTreeMap<u64, u64>,
    /// As what number the head came.
    head: Option<u64>,
}

#[derive(Debug)]
struct Stored {
    run: RunId,
    sequences: Range<u64>,
    sent_us: u64,
    came_us: u64,
    keys: Vec<Option<Bytes>>,
    wire: Bytes,
}

impl Stored {
    fn bytes(&self) -> usize {
        let keys: usize = self.keys.iter().flatten().map(Bytes::len).sum();
        FRAME_BYTES + RECORD_BYTES * self.keys.len() + keys + self.wire.len()
    }

    fn place(&self) -> Place {
        Place {
            first: self.sequences.start,
            end: self.sequences.end,
            sent_us: self.sent_us,
        }
    }
}

impl TopicRing {
    /// Memory in use, about.
    pub(super) fn bytes(&self) -> usize {
        self.frame_bytes + self.newest.bytes()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty() && self.pinned.is_empty()
    }

    pub(super) fn append(&mut self, kept: &Kept, now_us: u64) {
        let id = (kept.publisher, kept.incarnation);
        let outdated = if kept.is_head() {
            let head = self.runs.get(&id).and_then(|run| run.head);
            if self.head_number(head) >= Some(kept.sequences.start) {
                return;
            }
            head.and_then(|old| self.frames.remove(&old))
        } else {
            if self
                .before(id, kept.sequences.end)
                .is_some_and(|place| place.end > kept.sequences.start)
            {
                return;
            }
            None
        };
        if let Some(head) = outdated {
            self.frame_bytes -= head.bytes();
        }
        self.arrivals += 1;
        let number = self.arrivals;
        let run = self.runs.entry(id).or_default();
        if kept.is_head() {
            run.head = Some(number);
        } else {
            run.frames.insert(kept.sequences.start, number);
        }
        let stored = Stored {
            run: id,
            sequences: kept.sequences.clone(),
            sent_us: kept.sent_us,
            came_us: now_us,
            keys: kept.keys.clone(),
            wire: kept.wire.clone(),
        };
        self.frame_bytes += stored.bytes();
        self.records += stored.keys.len();
        self.frames.insert(number, stored);
        for old in self.newest.add(number, id.0, id.1, kept.sequences.start, &kept.keys) {
            self.unpin(old);
        }
    }

    /// Drops the oldest until all bounds hold.
    pub(super) fn shed(&mut self, limits: &RingLimits, now_us: u64) {
        let oldest_us = now_us.saturating_sub(limits.age_us_max);
        loop {
            let full = self.bytes() > limits.bytes_max || self.records > limits.records_max;
            let old = self
                .frames
                .first_key_value()
                .is_some_and(|(_, stored)| stored.came_us < oldest_us);
            if self.is_empty() || !(full || old) {
                return;
            }
            self.drop_oldest(limits);
        }
    }

    /// Drops the oldest frame, or lets it be no more than the newest of its keys if there is room for that. Something
    /// that was pinned goes only for another that is to be, or when there is nothing else.
    pub(super) fn drop_oldest(&mut self, limits: &RingLimits) {
        let Some((number, stored)) = self.frames.pop_first() else {
            self.drop_oldest_pinned();
            return;
        };
        if let Some(run) = self.runs.get_mut(&stored.run) {
            if run.head == Some(number) {
                run.head = None;
            } else {
                run.frames.remove(&stored.sequences.start);
            }
            if run.frames.is_empty() && run.head.is_none() {
                self.runs.remove(&stored.run);
            }
        }
        if !self.newest.is_in(number) {
            self.discount(&stored);
            return;
        }
        self.pinned_bytes += stored.bytes();
        self.pinned_records += stored.keys.len();
        self.pinned.insert(number, stored);
        while self.pinned_bytes > limits.newest_bytes_max || self.pinned_records > limits.newest_records_max {
            self.drop_oldest_pinned();
        }
    }

    fn drop_oldest_pinned(&mut self) {
        let Some((&number, stored)) = self.pinned.first_key_value() else {
            return;
        };
        self.newest.remove(number, stored.run.0, &stored.keys);
        self.unpin(number);
    }

    /// Drops a pinned frame that holds the newest of nothing any more.
    fn unpin(&mut self, number: u64) {
        if let Some(stored) = self.pinned.remove(&number) {
            self.pinned_bytes -= stored.bytes();
            self.pinned_records -= stored.keys.len();
            self.discount(&stored);
        }
    }

    fn discount(&mut self, stored: &Stored) {
        self.frame_bytes -= stored.bytes();
        self.records -= stored.keys.len();
    }

    pub(super) fn runs(&self, selector: Selector) -> Vec<Held> {
        let from = self.selected(selector);
        let held = self.runs.iter().zip(from).filter_map(|((id, run), from)| {
            let head = run.head.and_then(|number| self.frames.get(&number));
            let alone = head.map_or(0, |head| head.sequences.start);
            let last = run
                .frames
                .values()
                .next_back()
                .and_then(|number| self.frames.get(number));
            let frames = run.frames.values().rev().filter_map(|number| self.frames.get(number));
            let spans = frames.map(|stored| Ok::<_, Infallible>(stored.sequences.clone()));
            let Ok(spans) = select::spans(spans, SPANS_MAX);
            Some(Held {
                publisher: id.0,
                incarnation: id.1,
                spans,
                first: run.frames.keys().next().copied().unwrap_or(alone),
                next: last.map_or(alone, |last| last.sequences.end),
                from: from?,
                newest_us: last.or(head).map_or(0, |newest| newest.sent_us),
                head: head.map(|head| head.wire.clone()),
            })
        });
        held.collect()
    }

    /// Where the selection begins in each run, in the order of runs.
    fn selected(&self, selector: Selector) -> Vec<Option<u64>> {
        let ends = |id: &RunId, run: &Run| {
            let first = run.frames.keys().next().copied()?;
            Some((first, self.before(*id, u64::MAX)?.end))
        };
        match selector {
            Selector::All => self
                .runs
                .iter()
                .map(|(id, run)| ends(id, run).map(|(first, _)| first).or(self.head_number(run.head)))
                .collect(),
            Selector::Since(since_us) => self
                .runs
                .iter()
                .map(|(id, run)| {
                    let before = |number| Ok(self.before(*id, number));
                    let found = select::since(ends(id, run)?, since_us, before);
                    found.unwrap_or_else(|error: Infallible| match error {})
                })
                .collect(),
            Selector::Last(records) => {
                let run = |id: &RunId, run: &Run| select::Run {
                    publisher: id.0,
                    incarnation: id.1,
                    next: ends(id, run).map_or(0, |(_, next)| next),
                };
                let runs: Vec<_> = self.runs.iter().map(|(id, held)| run(id, held)).collect();
                let before = |index: usize, number| {
                    let run: &select::Run = &runs[index];
                    Ok(self.before((run.publisher, run.incarnation), number))
                };
                select::last(&runs, records, before).unwrap_or_else(|error: Infallible| match error {})
            }
        }
    }

    pub(super) fn range(&self, id: RunId, sequences: Range<u64>, bytes_max: usize) -> Vec<Bytes> {
        let Some(run) = self.runs.get(&id).filter(|_| !sequences.is_empty()) else {
            return Vec::new();
        };
        // The frame that holds the first number may begin before it.
        let start = self
            .before(id, sequences.start)
            .filter(|place| place.end > sequences.start)
            .map_or(sequences.start, |place| place.first);
        let frames = run.frames.range(start..sequences.end);
        let wires = frames.filter_map(|(_, number)| Some(Ok(self.frames.get(number)?.wire.clone())));
        let (frames, _) = fill(wires, bytes_max).unwrap_or_else(|error: Infallible| match error {});
        frames
    }

    pub(super) fn latest(&self, skip: usize, bytes_max: usize) -> (Vec<Bytes>, bool) {
        let frames = self.newest.frames().skip(skip);
        let stored = frames.filter_map(|number| self.frames.get(&number).or_else(|| self.pinned.get(&number)));
        let wires = stored.map(|stored| Ok(stored.wire.clone()));
        fill(wires, bytes_max).unwrap_or_else(|error: Infallible| match error {})
    }

    /// The last frame of a run that begins before a number.
    fn before(&self, id: RunId, number: u64) -> Option<Place> {
        let frames = &self.runs.get(&id)?.frames;
        let (_, stored) = frames.range((Bound::Unbounded, Bound::Excluded(number))).next_back()?;
        self.frames.get(stored).map(Stored::place)
    }

    fn head_number(&self, head: Option<u64>) -> Option<u64> {
        Some(self.frames.get(&head?)?.sequences.start)
    }
}
