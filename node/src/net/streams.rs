//! Between gossip and `core/stream`: frames in and out, deliveries to subscribers, acknowledgements both ways.

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use libp2p::PeerId;
use libp2p::gossipsub::{MessageAcceptance, PublishError};
use maille_proto::ACKS_MAX;
use maille_proto::control::{Ack, Acks, Message};

use super::inlet::{Incoming, Notice};
use super::link::Outgoing;
use super::task::Task;
use super::{Slot, gossip, history, unix_us};
use crate::core::catchup::{self, Run};
use crate::core::liveness::Liveness;
use crate::core::stream::{self, Blame, Frame, SealedFrame, inbox, outbox};
use crate::store::Kept;
use crate::types::TopicName;

/// How long an acknowledgement waits for a subscriber of this node that has not read for long.
const ACK_HOLD: Duration = Duration::from_millis(250);

/// How far clocks may be apart, in microseconds: until then a frame that has expired is passed on all the same.
const EXPIRY_DOUBT_US: u64 = 30_000_000;

impl Task {
    // ---- in ------------------------------------------------------------------------------------------------------

    /// Judges one frame, and delivers what it makes ready.
    pub(super) fn receive(&mut self, slot: Slot, from: PeerId, topic: &TopicName, wire: Bytes) -> MessageAcceptance {
        let Some(mesh) = self.meshes.get_mut(&slot) else {
            return MessageAcceptance::Ignore;
        };
        let Some(state) = mesh.topics.get_mut(topic).filter(|state| state.inbox.is_some()) else {
            return MessageAcceptance::Ignore;
        };
        let frame = match Frame::open(wire, &state.context) {
            Ok(frame) => frame,
            Err(error) => {
                tracing::debug!(%from, %error, "frame rejected");
                self.counters.frames_rejected.add(1);
                return match error.blame() {
                    Blame::Forwarder => MessageAcceptance::Reject,
                    Blame::Nobody => MessageAcceptance::Ignore,
                };
            }
        };
        // Within the doubt that clocks leave, it is passed on.
        let is_over = |expires_us: u64| expires_us.saturating_add(EXPIRY_DOUBT_US) < common_us(&mesh.liveness);
        if frame.expires_us().is_some_and(is_over) {
            self.counters.frames_expired.add(1);
            return MessageAcceptance::Ignore;
        }
        let kept = history::kept(&frame);
        let acceptance = self.inbox_hears(slot, topic, inbox::Input::Received { frame, deliverer: from });
        if matches!(acceptance, MessageAcceptance::Accept) {
            self.keep(slot, topic, kept);
        }
        acceptance
    }

    /// Keeps a frame that is signed for the topic, for those who ask for it later.
    pub(super) fn keep(&mut self, slot: Slot, topic: &TopicName, kept: Kept) {
        let (publisher, sequences) = (kept.publisher, kept.sequences.clone());
        let Some(mesh) = self.meshes.get_mut(&slot) else { return };
        if let Err(error) = mesh.history.keep(topic, kept) {
            tracing::warn!(%error, "a frame is not stored");
            self.note_stored(slot, topic, publisher, None, &sequences, false);
        }
    }

    /// Hands one fact to a topic's inbox, if there is one, and does what it asks for. Says what to tell gossip.
    pub(super) fn inbox_hears(&mut self, slot: Slot, topic: &TopicName, input: inbox::Input) -> MessageAcceptance {
        let mut actions = Vec::new();
        let state = self.meshes.get_mut(&slot).and_then(|mesh| mesh.topics.get_mut(topic));
        if let Some(inbox) = state.and_then(|state| state.inbox.as_mut()) {
            inbox.handle(input, Instant::now(), &mut actions);
        }
        self.perform_inbox(slot, topic, actions)
    }

