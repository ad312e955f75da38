//! What is held, how much of the bound it takes, and what goes first when room is needed. No files.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::BlobInfo;
use crate::types::{BlobId, ChunkSet, Outline};

/// A blob of which at least the outline is held.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) outline: Arc<Outline>,
    pub(super) held: ChunkSet,
    pinned: bool,
    /// The larger, the later it was used.
    used: u64,
}

/// The blobs of a mesh, as numbers.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    entries: BTreeMap<BlobId, Entry>,
    /// Who reads or fetches what, held or not.
    holds: HashMap<BlobId, usize>,
    /// What all entries will take when they are whole, and what is on its way in.
    bytes: u64,
    uses: u64,
}

impl Shelf {
    pub(super) fn get(&self, id: &BlobId) -> Option<&Entry> {
        self.entries.get(id)
    }

    pub(super) fn list(&self) -> Vec<BlobInfo> {
        let info = |(id, entry): (&BlobId, &Entry)| BlobInfo {
            id: *id,
            bytes: entry.outline.bytes(),
            bytes_held: entry.outline.bytes_of(&entry.held),
            pinned: entry.pinned,
        };
        self.entries.iter().map(info).collect()
    }

    /// Takes room; who has to go for it. Nothing if there is none.
    pub(super) fn reserve(&mut self, bytes: u64, bytes_max: u64) -> Option<Vec<BlobId>> {
        let wanted = (self.bytes.saturating_add(bytes)).saturating_sub(bytes_max);
        let free = |(id, entry): &(&BlobId, &Entry)| !entry.pinned && !self.holds.contains_key(id);
        let mut free: Vec<(&BlobId, &Entry)> = self.entries.iter().filter(free).collect();
        free.sort_unstable_by_key(|(_, entry)| entry.used);
        let (mut evicted, mut gained) = (Vec::new(), 0);
        for (id, entry) in free {
            if gained >= wanted {
                break;
            }
            gained += entry.outline.bytes();
            evicted.push(*id);
        }
        if gained < wanted {
            return None;
        }
        evicted.iter().for_each(|id| self.remove(id));
        self.bytes += bytes;
        Some(evicted)
    }

    /// Counts what is there, whatever the bound.
    pub(super) fn count(&mut self, bytes: u64) {
        self.bytes += bytes;
    }

    /// Gives room back.
    pub(super) fn unreserve(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// Adds a blob for which room was taken, or says that a part of it was there, which counts already.
    pub(super) fn add(&mut self, id: BlobId, outline: Outline, held: ChunkSet, pinned: bool) -> bool {
        self.uses += 1;
        let before = self.entries.remove(&id);
        let pinned = pinned || before.as_ref().is_some_and(|entry| entry.pinned);
        let entry = Entry {
            outline: Arc::new(outline),
            held,
            pinned,
            used: self.uses,
        };
        self.entries.insert(id, entry);
        before.is_none()
    }

    /// A chunk is held now; whether it was not before, and whether all are.
    pub(super) fn gained(&mut self, id: &BlobId, index: u32) -> (bool, bool) {
        let entry = self.entries.get_mut(id);
        entry.map_or((false, false), |entry| (entry.held.insert(index), entry.held.is_full()))
    }

    /// A chunk is not held any more.
    pub(super) fn lost(&mut self, id: &BlobId, index: u32) {
        if let Some(entry) = self.entries.get_mut(id) {
            entry.held.remove(index);
        }
    }

    pub(super) fn remove(&mut self, id: &BlobId) {
        if let Some(entry) = self.entries.remove(id) {
            self.unreserve(entry.outline.bytes());
        }
    }

    /// Whether it is there to be pinned.
    pub(super) fn set_pin(&mut self, id: &BlobId, pinned: bool) -> bool {
        let entry = self.entries.get_mut(id);
        entry.map(|entry| entry.pinned = pinned).is_some()
    }

    pub(super) fn used(&mut self, id: &BlobId) {
        self.uses += 1;
        if let Some(entry) = self.entries.get_mut(id) {
            entry.used = self.uses;
        }
    }

    pub(super) fn hold(&mut self, id: BlobId) {
        *self.holds.entry(id).or_default() += 1;
    }

    pub(super) fn release(&mut self, id: &BlobId) {
        if let Some(holds) = self.holds.get_mut(id) {
            *holds -= 1;
            if *holds == 0 {
                self.holds.remove(id);
            }
        }
    }
}
