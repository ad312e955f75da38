//! The tables of the durable log and the bytes in them. What is written when, and what goes first, is decided beside this.

use bytes::Bytes;
use libp2p::PeerId;
use redb::{ReadOnlyTable, ReadTransaction, ReadableTable as _, Table, TableDefinition, WriteTransaction};

use crate::store::history::Kept;

use super::fail::Fail;

/// What this software writes. Another form is refused, not guessed at.
pub(super) const FORM: u64 = 1;

/// Numbers of the whole log.
pub(super) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
/// The number of a topic.
pub(super) const TOPICS: TableDefinition<'_, &str, u64> = TableDefinition::new("topics");
/// The number of a run: by topic, publisher and incarnation.
pub(super) const RUNS: TableDefinition<'_, (u64, &[u8], u64), u64> = TableDefinition::new("runs");
/// Where a frame of a run is: by run and first sequence number; the number after its last, its time, as what it came.
pub(super) const PLACES: TableDefinition<'_, (u64, u64), (u64, u64, u64)> = TableDefinition::new("places");
/// As what the head of a run came.
pub(super) const HEADS: TableDefinition<'_, u64, u64> = TableDefinition::new("heads");
/// Frames and heads in the order they came, see [`Stored`].
pub(super) const FRAMES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("frames");
/// The newest record of a key, see [`newest_key`]: its incarnation and sequence number, as what its frame came.
pub(super) const NEWEST: TableDefinition<'_, &[u8], (u64, u64, u64)> = TableDefinition::new("newest");
/// Frames that hold newest records: by topic and as what they came; how many.
pub(super) const NEWEST_FRAMES: TableDefinition<'_, (u64, u64), u64> = TableDefinition::new("newest frames");

/// Names in [`META`].
pub(super) const META_FORM: &str = "form";
pub(super) const META_ARRIVALS: &str = "arrivals";
pub(super) const META_TOPICS: &str = "topics";
pub(super) const META_RUNS: &str = "runs";
pub(super) const META_BYTES: &str = "bytes";

/// What is read of a log.
pub(super) struct Reading {
    pub(super) topics: ReadOnlyTable<&'static str, u64>,
    pub(super) runs: ReadOnlyTable<(u64, &'static [u8], u64), u64>,
    pub(super) places: ReadOnlyTable<(u64, u64), (u64, u64, u64)>,
    pub(super) heads: ReadOnlyTable<u64, u64>,
    pub(super) frames: ReadOnlyTable<u64, &'static [u8]>,
    pub(super) newest_frames: ReadOnlyTable<(u64, u64), u64>,
}

impl Reading {
    pub(super) fn open(read: &ReadTransaction) -> Result<Self, Fail> {
        Ok(Self {
            topics: read.open_table(TOPICS)?,
            runs: read.open_table(RUNS)?,
            places: read.open_table(PLACES)?,
            heads: read.open_table(HEADS)?,
            frames: read.open_table(FRAMES)?,
            newest_frames: read.open_table(NEWEST_FRAMES)?,
        })
    }
}

/// What is written of a log, within one transaction.
pub(super) struct Writing<'t> {
    /// Of [`META_ARRIVALS`] and [`META_BYTES`], written back by [`Writing::finish`].
    pub(super) arrivals: u64,
    pub(super) bytes: u64,
    pub(super) meta: Table<'t, &'static str, u64>,
    pub(super) topics: Table<'t, &'static str, u64>,
    pub(super) runs: Table<'t, (u64, &'static [u8], u64), u64>,
    pub(super) places: Table<'t, (u64, u64), (u64, u64, u64)>,
    pub(super) heads: Table<'t, u64, u64>,
    pub(super) frames: Table<'t, u64, &'static [u8]>,
    pub(super) newest: Table<'t, &'static [u8], (u64, u64, u64)>,
    pub(super) newest_frames: Table<'t, (u64, u64), u64>,
}

impl<'t> Writing<'t> {
    pub(super) fn open(write: &'t WriteTransaction) -> Result<Self, Fail> {
        let meta = write.open_table(META)?;
        let number = |name| Ok::<_, Fail>(meta.get(name)?.map_or(0, |number| number.value()));
        Ok(Self {
            arrivals: number(META_ARRIVALS)?,
            bytes: number(META_BYTES)?,
            meta,
            topics: write.open_table(TOPICS)?,
            runs: write.open_table(RUNS)?,
            places: write.open_table(PLACES)?,
            heads: write.open_table(HEADS)?,
            frames: write.open_table(FRAMES)?,
            newest: write.open_table(NEWEST)?,
            newest_frames: write.open_table(NEWEST_FRAMES)?,
        })
    }

