//! The machine: facts in, actions out; what this node says about itself, and what it believes of others.

use std::time::{Duration, Instant};

use bytes::Bytes;
use libp2p::PeerId;
use maille_proto::{AGAIN_S_MAX, control::PresenceMessage};
use rand::{RngExt, rngs::StdRng};

use super::{
    Action, Input,
    links::Links,
    roster::{Change, DOUBTS_MAX, GONE_MAX, Roster, Standing},
    spread::Spread,
    statement::{Announced, Doubted, Key, Realm},
};
use crate::core::bucket::{Bucket, Rate};
use crate::core::stream::SigningKey;
use crate::types::Profile;

/// A member announces itself again after this, and after [`AGAIN_EACH`] more for each member: however large the mesh is, less
/// than one announcement in two seconds.
const AGAIN_MIN: Duration = Duration::from_secs(60);
const AGAIN_EACH: Duration = Duration::from_secs(3);
/// New versions of this node's own announcement for what others say: enough to refute, too few to flood the mesh.
const REFUTED: Rate = Rate::new(8, 60);
/// A deadline that is noticed so late tells of a node that was asleep or is overloaded.
const LATE_MAX: Duration = Duration::from_secs(1);

/// A member, as the list shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Who.
    pub peer: PeerId,
    /// When it joined, by its own clock, in microseconds since the Unix epoch.
    pub since_us: u64,
    /// What it says about itself; nothing while that is on its way.
    pub profile: Option<Profile>,
}

/// Who is in one mesh.
#[derive(Debug)]
pub struct Presence {
    pub(super) realm: Realm,
    key: SigningKey,
    pub(super) rng: StdRng,
    /// What this node says itself.
    pub(super) own: Announced,
    pub(super) own_profile: Bytes,
    pub(super) links: Links,
    pub(super) roster: Roster,
    pub(super) spread: Spread,
    refuted: Bucket,
    again_at: Instant,
    deadline: Option<Instant>,
    pub(super) changed: bool,
    pub(super) events: Vec<Action>,
}

impl Presence {
    /// `joined_ms` and `since_us` are this node's clock, in milliseconds and microseconds since the Unix epoch: the first is
    /// where its versions begin.
    #[must_use]
    pub fn new(realm: Realm, key: SigningKey, joined_ms: u64, since_us: u64, now: Instant, rng: StdRng) -> Self {
        let own = Announced {
            key: key.public(),
            version: joined_ms,
            since_us,
            introduction: None,
            again: AGAIN_MIN,
            watches: false,
            left: false,
            wire: Bytes::new(),
        };
        Self {
            own: own.signed(&realm, &key),
            realm,
            key,
            rng,
            own_profile: Bytes::new(),
            links: Links::default(),
            roster: Roster::default(),
            spread: Spread::new(now),
            refuted: Bucket::full(REFUTED),
            again_at: now,
            deadline: None,
            changed: false,
            events: Vec::new(),
        }
    }

    /// Takes a fact, and says what to do.
    pub fn handle(&mut self, input: Input, now: Instant, out: &mut Vec<Action>) {
        if let Input::Heard { peer } = input {
            // The most frequent input: it only puts deadlines off, which is noticed when the old one passes.
            self.heard(&peer, now);
            return;
        }
        if self.deadline.is_some_and(|deadline| now > deadline + LATE_MAX) {
            self.forgive(now);
        }
        match input {
            Input::Admitted { peer } => {
                if self.links.is_empty() {
                    self.put_off_comparison(now);
                }
                self.links.admitted(peer, now);
                self.trust(&peer, now);
                self.greet(peer, out);
            }
            Input::Parting { peer } => {
                if let Some(link) = self.links.get_mut(&peer) {
                    link.parting = true;
                }
            }
            Input::Ended { peer } => self.ended(peer, now),
            Input::Said { peer, message } => self.said(peer, message, now, out),
            Input::Introduced(profile) => self.introduce(&profile, now),
            Input::Watched => {
                if !self.own.watches {
                    self.own.watches = true;
                    self.announce(now);
                }
            }
            Input::Leaving => {
                self.own.left = true;
                self.announce(now);
            }
            Input::TimedOut | Input::Heard { .. } => {}
        }
        self.run_clocks(now, out);
        self.send_news(out);
        if std::mem::take(&mut self.changed) {
            out.push(Action::Changed);
        }
        out.append(&mut self.events);
        self.deadline = self.earliest(now);
    }

