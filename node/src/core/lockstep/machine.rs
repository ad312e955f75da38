//! The machine of one session on one node: takes what others say, and executes ticks whose moves are all there.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;
use libp2p::PeerId;
use maille_proto::decode_lockstep_record;
use maille_proto::lockstep::{Change, LockstepRecord, Move};

use super::agree::Ballots;
use super::follow::Follow;
use super::hashes::Hashes;
use super::pace::Pace;
use super::seat::{Made, Seat, Seats, each, has, only};
use super::{
    Action, BURST_MAX, Config, DELAY_MAX, HASHES_KEPT, Input, LEAD, LEAD_MAX, LOCKSTEP_INPUT_BYTES_MAX, Out,
    PENDING_MAX, Place, RESEND, Role, STAGGER, START_WAIT, SUSPECT_AFTER, Step,
};

/// One session on one node.
#[derive(Debug)]
pub struct Machine {
    pub(super) config: Config,
    /// This node's seat, if it has one.
    pub(super) me: Option<usize>,
    /// It is in: its moves are waited for.
    pub(super) playing: bool,
    pub(super) ended: bool,
    pub(super) view: u32,
    /// Who decides on the next change.
    pub(super) voters: Seats,
    pub(super) present: Seats,
    pub(super) seats: Vec<Seat>,
    pub(super) executed: u32,
    pub(super) pace: Pace,
    /// Since when the next tick cannot be executed.
    pub(super) blocked_at: Option<Instant>,
    pub(super) waiting_told: bool,
    /// The last tick of which this node said its move.
    pub(super) moved: u32,
    pending: VecDeque<Bytes>,
    pub(super) ballots: Ballots,
    /// What ended the view before, and until which tick it is repeated.
    pub(super) last: Option<(Change, u32)>,
    pub(super) hashes: Hashes,
    pub(super) sent_at: Option<Instant>,
    pub(super) send_at: Instant,
    pub(super) follow: Follow,
}

impl Machine {
    /// Before the first tick.
    #[must_use]
    pub fn new(config: Config, now: Instant) -> Self {
        let me = config.players.iter().position(|player| *player == config.me);
        let all = (0..config.players.len()).map(only).fold(0, |all, one| all | one);
        let mut seats: Vec<Seat> = config.players.iter().map(|_| Seat::default()).collect();
        let playing = config.role == Role::Play && me.is_some();
        if playing && let Some(me) = me {
            seats[me].run = config.run;
        }
        seats.iter_mut().for_each(|seat| seat.from = 1);
        let mut machine = Self {
            me,
            playing,
            ended: false,
            view: 0,
            voters: all,
            present: all,
            seats,
            executed: 0,
            pace: Pace::new(config.tick, now),
            blocked_at: None,
            waiting_told: false,
            moved: 0,
            pending: VecDeque::new(),
            ballots: Ballots::default(),
            last: None,
            hashes: Hashes::default(),
            sent_at: None,
            send_at: now,
            follow: Follow::new(!playing, now),
            config,
        };
        machine.make_moves(now);
        machine
    }

    /// Takes a fact, and says what to do.
    pub fn handle(&mut self, input: Input, now: Instant, out: &mut Vec<Action>) {
        if self.ended {
            return;
        }
        match input {
            Input::Received { author, place, record } => self.on_record(&author, place, &record, now, out),
            Input::Forked { author } => {
                if let Some(seat) = self.seat_of(&author) {
                    self.seats[seat].cheats = true;
                }
            }
            Input::Entered { input } => {
                if self.pending.len() < PENDING_MAX && input.len() <= LOCKSTEP_INPUT_BYTES_MAX {
                    self.pending.push_back(input);
                }
            }
            Input::Stepped { tick, hash } => self.on_hash(tick, hash, out),
            Input::Fetched { snapshot } => self.on_fetched(*snapshot, now, out),
            Input::NotFetched => self.follow.again_at = now + STAGGER,
            Input::TimedOut => self.advance(now, out),
        }
        self.agree(now, out);
        self.follow(now, out);
        self.speak(now, out);
    }

