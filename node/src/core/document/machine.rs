//! When which member tells what of a document: its own edits, soon; what it has, when it may have missed something; and what
//! others lack, if nobody else says it first. Not the streams that carry it, nor its files.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use libp2p::PeerId;
use maille_proto::decode_document;
use maille_proto::document::{Record, State, Summary};
use rand::RngExt as _;
use rand::rngs::StdRng;

use super::check::{Flaw, check};
use super::edit::{Edit, EditError};
use super::parts::Assemblies;
use super::replica::Replica;
use super::value::{Contents, StateHash};
use super::vector::Vector;
use super::waiting::Waiting;
use super::{DOCUMENT_BYTES_MAX, Extent, LINGER, client_of};
use crate::core::bucket::{Bucket, Rate};

/// Summaries: a few at once, since members come in groups.
const ASKS: Rate = Rate::new(6, 20);
/// Answers, each of which may be the whole document.
const ANSWERS: Rate = Rate::new(6, 12);
/// Who begins asks within this time.
const BEGIN_JITTER: Duration = Duration::from_millis(100);
/// Who met somebody, or may have missed something, asks within this time.
pub(super) const ASK_JITTER: Duration = Duration::from_secs(1);
/// An answer leaves within this time for each neighbour that may give the same one.
const ANSWER_JITTER: Duration = Duration::from_millis(100);
/// Neighbours for whom it grows.
const ANSWER_NEIGHBOURS_MAX: u32 = 16;
/// How long an update waits for those before it until they are asked for.
const WAIT: Duration = Duration::from_secs(2);
/// How often a member looks whether a whole state is due, and says what it has if that changed.
pub(super) const TICK: Duration = Duration::from_secs(600);
/// Summaries with the same items and another hash that are looked into: deletions are missing, or somebody tells different
/// members different things, which no exchange ends.
const PUZZLES: Rate = Rate::new(3, 1);

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// A record came.
    Received {
        /// Who published it.
        author: PeerId,
        /// Its payload.
        record: Bytes,
        /// When, by its publisher's clock, in microseconds since the Unix epoch.
        sent_us: u64,
    },
    /// Records are missing.
    Missed,
    /// So many neighbours are on the topic.
    Neighbours(usize),
    /// All that others hold of the past has come.
    CaughtUp,
    /// A neighbour has everything up to this edit.
    Spread {
        /// Its number.
        upto: u64,
    },
    /// The deadline passed.
    TimedOut,
}

/// What to do.
#[derive(Debug)]
pub enum Action {
    /// Publish a record.
    Publish {
        /// Its payload.
        record: Bytes,
        /// This node's last edit in it; 0 if there is none.
        upto: u64,
        /// Who has it needs no record before it to have that edit and all before.
        suffices: bool,
    },
    /// Store an update of this node.
    StoreOwn(OwnUpdate),
    /// Store an update of somebody else.
    Store(Bytes),
    /// Store that all edits of this node stored so far are with somebody else.
    StoreSpread,
    /// Put the document, as one update, in the place of all that is stored, and after it these edits of this node.
    Replace {
        /// The document.
        base: Bytes,
        /// What nobody else has yet.
        own: Vec<OwnUpdate>,
    },
    /// The contents changed.
    Changed,
    /// A member published what is no part of a document.
    Refuse {
        /// Who.
        author: PeerId,
        /// What is wrong with it.
        why: Flaw,
    },
}

/// An edit of this node, and the run in which it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnUpdate {
    /// The run.
    pub run: u64,
    /// The edit.
    pub update: Bytes,
}

/// An edit that was made: its number, from 1.
pub type Edited = u64;

