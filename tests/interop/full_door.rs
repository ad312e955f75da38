//! A door whose places are all taken: the slow are pushed out, and who gives up leaves no trace.

use std::time::Instant;

use libp2p::PeerId;
use maille::core::admission::{Action, HANDSHAKES_MAX, Input, Opener, SLOTS_FOR_KNOWN};
use maille_tests::nodes::Over;
use maille_tests::stranger::{ADMISSION, Stranger, Wire};

use crate::by_hand::{ANSWER, admission as admitted, key, opener, step};
use crate::door::{House, MESH, PASSWORD, PATIENCE};

/// Strangers' handshakes at once.
const STRANGERS_ANSWERED: usize = HANDSHAKES_MAX - SLOTS_FOR_KNOWN;

/// Strangers that hold every place at the door: their hellos are answered, and their proofs do not come.
async fn hold_the_door(strangers: &[(Stranger, PeerId)]) -> Vec<(Opener, Wire, Vec<u8>)> {
    let mut held = Vec::new();
    for (stranger, peer) in strangers.iter().cycle().take(STRANGERS_ANSWERED) {
        let mut wire = stranger.open(*peer, ADMISSION).await.unwrap();
        let mut machine = opener(&key(MESH, PASSWORD), stranger.id, *peer);
        wire.send(&step(&mut machine, Input::Started).unwrap()).await.unwrap();
        let challenge = wire.receive(ANSWER).await.unwrap();
        let proof = step(&mut machine, Input::Received(challenge)).unwrap();
        held.push((machine, wire, proof));
    }
    held
}

/// Whoever is slow is pushed out for a newcomer, and told so: on QUIC too it must not look like a refusal.
async fn push_out_is_no_refusal(over: Over) {
    let mut house = House::new(over, &[]).await;
    let slow = [house.visitor(over).await, house.visitor(over).await];
    let held = hold_the_door(&slow).await;
    let (newcomer, peer) = house.visitor(over).await;
    let started = Instant::now();
    let (_, wire) = admitted(&newcomer, peer, &key(MESH, PASSWORD)).await.unwrap();
    let took = started.elapsed();
    eprintln!("{over:?}: a newcomer at a full door was admitted after {took:?}");
    assert!(took < PATIENCE, "{took:?}");
    drop(wire);
    let mut endings = Vec::new();
    for (mut machine, mut wire, proof) in held {
        // Too late by a moment, as a slow peer's is: the door may have ended the stream already.
        let _ = wire.send(&proof).await;
        let answer = wire.receive(ANSWER).await.map_or(Input::Closed, Input::Received);
        let was_told = matches!(&answer, Input::Received(frame) if frame.is_empty());
        let mut actions = Vec::new();
        machine.handle(answer, Instant::now(), &mut actions);
        endings.push((was_told, actions));
    }
    let told: Vec<_> = endings.iter().filter(|(was_told, _)| *was_told).collect();
    assert_eq!(told.len(), 1, "one place was needed: {endings:?}");
    assert!(
        matches!(told[0].1[..], [Action::Fail(failure)] if !failure.is_guess()),
        "{told:?}"
    );
    // The others were judged, unless this machine is so busy that their time was up.
    let refused = |actions: &[Action]| matches!(actions, [Action::Fail(failure)] if failure.is_guess());
    assert!(!endings.iter().any(|(_, actions)| refused(actions)), "{endings:?}");
    house.goes_on("a push-out").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_pushed_out_is_not_refused_over_tcp() {
    push_out_is_no_refusal(Over::Tcp).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_pushed_out_is_not_refused_over_quic() {
    push_out_is_no_refusal(Over::Quic).await;
}

/// Hellos that wait at a full door and are given up leave no trace: nobody answers them when their turn would be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hello_that_is_given_up_while_it_waits_is_forgotten() {
    // As many on each connection as are read at once.
    const IMPATIENT: usize = 8;
    const GIVEN_UP: usize = 8 * IMPATIENT;
    let mut house = House::new(Over::Tcp, &[]).await;
    let slow = [house.visitor(Over::Tcp).await, house.visitor(Over::Tcp).await];
    let mut impatient = Vec::new();
    for _ in 0..IMPATIENT {
        impatient.push(house.visitor(Over::Tcp).await);
    }
    let held = hold_the_door(&slow).await;
    let started = Instant::now();
    for (stranger, peer) in impatient.iter().cycle().take(GIVEN_UP) {
        let mut wire = stranger.open(*peer, ADMISSION).await.unwrap();
        let mut machine = opener(&key(MESH, PASSWORD), stranger.id, *peer);
        wire.send(&step(&mut machine, Input::Started).unwrap()).await.unwrap();
        wire.close().await;
    }
    eprintln!("{GIVEN_UP} hellos said and given up in {:?}", started.elapsed());
    let (newcomer, peer) = house.visitor(Over::Tcp).await;
    let (_, wire) = admitted(&newcomer, peer, &key(MESH, PASSWORD)).await.unwrap();
    drop(wire);
    let metrics = house.visited.node.metrics();
    // Those that were answered before they were given up, on a busy machine after a place became free, are few.
    assert!(metrics.admissions_refused < GIVEN_UP as u64 / 4, "{metrics:?}");
    drop(held);
    house.goes_on("hellos given up").await;
}
