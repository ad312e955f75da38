//! Which items and texts were touched, by whomever, since each reader last looked: heard from the CRDT library as it changes
//! them, so that nobody has to read or compare a whole document for one edit. Not what they are now.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use yrs::types::map::MapEvent;
use yrs::{Doc, Map, MapRef, Observable, ReadTxn, RootRef, TextRef, Transact, TransactionMut};

use super::check::{Extent, LIST_PREFIX, TEXT_PREFIX, split_key};

/// Items and texts of which a reader hears one by one; one that is further behind reads everything.
pub(super) const TOUCHED_MAX: usize = 1_024;
/// Lists and texts that are listened to; in a document of more, who looks reads everything.
const ROOTS_MAX: usize = 256;
/// Under which the library knows who listens.
const LISTENER: &str = "touched";

/// A reader, as long as it reads.
pub type Reader = u64;

/// What was touched since some moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Touched {
    /// More than is told one by one.
    pub(super) everything: bool,
    pub(super) items: BTreeSet<(String, String)>,
    pub(super) texts: BTreeSet<String>,
}

impl Touched {
    pub(super) fn everything() -> Self {
        Self {
            everything: true,
            ..Self::default()
        }
    }

    fn item(&mut self, list: &str, item: &str) {
        if self.has_room() {
            self.items.insert((list.to_owned(), item.to_owned()));
        }
    }

    fn text(&mut self, text: &str) {
        if self.has_room() {
            self.texts.insert(text.to_owned());
        }
    }

    fn has_room(&mut self) -> bool {
        if !self.everything && self.items.len() + self.texts.len() >= TOUCHED_MAX {
            *self = Self::everything();
        }
        !self.everything
    }

    pub(super) fn add(&mut self, other: &Self) {
        if other.everything {
            *self = Self::everything();
        }
        other.items.iter().for_each(|(list, item)| self.item(list, item));
        other.texts.iter().for_each(|text| self.text(text));
    }
}

/// What the library is listened to for, and who reads it.
#[derive(Debug, Default)]
pub(super) struct Listening {
    heard: Arc<Mutex<Touched>>,
    roots: BTreeSet<String>,
    readers: BTreeMap<Reader, Touched>,
    last: Reader,
}

impl Listening {
    /// A reader to whom everything is new.
    pub(super) fn begin(&mut self) -> Reader {
        self.last += 1;
        self.readers.insert(self.last, Touched::everything());
        self.last
    }

    pub(super) fn end(&mut self, reader: Reader) {
        self.readers.remove(&reader);
    }

    /// What was touched since this reader last took it.
    pub(super) fn take(&mut self, reader: Reader) -> Touched {
        self.readers.get_mut(&reader).map(std::mem::take).unwrap_or_default()
    }

    /// Something was applied. What it touched; every reader has it told.
    pub(super) fn applied(&mut self, doc: &Doc, extent: &Extent) -> Touched {
        let mut touched = std::mem::take(&mut *locked(&self.heard));
        for root in extent.roots() {
            if !self.roots.contains(root) {
                // It was not heard: all of it is new.
                touched.add(&self.listen(doc, root));
            }
        }
        if self.roots.len() >= ROOTS_MAX {
            touched = Touched::everything();
        }
        self.readers.values_mut().for_each(|reader| reader.add(&touched));
        touched
    }

    /// The document was made anew.
    pub(super) fn begin_anew(&mut self, doc: &Doc) {
        self.roots.clear();
        let roots: Vec<String> = doc.transact().root_refs().map(|(root, _)| root.to_owned()).collect();
        for root in roots {
            self.listen(doc, &root);
        }
        *locked(&self.heard) = Touched::default();
        self.readers
            .values_mut()
            .for_each(|reader| *reader = Touched::everything());
    }

    /// Listens to a list or a text; all that is in it.
    fn listen(&mut self, doc: &Doc, root: &str) -> Touched {
        let mut touched = Touched::default();
        if self.roots.len() >= ROOTS_MAX {
            return touched;
        }
        self.roots.insert(root.to_owned());
        let mut txn = doc.transact_mut();
        if let Some(name) = root.strip_prefix(LIST_PREFIX) {
            let map = MapRef::root(root).get_or_create(&mut txn);
            let items = map.keys(&txn).filter_map(split_key);
            items.for_each(|(item, _)| touched.item(name, item));
            let (heard, name) = (self.heard.clone(), name.to_owned());
            map.observe(LISTENER, move |txn: &TransactionMut<'_>, event: &MapEvent| {
                let mut heard = locked(&heard);
                let items = event.keys(txn).keys().filter_map(|key| split_key(key));
                items.for_each(|(item, _)| heard.item(&name, item));
            });
        } else if let Some(name) = root.strip_prefix(TEXT_PREFIX) {
            touched.text(name);
            let (heard, name) = (self.heard.clone(), name.to_owned());
            let text = TextRef::root(root).get_or_create(&mut txn);
            text.observe(LISTENER, move |_, _| locked(&heard).text(&name));
        }
        touched
    }
}

/// What is behind it is whole after every step, so a panic elsewhere does not spoil it.
fn locked(heard: &Mutex<Touched>) -> MutexGuard<'_, Touched> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}
