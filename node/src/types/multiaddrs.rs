//! Multiaddrs that say which peer is there: what `--bootstrap` takes. Dials nothing.

use std::{fmt, str::FromStr};

use libp2p::{
    Multiaddr, PeerId,
    multiaddr::{Error, Protocol},
};

use super::ticket::is_meant_as_ticket;

/// Longer than any sensible multiaddr.
const MULTIADDR_CHARS_MAX: usize = 1_024;
/// How much of a text is shown in an error.
const SHOWN_CHARS_MAX: usize = 120;
/// Of a ticket: what all of them begin with.
const TICKET_SHOWN_CHARS: usize = 7;

/// A multiaddr that ends in `/p2p/<peer id>`, so that nobody else can answer there; or a `/dnsaddr`, whose DNS records
/// say which peers they are.
///
/// ```
/// use maille::types::PeerMultiaddr;
///
/// let text = "/ip4/192.0.2.1/tcp/6245/p2p/12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN";
/// let multiaddr: PeerMultiaddr = text.parse()?;
/// assert_eq!(multiaddr.without_peer().to_string(), "/ip4/192.0.2.1/tcp/6245");
/// assert!("/ip4/192.0.2.1/tcp/6245".parse::<PeerMultiaddr>().is_err());
/// # Ok::<(), maille::types::MultiaddrError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PeerMultiaddr {
    /// As it was given, with the peer id at its end if there is one.
    multiaddr: Multiaddr,
    peer: Option<PeerId>,
}

/// Why a text or multiaddr does not say where which peer is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MultiaddrError {
    /// Not a multiaddr at all.
    #[error("\"{text}\" is not a multiaddr such as {EXAMPLE}")]
    Syntax {
        /// The beginning of what was given, control characters escaped.
        text: String,
        /// What the parser says.
        source: Error,
    },
    /// Far longer than a multiaddr.
    #[error("a multiaddr has at most {chars_max} characters, this one has {chars}")]
    TooLong {
        /// Its length.
        chars: usize,
        /// The longest allowed.
        chars_max: usize,
    },
    /// It does not say which peer is there.
    #[error(
        "{multiaddr} does not say which peer is there: add /p2p/ and its id, as in {EXAMPLE}; \
         `maille node` prints its full multiaddrs when it starts"
    )]
    MissingPeer {
        /// What was given.
        multiaddr: Multiaddr,
    },
    /// It names a peer but not where it is.
    #[error("{multiaddr} names a peer but not where it is: put its address before it, as in {EXAMPLE}")]
    MissingLocation {
        /// What was given.
        multiaddr: Multiaddr,
    },
}

const EXAMPLE: &str = "/ip4/192.0.2.1/tcp/6245/p2p/12D3KooW…";

impl PeerMultiaddr {
    /// The multiaddr of `peer` at `location`, which may name it at its end or not.
    ///
    /// # Errors
    /// [`MultiaddrError::MissingLocation`] when nothing else is in it.
    pub fn new(location: Multiaddr, peer: PeerId) -> Result<Self, MultiaddrError> {
        // Fails only for a location that ends in another peer's id, as a relay's does before /p2p-circuit is added.
        location
            .with_p2p(peer)
            .map_err(|multiaddr| MultiaddrError::MissingLocation { multiaddr })?
            .try_into()
    }

    /// The peer, unless it is a `/dnsaddr` that leaves it open.
    #[must_use]
    pub fn peer(&self) -> Option<PeerId> {
        self.peer
    }

    /// The whole multiaddr.
    #[must_use]
    pub fn multiaddr(&self) -> &Multiaddr {
        &self.multiaddr
    }

    /// The multiaddr without the peer id at its end.
    #[must_use]
    pub fn without_peer(&self) -> Multiaddr {
        let mut location = self.multiaddr.clone();
        if self.peer.is_some() {
            location.pop();
        }
        location
    }
}

impl TryFrom<Multiaddr> for PeerMultiaddr {
    type Error = MultiaddrError;

    fn try_from(multiaddr: Multiaddr) -> Result<Self, Self::Error> {
        let mut protocols = multiaddr.iter();
        let first = protocols.next();
        let last = protocols.last().or_else(|| first.clone());
        match (first, last) {
            (Some(Protocol::P2p(_)), Some(Protocol::P2p(_))) if multiaddr.iter().count() == 1 => {
                Err(MultiaddrError::MissingLocation { multiaddr })
            }
            (_, Some(Protocol::P2p(peer))) => Ok(Self {
                multiaddr,
                peer: Some(peer),
            }),
            (Some(Protocol::Dnsaddr(_)), _) => Ok(Self { multiaddr, peer: None }),
            _ => Err(MultiaddrError::MissingPeer { multiaddr }),
        }
    }
}

