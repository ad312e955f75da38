//! The doorman's rules one by one: who gets through the door, when, and at whose cost. Attacks are in `siege`.

use super::*;
use crate::types::IpPrefix;

pub(super) fn door() -> Doorman {
    Doorman::new(StdRng::seed_from_u64(1))
}

pub(super) fn step(door: &mut Doorman, input: DoormanInput, now: Instant) -> Vec<DoormanAction> {
    let mut out = vec![];
    door.handle(input, now, &mut out);
    if let Some(at) = door.next_deadline() {
        assert!(at > now, "a deadline in the past would spin the driver");
    }
    out
}

pub(super) fn knock(id: u64, prefix: IpPrefix) -> DoormanInput {
    DoormanInput::Knocked {
        id,
        prefix,
        known: false,
    }
}

pub(super) fn known(id: u64, prefix: IpPrefix) -> DoormanInput {
    DoormanInput::Knocked {
        id,
        prefix,
        known: true,
    }
}

pub(super) fn refused(id: u64) -> DoormanInput {
    DoormanInput::Ended { id, refund: false }
}

pub(super) fn admitted(id: u64) -> DoormanInput {
    DoormanInput::Ended { id, refund: true }
}

pub(super) fn relay() -> IpPrefix {
    IpPrefix::Relay(peer(&mut StdRng::seed_from_u64(2)))
}

/// The place of the nth honest newcomer, where no attacker is.
pub(super) fn fresh(n: u64) -> IpPrefix {
    IpPrefix::V4([203, 0, n as u8, 1])
}

#[test]
fn t5_one_prefix_gets_its_own_budget_and_no_more() {
    for (prefix, per_hour) in [
        (IpPrefix::V4([203, 0, 113, 7]), 10 + 6 * 60),
        (IpPrefix::V6([0x20, 1, 0xd, 0xb8, 0, 0, 0, 7]), 10 + 6 * 60),
        (relay(), 10 + 6 * 60),
        (IpPrefix::Loopback, 60 + 60 * 60),
        (IpPrefix::Memory, 60 + 60 * 60),
    ] {
        assert_eq!(evaluated_in_an_hour(|_| prefix), per_hour, "{prefix:?}");
    }
    assert_eq!(
        evaluated_in_an_hour(|i| IpPrefix::V4([203, 0, 113, i as u8])),
        30 + 20 * 60,
        "one /24"
    );
    assert_eq!(
        evaluated_in_an_hour(|i| IpPrefix::V6([0x20, 1, 0xd, 0xb8, 0, 0, 0, i as u8])),
        30 + 20 * 60,
        "one /48"
    );
}

/// One knock every 500 ms for an hour; whoever proceeds fails at once.
fn evaluated_in_an_hour(prefix: impl Fn(u64) -> IpPrefix) -> usize {
    let (start, mut door, mut evaluated) = (Instant::now(), door(), 0);
    for i in 0..=7_200 {
        let now = start + Duration::from_millis(500 * i);
        let mut actions = step(&mut door, knock(i, prefix(i)), now);
        while let Some(action) = actions.pop() {
            if let DoormanAction::Proceed(id) = action {
                evaluated += 1;
                actions.extend(step(&mut door, refused(id), now));
            }
        }
    }
    evaluated
}

#[test]
fn success_is_free_for_a_crowd_on_loopback() {
    // 200 members of one process join at once: each handshake takes 20 ms and succeeds.
    let (start, mut door) = (Instant::now(), door());
    let mut running: Vec<(Instant, u64)> = vec![];
    let (mut done, mut now) = (0, start);
    let mut actions: Vec<_> = (0..200)
        .flat_map(|id| step(&mut door, knock(id, IpPrefix::Loopback), start))
        .collect();
    loop {
        for action in actions.drain(..) {
            let DoormanAction::Proceed(id) = action else {
                panic!("nobody is turned away: {action:?}")
            };
            running.push((now + Duration::from_millis(20), id));
        }
        assert!(running.len() <= HANDSHAKES_MAX - SLOTS_FOR_KNOWN);
        if running.is_empty() {
            break;
        }
        let (at, id) = running.remove(0);
        now = at;
        done += 1;
        actions = step(&mut door, admitted(id), now);
    }
    eprintln!("{done} joined within {:?}", now - start);
    assert_eq!(done, 200);
    assert!(now - start < Duration::from_secs(2));
}

