//! What connects handles to the swarm task: commands one way, bounded inboxes and watched states the other.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::SystemTime;

use bytes::Bytes;
use libp2p::{Multiaddr, PeerId};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use super::Slot;
use super::error::{JoinError, OpenError, SubscribeError};
use super::event::{MeshEvent, NodeEvent};
use crate::core::admission::MeshKey;
use crate::core::neighbours::Status;
use crate::metrics::Counters;
use crate::types::{MeshName, TopicName};

/// Commands that wait for the swarm task.
pub(crate) const COMMANDS_MAX: usize = 256;
/// Notices a slow reader may be behind before it misses some.
pub(crate) const EVENTS_MAX: usize = 256;
/// Records of one publisher that wait for the window.
pub(crate) const OUTGOING_MAX: usize = 512;
/// Events in a subscriber's inbox.
pub(crate) const INBOX_EVENTS_MAX: usize = 65_536;
/// Bytes of keys and payloads in a subscriber's inbox.
pub(crate) const INBOX_BYTES_MAX: usize = 64 * 1_024 * 1_024;

/// What a handle asks of the swarm task.
#[derive(Debug)]
pub(crate) enum Command {
    /// Join a mesh whose password is stretched; `weakness` if it is guessable.
    Join {
        key: Arc<MeshKey>,
        weakness: Option<f64>,
        reply: oneshot::Sender<Result<Arc<MeshLink>, JoinError>>,
    },
    /// Leave a mesh.
    Leave { slot: Slot, reply: oneshot::Sender<()> },
    /// Open, or find, the publisher of a topic.
    OpenPublisher {
        slot: Slot,
        topic: TopicName,
        content_type: &'static str,
        reply: oneshot::Sender<Result<Arc<PublisherLink>, OpenError>>,
    },
    /// Subscribe to a topic.
    Subscribe {
        slot: Slot,
        topic: TopicName,
        filter: Filter,
        reply: oneshot::Sender<Result<SubscriptionLink, SubscribeError>>,
    },
    /// Stop, after flushing.
    Shutdown { reply: oneshot::Sender<()> },
}

/// A node, as its handles see it.
#[derive(Debug)]
pub(crate) struct NodeLink {
    pub(crate) id: PeerId,
    pub(crate) commands: mpsc::Sender<Command>,
    /// With `/p2p`.
    pub(crate) multiaddrs: watch::Receiver<Vec<Multiaddr>>,
    pub(crate) events: broadcast::Sender<NodeEvent>,
    pub(crate) counters: Arc<Counters>,
}

/// A neighbour and where it was reached.
pub(crate) type NeighbourAt = (PeerId, Vec<Multiaddr>);

/// A mesh, as its handles see it. The task holds it weakly: when the last handle is gone, it leaves.
#[derive(Debug)]
pub(crate) struct MeshLink {
    pub(crate) slot: Slot,
    pub(crate) name: MeshName,
    pub(crate) status: watch::Receiver<Status>,
    pub(crate) neighbours: watch::Receiver<Vec<NeighbourAt>>,
    pub(crate) events: broadcast::Sender<MeshEvent>,
}

/// One record on its way out.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) key: Option<Bytes>,
    pub(crate) payload: Bytes,
}

/// How far a publisher's stream is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PublisherState {
    /// Neighbours on the topic.
    pub(crate) subscribed: usize,
    /// Records that left.
    pub(crate) sent: u64,
    /// Records that every subscribed neighbour acknowledged.
    pub(crate) acknowledged: u64,
    /// Neighbours that acknowledged all that left.
    pub(crate) acknowledged_by: usize,
}

/// A publisher, as its handles see it.
#[derive(Debug)]
pub(crate) struct PublisherLink {
    pub(crate) incarnation: u64,
    pub(crate) state: watch::Receiver<PublisherState>,
    queue: mpsc::Sender<Outgoing>,
    /// Taken together with a place in the queue, so that numbers and places agree.
    next_sequence: Mutex<u64>,
}

impl PublisherLink {
    pub(crate) fn new(incarnation: u64, state: watch::Receiver<PublisherState>, queue: mpsc::Sender<Outgoing>) -> Self {
        Self {
            incarnation,
            state,
            queue,
            next_sequence: Mutex::new(0),
        }
    }

