//! Members of a document in a network that delays, reorders, loses and parts, in virtual time; and what each stored.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use libp2p::PeerId;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::core::document::{Action, Contents, Input, Machine, OwnUpdate, Reader, StateHash};

/// What a member stored, in the order of storing.
#[derive(Clone, Debug)]
enum Stored {
    Own(OwnUpdate),
    Other(Bytes),
    Spread,
}

pub(super) struct Member {
    pub(super) id: PeerId,
    pub(super) machine: Machine,
    /// Follows what changes, and what it made of that.
    reader: Reader,
    followed: Contents,
    stored: Vec<Stored>,
    pub(super) is_up: bool,
    /// Those of the same side hear each other.
    pub(super) side: u32,
    pub(super) published: usize,
    pub(super) refused: usize,
}

pub(super) struct World {
    pub(super) members: Vec<Member>,
    pub(super) now: Instant,
    pub(super) rng: StdRng,
    /// On their way: when they arrive, to whom, from whom.
    flying: BTreeMap<(Instant, u64), (usize, usize, Bytes)>,
    sent: u64,
    pub(super) loss: f64,
}

const DELAY_MS_MAX: u64 = 400;

impl World {
    pub(super) fn new(members: usize, seed: u64) -> Self {
        let mut world = Self {
            members: Vec::new(),
            now: Instant::now(),
            rng: StdRng::seed_from_u64(seed),
            flying: BTreeMap::new(),
            sent: 0,
            loss: 0.0,
        };
        for _ in 0..members {
            let id = PeerId::random();
            let mut machine = world.machine(id);
            world.members.push(Member {
                id,
                reader: machine.follow(),
                followed: Contents::default(),
                machine,
                stored: Vec::new(),
                is_up: true,
                side: 0,
                published: 0,
                refused: 0,
            });
        }
        world.meet();
        for member in 0..members {
            world.tell(member, Input::CaughtUp);
        }
        world
    }

    fn machine(&mut self, id: PeerId) -> Machine {
        let (run, seed) = (self.rng.random(), self.rng.random());
        Machine::new(id, run, StdRng::seed_from_u64(seed), self.now, 1)
    }

    fn hear_each_other(&self, one: usize, other: usize) -> bool {
        let (one, other) = (&self.members[one], &self.members[other]);
        one.is_up && other.is_up && one.side == other.side
    }

    /// Tells everybody how many neighbours there are.
    pub(super) fn meet(&mut self) {
        for member in 0..self.members.len() {
            let others = (0..self.members.len()).filter(|other| *other != member);
            let neighbours = others.filter(|other| self.hear_each_other(member, *other)).count();
            self.tell(member, Input::Neighbours(neighbours));
        }
    }

    pub(super) fn tell(&mut self, member: usize, input: Input) {
        if self.members[member].is_up {
            let mut out = Vec::new();
            let now = self.now;
            self.members[member].machine.handle(input, now, &mut out);
            self.perform(member, out);
        }
    }

    /// Does something with a member's machine.
    pub(super) fn with<T>(
        &mut self,
        member: usize,
        act: impl FnOnce(&mut Machine, Instant, &mut Vec<Action>) -> T,
    ) -> T {
        let mut out = Vec::new();
        let said = act(&mut self.members[member].machine, self.now, &mut out);
        self.perform(member, out);
        said
    }

    fn perform(&mut self, member: usize, actions: Vec<Action>) {
        for action in actions {
            let stored = &mut self.members[member].stored;
            match action {
                Action::StoreOwn(own) => stored.push(Stored::Own(own)),
                Action::Store(update) => stored.push(Stored::Other(update)),
                Action::StoreSpread => stored.push(Stored::Spread),
                Action::Replace { base, own } => {
                    *stored = vec![Stored::Other(base)];
                    stored.extend(own.into_iter().map(Stored::Own));
                }
                Action::Publish { record, upto, .. } => {
                    self.members[member].published += 1;
                    let mut reached = false;
                    for other in (0..self.members.len()).filter(|other| *other != member) {
                        reached |= self.send(member, other, &record);
                    }
                    if upto > 0 && reached && self.loss == 0.0 {
                        self.tell(member, Input::Spread { upto });
                    }
                }
                Action::Changed => {}
                Action::Refuse { .. } => self.members[member].refused += 1,
            }
        }
    }

    fn send(&mut self, from: usize, to: usize, record: &Bytes) -> bool {
        if !self.hear_each_other(from, to) {
            return false;
        }
        if self.rng.random_bool(self.loss) {
            // The streams say so later, or never.
            if self.rng.random_bool(0.5) {
                self.tell(to, Input::Missed);
            }
            return false;
        }
        let times = if self.rng.random_bool(0.05) { 2 } else { 1 };
        for _ in 0..times {
            let delay = Duration::from_millis(self.rng.random_range(1..DELAY_MS_MAX));
            self.sent += 1;
            self.flying
                .insert((self.now + delay, self.sent), (to, from, record.clone()));
        }
        true
    }

    /// Lets time pass.
    pub(super) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let flying = self.flying.first_key_value().map(|((at, _), _)| *at);
            let deadlines = self.members.iter().filter(|member| member.is_up);
            let deadline = deadlines.filter_map(|member| member.machine.next_deadline()).min();
            let Some(at) = [flying, deadline].into_iter().flatten().min().filter(|at| *at <= end) else {
                break;
            };
            self.now = self.now.max(at);
            if flying == Some(at) {
                let (_, (to, from, record)) = self.flying.pop_first().unwrap();
                let author = self.members[from].id;
                self.tell(
                    to,
                    Input::Received {
                        author,
                        record,
                        sent_us: 1,
                    },
                );
            } else {
                for member in 0..self.members.len() {
                    if self.members[member]
                        .machine
                        .next_deadline()
                        .is_some_and(|due| due <= at)
                    {
                        self.tell(member, Input::TimedOut);
                    }
                }
            }
        }
        self.now = end;
    }

    /// A member begins again with what it stored.
    pub(super) fn restart(&mut self, member: usize) {
        let mut machine = self.machine(self.members[member].id);
        for stored in self.members[member].stored.clone() {
            match stored {
                Stored::Own(own) => machine.load_own(own, self.now),
                Stored::Other(update) => machine.load(update),
                Stored::Spread => machine.load_spread(),
            }
        }
        self.members[member].reader = machine.follow();
        self.members[member].machine = machine;
        self.members[member].is_up = true;
        self.meet();
        self.tell(member, Input::CaughtUp);
    }

    pub(super) fn hash(&mut self, member: usize) -> StateHash {
        self.members[member].machine.contents().hash()
    }

    /// A member looks at what changed: with it, it has what the document holds.
    pub(super) fn look(&mut self, member: usize) {
        let Member {
            machine,
            reader,
            followed,
            ..
        } = &mut self.members[member];
        followed.apply(machine.look(*reader));
        assert_eq!(*followed, *machine.contents());
        assert_eq!(*followed, machine.replica.read_anew());
        assert!(machine.look(*reader).is_empty());
    }

    pub(super) fn are_equal(&mut self) -> bool {
        let first = self.hash(0);
        (1..self.members.len()).all(|member| self.hash(member) == first)
    }
}
