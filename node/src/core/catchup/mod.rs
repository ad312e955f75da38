//! Catch-up: getting from members what this node missed of one topic. Not the streams themselves (`core/stream`), not the
//! store that members answer from, and not the live delivery that a caught-up subscriber goes over to.
//!
//! ```text
//!   Begin(start) ─→ session ── who holds what ──────────→ Ask Runs ──┐
//!                      │  ←────────────── claims ───────────────────┤
//!                      ├── Last(n), Latest: survey, then a plan     │   asker: ≤ 2 requests a
//!                      ├── ranges of the plan ────────→ Ask Range ──┤   peer, 5 s each, retried
//!                      │  ←────────────── frames ───────────────────┤   at somebody else
//!                      ├─→ Deliver, Gap          in order per run   │
//!                      ├─→ Compare ─→ net ─→ Live ─→ more, or       │
//!                      └─→ CaughtUp                                 │
//!   Missing ────────→ repair ── one span a job ───────→ Ask Range ──┤
//!                      └─→ Hand, Hopeless                           │
//!   Digest ─────────→ digest ── what does it know? ───→ Ask Runs ───┘
//!                      └─→ repair of what the live inbox lacks
//!   Asked ──────────→ responder ─→ Serve or Busy
//! ```
//!
//! One [`Catchup`] a topic. The local store is a member like the others, under this node's own id: it is asked first, and
//! `net/` answers for it. A run is one incarnation of one publisher; ranges of sequence numbers are half open.
//!
//! What a member claims is believed as long as it gives it. A member that keeps claiming what it does not give, or answers
//! another question than was asked, is named with `Penalise` and not asked again. One that claims less than it has does no
//! harm, for what anybody claims is fetched from anybody; it cannot be told from one that has less, and is named as that.

mod asker;
mod claims;
mod digest;
mod doubt;
mod inquiry;
mod interface;
mod judge;
mod machine;
mod newest;
mod piece;
mod reader;
mod repair;
mod responder;
mod session;
mod shortfall;
mod spans;
#[cfg(test)]
mod tests;
mod wanted;
pub mod wire;

pub use self::{
    asker::{BANNED_MAX, BUSY_PAUSE, MEMBERS_MAX, REQUEST_TIMEOUT, REQUESTS_LOCAL_MAX, REQUESTS_PEER_MAX, UNSETTLED},
    claims::RUNS_MAX,
    digest::{DIGEST_INTERVAL, LACKING_MAX, LOOK_INTERVAL},
    doubt::DOUBTS_MAX,
    inquiry::{GIVEN_MAX, PAGES_MAX},
    interface::{Action, Answer, Claim, Fault, Input, Question, RequestId, Run, SessionId},
    machine::{Catchup, SESSIONS_BYTES_MAX},
    newest::LATEST_KEYS_MAX,
    reader::{PIECE_SEQUENCES, PIECES_MAX, RELEASED_MAX, SESSION_BYTES_MAX, SPARE_BYTES_MAX},
    repair::{
        ASK_ANOTHER, ASKED_AT_ONCE, HOLES_MAX, REPAIR_WAIT, REPAIRS_ASKING_MAX, REPAIRS_MAX, ROUNDS, ROUNDS_UNSETTLED,
    },
    responder::{
        InboundId, MEMBER_BYTES_PER_SECOND, QUESTIONS, Responder, ResponderAction, ResponderInput, SERVING_MAX,
        SERVING_MEMBER_MAX, TOTAL_BYTES_PER_SECOND,
    },
    session::{HOLES_WAIT, MEMBERS_SETTLE, MEMBERS_WAIT},
    shortfall::EXPECTED_AFTER,
};

/// Sessions of one topic.
pub const SESSIONS_MAX: usize = 1_024;
/// Members that are asked which runs there are, beside the local store: all, if there are fewer.
pub const ASKED_MEMBERS: usize = 3;
