//! What is known of one player: its moves, and what it said last. And sets of seats.

use std::collections::BTreeMap;
use std::time::Instant;

use maille_proto::LOCKSTEP_SPAN_MAX;
use maille_proto::lockstep::{self, LockstepRecord, Move, Moves};

use super::hashes::Hashes;
use super::{AHEAD_MAX, BEHIND_MAX, Place};

/// A set of seats.
pub(super) type Seats = u8;

/// The set of this one.
pub(super) fn only(seat: usize) -> Seats {
    // A seat of more than 7 is in no set.
    1_u8.checked_shl(u32::try_from(seat).unwrap_or(u32::MAX)).unwrap_or(0)
}

pub(super) fn has(seats: Seats, seat: usize) -> bool {
    seats & only(seat) != 0
}

pub(super) fn each(seats: Seats) -> impl Iterator<Item = usize> {
    (0..8).filter(move |seat| has(seats, *seat))
}

/// A move and where it was said.
#[derive(Clone, Debug, Default)]
pub(super) struct Made {
    pub(super) did: Move,
    pub(super) place: Place,
}

/// One player.
#[derive(Debug, Default)]
pub(super) struct Seat {
    /// 0 until it was heard.
    pub(super) run: u64,
    /// The run before, of which records may still be under way.
    pub(super) run_before: u64,
    /// The first tick of which it must move.
    pub(super) from: u32,
    /// The first tick of which it does not, if that is agreed.
    pub(super) gone: Option<u32>,
    /// At most [`BEHIND_MAX`] that were executed, and [`AHEAD_MAX`] that were not.
    pub(super) moves: BTreeMap<u32, Made>,
    /// What it said last, without moves and hashes.
    pub(super) said: Option<LockstepRecord>,
    pub(super) said_at: Option<Place>,
    pub(super) heard_at: Option<Instant>,
    /// It moved twice in one tick, or its stream forked.
    pub(super) cheats: bool,
    pub(super) hashes: Hashes,
    /// It asked to be let in: its run, when it asked first, and last.
    pub(super) joining: Option<(u64, Instant, Instant)>,
    /// It was let in by a move of ours for this tick.
    pub(super) admitted: u32,
}

impl Seat {
    /// Up to which tick its moves are here, without gaps, if all before `executed` are done with.
    pub(super) fn held(&self, executed: u32) -> u32 {
        let begin = executed.max(self.from.saturating_sub(1));
        let range = self.moves.range(begin.saturating_add(1)..);
        let gapless = range
            .zip(begin.saturating_add(1)..)
            .take_while(|((tick, _), expected)| *tick == expected);
        begin.saturating_add(u32::try_from(gapless.count()).unwrap_or(0))
    }

    /// Whether it must move in this tick.
    pub(super) fn must_move(&self, tick: u32) -> bool {
        self.from <= tick && self.gone.is_none_or(|gone| tick < gone)
    }

    pub(super) fn did(&self, tick: u32) -> Option<&Move> {
        self.moves.get(&tick).map(|made| &made.did)
    }

    /// Takes a move. If there is another one for this tick already, where that was said.
    pub(super) fn take(&mut self, tick: u32, did: Move, place: Place, executed: u32) -> Result<(), Place> {
        if tick < self.from
            || !(executed.saturating_sub(BEHIND_MAX) < tick && tick <= executed.saturating_add(AHEAD_MAX))
        {
            return Ok(());
        }
        match self.moves.get(&tick) {
            Some(made) if made.did != did => Err(made.place),
            Some(_) => Ok(()),
            // Below what was executed nothing is missing; it was forgotten, or was before this node came.
            None if tick <= executed => Ok(()),
            None => {
                self.moves.insert(tick, Made { did, place });
                Ok(())
            }
        }
    }

    pub(super) fn forget(&mut self, executed: u32) {
        while let Some(first) = self.moves.first_entry()
            && first.key().saturating_add(BEHIND_MAX) <= executed
        {
            first.remove();
        }
    }

    /// Its moves from a tick on, without gaps.
    pub(super) fn moves_from(&self, first: u32, count_max: usize) -> Vec<Move> {
        let gapless = self
            .moves
            .range(first..)
            .zip(first..)
            .take_while(|((tick, _), expected)| *tick == expected);
        gapless.map(|((_, made), _)| made.did.clone()).take(count_max).collect()
    }

    /// The same as a message; from where it must move, if that is later.
    pub(super) fn span(&self, seat: usize, first: u32) -> Moves {
        let first = first.max(self.from);
        Moves {
            seat: number(seat),
            first,
            moves: self.moves_from(first, LOCKSTEP_SPAN_MAX),
        }
    }

    pub(super) fn snapshot(&self, executed: u32) -> lockstep::Seat {
        let first = executed.saturating_add(1).max(self.from);
        lockstep::Seat {
            run: self.run,
            from: self.from,
            gone: self.gone.unwrap_or(0),
            moves: self.moves_from(first, LOCKSTEP_SPAN_MAX),
        }
    }
}

pub(super) fn number(seat: usize) -> u32 {
    u32::try_from(seat).unwrap_or(u32::MAX)
}
