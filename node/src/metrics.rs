//! All counters of a node, in one place.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// What a node has done since it started: every field only grows.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Metrics {
            $($(#[$doc])* pub $name: u64,)*
        }

        /// The live counters behind [`Metrics`].
        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $(pub(crate) $name: Counter,)*
        }

        impl Counters {
            pub(crate) fn snapshot(&self) -> Metrics {
                Metrics { $($name: self.$name.value(),)* }
            }
        }
    };
}

counters! {
    /// Bytes written to all connections, before the transport's own headers, with encryption and multiplexing.
    bytes_sent,
    /// Bytes read from all connections, likewise.
    bytes_received,
    /// Connections that were established.
    connections_established,
    /// Connections that were closed.
    connections_closed,
    /// Handshakes that peers began here and that ended in admission.
    admissions_granted,
    /// Handshakes that peers began here and that did not.
    admissions_refused,
    /// Handshakes that this node began and that the peer refused.
    refusals_met,
    /// Frames this node published.
    frames_published,
    /// Frames that arrived, were whole, signed and new, and were passed on.
    frames_received,
    /// Frames that arrived again.
    frames_duplicate,
    /// Frames that were rejected: malformed, or not signed by whom they name.
    frames_rejected,
    /// Frames that were dropped because their deliverer brings too many new streams.
    frames_over_limit,
    /// Bytes of blobs that were fetched, proved and stored.
    blob_bytes_fetched,
    /// Bytes of blobs that were right, but held already: they were asked of two members.
    blob_bytes_again,
    /// Bytes of blobs that were given to members.
    blob_bytes_served,
    /// Questions about blobs that were put off, because too many were asked.
    blob_questions_refused,
    /// Requests of this node for which a member was reached.
    requests_sent,
    /// Of those, what was answered.
    requests_sent_answered,
    /// Requests of members that were answered here.
    requests_served,
    /// Requests of members turned away because too much was under way.
    requests_busy,
    /// Requests of members for a service that this node does not offer.
    requests_unknown,
    /// Requests of members that the service refused, or could not read.
    requests_refused,
    /// Requests of members that were too large.
    requests_too_large,
    /// Requests of members that were not answered by their deadline.
    requests_late,
    /// Requests of members whose service failed.
    requests_failed,
    /// Records handed to subscribers of this node.
    records_delivered,
    /// Events that a subscriber of this node was too slow for.
    records_lagged,
    /// Records that did not come and were asked for.
    records_asked_for,
    /// Records given up as missing.
    records_missing,
    /// Records that came after they had lost their worth, of subscribers who take them as they come.
    records_expired,
    /// Frames that were not passed on because they had expired long since.
    frames_expired,
    /// Records given to the durable log that are safe there; one that was given twice counts twice.
    records_stored,
    /// Times that frames could not be written to the durable log.
    frames_not_stored,
    /// Records delivered from the past.
    records_from_history,
    /// Frames that were missing and came from a member that was asked.
    frames_repaired,
    /// Questions of members about the past that were answered.
    questions_answered,
    /// Questions of members about the past that came too fast.
    questions_refused,
    /// Members that answered wrongly about the past.
    members_penalised,
    /// Acknowledgements that did not fit what was sent.
    acks_invalid,
    /// Control frames that were malformed.
    control_rejected,
    /// Messages that gossipsub dropped because a neighbour was slow.
    slow_neighbour_drops,
    /// Kademlia look-ups that were begun.
    lookups,
    /// Strangers' connections that were closed because there were too many.
    strangers_dropped,
}

/// One number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, n: u64) {
        // Counters order nothing; they are only read.
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
