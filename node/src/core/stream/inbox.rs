//! One subscribed topic of a node: which frames to pass on, and what to hand to its subscribers, per publisher in order.
//! Not several topics, not repair from history, and not the fan-out to several local subscribers.

use std::{
    collections::BTreeSet,
    ops::Range,
    time::{Duration, Instant},
};

use bytes::Bytes;
use libp2p::PeerId;

pub use super::{
    ack::{ACK_DELAY, ACK_FRAMES},
    before::CLAIMED_MAX,
    reorder::{
        GAP_MAX, GAP_TIMEOUT, HELD_BYTES_MAX, HELD_FRAMES_MAX, LOST_MAX, REPAIR_DELAY, SETTLE, SETTLE_YOUNG,
        YOUNG_SEQUENCES,
    },
};
use super::{
    before::{Before, Wanted, is_near},
    frame::Frame,
    lru::Lru,
    publisher::{Credit, Publisher},
    seen::{PUBLISHERS_MAX, Seen, Verdict},
};
use crate::types::Cursor;

/// How long the frames of a new run wait for its first one, which tells whether the run before is complete, and for the
/// rest of that: longer than a missing frame is waited for.
pub const RESTART_GRACE: Duration = Duration::from_secs(135);
/// Frames that wait for earlier ones, of all publishers of the topic.
pub const HELD_FRAMES_TOTAL_MAX: usize = 65_536;
/// Bytes of those frames.
pub const HELD_BYTES_TOTAL_MAX: usize = 64 * 1024 * 1024;

/// What happened.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "handed over once, never kept; almost all are frames"
)]
pub enum Input {
    /// A frame came whose signature holds. Frames of this node's own publishers come this way too, delivered by itself:
    /// its subscribers hear them, and echoes of them are known.
    Received {
        /// The frame.
        frame: Frame,
        /// The neighbour that passed it on.
        deliverer: PeerId,
    },
    /// Members were asked for what an [`Action::Repair`] named, and none has these.
    Lost {
        /// Whose.
        publisher: PeerId,
        /// The publisher's run.
        incarnation: u64,
        /// Which ones.
        sequences: Range<u64>,
    },
    /// A subscriber has the past and hears what arrives from now on, in each run from the place that it reached.
    Reached {
        /// Publisher, run, and what is next: everything below was delivered, or reported.
        reached: Vec<(PeerId, u64, u64)>,
        /// The same as members claim it, of runs of which nothing was wanted.
        claimed: Vec<(PeerId, u64, u64)>,
        /// A run that is met later and is not named here began later too, or nobody knew of it: it is wanted from its start.
        others_are_new: bool,
    },
    /// This node is about to unsubscribe: what arrived is acknowledged now or never.
    Leaving,
    /// [`Inbox::next_deadline`] has passed.
    TimedOut,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Pass the message on. One of this and `Ignore` answers every frame received, before anything else.
    Forward {
        /// The message.
        message_id: [u8; 16],
        /// Who passed it on to us.
        deliverer: PeerId,
    },
    /// Do not pass the message on, and hold it against nobody.
    Ignore {
        /// The message.
        message_id: [u8; 16],
        /// Who passed it on to us.
        deliverer: PeerId,
    },
    /// Hand a record to the subscribers, in its turn.
    Deliver(Delivery),
    /// Hand a record that just came to subscribers who do not wait for others. Only after [`Inbox::hurry`].
    Arrived(Delivery),
    /// Ask members for the records `from..to`, which seem to be lost. They are waited for meanwhile.
    Repair {
        /// Whose.
        publisher: PeerId,
        /// The publisher's run.
        incarnation: u64,
        /// The first one missing.
        from: u64,
        /// The one after the last one missing.
        to: u64,
    },
    /// Tell the subscribers that a publisher signed two things that cannot both be true. Nothing more of the run follows.
    Fork {
        /// Which publisher.
        publisher: PeerId,
        /// Its run.
        incarnation: u64,
        /// Where.
        sequence: u64,
        /// The frame that came later, as it travelled. The earlier one was delivered, or waits to be.
        second: Bytes,
    },
    /// Tell the subscribers that a publisher does not even send heads any more.
    Silent {
        /// Which one.
        publisher: PeerId,
        /// How long it has been quiet.
        quiet: Duration,
    },
    /// Tell the subscribers that a publisher that had been silent is heard again.
    Resumed {
        /// Which one.
        publisher: PeerId,
    },
    /// Tell the subscribers that records `from..to` are missing.
    Gap {
        /// Whose.
        publisher: PeerId,
        /// The publisher's run.
        incarnation: u64,
        /// The first one missing.
        from: u64,
        /// The one after the last one missing.
        to: u64,
    },
    /// Tell the subscribers that a publisher began a new run. Nothing of an earlier run follows.
    Restarted {
        /// Which one.
        publisher: PeerId,
        /// The new run.
        incarnation: u64,
    },
    /// Acknowledge to the publisher, if it is a neighbour: all below `next` arrived, or was given up and reported.
    Ack {
        /// To whom.
        publisher: PeerId,
        /// The publisher's run.
        incarnation: u64,
        /// The sequence number expected next.
        next: u64,
    },
    /// Hold something against a neighbour.
    Penalise {
        /// Which one.
        peer: PeerId,
        /// What it did.
        why: Fault,
    },
}

