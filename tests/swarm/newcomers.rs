//! Two that never met find each other, whoever came and went before them.

use std::time::{Duration, Instant};

use futures::StreamExt;
use libp2p::kad::{self, RecordKey, store::MemoryStore};
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{StreamProtocol, identify, noise, tcp, yamux};
use maille::types::mesh_key;
use maille::{MeshName, Node};
use maille_tests::nodes::{Member, Over, SOON, credential, helper, member, met, next, within};

const MESH: &str = "plaza.example";
const PASSWORD: &str = "sulfur-unpaved-cosmic-jogging";
/// What is promised.
const MEET: Duration = Duration::from_secs(30);
/// How much longer it may take on a machine that is busy with other tests.
const CI_FACTOR: u32 = 5;

/// Two fresh members that know only the helper meet, and one hears the other.
async fn two_find_each_other(helper: &Node) -> Duration {
    let right = credential(MESH, PASSWORD);
    let started = Instant::now();
    let first = member(Over::Tcp, &[helper], MESH, &right).await;
    let second = member(Over::Tcp, &[helper], MESH, &right).await;
    met([&first, &second], 1, MEET * CI_FACTOR).await;
    let took = started.elapsed();
    assert_eq!(first.mesh.neighbours(), [second.node.id()]);
    assert_eq!(second.mesh.neighbours(), [first.node.id()]);
    let mut subscriber = second.text("fountain").subscribe().start().await.unwrap();
    let publisher = first.text("fountain").publisher().await.unwrap();
    within("a subscriber", SOON, publisher.ready(1)).await.unwrap();
    publisher.publish(&"hello".to_owned()).await.unwrap();
    assert_eq!(next(&mut subscriber, SOON).await.value, "hello");
    took
}

