//! Many machines over a network in virtual time: what the rules of one node make of a whole mesh. Admission always
//! succeeds between nodes; Kademlia is one provider store that everybody reaches, as fair and as stale as the real one.

mod scenarios;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::{test_peers::*, *};
use crate::{
    core::providers::Providers,
    types::{IpPrefix, TopicHint},
};

const LATENCY_MS_MAX: u64 = 100;
const DIAL_FAILS_AFTER: Duration = Duration::from_secs(3);
const ANNOUNCE_INTERVAL: Duration = Duration::from_secs(180);
const MESH_KEY: u64 = u64::MAX;

#[derive(Debug)]
enum Event {
    Input(u64, Input),
    /// An approach reaches its target.
    Knock {
        from: u64,
        to: u64,
    },
    Announce(u64),
}

struct Node {
    machine: Neighbours,
    topics: Vec<u64>,
    /// Which part of a cut network it is in.
    side: u8,
    reports: Vec<Status>,
    remembered: Vec<MemberRecord>,
    approaches: usize,
}

struct World {
    start: Instant,
    now: Instant,
    rng: StdRng,
    nodes: BTreeMap<u64, Node>,
    helpers: BTreeSet<u64>,
    /// Who is admitted at whom, as the network sees it.
    links: BTreeSet<(u64, u64)>,
    kademlia: Providers,
    queue: BinaryHeap<Reverse<(Instant, u64)>>,
    events: BTreeMap<u64, Event>,
    deadlines: BTreeSet<(Instant, u64)>,
    serial: u64,
    most: usize,
    steps: usize,
}

impl World {
    fn new(seed: u64) -> Self {
        eprintln!("seed {seed}");
        let start = Instant::now();
        World {
            start,
            now: start,
            rng: StdRng::seed_from_u64(seed),
            nodes: BTreeMap::new(),
            helpers: BTreeSet::new(),
            links: BTreeSet::new(),
            kademlia: Providers::new(peer(u64::MAX), StdRng::seed_from_u64(seed ^ 1)),
            queue: BinaryHeap::new(),
            events: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            serial: 0,
            most: 0,
            steps: 0,
        }
    }

    fn at(&self, delay: Duration) -> Instant {
        self.now + delay
    }

    fn schedule(&mut self, at: Instant, event: Event) {
        self.serial += 1;
        self.queue.push(Reverse((at, self.serial)));
        self.events.insert(self.serial, event);
    }

    fn latency(&mut self) -> Duration {
        Duration::from_millis(self.rng.random_range(5..=LATENCY_MS_MAX))
    }

    /// A node starts and joins.
    fn join(&mut self, n: u64, topics: &[u64]) {
        let machine = Neighbours::new(peer(n), StdRng::seed_from_u64(self.rng.random()));
        let node = Node {
            machine,
            topics: topics.to_vec(),
            side: 0,
            reports: vec![],
            remembered: vec![],
            approaches: 0,
        };
        assert!(self.nodes.insert(n, node).is_none());
        self.input(n, Input::OwnTopics(topics.iter().copied().map(TopicHint).collect()));
        self.schedule(self.now, Event::Announce(n));
    }

    /// A node's process ends: connections break, provider records stay.
    fn kill(&mut self, n: u64) {
        self.deadlines.retain(|(_, m)| *m != n);
        self.nodes.remove(&n);
        let broken: Vec<_> = self.links.iter().filter(|(a, b)| *a == n || *b == n).copied().collect();
        for (a, b) in broken {
            self.unlink(a, b);
        }
    }

    fn cut(&mut self, side: impl Fn(u64) -> u8) {
        for (n, node) in &mut self.nodes {
            node.side = side(*n);
        }
        let broken: Vec<_> = self
            .links
            .iter()
            .filter(|(a, b)| self.side(*a) != self.side(*b))
            .copied()
            .collect();
        for (a, b) in broken {
            self.unlink(a, b);
        }
    }

    fn side(&self, n: u64) -> u8 {
        self.nodes.get(&n).map_or(0, |node| node.side)
    }

