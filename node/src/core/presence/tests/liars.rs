//! Neighbours that forge, replay, slander and stammer.

use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;
use libp2p::PeerId;
use maille_proto::control::{PresenceMessage, Summary, Tidings};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::super::{
    roster::Standing,
    statement::{Announced, Doubted, Realm, key_of},
};
use super::world::{EPOCH_MS, World, key, named, realm};
use crate::core::presence::{Action, Input, LONE_WAIT};

const SECOND: Duration = Duration::from_secs(1);

/// What a member with this number would say.
pub(super) fn said(number: usize, version: u64) -> Announced {
    Announced {
        key: key(number).public(),
        version,
        since_us: version,
        introduction: None,
        again: 60 * SECOND,
        watches: false,
        left: false,
        wire: Bytes::new(),
    }
}

pub(super) fn announcement(number: usize, version: u64) -> Bytes {
    said(number, version).signed(&realm(), &key(number)).wire
}

fn doubt(by: usize, of: usize, version: u64) -> Bytes {
    Doubted::signed(key(of).public(), version, &realm(), &key(by)).wire
}

pub(super) fn tidings(announcements: &[Bytes], doubts: &[Bytes]) -> PresenceMessage {
    let all = |wires: &[Bytes]| wires.iter().map(|wire| wire.to_vec()).collect();
    PresenceMessage::Tidings(Tidings {
        announcements: all(announcements),
        doubts: all(doubts),
    })
}

/// An honest node 0 with a neighbour 1 that says what the test likes.
fn victim() -> (World, PeerId) {
    let mut world = World::new(77, 2);
    world.links.insert((0, 1));
    let liar = world.peer(1);
    world.hear(0, Input::Admitted { peer: liar });
    (world, liar)
}

fn say(world: &mut World, message: PresenceMessage) {
    let peer = world.peer(1);
    world.hear(0, Input::Said { peer, message });
}

fn listed(world: &World) -> BTreeSet<PeerId> {
    world.nodes[0].machine.members().map(|member| member.peer).collect()
}

#[test]
fn only_what_a_member_signed_for_this_mesh_counts() {
    let (mut world, _) = victim();
    let good = announcement(5, EPOCH_MS);
    for byte in 0..good.len() {
        let mut bad = good.to_vec();
        bad[byte] ^= 1;
        say(&mut world, tidings(&[bad.into()], &[]));
        assert_eq!(listed(&world), BTreeSet::new(), "byte {byte}");
    }
    let elsewhere = Realm::new(&"other.example".parse().unwrap(), 0);
    let later = Realm::new(&"party.example".parse().unwrap(), 1);
    for realm in [elsewhere, later] {
        let wire = said(5, EPOCH_MS).signed(&realm, &key(5)).wire;
        say(&mut world, tidings(&[wire], &[]));
    }
    // Signed by somebody else than it names; and a doubt in the place of an announcement.
    let stolen = said(5, EPOCH_MS).signed(&realm(), &key(6)).wire;
    say(&mut world, tidings(&[stolen, doubt(5, 6, 7)], &[]));
    assert_eq!(listed(&world), BTreeSet::new());
    say(&mut world, tidings(&[good], &[]));
    assert_eq!(listed(&world), BTreeSet::from([key(5).publisher()]));
}

#[test]
fn nobody_can_let_another_leave_or_bring_it_back() {
    let (mut world, _) = victim();
    let before = announcement(5, EPOCH_MS);
    say(&mut world, tidings(std::slice::from_ref(&before), &[]));
    let mut gone = said(5, EPOCH_MS + 1);
    gone.left = true;
    say(&mut world, tidings(&[gone.clone().signed(&realm(), &key(6)).wire], &[]));
    assert_eq!(listed(&world).len(), 1);
    say(&mut world, tidings(&[gone.signed(&realm(), &key(5)).wire], &[]));
    assert_eq!(listed(&world).len(), 0);
    say(&mut world, tidings(&[before, announcement(5, EPOCH_MS + 1)], &[]));
    assert_eq!(listed(&world).len(), 0);
    say(&mut world, tidings(&[announcement(5, EPOCH_MS + 2)], &[]));
    assert_eq!(listed(&world).len(), 1);
}

