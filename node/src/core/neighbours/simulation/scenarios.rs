//! Meshes that form, grow, are cut, heal and shrink.

use super::*;

fn joined(status: Status) -> bool {
    matches!(status, Status::Joined { .. })
}

/// Everybody knows one member, and no more.
#[test]
fn sixty_through_one_bootstrap_peer() {
    for seed in [60, 61, 62] {
        let mut world = World::new(seed);
        for n in 0..60 {
            world.join(n, &[7]);
            if n > 0 {
                let found = Input::Found {
                    peer: peer(0),
                    multiaddrs: vec![multiaddr(0)],
                    source: Source::Bootstrap,
                    topics: vec![],
                };
                world.input(n, found);
            }
        }
        world.run_for(30);
        world.print("sixty");
        assert_eq!(world.parts(None), [60]);
        assert_eq!(world.parts(Some(7)), [60]);
        assert_eq!(world.statuses(joined), 60);
        let (least, mean, _) = world.degrees();
        assert!(
            least >= LOW && (10.0..20.0).contains(&mean),
            "least {least}, mean {mean}"
        );
        assert!(world.most <= HIGH_MIN);
    }
}

#[test]
fn two_hundred_nodes_twenty_topics_of_ten() {
    for seed in [200] {
        let mut world = World::new(seed);
        for n in 0..200 {
            world.join(n, &[n % 20]);
            world.run_for(u64::from(n % 4 == 0));
        }
        world.run_for(60);
        world.print("two hundred");
        assert!(world.mean_approaches() <= 25.0);
        assert_eq!(world.parts(None), [200]);
        for topic in 0..20 {
            assert_eq!(world.parts(Some(topic)), [10], "topic {topic}");
        }
        for (n, node) in &world.nodes {
            let same = node
                .machine
                .neighbours()
                .filter(|peer| number(peer) % 20 == n % 20)
                .count();
            assert!(same >= TOPIC_MIN, "{n} has {same} neighbours on its topic");
        }
        // Minutes of swaps and exchanges later nothing has come apart.
        world.run_for(400);
        world.print("two hundred, later");
        assert_eq!(world.parts(None), [200]);
        assert!((0..20).all(|topic| world.parts(Some(topic)) == [10]));
        assert!(world.most <= HIGH_MIN);
    }
}

/// Sixty members on three topics, cut in two for `cut_s`, then given `heal_s`.
fn cut_and_heal(seed: u64, cut_s: u64, heal_s: u64) -> World {
    let mut world = World::new(seed);
    for n in 0..60 {
        world.join(n, &[n % 3]);
    }
    world.run_for(60);
    assert_eq!(world.parts(None), [60]);
    world.cut(|n| (n % 2) as u8);
    world.run_for(cut_s);
    world.print("cut");
    assert_eq!(world.parts(None), [30, 30]);
    world.cut(|_| 0);
    world.run_for(heal_s);
    world.print("healed");
    world
}

#[test]
fn a_mesh_cut_in_two_heals_within_a_minute() {
    for (seed, cut_s) in [(1, 20), (2, 120), (3, 590)] {
        let world = cut_and_heal(seed, cut_s, 60);
        assert_eq!(world.parts(None), [60], "cut for {cut_s} s");
        assert!(
            (0..3).all(|topic| world.parts(Some(topic)) == [20]),
            "cut for {cut_s} s"
        );
    }
}

/// Nobody redials a neighbour lost so long ago: this is left to Kademlia and to the exchange of neighbours.
#[test]
fn a_mesh_cut_in_two_for_half_an_hour_heals_in_minutes() {
    for seed in [4, 5] {
        let mut world = cut_and_heal(seed, 1_800, 60);
        assert_eq!(world.parts(None), [60]);
        world.run_for(120);
        assert!((0..3).all(|topic| world.parts(Some(topic)) == [20]));
    }
}

#[test]
fn two_meet_after_a_hundred_that_came_and_went() {
    for seed in 100..110 {
        let mut world = World::new(seed);
        for n in 0..100 {
            world.join(n, &[7]);
            world.run_for(3);
            world.kill(n);
        }
        world.join(1_000, &[7]);
        world.join(1_001, &[7]);
        world.run_for(30);
        world.print("after churn");
        assert_eq!(world.parts(Some(7)), [2]);
    }
}

/// T21.
#[test]
fn two_meet_behind_twenty_fakes() {
    for seed in 20..30 {
        let mut world = World::new(seed);
        for fake in 0..20 {
            for key in [MESH_KEY, 7] {
                let now = world.now;
                world.kademlia.add(
                    &key.to_be_bytes(),
                    peer(500 + fake),
                    vec![multiaddr(fake)],
                    IpPrefix::Memory,
                    now,
                );
            }
        }
        world.join(1, &[7]);
        world.join(2, &[7]);
        world.run_for(30);
        world.print("behind fakes");
        assert_eq!(world.parts(Some(7)), [2]);
    }
}

#[test]
fn everybody_leaves_but_two_and_they_stay_together() {
    let mut world = World::new(9);
    for n in 0..40 {
        world.join(n, &[7]);
    }
    world.run_for(60);
    for n in 2..40 {
        world.kill(n);
    }
    world.run_for(60);
    world.print("two left");
    assert_eq!(world.parts(Some(7)), [2]);
}

#[test]
fn a_small_mesh_comes_to_rest() {
    let mut world = World::new(10);
    for n in 0..3 {
        world.join(n, &[7, 8]);
    }
    world.run_for(120);
    assert_eq!(world.parts(Some(8)), [3]);
    let (approaches, steps) = (world.nodes[&0].approaches, world.steps);
    world.run_for(600);
    let steps = world.steps - steps;
    assert_eq!(world.nodes[&0].approaches, approaches, "nobody is left to approach");
    // A node: ten rounds of three look-ups of three peers each, twenty swaps with answers, and the deadlines.
    assert!(steps <= 3 * 300, "{steps} steps in ten minutes");
    assert!(
        world
            .nodes
            .values()
            .all(|node| node.remembered.len() == 2 && node.reports.len() <= 3)
    );
}
