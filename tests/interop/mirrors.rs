//! Peers that say nothing of their own: what members say is passed on to others, or said back.

use maille::core::admission::Hello;
use maille_tests::nodes::{self, Over, SOON, builder, credential, until, whether};
use maille_tests::stranger::{ADMISSION, End, Heard, Speaks, Stranger, Wire};

use crate::by_hand::ANSWER;
use crate::door::{House, MESH, PASSWORD};

/// The hello that a member says to a stranger it was told of.
async fn overheard(stranger: &Stranger) -> (Vec<u8>, Wire) {
    let knock = nodes::within("a member's hello", SOON, stranger.incoming()).await;
    let mut wire = Wire::new(knock.stream);
    let hello = wire.receive(ANSWER).await.expect("a hello");
    Hello::parse(hello.clone()).expect("a whole hello");
    (hello, wire)
}

/// A stranger between two members, each of which it can make to open: it passes everything on, unchanged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_passes_messages_on_between_members_gets_nowhere() {
    let middle = Stranger::start(Over::Tcp, Speaks::NoGossip).await;
    middle.accept(ADMISSION);
    let opening = builder(Over::Tcp)
        .bootstrap([middle.multiaddr.clone()])
        .spawn()
        .await
        .unwrap();
    let opening = nodes::join(opening, MESH, &credential(MESH, PASSWORD)).await;
    let mut house = House::new(Over::Tcp, &[]).await;
    let peer = middle.dial(&house.visited.node.multiaddrs()[0]).await;
    let (hello, mut to_opener) = overheard(&middle).await;
    let mut to_acceptor = middle.open(peer, ADMISSION).await.unwrap();
    to_acceptor.send(&hello).await.unwrap();
    let challenge = to_acceptor
        .receive(ANSWER)
        .await
        .expect("a challenge, for whatever tag");
    to_opener.send(&challenge).await.unwrap();
    let proof = to_opener.receive(ANSWER).await.expect("a proof");
    to_acceptor.send(&proof).await.unwrap();
    let heard = to_acceptor.hear(ANSWER).await;
    assert_eq!(
        heard,
        Heard {
            frames: vec![],
            rest: 0,
            end: End::Closed
        }
    );
    to_acceptor.close().await;
    to_opener.close().await;
    house.goes_on("the man in the middle").await;
    assert_eq!(opening.neighbours(), 0);
    let refused = || {
        whether(opening.node.metrics().refusals_met == 1, || {
            Box::new(opening.node.metrics())
        })
    };
    until("the opener takes it for a refusal", SOON, refused).await;
}

/// Everything a member says, said back to it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reflector_gets_nowhere() {
    let mirror = Stranger::start(Over::Tcp, Speaks::NoGossip).await;
    mirror.accept(ADMISSION);
    let mut house = House::new(Over::Tcp, &[&mirror]).await;
    let peer = house.visited.node.id();
    // Its own hello opens a handshake; its own acceptor's challenge answers its own opener; that proof goes back.
    let (hello, mut to_opener) = overheard(&mirror).await;
    let mut to_acceptor = mirror.open(peer, ADMISSION).await.unwrap();
    to_acceptor.send(&hello).await.unwrap();
    let challenge = to_acceptor
        .receive(ANSWER)
        .await
        .expect("a challenge, for whatever tag");
    to_opener.send(&challenge).await.unwrap();
    let proof = to_opener.receive(ANSWER).await.expect("a proof");
    to_acceptor.send(&proof).await.unwrap();
    let heard = to_acceptor.hear(ANSWER).await;
    assert_eq!(
        heard,
        Heard {
            frames: vec![],
            rest: 0,
            end: End::Closed
        }
    );
    // The opener gets its own proof, as if it were an acceptance.
    to_opener.send(&proof).await.unwrap();
    let heard = to_opener.hear(ANSWER).await;
    assert_eq!((heard.frames.len(), heard.rest), (0, 0));
    house.goes_on("the mirror").await;
    assert_eq!(house.visited.node.metrics().admissions_granted, 1, "the other member's");
}
