//! The acceptor's door, one a node: which strangers' handshakes are answered, in which order, and how many at once. Not
//! the handshake, and not the connections themselves, whose limits are the swarm's.
//!
//! A knock is a hello that was read. It waits until its prefix, its wider prefix and the node have a guess left and a
//! slot is free; then it may proceed, and pays. Turns go round the prefixes, the one that had none the longest first:
//! whoever comes first, or most often, gains nothing. Known peers need no budget and pass everybody.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use rand::rngs::StdRng;

use super::{
    budget::{Budget, Group, is_local},
    queue::{Knock, Queue},
};
use crate::types::IpPrefix;

/// Handshakes at once.
pub const HANDSHAKES_MAX: usize = 8;
/// Of those, how many only known peers may have.
pub const SLOTS_FOR_KNOWN: usize = 2;
/// Strangers' handshakes at once from one IPv4 address, IPv6 /64 or relay.
pub const SLOTS_PER_PREFIX_MAX: usize = 2;
/// A handshake that waits for its peer this long may be pushed out by a newcomer.
pub const PUSH_OUT_AFTER: Duration = Duration::from_secs(2);
/// Known peers waiting for a slot.
pub const WAITING_KNOWN_MAX: usize = 64;

/// What happened at the door. `id` is the driver's number for one inbound stream, never used twice.
#[derive(Clone, Copy, Debug)]
pub enum DoormanInput {
    /// A hello was read.
    Knocked {
        /// The stream.
        id: u64,
        /// Where its connection comes from.
        prefix: IpPrefix,
        /// The peer was a member before and has not failed since.
        known: bool,
    },
    /// The stream is over, whether it waited or had proceeded.
    Ended {
        /// The stream.
        id: u64,
        /// No guess was made: the peer is a member now, or our share never left.
        refund: bool,
    },
    /// [`Doorman::next_deadline`] has passed.
    TimedOut,
}

/// What the driver does about a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DoormanAction {
    /// Answer the hello: start an [`Acceptor`](crate::core::admission::Acceptor).
    Proceed(u64),
    /// End the handshake; its slot is already another's. Send an empty frame before the end, so that an honest but slow
    /// peer does not take it for a refusal.
    PushOut(u64),
    /// End the stream: it waited too long, or too many wait.
    Expire(u64),
}

/// Decides who may proceed.
#[derive(Debug)]
pub struct Doorman {
    rng: StdRng,
    budget: Budget,
    strangers: Queue,
    /// In order of arrival.
    known: VecDeque<Knock>,
    slots: Vec<Slot>,
    seen: Option<Instant>,
}

#[derive(Debug)]
struct Slot {
    id: u64,
    prefix: IpPrefix,
    known: bool,
    /// Since when it waits for its peer: our own part takes no time.
    since: Instant,
}

impl Doorman {
    /// A door with a full budget and nobody before it. The randomness breaks ties between waiting strangers.
    #[must_use]
    pub fn new(rng: StdRng) -> Self {
        Doorman {
            rng,
            budget: Budget::new(),
            strangers: Queue::default(),
            known: VecDeque::new(),
            slots: Vec::with_capacity(HANDSHAKES_MAX),
            seen: None,
        }
    }

    /// Takes one input; what is to be done is appended to `out`.
    pub fn handle(&mut self, input: DoormanInput, now: Instant, out: &mut Vec<DoormanAction>) {
        self.seen = Some(now);
        self.expire(now, out);
        match input {
            DoormanInput::Knocked { id, prefix, known } => self.knocked(Knock { id, prefix, since: now }, known, out),
            DoormanInput::Ended { id, refund } => self.ended(id, refund),
            DoormanInput::TimedOut => {}
        }
        self.serve_known(now, out);
        self.serve_strangers(now, out);
    }

