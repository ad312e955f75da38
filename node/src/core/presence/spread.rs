//! How what is known travels: news to all neighbours at once, comparisons with one at a time, profiles by their hash.

use std::time::{Duration, Instant};

use bytes::Bytes;
use libp2p::PeerId;
use maille_proto::{
    HASH_BYTES, INTRODUCTION_BYTES_MAX, TIDINGS_MAX,
    control::{PresenceMessage, Register, Summary, Tidings},
};
use rand::{RngExt, seq::IteratorRandom};

use super::{
    Action, Presence,
    roster::{Entry, Want},
    statement::Key,
};
use crate::types::Profile;

/// Between comparisons with a random neighbour, up to a fifth longer or shorter.
pub const REGISTER_INTERVAL: Duration = Duration::from_secs(10);
/// A profile that did not come is asked for again after this, then after twice as long, and so on.
const WANT_INTERVAL: Duration = Duration::from_secs(1);
/// How often, until somebody tells of it anew.
const WANT_TRIES_MAX: u32 = 6;

/// What is new and not told yet: of one input, so as many as one message may bring, and what its time made of it.
#[derive(Debug)]
pub(super) struct Spread {
    announcements: Vec<News>,
    doubts: Vec<News>,
    asked: Vec<(PeerId, [u8; HASH_BYTES])>,
    compare_at: Instant,
}

#[derive(Debug)]
struct News {
    wire: Bytes,
    /// Who told it, and need not hear it.
    from: Option<PeerId>,
    /// Whom it is about, who knows best.
    about: Option<PeerId>,
}

impl Spread {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            announcements: Vec::new(),
            doubts: Vec::new(),
            asked: Vec::new(),
            compare_at: now,
        }
    }

    /// A member's announcement is new.
    pub(super) fn news(&mut self, wire: Bytes, from: Option<PeerId>, about: Option<PeerId>) {
        self.announcements.push(News { wire, from, about });
    }

    /// A doubt is new. Whom it is about should hear it, too.
    pub(super) fn doubt(&mut self, wire: Bytes, from: Option<PeerId>) {
        let about = None;
        self.doubts.push(News { wire, from, about });
    }
}

impl News {
    fn is_for(&self, peer: PeerId) -> bool {
        self.from != Some(peer) && self.about != Some(peer)
    }
}

impl Presence {
    /// What a new neighbour should know, and what tells it what this node lacks.
    pub(super) fn greet(&self, peer: PeerId, out: &mut Vec<Action>) {
        let summary = self.roster.summary(&self.own, false);
        send(peer, PresenceMessage::Summary(summary), out);
        tell(peer, std::slice::from_ref(&self.own.wire), &[], out);
    }

    pub(super) fn said(&mut self, peer: PeerId, message: PresenceMessage, now: Instant, out: &mut Vec<Action>) {
        let Some(link) = self.links.get_mut(&peer) else { return };
        if link.said.take(now).is_err() {
            out.push(Action::End { peer });
            return;
        }
        self.heard(&peer, now);
        match message {
            PresenceMessage::Tidings(tidings) => {
                for wire in tidings.announcements.into_iter().take(TIDINGS_MAX) {
                    self.heard_announcement(peer, wire.into(), now);
                }
                for wire in tidings.doubts.into_iter().take(TIDINGS_MAX) {
                    self.heard_doubt(peer, wire.into(), now);
                }
            }
            PresenceMessage::Register(theirs) => {
                if theirs.members != self.roster.register(&self.own) && self.may_compare(&peer, now) {
                    let summary = self.roster.summary(&self.own, true);
                    send(peer, PresenceMessage::Summary(summary), out);
                }
            }
            PresenceMessage::Summary(theirs) => {
                if self.may_compare(&peer, now) {
                    self.summarised(peer, &theirs, now, out);
                }
            }
            PresenceMessage::Wanted(hash) => {
                if let Ok(hash) = hash.as_slice().try_into() {
                    self.wanted(peer, hash, out);
                }
            }
            PresenceMessage::Introduction(bytes) => self.introduced(bytes.into(), out),
            PresenceMessage::Probe(true) => {
                self.links.asks(&peer, now);
                send(peer, PresenceMessage::Probe(false), out);
            }
            PresenceMessage::Probe(false) => {}
        }
    }

    fn may_compare(&mut self, peer: &PeerId, now: Instant) -> bool {
        let link = self.links.get_mut(peer);
        link.is_some_and(|link| link.compared.take(now).is_ok())
    }

    fn summarised(&mut self, peer: PeerId, theirs: &Summary, now: Instant, out: &mut Vec<Action>) {
        let (announcements, doubts, has_more) = self.roster.compare(theirs, &self.own);
        tell(peer, &announcements, &doubts, out);
        if has_more && self.roster.is_full() {
            self.changed |= self.roster.overflowed(now);
        }
        if theirs.question {
            let summary = self.roster.summary(&self.own, false);
            send(peer, PresenceMessage::Summary(summary), out);
        }
    }

    pub(super) fn put_off_comparison(&mut self, now: Instant) {
        self.spread.compare_at = now + REGISTER_INTERVAL.mul_f64(self.rng.random_range(0.8..=1.2));
    }