/// One node's part in a document.
#[derive(Debug)]
pub struct Machine {
    me: PeerId,
    pub(super) run: u64,
    pub(super) rng: StdRng,
    pub(super) replica: Replica,
    waiting: Waiting,
    assemblies: Assemblies,
    /// Own edits that nobody else is known to have; the last has the number `edited`.
    pub(super) unspread: VecDeque<OwnUpdate>,
    unspread_bytes: usize,
    pub(super) edited: Edited,
    /// Up to which edit they were published.
    pub(super) sent: Edited,
    pub(super) sent_at: Option<Instant>,
    pub(super) send_at: Option<Instant>,
    pub(super) neighbours: usize,
    pub(super) is_live: bool,
    pub(super) asks: Bucket,
    pub(super) ask_at: Option<Instant>,
    /// When to ask who has this node's edits, and how long after the time before.
    pub(super) confirm: Option<(Instant, Duration)>,
    pub(super) answers: Bucket,
    /// When to answer, and those who have so much.
    pub(super) answer: Option<(Instant, Vector)>,
    puzzles: Bucket,
    pub(super) tick_at: Instant,
    /// Since the last summary that this node said or agreed with.
    pub(super) is_changed: bool,
    /// A moment by both clocks.
    pub(super) clock: (Instant, u64),
    pub(super) since_whole_bytes: usize,
    pub(super) whole_us: u64,
    pub(super) whole_at: Option<Instant>,
}

impl Machine {
    /// With an empty document. The run is a random number, `unix_us` what the clock says now.
    #[must_use]
    pub fn new(me: PeerId, run: u64, rng: StdRng, now: Instant, unix_us: u64) -> Self {
        Self {
            me,
            run,
            rng,
            replica: Replica::new(client_of(&me, run)),
            waiting: Waiting::default(),
            assemblies: Assemblies::default(),
            unspread: VecDeque::new(),
            unspread_bytes: 0,
            edited: 0,
            sent: 0,
            sent_at: None,
            send_at: None,
            neighbours: 0,
            is_live: false,
            asks: Bucket::full(ASKS),
            ask_at: None,
            confirm: None,
            answers: Bucket::full(ANSWERS),
            answer: None,
            puzzles: Bucket::full(PUZZLES),
            tick_at: now + TICK,
            is_changed: false,
            clock: (now, unix_us),
            since_whole_bytes: 0,
            whole_us: 0,
            whole_at: None,
        }
    }

    // ---- what was stored -----------------------------------------------------------------------------------------

    /// Takes an update back that was stored. One that cannot be applied is left out: files may be damaged.
    pub fn load(&mut self, update: Bytes) {
        if let Ok(extent) = check(&update) {
            self.take_in(update, extent, &mut Vec::new()).ok();
        }
    }

    /// Takes an edit of this node back that was stored, and that nobody else is known to have.
    pub fn load_own(&mut self, own: OwnUpdate, now: Instant) {
        self.load(own.update.clone());
        self.made(own);
        self.send_at = Some(now);
    }

    /// All own edits loaded so far are with somebody else.
    pub fn load_spread(&mut self) {
        self.spread(self.edited);
        self.sent = self.edited;
        self.send_at = None;
    }

    // ---- for the handle ------------------------------------------------------------------------------------------

    /// All that the document holds.
    pub fn contents(&mut self) -> Arc<Contents> {
        self.replica.contents()
    }

    /// The hash of it.
    pub fn hash(&mut self) -> StateHash {
        self.replica.hash()
    }

    /// What this node has.
    #[must_use]
    pub fn vector(&self) -> &Vector {
        self.replica.vector()
    }

