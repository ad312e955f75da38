//! The handle of a joined mesh.

use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt};
use libp2p::PeerId;
use tokio::sync::oneshot;
use tokio_stream::wrappers::WatchStream;

use super::{MeshEvents, Payload, Topic};
use crate::core::neighbours::Status;
use crate::net::{Command, KeepError, KeepLink, MeshLink, NodeLink, TopicInfo};
use crate::store::LogLimits;
use crate::types::{BootstrapPeer, MeshName, Ticket, TicketError, TopicName};

/// A mesh this node has joined. Cheap to clone; when the last handle of it, its topics and services is dropped, the node
/// leaves.
#[derive(Clone, Debug)]
pub struct Mesh {
    pub(crate) node: Arc<NodeLink>,
    pub(crate) link: Arc<MeshLink>,
}

impl Mesh {
    pub(crate) fn new(node: Arc<NodeLink>, link: Arc<MeshLink>) -> Self {
        Self { node, link }
    }

    /// The mesh's name.
    #[must_use]
    pub fn name(&self) -> &MeshName {
        &self.link.name
    }

    /// Whether this node has met members, only refusals, or nobody.
    #[must_use]
    pub fn status(&self) -> Status {
        *self.link.status.borrow()
    }

    /// The status now and at every change, until the mesh is left. Cancel safe.
    pub fn status_changes(&self) -> impl Stream<Item = Status> + Send + Unpin + use<> {
        WatchStream::new(self.link.status.clone())
    }

    /// Waits until at least one member is a neighbour. Returns at once if one is; never, if none comes: use a deadline.
    ///
    /// # Cancel safety
    /// Changes nothing; may be dropped at any time.
    pub async fn joined(&self) {
        let mut changes = self.status_changes();
        while let Some(status) = changes.next().await {
            if matches!(status, Status::Joined { .. }) {
                return;
            }
        }
        std::future::pending().await
    }

    /// Members that are connected and admitted.
    #[must_use]
    pub fn neighbours(&self) -> Vec<PeerId> {
        self.link.neighbours.borrow().iter().map(|(peer, _)| *peer).collect()
    }

    /// What a newcomer needs to find this mesh: its name and up to three peers, this node first. Not the password.
    ///
    /// # Errors
    /// When a multiaddr that is announced or was dialled ends in another peer's id.
    pub fn ticket(&self) -> Result<Ticket, TicketError> {
        let own = BootstrapPeer {
            peer: self.node.id,
            multiaddrs: self.node.multiaddrs.borrow().clone(),
        };
        let neighbours = self.link.neighbours.borrow();
        let others = neighbours.iter().map(|(peer, multiaddrs)| BootstrapPeer {
            peer: *peer,
            multiaddrs: multiaddrs.clone(),
        });
        let peers = std::iter::once(own).chain(others).collect();
        Ticket::new(self.link.name.clone(), None, peers)
    }

    /// Events of the mesh from now on.
    #[must_use]
    pub fn events(&self) -> MeshEvents {
        MeshEvents::new(self.link.events.subscribe())
    }

    /// A topic of this mesh. Nothing is sent until something is published or subscribed.
    #[must_use]
    pub fn topic<T: Payload>(&self, name: TopicName) -> Topic<T> {
        Topic::new(self.clone(), name)
    }

    /// The topics of this mesh: those this node knows, and those its neighbours tell of within five seconds.
    ///
    /// # Cancel safety
    /// Changes nothing; may be dropped at any time.
    pub async fn topics(&self) -> Vec<TopicInfo> {
        let (reply, listed) = oneshot::channel();
        let slot = self.link.slot;
        // An error means that the mesh was left, and then it has no topics here.
        let _ = self.node.commands.send(Command::Topics { slot, reply }).await;
        listed.await.unwrap_or_default()
    }

    /// Keeps topics of this mesh: this node subscribes to them, fetches what others hold of them, stores all of it in its
    /// data directory and gives it to whoever asks. Ends when the keeper is dropped; what is stored stays.
    ///
    /// # Errors
    /// [`KeepError`].
    ///
    /// # Cancel safety
    /// Dropping the future keeps nothing.
    pub async fn keep(&self, keep: Keep) -> Result<Keeper, KeepError> {
        let (reply, kept) = oneshot::channel();
        let command = Command::Keep {
            slot: self.link.slot,
            topics: keep.topics.map(|topics| topics.into_iter().collect()),
            limits: LogLimits {
                age_us_max: u64::try_from(keep.retain.as_micros()).unwrap_or(u64::MAX),
                bytes_max: keep.bytes_max,
            },
            reply,
        };
        self.node.commands.send(command).await.map_err(|_| KeepError::Closed)?;
        let link = kept.await.map_err(|_| KeepError::Closed)??;
        Ok(Keeper {
            _mesh: self.clone(),
            link,
        })
    }

    /// Leaves the mesh: neighbours see it at once, all its topics end, connections stay for other meshes.
    ///
    /// # Cancel safety
    /// Dropped before it returns, the future may leave the mesh joined as long as handles of it live.
    pub async fn leave(self) {
        let (reply, left) = oneshot::channel();
        if self
            .node
            .commands
            .send(Command::Leave {
                slot: self.link.slot,
                reply,
            })
            .await
            .is_ok()
        {
            // An error means that the node is gone, and the mesh with it.
            let _ = left.await;
        }
    }
}

/// What a keeper stores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Only these topics; `None`: all there are, and all there will be.
    pub topics: Option<Vec<TopicName>>,
    /// How long records are stored.
    pub retain: Duration,
    /// How much the history of the mesh may take of the disk, in bytes; at least 64 MiB are used.
    pub bytes_max: u64,
}

impl Default for Keep {
    /// All topics, for 7 days, up to 2 GiB.
    fn default() -> Self {
        let limits = LogLimits::default();
        Self {
            topics: None,
            retain: Duration::from_micros(limits.age_us_max),
            bytes_max: limits.bytes_max,
        }
    }
}

/// A keeper at work: dropping it ends it.
#[derive(Debug)]
pub struct Keeper {
    _mesh: Mesh,
    link: Arc<KeepLink>,
}

impl Keeper {
    /// The topics that are kept.
    #[must_use]
    pub fn topics(&self) -> Vec<TopicName> {
        self.link.state.borrow().topics.clone()
    }

    /// The topics that are kept, now and whenever one is added, until the mesh is left. Cancel safe.
    pub fn topics_changes(&self) -> impl Stream<Item = Vec<TopicName>> + Send + Unpin + use<> {
        WatchStream::new(self.link.state.clone()).map(|state| state.topics)
    }

    /// Waits until what was before the keeper is fetched from whoever holds it, of all topics known so far.
    ///
    /// # Cancel safety
    /// Changes nothing; may be dropped at any time.
    pub async fn caught_up(&self) {
        // An error means that the mesh was left: there is nothing more to wait for.
        let _ = self.link.state.clone().wait_for(|state| state.fetching == 0).await;
    }
}
