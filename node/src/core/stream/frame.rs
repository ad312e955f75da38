//! A frame as it arrives: parsed, bounded, and signed by the publisher it names. Not whether it is new, or wanted.

use std::ops::Range;

use bytes::Bytes;
use ed25519_dalek::{Signature, VerifyingKey};
use libp2p::PeerId;
use maille_proto::{
    DecodeError, FRAME_BYTES_MAX, HASH_BYTES, PUBLISHER_BYTES, SIGNATURE_BYTES, decode_frame_body,
    frame::{FrameBody, Predecessor, Record},
};

use super::{inbox::Delivery, seal::Context};

/// The name of a message: the first 16 bytes of BLAKE3 of all of it, so that no forged copy shadows a real frame.
#[must_use]
pub fn message_id(wire: &[u8]) -> [u8; 16] {
    let mut id = [0; 16];
    id.copy_from_slice(&blake3::hash(wire).as_bytes()[..16]);
    id
}

/// Consecutive records of one publisher, as the publisher signed them; or none, and then it is a head, which says how far
/// the publisher's run goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The bytes that travelled.
    pub wire: Bytes,
    /// The name of those bytes.
    pub message_id: [u8; 16],
    /// Who signed it.
    pub publisher: PeerId,
    /// The publisher's run.
    pub incarnation: u64,
    /// The publisher's clock when it was sent, in microseconds since the Unix epoch.
    pub sent_us: u64,
    /// What the payloads are: visible ASCII, or empty for bytes.
    pub content_type: String,
    /// Where the run before this one ended; only in the first frame of a run.
    pub predecessor: Option<Predecessor>,
    /// The hash of the body before this one, where there was one.
    pub previous: Option<[u8; HASH_BYTES]>,
    /// The hash of its body: the `previous` of the frame after it, unless it is a head.
    pub body_hash: [u8; HASH_BYTES],
    /// Milliseconds after `sent_us` at which the records lose their worth; 0: never.
    pub lifetime_ms: u32,
    pub(super) first_sequence: u64,
    pub(super) records: Vec<(Option<Bytes>, Bytes)>,
}

impl Frame {
    /// Checks everything that can be known from the bytes and the topic they came on.
    ///
    /// # Errors
    /// When an honest forwarder would not have passed it on: [`FrameError::blame`].
    pub fn open(wire: Bytes, context: &Context) -> Result<Self, FrameError> {
        let (frame, key) = Self::read(wire)?;
        let (signature, body) = frame
            .wire
            .split_first_chunk::<SIGNATURE_BYTES>()
            .expect("it was just read from behind the signature");
        key.verify_strict(&context.signed(body), &Signature::from_bytes(signature))
            .map_err(|_| FrameError::Signature)?;
        Ok(frame)
    }

    /// Checks all but the signature.
    pub(super) fn read(wire: Bytes) -> Result<(Self, VerifyingKey), FrameError> {
        if wire.len() > FRAME_BYTES_MAX {
            return Err(FrameError::TooLong { bytes: wire.len() });
        }
        let body_bytes = wire
            .get(SIGNATURE_BYTES..)
            .ok_or(FrameError::TooShort { bytes: wire.len() })?;
        let body = check_body(body_bytes)?;
        let key: [u8; PUBLISHER_BYTES] = body.publisher.as_slice().try_into().map_err(|_| FrameError::Key)?;
        let key = verifying_key(&key).ok_or(FrameError::Key)?;
        let publisher = owner(&key);
        let records = body.records.into_iter();
        let frame = Self {
            message_id: message_id(&wire),
            publisher,
            incarnation: body.incarnation,
            sent_us: body.sent_us,
            content_type: body.content_type,
            predecessor: body.predecessor,
            previous: body.previous.as_slice().try_into().ok(),
            body_hash: *blake3::hash(body_bytes).as_bytes(),
            lifetime_ms: body.lifetime_ms,
            first_sequence: body.first_sequence,
            records: records
                .map(|Record { key, payload }| (key.map(Bytes::from), Bytes::from(payload)))
                .collect(),
            wire,
        };
        Ok((frame, key))
    }

    /// The sequence numbers of its records.
    #[must_use]
    pub fn sequences(&self) -> Range<u64> {
        // Checked when it was decoded: the number after the last record fits.
        self.first_sequence..self.first_sequence + self.records.len() as u64
    }

    /// Whether it carries nothing but where its run stands.
    #[must_use]
    pub fn is_head(&self) -> bool {
        self.records.is_empty()
    }

    /// Its records: sequence number, key and payload.
    pub fn records(&self) -> impl Iterator<Item = (u64, Option<&Bytes>, &Bytes)> {
        self.sequences()
            .zip(&self.records)
            .map(|(sequence, (key, payload))| (sequence, key.as_ref(), payload))
    }
}

impl Frame {
    /// Its records as subscribers hear them, from whoever delivered it.
    pub fn deliveries(&self, deliverer: PeerId) -> impl Iterator<Item = Delivery> {
        self.records().map(move |(sequence, key, payload)| Delivery {
            author: self.publisher,
            deliverer,
            incarnation: self.incarnation,
            sequence,
            sent_us: self.sent_us,
            key: key.cloned(),
            payload: payload.clone(),
            content_type: self.content_type.clone(),
            expires_us: self.expires_us(),
        })
    }