    /// When to hand in `TimedOut`.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Those that are there, but this node itself.
    pub fn members(&self) -> impl Iterator<Item = Listed> {
        self.roster.here().map(|(_, entry)| Listed {
            peer: entry.peer,
            since_us: entry.said.since_us,
            profile: entry.profile.as_ref().map(|(_, profile)| profile.clone()),
        })
    }

    /// Whether all that are known to be there are listed.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.roster.is_complete()
    }

    // ---- what this node says about itself --------------------------------------------------------------------------

    fn introduce(&mut self, profile: &Profile, now: Instant) {
        let wire = profile.to_wire();
        if wire != self.own_profile {
            self.own.introduction = (!wire.is_empty()).then(|| *blake3::hash(&wire).as_bytes());
            self.own_profile = wire;
            self.announce(now);
        }
    }

    /// Says anew what this node has to say, to everybody.
    fn announce(&mut self, now: Instant) {
        let members = u32::try_from(self.roster.count()).unwrap_or(u32::MAX);
        let again = AGAIN_MIN + AGAIN_EACH.saturating_mul(members);
        self.own.again = again.min(Duration::from_secs(AGAIN_S_MAX.into()));
        self.own.version = self.own.version.saturating_add(1);
        self.own = self.own.clone().signed(&self.realm, &self.key);
        // Earlier than promised, at a time of its own.
        self.again_at = now + self.own.again.mul_f64(self.rng.random_range(0.7..=0.9));
        self.spread.news(self.own.wire.clone(), None, None);
    }

    /// Somebody believes something else of this node than it says, in this version.
    fn refute(&mut self, version: u64, now: Instant) {
        if !self.own.left && self.refuted.take(now).is_ok() {
            self.own.version = version;
            self.announce(now);
        }
    }

    // ---- what others say -------------------------------------------------------------------------------------------

    pub(super) fn heard_announcement(&mut self, from: PeerId, wire: Bytes, now: Instant) {
        let Some(said) = Announced::read(wire) else { return };
        if said.key == self.own.key {
            // From before this process, or from a second one.
            let is_other = said.version >= self.own.version && said.wire != self.own.wire;
            if is_other && self.may_check(&from, now) && said.verified(&self.realm).is_some() {
                self.refute(said.version, now);
            }
            return;
        }
        let known = self.roster.get(&said.key);
        if known.is_some_and(|known| known.said.version >= said.version) {
            return;
        }
        if known.is_none() && said.left && self.roster.remembered() >= GONE_MAX {
            // Worth less than what is remembered of those that were here.
            return;
        }
        let is_here = self.roster.is_here(&said.key);
        if !is_here && !said.left && self.roster.is_full() && self.links.key(&from) != Some(said.key) {
            self.changed |= self.roster.overflowed(now);
            return;
        }
        if !self.may_check(&from, now) {
            return;
        }
        let Some(peer) = said.verified(&self.realm) else { return };
        if !is_here && !said.left && self.roster.is_full() {
            let links = &self.links;
            self.changed |= self.roster.overflowed(now);
            if !self.roster.push_out(|peer| !links.contains(peer), &mut self.rng) {
                return;
            }
        }
        let (key, wire) = (said.key, said.wire.clone());
        let change = self.roster.take(peer, said, now);
        match change {
            Change::Joined => self.events.push(Action::Joined { peer }),
            Change::Left => self.events.push(Action::Left { peer }),
            Change::Updated => {}
            // Whoever lists it hears of it when summaries are compared.
            Change::Remembered => return,
        }
        self.changed = true;
        self.want_profile(&key, from, now);
        self.spread.news(wire, Some(from), Some(peer));
    }

    pub(super) fn heard_doubt(&mut self, from: PeerId, wire: Bytes, now: Instant) {
        let Some(doubt) = Doubted::read(wire) else { return };
        if doubt.member == self.own.key {
            // Of a version that this node has not reached: nobody can have heard it.
            if doubt.version == self.own.version && self.may_check(&from, now) && doubt.is_verified(&self.realm) {
                self.refute(doubt.version, now);
            }
            return;
        }
        let is_voice = doubt.by != doubt.member && self.roster.is_here(&doubt.by);
        let is_of_now = self.roster.get(&doubt.member).is_some_and(|entry| {
            entry.is_here()
                && entry.said.version == doubt.version
                && entry.doubts.len() < DOUBTS_MAX
                && entry.doubts.iter().all(|known| known.by != doubt.by)
        });
        if !is_voice || !is_of_now || !self.may_check(&from, now) || !doubt.is_verified(&self.realm) {
            return;
        }
        let wire = doubt.wire.clone();
        if let Some(entry) = self.roster.get_mut(&doubt.member) {
            entry.doubt(doubt, false, now);
        }
        self.spread.doubt(wire, Some(from));
    }

    fn may_check(&mut self, from: &PeerId, now: Instant) -> bool {
        let link = self.links.get_mut(from);
        link.is_some_and(|link| link.checked.take(now).is_ok())
    }

    // ---- who is gone -----------------------------------------------------------------------------------------------

    fn ended(&mut self, peer: PeerId, now: Instant) {
        let link = self.links.ended(&peer);
        self.roster.here_mut().for_each(|(_, entry)| {
            entry.waiting.remove(&peer);
        });
        if let Some(key) = link.filter(|link| !link.parting).and_then(|link| link.key) {
            self.doubt(&key, now);
        }
    }

    /// This node's own voice.
    fn doubt(&mut self, key: &Key, now: Instant) {
        let Some(entry) = self.roster.get_mut(key).filter(|entry| entry.is_here()) else {
            return;
        };
        if matches!(entry.standing, Standing::Doubted { own: true, .. }) || self.own.left {
            return;
        }
        let doubt = Doubted::signed(*key, entry.said.version, &self.realm, &self.key);
        let wire = doubt.wire.clone();
        entry.doubt(doubt, true, now);
        self.spread.doubt(wire, None);
    }

    /// A sign of life of a neighbour.
    pub(super) fn heard(&mut self, peer: &PeerId, now: Instant) {
        if self.links.heard(peer, now) {
            self.trust(peer, now);
        }
    }

    /// This node takes back its own doubt; what others doubt, the neighbour has to refute itself.
    fn trust(&mut self, peer: &PeerId, now: Instant) {
        let own = self.own.key;
        let Some(entry) = self.links.key(peer).and_then(|key| self.roster.get_mut(&key)) else {
            return;
        };
        if matches!(entry.standing, Standing::Doubted { own: true, .. }) {
            entry.doubts.retain(|doubt| doubt.by != own);
            entry.heard_at = now;
            entry.standing = match (entry.doubts.is_empty(), entry.standing) {
                (false, Standing::Doubted { since, .. }) => Standing::Doubted { since, own: false },
                _ => Standing::Here,
            };
        }
    }

    /// This node was asleep, or is too busy to listen: what it did not hear says nothing.
    fn forgive(&mut self, now: Instant) {
        self.links.forgive(now);
        for (_, entry) in self.roster.here_mut() {
            match &mut entry.standing {
                Standing::Doubted { since, .. } => *since = now,
                _ => entry.heard_at = now,
            }
        }
    }

    fn is_watching(&self) -> bool {
        self.own.watches || self.roster.here().any(|(_, entry)| entry.said.watches)
    }

    fn run_clocks(&mut self, now: Instant, out: &mut Vec<Action>) {
        if self.own.left {
            return;
        }
        if self.is_watching() {
            let roster = &self.roster;
            let (ask, silent) = self.links.probe(now, |key| roster.is_here(key));
            out.extend(ask.into_iter().map(|peer| Action::Send {
                peer,
                message: PresenceMessage::Probe(true),
            }));
            for key in &silent {
                self.doubt(key, now);
            }
        }
        let due = self
            .roster
            .here()
            .filter(|(_, entry)| entry.due_at().is_some_and(|at| at <= now));
        let due: Vec<(Key, Standing)> = due.map(|(key, entry)| (*key, entry.standing)).collect();
        for (key, standing) in due {
            match standing {
                Standing::Here => self.doubt(&key, now),
                _ => {
                    self.changed = true;
                    let peer = self.roster.failed(&key, now);
                    self.events.extend(peer.map(|peer| Action::Failed { peer }));
                }
            }
        }
        self.changed |= self.roster.settle(now);
        if !self.links.is_empty() {
            if self.again_at <= now {
                self.announce(now);
            }
            self.compare(now, out);
            self.want_again(now);
        }
    }

    fn earliest(&self, now: Instant) -> Option<Instant> {
        if self.own.left {
            return None;
        }
        let roster = &self.roster;
        let probe = self.links.next_probe(now, |key| roster.is_here(key));
        let probe = probe.filter(|_| self.is_watching());
        let due = self.roster.here().filter_map(|(_, entry)| entry.due_at());
        let linked = (!self.links.is_empty()).then(|| self.again_at.min(self.next_comparison()));
        due.chain(probe).chain(linked).chain(self.roster.complete_at()).min()
    }
}
