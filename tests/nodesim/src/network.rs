//! A network of hardships between the nodes of one process: distance, jitter, loss, dropped connections, partitions, deaths.
//!
//! Streams lose no bytes. What a network loses, a stream makes up for by sending again, and all behind it waits: loss here is a
//! stall, and the end of the connection when it strikes one piece too often.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use maille::{ByteStream, Multiaddr};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

use crate::pipe::pipe;
use crate::world;

/// What a line reads at once.
const PIECE_BYTES_MAX: usize = 16 * 1024;
/// Pieces on their way in one direction; then the sender waits.
const PIECES_MAX: usize = 64;
/// How long a lost piece is missed before it is sent again; each time it is lost once more, twice as long.
const RESEND_AFTER: Duration = Duration::from_millis(200);
/// A piece that is lost so often takes the connection with it.
const LOSSES_MAX: u32 = 4;
/// The port of place 0 in memory's address space.
const FIRST_PORT: u64 = 1_000;

/// What the network does to what it carries.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    /// The share of pieces that are lost.
    pub(crate) loss: f64,
    /// The share of connections that end in a minute.
    pub(crate) dropped_per_min: f64,
    /// How long a piece takes at least and at most, one way; each pair of places has its own distance.
    pub(crate) distance: (Duration, Duration),
    /// By how much the pieces of one connection differ at most.
    pub(crate) jitter: Duration,
}

impl Weather {
    /// A network without faults.
    pub(crate) const CALM: Self = Self {
        loss: 0.0,
        dropped_per_min: 0.0,
        distance: (Duration::from_millis(1), Duration::from_millis(10)),
        jitter: Duration::ZERO,
    };
    /// The hardships that nodes must stand.
    pub(crate) const FOUL: Self = Self {
        loss: 0.05,
        dropped_per_min: 0.05,
        distance: (Duration::from_millis(2), Duration::from_millis(80)),
        jitter: Duration::from_millis(20),
    };
}

/// A place in the network where one node is; never used again after it.
pub(crate) type Place = usize;

/// The multiaddr on which the node of a place listens.
pub(crate) fn multiaddr(place: Place) -> Multiaddr {
    let multiaddr = format!("/memory/{}", FIRST_PORT + place as u64);
    multiaddr.parse().expect("a number is a port")
}

fn place_of(multiaddr: &Multiaddr) -> Place {
    let text = multiaddr.to_string();
    let port = text.split('/').nth(2).and_then(|port| port.parse::<u64>().ok());
    let place = port.and_then(|port| port.checked_sub(FIRST_PORT));
    place
        .and_then(|place| usize::try_from(place).ok())
        .expect("only places of this network are dialled")
}

/// What a network has carried and done.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) connections: u64,
    pub(crate) dropped: u64,
    pub(crate) pieces: u64,
    pub(crate) bytes: u64,
    pub(crate) losses: u64,
}

#[derive(Debug)]
struct Line {
    between: (Place, Place),
    task: Option<AbortHandle>,
}

struct State {
    seed: u64,
    rng: StdRng,
    weather: Weather,
    lines: BTreeMap<u64, Line>,
    /// Places that are cut off from all.
    dead: BTreeSet<Place>,
    tally: Tally,
    /// Everything that was ever carried, with the times.
    traffic: blake3::Hasher,
}

/// The network. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Network {
    state: Arc<Mutex<State>>,
    /// Places beyond the partition, while there is one.
    beyond: watch::Sender<BTreeSet<Place>>,
}

