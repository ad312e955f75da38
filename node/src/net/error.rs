//! Why the swarm task cannot do what a handle asked: one error type an operation. `api/` shows them to applications.

use libp2p::Multiaddr;
use thiserror::Error;

use crate::core::admission::StretchError;
use crate::store::{DataDirError, IdentityError};
use crate::types::{MeshName, MultiaddrError};

/// Why a node could not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// The data directory cannot be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// A multiaddr cannot be listened on.
    #[error("cannot listen on {multiaddr}: {source}; choose another port, or 0 for any free one")]
    Listen {
        /// What was asked for.
        multiaddr: Multiaddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// A bootstrap multiaddr does not say which peer is meant.
    #[error(transparent)]
    Bootstrap(#[from] MultiaddrError),
    /// The data directory's identity cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The identity is not an Ed25519 key, which frames are signed with.
    #[error("the identity is not an Ed25519 key; create one with Keypair::generate_ed25519")]
    NotEd25519,
    /// The system refused something a transport needs.
    #[error("cannot set up the network: {0}")]
    Transport(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Why a mesh could not be joined.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum JoinError {
    /// A mesh is being founded with a password that can be guessed.
    #[error(
        "this password can be guessed in about 2^{guesses_log2:.0} tries, and founding a mesh asks for 2^40: \
         take a generated passphrase, or allow weak passwords explicitly"
    )]
    WeakPassword {
        /// Binary logarithm of the guesses an attacker needs.
        guesses_log2: f64,
    },
    /// The node is in this mesh already.
    #[error("this node has joined {mesh} already; use that handle, or leave first")]
    AlreadyJoined {
        /// The mesh.
        mesh: MeshName,
    },
    /// The password could not be stretched.
    #[error(transparent)]
    Stretch(#[from] StretchError),
    /// The node was shut down.
    #[error("the node was shut down")]
    NodeClosed,
}

/// Why a topic could not be subscribed to.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// The node is on as many topics of this mesh as a node may be.
    #[error("this node is on {topics_max} topics of this mesh already; leave one first")]
    TooManyTopics {
        /// The limit.
        topics_max: usize,
    },
    /// The mesh was left, or the node shut down.
    #[error("the mesh was left")]
    Closed,
}

/// Why a topic cannot be published on.
#[derive(Debug)]
pub(crate) enum OpenError {
    /// The node is on as many topics of this mesh as a node may be.
    TooManyTopics { topics_max: usize },
    /// The incarnation of this publisher could not be stored.
    Store(std::io::Error),
    /// The mesh was left.
    Closed,
}

/// Why a mesh's topics are not kept.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KeepError {
    /// There is nowhere to store anything.
    #[error("a keeper needs a data directory: give the node one")]
    NoDataDir,
    /// This node keeps the mesh already.
    #[error("this node keeps this mesh already; drop that keeper first")]
    AlreadyKept,
    /// Its log was opened with other limits, by a publisher of this node.
    #[error("the history of this mesh is open with other limits; keep before you publish")]
    OtherLimits,
    /// The mesh was left, or the node shut down.
    #[error("the mesh was left")]
    Closed,
}
