//! T5: attackers before the door, in the thousands, under a clock of the test's own.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
};

use rand::RngExt;

use super::{
    door::{door, fresh, knock, known, relay, step},
    *,
};
use crate::{
    core::admission::budget::{Group, is_local},
    types::IpPrefix,
};

const MINUTE: Duration = Duration::from_secs(60);

/// How an attacker's handshake goes on after our challenge.
#[derive(Clone, Copy, Debug)]
enum Attack {
    /// Sends a wrong proof.
    WrongProof,
    /// Drops the stream once it has our share.
    DropsAfterShare,
    /// Says nothing more, until it is pushed out or times out.
    Silent,
    /// Drops the stream while it waits for its turn.
    DropsWhileWaiting,
}

/// What a simulated peer at the door does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Knock,
    End {
        id: u64,
        admitted: bool,
    },
    /// The door's own deadline.
    Deadline,
}

/// A door under a clock of its own, with peers that do what is scheduled.
struct Sim {
    start: Instant,
    now: Instant,
    door: Doorman,
    events: BinaryHeap<Reverse<(Instant, u64, Event)>>,
    order: u64,
    /// Who waits or is being answered: where from, and since when.
    open: HashMap<u64, (IpPrefix, Instant)>,
    evaluated: Vec<(IpPrefix, Instant)>,
    slots: HashMap<u64, IpPrefix>,
    slots_used_most: usize,
    proceeded: Vec<(u64, Instant)>,
}

impl Sim {
    fn new() -> Self {
        let start = Instant::now();
        Sim {
            start,
            now: start,
            door: door(),
            events: BinaryHeap::new(),
            order: 0,
            open: HashMap::new(),
            evaluated: vec![],
            slots: HashMap::new(),
            slots_used_most: 0,
            proceeded: vec![],
        }
    }

    fn at(&mut self, at: Instant, event: Event) {
        self.order += 1;
        self.events.push(Reverse((at, self.order, event)));
    }

    /// What happens next: what was scheduled, or the door's deadline if that comes first.
    fn next(&mut self) -> Option<Event> {
        let Reverse((at, _, _)) = *self.events.peek()?;
        if let Some(deadline) = self.door.next_deadline().filter(|deadline| *deadline <= at) {
            self.now = deadline;
            return Some(Event::Deadline);
        }
        self.now = at;
        self.events.pop().map(|Reverse((_, _, event))| event)
    }

    fn input(&mut self, input: DoormanInput, out: &mut Vec<DoormanAction>) {
        match input {
            DoormanInput::Knocked { id, prefix, .. } => drop(self.open.insert(id, (prefix, self.now))),
            DoormanInput::Ended { id, .. } => {
                self.open.remove(&id);
                self.slots.remove(&id);
            }
            _ => {}
        }
        out.extend(step(&mut self.door, input, self.now));
    }

    /// Books what the door decided about one stream; whether it may proceed.
    fn book(&mut self, action: DoormanAction, stranger: bool) -> Option<u64> {
        match action {
            DoormanAction::Proceed(id) => {
                let (prefix, _) = self.open[&id];
                assert!(self.slots.insert(id, prefix).is_none());
                self.slots_used_most = self.slots_used_most.max(self.slots.len());
                assert!(self.slots.len() <= HANDSHAKES_MAX);
                self.proceeded.push((id, self.now));
                if stranger {
                    self.evaluated.push((prefix, self.now));
                }
                Some(id)
            }
            DoormanAction::PushOut(id) => {
                assert!(self.slots.remove(&id).is_some(), "only who proceeded is pushed out");
                self.open.remove(&id);
                None
            }
            DoormanAction::Expire(id) => {
                assert!(!self.slots.contains_key(&id), "who proceeded does not expire");
                assert!(self.open.remove(&id).is_some());
                None
            }
        }
    }
}

/// A thousand attackers in 100 IPv4 /24, 400 IPv4 addresses and 100 IPv6 /64 in 20 /48.
fn attackers() -> Vec<IpPrefix> {
    let v4 = (0..400).map(|i: u32| IpPrefix::V4([198, 18, (i / 4) as u8, i as u8]));
    let v6 = (0..100).map(|i: u8| IpPrefix::V6([0x20, 1, 0xd, 0xb8, 0, i / 5, 0, i]));
    v4.chain(v6).collect()
}

