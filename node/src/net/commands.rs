//! What handles ask for: meshes joined and left, topics published and subscribed; and handles that were dropped.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Instant;

use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use super::blobs::Blobs;
use super::error::{JoinError, OpenError, SubscribeError};
use super::event::MeshEvent;
use super::history::History;
use super::inlet::{Filter, Inlet, SubscriptionLink, new_inbox};
use super::inner::MeshBehaviour;
use super::link::{Command, EVENTS_MAX, MeshLink, OUTGOING_MAX, PublisherLink, PublisherState};
use super::mesh::{MeshState, TOPICS_MAX};
use super::presence::MeshPresence;
use super::requests::Requests;
use super::task::{Done, Task};
use super::topic::{Publishing, TopicState};
use super::{Slot, aside, unix_ms, unix_us};
use crate::core::admission::MeshKey;
use crate::core::catchup::{self, Catchup, Responder};
use crate::core::liveness::Liveness;
use crate::core::neighbours::{Neighbours, Status};
use crate::core::presence;
use crate::core::stream::{Inbox, Outbox, SigningKey, Tail, inbox, outbox};
use crate::store::LogLimits;
use crate::types::{Delivery, MeshName, Start, TopicName};

/// Streams of this node that are remembered after their publishers are gone.
const INCARNATIONS_MAX: usize = 4_096;

/// The last stream of this node on a topic.
#[derive(Clone, Copy, Debug)]
pub(super) struct Incarnation {
    incarnation: u64,
    /// Where it ended, if it has.
    tail: Option<Tail>,
}

/// A publisher that waits for its incarnation.
pub(super) struct OpenPublisher {
    content_type: &'static str,
    lifetime_ms: u32,
    reply: oneshot::Sender<Result<Arc<PublisherLink>, OpenError>>,
}

impl Task {
    pub(super) fn on_command(&mut self, command: Command) {
        // A reply that cannot be given was not waited for; the sweep clears up what it was about.
        match command {
            Command::Join { key, weakness, reply } => drop(reply.send(self.join(key, weakness))),
            Command::Leave { slot, reply } => {
                self.leave(slot);
                let _ = reply.send(());
            }
            Command::OpenPublisher {
                slot,
                topic,
                content_type,
                lifetime_ms,
                reply,
            } => {
                let open = OpenPublisher {
                    content_type,
                    lifetime_ms,
                    reply,
                };
                self.open_publisher(slot, topic, open);
            }
            Command::Subscribe {
                slot,
                topic,
                filter,
                start,
                delivery,
                reply,
            } => {
                drop(reply.send(self.subscribe(slot, &topic, filter, start, delivery)));
            }
            Command::Keep {
                slot,
                topics,
                limits,
                reply,
            } => drop(reply.send(self.keep_topics(slot, topics, limits))),
            #[cfg(feature = "documents")]
            Command::Attend { slot, opening } => self.attend(slot, opening),
            Command::Fetch { slot, blob, reply } => drop(reply.send(self.fetch_blob(slot, blob))),
            Command::Holders { slot, blob, reply } => self.ask_holders(slot, blob, reply),
            Command::FrameAt { slot, wanted } => self.frame_at(slot, wanted),
            Command::Topics { slot, reply } => self.list_topics(slot, reply),
            Command::OpenStream { slot, peer, opening } => self.open_stream(slot, peer, opening),
            Command::Servers { slot, service, reply } => drop(reply.send(self.servers(slot, &service))),
            Command::Shutdown { .. } => {} // taken by the loop itself
        }
    }

    // ---- meshes --------------------------------------------------------------------------------------------------

