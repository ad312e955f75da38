//! What a store of history keeps and answers, as plain data, and the trait of all stores. Frames are bytes here: whether
//! their signatures hold is decided before they come.

use std::{fmt::Debug, ops::Range, path::PathBuf};

use bytes::Bytes;
use libp2p::PeerId;

use crate::types::{Selector, TopicName};

use super::files::FileError;

/// A frame to be kept, with what a store must know of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Who signed it.
    pub publisher: PeerId,
    /// Of which of its publisher's runs on the topic.
    pub incarnation: u64,
    /// The sequence numbers of its records; empty in a head, where both ends are the next number.
    pub sequences: Range<u64>,
    /// When its publisher sent it: microseconds since the Unix epoch.
    pub sent_us: u64,
    /// The key of each record.
    pub keys: Vec<Option<Bytes>>,
    /// The frame as it travels.
    pub wire: Bytes,
}

impl Kept {
    /// Whether it holds no records, but says how many its run has.
    #[must_use]
    pub fn is_head(&self) -> bool {
        self.sequences.is_empty()
    }

    /// # Errors
    /// When the number of keys is not the number of records, or the range runs backwards.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        let records = self.sequences.end.checked_sub(self.sequences.start);
        if records == Some(self.keys.len() as u64) {
            Ok(())
        } else {
            Err(StoreError::Misfit)
        }
    }
}

/// Spans of one run that a store tells.
pub const SPANS_MAX: usize = 64;

/// What a store holds of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Whose run it is.
    pub publisher: PeerId,
    /// Which of its publisher's runs on the topic.
    pub incarnation: u64,
    /// What is held, without the holes: ascending, not touching. Of one with more holes the newest [`SPANS_MAX`].
    pub spans: Vec<Range<u64>>,
    /// The first sequence number held.
    pub first: u64,
    /// The one after the last held. Between the two there may be holes.
    pub next: u64,
    /// Where what was selected begins in this run.
    pub from: u64,
    /// When the last frame held was sent: microseconds since the Unix epoch.
    pub newest_us: u64,
    /// A signed head of the run, as it travels, if one was kept.
    pub head: Option<Bytes>,
}

impl Held {
    /// What two stores hold of one run.
    pub fn join(&mut self, other: Self) {
        let mut spans: Vec<Range<u64>> = self.spans.drain(..).chain(other.spans).collect();
        spans.sort_unstable_by_key(|span| span.start);
        for span in spans {
            match self.spans.last_mut() {
                Some(last) if span.start <= last.end => last.end = last.end.max(span.end),
                _ => self.spans.push(span),
            }
        }
        self.spans.drain(..self.spans.len().saturating_sub(SPANS_MAX));
        self.first = self.first.min(other.first);
        self.next = self.next.max(other.next);
        self.from = self.from.min(other.from);
        self.newest_us = self.newest_us.max(other.newest_us);
        self.head = self.head.take().or(other.head);
    }
}

/// Why a store could not keep or answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Its files could not be read or written: no space, no right, or another failure. It may be used again.
    #[error(transparent)]
    File(#[from] FileError),
    /// What its files hold is not what was written.
    #[error("history at {} is damaged ({what}): move it away to begin a new one", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// Written by another version of this software.
    #[error("history at {} has form {found}, this software reads {known}: use a version that knows it", path.display())]
    OtherForm {
        /// The file.
        path: PathBuf,
        /// The form it has.
        found: u64,
        /// The one that is read.
        known: u64,
    },
    /// Another process has it open.
    #[error("history at {} is in use by another process: stop it, or use another data directory", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The frame's keys do not fit its sequence numbers.
    #[error("a frame to be kept needs one key, or none, for each of its records")]
    Misfit,
    /// More topics than a store holds.
    #[error("a store holds at most {topics_max} topics: history of others is not kept")]
    TooManyTopics {
        /// The most held.
        topics_max: usize,
    },
    /// Too much waits for its disk.
    #[error("too much waits to be stored or read: the disk is slower than what comes")]
    Busy,
    /// Its thread has ended.
    #[error("the thread that writes history has ended")]
    Stopped,
}

