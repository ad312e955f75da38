//! Outboxes: what is sent opens, links up, and never runs further ahead than it may.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use bytes::Bytes;
use maille_proto::{RECORD_BYTES_MAX, SIGNATURE_BYTES, decode_frame_body, frame::Predecessor};

use crate::core::stream::{
    Frame, Outbox, SealedFrame, Tail,
    batch::{BATCH_BYTES, IN_FLIGHT_FRAMES, LINGER},
    heads::HEAD_DELAY,
    inbox::{self, Inbox},
    outbox::{Action, Input, Refusal, STALL_TIMEOUT, WINDOW_FRAMES},
    testing::{context, peer, signing_key},
};

pub(super) fn outbox(before: Option<Tail>) -> Outbox {
    Outbox::new(signing_key(1), context(), "text/plain".into(), 50, before)
}

pub(super) fn give(outbox: &mut Outbox, input: Input, now: Instant) -> Vec<Action> {
    let mut out = vec![];
    outbox.handle(input, now, &mut out);
    out
}

fn published(payload: impl Into<Bytes>) -> Input {
    Input::Published {
        key: Some(Bytes::from_static(b"k")),
        payload: payload.into(),
        sent_us: 77,
    }
}

/// A record and its frame, which leaves at once.
pub(super) fn publish(outbox: &mut Outbox, now: Instant) -> SealedFrame {
    match &mut give(outbox, published(&b"tick"[..]), now)[..] {
        [Action::Send { frame, .. }] => frame.clone(),
        other => panic!("{other:?}"),
    }
}

/// A record whose frame leaves alone, because the one before it left long enough ago.
fn publish_frame(outbox: &mut Outbox, now: Instant) -> SealedFrame {
    let frames = u32::try_from(outbox.next_sequence()).unwrap();
    publish(outbox, now + LINGER * frames)
}

/// How many neighbours acknowledged this record.
fn spread(outbox: &Outbox, sequence: u64) -> usize {
    outbox.acknowledged().filter(|acked| acked.contains(&sequence)).count()
}

/// Whether one more frame would leave.
pub(super) fn is_open(outbox: &Outbox) -> bool {
    !outbox.is_shut()
}

fn timed_out(outbox: &mut Outbox, now: Instant) -> Vec<Action> {
    give(outbox, Input::TimedOut { now_us: 99 }, now)
}

