//! Repair of what the live inbox misses, and digests that find what it does not know to miss.

use std::collections::BTreeSet;

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use super::{
    lies::{Lie, invented},
    peer, seeds,
    sessions::honest,
    world::{At, BASE_FRAMES, FINE, Holding, Member, STORM, World, end_of, frames},
};
use crate::core::catchup::{Input, Question, Run};

fn some_run(rng: &mut StdRng) -> Run {
    *frames().keys().nth(rng.random_range(0..frames().len())).unwrap()
}

#[test]
fn what_is_missing_is_handed_over_or_hopeless() {
    for seed in seeds(300) {
        let rng = &mut StdRng::seed_from_u64(seed);
        let storm = rng.random_bool(0.5);
        let members: Vec<Member> = (0..rng.random_range(1..=4))
            .map(|_| honest(Holding::random(rng)))
            .collect();
        let held: BTreeSet<At> = members.iter().flat_map(|member| member.holding.records()).collect();
        let mut world = World::new(seed, members, Holding::random(rng), if storm { STORM } else { FINE });
        let held: BTreeSet<At> = held.union(&world.local.records()).copied().collect();
        let mut missing = BTreeSet::new();
        for _ in 0..rng.random_range(1..6) {
            let (run, from) = (some_run(rng), rng.random_range(0..20));
            let sequences = from..from + rng.random_range(1..8);
            missing.extend(sequences.clone().map(|sequence| (run, sequence)));
            world.give(Input::Missing { run, sequences });
        }
        world.run(300);
        let handed: BTreeSet<At> = world.handed.iter().copied().collect();
        let hopeless: Vec<At> = world
            .hopeless
            .iter()
            .flat_map(|(run, range)| range.clone().map(|sequence| (*run, sequence)))
            .collect();
        let given_up: BTreeSet<At> = hopeless.iter().copied().collect();
        assert_eq!(given_up.len(), hopeless.len(), "seed {seed}: hopeless twice");
        for at in &missing {
            assert!(handed.contains(at) != given_up.contains(at), "seed {seed}: {at:?}");
            assert!(storm || held.contains(at) == handed.contains(at), "seed {seed}: {at:?}");
        }
        assert!(given_up.is_subset(&missing), "seed {seed}");
        assert!(world.named.is_empty() && world.catchup.pending() == 0, "seed {seed}");
    }
}

#[test]
fn what_fills_by_itself_is_withdrawn() {
    let run = *frames().keys().next().unwrap();
    let mut world = World::new(1, vec![honest(Holding::default())], Holding::default(), FINE);
    world.give(Input::Missing { run, sequences: 3..9 });
    world.give(Input::Withdrawn { run, sequences: 3..6 });
    world.run(60);
    assert_eq!(world.hopeless, [(run, 6..9)]);
    world.give(Input::Missing { run, sequences: 20..30 });
    world.give(Input::Withdrawn { run, sequences: 20..30 });
    world.run(60);
    assert_eq!(world.hopeless, [(run, 6..9)]);
    assert_eq!(world.catchup.pending(), 0);
}

#[test]
fn it_goes_on_for_longer_after_a_neighbour_was_lost() {
    let run = *frames().keys().next().unwrap();
    let lacks = || honest(Holding::default());
    let mut world = World::new(1, vec![lacks(), lacks()], Holding::default(), FINE);
    world.give(Input::Missing { run, sequences: 3..9 });
    world.run(60);
    assert_eq!(
        world.hopeless,
        [(run, 3..9)],
        "everybody was asked, and nothing changed"
    );

    let mut world = World::new(1, vec![lacks(), lacks()], Holding::default(), FINE);
    world.give(Input::Missing { run, sequences: 3..9 });
    world.leave_in(30_000, peer(2));
    world.run(100);
    assert_eq!(world.hopeless, [], "its side of the network may be the smaller one");
    world.run(20);
    assert_eq!(world.hopeless, [(run, 3..9)]);
}

#[test]
fn without_anybody_to_ask_it_waits_a_little() {
    let run = *frames().keys().next().unwrap();
    let mut world = World::new(1, vec![], Holding::default(), FINE);
    world.give(Input::Missing { run, sequences: 3..9 });
    world.run(4);
    assert_eq!(world.hopeless, []);
    world.run(2);
    assert_eq!(world.hopeless, [(run, 3..9)]);
}

