//! Requests: calling a service of another member, or of any.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use libp2p::PeerId;
use maille_proto::REQUEST_BODY_BYTES_MAX;
use thiserror::Error;

use super::{Mesh, Payload, PayloadError};
use crate::net::{self, CallError, TIME_MAX};
use crate::types::ServiceName;

/// How long a request waits for its answer unless told otherwise.
const TIME: Duration = Duration::from_secs(10);

impl Mesh {
    /// Calls a service of one member. Await the result; the answer is a value of `R`.
    ///
    /// Request and answer have at most 1 MiB each; what is larger is shared as a blob. If the member is not a neighbour it is
    /// met first, as far as this node has heard where it is. A node does not call itself.
    ///
    /// ```
    /// use maille::{Caller, Credential, Mesh, Node, Password, RequestError};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let on_loopback = || Node::builder().listen(["/ip4/127.0.0.1/tcp/0".parse().unwrap()]).mdns(false).run_file(false);
    /// # let alice = on_loopback().spawn().await?;
    /// # let bob = on_loopback().bootstrap(alice.multiaddrs()).spawn().await?;
    /// # let credential = Credential::password(Password::parse("sulfur-unpaved-cosmic-jogging-evolve")?);
    /// # let at_alice: Mesh = alice.join("party.example".parse()?, credential.clone()).await?;
    /// # let at_bob: Mesh = bob.join("party.example".parse()?, credential).await?;
    /// let service = at_alice.serve("greet".parse()?, |_: Caller, name: String| async move { Ok(format!("hello {name}")) })?;
    ///
    /// # at_bob.joined().await;
    /// let answer: String = at_bob.request(alice.id(), "greet".parse()?, &"bob".to_owned()).await?;
    /// assert_eq!(answer, "hello bob");
    /// let answer: String = at_bob.request_any("greet".parse()?, &"anybody".to_owned()).await?;
    /// assert_eq!(answer, "hello anybody");
    ///
    /// drop(service);
    /// let gone = at_bob.request::<_, String>(alice.id(), "greet".parse()?, &"bob".to_owned()).await;
    /// assert!(matches!(gone, Err(RequestError::NotServed { .. })));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`RequestError`], when it is awaited.
    ///
    /// # Cancel safety
    /// Dropping the future ends the call, and drops what the service does about it. It may have done some of it.
    pub fn request<T: Payload, R: Payload>(&self, peer: PeerId, service: ServiceName, value: &T) -> Request<R> {
        Request::new(self, Some(peer), service, value)
    }

    /// Calls a service of any member: of those that say they serve it, and of neighbours. Up to 16 are asked whether they
    /// are ready, one after the other and the next a moment after one that is silent; the first that is gets the request.
    ///
    /// If a member goes away before it answers, another gets the request, up to three in all: the service must bear to do
    /// a thing twice. Everything else is as with [`request`](Self::request).
    pub fn request_any<T: Payload, R: Payload>(&self, service: ServiceName, value: &T) -> Request<R> {
        Request::new(self, None, service, value)
    }
}

/// A request about to be sent: await it.
#[must_use = "a request is sent when it is awaited"]
#[derive(Debug)]
pub struct Request<R> {
    peer: Option<PeerId>,
    caller: net::Caller,
    encoded: Result<(), PayloadError>,
    answer: PhantomData<fn() -> R>,
}

impl<R: Payload> Request<R> {
    fn new<T: Payload>(mesh: &Mesh, peer: Option<PeerId>, service: ServiceName, value: &T) -> Self {
        let (request, encoded) = match value.encode_payload() {
            Ok(request) => (request, Ok(())),
            Err(error) => (Bytes::new(), Err(error)),
        };
        Self {
            peer,
            caller: net::Caller {
                node: Arc::clone(&mesh.node),
                mesh: Arc::clone(&mesh.link),
                service,
                request,
                time: TIME,
            },
            encoded,
            answer: PhantomData,
        }
    }

    /// How long it may take in all, at most ten minutes: 10 s unless this says otherwise. The service stops after it, too.
    pub fn within(mut self, time: Duration) -> Self {
        self.caller.time = time.min(TIME_MAX);
        self
    }

    async fn send(self) -> Result<R, RequestError> {
        self.encoded?;
        let bytes = self.caller.request.len();
        if bytes > REQUEST_BODY_BYTES_MAX {
            let bytes_max = REQUEST_BODY_BYTES_MAX;
            return Err(RequestError::TooLarge { bytes, bytes_max });
        }
        let answered = match self.peer {
            Some(peer) => self.caller.call(peer).await,
            None => self.caller.call_anybody().await,
        };
        let answer = answered.map_err(|error| match error {
            CallError::Busy { here } => RequestError::Busy { here },
            CallError::NotServed => RequestError::NotServed {
                service: self.caller.service.clone(),
            },
            CallError::Refused { reason } => RequestError::Refused { reason },
            CallError::TooLarge { bytes_max } => RequestError::TooLarge { bytes, bytes_max },
            CallError::NotUnderstood => RequestError::NotUnderstood,
            CallError::Failed => RequestError::Failed,
            CallError::Unreachable => RequestError::Unreachable,
            CallError::Deadline => RequestError::Deadline { time: self.caller.time },
            CallError::Gone => RequestError::Gone,
            CallError::Closed => RequestError::Closed,
        })?;
        R::decode_payload(answer).map_err(RequestError::Answer)
    }
}

impl<R: Payload> IntoFuture for Request<R> {
    type Output = Result<R, RequestError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        self.send().boxed()
    }
}

/// Why a request has no answer.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The value could not be encoded.
    #[error("the request cannot be encoded: {0}")]
    Payload(#[from] PayloadError),
    /// The request is longer than one may be. Nothing was done.
    #[error("a request of {bytes} bytes is over the limit of {bytes_max}: split it, or share it as a blob")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// As many requests are under way as this node sends (32 to one member, 512 in all), or as the member takes. Nothing
    /// was done.
    #[error(
        "{} is busy with as many requests as it takes; try again in a moment, or send fewer at once",
        if *here { "this node" } else { "the member" }
    )]
    Busy {
        /// It is this node that sends as many as it may.
        here: bool,
    },
    /// The member has no such service; of a request to any member, none of those that could be asked. Nothing was done.
    #[error("{service} is not served there; check the name, and that a member serves it")]
    NotServed {
        /// What was called.
        service: ServiceName,
    },
    /// The service says no.
    #[error("refused: {reason}")]
    Refused {
        /// Its own words, at most 1,024 bytes. They come from another member: do not show them to a terminal as they are.
        reason: String,
    },
    /// The request is not of the type that the service takes. Nothing was done.
    #[error("the service does not understand the request; use the type that it takes")]
    NotUnderstood,
    /// The answer is not of the type that was asked for.
    #[error("the answer is not of this type: {0}; use the type that the service gives")]
    Answer(#[source] PayloadError),
    /// The service broke, or its answer is longer than 1 MiB.
    #[error("the service failed; whoever runs it finds the reason in its log")]
    Failed,
    /// The member could not be reached. Nothing was done.
    #[error("the member cannot be reached; it may have left, or nobody knows where it is")]
    Unreachable,
    /// The time is over. The service may have done some of what it was asked for.
    #[error("no answer within {} s; give it more time, or ask another member", time.as_secs_f64())]
    Deadline {
        /// What the request was given.
        time: Duration,
    },
    /// The member, or its service, went away before it answered. It may have done some of what it was asked for.
    #[error("the member went away before it answered; ask again if doing it twice does no harm")]
    Gone,
    /// The mesh was left, or the node shut down.
    #[error("the mesh was left")]
    Closed,
}
