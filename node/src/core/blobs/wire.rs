//! Questions about blobs and answers as bytes: what got through here is well formed. Whether chunks fit their hashes is
//! checked beside the loop, where they are stored.

use maille_proto::{
    BLOB_CHUNKS_MAX, DecodeError,
    blobs::{self, AnswerKind},
    decode_blob_answer, decode_blob_request,
};
use prost::Message as _;

use super::{Claim, Question};
use crate::types::BlobId;

/// What a member asks another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// About which blob.
    pub blob: BlobId,
    /// What.
    pub question: Question,
}

/// What it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Which chunks the other holds.
    Holding(Claim),
    /// The hashes of all chunks, and the last chunk. Nothing of it is checked.
    Outline {
        /// One after the other.
        hashes: Vec<u8>,
        /// The last chunk.
        last: Vec<u8>,
    },
    /// A chunk. Its hash is not checked.
    Chunk(Vec<u8>),
    /// Not held.
    Missing,
    /// Not now.
    Busy,
}

/// Why bytes are not a question or an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// Outside the bounds, or not canonical.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// No blob has such a chunk to ask for.
    #[error("no blob has a chunk {index} that is not its last")]
    Index {
        /// Which was asked for.
        index: u32,
    },
    /// There is none.
    #[error("neither question nor answer")]
    Empty,
}

impl Request {
    /// Reads a question, without the length before it.
    ///
    /// # Errors
    /// When it is not one.
    pub fn read(bytes: &[u8]) -> Result<Self, WireError> {
        let request = decode_blob_request(bytes)?;
        let hash = request.blob.try_into().map_err(|_| WireError::Empty)?;
        let question = match request.question.ok_or(WireError::Empty)? {
            blobs::Question::Have(_) => Question::Have,
            blobs::Question::Outline(_) => Question::Outline,
            blobs::Question::Chunk(chunk) if (chunk.index as usize) < BLOB_CHUNKS_MAX - 1 => {
                Question::Chunk(chunk.index)
            }
            blobs::Question::Chunk(chunk) => return Err(WireError::Index { index: chunk.index }),
        };
        Ok(Self {
            blob: BlobId::from_bytes(hash),
            question,
        })
    }

    /// The bytes of a question, without the length before them.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let question = match self.question {
            Question::Have => blobs::Question::Have(blobs::HaveQuestion {}),
            Question::Outline => blobs::Question::Outline(blobs::OutlineQuestion {}),
            Question::Chunk(index) => blobs::Question::Chunk(blobs::ChunkQuestion { index }),
        };
        let blob = self.blob.as_bytes().to_vec();
        let question = Some(question);
        blobs::Request { blob, question }.encode_to_vec()
    }
}

impl Answer {
    /// Reads an answer, without the length before it.
    ///
    /// # Errors
    /// When it is not one.
    pub fn read(bytes: &[u8]) -> Result<Self, WireError> {
        Ok(match decode_blob_answer(bytes)?.answer.ok_or(WireError::Empty)? {
            AnswerKind::Holding(holding) if holding.chunks.is_empty() => Self::Holding(Claim::All),
            AnswerKind::Holding(holding) => Self::Holding(Claim::Some(holding.chunks)),
            AnswerKind::Outline(blobs::Outline { hashes, last }) => Self::Outline { hashes, last },
            AnswerKind::Chunk(chunk) => Self::Chunk(chunk.bytes),
            AnswerKind::Missing(_) => Self::Missing,
            AnswerKind::Busy(_) => Self::Busy,
        })
    }

    /// The bytes of an answer, without the length before them.
    #[must_use]
    pub fn write(self) -> Vec<u8> {
        let answer = match self {
            Self::Holding(Claim::All) => AnswerKind::Holding(blobs::Holding::default()),
            Self::Holding(Claim::Some(chunks)) => AnswerKind::Holding(blobs::Holding { chunks }),
            Self::Outline { hashes, last } => AnswerKind::Outline(blobs::Outline { hashes, last }),
            Self::Chunk(bytes) => AnswerKind::Chunk(blobs::Chunk { bytes }),
            Self::Missing => AnswerKind::Missing(blobs::Missing {}),
            Self::Busy => AnswerKind::Busy(blobs::Busy {}),
        };
        let answer = Some(answer);
        blobs::Answer { answer }.encode_to_vec()
    }
}
