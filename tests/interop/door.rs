//! The door on real sockets: what guessers and cheats get to hear, which is one and the same, and what members notice of
//! it, which is nothing.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use libp2p::PeerId;
use maille::core::admission::{Input, ready_frame};
use maille::{Keypair, Publisher, Subscriber};
use maille_proto::admission::{self, Message};
use maille_proto::{HANDSHAKE_FRAME_BYTES_MAX, SHARE_BYTES, decode_admission, encode_admission, with_length};
use maille_tests::nodes::{self, Member, Over, SOON, builder, credential, met, next};
use maille_tests::stranger::{ADMISSION, End, Heard, Speaks, Stranger, Wire};

use crate::by_hand::{ANSWER, admission as admitted, key, opener, step};

pub(crate) const MESH: &str = "door.example";
pub(crate) const PASSWORD: &str = "sulfur-unpaved-cosmic-jogging-evolve";
const WRONG: &str = "another-phrase-of-five-words";
/// A hello must come, a handshake end, and `Ready` follow within this, each.
const DEADLINE: Duration = Duration::from_secs(10);
/// CI asserts times as five times what they are.
pub(crate) const PATIENCE: Duration = Duration::from_secs(50);

/// Two members, one of which is visited; the other shows that it goes on delivering.
pub(crate) struct House {
    pub(crate) visited: Member,
    _other: Member,
    publisher: Publisher<String>,
    subscriber: Subscriber<String>,
    delivered: usize,
}

impl House {
    pub(crate) async fn new(over: Over, knows: &[&Stranger]) -> Self {
        let known = knows.iter().map(|stranger| stranger.multiaddr.clone());
        let node = builder(over).bootstrap(known).spawn().await.unwrap();
        let visited = nodes::join(node, MESH, &credential(MESH, PASSWORD)).await;
        let other = nodes::member(over, &[&visited.node], MESH, &credential(MESH, PASSWORD)).await;
        met([&visited, &other], 1, SOON).await;
        let subscriber = visited.text("t").subscribe().start().await.unwrap();
        let publisher = other.text("t").publisher().await.unwrap();
        nodes::within("a subscriber", SOON, publisher.ready(1)).await.unwrap();
        Self {
            visited,
            _other: other,
            publisher,
            subscriber,
            delivered: 0,
        }
    }

    /// A record still passes, and nobody else came in.
    pub(crate) async fn goes_on(&mut self, after: &str) {
        self.publisher.publish(&after.to_owned()).await.unwrap();
        assert_eq!(next(&mut self.subscriber, SOON).await.value, after);
        assert_eq!(self.visited.neighbours(), 1, "after {after}");
        self.delivered += 1;
    }

    pub(crate) async fn visitor(&self, over: Over) -> (Stranger, PeerId) {
        let stranger = Stranger::start(over, Speaks::NoGossip).await;
        let peer = stranger.dial(&self.visited.node.multiaddrs()[0]).await;
        (stranger, peer)
    }
}

fn proof(share: [u8; SHARE_BYTES], mac: Vec<u8>) -> Vec<u8> {
    encode_admission(Message::Proof(admission::Proof {
        share: share.to_vec(),
        mac,
    }))
}

fn share_of(frame: &[u8]) -> [u8; SHARE_BYTES] {
    let share = match decode_admission(frame).unwrap() {
        Message::Challenge(challenge) => challenge.share,
        Message::Proof(proof) => proof.share,
        other => panic!("no share in {other:?}"),
    };
    share.try_into().unwrap()
}

/// How a guesser answers the challenge.
const GUESSES: [&str; 11] = [
    "wrong password",
    "unknown mesh",
    "share that is no point",
    "share that is the neutral element",
    "share with the wrong length",
    "right share, wrong mac",
    "the acceptor's own share",
    "the challenge sent back",
    "a proof of an earlier handshake",
    "a second hello",
    "garbage",
];

