//! Tests of catch-up across its parts.

use libp2p::{PeerId, multihash::Multihash};

/// A peer that is the same in every run.
pub(super) fn peer(number: u32) -> PeerId {
    let mut digest = [0; 32];
    digest[..4].copy_from_slice(&number.to_be_bytes());
    let multihash = Multihash::wrap(0, &digest).expect("32 bytes fit");
    PeerId::from_multihash(multihash).expect("an identity multihash of at most 42 bytes")
}
