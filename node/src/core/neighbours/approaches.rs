//! Approaches under way: how many at once, what they cost, and when one whose outcome never came is given up.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use libp2p::PeerId;

use super::budget::{Budget, Dial, Guess};

/// Approaches under way to fill the neighbourhood.
const APPROACHES_MAX: usize = 8;
/// The same while alone: the dead and the fakes must not hold up the one that answers.
const APPROACHES_ALONE_MAX: usize = 32;
/// Approaches under way to peers that must not be missed.
const DUTIES_MAX: usize = 16;
/// A dial and a handshake are over by then, whatever became of them.
const OUTCOME_TIMEOUT: Duration = Duration::from_secs(60);

/// Why an approach is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reason {
    /// The peer must not be missed.
    Duty,
    /// It is on a topic that lacks neighbours.
    Topic,
    /// Neighbours are few.
    Fill,
    /// It takes another's place, so that the neighbourhood does not harden.
    Rotate,
}

/// Why an approach cannot be made now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blocked {
    /// Until one under way ends.
    Busy,
    /// Until the budget allows it.
    Until(Instant),
}

#[derive(Clone, Copy, Debug)]
struct Approach {
    reason: Reason,
    guess: Guess,
    until: Instant,
}

/// All approaches under way.
#[derive(Debug)]
pub(super) struct Approaches {
    under_way: BTreeMap<PeerId, Approach>,
    budget: Budget,
}

impl Approaches {
    pub(super) fn new() -> Self {
        Approaches {
            under_way: BTreeMap::new(),
            budget: Budget::new(),
        }
    }

    /// Begins one, if there is room and it can be paid for.
    pub(super) fn begin(
        &mut self,
        peer: PeerId,
        reason: Reason,
        guess: Guess,
        dial: Dial,
        alone: bool,
        now: Instant,
    ) -> Result<(), Blocked> {
        let duties = self
            .under_way
            .values()
            .filter(|approach| approach.reason == Reason::Duty)
            .count();
        let has_room = match reason {
            Reason::Duty => duties < DUTIES_MAX,
            _ if alone => self.under_way.len() - duties < APPROACHES_ALONE_MAX,
            _ => self.under_way.len() - duties < APPROACHES_MAX,
        };
        if !has_room {
            return Err(Blocked::Busy);
        }
        self.budget.pay(guess, dial, now).map_err(Blocked::Until)?;
        self.under_way.insert(
            peer,
            Approach {
                reason,
                guess,
                until: now + OUTCOME_TIMEOUT,
            },
        );
        Ok(())
    }

    /// One ended; `refund` unless it cost a guess. Says why it was made.
    pub(super) fn end(&mut self, peer: &PeerId, refund: bool) -> Option<Reason> {
        let approach = self.under_way.remove(peer)?;
        if refund {
            self.budget.refund(approach.guess);
        }
        Some(approach.reason)
    }

    /// One whose outcome never came.
    pub(super) fn overdue(&self, now: Instant) -> Option<PeerId> {
        self.under_way
            .iter()
            .find(|(_, approach)| approach.until <= now)
            .map(|(peer, _)| *peer)
    }

    /// When the next one is overdue.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.under_way.values().map(|approach| approach.until).min()
    }

    pub(super) fn peers(&self) -> impl Iterator<Item = &PeerId> {
        self.under_way.keys()
    }
}
