//! Tests of catch-up across its parts: a small world of publishers, members that hold parts of it, and a bad network.
#![allow(clippy::single_range_in_vec_init, reason = "a list of ranges may have one")]

mod bounds;
mod liars;
mod lies;
mod repairs;
mod sessions;
mod wire;
mod world;

use libp2p::{PeerId, multihash::Multihash};

/// A peer that is the same in every run.
pub(super) fn peer(number: u32) -> PeerId {
    let mut digest = [0; 32];
    digest[..4].copy_from_slice(&number.to_be_bytes());
    let multihash = Multihash::wrap(0, &digest).expect("32 bytes fit");
    PeerId::from_multihash(multihash).expect("an identity multihash of at most 42 bytes")
}

/// Seeds of one property: `MAILLE_SEED=7` runs one of them, `MAILLE_SEEDS=100000` more.
pub(super) fn seeds(default: u64) -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().map(|value| value.parse().unwrap());
    match number("MAILLE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("MAILLE_SEEDS").unwrap_or(default),
    }
}
