//! Frames: one form, one signer, one topic; everything else is rejected.

use bytes::Bytes;
use ed25519_dalek::{Signature, Verifier as _, VerifyingKey};
use libp2p::identity::Keypair;
use maille_proto::{
    DecodeError, FRAME_BYTES_MAX, FRAME_RECORDS_MAX, RECORD_BYTES_MAX, SIGNATURE_BYTES,
    frame::{FrameBody, Predecessor, Record},
};
use prost::Message as _;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use crate::core::stream::{
    Blame, BodyError, Frame, FrameError, SealedFrame, SigningKey, Unsigned,
    frame::{check_body, peer_of},
    message_id,
    seal::sign,
    testing::{context, context_of, signing_key},
};

fn record(payload: &[u8]) -> Record {
    Record {
        key: Some(b"ACME".to_vec()),
        payload: payload.to_vec(),
    }
}

fn unsigned() -> Unsigned {
    Unsigned {
        incarnation: 1_700_000_000_000,
        first_sequence: 7,
        previous: Some([9; 32]),
        sent_us: 1_700_000_000_123_456,
        content_type: "text/csv".into(),
        lifetime_ms: 500,
        records: vec![record(b"12.5"), Record::default()],
        ..Unsigned::default()
    }
}

fn sealed() -> SealedFrame {
    unsigned().seal(&signing_key(1), &context()).unwrap()
}

fn open(wire: impl Into<Bytes>) -> Result<Frame, FrameError> {
    Frame::open(wire.into(), &context())
}

/// A frame with any bytes as its body, truly signed.
fn signed(body: &[u8]) -> Bytes {
    sign([&[0; SIGNATURE_BYTES], body].concat(), &signing_key(1), &context()).wire
}

#[test]
fn round_trip() {
    let keypair = Keypair::ed25519_from_bytes([5; 32]).unwrap();
    let key = SigningKey::from_keypair(&keypair).unwrap();
    assert_eq!(key.publisher(), keypair.public().to_peer_id());
    assert!(!format!("{key:?}").contains("5, 5"), "{key:?}");

    let sealed = unsigned().seal(&key, &context()).unwrap();
    assert_eq!(sealed.message_id, message_id(&sealed.wire));
    assert_eq!(
        sealed.body_hash,
        *blake3::hash(&sealed.wire[SIGNATURE_BYTES..]).as_bytes()
    );
    let frame = open(sealed.wire.clone()).unwrap();
    assert_eq!(frame.wire, sealed.wire);
    assert_eq!(frame.message_id, sealed.message_id);
    assert_eq!(frame.publisher, keypair.public().to_peer_id());
    assert_eq!(frame.incarnation, 1_700_000_000_000);
    assert_eq!(frame.sent_us, 1_700_000_000_123_456);
    assert_eq!(frame.content_type, "text/csv");
    assert_eq!(frame.sequences(), 7..9);
    let records: Vec<_> = frame.records().collect();
    assert_eq!(
        records,
        [
            (7, Some(&Bytes::from("ACME")), &Bytes::from("12.5")),
            (8, None, &Bytes::new())
        ]
    );
}

#[test]
fn every_flipped_bit_is_noticed() {
    let wire = sealed().wire;
    for bit in 0..wire.len() * 8 {
        let mut forged = wire.to_vec();
        forged[bit / 8] ^= 1 << (bit % 8);
        let error = open(forged).expect_err(&format!("bit {bit} of {}", wire.len() * 8));
        assert_eq!(error.blame(), Blame::Forwarder);
    }
    assert!(open(wire).is_ok());
}

#[test]
fn another_mesh_topic_or_epoch_is_another_frame() {
    let wire = sealed().wire;
    for (mesh, epoch, topic) in [
        ("markets.example", 1, "equities/us"),
        ("market.example", 2, "equities/us"),
        ("market.example", 1, "equities/eu"),
        ("market.exampl", 1, "equities/us"),
    ] {
        let opened = Frame::open(wire.clone(), &context_of(mesh, epoch, topic));
        assert_eq!(opened, Err(FrameError::Signature), "{mesh} {epoch} {topic}");
    }
}

