//! Handles: dropping the last one leaves, shutting down flushes, and what has ended says so.

use std::time::Instant;

use futures::StreamExt;
use maille::{MeshEvent, NodeEvent, PublishError, StreamError, SubscribeError};
use maille_tests::nodes::{Member, Over, SOON, credential, member, met, records, until, whether, within};

const MESH: &str = "market.example";

async fn two() -> [Member; 2] {
    let right = credential(MESH, "sulfur-unpaved-cosmic-jogging");
    let first = member(Over::Memory, &[], MESH, &right).await;
    let second = member(Over::Memory, &[&first.node], MESH, &right).await;
    met([&first, &second], 1, SOON).await;
    [first, second]
}

/// The last handle of a mesh is dropped: neighbours see it leave soon, and the node itself goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_the_last_handle_of_a_mesh_leaves_it() {
    let [first, second] = two().await;
    let mut events = first.mesh.events();
    let Member { node, mesh } = second;
    let topic = mesh.topic::<String>("feed".parse().unwrap());
    let subscriber = topic.subscribe().start().await.unwrap();
    let publisher = first.text("feed").publisher().await.unwrap();
    within("a subscriber", SOON, publisher.ready(1)).await.unwrap();

    // A subscriber alone keeps the mesh.
    drop((mesh, topic));
    publisher.publish(&"still there".to_owned()).await.unwrap();
    assert_eq!(publisher.flush().await.unwrap().neighbours, 1);
    assert_eq!(first.neighbours(), 1);

    let dropped = Instant::now();
    drop(subscriber);
    let left = async {
        while let Some(event) = events.next().await {
            if matches!(event, MeshEvent::NeighbourLeft { peer } if peer == node.id()) {
                return dropped.elapsed();
            }
        }
        panic!("the events ended");
    };
    let took = within("the neighbour sees us leave", SOON, left).await;
    eprintln!("seen to leave {took:?} after the last handle was dropped");
    until("nobody is left", SOON, || {
        let left = (first.neighbours(), publisher.subscribed());
        whether(left == (0, 0), || left)
    })
    .await;
    // The node lives, and may join again.
    let again = maille_tests::nodes::join(node, MESH, &credential(MESH, "sulfur-unpaved-cosmic-jogging")).await;
    met([&again, &first], 1, SOON).await;
}

/// Dropping a subscriber unsubscribes, and the mesh stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_the_last_subscriber_of_a_topic_unsubscribes() {
    let [first, second] = two().await;
    let publisher = first.text("feed").publisher().await.unwrap();
    let one = second.text("feed").subscribe().start().await.unwrap();
    let mut other = second.text("feed").subscribe().start().await.unwrap();
    within("a subscriber", SOON, publisher.ready(1)).await.unwrap();
    drop(one);
    publisher.publish(&"for the other".to_owned()).await.unwrap();
    assert_eq!(records(&mut other, 1, SOON).await[0].value, "for the other");
    drop(other);
    until("nobody is subscribed", SOON, || {
        whether(publisher.subscribed() == 0, || publisher.subscribed())
    })
    .await;
    assert_eq!((first.neighbours(), second.neighbours()), (1, 1));
}

/// The last handle of a node is dropped: the node stops, also where only a publisher was left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_the_last_handle_of_a_node_stops_it() {
    let [first, second] = two().await;
    let multiaddr = second.node.multiaddrs()[0].clone();
    let mut events = second.node.events();
    let publisher = second.text("feed").publisher().await.unwrap();
    let second_id = second.node.id();
    drop(second);
    // The publisher holds all it needs.
    publisher.publish(&"alive".to_owned()).await.unwrap();
    assert_eq!(first.mesh.neighbours(), [second_id]);
    drop(publisher);
    // The node's events end when its task has.
    let ended = async { while events.next().await.is_some() {} };
    within("the node stops", SOON, ended).await;
    until("the neighbour is gone", SOON, || {
        whether(first.neighbours() == 0, || first.mesh.neighbours())
    })
    .await;
    // Nobody listens there any more.
    let caller = maille_tests::nodes::builder(Over::Memory)
        .bootstrap([multiaddr])
        .spawn()
        .await
        .unwrap();
    let mut events = caller.events();
    let unreachable = async {
        while let Some(event) = events.next().await {
            if matches!(event, NodeEvent::BootstrapUnreachable { .. }) {
                return;
            }
        }
        panic!("the events ended");
    };
    within("the port is closed", SOON, unreachable).await;
}

/// A shutdown right after publishing loses nothing: what has a sequence number is acknowledged first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_flushes_and_then_says_goodbye() {
    const RECORDS: usize = 1_000;
    let [first, second] = two().await;
    let mut subscriber = second.text("feed").subscribe().start().await.unwrap();
    let publisher = first.text("feed").publisher().await.unwrap();
    within("a subscriber", SOON, publisher.ready(1)).await.unwrap();
    for n in 0..RECORDS {
        publisher.publish(&n.to_string()).await.unwrap();
    }
    let started = Instant::now();
    within("the shutdown", SOON, first.node.shutdown()).await;
    eprintln!(
        "shut down, with {RECORDS} records just published, in {:?}",
        started.elapsed()
    );
    let heard = records(&mut subscriber, RECORDS, SOON).await;
    assert!(
        heard
            .iter()
            .enumerate()
            .all(|(n, record)| record.value == n.to_string())
    );
    until("the neighbour is gone", SOON, || {
        whether(second.neighbours() == 0, || second.mesh.neighbours())
    })
    .await;

    // What is left of its handles says that it ended.
    assert!(matches!(
        publisher.publish(&String::new()).await,
        Err(PublishError::Closed)
    ));
    // All that was published has been acknowledged, and stays so.
    assert_eq!(publisher.flush().await.unwrap().neighbours, 1);
    assert!(matches!(
        first.text("feed").publisher().await,
        Err(PublishError::Closed)
    ));
    assert!(matches!(
        first.text("feed").subscribe().start().await,
        Err(SubscribeError::Closed)
    ));
    let again = first
        .node
        .join("other.example".parse().unwrap(), maille::Credential::open())
        .await;
    assert!(matches!(again, Err(maille::JoinError::NodeClosed)));
    within("a second shutdown", SOON, first.node.shutdown()).await;
}

/// A mesh that is left ends its subscribers and publishers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leaving_ends_what_is_left_of_a_mesh() {
    let [first, second] = two().await;
    let mut subscriber = second.text("feed").subscribe().start().await.unwrap();
    let publisher = second.text("feed").publisher().await.unwrap();
    second.mesh.clone().leave().await;
    assert!(matches!(
        within("the end", SOON, subscriber.next_record()).await,
        Err(StreamError::Closed)
    ));
    assert!(within("the end", SOON, subscriber.next()).await.is_none());
    assert!(matches!(
        publisher.publish(&String::new()).await,
        Err(PublishError::Closed)
    ));
    assert!(matches!(
        second.text("feed").subscribe().start().await,
        Err(SubscribeError::Closed)
    ));
    until("the neighbour is gone", SOON, || {
        whether(first.neighbours() == 0, || first.mesh.neighbours())
    })
    .await;
}