    fn perform_inbox(&mut self, slot: Slot, topic: &TopicName, actions: Vec<inbox::Action>) -> MessageAcceptance {
        let mut acceptance = MessageAcceptance::Ignore;
        let Some(mesh) = self.meshes.get_mut(&slot) else {
            return acceptance;
        };
        let Some(state) = mesh.topics.get_mut(topic) else {
            return acceptance;
        };
        let mut missing = Vec::new();
        for action in actions {
            match action {
                inbox::Action::Forward { .. } => {
                    self.counters.frames_received.add(1);
                    acceptance = MessageAcceptance::Accept;
                }
                inbox::Action::Ignore { .. } => self.counters.frames_duplicate.add(1),
                inbox::Action::Deliver(delivery) => {
                    self.counters.records_delivered.add(1);
                    state.deliver(&Notice::Record(incoming(delivery)));
                }
                inbox::Action::Arrived(delivery) => {
                    let is_over = |expires_us: u64| expires_us < common_us(&mesh.liveness);
                    let expired = delivery.expires_us.is_some_and(is_over);
                    self.counters.records_expired.add(u64::from(expired));
                    let record = incoming(delivery);
                    state
                        .inlets
                        .iter_mut()
                        .for_each(|inlet| inlet.deliver_arrived(&record, expired));
                }
                inbox::Action::Gap {
                    publisher,
                    incarnation,
                    from,
                    to,
                } => {
                    tracing::warn!(%publisher, from, to, "records are missing");
                    self.counters.records_missing.add(to.saturating_sub(from));
                    state.deliver(&Notice::Gap {
                        publisher,
                        incarnation,
                        from,
                        to,
                    });
                }
                inbox::Action::Repair {
                    publisher,
                    incarnation,
                    from,
                    to,
                } => {
                    self.counters.records_asked_for.add(to.saturating_sub(from));
                    missing.push((Run { publisher, incarnation }, from..to));
                }
                inbox::Action::Fork {
                    publisher,
                    incarnation,
                    sequence,
                    second,
                } => {
                    tracing::warn!(%publisher, incarnation, sequence, "a publisher contradicts itself");
                    state.deliver(&Notice::Fork {
                        publisher,
                        incarnation,
                        sequence,
                        first: mesh.history.frame(topic, Run { publisher, incarnation }, sequence),
                        second,
                    });
                }
                inbox::Action::Silent { publisher, quiet } => {
                    let since = SystemTime::now().checked_sub(quiet).unwrap_or(SystemTime::UNIX_EPOCH);
                    state.deliver(&Notice::Silent { publisher, since });
                }
                inbox::Action::Resumed { publisher } => state.deliver(&Notice::Resumed { publisher }),
                inbox::Action::Restarted { publisher, incarnation } => {
                    state.deliver(&Notice::Restarted { publisher, incarnation });
                }
                inbox::Action::Ack {
                    publisher,
                    incarnation,
                    next,
                } => {
                    // A subscriber that is far behind has a moment to read: a publisher that is slowed down a little loses
                    // less than a subscriber that misses something.
                    if !state.held_acks.is_empty() || state.is_crowded() {
                        state.held_until.get_or_insert_with(|| Instant::now() + ACK_HOLD);
                        state.held_acks.insert(publisher, (incarnation, next));
                    } else {
                        acknowledge(&mut mesh.acks, topic, publisher, incarnation, next);
                    }
                }
                inbox::Action::Penalise { peer, why } => {
                    tracing::debug!(%peer, ?why, "a neighbour brings too much");
                    self.counters.frames_over_limit.add(1);
                }
            }
        }
        for (run, sequences) in missing {
            self.catchup_hears(slot, topic, catchup::Input::Missing { run, sequences });
        }
        acceptance
    }

    // ---- out -----------------------------------------------------------------------------------------------------

    /// Takes records from a publisher's queue. They are only asked for while there is room for them.
    pub(super) fn on_outgoing(&mut self, slot: Slot, topic: &TopicName, records: Vec<Outgoing>) {
        let _in_mesh = self.mesh_span(slot).entered();
        let _on_topic = tracing::info_span!("topic", name = %topic).entered();
        let sent_us = unix_us();
        let published = |Outgoing { key, payload }| outbox::Input::Published { key, payload, sent_us };
        self.outbox_hears(slot, topic, records.into_iter().map(published));
    }