#[test]
fn only_one_encoding() {
    let body = &sealed().wire[SIGNATURE_BYTES..];
    assert!(open(signed(body)).is_ok(), "the helper signs truly");
    let decoded = FrameBody::decode(body).unwrap();
    let twice = [body, &[0x38, 0xf4, 0x03]].concat();
    assert_eq!(
        FrameBody::decode(&*twice).unwrap(),
        decoded,
        "lifetime_ms again, at the end"
    );
    for other in [twice, [body, &[0x50, 1]].concat(), [&[0x10, 0], body].concat()] {
        let error = open(signed(&other)).unwrap_err();
        assert!(
            matches!(
                error,
                FrameError::Body(BodyError::Decode(DecodeError::NotCanonical { .. }))
            ),
            "{error}"
        );
    }
}

#[test]
fn sizes_are_checked_first() {
    let long = vec![0; FRAME_BYTES_MAX + 1];
    assert_eq!(
        open(long),
        Err(FrameError::TooLong {
            bytes: FRAME_BYTES_MAX + 1
        })
    );
    assert_eq!(open(vec![0; 63]), Err(FrameError::TooShort { bytes: 63 }));
    assert!(
        matches!(open(vec![0; 64]), Err(FrameError::Body(_))),
        "a signature of nothing"
    );

    let seal = |records| Unsigned { records, ..unsigned() }.seal(&signing_key(1), &context());
    let largest = Record {
        key: Some(vec![1; 256]),
        payload: vec![2; RECORD_BYTES_MAX],
    };
    assert!(open(seal(vec![largest.clone()]).unwrap().wire).is_ok());
    assert!(seal(vec![Record::default(); FRAME_RECORDS_MAX]).is_ok());
    let too_large = Record {
        payload: vec![2; RECORD_BYTES_MAX + 1],
        ..largest.clone()
    };
    let long_key = Record {
        key: Some(vec![1; 257]),
        ..Record::default()
    };
    for records in [
        vec![too_large],
        vec![long_key],
        vec![largest.clone(), largest],
        vec![Record::default(); FRAME_RECORDS_MAX + 1],
    ] {
        let count = records.len();
        assert!(matches!(seal(records), Err(BodyError::Decode(_))), "{count} records");
    }
}

#[test]
fn content_types_are_visible_ascii() {
    for (content_type, allowed) in [
        (String::new(), true),
        ("application/json;a=1".into(), true),
        ("x".repeat(64), true),
        ("x".repeat(65), false),
        ("text csv".into(), false),
        ("naïve".into(), false),
        ("a\u{1b}[2J".into(), false),
    ] {
        let sealed = Unsigned {
            content_type: content_type.clone(),
            ..unsigned()
        }
        .seal(&signing_key(1), &context());
        assert_eq!(sealed.is_ok(), allowed, "{content_type:?}");
    }
}

#[test]
fn links_fit_their_place() {
    let earlier = Some(Predecessor {
        incarnation: 4,
        next_sequence: 9,
    });
    let same = Some(Predecessor {
        incarnation: 5,
        next_sequence: 9,
    });
    let hash = Some([7; 32]);
    for (first_sequence, previous, predecessor, allowed) in [
        (0, None, None, true),
        (0, hash, earlier, true),
        (0, hash, None, false),
        (0, None, earlier, false),
        (0, hash, same, false),
        (1, hash, None, true),
        (1, None, None, false),
        (1, hash, earlier, false),
    ] {
        let frame = Unsigned {
            incarnation: 5,
            first_sequence,
            previous,
            predecessor,
            ..unsigned()
        };
        let sealed = frame.clone().seal(&signing_key(1), &context());
        assert_eq!(sealed.is_ok(), allowed, "{frame:?}");
    }
}

/// Group order of Ed25519, little endian.
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

#[test]
fn signatures_have_one_form() {
    let mut wire = sealed().wire.to_vec();
    let mut carry = 0;
    for (byte, add) in wire[32..64].iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        (*byte, carry) = (sum as u8, sum >> 8);
    }
    assert_eq!(carry, 0, "the same scalar, not reduced");
    assert_eq!(open(wire), Err(FrameError::Signature));
}

