//! What is asked of the log. Nothing here writes.

use std::ops::Range;

use bytes::Bytes;
use libp2p::PeerId;
use redb::ReadableTable as _;

use crate::{
    store::{
        history::{Held, SPANS_MAX, fill},
        select::{self, Place},
    },
    types::{Selector, TopicName},
};

use super::{
    fail::Fail,
    tables::{Reading, Stored},
};

/// A run with the bounds of what is held of it.
struct Run {
    publisher: PeerId,
    incarnation: u64,
    number: u64,
    first: Option<u64>,
    last: Option<Place>,
    head: Option<Stored>,
}

impl Reading {
    pub(super) fn topics(&self) -> Result<Vec<TopicName>, Fail> {
        let names = self.topics.iter()?.map(|row| {
            let (name, _) = row?;
            name.value().parse().map_err(|_| Fail::Row("a topic has no name"))
        });
        names.collect()
    }

    pub(super) fn runs(&self, topic: &TopicName, selector: Selector) -> Result<Vec<Held>, Fail> {
        let runs = self.held(topic)?;
        let from = self.selected(&runs, selector)?;
        let selected = runs.into_iter().zip(from).filter_map(|(run, from)| Some((run, from?)));
        let held = selected.map(|(run, from)| {
            let alone = run.head.as_ref().map_or(0, |head| head.kept.sequences.start);
            let sent_us = run.head.as_ref().map_or(0, |head| head.kept.sent_us);
            let places = self.places.range((run.number, 0)..=(run.number, u64::MAX))?.rev();
            let spans = places.map(|row| {
                let (place, end) = row?;
                Ok::<_, Fail>(place.value().1..end.value().0)
            });
            Ok(Held {
                publisher: run.publisher,
                incarnation: run.incarnation,
                spans: select::spans(spans, SPANS_MAX)?,
                first: run.first.unwrap_or(alone),
                next: run.last.map_or(alone, |last| last.end),
                from,
                newest_us: run.last.map_or(sent_us, |last| last.sent_us),
                head: run.head.map(|head| head.kept.wire),
            })
        });
        held.collect()
    }

    pub(super) fn range(
        &self,
        topic: &TopicName,
        publisher: &PeerId,
        incarnation: u64,
        sequences: Range<u64>,
        bytes_max: usize,
    ) -> Result<Vec<Bytes>, Fail> {
        let Some(topic) = self.topics.get(topic.as_str())?.map(|number| number.value()) else {
            return Ok(Vec::new());
        };
        let publisher = publisher.to_bytes();
        let run = self.runs.get((topic, publisher.as_slice(), incarnation))?;
        let Some(run) = run.map(|number| number.value()).filter(|_| !sequences.is_empty()) else {
            return Ok(Vec::new());
        };
        // The frame that holds the first number may begin before it.
        let start = self
            .before(run, sequences.start)?
            .filter(|place| place.end > sequences.start)
            .map_or(sequences.start, |place| place.first);
        let wires = self.places.range((run, start)..(run, sequences.end))?.map(|row| {
            let (.., arrival) = row?.1.value();
            self.wire(arrival)
        });
        Ok(fill(wires, bytes_max)?.0)
    }

    pub(super) fn latest(&self, topic: &TopicName, skip: usize, bytes_max: usize) -> Result<(Vec<Bytes>, bool), Fail> {
        let Some(topic) = self.topics.get(topic.as_str())?.map(|number| number.value()) else {
            return Ok((Vec::new(), false));
        };
        let frames = self
            .newest_frames
            .range((topic, 0)..=(topic, u64::MAX))?
            .rev()
            .skip(skip);
        fill(frames.map(|row| self.wire(row?.0.value().1)), bytes_max)
    }

    /// All runs of a topic, by publisher and incarnation.
    fn held(&self, topic: &TopicName) -> Result<Vec<Run>, Fail> {
        let Some(topic) = self.topics.get(topic.as_str())?.map(|number| number.value()) else {
            return Ok(Vec::new());
        };
        let none: &[u8] = &[];
        let mut runs = Vec::new();
        for row in self.runs.range((topic, none, 0)..(topic + 1, none, 0))? {
            let (key, number) = row?;
            let (_, publisher, incarnation) = key.value();
            let number = number.value();
            let head = self.heads.get(number)?.map(|arrival| self.stored(arrival.value()));
            let first = self
                .places
                .range((number, 0)..=(number, u64::MAX))?
                .next()
                .transpose()?;
            runs.push(Run {
                publisher: PeerId::from_bytes(publisher).map_err(|_| Fail::Row("a run has no publisher"))?,
                incarnation,
                number,
                first: first.map(|(key, _)| key.value().1),
                last: self.before(number, u64::MAX)?,
                head: head.transpose()?,
            });
        }
        // The bytes of publishers sort as they do; only this makes sure of it.
        runs.sort_unstable_by_key(|run| (run.publisher, run.incarnation));
        Ok(runs)
    }

    /// Where the selection begins in each run.
    fn selected(&self, runs: &[Run], selector: Selector) -> Result<Vec<Option<u64>>, Fail> {
        let all = runs.iter();
        match selector {
            Selector::All => {
                let head = |run: &Run| run.head.as_ref().map(|head| head.kept.sequences.start);
                Ok(all.map(|run| run.first.or(head(run))).collect())
            }
            Selector::Since(since_us) => all
                .map(|run| match (run.first, run.last) {
                    (Some(first), Some(last)) => {
                        select::since((first, last.end), since_us, |number| self.before(run.number, number))
                    }
                    _ => Ok(None),
                })
                .collect(),
            Selector::Last(records) => {
                let of = |run: &Run| select::Run {
                    publisher: run.publisher,
                    incarnation: run.incarnation,
                    next: run.last.map_or(0, |last| last.end),
                };
                let ends: Vec<_> = all.map(of).collect();
                select::last(&ends, records, |index, number| self.before(runs[index].number, number))
            }
        }
    }

    /// The last frame of a run that begins before a number.
    fn before(&self, run: u64, number: u64) -> Result<Option<Place>, Fail> {
        let Some(row) = self.places.range((run, 0)..(run, number))?.next_back() else {
            return Ok(None);
        };
        let (key, place) = row?;
        let (end, sent_us, _) = place.value();
        Ok(Some(Place {
            first: key.value().1,
            end,
            sent_us,
        }))
    }

    fn wire(&self, arrival: u64) -> Result<Bytes, Fail> {
        let bytes = self.frames.get(arrival)?.ok_or(Fail::Row("a frame is missing"))?;
        Stored::wire(bytes.value()).ok_or(Fail::Row("a frame has another form"))
    }

    fn stored(&self, arrival: u64) -> Result<Stored, Fail> {
        let bytes = self.frames.get(arrival)?.ok_or(Fail::Row("a head is missing"))?;
        Stored::decode(bytes.value()).ok_or(Fail::Row("a head has another form"))
    }
}
