//! What a mesh's node holds of the past: its memory, and a durable log where there is one. It answers from both; what may
//! be asked, and by whom, is decided elsewhere.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use libp2p::PeerId;
use maille_proto::{
    CATCHUP_FILL_BYTES, CATCHUP_HEAD_BYTES_MAX, CATCHUP_TOPICS_MAX, SIGNATURE_BYTES, decode_frame_body,
};

use super::{aside, unix_us};
use crate::core::catchup::wire::{TopicHeld, write_frames, write_runs};
use crate::core::catchup::{Answer, Claim, Question, Run};
use crate::core::stream::{Context, Frame, Tail};
use crate::store::{Budget, Held, Kept, LogHandle, LogLimits, Ring, RingLimits, Store, StoreError};
use crate::types::{Selector, TopicName};

/// What is held, in the words of the store.
pub(super) enum Read {
    Runs(Vec<Held>, Option<Run>),
    Frames(Vec<Bytes>, bool),
}

/// The history of one mesh.
#[derive(Debug)]
pub(super) struct History {
    ring: Ring,
    log: Option<Durable>,
}

#[derive(Debug)]
struct Durable {
    log: LogHandle,
    limits: LogLimits,
    /// Of which topics everything that comes is stored.
    topics: BTreeSet<TopicName>,
}

impl History {
    pub(super) fn new(budget: Budget) -> Self {
        Self {
            ring: Ring::new(RingLimits::default(), budget),
            log: None,
        }
    }

    /// From now on there is a durable log.
    pub(super) fn set_log(&mut self, log: LogHandle, limits: LogLimits) {
        self.log = Some(Durable {
            log,
            limits,
            topics: BTreeSet::new(),
        });
    }

    /// The log cannot be used.
    pub(super) fn drop_log(&mut self) {
        self.log = None;
    }

    /// The limits of the durable log, if there is one.
    pub(super) fn limits(&self) -> Option<LogLimits> {
        self.log.as_ref().map(|durable| durable.limits)
    }

    /// From now on everything of this topic is stored. Tells where the last run of `publisher` ended; nothing if there is
    /// no log.
    pub(super) fn make_durable(
        &mut self,
        topic: &TopicName,
        publisher: PeerId,
    ) -> Option<BoxFuture<'static, Option<Tail>>> {
        let durable = self.log.as_mut()?;
        durable.topics.insert(topic.clone());
        Some(tail(durable.log.clone(), topic.clone(), publisher).boxed())
    }

    pub(super) fn is_durable(&self, topic: &TopicName) -> bool {
        self.log.as_ref().is_some_and(|durable| durable.topics.contains(topic))
    }

    /// Keeps a frame that is signed for the topic.
    ///
    /// # Errors
    /// When it is to be stored and cannot be. It is remembered all the same.
    pub(super) fn keep(&mut self, topic: &TopicName, kept: Kept) -> Result<(), StoreError> {
        if let Err(error) = self.ring.append(topic, &kept, unix_us()) {
            tracing::debug!(%error, "a frame is not remembered");
        }
        match &self.log {
            Some(durable) if durable.topics.contains(topic) => Ok(durable.log.append(topic, kept)?),
            _ => Ok(()),
        }
    }

    /// Holds a frame of the past for others, unless it would be forgotten by now had it been heard when it was sent.
    pub(super) fn remember(&mut self, topic: &TopicName, frame: &Frame) {
        let now_us = unix_us();
        if RingLimits::default().forgets(frame.sent_us, now_us) {
            return;
        }
        if let Err(error) = self.ring.append(topic, &kept(frame), now_us) {
            tracing::debug!(%error, "a frame is not remembered");
        }
    }

    /// Stores a frame of the past.
    ///
    /// # Errors
    /// [`StoreError::Busy`]: give it again later.
    pub(super) fn store(&self, topic: &TopicName, kept: Kept) -> Result<(), StoreError> {
        match &self.log {
            Some(durable) => Ok(durable.log.append(topic, kept)?),
            None => Err(StoreError::Stopped),
        }
    }

    /// The frame that holds this record, if it is remembered.
    pub(super) fn frame(&self, topic: &TopicName, run: Run, sequence: u64) -> Option<Bytes> {
        let frames = self
            .ring
            .range(topic, &run.publisher, run.incarnation, sequence..sequence + 1, 1);
        frames.ok()?.into_iter().next()
    }

    /// Forgets what is too old.
    pub(super) fn trim(&mut self) {
        if let Err(error) = self.ring.trim(unix_us()) {
            tracing::debug!(%error, "old history was not dropped");
        }
    }

    /// The topics of which something is held, after this one.
    pub(super) fn topics(&self, after: Option<TopicName>) -> BoxFuture<'static, Result<Vec<TopicHeld>, StoreError>> {
        let remembered = topics(&self.ring, after.as_ref(), false);
        let Some(durable) = &self.log else {
            return futures::future::ready(remembered).boxed();
        };
        let asked = durable.log.ask(move |store| topics(store, after.as_ref(), true));
        async move {
            let stored = asked?.await.unwrap_or(Err(StoreError::Stopped))?;
            let all = remembered?.into_iter().chain(stored);
            // What is stored counts for more: it comes later.
            let all: BTreeMap<_, _> = all.map(|topic| (topic.name.clone(), topic)).collect();
            Ok(all.into_values().collect())
        }
        .boxed()
    }

    /// What is held of a topic, as asked; the future may wait for a disk.
    pub(super) fn read(&self, topic: &TopicName, what: Question) -> BoxFuture<'static, Result<Read, StoreError>> {
        let Some(durable) = &self.log else {
            return futures::future::ready(read(&self.ring, topic, what)).boxed();
        };
        let remembered = match &what {
            // A question that memory answers whole needs no disk.
            Question::Range { sequences, .. } => match read(&self.ring, topic, what.clone()) {
                Ok(Read::Frames(frames, more))
                    if frames.first().is_some_and(|first| begins_by(first, sequences.start)) =>
                {
                    return futures::future::ready(Ok(Read::Frames(frames, more))).boxed();
                }
                remembered => remembered,
            },
            Question::Latest { .. } if durable.topics.contains(topic) => Ok(Read::Frames(vec![], false)),
            Question::Runs { .. } | Question::Latest { .. } => read(&self.ring, topic, what.clone()),
        };
        let stored = read_log(durable.log.clone(), topic.clone(), what);
        async move { Ok(remembered?.with(stored.await?)) }.boxed()
    }
}

