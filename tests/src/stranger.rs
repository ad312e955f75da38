//! A peer that is not ours: plain libp2p with gossipsub, identify, and streams opened by hand. It shares no code with the
//! library but, where a test wants it, the handshake's own machines.

mod raw;
mod wire;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use libp2p::gossipsub::{
    self, Behaviour as Gossip, ConfigBuilder, IdentTopic, Message, MessageAuthenticity, MessageId, ValidationMode,
    Version,
};
use libp2p::identity::Keypair;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, PeerId, StreamProtocol, Swarm, SwarmBuilder, identify, noise, tcp, yamux};
use maille::core::stream::message_id;
use tokio::sync::{mpsc, oneshot};

pub use raw::{Incoming, NoStream};
pub use wire::{End, Heard, Wire};

use crate::nodes::{Over, SOON, until, whether};
use raw::{Accepted, Opened, Raw};

/// What admission is spoken under.
pub const ADMISSION: StreamProtocol = StreamProtocol::new("/maille/admission/1");
/// What every protocol of a mesh begins with.
pub const MESH_PREFIX: &str = "/maille/m/";

const COMMANDS_MAX: usize = 64;
const INCOMING_MAX: usize = 64;
/// Longer than any test: what ends a connection is the other side.
const IDLE_TIMEOUT: Duration = Duration::from_secs(3_600);
const HEARTBEAT: Duration = Duration::from_millis(100);

/// What a stranger's gossipsub is.
#[derive(Clone, Debug)]
pub enum Speaks {
    /// None.
    NoGossip,
    /// gossipsub as everybody's, with these topics.
    Plain(Vec<String>),
    /// gossipsub under this protocol id, with these topics.
    Under(String, Vec<String>),
}

/// What a stranger has met with.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Protocol ids that peers told it in identify, ever.
    pub protocols: HashMap<PeerId, BTreeSet<String>>,
    /// Connections: dialled, and accepted.
    pub connections: HashMap<PeerId, (usize, usize)>,
    /// Messages its gossipsub received.
    pub messages: u64,
    /// Subscriptions of others that its gossipsub heard of.
    pub subscriptions: u64,
    /// Messages its gossipsub handed to at least one peer.
    pub accepted_by_some: u64,
}

impl Seen {
    /// Whether it is connected to a peer, by whichever side.
    #[must_use]
    pub fn is_connected(&self, peer: &PeerId) -> bool {
        self.connections.get(peer).is_some_and(|(out, in_)| out + in_ > 0)
    }
}

enum Command {
    Dial(Multiaddr),
    Open(PeerId, StreamProtocol, oneshot::Sender<Opened>),
    Publish(String, Vec<u8>, oneshot::Sender<bool>),
}

/// The peer. It runs until the handle is dropped.
#[derive(Debug)]
pub struct Stranger {
    /// Who it is.
    pub id: PeerId,
    /// Where it listens, with `/p2p`.
    pub multiaddr: Multiaddr,
    commands: mpsc::Sender<Command>,
    seen: Arc<Mutex<Seen>>,
    accepted: Accepted,
    incoming: tokio::sync::Mutex<mpsc::Receiver<Incoming>>,
}

#[derive(NetworkBehaviour)]
struct Behaviour {
    identify: identify::Behaviour,
    gossip: Toggle<Gossip>,
    raw: Raw,
}

impl Stranger {
    /// Starts one that listens.
    pub async fn start(over: Over, speaks: Speaks) -> Self {
        Self::start_as(Keypair::generate_ed25519(), over, speaks).await
    }

    /// Starts one with this identity.
    ///
    /// # Panics
    /// Over memory: it is a peer of its own, on sockets.
    pub async fn start_as(key: Keypair, over: Over, speaks: Speaks) -> Self {
        assert_ne!(over, Over::Memory, "strangers are tested on sockets");
        let id = key.public().to_peer_id();
        let accepted = Accepted::default();
        let mut swarm = swarm(key, speaks, accepted.clone());
        swarm.listen_on(over.listen()).unwrap();
        let address = loop {
            if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
                break address;
            }
        };
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (commands, asked) = mpsc::channel(COMMANDS_MAX);
        let (arrivals, incoming) = mpsc::channel(INCOMING_MAX);
        tokio::spawn(run(swarm, asked, arrivals, seen.clone()));
        Self {
            id,
            multiaddr: address.with_p2p(id).unwrap(),
            commands,
            seen,
            accepted,
            incoming: tokio::sync::Mutex::new(incoming),
        }
    }

    /// What it has met with so far.
    #[must_use]
    pub fn seen(&self) -> Seen {
        self.seen.lock().unwrap().clone()
    }

    /// Dials one more connection, also where one stands, and waits until it is there.
    pub async fn dial(&self, multiaddr: &Multiaddr) -> PeerId {
        let Some(libp2p::multiaddr::Protocol::P2p(peer)) = multiaddr.iter().last() else {
            panic!("{multiaddr} names no peer");
        };
        let dialled = || self.seen().connections.get(&peer).map_or(0, |(dialled, _)| *dialled);
        let before = dialled();
        self.command(Command::Dial(multiaddr.clone())).await;
        until("a stranger's dial", SOON, || whether(dialled() > before, || multiaddr)).await;
        peer
    }

    /// Asks for a stream.
    ///
    /// # Errors
    /// When the peer does not speak the protocol, or is gone.
    pub async fn open(&self, peer: PeerId, protocol: StreamProtocol) -> Result<Wire, NoStream> {
        let (reply, opened) = oneshot::channel();
        self.command(Command::Open(peer, protocol, reply)).await;
        opened.await.unwrap_or(Err(NoStream::Broken)).map(Wire::new)
    }

    /// Accepts streams under this protocol id from now on.
    pub fn accept(&self, protocol: StreamProtocol) {
        self.accepted.lock().unwrap().push(protocol);
    }

    /// The next stream that a peer opened.
    pub async fn incoming(&self) -> Incoming {
        self.incoming.lock().await.recv().await.unwrap()
    }

    /// Publishes with gossipsub. True if some peer took it.
    pub async fn publish(&self, topic: &str, data: Vec<u8>) -> bool {
        let (reply, published) = oneshot::channel();
        self.command(Command::Publish(topic.to_owned(), data, reply)).await;
        published.await.unwrap_or(false)
    }

    async fn command(&self, command: Command) {
        assert!(self.commands.send(command).await.is_ok(), "the stranger's task is gone");
    }
}

