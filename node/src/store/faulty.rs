//! A store that fails when told to, for tests of what is built on stores. It keeps frames in another store.

use std::{
    io::{self, ErrorKind},
    ops::Range,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use libp2p::PeerId;

use crate::types::{Selector, TopicName};

use super::{
    files::FileError,
    history::{Held, Kept, Store, StoreError},
};

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// No append has room.
    Full,
    /// No append is allowed; there is no trimming either.
    ReadOnly,
    /// One append fails, after so many that do not.
    Nth(usize),
    /// As a disk that takes only part of a write: so many frames of a batch are kept, then it fails.
    Short(usize),
    /// Nothing can be read either.
    Broken,
}

/// Tells a [`Faulty`] store what goes wrong from now on; clones speak to the same store.
#[derive(Debug, Clone, Default)]
pub struct Faults(Arc<Mutex<Option<Fault>>>);

impl Faults {
    /// From now on this goes wrong, or nothing.
    pub fn set(&self, fault: Option<Fault>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    fn now(&self) -> Option<Fault> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A store with faults.
#[derive(Debug)]
pub struct Faulty<S> {
    inner: S,
    faults: Faults,
}

impl<S: Store> Faulty<S> {
    /// A store that works as `inner` does until `faults` is told otherwise.
    pub fn new(inner: S, faults: Faults) -> Self {
        Self { inner, faults }
    }

    fn reading(&self) -> Result<(), StoreError> {
        match self.faults.now() {
            Some(Fault::Broken) => Err(failure(io::Error::other("broken by a test"))),
            _ => Ok(()),
        }
    }

    /// Whether an append may go on.
    fn writing(&self) -> Result<(), StoreError> {
        self.reading()?;
        match self.faults.now() {
            Some(Fault::Full) => Err(failure(ErrorKind::StorageFull.into())),
            Some(Fault::ReadOnly) => Err(failure(ErrorKind::ReadOnlyFilesystem.into())),
            Some(Fault::Nth(0)) => {
                self.faults.set(None);
                Err(failure(io::Error::other("failed by a test")))
            }
            Some(Fault::Nth(left)) => {
                self.faults.set(Some(Fault::Nth(left - 1)));
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

fn failure(error: io::Error) -> StoreError {
    FileError::writing(Path::new("faulty"))(error).into()
}

impl<S: Store> Store for Faulty<S> {
    fn append(&mut self, topic: &TopicName, kept: &Kept, now_us: u64) -> Result<(), StoreError> {
        self.append_all(&[(topic.clone(), kept.clone())], now_us)
    }

    fn append_all(&mut self, batch: &[(TopicName, Kept)], now_us: u64) -> Result<(), StoreError> {
        self.writing()?;
        if let Some(Fault::Short(taken)) = self.faults.now()
            && batch.len() > taken
        {
            self.inner.append_all(&batch[..taken], now_us)?;
            return Err(failure(ErrorKind::StorageFull.into()));
        }
        self.inner.append_all(batch, now_us)
    }

    fn runs(&self, topic: &TopicName, selector: Selector) -> Result<Vec<Held>, StoreError> {
        self.reading()?;
        self.inner.runs(topic, selector)
    }

    fn range(
        &self,
        topic: &TopicName,
        publisher: &PeerId,
        incarnation: u64,
        sequences: Range<u64>,
        bytes_max: usize,
    ) -> Result<Vec<Bytes>, StoreError> {
        self.reading()?;
        self.inner.range(topic, publisher, incarnation, sequences, bytes_max)
    }

    fn latest(&self, topic: &TopicName, skip: usize, bytes_max: usize) -> Result<(Vec<Bytes>, bool), StoreError> {
        self.reading()?;
        self.inner.latest(topic, skip, bytes_max)
    }

    fn topics(&self) -> Result<Vec<TopicName>, StoreError> {
        self.reading()?;
        self.inner.topics()
    }

    fn trim(&mut self, now_us: u64) -> Result<(), StoreError> {
        if self.faults.now() == Some(Fault::ReadOnly) {
            return Err(failure(ErrorKind::ReadOnlyFilesystem.into()));
        }
        self.reading()?;
        self.inner.trim(now_us)
    }
}
