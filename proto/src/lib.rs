//! The wire formats of maille: protobuf messages, their bounds, and decoders that check them before they allocate.
//! What the bytes mean is said in the .proto files; what to do about them is not decided here.
//!
//! ```
//! use maille_proto::{admission::{Message, Ready}, decode_admission, encode_admission};
//!
//! let bytes = encode_admission(Message::Ready(Ready {}));
//! assert_eq!(decode_admission(&bytes)?, Message::Ready(Ready {}));
//! # Ok::<(), maille_proto::DecodeError>(())
//! ```

mod bounds;
mod decode;
mod error;
#[rustfmt::skip]
mod generated;
mod length;
mod tables;
mod wire;

pub use crate::{
    bounds::*,
    decode::{
        decode_admission, decode_announcement, decode_blob_answer, decode_blob_request, decode_catchup_answer,
        decode_catchup_request, decode_control, decode_document, decode_doubt, decode_frame_body, decode_introduction,
        decode_lease, decode_lockstep_record, decode_lockstep_snapshot, decode_peer_cache, decode_request_call,
        decode_request_reply, decode_ticket, decode_welcome,
    },
    error::DecodeError,
    length::{append_lv, read_length, with_length},
};

/// The handshake that turns a stranger into a member: `admission.proto`.
pub mod admission {
    pub use crate::generated::admission::v1::{admission_frame::Message, *};
}

/// What a member asks another about a blob: `blobs.proto`.
pub mod blobs {
    pub use crate::generated::blobs::v1::{answer::Answer as AnswerKind, request::Question, *};
}

/// What a member asks another about the past: `catchup.proto`.
pub mod catchup {
    pub use crate::generated::catchup::v1::{
        answer::Answer as AnswerKind, request::Question, runs_question::Selector, *,
    };
}

/// The control stream between two members: `control.proto`.
pub mod control {
    pub use crate::generated::control::v1::{control_frame::Message, presence::Message as PresenceMessage, *};
}

/// What travels on a shared document's topic: `document.proto`.
pub mod document {
    pub use crate::generated::document::v1::{document_record::Record, *};
}

/// What travels on a topic: `frame.proto`.
pub mod frame {
    pub use crate::generated::frame::v1::*;
}

/// What travels on the topic of a lease group: `leases.proto`.
pub mod leases {
    pub use crate::generated::leases::v1::*;
}

/// What travels on a lockstep session's topic: `lockstep.proto`.
pub mod lockstep {
    pub use crate::generated::lockstep::v1::*;
}

/// The peer cache, a file of this machine: `peers.proto`.
pub mod peers {
    pub use crate::generated::peers::v1::*;
}

/// What a member asks of another's service: `requests.proto`.
pub mod requests {
    pub use crate::generated::requests::v1::*;
}

/// What a newcomer needs to find a mesh: `ticket.proto`.
pub mod ticket {
    pub use crate::generated::ticket::v1::*;
}

/// The bytes of one handshake message, without the length before it.
#[must_use]
pub fn encode_admission(message: admission::Message) -> Vec<u8> {
    prost::Message::encode_to_vec(&admission::AdmissionFrame { message: Some(message) })
}

/// The bytes of one control message, without the length before it.
#[must_use]
pub fn encode_control(message: control::Message) -> Vec<u8> {
    prost::Message::encode_to_vec(&control::ControlFrame { message: Some(message) })
}

/// The bytes of one record of a lease group.
#[must_use]
pub fn encode_lease(record: &leases::LeaseRecord) -> Vec<u8> {
    prost::Message::encode_to_vec(record)
}

/// The bytes of one record of a shared document.
#[must_use]
pub fn encode_document(record: document::Record) -> Vec<u8> {
    prost::Message::encode_to_vec(&document::DocumentRecord { record: Some(record) })
}
