//! What hostile members say: every byte is taken, nothing grows, and the game goes on.

use std::time::Duration;

use bytes::Bytes;
use libp2p::PeerId;
use maille_proto::decode_lockstep_record;
use maille_proto::lockstep::{Admission, Change, LockstepRecord, LockstepSnapshot, Move, Moves};
use prost::Message as _;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::world::{CALM, World};
use crate::core::lockstep::{AHEAD_MAX, Action, BEHIND_MAX, HASHES_KEPT, Input, Place, Role};

const SECOND: Duration = Duration::from_secs(1);

fn begun(seed: u64, players: usize) -> World {
    let mut world = World::new(seed, players, CALM);
    assert!(world.run(20 * SECOND, |world| (0..players).all(|node| world.executed(node) > 50)));
    world
}

/// What a node would say now.
fn said(world: &World, node: usize) -> LockstepRecord {
    let machine = &world.nodes[node].machine;
    let (tick, own) = (machine.executed, &machine.seats[node]);
    LockstepRecord {
        session: machine.config.session,
        run: machine.config.run,
        view: machine.view,
        executed: tick,
        first: tick + 1,
        moves: own.moves_from(tick + 1, 64),
        held: machine.seats.iter().map(|seat| seat.held(tick).into()).collect(),
        ..LockstepRecord::default()
    }
}

fn tell(world: &mut World, node: usize, author: PeerId, sequence: u64, record: &LockstepRecord) {
    let place = Place {
        incarnation: 1_000,
        sequence,
    };
    let record = Bytes::from(record.encode_to_vec());
    world.tell(node, Input::Received { author, place, record });
}

fn goes_on(world: &mut World, nodes: &[usize]) {
    let (at, before) = (world.elapsed(), world.executed(nodes[0]));
    let done = |world: &World| nodes.iter().all(|node| world.executed(*node) > before + 60);
    assert!(
        world.run(at + 10 * SECOND, done),
        "{:?}",
        nodes.iter().map(|node| world.executed(*node)).collect::<Vec<_>>()
    );
    world.agree(nodes);
    for node in nodes {
        for seat in &world.nodes[*node].machine.seats {
            assert!(
                seat.moves.len() <= (BEHIND_MAX + AHEAD_MAX) as usize,
                "{}",
                seat.moves.len()
            );
            assert!(seat.hashes.last(usize::MAX).1.len() <= HASHES_KEPT);
        }
    }
}

#[test]
fn bytes_of_anybody_are_taken() {
    let mut world = begun(1, 3);
    let mut rng = StdRng::seed_from_u64(1);
    let (cheat, good) = (world.name(2), said(&world, 2));
    for round in 0..20_000_u64 {
        let mut bytes = good.encode_to_vec();
        for _ in 0..rng.random_range(1..4) {
            let place = rng.random_range(0..bytes.len());
            bytes[place] = rng.random();
        }
        bytes.truncate(rng.random_range(0..=bytes.len()));
        // Not what would be evidence against the player itself.
        let is_evidence = decode_lockstep_record(&bytes).is_ok_and(|record| {
            record.session == good.session
                && !record.joining
                && (record.moves != good.moves || record.run != good.run || record.first != good.first)
        });
        if !is_evidence {
            let (author, place) = (
                cheat,
                Place {
                    incarnation: 0,
                    sequence: round,
                },
            );
            world.tell(
                (round % 2) as usize,
                Input::Received {
                    author,
                    place,
                    record: bytes.into(),
                },
            );
        }
    }
    goes_on(&mut world, &[0, 1, 2]);
}

#[test]
fn floods_far_ticks_strangers_and_other_sessions_change_nothing() {
    let mut world = begun(2, 3);
    let (player, stranger) = (world.name(2), PeerId::random());
    let good = said(&world, 2);
    let far = |first: u32| LockstepRecord {
        first,
        moves: vec![
            Move {
                input: vec![9; 64],
                admits: None
            };
            256
        ],
        executed: u32::MAX / 2,
        held: vec![u64::MAX; 3],
        hashed: u32::MAX / 2,
        hashes: vec![1; 16],
        ..good.clone()
    };
    for round in 0..2_000_u32 {
        let sequence = u64::from(round);
        tell(&mut world, 0, player, sequence, &far(1_000 + round * 256));
        tell(&mut world, 0, player, sequence, &far(u32::MAX / 2));
        tell(&mut world, 0, stranger, sequence, &far(good.first));
        tell(
            &mut world,
            0,
            player,
            sequence,
            &LockstepRecord {
                session: 1,
                moves: vec![],
                ..far(1)
            },
        );
        tell(
            &mut world,
            0,
            player,
            sequence,
            &LockstepRecord {
                joining: true,
                run: sequence + 1,
                ..good.clone()
            },
        );
        let ballot = (round + 1) * 8 + 2;
        let proposal = Change {
            keep: 4,
            dropped: vec![Moves {
                seat: 0,
                first: 1,
                moves: vec![],
            }],
        };
        let rushed = LockstepRecord {
            promised: ballot,
            accepted: ballot,
            proposal: Some(proposal),
            ..good.clone()
        };
        tell(&mut world, 0, player, sequence, &rushed);
    }
    goes_on(&mut world, &[0, 1, 2]);
    assert_eq!(world.nodes[0].machine.view, 0, "nobody was missing");
}

