//! What hostile members say: it is left out, bounded, or costs only themselves and the keys they claim.

use std::time::{Duration, Instant};

use bytes::Bytes;
use libp2p::PeerId;
use maille_proto::encode_lease;
use maille_proto::leases::{Claim, LeaseRecord};
use proptest::prelude::*;

use super::super::{AUTHORS_MAX, Action, Input, LEASE_MAX, Leases, PAST_MAX, Ranking};
use super::world::LEASE;

fn machine(now: Instant) -> Leases {
    let mut machine = Leases::new(PeerId::random(), Ranking::new(".leases/x"), LEASE, now);
    machine.handle(Input::CaughtUp, now, &mut Vec::new());
    machine
}

fn claim(key: &str, number: u64) -> Claim {
    Claim {
        key: key.as_bytes().to_vec(),
        number,
    }
}

fn says(lease_ms: u32, claims: Vec<Claim>) -> LeaseRecord {
    LeaseRecord {
        lease_ms,
        offers: false,
        leaves: false,
        claims,
        ended: None,
    }
}

fn received(author: PeerId, sequence: u64, record: &LeaseRecord) -> Input {
    Input::Received {
        author,
        cursor: (7, sequence),
        record: encode_lease(record).into(),
    }
}

#[test]
fn what_nobody_honest_says_is_left_out() {
    let now = Instant::now();
    let mut machine = machine(now);
    let mut leaves = says(1_000, vec![claim("a", 1)]);
    leaves.leaves = true;
    for (why, record) in [
        ("too short", says(499, vec![claim("a", 1)])),
        ("too long", says(60_001, vec![claim("a", 1)])),
        ("number 0", says(1_000, vec![claim("a", 0)])),
        ("a number too high", says(1_000, vec![claim("a", 1 << 63)])),
        ("twice", says(1_000, vec![claim("a", 1), claim("a", 2)])),
        ("not in order", says(1_000, vec![claim("b", 1), claim("a", 2)])),
        ("an empty key", says(1_000, vec![claim("", 1)])),
        ("a long key", says(1_000, vec![claim(&"k".repeat(129), 1)])),
        (
            "more than it may",
            says(1_000, (100..400).map(|n| claim(&format!("k{n}"), 1)).collect()),
        ),
        ("leaving, with claims", leaves),
    ] {
        let mut out = Vec::new();
        machine.handle(received(PeerId::random(), 1, &record), now, &mut out);
        assert!(out.is_empty() && machine.held().is_empty(), "{why}");
    }
}

#[test]
fn the_highest_number_leaves_the_key_usable() {
    let now = Instant::now();
    let mut machine = machine(now);
    let (taker, mut out) = (PeerId::random(), Vec::new());
    let record = says(60_000, vec![claim("a", (1 << 63) - 1)]);
    machine.handle(received(taker, 1, &record), now, &mut out);
    let key = Bytes::from_static(b"a");
    machine.handle(
        Input::Want {
            key: key.clone(),
            waits: true,
        },
        now,
        &mut out,
    );
    assert_eq!(machine.holder(&key).map(|token| token.holder()), Some(taker));
    let mut later = now + LEASE_MAX * 2;
    machine.handle(Input::TimedOut, later, &mut out);
    while let Some(at) = machine.next_deadline().filter(|at| *at < later + LEASE) {
        later = at.max(later);
        machine.handle(Input::Left { made_at: later }, later, &mut out);
        machine.handle(Input::TimedOut, later, &mut out);
        if out.iter().any(|action| matches!(action, Action::Granted { .. })) {
            return;
        }
    }
    panic!("never granted: {out:?}");
}

#[test]
fn many_authors_and_keys_cost_no_more_than_their_bounds() {
    let now = Instant::now();
    let mut machine = machine(now);
    let mut out = Vec::new();
    let honest = PeerId::random();
    machine.handle(
        received(honest, 1, &says(60_000, vec![claim("honest", 5)])),
        now,
        &mut out,
    );
    for _ in 0..AUTHORS_MAX * 4 {
        machine.handle(
            received(PeerId::random(), 1, &says(60_000, vec![claim("x", 1)])),
            now,
            &mut out,
        );
    }
    assert!(
        machine.holder(&Bytes::from_static(b"honest")).is_some(),
        "who is there is not pushed out"
    );
    assert_eq!(machine.authors(), AUTHORS_MAX);
    let author = PeerId::random();
    machine.handle(Input::TimedOut, now + LEASE_MAX * 2, &mut out);
    for number in 0..PAST_MAX as u64 * 3 {
        let record = says(1_000, vec![claim(&format!("k{number}"), 1)]);
        machine.handle(received(author, number, &record), now + LEASE_MAX * 2, &mut out);
    }
    assert!(machine.remembered() <= PAST_MAX + AUTHORS_MAX);
}

#[test]
fn a_fork_ends_what_its_author_holds() {
    let now = Instant::now();
    let mut machine = machine(now);
    let (author, mut out) = (PeerId::random(), Vec::new());
    machine.handle(received(author, 1, &says(60_000, vec![claim("a", 1)])), now, &mut out);
    machine.handle(Input::Forked { author, incarnation: 7 }, now, &mut out);
    assert!(machine.held().is_empty());
    machine.handle(received(author, 2, &says(60_000, vec![claim("a", 1)])), now, &mut out);
    assert!(machine.held().is_empty(), "nothing more of that incarnation counts");
}

#[test]
fn a_lower_claim_again_and_again_is_answered_seldom() {
    let now = Instant::now();
    let mut machine = machine(now);
    let mut out = Vec::new();
    let key = Bytes::from_static(b"a");
    machine.handle(
        received(PeerId::random(), 1, &says(1_000, vec![claim("a", 9)])),
        now,
        &mut out,
    );
    machine.handle(Input::TimedOut, now + Duration::from_secs(2), &mut out);
    machine.handle(Input::Want { key, waits: true }, now + Duration::from_secs(2), &mut out);
    let (author, begun) = (PeerId::random(), now + Duration::from_secs(2));
    out.clear();
    for n in 0..1_000 {
        let at = begun + Duration::from_millis(n);
        let offers = LeaseRecord {
            offers: n % 2 == 0,
            ..says(1_000, vec![claim("a", 1)])
        };
        machine.handle(received(author, n, &offers), at, &mut out);
    }
    let said = out
        .iter()
        .filter(|action| matches!(action, Action::Publish { .. }))
        .count();
    assert!((1..=11).contains(&said), "{said}");
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let now = Instant::now();
        let input = Input::Received { author: PeerId::random(), cursor: (1, 1), record: bytes.into() };
        machine(now).handle(input, now, &mut Vec::new());
    }
}
