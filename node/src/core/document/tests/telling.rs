//! Who tells what, and how often: figures.

use std::time::Duration;

use super::world::World;
use crate::core::document::{Machine, WHOLE_EVERY};

fn set(world: &mut World, member: usize, item: i64) {
    world
        .with(member, |machine, now, out| {
            machine.edit(|edit| edit.set("l", &format!("i{item}"), "f", item), now, out)
        })
        .unwrap();
}

#[test]
fn edits_in_a_row_gather() {
    let mut world = World::new(2, 1);
    world.pass(Duration::from_secs(60));
    let before = world.members[0].published;
    for item in 0..1_000 {
        set(&mut world, 0, item);
    }
    world.pass(Duration::from_secs(5));
    assert!(world.are_equal());
    let records = world.members[0].published - before;
    assert!(records <= 3, "{records} records");
}

#[test]
fn one_who_comes_gets_the_whole_in_one_answer() {
    let mut world = World::new(8, 2);
    world.members[0].is_up = false;
    world.meet();
    for item in 0..2_000 {
        set(&mut world, 1, item);
    }
    world.pass(Duration::from_secs(60));
    let before: usize = world.members.iter().map(|member| member.published).sum();
    world.restart(0);
    world.pass(Duration::from_secs(5));
    assert!(world.are_equal());
    let records = world.members.iter().map(|member| member.published).sum::<usize>() - before;
    // Each may ask whom it met, and those whose random time was as short may answer, too.
    assert!(records <= 24, "{records} records");
}

#[test]
fn those_who_agree_say_nothing() {
    let mut world = World::new(5, 3);
    for item in 0..100 {
        set(&mut world, 2, item);
    }
    world.pass(Duration::from_secs(3_600));
    let before: usize = world.members.iter().map(|member| member.published).sum();
    world.pass(WHOLE_EVERY / 2);
    let records = world.members.iter().map(|member| member.published).sum::<usize>() - before;
    assert_eq!(records, 0);
    world.pass(2 * WHOLE_EVERY);
    let records = world.members.iter().map(|member| member.published).sum::<usize>() - before;
    assert!((1..=15).contains(&records), "a whole state a day: {records}");
}

#[test]
fn what_nobody_had_is_published_after_a_restart() {
    let mut world = World::new(3, 4);
    world.members[0].side = 1;
    world.meet();
    for item in 0..300 {
        set(&mut world, 0, item);
        world.pass(Duration::from_millis(50));
    }
    assert_eq!(world.with(0, |machine, _, _| machine.unsynchronised()), 300);
    world.members[0].is_up = false;
    world.pass(Duration::from_secs(3_600));
    world.members[0].side = 0;
    world.restart(0);
    assert_eq!(
        world.with(0, |machine: &mut Machine, _, _| machine.contents().list("l").count()),
        300
    );
    world.pass(Duration::from_secs(10));
    assert!(world.are_equal());
    assert_eq!(world.with(0, |machine, _, _| machine.unsynchronised()), 0);
}
