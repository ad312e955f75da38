//! One pair of nodes and its connections: two at once, one that dies in silence, and one that serves two meshes.

use std::ops::Range;
use std::time::{Duration, Instant};

use maille::{Event, Keypair, Node, Publisher, Subscriber};
use maille_tests::nodes::{self, Member, Over, SOON, arrived, builder, credential, met, next, records, until, whether};

use crate::proxy::Proxy;

const MESH: &str = "pair.example";
const OTHER: &str = "other.example";
const PASSWORD: &str = "sulfur-unpaved-cosmic-jogging-evolve";
/// The 2 s, as CI asserts times.
const AGAIN_MAX: Duration = Duration::from_secs(10);
/// An ordered stream waits this long for what a cut took with it.
const GAP_MAX: Duration = Duration::from_secs(30);
/// Records before a connection is cut.
const BEFORE: u64 = 500;
const PACE: Duration = Duration::from_millis(2);

async fn node(key: &Keypair, knows: Vec<maille::Multiaddr>) -> Node {
    let described = builder(Over::Tcp).identity(key.clone()).bootstrap(knows);
    described.spawn().await.unwrap()
}

async fn member(node: Node) -> Member {
    nodes::join(node, MESH, &credential(MESH, PASSWORD)).await
}

/// One record from one to the other.
async fn passes(from: &Member, to: &Member, topic: &str) -> Duration {
    let started = Instant::now();
    let mut subscriber = to.text(topic).subscribe().start().await.unwrap();
    let publisher = from.text(topic).publisher().await.unwrap();
    nodes::within("a subscriber", SOON, publisher.ready(1)).await.unwrap();
    publisher.publish(&topic.to_owned()).await.unwrap();
    assert_eq!(next(&mut subscriber, SOON).await.value, topic);
    started.elapsed()
}

/// What arrived since: the numbers of the records, and how many were reported missing.
fn numbers(subscriber: &mut Subscriber<String>) -> (Vec<u64>, u64) {
    let (mut numbers, mut missing) = (Vec::new(), 0);
    for event in arrived(subscriber) {
        match event {
            Event::Record(record) => numbers.push(record.value.parse().unwrap()),
            Event::Gap { from, to, .. } => missing += to - from,
            other => panic!("{other:?}"),
        }
    }
    (numbers, missing)
}

/// Two nodes that dial each other at once, each through a link of its own; both connections stand.
async fn twice_connected() -> (Member, Member, [Proxy; 2]) {
    let (one, two) = (Keypair::generate_ed25519(), Keypair::generate_ed25519());
    let (to_one, to_two) = (Proxy::hold().await, Proxy::hold().await);
    let by = |proxy: &Proxy, key: &Keypair| vec![proxy.multiaddr(key.public().to_peer_id())];
    let a = node(&one, by(&to_two, &two)).await;
    let b = node(&two, by(&to_one, &one)).await;
    to_one.lead_to(&a.multiaddrs()[0]);
    to_two.lead_to(&b.multiaddrs()[0]);
    let dialled = || {
        let clients = [to_one.clients(), to_two.clients()];
        whether(clients == [1, 1], || clients)
    };
    until("both dials", SOON, dialled).await;
    to_one.forward();
    to_two.forward();
    let (a, b) = tokio::join!(member(a), member(b));
    let stand = || {
        let counts = [&a, &b].map(|member| member.node.metrics().connections_established);
        whether(counts == [2, 2], || counts)
    };
    until("two connections", SOON, stand).await;
    met([&a, &b], 1, SOON).await;
    (a, b, [to_one, to_two])
}

