//! Every bound of the .proto files: the largest message allowed decodes, the next larger one does not.

mod common;

use maille_proto::{
    ACCEPT_FRAME_BYTES_MAX, DecodeError, FRAME_BODY_BYTES_MAX, WELCOME_BYTES_MAX,
    admission::{Accept, Hello, MemberRecord, Message as Handshake, Welcome},
    control::{Ack, Acks, Message as Control, Profile, Swap},
    decode_admission, decode_control, decode_frame_body, decode_peer_cache, decode_ticket, decode_welcome,
    encode_admission, encode_control,
    frame::{FrameBody, Record},
    peers::{MeshPeers, PeerCache},
    ticket::{BootstrapPeer, Ticket},
};
use prost::Message;

use common::{frame, member};

fn length_of(field: &'static str, bytes: usize, bytes_min: usize, bytes_max: usize) -> DecodeError {
    DecodeError::Length {
        field,
        bytes,
        bytes_min,
        bytes_max,
    }
}

fn count_of(field: &'static str, count: usize, count_min: usize, count_max: usize) -> DecodeError {
    DecodeError::Count {
        field,
        count,
        count_min,
        count_max,
    }
}

#[test]
fn samples_decode_to_themselves() {
    for bytes in common::handshake() {
        assert_eq!(encode_admission(decode_admission(&bytes).unwrap()), bytes);
    }
    for bytes in common::controls() {
        assert_eq!(encode_control(decode_control(&bytes).unwrap().unwrap()), bytes);
    }
    for bytes in common::welcomes() {
        assert_eq!(decode_welcome(&bytes).unwrap().encode_to_vec(), bytes);
    }
    for bytes in common::frames() {
        assert_eq!(decode_frame_body(&bytes).unwrap().encode_to_vec(), bytes);
    }
    for bytes in common::tickets() {
        assert_eq!(decode_ticket(&bytes).unwrap().encode_to_vec(), bytes);
    }
    for bytes in common::peer_caches() {
        assert_eq!(decode_peer_cache(&bytes).unwrap().encode_to_vec(), bytes);
    }
}

#[test]
fn a_handshake_message_has_exact_lengths() {
    let hello = Hello {
        version: 1,
        tag: vec![0; 16],
        session: vec![0; 16],
        nonce: vec![0; 32],
    };
    let decode = |hello: Hello| decode_admission(&encode_admission(Handshake::Hello(hello)));
    assert_eq!(decode(hello.clone()), Ok(Handshake::Hello(hello.clone())));
    assert_eq!(
        decode(Hello {
            tag: vec![0; 15],
            ..hello.clone()
        }),
        Err(length_of("hello.tag", 15, 16, 16))
    );
    assert_eq!(
        decode(Hello {
            session: vec![0; 17],
            ..hello.clone()
        }),
        Err(length_of("hello.session", 17, 16, 16))
    );
    assert_eq!(
        decode(Hello { nonce: vec![], ..hello }),
        Err(count_of("hello.nonce", 0, 1, 1))
    );
}

#[test]
fn a_handshake_frame_carries_one_message_of_bounded_size() {
    let none = DecodeError::NotOneMessage {
        what: "a handshake message",
        count: 0,
    };
    assert_eq!(decode_admission(&[]), Err(none));
    let two = DecodeError::NotOneMessage {
        what: "a handshake message",
        count: 2,
    };
    assert_eq!(decode_admission(&[0x2a, 0, 0x2a, 0]), Err(two.clone()));
    // Known and unknown together are two as well.
    assert_eq!(decode_admission(&[0x2a, 0, 0x32, 0]), Err(two));
    assert_eq!(
        decode_admission(&[0x32, 0]),
        Err(DecodeError::UnknownMessage { number: 6 })
    );

    let accept = |welcome_bytes| {
        let accept = Accept {
            mac: vec![1; 32],
            welcome: vec![2; welcome_bytes],
        };
        encode_admission(Handshake::Accept(accept))
    };
    let largest = accept(WELCOME_BYTES_MAX + 16);
    assert_eq!(
        largest.len(),
        ACCEPT_FRAME_BYTES_MAX,
        "WELCOME_BYTES_MAX is what an Accept has room for"
    );
    assert!(decode_admission(&largest).is_ok());
    let too_long = |bytes, bytes_max| DecodeError::TooLong {
        what: "a handshake message",
        bytes,
        bytes_max,
    };
    assert_eq!(
        decode_admission(&accept(WELCOME_BYTES_MAX + 17)),
        Err(too_long(8_193, 8_192))
    );

    // An unknown field inside `Ready` fills it to the bound.
    let ready = |filling: u8| {
        let mut bytes = vec![
            0x2a,
            0x80 | ((filling as usize + 259) & 0x7f) as u8,
            ((filling as usize + 259) >> 7) as u8,
        ];
        bytes.extend([
            0x0a,
            0x80 | ((filling as usize + 256) & 0x7f) as u8,
            ((filling as usize + 256) >> 7) as u8,
        ]);
        bytes.resize(bytes.len() + filling as usize + 256, 0);
        bytes
    };
    assert_eq!(ready(250).len(), 512);
    assert!(decode_admission(&ready(250)).is_ok());
    assert_eq!(decode_admission(&ready(251)), Err(too_long(513, 512)));
}

