//! A subscriber's inbox: bounded, fed by the task and read by a handle. Not what is put into it.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::SystemTime;

use bytes::Bytes;
use libp2p::PeerId;
use tokio::sync::{Notify, mpsc};

use crate::core::catchup::{Run, SessionId};
use crate::core::stream::conflate::{Conflation, Pushed};
use crate::types::Delivery;

/// Events in a subscriber's inbox.
pub(crate) const INBOX_EVENTS_MAX: usize = 65_536;
/// Bytes of keys and payloads in a subscriber's inbox.
pub(crate) const INBOX_BYTES_MAX: usize = 64 * 1_024 * 1_024;

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
pub(crate) enum Notice {
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
    Unanswered,
    CaughtUp,
}

impl Notice {
    fn size(&self) -> usize {
        match self {
            Notice::Record(record) => record.size(),
            Notice::Fork { first, second, .. } => first.as_ref().map_or(0, Bytes::len) + second.len(),
            _ => 0,
        }
    }
}

/// The task's end of a subscriber's inbox: never waits, and counts what it had to drop.
#[derive(Debug)]
pub(crate) struct Inlet {
    filter: Filter,
    delivery: Delivery,
    phase: Phase,
    inbox: mpsc::Sender<Queued>,
    shared: Arc<Shared>,
    missed: u64,
}

/// What a subscriber is fed with.
#[derive(Debug)]
enum Phase {
    /// With the past, by this session: nothing live yet. Of each publisher the run that was given last.
    History(SessionId, HashMap<PeerId, u64>),
    /// With what arrives, from these places on: the run of each publisher and its next sequence number.
    Live(HashMap<PeerId, (u64, u64)>),
}

/// What both ends of an inbox know.
#[derive(Debug, Default)]
struct Shared {
    bytes: AtomicUsize,
    /// The task waits for room.
    waiting: AtomicBool,
    room: Arc<Notify>,
    /// Records of a subscriber that conflates.
    newest: Mutex<Newest>,
}

/// What lies in an inbox; none: records wait in the conflation.
type Queued = Option<Notice>;

/// The newest records, by author and key.
type Newest = Conflation<(PeerId, Option<Bytes>), Incoming>;

impl Shared {
    /// Nothing is left half done by a panic while it is locked.
    fn newest(&self) -> MutexGuard<'_, Newest> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The subscriber's end.
#[derive(Debug)]
pub(crate) struct SubscriptionLink {
    inbox: mpsc::Receiver<Queued>,
    shared: Arc<Shared>,
}

/// A bounded inbox between the task and one subscriber, who begins with a session of the past, or with what arrives.
/// `room` is notified when there is room again.
pub(crate) fn new_inbox(
    filter: Filter,
    delivery: Delivery,
    session: Option<SessionId>,
    room: Arc<Notify>,
) -> (Inlet, SubscriptionLink) {
    let (sender, receiver) = mpsc::channel(INBOX_EVENTS_MAX);
    let shared = Arc::new(Shared {
        room,
        ..Shared::default()
    });
    let inlet = Inlet {
        filter,
        delivery,
        phase: session.map_or_else(
            || Phase::Live(HashMap::new()),
            |session| Phase::History(session, HashMap::new()),
        ),
        inbox: sender,
        shared: shared.clone(),
        missed: 0,
    };
    let inbox = receiver;
    (inlet, SubscriptionLink { inbox, shared })
}

impl Inlet {
    pub(crate) fn is_closed(&self) -> bool {
        self.inbox.is_closed()
    }

    /// The session that feeds it, if it is not live yet.
    pub(crate) fn session(&self) -> Option<SessionId> {
        match self.phase {
            Phase::History(session, _) => Some(session),
            Phase::Live(_) => None,
        }
    }

    /// It has all of the past up to these places; from now on it hears what arrives.
    pub(crate) fn go_live(&mut self, reached: impl IntoIterator<Item = (Run, u64)>) {
        let mut latest: HashMap<PeerId, (u64, u64)> = HashMap::new();
        for (run, next) in reached {
            let place = latest.entry(run.publisher).or_default();
            *place = (run.incarnation, next).max(*place);
        }
        self.phase = Phase::Live(latest);
        self.give(&Notice::CaughtUp);
    }

