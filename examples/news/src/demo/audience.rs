//! One of the demo's audience: a task that listens and keeps the books. Shows nothing itself.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::summary::Seat;
use crate::item::Item;
use crate::mesh::{Heard, Inlet};

/// Items whose digests are remembered; the demo has far fewer.
const ITEMS_MAX: usize = 10_000;

/// A listener and its books.
#[derive(Debug)]
pub(crate) struct Audience {
    name: &'static str,
    books: Arc<Mutex<Books>>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Books {
    delivered: u64,
    known: HashSet<String>,
    notes: u64,
}

impl Audience {
    /// Listens from now on. With `to_show`, items are passed on.
    pub(crate) fn start(name: &'static str, inlet: Inlet, to_show: Option<mpsc::Sender<Item>>) -> Self {
        let books = Arc::new(Mutex::new(Books::default()));
        let task = tokio::spawn(listen(inlet, books.clone(), to_show));
        Self { name, books, task }
    }

    /// How it fares.
    pub(crate) fn seat(&self) -> Seat {
        let books = lock(&self.books);
        Seat {
            name: self.name,
            delivered: books.delivered,
            duplicates: books.delivered - books.known.len() as u64,
            notes: books.notes,
        }
    }
}

impl Drop for Audience {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn listen(mut inlet: Inlet, books: Arc<Mutex<Books>>, to_show: Option<mpsc::Sender<Item>>) {
    while let Some(heard) = inlet.next().await {
        let mut books = lock(&books);
        match heard {
            Heard::Item(item) => {
                books.delivered += 1;
                if books.known.len() < ITEMS_MAX {
                    books.known.insert(item.digest());
                }
                if let Some(to_show) = &to_show {
                    // The channel has room for every item of the demo; what does not fit is only not shown.
                    let _ = to_show.try_send(item);
                }
            }
            Heard::CaughtUp => {}
            Heard::Note(_) => books.notes += 1,
        }
    }
}

fn lock(books: &Mutex<Books>) -> MutexGuard<'_, Books> {
    // Every change of the books is complete in itself, so a poisoned lock still holds true ones.
    books.lock().unwrap_or_else(PoisonError::into_inner)
}
