//! What a document holds, as plain values: lists of items, whose fields have values, and texts. And the hash of it all.

use std::collections::BTreeMap;
use std::fmt;

use yrs::{Any, Number};

/// The name of a list or a text, in bytes.
pub const NAME_BYTES_MAX: usize = 64;
/// The id of an item, in bytes.
pub const ITEM_BYTES_MAX: usize = 128;
/// The name of a field, in bytes.
pub const FIELD_BYTES_MAX: usize = 64;
/// Fields of one item.
pub const FIELDS_MAX: usize = 64;
/// A value, in bytes.
pub const VALUE_BYTES_MAX: usize = 65_536;

/// The value of a field. Numbers are finite.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// Yes or no.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// Any other number.
    Number(f64),
    /// Text, at most 65,536 bytes.
    Text(String),
    /// Bytes, at most 65,536.
    Bytes(Vec<u8>),
}

impl Value {
    /// The text, if it is one.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Bool(_) | Self::Integer(_) | Self::Number(_) => 8,
            Self::Text(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
        }
    }

    /// Nothing for what the library knows and a document does not.
    pub(super) fn read(any: Any) -> Option<Self> {
        Some(match any {
            Any::Bool(value) => Self::Bool(value),
            Any::Number(Number::Int(value)) => Self::Integer(value),
            Any::Number(Number::Float(value)) => Self::number(value),
            Any::String(text) => Self::Text(text.as_ref().to_owned()),
            Any::Buffer(bytes) => Self::Bytes(bytes.to_vec()),
            Any::Null | Any::Undefined | Any::Array(_) | Any::Map(_) => return None,
        })
    }

    /// One form for each number: what is whole and an integer can hold is one, for it may travel as either.
    pub(super) fn number(value: f64) -> Self {
        const INTEGERS_END: f64 = 9_223_372_036_854_775_808.0;
        if value.fract() == 0.0 && value.abs() <= INTEGERS_END {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "it is whole, and the end itself travels for the last integer"
            )]
            return Self::Integer(value as i64);
        }
        Self::Number(value)
    }

    pub(super) fn write(&self) -> Any {
        match self {
            Self::Bool(value) => Any::Bool(*value),
            Self::Integer(value) => Any::Number(Number::Int(*value)),
            Self::Number(value) => Any::Number(Number::Float(*value)),
            Self::Text(text) => Any::String(text.as_str().into()),
            Self::Bytes(bytes) => Any::Buffer(bytes.as_slice().into()),
        }
    }

    fn hash(&self, hasher: &mut blake3::Hasher) {
        match self {
            Self::Bool(value) => drop(hasher.update(&[1, u8::from(*value)])),
            Self::Integer(value) => drop(hasher.update(&[2]).update(&value.to_be_bytes())),
            Self::Number(value) => drop(hasher.update(&[3]).update(&value.to_bits().to_be_bytes())),
            Self::Text(text) => hash_bytes(hasher.update(&[4]), text.as_bytes()),
            Self::Bytes(bytes) => hash_bytes(hasher.update(&[5]), bytes),
        }
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::number(value)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

/// The fields of an item, by name.
pub type Item = BTreeMap<String, Value>;

/// All that a document holds at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Contents {
    /// Items by their ids, in lists by their names. A list without items is none.
    pub lists: BTreeMap<String, BTreeMap<String, Item>>,
    /// Texts by their names. An empty text is none.
    pub texts: BTreeMap<String, String>,
}

impl Contents {
    /// The items of a list, by id; none if there is no such list.
    pub fn list(&self, name: &str) -> impl Iterator<Item = (&str, &Item)> {
        let items = self.lists.get(name).into_iter().flatten();
        items.map(|(id, item)| (id.as_str(), item))
    }

    /// A text; empty if there is none.
    #[must_use]
    pub fn text(&self, name: &str) -> &str {
        self.texts.get(name).map_or("", String::as_str)
    }

    /// Equal for equal contents.
    #[must_use]
    pub fn hash(&self) -> StateHash {
        let mut hasher = blake3::Hasher::new_derive_key("maille 1 document contents");
        for (name, items) in &self.lists {
            hash_bytes(hasher.update(b"l"), name.as_bytes());
            for (id, item) in items {
                hash_bytes(hasher.update(b"i"), id.as_bytes());
                for (field, value) in item {
                    hash_bytes(hasher.update(b"f"), field.as_bytes());
                    value.hash(&mut hasher);
                }
            }
        }
        for (name, text) in &self.texts {
            hash_bytes(hasher.update(b"t"), name.as_bytes());
            hash_bytes(&mut hasher, text.as_bytes());
        }
        StateHash(*hasher.finalize().as_bytes())
    }
}

fn hash_bytes(hasher: &mut blake3::Hasher, bytes: &[u8]) {
    hasher.update(&(bytes.len() as u64).to_be_bytes());
    hasher.update(bytes);
}

/// A hash of a document's contents: members that have the same edits have the same one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StateHash(pub(super) [u8; 32]);

impl StateHash {
    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// What a summary says of it.
    pub(super) fn short(&self) -> u64 {
        let (first, _) = self.0.split_first_chunk().expect("32 bytes are more than 8");
        u64::from_be_bytes(*first)
    }
}

impl fmt::Display for StateHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for StateHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StateHash({self})")
    }
}
