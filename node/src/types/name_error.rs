//! What is wrong with the name of a mesh, a topic or a service, at which place, and what is allowed there.

use std::fmt;

/// Which of the names an error is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NameKind {
    /// A mesh name.
    Mesh,
    /// A topic name.
    Topic,
    /// The name of a service.
    Service,
}

impl NameKind {
    /// What one part of such a name is called.
    fn part(self) -> &'static str {
        match self {
            Self::Mesh => "label",
            Self::Topic | Self::Service => "segment",
        }
    }

    fn separator(self) -> char {
        match self {
            Self::Mesh => '.',
            Self::Topic | Self::Service => '/',
        }
    }

    fn allowed(self) -> &'static str {
        match self {
            Self::Mesh => "lower-case letters, digits, '-' and '.', as in market.example",
            Self::Topic => "letters, digits, '.', '_', '-' and '/' between segments, as in equities/us",
            Self::Service => "letters, digits, '.', '_', '-' and '/' between segments, as in photos/thumbnail",
        }
    }
}

impl fmt::Display for NameKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mesh => "mesh name",
            Self::Topic => "topic name",
            Self::Service => "service name",
        })
    }
}

/// Why a text is not the name of a mesh, a topic or a service. Offsets are in bytes from the start of the name, the first is 0.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// Nothing there.
    #[error("a {kind} cannot be empty: use {}", kind.allowed())]
    Empty {
        /// Which name.
        kind: NameKind,
    },
    /// More bytes than a name may have.
    #[error("a {kind} has at most {bytes_max} bytes, this one has {bytes}")]
    TooLong {
        /// Which name.
        kind: NameKind,
        /// Its length.
        bytes: usize,
        /// The longest allowed.
        bytes_max: usize,
    },
    /// An upper-case letter in a mesh name.
    #[error("{character:?} at byte {offset} of the mesh name: use lower case, {:?}", character.to_ascii_lowercase())]
    UpperCase {
        /// The letter.
        character: char,
        /// Where it is.
        offset: usize,
    },
    /// A character that names do not have.
    #[error("{character:?} at byte {offset} of the {kind} is not allowed: use {}", kind.allowed())]
    Character {
        /// Which name.
        kind: NameKind,
        /// The character.
        character: char,
        /// Where it is.
        offset: usize,
    },
    /// Nothing between two separators, before the first or after the last.
    #[error(
        "empty {} at byte {offset} of the {kind}: no {:?} at its start or end, nor two in a row",
        kind.part(), kind.separator()
    )]
    EmptyPart {
        /// Which name.
        kind: NameKind,
        /// Where the missing part would be.
        offset: usize,
    },
    /// A label of a mesh name that is too long.
    #[error("the label at byte {offset} of the mesh name has {bytes} bytes, at most {bytes_max} are allowed")]
    LongLabel {
        /// Where the label begins.
        offset: usize,
        /// Its length.
        bytes: usize,
        /// The longest allowed.
        bytes_max: usize,
    },
    /// A label of a mesh name that begins or ends with a hyphen.
    #[error("'-' at byte {offset} of the mesh name: a label begins and ends with a letter or a digit")]
    Hyphen {
        /// Where the hyphen is.
        offset: usize,
    },
    /// A segment `.` or `..`.
    #[error("segment {segment:?} at byte {offset} of the {kind}: a {kind} is not a path")]
    DotSegment {
        /// Which name.
        kind: NameKind,
        /// The segment.
        segment: &'static str,
        /// Where it begins.
        offset: usize,
    },
    /// Too many segments.
    #[error("a {kind} has at most {segments_max} segments, this one has {segments}")]
    TooManySegments {
        /// Which name.
        kind: NameKind,
        /// How many it has.
        segments: usize,
        /// The most allowed.
        segments_max: usize,
    },
}

/// What every name type offers, over a check `fn(&str) -> Result<(), NameError>`.
macro_rules! name_type {
    ($name:ident, $check:path) => {
        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = crate::types::NameError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                $check(text)?;
                Ok(Self(text.into()))
            }
        }

        impl TryFrom<&str> for $name {
            type Error = crate::types::NameError;

            fn try_from(text: &str) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl TryFrom<String> for $name {
            type Error = crate::types::NameError;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(&self.0)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    };
}
pub(super) use name_type;
