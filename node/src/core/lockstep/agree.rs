//! Who goes on without whom. A player who misses moves for long, or saw somebody cheat, proposes; the others promise to
//! execute nothing until the view ends and tell what they have; the proposer leaves out who did not promise, with its last
//! moves as somebody has them; what a quorum accepts is decided. It may turn out that nobody has to go.

use std::time::Instant;

use maille_proto::LOCKSTEP_SPAN_MAX;
use maille_proto::lockstep::{Change, Move, Moves};

use super::machine::Machine;
use super::seat::{Made, Seats, each, has, number, only};
use super::{Action, BEHIND_MAX, GATHER, HEARD_WITHIN, Out, Place, ROUND, ROUNDS_AHEAD_MAX, STAGGER, SUSPECT_AFTER};

/// Seats in a ballot's number.
const SEATS: u32 = 8;
/// For so many ticks more it is repeated how the last view ended.
const LAST_REPEATED: u32 = 128;

/// What was promised and accepted in this view.
#[derive(Debug, Default)]
pub(super) struct Ballots {
    pub(super) promised: u32,
    pub(super) accepted: u32,
    pub(super) proposal: Option<Change>,
    promised_at: Option<Instant>,
    /// Until when this node, which proposes, waits for those who may be slow.
    gather_until: Option<Instant>,
    propose_at: Option<Instant>,
}

impl Machine {
    /// More than half of those who decide; of exactly half, those with the lowest of them.
    fn is_quorum(&self, seats: Seats) -> bool {
        let (some, all) = ((seats & self.voters).count_ones(), self.voters.count_ones());
        let lowest = self.voters & self.voters.wrapping_neg();
        2 * some > all || (2 * some == all && seats & lowest != 0)
    }

    fn cheats(&self) -> Seats {
        let cheats = |seat: &usize| self.seats[*seat].cheats && self.seats[*seat].gone.is_none();
        each(self.present)
            .filter(cheats)
            .map(only)
            .fold(0, |all, one| all | one)
    }

    /// Whom this node would go on without.
    fn suspects(&self, now: Instant) -> Seats {
        let is_time = self.blocked_at.is_some() && self.suspicion_at().is_none_or(|at| at <= now);
        self.cheats() | if is_time { self.missing() } else { 0 }
    }

    fn heard_lately(&self, seat: usize, now: Instant) -> bool {
        self.me == Some(seat) || self.seats[seat].heard_at.is_some_and(|at| at + HEARD_WITHIN > now)
    }

    /// What is told with a promise: moves of everybody from where the last of us may be.
    pub(super) fn report(&self) -> Vec<Moves> {
        if self.ballots.promised == 0 {
            return Vec::new();
        }
        let first = self.report_from();
        each(self.others())
            .map(|seat| self.seats[seat].span(seat, first))
            .collect()
    }

    fn report_from(&self) -> u32 {
        let said = each(self.others()).filter_map(|seat| self.seats[seat].said.as_ref());
        let least = said.map(|said| said.executed).min().unwrap_or(self.executed);
        least.clamp(self.executed.saturating_sub(BEHIND_MAX), self.executed) + 1
    }

    pub(super) fn agree_deadline(&self) -> Option<Instant> {
        let Ballots {
            propose_at,
            gather_until,
            ..
        } = self.ballots;
        [propose_at, gather_until].into_iter().flatten().min()
    }

    fn is_proposing(&self) -> bool {
        let Ballots { promised, accepted, .. } = self.ballots;
        promised > accepted && self.me == Some((promised % SEATS) as usize)
    }

    /// Proposes, if it is time.
    pub(super) fn agree(&mut self, now: Instant, out: &mut Vec<Action>) {
        let Some(me) = self
            .me
            .filter(|me| self.playing && !self.ended && has(self.voters, *me))
        else {
            return;
        };
        let suspects = self.suspects(now);
        if suspects == 0 && self.ballots.promised == 0 {
            self.ballots.propose_at = None;
            return;
        }
        let rank = (self.voters & !suspects & (only(me) - 1)).count_ones();
        let propose_at = *self.ballots.propose_at.get_or_insert(now + STAGGER * rank);
        // After that only what others say makes a difference.
        self.ballots.gather_until.take_if(|until| *until <= now);
        if self.is_proposing() {
            self.propose(now, out);
        }
        if now < propose_at {
            return;
        }
        // Who proposed last is given its time.
        let other = self
            .ballots
            .promised_at
            .filter(|_| self.ballots.promised % SEATS != number(me));
        if let Some(given) = other.map(|at| at + ROUND + STAGGER * rank).filter(|given| *given > now) {
            self.ballots.propose_at = Some(given);
            return;
        }
        self.ballots.promised = (self.ballots.promised / SEATS + 1) * SEATS + number(me);
        self.ballots.promised_at = Some(now);
        self.ballots.gather_until = Some(now + GATHER);
        self.ballots.propose_at = Some(now + ROUND + STAGGER * rank);
        self.speak_soon(now);
        self.propose(now, out);
    }

