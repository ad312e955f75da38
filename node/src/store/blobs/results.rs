//! What comes of work on blobs: what was found, what was taken, and why not. No files.

use std::io;

use super::FileError;
use crate::types::{BlobId, ChunkSet};

/// Why blobs cannot be stored or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BlobStoreError {
    /// All that is held is pinned or in use.
    #[error(
        "no room for the blob: {bytes_max} bytes of blobs are held in this mesh, pinned or in use; unpin some, allow more, or \
         give the node a data directory"
    )]
    NoRoom {
        /// The limit.
        bytes_max: u64,
    },
    /// It is larger than blobs may be.
    #[error("larger than the 4 GiB of a blob: split it")]
    TooLarge,
    /// What is to be shared cannot be read.
    #[error("cannot read what is to be shared: {0}")]
    Source(#[source] io::Error),
    /// What is held cannot be handed out: its taker failed.
    #[error("cannot write the blob out: {0}")]
    Sink(#[source] io::Error),
    /// It is not held, or not whole; part of it may have been found damaged just now.
    #[error("the blob is not held whole any more: fetch it again")]
    NotWhole,
    /// A file of the store failed.
    #[error(transparent)]
    File(#[from] FileError),
}

/// What became of an outline that a member gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opened {
    /// It is right, and stored; these chunks are held.
    Held(ChunkSet),
    /// It is not the blob's.
    Wrong,
}

/// What became of a chunk that a member gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It is right, and held from now on.
    New,
    /// It is right, and was held already.
    Again,
    /// It is not the blob's.
    Wrong,
    /// The blob is not open: nobody wants it any more.
    NotOpen,
}

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found<T> {
    /// This, proved by its hash.
    Proved(T),
    /// It is not held.
    Missing,
    /// It was held, and is not what it was. It does not count as held any more.
    Damaged,
}

impl<T> Found<T> {
    /// The same of something made of it.
    pub fn map<U>(self, make: impl FnOnce(T) -> U) -> Found<U> {
        match self {
            Self::Proved(found) => Found::Proved(make(found)),
            Self::Missing => Found::Missing,
            Self::Damaged => Found::Damaged,
        }
    }
}

/// The hashes of all chunks one after the other, and the last chunk.
pub type HashesAndLast = (Vec<u8>, Vec<u8>);

/// A blob that is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BlobInfo {
    /// Which.
    pub id: BlobId,
    /// Its size.
    pub bytes: u64,
    /// How many of them are held.
    pub bytes_held: u64,
    /// Whether it is kept until it is unpinned; else it goes when room is needed, the one first that was used least lately.
    pub pinned: bool,
}
