//! Members by hand that say they hold a blob, and then lie about it in every way: each is named, and the fetch completes.

use std::time::Duration;

use futures::StreamExt;
use libp2p::{PeerId, StreamProtocol};
use maille::core::blobs::wire::{Answer, Request};
use maille::core::blobs::{Claim, Question};
use maille::store::{BlobLimits, BlobStore, Found};
use maille::{BlobId, MeshEvent};
use maille_proto::{BLOB_ANSWER_BYTES_MAX, with_length};
use maille_tests::nodes::{Member, Over, SOON, credential, member, until, whether, within};
use maille_tests::stranger::{NoStream, Speaks, Stranger, Wire};

use crate::by_hand::{ANSWER, Insider, key};

const MESH: &str = "lies.example";
const PASSWORD: &str = "sulfur-unpaved-cosmic-jogging";
const BLOBS: &str = "/blobs/1";
const CHUNK: usize = 131_072;

/// What a member by hand does beside saying that it holds all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lie {
    /// Its outline is that of other bytes.
    Outline,
    /// Its outline is right; its chunks differ in one bit.
    Chunks,
    /// It announces a gigabyte.
    Oversize,
    /// It answers another question than it was asked.
    Beside,
    /// It answers what is no message.
    Garbage,
    /// It says how long its answer is, and never gives all of it.
    Endless,
    /// It gives nothing of what it says it holds.
    Boast,
}

/// What honest holders of these bytes say.
struct Truth(BlobStore, BlobId);

impl Truth {
    fn new(bytes: &[u8]) -> Self {
        let store = BlobStore::new(None, BlobLimits::default());
        let id = store.import(&mut &*bytes).unwrap();
        Self(store, id)
    }

    fn outline(&self) -> Answer {
        let Found::Proved((hashes, last)) = self.0.outline(&self.1).unwrap() else {
            panic!("it was just imported");
        };
        Answer::Outline { hashes, last }
    }

    fn chunk(&self, index: u32) -> Vec<u8> {
        let Found::Proved(chunk) = self.0.chunk(&self.1, index).unwrap() else {
            panic!("it was just imported");
        };
        chunk
    }

    fn lie(&self, lie: Lie, question: Question) -> Vec<u8> {
        let framed = |answer: Answer| with_length(&answer.write());
        match (lie, question) {
            (_, Question::Have) => framed(Answer::Holding(Claim::All)),
            (Lie::Outline, _) => {
                let Answer::Outline { mut hashes, last } = self.outline() else {
                    unreachable!()
                };
                hashes[40] ^= 1;
                framed(Answer::Outline { hashes, last })
            }
            (Lie::Chunks, Question::Outline) => framed(self.outline()),
            (Lie::Chunks, Question::Chunk(index)) => {
                let mut chunk = self.chunk(index);
                chunk[CHUNK - 1] ^= 0x80;
                framed(Answer::Chunk(chunk))
            }
            (Lie::Oversize, _) => [&[0x80, 0x80, 0x80, 0x80, 0x04][..], &[7; 4_096]].concat(),
            (Lie::Beside, _) => framed(Answer::Holding(Claim::All)),
            (Lie::Garbage, _) => with_length(&[0xff; 300]),
            (Lie::Endless, _) => with_length(&vec![7; BLOB_ANSWER_BYTES_MAX])[..1_000].to_vec(),
            (Lie::Boast, _) => framed(Answer::Missing),
        }
    }
}

/// Enters the mesh at this member, and lies from now on.
async fn liar(at: &Member, lie: Lie, bytes: &[u8]) -> PeerId {
    let stranger = Stranger::start(Over::Tcp, Speaks::NoGossip).await;
    let peer = stranger.dial(&at.node.multiaddrs()[0]).await;
    let id = stranger.id;
    let insider = Insider::enter_accepting(stranger, peer, &key(MESH, PASSWORD), &[BLOBS]).await;
    let truth = Truth::new(bytes);
    tokio::spawn(async move {
        // All of it: without its control stream it is no member.
        let insider = insider;
        let mut kept: Vec<Wire> = Vec::new();
        loop {
            let incoming = insider.stranger.incoming().await;
            if !incoming.protocol.as_ref().ends_with(BLOBS) {
                continue;
            }
            let mut wire = Wire::new(incoming.stream);
            let Some(question) = wire.receive(ANSWER).await else {
                continue;
            };
            let question = Request::read(&question).unwrap().question;
            // Who hears a lie may end the stream at once.
            let _ = wire.send_bytes(&truth.lie(lie, question)).await;
            if lie == Lie::Endless && question != Question::Have {
                kept.push(wire);
            } else {
                wire.close().await;
            }
        }
    });
    let neighbour = || whether(at.mesh.neighbours().contains(&id), || at.mesh.neighbours());
    until("the liar is a neighbour", SOON, neighbour).await;
    id
}

async fn honest(others: &[&maille::Node]) -> Member {
    member(Over::Tcp, others, MESH, &credential(MESH, PASSWORD)).await
}

