//! What happens in a mesh and to a node, as the swarm task tells it. `api/` shows it to applications.

use libp2p::{Multiaddr, PeerId};

use crate::core::neighbours::Status;
use crate::types::{BlobId, TopicName};

/// What happens to a mesh.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum MeshEvent {
    /// A peer was admitted, by us or we by it.
    NeighbourJoined {
        /// Who.
        peer: PeerId,
    },
    /// A neighbour left, or was lost.
    NeighbourLeft {
        /// Who.
        peer: PeerId,
    },
    /// A member is there, neighbour or not: it joined, or this node learned of it.
    Joined {
        /// Who.
        peer: PeerId,
    },
    /// A member said that it left.
    Left {
        /// Who.
        peer: PeerId,
    },
    /// A member is gone without a word: it crashed, froze or was cut off. If it was not, it joins again.
    Failed {
        /// Who.
        peer: PeerId,
    },
    /// The mesh's status changed.
    Status(Status),
    /// The mesh was joined with a password that can be guessed.
    WeakPassword {
        /// Binary logarithm of the guesses an attacker needs.
        guesses_log2: f64,
    },
    /// Records were not stored in the data directory; they were published and forwarded all the same.
    NotStored {
        /// Why, in words.
        reason: String,
    },
    /// A member answered wrongly when it was asked about the past: it hides what others prove, or claims what it does not
    /// have. It is not asked again.
    Unreliable {
        /// Who.
        peer: PeerId,
        /// What it did, in words.
        why: &'static str,
    },
    /// A member that was asked about the past told of less than others gave, of a time in which it had something: it hides
    /// this, lost it, or has room for little. What it hid was fetched from others; nothing is held against it.
    HoldsLess {
        /// Who.
        peer: PeerId,
        /// Of which topic.
        topic: TopicName,
        /// A publisher of whom it told less.
        publisher: PeerId,
    },
    /// A member published on a document's topic what is no part of a document. It was left out.
    DocumentRefused {
        /// Who.
        peer: PeerId,
        /// The document's topic.
        topic: TopicName,
        /// What is wrong with it, in words.
        reason: String,
    },
    /// A member gave bytes of a blob that are not the blob's, or an answer that nobody honest gives. Nothing of it was kept; it
    /// is asked for no blob again.
    BadHolder {
        /// Who.
        peer: PeerId,
        /// Of which blob.
        blob: BlobId,
    },
    /// Another process uses this node's identity in this mesh; this one, the later, has left it.
    IdentityInUse,
}

/// What happens to a node.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum NodeEvent {
    /// The node listens on one more multiaddr.
    Listening {
        /// With `/p2p/<peer id>`.
        multiaddr: Multiaddr,
    },
    /// A multiaddr is gone.
    NotListening {
        /// With `/p2p/<peer id>`.
        multiaddr: Multiaddr,
    },
    /// A bootstrap peer could not be reached; it is tried again with back-off, for ever.
    BootstrapUnreachable {
        /// The peer, if its multiaddr named it.
        peer: Option<PeerId>,
        /// What went wrong, in words.
        reason: String,
    },
}
