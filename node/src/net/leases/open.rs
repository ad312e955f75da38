//! Joining a lease group: its publisher, its subscription, and the task that attends to it.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, Notify, mpsc, oneshot, watch};

use super::attendant::Attendant;
use super::link::{GroupLink, JOBS_MAX};
use crate::core::leases::{Leases, Ranking};
use crate::net::error::{OpenError, SubscribeError};
use crate::net::inlet::Filter;
use crate::net::link::{Command, MeshLink, NodeLink};
use crate::types::{Delivery, Start, TopicName};

/// Lease groups of one mesh; joined twice they are one. No more than a node may be on topics.
pub(crate) type Groups = Mutex<HashMap<TopicName, Joined>>;

/// A group that was joined.
#[derive(Debug)]
pub(crate) struct Joined {
    link: Weak<GroupLink>,
    /// Closed once nobody attends to it any more.
    ended: watch::Receiver<()>,
}

/// Why a group was not joined.
#[derive(Debug)]
pub(crate) enum OpenGroupError {
    Publisher(OpenError),
    Subscriber(SubscribeError),
    Closed,
}

/// Joins a group, or finds it.
pub(crate) async fn open_group(
    node: &NodeLink,
    mesh: &MeshLink,
    topic: TopicName,
    lease: Duration,
) -> Result<Arc<GroupLink>, OpenGroupError> {
    let mut groups = mesh.leases.lock().await;
    groups.retain(|_, joined| joined.ended.has_changed().is_ok());
    if let Some(joined) = groups.get_mut(&topic) {
        if let Some(link) = joined.link.upgrade() {
            return Ok(link);
        }
        // Its last word is still to be said; nothing is ever sent, so this is the end of it.
        let _ = joined.ended.changed().await;
    }
    let (slot, closed) = (mesh.slot, |_| OpenGroupError::Closed);
    let (reply, opened) = oneshot::channel();
    let command = Command::OpenPublisher {
        slot,
        topic: topic.clone(),
        content_type: "",
        lifetime_ms: 0,
        reply,
    };
    node.commands.send(command).await.map_err(|_| OpenGroupError::Closed)?;
    let publisher = opened.await.map_err(closed)?.map_err(OpenGroupError::Publisher)?;
    let (reply, subscribed) = oneshot::channel();
    let command = Command::Subscribe {
        slot,
        topic: topic.clone(),
        filter: Filter::default(),
        // The last of each member and key: what counts, and the numbers that were used.
        start: Start::Latest,
        // A member's last record says all: none waits for one that is missing.
        delivery: Delivery::Immediate,
        reply,
    };
    node.commands.send(command).await.map_err(|_| OpenGroupError::Closed)?;
    let subscription = subscribed.await.map_err(closed)?.map_err(OpenGroupError::Subscriber)?;
    let ranking = Ranking::new(topic.as_str());
    let machine = Leases::new(node.id, ranking, lease, Instant::now());
    let machine = Arc::new(std::sync::Mutex::new(machine));
    let (jobs, waiting) = mpsc::channel(JOBS_MAX);
    let (changes, changes_seen) = watch::channel(0);
    let (ended, is_ended) = watch::channel(());
    let dropped = Arc::new(Notify::new());
    let link = Arc::new(GroupLink {
        machine: machine.clone(),
        jobs,
        changes: changes_seen,
        dropped: dropped.clone(),
    });
    let attendant = Attendant::new(
        topic.clone(),
        machine,
        waiting,
        (publisher, subscription),
        dropped,
        changes,
    );
    tokio::spawn(async move {
        attendant.attend().await;
        drop(ended);
    });
    let joined = Joined {
        link: Arc::downgrade(&link),
        ended: is_ended,
    };
    groups.insert(topic, joined);
    Ok(link)
}
