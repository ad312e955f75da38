//! Requests between members: streams of an admission, calls on them from either side, and the services of a mesh. Bodies
//! are read and written in tasks of their own, away from the loop. How many at once is `core/requests`'s to say.

mod anybody;
mod calling;
mod conversation;
mod on_requests;
mod places;
mod services;
mod serving;
mod streams;

use std::time::Duration;

use tokio::sync::watch;

pub(crate) use calling::{CallError, Caller};
pub(super) use on_requests::{Requests, approached};
pub(crate) use places::{Place, Room};
pub(crate) use services::{AddError, Handler, ServiceKey, Services, Verdict};
pub(crate) use streams::{Incoming, MemberStream, Opening, Streams};

use crate::core::requests::Limits;

/// Requests of one node under way: to all members, and to one. Far from the 512 streams of a Yamux connection, which ends
/// where a peer opens more.
pub(crate) const CALLING: Limits = Limits {
    places: 512,
    places_peer: 32,
    // Answers are the caller's, who asked for so many.
    bytes: 0,
    bytes_peer: 0,
};
/// What one node serves at once: to all members, and to one. A little more to one than it asks for at once, since it hears of
/// an end before the place is free; and less than a service takes by default, so that others are served.
pub(crate) const SERVING: Limits = Limits {
    places: 256,
    places_peer: 40,
    bytes: 64 * 1_024 * 1_024,
    bytes_peer: 16 * 1_024 * 1_024,
};
/// The longest that a request may take.
pub(crate) const TIME_MAX: Duration = Duration::from_secs(600);

/// Resolves when the other end of a channel is dropped on which nothing is ever sent.
async fn dropped(mut watched: watch::Receiver<()>) {
    while watched.changed().await.is_ok() {}
}
