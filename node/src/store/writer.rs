//! The thread of a store that may block: frames go to it through a bounded queue, what became of them and the answers to
//! questions come back. It decides when to write, not what to keep.

use std::{
    io,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use libp2p::PeerId;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout_at},
};
use tracing::warn;

use crate::types::{Selector, TopicName};

use super::history::{Held, Kept, Store, StoreError};

/// Frames on their way: in the queue, or written but the outcome not taken yet.
pub const QUEUE_FRAMES_MAX: usize = 4_096;
/// Their bytes.
pub const QUEUE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Questions in the queue, besides the frames.
pub const QUESTIONS_MAX: usize = 64;
/// While frames keep coming they are written together, this often.
pub const COMMIT_EVERY: Duration = Duration::from_millis(50);
/// Or as soon as there are so many.
pub const COMMIT_FRAMES_MAX: usize = 256;
/// Or so many bytes of them.
const COMMIT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How often what is too old is dropped when nothing comes.
const TRIM_EVERY: Duration = Duration::from_secs(60);

/// Why a frame or a question was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// The disk is slower than what comes: try again once outcomes were taken.
    #[error("too many frames wait to be stored: the disk is slower than what comes")]
    Full,
    /// Its keys do not fit its sequence numbers.
    #[error("a frame to be kept needs one key, or none, for each of its records")]
    Misfit,
    /// The thread has ended: the store could not be opened, or is closed.
    #[error("the thread that writes history has ended")]
    Stopped,
}

impl From<AppendError> for StoreError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Full => Self::Busy,
            AppendError::Misfit => Self::Misfit,
            AppendError::Stopped => Self::Stopped,
        }
    }
}

/// What became of frames of one run that followed each other.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// On which topic.
    pub topic: TopicName,
    /// Whose run it is.
    pub publisher: PeerId,
    /// Which of its publisher's runs on the topic.
    pub incarnation: u64,
    /// Of which records; empty for a head.
    pub sequences: Range<u64>,
    /// `Ok`: they are on disk. An error: they are not, and nobody will try again.
    pub result: Result<(), Arc<StoreError>>,
    frames: usize,
    bytes: usize,
}

/// An answer that is still to come; an error of the receiver means that the thread has ended.
pub type Answer<T> = oneshot::Receiver<Result<T, StoreError>>;

type Question = Box<dyn FnOnce(&dyn Store) + Send>;

enum Command {
    Append(Box<(TopicName, Kept)>),
    Ask(Question),
}

/// What is on its way.
#[derive(Debug, Default)]
struct Load {
    frames: AtomicUsize,
    bytes: AtomicUsize,
    questions: AtomicUsize,
}

/// Gives frames and questions to the thread; none of its methods waits. When all clones are dropped, the thread writes what
/// it was given and ends.
#[derive(Debug, Clone)]
pub struct LogHandle {
    commands: mpsc::Sender<Command>,
    load: Arc<Load>,
}

/// Where the thread tells what became of frames. Whoever has it must take them: what is not taken stays in the queue.
#[derive(Debug)]
pub struct LogOutcomes {
    outcomes: mpsc::Receiver<Outcome>,
    load: Arc<Load>,
}

/// Starts the thread. It opens the store first, and tells by the third value whether it could; frames may be given before.
///
/// # Errors
/// When the operating system gives no thread.
pub fn spawn<S: Store + 'static>(
    open: impl FnOnce() -> Result<S, StoreError> + Send + 'static,
) -> io::Result<(LogHandle, LogOutcomes, Answer<()>)> {
    let (commands, inbox) = mpsc::channel(QUEUE_FRAMES_MAX + QUESTIONS_MAX);
    let (outbox, outcomes) = mpsc::channel(QUEUE_FRAMES_MAX);
    let (opened, is_open) = oneshot::channel();
    let load = Arc::new(Load::default());
    let clock = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    thread::Builder::new().name("maille-store".to_owned()).spawn(move || {
        let store = match open() {
            Ok(store) => store,
            Err(error) => {
                // The handle says `Stopped` by the time that the error is known: nothing is taken that goes nowhere.
                drop((inbox, outbox));
                let _ = opened.send(Err(error));
                return;
            }
        };
        let _ = opened.send(Ok(()));
        let writer = Writer {
            store,
            outcomes: outbox,
            batch: Vec::new(),
            batch_bytes: 0,
            committed: Instant::now(),
        };
        clock.block_on(writer.run(inbox));
    })?;
    let handle = LogHandle {
        commands,
        load: Arc::clone(&load),
    };
    Ok((handle, LogOutcomes { outcomes, load }, is_open))
}

