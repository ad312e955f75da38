//! Pure state machines: no async, no clock, no thread rng, no I/O. Time and randomness are arguments.
//!
//! Every machine has one shape: `handle(&mut self, input, now, out: &mut Vec<Action>)` and `next_deadline()`. Inputs are
//! past facts, actions are verbs that `net/` performs.

pub mod admission;
pub mod blobs;
pub(crate) mod bucket;
pub mod catchup;
#[cfg(feature = "documents")]
pub mod document;
pub mod kad_mode;
pub mod leases;
pub mod liveness;
pub mod lockstep;
pub mod neighbours;
mod network;
pub mod presence;
pub mod providers;
pub mod quorum;
pub(crate) mod requests;
pub mod strangers;
pub mod stream;
