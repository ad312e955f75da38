//! One run, from the first node's start to the verdict, in simulated time.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Result;
use futures::FutureExt;
use maille::Credential;
use rand::rngs::StdRng;
use rand::seq::IteratorRandom;
use rand::{RngExt, SeedableRng};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};

use crate::cast::{Listener, Speaker, Stage};
use crate::ledger::{From, Ledger};
use crate::network::{Network, Place, Weather};
use crate::plan::Plan;
use crate::world;

/// Nodes that everybody knows to begin with.
const HELPERS: usize = 2;
/// How often hardships are drawn.
const DRAW_INTERVAL: Duration = Duration::from_secs(1);

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Of everything that every subscriber heard, and when, and of every byte on the network.
    pub(crate) digest: blake3::Hash,
    pub(crate) journal: String,
    pub(crate) faults: Vec<String>,
    pub(crate) faults_more: usize,
    summary: String,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.summary)?;
        for fault in &self.faults {
            write!(f, "\n  {fault}")?;
        }
        match self.faults_more {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}

/// Simulates a plan.
pub(crate) async fn run(plan: Plan) -> Result<Outcome> {
    let began = world::real_time();
    let stage = Stage {
        plan,
        network: Network::new(plan.seed, Weather::CALM),
        ledger: Arc::new(Mutex::new(Ledger::default())),
        credential: Credential::open(),
        helpers: Vec::new(),
    };
    let mut play = Play::begin(stage).await?;
    let mut draws = interval(DRAW_INTERVAL);
    draws.set_missed_tick_behavior(MissedTickBehavior::Burst);
    while play.start.elapsed() < Plan::END {
        draws.tick().await;
        play.draw(play.start.elapsed()).await?;
    }
    play.end(world::real_time() - began)
}

struct Named {
    name: u64,
    speaker: Speaker,
}

struct Play {
    stage: Stage,
    rng: StdRng,
    /// They hold the network together, and are only kept alive here.
    _helpers: Vec<maille::Node>,
    speakers: Vec<Named>,
    returned: Option<JoinHandle<Result<Speaker>>>,
    listeners: BTreeMap<Place, Listener>,
    next_place: Place,
    /// When all had started.
    start: Instant,
    parted: bool,
    came: u64,
    went: u64,
}

impl Play {
    async fn begin(mut stage: Stage) -> Result<Self> {
        let mut helpers = Vec::new();
        for place in 0..HELPERS {
            let node = stage.node(place, place as u64, true).await?;
            helpers.push(node);
        }
        stage.helpers = helpers.iter().flat_map(maille::Node::multiaddrs).collect();
        let plan = stage.plan;
        let mut play = Self {
            rng: StdRng::seed_from_u64(plan.seed),
            _helpers: helpers,
            speakers: Vec::new(),
            returned: None,
            start: Instant::now() + Plan::START_INTERVAL * u32::try_from(plan.nodes)?,
            listeners: BTreeMap::new(),
            next_place: HELPERS,
            parted: false,
            came: 0,
            went: 0,
            stage,
        };
        for number in 0..plan.nodes {
            if number < plan.publishers {
                let place = play.place();
                let (name, from, until) = (
                    place as u64,
                    play.start + Plan::FIRST_RECORD,
                    play.start + Plan::LAST_RECORD,
                );
                let speaker = Speaker::start(&play.stage, place, name, from, until).await?;
                play.speakers.push(Named { name, speaker });
            } else {
                play.newcomer().await?;
            }
            sleep(Plan::START_INTERVAL).await;
        }
        sleep_until(play.start).await;
        play.came = 0;
        if !plan.calm {
            play.stage.network.set_weather(Weather::FOUL);
        }
        Ok(play)
    }

    fn place(&mut self) -> Place {
        self.next_place += 1;
        self.next_place - 1
    }

