//! One call from the side of the caller, in the caller's own task: dropping it ends the stream, and with that the work at
//! the other end.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use libp2p::PeerId;
use maille_proto::requests::{Call, Outcome};
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, timeout_at};

use super::conversation::{Said, exchange, read_reply, write_call};
use super::{MemberStream, Place, TIME_MAX, dropped};
use crate::net::{Command, MeshLink, NodeLink};
use crate::types::ServiceName;

/// Why a call has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CallError {
    /// Too many are under way: of this node, or at the member.
    Busy { here: bool },
    /// The member has no such service; of several members, none has.
    NotServed,
    /// The service says no.
    Refused { reason: String },
    /// The member takes no request of this length.
    TooLarge { bytes_max: usize },
    /// The request is not of the service's type.
    NotUnderstood,
    /// The service broke, or what the member says makes no sense.
    Failed,
    /// The member cannot be reached.
    Unreachable,
    /// The time is over.
    Deadline,
    /// The member went away during the call.
    Gone,
    /// This node left the mesh.
    Closed,
}

/// What is called, by whom, and until when.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) node: Arc<NodeLink>,
    pub(crate) mesh: Arc<MeshLink>,
    pub(crate) service: ServiceName,
    pub(crate) request: Bytes,
    pub(crate) time: Duration,
}

/// A call under way.
#[derive(Debug)]
pub(super) struct Line {
    stream: MemberStream,
    _place: Place,
}

impl Caller {
    /// Calls one member.
    pub(crate) async fn call(&self, peer: PeerId) -> Result<Bytes, CallError> {
        let deadline = self.deadline();
        let mut line = self.open(peer, deadline).await?;
        let call = self.header(deadline, false);
        let admission = line.stream.admission.clone();
        let said = exchange(&mut line.stream.stream, Some(&call), &self.request);
        self.answer(self.within(deadline, admission, said).await?)
    }

    /// Asks a member whether it is ready for the request.
    pub(super) async fn ask(&self, peer: PeerId, deadline: Instant) -> Result<Line, CallError> {
        let mut line = self.open(peer, deadline).await?;
        let call = self.header(deadline, true);
        let admission = line.stream.admission.clone();
        let said = async {
            write_call(&mut line.stream.stream, &call).await?;
            read_reply(&mut line.stream.stream).await
        };
        match self.within(deadline, admission, said).await? {
            Said::Other(Outcome::Ready, _) => Ok(line),
            other => Err(answer(other).err().unwrap_or(CallError::Failed)),
        }
    }

    /// Sends the request to a member that said it is ready.
    pub(super) async fn send(&self, mut line: Line, deadline: Instant) -> Result<Bytes, CallError> {
        let admission = line.stream.admission.clone();
        let said = exchange(&mut line.stream.stream, None, &self.request);
        self.answer(self.within(deadline, admission, said).await?)
    }

    fn answer(&self, said: Said) -> Result<Bytes, CallError> {
        let answered = answer(said);
        self.node.counters.requests_sent_answered.add(answered.is_ok().into());
        answered
    }

    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.time.min(TIME_MAX)
    }

    fn is_closed(&self) -> bool {
        self.mesh.status.has_changed().is_err()
    }

    async fn open(&self, peer: PeerId, deadline: Instant) -> Result<Line, CallError> {
        let place = self
            .node
            .calling
            .take(peer)
            .map_err(|_| CallError::Busy { here: true })?;
        let (opening, opened) = oneshot::channel();
        let command = Command::OpenStream {
            slot: self.mesh.slot,
            peer,
            opening,
        };
        let opened = timeout_at(deadline, async {
            self.node.commands.send(command).await.ok()?;
            opened.await.ok()
        });
        match opened.await {
            Ok(Some(stream)) => {
                self.node.counters.requests_sent.add(1);
                Ok(Line { stream, _place: place })
            }
            _ if self.is_closed() => Err(CallError::Closed),
            _ => Err(CallError::Unreachable),
        }
    }

    fn header(&self, deadline: Instant, ask: bool) -> Call {
        let left = deadline.saturating_duration_since(Instant::now());
        Call {
            service: self.service.to_string(),
            bytes: u32::try_from(self.request.len()).unwrap_or(u32::MAX),
            // Not later than the caller's own deadline, and at least 1.
            time_ms: u32::try_from(left.as_millis()).unwrap_or(u32::MAX).max(1),
            ask,
        }
    }

    /// A part of the conversation, unless the deadline, the membership or the mesh ends first.
    async fn within(
        &self,
        deadline: Instant,
        admission: watch::Receiver<()>,
        part: impl Future<Output = io::Result<Said>>,
    ) -> Result<Said, CallError> {
        let said = tokio::select! {
            biased;
            said = part => said,
            () = dropped(admission) => Err(io::ErrorKind::ConnectionAborted.into()),
            () = tokio::time::sleep_until(deadline) => return Err(CallError::Deadline),
        };
        said.map_err(|error| match error.kind() {
            _ if self.is_closed() => CallError::Closed,
            io::ErrorKind::InvalidData => CallError::Failed,
            _ => CallError::Gone,
        })
    }
}

fn answer(said: Said) -> Result<Bytes, CallError> {
    let (outcome, reply) = match said {
        Said::Answer(answer) => return Ok(answer),
        Said::Other(outcome, reply) => (outcome, reply),
    };
    Err(match outcome {
        Outcome::Busy => CallError::Busy { here: false },
        Outcome::Unknown => CallError::NotServed,
        Outcome::Refused => CallError::Refused { reason: reply.reason },
        Outcome::TooLarge => CallError::TooLarge {
            bytes_max: usize::try_from(reply.bytes).unwrap_or(usize::MAX),
        },
        Outcome::Undecodable => CallError::NotUnderstood,
        Outcome::Late => CallError::Deadline,
        // Ready where nobody asked, and an answer that was none.
        Outcome::Failed | Outcome::Ready | Outcome::Answer | Outcome::Unspecified => CallError::Failed,
    })
}