    /// Whether it is live, wants everything, and has not read for long. The notice of room comes when it has.
    pub(crate) fn is_crowded(&self) -> bool {
        matches!((self.delivery, &self.phase), (Delivery::Ordered, Phase::Live(_))) && !self.has_room()
    }

    /// Hands over a record of the past.
    pub(crate) fn give_past(&mut self, record: Incoming) {
        if let Phase::History(_, runs) = &mut self.phase {
            let (publisher, incarnation) = (record.author, record.incarnation);
            let before = runs.insert(publisher, incarnation);
            if before.is_some_and(|before| before < incarnation) {
                self.give(&Notice::Restarted { publisher, incarnation });
            }
        }
        self.give(&Notice::Record(record));
    }

    /// Whether more of the past may be fetched for it. If not, the notice of room comes later.
    pub(crate) fn has_room(&self) -> bool {
        let has_room = || {
            self.inbox.capacity() > INBOX_EVENTS_MAX / 2
                && self.shared.bytes.load(Ordering::Acquire) < INBOX_BYTES_MAX / 2
        };
        if has_room() {
            return true;
        }
        self.shared.waiting.store(true, Ordering::Release);
        // It may have been read meanwhile.
        has_room()
    }

    /// Whether it hears records as they arrive, not in their turn.
    pub(crate) fn is_hurried(&self) -> bool {
        self.delivery != Delivery::Ordered
    }

    /// Hands over a record that just arrived, if it does not wait for its turn.
    pub(crate) fn deliver_arrived(&mut self, record: &Incoming, expired: bool) {
        match (self.delivery, &self.phase) {
            (Delivery::Ordered, _) | (Delivery::Immediate, Phase::History(..)) => {}
            (Delivery::Immediate, Phase::Live(_)) if expired => {}
            (Delivery::Immediate, Phase::Live(_)) | (Delivery::Conflated, _) => {
                self.give(&Notice::Record(record.clone()));
            }
        }
    }

    /// Hands over what is told in turn, unless it comes before its place.
    pub(crate) fn deliver(&mut self, delivery: &Notice) {
        if self.is_hurried() && matches!(delivery, Notice::Record(_) | Notice::Gap { .. }) {
            return;
        }
        match (&self.phase, delivery) {
            (Phase::History(..), Notice::Record(_) | Notice::Gap { .. } | Notice::Restarted { .. }) => {}
            (Phase::History(..), _) => self.give(delivery),
            (Phase::Live(reached), delivery) => {
                if let Some(delivery) = after(reached, delivery) {
                    self.give(&delivery);
                }
            }
        }
    }