    /// Proposes what those who promised allow, once they are a quorum and nobody who may promise is waited for.
    fn propose(&mut self, now: Instant, out: &mut Vec<Action>) {
        let (Some(me), ballot) = (self.me, self.ballots.promised) else {
            return;
        };
        let has_promised = |seat: &usize| {
            let said = self.seats[*seat].said.as_ref();
            *seat == me || said.is_some_and(|said| (said.view, said.promised) == (self.view, ballot))
        };
        let cheats = self.cheats();
        let promised = each(self.present & !cheats)
            .filter(has_promised)
            .map(only)
            .fold(0, |all, one| all | one);
        let lively = each(self.present & !cheats).filter(|seat| self.heard_lately(*seat, now));
        let waited_for = lively.map(only).fold(0, |all, one| all | one) & !promised;
        let waits = waited_for != 0 && self.ballots.promised_at.is_some_and(|at| now < at + GATHER);
        if !self.is_quorum(promised) || waits {
            return;
        }
        let own = (self.ballots.accepted, self.ballots.proposal.as_ref());
        let theirs = each(promised).filter_map(|seat| self.seats[seat].said.as_ref());
        let accepted = theirs.map(|said| (said.accepted, said.proposal.as_ref())).chain([own]);
        let newest = accepted
            .filter(|(ballot, _)| *ballot > 0)
            .max_by_key(|(ballot, _)| *ballot);
        let change = newest.and_then(|(_, proposal)| proposal.cloned());
        if let Some(change) = change.or_else(|| self.change(promised)) {
            self.ballots.accepted = ballot;
            self.ballots.proposal = Some(change);
            self.speak_soon(now);
            self.tally(now, out);
        }
    }

    /// To go on with these: the last moves of the others, as whoever executed most has them.
    fn change(&self, keep: Seats) -> Option<Change> {
        let executed = |seat: usize| {
            let said = self.seats[seat].said.as_ref().filter(|_| self.me != Some(seat));
            said.map_or(self.executed, |said| said.executed)
        };
        let mut witnesses: Vec<usize> = each(keep).collect();
        witnesses.sort_by_key(|seat| std::cmp::Reverse(executed(*seat)));
        let most = executed(*witnesses.first()?);
        let least = executed(*witnesses.last()?);
        let witness = |witness: usize, seat: usize, tick: u32| -> Option<&Move> {
            if self.me == Some(witness) {
                return self.seats[seat].did(tick);
            }
            let report = &self.seats[witness].said.as_ref()?.report;
            let span = report.iter().find(|span| span.seat == number(seat))?;
            span.moves.get(tick.checked_sub(span.first)? as usize)
        };
        let mut dropped = Vec::new();
        let goes = |seat: &usize| !has(keep, *seat) && self.seats[*seat].gone.is_none();
        for seat in each(self.present).filter(goes) {
            let first = (least + 1).max(self.seats[seat].from);
            let gapless = (first..).map_while(|tick| witnesses.iter().find_map(|one| witness(*one, seat, tick)));
            let moves: Vec<Move> = gapless.take(LOCKSTEP_SPAN_MAX).cloned().collect();
            if first + number(moves.len()) <= most {
                return None;
            }
            dropped.push(Moves {
                seat: number(seat),
                first,
                moves,
            });
        }
        Some(Change {
            keep: keep.into(),
            dropped,
        })
    }

    /// Takes what a player said of promises and proposals.
    pub(super) fn consider(&mut self, seat: usize, now: Instant, out: &mut Vec<Action>) {
        let Some(said) = self.seats[seat].said.as_ref() else {
            return;
        };
        let (promised, accepted) = (said.promised, said.accepted);
        let is_of = |ballot: u32| ballot > 0 && (ballot % SEATS) as usize == seat;
        if self.playing && said.view == self.view && has(self.voters, seat) {
            let known = self.ballots.promised;
            if promised > known
                && is_of(promised)
                && promised / SEATS <= known / SEATS + ROUNDS_AHEAD_MAX
                && self.consents(seat, now)
            {
                self.ballots.promised = promised;
                self.ballots.promised_at = Some(now);
                self.speak_soon(now);
            }
            let proposal = self.seats[seat].said.as_ref().and_then(|said| said.proposal.clone());
            if accepted == self.ballots.promised
                && is_of(accepted)
                && accepted > self.ballots.accepted
                && let Some(change) = proposal.filter(|change| self.is_acceptable(change, now))
            {
                self.ballots.accepted = accepted;
                self.ballots.proposal = Some(change);
                self.speak_soon(now);
            }
        }
        self.tally(now, out);
    }