const GUESSES: u64 = 100_000;
const HONEST: u64 = 1_000_000;
const KNOWN: u64 = 2_000_000;

#[test]
fn t5_a_hundred_thousand_guesses_cost_what_the_budget_says_and_lock_nobody_out() {
    const SEED: u64 = 0x7435;
    eprintln!("seed {SEED:#x}");
    let mut rng = StdRng::seed_from_u64(SEED);
    let (mut sim, prefixes) = (Sim::new(), attackers());
    // A thousand attackers, 100 guesses each, in 1,000 seconds; each from one of the 500 prefixes.
    let gap = Duration::from_millis(10);
    sim.at(sim.start, Event::Knock);
    let (mut guesses, mut behaviours) = (0, HashMap::new());
    // Honest newcomers from fresh prefixes and known members, every 100 s, amid the attack.
    let mut honest: Vec<(Instant, Option<Instant>)> = vec![];
    let mut members: Vec<(Instant, Option<Instant>)> = vec![];
    let mut tries = HashMap::new();
    let mut out = vec![];
    while let Some(event) = sim.next() {
        match event {
            Event::Knock => {
                let id = guesses;
                guesses += 1;
                if guesses < GUESSES {
                    sim.at(sim.now + gap, Event::Knock);
                }
                let attack = [
                    Attack::WrongProof,
                    Attack::DropsAfterShare,
                    Attack::Silent,
                    Attack::DropsWhileWaiting,
                ][rng.random_range(0..4)];
                behaviours.insert(id, attack);
                let prefix = prefixes[(id % 1_000) as usize % prefixes.len()];
                sim.input(knock(id, prefix), &mut out);
                if matches!(attack, Attack::DropsWhileWaiting) {
                    sim.at(
                        sim.now + Duration::from_millis(rng.random_range(0..3_000)),
                        Event::End { id, admitted: false },
                    );
                }
                if id % 10_000 == 5_000 {
                    let n = honest.len() as u64;
                    honest.push((sim.now, None));
                    tries.insert(HONEST + 1_000 * n, 1);
                    sim.input(knock(HONEST + 1_000 * n, fresh(n)), &mut out);
                    members.push((sim.now, None));
                    sim.input(known(KNOWN + n, prefixes[0]), &mut out);
                }
            }
            Event::Deadline => sim.input(DoormanInput::TimedOut, &mut out),
            Event::End { id, admitted } => sim.input(DoormanInput::Ended { id, refund: admitted }, &mut out),
        }
        while !out.is_empty() {
            for action in std::mem::take(&mut out) {
                let Some(id) = sim.book(action, !matches!(action, DoormanAction::Proceed(id) if id >= HONEST)) else {
                    // An honest newcomer that expired knocks again.
                    if let DoormanAction::Expire(id) = action
                        && (HONEST..KNOWN).contains(&id)
                    {
                        *tries.entry(id - id % 1_000).or_insert(0) += 1;
                        let n = (id - HONEST) / 1_000;
                        sim.input(knock(id + 1, fresh(n)), &mut out);
                    }
                    continue;
                };
                let soon = sim.now + Duration::from_millis(rng.random_range(1..300));
                if id >= KNOWN {
                    members[(id - KNOWN) as usize].1 = Some(sim.now);
                    sim.at(soon, Event::End { id, admitted: true });
                } else if id >= HONEST {
                    honest[((id - HONEST) / 1_000) as usize].1 = Some(sim.now);
                    sim.at(soon, Event::End { id, admitted: true });
                } else {
                    match behaviours[&id] {
                        Attack::WrongProof | Attack::DropsAfterShare | Attack::DropsWhileWaiting => {
                            sim.at(soon, Event::End { id, admitted: false });
                        }
                        Attack::Silent => sim.at(sim.now + HANDSHAKE_TIMEOUT, Event::End { id, admitted: false }),
                    }
                }
            }
        }
    }
    report_t5(&sim, guesses, &honest, &members, &tries);
}

