//! Files of one shared document: the document once, replaced as a whole, and after it the updates since, appended. What the
//! updates mean is not known here.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use maille_proto::DOCUMENT_BYTES_MAX;

use super::DataDir;
use super::files::{FileError, PRIVATE_FILE_MODE, create_private_dir, read_file, replace_file, sync_dir};
use crate::types::{MeshName, TopicName};

const DOCUMENTS_DIR: &str = "documents";
const BASE_SUFFIX: &str = "base";
const UPDATES_SUFFIX: &str = "updates";
/// What is appended before the document is written anew is not much more than a document.
const UPDATES_BYTES_MAX: usize = 8 * DOCUMENT_BYTES_MAX;
/// Before each entry: its length, its kind, and a hash of kind and content that tells where a crash cut it.
const HEAD_BYTES: usize = 4 + 1 + HASH_BYTES;
const HASH_BYTES: usize = 8;
const OWN: u8 = 1;
const OTHER: u8 = 2;
const SPREAD: u8 = 3;
const RUN_BYTES: usize = 8;

/// What is stored of a document, in the order of storing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DocumentEntry {
    /// An update of this node, and the run in which it was made.
    Own(u64, Bytes),
    /// An update of somebody else.
    Other(Bytes),
    /// All updates of this node so far are with somebody else.
    Spread,
}

/// The files of one document. One writer at a time: the data directory is locked, and a node opens a document once.
#[derive(Debug)]
pub struct DocumentFile {
    base: PathBuf,
    updates: PathBuf,
    file: File,
    length: u64,
}

impl DataDir {
    /// Opens the files of a document, or creates them, and reads what they hold. What a crash cut off is left out.
    ///
    /// # Errors
    /// When they cannot be read or written, or the document is damaged.
    pub fn document(
        &self,
        mesh: &MeshName,
        topic: &TopicName,
    ) -> Result<(DocumentFile, Vec<DocumentEntry>), FileError> {
        let dir = self.file(DOCUMENTS_DIR).join(mesh.as_str());
        create_private_dir(&dir, true).map_err(FileError::writing(&dir))?;
        // Names may differ in case only, which some file systems do not tell apart.
        let name = blake3::hash(topic.as_str().as_bytes()).to_hex();
        let path = |suffix| dir.join(format!("{}.{suffix}", &name.as_str()[..32]));
        DocumentFile::open(path(BASE_SUFFIX), path(UPDATES_SUFFIX))
    }
}

impl DocumentFile {
    fn open(base: PathBuf, updates: PathBuf) -> Result<(Self, Vec<DocumentEntry>), FileError> {
        let mut entries = Vec::new();
        entries.extend(
            read_base(&base)
                .map_err(FileError::reading(&base))?
                .map(DocumentEntry::Other),
        );
        let stored = read_file(&updates, UPDATES_BYTES_MAX).map_err(FileError::reading(&updates))?;
        let stored = Bytes::from(stored.unwrap_or_default());
        let length = read_entries(&stored, &mut entries);
        if length < stored.len() {
            tracing::warn!(path = %updates.display(), bytes = stored.len() - length, "the end of a document's updates was cut off, and is left out");
        }
        let length = length as u64;
        let file = open_updates(&updates, length).map_err(FileError::writing(&updates))?;
        let opened = Self {
            base,
            updates,
            file,
            length,
        };
        Ok((opened, entries))
    }

    /// Appends; with `durable`, it survives a loss of power once this returns.
    ///
    /// # Errors
    /// When it cannot be written; then nothing of it is kept.
    pub fn append(&mut self, entries: &[DocumentEntry], durable: bool) -> Result<(), FileError> {
        let bytes = written(entries);
        let appended = self.file.write_all(&bytes);
        let appended = appended.and_then(|()| if durable { self.file.sync_data() } else { Ok(()) });
        if let Err(error) = appended {
            // What is there in part would hide what follows it.
            let cut = self.file.set_len(self.length);
            return Err(FileError::writing(&self.updates)(cut.err().unwrap_or(error)));
        }
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Puts the document, and what follows it, in the place of all that is stored. Durable once this returns.
    ///
    /// # Errors
    /// When it cannot be written; what was stored stays.
    pub fn replace(&mut self, base: &[u8], entries: &[DocumentEntry]) -> Result<(), FileError> {
        let mut whole = blake3::hash(base).as_bytes().to_vec();
        whole.extend(base);
        // A crash between the two leaves updates that the document holds already.
        replace_file(&self.base, &whole, PRIVATE_FILE_MODE).map_err(FileError::writing(&self.base))?;
        let bytes = written(entries);
        let replaced = replace_file(&self.updates, &bytes, PRIVATE_FILE_MODE);
        let length = bytes.len() as u64;
        let opened = replaced.and_then(|()| open_updates(&self.updates, length));
        self.file = opened.map_err(FileError::writing(&self.updates))?;
        self.length = length;
        Ok(())
    }
}

fn read_base(path: &Path) -> io::Result<Option<Bytes>> {
    const HASH: usize = blake3::OUT_LEN;
    let Some(stored) = read_file(path, HASH + DOCUMENT_BYTES_MAX)? else {
        return Ok(None);
    };
    let stored = Bytes::from(stored);
    match stored.split_at_checked(HASH) {
        Some((hash, base)) if blake3::hash(base).as_bytes() == hash => Ok(Some(stored.slice(HASH..))),
        _ => {
            let what = "the document is damaged; remove the file to get the document from other members";
            Err(io::Error::new(ErrorKind::InvalidData, what))
        }
    }
}

fn open_updates(path: &Path, length: u64) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, PRIVATE_FILE_MODE);
    let file = options.open(path)?;
    file.set_len(length)?;
    file.sync_all()?;
    sync_dir(path.parent().unwrap_or(Path::new(".")))?;
    Ok(file)
}

