//! The two starts that choose before they deliver: the newest records of the topic, and the newest of every key. Frames go
//! in, ranges come out. Not the reading of them, before or after.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use bytes::Bytes;
use libp2p::PeerId;

use super::{Run, spans::Spans};
use crate::core::stream::Frame;

/// Keys of one topic of which the newest record is remembered; records of others are reported as missing.
pub const LATEST_KEYS_MAX: usize = 65_536;

/// When the frame was sent, then whose it is: what comes last is newest.
type Age = (u64, Run, u64);

/// The newest records of all frames shown, by sent time, then run, then sequence number.
#[derive(Debug)]
pub(super) struct NewestRecords {
    records_max: u64,
    records: u64,
    frames: BTreeMap<Age, Range<u64>>,
    /// A run does not grow younger: where its clock steps back, the later record counts as sent when the earlier one was.
    newest_us: BTreeMap<Run, u64>,
}

impl NewestRecords {
    pub(super) fn new(records_max: u32) -> Self {
        Self {
            records_max: u64::from(records_max),
            records: 0,
            frames: BTreeMap::new(),
            newest_us: BTreeMap::new(),
        }
    }

    /// Shows a part of a frame, ascending within a run. Which frames are no longer among the newest; maybe this one.
    pub(super) fn show(&mut self, frame: &Frame, wanted: Range<u64>) -> Vec<(Run, u64)> {
        let run = run_of(frame);
        let newest_us = self.newest_us.entry(run).or_default();
        *newest_us = frame.sent_us.max(*newest_us);
        self.records += wanted.end - wanted.start;
        self.frames.insert((*newest_us, run, wanted.start), wanted);
        let mut gone = vec![];
        while let Some(oldest) = self.frames.first_entry() {
            let records = oldest.get().end - oldest.get().start;
            if self.records - records < self.records_max {
                break;
            }
            self.records -= records;
            let ((_, run, _), range) = oldest.remove_entry();
            gone.push((run, range.start));
        }
        gone
    }

    /// Where the newest records of each run begin.
    pub(super) fn chosen(mut self) -> BTreeMap<Run, u64> {
        if let Some(mut oldest) = self.frames.first_entry()
            && self.records > self.records_max
        {
            oldest.get_mut().start += self.records - self.records_max;
        }
        let mut chosen = BTreeMap::new();
        for ((_, run, _), range) in self.frames {
            let from = chosen.entry(run).or_insert(range.start);
            *from = range.start.min(*from);
        }
        chosen
    }
}

/// The newest record of every publisher and key of all frames shown.
#[derive(Debug, Default)]
pub(super) struct NewestOfKeys {
    keys: BTreeMap<(PeerId, [u8; 16]), (u64, u64)>,
    /// Records for which there was no room.
    left_out: BTreeMap<Run, Spans>,
}

impl NewestOfKeys {
    /// Shows a frame; whether any of its records is the newest so far.
    pub(super) fn show(&mut self, frame: &Frame) -> bool {
        let mut any = false;
        for (sequence, key, _) in frame.records() {
            let place = (frame.incarnation, sequence);
            let key = (frame.publisher, name_of(key));
            if let Some(newest) = self.keys.get_mut(&key) {
                any |= *newest < place;
                *newest = place.max(*newest);
            } else if self.keys.len() < LATEST_KEYS_MAX {
                self.keys.insert(key, place);
                any = true;
            } else {
                self.left_out
                    .entry(run_of(frame))
                    .or_default()
                    .insert(sequence..sequence + 1);
            }
        }
        any
    }

    /// The ranges of each run that hold them, and those that were left out.
    pub(super) fn chosen(self) -> (BTreeMap<Run, Spans>, BTreeMap<Run, Spans>) {
        let mut places: BTreeMap<Run, BTreeSet<u64>> = BTreeMap::new();
        for ((publisher, _), (incarnation, sequence)) in self.keys {
            let run = Run { publisher, incarnation };
            places.entry(run).or_default().insert(sequence);
        }
        let spans = |(run, sequences): (Run, BTreeSet<u64>)| {
            let ranges = sequences.into_iter().map(|sequence| sequence..sequence + 1);
            (run, ranges.collect())
        };
        (places.into_iter().map(spans).collect(), self.left_out)
    }
}

/// Keys may be long: of each only its hash is remembered. No key is not the empty key.
fn name_of(key: Option<&Bytes>) -> [u8; 16] {
    let mut name = [0; 16];
    if let Some(key) = key {
        name.copy_from_slice(&blake3::hash(key).as_bytes()[..16]);
    }
    name
}

pub(super) fn run_of(frame: &Frame) -> Run {
    Run {
        publisher: frame.publisher,
        incarnation: frame.incarnation,
    }
}
