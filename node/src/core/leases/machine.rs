//! What one member of a lease group claims, and when: the whole of the machine but for what it knows of the others.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use libp2p::PeerId;

use super::group::{Group, Ranking};
use super::past::Past;
use super::wire::Statement;
use super::{Action, CLAIMS_MAX, Held, Input, Lost, PAST_TIMEOUT, RENEWALS, SETTLE, STAGGER, STAGGERED_MAX, Token};

/// At most so often a holder answers claims that are lower than its own.
const INSIST_INTERVAL: Duration = Duration::from_millis(100);

/// A key that this node wants.
#[derive(Clone, Copy, Debug)]
struct Wish {
    waits: bool,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Another holds it, or the past is not heard yet.
    Waiting,
    /// It is free, and those who rank higher go first.
    Queued { until: Instant },
    /// It is claimed; somebody else may have done so at the same moment.
    Settling { number: u64, until: Instant },
    /// It is held.
    Held { number: u64 },
}

impl Stage {
    /// The number of the claim, if it is one.
    fn number(self) -> Option<u64> {
        match self {
            Stage::Settling { number, .. } | Stage::Held { number } => Some(number),
            Stage::Waiting | Stage::Queued { .. } => None,
        }
    }
}

/// One member of a lease group.
#[derive(Debug)]
pub struct Leases {
    me: PeerId,
    lease: Duration,
    group: Group,
    offers: bool,
    wishes: BTreeMap<Bytes, Wish>,
    past: Past,
    /// Until when the past is waited for; none: it was heard.
    past_by: Option<Instant>,
    /// When the last statement that left was made: from then on others count.
    left_at: Instant,
    /// When the last statement was made.
    said_at: Instant,
}

impl Leases {
    /// A member whose leases are this long: within [`LEASE_MIN`](super::LEASE_MIN) and [`LEASE_MAX`](super::LEASE_MAX).
    #[must_use]
    pub fn new(me: PeerId, ranking: Ranking, lease: Duration, now: Instant) -> Self {
        Self {
            me,
            lease: lease.clamp(super::LEASE_MIN, super::LEASE_MAX),
            group: Group::new(ranking),
            offers: false,
            wishes: BTreeMap::new(),
            past: Past::default(),
            past_by: Some(now + PAST_TIMEOUT),
            left_at: now,
            said_at: now,
        }
    }

    /// Takes one fact.
    pub fn handle(&mut self, input: Input, now: Instant, out: &mut Vec<Action>) {
        self.expire_own(now, out);
        match input {
            Input::Received { author, cursor, record } => {
                if let Some(said) = Statement::decode(&record) {
                    self.received(author, cursor, said, now, out);
                }
            }
            Input::Forked { author, incarnation } => {
                if self.group.fork(&author, incarnation) {
                    self.others_changed(now, out);
                }
            }
            Input::CaughtUp => {
                self.past_by = None;
                self.look(now, out);
            }
            Input::Want { key, waits } => {
                let stage = Stage::Waiting;
                self.wishes.insert(key, Wish { waits, stage });
                self.look(now, out);
            }
            Input::Unwant { key } => self.unwant(&key, now, out),
            Input::Offer(offers) => {
                if std::mem::replace(&mut self.offers, offers) != offers {
                    self.say(None, None, now, out);
                    out.push(Action::Changed);
                }
            }
            Input::Left { made_at } => self.left_at = self.left_at.max(made_at),
            Input::Leaving => self.leave(out),
            Input::TimedOut => self.timed_out(now, out),
        }
    }

