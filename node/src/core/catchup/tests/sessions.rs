//! Sessions against the model: for every start, exactly what the model says, in order, once; or a reported gap.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, UNIX_EPOCH},
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use super::{
    peer, seeds,
    world::{At, BASE_FRAMES, FINE, Holding, Member, STORM, World, end_of, frames, newest_of_keys, newest_records},
};
use crate::{
    core::catchup::{Input, Run, SessionId, newest::run_of},
    types::{Cursor, Position, Start},
};

const SESSION: SessionId = SessionId(1);

pub(super) fn honest(holding: Holding) -> Member {
    Member {
        holding,
        lie: None,
        gone: false,
    }
}

fn random_start(rng: &mut StdRng) -> Start {
    match rng.random_range(0..6) {
        0 | 1 => Start::All,
        2 => Start::Since(UNIX_EPOCH + Duration::from_micros(rng.random_range(5_000..6_800))),
        3 => {
            let mut position = Position::new();
            for run in frames().keys() {
                if rng.random_bool(0.5) {
                    position.advance(&Cursor {
                        publisher: run.publisher,
                        incarnation: run.incarnation,
                        sequence: rng.random_range(0..20),
                    });
                }
            }
            Start::After(position)
        }
        4 => Start::Last(rng.random_range(1..150)),
        _ => Start::Latest,
    }
}

/// Ascending per publisher, each once, and no gap over what was delivered.
pub(super) fn assert_in_order(world: &World, seed: u64) {
    let mut last: BTreeMap<_, At> = BTreeMap::new();
    for at in &world.delivered {
        let before = last.insert(at.0.publisher, *at);
        assert!(
            before.is_none_or(|before| before < *at),
            "seed {seed}: {at:?} after {before:?}"
        );
    }
    for at in &world.delivered {
        let lost = world
            .gaps
            .iter()
            .any(|(run, range)| *run == at.0 && range.contains(&at.1));
        assert!(!lost, "seed {seed}: {at:?} delivered and missing");
    }
}

fn is_after(position: &Position, at: &At) -> bool {
    !position.covers(&Cursor {
        publisher: at.0.publisher,
        incarnation: at.0.incarnation,
        sequence: at.1,
    })
}

/// What the model says of a world in which everybody was asked: what they hold together, and what came live.
fn expected(start: &Start, known: &Holding, live: &BTreeSet<Run>, local: &Holding) -> BTreeSet<At> {
    let mut records = match start {
        Start::All => known.records(),
        Start::Since(time) => {
            let us = time.duration_since(UNIX_EPOCH).unwrap().as_micros() as u64;
            let late = known.frames().filter(|frame| frame.sent_us >= us);
            late.flat_map(|frame| frame.sequences().map(|sequence| (run_of(frame), sequence)))
                .collect()
        }
        Start::After(position) => known
            .records()
            .into_iter()
            .filter(|at| is_after(position, at))
            .collect(),
        Start::Last(n) => newest_records(known.frames(), *n as usize),
        Start::Latest => newest_of_keys(known.frames()),
        Start::Now => BTreeSet::new(),
    };
    // What came live lies behind all that was there before.
    let us = match start {
        Start::Since(time) => time.duration_since(UNIX_EPOCH).unwrap().as_micros() as u64,
        _ => 0,
    };
    let late = local.frames().filter(|frame| frame.sent_us >= us);
    let late = late.flat_map(|frame| frame.sequences().map(|sequence| (run_of(frame), sequence)));
    for at in late.filter(|at| live.contains(&at.0)) {
        let is_new = at.1 >= end_of(at.0, super::world::BASE_FRAMES);
        if is_new && !matches!(start, Start::After(position) if !is_after(position, &at)) {
            records.insert(at);
        }
    }
    records
}

fn together<'a>(all: impl Iterator<Item = &'a Holding>) -> Holding {
    let mut sum = Holding::default();
    for (run, places) in all.flat_map(|holding| &holding.0) {
        sum.0.entry(*run).or_default().extend(places);
    }
    sum
}

/// The newest runs of some publishers get their last frames while the session runs.
fn random_live(rng: &mut StdRng) -> BTreeSet<Run> {
    let newest: BTreeMap<_, Run> = frames().keys().map(|run| (run.publisher, *run)).collect();
    newest.into_values().filter(|_| rng.random_bool(0.4)).collect()
}

