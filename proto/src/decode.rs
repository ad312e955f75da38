//! Decoders, one per outermost message: size, then counts and lengths, then protobuf, then the one encoding where it is
//! promised. The tables below are the bounds of the .proto files' comments.

use std::ops::RangeInclusive;

use prost::Message as _;

use crate::{
    DecodeError, admission, blobs,
    bounds::*,
    catchup, control, document, frame, peers, requests, ticket,
    wire::{Fields, Rule, check},
};

const fn exactly(number: u32, name: &'static str, bytes: usize) -> Rule {
    Rule::bytes(number, name, bytes, bytes).required()
}

const MEMBER_RECORD: &[Rule] = &[
    Rule::bytes(1, "member_record.envelope", 1, MEMBER_ENVELOPE_BYTES_MAX).required(),
    Rule::fixed64(2, "member_record.topics", MEMBER_TOPICS_MAX),
];

const ADMISSION_FRAME: &[Rule] = &[
    Rule::message(
        1,
        "hello",
        &[
            exactly(2, "hello.tag", TAG_BYTES),
            exactly(3, "hello.session", SESSION_BYTES),
            exactly(4, "hello.nonce", NONCE_BYTES),
        ],
    ),
    Rule::message(
        2,
        "challenge",
        &[
            exactly(1, "challenge.nonce", NONCE_BYTES),
            exactly(2, "challenge.share", SHARE_BYTES),
        ],
    ),
    Rule::message(
        3,
        "proof",
        &[
            exactly(1, "proof.share", SHARE_BYTES),
            exactly(2, "proof.mac", MAC_BYTES),
        ],
    ),
    Rule::message(
        4,
        "accept",
        &[
            exactly(1, "accept.mac", MAC_BYTES),
            Rule::bytes(2, "accept.welcome", SEAL_BYTES, WELCOME_BYTES_MAX + SEAL_BYTES).required(),
        ],
    ),
    Rule::message(5, "ready", &[]),
];
const ACCEPT_FIELD: u32 = 4;
const ADMISSION_FIELD_MAX: u32 = 5;

const WELCOME: &[Rule] = &[
    exactly(1, "welcome.session", SESSION_BYTES),
    Rule::message(2, "welcome.sample", MEMBER_RECORD).up_to(SAMPLE_RECORDS_MAX),
];

const CONTROL_FRAME: &[Rule] = &[
    Rule::message(
        1,
        "acks",
        &[Rule::message(
            1,
            "acks.acks",
            &[Rule::bytes(1, "ack.topic", 1, TOPIC_NAME_BYTES_MAX).required()],
        )
        .up_to(ACKS_MAX)],
    ),
    Rule::message(
        2,
        "profile",
        &[Rule::message(1, "profile.member", MEMBER_RECORD).required()],
    ),
    Rule::message(
        3,
        "swap",
        &[Rule::message(1, "swap.records", MEMBER_RECORD).up_to(SAMPLE_RECORDS_MAX)],
    ),
    Rule::message(4, "clock", &[]),
    Rule::message(
        5,
        "farewell",
        &[
            Rule::message(1, "farewell.sample", MEMBER_RECORD).up_to(SAMPLE_RECORDS_MAX),
            Rule::bytes(2, "farewell.replaced", SESSION_BYTES, SESSION_BYTES),
        ],
    ),
    Rule::message(
        6,
        "digest",
        &[Rule::bytes(1, "digest.topic", 1, TOPIC_NAME_BYTES_MAX).required()],
    ),
    Rule::message(7, "presence", PRESENCE),
];
const CONTROL_FIELD_MAX: u32 = 7;

