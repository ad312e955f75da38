//! The machine against members of every kind, in a time of its own: what it wants it gets, whoever else there is.

mod serving;
mod wire;
mod world;

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use world::{Kind, World};

/// One that holds all is enough.
const PATIENCE: Duration = Duration::from_secs(600);

fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![
        (0_u64..2_000).prop_map(|ms| Kind::Honest(Duration::from_millis(ms))),
        any::<u64>().prop_map(Kind::Part),
        Just(Kind::Liar),
        Just(Kind::Silent),
        (0_usize..20).prop_map(Kind::Vanishing),
        Just(Kind::Busy),
        Just(Kind::Boaster),
        Just(Kind::Empty),
    ]
}

proptest! {
    #[test]
    fn one_honest_holder_is_enough_whoever_else_there_is(
        seed in any::<u64>(),
        chunks in 1_u32..200,
        mut members in prop::collection::vec(kinds(), 0..12),
        at in any::<prop::sample::Index>(),
    ) {
        members.insert(at.index(members.len() + 1), Kind::Honest(Duration::from_millis(20)));
        let mut world = World::new(seed, chunks, members);
        let took = world.run(PATIENCE);
        prop_assert!(took.is_some(), "{world:?}");
        prop_assert!(world.blamed.iter().all(|peer| matches!(world.kind(peer), Kind::Liar)), "{world:?}");
    }

    #[test]
    fn parts_that_together_are_all_are_enough(seed in any::<u64>(), chunks in 1_u32..150, mask in any::<u64>()) {
        let mut world = World::new(seed, chunks, vec![Kind::Part(mask), Kind::Part(!mask)]);
        prop_assert!(world.run(PATIENCE).is_some(), "{world:?}");
        prop_assert_eq!(world.again, 0);
    }
}

#[test]
fn several_holders_share_the_work_and_nothing_is_fetched_twice() {
    for seed in 0..20 {
        let delay = Duration::from_millis(40);
        let mut world = World::new(seed, 400, vec![Kind::Honest(delay); 4]);
        let took = world.run(PATIENCE).unwrap();
        assert_eq!(world.again, 0, "seed {seed}");
        assert!(
            world.given.values().all(|given| (50..=150).contains(given)),
            "{world:?}"
        );
        assert!(
            took < Duration::from_secs(2),
            "{took:?}: 400 chunks, 4 members, 8 at once, 40 ms each"
        );
    }
}

#[test]
fn a_slow_holder_is_overtaken_and_a_silent_one_too() {
    for slow in [Kind::Honest(Duration::from_secs(15)), Kind::Silent] {
        let mut world = World::new(7, 160, vec![slow, Kind::Honest(Duration::from_millis(20))]);
        let took = world.run(PATIENCE).unwrap();
        assert!(took < Duration::from_secs(10), "{took:?}");
        assert!(world.again <= 16, "{world:?}");
    }
}

#[test]
fn a_holder_lost_at_half_costs_next_to_nothing_twice() {
    for seed in 0..50 {
        let delay = Duration::from_millis(30);
        let mut world = World::new(seed, 160, vec![Kind::Vanishing(80), Kind::Honest(delay)]);
        assert!(world.run(PATIENCE).is_some());
        assert_eq!(world.again, 0, "what was under way never came");
    }
}

#[test]
fn a_liar_is_named_once_and_never_asked_again() {
    let mut world = World::new(3, 50, vec![Kind::Liar]);
    assert!(world.run(PATIENCE).is_none());
    assert_eq!(world.blamed.len(), 1);
    assert!(world.lies <= 2, "asked for an outline, and nothing after: {world:?}");
    world.leave(0);
    world.join(0);
    let lies = world.lies;
    assert!(world.run(PATIENCE).is_none());
    assert_eq!((world.blamed.len(), world.lies), (1, lies));
    world.add(Kind::Honest(Duration::from_millis(1)));
    assert!(world.run(PATIENCE).is_some());
}

#[test]
fn who_holds_nothing_is_asked_again_but_not_often() {
    let mut world = World::new(3, 50, vec![Kind::Empty; 3]);
    assert!(world.run(PATIENCE).is_none());
    assert!(
        (3 * 118..=3 * 124).contains(&world.asked),
        "1, 2, 4, 5 … s in 600 s: {}",
        world.asked
    );
    assert!((10..=14).contains(&world.look_ups), "2, 4 … 60 s: {}", world.look_ups);
    world.add(Kind::Honest(Duration::from_millis(5)));
    assert!(
        world.run(Duration::from_secs(5)).is_some(),
        "a newcomer is asked at once"
    );
}

#[test]
fn a_boaster_is_not_a_holder_for_ever() {
    let mut world = World::new(3, 50, vec![Kind::Boaster, Kind::Busy, Kind::Silent]);
    assert!(world.run(PATIENCE).is_none());
    assert!(world.asked < 1_000, "{}", world.asked);
}

#[test]
fn what_is_under_way_is_bounded() {
    let mut world = World::new(9, 500, vec![Kind::Honest(Duration::from_secs(1)); 20]);
    world.more_blobs(100, 500);
    assert!(world.run(Duration::from_secs(10)).is_none());
    assert!(
        world.chunks_most <= 96 && world.outlines_most <= 8 && world.member_most <= 12,
        "{world:?}"
    );
    assert!(world.chunks_most > 90, "and used: {}", world.chunks_most);
}

#[test]
fn what_is_held_already_is_not_asked_for() {
    let mut held = ChunkSet::all(100);
    for index in 10..20 {
        held.remove(index);
    }
    let mut world = World::resumed(1, held, vec![Kind::Honest(Duration::from_millis(5))]);
    assert!(world.run(PATIENCE).is_some());
    assert_eq!((world.given.values().sum::<usize>(), world.again), (10, 0));
    let mut world = World::resumed(1, ChunkSet::all(100), vec![]);
    assert!(world.run(PATIENCE).is_some());
}
