//! Few members: who they are, how they come and go, and what they doubt in vain.

use std::{collections::BTreeSet, time::Duration};

use maille_proto::control::PresenceMessage;

use super::world::{EPOCH_MS, State, World, named};
use crate::core::presence::{Action, Input, REFUTE_WAIT};

const SECOND: Duration = Duration::from_secs(1);

/// Members in a row, who know each other. Nobody but those beside each other are neighbours.
fn row(seed: u64, count: usize) -> (World, BTreeSet<usize>) {
    let mut world = World::new(seed, count);
    for node in 0..count {
        world.hear(node, Input::Introduced(named(&format!("n{node}"))));
    }
    (1..count).for_each(|node| world.link(node - 1, node));
    let all = (0..count).collect();
    let took = world.run_until(30 * SECOND, |world| world.agree(&all));
    assert!(took.is_some_and(|took| took < SECOND), "{took:?}");
    (world, all)
}

#[test]
fn members_beyond_neighbours_know_each_other_by_name() {
    let (mut world, all) = row(1, 6);
    world.run(SECOND);
    for (node, other) in all.iter().flat_map(|node| all.iter().map(move |other| (*node, *other))) {
        if node != other {
            assert_eq!(
                world.nickname(node, other),
                Some(format!("n{other}")),
                "{node} of {other}"
            );
            let peer = world.peer(other);
            assert_eq!(world.told(node, &Action::Joined { peer }), 1);
        }
    }
    world.hear(0, Input::Introduced(named("somebody else")));
    let renamed = world.run_until(2 * SECOND, |world| {
        world.nickname(5, 0).as_deref() == Some("somebody else")
    });
    assert!(renamed.is_some());
    let peer = world.peer(0);
    assert_eq!(world.told(5, &Action::Joined { peer }), 1, "it joined once");
}

#[test]
fn a_profile_travels_once_then_by_its_hash() {
    let (mut world, _) = row(2, 2);
    world.run(SECOND);
    world.bytes = 0;
    world.hear(
        0,
        Input::Introduced(crate::types::Profile::new("large", vec![7; 4_096]).unwrap()),
    );
    world.run(5 * SECOND);
    assert_eq!(world.nickname(1, 0).as_deref(), Some("large"));
    assert!((4_096..5_000).contains(&world.bytes), "{}", world.bytes);
    // Announced over and over, and met on another connection.
    world.bytes = 0;
    world.unlink(0, 1);
    world.link(0, 1);
    world.run(60 * SECOND);
    assert_eq!(world.nickname(1, 0).as_deref(), Some("large"));
    assert!(world.bytes < 4_096, "{}", world.bytes);
}

#[test]
fn who_left_is_gone_everywhere_and_may_come_back() {
    let (mut world, mut all) = row(3, 4);
    let peer = world.peer(0);
    world.leave(0);
    all.remove(&0);
    let took = world.run_until(SECOND, |world| world.agree(&all));
    assert!(took.is_some());
    assert!(all.iter().all(|node| world.told(*node, &Action::Left { peer }) == 1));
    world.run(60 * SECOND);
    assert!(world.agree(&all) && world.alarms().is_empty());
    // Its clock was set back by a year: what it said before is still known, and it goes on from there.
    world.restart(0, EPOCH_MS - 31_536_000_000);
    world.link(0, 1);
    all.insert(0);
    let took = world.run_until(SECOND, |world| world.agree(&all));
    assert!(took.is_some());
}

#[test]
fn one_that_starts_again_before_it_was_missed_is_the_same_member() {
    let (mut world, all) = row(4, 3);
    world.crash(0);
    world.run(Duration::from_millis(300));
    world.restart(0, EPOCH_MS - 1_000);
    world.link(0, 1);
    world.run(20 * SECOND);
    assert!(world.agree(&all));
    assert_eq!(world.alarms(), []);
    let peer = world.peer(0);
    assert_eq!(world.told(2, &Action::Joined { peer }), 1);
}

