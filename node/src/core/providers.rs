//! Who provides which key: the store behind Kademlia's provider records, fair to small and late providers. Not Kademlia:
//! `net/` wraps it as a record store.
//!
//! libp2p's own store keeps the first 20 providers of a key for 48 h, so that twenty short runs, or twenty fakes, hide
//! a mesh. This one keeps 256 for ten minutes, lets no network hold more than its share, and answers with 20 at random.
//!
//! Two widths of network count. An address (IPv4 /32, IPv6 /64) has four places under a key. Who has the most overall,
//! and therefore makes room, is counted by the wider network (/24, /48): whoever has one address there may have many.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use libp2p::{Multiaddr, PeerId};
use rand::{
    RngExt,
    rngs::StdRng,
    seq::{IteratorRandom, SliceRandom},
};

use super::network::Network;
use crate::types::IpPrefix;

/// Providers of one key.
pub const KEY_PROVIDERS_MAX: usize = 256;
/// Providers of one key at one address; this machine's own are not counted.
pub const KEY_PREFIX_PROVIDERS_MAX: usize = 4;
/// Providers in one answer.
pub const ANSWER_PROVIDERS_MAX: usize = 20;
/// A provider that does not announce itself again is forgotten after this.
pub const PROVIDER_TTL: Duration = Duration::from_secs(600);
/// Keys that others provide.
pub const KEYS_MAX: usize = 4_096;
/// Entries of one wider network under all keys; this machine's own are not counted.
pub const NETWORK_ENTRIES_MAX: usize = 1_024;
/// Entries of all.
pub const ENTRIES_MAX: usize = 65_536;
/// Keys that this node provides.
pub const OWN_KEYS_MAX: usize = 4_096;
/// The length of a key. Ours have 32 bytes; a multihash may have some more.
pub const KEY_BYTES_MAX: usize = 64;
/// Multiaddrs kept of one provider.
pub const PROVIDER_MULTIADDRS_MAX: usize = 8;

type Key = Box<[u8]>;

#[derive(Debug)]
struct Provider {
    multiaddrs: Vec<Multiaddr>,
    prefix: IpPrefix,
    expires_at: Instant,
}

/// The store.
#[derive(Debug)]
pub struct Providers {
    me: PeerId,
    /// In a cell because answering, which shuffles, is reading to Kademlia.
    rng: RefCell<StdRng>,
    own: BTreeSet<Key>,
    keys: BTreeMap<Key, BTreeMap<PeerId, Provider>>,
    /// The same entries by wider network.
    networks: BTreeMap<Network, BTreeSet<(Key, PeerId)>>,
    entries: usize,
    /// Nothing expires before.
    expiry_at: Option<Instant>,
}

/// Entries looked at to find a key that can go.
const KEY_TRIES_MAX: usize = 64;

impl Providers {
    /// An empty store of the node `me`.
    pub fn new(me: PeerId, rng: StdRng) -> Self {
        Providers {
            me,
            rng: RefCell::new(rng),
            own: BTreeSet::new(),
            keys: BTreeMap::new(),
            networks: BTreeMap::new(),
            entries: 0,
            expiry_at: None,
        }
    }

    /// A peer seen at `prefix` provides `key`; if it is this node, for as long as it is not removed. Says whether that
    /// was kept.
    pub fn add(
        &mut self,
        key: &[u8],
        provider: PeerId,
        mut multiaddrs: Vec<Multiaddr>,
        prefix: IpPrefix,
        now: Instant,
    ) -> bool {
        if key.len() > KEY_BYTES_MAX {
            return false;
        }
        if provider == self.me {
            return self.add_own(key);
        }
        // An announcement replaces the one before, which may have come from elsewhere.
        self.remove_entry(key, &provider);
        if !self.make_room(key, prefix, now) {
            return false;
        }
        multiaddrs.truncate(PROVIDER_MULTIADDRS_MAX);
        let entry = Provider {
            multiaddrs,
            prefix,
            expires_at: now + PROVIDER_TTL,
        };
        self.keys.entry(key.into()).or_default().insert(provider, entry);
        self.networks
            .entry(Network::around(prefix))
            .or_default()
            .insert((key.into(), provider));
        self.entries += 1;
        self.expiry_at.get_or_insert(now + PROVIDER_TTL);
        true
    }