    /// Whether this node, too, has a reason to end the view, and the proposer is not that reason.
    fn consents(&self, proposer: usize, now: Instant) -> bool {
        let waits = self.blocked_at.is_some_and(|since| since + SUSPECT_AFTER / 2 <= now);
        let cheats = self.cheats();
        let reason = self.ballots.promised > 0 || waits || cheats != 0;
        reason && !has(cheats | self.missing(), proposer)
    }

    /// Whether a proposal leaves out nobody who is there, and changes no move that this node has.
    fn is_acceptable(&self, change: &Change, now: Instant) -> bool {
        let Ok(keep) = Seats::try_from(change.keep) else {
            return false;
        };
        if !self.is_quorum(keep) || keep & !self.present != 0 {
            return false;
        }
        let am_kept = self.me.is_some_and(|me| has(keep, me));
        let mut seen: Seats = 0;
        for span in &change.dropped {
            let seat = span.seat as usize;
            let known = &self.seats[seat];
            if has(keep | seen, seat) || !has(self.present, seat) || known.gone.is_some() {
                return false;
            }
            seen |= only(seat);
            let is_there = self.me != Some(seat) && !has(self.missing(), seat) && self.heard_lately(seat, now);
            if is_there && !known.cheats {
                // Unless it does not promise: then it blocks all.
                let said = known.said.as_ref();
                if said.is_some_and(|said| said.view == self.view && said.promised == self.ballots.promised) {
                    return false;
                }
            }
            let end = span.first + number(span.moves.len());
            let fits = span.first <= known.from.max(self.executed + 1) && end > self.executed;
            let differs = |(did, tick)| known.did(tick).is_some_and(|ours| ours != did);
            if am_kept && (!fits || (!known.cheats && span.moves.iter().zip(span.first..).any(differs))) {
                return false;
            }
        }
        true
    }

    /// Ends the view if a quorum accepted a proposal, or went on after it.
    fn tally(&mut self, now: Instant, out: &mut Vec<Action>) {
        let own = self.me.filter(|_| self.playing).zip(self.ballots.proposal.as_ref());
        let own = own.map(|(me, change)| (me, self.ballots.accepted, change));
        let theirs = each(self.voters).filter_map(|seat| {
            let said = self.seats[seat].said.as_ref().filter(|_| self.me != Some(seat))?;
            match said.view.checked_sub(self.view)? {
                0 => said.proposal.as_ref().map(|change| (seat, said.accepted, change)),
                // Whatever the ballot was.
                1 => said.last.as_ref().map(|change| (seat, u32::MAX, change)),
                _ => None,
            }
        });
        let votes: Vec<(usize, u32, &Change)> = theirs.chain(own).collect();
        let decided = votes.iter().find(|(_, ballot, change)| {
            let same = votes
                .iter()
                .filter(|(_, b, c)| (b == ballot || *b == u32::MAX) && c == change);
            self.is_quorum(same.map(|(seat, ..)| only(*seat)).fold(0, |all, one| all | one))
        });
        if let Some((_, _, change)) = decided {
            let change = (*change).clone();
            return self.end_view(change, now, out);
        }
        let far = each(self.voters).filter(|seat| {
            let said = self.seats[*seat].said.as_ref();
            said.is_some_and(|said| said.view > self.view + 1)
        });
        // They decided more than once without this node, and tell only of the last time.
        if self.is_quorum(far.map(only).fold(0, |all, one| all | one)) {
            self.fall_behind(now, out);
        }
    }

    fn end_view(&mut self, change: Change, now: Instant, out: &mut Vec<Action>) {
        let keep = Seats::try_from(change.keep).unwrap_or(0);
        if self.playing && self.me.is_some_and(|me| !has(keep, me)) {
            return self.end(Out::Dropped, out);
        }
        let mut diverged = false;
        for span in &change.dropped {
            let executed = self.executed;
            let Some(seat) = self.seats.get_mut(span.seat as usize) else {
                continue;
            };
            let end = span.first + number(span.moves.len());
            diverged |= end <= executed || span.first > seat.from.max(executed + 1);
            for (did, tick) in span.moves.iter().zip(span.first..) {
                if tick > executed {
                    let (did, place) = (did.clone(), Place::default());
                    seat.moves.insert(tick, Made { did, place });
                } else {
                    diverged |= seat.did(tick).is_some_and(|executed| executed != did);
                }
            }
            seat.moves.split_off(&end);
            seat.gone = Some(end);
        }
        self.view += 1;
        self.voters = keep;
        self.ballots = Ballots::default();
        self.waiting_told = false;
        self.last = Some((change, self.executed + LAST_REPEATED));
        if self.blocked_at.is_some() {
            self.blocked_at = Some(now);
        }
        self.speak_soon(now);
        match (diverged, self.playing) {
            (true, true) => self.end(Out::Diverged, out),
            (true, false) => self.fall_behind(now, out),
            (false, _) => {}
        }
    }
}
