//! Streams: what a publisher sends on a topic, and what a subscriber makes of what arrives. Not storage, and not repair
//! from history.
//!
//! ```text
//!  publish → Outbox ─ seal ─→ gossip ─→ Frame::open ─→ Inbox ─┬─ Forward | Ignore   (Seen decides)
//!               ↑                                             ├─ Deliver, Gap, Restarted   (a Reorder per run)
//!               └──────────────── Ack ←───────────────────────┘
//! ```
//!
//! A *run* in this code is one incarnation of one publisher on the topic.

pub mod batch;
mod before;
pub mod chain;
pub mod conflate;
pub mod frame;
pub mod heads;
pub mod inbox;
pub mod outbox;
pub mod pulse;
pub mod seal;
pub mod seen;

mod ack;
mod audience;
mod lru;
mod publisher;
mod ranges;
mod reorder;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use self::{
    frame::{Blame, BodyError, Frame, FrameError, message_id},
    inbox::{Delivery, Inbox},
    outbox::{Outbox, Tail},
    seal::{Context, SealedFrame, SigningKey, Unsigned},
    seen::{Seen, Verdict},
};

/// Neighbours of which something is remembered on one topic: more than a node has.
pub const NEIGHBOURS_MAX: usize = 256;
