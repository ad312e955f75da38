//! What connects handles to the swarm task: commands one way, bounded inboxes and watched states the other.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use libp2p::{Multiaddr, PeerId};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use super::Slot;
use super::blobs::FetchState;
use super::error::{JoinError, KeepError, OpenError, SubscribeError};
use super::event::{MeshEvent, NodeEvent};
use super::inlet::{Filter, SubscriptionLink};
use super::listing::TopicInfo;
use super::presence::PresenceLink;
use super::requests::{Opening, Room, Services};
use crate::core::admission::MeshKey;
use crate::core::neighbours::Status;
use crate::metrics::Counters;
use crate::store::{BlobStore, LogLimits};
use crate::types::{BlobId, Delivery, MeshName, ServiceName, Start, TopicName};

/// Commands that wait for the swarm task.
pub(crate) const COMMANDS_MAX: usize = 256;
/// Notices a slow reader may be behind before it misses some.
pub(crate) const EVENTS_MAX: usize = 256;
/// Records of one publisher that wait for the window.
pub(crate) const OUTGOING_MAX: usize = 512;

/// What a handle asks of the swarm task.
#[derive(Debug)]
pub(crate) enum Command {
    /// Join a mesh whose password is stretched; `weakness` if it is guessable.
    Join {
        key: Arc<MeshKey>,
        weakness: Option<f64>,
        reply: oneshot::Sender<Result<Arc<MeshLink>, JoinError>>,
    },
    /// Leave a mesh.
    Leave { slot: Slot, reply: oneshot::Sender<()> },
    /// Open, or find, the publisher of a topic.
    OpenPublisher {
        slot: Slot,
        topic: TopicName,
        content_type: &'static str,
        lifetime_ms: u32,
        reply: oneshot::Sender<Result<Arc<PublisherLink>, OpenError>>,
    },
    /// Subscribe to a topic.
    Subscribe {
        slot: Slot,
        topic: TopicName,
        filter: Filter,
        start: Start,
        delivery: Delivery,
        reply: oneshot::Sender<Result<SubscriptionLink, SubscribeError>>,
    },
    /// Store topics of a mesh for others; all, if none are named.
    Keep {
        slot: Slot,
        topics: Option<BTreeSet<TopicName>>,
        limits: LogLimits,
        reply: oneshot::Sender<Result<Arc<KeepLink>, KeepError>>,
    },
    /// Attend to a document that was opened.
    #[cfg(feature = "documents")]
    Attend {
        slot: Slot,
        opening: super::document::Opening,
    },
    /// Fetch a blob, or watch the fetch of it that is under way; nothing if as many are as may be.
    Fetch {
        slot: Slot,
        blob: BlobId,
        reply: oneshot::Sender<Option<watch::Receiver<FetchState>>>,
    },
    /// Ask the neighbours who holds all of a blob.
    Holders {
        slot: Slot,
        blob: BlobId,
        reply: oneshot::Sender<Vec<PeerId>>,
    },
    /// Give a frame as it travelled.
    FrameAt {
        slot: Slot,
        wanted: super::lockstep::FrameAt,
    },
    /// List the topics of a mesh.
    Topics {
        slot: Slot,
        reply: oneshot::Sender<Vec<TopicInfo>>,
    },
    /// Open a stream for a call to a member, which is met first if need be.
    OpenStream { slot: Slot, peer: PeerId, opening: Opening },
    /// Members to ask for a service.
    Servers {
        slot: Slot,
        service: ServiceName,
        reply: oneshot::Sender<Vec<PeerId>>,
    },
    /// Stop, after flushing.
    Shutdown { reply: oneshot::Sender<()> },
}

/// A node, as its handles see it.
#[derive(Debug)]
pub(crate) struct NodeLink {
    pub(crate) id: PeerId,
    pub(crate) commands: mpsc::Sender<Command>,
    /// With `/p2p`.
    pub(crate) multiaddrs: watch::Receiver<Vec<Multiaddr>>,
    pub(crate) events: broadcast::Sender<NodeEvent>,
    pub(crate) counters: Arc<Counters>,
    /// Requests of ours under way.
    pub(crate) calling: Room,
}

/// A neighbour and where it was reached.
pub(crate) type NeighbourAt = (PeerId, Vec<Multiaddr>);

