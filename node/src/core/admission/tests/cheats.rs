//! Those who cheat by the book of WCF Peer Channel, the ancestor, and those who send our own bytes back.

use maille_proto::admission::{self, Message};
use maille_proto::{decode_admission, encode_admission};
use rand::RngExt;

use super::*;
use crate::core::admission::{
    pake::{Context, Cpace, Pake},
    transcript::{Keys, Transcript, channel, session_id},
    wire::Challenge,
};

/// An opener after its proof and the acceptor before it: both made anew from the same seed, so that one exchange can be
/// ended in many ways.
fn before_the_proof(setup: &Setup, seed: u64) -> (Opener, Acceptor, Vec<u8>) {
    let (mut rng, now) = (StdRng::seed_from_u64(seed), Instant::now());
    let mut opener = Opener::new(
        setup.opener_key.clone(),
        setup.opener.me,
        setup.opener.peer,
        fork(&mut rng),
    );
    let hello = sent(&opener_step(&mut opener, Input::Started, now));
    let mut acceptor = accept(setup, Hello::parse(hello).unwrap(), fork(&mut rng));
    let mut out = vec![];
    acceptor.handle(Input::Started, now, &mut out);
    let proof = sent(&opener_step(&mut opener, Input::Received(sent(&out)), now));
    (opener, acceptor, proof)
}

fn receive(acceptor: &mut Acceptor, frame: Vec<u8>) -> Vec<Action> {
    acceptor_step(acceptor, Input::Received(frame), Instant::now())
}

#[test]
fn wcf_a_mac_of_the_right_length_is_not_enough() {
    let mut rng = StdRng::seed_from_u64(10);
    let setup = honest(&mut rng);
    let with_mac = |proof: &[u8], alter: &mut dyn FnMut(&mut Vec<u8>)| {
        let Ok(Message::Proof(mut proof)) = decode_admission(proof) else {
            panic!("a proof")
        };
        alter(&mut proof.mac);
        encode_admission(Message::Proof(proof))
    };
    let (_, mut acceptor, proof) = before_the_proof(&setup, 11);
    assert!(
        matches!(receive(&mut acceptor, proof)[..], [Action::Send(_), Action::Admit(_)]),
        "the control"
    );
    // Every single bit counts, and so does every byte.
    for bit in 0..256 {
        let (_, mut acceptor, proof) = before_the_proof(&setup, 11);
        let actions = receive(
            &mut acceptor,
            with_mac(&proof, &mut |mac| mac[bit / 8] ^= 1 << (bit % 8)),
        );
        assert!(
            matches!(actions[..], [Action::Fail(Failure::Refused)]),
            "bit {bit}: {actions:?}"
        );
    }
    for i in 0..200 {
        let (_, mut acceptor, proof) = before_the_proof(&setup, 11);
        let actions = receive(&mut acceptor, with_mac(&proof, &mut |mac| rng.fill_bytes(mac)));
        assert!(
            matches!(actions[..], [Action::Fail(Failure::Refused)]),
            "{i}: {actions:?}"
        );
    }
    // The opener's own MAC, sent back, is not the acceptor's.
    let (mut opener, _, proof) = before_the_proof(&setup, 11);
    let mac = wire::Proof::parse(&proof).unwrap().mac.to_vec();
    let accept = encode_admission(Message::Accept(admission::Accept {
        mac,
        welcome: vec![0; 40],
    }));
    let actions = opener_step(&mut opener, Input::Received(accept), Instant::now());
    assert!(matches!(actions[..], [Action::Fail(Failure::Refused)]), "{actions:?}");
    // An acceptor that knows no password answers with 32 bytes.
    for i in 0..200 {
        let (mut opener, _, _) = before_the_proof(&setup, 11);
        let mut mac = vec![0; 32];
        rng.fill_bytes(&mut mac);
        let accept = encode_admission(Message::Accept(admission::Accept {
            mac,
            welcome: vec![0; 40],
        }));
        let actions = opener_step(&mut opener, Input::Received(accept), Instant::now());
        assert!(
            matches!(actions[..], [Action::Fail(Failure::Refused)]),
            "{i}: {actions:?}"
        );
    }
}

