//! Lease groups in virtual time: holders that crash, sleep, are cut off; claims at the same moment; what hostile members say.

mod hostile;
mod world;

use std::time::Duration;

use rand::RngExt;

use self::world::{LEASE, World};
use super::{Input, Lost, SETTLE, STAGGER, STAGGERED_MAX, grace};

const KEYS: [&str; 4] = ["a", "b", "c", "d"];
/// What a free key takes until it is held, whoever claims it.
const TAKING: Duration = Duration::from_millis(300 + 100 * STAGGERED_MAX as u64 + 100);

#[test]
fn one_gets_it_and_the_next_one_has_a_higher_token() {
    let mut world = World::new(5, 1);
    for who in 0..5 {
        world.want(who, "a", true);
    }
    let mut last = None;
    for round in 0..5 {
        world.run(TAKING + STAGGER);
        let holders = world.holders("a");
        assert_eq!(holders.len(), 1, "round {round}: {holders:?}");
        let token = world.members[holders[0]].held[b"a".as_slice()];
        assert!(Some(token.number()) > last, "round {round}: {token:?} after {last:?}");
        assert!(world.agrees());
        last = Some(token.number());
        world.unwant(holders[0], "a");
    }
    world.run(TAKING);
    assert!(world.holders("a").is_empty());
    assert!(world.members.iter().all(|member| member.lost.is_empty()));
}

#[test]
fn who_does_not_wait_is_refused() {
    let mut world = World::new(3, 2);
    world.want(0, "a", false);
    world.want(1, "a", false);
    world.run(TAKING);
    assert_eq!(world.holders("a").len(), 1, "of two at the same moment one gets it");
    world.want(2, "a", false);
    assert_eq!(world.members[2].refused, 1, "at once: it is held");
    assert_eq!(world.members.iter().map(|member| member.refused).sum::<usize>(), 2);
}

#[test]
fn a_crashed_holders_key_goes_to_the_next_when_its_lease_ends() {
    for seed in 0..50 {
        let mut world = World::new(4, seed);
        world.want(0, "a", true);
        world.run(LEASE * 2);
        assert_eq!(world.holders("a"), [0]);
        for who in 1..4 {
            world.want(who, "a", true);
        }
        world.run(Duration::from_millis(seed * 37));
        world.crash(0);
        world.run(LEASE / 2);
        assert!(world.holders("a").is_empty(), "its lease is not over");
        world.run(LEASE / 2 + grace(LEASE) + TAKING);
        assert_eq!(world.holders("a").len(), 1, "seed {seed}");
    }
}

#[test]
fn the_first_in_rank_goes_first_and_only_keys_of_who_went_change_hands() {
    let mut world = World::new(6, 3);
    for who in 0..6 {
        world.hear(who, Input::Offer(true));
    }
    world.run(LEASE);
    let before = world.members[0].machine.ranked(b"a");
    assert_eq!(before.len(), 6);
    assert!(world.members.iter().all(|member| member.machine.ranked(b"a") == before));
    for who in 0..6 {
        world.want(who, "a", true);
    }
    world.run(TAKING);
    assert_eq!(world.members[world.holders("a")[0]].peer, before[0]);
    let third = world
        .members
        .iter()
        .position(|member| member.peer == before[2])
        .unwrap();
    world.crash(third);
    world.run(LEASE * 2);
    let after = world.members[(third + 1) % 6].machine.ranked(b"a");
    let expected: Vec<_> = before.iter().copied().filter(|peer| *peer != before[2]).collect();
    assert_eq!(after, expected);
}

#[test]
fn both_sides_of_a_partition_hold_and_the_lower_is_fenced_when_they_meet() {
    for seed in 0..50 {
        let mut world = World::new(6, seed);
        world.want(0, "a", true);
        world.run(TAKING);
        let first = world.members[0].held[b"a".as_slice()];
        for who in 3..6 {
            world.members[who].side = 1;
            world.want(who, "a", true);
        }
        world.run(LEASE + grace(LEASE) + TAKING);
        let holders = world.holders("a");
        assert_eq!(holders.len(), 2, "seed {seed}: each side has its holder");
        let second = world.members[holders[1]].held[b"a".as_slice()];
        assert!(second > first, "whoever keeps tokens refuses the first");
        for who in 3..6 {
            world.members[who].side = 0;
        }
        world.run(LEASE);
        assert_eq!(world.holders("a"), [holders[1]], "seed {seed}");
        assert!(matches!(world.members[0].lost[..], [(_, Lost::Fenced { by })] if by == second));
        assert!(world.agrees());
    }
}

#[test]
fn who_slept_knows_that_its_time_is_over() {
    let mut world = World::new(3, 4);
    world.want(0, "a", true);
    world.run(TAKING);
    world.want(1, "a", true);
    world.members[0].asleep = true;
    world.run(LEASE + grace(LEASE) + TAKING);
    world.members[0].asleep = false;
    // What comes first, a record or its timer, finds out.
    world.hear(0, Input::TimedOut);
    assert!(!world.members[0].lost.is_empty());
    assert_eq!(world.holders("a"), [1]);
}

#[test]
fn numbers_outlive_their_holders_where_history_is_kept() {
    let mut world = World::new(2, 5);
    for _ in 0..7 {
        world.want(0, "a", true);
        world.run(TAKING);
        world.unwant(0, "a");
    }
    world.crash(0);
    world.crash(1);
    let newcomer = world.join();
    world.want(newcomer, "a", true);
    world.run(LEASE + grace(LEASE) + TAKING);
    assert_eq!(world.members[newcomer].held[b"a".as_slice()].number(), 8);
}

#[test]
fn random_hardships_end_with_one_holder_of_every_key() {
    let seeds = std::env::var("MAILLE_SEEDS").map_or(100, |seeds| seeds.parse().unwrap());
    for seed in 0..seeds {
        let mut world = World::new(6, seed);
        world.loss = 0.1;
        for _ in 0..60 {
            let who = world.rng.random_range(0..6);
            let key = KEYS[world.rng.random_range(0..KEYS.len())];
            match world.rng.random_range(0..8) {
                0..=3 => world.want(who, key, seed % 2 == 0),
                4 => world.unwant(who, key),
                5 => world.members[who].side = world.rng.random_range(0..2),
                6 => world.members[who].asleep = true,
                _ => world.members[who].asleep = false,
            }
            let ms = world.rng.random_range(0..1_500);
            world.run(Duration::from_millis(ms));
        }
        for member in &mut world.members {
            (member.side, member.asleep) = (0, false);
        }
        for who in 0..6 {
            KEYS.into_iter().for_each(|key| world.want(who, key, true));
        }
        world.run(LEASE * 2 + grace(LEASE));
        world.loss = 0.0;
        world.run(LEASE + SETTLE + TAKING);
        for key in KEYS {
            assert_eq!(world.holders(key).len(), 1, "seed {seed}, key {key}");
        }
        assert!(world.agrees(), "seed {seed}");
        for member in &world.members {
            for key in KEYS {
                let of_key = member
                    .granted
                    .iter()
                    .filter(|(_, granted, _)| granted == key.as_bytes());
                let numbers: Vec<u64> = of_key.map(|(_, _, token)| token.number()).collect();
                assert!(
                    numbers.is_sorted_by(|a, b| a < b),
                    "seed {seed}: own tokens grow: {numbers:?}"
                );
            }
        }
    }
}