    fn unlink(&mut self, a: u64, b: u64) {
        self.links.remove(&(a.min(b), a.max(b)));
        for (n, gone) in [(a, b), (b, a)] {
            self.schedule(self.now, Event::Input(n, Input::Disconnected { peer: peer(gone) }));
        }
    }

    fn run_for(&mut self, seconds: u64) {
        let end = self.at(Duration::from_secs(seconds));
        loop {
            let event_at = self.queue.peek().map(|Reverse((at, _))| *at);
            let deadline = self.deadlines.first().copied();
            match (event_at, deadline) {
                (Some(at), deadline) if at <= end && deadline.is_none_or(|(due, _)| at <= due) => {
                    let Some(Reverse((at, serial))) = self.queue.pop() else {
                        unreachable!()
                    };
                    self.now = at;
                    let event = self.events.remove(&serial).unwrap();
                    self.perform(event);
                }
                (_, Some((at, n))) if at <= end => {
                    self.now = at;
                    self.input(n, Input::TimedOut);
                }
                _ => break,
            }
        }
        self.now = end;
    }

    fn perform(&mut self, event: Event) {
        match event {
            Event::Input(n, input) => self.input(n, input),
            Event::Knock { from, to } => self.knock(from, to),
            Event::Announce(n) => self.announce(n),
        }
    }

    fn announce(&mut self, n: u64) {
        let Some(node) = self.nodes.get(&n) else { return };
        for key in node.topics.iter().copied().chain([MESH_KEY]) {
            self.kademlia.add(
                &key.to_be_bytes(),
                peer(n),
                vec![multiaddr(n)],
                IpPrefix::Memory,
                self.now,
            );
        }
        self.schedule(self.at(ANNOUNCE_INTERVAL), Event::Announce(n));
    }

    fn knock(&mut self, from: u64, to: u64) {
        if !self.nodes.contains_key(&from) {
            return;
        }
        if self.helpers.contains(&to) {
            return self.input(from, Input::NotSpeaking { peer: peer(to) });
        }
        if !self.nodes.contains_key(&to) || self.side(from) != self.side(to) {
            let failed = Event::Input(from, Input::DialFailed { peer: peer(to) });
            return self.schedule(self.at(DIAL_FAILS_AFTER), failed);
        }
        let is_new = self.links.insert((from.min(to), from.max(to)));
        let dialled = Some(multiaddr(to));
        if !is_new {
            return self.input(
                from,
                Input::Admitted {
                    peer: peer(to),
                    multiaddr: dialled,
                },
            );
        }
        let topics: Vec<TopicHint> = self.nodes[&from].topics.iter().copied().map(TopicHint).collect();
        let records = self.nodes.get_mut(&to).unwrap().machine.sample(16, &topics);
        self.input(
            from,
            Input::Admitted {
                peer: peer(to),
                multiaddr: dialled,
            },
        );
        self.input(from, Input::Sample { records });
        self.input(
            to,
            Input::Admitted {
                peer: peer(from),
                multiaddr: None,
            },
        );
        for (n, other) in [(from, to), (to, from)] {
            let delay = self.latency();
            let record = record(other, &self.nodes[&other].topics.clone());
            self.schedule(self.at(delay), Event::Input(n, Input::Profiled { record }));
        }
    }

    fn input(&mut self, n: u64, input: Input) {
        let Some(node) = self.nodes.get_mut(&n) else { return };
        let mut out = Vec::new();
        let before = node.machine.next_deadline();
        node.machine.handle(input, self.now, &mut out);
        self.steps += 1;
        let held = node.machine.neighbours().len();
        assert!(held <= high(node.topics.len()), "{n} holds {held} neighbours");
        self.most = self.most.max(held);
        let after = node.machine.next_deadline().unwrap();
        assert!(after > self.now, "a deadline that does not move on");
        if let Some(before) = before {
            self.deadlines.remove(&(before, n));
        }
        self.deadlines.insert((after, n));
        for action in out {
            self.act(n, action);
        }
    }

