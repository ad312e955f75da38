//! What nodes do with frames: flooding over the links of the overlay by the verdicts of the inbox, as the runtime wires it.
//! Lost copies are not asked for: that is for catch-up.

use std::rc::Rc;

use maille::{
    core::{
        catchup::{self, Run},
        stream::{Frame, inbox, outbox},
    },
    store::{Kept, Store},
};
use rand::seq::IteratorRandom as _;

use super::{
    node::Honesty,
    overlay::OVERLAY,
    reader::Heard,
    world::{Event, Message, World},
};

/// Bad frames from one neighbour before it is let go.
const REJECTED_MAX: u32 = 20;

impl World {
    /// A message came from a neighbour.
    pub(crate) fn heard(&mut self, from: usize, to: usize, message: &Rc<Message>) {
        if !self.nodes[to].here || !self.nodes[to].neighbours.contains(&from) || !self.is_news(to, message.id) {
            return;
        }
        let deliverer = self.nodes[from].id;
        let Some(frame) = message.frame.clone() else {
            return self.rejected(from, to);
        };
        if !self.nodes[to].is_subscribed() {
            return;
        }
        if self.nodes[to].honesty == Honesty::Replays {
            self.tapes.push((to, message.clone()));
        }
        if self.nodes[to].honesty == Honesty::Forges {
            return self.forge(to, message);
        }
        let kept = kept(&frame);
        if self.inbox_hears(to, inbox::Input::Received { frame, deliverer }) {
            self.keep(to, &kept);
            for neighbour in self.nodes[to].overlay.clone() {
                if neighbour != from {
                    self.gossip_to(to, neighbour, message);
                }
            }
        }
        self.rearm(to);
    }

    fn rejected(&mut self, from: usize, to: usize) {
        let count = self.nodes[to].rejected.entry(from).or_default();
        *count += 1;
        if *count > REJECTED_MAX {
            self.nodes[to].evicted.insert(from);
            self.unlink(from, to);
        }
    }

    /// Copies of a frame with its header and other records, to everybody at once.
    fn forge(&mut self, node: usize, message: &Message) {
        let mut wire = message.wire.to_vec();
        if let Some(last) = wire.last_mut() {
            *last ^= 1;
        }
        let forged = self.open(&wire.into());
        assert!(forged.frame.is_none(), "a forged frame that holds");
        for neighbour in self.nodes[node].neighbours.clone() {
            let at = self.now + 1;
            let message = forged.clone();
            let event = Event::Gossip {
                from: node,
                to: neighbour,
                message,
            };
            self.queue.plan(at, event);
        }
    }

    /// Nodes that replay send all that they heard once more, to all their neighbours; how many messages.
    pub(crate) fn replay(&mut self) -> usize {
        let tapes = self.tapes.clone();
        for (node, message) in &tapes {
            for neighbour in self.nodes[*node].neighbours.clone() {
                self.gossip_to(*node, neighbour, message);
            }
        }
        tapes.len()
    }

    pub(crate) fn keep(&mut self, node: usize, kept: &Kept) {
        let now_us = self.clock(node);
        let kept = self.nodes[node].ring.append(&self.topic, kept, now_us);
        kept.expect("memory does not fail");
    }

    // ---- the inbox ---------------------------------------------------------------------------------------------------