fn written(entries: &[DocumentEntry]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in entries {
        let (kind, run, update) = match entry {
            DocumentEntry::Own(run, update) => (OWN, &run.to_be_bytes()[..], &update[..]),
            DocumentEntry::Other(update) => (OTHER, &[][..], &update[..]),
            DocumentEntry::Spread => (SPREAD, &[][..], &[][..]),
        };
        let content = [run, update].concat();
        // Updates are at most as long as a document.
        bytes.extend(u32::try_from(content.len()).unwrap_or(u32::MAX).to_be_bytes());
        bytes.push(kind);
        bytes.extend(hash(kind, &content));
        bytes.extend(content);
    }
    bytes
}

/// The length of what is whole.
fn read_entries(stored: &Bytes, entries: &mut Vec<DocumentEntry>) -> usize {
    let mut at = 0;
    while let Some((entry, length)) = read_entry(&stored.slice(at..)) {
        entries.push(entry);
        at += length;
    }
    at
}

fn read_entry(stored: &Bytes) -> Option<(DocumentEntry, usize)> {
    let (head, rest) = stored.split_at_checked(HEAD_BYTES)?;
    let (length, head) = head.split_first_chunk()?;
    let (kind, wanted) = head.split_first()?;
    let length = u32::from_be_bytes(*length) as usize;
    let content = rest.get(..length)?;
    if hash(*kind, content) != wanted {
        return None;
    }
    let end = HEAD_BYTES + length;
    let entry = match *kind {
        OWN => {
            let run = u64::from_be_bytes(*content.first_chunk::<RUN_BYTES>()?);
            DocumentEntry::Own(run, stored.slice(HEAD_BYTES + RUN_BYTES..end))
        }
        OTHER => DocumentEntry::Other(stored.slice(HEAD_BYTES..end)),
        SPREAD => DocumentEntry::Spread,
        _ => return None,
    };
    Some((entry, end))
}

fn hash(kind: u8, content: &[u8]) -> [u8; HASH_BYTES] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&[kind]).update(content);
    let mut hash = [0; HASH_BYTES];
    hasher.finalize_xof().fill(&mut hash);
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(dir: &Path) -> Result<(DocumentFile, Vec<DocumentEntry>), FileError> {
        let data = DataDir::open(dir).unwrap();
        data.document(&"a.example".parse().unwrap(), &".documents/a".parse().unwrap())
    }

    fn entries() -> Vec<DocumentEntry> {
        vec![
            DocumentEntry::Own(7, Bytes::from_static(b"mine")),
            DocumentEntry::Other(Bytes::from_static(b"theirs")),
            DocumentEntry::Spread,
            DocumentEntry::Own(u64::MAX, Bytes::new()),
        ]
    }

    #[test]
    fn what_is_stored_comes_back_and_what_a_crash_cut_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let (mut file, none) = open(dir.path()).unwrap();
        assert_eq!(none, []);
        file.append(&entries()[..2], true).unwrap();
        file.append(&entries()[2..], false).unwrap();
        let path = file.updates.clone();
        drop(file);
        assert_eq!(open(dir.path()).unwrap().1, entries());
        let whole = std::fs::read(&path).unwrap();
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            let (mut file, read) = open(dir.path()).unwrap();
            assert_eq!(read, entries()[..read.len()], "cut at {length}");
            assert!(read.len() < entries().len());
            // What comes after the cut is not hidden by it.
            file.append(&[DocumentEntry::Spread], true).unwrap();
            assert_eq!(open(dir.path()).unwrap().1.len(), read.len() + 1, "cut at {length}");
        }
    }

    #[test]
    fn the_document_takes_the_place_of_what_was_before() {
        let dir = tempfile::tempdir().unwrap();
        let (mut file, _) = open(dir.path()).unwrap();
        file.append(&entries(), true).unwrap();
        file.replace(b"all of it", &entries()[..1]).unwrap();
        file.append(&entries()[2..3], true).unwrap();
        let expected = [
            DocumentEntry::Other(Bytes::from_static(b"all of it")),
            entries()[0].clone(),
            DocumentEntry::Spread,
        ];
        assert_eq!(open(dir.path()).unwrap().1, expected);
        let mut damaged = std::fs::read(&file.base).unwrap();
        damaged[40] ^= 1;
        std::fs::write(&file.base, damaged).unwrap();
        let error = open(dir.path()).unwrap_err();
        let why = std::error::Error::source(&error).unwrap().to_string();
        assert!(why.contains("damaged; remove the file"), "{why}");
    }
}
