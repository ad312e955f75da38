//! The task that attends to one lease group: it hands records, wishes and deadlines to the machine, and publishes what that
//! asks for. It decides nothing.

use std::collections::{HashMap, VecDeque};
use std::future::{pending, poll_fn};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{Notify, mpsc, oneshot, watch};

use super::link::{Dropped, Job, LeaseLink, lock};
use crate::core::leases::{Action, Input, Leases, Lost, Token};
use crate::net::inlet::{Notice, SubscriptionLink};
use crate::net::link::{Outgoing, PublisherLink};
use crate::types::TopicName;

/// Records that wait for the publisher. Each says all: what is left out, the next one says.
const LEAVING_MAX: usize = 512;
/// How long the last word may take to leave.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(5);
/// Without any deadline of its own the machine is asked again after this.
const IDLE: Duration = Duration::from_secs(60);

/// A record for the publisher.
#[derive(Debug)]
struct Leaving {
    key: Option<Bytes>,
    record: Bytes,
    made_at: Instant,
}

/// What a handle waits for, or holds.
#[derive(Debug)]
enum Wish {
    Wanted(oneshot::Sender<Option<LeaseLink>>),
    Held(watch::Sender<Option<Lost>>),
}

impl Wish {
    fn is_dropped(&self) -> bool {
        match self {
            Wish::Wanted(reply) => reply.is_closed(),
            Wish::Held(lost) => lost.is_closed(),
        }
    }
}

pub(super) struct Attendant {
    topic: TopicName,
    machine: Arc<Mutex<Leases>>,
    jobs: mpsc::Receiver<Job>,
    publisher: Arc<PublisherLink>,
    subscription: SubscriptionLink,
    dropped: Arc<Notify>,
    changes: watch::Sender<u64>,
    /// As many as the machine has.
    wishes: HashMap<Bytes, Wish>,
    leaving: VecDeque<Leaving>,
    /// Told once nothing is leaving.
    flushed: Vec<oneshot::Sender<()>>,
}

impl Attendant {
    pub(super) fn new(
        topic: TopicName,
        machine: Arc<Mutex<Leases>>,
        jobs: mpsc::Receiver<Job>,
        (publisher, subscription): (Arc<PublisherLink>, SubscriptionLink),
        dropped: Arc<Notify>,
        changes: watch::Sender<u64>,
    ) -> Self {
        Self {
            topic,
            machine,
            jobs,
            publisher,
            subscription,
            dropped,
            changes,
            wishes: HashMap::new(),
            leaving: VecDeque::new(),
            flushed: Vec::new(),
        }
    }

    /// Attends until the last handle is dropped, or the mesh is left.
    pub(super) async fn attend(mut self) {
        while self.turn().await {}
        // Who still asks is told that it is over.
        self.jobs.close();
        self.hear(Input::Leaving);
        // Others wait for the leases to end where it does not leave in time.
        let _ = tokio::time::timeout(LEAVE_TIMEOUT, self.leave()).await;
        for wish in self.wishes.into_values() {
            if let Wish::Held(lost) = wish {
                lost.send_replace(Some(Lost::Closed));
            }
        }
    }

    /// Whether to go on.
    async fn turn(&mut self) -> bool {
        let deadline = lock(&self.machine).next_deadline();
        let deadline = deadline.unwrap_or_else(|| Instant::now() + IDLE);
        tokio::select! {
            job = self.jobs.recv() => match job {
                Some(job) => self.on_job(job),
                None => return false,
            },
            notice = poll_fn(|cx| self.subscription.poll_next(cx)) => match notice {
                Some(notice) => self.on_notice(notice),
                None => return false,
            },
            pushed = push(&self.publisher, self.leaving.front()) => match pushed {
                Some(_) => self.on_left(),
                None => return false,
            },
            () = self.dropped.notified() => self.sweep(),
            () = tokio::time::sleep_until(deadline.into()) => self.hear(Input::TimedOut),
        }
        true
    }

    async fn leave(&mut self) {
        while let Some(leaving) = self.leaving.pop_front() {
            if push(&self.publisher, Some(&leaving)).await.is_none() {
                return;
            }
        }
    }

    // ---- facts ---------------------------------------------------------------------------------------------------

