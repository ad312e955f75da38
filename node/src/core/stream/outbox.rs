//! One publisher on one topic: what it sends, when, and how far ahead of its neighbours. Not the queue before it, and not
//! storage.

use std::{
    collections::VecDeque,
    ops::Range,
    time::{Duration, Instant},
};

use bytes::Bytes;
use libp2p::PeerId;
use maille_proto::{
    KEY_BYTES_MAX, RECORD_BYTES_MAX,
    frame::{Predecessor, Record},
};

use super::{
    audience::Audience,
    batch::Batch,
    frame::BodyError,
    heads::Heads,
    seal::{Context, SealedFrame, SigningKey, Unsigned},
};

/// Frames that a publisher may be ahead of its subscribed neighbours, a few stragglers apart.
///
/// Not of the slowest, which must not slow others; nor of the fastest alone: where all share one machine or uplink, the
/// others would fall behind without bound.
pub const WINDOW_FRAMES: u64 = 256;
/// Bytes of frames that it may be ahead of them, but for one frame: less than fills a subscriber's inbox.
pub const WINDOW_BYTES: u64 = 4 * 1_024 * 1_024;
/// How long a shut window waits for its neighbours before one more frame leaves: its acknowledgement shows whether
/// an earlier one was lost.
pub const STALL_TIMEOUT: Duration = Duration::from_secs(30);

/// What happened.
#[derive(Debug, Clone)]
pub enum Input {
    /// The application published a record. More than about one frame's worth of them is to be given only while
    /// [`Outbox::has_room`].
    Published {
        /// The record's key, if it has one.
        key: Option<Bytes>,
        /// What it says.
        payload: Bytes,
        /// The clock, in microseconds since the Unix epoch.
        sent_us: u64,
    },
    /// A neighbour acknowledged everything below `next`.
    Acked {
        /// Which one.
        peer: PeerId,
        /// The run that it acknowledged.
        incarnation: u64,
        /// What it expects next.
        next: u64,
    },
    /// A neighbour is subscribed to the topic.
    Subscribed {
        /// Which one.
        peer: PeerId,
    },
    /// A neighbour is no longer subscribed, or no longer a neighbour.
    Gone {
        /// Which one.
        peer: PeerId,
    },
    /// [`Outbox::next_deadline`] has passed.
    TimedOut {
        /// The clock, in microseconds since the Unix epoch.
        now_us: u64,
    },
    /// The publisher stops: what gathers leaves now, however far ahead it is.
    Leaving,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Gossip a frame.
    Send {
        /// The sequence numbers of its records: none if it is a head.
        sequences: Range<u64>,
        /// The key of each record.
        keys: Vec<Option<Bytes>>,
        /// When it says that it was sent, in microseconds since the Unix epoch.
        sent_us: u64,
        /// The frame.
        frame: SealedFrame,
    },
    /// Tell the application that its record was not sent. It took no sequence number.
    Refuse {
        /// Why.
        why: Refusal,
    },
    /// Tell the application that for [`STALL_TIMEOUT`] the window stayed shut.
    ReportStall {
        /// Records that not every subscribed neighbour acknowledged.
        unacked: u64,
    },
}

/// Why a record was not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Subscribers would reject it.
    #[error("a key of {key_bytes} bytes or a payload of {payload_bytes} bytes is too large for a record")]
    TooLarge {
        /// Of its key.
        key_bytes: usize,
        /// Of its payload.
        payload_bytes: usize,
    },
    /// Subscribers would reject it.
    #[error(transparent)]
    Body(#[from] BodyError),
}

/// Where a publisher's run ended, or stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tail {
    /// The run.
    pub incarnation: u64,
    /// The sequence number that is next.
    pub next_sequence: u64,
    /// The hash of the body of its last frame.
    pub body_hash: [u8; 32],
}

/// The machine. Time is an argument; there is no randomness in it.
#[derive(Debug)]
pub struct Outbox {
    key: SigningKey,
    context: Context,
    content_type: String,
    incarnation: u64,
    lifetime_ms: u32,
    next_sequence: u64,
    /// The frame before the next one: of this run, or the last one of the run before.
    previous: Option<[u8; 32]>,
    predecessor: Option<Predecessor>,
    batch: Batch,
    heads: Heads,
    audience: Audience,
    /// Where the last frames end, and how many bytes were sent before them; the latest last. At most [`WINDOW_FRAMES`] of
    /// them, which is all the window counts.
    ends: VecDeque<(u64, u64)>,
    /// Bytes of all frames.
    sent_bytes: u64,
    gate: Gate,
    acks_ignored: u64,
}

/// Whether one more frame may leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gate {
    Open,
    /// Shut until an acknowledgement comes, or until then.
    Shut(Instant),
    /// Shut for too long: one frame may leave.
    Probing,
}

