//! Updates and records of hostile members: refused, with no panic that gets out and no growth.

use std::time::Instant;

use bytes::Bytes;
use libp2p::PeerId;
use maille_proto::document::{Edits, Record, State, Summary};
use maille_proto::encode_document;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::core::document::{Action, Flaw, Input, Machine, Replica, Vector, check, client_of};

const MUTATIONS: u64 = 20_000;
const MUTATIONS_VARIABLE: &str = "MAILLE_MUTATIONS";

fn machine() -> (Machine, Instant) {
    let now = Instant::now();
    let mut machine = Machine::new(PeerId::random(), 1, StdRng::seed_from_u64(1), now, 1);
    machine.handle(Input::Neighbours(2), now, &mut Vec::new());
    machine.handle(Input::CaughtUp, now, &mut Vec::new());
    (machine, now)
}

fn refused(machine: &mut Machine, now: Instant, author: PeerId, record: Vec<u8>) -> Option<Flaw> {
    let mut out = Vec::new();
    let input = Input::Received {
        author,
        record: record.into(),
        sent_us: 1,
    };
    machine.handle(input, now, &mut out);
    out.into_iter().find_map(|action| match action {
        Action::Refuse { why, .. } => Some(why),
        _ => None,
    })
}

/// Updates of all kinds, of one client: each stands on those before it.
fn updates(client: u64) -> Vec<Bytes> {
    let mut replica = Replica::new(client);
    let mut updates = Vec::new();
    for at in 0..12_i64 {
        let (_, update) = replica
            .edit(|edit| {
                edit.set("guests", &format!("i{}", at % 3), "name", format!("é{at}"))?;
                edit.set("guests", "x", "number", at * 1_000_000_007)?;
                edit.set("guests", "x", "float", 0.1)?;
                edit.splice("notes", 0..0, "héllo 🎉")?;
                edit.splice("notes", 1..3, "")?;
                if at % 4 == 3 {
                    edit.remove("guests", "i0")
                } else {
                    Ok(())
                }
            })
            .unwrap();
        updates.push(update.unwrap());
    }
    updates.push(replica.diff(&Vector::default()));
    updates
}

#[test]
fn records_of_hostile_members_are_refused() {
    let (mut machine, now) = machine();
    let author = PeerId::random();
    let update = updates(client_of(&author, 7)).remove(0);
    let edits = |run, updates: Vec<Vec<u8>>| encode_document(Record::Edits(Edits { run, updates }));
    let foreign_parent = [&[1, 1, 5, 0, 8, 1, 1][..], b"x", &[1, 120, 0]].concat();
    let nested = [1, 1, 5, 0, 7, 1, 3, b't', b'/', b'n', 0, 0];
    let far = [1, 1, 5, 0x80, 0x80, 0x80, 0x80, 0x08, 0, 1, 0];
    let many = [0xff, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0x7f, 1, 0];
    assert_eq!(
        refused(&mut machine, now, author, edits(7, vec![update.to_vec()])),
        None
    );
    for (record, why) in [
        (vec![], Flaw::Malformed),
        (vec![0xff; 300_000], Flaw::Malformed),
        (edits(8, vec![update.to_vec()]), Flaw::NotTheirs),
        (edits(7, vec![update[..update.len() - 1].to_vec()]), Flaw::Malformed),
        (edits(7, vec![foreign_parent]), Flaw::Foreign),
        (edits(7, vec![nested.to_vec()]), Flaw::Foreign),
        (edits(7, vec![far.to_vec()]), Flaw::Malformed),
        (edits(7, vec![many.to_vec()]), Flaw::Malformed),
    ] {
        let begin = record[..record.len().min(32)].to_vec();
        assert_eq!(refused(&mut machine, now, author, record), Some(why), "{begin:?}");
    }
    let summary = |clients, clocks| {
        encode_document(Record::Summary(Summary {
            clients,
            clocks,
            hash: 1,
            wanted: false,
        }))
    };
    for (clients, clocks) in [
        (vec![1], vec![]),
        (vec![2, 1], vec![1, 1]),
        (vec![1, 1], vec![1, 1]),
        (vec![1 << 53], vec![1]),
        (vec![1], vec![1 << 31]),
        (vec![1], vec![0]),
    ] {
        assert_eq!(
            refused(&mut machine, now, author, summary(clients, clocks)),
            Some(Flaw::Malformed)
        );
    }
}