    fn join(&mut self, key: Arc<MeshKey>, weakness: Option<f64>) -> Result<Arc<MeshLink>, JoinError> {
        let same = self.meshes.iter().find(|(_, mesh)| mesh.key.name() == key.name());
        // Its last handle was dropped, and nobody has swept up yet.
        if let Some(dropped) = same
            .filter(|(_, mesh)| mesh.link.strong_count() == 0)
            .map(|(slot, _)| *slot)
        {
            self.leave(dropped);
        }
        if self.meshes.values().any(|mesh| mesh.key.name() == key.name()) {
            return Err(JoinError::AlreadyJoined {
                mesh: key.name().clone(),
            });
        }
        let me = *self.swarm.local_peer_id();
        let slot = self
            .swarm
            .behaviour_mut()
            .gate
            .join(key.clone(), MeshBehaviour::new(self.heartbeat));
        let (status, status_seen) = watch::channel(Status::Alone);
        let (watched, neighbours_seen) = watch::channel(Vec::new());
        let (events, _) = broadcast::channel(EVENTS_MAX);
        let services = Arc::default();
        let (presence, presence_link) = MeshPresence::new(&key, &self.key);
        let blobs = Blobs::new(self.data_dir.as_ref(), key.name(), self.blob_limits);
        let link = Arc::new(MeshLink {
            services: Arc::clone(&services),
            slot,
            name: key.name().clone(),
            status: status_seen,
            neighbours: neighbours_seen,
            presence: presence_link,
            events: events.clone(),
            #[cfg(feature = "documents")]
            documents: super::document::Documents::default(),
            leases: super::leases::Groups::default(),
            blobs: blobs.store(),
        });
        let mesh = MeshState {
            span: tracing::info_span!("mesh", name = %key.name()),
            link: Arc::downgrade(&link),
            neighbours: Neighbours::new(me, StdRng::from_rng(&mut rand::rng())),
            liveness: Liveness::new(StdRng::from_rng(&mut rand::rng())),
            presence,
            topics: BTreeMap::new(),
            subscriptions: HashMap::new(),
            reached: HashMap::new(),
            talk: HashMap::new(),
            rejected: HashMap::new(),
            resubscribed: HashSet::new(),
            profile_changed: false,
            history: History::new(self.memory.clone()),
            responder: Responder::default(),
            serving: HashMap::new(),
            next_question: 0,
            asked: HashMap::new(),
            requests: Requests::new(services),
            profiles: HashMap::new(),
            keeping: None,
            listings: BTreeMap::new(),
            blobs,
            acks: HashMap::new(),
            replaced: VecDeque::new(),
            status,
            watched,
            events,
            key,
        };
        if let Some(guesses_log2) = weakness {
            tracing::warn!(mesh = %mesh.key.name(), guesses_log2, "this mesh's password can be guessed");
            mesh.tell(MeshEvent::WeakPassword { guesses_log2 });
        }
        self.meshes.insert(slot, mesh);
        self.tell_sources(slot);
        self.announce_soon();
        Ok(link)
    }

    pub(super) fn leave(&mut self, slot: Slot) {
        let topics: Vec<TopicName> = self
            .meshes
            .get(&slot)
            .into_iter()
            .flat_map(|mesh| mesh.topics.keys().cloned())
            .collect();
        for topic in topics {
            self.inbox_hears(slot, &topic, inbox::Input::Leaving);
            self.release_all_acks(slot, &topic);
        }
        self.send_acks();
        self.presence_hears(slot, presence::Input::Leaving);
        let Some(mesh) = self.meshes.remove(&slot) else { return };
        mesh.presence.end();
        mesh.status.send_replace(Status::Alone);
        mesh.watched.send_replace(Vec::new());
        self.swarm.behaviour_mut().gate.leave(slot);
        self.queues.remove_mesh(slot);
        self.stop_announcing(&mesh);
        for waiting in self.dialling.values_mut() {
            waiting.remove(&slot);
        }
        for (_, connection) in mesh.reached.into_values() {
            self.release(connection);
        }
    }

    // ---- topics --------------------------------------------------------------------------------------------------

    pub(super) fn topic(&mut self, slot: Slot, topic: &TopicName) -> Option<&mut TopicState> {
        let mesh = self.meshes.get_mut(&slot)?;
        if !mesh.topics.contains_key(topic) {
            if mesh.topics.len() >= TOPICS_MAX {
                return None;
            }
            let context = mesh.context(topic);
            let is_on = |peer: &&libp2p::PeerId| mesh.subscriptions[*peer].contains(topic);
            let subscribed: HashSet<_> = mesh.subscriptions.keys().filter(is_on).copied().collect();
            mesh.topics.insert(topic.clone(), TopicState::new(context, subscribed));
            self.own_topics_changed(slot);
        }
        self.meshes.get_mut(&slot)?.topics.get_mut(topic)
    }

    fn subscribe(
        &mut self,
        slot: Slot,
        topic: &TopicName,
        filter: Filter,
        start: Start,
        delivery: Delivery,
    ) -> Result<SubscriptionLink, SubscribeError> {
        if !self.meshes.contains_key(&slot) {
            return Err(SubscribeError::Closed);
        }
        let room = self.room.clone();
        let state = self
            .topic(slot, topic)
            .ok_or(SubscribeError::TooManyTopics { topics_max: TOPICS_MAX })?;
        let (session, is_first) = (state.next_session(), state.inbox.is_none());
        let with_past = (start != Start::Now).then_some(session);
        let (inlet, link) = new_inbox(filter, delivery, with_past, room);
        state.inlets.push(inlet);
        self.listen(slot, topic);
        self.set_hurry(slot, topic);
        // Where runs stand that are not met yet is asked once, also for those who only want what is new.
        if with_past.is_some() || is_first {
            self.catchup_hears(slot, topic, catchup::Input::Begin { session, start });
        }
        Ok(link)
    }

