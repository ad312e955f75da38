//! The memory that all rings of a node share. It counts; the rings drop.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// Memory for the history of all meshes of a node.
pub const NODE_BYTES_MAX: usize = 256 * 1024 * 1024;

/// How much memory the rings of one node use; clones share it.
///
/// Once it is exceeded, topics give up what is more than an equal share: those of the ring that grew at once, those of
/// other rings when something is appended there, or they are trimmed.
#[derive(Debug, Clone)]
pub struct Budget(Arc<Counters>);

#[derive(Debug)]
struct Counters {
    bytes_max: usize,
    bytes: AtomicUsize,
    topics: AtomicUsize,
}

impl Budget {
    /// A budget of `bytes_max` bytes.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self(Arc::new(Counters {
            bytes_max,
            bytes: AtomicUsize::new(0),
            topics: AtomicUsize::new(0),
        }))
    }

    /// The bytes in use now.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.bytes.load(Ordering::Relaxed)
    }

    pub(super) fn is_exceeded(&self) -> bool {
        self.bytes() > self.0.bytes_max
    }

    /// What a topic may always hold.
    pub(super) fn share(&self) -> usize {
        self.0.bytes_max / self.0.topics.load(Ordering::Relaxed).max(1)
    }

    pub(super) fn add_topic(&self) {
        self.0.topics.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn remove_topic(&self) {
        self.0.topics.fetch_sub(1, Ordering::Relaxed);
    }

    /// Tells that something that used `before` bytes uses `after` now.
    pub(super) fn change(&self, before: usize, after: usize) {
        if after >= before {
            self.0.bytes.fetch_add(after - before, Ordering::Relaxed);
        } else {
            self.0.bytes.fetch_sub(before - after, Ordering::Relaxed);
        }
    }
}

impl Default for Budget {
    /// A node's: [`NODE_BYTES_MAX`].
    fn default() -> Self {
        Self::new(NODE_BYTES_MAX)
    }
}
