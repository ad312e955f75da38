//! Ticks that all execute alike: under loss and jitter, with players killed, parted, and back again.

use std::time::Duration;

use super::world::{CALM, Hardship, ROUGH, TICK, World};
use crate::core::lockstep::{Action, Out, Role};

/// Seeds, and the ticks of each.
const SEEDS_VARIABLE: &str = "MAILLE_SEEDS";
const SEEDS: u64 = 5;
const TICKS: u32 = 1_000;
const TICKS_LONG: u32 = 10_000;
/// Ticks that those execute alone who are cut off: no more than two delays.
const CUT_OFF_MAX: usize = 24;
const SECOND: Duration = Duration::from_secs(1);

fn seeds() -> (u64, u32) {
    let asked = std::env::var(SEEDS_VARIABLE).ok().and_then(|seeds| seeds.parse().ok());
    asked.map_or((SEEDS, TICKS), |seeds| (seeds, TICKS_LONG))
}

#[test]
fn four_players_have_the_same_state_after_every_tick() {
    let (seeds, ticks) = seeds();
    let (mut records, mut slowest, mut delays) = (0, Duration::ZERO, (u32::MAX, 0));
    for seed in 0..seeds {
        let mut world = World::new(seed, 4, ROUGH);
        let done = |world: &World| (0..4).all(|node| world.executed(node) >= ticks);
        assert!(
            world.run(TICK * ticks * 3, done),
            "seed {seed}: {:?}",
            [0, 1, 2, 3].map(|node| world.executed(node))
        );
        assert!(world.agree(&[0, 1, 2, 3]) >= 6 * ticks as usize - 1_000, "seed {seed}");
        for node in &world.nodes {
            let bad = |event: &&(_, Action)| !matches!(event.1, Action::Delay(_));
            assert_eq!(node.events.iter().find(bad), None, "seed {seed}");
            let delay = node.machine.delay();
            delays = (delays.0.min(delay), delays.1.max(delay));
        }
        records += world.records;
        slowest = slowest.max(world.elapsed());
    }
    eprintln!(
        "{seeds} seeds of {ticks} ticks of {TICK:?}: the same state after each; slowest {slowest:?}, {} records a player \
         and second, delays in the end {} to {} ticks",
        records / seeds / 4 / slowest.as_secs(),
        delays.0,
        delays.1,
    );
}

#[test]
fn others_go_on_when_players_are_killed() {
    let mut slowest = Duration::ZERO;
    for seed in 0..seeds().0.min(20) * 4 {
        let hardship = if seed % 2 == 0 { ROUGH } else { CALM };
        let mut world = World::new(seed, 5, hardship);
        assert!(
            world.run(20 * SECOND, |world| (0..5).all(|node| world.executed(node) > 100)),
            "seed {seed}"
        );
        let mut left = vec![0, 1, 2, 3, 4];
        // One, or two at once; then one more.
        let first = (seed % 5) as usize;
        for killed in [vec![first], vec![(first + 1) % 5, (first + 3) % 5]] {
            let at = world.elapsed();
            for node in &killed {
                world.kill(*node);
                left.retain(|one| one != node);
            }
            let before = left.iter().map(|node| world.executed(*node)).max().unwrap();
            let lowest = *left.iter().min().unwrap();
            let had = left.len() + killed.len();
            let may = left.len() * 2 > had || (left.len() * 2 == had && killed.iter().all(|node| *node > lowest));
            let goes_on = world.run(at + 10 * SECOND, |world| {
                left.iter().all(|node| world.executed(*node) > before + 40)
            });
            assert_eq!(goes_on, may, "seed {seed}: {killed:?} of {had}");
            if !may {
                break;
            }
            let again = world.nodes[left[0]]
                .steps
                .iter()
                .rev()
                .find(|(_, step)| !step.left.is_empty())
                .unwrap()
                .0;
            slowest = slowest.max(again - world.begun - at);
            for node in &killed {
                let name = world.name(*node);
                for other in &left {
                    let left: Vec<_> = world.nodes[*other]
                        .steps
                        .iter()
                        .filter(|(_, step)| step.left.contains(&name))
                        .collect();
                    assert_eq!(left.len(), 1, "seed {seed}");
                }
            }
        }
        world.agree(&[0, 1, 2, 3, 4]);
    }
    eprintln!("the others went on within {slowest:?}");
    assert!(slowest < 3 * SECOND);
}