    /// When to hand in `TimedOut`.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        if self.ended {
            return None;
        }
        let moving = self.follow.is_restored.then(|| match self.blocked_at {
            // It will not get more urgent.
            Some(_) if !self.is_ready() => self.suspicion_at(),
            _ => Some(self.pace.next_at),
        });
        let speaking = (self.playing || self.is_joining()).then_some(self.send_at);
        let others = [speaking, self.follow_deadline(), self.agree_deadline()];
        others.into_iter().chain(moving).flatten().min()
    }

    /// Own inputs that wait for their ticks.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// How many ticks after they were entered own inputs are executed.
    #[must_use]
    pub fn delay(&self) -> u32 {
        self.pace.delay
    }

    pub(super) fn seat_of(&self, player: &PeerId) -> Option<usize> {
        self.config.players.iter().position(|one| one == player)
    }

    pub(super) fn names(&self, seats: Seats) -> Vec<PeerId> {
        each(seats).map(|seat| self.config.players[seat]).collect()
    }

    /// Who is in, but for this node.
    pub(super) fn others(&self) -> Seats {
        self.present & !self.me.map_or(0, only)
    }

    // ---- what others say -----------------------------------------------------------------------------------------

    fn on_record(&mut self, author: &PeerId, place: Place, bytes: &[u8], now: Instant, out: &mut Vec<Action>) {
        let Some(seat) = self.seat_of(author).filter(|seat| Some(*seat) != self.me) else {
            return;
        };
        let Ok(record) = decode_lockstep_record(bytes) else {
            return;
        };
        if record.session != self.config.session || record.run == 0 || !self.makes_sense(&record) {
            return;
        }
        if record.joining {
            return self.on_joining(seat, &record, now);
        }
        if !has(self.present, seat) || !self.follow.is_restored {
            return;
        }
        let known = &mut self.seats[seat];
        if known.run == 0 {
            known.run = record.run;
        }
        if known.run != record.run {
            // Who watches may be so late that an admission is still to come.
            let twice = self.playing && record.run != known.run_before && known.gone.is_none();
            if let Some(first) = known.said_at.filter(|_| twice) {
                self.accuse(seat, record.first, first, place, out);
            }
            return;
        }
        known.heard_at = Some(now);
        let mut lie = None;
        for (did, tick) in record.moves.iter().zip(record.first..) {
            if let Err(first) = known.take(tick, did.clone(), place, self.executed) {
                lie.get_or_insert((tick, first));
            }
        }
        if let Some((tick, first)) = lie {
            self.accuse(seat, tick, first, place, out);
        }
        self.on_hashes(seat, &record, out);
        if self.seats[seat].said_at.is_none_or(|before| before < place) {
            let own = self.me.filter(|_| self.playing);
            let held = own.and_then(|me| {
                record
                    .held
                    .get(me)
                    .filter(|_| record.executed + 1 >= self.seats[me].from)
            });
            if let Some(held) = held {
                let moves = held.saturating_sub(record.executed.into());
                self.pace.in_hand(u32::try_from(moves).unwrap_or(u32::MAX));
            }
            let (moves, hashes) = (Vec::new(), Vec::new());
            let known = &mut self.seats[seat];
            known.said_at = Some(place);
            known.said = Some(LockstepRecord {
                moves,
                hashes,
                ..record
            });
            self.consider(seat, now, out);
        }
    }

    fn accuse(&mut self, seat: usize, tick: u32, first: Place, second: Place, out: &mut Vec<Action>) {
        if !std::mem::replace(&mut self.seats[seat].cheats, true) {
            let player = self.config.players[seat];
            out.push(Action::Accuse {
                player,
                tick,
                first,
                second,
            });
        }
    }

    /// Whether the numbers of a record can be meant.
    fn makes_sense(&self, record: &LockstepRecord) -> bool {
        const TICK_MAX: u32 = u32::MAX / 2;
        let players = self.seats.len();
        let spans = record.report.iter();
        let changes = record.proposal.iter().chain(&record.last);
        let mut spans = spans.chain(changes.flat_map(|change| &change.dropped));
        record.executed <= TICK_MAX
            && record.view <= TICK_MAX
            && (record.moves.is_empty() || (1..=TICK_MAX).contains(&record.first))
            && record.held.len() <= players
            && record.hashed <= TICK_MAX
            && (record.accepted == 0 || record.accepted <= record.promised)
            && spans.all(|span| (span.seat as usize) < players && (1..=TICK_MAX).contains(&span.first))
    }

    fn on_joining(&mut self, seat: usize, record: &LockstepRecord, now: Instant) {
        let asked = &mut self.seats[seat].joining;
        let first = match *asked {
            Some((run, first, _)) if run == record.run => first,
            _ => now,
        };
        *asked = Some((record.run, first, now));
    }

    // ---- hashes --------------------------------------------------------------------------------------------------

    fn on_hash(&mut self, tick: u32, hash: u64, out: &mut Vec<Action>) {
        if tick > self.executed {
            return;
        }
        self.hashes.add(tick, hash);
        for seat in each(self.others()) {
            self.compare(seat, tick, out);
        }
    }

    fn on_hashes(&mut self, seat: usize, record: &LockstepRecord, out: &mut Vec<Action>) {
        // Before the first hash there is none.
        let before = record
            .hashed
            .checked_sub(u32::try_from(record.hashes.len()).unwrap_or(u32::MAX));
        let Some(before) = before else { return };
        let near = self.executed.saturating_sub(HASHES_KEPT as u32 / 2)..=self.executed.saturating_add(2 * DELAY_MAX);
        for (hash, tick) in record.hashes.iter().zip(before + 1..) {
            if near.contains(&tick) && self.seats[seat].hashes.of(tick).is_none() {
                self.seats[seat].hashes.add(tick, *hash);
                self.compare(seat, tick, out);
            }
        }
    }

    fn compare(&mut self, seat: usize, tick: u32, out: &mut Vec<Action>) {
        let theirs = &mut self.seats[seat].hashes;
        let (Some(ours), Some(hash)) = (self.hashes.of(tick), theirs.of(tick)) else {
            return;
        };
        if ours == hash {
            theirs.differs = false;
        } else if !std::mem::replace(&mut theirs.differs, true) {
            let player = self.config.players[seat];
            let theirs = hash;
            out.push(Action::Mismatch {
                tick,
                player,
                theirs,
                ours,
            });
        }
    }

    // ---- ticks ---------------------------------------------------------------------------------------------------

    /// Who must move in a tick.
    fn movers(&self, tick: u32) -> Seats {
        let must = |seat: &usize| self.seats[*seat].must_move(tick);
        each(self.present).filter(must).map(only).fold(0, |all, one| all | one)
    }

    /// Whose moves of the next tick are missing.
    pub(super) fn missing(&self) -> Seats {
        let tick = self.executed + 1;
        let lacks = |seat: &usize| self.seats[*seat].did(tick).is_none();
        each(self.movers(tick))
            .filter(lacks)
            .map(only)
            .fold(0, |all, one| all | one)
    }

    pub(super) fn is_ready(&self) -> bool {
        self.follow.is_restored
            && self.ballots.promised == 0
            && self.movers(self.executed + 1) != 0
            && self.missing() == 0
    }

    fn advance(&mut self, now: Instant, out: &mut Vec<Action>) {
        for _ in 0..BURST_MAX {
            // Who watches is where the moves are.
            let hurries = !self.playing && self.seats.iter().any(|seat| seat.did(self.executed + 3).is_some());
            if !self.follow.is_restored || (now < self.pace.next_at && !hurries) {
                return;
            }
            if !self.is_ready() {
                self.blocked_at.get_or_insert(now);
                return self.tell_waiting(now, out);
            }
            self.execute(now, out);
        }
    }

    /// When those whose moves are missing are no more waited for.
    pub(super) fn suspicion_at(&self) -> Option<Instant> {
        let patience = if self.executed == 0 { START_WAIT } else { SUSPECT_AFTER };
        self.blocked_at
            .map(|since| since + patience)
            .filter(|_| !self.waiting_told)
    }

    fn tell_waiting(&mut self, now: Instant, out: &mut Vec<Action>) {
        if self.suspicion_at().is_some_and(|at| at <= now) {
            self.waiting_told = true;
            out.push(Action::Waiting {
                tick: self.executed + 1,
                players: self.names(self.missing()),
            });
        }
    }

    fn execute(&mut self, now: Instant, out: &mut Vec<Action>) {
        let tick = self.executed + 1;
        let goes = |seat: &usize| self.seats[*seat].gone.is_some_and(|gone| gone <= tick);
        let left = each(self.present).filter(goes).map(only).fold(0, |all, one| all | one);
        self.present &= !left;
        let comes = |seat: &usize| tick > 1 && self.seats[*seat].from == tick;
        let joined = each(self.present).filter(comes).map(only).fold(0, |all, one| all | one);
        let moves: Vec<(usize, Move)> = each(self.movers(tick))
            .map(|seat| (seat, self.seats[seat].did(tick).cloned().unwrap_or_default()))
            .collect();
        self.executed = tick;
        for (_, did) in &moves {
            self.admit(tick, did);
        }
        self.seats.iter_mut().for_each(|seat| seat.forget(tick));
        (self.blocked_at, self.waiting_told) = (None, false);
        let ahead = |seat: usize| {
            self.seats[seat]
                .said
                .as_ref()
                .is_some_and(|said| said.executed >= tick + 2)
        };
        let behind = self.others() != 0 && each(self.others()).all(ahead);
        self.pace.executed(behind, now);
        let name = |(seat, did): (usize, Move)| (self.config.players[seat], Bytes::from(did.input));
        out.push(Action::Advance(Step {
            tick,
            inputs: moves.into_iter().map(name).collect(),
            joined: self.names(joined),
            left: self.names(left),
        }));
        if self.playing && self.pace.adapt() {
            out.push(Action::Delay(self.pace.delay));
        }
        self.make_moves(now);
    }

    /// Lets somebody in if a move says so: all who execute it decide the same.
    fn admit(&mut self, tick: u32, did: &Move) {
        let Some(admission) = did.admits else { return };
        let seat = admission.seat as usize;
        let free = !has(self.present, seat) && admission.run != 0;
        let Some(known) = self.seats.get_mut(seat).filter(|_| free) else {
            return;
        };
        if known.gone.is_none_or(|gone| !may_return(gone, tick))
            || !(tick + 1..=tick + LEAD_MAX).contains(&admission.from)
        {
            return;
        }
        *known = Seat {
            run: admission.run,
            run_before: known.run,
            from: admission.from,
            cheats: known.cheats,
            admitted: tick,
            ..Seat::default()
        };
        self.present |= only(seat);
        if self.me == Some(seat) && admission.run == self.config.run {
            self.playing = true;
            self.moved = admission.from - 1;
        }
    }

    /// Says own moves as far ahead as the delay is.
    fn make_moves(&mut self, now: Instant) {
        let Some(me) = self.me.filter(|_| self.playing) else {
            return;
        };
        while self.moved < self.executed + self.pace.delay {
            self.moved += 1;
            let did = Move {
                input: self.pending.pop_front().unwrap_or_default().into(),
                admits: self.sponsor(self.moved, now),
            };
            let place = Place::default();
            self.seats[me].moves.insert(self.moved, Made { did, place });
        }
        self.speak_soon(now);
    }

    /// Whom our move of this tick lets in.
    fn sponsor(&mut self, tick: u32, now: Instant) -> Option<maille_proto::lockstep::Admission> {
        let rank = self.me.map_or(0, |me| (self.present & (only(me) - 1)).count_ones());
        let lead = LEAD.as_micros().div_ceil(self.config.tick.as_micros().max(1));
        let lead = u32::try_from(lead).unwrap_or(LEAD_MAX).clamp(4, LEAD_MAX);
        let present = self.present;
        let (number, seat) = self.seats.iter_mut().enumerate().find(|(number, seat)| {
            !has(present, *number)
                && !seat.cheats
                && seat.gone.is_some_and(|gone| may_return(gone, tick))
                && seat.admitted + DELAY_MAX < tick
                && seat.joining.is_some_and(|(_, first, last)| {
                    last + super::JOINING_KEPT > now && first + (STAGGER * rank).max(RESEND * rank) <= now
                })
        })?;
        let (run, ..) = seat.joining?;
        seat.admitted = tick;
        Some(maille_proto::lockstep::Admission {
            seat: super::seat::number(number),
            run,
            from: tick + lead,
        })
    }

    pub(super) fn end(&mut self, why: Out, out: &mut Vec<Action>) {
        self.ended = true;
        out.push(Action::Out(why));
    }
}

/// Whether who is gone may be back in a move of this tick: once all who are in know that it is gone.
fn may_return(gone: u32, tick: u32) -> bool {
    tick > gone.saturating_add(2 * DELAY_MAX)
}
