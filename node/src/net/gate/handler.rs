//! One connection's part of the gate: runs admissions on it, and holds the inner handlers of the meshes it admitted.
//!
//! Phases of an admission: the handshake ends in [`Out::Admitted`]; the behaviour answers with [`In::Install`] (now the
//! mesh's protocols are accepted inbound, and `Ready` is said); after the peer's `Ready` the inner handler may open
//! streams. An inner handler that opened earlier would find the protocol refused, and gossipsub takes that as final.

mod admitted;
mod handshakes;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use either::Either;
use futures::future::{BoxFuture, Either as FutureEither};
use futures::prelude::*;
use futures::stream::FuturesUnordered;
use libp2p::PeerId;
use libp2p::core::upgrade::ReadyUpgrade;
use libp2p::swarm::handler::{
    ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound, ListenUpgradeError,
    ProtocolsChange, SendWrapper,
};
use libp2p::swarm::{ConnectionHandler, ConnectionHandlerEvent, StreamUpgradeError, SubstreamProtocol};

use self::admitted::{Admission, UpgradedInbound};
use self::handshakes::{Attempt, Greeting};
use super::handshake::{Ending, Pipe};
use super::messages::{In, OpenFailure, Out};
use super::upgrade::{Listen, Renamed};
use super::{ADMISSION_PROTOCOL, Slot};
use crate::core::admission::{Admitted, Hello, MeshKey};

struct SlotState<H> {
    generation: u32,
    attempt: Option<Attempt>,
    admission: Option<Admission<H>>,
}

impl<H> Default for SlotState<H> {
    fn default() -> Self {
        Self {
            generation: 0,
            attempt: None,
            admission: None,
        }
    }
}

enum Task<H: ConnectionHandler> {
    Hello(Option<(Hello, Pipe)>),
    Handshake {
        slot: Slot,
        generation: u32,
        result: Result<(Admitted, Pipe), OpenFailure>,
    },
    Proved(u64),
    Answered {
        hello: u64,
        result: Result<(Admitted, Pipe), Ending>,
    },
    Upgraded(Slot, u32, UpgradedInbound<H>),
    Gone,
    Done,
}

type HandlerEvent<H> = ConnectionHandlerEvent<
    <GateHandler<H> as ConnectionHandler>::OutboundProtocol,
    OutboundInfo<<H as ConnectionHandler>::OutboundOpenInfo>,
    Out<<H as ConnectionHandler>::ToBehaviour>,
>;

/// For whom an outbound stream was asked.
#[derive(Debug)]
pub(crate) enum OutboundInfo<I> {
    Admission(Slot, u32),
    Inner(Slot, u32, I),
}

/// The handler of one connection.
pub(crate) struct GateHandler<H: ConnectionHandler> {
    me: PeerId,
    peer: PeerId,
    /// Whether this side speaks admission.
    serves: bool,
    /// Whether the peer does, as far as identify told.
    peer_speaks: bool,
    slots: BTreeMap<Slot, SlotState<H>>,
    /// Admissions to open when an earlier one is done.
    to_open: VecDeque<(Slot, Arc<MeshKey>)>,
    opening: usize,
    keys: HashMap<Slot, Arc<MeshKey>>,
    reading: usize,
    next_hello: u64,
    /// Hellos of the peer that wait for an answer, or are being answered.
    hellos: HashMap<u64, Greeting>,
    listen: Listen,
    tasks: FuturesUnordered<BoxFuture<'static, Task<H>>>,
    events: VecDeque<HandlerEvent<H>>,
    turn: usize,
}

impl<H: ConnectionHandler> fmt::Debug for GateHandler<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GateHandler")
            .field("peer", &self.peer)
            .field("slots", &self.slots.len())
            .finish_non_exhaustive()
    }
}

impl<H: ConnectionHandler> GateHandler<H> {
    pub(super) fn new(me: PeerId, peer: PeerId, serves: bool) -> Self {
        Self {
            me,
            peer,
            serves,
            peer_speaks: false,
            slots: BTreeMap::new(),
            to_open: VecDeque::new(),
            opening: 0,
            keys: HashMap::new(),
            reading: 0,
            next_hello: 0,
            hellos: HashMap::new(),
            listen: Listen::new(serves, std::iter::empty()),
            tasks: FuturesUnordered::new(),
            events: VecDeque::new(),
            turn: 0,
        }
    }

