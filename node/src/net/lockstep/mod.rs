//! Lockstep sessions: a job for each, beside the loop, between the machine, the topic that carries records, the service that
//! gives snapshots, and the application. It decides nothing.

mod attendant;
mod event;
mod frames;
mod open;

pub use event::{LockstepEvent, SnapshotWanted};
pub(crate) use frames::FrameAt;
pub use open::LockstepError;
pub(crate) use open::open_lockstep;

use bytes::Bytes;
use tokio::sync::mpsc;

/// Events that wait for the application; no tick is executed before it took them.
const EVENTS_MAX: usize = 64;

/// A session, as its handle sees it. When that is gone, it is attended to no more.
#[derive(Debug)]
pub(crate) struct LockstepLink {
    pub(crate) inputs: mpsc::Sender<Bytes>,
    pub(crate) hashes: mpsc::Sender<(u32, u64)>,
    pub(crate) events: mpsc::Receiver<LockstepEvent>,
}
