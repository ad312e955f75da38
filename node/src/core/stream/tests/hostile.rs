//! Members who mean harm: minters, hoarders, forgers. Memory stays flat, honest publishers are heard.

use bytes::Bytes;
use maille_proto::{SIGNATURE_BYTES, frame::Record};

use crate::core::stream::{
    Frame, FrameError, Unsigned,
    inbox::{Action, Fault, HELD_FRAMES_TOTAL_MAX},
    message_id,
    seen::{NEWCOMER_BURST, PUBLISHERS_MAX},
    testing::{Clocked, context, peer, signing_key},
};

const HONEST: u32 = 1_000_000;
const MINTER: u32 = 1_000_001;
const NEIGHBOUR: u32 = 1_000_002;

fn frame(publisher: u32, incarnation: u64, sequence: u64) -> Frame {
    Frame::unsigned(peer(publisher), incarnation, sequence..sequence + 1)
}

/// T20, in small: 100,000 publishers, runs and places from one neighbour in 100 s.
#[test]
fn a_minter_takes_no_memory_and_stops_nobody() {
    let mut clocked = Clocked::new();
    let (mut heard, mut minted, mut penalties) = (0, 0, 0);
    for step in 0..100_000_u32 {
        let ms = u64::from(step);
        let place = [0, 5, 1 << 63, u64::MAX - 1][step as usize % 4];
        let forged = if step % 2 == 0 {
            frame(step + 1, 1, place)
        } else {
            frame(0, ms, place)
        };
        clocked.receive(ms, forged, peer(MINTER));
        if step % 100 == 0 {
            // Half of the honest frames come through the minter.
            let relay = if step % 200 == 0 { NEIGHBOUR } else { MINTER };
            clocked.receive(ms, frame(HONEST, 1, ms / 100), peer(relay));
        }
        assert!(clocked.inbox.publishers() <= PUBLISHERS_MAX);
        assert!(
            clocked.inbox.held_frames() <= NEWCOMER_BURST as usize + 17,
            "{}",
            clocked.inbox.held_frames()
        );
        for (_, action) in clocked.done.drain(..) {
            match action {
                Action::Deliver(delivery) if delivery.author == peer(HONEST) => {
                    assert_eq!(delivery.sequence, heard, "in order");
                    heard += 1;
                }
                Action::Gap { publisher, .. } => assert_ne!(publisher, peer(HONEST)),
                Action::Forward { deliverer, .. } if deliverer == peer(MINTER) => minted += 1,
                Action::Penalise {
                    peer: blamed,
                    why: Fault::TooManyNewcomers,
                } => {
                    assert_eq!(blamed, peer(MINTER));
                    penalties += 1;
                }
                _ => {}
            }
        }
    }
    assert_eq!(heard, 1_000);
    let allowed = NEWCOMER_BURST + 16;
    assert_eq!(
        minted - 500,
        allowed,
        "a burst, then 10 a minute; 500 of the honest ones came through the minter"
    );
    assert_eq!(penalties, 100_000 - allowed);
}

/// 3,000 publishers met in their middle, through 30 neighbours, so that no ration applies.
#[test]
fn forgotten_publishers_leave_nothing_behind() {
    let mut clocked = Clocked::new();
    for publisher in 0..3_000 {
        clocked.receive(0, frame(publisher, 1, 1_000), peer(NEIGHBOUR + publisher % 30));
        assert!(clocked.inbox.held_frames() <= PUBLISHERS_MAX);
    }
    assert_eq!(
        clocked.events().len(),
        3_000 - PUBLISHERS_MAX,
        "what the forgotten ones had is delivered"
    );
    clocked.run_out();
    assert_eq!(clocked.events().len(), PUBLISHERS_MAX);
    assert_eq!((clocked.inbox.held_frames(), clocked.inbox.held_bytes()), (0, 0));
}

/// Twenty publishers that leave out every second record and fill every buffer.
#[test]
fn hoarders_fill_no_more_than_the_topic_has() {
    let mut clocked = Clocked::new();
    for number in 0..5_000 {
        for publisher in 0..20 {
            clocked.receive(0, frame(publisher, 1, number * 2), peer(MINTER));
        }
        assert!(clocked.inbox.held_frames() <= HELD_FRAMES_TOTAL_MAX);
        clocked.receive(0, frame(HONEST, 1, number), peer(NEIGHBOUR));
    }
    assert!(
        clocked.inbox.held_frames() > HELD_FRAMES_TOTAL_MAX - 20,
        "{}",
        clocked.inbox.held_frames()
    );
    let honest = clocked.events().into_iter().filter(|action| match action {
        Action::Deliver(delivery) => delivery.author == peer(HONEST),
        _ => false,
    });
    assert_eq!(honest.count(), 5_000);
    clocked.run_out();
    assert_eq!((clocked.inbox.held_frames(), clocked.inbox.held_bytes()), (0, 0));
}

/// T16, in small: altered frames that come before the real one do not stand in its way.
#[test]
fn forged_copies_do_not_shadow_the_real_frame() {
    let mut clocked = Clocked::new();
    let mut previous = None;
    for sequence in 0..20 {
        let real = Unsigned {
            incarnation: 5,
            first_sequence: sequence,
            previous,
            records: vec![Record {
                key: None,
                payload: b"12.50".to_vec(),
            }],
            ..Unsigned::default()
        };
        let real = real.seal(&signing_key(1), &context()).unwrap();
        previous = Some(real.body_hash);
        for number in 0..50_u8 {
            // The same header: only the payload, or only the signature.
            let mut forged = real.wire.to_vec();
            let at = if number % 2 == 0 {
                forged.len() - 1
            } else {
                usize::from(number) % SIGNATURE_BYTES
            };
            forged[at] ^= number + 1;
            assert_ne!(message_id(&forged), real.message_id);
            assert_eq!(Frame::open(Bytes::from(forged), &context()), Err(FrameError::Signature));
        }
        let frame = Frame::open(real.wire, &context()).unwrap();
        clocked.receive(0, frame, peer(NEIGHBOUR));
    }
    let delivered = clocked.events();
    assert_eq!(delivered.len(), 20);
    assert!(
        delivered.iter().all(|action| matches!(action, Action::Deliver(_))),
        "{delivered:?}"
    );
}
