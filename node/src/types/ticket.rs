//! Tickets: what a newcomer needs to find a mesh, to copy, paste or scan. Never the password.

use std::{fmt, str::FromStr};

use bech32::{Bech32m, Fe32, Hrp, primitives::decode::CheckedHrpstring};
use libp2p::{Multiaddr, PeerId, multiaddr::Protocol};
use maille_proto::{
    TICKET_BODY_BYTES_MAX, TICKET_MULTIADDRS_MAX, TICKET_PEERS_MAX, TICKET_VERSION, decode_ticket, ticket as proto,
};
use prost::Message as _;

use super::{MeshName, TicketError, TicketParseError, TopicName};

const PREFIX: &str = "maille";
/// The prefix and what bech32 puts after it.
const TEXT_START: &str = "maille1";
/// `maille1`, 512 bytes in characters of 5 bits, 6 characters of checksum.
const TEXT_CHARS_MAX: usize = 833;

/// An address ticket: a mesh, perhaps a topic in it, and peers to begin with.
///
/// As text it is bech32m, `maille1…`: a checksum finds typing mistakes, and upper and lower case are the same.
///
/// ```
/// use maille::types::Ticket;
///
/// let ticket = Ticket::new("market.example".parse()?, None, vec![])?;
/// let text = ticket.to_string();
/// assert!(text.starts_with("maille1"));
/// assert_eq!(text.parse::<Ticket>()?, ticket);
/// assert_eq!(ticket.to_upper().parse::<Ticket>()?, ticket);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    mesh: MeshName,
    topic: Option<TopicName>,
    bootstrap: Vec<BootstrapPeer>,
}

/// A peer to begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootstrapPeer {
    /// Who it is.
    pub peer: PeerId,
    /// Where it is. In a ticket: without its own `/p2p` at the end.
    pub multiaddrs: Vec<Multiaddr>,
}

impl Ticket {
    /// A ticket with as much of `bootstrap` as it has room for: 3 peers, 4 multiaddrs of each, 512 bytes in all.
    ///
    /// Peers and multiaddrs come in order of preference. When there is no room for all, the last multiaddr of the peer
    /// with the most is left out first, so that as many peers as possible stay. Peers without a multiaddr are left out.
    ///
    /// # Errors
    /// When a multiaddr ends in another peer's id, or the names alone are too long.
    pub fn new(mesh: MeshName, topic: Option<TopicName>, bootstrap: Vec<BootstrapPeer>) -> Result<Self, TicketError> {
        let mut ticket = Self {
            mesh,
            topic,
            bootstrap: vec![],
        };
        let bytes = ticket.encoded_len();
        if bytes > TICKET_BODY_BYTES_MAX {
            return Err(TicketError::NamesTooLong { bytes });
        }
        for BootstrapPeer { peer, multiaddrs } in bootstrap {
            ticket.add(peer, multiaddrs)?;
        }
        while ticket.encoded_len() > TICKET_BODY_BYTES_MAX {
            ticket.leave_out_one();
        }
        Ok(ticket)
    }

    /// The mesh.
    #[must_use]
    pub fn mesh(&self) -> &MeshName {
        &self.mesh
    }

    /// The topic to go to, if it names one.
    #[must_use]
    pub fn topic(&self) -> Option<&TopicName> {
        self.topic.as_ref()
    }

    /// Peers to begin with, at most 3, each with 1 to 4 multiaddrs without its own `/p2p` at their end.
    #[must_use]
    pub fn bootstrap(&self) -> &[BootstrapPeer] {
        &self.bootstrap
    }

    /// The text in upper case, which takes less room in a QR code.
    #[must_use]
    pub fn to_upper(&self) -> String {
        self.to_string().to_ascii_uppercase()
    }

    /// Adds a peer, or multiaddrs of one that is there, as far as the counts allow.
    fn add(&mut self, peer: PeerId, multiaddrs: Vec<Multiaddr>) -> Result<(), TicketError> {
        let mut kept = vec![];
        for multiaddr in multiaddrs {
            let location = location_of(peer, &multiaddr).ok_or_else(|| TicketError::OtherPeer { peer, multiaddr })?;
            if !location.is_empty() {
                kept.push(location);
            }
        }
        let index = match self.bootstrap.iter().position(|other| other.peer == peer) {
            Some(index) => index,
            None if kept.is_empty() || self.bootstrap.len() == TICKET_PEERS_MAX => return Ok(()),
            None => {
                self.bootstrap.push(BootstrapPeer {
                    peer,
                    multiaddrs: vec![],
                });
                self.bootstrap.len() - 1
            }
        };
        let there = &mut self.bootstrap[index].multiaddrs;
        for multiaddr in kept {
            if there.len() < TICKET_MULTIADDRS_MAX && !there.contains(&multiaddr) {
                there.push(multiaddr);
            }
        }
        Ok(())
    }

