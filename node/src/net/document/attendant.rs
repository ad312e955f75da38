//! The job that attends to one document: it hands records, edits and deadlines to the machine, and publishes and stores what
//! that asks for. It decides nothing.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use tokio::sync::{broadcast, mpsc, watch};

use super::link::{Job, Shared, State};
use crate::core::document::{Action, EditError, Flaw, Input, LINGER, OwnUpdate};
use crate::net::inlet::{Notice, SubscriptionLink};
use crate::net::link::{Outgoing, PublisherLink, PublisherState};
use crate::net::{MeshEvent, aside};
use crate::store::{DocumentEntry, DocumentFile, FileError};
use crate::types::TopicName;

/// Records that wait for the publisher; more are left out.
const LEAVING_MAX: usize = 256;
/// Records whose acknowledgement is waited for; of the oldest it does not matter any more.
const UNACKNOWLEDGED_MAX: usize = 65_536;
/// Edits that are stored together.
const JOBS_AT_ONCE_MAX: usize = 256;
/// Notices that are taken together.
const NOTICES_AT_ONCE_MAX: usize = 1_024;
/// How long the last edits may take to leave once no handle is left.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(5);
/// Refusals of which the mesh's events tell; those after them are only logged.
const REFUSALS_TOLD_MAX: u32 = 100;

/// A record for the publisher.
#[derive(Debug)]
struct Leaving {
    record: bytes::Bytes,
    upto: u64,
    suffices: bool,
}

/// A record that left.
#[derive(Clone, Copy, Debug)]
struct Left {
    sequence: u64,
    upto: u64,
    suffices: bool,
}

/// What is to be stored.
#[derive(Debug, Default)]
struct ToStore {
    entries: Vec<DocumentEntry>,
    /// In the place of all before.
    base: Option<bytes::Bytes>,
    durable: bool,
}

pub(super) struct Attendant {
    topic: TopicName,
    shared: Arc<Shared>,
    jobs: mpsc::Receiver<Job>,
    publisher: Arc<PublisherLink>,
    state: watch::Receiver<PublisherState>,
    subscription: SubscriptionLink,
    file: Option<DocumentFile>,
    events: broadcast::Sender<MeshEvent>,
    leaving: VecDeque<Leaving>,
    left: VecDeque<Left>,
    neighbours: usize,
    changed: bool,
    /// Why something was not stored, until it is told to those who edit.
    not_stored: Option<String>,
    refusals: u32,
}

impl Attendant {
    pub(super) fn new(
        topic: TopicName,
        shared: Arc<Shared>,
        jobs: mpsc::Receiver<Job>,
        (publisher, subscription): (Arc<PublisherLink>, SubscriptionLink),
        file: Option<DocumentFile>,
        events: broadcast::Sender<MeshEvent>,
    ) -> Self {
        let mut state = publisher.state.clone();
        // Who is on the topic already is news.
        state.mark_changed();
        Self {
            topic,
            shared,
            jobs,
            publisher,
            state,
            subscription,
            file,
            events,
            leaving: VecDeque::new(),
            left: VecDeque::new(),
            neighbours: 0,
            changed: false,
            not_stored: None,
            refusals: 0,
        }
    }

    /// Attends until the last handle is dropped, or the mesh is left.
    pub(super) async fn attend(mut self, changes: watch::Sender<u64>, unsynchronised: watch::Sender<usize>) {
        loop {
            let deadline = self.shared.state().machine.next_deadline();
            let deadline = deadline.unwrap_or_else(|| Instant::now() + Duration::from_secs(60));
            let next = self.leaving.front().map(|leaving| leaving.record.clone());
            tokio::select! {
                job = self.jobs.recv(), if self.leaving.len() < LEAVING_MAX / 2 => match job {
                    Some(job) => self.on_jobs(job).await,
                    None => break,
                },
                notices = next_notices(&mut self.subscription) => match notices {
                    Some(notices) => self.on_notices(notices).await,
                    None => break,
                },
                changed = self.state.changed() => match changed {
                    Ok(()) => self.on_state().await,
                    Err(_) => break,
                },
                sequence = push(&self.publisher, next) => match sequence {
                    Some(sequence) => self.on_left(sequence),
                    None => break,
                },
                () = tokio::time::sleep_until(deadline.into()) => self.hear(vec![Input::TimedOut]).await,
            }
            if std::mem::take(&mut self.changed) {
                changes.send_modify(|changes| *changes += 1);
            }
            let now = self.shared.state().machine.unsynchronised();
            unsynchronised.send_if_modified(|before| std::mem::replace(before, now) != now);
        }
        // An error means that they are published when the document is opened again.
        let _ = tokio::time::timeout(LEAVE_TIMEOUT, self.leave()).await;
    }

