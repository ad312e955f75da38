//! Which frames hold the newest record of a publisher and key. Frames are numbers here, in the order they came.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use libp2p::PeerId;

/// What an entry costs besides its key: the key's map, two numbers and a place in a table.
const ENTRY_BYTES: usize = 192;

/// The newest record of each publisher and key; records without a key count as having one of their own.
#[derive(Debug, Default)]
pub(super) struct Newest {
    records: HashMap<(PeerId, Option<Bytes>), Record>,
    /// How many of the records above a frame holds; none that holds none.
    frames: BTreeMap<u64, usize>,
    bytes: usize,
}

#[derive(Debug, Clone, Copy)]
struct Record {
    incarnation: u64,
    sequence: u64,
    frame: u64,
}

impl Newest {
    /// Memory in use, about.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether a frame holds the newest record of a key.
    pub(super) fn is_in(&self, frame: u64) -> bool {
        self.frames.contains_key(&frame)
    }

    /// The frames that do, those that came last first.
    pub(super) fn frames(&self) -> impl Iterator<Item = u64> {
        self.frames.keys().rev().copied()
    }

    /// Learns of a frame; returns those that no longer hold the newest of any key. Of one record that is in two frames
    /// the later frame counts.
    pub(super) fn add(
        &mut self,
        frame: u64,
        publisher: PeerId,
        incarnation: u64,
        first: u64,
        keys: &[Option<Bytes>],
    ) -> Vec<u64> {
        let mut outdated = Vec::new();
        for (offset, key) in (0..).zip(keys) {
            // Not a range from `first`: that would count one beyond the last record, which may be the last number.
            let sequence = first + offset;
            let new = Record {
                incarnation,
                sequence,
                frame,
            };
            if let Some(record) = self.records.get_mut(&(publisher, key.clone())) {
                if (record.incarnation, record.sequence) > (incarnation, sequence) {
                    continue;
                }
                let old = std::mem::replace(record, new).frame;
                if self.release(old) {
                    outdated.push(old);
                }
            } else {
                // A copy: a slice of a frame would keep all of that frame in memory for as long as the key lives.
                let key = key.as_ref().map(|key| Bytes::copy_from_slice(key));
                self.bytes += entry_bytes(key.as_ref());
                self.records.insert((publisher, key), new);
            }
            *self.frames.entry(frame).or_default() += 1;
        }
        outdated.retain(|old| *old != frame);
        outdated
    }

    /// Forgets a frame with what it holds.
    pub(super) fn remove(&mut self, frame: u64, publisher: PeerId, keys: &[Option<Bytes>]) {
        for key in keys {
            let place = (publisher, key.clone());
            if self.records.get(&place).is_some_and(|record| record.frame == frame) {
                self.records.remove(&place);
                self.bytes -= entry_bytes(key.as_ref());
            }
        }
        self.frames.remove(&frame);
    }

    /// Counts one record of a frame less; whether none is left.
    fn release(&mut self, frame: u64) -> bool {
        let Some(count) = self.frames.get_mut(&frame) else {
            return false;
        };
        *count -= 1;
        if *count == 0 {
            self.frames.remove(&frame);
            return true;
        }
        false
    }
}

fn entry_bytes(key: Option<&Bytes>) -> usize {
    ENTRY_BYTES + key.map_or(0, Bytes::len)
}
