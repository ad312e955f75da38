//! maille: publish/subscribe without a server, on libp2p. Name a mesh, share its password, publish.
//!
//! Every subscriber also forwards, so a publisher's upload stays flat while its audience grows.
//!
//! ```
//! use maille::{Credential, Node, Password};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let on_loopback = || Node::builder().listen(["/ip4/127.0.0.1/tcp/0".parse().unwrap()]).mdns(false).run_file(false);
//! let alice = on_loopback().spawn().await?;
//! let bob = on_loopback().bootstrap(alice.multiaddrs()).spawn().await?;
//!
//! let credential = Credential::password(Password::parse("sulfur-unpaved-cosmic-jogging-evolve")?);
//! let feed = alice.join("market.example".parse()?, credential.clone()).await?.topic::<String>("news".parse()?);
//! let same = bob.join("market.example".parse()?, credential).await?.topic::<String>("news".parse()?);
//!
//! let mut reader = same.subscribe().start().await?;
//! let publisher = feed.publisher().await?;
//! publisher.ready(1).await?;
//! publisher.publish(&"hello".to_owned()).await?;
//! let record = reader.next_record().await?;
//! assert_eq!((record.value.as_str(), record.author), ("hello", alice.id()));
//! # Ok(())
//! # }
//! ```

mod api;
mod metrics;
mod net;

#[doc(hidden)]
pub mod core;
#[doc(hidden)]
pub mod store;
pub mod types;

pub use libp2p::identity::Keypair;
pub use libp2p::{Multiaddr, PeerId};

#[cfg(feature = "serde")]
pub use crate::api::Json;
pub use crate::api::{
    AcquireError, Caller, Credential, Event, Fetch, FetchError, FetchProgress, Flushed, InputError, JoinError, Keep,
    KeepError, Keeper, Lease, Leases, LeasesError, Lockstep, LockstepError, LockstepEvent, LockstepOptions, MemberInfo,
    Members, Mesh, MeshEvent, MeshEvents, Node, NodeBuilder, NodeEvent, NodeEvents, Payload, PayloadError,
    PublishError, Publisher, PublisherInfo, Receipt, Received, Refusal, Request, RequestError, Serve, ServeError,
    Service, ShareError, SnapshotWanted, SpawnError, StreamError, SubscribeBuilder, SubscribeError, Subscriber, Topic,
    TopicInfo,
};
#[cfg(feature = "test-util")]
pub use crate::api::{ByteStream, Cable};
#[cfg(feature = "documents")]
pub use crate::api::{Document, DocumentError, Follower};
#[cfg(feature = "documents")]
pub use crate::core::document::{Changes, Contents, Edit, EditError, Item, StateHash, Value};
pub use crate::core::leases::{Held, Lost, Token};
pub use crate::core::lockstep::{Out as LockstepOut, Role as LockstepRole, Step};
pub use crate::core::neighbours::Status;
pub use crate::core::quorum::{Quorum, Trust, Verdict};
pub use crate::metrics::Metrics;
pub use crate::store::{BlobInfo, BlobLimits, BlobStoreError, DataDirError, IdentityError};
pub use crate::types::{
    Address, AddressError, BlobId, BlobIdError, BootstrapPeer, Cursor, CursorError, Delivery, MeshName, MultiaddrError,
    NameError, Password, PasswordError, PeerMultiaddr, Position, PositionError, Profile, ProfileError, ServiceName,
    Start, Strength, Ticket, TicketError, TicketParseError, TopicName,
};