/// One record for the subscribers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Who signed it.
    pub author: PeerId,
    /// The neighbour it came from.
    pub deliverer: PeerId,
    /// The author's run.
    pub incarnation: u64,
    /// Its place in that run.
    pub sequence: u64,
    /// The author's clock when it was sent, in microseconds since the Unix epoch.
    pub sent_us: u64,
    /// Its key, if it has one.
    pub key: Option<Bytes>,
    /// What it says.
    pub payload: Bytes,
    /// What the payload is: visible ASCII, or empty for bytes.
    pub content_type: String,
    /// When it loses its worth, by the author's clock, in microseconds since the Unix epoch.
    pub expires_us: Option<u64>,
}

impl Delivery {
    /// Its place.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        Cursor {
            publisher: self.author,
            incarnation: self.incarnation,
            sequence: self.sequence,
        }
    }
}

/// What a neighbour did that an honest one seldom does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// It brought too many new publishers or runs. Mild: an honest one adds up what its own neighbours bring.
    TooManyNewcomers,
}

/// What an inbox did without telling its subscribers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Frames that were seen before.
    pub duplicates: u64,
    /// Frames over a neighbour's ration of new publishers and runs.
    pub over_limit: u64,
    /// Frames from before the first one delivered, or reported as missing before they came.
    pub late: u64,
    /// Frames of a run that has ended.
    pub stale: u64,
    /// Frames of a run that contradicted itself.
    pub frozen: u64,
}

/// The machine. Time is an argument; there is no randomness in it.
#[derive(Debug)]
pub struct Inbox {
    seen: Seen,
    publishers: Lru<Publisher>,
    /// The deadline of every publisher that has one.
    deadlines: BTreeSet<(Instant, PeerId)>,
    held: Load,
    counts: Counts,
    hurried: bool,
    before: Before,
}

