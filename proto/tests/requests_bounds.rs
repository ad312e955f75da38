//! The bounds of `requests.proto`, as those of the others.

mod common;

use maille_proto::{
    DecodeError, decode_request_call, decode_request_reply,
    requests::{Call, Outcome, Reply},
};
use prost::Message;

#[test]
fn calls_and_replies_are_bounded() {
    for bytes in common::request_calls() {
        assert_eq!(decode_request_call(&bytes).unwrap().encode_to_vec(), bytes);
    }
    for bytes in common::request_replies() {
        assert_eq!(decode_request_reply(&bytes).unwrap().encode_to_vec(), bytes);
    }
    let call = |service: String| {
        decode_request_call(
            &Call {
                service,
                ..Call::default()
            }
            .encode_to_vec(),
        )
    };
    assert!(call("x".repeat(255)).is_ok());
    let field = "call.service";
    let length = |field, bytes, bytes_max| DecodeError::Length {
        field,
        bytes,
        bytes_min: 1,
        bytes_max,
    };
    assert_eq!(call("x".repeat(256)), Err(length(field, 256, 255)));
    assert_eq!(
        call(String::new()),
        Err(DecodeError::Count {
            field,
            count: 0,
            count_min: 1,
            count_max: 1
        })
    );
    let outcome = Outcome::Refused.into();
    let reply = |reason: String| {
        let reply = Reply {
            outcome,
            bytes: u32::MAX,
            reason,
        };
        decode_request_reply(&reply.encode_to_vec())
    };
    assert!(reply("x".repeat(1_024)).is_ok());
    assert_eq!(reply("x".repeat(1_025)), Err(length("reply.reason", 1_025, 1_024)));
    let too_long = |what, bytes| DecodeError::TooLong {
        what,
        bytes: bytes + 1,
        bytes_max: bytes,
    };
    assert_eq!(decode_request_call(&[0; 513]), Err(too_long("a call", 512)));
    assert_eq!(decode_request_reply(&[0; 1_153]), Err(too_long("a reply", 1_152)));
}
