//! The gate as a `NetworkBehaviour`: one inner behaviour a mesh, each shown only connections that were admitted to it.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use libp2p::core::transport::{ListenerId, PortUse};
use libp2p::core::{ConnectedPoint, Endpoint};
use libp2p::swarm::behaviour::{ExternalAddrConfirmed, NewListenAddr, NewListener};
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, NotifyHandler, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId};
use maille_proto::admission::Welcome;

use super::door::Knock;
use super::handler::GateHandler;
use super::known::KnownPeers;
use super::messages::{In, OpenFailure, Out, Outcome};
use super::peers::{AdmissionId, Admissions};
use crate::core::admission::{Doorman, DoormanInput, MeshKey};
use crate::types::IpPrefix;

/// One join of one mesh. Never used again, so that a late event of a left mesh cannot reach a rejoined one.
pub(crate) type Slot = u64;

/// What the gate reports.
#[derive(Debug)]
pub(crate) enum Event<E> {
    /// A peer that named one of our meshes is being answered.
    Answering { connection: ConnectionId },
    /// A peer has proved a mesh's password: call [`Gate::welcome`].
    Proved { knock: u64, slot: Slot },
    /// A peer is a member on a connection that is open both ways. Comes before any inner event about it.
    Admitted {
        slot: Slot,
        peer: PeerId,
        multiaddr: Multiaddr,
        connection: ConnectionId,
        welcome: Option<Welcome>,
    },
    /// No connection of the peer is shown any more.
    Left { slot: Slot, peer: PeerId },
    /// An admission that [`Gate::open`] asked for did not come to be.
    Failed {
        slot: Slot,
        peer: PeerId,
        failure: OpenFailure,
    },
    /// A control frame of a member.
    Control { slot: Slot, peer: PeerId, frame: Vec<u8> },
    /// A connected peer speaks admission from now on: it joined its first mesh.
    Speaks { peer: PeerId },
    /// A handshake that a peer began is over.
    Answered { outcome: Outcome },
    /// From a mesh's own behaviour.
    Inner { slot: Slot, event: E },
}

impl<E> Event<E> {
    /// The mesh and the peer it is about.
    pub(crate) fn about(&self) -> (Option<Slot>, Option<PeerId>) {
        match self {
            Event::Answering { .. } | Event::Answered { .. } => (None, None),
            Event::Speaks { peer } => (None, Some(*peer)),
            Event::Proved { slot, .. } | Event::Inner { slot, .. } => (Some(*slot), None),
            Event::Admitted { slot, peer, .. }
            | Event::Left { slot, peer }
            | Event::Failed { slot, peer, .. }
            | Event::Control { slot, peer, .. } => (Some(*slot), Some(*peer)),
        }
    }
}

/// One mesh behind the gate.
pub(super) struct MeshGate<B> {
    pub(super) key: Arc<MeshKey>,
    pub(super) inner: B,
    pub(super) peers: HashMap<PeerId, Admissions>,
    /// Who was a member of this very mesh.
    pub(super) known: KnownPeers,
}

/// A connection of the swarm.
pub(super) struct Connection {
    pub(super) peer: PeerId,
    pub(super) endpoint: ConnectedPoint,
}

impl Connection {
    pub(super) fn is_relayed(&self) -> bool {
        matches!(IpPrefix::of_remote(&self.endpoint), IpPrefix::Relay(_))
    }
}

type Command<B> = ToSwarm<Event<<B as NetworkBehaviour>::ToSwarm>, In<THandler<B>>>;

/// Meshes behind admission, on one swarm.
pub(crate) struct Gate<B: NetworkBehaviour> {
    pub(super) me: PeerId,
    pub(super) next_slot: Slot,
    pub(super) meshes: BTreeMap<Slot, MeshGate<B>>,
    pub(super) connections: BTreeMap<ConnectionId, Connection>,
    pub(super) listen: Vec<(ListenerId, Multiaddr)>,
    pub(super) external: Vec<Multiaddr>,
    pub(super) doorman: Doorman,
    pub(super) next_knock: u64,
    pub(super) knocks: HashMap<u64, Knock>,
    /// Admissions of left meshes whose last word is not out yet.
    pub(super) farewells: HashMap<ConnectionId, usize>,
    pub(super) out: VecDeque<Command<B>>,
    /// Admissions that [`Gate::open`] asked for, and on which connection: each gets an outcome.
    pub(super) asked: HashMap<(Slot, PeerId), ConnectionId>,
    /// Peers that are admitted and not open.
    pub(super) unready: HashSet<(Slot, PeerId)>,
    pub(super) turn: usize,
}

impl<B: NetworkBehaviour> fmt::Debug for Gate<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate")
            .field("me", &self.me)
            .field("meshes", &self.meshes.len())
            .finish_non_exhaustive()
    }
}

impl<B: NetworkBehaviour> Gate<B> {
    pub(crate) fn new(me: PeerId, doorman: Doorman) -> Self {
        Self {
            me,
            next_slot: 0,
            meshes: BTreeMap::new(),
            connections: BTreeMap::new(),
            listen: Vec::new(),
            external: Vec::new(),
            doorman,
            next_knock: 0,
            knocks: HashMap::new(),
            farewells: HashMap::new(),
            out: VecDeque::new(),
            asked: HashMap::new(),
            unready: HashSet::new(),
            turn: 0,
        }
    }