    /// When to come back with [`DoormanInput::TimedOut`].
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        let now = self.seen?;
        let expiry = [self.strangers.next_expiry(), self.known.front().map(Knock::expires_at)]
            .into_iter()
            .flatten();
        let anybody = !(self.strangers.is_empty() && self.known.is_empty());
        let push_out = self
            .slots
            .iter()
            .filter(|_| anybody)
            .map(|slot| slot.since + PUSH_OUT_AFTER);
        // Without a guess for the node there is none for anybody.
        let refill = match self.budget.check_node(now) {
            Err(at) => (!self.strangers.is_empty()).then_some(at),
            Ok(()) => self.strangers.next_refill(now),
        };
        expiry.chain(push_out).chain(refill).filter(|at| *at > now).min()
    }

    fn knocked(&mut self, knock: Knock, known: bool, out: &mut Vec<DoormanAction>) {
        if known {
            if self.known.len() < WAITING_KNOWN_MAX {
                self.known.push_back(knock);
            } else {
                out.push(DoormanAction::Expire(knock.id));
            }
            return;
        }
        let budget = self.budget.check_prefix(&knock.prefix, knock.since);
        let last_turn = self.budget.last_turn_of_group(&Group::of(&knock.prefix));
        let dropped = self.strangers.push(knock, budget, last_turn, &mut self.rng);
        out.extend(dropped.map(|knock| DoormanAction::Expire(knock.id)));
    }

    fn ended(&mut self, id: u64, refund: bool) {
        if let Some(index) = self.slots.iter().position(|slot| slot.id == id) {
            let slot = self.slots.swap_remove(index);
            if refund && !slot.known {
                self.budget.refund(&slot.prefix);
                self.strangers.refunded(Group::of(&slot.prefix));
            }
            return;
        }
        self.strangers.remove(id);
        self.known.retain(|knock| knock.id != id);
    }

    fn expire(&mut self, now: Instant, out: &mut Vec<DoormanAction>) {
        let expired = self.known.iter().take_while(|knock| knock.expires_at() <= now).count();
        let known = self.known.drain(..expired);
        out.extend(
            known
                .chain(self.strangers.expire(now))
                .map(|knock| DoormanAction::Expire(knock.id)),
        );
    }

    fn serve_known(&mut self, now: Instant, out: &mut Vec<DoormanAction>) {
        while !self.known.is_empty() {
            if self.slots.len() >= HANDSHAKES_MAX {
                // A stranger goes before a known peer does.
                let slow = slowest(&self.slots, now, |slot| !slot.known);
                let Some(slow) = slow.or_else(|| slowest(&self.slots, now, |_| true)) else {
                    return;
                };
                self.push_out(slow, out);
            }
            if let Some(knock) = self.known.pop_front() {
                self.proceed(knock, true, now, out);
            }
        }
    }

    fn serve_strangers(&mut self, now: Instant, out: &mut Vec<DoormanAction>) {
        while self.budget.check_node(now).is_ok() && any_room(&self.slots, now) {
            let room = |prefix: &IpPrefix| slot_room(&self.slots, prefix, now);
            let next = self
                .strangers
                .next(&self.budget, |prefix| room(prefix).is_some(), now, &mut self.rng);
            let Some(knock) = next else { return };
            if let Some(Room::Slow(slow)) = room(&knock.prefix) {
                self.push_out(slow, out);
            }
            self.budget.charge(&knock.prefix, now);
            self.strangers.had_turn(Group::of(&knock.prefix), now);
            self.proceed(knock, false, now, out);
        }
    }

    fn push_out(&mut self, index: usize, out: &mut Vec<DoormanAction>) {
        out.push(DoormanAction::PushOut(self.slots.swap_remove(index).id));
    }

    fn proceed(&mut self, knock: Knock, known: bool, now: Instant, out: &mut Vec<DoormanAction>) {
        self.slots.push(Slot {
            id: knock.id,
            prefix: knock.prefix,
            known,
            since: now,
        });
        out.push(DoormanAction::Proceed(knock.id));
    }
}

enum Room {
    Free,
    Slow(usize),
}

/// Whether there is room for any stranger at all: spares a full door from asking for each.
fn any_room(slots: &[Slot], now: Instant) -> bool {
    has_free_slot(slots) || slowest(slots, now, |slot| !slot.known).is_some()
}

fn has_free_slot(slots: &[Slot]) -> bool {
    let strangers = slots.iter().filter(|slot| !slot.known).count();
    slots.len() < HANDSHAKES_MAX && strangers < HANDSHAKES_MAX - SLOTS_FOR_KNOWN
}

/// Room for a stranger: a free slot, or one whose peer has been slow.
fn slot_room(slots: &[Slot], prefix: &IpPrefix, now: Instant) -> Option<Room> {
    let of_prefix = |slot: &Slot| !slot.known && slot.prefix == *prefix;
    if !is_local(prefix) && slots.iter().filter(|slot| of_prefix(slot)).count() >= SLOTS_PER_PREFIX_MAX {
        return slowest(slots, now, of_prefix).map(Room::Slow);
    }
    if has_free_slot(slots) {
        return Some(Room::Free);
    }
    slowest(slots, now, |slot| !slot.known).map(Room::Slow)
}

/// Of the slots asked for, the one that has waited for its peer longest, and long enough.
fn slowest(slots: &[Slot], now: Instant, wanted: impl Fn(&Slot) -> bool) -> Option<usize> {
    let wanted = slots.iter().enumerate().filter(|(_, slot)| wanted(slot));
    let slow = wanted.map(|(index, slot)| (slot.since, index));
    slow.filter(|(since, _)| *since + PUSH_OUT_AFTER <= now)
        .min()
        .map(|(_, index)| index)
}
