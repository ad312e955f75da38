//! What changed in a document, by item, as plain values. Not how it is found.

use std::collections::BTreeMap;

use super::machine::Machine;
use super::touched::Reader;
use super::value::{Contents, Item};

/// What changed in a document since somebody last looked, by item.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Changes {
    /// Whether this is all that the document holds, because somebody looks for the first time, or is far behind: what is not
    /// in it is not there.
    pub whole: bool,
    /// Items as they are now, by their ids, in lists by their names. Nothing for those that are no more.
    pub lists: BTreeMap<String, BTreeMap<String, Option<Item>>>,
    /// Texts as they are now, by their names; empty if they are no more.
    pub texts: BTreeMap<String, String>,
}

impl Changes {
    /// Whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.whole && self.lists.is_empty() && self.texts.is_empty()
    }

    /// All that is there.
    pub(super) fn whole(contents: &Contents) -> Self {
        let items = |items: &BTreeMap<String, Item>| {
            let items = items.iter().map(|(id, item)| (id.clone(), Some(item.clone())));
            items.collect()
        };
        let lists = contents.lists.iter();
        Self {
            whole: true,
            lists: lists.map(|(name, list)| (name.clone(), items(list))).collect(),
            texts: contents.texts.clone(),
        }
    }
}

impl Machine {
    /// Somebody reads from now on, and is at first told everything.
    pub fn follow(&mut self) -> Reader {
        self.replica.follow()
    }

    /// They read no more.
    pub fn unfollow(&mut self, reader: Reader) {
        self.replica.unfollow(reader);
    }

    /// What changed since they last looked.
    pub fn look(&mut self, reader: Reader) -> Changes {
        self.replica.look(reader)
    }
}

impl Contents {
    /// Brings contents up to date with what changed since.
    pub fn apply(&mut self, changes: Changes) {
        if changes.whole {
            *self = Self::default();
        }
        for (name, items) in changes.lists {
            let list = self.lists.entry(name.clone()).or_default();
            for (id, item) in items {
                match item {
                    Some(item) => drop(list.insert(id, item)),
                    None => drop(list.remove(&id)),
                }
            }
            if list.is_empty() {
                self.lists.remove(&name);
            }
        }
        for (name, text) in changes.texts {
            if text.is_empty() {
                self.texts.remove(&name);
            } else {
                self.texts.insert(name, text);
            }
        }
    }
}