    /// Stores what was edited, and publishes what gathers, if anybody is there.
    async fn leave(&mut self) {
        self.jobs.close();
        while let Ok(job) = self.jobs.try_recv() {
            self.on_jobs(job).await;
        }
        {
            let State { machine, actions } = &mut *self.shared.state();
            machine.handle(Input::TimedOut, Instant::now() + LINGER, actions);
        }
        self.perform().await;
        while let Some(leaving) = self.leaving.pop_front() {
            if push(&self.publisher, Some(leaving.record)).await.is_none() {
                return;
            }
        }
    }

    // ---- facts ---------------------------------------------------------------------------------------------------

    async fn on_jobs(&mut self, first: Job) {
        let more = std::iter::from_fn(|| self.jobs.try_recv().ok());
        let jobs: Vec<Job> = std::iter::once(first).chain(more).take(JOBS_AT_ONCE_MAX).collect();
        self.perform().await;
        // What they did may have been stored, or not, together with what came before they were met here.
        let failed = self.not_stored.take();
        for reply in jobs {
            let told = failed
                .as_ref()
                .map_or(Ok(()), |why| Err(EditError::NotStored(why.clone())));
            let _ = reply.send(told);
        }
    }

    async fn on_notices(&mut self, notices: Vec<Notice>) {
        let input = |notice| match notice {
            Notice::Record(incoming) => Some(Input::Received {
                author: incoming.author,
                record: incoming.payload,
                sent_us: incoming.sent_us,
            }),
            Notice::Gap { .. } | Notice::Lagged { .. } | Notice::Fork { .. } => Some(Input::Missed),
            Notice::CaughtUp => Some(Input::CaughtUp),
            Notice::Restarted { .. } | Notice::Silent { .. } | Notice::Resumed { .. } | Notice::Unanswered => None,
        };
        self.hear(notices.into_iter().filter_map(input).collect()).await;
    }

    async fn on_state(&mut self) {
        let state = self.state.borrow_and_update().clone();
        let mut inputs = Vec::new();
        if state.subscribed != self.neighbours {
            self.neighbours = state.subscribed;
            inputs.push(Input::Neighbours(state.subscribed));
        }
        let upto = acknowledged(&mut self.left, &state);
        inputs.extend((upto > 0).then_some(Input::Spread { upto }));
        self.hear(inputs).await;
    }

    fn on_left(&mut self, sequence: u64) {
        let left = self.leaving.pop_front().filter(|leaving| leaving.upto > 0);
        self.left.extend(left.map(|Leaving { upto, suffices, .. }| Left {
            sequence,
            upto,
            suffices,
        }));
        if self.left.len() > UNACKNOWLEDGED_MAX {
            self.left.pop_front();
        }
    }

    /// Hands facts to the machine, away from what may not wait: a whole document takes its time.
    async fn hear(&mut self, inputs: Vec<Input>) {
        if inputs.is_empty() {
            return;
        }
        let shared = self.shared.clone();
        let heard = aside::run(move || {
            let State { machine, actions } = &mut *shared.state();
            let now = Instant::now();
            inputs.into_iter().for_each(|input| machine.handle(input, now, actions));
        });
        if let Err(error) = heard.await {
            tracing::error!(topic = %self.topic, %error, "a document could not take what came");
        }
        self.perform().await;
    }

    // ---- actions -------------------------------------------------------------------------------------------------

