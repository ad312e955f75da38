//! The swarm task: the whole runtime on one screen. It routes; what to do is decided in `core/`.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use libp2p::identity::Keypair;
use libp2p::kad::QueryId;
use libp2p::swarm::ConnectionId;
use libp2p::{Multiaddr, PeerId, Swarm};
use tokio::sync::{Notify, broadcast, mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::Slot;
use super::behaviour::Behaviour;
use super::blobs::BlobDone;
use super::commands::Incarnation;
use super::event::NodeEvent;
use super::link::Command;
use super::mesh::MeshState;
use super::on_kad::LookUp;
use super::on_swarm::Connected;
use super::outgoing::Queues;
use super::requests::Room;
use super::sources::Sources;
use crate::core::catchup::wire::TopicHeld;
use crate::core::catchup::{Answer, InboundId, RequestId};
use crate::core::kad_mode::KadModeRule;
use crate::core::neighbours::MemberRecord;
use crate::core::strangers::Strangers;
use crate::core::stream::Tail;
use crate::metrics::Counters;
use crate::store::{BlobLimits, Budget, DataDir, Outcome, RunFile, StoreError};
use crate::types::{MeshName, TopicName};

/// How often handles that were dropped are looked for, and watchers told.
pub(super) const SWEEP_INTERVAL: Duration = Duration::from_millis(250);

/// How often the provider store forgets.
const EXPIRE_INTERVAL: Duration = Duration::from_secs(60);

/// Everything a node is, behind its handles.
pub(super) struct Task {
    pub(super) swarm: Swarm<Behaviour>,
    pub(super) key: Keypair,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) events: broadcast::Sender<NodeEvent>,
    pub(super) counters: Arc<Counters>,
    pub(super) meshes: BTreeMap<Slot, MeshState>,
    pub(super) queues: Queues,
    /// Work that blocks, away from the loop.
    pub(super) jobs: JoinSet<Done>,
    pub(super) sources: Sources,
    /// Meshes that wait for a dial, by peer.
    pub(super) dialling: HashMap<PeerId, HashSet<Slot>>,
    pub(super) lookups: HashMap<QueryId, LookUp>,
    pub(super) connections: HashMap<ConnectionId, Connected>,
    pub(super) next_connection: u64,
    pub(super) strangers: Strangers,
    /// No more commands are taken.
    pub(super) stopping: bool,
    pub(super) announce: Vec<Multiaddr>,
    pub(super) multiaddrs: watch::Sender<Vec<Multiaddr>>,
    pub(super) data_dir: Option<DataDir>,
    /// The last incarnation of each topic this node published on; with a data directory the truth is there.
    pub(super) incarnations: HashMap<(MeshName, TopicName), Incarnation>,
    pub(super) run_file: Option<RunFile>,
    pub(super) kad_mode: KadModeRule,
    pub(super) heartbeat: Duration,
    pub(super) blob_limits: BlobLimits,
    /// The number of the last list of topics.
    pub(super) listings: u64,
    /// What the history of all meshes may take of this process's memory.
    pub(super) memory: Budget,
    /// What became of frames that were to be stored.
    pub(super) stored: mpsc::Receiver<(Slot, Outcome)>,
    pub(super) tell_stored: mpsc::Sender<(Slot, Outcome)>,
    /// Requests of members under way.
    pub(super) serving: Room,
    /// A subscriber that was full has room again.
    pub(super) room: Arc<Notify>,
    pub(super) announce_at: Option<Instant>,
    pub(super) announced_at: Option<Instant>,
    /// Peers in Kademlia's table then.
    pub(super) announced_to: u32,
    pub(super) sweep_at: Instant,
    pub(super) expire_at: Instant,
}

/// Work that was done away from the loop.
pub(super) enum Done {
    /// An incarnation was stored.
    Incarnation {
        slot: Slot,
        topic: TopicName,
        open: super::commands::OpenPublisher,
        stored: std::io::Result<u64>,
        /// Where the run before it ended, as far as the log knows.
        before: Option<Tail>,
    },
    /// A mesh's durable log was opened, or could not be.
    LogOpened { slot: Slot, opened: Result<(), StoreError> },
    /// The peer cache of a mesh was read.
    Cached { slot: Slot, records: Vec<MemberRecord> },
    /// The run files of other nodes were read.
    RunFiles(Vec<(PeerId, Vec<Multiaddr>)>),
    /// An answer about the past was read, or could not be.
    Answered {
        slot: Slot,
        topic: TopicName,
        request: RequestId,
        from: PeerId,
        answer: Option<Answer>,
    },
    /// An answer about the past was written for a member.
    Served {
        slot: Slot,
        id: InboundId,
        bytes: Option<Vec<u8>>,
    },
    /// This node's own topics, for a list.
    Listed { slot: Slot, id: u64, held: Vec<TopicHeld> },
    /// The topics that a keeper kept before.
    Kept { slot: Slot, kept: Vec<TopicHeld> },
    /// Somebody's publishers of one topic, for a list.
    ListedPublishers {
        slot: Slot,
        id: u64,
        topic: TopicName,
        answer: Option<Answer>,
    },
    /// Work on blobs.
    Blobs { slot: Slot, done: BlobDone },
    /// Something was written that nobody waits for.
    Written,
}