#[test]
fn who_moves_twice_is_named_and_the_others_go_on() {
    for (seed, at_once) in [(3, true), (4, false)] {
        let mut world = begun(seed, 4);
        let cheat = world.name(1);
        let mut other = said(&world, 1);
        let last = other.moves.last_mut().unwrap();
        last.input = b"another".to_vec();
        let tick = other.first + u32::try_from(other.moves.len()).unwrap() - 1;
        if at_once {
            for node in [0, 2, 3] {
                tell(&mut world, node, cheat, 0, &other);
            }
        } else {
            // To one alone, before the other one comes.
            tell(&mut world, 2, cheat, 0, &other);
            let record = Bytes::from(other.encode_to_vec());
            world.send(
                cheat,
                Place {
                    incarnation: 1_000,
                    sequence: 0,
                },
                &record,
                0,
                None,
            );
        }
        let at = world.elapsed();
        let dropped = |world: &World| {
            [0, 2, 3]
                .iter()
                .all(|node| world.nodes[*node].steps.iter().any(|(_, step)| step.left == [cheat]))
        };
        assert!(world.run(at + 3 * SECOND, dropped), "seed {seed}");
        for node in [0, 2, 3] {
            let accused = world.nodes[node].events.iter().any(|(_, event)| {
                matches!(event, Action::Accuse { player, tick: of, first, second } if (*player, *of) == (cheat, tick) && first != second)
            });
            assert!(accused, "seed {seed}: {:?}", world.nodes[node].events);
        }
        goes_on(&mut world, &[0, 2, 3]);
    }
}

#[test]
fn a_forked_stream_costs_the_seat() {
    let mut world = begun(5, 3);
    let author = world.name(0);
    for node in [1, 2] {
        world.tell(node, Input::Forked { author });
    }
    let at = world.elapsed();
    assert!(world.run(at + 2 * SECOND, |world| {
        [1, 2]
            .iter()
            .all(|node| world.nodes[*node].steps.iter().any(|(_, step)| step.left == [author]))
    }));
    goes_on(&mut world, &[1, 2]);
}

#[test]
fn nobody_is_let_in_who_is_in_or_was_not_gone() {
    let mut world = begun(6, 3);
    let cheat = world.name(2);
    for seat in 0..9 {
        let mut record = said(&world, 2);
        record.first += u32::try_from(record.moves.len()).unwrap();
        let admits = Some(Admission {
            seat,
            run: 77,
            from: record.first + 5,
        });
        record.moves = vec![Move { input: vec![], admits }];
        // Its own next move, said to all alike.
        world.kill(2);
        for node in [0, 1] {
            tell(&mut world, node, cheat, u64::from(seat), &record);
        }
    }
    goes_on(&mut world, &[0, 1]);
    assert!(world.nodes[0].steps.iter().all(|(_, step)| step.joined.is_empty()));
}

#[test]
fn snapshots_that_make_no_sense_are_not_taken() {
    let mut world = begun(7, 2);
    let watcher = world.add(PeerId::random(), Role::Watch);
    let good = world.nodes[0].machine.snapshot().unwrap();
    let seats = good.seats.clone();
    for bad in [
        LockstepSnapshot {
            session: 1,
            ..good.clone()
        },
        LockstepSnapshot {
            seats: seats[..1].to_vec(),
            ..good.clone()
        },
        LockstepSnapshot {
            voters: 4,
            ..good.clone()
        },
        LockstepSnapshot {
            present: 256,
            ..good.clone()
        },
        LockstepSnapshot {
            executed: u32::MAX,
            ..good.clone()
        },
        LockstepSnapshot {
            view: u32::MAX,
            ..good.clone()
        },
    ] {
        world.tell(
            watcher,
            Input::Fetched {
                snapshot: Box::new(bad),
            },
        );
        assert!(world.nodes[watcher].steps.is_empty());
    }
    let at = world.elapsed();
    assert!(world.run(at + 3 * SECOND, |world| world.executed(watcher)
        > world.executed(0).saturating_sub(3)
        && world.executed(0) > 80));
    goes_on(&mut world, &[0, 1, watcher]);
}