pub(super) fn ack(outbox: &mut Outbox, number: u32, next: u64, now: Instant) {
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

pub(super) fn subscribe(outbox: &mut Outbox, number: u32, now: Instant) {
    assert_eq!(give(outbox, Input::Subscribed { peer: peer(number) }, now), []);
}

/// What it does at a deadline, heads apart.
pub(super) fn stalls(outbox: &mut Outbox, now: Instant) -> Vec<Action> {
    let is_head = |action: &Action| matches!(action, Action::Send { sequences, .. } if sequences.is_empty());
    let done = timed_out(outbox, now).into_iter();
    done.filter(|action| !is_head(action)).collect()
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
    assert_eq!(
        outbox.tail(),
        Some(before),
        "a run of which nothing is sent does not break the chain"
    );
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
    assert!(outbox.has_room() && is_open(&outbox));
    assert_eq!(
        (outbox.next_deadline(), outbox.unacked(), outbox.acked_by()),
        (Some(now + HEAD_DELAY), 0, 0)
    );
}

#[test]
fn records_gather_while_frames_are_under_way() {
    let now = Instant::now();
    let mut outbox = outbox(None);
    subscribe(&mut outbox, 1, now);
    for sequence in 0..IN_FLIGHT_FRAMES {
        let frame = Frame::open(publish(&mut outbox, now).wire, &context()).unwrap();
        assert_eq!(frame.sequences(), sequence..sequence + 1, "leaves at once");
    }
    for _ in 0..100 {
        assert_eq!(give(&mut outbox, published(&b"tick"[..]), now), []);
    }
    assert_eq!((outbox.gathered(), outbox.next_deadline()), (100, Some(now + LINGER)));
    assert_eq!(timed_out(&mut outbox, now + LINGER / 2), []);
    let [Action::Send { sequences, frame, .. }] = &timed_out(&mut outbox, now + LINGER)[..] else {
        panic!("one frame");
    };
    let first = IN_FLIGHT_FRAMES;
    assert_eq!(*sequences, first..first + 100);
    let frame = Frame::open(frame.wire.clone(), &context()).unwrap();
    assert_eq!((frame.records().count(), frame.sent_us), (100, 77));

    // An acknowledgement ends the wait as well.
    assert_eq!(give(&mut outbox, published(&b"tick"[..]), now + LINGER), []);
    let acked = Input::Acked {
        peer: peer(1),
        incarnation: 50,
        next: first + 100,
    };
    assert_eq!(give(&mut outbox, acked, now + LINGER).len(), 1);
    assert_eq!((outbox.gathered(), outbox.next_sequence()), (0, first + 101));

    // What still gathers leaves with the publisher.
    for _ in 0..IN_FLIGHT_FRAMES + 2 {
        give(&mut outbox, published(&b"tick"[..]), now + LINGER);
    }
    assert!(outbox.gathered() > 0);
    assert_eq!(give(&mut outbox, Input::Leaving, now + LINGER).len(), 1);
    assert_eq!(outbox.gathered(), 0);
}

#[test]
fn heads_say_where_the_run_stands_and_are_no_links() {
    let start = Instant::now();
    let mut outbox = outbox(None);
    let first = publish(&mut outbox, start);
    let mut heads = vec![];
    for ms in 0..100_000 {
        let now = start + Duration::from_millis(ms);
        if outbox.next_deadline().is_some_and(|due| due <= now) {
            let [Action::Send { sequences, frame, .. }] = &timed_out(&mut outbox, now)[..] else {
                panic!("a head at {ms} ms");
            };
            assert_eq!(*sequences, 1..1);
            let head = Frame::open(frame.wire.clone(), &context()).unwrap();
            assert!(head.is_head());
            assert_eq!((head.sequences(), head.previous), (1..1, Some(first.body_hash)));
            assert_eq!(head.sent_us, 99);
            heads.push(ms);
        }
    }
    assert_eq!(heads, [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000]);
    let second = Frame::open(publish(&mut outbox, start).wire, &context()).unwrap();
    assert_eq!(
        second.previous,
        Some(first.body_hash),
        "the frame after heads links to the one before them"
    );
}

#[test]
fn a_record_that_cannot_travel_takes_no_number() {
    let now = Instant::now();
    let mut outbox = outbox(None);
    publish(&mut outbox, now);
    let refused = give(&mut outbox, published(vec![0; RECORD_BYTES_MAX + 1]), now);
    let why = Refusal::TooLarge {
        key_bytes: 1,
        payload_bytes: RECORD_BYTES_MAX + 1,
    };
    assert_eq!(refused, [Action::Refuse { why }]);
    let next = Frame::open(publish(&mut outbox, now).wire, &context()).unwrap();
    assert_eq!(next.sequences(), 1..2);
}

#[test]
fn of_two_neighbours_the_window_follows_the_faster() {
    let now = Instant::now();
    let mut outbox = outbox(None);
    publish_frame(&mut outbox, now);
    subscribe(&mut outbox, 1, now);
    subscribe(&mut outbox, 2, now);
    for _ in 0..WINDOW_FRAMES {
        assert!(is_open(&outbox));
        publish_frame(&mut outbox, now);
    }
    assert!(!is_open(&outbox));
    let later = now + LINGER * 300;
    assert!(outbox.has_room(), "for what gathers meanwhile");
    assert_eq!(give(&mut outbox, published(vec![0; BATCH_BYTES]), later), []);
    assert!(!outbox.has_room(), "a frame's worth, no more");
    let acked = Input::Acked {
        peer: peer(1),
        incarnation: 50,
        next: 11,
    };
    assert_eq!(give(&mut outbox, acked, later).len(), 1);
    let now = later;
    for _ in 0..9 {
        publish_frame(&mut outbox, now);
    }
    assert!(!is_open(&outbox));
    assert_eq!(outbox.unacked(), 266, "the slowest has acknowledged nothing");
    assert_eq!([0, 1, 10, 11].map(|sequence| spread(&outbox, sequence)), [0, 1, 1, 0]);

    // The fastest leaves: the other is now the fastest, and far behind.
    give(&mut outbox, Input::Gone { peer: peer(1) }, now);
    assert!(!is_open(&outbox));
    ack(&mut outbox, 2, 267, now);
    assert!(is_open(&outbox));
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
    publish_frame(&mut outbox, now);
    assert_eq!((outbox.acked_by(), outbox.unacked()), (0, 1));
}

#[test]
fn large_frames_shut_the_window_by_their_bytes() {
    let now = Instant::now();
    let mut outbox = outbox(None);
    subscribe(&mut outbox, 1, now);
    let mut frames = 0;
    while is_open(&outbox) {
        assert_eq!(give(&mut outbox, published(vec![0; BATCH_BYTES]), now).len(), 1);
        frames += 1;
    }
    assert_eq!(frames, 64);
    ack(&mut outbox, 1, 1, now);
    assert!(is_open(&outbox));
    assert_eq!(give(&mut outbox, published(vec![0; BATCH_BYTES]), now).len(), 1);
    assert!(!is_open(&outbox));
}

#[test]
fn acknowledgements_are_not_believed_blindly() {
    let now = Instant::now();
    let mut outbox = outbox(None);
    subscribe(&mut outbox, 1, now);
    for _ in 0..WINDOW_FRAMES {
        publish_frame(&mut outbox, now);
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
        (is_open(&outbox), outbox.unacked(), outbox.acks_ignored()),
        (false, 256, 4)
    );
    ack(&mut outbox, 1, 200, now);
    ack(&mut outbox, 1, 199, now);
    ack(&mut outbox, 1, 0, now);
    assert_eq!(
        (is_open(&outbox), outbox.unacked(), outbox.acks_ignored()),
        (true, 56, 6)
    );
}

#[test]
fn a_lost_acknowledgement_does_not_stop_a_publisher() {
    let start = Instant::now();
    let mut outbox = outbox(None);
    subscribe(&mut outbox, 1, start);
    subscribe(&mut outbox, 2, start);
    let mut now = start;
    for _ in 0..WINDOW_FRAMES {
        now += LINGER;
        publish(&mut outbox, now);
    }
    for probe in 0..3 {
        assert!(outbox.next_deadline().is_some_and(|due| due <= now + STALL_TIMEOUT));
        assert_eq!(stalls(&mut outbox, now + STALL_TIMEOUT / 2), [], "early");
        assert!(!is_open(&outbox));
        now += STALL_TIMEOUT;
        assert_eq!(stalls(&mut outbox, now), [Action::ReportStall { unacked: 256 + probe }]);
        assert!(is_open(&outbox));
        publish(&mut outbox, now);
        assert!(!is_open(&outbox), "one frame, no more");
    }
    // Of two only the faster opens the window: one far behind must not delay the next probe for ever.
    ack(&mut outbox, 1, 2, now);
    now += Duration::from_secs(20);
    ack(&mut outbox, 2, 1, now);
    assert_eq!(stalls(&mut outbox, now + Duration::from_secs(9)), []);
    assert_eq!(stalls(&mut outbox, now + Duration::from_secs(10)).len(), 1);
    ack(&mut outbox, 1, 259, now);
    assert!(is_open(&outbox));
}

#[test]
fn of_eight_neighbours_six_open_the_window_and_the_two_slowest_do_not_count() {
    let now = Instant::now();
    let mut outbox = outbox(None);
    for number in 1..=8 {
        subscribe(&mut outbox, number, now);
    }
    for _ in 0..WINDOW_FRAMES {
        publish_frame(&mut outbox, now);
    }
    for number in 1..=5 {
        ack(&mut outbox, number, 200, now);
    }
    assert!(!is_open(&outbox), "three of eight are too many to leave behind");
    ack(&mut outbox, 6, 100, now);
    for _ in 0..100 {
        assert!(is_open(&outbox));
        publish_frame(&mut outbox, now);
    }
    assert!(!is_open(&outbox), "256 ahead of the sixth");
}

#[test]
fn the_last_acknowledgement_of_one_that_left_still_counts() {
    let now = Instant::now();
    let mut outbox = outbox(None);
    subscribe(&mut outbox, 1, now);
    subscribe(&mut outbox, 2, now);
    publish_frame(&mut outbox, now);
    publish_frame(&mut outbox, now);
    // Leaving and acknowledging travel on different streams.
    give(&mut outbox, Input::Gone { peer: peer(1) }, now);
    ack(&mut outbox, 1, 1, now);
    assert_eq!(outbox.acked_by(), 0, "not all of it");
    ack(&mut outbox, 1, 2, now);
    assert_eq!((outbox.acked_by(), outbox.acks_ignored()), (1, 0));
    ack(&mut outbox, 2, 2, now);
    assert_eq!(outbox.acked_by(), 2);
    publish_frame(&mut outbox, now);
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
    let mut inboxes: BTreeMap<u32, Inbox> = (1..=3).map(|number| (number, Inbox::new(now))).collect();
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
        assert!(is_open(&outbox), "acknowledged in time, every 256 frames");
        let wire = publish_frame(&mut outbox, now).wire;
        round(&mut outbox, now, Some(wire));
    }
    assert_eq!((outbox.unacked(), outbox.acked_by()), (700 - 512, 0));
    round(&mut outbox, now + inbox::ACK_DELAY, None);
    assert_eq!((outbox.unacked(), outbox.acked_by()), (0, 3));
    assert_eq!(delivered, 2_100);
}