    /// Hands facts to a topic's publisher, if there is one, and does what it asks for.
    pub(super) fn outbox_hears(
        &mut self,
        slot: Slot,
        topic: &TopicName,
        inputs: impl IntoIterator<Item = outbox::Input>,
    ) {
        let mut actions = Vec::new();
        let Some(mesh) = self.meshes.get_mut(&slot) else { return };
        let Some(publishing) = mesh.topics.get_mut(topic).and_then(|state| state.publishing.as_mut()) else {
            return;
        };
        let ignored = publishing.outbox.acks_ignored();
        let now = Instant::now();
        for input in inputs {
            publishing.outbox.handle(input, now, &mut actions);
        }
        self.counters
            .acks_invalid
            .add(publishing.outbox.acks_ignored() - ignored);
        publishing.tell();
        let incarnation = publishing.outbox.incarnation();
        self.queues.set_open(slot, topic, publishing.outbox.has_room());
        for action in actions {
            match action {
                outbox::Action::Send {
                    sequences,
                    keys,
                    sent_us,
                    frame,
                } => {
                    let kept = Kept {
                        publisher: *self.swarm.local_peer_id(),
                        incarnation,
                        sequences,
                        sent_us,
                        keys,
                        wire: frame.wire.clone(),
                    };
                    self.keep(slot, topic, kept);
                    self.gossip(slot, topic, &frame);
                }
                // Sizes were checked before the record was taken, and room before it was asked for.
                outbox::Action::Refuse { why } => tracing::error!(%why, "a record was not sent"),
                outbox::Action::ReportStall { unacked } => {
                    tracing::warn!(unacked, "no neighbour acknowledges; trying one more frame");
                }
            }
        }
    }

    fn gossip(&mut self, slot: Slot, topic: &TopicName, sealed: &SealedFrame) {
        self.counters.frames_published.add(1);
        if let Some(inner) = self.swarm.behaviour_mut().gate.inner_mut(slot) {
            match inner.gossip.publish(gossip::hash(topic), sealed.wire.clone()) {
                // To nobody: the publisher's state says so.
                Ok(_) | Err(PublishError::NoPeersSubscribedToTopic) => {}
                Err(error) => {
                    tracing::warn!(%error, "a frame could not be handed to any neighbour");
                    self.counters.slow_neighbour_drops.add(1);
                }
            }
        }
        let deliverer = *self.swarm.local_peer_id();
        let state = self.meshes.get(&slot).and_then(|mesh| mesh.topics.get(topic));
        if state.is_some_and(|state| state.inbox.is_some()) {
            let frame = sealed.opened();
            self.inbox_hears(slot, topic, inbox::Input::Received { frame, deliverer });
        }
    }

    /// Sends acknowledgements that waited for a subscriber, whatever it does: it goes.
    pub(super) fn release_all_acks(&mut self, slot: Slot, topic: &TopicName) {
        self.release_acks(slot, topic, Instant::now() + ACK_HOLD);
    }

    /// Sends acknowledgements that waited for a subscriber, if it has read, or waited long enough.
    pub(super) fn release_acks(&mut self, slot: Slot, topic: &TopicName, now: Instant) {
        let Some(mesh) = self.meshes.get_mut(&slot) else { return };
        let Some(state) = mesh.topics.get_mut(topic) else {
            return;
        };
        let is_due = state.held_until.is_some_and(|until| until <= now);
        if is_due || !state.is_crowded() {
            state.held_until = None;
            for (publisher, (incarnation, next)) in state.held_acks.drain() {
                acknowledge(&mut mesh.acks, topic, publisher, incarnation, next);
            }
        }
    }

