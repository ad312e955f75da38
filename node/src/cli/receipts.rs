//! `maille pub --receipts`: says which records are acknowledged, in their order. It waits beside publishing, not before it.

use std::time::Duration;

use maille::{Address, PublishError, Receipt};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::exit::Failure;
use super::output::{json_line, print_now};

/// Records whose acknowledgement is waited for; beyond, publishing waits.
const RECEIPTS_WAITING_MAX: usize = 4_096;

/// How long the last ones may take once all was flushed, or was given up.
const FINISH_TIMEOUT: Duration = Duration::from_secs(1);

/// A line of `--json`.
#[derive(Debug, Serialize)]
struct Acknowledged<'a> {
    event: &'static str,
    topic: &'a str,
    author: String,
    incarnation: u64,
    sequence: u64,
}

/// Prints receipts as they become true.
#[derive(Debug)]
pub(crate) struct Receipts {
    queue: mpsc::Sender<Receipt>,
    task: JoinHandle<Result<(), Failure>>,
}

impl Receipts {
    /// With `stored`, a record is acknowledged once it is in the data directory; else once a neighbour has it.
    pub(crate) fn start(address: &Address, stored: bool, json: bool) -> Self {
        let (queue, mut waiting) = mpsc::channel::<Receipt>(RECEIPTS_WAITING_MAX);
        let topic = address.topic().to_string();
        let task = tokio::spawn(async move {
            while let Some(receipt) = waiting.recv().await {
                let acknowledged = if stored {
                    receipt.stored().await
                } else {
                    receipt.spread().await.map(drop)
                };
                match acknowledged {
                    Ok(()) => {}
                    Err(PublishError::Closed) => return Ok(()),
                    Err(error) => return Err(Failure::Other(error.into())),
                }
                print_now(&line(&topic, &receipt, json))?;
            }
            Ok(())
        });
        Self { queue, task }
    }

    /// Takes the receipt of the next record.
    pub(crate) async fn add(&self, receipt: Receipt) {
        // An error: the task ended with one of its own, which `finish` tells.
        let _ = self.queue.send(receipt).await;
    }

    /// Says what is acknowledged by now, or what went wrong.
    pub(crate) async fn finish(self) -> Result<(), Failure> {
        drop(self.queue);
        match tokio::time::timeout(FINISH_TIMEOUT, self.task).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(Failure::other("saying what is acknowledged stopped short")),
            // What was not acknowledged has no receipt.
            Err(_) => Ok(()),
        }
    }
}

fn line(topic: &str, receipt: &Receipt, json: bool) -> Vec<u8> {
    let cursor = receipt.cursor();
    if !json {
        return format!("{cursor}\n").into_bytes();
    }
    json_line(&Acknowledged {
        event: "acknowledged",
        topic,
        author: cursor.publisher.to_string(),
        incarnation: cursor.incarnation,
        sequence: cursor.sequence,
    })
}