    /// How large the document is, at most, as one update.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.replica.bytes()
    }

    /// Edits of this node that nobody else is known to have.
    #[must_use]
    pub fn unsynchronised(&self) -> usize {
        self.unspread.len()
    }

    /// Makes an edit.
    ///
    /// # Errors
    /// [`EditError`]; then nothing is changed.
    pub fn edit<T>(
        &mut self,
        describe: impl FnOnce(&mut Edit<'_>) -> Result<T, EditError>,
        now: Instant,
        out: &mut Vec<Action>,
    ) -> Result<T, EditError> {
        let (said, update) = self.replica.edit(describe)?;
        self.edited(update, now, out);
        Ok(said)
    }

    /// Takes the last own edit back. Whether there was one.
    ///
    /// # Errors
    /// [`EditError::Failed`].
    pub fn undo(&mut self, now: Instant, out: &mut Vec<Action>) -> Result<bool, EditError> {
        let update = self.replica.undo()?;
        Ok(self.edited(update, now, out))
    }

    /// Makes again what was last undone. Whether there was something.
    ///
    /// # Errors
    /// [`EditError::Failed`].
    pub fn redo(&mut self, now: Instant, out: &mut Vec<Action>) -> Result<bool, EditError> {
        let update = self.replica.redo()?;
        Ok(self.edited(update, now, out))
    }

    fn edited(&mut self, update: Option<Bytes>, now: Instant, out: &mut Vec<Action>) -> bool {
        let Some(update) = update else { return false };
        let own = OwnUpdate { run: self.run, update };
        out.push(Action::StoreOwn(own.clone()));
        self.made(own);
        let soon = self.sent_at.map_or(now, |at| now.max(at + LINGER));
        self.send_at.get_or_insert(soon);
        self.changed(out);
        true
    }

    fn made(&mut self, own: OwnUpdate) {
        self.edited += 1;
        self.unspread_bytes += own.update.len();
        self.unspread.push_back(own);
        // They are in the document all the same, and whoever says what it has gets them.
        while self.unspread_bytes > DOCUMENT_BYTES_MAX {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        let first = self.unspread.pop_front();
        self.unspread_bytes -= first.map_or(0, |own| own.update.len());
    }

    fn spread(&mut self, upto: Edited) -> bool {
        let left = usize::try_from(self.edited.saturating_sub(upto)).unwrap_or(usize::MAX);
        let before = self.unspread.len();
        while self.unspread.len() > left {
            self.forget_first();
        }
        before > self.unspread.len()
    }

    fn changed(&mut self, out: &mut Vec<Action>) {
        self.is_changed = true;
        if self.replica.is_to_be_rebased() {
            let base = self.replica.rebase();
            let own = self.unspread.iter().cloned().collect();
            out.push(Action::Replace { base, own });
        }
        out.push(Action::Changed);
    }

    // ---- facts ---------------------------------------------------------------------------------------------------

    /// Takes a fact, and says what to do.
    pub fn handle(&mut self, input: Input, now: Instant, out: &mut Vec<Action>) {
        match input {
            Input::Received {
                author,
                record,
                sent_us,
            } => {
                if let Err(why) = self.received(author, &record, sent_us, now, out) {
                    out.push(Action::Refuse { author, why });
                }
                if !self.waiting.is_empty() {
                    self.ask_within(WAIT..WAIT + ASK_JITTER, now);
                }
            }
            Input::Missed => self.ask_within(Duration::ZERO..ASK_JITTER, now),
            Input::Neighbours(neighbours) => {
                let jitter = if self.is_live { ASK_JITTER } else { BEGIN_JITTER };
                if neighbours > self.neighbours {
                    self.ask_within(Duration::ZERO..jitter, now);
                }
                self.neighbours = neighbours;
            }
            Input::CaughtUp => {
                self.is_live = true;
                // What others said meanwhile was not heard.
                self.ask_within(Duration::ZERO..BEGIN_JITTER, now);
            }
            Input::Spread { upto } => {
                if self.spread(upto) {
                    self.note_spread(out);
                }
            }
            Input::TimedOut => {}
        }
        self.run_clocks(now, out);
    }

    /// When to hand in `TimedOut`.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        let answer_at = self.answer.as_ref().map(|(at, _)| *at);
        let confirm_at = self.confirm.map(|(at, _)| at);
        let at = [self.send_at, self.ask_at, answer_at, confirm_at, self.whole_at];
        at.into_iter().flatten().chain([self.tick_at]).min()
    }

    fn note_spread(&self, out: &mut Vec<Action>) {
        // Of some it cannot be stored: then they are published once more after a restart.
        if self.unspread.is_empty() {
            out.push(Action::StoreSpread);
        }
    }

    fn received(
        &mut self,
        author: PeerId,
        record: &Bytes,
        sent_us: u64,
        now: Instant,
        out: &mut Vec<Action>,
    ) -> Result<(), Flaw> {
        match decode_document(record).map_err(|_| Flaw::Malformed)? {
            Record::Edits(edits) => {
                self.since_whole_bytes += record.len();
                let client = client_of(&author, edits.run);
                for update in edits.updates {
                    let extent = check(&update)?;
                    if !extent.is_of(client) {
                        return Err(Flaw::NotTheirs);
                    }
                    self.take_in(update.into(), extent, out)?;
                }
                Ok(())
            }
            // What was said before this node came, others heard.
            Record::Summary(_) if !self.is_live || author == self.me => Ok(()),
            Record::Summary(summary) => self.told(&summary, now, out),
            Record::State(state) => self.state(author, state, sent_us.min(self.unix_us(now)), out),
        }
    }

    fn state(&mut self, author: PeerId, state: State, sent_us: u64, out: &mut Vec<Action>) -> Result<(), Flaw> {
        let is_whole = state.whole;
        let Some(update) = self.assemblies.push(author, state) else {
            return Ok(());
        };
        let extent = check(&update)?;
        if author != self.me {
            // Who else would have answered need not.
            self.answer = self
                .answer
                .take()
                .filter(|(_, had)| !extent.after(had).covers(self.replica.vector()));
        }
        if is_whole && extent.after(&Vector::default()).covers(self.replica.vector()) {
            self.since_whole_bytes = 0;
            self.whole_us = self.whole_us.max(sent_us);
            self.whole_at = None;
        }
        self.take_in(update, extent, out)
    }

    /// A member said what it has.
    fn told(&mut self, summary: &Summary, now: Instant, out: &mut Vec<Action>) -> Result<(), Flaw> {
        let theirs = Vector::read(summary).ok_or(Flaw::Malformed)?;
        let ours = self.replica.vector();
        let (lacks, has_more) = (!theirs.covers(ours), !ours.covers(&theirs));
        let is_unequal = !lacks && !has_more && summary.hash != self.replica.hash().short();
        // Who has more may lack a deletion, which no vector shows: it will say so once more.
        if !lacks && !has_more && !is_unequal && self.spread(self.edited) {
            self.note_spread(out);
        }
        // Until it is solved, it is said again from time to time.
        self.is_changed |= is_unequal;
        let is_puzzle = is_unequal && self.puzzles.take(now).is_ok();
        if lacks || is_puzzle {
            let (at, had) = match self.answer.take() {
                Some((at, had)) => (at, had.meet(&theirs)),
                None => {
                    let others = u32::try_from(self.neighbours)
                        .unwrap_or(u32::MAX)
                        .clamp(1, ANSWER_NEIGHBOURS_MAX);
                    (
                        now + ANSWER_JITTER.mul_f64(self.rng.random_range(0.0..f64::from(others))),
                        theirs,
                    )
                }
            };
            self.answer = Some((at, had));
        }
        if has_more || is_puzzle || (summary.wanted && !lacks) {
            self.ask_within(Duration::ZERO..ASK_JITTER, now);
        } else if !lacks && !is_unequal {
            // It said what this node would have said.
            self.ask_at = None;
            self.is_changed = false;
        }
        Ok(())
    }

    fn take_in(&mut self, update: Bytes, extent: Extent, out: &mut Vec<Action>) -> Result<(), Flaw> {
        if extent.is_old(self.replica.vector()) {
            return Ok(());
        }
        if !extent.is_ready(self.replica.vector()) {
            self.waiting.push(extent, update);
            return Ok(());
        }
        let mut result = self.apply(update, &extent, out);
        while let Some((extent, update)) = self.waiting.take(self.replica.vector()) {
            result = result.and(self.apply(update, &extent, out));
        }
        result
    }

    fn apply(&mut self, update: Bytes, extent: &Extent, out: &mut Vec<Action>) -> Result<(), Flaw> {
        if self.replica.apply(&update, extent)? {
            out.push(Action::Store(update));
            self.changed(out);
        }
        Ok(())
    }
}