    fn tell(&mut self, out: Out<H::ToBehaviour>) {
        self.events.push_back(ConnectionHandlerEvent::NotifyBehaviour(out));
    }

    fn advertise(&mut self) {
        let shown = self.slots.iter().filter_map(|(slot, state)| {
            let admission = state.admission.as_ref().filter(|admission| admission.inner.is_some())?;
            Some((*slot, admission.generation, &*admission.names))
        });
        self.listen = Listen::new(self.serves, shown);
    }

    fn on_task(&mut self, task: Task<H>) {
        match task {
            Task::Done => {}
            Task::Gone => self.tell(Out::Gone),
            Task::Hello(read) => {
                self.reading = self.reading.saturating_sub(1);
                if let Some((said, pipe)) = read {
                    self.knocked(said, pipe);
                }
            }
            Task::Handshake {
                slot,
                generation,
                result,
            } => {
                self.opening_done();
                match result {
                    Ok((admitted, pipe)) => self.admitted(slot, generation, admitted, pipe),
                    Err(failure) => self.open_failed(slot, generation, failure),
                }
            }
            Task::Proved(hello) => self.tell(Out::Proved { hello }),
            Task::Answered { hello, result } => self.answered(hello, result),
            Task::Upgraded(slot, generation, upgraded) => {
                let Some(inner) = self.inner(slot, generation) else {
                    return;
                };
                inner.on_connection_event(match upgraded {
                    Ok((protocol, info)) => {
                        ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol, info })
                    }
                    Err((error, info)) => ConnectionEvent::ListenUpgradeError(ListenUpgradeError { info, error }),
                });
            }
        }
    }
}

impl<H: ConnectionHandler> ConnectionHandler for GateHandler<H> {
    type FromBehaviour = In<H>;
    type ToBehaviour = Out<H::ToBehaviour>;
    type InboundProtocol = Listen;
    type OutboundProtocol = Either<ReadyUpgrade<libp2p::StreamProtocol>, SendWrapper<Renamed<H::OutboundProtocol>>>;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = OutboundInfo<H::OutboundOpenInfo>;

    fn listen_protocol(&self) -> SubstreamProtocol<Listen> {
        SubstreamProtocol::new(self.listen.clone(), ())
    }

    /// Members' connections stay; a stranger's goes when its streams are idle.
    fn connection_keep_alive(&self) -> bool {
        self.slots
            .values()
            .any(|state| state.attempt.is_some() || state.admission.is_some())
    }

