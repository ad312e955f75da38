//! One publisher on one topic: what it sends, and how far ahead of its neighbours. Not the queue before it, and not
//! storage.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    time::{Duration, Instant},
};

use bytes::Bytes;
use libp2p::PeerId;
use maille_proto::frame::{Predecessor, Record};

use super::{
    NEIGHBOURS_MAX,
    frame::BodyError,
    seal::{Context, SealedFrame, SigningKey, Unsigned},
};

/// Frames that a publisher may be ahead of its subscribed neighbours, a few stragglers apart. One record is one frame.
///
/// Not of the slowest, which must not slow others; nor of the fastest alone: where all share one machine or uplink, the
/// others would fall behind without bound.
pub const WINDOW_FRAMES: u64 = 256;
/// How long a shut window waits for its neighbours before one more frame leaves: its acknowledgement shows whether
/// an earlier one was lost.
pub const STALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Of so many neighbours, how many may be slow without slowing the others: a quarter, and of two already one.
fn stragglers(neighbours: usize) -> usize {
    (neighbours / 4).max(usize::from(neighbours > 1))
}

/// What happened.
#[derive(Debug, Clone)]
pub enum Input {
    /// The application published a record. To be given only while [`Outbox::has_room`].
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
    TimedOut,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Gossip a frame.
    Send {
        /// The sequence numbers of its records.
        sequences: Range<u64>,
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
    /// The publisher is as far ahead of its neighbours as it may be.
    #[error("{WINDOW_FRAMES} frames are not acknowledged yet: wait until there is room")]
    NoRoom,
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
    next_sequence: u64,
    /// The frame before the next one: of this run, or the last one of the run before.
    previous: Option<[u8; 32]>,
    predecessor: Option<Predecessor>,
    neighbours: BTreeMap<PeerId, Progress>,
    /// Neighbours that left after they had acknowledged all there was, and nothing was sent since.
    satisfied: BTreeSet<PeerId>,
    /// Neighbours that left before they had, and nothing was sent since: their last acknowledgement may still be on its way.
    departed: BTreeMap<PeerId, Progress>,
    gate: Gate,
    acks_ignored: u64,
}

/// How far a neighbour is.
#[derive(Debug, Clone, Copy)]
struct Progress {
    /// What was next when it subscribed: before that it owes nothing.
    baseline: u64,
    acked: u64,
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
            next_sequence: 0,
            previous: before.map(|tail| tail.body_hash),
            predecessor: before.map(|tail| Predecessor {
                incarnation: tail.incarnation,
                next_sequence: tail.next_sequence,
            }),
            neighbours: BTreeMap::new(),
            satisfied: BTreeSet::new(),
            departed: BTreeMap::new(),
            gate: Gate::Open,
            acks_ignored: 0,
        }
    }

    /// Takes in what happened and says what to do.
    pub fn handle(&mut self, input: Input, now: Instant, out: &mut Vec<Action>) {
        match input {
            Input::Published { key, payload, sent_us } => out.push(match self.publish(key, payload, sent_us) {
                Ok(sent) => sent,
                Err(why) => Action::Refuse { why },
            }),
            Input::Acked {
                peer,
                incarnation,
                next,
            } => self.acked(peer, incarnation, next, now),
            Input::Subscribed { peer } => self.subscribed(peer),
            Input::Gone { peer } => self.gone(peer),
            Input::TimedOut => self.timed_out(now, out),
        }
        self.move_gate(now);
    }

    /// When to call [`Outbox::handle`] with [`Input::TimedOut`].
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        match self.gate {
            Gate::Shut(until) => Some(until),
            Gate::Open | Gate::Probing => None,
        }
    }

    /// Whether a record may be published now.
    #[must_use]
    pub fn has_room(&self) -> bool {
        !matches!(self.gate, Gate::Shut(_))
    }

    /// The publisher's run.
    #[must_use]
    pub fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// The sequence number of the next record: how many were sent.
    #[must_use]
    pub fn next_sequence(&self) -> u64 {
        self.next_sequence
    }

    /// Where the run stands; `None` before its first frame.
    #[must_use]
    pub fn tail(&self) -> Option<Tail> {
        let body_hash = self.previous.filter(|_| self.next_sequence > 0)?;
        Some(Tail {
            incarnation: self.incarnation,
            next_sequence: self.next_sequence,
            body_hash,
        })
    }

    /// How many neighbours are subscribed.
    #[must_use]
    pub fn neighbours(&self) -> usize {
        self.neighbours.len()
    }

    /// Records that not every subscribed neighbour has acknowledged. With no neighbour there is nobody to wait for.
    #[must_use]
    pub fn unacked(&self) -> u64 {
        let slowest = self.neighbours.values().map(|progress| progress.acked).min();
        self.next_sequence - slowest.unwrap_or(self.next_sequence)
    }

    /// How many neighbours got records and acknowledged all up to the last one, those among them that left since included.
    #[must_use]
    pub fn acked_by(&self) -> usize {
        let here = self
            .neighbours
            .iter()
            .filter(|(_, progress)| self.is_satisfied(progress));
        here.filter(|(peer, _)| !self.satisfied.contains(peer)).count() + self.satisfied.len()
    }

    /// How many subscribed neighbours acknowledged this record.
    #[must_use]
    pub fn spread(&self, sequence: u64) -> usize {
        let neighbours = self.neighbours.values();
        neighbours
            .filter(|progress| (progress.baseline..progress.acked).contains(&sequence))
            .count()
    }

    /// Acknowledgements that meant nothing: of another run, of what was not sent, going back, or of no subscriber.
    #[must_use]
    pub fn acks_ignored(&self) -> u64 {
        self.acks_ignored
    }

    fn publish(&mut self, key: Option<Bytes>, payload: Bytes, sent_us: u64) -> Result<Action, Refusal> {
        if !self.has_room() {
            return Err(Refusal::NoRoom);
        }
        let record = Record {
            key: key.map(Vec::from),
            payload: Vec::from(payload),
        };
        let unsigned = Unsigned {
            incarnation: self.incarnation,
            first_sequence: self.next_sequence,
            previous: self.previous,
            predecessor: self.predecessor,
            sent_us,
            content_type: self.content_type.clone(),
            lifetime_ms: 0,
            records: vec![record],
        };
        let frame = unsigned.seal(&self.key, &self.context)?;
        let sequences = self.next_sequence..self.next_sequence + 1;
        self.next_sequence = sequences.end;
        self.previous = Some(frame.body_hash);
        self.predecessor = None;
        self.satisfied.clear();
        self.departed.clear();
        if self.gate == Gate::Probing {
            // Spent. It shuts again, for another while.
            self.gate = Gate::Open;
        }
        Ok(Action::Send { sequences, frame })
    }

    fn acked(&mut self, peer: PeerId, incarnation: u64, next: u64, now: Instant) {
        let pace = self.pace();
        let sent = self.next_sequence;
        let progress = match self.neighbours.get_mut(&peer) {
            None => self.departed.get_mut(&peer),
            here => here,
        };
        match progress {
            Some(progress) if incarnation == self.incarnation && (progress.acked..=sent).contains(&next) => {
                progress.acked = next;
            }
            // Never clamped: who acknowledges what was not sent would open the window.
            _ => self.acks_ignored += 1,
        }
        if let Some(progress) = self.departed.remove(&peer) {
            self.depart(peer, progress);
        }
        if self.pace() > pace && matches!(self.gate, Gate::Shut(_)) {
            self.gate = Gate::Shut(now + STALL_TIMEOUT);
        }
    }

    fn subscribed(&mut self, peer: PeerId) {
        self.departed.remove(&peer);
        if self.neighbours.len() < NEIGHBOURS_MAX {
            let baseline = self.next_sequence;
            self.neighbours.entry(peer).or_insert(Progress {
                baseline,
                acked: baseline,
            });
        }
    }

    fn gone(&mut self, peer: PeerId) {
        let Some(progress) = self.neighbours.remove(&peer) else {
            return;
        };
        self.depart(peer, progress);
    }

    fn depart(&mut self, peer: PeerId, progress: Progress) {
        if self.is_satisfied(&progress) && self.satisfied.len() < NEIGHBOURS_MAX {
            self.satisfied.insert(peer);
        } else if self.departed.len() < NEIGHBOURS_MAX {
            self.departed.insert(peer, progress);
        }
    }

    fn timed_out(&mut self, now: Instant, out: &mut Vec<Action>) {
        if matches!(self.gate, Gate::Shut(until) if until <= now) {
            self.gate = Gate::Probing;
            out.push(Action::ReportStall {
                unacked: self.unacked(),
            });
        }
    }

    fn move_gate(&mut self, now: Instant) {
        let ahead = self.pace().map_or(0, |pace| self.next_sequence - pace);
        if ahead < WINDOW_FRAMES {
            self.gate = Gate::Open;
        } else if self.gate == Gate::Open {
            self.gate = Gate::Shut(now + STALL_TIMEOUT);
        }
    }

    /// What all but a few stragglers among the neighbours have acknowledged.
    fn pace(&self) -> Option<u64> {
        let mut acked: Vec<u64> = self.neighbours.values().map(|progress| progress.acked).collect();
        let stragglers = stragglers(acked.len());
        // Ascending: the slowest come first.
        let (_, pace, _) = (!acked.is_empty()).then(|| acked.select_nth_unstable(stragglers))?;
        Some(*pace)
    }

    fn is_satisfied(&self, progress: &Progress) -> bool {
        progress.acked == self.next_sequence && progress.acked > progress.baseline
    }
}
