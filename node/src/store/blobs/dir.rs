//! Blobs in files: `ID.outline` (the last chunk behind its length, then the hashes of all), `ID.data` (the other chunks, each at
//! its place), and the empty files `ID.whole` and `ID.pin`. Which chunks of an unfinished file count is told by their hashes
//! when it is opened, not by a list: whatever a crash left half written, nothing counts that is not there, and nothing is
//! fetched again that is. No name of a file comes from anywhere but an id.

use std::{
    fs::{self, File, FileTimes, OpenOptions},
    io::{self, ErrorKind, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    time::SystemTime,
};

use maille_proto::BLOB_CHUNK_BYTES;

use super::{HashesAndLast, Loaded, OUTLINE_FILE_BYTES_MAX};
use crate::{
    store::files::{
        FRESH_SUFFIX, FileError, PRIVATE_FILE_MODE, create_new, create_private_dir, read_file, replace_file,
    },
    types::{BlobId, ChunkSet, Outline},
};

const OUTLINE: &str = "outline";
const DATA: &str = "data";
const WHOLE: &str = "whole";
const PIN: &str = "pin";
/// Bytes of a length.
const LENGTH_BYTES: usize = 4;

/// The files of one mesh's blobs.
#[derive(Debug, Clone)]
pub(super) struct Dir {
    path: PathBuf,
    #[cfg(test)]
    pub(super) faults: super::tests::Faults,
}

impl Dir {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            #[cfg(test)]
            faults: super::tests::Faults::default(),
        }
    }

    fn file(&self, id: &BlobId, kind: &str) -> PathBuf {
        self.path.join(format!("{id}.{kind}"))
    }

    /// In tests, a place where the disk or the process may fail.
    #[cfg_attr(
        not(test),
        expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "tests fail here")
    )]
    fn step(&self) -> io::Result<()> {
        #[cfg(test)]
        self.faults.step()?;
        Ok(())
    }

    // ---- opening -------------------------------------------------------------------------------------------------

    /// All that is there, the one first that was used least lately. What crashes left is cleared away.
    pub(super) fn load(&self) -> Result<Vec<Loaded>, FileError> {
        create_private_dir(&self.path, true).map_err(FileError::writing(&self.path))?;
        let entries = fs::read_dir(&self.path).map_err(FileError::reading(&self.path))?;
        let mut found = Vec::new();
        for entry in entries {
            let path = entry.map_err(FileError::reading(&self.path))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.ends_with(FRESH_SUFFIX) {
                remove(&path).map_err(FileError::writing(&path))?;
            } else if let Some((id, OUTLINE)) = name.split_once('.') {
                let modified = fs::metadata(&path).and_then(|metadata| metadata.modified());
                found.extend(
                    id.parse()
                        .ok()
                        .map(|id| (modified.unwrap_or(SystemTime::UNIX_EPOCH), id)),
                );
            } else if let Some((id, _)) = name.split_once('.')
                && let Ok(id) = id.parse::<BlobId>()
                && !self.file(&id, OUTLINE).exists()
            {
                remove(&path).map_err(FileError::writing(&path))?;
            }
        }
        found.sort_unstable();
        let loaded = found.into_iter().filter_map(|(_, id)| self.load_one(id).transpose());
        loaded.collect()
    }

    fn load_one(&self, id: BlobId) -> Result<Option<Loaded>, FileError> {
        let path = self.file(&id, OUTLINE);
        let outline = self.read_outline(&id)?;
        let outline = outline.and_then(|(hashes, last)| Outline::verified(&id, &hashes, &last));
        let Some(outline) = outline else {
            tracing::warn!(path = %path.display(), "the outline of a blob is damaged; it has to be fetched again");
            return self.remove(&id).map(|()| None);
        };
        let chunks = outline.chunks();
        let held = match self.file(&id, WHOLE).exists() {
            true => ChunkSet::all(chunks),
            false => {
                let held = self.proved(&id, &outline)?;
                if held.is_full() {
                    self.mark_whole(&id)?;
                }
                held
            }
        };
        Ok(Some(Loaded {
            id,
            outline,
            held,
            pinned: self.file(&id, PIN).exists(),
        }))
    }

    /// Which chunks are there, by their hashes.
    fn proved(&self, id: &BlobId, outline: &Outline) -> Result<ChunkSet, FileError> {
        let chunks = outline.chunks();
        let mut held = ChunkSet::none(chunks);
        held.insert(chunks - 1);
        let path = self.file(id, DATA);
        let mut file = match File::open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(held),
            opened => opened.map_err(FileError::reading(&path))?,
        };
        let mut bytes = vec![0; BLOB_CHUNK_BYTES];
        for index in 0..chunks - 1 {
            match file.read_exact(&mut bytes) {
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => break,
                read => read.map_err(FileError::reading(&path))?,
            }
            if outline.fits(id, index, &bytes) {
                held.insert(index);
            }
        }
        Ok(held)
    }

    // ---- one blob ------------------------------------------------------------------------------------------------

    pub(super) fn write_outline(&self, id: &BlobId, hashes: &[u8], last: &[u8]) -> Result<(), FileError> {
        let path = self.file(id, OUTLINE);
        let length = u32::try_from(last.len()).expect("chunks are small");
        let bytes = [&length.to_le_bytes(), last, hashes].concat();
        let written = self
            .step()
            .and_then(|()| replace_file(&path, &bytes, PRIVATE_FILE_MODE));
        written.map_err(FileError::writing(&path))
    }

    /// The hashes, and the last chunk; nothing if the file is not there or not one.
    fn read_outline(&self, id: &BlobId) -> Result<Option<HashesAndLast>, FileError> {
        let path = self.file(id, OUTLINE);
        let read = read_file(&path, OUTLINE_FILE_BYTES_MAX).map_err(FileError::reading(&path))?;
        Ok(read.and_then(|mut bytes| {
            let (length, _) = bytes.split_first_chunk::<LENGTH_BYTES>()?;
            let end = LENGTH_BYTES.checked_add(u32::from_le_bytes(*length) as usize)?;
            let hashes = bytes.get(end..)?.to_vec();
            bytes.truncate(end);
            Some((hashes, bytes.split_off(LENGTH_BYTES)))
        }))
    }

    pub(super) fn read_last(&self, id: &BlobId) -> Result<Option<Vec<u8>>, FileError> {
        Ok(self.read_outline(id)?.map(|(_, last)| last))
    }

    pub(super) fn write_chunk(&self, id: &BlobId, index: u32, bytes: &[u8]) -> Result<(), FileError> {
        let path = self.file(id, DATA);
        let write = || {
            let mut file = data_file(&path)?;
            file.seek(SeekFrom::Start(offset(index)))?;
            let (first, rest) = bytes.split_at(bytes.len() / 2);
            file.write_all(first)?;
            self.step()?;
            file.write_all(rest)
        };
        write().map_err(FileError::writing(&path))
    }

    pub(super) fn read_chunk(&self, id: &BlobId, index: u32) -> Result<Option<Vec<u8>>, FileError> {
        let path = self.file(id, DATA);
        let mut bytes = vec![0; BLOB_CHUNK_BYTES];
        let read = || {
            let mut file = File::open(&path)?;
            file.seek(SeekFrom::Start(offset(index)))?;
            file.read_exact(&mut bytes)
        };
        match { read }() {
            Ok(()) => Ok(Some(bytes)),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::UnexpectedEof) => Ok(None),
            Err(error) => Err(FileError::reading(&path)(error)),
        }
    }

    /// All chunks are there: makes them durable, and says so to the next run.
    pub(super) fn mark_whole(&self, id: &BlobId) -> Result<(), FileError> {
        let path = self.file(id, DATA);
        let synced = self
            .step()
            .and_then(|()| match OpenOptions::new().write(true).open(&path) {
                // A blob of one chunk has no such file.
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
                opened => opened?.sync_data(),
            });
        synced.map_err(FileError::writing(&path))?;
        self.mark(&self.file(id, WHOLE))
    }

    pub(super) fn unmark_whole(&self, id: &BlobId) -> Result<(), FileError> {
        let path = self.file(id, WHOLE);
        remove(&path).map_err(FileError::writing(&path))
    }

    pub(super) fn set_pin(&self, id: &BlobId, pinned: bool) -> Result<(), FileError> {
        let path = self.file(id, PIN);
        match pinned {
            true => self.mark(&path),
            false => remove(&path).map_err(FileError::writing(&path)),
        }
    }

    fn mark(&self, path: &Path) -> Result<(), FileError> {
        let marked = self.step().and_then(|()| replace_file(path, &[], PRIVATE_FILE_MODE));
        marked.map_err(FileError::writing(path))
    }

    /// It was used now, which the next run goes by. Not worth an error.
    pub(super) fn touch(&self, id: &BlobId) {
        let file = OpenOptions::new().write(true).open(self.file(id, OUTLINE));
        let _ = file.and_then(|file| file.set_times(FileTimes::new().set_modified(SystemTime::now())));
    }

    /// The outline last: without the others it is a blob of which little is held, and they without it are cleared away.
    pub(super) fn remove(&self, id: &BlobId) -> Result<(), FileError> {
        for kind in [WHOLE, PIN, DATA, OUTLINE] {
            let path = self.file(id, kind);
            remove(&path).map_err(FileError::writing(&path))?;
        }
        Ok(())
    }

    pub(super) fn import(&self) -> Result<super::Import, FileError> {
        let path = self
            .path
            .join(format!("import-{:016x}{FRESH_SUFFIX}", rand::random::<u64>()));
        let file = create_new(&path, PRIVATE_FILE_MODE).map_err(FileError::writing(&path))?;
        Ok(super::Import::Disk(Import {
            dir: self.clone(),
            path,
            file,
            is_empty: true,
        }))
    }
}

/// New bytes on their way into a file; removed when dropped.
#[derive(Debug)]
pub(super) struct Import {
    dir: Dir,
    path: PathBuf,
    file: File,
    is_empty: bool,
}

impl Import {
    pub(super) fn write(&mut self, _index: u32, bytes: &[u8]) -> Result<(), FileError> {
        self.is_empty = false;
        let written = self.dir.step().and_then(|()| self.file.write_all(bytes));
        written.map_err(FileError::writing(&self.path))
    }

    /// A part of the blob that was there is replaced by the same bytes.
    pub(super) fn finish(self, id: &BlobId) -> Result<(), FileError> {
        if self.is_empty {
            return Ok(());
        }
        let path = self.dir.file(id, DATA);
        let renamed = self.dir.step().and_then(|()| fs::rename(&self.path, &path));
        renamed.map_err(FileError::writing(&path))
    }
}

impl Drop for Import {
    fn drop(&mut self) {
        // Renamed, it is not there any more; and what stays, the next run removes.
        let _ = fs::remove_file(&self.path);
    }
}

fn offset(index: u32) -> u64 {
    u64::from(index) * BLOB_CHUNK_BYTES as u64
}

fn data_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, PRIVATE_FILE_MODE);
    options.open(path)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
