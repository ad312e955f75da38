//! What a handshake is bound to, and the keys that come of it. Not the exchange itself, which is in `pake`.

use std::fmt::Write;

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac as _};
use libp2p::PeerId;
use maille_proto::{MAC_BYTES, NONCE_BYTES, append_lv};
use sha2::{Digest, Sha512};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{
    pake::{ExchangeKey, Share},
    wire::{Challenge, Hello, Mac, Nonce},
};

const CHANNEL_LABEL: &[u8] = b"maille 1 admission";
const CONFIRM_OPENER_LABEL: &[u8] = b"maille 1 confirm opener";
const CONFIRM_ACCEPTOR_LABEL: &[u8] = b"maille 1 confirm acceptor";
const WELCOME_LABEL: &[u8] = b"maille 1 welcome";
const PROTOCOL_LABEL: &[u8] = b"maille 1 protocol";
const PROTOCOL_BYTES: usize = 8;

/// Both nonces, the opener's first.
pub(super) type SessionId = [u8; 2 * NONCE_BYTES];

/// CPace's channel identifier: what both sides must agree on besides the secret.
pub(super) fn channel(mesh: &str, epoch: u64, opener: &PeerId, acceptor: &PeerId) -> Vec<u8> {
    let mut channel = Vec::new();
    append_lv(&mut channel, CHANNEL_LABEL);
    append_lv(&mut channel, mesh.as_bytes());
    append_lv(&mut channel, &epoch.to_be_bytes());
    append_lv(&mut channel, &opener.to_bytes());
    append_lv(&mut channel, &acceptor.to_bytes());
    channel
}

/// CPace's session identifier.
pub(super) fn session_id(opener: &Nonce, acceptor: &Nonce) -> SessionId {
    let mut id = [0; 2 * NONCE_BYTES];
    id[..NONCE_BYTES].copy_from_slice(opener);
    id[NONCE_BYTES..].copy_from_slice(acceptor);
    id
}

/// All that travelled before the first confirmation, as it travelled.
pub(super) struct Transcript(Vec<u8>);

impl Transcript {
    pub(super) fn new(hello: &Hello, challenge: &Challenge, opener: &Share) -> Self {
        let mut transcript = Vec::new();
        append_lv(&mut transcript, hello.frame());
        append_lv(&mut transcript, challenge.frame());
        append_lv(&mut transcript, opener);
        Transcript(transcript)
    }
}

/// What both sides of one handshake derive. Wiped on drop.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct Keys {
    /// What the opener sends to show that it has the key.
    pub(super) opener_mac: Mac,
    /// What the acceptor answers.
    pub(super) acceptor_mac: Mac,
    /// Seals the welcome, once.
    pub(super) welcome: [u8; 32],
    protocol: [u8; PROTOCOL_BYTES],
}

impl Keys {
    pub(super) fn derive(exchange: &ExchangeKey, session: &SessionId, transcript: &Transcript) -> Self {
        let hkdf = Hkdf::<Sha512>::new(Some(session), exchange.as_bytes());
        let hash = Sha512::digest(&transcript.0);
        let expand = |label: &[u8], key: &mut [u8]| {
            hkdf.expand_multi_info(&[label, &hash], key)
                .expect("HKDF-SHA-512 gives up to 16,320 bytes");
        };
        let confirm = |label: &[u8]| {
            let mut key = Zeroizing::new([0; 32]);
            expand(label, key.as_mut());
            confirm_mac(&key, transcript)
        };
        let mut keys = Keys {
            opener_mac: confirm(CONFIRM_OPENER_LABEL),
            acceptor_mac: confirm(CONFIRM_ACCEPTOR_LABEL),
            welcome: [0; 32],
            protocol: [0; PROTOCOL_BYTES],
        };
        expand(WELCOME_LABEL, &mut keys.welcome);
        expand(PROTOCOL_LABEL, &mut keys.protocol);
        keys
    }

    /// Whether the opener has the key. All 32 bytes, in constant time: a MAC of the right length is not enough.
    pub(super) fn opener_confirmed(&self, mac: &Mac) -> bool {
        self.opener_mac.ct_eq(mac).into()
    }

