//! What one says: all that is true now, in one record, so that losing one costs nothing.

use std::time::Instant;

use maille_proto::lockstep::LockstepRecord;
use maille_proto::{LOCKSTEP_HASHES_MAX, LOCKSTEP_MOVES_MAX};
use prost::Message as _;

use super::machine::Machine;
use super::seat::each;
use super::{Action, BEHIND_MAX, REPEATED, RESEND, SEND_INTERVAL_MIN};

impl Machine {
    /// There is something new to say.
    pub(super) fn speak_soon(&mut self, now: Instant) {
        let earliest = self.sent_at.map_or(now, |sent| sent + SEND_INTERVAL_MIN);
        self.send_at = self.send_at.min(earliest.max(now));
    }

    pub(super) fn speak(&mut self, now: Instant, out: &mut Vec<Action>) {
        if self.ended || now < self.send_at || !(self.playing || self.is_joining()) {
            return;
        }
        let record = match (self.me, self.playing) {
            (Some(me), true) => self.record(me),
            _ => LockstepRecord {
                session: self.config.session,
                run: self.config.run,
                joining: true,
                executed: self.executed,
                ..LockstepRecord::default()
            },
        };
        self.sent_at = Some(now);
        // While ticks are executed, each is a reason to speak.
        let waits = self.blocked_at.is_some() || self.executed == 0;
        self.send_at = now
            + if waits {
                RESEND
            } else {
                RESEND.max(self.config.tick * 2)
            };
        out.push(Action::Send(record.encode_to_vec().into()));
    }

    fn record(&self, me: usize) -> LockstepRecord {
        let own = &self.seats[me];
        let has_of_me = |seat: usize| {
            let said = self.seats[seat].said.as_ref();
            let held = said.and_then(|said| said.held.get(me)).copied();
            held.map_or(0, |held| u32::try_from(held).unwrap_or(u32::MAX))
        };
        let least = each(self.others()).map(has_of_me).min().unwrap_or(u32::MAX);
        let first = least
            .saturating_add(1)
            .min((self.moved + 1).saturating_sub(REPEATED))
            .max((self.executed + 1).saturating_sub(BEHIND_MAX))
            .max(own.from);
        let (hashed, hashes) = self.hashes.last(LOCKSTEP_HASHES_MAX);
        let moves = own.moves_from(first, LOCKSTEP_MOVES_MAX);
        let proposal = self.ballots.proposal.clone();
        LockstepRecord {
            session: self.config.session,
            run: self.config.run,
            joining: false,
            view: self.view,
            executed: self.executed,
            first: if moves.is_empty() { 0 } else { first },
            moves,
            held: self.seats.iter().map(|seat| seat.held(self.executed).into()).collect(),
            hashed,
            hashes,
            promised: self.ballots.promised,
            accepted: self.ballots.accepted,
            proposal,
            report: self.report(),
            last: self
                .last
                .as_ref()
                .filter(|(_, until)| self.executed <= *until)
                .map(|(change, _)| change.clone()),
        }
    }
}