    fn on_job(&mut self, job: Job) {
        match job {
            Job::Acquire { key, waits, reply } => {
                let (has_room, is_wanted) = {
                    let machine = lock(&self.machine);
                    (machine.has_room(), machine.wants(&key))
                };
                if has_room && !is_wanted {
                    self.wishes.insert(key.clone(), Wish::Wanted(reply));
                    self.hear(Input::Want { key, waits });
                }
            }
            Job::Offer { offers, done } => {
                self.hear(Input::Offer(offers));
                self.when_flushed(done);
            }
            Job::Flush { done } => {
                self.sweep();
                self.when_flushed(done);
            }
        }
    }

    fn when_flushed(&mut self, done: oneshot::Sender<()>) {
        self.flushed.retain(|done| !done.is_closed());
        self.flushed.push(done);
        self.tell_flushed();
    }

    fn on_notice(&mut self, notice: Notice) {
        match notice {
            Notice::Record(incoming) => self.hear(Input::Received {
                author: incoming.author,
                cursor: (incoming.incarnation, incoming.sequence),
                record: incoming.payload,
            }),
            Notice::Fork {
                publisher, incarnation, ..
            } => self.hear(Input::Forked {
                author: publisher,
                incarnation,
            }),
            Notice::CaughtUp => self.hear(Input::CaughtUp),
            // What is missing, the next record of its author says, and who is silent loses its leases by the clock.
            Notice::Gap { .. }
            | Notice::Lagged { .. }
            | Notice::Restarted { .. }
            | Notice::Silent { .. }
            | Notice::Resumed { .. }
            | Notice::Unanswered => {}
        }
    }

    fn on_left(&mut self) {
        if let Some(Leaving { made_at, .. }) = self.leaving.pop_front() {
            self.hear(Input::Left { made_at });
        }
        self.tell_flushed();
    }

    fn tell_flushed(&mut self) {
        if self.leaving.is_empty() {
            for done in self.flushed.drain(..) {
                let _ = done.send(());
            }
        }
    }

    /// Gives up what no handle waits for or holds any more.
    fn sweep(&mut self) {
        let dropped = self.wishes.extract_if(|_, wish| wish.is_dropped());
        for (key, _) in dropped.collect::<Vec<_>>() {
            self.hear(Input::Unwant { key });
        }
    }

    fn hear(&mut self, input: Input) {
        let now = Instant::now();
        let mut actions = Vec::new();
        lock(&self.machine).handle(input, now, &mut actions);
        for action in actions {
            self.perform(action, now);
        }
    }

    // ---- actions -------------------------------------------------------------------------------------------------

    fn perform(&mut self, action: Action, made_at: Instant) {
        match action {
            Action::Publish { key, record } => self.queue(Leaving { key, record, made_at }),
            Action::Granted { key, token } => self.granted(key, token),
            Action::Refused { key } => {
                if let Some(Wish::Wanted(reply)) = self.wishes.remove(&key) {
                    let _ = reply.send(None);
                }
            }
            Action::Lost { key, why } => {
                tracing::debug!(topic = %self.topic, ?why, "a lease was lost");
                if let Some(Wish::Held(lost)) = self.wishes.remove(&key) {
                    lost.send_replace(Some(why));
                }
            }
            Action::Changed => self.changes.send_modify(|changes| *changes += 1),
        }
    }

    fn queue(&mut self, leaving: Leaving) {
        if leaving.key.is_none() {
            // It says more than a renewal that still waits.
            self.leaving.retain(|before| before.key.is_some());
        }
        if self.leaving.len() >= LEAVING_MAX {
            self.leaving.pop_front();
        }
        self.leaving.push_back(leaving);
    }

    fn granted(&mut self, key: Bytes, token: Token) {
        let Some(Wish::Wanted(reply)) = self.wishes.remove(&key) else {
            return;
        };
        let (lost, seen) = watch::channel(None);
        let link = LeaseLink {
            token,
            lost: seen,
            _dropped: Dropped(self.dropped.clone()),
        };
        self.wishes.insert(key, Wish::Held(lost));
        // If it is not waited for any more, the link is dropped, and the sweep gives it up.
        let _ = reply.send(Some(link));
    }
}

/// Waits for ever if there is nothing to push. Nothing if the mesh was left.
async fn push(publisher: &PublisherLink, leaving: Option<&Leaving>) -> Option<u64> {
    let Some(Leaving { key, record, .. }) = leaving else {
        return pending().await;
    };
    let (key, payload) = (key.clone(), record.clone());
    publisher.push(Outgoing { key, payload }).await
}
