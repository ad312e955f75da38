//! Updates that came before what they stand on, and wait for it; bounded. Not the replica.

use std::collections::VecDeque;

use bytes::Bytes;

use super::check::Extent;
use super::vector::Vector;
use super::{WAITING_BYTES_MAX, WAITING_MAX};

#[derive(Debug, Default)]
pub(super) struct Waiting {
    updates: VecDeque<(Extent, Bytes)>,
    bytes: usize,
}

impl Waiting {
    pub(super) fn is_empty(&self) -> bool {
        self.updates.is_empty()
    }

    /// Has one wait. When there are too many, those that came first are forgotten: they can be asked for.
    pub(super) fn push(&mut self, extent: Extent, update: Bytes) {
        if update.len() > WAITING_BYTES_MAX {
            return;
        }
        self.bytes += update.len();
        self.updates.push_back((extent, update));
        while self.updates.len() > WAITING_MAX || self.bytes > WAITING_BYTES_MAX {
            if let Some((_, forgotten)) = self.updates.pop_front() {
                self.bytes -= forgotten.len();
            }
        }
    }

    /// One that need not wait any more.
    pub(super) fn take(&mut self, had: &Vector) -> Option<(Extent, Bytes)> {
        let ready = self.updates.iter().position(|(extent, _)| extent.is_ready(had))?;
        let taken = self.updates.remove(ready);
        self.bytes -= taken.as_ref().map_or(0, |(_, update)| update.len());
        taken
    }
}
