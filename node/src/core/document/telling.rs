//! What a member publishes of a document, when it is time: its edits, what it has, what others lack, and the whole.

use std::ops::Range;
use std::time::{Duration, Instant};

use maille_proto::document::{Edits, Record};
use maille_proto::{DOCUMENT_PART_BYTES_MAX, DOCUMENT_UPDATES_MAX, encode_document};
use rand::RngExt as _;

use super::machine::{ASK_JITTER, Action, Edited, Machine, TICK};
use super::parts::parts;
use super::vector::Vector;
use super::{WHOLE_EVERY, WHOLE_EVERY_BYTES};

/// A whole state leaves within this time.
const WHOLE_JITTER: Duration = Duration::from_secs(10);
/// How long own edits wait for an acknowledgement until members are asked who has them; twice as long each time.
const CONFIRM_WAIT: Duration = Duration::from_secs(3);

impl Machine {
    pub(super) fn ask_within(&mut self, after: Range<Duration>, now: Instant) {
        let at = now + after.start + (after.end - after.start).mul_f64(self.rng.random_range(0.0..1.0));
        self.ask_at = Some(self.ask_at.map_or(at, |sooner| sooner.min(at)));
    }

    pub(super) fn run_clocks(&mut self, now: Instant, out: &mut Vec<Action>) {
        if self.tick_at <= now {
            self.tick_at = now + TICK.mul_f64(self.rng.random_range(0.8..1.2));
            if self.is_changed {
                self.ask_within(Duration::ZERO..ASK_JITTER, now);
            }
        }
        if self.send_at.is_some_and(|at| at <= now) {
            self.send_at = None;
            self.sent_at = Some(now);
            self.send(out);
        }
        self.look_for_edits(now);
        if self.ask_at.is_some_and(|at| at <= now) {
            self.ask(now, out);
        }
        if self.answer.as_ref().is_some_and(|(at, _)| *at <= now) {
            self.give(now, out);
        }
        self.look_for_whole(now, out);
    }

    /// Edits that were published while nobody was there are acknowledged by nobody, whoever gets them later.
    fn look_for_edits(&mut self, now: Instant) {
        let is_wanted = !self.unspread.is_empty() && self.neighbours > 0;
        self.confirm = match self.confirm {
            _ if !is_wanted => None,
            None => Some((now + CONFIRM_WAIT, CONFIRM_WAIT)),
            Some((at, wait)) if at <= now => {
                self.ask_at = Some(now);
                let longer = (2 * wait).min(TICK);
                Some((now + longer, longer))
            }
            waiting => waiting,
        };
    }

    /// Publishes own edits that were not.
    fn send(&mut self, out: &mut Vec<Action>) {
        let unsent = usize::try_from(self.edited - self.sent).unwrap_or(usize::MAX);
        let first = self.unspread.len().saturating_sub(unsent);
        let mut upto = self.edited - (self.unspread.len() - first) as u64;
        self.sent = self.edited;
        let (mut run, mut updates, mut bytes) = (self.run, Vec::new(), 0);
        for own in self.unspread.iter().skip(first) {
            let is_full = bytes + own.update.len() > DOCUMENT_PART_BYTES_MAX || updates.len() == DOCUMENT_UPDATES_MAX;
            if !updates.is_empty() && (is_full || own.run != run) {
                publish_edits(run, std::mem::take(&mut updates), upto, out);
                bytes = 0;
            }
            run = own.run;
            upto += 1;
            if own.update.len() > DOCUMENT_PART_BYTES_MAX {
                publish_state(&own.update, self.rng.random(), (false, false), upto, out);
                continue;
            }
            bytes += own.update.len();
            updates.push(own.update.to_vec());
        }
        if !updates.is_empty() {
            publish_edits(run, updates, upto, out);
        }
        self.since_whole_bytes += bytes;
    }

    fn ask(&mut self, now: Instant, out: &mut Vec<Action>) {
        if self.neighbours == 0 {
            self.ask_at = None;
            return;
        }
        if let Err(at) = self.asks.take(now) {
            self.ask_at = Some(at);
            return;
        }
        self.ask_at = None;
        self.is_changed = false;
        let hash = self.replica.hash().short();
        let record = Record::Summary(self.replica.vector().summary(hash, !self.unspread.is_empty()));
        out.push(Action::Publish {
            record: encode_document(record).into(),
            upto: 0,
            suffices: false,
        });
    }

    fn give(&mut self, now: Instant, out: &mut Vec<Action>) {
        let Some((_, had)) = self.answer.take() else { return };
        if let Err(at) = self.answers.take(now) {
            self.answer = Some((at, had));
            return;
        }
        if had.is_empty() {
            return self.say_whole(now, out);
        }
        let update = self.replica.diff(&had);
        publish_state(&update, self.rng.random(), (false, true), self.edited, out);
    }

    fn say_whole(&mut self, now: Instant, out: &mut Vec<Action>) {
        self.since_whole_bytes = 0;
        self.whole_us = self.unix_us(now);
        self.whole_at = None;
        let update = self.replica.diff(&Vector::default());
        publish_state(&update, self.rng.random(), (true, true), self.edited, out);
    }

    /// So that what is stored of the topic always has the whole document, members see to it in turn.
    fn look_for_whole(&mut self, now: Instant, out: &mut Vec<Action>) {
        let every_us = u64::try_from(WHOLE_EVERY.as_micros()).unwrap_or(u64::MAX);
        let is_old = self.unix_us(now).saturating_sub(self.whole_us) > every_us;
        let is_due = is_old || self.since_whole_bytes > self.replica.bytes().max(WHOLE_EVERY_BYTES);
        if !is_due || !self.is_live || self.neighbours == 0 || self.replica.vector().is_empty() {
            self.whole_at = None;
            return;
        }
        match self.whole_at {
            Some(at) if at <= now => match self.answers.take(now) {
                Ok(()) => self.say_whole(now, out),
                Err(later) => self.whole_at = Some(later),
            },
            Some(_) => {}
            None => self.whole_at = Some(now + WHOLE_JITTER.mul_f64(self.rng.random_range(0.0..1.0))),
        }
    }

    pub(super) fn unix_us(&self, now: Instant) -> u64 {
        let (then, unix_us) = self.clock;
        let since = now.saturating_duration_since(then).as_micros();
        unix_us.saturating_add(u64::try_from(since).unwrap_or(u64::MAX))
    }
}

fn publish_edits(run: u64, updates: Vec<Vec<u8>>, upto: Edited, out: &mut Vec<Action>) {
    let record = Record::Edits(Edits { run, updates });
    out.push(Action::Publish {
        record: encode_document(record).into(),
        upto,
        suffices: false,
    });
}

/// Only who has the last part has it all.
fn publish_state(update: &[u8], id: u64, (whole, suffices): (bool, bool), upto: Edited, out: &mut Vec<Action>) {
    for state in parts(update, id, whole) {
        let upto = if state.part + 1 == state.parts { upto } else { 0 };
        let record = Record::State(state);
        out.push(Action::Publish {
            record: encode_document(record).into(),
            upto,
            suffices,
        });
    }
}
