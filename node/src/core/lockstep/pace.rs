//! When ticks are due, and how many ticks before their execution own inputs must leave. Others say how many of our moves
//! they had in hand when they executed a tick: with none they waited for us, or nearly; with many our player waits for
//! nothing. Every player has a delay of its own and may change it whenever it likes, since a tick has one move of each
//! whatever the delay is.

use std::time::{Duration, Instant};

use super::{DELAY_FIRST, DELAY_MAX, DELAY_MIN};

/// Moves in hand with which a delay is longer than it must be.
const SPARE: u32 = 3;
/// For so many ticks it must have been.
const CALM: u32 = 100;

#[derive(Debug)]
pub(super) struct Pace {
    tick: Duration,
    pub(super) next_at: Instant,
    pub(super) delay: u32,
    /// The fewest of our moves that anybody had in hand since then.
    spare: Option<u32>,
    ticks: u32,
}

impl Pace {
    pub(super) fn new(tick: Duration, now: Instant) -> Self {
        Self {
            tick,
            next_at: now,
            delay: DELAY_FIRST,
            spare: None,
            ticks: 0,
        }
    }

    /// A tick was executed; who is behind the others goes faster.
    pub(super) fn executed(&mut self, behind: bool, now: Instant) {
        let tick = if behind { self.tick / 2 } else { self.tick };
        self.next_at += tick;
        // Time that was waited is not made up for.
        if self.next_at + self.tick < now {
            self.next_at = now + tick;
        }
        self.ticks += 1;
    }

    /// Somebody had so many of our moves in hand.
    pub(super) fn in_hand(&mut self, moves: u32) {
        self.spare = Some(self.spare.map_or(moves, |spare| spare.min(moves)));
    }

    /// Whether the delay is another one now.
    pub(super) fn adapt(&mut self) -> bool {
        let Some(spare) = self.spare else { return false };
        let before = self.delay;
        // What was changed last must have shown.
        if spare == 0 && self.ticks > 2 * self.delay {
            self.delay = (self.delay + 1).min(DELAY_MAX);
        } else if spare >= SPARE && self.ticks > CALM {
            self.delay = (self.delay - 1).max(DELAY_MIN);
        } else if self.ticks <= CALM {
            return false;
        }
        (self.spare, self.ticks) = (None, 0);
        self.delay != before
    }
}
