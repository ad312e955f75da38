//! What a [`Fetcher`](super::Fetcher) hears, and what it asks for.

use libp2p::PeerId;

use super::{ChunkSet, Claim};
use crate::types::BlobId;

/// Blobs of one mesh that are fetched at the same time.
pub const FETCHES_MAX: usize = 64;

/// What a member is asked about a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Question {
    /// Which chunks it holds.
    Have,
    /// For the hashes of all chunks, and the last chunk.
    Outline,
    /// For one chunk but the last.
    Chunk(u32),
}

/// What became of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// It holds these.
    Holding(Claim),
    /// It gave the outline, which was checked and stored; these chunks are held now, the last one among them.
    Opened(ChunkSet),
    /// It gave the chunk, which was checked and stored.
    Stored,
    /// It does not hold that.
    Missing,
    /// It cannot answer now.
    Busy,
    /// There was no answer.
    Failed,
    /// The answer was to another question, cannot be read, or is proved wrong by the hashes.
    Wrong,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A blob is wanted, of which this is held already, if anything is.
    Wanted {
        /// Which.
        blob: BlobId,
        /// The chunks, if the outline is held.
        held: Option<ChunkSet>,
    },
    /// It is not wanted any more.
    Unwanted {
        /// Which.
        blob: BlobId,
    },
    /// A member can be asked.
    Joined {
        /// Who.
        peer: PeerId,
    },
    /// It cannot any more; its answers do not come.
    Left {
        /// Who.
        peer: PeerId,
    },
    /// A question was answered, or will never be.
    Answered {
        /// About what.
        blob: BlobId,
        /// Who was asked.
        peer: PeerId,
        /// What.
        question: Question,
        /// How it ended.
        reply: Reply,
    },
    /// The deadline passed.
    TimedOut,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Ask a member, and tell with `Answered` what became of it.
    Ask {
        /// About what.
        blob: BlobId,
        /// Whom.
        peer: PeerId,
        /// What.
        question: Question,
    },
    /// A member gave what is proved wrong. It is asked for nothing more.
    Blame {
        /// About what.
        blob: BlobId,
        /// Who.
        peer: PeerId,
    },
    /// All of a blob is held. It is not wanted any more.
    Finished {
        /// Which.
        blob: BlobId,
    },
    /// None of the members known holds the blob: look for others.
    LookUp {
        /// Which.
        blob: BlobId,
    },
}

/// How far a fetch is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Chunks that are held, and how many there are, once that is proved.
    pub chunks: Option<(u32, u32)>,
    /// Members that say they hold some of it.
    pub holders: usize,
}