    /// Subscribes to what is published on the topic, if this node does not yet.
    pub(super) fn listen(&mut self, slot: Slot, topic: &TopicName) {
        let me = *self.swarm.local_peer_id();
        let state = self.meshes.get_mut(&slot).and_then(|mesh| mesh.topics.get_mut(topic));
        let Some(state) = state.filter(|state| state.inbox.is_none()) else {
            return;
        };
        state.inbox = Some(Inbox::new(Instant::now()));
        state.catchup = Some(Catchup::new(me, StdRng::from_rng(&mut rand::rng())));
        state.since_us = unix_us();
        if let Some(inner) = self.swarm.behaviour_mut().gate.inner_mut(slot) {
            let subscribed = inner
                .gossip
                .subscribe(&libp2p::gossipsub::IdentTopic::new(topic.as_str()));
            debug_assert!(
                subscribed.is_ok(),
                "the filter allows as many topics as a node may be on"
            );
        }
        self.members_changed(slot, topic);
    }

    fn set_hurry(&mut self, slot: Slot, topic: &TopicName) {
        if let Some(state) = self.meshes.get_mut(&slot).and_then(|mesh| mesh.topics.get_mut(topic)) {
            let hurried = state.inlets.iter().any(Inlet::is_hurried);
            if let Some(inbox) = &mut state.inbox {
                inbox.hurry(hurried);
            }
        }
    }

    fn open_publisher(&mut self, slot: Slot, topic: TopicName, open: OpenPublisher) {
        let Some(name) = self.meshes.get(&slot).map(|mesh| mesh.key.name().clone()) else {
            return drop(open.reply.send(Err(OpenError::Closed)));
        };
        let Some(state) = self.topic(slot, &topic) else {
            return drop(
                open.reply
                    .send(Err(OpenError::TooManyTopics { topics_max: TOPICS_MAX })),
            );
        };
        if let Some(publishing) = &state.publishing {
            match publishing.link.upgrade() {
                Some(link) => drop(open.reply.send(Ok(link))),
                // Its handles are gone, but not all its records yet.
                None => state.reopening.push(open),
            }
            return;
        }
        state.opening += 1;
        let last = self.incarnations.get(&(name.clone(), topic.clone()));
        let incarnation = last.map_or(0, |last| last.incarnation + 1).max(unix_ms());
        match self.data_dir.clone() {
            // Stored before its first frame leaves, so that no number is ever used twice.
            Some(data_dir) => {
                self.open_log(slot, LogLimits::default());
                let me = *self.swarm.local_peer_id();
                let mesh = self.meshes.get_mut(&slot);
                let tail = mesh.and_then(|mesh| mesh.history.make_durable(&topic, me));
                self.jobs.spawn(async move {
                    let before = match tail {
                        Some(tail) => tail.await,
                        None => None,
                    };
                    let wanted = before.map_or(incarnation, |tail| incarnation.max(tail.incarnation + 1));
                    let (of_mesh, on_topic) = (name, topic.clone());
                    let stored = aside::run(move || {
                        data_dir
                            .next_incarnation(&of_mesh, &on_topic, wanted)
                            .map_err(io::Error::from)
                    });
                    Done::Incarnation {
                        slot,
                        topic,
                        open,
                        stored: stored.await.unwrap_or_else(|ended| Err(io::Error::other(ended))),
                        before,
                    }
                });
            }
            None => self.publisher_stored(slot, topic, open, Ok(incarnation), None),
        }
    }

