//! The blobs of one mesh that this node holds: on disk, or in memory, within a bound. Nothing is counted as held that its hash
//! does not prove, and nothing is read out that it does not prove again. For callers that may block; any number at once.

mod dir;
mod memory;
mod out;
mod results;
mod shelf;
#[cfg(test)]
mod tests;

use std::{
    io::{Read, Write},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use maille_proto::{BLOB_CHUNK_BYTES, BLOB_CHUNKS_MAX};

pub use self::results::{BlobInfo, BlobStoreError, Found, HashesAndLast, Opened, Put};
use self::{dir::Dir, memory::Memory, shelf::Shelf};
use super::files::FileError;
use crate::types::{BlobId, ChunkSet, Outline, OutlineBuilder};

/// How much of a mesh's blobs a node holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobLimits {
    /// Bytes on disk, a mesh; of a node with a data directory.
    pub disk_bytes_max: u64,
    /// Bytes in memory, a mesh; of a node without one.
    pub memory_bytes_max: u64,
}

impl Default for BlobLimits {
    /// 8 GiB on disk, 256 MiB in memory.
    fn default() -> Self {
        Self {
            disk_bytes_max: 8 * 1_024 * 1_024 * 1_024,
            memory_bytes_max: 256 * 1_024 * 1_024,
        }
    }
}

/// The blobs of a mesh.
#[derive(Debug)]
pub struct BlobStore {
    place: Place,
    shelf: Mutex<Option<Shelf>>,
    /// Held while an outline or a mark is written, one writer a file.
    writing: Mutex<()>,
    bytes_max: u64,
}

#[derive(Debug)]
enum Place {
    Disk(Dir),
    Memory(Memory),
}

macro_rules! at {
    ($self:ident, $place:ident => $what:expr) => {
        match &$self.place {
            Place::Disk($place) => $what,
            Place::Memory($place) => $what,
        }
    };
}

/// Has a blob stay while it lives, as far as it is held.
#[derive(Debug)]
pub struct Hold {
    store: Arc<BlobStore>,
    id: BlobId,
}

impl Drop for Hold {
    fn drop(&mut self) {
        // Not opened again: what is not open holds nothing.
        if let Some(shelf) = self.store.locked().as_mut() {
            shelf.release(&self.id);
        }
    }
}

impl BlobStore {
    /// The blobs in a directory, or in memory without one. Files are looked at when something is first asked for.
    #[must_use]
    pub fn new(dir: Option<PathBuf>, limits: BlobLimits) -> Self {
        let (place, bytes_max) = match dir {
            Some(dir) => (Place::Disk(Dir::new(dir)), limits.disk_bytes_max),
            None => (Place::Memory(Memory::default()), limits.memory_bytes_max),
        };
        Self {
            place,
            shelf: Mutex::new(None),
            writing: Mutex::new(()),
            bytes_max,
        }
    }

    /// Has a blob stay that is held, or will be.
    ///
    /// # Errors
    /// [`BlobStoreError::File`].
    pub fn hold(self: &Arc<Self>, id: BlobId) -> Result<Hold, BlobStoreError> {
        self.with(|shelf| shelf.hold(id))?;
        let store = self.clone();
        Ok(Hold { store, id })
    }

    /// What is held, in no order.
    ///
    /// # Errors
    /// [`BlobStoreError::File`].
    pub fn list(&self) -> Result<Vec<BlobInfo>, BlobStoreError> {
        self.with(|shelf| shelf.list())
    }

    /// Which chunks of a blob are held; nothing if not even its outline is.
    ///
    /// # Errors
    /// [`BlobStoreError::File`].
    pub fn holding(&self, id: &BlobId) -> Result<Option<(Arc<Outline>, ChunkSet)>, BlobStoreError> {
        self.with(|shelf| shelf.get(id).map(|entry| (entry.outline.clone(), entry.held.clone())))
    }

    /// The hashes of a blob's chunks, and its last chunk.
    ///
    /// # Errors
    /// [`BlobStoreError::File`].
    pub fn outline(&self, id: &BlobId) -> Result<Found<HashesAndLast>, BlobStoreError> {
        let Some((outline, _)) = self.holding(id)? else {
            return Ok(Found::Missing);
        };
        match at!(self, place => place.read_last(id))? {
            Some(last) if outline.fits(id, outline.chunks() - 1, &last) => Ok(Found::Proved((outline.hashes(), last))),
            _ => self.forget(id).map(|()| Found::Damaged),
        }
    }

