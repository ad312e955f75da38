//! What the gate reports: who was admitted, who left, and what members say on the control stream.

use std::time::{Duration, Instant};

use libp2p::swarm::ConnectionId;
use libp2p::{Multiaddr, PeerId};
use maille_proto::admission::{MemberRecord as WireRecord, Welcome};
use maille_proto::control::Message;
use maille_proto::{SAMPLE_RECORDS_MAX, decode_control};

use super::event::MeshEvent;
use super::gate::{Event, OpenFailure, Outcome};
use super::inner::MeshBehaviourEvent;
use super::task::Task;
use super::{Slot, member};
use crate::core::bucket::{Bucket, Rate};
use crate::core::neighbours::{Input, MemberRecord};
use crate::core::{blobs, liveness, presence, strangers};

/// Two processes share an identity when each takes the other's place; once in a while is a restart.
const REPLACED_MAX: usize = 2;
const REPLACED_PERIOD: Duration = Duration::from_secs(60);

/// Control frames of one neighbour, acknowledgements apart.
const TALK: Rate = Rate::new(64, 300);

impl Task {
    pub(super) fn on_gate_event(&mut self, event: Event<MeshBehaviourEvent>) {
        let (slot, peer) = event.about();
        let _in_mesh = slot.map(|slot| self.mesh_span(slot).entered());
        let _with_peer = peer.map(|peer| tracing::info_span!("peer", id = %peer).entered());
        match event {
            Event::Answering { connection } => self.connection_active(connection),
            Event::Proved { knock, slot } => self.welcome(knock, slot),
            Event::Answered {
                outcome: Outcome::Admitted,
            } => self.counters.admissions_granted.add(1),
            Event::Answered {
                outcome: Outcome::GaveWay | Outcome::Abandoned,
            } => {}
            Event::Answered { .. } => self.counters.admissions_refused.add(1),
            Event::Admitted {
                slot,
                peer,
                multiaddr,
                connection,
                welcome,
            } => {
                self.on_admitted(slot, peer, multiaddr, connection, welcome);
            }
            Event::Speaks { peer } => {
                for slot in self.meshes.keys().copied().collect::<Vec<_>>() {
                    self.neighbours_hear(slot, Input::Speaks { peer });
                }
            }
            Event::Left { slot, peer } => self.on_left(slot, peer),
            Event::Failed { slot, peer, failure } => self.on_open_failed(slot, peer, failure),
            Event::Control { slot, peer, frame } => self.on_control(slot, peer, &frame),
            Event::Inner { slot, event } => match event {
                MeshBehaviourEvent::Gossip(event) => self.on_gossip_event(slot, event),
                MeshBehaviourEvent::Catchup(event) => self.on_catchup_event(slot, event),
                MeshBehaviourEvent::Requests(incoming) => self.on_call(slot, incoming),
                MeshBehaviourEvent::Blobs(event) => self.on_blobs_event(slot, event),
            },
        }
    }

    fn welcome(&mut self, knock: u64, slot: Slot) {
        // If the mesh was left just now, the gate drops the handshake.
        let Some(mesh) = self.meshes.get_mut(&slot) else { return };
        let sample = mesh.neighbours.sample(SAMPLE_RECORDS_MAX, &[]);
        let welcome = Welcome {
            sample: sample.iter().map(member::to_wire).collect(),
            ..Welcome::default()
        };
        self.swarm.behaviour_mut().gate.welcome(knock, welcome);
    }

    fn on_admitted(
        &mut self,
        slot: Slot,
        peer: PeerId,
        multiaddr: Multiaddr,
        connection: ConnectionId,
        welcome: Option<Welcome>,
    ) {
        let Some(mesh) = self.meshes.get_mut(&slot) else { return };
        tracing::debug!("admitted");
        mesh.reached.insert(peer, (multiaddr.clone(), connection));
        let connected = self.connections.get(&connection);
        let dialled = connected
            .is_some_and(|connected| connected.dialled)
            .then_some(multiaddr);
        if let Some(connection) = connected.map(|connected| connected.number) {
            self.strangers_hear(strangers::Input::Admitted { connection });
        }
        self.neighbours_hear(
            slot,
            Input::Admitted {
                peer,
                multiaddr: dialled,
            },
        );
        self.send_profile(slot, Some(peer));
        self.liveness_hears(slot, liveness::Input::Admitted { peer });
        self.grant_wishes(slot);
        self.presence_hears(slot, presence::Input::Admitted { peer });
        self.blobs_hear(slot, blobs::Input::Joined { peer });
        if let Some(welcome) = welcome {
            let records = self.records_from(slot, peer, welcome.sample);
            self.neighbours_hear(slot, Input::Sample { records });
        }
        self.neighbours_changed(slot, MeshEvent::NeighbourJoined { peer });
    }

    fn on_left(&mut self, slot: Slot, peer: PeerId) {
        let Some(mesh) = self.meshes.get_mut(&slot) else { return };
        tracing::debug!("left");
        let reached = mesh.reached.remove(&peer);
        mesh.acks.remove(&peer);
        mesh.talk.remove(&peer);
        mesh.rejected.remove(&peer);
        let profile = mesh.profiles.remove(&peer).unwrap_or_default();
        for topic in mesh.subscriptions.remove(&peer).unwrap_or_default() {
            self.neighbour_unsubscribed(slot, peer, &topic);
        }
        self.profile_changed(slot, &profile);
        self.neighbours_hear(slot, Input::Left { peer });
        self.liveness_hears(slot, liveness::Input::Left { peer });
        self.presence_hears(slot, presence::Input::Ended { peer });
        self.blob_member_left(slot, peer);
        if let Some((_, connection)) = reached {
            self.release(connection);
        }
        self.neighbours_changed(slot, MeshEvent::NeighbourLeft { peer });
    }

