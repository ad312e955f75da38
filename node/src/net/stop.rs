//! Stopping a node: publishers are flushed, meshes left, connections closed, each with a deadline.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::task::{Task, Turn};

/// How long a shutdown waits for acknowledgements.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);
/// How long farewells may take.
const LEAVE_TIMEOUT: Duration = Duration::from_millis(500);

impl Task {
    /// A shutdown that somebody waits for flushes; when the last handle was dropped, nobody does.
    pub(super) async fn stop(mut self, reply: Option<oneshot::Sender<()>>) {
        self.stopping = true;
        if reply.is_some() {
            self.turn_until(Instant::now() + FLUSH_TIMEOUT, Self::is_flushed).await;
        }
        for slot in self.meshes.keys().copied().collect::<Vec<_>>() {
            self.leave(slot);
        }
        // The handlers say goodbye on their streams before connections close under them.
        self.turn_until(Instant::now() + LEAVE_TIMEOUT, |task| {
            task.swarm.behaviour().gate.has_said_goodbye()
        })
        .await;
        for peer in self.swarm.connected_peers().copied().collect::<Vec<_>>() {
            // An error means that it is gone already.
            let _ = self.swarm.disconnect_peer_id(peer);
        }
        self.turn_until(Instant::now() + LEAVE_TIMEOUT, |task| task.connections.is_empty())
            .await;
        // Logs write what they were given; nobody asks any more what became of it.
        self.stored.close();
        while self.jobs.join_next().await.is_some() {}
        // Locks and files are free before the caller hears that the node has stopped.
        drop(self);
        if let Some(reply) = reply {
            let _ = reply.send(());
        }
    }

    async fn turn_until(&mut self, deadline: Instant, reached: impl Fn(&Self) -> bool) {
        while !reached(self) {
            match timeout_at(deadline, self.turn()).await {
                Ok(Turn::Continue) => {}
                Ok(Turn::Stop(_)) | Err(_) => return,
            }
        }
    }

    fn is_flushed(&self) -> bool {
        let mut topics = self.meshes.values().flat_map(|mesh| mesh.topics.values());
        self.queues.is_empty()
            && topics.all(|topic| {
                topic
                    .publishing
                    .as_ref()
                    .is_none_or(super::topic::Publishing::is_flushed)
            })
    }
}
