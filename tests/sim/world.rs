//! The simulated world: nodes, what is under way between them, and the clock. What nodes do with frames, with the past and
//! with their neighbours is in files of its own.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Range,
    rc::Rc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use maille::{
    PeerId, Start,
    core::{
        catchup::{self, Answer, Catchup, InboundId, Question, RequestId, Run},
        stream::{Context, Frame, Inbox, Outbox, SigningKey, Tail, inbox, message_id, outbox},
    },
    store::Store,
    types::TopicName,
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use super::{
    network::{Conditions, Network},
    node::Node,
    queue::{MS, Queue, SECOND, Us},
    reader::Reader,
};

/// The clock of a node whose clock is right, in microseconds since the Unix epoch, when the world begins.
pub(crate) const EPOCH_US: u64 = 1_780_000_000_000_000;
/// What lies in a subscriber's inbox, unless a test wants less.
pub(crate) const INBOX_MAX: usize = 65_536;
/// Gossip remembers messages for so long.
const KNOWN_FOR: Us = 60 * SECOND;
/// How long a store takes.
const STORE_DELAY: Us = 2 * MS;

/// Bytes that travel, and what they are.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) wire: Bytes,
    pub(crate) id: [u8; 16],
    /// Nothing if they are not a frame of the topic.
    pub(crate) frame: Option<Frame>,
}

#[derive(Debug)]
pub(crate) enum Event {
    Wake(usize),
    Gossip {
        from: usize,
        to: usize,
        message: Rc<Message>,
    },
    Acked {
        from: usize,
        to: usize,
        incarnation: u64,
        next: u64,
    },
    Digest {
        from: usize,
        to: usize,
        digest: [u8; 8],
    },
    Asked {
        from: usize,
        to: usize,
        request: RequestId,
        what: Question,
    },
    Served {
        at: usize,
        id: InboundId,
    },
    ReadHere {
        at: usize,
        request: RequestId,
        what: Question,
    },
    Answered {
        from: usize,
        to: usize,
        request: RequestId,
        answer: Answer,
    },
    /// A neighbour behind a cut is given up.
    Severed {
        a: usize,
        b: usize,
    },
    Heartbeat,
}

/// What a run was told to publish.
#[derive(Debug, Default)]
pub(crate) struct Published {
    /// When, by the world's clock.
    pub(crate) times: Vec<Us>,
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) rng: StdRng,
    pub(crate) now: Us,
    begun: Instant,
    pub(crate) context: Context,
    pub(crate) topic: TopicName,
    pub(crate) network: Network,
    pub(crate) queue: Queue<Event>,
    pub(crate) nodes: Vec<Node>,
    /// Which node a peer is now.
    pub(crate) at: BTreeMap<PeerId, usize>,
    pub(crate) published: BTreeMap<Run, Published>,
    /// The tail of each publisher's last run, as its data directory has it.
    pub(crate) tails: BTreeMap<PeerId, Option<Tail>>,
    /// Every frame is opened once, which changes nothing: the result depends on nothing else.
    opened: HashMap<Bytes, Rc<Message>>,
    pub(crate) events: u64,
    /// Answers of stores are cut at so many bytes.
    pub(crate) fill_bytes: usize,
    /// Records that a node reported as missing while nobody it could ask had them.
    pub(crate) excused: BTreeSet<(usize, Run, u64)>,
    /// What nodes that replay have heard.
    pub(crate) tapes: Vec<(usize, Rc<Message>)>,
}

impl World {
    pub(crate) fn new(seed: u64, conditions: Conditions) -> Self {
        let topic: TopicName = "equities/us".parse().expect("a topic");
        let mesh = "market.example".parse().expect("a mesh");
        let mut world = Self {
            seed,
            rng: StdRng::seed_from_u64(seed),
            now: 0,
            begun: Instant::now(),
            context: Context::new(&mesh, 1, &topic),
            topic,
            network: Network::new(conditions),
            queue: Queue::default(),
            nodes: vec![],
            at: BTreeMap::new(),
            published: BTreeMap::new(),
            tails: BTreeMap::new(),
            opened: HashMap::new(),
            events: 0,
            fill_bytes: maille_proto::CATCHUP_FILL_BYTES,
            excused: BTreeSet::new(),
            tapes: vec![],
        };
        world.queue.plan(SECOND, Event::Heartbeat);
        world
    }

    // ---- the clock ---------------------------------------------------------------------------------------------------

    /// Lets everything happen that happens by then.
    pub(crate) fn run_until(&mut self, until: Us) {
        while let Some((at, event)) = self.queue.next_until(until) {
            self.now = at;
            self.events += 1;
            self.happen(event);
        }
        self.now = until;
    }

    pub(crate) fn run_for(&mut self, time: Us) {
        self.run_until(self.now + time);
    }

    pub(crate) fn instant(&self) -> Instant {
        self.begun + Duration::from_micros(self.now)
    }

