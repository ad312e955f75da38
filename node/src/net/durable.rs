//! Durable logs of meshes: opened when something is to be stored, and what became of what was given to them.

use std::ops::Range;

use libp2p::PeerId;

use super::Slot;
use super::event::MeshEvent;
use super::task::{Done, Task};
use crate::store::{self, Log, LogLimits, Outcome, StoreError};
use crate::types::TopicName;

/// News of stored frames that wait for the loop; logs wait meanwhile.
pub(super) const STORED_MAX: usize = 256;

impl Task {
    /// Opens a mesh's log, if this node has a data directory and it is not open.
    pub(super) fn open_log(&mut self, slot: Slot, limits: LogLimits) {
        let (Some(data_dir), Some(mesh)) = (&self.data_dir, self.meshes.get_mut(&slot)) else {
            return;
        };
        if mesh.history.limits().is_some() {
            return;
        }
        let dir = data_dir.history_dir(mesh.key.name());
        let (log, mut outcomes, opened) = match store::spawn(move || Log::open(&dir, limits)) {
            Ok(spawned) => spawned,
            Err(error) => return tracing::error!(%error, "there is no thread to store history; nothing is stored"),
        };
        mesh.history.set_log(log, limits);
        let told = self.tell_stored.clone();
        self.jobs.spawn(async move {
            while let Some(outcome) = outcomes.recv().await {
                // Once the node stops nobody is told, but what was given is written.
                let _ = told.send((slot, outcome)).await;
            }
            Done::Written
        });
        self.jobs.spawn(async move {
            let opened = opened.await.unwrap_or(Err(StoreError::Stopped));
            Done::LogOpened { slot, opened }
        });
    }

    pub(super) fn log_opened(&mut self, slot: Slot, opened: Result<(), StoreError>) {
        let (Err(error), Some(mesh)) = (opened, self.meshes.get_mut(&slot)) else {
            return;
        };
        tracing::error!(%error, "history cannot be stored");
        mesh.tell(MeshEvent::NotStored {
            reason: error.to_string(),
        });
        mesh.history.drop_log();
        for state in mesh.topics.values_mut() {
            if let Some(publishing) = &mut state.publishing {
                publishing.stored = None;
                publishing.tell();
            }
        }
    }

    /// Frames were stored, or could not be.
    pub(super) fn on_stored(&mut self, slot: Slot, outcome: &Outcome) {
        if let (Err(error), Some(mesh)) = (&outcome.result, self.meshes.get(&slot)) {
            tracing::error!(%error, "frames are not stored");
            self.counters.frames_not_stored.add(1);
            mesh.tell(MeshEvent::NotStored {
                reason: error.to_string(),
            });
        } else {
            self.counters
                .records_stored
                .add(outcome.sequences.end - outcome.sequences.start);
        }
        self.backfill_goes_on(slot);
        self.note_stored(
            slot,
            &outcome.topic,
            outcome.publisher,
            Some(outcome.incarnation),
            &outcome.sequences,
            outcome.result.is_ok(),
        );
    }

    /// Tells a publisher of this node what became of its records; `incarnation` is its current one if not given.
    pub(super) fn note_stored(
        &mut self,
        slot: Slot,
        topic: &TopicName,
        publisher: PeerId,
        incarnation: Option<u64>,
        sequences: &Range<u64>,
        is_stored: bool,
    ) {
        if publisher != *self.swarm.local_peer_id() {
            return;
        }
        let state = self.meshes.get_mut(&slot).and_then(|mesh| mesh.topics.get_mut(topic));
        let Some(publishing) = state.and_then(|state| state.publishing.as_mut()) else {
            return;
        };
        if incarnation.is_none_or(|incarnation| incarnation == publishing.outbox.incarnation())
            && let Some(stored) = &mut publishing.stored
        {
            stored.note(sequences, is_stored);
            publishing.tell();
        }
    }
}
