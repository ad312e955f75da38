//! A mesh is cut into two halves and joined again: each half goes on alone, and afterwards they are one mesh.
//!
//! Every node listens on a port of memory whose parity says to which half it belongs; every connection between ports of
//! different parity runs over one cable, helpers' too. While it is cut, no dial across succeeds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::StreamExt;
use libp2p::multiaddr::Protocol;
use maille::{Cable, Event, Multiaddr, Node, NodeBuilder, PeerId, Publisher};
use maille_tests::nodes::{HEARTBEAT, Member, SOON, credential, join, met, until, whether};

const MESH: &str = "isle.example";
/// Members of each half: together more than anyone keeps as neighbours.
const HALF: usize = 14;
/// Rounds that each half publishes while it is alone.
const ROUNDS_ALONE: usize = 10;
/// Members of each half that publish; all subscribe.
const SPEAKERS: usize = 2;
/// Between rounds of one record of each speaker.
const ROUND_INTERVAL: Duration = Duration::from_millis(500);
/// What is promised.
const HEAL: Duration = Duration::from_secs(60);
/// How much longer it may take on a machine that is busy with other tests.
const CI_FACTOR: u32 = 5;

fn port(multiaddr: &Multiaddr) -> u64 {
    match multiaddr.iter().next() {
        Some(Protocol::Memory(port)) => port,
        other => panic!("{other:?} is not memory"),
    }
}

/// A node of one half, 0 or 1.
fn on_half(half: u64, cable: &Cable) -> NodeBuilder {
    let port_here = rand::random::<u64>() & !1 | half;
    Node::builder()
        .listen([format!("/memory/{port_here}").parse().unwrap()])
        .mdns(false)
        .run_file(false)
        .heartbeat(HEARTBEAT)
        .cable(cable, move |multiaddr| port(multiaddr) & 1 != half)
}

/// What was heard: by round, then by hearer, whose records.
type Heard = Arc<Mutex<BTreeMap<usize, BTreeMap<PeerId, BTreeSet<PeerId>>>>>;

/// The speakers' publishers, and what everybody heard of whom.
struct Talk {
    publishers: Vec<Publisher<String>>,
    heard: Heard,
    rounds: usize,
}

impl Talk {
    async fn of(halves: &[Vec<Member>]) -> Self {
        let heard = Heard::default();
        let mut publishers = Vec::new();
        for member in halves.iter().flat_map(|half| &half[..SPEAKERS]) {
            publishers.push(member.text("shore").publisher().await.unwrap());
        }
        for member in halves.iter().flatten() {
            let mut subscriber = member.text("shore").subscribe().start().await.unwrap();
            let (me, heard) = (member.node.id(), heard.clone());
            tokio::spawn(async move {
                while let Some(event) = subscriber.next().await {
                    // What was on its way when the cable was cut may be missing, and then is a gap.
                    let Event::Record(record) = event else { continue };
                    let round = record.value.parse().unwrap();
                    let mut heard = heard.lock().unwrap();
                    heard
                        .entry(round)
                        .or_default()
                        .entry(me)
                        .or_default()
                        .insert(record.author);
                }
            });
        }
        Self {
            publishers,
            heard,
            rounds: 0,
        }
    }

    /// A record of each speaker, which says the number of the round.
    async fn round(&mut self) -> usize {
        let round = self.rounds;
        self.rounds += 1;
        for publisher in &self.publishers {
            publisher.publish(&round.to_string()).await.unwrap();
        }
        round
    }

    /// Which speakers each has heard in a round.
    fn heard_in(&self, round: usize) -> BTreeMap<PeerId, BTreeSet<PeerId>> {
        self.heard.lock().unwrap().get(&round).cloned().unwrap_or_default()
    }

