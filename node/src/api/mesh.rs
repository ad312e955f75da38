//! The handle of a joined mesh.

use std::sync::Arc;

use futures::{Stream, StreamExt};
use libp2p::PeerId;
use tokio::sync::oneshot;
use tokio_stream::wrappers::WatchStream;

use super::{MeshEvents, Payload, Topic};
use crate::core::neighbours::Status;
use crate::net::{Command, MeshLink, NodeLink};
use crate::types::{BootstrapPeer, MeshName, Ticket, TicketError, TopicName};

/// A mesh this node has joined. Cheap to clone; when the last handle of it and of its topics is dropped, the node leaves.
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
