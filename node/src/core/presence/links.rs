//! The neighbours that this node can ask for a sign of life, and how much each may say. Not who is in the mesh.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use libp2p::PeerId;

use super::statement::{Key, key_of};
use crate::core::bucket::{Bucket, Rate};

/// Nothing heard of a neighbour for so long: it is asked for a sign of life.
pub const PROBE_AFTER: Duration = Duration::from_secs(1);
/// Between further questions.
pub const PROBE_AGAIN: Duration = Duration::from_millis(500);
/// Questions without a sign of life, after which there is a doubt.
pub const PROBES_MAX: u32 = 3;
/// Neighbours that are asked regularly; of the others, those that ask this node and then fall silent.
pub const PROBED_MAX: usize = 12;
/// A neighbour that asked within this time is expected to go on.
const ASKS_LATELY: Duration = Duration::from_secs(5);
/// A silent neighbour is asked more and more seldom, down to once in so many times [`PROBE_AGAIN`].
const PROBE_SLOWEST: u32 = 16;

/// Messages of one neighbour.
const SAID: Rate = Rate::new(1_024, 1_200);
/// Signatures that are checked for one neighbour: a mesh of newcomers at once, then each of them every few minutes.
const CHECKED: Rate = Rate::new(640, 600);
/// Summaries that one neighbour is told, or tells: each may cost a message a member.
const COMPARED: Rate = Rate::new(8, 30);

/// One neighbour.
#[derive(Debug)]
pub(super) struct Link {
    /// Read once from its `PeerId`; none if that is not of an Ed25519 key.
    pub(super) key: Option<Key>,
    /// The order in which neighbours came.
    number: u64,
    heard_at: Instant,
    asked_at: Instant,
    /// Questions since it was heard.
    asked: u32,
    /// When it asked this node.
    asks_at: Option<Instant>,
    /// The link is about to end, and that says nothing about the neighbour.
    pub(super) parting: bool,
    pub(super) said: Bucket,
    pub(super) checked: Bucket,
    pub(super) compared: Bucket,
}

impl Link {
    pub(super) fn is_silent(&self) -> bool {
        self.asked > PROBES_MAX
    }

    fn due_at(&self) -> Instant {
        match self.asked {
            0 => self.heard_at + PROBE_AFTER,
            asked => self.asked_at + PROBE_AGAIN * (asked / (2 * PROBES_MAX)).clamp(1, PROBE_SLOWEST),
        }
    }

    fn is_probed(&self, regular: u64, now: Instant) -> bool {
        let asks_lately = self.asks_at.is_some_and(|at| now < at + ASKS_LATELY);
        self.number <= regular || asks_lately || self.asked > 0
    }
}

/// All neighbours; their number is the neighbourhood's business.
#[derive(Debug, Default)]
pub(super) struct Links {
    links: BTreeMap<PeerId, Link>,
    next_number: u64,
    /// Of the neighbours that came first: those up to this number are asked regularly.
    regular: u64,
}

impl Links {
    pub(super) fn admitted(&mut self, peer: PeerId, now: Instant) {
        let link = Link {
            key: key_of(&peer),
            number: self.next_number,
            heard_at: now,
            asked_at: now,
            asked: 0,
            asks_at: None,
            parting: false,
            said: Bucket::full(SAID),
            checked: Bucket::full(CHECKED),
            compared: Bucket::full(COMPARED),
        };
        self.next_number += 1;
        self.links.insert(peer, link);
        self.choose();
    }

    pub(super) fn ended(&mut self, peer: &PeerId) -> Option<Link> {
        let link = self.links.remove(peer);
        self.choose();
        link
    }

    fn choose(&mut self) {
        let mut numbers: Vec<u64> = self.links.values().map(|link| link.number).collect();
        numbers.sort_unstable();
        numbers.truncate(PROBED_MAX);
        self.regular = numbers.last().copied().unwrap_or_default();
    }

    pub(super) fn get_mut(&mut self, peer: &PeerId) -> Option<&mut Link> {
        self.links.get_mut(peer)
    }

    pub(super) fn key(&self, peer: &PeerId) -> Option<Key> {
        self.links.get(peer)?.key
    }

    pub(super) fn contains(&self, peer: &PeerId) -> bool {
        self.links.contains_key(peer)
    }

    pub(super) fn peers(&self) -> impl ExactSizeIterator<Item = PeerId> + '_ {
        self.links.keys().copied()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// A sign of life; true if it had been missed.
    pub(super) fn heard(&mut self, peer: &PeerId, now: Instant) -> bool {
        let Some(link) = self.links.get_mut(peer) else {
            return false;
        };
        let was_silent = link.is_silent();
        link.heard_at = now;
        link.asked = 0;
        was_silent
    }

    /// It asked for a sign of life.
    pub(super) fn asks(&mut self, peer: &PeerId, now: Instant) {
        if let Some(link) = self.links.get_mut(peer) {
            link.asks_at = Some(now);
        }
    }

    /// This node was itself asleep, or is busy: nobody's silence says anything.
    pub(super) fn forgive(&mut self, now: Instant) {
        for link in self.links.values_mut() {
            link.heard_at = now;
            link.asked = 0;
        }
    }

    /// Whom to ask now, and who has just become silent.
    pub(super) fn probe(&mut self, now: Instant, is_known: impl Fn(&Key) -> bool) -> (Vec<PeerId>, Vec<Key>) {
        let (mut ask, mut silent) = (Vec::new(), Vec::new());
        for (peer, link) in &mut self.links {
            let Some(key) = link.key.filter(&is_known) else {
                continue;
            };
            if !link.is_probed(self.regular, now) || link.due_at() > now {
                continue;
            }
            link.asked = link.asked.saturating_add(1);
            link.asked_at = now;
            ask.push(*peer);
            if link.asked == PROBES_MAX + 1 {
                silent.push(key);
            }
        }
        (ask, silent)
    }

    pub(super) fn next_probe(&self, now: Instant, is_known: impl Fn(&Key) -> bool) -> Option<Instant> {
        let probed = self.links.values().filter(|link| link.is_probed(self.regular, now));
        let known = probed.filter(|link| link.key.as_ref().is_some_and(&is_known));
        known.map(Link::due_at).min()
    }
}