const PRESENCE: &[Rule] = &[
    Rule::message(
        1,
        "tidings",
        &[
            Rule::bytes(1, "tidings.announcements", SIGNATURE_BYTES + 1, ANNOUNCEMENT_BYTES_MAX).up_to(TIDINGS_MAX),
            Rule::bytes(2, "tidings.doubts", SIGNATURE_BYTES + 1, DOUBT_BYTES_MAX).up_to(TIDINGS_MAX),
        ],
    ),
    Rule::message(2, "register", &[]),
    Rule::message(
        3,
        "summary",
        &[
            Rule::fixed64(1, "summary.members", SUMMARY_MEMBERS_MAX),
            Rule::fixed64(2, "summary.versions", SUMMARY_MEMBERS_MAX),
        ],
    ),
    Rule::bytes(4, "presence.wanted", HASH_BYTES, HASH_BYTES),
    Rule::bytes(5, "presence.introduction", 1, INTRODUCTION_BYTES_MAX),
];

const ANNOUNCEMENT: &[Rule] = &[
    exactly(1, "announcement.member", PUBLISHER_BYTES),
    Rule::bytes(4, "announcement.introduction", HASH_BYTES, HASH_BYTES),
];

const DOUBT: &[Rule] = &[
    exactly(1, "doubt.by", PUBLISHER_BYTES),
    exactly(2, "doubt.member", PUBLISHER_BYTES),
];

const INTRODUCTION: &[Rule] = &[
    Rule::bytes(1, "introduction.nickname", 1, NICKNAME_BYTES_MAX),
    Rule::bytes(2, "introduction.about", 1, ABOUT_BYTES_MAX),
];

const FRAME_BODY: &[Rule] = &[
    exactly(1, "frame_body.publisher", PUBLISHER_BYTES),
    Rule::bytes(4, "frame_body.previous", HASH_BYTES, HASH_BYTES),
    Rule::bytes(6, "frame_body.content_type", 1, CONTENT_TYPE_BYTES_MAX),
    Rule::message(8, "frame_body.predecessor", &[]),
    Rule::message(
        9,
        "frame_body.records",
        &[
            Rule::bytes(1, "record.key", 0, KEY_BYTES_MAX),
            Rule::bytes(2, "record.payload", 1, RECORD_BYTES_MAX),
        ],
    )
    .up_to(FRAME_RECORDS_MAX),
];

const TICKET: &[Rule] = &[
    Rule::bytes(1, "ticket.mesh", 1, MESH_NAME_BYTES_MAX).required(),
    Rule::bytes(2, "ticket.topic", 1, TOPIC_NAME_BYTES_MAX),
    Rule::message(
        3,
        "ticket.bootstrap",
        &[
            Rule::bytes(1, "bootstrap_peer.peer", 1, PEER_ID_BYTES_MAX).required(),
            Rule::bytes(2, "bootstrap_peer.multiaddrs", 1, TICKET_BODY_BYTES_MAX)
                .required()
                .up_to(TICKET_MULTIADDRS_MAX),
        ],
    )
    .up_to(TICKET_PEERS_MAX),
];

const PEER_CACHE: &[Rule] = &[Rule::message(
    1,
    "peer_cache.meshes",
    &[
        Rule::bytes(1, "mesh_peers.mesh", 1, MESH_NAME_BYTES_MAX).required(),
        Rule::message(2, "mesh_peers.members", MEMBER_RECORD).up_to(PEER_CACHE_MEMBERS_MAX),
    ],
)
.up_to(PEER_CACHE_MESHES_MAX)];

const RUN_NAME: &[Rule] = &[Rule::bytes(1, "run_name.publisher", 1, PEER_ID_BYTES_MAX).required()];

const CATCHUP_REQUEST: &[Rule] = &[
    Rule::bytes(1, "request.topic", 1, TOPIC_NAME_BYTES_MAX),
    Rule::message(2, "runs", &[Rule::message(3, "runs.from", RUN_NAME)]),
    Rule::message(3, "range", &[Rule::message(1, "range.run", RUN_NAME).required()]),
    Rule::message(4, "latest", &[]),
    Rule::message(5, "topics", &[Rule::bytes(1, "topics.after", 1, TOPIC_NAME_BYTES_MAX)]),
];
const CATCHUP_QUESTIONS: RangeInclusive<u32> = 2..=5;

