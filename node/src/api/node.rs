//! The handle of a node.

use std::path::Path;
use std::sync::Arc;

use libp2p::{Multiaddr, PeerId};
use maille_proto::SESSION_BYTES;
use rand::RngExt;
use tokio::sync::oneshot;

use super::{Credential, JoinError, Mesh, NodeBuilder, NodeEvents, SpawnError};
use crate::core::admission::MeshKey;
use crate::metrics::Metrics;
use crate::net::{Command, NodeLink};
use crate::store::{DataDir, DataDirError};
use crate::types::MeshName;

/// The epoch of a mesh without a manifest.
const EPOCH: u64 = 0;

/// One running libp2p peer: one identity, one swarm, any number of meshes.
///
/// Cheap to clone. When the last handle of a node and of its meshes, topics, publishers and subscribers is dropped, the
/// node stops; [`shutdown`](Node::shutdown) also waits for what was published to be acknowledged.
#[derive(Clone, Debug)]
pub struct Node {
    link: Arc<NodeLink>,
}

impl Node {
    /// Starts to describe a node.
    pub fn builder() -> NodeBuilder {
        NodeBuilder::new()
    }

    /// Who a node with this data directory is. Creates the directory and the identity if they are missing.
    ///
    /// # Errors
    /// [`SpawnError::DataDir`] and [`SpawnError::Identity`]. A node that has the directory open is no hindrance.
    pub fn identity_in(data_dir: impl AsRef<Path>) -> Result<PeerId, SpawnError> {
        let identity = match DataDir::open(data_dir.as_ref()) {
            Ok(data_dir) => data_dir.identity()?,
            Err(in_use @ DataDirError::InUse { .. }) => match DataDir::identity_of_other(data_dir.as_ref())? {
                Some(identity) => identity,
                None => return Err(in_use.into()),
            },
            Err(error) => return Err(error.into()),
        };
        Ok(identity.public().to_peer_id())
    }

    pub(crate) fn new(link: Arc<NodeLink>) -> Self {
        Self { link }
    }

    /// Who this node is: the hash of its public key.
    #[must_use]
    pub fn id(&self) -> PeerId {
        self.link.id
    }

    /// Where this node can be reached: what it listens on and announces, each with `/p2p/<peer id>`.
    #[must_use]
    pub fn multiaddrs(&self) -> Vec<Multiaddr> {
        self.link.multiaddrs.borrow().clone()
    }

    /// Joins a mesh.
    ///
    /// Returns once the password is stretched; being alone is a state, not an error: see [`Mesh::status`].
    ///
    /// # Errors
    /// [`JoinError::WeakPassword`] when founding, [`JoinError::AlreadyJoined`], [`JoinError::NodeClosed`].
    ///
    /// # Cancel safety
    /// Dropping the future before it returns leaves the mesh unjoined.
    pub async fn join(&self, name: MeshName, credential: Credential) -> Result<Mesh, JoinError> {
        let weakness = credential.weakness();
        if let Some(guesses_log2) = weakness
            && credential.refuses_weak()
        {
            return Err(JoinError::WeakPassword { guesses_log2 });
        }
        let secret = credential.secret(&name).await?;
        let key = Arc::new(MeshKey::new(name, EPOCH, secret, session()));
        let (reply, joined) = oneshot::channel();
        let command = Command::Join { key, weakness, reply };
        self.link
            .commands
            .send(command)
            .await
            .map_err(|_| JoinError::NodeClosed)?;
        let mesh = joined.await.map_err(|_| JoinError::NodeClosed)??;
        Ok(Mesh::new(self.link.clone(), mesh))
    }

    /// Events of the node from now on.
    #[must_use]
    pub fn events(&self) -> NodeEvents {
        NodeEvents::new(self.link.events.subscribe())
    }

    /// All counters, as they are now.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        self.link.counters.snapshot()
    }

    /// Flushes every publisher (for at most 5 s), leaves every mesh, and closes every connection.
    ///
    /// # Cancel safety
    /// Dropped before it returns, the future may leave the node running as long as handles of it live.
    pub async fn shutdown(&self) {
        let (reply, done) = oneshot::channel();
        if self.link.commands.send(Command::Shutdown { reply }).await.is_ok() {
            // An error means that the node is gone, which is what was asked for.
            let _ = done.await;
        }
    }
}

/// Names this join: the time first, so that of two processes with one identity the later is known, then chance.
fn session() -> [u8; SESSION_BYTES] {
    let mut session = [0; SESSION_BYTES];
    let (time, chance) = session.split_at_mut(SESSION_BYTES / 2);
    time.copy_from_slice(&crate::net::unix_ms().to_be_bytes());
    rand::rng().fill(chance);
    session
}
