//! One publisher as one subscribed topic sees it: its current run, and the run before while that ends. Not whether its
//! frames are new.

use std::{ops::Range, time::Instant};

use libp2p::PeerId;
use maille_proto::frame::Predecessor;

use super::{
    ack::Pacer,
    chain::Chain,
    frame::Frame,
    inbox::{Action, Counts, Load, RESTART_GRACE, RESTART_REPAIR},
    pulse::Pulse,
    reorder::{Released, Reorder},
};

#[derive(Debug)]
pub(super) struct Publisher {
    id: PeerId,
    current: Run,
    /// The run before, of which frames may still be under way; the current one is kept back as long.
    ending: Option<Ending>,
    pacer: Pacer,
    pulse: Pulse,
    /// The deadline that the inbox knows of.
    pub(super) registered: Option<Instant>,
}

#[derive(Debug)]
struct Run {
    incarnation: u64,
    reorder: Reorder,
    /// What the first frame of the run says about the run before, once it came.
    opening: Option<Option<Predecessor>>,
    chain: Chain,
    /// Its publisher contradicted itself: nothing of it is believed any more.
    frozen: bool,
}

/// Whether a publisher may have signed a frame, in the light of what else it signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Credit {
    Honest,
    /// It contradicts an earlier frame at this sequence number.
    Contradicts(u64),
    /// The run contradicted itself before.
    Frozen,
}

#[derive(Debug)]
struct Ending {
    run: Run,
    until: Instant,
}

impl Publisher {
    /// A publisher met for the first time, by this frame, which is still to be accepted.
    pub(super) fn met(frame: &Frame, now: Instant) -> Self {
        Self {
            id: frame.publisher,
            current: Run::new(frame.incarnation, Reorder::met(frame.sequences().start, now)),
            ending: None,
            pacer: Pacer::default(),
            pulse: Pulse::new(now),
            registered: None,
        }
    }

    /// Compares a frame with what is remembered of its run.
    pub(super) fn credit(&self, frame: &Frame) -> Credit {
        let ending = self.ending.as_ref().map(|ending| &ending.run);
        let mut runs = ending.into_iter().chain([&self.current]);
        match runs.find(|run| run.incarnation == frame.incarnation) {
            Some(run) if run.frozen => Credit::Frozen,
            Some(run) => run
                .chain
                .contradiction(frame)
                .map_or(Credit::Honest, Credit::Contradicts),
            None => Credit::Honest,
        }
    }

    /// Believes nothing more of a run.
    pub(super) fn freeze(&mut self, incarnation: u64) {
        let ending = self.ending.as_mut().map(|ending| &mut ending.run);
        for run in ending.into_iter().chain([&mut self.current]) {
            if run.incarnation == incarnation {
                run.frozen = true;
                run.reorder.clear();
            }
        }
    }

    /// The sequence numbers `lost` of a run are nowhere to be had.
    pub(super) fn lose(&mut self, incarnation: u64, lost: Range<u64>, now: Instant, out: &mut Vec<Action>) {
        let ending = self.ending.as_mut().map(|ending| &mut ending.run);
        let mut released = vec![];
        for run in ending.into_iter().chain([&mut self.current]) {
            if run.incarnation == incarnation && !run.frozen {
                run.reorder.lose(lost.clone(), &mut released);
            }
        }
        self.emit(incarnation, released, now, out);
        self.acknowledge(now, out);
    }

    /// The run of which something is delivered next, and what.
    pub(super) fn position(&self) -> Option<(u64, u64)> {
        let run = self.ending.as_ref().map_or(&self.current, |ending| &ending.run);
        Some((run.incarnation, run.reorder.position()?))
    }