    /// One chunk.
    ///
    /// # Errors
    /// [`BlobStoreError::File`].
    pub fn chunk(&self, id: &BlobId, index: u32) -> Result<Found<Vec<u8>>, BlobStoreError> {
        let Some((outline, held)) = self.holding(id)? else {
            return Ok(Found::Missing);
        };
        if !held.contains(index) {
            return Ok(Found::Missing);
        }
        if index == outline.chunks() - 1 {
            return Ok(match self.outline(id)? {
                Found::Proved((_, last)) => Found::Proved(last),
                Found::Missing => Found::Missing,
                Found::Damaged => Found::Damaged,
            });
        }
        match at!(self, place => place.read_chunk(id, index))? {
            Some(bytes) if outline.fits(id, index, &bytes) => return Ok(Found::Proved(bytes)),
            _ => {}
        }
        // Not whole any more, first: a mark that stayed would count the chunk again after a restart.
        let _writing = self.writing();
        at!(self, place => place.unmark_whole(id))?;
        self.with(|shelf| shelf.lost(id, index))?;
        Ok(Found::Damaged)
    }

    /// Checks an outline that a member gave, and makes room for the blob. Chunks can be put from now on.
    ///
    /// # Errors
    /// [`BlobStoreError::NoRoom`], [`BlobStoreError::File`].
    pub fn open(&self, id: &BlobId, hashes: &[u8], last: &[u8]) -> Result<Opened, BlobStoreError> {
        let Some(outline) = Outline::verified(id, hashes, last) else {
            return Ok(Opened::Wrong);
        };
        let _writing = self.writing();
        if let Some((_, held)) = self.holding(id)? {
            return Ok(Opened::Held(held));
        }
        let bytes = outline.bytes();
        self.reserve(bytes)?;
        if let Err(error) = at!(self, place => place.write_outline(id, hashes, last)) {
            self.with(|shelf| shelf.unreserve(bytes))?;
            return Err(error.into());
        }
        let mut held = ChunkSet::none(outline.chunks());
        held.insert(outline.chunks() - 1);
        self.with(|shelf| shelf.add(*id, outline, held.clone(), false))?;
        Ok(Opened::Held(held))
    }

    /// Checks a chunk that a member gave, and stores it. When it is the last that was missing, all of the blob is durable
    /// once this returns.
    ///
    /// # Errors
    /// [`BlobStoreError::File`]: it is not held.
    pub fn put(&self, id: &BlobId, index: u32, bytes: &[u8]) -> Result<Put, BlobStoreError> {
        let Some((outline, held)) = self.holding(id)? else {
            return Ok(Put::NotOpen);
        };
        if !outline.fits(id, index, bytes) {
            return Ok(Put::Wrong);
        }
        if held.contains(index) {
            return Ok(Put::Again);
        }
        at!(self, place => place.write_chunk(id, index, bytes))?;
        let _writing = self.writing();
        let (is_new, is_whole) = self.with(|shelf| shelf.gained(id, index))?;
        if is_new && is_whole {
            at!(self, place => place.mark_whole(id))?;
        }
        Ok(if is_new { Put::New } else { Put::Again })
    }

    /// Takes in new bytes, whole, and pins them. Nothing of it stays if it fails.
    ///
    /// # Errors
    /// Any of [`BlobStoreError`] but `NotWhole` and `Sink`.
    pub fn import(&self, source: &mut dyn Read) -> Result<BlobId, BlobStoreError> {
        let mut reserved = 0;
        // Opens the directory.
        self.reserve(0)?;
        let imported = self.import_reserving(source, &mut reserved);
        self.with(|shelf| shelf.unreserve(reserved))?;
        imported
    }

    fn import_reserving(&self, source: &mut dyn Read, reserved: &mut u64) -> Result<BlobId, BlobStoreError> {
        let mut import = at!(self, place => place.import())?;
        let mut outline = OutlineBuilder::default();
        let (mut last, mut index) = (next_chunk(source)?, 0);
        loop {
            self.reserve(last.len() as u64)?;
            *reserved += last.len() as u64;
            if !outline.push(&last) {
                return Err(BlobStoreError::TooLarge);
            }
            let next = match last.len() == BLOB_CHUNK_BYTES {
                true => next_chunk(source)?,
                false => Vec::new(),
            };
            if next.is_empty() {
                break;
            }
            import.write(index, last)?;
            (last, index) = (next, index + 1);
        }
        let (id, outline) = outline.finish();
        let _writing = self.writing();
        // Nobody collects it between now and the pin.
        self.with(|shelf| shelf.hold(id))?;
        let stored = self.take_in(&id, import, outline, &last, reserved);
        if stored.is_err() && self.holding(&id)?.is_none() {
            // The first error is the one to report; the next run clears away what stays.
            let _ = at!(self, place => place.remove(&id));
        }
        self.with(|shelf| shelf.release(&id))?;
        stored.map(|()| id)
    }

