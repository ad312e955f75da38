//! Watching, and coming back: the state from a player, then the same moves as all execute. Who was let in by a move plays.

use std::time::Instant;

use maille_proto::lockstep::LockstepSnapshot;

use super::machine::Machine;
use super::seat::{Made, Seats, each};
use super::{Action, FETCH_WAIT, FOLLOW_STALL, Out, Place, Role};

#[derive(Debug)]
pub(super) struct Follow {
    /// The state is known: from the beginning, or from a snapshot.
    pub(super) is_restored: bool,
    pub(super) again_at: Instant,
    /// Whom to ask next.
    next: usize,
    asked: bool,
}

impl Follow {
    pub(super) fn new(follows: bool, now: Instant) -> Self {
        Self {
            is_restored: !follows,
            again_at: now,
            next: 0,
            asked: false,
        }
    }
}

impl Machine {
    /// The state of the session, for who asks: with the application's state after the tick that was executed last. Nothing
    /// before the first one, and from who has no state itself.
    #[must_use]
    pub fn snapshot(&self) -> Option<LockstepSnapshot> {
        (self.follow.is_restored && !self.ended).then(|| LockstepSnapshot {
            session: self.config.session,
            view: self.view,
            executed: self.executed,
            voters: self.voters.into(),
            present: self.present.into(),
            seats: self.seats.iter().map(|seat| seat.snapshot(self.executed)).collect(),
            last: self.last.as_ref().map(|(change, _)| change.clone()),
            state: Vec::new(),
        })
    }

    /// It would play, but is not in.
    pub(super) fn is_joining(&self) -> bool {
        !self.playing && self.config.role == Role::Rejoin && self.me.is_some() && self.follow.is_restored
    }

    pub(super) fn follow_deadline(&self) -> Option<Instant> {
        match (self.playing, self.follow.is_restored) {
            (true, _) => None,
            (false, false) => Some(self.follow.again_at),
            (false, true) => self.blocked_at.map(|since| since + FOLLOW_STALL),
        }
    }

    pub(super) fn follow(&mut self, now: Instant, out: &mut Vec<Action>) {
        if self.playing || self.ended {
            return;
        }
        if self.blocked_at.is_some_and(|since| since + FOLLOW_STALL <= now) {
            self.fall_behind(now, out);
        }
        if self.follow.is_restored || now < self.follow.again_at {
            return;
        }
        self.follow.again_at = now + FETCH_WAIT;
        let others: Vec<usize> = (0..self.seats.len()).filter(|seat| self.me != Some(*seat)).collect();
        if let Some(seat) = others.get(self.follow.next % others.len().max(1)) {
            self.follow.next += 1;
            self.follow.asked = true;
            out.push(Action::Fetch(self.config.players[*seat]));
        }
    }

    /// What was missed cannot be had any more.
    pub(super) fn fall_behind(&mut self, now: Instant, out: &mut Vec<Action>) {
        if self.playing {
            return self.end(Out::Dropped, out);
        }
        self.blocked_at = None;
        self.follow = Follow {
            next: self.follow.next,
            ..Follow::new(true, now)
        };
    }

    pub(super) fn on_fetched(&mut self, snapshot: LockstepSnapshot, now: Instant, out: &mut Vec<Action>) {
        let asked = std::mem::take(&mut self.follow.asked);
        if self.follow.is_restored || !asked || self.restore(snapshot, now).is_none() {
            return;
        }
        self.follow.is_restored = true;
        out.push(Action::Restore { tick: self.executed });
    }

    /// Nothing if it makes no sense, or is older than what was executed here.
    fn restore(&mut self, snapshot: LockstepSnapshot, now: Instant) -> Option<()> {
        let set = |seats: u32| {
            Seats::try_from(seats)
                .ok()
                .filter(|seats| each(*seats).all(|seat| seat < self.seats.len()))
        };
        let (voters, present) = (set(snapshot.voters)?, set(snapshot.present)?);
        let makes_sense = snapshot.session == self.config.session
            && snapshot.seats.len() == self.seats.len()
            && snapshot.executed >= self.executed
            && snapshot.executed < u32::MAX / 2
            && snapshot.view < u32::MAX / 2;
        if !makes_sense {
            return None;
        }
        let executed = snapshot.executed;
        for (seat, known) in self.seats.iter_mut().zip(snapshot.seats) {
            seat.run = known.run;
            seat.from = known.from.clamp(1, u32::MAX / 2);
            seat.gone = Some(known.gone).filter(|gone| *gone > 0);
            let first = executed.saturating_add(1).max(seat.from);
            let moves = known.moves.into_iter().zip(first..);
            let made = |(did, tick)| {
                (
                    tick,
                    Made {
                        did,
                        place: Place::default(),
                    },
                )
            };
            seat.moves = moves.map(made).collect();
            (seat.said, seat.said_at) = (None, None);
            seat.hashes.clear();
        }
        self.hashes.clear();
        (self.view, self.executed) = (snapshot.view, executed);
        (self.voters, self.present) = (voters, present);
        self.last = None;
        self.blocked_at = None;
        self.pace.next_at = now;
        Some(())
    }
}
