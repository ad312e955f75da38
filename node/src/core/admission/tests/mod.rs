//! Both machines against each other, and against those who cheat: a harness, and one file a question.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use libp2p::{PeerId, identity::Keypair};
use maille_proto::admission::{MemberRecord, Welcome};
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::*;
use crate::types::MeshName;

mod cheats;
mod door;
mod interleavings;
mod mutations;
mod no_oracle;
mod siege;

/// The frames of a handshake, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Frame {
    Hello,
    Challenge,
    Proof,
    Accept,
}

/// What each side believes. Equal beliefs lead to admission.
#[derive(Clone)]
struct Setup {
    opener_key: Arc<MeshKey>,
    opener: Beliefs,
    acceptor_key: Arc<MeshKey>,
    acceptor: Beliefs,
    /// The acceptor uses its key whether or not it recognises the hello.
    ignore_tag: bool,
}

/// Who one side thinks it is, and whom it thinks it speaks to.
#[derive(Clone, Copy)]
struct Beliefs {
    me: PeerId,
    peer: PeerId,
}

#[derive(Debug)]
struct Outcome {
    opener: Result<Admitted, Failure>,
    acceptor: Result<Admitted, Failure>,
    /// The length of each frame the acceptor sent.
    acceptor_sent: Vec<usize>,
}

/// Runs one handshake, letting `tamper` alter each frame on its way.
fn run(setup: &Setup, rng: &mut StdRng, mut tamper: impl FnMut(Frame, &mut Vec<u8>)) -> Outcome {
    let now = Instant::now();
    let mut opener = Opener::new(setup.opener_key.clone(), setup.opener.me, setup.opener.peer, fork(rng));
    let mut acceptor = None;
    let (mut opener_end, mut acceptor_end, mut acceptor_sent) = (None, None, vec![]);
    let mut to_acceptor = vec![];
    let mut to_opener = vec![Input::Started];
    while !(to_opener.is_empty() && to_acceptor.is_empty()) {
        for input in std::mem::take(&mut to_opener) {
            let sent = if acceptor.is_none() { Frame::Hello } else { Frame::Proof };
            for action in opener_step(&mut opener, input, now) {
                to_acceptor.push(deliver(action, sent, &mut opener_end, &mut tamper));
            }
        }
        for input in std::mem::take(&mut to_acceptor).into_iter().flatten() {
            let (input, sent) = match (&acceptor, input) {
                (None, Input::Received(bytes)) => match Hello::parse(bytes) {
                    Ok(hello) => {
                        acceptor = Some(accept(setup, hello, fork(rng)));
                        (Input::Started, Frame::Challenge)
                    }
                    Err(failure) => {
                        acceptor_end = Some(Err(failure));
                        to_opener.push(Input::Closed);
                        continue;
                    }
                },
                (_, input) => (input, Frame::Accept),
            };
            let Some(acceptor) = acceptor.as_mut() else { continue };
            for action in acceptor_step(acceptor, input, now) {
                if let Action::Send(bytes) = &action {
                    acceptor_sent.push(bytes.len());
                }
                to_opener.extend(deliver(action, sent, &mut acceptor_end, &mut tamper));
            }
        }
    }
    Outcome {
        opener: opener_end.unwrap_or(Err(Failure::TimedOut)),
        acceptor: acceptor_end.unwrap_or(Err(Failure::TimedOut)),
        acceptor_sent,
    }
}

fn opener_step(opener: &mut Opener, input: Input, now: Instant) -> Vec<Action> {
    let mut out = vec![];
    opener.handle(input, now, &mut out);
    out
}

/// What an acceptor does, that is given a welcome when it asks for one.
fn acceptor_step(acceptor: &mut Acceptor, input: Input, now: Instant) -> Vec<Action> {
    let mut out = vec![];
    acceptor.handle(input, now, &mut out);
    if matches!(out[..], [Action::DrawWelcome]) {
        out.clear();
        acceptor.handle(Input::Drawn(sample()), now, &mut out);
    }
    out
}

/// What the other side gets of an action.
fn deliver(
    action: Action,
    frame: Frame,
    end: &mut Option<Result<Admitted, Failure>>,
    tamper: &mut impl FnMut(Frame, &mut Vec<u8>),
) -> Option<Input> {
    match action {
        Action::Send(mut bytes) => {
            tamper(frame, &mut bytes);
            Some(Input::Received(bytes))
        }
        Action::DrawWelcome => panic!("only an acceptor draws, once its peer has proved"),
        Action::Admit(admitted) => {
            assert!(end.replace(Ok(admitted)).is_none(), "a handshake ends once");
            None
        }
        Action::Fail(failure) => {
            assert!(end.replace(Err(failure)).is_none(), "a handshake ends once");
            Some(Input::Closed)
        }
    }
}