#[test]
fn turns_go_round_the_prefixes() {
    let (now, mut door) = (Instant::now(), door());
    // A crowd from one /24, each with an address of its own, then one from elsewhere.
    let mut proceeded: Vec<_> = (0..100)
        .flat_map(|i| step(&mut door, knock(i, IpPrefix::V4([198, 18, 0, i as u8])), now))
        .collect();
    assert_eq!(proceeded.len(), HANDSHAKES_MAX - SLOTS_FOR_KNOWN);
    assert_eq!(step(&mut door, knock(1_000, IpPrefix::V4([203, 0, 113, 1])), now), []);
    let DoormanAction::Proceed(first) = proceeded.remove(0) else {
        panic!("{proceeded:?}")
    };
    assert_eq!(step(&mut door, refused(first), now), [DoormanAction::Proceed(1_000)]);
}

#[test]
fn one_prefix_holds_two_slots_and_keeps_none_of_them_from_others() {
    let (now, mut door) = (Instant::now(), door());
    let (one, other) = (IpPrefix::V4([203, 0, 113, 1]), IpPrefix::V4([203, 0, 113, 2]));
    assert_eq!(step(&mut door, knock(1, one), now), [DoormanAction::Proceed(1)]);
    assert_eq!(step(&mut door, knock(2, one), now), [DoormanAction::Proceed(2)]);
    assert_eq!(step(&mut door, knock(3, one), now), []);
    assert_eq!(step(&mut door, knock(4, other), now), [DoormanAction::Proceed(4)]);
    assert_eq!(step(&mut door, refused(1), now), [DoormanAction::Proceed(3)]);
}

#[test]
fn known_peers_have_two_slots_and_pass_everybody() {
    let (now, mut door) = (Instant::now(), door());
    for id in 0..20 {
        step(&mut door, knock(id, IpPrefix::V4([198, 18, id as u8, 1])), now);
    }
    assert_eq!(
        step(&mut door, known(100, IpPrefix::V4([198, 18, 0, 1])), now),
        [DoormanAction::Proceed(100)]
    );
    assert_eq!(
        step(&mut door, known(101, IpPrefix::V4([198, 18, 0, 1])), now),
        [DoormanAction::Proceed(101)]
    );
    assert_eq!(step(&mut door, known(102, IpPrefix::V4([198, 18, 0, 1])), now), []);
    // The next free slot is the known peer's, although strangers have waited longer.
    assert_eq!(step(&mut door, refused(0), now), [DoormanAction::Proceed(102)]);
    // Its going leaves a slot to the known: five strangers and two known are there.
    assert_eq!(step(&mut door, admitted(100), now).len(), 1, "a sixth stranger");
    assert_eq!(step(&mut door, admitted(101), now), []);
}

