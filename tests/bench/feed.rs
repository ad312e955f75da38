//! One publisher and four subscribers on loopback: maille beside plain gossipsub, in one run. Saturated, and at a hundred
//! records a second. By command: `cargo bench -p maille-tests --bench feed`.
//!
//! Both send 100 bytes a record over TCP, Noise and Yamux; all nodes share this process. Plain gossipsub has its defaults
//! (signed messages, an overlay of six) and, as it has no window of its own, is held to 256 messages ahead of its slowest
//! subscriber, so that it loses nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures::StreamExt;
use libp2p::gossipsub::{self, IdentTopic, MessageAuthenticity};
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, Swarm, SwarmBuilder, noise, tcp, yamux};
use maille::{Event, Node, Password};
use tokio::sync::{mpsc, watch};

const SUBSCRIBERS: usize = 4;
const RECORD_BYTES: usize = 100;
/// Names another number of records for maille; plain gossipsub gets a fiftieth.
const RECORDS_VARIABLE: &str = "MAILLE_BENCH_RECORDS";
const RECORDS: u64 = 1_000_000;
const PLAIN_WINDOW: u64 = 256;
const PACE: Duration = Duration::from_millis(10);
const PACED: u64 = 1_000;

/// Numbers and times of what arrived, by subscriber.
#[derive(Default)]
struct Arrivals {
    counts: [AtomicU64; SUBSCRIBERS],
}

impl Arrivals {
    fn slowest(&self) -> u64 {
        self.counts
            .iter()
            .map(|count| count.load(Ordering::Acquire))
            .min()
            .unwrap_or_default()
    }
}

fn now_us() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_micros() as u64
}

/// A record: its number, when it was made, and padding.
fn record(number: u64) -> Vec<u8> {
    let mut record = vec![b'.'; RECORD_BYTES];
    record[..8].copy_from_slice(&number.to_be_bytes());
    record[8..16].copy_from_slice(&now_us().to_be_bytes());
    record
}

fn read(record: &[u8]) -> (u64, Duration) {
    let number = |at: usize| u64::from_be_bytes(record[at..at + 8].try_into().expect("eight bytes"));
    (number(0), Duration::from_micros(now_us().saturating_sub(number(8))))
}

struct Figures {
    deliveries_per_second: f64,
    p50: Duration,
    p99: Duration,
}

fn quantile(latencies: &[Duration], share: f64) -> Duration {
    latencies[((latencies.len() - 1) as f64 * share) as usize]
}

fn figures(records: u64, took: Duration, mut latencies: Vec<Duration>) -> Figures {
    latencies.sort_unstable();
    Figures {
        deliveries_per_second: (records * SUBSCRIBERS as u64) as f64 / took.as_secs_f64(),
        p50: quantile(&latencies, 0.5),
        p99: quantile(&latencies, 0.99),
    }
}

/// Waits until every subscriber has so many.
async fn arrived(arrivals: &Arrivals, records: u64) -> anyhow::Result<()> {
    let started = Instant::now();
    while arrivals.slowest() < records {
        anyhow::ensure!(
            started.elapsed() < Duration::from_secs(300),
            "only {} arrived",
            arrivals.slowest()
        );
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

// ---- maille ------------------------------------------------------------------------------------------------------------

async fn maille(records: u64) -> anyhow::Result<Figures> {
    let password = Password::parse("sulfur-unpaved-cosmic-jogging")?;
    let credential = maille::Credential::password(password);
    let listen: Multiaddr = "/ip4/127.0.0.1/tcp/0".parse()?;
    let node = || Node::builder().listen([listen.clone()]).mdns(false).run_file(false);
    let helper = node().helper(true).spawn().await?;
    let arrivals = Arc::new(Arrivals::default());
    let (told, mut latencies) = mpsc::channel(SUBSCRIBERS * PACED as usize);
    let (measuring, measured) = watch::channel(false);
    let mut meshes = Vec::new();
    for number in 0..SUBSCRIBERS {
        let node = node().bootstrap(helper.multiaddrs()).spawn().await?;
        let mesh = node.join("bench.example".parse()?, credential.clone()).await?;
        let mut subscriber = mesh.topic::<Bytes>("feed".parse()?).subscribe().start().await?;
        let (arrivals, told, measured) = (arrivals.clone(), told.clone(), measured.clone());
        tokio::spawn(async move {
            let mut next = 0;
            while let Some(event) = subscriber.next().await {
                match event {
                    Event::Record(heard) => {
                        let (sequence, latency) = read(&heard.value);
                        assert_eq!(sequence, next, "complete and in order");
                        next += 1;
                        arrivals.counts[number].fetch_add(1, Ordering::Release);
                        if *measured.borrow() {
                            let _ = told.try_send(latency);
                        }
                    }
                    Event::Silent { .. } | Event::Resumed { .. } => {}
                    other => panic!("{other:?}"),
                }
            }
        });
        meshes.push((node, mesh));
    }
    let publishing = node().bootstrap(helper.multiaddrs()).spawn().await?;
    let mesh = publishing.join("bench.example".parse()?, credential).await?;
    let publisher = mesh.topic::<Bytes>("feed".parse()?).publisher().await?;
    publisher.ready(SUBSCRIBERS).await?;
    tokio::time::sleep(Duration::from_secs(2)).await;

    let started = Instant::now();
    for number in 0..records {
        publisher.publish(&record(number).into()).await?;
    }
    arrived(&arrivals, records).await?;
    let took = started.elapsed();

    measuring.send_replace(true);
    let mut ticks = tokio::time::interval(PACE);
    for number in records..records + PACED {
        ticks.tick().await;
        publisher.publish(&record(number).into()).await?;
    }
    arrived(&arrivals, records + PACED).await?;
    latencies.close();
    let latencies = futures::stream::poll_fn(|cx| latencies.poll_recv(cx)).collect().await;
    for (node, _) in meshes {
        node.shutdown().await;
    }
    publishing.shutdown().await;
    helper.shutdown().await;
    Ok(figures(records, took, latencies))
}

// ---- plain gossipsub ---------------------------------------------------------------------------------------------------

fn plain_node() -> anyhow::Result<Swarm<gossipsub::Behaviour>> {
    let swarm = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)?
        .with_behaviour(|key| {
            let config = gossipsub::ConfigBuilder::default().build()?;
            gossipsub::Behaviour::new(MessageAuthenticity::Signed(key.clone()), config).map_err(Into::into)
        })
        .map_err(|error| anyhow::anyhow!("{error}"))?
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(60)))
        .build();
    Ok(swarm)
}