    /// When to say that time has passed.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        let wishes = self.wishes.values().filter_map(|wish| match wish.stage {
            Stage::Queued { until } | Stage::Settling { until, .. } => Some(until),
            Stage::Waiting | Stage::Held { .. } => None,
        });
        let renewal = self.is_heard().then(|| self.said_at + self.lease / RENEWALS);
        let expiry = self.claims().next().map(|_| self.left_at + self.lease);
        wishes
            .chain(
                [renewal, expiry, self.group.next_deadline(), self.past_by]
                    .into_iter()
                    .flatten(),
            )
            .min()
    }

    // ---- what is known -------------------------------------------------------------------------------------------

    /// Whether one more key may be wanted, and this one is not yet.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.wishes.len() < CLAIMS_MAX
    }

    /// Whether this node wants or holds the key.
    #[must_use]
    pub fn wants(&self, key: &[u8]) -> bool {
        self.wishes.contains_key(key)
    }

    /// Who holds a key: the highest claim of all that is known, which need not be settled yet.
    #[must_use]
    pub fn holder(&self, key: &Bytes) -> Option<Token> {
        self.own_token(key).max(self.group.holder(key))
    }

    /// Every key that somebody holds.
    #[must_use]
    pub fn held(&self) -> Vec<Held> {
        let own = self
            .claims()
            .map(|(key, number)| (key, self.group.ranking.token(key, number, self.me)));
        let mut highest: BTreeMap<&Bytes, Token> = BTreeMap::new();
        for (key, token) in own.chain(self.group.claims()) {
            let known = highest.entry(key).or_insert(token);
            *known = token.max(*known);
        }
        let held = |(key, token): (&Bytes, Token)| Held {
            key: key.clone(),
            token,
        };
        highest.into_iter().map(held).collect()
    }

    /// Those who offered themselves, by their rank for a key.
    #[must_use]
    pub fn ranked(&self, key: &[u8]) -> Vec<PeerId> {
        let me = self.offers.then_some(self.me);
        self.group.ranking.ranked(key, self.group.offered().chain(me))
    }

    #[cfg(test)]
    pub(super) fn authors(&self) -> usize {
        self.group.authors()
    }

    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.group.remembered()
    }

    fn own_token(&self, key: &Bytes) -> Option<Token> {
        let number = self.wishes.get(key)?.stage.number()?;
        Some(self.group.ranking.token(key, number, self.me))
    }

    fn claims(&self) -> impl Iterator<Item = (&Bytes, u64)> {
        self.wishes
            .iter()
            .filter_map(|(key, wish)| Some((key, wish.stage.number()?)))
    }

    /// Whether others are to hear of this node again and again.
    fn is_heard(&self) -> bool {
        self.offers || self.claims().next().is_some()
    }

    // ---- facts ---------------------------------------------------------------------------------------------------

    fn received(&mut self, author: PeerId, cursor: (u64, u64), said: Statement, now: Instant, out: &mut Vec<Action>) {
        if author == self.me {
            // A run of this node before this one: it holds nothing any more, but its numbers count.
            for (key, number) in said
                .claims
                .iter()
                .chain(said.ended.as_ref().map(|(key, number)| (key, number)))
            {
                self.past.note(key, *number);
            }
        } else if self.group.hear(author, cursor, said, now) {
            self.others_changed(now, out);
        }
    }

    fn others_changed(&mut self, now: Instant, out: &mut Vec<Action>) {
        out.push(Action::Changed);
        self.look(now, out);
    }

    fn unwant(&mut self, key: &Bytes, now: Instant, out: &mut Vec<Action>) {
        if let Some(number) = self.wishes.remove(key).and_then(|wish| wish.stage.number()) {
            self.say(Some(key), Some((key.clone(), number)), now, out);
            out.push(Action::Changed);
        }
    }

    fn leave(&mut self, out: &mut Vec<Action>) {
        self.wishes.clear();
        self.offers = false;
        let last = Statement {
            leaves: true,
            ..self.statement(None)
        };
        let record = last.encode();
        out.push(Action::Publish { key: None, record });
    }

    fn timed_out(&mut self, now: Instant, out: &mut Vec<Action>) {
        if self.past_by.is_some_and(|by| by <= now) {
            self.past_by = None;
        }
        if self.group.expire(now) {
            out.push(Action::Changed);
        }
        self.look(now, out);
        if self.is_heard() && self.said_at + self.lease / RENEWALS <= now {
            self.say(None, None, now, out);
        }
    }

    /// Nothing left for as long as a lease: what this node held is not its own any more, however it came.
    fn expire_own(&mut self, now: Instant, out: &mut Vec<Action>) {
        if now < self.left_at + self.lease || self.claims().next().is_none() {
            return;
        }
        let held: Vec<Bytes> = self.claims().map(|(key, _)| key.clone()).collect();
        for key in held {
            self.lose(&key, Lost::Expired, now, out);
        }
    }

    // ---- decisions -----------------------------------------------------------------------------------------------

    /// Looks at every key that is wanted: whose it is, and whether its time has come.
    fn look(&mut self, now: Instant, out: &mut Vec<Action>) {
        for key in self.wishes.keys().cloned().collect::<Vec<_>>() {
            self.look_at(&key, now, out);
        }
    }

    fn look_at(&mut self, key: &Bytes, now: Instant, out: &mut Vec<Action>) {
        let (other, is_known) = (self.group.holder(key), self.past_by.is_none());
        let own = self.own_token(key);
        let Some(Wish { waits, stage }) = self.wishes.get(key).copied() else {
            return;
        };
        match (stage, other) {
            (Stage::Settling { .. } | Stage::Held { .. }, Some(by)) if own < Some(by) => {
                self.lose(key, Lost::Fenced { by }, now, out);
            }
            (Stage::Settling { number, until }, _) if until <= now => {
                self.set(key, Stage::Held { number });
                let token = self.group.ranking.token(key, number, self.me);
                out.push(Action::Granted {
                    key: key.clone(),
                    token,
                });
            }
            (Stage::Settling { .. } | Stage::Held { .. }, Some(_)) => self.insist(now, out),
            (Stage::Settling { .. } | Stage::Held { .. }, None) => {}
            (Stage::Waiting | Stage::Queued { .. }, Some(_)) if !waits => self.refuse(key, out),
            (Stage::Waiting | Stage::Queued { .. }, Some(_)) => self.set(key, Stage::Waiting),
            (Stage::Waiting, None) if is_known => {
                let places = if waits { self.place(key) } else { 0 };
                let until = now + STAGGER * places;
                self.set(key, Stage::Queued { until });
                self.look_at(key, now, out);
            }
            (Stage::Queued { until }, None) if until <= now => self.claim(key, now, out),
            (Stage::Waiting | Stage::Queued { .. }, None) => {}
        }
    }

    /// How many go first for a key.
    fn place(&self, key: &Bytes) -> u32 {
        let others = self.group.offered();
        let ranked = self.group.ranking.ranked(key, others.chain([self.me]));
        let place = ranked.iter().position(|peer| *peer == self.me).unwrap_or_default();
        u32::try_from(place.min(STAGGERED_MAX)).unwrap_or_default()
    }

    fn set(&mut self, key: &Bytes, stage: Stage) {
        if let Some(wish) = self.wishes.get_mut(key) {
            wish.stage = stage;
        }
    }

    fn claim(&mut self, key: &Bytes, now: Instant, out: &mut Vec<Action>) {
        let number = self.group.next_number(key, &self.past);
        self.past.note(key, number);
        if self.claims().next().is_none() {
            // What left before was no claim.
            self.left_at = now;
        }
        let until = now + SETTLE;
        self.set(key, Stage::Settling { number, until });
        self.say(Some(key), None, now, out);
        out.push(Action::Changed);
    }

    /// A claim ends against this node's will.
    fn lose(&mut self, key: &Bytes, why: Lost, now: Instant, out: &mut Vec<Action>) {
        let Some(Wish { waits, stage }) = self.wishes.get(key).copied() else {
            return;
        };
        let ended = stage.number().map(|number| (key.clone(), number));
        match stage {
            Stage::Held { .. } => {
                self.wishes.remove(key);
                out.push(Action::Lost { key: key.clone(), why });
            }
            _ if waits => self.set(key, Stage::Waiting),
            _ => self.refuse(key, out),
        }
        self.say(Some(key), ended, now, out);
        out.push(Action::Changed);
    }

    fn refuse(&mut self, key: &Bytes, out: &mut Vec<Action>) {
        self.wishes.remove(key);
        out.push(Action::Refused { key: key.clone() });
    }

    /// Another claims what this node holds, with a lower token: it has not heard.
    fn insist(&mut self, now: Instant, out: &mut Vec<Action>) {
        if self.said_at + INSIST_INTERVAL <= now {
            self.say(None, None, now, out);
        }
    }

    fn statement(&self, ended: Option<(Bytes, u64)>) -> Statement {
        Statement {
            lease: self.lease,
            offers: self.offers,
            leaves: false,
            claims: self.claims().map(|(key, number)| (key.clone(), number)).collect(),
            ended,
        }
    }

    fn say(&mut self, key: Option<&Bytes>, ended: Option<(Bytes, u64)>, now: Instant, out: &mut Vec<Action>) {
        self.said_at = now;
        let record = self.statement(ended).encode();
        let key = key.cloned();
        out.push(Action::Publish { key, record });
    }
}
