//! Describes a node before it starts.

use std::path::PathBuf;
use std::time::Duration;

use libp2p::Multiaddr;
use libp2p::identity::Keypair;

use super::{Node, SpawnError};
use crate::net::{Setup, start};
use crate::store::{BlobLimits, DataDir};
use crate::types::{PeerMultiaddr, Ticket};

/// gossipsub's own pace.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// Describes a node; [`spawn`](Self::spawn) starts it.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let node = maille::Node::builder()
///     .listen(["/ip4/127.0.0.1/tcp/0".parse()?])
///     .mdns(false)
///     .run_file(false)
///     .spawn()
///     .await?;
/// assert_eq!(node.multiaddrs().len(), 1);
/// node.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use]
pub struct NodeBuilder {
    identity: Option<Keypair>,
    data_dir: Option<PathBuf>,
    listen: Option<Vec<Multiaddr>>,
    announce: Vec<Multiaddr>,
    bootstrap: Vec<Multiaddr>,
    tickets: Vec<Ticket>,
    mdns: bool,
    run_file: bool,
    helper: bool,
    heartbeat: Duration,
    blob_limits: BlobLimits,
    #[cfg(feature = "test-util")]
    cable: Option<crate::net::CableEnd>,
    #[cfg(feature = "test-util")]
    wire: Option<crate::net::Wire>,
}

impl NodeBuilder {
    pub(crate) fn new() -> Self {
        Self {
            identity: None,
            data_dir: None,
            listen: None,
            announce: Vec::new(),
            bootstrap: Vec::new(),
            tickets: Vec::new(),
            mdns: true,
            run_file: true,
            helper: false,
            heartbeat: HEARTBEAT,
            blob_limits: BlobLimits::default(),
            #[cfg(feature = "test-util")]
            cable: None,
            #[cfg(feature = "test-util")]
            wire: None,
        }
    }

    /// Who the node is: an Ed25519 key. Without it, the data directory's; without that, a new one.
    pub fn identity(mut self, identity: Keypair) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Keeps identity, ports, members met and incarnations in a directory, which is locked while the node lives.
    pub fn data_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.data_dir = Some(path.into());
        self
    }

    /// Where to listen, instead of any free port of TCP and QUIC on all interfaces. Called again, it adds.
    pub fn listen(mut self, multiaddrs: impl IntoIterator<Item = Multiaddr>) -> Self {
        self.listen.get_or_insert_with(Vec::new).extend(multiaddrs);
        self
    }

    /// Multiaddrs under which others reach this node although it does not listen on them, such as a forwarded port's.
    pub fn announce(mut self, multiaddrs: impl IntoIterator<Item = Multiaddr>) -> Self {
        self.announce.extend(multiaddrs);
        self
    }

    /// Peers to begin with: multiaddrs that end in `/p2p/<peer id>`, or `/dnsaddr/…`. They are tried for ever.
    pub fn bootstrap(mut self, multiaddrs: impl IntoIterator<Item = Multiaddr>) -> Self {
        self.bootstrap.extend(multiaddrs);
        self
    }

    /// A ticket's peers, to begin with in its mesh.
    pub fn ticket(mut self, ticket: Ticket) -> Self {
        self.tickets.push(ticket);
        self
    }

    /// How much of the blobs of each mesh this node holds; what is not pinned goes for what is new.
    pub fn blob_limits(mut self, limits: BlobLimits) -> Self {
        self.blob_limits = limits;
        self
    }

    /// Whether to meet others on the local network by multicast DNS (RFC 6762). On by default.
    pub fn mdns(mut self, on: bool) -> Self {
        self.mdns = on;
        self
    }

    /// Whether to meet this user's other nodes on this machine through a file in the runtime directory. On by default.
    pub fn run_file(mut self, on: bool) -> Self {
        self.run_file = on;
        self
    }

    /// Whether the node is there to help others meet: it always serves Kademlia, and for more strangers at once.
    pub fn helper(mut self, on: bool) -> Self {
        self.helper = on;
        self
    }

    /// gossipsub's heartbeat, shorter for an application's own tests.
    #[cfg(feature = "test-util")]
    pub fn heartbeat(mut self, heartbeat: Duration) -> Self {
        self.heartbeat = heartbeat;
        self
    }

    /// Puts the node at an end of a cable: its connections over memory to multiaddrs that are beyond run over it. Nodes of
    /// both parts need it, since a connection obeys the node that dialled.
    #[cfg(feature = "test-util")]
    pub fn cable(
        mut self,
        cable: &crate::Cable,
        is_beyond: impl Fn(&Multiaddr) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.cable = Some(crate::net::CableEnd::new(cable, is_beyond));
        self
    }

    /// Has every connection over memory that this node dials run through something else, such as a slow network; it is told
    /// the multiaddr that was dialled. Both ways go through what it returns.
    #[cfg(feature = "test-util")]
    pub fn wire(
        mut self,
        through: impl Fn(Box<dyn crate::ByteStream>, &Multiaddr) -> Box<dyn crate::ByteStream> + Send + Sync + 'static,
    ) -> Self {
        self.wire = Some(crate::net::Wire::new(through));
        self
    }

    /// Starts the node. Returns when it listens.
    ///
    /// # Errors
    /// See [`SpawnError`].
    ///
    /// # Cancel safety
    /// Dropping the future leaves no node behind.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn spawn(self) -> Result<Node, SpawnError> {
        let bootstrap: Result<Vec<PeerMultiaddr>, _> =
            self.bootstrap.into_iter().map(PeerMultiaddr::try_from).collect();
        let data_dir = self.data_dir.map(|path| DataDir::open(&path)).transpose()?;
        let key = match (self.identity, &data_dir) {
            (Some(key), _) => key,
            (None, Some(data_dir)) => data_dir.identity()?,
            (None, None) => Keypair::generate_ed25519(),
        };
        let mut tickets = Vec::new();
        let mut bootstrap = bootstrap?;
        for ticket in self.tickets {
            for peer in ticket.bootstrap() {
                tickets.push((ticket.mesh().clone(), peer.clone()));
                // A ticket's peers help to meet others even where they are not members.
                let at = peer
                    .multiaddrs
                    .first()
                    .cloned()
                    .and_then(|at| PeerMultiaddr::new(at, peer.peer).ok());
                bootstrap.extend(at);
            }
        }
        let setup = Setup {
            key,
            data_dir,
            listen: self.listen,
            announce: self.announce,
            bootstrap,
            tickets,
            mdns: self.mdns,
            run_file: self.run_file,
            helper: self.helper,
            heartbeat: self.heartbeat,
            blob_limits: self.blob_limits,
            #[cfg(feature = "test-util")]
            cable: self.cable,
            #[cfg(feature = "test-util")]
            wire: self.wire,
        };
        start(setup).await.map(Node::new)
    }
}
