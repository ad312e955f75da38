//! One hardship at a time, in a small world: liars, forgers, forks, replays, wrong clocks, and one who does not read.

use std::collections::BTreeSet;

use maille::{
    Start,
    core::{
        catchup::Run,
        stream::{SealedFrame, Unsigned},
    },
};

use super::{
    network::{FAIR, HARSH},
    node::Honesty,
    queue::{MS, SECOND, Us},
    world::{INBOX_MAX, World},
};

const HOUR_US: i64 = 3_600_000_000;

/// A world of nodes that all listen, the first of them a publisher as well, and some seconds to meet.
fn world(nodes: usize, harsh: bool) -> World {
    let seed = super::number("MAILLE_SEED").unwrap_or(11);
    eprintln!("seed {seed}");
    let mut world = World::new(seed, if harsh { HARSH } else { FAIR });
    for _ in 0..nodes {
        let node = world.spawn();
        world.subscribe(node, Start::Now, INBOX_MAX);
    }
    world.open_publisher(0);
    world.run_for(5 * SECOND);
    world
}

/// Publishes so many records, one after another.
fn publish(world: &mut World, node: usize, records: usize, every: Us) {
    for _ in 0..records {
        assert!(world.publish(node, 1), "no room");
        world.run_for(every);
    }
}

/// Nobody lost anything.
fn assert_whole(world: &World) -> u64 {
    let verdict = world.verdict();
    assert_eq!(verdict.faults, Vec::<String>::new());
    assert_eq!((verdict.silent, verdict.gaps), (0, 0));
    verdict.records
}

#[test]
fn a_run_repeats_itself() {
    let digests = [0, 1].map(|_| {
        let mut world = world(40, true);
        publish(&mut world, 0, 100, 100 * MS);
        world.run_for(100 * SECOND);
        assert_whole(&world);
        (world.verdict().digest, world.events)
    });
    assert_eq!(digests[0], digests[1]);
    assert!(digests[0].1 > 10_000, "{} events", digests[0].1);
}

#[test]
fn one_liar_of_three_changes_nothing_and_is_named() {
    for lie in [
        Honesty::HidesRange,
        Honesty::OldHead,
        Honesty::HidesPublisher,
        Honesty::Boasts,
    ] {
        let mut world = world(3, false);
        world.open_publisher(1);
        for _ in 0..90 {
            publish(&mut world, 0, 1, SECOND);
            publish(&mut world, 1, 1, SECOND);
        }
        world.nodes[2].honesty = lie;
        let newcomer = world.spawn();
        world.subscribe(newcomer, Start::All, INBOX_MAX);
        world.run_for(30 * SECOND);
        let diary = &world.nodes[newcomer].readers[0].diary;
        assert_eq!(diary.faults, Vec::<String>::new(), "{lie:?}");
        assert_eq!((diary.records, diary.gaps().count()), (180, 0), "{lie:?}");
        assert!(diary.caught_up, "{lie:?}");
        let liar = world.nodes[2].id;
        let newcomer = &world.nodes[newcomer];
        // Who claims less than it has cannot be told from who has less: it is named as that.
        let (named, not) = match lie {
            Honesty::Boasts => (&newcomer.blamed, &newcomer.lacking),
            _ => (&newcomer.lacking, &newcomer.blamed),
        };
        assert_eq!(
            (named.iter().collect::<Vec<_>>(), not.len()),
            (vec![&liar], 0),
            "{lie:?}"
        );
    }
}

#[test]
fn forged_copies_shadow_nothing_and_honest_relays_keep_their_links() {
    let mut world = world(40, false);
    let forgers: BTreeSet<usize> = [5, 6, 7].into();
    for forger in &forgers {
        world.nodes[*forger].honesty = Honesty::Forges;
    }
    publish(&mut world, 0, 200, 50 * MS);
    world.run_for(30 * SECOND);
    for node in 0..40 {
        let evicted = &world.nodes[node].evicted;
        assert!(evicted.is_subset(&forgers), "{node} let go of {evicted:?}");
        if !forgers.contains(&node) {
            let diary = &world.nodes[node].readers[0].diary;
            assert_eq!((diary.records, &diary.faults), (200, &vec![]), "{node}");
        }
    }
    let evicted: BTreeSet<usize> = world.nodes.iter().flat_map(|node| node.evicted.clone()).collect();
    assert_eq!(evicted, forgers, "all forgers were let go by somebody");
}