impl Outbox {
    /// A new run of a publisher. `incarnation` is later than that of `before`, the run before it, where that is known.
    #[must_use]
    pub fn new(
        key: SigningKey,
        context: Context,
        content_type: String,
        incarnation: u64,
        before: Option<Tail>,
    ) -> Self {
        Self {
            key,
            context,
            content_type,
            incarnation,
            lifetime_ms: 0,
            next_sequence: 0,
            previous: before.map(|tail| tail.body_hash),
            predecessor: before.map(|tail| Predecessor {
                incarnation: tail.incarnation,
                next_sequence: tail.next_sequence,
            }),
            batch: Batch::default(),
            heads: Heads::default(),
            audience: Audience::default(),
            ends: VecDeque::new(),
            sent_bytes: 0,
            gate: Gate::Open,
            acks_ignored: 0,
        }
    }

    /// Its records lose their worth so many milliseconds after they were sent; 0: never.
    #[must_use]
    pub fn with_lifetime_ms(self, lifetime_ms: u32) -> Self {
        Self { lifetime_ms, ..self }
    }

    /// Takes in what happened and says what to do.
    pub fn handle(&mut self, input: Input, now: Instant, out: &mut Vec<Action>) {
        match input {
            Input::Published { key, payload, sent_us } => {
                if let Err(why) = self.publish(key, payload, sent_us) {
                    out.push(Action::Refuse { why });
                }
            }
            Input::Acked {
                peer,
                incarnation,
                next,
            } => self.acked(peer, incarnation, next, now),
            Input::Subscribed { peer } => self.audience.subscribed(peer, self.next_sequence),
            Input::Gone { peer } => self.audience.gone(peer, self.next_sequence),
            Input::TimedOut { now_us } => self.timed_out(now, now_us, out),
            Input::Leaving => {
                while !self.batch.is_empty() {
                    self.send_batch(now, out);
                }
            }
        }
        self.move_gate(now);
        self.send_due(now, out);
    }