    pub(super) fn publisher_stored(
        &mut self,
        slot: Slot,
        topic: TopicName,
        open: OpenPublisher,
        stored: io::Result<u64>,
        logged: Option<Tail>,
    ) {
        let OpenPublisher {
            content_type,
            lifetime_ms,
            reply,
        } = open;
        let Some(mesh) = self.meshes.get_mut(&slot) else { return };
        let name = mesh.key.name().clone();
        let Some(state) = mesh.topics.get_mut(&topic) else {
            return;
        };
        state.opening = state.opening.saturating_sub(1);
        let incarnation = match stored {
            Ok(incarnation) => incarnation,
            Err(error) => return drop(reply.send(Err(OpenError::Store(error)))),
        };
        // Two that were opened at once are one stream.
        if let Some(link) = state
            .publishing
            .as_ref()
            .and_then(|publishing| publishing.link.upgrade())
        {
            return drop(reply.send(Ok(link)));
        }
        let key =
            SigningKey::from_keypair(&self.key).expect("a node's identity is an Ed25519 key: checked at its start");
        let ended = self.incarnations.get(&(name.clone(), topic.clone()));
        let before = ended.and_then(|ended| ended.tail).or(logged);
        let outbox = Outbox::new(key, state.context.clone(), content_type.to_owned(), incarnation, before)
            .with_lifetime_ms(lifetime_ms);
        let is_stored = mesh.history.is_durable(&topic);
        let (records, queue) = mpsc::channel(OUTGOING_MAX);
        let (told, seen) = watch::channel(PublisherState::default());
        let link = Arc::new(PublisherLink::new(incarnation, seen, records));
        let subscribed = state.subscribed.clone();
        state.publishing = Some(Publishing::new(outbox, &link, is_stored, told));
        self.queues.add(slot, topic.clone(), queue);
        self.remember_incarnation(
            name,
            topic.clone(),
            Incarnation {
                incarnation,
                tail: None,
            },
        );
        for peer in subscribed {
            self.neighbour_subscribed(slot, peer, &topic);
        }
        let _ = reply.send(Ok(link));
    }

    /// All handles of a publisher are gone, and all its records sent.
    fn publisher_ended(&mut self, slot: Slot, topic: TopicName) {
        self.outbox_hears(slot, &topic, [outbox::Input::Leaving]);
        let Some(mesh) = self.meshes.get_mut(&slot) else { return };
        let name = mesh.key.name().clone();
        let Some(state) = mesh.topics.get_mut(&topic) else {
            return;
        };
        let reopening = std::mem::take(&mut state.reopening);
        if let Some(publishing) = state.publishing.take() {
            let incarnation = publishing.outbox.incarnation();
            let tail = publishing.outbox.tail();
            self.remember_incarnation(name, topic.clone(), Incarnation { incarnation, tail });
        }
        for open in reopening {
            self.open_publisher(slot, topic.clone(), open);
        }
    }

    fn remember_incarnation(&mut self, mesh: MeshName, topic: TopicName, ended: Incarnation) {
        if self.incarnations.len() >= INCARNATIONS_MAX {
            // The clock has passed them: a new one will be higher anyway.
            let now = unix_ms();
            self.incarnations.retain(|_, ended| ended.incarnation >= now);
        }
        self.incarnations.insert((mesh, topic), ended);
    }

    // ---- handles that were dropped -------------------------------------------------------------------------------

    /// Leaves what no handle holds any more, and tells slow readers what they missed.
    pub(super) fn sweep(&mut self) {
        for (slot, topic) in self.queues.take_ended() {
            self.publisher_ended(slot, topic);
        }
        for slot in self.meshes.keys().copied().collect::<Vec<_>>() {
            let Some(mesh) = self.meshes.get_mut(&slot) else {
                continue;
            };
            if mesh.link.strong_count() == 0 {
                self.leave(slot);
                continue;
            }
            self.sweep_keeping(slot);
            self.grant_wishes(slot);
            self.sweep_listings(slot, Instant::now());
            self.sweep_blobs(slot);
            let Some(mesh) = self.meshes.get_mut(&slot) else {
                continue;
            };
            mesh.sweep_services();
            let (mut silent, mut ended) = (Vec::new(), Vec::new());
            for (topic, state) in &mut mesh.topics {
                for closed in state.inlets.extract_if(.., |inlet| inlet.is_closed()) {
                    ended.extend(closed.session().map(|session| (topic.clone(), session)));
                }
                state.inlets.iter_mut().for_each(Inlet::report_missed_to_idle);
                if state.inlets.is_empty() && !state.kept && state.inbox.is_some() {
                    silent.push(topic.clone());
                }
            }
            for (topic, session) in ended {
                self.catchup_hears(slot, &topic, catchup::Input::End { session });
            }
            for topic in &silent {
                self.inbox_hears(slot, topic, inbox::Input::Leaving);
                self.release_all_acks(slot, topic);
            }
            let Some(mesh) = self.meshes.get_mut(&slot) else {
                continue;
            };
            for topic in &silent {
                if let Some(state) = mesh.topics.get_mut(topic) {
                    state.inbox = None;
                    state.catchup = None;
                }
            }
            let before = mesh.topics.len();
            mesh.topics.retain(|_, state| !state.is_idle());
            let changed = mesh.topics.len() != before;
            for topic in silent {
                if let Some(inner) = self.swarm.behaviour_mut().gate.inner_mut(slot) {
                    inner
                        .gossip
                        .unsubscribe(&libp2p::gossipsub::IdentTopic::new(topic.as_str()));
                }
            }
            if changed {
                self.own_topics_changed(slot);
            }
            self.tell_changes(slot);
        }
    }
}
