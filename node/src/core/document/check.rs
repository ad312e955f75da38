//! A walk over an update before the library sees it: whether it is well-formed, and holds nothing but what a document may.
//! The form is v1 of Yjs (<https://github.com/yjs/yjs>), in which no byte stands for more than one item, so that the size of
//! what is decoded is bounded by the size of what came. Not a decoder.

use std::collections::{BTreeMap, BTreeSet};

use super::value::{FIELD_BYTES_MAX, ITEM_BYTES_MAX, NAME_BYTES_MAX, VALUE_BYTES_MAX};
use super::vector::Vector;

/// Client numbers are of 53 bits.
pub(super) const CLIENT_MAX: u64 = (1 << 53) - 1;
/// No client has more items, counted by length.
pub(super) const CLOCK_MAX: u32 = i32::MAX as u32;

/// What the names of root maps, which are lists, begin with.
pub(super) const LIST_PREFIX: &str = "l/";
/// What the names of root texts begin with.
pub(super) const TEXT_PREFIX: &str = "t/";
/// Between an item's id and a field's name.
pub(super) const SEPARATOR: char = '\0';

const HAS_LEFT: u8 = 0x80;
const HAS_RIGHT: u8 = 0x40;
const HAS_KEY: u8 = 0x20;
const KIND: u8 = 0x1f;
const COLLECTED: u8 = 0;
const DELETED: u8 = 1;
const STRING: u8 = 4;
const VALUES: u8 = 8;
const NAMED_PARENT: u64 = 1;

/// What is wrong with an update, or with the record that brought it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Flaw {
    /// Cut short, or with numbers out of their range.
    #[error("it is malformed")]
    Malformed,
    /// A kind of content that no document has.
    #[error("it holds what no document holds")]
    Foreign,
    /// A name or a value is too long, or a name is empty.
    #[error("a name or a value in it is out of bounds")]
    Bounds,
    /// Items of another author.
    #[error("it holds edits of somebody else")]
    NotTheirs,
    /// The document would be too large.
    #[error("the document would be larger than allowed")]
    TooLarge,
    /// The library fell over it.
    #[error("it cannot be applied")]
    Unappliable,
}

/// What an update brings, and what must be had before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// For each client, the items it brings.
    brings: BTreeMap<u64, (u32, u32)>,
    /// For each client, how much must be had, with the update, for it to stand on.
    needs: Vector,
    deletes: bool,
    /// Lists and names of fields that are new in it.
    fields: BTreeSet<(String, String)>,
    /// What it names of lists and texts, as the library does: new ones among them.
    roots: BTreeSet<String>,
}

impl Extent {
    /// Whether it can be applied where so much is had.
    #[must_use]
    pub fn is_ready(&self, had: &Vector) -> bool {
        let is_next = |(client, (start, _)): (&u64, &(u32, u32))| *start <= had.clock(*client);
        let is_there = |(client, clock)| had.clock(client).max(self.end_of(client).unwrap_or(0)) >= clock;
        self.brings.iter().all(is_next) && self.needs.iter().all(is_there)
    }

    /// Whether it brings nothing where so much is had.
    #[must_use]
    pub fn is_old(&self, had: &Vector) -> bool {
        !self.deletes && self.brings.iter().all(|(client, (_, end))| *end <= had.clock(*client))
    }

    /// What is had once it is applied.
    #[must_use]
    pub fn after(&self, had: &Vector) -> Vector {
        let mut after = had.clone();
        self.raise(&mut after);
        after
    }

    pub(super) fn raise(&self, had: &mut Vector) {
        for (client, (_, end)) in &self.brings {
            had.raise(*client, *end);
        }
    }

    /// Lists and names of fields in them that it is the first to use, and maybe others.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|(list, field)| (list.as_str(), field.as_str()))
    }

    /// Lists and texts that it is the first to use, and maybe others, as the library names them.
    pub(super) fn roots(&self) -> impl Iterator<Item = &str> {
        self.roots.iter().map(String::as_str)
    }

    /// Whether all items it brings are of this client.
    #[must_use]
    pub fn is_of(&self, client: u64) -> bool {
        self.brings.keys().all(|one| *one == client)
    }

    /// Where the items of a client end, if it brings some.
    #[must_use]
    pub fn end_of(&self, client: u64) -> Option<u32> {
        self.brings.get(&client).map(|(_, end)| *end)
    }
}

/// Looks through an update.
///
/// # Errors
/// [`Flaw`].
pub fn check(update: &[u8]) -> Result<Extent, Flaw> {
    let mut walk = Walk { rest: update };
    let mut extent = Extent::default();
    for _ in 0..walk.number()? {
        let items = walk.number()?;
        let (client, start) = (walk.client()?, walk.clock()?);
        let mut end = start;
        for _ in 0..items {
            let length = walk.item(&mut extent)?;
            end = end
                .checked_add(length)
                .filter(|end| *end <= CLOCK_MAX)
                .ok_or(Flaw::Malformed)?;
        }
        if extent.brings.insert(client, (start, end)).is_some() {
            return Err(Flaw::Malformed);
        }
    }
    let mut last = None;
    for _ in 0..walk.number()? {
        let client = walk.client()?;
        if last.replace(client) == Some(client) {
            return Err(Flaw::Malformed);
        }
        for _ in 0..walk.number()? {
            let (start, length) = (walk.clock()?, walk.clock()?);
            let end = start
                .checked_add(length)
                .filter(|end| *end <= CLOCK_MAX)
                .ok_or(Flaw::Malformed)?;
            if length == 0 {
                return Err(Flaw::Malformed);
            }
            extent.deletes = true;
            extent.needs.raise(client, end);
        }
    }
    match walk.rest {
        [] => Ok(extent),
        _ => Err(Flaw::Malformed),
    }
}