#[test]
fn one_voice_is_not_enough_and_strangers_have_none() {
    let (mut world, liar) = victim();
    let all: Vec<Bytes> = [1, 5, 6].map(|member| announcement(member, EPOCH_MS)).into();
    say(&mut world, tidings(&all, &[]));
    // Of strangers, of itself, of other versions, and one voice twice.
    let doubts = [
        doubt(8, 5, EPOCH_MS),
        doubt(9, 5, EPOCH_MS),
        doubt(5, 5, EPOCH_MS),
        doubt(6, 5, EPOCH_MS + 1),
        doubt(6, 5, EPOCH_MS - 1),
    ];
    say(&mut world, tidings(&[], &doubts));
    let standing = |world: &World, member| {
        world.nodes[0]
            .machine
            .roster
            .get(&key(member).public())
            .unwrap()
            .standing
    };
    assert_eq!(standing(&world, 5), Standing::Here);
    say(
        &mut world,
        tidings(&[], &[doubt(1, 5, EPOCH_MS), doubt(1, 5, EPOCH_MS)]),
    );
    assert!(matches!(standing(&world, 5), Standing::Doubted { own: false, .. }));
    world.run(LONE_WAIT - SECOND);
    assert!(listed(&world).contains(&key(5).publisher()));
    // It says that it is there.
    say(&mut world, tidings(&[announcement(5, EPOCH_MS + 1)], &[]));
    world.run(LONE_WAIT + SECOND);
    assert!(listed(&world).contains(&key(5).publisher()));
    // Two voices are enough.
    say(
        &mut world,
        tidings(&[], &[doubt(1, 5, EPOCH_MS + 1), doubt(6, 5, EPOCH_MS + 1)]),
    );
    world.run(2 * SECOND);
    assert_eq!(listed(&world), BTreeSet::from([liar, key(6).publisher()]));
}

#[test]
fn a_slandered_member_answers_but_is_not_driven() {
    let (mut world, _) = victim();
    let version = |world: &World| world.nodes[0].machine.own.version;
    let first = version(&world);
    // Versions that it never had; and its own words of tomorrow, which nobody but itself can sign.
    let tomorrow = said(0, u64::MAX).signed(&realm(), &key(1)).wire;
    say(
        &mut world,
        tidings(&[tomorrow], &[doubt(1, 0, u64::MAX), doubt(1, 0, first + 1)]),
    );
    assert_eq!(version(&world), first);
    say(&mut world, tidings(&[], &[doubt(1, 0, first)]));
    assert_eq!(version(&world), first + 1);
    for _ in 0..1_000 {
        let now = version(&world);
        say(&mut world, tidings(&[], &[doubt(1, 0, now)]));
    }
    assert!(version(&world) <= first + 8, "{}", version(&world) - first);
}

#[test]
fn profiles_are_what_their_hash_says_and_nothing_else() {
    let (mut world, _) = victim();
    let wire = named("Ann").to_wire();
    let mut ann = said(5, EPOCH_MS);
    ann.introduction = Some(*blake3::hash(&wire).as_bytes());
    // Before it is wanted.
    say(&mut world, PresenceMessage::Introduction(wire.to_vec()));
    say(&mut world, tidings(&[ann.signed(&realm(), &key(5)).wire], &[]));
    for other in [named("Eve").to_wire().to_vec(), vec![0; 4_170], vec![0; 5_000]] {
        say(&mut world, PresenceMessage::Introduction(other));
    }
    let profile = |world: &World| world.nodes[0].machine.members().next().unwrap().profile;
    assert_eq!(profile(&world), None);
    say(&mut world, PresenceMessage::Introduction(wire.to_vec()));
    assert_eq!(profile(&world), Some(named("Ann")));
    // One whose bytes are no profile has nothing to say that is shown.
    let junk = b"\x0a\x05a\x1b[2J".to_vec();
    let mut eve = said(5, EPOCH_MS + 1);
    eve.introduction = Some(*blake3::hash(&junk).as_bytes());
    say(&mut world, tidings(&[eve.signed(&realm(), &key(5)).wire], &[]));
    say(&mut world, PresenceMessage::Introduction(junk));
    assert_eq!(profile(&world), Some(crate::types::Profile::default()));
}

