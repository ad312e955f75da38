//! Announcing: which meshes and topics this node is in, to Kademlia, and where it can be reached, to everybody it may.

use std::time::{Duration, Instant};

use libp2p::Multiaddr;
use libp2p::kad::RecordKey;
use rand::RngExt;

use super::member;
use super::mesh::MeshState;
use super::task::Task;
use crate::types::{mesh_key, topic_key};

/// Announcements live 10 min with those who store them.
const ANNOUNCE_INTERVAL: Duration = Duration::from_secs(180);
/// What changes together is announced together.
const ANNOUNCE_DELAY: Duration = Duration::from_millis(200);
/// New peers in the table are told too, but not each at once: the more heard the last announcement, the less one more
/// matters, and in a crowd that comes together everybody is new to everybody.
const NEWCOMER_INTERVAL_PER_PEER: Duration = Duration::from_secs(1);
const NEWCOMER_INTERVAL_MAX: Duration = Duration::from_secs(60);

/// An announcement that fewer peers heard is repeated for each new one.
const FEW_PEERS: u32 = 4;

impl Task {
    /// Announces soon: something was joined, or our multiaddrs changed.
    pub(super) fn announce_soon(&mut self) {
        let soon = Instant::now() + ANNOUNCE_DELAY;
        self.announce_at = Some(self.announce_at.map_or(soon, |at| at.min(soon)));
    }

    /// The table grew: what was announced before did not reach the newcomer.
    pub(super) fn announce_to_newcomer(&mut self) {
        let now = Instant::now();
        let after_last = match self.announced_at {
            // So few heard the last one that each newcomer matters.
            Some(_) if self.announced_to < FEW_PEERS => now,
            Some(last) => last + newcomer_interval(self.announced_to),
            None => now,
        };
        let soon = after_last.max(now + ANNOUNCE_DELAY);
        self.announce_at = Some(self.announce_at.map_or(soon, |at| at.min(soon)));
    }

    pub(super) fn announce_meshes(&mut self, now: Instant) {
        self.announced_at = Some(now);
        let buckets = self.swarm.behaviour_mut().kad.kbuckets();
        let peers: usize = buckets.map(|bucket| bucket.num_entries()).sum();
        self.announced_to = u32::try_from(peers).unwrap_or(u32::MAX);
        let jitter = rand::rng().random_range(0.9..1.1);
        self.announce_at = (!self.meshes.is_empty()).then(|| now + ANNOUNCE_INTERVAL.mul_f64(jitter));
        let keys: Vec<RecordKey> = self.meshes.values().flat_map(keys).collect();
        for key in keys {
            // An error would mean that our own store is full, and it keeps our own keys apart.
            if let Err(error) = self.swarm.behaviour_mut().kad.start_providing(key) {
                tracing::error!(%error, "a mesh or topic cannot be announced");
            }
        }
    }

    pub(super) fn stop_announcing(&mut self, mesh: &MeshState) {
        for key in keys(mesh) {
            self.swarm.behaviour_mut().kad.stop_providing(&key);
        }
    }

    /// Where others may reach this node, without `/p2p`.
    pub(super) fn told_multiaddrs(&self) -> Vec<Multiaddr> {
        let listen: Vec<Multiaddr> = self.swarm.listeners().cloned().collect();
        member::worth_telling(&listen, &self.announce)
    }

    /// What this node listens on has changed.
    pub(super) fn multiaddrs_changed(&mut self) {
        let me = *self.swarm.local_peer_id();
        let told = self.told_multiaddrs();
        // Kademlia and identify tell what counts as confirmed; loopback and private nodes never get a confirmation.
        let stale: Vec<Multiaddr> = self
            .swarm
            .external_addresses()
            .filter(|old| !told.contains(old))
            .cloned()
            .collect();
        for old in stale {
            self.swarm.remove_external_address(&old);
            self.kad_mode.expired(&old);
        }
        for new in &told {
            if !self.swarm.external_addresses().any(|known| known == new) {
                self.swarm.add_external_address(new.clone());
                self.kad_mode.confirmed(new);
            }
        }
        let listen = self.announce.iter().chain(self.swarm.listeners());
        let all: Vec<Multiaddr> = listen.map(|multiaddr| member::with_peer(multiaddr, me)).collect();
        self.multiaddrs.send_replace(all);
        self.write_run_file();
        self.choose_kad_mode();
        for slot in self.meshes.keys().copied().collect::<Vec<_>>() {
            self.send_profile(slot, None);
        }
        self.announce_soon();
    }
}

fn newcomer_interval(announced_to: u32) -> Duration {
    NEWCOMER_INTERVAL_PER_PEER
        .saturating_mul(announced_to)
        .min(NEWCOMER_INTERVAL_MAX)
}

/// What a mesh is announced under: its own key, and one for each topic the node is on.
fn keys(mesh: &MeshState) -> impl Iterator<Item = RecordKey> + '_ {
    let name = mesh.key.name();
    let topics = mesh.topics.keys().map(move |topic| topic_key(name, topic));
    std::iter::once(mesh_key(name))
        .chain(topics)
        .map(|key| RecordKey::new(&key))
}