/// One handshake with a bad proof: all that came back after the hello.
async fn guess(stranger: &Stranger, peer: PeerId, how: &str, earlier: &[u8]) -> Heard {
    let key = match how {
        "unknown mesh" => key("nobody.example", PASSWORD),
        "wrong password" => key(MESH, WRONG),
        _ => key(MESH, PASSWORD),
    };
    let mut machine = opener(&key, stranger.id, peer);
    let mut wire = stranger.open(peer, ADMISSION).await.unwrap();
    let hello = step(&mut machine, Input::Started).unwrap();
    wire.send(&hello).await.unwrap();
    let challenge = wire
        .receive(ANSWER)
        .await
        .unwrap_or_else(|| panic!("no challenge for: {how}"));
    let honest = step(&mut machine, Input::Received(challenge.clone())).unwrap();
    let bad = match how {
        "wrong password" | "unknown mesh" => honest,
        "share that is no point" => proof([0xff; SHARE_BYTES], vec![7; 32]),
        "share that is the neutral element" => proof([0; SHARE_BYTES], vec![7; 32]),
        "share with the wrong length" => encode_admission(Message::Proof(admission::Proof {
            share: vec![1; SHARE_BYTES - 1],
            mac: vec![7; 33],
        })),
        "right share, wrong mac" => proof(share_of(&honest), vec![7; 32]),
        "the acceptor's own share" => proof(share_of(&challenge), vec![7; 32]),
        "the challenge sent back" => challenge.clone(),
        "a proof of an earlier handshake" => earlier.to_vec(),
        "a second hello" => hello,
        "garbage" => vec![0x5a; 68],
        other => panic!("{other}"),
    };
    wire.send(&bad).await.unwrap();
    let mut heard = wire.hear(ANSWER).await;
    heard.frames.insert(0, challenge.len());
    heard
}

/// A whole honest handshake's proof, to be replayed; its admission ends at once.
async fn earlier_proof(stranger: &Stranger, peer: PeerId) -> Vec<u8> {
    let mut machine = opener(&key(MESH, PASSWORD), stranger.id, peer);
    let mut wire = stranger.open(peer, ADMISSION).await.unwrap();
    wire.send(&step(&mut machine, Input::Started).unwrap()).await.unwrap();
    let challenge = wire.receive(ANSWER).await.unwrap();
    step(&mut machine, Input::Received(challenge)).unwrap()
}

