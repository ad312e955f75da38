//! Helpers do not speak admission: it appears with a node's first mesh, on connections that stand, and goes with its last.

use std::time::Duration;

use maille_tests::nodes::{self, Member, Over, SOON, credential, met, until, whether};
use maille_tests::stranger::{ADMISSION, NoStream, Speaks, Stranger};

use crate::by_hand::{admission as admitted, key};

const MESH: &str = "helped.example";
const OTHER: &str = "other.example";
const PASSWORD: &str = "sulfur-unpaved-cosmic-jogging-evolve";

/// Waits until a stranger on its one connection can open an admission, or cannot.
async fn spoken(stranger: &Stranger, peer: libp2p::PeerId, is_it: bool) -> Duration {
    let started = std::time::Instant::now();
    loop {
        let answer = stranger.open(peer, ADMISSION).await.map(drop);
        if answer == if is_it { Ok(()) } else { Err(NoStream::NotSpoken) } {
            return started.elapsed();
        }
        assert!(started.elapsed() < SOON, "still {answer:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn admission_comes_and_goes(over: Over) {
    let node = nodes::helper(over).await;
    let peer = node.id();
    let stranger = Stranger::start(over, Speaks::NoGossip).await;
    stranger.dial(&node.multiaddrs()[0]).await;
    let told = |seen: bool| {
        let protocols = stranger.seen().protocols.get(&peer).cloned().unwrap_or_default();
        let is_told = protocols.contains(ADMISSION.as_ref());
        whether(!protocols.is_empty() && is_told == seen, || protocols)
    };
    until("identify", SOON, || told(false)).await;
    assert_eq!(stranger.open(peer, ADMISSION).await.err(), Some(NoStream::NotSpoken));

    let first = nodes::join(node.clone(), MESH, &credential(MESH, PASSWORD)).await;
    let (_, pushed) = until("identify's push", SOON, || told(true)).await;
    let appeared = spoken(&stranger, peer, true).await;
    let (_, control) = admitted(&stranger, peer, &key(MESH, PASSWORD)).await.unwrap();
    drop(control);

    let second = nodes::join(node.clone(), OTHER, &credential(OTHER, PASSWORD)).await;
    first.mesh.leave().await;
    // Still a member of something.
    assert!(stranger.open(peer, ADMISSION).await.is_ok());
    second.mesh.leave().await;
    let gone = spoken(&stranger, peer, false).await;
    eprintln!("{over:?}: pushed after {pushed:?}, spoken after {appeared:?} more; gone {gone:?} after the last mesh");
    assert_eq!(stranger.seen().connections[&peer], (1, 0), "all on one connection");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn admission_comes_with_the_first_mesh_and_goes_with_the_last_over_tcp() {
    admission_comes_and_goes(Over::Tcp).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn admission_comes_with_the_first_mesh_and_goes_with_the_last_over_quic() {
    admission_comes_and_goes(Over::Quic).await;
}

/// Members spend no hello on a helper, and meet it when it becomes one of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_helper_hears_no_hello_until_it_joins() {
    let right = credential(MESH, PASSWORD);
    let helper = nodes::helper(Over::Memory).await;
    let a = nodes::member(Over::Memory, &[&helper], MESH, &right).await;
    let b = nodes::member(Over::Memory, &[&helper], MESH, &right).await;
    met([&a, &b], 1, SOON).await;
    let metrics = helper.metrics();
    assert_eq!((metrics.admissions_granted, metrics.admissions_refused), (0, 0));
    assert_eq!((a.node.metrics().refusals_met, b.node.metrics().refusals_met), (0, 0));
    let helper: Member = nodes::join(helper, MESH, &right).await;
    let took = met([&a, &b, &helper], 2, SOON).await;
    eprintln!("a helper that joined has both members as neighbours after {took:?}");
    for member in [&a, &b, &helper] {
        assert_eq!(member.node.metrics().refusals_met, 0);
    }
}
