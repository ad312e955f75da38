//! Starting a node: the swarm is built, its listeners stand, then the task runs.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{FutureExt, StreamExt};
use libp2p::core::transport::{ListenerId, TransportError};
use libp2p::identity::Keypair;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, Swarm, swarm};
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::JoinSet;

use super::behaviour::Behaviour;
use super::durable::STORED_MAX;
use super::error::SpawnError;
use super::link::{COMMANDS_MAX, EVENTS_MAX, NodeLink};
use super::outgoing::Queues;
use super::requests::{self, Room};
use super::sources::Sources;
use super::task::{SWEEP_INTERVAL, Task};
use super::transport;
use crate::core::kad_mode::KadModeRule;
use crate::core::strangers::{HELPER_STRANGERS_MAX, MEMBER_STRANGERS_MAX, Strangers};
use crate::metrics::Counters;
use crate::store::{BlobLimits, Budget, DataDir, NODE_BYTES_MAX};
use crate::types::{BootstrapPeer, MeshName, PeerMultiaddr};

/// How long listeners may take to say where they listen.
const LISTEN_TIMEOUT: Duration = Duration::from_secs(5);
/// A stranger's connection on which nothing happens goes after this.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// What gossipsub and Kademlia may have on the way to one connection before the swarm waits for it.
const HANDLER_EVENTS_MAX: NonZeroUsize = NonZeroUsize::new(256).expect("not zero");

/// What a node is to be.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) key: Keypair,
    pub(crate) data_dir: Option<DataDir>,
    /// Nothing: any port of TCP and QUIC, on all interfaces.
    pub(crate) listen: Option<Vec<Multiaddr>>,
    pub(crate) announce: Vec<Multiaddr>,
    pub(crate) bootstrap: Vec<PeerMultiaddr>,
    pub(crate) tickets: Vec<(MeshName, BootstrapPeer)>,
    pub(crate) mdns: bool,
    pub(crate) run_file: bool,
    pub(crate) helper: bool,
    pub(crate) heartbeat: Duration,
    pub(crate) blob_limits: BlobLimits,
    #[cfg(feature = "test-util")]
    pub(crate) cable: Option<super::CableEnd>,
    #[cfg(feature = "test-util")]
    pub(crate) wire: Option<super::Wire>,
}

/// Starts a node; returns when every listener stands.
pub(crate) async fn start(setup: Setup) -> Result<Arc<NodeLink>, SpawnError> {
    if setup.key.clone().try_into_ed25519().is_err() {
        return Err(SpawnError::NotEd25519);
    }
    let me = setup.key.public().to_peer_id();
    let counters = Arc::new(Counters::default());
    let refused = |error: Box<dyn std::error::Error + Send + Sync>| SpawnError::Transport(error);
    let transport = transport::build(&setup, &counters).map_err(|error| refused(error.into()))?;
    let behaviour = Behaviour::new(&setup.key, setup.mdns).map_err(|error| refused(error.into()))?;
    let config = swarm::Config::with_tokio_executor()
        .with_idle_connection_timeout(IDLE_TIMEOUT)
        .with_notify_handler_buffer_size(HANDLER_EVENTS_MAX);
    let mut swarm = Swarm::new(transport, behaviour, me, config);

    let early = listen(&mut swarm, setup.listen, setup.data_dir.as_ref()).await?;
    let (commands, commands_taken) = mpsc::channel(COMMANDS_MAX);
    let (events, _) = broadcast::channel(EVENTS_MAX);
    let (multiaddrs, multiaddrs_seen) = watch::channel(Vec::new());
    let (tell_stored, stored) = mpsc::channel(STORED_MAX);
    let link = Arc::new(NodeLink {
        id: me,
        commands,
        multiaddrs: multiaddrs_seen,
        events: events.clone(),
        counters: counters.clone(),
        calling: Room::new(requests::CALLING),
    });
    let now = Instant::now();
    let strangers_max = if setup.helper {
        HELPER_STRANGERS_MAX
    } else {
        MEMBER_STRANGERS_MAX
    };
    let mut task = Task {
        swarm,
        key: setup.key,
        commands: commands_taken,
        events,
        counters,
        meshes: BTreeMap::new(),
        queues: Queues::default(),
        jobs: JoinSet::new(),
        sources: Sources::new(setup.bootstrap, setup.tickets, setup.run_file, now),
        dialling: HashMap::new(),
        lookups: HashMap::new(),
        connections: HashMap::new(),
        next_connection: 0,
        strangers: Strangers::new(strangers_max),
        stopping: false,
        kad_mode: KadModeRule::new(setup.helper),
        announce: setup.announce,
        blob_limits: setup.blob_limits,
        multiaddrs,
        data_dir: setup.data_dir,
        incarnations: HashMap::new(),
        run_file: None,
        heartbeat: setup.heartbeat,
        memory: Budget::new(NODE_BYTES_MAX),
        listings: 0,
        stored,
        tell_stored,
        serving: Room::new(requests::SERVING),
        room: Arc::default(),
        announce_at: None,
        announced_at: None,
        announced_to: 0,
        sweep_at: now + SWEEP_INTERVAL,
        expire_at: now,
    };
    for event in early {
        task.on_swarm_event(event);
    }
    task.multiaddrs_changed();
    tokio::spawn(task.run());
    Ok(link)
}

