//! Errors of publishers and subscribers. Those of the swarm task are its own: `net/error.rs`.

use thiserror::Error;

use crate::api::PayloadError;
use crate::net::OpenError;

/// Why a record was not taken, or not yet handed on.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The payload is too large for a record.
    #[error("a record of {bytes} bytes is over the limit of {bytes_max}: split it, or share it as a blob")]
    RecordTooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// The key is too large.
    #[error("a key of {bytes} bytes is over the limit of {bytes_max}: use a shorter one, or a hash of it")]
    KeyTooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// The value could not be encoded.
    #[error("the value cannot be encoded: {0}")]
    Payload(#[from] PayloadError),
    /// The incarnation of this publisher could not be stored.
    #[error("cannot store the publisher's incarnation: {0}; free space or use another data directory")]
    Store(#[source] std::io::Error),
    /// The node is on as many topics of this mesh as a node may be.
    #[error("this node is on {topics_max} topics of this mesh already; leave one first")]
    TooManyTopics {
        /// The limit.
        topics_max: usize,
    },
    /// The record is not in a durable log.
    #[error("the record is not stored: there is no data directory, or it could not be written")]
    NotStored,
    /// `flush` waited long enough.
    #[error("{left} records are not yet stored, or not acknowledged by every neighbour that subscribed")]
    NotFlushed {
        /// How many.
        left: u64,
    },
    /// The mesh was left, or the node shut down.
    #[error("the mesh was left")]
    Closed,
}

impl From<OpenError> for PublishError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::TooManyTopics { topics_max } => PublishError::TooManyTopics { topics_max },
            OpenError::Store(error) => PublishError::Store(error),
            OpenError::Closed => PublishError::Closed,
        }
    }
}

/// Why [`Subscriber::next_record`](crate::Subscriber::next_record) has no record to give.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StreamError {
    /// Records are missing and could not be had.
    #[error("records {from} to {to} (exclusive) of {publisher} are missing")]
    Gap {
        /// Whose.
        publisher: libp2p::PeerId,
        /// The incarnation they belong to.
        incarnation: u64,
        /// The first missing one.
        from: u64,
        /// The one after the last missing one.
        to: u64,
    },
    /// This subscriber was too slow.
    #[error("this subscriber was too slow and missed {missed} records; read faster, or filter by publisher or key")]
    Lagged {
        /// How many.
        missed: u64,
    },
    /// A publisher contradicted itself; nothing more of this incarnation follows.
    #[error("{publisher} signed two things for one place, {sequence}; nothing more of this incarnation follows")]
    Fork {
        /// Whose.
        publisher: libp2p::PeerId,
        /// The incarnation that is frozen.
        incarnation: u64,
        /// Where the two part.
        sequence: u64,
    },
    /// A record is not of the topic's type.
    #[error("record {cursor} is not of this type: {source}")]
    Undecodable {
        /// Which.
        cursor: crate::types::Cursor,
        /// What the codec said.
        source: PayloadError,
    },
    /// The mesh was left, or the node shut down.
    #[error("the mesh was left")]
    Closed,
}
