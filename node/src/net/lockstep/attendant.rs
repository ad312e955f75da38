//! The job that attends to one session.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::{BoxFuture, OptionFuture};
use libp2p::PeerId;
use maille_proto::decode_lockstep_snapshot;
use tokio::sync::{mpsc, oneshot};

use super::event::{LockstepEvent, SnapshotWanted};
use super::frames::FrameAt;
use crate::core::catchup::Run;
use crate::core::lockstep::{Action, FETCH_WAIT, Input, Machine, PENDING_MAX, Place};
use crate::net::inlet::{Notice, SubscriptionLink};
use crate::net::link::{Command, MeshLink, NodeLink, Outgoing, PublisherLink};
use crate::net::requests::{Caller, ServiceKey};
use crate::types::{ServiceName, TopicName};

/// Records that wait for their neighbours; while there are more, new ones are left out: the next says all.
const LEAVING_MAX: u64 = 16;
/// Events that are not ticks and wait for the application; more are left out.
const QUEUE_MAX: usize = 256;
/// Between two snapshots, which keep the application from its ticks; who asks in between asks somebody else.
const SNAPSHOT_INTERVAL: Duration = Duration::from_millis(100);
/// A machine without a deadline is looked at so often.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Where a snapshot goes.
pub(super) type SnapshotReply = oneshot::Sender<Bytes>;

pub(super) struct Attendant {
    pub(super) node: Arc<NodeLink>,
    pub(super) mesh: Arc<MeshLink>,
    pub(super) topic: TopicName,
    pub(super) name: ServiceName,
    pub(super) machine: Machine,
    pub(super) tick: Duration,
    pub(super) publisher: Arc<PublisherLink>,
    pub(super) subscription: SubscriptionLink,
    pub(super) inputs: mpsc::Receiver<Bytes>,
    pub(super) hashes: mpsc::Receiver<(u32, u64)>,
    pub(super) snapshots: mpsc::Receiver<SnapshotReply>,
    /// When one was given last.
    pub(super) given_at: Option<Instant>,
    /// A snapshot that was asked for.
    pub(super) fetching: Option<BoxFuture<'static, Option<Bytes>>>,
    /// The application's state in the last one.
    pub(super) fetched: Bytes,
    pub(super) queue: VecDeque<LockstepEvent>,
    pub(super) tell: mpsc::Sender<LockstepEvent>,
    pub(super) _service: ServiceKey,
}

impl Attendant {
    /// Attends until the handle is dropped, the mesh is left, or this node is out.
    pub(super) async fn attend(mut self) {
        let mut is_out = false;
        while !(is_out && self.queue.is_empty()) {
            let deadline = self
                .machine
                .next_deadline()
                .unwrap_or_else(|| Instant::now() + LOOK_INTERVAL);
            let tell = self.tell.clone();
            let fetching: OptionFuture<_> = self.fetching.as_mut().into();
            let inputs = tokio::select! {
                input = self.inputs.recv(), if self.machine.pending() < PENDING_MAX => match input {
                    Some(input) => vec![Input::Entered { input }],
                    None => return,
                },
                Some((tick, hash)) = self.hashes.recv() => vec![Input::Stepped { tick, hash }],
                notice = poll_fn(|cx| self.subscription.poll_next(cx)) => match notice {
                    Some(notice) => self.noticed(notice),
                    None => return,
                },
                Some(reply) = self.snapshots.recv() => self.wanted(reply),
                Some(answer) = fetching => self.fetched(answer),
                place = tell.reserve(), if !self.queue.is_empty() => match (place, self.queue.pop_front()) {
                    (Ok(place), Some(event)) => {
                        place.send(event);
                        Vec::new()
                    }
                    _ => return,
                },
                () = tell.closed() => return,
                () = tokio::time::sleep_until(deadline.into()), if self.queue.is_empty() => vec![Input::TimedOut],
            };
            let (now, mut actions) = (Instant::now(), Vec::new());
            inputs
                .into_iter()
                .for_each(|input| self.machine.handle(input, now, &mut actions));
            for action in actions {
                is_out |= matches!(action, Action::Out(_));
                self.perform(action).await;
            }
        }
    }

    // ---- facts ---------------------------------------------------------------------------------------------------