#[test]
fn in_fine_weather_everything_is_as_the_model_says() {
    for seed in seeds(700) {
        let rng = &mut StdRng::seed_from_u64(seed);
        let members: Vec<Member> = (0..rng.random_range(1..=3))
            .map(|_| honest(Holding::random(rng)))
            .collect();
        let local = if rng.random_bool(0.5) {
            Holding::default()
        } else {
            Holding::random(rng)
        };
        let known = together(members.iter().map(|member| &member.holding).chain([&local]));
        let mut world = World::new(seed, members, local, FINE);
        world.live = random_live(rng);
        let start = random_start(rng);
        let session = SESSION;
        world.give(Input::Begin {
            session,
            start: start.clone(),
        });
        world.run(600);

        assert_in_order(&world, seed);
        assert_eq!(world.named, [], "seed {seed}: nobody lied");
        assert!(!world.unanswered, "seed {seed}");
        let mut delivered: BTreeSet<At> = world.delivered.iter().copied().collect();
        let expected = expected(&start, &known, &world.live, &world.local);
        if matches!(start, Start::Last(_)) {
            // Where members disagree on the end of a run that was not chosen, too much is better than too little.
            delivered.retain(|at| expected.contains(at) || !world.live.contains(&at.0));
        }
        assert_eq!(delivered, expected, "seed {seed}: {start:?}");
        let available = together([&known, &world.local].into_iter()).records();
        for (run, range) in &world.gaps {
            let found = range.clone().find(|sequence| available.contains(&(*run, *sequence)));
            assert_eq!(found, None, "seed {seed}: a gap over what somebody has");
        }
        let reached = world
            .caught_up
            .as_ref()
            .unwrap_or_else(|| panic!("seed {seed}: not caught up"));
        for run in &world.live {
            let passed = matches!(&start, Start::After(position)
                if position.next(&run.publisher).is_some_and(|next| next.incarnation > run.incarnation));
            let (_, next) = *reached.iter().find(|(other, _)| other == run).unwrap_or(&(*run, 0));
            assert!(
                passed || next >= end_of(*run, 12),
                "seed {seed}: {run:?} only to {next}"
            );
        }
        assert_eq!(
            (world.catchup.sessions(), world.catchup.held_bytes()),
            (0, 0),
            "seed {seed}"
        );
    }
}

/// Publishers that do not listen hold nothing but what they sent.
#[test]
fn members_that_know_nothing_do_not_hide_those_who_do() {
    for seed in seeds(20) {
        let mut members: Vec<Member> = (0..9).map(|_| honest(Holding::default())).collect();
        members.insert((seed % 10) as usize, honest(Holding::all()));
        let mut world = World::new(seed, members, Holding::default(), FINE);
        world.give(Input::Begin {
            session: SESSION,
            start: Start::All,
        });
        world.run(180);
        let delivered: BTreeSet<At> = world.delivered.iter().copied().collect();
        assert_eq!(delivered, Holding::all().records(), "seed {seed}");
    }
}

#[test]
fn in_a_storm_nothing_is_lost_in_silence() {
    for seed in seeds(300) {
        let rng = &mut StdRng::seed_from_u64(seed);
        let members: Vec<Member> = (0..rng.random_range(1..=6))
            .map(|_| honest(Holding::random(rng)))
            .collect();
        let count = members.len() as u32;
        let local = if rng.random_bool(0.5) {
            Holding::default()
        } else {
            Holding::random(rng)
        };
        let mut world = World::new(seed, members, local, STORM);
        for number in 1..=count {
            if rng.random_bool(0.25) {
                world.leave_in(rng.random_range(0..5_000), peer(number));
            }
        }
        world.live = random_live(rng);
        let start = random_start(rng);
        let session = SESSION;
        world.give(Input::Begin {
            session,
            start: start.clone(),
        });
        if rng.random_bool(0.3) {
            world.give(Input::Room { session, open: false });
            world.run(3);
            assert_eq!(world.delivered, [], "seed {seed}: there is no room");
            world.give(Input::Room { session, open: true });
        }
        world.run(600);

        assert_in_order(&world, seed);
        assert_eq!(world.named, [], "seed {seed}: nobody lied");
        assert!(world.caught_up.is_some(), "seed {seed}: not caught up");
        assert_eq!(
            (world.catchup.sessions(), world.catchup.held_bytes()),
            (0, 0),
            "seed {seed}"
        );
        // What was in the local store from the beginning cannot have been overlooked.
        if matches!(start, Start::All | Start::After(_)) {
            let mut sure = world.local.records();
            if let Start::After(position) = &start {
                sure.retain(|at| is_after(position, at));
            }
            for at in sure {
                let delivered = world.delivered.contains(&at);
                let reported = world
                    .gaps
                    .iter()
                    .any(|(run, range)| *run == at.0 && range.contains(&at.1));
                assert!(delivered || reported, "seed {seed}: {at:?} lost in silence");
            }
        }
    }
}

#[test]
fn who_is_alone_gets_what_it_has_itself() {
    let mut world = World::new(1, vec![], Holding::all(), FINE);
    world.give(Input::Begin {
        session: SESSION,
        start: Start::All,
    });
    world.run(9);
    assert_eq!(world.delivered, [], "somebody may come");
    world.run(2);
    assert!(world.unanswered && world.caught_up.is_some());
    assert_eq!(world.delivered.len(), Holding::all().records().len());
}

#[test]
fn now_learns_what_is_history_and_reads_none_of_it() {
    let mut world = World::new(1, vec![honest(Holding::all())], Holding::default(), FINE);
    world.give(Input::Begin {
        session: SESSION,
        start: Start::Now,
    });
    world.run(5);
    assert_eq!((world.caught_up, world.unanswered), (Some(vec![]), false));
    let ends: Vec<_> = frames().keys().map(|run| (*run, end_of(*run, BASE_FRAMES))).collect();
    assert_eq!((world.claimed, world.delivered, world.gaps), (ends, vec![], vec![]));

    let mut alone = World::new(1, vec![], Holding::default(), FINE);
    alone.give(Input::Begin {
        session: SESSION,
        start: Start::Now,
    });
    alone.run(11);
    assert_eq!((alone.caught_up, alone.claimed), (Some(vec![]), vec![]));
}
