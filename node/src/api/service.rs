//! Services: what a member does for others of its mesh when they ask.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use libp2p::PeerId;
use thiserror::Error;

use super::{Mesh, Payload};
use crate::net::{AddError, Handler, ServiceKey, Verdict};
use crate::types::ServiceName;

impl Mesh {
    /// Offers a service to the members of this mesh, and to nobody else, until the [`Service`] is dropped. Others find it
    /// within seconds.
    ///
    /// The handler runs once a request, on this runtime, many at once: up to 64 of this service, 40 of one member and 256 of
    /// a node; who asks beyond is told that the member is busy. Its future is dropped, at an await, when the caller gives up,
    /// leaves or runs out of time. One that panics harms its own request only. Requests and answers have at most 1 MiB each.
    ///
    /// See [`request`](Self::request) for an example.
    ///
    /// # Errors
    /// [`ServeError`].
    pub fn serve<T, R, F>(
        &self,
        name: ServiceName,
        handler: impl Fn(Caller, T) -> F + Send + Sync + 'static,
    ) -> Result<Service, ServeError>
    where
        T: Payload,
        R: Payload,
        F: Future<Output = Result<R, Refusal>> + Send + 'static,
    {
        self.serve_with(name, Serve::default(), handler)
    }

    /// As [`serve`](Self::serve), with limits of its own.
    ///
    /// # Errors
    /// [`ServeError`].
    pub fn serve_with<T, R, F>(
        &self,
        name: ServiceName,
        serve: Serve,
        handler: impl Fn(Caller, T) -> F + Send + Sync + 'static,
    ) -> Result<Service, ServeError>
    where
        T: Payload,
        R: Payload,
        F: Future<Output = Result<R, Refusal>> + Send + 'static,
    {
        if self.link.status.has_changed().is_err() {
            return Err(ServeError::Closed);
        }
        let handler: Handler = Arc::new(move |peer, request: Bytes| {
            let doing = T::decode_payload(request).map(|value| handler(Caller { peer }, value));
            async move {
                let doing = doing.map_err(|_| Verdict::Undecodable)?;
                let answer = doing.await.map_err(|refusal| Verdict::Refused(refusal.0))?;
                answer
                    .encode_payload()
                    .map_err(|error| Verdict::Unencodable(error.to_string()))
            }
            .boxed()
        });
        let added = Arc::clone(&self.link.services).add(name.clone(), serve.at_once, handler);
        let key = added.map_err(|error| match error {
            AddError::Taken => ServeError::AlreadyServed { name },
            AddError::TooMany { services_max } => ServeError::TooManyServices { services_max },
        })?;
        Ok(Service {
            _mesh: self.clone(),
            key,
        })
    }
}

/// How a service is offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Serve {
    /// Requests at once; whoever asks beyond is told that the member is busy.
    pub at_once: usize,
}

impl Default for Serve {
    /// 64 at once.
    fn default() -> Self {
        Self { at_once: 64 }
    }
}

/// Who makes a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Caller {
    /// The member, as the connection proves it.
    pub peer: PeerId,
}

/// What a handler says when it will not do what it is asked for. Any error becomes one with `?`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal(String);

impl Refusal {
    /// In words for the caller; what is beyond 1,024 bytes is cut off.
    pub fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The caller reads the error's own words, without its causes.
impl<E: std::error::Error> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// A service that is offered: dropping it ends it, and the requests it is working on.
#[must_use = "dropping it ends the service"]
#[derive(Debug)]
pub struct Service {
    _mesh: Mesh,
    key: ServiceKey,
}

impl Service {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &ServiceName {
        &self.key.name
    }
}

/// Why a service cannot be offered.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServeError {
    /// This node offers one of this name.
    #[error("this node serves {name} in this mesh already; drop that service first")]
    AlreadyServed {
        /// Which.
        name: ServiceName,
    },
    /// It offers as many as a node may.
    #[error("this node offers {services_max} services in this mesh already; drop one first")]
    TooManyServices {
        /// The limit.
        services_max: usize,
    },
    /// The mesh was left, or the node shut down.
    #[error("the mesh was left")]
    Closed,
}
