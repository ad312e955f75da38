//! Players in simulated time: a network that loses, delays and parts, and an application that hashes all it is told.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::{Duration, Instant};

use bytes::Bytes;
use libp2p::PeerId;
use maille_proto::lockstep::LockstepSnapshot;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::core::lockstep::{Action, Config, Input, Machine, Out, Place, Role, Step};

pub(super) const TICK: Duration = Duration::from_millis(50);
const SESSION: u64 = 7;

/// What the network does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hardship {
    pub(super) loss: f64,
    pub(super) delay_ms: (u64, u64),
}

pub(super) const CALM: Hardship = Hardship {
    loss: 0.0,
    delay_ms: (2, 5),
};
pub(super) const ROUGH: Hardship = Hardship {
    loss: 0.05,
    delay_ms: (10, 110),
};

/// One node.
#[derive(Debug)]
pub(super) struct Player {
    pub(super) machine: Machine,
    incarnation: u64,
    sequence: u64,
    pub(super) alive: bool,
    /// Nodes it reaches have the same number.
    pub(super) side: u8,
    /// The hash after each tick it executed.
    pub(super) states: BTreeMap<u32, u64>,
    pub(super) state: u64,
    pub(super) steps: Vec<(Instant, Step)>,
    pub(super) events: Vec<(Instant, Action)>,
    fetched: Option<u64>,
    /// Adds this to what it says of its state.
    pub(super) lie: u64,
}

#[derive(Debug)]
enum Arrival {
    Record(PeerId, Place, Bytes),
    Snapshot(Option<Box<(LockstepSnapshot, u64)>>),
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) now: Instant,
    pub(super) begun: Instant,
    rng: StdRng,
    pub(super) hardship: Hardship,
    pub(super) names: Vec<PeerId>,
    pub(super) nodes: Vec<Player>,
    arrivals: BTreeMap<(Instant, u64), (usize, u64, Arrival)>,
    deadlines: BinaryHeap<Reverse<(Instant, usize)>>,
    next: u64,
    pub(super) records: u64,
    pub(super) bytes: u64,
    pub(super) inputs: f64,
}

fn fold(state: u64, step: &Step) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&state.to_be_bytes());
    hasher.update(&step.tick.to_be_bytes());
    for (player, input) in &step.inputs {
        hasher.update(&player.to_bytes());
        hasher.update(&[u8::try_from(input.len()).unwrap()]);
        hasher.update(input);
    }
    for (mark, players) in [(1, &step.joined), (2, &step.left)] {
        hasher.update(&[mark]);
        for player in players {
            hasher.update(&player.to_bytes());
        }
    }
    u64::from_be_bytes(hasher.finalize().as_bytes()[..8].try_into().unwrap())
}

