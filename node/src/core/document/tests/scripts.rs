//! Random edits of several members in a foul network: in the end all hold the same, and nothing stored is lost.

use std::time::Duration;

use rand::RngExt;

use super::world::World;
use crate::core::document::{Edit, EditError, Input};

/// 50 scripts in every run of the tests, 1,000 by command.
const SCRIPTS: u64 = 50;
const SCRIPTS_VARIABLE: &str = "MAILLE_SCRIPTS";
const SEED_VARIABLE: &str = "MAILLE_SEED";
const STEPS: usize = 150;

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn random_edit(edit: &mut Edit<'_>, mut random: impl FnMut(usize) -> usize) -> Result<(), EditError> {
    let item = format!("i{}", random(6));
    let list = ["guests", "todo"][random(2)];
    match random(10) {
        0..4 => edit.set(
            list,
            &item,
            ["name", "done", "who"][random(3)],
            i64::try_from(random(100)).unwrap(),
        ),
        4 => edit.unset(list, &item, "done"),
        5 => edit.remove(list, &item),
        kind => {
            let text = edit.text("notes");
            let bounds: Vec<usize> = (0..=text.len()).filter(|at| text.is_char_boundary(*at)).collect();
            let start = random(bounds.len());
            let end = if kind == 9 {
                (start + random(4)).min(bounds.len() - 1)
            } else {
                start
            };
            edit.splice(
                "notes",
                bounds[start]..bounds[end],
                ["a", "é", "🎉", "bcd", ""][random(5)],
            )
        }
    }
}

fn script(seed: u64) {
    let mut world = World::new(3 + usize::try_from(seed % 3).unwrap(), seed);
    let members = world.members.len();
    world.loss = [0.0, 0.1, 0.3][usize::try_from(seed / 3 % 3).unwrap()];
    for _ in 0..STEPS {
        let member = world.rng.random_range(0..members);
        match world.rng.random_range(0..20) {
            0 => {
                for member in 0..members {
                    world.members[member].side = world.rng.random_range(0..2);
                }
                world.meet();
            }
            1 => {
                world.members.iter_mut().for_each(|member| member.side = 0);
                world.meet();
            }
            2 => world.members[member].is_up = false,
            3 => {
                let before = world.hash(member);
                world.restart(member);
                assert_eq!(world.hash(member), before, "seed {seed}: what was stored is all there");
            }
            4 => world.tell(member, Input::Missed),
            _ if !world.members[member].is_up => {}
            5 => drop(world.with(member, |machine, now, out| machine.undo(now, out)).unwrap()),
            6 => drop(world.with(member, |machine, now, out| machine.redo(now, out)).unwrap()),
            _ => {
                let draws: Vec<usize> = (0..12).map(|_| world.rng.random_range(0..1_000)).collect();
                let mut draws = draws.into_iter();
                world
                    .with(member, |machine, now, out| {
                        machine.edit(
                            |edit| random_edit(edit, |below| draws.next().unwrap() % below),
                            now,
                            out,
                        )
                    })
                    .unwrap();
            }
        }
        if world.rng.random_bool(0.5) {
            world.look(member);
        }
        let pause = world.rng.random_range(0..800);
        world.pass(Duration::from_millis(pause));
    }
    world.loss = 0.0;
    for member in 0..members {
        world.members[member].side = 0;
        if !world.members[member].is_up {
            world.restart(member);
        }
    }
    world.meet();
    // The streams tell in the end of all that they lost.
    (0..members).for_each(|member| world.tell(member, Input::Missed));
    // Twice the time in which everybody says once what it has.
    world.pass(Duration::from_secs(24 * 60));
    (0..members).for_each(|member| world.look(member));
    assert!(world.are_equal(), "{SEED_VARIABLE}={seed}: all hold the same");
    for member in &world.members {
        assert_eq!(member.refused, 0, "{SEED_VARIABLE}={seed}");
        assert_eq!(
            member.machine.unsynchronised(),
            0,
            "{SEED_VARIABLE}={seed}: others have all of it"
        );
    }
}

#[test]
fn random_edits_converge() {
    let scripts = variable(SCRIPTS_VARIABLE).unwrap_or(SCRIPTS);
    let first = variable(SEED_VARIABLE).unwrap_or(1);
    eprintln!("{scripts} scripts; {SEED_VARIABLE}={first} and on");
    (first..first + scripts).for_each(script);
}
