//! How a publisher makes a frame: what is signed, and with which key. Not when a frame leaves.

use bytes::Bytes;
use ed25519_dalek::Signer as _;
use libp2p::{PeerId, identity};
use maille_proto::{
    PUBLISHER_BYTES, SIGNATURE_BYTES, append_lv,
    frame::{FrameBody, Predecessor, Record},
};
use prost::Message as _;
use zeroize::Zeroizing;

use super::frame::{BodyError, Frame, check_body, message_id, peer_of};
use crate::types::{MeshName, TopicName};

const LABEL: &[u8] = b"maille 1 frame";

/// The topic that a frame belongs to: it is signed, and known from where the frame travels, so it does not travel itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    prefix: Vec<u8>,
}

impl Context {
    /// A topic of a mesh, in an epoch of the mesh.
    #[must_use]
    pub fn new(mesh: &MeshName, epoch: u64, topic: &TopicName) -> Self {
        let mut prefix = LABEL.to_vec();
        append_lv(&mut prefix, mesh.as_str().as_bytes());
        prefix.extend_from_slice(&epoch.to_be_bytes());
        append_lv(&mut prefix, topic.as_str().as_bytes());
        Self { prefix }
    }

    /// What the signature of a frame with this body is over.
    pub(super) fn signed(&self, body: &[u8]) -> Vec<u8> {
        [&self.prefix, body].concat()
    }
}

/// A publisher's Ed25519 key. Wiped when dropped.
#[derive(Clone)]
pub struct SigningKey {
    key: ed25519_dalek::SigningKey,
    publisher: PeerId,
}

impl SigningKey {
    /// The key of a node; `None` unless it is an Ed25519 key.
    #[must_use]
    pub fn from_keypair(keypair: &identity::Keypair) -> Option<Self> {
        let keypair = keypair.clone().try_into_ed25519().ok()?;
        let mut secret = Zeroizing::new([0_u8; ed25519_dalek::SECRET_KEY_LENGTH]);
        secret.copy_from_slice(keypair.secret().as_ref());
        Some(Self::from_secret(&secret))
    }

    /// The key with these secret bytes (RFC 8032).
    #[must_use]
    pub fn from_secret(secret: &[u8; ed25519_dalek::SECRET_KEY_LENGTH]) -> Self {
        let key = ed25519_dalek::SigningKey::from_bytes(secret);
        let publisher = peer_of(key.verifying_key().as_bytes()).expect("a public key of a secret key is a point");
        Self { key, publisher }
    }

    /// A signature over these bytes, which begin with a label of their own.
    pub(crate) fn sign(&self, bytes: &[u8]) -> [u8; SIGNATURE_BYTES] {
        self.key.sign(bytes).to_bytes()
    }

    /// The public key.
    pub(crate) fn public(&self) -> [u8; PUBLISHER_BYTES] {
        self.key.verifying_key().to_bytes()
    }

    /// Who signs with it.
    #[must_use]
    pub fn publisher(&self) -> PeerId {
        self.publisher
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey")
            .field("publisher", &self.publisher)
            .finish_non_exhaustive()
    }
}

/// What a publisher says in one frame, before it is signed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unsigned {
    /// The publisher's run.
    pub incarnation: u64,
    /// The sequence number of the first record.
    pub first_sequence: u64,
    /// The hash of the body before this one, unless nothing is remembered before it.
    pub previous: Option<[u8; 32]>,
    /// Where the run before this one ended: only in the first frame of a run.
    pub predecessor: Option<Predecessor>,
    /// The publisher's clock, in microseconds since the Unix epoch.
    pub sent_us: u64,
    /// What the payloads are: visible ASCII, or empty for bytes.
    pub content_type: String,
    /// Milliseconds after which the records lose their worth; 0: never.
    pub lifetime_ms: u32,
    /// The records; none makes a head.
    pub records: Vec<Record>,
}

/// A frame that is ready to travel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedFrame {
    /// The bytes that travel.
    pub wire: Bytes,
    /// The hash of the body: the `previous` of the frame after this one.
    pub body_hash: [u8; 32],
    /// The name of the bytes.
    pub message_id: [u8; 16],
}

impl SealedFrame {
    /// The frame as its receivers see it. The signature was made here, and is not checked again.
    #[must_use]
    pub fn opened(&self) -> Frame {
        let read = Frame::read(self.wire.clone());
        read.expect("its body was checked before it was signed").0
    }
}

impl Unsigned {
    /// Encodes and signs.
    ///
    /// # Errors
    /// When subscribers would reject it: too large, too many records, a bad content type, wrong links.
    pub fn seal(self, key: &SigningKey, context: &Context) -> Result<SealedFrame, BodyError> {
        let body = FrameBody {
            publisher: key.key.verifying_key().as_bytes().to_vec(),
            incarnation: self.incarnation,
            first_sequence: self.first_sequence,
            previous: self.previous.map(Vec::from).unwrap_or_default(),
            sent_us: self.sent_us,
            content_type: self.content_type,
            lifetime_ms: self.lifetime_ms,
            predecessor: self.predecessor,
            records: self.records,
        };
        let mut wire = Vec::with_capacity(SIGNATURE_BYTES + body.encoded_len());
        wire.resize(SIGNATURE_BYTES, 0);
        body.encode(&mut wire).expect("a vector has room for any message");
        // The receiver's own check: a publisher whose frames are rejected would lose its neighbours for it.
        check_body(&wire[SIGNATURE_BYTES..])?;
        Ok(sign(wire, key, context))
    }
}

/// Signs the body that follows the room for the signature.
pub(super) fn sign(mut wire: Vec<u8>, key: &SigningKey, context: &Context) -> SealedFrame {
    let signature = key.key.sign(&context.signed(&wire[SIGNATURE_BYTES..]));
    wire[..SIGNATURE_BYTES].copy_from_slice(&signature.to_bytes());
    SealedFrame {
        body_hash: *blake3::hash(&wire[SIGNATURE_BYTES..]).as_bytes(),
        message_id: message_id(&wire),
        wire: Bytes::from(wire),
    }
}
