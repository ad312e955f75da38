//! What requests need of the loop: streams to members, also to those that must be met first, tasks for calls that come in,
//! and who says it serves what.

use std::collections::HashMap;
use std::sync::Arc;

use libp2p::PeerId;
use rand::seq::SliceRandom;
use tokio::task::JoinSet;

use super::{Incoming, Opening, Room, SERVING, Services, serving};
use crate::core::neighbours::Input;
use crate::core::requests::ASKED_MAX;
use crate::metrics::Counters;
use crate::net::Slot;
use crate::net::mesh::MeshState;
use crate::net::task::Task;
use crate::types::{ServiceName, TopicHint};

/// Services that members are told of, in the order of their names.
const SERVICES_TOLD_MAX: usize = 16;
/// Peers that are met because somebody wants to call them.
const WANTED_MAX: usize = 64;
/// Calls that are served or turned away at once; beyond, streams are closed without a word.
const TASKS_MAX: usize = 2 * SERVING.places;

/// The requests of one mesh.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    pub(crate) services: Arc<Services>,
    /// Dropped with the mesh, which ends them.
    serving: JoinSet<()>,
    /// Callers that wait until a peer is a neighbour.
    wanted: HashMap<PeerId, Vec<Opening>>,
}

impl Requests {
    pub(crate) fn new(services: Arc<Services>) -> Self {
        Self {
            services,
            ..Self::default()
        }
    }

    /// Serves a call in a task of its own.
    pub(crate) fn serve(&mut self, incoming: Incoming, room: Room, counters: Arc<Counters>) {
        while let Some(ended) = self.serving.try_join_next() {
            if let Err(error) = ended {
                tracing::error!(%error, "a call ended badly");
            }
        }
        if self.serving.len() < TASKS_MAX {
            self.serving
                .spawn(serving::serve(incoming, self.services.clone(), room, counters));
        }
    }

    fn forget_those_who_gave_up(&mut self) {
        self.wanted.retain(|_, callers| {
            callers.retain(|caller| !caller.is_closed());
            !callers.is_empty()
        });
    }
}

impl MeshState {
    /// What members are told that this node is on: its services, and its topics.
    pub(crate) fn told_hints(&self) -> Vec<TopicHint> {
        let services = self.requests.services.names();
        let services = services.iter().take(SERVICES_TOLD_MAX);
        let services = services.map(|service| TopicHint::of_service(self.key.name(), service));
        services.chain(self.own_hints()).collect()
    }

    /// Whether services came or went since members were told.
    pub(crate) fn sweep_services(&mut self) {
        self.profile_changed |= self.requests.services.take_changed();
    }
}

/// Whether an approach ended with this, of whom, and whether the peer is a neighbour now.
pub(crate) fn approached(input: &Input) -> Option<(PeerId, bool)> {
    match input {
        Input::Admitted { peer, .. } => Some((*peer, true)),
        Input::DialFailed { peer }
        | Input::NotSpeaking { peer }
        | Input::Unanswered { peer, .. }
        | Input::Refused { peer } => Some((*peer, false)),
        _ => None,
    }
}

impl Task {
    /// Somebody wants a stream to a member; if it is no neighbour, it is made one.
    pub(crate) fn open_stream(&mut self, slot: Slot, peer: PeerId, opening: Opening) {
        let Some(mesh) = self.meshes.get_mut(&slot) else { return };
        if mesh.reached.contains_key(&peer) {
            return self.open_streams(slot, peer, [opening]);
        }
        mesh.requests.forget_those_who_gave_up();
        let wanted = &mut mesh.requests.wanted;
        if wanted.len() >= WANTED_MAX && !wanted.contains_key(&peer) {
            return;
        }
        wanted.entry(peer).or_default().push(opening);
        self.neighbours_hear(slot, Input::Wanted { peer });
        if let Some(mesh) = self.meshes.get_mut(&slot)
            && !mesh.neighbours.is_approaching(&peer)
        {
            mesh.requests.wanted.remove(&peer);
        }
    }

    fn open_streams(&mut self, slot: Slot, peer: PeerId, openings: impl IntoIterator<Item = Opening>) {
        if let Some(inner) = self.swarm.behaviour_mut().gate.inner_mut(slot) {
            openings
                .into_iter()
                .for_each(|opening| inner.requests.open(peer, opening));
        }
    }

    /// An approach ended: those who waited for the peer get their streams, or hear that there are none.
    pub(crate) fn callers_hear(&mut self, slot: Slot, peer: PeerId, met: bool) {
        let mesh = self.meshes.get_mut(&slot);
        let callers = mesh.and_then(|mesh| mesh.requests.wanted.remove(&peer));
        if met {
            self.open_streams(slot, peer, callers.unwrap_or_default());
        }
    }

    /// A neighbour calls.
    pub(crate) fn on_call(&mut self, slot: Slot, incoming: Incoming) {
        if let Some(mesh) = self.meshes.get_mut(&slot) {
            mesh.requests
                .serve(incoming, self.serving.clone(), self.counters.clone());
        }
    }

    /// Members that may serve it: neighbours and others that say so, then neighbours that may not have said so yet.
    pub(crate) fn servers(&self, slot: Slot, service: &ServiceName) -> Vec<PeerId> {
        let Some(mesh) = self.meshes.get(&slot) else {
            return Vec::new();
        };
        let hint = TopicHint::of_service(mesh.key.name(), service);
        let says_so = |peer: &PeerId| mesh.profiles.get(peer).is_some_and(|hints| hints.contains(&hint));
        let (serving, silent): (Vec<_>, Vec<_>) = mesh.neighbours.neighbours().partition(says_so);
        let mut groups = [serving, mesh.neighbours.others_on(hint), silent];
        for group in &mut groups {
            group.shuffle(&mut rand::rng());
        }
        groups.into_iter().flatten().take(ASKED_MAX).collect()
    }
}
