//! What the gate's behaviour and its handlers tell each other.

use std::fmt;
use std::sync::Arc;

use libp2p::swarm::ConnectionHandler;
use maille_proto::admission::Welcome;

use super::Slot;
use crate::core::admission::{Admitted, Hello, MeshKey};

/// Why an admission that this side opened did not come to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OpenFailure {
    /// The peer answered, and the passwords differ (or it is not in the mesh: that looks the same).
    Refused,
    /// The stream was lost, or time ran out, after our proof left.
    Unanswered,
    /// The stream was lost, or time ran out, before our proof left: nobody could judge it.
    Lost,
    /// The peer does not speak admission at all.
    NotSpeaking,
}

/// How a handshake that a peer began ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The peer is a member.
    Admitted,
    /// The peer proved another password.
    WrongPassword,
    /// It gave way to ours before our share left.
    GaveWay,
    /// The peer ended it before our share left.
    Abandoned,
    /// Anything else: it broke off, or made no sense.
    Lost,
}

/// What the behaviour tells a connection.
pub(crate) enum In<H: ConnectionHandler> {
    /// Speak admission from now on, or no more.
    Serve(bool),
    /// Open an admission.
    Open(Slot, Arc<MeshKey>),
    /// Answer a hello: for a mesh, or with a random secret for a tag nobody knows.
    Answer {
        hello: u64,
        mesh: Option<(Slot, Arc<MeshKey>)>,
    },
    /// Welcome one who has proved the password.
    Welcome { hello: u64, welcome: Welcome },
    /// Drop a hello: without a byte as long as it waits, else with the sign that it was pushed out.
    Ignore { hello: u64 },
    /// Show this connection to the mesh's behaviour.
    Install(Slot, u32, H),
    /// Send one control frame.
    Control(Slot, u32, Vec<u8>),
    /// End an admission, after a last frame.
    End(Slot, u32, Option<Vec<u8>>),
    /// The node left the mesh.
    Leave(Slot),
    /// For the inner handler.
    Inner(Slot, u32, H::FromBehaviour),
}

impl<H: ConnectionHandler> fmt::Debug for In<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            In::Serve(serves) => write!(f, "Serve({serves})"),
            In::Open(slot, _) => write!(f, "Open({slot})"),
            In::Answer { hello, .. } => write!(f, "Answer({hello})"),
            In::Welcome { hello, .. } => write!(f, "Welcome({hello})"),
            In::Ignore { hello } => write!(f, "Ignore({hello})"),
            In::Install(slot, generation, _) => write!(f, "Install({slot}, {generation})"),
            In::Control(slot, generation, _) => write!(f, "Control({slot}, {generation})"),
            In::End(slot, generation, _) => write!(f, "End({slot}, {generation})"),
            In::Leave(slot) => write!(f, "Leave({slot})"),
            In::Inner(slot, generation, event) => write!(f, "Inner({slot}, {generation}, {event:?})"),
        }
    }
}

/// What a connection tells the behaviour.
#[derive(Debug)]
pub(crate) enum Out<T> {
    /// The peer said hello; answer or ignore it.
    Knocked { hello: u64, said: Box<Hello> },
    /// The peer has proved the password of the mesh that its hello named; a welcome is waited for.
    Proved { hello: u64 },
    /// The handshake that a hello began is over.
    Answered { hello: u64, outcome: Outcome },
    /// A handshake succeeded.
    Admitted(Slot, u32, Box<Admitted>),
    /// The peer accepts the mesh's protocols.
    PeerReady(Slot, u32),
    /// Both sides do.
    Open(Slot, u32),
    /// An admission is over.
    Ended(Slot, u32),
    /// The peer speaks admission, which it did not when it was last asked.
    Speaks,
    /// A farewell is said: nothing of that admission is left.
    Gone,
    /// An admission that this side opened failed.
    Failed(Slot, OpenFailure),
    /// A control frame of an open admission.
    Control(Slot, u32, Vec<u8>),
    /// From the inner handler.
    Inner(Slot, u32, T),
}
