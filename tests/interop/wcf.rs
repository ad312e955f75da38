//! What went wrong in WCF Peer Channel, the ancestor, and is not to go wrong again: floods before authentication, and relays
//! that pay for what they honestly passed on. The others are where their parts are, all of them named `wcf_`.

use std::time::Duration;

use futures::StreamExt;
use maille::{Event, MeshEvent};
use maille_tests::nodes::{self, Over, SOON, credential, met, next, until, whether};
use maille_tests::stranger::{ADMISSION, Speaks, Stranger};

use crate::by_hand::{ANSWER, Author, GOSSIP, Insider, key, opener, rpc_publish, rpc_subscribe, step};
use maille::core::admission::Input;

const MESH: &str = "market.example";
const PASSWORD: &str = "sulfur-unpaved-cosmic-jogging-evolve";
const WRONG: &str = "sulfur-unpaved-cosmic-jogging-devolve";
const TOPIC: &str = "equities/us";
const MIB: usize = 1 << 20;

/// WCF read, and kept, what came on a connection before it was authenticated. Here a stranger's flood on the one stream that
/// strangers may open is not read: more than one frame too long, and the stream is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wcf_floods_before_admission_are_not_taken() {
    /// Streams that flood, each at another step.
    const FLOODS: usize = 6;
    const CHUNK: usize = 64 * 1_024;
    /// What a stream would take if somebody read it.
    const FLOOD: usize = 16 * MIB;
    /// A stream's window: what may be under way before its receiver says anything.
    const WINDOW_MAX: usize = MIB;
    /// In which a member that read would have read far more than that.
    const STALLED: Duration = Duration::from_secs(3);
    let gate = nodes::member(Over::Tcp, &[], MESH, &credential(MESH, PASSWORD)).await;
    let mut subscriber = gate.text(TOPIC).subscribe().start().await.unwrap();
    let publisher = gate.text(TOPIC).publisher().await.unwrap();
    let stranger = Stranger::start(Over::Tcp, Speaks::NoGossip).await;
    let peer = stranger.dial(&gate.node.multiaddrs()[0]).await;
    let mut author = Author::new(&format!("{MESH}/{TOPIC}"));
    let frames: Vec<u8> = (0..1_000)
        .flat_map(|n| maille_proto::with_length(&rpc_publish(TOPIC, &author.frame(&n.to_string()))))
        .collect();
    let mut taken = Vec::new();
    for flood in 0..FLOODS {
        let mut wire = stranger.open(peer, ADMISSION).await.unwrap();
        let mut machine = opener(&key(MESH, WRONG), stranger.id, peer);
        let hello = step(&mut machine, Input::Started).unwrap();
        // After nothing, after the hello, after a proof that is wrong.
        if flood % 3 >= 1 {
            wire.send(&hello).await.unwrap();
        }
        if flood % 3 == 2 {
            let challenge = wire.receive(ANSWER).await.expect("a challenge");
            let _ = wire
                .send(&step(&mut machine, Input::Received(challenge)).unwrap())
                .await;
        }
        let mut written = 0;
        let flooding = async {
            for chunk in frames.chunks(CHUNK).cycle() {
                if written >= FLOOD || wire.send_bytes(chunk).await.is_err() {
                    return;
                }
                written += chunk.len();
            }
        };
        // One that is stalled by the stream's window, unread, is as good as one that is hung up on.
        let _ = tokio::time::timeout(STALLED, flooding).await;
        taken.push(written);
    }
    eprintln!("of {FLOOD} bytes in each flood before admission, what left the stranger: {taken:?}");
    assert!(taken.iter().all(|bytes| *bytes <= WINDOW_MAX), "{taken:?}");
    let metrics = gate.node.metrics();
    assert_eq!(
        (
            metrics.frames_received,
            metrics.frames_rejected,
            metrics.admissions_granted,
            gate.neighbours()
        ),
        (0, 0, 0, 0),
        "{metrics:?}"
    );
    publisher.publish(&"honest".to_owned()).await.unwrap();
    assert_eq!(next(&mut subscriber, SOON).await.value, "honest");
    // The control: the same frames from a member are taken, every one.
    let member = Stranger::start(Over::Tcp, Speaks::NoGossip).await;
    let peer = member.dial(&gate.node.multiaddrs()[0]).await;
    let insider = Insider::enter(member, peer, &key(MESH, PASSWORD)).await;
    assert!(insider.gossip.as_ref().ends_with(GOSSIP));
    insider.gossip().await.send_bytes(&frames).await.unwrap();
    let taken = || {
        let metrics = gate.node.metrics();
        whether(metrics.frames_received == 1_001, || Box::new(metrics))
    };
    until("a member's frames are taken", SOON, taken).await;
}