    /// A node's own clock, in microseconds since the Unix epoch.
    pub(crate) fn clock(&self, node: usize) -> u64 {
        (EPOCH_US + self.now).saturating_add_signed(self.nodes[node].clock)
    }

    /// Plans when a node is to look at its deadlines.
    pub(crate) fn rearm(&mut self, node: usize) {
        let Some(deadline) = self.nodes[node].next_deadline() else {
            return;
        };
        let micros = deadline
            .saturating_duration_since(self.begun)
            .as_nanos()
            .div_ceil(1_000);
        let due = Us::try_from(micros).unwrap_or(Us::MAX).max(self.now);
        if self.nodes[node].wake.is_none_or(|wake| due < wake) {
            self.nodes[node].wake = Some(due);
            self.queue.plan(due, Event::Wake(node));
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Heartbeat => {
                self.heartbeat();
                self.queue.plan(self.now + SECOND, Event::Heartbeat);
            }
            Event::Severed { a, b } => {
                if !self.network.connects(a, b) {
                    self.unlink(a, b);
                }
            }
            Event::Wake(node) => {
                if self.nodes[node].wake == Some(self.now) {
                    self.nodes[node].wake = None;
                    self.timed_out(node);
                }
            }
            Event::Gossip { from, to, message } => self.heard(from, to, &message),
            Event::Acked {
                from,
                to,
                incarnation,
                next,
            } => {
                let peer = self.nodes[from].id;
                let acked = outbox::Input::Acked {
                    peer,
                    incarnation,
                    next,
                };
                self.outbox_hears(to, acked);
            }
            Event::Digest { from, to, digest } => self.compare_digests(from, to, digest),
            Event::Asked {
                from,
                to,
                request,
                what,
            } => self.asked(from, to, request, what),
            Event::Served { at, id } => self.served(at, id),
            Event::ReadHere { at, request, what } => {
                let answer = self.read(at, &what);
                let from = self.nodes[at].id;
                self.catchup_hears(at, catchup::Input::Answered { request, from, answer });
            }
            Event::Answered {
                from,
                to,
                request,
                answer,
            } => {
                let from = self.nodes[from].id;
                self.catchup_hears(to, catchup::Input::Answered { request, from, answer });
            }
        }
    }

    fn timed_out(&mut self, node: usize) {
        if !self.nodes[node].here {
            return;
        }
        self.inbox_hears(node, inbox::Input::TimedOut);
        self.catchup_hears(node, catchup::Input::TimedOut);
        let now_us = self.clock(node);
        self.outbox_hears(node, outbox::Input::TimedOut { now_us });
        self.rearm(node);
    }

    // ---- nodes -------------------------------------------------------------------------------------------------------

    /// A node that nobody knew.
    pub(crate) fn spawn(&mut self) -> usize {
        let mut secret = [0; 32];
        self.rng.fill(&mut secret);
        self.spawn_as(SigningKey::from_secret(&secret))
    }

