//! One connection's part of the gate: runs admissions on it, and holds the inner handlers of the meshes it admitted.
//!
//! Phases of an admission: the handshake ends in [`Out::Admitted`]; the behaviour answers with [`In::Install`] (now the
//! mesh's protocols are accepted inbound, and `Ready` is said); after the peer's `Ready` the inner handler may open
//! streams. An inner handler that opened earlier would find the protocol refused, and gossipsub takes that as final.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use either::Either;
use futures::future::{AbortHandle, Abortable, BoxFuture, Either as FutureEither};
use futures::prelude::*;
use futures::stream::FuturesUnordered;
use libp2p::PeerId;
use libp2p::core::upgrade::ReadyUpgrade;
use libp2p::swarm::handler::{
    ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound, InboundUpgradeSend,
    ListenUpgradeError, ProtocolsChange, SendWrapper, UpgradeInfoSend,
};
use libp2p::swarm::{ConnectionHandler, ConnectionHandlerEvent, Stream, StreamUpgradeError, SubstreamProtocol};
use maille_proto::admission::Welcome;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::control::{Control, ControlEvent};
use super::handshake::{self, Pipe};
use super::messages::{In, OpenFailure, Out, Outcome};
use super::upgrade::{Advertised, Listen, Names, Renamed};
use super::{ADMISSION_PROTOCOL, Slot};
use crate::core::admission::{Acceptor, Admitted, Failure, Hello, MeshKey, Opener, is_ready, ready_frame};

/// Admissions this side opens at once on one connection; further ones wait their turn.
const OPENING_MAX: usize = 4;
/// Hellos of the peer that are read or wait for an answer at once; openers keep within [`OPENING_MAX`].
const HELLOS_MAX: usize = 2 * OPENING_MAX;
/// How long negotiating the admission protocol may take.
const NEGOTIATION_TIMEOUT: Duration = Duration::from_secs(10);
/// gossipsub is dead without an event after five outbound streams on one connection: admit again before.
const GOSSIP_STREAMS_MAX: u8 = 5;
const GOSSIP_STEM: &str = "/meshsub/";

/// A handshake under way.
struct Attempt {
    generation: u32,
    /// This side opened it, or had opened one that gave way to it: its failure is reported.
    ours: bool,
    abort: Option<AbortHandle>,
}

struct Admission<H> {
    generation: u32,
    prefix: String,
    names: Arc<Names>,
    inner: Option<H>,
    peer_ready: bool,
    control: Control,
    gossip_streams: u8,
}

impl<H> Admission<H> {
    fn is_open(&self) -> bool {
        self.inner.is_some() && self.peer_ready
    }
}

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
    Answered {
        hello: u64,
        slot: Option<(Slot, u32)>,
        result: Result<(Admitted, Pipe), Failure>,
    },
    Upgraded(Slot, u32, UpgradedInbound<H>),
    Gone,
    Done,
}

type UpgradedInbound<H> = Result<
    (
        <<H as ConnectionHandler>::InboundProtocol as InboundUpgradeSend>::Output,
        <H as ConnectionHandler>::InboundOpenInfo,
    ),
    (
        <<H as ConnectionHandler>::InboundProtocol as InboundUpgradeSend>::Error,
        <H as ConnectionHandler>::InboundOpenInfo,
    ),