impl LogHandle {
    /// Gives a frame to be stored; [`LogOutcomes`] tells what became of it.
    ///
    /// # Errors
    /// When there is no room, or nobody to store it.
    pub fn append(&self, topic: &TopicName, kept: Kept) -> Result<(), AppendError> {
        kept.check().map_err(|_| AppendError::Misfit)?;
        let bytes = kept.wire.len();
        let full = self.load.frames.load(Ordering::Acquire) >= QUEUE_FRAMES_MAX
            || self.load.bytes.load(Ordering::Acquire) + bytes > QUEUE_BYTES_MAX;
        if full {
            return Err(AppendError::Full);
        }
        // Counted before the thread can be done with it.
        self.load.frames.fetch_add(1, Ordering::AcqRel);
        self.load.bytes.fetch_add(bytes, Ordering::AcqRel);
        let sent = self.send(Command::Append(Box::new((topic.clone(), kept))));
        if sent.is_err() {
            self.load.frames.fetch_sub(1, Ordering::AcqRel);
            self.load.bytes.fetch_sub(bytes, Ordering::AcqRel);
        }
        sent
    }

    /// As [`Store::runs`]. All questions are answered after what was appended before them was written.
    ///
    /// # Errors
    /// When there is no room, or nobody to answer.
    pub fn runs(&self, topic: &TopicName, selector: Selector) -> Result<Answer<Vec<Held>>, AppendError> {
        let topic = topic.clone();
        self.ask(move |store| store.runs(&topic, selector))
    }

    /// As [`Store::range`].
    ///
    /// # Errors
    /// When there is no room, or nobody to answer.
    pub fn range(
        &self,
        topic: &TopicName,
        publisher: PeerId,
        incarnation: u64,
        sequences: Range<u64>,
        bytes_max: usize,
    ) -> Result<Answer<Vec<Bytes>>, AppendError> {
        let topic = topic.clone();
        self.ask(move |store| store.range(&topic, &publisher, incarnation, sequences, bytes_max))
    }

    /// As [`Store::latest`].
    ///
    /// # Errors
    /// When there is no room, or nobody to answer.
    pub fn latest(
        &self,
        topic: &TopicName,
        skip: usize,
        bytes_max: usize,
    ) -> Result<Answer<(Vec<Bytes>, bool)>, AppendError> {
        let topic = topic.clone();
        self.ask(move |store| store.latest(&topic, skip, bytes_max))
    }

    /// As [`Store::topics`].
    ///
    /// # Errors
    /// When there is no room, or nobody to answer.
    pub fn topics(&self) -> Result<Answer<Vec<TopicName>>, AppendError> {
        self.ask(|store| store.topics())
    }

    /// Asks anything of the store, on its thread.
    ///
    /// # Errors
    /// When too much is asked already, or the thread has ended.
    pub fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&dyn Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<Answer<T>, AppendError> {
        if self.load.questions.load(Ordering::Acquire) >= QUESTIONS_MAX {
            return Err(AppendError::Full);
        }
        let (answer, answered) = oneshot::channel();
        let load = Arc::clone(&self.load);
        self.load.questions.fetch_add(1, Ordering::AcqRel);
        let sent = self.send(Command::Ask(Box::new(move |store| {
            load.questions.fetch_sub(1, Ordering::AcqRel);
            // Whoever asked may have gone, and then nothing need be read.
            if !answer.is_closed() {
                let _ = answer.send(question(store));
            }
        })));
        if sent.is_err() {
            self.load.questions.fetch_sub(1, Ordering::AcqRel);
        }
        sent.map(|()| answered)
    }

