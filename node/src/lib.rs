//! maille: publish/subscribe without a server, on libp2p.

pub mod types;
mod core;
