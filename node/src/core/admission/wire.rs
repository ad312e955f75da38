//! Handshake frames as checked values: a frame that got through here has every field at its exact length and is the one
//! encoding of what it says. Not the protocol: which frame may come when is the machines' business.

use std::fmt;

use maille_proto::{
    ADMISSION_VERSION, MAC_BYTES, NONCE_BYTES, SESSION_BYTES, TAG_BYTES,
    admission::{self, Message},
    decode_admission, encode_admission,
};

use super::{handshake::Failure, pake::Share};

pub(super) type Tag = [u8; TAG_BYTES];
pub(super) type Nonce = [u8; NONCE_BYTES];
pub(super) type Session = [u8; SESSION_BYTES];
pub(super) type Mac = [u8; MAC_BYTES];

/// The first frame of a handshake: what an acceptor reads before it knows which mesh is meant.
#[derive(Clone, PartialEq, Eq)]
pub struct Hello {
    frame: Vec<u8>,
    pub(super) tag: Tag,
    pub(super) session: Session,
    pub(super) nonce: Nonce,
}

impl Hello {
    /// Reads a frame without the length before it.
    ///
    /// # Errors
    /// [`Failure::Malformed`] for anything but a hello, [`Failure::Version`] for one of another version: in both cases
    /// the stream is closed without a byte.
    pub fn parse(frame: Vec<u8>) -> Result<Self, Failure> {
        let Message::Hello(hello) = decode(&frame)? else {
            return Err(Failure::Malformed);
        };
        if hello.version != ADMISSION_VERSION {
            return Err(Failure::Version { theirs: hello.version });
        }
        Ok(Hello {
            tag: exact(&hello.tag)?,
            session: exact(&hello.session)?,
            nonce: exact(&hello.nonce)?,
            frame,
        })
    }

    pub(super) fn new(tag: Tag, session: Session, nonce: Nonce) -> Self {
        let frame = encode_admission(Message::Hello(admission::Hello {
            version: ADMISSION_VERSION,
            tag: tag.to_vec(),
            session: session.to_vec(),
            nonce: nonce.to_vec(),
        }));
        Hello {
            frame,
            tag,
            session,
            nonce,
        }
    }

    /// The frame exactly as it travelled.
    pub(super) fn frame(&self) -> &[u8] {
        &self.frame
    }
}

impl fmt::Debug for Hello {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hello")
            .field("bytes", &self.frame.len())
            .finish_non_exhaustive()
    }
}

/// The acceptor's nonce and share.
#[derive(Clone)]
pub(super) struct Challenge {
    frame: Vec<u8>,
    pub(super) nonce: Nonce,
    pub(super) share: Share,
}

impl Challenge {
    pub(super) fn parse(frame: Vec<u8>) -> Result<Self, Failure> {
        let Message::Challenge(challenge) = decode(&frame)? else {
            return Err(Failure::Malformed);
        };
        Ok(Challenge {
            nonce: exact(&challenge.nonce)?,
            share: exact(&challenge.share)?,
            frame,
        })
    }

    pub(super) fn new(nonce: Nonce, share: Share) -> Self {
        let frame = encode_admission(Message::Challenge(admission::Challenge {
            nonce: nonce.to_vec(),
            share: share.to_vec(),
        }));
        Challenge { frame, nonce, share }
    }

    /// The frame exactly as it travelled.
    pub(super) fn frame(&self) -> &[u8] {
        &self.frame
    }
}

/// The opener's share, and its proof.
pub(super) struct Proof {
    pub(super) share: Share,
    pub(super) mac: Mac,
}

impl Proof {
    pub(super) fn parse(frame: &[u8]) -> Result<Self, Failure> {
        let Message::Proof(proof) = decode(frame)? else {
            return Err(Failure::Malformed);
        };
        Ok(Proof {
            share: exact(&proof.share)?,
            mac: exact(&proof.mac)?,
        })
    }

    pub(super) fn to_frame(&self) -> Vec<u8> {
        encode_admission(Message::Proof(admission::Proof {
            share: self.share.to_vec(),
            mac: self.mac.to_vec(),
        }))
    }
}

/// The acceptor's proof, and the sealed welcome.
pub(super) struct Accept {
    pub(super) mac: Mac,
    pub(super) sealed: Vec<u8>,
}

impl Accept {
    pub(super) fn parse(frame: &[u8]) -> Result<Self, Failure> {
        let Message::Accept(accept) = decode(frame)? else {
            return Err(Failure::Malformed);
        };
        Ok(Accept {
            mac: exact(&accept.mac)?,
            sealed: accept.welcome,
        })
    }

    pub(super) fn into_frame(self) -> Vec<u8> {
        encode_admission(Message::Accept(admission::Accept {
            mac: self.mac.to_vec(),
            welcome: self.sealed,
        }))
    }
}

/// The frame that says: the sender accepts the mesh's protocols from now on.
#[must_use]
pub fn ready_frame() -> Vec<u8> {
    encode_admission(Message::Ready(admission::Ready {}))
}

/// Whether a frame is the peer's [`ready_frame`].
#[must_use]
pub fn is_ready(frame: &[u8]) -> bool {
    matches!(decode(frame), Ok(Message::Ready(_)))
}

fn decode(frame: &[u8]) -> Result<Message, Failure> {
    let message = decode_admission(frame).map_err(|_| Failure::Malformed)?;
    // One meaning, one encoding: otherwise a frame could be altered on its way and still be believed.
    if encode_admission(message.clone()) == frame {
        Ok(message)
    } else {
        Err(Failure::Malformed)
    }
}

pub(super) fn exact<const N: usize>(bytes: &[u8]) -> Result<[u8; N], Failure> {
    bytes.try_into().map_err(|_| Failure::Malformed)
}
