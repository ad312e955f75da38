//! Tests of streams: frames as bytes, inboxes, outboxes.

mod before;
mod frame;
mod hostile;
mod inbox;
mod outbox;
mod repair;
mod window;
