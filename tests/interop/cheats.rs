//! Members that know the password and cheat: what they forge is rejected, and honest members go on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use libp2p::StreamProtocol;
use maille::core::admission::MeshKey;
use maille::{Event, Publisher, Subscriber};
use maille_proto::control::{Ack, Acks, Clock, Farewell, Message, Swap};
use maille_proto::{CONTROL_FRAME_BYTES_MAX, encode_control};
use maille_tests::nodes::{self, Member, Over, SOON, arrived, credential, met, next, records, until, whether};
use maille_tests::stranger::{End, NoStream, Speaks, Stranger};

use crate::by_hand::{ANSWER, Author, Insider, admission, key, rpc_publish, rpc_subscribe};

const MESH: &str = "market.example";
const PASSWORD: &str = "sulfur-unpaved-cosmic-jogging-evolve";
const TOPIC: &str = "equities/us";

/// Two honest members; one publishes, both of them read.
struct Honest {
    near: Member,
    far: Member,
    publisher: Publisher<String>,
    readers: [Subscriber<String>; 2],
    published: usize,
}

impl Honest {
    async fn new() -> Self {
        let credential = credential(MESH, PASSWORD);
        let near = nodes::member(Over::Tcp, &[], MESH, &credential).await;
        let far = nodes::member(Over::Tcp, &[&near.node], MESH, &credential).await;
        met([&near, &far], 1, SOON).await;
        let readers = [
            near.text(TOPIC).subscribe().start().await.unwrap(),
            far.text(TOPIC).subscribe().start().await.unwrap(),
        ];
        let publisher = near.text(TOPIC).publisher().await.unwrap();
        nodes::within("a subscriber", SOON, publisher.ready(1)).await.unwrap();
        Self {
            near,
            far,
            publisher,
            readers,
            published: 0,
        }
    }

    async fn cheat(&self) -> Insider {
        let stranger = Stranger::start(Over::Tcp, Speaks::NoGossip).await;
        let peer = stranger.dial(&self.near.node.multiaddrs()[0]).await;
        self.enters(stranger, peer, &key(MESH, PASSWORD)).await
    }

    async fn enters(&self, stranger: Stranger, peer: maille::PeerId, key: &Arc<MeshKey>) -> Insider {
        let insider = Insider::enter(stranger, peer, key).await;
        met([&self.near], 2, SOON).await;
        insider
    }

    /// A record of the honest still reaches the honest, next in line, and their link stands.
    async fn go_on(&mut self, after: &str) {
        let text = format!("honest {} after {after}", self.published);
        self.publisher.publish(&text).await.unwrap();
        self.published += 1;
        for reader in &mut self.readers {
            let record = next(reader, SOON).await;
            assert_eq!(
                (record.value.as_str(), record.author),
                (text.as_str(), self.near.node.id())
            );
        }
        let far = self.far.node.id();
        assert!(
            self.near.mesh.neighbours().contains(&far),
            "after {after} the honest lost each other"
        );
    }
}

/// The cheat is out, and what came on its control stream before.
async fn thrown_out(honest: &Honest, cheat: &mut Insider) {
    let out = || whether(honest.near.neighbours() == 1, || honest.near.mesh.neighbours());
    until("the cheat is thrown out", SOON, out).await;
    let heard = cheat.control.hear(ANSWER).await;
    assert_ne!(heard.end, End::Open);
}

/// The control for all below: what the hand writes is read, and good frames of its are delivered and passed on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn good_frames_by_hand_are_delivered_and_forged_ones_are_not() {
    const GOOD: usize = 20;
    let mut honest = Honest::new().await;
    let cheat = honest.cheat().await;
    let mut gossip = cheat.gossip().await;
    gossip.send(&rpc_subscribe(TOPIC)).await.unwrap();
    let mut author = Author::new(&format!("{MESH}/{TOPIC}"));
    let mut elsewhere = Author::new(&format!("{MESH}/equities/eu"));
    let mut in_another_mesh = Author::new(&format!("other.example/{TOPIC}"));
    let mut forged = 0;
    for n in 0..GOOD {
        let frame = author.frame(&n.to_string()).to_vec();
        // Copies with a flipped bit come first, one in every part: they must not shadow the real one.
        for at in [0, 40, 64, 80, 110, frame.len() - 1] {
            let mut copy = frame.clone();
            copy[at] ^= 0x10;
            gossip.send(&rpc_publish(TOPIC, &copy)).await.unwrap();
            forged += 1;
        }
        let strays = [
            frame[..frame.len() - 1].to_vec(),
            [&frame[..], &[0]].concat(),
            elsewhere.frame("a frame of another topic").to_vec(),
            in_another_mesh.frame("a frame of another mesh").to_vec(),
            vec![n as u8; 70],
        ];
        for stray in strays {
            gossip.send(&rpc_publish(TOPIC, &stray)).await.unwrap();
            forged += 1;
        }
        gossip.send(&rpc_publish(TOPIC, &frame)).await.unwrap();
        // And again: once is enough.
        gossip.send(&rpc_publish(TOPIC, &frame)).await.unwrap();
    }
    for (index, reader) in honest.readers.iter_mut().enumerate() {
        let received = records(reader, GOOD, SOON).await;
        for (n, record) in received.iter().enumerate() {
            assert_eq!(
                (record.value.as_str(), record.author),
                (n.to_string().as_str(), author.id())
            );
        }
        let deliverer = [cheat.stranger.id, honest.near.node.id()][index];
        assert!(received.iter().all(|record| record.delivered_by == deliverer));
    }
    let rejected = || {
        let metrics = honest.near.node.metrics();
        whether(metrics.frames_rejected == forged, || Box::new(metrics))
    };
    until("every forged frame is rejected", SOON, rejected).await;
    assert_eq!(
        honest.far.node.metrics().frames_rejected,
        0,
        "a forged frame was passed on"
    );
    honest.go_on("forged frames").await;
    eprintln!("{forged} forged frames: all rejected at the first hop; {GOOD} of {GOOD} good ones everywhere");
}