/// The first receiver of a joiner's frames is an acceptor that guessed one password. From all it received and all it
/// knows, it can tell whether that one was right, and nothing about any other.
#[test]
fn wcf_first_receiver_cannot_guess_offline() {
    let mut rng = StdRng::seed_from_u64(12);
    let setup = honest(&mut rng);
    let right = setup.opener_key.secret().clone();
    let dictionary: Vec<Secret> = (0..200)
        .map(|_| Secret::random(&mut rng))
        .chain([right.clone()])
        .collect();
    // Nothing at all depends on the password before the acceptor's share is answered.
    let hellos: Vec<Vec<u8>> = dictionary[198..]
        .iter()
        .map(|secret| {
            let key = key("market.example", 7, secret.clone(), [1; 16]);
            let mut opener = Opener::new(key, setup.opener.me, setup.opener.peer, StdRng::seed_from_u64(13));
            sent(&opener_step(&mut opener, Input::Started, Instant::now()))
        })
        .collect();
    assert!(hellos.windows(2).all(|pair| pair[0] == pair[1]));

    for (guess, right_guess) in [(&dictionary[0], false), (&right, true)] {
        let matching = candidates_that_verify(&setup, guess, &dictionary, &mut rng);
        assert_eq!(
            matching,
            usize::from(right_guess),
            "one exchange tests one guess, right or wrong"
        );
    }
}

/// Plays the evil acceptor with one guess, then tries every candidate against the proof it got.
fn candidates_that_verify(setup: &Setup, guess: &Secret, dictionary: &[Secret], rng: &mut StdRng) -> usize {
    let now = Instant::now();
    let mut opener = Opener::new(setup.opener_key.clone(), setup.opener.me, setup.opener.peer, fork(rng));
    let hello = Hello::parse(sent(&opener_step(&mut opener, Input::Started, now))).unwrap();
    let mut nonce = [0; 32];
    rng.fill_bytes(&mut nonce);
    let channel = channel("market.example", 7, &setup.opener.me, &setup.opener.peer);
    let session = session_id(&hello.nonce, &nonce);
    let scalar_seed = rng.random();
    let start = |secret: &Secret| {
        let context = Context {
            secret: secret.expose(),
            channel: &channel,
            session: &session,
        };
        Cpace::start(&context, &mut StdRng::seed_from_u64(scalar_seed)).unwrap()
    };
    let challenge = Challenge::new(nonce, start(guess).0);
    let frame = sent(&opener_step(
        &mut opener,
        Input::Received(challenge.frame().to_vec()),
        now,
    ));
    let proof = wire::Proof::parse(&frame).unwrap();
    let transcript = Transcript::new(&hello, &challenge, &proof.share);
    // With the same scalar for every candidate: all that the evil acceptor could have prepared.
    let verifies = |candidate: &&Secret| {
        let exchange = Cpace::finish(start(candidate).1, &proof.share).unwrap();
        Keys::derive(&exchange, &session, &transcript).opener_confirmed(&proof.mac)
    };
    dictionary.iter().filter(verifies).count()
}

#[test]
fn t2_reflected_frames_and_our_own_id_are_refused() {
    let mut rng = StdRng::seed_from_u64(14);
    let setup = honest(&mut rng);
    let now = Instant::now();
    // An opener that gets its own hello, or its own nonce, back.
    let open = || {
        Opener::new(
            setup.opener_key.clone(),
            setup.opener.me,
            setup.opener.peer,
            StdRng::seed_from_u64(15),
        )
    };
    let mut opener = open();
    let hello = sent(&opener_step(&mut opener, Input::Started, now));
    let end = opener_step(&mut opener, Input::Received(hello.clone()), now);
    assert!(matches!(end[..], [Action::Fail(Failure::Malformed)]), "{end:?}");
    let nonce = Hello::parse(hello.clone()).unwrap().nonce;
    let (share, _) = Cpace::start(
        &Context {
            secret: b"",
            channel: b"",
            session: b"",
        },
        &mut rng,
    )
    .unwrap();
    let mut opener = open();
    opener_step(&mut opener, Input::Started, now);
    let end = opener_step(
        &mut opener,
        Input::Received(Challenge::new(nonce, share).frame().to_vec()),
        now,
    );
    assert!(matches!(end[..], [Action::Fail(Failure::Malformed)]), "{end:?}");

    // A hello of ours that the peer sends back to us: its tag names us as the opener, so it is no mesh's.
    let hello = Hello::parse(hello).unwrap();
    assert!(
        setup
            .opener_key
            .recognises(&hello, &setup.opener.me, &setup.opener.peer),
        "the control"
    );
    assert!(
        !setup
            .opener_key
            .recognises(&hello, &setup.opener.peer, &setup.opener.me)
    );
    let third = peer(&mut rng);
    let recognised = |opener, acceptor| setup.opener_key.recognises(&hello, opener, acceptor);
    assert!(!recognised(&setup.opener.me, &third), "a hello to another acceptor");
    assert!(!recognised(&third, &setup.opener.peer), "a hello of another opener");

    // A whole handshake passed back and forth between a node's own opener and acceptor, both facing the reflector.
    let reflected = Setup {
        acceptor: setup.opener,
        acceptor_key: setup.opener_key.clone(),
        ignore_tag: true,
        ..setup.clone()
    };
    let outcome = run(&reflected, &mut rng, |_, _| {});
    assert!(outcome.opener.is_err() && outcome.acceptor.is_err(), "{outcome:?}");

    // Our own PeerId, on either side.
    let me = Beliefs {
        me: setup.opener.me,
        peer: setup.opener.me,
    };
    let mut opener = Opener::new(setup.opener_key.clone(), me.me, me.peer, fork(&mut rng));
    let end = opener_step(&mut opener, Input::Started, now);
    assert!(matches!(end[..], [Action::Fail(Failure::OwnPeer)]), "{end:?}");
}