/// Where the last run of a publisher ended, as the log knows it.
async fn tail(log: LogHandle, topic: TopicName, publisher: PeerId) -> Option<Tail> {
    let asked = log.ask(move |store| {
        let runs = store.runs(&topic, Selector::All)?;
        let last = runs
            .into_iter()
            .filter(|run| run.publisher == publisher && !run.spans.is_empty())
            .max_by_key(|run| run.incarnation);
        let Some(run) = last else { return Ok(None) };
        let frames = store.range(&topic, &publisher, run.incarnation, run.next - 1..run.next, 1)?;
        Ok(frames
            .first()
            .and_then(|wire| wire.get(SIGNATURE_BYTES..))
            .map(|body| Tail {
                incarnation: run.incarnation,
                next_sequence: run.next,
                body_hash: *blake3::hash(body).as_bytes(),
            }))
    });
    // Without it, the new run only does not name the one before.
    asked.ok()?.await.ok()?.ok()?
}

/// The topics after one, and what is held of them.
fn topics(store: &dyn Store, after: Option<&TopicName>, kept: bool) -> Result<Vec<TopicHeld>, StoreError> {
    let mut names = store.topics()?;
    names.retain(|name| after.is_none_or(|after| name > after));
    names.sort_unstable();
    names.truncate(CATCHUP_TOPICS_MAX + 1);
    let held = names.into_iter().map(|name| {
        let runs = store.runs(&name, Selector::All)?;
        let publishers: BTreeSet<_> = runs.iter().map(|run| run.publisher).collect();
        Ok(TopicHeld {
            publishers: u32::try_from(publishers.len()).unwrap_or(u32::MAX),
            newest_us: runs.iter().map(|run| run.newest_us).max().unwrap_or_default(),
            kept,
            name,
        })
    });
    held.collect()
}

fn read(store: &dyn Store, topic: &TopicName, what: Question) -> Result<Read, StoreError> {
    Ok(match what {
        Question::Runs { selector, from } => Read::Runs(store.runs(topic, selector)?, from),
        Question::Range { run, sequences } => {
            let Run { publisher, incarnation } = run;
            let frames = store.range(topic, &publisher, incarnation, sequences.clone(), CATCHUP_FILL_BYTES)?;
            let end = frames.last().and_then(|last| end_of(last)).unwrap_or(sequences.end);
            let more = end < sequences.end
                && !store
                    .range(topic, &publisher, incarnation, end..sequences.end, 1)?
                    .is_empty();
            Read::Frames(frames, more)
        }
        Question::Latest { skip } => {
            let (frames, more) = store.latest(topic, skip as usize, CATCHUP_FILL_BYTES)?;
            Read::Frames(frames, more)
        }
    })
}

