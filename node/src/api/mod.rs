//! The handles an application holds: cheap to clone, `Send + Sync`, and nothing but a door to the swarm task. No logic.

mod blob_error;
mod blobs;
mod builder;
mod credential;
#[cfg(feature = "documents")]
mod document;
mod error;
mod event;
#[cfg(feature = "documents")]
mod follower;
mod leases;
mod lockstep;
mod members;
mod mesh;
mod node;
mod payload;
mod publisher;
mod request;
mod service;
mod subscriber;
mod topic;

pub use blob_error::{FetchError, ShareError};
pub use blobs::{Fetch, FetchProgress};
pub use builder::NodeBuilder;
pub use credential::Credential;
#[cfg(feature = "documents")]
pub use document::{Document, DocumentError};
pub use error::{PublishError, StreamError};
pub use event::{Event, MeshEvents, NodeEvents, Received};
#[cfg(feature = "documents")]
pub use follower::Follower;
pub use leases::{AcquireError, Lease, Leases, LeasesError};
pub use lockstep::{InputError, Lockstep, LockstepOptions};
pub use mesh::{Keep, Keeper, Mesh};
pub use node::Node;
#[cfg(feature = "serde")]
pub use payload::Json;
pub use payload::{Payload, PayloadError};
pub use publisher::{Flushed, Publisher, Receipt};
pub use request::{Request, RequestError};
pub use service::{Caller, Refusal, Serve, ServeError, Service};
pub use subscriber::{SubscribeBuilder, Subscriber};
pub use topic::Topic;

#[cfg(feature = "test-util")]
pub use crate::net::{ByteStream, Cable};
pub use crate::net::{
    JoinError, KeepError, LockstepError, LockstepEvent, MemberInfo, Members, MeshEvent, NodeEvent, PublisherInfo,
    SnapshotWanted, SpawnError, SubscribeError, TopicInfo,
};
