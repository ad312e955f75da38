//! Everything at once: 200 nodes, loss, duplicates, reordering, churn, a partition, publishers that start again. Every
//! subscriber that is connected at the end has everything, in order and once.

use maille::{Position, Start};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::IteratorRandom as _};

use super::{
    network::HARSH,
    queue::{MS, SECOND, Us},
    verdict::Verdict,
    world::{INBOX_MAX, World},
};

pub(crate) const NODES: usize = 200;
const PUBLISHERS: usize = 6;
/// Between two looks of the fates.
const TICK: Us = 250 * MS;
/// A tenth of the nodes a minute.
const CHURN: f64 = NODES as f64 / 10.0 / 240.0;
/// How often a publisher has something to say: a tick.
const TALKATIVE: f64 = 0.06;
/// How often it starts again: a tick.
const RESTARTS: f64 = 0.003;
const PUBLISHING: std::ops::Range<Us> = 10 * SECOND..180 * SECOND;
const CHURNING: std::ops::Range<Us> = 10 * SECOND..180 * SECOND;
const PARTITION: Us = 60 * SECOND;
/// The last head comes 64 s after the last frame.
const END: Us = 280 * SECOND;

#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) verdict: Verdict,
    pub(crate) published: usize,
    pub(crate) runs: usize,
    pub(crate) came: usize,
    pub(crate) left: usize,
    pub(crate) events: u64,
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
}

/// What fate decides, apart from the world's own chances.
struct Fates {
    rng: StdRng,
    publishers: Vec<usize>,
    /// Where subscribers stood that left.
    positions: Vec<Position>,
    /// Publishers that were killed, and when they come back.
    killed: Vec<(Us, usize)>,
    came: usize,
    left: usize,
}

/// Runs one seed.
pub(crate) fn run(seed: u64) -> Outcome {
    let mut world = World::new(seed, HARSH);
    let mut fates = Fates {
        rng: StdRng::seed_from_u64(seed ^ 0x6661_7465),
        publishers: vec![],
        positions: vec![],
        killed: vec![],
        came: 0,
        left: 0,
    };
    if fates.rng.random_bool(0.5) {
        world.fill_bytes = 2_048;
    }
    for number in 0..NODES {
        let node = world.spawn();
        world.nodes[node].clock = fates.rng.random_range(-200_000..200_000);
        if number < PUBLISHERS {
            fates.publishers.push(node);
            world.open_publisher(node);
        }
        // Half of the publishers do not listen.
        if number >= PUBLISHERS || number % 2 == 0 {
            let start = if fates.rng.random_bool(0.2) {
                Start::All
            } else {
                Start::Now
            };
            world.subscribe(node, start, INBOX_MAX);
        }
    }
    let parted = fates.rng.random_range(40 * SECOND..80 * SECOND);
    let (mut is_parted, mut is_healed) = (false, false);
    while world.now < END {
        world.run_for(TICK);
        if world.now >= parted && !is_parted {
            is_parted = true;
            let share = fates.rng.random_range(0.2..0.8);
            let sides = world.nodes.iter().map(|_| fates.rng.random_bool(share)).collect();
            world.part(sides);
        }
        if world.now >= parted + PARTITION && !is_healed {
            is_healed = true;
            world.network.heal();
        }
        fates.tick(&mut world);
    }
    Outcome {
        verdict: world.verdict(),
        published: world.published.values().map(|run| run.times.len()).sum(),
        runs: world.published.len(),
        came: fates.came,
        left: fates.left,
        events: world.events,
        lost: world.network.lost,
        doubled: world.network.doubled,
    }
}

impl Fates {
    fn tick(&mut self, world: &mut World) {
        if CHURNING.contains(&world.now) {
            if self.rng.random_bool(CHURN) {
                self.somebody_leaves(world);
            }
            if self.rng.random_bool(CHURN) {
                self.somebody_comes(world);
            }
        }
        self.killed_ones_return(world);
        if PUBLISHING.contains(&world.now) {
            for place in 0..self.publishers.len() {
                self.publish(world, place);
            }
        }
    }

    fn publish(&mut self, world: &mut World, place: usize) {
        let node = self.publishers[place];
        if !world.nodes[node].here {
            return;
        }
        if self.rng.random_bool(RESTARTS) {
            if self.rng.random_bool(0.5) {
                world.open_publisher(node);
            } else {
                world.leave(node);
                let back = world.now + self.rng.random_range(SECOND..12 * SECOND);
                self.killed.push((back, place));
                return;
            }
        }
        if self.rng.random_bool(TALKATIVE) {
            let records = if self.rng.random_bool(0.1) {
                30
            } else {
                self.rng.random_range(1..4)
            };
            world.publish(node, records);
        }
    }

    /// With their identity, and what they had stored.
    fn killed_ones_return(&mut self, world: &mut World) {
        let now = world.now;
        let due: Vec<_> = self.killed.extract_if(.., |(at, _)| *at <= now).collect();
        for (_, place) in due {
            let before = self.publishers[place];
            let key = world.nodes[before].key.clone();
            let node = world.spawn_as(key);
            let (low, high) = world.nodes.split_at_mut(node);
            std::mem::swap(&mut low[before].ring, &mut high[0].ring);
            high[0].clock = low[before].clock;
            let listens = !low[before].readers.is_empty();
            let position = low[before]
                .readers
                .first()
                .map(|reader| reader.diary.position().clone());
            self.publishers[place] = node;
            world.open_publisher(node);
            if let Some(position) = position.filter(|_| listens) {
                world.subscribe(node, Start::After(position), INBOX_MAX);
            }
        }
    }

    fn somebody_leaves(&mut self, world: &mut World) {
        let Some(node) = world.here().choose(&mut self.rng) else {
            return;
        };
        // Publishers stay, or come back; one in five goes for ever.
        if self.publishers.contains(&node) && self.rng.random_bool(0.8) {
            return;
        }
        self.left += 1;
        if let Some(reader) = world.nodes[node].readers.first() {
            self.positions.push(reader.diary.position().clone());
        }
        world.leave(node);
        if let Some(place) = self.publishers.iter().position(|publisher| *publisher == node) {
            let successor = world.spawn();
            world.open_publisher(successor);
            self.publishers[place] = successor;
        }
    }

    fn somebody_comes(&mut self, world: &mut World) {
        self.came += 1;
        // One in four is a second subscriber of somebody who is there.
        let node = if self.rng.random_bool(0.25)
            && let Some(node) = world.here().choose(&mut self.rng)
        {
            node
        } else {
            let node = world.spawn();
            world.nodes[node].clock = self.rng.random_range(-200_000..200_000);
            node
        };
        let start = match self.rng.random_range(0..10) {
            0..3 => Start::All,
            3..5 => Start::Last(self.rng.random_range(1..100)),
            5 => Start::Latest,
            6..8 if !self.positions.is_empty() => {
                let position = self.rng.random_range(0..self.positions.len());
                Start::After(self.positions[position].clone())
            }
            _ => Start::Now,
        };
        world.subscribe(node, start, INBOX_MAX);
    }
}