async fn plain(records: u64) -> anyhow::Result<Figures> {
    let topic = IdentTopic::new("feed");
    let arrivals = Arc::new(Arrivals::default());
    let (told, mut latencies) = mpsc::channel(SUBSCRIBERS * PACED as usize);
    let (measuring, measured) = watch::channel(false);
    let mut multiaddrs = Vec::new();
    let mut tasks = Vec::new();
    for number in 0..SUBSCRIBERS {
        let mut swarm = plain_node()?;
        swarm.behaviour_mut().subscribe(&topic)?;
        swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse()?)?;
        let multiaddr = loop {
            if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
                break address;
            }
        };
        for other in &multiaddrs {
            swarm.dial(Multiaddr::clone(other))?;
        }
        multiaddrs.push(multiaddr);
        let (arrivals, told, measured) = (arrivals.clone(), told.clone(), measured.clone());
        tasks.push(tokio::spawn(async move {
            loop {
                if let SwarmEvent::Behaviour(gossipsub::Event::Message { message, .. }) = swarm.select_next_some().await
                {
                    let (_, latency) = read(&message.data);
                    arrivals.counts[number].fetch_add(1, Ordering::Release);
                    if *measured.borrow() {
                        let _ = told.try_send(latency);
                    }
                }
            }
        }));
    }
    let mut swarm = plain_node()?;
    swarm.behaviour_mut().subscribe(&topic)?;
    for multiaddr in multiaddrs {
        swarm.dial(multiaddr)?;
    }
    let mut subscribed = 0;
    while subscribed < SUBSCRIBERS {
        if let SwarmEvent::Behaviour(gossipsub::Event::Subscribed { .. }) = swarm.select_next_some().await {
            subscribed += 1;
        }
    }
    let settled = tokio::time::sleep(Duration::from_secs(3));
    tokio::pin!(settled);
    loop {
        tokio::select! {
            _ = swarm.select_next_some() => {}
            () = &mut settled => break,
        }
    }

    let mut ticks = tokio::time::interval(Duration::from_millis(1));
    let started = Instant::now();
    let mut sent = 0;
    while arrivals.slowest() < records {
        anyhow::ensure!(
            started.elapsed() < Duration::from_secs(300),
            "only {} arrived",
            arrivals.slowest()
        );
        while sent < records && sent < arrivals.slowest() + PLAIN_WINDOW {
            swarm.behaviour_mut().publish(topic.clone(), record(sent))?;
            sent += 1;
        }
        tokio::select! {
            _ = swarm.select_next_some() => {}
            _ = ticks.tick() => {}
        }
    }
    let took = started.elapsed();

    measuring.send_replace(true);
    let mut ticks = tokio::time::interval(PACE);
    let mut sent = records;
    while arrivals.slowest() < records + PACED {
        anyhow::ensure!(
            started.elapsed() < Duration::from_secs(600),
            "only {} arrived",
            arrivals.slowest()
        );
        tokio::select! {
            _ = swarm.select_next_some() => {}
            _ = ticks.tick(), if sent < records + PACED => {
                swarm.behaviour_mut().publish(topic.clone(), record(sent))?;
                sent += 1;
            }
            () = tokio::time::sleep(Duration::from_millis(1)), if sent == records + PACED => {}
        }
    }
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
    latencies.close();
    let latencies = futures::stream::poll_fn(|cx| latencies.poll_recv(cx)).collect().await;
    Ok(figures(records, took, latencies))
}

#[expect(clippy::print_stdout, reason = "figures are what a benchmark is for")]
#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let records = std::env::var(RECORDS_VARIABLE).map_or(Ok(RECORDS), |records| records.parse())?;
    let plain = tokio::spawn(plain((records / 50).max(1))).await??;
    let ours = tokio::spawn(maille(records)).await??;
    let print = |name: &str, records: u64, figures: &Figures| {
        println!(
            "{name:<16} {records:>9} records  {:>11.0} deliveries/s   at 100/s: p50 {:.2} ms, p99 {:.2} ms",
            figures.deliveries_per_second,
            figures.p50.as_secs_f64() * 1e3,
            figures.p99.as_secs_f64() * 1e3
        );
    };
    print("plain gossipsub", (records / 50).max(1), &plain);
    print("maille", records, &ours);
    println!(
        "maille / plain: {:.1} x deliveries/s, {:.2} x p50; {SUBSCRIBERS} subscribers, {} cores",
        ours.deliveries_per_second / plain.deliveries_per_second,
        ours.p50.as_secs_f64() / plain.p50.as_secs_f64(),
        std::thread::available_parallelism()?
    );
    Ok(())
}
