//! The gate as a `NetworkBehaviour`: one inner behaviour a mesh, each shown only connections that were admitted to it.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use libp2p::core::transport::{ListenerId, PortUse};
use libp2p::core::{ConnectedPoint, Endpoint};
use libp2p::swarm::behaviour::{
    AddressChange, ConnectionClosed, ConnectionEstablished, ExternalAddrConfirmed, NewListenAddr, NewListener,
};
use libp2p::swarm::{
    ConnectionDenied, ConnectionError, ConnectionId, FromSwarm, NetworkBehaviour, NotifyHandler, THandler,
    THandlerInEvent, THandlerOutEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId};
use maille_proto::admission::Welcome;
use maille_proto::control;

use super::handler::{GateHandler, In, OpenFailure, Out, Outcome};
use super::peers::{AdmissionId, Admissions, Candidate, Choice};
use crate::core::admission::{Admitted, Doorman, DoormanAction, DoormanInput, Hello, MeshKey};
use crate::types::IpPrefix;

/// One join of one mesh. Never used again, so that a late event of a left mesh cannot reach a rejoined one.
pub(crate) type Slot = u64;

/// Peers remembered as members, who are let in past the guess budget.
const KNOWN_PEERS_MAX: usize = 1_024;

/// What the gate reports.
#[derive(Debug)]
pub(crate) enum Event<E> {
    /// A peer may be answered: call [`Gate::answer`] with a welcome.
    Answer { knock: u64, slot: Slot },
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
    /// A handshake that a peer began is over.
    Answered { outcome: Outcome },
    /// From a mesh's own behaviour.
    Inner { slot: Slot, event: E },
}

impl<E> Event<E> {
    /// The mesh and the peer it is about.
    pub(crate) fn about(&self) -> (Option<Slot>, Option<PeerId>) {
        match self {
            Event::Answered { .. } => (None, None),
            Event::Answer { slot, .. } | Event::Inner { slot, .. } => (Some(*slot), None),
            Event::Admitted { slot, peer, .. }
            | Event::Left { slot, peer }
            | Event::Failed { slot, peer, .. }
            | Event::Control { slot, peer, .. } => (Some(*slot), Some(*peer)),
        }
    }
}

struct MeshGate<B> {
    key: Arc<MeshKey>,
    inner: B,
    peers: HashMap<PeerId, Admissions>,
}

struct Connection {
    peer: PeerId,
    endpoint: ConnectedPoint,
}

impl Connection {
    fn is_relayed(&self) -> bool {
        matches!(IpPrefix::of_remote(&self.endpoint), IpPrefix::Relay(_))
    }
}

struct Knock {
    peer: PeerId,
    connection: ConnectionId,
    hello: u64,
    said: Hello,
}

type Command<B> = ToSwarm<Event<<B as NetworkBehaviour>::ToSwarm>, In<THandler<B>>>;

