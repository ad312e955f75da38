//! A subscriber's place on a topic: what is saved and resumed. It says what was delivered, not what exists.

use std::{collections::BTreeMap, fmt, str::FromStr};

use libp2p::PeerId;

use super::{Cursor, CursorError};

/// Publishers whose place a position remembers.
const PUBLISHERS_MAX: usize = 1_024;
const SEPARATOR: char = ',';

/// A subscriber's place on a topic: for each publisher, the record that comes next.
///
/// As text: its cursors in one line, separated by commas; empty when nothing was delivered yet. It remembers 1,024
/// publishers; the one that advanced longest ago makes room for another.
#[derive(Clone, Default)]
pub struct Position {
    places: BTreeMap<PeerId, Place>,
    /// Counts advances, to tell which publisher was quiet longest.
    advances: u64,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    incarnation: u64,
    next: u64,
    advanced: u64,
}

/// Why a text is not a position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PositionError {
    /// One of its cursors is not one.
    #[error("cursor {number} of the position: {source}")]
    Cursor {
        /// Which one; the first is 1.
        number: usize,
        /// What is wrong with it.
        source: CursorError,
    },
    /// A publisher is there twice.
    #[error("cursor {number} of the position names a publisher that an earlier one names as well")]
    Twice {
        /// Which one; the first is 1.
        number: usize,
    },
    /// More cursors than a position holds.
    #[error("a position holds at most {cursors_max} cursors")]
    TooMany {
        /// The most allowed.
        cursors_max: usize,
    },
}

impl Position {
    /// The position before everything.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Moves past the record at `cursor`; one that it is past already, or of an older incarnation, changes nothing.
    ///
    /// Returns the next place of the publisher that was forgotten to make room, if one was.
    pub fn advance(&mut self, cursor: &Cursor) -> Option<Cursor> {
        if self.covers(cursor) {
            return None;
        }
        // The wire has no sequence number without a successor; a made-up one stays where it is.
        self.set_next(&Cursor {
            sequence: cursor.sequence.saturating_add(1),
            ..*cursor
        })
    }

    /// Whether the record at `cursor` was passed: it is before this position.
    #[must_use]
    pub fn covers(&self, cursor: &Cursor) -> bool {
        self.places
            .get(&cursor.publisher)
            .is_some_and(|place| (cursor.incarnation, cursor.sequence) < (place.incarnation, place.next))
    }

    /// The record of `publisher` that comes next; `None` when nothing of it was delivered.
    #[must_use]
    pub fn next(&self, publisher: &PeerId) -> Option<Cursor> {
        self.places.get(publisher).map(|place| place.cursor(*publisher))
    }

    /// The record of each publisher that comes next, by publisher.
    pub fn cursors(&self) -> impl ExactSizeIterator<Item = Cursor> {
        self.places.iter().map(|(publisher, place)| place.cursor(*publisher))
    }

    /// Whether nothing was delivered yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    fn set_next(&mut self, next: &Cursor) -> Option<Cursor> {
        let full = self.places.len() >= PUBLISHERS_MAX && !self.places.contains_key(&next.publisher);
        let forgotten = if full { self.forget_quietest() } else { None };
        self.advances += 1;
        let place = Place {
            incarnation: next.incarnation,
            next: next.sequence,
            advanced: self.advances,
        };
        self.places.insert(next.publisher, place);
        forgotten
    }

    fn forget_quietest(&mut self) -> Option<Cursor> {
        let (&publisher, _) = self.places.iter().min_by_key(|(_, place)| place.advanced)?;
        self.places.remove(&publisher).map(|place| place.cursor(publisher))
    }
}

impl Place {
    fn cursor(&self, publisher: PeerId) -> Cursor {
        Cursor {
            publisher,
            incarnation: self.incarnation,
            sequence: self.next,
        }
    }
}

/// Equal places are equal positions, in whatever order they were reached.
impl PartialEq for Position {
    fn eq(&self, other: &Self) -> bool {
        self.cursors().eq(other.cursors())
    }
}

impl Eq for Position {}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Position({self})")
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, cursor) in self.cursors().enumerate() {
            if index > 0 {
                write!(f, "{SEPARATOR}")?;
            }
            write!(f, "{cursor}")?;
        }
        Ok(())
    }
}