    /// Does what the machine asked for.
    async fn perform(&mut self) {
        let actions = std::mem::take(&mut self.shared.state().actions);
        let to_store = self.sort(actions);
        if let Err(error) = self.store(to_store).await {
            tracing::error!(topic = %self.topic, %error, "a document is not stored");
            self.not_stored = Some(error.to_string());
        }
    }

    /// Does what can be done at once; what is to be stored is returned.
    fn sort(&mut self, actions: Vec<Action>) -> ToStore {
        let mut to_store = ToStore::default();
        let own = |OwnUpdate { run, update }| DocumentEntry::Own(run, update);
        for action in actions {
            match action {
                // Whoever lacks it will say so, and own edits are asked for until somebody has them.
                Action::Publish { .. } if self.leaving.len() >= LEAVING_MAX => {
                    tracing::debug!(topic = %self.topic, "neighbours are too slow; a record of a document is left out");
                }
                Action::Publish { record, upto, suffices } => {
                    self.leaving.push_back(Leaving { record, upto, suffices });
                }
                Action::StoreOwn(update) => {
                    to_store.durable = true;
                    to_store.entries.push(own(update));
                }
                Action::Store(update) => to_store.entries.push(DocumentEntry::Other(update)),
                Action::StoreSpread => to_store.entries.push(DocumentEntry::Spread),
                Action::Replace { base, own: after } => {
                    to_store.base = Some(base);
                    to_store.entries = after.into_iter().map(own).collect();
                }
                Action::Changed => self.changed = true,
                Action::Refuse { author, why } => self.refuse(author, why),
            }
        }
        to_store
    }

    fn refuse(&mut self, peer: libp2p::PeerId, why: Flaw) {
        tracing::warn!(%peer, topic = %self.topic, %why, "a member published what is no part of a document");
        self.refusals += 1;
        if self.refusals <= REFUSALS_TOLD_MAX {
            // It does not matter if nobody listens.
            let _ = self.events.send(MeshEvent::DocumentRefused {
                peer,
                topic: self.topic.clone(),
                reason: why.to_string(),
            });
        }
    }

    async fn store(&mut self, to_store: ToStore) -> Result<(), FileError> {
        let ToStore { entries, base, durable } = to_store;
        if base.is_none() && entries.is_empty() {
            return Ok(());
        }
        let Some(mut file) = self.file.take() else {
            return Ok(());
        };
        let stored = aside::run(move || {
            let stored = match base {
                Some(base) => file.replace(&base, &entries),
                None => file.append(&entries, durable),
            };
            (file, stored)
        });
        // Only a panic would keep the file.
        let (file, stored) = stored.await.expect("storing does not panic");
        self.file = Some(file);
        stored
    }
}

/// Up to which edit this node's records are with a neighbour.
fn acknowledged(left: &mut VecDeque<Left>, state: &PublisherState) -> u64 {
    let has = |left: &Left| {
        state
            .acknowledgements
            .iter()
            .any(|acknowledged| acknowledged.contains(&left.sequence))
    };
    let mut upto = 0;
    if let Some(last) = left.iter().rposition(|left| left.suffices && has(left)) {
        upto = left.drain(..=last).map(|left| left.upto).max().unwrap_or_default();
    }
    while let Some(first) = left.front().copied().filter(has) {
        left.pop_front();
        upto = upto.max(first.upto);
    }
    upto
}

/// The next notices: those that are there, at least one. Nothing if the mesh was left.
async fn next_notices(subscription: &mut SubscriptionLink) -> Option<Vec<Notice>> {
    let mut notices = vec![poll_fn(|cx| subscription.poll_next(cx)).await?];
    while notices.len() < NOTICES_AT_ONCE_MAX {
        match poll_fn(|cx| subscription.poll_next(cx)).now_or_never() {
            Some(Some(notice)) => notices.push(notice),
            Some(None) | None => break,
        }
    }
    Some(notices)
}

/// Waits for ever if there is nothing to push. Nothing if the mesh was left.
async fn push(publisher: &PublisherLink, record: Option<bytes::Bytes>) -> Option<u64> {
    let Some(payload) = record else {
        return poll_fn(|_| Poll::Pending).await;
    };
    publisher.push(Outgoing { key: None, payload }).await
}