/// Meshes behind admission, on one swarm.
pub(crate) struct Gate<B: NetworkBehaviour> {
    me: PeerId,
    next_slot: Slot,
    meshes: BTreeMap<Slot, MeshGate<B>>,
    connections: BTreeMap<ConnectionId, Connection>,
    listen: Vec<(ListenerId, Multiaddr)>,
    external: Vec<Multiaddr>,
    doorman: Doorman,
    next_knock: u64,
    knocks: HashMap<u64, Knock>,
    known: HashSet<PeerId>,
    known_order: VecDeque<PeerId>,
    /// Admissions of left meshes whose last word is not out yet.
    farewells: HashMap<ConnectionId, usize>,
    out: VecDeque<Command<B>>,
    turn: usize,
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
            known: HashSet::new(),
            known_order: VecDeque::new(),
            farewells: HashMap::new(),
            out: VecDeque::new(),
            turn: 0,
        }
    }

    /// Puts a mesh's behaviour behind the gate. It hears of what the swarm already listens on.
    pub(crate) fn join(&mut self, key: Arc<MeshKey>, mut inner: B) -> Slot {
        self.next_slot += 1;
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
            },
        );
        self.next_slot
    }

    /// Ends all admissions of a mesh; its connections stay.
    pub(crate) fn leave(&mut self, slot: Slot) {
        if let Some(mesh) = self.meshes.remove(&slot) {
            for (id, _) in mesh.peers.values().flat_map(Admissions::ids) {
                *self.farewells.entry(id).or_default() += 1;
            }
            for (id, connection) in &self.connections {
                self.out.push_back(notify(connection.peer, *id, In::Leave(slot)));
            }
        }
    }

    /// Opens admission towards a connected peer, on its oldest direct connection. False if there is none.
    pub(crate) fn open(&mut self, slot: Slot, peer: PeerId) -> bool {
        let Some(mesh) = self.meshes.get(&slot) else {
            return false;
        };
        let of_peer = self
            .connections
            .iter()
            .filter(|(_, connection)| connection.peer == peer);
        let Some((id, _)) = of_peer.min_by_key(|(_, connection)| connection.is_relayed()) else {
            return false;
        };
        self.out.push_back(notify(peer, *id, In::Open(slot, mesh.key.clone())));
        true
    }

    /// Answers a knock that [`Event::Answer`] named.
    pub(crate) fn answer(&mut self, knock: u64, slot: Slot, welcome: Welcome) {
        let mesh = self.meshes.get(&slot).map(|mesh| (slot, mesh.key.clone()));
        self.reply(knock, mesh, welcome);
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

    /// Whether the peer is a member of any mesh on this connection.
    pub(crate) fn is_admitted_on(&self, connection: ConnectionId) -> bool {
        let shown = self.meshes.values().flat_map(|mesh| mesh.peers.values());
        shown
            .filter(|peer| peer.open)
            .any(|peer| peer.shown().is_some_and(|(id, _)| id == connection))
    }

    /// Whether every farewell of a mesh that was left is said.
    pub(crate) fn has_said_goodbye(&self) -> bool {
        self.farewells.is_empty()
    }

    fn said_goodbye(&mut self, connection: ConnectionId) {
        if let Some(count) = self.farewells.get_mut(&connection) {
            *count -= 1;
            if *count == 0 {
                self.farewells.remove(&connection);
            }
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.doorman.next_deadline()
    }

    pub(crate) fn on_deadline(&mut self, now: Instant) {
        self.doorman_hears(DoormanInput::TimedOut, now);
    }

    /// Lets a peer past the guess budget, as one who was a member before.
    pub(crate) fn remember(&mut self, peer: PeerId) {
        if self.known.insert(peer) {
            self.known_order.push_back(peer);
        }
        if self.known_order.len() > KNOWN_PEERS_MAX
            && let Some(oldest) = self.known_order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    fn shown(&self, slot: Slot, peer: &PeerId) -> Option<AdmissionId> {
        self.meshes
            .get(&slot)?
            .peers
            .get(peer)
            .filter(|peer| peer.open)?
            .shown()
    }

    // ---- the door ------------------------------------------------------------------------------------------------

    fn knocked(&mut self, peer: PeerId, connection: ConnectionId, hello: u64, said: Hello) {
        let Some(prefix) = self
            .connections
            .get(&connection)
            .map(|c| IpPrefix::of_remote(&c.endpoint))
        else {
            return;
        };
        self.next_knock += 1;
        let id = self.next_knock;
        self.knocks.insert(
            id,
            Knock {
                peer,
                connection,
                hello,
                said,
            },
        );
        let known = self.known.contains(&peer);
        self.doorman_hears(DoormanInput::Knocked { id, prefix, known }, Instant::now());
    }

    fn doorman_hears(&mut self, input: DoormanInput, now: Instant) {
        let mut actions = Vec::new();
        self.doorman.handle(input, now, &mut actions);
        for action in actions {
            match action {
                DoormanAction::Proceed(id) => self.proceed(id, now),
                DoormanAction::PushOut(id) | DoormanAction::Expire(id) => self.ignore(id),
            }
        }
    }

    fn proceed(&mut self, id: u64, now: Instant) {
        // The door stays open for this one until its handshake ends; from here on we wait for the peer.
        self.doorman_hears(DoormanInput::Waiting { id }, now);
        let Some(knock) = self.knocks.get(&id) else { return };
        let opener = knock.peer;
        let mesh = self
            .meshes
            .iter()
            .find(|(_, mesh)| mesh.key.recognises(&knock.said, &opener, &self.me));
        match mesh.map(|(slot, _)| *slot) {
            Some(slot) => self
                .out
                .push_back(ToSwarm::GenerateEvent(Event::Answer { knock: id, slot })),
            None => self.reply(id, None, Welcome::default()),
        }
    }

    fn reply(&mut self, id: u64, mesh: Option<(Slot, Arc<MeshKey>)>, welcome: Welcome) {
        if let Some(Knock {
            peer,
            connection,
            hello,
            ..
        }) = self.knocks.get(&id)
        {
            self.out.push_back(notify(
                *peer,
                *connection,
                In::Answer {
                    hello: *hello,
                    mesh,
                    welcome,
                },
            ));
        }
    }

    fn ignore(&mut self, id: u64) {
        if let Some(knock) = self.knocks.remove(&id) {
            self.out
                .push_back(notify(knock.peer, knock.connection, In::Ignore { hello: knock.hello }));
        }
    }

    fn answered(&mut self, connection: ConnectionId, hello: u64, outcome: Outcome) {
        let is_it = |knock: &Knock| knock.connection == connection && knock.hello == hello;
        if let Some((id, peer)) = self
            .knocks
            .iter()
            .find(|(_, knock)| is_it(knock))
            .map(|(id, knock)| (*id, knock.peer))
        {
            self.knocks.remove(&id);
            if outcome == Outcome::WrongPassword {
                // Its pass was for the password it knew; past the budget it could guess a new one.
                self.known.remove(&peer);
            }
            let admitted = outcome == Outcome::Admitted;
            self.doorman_hears(DoormanInput::Ended { id, admitted }, Instant::now());
            self.out.push_back(ToSwarm::GenerateEvent(Event::Answered { outcome }));
        }
    }

    // ---- membership ----------------------------------------------------------------------------------------------

    fn admitted(&mut self, slot: Slot, peer: PeerId, connection: ConnectionId, generation: u32, admitted: Admitted) {
        self.remember(peer);
        let id = (connection, generation);
        let Some(relayed) = self.connections.get(&connection).map(Connection::is_relayed) else {
            return;
        };
        let Some(mesh) = self.meshes.get_mut(&slot) else { return };
        if mesh
            .peers
            .get(&peer)
            .is_some_and(|known| known.session != admitted.peer_session)
        {
            // The peer joined anew, perhaps after a crash: what it held before is stale.
            self.replace(slot, peer, &admitted.peer_session);
        }
        let Some(mesh) = self.meshes.get_mut(&slot) else { return };
        let chooser = self.me < peer;
        let admissions = mesh
            .peers
            .entry(peer)
            .or_insert_with(|| Admissions::new(admitted.peer_session, chooser));
        let choice = admissions.add(Candidate {
            id,
            relayed,
            peer_ready: false,
            welcome: admitted.welcome,
        });
        self.follow(slot, peer, choice);
    }

    fn replace(&mut self, slot: Slot, peer: PeerId, session: &[u8; 16]) {
        let farewell = control::Farewell {
            sample: Vec::new(),
            replaced: session.to_vec(),
        };
        let farewell = maille_proto::encode_control(control::Message::Farewell(farewell));
        let Some(admissions) = self.meshes.get_mut(&slot).and_then(|mesh| mesh.peers.remove(&peer)) else {
            return;
        };
        for (connection, generation) in admissions.ids() {
            self.out.push_back(notify(
                peer,
                connection,
                In::End(slot, generation, Some(farewell.clone())),
            ));
        }
        if let Some(shown) = admissions.shown() {
            self.hide(slot, peer, shown, None, admissions.open);
        }
    }

    fn follow(&mut self, slot: Slot, peer: PeerId, choice: Choice) {
        match choice {
            Choice::Keep => {}
            Choice::Show(id) => self.show(slot, peer, id),
            Choice::Switch { from, to } => {
                self.out.push_back(notify(peer, from.0, In::End(slot, from.1, None)));
                self.forget(slot, peer, from, None);
                self.show(slot, peer, to);
            }
        }
    }

    /// Builds the inner handler of an admitted connection, late, and tells the inner behaviour.
    fn show(&mut self, slot: Slot, peer: PeerId, (id, generation): AdmissionId) {
        let (Some(connection), Some(mesh)) = (self.connections.get(&id), self.meshes.get_mut(&slot)) else {
            return;
        };
        let Some(admissions) = mesh.peers.get_mut(&peer) else {
            return;
        };
        let handler = match &connection.endpoint {
            ConnectedPoint::Dialer {
                address,
                role_override,
                port_use,
            } => mesh
                .inner
                .handle_established_outbound_connection(id, peer, address, *role_override, *port_use),
            ConnectedPoint::Listener {
                local_addr,
                send_back_addr,
            } => mesh
                .inner
                .handle_established_inbound_connection(id, peer, local_addr, send_back_addr),
        };
        let Ok(handler) = handler else {
            return self.out.push_back(notify(peer, id, In::End(slot, generation, None)));
        };
        admissions.show((id, generation));
        // Goes out before anything the inner behaviour says about this connection.
        self.out
            .push_back(notify(peer, id, In::Install(slot, generation, handler)));
        mesh.inner
            .on_swarm_event(FromSwarm::ConnectionEstablished(ConnectionEstablished {
                peer_id: peer,
                connection_id: id,
                endpoint: &connection.endpoint,
                failed_addresses: &[],
                other_established: 0,
            }));
    }

    fn opened(&mut self, slot: Slot, peer: PeerId, id: AdmissionId) {
        let Some(admissions) = self.meshes.get_mut(&slot).and_then(|mesh| mesh.peers.get_mut(&peer)) else {
            return;
        };
        if admissions.shown() != Some(id) {
            return;
        }
        admissions.open = true;
        let welcome = admissions.take_welcome();
        let Some(connection) = self.connections.get(&id.0) else {
            return;
        };
        let multiaddr = connection.endpoint.get_remote_address().clone();
        let event = Event::Admitted {
            slot,
            peer,
            multiaddr,
            connection: id.0,
            welcome,
        };
        self.out.push_back(ToSwarm::GenerateEvent(event));
    }

    /// An admission is over; a reserve may take its place.
    fn ended(&mut self, slot: Slot, peer: PeerId, id: AdmissionId, cause: Option<&ConnectionError>) {
        self.forget(slot, peer, id, cause);
        let Some(mesh) = self.meshes.get_mut(&slot) else { return };
        let Some(admissions) = mesh.peers.get(&peer) else {
            return;
        };
        let choice = admissions.choose();
        if admissions.is_empty() {
            mesh.peers.remove(&peer);
        }
        self.follow(slot, peer, choice);
    }

    fn forget(&mut self, slot: Slot, peer: PeerId, id: AdmissionId, cause: Option<&ConnectionError>) {
        let Some(admissions) = self.meshes.get_mut(&slot).and_then(|mesh| mesh.peers.get_mut(&peer)) else {
            return;
        };
        let was_open = admissions.open;
        if admissions.remove(id) {
            self.hide(slot, peer, id, cause, was_open);
        }
    }

    /// The inner behaviour hears of a close exactly when it heard of the connection: it counts on that.
    fn hide(&mut self, slot: Slot, peer: PeerId, id: AdmissionId, cause: Option<&ConnectionError>, was_open: bool) {
        let (Some(connection), Some(mesh)) = (self.connections.get(&id.0), self.meshes.get_mut(&slot)) else {
            return;
        };
        mesh.inner.on_swarm_event(FromSwarm::ConnectionClosed(ConnectionClosed {
            peer_id: peer,
            connection_id: id.0,
            endpoint: &connection.endpoint,
            cause,
            remaining_established: 0,
        }));
        if was_open {
            self.out.push_back(ToSwarm::GenerateEvent(Event::Left { slot, peer }));
        }
    }

    fn connection_closed(&mut self, event: ConnectionClosed<'_>) {
        let (peer, id) = (event.peer_id, event.connection_id);
        for slot in self.meshes.keys().copied().collect::<Vec<_>>() {
            let Some(admissions) = self.meshes.get(&slot).and_then(|mesh| mesh.peers.get(&peer)) else {
                continue;
            };
            let ended: Vec<AdmissionId> = admissions.ids().filter(|(connection, _)| *connection == id).collect();
            for admission in ended {
                self.ended(slot, peer, admission, event.cause);
            }
        }
        self.connections.remove(&id);
        self.farewells.remove(&id);
        let lost: Vec<u64> = self
            .knocks
            .iter()
            .filter(|(_, k)| k.connection == id)
            .map(|(knock, _)| *knock)
            .collect();
        for knock in lost {
            self.knocks.remove(&knock);
            self.doorman_hears(
                DoormanInput::Ended {
                    id: knock,
                    admitted: false,
                },
                Instant::now(),
            );
        }
    }

    fn address_changed(&mut self, change: AddressChange<'_>) {
        let Some(connection) = self.connections.get_mut(&change.connection_id) else {
            return;
        };
        connection.endpoint = change.new.clone();
        for mesh in self.meshes.values_mut() {
            let shown = mesh.peers.get(&change.peer_id).and_then(Admissions::shown);
            if shown.is_some_and(|(id, _)| id == change.connection_id) {
                mesh.inner.on_swarm_event(FromSwarm::AddressChange(change));
            }
        }
    }
}

fn notify<E, I>(peer_id: PeerId, connection: ConnectionId, event: I) -> ToSwarm<E, I> {
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
        Ok(GateHandler::new(self.me, peer))
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(GateHandler::new(self.me, peer))
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
            Out::Answered { hello, outcome } => self.answered(id, hello, outcome),
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
                if self.meshes.contains_key(&slot) {
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