    /// Whether the acceptor has the key.
    pub(super) fn acceptor_confirmed(&self, mac: &Mac) -> bool {
        self.acceptor_mac.ct_eq(mac).into()
    }

    /// What every mesh protocol's name starts with on this connection. It names no mesh, and no two connections share it.
    pub(super) fn protocol_prefix(&self) -> String {
        let mut prefix = String::from("/maille/m/");
        for byte in self.protocol {
            write!(prefix, "{byte:02x}").expect("writing to a string does not fail");
        }
        prefix
    }
}

fn confirm_mac(key: &[u8; 32], transcript: &Transcript) -> Mac {
    let mut hmac = Hmac::<Sha512>::new_from_slice(key).expect("HMAC takes keys of any length");
    hmac.update(&transcript.0);
    let mut mac = [0; MAC_BYTES];
    mac.copy_from_slice(&hmac.finalize().into_bytes()[..MAC_BYTES]);
    mac
}

#[cfg(test)]
mod tests {
    //! The key schedule once more, from the words of `admission.proto` and with HMAC and SHA-512 alone.

    use rand::{SeedableRng, rngs::StdRng};

    use super::*;
    use crate::core::admission::pake::{Context, Cpace, Pake};

    fn hmac(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
        let mut hmac = Hmac::<Sha512>::new_from_slice(key).unwrap();
        parts.iter().for_each(|part| hmac.update(part));
        hmac.finalize().into_bytes().to_vec()
    }

    fn lv(bytes: &[u8]) -> Vec<u8> {
        assert!(bytes.len() < 128, "one byte of length");
        [&[bytes.len() as u8], bytes].concat()
    }

    #[test]
    fn keys_are_those_of_the_specification() {
        let hello = Hello::new([1; 16], [2; 16], [3; 32]);
        let challenge = Challenge::new([4; 32], [5; 32]);
        let session = session_id(&hello.nonce, &challenge.nonce);
        assert_eq!(session[..], [[3; 32], [4; 32]].concat());
        let mut rng = StdRng::seed_from_u64(1);
        let context = Context {
            secret: &[6; 32],
            channel: b"channel",
            session: &session,
        };
        let (share, started) = Cpace::start(&context, &mut rng).unwrap();
        let (opener, _) = Cpace::respond(&context, &share, &mut rng).unwrap();
        let exchange = Cpace::finish(started, &opener).unwrap();
        let keys = Keys::derive(&exchange, &session, &Transcript::new(&hello, &challenge, &opener));

        let transcript = [lv(hello.frame()), lv(challenge.frame()), lv(&opener)].concat();
        let hash = Sha512::digest(&transcript);
        let extracted = hmac(&session, &[exchange.as_bytes()]);
        // RFC 5869: the first block of output is HMAC(PRK, info || 1).
        let expand = |label: &[u8], length: usize| hmac(&extracted, &[label, &hash, &[1]])[..length].to_vec();
        let confirm = |label: &[u8]| hmac(&expand(label, 32), &[&transcript])[..32].to_vec();
        assert_eq!(keys.opener_mac.to_vec(), confirm(b"maille 1 confirm opener"));
        assert_eq!(keys.acceptor_mac.to_vec(), confirm(b"maille 1 confirm acceptor"));
        assert_eq!(keys.welcome.to_vec(), expand(b"maille 1 welcome", 32));
        let hex: String = expand(b"maille 1 protocol", 8)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(keys.protocol_prefix(), format!("/maille/m/{hex}"));
    }

    #[test]
    fn the_channel_names_protocol_mesh_epoch_opener_and_acceptor() {
        let (opener, acceptor) = (PeerId::random(), PeerId::random());
        let parts: [&[u8]; 5] = [
            b"maille 1 admission",
            b"a.example",
            &[0, 0, 0, 0, 0, 0, 1, 2],
            &opener.to_bytes(),
            &acceptor.to_bytes(),
        ];
        assert_eq!(channel("a.example", 258, &opener, &acceptor), parts.map(lv).concat());
    }
}