#[test]
fn what_hostile_members_leave_unfinished_is_bounded() {
    let (mut machine, now) = machine();
    let before = machine.bytes();
    for number in 0..2_000 {
        let author = PeerId::random();
        let part = State {
            id: number,
            part: 0,
            parts: 96,
            bytes: vec![0; 100_000],
            whole: true,
        };
        assert_eq!(
            refused(&mut machine, now, author, encode_document(Record::State(part))),
            None
        );
        // It stands on what never comes.
        let update = updates(client_of(&author, 7)).remove(5);
        let edits = Edits {
            run: 7,
            updates: vec![update.to_vec()],
        };
        assert_eq!(
            refused(&mut machine, now, author, encode_document(Record::Edits(edits))),
            None
        );
    }
    assert_eq!(machine.bytes(), before);
    let told = format!("{machine:?}").len();
    assert!(told < 200_000_000, "{told}");
}

#[test]
fn who_asks_without_end_is_answered_a_few_times() {
    let (mut machine, mut now) = machine();
    let mut out = Vec::new();
    machine.edit(|edit| edit.set("l", "i", "f", 1), now, &mut out).unwrap();
    let mut published = 0;
    for _ in 0..6_000 {
        let summary = Record::Summary(Summary::default());
        refused(&mut machine, now, PeerId::random(), encode_document(summary));
        now += std::time::Duration::from_millis(10);
        out.clear();
        machine.handle(Input::TimedOut, now, &mut out);
        published += out
            .iter()
            .filter(|action| matches!(action, Action::Publish { .. }))
            .count();
    }
    assert!(published <= 60, "{published} in a minute");
}

/// The table is as strict as the library's decoder, and what both take is applied or refused.
#[test]
fn mutated_updates_are_refused_or_applied() {
    let mutations = std::env::var(MUTATIONS_VARIABLE)
        .ok()
        .and_then(|number| number.parse().ok());
    let seed: u64 = 6_245;
    let mut rng = StdRng::seed_from_u64(seed);
    let samples = updates(5);
    let (mut applied, mut unappliable) = (0, 0);
    let mut replica = Replica::new(9);
    for number in 0..mutations.unwrap_or(MUTATIONS) {
        if number % 500 == 0 {
            replica = Replica::new(9);
            for sample in &samples[..rng.random_range(0..samples.len())] {
                let extent = check(sample).unwrap();
                replica.apply(sample, &extent).unwrap();
            }
        }
        let mut update = samples[rng.random_range(0..samples.len())].to_vec();
        for _ in 0..rng.random_range(1..4) {
            let at = rng.random_range(0..update.len());
            match rng.random_range(0..5) {
                0 => update[at] = rng.random(),
                1 => update[at] ^= 1 << rng.random_range(0..8),
                2 => drop(update.remove(at)),
                3 => update.insert(at, rng.random()),
                _ => update[at] = update[at].wrapping_add(1),
            }
            if update.is_empty() {
                update.push(0);
            }
        }
        let Ok(extent) = check(&update) else { continue };
        if !extent.is_ready(replica.vector()) {
            continue;
        }
        match replica.apply(&update.into(), &extent) {
            Ok(_) => applied += 1,
            Err(_) => unappliable += 1,
        }
        let contents = replica.contents();
        assert_eq!(*contents, replica.read_anew(), "seed {seed}, mutation {number}");
        assert!(
            contents
                .texts
                .keys()
                .chain(contents.lists.keys())
                .all(|name| name.len() <= 64)
        );
    }
    eprintln!("{applied} applied, {unappliable} not");
    assert!(applied > 100, "{applied}");
    // It goes on as if nothing had been.
    let (_, update) = replica.edit(|edit| edit.set("guests", "me", "name", "here")).unwrap();
    assert!(update.is_some());
    assert_eq!(replica.contents().lists["guests"]["me"]["name"], "here".into());
}
