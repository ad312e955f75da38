//! How edits are taken back: for each the steps that do so, as far as nobody changed the same since. Not the making.

use std::collections::VecDeque;
use std::ops::Range;

use yrs::{GetString, ReadTxn, StickyIndex};

use super::edit::Operation;
use super::replica::{field_of, text_of};
use super::value::Value;
use super::{UNDO_BYTES_MAX, UNDO_MAX};

/// What takes one operation back.
#[derive(Debug)]
pub(super) enum Step {
    /// The field was `before` and became `after`.
    Field {
        list: String,
        item: String,
        field: String,
        before: Option<Value>,
        after: Option<Value>,
    },
    /// Between two places of a text, `inserted` took the place of `removed`.
    Splice {
        text: String,
        /// Where, and what the text became: as long as it is that, the place is exact. Held characters may have been removed
        /// and brought back, and are others then.
        start: usize,
        became: blake3::Hash,
        from: Option<StickyIndex>,
        to: Option<StickyIndex>,
        inserted: String,
        removed: String,
    },
}

impl Step {
    fn bytes(&self) -> usize {
        match self {
            Self::Field { before, after, .. } => [before, after].into_iter().flatten().map(Value::bytes).sum(),
            Self::Splice { inserted, removed, .. } => inserted.len() + removed.len(),
        }
    }

    /// What is to be done now; nothing, if others changed it since.
    pub(super) fn operations<T: ReadTxn>(&self, txn: &T) -> Vec<Operation> {
        match self {
            Self::Field {
                list,
                item,
                field,
                before,
                after,
            } => {
                if field_of(txn, list, item, field) != *after {
                    return Vec::new();
                }
                vec![Operation::Field {
                    list: list.clone(),
                    item: item.clone(),
                    field: field.clone(),
                    value: before.clone(),
                }]
            }
            Self::Splice {
                text,
                start,
                became,
                from,
                to,
                inserted,
                removed,
            } => {
                let Some(root) = text_of(txn, text) else {
                    return Vec::new();
                };
                let whole = root.get_string(txn);
                let stands = if blake3::hash(whole.as_bytes()) == *became {
                    *start..*start + inserted.len()
                } else {
                    let start = offset(txn, &whole, from.as_ref()).unwrap_or(0);
                    start..offset(txn, &whole, to.as_ref()).unwrap_or(start).max(start)
                };
                splices(text, &whole, stands, inserted, removed)
            }
        }
    }
}

fn offset<T: ReadTxn>(txn: &T, whole: &str, index: Option<&StickyIndex>) -> Option<usize> {
    let offset = index?.get_offset(txn)?.index as usize;
    whole.is_char_boundary(offset).then_some(offset)
}

/// Of what stands where `inserted` was put, what is left of it goes at both ends; what others wrote between stays.
fn splices(name: &str, whole: &str, stands: Range<usize>, inserted: &str, removed: &str) -> Vec<Operation> {
    let (start, end) = (stands.start, stands.end);
    let stands = whole.get(stands).unwrap_or_default();
    let head = common_head(stands, inserted);
    let tail = common_tail(&stands[head..], &inserted[head..]);
    let splice = |range, insert: &str| Operation::Splice {
        text: name.to_owned(),
        range,
        insert: insert.to_owned(),
    };
    // Backwards, so that ranges hold.
    let mut operations = Vec::new();
    if tail > 0 {
        operations.push(splice(end - tail..end, ""));
    }
    if head > 0 || !removed.is_empty() {
        operations.push(splice(start..start + head, removed));
    }
    operations
}

fn common_head(one: &str, other: &str) -> usize {
    let same = one.chars().zip(other.chars()).take_while(|(one, other)| one == other);
    same.map(|(one, _)| one.len_utf8()).sum()
}

fn common_tail(one: &str, other: &str) -> usize {
    let same = one
        .chars()
        .rev()
        .zip(other.chars().rev())
        .take_while(|(one, other)| one == other);
    same.map(|(one, _)| one.len_utf8()).sum()
}

/// Edits that can be taken back, the newest last; the oldest are forgotten.
#[derive(Debug, Default)]
pub(super) struct Undo {
    edits: VecDeque<Vec<Step>>,
    bytes: usize,
}

impl Undo {
    pub(super) fn push(&mut self, steps: Vec<Step>) {
        self.bytes += bytes_of(&steps);
        self.edits.push_back(steps);
        while self.edits.len() > UNDO_MAX || self.bytes > UNDO_BYTES_MAX {
            let forgotten = self.edits.pop_front();
            self.bytes -= forgotten.as_deref().map_or(0, bytes_of);
        }
    }

    pub(super) fn pop(&mut self) -> Option<Vec<Step>> {
        let steps = self.edits.pop_back()?;
        self.bytes -= bytes_of(&steps);
        Some(steps)
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

fn bytes_of(steps: &[Step]) -> usize {
    steps.iter().map(Step::bytes).sum()
}
