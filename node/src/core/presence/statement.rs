//! What members sign about who is there: announcements of themselves, doubts of others. Not what is made of it.

use std::time::Duration;

use bytes::Bytes;
use ed25519_dalek::{Signature, VerifyingKey};
use libp2p::{PeerId, identity};
use maille_proto::{
    AGAIN_S_MAX, ANNOUNCEMENT_BYTES_MAX, DOUBT_BYTES_MAX, HASH_BYTES, PUBLISHER_BYTES, SIGNATURE_BYTES, append_lv,
    control::{Announcement, Doubt},
    decode_announcement, decode_doubt,
};
use prost::Message;

use crate::core::stream::{SigningKey, frame::peer_of};
use crate::types::MeshName;

const ANNOUNCEMENT_LABEL: &[u8] = b"maille 1 announcement";
const DOUBT_LABEL: &[u8] = b"maille 1 doubt";

/// A member's Ed25519 public key: as good as its `PeerId`, and compared without arithmetic.
pub(super) type Key = [u8; PUBLISHER_BYTES];

/// The mesh that statements are made in: it is signed, and does not travel.
#[derive(Debug, Clone)]
pub struct Realm(Vec<u8>);

impl Realm {
    /// A mesh in an epoch.
    #[must_use]
    pub fn new(mesh: &MeshName, epoch: u64) -> Self {
        let mut realm = Vec::new();
        append_lv(&mut realm, mesh.as_str().as_bytes());
        realm.extend_from_slice(&epoch.to_be_bytes());
        Self(realm)
    }

    fn sign(&self, label: &[u8], body: &impl Message, key: &SigningKey) -> Bytes {
        let body = body.encode_to_vec();
        let signature = key.sign(&[label, &self.0, &body].concat());
        [&signature[..], &body].concat().into()
    }

    /// Small-order keys, for which one signature holds for several statements, are refused.
    fn is_signed(&self, label: &[u8], wire: &[u8], key: &Key) -> bool {
        let Some((signature, body)) = wire.split_first_chunk::<SIGNATURE_BYTES>() else {
            return false;
        };
        let signed = [label, &self.0, body].concat();
        VerifyingKey::from_bytes(key)
            .is_ok_and(|key| key.verify_strict(&signed, &Signature::from_bytes(signature)).is_ok())
    }
}

/// What a member said about itself.
#[derive(Debug, Clone)]
pub(super) struct Announced {
    pub(super) key: Key,
    pub(super) version: u64,
    /// By its clock, in microseconds since the Unix epoch.
    pub(super) since_us: u64,
    /// The hash of its profile; none if it has none.
    pub(super) introduction: Option<[u8; HASH_BYTES]>,
    /// When it is due again.
    pub(super) again: Duration,
    pub(super) watches: bool,
    pub(super) left: bool,
    pub(super) wire: Bytes,
}

impl Announced {
    /// Signs what it says; `wire` is made here.
    pub(super) fn signed(mut self, realm: &Realm, key: &SigningKey) -> Self {
        let body = Announcement {
            member: self.key.to_vec(),
            version: self.version,
            since_us: self.since_us,
            introduction: self.introduction.map(Vec::from).unwrap_or_default(),
            again_s: u32::try_from(self.again.as_secs()).unwrap_or(AGAIN_S_MAX),
            watches: self.watches,
            left: self.left,
        };
        self.wire = realm.sign(ANNOUNCEMENT_LABEL, &body, key);
        self
    }

    /// Reads without looking at the signature.
    pub(super) fn read(wire: Bytes) -> Option<Self> {
        if wire.len() > ANNOUNCEMENT_BYTES_MAX {
            return None;
        }
        let body = decode_announcement(wire.get(SIGNATURE_BYTES..)?).ok()?;
        let is_timely = (1..=AGAIN_S_MAX).contains(&body.again_s);
        is_timely.then_some(Self {
            key: body.member.as_slice().try_into().ok()?,
            version: body.version,
            since_us: body.since_us,
            introduction: body.introduction.as_slice().try_into().ok(),
            again: Duration::from_secs(body.again_s.into()),
            watches: body.watches,
            left: body.left,
            wire,
        })
    }

    /// Whose it is, if its signature holds.
    pub(super) fn verified(&self, realm: &Realm) -> Option<PeerId> {
        let signed = realm.is_signed(ANNOUNCEMENT_LABEL, &self.wire, &self.key);
        signed.then(|| peer_of(&self.key)).flatten()
    }
}

/// What a member said about another.
#[derive(Debug, Clone)]
pub(super) struct Doubted {
    pub(super) by: Key,
    pub(super) member: Key,
    pub(super) version: u64,
    pub(super) wire: Bytes,
}

impl Doubted {
    pub(super) fn signed(member: Key, version: u64, realm: &Realm, key: &SigningKey) -> Self {
        let by = key.public();
        let body = Doubt {
            by: by.to_vec(),
            member: member.to_vec(),
            version,
        };
        Self {
            by,
            member,
            version,
            wire: realm.sign(DOUBT_LABEL, &body, key),
        }
    }

    /// Reads without looking at the signature.
    pub(super) fn read(wire: Bytes) -> Option<Self> {
        if wire.len() > DOUBT_BYTES_MAX {
            return None;
        }
        let body = decode_doubt(wire.get(SIGNATURE_BYTES..)?).ok()?;
        Some(Self {
            by: body.by.as_slice().try_into().ok()?,
            member: body.member.as_slice().try_into().ok()?,
            version: body.version,
            wire,
        })
    }

    pub(super) fn is_verified(&self, realm: &Realm) -> bool {
        realm.is_signed(DOUBT_LABEL, &self.wire, &self.by)
    }
}

/// The key of a peer whose `PeerId` holds it: that of every Ed25519 key does.
pub(super) fn key_of(peer: &PeerId) -> Option<Key> {
    let key = identity::PublicKey::try_decode_protobuf(peer.as_ref().digest()).ok()?;
    Some(key.try_into_ed25519().ok()?.to_bytes())
}

/// What a summary calls a member.
pub(super) fn short(key: &Key) -> u64 {
    u64::from_be_bytes(*key.first_chunk().expect("a key is longer than 8 bytes"))
}
