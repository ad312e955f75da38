//! Errors of sharing and fetching blobs.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;

use crate::core::blobs::FETCHES_MAX;
use crate::store::BlobStoreError;

/// Why a blob is not shared.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ShareError {
    /// The file cannot be opened.
    #[error("cannot open {}: {source}", path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It cannot be stored.
    #[error(transparent)]
    Store(#[from] BlobStoreError),
    /// The node was shut down meanwhile.
    #[error("the node was shut down")]
    Closed,
}

/// Why a blob is not fetched, or not handed out.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FetchError {
    /// This node fetches as many blobs of the mesh as it may.
    #[error("{FETCHES_MAX} blobs of this mesh are being fetched already; wait for one of them")]
    TooMany,
    /// It cannot be stored, or not be read back.
    #[error(transparent)]
    Store(#[from] Arc<BlobStoreError>),
    /// The file cannot be written. Nothing is left under its name.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The mesh was left, or the node shut down.
    #[error("the mesh was left")]
    Closed,
}

impl From<BlobStoreError> for FetchError {
    fn from(error: BlobStoreError) -> Self {
        Self::Store(Arc::new(error))
    }
}
