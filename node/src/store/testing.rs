//! What the tests of stores share: frames of any bytes, and a store so simple that it is right by reading. Only for tests.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use bytes::Bytes;
use libp2p::{PeerId, multihash::Multihash};
use proptest::prelude::*;

use crate::types::{Selector, TopicName};

use super::{
    history::{Held, Kept, SPANS_MAX, Store, StoreError},
    ring::RingLimits,
};

pub(super) fn peer(number: u8) -> PeerId {
    PeerId::from_multihash(Multihash::wrap(0x12, &[number; 32]).unwrap()).unwrap()
}

pub(super) fn topic(name: &str) -> TopicName {
    name.parse().unwrap()
}

/// A frame of a run whose times ascend; its bytes tell frames apart.
pub(super) fn frame(publisher: u8, incarnation: u64, sequences: Range<u64>, keys: &[Option<&'static str>]) -> Kept {
    let wire = format!("{publisher}/{incarnation}/{sequences:?}/{keys:?}");
    Kept {
        publisher: peer(publisher),
        incarnation,
        sent_us: (incarnation * 1_000).saturating_add(sequences.start.saturating_mul(10)),
        sequences,
        keys: keys
            .iter()
            .map(|key| key.map(|key| Bytes::from_static(key.as_bytes())))
            .collect(),
        wire: wire.into(),
    }
}

/// A frame of one keyless record.
pub(super) fn single(publisher: u8, incarnation: u64, sequence: u64) -> Kept {
    frame(publisher, incarnation, sequence..sequence + 1, &[None])
}

/// Something done to a store.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Append { topic: usize, kept: Kept },
    Later { us: u64 },
}

/// Any frames in any order, twice, overlapping, with holes and heads.
pub(super) fn steps(count: usize) -> impl Strategy<Value = Vec<Step>> {
    let key = prop::sample::select(vec![None, Some("a"), Some("b"), Some("c")]);
    let kept = (0_u8..3, 1_u64..3, 0_u64..40, prop::collection::vec(key, 0..5)).prop_map(
        |(publisher, incarnation, first, keys)| frame(publisher, incarnation, first..first + keys.len() as u64, &keys),
    );
    let step = prop_oneof![
        9 => (0_usize..2, kept).prop_map(|(topic, kept)| Step::Append { topic, kept }),
        1 => (1_u64..40).prop_map(|us| Step::Later { us }),
    ];
    prop::collection::vec(step, 0..count)
}

/// All that can be asked, asked of both.
pub(super) fn assert_same(store: &dyn Store, model: &Model, ask: (u64, u32, Range<u64>, usize)) {
    let (since_us, last, sequences, bytes_max) = ask;
    assert_eq!(store.topics().unwrap(), model.topics());
    for topic in store.topics().unwrap() {
        for selector in [Selector::All, Selector::Since(since_us), Selector::Last(last)] {
            assert_eq!(
                store.runs(&topic, selector).unwrap(),
                model.runs(&topic, selector),
                "{selector:?}"
            );
        }
        for held in model.runs(&topic, Selector::All) {
            for sequences in [0..u64::MAX, sequences.clone()] {
                for bytes_max in [usize::MAX, bytes_max] {
                    let frames = store
                        .range(&topic, &held.publisher, held.incarnation, sequences.clone(), bytes_max)
                        .unwrap();
                    let run = (held.publisher, held.incarnation);
                    assert_eq!(frames, model.range(&topic, run, &sequences, bytes_max), "{sequences:?}");
                }
            }
        }
        assert_eq!(
            store.latest(&topic, 0, usize::MAX).unwrap(),
            (model.latest(&topic), false)
        );
        let (mut paged, mut more) = (Vec::new(), true);
        while more {
            let page;
            (page, more) = store.latest(&topic, paged.len(), bytes_max).unwrap();
            paged.extend(page);
        }
        assert_eq!(paged, model.latest(&topic));
    }
}

/// History in lists that are searched from end to end.
#[derive(Debug)]
pub(super) struct Model {
    limits: RingLimits,
    topics: BTreeMap<TopicName, ModelTopic>,
}

