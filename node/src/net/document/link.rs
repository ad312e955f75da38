//! What connects a document's handles to its attendant. Edits are made where they are asked for; the attendant stores and
//! publishes them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::{mpsc, oneshot, watch};

use crate::core::document::{Action, Changes, Contents, Edit, EditError, Machine, Reader, StateHash};

/// Edits that wait for the attendant.
pub(super) const JOBS_MAX: usize = 256;

/// Told once what a handle did is stored, if there is where.
pub(super) type Job = oneshot::Sender<Result<(), EditError>>;

/// The document, for handles and attendant.
#[derive(Debug)]
pub(super) struct Shared(Mutex<State>);

/// A machine, and what it asked for that is not done, in the order of asking: whoever it was that it answered.
#[derive(Debug)]
pub(super) struct State {
    pub(super) machine: Machine,
    pub(super) actions: Vec<Action>,
}

impl Shared {
    pub(super) fn new(machine: Machine) -> Arc<Self> {
        let actions = Vec::new();
        Arc::new(Self(Mutex::new(State { machine, actions })))
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // What describes an edit may panic; the machine is not touched before it has ended.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A document, as its handles see it. When the last one is gone, it is attended to no more.
#[derive(Debug)]
pub(crate) struct DocumentLink {
    pub(super) shared: Arc<Shared>,
    pub(super) jobs: mpsc::Sender<Job>,
    /// How often it changed.
    pub(crate) changes: watch::Receiver<u64>,
    pub(crate) unsynchronised: watch::Receiver<usize>,
}

impl DocumentLink {
    pub(crate) fn contents(&self) -> Arc<Contents> {
        self.shared.state().machine.contents()
    }

    pub(crate) fn follow(&self) -> Reader {
        self.shared.state().machine.follow()
    }

    pub(crate) fn unfollow(&self, reader: Reader) {
        self.shared.state().machine.unfollow(reader);
    }

    pub(crate) fn look(&self, reader: Reader) -> Changes {
        self.shared.state().machine.look(reader)
    }

    pub(crate) fn hash(&self) -> StateHash {
        self.shared.state().machine.hash()
    }

    pub(crate) fn unsynchronised(&self) -> usize {
        self.shared.state().machine.unsynchronised()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.shared.state().machine.bytes()
    }

    pub(crate) async fn edit<T>(
        &self,
        describe: impl FnOnce(&mut Edit<'_>) -> Result<T, EditError>,
    ) -> Result<T, EditError> {
        self.act(|machine, now, out| machine.edit(describe, now, out)).await
    }

    pub(crate) async fn undo(&self) -> Result<bool, EditError> {
        self.act(Machine::undo).await
    }

    pub(crate) async fn redo(&self) -> Result<bool, EditError> {
        self.act(Machine::redo).await
    }

    async fn act<T>(
        &self,
        act: impl FnOnce(&mut Machine, Instant, &mut Vec<Action>) -> Result<T, EditError>,
    ) -> Result<T, EditError> {
        let place = self.jobs.reserve().await.map_err(|_| EditError::Closed)?;
        let (reply, stored) = oneshot::channel();
        let said = {
            let State { machine, actions } = &mut *self.shared.state();
            let said = act(machine, Instant::now(), actions)?;
            place.send(reply);
            said
        };
        stored.await.map_err(|_| EditError::Closed)??;
        Ok(said)
    }
}