    /// A node with this identity.
    pub(crate) fn spawn_as(&mut self, key: SigningKey) -> usize {
        let node = Node::new(key);
        self.at.insert(node.id, self.nodes.len());
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    pub(crate) fn here(&self) -> impl Iterator<Item = usize> {
        let nodes = self.nodes.iter().enumerate();
        nodes.filter(|(_, node)| node.here).map(|(number, _)| number)
    }

    /// A node leaves, or is killed: to others it is the same.
    pub(crate) fn leave(&mut self, node: usize) {
        for neighbour in self.nodes[node].neighbours.clone() {
            self.unlink(node, neighbour);
        }
        let gone = &mut self.nodes[node];
        (gone.here, gone.inbox, gone.catchup) = (false, None, None);
        if let Some(outbox) = gone.outbox.take() {
            let tail = outbox.tail();
            self.tails.insert(gone.id, tail);
        }
    }

    /// A subscriber of a node; its number among them.
    pub(crate) fn subscribe(&mut self, node: usize, start: Start, inbox_max: usize) -> usize {
        let (now, instant, since_us) = (self.now, self.instant(), self.clock(node));
        let rng = StdRng::seed_from_u64(self.rng.random());
        let state = &mut self.nodes[node];
        state.sessions += 1;
        let (session, is_first) = (catchup::SessionId(state.sessions), state.inbox.is_none());
        let with_past = (start != Start::Now).then_some(session);
        state
            .readers
            .push(Reader::new(start.clone(), with_past, inbox_max, now));
        if state.inbox.is_none() {
            state.inbox = Some(Inbox::new(instant));
            state.catchup = Some(Catchup::new(state.id, rng));
            state.since_us = since_us;
            let neighbours = state.neighbours.clone();
            self.members_changed(node);
            for neighbour in neighbours {
                self.subscription_known(neighbour, node);
            }
        }
        if with_past.is_some() || is_first {
            self.catchup_hears(node, catchup::Input::Begin { session, start });
        }
        self.rearm(node);
        self.nodes[node].readers.len() - 1
    }

    // ---- publishers --------------------------------------------------------------------------------------------------

    /// A publisher of a node begins a run, which names the one before.
    pub(crate) fn open_publisher(&mut self, node: usize) -> Run {
        let now_ms = self.clock(node) / 1_000;
        let state = &mut self.nodes[node];
        let before = match state.outbox.take() {
            Some(outbox) => outbox.tail(),
            None => self.tails.get(&state.id).copied().flatten(),
        };
        let publisher = state.id;
        let of = |incarnation| Run { publisher, incarnation };
        let last = self.published.range(of(0)..=of(u64::MAX)).next_back();
        let incarnation = last.map_or(0, |(run, _)| run.incarnation + 1).max(now_ms);
        let (key, context) = (state.key.clone(), self.context.clone());
        state.outbox = Some(Outbox::new(key, context, String::new(), incarnation, before));
        let run = Run { publisher, incarnation };
        self.published.insert(run, Published::default());
        for neighbour in self.nodes[node].neighbours.clone() {
            self.subscription_known(node, neighbour);
            self.members_changed(neighbour);
        }
        run
    }

    /// Publishes records, if there is room for them; whether there was.
    pub(crate) fn publish(&mut self, node: usize, records: usize) -> bool {
        for _ in 0..records {
            let sent_us = self.clock(node);
            let Some(outbox) = self.nodes[node].outbox.as_ref().filter(|outbox| outbox.has_room()) else {
                return false;
            };
            let run = Run {
                publisher: self.nodes[node].id,
                incarnation: outbox.incarnation(),
            };
            let sequence = outbox.next_sequence() + outbox.gathered() as u64;
            let times = &mut self.published.entry(run).or_default().times;
            times.truncate(usize::try_from(sequence).expect("few records"));
            times.push(self.now);
            let published = outbox::Input::Published {
                key: Some(Bytes::from(format!("{}", sequence % 7))),
                payload: super::diary::payload(run, sequence).into(),
                sent_us,
            };
            self.outbox_hears(node, published);
        }
        true
    }

    // ---- frames ------------------------------------------------------------------------------------------------------

    /// What some bytes are.
    pub(crate) fn open(&mut self, wire: &Bytes) -> Rc<Message> {
        let open = || {
            Rc::new(Message {
                wire: wire.clone(),
                id: message_id(wire),
                frame: Frame::open(wire.clone(), &self.context).ok(),
            })
        };
        self.opened.entry(wire.clone()).or_insert_with(open).clone()
    }

    /// Sends a message to a node, as the network carries it.
    pub(crate) fn gossip_to(&mut self, from: usize, to: usize, message: &Rc<Message>) {
        for time in self.network.carry(from, to, &mut self.rng) {
            let message = message.clone();
            self.queue.plan(self.now + time, Event::Gossip { from, to, message });
        }
    }

    /// Whether gossip hears of a message for the first time, of late.
    pub(crate) fn is_news(&mut self, node: usize, id: [u8; 16]) -> bool {
        let now = self.now;
        let known = &mut self.nodes[node].known;
        if known.len() > 4_096 {
            known.retain(|_, since| *since + KNOWN_FOR > now);
        }
        match known.get_mut(&id) {
            Some(since) if *since + KNOWN_FOR > now => false,
            known_before => {
                match known_before {
                    Some(since) => *since = now,
                    None => drop(known.insert(id, now)),
                }
                true
            }
        }
    }

    /// Reads the local store, as it is, a little later.
    pub(crate) fn read_later(&mut self, at: usize, request: RequestId, what: Question) {
        self.queue
            .plan(self.now + STORE_DELAY, Event::ReadHere { at, request, what });
    }

    pub(crate) fn serve_later(&mut self, at: usize, id: InboundId) {
        self.queue.plan(self.now + STORE_DELAY, Event::Served { at, id });
    }

    /// A node reports a gap.
    pub(crate) fn gap(&mut self, node: usize, run: Run, sequences: Range<u64>) {
        for sequence in sequences {
            let is_held = |other: usize| {
                let ring = &self.nodes[other].ring;
                let frames = ring.range(&self.topic, &run.publisher, run.incarnation, sequence..sequence + 1, 1);
                !frames.expect("memory does not fail").is_empty()
            };
            if !self
                .here()
                .any(|other| self.network.connects(node, other) && is_held(other))
            {
                self.excused.insert((node, run, sequence));
            }
        }
    }

    /// What a node holds of each run.
    pub(crate) fn held_by(&self, node: usize) -> Vec<(Run, Vec<Range<u64>>)> {
        let held = self.nodes[node].ring.runs(&self.topic, maille::types::Selector::All);
        let held = held.expect("memory does not fail").into_iter();
        held.map(|held| {
            let run = Run {
                publisher: held.publisher,
                incarnation: held.incarnation,
            };
            (run, held.spans)
        })
        .collect()
    }
}