    /// Compares with one neighbour, if it is time.
    pub(super) fn compare(&mut self, now: Instant, out: &mut Vec<Action>) {
        if self.spread.compare_at > now {
            return;
        }
        self.put_off_comparison(now);
        if let Some(peer) = self.links.peers().choose(&mut self.rng) {
            let members = self.roster.register(&self.own);
            send(peer, PresenceMessage::Register(Register { members }), out);
        }
    }

    /// When something is compared, or asked for again.
    pub(super) fn next_comparison(&self) -> Instant {
        let wants = self.roster.here().filter_map(|(_, entry)| entry.want);
        let wants = wants.filter(|want| want.tries < WANT_TRIES_MAX).map(|want| want.at);
        wants.fold(self.spread.compare_at, Instant::min)
    }

    // ---- profiles ------------------------------------------------------------------------------------------------

    /// Whoever told the hash is asked for the profile.
    pub(super) fn want_profile(&mut self, key: &Key, teller: PeerId, now: Instant) {
        let Some(entry) = self.roster.get_mut(key).filter(|entry| entry.is_here()) else {
            return;
        };
        let is_asked = entry.want.is_some_and(|want| want.tries < WANT_TRIES_MAX);
        if let Some(hash) = entry.said.introduction
            && entry.profile.is_none()
            && !is_asked
        {
            let at = now + WANT_INTERVAL;
            entry.want = Some(Want { at, tries: 1 });
            self.spread.asked.push((teller, hash));
        }
    }

    /// Asks somebody else.
    pub(super) fn want_again(&mut self, now: Instant) {
        let peers: Vec<PeerId> = self.links.peers().collect();
        for (_, entry) in self.roster.here_mut() {
            let Some(want) = &mut entry.want else { continue };
            if want.tries >= WANT_TRIES_MAX || want.at > now {
                continue;
            }
            want.at = now + WANT_INTERVAL * 2_u32.pow(want.tries);
            want.tries += 1;
            let peer = peers.iter().choose(&mut self.rng);
            self.spread.asked.extend(peer.copied().zip(entry.said.introduction));
        }
    }

    fn wanted(&mut self, peer: PeerId, hash: [u8; HASH_BYTES], out: &mut Vec<Action>) {
        let own = (self.own.introduction == Some(hash)).then(|| self.own_profile.clone());
        let held = |entry: &mut Entry| entry.profile.as_ref().map(|(wire, _)| wire.clone());
        match own.or_else(|| self.roster.with_introduction(hash).find_map(held)) {
            Some(wire) => send(peer, PresenceMessage::Introduction(wire.into()), out),
            None => self.roster.with_introduction(hash).for_each(|entry| {
                entry.waiting.insert(peer);
            }),
        }
    }

    fn introduced(&mut self, wire: Bytes, out: &mut Vec<Action>) {
        if wire.len() > INTRODUCTION_BYTES_MAX || self.roster.here().all(|(_, entry)| entry.profile.is_some()) {
            return;
        }
        let hash = *blake3::hash(&wire).as_bytes();
        for entry in self.roster.with_introduction(hash) {
            if entry.profile.is_some() {
                continue;
            }
            // Its member chose the bytes: if they are no profile, it said nothing that can be shown.
            let profile = Profile::from_wire(&wire).unwrap_or_default();
            entry.profile = Some((wire.clone(), profile));
            entry.want = None;
            self.changed = true;
            for peer in std::mem::take(&mut entry.waiting) {
                send(peer, PresenceMessage::Introduction(wire.to_vec()), out);
            }
        }
    }

    // ---- news ----------------------------------------------------------------------------------------------------

    /// Tells every neighbour what is new to it, and asks for the profiles that are new.
    pub(super) fn send_news(&mut self, out: &mut Vec<Action>) {
        let (announcements, doubts) = (
            std::mem::take(&mut self.spread.announcements),
            std::mem::take(&mut self.spread.doubts),
        );
        let for_peer = |news: &[News], peer| -> Vec<Bytes> {
            let news = news.iter().filter(|news| news.is_for(peer));
            news.map(|news| news.wire.clone()).collect()
        };
        if !announcements.is_empty() || !doubts.is_empty() {
            for peer in self.links.peers() {
                tell(peer, &for_peer(&announcements, peer), &for_peer(&doubts, peer), out);
            }
        }
        for (peer, hash) in std::mem::take(&mut self.spread.asked) {
            send(peer, PresenceMessage::Wanted(hash.to_vec()), out);
        }
    }
}

fn send(peer: PeerId, message: PresenceMessage, out: &mut Vec<Action>) {
    out.push(Action::Send { peer, message });
}

/// In as many messages as it takes: announcements first, for a doubt counts only of somebody who is known.
fn tell(peer: PeerId, announcements: &[Bytes], doubts: &[Bytes], out: &mut Vec<Action>) {
    let to_wire = |statements: &[Bytes]| statements.iter().map(|wire| wire.to_vec()).collect();
    let announcements = announcements.chunks(TIDINGS_MAX).map(|some| Tidings {
        announcements: to_wire(some),
        doubts: Vec::new(),
    });
    let doubts = doubts.chunks(TIDINGS_MAX).map(|some| Tidings {
        announcements: Vec::new(),
        doubts: to_wire(some),
    });
    for tidings in announcements.chain(doubts) {
        send(peer, PresenceMessage::Tidings(tidings), out);
    }
}
