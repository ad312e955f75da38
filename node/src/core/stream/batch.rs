//! The records that gather for a publisher's next frame, and when they leave together. Not the window of frames that may
//! be under way, and not the frame.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use maille_proto::{FRAME_RECORDS_MAX, frame::Record};

/// A frame closes at so many bytes of keys and payloads, unless one record is larger.
pub const BATCH_BYTES: usize = 64 * 1_024;
/// Frames under way from which on records gather: below it each leaves at once.
pub const IN_FLIGHT_FRAMES: u64 = 4;
/// The longest that a record waits for others while frames are under way.
pub const LINGER: Duration = Duration::from_millis(2);

/// Records in the order of their sequence numbers.
#[derive(Debug, Default)]
pub(super) struct Batch {
    records: VecDeque<(Record, u64)>,
    bytes: usize,
    /// When the last frame left.
    left: Option<Instant>,
}

impl Batch {
    /// Adds a record that was published at this time by the publisher's clock.
    pub(super) fn push(&mut self, record: Record, sent_us: u64) {
        self.bytes += size(&record);
        self.records.push_back((record, sent_us));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether it fills a frame: no more is taken until that left.
    pub(super) fn is_full(&self) -> bool {
        self.bytes >= BATCH_BYTES || self.records.len() >= FRAME_RECORDS_MAX
    }

    /// Until when what gathers waits for more, with so many frames under way; `None`: it leaves at once.
    pub(super) fn lingers_until(&self, in_flight: u64) -> Option<Instant> {
        let waits = !self.is_empty() && !self.is_full() && in_flight >= IN_FLIGHT_FRAMES;
        self.left.filter(|_| waits).map(|left| left + LINGER)
    }

    /// The records of one frame, and when the first of them was published.
    pub(super) fn take(&mut self, now: Instant) -> (Vec<Record>, u64) {
        let mut records = Vec::with_capacity(self.records.len().min(FRAME_RECORDS_MAX));
        let (mut bytes, mut first_us) = (0, None);
        while let Some((record, sent_us)) = self.records.pop_front() {
            let size = size(&record);
            if !records.is_empty() && (bytes + size > BATCH_BYTES || records.len() == FRAME_RECORDS_MAX) {
                self.records.push_front((record, sent_us));
                break;
            }
            bytes += size;
            first_us.get_or_insert(sent_us);
            records.push(record);
        }
        self.bytes -= bytes;
        self.left = Some(now);
        (records, first_us.unwrap_or_default())
    }
}

fn size(record: &Record) -> usize {
    record.payload.len() + record.key.as_ref().map_or(0, Vec::len)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(bytes: usize) -> Record {
        Record {
            key: None,
            payload: vec![7; bytes],
        }
    }

    fn sizes(batch: &mut Batch, now: Instant) -> Vec<Vec<usize>> {
        let mut frames = vec![];
        while !batch.is_empty() {
            frames.push(batch.take(now).0.iter().map(size).collect());
        }
        frames
    }

    #[test]
    fn the_first_leaves_at_once_and_later_ones_gather_while_frames_are_under_way() {
        let now = Instant::now();
        let mut batch = Batch::default();
        batch.push(record(1), 5);
        assert_eq!(batch.lingers_until(9), None, "nothing left before it");
        assert_eq!(batch.take(now), (vec![record(1)], 5));
        batch.push(record(2), 6);
        batch.push(record(3), 7);
        assert_eq!(batch.lingers_until(IN_FLIGHT_FRAMES - 1), None);
        assert_eq!(batch.lingers_until(IN_FLIGHT_FRAMES), Some(now + LINGER));
        assert_eq!(batch.take(now), (vec![record(2), record(3)], 6));
    }

    #[test]
    fn a_frame_closes_at_64_kib_or_1_024_records_and_a_larger_record_goes_alone() {
        let now = Instant::now();
        let mut batch = Batch::default();
        for bytes in [BATCH_BYTES - 10, 10, 1, 3 * BATCH_BYTES, 1, BATCH_BYTES] {
            batch.push(record(bytes), 0);
        }
        assert!(batch.is_full());
        let expected: [&[usize]; 5] = [&[BATCH_BYTES - 10, 10], &[1], &[3 * BATCH_BYTES], &[1], &[BATCH_BYTES]];
        assert_eq!(sizes(&mut batch, now), expected);
        assert_eq!(batch.bytes, 0);
        for _ in 0..FRAME_RECORDS_MAX + 1 {
            assert!(!batch.is_full() || batch.len() == FRAME_RECORDS_MAX);
            batch.push(record(0), 0);
        }
        let frames = sizes(&mut batch, now);
        assert_eq!([frames[0].len(), frames[1].len()], [FRAME_RECORDS_MAX, 1]);
    }
}
