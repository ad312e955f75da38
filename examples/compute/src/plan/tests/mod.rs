//! Many workers and one plan: what completes, what it costs, who takes over when, what is never decided in silence.

mod world;

use std::time::Duration;

use maille::BlobId;
use rand::RngExt;
use rand::seq::IteratorRandom;

use self::world::{LEASE_END, World};

const SECOND: Duration = Duration::from_secs(1);
/// Seeds of the long run: by command 200.
const SEEDS_VARIABLE: &str = "MAILLE_SEEDS";

#[test]
fn a_thousand_tasks_complete_while_workers_come_and_go() {
    let seeds: u64 = std::env::var(SEEDS_VARIABLE).map_or(2, |seeds| seeds.parse().unwrap());
    let (mut most, mut slowest) = (0.0_f64, Duration::ZERO);
    for seed in 0..seeds {
        let mut world = World::new(seed, 1_000, 3, 3_600 * SECOND);
        let takes = |world: &mut World| Duration::from_millis(world.rng.random_range(1_500..4_500));
        for _ in 0..20 {
            let takes = takes(&mut world);
            world.come(takes);
        }
        let begun = world.now;
        // 30 % a minute: one of twenty every ten seconds, and another comes.
        while !world.run_until(10 * SECOND, |world| world.is_done()) {
            let gone = world.workers.keys().copied().choose(&mut world.rng).unwrap();
            world.crash(gone);
            let takes = takes(&mut world);
            world.come(takes);
            assert!(world.now - begun < 3_600 * SECOND, "seed {seed}: not done in an hour");
        }
        let some = *world.workers.keys().next().unwrap();
        for (task, accepted) in world.seen_by(&some).into_iter().enumerate() {
            assert_eq!(
                accepted,
                Some(BlobId::of(format!("right {task}").as_bytes())),
                "seed {seed}"
            );
        }
        let share = world.work / 1_000.0;
        assert!(
            share <= 3.0 * 1.2,
            "seed {seed}: {share} replicas a task were worked on"
        );
        most = most.max(share);
        slowest = slowest.max(world.began_again.iter().copied().max().unwrap_or_default());
    }
    eprintln!(
        "{seeds} seeds: at most {most:.3} replicas a task of 3; begun again within {slowest:?} of the lease's end"
    );
}

#[test]
fn a_crashed_workers_task_is_begun_again_soon_after_its_lease() {
    for seed in 0..20 {
        let mut world = World::new(seed, 4, 3, 600 * SECOND);
        let workers: Vec<_> = (0..8).map(|_| world.come(30 * SECOND)).collect();
        world.run_until(5 * SECOND, |_| false);
        world.crash(workers[usize::try_from(seed).unwrap() % 8]);
        world.run_until(LEASE_END + 3 * SECOND, |_| false);
        // Those it had and others can do; with 8 workers and 12 replicas some wait for a free one.
        assert!(
            world.began_again.iter().all(|wait| *wait <= 3 * SECOND),
            "seed {seed}: {:?}",
            world.began_again
        );
        assert!(world.run_until(300 * SECOND, |world| world.is_done()), "seed {seed}");
    }
}

#[test]
fn one_liar_of_three_is_named_and_changes_nothing() {
    let mut world = World::new(1, 20, 3, 600 * SECOND);
    let workers: Vec<_> = (0..3).map(|_| world.come(SECOND)).collect();
    world.workers.get_mut(&workers[1]).unwrap().lies = true;
    assert!(world.run_until(600 * SECOND, |world| world.is_done()));
    world.run_until(10 * SECOND, |_| false);
    let (liars, none) = world.verdict_of(&workers[0]);
    assert_eq!((liars.into_iter().collect::<Vec<_>>(), none), (vec![workers[1]], 0));
}

#[test]
fn nothing_is_accepted_where_all_differ() {
    let mut world = World::new(2, 3, 3, 60 * SECOND);
    let workers: Vec<_> = (0..7).map(|_| world.come(SECOND)).collect();
    world.workers.values_mut().for_each(|worker| worker.lies = true);
    world.run_until(60 * SECOND, |_| false);
    assert_eq!(world.seen_by(&workers[0]), [None; 3]);
    let (liars, none) = world.verdict_of(&workers[0]);
    assert_eq!(
        (liars.len(), none),
        (0, 3),
        "asked seven, no quorum, and nobody is called a liar for it"
    );
    assert!(world.work <= 21.5, "no more are asked: {}", world.work);
}

#[test]
fn a_worker_ten_times_too_slow_does_not_break_the_deadline() {
    for seed in 0..20 {
        let mut world = World::new(seed, 30, 1, 60 * SECOND);
        world.come(20 * SECOND);
        for _ in 0..3 {
            world.come(2 * SECOND);
        }
        let begun = world.now;
        assert!(world.run_until(60 * SECOND, |world| world.is_done()), "seed {seed}");
        // 30 tasks of 2 s by 3 workers are 20 s.
        assert!(world.now - begun < 35 * SECOND, "seed {seed}: {:?}", world.now - begun);
    }
}

#[test]
fn both_sides_of_a_partition_agree_when_they_meet() {
    for seed in 0..20 {
        let mut world = World::new(seed, 40, 3, 600 * SECOND);
        let workers: Vec<_> = (0..8).map(|_| world.come(SECOND)).collect();
        // Each side has a liar.
        for liar in [0, 4] {
            world.workers.get_mut(&workers[liar]).unwrap().lies = true;
        }
        world.run_until(5 * SECOND, |_| false);
        for peer in &workers[4..] {
            world.workers.get_mut(peer).unwrap().side = 1;
        }
        world.tell_workers();
        world.run_until(60 * SECOND, |_| false);
        world.heal();
        assert!(world.run_until(120 * SECOND, |world| world.is_done()), "seed {seed}");
        let seen: Vec<_> = workers.iter().map(|peer| world.seen_by(peer)).collect();
        assert!(
            seen.iter().all(|of_one| *of_one == seen[0]),
            "seed {seed}: one accepted result for each task, for all"
        );
        for (task, accepted) in seen[0].iter().enumerate() {
            assert_eq!(*accepted, Some(BlobId::of(format!("right {task}").as_bytes())));
        }
    }
}