fn accept(setup: &Setup, hello: Hello, rng: StdRng) -> Acceptor {
    let Beliefs { me, peer } = setup.acceptor;
    let known = setup.ignore_tag || setup.acceptor_key.recognises(&hello, &peer, &me);
    Acceptor::new(hello, known.then(|| setup.acceptor_key.clone()), me, peer, rng)
}

fn sample() -> Welcome {
    Welcome {
        session: vec![],
        sample: vec![MemberRecord {
            envelope: vec![5; 200],
            topics: vec![1, 2, 3],
        }],
    }
}

fn honest(rng: &mut StdRng) -> Setup {
    let (opener, acceptor) = (peer(rng), peer(rng));
    let secret = Secret::random(rng);
    Setup {
        opener_key: key("market.example", 7, secret.clone(), [1; 16]),
        opener: Beliefs {
            me: opener,
            peer: acceptor,
        },
        acceptor_key: key("market.example", 7, secret, [2; 16]),
        acceptor: Beliefs {
            me: acceptor,
            peer: opener,
        },
        ignore_tag: false,
    }
}

fn key(mesh: &str, epoch: u64, secret: Secret, session: [u8; 16]) -> Arc<MeshKey> {
    Arc::new(MeshKey::new(mesh.parse::<MeshName>().unwrap(), epoch, secret, session))
}

fn peer(rng: &mut StdRng) -> PeerId {
    let mut seed = [0; 32];
    rng.fill_bytes(&mut seed);
    Keypair::ed25519_from_bytes(seed).unwrap().public().to_peer_id()
}

fn fork(rng: &mut StdRng) -> StdRng {
    StdRng::from_rng(rng)
}

#[test]
fn members_of_one_mesh_admit_each_other() {
    let mut rng = StdRng::seed_from_u64(1);
    let setup = honest(&mut rng);
    let Outcome {
        opener,
        acceptor,
        acceptor_sent,
    } = run(&setup, &mut rng, |_, _| {});
    let (opener, acceptor) = (opener.unwrap(), acceptor.unwrap());
    assert_eq!(opener.protocol_prefix, acceptor.protocol_prefix);
    let hex = opener.protocol_prefix.strip_prefix("/maille/m/").unwrap();
    assert!(
        hex.len() == 16 && hex.bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c)),
        "{hex}"
    );
    assert_eq!((opener.peer, acceptor.peer), (setup.opener.peer, setup.acceptor.peer));
    assert_eq!((opener.peer_session, acceptor.peer_session), ([2; 16], [1; 16]));
    assert_eq!(opener.welcome.unwrap().sample, sample().sample);
    assert_eq!(acceptor.welcome, None);
    assert_eq!(acceptor_sent.len(), 2, "challenge and accept");
}

#[test]
fn every_connection_gets_names_of_its_own() {
    let mut rng = StdRng::seed_from_u64(2);
    let setup = honest(&mut rng);
    let prefixes: std::collections::HashSet<_> = (0..100)
        .map(|_| run(&setup, &mut rng, |_, _| {}).opener.unwrap().protocol_prefix)
        .collect();
    assert_eq!(prefixes.len(), 100);
}

#[test]
fn ready_is_ready_and_nothing_else_is() {
    assert!(is_ready(&ready_frame()));
    assert!(!is_ready(&[]));
    assert!(!is_ready(&[ready_frame(), vec![0x30, 0]].concat()));
    let setup = honest(&mut StdRng::seed_from_u64(3));
    run(&setup, &mut StdRng::seed_from_u64(3), |frame, bytes| {
        assert!(!is_ready(bytes), "{frame:?}")
    });
}

#[test]
fn a_hello_of_another_version_is_told_apart() {
    let mut rng = StdRng::seed_from_u64(4);
    let outcome = run(&honest(&mut rng), &mut rng, |frame, bytes| {
        if frame == Frame::Hello {
            assert_eq!(bytes[2..4], [8, 1], "the version field");
            bytes[3] = 2;
        }
    });
    assert_eq!(outcome.acceptor.unwrap_err(), Failure::Version { theirs: 2 });
    assert_eq!(
        outcome.opener.unwrap_err(),
        Failure::Aborted,
        "no guess was made, so none failed"
    );
    assert!(outcome.acceptor_sent.is_empty());
}