    /// Up to 20 providers of `key` at random; this node, with the multiaddrs left to the caller, is always among them if
    /// it provides the key.
    pub fn answer(&self, key: &[u8], now: Instant) -> Vec<(PeerId, Vec<Multiaddr>)> {
        let own = self.own.contains(key).then(|| (self.me, Vec::new()));
        let others = self.keys.get(key).into_iter().flatten();
        let others = others.filter(|(_, entry)| entry.expires_at > now);
        let rng = &mut *self.rng.borrow_mut();
        let mut answer = others.sample(rng, ANSWER_PROVIDERS_MAX - usize::from(own.is_some()));
        // A sample of an iterator is a random set, but not in random order.
        answer.shuffle(rng);
        own.into_iter()
            .chain(
                answer
                    .into_iter()
                    .map(|(peer, entry)| (*peer, entry.multiaddrs.clone())),
            )
            .collect()
    }

    /// Where a provider of `key` said it is; empty if it is none.
    pub fn multiaddrs(&self, key: &[u8], provider: &PeerId) -> &[Multiaddr] {
        let entry = self.keys.get(key).and_then(|providers| providers.get(provider));
        entry.map_or(&[], |entry| &entry.multiaddrs)
    }

    /// The keys that this node provides.
    pub fn own_keys(&self) -> impl Iterator<Item = &[u8]> {
        self.own.iter().map(|key| &**key)
    }

    /// The peer no longer provides `key`.
    pub fn remove(&mut self, key: &[u8], provider: &PeerId) {
        if *provider == self.me {
            self.own.remove(key);
        } else {
            self.remove_entry(key, provider);
        }
    }

    /// Forgets those whose time is over. Answers leave them out anyway; call it once a minute for the memory's sake.
    pub fn expire(&mut self, now: Instant) {
        if self.expiry_at.is_none_or(|at| at > now) {
            return;
        }
        let over = |(key, providers): (&Key, &BTreeMap<PeerId, Provider>)| {
            let over = providers.iter().filter(|(_, entry)| entry.expires_at <= now);
            over.map(|(peer, _)| (key.clone(), *peer)).collect::<Vec<_>>()
        };
        let over: Vec<(Key, PeerId)> = self.keys.iter().flat_map(over).collect();
        for (key, peer) in over {
            self.remove_entry(&key, &peer);
        }
        self.expiry_at = self
            .keys
            .values()
            .flat_map(BTreeMap::values)
            .map(|entry| entry.expires_at)
            .min();
    }

    /// How many entries there are, own keys not counted.
    pub fn len(&self) -> usize {
        self.entries
    }

    /// Whether nobody else provides anything.
    pub fn is_empty(&self) -> bool {
        self.entries == 0
    }

    fn add_own(&mut self, key: &[u8]) -> bool {
        let kept = self.own.contains(key) || self.own.len() < OWN_KEYS_MAX;
        if kept {
            self.own.insert(key.into());
        }
        kept
    }

    /// Makes room for one entry. From the narrowest bound to the widest, so that a newcomer displaces its own kind first.
    fn make_room(&mut self, key: &[u8], prefix: IpPrefix, now: Instant) -> bool {
        self.make_room_at_address(key, prefix);
        self.make_room_under_key(key);
        let network = Network::around(prefix);
        if !is_this_machine(prefix) && self.entries_of(network) >= NETWORK_ENTRIES_MAX {
            self.remove_random_of(network);
        }
        if self.entries >= ENTRIES_MAX
            && let Some(fullest) = self.fullest_network()
        {
            self.remove_random_of(fullest);
        }
        self.keys.contains_key(key) || self.keys.len() < KEYS_MAX || self.make_room_for_key(now)
    }

