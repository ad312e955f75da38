//! How much is given to whom.

use std::time::{Duration, Instant};

use libp2p::PeerId;

use crate::core::blobs::{Served, Serving, ServingAction, ServingInput};

fn ask(serving: &mut Serving, request: u64, peer: PeerId, now: Instant) -> bool {
    let (mut out, request) = (vec![], Served(request));
    serving.handle(ServingInput::Asked { request, peer }, now, &mut out);
    out == [ServingAction::Serve { request }]
}

fn end(serving: &mut Serving, request: u64) {
    let request = Served(request);
    serving.handle(ServingInput::Ended { request }, Instant::now(), &mut vec![]);
}

#[test]
fn answers_on_their_way_are_few() {
    let (now, mut serving) = (Instant::now(), Serving::default());
    let peers: Vec<PeerId> = (0..20).map(|_| PeerId::random()).collect();
    let served: Vec<u64> = (0..400)
        .filter(|request| ask(&mut serving, *request, peers[*request as usize / 20], now))
        .collect();
    assert_eq!(served.len(), 96, "of all");
    assert_eq!(served.iter().filter(|request| **request < 20).count(), 12, "of one");
    end(&mut serving, 0);
    assert!(ask(&mut serving, 1_000, peers[19], now));
    assert!(!ask(&mut serving, 1_001, peers[19], now));
    let peer = peers[0];
    serving.handle(ServingInput::Left { peer }, now, &mut vec![]);
    assert!(
        (2_000..2_011).all(|request| ask(&mut serving, request, peers[19], now)),
        "who left waits for nothing"
    );
}

#[test]
fn questions_are_rationed() {
    let (start, mut serving) = (Instant::now(), Serving::default());
    let mut served = 0;
    let peers: Vec<PeerId> = (0..10).map(|_| PeerId::random()).collect();
    let mut of_first = 0;
    for request in 0..40_000 {
        let now = start + Duration::from_millis(request / 20);
        let peer = peers[request as usize % 10];
        if ask(&mut serving, request, peer, now) {
            served += 1;
            of_first += usize::from(peer == peers[0]);
        }
        end(&mut serving, request);
    }
    assert!(
        (2_200..=2_250).contains(&served),
        "1,024 and 600 a second for 2 s: {served}"
    );
    assert!(of_first <= 256 + 400, "{of_first}");
}
