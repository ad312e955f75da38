//! gossipsub as one mesh uses it: anonymous, because frames carry their own signature, and tuned for feeds.

use std::time::Duration;

use libp2p::gossipsub::{
    AllowAllSubscriptionFilter, Behaviour, ConfigBuilder, IdentityTransform, MaxCountSubscriptionFilter, Message,
    MessageAuthenticity, MessageId, TopicHash, ValidationMode,
};

use crate::core::stream::message_id;
use crate::types::TopicName;

/// The behaviour behind the gate.
pub(crate) type Gossip = Behaviour<IdentityTransform, MaxCountSubscriptionFilter<AllowAllSubscriptionFilter>>;

/// Topics of one mesh a peer may be on.
pub(super) const SUBSCRIPTIONS_MAX: usize = 1_024;
/// The largest message: a frame, and what gossipsub puts around it.
const TRANSMIT_BYTES_MAX: usize = 576 * 1_024;
/// Ids of 16 bytes: gossipsub cuts what it announces by number, and the receiver by bytes.
const CONTROL_BYTES_MAX: usize = 256 * 1_024;
/// A message that waits longer for a slow neighbour is dropped for it.
const QUEUE_DURATION: Duration = Duration::from_secs(30);
/// Messages that wait for one neighbour.
const QUEUE_MESSAGES_MAX: usize = 16_384;
/// Links of the overlay on each topic: few, because every link carries every frame.
const OVERLAY: usize = 4;
const OVERLAY_LOW: usize = 3;
const OVERLAY_HIGH: usize = 6;
/// Neighbours outside the overlay that are told in every heartbeat what there is, and that share of them if it is more: few,
/// for whoever is late asks for all of it once more. What nobody brings is missed after half a second, and asked for.
const GOSSIP: usize = 1;
const GOSSIP_SHARE: f64 = 0.1;

/// gossipsub for one mesh.
///
/// # Panics
/// Never: the configuration is constant but for the heartbeat.
pub(super) fn new(heartbeat: Duration) -> Gossip {
    let config = ConfigBuilder::default()
        .validate_messages()
        .validation_mode(ValidationMode::Anonymous)
        .message_id_fn(|message: &Message| MessageId::from(message_id(&message.data).to_vec()))
        .max_transmit_size(TRANSMIT_BYTES_MAX)
        .max_control_message_size(CONTROL_BYTES_MAX)
        .connection_handler_queue_len(QUEUE_MESSAGES_MAX)
        .publish_queue_duration(QUEUE_DURATION)
        .forward_queue_duration(QUEUE_DURATION)
        .flood_publish(false)
        .idontwant_on_publish(true)
        .mesh_outbound_min(1)
        .mesh_n_low(OVERLAY_LOW)
        .mesh_n(OVERLAY)
        .mesh_n_high(OVERLAY_HIGH)
        .gossip_lazy(GOSSIP)
        .gossip_factor(GOSSIP_SHARE)
        .heartbeat_interval(heartbeat)
        .heartbeat_initial_delay(heartbeat / 4)
        .build()
        .expect("constants that are in order");
    let filter = MaxCountSubscriptionFilter {
        filter: AllowAllSubscriptionFilter {},
        max_subscribed_topics: SUBSCRIPTIONS_MAX,
        max_subscriptions_per_request: SUBSCRIPTIONS_MAX,
    };
    Behaviour::new_with_subscription_filter(MessageAuthenticity::Anonymous, config, filter)
        .expect("anonymous messages go with anonymous validation")
}

/// A topic as gossipsub names it. Only members ever see the name.
pub(super) fn hash(topic: &TopicName) -> TopicHash {
    TopicHash::from_raw(topic.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_announcement_fits_a_control_message() {
        let gossip = new(Duration::from_secs(1));
        drop(gossip);
        let config = ConfigBuilder::default().build().unwrap();
        // Each id has a tag and a length before its 16 bytes.
        assert!(config.max_control_messages_sent() * 18 < CONTROL_BYTES_MAX);
    }
}
