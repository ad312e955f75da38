//! T4: whoever has not proved the password gets nothing out of a mesh and nothing into it, whatever it speaks.

use std::collections::BTreeSet;

use libp2p::{PeerId, StreamProtocol};
use maille_tests::nodes::{self, Member, Over, SOON, builder, credential, met, records, until, whether};
use maille_tests::stranger::{ADMISSION, MESH_PREFIX, NoStream, Speaks, Stranger};

use crate::by_hand::{Author, GOSSIP, Insider, key, rpc_publish, rpc_subscribe};

const MESH: &str = "market.example";
const PASSWORD: &str = "sulfur-unpaved-cosmic-jogging-evolve";
const TOPIC: &str = "equities/us";
const MESSAGES: usize = 10_000;
/// What a gossipsub that is not behind a gate would answer to.
const GOSSIP_IDS: [&str; 6] = [
    "/meshsub/1.3.0",
    "/meshsub/1.2.0",
    "/meshsub/1.1.0",
    "/meshsub/1.0.0",
    "/floodsub/1.0.0",
    "/maille/m/0000000000000000/meshsub/1.3.0",
];

fn topics() -> Vec<String> {
    [TOPIC.to_owned(), format!("{MESH}/{TOPIC}"), MESH.to_owned()].into()
}

/// Members that know the strangers and so dial them, and dial each other.
async fn members(over: Over, strangers: &[&Stranger]) -> Vec<Member> {
    let known = || strangers.iter().map(|stranger| stranger.multiaddr.clone());
    let mut members: Vec<Member> = Vec::new();
    for _ in 0..3 {
        let others = members.iter().flat_map(|member| member.node.multiaddrs());
        let node = builder(over).bootstrap(known().chain(others)).spawn().await.unwrap();
        members.push(nodes::join(node, MESH, &credential(MESH, PASSWORD)).await);
    }
    met(&members, 2, SOON).await;
    members
}

/// Connects a stranger to every member by a dial of its own, beside what the members dialled.
async fn connect(stranger: &Stranger, members: &[Member]) {
    for member in members {
        stranger.dial(&member.node.multiaddrs()[0]).await;
    }
    let told = || {
        let seen = stranger.seen();
        let missing = |member: &&Member| !seen.protocols.contains_key(&member.node.id());
        whether(!members.iter().any(|member| missing(&member)), || seen.clone())
    };
    until("identify of every member", SOON, told).await;
}

/// Connects again where a member has closed an idle connection.
async fn stay(stranger: &Stranger, members: &[Member]) {
    for member in members {
        if !stranger.seen().is_connected(&member.node.id()) {
            stranger.dial(&member.node.multiaddrs()[0]).await;
        }
    }
}

fn protocols(strangers: &[Stranger]) -> BTreeSet<String> {
    let seen = strangers.iter().map(Stranger::seen);
    seen.flat_map(|seen| seen.protocols.into_values().flatten()).collect()
}

/// Asks every member for a stream under a name; none may speak it.
async fn refused(stranger: &Stranger, members: &[Member], protocol: &str) {
    for member in members {
        let protocol = StreamProtocol::try_from_owned(protocol.to_owned()).unwrap();
        let opened = stranger.open(member.node.id(), protocol.clone()).await;
        assert_eq!(
            opened.err(),
            Some(NoStream::NotSpoken),
            "{protocol} was opened to a stranger"
        );
    }
}

/// Writes gossipsub messages with good frames under a name that a member does speak. Says how many it took.
async fn force(stranger: &Stranger, peer: PeerId, protocol: &str, count: usize) -> usize {
    const AT_ONCE: usize = 50;
    let mut author = Author::new(&format!("{MESH}/{TOPIC}"));
    let mut written = 0;
    let mut streams = 0;
    while written < count && streams < count / 10 {
        streams += 1;
        let protocol = StreamProtocol::try_from_owned(protocol.to_owned()).unwrap();
        let Ok(mut wire) = stranger.open(peer, protocol).await else {
            return written;
        };
        let mut sent = wire.send(&rpc_subscribe(TOPIC)).await;
        for _ in 0..AT_ONCE {
            if sent.is_err() {
                break;
            }
            sent = wire.send(&rpc_publish(TOPIC, &author.frame("from a stranger"))).await;
            written += usize::from(sent.is_ok());
        }
    }
    written
}

/// The strangers' part: ten thousand messages with gossipsub, and as many written by hand under every name they know.
async fn flood(strangers: &[Stranger], members: &[Member], ids: &BTreeSet<String>) -> usize {
    const LAPS_MAX: usize = 20;
    let mut forced = 0;
    let each = MESSAGES / ids.len() / members.len() + 1;
    // Under some names a member takes little before it hangs up: as many laps as it needs.
    for lap in 0..LAPS_MAX {
        for (index, id) in ids.iter().enumerate() {
            let stranger = &strangers[(lap + index) % strangers.len()];
            stay(stranger, members).await;
            for member in members {
                forced += force(stranger, member.node.id(), id, each).await;
            }
        }
        if forced >= MESSAGES {
            break;
        }
    }
    let mut author = Author::new(&format!("{MESH}/{TOPIC}"));
    for n in 0..MESSAGES {
        let stranger = &strangers[n % strangers.len()];
        let frame = author.frame("from a stranger").to_vec();
        assert!(
            !stranger.publish(&topics()[n % topics().len()], frame).await,
            "a member took a stranger's message"
        );
    }
    forced
}