/// A hundred members join, are announced and found, and go again; their announcements outlive them.
async fn come_and_go(helper: &Node, waves: usize, wave: usize) {
    let right = credential(MESH, PASSWORD);
    for _ in 0..waves {
        let mut members: Vec<Member> = Vec::new();
        for _ in 0..wave {
            members.push(member(Over::Tcp, &[helper], MESH, &right).await);
        }
        // Those that met were found through Kademlia: so they were announced.
        met(&members, 1, MEET * CI_FACTOR).await;
        let shutdowns = members.iter().map(|member| member.node.shutdown());
        within("all stop", SOON, futures::future::join_all(shutdowns)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_meet_after_a_hundred_came_and_went() {
    let helper = helper(Over::Tcp).await;
    let started = Instant::now();
    come_and_go(&helper, 10, 10).await;
    eprintln!("100 came and went in {:?}", started.elapsed());
    let took = two_find_each_other(&helper).await;
    eprintln!("two that never met found each other in {took:?}, aim {MEET:?}");
}

/// T21: twenty fakes announce the mesh's key before anyone else does, and stay.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_meet_after_twenty_fake_providers_came_first() {
    const FAKES: usize = 20;
    let helper = helper(Over::Tcp).await;
    let mut running = Vec::new();
    for _ in 1..FAKES {
        running.push(tokio::spawn(Fake::announced(&helper).await.run()));
    }
    let mut last = Fake::announced(&helper).await;
    // They came first, and they are what is found.
    let found = within("the fakes are found", SOON, last.providers()).await;
    assert_eq!(found, FAKES - 1, "of the others, the last one finds");
    running.push(tokio::spawn(last.run()));
    let took = two_find_each_other(&helper).await;
    eprintln!("beside {FAKES} fakes, two that never met found each other in {took:?}, aim {MEET:?}");
    for fake in running {
        fake.abort();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_meet_after_fakes_and_a_hundred_that_came_and_went() {
    let helper = helper(Over::Tcp).await;
    let mut running = Vec::new();
    for _ in 0..20 {
        running.push(tokio::spawn(Fake::announced(&helper).await.run()));
    }
    let started = Instant::now();
    come_and_go(&helper, 10, 10).await;
    eprintln!("100 came and went beside 20 fakes in {:?}", started.elapsed());
    let took = two_find_each_other(&helper).await;
    eprintln!("after 20 fakes and 100 that left, two found each other in {took:?}, aim {MEET:?}");
    for fake in running {
        fake.abort();
    }
}

/// A peer that is in no mesh and says it is: plain libp2p with maille's Kademlia protocol.
struct Fake {
    swarm: libp2p::Swarm<FakeBehaviour>,
    key: RecordKey,
}

#[derive(NetworkBehaviour)]
struct FakeBehaviour {
    identify: identify::Behaviour,
    kad: kad::Behaviour<MemoryStore>,
}

impl Fake {
    /// Connects to the helper and announces the mesh there. Returns when the helper has taken it.
    async fn announced(helper: &Node) -> Self {
        within("a fake announces the mesh", SOON, Self::announce(helper)).await
    }

    async fn announce(helper: &Node) -> Self {
        let mut swarm = libp2p::SwarmBuilder::with_new_identity()
            .with_tokio()
            .with_tcp(
                tcp::Config::new().nodelay(true),
                noise::Config::new,
                yamux::Config::default,
            )
            .unwrap()
            .with_behaviour(|key| {
                let me = key.public().to_peer_id();
                let config = kad::Config::new(StreamProtocol::new("/maille/kad/1"));
                FakeBehaviour {
                    identify: identify::Behaviour::new(identify::Config::new("/maille/1".to_owned(), key.public())),
                    kad: kad::Behaviour::with_config(me, MemoryStore::new(me), config),
                }
            })
            .unwrap()
            .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(600)))
            .build();
        swarm.behaviour_mut().kad.set_mode(Some(kad::Mode::Server));
        swarm.listen_on(Over::Tcp.listen()).unwrap();
        let mesh: MeshName = MESH.parse().unwrap();
        let mut fake = Self {
            swarm,
            key: RecordKey::new(&mesh_key(&mesh)),
        };
        fake.heard(|event| matches!(event, SwarmEvent::NewListenAddr { .. }))
            .await;
        let own = fake.swarm.listeners().next().unwrap().clone();
        fake.swarm.add_external_address(own);
        let multiaddr = helper.multiaddrs()[0].clone();
        fake.swarm
            .behaviour_mut()
            .kad
            .add_address(&helper.id(), multiaddr.clone());
        fake.swarm.dial(multiaddr).unwrap();
        fake.heard(|event| {
            matches!(
                event,
                SwarmEvent::Behaviour(FakeBehaviourEvent::Identify(identify::Event::Received { .. }))
            )
        })
        .await;
        let key = fake.key.clone();
        fake.swarm.behaviour_mut().kad.start_providing(key).unwrap();
        fake.heard(|event| {
            matches!(
                event,
                SwarmEvent::Behaviour(FakeBehaviourEvent::Kad(kad::Event::OutboundQueryProgressed {
                    result: kad::QueryResult::StartProviding(Ok(_)),
                    ..
                }))
            )
        })
        .await;
        fake
    }

    /// How many others it finds for the mesh.
    async fn providers(&mut self) -> usize {
        let key = self.key.clone();
        self.swarm.behaviour_mut().kad.get_providers(key);
        let mut found = std::collections::BTreeSet::new();
        loop {
            let event = self.swarm.select_next_some().await;
            let SwarmEvent::Behaviour(FakeBehaviourEvent::Kad(kad::Event::OutboundQueryProgressed {
                result: kad::QueryResult::GetProviders(Ok(result)),
                step,
                ..
            })) = event
            else {
                continue;
            };
            if let kad::GetProvidersOk::FoundProviders { providers, .. } = result {
                found.extend(providers);
            }
            if step.last {
                found.remove(self.swarm.local_peer_id());
                return found.len();
            }
        }
    }

    async fn heard(&mut self, mut wanted: impl FnMut(&SwarmEvent<FakeBehaviourEvent>) -> bool) {
        while !wanted(&self.swarm.select_next_some().await) {}
    }

    async fn run(mut self) {
        loop {
            self.swarm.select_next_some().await;
        }
    }
}