/// A mesh, as its handles see it. The task holds it weakly: when the last handle is gone, it leaves.
#[derive(Debug)]
pub(crate) struct MeshLink {
    pub(crate) slot: Slot,
    pub(crate) name: MeshName,
    pub(crate) status: watch::Receiver<Status>,
    pub(crate) neighbours: watch::Receiver<Vec<NeighbourAt>>,
    pub(crate) presence: PresenceLink,
    pub(crate) events: broadcast::Sender<MeshEvent>,
    /// What this node offers.
    pub(crate) services: Arc<Services>,
    #[cfg(feature = "documents")]
    pub(super) documents: super::document::Documents,
    pub(super) leases: super::leases::Groups,
    pub(crate) blobs: Arc<BlobStore>,
}

/// A keeper, as its handle sees it. The task holds it weakly: when it is dropped, keeping ends.
#[derive(Debug)]
pub(crate) struct KeepLink {
    pub(crate) state: watch::Receiver<KeepState>,
}

/// What a keeper keeps.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeepState {
    pub(crate) topics: Vec<TopicName>,
    /// Topics of which it still fetches what was before it.
    pub(crate) fetching: usize,
}

/// One record on its way out.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) key: Option<Bytes>,
    pub(crate) payload: Bytes,
}

/// How far a publisher's stream is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PublisherState {
    /// Neighbours on the topic.
    pub(crate) subscribed: usize,
    /// Records that left.
    pub(crate) sent: u64,
    /// Records that every subscribed neighbour acknowledged.
    pub(crate) acknowledged: u64,
    /// Neighbours that acknowledged all that left.
    pub(crate) acknowledged_by: usize,
    /// What each neighbour acknowledged.
    pub(crate) acknowledgements: Arc<[Range<u64>]>,
    /// How far it is stored; `None` where nothing is.
    pub(crate) stored: Option<Stored>,
}

/// What of a publisher's run is in the node's durable log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stored {
    /// All below it, but for what is lost.
    pub(crate) next: u64,
    /// What could not be stored.
    pub(crate) lost: Arc<[Range<u64>]>,
}

/// Ranges of records that could not be stored and are told apart; what lies between more of them counts as lost, too.
const LOST_MAX: usize = 64;

impl Stored {
    /// These became stored, or could not be.
    pub(crate) fn note(&mut self, sequences: &Range<u64>, is_stored: bool) {
        self.next = self.next.max(sequences.end);
        if is_stored || sequences.is_empty() {
            return;
        }
        let mut lost = self.lost.to_vec();
        match lost.last_mut() {
            Some(last) if last.end == sequences.start => last.end = sequences.end,
            _ => lost.push(sequences.clone()),
        }
        if lost.len() > LOST_MAX {
            let first = lost.remove(0);
            lost[0].start = first.start;
        }
        self.lost = lost.into();
    }

    pub(crate) fn is_lost(&self, sequence: u64) -> bool {
        self.lost.iter().any(|lost| lost.contains(&sequence))
    }
}

/// A publisher, as its handles see it.
#[derive(Debug)]
pub(crate) struct PublisherLink {
    pub(crate) incarnation: u64,
    pub(crate) state: watch::Receiver<PublisherState>,
    queue: mpsc::Sender<Outgoing>,
    /// Taken together with a place in the queue, so that numbers and places agree.
    next_sequence: Mutex<u64>,
}

impl PublisherLink {
    pub(crate) fn new(incarnation: u64, state: watch::Receiver<PublisherState>, queue: mpsc::Sender<Outgoing>) -> Self {
        Self {
            incarnation,
            state,
            queue,
            next_sequence: Mutex::new(0),
        }
    }

    /// Waits for room, then gives the record its sequence number and its place. Nothing if the stream is closed.
    pub(crate) async fn push(&self, record: Outgoing) -> Option<u64> {
        let place = self.queue.reserve().await.ok()?;
        // The number is written in one step: a poisoned lock still holds a true one.
        let mut next = self.next_sequence.lock().unwrap_or_else(PoisonError::into_inner);
        let sequence = *next;
        *next += 1;
        place.send(record);
        Some(sequence)
    }

    /// Records that have a sequence number.
    pub(crate) fn published(&self) -> u64 {
        *self.next_sequence.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
