//! Streams between two members, one a call, handed out with what ends them. A stream taken out of libp2p's hands lives as
//! long as its connection, which may outlive the membership: so each comes with the admission's end, which is its own.

use std::collections::VecDeque;
use std::fmt;
use std::task::{Context, Poll};

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::core::upgrade::ReadyUpgrade;
use libp2p::swarm::handler::{
    ConnectionEvent, ConnectionHandler, ConnectionHandlerEvent, FullyNegotiatedInbound, FullyNegotiatedOutbound,
};
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, NotifyHandler, Stream, SubstreamProtocol, THandler,
    THandlerInEvent, THandlerOutEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId, StreamProtocol};
use tokio::sync::{oneshot, watch};

const PROTOCOL: StreamProtocol = StreamProtocol::new("/requests/1");
/// Streams of one neighbour that wait for the loop; what comes beyond is closed.
const INCOMING_MAX: usize = 128;

/// A stream between two members.
#[derive(Debug)]
pub(crate) struct MemberStream {
    pub(super) stream: Stream,
    /// Closed when the admission ends that the stream belongs to.
    pub(super) admission: watch::Receiver<()>,
}

/// Who asked for a stream. Dropped if there will be none.
pub(crate) type Opening = oneshot::Sender<MemberStream>;

/// A neighbour opened a stream.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) peer: PeerId,
    pub(crate) stream: MemberStream,
}

/// Opens and accepts streams. How many there may be is not decided here.
#[derive(Default)]
pub(crate) struct Streams {
    /// As many as callers wait for, and [`INCOMING_MAX`] a neighbour.
    out: VecDeque<ToSwarm<Incoming, Opening>>,
}

impl fmt::Debug for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streams").finish_non_exhaustive()
    }
}

impl Streams {
    /// Opens a stream to a neighbour.
    pub(crate) fn open(&mut self, peer_id: PeerId, event: Opening) {
        self.out.push_back(ToSwarm::NotifyHandler {
            peer_id,
            handler: NotifyHandler::Any,
            event,
        });
    }
}

impl NetworkBehaviour for Streams {
    type ConnectionHandler = Handler;
    type ToSwarm = Incoming;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Handler::default())
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Handler::default())
    }

    fn on_swarm_event(&mut self, _: FromSwarm<'_>) {}

    fn on_connection_handler_event(&mut self, peer: PeerId, _: ConnectionId, stream: THandlerOutEvent<Self>) {
        let incoming = Incoming { peer, stream };
        self.out.push_back(ToSwarm::GenerateEvent(incoming));
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Incoming, THandlerInEvent<Self>>> {
        self.out.pop_front().map_or(Poll::Pending, Poll::Ready)
    }
}

/// The streams of one admission.
#[derive(Debug, Default)]
pub(crate) struct Handler {
    /// Goes with the handler, and the handler with the admission.
    admission: watch::Sender<()>,
    opening: VecDeque<Opening>,
    incoming: VecDeque<MemberStream>,
}

impl Handler {
    fn of_member(&self, stream: Stream) -> MemberStream {
        MemberStream {
            stream,
            admission: self.admission.subscribe(),
        }
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Opening;
    type ToBehaviour = MemberStream;
    type InboundProtocol = ReadyUpgrade<StreamProtocol>;
    type OutboundProtocol = ReadyUpgrade<StreamProtocol>;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = Opening;

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol> {
        SubstreamProtocol::new(ReadyUpgrade::new(PROTOCOL), ())
    }

    fn on_behaviour_event(&mut self, opening: Opening) {
        self.opening.push_back(opening);
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<'_, Self::InboundProtocol, Self::OutboundProtocol, (), Opening>,
    ) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol, .. })
                if self.incoming.len() < INCOMING_MAX =>
            {
                self.incoming.push_back(self.of_member(protocol));
            }
            // Whoever asked may have given up.
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol, info }) => {
                let _ = info.send(self.of_member(protocol));
            }
            // A stream that could not be opened, whose asker hears of it as this is dropped; or one too many.
            _ => {}
        }
    }

    fn poll(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, Opening, MemberStream>> {
        if let Some(stream) = self.incoming.pop_front() {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(stream));
        }
        while let Some(opening) = self.opening.pop_front() {
            if !opening.is_closed() {
                let protocol = SubstreamProtocol::new(ReadyUpgrade::new(PROTOCOL), opening);
                return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
            }
        }
        Poll::Pending
    }
}
