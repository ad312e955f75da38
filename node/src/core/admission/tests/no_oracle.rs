//! T7: from outside, every failure looks the same. What an acceptor sends, and how it ends, does not say why.

use maille_proto::admission::{Message, Proof};
use maille_proto::{decode_admission, encode_admission};

use super::*;

/// What somebody outside sees of an acceptor: the lengths of its frames, and whether it closed.
type Seen = (Vec<usize>, bool);

/// One handshake with an acceptor; `forge` may replace the proof, given the challenge and the honest one.
fn seen(setup: &Setup, rng: &mut StdRng, forge: impl FnOnce(&[u8], Vec<u8>) -> Vec<u8>) -> Seen {
    let now = Instant::now();
    let mut opener = Opener::new(setup.opener_key.clone(), setup.opener.me, setup.opener.peer, fork(rng));
    let hello = sent(&opener_step(&mut opener, Input::Started, now));
    let mut acceptor = accept(setup, Hello::parse(hello).unwrap(), fork(rng));
    let mut actions = vec![];
    acceptor.handle(Input::Started, now, &mut actions);
    let challenge = sent(&actions);
    let proof = sent(&opener_step(&mut opener, Input::Received(challenge.clone()), now));
    actions.extend(acceptor_step(
        &mut acceptor,
        Input::Received(forge(&challenge, proof)),
        now,
    ));
    let lengths = actions.iter().filter_map(|a| {
        if let Action::Send(bytes) = a {
            Some(bytes.len())
        } else {
            None
        }
    });
    (lengths.collect(), matches!(actions.last(), Some(Action::Fail(_))))
}

fn with_share(share: impl Fn(&[u8]) -> Vec<u8>) -> impl FnOnce(&[u8], Vec<u8>) -> Vec<u8> {
    move |challenge, proof| {
        let Ok(Message::Challenge(challenge)) = decode_admission(challenge) else {
            panic!("a challenge")
        };
        let Ok(Message::Proof(proof)) = decode_admission(&proof) else {
            panic!("a proof")
        };
        encode_admission(Message::Proof(Proof {
            share: share(&challenge.share),
            mac: proof.mac,
        }))
    }
}

#[test]
fn t7_five_causes_of_failure_look_the_same() {
    let mut rng = StdRng::seed_from_u64(7);
    let base = honest(&mut rng);
    let honest_proof = |_: &[u8], proof| proof;
    let with_key = |key| Setup {
        opener_key: key,
        ..base.clone()
    };
    let secret = || base.opener_key.secret().clone();
    let unknown_mesh = with_key(key("unknown.example", 7, secret(), [1; 16]));
    let wrong_password = with_key(key("market.example", 7, Secret::random(&mut rng), [1; 16]));
    let wrong_epoch = with_key(key("market.example", 8, secret(), [1; 16]));
    let mut own_peer = base.clone();
    own_peer.acceptor.peer = own_peer.acceptor.me;
    let mut earlier = vec![];
    seen(&base, &mut rng, |_, proof| {
        earlier.clone_from(&proof);
        proof
    });

    let causes: Vec<(&str, Seen)> = vec![
        ("unknown mesh", seen(&unknown_mesh, &mut rng, honest_proof)),
        ("wrong password", seen(&wrong_password, &mut rng, honest_proof)),
        ("wrong epoch", seen(&wrong_epoch, &mut rng, honest_proof)),
        ("malformed share", seen(&base, &mut rng, with_share(|_| vec![0xff; 32]))),
        ("neutral share", seen(&base, &mut rng, with_share(|_| vec![0; 32]))),
        ("reflected share", seen(&base, &mut rng, with_share(<[u8]>::to_vec))),
        ("replayed proof", seen(&base, &mut rng, |_, _| earlier)),
        (
            "reflected frame",
            seen(&base, &mut rng, |challenge, _| challenge.to_vec()),
        ),
        ("not a frame", seen(&base, &mut rng, |_, _| vec![1, 2, 3])),
        ("our own id", seen(&own_peer, &mut rng, honest_proof)),
    ];
    let success = seen(&base, &mut rng, honest_proof);
    eprintln!("success {success:?}, failures {causes:?}");
    let challenge = success.0[0];
    assert_eq!((success.0.len(), success.1), (2, false));
    for (cause, seen) in causes {
        assert_eq!(seen, (vec![challenge], true), "{cause}");
    }
}

#[test]
fn t7_frames_have_the_same_length_in_every_mesh() {
    let mut rng = StdRng::seed_from_u64(8);
    let longest = [&"a".repeat(63)[..]; 4].join(".")[..253].to_owned();
    for mesh in ["a", "market.example", &longest] {
        let secret = Secret::random(&mut rng);
        let mut setup = honest(&mut rng);
        setup.opener_key = key(mesh, 7, secret.clone(), [1; 16]);
        setup.acceptor_key = key(mesh, 7, secret, [2; 16]);
        let mut lengths = vec![];
        let outcome = run(&setup, &mut rng, |_, bytes| lengths.push(bytes.len()));
        assert!(outcome.acceptor.is_ok());
        assert_eq!(lengths[..3], [74, 70, 70], "{mesh}");
        assert!(
            lengths
                .iter()
                .all(|length| *length <= maille_proto::HANDSHAKE_FRAME_BYTES_MAX)
        );
    }
}

#[test]
fn t7_hellos_of_one_mesh_have_nothing_in_common() {
    let mut rng = StdRng::seed_from_u64(9);
    let setup = honest(&mut rng);
    let mut tags = std::collections::HashSet::new();
    for _ in 0..100 {
        run(&setup, &mut rng, |frame, bytes| {
            if frame == Frame::Hello {
                tags.insert(bytes[6..22].to_vec());
            }
        });
    }
    assert_eq!(tags.len(), 100);
}