#[test]
fn a_wrong_password_is_refused_and_a_lost_stream_is_not() {
    let mut rng = StdRng::seed_from_u64(5);
    let mut setup = honest(&mut rng);
    let now = Instant::now();
    // Closed: judged. Lost: nobody knows. An empty frame: pushed out before anybody judged.
    let endings = [
        (Input::Closed, Failure::Refused),
        (Input::Lost, Failure::Aborted),
        (Input::Received(vec![]), Failure::Malformed),
    ];
    for (last, expected) in endings {
        let mut opener = Opener::new(
            setup.opener_key.clone(),
            setup.opener.me,
            setup.opener.peer,
            fork(&mut rng),
        );
        let hello = sent(&opener_step(&mut opener, Input::Started, now));
        let mut acceptor = accept(&setup, Hello::parse(hello).unwrap(), fork(&mut rng));
        let mut out = vec![];
        acceptor.handle(Input::Started, now, &mut out);
        assert!(!opener.has_proved());
        let proof = opener_step(&mut opener, Input::Received(sent(&out)), now);
        assert!(opener.has_proved() && matches!(proof[..], [Action::Send(_)]));
        let end = opener_step(&mut opener, last, now);
        assert!(
            matches!(end[..], [Action::Fail(failure)] if failure == expected),
            "{end:?}"
        );
        assert!(opener.has_proved(), "also after the end");
    }
    setup.opener_key = key("market.example", 7, Secret::random(&mut rng), [1; 16]);
    let outcome = run(&setup, &mut rng, |_, _| {});
    assert_eq!(
        (outcome.opener.unwrap_err(), outcome.acceptor.unwrap_err()),
        (Failure::Refused, Failure::Refused)
    );
    assert!(Failure::Refused.is_guess());
    for failure in [
        Failure::Aborted,
        Failure::TimedOut,
        Failure::Malformed,
        Failure::OwnPeer,
    ] {
        assert!(!failure.is_guess(), "{failure}");
    }
}

#[test]
fn a_handshake_has_ten_seconds() {
    let mut rng = StdRng::seed_from_u64(6);
    let setup = honest(&mut rng);
    let start = Instant::now();
    let mut opener = Opener::new(
        setup.opener_key.clone(),
        setup.opener.me,
        setup.opener.peer,
        fork(&mut rng),
    );
    assert_eq!(opener.next_deadline(), None);
    let hello = sent(&opener_step(&mut opener, Input::Started, start));
    let mut acceptor = accept(&setup, Hello::parse(hello).unwrap(), fork(&mut rng));
    acceptor.handle(Input::Started, start, &mut vec![]);
    let deadline = start + Duration::from_secs(10);
    assert_eq!(
        (opener.next_deadline(), acceptor.next_deadline()),
        (Some(deadline), Some(deadline))
    );
    // Too early a call changes nothing; a frame at the deadline comes too late.
    assert!(opener_step(&mut opener, Input::TimedOut, deadline - Duration::from_millis(1)).is_empty());
    let late = opener_step(&mut opener, Input::Received(vec![]), deadline);
    assert!(matches!(late[..], [Action::Fail(Failure::TimedOut)]), "{late:?}");
    let mut out = vec![];
    acceptor.handle(Input::TimedOut, deadline, &mut out);
    assert!(matches!(out[..], [Action::Fail(Failure::TimedOut)]), "{out:?}");
    assert_eq!((opener.next_deadline(), acceptor.next_deadline()), (None, None));
}

/// The one frame among actions.
fn sent(actions: &[Action]) -> Vec<u8> {
    let [Action::Send(bytes), ..] = actions else {
        panic!("a frame, not {actions:?}")
    };
    bytes.clone()
}

#[test]
fn a_welcome_is_drawn_for_who_has_proved_and_for_nobody_else() {
    let mut rng = StdRng::seed_from_u64(8);
    let mut setup = honest(&mut rng);
    let now = Instant::now();
    for right in [true, false] {
        if !right {
            setup.opener_key = key("market.example", 7, Secret::random(&mut rng), [1; 16]);
        }
        let (me, other) = (setup.opener.me, setup.opener.peer);
        let mut opener = Opener::new(setup.opener_key.clone(), me, other, fork(&mut rng));
        let hello = sent(&opener_step(&mut opener, Input::Started, now));
        let mut acceptor = accept(&setup, Hello::parse(hello).unwrap(), fork(&mut rng));
        let mut step = |input| {
            let mut out = vec![];
            acceptor.handle(input, now, &mut out);
            out
        };
        let challenge = sent(&step(Input::Started));
        // Before the proof a welcome is not asked for, and does nothing.
        assert!(step(Input::Drawn(sample())).is_empty());
        let proof = sent(&opener_step(&mut opener, Input::Received(challenge), now));
        let judged = step(Input::Received(proof));
        if !right {
            assert!(matches!(judged[..], [Action::Fail(Failure::Refused)]), "{judged:?}");
            assert!(step(Input::Drawn(sample())).is_empty());
            continue;
        }
        assert!(matches!(judged[..], [Action::DrawWelcome]), "{judged:?}");
        let admits = step(Input::Drawn(sample()));
        assert!(matches!(admits[..], [Action::Send(_), Action::Admit(_)]), "{admits:?}");
        let admitted = opener_step(&mut opener, Input::Received(sent(&admits)), now);
        let [Action::Admit(admitted)] = &admitted[..] else {
            panic!("{admitted:?}")
        };
        assert_eq!(admitted.welcome.as_ref().unwrap().sample, sample().sample);
    }
}
