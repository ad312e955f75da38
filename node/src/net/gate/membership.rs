//! The gate's members: which of a peer's admitted connections a mesh's behaviour is shown, from show to hide.

use libp2p::PeerId;
use libp2p::core::ConnectedPoint;
use libp2p::swarm::behaviour::{AddressChange, ConnectionClosed, ConnectionEstablished};
use libp2p::swarm::{ConnectionError, ConnectionId, FromSwarm, NetworkBehaviour, ToSwarm};
use maille_proto::control;
use std::time::Instant;

use super::Slot;
use super::behaviour::{Connection, Event, Gate, notify};
use super::messages::{In, OpenFailure};
use super::peers::{AdmissionId, Admissions, Candidate, Choice};
use crate::core::admission::Admitted;

impl<B: NetworkBehaviour> Gate<B> {
    pub(super) fn admitted(
        &mut self,
        slot: Slot,
        peer: PeerId,
        connection: ConnectionId,
        generation: u32,
        admitted: Admitted,
    ) {
        self.remember(slot, peer);
        let id = (connection, generation);
        let Some(relayed) = self.connections.get(&connection).map(Connection::is_relayed) else {
            return;
        };
        let Some(mesh) = self.meshes.get_mut(&slot) else { return };
        if mesh
            .peers
            .get(&peer)
            .is_some_and(|known| known.session != admitted.peer_session)
        {
            // The peer joined anew, perhaps after a crash: what it held before is stale.
            self.replace(slot, peer, &admitted.peer_session);
        }
        let Some(mesh) = self.meshes.get_mut(&slot) else { return };
        let chooser = self.me < peer;
        let admissions = mesh
            .peers
            .entry(peer)
            .or_insert_with(|| Admissions::new(admitted.peer_session, chooser));
        let choice = admissions.add(Candidate {
            id,
            relayed,
            peer_ready: false,
            waits_since: Instant::now(),
            welcome: admitted.welcome,
        });
        self.follow(slot, peer, choice);
    }

    pub(super) fn replace(&mut self, slot: Slot, peer: PeerId, session: &[u8; 16]) {
        let farewell = control::Farewell {
            sample: Vec::new(),
            replaced: session.to_vec(),
        };
        let farewell = maille_proto::encode_control(control::Message::Farewell(farewell));
        let Some(admissions) = self.meshes.get_mut(&slot).and_then(|mesh| mesh.peers.remove(&peer)) else {
            return;
        };
        for (connection, generation) in admissions.ids() {
            self.out.push_back(notify(
                peer,
                connection,
                In::End(slot, generation, Some(farewell.clone())),
            ));
        }
        if let Some(shown) = admissions.shown() {
            self.hide(slot, peer, shown, None, admissions.open);
        }
    }

    pub(super) fn follow(&mut self, slot: Slot, peer: PeerId, choice: Choice) {
        match choice {
            Choice::Keep => {}
            Choice::Show(id) => self.show(slot, peer, id),
            Choice::Switch { from, to } => {
                self.out.push_back(notify(peer, from.0, In::End(slot, from.1, None)));
                self.forget(slot, peer, from, None);
                self.show(slot, peer, to);
            }
        }
        self.watch_readiness(slot, peer);
    }

    /// Notes whether a peer is admitted without being open.
    fn watch_readiness(&mut self, slot: Slot, peer: PeerId) {
        let admissions = self.meshes.get(&slot).and_then(|mesh| mesh.peers.get(&peer));
        match admissions.is_some_and(|admissions| !admissions.open && !admissions.is_empty()) {
            true => self.unready.insert((slot, peer)),
            false => self.unready.remove(&(slot, peer)),
        };
    }

    /// Ends what never came to both `Ready`.
    pub(super) fn end_unready(&mut self, now: Instant) {
        for (slot, peer) in &self.unready {
            let admissions = self.meshes.get_mut(slot).and_then(|mesh| mesh.peers.get_mut(peer));
            for (connection, generation) in admissions
                .map(|admissions| admissions.never_ready(now))
                .unwrap_or_default()
            {
                let end = In::End(*slot, generation, None);
                self.out.push_back(notify(*peer, connection, end));
            }
        }
    }

    /// Builds the inner handler of an admitted connection, late, and tells the inner behaviour.
    pub(super) fn show(&mut self, slot: Slot, peer: PeerId, (id, generation): AdmissionId) {
        let (Some(connection), Some(mesh)) = (self.connections.get(&id), self.meshes.get_mut(&slot)) else {
            return;
        };
        let Some(admissions) = mesh.peers.get_mut(&peer) else {
            return;
        };
        let handler = match &connection.endpoint {
            ConnectedPoint::Dialer {
                address,
                role_override,
                port_use,
            } => mesh
                .inner
                .handle_established_outbound_connection(id, peer, address, *role_override, *port_use),
            ConnectedPoint::Listener {
                local_addr,
                send_back_addr,
            } => mesh
                .inner
                .handle_established_inbound_connection(id, peer, local_addr, send_back_addr),
        };
        let Ok(handler) = handler else {
            return self.out.push_back(notify(peer, id, In::End(slot, generation, None)));
        };
        admissions.show((id, generation), Instant::now());
        // Goes out before anything the inner behaviour says about this connection.
        self.out
            .push_back(notify(peer, id, In::Install(slot, generation, handler)));
        mesh.inner
            .on_swarm_event(FromSwarm::ConnectionEstablished(ConnectionEstablished {
                peer_id: peer,
                connection_id: id,
                endpoint: &connection.endpoint,
                failed_addresses: &[],
                other_established: 0,
            }));
    }