    /// Waits until in each group a round of its speakers has reached all of it, while rounds go on; says which round.
    async fn until_one_round_reaches(&mut self, groups: &[&BTreeSet<PeerId>], deadline: Duration) -> usize {
        let speakers: BTreeSet<PeerId> = self.publishers.iter().map(Publisher::id).collect();
        let started = Instant::now();
        let mut ticks = tokio::time::interval(ROUND_INTERVAL);
        let first = self.rounds;
        loop {
            ticks.tick().await;
            let reached = (first..self.rounds).find(|round| {
                let heard = self.heard_in(*round);
                groups.iter().all(|group| {
                    let speakers = &speakers & group;
                    let hears_all = |hearer| heard.get(hearer).is_some_and(|authors| authors.is_superset(&speakers));
                    group.iter().all(hears_all)
                })
            });
            if let Some(round) = reached {
                return round;
            }
            if started.elapsed() > deadline {
                let before = self.heard_in(self.rounds.saturating_sub(2));
                let counts: Vec<usize> = before.values().map(BTreeSet::len).collect();
                panic!(
                    "none of {} rounds reached all; of the last but one each heard {counts:?}",
                    self.rounds - first
                );
            }
            self.round().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_halves_that_were_cut_apart_become_one_mesh_again() {
    let cable = Cable::new();
    let right = credential(MESH, "sulfur-unpaved-cosmic-jogging");
    let west_helper = on_half(0, &cable).helper(true).spawn().await.unwrap();
    let east_helper = on_half(1, &cable)
        .helper(true)
        .bootstrap(west_helper.multiaddrs())
        .spawn()
        .await
        .unwrap();
    let mut halves: [Vec<Member>; 2] = [Vec::new(), Vec::new()];
    for number in 0..2 * HALF {
        let half = number % 2;
        let helper = [&west_helper, &east_helper][half];
        let node = on_half(half as u64, &cable)
            .bootstrap(helper.multiaddrs())
            .spawn()
            .await
            .unwrap();
        halves[half].push(join(node, MESH, &right).await);
    }
    let ids = halves
        .each_ref()
        .map(|half| half.iter().map(|member| member.node.id()).collect::<BTreeSet<PeerId>>());
    let [west, east] = &ids;
    let everyone: BTreeSet<PeerId> = west.union(east).copied().collect();
    let across = || {
        let beyond = |half: usize| {
            let ids = &ids;
            let members = halves[half].iter().flat_map(|member| member.mesh.neighbours());
            members.filter(move |peer| ids[1 - half].contains(peer)).count()
        };
        [beyond(0), beyond(1)]
    };
    met(halves.iter().flatten(), 8, 3 * SOON).await;
    let mut talk = Talk::of(&halves).await;
    talk.until_one_round_reaches(&[&everyone], 3 * SOON).await;
    eprintln!(
        "{} members stand, neighbours across the cable: {:?}",
        everyone.len(),
        across()
    );
    assert!(across()[0] > 0);

    cable.cut();
    let (_, took) = until("nobody has a neighbour across", SOON, || {
        whether(across() == [0, 0], across)
    })
    .await;
    eprintln!("cut: noticed by all after {took:?}");
    let first_alone = talk.rounds;
    let mut ticks = tokio::time::interval(ROUND_INTERVAL);
    for _ in 0..ROUNDS_ALONE {
        ticks.tick().await;
        talk.round().await;
    }
    // A frame whose only path was cut holds up its publisher's stream until it is given up.
    talk.until_one_round_reaches(&[west, east], 3 * SOON).await;
    assert_eq!(across(), [0, 0]);
    for round in first_alone..talk.rounds {
        for (hearer, authors) in talk.heard_in(round) {
            let own = if west.contains(&hearer) { west } else { east };
            assert!(authors.is_subset(own), "round {round} went across the cut");
        }
    }

    cable.mend();
    let mended = Instant::now();
    talk.until_one_round_reaches(&[&everyone], HEAL * CI_FACTOR).await;
    eprintln!(
        "mended: one mesh after {:?}, aim {HEAL:?}; across: {:?}",
        mended.elapsed(),
        across()
    );
}
