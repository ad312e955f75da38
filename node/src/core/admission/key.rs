//! One join of one mesh, as the handshake needs it: name, epoch, secret, session. Not the mesh's state.

use libp2p::PeerId;
use maille_proto::{TAG_BYTES, append_lv};
use subtle::ConstantTimeEq;

use super::{
    secret::Secret,
    wire::{Hello, Nonce, Session, Tag},
};
use crate::types::MeshName;

const TAG_CONTEXT: &str = "maille 1 mesh tag";

/// What a node needs to open and accept handshakes of one mesh: made once a join, shared by all its handshakes.
#[derive(Debug)]
pub struct MeshKey {
    name: MeshName,
    epoch: u64,
    secret: Secret,
    session: Session,
    /// Blinds the name in hellos. Made from the name alone: only the PAKE ever uses the secret.
    tag_key: [u8; blake3::KEY_LEN],
}

impl MeshKey {
    /// `session` is 16 random bytes, new at every join.
    #[must_use]
    pub fn new(name: MeshName, epoch: u64, secret: Secret, session: [u8; 16]) -> Self {
        let tag_key = blake3::derive_key(TAG_CONTEXT, name.as_str().as_bytes());
        MeshKey {
            name,
            epoch,
            secret,
            session,
            tag_key,
        }
    }

    /// The mesh.
    #[must_use]
    pub fn name(&self) -> &MeshName {
        &self.name
    }

    /// The epoch of the mesh's credential.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// This join.
    #[must_use]
    pub fn session(&self) -> [u8; 16] {
        self.session
    }

    /// Whether an opener's hello means this mesh. Proves nothing about the opener but that it knows the mesh's name.
    #[must_use]
    pub fn recognises(&self, hello: &Hello, opener: &PeerId, acceptor: &PeerId) -> bool {
        self.tag(&hello.nonce, opener, acceptor).ct_eq(&hello.tag).into()
    }

    /// The mesh's name, blinded: who does not know the name cannot tell which mesh is meant, nor that two hellos mean
    /// the same one.
    pub(super) fn tag(&self, nonce: &Nonce, opener: &PeerId, acceptor: &PeerId) -> Tag {
        let mut input = nonce.to_vec();
        append_lv(&mut input, &opener.to_bytes());
        append_lv(&mut input, &acceptor.to_bytes());
        let hash = blake3::keyed_hash(&self.tag_key, &input);
        let mut tag = [0; TAG_BYTES];
        tag.copy_from_slice(&hash.as_bytes()[..TAG_BYTES]);
        tag
    }

    pub(super) fn secret(&self) -> &Secret {
        &self.secret
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_is_that_of_the_specification() {
        let (opener, acceptor) = (PeerId::random(), PeerId::random());
        let name: MeshName = "a.example".parse().unwrap();
        let key = MeshKey::new(name.clone(), 1, Secret::open(&name), [1; 16]);
        let (a, b) = (opener.to_bytes(), acceptor.to_bytes());
        let input = [&[7; 32][..], &[a.len() as u8], &a, &[b.len() as u8], &b].concat();
        let expected = blake3::keyed_hash(&blake3::derive_key("maille 1 mesh tag", b"a.example"), &input);
        assert_eq!(key.tag(&[7; 32], &opener, &acceptor), expected.as_bytes()[..16]);
    }
}
