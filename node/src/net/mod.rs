//! libp2p: the transports, the gate, and the one task that owns the swarm. It performs what the cores decide.

mod announce;
mod approach;
pub(crate) mod aside;
mod behaviour;
mod blobs;
#[cfg(feature = "test-util")]
mod cable;
mod closing;
mod commands;
#[cfg(feature = "documents")]
mod document;
mod durable;
mod error;
mod event;
mod gate;
mod gossip;
mod history;
mod inlet;
mod inner;
mod keeping;
mod leases;
mod link;
mod listing;
mod liveness;
mod lockstep;
mod member;
mod mesh;
mod neighbourhood;
mod on_blobs;
mod on_catchup;
mod on_gate;
mod on_gossip;
mod on_kad;
mod on_swarm;
mod outgoing;
mod presence;
mod provider_store;
mod requests;
mod sources;
mod start;
mod stop;
mod streams;
mod task;
mod topic;
mod transport;
#[cfg(feature = "test-util")]
mod wire;

use std::time::{SystemTime, UNIX_EPOCH};

pub(crate) use blobs::FetchState;
#[cfg(feature = "test-util")]
pub use cable::Cable;
#[cfg(feature = "test-util")]
pub(crate) use cable::CableEnd;
#[cfg(feature = "documents")]
pub(crate) use document::{DocumentLink, OpenDocumentError, open_document};
pub(crate) use error::OpenError;
pub use error::{JoinError, KeepError, SpawnError, SubscribeError};
pub use event::{MeshEvent, NodeEvent};
pub(crate) use gate::Slot;
pub(crate) use inlet::{Filter, Incoming, Notice, SubscriptionLink};
pub(crate) use leases::{GroupLink, Job, LeaseLink, OpenGroupError, open_group};
pub(crate) use link::{Command, KeepLink, MeshLink, NodeLink, Outgoing, PublisherLink, PublisherState};
pub use listing::{PublisherInfo, TopicInfo};
pub use lockstep::{LockstepError, LockstepEvent, SnapshotWanted};
pub(crate) use lockstep::{LockstepLink, open_lockstep};
pub use presence::{MemberInfo, Members};
pub(crate) use requests::{AddError, CallError, Caller, Handler, ServiceKey, TIME_MAX, Verdict};
pub(crate) use start::{Setup, start};
#[cfg(feature = "test-util")]
pub use wire::ByteStream;
#[cfg(feature = "test-util")]
pub(crate) use wire::Wire;

/// The clock, in milliseconds since the Unix epoch.
pub(crate) fn unix_ms() -> u64 {
    unix_us() / 1_000
}

/// The clock, in microseconds since the Unix epoch; 0 for a clock before it.
pub(crate) fn unix_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
