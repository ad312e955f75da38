//! Outboxes: what is sent opens, links up, and never runs further ahead than it may.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use bytes::Bytes;
use libp2p::PeerId;
use maille_proto::{DecodeError, RECORD_BYTES_MAX, SIGNATURE_BYTES, decode_frame_body, frame::Predecessor};
use proptest::prelude::*;

use crate::core::stream::{
    BodyError, Frame, Outbox, SealedFrame, Tail,
    inbox::{self, Inbox},
    outbox::{Action, Input, Refusal, STALL_TIMEOUT, WINDOW_FRAMES},
    testing::{cases, context, peer, signing_key},
};

fn outbox(before: Option<Tail>) -> Outbox {
    Outbox::new(signing_key(1), context(), "text/plain".into(), 50, before)
}

fn give(outbox: &mut Outbox, input: Input, now: Instant) -> Vec<Action> {
    let mut out = vec![];
    outbox.handle(input, now, &mut out);
    out
}

fn publish(outbox: &mut Outbox, now: Instant) -> SealedFrame {
    match publish_bytes(outbox, Bytes::from_static(b"tick"), now) {
        Action::Send { frame, .. } => frame,
        other => panic!("{other:?}"),
    }
}

fn publish_bytes(outbox: &mut Outbox, payload: Bytes, now: Instant) -> Action {
    let published = Input::Published {
        key: Some(Bytes::from_static(b"k")),
        payload,
        sent_us: 77,
    };
    let mut out = give(outbox, published, now);
    assert_eq!(out.len(), 1, "{out:?}");
    out.remove(0)
}

fn ack(outbox: &mut Outbox, number: u32, next: u64, now: Instant) {
    assert_eq!(
        give(
            outbox,
            Input::Acked {
                peer: peer(number),
                incarnation: 50,
                next
            },
            now
        ),
        []
    );
}

fn subscribe(outbox: &mut Outbox, number: u32, now: Instant) {
    assert_eq!(give(outbox, Input::Subscribed { peer: peer(number) }, now), []);
}

#[test]
fn frames_link_up_across_runs() {
    let now = Instant::now();
    let before = Tail {
        incarnation: 40,
        next_sequence: 6,
        body_hash: [3; 32],
    };
    let mut outbox = outbox(Some(before));
    assert_eq!(outbox.tail(), None, "nothing of this run is to be remembered yet");
    let mut previous = before.body_hash;
    for sequence in 0..3 {
        let sealed = publish(&mut outbox, now);
        let frame = Frame::open(sealed.wire.clone(), &context()).unwrap();
        assert_eq!((frame.publisher, frame.incarnation), (signing_key(1).publisher(), 50));
        assert_eq!((frame.sequences(), frame.sent_us), (sequence..sequence + 1, 77));
        assert_eq!(frame.content_type, "text/plain");
        let body = decode_frame_body(&sealed.wire[SIGNATURE_BYTES..]).unwrap();
        assert_eq!(body.previous, previous, "frame {sequence}");
        let predecessor = Predecessor {
            incarnation: 40,
            next_sequence: 6,
        };
        assert_eq!(body.predecessor, (sequence == 0).then_some(predecessor));
        previous = sealed.body_hash;
        let tail = Tail {
            incarnation: 50,
            next_sequence: sequence + 1,
            body_hash: previous,
        };
        assert_eq!(outbox.tail(), Some(tail));
    }
}

#[test]
fn nobody_is_not_waited_for() {
    let now = Instant::now();
    let mut outbox = outbox(None);
    for _ in 0..1_000 {
        publish(&mut outbox, now);
    }
    assert!(outbox.has_room());
    assert_eq!(
        (outbox.next_deadline(), outbox.unacked(), outbox.acked_by()),
        (None, 0, 0)
    );
}