#[test]
fn digests_are_offered_every_ten_seconds() {
    let members = (0..3).map(|_| honest(Holding::default())).collect();
    let mut world = World::new(1, members, Holding::default(), FINE);
    world.run(600);
    assert!((50..=75).contains(&world.digests.len()), "{}", world.digests.len());
    assert_eq!(world.digests.iter().collect::<BTreeSet<_>>().len(), 3);
    assert_eq!(world.asked, []);
}

/// A neighbour's digest differs; the live inbox knows these heads.
fn look(world: &mut World, since_us: u64, heads: Vec<(Run, u64)>) {
    world.give(Input::Digest {
        from: peer(1),
        theirs: [1; 8],
        ours: [2; 8],
        since_us,
    });
    world.run(2);
    world.give(Input::Heads(heads));
    world.run(60);
}

#[test]
fn a_lost_last_frame_is_found() {
    let mut world = World::new(1, vec![honest(Holding::all())], Holding::default(), FINE);
    let heads: Vec<(Run, u64)> = frames().keys().map(|run| (*run, end_of(*run, BASE_FRAMES))).collect();
    let (run, end) = heads[0];
    let mut ours = heads.clone();
    ours[0].1 = end_of(run, BASE_FRAMES - 1);
    look(&mut world, 0, ours);
    assert_eq!(world.heads_asked, 1);
    let missing = end_of(run, BASE_FRAMES - 1)..end;
    assert_eq!(
        world.handed,
        missing.map(|sequence| (run, sequence)).collect::<Vec<_>>()
    );
    // The same digest, or one just looked at, asks nothing.
    let asked = world.asked.len();
    world.give(Input::Digest {
        from: peer(1),
        theirs: [3; 8],
        ours: [3; 8],
        since_us: 0,
    });
    world.run(5);
    assert_eq!(world.asked.len(), asked);
}

#[test]
fn what_was_sent_before_we_listened_is_not_missed() {
    let mut world = World::new(1, vec![honest(Holding::all())], Holding::default(), FINE);
    look(&mut world, u64::MAX, vec![]);
    assert_eq!(world.handed, []);
    world.run(10);
    let newest = frames().keys().next_back().unwrap();
    let since_us = frames()[newest][BASE_FRAMES - 1].sent_us;
    // Every other look is at what is held of publishers that are known.
    look(&mut world, since_us, vec![]);
    assert_eq!(world.handed, []);
    world.run(10);
    look(&mut world, since_us, vec![]);
    assert!(!world.handed.is_empty());
    let sent = |at: &At| {
        let mut of_run = frames()[&at.0].iter();
        of_run.find(|frame| frame.sequences().contains(&at.1)).unwrap().sent_us
    };
    assert!(world.handed.iter().all(|at| sent(at) >= since_us), "{:?}", world.handed);
}

#[test]
fn what_follows_a_run_that_is_heard_is_missed_whenever_it_was_sent() {
    let mut world = World::new(1, vec![honest(Holding::all())], Holding::default(), FINE);
    let run = *frames().keys().next().unwrap();
    let end = end_of(run, BASE_FRAMES);
    let ours = vec![(run, end_of(run, BASE_FRAMES - 1))];
    look(&mut world, u64::MAX, ours.clone());
    assert_eq!(world.handed, []);
    world.run(10);
    look(&mut world, u64::MAX, ours);
    let of_run = world.handed.iter().filter(|at| at.0 == run).map(|at| at.1);
    assert_eq!(
        of_run.collect::<Vec<_>>(),
        (end_of(run, BASE_FRAMES - 1)..end).collect::<Vec<_>>()
    );
    assert!(
        world.handed.iter().all(|at| at.0.publisher == run.publisher),
        "others are not known"
    );
}

#[test]
fn invented_heads_disturb_nobody() {
    let liar = Member {
        holding: Holding::all(),
        lie: Some(Lie::InventsRun),
        gone: false,
    };
    let mut world = World::new(1, vec![liar, honest(Holding::all())], Holding::default(), FINE);
    let heads = frames().keys().map(|run| (*run, end_of(*run, BASE_FRAMES))).collect();
    look(&mut world, 0, heads);
    let asked = |what: &Question| matches!(what, Question::Range { run, .. } if *run == invented());
    assert!(world.asked.iter().any(|(_, what)| asked(what)));
    assert_eq!(
        (world.handed.len(), world.hopeless.len()),
        (0, 0),
        "nobody waits for what does not exist"
    );
}
