//! What a connection was admitted to: each mesh's inner handler with its streams, and its control stream.

use std::sync::Arc;
use std::task::{Context, Poll};

use either::Either;
use futures::FutureExt;
use libp2p::swarm::handler::{InboundUpgradeSend, SendWrapper, UpgradeInfoSend};
use libp2p::swarm::{ConnectionHandler, ConnectionHandlerEvent, Stream};

use super::{GateHandler, HandlerEvent, OutboundInfo, Task};
use crate::core::admission::{Admitted, is_ready, ready_frame};
use crate::net::gate::Slot;
use crate::net::gate::control::{Control, ControlEvent};
use crate::net::gate::handshake::Pipe;
use crate::net::gate::messages::Out;
use crate::net::gate::upgrade::{Names, Renamed};

/// gossipsub is dead without an event after five outbound streams on one connection: admit again before.
const GOSSIP_STREAMS_MAX: u8 = 5;
const GOSSIP_STEM: &str = "/meshsub/";

/// A mesh's admission on this connection.
pub(super) struct Admission<H> {
    pub(super) generation: u32,
    prefix: String,
    pub(super) names: Arc<Names>,
    pub(super) inner: Option<H>,
    peer_ready: bool,
    control: Control,
    gossip_streams: u8,
}

impl<H> Admission<H> {
    fn is_open(&self) -> bool {
        self.inner.is_some() && self.peer_ready
    }
}

pub(super) type UpgradedInbound<H> = Result<
    (
        <<H as ConnectionHandler>::InboundProtocol as InboundUpgradeSend>::Output,
        <H as ConnectionHandler>::InboundOpenInfo,
    ),
    (
        <<H as ConnectionHandler>::InboundProtocol as InboundUpgradeSend>::Error,
        <H as ConnectionHandler>::InboundOpenInfo,
    ),
>;

impl<H: ConnectionHandler> GateHandler<H> {
    pub(super) fn admission(&mut self, slot: Slot, generation: u32) -> Option<&mut Admission<H>> {
        self.slots
            .get_mut(&slot)?
            .admission
            .as_mut()
            .filter(|admission| admission.generation == generation)
    }

    pub(super) fn inner(&mut self, slot: Slot, generation: u32) -> Option<&mut H> {
        self.admission(slot, generation)?.inner.as_mut()
    }

    pub(super) fn admitted(&mut self, slot: Slot, generation: u32, admitted: Admitted, pipe: Pipe) {
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

    pub(super) fn install(&mut self, slot: Slot, generation: u32, inner: H) {
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

    /// Sends one control frame; a peer that has let too many gather is let go.
    pub(super) fn send_control(&mut self, slot: Slot, generation: u32, frame: Vec<u8>) {
        let kept = self
            .admission(slot, generation)
            .is_none_or(|admission| admission.control.send(frame));
        if !kept {
            self.end(slot, Some(generation), None);
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
    pub(super) fn end(&mut self, slot: Slot, generation: Option<u32>, last: Option<Vec<u8>>) {
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

    pub(super) fn leave(&mut self, slot: Slot) {
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

    /// A stream of the peer's under one of the mesh's names.
    pub(super) fn inbound(&mut self, slot: Slot, generation: u32, name: &str, stream: Stream) {
        let Some(inner) = self.inner(slot, generation) else {
            return;
        };
        let protocol = inner.listen_protocol();
        let timeout = *protocol.timeout();
        let (upgrade, info) = protocol.into_upgrade();
        let Some(name) = upgrade.protocol_info().find(|candidate| candidate.as_ref() == name) else {
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

    pub(super) fn each(&mut self, mut f: impl FnMut(&mut H)) {
        let shown = self
            .slots
            .values_mut()
            .filter_map(|state| state.admission.as_mut()?.inner.as_mut());
        shown.for_each(&mut f);
    }

    /// Polls one admission; true when something happened.
    pub(super) fn poll_admission(&mut self, slot: Slot, cx: &mut Context<'_>) -> Option<Poll<HandlerEvent<H>>> {
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