    fn leave_out_one(&mut self) {
        // Of several with the most, the last: it is preferred least.
        match self.bootstrap.iter_mut().max_by_key(|peer| peer.multiaddrs.len()) {
            Some(peer) if peer.multiaddrs.len() > 1 => drop(peer.multiaddrs.pop()),
            _ => drop(self.bootstrap.pop()),
        }
    }

    fn to_proto(&self) -> proto::Ticket {
        let bootstrap = self
            .bootstrap
            .iter()
            .map(|BootstrapPeer { peer, multiaddrs }| proto::BootstrapPeer {
                peer: peer.to_bytes(),
                multiaddrs: multiaddrs.iter().map(Multiaddr::to_vec).collect(),
            });
        proto::Ticket {
            mesh: self.mesh.to_string(),
            topic: self.topic.as_ref().map(ToString::to_string).unwrap_or_default(),
            bootstrap: bootstrap.collect(),
        }
    }

    fn encoded_len(&self) -> usize {
        self.to_proto().encoded_len()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, TicketParseError> {
        let (version, body) = bytes.split_first().ok_or(TicketParseError::Damaged)?;
        match *version {
            TICKET_VERSION => {}
            0 => return Err(TicketParseError::Damaged),
            version => return Err(TicketParseError::NewerVersion { version }),
        }
        let proto::Ticket { mesh, topic, bootstrap } = decode_ticket(body)?;
        let topic = if topic.is_empty() { None } else { Some(topic.parse()?) };
        let bootstrap: Option<Vec<_>> = bootstrap.into_iter().map(bootstrap_peer).collect();
        let ticket = Self {
            mesh: mesh.parse()?,
            topic,
            bootstrap: bootstrap.ok_or(TicketParseError::Peer)?,
        };
        // No peer twice, no multiaddr with its own peer's id: the one form that `new` makes.
        match Self::new(ticket.mesh.clone(), ticket.topic.clone(), ticket.bootstrap.clone()) {
            Ok(made) if made == ticket => Ok(ticket),
            _ => Err(TicketParseError::Peer),
        }
    }
}

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = vec![TICKET_VERSION];
        self.to_proto().encode(&mut bytes).map_err(|_| fmt::Error)?;
        let text = bech32::encode::<Bech32m>(prefix(), &bytes).map_err(|_| fmt::Error)?;
        f.pad(&text)
    }
}

/// Whether a text begins as every ticket does, whatever follows.
pub(super) fn is_meant_as_ticket(text: &str) -> bool {
    text.get(..TEXT_START.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(TEXT_START))
}

impl FromStr for Ticket {
    type Err = TicketParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // Space around it comes with copying; inside it, a character may be lost as well.
        let text = text.trim();
        if !is_meant_as_ticket(text) {
            return Err(TicketParseError::Prefix);
        }
        if text.len() > TEXT_CHARS_MAX {
            return Err(TicketParseError::TooLong);
        }
        check_characters(text)?;
        let checked = CheckedHrpstring::new::<Bech32m>(text).map_err(|_| TicketParseError::Damaged)?;
        let bytes: Vec<u8> = checked.byte_iter().collect();
        let ticket = Self::from_bytes(&bytes)?;
        // The bits that fill up the last character are zero in the one text that a ticket has.
        if !ticket.to_string().eq_ignore_ascii_case(text) {
            return Err(TicketParseError::Damaged);
        }
        Ok(ticket)
    }
}

fn prefix() -> Hrp {
    Hrp::parse_unchecked(PREFIX)
}

/// What the decoder would find as well, but could not say where.
fn check_characters(text: &str) -> Result<(), TicketParseError> {
    let after_start = text.char_indices().skip(TEXT_START.len());
    for (offset, character) in after_start {
        if Fe32::from_char(character).is_err() {
            return Err(TicketParseError::Character { character, offset });
        }
    }
    if text.contains(|character: char| character.is_ascii_lowercase())
        && text.contains(|character: char| character.is_ascii_uppercase())
    {
        return Err(TicketParseError::MixedCase);
    }
    Ok(())
}

/// A multiaddr without the peer's own id at its end; `None` when it ends in another's.
fn location_of(peer: PeerId, multiaddr: &Multiaddr) -> Option<Multiaddr> {
    let mut location = multiaddr.clone();
    match multiaddr.iter().last() {
        Some(Protocol::P2p(last)) if last == peer => drop(location.pop()),
        Some(Protocol::P2p(_)) => return None,
        _ => {}
    }
    Some(location)
}

fn bootstrap_peer(peer: proto::BootstrapPeer) -> Option<BootstrapPeer> {
    let multiaddrs: Result<_, _> = peer.multiaddrs.into_iter().map(Multiaddr::try_from).collect();
    Some(BootstrapPeer {
        peer: PeerId::from_bytes(&peer.peer).ok()?,
        multiaddrs: multiaddrs.ok()?,
    })
}

#[cfg(test)]
#[path = "ticket_tests.rs"]
mod tests;