    /// Records that a neighbour passed on: signed, and of places that can be reached from where it is.
    fn records_from(&self, slot: Slot, peer: PeerId, wire: Vec<WireRecord>) -> Vec<MemberRecord> {
        let reached = self.meshes.get(&slot).and_then(|mesh| mesh.reached.get(&peer));
        let Some((remote, _)) = reached else { return Vec::new() };
        let mut records = member::all_verified(wire);
        for record in &mut records {
            record.multiaddrs = member::plausible(std::mem::take(&mut record.multiaddrs), remote);
        }
        records
    }

    /// Who hears of it finds the neighbours as they are now.
    fn neighbours_changed(&mut self, slot: Slot, event: MeshEvent) {
        if let Some(mesh) = self.meshes.get(&slot) {
            mesh.tell_neighbours();
            mesh.tell(event);
        }
    }

    fn on_open_failed(&mut self, slot: Slot, peer: PeerId, failure: OpenFailure) {
        let Some(mesh) = self.meshes.get_mut(&slot) else { return };
        tracing::debug!(mesh = %mesh.key.name(), %peer, ?failure, "not admitted");
        let input = match failure {
            OpenFailure::Refused => {
                self.counters.refusals_met.add(1);
                Input::Refused { peer }
            }
            OpenFailure::Unanswered => Input::Unanswered { peer, guessed: true },
            OpenFailure::Lost => Input::Unanswered { peer, guessed: false },
            OpenFailure::NotSpeaking => Input::NotSpeaking { peer },
        };
        self.neighbours_hear(slot, input);
    }

    fn on_control(&mut self, slot: Slot, peer: PeerId, frame: &[u8]) {
        self.liveness_hears(slot, liveness::Input::Heard { peer });
        self.presence_hears(slot, presence::Input::Heard { peer });
        match decode_control(frame) {
            Ok(Some(message)) => self.on_control_message(slot, peer, message),
            // From a later version.
            Ok(None) => {}
            Err(error) => {
                tracing::debug!(%error, "malformed control frame");
                self.counters.control_rejected.add(1);
                self.swarm.behaviour_mut().gate.evict(slot, peer, None);
            }
        }
    }

    fn on_control_message(&mut self, slot: Slot, peer: PeerId, message: Message) {
        // Acknowledgements cost next to nothing, and presence counts for itself. Nobody has so much else to say.
        let is_counted = !matches!(message, Message::Acks(_) | Message::Presence(_));
        if is_counted && !self.may_talk(slot, peer) {
            tracing::debug!("a neighbour talks too much");
            self.counters.control_rejected.add(1);
            return self.swarm.behaviour_mut().gate.evict(slot, peer, None);
        }
        match message {
            Message::Acks(acks) => self.on_acks(slot, peer, acks.acks),
            Message::Profile(profile) => {
                let record = profile
                    .member
                    .and_then(member::verified)
                    .filter(|record| record.peer == peer);
                match record {
                    Some(record) => {
                        self.profiled(slot, peer, &record.topics);
                        self.neighbours_hear(slot, Input::Profiled { record });
                        // What a neighbour forwards is what it is subscribed to, whatever else it is on.
                        self.topics_of_changed(slot, peer);
                    }
                    None => self.counters.control_rejected.add(1),
                }
            }
            Message::Swap(swap) => {
                let records = self.records_from(slot, peer, swap.records);
                self.neighbours_hear(
                    slot,
                    Input::Swapped {
                        peer,
                        records,
                        answer: swap.answer,
                    },
                );
            }
            Message::Digest(digest) => self.on_digest(slot, peer, digest),
            Message::Clock(clock) => self.on_clock(slot, peer, &clock),
            Message::Presence(said) => self.on_presence(slot, peer, said),
            Message::Farewell(farewell) => {
                let records = self.records_from(slot, peer, farewell.sample);
                self.presence_hears(slot, presence::Input::Parting { peer });
                if let Ok(newer) = <[u8; 16]>::try_from(farewell.replaced.as_slice()) {
                    // The last word of this admission: one of them counts once.
                    self.swarm.behaviour_mut().gate.evict(slot, peer, None);
                    self.on_replaced(slot, newer);
                } else {
                    self.neighbours_hear(slot, Input::Farewell { peer, records });
                }
            }
        }
    }

    fn may_talk(&mut self, slot: Slot, peer: PeerId) -> bool {
        let Some(mesh) = self
            .meshes
            .get_mut(&slot)
            .filter(|mesh| mesh.reached.contains_key(&peer))
        else {
            return false; // what it said before it left
        };
        let allowance = mesh.talk.entry(peer).or_insert_with(|| Bucket::full(TALK));
        allowance.take(Instant::now()).is_ok()
    }

    /// A neighbour let another process with this very PeerId take our place.
    fn on_replaced(&mut self, slot: Slot, newer: [u8; 16]) {
        let now = Instant::now();
        let Some(mesh) = self.meshes.get_mut(&slot) else { return };
        mesh.replaced.retain(|at| now.duration_since(*at) < REPLACED_PERIOD);
        mesh.replaced.push_back(now);
        // Sessions start with the time: the later one gives way, so that one of the two stays.
        if mesh.replaced.len() >= REPLACED_MAX && mesh.key.session() > newer {
            tracing::error!("another process uses this identity; leaving");
            mesh.tell(MeshEvent::IdentityInUse);
            self.leave(slot);
        }
    }
}