#[test]
fn a_link_that_is_let_go_says_nothing_about_its_ends() {
    let mut world = World::new(5, 3);
    for (a, b) in [(0, 1), (1, 2), (0, 2)] {
        world.link(a, b);
    }
    let all = BTreeSet::from([0, 1, 2]);
    world.run_until(SECOND, |world| world.agree(&all));
    for (here, there) in [(0, 1), (1, 0)] {
        let peer = world.peer(there);
        world.hear(here, Input::Parting { peer });
    }
    world.bytes = 0;
    world.unlink(0, 1);
    world.run(Duration::from_millis(100));
    assert_eq!(world.bytes, 0, "nobody has anything to say");
    // One that breaks raises a doubt, which is refuted by another way.
    world.link(0, 1);
    world.run(SECOND);
    world.unlink(0, 1);
    world.run(10 * SECOND);
    assert!(world.agree(&all));
    assert_eq!(world.alarms(), []);
}

#[test]
fn one_that_was_asleep_blames_nobody() {
    let mut world = World::new(6, 5);
    world.hear(0, Input::Watched);
    world.link_at_random(4);
    let all = (0..5).collect();
    world.run(10 * SECOND);
    world.nodes[0].state = State::Frozen;
    world.run(20 * SECOND);
    let peer = world.peer(0);
    assert!((1..5).all(|node| world.told(node, &Action::Failed { peer }) == 1));
    world.nodes[0].state = State::Up;
    let took = world.run_until(20 * SECOND, |world| world.agree(&all));
    assert!(took.is_some());
    world.run(20 * SECOND);
    assert!(
        world.alarms().iter().all(|(node, _)| *node != 0),
        "{:?}",
        world.alarms()
    );
}

#[test]
fn a_neighbour_of_an_earlier_version_is_neither_asked_nor_missed() {
    let mut world = World::new(7, 2);
    world.nodes[1].state = State::Frozen;
    world.hear(0, Input::Watched);
    world.link(0, 1);
    world.run(30 * SECOND);
    assert_eq!(world.nodes[0].machine.members().count(), 0);
    world.unlink(0, 1);
    world.run(30 * SECOND);
    assert_eq!(world.nodes[0].events, []);
}

#[test]
fn the_only_neighbour_of_one_that_froze_tells_the_others() {
    let (mut world, mut all) = row(8, 3);
    world.hear(2, Input::Watched);
    world.run(10 * SECOND);
    world.nodes[0].state = State::Frozen;
    all.remove(&0);
    let seen = world.run_until(5 * SECOND, |world| world.lists(1, &all));
    assert!(seen.is_some());
    // The other has one voice only, and no link of its own.
    assert!(!world.lists(2, &all));
    let took = world.run_until(15 * SECOND, |world| world.agree(&all));
    assert!(took.is_some());
}

#[test]
fn whoever_is_not_heard_of_any_more_is_missed_at_last() {
    let (mut world, all) = row(9, 4);
    // Two parts, and nobody in one was a neighbour of 3.
    for (here, there) in [(1, 2), (2, 1)] {
        let peer = world.peer(there);
        world.hear(here, Input::Parting { peer });
    }
    world.unlink(1, 2);
    world.run(60 * SECOND);
    assert!(world.agree(&all), "nobody has a reason to doubt yet");
    let parts = [BTreeSet::from([0, 1]), BTreeSet::from([2, 3])];
    let took = world.run_until(240 * SECOND, |world| parts.iter().all(|part| world.agree(part)));
    assert!(took.is_some());
    world.link(1, 2);
    let took = world.run_until(5 * SECOND, |world| world.agree(&all));
    assert!(took.is_some());
}

#[test]
fn nobody_is_probed_until_somebody_watches() {
    let (mut world, _) = row(10, 3);
    let frozen = |world: &mut World| {
        let peer = world.peer(0);
        world.nodes[0].state = State::Frozen;
        world.run(5 * SECOND);
        let told = world.told(1, &Action::Failed { peer });
        world.nodes[0].state = State::Up;
        world.run(REFUTE_WAIT + 10 * SECOND);
        told
    };
    assert_eq!(frozen(&mut world), 0);
    // Whoever it is.
    world.hear(2, Input::Watched);
    world.run(SECOND);
    assert_eq!(frozen(&mut world), 1);
    let peer = world.peer(1);
    let mut out = Vec::new();
    let now = world.now;
    world.nodes[0].machine.handle(
        Input::Said {
            peer,
            message: PresenceMessage::Probe(true),
        },
        now,
        &mut out,
    );
    let message = PresenceMessage::Probe(false);
    assert!(out.contains(&Action::Send { peer, message }));
}