    /// Hands a fact to a node's inbox and does what it asks for; whether to pass a frame on.
    pub(crate) fn inbox_hears(&mut self, node: usize, input: inbox::Input) -> bool {
        let now = self.instant();
        let mut actions = vec![];
        let state = &mut self.nodes[node];
        if let Some(inbox) = &mut state.inbox {
            inbox.handle(input, now, &mut actions);
        }
        let (mut forward, mut missing) = (false, vec![]);
        for action in actions {
            match action {
                inbox::Action::Forward { .. } => forward = true,
                inbox::Action::Ignore { .. }
                | inbox::Action::Arrived(_)
                | inbox::Action::Silent { .. }
                | inbox::Action::Resumed { .. } => {}
                inbox::Action::Deliver(delivery) => {
                    let run = Run {
                        publisher: delivery.author,
                        incarnation: delivery.incarnation,
                    };
                    let (sequence, payload) = (delivery.sequence, delivery.payload);
                    self.tell(node, &Heard::Record { run, sequence, payload });
                }
                inbox::Action::Repair {
                    publisher,
                    incarnation,
                    from,
                    to,
                } => missing.push((Run { publisher, incarnation }, from..to)),
                inbox::Action::Gap {
                    publisher,
                    incarnation,
                    from,
                    to,
                } => {
                    let run = Run { publisher, incarnation };
                    self.gap(node, run, from..to);
                    self.tell(node, &Heard::Gap { run, from, to });
                }
                inbox::Action::Fork {
                    publisher, incarnation, ..
                } => self.tell(node, &Heard::Fork(Run { publisher, incarnation })),
                inbox::Action::Restarted { publisher, incarnation } => {
                    self.tell(node, &Heard::Restarted(Run { publisher, incarnation }));
                }
                inbox::Action::Ack {
                    publisher,
                    incarnation,
                    next,
                } => self.acknowledge(node, Run { publisher, incarnation }, next),
                inbox::Action::Penalise { peer, .. } => panic!("seed {}: {peer} brings too many", self.seed),
            }
        }
        for (run, sequences) in missing {
            self.catchup_hears(node, catchup::Input::Missing { run, sequences });
        }
        forward
    }

    fn tell(&mut self, node: usize, heard: &Heard) {
        let readers = self.nodes[node].readers.iter_mut();
        readers.for_each(|reader| reader.deliver(heard.clone()));
    }

    fn acknowledge(&mut self, node: usize, run: Run, next: u64) {
        let Some(to) = self.at.get(&run.publisher).copied() else {
            return;
        };
        if to == node {
            return;
        }
        if self.nodes[node].neighbours.contains(&to) {
            let incarnation = run.incarnation;
            for time in self.network.carry(node, to, &mut self.rng) {
                let event = Event::Acked {
                    from: node,
                    to,
                    incarnation,
                    next,
                };
                self.queue.plan(self.now + time, event);
            }
        }
    }

    // ---- the outbox --------------------------------------------------------------------------------------------------

    /// Hands a fact to a node's publisher, if there is one, and does what it asks for.
    pub(crate) fn outbox_hears(&mut self, node: usize, input: outbox::Input) {
        let now = self.instant();
        let mut actions = vec![];
        let Some(outbox) = &mut self.nodes[node].outbox else {
            return;
        };
        outbox.handle(input, now, &mut actions);
        let incarnation = outbox.incarnation();
        for action in actions {
            match action {
                outbox::Action::Send {
                    sequences,
                    keys,
                    sent_us,
                    frame,
                } => {
                    let kept = Kept {
                        publisher: self.nodes[node].id,
                        incarnation,
                        sequences,
                        sent_us,
                        keys,
                        wire: frame.wire.clone(),
                    };
                    self.keep(node, &kept);
                    let message = self.open(&frame.wire);
                    self.send(node, &message);
                }
                outbox::Action::Refuse { why } => panic!("seed {}: {why}", self.seed),
                outbox::Action::ReportStall { .. } => {}
            }
        }
        self.rearm(node);
    }

    /// A publisher's own frame: to its overlay, or to a few neighbours if it is not subscribed itself.
    pub(crate) fn send(&mut self, node: usize, message: &Rc<Message>) {
        let frame = message.frame.clone().expect("a publisher signs what holds");
        self.is_news(node, message.id);
        let to: Vec<usize> = if self.nodes[node].is_subscribed() {
            self.nodes[node].overlay.iter().copied().collect()
        } else {
            let subscribed = self.nodes[node].neighbours.iter().copied();
            let subscribed = subscribed.filter(|neighbour| self.nodes[*neighbour].is_subscribed());
            subscribed.sample(&mut self.rng, OVERLAY)
        };
        for neighbour in to {
            self.gossip_to(node, neighbour, message);
        }
        let deliverer = self.nodes[node].id;
        self.inbox_hears(node, inbox::Input::Received { frame, deliverer });
        self.rearm(node);
    }
}

/// A frame as the store wants it.
pub(crate) fn kept(frame: &Frame) -> Kept {
    Kept {
        publisher: frame.publisher,
        incarnation: frame.incarnation,
        sequences: frame.sequences(),
        sent_us: frame.sent_us,
        keys: frame.records().map(|(_, key, _)| key.cloned()).collect(),
        wire: frame.wire.clone(),
    }
}
