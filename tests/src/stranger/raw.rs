//! Streams under any protocol id, opened and accepted by hand: what a peer can do that is not bound by maille's code.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use libp2p::core::transport::PortUse;
use libp2p::core::upgrade::{InboundUpgrade, ReadyUpgrade, UpgradeInfo};
use libp2p::core::{Endpoint, Multiaddr};
use libp2p::swarm::handler::{ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound};
use libp2p::swarm::{
    ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm, NetworkBehaviour,
    NotifyHandler, Stream, StreamUpgradeError, SubstreamProtocol, THandlerInEvent, ToSwarm,
};
use libp2p::{PeerId, StreamProtocol};
use tokio::sync::oneshot;

/// Why a stream could not be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoStream {
    /// The peer does not speak this protocol on this connection.
    NotSpoken,
    /// The stream or the connection broke.
    Broken,
}

/// Answers an [`Open`].
pub(super) type Opened = Result<Stream, NoStream>;

/// Asks for a stream.
#[derive(Debug)]
pub(super) struct Open {
    protocol: StreamProtocol,
    reply: oneshot::Sender<Opened>,
}

/// A stream that a peer opened.
#[derive(Debug)]
pub struct Incoming {
    /// Who.
    pub peer: PeerId,
    /// Under which name.
    pub protocol: StreamProtocol,
    /// The stream.
    pub stream: Stream,
}

/// Protocol ids to accept, changed at run time.
pub(super) type Accepted = Arc<Mutex<Vec<StreamProtocol>>>;

/// The behaviour.
#[derive(Debug)]
pub(super) struct Raw {
    accepted: Accepted,
    out: VecDeque<ToSwarm<Incoming, Open>>,
}

impl Raw {
    pub(super) fn new(accepted: Accepted) -> Self {
        Self {
            accepted,
            out: VecDeque::new(),
        }
    }

    pub(super) fn open(&mut self, peer: PeerId, protocol: StreamProtocol, reply: oneshot::Sender<Opened>) {
        self.out.push_back(ToSwarm::NotifyHandler {
            peer_id: peer,
            handler: NotifyHandler::Any,
            event: Open { protocol, reply },
        });
    }
}

impl NetworkBehaviour for Raw {
    type ConnectionHandler = Handler;
    type ToSwarm = Incoming;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<Handler, ConnectionDenied> {
        Ok(Handler::new(self.accepted.clone()))
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<Handler, ConnectionDenied> {
        Ok(Handler::new(self.accepted.clone()))
    }

    fn on_swarm_event(&mut self, _: FromSwarm<'_>) {}

    fn on_connection_handler_event(&mut self, peer: PeerId, _: ConnectionId, event: (StreamProtocol, Stream)) {
        let (protocol, stream) = event;
        self.out
            .push_back(ToSwarm::GenerateEvent(Incoming { peer, protocol, stream }));
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Incoming, THandlerInEvent<Self>>> {
        self.out.pop_front().map_or(Poll::Pending, Poll::Ready)
    }
}

type HandlerEvent =
    ConnectionHandlerEvent<ReadyUpgrade<StreamProtocol>, oneshot::Sender<Opened>, (StreamProtocol, Stream)>;

/// One connection's part: it stays as long as the other side lets it.
#[derive(Debug)]
pub(super) struct Handler {
    accepted: Accepted,
    out: VecDeque<HandlerEvent>,
}

impl Handler {
    fn new(accepted: Accepted) -> Self {
        Self {
            accepted,
            out: VecDeque::new(),
        }
    }
}

/// Takes a stream as it is, under any of these names.
#[derive(Debug)]
pub(super) struct Take(Vec<StreamProtocol>);

impl UpgradeInfo for Take {
    type Info = StreamProtocol;
    type InfoIter = std::vec::IntoIter<StreamProtocol>;

    fn protocol_info(&self) -> Self::InfoIter {
        self.0.clone().into_iter()
    }
}

impl InboundUpgrade<Stream> for Take {
    type Output = (StreamProtocol, Stream);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_inbound(self, stream: Stream, protocol: StreamProtocol) -> Self::Future {
        ready(Ok((protocol, stream)))
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Open;
    type ToBehaviour = (StreamProtocol, Stream);
    type InboundProtocol = Take;
    type OutboundProtocol = ReadyUpgrade<StreamProtocol>;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = oneshot::Sender<Opened>;

    fn listen_protocol(&self) -> SubstreamProtocol<Take> {
        SubstreamProtocol::new(Take(self.accepted.lock().unwrap().clone()), ())
    }

    fn connection_keep_alive(&self) -> bool {
        true
    }

    fn on_behaviour_event(&mut self, Open { protocol, reply }: Open) {
        self.out.push_back(ConnectionHandlerEvent::OutboundSubstreamRequest {
            protocol: SubstreamProtocol::new(ReadyUpgrade::new(protocol), reply),
        });
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<'_, Take, ReadyUpgrade<StreamProtocol>, (), oneshot::Sender<Opened>>,
    ) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol, .. }) => {
                self.out.push_back(ConnectionHandlerEvent::NotifyBehaviour(protocol));
            }
            // Whoever asked may have given up.
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol, info }) => {
                let _ = info.send(Ok(protocol));
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info, error }) => {
                let _ = info.send(Err(match error {
                    StreamUpgradeError::NegotiationFailed => NoStream::NotSpoken,
                    _ => NoStream::Broken,
                }));
            }
            _ => {}
        }
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<HandlerEvent> {
        self.out.pop_front().map_or(Poll::Pending, Poll::Ready)
    }
}
