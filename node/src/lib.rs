//! maille: publish/subscribe without a server, on libp2p.

#[doc(hidden)]
pub mod core;
pub mod types;
