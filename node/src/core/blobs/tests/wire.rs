//! What is written is read as the same, and mutated bytes are refused or are another message; nothing panics.

use maille_proto::{BLOB_ANSWER_BYTES_MAX, BLOB_CHUNK_BYTES, BLOB_CHUNKS_MAX, BLOB_REQUEST_BYTES_MAX, HASH_BYTES};
use proptest::prelude::*;

use crate::core::blobs::wire::{Answer, Request, WireError};
use crate::core::blobs::{Claim, Question};
use crate::types::BlobId;

fn request(question: Question) -> Request {
    Request {
        blob: BlobId::of(b"x"),
        question,
    }
}

fn answers() -> Vec<Answer> {
    vec![
        Answer::Holding(Claim::All),
        Answer::Holding(Claim::Some(vec![5; BLOB_CHUNKS_MAX / 8])),
        Answer::Outline {
            hashes: vec![7; BLOB_CHUNKS_MAX * HASH_BYTES],
            last: vec![8; BLOB_CHUNK_BYTES],
        },
        Answer::Outline {
            hashes: vec![],
            last: vec![],
        },
        Answer::Chunk(vec![9; BLOB_CHUNK_BYTES]),
        Answer::Missing,
        Answer::Busy,
    ]
}

#[test]
fn questions_and_answers_come_back_within_their_bounds() {
    for question in [
        Question::Have,
        Question::Outline,
        Question::Chunk(0),
        Question::Chunk(32_766),
    ] {
        let bytes = request(question).write();
        assert!(bytes.len() <= BLOB_REQUEST_BYTES_MAX);
        assert_eq!(Request::read(&bytes), Ok(request(question)));
    }
    for answer in answers() {
        let bytes = answer.clone().write();
        assert!(bytes.len() <= BLOB_ANSWER_BYTES_MAX);
        assert_eq!(Answer::read(&bytes), Ok(answer));
    }
}

#[test]
fn what_is_out_of_bounds_is_refused() {
    let index = 32_767;
    let written = request(Question::Chunk(index)).write();
    assert_eq!(Request::read(&written), Err(WireError::Index { index }));
    for bad in [
        Answer::Holding(Claim::Some(vec![1; BLOB_CHUNKS_MAX / 8 + 1])),
        Answer::Outline {
            hashes: vec![7; (BLOB_CHUNKS_MAX + 1) * HASH_BYTES],
            last: vec![8],
        },
        Answer::Outline {
            hashes: vec![7; HASH_BYTES],
            last: vec![8],
        },
        Answer::Outline {
            hashes: vec![],
            last: vec![8; BLOB_CHUNK_BYTES + 1],
        },
        Answer::Chunk(vec![9; BLOB_CHUNK_BYTES - 1]),
        Answer::Chunk(vec![9; BLOB_CHUNK_BYTES + 1]),
        Answer::Chunk(vec![]),
    ] {
        assert!(Answer::read(&bad.write()).is_err());
    }
    assert!(Request::read(&[]).is_err() && Answer::read(&[]).is_err());
}

proptest! {
    #[test]
    fn mutated_messages_are_refused_or_are_others(at in any::<prop::sample::Index>(), flip in 1_u8..=255, cut in any::<prop::sample::Index>()) {
        for question in [Question::Have, Question::Outline, Question::Chunk(300)] {
            let mut bytes = request(question).write();
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            if let Ok(read) = Request::read(&bytes) {
                prop_assert_eq!(read.write(), bytes.clone());
            }
            prop_assert!(Request::read(&bytes[..cut.index(bytes.len())]).is_err());
        }
        for answer in answers() {
            let mut bytes = answer.write();
            let at = at.index(bytes.len().min(64));
            bytes[at] ^= flip;
            if let Ok(read) = Answer::read(&bytes) {
                prop_assert_eq!(read.write(), bytes);
            }
        }
    }
}
