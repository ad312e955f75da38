//! One node's copy of a document: the CRDT library behind a door. It takes no update that was not checked, and should the
//! library fall over one all the same, it is made anew from what was applied before. Not what is told to whom.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use maille_proto::DOCUMENT_BYTES_MAX;
use yrs::block::ClientID;
use yrs::updates::decoder::Decode;
use yrs::{
    Assoc, Doc, GetString, IndexedSequence, Map, MapRef, Options, Out, ReadTxn, RootRef, Text, TextRef, Transact,
    TransactionMut, Update,
};

use super::changes::Changes;
use super::check::{Extent, Flaw, LIST_PREFIX, SEPARATOR, TEXT_PREFIX, check, split_key};
use super::edit::{Edit, EditError, Operation};
use super::touched::{Listening, Reader, Touched};
use super::undo::{Step, Undo};
use super::value::{Contents, Item, StateHash, Value};
use super::vector::Vector;

/// Updates since the base after which there is a new one, if it is not larger than they are.
const REBASE_BYTES_MIN: usize = 262_144;
/// What an update costs beyond its bytes.
const UPDATE_OVERHEAD_BYTES: usize = 32;

/// A copy of a document.
pub struct Replica {
    doc: Doc,
    client: u64,
    vector: Vector,
    /// Names of fields that were ever used in a list: those that an item may have.
    fields: BTreeMap<String, BTreeSet<String>>,
    /// The document once, as one update, and what was applied since: what it is made anew from.
    base: Bytes,
    since: Vec<Bytes>,
    since_bytes: usize,
    undo: Undo,
    redo: Undo,
    listening: Listening,
    /// As they were before `unread` was touched.
    contents: Arc<Contents>,
    unread: Touched,
    hash: Option<StateHash>,
}

impl std::fmt::Debug for Replica {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { client, vector, .. } = self;
        f.debug_struct("Replica")
            .field("client", client)
            .field("vector", vector)
            .finish_non_exhaustive()
    }
}

impl Replica {
    /// Empty. Nobody else may edit under this client number.
    #[must_use]
    pub fn new(client: u64) -> Self {
        Self {
            doc: empty(client),
            client,
            vector: Vector::default(),
            fields: BTreeMap::new(),
            base: Bytes::new(),
            since: Vec::new(),
            since_bytes: 0,
            undo: Undo::default(),
            redo: Undo::default(),
            listening: Listening::default(),
            contents: Arc::default(),
            unread: Touched::default(),
            hash: None,
        }
    }

    /// The client number of its edits.
    #[must_use]
    pub fn client(&self) -> u64 {
        self.client
    }

    /// What it has.
    #[must_use]
    pub fn vector(&self) -> &Vector {
        &self.vector
    }