    // ---- neighbours ----------------------------------------------------------------------------------------------

    pub(super) fn neighbour_subscribed(&mut self, slot: Slot, peer: PeerId, topic: &TopicName) {
        self.topic_exists(slot, topic);
        let Some(state) = self.meshes.get_mut(&slot).and_then(|mesh| mesh.topics.get_mut(topic)) else {
            return;
        };
        state.subscribed.insert(peer);
        self.members_changed(slot, topic);
        self.outbox_hears(slot, topic, [outbox::Input::Subscribed { peer }]);
    }

    pub(super) fn neighbour_unsubscribed(&mut self, slot: Slot, peer: PeerId, topic: &TopicName) {
        let Some(state) = self.meshes.get_mut(&slot).and_then(|mesh| mesh.topics.get_mut(topic)) else {
            return;
        };
        state.subscribed.remove(&peer);
        self.members_changed(slot, topic);
        self.outbox_hears(slot, topic, [outbox::Input::Gone { peer }]);
    }

    pub(super) fn on_acks(&mut self, slot: Slot, peer: PeerId, acks: Vec<Ack>) {
        for Ack {
            topic,
            incarnation,
            next,
        } in acks
        {
            match topic.parse::<TopicName>() {
                Ok(topic) => self.outbox_hears(
                    slot,
                    &topic,
                    [outbox::Input::Acked {
                        peer,
                        incarnation,
                        next,
                    }],
                ),
                Err(_) => self.counters.acks_invalid.add(1),
            }
        }
    }

    /// Sends what was acknowledged in this turn, to those of the publishers who are neighbours.
    pub(super) fn send_acks(&mut self) {
        for slot in self.meshes.keys().copied().collect::<Vec<_>>() {
            let Some(mesh) = self.meshes.get_mut(&slot).filter(|mesh| !mesh.acks.is_empty()) else {
                continue;
            };
            for (peer, acks) in std::mem::take(&mut mesh.acks) {
                for acks in acks.chunks(ACKS_MAX) {
                    self.send_control(slot, peer, Message::Acks(Acks { acks: acks.to_vec() }));
                }
            }
        }
    }

    pub(super) fn on_stream_deadlines(&mut self, slot: Slot, now: Instant) {
        let Some(mesh) = self.meshes.get(&slot) else { return };
        let due = |(topic, state): (&TopicName, &super::topic::TopicState)| {
            state.next_deadline().is_some_and(|at| at <= now).then(|| topic.clone())
        };
        for topic in mesh.topics.iter().filter_map(due).collect::<Vec<_>>() {
            self.release_acks(slot, &topic, now);
            self.inbox_hears(slot, &topic, inbox::Input::TimedOut);
            self.catchup_hears(slot, &topic, catchup::Input::TimedOut);
            self.outbox_hears(slot, &topic, [outbox::Input::TimedOut { now_us: unix_us() }]);
        }
    }
}

/// The clock of a mesh, in microseconds since the Unix epoch: ours, and how far the neighbours' is from it.
fn common_us(liveness: &Liveness) -> u64 {
    unix_us().saturating_add_signed(liveness.median_offset().unwrap_or_default())
}

fn acknowledge(
    acks: &mut HashMap<PeerId, Vec<Ack>>,
    topic: &TopicName,
    publisher: PeerId,
    incarnation: u64,
    next: u64,
) {
    let acks = acks.entry(publisher).or_default();
    acks.retain(|ack| ack.topic != topic.as_str());
    acks.push(Ack {
        topic: topic.to_string(),
        incarnation,
        next,
    });
}

pub(super) fn incoming(delivery: stream::Delivery) -> Incoming {
    Incoming {
        author: delivery.author,
        deliverer: delivery.deliverer,
        incarnation: delivery.incarnation,
        sequence: delivery.sequence,
        sent_us: delivery.sent_us,
        key: delivery.key,
        payload: delivery.payload,
        received_at: SystemTime::now(),
    }
}