    /// Hands over what it wants.
    pub(crate) fn give(&mut self, delivery: &Notice) {
        let wanted = match delivery {
            Notice::Record(record) => self.filter.wants(record),
            Notice::Gap { publisher, .. }
            | Notice::Restarted { publisher, .. }
            | Notice::Fork { publisher, .. }
            | Notice::Silent { publisher, .. }
            | Notice::Resumed { publisher } => self.filter.wants_publisher(publisher),
            Notice::Lagged { .. } | Notice::Unanswered | Notice::CaughtUp => true,
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

    fn conflate(&mut self, record: Incoming) -> bool {
        let (key, place) = (
            (record.author, record.key.clone()),
            (record.incarnation, record.sequence),
        );
        let size = record.size();
        let mut newest = self.shared.newest();
        let was_empty = newest.is_empty();
        let pushed = newest.push(key, place, record, size);
        drop(newest);
        if was_empty && pushed == Pushed::Waits {
            // If there is no room for this one, the reader has others to wake it.
            let _ = self.inbox.try_send(None);
        }
        pushed != Pushed::Full
    }

    fn report_missed(&mut self) {
        if self.missed > 0
            && self
                .inbox
                .try_send(Some(Notice::Lagged { missed: self.missed }))
                .is_ok()
        {
            self.missed = 0;
        }
    }

    fn try_deliver(&mut self, delivery: &Notice) -> bool {
        if let (Delivery::Conflated, Notice::Record(record)) = (self.delivery, delivery) {
            return self.conflate(record.clone());
        }
        let size = delivery.size();
        if self.shared.bytes.load(Ordering::Acquire) + size > INBOX_BYTES_MAX {
            return false;
        }
        self.report_missed();
        if self.missed > 0 {
            return false;
        }
        // Counted before it can be taken out, so that the count never falls below zero.
        self.shared.bytes.fetch_add(size, Ordering::AcqRel);
        let sent = self.inbox.try_send(Some(delivery.clone())).is_ok();
        if !sent {
            self.shared.bytes.fetch_sub(size, Ordering::AcqRel);
        }
        sent
    }
}

/// What of a delivery lies after these places.
fn after<'a>(reached: &HashMap<PeerId, (u64, u64)>, delivery: &'a Notice) -> Option<Cow<'a, Notice>> {
    let place = |publisher| reached.get(publisher).copied().unwrap_or_default();
    match delivery {
        Notice::Record(record) if (record.incarnation, record.sequence) < place(&record.author) => None,
        Notice::Restarted { publisher, incarnation } if *incarnation <= place(publisher).0 => None,
        Notice::Gap {
            publisher,
            incarnation,
            from,
            to,
        } => {
            let (run, next) = place(publisher);
            match incarnation.cmp(&run) {
                std::cmp::Ordering::Less => None,
                std::cmp::Ordering::Equal if *to <= next => None,
                std::cmp::Ordering::Equal if *from < next => Some(Cow::Owned(Notice::Gap {
                    publisher: *publisher,
                    incarnation: *incarnation,
                    from: next,
                    to: *to,
                })),
                _ => Some(Cow::Borrowed(delivery)),
            }
        }
        _ => Some(Cow::Borrowed(delivery)),
    }
}

impl SubscriptionLink {
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Notice>> {
        loop {
            if let Some(record) = self.shared.newest().pop() {
                return Poll::Ready(Some(Notice::Record(record)));
            }
            match std::task::ready!(self.inbox.poll_recv(cx)) {
                None => return Poll::Ready(None),
                Some(None) => {}
                Some(Some(notice)) => {
                    self.was_read(&notice);
                    return Poll::Ready(Some(notice));
                }
            }
        }
    }

    fn was_read(&self, notice: &Notice) {
        let bytes = self.shared.bytes.fetch_sub(notice.size(), Ordering::AcqRel);
        let has_room = self.inbox.len() < INBOX_EVENTS_MAX / 2 && bytes < INBOX_BYTES_MAX / 2;
        if has_room && self.shared.waiting.swap(false, Ordering::AcqRel) {
            self.shared.room.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::future::poll_fn;

    fn record(author: PeerId, sequence: u64, key: Option<&'static str>, bytes: usize) -> Notice {
        Notice::Record(Incoming {
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
            Notice::Record(record) => Ok(record.sequence),
            Notice::Lagged { missed } => Err(missed),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn an_inbox_is_bounded_in_bytes_and_says_what_it_dropped() {
        let author = PeerId::random();
        let (mut inlet, mut link) = new_inbox(Filter::default(), Delivery::Ordered, None, Arc::default());
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
        assert_eq!(link.shared.bytes.load(Ordering::Acquire), 0);
    }

    #[tokio::test]
    async fn an_inbox_is_bounded_in_events() {
        let author = PeerId::random();
        let (mut inlet, mut link) = new_inbox(Filter::default(), Delivery::Ordered, None, Arc::default());
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
        let (mut inlet, mut link) = new_inbox(filter, Delivery::Ordered, None, Arc::default());
        inlet.deliver(&record(a, 0, Some("IBM"), 1));
        inlet.deliver(&record(a, 1, Some("FB"), 1));
        inlet.deliver(&record(a, 2, None, 1));
        inlet.deliver(&record(b, 3, Some("IBM"), 1));
        inlet.deliver(&record(a, 4, Some("IBM"), 1));
        assert_eq!(sequence(&mut link).await, Ok(0));
        assert_eq!(sequence(&mut link).await, Ok(4));
    }
}
