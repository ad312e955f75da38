//! Workers that run the plan, in virtual time: leases that take a moment and end when their holders go, votes that travel, workers
//! that crash, come, lie, are slow or cut off. The leases here are as `maille`'s are from outside; those are simulated on their own.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use maille::{BlobId, Keypair, PeerId};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::job::JobId;
use crate::plan::{Action, Input, Plan, Slot};

/// What a claim takes until it is a lease.
const SETTLE: Duration = Duration::from_millis(300);
/// What a crashed worker's leases outlive it by.
pub(super) const LEASE_END: Duration = Duration::from_millis(2_500);
/// The way of a vote, and of who holds what.
const WAY: Duration = Duration::from_millis(50);
/// Workers look at the time this often.
const TICK: Duration = Duration::from_millis(250);

#[derive(Clone, Debug)]
enum Event {
    Claim(PeerId, Slot),
    Finished(PeerId, Slot),
    Vote(u8, Input),
    LeasesEnd(PeerId),
    Tick,
}

#[derive(Debug)]
pub(super) struct Worker {
    plan: Plan,
    pub(super) lies: bool,
    /// What a task takes it.
    pub(super) takes: Duration,
    /// Workers hear each other on one side.
    pub(super) side: u8,
    /// When what it works on began.
    running: BTreeMap<Slot, Instant>,
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) now: Instant,
    pub(super) rng: StdRng,
    pub(super) workers: BTreeMap<PeerId, Worker>,
    job: JobId,
    tasks: u32,
    replicas: usize,
    deadline: Duration,
    /// Leases, as each side sees them.
    leases: [BTreeMap<Slot, PeerId>; 2],
    /// All votes, as a log that those who come later read.
    votes: Vec<(u8, Input)>,
    events: BTreeMap<(Instant, u64), Event>,
    number: u64,
    /// Work done, in whole tasks of the worker that did it.
    pub(super) work: f64,
    /// When each crashed worker's leases ended, by replica.
    pub(super) ended: BTreeMap<Slot, Instant>,
    /// How long after that somebody began again.
    pub(super) began_again: Vec<Duration>,
}

impl World {
    pub(super) fn new(seed: u64, tasks: u32, replicas: usize, deadline: Duration) -> Self {
        let mut world = Self {
            now: Instant::now(),
            rng: StdRng::seed_from_u64(seed),
            workers: BTreeMap::new(),
            job: "00000000000000aa".parse().unwrap(),
            tasks,
            replicas,
            deadline,
            leases: [BTreeMap::new(), BTreeMap::new()],
            votes: Vec::new(),
            events: BTreeMap::new(),
            number: 0,
            work: 0.0,
            ended: BTreeMap::new(),
            began_again: Vec::new(),
        };
        world.after(TICK, Event::Tick);
        world
    }

    fn after(&mut self, wait: Duration, event: Event) {
        self.number += 1;
        self.events.insert((self.now + wait, self.number), event);
    }

    /// A worker comes.
    pub(super) fn come(&mut self, takes: Duration) -> PeerId {
        let mut bytes = [0; 32];
        self.rng.fill(&mut bytes);
        let peer = Keypair::ed25519_from_bytes(bytes).unwrap().public().to_peer_id();
        let worker = Worker {
            plan: Plan::new(peer, 1),
            lies: false,
            takes,
            side: 0,
            running: BTreeMap::new(),
        };
        self.workers.insert(peer, worker);
        self.tell_workers();
        self.hear(
            peer,
            Input::Job {
                id: self.job,
                tasks: self.tasks,
                replicas: self.replicas,
                deadline: self.deadline,
                able: true,
            },
        );
        for (_, vote) in self.votes.clone() {
            self.hear(peer, vote);
        }
        self.tell_leases();
        peer
    }

    /// A worker goes without a word.
    pub(super) fn crash(&mut self, peer: PeerId) {
        if let Some(worker) = self.workers.remove(&peer) {
            for since in worker.running.values() {
                self.work += (self.now - *since).as_secs_f64() / worker.takes.as_secs_f64();
            }
            self.after(LEASE_END, Event::LeasesEnd(peer));
        }
    }

    /// Both sides hear each other again: votes reach all, and of two leases of a replica one ends.
    pub(super) fn heal(&mut self) {
        let [one, other] = &mut self.leases;
        let both: Vec<(Slot, PeerId, PeerId)> = other
            .iter()
            .filter_map(|(slot, holder)| Some((*slot, *one.get(slot)?, *holder)))
            .collect();
        one.append(other);
        for worker in self.workers.values_mut() {
            worker.side = 0;
        }
        for (slot, low, high) in both {
            if low != high {
                self.hear(low, Input::Lost(slot));
            }
        }
        let votes: Vec<Input> = self.votes.iter().map(|(_, vote)| vote.clone()).collect();
        for peer in self.workers.keys().copied().collect::<Vec<_>>() {
            votes.iter().for_each(|vote| self.hear(peer, vote.clone()));
        }
        self.tell_workers();
        self.tell_leases();
    }

    pub(super) fn tell_workers(&mut self) {
        for peer in self.workers.keys().copied().collect::<Vec<_>>() {
            let side = self.workers[&peer].side;
            let there = self.workers.iter().filter(|(_, worker)| worker.side == side);
            let there = there.map(|(peer, _)| *peer).collect();
            self.hear(peer, Input::Workers(there));
        }
    }

