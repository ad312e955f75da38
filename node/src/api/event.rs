//! What a subscriber hears, and the streams of what happens in a mesh and to a node.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::SystemTime;

use bytes::Bytes;
use futures::Stream;
use libp2p::PeerId;
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;

use crate::net::{MeshEvent, NodeEvent};
use crate::types::Cursor;

/// What a subscriber hears.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<T> {
    /// A record.
    Record(Received<T>),
    /// Records that are missing and could not be had. What follows goes on after them.
    Gap {
        /// Whose.
        publisher: PeerId,
        /// The incarnation they belong to.
        incarnation: u64,
        /// The first missing one.
        from: u64,
        /// The one after the last missing one.
        to: u64,
    },
    /// This subscriber was too slow for its bounded inbox.
    Lagged {
        /// Events that were dropped.
        missed: u64,
    },
    /// A publisher began a new incarnation; its sequence numbers start at 0 again.
    Restarted {
        /// Whose.
        publisher: PeerId,
        /// The new incarnation.
        incarnation: u64,
    },
    /// A publisher signed two things that cannot both be true: two contents for one sequence number, or two pasts. Nothing
    /// more of this incarnation is delivered here or anywhere else.
    Fork {
        /// Whose.
        publisher: PeerId,
        /// The incarnation that is frozen.
        incarnation: u64,
        /// Where the two part.
        sequence: u64,
        /// The frame that came first, as it travelled, if it is still held. Its records were delivered.
        first: Option<Bytes>,
        /// The frame that contradicts it, as it travelled. Its records are not delivered.
        second: Bytes,
    },
    /// A publisher is not heard any more: it does not even say that it has nothing to say.
    Silent {
        /// Whose.
        publisher: PeerId,
        /// When it was heard last, by this node's clock.
        since: SystemTime,
    },
    /// A publisher that had been silent is heard again.
    Resumed {
        /// Whose.
        publisher: PeerId,
    },
    /// Nobody could be asked about the past but this node itself. [`CaughtUp`](Self::CaughtUp) follows all the same.
    Unanswered,
    /// All of the past that was asked for, and could be had, has been delivered; what follows is live.
    CaughtUp,
    /// A record is not of the topic's type.
    Undecodable {
        /// Which.
        cursor: Cursor,
        /// What the codec said.
        error: crate::PayloadError,
    },
}

/// A record and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Received<T> {
    /// The payload, decoded.
    pub value: T,
    /// The key, if it was published with one.
    pub key: Option<Bytes>,
    /// Who published it: the holder of the key that signed it.
    pub author: PeerId,
    /// The neighbour that handed it to this node; often not the author.
    pub delivered_by: PeerId,
    /// Its place in the author's stream.
    pub cursor: Cursor,
    /// When the author sent it, by the author's clock.
    pub sent_at: SystemTime,
    /// When it arrived here, by this node's clock.
    pub received_at: SystemTime,
}

macro_rules! event_stream {
    ($(#[$doc:meta])* $name:ident, $item:ty) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name(BroadcastStream<$item>);

        impl $name {
            pub(crate) fn new(receiver: broadcast::Receiver<$item>) -> Self {
                Self(BroadcastStream::new(receiver))
            }
        }

        impl Stream for $name {
            type Item = $item;

            fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<$item>> {
                loop {
                    match std::task::ready!(Pin::new(&mut self.0).poll_next(cx)) {
                        Some(Ok(event)) => return Poll::Ready(Some(event)),
                        // These are notices about a state that can be asked for; the newest ones matter.
                        Some(Err(_lagged)) => {}
                        None => return Poll::Ready(None),
                    }
                }
            }
        }
    };
}

event_stream!(
    /// Events of a mesh from now on; a reader that is slow misses the oldest. Cancel safe.
    MeshEvents,
    MeshEvent
);
event_stream!(
    /// Events of a node from now on; a reader that is slow misses the oldest. Cancel safe.
    NodeEvents,
    NodeEvent
);