impl Network {
    pub(crate) fn new(seed: u64, weather: Weather) -> Self {
        let state = State {
            seed,
            rng: StdRng::seed_from_u64(seed),
            weather,
            lines: BTreeMap::new(),
            dead: BTreeSet::new(),
            tally: Tally::default(),
            traffic: blake3::Hasher::new(),
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            beyond: watch::Sender::new(BTreeSet::new()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_weather(&self, weather: Weather) {
        self.state().weather = weather;
    }

    pub(crate) fn tally(&self) -> Tally {
        self.state().tally
    }

    /// Of every byte on every line so far, and when.
    pub(crate) fn digest(&self) -> blake3::Hash {
        self.state().traffic.finalize()
    }

    /// Parts these places from all others: what is on its way waits, and so does who dials.
    pub(crate) fn part(&self, beyond: BTreeSet<Place>) {
        self.beyond.send_replace(beyond);
    }

    /// Ends the partition.
    pub(crate) fn heal(&self) {
        self.beyond.send_replace(BTreeSet::new());
    }

    /// Ends every connection of a place, and lets it have no other: its node died.
    pub(crate) fn kill(&self, place: Place) {
        let mut state = self.state();
        state.dead.insert(place);
        state.drop_lines(|_, between| between.0 == place || between.1 == place);
    }

    /// Drops as many connections as a time of this length brings.
    pub(crate) fn drop_some(&self, time: Duration) {
        let mut state = self.state();
        let share = state.weather.dropped_per_min * time.as_secs_f64() / 60.0;
        if share > 0.0 {
            state.drop_lines(|rng, _| rng.random_bool(share.min(1.0)));
        }
    }

    /// What the streams that the node of this place dials run through.
    pub(crate) fn wire(
        &self,
        from: Place,
    ) -> impl Fn(Box<dyn ByteStream>, &Multiaddr) -> Box<dyn ByteStream> + Send + Sync + 'static {
        let network = self.clone();
        move |stream, dialled| network.connect(stream, from, place_of(dialled))
    }

    fn connect(&self, far: Box<dyn ByteStream>, from: Place, to: Place) -> Box<dyn ByteStream> {
        let (node, near) = pipe();
        let line = {
            let mut state = self.state();
            let line = state.tally.connections;
            state.tally.connections += 1;
            if state.dead.contains(&from) || state.dead.contains(&to) {
                return Box::new(node); // whose other end is gone
            }
            let between = (from, to);
            state.lines.insert(line, Line { between, task: None });
            line
        };
        let network = self.clone();
        let task = tokio::spawn(async move {
            let ((near_reads, near_writes), (far_reads, far_writes)) = (near.split(), far.split());
            let there = network.carry(line, (from, to), near_reads, far_writes);
            let back = network.carry(line, (to, from), far_reads, near_writes);
            futures::join!(there, back);
            network.state().lines.remove(&line);
        });
        if let Some(line) = self.state().lines.get_mut(&line) {
            line.task = Some(task.abort_handle());
        }
        Box::new(node)
    }

    /// Carries one direction of a line until an end is closed.
    async fn carry(
        &self,
        line: u64,
        way: (Place, Place),
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
    ) {
        let (sent, mut on_their_way) = mpsc::channel::<(Instant, Vec<u8>)>(PIECES_MAX);
        let sends = async move {
            let mut piece = vec![0; PIECE_BYTES_MAX];
            let mut arrives = Instant::now();
            while let Ok(bytes @ 1..) = from.read(&mut piece).await {
                // What waits behind a lost piece comes with it.
                arrives = arrives.max(Instant::now() + self.state().delay(line, way, &piece[..bytes]));
                if sent.send((arrives, piece[..bytes].to_vec())).await.is_err() {
                    break;
                }
            }
        };
        let arrives = async move {
            let mut beyond = self.beyond.subscribe();
            while let Some((due, piece)) = on_their_way.recv().await {
                sleep_until(due).await;
                let is_open = |beyond: &BTreeSet<Place>| beyond.contains(&way.0) == beyond.contains(&way.1);
                // It ends with the network only.
                let _ = beyond.wait_for(is_open).await;
                if to.write_all(&piece).await.is_err() || to.flush().await.is_err() {
                    return;
                }
            }
            let _ = to.close().await;
        };
        futures::join!(sends, arrives);
    }
}

impl State {
    /// How long a piece takes; at worst the connection ends.
    fn delay(&mut self, line: u64, way: (Place, Place), piece: &[u8]) -> Duration {
        self.tally.pieces += 1;
        self.tally.bytes += piece.len() as u64;
        for number in [
            line,
            way.0 as u64,
            world::elapsed().as_nanos() as u64,
            piece.len() as u64,
        ] {
            self.traffic.update(&number.to_le_bytes());
        }
        self.traffic.update(piece);
        let mut delay = self.distance(way) + self.weather.jitter.mul_f64(self.rng.random());
        for time in 0..LOSSES_MAX {
            if !self.rng.random_bool(self.weather.loss) {
                return delay;
            }
            self.tally.losses += 1;
            delay += RESEND_AFTER * 2_u32.pow(time);
        }
        self.drop_lines_of(line);
        delay
    }

    fn drop_lines_of(&mut self, number: u64) {
        if let Some(Line { task: Some(task), .. }) = self.lines.remove(&number) {
            self.tally.dropped += 1;
            task.abort();
        }
    }

    fn drop_lines(&mut self, mut chosen: impl FnMut(&mut StdRng, (Place, Place)) -> bool) {
        let lines = self.lines.iter().map(|(number, line)| (*number, line.between));
        let (lines, rng): (Vec<_>, _) = (lines.collect(), &mut self.rng);
        let dropped: Vec<u64> = lines
            .into_iter()
            .filter(|(_, between)| chosen(rng, *between))
            .map(|(number, _)| number)
            .collect();
        dropped.into_iter().for_each(|number| self.drop_lines_of(number));
    }

    /// The same every time, whichever way.
    fn distance(&self, (from, to): (Place, Place)) -> Duration {
        let mut hasher = blake3::Hasher::new();
        for number in [self.seed, from.min(to) as u64, from.max(to) as u64] {
            hasher.update(&number.to_le_bytes());
        }
        let share = f64::from(hasher.finalize().as_bytes()[0]) / 255.0;
        let (least, most) = self.weather.distance;
        least + (most - least).mul_f64(share)
    }
}
