//! Keeping: a member that stores topics durably for others, old records first fetched from whoever holds them.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Weak};

use libp2p::PeerId;
use tokio::sync::watch;

use super::error::KeepError;
use super::listing::Asker;
use super::task::{Done, Task};
use super::{Slot, link};
use crate::core::catchup::wire::Request;
use crate::core::catchup::{Input, SessionId};
use crate::core::stream::Frame;
use crate::store::{Kept, LogLimits, StoreError};
use crate::types::{Start, TopicName};

/// What this node keeps of a mesh.
pub(super) struct Keeping {
    /// Only these; all, if not given.
    wanted: Option<BTreeSet<TopicName>>,
    link: Weak<link::KeepLink>,
    state: watch::Sender<link::KeepState>,
    /// Frames of the past for which the log had no room, and the sessions that wait for it; as many as catch-up lets out at
    /// once.
    waiting: VecDeque<(TopicName, SessionId, Kept)>,
}

impl Task {
    pub(super) fn keep_topics(
        &mut self,
        slot: Slot,
        topics: Option<BTreeSet<TopicName>>,
        limits: LogLimits,
    ) -> Result<Arc<link::KeepLink>, KeepError> {
        if self.data_dir.is_none() {
            return Err(KeepError::NoDataDir);
        }
        let mesh = self.meshes.get(&slot).ok_or(KeepError::Closed)?;
        if mesh
            .keeping
            .as_ref()
            .is_some_and(|keeping| keeping.link.strong_count() > 0)
        {
            return Err(KeepError::AlreadyKept);
        }
        if mesh.history.limits().is_some_and(|open| open != limits) {
            return Err(KeepError::OtherLimits);
        }
        self.open_log(slot, limits);
        let (state, seen) = watch::channel(link::KeepState::default());
        let link = Arc::new(link::KeepLink { state: seen });
        let mesh = self.meshes.get_mut(&slot).ok_or(KeepError::Closed)?;
        mesh.keeping = Some(Keeping {
            wanted: topics.clone(),
            link: Arc::downgrade(&link),
            state,
            waiting: VecDeque::new(),
        });
        let known = mesh.subscriptions.values().flatten().chain(mesh.topics.keys());
        let all: BTreeSet<TopicName> = known.cloned().collect();
        for topic in topics.unwrap_or(all) {
            self.keep_topic(slot, &topic);
        }
        for peer in self.neighbours_of(slot) {
            self.look_for_topics(slot, peer);
        }
        self.look_into_log(slot);
        Ok(link)
    }

    fn neighbours_of(&self, slot: Slot) -> Vec<PeerId> {
        let mesh = self.meshes.get(&slot);
        mesh.map(|mesh| mesh.reached.keys().copied().collect())
            .unwrap_or_default()
    }

    /// A keeper of all topics goes on with those it kept before.
    fn look_into_log(&mut self, slot: Slot) {
        let Some(mesh) = self.meshes.get(&slot) else { return };
        let own = mesh.history.topics(None);
        self.jobs.spawn(async move {
            let kept = own.await.unwrap_or_default();
            Done::Kept { slot, kept }
        });
    }

    /// A keeper of all topics asks a neighbour which there are.
    pub(super) fn look_for_topics(&mut self, slot: Slot, peer: PeerId) {
        let mesh = self.meshes.get(&slot);
        let keeping = mesh.and_then(|mesh| mesh.keeping.as_ref());
        if keeping.is_some_and(|keeping| keeping.wanted.is_none()) {
            self.ask_member(slot, peer, &Request::Topics(None), Asker::Keeper);
        }
    }

    /// There is such a topic: a keeper of all keeps it.
    pub(super) fn topic_exists(&mut self, slot: Slot, topic: &TopicName) {
        let mesh = self.meshes.get(&slot);
        let keeping = mesh.and_then(|mesh| mesh.keeping.as_ref());
        if keeping.is_some_and(|keeping| keeping.wanted.is_none()) {
            self.keep_topic(slot, topic);
        }
    }

    fn keep_topic(&mut self, slot: Slot, topic: &TopicName) {
        let me = *self.swarm.local_peer_id();
        let Some(state) = self.topic(slot, topic) else {
            return tracing::warn!(%topic, "one topic more than a node may be on is not kept");
        };
        if state.kept {
            return;
        }
        state.kept = true;
        let session = state.next_session();
        state.backfill = Some(session);
        self.listen(slot, topic);
        if let Some(mesh) = self.meshes.get_mut(&slot) {
            drop(mesh.history.make_durable(topic, me));
            if let Some(keeping) = &mesh.keeping {
                keeping.state.send_modify(|state| {
                    state.topics.push(topic.clone());
                    state.fetching += 1;
                });
            }
        }
        let start = Start::All;
        self.catchup_hears(slot, topic, Input::Begin { session, start });
    }

    /// A frame of the past for the keeper's log. What is to be told to its session is returned.
    pub(super) fn backfill(
        &mut self,
        slot: Slot,
        topic: &TopicName,
        session: SessionId,
        frame: &Frame,
    ) -> Option<Input> {
        let mesh = self.meshes.get_mut(&slot)?;
        let kept = super::history::kept(frame);
        let keeping = mesh.keeping.as_mut()?;
        let is_shut = !keeping.waiting.is_empty();
        if is_shut || matches!(mesh.history.store(topic, kept.clone()), Err(StoreError::Busy)) {
            keeping.waiting.push_back((topic.clone(), session, kept));
            return Some(Input::Room { session, open: false });
        }
        None
    }

    /// All that others hold of a topic was given to the log.
    pub(super) fn backfilled(&mut self, slot: Slot, topic: &TopicName) {
        let Some(mesh) = self.meshes.get_mut(&slot) else { return };
        if let Some(state) = mesh.topics.get_mut(topic) {
            state.backfill = None;
        }
        if let Some(keeping) = &mesh.keeping {
            keeping
                .state
                .send_modify(|state| state.fetching = state.fetching.saturating_sub(1));
        }
    }

    /// The log has room again.
    pub(super) fn backfill_goes_on(&mut self, slot: Slot) {
        let Some(mesh) = self.meshes.get_mut(&slot) else { return };
        let Some(keeping) = &mut mesh.keeping else { return };
        let mut reopened = BTreeSet::new();
        while let Some((topic, session, kept)) = keeping.waiting.pop_front() {
            if matches!(mesh.history.store(&topic, kept.clone()), Err(StoreError::Busy)) {
                keeping.waiting.push_front((topic, session, kept));
                return;
            }
            reopened.insert((topic, session));
        }
        for (topic, session) in reopened {
            self.catchup_hears(slot, &topic, Input::Room { session, open: true });
        }
    }

    /// Stops keeping once nobody holds the keeper any more.
    pub(super) fn sweep_keeping(&mut self, slot: Slot) {
        let Some(mesh) = self.meshes.get_mut(&slot) else { return };
        let ended = mesh
            .keeping
            .take_if(|keeping| keeping.link.strong_count() == 0)
            .is_some();
        for state in mesh.topics.values_mut().filter(|_| ended) {
            state.kept = false;
        }
    }
}
