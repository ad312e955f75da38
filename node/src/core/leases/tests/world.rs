//! Members of a lease group over a network that delays, loses and parts; in virtual time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bytes::Bytes;
use libp2p::PeerId;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::core::leases::{Action, Input, Leases, Lost, Ranking, Token};

pub(super) const LEASE: Duration = Duration::from_secs(3);
/// The longest way of a record.
const DELAY_MS_MAX: u64 = 80;

#[derive(Debug)]
pub(super) struct Member {
    pub(super) peer: PeerId,
    pub(super) machine: Leases,
    incarnation: u64,
    sequence: u64,
    /// Neither hears nor sees time pass.
    pub(super) asleep: bool,
    pub(super) gone: bool,
    /// Members hear each other on the same side only.
    pub(super) side: u8,
    pub(super) held: BTreeMap<Bytes, Token>,
    pub(super) granted: Vec<(Instant, Bytes, Token)>,
    pub(super) lost: Vec<(Bytes, Lost)>,
    pub(super) refused: usize,
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) now: Instant,
    pub(super) members: Vec<Member>,
    pub(super) loss: f64,
    pub(super) rng: StdRng,
    /// What is under way, by when it arrives.
    wire: BTreeMap<(Instant, u64), (usize, Input)>,
    sent: u64,
    /// What is stored of the topic: the newest of each author and key.
    history: BTreeMap<(PeerId, Option<Bytes>), Input>,
}

impl World {
    pub(super) fn new(members: usize, seed: u64) -> Self {
        let mut world = Self {
            now: Instant::now(),
            members: Vec::new(),
            loss: 0.0,
            rng: StdRng::seed_from_u64(seed),
            wire: BTreeMap::new(),
            sent: 0,
            history: BTreeMap::new(),
        };
        for _ in 0..members {
            world.join();
        }
        world
    }

    /// One more member, with the past that is stored.
    pub(super) fn join(&mut self) -> usize {
        let mut bytes = [0; 32];
        self.rng.fill(&mut bytes);
        let key = libp2p::identity::Keypair::ed25519_from_bytes(bytes).unwrap();
        let peer = key.public().to_peer_id();
        let machine = Leases::new(peer, Ranking::new(".leases/jobs"), LEASE, self.now);
        self.members.push(Member {
            peer,
            machine,
            incarnation: 1,
            sequence: 0,
            asleep: false,
            gone: false,
            side: 0,
            held: BTreeMap::new(),
            granted: Vec::new(),
            lost: Vec::new(),
            refused: 0,
        });
        let who = self.members.len() - 1;
        for input in self.history.values().cloned().collect::<Vec<_>>() {
            self.hear(who, input);
        }
        self.hear(who, Input::CaughtUp);
        who
    }

    pub(super) fn hear(&mut self, who: usize, input: Input) {
        let mut actions = Vec::new();
        self.members[who].machine.handle(input, self.now, &mut actions);
        for action in actions {
            self.perform(who, action);
        }
    }

    fn perform(&mut self, who: usize, action: Action) {
        let member = &mut self.members[who];
        match action {
            Action::Publish { key, record } => {
                member.sequence += 1;
                let input = Input::Received {
                    author: member.peer,
                    cursor: (member.incarnation, member.sequence),
                    record,
                };
                self.history.insert((member.peer, key), input.clone());
                let side = member.side;
                for to in 0..self.members.len() {
                    if to != who && self.members[to].side == side && !self.rng.random_bool(self.loss) {
                        let delay = Duration::from_millis(self.rng.random_range(1..=DELAY_MS_MAX));
                        self.sent += 1;
                        self.wire.insert((self.now + delay, self.sent), (to, input.clone()));
                    }
                }
                self.hear(who, Input::Left { made_at: self.now });
            }
            Action::Granted { key, token } => {
                member.held.insert(key.clone(), token);
                member.granted.push((self.now, key, token));
            }
            Action::Refused { .. } => member.refused += 1,
            Action::Lost { key, why } => {
                member.held.remove(&key);
                member.lost.push((key, why));
            }
            Action::Changed => {}
        }
    }

    /// Lets time pass.
    pub(super) fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            let awake = |member: &&Member| !member.asleep && !member.gone;
            let timer = self
                .members
                .iter()
                .filter(awake)
                .filter_map(|member| member.machine.next_deadline());
            let arrival = self.wire.keys().next().map(|(at, _)| *at);
            let Some(next) = timer.chain(arrival).min().filter(|next| *next <= end) else {
                break;
            };
            self.now = self.now.max(next);
            while let Some(entry) = self.wire.first_entry().filter(|entry| entry.key().0 <= self.now) {
                let (to, input) = entry.remove();
                if !self.members[to].gone {
                    self.hear(to, input);
                }
            }
            for who in 0..self.members.len() {
                let member = &self.members[who];
                let due = member.machine.next_deadline().is_some_and(|at| at <= self.now);
                if due && !member.asleep && !member.gone {
                    self.hear(who, Input::TimedOut);
                }
            }
        }
        self.now = end;
    }

    pub(super) fn want(&mut self, who: usize, key: &'static str, waits: bool) {
        let key = Bytes::from_static(key.as_bytes());
        if !self.members[who].machine.wants(&key) {
            self.hear(who, Input::Want { key, waits });
        }
    }

    pub(super) fn unwant(&mut self, who: usize, key: &'static str) {
        let key = Bytes::from_static(key.as_bytes());
        self.members[who].held.remove(&key);
        self.hear(who, Input::Unwant { key });
    }

    /// It stops without a word.
    pub(super) fn crash(&mut self, who: usize) {
        self.members[who].gone = true;
        self.members[who].held.clear();
    }

    /// Who holds a key.
    pub(super) fn holders(&self, key: &str) -> Vec<usize> {
        let holds = |who: &usize| self.members[*who].held.contains_key(key.as_bytes());
        (0..self.members.len()).filter(holds).collect()
    }

    /// Whether all that are there agree on who holds what.
    pub(super) fn agrees(&self) -> bool {
        let there = self.members.iter().filter(|member| !member.gone);
        let views: BTreeSet<String> = there.map(|member| format!("{:?}", member.machine.held())).collect();
        views.len() <= 1
    }
}