/// In WCF a relay lost its link for a bad signature that it had passed on in good faith. Here nobody passes one on; and what
/// a relay cannot know, that a publisher contradicts itself elsewhere, costs the relay nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wcf_an_honest_relay_keeps_its_link() {
    /// As many bad frames as a neighbour is borne with.
    const FORGED: usize = 20;
    const FORKS: usize = 30;
    let right = credential(MESH, PASSWORD);
    let relay = nodes::member(Over::Tcp, &[], MESH, &right).await;
    let far = nodes::member(Over::Tcp, &[&relay.node], MESH, &right).await;
    met([&relay, &far], 1, SOON).await;
    let mut events = far.mesh.events();
    let mut at_relay = relay.text(TOPIC).subscribe().start().await.unwrap();
    let mut at_far = far.text(TOPIC).subscribe().start().await.unwrap();
    let publisher = relay.text(TOPIC).publisher().await.unwrap();
    nodes::within("a subscriber", SOON, publisher.ready(1)).await.unwrap();
    let stranger = Stranger::start(Over::Tcp, Speaks::NoGossip).await;
    let peer = stranger.dial(&relay.node.multiaddrs()[0]).await;
    let cheat = Insider::enter(stranger, peer, &key(MESH, PASSWORD)).await;
    let mut gossip = cheat.gossip().await;
    gossip.send(&rpc_subscribe(TOPIC)).await.unwrap();

    let mut author = Author::new(&format!("{MESH}/{TOPIC}"));
    for n in 0..FORGED {
        let good = author.frame(&n.to_string());
        let mut forged = good.to_vec();
        forged[n] ^= 1;
        for frame in [&forged[..], &good] {
            gossip.send(&rpc_publish(TOPIC, frame)).await.unwrap();
        }
    }
    for subscriber in [&mut at_relay, &mut at_far] {
        for n in 0..FORGED {
            assert_eq!(next(subscriber, SOON).await.value, n.to_string());
        }
    }
    // Each signature is good; two of them together are not, and the relay may have seen only one.
    for n in 0..FORKS {
        let mut author = Author::new(&format!("{MESH}/{TOPIC}"));
        let mut twin = author.clone();
        for frame in [author.frame(&format!("one {n}")), twin.frame(&format!("other {n}"))] {
            gossip.send(&rpc_publish(TOPIC, &frame)).await.unwrap();
        }
    }
    let (mut forks, mut records) = (0, 0);
    let all = async {
        while forks < FORKS || records < FORKS {
            match at_far.next().await {
                Some(Event::Fork { .. }) => forks += 1,
                Some(Event::Record(record)) if record.value.starts_with("one ") => records += 1,
                other => panic!("after {forks} forks, {records} records: {other:?}"),
            }
        }
    };
    nodes::within("every fork, beyond the relay", SOON, all).await;
    publisher.publish(&"honest".to_owned()).await.unwrap();
    assert_eq!(next(&mut at_far, SOON).await.value, "honest");

    let metrics = far.node.metrics();
    assert_eq!(
        (metrics.frames_rejected, metrics.connections_closed),
        (0, 0),
        "{metrics:?}"
    );
    assert_eq!(far.mesh.neighbours(), [relay.node.id()]);
    use futures::FutureExt;
    while let Some(Some(event)) = events.next().now_or_never() {
        assert!(!matches!(event, MeshEvent::NeighbourLeft { .. }), "{event:?}");
    }
    assert_eq!(relay.node.metrics().frames_rejected, FORGED as u64);
    eprintln!("{FORGED} forged frames went no further than the relay, {FORKS} forks through it; it kept its link");
}
