//! One publisher as one subscribed topic sees it: its current run, and those before it until they have ended. Not whether
//! its frames are new.

use std::{collections::VecDeque, ops::Range, time::Instant};

use libp2p::PeerId;
use maille_proto::frame::Predecessor;

use super::{
    ack::Pacer,
    chain::Chain,
    frame::Frame,
    inbox::{Action, Counts, Load, RESTART_GRACE},
    pulse::Pulse,
    reorder::{Released, Reorder},
    seen::RUNS_MAX,
};

#[derive(Debug)]
pub(super) struct Publisher {
    id: PeerId,
    /// Ascending, never empty. The first is delivered; later ones are kept back until all before them have ended.
    runs: VecDeque<Run>,
    /// The first run is only there for those that follow it.
    unheard: bool,
    pacer: Pacer,
    pulse: Pulse,
    /// The deadline that the inbox knows of.
    pub(super) registered: Option<Instant>,
}

#[derive(Debug)]
struct Run {
    incarnation: u64,
    reorder: Reorder,
    /// What the first frame of the run says about the run before: once it came, or nobody has it.
    opening: Option<Option<Predecessor>>,
    chain: Chain,
    /// Its publisher contradicted itself: nothing of it is believed any more.
    frozen: bool,
    /// Until then it waits for the end of the run before.
    patience: Instant,
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

impl Publisher {
    /// A publisher met for the first time, by this frame, which is still to be accepted. What lies before it is history.
    pub(super) fn met(frame: &Frame, now: Instant) -> Self {
        let reorder = Reorder::met(frame.sequences().start, now);
        Self::new(frame.publisher, Run::new(frame.incarnation, reorder, now), now)
    }

    /// A publisher whose runs after this one are wanted from their start, and it had nothing in this one: there may be no
    /// such run.
    pub(super) fn unheard(id: PeerId, incarnation: u64, now: Instant) -> Self {
        Self {
            unheard: true,
            ..Self::reached(id, incarnation, 0, now)
        }
    }

    /// A publisher of which everything below this place was heard by another way.
    pub(super) fn reached(id: PeerId, incarnation: u64, next: u64, now: Instant) -> Self {
        Self::new(id, Run::new(incarnation, Reorder::begun(next), now), now)
    }

    fn new(id: PeerId, run: Run, now: Instant) -> Self {
        Self {
            id,
            runs: VecDeque::from([run]),
            unheard: false,
            pacer: Pacer::default(),
            pulse: Pulse::new(now),
            registered: None,
        }
    }

    /// A run that is still being met begins here: everything below was heard by another way.
    pub(super) fn begin(&mut self, incarnation: u64, next: u64, now: Instant, out: &mut Vec<Action>) {
        let mut released = vec![];
        if self.unheard && self.runs.iter().any(|run| run.incarnation == incarnation) {
            self.runs.retain(|run| run.incarnation >= incarnation);
            self.unheard = false;
        }
        if let Some(run) = self.runs.front_mut()
            && run.incarnation == incarnation
            && run.reorder.next().is_none()
        {
            run.reorder.begin(next, &mut released);
        }
        self.emit(incarnation, released, now, out);
        self.go_on(now, out);
        self.acknowledge(now, out);
    }

