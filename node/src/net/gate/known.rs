//! Peers that were members of a mesh: the guess budget lets them in, so that an attacker cannot lock them out.

use std::collections::{HashSet, VecDeque};

use libp2p::PeerId;

/// Peers remembered a mesh.
const KNOWN_PEERS_MAX: usize = 1_024;

/// The peers of one mesh, the longest known first to be forgotten.
#[derive(Debug, Default)]
pub(super) struct KnownPeers {
    peers: HashSet<PeerId>,
    order: VecDeque<PeerId>,
}

impl KnownPeers {
    pub(super) fn contains(&self, peer: &PeerId) -> bool {
        self.peers.contains(peer)
    }

    pub(super) fn remember(&mut self, peer: PeerId) {
        if self.peers.insert(peer) {
            self.order.push_back(peer);
        }
        if self.order.len() > KNOWN_PEERS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.peers.remove(&oldest);
        }
    }

    pub(super) fn forget(&mut self, peer: &PeerId) {
        if self.peers.remove(peer) {
            self.order.retain(|known| known != peer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_known_goes_first_and_the_forgotten_leave_no_trace() {
        let peers: Vec<PeerId> = (0..=KNOWN_PEERS_MAX).map(|_| PeerId::random()).collect();
        let mut known = KnownPeers::default();
        for peer in &peers {
            known.remember(*peer);
        }
        assert!(!known.contains(&peers[0]) && known.contains(&peers[1]));
        for _ in 0..2 * KNOWN_PEERS_MAX {
            known.forget(&peers[1]);
            known.remember(peers[1]);
        }
        assert_eq!(
            (known.peers.len(), known.order.len()),
            (KNOWN_PEERS_MAX, KNOWN_PEERS_MAX)
        );
        assert!(known.contains(&peers[2]), "forgetting one must not push out others");
    }
}
