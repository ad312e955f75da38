//! More members than are listed, more than are remembered, and neighbours among them.

use std::time::Duration;

use bytes::Bytes;
use maille_proto::control::PresenceMessage;

use super::liars::{announcement, said, tidings};
use super::world::{EPOCH_MS, World, key, realm};
use crate::core::presence::{Action, GONE_MAX, Input, MEMBERS_MAX, PROBED_MAX};

const SECOND: Duration = Duration::from_secs(1);

/// A node with one neighbour, number 1, that tells of these members.
fn told_of(members: std::ops::Range<usize>) -> World {
    let mut world = World::new(31, 2);
    world.links.insert((0, 1));
    let peer = world.peer(1);
    world.hear(0, Input::Admitted { peer });
    for chunk in members.collect::<Vec<_>>().chunks(64) {
        let all: Vec<Bytes> = chunk.iter().map(|member| announcement(*member, EPOCH_MS)).collect();
        let message = tidings(&all, &[]);
        world.hear(0, Input::Said { peer, message });
    }
    world
}

fn count(world: &World) -> usize {
    world.nodes[0].machine.members().count()
}

#[test]
fn all_of_256_others_are_listed_and_of_more_a_sample() {
    let mut world = told_of(100..100 + MEMBERS_MAX);
    assert_eq!(count(&world), MEMBERS_MAX);
    assert!(world.nodes[0].machine.is_complete());
    let teller = world.peer(1);
    let message = tidings(&[announcement(999, EPOCH_MS)], &[]);
    world.hear(0, Input::Said { peer: teller, message });
    assert_eq!(count(&world), MEMBERS_MAX);
    assert!(!world.nodes[0].machine.is_complete(), "it says so");
    // A neighbour is always listed.
    let message = tidings(&[announcement(1, EPOCH_MS)], &[]);
    world.hear(0, Input::Said { peer: teller, message });
    assert_eq!(count(&world), MEMBERS_MAX);
    assert!(world.nodes[0].machine.members().any(|member| member.peer == teller));
    // Some leave, and nobody else turns up.
    let left = |member| {
        let mut said = said(member, EPOCH_MS + 1);
        said.left = true;
        said.signed(&realm(), &key(member)).wire
    };
    let message = tidings(&(100..110).map(left).collect::<Vec<_>>(), &[]);
    world.hear(0, Input::Said { peer: teller, message });
    world.run(50 * SECOND);
    assert!(!world.nodes[0].machine.is_complete());
    world.run(20 * SECOND);
    assert!(world.nodes[0].machine.is_complete());
    assert!(count(&world) < MEMBERS_MAX);
}

#[test]
fn a_minter_of_members_fills_the_list_and_no_more() {
    let world = told_of(100..3_000);
    assert_eq!(count(&world), MEMBERS_MAX);
    // Even of those that left.
    let mut world = told_of(0..0);
    let peer = world.peer(1);
    for round in 0..40 {
        let leave = |member: usize| {
            let mut said = said(member, EPOCH_MS);
            said.left = true;
            said.signed(&realm(), &key(member)).wire
        };
        let all: Vec<Bytes> = (0..64).map(|member| leave(100 + round * 64 + member)).collect();
        let message = tidings(&all, &[]);
        world.hear(0, Input::Said { peer, message });
        world.run(10 * SECOND);
    }
    assert!(world.nodes[0].machine.roster.remembered() <= GONE_MAX);
    assert_eq!(count(&world), 0);
}

#[test]
fn a_full_list_travels_in_bounded_messages() {
    let mut world = told_of(100..100 + MEMBERS_MAX);
    world.bytes = 0;
    // The world decodes what it carries, and panics at what is too large.
    let number = world.add();
    world.link(0, number);
    assert!(
        world
            .run_until(5 * SECOND, |world| world.nodes[number].machine.members().count()
                >= MEMBERS_MAX)
            .is_some()
    );
}

#[test]
fn few_neighbours_are_probed_by_one_that_has_many() {
    let mut world = World::new(32, 41);
    world.hear(0, Input::Watched);
    for other in 1..41 {
        world.link(0, other);
    }
    world.run(3 * SECOND);
    let mut asked = std::collections::BTreeSet::new();
    // Nothing is heard of anybody any more.
    let mut now = world.now;
    for _ in 0..40 {
        let mut out = Vec::new();
        now += Duration::from_millis(100);
        if world.nodes[0].machine.next_deadline().is_some_and(|at| at <= now) {
            world.nodes[0].machine.handle(Input::TimedOut, now, &mut out);
        }
        for action in out {
            if let Action::Send {
                peer,
                message: PresenceMessage::Probe(true),
            } = action
            {
                asked.insert(peer);
            }
        }
    }
    assert!(asked.len() >= PROBED_MAX, "{}", asked.len());
}
