//! Inboxes: in order, once, and nothing missing without a word.

use std::collections::{BTreeMap, BTreeSet};

use libp2p::PeerId;
use maille_proto::frame::Predecessor;
use proptest::prelude::*;

use crate::core::stream::{
    Frame,
    inbox::{Action, GAP_MAX, HELD_BYTES_MAX, HELD_FRAMES_MAX},
    testing::{Clocked, cases, peer},
};

pub(super) const RELAY: u32 = 99;

pub(super) fn frame(incarnation: u64, sequence: u64) -> Frame {
    Frame::unsigned(peer(1), incarnation, sequence..sequence + 1)
}

pub(super) fn after(mut frame: Frame, incarnation: u64, next_sequence: u64) -> Frame {
    frame.predecessor = Some(Predecessor {
        incarnation,
        next_sequence,
    });
    frame
}

/// `d5.3` for record 3 of run 5, `g5.4-7` for a gap, `r6` for a new run.
pub(super) fn story(clocked: &mut Clocked) -> String {
    let words = clocked.events().into_iter().map(|action| match action {
        Action::Deliver(delivery) => format!("d{}.{}", delivery.incarnation, delivery.sequence),
        Action::Gap {
            incarnation, from, to, ..
        } => format!("g{incarnation}.{from}-{to}"),
        Action::Restarted { incarnation, .. } => format!("r{incarnation}"),
        Action::Ignore { .. } => "i".into(),
        other => format!("{other:?}"),
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Receives these sequence numbers of run 5 at these milliseconds.
pub(super) fn received(arrivals: &[(u64, u64)]) -> Clocked {
    let mut clocked = Clocked::new();
    for (ms, sequence) in arrivals {
        clocked.receive(*ms, frame(5, *sequence), peer(RELAY));
    }
    clocked
}

#[test]
fn a_run_heard_from_its_start_waits_for_nothing() {
    let mut clocked = received(&[(0, 0), (1, 1), (2, 2), (2, 1)]);
    assert_eq!(story(&mut clocked), "d5.0 d5.1 d5.2 i");
    assert_eq!(clocked.inbox.counts().duplicates, 1);
}

#[test]
fn those_in_a_hurry_hear_each_record_once_as_it_comes() {
    let mut clocked = Clocked::new();
    clocked.inbox.hurry(true);
    for (ms, sequence) in [(0, 0), (1, 2), (2, 2), (3, 1)] {
        clocked.receive(ms, frame(5, sequence), peer(RELAY));
    }
    let arrived = clocked.events().into_iter().filter_map(|action| match action {
        Action::Arrived(delivery) => Some(delivery.sequence),
        _ => None,
    });
    assert_eq!(arrived.collect::<Vec<_>>(), [0, 2, 1]);
}

#[test]
fn a_delivery_tells_author_from_deliverer() {
    let mut clocked = received(&[(0, 0)]);
    let Action::Deliver(delivery) = clocked.events().remove(0) else {
        panic!("not a delivery");
    };
    assert_eq!((delivery.author, delivery.deliverer), (peer(1), peer(RELAY)));
    assert_eq!(&delivery.payload[..], 5_u64.to_be_bytes());
}

#[test]
fn a_run_met_in_its_middle_begins_with_the_lowest_of_the_first_frames() {
    let mut clocked = received(&[(0, 1_003), (100, 1_001), (200, 1_002)]);
    clocked.run_to(249);
    assert_eq!(story(&mut clocked), "");
    clocked.run_to(250);
    assert_eq!(story(&mut clocked), "d5.1001 d5.1002 d5.1003");
    clocked.receive(300, frame(5, 1_000), peer(RELAY));
    assert_eq!(story(&mut clocked), "", "history");
    assert_eq!(clocked.inbox.counts().late, 1);
}

#[test]
fn the_very_first_frames_are_waited_for_longer() {
    let mut clocked = received(&[(0, 2), (2_900, 0)]);
    assert_eq!(story(&mut clocked), "d5.0");
    clocked.receive(2_950, frame(5, 1), peer(RELAY));
    assert_eq!(story(&mut clocked), "d5.1 d5.2");

    let mut clocked = received(&[(0, 2)]);
    clocked.run_to(2_999);
    assert_eq!(story(&mut clocked), "");
    clocked.run_to(3_000);
    assert_eq!(story(&mut clocked), "d5.2");
}

#[test]
fn a_gap_is_given_up_two_minutes_after_the_first_later_frame() {
    let mut clocked = received(&[(0, 0), (1_000, 2), (5_000, 4), (9_000, 5)]);
    assert_eq!(story(&mut clocked), "d5.0");
    clocked.run_to(120_999);
    assert_eq!(story(&mut clocked), "");
    clocked.run_to(121_000);
    assert_eq!(story(&mut clocked), "g5.1-2 d5.2");
    clocked.receive(121_001, frame(5, 1), peer(RELAY));
    assert_eq!((story(&mut clocked).as_str(), clocked.inbox.counts().late), ("", 1));
    clocked.run_to(124_999);
    assert_eq!(story(&mut clocked), "");
    clocked.run_to(125_000);
    assert_eq!(story(&mut clocked), "g5.3-4 d5.4 d5.5");

    let mut clocked = received(&[(0, 0), (1_000, 2), (120_999, 1)]);
    clocked.run_out();
    assert_eq!(story(&mut clocked), "d5.0 d5.1 d5.2");
}

#[test]
fn a_gap_too_wide_is_reported_at_once() {
    let mut clocked = received(&[(0, 0), (1, 1 + GAP_MAX)]);
    assert_eq!(story(&mut clocked), "d5.0");
    let mut clocked = received(&[(0, 0), (1, 2 + GAP_MAX)]);
    assert_eq!(story(&mut clocked), "d5.0 g5.1-65538 d5.65538");
}

/// WCF's hop count 0 became 2^64 - 1.
#[test]
fn wcf_sequence_does_not_underflow() {
    let last = u64::MAX - 1;
    let mut clocked = received(&[(0, last)]);
    clocked.run_out();
    assert_eq!(story(&mut clocked), format!("d5.{last}"));
    let mut clocked = received(&[(0, 0), (1, last), (2, 1), (3, last - 1), (4, 1 << 63), (5, last)]);
    clocked.run_out();
    assert_eq!(story(&mut clocked), format!("d5.0 g5.1-{last} d5.{last} i"));
    assert_eq!((clocked.inbox.held_frames(), clocked.inbox.held_bytes()), (0, 0));
    clocked.receive(60_000, after(frame(u64::MAX, 0), 5, u64::MAX), peer(RELAY));
    clocked.receive(60_001, frame(u64::MAX, 1), peer(RELAY));
    clocked.run_out();
    let most = u64::MAX;
    assert_eq!(story(&mut clocked), format!("r{most} d{most}.0 d{most}.1"));
}

/// What was asked for: runs and ranges.
pub(super) fn repairs(clocked: &Clocked) -> Vec<(u64, u64, u64)> {
    let repair = |(_, action): &(u64, Action)| match action {
        Action::Repair {
            incarnation, from, to, ..
        } => Some((*incarnation, *from, *to)),
        _ => None,
    };
    clocked.done.iter().filter_map(repair).collect()
}

#[test]
fn a_restart_that_names_its_predecessor_loses_nothing() {
    // All of the run before has come.
    let mut clocked = received(&[(0, 0), (1, 1)]);
    clocked.receive(10, after(frame(6, 0), 5, 2), peer(RELAY));
    assert_eq!(story(&mut clocked), "d5.0 d5.1 r6 d6.0");

    // Its last frames are still under way, and so is the first one of the new run.
    let mut clocked = received(&[(0, 0)]);
    clocked.receive(10, frame(6, 1), peer(RELAY));
    clocked.receive(20, after(frame(6, 0), 5, 3), peer(RELAY));
    clocked.receive(30, frame(5, 2), peer(RELAY));
    clocked.receive(40, frame(5, 1), peer(RELAY));
    assert_eq!(story(&mut clocked), "d5.0 d5.1 d5.2 r6 d6.0 d6.1");
    clocked.receive(50, frame(5, 3), peer(RELAY));
    assert_eq!((story(&mut clocked).as_str(), clocked.inbox.counts().stale), ("", 1));

    // They do not come.
    let mut clocked = received(&[(0, 0), (0, 2)]);
    clocked.receive(1_000, after(frame(6, 0), 5, 7), peer(RELAY));
    clocked.receive(2_000, frame(6, 1), peer(RELAY));
    clocked.run_to(119_999);
    assert_eq!(story(&mut clocked), "d5.0");
    clocked.run_to(120_999);
    assert_eq!(story(&mut clocked), "g5.1-2 d5.2");
    clocked.run_to(121_000);
    assert_eq!(story(&mut clocked), "g5.3-7 r6 d6.0 d6.1");

    // They are asked for meanwhile, and so is a run between of which nothing was heard.
    let mut clocked = received(&[(0, 0)]);
    clocked.receive(1_000, after(frame(8, 0), 6, 2), peer(RELAY));
    clocked.run_to(1_499);
    assert_eq!(repairs(&clocked), []);
    clocked.run_to(1_500);
    assert_eq!(repairs(&clocked), [(6, 0, 2)]);
    clocked.receive(1_600, after(frame(6, 0), 5, 2), peer(RELAY));
    clocked.receive(1_700, frame(6, 1), peer(RELAY));
    clocked.run_to(2_100);
    assert_eq!(repairs(&clocked), [(6, 0, 2), (5, 1, 2)]);
    assert_eq!(story(&mut clocked), "d5.0");
    clocked.receive(2_200, frame(5, 1), peer(RELAY));
    assert_eq!(story(&mut clocked), "d5.1 r6 d6.0 d6.1 r8 d8.0");
}

#[test]
fn a_restart_without_memory() {
    let mut clocked = received(&[(0, 0), (1, 1)]);
    clocked.receive(10, frame(6, 0), peer(RELAY));
    assert_eq!(story(&mut clocked), "d5.0 d5.1 r6 d6.0");

    // The first frame of the new run is missing: it was not history, since the run before was heard.
    clocked.receive(20, frame(7, 1), peer(RELAY));
    clocked.run_to(40_019);
    assert_eq!(story(&mut clocked), "");
    clocked.run_out();
    assert_eq!(story(&mut clocked), "r7 g7.0-1 d7.1");

    // Three runs in a hurry.
    let mut clocked = received(&[(0, 0), (1, 2)]);
    clocked.receive(2, frame(6, 1), peer(RELAY));
    clocked.receive(3, frame(7, 0), peer(RELAY));
    clocked.run_out();
    assert_eq!(story(&mut clocked), "d5.0 g5.1-2 d5.2 r6 g6.0-1 d6.1 r7 d7.0");
}

#[test]
fn acknowledged_after_256_frames_or_50_ms() {
    let mut clocked = Clocked::new();
    for sequence in 0..600 {
        clocked.receive(sequence / 100, frame(5, sequence), peer(RELAY));
    }
    clocked.run_out();
    let acks: Vec<(u64, u64)> = clocked
        .done
        .iter()
        .filter_map(|(ms, action)| match action {
            Action::Ack {
                publisher,
                incarnation: 5,
                next,
            } if *publisher == peer(1) => Some((*ms, *next)),
            _ => None,
        })
        .collect();
    assert_eq!(acks, [(2, 256), (5, 512), (55, 600)]);
}

#[test]
fn what_waits_is_bounded() {
    // Every second frame is missing.
    let mut clocked = Clocked::new();
    let sent = HELD_FRAMES_MAX as u64 + 1_000;
    for number in 0..sent {
        clocked.receive(0, frame(5, number * 2), peer(RELAY));
        assert!(clocked.inbox.held_frames() <= HELD_FRAMES_MAX);
    }
    let events = clocked.events();
    let gaps = events
        .iter()
        .filter(|action| matches!(action, Action::Gap { .. }))
        .count();
    assert_eq!(
        (gaps, events.len()),
        (999, 1 + 2 * 999),
        "the first at once, then only the surplus, a gap each"
    );

    // Few, but large.
    let mut clocked = received(&[(0, 0)]);
    for sequence in 2..40 {
        let mut large = frame(5, sequence);
        large.wire = vec![0; 500_000].into();
        clocked.receive(1, large, peer(RELAY));
        assert!(
            clocked.inbox.held_bytes() <= HELD_BYTES_MAX,
            "{} bytes",
            clocked.inbox.held_bytes()
        );
    }
    let delivered = (2..40)
        .map(|sequence| format!("d5.{sequence}"))
        .collect::<Vec<_>>()
        .join(" ");
    clocked.run_out();
    assert_eq!(story(&mut clocked), format!("d5.0 g5.1-2 {delivered}"));
    assert_eq!(clocked.inbox.held_bytes(), 0);
}

/// A copy of a frame on its way: when it arrives, of which publisher, run and sequence number, through whom.
type Copy = (u64, u32, u64, u64, u32);

fn copies(spread_ms: u64, copies_min: usize) -> impl Strategy<Value = Vec<Copy>> {
    let arrivals = prop::collection::vec((0..spread_ms, 0_u32..3), copies_min..4);
    let run = prop::collection::vec(arrivals, 0..40);
    prop::collection::vec((0_u64..20_000, run), 6).prop_map(|runs| {
        let mut copies = vec![];
        for (number, (begun, run)) in runs.into_iter().enumerate() {
            let (publisher, incarnation) = (number as u32 / 2, number as u64 % 2 + 1);
            for (sequence, arrivals) in (0..).zip(run) {
                let arrivals = arrivals.into_iter();
                let at = |delay: u64| begun + sequence * 10 + delay;
                copies.extend(
                    arrivals.map(|(delay, relay)| (at(delay), publisher, incarnation, sequence, RELAY + relay)),
                );
            }
        }
        copies.sort();
        copies
    })
}

/// One run as the subscribers saw it.
#[derive(Debug, Default)]
struct Heard {
    start: Option<u64>,
    next: u64,
    delivered: BTreeSet<u64>,
    acked: u64,
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn any_order_duplication_and_loss(copies in copies(25_000, 0)) {
        let mut clocked = Clocked::new();
        for (ms, publisher, incarnation, sequence, relay) in &copies {
            clocked.receive(*ms, Frame::unsigned(peer(*publisher), *incarnation, *sequence..*sequence + 1), peer(*relay));
        }
        clocked.run_out();
        prop_assert_eq!(clocked.inbox.held_frames(), 0);
        prop_assert_eq!(clocked.inbox.held_bytes(), 0);

        let distinct: BTreeSet<_> = copies.iter().map(|copy| (copy.1, copy.2, copy.3)).collect();
        let (mut forwarded, mut ignored) = (0, 0);
        let mut heard: BTreeMap<(PeerId, u64), Heard> = BTreeMap::new();
        let mut latest: BTreeMap<PeerId, u64> = BTreeMap::new();
        for (_, action) in &clocked.done {
            match action {
                Action::Forward { .. } => forwarded += 1,
                Action::Ignore { .. } => ignored += 1,
                Action::Deliver(delivery) => {
                    let run = heard.entry((delivery.author, delivery.incarnation)).or_default();
                    let expected = if run.start.is_some() { run.next } else { delivery.sequence };
                    prop_assert_eq!(delivery.sequence, expected, "in order, once, after every gap");
                    run.start.get_or_insert(delivery.sequence);
                    run.next = delivery.sequence + 1;
                    run.delivered.insert(delivery.sequence);
                    prop_assert!(latest.get(&delivery.author).is_none_or(|latest| *latest <= delivery.incarnation));
                    latest.insert(delivery.author, delivery.incarnation);
                }
                Action::Gap { publisher, incarnation, from, to } => {
                    let run = heard.entry((*publisher, *incarnation)).or_default();
                    prop_assert!(from < to);
                    prop_assert_eq!(*from, run.next, "a gap begins where the run stands");
                    run.start.get_or_insert(*from);
                    run.next = *to;
                }
                Action::Restarted { publisher, incarnation } => {
                    prop_assert!(latest.insert(*publisher, *incarnation).is_none_or(|latest| latest < *incarnation));
                }
                Action::Ack { publisher, incarnation, next } => {
                    let run = heard.entry((*publisher, *incarnation)).or_default();
                    prop_assert_eq!(*next, run.next, "all below arrived or was reported");
                    prop_assert!(*next > run.acked, "never twice, never back");
                    run.acked = *next;
                }
                Action::Repair { publisher, incarnation, from, to } => {
                    let run = heard.entry((*publisher, *incarnation)).or_default();
                    prop_assert!(from < to && *from >= run.next, "only what is still waited for");
                }
                Action::Silent { .. } | Action::Resumed { .. } => {}
                Action::Arrived(_) => prop_assert!(false, "nobody is in a hurry"),
                Action::Fork { .. } | Action::Penalise { .. } => prop_assert!(false, "nobody did anything"),
            }
        }
        prop_assert_eq!(forwarded, distinct.len());
        prop_assert_eq!(ignored, copies.len() - distinct.len());
        // What arrived was delivered, or came after it was reported, or before the first one, or after its run.
        let counts = clocked.inbox.counts();
        let delivered: usize = heard.values().map(|run| run.delivered.len()).sum();
        prop_assert_eq!(delivered as u64 + counts.late + counts.stale, distinct.len() as u64);
        for ((publisher, incarnation), run) in &heard {
            if latest[publisher] == *incarnation {
                prop_assert_eq!(run.acked, run.next, "all that came is acknowledged in the end");
            }
        }
    }

    #[test]
    fn without_loss_nothing_is_missing(copies in copies(2_000, 1)) {
        // One run each, so that none cuts another short.
        let copies: Vec<Copy> = copies.into_iter().filter(|copy| copy.2 == 1).collect();
        let mut clocked = Clocked::new();
        for (ms, publisher, incarnation, sequence, relay) in &copies {
            clocked.receive(*ms, Frame::unsigned(peer(*publisher), *incarnation, *sequence..*sequence + 1), peer(*relay));
        }
        clocked.run_out();
        let distinct: BTreeSet<_> = copies.iter().map(|copy| (peer(copy.1), copy.3)).collect();
        let delivered: Vec<_> = clocked
            .events()
            .into_iter()
            .filter_map(|action| match action {
                Action::Deliver(delivery) => Some((delivery.author, delivery.sequence)),
                Action::Gap { .. } => panic!("a gap"),
                _ => None,
            })
            .collect();
        prop_assert_eq!(delivered.len(), distinct.len());
        prop_assert_eq!(delivered.into_iter().collect::<BTreeSet<_>>(), distinct);
    }
}
