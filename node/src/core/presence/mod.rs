//! Who is in the mesh: members announce themselves, and neighbours notice when one falls silent. Not who a neighbour is and
//! what its clock says (`core/neighbours`, `core/liveness`), and no topic: it runs on control streams alone.
//!
//! ```text
//!   Admitted ─→ Summary, own Announcement ─→ neighbour ─→ what this node lacks
//!   Tidings ──→ roster: newer? signed? ─→ Joined, Left ─→ on to all other neighbours
//!                  └─ profile by its hash: Wanted ─→ Introduction
//!   every 10 s  Register ─→ differs? ─→ Summary ─→ Tidings, both ways
//!   silence ──→ 3 questions, unanswered ─┐
//!   Ended ────→ without a farewell ──────┼─→ Doubt, signed ─→ everybody ─→ the member itself: a higher version
//!   no news of it for 3 announcements ───┘         └─→ own, or a second voice, and 1.5 s ─→ Failed
//! ```
//!
//! The shape is that of SWIM (Das, Gupta, Motivala 2002): neighbours suspect, the suspect refutes with a higher number of its
//! own, and news spread as an epidemic. Of Lifeguard (Dadgar, Phillips, Currey 2018) it has two things: a doubt that one
//! voice alone raises waits longer, and a node whose own clock runs late believes nobody to be silent. Unlike there, probes
//! go to neighbours only, on connections that stand, and all that counts is signed: no neighbour can invent a member, let it
//! leave, or lend it a voice.
//!
//! Announcing costs next to nothing and always happens, else the list would be one of those who look at lists. Probing
//! costs two messages a second and neighbour, and happens while any member watches, which announcements say.
//!
//! Versions are compared, never clocks.

mod links;
mod machine;
mod roster;
mod spread;
mod statement;
#[cfg(test)]
mod tests;

use libp2p::PeerId;
use maille_proto::control::PresenceMessage;

pub use self::{
    links::{PROBE_AFTER, PROBE_AGAIN, PROBED_MAX, PROBES_MAX},
    machine::{Listed, Presence},
    roster::{DOUBTS_MAX, GONE_MAX, LONE_WAIT, MEMBERS_MAX, REFUTE_WAIT, VOICES_MIN},
    spread::REGISTER_INTERVAL,
    statement::Realm,
};
use crate::types::Profile;

/// What happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// A neighbour's control stream stands.
    Admitted {
        /// Whose.
        peer: PeerId,
    },
    /// One side is about to end it, and not because the other is gone.
    Parting {
        /// Whose.
        peer: PeerId,
    },
    /// It ended.
    Ended {
        /// Whose.
        peer: PeerId,
    },
    /// A neighbour sent something, whatever it was.
    Heard {
        /// From whom.
        peer: PeerId,
    },
    /// A neighbour said something about who is there.
    Said {
        /// Which neighbour.
        peer: PeerId,
        /// What it said: within the bounds of the wire, and not believed.
        message: PresenceMessage,
    },
    /// This node has something else to say about itself.
    Introduced(Profile),
    /// The application looks at the list.
    Watched,
    /// This node is about to leave the mesh.
    Leaving,
    /// The deadline passed.
    TimedOut,
}

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Say something to a neighbour.
    Send {
        /// To whom.
        peer: PeerId,
        /// What.
        message: PresenceMessage,
    },
    /// End a neighbour's admission: it says more than anybody has to say.
    End {
        /// Whose.
        peer: PeerId,
    },
    /// The list is another. Comes before what it is about.
    Changed,
    /// A member is there.
    Joined {
        /// Who.
        peer: PeerId,
    },
    /// A member said that it left.
    Left {
        /// Who.
        peer: PeerId,
    },
    /// A member is gone without a word.
    Failed {
        /// Who.
        peer: PeerId,
    },
}