#[test]
fn samples_of_members_are_bounded() {
    let welcome = |sample| {
        decode_welcome(
            &Welcome {
                session: vec![0; 16],
                sample,
            }
            .encode_to_vec(),
        )
    };
    assert!(welcome(vec![member(2, 100); 16]).is_ok());
    assert_eq!(
        welcome(vec![member(2, 100); 17]),
        Err(count_of("welcome.sample", 17, 0, 16))
    );
    assert!(welcome(vec![member(64, 1_024)]).is_ok());
    assert_eq!(
        welcome(vec![member(65, 10)]),
        Err(count_of("member_record.topics", 65, 0, 64))
    );
    assert_eq!(
        welcome(vec![member(0, 1_025)]),
        Err(length_of("member_record.envelope", 1_025, 1, 1_024))
    );
    assert_eq!(
        welcome(vec![MemberRecord::default()]),
        Err(count_of("member_record.envelope", 0, 1, 1))
    );
    let large = Welcome {
        session: vec![0; 16],
        sample: vec![member(64, 1_000); 16],
    }
    .encode_to_vec();
    assert!(matches!(
        decode_welcome(&large),
        Err(DecodeError::TooLong { bytes_max: 8_136, .. })
    ));
}

#[test]
fn a_control_message_is_bounded_and_open_to_later_versions() {
    let decode = |message| decode_control(&encode_control(message));
    let acks = |count| Acks {
        acks: vec![
            Ack {
                topic: "t".repeat(240),
                incarnation: 1,
                next: 2
            };
            count
        ],
    };
    assert!(matches!(decode(Control::Acks(acks(64))), Ok(Some(Control::Acks(_)))));
    let short = Ack {
        topic: "t".into(),
        incarnation: 0,
        next: 0,
    };
    assert_eq!(
        decode(Control::Acks(Acks { acks: vec![short; 65] })),
        Err(count_of("acks.acks", 65, 0, 64))
    );
    assert!(matches!(
        decode(Control::Acks(acks(70))),
        Err(DecodeError::TooLong { bytes_max: 16_384, .. })
    ));
    let nameless = Acks {
        acks: vec![Ack::default()],
    };
    assert_eq!(decode(Control::Acks(nameless)), Err(count_of("ack.topic", 0, 1, 1)));
    let swap = Swap {
        records: vec![member(0, 1); 17],
        answer: false,
    };
    assert_eq!(decode(Control::Swap(swap)), Err(count_of("swap.records", 17, 0, 16)));
    assert_eq!(
        decode(Control::Profile(Profile { member: None })),
        Err(count_of("profile.member", 0, 1, 1))
    );

    assert_eq!(
        decode_control(&[0x7a, 2, 0, 0]),
        Ok(None),
        "a message of a later version"
    );
    assert_eq!(decode_control(&[]), Ok(None));
    let two = encode_control(Control::Acks(acks(1))).repeat(2);
    assert_eq!(
        decode_control(&two),
        Err(DecodeError::NotOneMessage {
            what: "a control message",
            count: 2
        })
    );
}

#[test]
fn a_frame_body_is_bounded() {
    let decode = |body: FrameBody| decode_frame_body(&body.encode_to_vec()).map(drop);
    assert_eq!(decode(frame(1_024, 1)), Ok(()));
    assert_eq!(
        decode(frame(1_025, 1)),
        Err(count_of("frame_body.records", 1_025, 0, 1_024))
    );
    assert_eq!(decode(frame(0, 1)), Ok(()), "a head");
    assert_eq!(decode(frame(1, 262_144)), Ok(()));
    assert_eq!(
        decode(frame(1, 262_145)),
        Err(length_of("record.payload", 262_145, 1, 262_144))
    );
    let keyed = |bytes| FrameBody {
        records: vec![Record {
            key: Some(vec![0; bytes]),
            payload: vec![],
        }],
        ..frame(0, 0)
    };
    assert_eq!(decode(keyed(256)), Ok(()));
    assert_eq!(decode(keyed(257)), Err(length_of("record.key", 257, 0, 256)));
    assert_eq!(
        decode(FrameBody {
            publisher: vec![0; 31],
            ..frame(1, 1)
        }),
        Err(length_of("frame_body.publisher", 31, 32, 32))
    );
    assert_eq!(
        decode(FrameBody {
            previous: vec![0; 33],
            ..frame(1, 1)
        }),
        Err(length_of("frame_body.previous", 33, 32, 32))
    );
    assert_eq!(
        decode(FrameBody {
            content_type: "a".repeat(64),
            ..frame(1, 1)
        }),
        Ok(())
    );
    assert_eq!(
        decode(FrameBody {
            content_type: "a".repeat(65),
            ..frame(1, 1)
        }),
        Err(length_of("frame_body.content_type", 65, 1, 64))
    );
    for content_type in ["text plain", "text\n", "é"] {
        let body = FrameBody {
            content_type: content_type.into(),
            ..frame(1, 1)
        };
        assert_eq!(decode(body), Err(DecodeError::ContentType), "{content_type:?}");
    }

    let mut largest = frame(2, 261_000);
    let room = FRAME_BODY_BYTES_MAX - largest.encoded_len();
    largest.records.push(Record {
        key: None,
        payload: vec![0; room - 4],
    });
    while largest.encoded_len() > FRAME_BODY_BYTES_MAX {
        largest.records[2].payload.pop();
    }
    assert_eq!(largest.encoded_len(), FRAME_BODY_BYTES_MAX);
    assert_eq!(decode(largest.clone()), Ok(()));
    largest.records[2].payload.push(0);
    assert!(matches!(
        decode(largest),
        Err(DecodeError::TooLong {
            bytes: 524_225,
            bytes_max: 524_224,
            ..
        })
    ));
}