const CATCHUP_ANSWER: &[Rule] = &[
    Rule::message(
        1,
        "runs",
        &[Rule::message(
            1,
            "runs.runs",
            &[
                Rule::message(1, "run.run", RUN_NAME).required(),
                Rule::message(2, "run.held", &[]).required().up_to(CATCHUP_SPANS_MAX),
                Rule::bytes(5, "run.head", SIGNATURE_BYTES + 1, CATCHUP_HEAD_BYTES_MAX),
            ],
        )
        .up_to(CATCHUP_RUNS_MAX)],
    ),
    Rule::message(
        2,
        "frames",
        &[Rule::bytes(1, "frames.frames", SIGNATURE_BYTES + 1, FRAME_BYTES_MAX).up_to(CATCHUP_FRAMES_MAX)],
    ),
    Rule::message(
        3,
        "topics",
        &[Rule::message(
            1,
            "topics.topics",
            &[Rule::bytes(1, "topic.name", 1, TOPIC_NAME_BYTES_MAX).required()],
        )
        .up_to(CATCHUP_TOPICS_MAX)],
    ),
    Rule::message(4, "busy", &[]),
];

const REQUEST_CALL: &[Rule] = &[Rule::bytes(1, "call.service", 1, SERVICE_NAME_BYTES_MAX).required()];
const REQUEST_REPLY: &[Rule] = &[Rule::bytes(3, "reply.reason", 1, REQUEST_REASON_BYTES_MAX)];
const DOCUMENT_RECORD: &[Rule] = &[
    Rule::message(
        1,
        "edits",
        &[Rule::bytes(2, "edits.updates", 2, DOCUMENT_PART_BYTES_MAX)
            .required()
            .up_to(DOCUMENT_UPDATES_MAX)],
    ),
    Rule::message(
        2,
        "summary",
        &[
            Rule::fixed64(1, "summary.clients", DOCUMENT_CLIENTS_MAX),
            Rule::fixed64(2, "summary.clocks", DOCUMENT_CLIENTS_MAX),
        ],
    ),
    Rule::message(
        3,
        "state",
        &[Rule::bytes(4, "state.bytes", 1, DOCUMENT_PART_BYTES_MAX).required()],
    ),
];

const BLOB_REQUEST: &[Rule] = &[
    exactly(1, "request.blob", HASH_BYTES),
    Rule::message(2, "have", &[]),
    Rule::message(3, "outline", &[]),
    Rule::message(4, "chunk", &[]),
];
const BLOB_QUESTIONS: RangeInclusive<u32> = 2..=4;

const BLOB_ANSWER: &[Rule] = &[
    Rule::message(
        1,
        "holding",
        &[Rule::bytes(1, "holding.chunks", 1, BLOB_CHUNKS_MAX / 8)],
    ),
    Rule::message(
        2,
        "outline",
        &[
            Rule::bytes(1, "outline.hashes", 2 * HASH_BYTES, BLOB_CHUNKS_MAX * HASH_BYTES),
            Rule::bytes(2, "outline.last", 1, BLOB_CHUNK_BYTES),
        ],
    ),
    Rule::message(3, "chunk", &[exactly(1, "chunk.bytes", BLOB_CHUNK_BYTES)]),
    Rule::message(4, "missing", &[]),
    Rule::message(5, "busy", &[]),
];