    async fn newcomer(&mut self) -> Result<()> {
        let place = self.place();
        let from = if self.rng.random_bool(0.5) {
            From::All
        } else {
            From::Now
        };
        let listener = Listener::start(&self.stage, place, from).await?;
        self.listeners.insert(place, listener);
        self.came += 1;
        Ok(())
    }

    /// What happens in this second.
    async fn draw(&mut self, at: Duration) -> Result<()> {
        let traffic = self.stage.network.digest();
        self.stage.ledger().note(format_args!("traffic {traffic}"));
        if self.stage.plan.calm {
            return Ok(());
        }
        self.stage.network.drop_some(DRAW_INTERVAL);
        let is_parted = Plan::PARTITION.contains(&at);
        if is_parted != self.parted {
            self.parted = is_parted;
            self.stage.ledger().parted(is_parted);
            match is_parted {
                // A helper on each side; newcomers are on this one.
                true => self
                    .stage
                    .network
                    .part((0..self.next_place).filter(|place| place % 2 == 1).collect()),
                false => self.stage.network.heal(),
            }
        }
        if Plan::CHURN.contains(&at) {
            let leaves = self.stage.plan.nodes as f64 * Plan::CHURN_PER_MIN * DRAW_INTERVAL.as_secs_f64() / 60.0;
            if self.rng.random_bool(leaves.min(1.0)) {
                self.replace_one().await?;
            }
        }
        if at >= Plan::PUBLISHER_LEAVES && self.returned.is_none() {
            self.publisher_goes_and_comes();
        }
        Ok(())
    }

    async fn replace_one(&mut self) -> Result<()> {
        let Some(place) = self.listeners.keys().copied().choose(&mut self.rng) else {
            return Ok(());
        };
        let politely = self.rng.random_bool(0.5);
        if let Some(listener) = self.listeners.remove(&place) {
            listener.leave(&self.stage, politely);
            self.went += 1;
        }
        self.newcomer().await
    }

    /// One publisher leaves and comes back, as a new run, somewhere else.
    fn publisher_goes_and_comes(&mut self) {
        let Some(speaker) = self.speakers.pop() else { return };
        let (stage, place, until) = (self.stage.clone(), self.place(), self.start + Plan::LAST_RECORD);
        self.returned = Some(tokio::spawn(async move {
            stage.ledger().note("a publisher leaves");
            speaker.speaker.leave().await?;
            stage.ledger().note("a publisher left");
            sleep(Plan::PUBLISHER_AWAY).await;
            Speaker::start(&stage, place, speaker.name, Instant::now(), until).await
        }));
    }

    fn end(mut self, took: Duration) -> Result<Outcome> {
        let mut faults = Vec::new();
        if let Some(returned) = self.returned.take() {
            match returned.now_or_never() {
                Some(returned) => drop(returned??),
                None => faults.push("the publisher that left is not back".to_owned()),
            }
        }
        let plan = self.stage.plan;
        let (tally, traffic) = (self.stage.network.tally(), self.stage.network.digest());
        let mut ledger = self.stage.ledger();
        ledger.note(format_args!("traffic {traffic}"));
        ledger.judge();
        let (told, faults_more) = ledger.faults();
        faults.extend_from_slice(told);
        let (half, most) = ledger.latencies();
        let summary = format!(
            "{} members, {} came and {} went; {} records to {} subscribers: {} deliveries, {half:.0?} p50, {most:.0?} p99, {} \
             unanswered; {} connections, {} dropped, {} pieces of {} MB, {} lost; {:.0?} in {took:.1?}, {} waits",
            plan.nodes,
            self.came,
            self.went,
            ledger.records(),
            ledger.readers(),
            ledger.deliveries,
            ledger.unanswered,
            tally.connections,
            tally.dropped,
            tally.pieces,
            tally.bytes / 1_000_000,
            tally.losses,
            world::elapsed(),
            world::waits(),
        );
        Ok(Outcome {
            digest: blake3::hash(ledger.journal().as_bytes()),
            journal: ledger.journal().to_owned(),
            faults,
            faults_more,
            summary,
        })
    }
}