    fn on_behaviour_event(&mut self, event: In<H>) {
        match event {
            In::Serve(serves) => {
                self.serves = serves;
                self.advertise();
            }
            In::Open(slot, key) => self.open(slot, key),
            In::Answer { hello, mesh } => self.answer(hello, mesh),
            In::Welcome { hello, welcome } => self.welcome(hello, welcome),
            In::Ignore { hello } => self.ignore(hello),
            In::Install(slot, generation, inner) => self.install(slot, generation, inner),
            In::Control(slot, generation, frame) => self.send_control(slot, generation, frame),
            In::End(slot, generation, last) => self.end(slot, Some(generation), last),
            In::Leave(slot) => self.leave(slot),
            In::Inner(slot, generation, event) => {
                if let Some(inner) = self.inner(slot, generation) {
                    inner.on_behaviour_event(event);
                }
            }
        }
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<
            '_,
            Self::InboundProtocol,
            Self::OutboundProtocol,
            Self::InboundOpenInfo,
            Self::OutboundOpenInfo,
        >,
    ) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol: (name, stream),
                ..
            }) => match name.inner {
                Some((slot, generation, name)) => self.inbound(slot, generation, &name, stream),
                None => self.greeted(stream),
            },
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol, info }) => {
                match (protocol, info) {
                    (FutureEither::Left(stream), OutboundInfo::Admission(slot, generation)) => {
                        self.opened(slot, generation, stream);
                    }
                    (FutureEither::Right(protocol), OutboundInfo::Inner(slot, generation, info)) => {
                        if let Some(inner) = self.inner(slot, generation) {
                            let event = FullyNegotiatedOutbound { protocol, info };
                            inner.on_connection_event(ConnectionEvent::FullyNegotiatedOutbound(event));
                        }
                    }
                    // The swarm returns each protocol with the info it was asked with.
                    _ => debug_assert!(false, "a stream came back with another one's info"),
                }
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info, error }) => match info {
                OutboundInfo::Admission(slot, generation) => {
                    self.opening_done();
                    let failure = match error {
                        // It may have begun to just after we asked.
                        StreamUpgradeError::NegotiationFailed if !self.peer_speaks => OpenFailure::NotSpeaking,
                        _ => OpenFailure::Lost,
                    };
                    self.open_failed(slot, generation, failure);
                }
                OutboundInfo::Inner(slot, generation, info) => {
                    let Some(inner) = self.inner(slot, generation) else {
                        return;
                    };
                    let error = match error {
                        StreamUpgradeError::Apply(Either::Right(error)) => StreamUpgradeError::Apply(error),
                        StreamUpgradeError::Apply(Either::Left(never)) => match never {},
                        StreamUpgradeError::Timeout => StreamUpgradeError::Timeout,
                        StreamUpgradeError::NegotiationFailed => StreamUpgradeError::NegotiationFailed,
                        StreamUpgradeError::Io(error) => StreamUpgradeError::Io(error),
                    };
                    inner.on_connection_event(ConnectionEvent::DialUpgradeError(DialUpgradeError { info, error }));
                }
            },
            ConnectionEvent::AddressChange(change) => self.each(|inner| {
                let new_address = change.new_address;
                let change = libp2p::swarm::handler::AddressChange { new_address };
                inner.on_connection_event(ConnectionEvent::AddressChange(change));
            }),
            ConnectionEvent::LocalProtocolsChange(change) => {
                self.each(|inner| inner.on_connection_event(ConnectionEvent::LocalProtocolsChange(change.clone())));
            }
            ConnectionEvent::RemoteProtocolsChange(change) => {
                match &change {
                    ProtocolsChange::Added(added) if added.clone().any(|name| *name == ADMISSION_PROTOCOL) => {
                        self.peer_speaks = true;
                        self.tell(Out::Speaks);
                    }
                    ProtocolsChange::Removed(removed) if removed.clone().any(|name| *name == ADMISSION_PROTOCOL) => {
                        self.peer_speaks = false;
                    }
                    _ => {}
                }
                self.each(|inner| inner.on_connection_event(ConnectionEvent::RemoteProtocolsChange(change.clone())));
            }
            _ => {}
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<HandlerEvent<H>> {
        'progress: loop {
            if let Some(event) = self.events.pop_front() {
                return Poll::Ready(event);
            }
            if let Poll::Ready(Some(task)) = self.tasks.poll_next_unpin(cx) {
                self.on_task(task);
                continue;
            }
            // Another mesh is first each time, so that a busy one does not starve the rest.
            self.turn = self.turn.wrapping_add(1);
            let slots: Vec<Slot> = self.slots.keys().copied().collect();
            for index in 0..slots.len() {
                let slot = slots[(self.turn + index) % slots.len()];
                match self.poll_admission(slot, cx) {
                    Some(Poll::Ready(event)) => return Poll::Ready(event),
                    Some(Poll::Pending) => continue 'progress,
                    None => {}
                }
            }
            return Poll::Pending;
        }
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Option<Self::ToBehaviour>> {
        for (slot, state) in &mut self.slots {
            if let Some(admission) = &mut state.admission
                && let Some(inner) = &mut admission.inner
                && let Some(event) = std::task::ready!(inner.poll_close(cx))
            {
                return Poll::Ready(Some(Out::Inner(*slot, admission.generation, event)));
            }
        }
        Poll::Ready(None)
    }
}
