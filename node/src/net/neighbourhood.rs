//! Between the swarm and `core/neighbours`: facts in, actions performed.

use std::time::Instant;

use libp2p::PeerId;
use maille_proto::control::{Farewell, Message, Profile, Swap};
use maille_proto::encode_control;

use super::event::MeshEvent;
use super::member;
use super::task::{Done, Task};
use super::{Slot, aside, requests};
use crate::core::neighbours::{Action, Input, Source, Status};
use crate::core::{liveness, presence};

impl Task {
    /// What is logged within it names the mesh.
    pub(super) fn mesh_span(&self, slot: Slot) -> tracing::Span {
        self.meshes
            .get(&slot)
            .map_or_else(tracing::Span::none, |mesh| mesh.span.clone())
    }

    /// Hands one fact to a mesh's neighbourhood and does what it asks for.
    pub(super) fn neighbours_hear(&mut self, slot: Slot, input: Input) {
        let _in_mesh = self.mesh_span(slot).entered();
        let mut actions = Vec::new();
        let Some(mesh) = self.meshes.get_mut(&slot) else { return };
        let approached = requests::approached(&input);
        mesh.neighbours.handle(input, Instant::now(), &mut actions);
        if let Some((peer, met)) = approached {
            self.callers_hear(slot, peer, met);
        }
        for action in actions {
            self.perform(slot, action);
        }
    }

    fn perform(&mut self, slot: Slot, action: Action) {
        match action {
            Action::Approach { peer, multiaddrs } => self.approach(slot, peer, multiaddrs),
            Action::LookUp { topic } => self.look_up(slot, topic),
            Action::Swap { peer, records, answer } => {
                let swap = Swap {
                    records: records.iter().map(member::to_wire).collect(),
                    answer,
                };
                self.send_control(slot, peer, Message::Swap(swap));
            }
            Action::Drop { peer, sample } => {
                let sample = sample.iter().map(member::to_wire).collect();
                let farewell = encode_control(Message::Farewell(Farewell {
                    sample,
                    replaced: Vec::new(),
                }));
                self.presence_hears(slot, presence::Input::Parting { peer });
                self.swarm.behaviour_mut().gate.evict(slot, peer, Some(farewell));
            }
            Action::Remember(records) => {
                let (Some(data_dir), Some(mesh)) = (self.data_dir.clone(), self.meshes.get(&slot)) else {
                    return;
                };
                let name = mesh.key.name().clone();
                let records: Vec<_> = records.iter().map(member::to_wire).collect();
                aside::spawn(&mut self.jobs, move || {
                    if let Err(error) = data_dir.save_peer_cache(&name, &records) {
                        tracing::warn!(%error, "the peer cache could not be saved; this mesh may take longer to find");
                    }
                    Done::Written
                });
            }
            Action::Report(status) => self.report(slot, status),
        }
    }

    fn report(&mut self, slot: Slot, status: Status) {
        let Some(mesh) = self.meshes.get_mut(&slot) else { return };
        tracing::debug!(?status, "status");
        mesh.status.send_replace(status);
        mesh.tell(MeshEvent::Status(status));
    }

    /// Hands a discovery to every mesh: the source does not say for which it is.
    pub(super) fn found_for_all(&mut self, peer: PeerId, multiaddrs: &[libp2p::Multiaddr], source: Source) {
        for slot in self.meshes.keys().copied().collect::<Vec<_>>() {
            self.found(slot, peer, multiaddrs.to_vec(), source);
        }
    }

    /// Hands a mesh a peer of whose topics the source says nothing.
    pub(super) fn found(&mut self, slot: Slot, peer: PeerId, multiaddrs: Vec<libp2p::Multiaddr>, source: Source) {
        let topics = Vec::new();
        self.neighbours_hear(
            slot,
            Input::Found {
                peer,
                multiaddrs,
                source,
                topics,
            },
        );
    }

    pub(super) fn send_control(&mut self, slot: Slot, peer: PeerId, message: Message) {
        self.swarm
            .behaviour_mut()
            .gate
            .send(slot, peer, encode_control(message));
    }

    /// Tells one neighbour, or all, who we are and what we are on.
    pub(super) fn send_profile(&mut self, slot: Slot, to: Option<PeerId>) {
        let multiaddrs = self.told_multiaddrs();
        let Some(mesh) = self.meshes.get(&slot) else { return };
        let Some(own) = member::own(&self.key, &multiaddrs, &mesh.told_hints()) else {
            return;
        };
        let peers: Vec<PeerId> = match to {
            Some(peer) => vec![peer],
            None => mesh.neighbours.neighbours().collect(),
        };
        for peer in peers {
            self.send_control(
                slot,
                peer,
                Message::Profile(Profile {
                    member: Some(own.clone()),
                }),
            );
        }
    }

    /// The topics of this node in a mesh changed: the neighbourhood steers by them, and others hear of it.
    pub(super) fn own_topics_changed(&mut self, slot: Slot) {
        let Some(mesh) = self.meshes.get_mut(&slot) else { return };
        let hints = mesh.own_hints();
        mesh.profile_changed = true;
        self.neighbours_hear(slot, Input::OwnTopics(hints));
        self.announce_soon();
    }

    /// Tells what changed since the last time, however often it did: neighbours of our topics, the neighbourhood of theirs.
    pub(super) fn tell_changes(&mut self, slot: Slot) {
        let Some(mesh) = self.meshes.get_mut(&slot) else { return };
        let resubscribed = std::mem::take(&mut mesh.resubscribed);
        if std::mem::take(&mut mesh.profile_changed) {
            self.send_profile(slot, None);
        }
        for peer in resubscribed {
            self.topics_of_changed(slot, peer);
        }
    }

    pub(super) fn on_mesh_deadlines(&mut self, now: Instant) {
        for slot in self.meshes.keys().copied().collect::<Vec<_>>() {
            let Some(mesh) = self.meshes.get(&slot) else { continue };
            if mesh.neighbours.next_deadline().is_some_and(|at| at <= now) {
                self.neighbours_hear(slot, Input::TimedOut);
            }
            let Some(mesh) = self.meshes.get(&slot) else { continue };
            if mesh.liveness.next_deadline().is_some_and(|at| at <= now) {
                self.liveness_hears(slot, liveness::Input::TimedOut);
            }
            self.on_presence_deadline(slot, now);
            self.on_blobs_deadline(slot, now);
            self.on_stream_deadlines(slot, now);
        }
    }
}
