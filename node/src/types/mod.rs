//! The words of maille as types: parsed once, never invalid afterwards. Nothing here does I/O.

mod address;
mod blob_id;
mod chunks;
mod cursor;
mod delivery;
mod mesh_name;
mod multiaddrs;
mod name_error;
mod outline;
mod passphrase;
mod password;
mod position;
mod prefix;
mod profile;
mod rendezvous;
mod selector;
mod service_name;
mod start;
mod ticket;
mod ticket_error;
mod topic_name;

pub(crate) use self::start::unix_us;
pub use self::{
    address::{Address, AddressError},
    blob_id::{BlobId, BlobIdError},
    chunks::{ChunkSet, Claim},
    cursor::{Cursor, CursorError},
    delivery::Delivery,
    mesh_name::MeshName,
    multiaddrs::{MultiaddrError, PeerMultiaddr},
    name_error::{NameError, NameKind},
    outline::{Outline, OutlineBuilder},
    password::{Password, PasswordError, STRENGTH_GUESSES_LOG2_MIN, Strength},
    position::{Position, PositionError},
    prefix::{IpPrefix, WidePrefix, is_globally_routable, is_loopback, is_private},
    profile::{Profile, ProfileError},
    rendezvous::{TopicHint, mesh_key, topic_key},
    selector::Selector,
    service_name::ServiceName,
    start::Start,
    ticket::{BootstrapPeer, Ticket},
    ticket_error::{TicketError, TicketParseError},
    topic_name::TopicName,
};