#[test]
fn a_fork_freezes_the_run_everywhere() {
    let mut world = world(40, false);
    let run = *world.published.keys().next().expect("there is a publisher");
    publish(&mut world, 0, 20, 50 * MS);
    world.run_for(SECOND);
    let outbox = world.nodes[0].outbox.as_ref().expect("it publishes");
    let previous = outbox.tail().map(|tail| tail.body_hash);
    let sealed = |text: &str| -> SealedFrame {
        let payload = text.as_bytes().to_vec();
        let frame = Unsigned {
            incarnation: run.incarnation,
            first_sequence: 20,
            previous,
            records: vec![maille_proto::frame::Record { key: None, payload }],
            ..Unsigned::default()
        };
        let sealed = frame.seal(&world.nodes[0].key, &world.context);
        sealed.expect("within all bounds")
    };
    // One half is told this, the other half that.
    let frames = [sealed(&super::diary::payload(run, 20)), sealed("something else")];
    let neighbours: Vec<usize> = world.nodes[0].neighbours.iter().copied().collect();
    for (number, neighbour) in neighbours.into_iter().enumerate() {
        let message = world.open(&frames[number % 2].wire);
        world.gossip_to(0, neighbour, &message);
    }
    world.run_for(10 * SECOND);
    for node in 1..40 {
        let diary = &world.nodes[node].readers[0].diary;
        assert_eq!(diary.forks, [run], "{node}");
        assert!((20..=21).contains(&diary.records), "{node}: {}", diary.records);
    }
    // What it says afterwards, nobody believes; a new run goes on.
    world.publish(0, 5);
    world.run_for(5 * SECOND);
    let next: Run = world.open_publisher(0);
    publish(&mut world, 0, 10, 50 * MS);
    world.run_for(60 * SECOND);
    for node in 1..40 {
        let diary = &world.nodes[node].readers[0].diary;
        let heard = diary
            .spans(&run.publisher)
            .iter()
            .filter(|span| span.run == next && span.heard);
        let heard: u64 = heard.map(|span| span.sequences.end - span.sequences.start).sum();
        assert_eq!(heard, 10, "{node}: {:?}", diary.spans(&run.publisher));
    }
}

/// Two runs of a publisher, which node 9 has on its tape.
fn recorded() -> World {
    let mut world = world(40, false);
    world.nodes[9].honesty = Honesty::Replays;
    publish(&mut world, 0, 100, 50 * MS);
    world.open_publisher(0);
    publish(&mut world, 0, 100, 50 * MS);
    world.run_for(SECOND);
    world
}

#[test]
fn replays_after_a_minute_and_an_hour_are_delivered_to_nobody() {
    let mut world = recorded();
    let records = assert_whole(&world);
    assert_eq!(records, 40 * 200);
    for wait in [61 * SECOND, 3_600 * SECOND] {
        world.run_for(wait);
        let replayed = world.replay();
        assert!(replayed >= 200, "{replayed} messages on the tape");
        world.run_for(10 * SECOND);
        let heard: u64 = (0..40).map(|node| world.nodes[node].readers[0].diary.records).sum();
        assert_eq!(heard, 40 * 200);
        let faults = world.nodes.iter().flat_map(|node| &node.readers[0].diary.faults);
        assert_eq!(faults.collect::<Vec<_>>(), Vec::<&String>::new());
    }
}

