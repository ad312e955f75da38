//! What gossipsub of a mesh reports: messages to judge, and who is on which topic.

use std::time::Instant;

use bytes::Bytes;
use libp2p::gossipsub::{self, MessageAcceptance, MessageId};
use libp2p::{PeerId, gossipsub::TopicHash};

use super::Slot;
use super::task::Task;
use crate::core::bucket::{Bucket, Rate};
use crate::core::neighbours::Input;
use crate::core::presence;
use crate::types::TopicName;

/// Bad frames a neighbour may pass on: an honest one passes on none, but each costs a signature check.
const REJECTED: Rate = Rate::new(20, 20);

impl Task {
    pub(super) fn on_gossip_event(&mut self, slot: Slot, event: gossipsub::Event) {
        match event {
            gossipsub::Event::Message {
                propagation_source,
                message_id,
                message,
            } => match topic_name(&message.topic) {
                Some(topic) => self.on_message(slot, propagation_source, message_id, &topic, message.data.into()),
                None => self.judge(slot, &message_id, &propagation_source, MessageAcceptance::Reject),
            },
            gossipsub::Event::Subscribed { peer_id, topic, .. } => {
                let Some(topic) = topic_name(&topic) else { return };
                let Some(mesh) = self.meshes.get_mut(&slot) else { return };
                if !mesh.reached.contains_key(&peer_id) {
                    return; // left since
                }
                if !mesh.subscriptions.entry(peer_id).or_default().insert(topic.clone()) {
                    return;
                }
                mesh.resubscribed.insert(peer_id);
                self.neighbour_subscribed(slot, peer_id, &topic);
            }
            gossipsub::Event::Unsubscribed { peer_id, topic } => {
                let Some(topic) = topic_name(&topic) else { return };
                let Some(mesh) = self.meshes.get_mut(&slot) else { return };
                let topics = mesh.subscriptions.get_mut(&peer_id);
                if !topics.is_some_and(|topics| topics.remove(&topic)) {
                    return;
                }
                mesh.resubscribed.insert(peer_id);
                self.neighbour_unsubscribed(slot, peer_id, &topic);
            }
            gossipsub::Event::SlowPeer {
                peer_id,
                failed_messages,
            } => {
                tracing::debug!(peer = %peer_id, ?failed_messages, "a slow neighbour missed messages");
                self.counters
                    .slow_neighbour_drops
                    .add((failed_messages.priority + failed_messages.non_priority) as u64);
            }
            gossipsub::Event::GossipsubNotSupported { peer_id } => {
                // The gate opens streams only after both sides accept them; so this admission is broken.
                tracing::warn!(peer = %peer_id, "a member does not speak gossipsub; admitting it again");
                self.swarm.behaviour_mut().gate.evict(slot, peer_id, None);
            }
        }
    }

    fn on_message(&mut self, slot: Slot, from: PeerId, id: MessageId, topic: &TopicName, wire: Bytes) {
        let _on_topic = tracing::info_span!("topic", name = %topic).entered();
        // Where much is published, answers on the control stream wait behind it.
        self.presence_hears(slot, presence::Input::Heard { peer: from });
        let acceptance = self.receive(slot, from, topic, wire);
        self.judge(slot, &id, &from, acceptance);
    }

    fn judge(&mut self, slot: Slot, id: &MessageId, from: &PeerId, acceptance: MessageAcceptance) {
        if let MessageAcceptance::Reject = acceptance
            && let Some(mesh) = self.meshes.get_mut(&slot)
        {
            let allowance = mesh.rejected.entry(*from).or_insert_with(|| Bucket::full(REJECTED));
            if allowance.take(Instant::now()).is_err() {
                tracing::debug!(peer = %from, "a neighbour passes on too many bad frames");
                self.swarm.behaviour_mut().gate.evict(slot, *from, None);
            }
        }
        if let Some(inner) = self.swarm.behaviour_mut().gate.inner_mut(slot) {
            // False only if it left gossipsub's cache meanwhile.
            inner.gossip.report_message_validation_result(id, from, acceptance);
        }
    }

    pub(super) fn topics_of_changed(&mut self, slot: Slot, peer: PeerId) {
        let Some(mesh) = self.meshes.get(&slot) else { return };
        let topics = mesh
            .subscriptions
            .get(&peer)
            .into_iter()
            .flatten()
            .map(|topic| mesh.hint(topic))
            .collect();
        self.neighbours_hear(slot, Input::TopicsOf { peer, topics });
    }
}

/// A topic of gossipsub's as ours; nothing if a member made up one that cannot be.
fn topic_name(hash: &TopicHash) -> Option<TopicName> {
    hash.as_str().parse().ok()
}