/// One message of the handshake: an `AdmissionFrame` without the length before it.
///
/// # Errors
/// When it is longer than 512 bytes (8,192 for `Accept`), does not carry exactly one known message, or a field of that
/// has the wrong length.
pub fn decode_admission(bytes: &[u8]) -> Result<admission::Message, DecodeError> {
    const WHAT: &str = "a handshake message";
    cap(WHAT, bytes, ACCEPT_FRAME_BYTES_MAX)?;
    let (count, number) = field_numbers(bytes)?.fold((0, 0), |(count, _), number| (count + 1, number));
    if count != 1 {
        return Err(DecodeError::NotOneMessage { what: WHAT, count });
    }
    if number != ACCEPT_FIELD {
        cap(WHAT, bytes, HANDSHAKE_FRAME_BYTES_MAX)?;
    }
    check(bytes, ADMISSION_FRAME)?;
    let frame = admission::AdmissionFrame::decode(bytes)?;
    debug_assert_eq!(
        frame.message.is_some(),
        number <= ADMISSION_FIELD_MAX,
        "the table knows every message"
    );
    frame.message.ok_or(DecodeError::UnknownMessage { number })
}

/// What an acceptor tells a new member, once opened.
///
/// # Errors
/// When it is longer than [`WELCOME_BYTES_MAX`], or a count or length is outside its bounds.
pub fn decode_welcome(bytes: &[u8]) -> Result<admission::Welcome, DecodeError> {
    decode("a welcome", bytes, WELCOME_BYTES_MAX, WELCOME)
}

/// One control message without the length before it; `None` for one of a later version, to be ignored.
///
/// # Errors
/// When it is longer than [`CONTROL_FRAME_BYTES_MAX`], carries more than one message, or a count or length is outside
/// its bounds.
pub fn decode_control(bytes: &[u8]) -> Result<Option<control::Message>, DecodeError> {
    const WHAT: &str = "a control message";
    cap(WHAT, bytes, CONTROL_FRAME_BYTES_MAX)?;
    let count = field_numbers(bytes)?
        .filter(|number| *number <= CONTROL_FIELD_MAX)
        .count();
    if count > 1 {
        return Err(DecodeError::NotOneMessage { what: WHAT, count });
    }
    check(bytes, CONTROL_FRAME)?;
    Ok(control::ControlFrame::decode(bytes)?.message)
}

/// What a member says about itself: what follows the signature, which is not looked at.
///
/// # Errors
/// When it is longer than [`ANNOUNCEMENT_BYTES_MAX`] allows, a length is outside its bounds, or the encoding is not
/// canonical.
pub fn decode_announcement(bytes: &[u8]) -> Result<control::Announcement, DecodeError> {
    let bytes_max = ANNOUNCEMENT_BYTES_MAX - SIGNATURE_BYTES;
    decode_canonical("an announcement", bytes, bytes_max, ANNOUNCEMENT)
}

/// What a member says about another: what follows the signature, which is not looked at.
///
/// # Errors
/// When it is longer than [`DOUBT_BYTES_MAX`] allows, a length is outside its bounds, or the encoding is not canonical.
pub fn decode_doubt(bytes: &[u8]) -> Result<control::Doubt, DecodeError> {
    decode_canonical("a doubt", bytes, DOUBT_BYTES_MAX - SIGNATURE_BYTES, DOUBT)
}

/// What a member tells the others.
///
/// # Errors
/// When it is longer than [`INTRODUCTION_BYTES_MAX`], a length is outside its bounds, or the encoding is not canonical.
pub fn decode_introduction(bytes: &[u8]) -> Result<control::Introduction, DecodeError> {
    decode_canonical("an introduction", bytes, INTRODUCTION_BYTES_MAX, INTRODUCTION)
}

/// The body of a frame: what follows the signature. The signature is not looked at.
///
/// # Errors
/// When it is longer than [`FRAME_BODY_BYTES_MAX`], a count or length is outside its bounds, the sequence numbers
/// overflow, or the encoding is not canonical.
pub fn decode_frame_body(bytes: &[u8]) -> Result<frame::FrameBody, DecodeError> {
    let body: frame::FrameBody = decode_canonical("a frame's body", bytes, FRAME_BODY_BYTES_MAX, FRAME_BODY)?;
    if !body.content_type.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(DecodeError::ContentType);
    }
    let (first_sequence, records) = (body.first_sequence, body.records.len());
    match first_sequence.checked_add(records as u64) {
        Some(_) => Ok(body),
        None => Err(DecodeError::SequenceOverflow {
            first_sequence,
            records,
        }),
    }
}

