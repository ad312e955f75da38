//! T2: whatever differs between the two sides, or on the way between them, nobody is admitted.

use rand::RngExt;

use super::*;

const SEED: u64 = 0x7432;
const MUTATIONS: usize = 10_000;

#[derive(Clone, Copy, Debug)]
enum Mutation {
    Secret,
    Mesh,
    Epoch,
    Version,
    PeerOfOpener,
    PeerOfAcceptor,
    ManInTheMiddle,
    Roles,
    HelloNonce,
    ChallengeNonce,
    Byte(Frame),
}

const ALL: [Mutation; 14] = [
    Mutation::Secret,
    Mutation::Mesh,
    Mutation::Epoch,
    Mutation::Version,
    Mutation::PeerOfOpener,
    Mutation::PeerOfAcceptor,
    Mutation::ManInTheMiddle,
    Mutation::Roles,
    Mutation::HelloNonce,
    Mutation::ChallengeNonce,
    Mutation::Byte(Frame::Hello),
    Mutation::Byte(Frame::Challenge),
    Mutation::Byte(Frame::Proof),
    Mutation::Byte(Frame::Accept),
];

#[test]
fn t2_ten_thousand_mutations_admit_nobody() {
    eprintln!("seed {SEED:#x}");
    let mut rng = StdRng::seed_from_u64(SEED);
    let base = honest(&mut rng);
    let evil = peer(&mut rng);
    let (mut reached_acceptor, mut controls) = (0, 0);
    for i in 0..MUTATIONS {
        if i % 100 == 0 {
            let outcome = run(&base, &mut rng, |_, _| {});
            assert!(
                outcome.opener.is_ok() && outcome.acceptor.is_ok(),
                "the control fails: {outcome:?}"
            );
            controls += 1;
        }
        let mutation = ALL[rng.random_range(0..ALL.len())];
        let setup = mutated(&base, mutation, evil, &mut rng);
        let mut dice = fork(&mut rng);
        let outcome = run(&setup, &mut rng, |frame, bytes| {
            alter(mutation, frame, bytes, &mut dice)
        });
        assert!(outcome.opener.is_err(), "{i} {mutation:?}: {outcome:?}");
        // An acceptor that got an unaltered proof has admitted before its accept is altered on the way.
        let accept_altered = matches!(mutation, Mutation::Byte(Frame::Accept));
        assert_eq!(
            outcome.acceptor.is_ok(),
            accept_altered,
            "{i} {mutation:?}: {outcome:?}"
        );
        reached_acceptor += usize::from(outcome.acceptor_sent.len() == 1);
    }
    eprintln!(
        "{MUTATIONS} mutations, {controls} controls; {reached_acceptor} came as far as a challenge and no further"
    );
    assert!(
        reached_acceptor > MUTATIONS / 2,
        "most mutations must be tried against the key confirmation"
    );
}

fn mutated(base: &Setup, mutation: Mutation, evil: PeerId, rng: &mut StdRng) -> Setup {
    let mut setup = base.clone();
    // Half of the time an acceptor that is sure of the mesh, whatever the tag says: the tag is no defence.
    setup.ignore_tag = rng.random_bool(0.5);
    let honest = &base.opener_key;
    let mut secret = honest.secret().clone();
    let other_key = match mutation {
        Mutation::Secret => {
            secret = secret.with_flipped_bit(rng.random_range(0..256));
            Some(key("market.example", 7, secret, [1; 16]))
        }
        Mutation::Mesh => Some(key("market.exampl", 7, secret, [1; 16])),
        Mutation::Epoch => Some(key(
            "market.example",
            7 ^ (1 << rng.random_range(0..64)),
            secret,
            [1; 16],
        )),
        _ => None,
    };
    if let Some(other) = other_key {
        let side = if rng.random_bool(0.5) {
            &mut setup.opener_key
        } else {
            &mut setup.acceptor_key
        };
        *side = other;
    }
    match mutation {
        Mutation::PeerOfOpener => setup.opener.peer = evil,
        Mutation::PeerOfAcceptor => setup.acceptor.peer = evil,
        // Two connections, each authenticated to the one in the middle, who passes every frame on.
        Mutation::ManInTheMiddle => (setup.opener.peer, setup.acceptor.peer) = (evil, evil),
        Mutation::Roles => std::mem::swap(&mut setup.acceptor.me, &mut setup.acceptor.peer),
        _ => {}
    }
    setup
}

fn alter(mutation: Mutation, frame: Frame, bytes: &mut Vec<u8>, dice: &mut StdRng) {
    match (mutation, frame) {
        // Oneof and its length, then `version`, `tag` behind 2 bytes, `session` behind 2, `nonce` behind 2.
        (Mutation::Version, Frame::Hello) => bytes[3] = dice.random_range(2..128),
        (Mutation::HelloNonce, Frame::Hello) => bytes[42 + dice.random_range(0..32)] ^= dice.random_range(1..=255),
        (Mutation::ChallengeNonce, Frame::Challenge) => {
            bytes[4 + dice.random_range(0..32)] ^= dice.random_range(1..=255)
        }
        (Mutation::Byte(wanted), frame) if wanted == frame => {
            let at = dice.random_range(0..bytes.len());
            match dice.random_range(0..8) {
                0 => bytes.insert(at, dice.random()),
                1 => drop(bytes.remove(at)),
                2 => bytes.truncate(at),
                // An unknown field beside the message; one in it; its length not minimal: nothing of what it says changes.
                3 => bytes.extend([0x30, dice.random_range(0..128)]),
                4 => {
                    bytes[1] = bytes[1].wrapping_add(2);
                    bytes.extend([0x78, dice.random_range(0..128)]);
                }
                5 => {
                    bytes[1] |= 0x80;
                    bytes.insert(2, 0);
                }
                _ => bytes[at] ^= dice.random_range(1..=255),
            }
        }
        _ => {}
    }
}
