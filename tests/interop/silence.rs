//! Neighbours that fall silent and end nothing, as a machine does that loses its power; and busy ones, that do not.

use std::time::{Duration, Instant};

use maille::MeshEvent;
use maille_tests::nodes::{self, Member, Over, SOON, builder, credential, met, next, until, whether};

use crate::proxy::Proxy;

const MESH: &str = "silent.example";
const PASSWORD: &str = "sulfur-unpaved-cosmic-jogging-evolve";
/// Three questions, up to 12 s apart, the first up to 12 s after the last answer, and 5 s for the last of them.
const GONE_MAX: Duration = Duration::from_secs(42);
const GONE_MIN: Duration = Duration::from_secs(15);
/// CI asserts times as five times what they are.
const CI_FACTOR: u32 = 5;
/// More than one round of questions, and long enough for a neighbour to be taken for gone.
const BUSY: Duration = Duration::from_secs(50);

/// Publishes for ever: what a dead neighbour does not take fills every buffer on the way to it.
fn keep_publishing(publisher: maille::Publisher<String>, bytes: usize, pace: Duration) -> tokio::task::JoinHandle<()> {
    let text = "x".repeat(bytes);
    tokio::spawn(async move {
        while publisher.publish(&text).await.is_ok() {
            tokio::time::sleep(pace).await;
        }
    })
}

/// When a member's one connection is closed.
async fn let_go(member: &Member, since: Instant) -> Duration {
    let closed = || {
        whether(member.node.metrics().connections_closed > 0, || {
            Box::new(member.node.metrics())
        })
    };
    until("the end of the dead connection", GONE_MAX * CI_FACTOR, closed).await;
    since.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_neighbour_behind_a_dead_link_is_let_go_and_met_again_on_another_way() {
    let right = credential(MESH, PASSWORD);
    let a = nodes::member(Over::Tcp, &[], MESH, &right).await;
    let link = Proxy::hold().await;
    link.lead_to(&a.node.multiaddrs()[0]);
    link.forward();
    let known = [link.multiaddr(a.node.id())];
    let b = builder(Over::Tcp).bootstrap(known).spawn().await.unwrap();
    let b = nodes::join(b, MESH, &right).await;
    met([&a, &b], 1, SOON).await;
    let mut subscriber = b.text("t").subscribe().start().await.unwrap();
    let publisher = a.text("t").publisher().await.unwrap();
    nodes::within("a subscriber", SOON, publisher.ready(1)).await.unwrap();
    let publishing = keep_publishing(publisher, 64 * 1024, Duration::from_millis(1));
    next(&mut subscriber, SOON).await;

    link.freeze();
    let frozen = Instant::now();
    // One is first; the other then is told by the new admission, or finds out by itself.
    let took = tokio::select! {
        took = let_go(&a, frozen) => took,
        took = let_go(&b, frozen) => took,
    };
    eprintln!("silent: let go after {took:?}");
    assert!(took > GONE_MIN && took < GONE_MAX * CI_FACTOR, "{took:?}");
    publishing.abort();
    let mut back = a.text("back").subscribe().start().await.unwrap();
    let publisher = b.text("back").publisher().await.unwrap();
    nodes::within("a subscriber", SOON, publisher.ready(1)).await.unwrap();
    publisher.publish(&"there".to_owned()).await.unwrap();
    assert_eq!(next(&mut back, SOON).await.value, "there");
    // The link is still dead; there is another way to where the other listens.
    let again = frozen.elapsed();
    eprintln!("records pass again {again:?} after the link died");
    assert!(again < (GONE_MAX + SOON) * CI_FACTOR, "{again:?}");
    met([&a, &b], 1, SOON).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn busy_neighbours_are_not_taken_for_silent_ones() {
    let right = credential(MESH, PASSWORD);
    let first = nodes::member(Over::Memory, &[], MESH, &right).await;
    let mut members = vec![first];
    for _ in 0..3 {
        members.push(nodes::member(Over::Memory, &[&members[0].node], MESH, &right).await);
    }
    met(&members, 3, SOON).await;
    let mut events: Vec<_> = members.iter().map(|member| member.mesh.events()).collect();
    let mut publishing = Vec::new();
    let mut subscribers = Vec::new();
    for member in &members {
        // Nobody reads: what comes is counted and dropped.
        subscribers.push(member.text("t").subscribe().start().await.unwrap());
        let publisher = member.text("t").publisher().await.unwrap();
        publishing.push(keep_publishing(publisher, 1_024, Duration::from_millis(5)));
    }
    tokio::time::sleep(BUSY).await;
    for (member, events) in members.iter().zip(&mut events) {
        use futures::{FutureExt, StreamExt};
        let told: Vec<MeshEvent> = std::iter::from_fn(|| events.next().now_or_never().flatten()).collect();
        let left = told
            .iter()
            .filter(|event| matches!(event, MeshEvent::NeighbourLeft { .. }));
        assert_eq!(left.count(), 0, "{told:?}");
        let metrics = member.node.metrics();
        assert_eq!((member.neighbours(), metrics.connections_closed), (3, 0), "{metrics:?}");
    }
    publishing.iter().for_each(tokio::task::JoinHandle::abort);
}