/// Each liar alone with the reader: it is asked, and named; then an honest member comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_liar_is_named_and_the_fetch_completes_from_another() {
    let bytes: Vec<u8> = (0..CHUNK * 9 + 5).map(|at| (at % 251) as u8).collect();
    let id = BlobId::of(&bytes);
    for lie in [Lie::Outline, Lie::Chunks, Lie::Oversize, Lie::Beside, Lie::Garbage] {
        let reader = honest(&[]).await;
        let mut events = reader.mesh.events();
        let liar = liar(&reader, lie, &bytes).await;
        let fetch = reader.mesh.fetch(id).await.unwrap();
        let named = async {
            while let Some(event) = events.next().await {
                if let MeshEvent::BadHolder { peer, blob } = event {
                    return (peer, blob);
                }
            }
            panic!("the mesh ended");
        };
        let named = within(&format!("{lie:?} is named"), SOON, named).await;
        assert_eq!(named, (liar, id), "{lie:?}");
        assert!(
            reader.mesh.holders(id).await.contains(&liar),
            "it is a neighbour still, and asked for nothing"
        );
        let other = honest(&[&reader.node]).await;
        other.mesh.share(bytes.clone()).await.unwrap();
        assert!(
            within("all of it", SOON, fetch.bytes()).await.unwrap() == bytes,
            "{lie:?}"
        );
        assert_eq!(reader.node.metrics().blob_bytes_fetched, bytes.len() as u64, "{lie:?}");
    }
}

/// Those that cannot be proved to lie cannot hold a fetch up either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endless_answers_and_boasts_hold_up_nothing() {
    let bytes: Vec<u8> = (0..CHUNK * 40).map(|at| (at % 249) as u8).collect();
    let id = BlobId::of(&bytes);
    let reader = honest(&[]).await;
    for lie in [Lie::Endless, Lie::Endless, Lie::Boast] {
        liar(&reader, lie, &bytes).await;
    }
    let fetch = reader.mesh.fetch(id).await.unwrap();
    let other = honest(&[&reader.node]).await;
    other.mesh.share(bytes.clone()).await.unwrap();
    let started = std::time::Instant::now();
    assert!(within("all of it", SOON, fetch.bytes()).await.unwrap() == bytes);
    let took = started.elapsed();
    eprintln!("beside two that never end and one that boasts: {took:?}");
    assert!(
        took < Duration::from_secs(15),
        "two are asked for 2 s each before another is"
    );
}

/// What members ask is bounded and checked; who is not one is not heard.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_questions_cost_nothing_and_strangers_hear_nothing() {
    let bytes = vec![3; CHUNK * 3];
    let holder = honest(&[]).await;
    let blob = holder.mesh.share(bytes).await.unwrap();
    let stranger = Stranger::start(Over::Tcp, Speaks::NoGossip).await;
    let peer = stranger.dial(&holder.node.multiaddrs()[0]).await;
    for name in [BLOBS, "/maille/blobs/1", "/maille/m/0011223344556677/blobs/1"] {
        let name = StreamProtocol::try_from_owned(name.to_owned()).unwrap();
        assert_eq!(stranger.open(peer, name).await.map(drop), Err(NoStream::NotSpoken));
    }
    let insider = Insider::enter(stranger, peer, &key(MESH, PASSWORD)).await;
    let named = StreamProtocol::try_from_owned(format!("{}{BLOBS}", insider.prefix)).unwrap();
    let ask = async |bytes: &[u8]| {
        let mut wire = insider.stranger.open(peer, named.clone()).await.unwrap();
        wire.send_bytes(bytes).await.unwrap();
        wire.receive(Duration::from_secs(5))
            .await
            .map(|answer| Answer::read(&answer).unwrap())
    };
    let question = |question| with_length(&Request { blob, question }.write());
    let gigabyte = [0x80, 0x80, 0x80, 0x80, 0x04, 1, 2, 3];
    for bad in [
        &gigabyte[..],
        &with_length(&[0xff; 60]),
        &with_length(&[]),
        &question(Question::Chunk(40_000)),
    ] {
        assert_eq!(ask(bad).await, None, "{bad:?}");
    }
    assert_eq!(
        ask(&question(Question::Chunk(7))).await,
        Some(Answer::Missing),
        "no such chunk"
    );
    assert_eq!(ask(&question(Question::Have)).await, Some(Answer::Holding(Claim::All)));
    // A thousand at once: most are put off, none is lost, and the holder goes on.
    let mut wires = Vec::new();
    for _ in 0..1_000 {
        let Ok(mut wire) = insider.stranger.open(peer, named.clone()).await else {
            break;
        };
        let _ = wire.send_bytes(&question(Question::Chunk(0))).await;
        wires.push(wire);
    }
    drop(wires);
    let other = honest(&[&holder.node]).await;
    let fetch = other.mesh.fetch(blob).await.unwrap();
    within("the holder goes on", SOON, fetch.bytes()).await.unwrap();
}