#[test]
fn a_record_that_cannot_travel_takes_no_number() {
    let now = Instant::now();
    let mut outbox = outbox(None);
    publish(&mut outbox, now);
    let refused = publish_bytes(&mut outbox, vec![0; RECORD_BYTES_MAX + 1].into(), now);
    assert!(
        matches!(
            refused,
            Action::Refuse {
                why: Refusal::Body(BodyError::Decode(DecodeError::Length { .. }))
            }
        ),
        "{refused:?}"
    );
    let next = Frame::open(publish(&mut outbox, now).wire, &context()).unwrap();
    assert_eq!(next.sequences(), 1..2);
}

#[test]
fn of_two_neighbours_the_window_follows_the_faster() {
    let now = Instant::now();
    let mut outbox = outbox(None);
    publish(&mut outbox, now);
    subscribe(&mut outbox, 1, now);
    subscribe(&mut outbox, 2, now);
    for _ in 0..WINDOW_FRAMES {
        assert!(outbox.has_room());
        publish(&mut outbox, now);
    }
    assert!(!outbox.has_room());
    let refused = publish_bytes(&mut outbox, Bytes::new(), now);
    assert_eq!(refused, Action::Refuse { why: Refusal::NoRoom });
    ack(&mut outbox, 1, 11, now);
    for _ in 0..10 {
        publish(&mut outbox, now);
    }
    assert!(!outbox.has_room());
    assert_eq!(outbox.unacked(), 266, "the slowest has acknowledged nothing");
    assert_eq!(
        (outbox.spread(0), outbox.spread(1), outbox.spread(10), outbox.spread(11)),
        (0, 1, 1, 0)
    );

    // The fastest leaves: the other is now the fastest, and far behind.
    give(&mut outbox, Input::Gone { peer: peer(1) }, now);
    assert!(!outbox.has_room());
    ack(&mut outbox, 2, 267, now);
    assert!(outbox.has_room());
    assert_eq!((outbox.unacked(), outbox.acked_by()), (0, 1));
    subscribe(&mut outbox, 3, now);
    assert_eq!(
        (outbox.unacked(), outbox.acked_by(), outbox.neighbours()),
        (0, 1, 2),
        "a newcomer owes and has nothing"
    );

    // One that leaves satisfied is still counted, until more is sent.
    give(&mut outbox, Input::Gone { peer: peer(2) }, now);
    assert_eq!(outbox.acked_by(), 1);
    subscribe(&mut outbox, 2, now);
    assert_eq!(outbox.acked_by(), 1);
    publish(&mut outbox, now);
    assert_eq!((outbox.acked_by(), outbox.unacked()), (0, 1));
}

#[test]
fn acknowledgements_are_not_believed_blindly() {
    let now = Instant::now();
    let mut outbox = outbox(None);
    subscribe(&mut outbox, 1, now);
    for _ in 0..WINDOW_FRAMES {
        publish(&mut outbox, now);
    }
    ack(&mut outbox, 1, 257, now);
    ack(&mut outbox, 1, u64::MAX, now);
    ack(&mut outbox, 2, 256, now);
    give(
        &mut outbox,
        Input::Acked {
            peer: peer(1),
            incarnation: 49,
            next: 256,
        },
        now,
    );
    assert_eq!(
        (outbox.has_room(), outbox.unacked(), outbox.acks_ignored()),
        (false, 256, 4)
    );
    ack(&mut outbox, 1, 200, now);
    ack(&mut outbox, 1, 199, now);
    ack(&mut outbox, 1, 0, now);
    assert_eq!(
        (outbox.has_room(), outbox.unacked(), outbox.acks_ignored()),
        (true, 56, 6)
    );
}