/// What the strangers' gossipsub does among its own kind.
async fn gossips_with_its_own(stranger: &Stranger, over: Over) {
    const CONTROL: u64 = 100;
    let friend = Stranger::start(over, Speaks::Plain(topics())).await;
    friend.dial(&stranger.multiaddr).await;
    let heard = || whether(stranger.seen().subscriptions > 0, || stranger.seen());
    until("a subscription of its own kind", SOON, heard).await;
    let before = friend.seen().messages;
    for n in 0..CONTROL {
        assert!(stranger.publish(TOPIC, n.to_be_bytes().to_vec()).await);
    }
    let arrived = || whether(friend.seen().messages - before == CONTROL, || friend.seen().messages);
    until("messages among strangers", SOON, arrived).await;
}

async fn t4(over: Over) {
    let plain = Stranger::start(over, Speaks::Plain(topics())).await;
    let eager = Stranger::start(over, Speaks::Under(ADMISSION.to_string(), topics())).await;
    let members = members(over, &[&plain, &eager]).await;
    let mut strangers = vec![plain, eager];
    for stranger in &strangers {
        let dialled = || {
            let seen = stranger.seen();
            let by = |member: &Member| seen.connections.get(&member.node.id()).is_some_and(|(_, by)| *by > 0);
            whether(members.iter().all(by), || seen.clone())
        };
        until("every member dials the stranger it was told of", SOON, dialled).await;
        connect(stranger, &members).await;
    }
    // What it can see, it speaks.
    let ids = protocols(&strangers);
    assert!(
        ids.contains("/maille/kad/1") && ids.contains(ADMISSION.as_ref()),
        "{ids:?}"
    );
    for id in ids.iter().filter(|id| *id != ADMISSION.as_ref()) {
        let stranger = Stranger::start(over, Speaks::Under(id.clone(), topics())).await;
        connect(&stranger, &members).await;
        strangers.push(stranger);
    }
    // A name that is in use elsewhere is none here.
    let insider = Stranger::start(over, Speaks::NoGossip).await;
    let peer = insider.dial(&members[0].node.multiaddrs()[0]).await;
    let insider = Insider::enter(insider, peer, &key(MESH, PASSWORD)).await;
    assert!(insider.gossip.as_ref().starts_with(MESH_PREFIX) && insider.gossip.as_ref().ends_with(GOSSIP));
    drop(insider.gossip().await);
    for id in GOSSIP_IDS.into_iter().chain([insider.gossip.as_ref()]) {
        refused(&strangers[0], &members, id).await;
    }
    drop(insider);
    met(&members, 2, SOON).await;

    let mut subscribers = Vec::new();
    for member in &members[1..] {
        subscribers.push(member.text(TOPIC).subscribe().start().await.unwrap());
    }
    let publisher = members[0].text(TOPIC).publisher().await.unwrap();
    nodes::within("subscribers", SOON, publisher.ready(2)).await.unwrap();
    let publish = async {
        for n in 0..MESSAGES {
            publisher.publish(&format!("tick {n}")).await.unwrap();
        }
        publisher.flush().await.unwrap()
    };
    let started = std::time::Instant::now();
    let (forced, _) = tokio::join!(flood(&strangers, &members, &ids), publish);
    let took = started.elapsed();
    assert!(forced >= MESSAGES, "only {forced} messages left the strangers");
    for (member, subscriber) in members[1..].iter().zip(&mut subscribers) {
        let received = records(subscriber, MESSAGES, SOON).await;
        for (n, record) in received.iter().enumerate() {
            assert_eq!(
                (record.value.as_str(), record.author),
                (format!("tick {n}").as_str(), members[0].node.id())
            );
        }
        let metrics = member.node.metrics();
        // Nothing came but the frames of the one publisher.
        let published = members[0].node.metrics().frames_published;
        assert!((1..=published).contains(&metrics.frames_received), "{metrics:?}");
        assert_eq!(
            (metrics.records_delivered, metrics.frames_rejected),
            (MESSAGES as u64, 0),
            "{metrics:?}"
        );
        assert!(nodes::arrived(subscriber).is_empty(), "more than was published");
    }
    assert_eq!(members[0].node.metrics().frames_received, 0);
    for stranger in &strangers {
        let seen = stranger.seen();
        assert_eq!(
            (seen.messages, seen.subscriptions, seen.accepted_by_some),
            (0, 0, 0),
            "{seen:?}"
        );
    }
    let ids = protocols(&strangers);
    assert!(!ids.iter().any(|id| id.starts_with(MESH_PREFIX)), "{ids:?}");
    eprintln!(
        "T4 {over:?}: {} strangers, {MESSAGES} published to gossipsub and {forced} forced on streams under {ids:?}: 0 \
         accepted; 0 of {MESSAGES} heard; each member {MESSAGES} of {MESSAGES}; {took:?}",
        strangers.len()
    );
    gossips_with_its_own(&strangers[0], over).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t4_a_stranger_hears_nothing_and_is_not_heard_over_tcp() {
    t4(Over::Tcp).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t4_a_stranger_hears_nothing_and_is_not_heard_over_quic() {
    t4(Over::Quic).await;
}