    fn take_in(
        &self,
        id: &BlobId,
        import: Import,
        outline: Outline,
        last: &[u8],
        reserved: &mut u64,
    ) -> Result<(), BlobStoreError> {
        let is_whole = self.with(|shelf| shelf.get(id).is_some_and(|entry| entry.held.is_full()))?;
        if !is_whole {
            import.finish(id)?;
            at!(self, place => place.write_outline(id, &outline.hashes(), last))?;
            at!(self, place => place.mark_whole(id))?;
            let all = ChunkSet::all(outline.chunks());
            // What was reserved is its own now, unless a part of it was here before.
            if self.with(|shelf| shelf.add(*id, outline, all, false))? {
                *reserved = 0;
            }
        }
        at!(self, place => place.set_pin(id, true))?;
        self.with(|shelf| shelf.set_pin(id, true))?;
        Ok(())
    }

    /// Hands all of a blob out, chunk by chunk.
    ///
    /// # Errors
    /// [`BlobStoreError::NotWhole`], [`BlobStoreError::Sink`], [`BlobStoreError::File`].
    pub fn copy_to(&self, id: &BlobId, sink: &mut dyn Write) -> Result<u64, BlobStoreError> {
        let Some((outline, _)) = self.holding(id)? else {
            return Err(BlobStoreError::NotWhole);
        };
        for index in 0..outline.chunks() {
            match self.chunk(id, index)? {
                Found::Proved(bytes) => sink.write_all(&bytes).map_err(BlobStoreError::Sink)?,
                Found::Missing | Found::Damaged => return Err(BlobStoreError::NotWhole),
            }
        }
        self.with(|shelf| shelf.used(id))?;
        at!(self, place => place.touch(id));
        Ok(outline.bytes())
    }

    /// Keeps a blob until it is unpinned, or not any more. Whether it is held.
    ///
    /// # Errors
    /// [`BlobStoreError::File`].
    pub fn set_pin(&self, id: &BlobId, pinned: bool) -> Result<bool, BlobStoreError> {
        let _writing = self.writing();
        if self.holding(id)?.is_none() {
            return Ok(false);
        }
        at!(self, place => place.set_pin(id, pinned))?;
        self.with(|shelf| shelf.set_pin(id, pinned))
    }

    /// Drops a blob whose outline is damaged.
    fn forget(&self, id: &BlobId) -> Result<(), BlobStoreError> {
        let _writing = self.writing();
        self.with(|shelf| shelf.remove(id))?;
        Ok(at!(self, place => place.remove(id))?)
    }

    /// Makes room, and takes it.
    fn reserve(&self, bytes: u64) -> Result<(), BlobStoreError> {
        let evicted = self.with(|shelf| shelf.reserve(bytes, self.bytes_max))?;
        let Some(evicted) = evicted else {
            let bytes_max = self.bytes_max;
            return Err(BlobStoreError::NoRoom { bytes_max });
        };
        for id in evicted {
            at!(self, place => place.remove(&id))?;
        }
        Ok(())
    }

    fn locked(&self) -> MutexGuard<'_, Option<Shelf>> {
        // It is changed in one step each time: a poisoned lock still holds a true one.
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn writing(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The shelf, filled from what is there the first time.
    fn with<T>(&self, work: impl FnOnce(&mut Shelf) -> T) -> Result<T, BlobStoreError> {
        let mut shelf = self.locked();
        if shelf.is_none() {
            let mut fresh = Shelf::default();
            for Loaded {
                id,
                outline,
                held,
                pinned,
            } in at!(self, place => place.load())?
            {
                fresh.count(outline.bytes());
                fresh.add(id, outline, held, pinned);
            }
            *shelf = Some(fresh);
        }
        Ok(work(shelf.as_mut().expect("filled above")))
    }
}

/// A blob that was there when the store was opened.
#[derive(Debug)]
struct Loaded {
    id: BlobId,
    outline: Outline,
    held: ChunkSet,
    pinned: bool,
}

/// New bytes on their way in.
#[derive(Debug)]
enum Import {
    Disk(dir::Import),
    Memory(memory::Import),
}

impl Import {
    fn write(&mut self, index: u32, bytes: Vec<u8>) -> Result<(), FileError> {
        match self {
            Self::Disk(import) => import.write(index, &bytes),
            Self::Memory(import) => {
                import.write(bytes);
                Ok(())
            }
        }
    }

    fn finish(self, id: &BlobId) -> Result<(), FileError> {
        match self {
            Self::Disk(import) => import.finish(id),
            Self::Memory(import) => {
                import.finish(id);
                Ok(())
            }
        }
    }
}

/// The longest file an outline has: the last chunk behind its length, and the hashes.
const OUTLINE_FILE_BYTES_MAX: usize = 4 + BLOB_CHUNK_BYTES + BLOB_CHUNKS_MAX * maille_proto::HASH_BYTES;

fn next_chunk(source: &mut dyn Read) -> Result<Vec<u8>, BlobStoreError> {
    let mut chunk = Vec::with_capacity(BLOB_CHUNK_BYTES);
    let read = source.take(BLOB_CHUNK_BYTES as u64).read_to_end(&mut chunk);
    read.map_err(BlobStoreError::Source)?;
    Ok(chunk)
}