impl StoreError {
    /// The same failure, told once more.
    pub(super) fn again(&self) -> Self {
        match self {
            Self::File(error) => Self::File(error.again()),
            Self::Damaged { path, what } => Self::Damaged {
                path: path.clone(),
                what: what.clone(),
            },
            Self::OtherForm { path, found, known } => Self::OtherForm {
                path: path.clone(),
                found: *found,
                known: *known,
            },
            Self::InUse { path } => Self::InUse { path: path.clone() },
            Self::Misfit => Self::Misfit,
            Self::TooManyTopics { topics_max } => Self::TooManyTopics {
                topics_max: *topics_max,
            },
            Self::Busy => Self::Busy,
            Self::Stopped => Self::Stopped,
        }
    }

    /// Whether only the frame was at fault, so that others may be kept.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Self::Misfit | Self::TooManyTopics { .. })
    }
}

/// History of one mesh. Callers may be blocked by it for as long as a disk takes.
///
/// Frames of one run never overlap in a store: the one that came first stays, whatever comes later for its numbers.
pub trait Store: Send + Debug {
    /// Keeps a frame, in whatever order frames come; one that is held changes nothing. A head replaces its run's older
    /// one. `now_us` is the time of its arrival here, by which the oldest go first.
    ///
    /// # Errors
    /// When it cannot be kept; what was kept before stays.
    fn append(&mut self, topic: &TopicName, kept: &Kept, now_us: u64) -> Result<(), StoreError>;

    /// Keeps several frames that came at one time, for less than one by one.
    ///
    /// # Errors
    /// When one of them cannot be kept; then it is not known which are.
    fn append_all(&mut self, batch: &[(TopicName, Kept)], now_us: u64) -> Result<(), StoreError> {
        batch
            .iter()
            .try_for_each(|(topic, kept)| self.append(topic, kept, now_us))
    }

    /// What is held of each run, by publisher and incarnation; runs of which nothing is selected are left out. A run of
    /// which only a head is held counts as selected by `All`: `first`, `next` and `from` are then the head's number.
    ///
    /// Within a run, times are taken to ascend with the sequence numbers; if they do not, `from` is one of the places
    /// where they pass the time asked for.
    ///
    /// # Errors
    /// When the files cannot be read.
    fn runs(&self, topic: &TopicName, selector: Selector) -> Result<Vec<Held>, StoreError>;

    /// Frames with a sequence number in `sequences`, ascending, together at most `bytes_max` bytes, but at least one if
    /// there is any. Holes are left out.
    ///
    /// # Errors
    /// When the files cannot be read.
    fn range(
        &self,
        topic: &TopicName,
        publisher: &PeerId,
        incarnation: u64,
        sequences: Range<u64>,
        bytes_max: usize,
    ) -> Result<Vec<Bytes>, StoreError>;

    /// Frames that hold the newest record of a publisher and key (no key counts as one), those that came last first,
    /// from the one numbered `skip`; with whether there are more. At most `bytes_max` bytes, but at least one if there is.
    ///
    /// In this order, a frame that comes between two questions leads to one that is told twice, not to one left out, as
    /// long as it makes no more than one other frame old.
    ///
    /// # Errors
    /// When the files cannot be read.
    fn latest(&self, topic: &TopicName, skip: usize, bytes_max: usize) -> Result<(Vec<Bytes>, bool), StoreError>;

    /// The topics of which anything is held, in order.
    ///
    /// # Errors
    /// When the files cannot be read.
    fn topics(&self) -> Result<Vec<TopicName>, StoreError>;

    /// Drops what is too old by now.
    ///
    /// # Errors
    /// When the files cannot be written.
    fn trim(&mut self, now_us: u64) -> Result<(), StoreError>;
}

/// Takes frames while they fit; at least one. Whether any was left is the second value.
pub(super) fn fill<E>(
    frames: impl Iterator<Item = Result<Bytes, E>>,
    bytes_max: usize,
) -> Result<(Vec<Bytes>, bool), E> {
    let (mut taken, mut bytes) = (Vec::new(), 0_usize);
    for wire in frames {
        let wire = wire?;
        bytes = bytes.saturating_add(wire.len());
        if bytes > bytes_max && !taken.is_empty() {
            return Ok((taken, true));
        }
        taken.push(wire);
    }
    Ok((taken, false))
}