    pub(super) fn finish(mut self) -> Result<(), Fail> {
        self.meta.insert(META_ARRIVALS, self.arrivals)?;
        self.meta.insert(META_BYTES, self.bytes)?;
        Ok(())
    }
}

/// A frame in [`FRAMES`]: seven numbers, the name of its topic, its publisher, its keys, then the frame as it travels.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) topic: u64,
    pub(super) run: u64,
    pub(super) came_us: u64,
    pub(super) topic_name: String,
    pub(super) kept: Kept,
}

/// No key, where a key's length plus one stands.
const NO_KEY: u32 = 0;

impl Stored {
    pub(super) fn encode(&self) -> Vec<u8> {
        let kept = &self.kept;
        let keys: usize = kept.keys.iter().flatten().map(Bytes::len).sum();
        let mut bytes = Vec::with_capacity(160 + self.topic_name.len() + keys + 4 * kept.keys.len() + kept.wire.len());
        let (first, end) = (kept.sequences.start, kept.sequences.end);
        for number in [
            self.topic,
            self.run,
            self.came_us,
            kept.incarnation,
            first,
            end,
            kept.sent_us,
        ] {
            bytes.extend(number.to_le_bytes());
        }
        put(&mut bytes, self.topic_name.as_bytes());
        put(&mut bytes, &kept.publisher.to_bytes());
        for key in &kept.keys {
            match key {
                None => bytes.extend(NO_KEY.to_le_bytes()),
                Some(key) => put(&mut bytes, key),
            }
        }
        bytes.extend(&kept.wire);
        bytes
    }

    /// `None` if the bytes are none of ours.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let rest = &mut &*bytes;
        let (topic, run, came_us) = (number(rest)?, number(rest)?, number(rest)?);
        let (incarnation, first, end, sent_us) = (number(rest)?, number(rest)?, number(rest)?, number(rest)?);
        let topic_name = String::from_utf8(take(rest)??.to_vec()).ok()?;
        let publisher = PeerId::from_bytes(take(rest)??).ok()?;
        let mut keys = Vec::new();
        for _ in 0..end.checked_sub(first)? {
            keys.push(take(rest)?.map(Bytes::copy_from_slice));
        }
        let kept = Kept {
            publisher,
            incarnation,
            sequences: first..end,
            sent_us,
            keys,
            wire: Bytes::copy_from_slice(rest),
        };
        Some(Self {
            topic,
            run,
            came_us,
            topic_name,
            kept,
        })
    }

    /// When it came, without reading the rest.
    pub(super) fn came_us(bytes: &[u8]) -> Option<u64> {
        number(&mut bytes.get(16..)?)
    }

    /// The frame as it travels, without its description.
    pub(super) fn wire(bytes: &[u8]) -> Option<Bytes> {
        let rest = &mut bytes.get(32..)?;
        let (first, end, _sent_us) = (number(rest)?, number(rest)?, number(rest)?);
        let (_topic, _publisher) = (take(rest)?, take(rest)?);
        for _ in 0..end.checked_sub(first)? {
            take(rest)?;
        }
        Some(Bytes::copy_from_slice(rest))
    }
}

/// The place of a key in [`NEWEST`]: topic, publisher and key cannot run into each other.
pub(super) fn newest_key(topic: u64, publisher: &[u8], key: Option<&[u8]>) -> Vec<u8> {
    let mut bytes = topic.to_be_bytes().to_vec();
    put(&mut bytes, publisher);
    bytes.push(u8::from(key.is_some()));
    bytes.extend(key.unwrap_or_default());
    bytes
}

fn put(bytes: &mut Vec<u8>, part: &[u8]) {
    // Names, peers and keys of the wire are short; what is longer than 32 bits can say would not decode.
    let length = u32::try_from(part.len()).map_or(u32::MAX, |length| length.saturating_add(1));
    bytes.extend(length.to_le_bytes());
    bytes.extend(part);
}

fn number(rest: &mut &[u8]) -> Option<u64> {
    let (number, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(u64::from_le_bytes(*number))
}

/// A part that was `put`, or none where there is none; outer `None`: not ours.
fn take<'b>(rest: &mut &'b [u8]) -> Option<Option<&'b [u8]>> {
    let (length, after) = rest.split_first_chunk()?;
    *rest = after;
    let length = u32::from_le_bytes(*length);
    if length == NO_KEY {
        return Some(None);
    }
    let (part, after) = rest.split_at_checked(length as usize - 1)?;
    *rest = after;
    Some(Some(part))
}
