//! Strangers before the door, in crowds: one a wider network. Not whether they may enter, which is budget and slots.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use rand::{RngExt, rngs::StdRng};

use super::budget::{Budget, Group};
use crate::types::IpPrefix;

/// Strangers waiting for their turn.
pub const WAITING_STRANGERS_MAX: usize = 256;
/// How long a knock may wait: its peer gives up then.
pub const WAITING_TIMEOUT: Duration = Duration::from_secs(10);

/// One hello that waits for its answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Knock {
    pub(super) id: u64,
    pub(super) prefix: IpPrefix,
    pub(super) since: Instant,
}

impl Knock {
    pub(super) fn expires_at(&self) -> Instant {
        self.since + WAITING_TIMEOUT
    }
}

/// At most [`WAITING_STRANGERS_MAX`] knocks.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// None of them empty.
    crowds: BTreeMap<Group, Crowd>,
    len: usize,
}

#[derive(Debug)]
struct Crowd {
    last_turn: Option<Instant>,
    /// When the first of its prefixes that have no guess left gets one.
    refill: Option<Instant>,
    /// Before that, none of them has: spares a flood of knocks from being looked at one by one.
    exhausted: bool,
    /// In order of arrival.
    knocks: VecDeque<Knock>,
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Lets one more wait. If that is one too many, somebody of the largest crowd goes, or of those as large the one
    /// that had its turn last: whoever comes in numbers pushes out its own. `budget` tells whether the newcomer's prefix
    /// has a guess left, `last_turn` when its group was last answered.
    pub(super) fn push(
        &mut self,
        knock: Knock,
        budget: Result<(), Instant>,
        last_turn: Option<Instant>,
        rng: &mut StdRng,
    ) -> Option<Knock> {
        let crowd = self.crowds.entry(Group::of(&knock.prefix)).or_insert_with(|| Crowd {
            last_turn,
            refill: None,
            exhausted: true,
            knocks: VecDeque::new(),
        });
        crowd.refill = crowd.refill.into_iter().chain(budget.err()).min();
        crowd.exhausted &= budget.is_err();
        crowd.knocks.push_back(knock);
        self.len += 1;
        if self.len <= WAITING_STRANGERS_MAX {
            return None;
        }
        let weight = |crowd: &Crowd| (crowd.knocks.len(), crowd.last_turn);
        let heaviest = self.crowds.values().map(weight).max()?;
        let ties = self.crowds.iter().filter(|(_, crowd)| weight(crowd) == heaviest);
        let ties: Vec<Group> = ties.map(|(group, _)| *group).collect();
        let group = ties[rng.random_range(0..ties.len())];
        self.take(group, rng.random_range(0..heaviest.0))
    }

    /// Takes out the knock whose turn it is, of those with room and a guess left: of the crowd that had no turn the
    /// longest, the prefix that had none the longest, and then any.
    pub(super) fn next(
        &mut self,
        budget: &Budget,
        room: impl Fn(&IpPrefix) -> bool,
        now: Instant,
        rng: &mut StdRng,
    ) -> Option<Knock> {
        let mut first = None;
        for (group, crowd) in &mut self.crowds {
            if crowd.exhausted && crowd.refill.is_some_and(|at| at > now) {
                continue;
            }
            let mut refills = Vec::new();
            for (index, knock) in crowd.knocks.iter().enumerate().filter(|(_, knock)| room(&knock.prefix)) {
                match budget.check_prefix(&knock.prefix, now) {
                    Ok(()) => {
                        let turn = (crowd.last_turn, budget.last_turn(&knock.prefix), rng.random::<u64>());
                        first = first.into_iter().chain([(turn, *group, index)]).min();
                    }
                    Err(at) => refills.push(at),
                }
            }
            crowd.exhausted = refills.len() == crowd.knocks.len();
            crowd.refill = refills.into_iter().min();
        }
        let (_, group, index) = first?;
        self.take(group, index)
    }

    /// Looks at a group's knocks again: one of its handshakes cost nothing after all.
    pub(super) fn refunded(&mut self, group: Group) {
        if let Some(crowd) = self.crowds.get_mut(&group) {
            crowd.exhausted = false;
        }
    }

    /// Notes that a group had its turn.
    pub(super) fn had_turn(&mut self, group: Group, now: Instant) {
        if let Some(crowd) = self.crowds.get_mut(&group) {
            crowd.last_turn = Some(now);
        }
    }

    /// Takes out one that no longer wants to enter.
    pub(super) fn remove(&mut self, id: u64) {
        let found = self.crowds.iter().find_map(|(group, crowd)| {
            let index = crowd.knocks.iter().position(|knock| knock.id == id)?;
            Some((*group, index))
        });
        if let Some((group, index)) = found {
            self.take(group, index);
        }
    }

    /// Takes out all that have waited too long.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<Knock> {
        let mut expired = vec![];
        self.crowds.retain(|_, crowd| {
            let count = crowd
                .knocks
                .iter()
                .take_while(|knock| knock.expires_at() <= now)
                .count();
            expired.extend(crowd.knocks.drain(..count));
            !crowd.knocks.is_empty()
        });
        self.len -= expired.len();
        expired
    }

    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.crowds
            .values()
            .filter_map(|crowd| crowd.knocks.front())
            .map(Knock::expires_at)
            .min()
    }

    /// When the next prefix without a guess gets one, after `now`.
    pub(super) fn next_refill(&self, now: Instant) -> Option<Instant> {
        self.crowds
            .values()
            .filter_map(|crowd| crowd.refill)
            .filter(|at| *at > now)
            .min()
    }

    fn take(&mut self, group: Group, index: usize) -> Option<Knock> {
        let crowd = self.crowds.get_mut(&group)?;
        let knock = crowd.knocks.remove(index)?;
        if crowd.knocks.is_empty() {
            self.crowds.remove(&group);
        }
        self.len -= 1;
        Some(knock)
    }
}
