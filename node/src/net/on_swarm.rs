//! What the swarm reports: connections, dials, listeners, and peers of the local network.

use std::time::Instant;

use libp2p::core::ConnectedPoint;
use libp2p::swarm::{ConnectionId, SwarmEvent};
use libp2p::{Multiaddr, PeerId, identify, mdns};

use super::behaviour::{BehaviourEvent, KAD_PROTOCOL};
use super::event::NodeEvent;
use super::task::Task;
use super::{gate, member};
use crate::core::neighbours::{Input, Source};
use crate::core::strangers;
use crate::types::IpPrefix;

/// A connection that stands.
#[derive(Debug)]
pub(super) struct Connected {
    pub(super) peer: PeerId,
    pub(super) remote: Multiaddr,
    pub(super) dialled: bool,
    /// Its number among the strangers' limits.
    pub(super) number: u64,
}

impl Task {
    pub(super) fn on_swarm_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(event) => self.on_behaviour_event(event),
            SwarmEvent::ConnectionEstablished {
                peer_id,
                connection_id,
                endpoint,
                ..
            } => {
                self.on_connected(peer_id, connection_id, &endpoint);
            }
            SwarmEvent::ConnectionClosed {
                peer_id,
                connection_id,
                num_established,
                ..
            } => {
                self.on_disconnected(peer_id, connection_id, num_established);
            }
            SwarmEvent::OutgoingConnectionError {
                connection_id,
                peer_id,
                error,
            } => {
                tracing::debug!(peer = ?peer_id, %error, "dial failed");
                self.on_bootstrap_failed(connection_id, peer_id, &error);
                if let Some(peer) = peer_id.filter(|peer| !self.swarm.is_connected(peer)) {
                    self.dial_failed(peer);
                }
            }
            SwarmEvent::NewListenAddr { address, .. } => {
                let multiaddr = member::with_peer(&address, *self.swarm.local_peer_id());
                self.tell(NodeEvent::Listening { multiaddr });
                self.multiaddrs_changed();
            }
            SwarmEvent::ExpiredListenAddr { address, .. } => {
                let multiaddr = member::with_peer(&address, *self.swarm.local_peer_id());
                self.tell(NodeEvent::NotListening { multiaddr });
                self.multiaddrs_changed();
            }
            SwarmEvent::ListenerClosed { reason, addresses, .. } => {
                tracing::error!(?reason, ?addresses, "a listener closed");
                self.multiaddrs_changed();
            }
            SwarmEvent::ListenerError { error, .. } => tracing::debug!(%error, "a connection could not be accepted"),
            _ => {}
        }
    }

    fn on_behaviour_event(&mut self, event: BehaviourEvent) {
        match event {
            BehaviourEvent::Gate(event) => self.on_gate_event(event),
            BehaviourEvent::Kad(event) => self.on_kad_event(event),
            BehaviourEvent::Identify(identify::Event::Received {
                peer_id,
                info,
                connection_id,
            }) => {
                self.on_identified(peer_id, connection_id, info);
            }
            BehaviourEvent::Mdns(mdns::Event::Discovered(found)) => {
                for (peer, multiaddr) in found {
                    self.found_for_all(peer, &[multiaddr], Source::Mdns);
                }
            }
            // Of the rest of identify `Pushed` is what this node told, not what it heard.
            BehaviourEvent::Identify(_) | BehaviourEvent::Mdns(_) => {}
        }
    }

    fn on_connected(&mut self, peer: PeerId, id: ConnectionId, endpoint: &ConnectedPoint) {
        self.counters.connections_established.add(1);
        let remote = endpoint.get_remote_address().clone();
        let number = self.next_connection;
        self.next_connection += 1;
        self.kad_mode.connected(&remote);
        self.choose_kad_mode();
        let prefix = IpPrefix::of_remote(endpoint);
        let kept = self.sources.is_bootstrap(&peer);
        let dialled = endpoint.is_dialer();
        self.connections.insert(
            id,
            Connected {
                peer,
                remote,
                dialled,
                number,
            },
        );
        self.strangers_hear(strangers::Input::Connected {
            connection: number,
            prefix,
            kept,
        });
        self.dialled(peer);
    }

    fn on_disconnected(&mut self, peer: PeerId, id: ConnectionId, remaining: u32) {
        self.counters.connections_closed.add(1);
        if let Some(connected) = self.connections.remove(&id) {
            self.kad_mode.closed(&connected.remote);
            self.choose_kad_mode();
            self.strangers_hear(strangers::Input::Closed {
                connection: connected.number,
            });
        }
        if remaining == 0 {
            for slot in self.meshes.keys().copied().collect::<Vec<_>>() {
                self.neighbours_hear(slot, Input::Disconnected { peer });
            }
        }
    }

    fn on_identified(&mut self, peer: PeerId, id: ConnectionId, info: identify::Info) {
        let Some(connected) = self.connections.get(&id) else {
            return;
        };
        let (remote, number) = (connected.remote.clone(), connected.number);
        self.strangers_hear(strangers::Input::Active { connection: number });
        self.sources.reached(&peer, id);
        if info.protocols.contains(&KAD_PROTOCOL) {
            let multiaddrs = member::plausible(info.listen_addrs, &remote);
            self.add_to_table(peer, multiaddrs);
        }
        // A bootstrap multiaddr without a PeerId names somebody only now.
        if self.sources.is_nameless(id) && info.protocols.contains(&gate::ADMISSION_PROTOCOL) {
            self.found_for_all(peer, &[remote], Source::Bootstrap);
        }
    }

    pub(super) fn tell(&self, event: NodeEvent) {
        // A notice; it does not matter if nobody listens.
        let _ = self.events.send(event);
    }

    // ---- strangers -----------------------------------------------------------------------------------------------

    pub(super) fn strangers_hear(&mut self, input: strangers::Input) {
        let mut actions = Vec::new();
        self.strangers.handle(input, Instant::now(), &mut actions);
        for strangers::Action::Disconnect(number) in actions {
            let connection = self
                .connections
                .iter()
                .find(|(_, connected)| connected.number == number);
            if let Some(id) = connection.map(|(id, _)| *id) {
                self.counters.strangers_dropped.add(1);
                self.swarm.close_connection(id);
            }
        }
    }

    /// One admission on a connection ended; without another, its peer is a stranger again.
    pub(super) fn release(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get(&id).map(|connected| connected.number) {
            self.strangers_hear(strangers::Input::Released { connection });
        }
    }

    /// Something is under way on a connection.
    pub(super) fn connection_active(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get(&id).map(|connected| connected.number) {
            self.strangers_hear(strangers::Input::Active { connection });
        }
    }
}
