//! Why a ticket cannot be made, and why a text is not one.

use libp2p::{Multiaddr, PeerId};
use maille_proto::{DecodeError, TICKET_BYTES_MAX};

use super::NameError;

/// Why a ticket cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TicketError {
    /// The names alone leave no room.
    #[error("mesh and topic name take {bytes} bytes, a ticket has {TICKET_BYTES_MAX}: give the mesh alone")]
    NamesTooLong {
        /// What they take in the ticket.
        bytes: usize,
    },
    /// A multiaddr that ends in another peer's id.
    #[error("{multiaddr} is not a multiaddr of {peer}")]
    OtherPeer {
        /// Whose it was said to be.
        peer: PeerId,
        /// The multiaddr.
        multiaddr: Multiaddr,
    },
}

/// Why a text is not a ticket, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TicketParseError {
    /// It does not begin as tickets do.
    #[error("this is not a ticket: a ticket begins with \"maille1\"")]
    Prefix,
    /// A character that no ticket holds.
    #[error("{character:?} at byte {offset} is in no ticket: copy the ticket again, without anything around it")]
    Character {
        /// The character.
        character: char,
        /// Where it is; the first byte is 0.
        offset: usize,
    },
    /// Upper and lower case mixed.
    #[error("the ticket mixes upper and lower case: write it in one of them")]
    MixedCase,
    /// Far longer than a ticket.
    #[error("this is longer than a ticket can be: copy one ticket alone")]
    TooLong,
    /// The checksum is wrong.
    #[error("the ticket is damaged, a character was mistyped or lost: copy it again")]
    Damaged,
    /// Of a later version.
    #[error("the ticket is of version {version}, which a newer maille made: update maille")]
    NewerVersion {
        /// Its version.
        version: u8,
    },
    /// Whole, but not as a ticket is made.
    #[error("the ticket was not made by maille: {0}")]
    Contents(#[from] DecodeError),
    /// A name in it is not one.
    #[error("the ticket was not made by maille: {0}")]
    Name(#[from] NameError),
    /// A peer or multiaddr in it is not one, or is there in another form than maille's.
    #[error("the ticket was not made by maille: a bootstrap peer in it is malformed")]
    Peer,
}
