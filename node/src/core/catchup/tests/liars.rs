//! One liar of three members: the result is right, the liar is named where it can be, and nobody else ever.

use std::collections::BTreeSet;

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use super::{
    lies::Lie,
    peer, seeds,
    sessions::{assert_in_order, honest},
    world::{At, FINE, Holding, Member, STORM, World, end_of, frames, newest_of_keys, newest_records},
};
use crate::{
    core::catchup::{Fault, Input, SessionId},
    types::Start,
};

const LIES: [Lie; 9] = [
    Lie::HidesRange,
    Lie::HidesHead,
    Lie::HidesPublisher,
    Lie::InventsHead,
    Lie::InventsRun,
    Lie::BesideTheRange,
    Lie::Forges,
    Lie::EndlessRuns,
    Lie::EndlessLatest,
];

fn session_with(lie: Lie, start: Start, seed: u64) -> World {
    let liar = Member {
        holding: Holding::all(),
        lie: Some(lie),
        gone: false,
    };
    let members = vec![liar, honest(Holding::all()), honest(Holding::all())];
    let mut world = World::new(seed, members, Holding::default(), FINE);
    let session = SessionId(1);
    world.give(Input::Begin { session, start });
    world.run(120);
    world
}

fn expected_fault(lie: Lie) -> Option<Fault> {
    match lie {
        Lie::HidesRange | Lie::InventsHead | Lie::InventsRun => Some(Fault::Unfounded),
        Lie::HidesHead | Lie::HidesPublisher => None,
        Lie::BesideTheRange => Some(Fault::BesideTheQuestion),
        Lie::Forges => Some(Fault::Forged),
        Lie::EndlessRuns | Lie::EndlessLatest => Some(Fault::Endless),
    }
}

#[test]
fn one_liar_of_three_changes_nothing() {
    let mut named = 0;
    for seed in seeds(300) {
        let rng = &mut StdRng::seed_from_u64(seed);
        let lie = LIES[(seed % 9) as usize];
        let all = Holding::all();
        let last = rng.random_range(1..100);
        let (start, expected): (Start, BTreeSet<At>) = match (lie, rng.random_range(0..3)) {
            (Lie::EndlessLatest, _) | (_, 0) => (Start::Latest, newest_of_keys(all.frames())),
            (_, 1) => (Start::Last(last), newest_records(all.frames(), last as usize)),
            _ => (Start::All, all.records()),
        };
        let world = session_with(lie, start.clone(), seed);

        assert_in_order(&world, seed);
        let delivered: BTreeSet<At> = world.delivered.iter().copied().collect();
        assert_eq!(delivered, expected, "seed {seed}: {lie:?} {start:?}");
        assert_eq!(world.gaps, [], "seed {seed}: {lie:?} {start:?}");
        assert!(world.caught_up.is_some(), "seed {seed}: {lie:?}");
        assert!(
            [&[][..], &[peer(1)]].contains(&&world.lacking[..]),
            "seed {seed}: {lie:?}"
        );
        let asked_runs = start != Start::Latest;
        let must_be_named = match lie {
            Lie::InventsHead | Lie::InventsRun => asked_runs,
            Lie::EndlessRuns | Lie::EndlessLatest => true,
            Lie::Forges => !asked_runs || world.withheld.contains(&peer(1)),
            _ => world.withheld.contains(&peer(1)),
        };
        match expected_fault(lie) {
            Some(fault) if must_be_named => {
                assert_eq!(world.named, [(peer(1), fault)], "seed {seed}: {lie:?} {start:?}");
                named += 1;
            }
            _ => assert_eq!(world.named, [], "seed {seed}: {lie:?} {start:?}"),
        }
    }
    assert!(named > 0 || std::env::var_os("MAILLE_SEED").is_some());
    eprintln!("{named} liars named");
}

#[test]
fn invented_heads_silence_nobody() {
    for seed in 0..60 {
        let lie = [Lie::InventsHead, Lie::InventsRun][(seed % 2) as usize];
        let start = [Start::All, Start::Last(3), Start::Latest][(seed % 3) as usize].clone();
        let liar = Member {
            holding: Holding::all(),
            lie: Some(lie),
            gone: false,
        };
        let mut world = World::new(seed, vec![liar, honest(Holding::all())], Holding::default(), FINE);
        if seed % 4 < 2 {
            world.leave_in(400 + seed * 10, peer(1));
        }
        world.live = frames().keys().filter(|run| run.incarnation == 6).copied().collect();
        let session = SessionId(1);
        world.give(Input::Begin { session, start });
        world.run(120);
        let reached = world.caught_up.clone().unwrap();
        for (run, next) in reached {
            assert!(next <= end_of(run, 12), "seed {seed}: {lie:?} silences {run:?}");
        }
        for run in world.live.clone() {
            let last = (run, end_of(run, 12) - 1);
            assert!(world.delivered.contains(&last), "seed {seed}: {lie:?} {last:?}");
        }
    }
}

#[test]
fn in_a_storm_no_honest_member_is_named() {
    for seed in seeds(200) {
        let rng = &mut StdRng::seed_from_u64(seed);
        let liar = Member {
            holding: Holding::all(),
            lie: Some(LIES[(seed % 9) as usize]),
            gone: false,
        };
        let members = vec![liar, honest(Holding::random(rng)), honest(Holding::random(rng))];
        let mut world = World::new(seed, members, Holding::random(rng), STORM);
        let session = SessionId(1);
        world.give(Input::Begin {
            session,
            start: Start::All,
        });
        world.run(600);
        assert_in_order(&world, seed);
        assert!(world.caught_up.is_some(), "seed {seed}");
        assert!(world.named.iter().all(|(named, _)| *named == peer(1)), "seed {seed}");
    }
}

#[test]
fn who_forgets_meanwhile_is_no_liar() {
    // It claims all, and by the time it is asked for it has forgotten the older half of each run.
    for seed in 0..50 {
        let mut world = World::new(seed, vec![honest(Holding::all())], Holding::default(), FINE);
        let session = SessionId(1);
        world.give(Input::Begin {
            session,
            start: Start::All,
        });
        while !world.told.contains(&peer(1)) {
            world.run_ms(10);
        }
        let member = world.members.get_mut(&peer(1)).unwrap();
        for places in member.holding.0.values_mut() {
            places.retain(|place| *place >= 5);
        }
        world.run(180);
        assert_in_order(&world, seed);
        assert_eq!(world.named, [], "seed {seed}");
        assert!(world.caught_up.is_some(), "seed {seed}");
        let kept = world.members[&peer(1)].holding.records();
        let delivered: BTreeSet<At> = world.delivered.iter().copied().collect();
        assert!(kept.is_subset(&delivered), "seed {seed}");
    }
}
