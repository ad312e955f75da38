//! Blobs written to a user's file: under a name of its own until it is whole.

use std::{
    ffi::OsString,
    fs::{self, OpenOptions},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use super::{BlobStore, BlobStoreError};
use crate::{store::files::FRESH_SUFFIX, types::BlobId};

impl BlobStore {
    /// Writes all of a blob to a file, in the place of what was there; how many bytes. Until it is whole and durable it has
    /// another name, beside that, which goes if anything fails.
    ///
    /// # Errors
    /// As of [`copy_to`](Self::copy_to).
    pub fn copy_to_file(&self, id: &BlobId, path: &Path) -> Result<u64, BlobStoreError> {
        let fresh = beside(path);
        let copied = self.copy_to_fresh(id, &fresh);
        let renamed = copied.and_then(|bytes| {
            fs::rename(&fresh, path).map_err(BlobStoreError::Sink)?;
            Ok(bytes)
        });
        if renamed.is_err() {
            // The first error is the one to report.
            let _ = fs::remove_file(&fresh);
        }
        renamed
    }

    fn copy_to_fresh(&self, id: &BlobId, fresh: &Path) -> Result<u64, BlobStoreError> {
        let file = OpenOptions::new().write(true).create_new(true).open(fresh);
        let mut sink = BufWriter::new(file.map_err(BlobStoreError::Sink)?);
        let bytes = self.copy_to(id, &mut sink)?;
        let synced = sink.flush().and_then(|()| sink.get_ref().sync_all());
        synced.map(|()| bytes).map_err(BlobStoreError::Sink)
    }
}

fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!("-{:08x}{FRESH_SUFFIX}", rand::random::<u32>()));
    path.with_file_name(name)
}
