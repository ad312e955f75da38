//! What a program asks to be changed, recorded before anything is: an edit is made as a whole or not at all. Not the making.

use std::collections::BTreeMap;
use std::ops::Range;

use thiserror::Error;

use super::check::is_name;
use super::replica::Replica;
use super::value::{FIELD_BYTES_MAX, FIELDS_MAX, ITEM_BYTES_MAX, Item, NAME_BYTES_MAX, VALUE_BYTES_MAX, Value};
use super::{EDIT_BYTES_MAX, EDITABLE_BYTES_MAX, OPERATIONS_MAX};

/// Why a document was not edited. Nothing of the edit was made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EditError {
    /// A name, an item's id or a field's name cannot be one.
    #[error(
        "`{name}` cannot be a name here: take 1 to {bytes_max} bytes without control characters, \
         and a hash of what is longer"
    )]
    Name {
        /// The name.
        name: String,
        /// The limit.
        bytes_max: usize,
    },
    /// A value cannot be one.
    #[error("a value of {bytes} bytes is over the limit of {bytes_max}: share it as a blob, and set its id here")]
    ValueTooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// A number is infinite, or none.
    #[error("only finite numbers can be set; use text for others")]
    NotFinite,
    /// An item has as many fields as it may have.
    #[error("an item has at most {fields_max} fields; use more items")]
    TooManyFields {
        /// The limit.
        fields_max: usize,
    },
    /// The range is not in the text, or cuts a character.
    #[error("bytes {start} to {end} are not whole characters of this text of {bytes} bytes; read it in the same edit")]
    Range {
        /// Where it begins.
        start: usize,
        /// Where it ends.
        end: usize,
        /// The length of the text.
        bytes: usize,
    },
    /// Too much for one edit.
    #[error("this is too much for one edit; make several")]
    TooMuch,
    /// The document is full.
    #[error("the document is as large as it may be, {bytes_max} bytes: remove something, or use another document")]
    Full {
        /// The limit.
        bytes_max: usize,
    },
    /// The edit could not be made.
    #[error("the edit could not be made, and the document is as before; do it again in smaller steps")]
    Failed,
    /// The edit is made, and not stored.
    #[error("the edit is made, and is not stored: {0}; free space, or use another data directory")]
    NotStored(String),
    /// The mesh was left, or the node shut down.
    #[error("the mesh was left")]
    Closed,
}

/// One thing to do. Names and sizes are in their bounds.
#[derive(Clone, Debug)]
pub(super) enum Operation {
    /// Set a field, or remove it; the empty field says that the item is there.
    Field {
        list: String,
        item: String,
        field: String,
        value: Option<Value>,
    },
    /// Replace bytes of a text.
    Splice {
        text: String,
        range: Range<usize>,
        insert: String,
    },
}

/// An edit that is being described. It reads as if what it says were done already.
#[derive(Debug)]
pub struct Edit<'a> {
    replica: &'a Replica,
    pub(super) operations: Vec<Operation>,
    bytes: usize,
    texts: BTreeMap<String, String>,
    /// Nothing for those that it removes.
    items: BTreeMap<(String, String), Option<Item>>,
}

impl<'a> Edit<'a> {
    pub(super) fn new(replica: &'a Replica) -> Self {
        Self {
            replica,
            operations: Vec::new(),
            bytes: 0,
            texts: BTreeMap::new(),
            items: BTreeMap::new(),
        }
    }

    /// An item of a list, if it is there.
    #[must_use]
    pub fn item(&self, list: &str, item: &str) -> Option<Item> {
        match self.items.get(&(list.to_owned(), item.to_owned())) {
            Some(edited) => edited.clone(),
            None => self.replica.item(list, item),
        }
    }

    /// A text; empty if there is none.
    #[must_use]
    pub fn text(&self, name: &str) -> String {
        match self.texts.get(name) {
            Some(edited) => edited.clone(),
            None => self.replica.text(name),
        }
    }

