//! Machines over a simulated network in virtual time: messages take their time, are lost, and travel as on the wire.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
    time::{Duration, Instant},
};

use libp2p::PeerId;
use maille_proto::{
    control::{Message, Presence as WirePresence, PresenceMessage},
    decode_control, encode_control,
};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::core::presence::{Action, Input, Presence, Realm};
use crate::core::stream::SigningKey;
use crate::types::Profile;

/// A message on its way takes between the first and the second.
const DELAY_MS: std::ops::Range<u64> = 5..40;
/// How often a condition is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// The clock at the start, in milliseconds since the Unix epoch.
pub(super) const EPOCH_MS: u64 = 1_700_000_000_000;

/// How a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Up,
    /// It does nothing, and its connections stand.
    Frozen,
    /// It is not there any more.
    Down,
}

pub(super) struct Node {
    pub(super) peer: PeerId,
    pub(super) machine: Presence,
    pub(super) state: State,
    /// What it told its application, and when.
    pub(super) events: Vec<(Duration, Action)>,
}

pub(super) struct World {
    start: Instant,
    pub(super) now: Instant,
    pub(super) rng: StdRng,
    pub(super) nodes: Vec<Node>,
    numbers: BTreeMap<PeerId, usize>,
    pub(super) links: BTreeSet<(usize, usize)>,
    queue: BinaryHeap<Reverse<(Instant, u64, usize, usize)>>,
    frames: BTreeMap<u64, Vec<u8>>,
    sent: u64,
    pub(super) bytes: usize,
    /// Of so many messages each is lost.
    pub(super) loss: f64,
    /// Pairs whose messages are all lost, whoever the sender.
    pub(super) cut: BTreeSet<(usize, usize)>,
}

pub(super) fn realm() -> Realm {
    Realm::new(&"party.example".parse().unwrap(), 0)
}

pub(super) fn key(number: usize) -> SigningKey {
    let mut secret = [7; 32];
    secret[..8].copy_from_slice(&(number as u64).to_be_bytes());
    SigningKey::from_secret(&secret)
}

pub(super) fn named(nickname: &str) -> Profile {
    Profile::new(nickname, "").unwrap()
}

impl World {
    pub(super) fn new(seed: u64, nodes: usize) -> Self {
        eprintln!("seed {seed}");
        let start = Instant::now();
        let mut world = Self {
            start,
            now: start,
            rng: StdRng::seed_from_u64(seed),
            nodes: Vec::new(),
            numbers: BTreeMap::new(),
            links: BTreeSet::new(),
            queue: BinaryHeap::new(),
            frames: BTreeMap::new(),
            sent: 0,
            bytes: 0,
            loss: 0.0,
            cut: BTreeSet::new(),
        };
        for _ in 0..nodes {
            world.add();
        }
        world
    }

    /// One more node; its clock is wrong by up to a day.
    pub(super) fn add(&mut self) -> usize {
        let number = self.nodes.len();
        let joined_ms = EPOCH_MS + self.rng.random_range(0..86_400_000);
        let machine = self.machine(number, joined_ms);
        let peer = key(number).publisher();
        self.numbers.insert(peer, number);
        self.nodes.push(Node {
            peer,
            machine,
            state: State::Up,
            events: Vec::new(),
        });
        number
    }

    fn machine(&mut self, number: usize, joined_ms: u64) -> Presence {
        let rng = StdRng::seed_from_u64(self.rng.random());
        Presence::new(realm(), key(number), joined_ms, joined_ms * 1_000, self.now, rng)
    }

    /// A node starts anew with its identity, and a clock of its own.
    pub(super) fn restart(&mut self, number: usize, joined_ms: u64) {
        self.nodes[number].machine = self.machine(number, joined_ms);
        self.nodes[number].state = State::Up;
    }

    pub(super) fn at(&self) -> Duration {
        self.now - self.start
    }

    pub(super) fn peer(&self, node: usize) -> PeerId {
        self.nodes[node].peer
    }

    pub(super) fn link(&mut self, a: usize, b: usize) {
        let (a, b) = (a.min(b), a.max(b));
        if a != b && self.links.insert((a, b)) {
            for (here, there) in [(a, b), (b, a)] {
                let peer = self.peer(there);
                self.hear(here, Input::Admitted { peer });
            }
        }
    }

    /// The connection between two ends, and both notice.
    pub(super) fn unlink(&mut self, a: usize, b: usize) {
        if self.links.remove(&(a.min(b), a.max(b))) {
            for (here, there) in [(a, b), (b, a)] {
                let peer = self.peer(there);
                self.hear(here, Input::Ended { peer });
            }
        }
    }

    pub(super) fn links_of(&self, node: usize) -> Vec<usize> {
        let ends = self.links.iter().filter(|(a, b)| *a == node || *b == node);
        ends.map(|(a, b)| a + b - node).collect()
    }

    /// All have some neighbours at random, and are connected.
    pub(super) fn link_at_random(&mut self, neighbours: usize) {
        let count = self.nodes.len();
        for node in 0..count {
            self.link(node, (node + 1) % count);
            while self.links_of(node).len() < neighbours {
                let other = self.rng.random_range(0..count);
                self.link(node, other);
            }
        }
    }

    /// A process ends without a word: the system closes its connections.
    pub(super) fn crash(&mut self, node: usize) {
        self.nodes[node].state = State::Down;
        for other in self.links_of(node) {
            self.unlink(node, other);
        }
    }