/// Who comes back remembers where it stood, and nothing else.
#[test]
fn replays_are_not_delivered_to_one_who_was_away() {
    let mut world = recorded();
    let position = world.nodes[7].readers[0].diary.position().clone();
    let key = world.nodes[7].key.clone();
    world.leave(7);
    world.run_for(61 * SECOND);
    let back = world.spawn_as(key);
    world.subscribe(back, Start::After(position), INBOX_MAX);
    world.run_for(15 * SECOND);
    world.link(9, back);
    assert!(world.replay() >= 200);
    world.run_for(SECOND);
    let counts = world.nodes[back].inbox.as_ref().unwrap().counts();
    assert!(
        counts.late + counts.stale >= 150,
        "they came, and were too late: {counts:?}"
    );
    assert_eq!(world.nodes[back].readers[0].diary.records, 0);
    publish(&mut world, 0, 10, 50 * MS);
    world.run_for(SECOND);
    let diary = &world.nodes[back].readers[0].diary;
    assert_eq!((diary.records, diary.gaps().count()), (10, 0), "what is new");
    assert_eq!(diary.faults, Vec::<String>::new());
}

#[test]
fn a_wrong_clock_loses_and_reorders_nothing() {
    for clock in [HOUR_US, -HOUR_US] {
        let mut world = world(40, true);
        world.nodes[1].clock = clock;
        world.open_publisher(1);
        publish(&mut world, 1, 100, 100 * MS);
        // It steps back by an hour and a half, and on; then the publisher starts again.
        world.nodes[1].clock = clock - HOUR_US - HOUR_US / 2;
        publish(&mut world, 1, 100, 100 * MS);
        world.open_publisher(1);
        publish(&mut world, 1, 100, 100 * MS);
        let newcomer = world.spawn();
        world.subscribe(newcomer, Start::All, INBOX_MAX);
        world.run_for(150 * SECOND);
        let verdict = world.verdict();
        assert_eq!(
            (verdict.faults, verdict.silent, verdict.gaps),
            (vec![], 0, 0),
            "{clock}"
        );
        for node in 0..40 {
            let spans = world.nodes[node].readers[0].diary.spans(&world.nodes[1].id);
            let heard: u64 = spans.iter().map(|span| span.sequences.end - span.sequences.start).sum();
            assert_eq!(heard, 300, "{clock}: {node}: {spans:?}");
        }
    }
}

#[test]
fn one_who_does_not_read_is_told_what_it_missed_and_slows_nobody() {
    const SMALL: usize = 64;
    const ROOM: usize = 256;
    let mut world = world(20, false);
    let sleeper = world.subscribe(7, Start::Now, SMALL);
    publish(&mut world, 0, 10, 50 * MS);
    world.nodes[7].readers[sleeper].sleep();
    publish(&mut world, 0, 300, 50 * MS);
    world.run_for(45 * SECOND);
    assert_eq!(world.nodes[7].readers[sleeper].waiting(), SMALL);
    for node in 0..20 {
        assert_eq!(world.nodes[node].readers[0].diary.records, 310, "{node}");
    }
    world.nodes[7].readers[sleeper].wake();
    publish(&mut world, 0, 10, 50 * MS);
    world.run_for(5 * SECOND);
    let diary = &world.nodes[7].readers[sleeper].diary;
    assert_eq!(
        (diary.records, diary.lagged),
        (10 + SMALL as u64 + 10, 300 - SMALL as u64)
    );
    assert_eq!(diary.faults, Vec::<String>::new());
    // The same with the past: it is only fetched while there is room.
    let slow = world.subscribe(7, Start::All, ROOM);
    world.nodes[7].readers[slow].sleep();
    world.run_for(30 * SECOND);
    let waiting = world.nodes[7].readers[slow].waiting();
    assert!((ROOM / 2..ROOM).contains(&waiting), "{waiting}");
    for _ in 0..20 {
        if world.nodes[7].readers[slow].wake() {
            world.room(7);
        }
        world.run_for(SECOND);
    }
    let diary = &world.nodes[7].readers[slow].diary;
    assert_eq!((diary.records, diary.lagged, &diary.faults), (320, 0, &vec![]));
    assert!(diary.caught_up);
}