#[test]
fn a_side_of_more_than_half_goes_on_and_the_other_ends_when_they_meet() {
    for seed in 0..seeds().0.min(20) * 2 {
        let mut world = World::new(seed, 5, ROUGH);
        assert!(world.run(20 * SECOND, |world| (0..5).all(|node| world.executed(node) > 100)));
        // The lowest two, who are fewer.
        let at = world.elapsed();
        (0..2).for_each(|node| world.nodes[node].side = 1);
        let goes_on = world.run(at + 5 * SECOND, |world| (2..5).all(|node| world.executed(node) > 200));
        assert!(
            goes_on || world.run(at + 10 * SECOND, |world| (2..5).all(|node| world.executed(node) > 200)),
            "seed {seed}"
        );
        assert!(
            (0..2).all(|node| world.executed(node) < 200 && !world.is_out(node, Out::Dropped)),
            "seed {seed}"
        );
        assert!((0..2).all(|node| {
            let events = &world.nodes[node].events;
            events
                .iter()
                .any(|(_, event)| matches!(event, Action::Waiting { players, .. } if !players.is_empty()))
        }));
        (0..2).for_each(|node| world.nodes[node].side = 0);
        let at = world.elapsed();
        assert!(
            world.run(at + 3 * SECOND, |world| (0..2)
                .all(|node| world.is_out(node, Out::Dropped))),
            "seed {seed}"
        );
        world.agree_but(CUT_OFF_MAX, &[0, 1, 2, 3, 4]);
    }
}

#[test]
fn of_two_halves_the_one_with_the_lowest_seat_goes_on() {
    for (seed, players, lower) in [(0, 2, vec![0]), (1, 4, vec![0, 3]), (2, 4, vec![0, 1])] {
        let mut world = World::new(seed, players, CALM);
        assert!(world.run(20 * SECOND, |world| (0..players).all(|node| world.executed(node) > 100)));
        lower.iter().for_each(|node| world.nodes[*node].side = 1);
        let at = world.elapsed();
        assert!(world.run(at + 5 * SECOND, |world| {
            lower.iter().all(|node| world.executed(*node) > 150)
        }));
        assert!(
            (0..players)
                .filter(|node| !lower.contains(node))
                .all(|node| world.executed(node) < 150)
        );
        world.agree_but(CUT_OFF_MAX, &(0..players).collect::<Vec<_>>());
    }
}

#[test]
fn a_short_cut_costs_nobody_its_seat() {
    for seed in 0..seeds().0.min(20) {
        let mut world = World::new(seed, 4, ROUGH);
        assert!(world.run(20 * SECOND, |world| (0..4).all(|node| world.executed(node) > 100)));
        for cut_ms in [500, 950, 1_100] {
            let at = world.elapsed();
            // All from all, so that nobody can go on without anybody.
            (0..4).for_each(|node| world.nodes[node].side = u8::try_from(node).unwrap());
            world.run(at + Duration::from_millis(cut_ms), |_| false);
            (0..4).for_each(|node| world.nodes[node].side = 0);
            let before = world.executed(0);
            assert!(
                world.run(at + 6 * SECOND, |world| (0..4)
                    .all(|node| world.executed(node) > before + 40)),
                "seed {seed}"
            );
        }
        assert!(
            world
                .nodes
                .iter()
                .all(|node| node.steps.iter().all(|(_, step)| step.left.is_empty())),
            "seed {seed}"
        );
        world.agree(&[0, 1, 2, 3]);
    }
}