    /// Waits for room, then gives the record its sequence number and its place. Nothing if the stream is closed.
    pub(crate) async fn push(&self, record: Outgoing) -> Option<u64> {
        let place = self.queue.reserve().await.ok()?;
        // The number is written in one step: a poisoned lock still holds a true one.
        let mut next = self.next_sequence.lock().unwrap_or_else(PoisonError::into_inner);
        let sequence = *next;
        *next += 1;
        place.send(record);
        Some(sequence)
    }

    /// Records that have a sequence number.
    pub(crate) fn published(&self) -> u64 {
        *self.next_sequence.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a subscriber wants to hear.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    pub(crate) publishers: Option<HashSet<PeerId>>,
    pub(crate) keys: Option<HashSet<Bytes>>,
}

impl Filter {
    pub(crate) fn wants_publisher(&self, publisher: &PeerId) -> bool {
        self.publishers.as_ref().is_none_or(|wanted| wanted.contains(publisher))
    }

    pub(crate) fn wants(&self, record: &Incoming) -> bool {
        let wants_key = |wanted: &HashSet<Bytes>| record.key.as_ref().is_some_and(|key| wanted.contains(key));
        self.wants_publisher(&record.author) && self.keys.as_ref().is_none_or(wants_key)
    }
}

/// One record on its way in.
#[derive(Clone, Debug)]
pub(crate) struct Incoming {
    pub(crate) author: PeerId,
    pub(crate) deliverer: PeerId,
    pub(crate) incarnation: u64,
    pub(crate) sequence: u64,
    pub(crate) sent_us: u64,
    pub(crate) key: Option<Bytes>,
    pub(crate) payload: Bytes,
    pub(crate) received_at: SystemTime,
}

impl Incoming {
    fn size(&self) -> usize {
        self.payload.len() + self.key.as_ref().map_or(0, Bytes::len)
    }
}

/// What lies in a subscriber's inbox.
#[derive(Clone, Debug)]
pub(crate) enum Delivery {
    Record(Incoming),
    Gap {
        publisher: PeerId,
        incarnation: u64,
        from: u64,
        to: u64,
    },
    Restarted {
        publisher: PeerId,
        incarnation: u64,
    },
    Lagged {
        missed: u64,
    },
    Fork {
        publisher: PeerId,
        incarnation: u64,
        sequence: u64,
        first: Option<Bytes>,
        second: Bytes,
    },
    Silent {
        publisher: PeerId,
        since: SystemTime,
    },
    Resumed {
        publisher: PeerId,
    },
    CaughtUp,
}

impl Delivery {
    fn size(&self) -> usize {
        match self {
            Delivery::Record(record) => record.size(),
            Delivery::Fork { first, second, .. } => first.as_ref().map_or(0, Bytes::len) + second.len(),
            _ => 0,
        }
    }
}

/// The task's end of a subscriber's inbox: never waits, and counts what it had to drop.
#[derive(Debug)]
pub(crate) struct Inlet {
    filter: Filter,
    inbox: mpsc::Sender<Delivery>,
    bytes: Arc<AtomicUsize>,
    missed: u64,
}

/// The subscriber's end.
#[derive(Debug)]
pub(crate) struct SubscriptionLink {
    inbox: mpsc::Receiver<Delivery>,
    bytes: Arc<AtomicUsize>,
}

/// A bounded inbox between the task and one subscriber.
pub(crate) fn new_inbox(filter: Filter) -> (Inlet, SubscriptionLink) {
    let (sender, receiver) = mpsc::channel(INBOX_EVENTS_MAX);
    let bytes = Arc::new(AtomicUsize::new(0));
    let inlet = Inlet {
        filter,
        inbox: sender,
        bytes: bytes.clone(),
        missed: 0,
    };
    (inlet, SubscriptionLink { inbox: receiver, bytes })
}

impl Inlet {
    pub(crate) fn is_closed(&self) -> bool {
        self.inbox.is_closed()
    }

    pub(crate) fn deliver(&mut self, delivery: &Delivery) {
        let wanted = match delivery {
            Delivery::Record(record) => self.filter.wants(record),
            Delivery::Gap { publisher, .. }
            | Delivery::Restarted { publisher, .. }
            | Delivery::Fork { publisher, .. }
            | Delivery::Silent { publisher, .. }
            | Delivery::Resumed { publisher } => self.filter.wants_publisher(publisher),
            Delivery::Lagged { .. } | Delivery::CaughtUp => true,
        };
        if wanted && !self.try_deliver(delivery) {
            self.missed += 1;
        }
    }

