//! What connects the handles of a lease group to its attendant.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::{Notify, mpsc, oneshot, watch};

use crate::core::leases::{Leases, Lost, Token};

/// What handles ask for and is not taken up yet.
pub(super) const JOBS_MAX: usize = 256;

/// What a handle asks of the attendant.
#[derive(Debug)]
pub(crate) enum Job {
    /// A key; nothing, if another has it and it is not to be waited for. No answer: this node has it, or too many.
    Acquire {
        key: Bytes,
        waits: bool,
        reply: oneshot::Sender<Option<LeaseLink>>,
    },
    /// Take part in the ranking, or no more.
    Offer { offers: bool, done: oneshot::Sender<()> },
    /// Answer once all that was to be said has left.
    Flush { done: oneshot::Sender<()> },
}

/// A held lease, as its handle sees it. When it is gone, the lease is released.
#[derive(Debug)]
pub(crate) struct LeaseLink {
    pub(crate) token: Token,
    pub(crate) lost: watch::Receiver<Option<Lost>>,
    /// Last: what it wakes finds the receiver gone.
    pub(super) _dropped: Dropped,
}

/// Wakes the attendant when it is dropped, to look for what nobody holds any more.
#[derive(Debug)]
pub(crate) struct Dropped(pub(super) Arc<Notify>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// A lease group, as its handles see it. When the last one is gone, this node leaves it.
#[derive(Debug)]
pub(crate) struct GroupLink {
    pub(super) machine: Arc<Mutex<Leases>>,
    pub(crate) jobs: mpsc::Sender<Job>,
    /// How often it changed.
    pub(crate) changes: watch::Receiver<u64>,
    pub(super) dropped: Arc<Notify>,
}

impl GroupLink {
    /// What is known now.
    pub(crate) fn machine(&self) -> MutexGuard<'_, Leases> {
        lock(&self.machine)
    }

    /// To be held by who waits for a key.
    pub(crate) fn waiter(&self) -> Dropped {
        Dropped(self.dropped.clone())
    }
}

/// The machine does not panic; if it did, what it knows would still be true.
pub(super) fn lock(machine: &Mutex<Leases>) -> MutexGuard<'_, Leases> {
    machine.lock().unwrap_or_else(PoisonError::into_inner)
}