type Early = Vec<SwarmEvent<super::behaviour::BehaviourEvent>>;

/// Listens, and waits until every listener says where; returns what else happened meanwhile.
async fn listen(
    swarm: &mut Swarm<Behaviour>,
    asked: Option<Vec<Multiaddr>>,
    data_dir: Option<&DataDir>,
) -> Result<Early, SpawnError> {
    let saved = data_dir.map(DataDir::ports).unwrap_or_default();
    let explicit = asked.is_some();
    let mut waiting: Vec<(ListenerId, Multiaddr)> = Vec::new();
    let mut refused = None;
    for multiaddr in asked.unwrap_or_else(any_port) {
        // A port that the system chose is asked for again, so that others find a restarted node where it was.
        let before = saved.iter().find(|saved| is_same_but_port(saved, &multiaddr)).cloned();
        let listener = match before.map(|before| listen_alone(swarm, before)) {
            Some(Ok(listener)) => Ok(listener),
            _ => listen_alone(swarm, multiaddr.clone()),
        };
        match listener {
            Ok(listener) => waiting.push((listener, multiaddr)),
            Err(error) => {
                let source = io_error(error);
                refused = Some(SpawnError::Listen { multiaddr, source });
                if explicit {
                    break;
                }
            }
        }
    }
    // Of the defaults it is enough that one works: not every machine has IPv6.
    if let Some(refused) = refused.filter(|_| explicit || waiting.is_empty()) {
        return Err(refused);
    }
    let mut early = Vec::new();
    let heard = tokio::time::timeout(LISTEN_TIMEOUT, hear(swarm, &mut waiting, &mut early));
    match heard.await {
        Ok(heard) => heard?,
        Err(_) if explicit => {
            let multiaddr = waiting.swap_remove(0).1;
            let source = std::io::Error::new(std::io::ErrorKind::TimedOut, "the listener does not come up");
            return Err(SpawnError::Listen { multiaddr, source });
        }
        Err(_) => {}
    }
    // An unspecified address stands for one of every interface; they come together.
    while let Some(event) = swarm.next().now_or_never().flatten() {
        early.push(event);
    }
    if let Some(data_dir) = data_dir {
        let ports: Vec<Multiaddr> = swarm.listeners().cloned().collect();
        if let Err(error) = data_dir.save_ports(&ports) {
            tracing::warn!(%error, "the ports cannot be saved; after a restart others may not find this node at once");
        }
    }
    Ok(early)
}

/// Listens where nobody else does. libp2p's TCP sockets share ports (`SO_REUSEPORT`): without asking first, two nodes of
/// one user could listen on the same one, and the system would give each a part of the other's connections.
fn listen_alone(
    swarm: &mut Swarm<Behaviour>,
    multiaddr: Multiaddr,
) -> Result<ListenerId, TransportError<std::io::Error>> {
    if let Some(socket) = tcp_socket(&multiaddr) {
        drop(std::net::TcpListener::bind(socket).map_err(TransportError::Other)?);
    }
    swarm.listen_on(multiaddr)
}