#[test]
fn sequence_numbers_do_not_overflow() {
    let at = |first_sequence| {
        decode_frame_body(
            &FrameBody {
                first_sequence,
                ..frame(3, 1)
            }
            .encode_to_vec(),
        )
        .map(drop)
    };
    assert_eq!(at(u64::MAX - 3), Ok(()));
    let first_sequence = u64::MAX - 2;
    assert_eq!(
        at(first_sequence),
        Err(DecodeError::SequenceOverflow {
            first_sequence,
            records: 3
        })
    );
}

#[test]
fn what_is_promised_canonical_has_one_encoding() {
    let not_canonical = Err(DecodeError::NotCanonical { what: "a frame's body" });
    let bytes = frame(1, 5).encode_to_vec();
    let decode = |bytes: &[u8]| decode_frame_body(bytes).map(drop);
    assert_eq!(decode(&bytes), Ok(()));
    // A field unknown to this version; a default value; a varint with a needless group; fields out of order.
    assert_eq!(decode(&[&bytes[..], &[0x78, 1]].concat()), not_canonical);
    let mut default = FrameBody {
        first_sequence: 0,
        ..frame(1, 5)
    }
    .encode_to_vec();
    default.splice(34 + 7..34 + 7, [0x18, 0]);
    assert_eq!(decode(&default), not_canonical);
    let mut long = bytes.clone();
    assert_eq!(long[1], 32);
    long.splice(1..2, [0xa0, 0]);
    assert_eq!(decode(&long), not_canonical);
    assert_eq!(decode(&[&bytes[34..], &bytes[..34]].concat()), not_canonical);
    // The same record once more is another body, not another encoding.
    assert_eq!(
        decode(
            &FrameBody {
                predecessor: None,
                ..frame(2, 5)
            }
            .encode_to_vec()
        ),
        Ok(())
    );
}

#[test]
fn tickets_and_peer_caches_are_bounded() {
    let ticket = |ticket: Ticket| decode_ticket(&ticket.encode_to_vec()).map(drop);
    let peer = |multiaddrs| BootstrapPeer {
        peer: vec![1; 38],
        multiaddrs: vec![vec![4; 8]; multiaddrs],
    };
    let of = |bootstrap| Ticket {
        mesh: "m".into(),
        topic: String::new(),
        bootstrap,
    };
    assert_eq!(ticket(of(vec![peer(4); 3])), Ok(()));
    assert_eq!(ticket(of(vec![peer(1); 4])), Err(count_of("ticket.bootstrap", 4, 0, 3)));
    assert_eq!(
        ticket(of(vec![peer(5)])),
        Err(count_of("bootstrap_peer.multiaddrs", 5, 1, 4))
    );
    assert_eq!(
        ticket(of(vec![peer(0)])),
        Err(count_of("bootstrap_peer.multiaddrs", 0, 1, 4))
    );
    assert_eq!(ticket(Ticket::default()), Err(count_of("ticket.mesh", 0, 1, 1)));
    let long = Ticket {
        mesh: "m".repeat(253),
        topic: "t".repeat(255),
        bootstrap: vec![],
    };
    assert_eq!(
        ticket(long.clone()),
        Err(DecodeError::TooLong {
            what: "a ticket",
            bytes: 514,
            bytes_max: 511
        })
    );
    assert_eq!(
        ticket(Ticket {
            topic: "t".repeat(252),
            ..long
        }),
        Ok(())
    );

    let cache = |meshes| decode_peer_cache(&PeerCache { meshes }.encode_to_vec()).map(drop);
    let mesh = |members| MeshPeers {
        mesh: "m".into(),
        members: vec![member(1, 20); members],
    };
    assert_eq!(cache(vec![mesh(64); 256]), Ok(()));
    assert_eq!(
        cache(vec![mesh(1); 257]),
        Err(count_of("peer_cache.meshes", 257, 0, 256))
    );
    assert_eq!(cache(vec![mesh(65)]), Err(count_of("mesh_peers.members", 65, 0, 64)));
    let full = MeshPeers {
        mesh: "m".into(),
        members: vec![member(64, 1_024); 64],
    };
    assert!(matches!(
        cache(vec![full; 11]),
        Err(DecodeError::TooLong {
            bytes_max: 1_048_576,
            ..
        })
    ));
}
