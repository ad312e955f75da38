//! How long to wait before trying again. Not when: who waits keeps the instant.

use std::time::Duration;

use rand::{RngExt, rngs::StdRng};

/// Delays that double: `first`, 2 × `first`, 4 × `first` … at most `max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Backoff {
    /// After the first failure.
    pub(super) first: Duration,
    /// After many.
    pub(super) max: Duration,
}

impl Backoff {
    /// The delay after `failures` failures in a row (at least one), shortened by up to a tenth, so that those who failed
    /// together do not come back together.
    pub(super) fn delay(self, failures: u32, rng: &mut StdRng) -> Duration {
        // 2^16 times any `first` is beyond any `max` here; more would overflow.
        let doublings = failures.saturating_sub(1).min(16);
        let delay = self.first.saturating_mul(1 << doublings).min(self.max);
        delay.mul_f64(rng.random_range(0.9..=1.0))
    }
}

/// `period`, up to a fifth longer or shorter.
pub(super) fn jittered(period: Duration, rng: &mut StdRng) -> Duration {
    period.mul_f64(rng.random_range(0.8..=1.2))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn delays_double_up_to_their_bound() {
        let backoff = Backoff {
            first: Duration::from_secs(1),
            max: Duration::from_secs(15),
        };
        let mut rng = StdRng::seed_from_u64(1);
        for (failures, seconds) in [
            (0, 1.0),
            (1, 1.0),
            (2, 2.0),
            (3, 4.0),
            (4, 8.0),
            (5, 15.0),
            (6, 15.0),
            (u32::MAX, 15.0),
        ] {
            for _ in 0..100 {
                let delay = backoff.delay(failures, &mut rng).as_secs_f64();
                assert!(
                    (0.9 * seconds - 1e-6..=seconds).contains(&delay),
                    "{failures} failures: {delay} s"
                );
            }
        }
    }
}