/// Whether a list or a text may have this name.
pub(super) fn is_name(name: &str, bytes_max: usize) -> bool {
    !name.is_empty() && name.len() <= bytes_max && !name.contains(char::is_control)
}

/// An item's id and a field's name; the empty one says that the item is there.
pub(super) fn split_key(key: &str) -> Option<(&str, &str)> {
    let (item, field) = key.split_once(SEPARATOR)?;
    let is_field = field.is_empty() || is_name(field, FIELD_BYTES_MAX);
    (is_name(item, ITEM_BYTES_MAX) && is_field).then_some((item, field))
}

struct Walk<'a> {
    rest: &'a [u8],
}

impl<'a> Walk<'a> {
    fn byte(&mut self) -> Result<u8, Flaw> {
        let (first, rest) = self.rest.split_first().ok_or(Flaw::Malformed)?;
        self.rest = rest;
        Ok(*first)
    }

    fn take(&mut self, bytes: u64) -> Result<&'a [u8], Flaw> {
        let bytes = usize::try_from(bytes).map_err(|_| Flaw::Malformed)?;
        let (taken, rest) = self.rest.split_at_checked(bytes).ok_or(Flaw::Malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u64, Flaw> {
        let mut number = 0;
        for shift in (0..63).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Flaw::Malformed)
    }

    fn client(&mut self) -> Result<u64, Flaw> {
        let client = self.number()?;
        (client <= CLIENT_MAX).then_some(client).ok_or(Flaw::Malformed)
    }

    fn clock(&mut self) -> Result<u32, Flaw> {
        let clock = u32::try_from(self.number()?).map_err(|_| Flaw::Malformed)?;
        (clock <= CLOCK_MAX).then_some(clock).ok_or(Flaw::Malformed)
    }

    fn text(&mut self) -> Result<&'a str, Flaw> {
        let bytes = self.number()?;
        std::str::from_utf8(self.take(bytes)?).map_err(|_| Flaw::Malformed)
    }

    /// One item; its length.
    fn item(&mut self, extent: &mut Extent) -> Result<u32, Flaw> {
        let info = self.byte()?;
        if info == COLLECTED {
            return self.length();
        }
        for side in [HAS_LEFT, HAS_RIGHT] {
            if info & side != 0 {
                let (client, clock) = (self.client()?, self.clock()?);
                extent.needs.raise(client, clock.checked_add(1).ok_or(Flaw::Malformed)?);
            }
        }
        // With a neighbour, the parent is the neighbour's.
        if info & (HAS_LEFT | HAS_RIGHT) == 0 {
            self.parent(info & HAS_KEY != 0, extent)?;
        }
        match info & KIND {
            DELETED => self.length(),
            STRING => {
                let text = self.text()?;
                let length = u32::try_from(text.encode_utf16().count()).map_err(|_| Flaw::Malformed)?;
                (length > 0).then_some(length).ok_or(Flaw::Malformed)
            }
            VALUES => {
                let length = self.length()?;
                (0..length).try_for_each(|_| self.value())?;
                Ok(length)
            }
            _ => Err(Flaw::Foreign),
        }
    }

    fn length(&mut self) -> Result<u32, Flaw> {
        let length = self.clock()?;
        (length > 0).then_some(length).ok_or(Flaw::Malformed)
    }

    fn parent(&mut self, has_key: bool, extent: &mut Extent) -> Result<(), Flaw> {
        if self.number()? != NAMED_PARENT {
            return Err(Flaw::Foreign);
        }
        let root = self.text()?;
        let key = if has_key { Some(self.text()?) } else { None };
        let (name, field) = match (root.split_at_checked(LIST_PREFIX.len()), key) {
            (Some((LIST_PREFIX, name)), Some(key)) => (name, Some(split_key(key).ok_or(Flaw::Bounds)?.1)),
            (Some((TEXT_PREFIX, name)), None) => (name, None),
            _ => return Err(Flaw::Foreign),
        };
        if !is_name(name, NAME_BYTES_MAX) {
            return Err(Flaw::Bounds);
        }
        if !extent.roots.contains(root) {
            extent.roots.insert(root.to_owned());
        }
        if let Some(field) = field.filter(|field| !field.is_empty()) {
            extent.fields.insert((name.to_owned(), field.to_owned()));
        }
        Ok(())
    }

    fn value(&mut self) -> Result<(), Flaw> {
        match self.byte()? {
            120 | 121 => Ok(()),
            122 => self.take(8).map(drop),
            123 => {
                let bytes = self.take(8)?.try_into().map_err(|_| Flaw::Malformed)?;
                finite(f64::from_be_bytes(bytes))
            }
            124 => {
                let bytes = self.take(4)?.try_into().map_err(|_| Flaw::Malformed)?;
                finite(f32::from_be_bytes(bytes).into())
            }
            // A signed number: six bits and a sign in its first byte, seven bits in each that follows.
            125 => {
                let mut bytes = 1;
                while self.byte()? >= 0x80 {
                    bytes += 1;
                    if bytes > 9 {
                        return Err(Flaw::Malformed);
                    }
                }
                Ok(())
            }
            kind @ (116 | 119) => {
                let bytes = self.number()?;
                if bytes > VALUE_BYTES_MAX as u64 {
                    return Err(Flaw::Bounds);
                }
                let bytes = self.take(bytes)?;
                let is_text = kind == 116 || std::str::from_utf8(bytes).is_ok();
                if is_text { Ok(()) } else { Err(Flaw::Malformed) }
            }
            _ => Err(Flaw::Foreign),
        }
    }
}

fn finite(number: f64) -> Result<(), Flaw> {
    if number.is_finite() {
        Ok(())
    } else {
        Err(Flaw::Malformed)
    }
}