#[test]
fn who_was_killed_comes_back_and_watchers_see_the_same() {
    let mut slowest = Duration::ZERO;
    for seed in 0..seeds().0.min(50) {
        let mut world = World::new(seed, 4, if seed % 2 == 0 { ROUGH } else { CALM });
        assert!(world.run(20 * SECOND, |world| (0..4).all(|node| world.executed(node) > 100)));
        let killed = (seed % 4) as usize;
        let name = world.name(killed);
        world.kill(killed);
        let left: Vec<usize> = (0..4).filter(|node| *node != killed).collect();
        let at = world.elapsed();
        world.run(at + 10 * SECOND, |_| false);
        let watcher = world.add(libp2p::PeerId::random(), Role::Watch);
        let at = world.elapsed();
        let back = world.add(name, Role::Rejoin);
        let is_back = |world: &World| {
            [left[0], left[1], left[2], back, watcher].iter().all(|node| {
                world.nodes[*node]
                    .steps
                    .iter()
                    .any(|(_, step)| step.joined.contains(&name))
            })
        };
        assert!(world.run(at + 5 * SECOND, is_back), "seed {seed}");
        slowest = slowest.max(world.elapsed() - at);
        let goal = world.executed(back) + 100;
        let all = [left[0], left[1], left[2], back, watcher];
        let at = world.elapsed();
        assert!(
            world.run(at + 10 * SECOND, |world| all
                .iter()
                .all(|node| world.executed(*node) > goal)),
            "seed {seed}"
        );
        assert!(world.agree(&all) > 500);
        let inputs = world.nodes[left[0]]
            .steps
            .iter()
            .rev()
            .take(90)
            .flat_map(|(_, step)| &step.inputs);
        assert!(
            inputs
                .filter(|(player, input)| *player == name && !input.is_empty())
                .count()
                > 3,
            "seed {seed}"
        );
        // Who came back counts when the next one goes, once there was a change.
        world.kill(left[0]);
        let before = world.executed(back);
        let rest = [left[1], left[2], back, watcher];
        let at = world.elapsed();
        assert!(
            world.run(at + 6 * SECOND, |world| rest
                .iter()
                .all(|node| world.executed(*node) > before + 40)),
            "seed {seed}"
        );
        world.agree(&all);
    }
    eprintln!("back in the game within {slowest:?}");
    assert!(slowest < 2 * SECOND);
}

#[test]
fn churn_never_makes_two_games() {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    for seed in 0..seeds().0 * 4 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut world = World::new(seed, 5, Hardship { loss: 0.1, ..ROUGH });
        let mut all: Vec<usize> = (0..5).collect();
        for _ in 0..12 {
            let at = world.elapsed();
            let node = all[rng.random_range(0..all.len())];
            match rng.random_range(0..5) {
                0 => world.kill(node),
                1 => all
                    .iter()
                    .for_each(|node| world.nodes[*node].side = rng.random_range(0..2)),
                2 => {
                    let name = world.names[rng.random_range(0..5)];
                    for node in &all {
                        if world.name(*node) == name {
                            world.kill(*node);
                        }
                    }
                    all.push(world.add(name, Role::Rejoin));
                }
                _ => all.iter().for_each(|node| world.nodes[*node].side = 0),
            }
            world.run(at + Duration::from_millis(rng.random_range(200..5_000)), |_| false);
        }
        world.agree_but(CUT_OFF_MAX, &all);
    }
}

#[test]
fn the_delay_follows_the_way() {
    for (delay_ms, least, most) in [((1, 3), 1, 3), ((190, 210), 5, 9)] {
        let mut world = World::new(1, 3, Hardship { loss: 0.0, delay_ms });
        world.run(60 * SECOND, |_| false);
        let delays = [0, 1, 2].map(|node| world.nodes[node].machine.delay());
        assert!(
            delays.iter().all(|delay| (least..=most).contains(delay)),
            "{delay_ms:?}: {delays:?}"
        );
        let late: Vec<_> = world.nodes[0]
            .steps
            .windows(2)
            .filter(|pair| pair[1].0 - pair[0].0 > TICK * 3)
            .collect();
        assert!(late.len() < 5, "{delay_ms:?}: {} long ticks", late.len());
        assert!(world.executed(0) > 1_100, "{delay_ms:?}: {}", world.executed(0));
        world.agree(&[0, 1, 2]);
    }
}

#[test]
fn another_state_is_told_with_its_tick() {
    let mut world = World::new(3, 3, CALM);
    assert!(world.run(20 * SECOND, |world| (0..3).all(|node| world.executed(node) > 50)));
    world.nodes[1].lie = 1;
    let liar = world.name(1);
    let first = world.executed(1) + 1;
    world.run(20 * SECOND, |world| world.executed(0) > 100);
    for node in [0, 2] {
        let told: Vec<_> = world.nodes[node]
            .events
            .iter()
            .filter(|(_, event)| matches!(event, Action::Mismatch { .. }))
            .collect();
        assert!(
            matches!(told[..], [(_, Action::Mismatch { tick, player, .. })] if *player == liar && *tick == first),
            "{told:?}"
        );
    }
}
