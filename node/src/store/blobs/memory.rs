//! Blobs in memory, for nodes without a data directory. The bound is the store's.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{FileError, Loaded};
use crate::types::BlobId;

/// The chunks of one blob.
#[derive(Debug, Default)]
struct Chunks {
    last: Vec<u8>,
    others: HashMap<u32, Vec<u8>>,
}

/// What is in memory. Its results are those of files, which fail; memory does not.
#[derive(Debug, Default, Clone)]
pub(super) struct Memory(Arc<Mutex<HashMap<BlobId, Chunks>>>);

#[expect(clippy::unnecessary_wraps, reason = "the same shape as with files")]
impl Memory {
    fn blobs(&self) -> MutexGuard<'_, HashMap<BlobId, Chunks>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[expect(clippy::unused_self, reason = "the same shape as with files")]
    pub(super) fn load(&self) -> Result<Vec<Loaded>, FileError> {
        Ok(Vec::new())
    }

    pub(super) fn write_outline(&self, id: &BlobId, _hashes: &[u8], last: &[u8]) -> Result<(), FileError> {
        self.blobs().entry(*id).or_default().last = last.to_vec();
        Ok(())
    }

    pub(super) fn read_last(&self, id: &BlobId) -> Result<Option<Vec<u8>>, FileError> {
        Ok(self.blobs().get(id).map(|chunks| chunks.last.clone()))
    }

    pub(super) fn write_chunk(&self, id: &BlobId, index: u32, bytes: &[u8]) -> Result<(), FileError> {
        self.blobs()
            .entry(*id)
            .or_default()
            .others
            .insert(index, bytes.to_vec());
        Ok(())
    }

    pub(super) fn read_chunk(&self, id: &BlobId, index: u32) -> Result<Option<Vec<u8>>, FileError> {
        let blobs = self.blobs();
        Ok(blobs.get(id).and_then(|chunks| chunks.others.get(&index)).cloned())
    }

    #[expect(clippy::unused_self, reason = "the same shape as with files")]
    pub(super) fn mark_whole(&self, _: &BlobId) -> Result<(), FileError> {
        Ok(())
    }

    #[expect(clippy::unused_self, reason = "the same shape as with files")]
    pub(super) fn unmark_whole(&self, _: &BlobId) -> Result<(), FileError> {
        Ok(())
    }

    #[expect(clippy::unused_self, reason = "the same shape as with files")]
    pub(super) fn set_pin(&self, _: &BlobId, _: bool) -> Result<(), FileError> {
        Ok(())
    }

    #[expect(clippy::unused_self, reason = "the same shape as with files")]
    pub(super) fn touch(&self, _: &BlobId) {}

    pub(super) fn remove(&self, id: &BlobId) -> Result<(), FileError> {
        self.blobs().remove(id);
        Ok(())
    }

    pub(super) fn import(&self) -> Result<super::Import, FileError> {
        Ok(super::Import::Memory(Import {
            memory: self.clone(),
            others: HashMap::new(),
        }))
    }
}

/// New bytes on their way into memory.
#[derive(Debug)]
pub(super) struct Import {
    memory: Memory,
    others: HashMap<u32, Vec<u8>>,
}

impl Import {
    pub(super) fn write(&mut self, bytes: Vec<u8>) {
        let index = u32::try_from(self.others.len()).expect("at most BLOB_CHUNKS_MAX");
        self.others.insert(index, bytes);
    }

    pub(super) fn finish(self, id: &BlobId) {
        self.memory.blobs().entry(*id).or_default().others = self.others;
    }
}
