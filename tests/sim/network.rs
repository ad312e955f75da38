//! The simulated network: what becomes of a message between two nodes. It knows nothing of what messages say.

use rand::{RngExt as _, rngs::StdRng};

use super::queue::{MS, Us};

/// How bad it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Conditions {
    /// Messages that never arrive.
    pub(crate) loss: f64,
    /// Messages that arrive twice.
    pub(crate) duplication: f64,
    /// The least time on the way.
    pub(crate) delay: Us,
    /// At most so much longer: one message overtakes another.
    pub(crate) jitter: Us,
    /// Of so many messages one is held up ...
    pub(crate) stragglers: f64,
    /// ... by at most this.
    pub(crate) straggles: Us,
}

/// Nothing is lost, and nothing overtaken by much.
pub(crate) const FAIR: Conditions = Conditions {
    loss: 0.0,
    duplication: 0.0,
    delay: 10 * MS,
    jitter: 20 * MS,
    stragglers: 0.0,
    straggles: 0,
};

/// 5 % lost, 5 % twice, and out of order.
pub(crate) const HARSH: Conditions = Conditions {
    loss: 0.05,
    duplication: 0.05,
    delay: 10 * MS,
    jitter: 80 * MS,
    stragglers: 0.02,
    straggles: 900 * MS,
};

#[derive(Debug)]
pub(crate) struct Network {
    conditions: Conditions,
    /// Of each node, on which side it is while the network is parted.
    sides: Option<Vec<bool>>,
    pub(crate) sent: u64,
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
}

impl Network {
    pub(crate) fn new(conditions: Conditions) -> Self {
        Self {
            conditions,
            sides: None,
            sent: 0,
            lost: 0,
            doubled: 0,
        }
    }

    /// Parts the network. Nodes that come later are on the first side.
    pub(crate) fn part(&mut self, sides: Vec<bool>) {
        self.sides = Some(sides);
    }

    pub(crate) fn heal(&mut self) {
        self.sides = None;
    }

    /// Whether messages between these two may arrive at all.
    pub(crate) fn connects(&self, a: usize, b: usize) -> bool {
        let side = |node: usize| self.sides.as_ref().and_then(|sides| sides.get(node)).copied();
        side(a).unwrap_or_default() == side(b).unwrap_or_default()
    }

    /// After how long the copies of a message arrive.
    pub(crate) fn carry(&mut self, from: usize, to: usize, rng: &mut StdRng) -> impl Iterator<Item = Us> + use<> {
        self.sent += 1;
        let Conditions {
            loss,
            duplication,
            delay,
            jitter,
            stragglers,
            straggles,
        } = self.conditions;
        let mut time = || {
            let late = rng.random_bool(stragglers);
            delay + rng.random_range(0..=jitter) + if late { rng.random_range(0..=straggles) } else { 0 }
        };
        let (first, second) = (time(), time());
        let lost = rng.random_bool(loss) || !self.connects(from, to);
        let doubled = rng.random_bool(duplication);
        self.lost += u64::from(lost);
        self.doubled += u64::from(doubled && !lost);
        let first = (!lost).then_some(first);
        first.into_iter().chain((doubled && !lost).then_some(second))
    }
}
