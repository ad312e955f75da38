//! maille: publish/subscribe without a server, on libp2p.

pub mod types;
#[doc(hidden)]
pub mod core;
