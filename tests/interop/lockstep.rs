//! A player that moves twice in one tick, by hand: all who play hold the proof, both signed frames, and go on without it.

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use maille::core::lockstep::session;
use maille::{Lockstep, LockstepEvent, LockstepOptions, PeerId};
use maille_proto::lockstep::{LockstepRecord, Move};
use maille_tests::nodes::{self, Member, Over, SOON, credential, met, within};
use maille_tests::stranger::{Speaks, Stranger};
use prost::Message as _;

use crate::by_hand::{Author, Insider, key, rpc_publish, rpc_subscribe};

const MESH: &str = "games.example";
const PASSWORD: &str = "sulfur-unpaved-cosmic-jogging-evolve";
const ROOM: &str = "duel";
const TOPIC: &str = ".lockstep/duel";
/// Ticks that the cheat first plays as all do.
const HONEST: u32 = 5;

/// What the cheat says: moves from tick 1 on, of which the last is this one.
fn record(session: u64, ticks: u32, last: &[u8]) -> Vec<u8> {
    let mut moves = vec![Move::default(); ticks as usize];
    moves.last_mut().unwrap().input = last.to_vec();
    let record = LockstepRecord {
        session,
        run: 7,
        first: 1,
        moves,
        held: vec![0; 3],
        ..LockstepRecord::default()
    };
    record.encode_to_vec()
}

/// Plays until the cheat has left and ten ticks more; what proved it.
async fn play(mut game: Lockstep, cheat: PeerId) -> (Option<u32>, Option<Bytes>, Option<Bytes>) {
    let (mut proof, mut left_at) = (None, None);
    while let Some(event) = game.next().await {
        match event {
            LockstepEvent::Tick(step) => {
                game.stepped(step.tick, u64::from(step.tick));
                if step.left == [cheat] {
                    left_at = Some(step.tick);
                }
                if left_at.is_some_and(|at| step.tick > at + 10)
                    && let Some(proof) = proof.take()
                {
                    return proof;
                }
            }
            LockstepEvent::Equivocated {
                player,
                tick,
                first,
                second,
            } => {
                assert_eq!(player, cheat);
                proof = Some((tick, first, second));
            }
            _ => {}
        }
    }
    panic!("the session ended");
}

async fn twice(in_one_place: bool) {
    let credential = credential(MESH, PASSWORD);
    let near = nodes::member(Over::Tcp, &[], MESH, &credential).await;
    let far = nodes::member(Over::Tcp, &[&near.node], MESH, &credential).await;
    met([&near, &far], 1, SOON).await;
    let stranger = Stranger::start(Over::Tcp, Speaks::NoGossip).await;
    let peer = stranger.dial(&near.node.multiaddrs()[0]).await;
    let cheat = Insider::enter(stranger, peer, &key(MESH, PASSWORD)).await;
    met([&near], 2, SOON).await;
    let mut gossip = cheat.gossip().await;
    gossip.send(&rpc_subscribe(TOPIC)).await.unwrap();

    let mut author = Author::new(&format!("{MESH}/{TOPIC}"));
    let id = author.id();
    let options = LockstepOptions::new([near.node.id(), far.node.id(), id]);
    let open = async |member: &Member| {
        member
            .mesh
            .lockstep(ROOM.parse().unwrap(), options.clone())
            .await
            .unwrap()
    };
    let (near_plays, far_plays) = (open(&near).await, open(&far).await);
    let mut players = options.players.clone();
    players.sort_by_key(|player| player.to_bytes());
    let session = session(&ROOM.parse().unwrap(), &players, options.tick);

    let games = tokio::spawn(async move { tokio::join!(play(near_plays, id), play(far_plays, id)) });
    // Until both are there to hear it, and have executed it.
    tokio::time::timeout(SOON, async {
        while !near
            .mesh
            .topics()
            .await
            .iter()
            .any(|topic| topic.name.as_str() == TOPIC)
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .unwrap();
    let honest = author.frame_of(record(session, HONEST, b""));
    gossip.send(&rpc_publish(TOPIC, &honest)).await.unwrap();
    let mut other = author.clone();
    let first = author.frame_of(record(session, HONEST + 3, b"left"));
    // In the same place of the stream, or in the next one.
    let second = match in_one_place {
        true => other.frame_of(record(session, HONEST + 3, b"right")),
        false => author.frame_of(record(session, HONEST + 3, b"right")),
    };
    for frame in [&first, &second] {
        gossip.send(&rpc_publish(TOPIC, frame)).await.unwrap();
    }
    let (at_near, at_far) = within("both go on without it", SOON, games).await.unwrap();
    let tick = (!in_one_place).then_some(HONEST + 3);
    for proof in [at_near, at_far] {
        assert_eq!(proof, (tick, Some(first.clone()), Some(second.clone())));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_moves_in_two_frames_prove_each_other_wrong() {
    twice(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_frames_in_one_place_prove_each_other_wrong() {
    twice(true).await;
}
