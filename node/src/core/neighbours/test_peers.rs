//! Peers 1, 2, 3 … for tests.

use bytes::Bytes;
use libp2p::{Multiaddr, PeerId};

use super::MemberRecord;
use crate::types::TopicHint;

/// The peer with the number `n`: an identity multihash of eight bytes.
pub(crate) fn peer(n: u64) -> PeerId {
    let mut bytes = vec![0, 8];
    bytes.extend(n.to_be_bytes());
    PeerId::from_bytes(&bytes).unwrap()
}

pub(crate) fn number(peer: &PeerId) -> u64 {
    u64::from_be_bytes(peer.to_bytes()[2..].try_into().unwrap())
}

pub(crate) fn multiaddr(n: u64) -> Multiaddr {
    format!("/memory/{}", n + 1).parse().unwrap()
}

pub(crate) fn record(n: u64, topics: &[u64]) -> MemberRecord {
    MemberRecord {
        peer: peer(n),
        sequence: 1,
        multiaddrs: vec![multiaddr(n)],
        topics: topics.iter().copied().map(TopicHint).collect(),
        envelope: Bytes::copy_from_slice(&n.to_be_bytes()),
    }
}