    fn noticed(&mut self, notice: Notice) -> Vec<Input> {
        match notice {
            Notice::Record(incoming) => vec![Input::Received {
                author: incoming.author,
                place: Place {
                    incarnation: incoming.incarnation,
                    sequence: incoming.sequence,
                },
                record: incoming.payload,
            }],
            Notice::Fork {
                publisher,
                first,
                second,
                ..
            } if self.queue.len() < QUEUE_MAX => {
                self.queue.push_back(LockstepEvent::Equivocated {
                    player: publisher,
                    tick: None,
                    first,
                    second: Some(second),
                });
                vec![Input::Forked { author: publisher }]
            }
            Notice::Fork { publisher: author, .. } => vec![Input::Forked { author }],
            // What was missed is said again.
            Notice::Gap { .. } | Notice::Lagged { .. } | Notice::Restarted { .. } => Vec::new(),
            Notice::Silent { .. } | Notice::Resumed { .. } | Notice::Unanswered | Notice::CaughtUp => Vec::new(),
        }
    }

    fn wanted(&mut self, reply: SnapshotReply) -> Vec<Input> {
        let is_soon = self.given_at.is_some_and(|at| at.elapsed() < SNAPSHOT_INTERVAL);
        if let Some(snapshot) = self
            .machine
            .snapshot()
            .filter(|_| !is_soon && self.queue.len() < QUEUE_MAX)
        {
            self.given_at = Some(Instant::now());
            self.queue
                .push_back(LockstepEvent::Snapshot(SnapshotWanted { snapshot, reply }));
        }
        Vec::new()
    }

    fn fetched(&mut self, answer: Option<Bytes>) -> Vec<Input> {
        self.fetching = None;
        let Some(Ok(mut snapshot)) = answer.map(|answer| decode_lockstep_snapshot(&answer)) else {
            return vec![Input::NotFetched];
        };
        self.fetched = std::mem::take(&mut snapshot.state).into();
        vec![Input::Fetched {
            snapshot: Box::new(snapshot),
        }]
    }

    // ---- actions -------------------------------------------------------------------------------------------------

    async fn perform(&mut self, action: Action) {
        let event = match action {
            Action::Send(payload) => return self.publish(payload).await,
            Action::Fetch(player) => return self.fetch(player),
            Action::Advance(step) => LockstepEvent::Tick(step),
            Action::Restore { tick } => LockstepEvent::Restore {
                tick,
                state: std::mem::take(&mut self.fetched),
            },
            Action::Accuse {
                player,
                tick,
                first,
                second,
            } => LockstepEvent::Equivocated {
                player,
                tick: Some(tick),
                first: self.frame(player, first).await,
                second: self.frame(player, second).await,
            },
            Action::Out(why) => LockstepEvent::Out(why),
            _ if self.queue.len() >= QUEUE_MAX => return,
            Action::Mismatch {
                tick,
                player,
                theirs,
                ours,
            } => LockstepEvent::Mismatch {
                tick,
                player,
                theirs,
                ours,
            },
            Action::Waiting { tick, players } => LockstepEvent::Waiting { tick, players },
            Action::Delay(ticks) => LockstepEvent::Delay {
                ticks,
                time: self.tick * ticks,
            },
        };
        self.queue.push_back(event);
    }

    async fn publish(&mut self, payload: Bytes) {
        let sent = self.publisher.state.borrow().sent;
        if self.publisher.published().saturating_sub(sent) < LEAVING_MAX {
            // There is room; and if the mesh was left, the subscription ends.
            let _ = self.publisher.push(Outgoing { key: None, payload }).await;
        }
    }

    fn fetch(&mut self, player: PeerId) {
        let caller = Caller {
            node: self.node.clone(),
            mesh: self.mesh.clone(),
            service: self.name.clone(),
            request: Bytes::new(),
            time: FETCH_WAIT,
        };
        self.fetching = Some(async move { caller.call(player).await.ok() }.boxed());
    }

    /// The frame that said it, as it travelled.
    async fn frame(&mut self, publisher: PeerId, place: Place) -> Option<Bytes> {
        let (reply, frame) = oneshot::channel();
        let Place { incarnation, sequence } = place;
        let wanted = FrameAt {
            topic: self.topic.clone(),
            run: Run { publisher, incarnation },
            sequence,
            reply,
        };
        let slot = self.mesh.slot;
        self.node.commands.send(Command::FrameAt { slot, wanted }).await.ok()?;
        frame.await.ok()?
    }
}