    fn tell_leases(&mut self) {
        for peer in self.workers.keys().copied().collect::<Vec<_>>() {
            // Heard of while others acted on what they heard, it may have gone.
            if let Some(worker) = self.workers.get(&peer) {
                let leases = &self.leases[usize::from(worker.side)];
                let leases = leases.iter().map(|(slot, holder)| (*slot, *holder)).collect();
                self.hear(peer, Input::Leases(leases));
            }
        }
    }

    fn hear(&mut self, peer: PeerId, input: Input) {
        let mut actions = Vec::new();
        let now = self.now;
        let Some(worker) = self.workers.get_mut(&peer) else {
            return;
        };
        worker.plan.handle(input, now, &mut actions);
        for action in actions {
            let Some(worker) = self.workers.get_mut(&peer) else {
                return;
            };
            match action {
                Action::Claim(slot) => self.after(SETTLE, Event::Claim(peer, slot)),
                Action::Start(slot) => {
                    worker.running.insert(slot, now);
                    let takes = worker.takes;
                    if let Some(ended) = self.ended.remove(&slot) {
                        self.began_again.push(now - ended);
                    }
                    self.after(takes, Event::Finished(peer, slot));
                }
                Action::Cancel(slot) => {
                    if let Some(since) = worker.running.remove(&slot) {
                        self.work += (now - since).as_secs_f64() / worker.takes.as_secs_f64();
                    }
                    let side = usize::from(worker.side);
                    self.release(side, slot, peer);
                }
            }
        }
    }

    fn release(&mut self, side: usize, slot: Slot, peer: PeerId) {
        if self.leases[side].get(&slot) == Some(&peer) {
            self.leases[side].remove(&slot);
        }
    }

    /// Lets time pass until a condition holds. Whether it does before the end.
    pub(super) fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        let end = self.now + limit;
        while let Some(((at, _), event)) = self.events.pop_first() {
            if at > end {
                self.events.insert((at, 0), event);
                self.now = end;
                return false;
            }
            self.now = at;
            self.happen(event);
            if done(self) {
                return true;
            }
        }
        false
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Claim(peer, slot) => {
                let Some(worker) = self.workers.get(&peer) else { return };
                let leases = &mut self.leases[usize::from(worker.side)];
                if *leases.entry(slot).or_insert(peer) == peer {
                    self.hear(peer, Input::Granted(slot));
                    self.tell_leases();
                } else {
                    self.hear(peer, Input::Refused(slot));
                }
            }
            Event::Finished(peer, slot) => self.finished(peer, slot),
            Event::Vote(side, vote) => {
                for peer in self.workers.keys().copied().collect::<Vec<_>>() {
                    if self.workers.get(&peer).is_some_and(|worker| worker.side == side) {
                        self.hear(peer, vote.clone());
                    }
                }
            }
            Event::LeasesEnd(peer) => {
                for leases in &mut self.leases {
                    for (slot, _) in leases.extract_if(.., |_, holder| *holder == peer) {
                        self.ended.insert(slot, self.now);
                    }
                }
                self.tell_workers();
                self.tell_leases();
            }
            Event::Tick => {
                for peer in self.workers.keys().copied().collect::<Vec<_>>() {
                    self.hear(peer, Input::TimedOut);
                }
                self.after(TICK, Event::Tick);
            }
        }
    }

    fn finished(&mut self, peer: PeerId, slot: Slot) {
        let Some(worker) = self.workers.get_mut(&peer) else {
            return;
        };
        let Some(since) = worker
            .running
            .get(&slot)
            .filter(|since| **since + worker.takes <= self.now)
        else {
            return;
        };
        let _ = since;
        worker.running.remove(&slot);
        self.work += 1.0;
        let answer = match worker.lies {
            true => format!("{peer}"),
            false => format!("right {}", slot.task),
        };
        let vote = Input::Vote {
            job: slot.job,
            task: slot.task,
            voter: peer,
            digest: BlobId::of(answer.as_bytes()),
        };
        let side = worker.side;
        self.votes.push((side, vote.clone()));
        self.hear(peer, vote.clone());
        self.hear(peer, Input::Finished(slot));
        self.release(usize::from(side), slot, peer);
        self.after(WAY, Event::Vote(side, vote));
    }

    /// What a worker sees of the job: accepted results by task.
    pub(super) fn seen_by(&self, peer: &PeerId) -> Vec<Option<BlobId>> {
        let job = &self.workers[peer].plan.jobs()[&self.job];
        job.tasks.iter().map(|task| task.accepted()).collect()
    }

    /// Who lied, as a worker sees it; and tasks without a quorum.
    pub(super) fn verdict_of(&self, peer: &PeerId) -> (BTreeSet<PeerId>, usize) {
        let tasks = &self.workers[peer].plan.jobs()[&self.job].tasks;
        let none = tasks.iter().filter(|task| task.has_no_quorum()).count();
        (tasks.iter().flat_map(|task| task.liars()).collect(), none)
    }

    /// Whether every worker has accepted every task.
    pub(super) fn is_done(&self) -> bool {
        self.workers.values().all(|worker| {
            let job = &worker.plan.jobs()[&self.job];
            job.accepted() == job.tasks.len()
        })
    }
}