#[test]
fn weak_keys_sign_nothing() {
    let neutral = [&[1][..], &[0; 31]].concat();
    let order_2 = [&[0xec][..], &[0xff; 30], &[0x7f]].concat();
    let order_4 = vec![0; 32];
    for key in [neutral.clone(), order_2, order_4] {
        let mut body = FrameBody::decode(&sealed().wire[SIGNATURE_BYTES..]).unwrap();
        let mut signature = [0; SIGNATURE_BYTES];
        signature[..32].copy_from_slice(&neutral);
        // For a key of order 2 or 4, every second or fourth text has this signature: look for one.
        let loosely_valid = (0..64).find_map(|sent_us| {
            (body.sent_us, body.publisher) = (sent_us, key.clone());
            let body = body.encode_to_vec();
            let verifying = VerifyingKey::from_bytes(key[..].try_into().unwrap()).unwrap();
            let loose = verifying.verify(&context().signed(&body), &Signature::from_bytes(&signature));
            loose.is_ok().then_some(body)
        });
        let body = loosely_valid.expect("a check that is not strict accepts one of 64");
        assert_eq!(
            open([&signature[..], &body].concat()),
            Err(FrameError::Signature),
            "{key:02x?}"
        );
    }
}

#[test]
fn a_publisher_is_named_as_libp2p_names_it() {
    let key = libp2p::identity::Keypair::generate_ed25519();
    let public = key.public().try_into_ed25519().unwrap();
    assert_eq!(peer_of(&public.to_bytes()), Some(key.public().to_peer_id()));
}

#[test]
fn keys_have_one_form() {
    let coordinate = |lowest: u8, highest: u8| {
        let mut key = [0xff; 32];
        (key[0], key[31]) = (lowest, highest);
        key
    };
    // 2^255 - 19 + 3 is 3, with either sign; 3 is a point of the curve.
    let three = [&[3][..], &[0; 31]].concat();
    assert!(
        VerifyingKey::from_bytes(&coordinate(0xf0, 0x7f)).is_ok(),
        "the library takes both forms"
    );
    assert_eq!(peer_of(&coordinate(0xf0, 0x7f)), None);
    assert_eq!(peer_of(&coordinate(0xf0, 0xff)), None);
    assert!(peer_of(three[..].try_into().unwrap()).is_some());
    assert!(
        peer_of(&coordinate(0xec, 0x7f)).is_some(),
        "the largest coordinate there is"
    );
}

/// T3: `MAILLE_MUTATIONS=1000000` for the long form.
#[test]
fn mutated_frames_never_panic() {
    const SEED: u64 = 16;
    let mutations = std::env::var("MAILLE_MUTATIONS").map_or(20_000, |count| count.parse().unwrap());
    eprintln!("seed {SEED}, {mutations} mutations");
    let mut rng = StdRng::seed_from_u64(SEED);
    let first = Unsigned {
        first_sequence: 0,
        predecessor: Some(Predecessor {
            incarnation: 3,
            next_sequence: 2,
        }),
        ..unsigned()
    };
    let wires = [sealed().wire, first.seal(&signing_key(1), &context()).unwrap().wire];
    let (mut decoded, mut opened) = (0, 0);
    for _ in 0..mutations {
        let wire = &wires[rng.random_range(0..wires.len())];
        let mut forged = wire.to_vec();
        for _ in 0..rng.random_range(1..4) {
            let at = rng.random_range(0..forged.len());
            match rng.random_range(0..6) {
                0 => forged[at] ^= 1 << rng.random_range(0..8),
                1 => forged[at] = rng.random(),
                2 => forged.truncate(at.max(1)),
                3 => forged.insert(at, rng.random()),
                4 => drop(forged.remove(at)),
                _ => forged.extend_from_within(at..),
            }
            if forged.is_empty() {
                forged.push(0);
            }
        }
        decoded += usize::from(forged.len() > SIGNATURE_BYTES && check_body(&forged[SIGNATURE_BYTES..]).is_ok());
        if forged != *wire {
            assert!(open(forged.clone()).is_err(), "{forged:02x?}");
        }
        // Half of them truly signed, so that a bad body does not hide behind its signature.
        if rng.random() && forged.len() > SIGNATURE_BYTES {
            let body = &forged[SIGNATURE_BYTES..];
            if let Ok(frame) = open(signed(body)) {
                opened += 1;
                assert_eq!(FrameBody::decode(body).unwrap().encode_to_vec(), body);
                assert_eq!(
                    frame.records().count() as u64,
                    frame.sequences().end - frame.sequences().start
                );
            }
        }
    }
    eprintln!("{decoded} decoded, {opened} opened once truly signed");
    assert!(
        decoded * 100 > mutations,
        "only {decoded} of {mutations} got past the decoder"
    );
    assert!(opened > 0, "none opened");
}