/// One record of a shared document. Its updates are not looked into.
///
/// # Errors
/// When it is longer than [`RECORD_BYTES_MAX`], carries not exactly one kind, a count or length is outside its bounds, or
/// the encoding is not canonical.
pub fn decode_document(bytes: &[u8]) -> Result<document::Record, DecodeError> {
    const WHAT: &str = "a document's record";
    cap(WHAT, bytes, RECORD_BYTES_MAX)?;
    let count = field_numbers(bytes)?.count();
    if count != 1 {
        return Err(DecodeError::NotOneMessage { what: WHAT, count });
    }
    let record: document::DocumentRecord = decode_canonical(WHAT, bytes, RECORD_BYTES_MAX, DOCUMENT_RECORD)?;
    record.record.ok_or(DecodeError::NotOneMessage { what: WHAT, count: 0 })
}

/// The message of a ticket: what follows the version byte.
///
/// # Errors
/// When it is longer than [`TICKET_BODY_BYTES_MAX`], a count or length is outside its bounds, or the encoding is not
/// canonical.
pub fn decode_ticket(bytes: &[u8]) -> Result<ticket::Ticket, DecodeError> {
    decode_canonical("a ticket", bytes, TICKET_BODY_BYTES_MAX, TICKET)
}

/// The peer cache: the whole file.
///
/// # Errors
/// When it is longer than [`PEER_CACHE_BYTES_MAX`], a count or length is outside its bounds, or the encoding is not
/// canonical.
pub fn decode_peer_cache(bytes: &[u8]) -> Result<peers::PeerCache, DecodeError> {
    decode_canonical("a peer cache", bytes, PEER_CACHE_BYTES_MAX, PEER_CACHE)
}

/// A question about the past, without the length before it. Exactly one is set.
///
/// # Errors
/// When it is longer than [`CATCHUP_REQUEST_BYTES_MAX`], carries not exactly one question, a count or length is outside
/// its bounds, or the encoding is not canonical.
pub fn decode_catchup_request(bytes: &[u8]) -> Result<catchup::Request, DecodeError> {
    const WHAT: &str = "a catch-up request";
    cap(WHAT, bytes, CATCHUP_REQUEST_BYTES_MAX)?;
    let questions = field_numbers(bytes)?.filter(|number| CATCHUP_QUESTIONS.contains(number));
    match questions.count() {
        1 => decode_canonical(WHAT, bytes, CATCHUP_REQUEST_BYTES_MAX, CATCHUP_REQUEST),
        count => Err(DecodeError::NotOneMessage { what: WHAT, count }),
    }
}

/// The answer to a question about the past, without the length before it. Exactly one kind is set. Signatures of frames
/// are not looked at.
///
/// # Errors
/// When it is longer than [`CATCHUP_ANSWER_BYTES_MAX`], carries not exactly one kind, a count or length is outside its
/// bounds, or the encoding is not canonical.
pub fn decode_catchup_answer(bytes: &[u8]) -> Result<catchup::Answer, DecodeError> {
    const WHAT: &str = "a catch-up answer";
    cap(WHAT, bytes, CATCHUP_ANSWER_BYTES_MAX)?;
    match field_numbers(bytes)?.count() {
        1 => decode_canonical(WHAT, bytes, CATCHUP_ANSWER_BYTES_MAX, CATCHUP_ANSWER),
        count => Err(DecodeError::NotOneMessage { what: WHAT, count }),
    }
}

/// A call of a service, without the length before it. How long the request may be is not looked at.
///
/// # Errors
/// When it is longer than [`REQUEST_CALL_BYTES_MAX`], the service's name is absent or too long, or the encoding is not
/// canonical.
pub fn decode_request_call(bytes: &[u8]) -> Result<requests::Call, DecodeError> {
    decode_canonical("a call", bytes, REQUEST_CALL_BYTES_MAX, REQUEST_CALL)
}