    pub(super) fn accept(
        &mut self,
        frame: Frame,
        deliverer: PeerId,
        now: Instant,
        counts: &mut Counts,
        out: &mut Vec<Action>,
    ) {
        if frame.incarnation > self.current.incarnation {
            self.restart(frame.incarnation, now, out);
        }
        let is_current = frame.incarnation == self.current.incarnation;
        let run = if is_current {
            Some(&mut self.current)
        } else {
            let ending = self.ending.as_mut().map(|ending| &mut ending.run);
            ending.filter(|run| run.incarnation == frame.incarnation)
        };
        let Some(run) = run else {
            counts.stale += 1;
            return;
        };
        let (incarnation, is_head) = (run.incarnation, frame.is_head());
        let mut released = vec![];
        if !run.accept(frame, deliverer, now, &mut released) {
            counts.late += 1;
        }
        if is_current && self.pulse.heard(is_head, now) {
            out.push(Action::Resumed { publisher: self.id });
        }
        self.emit(incarnation, released, now, out);
        self.expect_end(now, out);
        if self.has_ended(now) {
            self.conclude(now, out);
        }
        while self.current.reorder.is_full() || self.ending.as_ref().is_some_and(|ending| ending.run.reorder.is_full())
        {
            self.shed(now, out);
        }
        self.acknowledge(now, out);
    }

    pub(super) fn expire(&mut self, now: Instant, out: &mut Vec<Action>) {
        if let Some(Ending { run, .. }) = &mut self.ending {
            let (incarnation, mut released) = (run.incarnation, vec![]);
            run.reorder.expire(now, &mut released);
            self.emit(incarnation, released, now, out);
        }
        if self.has_ended(now) {
            self.conclude(now, out);
        }
        let mut released = vec![];
        self.current.reorder.expire(now, &mut released);
        self.emit(self.current.incarnation, released, now, out);
        if let Some(since) = self.pulse.expire(now) {
            out.push(Action::Silent {
                publisher: self.id,
                quiet: now.saturating_duration_since(since),
            });
        }
        self.acknowledge(now, out);
    }

    /// Gives up something, so that less is held after one or two calls.
    pub(super) fn shed(&mut self, now: Instant, out: &mut Vec<Action>) {
        if self.ending.is_some() {
            return self.conclude(now, out);
        }
        let mut released = vec![];
        self.current.reorder.give_up(&mut released);
        self.emit(self.current.incarnation, released, now, out);
    }

    /// Releases everything, for a publisher that is to be forgotten.
    pub(super) fn finish(mut self, now: Instant, out: &mut Vec<Action>) {
        self.conclude(now, out);
        let mut released = vec![];
        self.current.reorder.finish(None, &mut released);
        self.emit(self.current.incarnation, released, now, out);
    }