/// A stream over two connections: everything comes once and in order, over one of them, which is the shown one.
async fn stream_over_two(links: &[Proxy; 2], a: &Member, b: &Member) -> (Publisher<String>, Subscriber<String>, usize) {
    let mut subscriber = b.text("t").subscribe().start().await.unwrap();
    let publisher = a.text("t").publisher().await.unwrap();
    nodes::within("a subscriber", SOON, publisher.ready(1)).await.unwrap();
    let carried = links.each_ref().map(Proxy::bytes);
    publish(&publisher, 0..BEFORE).await;
    assert_eq!(received(&mut subscriber, BEFORE).await, (0..BEFORE).collect::<Vec<_>>());
    let carried: Vec<u64> = links
        .iter()
        .zip(carried)
        .map(|(link, was)| link.bytes() - was)
        .collect();
    let shown = usize::from(carried[1] > carried[0]);
    assert!(
        carried[shown] > 10 * carried[1 - shown],
        "both links carried frames: {carried:?}"
    );
    (publisher, subscriber, shown)
}

async fn publish(publisher: &Publisher<String>, numbers: Range<u64>) {
    // Long, so that frames are most of what travels.
    for n in numbers {
        publisher.publish(&format!("{n:0500}")).await.unwrap();
    }
    publisher.flush().await.unwrap();
}

async fn received(subscriber: &mut Subscriber<String>, count: u64) -> Vec<u64> {
    let records = records(subscriber, usize::try_from(count).unwrap(), SOON).await;
    records.iter().map(|record| record.value.parse().unwrap()).collect()
}

