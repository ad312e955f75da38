//! Decoders, one per outermost message: size, then counts and lengths, then protobuf, then the one encoding where it is
//! promised.

use prost::Message as _;

use crate::{
    DecodeError, admission, blobs,
    bounds::*,
    catchup, control, document, frame, leases, lockstep, peers, requests,
    tables::*,
    ticket,
    wire::{Fields, Rule, check},
};

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

/// One record of a lease group.
///
/// # Errors
/// When it is longer than [`LEASE_RECORD_BYTES_MAX`], a count or length is outside its bounds, or the encoding is not
/// canonical.
pub fn decode_lease(bytes: &[u8]) -> Result<leases::LeaseRecord, DecodeError> {
    decode_canonical("a lease record", bytes, LEASE_RECORD_BYTES_MAX, LEASE_RECORD)
}

/// One record of a lockstep session.
///
/// # Errors
/// When it is longer than [`RECORD_BYTES_MAX`], a count or length is outside its bounds, or the encoding is not canonical.
pub fn decode_lockstep_record(bytes: &[u8]) -> Result<lockstep::LockstepRecord, DecodeError> {
    decode_canonical("a lockstep record", bytes, RECORD_BYTES_MAX, LOCKSTEP_RECORD)
}

/// The state of a lockstep session.
///
/// # Errors
/// When it is longer than [`LOCKSTEP_SNAPSHOT_BYTES_MAX`], a count or length is outside its bounds, or the encoding is not
/// canonical.
pub fn decode_lockstep_snapshot(bytes: &[u8]) -> Result<lockstep::LockstepSnapshot, DecodeError> {
    let bytes_max = LOCKSTEP_SNAPSHOT_BYTES_MAX;
    decode_canonical("a lockstep snapshot", bytes, bytes_max, LOCKSTEP_SNAPSHOT)
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
