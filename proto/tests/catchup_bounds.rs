//! The bounds of `catchup.proto`, as those of the others.

mod common;

use maille_proto::{
    CATCHUP_ANSWER_BYTES_MAX, DecodeError,
    catchup::{AnswerKind, Frames, Runs},
    decode_catchup_answer, decode_catchup_request,
};
use prost::Message;

fn length_of(field: &'static str, bytes: usize, bytes_min: usize, bytes_max: usize) -> DecodeError {
    DecodeError::Length {
        field,
        bytes,
        bytes_min,
        bytes_max,
    }
}

fn count_of(field: &'static str, count: usize, count_min: usize, count_max: usize) -> DecodeError {
    DecodeError::Count {
        field,
        count,
        count_min,
        count_max,
    }
}

#[test]
fn catch_up_carries_one_question_and_one_answer() {
    for bytes in common::catchup_requests() {
        assert_eq!(decode_catchup_request(&bytes).unwrap().encode_to_vec(), bytes);
    }
    for bytes in common::catchup_answers() {
        assert_eq!(decode_catchup_answer(&bytes).unwrap().encode_to_vec(), bytes);
    }
    let none = |what, count| DecodeError::NotOneMessage { what, count };
    assert_eq!(decode_catchup_request(&[]), Err(none("a catch-up request", 0)));
    assert_eq!(
        decode_catchup_request(&[0x12, 0, 0x22, 0]),
        Err(none("a catch-up request", 2))
    );
    assert_eq!(decode_catchup_answer(&[]), Err(none("a catch-up answer", 0)));
    assert_eq!(
        decode_catchup_answer(&[0x22, 0, 0x22, 0]),
        Err(none("a catch-up answer", 2))
    );
    let too_long = |what, bytes, bytes_max| DecodeError::TooLong { what, bytes, bytes_max };
    assert_eq!(
        decode_catchup_request(&[0; 513]),
        Err(too_long("a catch-up request", 513, 512))
    );
    let bytes = CATCHUP_ANSWER_BYTES_MAX + 1;
    assert_eq!(
        decode_catchup_answer(&vec![0; bytes]),
        Err(too_long("a catch-up answer", bytes, bytes - 1))
    );
}

#[test]
fn catch_up_answers_are_bounded() {
    let runs = |runs| decode_catchup_answer(&common::catchup_answer(AnswerKind::Runs(Runs { runs, more: false })));
    assert!(runs(vec![common::catchup_run(64, 512); 2]).is_ok());
    assert_eq!(
        runs(vec![common::catchup_run(65, 0)]),
        Err(count_of("run.held", 65, 1, 64))
    );
    assert_eq!(
        runs(vec![common::catchup_run(0, 0)]),
        Err(count_of("run.held", 0, 1, 64))
    );
    assert_eq!(
        runs(vec![common::catchup_run(1, 513)]),
        Err(length_of("run.head", 513, 65, 512))
    );
    assert!(runs(vec![common::catchup_run(1, 0); 1_024]).is_ok());
    assert_eq!(
        runs(vec![common::catchup_run(1, 0); 1_025]),
        Err(count_of("runs.runs", 1_025, 0, 1_024))
    );
    let frames = |frames| {
        decode_catchup_answer(&common::catchup_answer(AnswerKind::Frames(Frames {
            frames,
            more: false,
        })))
    };
    assert!(frames(vec![vec![1; 65]; 16_384]).is_ok());
    assert_eq!(
        frames(vec![vec![1; 65]; 16_385]),
        Err(count_of("frames.frames", 16_385, 0, 16_384))
    );
    assert_eq!(
        frames(vec![vec![1; 64]]),
        Err(length_of("frames.frames", 64, 65, 524_288))
    );
}