    /// Sets a field of an item. The item is there afterwards, also if it was not, or was removed.
    ///
    /// # Errors
    /// [`EditError`].
    pub fn set(&mut self, list: &str, item: &str, field: &str, value: impl Into<Value>) -> Result<(), EditError> {
        let value = match value.into() {
            Value::Number(number) => Value::number(number),
            value => value,
        };
        if matches!(value, Value::Number(number) if !number.is_finite()) {
            return Err(EditError::NotFinite);
        }
        if value.bytes() > VALUE_BYTES_MAX {
            return Err(EditError::ValueTooLarge {
                bytes: value.bytes(),
                bytes_max: VALUE_BYTES_MAX,
            });
        }
        named(list, NAME_BYTES_MAX)?;
        named(item, ITEM_BYTES_MAX)?;
        named(field, FIELD_BYTES_MAX)?;
        let before = self.item(list, item);
        let mut fields = before.clone().unwrap_or_default();
        fields.insert(field.to_owned(), value.clone());
        if fields.len() > FIELDS_MAX {
            return Err(EditError::TooManyFields { fields_max: FIELDS_MAX });
        }
        if before.is_none() {
            // Others may have set fields of the removed item that nobody sees.
            for hidden in self.replica.hidden_fields(list, item) {
                self.field(list, item, &hidden, None)?;
            }
            self.field(list, item, "", Some(Value::Bool(true)))?;
        }
        self.field(list, item, field, Some(value))?;
        self.items.insert((list.to_owned(), item.to_owned()), Some(fields));
        Ok(())
    }

    /// Removes a field of an item. Nothing happens if it is not there.
    ///
    /// # Errors
    /// [`EditError::TooMuch`].
    pub fn unset(&mut self, list: &str, item: &str, field: &str) -> Result<(), EditError> {
        let Some(mut fields) = self.item(list, item) else {
            return Ok(());
        };
        if fields.remove(field).is_none() {
            return Ok(());
        }
        self.field(list, item, field, None)?;
        self.items.insert((list.to_owned(), item.to_owned()), Some(fields));
        Ok(())
    }

    /// Removes an item. It stays removed, whatever others change in it at the same time, until it is set again. Nothing
    /// happens if it is not there.
    ///
    /// # Errors
    /// [`EditError::TooMuch`].
    pub fn remove(&mut self, list: &str, item: &str) -> Result<(), EditError> {
        let Some(fields) = self.item(list, item) else {
            return Ok(());
        };
        for field in fields.keys() {
            self.field(list, item, field, None)?;
        }
        self.field(list, item, "", None)?;
        self.items.insert((list.to_owned(), item.to_owned()), None);
        Ok(())
    }

    /// Replaces a range of a text, in bytes of UTF-8, as [`text`](Self::text) shows it. What others write elsewhere in it at
    /// the same time stays.
    ///
    /// # Errors
    /// [`EditError`].
    pub fn splice(&mut self, text: &str, range: Range<usize>, insert: &str) -> Result<(), EditError> {
        named(text, NAME_BYTES_MAX)?;
        let mut whole = self.text(text);
        if whole.get(range.clone()).is_none() {
            return Err(EditError::Range {
                start: range.start,
                end: range.end,
                bytes: whole.len(),
            });
        }
        if range.is_empty() && insert.is_empty() {
            return Ok(());
        }
        self.record(
            Operation::Splice {
                text: text.to_owned(),
                range: range.clone(),
                insert: insert.to_owned(),
            },
            text.len() + insert.len(),
        )?;
        whole.replace_range(range, insert);
        self.texts.insert(text.to_owned(), whole);
        Ok(())
    }

    fn field(&mut self, list: &str, item: &str, field: &str, value: Option<Value>) -> Result<(), EditError> {
        let bytes = list.len() + item.len() + field.len() + value.as_ref().map_or(0, Value::bytes);
        let operation = Operation::Field {
            list: list.to_owned(),
            item: item.to_owned(),
            field: field.to_owned(),
            value,
        };
        self.record(operation, bytes)
    }

    fn record(&mut self, operation: Operation, bytes: usize) -> Result<(), EditError> {
        self.bytes += bytes;
        if self.operations.len() >= OPERATIONS_MAX || self.bytes > EDIT_BYTES_MAX {
            return Err(EditError::TooMuch);
        }
        let grows = !matches!(operation, Operation::Field { value: None, .. });
        if grows && self.replica.bytes() + self.bytes > EDITABLE_BYTES_MAX {
            return Err(EditError::Full {
                bytes_max: EDITABLE_BYTES_MAX,
            });
        }
        self.operations.push(operation);
        Ok(())
    }
}

fn named(name: &str, bytes_max: usize) -> Result<(), EditError> {
    if is_name(name, bytes_max) {
        return Ok(());
    }
    Err(EditError::Name {
        name: name
            .chars()
            .filter(|character| !character.is_control())
            .take(bytes_max)
            .collect(),
        bytes_max,
    })
}