    /// Puts a mesh's behaviour behind the gate. It hears of what the swarm already listens on.
    pub(crate) fn join(&mut self, key: Arc<MeshKey>, mut inner: B) -> Slot {
        self.next_slot += 1;
        if self.meshes.is_empty() {
            self.serve(true);
        }
        for (listener_id, addr) in &self.listen {
            inner.on_swarm_event(FromSwarm::NewListener(NewListener {
                listener_id: *listener_id,
            }));
            inner.on_swarm_event(FromSwarm::NewListenAddr(NewListenAddr {
                listener_id: *listener_id,
                addr,
            }));
        }
        for addr in &self.external {
            inner.on_swarm_event(FromSwarm::ExternalAddrConfirmed(ExternalAddrConfirmed { addr }));
        }
        self.meshes.insert(
            self.next_slot,
            MeshGate {
                key,
                inner,
                peers: HashMap::new(),
                known: KnownPeers::default(),
            },
        );
        self.next_slot
    }

    /// Ends all admissions of a mesh; its connections stay.
    pub(crate) fn leave(&mut self, slot: Slot) {
        self.asked.retain(|(of, _), _| *of != slot);
        self.unready.retain(|(of, _)| *of != slot);
        self.forget_knocks(|knock| knock.slot == Some(slot));
        if let Some(mesh) = self.meshes.remove(&slot) {
            for (id, _) in mesh.peers.values().flat_map(Admissions::ids) {
                *self.farewells.entry(id).or_default() += 1;
            }
            for (id, connection) in &self.connections {
                self.out.push_back(notify(connection.peer, *id, In::Leave(slot)));
            }
            if self.meshes.is_empty() {
                self.serve(false);
            }
        }
    }

    /// Whether peers may knock: only members speak admission.
    fn serve(&mut self, serves: bool) {
        for (id, connection) in &self.connections {
            self.out.push_back(notify(connection.peer, *id, In::Serve(serves)));
        }
    }

    /// Opens admission towards a connected peer, on its oldest direct connection. Nothing if there is none.
    pub(crate) fn open(&mut self, slot: Slot, peer: PeerId) -> Option<ConnectionId> {
        let mesh = self.meshes.get(&slot)?;
        let of_peer = self
            .connections
            .iter()
            .filter(|(_, connection)| connection.peer == peer);
        let (id, _) = of_peer.min_by_key(|(_, connection)| connection.is_relayed())?;
        self.out.push_back(notify(peer, *id, In::Open(slot, mesh.key.clone())));
        self.asked.insert((slot, peer), *id);
        Some(*id)
    }

    /// Sends a control frame to a member; nothing happens if it just left.
    pub(crate) fn send(&mut self, slot: Slot, peer: PeerId, frame: Vec<u8>) {
        if let Some((connection, generation)) = self.shown(slot, &peer) {
            self.out
                .push_back(notify(peer, connection, In::Control(slot, generation, frame)));
        }
    }

    /// Ends a member's admission after a last control frame.
    pub(crate) fn evict(&mut self, slot: Slot, peer: PeerId, last: Option<Vec<u8>>) {
        let Some(admissions) = self.meshes.get(&slot).and_then(|mesh| mesh.peers.get(&peer)) else {
            return;
        };
        for (connection, generation) in admissions.ids() {
            self.out
                .push_back(notify(peer, connection, In::End(slot, generation, last.clone())));
        }
    }

    pub(crate) fn inner_mut(&mut self, slot: Slot) -> Option<&mut B> {
        self.meshes.get_mut(&slot).map(|mesh| &mut mesh.inner)
    }

    /// Whether every farewell of a mesh that was left is said.
    pub(crate) fn has_said_goodbye(&self) -> bool {
        self.farewells.is_empty()
    }