/// The socket address of a TCP multiaddr with a port of its own choice. All of IPv6 is asked for by its loopback address: a
/// plain socket there would claim IPv4's port too.
fn tcp_socket(multiaddr: &Multiaddr) -> Option<SocketAddr> {
    let mut protocols = multiaddr.iter();
    let ip: IpAddr = match protocols.next()? {
        Protocol::Ip4(ip) => ip.into(),
        Protocol::Ip6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        Protocol::Ip6(ip) => ip.into(),
        _ => return None,
    };
    match protocols.next()? {
        Protocol::Tcp(port) if port != 0 => Some(SocketAddr::new(ip, port)),
        _ => None,
    }
}

async fn hear(
    swarm: &mut Swarm<Behaviour>,
    waiting: &mut Vec<(ListenerId, Multiaddr)>,
    early: &mut Early,
) -> Result<(), SpawnError> {
    while !waiting.is_empty() {
        let event = swarm.select_next_some().await;
        match &event {
            SwarmEvent::NewListenAddr { listener_id, .. } => waiting.retain(|(id, _)| id != listener_id),
            SwarmEvent::ListenerClosed { listener_id, .. } => {
                if let Some(at) = waiting.iter().position(|(id, _)| id == listener_id) {
                    let multiaddr = waiting.swap_remove(at).1;
                    let source = std::io::Error::other("the listener closed");
                    return Err(SpawnError::Listen { multiaddr, source });
                }
            }
            _ => {}
        }
        early.push(event);
    }
    Ok(())
}

fn any_port() -> Vec<Multiaddr> {
    let multiaddrs = [
        "/ip4/0.0.0.0/tcp/0",
        "/ip4/0.0.0.0/udp/0/quic-v1",
        "/ip6/::/tcp/0",
        "/ip6/::/udp/0/quic-v1",
    ];
    multiaddrs
        .iter()
        .filter_map(|multiaddr| multiaddr.parse().ok())
        .collect()
}

/// Whether `asked` leaves the port to the system, and `saved` is what it could have become.
fn is_same_but_port(saved: &Multiaddr, asked: &Multiaddr) -> bool {
    let unspecified = |protocol: &Protocol<'_>| match protocol {
        Protocol::Ip4(ip) => ip.is_unspecified(),
        Protocol::Ip6(ip) => ip.is_unspecified(),
        _ => false,
    };
    let mut any_port = false;
    let same = saved.iter().count() == asked.iter().count()
        && saved
            .iter()
            .zip(asked.iter())
            .all(|(saved, asked)| match (&saved, &asked) {
                (Protocol::Tcp(_), Protocol::Tcp(0)) | (Protocol::Udp(_), Protocol::Udp(0)) => {
                    any_port = true;
                    true
                }
                _ => {
                    saved == asked
                        || unspecified(&asked) && std::mem::discriminant(&saved) == std::mem::discriminant(&asked)
                }
            });
    same && any_port
}

fn io_error(error: TransportError<std::io::Error>) -> std::io::Error {
    match error {
        TransportError::MultiaddrNotSupported(multiaddr) => std::io::Error::new(
            std::io::ErrorKind::Unsupported,
            format!("{multiaddr} is of no transport that this node has (TCP or QUIC)"),
        ),
        TransportError::Other(error) => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_saved_port_is_asked_for_only_where_the_port_was_left_open() {
        let same = |saved: &str, asked: &str| is_same_but_port(&saved.parse().unwrap(), &asked.parse().unwrap());
        assert!(same("/ip4/127.0.0.1/tcp/4001", "/ip4/127.0.0.1/tcp/0"));
        assert!(same("/ip4/127.0.0.1/udp/4001/quic-v1", "/ip4/127.0.0.1/udp/0/quic-v1"));
        assert!(!same("/ip4/127.0.0.1/tcp/4001", "/ip4/127.0.0.1/tcp/4001"));
        assert!(!same("/ip4/127.0.0.1/tcp/4001", "/ip4/127.0.0.2/tcp/0"));
        assert!(!same("/ip4/127.0.0.1/udp/4001/quic-v1", "/ip4/127.0.0.1/tcp/0"));
    }
}
