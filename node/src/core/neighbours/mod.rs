//! The bounded neighbourhood of one mesh: whom to approach, keep, let go, and swap records with. Not the dialling, not
//! the admission, not Kademlia: those are `net/`'s, and their outcomes are inputs here.
//!
//! One [`Neighbours`] a mesh. After it was made, hand it one input (`TimedOut` will do) to set its clocks.

mod approaches;
mod backoff;
mod book;
mod budget;
mod candidates;
mod lookups;
mod machine;
mod marks;
mod plan;
mod records;
#[cfg(test)]
mod simulation;
#[cfg(test)]
pub(crate) mod test_peers;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use libp2p::{Multiaddr, PeerId};

pub use self::{
    book::BOOK_RECORDS_MAX,
    candidates::{CANDIDATES_MAX, PEER_MULTIADDRS_MAX},
    machine::Neighbours,
    marks::{HARD, HIGH_MIN, LOW, TARGET, TOPIC_MIN, TOPIC_TARGET, high},
};
use crate::types::TopicHint;

/// Who named a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// The user, as a peer to begin with.
    Bootstrap,
    /// The user, with a ticket for this mesh.
    Ticket,
    /// The peer cache: met in this mesh by an earlier run.
    Cache,
    /// The local network.
    Mdns,
    /// The run file: another node of this user on this machine.
    RunFile,
    /// A look-up of this mesh's key or of one of its topics.
    Kademlia,
    /// A member's record, passed on by a member.
    Record,
}

impl Source {
    pub(super) const ALL: [Source; 7] = [
        Source::Bootstrap,
        Source::Ticket,
        Source::Cache,
        Source::Mdns,
        Source::RunFile,
        Source::Kademlia,
        Source::Record,
    ];

    /// Whether the source names peers for this very mesh, and not only peers that may be in any.
    pub fn named(self) -> bool {
        match self {
            Source::Ticket | Source::Cache | Source::Kademlia | Source::Record => true,
            Source::Bootstrap | Source::Mdns | Source::RunFile => false,
        }
    }
}

/// A member as it describes itself. The envelope's signature was verified; the topics are not signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberRecord {
    /// Who signed it.
    pub peer: PeerId,
    /// The `seq` of the signed peer record: the higher, the newer.
    pub sequence: u64,
    /// Where it can be reached.
    pub multiaddrs: Vec<Multiaddr>,
    /// The topics it is on.
    pub topics: Vec<TopicHint>,
    /// The signed envelope, as it travels.
    pub envelope: Bytes,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A source named a peer. Topics only if the source named some.
    Found {
        /// Whom.
        peer: PeerId,
        /// Where; may be empty.
        multiaddrs: Vec<Multiaddr>,
        /// Who said so.
        source: Source,
        /// The topics it is on.
        topics: Vec<TopicHint>,
    },
    /// An approach ended: no connection.
    DialFailed {
        /// Whom we dialled.
        peer: PeerId,
    },
    /// An approach ended: the peer does not speak admission, as helpers do not.
    NotSpeaking {
        /// Whom we asked.
        peer: PeerId,
    },
    /// A connected peer speaks admission now: it may not have when we asked.
    Speaks {
        /// Who.
        peer: PeerId,
    },
    /// An approach ended: the handshake broke off or timed out.
    Unanswered {
        /// Whom we asked.
        peer: PeerId,
        /// Our proof had left: a liar may have had its guess at it, and hung up.
        guessed: bool,
    },
    /// An approach ended: the peer judged our proof and did not let us in.
    Refused {
        /// Whom we asked.
        peer: PeerId,
    },
    /// A peer is a member now: an approach ended, or the peer approached us. Given again for a neighbour, it changes
    /// nothing.
    Admitted {
        /// Who.
        peer: PeerId,
        /// Where we dialled it, if it was us who dialled.
        multiaddr: Option<Multiaddr>,
    },
    /// A neighbour's admission ended.
    Left {
        /// Whose.
        peer: PeerId,
    },
    /// The last connection to a peer closed. For a neighbour it includes `Left`.
    Disconnected {
        /// To whom.
        peer: PeerId,
    },
    /// A neighbour described itself.
    Profiled {
        /// How.
        record: MemberRecord,
    },
    /// A neighbour is on these topics now, and on no others. Between this and `Profiled` the last one counts.
    TopicsOf {
        /// Who.
        peer: PeerId,
        /// Which.
        topics: Vec<TopicHint>,
    },
    /// This node is on these topics now, and on no others. At most 64 count.
    OwnTopics(Vec<TopicHint>),
    /// A neighbour sent records: unasked, or as the answer to ours.
    Swapped {
        /// Who.
        peer: PeerId,
        /// Which; the first 16 count.
        records: Vec<MemberRecord>,
        /// Whether it answers our swap.
        answer: bool,
    },
    /// A neighbour has too many and is about to end the admission.
    Farewell {
        /// Who.
        peer: PeerId,
        /// Others to try.
        records: Vec<MemberRecord>,
    },
    /// A peer welcomed us with records.
    Sample {
        /// Which; the first 16 count.
        records: Vec<MemberRecord>,
    },
    /// This node wants to speak to a peer now, neighbour or not. If it is none and can be approached, it is.
    Wanted {
        /// To whom.
        peer: PeerId,
    },
    /// One look-up ended; what it found was reported as `Found`.
    LookedUp,
    /// The deadline passed.
    TimedOut,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Dial the peer if it is not connected, then open admission. Exactly one of `Admitted`, `Refused`, `Unanswered`,
    /// `DialFailed`, `NotSpeaking` follows.
    Approach {
        /// Whom.
        peer: PeerId,
        /// Where; if empty, wherever the node knows it to be.
        multiaddrs: Vec<Multiaddr>,
    },
    /// Look up the mesh's key, or that of a topic. One `LookedUp` follows.
    LookUp {
        /// The topic, if not the mesh.
        topic: Option<TopicHint>,
    },
    /// Send records to a neighbour.
    Swap {
        /// To whom.
        peer: PeerId,
        /// Which.
        records: Vec<MemberRecord>,
        /// Whether they answer its swap.
        answer: bool,
    },
    /// Send a farewell with the sample, then end the admission. The peer is no neighbour from now on.
    Drop {
        /// Whom.
        peer: PeerId,
        /// Others for it to try.
        sample: Vec<MemberRecord>,
    },
    /// Replace what the peer cache holds of this mesh.
    Remember(Vec<MemberRecord>),
    /// The status changed.
    Report(Status),
}

/// How a node stands with a mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// No neighbour, and no peer of this mesh has refused us.
    Alone,
    /// No neighbour was ever found, and peers that were named for this mesh refused.
    Refused {
        /// How many different ones.
        peers: usize,
    },
    /// In the mesh.
    Joined {
        /// How many neighbours.
        neighbours: usize,
    },
}