    pub(super) fn load(&self) -> Load {
        let ending = self.ending.as_ref().map(|ending| &ending.run.reorder);
        ending
            .into_iter()
            .chain([&self.current.reorder])
            .fold(Load::default(), |sum, reorder| Load {
                frames: sum.frames + reorder.held_frames(),
                bytes: sum.bytes + reorder.held_bytes(),
            })
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let ending = self.ending.as_ref();
        [
            self.current.reorder.deadline(),
            self.pacer.deadline(),
            self.pulse.deadline(),
            ending.map(|ending| ending.until),
            ending.and_then(|ending| ending.run.reorder.deadline()),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn restart(&mut self, incarnation: u64, now: Instant, out: &mut Vec<Action>) {
        self.conclude(now, out);
        let run = std::mem::replace(&mut self.current, Run::new(incarnation, Reorder::kept()));
        self.ending = Some(Ending {
            run,
            until: now + RESTART_GRACE,
        });
        self.pacer = Pacer::default();
    }

    /// If the new run tells where the run before ended, what is missing there can be asked for.
    fn expect_end(&mut self, now: Instant, out: &mut Vec<Action>) {
        let (Some(Some(end)), Some(Ending { run, until })) = (self.current.opening, &mut self.ending) else {
            return;
        };
        if end.incarnation == run.incarnation
            && run.reorder.next().is_some()
            && !run.reorder.is_expected(end.next_sequence)
        {
            let (incarnation, mut released) = (run.incarnation, vec![]);
            *until = (*until).max(now + RESTART_REPAIR);
            run.reorder.expect(end.next_sequence, now, &mut released);
            self.emit(incarnation, released, now, out);
        }
    }

    /// Whether nothing more is to be hoped for of the run that ends.
    fn has_ended(&self, now: Instant) -> bool {
        let Some(Ending { run, until }) = &self.ending else {
            return false;
        };
        let complete = run.frozen
            || match self.current.opening {
                // The first frame of the new run, which tells where this one ended, is still to come.
                None => false,
                Some(Some(end)) if end.incarnation == run.incarnation => {
                    run.reorder.next().is_some_and(|next| next >= end.next_sequence)
                }
                Some(_) => true,
            };
        *until <= now || (complete && run.reorder.held_frames() == 0)
    }

    /// Reports the end of the run before, if there is one, and begins the current one.
    fn conclude(&mut self, now: Instant, out: &mut Vec<Action>) {
        let Some(Ending { mut run, .. }) = self.ending.take() else {
            return;
        };
        let end = self
            .current
            .opening
            .flatten()
            .filter(|end| end.incarnation == run.incarnation);
        let mut released = vec![];
        run.reorder.finish(end.map(|end| end.next_sequence), &mut released);
        self.emit(run.incarnation, released, now, out);
        out.push(Action::Restarted {
            publisher: self.id,
            incarnation: self.current.incarnation,
        });
        // The run before was heard, so this one was heard from its start: what is missing there is a gap, not history.
        let mut released = vec![];
        self.current.reorder.begin(0, &mut released);
        self.emit(self.current.incarnation, released, now, out);
    }

    fn emit(&mut self, incarnation: u64, released: Vec<Released>, now: Instant, out: &mut Vec<Action>) {
        // A run that has ended is acknowledged no more: its publisher has forgotten what it sent.
        let is_progress = |released: &Released| !matches!(released, Released::Missing(_));
        if incarnation == self.current.incarnation && released.iter().any(is_progress) {
            let frames = released
                .iter()
                .filter(|released| matches!(released, Released::Frame(_)))
                .count();
            self.pacer.advance(u32::try_from(frames).unwrap_or(u32::MAX), now);
        }
        for released in released {
            match released {
                Released::Gap(missing) => out.push(Action::Gap {
                    publisher: self.id,
                    incarnation,
                    from: missing.start,
                    to: missing.end,
                }),
                Released::Missing(missing) => out.push(Action::Repair {
                    publisher: self.id,
                    incarnation,
                    from: missing.start,
                    to: missing.end,
                }),
                Released::Frame(held) => out.extend(held.frame.deliveries(held.deliverer).map(Action::Deliver)),
            }
        }
    }

    /// Acknowledges what arrived without waiting for more.
    pub(super) fn acknowledge_now(&mut self, now: Instant, out: &mut Vec<Action>) {
        self.pacer.hurry(now);
        self.acknowledge(now, out);
    }

    fn acknowledge(&mut self, now: Instant, out: &mut Vec<Action>) {
        if let Some(next) = self.current.reorder.next()
            && self.pacer.take(now)
        {
            out.push(Action::Ack {
                publisher: self.id,
                incarnation: self.current.incarnation,
                next,
            });
        }
    }
}

impl Run {
    fn new(incarnation: u64, reorder: Reorder) -> Self {
        Self {
            incarnation,
            reorder,
            opening: None,
            chain: Chain::default(),
            frozen: false,
        }
    }

    fn accept(&mut self, frame: Frame, deliverer: PeerId, now: Instant, released: &mut Vec<Released>) -> bool {
        self.chain.insert(&frame);
        if frame.is_head() {
            self.reorder.expect(frame.sequences().start, now, released);
            return true;
        }
        if frame.sequences().start == 0 {
            self.opening = Some(frame.predecessor);
        }
        self.reorder.accept(frame, deliverer, now, released)
    }
}