    fn act(&mut self, n: u64, action: Action) {
        let delay = self.latency();
        let soon = self.at(delay);
        match action {
            Action::Approach { peer, multiaddrs, .. } => {
                self.nodes.get_mut(&n).unwrap().approaches += 1;
                assert!(!multiaddrs.is_empty() || self.helpers.contains(&number(&peer)));
                self.schedule(
                    soon,
                    Event::Knock {
                        from: n,
                        to: number(&peer),
                    },
                );
            }
            Action::LookUp { topic } => {
                let key = topic.map_or(MESH_KEY, |topic| topic.0);
                let answer = self.kademlia.answer(&key.to_be_bytes(), self.now);
                for (peer, multiaddrs) in answer {
                    let topics = topic.into_iter().collect();
                    let input = Input::Found {
                        peer,
                        multiaddrs,
                        source: Source::Kademlia,
                        topics,
                    };
                    self.schedule(soon, Event::Input(n, input));
                }
                self.schedule(soon, Event::Input(n, Input::LookedUp));
            }
            Action::Swap {
                peer: to,
                records,
                answer,
            } => {
                if self.linked(n, number(&to)) {
                    let swapped = Input::Swapped {
                        peer: peer(n),
                        records,
                        answer,
                    };
                    self.schedule(soon, Event::Input(number(&to), swapped));
                }
            }
            Action::Drop { peer: to, sample } => {
                let other = number(&to);
                if self.links.remove(&(n.min(other), n.max(other))) {
                    let now = self.now;
                    let farewell = Input::Farewell {
                        peer: peer(n),
                        records: sample,
                    };
                    self.schedule(now, Event::Input(other, farewell));
                    self.schedule(now, Event::Input(other, Input::Left { peer: peer(n) }));
                    self.schedule(now, Event::Input(n, Input::Left { peer: to }));
                }
            }
            Action::Remember(records) => self.nodes.get_mut(&n).unwrap().remembered = records,
            Action::Report(status) => self.nodes.get_mut(&n).unwrap().reports.push(status),
        }
    }

    fn linked(&self, a: u64, b: u64) -> bool {
        self.links.contains(&(a.min(b), a.max(b)))
    }

    /// Sizes of the connected parts of the mesh, or of a topic, by what the machines themselves hold.
    fn parts(&self, topic: Option<u64>) -> Vec<usize> {
        let on = |n: &u64| topic.is_none_or(|topic| self.nodes[n].topics.contains(&topic));
        let mut left: BTreeSet<u64> = self.nodes.keys().copied().filter(|n| on(n)).collect();
        let mut parts = Vec::new();
        while let Some(first) = left.pop_first() {
            let (mut part, mut size) = (vec![first], 0);
            while let Some(n) = part.pop() {
                size += 1;
                for other in self.nodes[&n].machine.neighbours().map(|peer| number(&peer)) {
                    let mutual = self
                        .nodes
                        .get(&other)
                        .is_some_and(|o| o.machine.neighbours().any(|p| p == peer(n)));
                    if mutual && left.remove(&other) {
                        part.push(other);
                    }
                }
            }
            parts.push(size);
        }
        parts
    }

    fn degrees(&self) -> (usize, f64, usize) {
        let degrees: Vec<usize> = self
            .nodes
            .values()
            .map(|node| node.machine.neighbours().len())
            .collect();
        let mean = degrees.iter().sum::<usize>() as f64 / degrees.len() as f64;
        (*degrees.iter().min().unwrap(), mean, *degrees.iter().max().unwrap())
    }

    fn statuses(&self, is: impl Fn(Status) -> bool) -> usize {
        self.nodes.values().filter(|node| is(node.machine.status())).count()
    }

    fn seconds(&self) -> f64 {
        (self.now - self.start).as_secs_f64()
    }

    fn mean_approaches(&self) -> f64 {
        self.nodes.values().map(|node| node.approaches).sum::<usize>() as f64 / self.nodes.len() as f64
    }

    fn print(&self, what: &str) {
        let approaches = self.mean_approaches();
        let (degrees, seconds) = (self.degrees(), self.seconds());
        eprintln!(
            "{what}: {seconds} s, degrees {degrees:?}, most {}, {approaches:.1} approaches a node, {} steps",
            self.most, self.steps
        );
    }
}
