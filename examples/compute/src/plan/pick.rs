//! Which task this worker takes next, and which it gives up.

use std::time::Instant;

use super::{Action, PATIENCE, Plan, Slot, Stage};
use crate::job::JobId;

impl Plan {
    /// Gives up what nobody needs, starts what is queued, and claims what fits.
    pub(super) fn look(&mut self, now: Instant, out: &mut Vec<Action>) {
        let needless = |slot: &Slot| {
            let job = self.jobs.get(&slot.job);
            let task = job.and_then(|job| job.tasks.get(slot.task as usize));
            task.is_none_or(|task| task.missing() == 0 || task.has_vote_of(&self.me))
        };
        for slot in self.own.keys().copied().filter(needless).collect::<Vec<_>>() {
            self.cancel(slot, out);
        }
        let mut running = self.own.values().filter(|stage| **stage == Stage::Running).count();
        for (slot, stage) in &mut self.own {
            if running < self.slots && *stage == Stage::Queued {
                *stage = Stage::Running;
                running += 1;
                out.push(Action::Start(*slot));
            }
        }
        // As many wait as are worked on, so that claiming takes no time from working.
        while self.own.len() < 2 * self.slots
            && let Some(slot) = self.pick(now)
        {
            self.own.insert(slot, Stage::Claiming);
            out.push(Action::Claim(slot));
        }
    }

    /// The task for which this worker weighs most, of those that need one more and wait for it.
    fn pick(&mut self, now: Instant) -> Option<Slot> {
        let place = self.workers.iter().position(|worker| *worker == self.me)?;
        let mut by_deadline: Vec<JobId> = self.jobs.keys().copied().collect();
        by_deadline.sort_by_key(|id| self.jobs.get(id).map(|job| job.began + job.deadline));
        by_deadline.into_iter().find_map(|id| self.pick_of(id, place, now))
    }

    fn pick_of(&mut self, id: JobId, place: usize, now: Instant) -> Option<Slot> {
        let job = self.jobs.get_mut(&id).filter(|job| job.able)?;
        let slow_after = job.slow_after();
        let mut best: Option<(u64, Slot)> = None;
        for (number, task) in (0..).zip(&mut job.tasks) {
            let missing = task.missing();
            if missing == 0 {
                continue;
            }
            let held: Vec<_> = self.held.range(Slot::all_of(id, number)).collect();
            let own = self.own.range(Slot::all_of(id, number)).next();
            let active = held.iter().filter(|(_, (_, since))| now < *since + slow_after).count();
            let Some(needed) = missing.checked_sub(active).filter(|needed| *needed > 0) else {
                task.waits_since = None;
                continue;
            };
            let since = *task.waits_since.get_or_insert(now);
            let is_out = own.is_some()
                || self.broken.contains_key(&(id, number))
                || held.iter().any(|(_, (holder, _))| *holder == self.me)
                || task.has_vote_of(&self.me);
            if is_out {
                continue;
            }
            let weight = task.weight(place);
            if best.is_some_and(|(highest, _)| weight <= highest) {
                continue;
            }
            let before = |(other, worker): &(usize, &_)| {
                task.weight(*other) > weight
                    && !task.has_vote_of(worker)
                    && !held.iter().any(|(_, (holder, _))| holder == *worker)
            };
            let rank = self.workers.iter().enumerate().filter(before).count();
            let late = u32::try_from((rank + 1).saturating_sub(needed)).unwrap_or(u32::MAX);
            if now < since + PATIENCE.saturating_mul(late) {
                continue;
            }
            let is_free = |replica: &u32| {
                let slot = Slot {
                    job: id,
                    task: number,
                    replica: *replica,
                };
                !self.held.contains_key(&slot)
            };
            // Those who claim at the same moment claim different ones.
            let mut free = (0..task.replicas_max()).filter(is_free);
            if let Some(replica) = free
                .nth(rank % needed)
                .or_else(|| (0..task.replicas_max()).find(is_free))
            {
                best = Some((
                    weight,
                    Slot {
                        job: id,
                        task: number,
                        replica,
                    },
                ));
            }
        }
        best.map(|(_, slot)| slot)
    }
}