/// What a turn of the loop ended with.
pub(super) enum Turn {
    Continue,
    /// Shut down, and say so.
    Stop(Option<oneshot::Sender<()>>),
}

impl Task {
    /// Runs until the last handle is dropped or a shutdown is asked for.
    pub(super) async fn run(mut self) {
        loop {
            if let Turn::Stop(reply) = self.turn().await {
                return self.stop(reply).await;
            }
        }
    }

    pub(super) async fn turn(&mut self) -> Turn {
        let deadline = self.next_deadline();
        tokio::select! {
            command = self.commands.recv(), if !self.stopping => match command {
                Some(Command::Shutdown { reply }) => return Turn::Stop(Some(reply)),
                Some(command) => self.on_command(command),
                None => return Turn::Stop(None),
            },
            event = self.swarm.select_next_some() => self.on_swarm_event(event),
            (slot, topic, records) = self.queues.next() => self.on_outgoing(slot, &topic, records),
            Some(done) = self.jobs.join_next() => self.on_done(done),
            Some((slot, outcome)) = self.stored.recv() => self.on_stored(slot, &outcome),
            () = self.room.notified() => self.on_room(),
            () = tokio::time::sleep_until(deadline.into()) => self.on_deadline(),
        }
        self.send_acks();
        Turn::Continue
    }

    fn next_deadline(&self) -> Instant {
        let meshes = self.meshes.values().filter_map(MeshState::next_deadline).min();
        let others = [meshes, self.announce_at, self.sources.next_deadline()];
        let gate = self.swarm.behaviour().gate.next_deadline();
        others
            .into_iter()
            .chain([gate])
            .flatten()
            .fold(self.sweep_at, Instant::min)
    }

    fn on_deadline(&mut self) {
        let now = Instant::now();
        self.swarm.behaviour_mut().gate.on_deadline(now);
        self.on_sources_deadline(now);
        self.on_mesh_deadlines(now);
        if self.announce_at.is_some_and(|at| at <= now) {
            self.announce_meshes(now);
        }
        if self.sweep_at <= now {
            self.sweep_at = now + SWEEP_INTERVAL;
            self.sweep();
        }
        if self.expire_at <= now {
            self.expire_at = now + EXPIRE_INTERVAL;
            self.expire_providers(now);
            self.meshes.values_mut().for_each(|mesh| mesh.history.trim());
        }
    }

    fn on_done(&mut self, done: Result<Done, tokio::task::JoinError>) {
        match done {
            Ok(Done::Incarnation {
                slot,
                topic,
                open,
                stored,
                before,
            }) => self.publisher_stored(slot, topic, open, stored, before),
            Ok(Done::LogOpened { slot, opened }) => self.log_opened(slot, opened),
            Ok(Done::Cached { slot, records }) => self.on_cached(slot, records),
            Ok(Done::Answered {
                slot,
                topic,
                request,
                from,
                answer,
            }) => self.on_answer(slot, &topic, request, from, answer),
            Ok(Done::Listed { slot, id, held }) => self.listed(slot, id, None, held),
            Ok(Done::Kept { slot, kept }) => kept.iter().for_each(|held| self.topic_exists(slot, &held.name)),
            Ok(Done::ListedPublishers {
                slot,
                id,
                topic,
                answer,
            }) => self.listed_publishers(slot, id, &topic, answer.as_ref()),
            Ok(Done::Served { slot, id, bytes }) => self.on_served(slot, id, bytes),
            Ok(Done::RunFiles(others)) => self.on_run_files(others),
            Ok(Done::Blobs { slot, done }) => self.on_blobs_done(slot, done),
            Ok(Done::Written) => {}
            Err(error) => tracing::error!(%error, "a job of the node ended badly; what it was for will be tried again"),
        }
    }
}