/// One connection closes while nothing is under way: nothing may be missing, doubled or out of order.
async fn one_of_two_closes(the_shown_one: bool) {
    let (a, b, links) = twice_connected().await;
    let (publisher, mut subscriber, shown) = stream_over_two(&links, &a, &b).await;
    links[if the_shown_one { shown } else { 1 - shown }].cut();
    let cut = Instant::now();
    for node in [&a.node, &b.node] {
        let closed = || whether(node.metrics().connections_closed == 1, || Box::new(node.metrics()));
        until("the end of one connection", SOON, closed).await;
    }
    nodes::within("the subscriber again", SOON, publisher.ready(1))
        .await
        .unwrap();
    publish(&publisher, BEFORE..2 * BEFORE).await;
    assert_eq!(
        received(&mut subscriber, BEFORE).await,
        (BEFORE..2 * BEFORE).collect::<Vec<_>>()
    );
    let took = cut.elapsed();
    eprintln!("one of two connections cut, the shown one: {the_shown_one}; {BEFORE} more records after {took:?}");
    assert!(took < AGAIN_MAX, "{took:?}");
    assert_eq!((a.neighbours(), b.neighbours()), (1, 1));
    passes(&b, &a, "back").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_shown_of_two_connections_closes_and_the_other_takes_over() {
    one_of_two_closes(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_reserve_of_two_connections_closes_and_nobody_notices() {
    one_of_two_closes(false).await;
}

/// The shown connection closes under a stream that goes on: what it takes with it is reported, and nothing else happens.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_closing_connection_takes_with_it_is_reported() {
    const AFTER: u64 = 500;
    let (a, b, links) = twice_connected().await;
    let (publisher, mut subscriber, shown) = stream_over_two(&links, &a, &b).await;
    links[shown].cut();
    let cut = Instant::now();
    let took_over = tokio::spawn({
        let (a, b) = (a.clone(), b.clone());
        async move { passes(&b, &a, "back").await }
    });
    let (mut last, mut missing, mut again) = (BEFORE - 1, 0, None);
    let (mut n, mut after) = (BEFORE, 0);
    while after < AFTER {
        let late = cut.elapsed() > AGAIN_MAX + GAP_MAX;
        assert!(
            !late,
            "after the cut {after} records arrived, {missing} reported missing"
        );
        // A publisher that waits for acknowledgements keeps its record, and its place.
        if let Ok(published) = tokio::time::timeout(PACE, publisher.publish(&n.to_string())).await {
            published.unwrap();
            n += 1;
        }
        tokio::time::sleep(PACE).await;
        let (numbers, gaps) = numbers(&mut subscriber);
        missing += gaps;
        for number in numbers {
            assert!(number > last, "{number} after {last}: duplicated or reordered");
            again.get_or_insert_with(|| cut.elapsed());
            last = number;
            after += 1;
        }
    }
    assert_eq!(
        last + 1,
        BEFORE + after + missing,
        "a record is missing and nobody said so"
    );
    let (again, took_over) = (again.unwrap(), took_over.await.unwrap());
    eprintln!(
        "the shown connection cut under a stream: a new stream's record passed {took_over:?} after the cut, the old \
         stream's {again:?}, with {missing} reported missing"
    );
    assert!(took_over < AGAIN_MAX, "{took_over:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_peer_is_admitted_while_its_old_connection_still_stands() {
    let (one, two) = (Keypair::generate_ed25519(), Keypair::generate_ed25519());
    let a = member(node(&one, Vec::new()).await).await;
    let link = Proxy::hold().await;
    link.lead_to(&a.node.multiaddrs()[0]);
    link.forward();
    let b = member(node(&two, vec![link.multiaddr(a.node.id())]).await).await;
    met([&a, &b], 1, SOON).await;
    passes(&a, &b, "before").await;
    // The old process is gone without a word, and its connection is still up at the other end.
    link.freeze();
    drop(b);
    let started = Instant::now();
    let b = member(node(&two, a.node.multiaddrs()).await).await;
    met([&b], 1, SOON).await;
    let admitted = started.elapsed();
    assert_eq!(
        a.node.metrics().connections_closed,
        0,
        "the old connection was to be up still"
    );
    passes(&a, &b, "down").await;
    passes(&b, &a, "up").await;
    let passed = started.elapsed();
    eprintln!("restarted over a dead connection: admitted after {admitted:?}, records both ways after {passed:?}");
    assert!(passed < AGAIN_MAX, "{passed:?}");
    assert_eq!((a.neighbours(), b.neighbours()), (1, 1));
    // The dead connection's end is not the live one's.
    link.cut();
    let closed = || whether(a.node.metrics().connections_closed == 1, || Box::new(a.node.metrics()));
    until("the end of the dead connection", SOON, closed).await;
    passes(&a, &b, "after").await;
    assert_eq!((a.neighbours(), b.neighbours()), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leaving_a_mesh_leaves_the_connection_to_the_other_mesh() {
    const RECORDS: usize = 300;
    let a = nodes::node(Over::Tcp, &[]).await;
    let b = nodes::node(Over::Tcp, &[&a]).await;
    let (a, b) = tokio::join!(member(a), member(b));
    let other = credential(OTHER, PASSWORD);
    let c = nodes::join(a.node.clone(), OTHER, &other).await;
    let d = nodes::join(b.node.clone(), OTHER, &other).await;
    met([&a, &b, &c, &d], 1, SOON).await;
    let mut subscriber = d.text("t").subscribe().start().await.unwrap();
    let publisher = c.text("t").publisher().await.unwrap();
    nodes::within("a subscriber", SOON, publisher.ready(1)).await.unwrap();
    let publish = async {
        for n in 0..RECORDS {
            publisher.publish(&n.to_string()).await.unwrap();
            tokio::time::sleep(PACE).await;
        }
    };
    let leave_and_come_back = async {
        let mut a = a;
        for _ in 0..3 {
            let node = a.node.clone();
            a.mesh.leave().await;
            let left = || whether(b.neighbours() == 0, || b.neighbours());
            until("the other sees it leave", SOON, left).await;
            a = member(node).await;
            met([&a, &b], 1, SOON).await;
            passes(&b, &a, "again").await;
        }
        a
    };
    let ((), a) = tokio::join!(publish, leave_and_come_back);
    let received = records(&mut subscriber, RECORDS, SOON).await;
    let received: Vec<usize> = received.iter().map(|record| record.value.parse().unwrap()).collect();
    assert_eq!(received, (0..RECORDS).collect::<Vec<_>>());
    for node in [&a.node, &b.node] {
        let metrics = node.metrics();
        assert_eq!(
            (metrics.connections_established, metrics.connections_closed),
            (1, 0),
            "{metrics:?}"
        );
    }
    assert_eq!((c.neighbours(), d.neighbours()), (1, 1));
}