#[test]
fn a_lost_acknowledgement_does_not_stop_a_publisher() {
    let start = Instant::now();
    let mut outbox = outbox(None);
    subscribe(&mut outbox, 1, start);
    subscribe(&mut outbox, 2, start);
    for _ in 0..WINDOW_FRAMES {
        publish(&mut outbox, start);
    }
    let mut now = start;
    for probe in 0..3 {
        assert_eq!(outbox.next_deadline(), Some(now + STALL_TIMEOUT));
        assert_eq!(give(&mut outbox, Input::TimedOut, now + STALL_TIMEOUT / 2), [], "early");
        assert!(!outbox.has_room());
        now += STALL_TIMEOUT;
        assert_eq!(
            give(&mut outbox, Input::TimedOut, now),
            [Action::ReportStall { unacked: 256 + probe }]
        );
        assert!(outbox.has_room());
        publish(&mut outbox, now);
        assert!(!outbox.has_room(), "one frame, no more");
    }
    // Of two only the faster opens the window: one far behind must not delay the next probe for ever.
    ack(&mut outbox, 1, 2, now);
    now += Duration::from_secs(20);
    ack(&mut outbox, 2, 1, now);
    assert_eq!(outbox.next_deadline(), Some(now + Duration::from_secs(10)));
    ack(&mut outbox, 1, 259, now);
    assert!(outbox.has_room() && outbox.next_deadline().is_none());
}

#[test]
fn of_eight_neighbours_six_open_the_window_and_the_two_slowest_do_not_count() {
    let now = Instant::now();
    let mut outbox = outbox(None);
    for number in 1..=8 {
        subscribe(&mut outbox, number, now);
    }
    for _ in 0..WINDOW_FRAMES {
        publish(&mut outbox, now);
    }
    for number in 1..=5 {
        ack(&mut outbox, number, 200, now);
    }
    assert!(!outbox.has_room(), "three of eight are too many to leave behind");
    ack(&mut outbox, 6, 100, now);
    for _ in 0..100 {
        assert!(outbox.has_room());
        publish(&mut outbox, now);
    }
    assert!(!outbox.has_room(), "256 ahead of the sixth");
}

#[test]
fn the_last_acknowledgement_of_one_that_left_still_counts() {
    let now = Instant::now();
    let mut outbox = outbox(None);
    subscribe(&mut outbox, 1, now);
    subscribe(&mut outbox, 2, now);
    publish(&mut outbox, now);
    publish(&mut outbox, now);
    // Leaving and acknowledging travel on different streams.
    give(&mut outbox, Input::Gone { peer: peer(1) }, now);
    ack(&mut outbox, 1, 1, now);
    assert_eq!(outbox.acked_by(), 0, "not all of it");
    ack(&mut outbox, 1, 2, now);
    assert_eq!((outbox.acked_by(), outbox.acks_ignored()), (1, 0));
    ack(&mut outbox, 2, 2, now);
    assert_eq!(outbox.acked_by(), 2);
    publish(&mut outbox, now);
    ack(&mut outbox, 1, 3, now);
    assert_eq!(
        (outbox.acked_by(), outbox.acks_ignored()),
        (0, 1),
        "it is not asked any more"
    );
}

#[test]
fn from_outbox_to_inboxes_and_back() {
    let now = Instant::now();
    let mut outbox = outbox(None);
    let mut inboxes: BTreeMap<u32, Inbox> = (1..=3).map(|number| (number, Inbox::default())).collect();
    for number in inboxes.keys() {
        subscribe(&mut outbox, *number, now);
    }
    let mut delivered = 0;
    let mut round = |outbox: &mut Outbox, now, frame: Option<Bytes>| {
        for (number, inbox) in &mut inboxes {
            let mut out = vec![];
            if let Some(wire) = frame.clone() {
                let frame = Frame::open(wire, &context()).unwrap();
                inbox.handle(
                    inbox::Input::Received {
                        frame,
                        deliverer: peer(9),
                    },
                    now,
                    &mut out,
                );
            } else {
                inbox.handle(inbox::Input::TimedOut, now, &mut out);
            }
            for action in out {
                match action {
                    inbox::Action::Deliver(_) => delivered += 1,
                    inbox::Action::Ack { next, .. } => ack(outbox, *number, next, now),
                    _ => {}
                }
            }
        }
    };
    for _ in 0..700 {
        assert!(outbox.has_room(), "acknowledged in time, every 256 frames");
        let wire = publish(&mut outbox, now).wire;
        round(&mut outbox, now, Some(wire));
    }
    assert_eq!((outbox.unacked(), outbox.acked_by()), (700 - 512, 0));
    round(&mut outbox, now + inbox::ACK_DELAY, None);
    assert_eq!((outbox.unacked(), outbox.acked_by()), (0, 3));
    assert_eq!(delivered, 2_100);
}