impl Inbox {
    /// Listens from now on.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            seen: Seen::default(),
            publishers: Lru::new(PUBLISHERS_MAX),
            deadlines: BTreeSet::new(),
            held: Load::default(),
            counts: Counts::default(),
            hurried: false,
            before: Before::new(now),
        }
    }

    /// Takes in what happened and says what to do.
    pub fn handle(&mut self, input: Input, now: Instant, out: &mut Vec<Action>) {
        match input {
            Input::Received { frame, deliverer } => self.received(frame, deliverer, now, out),
            Input::Lost {
                publisher,
                incarnation,
                sequences,
            } => self.update(publisher, |publisher| publisher.lose(incarnation, sequences, now, out)),
            Input::Reached {
                reached,
                claimed,
                others_are_new,
            } => {
                self.claimed(claimed, others_are_new, now, out);
                self.reached(reached, now, out);
            }
            Input::Leaving => self.leaving(now, out),
            Input::TimedOut => self.timed_out(now, out),
        }
    }

    /// Whether records are told as they arrive, too.
    pub fn hurry(&mut self, hurried: bool) {
        self.hurried = hurried;
    }

    /// When to call [`Inbox::handle`] with [`Input::TimedOut`].
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(due, _)| *due)
    }

    /// Publishers remembered: at most [`PUBLISHERS_MAX`].
    #[must_use]
    pub fn publishers(&self) -> usize {
        self.publishers.len()
    }

    /// Where each publisher stands: the run of which something is delivered next, and what. Of a run that is still being
    /// met, the lowest that has come.
    pub fn positions(&self) -> impl Iterator<Item = (PeerId, u64, u64)> {
        let position = |(id, publisher): (&PeerId, &Publisher)| {
            let (incarnation, next) = publisher.position()?;
            Some((*id, incarnation, next))
        };
        self.publishers.iter().filter_map(position)
    }

    /// Frames that wait for earlier ones.
    #[must_use]
    pub fn held_frames(&self) -> usize {
        self.held.frames
    }

    /// About the bytes of those frames.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.held.bytes
    }

    /// What it did without telling its subscribers.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    fn received(&mut self, frame: Frame, deliverer: PeerId, now: Instant, out: &mut Vec<Action>) {
        let message_id = frame.message_id;
        let credit = self.publishers.peek_mut(&frame.publisher);
        match credit.map_or(Credit::Honest, |publisher| publisher.credit(&frame)) {
            Credit::Honest => {}
            Credit::Contradicts(sequence) => {
                // It travels once, as evidence.
                out.push(Action::Forward { message_id, deliverer });
                self.update(frame.publisher, |publisher| publisher.freeze(frame.incarnation));
                out.push(Action::Fork {
                    publisher: frame.publisher,
                    incarnation: frame.incarnation,
                    sequence,
                    second: frame.wire,
                });
                return;
            }
            Credit::Frozen => {
                self.counts.frozen += 1;
                out.push(Action::Ignore { message_id, deliverer });
                return;
            }
        }
        match self.seen.verdict(&frame, deliverer, now) {
            Verdict::Forward => out.push(Action::Forward { message_id, deliverer }),
            Verdict::Duplicate => {
                self.counts.duplicates += 1;
                out.push(Action::Ignore { message_id, deliverer });
                return;
            }
            Verdict::OverLimit => {
                self.counts.over_limit += 1;
                out.push(Action::Ignore { message_id, deliverer });
                out.push(Action::Penalise {
                    peer: deliverer,
                    why: Fault::TooManyNewcomers,
                });
                return;
            }
        }
        if self.hurried {
            out.extend(frame.deliveries(deliverer).map(Action::Arrived));
        }
        let id = frame.publisher;
        if self.publishers.touch(&id).is_none() {
            self.meet(&frame, now, out);
        }
        let mut counts = self.counts;
        self.update(id, |publisher| {
            publisher.accept(frame, deliverer, now, &mut counts, out)
        });
        self.counts = counts;
        self.shed(now, out);
    }

    fn timed_out(&mut self, now: Instant, out: &mut Vec<Action>) {
        let due: Vec<PeerId> = self
            .deadlines
            .iter()
            .take_while(|(due, _)| *due <= now)
            .map(|(_, id)| *id)
            .collect();
        for id in due {
            self.update(id, |publisher| publisher.expire(now, out));
        }
    }

    fn leaving(&mut self, now: Instant, out: &mut Vec<Action>) {
        let all: Vec<PeerId> = self.publishers.iter().map(|(id, _)| *id).collect();
        for id in all {
            self.update(id, |publisher| publisher.acknowledge_now(now, out));
        }
    }

    fn claimed(&mut self, claimed: Vec<(PeerId, u64, u64)>, others_are_new: bool, now: Instant, out: &mut Vec<Action>) {
        if others_are_new {
            self.before.others_are_new();
        }
        for (id, incarnation, next) in claimed {
            match self.publishers.peek(&id).map(Publisher::position) {
                Some(Some((run, at))) if run == incarnation && is_near(next, at) => {
                    self.update(id, |publisher| publisher.begin(incarnation, next, now, out));
                }
                Some(_) => {}
                None => self.before.claim((id, incarnation), next),
            }
        }
    }

    fn reached(&mut self, mut reached: Vec<(PeerId, u64, u64)>, now: Instant, out: &mut Vec<Action>) {
        // Of each publisher the latest run.
        reached.sort_unstable();
        for (id, incarnation, next) in reached.into_iter().rev() {
            if self.publishers.peek(&id).is_none() {
                self.insert(id, Publisher::reached(id, incarnation, next, now), now, out);
            } else {
                self.update(id, |publisher| publisher.begin(incarnation, next, now, out));
            }
        }
    }

    fn meet(&mut self, frame: &Frame, now: Instant, out: &mut Vec<Action>) {
        let id = frame.publisher;
        let met = match self.before.wanted(frame, now) {
            Wanted::Coming => Publisher::met(frame, now),
            Wanted::From { incarnation, next } => Publisher::reached(id, incarnation, next, now),
            Wanted::RunsAfter { incarnation } => Publisher::unheard(id, incarnation, now),
        };
        self.insert(id, met, now, out);
    }

    fn insert(&mut self, id: PeerId, met: Publisher, now: Instant, out: &mut Vec<Action>) {
        let Some((id, mut forgotten)) = self.publishers.insert(id, met) else {
            return;
        };
        self.before.forget();
        if let Some(due) = forgotten.registered.take() {
            self.deadlines.remove(&(due, id));
        }
        self.held = self.held.replace(forgotten.load(), Load::default());
        forgotten.finish(now, out);
    }

    /// Gives up gaps, those of the publisher that holds most first, until what waits is within the bounds of the topic.
    fn shed(&mut self, now: Instant, out: &mut Vec<Action>) {
        while self.held.frames > HELD_FRAMES_TOTAL_MAX || self.held.bytes > HELD_BYTES_TOTAL_MAX {
            let fullest = self
                .publishers
                .iter()
                .max_by_key(|(_, publisher)| publisher.load().bytes);
            let id = *fullest.expect("what is held is held by a publisher").0;
            self.update(id, |publisher| publisher.shed(now, out));
        }
    }

    /// Changes one publisher, and keeps the sums and the deadlines in step.
    fn update(&mut self, id: PeerId, change: impl FnOnce(&mut Publisher)) {
        let Some(publisher) = self.publishers.peek_mut(&id) else {
            return;
        };
        let before = publisher.load();
        change(publisher);
        self.held = self.held.replace(before, publisher.load());
        let due = publisher.next_deadline();
        let registered = std::mem::replace(&mut publisher.registered, due);
        if registered != due {
            registered.map(|due| self.deadlines.remove(&(due, id)));
            due.map(|due| self.deadlines.insert((due, id)));
        }
    }
}

/// What waits in a reorder buffer, or in all of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Load {
    pub(super) frames: usize,
    pub(super) bytes: usize,
}

impl Load {
    /// The sum after one of its parts changed.
    fn replace(self, before: Self, after: Self) -> Self {
        Self {
            frames: self.frames + after.frames - before.frames,
            bytes: self.bytes + after.bytes - before.bytes,
        }
    }
}
