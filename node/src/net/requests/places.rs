//! Places for requests, as tasks and callers hold them: given back when they are dropped, however that comes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use libp2p::PeerId;

use crate::core::requests::{Full, Limits, Places};

/// The places of a node, shared by all its meshes.
#[derive(Clone, Debug)]
pub(crate) struct Room(Arc<Mutex<Places>>);

impl Room {
    pub(crate) fn new(limits: Limits) -> Self {
        Self(Arc::new(Mutex::new(Places::new(limits))))
    }

    pub(super) fn take(&self, peer: PeerId) -> Result<Place, Full> {
        self.places().take(peer)?;
        Ok(Place {
            room: self.clone(),
            peer,
            bytes: 0,
        })
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        // Each change is one step that does not panic: a poisoned lock still holds true numbers.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One request's place.
#[derive(Debug)]
pub(crate) struct Place {
    room: Room,
    peer: PeerId,
    bytes: usize,
}

impl Place {
    /// From now on so many bytes are held, instead of those before.
    pub(super) fn hold(&mut self, bytes: usize) -> Result<(), Full> {
        self.room.places().hold(self.peer, self.bytes, bytes)?;
        self.bytes = bytes;
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.room.places().free(self.peer, self.bytes);
    }
}
