//! One joined mesh: its neighbourhood, its topics, and what its handles watch.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Weak};
use std::time::Instant;

use libp2p::PeerId;
use libp2p::multiaddr::Multiaddr;
use libp2p::request_response::OutboundRequestId;
use libp2p::swarm::ConnectionId;
use maille_proto::control::Ack;
use tokio::sync::{broadcast, watch};

use super::blobs::Blobs;
use super::event::MeshEvent;
use super::history::History;
use super::keeping::Keeping;
use super::link::{MeshLink, NeighbourAt};
use super::listing::{Asker, Listing};
use super::on_catchup::Serving;
use super::presence::MeshPresence;
use super::requests::Requests;
use super::topic::TopicState;
use crate::core::admission::MeshKey;
use crate::core::bucket::Bucket;
use crate::core::catchup::{InboundId, Responder};
use crate::core::liveness::Liveness;
use crate::core::neighbours::{Neighbours, Status};
use crate::core::stream::Context;
use crate::types::{TopicHint, TopicName};

/// Topics of one mesh a node may be on: what its neighbours accept as subscriptions.
pub(super) const TOPICS_MAX: usize = super::gossip::SUBSCRIPTIONS_MAX;

/// A mesh.
pub(super) struct MeshState {
    pub(super) key: Arc<MeshKey>,
    pub(super) link: Weak<MeshLink>,
    pub(super) neighbours: Neighbours,
    /// Whether they are still there, and their clocks.
    pub(super) liveness: Liveness,
    /// Who is in the mesh.
    pub(super) presence: MeshPresence,
    pub(super) topics: BTreeMap<TopicName, TopicState>,
    /// What each neighbour is subscribed to; gossipsub bounds it.
    pub(super) subscriptions: HashMap<PeerId, BTreeSet<TopicName>>,
    /// Where each neighbour was reached, and the connection that carries its admission.
    pub(super) reached: HashMap<PeerId, (Multiaddr, ConnectionId)>,
    /// What each neighbour may still say on the control stream.
    pub(super) talk: HashMap<PeerId, Bucket>,
    /// How many bad frames each neighbour may still pass on.
    pub(super) rejected: HashMap<PeerId, Bucket>,
    /// Neighbours whose subscriptions changed since the neighbourhood was told.
    pub(super) resubscribed: HashSet<PeerId>,
    /// Our own topics changed since the neighbours were told.
    pub(super) profile_changed: bool,
    /// What is held of the past.
    pub(super) history: History,
    /// How much of it is told to whom.
    pub(super) responder: Responder,
    /// Questions of members that wait for their answers.
    pub(super) serving: HashMap<InboundId, Serving>,
    /// The number of the last one.
    pub(super) next_question: u64,
    /// Questions of ours, and who asked them.
    pub(super) asked: HashMap<OutboundRequestId, Asker>,
    /// Calls of services, both ways.
    pub(super) requests: Requests,
    /// What this node stores for others, if it does.
    pub(super) keeping: Option<Keeping>,
    /// Lists of topics that are being made.
    pub(super) listings: BTreeMap<u64, Listing>,
    /// What is held and fetched of blobs.
    pub(super) blobs: Blobs,
    /// What each neighbour says it is on, be it only to publish.
    pub(super) profiles: HashMap<PeerId, Vec<TopicHint>>,
    /// Acknowledgements that wait for the end of this turn.
    pub(super) acks: HashMap<PeerId, Vec<Ack>>,
    /// When this node's own PeerId took its place, of late.
    pub(super) replaced: VecDeque<Instant>,
    pub(super) status: watch::Sender<Status>,
    pub(super) watched: watch::Sender<Vec<NeighbourAt>>,
    pub(super) events: broadcast::Sender<MeshEvent>,
    pub(super) span: tracing::Span,
}

impl MeshState {
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let topics = self.topics.values().filter_map(TopicState::next_deadline);
        let others = [
            self.neighbours.next_deadline(),
            self.liveness.next_deadline(),
            self.presence.next_deadline(),
            self.blobs.next_deadline(),
        ];
        topics.chain(others.into_iter().flatten()).min()
    }

    pub(super) fn hint(&self, topic: &TopicName) -> TopicHint {
        TopicHint::of(self.key.name(), topic)
    }

    /// The topics this node publishes on or subscribes to.
    pub(super) fn own_hints(&self) -> Vec<TopicHint> {
        self.topics.keys().map(|topic| self.hint(topic)).collect()
    }

    /// What frames of a topic are signed for.
    pub(super) fn context(&self, topic: &TopicName) -> Context {
        Context::new(self.key.name(), self.key.epoch(), topic)
    }

    /// A notice; it does not matter if nobody listens.
    pub(super) fn tell(&self, event: MeshEvent) {
        let _ = self.events.send(event);
    }

    /// Tells the handles who the neighbours are.
    pub(super) fn tell_neighbours(&self) {
        let at = |peer: PeerId| {
            (
                peer,
                self.reached.get(&peer).map(|(at, _)| at.clone()).into_iter().collect(),
            )
        };
        self.watched
            .send_replace(self.neighbours.neighbours().map(at).collect());
    }
}