fn report_t5(
    sim: &Sim,
    guesses: u64,
    honest: &[(Instant, Option<Instant>)],
    members: &[(Instant, Option<Instant>)],
    tries: &HashMap<u64, u32>,
) {
    assert_eq!(guesses, GUESSES);
    let waits = |peers: &[(Instant, Option<Instant>)]| -> Vec<Duration> {
        peers
            .iter()
            .map(|(knocked, proceeded)| proceeded.expect("locked out") - *knocked)
            .collect()
    };
    let (honest_waits, member_waits) = (waits(honest), waits(members));
    eprintln!(
        "{guesses} guesses in {:?}: {} evaluated; honest newcomers waited {honest_waits:?} in at most {} tries, \
         known members {member_waits:?}",
        sim.now - sim.start,
        sim.evaluated.len(),
        tries.values().max().unwrap(),
    );
    let allowed = |evaluated: &[Instant], burst: u64, per_minute: u64| {
        let time = evaluated.last().unwrap().duration_since(evaluated[0]);
        let bound = burst + per_minute * time.as_millis() as u64 / MINUTE.as_millis() as u64;
        assert!(
            evaluated.len() as u64 <= bound,
            "{} evaluated, {bound} allowed in {time:?}",
            evaluated.len()
        );
    };
    let all: Vec<Instant> = sim.evaluated.iter().map(|(_, at)| *at).collect();
    allowed(&all, 60, 60);
    assert!(
        all.len() > 900,
        "the budget must be used, or this shows nothing: {}",
        all.len()
    );
    let (mut narrow, mut wide) = (HashMap::<_, Vec<_>>::new(), HashMap::<_, Vec<_>>::new());
    for (prefix, at) in &sim.evaluated {
        narrow.entry(*prefix).or_default().push(*at);
        wide.entry(Group::of(prefix)).or_default().push(*at);
    }
    narrow.values().for_each(|evaluated| allowed(evaluated, 10, 6));
    wide.values().for_each(|evaluated| allowed(evaluated, 30, 20));
    assert!(honest_waits.iter().all(|wait| *wait < MINUTE), "{honest_waits:?}");
    assert!(
        member_waits.iter().all(|wait| *wait < Duration::from_secs(2)),
        "{member_waits:?}"
    );
}

#[test]
fn random_traffic_never_breaks_the_bounds_and_everybody_hears_an_answer() {
    for seed in 0..20 {
        let mut rng = StdRng::seed_from_u64(seed);
        let (mut sim, mut out) = (Sim::new(), vec![]);
        let pool = [attackers(), vec![IpPrefix::Loopback, IpPrefix::Memory, relay()]].concat();
        let mut strangers = HashMap::new();
        for id in 0..2_000 {
            sim.now += Duration::from_millis(rng.random_range(0..50));
            match rng.random_range(0..8) {
                0..6 => {
                    let prefix = pool[rng.random_range(0..pool.len())];
                    let known = rng.random_bool(0.1);
                    strangers.insert(id, !known);
                    sim.input(DoormanInput::Knocked { id, prefix, known }, &mut out);
                }
                6 => {
                    let id = *sim.slots.keys().min().unwrap_or(&id);
                    sim.input(
                        DoormanInput::Ended {
                            id,
                            refund: rng.random_bool(0.3),
                        },
                        &mut out,
                    );
                }
                _ => sim.input(DoormanInput::TimedOut, &mut out),
            }
            for action in std::mem::take(&mut out) {
                sim.book(action, false);
            }
            let strangers_in = sim.slots.keys().filter(|id| strangers[*id]).count();
            assert!(strangers_in <= HANDSHAKES_MAX - SLOTS_FOR_KNOWN, "seed {seed}");
            for prefix in sim.slots.values().filter(|prefix| !is_local(prefix)) {
                let of_prefix = sim
                    .slots
                    .iter()
                    .filter(|(id, other)| strangers[*id] && *other == prefix);
                assert!(of_prefix.count() <= SLOTS_PER_PREFIX_MAX, "seed {seed}");
            }
        }
        sim.now += WAITING_TIMEOUT;
        sim.input(DoormanInput::TimedOut, &mut out);
        for action in std::mem::take(&mut out) {
            sim.book(action, false);
        }
        // All that is left are those in slots: whoever waited has proceeded or expired.
        assert_eq!(sim.open.len(), sim.slots.len(), "seed {seed}");
    }
}
