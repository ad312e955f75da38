//! A match of nodes on this machine: bots, and a person if there is a terminal. The nodes are real ones, which meet over
//! loopback; one of them goes and comes back.

use std::io::{IsTerminal as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use maille::{Credential, Keypair, Mesh, Node, TopicName};
use serde_json::json;
use shared::Failure;
use shared::network::new_credential;
use tokio::task::JoinSet;

use crate::args::DemoArgs;
use crate::chat::Chat;
use crate::face::Face;
use crate::room::{Plan, Room};
use crate::screen::Screen;
use crate::session::Tally;

const MESH: &str = "demo.example";
const ROOM: &str = "arena";
/// Ticks, without a terminal.
const TICKS: u32 = 600;
/// In a shorter match nobody has the time to go and come back.
const TICKS_TO_RETURN_MIN: u32 = 400;
/// A flood of chat leaves in so many portions a second.
const PORTIONS: u32 = 100;
/// Moves before this tick are not measured: delays settle.
const SETTLED_TICK: u32 = 100;
/// Longer than any demo.
const TIME_MAX: Duration = Duration::from_secs(3_600);

/// What all nodes of a demo share.
#[derive(Clone)]
struct Stage {
    right: Credential,
    first: Vec<maille::Multiaddr>,
}

impl Stage {
    async fn node(&self, key: &Keypair) -> Result<(Node, Mesh), Failure> {
        let any_port = "/ip4/127.0.0.1/tcp/0".parse().map_err(Failure::other)?;
        let builder = Node::builder()
            .listen([any_port])
            .mdns(false)
            .run_file(false)
            .identity(key.clone());
        let node = builder
            .bootstrap(self.first.iter().cloned())
            .spawn()
            .await
            .map_err(Failure::other)?;
        let mesh = MESH.parse().map_err(Failure::other)?;
        let mesh = node.join(mesh, self.right.clone()).await.map_err(Failure::other)?;
        Ok((node, mesh))
    }
}

fn plan(number: u8, args: &DemoArgs, ticks: Option<u32>) -> Result<Plan, Failure> {
    let room: TopicName = ROOM.parse().map_err(Failure::other)?;
    Ok(Plan {
        room,
        name: format!("bot {number}"),
        watches: false,
        wanted: args.players,
        ticks,
        record: None,
        ready: true,
        busy: args.chat > 0,
        abrupt: false,
        progress: Arc::default(),
    })
}

pub(crate) async fn run(args: &DemoArgs) -> Result<(), Failure> {
    let has_terminal = std::io::stdout().is_terminal() && std::io::stdin().is_terminal();
    let plays = has_terminal && !args.headless && !args.json;
    if !plays && !args.headless && !args.json {
        writeln!(std::io::stdout(), "no terminal: a match of bots, to its end")?;
    }
    let ticks = match (args.ticks, plays) {
        (Some(ticks), _) => Some(ticks.max(1)),
        (None, true) => None,
        (None, false) => Some(TICKS),
    };
    let mut stage = Stage {
        right: new_credential(),
        first: Vec::new(),
    };
    let (mut bots, mut floods) = (JoinSet::new(), JoinSet::new());
    let mut person = None;
    for number in 0..args.players {
        let key = Keypair::generate_ed25519();
        let (node, mesh) = stage.node(&key).await?;
        if number == 0 {
            stage.first = node.multiaddrs();
        }
        let mut plan = plan(number, args, ticks)?;
        if number == 0 {
            plan.record.clone_from(&args.record);
        }
        if number == 0 && plays {
            plan.name = "you".to_owned();
            person = Some((node, mesh, plan));
            continue;
        }
        let goes = !args.steady && args.chat == 0 && number + 1 == args.players;
        if goes && let Some(ticks) = ticks.filter(|ticks| *ticks >= TICKS_TO_RETURN_MIN) {
            bots.spawn(go_and_return(stage.clone(), key, (node, mesh), plan, ticks / 4));
            continue;
        }
        if number == 1 && args.chat > 0 {
            let (mesh, tick) = (mesh.clone(), plan.progress.clone());
            floods.spawn(flood(
                mesh,
                plan.room.clone(),
                tick,
                ticks.unwrap_or(TICKS) / 2,
                args.chat,
            ));
        }
        bots.spawn(play(node, mesh, plan, Face::Nothing));
    }
    if let Some((node, mesh, plan)) = person {
        // Bots go when the person does.
        let face = Face::Screen(Box::new(Screen::open()?));
        return play(node, mesh, plan, face).await.map(drop);
    }
    let mut tallies = Vec::new();
    while let Some(ended) = bots.join_next().await {
        tallies.push(ended.map_err(Failure::other)??);
    }
    let flooded = floods.try_join_next().and_then(Result::ok).transpose()?;
    floods.abort_all();
    summary(args, &tallies, flooded)
}

async fn play(node: Node, mesh: Mesh, plan: Plan, face: Face) -> Result<Tally, Failure> {
    let stayed = Room::enter(&mesh, node.id(), plan, face).await?.stay().await;
    node.shutdown().await;
    stayed
}

/// Plays, goes without a word, and comes back as who it was.
async fn go_and_return(
    stage: Stage,
    key: Keypair,
    (node, mesh): (Node, Mesh),
    plan: Plan,
    goes_at: u32,
) -> Result<Tally, Failure> {
    let first = Plan {
        ticks: Some(goes_at),
        abrupt: true,
        ..plan.clone()
    };
    let before = play(node, mesh, first, Face::Nothing).await?;
    let (node, mesh) = stage.node(&key).await?;
    let mut tally = play(node, mesh, plan, Face::Nothing).await?;
    tally.mismatches += before.mismatches;
    Ok(tally)
}

/// Chats from a tick on; when that was, and how much.
async fn flood(
    mesh: Mesh,
    room: TopicName,
    tick: Arc<AtomicU32>,
    from: u32,
    messages_a_second: u32,
) -> Result<(Instant, u64), Failure> {
    let chat = Chat::enter(&mesh, &room).await?;
    let mut portions = tokio::time::interval(Duration::from_secs(1) / PORTIONS);
    while tick.load(Ordering::Relaxed) < from {
        portions.tick().await;
    }
    let (begun, mut said) = (Instant::now(), 0_u64);
    let end = 2 * from;
    while tick.load(Ordering::Relaxed) < end && begun.elapsed() < TIME_MAX {
        portions.tick().await;
        let due = begun.elapsed().as_millis() as u64 * u64::from(messages_a_second) / 1_000;
        while said < due {
            chat.say_at_once(
                "flood",
                "what is said so often that nobody reads it, and nothing waits for it",
            )
            .await?;
            said += 1;
        }
    }
    Ok((begun, said))
}

fn percentile(mut latencies: Vec<Duration>, hundredths: usize) -> f64 {
    latencies.sort_unstable();
    let place = (latencies.len() * hundredths / 100).min(latencies.len().saturating_sub(1));
    latencies
        .get(place)
        .map_or(0.0, |latency| latency.as_secs_f64() * 1_000.0)
}

fn summary(args: &DemoArgs, tallies: &[Tally], flooded: Option<(Instant, u64)>) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let most = |count: fn(&Tally) -> u64| tallies.iter().map(count).max().unwrap_or(0);
    let ticks = tallies.iter().map(|tally| tally.ticks).min().unwrap_or(0);
    let mismatches: u64 = tallies.iter().map(|tally| tally.mismatches).sum();
    let (dropped, rejoined) = (most(|tally| tally.dropped), most(|tally| tally.rejoined));
    if let Some((begun, said)) = flooded {
        let all = || {
            tallies
                .iter()
                .flat_map(|tally| tally.latencies.iter().skip(SETTLED_TICK as usize / 2))
        };
        let part = |flooded: bool| {
            all()
                .filter(|(at, _)| (*at >= begun) == flooded)
                .map(|(_, took)| *took)
                .collect()
        };
        let (calm, flood) = (percentile(part(false), 99), percentile(part(true), 99));
        let per_second = said as f64 / begun.elapsed().as_secs_f64();
        let line = json!({ "chat_per_second": per_second.round(), "calm_p99_ms": calm, "flood_p99_ms": flood, "ratio": flood / calm });
        writeln!(out, "{line}")?;
    }
    if args.json {
        let line = json!({ "players": args.players, "ticks": ticks, "hash_mismatches": mismatches, "dropped": dropped, "rejoined": rejoined });
        writeln!(out, "{line}")?;
    } else {
        let players = args.players;
        writeln!(
            out,
            "{players} players executed {ticks} ticks: {mismatches} states differed, {dropped} went, {rejoined} came back"
        )?;
    }
    out.flush()?;
    match mismatches {
        0 => Ok(()),
        _ => Err(Failure::Other("players saw different arenas".to_owned())),
    }
}
