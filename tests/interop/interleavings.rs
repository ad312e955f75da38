//! Joins, leaves, hellos and dials of one pair in any order: it always ends with both in the mesh.

use std::time::{Duration, Instant};

use maille::core::neighbours::Status;
use maille::{Keypair, Multiaddr, PeerId};
use maille_tests::nodes::{self, Member, SOON, credential, next, until, whether};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const MESH: &str = "pair.example";
const PASSWORD: &str = "sulfur-unpaved-cosmic-jogging-evolve";
const ROUNDS_VARIABLE: &str = "MAILLE_ROUNDS";
const SEED_VARIABLE: &str = "MAILLE_SEED";
const ROUNDS: usize = 60;
/// A pair is renewed before refused hellos, which are charged, have used up its budget.
const ROUNDS_A_PAIR: usize = 20;
/// A pair that has not met by then is stuck. A refused hello is said again after 15 s ± 20 %.
const STUCK: Duration = Duration::from_secs(60);

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap())
}

/// Two nodes that know each other from the start, and so dial each other at once.
async fn pair(rng: &mut StdRng) -> [maille::Node; 2] {
    let keys = [Keypair::generate_ed25519(), Keypair::generate_ed25519()];
    let ports: [Multiaddr; 2] = [0; 2].map(|_| {
        format!("/memory/{}", rng.random_range(1 << 32..u64::MAX))
            .parse()
            .unwrap()
    });
    let spawn = |mine: usize, other: usize| {
        let id: PeerId = keys[other].public().to_peer_id();
        let known = ports[other].clone().with_p2p(id).unwrap();
        maille::Node::builder()
            .identity(keys[mine].clone())
            .listen([ports[mine].clone()])
            .bootstrap([known])
            .mdns(false)
            .run_file(false)
            .heartbeat(nodes::HEARTBEAT)
            .spawn()
    };
    let (a, b) = tokio::join!(spawn(0, 1), spawn(1, 0));
    [a.unwrap(), b.unwrap()]
}

/// What one side does in a round: waits, joins, and perhaps changes its mind a few times.
#[derive(Clone, Debug)]
struct Plan {
    delay: Duration,
    /// Leaves after each of these, and joins anew.
    flaps: Vec<Duration>,
}

impl Plan {
    fn random(rng: &mut StdRng) -> Self {
        fn wait(rng: &mut StdRng) -> Duration {
            // Nothing, or about the handshake's own time, or well beyond it.
            let up_to_us = [1, 2_000, 10_000, 60_000][rng.random_range(0..4)];
            Duration::from_micros(rng.random_range(0..up_to_us))
        }
        let flaps = [0, 0, 0, 1, 2][rng.random_range(0..5)];
        Self {
            delay: wait(rng),
            flaps: (0..flaps).map(|_| wait(rng)).collect(),
        }
    }

    async fn follow(&self, node: &maille::Node) -> Member {
        let credential = credential(MESH, PASSWORD);
        tokio::time::sleep(self.delay).await;
        let mut member = nodes::join(node.clone(), MESH, &credential).await;
        for flap in &self.flaps {
            tokio::time::sleep(*flap).await;
            member.mesh.leave().await;
            member = nodes::join(node.clone(), MESH, &credential).await;
        }
        member
    }
}

async fn passes(from: &Member, to: &Member, text: &str) {
    let mut subscriber = to.text("t").subscribe().start().await.unwrap();
    let publisher = from.text("t").publisher().await.unwrap();
    nodes::within("a subscriber", STUCK, publisher.ready(1)).await.unwrap();
    publisher.publish(&text.to_owned()).await.unwrap();
    assert_eq!(next(&mut subscriber, STUCK).await.value, text);
}

async fn round(nodes: &[maille::Node; 2], rng: &mut StdRng, name: &str) -> (Duration, Duration) {
    let plans = [Plan::random(rng), Plan::random(rng)];
    let (a, b) = tokio::join!(plans[0].follow(&nodes[0]), plans[1].follow(&nodes[1]));
    let joined = Instant::now();
    let both = || {
        let states = [a.mesh.status(), b.mesh.status()];
        let met = states
            .iter()
            .all(|status| matches!(status, Status::Joined { neighbours: 1 }));
        whether(met, || {
            Box::new((states, plans.clone(), nodes.each_ref().map(maille::Node::metrics)))
        })
    };
    let (_, met) = until(&format!("{name}: both are neighbours"), STUCK, both).await;
    passes(&a, &b, "there").await;
    passes(&b, &a, "back").await;
    let passed = joined.elapsed();
    // They leave in any order, or at once.
    match rng.random_range(0..3) {
        0 => drop(tokio::join!(a.mesh.leave(), b.mesh.leave())),
        1 => {
            a.mesh.leave().await;
            b.mesh.leave().await;
        }
        _ => {
            b.mesh.leave().await;
            a.mesh.leave().await;
        }
    }
    (met, passed)
}

/// How often a node of a pair was refused: its hello came before the other had joined.
fn met_refusals(nodes: &[maille::Node; 2]) -> u64 {
    nodes.iter().map(|node| node.metrics().refusals_met).sum()
}

/// 60 rounds, or as many as `MAILLE_ROUNDS` says; the seed is printed, and `MAILLE_SEED` repeats it as far as tasks and
/// sockets can be repeated.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_interleaving_of_admission_leaves_a_pair_stuck() {
    let rounds = variable(ROUNDS_VARIABLE).map_or(ROUNDS, |rounds| usize::try_from(rounds).unwrap());
    let seed = variable(SEED_VARIABLE).unwrap_or_else(|| rand::rng().random());
    eprintln!("{rounds} rounds, {SEED_VARIABLE}={seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let (mut met, mut passed) = (Vec::new(), Vec::new());
    let mut nodes = pair(&mut rng).await;
    let mut refusals = 0;
    for n in 0..rounds {
        if n > 0 && n % ROUNDS_A_PAIR == 0 {
            refusals += met_refusals(&nodes);
            nodes = pair(&mut rng).await;
        }
        let (neighbours, records) = round(&nodes, &mut rng, &format!("round {n} of seed {seed}")).await;
        met.push(neighbours);
        passed.push(records);
    }
    refusals += met_refusals(&nodes);
    met.sort_unstable();
    passed.sort_unstable();
    let at = |times: &[Duration], percent: usize| times[(times.len() - 1) * percent / 100];
    eprintln!(
        "{rounds} rounds, {refusals} hellos that came too early, 0 stuck: neighbours after p50 {:?}, p90 {:?}, p99 {:?}, max {:?}; records both ways after p50 \
         {:?}, p99 {:?}, max {:?}",
        at(&met, 50),
        at(&met, 90),
        at(&met, 99),
        at(&met, 100),
        at(&passed, 50),
        at(&passed, 99),
        at(&passed, 100),
    );
    assert!(
        met.len() == rounds && at(&met, 100) < SOON,
        "a pair took {:?} to meet",
        at(&met, 100)
    );
}
