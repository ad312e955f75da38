//! How a session is opened: its stream, its subscription, its service and its attendant.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::FutureExt;
use libp2p::PeerId;
use rand::RngExt;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

use super::attendant::{Attendant, SnapshotReply};
use super::{EVENTS_MAX, LockstepLink};
use crate::core::lockstep::{Config, LOCKSTEP_PLAYERS_MAX, Machine, PENDING_MAX, Role, session};
use crate::net::link::{Command, MeshLink, NodeLink};
use crate::net::requests::{AddError, Handler, Verdict};
use crate::net::{Filter, OpenError, SubscribeError};
use crate::types::{Delivery, ServiceName, Start, TopicName};

/// Sessions have topics, and services, of their own below this one.
const PREFIX: &str = ".lockstep/";
/// Records say nothing new after so long.
const LIFETIME_MS: u32 = 10_000;
/// Who asks for a snapshot at the same time as others; more are busy.
const SNAPSHOTS_MAX: usize = 4;
/// Ticks are not shorter, nor longer.
const TICKS: std::ops::RangeInclusive<Duration> = Duration::from_millis(5)..=Duration::from_secs(1);

/// Why a lockstep session was not opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LockstepError {
    /// The name leaves no room for what is put before it.
    #[error("the name of a room may have 15 segments and 245 bytes; take a shorter one")]
    Name,
    /// Too many players, none, or one twice.
    #[error("a session has 1 to {players_max} players, each once; {players} were given")]
    Players {
        /// How many were given.
        players: usize,
        /// The limit.
        players_max: usize,
    },
    /// This node is none of the players.
    #[error("this node is none of the players; add it, or watch")]
    NotAPlayer,
    /// The length of a tick.
    #[error("a tick takes 5 ms to 1 s; choose another length")]
    Tick,
    /// The session is open on this node.
    #[error("this node is in this session already; drop that handle first")]
    AlreadyOpen,
    /// The node is on as many topics, or has as many services, as a node may.
    #[error("this node is on too many topics of this mesh, or has too many services; leave one first")]
    TooMany,
    /// The number of the stream could not be stored.
    #[error("the stream of this session cannot be opened: {0}")]
    Store(#[source] std::io::Error),
    /// The mesh was left, or the node shut down.
    #[error("the mesh was left")]
    Closed,
}

impl From<OpenError> for LockstepError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::TooManyTopics { .. } => Self::TooMany,
            OpenError::Store(error) => Self::Store(error),
            OpenError::Closed => Self::Closed,
        }
    }
}

impl From<SubscribeError> for LockstepError {
    fn from(error: SubscribeError) -> Self {
        match error {
            SubscribeError::TooManyTopics { .. } => Self::TooMany,
            SubscribeError::Closed => Self::Closed,
        }
    }
}

/// Opens a session.
pub(crate) async fn open_lockstep(
    node: &Arc<NodeLink>,
    mesh: &Arc<MeshLink>,
    room: &TopicName,
    mut players: Vec<PeerId>,
    tick: Duration,
    role: Role,
) -> Result<LockstepLink, LockstepError> {
    let given = players.len();
    players.sort_by_key(|player| player.to_bytes());
    players.dedup();
    if players.is_empty() || given > LOCKSTEP_PLAYERS_MAX || players.len() < given {
        return Err(LockstepError::Players {
            players: given,
            players_max: LOCKSTEP_PLAYERS_MAX,
        });
    }
    if role != Role::Watch && !players.contains(&node.id) {
        return Err(LockstepError::NotAPlayer);
    }
    if !TICKS.contains(&tick) {
        return Err(LockstepError::Tick);
    }
    let path = format!("{PREFIX}{room}");
    let topic: TopicName = path.parse().map_err(|_| LockstepError::Name)?;
    let name: ServiceName = path.parse().map_err(|_| LockstepError::Name)?;
    let (wanted, snapshots) = mpsc::channel(SNAPSHOTS_MAX);
    let service = mesh.services.clone().add(name.clone(), SNAPSHOTS_MAX, handler(wanted));
    let service = service.map_err(|error| match error {
        AddError::Taken => LockstepError::AlreadyOpen,
        AddError::TooMany { .. } => LockstepError::TooMany,
    })?;
    let slot = mesh.slot;
    let (reply, opened) = oneshot::channel();
    let command = Command::OpenPublisher {
        slot,
        topic: topic.clone(),
        content_type: "",
        lifetime_ms: LIFETIME_MS,
        reply,
    };
    node.commands.send(command).await.map_err(|_| LockstepError::Closed)?;
    let publisher = opened.await.map_err(|_| LockstepError::Closed)??;
    let (reply, subscribed) = oneshot::channel();
    let command = Command::Subscribe {
        slot,
        topic: topic.clone(),
        filter: Filter {
            publishers: Some(players.iter().copied().collect()),
            ..Filter::default()
        },
        start: Start::Now,
        delivery: Delivery::Immediate,
        reply,
    };
    node.commands.send(command).await.map_err(|_| LockstepError::Closed)?;
    let subscription = subscribed.await.map_err(|_| LockstepError::Closed)??;
    let config = Config {
        session: session(room, &players, tick),
        run: rand::rng().random_range(1..u64::MAX),
        players,
        me: node.id,
        role,
        tick,
    };
    let (inputs, inputs_taken) = mpsc::channel(PENDING_MAX);
    let (hashes, hashes_taken) = mpsc::channel(2 * EVENTS_MAX);
    let (tell, events) = mpsc::channel(EVENTS_MAX);
    let attendant = Attendant {
        node: node.clone(),
        mesh: mesh.clone(),
        topic,
        name,
        machine: Machine::new(config, Instant::now()),
        tick,
        publisher,
        subscription,
        inputs: inputs_taken,
        hashes: hashes_taken,
        snapshots,
        given_at: None,
        fetching: None,
        fetched: Bytes::new(),
        queue: std::collections::VecDeque::new(),
        tell,
        _service: service,
    };
    tokio::spawn(attendant.attend());
    Ok(LockstepLink { inputs, hashes, events })
}

/// Gives a snapshot once the application has.
fn handler(wanted: mpsc::Sender<SnapshotReply>) -> Handler {
    Arc::new(move |_, _| {
        let wanted = wanted.clone();
        async move {
            let none = || Verdict::Refused("there is no state to give here; ask another player".to_owned());
            let (reply, given) = oneshot::channel();
            wanted.try_send(reply).map_err(|_| none())?;
            given.await.map_err(|_| none())
        }
        .boxed()
    })
}
