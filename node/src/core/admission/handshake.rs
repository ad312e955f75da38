//! What both sides of a handshake share: their inputs, actions, endings and deadline. Not the handshake itself.

use std::time::{Duration, Instant};

use libp2p::PeerId;
use maille_proto::{SESSION_BYTES, admission::Welcome};

/// The whole handshake, from the first byte to both `Ready`. The driver keeps it for the `Ready` after [`Action::Admit`].
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// What happened to a handshake.
#[derive(Clone, Debug)]
pub enum Input {
    /// The stream stands (opener), or the doorman let the peer proceed (acceptor).
    Started,
    /// One frame arrived: its bytes, without the length before it.
    Received(Vec<u8>),
    /// The welcome that [`Action::DrawWelcome`] asked for.
    Drawn(Welcome),
    /// The peer ended the stream properly.
    Closed,
    /// The stream or its connection broke.
    Lost,
    /// [`next_deadline`](crate::core::admission::Opener::next_deadline) has passed.
    TimedOut,
}

/// What a handshake wants done. After [`Admit`](Self::Admit) or [`Fail`](Self::Fail) there is nothing more.
#[derive(Clone, Debug)]
pub enum Action {
    /// Send one frame, behind its length.
    Send(Vec<u8>),
    /// An acceptor's peer has proved the password: answer with [`Input::Drawn`]. Of the welcome the sample counts, as far
    /// as it fits; the session is the key's.
    DrawWelcome,
    /// The peer is a member. Accept the mesh's protocols, send [`ready_frame`](crate::core::admission::ready_frame) and
    /// wait for the peer's.
    Admit(Admitted),
    /// The peer is not admitted: close the stream properly, without another byte. What an acceptor sees and sends must
    /// not depend on the reason.
    Fail(Failure),
}

/// What a successful handshake gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Admitted {
    /// The peer, as the connection authenticated it.
    pub peer: PeerId,
    /// What every mesh protocol's name starts with on this connection: `/maille/m/<16 hex>`.
    pub protocol_prefix: String,
    /// The peer's join: a new one replaces older admissions of the same peer.
    pub peer_session: [u8; SESSION_BYTES],
    /// What the acceptor told: only the opener has it.
    pub welcome: Option<Welcome>,
}

/// Why a handshake ended without admission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The other side has another password, or another mesh of that name, epoch or idea of who we are.
    #[error("the peer does not share this mesh's password")]
    Refused,
    /// The peer sent what no honest peer sends.
    #[error("the peer sent a malformed handshake message")]
    Malformed,
    /// The peer's handshake has another version.
    #[error(
        "the peer speaks version {theirs} of the handshake, not {}",
        maille_proto::ADMISSION_VERSION
    )]
    Version {
        /// The version it speaks.
        theirs: u32,
    },
    /// [`HANDSHAKE_TIMEOUT`] passed.
    #[error("the handshake took longer than {} s", HANDSHAKE_TIMEOUT.as_secs())]
    TimedOut,
    /// The stream ended or broke before the peer could judge us.
    #[error("the stream was lost during the handshake")]
    Aborted,
    /// The peer claims to be this very node.
    #[error("a node does not admit itself")]
    OwnPeer,
}

impl Failure {
    /// Whether a password was tried and found wrong. A lost stream is not: it must neither lock an honest peer out nor
    /// make a joiner believe that its password is wrong.
    pub fn is_guess(self) -> bool {
        self == Failure::Refused
    }
}

/// The one deadline of a handshake: set when it starts, gone when it ends.
#[derive(Debug, Default)]
pub(super) struct Deadline(Option<Instant>);

impl Deadline {
    pub(super) fn start(&mut self, now: Instant) {
        self.0 = Some(now + HANDSHAKE_TIMEOUT);
    }

    pub(super) fn clear(&mut self) {
        self.0 = None;
    }

    pub(super) fn get(&self) -> Option<Instant> {
        self.0
    }

    pub(super) fn has_passed(&self, now: Instant) -> bool {
        self.0.is_some_and(|at| at <= now)
    }
}