    /// When to call [`Outbox::handle`] with [`Input::TimedOut`].
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        let gate = match self.gate {
            Gate::Shut(until) => Some(until),
            // What is due at once has left: only what gathers waits.
            Gate::Open | Gate::Probing => self.batch.lingers_until(self.in_flight()),
        };
        gate.into_iter().chain(self.heads.deadline()).min()
    }

    /// Whether a record may be published now.
    #[must_use]
    pub fn has_room(&self) -> bool {
        !self.batch.is_full()
    }

    /// Whether records gather until neighbours have acknowledged more.
    #[must_use]
    pub fn is_shut(&self) -> bool {
        matches!(self.gate, Gate::Shut(_))
    }

    /// The publisher's run.
    #[must_use]
    pub fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// The sequence number of the first record that has not left: how many were sent.
    #[must_use]
    pub fn next_sequence(&self) -> u64 {
        self.next_sequence
    }

    /// Records that gather for the next frame.
    #[must_use]
    pub fn gathered(&self) -> usize {
        self.batch.len()
    }

    /// Where the run stands; before its first frame, where the run before it ended, if that is known: a run of which nothing
    /// was sent must not break the links between the others.
    #[must_use]
    pub fn tail(&self) -> Option<Tail> {
        let here = Predecessor {
            incarnation: self.incarnation,
            next_sequence: self.next_sequence,
        };
        let end = if self.next_sequence > 0 {
            here
        } else {
            self.predecessor?
        };
        Some(Tail {
            incarnation: end.incarnation,
            next_sequence: end.next_sequence,
            body_hash: self.previous?,
        })
    }

    /// How many neighbours are subscribed.
    #[must_use]
    pub fn neighbours(&self) -> usize {
        self.audience.len()
    }

    /// Records sent that not every subscribed neighbour has acknowledged. With no neighbour there is nobody to wait for.
    #[must_use]
    pub fn unacked(&self) -> u64 {
        self.audience.unacked(self.next_sequence)
    }

    /// How many neighbours got records and acknowledged all up to the last one, those among them that left since included.
    #[must_use]
    pub fn acked_by(&self) -> usize {
        self.audience.acked_by(self.next_sequence)
    }

    /// What each subscribed neighbour acknowledged.
    pub fn acknowledged(&self) -> impl Iterator<Item = Range<u64>> {
        self.audience.acknowledged()
    }

    /// Acknowledgements that meant nothing: of another run, of what was not sent, going back, or of no subscriber.
    #[must_use]
    pub fn acks_ignored(&self) -> u64 {
        self.acks_ignored
    }

    fn publish(&mut self, key: Option<Bytes>, payload: Bytes, sent_us: u64) -> Result<(), Refusal> {
        let (key_bytes, payload_bytes) = (key.as_ref().map_or(0, Bytes::len), payload.len());
        if key_bytes > KEY_BYTES_MAX || payload_bytes > RECORD_BYTES_MAX {
            return Err(Refusal::TooLarge {
                key_bytes,
                payload_bytes,
            });
        }
        let (key, payload) = (key.map(Vec::from), Vec::from(payload));
        self.batch.push(Record { key, payload }, sent_us);
        Ok(())
    }

    fn send_due(&mut self, now: Instant, out: &mut Vec<Action>) {
        while !self.is_shut()
            && !self.batch.is_empty()
            && self
                .batch
                .lingers_until(self.in_flight())
                .is_none_or(|until| until <= now)
        {
            self.send_batch(now, out);
            self.move_gate(now);
        }
    }

    fn send_batch(&mut self, now: Instant, out: &mut Vec<Action>) {
        let (records, sent_us) = self.batch.take(now);
        let end = self.next_sequence + records.len() as u64;
        let key = |record: &Record| record.key.as_deref().map(Bytes::copy_from_slice);
        let keys = records.iter().map(key).collect();
        match self.unsigned(sent_us, records).seal(&self.key, &self.context) {
            Ok(frame) => {
                let sequences = self.next_sequence..end;
                self.next_sequence = end;
                self.previous = Some(frame.body_hash);
                self.predecessor = None;
                self.audience.sent();
                self.heads.frame_left(now);
                if self.ends.len() as u64 == WINDOW_FRAMES {
                    self.ends.pop_front();
                }
                self.ends.push_back((end, self.sent_bytes));
                self.sent_bytes += frame.wire.len() as u64;
                if self.gate == Gate::Probing {
                    // Spent. It shuts again, for another while.
                    self.gate = Gate::Open;
                }
                out.push(Action::Send {
                    sequences,
                    keys,
                    sent_us,
                    frame,
                });
            }
            // Its records were within bounds one by one, so it is the content type, and no frame ever leaves.
            Err(why) => out.push(Action::Refuse { why: why.into() }),
        }
    }

    fn send_head(&mut self, now_us: u64, out: &mut Vec<Action>) {
        if let Ok(frame) = self.unsigned(now_us, vec![]).seal(&self.key, &self.context) {
            out.push(Action::Send {
                sequences: self.next_sequence..self.next_sequence,
                keys: vec![],
                sent_us: now_us,
                frame,
            });
        }
    }

    fn unsigned(&self, sent_us: u64, records: Vec<Record>) -> Unsigned {
        Unsigned {
            incarnation: self.incarnation,
            first_sequence: self.next_sequence,
            previous: self.previous,
            predecessor: self.predecessor,
            sent_us,
            content_type: self.content_type.clone(),
            lifetime_ms: self.lifetime_ms,
            records,
        }
    }

    fn acked(&mut self, peer: PeerId, incarnation: u64, next: u64, now: Instant) {
        let pace = self.audience.pace();
        if incarnation != self.incarnation || !self.audience.acked(peer, next, self.next_sequence) {
            self.acks_ignored += 1;
        }
        if self.audience.pace() > pace && matches!(self.gate, Gate::Shut(_)) {
            self.gate = Gate::Shut(now + STALL_TIMEOUT);
        }
    }

    fn timed_out(&mut self, now: Instant, now_us: u64, out: &mut Vec<Action>) {
        if matches!(self.gate, Gate::Shut(until) if until <= now) {
            self.gate = Gate::Probing;
            out.push(Action::ReportStall {
                unacked: self.unacked(),
            });
        }
        if self.heads.take(now) {
            self.send_head(now_us, out);
        }
    }

    fn move_gate(&mut self, now: Instant) {
        let (frames, bytes) = self.audience.pace().map_or((0, 0), |pace| self.ahead_of(pace));
        if frames < WINDOW_FRAMES && bytes < WINDOW_BYTES {
            self.gate = Gate::Open;
        } else if self.gate == Gate::Open {
            self.gate = Gate::Shut(now + STALL_TIMEOUT);
        }
    }

    /// Frames that the fastest neighbour has not acknowledged.
    fn in_flight(&self) -> u64 {
        self.audience.lead().map_or(0, |lead| self.ahead_of(lead).0)
    }

    /// Frames that end above this sequence number, and their bytes.
    fn ahead_of(&self, acked: u64) -> (u64, u64) {
        let below = self.ends.partition_point(|(end, _)| *end <= acked);
        let bytes = self.ends.get(below).map_or(0, |(_, before)| self.sent_bytes - before);
        ((self.ends.len() - below) as u64, bytes)
    }
}