    pub(super) fn opened(&mut self, slot: Slot, peer: PeerId, id: AdmissionId) {
        let Some(admissions) = self.meshes.get_mut(&slot).and_then(|mesh| mesh.peers.get_mut(&peer)) else {
            return;
        };
        if admissions.shown() != Some(id) {
            return;
        }
        admissions.open = true;
        self.unready.remove(&(slot, peer));
        self.asked.remove(&(slot, peer));
        let welcome = admissions.take_welcome();
        let Some(connection) = self.connections.get(&id.0) else {
            return;
        };
        let multiaddr = connection.endpoint.get_remote_address().clone();
        let event = Event::Admitted {
            slot,
            peer,
            multiaddr,
            connection: id.0,
            welcome,
        };
        self.out.push_back(ToSwarm::GenerateEvent(event));
    }

    /// An admission is over; a reserve may take its place.
    pub(super) fn ended(&mut self, slot: Slot, peer: PeerId, id: AdmissionId, cause: Option<&ConnectionError>) {
        self.forget(slot, peer, id, cause);
        // It ended before it was open: whoever asked for it waits for a word.
        if self.asked.get(&(slot, peer)) == Some(&id.0) {
            self.failed(slot, peer, OpenFailure::Lost);
        }
        let Some(mesh) = self.meshes.get_mut(&slot) else { return };
        let Some(admissions) = mesh.peers.get(&peer) else {
            return;
        };
        let choice = admissions.choose();
        if admissions.is_empty() {
            mesh.peers.remove(&peer);
        }
        self.follow(slot, peer, choice);
    }

    pub(super) fn forget(&mut self, slot: Slot, peer: PeerId, id: AdmissionId, cause: Option<&ConnectionError>) {
        let Some(admissions) = self.meshes.get_mut(&slot).and_then(|mesh| mesh.peers.get_mut(&peer)) else {
            return;
        };
        let was_open = admissions.open;
        if admissions.remove(id, Instant::now()) {
            self.hide(slot, peer, id, cause, was_open);
        }
    }

    /// The inner behaviour hears of a close exactly when it heard of the connection: it counts on that.
    pub(super) fn hide(
        &mut self,
        slot: Slot,
        peer: PeerId,
        id: AdmissionId,
        cause: Option<&ConnectionError>,
        was_open: bool,
    ) {
        let (Some(connection), Some(mesh)) = (self.connections.get(&id.0), self.meshes.get_mut(&slot)) else {
            return;
        };
        mesh.inner.on_swarm_event(FromSwarm::ConnectionClosed(ConnectionClosed {
            peer_id: peer,
            connection_id: id.0,
            endpoint: &connection.endpoint,
            cause,
            remaining_established: 0,
        }));
        if was_open {
            self.out.push_back(ToSwarm::GenerateEvent(Event::Left { slot, peer }));
        }
    }

    pub(super) fn connection_closed(&mut self, event: ConnectionClosed<'_>) {
        let (peer, id) = (event.peer_id, event.connection_id);
        for slot in self.meshes.keys().copied().collect::<Vec<_>>() {
            let Some(admissions) = self.meshes.get(&slot).and_then(|mesh| mesh.peers.get(&peer)) else {
                continue;
            };
            let ended: Vec<AdmissionId> = admissions.ids().filter(|(connection, _)| *connection == id).collect();
            for admission in ended {
                self.ended(slot, peer, admission, event.cause);
            }
        }
        let asked = self.asked.iter().filter(|(_, connection)| **connection == id);
        for (slot, peer) in asked.map(|(asked, _)| *asked).collect::<Vec<_>>() {
            // It may have been after our proof.
            self.failed(slot, peer, OpenFailure::Unanswered);
        }
        self.connections.remove(&id);
        self.farewells.remove(&id);
        self.forget_knocks(|knock| knock.connection == id);
    }

    fn failed(&mut self, slot: Slot, peer: PeerId, failure: OpenFailure) {
        self.asked.remove(&(slot, peer));
        self.out
            .push_back(ToSwarm::GenerateEvent(Event::Failed { slot, peer, failure }));
    }

    pub(super) fn address_changed(&mut self, change: AddressChange<'_>) {
        let Some(connection) = self.connections.get_mut(&change.connection_id) else {
            return;
        };
        connection.endpoint = change.new.clone();
        for mesh in self.meshes.values_mut() {
            let shown = mesh.peers.get(&change.peer_id).and_then(Admissions::shown);
            if shown.is_some_and(|(id, _)| id == change.connection_id) {
                mesh.inner.on_swarm_event(FromSwarm::AddressChange(change));
            }
        }
    }
}
