//! One topic this node is on: its subscribers, its publisher, and the streams between them and gossip.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};
use std::time::Instant;

use libp2p::PeerId;
use tokio::sync::watch;

use super::commands::OpenPublisher;
use super::inlet::{Inlet, Notice};
use super::link::{PublisherLink, PublisherState, Stored};
use crate::core::catchup::{Catchup, SessionId};
use crate::core::stream::{Context, Inbox, Outbox};

/// A publisher of this node.
pub(super) struct Publishing {
    pub(super) outbox: Outbox,
    pub(super) link: Weak<PublisherLink>,
    pub(super) stored: Option<Stored>,
    state: watch::Sender<PublisherState>,
}

impl Publishing {
    /// `stored`: what is published is stored, too.
    pub(super) fn new(
        outbox: Outbox,
        link: &Arc<PublisherLink>,
        stored: bool,
        state: watch::Sender<PublisherState>,
    ) -> Self {
        let publishing = Self {
            outbox,
            link: Arc::downgrade(link),
            stored: stored.then(Stored::default),
            state,
        };
        publishing.tell();
        publishing
    }

    /// Tells the handles how far the stream is.
    pub(super) fn tell(&self) {
        let sent = self.outbox.next_sequence();
        let state = PublisherState {
            subscribed: self.outbox.neighbours(),
            sent,
            acknowledged: sent - self.outbox.unacked(),
            acknowledged_by: self.outbox.acked_by(),
            acknowledgements: self.outbox.acknowledged().collect(),
            stored: self.stored.clone(),
        };
        self.state.send_if_modified(|old| {
            let is_new = *old != state;
            *old = state;
            is_new
        });
    }

    /// Everything that was published is acknowledged by every neighbour that subscribed.
    pub(super) fn is_flushed(&self) -> bool {
        let sent = self.outbox.next_sequence();
        let is_stored = self.stored.as_ref().is_none_or(|stored| stored.next >= sent);
        self.outbox.unacked() == 0 && self.outbox.gathered() == 0 && is_stored
    }
}

/// A topic.
pub(super) struct TopicState {
    /// What its frames are signed for.
    pub(super) context: Context,
    /// Subscribers of this node.
    pub(super) inlets: Vec<Inlet>,
    /// Only while this node subscribes: only subscribers forward.
    pub(super) inbox: Option<Inbox>,
    /// Comes and goes with the inbox.
    pub(super) catchup: Option<Catchup>,
    /// When the inbox came: microseconds since the Unix epoch.
    pub(super) since_us: u64,
    /// It is stored for others.
    pub(super) kept: bool,
    /// The session that fetches what it held before this node kept it.
    pub(super) backfill: Option<SessionId>,
    /// The number of the last subscriber.
    sessions: u64,
    pub(super) publishing: Option<Publishing>,
    /// Publishers whose incarnation is being stored.
    pub(super) opening: u32,
    /// Publishers that wait for the last records of the one before.
    pub(super) reopening: Vec<OpenPublisher>,
    /// Neighbours that are subscribed.
    pub(super) subscribed: HashSet<PeerId>,
    /// Acknowledgements that wait for a subscriber to read, by publisher; and until when at most.
    pub(super) held_acks: HashMap<PeerId, (u64, u64)>,
    pub(super) held_until: Option<Instant>,
}

impl TopicState {
    pub(super) fn new(context: Context, subscribed: HashSet<PeerId>) -> Self {
        Self {
            context,
            inlets: Vec::new(),
            inbox: None,
            catchup: None,
            since_us: 0,
            kept: false,
            backfill: None,
            sessions: 0,
            publishing: None,
            opening: 0,
            reopening: Vec::new(),
            subscribed,
            held_acks: HashMap::new(),
            held_until: None,
        }
    }

    /// A number for one more subscriber.
    pub(super) fn next_session(&mut self) -> SessionId {
        self.sessions += 1;
        SessionId(self.sessions)
    }

    /// Nobody here wants it any more.
    pub(super) fn is_idle(&self) -> bool {
        self.inlets.is_empty()
            && !self.kept
            && self.publishing.is_none()
            && self.opening == 0
            && self.reopening.is_empty()
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let inbox = self.inbox.as_ref().and_then(Inbox::next_deadline);
        let outbox = self
            .publishing
            .as_ref()
            .and_then(|publishing| publishing.outbox.next_deadline());
        let catchup = self.catchup.as_ref().and_then(Catchup::next_deadline);
        let others = [catchup, self.held_until].into_iter().flatten();
        inbox.into_iter().chain(outbox).chain(others).min()
    }

    /// Whether a subscriber that wants everything has not read for long.
    pub(super) fn is_crowded(&self) -> bool {
        self.inlets.iter().any(Inlet::is_crowded)
    }

    pub(super) fn deliver(&mut self, delivery: &Notice) {
        for inlet in &mut self.inlets {
            inlet.deliver(delivery);
        }
    }
}