    /// How much it holds, at most, as updates.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.base.len() + self.since_bytes
    }

    // ---- reading -------------------------------------------------------------------------------------------------

    /// All it holds. What changed since it was last asked for is read, and no more.
    pub fn contents(&mut self) -> Arc<Contents> {
        let touched = std::mem::take(&mut self.unread);
        if touched.everything {
            self.contents = Arc::new(read_contents(&self.doc));
        } else {
            let changes = self.read(&touched);
            if !changes.is_empty() {
                Arc::make_mut(&mut self.contents).apply(changes);
            }
        }
        self.contents.clone()
    }

    /// The same, without what is known of changes.
    #[cfg(test)]
    pub(super) fn read_anew(&self) -> Contents {
        read_contents(&self.doc)
    }

    /// Somebody reads from now on, and is at first told everything.
    pub fn follow(&mut self) -> Reader {
        self.listening.begin()
    }

    /// They read no more.
    pub fn unfollow(&mut self, reader: Reader) {
        self.listening.end(reader);
    }

    /// What changed since they last looked.
    pub fn look(&mut self, reader: Reader) -> Changes {
        let touched = self.listening.take(reader);
        if touched.everything {
            Changes::whole(&self.contents())
        } else {
            self.read(&touched)
        }
    }

    fn read(&self, touched: &Touched) -> Changes {
        let mut changes = Changes::default();
        for (list, item) in &touched.items {
            let now = self.item(list, item);
            changes.lists.entry(list.clone()).or_default().insert(item.clone(), now);
        }
        let texts = touched.texts.iter().map(|name| (name.clone(), self.text(name)));
        changes.texts = texts.collect();
        changes
    }

    /// The hash of all it holds. Made once, as the contents.
    pub fn hash(&mut self) -> StateHash {
        let contents = self.contents();
        *self.hash.get_or_insert_with(|| contents.hash())
    }

    pub(super) fn item(&self, list: &str, item: &str) -> Option<Item> {
        let txn = self.doc.transact();
        field_of(&txn, list, item, "")?;
        Some(self.fields_of(&txn, list, item).collect())
    }

    /// Fields of an item that is not there.
    pub(super) fn hidden_fields(&self, list: &str, item: &str) -> Vec<String> {
        let txn = self.doc.transact();
        self.fields_of(&txn, list, item).map(|(field, _)| field).collect()
    }

    fn fields_of<T: ReadTxn>(&self, txn: &T, list: &str, item: &str) -> impl Iterator<Item = (String, Value)> {
        let known = self.fields.get(list).into_iter().flatten();
        known.filter_map(move |field| Some((field.clone(), field_of(txn, list, item, field)?)))
    }

    pub(super) fn text(&self, name: &str) -> String {
        let txn = self.doc.transact();
        text_of(&txn, name)
            .map(|text| text.get_string(&txn))
            .unwrap_or_default()
    }

    /// What those lack who have this; all deletions are in it.
    #[must_use]
    pub fn diff(&self, had: &Vector) -> Bytes {
        self.doc.transact().encode_diff_v1(&had.to_library()).into()
    }

    // ---- updates -------------------------------------------------------------------------------------------------

    /// Applies an update that is ready. Whether it changed anything.
    ///
    /// # Errors
    /// [`Flaw::TooLarge`], [`Flaw::Unappliable`]: it is as before, but for what can be undone.
    pub fn apply(&mut self, update: &Bytes, extent: &Extent) -> Result<bool, Flaw> {
        if self.bytes() + update.len() > DOCUMENT_BYTES_MAX {
            self.rebase();
            if self.bytes() + update.len() > DOCUMENT_BYTES_MAX {
                return Err(Flaw::TooLarge);
            }
        }
        let doc = &self.doc;
        let applied = catch_unwind(AssertUnwindSafe(|| apply(doc, update)));
        match applied {
            Ok(Some(false)) => Ok(false),
            Ok(Some(true)) => {
                self.applied(update.clone(), extent);
                Ok(true)
            }
            Ok(None) | Err(_) => {
                self.make_anew();
                Err(Flaw::Unappliable)
            }
        }
    }

    /// The whole document as one update, from now on the base.
    pub fn rebase(&mut self) -> Bytes {
        self.base = self.diff(&Vector::default());
        self.since.clear();
        self.since_bytes = 0;
        self.base.clone()
    }

    /// Whether so much was applied since the base that it should be made again.
    #[must_use]
    pub fn is_to_be_rebased(&self) -> bool {
        self.since_bytes > self.base.len().max(REBASE_BYTES_MIN)
    }

    fn applied(&mut self, update: Bytes, extent: &Extent) {
        extent.raise(&mut self.vector);
        for (list, field) in extent.fields() {
            self.fields.entry(list.to_owned()).or_default().insert(field.to_owned());
        }
        self.since_bytes += update.len() + UPDATE_OVERHEAD_BYTES;
        self.since.push(update);
        let touched = self.listening.applied(&self.doc, extent);
        self.unread.add(&touched);
        self.hash = None;
    }

    /// After a panic nothing is known of the library's own state.
    fn make_anew(&mut self) {
        self.doc = empty(self.client);
        self.unread = Touched::everything();
        self.hash = None;
        self.undo.clear();
        self.redo.clear();
        let all = std::iter::once(&self.base)
            .filter(|base| !base.is_empty())
            .chain(&self.since);
        for update in all {
            // They were applied before, in this order.
            let doc = &self.doc;
            let _ = catch_unwind(AssertUnwindSafe(|| apply(doc, update)));
        }
        self.listening.begin_anew(&self.doc);
    }

    // ---- editing -------------------------------------------------------------------------------------------------

    /// Makes an edit. Its update, unless it does nothing.
    ///
    /// # Errors
    /// What the closure says, or [`EditError::Failed`]; then nothing is changed.
    pub fn edit<T>(
        &mut self,
        describe: impl FnOnce(&mut Edit<'_>) -> Result<T, EditError>,
    ) -> Result<(T, Option<Bytes>), EditError> {
        let mut edit = Edit::new(self);
        let said = describe(&mut edit)?;
        let operations = edit.operations;
        let Some((update, steps)) = self.make(&operations)? else {
            return Ok((said, None));
        };
        self.undo.push(steps);
        self.redo.clear();
        Ok((said, Some(update)))
    }

    /// Takes the last edit back that is not yet, as far as nobody changed the same since. Its update; nothing, if there is
    /// none.
    ///
    /// # Errors
    /// [`EditError::Failed`].
    pub fn undo(&mut self) -> Result<Option<Bytes>, EditError> {
        while let Some(steps) = self.undo.pop() {
            if let Some((update, steps)) = self.take_back(&steps)? {
                self.redo.push(steps);
                return Ok(Some(update));
            }
        }
        Ok(None)
    }

    /// Makes again what was last undone. Its update; nothing, if there is none.
    ///
    /// # Errors
    /// [`EditError::Failed`].
    pub fn redo(&mut self) -> Result<Option<Bytes>, EditError> {
        while let Some(steps) = self.redo.pop() {
            if let Some((update, steps)) = self.take_back(&steps)? {
                self.undo.push(steps);
                return Ok(Some(update));
            }
        }
        Ok(None)
    }

    /// Steps backwards, each seeing what those before it did.
    fn take_back(&mut self, steps: &[Step]) -> Result<Option<(Bytes, Vec<Step>)>, EditError> {
        self.change(|txn| {
            let mut inverse = Vec::new();
            for step in steps.iter().rev() {
                let operations = step.operations(txn);
                inverse.extend(operations.iter().filter_map(|operation| perform(txn, operation)));
            }
            inverse
        })
    }

    fn make(&mut self, operations: &[Operation]) -> Result<Option<(Bytes, Vec<Step>)>, EditError> {
        self.change(|txn| {
            operations
                .iter()
                .filter_map(|operation| perform(txn, operation))
                .collect()
        })
    }

    fn change(
        &mut self,
        make: impl FnOnce(&mut TransactionMut<'_>) -> Vec<Step>,
    ) -> Result<Option<(Bytes, Vec<Step>)>, EditError> {
        let doc = &self.doc;
        let made = catch_unwind(AssertUnwindSafe(|| {
            let mut txn = doc.transact_mut();
            let steps = make(&mut txn);
            (Bytes::from(txn.encode_update_v1()), steps, txn.has_changes())
        }));
        let Ok((update, steps, has_changes)) = made else {
            self.make_anew();
            return Err(EditError::Failed);
        };
        if !has_changes {
            return Ok(None);
        }
        let extent = check(&update).map_err(|_| EditError::Failed);
        debug_assert!(extent.is_ok(), "an edit of ours is as any other");
        self.applied(update.clone(), &extent?);
        Ok(Some((update, steps)))
    }
}

fn empty(client: u64) -> Doc {
    // A name of its own would be drawn at random; it is never used.
    Doc::with_options(Options::with_guid_and_client_id("".into(), ClientID::new(client)))
}

/// Whether it changed anything; nothing, if it cannot be applied.
fn apply(doc: &Doc, update: &[u8]) -> Option<bool> {
    let update = Update::decode_v1(update).ok()?;
    let mut txn = doc.transact_mut();
    txn.apply_update(update).ok()?;
    Some(txn.has_changes())
}

fn read_contents(doc: &Doc) -> Contents {
    let txn = doc.transact();
    let mut contents = Contents::default();
    for (root, _) in txn.root_refs() {
        if let Some(name) = root.strip_prefix(LIST_PREFIX) {
            let list = read_list(&txn, name);
            if !list.is_empty() {
                contents.lists.insert(name.to_owned(), list);
            }
        } else if let Some(name) = root.strip_prefix(TEXT_PREFIX) {
            let text = text_of(&txn, name)
                .map(|text| text.get_string(&txn))
                .unwrap_or_default();
            if !text.is_empty() {
                contents.texts.insert(name.to_owned(), text);
            }
        }
    }
    contents
}

fn read_list<T: ReadTxn>(txn: &T, name: &str) -> BTreeMap<String, Item> {
    let mut items = BTreeMap::<String, (bool, Item)>::new();
    let Some(list) = list_of(txn, name) else {
        return BTreeMap::new();
    };
    for (key, value) in list.iter(txn) {
        let (Some((item, field)), Some(value)) = (split_key(key), plain(value)) else {
            continue;
        };
        if !items.contains_key(item) {
            items.insert(item.to_owned(), (false, Item::new()));
        }
        if let Some((is_there, fields)) = items.get_mut(item) {
            match field {
                "" => *is_there = true,
                _ => drop(fields.insert(field.to_owned(), value)),
            }
        }
    }
    let there = items.into_iter().filter(|(_, (is_there, _))| *is_there);
    there.map(|(item, (_, fields))| (item, fields)).collect()
}

fn plain(out: Out) -> Option<Value> {
    match out {
        Out::Any(any) => Value::read(any),
        _ => None,
    }
}

fn key_of(item: &str, field: &str) -> String {
    format!("{item}{SEPARATOR}{field}")
}

fn list_of<T: ReadTxn>(txn: &T, name: &str) -> Option<MapRef> {
    MapRef::root(format!("{LIST_PREFIX}{name}")).get(txn)
}

pub(super) fn text_of<T: ReadTxn>(txn: &T, name: &str) -> Option<TextRef> {
    TextRef::root(format!("{TEXT_PREFIX}{name}")).get(txn)
}

pub(super) fn field_of<T: ReadTxn>(txn: &T, list: &str, item: &str, field: &str) -> Option<Value> {
    plain(list_of(txn, list)?.get(txn, &key_of(item, field))?)
}

fn perform(txn: &mut TransactionMut<'_>, operation: &Operation) -> Option<Step> {
    match operation {
        Operation::Field {
            list,
            item,
            field,
            value,
        } => {
            let before = field_of(txn, list, item, field);
            if before == *value {
                return None;
            }
            let map = MapRef::root(format!("{LIST_PREFIX}{list}")).get_or_create(txn);
            match value {
                Some(value) => drop(map.insert(txn, key_of(item, field), value.write())),
                None => drop(map.remove(txn, &key_of(item, field))),
            }
            Some(Step::Field {
                list: list.clone(),
                item: item.clone(),
                field: field.clone(),
                before,
                after: value.clone(),
            })
        }
        Operation::Splice { text, range, insert } => {
            let root = TextRef::root(format!("{TEXT_PREFIX}{text}")).get_or_create(txn);
            let mut whole = root.get_string(txn);
            let removed = whole.get(range.clone())?.to_owned();
            let (start, end) = (u32::try_from(range.start).ok()?, u32::try_from(range.end).ok()?);
            if end > start {
                root.remove_range(txn, start, end - start);
            }
            let mut end = start;
            if !insert.is_empty() {
                root.insert(txn, start, insert);
                end += u32::try_from(insert.len()).ok()?;
            }
            whole.replace_range(range.clone(), insert);
            // What was inserted is held at its first and its last character; where nothing was, the place by what is before.
            let hold = if insert.is_empty() { Assoc::Before } else { Assoc::After };
            Some(Step::Splice {
                text: text.clone(),
                start: range.start,
                became: blake3::hash(whole.as_bytes()),
                from: root.sticky_index(txn, start, hold),
                to: root.sticky_index(txn, end, Assoc::Before),
                inserted: insert.clone(),
                removed,
            })
        }
    }
}