    fn make_room_at_address(&mut self, key: &[u8], prefix: IpPrefix) {
        if is_this_machine(prefix) {
            return;
        }
        let Some(providers) = self.keys.get(key) else { return };
        let same: Vec<PeerId> = providers
            .iter()
            .filter(|(_, entry)| entry.prefix == prefix)
            .map(|(peer, _)| *peer)
            .collect();
        if same.len() >= KEY_PREFIX_PROVIDERS_MAX {
            // Any of them, not the oldest: the newest may be the fakes.
            let gone = same[self.rng.get_mut().random_range(..same.len())];
            self.remove_entry(key, &gone);
        }
    }

    fn make_room_under_key(&mut self, key: &[u8]) {
        let Some(providers) = self.keys.get(key) else { return };
        if providers.len() < KEY_PROVIDERS_MAX {
            return;
        }
        let mut networks: BTreeMap<Network, Vec<PeerId>> = BTreeMap::new();
        for (peer, entry) in providers {
            networks.entry(Network::around(entry.prefix)).or_default().push(*peer);
        }
        let most = networks.values().map(Vec::len).max().unwrap_or(0);
        let fullest = networks.into_values().filter(|peers| peers.len() == most).flatten();
        if let Some(gone) = fullest.choose(self.rng.get_mut()) {
            self.remove_entry(key, &gone);
        }
    }

    /// Drops a random key that only the fullest network provides. A key that somebody else provides too stays: it could
    /// be a mesh whose key a flood had opened first.
    fn make_room_for_key(&mut self, now: Instant) -> bool {
        self.expire(now);
        if self.keys.len() < KEYS_MAX {
            return true;
        }
        let Some(network) = self.fullest_network() else {
            return false;
        };
        let entries = self.networks.get(&network).into_iter().flatten();
        let tried = entries.map(|(key, _)| key).sample(self.rng.get_mut(), KEY_TRIES_MAX);
        let is_alone = |key: &&Key| {
            self.keys
                .get(*key)
                .is_some_and(|p| p.values().all(|entry| Network::around(entry.prefix) == network))
        };
        let Some(key) = tried.into_iter().find(is_alone).cloned() else {
            return false;
        };
        let peers: Vec<PeerId> = self
            .keys
            .get(&key)
            .into_iter()
            .flat_map(BTreeMap::keys)
            .copied()
            .collect();
        for peer in peers {
            self.remove_entry(&key, &peer);
        }
        true
    }

    fn fullest_network(&self) -> Option<Network> {
        self.networks
            .iter()
            .max_by_key(|(_, entries)| entries.len())
            .map(|(network, _)| *network)
    }

    fn entries_of(&self, network: Network) -> usize {
        self.networks.get(&network).map_or(0, BTreeSet::len)
    }

    fn remove_random_of(&mut self, network: Network) {
        let entries = self.networks.get(&network).into_iter().flatten();
        if let Some((key, peer)) = entries.choose(self.rng.get_mut()).cloned() {
            self.remove_entry(&key, &peer);
        }
    }

    fn remove_entry(&mut self, key: &[u8], provider: &PeerId) {
        let Some(providers) = self.keys.get_mut(key) else {
            return;
        };
        let Some(entry) = providers.remove(provider) else {
            return;
        };
        if providers.is_empty() {
            self.keys.remove(key);
        }
        let network = Network::around(entry.prefix);
        if let Some(entries) = self.networks.get_mut(&network) {
            entries.remove(&(Key::from(key), *provider));
            if entries.is_empty() {
                self.networks.remove(&network);
            }
        }
        self.entries -= 1;
    }
}

/// All nodes of one machine share this prefix, so that it says nothing about who is behind it.
fn is_this_machine(prefix: IpPrefix) -> bool {
    matches!(prefix, IpPrefix::Loopback | IpPrefix::Memory)
}

#[cfg(test)]
#[path = "providers_tests.rs"]
mod tests;
