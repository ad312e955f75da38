//! T5 over sockets: a thousand guesses, of which few are answered, while a member that was here before walks in.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use libp2p::PeerId;
use maille::core::admission::{Input, MeshKey};
use maille::{Keypair, Multiaddr};
use maille_tests::nodes::{self, Member, Over, SOON, builder, credential, met, next};
use maille_tests::stranger::{ADMISSION, Speaks, Stranger};

use crate::by_hand::{key, opener, step};

const MESH: &str = "siege.example";
const PASSWORD: &str = "sulfur-unpaved-cosmic-jogging-evolve";
const WRONG: &str = "another-phrase-of-five-words";
const ATTEMPTS: usize = 1_000;
const STRANGERS: usize = 20;
/// A node's guesses: at once, and for each second.
const BURST: usize = 60;
const PER_SECOND: f64 = 1.0;
/// Of the burst, what surely reaches guessers that are still listening.
const HEARD_MIN: usize = 40;
/// Between a guesser's guesses: a stream that is not answered at all ends at once.
const PACE: Duration = Duration::from_millis(50);
/// A guesser that is not answered tries again.
const PATIENCE: Duration = Duration::from_millis(500);
/// 2 s, as CI asserts times.
const KNOWN_JOINS_MAX: Duration = Duration::from_secs(10);
const JOINS: usize = 5;
/// Long enough to see the budget grow again.
const SIEGE_MIN: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
struct Tally {
    attempts: AtomicUsize,
    challenges: AtomicUsize,
    accepted: AtomicUsize,
    over: AtomicBool,
}

/// One guess. It counts as answered when a challenge comes back.
async fn guess(stranger: &Stranger, peer: PeerId, key: &Arc<MeshKey>, tally: &Tally) {
    tally.attempts.fetch_add(1, Ordering::Relaxed);
    let Ok(mut wire) = stranger.open(peer, ADMISSION).await else {
        return;
    };
    let mut machine = opener(key, stranger.id, peer);
    if wire.send(&step(&mut machine, Input::Started).unwrap()).await.is_err() {
        return;
    }
    let Some(challenge) = wire.receive(PATIENCE).await else {
        return;
    };
    tally.challenges.fetch_add(1, Ordering::Relaxed);
    let proof = step(&mut machine, Input::Received(challenge)).unwrap();
    if wire.send(&proof).await.is_ok() && wire.receive(SOON).await.is_some() {
        tally.accepted.fetch_add(1, Ordering::Relaxed);
    }
}

/// One guesser: with an identity of its own, at it until the siege is over.
async fn besiege(to: Multiaddr, tally: Arc<Tally>) {
    let stranger = Stranger::start(Over::Tcp, Speaks::NoGossip).await;
    let peer = stranger.dial(&to).await;
    let key = key(MESH, WRONG);
    while !tally.over.load(Ordering::Relaxed) || tally.attempts.load(Ordering::Relaxed) < ATTEMPTS {
        if !stranger.seen().is_connected(&peer) {
            stranger.dial(&to).await;
        }
        futures::future::join_all((0..4).map(|_| guess(&stranger, peer, &key, &tally))).await;
        tokio::time::sleep(PACE).await;
    }
}

async fn join(identity: &Keypair, to: &Member) -> Member {
    let described = builder(Over::Tcp)
        .identity(identity.clone())
        .bootstrap(to.node.multiaddrs());
    let node = described.spawn().await.unwrap();
    nodes::join(node, MESH, &credential(MESH, PASSWORD)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t5_a_thousand_guesses_are_answered_at_the_budgets_rate_and_a_known_member_walks_in() {
    let gate = nodes::member(Over::Tcp, &[], MESH, &credential(MESH, PASSWORD)).await;
    let identity = Keypair::generate_ed25519();
    let known = join(&identity, &gate).await;
    met([&gate, &known], 1, SOON).await;
    known.node.shutdown().await;

    let tally = Arc::new(Tally::default());
    let started = Instant::now();
    let to = gate.node.multiaddrs()[0].clone();
    let guessers: Vec<_> = (0..STRANGERS)
        .map(|_| tokio::spawn(besiege(to.clone(), tally.clone())))
        .collect();
    let spent = || {
        nodes::whether(tally.challenges.load(Ordering::Relaxed) >= HEARD_MIN, || {
            format!("{tally:?}")
        })
    };
    nodes::until("the budget is spent", SOON, spent).await;
    let mut joins = Vec::new();
    for n in 0..JOINS {
        let joining = Instant::now();
        let known = join(&identity, &gate).await;
        met([&known], 1, SOON).await;
        joins.push(joining.elapsed());
        let mut subscriber = known.text("t").subscribe().start().await.unwrap();
        let publisher = gate.text("t").publisher().await.unwrap();
        nodes::within("the known member", SOON, publisher.ready(1))
            .await
            .unwrap();
        publisher.publish(&n.to_string()).await.unwrap();
        assert_eq!(next(&mut subscriber, SOON).await.value, n.to_string());
        drop(subscriber);
        known.node.shutdown().await;
    }
    let grown = || nodes::whether(started.elapsed() >= SIEGE_MIN, || started.elapsed());
    nodes::until("the end of the siege", SOON, grown).await;
    tally.over.store(true, Ordering::Relaxed);
    for guesser in guessers {
        nodes::within("a guesser's end", 4 * SOON, guesser).await.unwrap();
    }
    let took = started.elapsed();
    let [attempts, challenges, accepted] =
        [&tally.attempts, &tally.challenges, &tally.accepted].map(|count| count.load(Ordering::Relaxed));
    let allowed = BURST as f64 + PER_SECOND * took.as_secs_f64() + 1.0;
    eprintln!(
        "T5: {attempts} guesses by {STRANGERS} peers in {took:?}: {challenges} answered of at most {allowed:.0}, \
         {accepted} accepted; the known member joined in {joins:?}"
    );
    assert!(attempts >= ATTEMPTS && challenges >= HEARD_MIN && (challenges as f64) <= allowed);
    // Also what was answered too late for its guesser to hear it; and this member's own joins count when refused.
    let refused = gate.node.metrics().admissions_refused as f64;
    assert!(
        refused <= allowed + JOINS as f64,
        "{refused} answered of at most {allowed:.0}"
    );
    assert_eq!(accepted, 0);
    assert!(joins.iter().all(|join| *join < KNOWN_JOINS_MAX), "{joins:?}");
    assert_eq!(gate.neighbours(), 0);
}