impl World {
    pub(super) fn new(seed: u64, players: usize, hardship: Hardship) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut names: Vec<PeerId> = (0..players).map(|_| PeerId::random()).collect();
        names.sort_by_key(|name| name.to_bytes());
        let now = Instant::now();
        let mut world = Self {
            now,
            begun: now,
            hardship,
            names: names.clone(),
            nodes: Vec::new(),
            arrivals: BTreeMap::new(),
            deadlines: BinaryHeap::new(),
            next: 0,
            records: 0,
            bytes: 0,
            inputs: 0.2,
            rng: StdRng::seed_from_u64(rng.random()),
        };
        for name in names {
            world.add(name, Role::Play);
        }
        world
    }

    /// A node, which may be one that was there before.
    pub(super) fn add(&mut self, me: PeerId, role: Role) -> usize {
        let run = self.rng.random_range(1..u64::MAX);
        let config = Config {
            session: SESSION,
            run,
            players: self.names.clone(),
            me,
            role,
            tick: TICK,
        };
        self.nodes.push(Player {
            machine: Machine::new(config, self.now),
            incarnation: self.nodes.len() as u64 + 1,
            sequence: 0,
            alive: true,
            side: 0,
            states: BTreeMap::new(),
            state: 0,
            steps: Vec::new(),
            events: Vec::new(),
            fetched: None,
            lie: 0,
        });
        self.deadlines.push(Reverse((self.now, self.nodes.len() - 1)));
        self.nodes.len() - 1
    }

    pub(super) fn name(&self, node: usize) -> PeerId {
        let Config { me, .. } = self.nodes[node].machine.config;
        me
    }

    pub(super) fn kill(&mut self, node: usize) {
        self.nodes[node].alive = false;
    }

    fn delay(&mut self) -> Duration {
        let (least, most) = self.hardship.delay_ms;
        Duration::from_micros(self.rng.random_range(least * 1_000..=most * 1_000))
    }

    fn arrive(&mut self, at: Instant, node: usize, from_side: u8, arrival: Arrival) {
        self.next += 1;
        self.arrivals
            .insert((at, self.next), (node, u64::from(from_side), arrival));
    }

    /// A record of `author` for everybody, or for one.
    pub(super) fn send(&mut self, author: PeerId, place: Place, record: &Bytes, side: u8, only: Option<usize>) {
        self.records += 1;
        self.bytes += record.len() as u64;
        for node in 0..self.nodes.len() {
            let wanted = only.is_none_or(|only| only == node) && self.name(node) != author;
            if wanted && self.nodes[node].alive && !self.rng.random_bool(self.hardship.loss) {
                let at = self.now + self.delay();
                self.arrive(at, node, side, Arrival::Record(author, place, record.clone()));
            }
        }
    }

    pub(super) fn tell(&mut self, node: usize, input: Input) {
        let mut out = Vec::new();
        let before = self.nodes[node].machine.next_deadline();
        self.nodes[node].machine.handle(input, self.now, &mut out);
        for action in out {
            self.perform(node, action);
        }
        let after = self.nodes[node].machine.next_deadline();
        if let Some(deadline) = after.filter(|_| after != before) {
            self.deadlines.push(Reverse((deadline.max(self.now), node)));
        }
    }

    fn perform(&mut self, node: usize, action: Action) {
        let now = self.now;
        match action {
            Action::Send(record) => {
                let player = &mut self.nodes[node];
                let (incarnation, sequence, side) = (player.incarnation, player.sequence, player.side);
                player.sequence += 1;
                let place = Place { incarnation, sequence };
                self.send(self.name(node), place, &record, side, None);
            }
            Action::Advance(step) => {
                let player = &mut self.nodes[node];
                player.state = fold(player.state, &step);
                player.states.insert(step.tick, player.state);
                let (tick, hash) = (step.tick, player.state.wrapping_add(player.lie));
                player.steps.push((now, step));
                if self.rng.random_bool(self.inputs) {
                    let input = Bytes::from(vec![self.rng.random::<u8>(); self.rng.random_range(1..4)]);
                    self.tell(node, Input::Entered { input });
                }
                self.tell(node, Input::Stepped { tick, hash });
            }
            Action::Fetch(player) => {
                let side = self.nodes[node].side;
                let asked = (0..self.nodes.len())
                    .rev()
                    .find(|other| self.name(*other) == player && self.nodes[*other].alive && *other != node);
                let asked = asked.filter(|other| self.nodes[*other].side == side);
                let snapshot = asked.and_then(|other| {
                    let other = &self.nodes[other];
                    Some(Box::new((other.machine.snapshot()?, other.state)))
                });
                let at = now + self.delay() * 2;
                self.arrive(at, node, side, Arrival::Snapshot(snapshot));
            }
            Action::Restore { tick } => {
                let player = &mut self.nodes[node];
                player.state = player.fetched.expect("a snapshot came");
                player.events.push((now, Action::Restore { tick }));
            }
            other => self.nodes[node].events.push((now, other)),
        }
    }

    /// Until then, or the condition holds; whether it does.
    pub(super) fn run(&mut self, until: Duration, mut holds: impl FnMut(&Self) -> bool) -> bool {
        let until = self.begun + until;
        loop {
            if holds(self) {
                return true;
            }
            let arrival = self.arrivals.first_key_value().map(|((at, _), _)| *at);
            let deadline = self.deadlines.peek().map(|Reverse((at, _))| *at);
            let Some(at) = [arrival, deadline]
                .into_iter()
                .flatten()
                .min()
                .filter(|at| *at <= until)
            else {
                self.now = until;
                return holds(self);
            };
            self.now = self.now.max(at);
            if arrival == Some(at) {
                let (_, (node, side, arrival)) = self.arrivals.pop_first().expect("there is one");
                if !self.nodes[node].alive || u64::from(self.nodes[node].side) != side {
                    continue;
                }
                let input = match arrival {
                    Arrival::Record(author, place, record) => Input::Received { author, place, record },
                    Arrival::Snapshot(None) => Input::NotFetched,
                    Arrival::Snapshot(Some(fetched)) => {
                        self.nodes[node].fetched = Some(fetched.1);
                        Input::Fetched {
                            snapshot: Box::new(fetched.0),
                        }
                    }
                };
                self.tell(node, input);
            } else if let Some(Reverse((_, node))) = self.deadlines.pop() {
                let due = self.nodes[node].machine.next_deadline();
                if self.nodes[node].alive && due.is_some_and(|due| due <= self.now) {
                    self.tell(node, Input::TimedOut);
                    // One that is still due is handed in again, a little later.
                    if let Some(due) = self.nodes[node].machine.next_deadline() {
                        let at = due.max(self.now + Duration::from_micros(100));
                        self.deadlines.push(Reverse((at, node)));
                    }
                }
            }
        }
    }

    pub(super) fn executed(&self, node: usize) -> u32 {
        self.nodes[node].machine.executed
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.now - self.begun
    }

    /// Every two nodes had the same state after every tick that both executed; how many ticks were compared.
    pub(super) fn agree(&self, nodes: &[usize]) -> usize {
        self.agree_but(0, nodes)
    }

    /// The same, but for so many ticks in a row: those who are cut off execute what they have before they notice.
    pub(super) fn agree_but(&self, ticks_max: usize, nodes: &[usize]) -> usize {
        let mut compared = 0;
        for (at, one) in nodes.iter().enumerate() {
            for other in &nodes[at + 1..] {
                let (one, other) = (&self.nodes[*one].states, &self.nodes[*other].states);
                let mut differ = 0;
                for (tick, state) in one {
                    let Some(theirs) = other.get(tick) else { continue };
                    differ = if theirs == state { 0 } else { differ + 1 };
                    assert!(differ <= ticks_max, "{differ} other states after tick {tick}");
                    compared += 1;
                }
            }
        }
        compared
    }

    pub(super) fn is_out(&self, node: usize, why: Out) -> bool {
        self.nodes[node]
            .events
            .iter()
            .any(|(_, event)| *event == Action::Out(why))
    }
}