    /// A node leaves as it should.
    pub(super) fn leave(&mut self, node: usize) {
        self.hear(node, Input::Leaving);
        self.nodes[node].state = State::Down;
        // The connections end when what was said on them has arrived.
        for other in self.links_of(node) {
            self.links.remove(&(node.min(other), node.max(other)));
            let at = self.now + Duration::from_millis(DELAY_MS.end);
            self.push(at, node, other, Vec::new());
        }
    }

    /// Hands a fact to a node, and performs what it asks for.
    pub(super) fn hear(&mut self, node: usize, input: Input) {
        if self.nodes[node].state != State::Up {
            return;
        }
        let mut out = Vec::new();
        self.nodes[node].machine.handle(input, self.now, &mut out);
        for action in out {
            match action {
                Action::Send { peer, message } => self.send(node, peer, message),
                action => {
                    let at = self.at();
                    self.nodes[node].events.push((at, action));
                }
            }
        }
    }

    fn send(&mut self, from: usize, peer: PeerId, message: PresenceMessage) {
        let to = self.numbers[&peer];
        let message = Some(message);
        let frame = encode_control(Message::Presence(WirePresence { message }));
        self.bytes += frame.len();
        let pair = (from.min(to), from.max(to));
        if self.links.contains(&pair) && !self.cut.contains(&pair) && !self.rng.random_bool(self.loss) {
            let at = self.now + Duration::from_millis(self.rng.random_range(DELAY_MS));
            self.push(at, from, to, frame);
        }
    }

    fn push(&mut self, at: Instant, from: usize, to: usize, frame: Vec<u8>) {
        self.sent += 1;
        self.frames.insert(self.sent, frame);
        self.queue.push(Reverse((at, self.sent, from, to)));
    }

    /// Lets time pass.
    pub(super) fn run(&mut self, time: Duration) {
        self.run_until(time, |_| false);
    }

    /// Lets time pass until something holds; how long that took, or nothing if it does not in time.
    pub(super) fn run_until(&mut self, time: Duration, holds: impl Fn(&Self) -> bool) -> Option<Duration> {
        let (began, until) = (self.now, self.now + time);
        let mut look_at = began;
        loop {
            let up = self
                .nodes
                .iter()
                .enumerate()
                .filter(|(_, node)| node.state == State::Up);
            let deadline = up
                .filter_map(|(number, node)| Some((node.machine.next_deadline()?, number)))
                .min();
            let arrival = self.queue.peek().map(|Reverse((at, ..))| *at);
            let next = deadline.map(|(at, _)| at).into_iter().chain(arrival).min();
            if look_at <= until && next.is_none_or(|next| look_at <= next) {
                self.now = self.now.max(look_at);
                look_at += LOOK_INTERVAL;
                if holds(self) {
                    return Some(self.now - began);
                }
                continue;
            }
            match deadline {
                _ if next.is_none_or(|next| next > until) => {
                    self.now = until;
                    return None;
                }
                Some((at, node)) if Some(at) == next => {
                    self.now = self.now.max(at);
                    self.hear(node, Input::TimedOut);
                }
                _ => self.arrive(),
            }
        }
    }

    fn arrive(&mut self) {
        let Some(Reverse((at, id, from, to))) = self.queue.pop() else {
            return;
        };
        self.now = self.now.max(at);
        let frame = self.frames.remove(&id).unwrap();
        let peer = self.peer(from);
        if frame.is_empty() {
            return self.hear(to, Input::Ended { peer });
        }
        if !self.links.contains(&(from.min(to), from.max(to))) && self.nodes[from].state != State::Down {
            return;
        }
        let Some(Message::Presence(WirePresence { message: Some(message) })) = decode_control(&frame).unwrap() else {
            panic!("not what was sent: {frame:?}");
        };
        self.hear(to, Input::Said { peer, message });
    }

    // ---- what is seen --------------------------------------------------------------------------------------------

    /// Whether a node lists exactly these others.
    pub(super) fn lists(&self, node: usize, others: &BTreeSet<usize>) -> bool {
        let expected: BTreeSet<PeerId> = others
            .iter()
            .filter(|other| **other != node)
            .map(|n| self.peer(*n))
            .collect();
        let listed: BTreeSet<PeerId> = self.nodes[node].machine.members().map(|member| member.peer).collect();
        listed == expected
    }

    /// Whether all of these list exactly each other.
    pub(super) fn agree(&self, nodes: &BTreeSet<usize>) -> bool {
        nodes.iter().all(|node| self.lists(*node, nodes))
    }

    /// How often a node said this.
    pub(super) fn told(&self, node: usize, action: &Action) -> usize {
        self.nodes[node]
            .events
            .iter()
            .filter(|(_, event)| event == action)
            .count()
    }

    /// Who was called failed, by whom.
    pub(super) fn alarms(&self) -> Vec<(usize, &Action)> {
        let nodes = self.nodes.iter().enumerate();
        let events = nodes.flat_map(|(number, node)| node.events.iter().map(move |(_, event)| (number, event)));
        events
            .filter(|(_, event)| matches!(event, Action::Failed { .. }))
            .collect()
    }

    /// What a node lists of another.
    pub(super) fn nickname(&self, node: usize, of: usize) -> Option<String> {
        let peer = self.peer(of);
        let listed = self.nodes[node].machine.members().find(|member| member.peer == peer)?;
        Some(listed.profile?.nickname().to_owned())
    }
}