    /// Tells a reader that has caught up what it missed, also when nothing new arrives.
    pub(crate) fn report_missed_to_idle(&mut self) {
        if self.inbox.capacity() == self.inbox.max_capacity() {
            self.report_missed();
        }
    }

    fn report_missed(&mut self) {
        if self.missed > 0 && self.inbox.try_send(Delivery::Lagged { missed: self.missed }).is_ok() {
            self.missed = 0;
        }
    }

    fn try_deliver(&mut self, delivery: &Delivery) -> bool {
        let size = delivery.size();
        if self.bytes.load(Ordering::Relaxed) + size > INBOX_BYTES_MAX {
            return false;
        }
        self.report_missed();
        if self.missed > 0 {
            return false;
        }
        // Counted before it can be taken out, so that the count never falls below zero.
        self.bytes.fetch_add(size, Ordering::Relaxed);
        let sent = self.inbox.try_send(delivery.clone()).is_ok();
        if !sent {
            self.bytes.fetch_sub(size, Ordering::Relaxed);
        }
        sent
    }
}

impl SubscriptionLink {
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Delivery>> {
        self.inbox.poll_recv(cx).map(|delivery| {
            if let Some(delivery) = &delivery {
                self.bytes.fetch_sub(delivery.size(), Ordering::Relaxed);
            }
            delivery
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::future::poll_fn;

    fn record(author: PeerId, sequence: u64, key: Option<&'static str>, bytes: usize) -> Delivery {
        Delivery::Record(Incoming {
            author,
            deliverer: author,
            incarnation: 1,
            sequence,
            sent_us: 0,
            key: key.map(Bytes::from),
            payload: vec![0; bytes].into(),
            received_at: SystemTime::UNIX_EPOCH,
        })
    }

    async fn sequence(link: &mut SubscriptionLink) -> Result<u64, u64> {
        match poll_fn(|cx| link.poll_next(cx)).await.unwrap() {
            Delivery::Record(record) => Ok(record.sequence),
            Delivery::Lagged { missed } => Err(missed),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn an_inbox_is_bounded_in_bytes_and_says_what_it_dropped() {
        let author = PeerId::random();
        let (mut inlet, mut link) = new_inbox(Filter::default());
        let bytes = INBOX_BYTES_MAX / 4;
        for n in 0..10 {
            inlet.deliver(&record(author, n, None, bytes));
        }
        for n in 0..4 {
            assert_eq!(sequence(&mut link).await, Ok(n));
        }
        inlet.deliver(&record(author, 10, None, 1));
        assert_eq!(sequence(&mut link).await, Err(6));
        assert_eq!(sequence(&mut link).await, Ok(10));
        assert_eq!(link.bytes.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn an_inbox_is_bounded_in_events() {
        let author = PeerId::random();
        let (mut inlet, mut link) = new_inbox(Filter::default());
        for n in 0..=INBOX_EVENTS_MAX as u64 {
            inlet.deliver(&record(author, n, None, 0));
        }
        assert_eq!(sequence(&mut link).await, Ok(0));
        inlet.report_missed_to_idle();
        for n in 1..INBOX_EVENTS_MAX as u64 {
            assert_eq!(sequence(&mut link).await, Ok(n));
        }
        inlet.report_missed_to_idle();
        assert_eq!(sequence(&mut link).await, Err(1));
    }

    #[tokio::test]
    async fn filters_choose_authors_and_keys() {
        let (a, b) = (PeerId::random(), PeerId::random());
        let filter = Filter {
            publishers: Some([a].into()),
            keys: Some(["IBM".into()].into()),
        };
        let (mut inlet, mut link) = new_inbox(filter);
        inlet.deliver(&record(a, 0, Some("IBM"), 1));
        inlet.deliver(&record(a, 1, Some("FB"), 1));
        inlet.deliver(&record(a, 2, None, 1));
        inlet.deliver(&record(b, 3, Some("IBM"), 1));
        inlet.deliver(&record(a, 4, Some("IBM"), 1));
        assert_eq!(sequence(&mut link).await, Ok(0));
        assert_eq!(sequence(&mut link).await, Ok(4));
    }
}