async fn read_log(log: LogHandle, topic: TopicName, what: Question) -> Result<Read, StoreError> {
    match log.ask(move |store| read(store, &topic, what)) {
        Ok(asked) => asked.await.unwrap_or(Err(StoreError::Stopped)),
        Err(error) => Err(error.into()),
    }
}

/// Whether a frame's records begin at or below this sequence number.
fn begins_by(wire: &[u8], sequence: u64) -> bool {
    let body = wire.get(SIGNATURE_BYTES..).map(decode_frame_body);
    body.and_then(Result::ok)
        .is_some_and(|body| body.first_sequence <= sequence)
}

/// Makes something of what is read, away from the loop; nothing, if it cannot be read.
pub(super) async fn made<T: Send + 'static>(
    read: impl Future<Output = Result<Read, StoreError>>,
    make: impl FnOnce(Read) -> T + Send + 'static,
) -> Option<T> {
    match read.await {
        Ok(read) => aside::run(move || make(read)).await.ok(),
        Err(error) => {
            tracing::warn!(%error, "history cannot be read");
            None
        }
    }
}

/// The sequence number after a frame's last record.
fn end_of(wire: &[u8]) -> Option<u64> {
    let body = decode_frame_body(wire.get(SIGNATURE_BYTES..)?).ok()?;
    Some(body.first_sequence + body.records.len() as u64)
}

impl Read {
    /// What both hold: the first from memory, the other from a disk.
    fn with(self, other: Self) -> Self {
        match (self, other) {
            (Self::Runs(mut held, from), Self::Runs(stored, _)) => {
                for run in stored {
                    let same =
                        |held: &&mut Held| (held.publisher, held.incarnation) == (run.publisher, run.incarnation);
                    match held.iter_mut().find(same) {
                        Some(held) => held.join(run),
                        None => held.push(run),
                    }
                }
                held.sort_unstable_by_key(|held| (held.publisher, held.incarnation));
                Self::Runs(held, from)
            }
            // A disk holds more than memory, if anything.
            (Self::Frames(remembered, more), Self::Frames(stored, _)) if stored.is_empty() => {
                Self::Frames(remembered, more)
            }
            (_, stored) => stored,
        }
    }

    /// As the machine of catch-up takes it. Checks signatures: files may be damaged. Takes time.
    pub(super) fn open(self, context: &Context) -> Answer {
        match self {
            Self::Runs(held, from) => {
                let claims = claims(held, from, context).map(|(claim, _)| claim).collect();
                Answer::Runs { claims, more: false }
            }
            Self::Frames(frames, more) => Answer::open(frames, more, context),
        }
    }

    /// As it travels. Takes time.
    pub(super) fn write(self, context: &Context) -> Vec<u8> {
        match self {
            Self::Runs(held, from) => write_runs(claims(held, from, context)),
            Self::Frames(frames, more) => write_frames(frames, more),
        }
    }
}

fn claims(held: Vec<Held>, from: Option<Run>, context: &Context) -> impl Iterator<Item = (Claim, Option<Bytes>)> {
    let wanted = held.into_iter().filter(move |held| {
        let run = Run {
            publisher: held.publisher,
            incarnation: held.incarnation,
        };
        !held.spans.is_empty() && from.is_none_or(|from| run >= from)
    });
    wanted.map(|held| {
        let head = held.head.filter(|head| head.len() <= CATCHUP_HEAD_BYTES_MAX);
        let proved = head.as_ref().and_then(|head| Frame::open(head.clone(), context).ok());
        let claim = Claim {
            run: Run {
                publisher: held.publisher,
                incarnation: held.incarnation,
            },
            held: held.spans,
            from: held.from,
            newest_us: held.newest_us,
            proved: proved.map(|head| head.sequences().start),
        };
        (claim, head)
    })
}

/// A frame as the store wants it.
pub(super) fn kept(frame: &Frame) -> Kept {
    Kept {
        publisher: frame.publisher,
        incarnation: frame.incarnation,
        sequences: frame.sequences(),
        sent_us: frame.sent_us,
        keys: frame.records().map(|(_, key, _)| key.cloned()).collect(),
        wire: frame.wire.clone(),
    }
}