    /// When its records lose their worth, by the publisher's clock, in microseconds since the Unix epoch.
    #[must_use]
    pub fn expires_us(&self) -> Option<u64> {
        let lifetime_us = u64::from(self.lifetime_ms) * 1_000;
        (lifetime_us > 0).then(|| self.sent_us.saturating_add(lifetime_us))
    }
}

#[cfg(test)]
impl Frame {
    /// A frame that nobody signed, for tests of what comes after the signature.
    pub(super) fn unsigned(publisher: PeerId, incarnation: u64, sequences: Range<u64>) -> Self {
        let wire = Bytes::from([&publisher.to_bytes(), &incarnation.to_be_bytes()[..]].concat());
        let payload = Bytes::copy_from_slice(&incarnation.to_be_bytes());
        Self {
            message_id: message_id(&[&wire[..], &sequences.start.to_be_bytes()].concat()),
            wire,
            publisher,
            incarnation,
            // An hour after its run began.
            sent_us: 3_600_000_000,
            content_type: String::new(),
            predecessor: None,
            previous: (sequences.start > 0).then(|| unsigned_hash(sequences.start)),
            body_hash: unsigned_hash(sequences.end),
            lifetime_ms: 0,
            first_sequence: sequences.start,
            records: sequences.map(|_| (None, payload.clone())).collect(),
        }
    }

    /// A head that nobody signed.
    pub(super) fn unsigned_head(publisher: PeerId, incarnation: u64, next: u64, sent_us: u64) -> Self {
        let frame = Self::unsigned(publisher, incarnation, next..next);
        let message_id = message_id(&[&frame.message_id[..], &sent_us.to_be_bytes()].concat());
        Self {
            message_id,
            sent_us,
            ..frame
        }
    }
}

/// So that unsigned frames link up, in whatever way they are cut.
#[cfg(test)]
fn unsigned_hash(end: u64) -> [u8; HASH_BYTES] {
    *blake3::hash(&end.to_be_bytes()).as_bytes()
}

/// Decodes a body and checks what one body shows by itself.
pub(super) fn check_body(bytes: &[u8]) -> Result<FrameBody, BodyError> {
    let body = decode_frame_body(bytes)?;
    let linked = !body.previous.is_empty();
    let fits = match body.predecessor {
        _ if body.records.is_empty() && body.first_sequence == 0 => false,
        Some(predecessor) => linked && body.first_sequence == 0 && predecessor.incarnation < body.incarnation,
        None => linked == (body.first_sequence > 0),
    };
    if fits { Ok(body) } else { Err(BodyError::Links) }
}

/// Who owns a public key; `None` if it is not one.
pub(crate) fn peer_of(key: &[u8; PUBLISHER_BYTES]) -> Option<PeerId> {
    verifying_key(key).map(|key| owner(&key))
}

fn verifying_key(key: &[u8; PUBLISHER_BYTES]) -> Option<VerifyingKey> {
    is_canonical(key).then(|| VerifyingKey::from_bytes(key).ok()).flatten()
}

/// The PeerId of an Ed25519 key, as libp2p's specification of peer ids has it: the identity multihash of the key in
/// protobuf. libp2p's own way looks for the point on the curve again, which costs as much as a fifth of a signature check.
fn owner(key: &VerifyingKey) -> PeerId {
    // Identity, 36 bytes; key type 1, 32 bytes.
    const BEFORE: [u8; 6] = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20];
    let mut id = [0; BEFORE.len() + PUBLISHER_BYTES];
    id[..BEFORE.len()].copy_from_slice(&BEFORE);
    id[BEFORE.len()..].copy_from_slice(key.as_bytes());
    PeerId::from_bytes(&id).expect("an identity multihash of 36 bytes is a peer id")
}

/// Whether the coordinate is below the field's prime, 2^255 - 19, as RFC 8032 wants but decoders seldom check: one key
/// under two names would be two publishers.
fn is_canonical(key: &[u8; PUBLISHER_BYTES]) -> bool {
    key[0] < 0xed || key[1..31].iter().any(|byte| *byte != 0xff) || key[31] & 0x7f != 0x7f
}

/// Why a body is not one that a publisher may sign.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// Outside the bounds, or not canonical.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A hash of the body before where there is none, or none where there is one; a predecessor that is not earlier; or a
    /// head of a run that has no records.
    #[error("the links to the frame before do not fit the place of this one")]
    Links,
}

/// Why bytes that came on a topic are not a frame of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// Longer than a frame may be; nothing of it was decoded.
    #[error("a frame of {bytes} bytes is longer than the {FRAME_BYTES_MAX} bytes allowed")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// Shorter than a signature.
    #[error("a frame of {bytes} bytes has no room for its signature")]
    TooShort {
        /// Its length.
        bytes: usize,
    },
    /// What was signed is not a frame's body.
    #[error("bad body: {0}")]
    Body(#[from] BodyError),
    /// The publisher is not an Ed25519 public key.
    #[error("the publisher's key is not an Ed25519 public key")]
    Key,
    /// Not signed by the publisher for this mesh, epoch and topic.
    #[error("the signature is not the publisher's for this mesh, epoch and topic")]
    Signature,
}

/// Who is at fault when a message is not passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// Whoever passed it on could have known better.
    Forwarder,
    /// An honest forwarder could have passed it on as well.
    Nobody,
}

impl FrameError {
    /// Who is at fault. All of these follow from the bytes and the topic alone, which every forwarder has and checks.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::TooLong { .. } | Self::TooShort { .. } | Self::Body(_) | Self::Key | Self::Signature => {
                Blame::Forwarder
            }
        }
    }
}