    fn send(&self, command: Command) -> Result<(), AppendError> {
        self.commands.try_send(command).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => AppendError::Full,
            mpsc::error::TrySendError::Closed(_) => AppendError::Stopped,
        })
    }
}

impl LogOutcomes {
    /// The next outcome; `None` once the thread has written everything and ended. Cancel safe.
    pub async fn recv(&mut self) -> Option<Outcome> {
        let outcome = self.outcomes.recv().await?;
        self.load.frames.fetch_sub(outcome.frames, Ordering::AcqRel);
        self.load.bytes.fetch_sub(outcome.bytes, Ordering::AcqRel);
        Some(outcome)
    }
}

/// What the thread owns.
struct Writer<S> {
    store: S,
    outcomes: mpsc::Sender<Outcome>,
    batch: Vec<(TopicName, Kept)>,
    batch_bytes: usize,
    committed: Instant,
}

impl<S: Store> Writer<S> {
    async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        loop {
            let until = if self.batch.is_empty() {
                Instant::now() + TRIM_EVERY
            } else {
                // After a pause this is in the past: a lone frame does not wait for others.
                self.committed + COMMIT_EVERY
            };
            match timeout_at(until, commands.recv()).await {
                Ok(Some(Command::Append(append))) => {
                    self.batch_bytes += append.1.wire.len();
                    self.batch.push(*append);
                    if self.batch.len() >= COMMIT_FRAMES_MAX || self.batch_bytes >= COMMIT_BYTES_MAX {
                        self.commit();
                    }
                }
                Ok(Some(Command::Ask(question))) => {
                    self.commit();
                    question(&self.store);
                }
                Ok(None) => {
                    self.commit();
                    return;
                }
                Err(_) if self.batch.is_empty() => {
                    if let Err(error) = self.store.trim(now_us()) {
                        warn!(%error, "old history stays");
                    }
                }
                Err(_) => self.commit(),
            }
        }
    }

    fn commit(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        let batch = std::mem::take(&mut self.batch);
        self.batch_bytes = 0;
        match self.store.append_all(&batch, now_us()) {
            // One frame was at fault: the others need not suffer.
            Err(error) if error.is_refusal() => {
                for one in batch {
                    let result = self.store.append(&one.0, &one.1, now_us());
                    self.tell(&[one], result);
                }
            }
            result => self.tell(&batch, result),
        }
        self.committed = Instant::now();
    }

    fn tell(&self, batch: &[(TopicName, Kept)], result: Result<(), StoreError>) {
        let result = result.map_err(Arc::new);
        let mut told: Option<Outcome> = None;
        for (topic, kept) in batch {
            if let Some(last) = &mut told
                && (&last.topic, last.publisher, last.incarnation) == (topic, kept.publisher, kept.incarnation)
                && last.sequences.end == kept.sequences.start
            {
                last.sequences.end = kept.sequences.end;
                last.frames += 1;
                last.bytes += kept.wire.len();
                continue;
            }
            let next = Outcome {
                topic: topic.clone(),
                publisher: kept.publisher,
                incarnation: kept.incarnation,
                sequences: kept.sequences.clone(),
                result: result.clone(),
                frames: 1,
                bytes: kept.wire.len(),
            };
            if let Some(last) = told.replace(next) {
                self.send(last);
            }
        }
        if let Some(last) = told {
            self.send(last);
        }
    }

    /// There is room for the outcome of every frame on its way; nobody there to hear it is no fault.
    fn send(&self, outcome: Outcome) {
        let _ = self.outcomes.try_send(outcome);
    }
}

fn now_us() -> u64 {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