#[test]
fn whoever_says_too_much_is_let_go() {
    let (mut world, liar) = victim();
    let ended = |world: &World| world.told(0, &Action::End { peer: liar });
    let mut said = 0;
    while ended(&world) == 0 {
        say(&mut world, PresenceMessage::Probe(true));
        said += 1;
    }
    assert_eq!(said, 1_025);
    // Of one that is no neighbour, nothing is heard.
    let peer = key(9).publisher();
    let message = tidings(&[announcement(9, EPOCH_MS)], &[]);
    world.hear(0, Input::Said { peer, message });
    assert_eq!(listed(&world).len(), 0);
}

#[test]
fn a_summary_costs_little_however_often_it_is_asked_for() {
    let (mut world, _) = victim();
    for chunk in (10..200).collect::<Vec<_>>().chunks(64) {
        let all: Vec<Bytes> = chunk.iter().map(|member| announcement(*member, EPOCH_MS)).collect();
        say(&mut world, tidings(&all, &[]));
    }
    world.bytes = 0;
    for _ in 0..500 {
        let summary = Summary {
            members: vec![1, 2, 3],
            versions: vec![1],
            question: true,
        };
        say(&mut world, PresenceMessage::Summary(summary));
    }
    assert!(world.bytes < 8 * 50_000, "{}", world.bytes);
}

/// What arrives may be anything that decodes: nobody is listed for it, nobody is lost, and nothing panics.
#[test]
fn stammering_changes_nothing() {
    let seed = std::env::var("MAILLE_SEED").map_or(11, |seed| seed.parse().unwrap());
    let count = std::env::var("MAILLE_MUTATIONS").map_or(5_000, |count| count.parse().unwrap());
    eprintln!("MAILLE_SEED={seed}, MAILLE_MUTATIONS={count}");
    let mut rng = StdRng::seed_from_u64(seed);
    let (mut world, _) = victim();
    say(
        &mut world,
        tidings(&[announcement(5, EPOCH_MS), announcement(6, EPOCH_MS)], &[]),
    );
    let before = listed(&world);
    let mutated = |rng: &mut StdRng, wire: Bytes| {
        let mut wire = wire.to_vec();
        let at = rng.random_range(0..wire.len());
        match rng.random_range(0..3) {
            0 => wire[at] ^= 1 << rng.random_range(0..8),
            1 => wire.truncate(at),
            _ => wire.insert(at, rng.random()),
        }
        wire.into()
    };
    for number in 0..count {
        if number % 500 == 0 {
            // Whoever says too much would be let go.
            let peer = world.peer(1);
            world.hear(0, Input::Admitted { peer });
        }
        let member = rng.random_range(4..9);
        let message = match rng.random_range(0..4) {
            0 => {
                let wire = announcement(member, EPOCH_MS + rng.random_range(0..9));
                tidings(&[mutated(&mut rng, wire)], &[])
            }
            1 => {
                let wire = doubt(member, 5, EPOCH_MS);
                tidings(&[], &[mutated(&mut rng, wire)])
            }
            2 => PresenceMessage::Wanted(vec![rng.random(); rng.random_range(0..40)]),
            _ => PresenceMessage::Introduction(vec![rng.random(); rng.random_range(0..400)]),
        };
        say(&mut world, message);
    }
    assert_eq!(listed(&world), before);
    assert!(before.iter().all(|peer| key_of(peer).is_some()));
}
