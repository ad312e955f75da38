//! Who is whose neighbour, and over which of those links frames are passed on: a simple random overlay that mends itself. The
//! real choice of neighbours has its own machine and its own simulation.

use maille::core::stream::outbox;
use rand::{RngExt as _, seq::IteratorRandom as _};

use super::{
    queue::SECOND,
    world::{Event, World},
};

/// Neighbours that a node looks for ...
const NEIGHBOURS: usize = 8;
/// ... and at most has.
const NEIGHBOURS_HIGH: usize = 14;
/// Links to pass frames on over, at least, as wanted, and at most.
const OVERLAY_LOW: usize = 3;
pub(crate) const OVERLAY: usize = 4;
const OVERLAY_HIGH: usize = 6;
/// Of content nodes one in so many looks for somebody new in a second.
const CURIOUS: f64 = 1.0 / 30.0;

impl World {
    pub(crate) fn link(&mut self, a: usize, b: usize) {
        let apart = a == b || self.nodes[a].neighbours.contains(&b) || !self.network.connects(a, b);
        let shunned = self.nodes[a].evicted.contains(&b) || self.nodes[b].evicted.contains(&a);
        if apart || shunned || !self.nodes[a].here || !self.nodes[b].here {
            return;
        }
        self.nodes[a].neighbours.insert(b);
        self.nodes[b].neighbours.insert(a);
        for (node, other) in [(a, b), (b, a)] {
            self.subscription_known(node, other);
            self.members_changed(node);
        }
    }

    /// A node hears what a neighbour is subscribed to.
    pub(crate) fn subscription_known(&mut self, node: usize, neighbour: usize) {
        if self.nodes[neighbour].is_subscribed() {
            let peer = self.nodes[neighbour].id;
            self.outbox_hears(node, outbox::Input::Subscribed { peer });
        }
        self.members_changed(node);
    }

    pub(crate) fn unlink(&mut self, a: usize, b: usize) {
        for (node, other) in [(a, b), (b, a)] {
            self.nodes[node].overlay.remove(&other);
            if self.nodes[node].neighbours.remove(&other) {
                let peer = self.nodes[other].id;
                self.outbox_hears(node, outbox::Input::Gone { peer });
                self.members_changed(node);
            }
        }
    }

    /// Cuts the network in two. Links across are not missed at once.
    pub(crate) fn part(&mut self, sides: Vec<bool>) {
        self.network.part(sides);
        for a in self.here().collect::<Vec<_>>() {
            for b in self.nodes[a].neighbours.clone() {
                if a < b && !self.network.connects(a, b) {
                    let at = self.now + self.rng.random_range(5 * SECOND..35 * SECOND);
                    self.queue.plan(at, Event::Severed { a, b });
                }
            }
        }
    }

    /// Every node mends its links.
    pub(crate) fn heartbeat(&mut self) {
        let here: Vec<usize> = self.here().collect();
        for node in &here {
            let missing = NEIGHBOURS.saturating_sub(self.nodes[*node].neighbours.len());
            let wanted = if missing == 0 && self.rng.random_bool(CURIOUS) {
                1
            } else {
                missing
            };
            for _ in 0..wanted {
                if let Some(other) = here.iter().copied().choose(&mut self.rng) {
                    self.link(*node, other);
                }
            }
            while self.nodes[*node].neighbours.len() > NEIGHBOURS_HIGH {
                let neighbours = self.nodes[*node].neighbours.iter().copied();
                let Some(surplus) = neighbours.choose(&mut self.rng) else {
                    break;
                };
                self.unlink(*node, surplus);
            }
        }
        for node in here {
            self.graft(node);
        }
    }

    fn graft(&mut self, node: usize) {
        if !self.nodes[node].is_subscribed() {
            return;
        }
        if self.nodes[node].overlay.len() < OVERLAY_LOW {
            let others = self.nodes[node].neighbours.iter().copied();
            let others = others.filter(|other| {
                let other = &self.nodes[*other];
                other.is_subscribed() && other.overlay.len() < OVERLAY_HIGH
            });
            let others: Vec<usize> = others
                .filter(|other| !self.nodes[node].overlay.contains(other))
                .collect();
            let wanted = OVERLAY - self.nodes[node].overlay.len();
            for other in others.into_iter().sample(&mut self.rng, wanted) {
                self.nodes[node].overlay.insert(other);
                self.nodes[other].overlay.insert(node);
            }
        }
    }
}