#[test]
fn the_slow_are_pushed_out_after_two_seconds_and_only_for_somebody() {
    let (start, mut door) = (Instant::now(), door());
    let at = |ms| start + Duration::from_millis(ms);
    for id in 0..6 {
        step(&mut door, knock(id, IpPrefix::V4([198, 18, id as u8, 1])), at(10 * id));
    }
    assert_eq!(
        step(&mut door, DoormanInput::TimedOut, at(5_000)),
        [],
        "nobody needs the slots"
    );
    // A newcomer takes the place of the one that has waited longest for its peer.
    let newcomer = step(&mut door, knock(10, IpPrefix::V4([203, 0, 113, 1])), at(5_000));
    assert_eq!(newcomer, [DoormanAction::PushOut(0), DoormanAction::Proceed(10)]);
    for id in 1..6 {
        let next = step(
            &mut door,
            knock(10 + id, IpPrefix::V4([203, 0, 113 + id as u8, 1])),
            at(5_000),
        );
        assert_eq!(next, [DoormanAction::PushOut(id), DoormanAction::Proceed(10 + id)]);
    }
    // Those have had no time yet.
    assert_eq!(step(&mut door, knock(20, fresh(0)), at(5_001)), []);
    assert_eq!(door.next_deadline(), Some(at(7_000)));
    let pushed = step(&mut door, DoormanInput::TimedOut, at(7_000));
    assert!(
        matches!(pushed[..], [DoormanAction::PushOut(10..16), DoormanAction::Proceed(20)]),
        "{pushed:?}"
    );
    // A prefix that holds its two slots pushes out its own.
    let mut door = self::door();
    for id in [1, 2] {
        step(&mut door, knock(id, IpPrefix::V4([203, 0, 113, 1])), start);
    }
    assert_eq!(step(&mut door, knock(3, IpPrefix::V4([203, 0, 113, 1])), at(1_999)), []);
    let pushed = step(&mut door, DoormanInput::TimedOut, at(2_000));
    assert_eq!(pushed, [DoormanAction::PushOut(1), DoormanAction::Proceed(3)]);
}

#[test]
fn waiting_is_bounded_in_number_and_time() {
    let (start, mut door) = (Instant::now(), door());
    // A crowd of one /24 takes the slots and fills the queue.
    for id in 0..500 {
        step(&mut door, knock(id, IpPrefix::V4([198, 18, 0, id as u8])), start);
    }
    // Five from elsewhere find it full: each time one of the crowd goes, never one of them.
    let newcomers: Vec<_> = (0..5)
        .map(|i| step(&mut door, knock(1_000 + i, fresh(0)), start))
        .collect();
    for actions in &newcomers {
        assert!(
            matches!(actions[..], [DoormanAction::Expire(id)] if id < 500),
            "{actions:?}"
        );
    }
    let late = step(&mut door, DoormanInput::TimedOut, start + WAITING_TIMEOUT);
    assert_eq!(late.len(), WAITING_STRANGERS_MAX);
    assert!(
        (1_000..1_005).all(|id| late.contains(&DoormanAction::Expire(id))),
        "{late:?}"
    );
    // The known wait in a queue of their own, as bounded.
    let start = start + WAITING_TIMEOUT;
    let now: usize = (0..200)
        .map(|id| step(&mut door, known(10_000 + id, relay()), start).len())
        .sum();
    let pushed_out = HANDSHAKES_MAX - SLOTS_FOR_KNOWN;
    assert_eq!(
        now,
        200 - WAITING_KNOWN_MAX + pushed_out,
        "two proceed, six in the place of strangers; the others are turned away"
    );
    assert_eq!(door.next_deadline(), Some(start + PUSH_OUT_AFTER));
    assert_eq!(
        step(&mut door, DoormanInput::TimedOut, start + WAITING_TIMEOUT).len(),
        WAITING_KNOWN_MAX
    );
}

#[test]
fn a_refill_is_noticed_beside_a_neighbour_that_waits_for_a_slot() {
    let (start, mut door) = (Instant::now(), door());
    let (busy, spent) = (IpPrefix::V4([203, 0, 113, 1]), IpPrefix::V4([203, 0, 113, 2]));
    for id in 0..10 {
        step(&mut door, knock(id, spent), start);
        step(&mut door, refused(id), start);
    }
    // Two of `busy` hold its slots and a third waits; one of `spent` waits for its next guess, due 10 s after the first.
    let later = start + Duration::from_secs(9);
    for id in 10..13 {
        step(&mut door, knock(id, busy), later);
    }
    assert_eq!(step(&mut door, knock(20, spent), later), []);
    // Something that changes nothing makes the door look at all who wait.
    step(&mut door, DoormanInput::TimedOut, later);
    let refill = start + Duration::from_secs(10);
    assert_eq!(door.next_deadline(), Some(refill));
    assert_eq!(
        step(&mut door, DoormanInput::TimedOut, refill),
        [DoormanAction::Proceed(20)]
    );
}