    pub(super) fn said_goodbye(&mut self, connection: ConnectionId) {
        if let Some(count) = self.farewells.get_mut(&connection) {
            *count -= 1;
            if *count == 0 {
                self.farewells.remove(&connection);
            }
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let unready = self
            .unready
            .iter()
            .filter_map(|(slot, peer)| self.meshes.get(slot)?.peers.get(peer)?.ready_deadline());
        unready.chain(self.doorman.next_deadline()).min()
    }

    pub(crate) fn on_deadline(&mut self, now: Instant) {
        self.doorman_hears(DoormanInput::TimedOut, now);
        self.end_unready(now);
    }

    /// Lets a peer past the guess budget of a mesh, as one who was a member of it before.
    pub(crate) fn remember(&mut self, slot: Slot, peer: PeerId) {
        if let Some(mesh) = self.meshes.get_mut(&slot) {
            mesh.known.remember(peer);
        }
    }

    pub(super) fn shown(&self, slot: Slot, peer: &PeerId) -> Option<AdmissionId> {
        self.meshes
            .get(&slot)?
            .peers
            .get(peer)
            .filter(|peer| peer.open)?
            .shown()
    }
}

/// For one connection's handler.
pub(super) fn notify<E, I>(peer_id: PeerId, connection: ConnectionId, event: I) -> ToSwarm<E, I> {
    ToSwarm::NotifyHandler {
        peer_id,
        handler: NotifyHandler::One(connection),
        event,
    }
}

impl<B: NetworkBehaviour> NetworkBehaviour for Gate<B> {
    type ConnectionHandler = GateHandler<THandler<B>>;
    type ToSwarm = Event<B::ToSwarm>;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(GateHandler::new(self.me, peer, !self.meshes.is_empty()))
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(GateHandler::new(self.me, peer, !self.meshes.is_empty()))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(e) => {
                let connection = Connection {
                    peer: e.peer_id,
                    endpoint: e.endpoint.clone(),
                };
                self.connections.insert(e.connection_id, connection);
                return;
            }
            FromSwarm::ConnectionClosed(e) => return self.connection_closed(e),
            FromSwarm::AddressChange(e) => return self.address_changed(e),
            FromSwarm::NewListenAddr(e) => self.listen.push((e.listener_id, e.addr.clone())),
            FromSwarm::ExpiredListenAddr(e) => self.listen.retain(|(id, addr)| (*id, addr) != (e.listener_id, e.addr)),
            FromSwarm::ListenerClosed(e) => self.listen.retain(|(id, _)| *id != e.listener_id),
            FromSwarm::ExternalAddrConfirmed(e) if self.external.contains(e.addr) => {}
            FromSwarm::ExternalAddrConfirmed(e) => self.external.push(e.addr.clone()),
            FromSwarm::ExternalAddrExpired(e) => self.external.retain(|addr| addr != e.addr),
            _ => {}
        }
        for mesh in self.meshes.values_mut() {
            mesh.inner.on_swarm_event(event);
        }
    }

    fn on_connection_handler_event(&mut self, peer: PeerId, id: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {
            Out::Knocked { hello, said } => self.knocked(peer, id, hello, *said),
            Out::Proved { hello } => self.proved(id, hello),
            Out::Answered { hello, outcome } => self.answered(id, hello, outcome),
            Out::Speaks => self.out.push_back(ToSwarm::GenerateEvent(Event::Speaks { peer })),
            Out::Gone => self.said_goodbye(id),
            Out::Admitted(slot, generation, admitted) => self.admitted(slot, peer, id, generation, *admitted),
            Out::PeerReady(slot, generation) => {
                let admissions = self.meshes.get_mut(&slot).and_then(|mesh| mesh.peers.get_mut(&peer));
                if let Some(choice) = admissions.map(|admissions| admissions.peer_ready((id, generation))) {
                    self.follow(slot, peer, choice);
                }
            }
            Out::Open(slot, generation) => self.opened(slot, peer, (id, generation)),
            Out::Ended(slot, generation) => self.ended(slot, peer, (id, generation), None),
            Out::Failed(slot, failure) => {
                if self.asked.remove(&(slot, peer)).is_some() {
                    self.out
                        .push_back(ToSwarm::GenerateEvent(Event::Failed { slot, peer, failure }));
                }
            }
            Out::Control(slot, generation, frame) => {
                if self.shown(slot, &peer) == Some((id, generation)) {
                    self.out
                        .push_back(ToSwarm::GenerateEvent(Event::Control { slot, peer, frame }));
                }
            }
            Out::Inner(slot, generation, event) => {
                let Some(mesh) = self.meshes.get_mut(&slot) else { return };
                if mesh.peers.get(&peer).and_then(Admissions::shown) == Some((id, generation)) {
                    mesh.inner.on_connection_handler_event(peer, id, event);
                }
            }
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        if let Some(command) = self.out.pop_front() {
            return Poll::Ready(command);
        }
        self.turn = self.turn.wrapping_add(1);
        let slots: Vec<Slot> = self.meshes.keys().copied().collect();
        for index in 0..slots.len() {
            let slot = slots[(self.turn + index) % slots.len()];
            let Some(mesh) = self.meshes.get_mut(&slot) else {
                continue;
            };
            while let Poll::Ready(command) = mesh.inner.poll(cx) {
                match command {
                    // `Any` would let the swarm pick a connection that was never admitted.
                    ToSwarm::NotifyHandler {
                        peer_id,
                        handler,
                        event,
                    } => {
                        let shown = mesh.peers.get(&peer_id).and_then(Admissions::shown);
                        let Some((id, generation)) = shown else { continue };
                        if matches!(handler, NotifyHandler::One(one) if one != id) {
                            continue;
                        }
                        return Poll::Ready(notify(peer_id, id, In::Inner(slot, generation, event)));
                    }
                    // A mesh closes nobody's connection: other meshes and Kademlia live on it.
                    ToSwarm::CloseConnection { .. } => {}
                    // The enum is open: what it may grow is passed on.
                    other => {
                        let other = other.map_out(|event| Event::Inner { slot, event });
                        return Poll::Ready(other.map_in(|event| In::Inner(slot, 0, event)));
                    }
                }
            }
        }
        Poll::Pending
    }
}