    /// Compares a frame with what is remembered of its run.
    pub(super) fn credit(&self, frame: &Frame) -> Credit {
        match self.runs.iter().find(|run| run.incarnation == frame.incarnation) {
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
        for run in self.runs.iter_mut().filter(|run| run.incarnation == incarnation) {
            run.frozen = true;
            run.reorder.clear();
        }
    }

    /// The sequence numbers `lost` of a run are nowhere to be had.
    pub(super) fn lose(&mut self, incarnation: u64, lost: Range<u64>, now: Instant, out: &mut Vec<Action>) {
        let mut released = vec![];
        for run in &mut self.runs {
            if run.incarnation == incarnation && !run.frozen {
                if lost.start == 0 && !lost.is_empty() {
                    run.opening.get_or_insert(None);
                }
                run.reorder.lose(lost.clone(), &mut released);
            }
        }
        self.emit(incarnation, released, now, out);
        self.go_on(now, out);
        self.acknowledge(now, out);
    }

    /// The run of which something is delivered next, and what.
    pub(super) fn position(&self) -> Option<(u64, u64)> {
        let run = self.runs.get(usize::from(self.unheard))?;
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
        let (incarnation, is_head) = (frame.incarnation, frame.is_head());
        if self.runs.front().is_some_and(|run| incarnation < run.incarnation) {
            counts.stale += 1;
            return;
        }
        let place = self.discover(incarnation, now);
        let mut released = vec![];
        if !self.runs[place].accept(frame, deliverer, now, &mut released) {
            counts.late += 1;
        }
        if self.is_current(incarnation) && self.pulse.heard(is_head, now) {
            out.push(Action::Resumed { publisher: self.id });
        }
        self.emit(incarnation, released, now, out);
        self.go_on(now, out);
        while self.runs.len() > RUNS_MAX || self.runs.iter().any(|run| run.reorder.is_full()) {
            self.shed(now, out);
        }
        self.acknowledge(now, out);
    }

    pub(super) fn expire(&mut self, now: Instant, out: &mut Vec<Action>) {
        // A run that was kept back may have waited for long enough already.
        let is_due = |run: &Run| run.reorder.deadline().is_some_and(|due| due <= now);
        loop {
            for place in 0..self.runs.len() {
                let (run, mut released) = (&mut self.runs[place], vec![]);
                run.reorder.expire(now, &mut released);
                let incarnation = run.incarnation;
                self.emit(incarnation, released, now, out);
            }
            self.go_on(now, out);
            if !self.runs.iter().any(is_due) {
                break;
            }
        }
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
        if self.runs.len() > 1 {
            return self.conclude(now, out);
        }
        self.give_up(now, out);
    }

    /// Releases everything, for a publisher that is to be forgotten.
    pub(super) fn finish(mut self, now: Instant, out: &mut Vec<Action>) {
        while self.runs.len() > 1 {
            self.conclude(now, out);
        }
        let (run, mut released) = (&mut self.runs[0], vec![]);
        run.reorder.finish(None, &mut released);
        let incarnation = run.incarnation;
        self.emit(incarnation, released, now, out);
    }

    fn give_up(&mut self, now: Instant, out: &mut Vec<Action>) {
        let (run, mut released) = (&mut self.runs[0], vec![]);
        run.reorder.give_up(&mut released);
        let incarnation = run.incarnation;
        self.emit(incarnation, released, now, out);
    }

    pub(super) fn load(&self) -> Load {
        self.runs.iter().fold(Load::default(), |sum, run| Load {
            frames: sum.frames + run.reorder.held_frames(),
            bytes: sum.bytes + run.reorder.held_bytes(),
        })
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let reorders = self.runs.iter().filter_map(|run| run.reorder.deadline());
        let patience = self.runs.get(1).map(|run| run.patience);
        let others = [self.pacer.deadline(), self.pulse.deadline(), patience];
        reorders.chain(others.into_iter().flatten()).min()
    }

    fn is_current(&self, incarnation: u64) -> bool {
        self.runs.back().is_some_and(|run| run.incarnation == incarnation)
    }

    /// Where a run is that is not before the first; it may be new, and not the latest: then it was named by the one after
    /// it, or some of its frames came late.
    fn discover(&mut self, incarnation: u64, now: Instant) -> usize {
        let place = self.runs.partition_point(|run| run.incarnation < incarnation);
        if self.runs.get(place).is_none_or(|run| run.incarnation != incarnation) {
            if place == self.runs.len() {
                self.pacer = Pacer::default();
            }
            self.runs.insert(place, Run::new(incarnation, Reorder::kept(), now));
        }
        place
    }

    /// Learns from the first frame of each run where the one before ended, and goes over to the next as soon as the first
    /// has ended.
    fn go_on(&mut self, now: Instant, out: &mut Vec<Action>) {
        let mut place = 1;
        while place < self.runs.len() {
            let before = self.runs[place - 1].incarnation;
            if let Some(Some(end)) = self.runs[place].opening
                && end.incarnation >= before
            {
                // It may be a run of which nothing came.
                let place = self.discover(end.incarnation, now);
                let mut released = vec![];
                self.runs[place].reorder.expect(end.next_sequence, now, &mut released);
                self.emit(end.incarnation, released, now, out);
            }
            place += 1;
        }
        while self.has_ended(now) {
            self.conclude(now, out);
        }
    }

    /// Whether nothing more is to be hoped for of the first run.
    fn has_ended(&self, now: Instant) -> bool {
        let (Some(run), Some(next)) = (self.runs.front(), self.runs.get(1)) else {
            return false;
        };
        let complete = run.frozen
            || match next.opening {
                // The first frame of the next run, which tells where this one ended, is still to come.
                None => false,
                Some(Some(end)) if end.incarnation == run.incarnation => {
                    run.reorder.next().is_some_and(|next| next >= end.next_sequence)
                }
                Some(_) => true,
            };
        next.patience <= now || (complete && run.reorder.held_frames() == 0)
    }

    /// Reports the end of the first run, if there is another, and begins that.
    fn conclude(&mut self, now: Instant, out: &mut Vec<Action>) {
        if self.runs.len() < 2 {
            return;
        }
        let Some(mut run) = self.runs.pop_front() else { return };
        let next = &mut self.runs[0];
        let (opening, following) = (next.opening.flatten(), next.incarnation);
        let end = opening.filter(|end| end.incarnation == run.incarnation);
        let mut released = vec![];
        run.reorder.finish(end.map(|end| end.next_sequence), &mut released);
        self.emit(run.incarnation, released, now, out);
        if !std::mem::take(&mut self.unheard) {
            out.push(Action::Restarted {
                publisher: self.id,
                incarnation: following,
            });
        }
        // The run before was heard, so this one was heard from its start: what is missing there is a gap, not history.
        let mut released = vec![];
        self.runs[0].reorder.begin(0, &mut released);
        self.emit(following, released, now, out);
    }

    fn emit(&mut self, incarnation: u64, released: Vec<Released>, now: Instant, out: &mut Vec<Action>) {
        // A run that has ended is acknowledged no more: its publisher has forgotten what it sent.
        let is_progress = |released: &Released| !matches!(released, Released::Missing(_));
        if self.is_current(incarnation) && released.iter().any(is_progress) {
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
        if let Some(run) = self.runs.back()
            && let Some(next) = run.reorder.next()
            && self.pacer.take(now)
        {
            out.push(Action::Ack {
                publisher: self.id,
                incarnation: run.incarnation,
                next,
            });
        }
    }
}

impl Run {
    fn new(incarnation: u64, reorder: Reorder, now: Instant) -> Self {
        Self {
            incarnation,
            reorder,
            opening: None,
            chain: Chain::default(),
            frozen: false,
            patience: now + RESTART_GRACE,
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
