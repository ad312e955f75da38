//! The publishers' queues: records that have a sequence number and wait for the window of their topic.

use std::future::poll_fn;
use std::task::{Context, Poll};

use tokio::sync::mpsc;

use super::Slot;
use super::link::Outgoing;
use crate::core::stream::batch::BATCH_BYTES;
use crate::types::TopicName;

/// Records taken from one queue at once, so that a fast publisher costs a turn of the loop a batch, not a record.
const TAKEN_MAX: usize = 256;

struct Queue {
    slot: Slot,
    topic: TopicName,
    records: mpsc::Receiver<Outgoing>,
    /// The window has room.
    open: bool,
    /// All its handles are gone and it is empty.
    ended: bool,
}

impl Queue {
    fn take_more(&mut self, first: Outgoing) -> Vec<Outgoing> {
        let (mut bytes, mut taken) = (first.payload.len(), vec![first]);
        while taken.len() < TAKEN_MAX && bytes < BATCH_BYTES {
            let Ok(record) = self.records.try_recv() else { break };
            bytes += record.payload.len();
            taken.push(record);
        }
        taken
    }
}

/// All queues of a node, served in turn.
#[derive(Default)]
pub(super) struct Queues {
    queues: Vec<Queue>,
    turn: usize,
}

impl Queues {
    pub(super) fn add(&mut self, slot: Slot, topic: TopicName, records: mpsc::Receiver<Outgoing>) {
        self.queues.push(Queue {
            slot,
            topic,
            records,
            open: true,
            ended: false,
        });
    }

    /// Opens or shuts a queue; records wait in a shut one, and publishers for room in it.
    pub(super) fn set_open(&mut self, slot: Slot, topic: &TopicName, open: bool) {
        for queue in self
            .queues
            .iter_mut()
            .filter(|queue| queue.slot == slot && queue.topic == *topic)
        {
            queue.open = open;
        }
    }

    pub(super) fn remove_mesh(&mut self, slot: Slot) {
        self.queues.retain(|queue| queue.slot != slot);
    }

    /// Takes out the queues whose publishers are gone and that are empty.
    pub(super) fn take_ended(&mut self) -> Vec<(Slot, TopicName)> {
        // A shut queue is not asked for records, and so does not notice that it has ended.
        let has_ended = |queue: &mut Queue| queue.ended || (queue.records.is_closed() && queue.records.is_empty());
        let ended = self.queues.extract_if(.., has_ended);
        ended.map(|queue| (queue.slot, queue.topic)).collect()
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.queues.iter().all(|queue| queue.records.is_empty())
    }

    /// The next records of a queue that is open: as many as lie there, and fill a frame. Cancel safe.
    pub(super) async fn next(&mut self) -> (Slot, TopicName, Vec<Outgoing>) {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<(Slot, TopicName, Vec<Outgoing>)> {
        let count = self.queues.len();
        for offset in 0..count {
            let index = (self.turn + offset) % count;
            let queue = &mut self.queues[index];
            if !queue.open || queue.ended {
                continue;
            }
            match queue.records.poll_recv(cx) {
                Poll::Ready(Some(record)) => {
                    self.turn = index + 1;
                    return Poll::Ready((queue.slot, queue.topic.clone(), queue.take_more(record)));
                }
                Poll::Ready(None) => queue.ended = true,
                Poll::Pending => {}
            }
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    fn record(text: &'static str) -> Outgoing {
        Outgoing {
            key: None,
            payload: text.into(),
        }
    }

    #[tokio::test]
    async fn open_queues_are_served_in_turn_and_shut_ones_wait() {
        let topics: Vec<TopicName> = ["a", "b", "c"].iter().map(|topic| topic.parse().unwrap()).collect();
        let mut queues = Queues::default();
        let senders: Vec<_> = topics
            .iter()
            .map(|topic| {
                let (sender, receiver) = mpsc::channel(8);
                queues.add(1, topic.clone(), receiver);
                sender
            })
            .collect();
        for sender in &senders {
            for _ in 0..2 {
                sender.send(record("x")).await.unwrap();
            }
        }
        queues.set_open(1, &topics[1], false);
        let mut served = Vec::new();
        while let Some((_, topic, records)) = queues.next().now_or_never() {
            served.push((topic.to_string(), records.len()));
        }
        assert_eq!(served, [("a".to_owned(), 2), ("c".to_owned(), 2)]);
        queues.set_open(1, &topics[1], true);
        let large = || Outgoing {
            key: None,
            payload: vec![0; BATCH_BYTES].into(),
        };
        senders[0].send(large()).await.unwrap();
        senders[0].send(large()).await.unwrap();
        let mut served = Vec::new();
        while let Some((_, topic, records)) = queues.next().now_or_never() {
            served.push((topic.to_string(), records.len()));
        }
        let expected = [("a", 1), ("b", 2), ("a", 1)].map(|(topic, count)| (topic.to_owned(), count));
        assert_eq!(served, expected, "a frame's worth at once");
        drop(senders);
        assert!(queues.next().now_or_never().is_none());
        assert_eq!(queues.take_ended().len(), 3);
    }
}