>;

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
    hellos: HashMap<u64, (Hello, Pipe)>,
    answering: HashMap<u64, AbortHandle>,
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
            answering: HashMap::new(),
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

    fn admission(&mut self, slot: Slot, generation: u32) -> Option<&mut Admission<H>> {
        self.slots
            .get_mut(&slot)?
            .admission
            .as_mut()
            .filter(|admission| admission.generation == generation)
    }

    fn inner(&mut self, slot: Slot, generation: u32) -> Option<&mut H> {
        self.admission(slot, generation)?.inner.as_mut()
    }

    // ---- opening -------------------------------------------------------------------------------------------------

    fn open(&mut self, slot: Slot, key: Arc<MeshKey>) {
        let state = self.slots.entry(slot).or_default();
        if state.admission.is_some() {
            return; // on its way to being open, which answers this request
        }
        if state.attempt.is_some() {
            // Whatever comes of the attempt under way is the answer to this request too.
            if let Some(attempt) = &mut state.attempt {
                attempt.ours = true;
            }
            return;
        }
        self.keys.insert(slot, key.clone());
        self.to_open.push_back((slot, key));
        self.open_next();
    }

    fn open_next(&mut self) {
        while self.opening < OPENING_MAX {
            let Some((slot, _)) = self.to_open.pop_front() else {
                return;
            };
            let Some(state) = self.slots.get_mut(&slot) else {
                continue;
            };
            if let Some(attempt) = &mut state.attempt {
                attempt.ours = true;
                continue;
            }
            state.generation += 1;
            state.attempt = Some(Attempt {
                generation: state.generation,
                ours: true,
                abort: None,
            });
            self.opening += 1;
            let info = OutboundInfo::Admission(slot, state.generation);
            let protocol = SubstreamProtocol::new(Either::Left(ReadyUpgrade::new(ADMISSION_PROTOCOL)), info);
            self.events.push_back(ConnectionHandlerEvent::OutboundSubstreamRequest {
                protocol: protocol.with_timeout(NEGOTIATION_TIMEOUT),
            });
        }
    }

    fn opened(&mut self, slot: Slot, generation: u32, stream: Stream) {
        let key = self.keys.get(&slot).cloned();
        let attempt = self.slots.get_mut(&slot).and_then(|state| state.attempt.as_mut());
        let (Some(key), Some(attempt)) = (key, attempt.filter(|attempt| attempt.generation == generation)) else {
            return self.opening_done();
        };
        let (abort, registration) = AbortHandle::new_pair();
        attempt.abort = Some(abort);
        let opener = Opener::new(key, self.me, self.peer, StdRng::from_rng(&mut rand::rng()));
        let handshake = Abortable::new(handshake::open(stream, opener), registration).map(move |result| {
            let result = result.unwrap_or(Err(OpenFailure::Lost));
            Task::Handshake {
                slot,
                generation,
                result,
            }
        });
        self.tasks.push(handshake.boxed());
    }

    fn opening_done(&mut self) {
        self.opening = self.opening.saturating_sub(1);
        self.open_next();
    }

    fn open_failed(&mut self, slot: Slot, generation: u32, failure: OpenFailure) {
        let Some(state) = self.slots.get_mut(&slot) else { return };
        if let Some(attempt) = state.attempt.take_if(|attempt| attempt.generation == generation)
            && attempt.ours
        {
            self.tell(Out::Failed(slot, failure));
        }
    }

    // ---- answering -----------------------------------------------------------------------------------------------

    fn knocked(&mut self, said: Hello, pipe: Pipe) {
        self.next_hello += 1;
        let hello = self.next_hello;
        self.hellos.insert(hello, (said.clone(), pipe));
        self.tell(Out::Knocked {
            hello,
            said: Box::new(said),
        });
    }

    fn answer(&mut self, hello: u64, mesh: Option<(Slot, Arc<MeshKey>)>, welcome: Welcome) {
        let Some((said, pipe)) = self.hellos.remove(&hello) else {
            return self.tell(Out::Answered {
                hello,
                outcome: Outcome::GaveWay,
            });
        };
        let mut place = None;
        if let Some((slot, _)) = &mesh {
            let state = self.slots.entry(*slot).or_default();
            // Both opened at once: the lower PeerId's stream is the one that counts.
            if state.attempt.as_ref().is_some_and(|attempt| attempt.ours) && self.me < self.peer {
                return self.tell(Out::Answered {
                    hello,
                    outcome: Outcome::GaveWay,
                });
            }
            let old = state.attempt.take();
            state.generation += 1;
            let ours = old.as_ref().is_some_and(|attempt| attempt.ours);
            if let Some(abort) = old.and_then(|attempt| attempt.abort) {
                abort.abort();
            }
            state.attempt = Some(Attempt {
                generation: state.generation,
                ours,
                abort: None,
            });
            place = Some((*slot, state.generation));
        }
        let key = mesh.map(|(_, key)| key);
        let acceptor = Acceptor::new(
            said,
            key,
            self.me,
            self.peer,
            welcome,
            StdRng::from_rng(&mut rand::rng()),
        );
        let (abort, registration) = AbortHandle::new_pair();
        self.answering.insert(hello, abort);
        let handshake = Abortable::new(handshake::accept(pipe, acceptor), registration).map(move |result| {
            let result = result.unwrap_or(Err(Failure::Aborted));
            Task::Answered {
                hello,
                slot: place,
                result,
            }
        });
        self.tasks.push(handshake.boxed());
    }

    // ---- admitted ------------------------------------------------------------------------------------------------

    fn admitted(&mut self, slot: Slot, generation: u32, admitted: Admitted, pipe: Pipe) {
        let Some(state) = self.slots.get_mut(&slot) else { return };
        if state
            .attempt
            .take_if(|attempt| attempt.generation == generation)
            .is_none()
        {
            return; // left, or given way, meanwhile
        }
        // The peer left and came back before its end was seen: the newest admission wins.
        self.end(slot, None, None);
        let Some(state) = self.slots.get_mut(&slot) else { return };
        state.admission = Some(Admission {
            generation,
            prefix: admitted.protocol_prefix.clone(),
            names: Arc::default(),
            inner: None,
            peer_ready: false,
            control: Control::new(pipe),
            gossip_streams: 0,
        });
        self.tell(Out::Admitted(slot, generation, Box::new(admitted)));
    }

    fn install(&mut self, slot: Slot, generation: u32, inner: H) {
        let Some(admission) = self.admission(slot, generation) else {
            return;
        };
        admission.names = Arc::new(Names::new(&admission.prefix, inner.listen_protocol().upgrade()));
        admission.inner = Some(inner);
        admission.control.send(ready_frame());
        let open = admission.is_open();
        self.advertise();
        if open {
            self.tell(Out::Open(slot, generation));
        }
    }

    fn on_control(&mut self, slot: Slot, generation: u32, event: ControlEvent) {
        let Some(admission) = self.admission(slot, generation) else {
            return;
        };
        match event {
            ControlEvent::Ended => self.end(slot, Some(generation), None),
            ControlEvent::Frame(frame) if admission.peer_ready => self.tell(Out::Control(slot, generation, frame)),
            ControlEvent::Frame(frame) if is_ready(&frame) => {
                admission.peer_ready = true;
                match admission.is_open() {
                    true => self.tell(Out::Open(slot, generation)),
                    false => self.tell(Out::PeerReady(slot, generation)),
                }
            }
            ControlEvent::Frame(_) => self.end(slot, Some(generation), None),
        }
    }

    /// Drops the inner handler, and with it its streams, and says goodbye on the control stream.
    fn end(&mut self, slot: Slot, generation: Option<u32>, last: Option<Vec<u8>>) {
        let Some(state) = self.slots.get_mut(&slot) else { return };
        let is_meant = |admission: &mut Admission<H>| generation.is_none_or(|g| g == admission.generation);
        let Some(admission) = state.admission.take_if(is_meant) else {
            return;
        };
        self.tasks
            .push(admission.control.close(last).map(|()| Task::Gone).boxed());
        self.advertise();
        self.tell(Out::Ended(slot, admission.generation));
    }

    fn leave(&mut self, slot: Slot) {
        self.end(slot, None, None);
        self.keys.remove(&slot);
        self.to_open.retain(|(waiting, _)| *waiting != slot);
        if let Some(abort) = self
            .slots
            .remove(&slot)
            .and_then(|state| state.attempt)
            .and_then(|attempt| attempt.abort)
        {
            abort.abort();
        }
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
            Task::Answered { hello, slot, result } => {
                self.answering.remove(&hello);
                let outcome = match &result {
                    Ok(_) => Outcome::Admitted,
                    Err(failure) if failure.is_guess() => Outcome::WrongPassword,
                    Err(_) => Outcome::Lost,
                };
                self.tell(Out::Answered { hello, outcome });
                match (slot, result) {
                    (Some((slot, generation)), Ok((admitted, pipe))) => self.admitted(slot, generation, admitted, pipe),
                    (Some((slot, generation)), Err(_)) => self.open_failed(slot, generation, OpenFailure::Lost),
                    (None, _) => {}
                }
            }
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

    // ---- streams -------------------------------------------------------------------------------------------------

    fn on_inbound(&mut self, name: Advertised, stream: Stream) {
        let Some((slot, generation, name)) = name.inner else {
            if self.reading + self.hellos.len() < HELLOS_MAX {
                self.reading += 1;
                self.tasks.push(handshake::hello(stream).map(Task::Hello).boxed());
            }
            return;
        };
        let Some(inner) = self.inner(slot, generation) else {
            return;
        };
        let protocol = inner.listen_protocol();
        let timeout = *protocol.timeout();
        let (upgrade, info) = protocol.into_upgrade();
        let Some(name) = upgrade.protocol_info().find(|candidate| candidate.as_ref() == &*name) else {
            return;
        };
        let upgrade = tokio::time::timeout(timeout, upgrade.upgrade_inbound(stream, name));
        let upgrade = upgrade.map(move |result| match result {
            Ok(Ok(protocol)) => Task::Upgraded(slot, generation, Ok((protocol, info))),
            Ok(Err(error)) => Task::Upgraded(slot, generation, Err((error, info))),
            Err(_) => Task::Done,
        });
        self.tasks.push(upgrade.boxed());
    }

    fn each(&mut self, mut f: impl FnMut(&mut H)) {
        let shown = self
            .slots
            .values_mut()
            .filter_map(|state| state.admission.as_mut()?.inner.as_mut());
        shown.for_each(&mut f);
    }

    /// Polls one admission; true when something happened.
    fn poll_admission(&mut self, slot: Slot, cx: &mut Context<'_>) -> Option<Poll<HandlerEvent<H>>> {
        let admission = self.slots.get_mut(&slot)?.admission.as_mut()?;
        let generation = admission.generation;
        if let Poll::Ready(event) = admission.control.poll(cx) {
            self.on_control(slot, generation, event);
            return Some(Poll::Pending);
        }
        if !admission.is_open() {
            return None;
        }
        let Poll::Ready(event) = admission.inner.as_mut()?.poll(cx) else {
            return None;
        };
        if let ConnectionHandlerEvent::OutboundSubstreamRequest { protocol } = &event
            && protocol
                .upgrade()
                .protocol_info()
                .any(|name| name.as_ref().starts_with(GOSSIP_STEM))
        {
            admission.gossip_streams += 1;
            if admission.gossip_streams >= GOSSIP_STREAMS_MAX {
                self.end(slot, Some(generation), None);
                return Some(Poll::Pending);
            }
        }
        let names = admission.names.clone();
        Some(Poll::Ready(
            event
                .map_custom(|event| Out::Inner(slot, generation, event))
                .map_outbound_open_info(|info| OutboundInfo::Inner(slot, generation, info))
                .map_protocol(|inner| Either::Right(SendWrapper(Renamed { inner, names }))),
        ))
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
            In::Answer { hello, mesh, welcome } => self.answer(hello, mesh, welcome),
            In::Ignore { hello } => {
                self.hellos.remove(&hello);
                if let Some(abort) = self.answering.remove(&hello) {
                    abort.abort();
                }
            }
            In::Install(slot, generation, inner) => self.install(slot, generation, inner),
            In::Control(slot, generation, frame) => {
                let kept = self
                    .admission(slot, generation)
                    .is_none_or(|admission| admission.control.send(frame));
                if !kept {
                    self.end(slot, Some(generation), None);
                }
            }
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
            }) => {
                self.on_inbound(name, stream);
            }
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
