//! The services that this node offers to a mesh: registered by handles, found by calls.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures::future::BoxFuture;
use libp2p::PeerId;
use tokio::sync::{Semaphore, watch};

use crate::types::ServiceName;

/// Services of one node in one mesh.
const SERVICES_MAX: usize = 256;

/// What a service does with a request.
pub(crate) type Handler = Arc<dyn Fn(PeerId, Bytes) -> BoxFuture<'static, Result<Bytes, Verdict>> + Send + Sync>;

/// Why a service has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The request is not of its type.
    Undecodable,
    /// It says no.
    Refused(String),
    /// Its answer has no form on the wire.
    Unencodable(String),
}

/// Why a service cannot be offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AddError {
    /// There is one of this name.
    Taken,
    /// There are this many.
    TooMany { services_max: usize },
}

/// One service, as calls find it.
#[derive(Clone)]
pub(super) struct Offered {
    pub(super) handler: Handler,
    pub(super) places: Arc<Semaphore>,
    /// Closed when the service ends.
    pub(super) ended: watch::Receiver<()>,
}

/// All services of one node in one mesh.
#[derive(Default)]
pub(crate) struct Services(Mutex<Registered>);

#[derive(Default)]
struct Registered {
    by_name: BTreeMap<ServiceName, Offered>,
    /// Since members were last told.
    changed: bool,
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.registered().by_name.keys()).finish()
    }
}

/// Keeps a service offered until it is dropped, which also ends its calls.
#[derive(Debug)]
pub(crate) struct ServiceKey {
    services: Arc<Services>,
    pub(crate) name: ServiceName,
    _running: watch::Sender<()>,
}

impl Services {
    /// Offers a service; `places_max`: calls at once.
    pub(crate) fn add(
        self: Arc<Self>,
        name: ServiceName,
        places_max: usize,
        handler: Handler,
    ) -> Result<ServiceKey, AddError> {
        let (running, ended) = watch::channel(());
        let mut registered = self.registered();
        if registered.by_name.contains_key(&name) {
            return Err(AddError::Taken);
        }
        if registered.by_name.len() >= SERVICES_MAX {
            return Err(AddError::TooMany {
                services_max: SERVICES_MAX,
            });
        }
        let offered = Offered {
            handler,
            places: Arc::new(Semaphore::new(places_max.min(Semaphore::MAX_PERMITS))),
            ended,
        };
        registered.by_name.insert(name.clone(), offered);
        registered.changed = true;
        drop(registered);
        Ok(ServiceKey {
            services: self,
            name,
            _running: running,
        })
    }

    pub(super) fn find(&self, name: &str) -> Option<Offered> {
        self.registered().by_name.get(name).cloned()
    }

    pub(super) fn names(&self) -> Vec<ServiceName> {
        self.registered().by_name.keys().cloned().collect()
    }

    /// Whether services came or went since this was asked last.
    pub(super) fn take_changed(&self) -> bool {
        std::mem::take(&mut self.registered().changed)
    }

    fn registered(&self) -> MutexGuard<'_, Registered> {
        // Nothing that holds it runs an application's code: a poisoned lock still holds a whole map.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ServiceKey {
    fn drop(&mut self) {
        let mut registered = self.services.registered();
        registered.changed = true;
        let removed = registered.by_name.remove(&self.name);
        // The handler goes after the lock: what it holds may be another service.
        drop(registered);
        drop(removed);
    }
}
