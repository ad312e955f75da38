//! One subscriber of the demo, or the stranger: a task that listens and keeps the books. Shows nothing itself.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::audit::Audit;
use crate::board::state::Seat;
use crate::mesh::{Heard, Inlet};
use crate::stats::Latencies;
use crate::tick::{Kind, Tick};

/// When each tick was handed to the publisher. All nodes are in this process, so one clock measures the whole way.
#[derive(Clone, Debug)]
pub(crate) struct PublishTimes(Arc<[OnceLock<Instant>]>);

impl PublishTimes {
    /// For so many ticks.
    pub(crate) fn new(ticks: usize) -> Self {
        Self((0..ticks).map(|_| OnceLock::new()).collect())
    }

    /// Notes when a tick was published. Only the first time counts.
    pub(crate) fn set(&self, place: usize, at: Instant) {
        if let Some(slot) = self.0.get(place) {
            slot.get_or_init(|| at);
        }
    }

    fn of(&self, place: usize) -> Option<Instant> {
        self.0.get(place).and_then(OnceLock::get).copied()
    }
}

/// A subscriber and its books.
#[derive(Debug)]
pub(crate) struct Viewer {
    name: String,
    books: Arc<Mutex<Books>>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Books {
    audit: Audit,
    latencies: Latencies,
    bells: u64,
    notes: u64,
}

impl Viewer {
    /// Listens from now on. With `to_show`, everything but bells is passed on.
    pub(crate) fn start(
        name: String,
        inlet: Inlet,
        ticks: Arc<[Tick]>,
        times: PublishTimes,
        to_show: Option<mpsc::Sender<Heard>>,
    ) -> Self {
        let books = Books {
            audit: Audit::new(ticks),
            latencies: Latencies::default(),
            bells: 0,
            notes: 0,
        };
        let books = Arc::new(Mutex::new(books));
        let task = tokio::spawn(listen(inlet, books.clone(), times, to_show));
        Self { name, books, task }
    }

    /// Whether it heard the publisher.
    pub(crate) fn heard_bell(&self) -> bool {
        lock(&self.books).bells > 0
    }

    /// Ticks that arrived, rightly or wrongly: grows as long as something comes.
    pub(crate) fn arrived(&self) -> u64 {
        let books = lock(&self.books);
        books.audit.delivered_count() + books.audit.strange_count()
    }

    /// Ticks that arrived altered, twice or out of order.
    pub(crate) fn strange(&self) -> u64 {
        lock(&self.books).audit.strange_count()
    }

    /// Anything at all that reached it, bells and notices too: for a stranger this must be 0.
    pub(crate) fn everything(&self) -> u64 {
        let books = lock(&self.books);
        books.audit.delivered_count() + books.audit.strange_count() + books.bells + books.notes
    }

    /// How it fares: with `published`, at the end; else in between, when only what was jumped over is known to be lost.
    pub(crate) fn seat(&self, published: Option<u64>) -> Seat {
        let books = lock(&self.books);
        Seat {
            name: self.name.clone(),
            delivered: books.audit.delivered_count(),
            lost: published.map_or_else(|| books.audit.jumped_over(), |published| books.audit.lost(published)),
            p50_ms: books.latencies.percentile_ms(50),
            p99_ms: books.latencies.percentile_ms(99),
        }
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn listen(mut inlet: Inlet, books: Arc<Mutex<Books>>, times: PublishTimes, to_show: Option<mpsc::Sender<Heard>>) {
    while let Some(heard) = inlet.next().await {
        let now = Instant::now();
        {
            let mut books = lock(&books);
            match &heard {
                Heard::Tick(arrival) if arrival.tick.kind == i32::from(Kind::Bell) => {
                    books.bells += 1;
                    continue;
                }
                Heard::Tick(arrival) => {
                    if let Some(published) = books.audit.delivered(&arrival.tick).and_then(|place| times.of(place)) {
                        books.latencies.add(now.saturating_duration_since(published));
                    }
                }
                Heard::Note(_) => books.notes += 1,
            }
        }
        if let Some(to_show) = &to_show {
            // The channel has room for every tick; what does not fit is only not shown.
            let _ = to_show.try_send(heard);
        }
    }
}

fn lock(books: &Mutex<Books>) -> MutexGuard<'_, Books> {
    // Every change of the books is complete in itself, so a poisoned lock still holds true ones.
    books.lock().unwrap_or_else(PoisonError::into_inner)
}
