//! The address of a topic: mesh and topic. Not a multiaddr, which says where a peer is on the network.

use std::{fmt, str::FromStr};

use super::{MeshName, NameError, TopicName};

const SCHEME: &str = "maille";
const SCHEME_END: &str = "://";

/// Where to publish and subscribe: `maille://market.example/equities/us`.
///
/// The scheme may be left out when parsing, and is always printed.
///
/// ```
/// use maille::types::Address;
///
/// let address: Address = "market.example/equities/us".parse()?;
/// assert_eq!(address.mesh().as_str(), "market.example");
/// assert_eq!(address.topic().as_str(), "equities/us");
/// assert_eq!(address.to_string(), "maille://market.example/equities/us");
/// # Ok::<(), maille::types::AddressError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    mesh: MeshName,
    topic: TopicName,
}

/// Why a text is not an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// Only a mesh.
    #[error("the topic is missing: an address is MESH/TOPIC, as in market.example/equities/us")]
    MissingTopic,
    /// Another scheme than `maille`.
    #[error(
        "the scheme of an address is \"maille\", not \"{}\": write maille://MESH/TOPIC or MESH/TOPIC",
        .scheme.escape_debug()
    )]
    Scheme {
        /// The scheme that was given.
        scheme: String,
    },
    /// Something that begins with a slash.
    #[error("an address begins with the mesh, MESH/TOPIC, not with '/': was a multiaddr meant for another option?")]
    Multiaddr,
    /// The mesh is not a mesh name.
    #[error(transparent)]
    Mesh(NameError),
    /// The topic is not a topic name.
    #[error(transparent)]
    Topic(NameError),
}

impl Address {
    /// The address of `topic` in `mesh`.
    #[must_use]
    pub fn new(mesh: MeshName, topic: TopicName) -> Self {
        Self { mesh, topic }
    }

    /// The mesh.
    #[must_use]
    pub fn mesh(&self) -> &MeshName {
        &self.mesh
    }

    /// The topic in it.
    #[must_use]
    pub fn topic(&self) -> &TopicName {
        &self.topic
    }

    /// Mesh and topic, apart.
    #[must_use]
    pub fn into_parts(self) -> (MeshName, TopicName) {
        (self.mesh, self.topic)
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rest = match text.split_once(SCHEME_END) {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case(SCHEME) => rest,
            Some((scheme, _)) => {
                return Err(AddressError::Scheme {
                    scheme: scheme.chars().take(SCHEME_CHARS_SHOWN_MAX).collect(),
                });
            }
            None => text,
        };
        if rest.starts_with('/') {
            return Err(AddressError::Multiaddr);
        }
        let (mesh, topic) = rest.split_once('/').unwrap_or((rest, ""));
        let mesh = mesh.parse().map_err(AddressError::Mesh)?;
        if topic.is_empty() {
            return Err(AddressError::MissingTopic);
        }
        Ok(Self {
            mesh,
            topic: topic.parse().map_err(AddressError::Topic)?,
        })
    }
}

/// Enough to recognise a scheme in an error.
const SCHEME_CHARS_SHOWN_MAX: usize = 20;

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{SCHEME}{SCHEME_END}{}/{}", self.mesh, self.topic))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(text: &str) -> String {
        text.parse::<Address>().unwrap_err().to_string()
    }

    #[test]
    fn the_scheme_may_be_left_out() {
        let full = "maille://market.example/equities/us";
        for text in [
            full,
            "market.example/equities/us",
            "MAILLE://market.example/equities/us",
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), full);
            let (mesh, topic) = address.clone().into_parts();
            assert_eq!(address, Address::new(mesh, topic));
        }
    }

    #[test]
    fn errors_say_what_to_write() {
        let missing = "the topic is missing: an address is MESH/TOPIC, as in market.example/equities/us";
        assert_eq!(message("market.example"), missing);
        assert_eq!(message("market.example/"), missing);
        assert_eq!(message("maille://market.example"), missing);
        assert_eq!(
            message("http://market.example/x"),
            "the scheme of an address is \"maille\", not \"http\": write maille://MESH/TOPIC or MESH/TOPIC"
        );
        assert!(message("a\u{1b}[2J://b/c").contains("not \"a\\u{1b}[2J\":"));
        assert!(message(&format!("{}://b/c", "x".repeat(10_000))).len() < 200);
        assert!(message("/ip4/127.0.0.1/tcp/6245").contains("multiaddr"));
        assert!(message("maille:///x").contains("begins with the mesh"));
        assert!(message("").contains("a mesh name cannot be empty"));
        assert!(message("a b/x").contains("' ' at byte 1 of the mesh name"));
        assert!(message("a.example/x y").contains("' ' at byte 1 of the topic name"));
        assert!(message("a.example/x/../y").contains("segment \"..\" at byte 2 of the topic name"));
        assert!(message("a.example/x/").contains("empty segment at byte 2 of the topic name"));
        assert!(message("a.example/🦀").contains("'🦀' at byte 0 of the topic name"));
    }

    proptest! {
        #[test]
        fn any_text_is_an_address_or_an_error(text in any::<String>()) {
            if let Ok(address) = text.parse::<Address>() {
                prop_assert_eq!(address.to_string().parse(), Ok(address));
            }
        }

        #[test]
        fn addresses_round_trip(
            mesh in "[a-z0-9]{1,9}(\\.[a-z]{1,9}){0,3}",
            topic in "[A-Za-z0-9_-]{1,9}(/[a-z0-9_-]{1,9}){0,5}",
        ) {
            let address: Address = format!("{mesh}/{topic}").parse().unwrap();
            prop_assert_eq!(address.to_string().parse(), Ok(address));
        }
    }
}