#[derive(Debug, Default)]
struct ModelTopic {
    arrivals: u64,
    frames: Vec<(u64, u64, Kept)>,
    pinned: Vec<(u64, u64, Kept)>,
    newest: BTreeMap<(PeerId, Option<Bytes>), (u64, u64, u64)>,
}

impl Model {
    /// Only the bounds on records and age count.
    pub(super) fn new(limits: RingLimits) -> Self {
        Self {
            limits,
            topics: BTreeMap::new(),
        }
    }

    pub(super) fn append(&mut self, topic: &TopicName, kept: &Kept, now_us: u64) {
        let limits = self.limits;
        let model = self.topics.entry(topic.clone()).or_default();
        model.append(kept, now_us);
        model.shed(&limits, now_us);
    }

    pub(super) fn trim(&mut self, now_us: u64) {
        let limits = self.limits;
        self.topics.values_mut().for_each(|model| model.shed(&limits, now_us));
        self.topics
            .retain(|_, model| !model.frames.is_empty() || !model.pinned.is_empty());
    }

    fn topics(&self) -> Vec<TopicName> {
        self.topics.keys().cloned().collect()
    }

    fn runs(&self, topic: &TopicName, selector: Selector) -> Vec<Held> {
        let model = &self.topics[topic];
        let mut newest: Vec<(u64, PeerId, u64, u64)> = Vec::new();
        for (.., kept) in &model.frames {
            newest.extend(
                kept.sequences
                    .clone()
                    .map(|at| (kept.sent_us, kept.publisher, kept.incarnation, at)),
            );
        }
        newest.sort_unstable_by(|a, b| b.cmp(a));
        let selected = |kept: &Kept, at: u64| match selector {
            Selector::All => true,
            Selector::Since(us) => kept.sent_us >= us,
            Selector::Last(records) => {
                newest
                    .iter()
                    .take(records as usize)
                    .any(|(_, publisher, incarnation, newest)| {
                        (*publisher, *incarnation, *newest) == (kept.publisher, kept.incarnation, at)
                    })
            }
        };
        let ids: BTreeSet<_> = model
            .frames
            .iter()
            .map(|(.., kept)| (kept.publisher, kept.incarnation))
            .collect();
        let mut runs = Vec::new();
        for id in ids {
            let of_run = || {
                model
                    .frames
                    .iter()
                    .map(|(.., kept)| kept)
                    .filter(|kept| (kept.publisher, kept.incarnation) == id)
            };
            let head = of_run().find(|kept| kept.is_head());
            let frames: Vec<_> = of_run().filter(|kept| !kept.is_head()).collect();
            let records = frames
                .iter()
                .flat_map(|kept| kept.sequences.clone().map(move |at| (*kept, at)));
            let from = records.filter(|(kept, at)| selected(kept, *at)).map(|(_, at)| at).min();
            let alone = head.filter(|_| frames.is_empty()).map(|head| head.sequences.start);
            let Some(from) = from.or(alone.filter(|_| selector == Selector::All)) else {
                continue;
            };
            let mut spans: Vec<Range<u64>> = Vec::new();
            let held: BTreeSet<u64> = frames.iter().flat_map(|kept| kept.sequences.clone()).collect();
            for at in held {
                match spans.last_mut() {
                    Some(span) if span.end == at => span.end += 1,
                    _ => spans.push(at..at + 1),
                }
            }
            let beyond = spans.len().saturating_sub(SPANS_MAX);
            runs.push(Held {
                publisher: id.0,
                incarnation: id.1,
                spans: spans.split_off(beyond),
                first: alone.unwrap_or_else(|| frames.iter().map(|kept| kept.sequences.start).min().unwrap()),
                next: alone.unwrap_or_else(|| frames.iter().map(|kept| kept.sequences.end).max().unwrap()),
                from,
                newest_us: frames
                    .iter()
                    .max_by_key(|kept| kept.sequences.start)
                    .map_or_else(|| head.unwrap().sent_us, |kept| kept.sent_us),
                head: head.map(|kept| kept.wire.clone()),
            });
        }
        runs
    }

