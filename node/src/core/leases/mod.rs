//! Leases of one group: who may work under a key, for as long as it says so. Not mutual exclusion: without consensus, two
//! sides of a partition may each have a holder, until they meet.
//!
//! ```text
//!   Want ─→ free? ─→ wait by rank ─→ claim, number = highest seen + 1 ─→ SETTLE, unchallenged ─→ Granted
//!             └─ held: until it ends        └─ a higher token is heard ─→ wait again, or Refused
//!   every third of the lease  all claims, again ─→ others count from when they receive it
//!   a higher token is heard, or nothing of ours left for a lease ─→ Lost
//! ```
//!
//! Each member says all that it claims in one record: what counts of it is its last, and what was lost on the way heals with
//! the next. A token is a number and its holder. Ranks are rendezvous hashes (Thaler and Ravishankar, 1998): each member has
//! a weight of its own for each key, the same for whoever computes it, so that keys spread and only those of a member that
//! went change hands. Fencing tokens are those of Gray and Cheriton's leases (1989) as storage uses them today: whoever
//! accepts what was done under a lease keeps the highest token it saw, and refuses lower ones.

mod group;
mod machine;
mod past;
#[cfg(test)]
mod tests;
mod wire;

use std::time::Duration;

use bytes::Bytes;
use libp2p::PeerId;
use maille_proto::{LEASE_CLAIMS_MAX, LEASE_KEY_BYTES_MAX};

pub use self::{
    group::{AUTHORS_MAX, Ranking},
    machine::Leases,
    past::PAST_MAX,
};

/// Keys that one member may claim or want at a time.
pub const CLAIMS_MAX: usize = LEASE_CLAIMS_MAX;
/// A key, in bytes; at least 1.
pub const KEY_BYTES_MAX: usize = LEASE_KEY_BYTES_MAX;
/// How long a lease may be.
pub const LEASE_MIN: Duration = Duration::from_millis(500);
/// As above.
pub const LEASE_MAX: Duration = Duration::from_secs(60);
/// Renewals in the time of a lease.
pub const RENEWALS: u32 = 3;
/// How long a claim waits for others of the same moment; what takes longer on its way is fenced afterwards.
pub const SETTLE: Duration = Duration::from_millis(300);
/// How much later one claims who ranks one place lower.
pub const STAGGER: Duration = Duration::from_millis(100);
/// Places that wait longer than the one before.
pub const STAGGERED_MAX: usize = 10;
/// How long the past may take to come, from whoever has it.
pub const PAST_TIMEOUT: Duration = Duration::from_secs(5);

/// What others add to a lease before it ended for them.
#[must_use]
pub fn grace(lease: Duration) -> Duration {
    lease / 4
}

/// A fencing token: of two for one key the higher counts, everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token {
    number: u64,
    weight: u64,
    holder: PeerId,
}

impl Token {
    /// The number: higher than those of all leases of the key that its holder had heard of.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Who holds the lease.
    #[must_use]
    pub fn holder(&self) -> PeerId {
        self.holder
    }
}

/// A key and who holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Held {
    /// The key.
    pub key: Bytes,
    /// Under which token.
    pub token: Token,
}

/// Why a lease ended that was not released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lost {
    /// Another claims the key with a higher token: it had not heard of this lease, or saw it end.
    Fenced {
        /// Its token.
        by: Token,
    },
    /// Nothing of this node left for the time of a lease: it slept, or was too busy. Another may hold the key by now.
    Expired,
    /// The mesh was left.
    Closed,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// A record came.
    Received {
        /// Whose.
        author: PeerId,
        /// Its place in its author's stream: incarnation and sequence.
        cursor: (u64, u64),
        /// What it says, not looked at yet.
        record: Bytes,
    },
    /// An author's stream contradicts itself: this incarnation of it counts no more.
    Forked {
        /// Whose.
        author: PeerId,
        /// Which.
        incarnation: u64,
    },
    /// The past was heard.
    CaughtUp,
    /// A key is wanted, at most once at a time.
    Want {
        /// Which.
        key: Bytes,
        /// Until it can be had; else it is refused if another has it.
        waits: bool,
    },
    /// A key is not wanted any more, be it held or not.
    Unwant {
        /// Which.
        key: Bytes,
    },
    /// This node takes part in the ranking, or no more.
    Offer(bool),
    /// What was made at this time has left.
    Left {
        /// When it was made.
        made_at: std::time::Instant,
    },
    /// This node leaves the group.
    Leaving,
    /// The deadline passed.
    TimedOut,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Publish all that this node claims; `Left` follows.
    Publish {
        /// The key that a claim begins or ends with.
        key: Option<Bytes>,
        /// The record.
        record: Bytes,
    },
    /// A wanted key is held from now on.
    Granted {
        /// Which.
        key: Bytes,
        /// Under which token.
        token: Token,
    },
    /// A wanted key is another's, and was not to be waited for.
    Refused {
        /// Which.
        key: Bytes,
    },
    /// A held key is not held any more.
    Lost {
        /// Which.
        key: Bytes,
        /// Why.
        why: Lost,
    },
    /// Others hold or offer something else than before.
    Changed,
}