impl FromStr for Position {
    type Err = PositionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut position = Self::new();
        if text.is_empty() {
            return Ok(position);
        }
        for (index, part) in text.split(SEPARATOR).enumerate() {
            let number = index + 1;
            if number > PUBLISHERS_MAX {
                return Err(PositionError::TooMany {
                    cursors_max: PUBLISHERS_MAX,
                });
            }
            let next: Cursor = part
                .parse()
                .map_err(|source| PositionError::Cursor { number, source })?;
            if position.next(&next.publisher).is_some() {
                return Err(PositionError::Twice { number });
            }
            position.set_next(&next);
        }
        Ok(position)
    }
}

#[cfg(test)]
mod tests {
    use libp2p::multihash::Multihash;
    use proptest::prelude::*;

    use super::*;

    fn peer(number: u16) -> PeerId {
        let digest = [&[0; 30][..], &number.to_be_bytes()].concat();
        PeerId::from_multihash(Multihash::wrap(0x12, &digest).unwrap()).unwrap()
    }

    fn at(publisher: u16, incarnation: u64, sequence: u64) -> Cursor {
        Cursor {
            publisher: peer(publisher),
            incarnation,
            sequence,
        }
    }

    #[test]
    fn a_position_never_goes_back() {
        let mut position = Position::new();
        assert!(position.is_empty() && !position.covers(&at(1, 5, 0)));
        for (cursor, next) in [
            (at(1, 5, 0), at(1, 5, 1)),
            (at(1, 5, 9), at(1, 5, 10)),
            (at(1, 5, 3), at(1, 5, 10)),
            (at(1, 4, 99), at(1, 5, 10)),
            (at(1, 6, 0), at(1, 6, 1)),
            (at(1, 5, 10), at(1, 6, 1)),
            (at(1, 6, u64::MAX), at(1, 6, u64::MAX)),
        ] {
            assert_eq!(position.advance(&cursor), None);
            assert_eq!(position.next(&peer(1)), Some(next));
            assert!(!position.covers(&next), "what comes next was not passed");
        }
        assert!(position.covers(&at(1, 6, 77)) && position.covers(&at(1, 5, u64::MAX)));
        assert!(!position.covers(&at(1, 7, 0)) && !position.covers(&at(2, 1, 0)));
        assert_eq!(position.next(&peer(2)), None);
    }

    #[test]
    fn the_quietest_publisher_makes_room() {
        let mut position = Position::new();
        for publisher in 0..1_024 {
            assert_eq!(position.advance(&at(publisher, 1, 0)), None);
        }
        position.advance(&at(0, 1, 1));
        assert_eq!(position.advance(&at(1_024, 1, 0)), Some(at(1, 1, 1)));
        assert_eq!(position.cursors().len(), 1_024);
        assert_eq!(position.next(&peer(0)), Some(at(0, 1, 2)));
        assert_eq!(position.next(&peer(1)), None);
        assert_eq!(position.to_string().parse(), Ok(position));
    }

    #[test]
    fn errors_say_which_cursor() {
        let message = |text: String| text.parse::<Position>().unwrap_err().to_string();
        let (one, two) = (at(1, 1, 1), at(2, 1, 1));
        assert_eq!("".parse(), Ok(Position::new()));
        assert!(message(format!("{one},")).starts_with("cursor 2 of the position: a cursor is PUBLISHER/"));
        assert!(message(format!("{one}, {two}")).starts_with("cursor 2 of the position: the publisher"));
        assert!(message(format!("{one},{one}")).starts_with("cursor 2 of the position names a publisher"));
        let many: Vec<_> = (0..1_025).map(|publisher| at(publisher, 1, 1).to_string()).collect();
        assert_eq!(message(many.join(",")), "a position holds at most 1024 cursors");
    }

    proptest! {
        #[test]
        fn positions_round_trip(cursors in proptest::collection::vec((0_u16..50, 0_u64..4, any::<u64>()), 0..80)) {
            let mut position = Position::new();
            for (publisher, incarnation, sequence) in cursors {
                let cursor = at(publisher, incarnation, sequence);
                let before = position.next(&cursor.publisher);
                position.advance(&cursor);
                prop_assert!(position.next(&cursor.publisher) >= before);
                prop_assert!(position.covers(&cursor) || sequence == u64::MAX);
            }
            let text = position.to_string();
            prop_assert!(!text.contains(char::is_whitespace));
            prop_assert_eq!(text.parse(), Ok(position));
        }

        #[test]
        fn any_text_is_a_position_or_an_error(text in any::<String>()) {
            prop_assert!(text.is_empty() || text.parse::<Position>().is_err());
        }
    }
}
