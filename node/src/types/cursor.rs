//! A place in one publisher's stream on a topic.

use std::{fmt, str::FromStr};

use libp2p::PeerId;

/// A place in one publisher's stream: one record of it.
///
/// As text: `<publisher>/<incarnation>/<sequence>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cursor {
    /// Who published the record.
    pub publisher: PeerId,
    /// In which of its runs.
    pub incarnation: u64,
    /// Which record of that run; the first is 0.
    pub sequence: u64,
}

/// Why a text is not a cursor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CursorError {
    /// Not three parts.
    #[error("a cursor is PUBLISHER/INCARNATION/SEQUENCE, this has {parts} parts instead of 3")]
    Parts {
        /// How many there are.
        parts: usize,
    },
    /// The publisher is not a peer id.
    #[error("the publisher of a cursor is a peer id such as 12D3KooW…; this is not one, or it is damaged")]
    Publisher,
    /// A number is not one, or does not fit 64 bits.
    #[error("the {field} of a cursor is a number of at most 64 bits, in digits without a sign or leading zeros")]
    Number {
        /// Which of the two.
        field: &'static str,
    },
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.publisher, self.incarnation, self.sequence)
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split('/');
        let (Some(publisher), Some(incarnation), Some(sequence), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(CursorError::Parts {
                parts: text.split('/').count(),
            });
        };
        Ok(Self {
            publisher: peer_id(publisher).ok_or(CursorError::Publisher)?,
            incarnation: number(incarnation).ok_or(CursorError::Number { field: "incarnation" })?,
            sequence: number(sequence).ok_or(CursorError::Number {
                field: "sequence number",
            })?,
        })
    }
}

/// Longer than any peer id: base 58 takes time quadratic in its length.
const PEER_ID_CHARS_MAX: usize = 128;

fn peer_id(text: &str) -> Option<PeerId> {
    if text.len() > PEER_ID_CHARS_MAX {
        None
    } else {
        text.parse().ok()
    }
}

/// A number as it is printed, and in no other way.
fn number(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use libp2p::identity::Keypair;
    use proptest::prelude::*;

    use super::*;

    fn peer(seed: u8) -> PeerId {
        Keypair::ed25519_from_bytes([seed; 32]).unwrap().public().to_peer_id()
    }

    #[test]
    fn errors_say_what_is_wrong() {
        let message = |text: &str| text.parse::<Cursor>().unwrap_err().to_string();
        let peer = peer(1);
        assert_eq!(
            message(""),
            "a cursor is PUBLISHER/INCARNATION/SEQUENCE, this has 1 parts instead of 3"
        );
        assert_eq!(
            message("a/1/2/3"),
            "a cursor is PUBLISHER/INCARNATION/SEQUENCE, this has 4 parts instead of 3"
        );
        assert!(message("nobody/1/2").contains("peer id"));
        assert!(message(&format!("{}/1/2", "1".repeat(100_000))).contains("peer id"));
        for number in ["", "-1", "+1", "01", "18446744073709551616", "1e3", "١"] {
            assert!(
                message(&format!("{peer}/{number}/0")).starts_with("the incarnation"),
                "{number}"
            );
            assert!(
                message(&format!("{peer}/0/{number}")).starts_with("the sequence number"),
                "{number}"
            );
        }
    }

    proptest! {
        #[test]
        fn cursors_round_trip(seed: u8, incarnation: u64, sequence: u64) {
            let cursor = Cursor { publisher: peer(seed), incarnation, sequence };
            prop_assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }

        #[test]
        fn any_text_is_a_cursor_or_an_error(text in any::<String>(), numbers in "[0-9/+-]{0,30}") {
            prop_assert!(text.parse::<Cursor>().is_err());
            if let Ok(cursor) = format!("{}/{numbers}", peer(1)).parse::<Cursor>() {
                prop_assert_eq!(cursor.to_string(), format!("{}/{numbers}", peer(1)));
            }
        }
    }
}
