//! Approaching a peer: dial it unless it is connected, then open admission. Every approach ends in exactly one outcome.

use libp2p::swarm::DialError;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::{Multiaddr, PeerId};

use super::Slot;
use super::task::Task;
use crate::core::neighbours::Input;

impl Task {
    pub(super) fn approach(&mut self, slot: Slot, peer: PeerId, multiaddrs: Vec<Multiaddr>) {
        if self.swarm.is_connected(&peer) {
            return self.open(slot, peer);
        }
        self.dialling.entry(peer).or_default().insert(slot);
        let dial = DialOpts::peer_id(peer)
            .condition(PeerCondition::DisconnectedAndNotDialing)
            .addresses(multiaddrs)
            .extend_addresses_through_behaviour();
        match self.swarm.dial(dial.build()) {
            // Being dialled already: that dial's end is this one's too.
            Ok(()) | Err(DialError::DialPeerConditionFalse(_)) => {}
            Err(_) => self.dial_failed(peer),
        }
    }

    /// Opens admission on a connection that stands.
    pub(super) fn open(&mut self, slot: Slot, peer: PeerId) {
        match self.swarm.behaviour_mut().gate.open(slot, peer) {
            Some(connection) => self.connection_active(connection),
            None => self.neighbours_hear(slot, Input::DialFailed { peer }),
        }
    }

    pub(super) fn dialled(&mut self, peer: PeerId) {
        for slot in self.dialling.remove(&peer).unwrap_or_default() {
            self.open(slot, peer);
        }
    }

    pub(super) fn dial_failed(&mut self, peer: PeerId) {
        for slot in self.dialling.remove(&peer).unwrap_or_default() {
            self.neighbours_hear(slot, Input::DialFailed { peer });
        }
    }
}