fn swarm(key: Keypair, speaks: Speaks, accepted: Accepted) -> Swarm<Behaviour> {
    SwarmBuilder::with_existing_identity(key)
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_quic()
        .with_behaviour(|key| Behaviour {
            identify: identify::Behaviour::new(identify::Config::new("/stranger/1".to_owned(), key.public())),
            gossip: gossip(speaks).into(),
            raw: Raw::new(accepted),
        })
        .unwrap()
        .with_swarm_config(|config| config.with_idle_connection_timeout(IDLE_TIMEOUT))
        .build()
}

/// A gossipsub that takes everything from everybody.
fn gossip(speaks: Speaks) -> Option<Gossip> {
    let mut config = ConfigBuilder::default();
    config
        .validation_mode(ValidationMode::None)
        .message_id_fn(|message: &Message| MessageId::from(message_id(&message.data).to_vec()))
        .heartbeat_interval(HEARTBEAT)
        .heartbeat_initial_delay(HEARTBEAT)
        .flood_publish(true);
    let topics = match speaks {
        Speaks::NoGossip => return None,
        Speaks::Plain(topics) => topics,
        Speaks::Under(protocol, topics) => {
            config.protocol_id(protocol, Version::V1_1);
            topics
        }
    };
    let mut gossip = Gossip::new(MessageAuthenticity::Anonymous, config.build().unwrap()).unwrap();
    for topic in topics {
        gossip.subscribe(&IdentTopic::new(topic)).unwrap();
    }
    Some(gossip)
}

async fn run(
    mut swarm: Swarm<Behaviour>,
    mut commands: mpsc::Receiver<Command>,
    incoming: mpsc::Sender<Incoming>,
    seen: Arc<Mutex<Seen>>,
) {
    loop {
        tokio::select! {
            command = commands.recv() => match command {
                Some(command) => obey(&mut swarm, command, &seen),
                None => return,
            },
            event = swarm.select_next_some() => notice(event, &incoming, &mut seen.lock().unwrap()),
        }
    }
}

fn obey(swarm: &mut Swarm<Behaviour>, command: Command, seen: &Mutex<Seen>) {
    match command {
        Command::Dial(multiaddr) => {
            let peer = multiaddr.iter().find_map(|part| match part {
                libp2p::multiaddr::Protocol::P2p(peer) => Some(peer),
                _ => None,
            });
            let dial = DialOpts::peer_id(peer.unwrap()).condition(PeerCondition::Always);
            swarm.dial(dial.addresses(vec![multiaddr]).build()).unwrap();
        }
        Command::Open(peer, protocol, reply) => swarm.behaviour_mut().raw.open(peer, protocol, reply),
        Command::Publish(topic, data, reply) => {
            let gossip = swarm
                .behaviour_mut()
                .gossip
                .as_mut()
                .expect("a stranger with gossipsub");
            let taken = gossip.publish(IdentTopic::new(topic), data).is_ok();
            seen.lock().unwrap().accepted_by_some += u64::from(taken);
            let _ = reply.send(taken);
        }
    }
}

fn notice(event: SwarmEvent<BehaviourEvent>, incoming: &mpsc::Sender<Incoming>, seen: &mut Seen) {
    match event {
        SwarmEvent::ConnectionEstablished { peer_id, endpoint, .. } => {
            let counts = seen.connections.entry(peer_id).or_default();
            match endpoint.is_dialer() {
                true => counts.0 += 1,
                false => counts.1 += 1,
            }
        }
        SwarmEvent::ConnectionClosed { peer_id, endpoint, .. } => {
            let counts = seen.connections.entry(peer_id).or_default();
            match endpoint.is_dialer() {
                true => counts.0 -= 1,
                false => counts.1 -= 1,
            }
        }
        SwarmEvent::Behaviour(BehaviourEvent::Identify(identify::Event::Received { peer_id, info, .. })) => {
            let protocols = info.protocols.iter().map(ToString::to_string);
            seen.protocols.entry(peer_id).or_default().extend(protocols);
        }
        SwarmEvent::Behaviour(BehaviourEvent::Gossip(gossipsub::Event::Message { .. })) => seen.messages += 1,
        SwarmEvent::Behaviour(BehaviourEvent::Gossip(gossipsub::Event::Subscribed { .. })) => seen.subscriptions += 1,
        // A test that does not take them does not want them.
        SwarmEvent::Behaviour(BehaviourEvent::Raw(stream)) => drop(incoming.try_send(stream)),
        _ => {}
    }
}