/// Streams without end: a neighbour brings only so many, and honest streams do not notice (T20, in short).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_minter_of_publishers_is_held_to_its_share() {
    const MINTED: usize = 500;
    const AT_ONCE: usize = maille::core::stream::seen::NEWCOMER_BURST as usize;
    /// What its share grows by while this test runs on a busy machine.
    const GROWN_MAX: usize = 12;
    let mut honest = Honest::new().await;
    let old = honest.far.text(TOPIC).publisher().await.unwrap();
    nodes::within("a subscriber", SOON, old.ready(1)).await.unwrap();
    old.publish(&"old".to_owned()).await.unwrap();
    for reader in &mut honest.readers {
        assert_eq!(next(reader, SOON).await.value, "old");
    }
    let cheat = honest.cheat().await;
    let mut gossip = cheat.gossip().await;
    for _ in 0..MINTED {
        let mut author = Author::new(&format!("{MESH}/{TOPIC}"));
        gossip.send(&rpc_publish(TOPIC, &author.frame("minted"))).await.unwrap();
    }
    let judged = || {
        let metrics = honest.near.node.metrics();
        let judged = metrics.frames_over_limit + metrics.frames_received;
        whether(judged > MINTED as u64, || Box::new(metrics))
    };
    until("all minted frames are judged", SOON, judged).await;
    let metrics = honest.near.node.metrics();
    assert!(
        metrics.frames_over_limit >= (MINTED - AT_ONCE - GROWN_MAX) as u64,
        "{metrics:?}"
    );
    // A stream that was there goes on, and one that begins at a neighbour is heard.
    old.publish(&"still there".to_owned()).await.unwrap();
    honest.publisher.publish(&"new".to_owned()).await.unwrap();
    for reader in &mut honest.readers {
        let mut wanted = vec!["still there", "new"];
        let mut minted = 0;
        while !wanted.is_empty() {
            let record = next(reader, SOON).await;
            minted += usize::from(record.value == "minted");
            wanted.retain(|text| *text != record.value);
        }
        assert!(
            minted <= AT_ONCE + GROWN_MAX,
            "{minted} minted publishers were delivered"
        );
    }
    eprintln!(
        "{MINTED} minted publishers: {} over the limit; honest streams, old and new, go on",
        metrics.frames_over_limit
    );
}

fn acks(topic: &str, incarnation: u64, next: u64) -> Vec<u8> {
    let ack = Ack {
        topic: topic.to_owned(),
        incarnation,
        next,
    };
    encode_control(Message::Acks(Acks { acks: vec![ack] }))
}

/// Acknowledgements of what was never sent count for nothing, and release nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acks_from_the_future_are_not_believed() {
    let mut honest = Honest::new().await;
    let mut cheat = honest.cheat().await;
    cheat.gossip().await.send(&rpc_subscribe(TOPIC)).await.unwrap();
    honest.go_on("nothing yet").await;
    let incarnation = honest.publisher.incarnation();
    let lies = [
        acks(TOPIC, incarnation, u64::MAX),
        acks(TOPIC, incarnation, 1_000_000),
        acks(TOPIC, incarnation + 1, 1),
        acks(TOPIC, 0, 1),
        acks("no such topic!", incarnation, 1),
    ];
    for lie in &lies {
        cheat.control.send(lie).await.unwrap();
    }
    let counted = || {
        let metrics = honest.near.node.metrics();
        whether(metrics.acks_invalid >= lies.len() as u64, || Box::new(metrics))
    };
    until("every lie is counted", SOON, counted).await;
    honest.go_on("acks from the future").await;
    eprintln!("{} acks of what was never sent: none believed", lies.len());
}