#[derive(Debug, Clone)]
enum Step {
    Publish(u16),
    Ack { peer: u32, part: f64 },
    Subscribe(u32),
    Gone(u32),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1_u16..400).prop_map(Step::Publish),
        // Also beyond what was sent, and back.
        5 => (0_u32..4, 0.0..1.3).prop_map(|(peer, part)| Step::Ack { peer, part }),
        2 => (0_u32..4).prop_map(Step::Subscribe),
        1 => (0_u32..4).prop_map(Step::Gone),
        1 => (0_u64..40).prop_map(Step::Wait),
    ]
}

/// The model's own way to what all but the stragglers have acknowledged: of 2 to 7 neighbours, one may be slow.
fn pace(acked: &BTreeMap<PeerId, u64>) -> Option<u64> {
    let needed = if acked.len() > 1 { acked.len() - 1 } else { 1 };
    let at_least = |next: u64| acked.values().filter(|acked| **acked >= next).count() >= needed;
    acked.values().copied().filter(|next| at_least(*next)).max()
}

proptest! {
    #![proptest_config(cases(40))]

    #[test]
    fn never_further_ahead_and_never_stuck(steps in prop::collection::vec(step(), 1..40)) {
        let mut now = Instant::now();
        let mut outbox = outbox(None);
        let mut acked: BTreeMap<PeerId, u64> = BTreeMap::new();
        let mut probes = 0;
        for step in steps {
            match step {
                Step::Publish(count) => for _ in 0..count {
                    if !outbox.has_room() {
                        break;
                    }
                    let ahead = pace(&acked).map_or(0, |pace| outbox.next_sequence() + 1 - pace);
                    if ahead > WINDOW_FRAMES {
                        prop_assert!(probes > 0, "{} ahead", ahead);
                        probes -= 1;
                    }
                    publish(&mut outbox, now);
                },
                Step::Ack { peer: number, part } => {
                    let sent = outbox.next_sequence();
                    let next = (sent as f64 * part) as u64;
                    ack(&mut outbox, number, next, now);
                    if let Some(acked) = acked.get_mut(&peer(number)) && next > *acked && next <= sent {
                        *acked = next;
                    }
                }
                Step::Subscribe(number) => {
                    subscribe(&mut outbox, number, now);
                    acked.entry(peer(number)).or_insert(outbox.next_sequence());
                }
                Step::Gone(number) => {
                    give(&mut outbox, Input::Gone { peer: peer(number) }, now);
                    acked.remove(&peer(number));
                }
                Step::Wait(seconds) => {
                    now += Duration::from_secs(seconds);
                    let before = outbox.has_room();
                    let out = give(&mut outbox, Input::TimedOut, now);
                    if !out.is_empty() {
                        probes = 1;
                    }
                    prop_assert!(out.is_empty() || !before);
                }
            }
            let sent = outbox.next_sequence();
            if pace(&acked).is_none_or(|pace| sent - pace < WINDOW_FRAMES) {
                probes = 0;
            }
            prop_assert_eq!(outbox.unacked(), sent - acked.values().min().copied().unwrap_or(sent));
            if outbox.has_room() {
                prop_assert_eq!(outbox.next_deadline(), None);
            } else {
                let due = outbox.next_deadline();
                prop_assert!(due.is_some_and(|due| due <= now + STALL_TIMEOUT), "it opens again by itself");
            }
        }
    }
}
