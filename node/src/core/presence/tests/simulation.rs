//! 60 members in virtual time: 5 % of all messages are lost, members leave, crash, freeze, and are cut apart.

use std::{collections::BTreeSet, time::Duration};

use super::world::{State, World, named};
use crate::core::presence::{Action, Input};

const MEMBERS: usize = 60;
const NEIGHBOURS: usize = 12;
const SEEDS_VARIABLE: &str = "MAILLE_SEEDS";
const SECOND: Duration = Duration::from_secs(1);

fn seeds() -> std::ops::Range<u64> {
    let count = std::env::var(SEEDS_VARIABLE).map_or(1, |count| count.parse().unwrap());
    500..500 + count
}

/// A mesh in which everybody knows everybody, and 5 % is lost.
fn crowd(seed: u64) -> (World, BTreeSet<usize>) {
    let mut world = World::new(seed, MEMBERS);
    for node in 0..MEMBERS {
        world.hear(node, Input::Introduced(named(&format!("n{node}"))));
    }
    world.hear(0, Input::Watched);
    world.loss = 0.05;
    world.link_at_random(NEIGHBOURS);
    let everyone = (0..MEMBERS).collect();
    let took = world.run_until(60 * SECOND, |world| world.agree(&everyone));
    eprintln!("{MEMBERS} members know each other after {took:?}");
    assert!(took.is_some());
    (world, everyone)
}

#[test]
fn a_minute_at_five_percent_loss_alarms_nobody() {
    for seed in seeds() {
        let (mut world, everyone) = crowd(seed);
        world.run(60 * SECOND);
        assert_eq!(world.alarms(), []);
        assert!(world.agree(&everyone));
        for (node, other) in [(0, 59), (31, 7)] {
            assert_eq!(world.nickname(node, other), Some(format!("n{other}")));
        }
    }
}

#[test]
fn a_crash_and_a_freeze_are_seen_by_all_in_five_seconds() {
    for seed in seeds() {
        let (mut world, mut everyone) = crowd(seed);
        for (what, victim) in [("crash", 17), ("freeze", 23), ("crash", 0), ("freeze", 1)] {
            // Somebody else watches on.
            world.hear(40, Input::Watched);
            world.run(10 * SECOND);
            let peer = world.peer(victim);
            match what {
                "crash" => world.crash(victim),
                _ => world.nodes[victim].state = State::Frozen,
            }
            everyone.remove(&victim);
            let took = world.run_until(5 * SECOND, |world| world.agree(&everyone));
            eprintln!("{what}: seen by all after {took:?}");
            assert!(took.is_some());
            for node in &everyone {
                assert_eq!(world.told(*node, &Action::Failed { peer }), 1);
            }
        }
        // Of nobody else.
        assert!(world.alarms().iter().all(|(_, event)| {
            [17, 23, 0, 1]
                .map(|victim| Action::Failed {
                    peer: world.peer(victim),
                })
                .contains(event)
        }));
        // One that thaws is back.
        let (peer, at) = (world.peer(23), world.at());
        world.nodes[23].state = State::Up;
        everyone.insert(23);
        let took = world.run_until(30 * SECOND, |world| {
            everyone.iter().all(|node| *node == 23 || world.lists(*node, &everyone))
        });
        eprintln!("thawed: listed by all after {took:?}");
        assert!(took.is_some());
        let again = |node: &usize| {
            world.nodes[*node]
                .events
                .iter()
                .any(|(when, event)| *when >= at && *event == Action::Joined { peer })
        };
        assert!(everyone.iter().filter(|node| **node != 23).all(again));
    }
}

#[test]
fn a_clean_leave_is_seen_by_all_within_a_second() {
    for seed in seeds() {
        let (mut world, mut everyone) = crowd(seed);
        for leaver in [5, 44] {
            world.run(SECOND);
            let peer = world.peer(leaver);
            world.leave(leaver);
            everyone.remove(&leaver);
            let took = world.run_until(SECOND, |world| world.agree(&everyone));
            eprintln!("a leave: seen by all after {took:?}");
            assert!(took.is_some());
            assert!(
                everyone
                    .iter()
                    .all(|node| world.told(*node, &Action::Left { peer }) == 1)
            );
        }
        world.run(20 * SECOND);
        assert!(world.agree(&everyone), "nobody brings them back");
        assert_eq!(world.alarms(), []);
    }
}

#[test]
fn halves_that_are_cut_apart_see_it_and_heal() {
    for seed in seeds() {
        let (mut world, everyone) = crowd(seed);
        let (west, east): (BTreeSet<usize>, BTreeSet<usize>) = everyone.iter().partition(|node| **node < MEMBERS / 2);
        // Once with connections that end, once with such that fall silent.
        for ends in [true, false] {
            let across: Vec<(usize, usize)> = world
                .links
                .iter()
                .copied()
                .filter(|(a, b)| west.contains(a) && east.contains(b))
                .collect();
            for (a, b) in &across {
                match ends {
                    true => world.unlink(*a, *b),
                    false => drop(world.cut.insert((*a, *b))),
                }
            }
            let took = world.run_until(15 * SECOND, |world| world.agree(&west) && world.agree(&east));
            eprintln!("cut, connections end: {ends}: each half knows itself alone after {took:?}");
            assert!(took.is_some());
            world.cut.clear();
            for (a, b) in across {
                world.unlink(a, b);
                world.link(a, b);
            }
            let took = world.run_until(15 * SECOND, |world| world.agree(&everyone));
            eprintln!("mended: all know all after {took:?}");
            assert!(took.is_some());
            world.run(30 * SECOND);
            assert!(world.agree(&everyone));
        }
    }
}

#[test]
fn an_idle_mesh_says_little() {
    for watches in [false, true] {
        let mut world = World::new(9, MEMBERS);
        world.link_at_random(NEIGHBOURS);
        if watches {
            world.hear(0, Input::Watched);
        }
        // Beyond the first announcements, which each made when it knew few others.
        world.run(60 * SECOND);
        world.bytes = 0;
        world.run(240 * SECOND);
        let a_minute = world.bytes / 4 / (2 * world.links.len());
        eprintln!(
            "watched: {watches}; {a_minute} bytes a minute and neighbour, each way, before the connection's own headers"
        );
        assert!(a_minute < if watches { 5_000 } else { 3_000 }, "{a_minute}");
    }
}