/// Control frames that make no sense end the cheat's admission, and nothing else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_control_frames_end_the_admission_of_who_sends_them() {
    let too_many = (0..65).map(|n| Ack {
        topic: TOPIC.to_owned(),
        incarnation: n,
        next: n,
    });
    let malformed: Vec<(&str, Vec<u8>, bool)> = vec![
        ("garbage", vec![0x5a; 300], false),
        ("a truncated frame", acks(TOPIC, 1, 1)[..5].to_vec(), false),
        (
            "more acks than one frame may have",
            encode_control(Message::Acks(Acks {
                acks: too_many.collect(),
            })),
            false,
        ),
        ("one byte too long", vec![0x0a; CONTROL_FRAME_BYTES_MAX + 1], false),
        ("the largest length there is", [vec![0xff; 9], vec![1]].concat(), true),
    ];
    let mut honest = Honest::new().await;
    for (what, bytes, as_they_are) in &malformed {
        let mut cheat = honest.cheat().await;
        // It may be out before all is written.
        let _ = match as_they_are {
            true => cheat.control.send_bytes(bytes).await,
            false => cheat.control.send(bytes).await,
        };
        thrown_out(&honest, &mut cheat).await;
        honest.go_on(what).await;
    }
    eprintln!(
        "{} malformed control frames: each ended its sender's admission",
        malformed.len()
    );
}

/// Well-formed control frames full of nonsense: records that nobody signed, empty farewells, questions by the thousand.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nonsense_on_the_control_stream_harms_nobody() {
    const QUESTIONS: u64 = 2_000;
    let mut honest = Honest::new().await;
    let mut cheat = honest.cheat().await;
    let fake = maille_proto::admission::MemberRecord {
        envelope: vec![7; 200],
        topics: vec![1, 2, 3],
    };
    let records = vec![fake; 16];
    for answer in [true, false] {
        let swap = Swap {
            records: records.clone(),
            answer,
        };
        cheat.control.send(&encode_control(Message::Swap(swap))).await.unwrap();
    }
    // A cheat that claims our place was taken, once: no reason to go.
    let replaced = Farewell {
        sample: records,
        replaced: vec![0xff; 16],
    };
    cheat
        .control
        .send(&encode_control(Message::Farewell(replaced)))
        .await
        .unwrap();
    honest.go_on("nonsense").await;
    let mut answers = 0;
    for n in 1..=QUESTIONS {
        let clock = Clock {
            origin_us: n,
            answer_us: 0,
        };
        if cheat
            .control
            .send(&encode_control(Message::Clock(clock)))
            .await
            .is_err()
        {
            break;
        }
        // Read none for a while, then some: the queue for a member that does not read is bounded.
        if n % 500 == 0 {
            while cheat.control.receive(Duration::from_millis(50)).await.is_some() {
                answers += 1;
            }
        }
    }
    honest.go_on("two thousand questions").await;
    eprintln!("{QUESTIONS} clock questions: {answers} frames came back");
}

/// A member that never accepts the mesh's streams, or breaks them, time and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_breaks_its_streams_hurts_only_itself() {
    let mut honest = Honest::new().await;
    // Admitted, ready, and deaf: gossipsub's streams are refused.
    let deaf = Stranger::start(Over::Tcp, Speaks::NoGossip).await;
    let peer = deaf.dial(&honest.near.node.multiaddrs()[0]).await;
    let (admitted, mut control) = admission(&deaf, peer, &key(MESH, PASSWORD)).await.unwrap();
    control.send(&maille::core::admission::ready_frame()).await.unwrap();
    let started = Instant::now();
    honest.go_on("a deaf member").await;
    let heard = control.hear(ANSWER).await;
    eprintln!(
        "a deaf member: its admission {:?} after {:?}",
        heard.end,
        started.elapsed()
    );
    // Its protocol is gone with its admission, or still there for nothing.
    let gossip = StreamProtocol::try_from_owned(admitted.protocol_prefix + crate::by_hand::GOSSIP).unwrap();
    if heard.end != End::Open {
        assert_eq!(deaf.open(peer, gossip).await.err(), Some(NoStream::NotSpoken));
    }
    drop(deaf);
    // Ready, but its gossipsub streams are garbage or reset at once.
    let cheat = honest.cheat().await;
    for n in 0..10 {
        if let Ok(mut gossip) = cheat.stranger.open(cheat.peer, cheat.gossip.clone()).await {
            let _ = gossip.send_bytes(&[[0xff; 64], [n; 64]].concat()).await;
        }
        honest.go_on("garbage on gossipsub's stream").await;
    }
    // It comes again and again, each time with a new session.
    for n in 0..5 {
        let peer = cheat.peer;
        let fresh = admission(&cheat.stranger, peer, &key(MESH, PASSWORD)).await;
        assert!(fresh.is_ok(), "admission {n}: {fresh:?}");
        honest.go_on("one more admission").await;
    }
    assert!(
        honest
            .readers
            .iter_mut()
            .flat_map(arrived)
            .all(|event| matches!(event, Event::Record(_)))
    );
}