    fn range(&self, topic: &TopicName, run: (PeerId, u64), sequences: &Range<u64>, bytes_max: usize) -> Vec<Bytes> {
        let frames = self.topics[topic].frames.iter().map(|(.., kept)| kept);
        let mut frames: Vec<_> = frames
            .filter(|kept| (kept.publisher, kept.incarnation) == run && !kept.is_head())
            .filter(|_| !sequences.is_empty())
            .filter(|kept| kept.sequences.start < sequences.end && sequences.start < kept.sequences.end)
            .collect();
        frames.sort_by_key(|kept| kept.sequences.start);
        let mut bytes = 0;
        let fits = |kept: &&&Kept| {
            bytes += kept.wire.len();
            bytes <= bytes_max || bytes == kept.wire.len()
        };
        frames.iter().take_while(fits).map(|kept| kept.wire.clone()).collect()
    }

    fn latest(&self, topic: &TopicName) -> Vec<Bytes> {
        let model = &self.topics[topic];
        let mut numbers: Vec<_> = model.newest.values().map(|(.., number)| *number).collect();
        numbers.sort_unstable_by(|a, b| b.cmp(a));
        numbers.dedup();
        let all = || model.frames.iter().chain(&model.pinned);
        let wire = |number: &u64| all().find(|(at, ..)| at == number).unwrap().2.wire.clone();
        numbers.iter().map(wire).collect()
    }
}

impl ModelTopic {
    fn append(&mut self, kept: &Kept, now_us: u64) {
        let id = (kept.publisher, kept.incarnation);
        let of_run = |other: &Kept| (other.publisher, other.incarnation) == id && other.is_head() == kept.is_head();
        let mut others = self.frames.iter().filter(|(.., other)| of_run(other));
        if kept.is_head() {
            if others.any(|(.., other)| other.sequences.start >= kept.sequences.start) {
                return;
            }
            self.frames.retain(|(.., other)| !of_run(other));
        } else if others
            .any(|(.., other)| other.sequences.start < kept.sequences.end && kept.sequences.start < other.sequences.end)
        {
            return;
        }
        self.arrivals += 1;
        self.frames.push((self.arrivals, now_us, kept.clone()));
        for (sequence, key) in kept.sequences.clone().zip(&kept.keys) {
            let newest = self.newest.entry((kept.publisher, key.clone())).or_default();
            if (newest.0, newest.1) <= (kept.incarnation, sequence) {
                *newest = (kept.incarnation, sequence, self.arrivals);
            }
        }
        let Self { pinned, newest, .. } = self;
        pinned.retain(|(number, ..)| newest.values().any(|(.., at)| at == number));
    }

    fn shed(&mut self, limits: &RingLimits, now_us: u64) {
        loop {
            let records = self
                .frames
                .iter()
                .chain(&self.pinned)
                .map(|(.., kept)| kept.keys.len())
                .sum::<usize>();
            let old = |(_, came_us, _): &(u64, u64, Kept)| came_us + limits.age_us_max < now_us;
            if !(records > limits.records_max || self.frames.first().is_some_and(old)) {
                return;
            }
            if self.frames.is_empty() {
                self.drop_pinned();
                continue;
            }
            let oldest = self.frames.remove(0);
            if !self.newest.values().any(|(.., number)| *number == oldest.0) {
                continue;
            }
            self.pinned.push(oldest);
            self.pinned.sort_by_key(|(number, ..)| *number);
            while self.pinned.iter().map(|(.., kept)| kept.keys.len()).sum::<usize>() > limits.newest_records_max {
                self.drop_pinned();
            }
        }
    }

    fn drop_pinned(&mut self) {
        let (number, ..) = self.pinned.remove(0);
        self.newest.retain(|_, (.., at)| *at != number);
    }
}

/// Does a step to both.
pub(super) fn step(store: &mut dyn Store, model: &mut Model, step: Step, now_us: &mut u64) -> Result<(), StoreError> {
    match step {
        Step::Append { topic: index, kept } => {
            let name = topic(["news", "equities/us"][index]);
            store.append(&name, &kept, *now_us)?;
            model.append(&name, &kept, *now_us);
        }
        Step::Later { us } => {
            *now_us += us;
            store.trim(*now_us)?;
            model.trim(*now_us);
        }
    }
    Ok(())
}