impl FromStr for PeerMultiaddr {
    type Err = MultiaddrError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let chars = text.chars().count();
        if chars > MULTIADDR_CHARS_MAX {
            return Err(MultiaddrError::TooLong {
                chars,
                chars_max: MULTIADDR_CHARS_MAX,
            });
        }
        let shown = || {
            // A ticket in the wrong place is no reason to print it: errors end up in logs.
            let chars_max = if is_meant_as_ticket(text) {
                TICKET_SHOWN_CHARS
            } else {
                SHOWN_CHARS_MAX
            };
            text.chars().take(chars_max).flat_map(char::escape_debug).collect()
        };
        // The empty multiaddr is one to the parser; to a user it is a slip.
        let multiaddr: Multiaddr = match text {
            "" | "/" => {
                return Err(MultiaddrError::Syntax {
                    text: shown(),
                    source: Error::InvalidMultiaddr,
                });
            }
            _ => text
                .parse()
                .map_err(|source| MultiaddrError::Syntax { text: shown(), source })?,
        };
        multiaddr.try_into()
    }
}

impl fmt::Display for PeerMultiaddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.multiaddr.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PEER: &str = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN";
    const RELAY: &str = "QmcgpsyWgH8Y8ajJz1Cu72KnS5uo2Aa2LpzU7kinSupNKC";

    fn parse(text: &str) -> Result<PeerMultiaddr, MultiaddrError> {
        text.parse()
    }

    #[test]
    fn the_peer_is_at_the_end() {
        for location in [
            "/ip4/192.0.2.1/tcp/6245",
            "/ip6/2001:db8::1/udp/6245/quic-v1",
            "/dns4/boot.example/tcp/6245",
            "/memory/7",
            &format!("/ip4/192.0.2.1/tcp/6245/p2p/{RELAY}/p2p-circuit"),
        ] {
            let text = format!("{location}/p2p/{PEER}");
            let multiaddr = parse(&text).unwrap();
            assert_eq!(multiaddr.peer(), Some(PEER.parse().unwrap()));
            assert_eq!(
                (multiaddr.to_string(), multiaddr.multiaddr().to_string()),
                (text.clone(), text)
            );
            assert_eq!(multiaddr.without_peer().to_string(), location);
            let peer = PEER.parse().unwrap();
            assert_eq!(PeerMultiaddr::new(location.parse().unwrap(), peer).unwrap(), multiaddr);
            assert_eq!(
                PeerMultiaddr::new(multiaddr.multiaddr().clone(), peer).unwrap(),
                multiaddr
            );
        }
    }

    #[test]
    fn dnsaddr_may_leave_the_peer_open() {
        let open = parse("/dnsaddr/boot.example").unwrap();
        assert_eq!((open.peer(), open.without_peer()), (None, open.multiaddr().clone()));
        let named = parse(&format!("/dnsaddr/boot.example/p2p/{PEER}")).unwrap();
        assert_eq!(named.peer(), Some(PEER.parse().unwrap()));
        assert_eq!(named.without_peer().to_string(), "/dnsaddr/boot.example");
    }

    #[test]
    fn errors_say_what_is_missing() {
        let message = |text: &str| parse(text).unwrap_err().to_string();
        let example = "as in /ip4/192.0.2.1/tcp/6245/p2p/12D3KooW…";
        for text in [
            "/ip4/10.0.0.1/tcp/6245",
            &format!("/ip4/10.0.0.1/tcp/1/p2p/{PEER}/p2p-circuit"),
        ] {
            let expected = format!("{text} does not say which peer is there: add /p2p/ and its id, {example}; ");
            assert!(message(text).starts_with(&expected), "{}", message(text));
        }
        assert!(message(&format!("/p2p/{PEER}")).contains("not where it is"));
        for text in [
            "",
            "/",
            "10.0.0.1:6245",
            "boot.example",
            "/ip4/10.0.0.256/tcp/1",
            "/p2p/nobody",
            "market.example/x",
        ] {
            assert!(
                message(text).starts_with(&format!("\"{text}\" is not a multiaddr such as /ip4/")),
                "{text}"
            );
        }
        assert!(message("/ip4/\u{1b}[2J").starts_with("\"/ip4/\\u{1b}[2J\" is not"));
        assert!(
            message("MAILLE1QY9Q7UM9VDEX2ARN9").starts_with("\"MAILLE1\" is not"),
            "no ticket is shown"
        );
        assert!(message("/🦀").starts_with("\"/🦀\" is not"));
        assert_eq!(
            message(&"/x".repeat(9_999)),
            "a multiaddr has at most 1024 characters, this one has 19998"
        );
        let relay: Multiaddr = format!("/ip4/10.0.0.1/tcp/1/p2p/{RELAY}").parse().unwrap();
        assert!(PeerMultiaddr::new(relay, PEER.parse().unwrap()).is_err());
        assert!(PeerMultiaddr::new(Multiaddr::empty(), PEER.parse().unwrap()).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_a_multiaddr_or_an_error(
            text in any::<String>(),
            parts in "(/(ip4|tcp|p2p|dnsaddr|[0-9a-z.]{1,9})){0,6}",
        ) {
            for text in [text, parts] {
                if let Ok(multiaddr) = parse(&text) {
                    prop_assert_eq!(parse(&multiaddr.to_string()).unwrap(), multiaddr);
                }
            }
        }
    }
}
