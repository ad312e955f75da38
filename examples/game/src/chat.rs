//! Words between people in a room, on a topic of its own: read by a job of its own, so that a flood of them disturbs no move.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::StreamExt;
use maille::{Event, Json, Mesh, Publisher, TopicName};
use serde::{Deserialize, Serialize};
use shared::Failure;
use tokio::task::JoinHandle;

use crate::lobby::{NAME_MAX, below};
use crate::words::plain;

/// Lines kept, the newest.
const LINES_MAX: usize = 50;
/// Characters of a line.
pub(crate) const TEXT_MAX: usize = 120;
/// Between two lines of one person.
const INTERVAL: Duration = Duration::from_millis(250);

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Line {
    name: String,
    text: String,
}

#[derive(Debug, Default)]
struct Heard {
    lines: VecDeque<String>,
    count: u64,
}

/// The chat of a room.
#[derive(Debug)]
pub(crate) struct Chat {
    publisher: Publisher<Json<Line>>,
    heard: Arc<Mutex<Heard>>,
    reading: JoinHandle<()>,
    said_at: Option<Instant>,
}

impl Chat {
    pub(crate) async fn enter(mesh: &Mesh, room: &TopicName) -> Result<Self, Failure> {
        let topic = mesh.topic::<Json<Line>>(below(room, "chat")?);
        let mut lines = topic.subscribe().start().await.map_err(Failure::other)?;
        let heard = Arc::new(Mutex::new(Heard::default()));
        let shared = heard.clone();
        let reading = tokio::spawn(async move {
            while let Some(event) = lines.next().await {
                if let Event::Record(record) = event {
                    let Json(Line { name, text }) = record.value;
                    keep(&shared, &name, &text);
                }
            }
        });
        Ok(Self {
            publisher: topic.publisher().await.map_err(Failure::other)?,
            heard,
            reading,
            said_at: None,
        })
    }

    /// Says something; whether it did: not too fast.
    pub(crate) async fn say(&mut self, name: &str, text: &str) -> Result<bool, Failure> {
        if text.is_empty() || self.said_at.is_some_and(|at| at.elapsed() < INTERVAL) {
            return Ok(false);
        }
        self.said_at = Some(Instant::now());
        // It comes back as all that is said.
        self.say_at_once(name, text).await.map(|()| true)
    }

    /// Without a pause: for who would know what a flood does.
    pub(crate) async fn say_at_once(&self, name: &str, text: &str) -> Result<(), Failure> {
        let line = Line {
            name: plain(name, NAME_MAX),
            text: plain(text, TEXT_MAX),
        };
        self.publisher
            .publish(&Json(line))
            .await
            .map(drop)
            .map_err(Failure::other)
    }

    /// The newest lines, oldest first.
    pub(crate) fn newest(&self, lines_max: usize) -> Vec<String> {
        let heard = lock(&self.heard);
        let skipped = heard.lines.len().saturating_sub(lines_max);
        heard.lines.iter().skip(skipped).cloned().collect()
    }

    /// Lines heard so far.
    pub(crate) fn count(&self) -> u64 {
        lock(&self.heard).count
    }
}

impl Drop for Chat {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

fn keep(heard: &Mutex<Heard>, name: &str, text: &str) {
    let mut heard = lock(heard);
    heard.count += 1;
    if heard.lines.len() == LINES_MAX {
        heard.lines.pop_front();
    }
    heard
        .lines
        .push_back(format!("{}: {}", plain(name, NAME_MAX), plain(text, TEXT_MAX)));
}

fn lock(heard: &Mutex<Heard>) -> MutexGuard<'_, Heard> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}