/// Proves a secret to an acceptor, whatever it takes to hold the right one.
fn prove(
    acceptor: &mut Acceptor,
    hello: &Hello,
    secret: &Secret,
    mesh: (&str, u64),
    ids: (&PeerId, &PeerId),
) -> Vec<Action> {
    let mut out = vec![];
    acceptor.handle(Input::Started, Instant::now(), &mut out);
    let challenge = Challenge::parse(sent(&out)).unwrap();
    let (channel, session) = (
        channel(mesh.0, mesh.1, ids.0, ids.1),
        session_id(&hello.nonce, &challenge.nonce),
    );
    let context = Context {
        secret: secret.expose(),
        channel: &channel,
        session: &session,
    };
    let (share, exchange) = Cpace::respond(&context, &challenge.share, &mut StdRng::seed_from_u64(1)).unwrap();
    let mac = Keys::derive(&exchange, &session, &Transcript::new(hello, &challenge, &share)).opener_mac;
    receive(acceptor, wire::Proof { share, mac }.to_frame())
}

#[test]
fn t2_our_own_id_is_refused_even_with_the_right_password() {
    let mut rng = StdRng::seed_from_u64(18);
    let setup = honest(&mut rng);
    let (key, me) = (&setup.acceptor_key, setup.acceptor.me);
    for (peer, admits) in [(setup.acceptor.peer, true), (me, false)] {
        let hello = Hello::new(key.tag(&[3; 32], &peer, &me), [1; 16], [3; 32]);
        let mut acceptor = Acceptor::new(hello.clone(), Some(key.clone()), me, peer, fork(&mut rng));
        let actions = prove(&mut acceptor, &hello, key.secret(), ("market.example", 7), (&peer, &me));
        assert_eq!(
            matches!(actions[..], [Action::Send(_), Action::Admit(_)]),
            admits,
            "{actions:?}"
        );
        assert_eq!(
            matches!(actions[..], [Action::Fail(Failure::Refused)]),
            !admits,
            "{actions:?}"
        );
    }
}

#[test]
fn an_unknown_mesh_admits_nobody_even_with_the_secret_it_ran_with() {
    let mut rng = StdRng::seed_from_u64(16);
    let Beliefs { me, peer } = honest(&mut rng).acceptor;
    let hello = Hello::new([9; 16], [1; 16], [3; 32]);
    // The acceptor's randomness, known in advance: its nonce, then the secret that stands for the unknown mesh.
    let mut same = StdRng::seed_from_u64(17);
    same.fill_bytes(&mut [0; 32]);
    let secret = Secret::random(&mut same);
    let mut acceptor = Acceptor::new(hello.clone(), None, me, peer, StdRng::seed_from_u64(17));
    let actions = prove(&mut acceptor, &hello, &secret, ("", 0), (&peer, &me));
    assert!(matches!(actions[..], [Action::Fail(Failure::Refused)]), "{actions:?}");
}
