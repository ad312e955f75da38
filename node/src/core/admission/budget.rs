//! The acceptor's guess budget: how many handshakes with strangers a node answers, an IP prefix, a wider prefix, and in
//! all. Never keyed on PeerIds, which are free to mint. Not the queue of those who wait for it, which is `doorman`.

use std::{collections::HashMap, hash::Hash, time::Instant};

use crate::core::bucket::{Bucket, Rate};
use crate::types::{IpPrefix, WidePrefix};

/// An IPv4 address, an IPv6 /64, a relay: 10 at once, then 6 a minute.
const NARROW: Rate = Rate::new(10, 6);
/// An IPv4 /24, an IPv6 /48: 30 at once, then 20 a minute.
const WIDE: Rate = Rate::new(30, 20);
/// A node: 60 at once, then 60 a minute.
const NODE: Rate = Rate::new(60, 60);
/// Prefixes of each width remembered. At the node's rate a forgotten one has long been full again.
const PREFIXES_MAX: usize = 4_096;

/// What is left for strangers, and whose turn it is.
#[derive(Debug)]
pub(super) struct Budget {
    node: Bucket,
    narrow: Prefixes<IpPrefix>,
    wide: Prefixes<Group>,
}

impl Budget {
    pub(super) fn new() -> Self {
        Budget {
            node: Bucket::full(NODE),
            narrow: Prefixes::new(NARROW),
            wide: Prefixes::new(WIDE),
        }
    }

    /// Whether the node as a whole answers one more, or when.
    pub(super) fn check_node(&self, now: Instant) -> Result<(), Instant> {
        self.node.check(now)
    }

    /// Whether a prefix and the wider network around it have a guess left, or when they will.
    pub(super) fn check_prefix(&self, prefix: &IpPrefix, now: Instant) -> Result<(), Instant> {
        if is_local(prefix) {
            return Ok(());
        }
        let (narrow, wide) = (self.narrow.check(prefix, now), self.wide.check(&Group::of(prefix), now));
        narrow.err().max(wide.err()).map_or(Ok(()), Err)
    }

    /// Pays for one handshake that both checks allowed, and notes that it was this prefix's turn.
    pub(super) fn charge(&mut self, prefix: &IpPrefix, now: Instant) {
        // Checked by the caller; a bucket that is empty all the same stays so.
        let _ = self.node.take(now);
        self.narrow.charge(*prefix, now);
        self.wide.charge(Group::of(prefix), now);
    }

    /// Gives back what a handshake cost that ended in admission.
    pub(super) fn refund(&mut self, prefix: &IpPrefix) {
        self.node.refund();
        self.narrow.refund(prefix);
        self.wide.refund(&Group::of(prefix));
    }

    /// When a group was last answered: the longer ago, the sooner its next turn.
    pub(super) fn last_turn_of_group(&self, group: &Group) -> Option<Instant> {
        self.wide.last_turn(group)
    }

    /// When a prefix was last answered.
    pub(super) fn last_turn(&self, prefix: &IpPrefix) -> Option<Instant> {
        self.narrow.last_turn(prefix)
    }
}

/// Those who take turns together: a wider network, or a prefix that is in none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Group {
    Wide(WidePrefix),
    Lone(IpPrefix),
}

impl Group {
    pub(super) fn of(prefix: &IpPrefix) -> Self {
        prefix.wider().map_or(Group::Lone(*prefix), Group::Wide)
    }
}

/// This machine and this process: nobody there is short of addresses, so only the node's own budget counts.
pub(super) fn is_local(prefix: &IpPrefix) -> bool {
    matches!(prefix, IpPrefix::Loopback | IpPrefix::Memory)
}

/// One bucket a prefix, at most [`PREFIXES_MAX`].
#[derive(Debug)]
struct Prefixes<K> {
    rate: Rate,
    known: HashMap<K, Entry>,
}

#[derive(Debug)]
struct Entry {
    bucket: Bucket,
    last_turn: Instant,
}

impl<K: Copy + Eq + Hash + Ord> Prefixes<K> {
    fn new(rate: Rate) -> Self {
        Prefixes {
            rate,
            known: HashMap::new(),
        }
    }

    fn check(&self, prefix: &K, now: Instant) -> Result<(), Instant> {
        self.known.get(prefix).map_or(Ok(()), |entry| entry.bucket.check(now))
    }

    fn last_turn(&self, prefix: &K) -> Option<Instant> {
        self.known.get(prefix).map(|entry| entry.last_turn)
    }

    fn charge(&mut self, prefix: K, now: Instant) {
        if self.known.len() >= PREFIXES_MAX && !self.known.contains_key(&prefix) {
            self.forget_one(now);
        }
        let fresh = Entry {
            bucket: Bucket::full(self.rate),
            last_turn: now,
        };
        let entry = self.known.entry(prefix).or_insert(fresh);
        entry.last_turn = now;
        let _ = entry.bucket.take(now);
    }

    fn refund(&mut self, prefix: &K) {
        if let Some(entry) = self.known.get_mut(prefix) {
            entry.bucket.refund();
        }
    }

    /// A full bucket first, and of those the one whose turn is longest ago: that loses nothing but its place.
    fn forget_one(&mut self, now: Instant) {
        let oldest = self
            .known
            .iter()
            .min_by_key(|(prefix, entry)| (!entry.bucket.is_full(now), entry.last_turn, **prefix));
        if let Some(prefix) = oldest.map(|(prefix, _)| *prefix) {
            self.known.remove(&prefix);
        }
    }
}
