//! The end of a session: how far it is beside the live inbox, and what it hands over to it. Not the reading before.

use super::{Action, Phase, Run, Session, Wanted, has_begun};
use libp2p::PeerId;
use std::collections::BTreeMap;

impl Session {
    /// The live inbox is this far.
    pub(in super::super) fn compare(&mut self, mut next: Vec<(Run, u64)>, out: &mut Vec<Action>) {
        if !matches!(self.phase, Phase::Comparing) {
            return;
        }
        next.sort_unstable();
        for (run, live) in next {
            // A run before the position is not heard of again.
            let Some(first) = self.start.first_of(run, 0) else {
                continue;
            };
            let proven = self.proven.get(&run).copied();
            let newest = self.newest_run(&run.publisher);
            if newest.is_some_and(|newest| run.incarnation < newest) {
                // It cannot be delivered in order any more; who wants the newest has it.
                if let Some(from) = proven.filter(|from| *from < live) {
                    if !matches!(self.start, Wanted::Latest) {
                        out.push(self.gap(run, from..live));
                    }
                    self.proven.insert(run, live);
                }
                continue;
            }
            // What is neither vouched for nor planned, nor follows what is, was chosen by nobody: then a claim says where the
            // new begins. It may be wrong, and the live inbox knows better.
            let planned = self.planned.get(&run).copied();
            let claimed = self.ends.get(&run).copied();
            let claimed = claimed.filter(|_| planned.is_none() && !has_begun(&self.proven, &run));
            let (reported, compared) = (self.reached.get(&run).copied(), self.live.insert(run, live));
            let passed = reported.max(claimed).max(compared).unwrap_or(0).min(live);
            let from = proven.or(planned).unwrap_or(first).max(passed);
            self.reader.want(run, from..live);
            self.ends.insert(run, live);
        }
        if self.reader.is_done() {
            self.end(out);
        } else {
            self.phase = Phase::Reading;
        }
    }

    fn newest_run(&self, publisher: &PeerId) -> Option<u64> {
        let all = |incarnation| Run {
            publisher: *publisher,
            incarnation,
        };
        // Only what was there: anybody can claim a run that is not.
        let of = |runs: &BTreeMap<Run, u64>| {
            let newest = runs.range(all(0)..=all(u64::MAX)).next_back();
            newest.map(|(run, _)| run.incarnation)
        };
        of(&self.proven).max(of(&self.live))
    }

    pub(super) fn end(&mut self, out: &mut Vec<Action>) {
        // The live inbox goes on with a run whose start nobody had.
        if let Some((run, sequences)) = self.unproven.take_if(|(run, _)| self.live.contains_key(run)) {
            out.push(self.gap(run, sequences));
        }
        let mut reached = std::mem::take(&mut self.proven);
        for (run, next) in &self.live {
            let end = reached.entry(*run).or_default();
            *end = (*next).max(*end);
        }
        // The subscriber was there, whoever may know it now.
        if let Wanted::After(position) = &self.start {
            for next in position.cursors() {
                let run = Run {
                    publisher: next.publisher,
                    incarnation: next.incarnation,
                };
                let end = reached.entry(run).or_default();
                *end = next.sequence.max(*end);
            }
        }
        let others_are_new = match self.start {
            // A neighbour that is new as well knows no more.
            Wanted::Nothing => false,
            // Who wants only the newest does not want all of a run that nobody told of.
            Wanted::Last(_) | Wanted::Latest => !self.is_unanswered,
            Wanted::All | Wanted::Since(_) | Wanted::After(_) => true,
        };
        // What was reported as missing is not told again.
        for (run, next) in &mut reached {
            *next = self.reached.get(run).copied().unwrap_or(0).max(*next);
        }
        // What follows a run that was heard is wanted, whoever claimed it and did not give it.
        let unheard = self.ends.iter().filter(|(run, _)| !has_begun(&reached, run));
        let unheard = unheard.map(|(run, end)| (*run, *end)).collect();
        out.push(Action::CaughtUp {
            session: self.id,
            claimed: unheard,
            others_are_new,
            since_us: match self.start {
                Wanted::All | Wanted::After(_) => Some(0),
                Wanted::Since(us) => Some(us),
                Wanted::Last(_) | Wanted::Latest | Wanted::Nothing => None,
            },
            reached: reached.into_iter().collect(),
        });
        self.phase = Phase::Over;
    }
}
