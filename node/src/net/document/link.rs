//! What connects a document's handles to its attendant. Edits are made where they are asked for; the attendant stores and
//! publishes them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::{mpsc, oneshot, watch};

use crate::core::document::{Action, Contents, Edit, EditError, Machine};

/// Edits that wait for the attendant.
pub(super) const JOBS_MAX: usize = 256;

/// What was done to a document by a handle.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) actions: Vec<Action>,
    /// Told once it is stored, if there is where.
    pub(super) reply: oneshot::Sender<Result<(), EditError>>,
}

/// The document, for handles and attendant.
#[derive(Debug)]
pub(super) struct Shared(Mutex<Machine>);

impl Shared {
    pub(super) fn new(machine: Machine) -> Arc<Self> {
        Arc::new(Self(Mutex::new(machine)))
    }

    pub(super) fn machine(&self) -> MutexGuard<'_, Machine> {
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
        self.shared.machine().contents()
    }

    pub(crate) fn unsynchronised(&self) -> usize {
        self.shared.machine().unsynchronised()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.shared.machine().bytes()
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
            let mut machine = self.shared.machine();
            let mut actions = Vec::new();
            let said = act(&mut machine, Instant::now(), &mut actions)?;
            // While nobody else edits: updates are stored in the order in which they were made.
            place.send(Job { actions, reply });
            said
        };
        stored.await.map_err(|_| EditError::Closed)??;
        Ok(said)
    }
}
