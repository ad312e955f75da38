//! What approaches may cost: dials a minute, and guesses at the password that our own handshakes offer to strangers.

use std::time::Instant;

use crate::core::bucket::{Bucket, Rate};

/// Dials at once, and dials a minute after that.
const DIALS: Rate = Rate::new(30, 60);
/// The same while alone: a hundred that came and went may stand before the one that is there.
const DIALS_ALONE: Rate = Rate::new(60, 120);
/// Handshakes that offered a guess to peers that a source named for the mesh.
const NAMED_GUESSES: Rate = Rate::new(30, 1);
/// The same with others.
const OTHER_GUESSES: Rate = Rate::new(10, 1);

/// Whose guess budget an approach draws on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guess {
    /// A former neighbour knows the password already.
    Free,
    Named,
    Other,
}

/// Which dial budget an approach draws on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dial {
    /// The user asked for this peer.
    Free,
    Alone,
    Joined,
}

/// The budgets of one mesh.
#[derive(Debug)]
pub(super) struct Budget {
    dials: Bucket,
    dials_alone: Bucket,
    named: Bucket,
    other: Bucket,
}

impl Budget {
    pub(super) fn new() -> Self {
        Budget {
            dials: Bucket::full(DIALS),
            dials_alone: Bucket::full(DIALS_ALONE),
            named: Bucket::full(NAMED_GUESSES),
            other: Bucket::full(OTHER_GUESSES),
        }
    }

    /// Pays for an approach, or says when it can be paid for.
    pub(super) fn pay(&mut self, guess: Guess, dial: Dial, now: Instant) -> Result<(), Instant> {
        // Both or neither: what is refused costs nothing.
        self.dial_bucket(dial).map_or(Ok(()), |bucket| bucket.check(now))?;
        self.guess_bucket(guess).map_or(Ok(()), |bucket| bucket.take(now))?;
        self.dial_bucket(dial).map_or(Ok(()), |bucket| bucket.take(now))
    }

    /// No guess was made, or it was right.
    pub(super) fn refund(&mut self, guess: Guess) {
        if let Some(bucket) = self.guess_bucket(guess) {
            bucket.refund();
        }
    }

    fn dial_bucket(&mut self, dial: Dial) -> Option<&mut Bucket> {
        match dial {
            Dial::Free => None,
            Dial::Alone => Some(&mut self.dials_alone),
            Dial::Joined => Some(&mut self.dials),
        }
    }

    fn guess_bucket(&mut self, guess: Guess) -> Option<&mut Bucket> {
        match guess {
            Guess::Free => None,
            Guess::Named => Some(&mut self.named),
            Guess::Other => Some(&mut self.other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn paid_in(budget: &mut Budget, guess: Guess, dial: Dial, start: Instant, seconds: u64) -> usize {
        (0..=seconds * 10)
            .filter(|tenth| {
                budget
                    .pay(guess, dial, start + Duration::from_millis(tenth * 100))
                    .is_ok()
            })
            .count()
    }

    #[test]
    fn an_hour_of_refusals_is_ninety_guesses() {
        let start = Instant::now();
        assert_eq!(
            paid_in(&mut Budget::new(), Guess::Named, Dial::Free, start, 3_599),
            30 + 59
        );
        assert_eq!(
            paid_in(&mut Budget::new(), Guess::Other, Dial::Free, start, 3_599),
            10 + 59
        );
        assert_eq!(
            paid_in(&mut Budget::new(), Guess::Free, Dial::Joined, start, 59),
            30 + 59
        );
        assert_eq!(
            paid_in(&mut Budget::new(), Guess::Free, Dial::Alone, start, 59),
            60 + 118
        );
    }

    #[test]
    fn a_refund_gives_back_the_guess_and_not_the_dial() {
        let now = Instant::now();
        let mut budget = Budget::new();
        for _ in 0..30 {
            budget.pay(Guess::Other, Dial::Joined, now).unwrap();
            budget.refund(Guess::Other);
        }
        assert_eq!(
            budget.pay(Guess::Other, Dial::Joined, now),
            Err(now + Duration::from_secs(1))
        );
        assert_eq!(budget.pay(Guess::Other, Dial::Free, now), Ok(()));
    }

    #[test]
    fn what_is_refused_costs_nothing() {
        let now = Instant::now();
        let mut budget = Budget::new();
        for _ in 0..10 {
            budget.pay(Guess::Other, Dial::Joined, now).unwrap();
        }
        for _ in 0..100 {
            assert_eq!(
                budget.pay(Guess::Other, Dial::Joined, now),
                Err(now + Duration::from_secs(60))
            );
        }
        assert_eq!(
            (0..100)
                .filter(|_| budget.pay(Guess::Named, Dial::Joined, now).is_ok())
                .count(),
            20
        );
    }
}
