//! Opening a document: its publisher, its subscription, its files, and the job that attends to it.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Weak};
use std::time::Instant;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng};
use tokio::sync::{Mutex, mpsc, oneshot, watch};

use super::attendant::Attendant;
use super::link::{DocumentLink, JOBS_MAX, Shared};
use crate::core::document::{Machine, OwnUpdate};
use crate::net::error::{OpenError, SubscribeError};
use crate::net::inlet::{Filter, SubscriptionLink};
use crate::net::link::{Command, MeshLink, NodeLink, PublisherLink};
use crate::net::task::{Done, Task};
use crate::net::{Slot, aside, unix_us};
use crate::store::{DocumentEntry, DocumentFile};
use crate::types::{Delivery, Start, TopicName};

/// Documents of one mesh; two openings of one name are one document. No more than a node may be on topics.
pub(crate) type Documents = Mutex<HashMap<TopicName, Opened>>;

/// A document that was opened.
#[derive(Debug)]
pub(crate) struct Opened {
    link: Weak<DocumentLink>,
    /// Closed once nobody attends to it any more.
    ended: watch::Receiver<()>,
}

/// Why a document was not opened.
#[derive(Debug)]
pub(crate) enum OpenDocumentError {
    Publisher(OpenError),
    Subscriber(SubscribeError),
    Store(io::Error),
    Closed,
}

/// A document that is to be attended to.
#[derive(Debug)]
pub(crate) struct Opening {
    topic: TopicName,
    publisher: Arc<PublisherLink>,
    subscription: SubscriptionLink,
    ended: watch::Sender<()>,
    reply: oneshot::Sender<Result<Arc<DocumentLink>, OpenDocumentError>>,
}

/// Opens a document, or finds it.
pub(crate) async fn open_document(
    node: &NodeLink,
    mesh: &MeshLink,
    topic: TopicName,
) -> Result<Arc<DocumentLink>, OpenDocumentError> {
    let mut documents = mesh.documents.lock().await;
    documents.retain(|_, opened| opened.link.strong_count() > 0 || opened.ended.has_changed().is_ok());
    if let Some(opened) = documents.get_mut(&topic) {
        if let Some(link) = opened.link.upgrade().filter(|_| opened.ended.has_changed().is_ok()) {
            return Ok(link);
        }
        // Its files are still in use; nothing is ever sent, so this is their release.
        let _ = opened.ended.changed().await;
    }
    let (slot, closed) = (mesh.slot, |_| OpenDocumentError::Closed);
    let (reply, opened) = oneshot::channel();
    let command = Command::OpenPublisher {
        slot,
        topic: topic.clone(),
        content_type: "",
        lifetime_ms: 0,
        reply,
    };
    node.commands
        .send(command)
        .await
        .map_err(|_| OpenDocumentError::Closed)?;
    let publisher = opened.await.map_err(closed)?.map_err(OpenDocumentError::Publisher)?;
    let (reply, subscribed) = oneshot::channel();
    let command = Command::Subscribe {
        slot,
        topic: topic.clone(),
        filter: Filter::default(),
        start: Start::All,
        delivery: Delivery::Ordered,
        reply,
    };
    node.commands
        .send(command)
        .await
        .map_err(|_| OpenDocumentError::Closed)?;
    let subscription = subscribed
        .await
        .map_err(closed)?
        .map_err(OpenDocumentError::Subscriber)?;
    let (ended, is_ended) = watch::channel(());
    let (reply, attended) = oneshot::channel();
    let opening = Opening {
        topic: topic.clone(),
        publisher,
        subscription,
        ended,
        reply,
    };
    let command = Command::Attend { slot, opening };
    node.commands
        .send(command)
        .await
        .map_err(|_| OpenDocumentError::Closed)?;
    let link = attended.await.map_err(closed)??;
    let opened = Opened {
        link: Arc::downgrade(&link),
        ended: is_ended,
    };
    documents.insert(topic, opened);
    Ok(link)
}

impl Task {
    /// Has a document attended to, by a job: the node does not stop before what it was told is stored.
    pub(in crate::net) fn attend(&mut self, slot: Slot, opening: Opening) {
        let Some(mesh) = self.meshes.get(&slot) else {
            return drop(opening.reply.send(Err(OpenDocumentError::Closed)));
        };
        let Opening {
            topic,
            publisher,
            subscription,
            ended,
            reply,
        } = opening;
        let (data_dir, name) = (self.data_dir.clone(), mesh.key.name().clone());
        let (me, events) = (*self.swarm.local_peer_id(), mesh.events.clone());
        let span = mesh.span.clone();
        self.jobs.spawn(async move {
            let of_topic = topic.clone();
            let begun = aside::run(move || {
                let opened = data_dir
                    .map(|data_dir| data_dir.document(&name, &of_topic))
                    .transpose()?;
                let (file, entries) = opened.unzip();
                let mut rng = rand::rng();
                let (now, run) = (Instant::now(), rng.next_u64());
                let machine = Machine::new(me, run, StdRng::from_rng(&mut rng), now, unix_us());
                Ok((file, load(machine, entries.unwrap_or_default(), now)))
            });
            let begun: io::Result<(Option<DocumentFile>, Machine)> =
                begun.await.unwrap_or_else(|ended| Err(io::Error::other(ended)));
            let (file, machine) = match begun {
                Ok(begun) => begun,
                Err(error) => {
                    let _ = reply.send(Err(OpenDocumentError::Store(error)));
                    return Done::Written;
                }
            };
            let (jobs, waiting) = mpsc::channel(JOBS_MAX);
            let (changes, changes_seen) = watch::channel(0);
            let (unsynchronised, unsynchronised_seen) = watch::channel(machine.unsynchronised());
            let shared = Shared::new(machine);
            let link = Arc::new(DocumentLink {
                shared: shared.clone(),
                jobs,
                changes: changes_seen,
                unsynchronised: unsynchronised_seen,
            });
            // If it is not waited for any more, the link is dropped, and the attendant ends.
            let _ = reply.send(Ok(link));
            let attendant = Attendant::new(topic, shared, waiting, (publisher, subscription), file, events);
            let attending = attendant.attend(changes, unsynchronised);
            tracing::Instrument::instrument(attending, span).await;
            drop(ended);
            Done::Written
        });
    }
}

fn load(mut machine: Machine, entries: Vec<DocumentEntry>, now: Instant) -> Machine {
    for entry in entries {
        match entry {
            DocumentEntry::Own(run, update) => machine.load_own(OwnUpdate { run, update }, now),
            DocumentEntry::Other(update) => machine.load(update),
            DocumentEntry::Spread => machine.load_spread(),
        }
    }
    machine
}
