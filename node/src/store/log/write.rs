//! What changes in the log, within one transaction: frames come, and the oldest go. Not when a transaction begins and ends.

use std::collections::BTreeMap;

use redb::ReadableTable as _;

use crate::{
    store::history::{Kept, StoreError},
    types::TopicName,
};

use super::{
    LogLimits, TOPICS_MAX,
    fail::Fail,
    tables::{FORM, META_FORM, META_RUNS, META_TOPICS, Stored, Writing, newest_key},
};

/// The least part of the file that a large frame takes.
const PAGE_BYTES: u64 = 4_096;
/// What a row takes besides its own bytes.
const ROW_BYTES: u64 = 32;
/// What finding a frame again takes: two rows.
const PLACE_BYTES: u64 = 96;
/// What the newest record of a key takes besides the key: a row with the publisher in it.
const NEWEST_BYTES: u64 = 160;
/// Of the size allowed, what is for changes that are not over yet: pages are used again one or two commits after they were
/// freed, and the file never shrinks.
const CHANGES_BYTES: u64 = 16 * 1024 * 1024;
/// And eighths of it that frames may fill; pages are not always full.
const FILLED_EIGHTHS: u64 = 7;

impl Writing<'_> {
    /// Makes sure that the tables are of the form this software knows; whether they are new.
    pub(super) fn check_form(&mut self) -> Result<Option<u64>, Fail> {
        let form = self.meta.get(META_FORM)?.map(|form| form.value());
        if form.is_none() {
            self.meta.insert(META_FORM, FORM)?;
        }
        Ok(form.filter(|form| *form != FORM))
    }

    pub(super) fn append(&mut self, topic: &TopicName, kept: &Kept, now_us: u64) -> Result<(), Fail> {
        let mut topic_id = self.topic(topic)?;
        let publisher = kept.publisher.to_bytes();
        let mut run = self.run(topic_id, &publisher, kept.incarnation)?;
        let (first, end) = (kept.sequences.start, kept.sequences.end);
        if kept.is_head() {
            let old = self.heads.get(run)?.map(|head| head.value());
            if let Some(old) = old {
                if self.stored(old)?.kept.sequences.start >= first {
                    return Ok(());
                }
                self.remove(old)?;
                // That may have taken the run and the topic with it.
                topic_id = self.topic(topic)?;
                run = self.run(topic_id, &publisher, kept.incarnation)?;
            }
        } else if let Some(before) = self.places.range((run, 0)..(run, end))?.next_back() {
            let (_, place) = before?;
            if place.value().0 > first {
                return Ok(());
            }
        }
        self.arrivals += 1;
        let arrival = self.arrivals;
        if kept.is_head() {
            self.heads.insert(run, arrival)?;
        } else {
            self.places.insert((run, first), (end, kept.sent_us, arrival))?;
        }
        let stored = Stored {
            topic: topic_id,
            run,
            came_us: now_us,
            topic_name: topic.to_string(),
            kept: kept.clone(),
        };
        let bytes = stored.encode();
        self.bytes += frame_cost(bytes.len());
        self.frames.insert(arrival, bytes.as_slice())?;
        self.note_newest(topic_id, &publisher, kept, arrival)
    }

    /// Drops the oldest until all bounds hold.
    pub(super) fn shed(&mut self, limits: &LogLimits, now_us: u64) -> Result<(), Fail> {
        let oldest_us = now_us.saturating_sub(limits.age_us_max);
        let bytes_max = (limits.bytes_max / 8 * FILLED_EIGHTHS).saturating_sub(CHANGES_BYTES);
        loop {
            let Some((arrival, came_us)) = self.oldest()? else {
                return Ok(());
            };
            let full = self.bytes > bytes_max;
            if !full && came_us >= oldest_us {
                return Ok(());
            }
            self.remove(arrival)?;
        }
    }

    fn oldest(&self) -> Result<Option<(u64, u64)>, Fail> {
        let Some((arrival, bytes)) = self.frames.first()? else {
            return Ok(None);
        };
        let came_us = Stored::came_us(bytes.value()).ok_or(Fail::Row("a frame without its time"))?;
        Ok(Some((arrival.value(), came_us)))
    }

    fn remove(&mut self, arrival: u64) -> Result<(), Fail> {
        let stored = self.stored(arrival)?;
        let kept = &stored.kept;
        let publisher = kept.publisher.to_bytes();
        let mut freed = frame_cost(self.frames.remove(arrival)?.map_or(0, |bytes| bytes.value().len()));
        if kept.is_head() {
            self.heads.remove(stored.run)?;
        } else {
            self.places.remove((stored.run, kept.sequences.start))?;
        }
        self.newest_frames.remove((stored.topic, arrival))?;
        for key in &kept.keys {
            let place = newest_key(stored.topic, &publisher, key.as_deref());
            let newest = self.newest.get(place.as_slice())?.map(|newest| newest.value());
            if newest.is_some_and(|(.., frame)| frame == arrival) {
                self.newest.remove(place.as_slice())?;
                freed += newest_cost(key.as_deref());
            }
        }
        self.bytes = self.bytes.saturating_sub(freed);
        let empty = self.heads.get(stored.run)?.is_none()
            && self
                .places
                .range((stored.run, 0)..=(stored.run, u64::MAX))?
                .next()
                .is_none();
        if empty {
            self.runs
                .remove((stored.topic, publisher.as_slice(), kept.incarnation))?;
            let none: &[u8] = &[];
            if self
                .runs
                .range((stored.topic, none, 0)..(stored.topic + 1, none, 0))?
                .next()
                .is_none()
            {
                self.topics.remove(stored.topic_name.as_str())?;
            }
        }
        Ok(())
    }

    /// Of one record that is in two frames, the later frame counts.
    fn note_newest(&mut self, topic: u64, publisher: &[u8], kept: &Kept, arrival: u64) -> Result<(), Fail> {
        // Keys repeat within a frame: only the last record of each is written.
        let records = kept.sequences.clone().zip(&kept.keys);
        let last: BTreeMap<_, u64> = records.map(|(sequence, key)| (key, sequence)).collect();
        let mut held = 0;
        for (key, sequence) in last {
            let place = newest_key(topic, publisher, key.as_deref());
            let old = self.newest.get(place.as_slice())?.map(|newest| newest.value());
            if let Some((incarnation, newest, frame)) = old {
                if (incarnation, newest) > (kept.incarnation, sequence) {
                    continue;
                }
                let records = self
                    .newest_frames
                    .get((topic, frame))?
                    .map_or(0, |records| records.value());
                if records > 1 {
                    self.newest_frames.insert((topic, frame), records - 1)?;
                } else {
                    self.newest_frames.remove((topic, frame))?;
                }
            } else {
                self.bytes += newest_cost(key.as_deref());
            }
            self.newest
                .insert(place.as_slice(), (kept.incarnation, sequence, arrival))?;
            held += 1;
        }
        if held > 0 {
            self.newest_frames.insert((topic, arrival), held)?;
        }
        Ok(())
    }

    fn stored(&self, arrival: u64) -> Result<Stored, Fail> {
        let bytes = self.frames.get(arrival)?.ok_or(Fail::Row("a frame is missing"))?;
        Stored::decode(bytes.value()).ok_or(Fail::Row("a frame has another form"))
    }

    fn topic(&mut self, topic: &TopicName) -> Result<u64, Fail> {
        if let Some(number) = self.topics.get(topic.as_str())? {
            return Ok(number.value());
        }
        if redb::ReadableTableMetadata::len(&self.topics)? >= TOPICS_MAX as u64 {
            return Err(Fail::Refused(StoreError::TooManyTopics { topics_max: TOPICS_MAX }));
        }
        let number = self.count(META_TOPICS)?;
        self.topics.insert(topic.as_str(), number)?;
        Ok(number)
    }

    fn run(&mut self, topic: u64, publisher: &[u8], incarnation: u64) -> Result<u64, Fail> {
        if let Some(number) = self.runs.get((topic, publisher, incarnation))? {
            return Ok(number.value());
        }
        let number = self.count(META_RUNS)?;
        self.runs.insert((topic, publisher, incarnation), number)?;
        Ok(number)
    }

    /// A number that was not given out yet.
    fn count(&mut self, name: &'static str) -> Result<u64, Fail> {
        let next = self.meta.get(name)?.map_or(0, |number| number.value()) + 1;
        self.meta.insert(name, next)?;
        Ok(next)
    }
}

/// What a frame takes of the file: small ones share a page, which is not always full, large ones have pages of their own,
/// of sizes that are powers of two.
fn frame_cost(bytes: usize) -> u64 {
    let row = bytes as u64 + ROW_BYTES;
    let in_pages = if row > PAGE_BYTES / 3 {
        row.next_power_of_two()
    } else {
        row + row / 8
    };
    PLACE_BYTES + in_pages
}

fn newest_cost(key: Option<&[u8]>) -> u64 {
    NEWEST_BYTES + key.map_or(0, |key| key.len() as u64)
}