async fn one_ending(over: Over) {
    let mut house = House::new(over, &[]).await;
    let (stranger, peer) = house.visitor(over).await;
    let earlier = earlier_proof(&stranger, peer).await;
    let mut endings: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for how in GUESSES {
        let heard = guess(&stranger, peer, how, &earlier).await;
        assert_eq!(
            (heard.frames.len(), heard.rest, heard.end),
            (1, 0, End::Closed),
            "{how}: {heard:?}"
        );
        endings.entry(format!("{heard:?}")).or_default().push(how);
        house.goes_on(how).await;
    }
    eprintln!("T7 {over:?}: {} causes end as {endings:?}", GUESSES.len());
    assert_eq!(endings.len(), 1, "an oracle: {endings:#?}");
    let metrics = house.visited.node.metrics();
    assert!(metrics.admissions_refused >= GUESSES.len() as u64, "{metrics:?}");
    // The same hand, with the right password, is let in.
    let (_, wire) = admitted(&stranger, peer, &key(MESH, PASSWORD)).await.unwrap();
    drop(wire);
    house.goes_on("all of them").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t7_every_refusal_is_the_same_bytes_and_the_same_end_over_tcp() {
    one_ending(Over::Tcp).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t7_every_refusal_is_the_same_bytes_and_the_same_end_over_quic() {
    one_ending(Over::Quic).await;
}

/// First frames that are no hello, as bytes on the stream.
fn no_hellos() -> Vec<(&'static str, Vec<u8>)> {
    let mut later = encode_admission(Message::Hello(admission::Hello {
        version: 2,
        tag: vec![1; 16],
        session: vec![2; 16],
        nonce: vec![3; 32],
    }));
    let another_version = with_length(&later);
    later[3] = 1;
    let truncated = with_length(&later[..later.len() - 1]);
    let trailing = with_length(&[&later[..], &[0x52, 1, 0]].concat());
    vec![
        ("an empty frame", vec![0]),
        ("garbage", with_length(&[0x5a; 100])),
        ("Ready", with_length(&ready_frame())),
        ("a proof", with_length(&proof([1; SHARE_BYTES], vec![1; 32]))),
        ("another version", another_version),
        ("a truncated hello", truncated),
        ("a hello with an unknown field", trailing),
        (
            "one byte too long",
            with_length(&vec![0x0a; HANDSHAKE_FRAME_BYTES_MAX + 1]),
        ),
        ("the largest length there is", [vec![0xff; 9], vec![1]].concat()),
        ("a length that never ends", vec![0x80; 20]),
        (
            "a length that is not minimal",
            [vec![0x80 | 90, 0], vec![0; 90]].concat(),
        ),
        (
            "an HTTP request",
            b"GET / HTTP/1.1\r\nHost: maille.example\r\nAccept: */*\r\nConnection: close\r\n\r\n".to_vec(),
        ),
    ]
}

async fn no_answer(over: Over) {
    let mut house = House::new(over, &[]).await;
    let (stranger, peer) = house.visitor(over).await;
    let mut endings: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (what, bytes) in no_hellos() {
        let mut wire = stranger.open(peer, ADMISSION).await.unwrap();
        let started = Instant::now();
        // The end may come before all of it is written.
        let _ = wire.send_bytes(&bytes).await;
        let heard = wire.hear(ANSWER).await;
        assert!(
            heard.frames.is_empty() && heard.rest == 0 && heard.end != End::Open,
            "{what}: {heard:?}"
        );
        assert!(
            started.elapsed() < DEADLINE,
            "{what} held the stream for {:?}",
            started.elapsed()
        );
        endings.entry(format!("{:?}", heard.end)).or_default().push(what);
        house.goes_on(what).await;
    }
    eprintln!(
        "{over:?}: {} first frames that are no hello end as {endings:?}",
        no_hellos().len()
    );
    assert_eq!(endings.len(), 1, "{endings:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_hello_gets_no_byte_over_tcp() {
    no_answer(Over::Tcp).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_hello_gets_no_byte_over_quic() {
    no_answer(Over::Quic).await;
}

/// How one leaves: by a proper end, or by dropping the stream.
async fn abandon(mut wire: Wire, properly: bool) {
    if properly {
        wire.close().await;
    }
    drop(wire);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_abort_at_any_step_is_forgotten() {
    let mut house = House::new(Over::Tcp, &[]).await;
    let (stranger, peer) = house.visitor(Over::Tcp).await;
    for properly in [true, false] {
        for steps in 0..=4 {
            let mut machine = opener(&key(MESH, PASSWORD), stranger.id, peer);
            let mut wire = stranger.open(peer, ADMISSION).await.unwrap();
            let hello = with_length(&step(&mut machine, Input::Started).unwrap());
            if steps == 1 {
                wire.send_bytes(&hello[..hello.len() / 2]).await.unwrap();
            }
            if steps >= 2 {
                wire.send_bytes(&hello).await.unwrap();
            }
            if steps >= 3 {
                let challenge = wire.receive(ANSWER).await.unwrap();
                let proof = with_length(&step(&mut machine, Input::Received(challenge)).unwrap());
                let bytes = if steps == 3 { proof.len() / 2 } else { proof.len() };
                wire.send_bytes(&proof[..bytes]).await.unwrap();
            }
            abandon(wire, properly).await;
            house.goes_on(&format!("{steps} steps, {properly}")).await;
        }
        // Admitted, and gone before its Ready.
        let (_, wire) = admitted(&stranger, peer, &key(MESH, PASSWORD)).await.unwrap();
        abandon(wire, properly).await;
        house.goes_on(&format!("admitted, {properly}")).await;
    }
}

/// One that is admitted, and never says Ready: not a neighbour, and not for long, whichever side has the lower PeerId.
async fn never_ready(is_it: impl Fn(&PeerId, &PeerId) -> bool) {
    let mut house = House::new(Over::Tcp, &[]).await;
    let visited = house.visited.node.id();
    let identity =
        std::iter::repeat_with(Keypair::generate_ed25519).find(|key| is_it(&key.public().to_peer_id(), &visited));
    let stranger = Stranger::start_as(identity.unwrap(), Over::Tcp, Speaks::NoGossip).await;
    let peer = stranger.dial(&house.visited.node.multiaddrs()[0]).await;
    let (_, mut wire) = admitted(&stranger, peer, &key(MESH, PASSWORD)).await.unwrap();
    let started = Instant::now();
    house.goes_on("never ready").await;
    let heard = wire.hear(PATIENCE).await;
    let took = started.elapsed();
    eprintln!("admitted and never ready: ended after {took:?}, {heard:?}");
    assert!(
        heard.end == End::Closed && took >= DEADLINE - Duration::from_secs(1) && took < PATIENCE,
        "{took:?}, {heard:?}"
    );
    house.goes_on("the end of that").await;
}

/// The lower PeerId, the visited one, says Ready first and waits for the other's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_higher_peer_that_is_never_ready_is_no_neighbour() {
    never_ready(|stranger, visited| stranger > visited).await;
}

/// The higher PeerId, the visited one, waits for the other to choose a connection by its Ready.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lower_peer_that_is_never_ready_is_no_neighbour() {
    never_ready(|stranger, visited| stranger < visited).await;
}

/// Hellos that never come, or come drop by drop, while an honest newcomer is let in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn never_ending_hellos_end_and_hold_up_nobody() {
    // As many on each connection as are read at once.
    const SLOW: usize = 24;
    const SLOW_A_CONNECTION: usize = 8;
    let mut house = House::new(Over::Tcp, &[]).await;
    let mut strangers = Vec::new();
    for _ in 0..SLOW / SLOW_A_CONNECTION {
        strangers.push(house.visitor(Over::Tcp).await);
    }
    let slow = (0..SLOW).map(|n| {
        let (stranger, peer) = &strangers[n / SLOW_A_CONNECTION];
        async move {
            let mut wire = stranger.open(*peer, ADMISSION).await.unwrap();
            let started = Instant::now();
            if n % 2 == 1 {
                wire.send_bytes(&[100, 0x0a]).await.unwrap();
            }
            let heard = wire.hear(PATIENCE).await;
            assert!(heard.frames.is_empty() && heard.end != End::Open, "{heard:?}");
            started.elapsed()
        }
    });
    let honest = async {
        let (other, peer) = house.visitor(Over::Tcp).await;
        let started = Instant::now();
        let (_, wire) = admitted(&other, peer, &key(MESH, PASSWORD)).await.unwrap();
        drop(wire);
        started.elapsed()
    };
    let (ended, newcomer) = tokio::join!(futures::future::join_all(slow), honest);
    let (first, last) = (ended.iter().min().unwrap(), ended.iter().max().unwrap());
    eprintln!("{SLOW} slow hellos ended after {first:?} to {last:?}; an honest newcomer was admitted in {newcomer:?}");
    assert!(
        *first >= DEADLINE - Duration::from_secs(1) && *last < PATIENCE,
        "{ended:?}"
    );
    assert!(newcomer < Duration::from_secs(10), "{newcomer:?}");
    house.goes_on("slow hellos").await;
}

/// A proof that never comes: the handshake's deadline ends it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proof_that_never_comes_is_not_waited_for() {
    let mut house = House::new(Over::Tcp, &[]).await;
    let (stranger, peer) = house.visitor(Over::Tcp).await;
    let mut wire = stranger.open(peer, ADMISSION).await.unwrap();
    let mut machine = opener(&key(MESH, PASSWORD), stranger.id, peer);
    wire.send(&step(&mut machine, Input::Started).unwrap()).await.unwrap();
    wire.receive(ANSWER).await.unwrap();
    let started = Instant::now();
    let heard = wire.hear(PATIENCE).await;
    assert!(heard.frames.is_empty() && heard.end == End::Closed, "{heard:?}");
    let took = started.elapsed();
    eprintln!("a proof that never came: given up after {took:?}");
    assert!(took >= DEADLINE - Duration::from_secs(1) && took < PATIENCE, "{took:?}");
    house.goes_on("a missing proof").await;
}