/// The reply to a call, without the length before it. How long the answer may be, and whether the outcome is known, is not
/// looked at.
///
/// # Errors
/// When it is longer than [`REQUEST_REPLY_BYTES_MAX`], the reason is too long, or the encoding is not canonical.
pub fn decode_request_reply(bytes: &[u8]) -> Result<requests::Reply, DecodeError> {
    decode_canonical("a reply", bytes, REQUEST_REPLY_BYTES_MAX, REQUEST_REPLY)
}

/// A question about a blob, without the length before it. Exactly one is set.
///
/// # Errors
/// When it is longer than [`BLOB_REQUEST_BYTES_MAX`], carries not exactly one question, a length is outside its bounds, or
/// the encoding is not canonical.
pub fn decode_blob_request(bytes: &[u8]) -> Result<blobs::Request, DecodeError> {
    const WHAT: &str = "a question about a blob";
    cap(WHAT, bytes, BLOB_REQUEST_BYTES_MAX)?;
    let questions = field_numbers(bytes)?.filter(|number| BLOB_QUESTIONS.contains(number));
    match questions.count() {
        1 => decode_canonical(WHAT, bytes, BLOB_REQUEST_BYTES_MAX, BLOB_REQUEST),
        count => Err(DecodeError::NotOneMessage { what: WHAT, count }),
    }
}

/// The answer to a question about a blob, without the length before it. Exactly one kind is set. Hashes are not checked.
///
/// # Errors
/// When it is longer than [`BLOB_ANSWER_BYTES_MAX`], carries not exactly one kind, a length is outside its bounds, or the
/// encoding is not canonical.
pub fn decode_blob_answer(bytes: &[u8]) -> Result<blobs::Answer, DecodeError> {
    const WHAT: &str = "an answer about a blob";
    cap(WHAT, bytes, BLOB_ANSWER_BYTES_MAX)?;
    match field_numbers(bytes)?.count() {
        1 => decode_canonical(WHAT, bytes, BLOB_ANSWER_BYTES_MAX, BLOB_ANSWER),
        count => Err(DecodeError::NotOneMessage { what: WHAT, count }),
    }
}

fn cap(what: &'static str, bytes: &[u8], bytes_max: usize) -> Result<(), DecodeError> {
    if bytes.len() > bytes_max {
        return Err(DecodeError::TooLong {
            what,
            bytes: bytes.len(),
            bytes_max,
        });
    }
    Ok(())
}

fn decode<M: prost::Message + Default>(
    what: &'static str,
    bytes: &[u8],
    bytes_max: usize,
    rules: &[Rule],
) -> Result<M, DecodeError> {
    cap(what, bytes, bytes_max)?;
    check(bytes, rules)?;
    Ok(M::decode(bytes)?)
}

fn decode_canonical<M: prost::Message + Default>(
    what: &'static str,
    bytes: &[u8],
    bytes_max: usize,
    rules: &[Rule],
) -> Result<M, DecodeError> {
    let message: M = decode(what, bytes, bytes_max, rules)?;
    // The length first: it is cheap, and most encodings that are not canonical differ in it.
    if message.encoded_len() != bytes.len() || message.encode_to_vec() != bytes {
        return Err(DecodeError::NotCanonical { what });
    }
    Ok(message)
}

/// The numbers of a frame's outermost fields, once all of them are well-formed.
fn field_numbers(bytes: &[u8]) -> Result<impl Iterator<Item = u32>, DecodeError> {
    let mut fields = Fields { rest: bytes };
    while fields.next()?.is_some() {}
    let mut fields = Fields { rest: bytes };
    Ok(std::iter::from_fn(move || {
        fields.next().ok().flatten().map(|(number, _)| number)
    }))
}
